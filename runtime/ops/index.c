/* index.c: indexing with tensors (x[idx], x[idx] = v, masks) and the ops that take one index
 * tensor along one dimension (index_select, index_add, index_copy, index_fill).
 *
 * The public index and index_put_ are composites: they turn masks into positions and hand over
 * to the primitives _index and _index_put, which know positions only. */
#include <string.h>

#include "moontorch_ops.h"

#include "indexing.h"
#include "internal.h"
#include "shapes.h"

static mt_ints sizes_of(const mt_tensor *t) {
  return (mt_ints){t->ndim, t->sizes};
}

static mt_tensors list_of(const mt_arg *a) {
  return (mt_tensors){a->n, a->u.ts};
}

/* ---- _index, _index_put ---- */

static int index_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  mt_plan p;
  MT_TRY(mt__plan_list(&p, f, self, f->args[1].n, f->args[1].u.ts));
  return mt__out(f, 0, self->dtype, self->device, p.ndim, p.sizes);
}

static int index_run(mt_frame *f) {
  mt_plan p;
  MT_TRY(mt__plan_list(&p, f, mt__t(f, 0), f->args[1].n, f->args[1].u.ts));
  return mt__plan_gather(&p, f, mt__t(f, 0), f->out[0]);
}

static int index_vjp(mt_vjp *v) {
  MT_AUTO *sum = NULL, *g = mt_retain(v->g[0]);
  if (!v->need[0]) return MT_OK;
  MT_TRY(mt__sum_buffer(&sum, &g, v->args[0].u.t));
  MT_TRY(mt__index_put_(sum, list_of(&v->args[1]), g, true));
  v->gin[0] = mt_retain(sum);
  return MT_OK;
}

/* Do a value's sizes broadcast to the plan's? */
static int fits_plan(const mt_frame *f, const mt_plan *p, const mt_tensor *values) {
  bool fits = values->ndim <= p->ndim;
  for (int d = 0; d < values->ndim && fits; d++) {
    int64_t s = values->sizes[d];
    fits = s == 1 || s == p->sizes[p->ndim - values->ndim + d];
  }
  if (fits) return MT_OK;
  char a[256], b[256];
  return mt__op_fail(f, MT_ERR_SHAPE,
                     "shape mismatch: value tensor of shape %s cannot be broadcast to indexing "
                     "result of shape %s",
                     mt__shape_text(a, sizeof a, values->ndim, values->sizes),
                     mt__shape_text(b, sizeof b, p->ndim, p->sizes));
}

static int same_dtype(const mt_frame *f, const mt_tensor *self, const mt_tensor *other,
                      const char *name) {
  if (self->dtype == other->dtype) return MT_OK;
  return mt__op_fail(f, MT_ERR_DTYPE, "%s must have the dtype of self, %s, got %s", name,
                     mt_dtype_name(self->dtype), mt_dtype_name(other->dtype));
}

static int put_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  mt_plan p;
  MT_TRY(mt__plan_list(&p, f, self, f->args[1].n, f->args[1].u.ts));
  MT_TRY(same_dtype(f, self, mt__t(f, 2), "values"));
  MT_TRY(fits_plan(f, &p, mt__t(f, 2)));
  f->work_bytes = mt__plan_work(&p, self);
  return mt__out_like(f, 0, self->dtype, self);
}

/* Everything that may fail comes before the first write. */
static int put_checked(mt_frame *f, const mt_plan *p, const mt_tensor *values, enum mt_put how,
                       const mt_arg *alpha) {
  mt_tensor *out = f->out[0];
  MT_TRY(mt__plan_check(p, f));
  for (int k = 0; k < p->count; k++) MT_TRY(mt__no_overlap(f, out, p->index[k], "an index tensor"));
  MT_TRY(mt__no_overlap(f, out, values, "the values"));
  if (!mt__same_layout(out, mt__t(f, 0))) MT_TRY(mt__copy_values(out, mt__t(f, 0)));
  return mt__plan_put(p, f, out, values, how, alpha);
}

