/* tensor.c: storages, descriptions, tensors, and the plain questions one asks of them.
 *
 * A tensor is made in two steps: a description (dtype, device, sizes, strides), which needs no
 * memory for data and is what infer produces, and its storage, given by mt_call once all
 * checks have passed. Both come from the per-thread object lists, so a small tensor costs two
 * list pops.
 */
#include <string.h>

#include "internal.h"

static _Atomic uint64_t next_id = 1;

/* Only the fields in use are copied: sizes and strides hold MT_MAX_DIMS entries. */
enum { HEAD = offsetof(struct mt_tensor, sizes) };

/* ---- storage ---- */

int mt__storage_new(mt_storage **out, int device, int64_t bytes) {
  *out = NULL;
  mt_storage *s = mt__obj_alloc(sizeof *s);
  if (!s) return mt__fail_memory(sizeof *s);
  char *data = NULL;
  int status = mt__block_alloc(&data, device, bytes);
  if (status != MT_OK) {
    mt__obj_free(s, sizeof *s);
    return status;
  }
  *s = (mt_storage){.device = device, .nbytes = bytes, .data = data};
  atomic_init(&s->refs, 1);
  *out = s;
  return MT_OK;
}

mt_storage *mt__storage_retain(mt_storage *s) {
  if (s) atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
  return s;
}

void mt__storage_release(mt_storage *s) {
  while (s && mt__drop(&s->refs)) {
    mt_storage *parent = s->parent;
    if (s->release)
      s->release(s->ctx);
    else if (!parent)
      mt__block_free(s->data, s->device, s->nbytes);
    mt__obj_free(s, sizeof *s);
    s = parent;
  }
}

/* ---- shapes ---- */

void mt__row_major(int ndim, const int64_t *sizes, int64_t *strides) {
  int64_t stride = 1;
  for (int d = ndim - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= sizes[d] > 1 ? sizes[d] : 1;
  }
}

int mt__count(int64_t *numel, int ndim, const int64_t *sizes, int dtype) {
  if (ndim < 0 || ndim > MT_MAX_DIMS)
    return mt_fail(MT_ERR_SHAPE, "a tensor has at most %d dimensions, got %d", MT_MAX_DIMS, ndim);
  int64_t n = 1;
  bool empty = false, overflow = false;
  for (int d = 0; d < ndim; d++) {
    if (sizes[d] < 0)
      return mt_fail(MT_ERR_SHAPE, "size %lld in dimension %d is negative", (long long)sizes[d],
                     d + 1);
    if (sizes[d] == 0)
      empty = true;
    else if (__builtin_mul_overflow(n, sizes[d], &n))
      overflow = true;
  }
  int64_t bytes;
  if (empty)
    n = 0;
  else if (overflow || __builtin_mul_overflow(n, (int64_t)mt__esize(dtype), &bytes)) {
    char text[256];
    return mt_fail(MT_ERR_SHAPE, "a tensor of sizes %s has more elements than can be counted",
                   mt__shape_text(text, sizeof text, ndim, sizes));
  }
  *numel = n;
  return MT_OK;
}

void mt__set_contiguous_flag(mt_tensor *t) {
  int64_t want = 1;
  bool yes = true;
  for (int d = t->ndim - 1; d >= 0; d--) {
    if (t->sizes[d] == 1) continue; /* the stride of a single element does not matter */
    if (t->strides[d] != want) yes = false;
    want *= t->sizes[d];
  }
  if (t->numel == 0) yes = true;
  if (yes)
    t->flags |= MT_T_CONTIGUOUS;
  else
    t->flags &= (uint16_t)~MT_T_CONTIGUOUS;
}

/* Dimensions by rising stride; those of size 1 are left out. Returns how many. */
static int order_by_stride(const mt_tensor *t, int *order) {
  int n = 0;
  for (int d = 0; d < t->ndim; d++) {
    if (t->sizes[d] == 1) continue;
    int at = n++;
    for (; at > 0 && t->strides[order[at - 1]] > t->strides[d]; at--) order[at] = order[at - 1];
    order[at] = d;
  }
  return n;
}

bool mt__is_dense(const mt_tensor *t) {
  if (mt__is_contiguous(t)) return true;
  int order[MT_MAX_DIMS], n = order_by_stride(t, order);
  int64_t want = 1;
  for (int i = 0; i < n; i++) {
    if (t->strides[order[i]] != want) return false;
    want *= t->sizes[order[i]];
  }
  return true;
}

