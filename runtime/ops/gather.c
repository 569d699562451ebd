/* gather.c: gather and scatter along one dimension, with an index of as many dimensions as self.
 *
 * Invariants
 *  - Two elements of the index write to one place only if they differ in dim alone. So work is
 *    cut along the other dimensions, and each task goes through dim in order: of several writes
 *    the last one stays, and sums have one order, for any number of threads.
 *  - A 0-dim tensor counts as having one dimension. Positions are 1..size, never negative. */
#include <string.h>

#include "moontorch_ops.h"

#include "indexing.h"
#include "internal.h"
#include "kernels/index.h"
#include "shapes.h"
#include "walk.h"

MT_KERNELS(index)

static mt_ints sizes_of(const mt_tensor *t) {
  return (mt_ints){t->ndim, t->sizes};
}

static int64_t size_of(const mt_tensor *t, int d) {
  return t->ndim ? t->sizes[d] : 1;
}
static int64_t stride_of(const mt_tensor *t, int d) {
  return t->ndim ? t->strides[d] : 1;
}
static int ndim_of(const mt_tensor *t) {
  return t->ndim ? t->ndim : 1;
}

/* ---- checks ---- */

/* Dims and sizes of gather and scatter; src is NULL for gather and for a number. */
static int check_sizes(const mt_frame *f, const mt_tensor *src, int *dim) {
  const mt_tensor *self = mt__t(f, 0), *index = mt__t(f, 2);
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, self->ndim, dim));
  MT_TRY(mt__want_dtype(f, "index", index, MT_D_POSITIONS));
  if (index->numel == 0) return MT_OK;
  if (ndim_of(index) != ndim_of(self))
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Index tensor must have the same number of dimensions as self tensor");
  if (src && ndim_of(src) != ndim_of(self))
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Index tensor must have the same number of dimensions as src tensor");
  for (int d = 0; d < ndim_of(self); d++) {
    int64_t n = size_of(index, d);
    if ((d == *dim || n <= size_of(self, d)) && (!src || n <= size_of(src, d))) continue;
    char a[256], b[256], c[256];
    mt__shape_text(a, sizeof a, index->ndim, index->sizes);
    mt__shape_text(b, sizeof b, self->ndim, self->sizes);
    if (!src)
      return mt__op_fail(f, MT_ERR_SHAPE,
                         "Size does not match at dimension %d expected index %s to be no larger "
                         "than self %s apart from dimension %d",
                         d + 1, a, b, *dim + 1);
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Expected index %s to be no larger than self %s apart from dimension %d and "
                       "to be no larger than src %s",
                       a, b, *dim + 1, mt__shape_text(c, sizeof c, src->ndim, src->sizes));
  }
  return MT_OK;
}

/* ---- the loops ---- */

/* x is the operand that is addressed by positions, y the one of the index's shape. */
typedef struct lines {
  mt_walk outer, inner; /* operands: x, index, y; x does not move along dim */
  char *x, *y;
  const char *index;
  int itype, isize, esize;
  int64_t n, xstep, istep, ystep; /* along dim */
  mt_add_cells_fn add;            /* scatter_add */
  bool gather;
  int64_t begin, end;       /* of inner */
  int64_t off[MT_WALK_OPS]; /* of the outer index and the place along dim */
} lines;

enum { BLOCK = 256 };