static int put_run(mt_frame *f) {
  mt_plan p;
  MT_TRY(mt__plan_list(&p, f, mt__t(f, 0), f->args[1].n, f->args[1].u.ts));
  return put_checked(f, &p, mt__t(f, 2), f->args[3].u.i ? MT_ADD : MT_PUT, NULL);
}

/* 1 for each position whose write is the one that stays, else 0, in the shape of the index
 * tensors and with `trailing` dimensions of size one behind. */
static int winners(mt_tensor **out, const mt_vjp *v, const mt_plan *p, int dtype) {
  int64_t sizes[2 * MT_MAX_DIMS], one[MT_MAX_DIMS];
  mt_tensor *index[MT_MAX_DIMS];
  int device = v->args[0].u.t->device, n = 0, trailing = p->ndim - p->at - p->nshape;
  MT_AUTO *ids = NULL, *ids_shaped = NULL, *places = NULL, *seen = NULL, *won = NULL,
          *won_like = NULL;
  for (int k = 0; k < p->count; k++) {
    sizes[k] = p->xsizes[p->dim[k]];
    index[k] = (mt_tensor *)(uintptr_t)p->index[k];
  }
  MT_TRY(mt_arange(&ids, mt__arg_i(1), mt__arg_i(p->positions + 1), mt__arg_i(1), MT_INT64, device,
                   false));
  MT_TRY(mt_view(&ids_shaped, ids, (mt_ints){p->nshape, p->shape}));
  MT_TRY(mt_zeros(&places, (mt_ints){p->count, sizes}, MT_INT64, device, false));
  MT_TRY(mt__index_put_(places, (mt_tensors){p->count, index}, ids_shaped, false));
  MT_TRY(mt__index(&seen, places, (mt_tensors){p->count, index}));
  MT_TRY(mt_eq(&won, seen, mt__arg_t(ids_shaped)));
  for (int i = 0; i < p->nshape; i++) one[n++] = p->shape[i];
  for (int i = 0; i < trailing; i++) one[n++] = 1;
  MT_TRY(mt_view(&won_like, won, (mt_ints){n, one}));
  return mt__cast(out, won_like, dtype);
}

/* The gradient of what was written: the result's, where this write is the one that stayed. */
static int written_grad(mt_tensor **out, mt_vjp *v, const mt_plan *p, mt_tensor *picked,
                        bool accumulate, const mt_tensor *values) {
  if (accumulate || p->positions < 2) return mt__sum_to(out, picked, values);
  MT_AUTO *won = NULL, *kept = NULL;
  MT_TRY(winners(&won, v, p, picked->dtype));
  MT_TRY(mt_mul(&kept, mt__arg_t(picked), mt__arg_t(won)));
  return mt__sum_to(out, kept, values);
}

static int put_vjp(mt_vjp *v) {
  bool accumulate = v->args[3].u.i != 0;
  int slot = mt__slot(v, 2);
  mt_tensor *g = v->g[0];
  if (v->need[0] && accumulate) v->gin[0] = mt_retain(g);
  if (v->need[0] && !accumulate) {
    MT_AUTO *zero = NULL;
    MT_TRY(mt_zeros(&zero, (mt_ints){0, NULL}, g->dtype, g->device, false));
    MT_TRY(mt__index_put(&v->gin[0], g, list_of(&v->args[1]), zero, false));
  }
  if (!v->need[slot]) return MT_OK;
  mt_frame f = {.op = v->op, .args = v->args};
  mt_plan p;
  MT_AUTO *picked = NULL;
  MT_TRY(mt__plan_list(&p, &f, v->args[0].u.t, v->args[1].n, v->args[1].u.ts));
  MT_TRY(mt__index(&picked, g, list_of(&v->args[1])));
  return written_grad(&v->gin[slot], v, &p, picked, accumulate, v->args[2].u.t);
}

/* ---- index, index_put: masks become positions ---- */

