/* view.c: views: tensors that share their argument's storage under other sizes and strides.
 *
 * Invariants
 *  - A view is a function on geometry (sizes, strides, offset). infer applies it to the
 *    argument's own geometry; a derivative applies the same function to a row-major gradient of
 *    the argument's sizes, and so learns where in it the view's elements lie.
 *  - Therefore one hidden op, _embed_strided (zeros with a tensor added in at strided places), is
 *    the derivative of every view that leaves elements out or repeats them. The derivative of
 *    _embed_strided is as_strided.
 */
#include <string.h>

#include "moontorch_ops.h"

#include "internal.h"
#include "shapes.h"
#include "walk.h"

typedef struct geom {
  int ndim;
  int64_t offset;
  int64_t sizes[MT_MAX_DIMS], strides[MT_MAX_DIMS];
} geom;

/* out holds a copy of the input's geometry on entry. */
typedef struct view_kind {
  int (*apply)(const mt_frame *f, geom *out);
} view_kind;

static void geom_of(geom *g, const mt_tensor *t) {
  g->ndim = t->ndim;
  g->offset = t->offset;
  memcpy(g->sizes, t->sizes, sizeof g->sizes);
  memcpy(g->strides, t->strides, sizeof g->strides);
}

static int view_infer(mt_frame *f) {
  const view_kind *kind = f->op->def.extra;
  geom g;
  geom_of(&g, mt__t(f, 0));
  MT_TRY(kind->apply(f, &g));
  return mt__out_view(f, g.ndim, g.sizes, g.strides, g.offset);
}

static int view_run(mt_frame *f) {
  (void)f;
  return MT_OK;
}

static mt_ints ints(int n, const int64_t *v) {
  return (mt_ints){n, v};
}

static mt_ints sizes_of(const mt_tensor *t) {
  return ints(t->ndim, t->sizes);
}

/* The gradient lies in zeros of the input's sizes where the view would see it. */
static int embed_vjp(mt_vjp *v) {
  const view_kind *kind = v->op->def.extra;
  const mt_tensor *self = v->args[0].u.t;
  mt_frame f = {.op = v->op, .args = v->args};
  geom g = {.ndim = self->ndim};
  memcpy(g.sizes, self->sizes, sizeof g.sizes);
  mt__row_major(self->ndim, self->sizes, g.strides);
  MT_TRY(kind->apply(&f, &g));
  return mt__embed_strided(&v->gin[0], v->g[0], sizes_of(self), ints(g.ndim, g.strides), g.offset);
}

static int reshape_vjp(mt_vjp *v) {
  return mt_reshape(&v->gin[0], v->g[0], sizes_of(v->args[0].u.t));
}

/* ---- leaving a dimension out, or a part of it ---- */

static void drop_dim(geom *g, int d) {
  for (int i = d; i + 1 < g->ndim; i++) {
    g->sizes[i] = g->sizes[i + 1];
    g->strides[i] = g->strides[i + 1];
  }
  g->ndim--;
}

static int not_scalar(const mt_frame *f, const geom *g) {
  if (g->ndim > 0) return MT_OK;
  return mt__op_fail(f, MT_ERR_INDEX, "cannot be applied to a 0-dim tensor");
}

static int select_apply(const mt_frame *f, geom *g) {
  int d;
  int64_t i;
  MT_TRY(not_scalar(f, g));
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, g->ndim, &d));
  MT_TRY(mt__position(f, f->args[2].u.i, d, g->sizes[d], &i));
  g->offset += i * g->strides[d];
  drop_dim(g, d);
  return MT_OK;
}

static int narrow_apply(const mt_frame *f, geom *g) {
  int d;
  int64_t start = f->args[2].u.i, length = f->args[3].u.i;
  MT_TRY(not_scalar(f, g));
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, g->ndim, &d));
  int64_t n = g->sizes[d];
  if (length < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "length must not be negative, got %lld", (long long)length);
  if (start != n + 1)
    MT_TRY(mt__position(f, start, d, n, &start));
  else
    start = n;
  if (length > n - start)
    return mt__op_fail(f, MT_ERR_INDEX,
                       "start (%lld) with length (%lld) exceeds dimension %d with size %lld",
                       (long long)start + 1, (long long)length, d + 1, (long long)n);
  if (length > 0) g->offset += start * g->strides[d];
  g->sizes[d] = length;
  return MT_OK;
}

