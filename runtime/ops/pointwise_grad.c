/* ops/pointwise_grad.c: the derivatives of the pointwise family.
 *
 * A derivative is an expression of pointwise.def. It runs as a fused loop (the hidden op
 * _pointwise_backward) while grad mode is off, and as ops, through the same door as every other
 * call, while it is on, so that it is recorded and can be differentiated again.
 */
#include <math.h>

#include "pointwise.h"

#include "../kernels/pointwise_reads.h"
#include "moontorch_ops.h"

/* ---- expressions as calls of ops ---- */

/* What an expression has made so far. After a failure the calls that remain do nothing. */
enum { MT_EX_MOST = 40 };
typedef struct ex {
  int status, n;
  mt_tensor *made[MT_EX_MOST];
  mt_arg p[2];
} ex;

static mt_arg keep(ex *e, int status, mt_tensor *t) {
  if (status != MT_OK) {
    e->status = status;
    return mt__arg_none();
  }
  if (e->n == MT_EX_MOST) {
    mt_release(t);
    e->status = mt_fail(MT_ERR_INTERNAL, "an expression of more than %d steps", MT_EX_MOST);
    return mt__arg_none();
  }
  e->made[e->n++] = t;
  return mt__arg_t(t);
}

static bool is_tensor(mt_arg u) {
  return u.kind == MT_TENSOR;
}

/* The vocabulary is larger than what the rows of today need. */
#define SPARE __attribute__((unused))

/* Numbers alone are worked out at once. */
#define UNARY_OP(NAME, call, fold)                                                                 \
  SPARE static mt_arg NAME(ex *e, mt_arg u) {                                                      \
    if (e->status != MT_OK) return u;                                                              \
    if (!is_tensor(u)) {                                                                           \
      double x = mt__num(&u);                                                                      \
      return mt__arg_f(fold);                                                                      \
    }                                                                                              \
    mt_tensor *t = NULL;                                                                           \
    int status = call;                                                                             \
    return keep(e, status, t);                                                                     \
  }
#define BINARY_OP(NAME, call, fold)                                                                \
  SPARE static mt_arg NAME(ex *e, mt_arg u, mt_arg v) {                                            \
    if (e->status != MT_OK) return u;                                                              \
    if (!is_tensor(u) && !is_tensor(v)) {                                                          \
      double x = mt__num(&u), y = mt__num(&v);                                                     \
      return fold;                                                                                 \
    }                                                                                              \
    mt_tensor *t = NULL;                                                                           \
    int status = call;                                                                             \
    return keep(e, status, t);                                                                     \
  }

UNARY_OP(ex_neg, mt_neg(&t, u.u.t), -x)
UNARY_OP(ex_abs, mt_abs(&t, u.u.t), fabs(x))
UNARY_OP(ex_sign, mt_sign(&t, u.u.t), (double)((x > 0) - (x < 0)))
UNARY_OP(ex_square, mt_square(&t, u.u.t), x *x)
UNARY_OP(ex_sqrt, mt_sqrt(&t, u.u.t), sqrt(x))
UNARY_OP(ex_rsqrt, mt_rsqrt(&t, u.u.t), 1 / sqrt(x))
UNARY_OP(ex_exp, mt_exp(&t, u.u.t), exp(x))
UNARY_OP(ex_log, mt_log(&t, u.u.t), log(x))
UNARY_OP(ex_sin, mt_sin(&t, u.u.t), sin(x))
UNARY_OP(ex_cos, mt_cos(&t, u.u.t), cos(x))
UNARY_OP(ex_sinh, mt_sinh(&t, u.u.t), sinh(x))
UNARY_OP(ex_cosh, mt_cosh(&t, u.u.t), cosh(x))
UNARY_OP(ex_tanh, mt_tanh(&t, u.u.t), tanh(x))
UNARY_OP(ex_sigmoid, mt_sigmoid(&t, u.u.t), 1 / (1 + exp(-x)))
UNARY_OP(ex_erf, mt_erf(&t, u.u.t), erf(x))
UNARY_OP(ex_trunc, mt_trunc(&t, u.u.t), trunc(x))

BINARY_OP(ex_add, mt_add(&t, u, v, mt__arg_i(1)), mt__arg_f(x + y))
BINARY_OP(ex_sub, mt_sub(&t, u, v, mt__arg_i(1)), mt__arg_f(x - y))
BINARY_OP(ex_mul, mt_mul(&t, u, v), mt__arg_f(x *y))
BINARY_OP(ex_div, mt_div(&t, u, v, -1), mt__arg_f(x / y))
BINARY_OP(ex_pow, mt_pow(&t, u, v), mt__arg_f(pow(x, y)))
BINARY_OP(ex_floordiv, mt_floor_divide(&t, u, v), mt__arg_f(floor(x / y)))
BINARY_OP(ex_min, mt_minimum(&t, u.u.t, v), mt__arg_f(fmin(x, y)))
BINARY_OP(ex_max, mt_maximum(&t, u.u.t, v), mt__arg_f(fmax(x, y)))