/* n elements: x at (position - 1) * xstep + i * xs, y at i * ys. */
static void line(const lines *l, const int64_t *off, int64_t n, int64_t xs, int64_t is,
                 int64_t ys) {
  const mt_kern_index *kern = mt__kern_index();
  int64_t v[BLOCK], xoff[BLOCK], yoff[BLOCK];
  char *x = l->x + (l->off[0] + off[0]) * l->esize, *y = l->y + (l->off[2] + off[2]) * l->esize;
  const char *index = l->index + (l->off[1] + off[1]) * l->isize;
  for (int64_t i = 0; i < n; i += BLOCK) {
    int64_t m = n - i < BLOCK ? n - i : BLOCK;
    const int64_t *positions = v;
    if (l->itype == MT_INT64 && is == 1)
      positions = (const int64_t *)index + i;
    else
      mt__load_positions(v, index + i * is * l->isize, l->itype, is, m);
    kern->ramp(xoff, m, i * xs, xs);
    kern->ramp(yoff, m, i * ys, ys);
    kern->offsets(xoff, positions, m, 0, l->xstep);
    if (l->gather)
      mt__copy_cells(y, yoff, x, xoff, m, l->esize);
    else if (l->add)
      l->add(x, xoff, y, yoff, m, 1, 1);
    else
      mt__copy_cells(x, xoff, y, yoff, m, l->esize);
  }
}

static void inner_piece(void *p, const int64_t *off, int64_t n) {
  const lines *l = p;
  int last = l->inner.ndim - 1;
  line(l, off, n, l->inner.strides[0][last], l->inner.strides[1][last], l->inner.strides[2][last]);
}

/* One outer index: all of dim, and a range of inner. */
static void along_dim(lines *l, const int64_t *off) {
  static const int64_t zero[MT_WALK_OPS] = {0};
  memcpy(l->off, off, sizeof l->off);
  if (l->inner.numel == 1) {
    line(l, zero, l->n, 0, l->istep, l->ystep);
    return;
  }
  for (int64_t k = 0; k < l->n; k++) {
    mt__walk_range(&l->inner, l->begin, l->end, inner_piece, l);
    l->off[1] += l->istep;
    l->off[2] += l->ystep;
  }
}

static void outer_piece(void *p, const int64_t *off, int64_t n) {
  lines *l = p;
  int last = l->outer.ndim - 1;
  for (int64_t i = 0; i < n; i++) {
    int64_t at[MT_WALK_OPS];
    for (int k = 0; k < MT_WALK_OPS; k++) at[k] = off[k] + i * l->outer.strides[k][last];
    along_dim(l, at);
  }
}

static void outer_range(void *p, int64_t begin, int64_t end) {
  lines l = *(lines *)p;
  mt__walk_range(&l.outer, begin, end, outer_piece, &l);
}

static void inner_range(void *p, int64_t begin, int64_t end) {
  lines l = *(lines *)p;
  l.begin = begin;
  l.end = end;
  mt__walk_range(&l.outer, 0, l.outer.numel, outer_piece, &l);
}

/* y of NULL strides: one number that stands everywhere. */
static int run_lines(const mt_tensor *x, const mt_tensor *index, int dim, char *y,
                     const mt_tensor *yt, bool gather, mt_add_cells_fn add) {
  lines l = {.x = mt__ptr(x),
             .y = y,
             .index = mt__ptr(index),
             .itype = index->dtype,
             .isize = mt__esize(index->dtype),
             .esize = mt__esize(x->dtype),
             .gather = gather,
             .add = add};
  mt__walk_init(&l.outer, MT_WALK_OPS);
  mt__walk_init(&l.inner, MT_WALK_OPS);
  for (int d = 0; d < ndim_of(index); d++) {
    int64_t ys = yt ? stride_of(yt, d) : 0;
    if (d == dim) {
      l.n = size_of(index, d);
      l.xstep = stride_of(x, d);
      l.istep = stride_of(index, d);
      l.ystep = ys;
      continue;
    }
    mt__walk_dim(d < dim ? &l.outer : &l.inner, size_of(index, d), stride_of(x, d),
                 stride_of(index, d), ys);
  }
  mt__walk_fold(&l.outer);
  mt__walk_fold(&l.inner);
  l.end = l.inner.numel;
  int64_t outer = l.outer.numel, inner = l.inner.numel, each = l.n * inner;
  if (outer < 8 && inner >= 512) return mt__parallel_range(inner, inner / 16 + 1, inner_range, &l);
  return mt__parallel_range(outer, MT_COPY_GRAIN / 2 / each + 1, outer_range, &l);
}

