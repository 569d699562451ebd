/* moments.c: var, std, norm, logsumexp and their gradients. */
#include <math.h>
#include <string.h>

#include "formula.h"
#include "reduce.h"

/* ---- var, std ---- */

/* (self, dim, unbiased, keepdim, correction) for all four ops. */
static double correction_of(const mt_arg *args) {
  if (args[4].kind != MT_NONE) return mt__num(&args[4]);
  return args[2].kind == MT_NONE || args[2].u.i ? 1 : 0;
}

static int var_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  if (f->args[2].kind != MT_NONE && f->args[4].kind != MT_NONE)
    return mt__op_fail(f, MT_ERR_VALUE, "give unbiased or correction, not both");
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  for (int k = 0; k < f->nout; k++)
    MT_TRY(mt__reduce_out(f, k, self, mask, f->args[3].u.i != 0, self->dtype));
  return MT_OK;
}

static int moments_run(mt_frame *f, int finish) {
  const mt_tensor *self = f->args[0].u.t;
  mt_reduction r = {.in = self,
                    .mask = (uint32_t)f->priv[0],
                    .kind = MT_FOLD_VAR,
                    .number = mt__number_of(self->dtype),
                    .finish = finish,
                    .param = correction_of(f->args),
                    .value = f->out[0],
                    .second = f->nout > 1 ? f->out[1] : NULL,
                    .work = f->work};
  return mt__reduce(&r, false);
}

static int var_run(mt_frame *f) {
  return moments_run(f, MT_FIN_VAR);
}
static int std_run(mt_frame *f) {
  return moments_run(f, MT_FIN_STD);
}

/* out = g * 2 / (n - correction) * (x - mean(x)); g has the reduced dimensions as size 1. */
static int var_gradient(mt_tensor **out, mt_tensor *g, mt_tensor *x, uint32_t mask,
                        double correction) {
  int64_t dims[MT_MAX_DIMS];
  int n = mt__mask_dims(mask, x->ndim, dims);
  double left = (double)mt__mask_count(x, mask) - correction;
  MT_AUTO *mean = NULL, *away = NULL, *scaled = NULL;
  MT_TRY(mt_mean(&mean, x, n ? (mt_ints){n, dims} : MT_INTS_NONE, true, -1));
  MT_TRY(mt__f_sub(&away, x, mean));
  MT_TRY(mt__f_scale(&scaled, g, 2 / left));
  return mt__f_mul(out, away, scaled);
}

/* g / (2 out), and 0 where out is 0: the gradient of the square root. */
static int sqrt_gradient(mt_tensor **out, mt_tensor *g, mt_tensor *root) {
  MT_AUTO *none = NULL, *safe = NULL, *twice = NULL, *share = NULL;
  MT_TRY(mt_eq(&none, root, mt__arg_i(0)));
  MT_TRY(mt__f_where(&safe, none, mt__arg_f(1), mt__arg_t(root)));
  MT_TRY(mt__f_scale(&twice, safe, 2));
  MT_TRY(mt__f_div(&share, g, twice));
  return mt__f_where(out, none, mt__arg_f(0), mt__arg_t(share));
}

static int moments_vjp(mt_vjp *v, bool root) {
  mt_tensor *self = v->args[0].u.t;
  uint32_t mask = mt__mask_of(&v->args[1], self->ndim);
  bool keepdim = v->args[3].u.i != 0;
  MT_AUTO *sum = NULL, *of_mean = NULL;
  if (v->g[0]) {
    MT_AUTO *g = NULL, *out = NULL, *gv = NULL;
    MT_TRY(mt__keep_dims(&g, v->g[0], self, mask, keepdim));
    if (root) {
      MT_TRY(mt__keep_dims(&out, v->outs[0], self, mask, keepdim));
      MT_TRY(sqrt_gradient(&gv, g, out));
    } else {
      gv = mt_retain(g);
    }
    MT_TRY(var_gradient(&sum, gv, self, mask, correction_of(v->args)));
  }
  if (v->op->nout > 1 && v->g[1]) {
    MT_AUTO *share = NULL;
    MT_TRY(mt__f_scale(&share, v->g[1], 1 / (double)mt__mask_count(self, mask)));
    MT_TRY(mt__unreduce(&of_mean, share, self, mask, keepdim));
  }
  if (sum && of_mean) return mt__f_add(&v->gin[0], sum, of_mean);
  v->gin[0] = sum ? sum : of_mean;
  sum = of_mean = NULL;
  return MT_OK;
}

