/* shape.c: ops on shape that are made of views and copies: reshape, flatten, tile, roll, flip, and
 * the lists of views (split, chunk, unbind, meshgrid). All but flip are composites. */
#include <string.h>

#include "moontorch_ops.h"

#include "internal.h"
#include "shapes.h"
#include "walk.h"

static mt_ints ints(int n, const int64_t *v) {
  return (mt_ints){n, v};
}

/* A copy in row-major order, always new memory. */
static int fresh(mt_tensor **out, mt_tensor *t) {
  return mt__is_contiguous(t) ? mt_clone(out, t) : mt_contiguous(out, t);
}

/* ---- reshape and its relatives ---- */

static int reshape_to(mt_frame *f, int n, const int64_t *sizes) {
  mt_tensor *self = mt__t(f, 0);
  int64_t full[MT_MAX_DIMS], strides[MT_MAX_DIMS];
  MT_TRY(mt__fill_sizes(f, n, sizes, self->numel, full));
  if (mt__view_strides(self->ndim, self->sizes, self->strides, n, full, strides))
    return mt_view(&f->out[0], self, ints(n, full));
  MT_AUTO *copy = NULL;
  MT_TRY(mt_contiguous(&copy, self));
  return mt_view(&f->out[0], copy, ints(n, full));
}

static int reshape(mt_frame *f) {
  return reshape_to(f, f->args[1].n, f->args[1].u.is);
}

static int reshape_as(mt_frame *f) {
  const mt_tensor *other = mt__t(f, 1);
  return reshape_to(f, other->ndim, other->sizes);
}

static int view_as(mt_frame *f) {
  const mt_tensor *other = mt__t(f, 1);
  return mt_view(&f->out[0], mt__t(f, 0), ints(other->ndim, other->sizes));
}

static int expand_as(mt_frame *f) {
  const mt_tensor *other = mt__t(f, 1);
  return mt_expand(&f->out[0], mt__t(f, 0), ints(other->ndim, other->sizes));
}

static int ravel(mt_frame *f) {
  int64_t all = mt__t(f, 0)->numel;
  return reshape_to(f, 1, &all);
}

static int flatten(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  int first, last, n = 0;
  int64_t sizes[MT_MAX_DIMS + 1];
  MT_TRY(mt__dim(f, "start_dim", f->args[1].u.i, self->ndim, &first));
  MT_TRY(mt__dim(f, "end_dim", f->args[2].u.i, self->ndim, &last));
  if (first > last)
    return mt__op_fail(f, MT_ERR_VALUE, "start_dim (%d) cannot come after end_dim (%d)", first + 1,
                       last + 1);
  for (int d = 0; d < first; d++) sizes[n++] = self->sizes[d];
  sizes[n] = 1;
  for (int d = first; d <= last && d < self->ndim; d++) sizes[n] *= self->sizes[d];
  n++;
  for (int d = last + 1; d < self->ndim; d++) sizes[n++] = self->sizes[d];
  return reshape_to(f, n, sizes);
}

static int unflatten(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0);
  const mt_arg *parts = &f->args[2];
  int d, n = 0;
  int64_t sizes[MT_MAX_DIMS], known = 1, size;
  char text[256];
  if (self->ndim == 0) return mt__op_fail(f, MT_ERR_SHAPE, "cannot unflatten a 0-dim tensor");
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, self->ndim, &d));
  size = self->sizes[d];
  if (parts->n == 0) return mt__op_fail(f, MT_ERR_VALUE, "sizes must be non-empty");
  if (self->ndim - 1 + parts->n > MT_MAX_DIMS)
    return mt__op_fail(f, MT_ERR_SHAPE, "a tensor has at most %d dimensions", MT_MAX_DIMS);
  int open = -1;
  bool fits = true;
  for (int i = 0; i < parts->n; i++) {
    int64_t s = parts->u.is[i];
    if (s == -1 && open < 0)
      open = i;
    else
      fits &= s >= 0 && !__builtin_mul_overflow(known, s, &known);
  }
  fits &= open < 0 ? known == size : known != 0 && size % known == 0;
  if (!fits)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Provided sizes %s don't multiply up to the size of dim %d (%lld) in the "
                       "input tensor",
                       mt__shape_text(text, sizeof text, parts->n, parts->u.is), d + 1,
                       (long long)size);
  for (int i = 0; i < d; i++) sizes[n++] = self->sizes[i];
  for (int i = 0; i < parts->n; i++) sizes[n++] = i == open ? size / known : parts->u.is[i];
  for (int i = d + 1; i < self->ndim; i++) sizes[n++] = self->sizes[i];
  return mt_view(&f->out[0], self, ints(n, sizes));
}