/* ---- gather ---- */

static int gather_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *index = mt__t(f, 2);
  int dim;
  MT_TRY(check_sizes(f, NULL, &dim));
  return mt__out(f, 0, self->dtype, self->device, index->ndim, index->sizes);
}

static int gather_run(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *index = mt__t(f, 2);
  int dim;
  if (index->numel == 0) return MT_OK;
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, self->ndim, &dim));
  MT_TRY(mt__check_positions(f, index, dim, size_of(self, dim), false));
  return run_lines(self, index, dim, mt__ptr(f->out[0]), f->out[0], true, NULL);
}

static int gather_vjp(mt_vjp *v) {
  const mt_tensor *self = v->args[0].u.t;
  if (!v->need[0]) return MT_OK;
  MT_AUTO *sum = NULL, *g = mt_retain(v->g[0]);
  MT_TRY(mt__sum_buffer(&sum, &g, self));
  MT_TRY(mt_scatter_add_(sum, v->args[1].u.i, v->args[2].u.t, g));
  v->gin[0] = mt_retain(sum);
  return MT_OK;
}

/* ---- scatter, scatter_add ---- */

static int scatter_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *src = mt__t(f, 3);
  int dim;
  MT_TRY(check_sizes(f, src, &dim));
  if (src && src->dtype != self->dtype)
    return mt__op_fail(f, MT_ERR_DTYPE, "Expected self.dtype to be equal to src.dtype, %s and %s",
                       mt_dtype_name(self->dtype), mt_dtype_name(src->dtype));
  return mt__out_like(f, 0, self->dtype, self);
}

static int scatter_into(mt_frame *f, bool add) {
  const mt_tensor *self = mt__t(f, 0), *index = mt__t(f, 2), *src = mt__t(f, 3);
  mt_tensor *out = f->out[0];
  char cell[16] = {0};
  int dim;
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, self->ndim, &dim));
  MT_TRY(mt__check_positions(f, index, dim, size_of(self, dim), false));
  MT_TRY(mt__no_overlap(f, out, index, "index"));
  if (src)
    MT_TRY(mt__no_overlap(f, out, src, "src"));
  else
    mt__store_scalar(cell, self->dtype, &f->args[3]);
  if (!mt__same_layout(out, self)) MT_TRY(mt__copy_values(out, self));
  if (index->numel == 0) return MT_OK;
  return run_lines(out, index, dim, src ? mt__ptr(src) : cell, src, false,
                   add ? mt__add_cells(self->dtype) : NULL);
}

static int scatter_run(mt_frame *f) {
  return scatter_into(f, false);
}
static int scatter_add_run(mt_frame *f) {
  return scatter_into(f, true);
}

/* The gradient at each written element: of the index's sizes, with zeros up to src's. */
static int source_grad(mt_tensor **out, mt_tensor *picked, const mt_tensor *src) {
  int64_t strides[MT_MAX_DIMS];
  if (picked->ndim == src->ndim &&
      memcmp(picked->sizes, src->sizes, (size_t)src->ndim * sizeof(int64_t)) == 0) {
    *out = mt_retain(picked);
    return MT_OK;
  }
  if (picked->numel == 0) return mt_zeros(out, sizes_of(src), picked->dtype, picked->device, false);
  mt__row_major(src->ndim, src->sizes, strides);
  if (picked->ndim != src->ndim) return mt_reshape(out, picked, sizes_of(src)); /* 0-dim, 1-D */
  return mt__embed_strided(out, picked, sizes_of(src), (mt_ints){src->ndim, strides}, 0);
}