static int var_vjp(mt_vjp *v) {
  return moments_vjp(v, false);
}
static int std_vjp(mt_vjp *v) {
  return moments_vjp(v, true);
}

/* ---- norm ---- */

static int norm_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  double p = mt__num(&f->args[1]);
  MT_TRY(mt__dims_mask(f, &f->args[2], self->ndim, &mask));
  int dtype = f->args[4].kind == MT_INT ? (int)f->args[4].u.i : self->dtype;
  if (!mt__is_float(dtype))
    return mt__op_fail(f, MT_ERR_DTYPE, "Expected a floating point tensor as input. Got %s",
                       mt_dtype_name(dtype));
  if (isnan(p)) return mt__op_fail(f, MT_ERR_VALUE, "p is not a number");
  if ((isinf(p) || p < 0) && mt__mask_count(self, mask) == 0)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "cannot compute the %g norm on an empty tensor because the operation does "
                       "not have an identity",
                       p);
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  return mt__reduce_out(f, 0, self, mask, f->args[3].u.i != 0, dtype);
}

static void map_abs(double *x, int64_t n, double p) {
  (void)p;
  for (int64_t i = 0; i < n; i++) x[i] = fabs(x[i]);
}

static void map_pow(double *x, int64_t n, double p) {
  for (int64_t i = 0; i < n; i++) x[i] = pow(fabs(x[i]), p);
}

static int norm_run(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  double p = mt__num(&f->args[1]);
  bool wide = f->out[0]->dtype == MT_FLOAT64 || !mt__is_float(self->dtype);
  mt_reduction r = {.in = self,
                    .mask = (uint32_t)f->priv[0],
                    .number = wide ? MT_NUM_F64 : MT_NUM_F32,
                    .finish = MT_FIN_VALUE,
                    .param = p,
                    .value = f->out[0],
                    .work = f->work};
  if (p == 0) {
    r.kind = MT_FOLD_NONZERO;
  } else if (p == 1) {
    r.kind = MT_FOLD_SUMABS;
  } else if (p == 2) {
    r.kind = MT_FOLD_SUMSQ, r.finish = MT_FIN_ROOT;
  } else if (isinf(p)) {
    r.kind = p > 0 ? MT_FOLD_MAX : MT_FOLD_MIN, r.number = MT_NUM_F64, r.map = map_abs;
  } else {
    r.kind = MT_FOLD_SUM, r.number = MT_NUM_F64, r.map = map_pow, r.finish = MT_FIN_ROOT;
  }
  return mt__reduce(&r, false);
}

/* sign(x) where |x| is the extreme, in equal shares. */
static int extreme_gradient(mt_tensor **out, mt_tensor *x, mt_tensor *norm, mt_tensor *g,
                            uint32_t mask) {
  int64_t dims[MT_MAX_DIMS];
  int n = mt__mask_dims(mask, x->ndim, dims);
  MT_AUTO *size = NULL, *hit = NULL, *count = NULL, *share = NULL, *sign = NULL, *all = NULL;
  MT_TRY(mt_abs(&size, x));
  MT_TRY(mt_eq(&hit, size, mt__arg_t(norm)));
  MT_TRY(mt_sum(&count, hit, n ? (mt_ints){n, dims} : MT_INTS_NONE, true, -1));
  MT_TRY(mt__f_div(&share, g, count));
  MT_TRY(mt_sign(&sign, x));
  MT_TRY(mt__f_mul(&all, sign, share));
  return mt__f_where(out, hit, mt__arg_t(all), mt__arg_f(0));
}