static int movedim(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0);
  const mt_arg *from = &f->args[1], *to = &f->args[2];
  int64_t order[MT_MAX_DIMS];
  uint32_t taken = 0, placed = 0;
  if (from->n != to->n)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "Invalid source or destination dims: source has %d and destination %d",
                       from->n, to->n);
  for (int i = 0; i < from->n; i++) {
    int a, b;
    MT_TRY(mt__dim(f, f->op->params[1].name, from->u.is[i], self->ndim, &a));
    MT_TRY(mt__dim(f, f->op->params[2].name, to->u.is[i], self->ndim, &b));
    if (taken >> a & 1 || placed >> b & 1)
      return mt__op_fail(f, MT_ERR_VALUE, "repeated dim in source or destination");
    taken |= 1u << a;
    placed |= 1u << b;
    order[b] = a;
  }
  if (self->ndim == 0) return mt_permute(&f->out[0], self, ints(0, order));
  for (int i = 0, a = 0; i < self->ndim; i++) {
    if (placed >> i & 1) continue;
    while (taken >> a & 1) a++;
    order[i] = a++;
  }
  return mt_permute(&f->out[0], self, ints(self->ndim, order));
}

/* ---- repeating ---- */

/* x with its dimension i repeated reps[i] times (reps[i] is set to 1 where done): dimensions are
 * doubled, expanded and joined again, as many at a time as a tensor may have. */
static int repeat_some(mt_tensor **out, mt_tensor *x, int64_t *reps) {
  int64_t split[MT_MAX_DIMS], wide[MT_MAX_DIMS], joined[MT_MAX_DIMS];
  int n = 0, left = MT_MAX_DIMS - x->ndim;
  for (int d = 0; d < x->ndim; d++) {
    bool now = reps[d] != 1 && (x->sizes[d] == 1 || left > 0);
    joined[d] = x->sizes[d];
    if (now && x->sizes[d] != 1) {
      split[n] = 1;
      wide[n++] = reps[d];
      left--;
    }
    split[n] = x->sizes[d];
    wide[n] = now && x->sizes[d] == 1 ? reps[d] : x->sizes[d];
    n++;
    if (!now) continue;
    if (__builtin_mul_overflow(joined[d], reps[d], &joined[d]))
      return mt_fail(MT_ERR_SHAPE, "more elements than can be counted");
    reps[d] = 1;
  }
  MT_AUTO *apart = NULL, *spread = NULL, *copy = NULL;
  MT_TRY(mt_reshape(&apart, x, ints(n, split)));
  MT_TRY(mt_expand(&spread, apart, ints(n, wide)));
  MT_TRY(fresh(&copy, spread));
  return mt_view(out, copy, ints(x->ndim, joined));
}

static int repeat_all(mt_frame *f, bool may_be_short) {
  mt_tensor *self = mt__t(f, 0);
  const mt_arg *dims = &f->args[1];
  int64_t reps[MT_MAX_DIMS], sizes[MT_MAX_DIMS];
  if (dims->n < self->ndim && !may_be_short)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Number of dimensions of repeat dims can not be smaller than number of "
                       "dimensions of tensor");
  int n = dims->n > self->ndim ? dims->n : self->ndim, more = 0;
  if (n > MT_MAX_DIMS)
    return mt__op_fail(f, MT_ERR_SHAPE, "a tensor has at most %d dimensions", MT_MAX_DIMS);
  for (int i = 0; i < n; i++) {
    int r = i - (n - dims->n), s = i - (n - self->ndim);
    reps[i] = r < 0 ? 1 : dims->u.is[r];
    sizes[i] = s < 0 ? 1 : self->sizes[s];
    if (reps[i] < 0)
      return mt__op_fail(f, MT_ERR_VALUE, "Trying to create tensor with negative dimension %lld",
                         (long long)reps[i]);
  }
  MT_AUTO *x = NULL;
  MT_TRY(mt_reshape(&x, self, ints(n, sizes)));
  do {
    mt_tensor *next = NULL;
    MT_TRY(repeat_some(&next, x, reps));
    mt_release(x);
    x = next;
    more = 0;
    for (int i = 0; i < n; i++) more |= reps[i] != 1;
  } while (more);
  f->out[0] = mt_retain(x);
  return MT_OK;
}

