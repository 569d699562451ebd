/* ops/pointwise_int.c: the integer loops of pointwise.def, and those that choose by a condition.
 *
 * Compiled once, for the baseline: they are limited by memory long before the instruction set
 * matters. bool is computed as uint8; its elements are 0 and 1.
 */
#include <stddef.h>

#include "../kernels/pointwise.h"

#if defined(__clang__)
#define FREELY _Pragma("clang loop vectorize(assume_safety)")
#else
#pragma GCC optimize("O2,vect-cost-model=dynamic")
#pragma GCC diagnostic ignored "-Wtype-limits"
#define FREELY _Pragma("GCC ivdep")
#endif

#define MT_PW_BITS 0
#define WRAP(u)    ((T)(u))

#define FN(name)   name##_u8
#define T          uint8_t
#define U          uint32_t
#define SIGNED     0
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T
#undef SIGNED

#define SIGNED   1
#define FN(name) name##_i8
#define T        int8_t
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T

#define FN(name) name##_i16
#define T        int16_t
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T

#define FN(name) name##_i32
#define T        int32_t
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T
#undef U

#define FN(name) name##_i64
#define T        int64_t
#define U        uint64_t
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T
#undef SIGNED

/* Bits by element size. */
#undef MT_PW_BITS
#define MT_PW_BITS 1
#define SIGNED     0

#define FN(name)   name##_b64
#define T          uint64_t
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T
#undef U

#define U        uint32_t
#define FN(name) name##_b8
#define T        uint8_t
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T

#define FN(name) name##_b16
#define T        uint16_t
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T

#define FN(name) name##_b32
#define T        uint32_t
#include "../kernels/pointwise_int.inc"
#undef FN
#undef T

#define ROW(name, cls, ...) [MT_PW_##name] = LOOPS_##cls(name),
#define LOOPS_ARITH(name)                                                                          \
  { loop_##name##_u8, loop_##name##_i8, loop_##name##_i16, loop_##name##_i32, loop_##name##_i64 }
#define LOOPS_TEST(name) LOOPS_ARITH(name)
#define LOOPS_BITS(name)                                                                           \
  { loop_##name##_b8, loop_##name##_b8, loop_##name##_b16, loop_##name##_b32, loop_##name##_b64 }
#define LOOPS_FLOAT(name)                                                                          \
  { NULL }
#define LOOPS_FTEST(name)                                                                          \
  { NULL }
#define KERNEL1                                ROW
#define KERNEL2                                ROW
#define KERNEL3                                ROW
#define UNARY(name, sig, dtypes, flags, ...)   ROW(name, __VA_ARGS__)
#define BINARY(name, sig, dtypes, flags, ...)  ROW(name, __VA_ARGS__)
#define TERNARY(name, sig, dtypes, flags, ...) ROW(name, __VA_ARGS__)
#define CHOICE(...)

const mt_loop mt__pw_int[MT_PW_COUNT][5] = {
#include "pointwise.def"
};

/* ---- where ---- */

#define CHOOSE(size, T)                                                                            \
  static void where_##size(void *out, const void *const *in, const int64_t *step, int64_t n,       \
                           const void *params) {                                                   \
    (void)params;                                                                                  \
    const uint8_t *q = in[0];                                                                      \
    const T *a = in[1], *b = in[2];                                                                \
    T *o = out;                                                                                    \
    for (; n > 0; n -= MT_LANES, o += MT_LANES) {                                                  \
      const int64_t m = n < MT_LANES ? n : MT_LANES;                                               \
      FREELY for (int64_t j = 0; j < m; j++) {                                                     \
        const T u = a[j], v = b[j];                                                                \
        o[j] = q[j] ? u : v;                                                                       \
      }                                                                                            \
      q += step[0] * MT_LANES;                                                                     \
      a += step[1] * MT_LANES;                                                                     \
      b += step[2] * MT_LANES;                                                                     \
    }                                                                                              \
  }
CHOOSE(1, uint8_t)
CHOOSE(2, uint16_t)
CHOOSE(4, uint32_t)
CHOOSE(8, uint64_t)

const mt_loop mt__pw_where[4] = {where_1, where_2, where_4, where_8};
