/* ops/pointwise.c: the elementwise ops: dtypes, shapes, which loop, and running it.
 *
 * Every row of pointwise.def goes through one infer and one run. The way that matters is the
 * short one: tensors of one dtype and one shape without gaps (numbers are welcome) need no more
 * than a call of the loop. Everything else goes over iter.h, which stages what the loop cannot
 * take as it lies.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "../cast.h"

MT_KERNELS(pointwise)

/* ---- what is known of each loop ---- */

enum { LIGHT = 32768, MEDIUM = 8192, HEAVY = 2048 };

#define D(e)                                    MT_PWD_FUSED
#define DOPS(e)                                 MT_PWD_OPS
#define DG                                      MT_PWD_PASS
#define DZ                                      MT_PWD_ZERO
#define DN                                      MT_PWD_NONE
#define KERNEL1(name, cls, cost, value, dx)     [MT_PW_##name] = {1, MT_PWC_##cls, {dx}, cost},
#define KERNEL2(name, cls, cost, value, da, db) [MT_PW_##name] = {2, MT_PWC_##cls, {da, db}, cost},
#define KERNEL3(name, cls, cost, value, da, db, dc)                                                \
  [MT_PW_##name] = {3, MT_PWC_##cls, {da, db, dc}, cost},
#define UNARY(name, sig, dtypes, flags, cls, cost, value, dx, ...)                                 \
  KERNEL1(name, cls, cost, value, dx)
#define BINARY(name, sig, dtypes, flags, cls, cost, value, da, db, ...)                            \
  KERNEL2(name, cls, cost, value, da, db)
#define TERNARY(name, sig, dtypes, flags, cls, cost, value, da, db, dc, ...)                       \
  KERNEL3(name, cls, cost, value, da, db, dc)
#define CHOICE(...)
const mt_pw_info mt__pw_info[MT_PW_COUNT] = {
#include "pointwise.def"
};
#include "../kernels/vocabulary_off.h"

/* The dtype in which a loop for `dtype` reads its operands: half precision goes through
 * float32. */
static int loop_dtype(int dtype) {
  return dtype == MT_FLOAT16 || dtype == MT_BFLOAT16 ? MT_FLOAT32 : dtype;
}

static mt_loop find_loop(int kernel, int dtype) {
  dtype = loop_dtype(dtype);
  if (dtype == MT_FLOAT32 || dtype == MT_FLOAT64)
    return mt__kern_pointwise()->forward[kernel][dtype - MT_FLOAT32];
  return mt__pw_int[kernel][dtype == MT_BOOL ? 0 : dtype - MT_UINT8];
}

/* ---- numbers ---- */

void mt__pw_fill_params(mt_pw_params *p, int nparams, const mt_arg *args, int nin) {
  memset(p, 0, sizeof *p);
  int n = 0;
  for (int i = nin; i < nparams && n < 3; i++) {
    const mt_arg *a = &args[i];
    if (a->kind != MT_INT && a->kind != MT_FLOAT && a->kind != MT_TRUTH) continue;
    p->f[n] = mt__num(a);
    p->i[n++] = mt__int(a);
  }
}

/* Least and greatest of an integer dtype. A negative number may stand for an unsigned one, as in
 * PyTorch: it wraps around. */
static bool fits(int64_t i, int dtype) {
  switch (dtype) {
  case MT_UINT8:
    return i >= -255 && i <= 255;
  case MT_INT8:
    return i >= INT8_MIN && i <= INT8_MAX;
  case MT_INT16:
    return i >= INT16_MIN && i <= INT16_MAX;
  case MT_INT32:
    return i >= INT32_MIN && i <= INT32_MAX;
  default:
    return true;
  }
}

/* A number or a tensor of one element as n <= MT_LANES equal elements of a loop's dtype. An
 * integer beyond it wraps around, or stops at its end. */
static void spread(char *lanes, int dtype, const mt_arg *a, int64_t n, bool stops) {
  union {
    char bytes[8];
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    float f;
    double d;
  } one;
  if (a->kind == MT_TENSOR) {
    mt__convert(one.bytes, dtype, 1, mt__ptr(a->u.t), a->u.t->dtype, 1, 1);
  } else if (dtype == MT_FLOAT32) {
    one.f = (float)mt__num(a);
  } else if (dtype == MT_FLOAT64) {
    one.d = mt__num(a);
  } else if (dtype == MT_BOOL) {
    one.u8 = a->kind == MT_FLOAT ? a->u.f != 0 : a->u.i != 0;
  } else if (stops || mt__is_float(dtype)) {
    mt__store_scalar(one.bytes, dtype, a);
  } else {
    uint64_t wrapped = (uint64_t)(a->kind == MT_FLOAT ? mt__f64_to_i64(a->u.f) : a->u.i);
    memcpy(one.bytes, &wrapped, 8); /* little endian: the low bytes come first */
  }
  switch (mt__esize(dtype)) {
  case 1:
    memset(lanes, one.u8, (size_t)n);
    break;
  case 2:
    for (int64_t i = 0; i < n; i++) ((uint16_t *)(void *)lanes)[i] = one.u16;
    break;
  case 4:
    for (int64_t i = 0; i < n; i++) ((uint32_t *)(void *)lanes)[i] = one.u32;
    break;
  default:
    for (int64_t i = 0; i < n; i++) ((uint64_t *)(void *)lanes)[i] = one.u64;
    break;
  }
}

/* ---- which loop ---- */

/* Is there a factor other than 1? Then it becomes the loop's number. */
static bool scaled(const mt_arg *alpha, const mt_arg *args, mt_pw_params *p) {
  if (alpha->kind == MT_FLOAT ? alpha->u.f == 1 : alpha->u.i == 1) return false;
  mt__pw_fill_params(p, 3, args, 2);
  return true;
}

static int pick_add(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                    int *kernel) {
  (void)f;
  *kernel = scaled(&args[2], args, p) ? MT_PW_add_scaled : MT_PW_add_plain;
  if (dtype == MT_BOOL) *kernel = MT_PW_logical_or;
  return MT_OK;
}

static int pick_sub(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                    int *kernel) {
  (void)dtype;
  for (int i = 0; f && i < 2; i++)
    if (args[i].kind == MT_TENSOR && args[i].u.t->dtype == MT_BOOL)
      return mt__op_fail(
          f, MT_ERR_DTYPE,
          "Subtraction, the `-` operator, with a bool tensor is not supported. If you "
          "are trying to invert a mask, use logical_not() instead.");
  *kernel = scaled(&args[2], args, p) ? MT_PW_sub_scaled : MT_PW_sub_plain;
  return MT_OK;
}

static int pick_rsub(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                     int *kernel) {
  MT_TRY(pick_sub(f, args, dtype, p, kernel));
  *kernel = *kernel == MT_PW_sub_plain ? MT_PW_rsub_plain : MT_PW_rsub_scaled;
  return MT_OK;
}

static int pick_div(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                    int *kernel) {
  (void)f, (void)dtype, (void)p;
  *kernel = args[2].kind == MT_NONE ? MT_PW_quotient
            : args[2].u.i == 0      ? MT_PW_quotient_trunc
                                    : MT_PW_quotient_floor;
  return MT_OK;
}

static int pick_true_divide(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                            int *kernel) {
  (void)f, (void)args, (void)dtype, (void)p;
  *kernel = MT_PW_quotient;
  return MT_OK;
}

static int pick_floor_divide(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                             int *kernel) {
  (void)f, (void)args, (void)dtype, (void)p;
  *kernel = MT_PW_quotient_floor;
  return MT_OK;
}

static int pick_pow(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                    int *kernel) {
  (void)p;
  *kernel = MT_PW_power;
  if (args[1].kind == MT_TENSOR || args[0].kind != MT_TENSOR) return MT_OK;
  double e = mt__num(&args[1]);
  if (!mt__is_float(dtype) && e < 0) {
    if (!f) return MT_OK;
    return mt__op_fail(f, MT_ERR_VALUE, "Integers to negative integer powers are not allowed.");
  }
  if (e == 2)
    *kernel = MT_PW_power_2;
  else if (e == 3)
    *kernel = MT_PW_power_3;
  else if (e == 0.5)
    *kernel = MT_PW_power_half;
  else if (e == -0.5)
    *kernel = MT_PW_power_minus_half;
  else if (e == -1)
    *kernel = MT_PW_power_minus_1;
  else if (e == -2)
    *kernel = MT_PW_power_minus_2;
  return MT_OK;
}

static int pick_round(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                      int *kernel) {
  int64_t decimals = args[1].u.i;
  *kernel = MT_PW_round_whole;
  if (decimals == 0) return MT_OK;
  if (f && !mt__is_float(dtype))
    return mt__op_fail(f, MT_ERR_DTYPE, "decimals is not implemented for dtype %s",
                       mt_dtype_name(dtype));
  *kernel = decimals > 0 ? MT_PW_round_after : MT_PW_round_before;
  memset(p, 0, sizeof *p);
  p->f[0] = pow(10, fabs((double)decimals));
  return MT_OK;
}

static int pick_logit(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                      int *kernel) {
  (void)f, (void)dtype;
  mt__pw_fill_params(p, 2, args, 1);
  *kernel = args[1].kind == MT_NONE ? MT_PW_logit_plain : MT_PW_logit_eps;
  return MT_OK;
}

static int pick_gelu(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                     int *kernel) {
  (void)f, (void)dtype, (void)p;
  *kernel = args[1].u.i == 0 ? MT_PW_gelu_erf : MT_PW_gelu_tanh;
  return MT_OK;
}

static int pick_bitwise_not(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                            int *kernel) {
  (void)f, (void)args, (void)p;
  *kernel = dtype == MT_BOOL ? MT_PW_logical_not : MT_PW_bit_not;
  return MT_OK;
}

static int pick_clamp(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                      int *kernel) {
  (void)dtype, (void)p;
  bool low = args[1].kind != MT_NONE, high = args[2].kind != MT_NONE;
  if (!low && !high)
    return mt__op_fail(f, MT_ERR_VALUE, "At least one of 'min' or 'max' must not be None");
  *kernel = low && high ? MT_PW_clamp_both : low ? MT_PW_clamp_below : MT_PW_clamp_above;
  return MT_OK;
}

static int pick_clamp_min(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                          int *kernel) {
  (void)f, (void)args, (void)dtype, (void)p;
  *kernel = MT_PW_clamp_below;
  return MT_OK;
}

static int pick_clamp_max(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                          int *kernel) {
  (void)f, (void)args, (void)dtype, (void)p;
  *kernel = MT_PW_clamp_above;
  return MT_OK;
}

/* ---- infer ---- */

/* Loops for which a number beyond the dtype's range is as good as the range's end. */
static bool limits(int kernel) {
  return kernel == MT_PW_clamp_both || kernel == MT_PW_clamp_below || kernel == MT_PW_clamp_above ||
         kernel == MT_PW_maximum || kernel == MT_PW_minimum;
}

/* In priv[0]: run may call the loop at once, with numbers spread out; with nothing but the one or
 * two tensors as they are. */
enum { SHORT = 1 << 16, DIRECT = 1 << 17 };

static bool same_shape(const mt_tensor *a, const mt_tensor *b) {
  if (a->ndim != b->ndim) return false;
  for (int d = 0; d < a->ndim; d++)
    if (a->sizes[d] != b->sizes[d]) return false;
  return true;
}

/* The result's description: the operands' common shape, in memory like those that have it whole
 * if they agree. */
static int describe(mt_frame *f, int dtype, int n, mt_tensor *const *t, int device) {
  int64_t sizes[MT_MAX_DIMS];
  int ndim;
  MT_TRY(mt__broadcast(f, n, t, &ndim, sizes));
  const mt_tensor *first = NULL;
  for (int i = 0; i < n; i++) {
    if (t[i]->ndim != ndim || memcmp(t[i]->sizes, sizes, (size_t)ndim * sizeof *sizes) != 0)
      continue;
    if (mt__is_contiguous(t[i]) || !mt__is_dense(t[i])) {
      first = NULL;
      break;
    }
    if (first) {
      for (int d = 0; d < ndim; d++)
        if (sizes[d] > 1 && first->strides[d] != t[i]->strides[d]) {
          first = NULL;
          i = n;
          break;
        }
    } else {
      first = t[i];
    }
  }
  if (first) return mt__out_strided(f, 0, dtype, device, ndim, sizes, first->strides);
  return mt__out(f, 0, dtype, device, ndim, sizes);
}

static bool has_zero(const mt_tensor *t) {
  static const char zero[8];
  mt_iter it;
  mt__iter_begin(&it, t->ndim, t->sizes);
  mt__iter_add(&it, t);
  mt__iter_finish(&it);
  if (it.numel == 0) return false;
  int size = mt__esize(t->dtype);
  int64_t at[MT_MAX_DIMS] = {0}, n = it.ndim ? it.size[0] : 1, step = it.ndim ? it.stride[0][0] : 0;
  for (const char *p = it.ptr[0];;) {
    for (int64_t i = 0; i < n; i++)
      if (memcmp(p + i * step * size, zero, (size_t)size) == 0) return true;
    int d = 1;
    for (; d < it.ndim; d++) {
      p += it.stride[0][d] * size;
      if (++at[d] < it.size[d]) break;
      p -= it.stride[0][d] * it.size[d] * size;
      at[d] = 0;
    }
    if (d >= it.ndim) return false;
  }
}

static bool divides(int kernel) {
  return kernel == MT_PW_quotient_trunc || kernel == MT_PW_quotient_floor ||
         kernel == MT_PW_remainder || kernel == MT_PW_fmod;
}

/* Integers divide by nothing but what is not zero: found before anything is written. */
static int check_divisor(const mt_frame *f, int kernel, const mt_arg *divisor) {
  if (!divides(kernel)) return MT_OK;
  bool zero;
  if (divisor->kind == MT_TENSOR) {
    const mt_tensor *t = divisor->u.t;
    if (t->device != MT_CPU || !t->storage) return MT_OK; /* a device kernel notes it */
    zero = has_zero(t);
  } else {
    zero = divisor->u.i == 0;
  }
  if (!zero) return MT_OK;
  return mt__op_fail(f, MT_ERR_VALUE, "ZeroDivisionError: integer division or modulo by zero");
}

static int choose(mt_frame *f, const mt_pw_row *row, int dtype, int *kernel) {
  mt_pw_params *p = (mt_pw_params *)(void *)&f->priv[2];
  if (row->pick) return row->pick(f, f->args, dtype, p, kernel);
  if (f->op->nparams > row->nin) mt__pw_fill_params(p, f->op->nparams, f->args, row->nin);
  *kernel = row->kernel;
  return MT_OK;
}

static bool is_test(int cls) {
  return cls == MT_PWC_TEST || cls == MT_PWC_FTEST;
}

/* Any operands. */
static int infer_any(mt_frame *f) {
  const mt_pw_row *row = f->op->def.extra;
  mt_tensor *t[3], *shape = NULL; /* of the first operand that has dimensions */
  const mt_arg *operand[3];
  int n = 0, nt = 0;
  bool one_dtype = true, one_shape = true, whole = true, numbers_are_ints = true;
  for (int i = 0; i < row->nin; i++) {
    const mt_arg *a = &f->args[i];
    if (a->kind == MT_NONE) continue;
    operand[n++] = a;
    if (a->kind != MT_TENSOR) {
      numbers_are_ints &= a->kind == MT_INT;
      continue;
    }
    mt_tensor *u = a->u.t;
    t[nt++] = u;
    one_dtype &= u->dtype == t[0]->dtype;
    if (u->ndim == 0) continue;
    if (!shape)
      shape = u;
    else
      one_shape &= same_shape(u, shape);
    whole &= mt__is_contiguous(u) && u->dtype == shape->dtype;
  }
  if (nt == 0) return mt__op_fail(f, MT_ERR_VALUE, "one of the operands must be a tensor");
  if (!shape) shape = t[0];
  int dtype = t[0]->dtype;
  /* A number changes the dtype only across categories. */
  if (!one_dtype || !(n == nt || mt__is_float(dtype) || (numbers_are_ints && dtype != MT_BOOL)))
    dtype = mt__result_type(row->nin, f->args);
  int kernel;
  MT_TRY(choose(f, row, dtype, &kernel));
  int cls = mt__pw_info[kernel].cls;
  if (!mt__is_float(dtype)) {
    if (cls == MT_PWC_FLOAT || cls == MT_PWC_FTEST) {
      dtype = mt__default_dtype();
    } else {
      for (int k = 0; k < n; k++) {
        if (operand[k]->kind == MT_TENSOR || dtype == MT_BOOL) continue;
        if (fits(operand[k]->u.i, dtype) &&
            !(cls == MT_PWC_TEST && dtype == MT_UINT8 && operand[k]->u.i < 0))
          continue;
        if (limits(kernel)) continue;
        if (cls != MT_PWC_TEST)
          return mt__op_fail(f, MT_ERR_VALUE,
                             "value cannot be converted to type %s without overflow: %lld",
                             mt_dtype_name(dtype), (long long)operand[k]->u.i);
        dtype = MT_INT64; /* a comparison with what the dtype cannot hold */
      }
      if (n == 2) MT_TRY(check_divisor(f, kernel, operand[1]));
      for (int i = row->nin; i < f->op->nparams; i++)
        if (f->args[i].kind == MT_FLOAT)
          return mt__op_fail(f, MT_ERR_DTYPE,
                             "For integral input tensors, argument %s must not be a floating point "
                             "number.",
                             f->op->params[i].name);
    }
  } else if (cls == MT_PWC_BITS) {
    return mt__op_fail(f, MT_ERR_DTYPE, "not implemented for dtype %s", mt_dtype_name(dtype));
  }
  mt_loop loop = find_loop(kernel, dtype);
  if (!loop || (dtype == MT_BOOL && (kernel == MT_PW_power || divides(kernel))))
    return mt__op_fail(f, MT_ERR_DTYPE, "not implemented for dtype %s", mt_dtype_name(dtype));
  f->compute = dtype;
  f->priv[0] = (uint64_t)kernel;
  f->priv[1] = (uint64_t)(uintptr_t)loop;
  int out = is_test(cls) ? MT_BOOL : dtype;
  int device = t[0]->device;
  for (int i = 1; i < nt; i++)
    if (t[i]->device != MT_CPU) device = t[i]->device;
  if (one_shape && whole) {
    if (loop_dtype(dtype) == shape->dtype) f->priv[0] |= SHORT;
    return mt__out(f, 0, out, device, shape->ndim, shape->sizes);
  }
  return describe(f, out, nt, t, device);
}

/* One or two operands of one shape and one dtype that loops know, without gaps; the second may be
 * a number. All else takes infer_any, which gives the same for these. */
static int infer(mt_frame *f) {
  const mt_pw_row *row = f->op->def.extra;
  const mt_arg *x = &f->args[0], *y = &f->args[row->nin - 1];
  if (row->nin > 2 || x->kind != MT_TENSOR) return infer_any(f);
  const mt_tensor *a = x->u.t, *b = a;
  if (y->kind == MT_TENSOR)
    b = y->u.t;
  else if (y->kind != MT_FLOAT && y->kind != MT_INT)
    return infer_any(f);
  int dtype = a->dtype;
  if (dtype < MT_FLOAT32 || b->dtype != dtype || !(a->flags & b->flags & MT_T_CONTIGUOUS) ||
      a->device != b->device || (a != b && !same_shape(a, b)))
    return infer_any(f);
  int kernel;
  MT_TRY(choose(f, row, dtype, &kernel));
  int cls = mt__pw_info[kernel].cls;
  if (cls == MT_PWC_BITS) return infer_any(f);
  f->compute = dtype;
  f->priv[0] = (uint64_t)kernel | SHORT | (y->kind == MT_TENSOR ? DIRECT : 0);
  f->priv[1] = (uint64_t)(uintptr_t)mt__kern_pointwise()->forward[kernel][dtype - MT_FLOAT32];
  return mt__out(f, 0, is_test(cls) ? MT_BOOL : dtype, a->device, a->ndim, a->sizes);
}

/* ---- run ---- */

/* Operands of other shapes or dtypes. want: the dtype in which the loop takes operand k. */
static int run_over(mt_frame *f, int n, const mt_arg *const *operand, const uint8_t *want,
                    uint8_t result, mt_loop loop, const mt_pw_params *p, int64_t grain) {
  mt_tensor *out = f->out[0];
  mt_iter it;
  mt_map m = {.loop = loop, .params = p, .grain = grain};
  char one[MT_ITER_OPS][8];
  mt__iter_begin(&it, out->ndim, out->sizes);
  mt__iter_add(&it, out);
  m.have[0] = out->dtype;
  m.want[0] = result;
  bool fresh = f->form != MT_CALL_INPLACE, stops = limits(mt__pw_kernel(f));
  for (int k = 0; k < n; k++) {
    m.want[k + 1] = m.have[k + 1] = want[k];
    if (operand[k]->kind == MT_TENSOR) {
      const mt_tensor *t = operand[k]->u.t;
      m.have[k + 1] = t->dtype;
      mt__iter_add(&it, t);
      fresh &= it.ptr[k + 1] != it.ptr[0];
    } else {
      spread(one[k], want[k], operand[k], 1, stops);
      mt__iter_add_one(&it, one[k]);
    }
  }
  mt__iter_finish(&it);
  m.stream = fresh && out->numel * mt__esize(out->dtype) >= MT_STREAM_BYTES;
  return mt__map(&it, &m);
}

/* Contiguous operands and not so many elements that threads would help: the loop at once. */
static int run_short(mt_frame *f, int n, const mt_arg *const *operand, mt_loop loop, int dtype) {
  const mt_tensor *out = f->out[0];
  int64_t numel = out->numel;
  bool stops = limits(mt__pw_kernel(f));
  char lanes[5][MT_LANES * 8] __attribute__((aligned(64)));
  const void *in[5];
  int64_t step[5];
  for (int k = 0; k < n; k++) {
    const mt_tensor *t = operand[k]->kind == MT_TENSOR ? operand[k]->u.t : NULL;
    step[k] = t && (t->ndim > 0 || (out->ndim == 0 && t->dtype == dtype));
    in[k] = step[k] ? (void *)mt__ptr(t) : lanes[k];
    if (!step[k]) spread(lanes[k], dtype, operand[k], numel < MT_LANES ? numel : MT_LANES, stops);
  }
  if (numel) loop(mt__ptr(out), in, step, numel, mt__pw_params_of(f));
  return MT_OK;
}

static int run(mt_frame *f) {
  const mt_pw_row *row = f->op->def.extra;
  mt_loop loop = (mt_loop)(uintptr_t)f->priv[1];
  const mt_pw_info *info = &mt__pw_info[mt__pw_kernel(f)];
  const mt_arg *operand[3];
  if ((f->priv[0] & DIRECT) && f->out[0]->numel <= info->grain) {
    static const int64_t step[2] = {1, 1};
    const void *in[2] = {mt__ptr(f->args[0].u.t), mt__ptr(f->args[row->nin - 1].u.t)};
    if (f->out[0]->numel) loop(mt__ptr(f->out[0]), in, step, f->out[0]->numel, &f->priv[2]);
    return MT_OK;
  }
  int dtype = loop_dtype(f->compute), n = 0;
  for (int i = 0; i < row->nin; i++)
    if (f->args[i].kind != MT_NONE) operand[n++] = &f->args[i];
  if ((f->priv[0] & SHORT) && f->out[0]->numel <= info->grain)
    return run_short(f, n, operand, loop, dtype);
  const uint8_t want[3] = {(uint8_t)dtype, (uint8_t)dtype, (uint8_t)dtype};
  return run_over(f, n, operand, want, (uint8_t)(is_test(info->cls) ? MT_BOOL : dtype), loop,
                  mt__pw_params_of(f), info->grain);
}

/* ---- fused derivatives ---- */

/* Arguments: grad, a, b, c, y, kernel, which, p0, p1. The loop takes what its expression reads,
 * in that order; all of it has broadcast to grad's shape before. */
static int backward_infer(mt_frame *f) {
  mt_tensor *g = f->args[0].u.t;
  int kernel = (int)f->args[5].u.i, which = (int)f->args[6].u.i, dtype = loop_dtype(g->dtype);
  mt_loop loop = NULL;
  if (kernel >= 0 && kernel < MT_PW_COUNT && which >= 0 && which < 3 && mt__is_float(dtype))
    loop = mt__kern_pointwise()->backward[kernel][which][dtype - MT_FLOAT32];
  if (!loop) return mt__op_fail(f, MT_ERR_INTERNAL, "no derivative %d of loop %d", which, kernel);
  bool whole = mt__is_contiguous(g) && dtype == g->dtype;
  for (int k = 1; k < 5; k++) {
    const mt_arg *a = &f->args[k];
    if (a->kind != MT_TENSOR) continue;
    whole &= a->u.t->dtype == dtype && mt__is_contiguous(a->u.t) && same_shape(a->u.t, g);
    if (!a->u.t->storage && a->u.t->device != MT_META)
      return mt__op_fail(f, MT_ERR_INTERNAL, "what derivative %d of loop %d reads was not saved",
                         which, kernel);
  }
  f->compute = g->dtype;
  f->priv[0] = (uint64_t)kernel | (whole ? SHORT : 0);
  f->priv[1] = (uint64_t)(uintptr_t)loop;
  mt_pw_params *p = (mt_pw_params *)(void *)&f->priv[2];
  mt__pw_fill_params(p, f->op->nparams, f->args, 7);
  return mt__out_like(f, 0, g->dtype, g);
}

static int backward_run(mt_frame *f) {
  mt_loop loop = (mt_loop)(uintptr_t)f->priv[1];
  int dtype = loop_dtype(f->compute), n = 0;
  int64_t grain = mt__pw_info[mt__pw_kernel(f)].grain;
  const mt_arg *operand[5];
  for (int k = 0; k < 5; k++)
    if (f->args[k].kind != MT_NONE) operand[n++] = &f->args[k];
  if ((f->priv[0] & SHORT) && f->out[0]->numel <= grain)
    return run_short(f, n, operand, loop, dtype);
  uint8_t want[5];
  memset(want, dtype, sizeof want);
  return run_over(f, n, operand, want, (uint8_t)dtype, loop, mt__pw_params_of(f), grain);
}

/* ---- where and masked_fill: by element size ---- */

static int infer_choice(mt_frame *f, const mt_tensor *condition, int dtype, int n,
                        mt_tensor *const *t) {
  if (condition->dtype != MT_BOOL)
    return mt__op_fail(f, MT_ERR_DTYPE, "expected condition to be a bool tensor, but got dtype %s",
                       mt_dtype_name(condition->dtype));
  int device = condition->device;
  for (int i = 0; i < n; i++)
    if (t[i]->device != MT_CPU) device = t[i]->device;
  f->compute = dtype;
  return describe(f, dtype, n, t, device);
}

static int run_choice(mt_frame *f, const mt_arg *q, const mt_arg *a, const mt_arg *b) {
  const mt_arg *operand[3] = {q, a, b};
  uint8_t dtype = (uint8_t)f->compute;
  const uint8_t want[3] = {MT_BOOL, dtype, dtype};
  mt_loop loop = mt__pw_where[__builtin_ctz((unsigned)mt__esize(dtype))];
  return run_over(f, 3, operand, want, dtype, loop, NULL, LIGHT);
}

static int check_fill(const mt_frame *f, const mt_arg *a, int dtype) {
  if (a->kind == MT_TENSOR || mt__is_float(dtype) || dtype == MT_BOOL) return MT_OK;
  if (a->kind != MT_FLOAT && fits(a->u.i, dtype)) return MT_OK;
  return mt__op_fail(f, MT_ERR_VALUE, "value cannot be converted to type %s without overflow",
                     mt_dtype_name(dtype));
}

static int where_infer(mt_frame *f) {
  mt_tensor *t[3] = {f->args[0].u.t};
  int n = 1, dtype;
  for (int k = 1; k < 3; k++)
    if (f->args[k].kind == MT_TENSOR) t[n++] = f->args[k].u.t;
  if (n == 1 && (f->args[1].kind != MT_TRUTH || f->args[2].kind != MT_TRUTH))
    dtype = mt__default_dtype(); /* of two numbers, whole or not */
  else
    dtype = mt__result_type(2, &f->args[1]);
  MT_TRY(check_fill(f, &f->args[1], dtype));
  MT_TRY(check_fill(f, &f->args[2], dtype));
  return infer_choice(f, t[0], dtype, n, t);
}

static int where_run(mt_frame *f) {
  return run_choice(f, &f->args[0], &f->args[1], &f->args[2]);
}

static int masked_fill_infer(mt_frame *f) {
  mt_tensor *t[2] = {f->args[0].u.t, f->args[1].u.t};
  const mt_arg *value = &f->args[2];
  if (value->kind == MT_TENSOR && value->u.t->ndim != 0)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "only supports a 0-dimensional value tensor, but got tensor with %d "
                       "dimension(s).",
                       value->u.t->ndim);
  int dtype = t[0]->dtype;
  MT_TRY(check_fill(f, value, dtype));
  if (value->kind == MT_TENSOR && mt__is_float(value->u.t->dtype) && !mt__is_float(dtype))
    return mt__op_fail(f, MT_ERR_DTYPE, "value cannot be converted to type %s without overflow",
                       mt_dtype_name(dtype));
  return infer_choice(f, t[1], dtype, 2, t);
}