static int tile(mt_frame *f) {
  return repeat_all(f, true);
}
static int repeat(mt_frame *f) {
  return repeat_all(f, false);
}

static int repeat_interleave(mt_frame *f) {
  int64_t reps = f->args[1].u.i, sizes[MT_MAX_DIMS + 1], all = -1;
  int d = 0;
  if (reps < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "repeats must be non-negative, got %lld", (long long)reps);
  MT_AUTO *x = NULL, *apart = NULL, *spread = NULL, *copy = NULL;
  bool flat = f->args[2].kind == MT_NONE || mt__t(f, 0)->ndim == 0;
  if (!flat) MT_TRY(mt__dim(f, "dim", f->args[2].u.i, mt__t(f, 0)->ndim, &d));
  if (flat) {
    all = mt__t(f, 0)->numel;
    MT_TRY(mt_reshape(&x, mt__t(f, 0), ints(1, &all)));
  } else {
    x = mt_retain(mt__t(f, 0));
  }
  MT_TRY(mt_unsqueeze(&apart, x, d + 1));
  memcpy(sizes, apart->sizes, sizeof apart->sizes);
  sizes[d + 1] = reps;
  MT_TRY(mt_expand(&spread, apart, ints(apart->ndim, sizes)));
  MT_TRY(fresh(&copy, spread));
  memcpy(sizes, x->sizes, sizeof x->sizes);
  sizes[d] *= reps;
  return mt_view(&f->out[0], copy, ints(x->ndim, sizes));
}

/* ---- turning around ---- */

static int roll_dim(mt_tensor **out, mt_tensor *x, int d, int64_t shift) {
  int64_t n = x->sizes[d];
  shift = n ? (shift % n + n) % n : 0;
  MT_AUTO *a = NULL, *b = NULL;
  MT_TRY(mt_narrow(&a, x, d, n - shift + 1, shift));
  MT_TRY(mt_narrow(&b, x, d, 1, n - shift));
  mt_tensor *pair[2] = {a, b};
  return mt_cat(out, (mt_tensors){2, pair}, d);
}

static int roll(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0);
  const mt_arg *shifts = &f->args[1], *dims = &f->args[2];
  int given = dims->kind == MT_NONE ? 0 : dims->n;
  if (shifts->n == 0) return mt__op_fail(f, MT_ERR_VALUE, "`shifts` required");
  if (given ? given != shifts->n : shifts->n != 1)
    return mt__op_fail(f, MT_ERR_VALUE, "shifts and dimensions must align. shifts: %d, dims: %d",
                       shifts->n, given);
  if (given && self->ndim == 0) {
    int d;
    for (int i = 0; i < given; i++) MT_TRY(mt__dim(f, "dims", dims->u.is[i], 0, &d));
  }
  if (self->numel == 0 || self->ndim == 0) return mt_clone(&f->out[0], self);
  if (!given) {
    MT_AUTO *flat = NULL, *turned = NULL;
    MT_TRY(mt_reshape(&flat, self, ints(1, &self->numel)));
    MT_TRY(roll_dim(&turned, flat, 0, shifts->u.is[0]));
    return mt_view(&f->out[0], turned, ints(self->ndim, self->sizes));
  }
  MT_AUTO *x = mt_retain(self);
  for (int i = 0; i < given; i++) {
    int d;
    mt_tensor *next = NULL;
    MT_TRY(mt__dim(f, "dims", dims->u.is[i], self->ndim, &d));
    MT_TRY(roll_dim(&next, x, d, shifts->u.is[i]));
    mt_release(x);
    x = next;
  }
  f->out[0] = mt_retain(x);
  return MT_OK;
}

