/* vmath.h: elementary functions of one float32 (vm_expf, ...) that a compiler can vectorise, and
 * the body (vmath.inc) from which vec.h makes the same functions of a vector.
 *
 * Greatest error of float32 in units in the last place, with and without a fused multiply-add
 * (every 97th of all inputs tried):
 *   exp 0.9 1.2    exp2 0.9 1.1   expm1 1.5 1.5   log 0.9 0.9   log2 1.2 1.2    log10 1.0 1.1
 *   log1p 1.5 1.5  tanh 2.5 2.5   sigmoid 2.5 2.5 erf 1.1 1.3   asin 2.3 2.3    acos 1.2 1.3
 *   atan 1.3 1.5   sinh 1.7 1.7   cosh 1.4 1.6    asinh 1.8 1.8 acosh 2.1 2.1   atanh 2.1 2.1
 *   sin, cos 2.4 2.4 and tan 3.0 3.0 up to VM_FAR
 * Infinities, overflow, subnormal inputs and results, signed zeros and not-a-number are as in C.
 */
#ifndef MT_VMATH_H
#define MT_VMATH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

#define VM static inline __attribute__((always_inline, unused))

VM uint32_t vm_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}
VM float vm_float(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

#define F               float
#define U               uint32_t
#define I               int32_t
#define B               bool
#define VMF(name)       vm_##name##f
#define KF(c)           (c)
#define KU(c)           ((uint32_t)(c))
#define FMA(a, b, c)    MT_FMA(a, b, c)
#define BITS(x)         vm_bits(x)
#define FLOATS(u)       vm_float(u)
#define TO_FLOAT(i)     ((float)(i))
#define SELECT(q, a, b) ((q) ? (a) : (b))
#define IS_LT(a, b)     ((a) < (b))
#define IS_GT(a, b)     ((a) > (b))
#define IS_GE(a, b)     ((a) >= (b))
#define IS_EQ(a, b)     ((a) == (b))
#define IS_ODD(u)       (((u)&1) != 0)
/* b where a is not less (greater), so where b is not a number too */
#define MIN_OF(a, b)    ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)    ((a) > (b) ? (a) : (b))
#define SQRT_OF(x)      sqrtf(x)
#include "vmath.inc"
#undef SQRT_OF
#undef F
#undef U
#undef I
#undef B
#undef VMF
#undef KF
#undef KU
#undef FMA
#undef BITS
#undef FLOATS
#undef TO_FLOAT
#undef SELECT
#undef IS_LT
#undef IS_GT
#undef IS_GE
#undef IS_EQ
#undef IS_ODD
#undef MIN_OF
#undef MAX_OF

#endif
