/* formula.h: short names for the calls of which derivatives are written. Each makes one new
 * reference in *o. A number stands for a 0-dim operand and never changes the dtype. */
#ifndef MT_OPS_FORMULA_H
#define MT_OPS_FORMULA_H

#include "internal.h"
#include "moontorch_ops.h"

static inline int mt__f_add(mt_tensor **o, mt_tensor *a, mt_tensor *b) {
  return mt_add(o, mt__arg_t(a), mt__arg_t(b), mt__arg_i(1));
}
static inline int mt__f_sub(mt_tensor **o, mt_tensor *a, mt_tensor *b) {
  return mt_sub(o, mt__arg_t(a), mt__arg_t(b), mt__arg_i(1));
}
static inline int mt__f_mul(mt_tensor **o, mt_tensor *a, mt_tensor *b) {
  return mt_mul(o, mt__arg_t(a), mt__arg_t(b));
}
static inline int mt__f_scale(mt_tensor **o, mt_tensor *a, double k) {
  return mt_mul(o, mt__arg_t(a), mt__arg_f(k));
}
static inline int mt__f_div(mt_tensor **o, mt_tensor *a, mt_tensor *b) {
  return mt_div(o, mt__arg_t(a), mt__arg_t(b), -1);
}
static inline int mt__f_pow(mt_tensor **o, mt_tensor *a, double p) {
  return mt_pow(o, mt__arg_t(a), mt__arg_f(p));
}
/* a where mask holds, else b */
static inline int mt__f_where(mt_tensor **o, mt_tensor *mask, mt_arg a, mt_arg b) {
  return mt_where(o, mask, a, b);
}
static inline int mt__f_cast(mt_tensor **o, mt_tensor *a, int dtype) {
  if (a->dtype != dtype) return mt__to_copy(o, a, dtype, -1);
  *o = mt_retain(a);
  return MT_OK;
}

#endif