/* The inclusive ranges of indexing: after negatives are resolved, 1 <= a <= n + 1 and
 * a - 1 <= b <= n. */
static int slice_apply(const mt_frame *f, geom *g) {
  int d;
  int64_t a = f->args[2].u.i, b = f->args[3].u.i, step = f->args[4].u.i;
  MT_TRY(not_scalar(f, g));
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, g->ndim, &d));
  int64_t n = g->sizes[d], first = a < 0 ? a + n + 1 : a, last = b < 0 ? b + n + 1 : b;
  if (step < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "the step of a range must be positive, got %lld: use flip",
                       (long long)step);
  if (step == 0) return mt__op_fail(f, MT_ERR_VALUE, "the step of a range cannot be zero");
  if (a == 0) return mt__op_fail(f, MT_ERR_INDEX, "index 0: positions count from 1");
  if (first < 1 || first > n + 1 || last < first - 1 || last > n)
    return mt__op_fail(f, MT_ERR_INDEX,
                       "range {%lld, %lld} is out of bounds for dimension %d with "
                       "size %lld",
                       (long long)a, (long long)b, d + 1, (long long)n);
  int64_t length = last < first ? 0 : (last - first) / step + 1;
  if (length > 0) g->offset += (first - 1) * g->strides[d];
  g->sizes[d] = length;
  if (length > 1) g->strides[d] *= step;
  return MT_OK;
}

static int diagonal_apply(const mt_frame *f, geom *g) {
  int d1, d2;
  int64_t offset = f->args[1].u.i;
  MT_TRY(mt__dim(f, "dim1", f->args[2].u.i, g->ndim, &d1));
  MT_TRY(mt__dim(f, "dim2", f->args[3].u.i, g->ndim, &d2));
  if (d1 == d2)
    return mt__op_fail(f, MT_ERR_VALUE, "diagonal dimensions cannot be identical %d, %d", d1 + 1,
                       d2 + 1);
  int64_t n1 = g->sizes[d1], n2 = g->sizes[d2], s1 = g->strides[d1], s2 = g->strides[d2], n = 0;
  if (offset >= 0) {
    if (offset < n2) n = n1 < n2 - offset ? n1 : n2 - offset;
    if (n > 0) g->offset += offset * s2;
  } else {
    if (offset > -n1) n = n1 + offset < n2 ? n1 + offset : n2;
    if (n > 0) g->offset -= offset * s1;
  }
  drop_dim(g, d1 > d2 ? d1 : d2);
  drop_dim(g, d1 > d2 ? d2 : d1);
  g->sizes[g->ndim] = n;
  g->strides[g->ndim++] = s1 + s2;
  return MT_OK;
}

static int too_many_dims(const mt_frame *f) {
  return mt__op_fail(f, MT_ERR_SHAPE, "a tensor has at most %d dimensions", MT_MAX_DIMS);
}

static int unfold_apply(const mt_frame *f, geom *g) {
  int d;
  int64_t size = f->args[2].u.i, step = f->args[3].u.i;
  MT_TRY(mt__dim(f, "dimension", f->args[1].u.i, g->ndim, &d));
  if (g->ndim == MT_MAX_DIMS) return too_many_dims(f);
  int64_t n = g->ndim ? g->sizes[d] : 1, stride = g->ndim ? g->strides[d] : 1;
  if (size < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "size is %lld but must be >= 0", (long long)size);
  if (size > n)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "maximum size for tensor at dimension %d is %lld but size is %lld", d + 1,
                       (long long)n, (long long)size);
  if (step <= 0)
    return mt__op_fail(f, MT_ERR_VALUE, "step is %lld but must be > 0", (long long)step);
  g->sizes[g->ndim] = size;
  g->strides[g->ndim] = stride;
  if (g->ndim) {
    g->sizes[d] = (n - size) / step + 1;
    g->strides[d] = g->sizes[d] > 1 ? stride * step : stride;
  }
  g->ndim++;
  return MT_OK;
}

