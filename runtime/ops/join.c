/* join.c: tensors put together along a dimension that is there (cat) or new (stack). */
#include <string.h>

#include "moontorch_ops.h"

#include "internal.h"
#include "walk.h"

/* PyTorch's old rule: a vector without elements joins anything and adds nothing. */
static bool is_skipped(const mt_tensor *t) {
  return t->ndim == 1 && t->sizes[0] == 0;
}

static int common_dtype(const mt_arg *list) {
  int dtype = list->u.ts[0]->dtype;
  for (int i = 1; i < list->n; i++) dtype = mt_promote_types(dtype, list->u.ts[i]->dtype);
  return dtype;
}

static int not_empty(const mt_frame *f) {
  if (f->args[0].n > 0) return MT_OK;
  return mt__op_fail(f, MT_ERR_VALUE, "expects a non-empty list of tensors");
}

static int cat_infer(mt_frame *f) {
  const mt_arg *list = &f->args[0];
  const mt_tensor *first = NULL;
  int d = 0;
  int64_t sizes[MT_MAX_DIMS] = {0};
  MT_TRY(not_empty(f));
  for (int i = 0; i < list->n; i++) {
    const mt_tensor *t = list->u.ts[i];
    if (t->ndim == 0)
      return mt__op_fail(f, MT_ERR_SHAPE,
                         "zero-dimensional tensor (at position %d) cannot be concatenated", i + 1);
    if (is_skipped(t)) continue;
    if (!first) {
      first = t;
      MT_TRY(mt__dim(f, "dim", f->args[1].u.i, t->ndim, &d));
      memcpy(sizes, t->sizes, sizeof sizes);
      continue;
    }
    if (t->ndim != first->ndim)
      return mt__op_fail(f, MT_ERR_SHAPE,
                         "Tensors must have same number of dimensions: got %d and %d for tensor "
                         "number %d in the list",
                         first->ndim, t->ndim, i + 1);
    for (int k = 0; k < t->ndim; k++)
      if (k != d && t->sizes[k] != sizes[k])
        return mt__op_fail(f, MT_ERR_SHAPE,
                           "Sizes of tensors must match except in dimension %d. Expected size %lld "
                           "but got size %lld for tensor number %d in the list.",
                           d + 1, (long long)sizes[k], (long long)t->sizes[k], i + 1);
    sizes[d] += t->sizes[d];
  }
  f->priv[0] = (uint64_t)d;
  return mt__out(f, 0, common_dtype(list), list->u.ts[0]->device, first ? first->ndim : 1, sizes);
}

static int stack_infer(mt_frame *f) {
  const mt_arg *list = &f->args[0];
  int d, n = 0;
  int64_t sizes[MT_MAX_DIMS + 1];
  MT_TRY(not_empty(f));
  const mt_tensor *first = list->u.ts[0];
  if (first->ndim == MT_MAX_DIMS)
    return mt__op_fail(f, MT_ERR_SHAPE, "a tensor has at most %d dimensions", MT_MAX_DIMS);
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, first->ndim + 1, &d));
  for (int i = 1; i < list->n; i++) {
    const mt_tensor *t = list->u.ts[i];
    if (t->ndim == first->ndim &&
        memcmp(t->sizes, first->sizes, (size_t)t->ndim * sizeof(int64_t)) == 0)
      continue;
    char a[256], b[256];
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "expects each tensor to be equal size, but got %s at entry 1 and %s at "
                       "entry %d",
                       mt__shape_text(a, sizeof a, first->ndim, first->sizes),
                       mt__shape_text(b, sizeof b, t->ndim, t->sizes), i + 1);
  }
  for (int k = 0; k <= first->ndim; k++) sizes[k] = k == d ? list->n : first->sizes[n++];
  f->priv[0] = (uint64_t)d;
  return mt__out(f, 0, common_dtype(list), first->device, first->ndim + 1, sizes);
}

typedef struct join_ctx {
  mt_tensor **list;
  const mt_tensor *out;
  int d;
  bool stacked;
  _Atomic int status; /* a copy can be interrupted */
} join_ctx;