bool mt__overlaps_itself(const mt_tensor *t) {
  if (mt__is_contiguous(t) || t->numel < 2) return false;
  int order[MT_MAX_DIMS], n = order_by_stride(t, order);
  int64_t reach = 0; /* the farthest element that the smaller strides address */
  for (int i = 0; i < n; i++) {
    int d = order[i];
    if (t->strides[d] <= reach) return true;
    reach += t->strides[d] * (t->sizes[d] - 1);
  }
  return false;
}

static void byte_range(const mt_tensor *t, const char **lo, const char **hi) {
  int64_t last = 0;
  for (int d = 0; d < t->ndim; d++) last += t->strides[d] * (t->sizes[d] - 1);
  *lo = mt__ptr(t);
  *hi = *lo + (last + 1) * mt__esize(t->dtype);
}

bool mt__may_overlap(const mt_tensor *a, const mt_tensor *b) {
  if (!a->storage || !b->storage || a->numel == 0 || b->numel == 0) return false;
  const char *alo, *ahi, *blo, *bhi;
  byte_range(a, &alo, &ahi);
  byte_range(b, &blo, &bhi);
  return alo < bhi && blo < ahi;
}

bool mt__same_layout(const mt_tensor *a, const mt_tensor *b) {
  if (a->ndim != b->ndim || a->dtype != b->dtype || a->offset != b->offset) return false;
  if (!a->storage || !b->storage || a->storage->data != b->storage->data) return false;
  for (int d = 0; d < a->ndim; d++)
    if (a->sizes[d] != b->sizes[d] || (a->sizes[d] > 1 && a->strides[d] != b->strides[d]))
      return false;
  return true;
}

/* ---- tensors ---- */

static mt_tensor *tensor_alloc(void) {
  mt_tensor *t = mt__obj_alloc(sizeof *t);
  if (!t) return NULL;
  memset(t, 0, HEAD);
  atomic_init(&t->refs, 1);
  mt__count_tensors(1);
  return t;
}

int mt__desc_new(mt_tensor **out, int dtype, int device, int ndim, const int64_t *sizes) {
  *out = NULL;
  int64_t numel;
  MT_TRY(mt__count(&numel, ndim, sizes, dtype));
  mt_tensor *t = tensor_alloc();
  if (!t) return mt__fail_memory(sizeof *t);
  t->dtype = (uint8_t)dtype;
  t->device = device;
  t->ndim = (uint8_t)ndim;
  t->numel = numel;
  t->flags = MT_T_CONTIGUOUS;
  int64_t stride = 1;
  for (int d = ndim - 1; d >= 0; d--) {
    t->sizes[d] = sizes[d];
    t->strides[d] = stride;
    stride *= sizes[d] > 1 ? sizes[d] : 1;
  }
  *out = t;
  return MT_OK;
}

int mt__give_storage(mt_tensor *t) {
  if (t->device == MT_META) return MT_OK;
  return mt__storage_new(&t->storage, t->device, t->numel * mt__esize(t->dtype));
}

int mt__shallow(mt_tensor **out, const mt_tensor *t, bool with_values) {
  mt_tensor *c = tensor_alloc();
  *out = c;
  if (!c) return mt__fail_memory(sizeof *c);
  c->dtype = t->dtype;
  c->ndim = t->ndim;
  c->device = t->device;
  c->flags = t->flags & MT_T_CONTIGUOUS;
  c->numel = t->numel;
  c->offset = t->offset;
  for (int d = 0; d < t->ndim; d++) {
    c->sizes[d] = t->sizes[d];
    c->strides[d] = t->strides[d];
  }
  if (with_values) c->storage = mt__storage_retain(t->storage);
  return MT_OK;
}

int mt_new(mt_tensor **out, int dtype, int device, int ndim, const int64_t *sizes) {
  *out = NULL;
  if (dtype < 0 || dtype >= MT_NDTYPES) return mt_fail(MT_ERR_DTYPE, "no dtype %d", dtype);
  MT_TRY(mt__device_check(device));
  MT_AUTO *t = NULL;
  MT_TRY(mt__desc_new(&t, dtype, device, ndim, sizes));
  MT_TRY(mt__give_storage(t));
  *out = t;
  t = NULL;
  return MT_OK;
}

int mt_from_blob(mt_tensor **out, void *data, int dtype, int ndim, const int64_t *sizes,
                 void (*release)(void *), void *ctx) {
  mt_tensor *t = NULL;
  int status = mt__desc_new(&t, dtype, MT_CPU, ndim, sizes);
  mt_storage *s = NULL;
  if (status == MT_OK) {
    s = mt__obj_alloc(sizeof *s);
    if (!s) status = mt__fail_memory(sizeof *s);
  }
  if (status != MT_OK) {
    mt_release(t);
    if (release) release(ctx);
    *out = NULL;
    return status;
  }
  *s = (mt_storage){.device = MT_CPU, .data = data, .release = release, .ctx = ctx};
  if (!release) s->release = mt__release_nothing;
  s->nbytes = t->numel * mt__esize(dtype);
  atomic_init(&s->refs, 1);
  t->storage = s;
  *out = t;
  return MT_OK;
}

