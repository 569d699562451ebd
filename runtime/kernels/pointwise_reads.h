/* pointwise_reads.h: which operands the derivatives of pointwise.def read.
 *
 * The expressions are evaluated as sets: a name is its bit, every function the union of what its
 * arguments read. MT_PW_READS_<row>_<operand> is the set: 1 a (x), 2 b, 4 c, 8 y. */
#ifndef MT_POINTWISE_READS_H
#define MT_POINTWISE_READS_H

#define ABS(u)                              (u)
#define SQUARE(u)                           (u)
#define SIGN(u)                             (u)
#define FLOOR(u)                            (u)
#define CEIL(u)                             (u)
#define TRUNC(u)                            (u)
#define ROUND(u)                            (u)
#define SQRT(u)                             (u)
#define RSQRT(u)                            (u)
#define EXP(u)                              (u)
#define EXP2(u)                             (u)
#define EXPM1(u)                            (u)
#define LOG(u)                              (u)
#define LOG2(u)                             (u)
#define LOG10(u)                            (u)
#define LOG1P(u)                            (u)
#define SIN(u)                              (u)
#define COS(u)                              (u)
#define TAN(u)                              (u)
#define ASIN(u)                             (u)
#define ACOS(u)                             (u)
#define ATAN(u)                             (u)
#define SINH(u)                             (u)
#define COSH(u)                             (u)
#define TANH(u)                             (u)
#define ASINH(u)                            (u)
#define ACOSH(u)                            (u)
#define ATANH(u)                            (u)
#define SIGMOID(u)                          (u)
#define ERF(u)                              (u)
#define ERFC(u)                             (u)
#define NEG(u)                              (u)
#define BITNOT(u)                           (u)
#define ADD(u, v)                           ((u) | (v))
#define SUB(u, v)                           ((u) | (v))
#define MUL(u, v)                           ((u) | (v))
#define DIV(u, v)                           ((u) | (v))
#define POW(u, v)                           ((u) | (v))
#define ATAN2(u, v)                         ((u) | (v))
#define HYPOT(u, v)                         ((u) | (v))
#define MAX(u, v)                           ((u) | (v))
#define MIN(u, v)                           ((u) | (v))
#define FMAX(u, v)                          ((u) | (v))
#define FMIN(u, v)                          ((u) | (v))
#define FMOD(u, v)                          ((u) | (v))
#define REMAINDER(u, v)                     ((u) | (v))
#define TRUNCDIV(u, v)                      ((u) | (v))
#define FLOORDIV(u, v)                      ((u) | (v))
#define EQ(u, v)                            ((u) | (v))
#define NE(u, v)                            ((u) | (v))
#define LT(u, v)                            ((u) | (v))
#define LE(u, v)                            ((u) | (v))
#define GT(u, v)                            ((u) | (v))
#define GE(u, v)                            ((u) | (v))
#define AND(u, v)                           ((u) | (v))
#define OR(u, v)                            ((u) | (v))
#define XOR(u, v)                           ((u) | (v))
#define WHERE(q, u, v)                      ((q) | (u) | (v))
#define C(v)                                0
#define P(k)                                0
#define INFINITE                            0
#define D(e)                                (e)
#define DOPS(e)                             (e)
#define DG                                  0
#define DZ                                  0
#define DN                                  0

#define KERNEL1(name, cls, cost, value, dx) MT_PW_READS_##name##_0 = dx,
#define KERNEL2(name, cls, cost, value, da, db)                                                    \
  MT_PW_READS_##name##_0 = da, MT_PW_READS_##name##_1 = db,
#define KERNEL3(name, cls, cost, value, da, db, dc)                                                \
  MT_PW_READS_##name##_0 = da, MT_PW_READS_##name##_1 = db, MT_PW_READS_##name##_2 = dc,
#define UNARY(name, sig, dtypes, flags, cls, cost, value, dx, ...)                                 \
  KERNEL1(name, cls, cost, value, dx)
#define BINARY(name, sig, dtypes, flags, cls, cost, value, da, db, ...)                            \
  KERNEL2(name, cls, cost, value, da, db)
#define TERNARY(name, sig, dtypes, flags, cls, cost, value, da, db, dc, ...)                       \
  KERNEL3(name, cls, cost, value, da, db, dc)
#define CHOICE(...)

#define g 0
#define x 1
#define a 1
#define b 2
#define c 4
#define y 8
enum mt_pw_reads_of {
#include "../ops/pointwise.def"
};
#undef g
#undef x
#undef a
#undef b
#undef c
#undef y
#include "vocabulary_off.h"

#endif