/* A comparison whose first side is a number turns around. */
#define COMPARE_OP(NAME, op, turned, sign)                                                         \
  BINARY_OP(NAME, is_tensor(u) ? op(&t, u.u.t, v) : turned(&t, v.u.t, u), mt__arg_b(x sign y))
COMPARE_OP(ex_eq, mt_eq, mt_eq, ==)
COMPARE_OP(ex_ne, mt_ne, mt_ne, !=)
COMPARE_OP(ex_lt, mt_lt, mt_gt, <)
COMPARE_OP(ex_le, mt_le, mt_ge, <=)
COMPARE_OP(ex_gt, mt_gt, mt_lt, >)
COMPARE_OP(ex_ge, mt_ge, mt_le, >=)

static mt_arg ex_and(ex *e, mt_arg u, mt_arg v) {
  if (e->status != MT_OK) return u;
  if (!is_tensor(u)) return u.u.i ? v : u;
  if (!is_tensor(v)) return v.u.i ? u : v;
  mt_tensor *t = NULL;
  int status = mt_logical_and(&t, u.u.t, v);
  return keep(e, status, t);
}

static mt_arg ex_or(ex *e, mt_arg u, mt_arg v) {
  if (e->status != MT_OK) return u;
  if (!is_tensor(u)) return u.u.i ? u : v;
  if (!is_tensor(v)) return v.u.i ? v : u;
  mt_tensor *t = NULL;
  int status = mt_logical_or(&t, u.u.t, v);
  return keep(e, status, t);
}

static mt_arg ex_where(ex *e, mt_arg q, mt_arg u, mt_arg v) {
  if (e->status != MT_OK) return u;
  if (!is_tensor(q)) return q.u.i ? u : v;
  mt_tensor *t = NULL;
  int status = mt_where(&t, q.u.t, u, v);
  return keep(e, status, t);
}

#define C(k)           mt__arg_f(k)
#define P(k)           (e->p[k])
#define NEG(u)         ex_neg(e, u)
#define ABS(u)         ex_abs(e, u)
#define SIGN(u)        ex_sign(e, u)
#define SQUARE(u)      ex_square(e, u)
#define SQRT(u)        ex_sqrt(e, u)
#define RSQRT(u)       ex_rsqrt(e, u)
#define EXP(u)         ex_exp(e, u)
#define LOG(u)         ex_log(e, u)
#define SIN(u)         ex_sin(e, u)
#define COS(u)         ex_cos(e, u)
#define SINH(u)        ex_sinh(e, u)
#define COSH(u)        ex_cosh(e, u)
#define TANH(u)        ex_tanh(e, u)
#define SIGMOID(u)     ex_sigmoid(e, u)
#define ERF(u)         ex_erf(e, u)
#define TRUNC(u)       ex_trunc(e, u)
#define ADD(u, v)      ex_add(e, u, v)
#define SUB(u, v)      ex_sub(e, u, v)
#define MUL(u, v)      ex_mul(e, u, v)
#define DIV(u, v)      ex_div(e, u, v)
#define POW(u, v)      ex_pow(e, u, v)
#define FLOORDIV(u, v) ex_floordiv(e, u, v)
#define MIN(u, v)      ex_min(e, u, v)
#define MAX(u, v)      ex_max(e, u, v)
#define EQ(u, v)       ex_eq(e, u, v)
#define NE(u, v)       ex_ne(e, u, v)
#define LT(u, v)       ex_lt(e, u, v)
#define LE(u, v)       ex_le(e, u, v)
#define GT(u, v)       ex_gt(e, u, v)
#define GE(u, v)       ex_ge(e, u, v)
#define AND(u, v)      ex_and(e, u, v)
#define OR(u, v)       ex_or(e, u, v)
#define WHERE(q, u, v) ex_where(e, q, u, v)

typedef mt_arg (*expression)(ex *e, mt_arg g, mt_arg a, mt_arg b, mt_arg c, mt_arg y);

#define D(derivative)    (SOME, derivative)
#define DOPS(derivative) (SOME, derivative)
#define DG               (NO, 0)
#define DZ               (NO, 0)
#define DN               (NO, 0)
#define OPEN(...)        __VA_ARGS__
#define WRITE_SOME(name, k, derivative)                                                            \
  static mt_arg name##_by##k(ex *e, mt_arg g, mt_arg a, mt_arg b, mt_arg c, mt_arg y) {            \
    mt_arg x = a;                                                                                  \
    (void)g, (void)x, (void)b, (void)c, (void)y;                                                   \
    return derivative;                                                                             \
  }