static int flip_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  uint32_t mask = 0;
  if (f->args[1].n > 0) MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  f->priv[0] = mask;
  return mt__out(f, 0, self->dtype, self->device, self->ndim, self->sizes);
}

static int flip_run(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *out = f->out[0];
  int esize = mt__esize(self->dtype);
  const char *src = mt__ptr(self);
  mt_walk w;
  if (self->numel == 0) return MT_OK;
  mt__walk_init(&w, 2);
  for (int d = 0; d < self->ndim; d++) {
    bool turned = f->priv[0] >> d & 1;
    int64_t s = self->strides[d];
    if (turned) src += (self->sizes[d] - 1) * s * esize;
    mt__walk_dim(&w, self->sizes[d], out->strides[d], turned ? -s : s, 0);
  }
  mt__walk_fold(&w);
  return mt__copy_walk(&w, mt__ptr(out), src, esize);
}

static int flip_vjp(mt_vjp *v) {
  return mt_flip(&v->gin[0], v->g[0], ints(v->args[1].n, v->args[1].u.is));
}

static int flip_one(mt_frame *f, int64_t d, const char *needs) {
  if (mt__t(f, 0)->ndim <= d) return mt__op_fail(f, MT_ERR_SHAPE, "Input must be >= %s", needs);
  return mt_flip(&f->out[0], mt__t(f, 0), ints(1, &d));
}
static int flipud(mt_frame *f) {
  return flip_one(f, 0, "1-d");
}
static int fliplr(mt_frame *f) {
  return flip_one(f, 1, "2-d");
}

/* ---- lists of views ---- */

static int bad_list(const mt_op *op, int code, const char *text) {
  return mt_fail(code, "%s: %s", op->base, text);
}

/* The dimension that a list of views runs over. */
static int list_dim(const mt_op *op, const mt_arg *args, int param, int *d, int64_t *size) {
  const mt_tensor *self = args[0].u.t;
  if (self->ndim == 0) return bad_list(op, MT_ERR_INDEX, "expects at least a 1-dimensional tensor");
  MT_TRY(mt__dim_of(op, args, param, self->ndim, d));
  *size = self->sizes[*d];
  return MT_OK;
}

/* One number is the size of every part but maybe the last; several are the parts' sizes. */
static int64_t split_one(const mt_arg *a) {
  return a->kind == MT_INTS ? a->u.is[0] : a->u.i;
}

static int split_outputs(int *n, const mt_op *op, const mt_arg *args) {
  int d = 0;
  int64_t size = 0;
  MT_TRY(list_dim(op, args, 2, &d, &size));
  const mt_arg *parts = &args[1];
  if (parts->kind != MT_INTS || parts->n == 1) {
    int64_t one = split_one(parts);
    if (one < 0 || (one == 0 && size != 0))
      return mt_fail(MT_ERR_VALUE,
                     "split: split_size must be positive, or zero for a dimension of size 0, got "
                     "%lld (dimension size %lld)",
                     (long long)one, (long long)size);
    int64_t count = one == 0 || size == 0 ? 1 : (size - 1) / one + 1;
    if (count > INT32_MAX) return bad_list(op, MT_ERR_VALUE, "too many parts");
    *n = (int)count;
    return MT_OK;
  }
  int64_t sum = 0;
  bool bad = parts->n == 0;
  for (int i = 0; i < parts->n; i++)
    bad |= parts->u.is[i] < 0 || __builtin_add_overflow(sum, parts->u.is[i], &sum);
  if (bad || sum != size) {
    char text[256];
    return mt_fail(MT_ERR_VALUE,
                   "split: expects split sizes to sum exactly to %lld (input tensor's size at "
                   "dimension %d), got %s",
                   (long long)size, d + 1,
                   mt__shape_text(text, sizeof text, parts->n < 16 ? parts->n : 16, parts->u.is));
  }
  *n = parts->n;
  return MT_OK;
}

