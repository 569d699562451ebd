/* reduce.c: sum, mean, prod, all, any, count_nonzero: reductions whose result is one number a
 * place, and what the other reductions share (reduce.h). */
#include "reduce.h"

#include "formula.h"

/* ---- shared by reduce.c, extreme.c and moments.c ---- */

int mt__reduce_out(mt_frame *f, int k, const mt_tensor *in, uint32_t mask, bool keepdim,
                   int dtype) {
  int64_t sizes[MT_MAX_DIMS];
  int ndim = 0;
  for (int d = 0; d < in->ndim; d++) {
    if (!(mask >> d & 1))
      sizes[ndim++] = in->sizes[d];
    else if (keepdim)
      sizes[ndim++] = 1;
  }
  return mt__out(f, k, dtype, in->device, ndim, sizes);
}

uint32_t mt__mask_of(const mt_arg *dims, int ndim) {
  if (dims->kind == MT_NONE || (dims->kind == MT_INTS && dims->n == 0)) return (1u << ndim) - 1;
  if (ndim == 0) return 0;
  if (dims->kind == MT_INT) return 1u << (dims->u.i < 0 ? dims->u.i + ndim : dims->u.i);
  uint32_t mask = 0;
  for (int i = 0; i < dims->n; i++)
    mask |= 1u << (dims->u.is[i] < 0 ? dims->u.is[i] + ndim : dims->u.is[i]);
  return mask;
}

int mt__mask_dims(uint32_t mask, int ndim, int64_t *dims) {
  int n = 0;
  for (int d = 0; d < ndim; d++)
    if (mask >> d & 1) dims[n++] = d;
  return n;
}

int64_t mt__mask_count(const mt_tensor *t, uint32_t mask) {
  int64_t n = 1;
  for (int d = 0; d < t->ndim; d++)
    if (mask >> d & 1) n *= t->sizes[d];
  return n;
}

int mt__keep_dims(mt_tensor **out, mt_tensor *t, const mt_tensor *in, uint32_t mask, bool keepdim) {
  MT_AUTO *now = mt_retain(t);
  *out = NULL;
  for (int d = 0; d < in->ndim && !keepdim; d++) {
    if (!(mask >> d & 1)) continue;
    mt_tensor *next = NULL;
    MT_TRY(mt_unsqueeze(&next, now, d));
    mt_release(now);
    now = next;
  }
  *out = now;
  now = NULL;
  return MT_OK;
}

int mt__unreduce(mt_tensor **out, mt_tensor *t, const mt_tensor *in, uint32_t mask, bool keepdim) {
  *out = NULL;
  mt_ints sizes = {in->ndim, in->sizes};
  if (t->ndim == 0) return mt_expand(out, t, sizes);
  MT_AUTO *kept = NULL;
  MT_TRY(mt__keep_dims(&kept, t, in, mask, keepdim));
  return mt_expand(out, kept, sizes);
}

/* ---- sum, mean, prod ---- */

static int sum_dtype(const mt_frame *f, int given) {
  if (f->args[given].kind == MT_INT) return (int)f->args[given].u.i;
  int dtype = f->args[0].u.t->dtype;
  return mt__is_float(dtype) ? dtype : MT_INT64;
}

static int sum_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  return mt__reduce_out(f, 0, self, mask, f->args[2].u.i != 0, sum_dtype(f, 3));
}

static int reduce_run(mt_frame *f, int kind, int number, int finish) {
  mt_reduction r = {.in = f->args[0].u.t,
                    .mask = (uint32_t)f->priv[0],
                    .kind = kind,
                    .number = number,
                    .finish = finish,
                    .value = f->out[0],
                    .work = f->work};
  return mt__reduce(&r, false);
}

static int sum_run(mt_frame *f) {
  return reduce_run(f, MT_FOLD_SUM, mt__number_of(f->out[0]->dtype), MT_FIN_VALUE);
}

static int sum_vjp(mt_vjp *v) {
  mt_tensor *self = v->args[0].u.t;
  return mt__unreduce(&v->gin[0], v->g[0], self, mt__mask_of(&v->args[1], self->ndim),
                      v->args[2].u.i != 0);
}