/* ---- the same elements in another order of dimensions ---- */

static int transpose_apply(const mt_frame *f, geom *g) {
  int a, b;
  MT_TRY(mt__dim(f, f->op->params[1].name, f->args[1].u.i, g->ndim, &a));
  MT_TRY(mt__dim(f, f->op->params[2].name, f->args[2].u.i, g->ndim, &b));
  if (g->ndim == 0) return MT_OK;
  int64_t size = g->sizes[a], stride = g->strides[a];
  g->sizes[a] = g->sizes[b];
  g->strides[a] = g->strides[b];
  g->sizes[b] = size;
  g->strides[b] = stride;
  return MT_OK;
}

static int transpose_vjp(mt_vjp *v) {
  return mt_transpose(&v->gin[0], v->g[0], v->args[1].u.i, v->args[2].u.i);
}

static int t_apply(const mt_frame *f, geom *g) {
  if (g->ndim > 2)
    return mt__op_fail(f, MT_ERR_SHAPE, "expects a tensor with <= 2 dimensions, but self is %dD",
                       g->ndim);
  if (g->ndim < 2) return MT_OK;
  geom in = *g;
  for (int i = 0; i < 2; i++) {
    g->sizes[i] = in.sizes[1 - i];
    g->strides[i] = in.strides[1 - i];
  }
  return MT_OK;
}

static int t_vjp(mt_vjp *v) {
  return mt_t(&v->gin[0], v->g[0]);
}

static int permute_apply(const mt_frame *f, geom *g) {
  const mt_arg *dims = &f->args[1];
  geom in = *g;
  uint32_t seen = 0;
  if (dims->n != g->ndim)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "number of dimensions in the tensor input does not match the length of the "
                       "desired ordering of dimensions: the tensor has %d, dims has %d",
                       g->ndim, dims->n);
  for (int i = 0; i < g->ndim; i++) {
    int d;
    MT_TRY(mt__dim(f, "dims", dims->u.is[i], in.ndim, &d));
    if (seen >> d & 1) return mt__op_fail(f, MT_ERR_VALUE, "duplicate dims are not allowed");
    seen |= 1u << d;
    g->sizes[i] = in.sizes[d];
    g->strides[i] = in.strides[d];
  }
  return MT_OK;
}

static int permute_vjp(mt_vjp *v) {
  int64_t back[MT_MAX_DIMS];
  int n = v->args[1].n;
  for (int i = 0; i < n; i++) {
    int64_t d = v->args[1].u.is[i];
    back[d < 0 ? d + n : d] = i;
  }
  return mt_permute(&v->gin[0], v->g[0], ints(n, back));
}

/* ---- sizes of one, and repeated elements ---- */

static int expand_apply(const mt_frame *f, geom *g) {
  const mt_arg *size = &f->args[1];
  geom in = *g;
  char want[256], have[256];
  int lead = size->n - in.ndim;
  if (size->n > MT_MAX_DIMS) return too_many_dims(f);
  if (lead < 0)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "the number of sizes provided (%d) must be greater or equal to the number "
                       "of dimensions in the tensor (%d)",
                       size->n, in.ndim);
  g->ndim = size->n;
  for (int i = 0; i < size->n; i++) {
    int64_t s = size->u.is[i];
    if (i < lead && s < 0)
      return mt__op_fail(f, MT_ERR_VALUE,
                         "the expanded size of the tensor (%lld) isn't allowed in a leading, "
                         "non-existing dimension %d",
                         (long long)s, i + 1);
    int64_t old = i < lead ? 1 : in.sizes[i - lead];
    if (s == -1) s = old;
    if (s < 0 || (s != old && old != 1))
      return mt__op_fail(
          f, MT_ERR_SHAPE,
          "The expanded size of the tensor (%lld) must match the existing size "
          "(%lld) at non-singleton dimension %d.  Target sizes: %s.  Tensor sizes: %s",
          (long long)s, (long long)old, i + 1,
          mt__shape_text(want, sizeof want, size->n, size->u.is),
          mt__shape_text(have, sizeof have, in.ndim, in.sizes));
    g->sizes[i] = s;
    g->strides[i] = i < lead || s != old ? 0 : in.strides[i - lead];
  }
  return MT_OK;
}