static int split_into(mt_frame *f, int d, int count, int64_t each, const int64_t *sizes) {
  mt_tensor *self = mt__t(f, 0);
  int64_t start = 0;
  for (int k = 0; k < count; k++) {
    int64_t left = self->sizes[d] - start, size = sizes ? sizes[k] : each < left ? each : left;
    mt_tensor *part = NULL;
    MT_TRY(mt_narrow(&part, self, d, start + 1, size));
    mt__result(f, k, part);
    start += size;
  }
  return MT_OK;
}

static int split(mt_frame *f) {
  int d = 0, n = 0;
  int64_t size = 0;
  const mt_arg *parts = &f->args[1];
  MT_TRY(split_outputs(&n, f->op, f->args));
  MT_TRY(list_dim(f->op, f->args, 2, &d, &size));
  bool one = parts->kind != MT_INTS || parts->n == 1;
  return split_into(f, d, n, one ? split_one(parts) : 0, one ? NULL : parts->u.is);
}

static int chunk_outputs(int *n, const mt_op *op, const mt_arg *args) {
  int d = 0;
  int64_t size = 0, chunks = args[1].u.i;
  MT_TRY(list_dim(op, args, 2, &d, &size));
  if (chunks < 1 || chunks > INT32_MAX)
    return mt_fail(MT_ERR_VALUE, "chunk: expects `chunks` to be greater than 0, got: %lld",
                   (long long)chunks);
  int64_t each = (size - 1) / chunks + 1;
  *n = (int)(size == 0 ? chunks : (size - 1) / each + 1);
  return MT_OK;
}

static int chunk(mt_frame *f) {
  int d = 0, n = 0;
  int64_t size = 0;
  MT_TRY(chunk_outputs(&n, f->op, f->args));
  MT_TRY(list_dim(f->op, f->args, 2, &d, &size));
  return split_into(f, d, n, size == 0 ? 0 : (size - 1) / f->args[1].u.i + 1, NULL);
}

static int unbind_outputs(int *n, const mt_op *op, const mt_arg *args) {
  int d = 0;
  int64_t size = 0;
  MT_TRY(list_dim(op, args, 1, &d, &size));
  if (size > INT32_MAX) return bad_list(op, MT_ERR_VALUE, "too many parts");
  *n = (int)size;
  return MT_OK;
}

static int unbind(mt_frame *f) {
  int d = 0;
  int64_t size = 0;
  MT_TRY(list_dim(f->op, f->args, 1, &d, &size));
  for (int k = 0; k < size; k++) {
    mt_tensor *part = NULL;
    MT_TRY(mt_select(&part, mt__t(f, 0), d, k + 1));
    mt__result(f, k, part);
  }
  return MT_OK;
}

static int list_outputs(int *n, const mt_op *op, const mt_arg *args) {
  if (args[0].n == 0) return bad_list(op, MT_ERR_VALUE, "expects a non-empty list of tensors");
  *n = args[0].n;
  return MT_OK;
}

static int broadcast_tensors(mt_frame *f) {
  int ndim;
  int64_t sizes[MT_MAX_DIMS];
  mt_tensor **list = f->args[0].u.ts;
  MT_TRY(mt__broadcast(f, f->args[0].n, list, &ndim, sizes));
  for (int k = 0; k < f->args[0].n; k++) {
    mt_tensor *t = NULL;
    MT_TRY(mt_expand(&t, list[k], ints(ndim, sizes)));
    mt__result(f, k, t);
  }
  return MT_OK;
}

static int meshgrid(mt_frame *f) {
  int n = f->args[0].n;
  mt_tensor **list = f->args[0].u.ts;
  int64_t sizes[MT_MAX_DIMS], one[MT_MAX_DIMS];
  bool xy = f->args[1].u.i == 1 && n > 1;
  if (n > MT_MAX_DIMS) return mt__op_fail(f, MT_ERR_SHAPE, "at most %d tensors", MT_MAX_DIMS);
  for (int k = 0; k < n; k++) {
    int place = xy && k < 2 ? 1 - k : k;
    MT_TRY(mt__want_ndim(f, "every tensor", list[k], 0, 1));
    if (list[k]->dtype != list[0]->dtype)
      return mt__op_fail(f, MT_ERR_DTYPE, "expects all tensors to have the same dtype");
    sizes[place] = list[k]->numel;
  }
  for (int k = 0; k < n; k++) {
    int place = xy && k < 2 ? 1 - k : k;
    for (int i = 0; i < n; i++) one[i] = i == place ? sizes[i] : 1;
    MT_AUTO *along = NULL;
    mt_tensor *t = NULL;
    MT_TRY(mt_view(&along, list[k], ints(n, one)));
    MT_TRY(mt_expand(&t, along, ints(n, sizes)));
    mt__result(f, k, t);
  }
  return MT_OK;
}