static int mean_infer(mt_frame *f) {
  if (!mt__is_float(sum_dtype(f, 3)) ||
      (f->args[3].kind == MT_NONE && !mt__is_float(f->args[0].u.t->dtype)))
    return mt__op_fail(
        f, MT_ERR_DTYPE,
        "could not infer output dtype. Input dtype must be a floating point dtype. "
        "Got: %s",
        mt_dtype_name(f->args[3].kind == MT_INT ? (int)f->args[3].u.i : f->args[0].u.t->dtype));
  return sum_infer(f);
}

static int mean_run(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  bool wide = f->out[0]->dtype == MT_FLOAT64 || !mt__is_float(self->dtype);
  return reduce_run(f, MT_FOLD_SUM, wide ? MT_NUM_F64 : MT_NUM_F32, MT_FIN_MEAN);
}

static int mean_vjp(mt_vjp *v) {
  mt_tensor *self = v->args[0].u.t;
  uint32_t mask = mt__mask_of(&v->args[1], self->ndim);
  MT_AUTO *share = NULL;
  MT_TRY(mt__f_scale(&share, v->g[0], 1 / (double)mt__mask_count(self, mask)));
  return mt__unreduce(&v->gin[0], share, self, mask, v->args[2].u.i != 0);
}

static int prod_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  return mt__reduce_out(f, 0, self, mask, f->args[2].u.i != 0, sum_dtype(f, 3));
}

static int prod_run(mt_frame *f) {
  return reduce_run(f, MT_FOLD_PROD, mt__number_of(f->out[0]->dtype), MT_FIN_VALUE);
}

/* The products of what stands before each element along dim: cumprod of (1, x1, x2, ...). */
static int product_before(mt_tensor **out, mt_tensor *x, int dim) {
  MT_AUTO *head = NULL, *ones = NULL, *body = NULL, *shifted = NULL;
  MT_TRY(mt_narrow(&head, x, dim, 1, 1));
  MT_TRY(mt_ones_like(&ones, head, -1, -1, false));
  MT_TRY(mt_narrow(&body, x, dim, 1, x->sizes[dim] - 1));
  mt_tensor *parts[2] = {ones, body};
  MT_TRY(mt_cat(&shifted, (mt_tensors){2, parts}, dim));
  return mt_cumprod(out, shifted, dim, -1);
}

/* g times the product of all the others: right with zeros as well, which g * out / x is not. */
static int prod_vjp(mt_vjp *v) {
  mt_tensor *self = v->args[0].u.t;
  uint32_t mask = mt__mask_of(&v->args[1], self->ndim);
  bool keepdim = v->args[2].u.i != 0, all = v->args[1].kind == MT_NONE;
  if (self->numel == 0) return mt__zeros_like(&v->gin[0], self);
  if (mt__mask_count(self, mask) == 1)
    return mt__unreduce(&v->gin[0], v->g[0], self, mask, keepdim);
  MT_AUTO *x = NULL, *g = NULL, *before = NULL, *back = NULL, *after_back = NULL, *after = NULL;
  MT_AUTO *others = NULL, *flat = NULL;
  int dim = all ? 0 : __builtin_ctz(mask);
  if (all)
    MT_TRY(mt_reshape(&x, self, MT_INTS_OF(-1)));
  else
    x = mt_retain(self);
  MT_TRY(mt__unreduce(&g, v->g[0], self, mask, keepdim));
  MT_TRY(product_before(&before, x, dim));
  MT_TRY(mt_flip(&back, x, MT_INTS_OF(dim)));
  MT_TRY(product_before(&after_back, back, dim));
  MT_TRY(mt_flip(&after, after_back, MT_INTS_OF(dim)));
  MT_TRY(mt__f_mul(&flat, before, after));
  if (all)
    MT_TRY(mt_reshape(&others, flat, (mt_ints){self->ndim, self->sizes}));
  else
    others = mt_retain(flat);
  return mt__f_mul(&v->gin[0], g, others);
}

/* ---- all, any, count_nonzero ---- */