static int expand_vjp(mt_vjp *v) {
  return mt__sum_to(&v->gin[0], v->g[0], v->args[0].u.t);
}

static int unsqueeze_apply(const mt_frame *f, geom *g) {
  int d;
  if (g->ndim == MT_MAX_DIMS) return too_many_dims(f);
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, g->ndim + 1, &d));
  for (int i = g->ndim; i > d; i--) {
    g->sizes[i] = g->sizes[i - 1];
    g->strides[i] = g->strides[i - 1];
  }
  g->strides[d] = d < g->ndim ? g->sizes[d + 1] * g->strides[d + 1] : 1;
  g->sizes[d] = 1;
  g->ndim++;
  return MT_OK;
}

static int squeeze_apply(const mt_frame *f, geom *g) {
  uint32_t mask;
  geom in = *g;
  MT_TRY(mt__dims_mask(f, &f->args[1], in.ndim, &mask));
  g->ndim = 0;
  for (int i = 0; i < in.ndim; i++)
    if (in.sizes[i] != 1 || !(mask >> i & 1)) {
      g->sizes[g->ndim] = in.sizes[i];
      g->strides[g->ndim++] = in.strides[i];
    }
  return MT_OK;
}

static int view_apply(const mt_frame *f, geom *g) {
  int64_t sizes[MT_MAX_DIMS], strides[MT_MAX_DIMS];
  const mt_arg *size = &f->args[1];
  int64_t numel = 1;
  for (int i = 0; i < g->ndim; i++) numel *= g->sizes[i];
  MT_TRY(mt__fill_sizes(f, size->n, size->u.is, numel, sizes));
  if (!mt__view_strides(g->ndim, g->sizes, g->strides, size->n, sizes, strides))
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "view size is not compatible with input tensor's size and stride (at least "
                       "one dimension spans across two contiguous subspaces). Use :reshape(...) "
                       "instead.");
  g->ndim = size->n;
  memcpy(g->sizes, sizes, sizeof sizes);
  memcpy(g->strides, strides, sizeof strides);
  return MT_OK;
}

/* ---- any geometry ---- */

/* One past the last element that a geometry reaches. */
static int64_t reach(int ndim, const int64_t *sizes, const int64_t *strides, int64_t offset) {
  int64_t last = offset;
  for (int i = 0; i < ndim; i++) {
    if (sizes[i] == 0) return offset;
    last += (sizes[i] - 1) * strides[i];
  }
  return last + 1;
}

/* Sizes and strides of a given geometry: as many of each, none negative, no overflow. */
static int check_geometry(const mt_frame *f, const mt_arg *size, const mt_arg *stride,
                          int64_t offset, int64_t *end) {
  if (size->n != stride->n)
    return mt__op_fail(f, MT_ERR_SHAPE, "mismatch in length of strides and shape: %d and %d",
                       stride->n, size->n);
  if (size->n > MT_MAX_DIMS) return too_many_dims(f);
  bool bad = offset < 0, empty = false;
  int64_t last = offset;
  for (int i = 0; i < size->n; i++) {
    int64_t s = size->u.is[i], step;
    if (s < 0 || stride->u.is[i] < 0)
      return mt__op_fail(f, MT_ERR_VALUE, "negative sizes and strides are not supported");
    empty |= s == 0;
    bad |= __builtin_mul_overflow(s > 0 ? s - 1 : 0, stride->u.is[i], &step) ||
           __builtin_add_overflow(last, step, &last);
  }
  bad |= last == INT64_MAX;
  *end = empty ? offset : last + 1;
  if (bad) return mt__op_fail(f, MT_ERR_VALUE, "sizes, strides and offset go beyond any storage");
  return MT_OK;
}

