/* extreme.c: max, min, amax, amin, argmax, argmin. NaN wins; positions are the first occurrence,
 * counted from 1. */
#include "formula.h"
#include "reduce.h"

/* PyTorch's rule and words: an extreme over nothing does not exist. */
static int check_not_empty(mt_frame *f, uint32_t mask, bool whole) {
  const mt_tensor *self = f->args[0].u.t;
  if (whole) {
    if (self->numel) return MT_OK;
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Expected reduction dim to be specified for input.numel() == 0. Specify the "
                       "reduction dim with the 'dim' argument.");
  }
  for (int d = 0; d < self->ndim; d++)
    if ((mask >> d & 1) && self->sizes[d] == 0)
      return mt__op_fail(f, MT_ERR_SHAPE, "Expected reduction dim %d to have non-zero size.",
                         d + 1);
  return MT_OK;
}

static int extreme_run(mt_frame *f, int kind, mt_tensor *value, mt_tensor *index) {
  const mt_tensor *self = f->args[0].u.t;
  mt_reduction r = {.in = self,
                    .mask = (uint32_t)f->priv[0],
                    .kind = kind,
                    .number = mt__number_of(self->dtype),
                    .finish = index ? MT_FIN_ARG : MT_FIN_VALUE,
                    .value = value,
                    .second = index,
                    .work = f->work};
  return mt__reduce(&r, f->priv[1] != 0);
}

/* ---- amax, amin and the whole tensor's max, min ---- */

static int whole_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask = (1u << self->ndim) - 1;
  MT_TRY(check_not_empty(f, mask, true));
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  return mt__reduce_out(f, 0, self, mask, false, self->dtype);
}

static int amax_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  MT_TRY(check_not_empty(f, mask, false));
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  return mt__reduce_out(f, 0, self, mask, f->args[2].u.i != 0, self->dtype);
}

static int max_run(mt_frame *f) {
  return extreme_run(f, MT_FOLD_MAX, f->out[0], NULL);
}
static int min_run(mt_frame *f) {
  return extreme_run(f, MT_FOLD_MIN, f->out[0], NULL);
}

/* The gradient goes to all places that hold the extreme, in equal shares. */
static int spread(mt_vjp *v, uint32_t mask, bool keepdim) {
  mt_tensor *self = v->args[0].u.t;
  MT_AUTO *out = NULL, *g = NULL, *hit = NULL, *count = NULL, *share = NULL;
  MT_TRY(mt__keep_dims(&out, v->outs[0], self, mask, keepdim));
  MT_TRY(mt__keep_dims(&g, v->g[0], self, mask, keepdim));
  MT_TRY(mt_eq(&hit, self, mt__arg_t(out)));
  int64_t dims[MT_MAX_DIMS];
  int n = mt__mask_dims(mask, self->ndim, dims);
  MT_TRY(mt_sum(&count, hit, n ? (mt_ints){n, dims} : MT_INTS_NONE, true, -1));
  MT_TRY(mt__f_div(&share, g, count));
  return mt__f_where(&v->gin[0], hit, mt__arg_t(share), mt__arg_f(0));
}

static int whole_vjp(mt_vjp *v) {
  return spread(v, (1u << v->args[0].u.t->ndim) - 1, false);
}

static int amax_vjp(mt_vjp *v) {
  return spread(v, mt__mask_of(&v->args[1], v->args[0].u.t->ndim), v->args[2].u.i != 0);
}

/* ---- along one dimension, with positions ---- */

static int dim_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int dim;
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, self->ndim, &dim));
  uint32_t mask = self->ndim ? 1u << dim : 0;
  MT_TRY(check_not_empty(f, mask, false));
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  MT_TRY(mt__reduce_out(f, 0, self, mask, f->args[2].u.i != 0, self->dtype));
  return mt__reduce_out(f, 1, self, mask, f->args[2].u.i != 0, MT_INT64);
}

static int max_dim_run(mt_frame *f) {
  return extreme_run(f, MT_FOLD_ARGMAX, f->out[0], f->out[1]);
}

static int min_dim_run(mt_frame *f) {
  return extreme_run(f, MT_FOLD_ARGMIN, f->out[0], f->out[1]);
}

static int dim_vjp(mt_vjp *v) {
  mt_tensor *self = v->args[0].u.t;
  if (!v->g[0]) return MT_OK;
  if (self->ndim == 0) {
    v->gin[0] = mt_retain(v->g[0]);
    return MT_OK;
  }
  uint32_t mask = mt__mask_of(&v->args[1], self->ndim);
  bool keepdim = v->args[2].u.i != 0;
  MT_AUTO *index = NULL, *g = NULL, *zeros = NULL;
  MT_TRY(mt__keep_dims(&index, v->outs[1], self, mask, keepdim));
  MT_TRY(mt__keep_dims(&g, v->g[0], self, mask, keepdim));
  MT_TRY(mt__zeros_like(&zeros, self));
  return mt_scatter(&v->gin[0], zeros, __builtin_ctz(mask), index, mt__arg_t(g));
}

static int max_other(mt_frame *f) {
  return mt_maximum(&f->out[0], f->args[0].u.t, f->args[1]);
}