typedef struct indices {
  mt_tensor *self; /* owned */
  int n;
  mt_tensor *list[MT_MAX_DIMS]; /* owned, or NULL */
} indices;

static void indices_free(indices *x) {
  mt_release(x->self);
  for (int i = 0; i < x->n; i++) mt_release(x->list[i]);
}

static int mask_to_positions(mt_frame *f, indices *x, mt_tensor *mask, int place) {
  mt_tensor *self = x->self;
  MT_AUTO *found = NULL, *flat = NULL;
  if (x->n + mask->ndim > self->ndim)
    return mt__op_fail(f, MT_ERR_INDEX, "too many indices for tensor of dimension %d", self->ndim);
  for (int i = 0; i < mask->ndim; i++)
    if (mask->sizes[i] != self->sizes[x->n + i]) {
      char a[256], b[256];
      return mt__op_fail(f, MT_ERR_SHAPE,
                         "The shape of the mask %s at index %d does not match the shape of the "
                         "indexed tensor %s at dimension %d",
                         mt__shape_text(a, sizeof a, mask->ndim, mask->sizes), place + 1,
                         mt__shape_text(b, sizeof b, self->ndim, self->sizes), x->n + i + 1);
    }
  if (mask->ndim == 0) { /* a dimension of size one that is taken or not */
    mt_tensor *wider = NULL;
    MT_TRY(mt_unsqueeze(&wider, self, x->n));
    mt_release(self);
    x->self = wider;
    MT_TRY(mt_unsqueeze(&flat, mask, 0));
    mask = flat;
  }
  MT_TRY(mt_nonzero(&found, mask));
  for (int i = 0; i < mask->ndim; i++) {
    MT_TRY(mt_select(&x->list[x->n], found, 1, i + 1));
    x->n++;
  }
  return MT_OK;
}

static int indices_of(mt_frame *f, indices *x, const mt_arg *list) {
  x->self = mt_retain(mt__t(f, 0));
  for (int i = 0; i < list->n; i++) {
    mt_tensor *t = list->u.ts[i];
    if (t && t->dtype == MT_BOOL) {
      MT_TRY(mask_to_positions(f, x, t, i));
      continue;
    }
    if (x->n >= x->self->ndim)
      return mt__op_fail(f, MT_ERR_INDEX, "too many indices for tensor of dimension %d",
                         mt__t(f, 0)->ndim);
    if (t && !(MT_D_POSITIONS >> t->dtype & 1))
      return mt__op_fail(f, MT_ERR_DTYPE,
                         "tensors used as indices must be signed integers or bool, got %s; use "
                         ":%s",
                         mt_dtype_name(t->dtype),
                         t->dtype == MT_UINT8 ? "bool() for a mask or :long() for positions"
                                              : "long() for positions or :bool() for a mask");
    x->list[x->n++] = mt_retain(t);
  }
  return MT_OK;
}

static int index_composite(mt_frame *f) {
  indices x = {0};
  int status = indices_of(f, &x, &f->args[1]);
  if (status == MT_OK) status = mt__index(&f->out[0], x.self, (mt_tensors){x.n, x.list});
  indices_free(&x);
  return status;
}

/* One value under one mask: no need to look for positions. */
static bool is_masked_fill(const mt_frame *f, int *place) {
  const mt_arg *list = &f->args[1];
  int count = 0;
  for (int i = 0; i < list->n; i++)
    if (list->u.ts[i]) {
      count++;
      *place = i;
    }
  const mt_tensor *self = mt__t(f, 0), *mask = count == 1 ? list->u.ts[*place] : NULL;
  if (!mask || mask->dtype != MT_BOOL || mt__t(f, 2)->ndim != 0 || f->args[3].u.i) return false;
  if (mask->ndim == 0 || *place + mask->ndim > self->ndim) return false;
  return memcmp(mask->sizes, self->sizes + *place, (size_t)mask->ndim * sizeof(int64_t)) == 0;
}