static int as_strided_apply(const mt_frame *f, geom *g) {
  const mt_arg *size = &f->args[1], *stride = &f->args[2], *offset = &f->args[3];
  const mt_tensor *self = f->args[0].u.t;
  int64_t end;
  g->offset = offset->kind == MT_NONE ? self->offset : offset->u.i;
  MT_TRY(check_geometry(f, size, stride, g->offset, &end));
  if (self->storage && end > self->storage->nbytes / mt__esize(self->dtype)) {
    char a[256], b[256];
    return mt__op_fail(f, MT_ERR_INDEX,
                       "size %s with strides %s and storage offset %lld reaches element %lld of a "
                       "storage with %lld",
                       mt__shape_text(a, sizeof a, size->n, size->u.is),
                       mt__shape_text(b, sizeof b, stride->n, stride->u.is), (long long)g->offset,
                       (long long)end, (long long)(self->storage->nbytes / mt__esize(self->dtype)));
  }
  g->ndim = size->n;
  memcpy(g->sizes, size->u.is, (size_t)size->n * sizeof(int64_t));
  memcpy(g->strides, stride->u.is, (size_t)size->n * sizeof(int64_t));
  return MT_OK;
}

/* The gradient is laid out as the storage is: added in where the view's elements lie, then read
 * where the argument's lie. An element that the argument holds more than once shares it. */
static int as_strided_vjp(mt_vjp *v) {
  const mt_tensor *self = v->args[0].u.t, *out = v->outs[0];
  if (self->numel == 0 || out->numel == 0) return mt__zeros_like(&v->gin[0], self);
  int64_t lo = self->offset < out->offset ? self->offset : out->offset;
  int64_t a = reach(self->ndim, self->sizes, self->strides, self->offset);
  int64_t b = reach(out->ndim, out->sizes, out->strides, out->offset);
  int64_t extent = (a > b ? a : b) - lo;
  mt_ints strides = ints(self->ndim, self->strides);
  MT_AUTO *storage = NULL, *seen = NULL, *ones = NULL, *counts = NULL, *count = NULL;
  MT_TRY(mt__embed_strided(&storage, v->g[0], ints(1, &extent), ints(out->ndim, out->strides),
                           out->offset - lo));
  if (!mt__overlaps_itself(self))
    return mt_as_strided(&v->gin[0], storage, sizes_of(self), strides,
                         mt__arg_i(self->offset - lo));
  MT_TRY(mt_as_strided(&seen, storage, sizes_of(self), strides, mt__arg_i(self->offset - lo)));
  MT_TRY(mt_ones(&ones, sizes_of(self), self->dtype, self->device, false));
  MT_TRY(mt__embed_strided(&counts, ones, ints(1, &extent), strides, self->offset - lo));
  MT_TRY(mt_as_strided(&count, counts, sizes_of(self), strides, mt__arg_i(self->offset - lo)));
  return mt_div(&v->gin[0], mt__arg_t(seen), mt__arg_t(count), -1);
}

static int embed_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  const mt_arg *size = &f->args[1];
  mt_arg have = {.kind = MT_INTS, .n = self->ndim};
  int64_t end, numel;
  have.u.is = self->sizes;
  MT_TRY(check_geometry(f, &have, &f->args[2], f->args[3].u.i, &end));
  MT_TRY(mt__count(&numel, size->n, size->u.is, self->dtype));
  if (self->numel > 0 && end > numel)
    return mt__op_fail(f, MT_ERR_INDEX, "the strides reach element %lld of %lld", (long long)end,
                       (long long)numel);
  return mt__out(f, 0, self->dtype, self->device, size->n, size->u.is);
}

typedef struct embed_ctx {
  mt_walk outer, inner;
  char *dst;
  const char *src;
  int esize;
  int64_t dst_at, src_at;
  mt_add_row_fn add;
} embed_ctx;

static void embed_row(void *p, const int64_t *off, int64_t n) {
  embed_ctx *c = p;
  int last = c->inner.ndim - 1;
  c->add(c->dst + (c->dst_at + off[0]) * c->esize, c->inner.strides[0][last],
         c->src + (c->src_at + off[1]) * c->esize, c->inner.strides[1][last], n, 1, 1);
}