static int min_other(mt_frame *f) {
  return mt_minimum(&f->out[0], f->args[0].u.t, f->args[1]);
}

static int arg_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  bool whole = f->args[1].kind == MT_NONE;
  MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  MT_TRY(check_not_empty(f, mask, whole));
  f->priv[0] = mask;
  f->priv[1] = whole;
  f->work_bytes = mt__reduction_work(self, mask, whole);
  return mt__reduce_out(f, 0, self, mask, f->args[2].u.i != 0, MT_INT64);
}

static int argmax_run(mt_frame *f) {
  return extreme_run(f, MT_FOLD_ARGMAX, NULL, f->out[0]);
}
static int argmin_run(mt_frame *f) {
  return extreme_run(f, MT_FOLD_ARGMIN, NULL, f->out[0]);
}

#define WHOLE_SAMPLES "{f(3,4)}, {t(f(3,5))}, {f()}, {e(f(3,1),3,2)}"
#define AMAX_SAMPLES                                                                               \
  "{f(3,4)}, {f(3,4), 2, true}, {f(2,3,4), {1,3}}, {t(f(3,5)), 1}, {f()}, {f(0,3), 2}"
#define DIM_SAMPLES                                                                                \
  "{f(3,4), 1}, {f(3,4), 2, {keepdim=true}}, {f(2,3,4), -2}, {t(f(3,5)), 1}, {f(), 1}, {f(0,3), "  \
  "2}"
#define ARG_SAMPLES                                                                                \
  "{f(3,4)}, {f(3,4), 2, {keepdim=true}}, {f(2,3,4), -2}, {t(f(3,5))}, {f()}, {f(0,3), 2}"

const mt_opdef mt__ops_extreme[] = {
    {.sig = MT_SIG("max(Tensor self) -> Tensor"),
     .doc = "The largest element; with a dimension, values and positions; with a tensor, maximum.",
     .infer = whole_infer,
     .run = max_run,
     .vjp = whole_vjp,
     .saves = "self:self,out",
     .dtypes = MT_D_ALL,
     .samples = WHOLE_SAMPLES},
    {.sig = MT_SIG("max.dim(Tensor self, dim dim, bool keepdim=false) "
                   "-> (Tensor values, Tensor indices)"),
     .doc = "The largest elements along a dimension and their positions (the first, from 1).",
     .infer = dim_infer,
     .run = max_dim_run,
     .vjp = dim_vjp,
     .saves = "self:out1",
     .dtypes = MT_D_ALL,
     .samples = DIM_SAMPLES},
    {.sig = MT_SIG("max.other(Tensor self, Tensor other) -> Tensor"),
     .doc = "The larger of two elements, as maximum.",
     .composite = max_other,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4), f(3,4)}, {f(3,4), f(4)}"},
    {.sig = MT_SIG("min(Tensor self) -> Tensor"),
     .doc = "The smallest element; with a dimension, values and positions; with a tensor, minimum.",
     .infer = whole_infer,
     .run = min_run,
     .vjp = whole_vjp,
     .saves = "self:self,out",
     .dtypes = MT_D_ALL,
     .samples = WHOLE_SAMPLES},
    {.sig = MT_SIG("min.dim(Tensor self, dim dim, bool keepdim=false) "
                   "-> (Tensor values, Tensor indices)"),
     .doc = "The smallest elements along a dimension and their positions (the first, from 1).",
     .infer = dim_infer,
     .run = min_dim_run,
     .vjp = dim_vjp,
     .saves = "self:out1",
     .dtypes = MT_D_ALL,
     .samples = DIM_SAMPLES},
    {.sig = MT_SIG("min.other(Tensor self, Tensor other) -> Tensor"),
     .doc = "The smaller of two elements, as minimum.",
     .composite = min_other,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4), f(3,4)}, {f(3,4), f(4)}"},
    {.sig = MT_SIG("amax(Tensor self, dims? dim=None, bool keepdim=false) -> Tensor"),
     .doc = "The largest elements over dimensions; equal ones share the gradient.",
     .infer = amax_infer,
     .run = max_run,
     .vjp = amax_vjp,
     .saves = "self:self,out",
     .dtypes = MT_D_ALL,
     .samples = AMAX_SAMPLES},
    {.sig = MT_SIG("amin(Tensor self, dims? dim=None, bool keepdim=false) -> Tensor"),
     .doc = "The smallest elements over dimensions; equal ones share the gradient.",
     .infer = amax_infer,
     .run = min_run,
     .vjp = amax_vjp,
     .saves = "self:self,out",
     .dtypes = MT_D_ALL,
     .samples = AMAX_SAMPLES},
    {.sig = MT_SIG("argmax(Tensor self, dim? dim=None, bool keepdim=false) -> Tensor"),
     .doc = "Position of the largest element (the first, from 1), of all or along a dimension.",
     .infer = arg_infer,
     .run = argmax_run,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = ARG_SAMPLES},
    {.sig = MT_SIG("argmin(Tensor self, dim? dim=None, bool keepdim=false) -> Tensor"),
     .doc = "Position of the smallest element (the first, from 1), of all or along a dimension.",
     .infer = arg_infer,
     .run = argmin_run,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = ARG_SAMPLES},
    {0}};