/* picked, but zero where another element's write came later. */
static int of_winners(mt_tensor **out, const mt_vjp *v, mt_tensor *picked) {
  const mt_tensor *self = v->args[0].u.t;
  mt_tensor *index = v->args[2].u.t;
  int64_t dim = v->args[1].u.i;
  MT_AUTO *ids = NULL, *shaped = NULL, *places = NULL, *seen = NULL, *won = NULL, *factor = NULL;
  MT_TRY(mt_arange(&ids, mt__arg_i(1), mt__arg_i(index->numel + 1), mt__arg_i(1), MT_INT64,
                   self->device, false));
  MT_TRY(mt_view(&shaped, ids, sizes_of(index)));
  MT_TRY(mt_zeros(&places, sizes_of(self), MT_INT64, self->device, false));
  MT_TRY(mt_scatter_(places, dim, index, mt__arg_t(shaped)));
  MT_TRY(mt_gather(&seen, places, dim, index));
  MT_TRY(mt_eq(&won, seen, mt__arg_t(shaped)));
  MT_TRY(mt__cast(&factor, won, picked->dtype));
  return mt_mul(out, mt__arg_t(picked), mt__arg_t(factor));
}

static int scatter_vjp(mt_vjp *v) {
  int slot = mt__slot(v, 3);
  mt_tensor *index = v->args[2].u.t;
  int64_t dim = v->args[1].u.i;
  if (v->need[0]) MT_TRY(mt_scatter(&v->gin[0], v->g[0], dim, index, mt__arg_i(0)));
  if (!v->need[slot]) return MT_OK;
  MT_AUTO *picked = NULL, *own = NULL;
  MT_TRY(mt_gather(&picked, v->g[0], dim, index));
  MT_TRY(of_winners(&own, v, picked));
  return source_grad(&v->gin[slot], own, v->args[3].u.t);
}

static int scatter_add_vjp(mt_vjp *v) {
  int slot = mt__slot(v, 3);
  if (v->need[0]) v->gin[0] = mt_retain(v->g[0]);
  if (!v->need[slot]) return MT_OK;
  MT_AUTO *picked = NULL;
  MT_TRY(mt_gather(&picked, v->g[0], v->args[1].u.i, v->args[2].u.t));
  return source_grad(&v->gin[slot], picked, v->args[3].u.t);
}

/* ---- take, take_along_dim ---- */

static int take(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0), *index = mt__t(f, 1);
  MT_TRY(mt__want_dtype(f, "index", index, MT_D_POSITIONS));
  if (index->device == MT_CPU) MT_TRY(mt__check_positions(f, index, 0, self->numel, false));
  MT_AUTO *flat = NULL, *list = NULL, *taken = NULL;
  MT_TRY(mt_reshape(&flat, self, (mt_ints){1, &self->numel}));
  MT_TRY(mt_reshape(&list, index, (mt_ints){1, &index->numel}));
  MT_TRY(mt_index_select(&taken, flat, 0, list));
  return mt_view(&f->out[0], taken, sizes_of(index));
}

static int take_along_dim(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0), *index = mt__t(f, 1), *pair[2];
  int64_t sizes[MT_MAX_DIMS];
  int ndim, dim;
  MT_TRY(mt__want_dtype(f, "indices", index, MT_D_POSITIONS));
  MT_AUTO *x = NULL, *at = NULL;
  if (f->args[2].kind == MT_NONE) {
    MT_TRY(mt_reshape(&x, self, (mt_ints){1, &self->numel}));
    MT_TRY(mt_reshape(&at, index, (mt_ints){1, &index->numel}));
    return mt_gather(&f->out[0], x, 0, at);
  }
  if (self->ndim != index->ndim)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "input and indices should have the same number of dimensions, but got %d "
                       "dimensions for input, and %d dimensions for indices",
                       self->ndim, index->ndim);
  MT_TRY(mt__dim(f, "dim", f->args[2].u.i, self->ndim, &dim));
  /* broadcast all but dim */
  int64_t one[MT_MAX_DIMS];
  memcpy(one, self->sizes, sizeof one);
  if (self->ndim) one[dim] = 1;
  mt_tensor like = {.ndim = self->ndim};
  memcpy(like.sizes, one, sizeof one);
  mt_tensor like_index = {.ndim = index->ndim};
  memcpy(like_index.sizes, index->sizes, sizeof one);
  if (index->ndim) like_index.sizes[dim] = 1;
  pair[0] = &like;
  pair[1] = &like_index;
  MT_TRY(mt__broadcast(f, 2, pair, &ndim, sizes));
  if (ndim) sizes[dim] = self->sizes[dim];
  MT_TRY(mt_expand(&x, self, (mt_ints){ndim, sizes}));
  if (ndim) sizes[dim] = index->sizes[dim];
  MT_TRY(mt_expand(&at, index, (mt_ints){ndim, sizes}));
  return mt_gather(&f->out[0], x, dim, at);
}