static void embed_block(void *p, const int64_t *off, int64_t n) {
  embed_ctx *c = p;
  int last = c->outer.ndim - 1;
  for (int64_t i = 0; i < n; i++) {
    c->dst_at = off[0] + i * c->outer.strides[0][last];
    c->src_at = off[1] + i * c->outer.strides[1][last];
    mt__walk_range(&c->inner, 0, c->inner.numel, embed_row, c);
  }
}

static void embed_range(void *p, int64_t begin, int64_t end) {
  embed_ctx c = *(embed_ctx *)p;
  mt__walk_range(&c.outer, begin, end, embed_block, &c);
}

/* Dimensions along which the places of different indices never meet, as a mask: those that, by
 * rising stride, lie beyond all that the smaller strides reach, up to the largest. */
static uint32_t separate_dims(int ndim, const int64_t *sizes, const int64_t *strides) {
  int order[MT_MAX_DIMS];
  uint32_t mask = 0;
  for (int d = 0; d < ndim; d++) {
    int at = d;
    for (; at > 0 && strides[order[at - 1]] > strides[d]; at--) order[at] = order[at - 1];
    order[at] = d;
  }
  int64_t far = 0;
  for (int i = 0; i < ndim; i++) {
    int d = order[i];
    if (sizes[d] == 1) {
      mask |= 1u << d;
      continue;
    }
    if (strides[d] > far)
      mask |= 1u << d;
    else
      mask = 0;
    far += strides[d] * (sizes[d] - 1);
  }
  return mask;
}

static int embed_run(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *out = f->out[0];
  const int64_t *strides = f->args[2].u.is;
  embed_ctx c = {.esize = mt__esize(self->dtype), .add = mt__add_row(self->dtype)};
  MT_TRY(mt__clear(mt__ptr(out), out->numel * c.esize));
  if (self->numel == 0) return MT_OK;
  c.dst = mt__ptr(out) + f->args[3].u.i * c.esize;
  c.src = mt__ptr(self);
  uint32_t apart = separate_dims(self->ndim, self->sizes, strides);
  mt__walk_init(&c.outer, 2);
  mt__walk_init(&c.inner, 2);
  bool all = apart == (1u << self->ndim) - 1;
  for (int d = 0; d < self->ndim; d++)
    mt__walk_dim(all || apart >> d & 1 ? &c.outer : &c.inner, self->sizes[d], strides[d],
                 self->strides[d], 0);
  mt__walk_fold(&c.outer);
  if (all) return mt__copy_walk(&c.outer, c.dst, c.src, c.esize);
  mt__walk_fold(&c.inner);
  return mt__parallel_range(c.outer.numel, MT_COPY_GRAIN / c.inner.numel + 1, embed_range, &c);
}

static int embed_vjp_back(mt_vjp *v) {
  const mt_tensor *self = v->args[0].u.t;
  MT_AUTO *g = NULL;
  MT_TRY(mt_contiguous(&g, v->g[0]));
  return mt_as_strided(&v->gin[0], g, sizes_of(self), ints(v->args[2].n, v->args[2].u.is),
                       mt__arg_i(v->args[3].u.i + mt_offset(g)));
}

static const view_kind select_kind = {select_apply}, narrow_kind = {narrow_apply},
                       slice_kind = {slice_apply}, diagonal_kind = {diagonal_apply},
                       unfold_kind = {unfold_apply}, transpose_kind = {transpose_apply},
                       t_kind = {t_apply}, permute_kind = {permute_apply},
                       expand_kind = {expand_apply}, unsqueeze_kind = {unsqueeze_apply},
                       squeeze_kind = {squeeze_apply}, view_as_kind = {view_apply},
                       as_strided_kind = {as_strided_apply};

#define VIEW(kind, vjp_fn)                                                                         \
  .infer = view_infer, .run = view_run, .vjp = vjp_fn, .dtypes = MT_D_ALL, .extra = &kind