static int masked_value(mt_frame *f, mt_tensor *self, mt_tensor *values, int place) {
  mt_tensor *mask = f->args[1].u.ts[place];
  int64_t sizes[MT_MAX_DIMS];
  int n = self->ndim - place;
  MT_AUTO *wide = NULL;
  for (int i = 0; i < n; i++) sizes[i] = i < mask->ndim ? mask->sizes[i] : 1;
  MT_TRY(mt_reshape(&wide, mask, (mt_ints){n, sizes}));
  return mt_masked_fill_(self, wide, mt__arg_t(values));
}

static int put_composite(mt_frame *f, mt_tensor *self) {
  int place = 0;
  MT_AUTO *values = NULL, *apart = NULL;
  MT_TRY(mt__cast(&values, mt__t(f, 2), self->dtype));
  if (is_masked_fill(f, &place)) return masked_value(f, self, values, place);
  if (mt__may_overlap(self, values)) MT_TRY(mt_clone(&apart, values));
  indices x = {0};
  int status = indices_of(f, &x, &f->args[1]);
  if (x.self && x.self != mt__t(f, 0)) { /* a 0-dim mask: written through a view */
    mt_tensor *view = NULL;
    mt_release(x.self);
    x.self = NULL;
    for (int i = 0, at = 0; i < f->args[1].n && status == MT_OK; i++) {
      const mt_tensor *t = f->args[1].u.ts[i];
      if (t && t->dtype == MT_BOOL && t->ndim == 0) {
        status = mt_unsqueeze(&view, x.self ? x.self : self, at);
        mt_release(x.self);
        x.self = view;
        view = NULL;
      }
      at += t && t->dtype == MT_BOOL && t->ndim > 0 ? t->ndim : 1;
    }
  } else if (x.self) {
    mt_release(x.self);
    x.self = mt_retain(self);
  }
  if (status == MT_OK)
    status = mt__index_put_(x.self, (mt_tensors){x.n, x.list}, apart ? apart : values,
                            f->args[3].u.i != 0);
  indices_free(&x);
  return status;
}

static int index_put_in_place(mt_frame *f) {
  MT_TRY(put_composite(f, mt__t(f, 0)));
  f->out[0] = mt_retain(mt__t(f, 0));
  return MT_OK;
}

static int index_put_functional(mt_frame *f) {
  MT_AUTO *copy = NULL;
  MT_TRY(mt_clone(&copy, mt__t(f, 0)));
  MT_TRY(put_composite(f, copy));
  f->out[0] = mt_retain(copy);
  return MT_OK;
}

/* x:masked_select(mask): both broadcast, then one mask over all dimensions. */
static int masked_select(mt_frame *f) {
  mt_tensor *pair[2] = {mt__t(f, 0), mt__t(f, 1)};
  int ndim;
  int64_t sizes[MT_MAX_DIMS], flat = -1;
  MT_TRY(mt__want_dtype(f, "mask", pair[1], MT_D(MT_BOOL)));
  MT_TRY(mt__broadcast(f, 2, pair, &ndim, sizes));
  MT_AUTO *x = NULL, *mask = NULL, *x_flat = NULL, *mask_flat = NULL;
  MT_TRY(mt_expand(&x, pair[0], (mt_ints){ndim, sizes}));
  MT_TRY(mt_expand(&mask, pair[1], (mt_ints){ndim, sizes}));
  flat = x->numel;
  MT_TRY(mt_reshape(&x_flat, x, (mt_ints){1, &flat}));
  MT_TRY(mt_reshape(&mask_flat, mask, (mt_ints){1, &flat}));
  mt_tensor *list[1] = {mask_flat};
  return mt_index(&f->out[0], x_flat, (mt_tensors){1, list});
}

/* ---- one index tensor along one dimension ---- */

static int plan_of(mt_frame *f, mt_plan *p) {
  return mt__plan_dim(p, f, mt__t(f, 0), f->args[1].u.i, mt__t(f, 2), "index");
}