const mt_opdef mt__ops_gather[] = {
    {.sig = MT_SIG("gather(Tensor self, dim dim, Tensor index) -> Tensor"),
     .doc = "out[i][j] = self[index[i][j]][j] for dim 1, and so along any dimension.",
     .infer = gather_infer,
     .run = gather_run,
     .vjp = gather_vjp,
     .saves = "self:index",
     .dtypes = MT_D_ALL,
     .samples = "{f(4,3), 1, idx(4,2,3)}, {f(4,3), 2, idx(3,4,5)}, {t(f(4,3)), -1, idx(4,2,2)}, "
                "{f(5), 1, idx(5,7)}, {f(), 1, idx(1)}, {f(4,3), 1, idx(4,0,3)}, "
                "{f(2,3,2), 2, idx(3,2,4,2)}"},
    {.sig = MT_SIG("scatter(Tensor self, dim dim, Tensor index, Operand src) -> Tensor"),
     .doc = "self with the elements of src (or a number) put at positions along a dimension.",
     .infer = scatter_infer,
     .run = scatter_run,
     .vjp = scatter_vjp,
     .saves = "self:index src:index",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_INPLACE,
     .samples = "{f(4,3), 1, idx(4,2,3), f(2,3)}, {f(4,3), 2, idx(3,4,2), 0.5}, "
                "{t(f(4,3)), -1, idx(4,2,2), f(3,3)}, {f(5), 1, idx(5,7), f(7)}, "
                "{f(), 1, idx(1), f()}, {f(4,3), 1, idx(4,0,3), f(2,3)}"},
    {.sig = MT_SIG("scatter_add(Tensor self, dim dim, Tensor index, Tensor src) -> Tensor"),
     .doc = "self with the elements of src added at positions along a dimension.",
     .infer = scatter_infer,
     .run = scatter_add_run,
     .vjp = scatter_add_vjp,
     .saves = "src:index",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_INPLACE,
     .samples = "{f(4,3), 1, idx(4,2,3), f(2,3)}, {f(4,3), 2, idx(3,4,2), f(4,2)}, "
                "{t(f(4,3)), -1, idx(4,2,2), f(3,3)}, {f(5), 1, idx(5,7), f(7)}, "
                "{f(), 1, idx(1), f()}"},
    {.sig = MT_SIG("take(Tensor self, Tensor index) -> Tensor"),
     .doc = "Elements at positions counted through all of self in row-major order.",
     .composite = take,
     .dtypes = MT_D_ALL,
     .samples = "{f(4,3), idx(12,5)}, {t(f(4,3)), idx(12,2,2)}, {f(), idx(1)}"},
    {.sig = MT_SIG("take_along_dim(Tensor self, Tensor indices, dim? dim=None) -> Tensor"),
     .doc = "gather with self and indices broadcast over the other dimensions.",
     .composite = take_along_dim,
     .dtypes = MT_D_ALL,
     .samples = "{f(4,3), idx(4,2,3), 1}, {f(4,3), idx(4,2,1), 1}, {f(4,3), idx(12,5)}, "
                "{f(1,3), idx(3,4,2), 2}"},
    {0}};