static int masked_fill_run(mt_frame *f) {
  return run_choice(f, &f->args[1], &f->args[2], &f->args[0]);
}

/* ---- the table ---- */

#define KERNEL1(...)
#define KERNEL2(...)
#define KERNEL3(...)
#define UNARY(name, ...)            static const mt_pw_row row_##name = {MT_PW_##name, 1, NULL};
#define BINARY(name, ...)           static const mt_pw_row row_##name = {MT_PW_##name, 2, NULL};
#define TERNARY(name, ...)          static const mt_pw_row row_##name = {MT_PW_##name, 3, NULL};
#define CHOICE(name, operands, ...) static const mt_pw_row row_##name = {-1, operands, pick_##name};
#include "pointwise.def"
#include "../kernels/vocabulary_off.h"

#define ROW(name, text, types, options, saved, examples, words, gradient)                          \
  {.sig = text,                                                                                    \
   .doc = words,                                                                                   \
   .infer = infer,                                                                                 \
   .run = run,                                                                                     \
   .vjp = gradient,                                                                                \
   .saves = saved,                                                                                 \
   .dtypes = types,                                                                                \
   .flags = options,                                                                               \
   .samples = examples,                                                                            \
   .extra = &row_##name},
/* What gives a bool has no derivative. */
#define VJP_FLOAT mt__pw_vjp
#define VJP_ARITH mt__pw_vjp
#define VJP_TEST  NULL
#define VJP_FTEST NULL
#define VJP_BITS  NULL
#define KERNEL1(...)
#define KERNEL2(...)
#define KERNEL3(...)
#define UNARY(name, sig, dtypes, flags, cls, cost, value, dx, saves, samples, doc)                 \
  ROW(name, sig, dtypes, flags, saves, samples, doc, VJP_##cls)
#define BINARY(name, sig, dtypes, flags, cls, cost, value, da, db, saves, samples, doc)            \
  ROW(name, sig, dtypes, flags, saves, samples, doc, VJP_##cls)
#define TERNARY(name, sig, dtypes, flags, cls, cost, value, da, db, dc, saves, samples, doc)       \
  ROW(name, sig, dtypes, flags, saves, samples, doc, VJP_##cls)
#define CHOICE(name, nin, sig, dtypes, flags, saves, samples, doc)                                 \
  ROW(name, sig, dtypes, flags, saves, samples, doc, mt__pw_vjp)

const mt_opdef mt__ops_pointwise[] = {
#include "pointwise.def"
    {.sig = MT_SIG("where(Tensor condition, Operand self, Operand other) -> Tensor"),
     .doc = "self where condition is true, other elsewhere.",
     .infer = where_infer,
     .run = where_run,
     .vjp = mt__where_vjp,
     .saves = "self:condition other:condition",
     .dtypes = MT_D(MT_BOOL),
     .flags = MT_OP_MIXED_DEVICE,
     .samples = "{b(3,4), f(3,4), f(3,4)}, {b(3,4), f(4), 0.5}, {b(3,1), 2, f(1,4)}, "
                "{b(3,4), 1.5, 0.5}, {b(), f(), f()}, {b(3,4), i(3,4), i(4)}"},
    {.sig = MT_SIG("masked_fill(Tensor self, Tensor mask, Operand value) -> Tensor"),
     .doc = "value where mask is true, self elsewhere.",
     .infer = masked_fill_infer,
     .run = masked_fill_run,
     .vjp = mt__masked_fill_vjp,
     .saves = "self:mask value:mask",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_INPLACE | MT_OP_MIXED_DEVICE,
     .samples = "{f(3,4), b(3,4), 2}, {f(3,4), b(4), f()}, {f(3,4), b(3,1), -3}, {i(3,4), "
                "b(3,4), 7}, {f(), b(), 1}"},
    {.sig = MT_SIG("_pointwise_backward(Tensor grad, Operand? a, Operand? b, Operand? c, "
                   "Tensor? y, int kernel, int which, Scalar p0, Scalar p1) -> Tensor"),
     .doc = "A fused derivative of the pointwise family.",
     .infer = backward_infer,
     .run = backward_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_NO_AUTOGRAD},
    {0}};
