/* pointwise.h: the numbers, parameters and tables of the elementwise loops; ops/pointwise.def
 * is where they come from. */
#ifndef MT_KERN_POINTWISE_H
#define MT_KERN_POINTWISE_H

#include "../iter.h"

/* One number a loop: MT_PW_exp, ... */
enum mt_pw {
#define UNARY(name, ...)   MT_PW_##name,
#define BINARY(name, ...)  MT_PW_##name,
#define TERNARY(name, ...) MT_PW_##name,
#define KERNEL1(name, ...) MT_PW_##name,
#define KERNEL2(name, ...) MT_PW_##name,
#define KERNEL3(name, ...) MT_PW_##name,
#define CHOICE(name, ...)
#include "../ops/pointwise.def"
#undef UNARY
#undef BINARY
#undef TERNARY
#undef KERNEL1
#undef KERNEL2
#undef KERNEL3
#undef CHOICE
  MT_PW_COUNT
};

/* P(k) of the rows: as float64 for floating point loops, as int64 for integer ones. */
typedef struct mt_pw_params {
  double f[3];
  int64_t i[3];
} mt_pw_params;

/* Forward loops take the operands in order. A fused derivative takes the gradient and then
 * those of a, b, c, y that its expression reads (mt__pw_reads); NULL where the row has none. */
typedef struct mt_kern_pointwise {
  mt_loop forward[MT_PW_COUNT][2]; /* float, double */
  mt_loop backward[MT_PW_COUNT][3][2];
} mt_kern_pointwise;

/* Loops of integers: uint8 (and bool), int8, int16, int32, int64; of BITS rows the last four
 * entries are unsigned. where: condition, one, other, by the logarithm of the element size. */
extern const mt_loop mt__pw_int[MT_PW_COUNT][5];
extern const mt_loop mt__pw_where[4];

/* Bits of what the derivative by operand k reads: 1 a (x), 2 b, 4 c, 8 y. */
extern const uint8_t mt__pw_reads[MT_PW_COUNT][3];

#endif