void mt__release_nothing(void *ctx) {
  (void)ctx;
}

mt_tensor *mt_retain(mt_tensor *t) {
  if (t) atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
  return t;
}

/* A view holds its base, a leaf its gradient; neither chain is deep (a base is no view, a
 * gradient of a gradient needs create_graph each time), nodes free themselves in a loop. */
void mt_release(mt_tensor *t) {
  if (!t || !mt__drop(&t->refs)) return;
  if (t->storage) mt__storage_release(t->storage);
  if (t->acc) mt__acc_forget(t);
  if (t->hook) mt_token_release(t->hook);
  if (t->view) mt__viewstep_release(t->view);
  if (t->grad) mt_release(t->grad);
  if (t->base) mt_release(t->base);
  if (t->node) {
    if (t->flags & MT_T_RETAIN_GRAD) t->node->retain[t->out_nr] = NULL;
    mt_node_release(t->node);
  }
  mt__count_tensors(-1);
  mt__obj_free(t, sizeof *t);
}

int mt_detach(mt_tensor **out, mt_tensor *t) {
  return mt__shallow(out, t, true);
}

int mt_data_alias(mt_tensor **out, mt_tensor *t) {
  MT_AUTO *c = NULL;
  *out = NULL;
  MT_TRY(mt__shallow(&c, t, false));
  if (t->storage) {
    mt_storage *s = mt__obj_alloc(sizeof *s);
    if (!s) return mt__fail_memory(sizeof *s);
    mt_storage *owner = t->storage->parent ? t->storage->parent : t->storage;
    *s = (mt_storage){.device = owner->device,
                      .nbytes = owner->nbytes,
                      .data = owner->data,
                      .parent = mt__storage_retain(owner)};
    atomic_init(&s->refs, 1);
    c->storage = s;
  }
  *out = c;
  c = NULL;
  return MT_OK;
}

int mt_dtype_of(const mt_tensor *t) {
  return t->dtype;
}
int mt_device_of(const mt_tensor *t) {
  return t->device;
}
int mt_ndim(const mt_tensor *t) {
  return t->ndim;
}
const int64_t *mt_sizes(const mt_tensor *t) {
  return t->sizes;
}
const int64_t *mt_strides(const mt_tensor *t) {
  return t->strides;
}
int64_t mt_offset(const mt_tensor *t) {
  return t->offset;
}
int64_t mt_numel(const mt_tensor *t) {
  return t->numel;
}
bool mt_is_contiguous(const mt_tensor *t) {
  return mt__is_contiguous(t);
}
void *mt_data(const mt_tensor *t) {
  return t->storage ? mt__ptr(t) : NULL;
}
int64_t mt_storage_bytes(const mt_tensor *t) {
  return t->storage ? t->storage->nbytes : 0;
}

/* Ids are given out when first asked for: most tensors never need one. */
static uint64_t ask_id(uint64_t *id) {
  if (!*id) *id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
  return *id;
}

uint64_t mt_storage_id(const mt_tensor *t) {
  mt_storage *s = t->storage;
  while (s && s->parent) s = s->parent;
  return s ? ask_id(&s->id) : 0;
}

uint64_t mt_id(const mt_tensor *t) {
  return ask_id(&((mt_tensor *)t)->id);
}

uint32_t mt_version(const mt_tensor *t) {
  return t->storage ? t->storage->version : 0;
}

int mt_item(const mt_tensor *t, bool *is_float, int64_t *i, double *f) {
  char text[256], cell[16];
  if (t->numel != 1)
    return mt_fail(
        MT_ERR_VALUE,
        "item: a tensor with %lld elements cannot be converted to a number, its shape is %s",
        (long long)t->numel, mt__shape_text(text, sizeof text, t->ndim, t->sizes));
  if (t->device == MT_META)
    return mt_fail(MT_ERR_DEVICE, "item: a tensor of the meta device has no values");
  const char *p = mt__ptr(t);
  if (t->device != MT_CPU) {
    MT_TRY(mt__device(t->device)->copy(cell, MT_CPU, p, t->device, mt__esize(t->dtype)));
    MT_TRY(mt_device_synchronize(t->device));
    p = cell;
  }
  *is_float = mt__is_float(t->dtype);
  if (*is_float)
    *f = mt__load_f64(p, t->dtype);
  else
    *i = mt__load_i64(p, t->dtype);
  return MT_OK;
}