/* Tensor i's part of the output, which begins at `start` of dimension d. */
static int64_t copy_part(join_ctx *c, int64_t i, int64_t start) {
  const mt_tensor *t = c->list[i], *out = c->out;
  mt_tensor part = {.dtype = out->dtype,
                    .device = out->device,
                    .ndim = t->ndim,
                    .numel = t->numel,
                    .storage = out->storage,
                    .offset = out->offset + start * out->strides[c->d]};
  if (!c->stacked && is_skipped(t)) return start;
  for (int k = 0, from = 0; from < out->ndim; from++) {
    if (c->stacked && from == c->d) continue;
    part.sizes[k] = t->sizes[k];
    part.strides[k++] = out->strides[from];
  }
  mt__set_contiguous_flag(&part);
  int status = t->numel ? mt__copy_values(&part, t) : MT_OK;
  if (status != MT_OK) c->status = status;
  return start + (c->stacked ? 1 : t->sizes[c->d]);
}

static void join_range(void *p, int64_t begin, int64_t end) {
  join_ctx *c = p;
  int64_t start = 0;
  for (int64_t i = 0; i < begin; i++)
    start += c->stacked ? 1 : is_skipped(c->list[i]) ? 0 : c->list[i]->sizes[c->d];
  for (int64_t i = begin; i < end; i++) start = copy_part(c, i, start);
}

/* Few large tensors: each copy is spread over the pool. Many: the tensors are. */
static int join_run(mt_frame *f) {
  join_ctx c = {.list = f->args[0].u.ts,
                .out = f->out[0],
                .d = (int)f->priv[0],
                .stacked = strcmp(f->op->name, "stack") == 0};
  int n = f->args[0].n;
  if (c.out->numel == 0) return MT_OK;
  int64_t each = c.out->numel / n + 1;
  if (n < 8 || each > 8 * MT_COPY_GRAIN) {
    join_range(&c, 0, n);
    return c.status;
  }
  MT_TRY(mt__parallel_range(n, MT_COPY_GRAIN / each + 1, join_range, &c));
  return c.status;
}

static int cat_vjp(mt_vjp *v) {
  const mt_arg *list = &v->args[0];
  int d = 0;
  int64_t start = 1;
  for (int i = 0; i < list->n; i++) {
    const mt_tensor *t = list->u.ts[i];
    if (is_skipped(t)) {
      if (v->need[i]) MT_TRY(mt__zeros_like(&v->gin[i], t));
      continue;
    }
    d = (int)(v->args[1].u.i < 0 ? v->args[1].u.i + t->ndim : v->args[1].u.i);
    if (v->need[i]) MT_TRY(mt_narrow(&v->gin[i], v->g[0], d, start, t->sizes[d]));
    start += t->sizes[d];
  }
  return MT_OK;
}

static int stack_vjp(mt_vjp *v) {
  for (int i = 0; i < v->args[0].n; i++)
    if (v->need[i]) MT_TRY(mt_select(&v->gin[i], v->g[0], v->args[1].u.i, i + 1));
  return MT_OK;
}

/* ---- by direction ---- */

/* Every tensor with at least so many dimensions, as each function has its own way to add them,
 * then cat along d (vectors of hstack: along the first). */
static int join_widened(mt_frame *f, int (*widen)(mt_tensor **, mt_tensor *), int d) {
  const mt_arg *list = &f->args[0];
  MT_TRY(not_empty(f));
  mt_tensor **wide = mt__calloc((size_t)list->n * sizeof *wide);
  if (!wide) return mt__fail_memory((size_t)list->n * sizeof *wide);
  int status = MT_OK;
  for (int i = 0; i < list->n && status == MT_OK; i++) status = widen(&wide[i], list->u.ts[i]);
  if (status == MT_OK && d == 1 && wide[0]->ndim == 1) d = 0;
  if (status == MT_OK) status = mt_cat(&f->out[0], (mt_tensors){list->n, wide}, d);
  for (int i = 0; i < list->n; i++) mt_release(wide[i]);
  mt__free(wide);
  return status;
}

static int widen_1d(mt_tensor **out, mt_tensor *t) {
  if (t->ndim == 0) return mt_unsqueeze(out, t, 0);
  *out = mt_retain(t);
  return MT_OK;
}

static int widen_2d(mt_tensor **out, mt_tensor *t) { /* a vector is a row */
  if (t->ndim < 2) return mt_view(out, t, MT_INTS_OF(1, t->numel));
  *out = mt_retain(t);
  return MT_OK;
}