static int select_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  mt_plan p;
  MT_TRY(plan_of(f, &p));
  if (self->ndim == 0 && p.positions != 1)
    return mt__op_fail(f, MT_ERR_SHAPE, "Index to scalar can have only 1 value, got %lld values",
                       (long long)p.positions);
  return mt__out(f, 0, self->dtype, self->device, self->ndim ? p.ndim : 0, p.sizes);
}

static int select_run(mt_frame *f) {
  mt_plan p;
  MT_TRY(plan_of(f, &p));
  return mt__plan_gather(&p, f, mt__t(f, 0), f->out[0]);
}

static int select_vjp(mt_vjp *v) {
  MT_AUTO *sum = NULL, *g = mt_retain(v->g[0]);
  if (!v->need[0]) return MT_OK;
  MT_TRY(mt__sum_buffer(&sum, &g, v->args[0].u.t));
  MT_TRY(mt_index_add_(sum, v->args[1].u.i, v->args[2].u.t, g, mt__arg_i(1)));
  v->gin[0] = mt_retain(sum);
  return MT_OK;
}

/* source holds a slice for each position: self's sizes but for dim. */
static int dim_put_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *source = mt__t(f, 3);
  mt_plan p;
  MT_TRY(plan_of(f, &p));
  MT_TRY(same_dtype(f, self, source, "source"));
  int64_t along = source->ndim ? source->sizes[p.dim[0] < source->ndim ? p.dim[0] : 0] : 1;
  if (source->ndim == (self->ndim ? self->ndim : source->ndim) && along != p.positions)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Number of indices (%lld) should be equal to source.size(dim): (%lld), for "
                       "dim: %d",
                       (long long)p.positions, (long long)along, p.dim[0] + 1);
  bool same = source->ndim == self->ndim || (self->ndim == 0 && source->ndim == 1);
  for (int d = 0; d < self->ndim && same; d++)
    same = d == p.dim[0] || source->sizes[d] == self->sizes[d];
  if (!same) {
    char a[256], b[256];
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Source/destination tensor must have same slice shapes. Destination slice "
                       "shape: %s at dimension %d and source slice shape: %s",
                       mt__shape_text(a, sizeof a, self->ndim, self->sizes), p.dim[0] + 1,
                       mt__shape_text(b, sizeof b, source->ndim, source->sizes));
  }
  f->work_bytes = mt__plan_work(&p, self);
  return mt__out_like(f, 0, self->dtype, self);
}

static int add_run(mt_frame *f) {
  mt_plan p;
  MT_TRY(plan_of(f, &p));
  return put_checked(f, &p, mt__t(f, 3), MT_ADD, &f->args[4]);
}

static int add_vjp(mt_vjp *v) {
  int slot = mt__slot(v, 3);
  if (v->need[0]) v->gin[0] = mt_retain(v->g[0]);
  if (!v->need[slot]) return MT_OK;
  MT_AUTO *picked = NULL, *shaped = NULL;
  MT_TRY(mt_index_select(&picked, v->g[0], v->args[1].u.i, v->args[2].u.t));
  MT_TRY(mt_reshape(&shaped, picked, sizes_of(v->args[3].u.t)));
  return mt_mul(&v->gin[slot], mt__arg_t(shaped), v->args[4]);
}

static int copy_run(mt_frame *f) {
  mt_plan p;
  MT_TRY(plan_of(f, &p));
  return put_checked(f, &p, mt__t(f, 3), MT_PUT, NULL);
}

static int copy_vjp(mt_vjp *v) {
  int slot = mt__slot(v, 3);
  if (v->need[0])
    MT_TRY(mt_index_fill(&v->gin[0], v->g[0], v->args[1].u.i, v->args[2].u.t, mt__arg_i(0)));
  if (!v->need[slot]) return MT_OK;
  mt_frame f = {.op = v->op, .args = v->args};
  mt_plan p;
  MT_AUTO *picked = NULL, *grad = NULL;
  MT_TRY(plan_of(&f, &p));
  MT_TRY(mt_index_select(&picked, v->g[0], v->args[1].u.i, v->args[2].u.t));
  MT_TRY(written_grad(&grad, v, &p, picked, false, picked));
  return mt_reshape(&v->gin[slot], grad, sizes_of(v->args[3].u.t));
}