#define V           MT_OP_VIEW
#define METHOD_ONLY (MT_OP_VIEW | MT_OP_NO_FUNCTION)

const mt_opdef mt__ops_view[] = {
    {.sig = MT_SIG("select(Tensor self, dim dim, index index) -> Tensor"),
     .doc = "A view without one dimension, at a position of it.",
     VIEW(select_kind, embed_vjp),
     .flags = V,
     .samples = "{f(3,4), 1, 2}, {f(3,4), -1, -1}, {t(f(3,4)), 2, 3}, {f(5), 1, 5}, "
                "{f(0,3), 2, 1}, {e(f(3,1), 3, 4), 2, 1}"},
    {.sig = MT_SIG("narrow(Tensor self, dim dim, index start, int length) -> Tensor"),
     .doc = "A view of length positions of a dimension, from start on.",
     VIEW(narrow_kind, embed_vjp),
     .flags = V,
     .samples = "{f(3,4), 2, 2, 2}, {f(3,4), 1, -1, 1}, {t(f(3,4)), 1, 1, 3}, {f(3,4), 1, 4, 0}, "
                "{f(0,3), 2, 1, 2}"},
    {.sig = MT_SIG("slice(Tensor self, dim dim, index start=1, index stop=-1, int step=1) "
                   "-> Tensor"),
     .doc = "A view of the positions start to stop (included) of a dimension, every step-th.",
     VIEW(slice_kind, embed_vjp),
     .flags = V | MT_OP_HIDDEN,
     .samples = "{f(3,4), 2, 2, 4}, {f(7), 1, 1, -1, 3}, {f(3,4), 1, 3, 2}, {t(f(3,4)), 1, 2, -1, "
                "2}, {f(0,3), 2, 2, 3}"},
    {.sig = MT_SIG("diagonal(Tensor self, int offset=0, dim dim1=1, dim dim2=2) -> Tensor"),
     .doc = "A view of a diagonal over two dimensions, as a new last dimension.",
     VIEW(diagonal_kind, embed_vjp),
     .flags = V,
     .samples = "{f(3,4)}, {f(3,4), 1}, {f(4,3), -2}, {f(2,3,3), 0, 2, 3}, {f(3,3), 5}, "
                "{f(2,3,2), {dim1=1, dim2=-1}}, {f(0,3)}"},
    {.sig = MT_SIG("unfold(Tensor self, dim dimension, int size, int step) -> Tensor"),
     .doc = "A view of sliding windows over a dimension; the windows are a new last dimension.",
     VIEW(unfold_kind, embed_vjp),
     .flags = METHOD_ONLY,
     .samples = "{f(7), 1, 3, 2}, {f(7), 1, 3, 1}, {f(2,5), 2, 2, 2}, {f(4,3), 1, 2, 1}, "
                "{f(), 1, 1, 1}, {f(3,0), 1, 2, 1}"},
    {.sig = MT_SIG("transpose(Tensor self, dim dim0, dim dim1) -> Tensor"),
     .doc = "A view with two dimensions exchanged.",
     VIEW(transpose_kind, transpose_vjp),
     .flags = V,
     .samples = "{f(3,4), 1, 2}, {f(2,3,4), 1, -1}, {f(3), 1, 1}, {f(), 1, 1}, {f(0,3), 1, 2}"},
    {.sig = MT_SIG("swapaxes(Tensor self, dim axis0, dim axis1) -> Tensor"),
     .doc = "Another name of transpose.",
     VIEW(transpose_kind, transpose_vjp),
     .flags = V,
     .samples = "{f(3,4), 1, 2}, {f(2,3,4), 1, -1}"},
    {.sig = MT_SIG("swapdims(Tensor self, dim dim0, dim dim1) -> Tensor"),
     .doc = "Another name of transpose.",
     VIEW(transpose_kind, transpose_vjp),
     .flags = V,
     .samples = "{f(3,4), 1, 2}, {f(2,3,4), 1, -1}"},
    {.sig = MT_SIG("t(Tensor self) -> Tensor"),
     .doc = "A view with the two dimensions of a matrix exchanged; fewer stay as they are.",
     VIEW(t_kind, t_vjp),
     .flags = V,
     .samples = "{f(3,4)}, {f(3)}, {f()}, {f(0,3)}"},
    {.sig = MT_SIG("permute(Tensor self, dims* dims) -> Tensor"),
     .doc = "A view with the dimensions in the given order.",
     VIEW(permute_kind, permute_vjp),
     .flags = V,
     .samples = "{f(2,3,4), 3, 1, 2}, {f(2,3,4), {2, -1, 1}}, {f(3,4), 2, 1}, {f(), {}}, "
                "{f(0,3), 2, 1}"},
    {.sig = MT_SIG("expand(Tensor self, size* size) -> Tensor"),
     .doc = "A view with dimensions of size one repeated without copying; -1 keeps a size.",
     VIEW(expand_kind, expand_vjp),
     .flags = METHOD_ONLY,
     .samples = "{f(3,1), 3, 4}, {f(3,1), 2, -1, 4}, {f(), 2, 3}, {f(4), {3, 4}}, {f(1,3), 0, 3}, "
                "{f(3), 3}"},
    {.sig = MT_SIG("broadcast_to(Tensor self, size size) -> Tensor"),
     .doc = "A view of the given sizes with dimensions of size one repeated, as expand.",
     VIEW(expand_kind, expand_vjp),
     .flags = V,
     .samples = "{f(3,1), {3, 4}}, {f(), {2, 3}}"},
    {.sig = MT_SIG("unsqueeze(Tensor self, dim dim) -> Tensor"),
     .doc = "A view with a dimension of size one put in.",
     VIEW(unsqueeze_kind, reshape_vjp),
     .flags = V,
     .samples = "{f(3,4), 1}, {f(3,4), -1}, {f(3,4), 2}, {f(), 1}, {t(f(3,4)), 3}, {f(0,3), 2}"},
    {.sig = MT_SIG("squeeze(Tensor self, dims? dim=None) -> Tensor"),
     .doc = "A view without dimensions of size one: all of them, or those given.",
     VIEW(squeeze_kind, reshape_vjp),
     .flags = V,
     .samples = "{f(1,3,1)}, {f(1,3,1), 1}, {f(1,3,1), {1, 3}}, {f(3,4), 2}, {f()}, {f(0,1)}, "
                "{t(f(3,1))}"},
    {.sig = MT_SIG("view(Tensor self, size* size) -> Tensor"),
     .doc = "A view with other sizes over the same elements in row-major order; one may be -1.",
     VIEW(view_as_kind, reshape_vjp),
     .flags = METHOD_ONLY,
     .samples = "{f(3,4), 2, 6}, {f(3,4), -1}, {f(3,4), {2, -1, 3}}, {f(), 1}, {f(1), {}}, "
                "{f(0,3), 3, 0}, {e(f(3,1), 3, 4), 3, 2, 2}"},
    {.sig = MT_SIG("as_strided(Tensor self, size size, ints stride, int? storage_offset=None) "
                   "-> Tensor"),
     .doc = "A view of the storage with any sizes and strides; the offset counts elements from 0.",
     VIEW(as_strided_kind, as_strided_vjp),
     .flags = V,
     .samples = "{f(3,4), {2, 3}, {4, 1}}, {f(7), {3, 3}, {2, 1}}, {f(3,4), {4}, {0}, 5}, "
                "{f(5), {}, {}}"},
    {.sig = MT_SIG("_embed_strided(Tensor self, size size, ints stride, int offset=0) -> Tensor"),
     .doc = "Zeros of the given sizes with self added in at the elements that strides reach.",
     .infer = embed_infer,
     .run = embed_run,
     .vjp = embed_vjp_back,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_HIDDEN,
     .samples = "{f(3), {3, 3}, {4}}, {f(3,3), {7}, {2, 1}}, {t(f(3,2)), {3, 4}, {1, 4}, 1}, "
                "{f(), {2}, {}, 1}, {f(0,2), {3}, {1, 1}}"},
    {0}};