static int widen_column(mt_tensor **out, mt_tensor *t) {
  if (t->ndim < 2) return mt_view(out, t, MT_INTS_OF(t->numel, 1));
  *out = mt_retain(t);
  return MT_OK;
}

static int widen_3d(mt_tensor **out, mt_tensor *t) {
  if (t->ndim < 2) return mt_view(out, t, MT_INTS_OF(1, t->numel, 1));
  if (t->ndim == 2) return mt_unsqueeze(out, t, 2);
  *out = mt_retain(t);
  return MT_OK;
}

static int hstack(mt_frame *f) {
  return join_widened(f, widen_1d, 1);
}
static int vstack(mt_frame *f) {
  return join_widened(f, widen_2d, 0);
}
static int dstack(mt_frame *f) {
  return join_widened(f, widen_3d, 2);
}
static int column_stack(mt_frame *f) {
  return join_widened(f, widen_column, 1);
}

#define CAT .infer = cat_infer, .run = join_run, .vjp = cat_vjp, .dtypes = MT_D_ALL

const mt_opdef mt__ops_join[] = {
    {.sig = MT_SIG("cat(Tensor[] tensors, dim dim=1) -> Tensor"),
     .doc = "Tensors joined along a dimension they have.",
     CAT,
     .samples = "{{f(2,3), f(4,3)}}, {{f(2,3), f(2,1)}, 2}, {{t(f(3,2)), f(2,3)}, -1}, "
                "{{f(3)}}, {{f(0), f(2,3)}}, {{f(0,3), f(2,3)}}, {{e(f(2,1), 2, 3), f(2,3)}, 1}"},
    {.sig = MT_SIG("concat(Tensor[] tensors, dim dim=1) -> Tensor"),
     .doc = "Another name of cat.",
     CAT,
     .samples = "{{f(2,3), f(4,3)}}"},
    {.sig = MT_SIG("concatenate(Tensor[] tensors, dim dim=1) -> Tensor"),
     .doc = "Another name of cat.",
     CAT,
     .samples = "{{f(2,3), f(4,3)}}"},
    {.sig = MT_SIG("stack(Tensor[] tensors, dim dim=1) -> Tensor"),
     .doc = "Tensors of equal sizes joined along a new dimension.",
     .infer = stack_infer,
     .run = join_run,
     .vjp = stack_vjp,
     .dtypes = MT_D_ALL,
     .samples = "{{f(2,3), f(2,3)}}, {{f(2,3), t(f(3,2))}, 2}, {{f(2), f(2), f(2)}, -1}, "
                "{{f(), f()}}, {{f(0,2), f(0,2)}}"},
    {.sig = MT_SIG("hstack(Tensor[] tensors) -> Tensor"),
     .doc = "cat along the second dimension; vectors along their only one.",
     .composite = hstack,
     .dtypes = MT_D_ALL,
     .samples = "{{f(2,3), f(2,1)}}, {{f(2), f(3)}}, {{f(), f()}}"},
    {.sig = MT_SIG("vstack(Tensor[] tensors) -> Tensor"),
     .doc = "cat along the first dimension; vectors are rows.",
     .composite = vstack,
     .dtypes = MT_D_ALL,
     .samples = "{{f(2,3), f(1,3)}}, {{f(3), f(3)}}"},
    {.sig = MT_SIG("row_stack(Tensor[] tensors) -> Tensor"),
     .doc = "Another name of vstack.",
     .composite = vstack,
     .dtypes = MT_D_ALL,
     .samples = "{{f(3), f(3)}}"},
    {.sig = MT_SIG("dstack(Tensor[] tensors) -> Tensor"),
     .doc = "cat along the third dimension.",
     .composite = dstack,
     .dtypes = MT_D_ALL,
     .samples = "{{f(2,3), f(2,3)}}, {{f(3), f(3)}}"},
    {.sig = MT_SIG("column_stack(Tensor[] tensors) -> Tensor"),
     .doc = "cat along the second dimension; vectors are columns.",
     .composite = column_stack,
     .dtypes = MT_D_ALL,
     .samples = "{{f(3), f(3,2)}}, {{f(2), f(2)}}"},
    {0}};