/* d norm / dx = sign(x) |x|^(p-1) / norm^(p-1), and 0 where the norm is 0. */
static int norm_vjp(mt_vjp *v) {
  mt_tensor *self = v->args[0].u.t;
  double p = mt__num(&v->args[1]);
  uint32_t mask = mt__mask_of(&v->args[2], self->ndim);
  bool keepdim = v->args[3].u.i != 0;
  if (p == 0) return mt__zeros_like(&v->gin[0], self);
  MT_AUTO *x = NULL, *g = NULL, *norm = NULL, *part = NULL, *none = NULL, *safe = NULL;
  MT_AUTO *power = NULL, *share = NULL, *scale = NULL;
  MT_TRY(mt__f_cast(&x, self, v->outs[0]->dtype));
  MT_TRY(mt__keep_dims(&g, v->g[0], self, mask, keepdim));
  MT_TRY(mt__keep_dims(&norm, v->outs[0], self, mask, keepdim));
  if (isinf(p)) return extreme_gradient(&v->gin[0], x, norm, g, mask);
  if (p == 2) {
    part = mt_retain(x);
  } else {
    MT_AUTO *sign = NULL;
    MT_TRY(mt_sign(&sign, x));
    if (p == 1) return mt__f_mul(&v->gin[0], sign, g);
    MT_AUTO *size = NULL, *raised = NULL, *zero = NULL, *guarded = NULL;
    MT_TRY(mt_abs(&size, x));
    if (p < 1) {
      MT_TRY(mt_eq(&zero, x, mt__arg_i(0)));
      MT_TRY(mt__f_where(&guarded, zero, mt__arg_f(1), mt__arg_t(size)));
    } else {
      guarded = mt_retain(size);
    }
    MT_TRY(mt__f_pow(&raised, guarded, p - 1));
    MT_TRY(mt__f_mul(&part, sign, raised));
  }
  MT_TRY(mt_eq(&none, norm, mt__arg_i(0)));
  MT_TRY(mt__f_where(&safe, none, mt__arg_f(1), mt__arg_t(norm)));
  if (p == 2)
    power = mt_retain(safe);
  else
    MT_TRY(mt__f_pow(&power, safe, p - 1));
  MT_TRY(mt__f_div(&share, g, power));
  MT_TRY(mt__f_where(&scale, none, mt__arg_f(0), mt__arg_t(share)));
  return mt__f_mul(&v->gin[0], part, scale);
}

static int norm_by_name(mt_frame *f) {
  const char *p = f->args[1].u.s;
  if (strcmp(p, "fro") != 0)
    return mt__op_fail(f, MT_ERR_VALUE, "p is a number or \"fro\", got \"%.32s\"", p);
  const mt_arg *dims = &f->args[2];
  mt_ints list = dims->kind == MT_NONE  ? MT_INTS_NONE
                 : dims->kind == MT_INT ? (mt_ints){1, &dims->u.i}
                                        : (mt_ints){dims->n, dims->u.is};
  int dtype = f->args[4].kind == MT_INT ? (int)f->args[4].u.i : -1;
  return mt_norm(&f->out[0], f->args[0].u.t, mt__arg_i(2), list, f->args[3].u.i != 0, dtype);
}

/* ---- logsumexp ---- */

static int lse_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  int dtype = mt__is_float(self->dtype) ? self->dtype : mt__default_dtype();
  return mt__reduce_out(f, 0, self, mask, f->args[2].u.i != 0, dtype);
}

static int lse_run(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  mt_reduction r = {.in = self,
                    .mask = (uint32_t)f->priv[0],
                    .kind = MT_FOLD_LSE,
                    .number = f->out[0]->dtype == MT_FLOAT64 ? MT_NUM_F64 : MT_NUM_F32,
                    .finish = MT_FIN_LSE,
                    .value = f->out[0],
                    .work = f->work};
  return mt__reduce(&r, false);
}

/* g * exp(x - out) */
static int lse_vjp(mt_vjp *v) {
  mt_tensor *self = v->args[0].u.t;
  uint32_t mask = mt__mask_of(&v->args[1], self->ndim);
  bool keepdim = v->args[2].u.i != 0;
  MT_AUTO *out = NULL, *g = NULL, *away = NULL, *share = NULL;
  MT_TRY(mt__keep_dims(&out, v->outs[0], self, mask, keepdim));
  MT_TRY(mt__keep_dims(&g, v->g[0], self, mask, keepdim));
  MT_TRY(mt__f_sub(&away, self, out));
  MT_TRY(mt_exp(&share, away));
  return mt__f_mul(&v->gin[0], share, g);
}