#define WRITE_NO(name, k, derivative)
#define WRITE_KIND(name, k, kind, derivative)   WRITE_##kind(name, k, derivative)
#define WRITE_CALL(name, k, ...)                WRITE_KIND(name, k, __VA_ARGS__)
#define WRITE(name, k, d)                       WRITE_CALL(name, k, OPEN d)

#define KERNEL1(name, cls, cost, value, dx)     WRITE(name, 0, dx)
#define KERNEL2(name, cls, cost, value, da, db) WRITE(name, 0, da) WRITE(name, 1, db)
#define KERNEL3(name, cls, cost, value, da, db, dc)                                                \
  WRITE(name, 0, da) WRITE(name, 1, db) WRITE(name, 2, dc)
#define UNARY(name, sig, dtypes, flags, cls, cost, value, dx, ...) WRITE(name, 0, dx)
#define BINARY(name, sig, dtypes, flags, cls, cost, value, da, db, ...)                            \
  WRITE(name, 0, da) WRITE(name, 1, db)
#define TERNARY(name, sig, dtypes, flags, cls, cost, value, da, db, dc, ...)                       \
  WRITE(name, 0, da) WRITE(name, 1, db) WRITE(name, 2, dc)
#define CHOICE(...)
#include "pointwise.def"
#include "../kernels/vocabulary_off.h"

/* ---- the tables ---- */