#define LIST MT_OP_MULTIVIEW

const mt_opdef mt__ops_shape[] = {
    {.sig = MT_SIG("reshape(Tensor self, size* shape) -> Tensor"),
     .doc = "The same elements under other sizes: a view where strides allow it, else a copy.",
     .composite = reshape,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4), 2, 6}, {t(f(3,4)), 4, -1}, {t(f(3,4)), 12}, {f(), 1}, {f(0,3), 3, 0}"},
    {.sig = MT_SIG("reshape_as(Tensor self, Tensor other) -> Tensor"),
     .doc = "reshape to the sizes of another tensor.",
     .composite = reshape_as,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(3,4), f(2,6)}, {t(f(3,4)), f(12)}"},
    {.sig = MT_SIG("view_as(Tensor self, Tensor other) -> Tensor"),
     .doc = "view with the sizes of another tensor.",
     .composite = view_as,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(3,4), f(2,6)}"},
    {.sig = MT_SIG("expand_as(Tensor self, Tensor other) -> Tensor"),
     .doc = "expand to the sizes of another tensor.",
     .composite = expand_as,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(3,1), f(3,4)}, {f(), f(2)}"},
    {.sig = MT_SIG("ravel(Tensor self) -> Tensor"),
     .doc = "All elements in one dimension: a view where strides allow it.",
     .composite = ravel,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4)}, {t(f(3,4))}, {f()}"},
    {.sig = MT_SIG("flatten(Tensor self, dim start_dim=1, dim end_dim=-1) -> Tensor"),
     .doc = "The dimensions start_dim to end_dim joined into one.",
     .composite = flatten,
     .dtypes = MT_D_ALL,
     .samples = "{f(2,3,2)}, {f(2,3,2), 2}, {f(2,3,2), 1, 2}, {t(f(3,4))}, {f()}, {f(0,3), 1}"},
    {.sig = MT_SIG("unflatten(Tensor self, dim dim, size sizes) -> Tensor"),
     .doc = "One dimension divided into several; one of their sizes may be -1.",
     .composite = unflatten,
     .dtypes = MT_D_ALL,
     .samples = "{f(2,6), 2, {2, 3}}, {f(2,6), -1, {-1, 2}}, {t(f(3,4)), 1, {2, 2}}"},
    {.sig = MT_SIG("movedim(Tensor self, dims source, dims destination) -> Tensor"),
     .doc = "A view with dimensions moved to other places, the rest in order.",
     .composite = movedim,
     .dtypes = MT_D_ALL,
     .samples = "{f(2,3,4), 1, 3}, {f(2,3,4), {1, 2}, {3, 1}}, {f(2,3,4), -1, 1}"},
    {.sig = MT_SIG("moveaxis(Tensor self, dims source, dims destination) -> Tensor"),
     .doc = "Another name of movedim.",
     .composite = movedim,
     .dtypes = MT_D_ALL,
     .samples = "{f(2,3,4), 1, 3}"},
    {.sig = MT_SIG("tile(Tensor self, size* dims) -> Tensor"),
     .doc = "The tensor repeated along its dimensions; missing leading numbers are 1.",
     .composite = tile,
     .dtypes = MT_D_ALL,
     .samples = "{f(2,3), 2, 2}, {f(2,3), 2}, {f(3), {2, 1, 3}}, {t(f(2,3)), 1, 2}, {f(), 3}, "
                "{f(2,3), 0, 1}, {f(1,3), 4, 1}"},
    {.sig = MT_SIG("repeat(Tensor self, size* repeats) -> Tensor"),
     .doc = "The tensor repeated along its dimensions; a number for each of them.",
     .composite = repeat,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(2,3), 2, 2}, {f(3), {2, 1, 3}}, {t(f(2,3)), 1, 2}, {f(), 3}"},
    {.sig = MT_SIG("repeat_interleave(Tensor self, int repeats, dim? dim=None) -> Tensor"),
     .doc = "Each element, or each slice of a dimension, repeated right after itself.",
     .composite = repeat_interleave,
     .dtypes = MT_D_ALL,
     .samples = "{f(2,3), 2}, {f(2,3), 3, 1}, {t(f(2,3)), 2, -1}, {f(), 2}, {f(2,3), 0, 1}"},
    {.sig = MT_SIG("roll(Tensor self, ints shifts, dims? dims=None) -> Tensor"),
     .doc = "Elements shifted along dimensions, those that fall off coming in at the other end.",
     .composite = roll,
     .dtypes = MT_D_ALL,
     .samples = "{f(5), 2}, {f(3,4), 1}, {f(3,4), -1, 2}, {f(3,4), {1, 2}, {1, 2}}, "
                "{t(f(3,4)), 5, 1}, {f(), 1}, {f(0,3), 1, 1}"},
    {.sig = MT_SIG("flip(Tensor self, dims* dims) -> Tensor"),
     .doc = "A copy with the order of elements reversed along dimensions.",
     .infer = flip_infer,
     .run = flip_run,
     .vjp = flip_vjp,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4), 1}, {f(3,4), {1, 2}}, {t(f(3,4)), -1}, {f(5), 1}, {f(0,3), 1}, "
                "{e(f(3,1), 3, 4), 1}"},
    {.sig = MT_SIG("flipud(Tensor self) -> Tensor"),
     .doc = "flip along the first dimension.",
     .composite = flipud,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4)}, {f(3)}"},
    {.sig = MT_SIG("fliplr(Tensor self) -> Tensor"),
     .doc = "flip along the second dimension.",
     .composite = fliplr,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4)}"},
    {.sig = MT_SIG("split(Tensor self, ints split_size, dim dim=1) -> Tensor[]"),
     .doc = "Views of equal parts (the last may be smaller), or of parts with the given sizes.",
     .composite = split,
     .outputs = split_outputs,
     .dtypes = MT_D_ALL,
     .flags = LIST,
     .samples = "{f(5,2), 2}, {f(5,2), {1, 4}}, {f(2,5), {2, 0, 3}, 2}, {t(f(3,4)), 2, -1}, "
                "{f(0,3), 2}"},
    {.sig = MT_SIG("chunk(Tensor self, int chunks, dim dim=1) -> Tensor[]"),
     .doc = "Views of at most that many parts of equal size.",
     .composite = chunk,
     .outputs = chunk_outputs,
     .dtypes = MT_D_ALL,
     .flags = LIST,
     .samples = "{f(5,2), 2}, {f(5,2), 4}, {f(2,6), 3, 2}, {f(0,3), 2}"},
    {.sig = MT_SIG("unbind(Tensor self, dim dim=1) -> Tensor[]"),
     .doc = "Views of every position of a dimension.",
     .composite = unbind,
     .outputs = unbind_outputs,
     .dtypes = MT_D_ALL,
     .flags = LIST,
     .samples = "{f(3,2)}, {f(3,2), 2}, {t(f(3,2)), -1}, {f(0,3)}"},
    {.sig = MT_SIG("broadcast_tensors(Tensor[]* tensors) -> Tensor[]"),
     .doc = "The tensors expanded to their common sizes.",
     .composite = broadcast_tensors,
     .outputs = list_outputs,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,1), f(4)}, {{f(2), f()}}"},
    {.sig = MT_SIG("meshgrid(Tensor[]* tensors, *, choice(ij|xy) indexing=ij) -> Tensor[]"),
     .doc = "Coordinates of a grid: tensor k repeated over the dimensions of the others.",
     .composite = meshgrid,
     .outputs = list_outputs,
     .dtypes = MT_D_ALL,
     .samples = "{f(3), f(4)}, {{f(3), f(2), f()}}, {f(3), f(4), {indexing=\"xy\"}}"},
    {0}};