#define VAR_SAMPLES                                                                                \
  "{f(3,4)}, {f(3,4), 2, {keepdim=true}}, {f(2,3,4), {1,3}, {correction=0}}, "                     \
  "{t(f(3,5)), 1, false}, {f(4), {unbiased=true}}, {f(0,3), 2}"

const mt_opdef mt__ops_moments[] = {
    {.sig = MT_SIG("var(Tensor self, dims? dim=None, bool? unbiased=None, bool keepdim=false, *, "
                   "float? correction=None) -> Tensor"),
     .doc = "Variance; the divisor is n - correction (1, or 0 with unbiased=false).",
     .infer = var_infer,
     .run = var_run,
     .vjp = var_vjp,
     .saves = "self:self",
     .dtypes = MT_D_FLOAT,
     .samples = VAR_SAMPLES},
    {.sig = MT_SIG("std(Tensor self, dims? dim=None, bool? unbiased=None, bool keepdim=false, *, "
                   "float? correction=None) -> Tensor"),
     .doc = "Standard deviation; the divisor is n - correction (1, or 0 with unbiased=false).",
     .infer = var_infer,
     .run = std_run,
     .vjp = std_vjp,
     .saves = "self:self,out",
     .dtypes = MT_D_FLOAT,
     .samples = VAR_SAMPLES},
    {.sig = MT_SIG("var_mean(Tensor self, dims? dim=None, bool? unbiased=None, "
                   "bool keepdim=false, *, float? correction=None) -> (Tensor var, Tensor mean)"),
     .doc = "Variance and mean.",
     .infer = var_infer,
     .run = var_run,
     .vjp = var_vjp,
     .saves = "self:self",
     .dtypes = MT_D_FLOAT,
     .samples = VAR_SAMPLES},
    {.sig = MT_SIG("std_mean(Tensor self, dims? dim=None, bool? unbiased=None, "
                   "bool keepdim=false, *, float? correction=None) -> (Tensor std, Tensor mean)"),
     .doc = "Standard deviation and mean.",
     .infer = var_infer,
     .run = std_run,
     .vjp = std_vjp,
     .saves = "self:self,out0",
     .dtypes = MT_D_FLOAT,
     .samples = VAR_SAMPLES},
    {.sig = MT_SIG("norm(Tensor self, Scalar p=2, dims? dim=None, bool keepdim=false, *, "
                   "dtype? dtype=None) -> Tensor"),
     .doc = "The p-norm of the elements as one vector: (sum |x|^p)^(1/p), inf for the largest.",
     .infer = norm_infer,
     .run = norm_run,
     .vjp = norm_vjp,
     .saves = "self:self,out",
     .dtypes = MT_D_FLOAT,
     .samples = "{f(3,4)}, {f(3,4), 1, 2}, {f(3,4), 3, {1}, true}, {f(2,3,4), math.huge, {1,3}}, "
                "{t(f(3,5)), -math.huge, 1}, {f(3,4), 0, 1}, {f(3,2), 0.5}, {f(4), 1.5}, {f()}, "
                "{f(0,3), 2, 1}"},
    {.sig = MT_SIG("norm.name(Tensor self, str p, dims? dim=None, bool keepdim=false, *, "
                   "dtype? dtype=None) -> Tensor"),
     .doc = "The Frobenius norm: p is \"fro\".",
     .composite = norm_by_name,
     .dtypes = MT_D_FLOAT,
     .samples = "{f(3,4), \"fro\"}, {f(2,3,4), \"fro\", {2,3}, true}"},
    {.sig = MT_SIG("logsumexp(Tensor self, dims dim, bool keepdim=false) -> Tensor"),
     .doc = "log(sum(exp(x))) over dimensions, without overflow.",
     .infer = lse_infer,
     .run = lse_run,
     .vjp = lse_vjp,
     .saves = "self:self,out",
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4), 2}, {f(3,4), 1, {keepdim=true}}, {f(2,3,4), {1,3}}, {t(f(3,5)), 1}, "
                "{f(), 1}, {f(2,0), 2}"},
    {0}};