#define D(e)                                SOME
#define DOPS(e)                             SOME
#define DG                                  NO
#define DZ                                  NO
#define DN                                  NO
#define ENTRY_SOME(name, k)                 name##_by##k
#define ENTRY_NO(name, k)                   NULL
#define ENTRY_KIND(name, k, kind)           ENTRY_##kind(name, k)
#define ENTRY(name, k, kind)                ENTRY_KIND(name, k, kind)
#define KERNEL1(name, cls, cost, value, dx) [MT_PW_##name] = {ENTRY(name, 0, dx)},
#define KERNEL2(name, cls, cost, value, da, db)                                                    \
  [MT_PW_##name] = {ENTRY(name, 0, da), ENTRY(name, 1, db)},
#define KERNEL3(name, cls, cost, value, da, db, dc)                                                \
  [MT_PW_##name] = {ENTRY(name, 0, da), ENTRY(name, 1, db), ENTRY(name, 2, dc)},
#define UNARY(name, sig, dtypes, flags, cls, cost, value, dx, ...)                                 \
  KERNEL1(name, cls, cost, value, dx)
#define BINARY(name, sig, dtypes, flags, cls, cost, value, da, db, ...)                            \
  KERNEL2(name, cls, cost, value, da, db)
#define TERNARY(name, sig, dtypes, flags, cls, cost, value, da, db, dc, ...)                       \
  KERNEL3(name, cls, cost, value, da, db, dc)
#define CHOICE(...)

static const expression expressions[MT_PW_COUNT][3] = {
#include "pointwise.def"
};
#include "../kernels/vocabulary_off.h"

#define KERNEL1(name, ...) [MT_PW_##name] = {MT_PW_READS_##name##_0, 0, 0},
#define KERNEL2(name, ...) [MT_PW_##name] = {MT_PW_READS_##name##_0, MT_PW_READS_##name##_1, 0},
#define KERNEL3(name, ...)                                                                         \
  [MT_PW_##name] = {MT_PW_READS_##name##_0, MT_PW_READS_##name##_1, MT_PW_READS_##name##_2},
#define UNARY   KERNEL1
#define BINARY  KERNEL2
#define TERNARY KERNEL3
#define CHOICE(...)
const uint8_t mt__pw_reads[MT_PW_COUNT][3] = {
#include "pointwise.def"
};
#include "../kernels/vocabulary_off.h"

/* ---- one derivative ---- */

int mt__pw_by_ops(mt_tensor **out, int kernel, int k, mt_tensor *g, const mt_arg operands[3],
                  mt_tensor *y, const mt_pw_params *p) {
  ex e = {.p = {mt__arg_f(p->f[0]), mt__arg_f(p->f[1])}};
  mt_arg r =
      expressions[kernel][k](&e, mt__arg_t(g), operands[0], operands[1], operands[2], mt__arg_t(y));
  *out = NULL;
  int status = e.status;
  if (status == MT_OK) {
    if (is_tensor(r))
      *out = mt_retain(r.u.t);
    else
      status = mt_mul(out, mt__arg_t(g), mt__arg_f(0)); /* 0: no other number is a gradient */
  }
  for (int i = 0; i < e.n; i++) mt_release(e.made[i]);
  return status;
}

static int fused(mt_tensor **out, int kernel, int k, mt_tensor *g, const mt_arg operands[3],
                 mt_tensor *y, const mt_pw_params *p) {
  int reads = mt__pw_reads[kernel][k];
  mt_arg none = mt__arg_none();
  return mt__pointwise_backward(out, g, reads & 1 ? operands[0] : none,
                                reads & 2 ? operands[1] : none, reads & 4 ? operands[2] : none,
                                reads & 8 ? y : NULL, kernel, k, mt__arg_f(p->f[0]),
                                mt__arg_f(p->f[1]));
}

static int derivative(mt_tensor **out, mt_vjp *v, int kernel, int k, const mt_arg operands[3],
                      const mt_pw_params *p) {
  mt_tensor *g = v->g[0];
  switch (mt__pw_info[kernel].kind[k]) {
  case MT_PWD_ZERO:
    if (!mt_grad_enabled()) return mt__zeros_like(out, operands[k].u.t);
    return mt_mul(out, mt__arg_t(g), mt__arg_f(0)); /* zero, and a function of g */
  case MT_PWD_PASS:
    *out = mt_retain(g);
    return MT_OK;
  case MT_PWD_FUSED:
    if (!mt_grad_enabled()) return fused(out, kernel, k, g, operands, v->outs[0], p);
    return mt__pw_by_ops(out, kernel, k, g, operands, v->outs[0], p);
  case MT_PWD_OPS:
    return mt__pw_by_ops(out, kernel, k, g, operands, v->outs[0], p);
  default:
    *out = NULL;
    return MT_OK;
  }
}

static int sum_to_slot(mt_vjp *v, int slot, mt_tensor *t, const mt_tensor *like) {
  if (t->ndim == like->ndim) {
    bool same = true;
    for (int d = 0; d < t->ndim; d++) same &= t->sizes[d] == like->sizes[d];
    if (same) {
      v->gin[slot] = mt_retain(t);
      return MT_OK;
    }
  }
  return mt__sum_to(&v->gin[slot], t, like);
}

int mt__pw_vjp(mt_vjp *v) {
  const mt_pw_row *row = v->op->def.extra;
  mt_pw_params p = {0};
  int kernel = row->kernel;
  if (!row->pick)
    mt__pw_fill_params(&p, v->op->nparams, v->args, row->nin);
  else
    MT_TRY(row->pick(NULL, v->args, v->outs[0]->dtype, &p, &kernel));
  mt_arg operands[3] = {{0}};
  int slots[3] = {0}, n = 0;
  for (int i = 0; i < row->nin; i++)
    if (v->args[i].kind != MT_NONE) {
      operands[n] = v->args[i];
      slots[n++] = i;
    }
  for (int k = 0; k < n; k++) {
    if (operands[k].kind != MT_TENSOR || !v->need[slots[k]]) continue;
    MT_AUTO *t = NULL;
    MT_TRY(derivative(&t, v, kernel, k, operands, &p));
    if (t) MT_TRY(sum_to_slot(v, slots[k], t, operands[k].u.t));
  }
  return MT_OK;
}

int mt__where_vjp(mt_vjp *v) {
  mt_tensor *condition = v->args[0].u.t;
  for (int k = 1; k < 3; k++) {
    if (v->args[k].kind != MT_TENSOR || !v->need[k]) continue;
    MT_AUTO *t = NULL;
    mt_arg g = mt__arg_t(v->g[0]), zero = mt__arg_f(0);
    MT_TRY(mt_where(&t, condition, k == 1 ? g : zero, k == 1 ? zero : g));
    MT_TRY(sum_to_slot(v, k, t, v->args[k].u.t));
  }
  return MT_OK;
}

int mt__masked_fill_vjp(mt_vjp *v) {
  mt_arg g = mt__arg_t(v->g[0]), zero = mt__arg_f(0);
  mt_tensor *mask = v->args[1].u.t;
  if (v->need[0]) {
    MT_AUTO *t = NULL;
    MT_TRY(mt_where(&t, mask, zero, g));
    MT_TRY(sum_to_slot(v, 0, t, v->args[0].u.t));
  }
  if (v->args[2].kind == MT_TENSOR && v->need[2]) {
    MT_AUTO *t = NULL;
    MT_TRY(mt_where(&t, mask, g, zero));
    MT_TRY(sum_to_slot(v, 2, t, v->args[2].u.t));
  }
  return MT_OK;
}