static int fill_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *value = mt__t(f, 3);
  mt_plan p;
  MT_TRY(plan_of(f, &p));
  if (value && value->ndim != 0)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "only supports a 0-dimensional value tensor, but got tensor with %d "
                       "dimension(s)",
                       value->ndim);
  if (value && mt__is_float(value->dtype) && !mt__is_float(self->dtype))
    return mt__op_fail(f, MT_ERR_DTYPE, "value cannot be converted to dtype %s without overflow",
                       mt_dtype_name(self->dtype));
  f->work_bytes = mt__plan_work(&p, self);
  return mt__out_like(f, 0, self->dtype, self);
}

static int fill_run(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *value = mt__t(f, 3);
  mt_plan p;
  char cell[16] = {0};
  MT_TRY(plan_of(f, &p));
  MT_TRY(mt__plan_check(&p, f));
  MT_TRY(mt__no_overlap(f, f->out[0], p.index[0], "index"));
  if (value)
    mt__convert(cell, self->dtype, 1, mt__ptr(value), value->dtype, 1, 1);
  else
    mt__store_scalar(cell, self->dtype, &f->args[3]);
  mt_storage storage = {.data = cell, .nbytes = sizeof cell};
  mt_tensor one = {.dtype = self->dtype, .storage = &storage, .numel = 1, .flags = MT_T_CONTIGUOUS};
  if (!mt__same_layout(f->out[0], self)) MT_TRY(mt__copy_values(f->out[0], self));
  return mt__plan_put(&p, f, f->out[0], &one, MT_PUT, NULL);
}

static int fill_vjp(mt_vjp *v) {
  int slot = mt__slot(v, 3);
  MT_AUTO *outside = NULL, *all = NULL, *rest = NULL;
  MT_TRY(mt_index_fill(&outside, v->g[0], v->args[1].u.i, v->args[2].u.t, mt__arg_i(0)));
  if (v->need[0]) v->gin[0] = mt_retain(outside);
  if (!v->need[slot]) return MT_OK;
  /* each filled place counts once, however often it was named */
  MT_TRY(mt_sub(&rest, mt__arg_t(v->g[0]), mt__arg_t(outside), mt__arg_i(1)));
  MT_TRY(mt_sum(&all, rest, MT_INTS_NONE, false, -1));
  v->gin[slot] = mt_retain(all);
  return MT_OK;
}