static int truth_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  return mt__reduce_out(f, 0, self, mask, f->args[2].u.i != 0,
                        self->dtype == MT_UINT8 ? MT_UINT8 : MT_BOOL);
}

static int all_run(mt_frame *f) {
  return reduce_run(f, MT_FOLD_NONZERO, mt__number_of(f->args[0].u.t->dtype), MT_FIN_ALL);
}

static int any_run(mt_frame *f) {
  return reduce_run(f, MT_FOLD_NONZERO, mt__number_of(f->args[0].u.t->dtype), MT_FIN_ANY);
}

static int count_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  uint32_t mask;
  MT_TRY(mt__dims_mask(f, &f->args[1], self->ndim, &mask));
  f->priv[0] = mask;
  f->work_bytes = mt__reduction_work(self, mask, false);
  return mt__reduce_out(f, 0, self, mask, false, MT_INT64);
}

static int count_run(mt_frame *f) {
  return reduce_run(f, MT_FOLD_NONZERO, mt__number_of(f->args[0].u.t->dtype), MT_FIN_VALUE);
}

const mt_opdef mt__ops_reduce[] = {
    {.sig = MT_SIG("sum(Tensor self, dims? dim=None, bool keepdim=false, *, dtype? dtype=None) "
                   "-> Tensor"),
     .doc = "Sum of all elements, or over the given dimensions.",
     .infer = sum_infer,
     .run = sum_run,
     .vjp = sum_vjp,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4)}, {f(3,4), 2, {keepdim=true}}, {f(2,3,4), {1,3}}, {t(f(3,5)), 1}, {f()}, "
                "{f(0,3), 1}, {i(3,4), {dtype=torch.float64}}"},
    {.sig = MT_SIG("mean(Tensor self, dims? dim=None, bool keepdim=false, *, dtype? dtype=None) "
                   "-> Tensor"),
     .doc = "Mean of all elements, or over the given dimensions.",
     .infer = mean_infer,
     .run = mean_run,
     .vjp = mean_vjp,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4)}, {f(3,4), 2, {keepdim=true}}, {f(2,3,4), {1,3}}, {t(f(3,5)), 1}, {f()}, "
                "{f(3,0), 1}, {i(3,4), {dtype=torch.float64}}, {b(3,4), {dtype=torch.float32}}"},
    {.sig = MT_SIG("prod(Tensor self, dim? dim=None, bool keepdim=false, *, dtype? dtype=None) "
                   "-> Tensor"),
     .doc = "Product of all elements, or over one dimension.",
     .infer = prod_infer,
     .run = prod_run,
     .vjp = prod_vjp,
     .saves = "self:self",
     .dtypes = MT_D_ALL,
     .samples = "{f(2,3)}, {f(3,4), 2, {keepdim=true}}, {f(2,3,2), 2}, {f(1,3), 1}, {f()}, "
                "{f(0,3), 1}"},
    {.sig = MT_SIG("all(Tensor self, dims? dim=None, bool keepdim=false) -> Tensor"),
     .doc = "Whether all elements are true (not zero).",
     .infer = truth_infer,
     .run = all_run,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{b(3,4)}, {b(3,4), 2, {keepdim=true}}, {b(2,3,4), {1,3}}, {f(3)}, {b()}, "
                "{b(0,3), 1}"},
    {.sig = MT_SIG("any(Tensor self, dims? dim=None, bool keepdim=false) -> Tensor"),
     .doc = "Whether any element is true (not zero).",
     .infer = truth_infer,
     .run = any_run,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{b(3,4)}, {b(3,4), 2, {keepdim=true}}, {b(2,3,4), {1,3}}, {f(3)}, {b()}, "
                "{b(0,3), 1}"},
    {.sig = MT_SIG("count_nonzero(Tensor self, dims? dim=None) -> Tensor"),
     .doc = "How many elements are not zero, as int64.",
     .infer = count_infer,
     .run = count_run,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{b(3,4)}, {b(3,4), 2}, {b(2,3,4), {1,3}}, {f(3)}, {b()}, {b(0,3), 1}"},
    {0}};