const mt_opdef mt__ops_index[] = {
    {.sig = MT_SIG("_index(Tensor self, Tensor?[] indices) -> Tensor"),
     .doc = "Elements at the positions that tensors of signed integers give.",
     .infer = index_infer,
     .run = index_run,
     .vjp = index_vjp,
     .saves = "self:indices",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_HIDDEN},
    {.sig = MT_SIG("_index_put(Tensor self, Tensor?[] indices, Tensor values, "
                   "bool accumulate=false) -> Tensor"),
     .doc = "self with values written, or added, at the positions that tensors give.",
     .infer = put_infer,
     .run = put_run,
     .vjp = put_vjp,
     .saves = "self:indices values:indices",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_HIDDEN | MT_OP_INPLACE},
    {.sig = MT_SIG("index(Tensor self, Tensor?[] indices) -> Tensor"),
     .doc = "What x[{...}] does with tensors: positions of signed integers, or bool masks.",
     .composite = index_composite,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(4,3), {idx(4,5)}}, {f(4,3), {idx(4,2,1), idx(3,3)}}, {f(4,3), {b(4)}}, "
                "{f(4,3), {b(4,3)}}, {t(f(3,4)), {idx(4,5)}}, {f(0,3), {b(0)}}"},
    {.sig = MT_SIG("index_put_(Tensor! self, Tensor?[] indices, Tensor values, "
                   "bool accumulate=false) -> Tensor!"),
     .doc = "Writes values (or adds them) at positions or under masks, in place.",
     .composite = index_put_in_place,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(4,3), {idx(4,5)}, f(5,3), true}, {f(4,3), {b(4)}, f()}, {f(4,3), {idx(4,1), "
                "idx(3,1)}, f()}"},
    {.sig = MT_SIG("index_put(Tensor self, Tensor?[] indices, Tensor values, "
                   "bool accumulate=false) -> Tensor"),
     .doc = "A copy with values written (or added) at positions or under masks.",
     .composite = index_put_functional,
     .dtypes = MT_D_ALL,
     .samples = "{f(4,3), {idx(4,5)}, f(5,3)}, {f(4,3), {idx(4,5)}, f(5,3), true}, "
                "{f(4,3), {idx(4,5), idx(3,5)}, f()}, {f(4,3), {b(4,3)}, f()}, "
                "{t(f(3,4)), {idx(4,2)}, f(1,3)}"},
    {.sig = MT_SIG("masked_select(Tensor self, Tensor mask) -> Tensor"),
     .doc = "The elements where a mask is true, in one dimension; both are broadcast.",
     .composite = masked_select,
     .dtypes = MT_D_ALL,
     .samples =
         "{f(3,4), b(3,4)}, {f(3,4), b(4)}, {f(4), b(3,4)}, {t(f(3,4)), b(4,3)}, {f(), b()}"},
    {.sig = MT_SIG("index_select(Tensor self, dim dim, Tensor index) -> Tensor"),
     .doc = "Slices of a dimension at the positions of a vector.",
     .infer = select_infer,
     .run = select_run,
     .vjp = select_vjp,
     .saves = "self:index",
     .dtypes = MT_D_ALL,
     .samples = "{f(4,3), 1, idx(4,5)}, {f(4,3), 2, idx(3,2)}, {t(f(4,3)), -1, idx(4,3)}, "
                "{f(5), 1, idx(5)}, {f(4,0), 1, idx(4,2)}, {f(2,3,2), 2, idx(3,4)}"},
    {.sig = MT_SIG("index_add(Tensor self, dim dim, Tensor index, Tensor source, *, "
                   "Scalar alpha=1) -> Tensor"),
     .doc = "Adds slices of source, times alpha, to the slices of a dimension that index names.",
     .infer = dim_put_infer,
     .run = add_run,
     .vjp = add_vjp,
     .saves = "source:index",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_INPLACE,
     .samples = "{f(4,3), 1, idx(4,5), f(5,3)}, {f(4,3), 2, idx(3,2), f(4,2), {alpha=2}}, "
                "{t(f(4,3)), -1, idx(4,3), f(3,3)}, {f(5), 1, idx(5,3), f(3)}"},
    {.sig = MT_SIG("index_copy(Tensor self, dim dim, Tensor index, Tensor source) -> Tensor"),
     .doc = "Replaces the slices of a dimension that index names by those of source.",
     .infer = dim_put_infer,
     .run = copy_run,
     .vjp = copy_vjp,
     .saves = "self:index source:index",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_INPLACE,
     .samples = "{f(4,3), 1, idx(4,5), f(5,3)}, {f(4,3), 2, idx(3,2), f(4,2)}, "
                "{t(f(4,3)), -1, idx(4,3), f(3,3)}, {f(5), 1, idx(5,3), f(3)}"},
    {.sig = MT_SIG("index_fill(Tensor self, dim dim, Tensor index, Operand value) -> Tensor"),
     .doc = "Fills the slices of a dimension that index names with one value.",
     .infer = fill_infer,
     .run = fill_run,
     .vjp = fill_vjp,
     .saves = "self:index value:index",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_INPLACE,
     .samples = "{f(4,3), 1, idx(4,2), 0.5}, {f(4,3), 2, idx(3,4), f()}, "
                "{t(f(4,3)), -1, idx(4,3), 2}, {f(5), 1, idx(5), -1}"},
    {0}};
