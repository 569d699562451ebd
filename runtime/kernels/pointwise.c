/* kernels/pointwise.c: the floating point loops of ops/pointwise.def, forward and fused
 * backward; see pointwise.inc for how a row becomes a loop. */
#include "pointwise.h"

#include "kernels.h"
#include "pointwise_reads.h"
#include "vec.h"

/* How often a loop is unrolled: where the loop itself costs as much as its work. */
#if defined(__clang__)
#define UNROLL_LIGHT _Pragma("clang loop unroll_count(2)")
#else
#define UNROLL_LIGHT _Pragma("GCC unroll 2")
#endif
#define UNROLL_MEDIUM
#define UNROLL_HEAVY

#define FN(name) name##_f32
#define T        float
#define V        mt_vf
#define LANES    MT_VF
#include "pointwise.inc"
#undef FN
#undef T
#undef V
#undef LANES

#define FN(name) name##_f64
#define T        double
#define V        mt_vd
#define LANES    MT_VD
#include "pointwise.inc"
#undef FN
#undef T
#undef V
#undef LANES

/* ---- the tables ---- */

#define KERNEL(name, cls, cost, ...) [MT_PW_##name] = LOOPS_##cls(name),
#define LOOPS(name)                                                                                \
  { loop_##name##_f32, loop_##name##_f64 }
#define LOOPS_FLOAT(name) LOOPS(name)
#define LOOPS_ARITH(name) LOOPS(name)
#define LOOPS_TEST(name)  LOOPS(name)
#define LOOPS_FTEST(name) LOOPS(name)
#define LOOPS_BITS(name)                                                                           \
  { NULL, NULL }
#define KERNEL1                                KERNEL
#define KERNEL2                                KERNEL
#define KERNEL3                                KERNEL
#define UNARY(name, sig, dtypes, flags, ...)   KERNEL(name, __VA_ARGS__)
#define BINARY(name, sig, dtypes, flags, ...)  KERNEL(name, __VA_ARGS__)
#define TERNARY(name, sig, dtypes, flags, ...) KERNEL(name, __VA_ARGS__)
#define CHOICE(...)

const mt_kern_pointwise MT_KERN(pointwise) = {
    .forward =
        {
#include "../ops/pointwise.def"
        },
    .backward =
        {
#include "vocabulary_off.h"
#define D(e)    FUSED
#define DOPS(e) NONE
#define DG      NONE
#define DZ      NONE
#define DN      NONE
#define ENTRY_FUSED(name, k)                                                                       \
  { loop_##name##_by##k##_f32, loop_##name##_by##k##_f64 }
#define ENTRY_NONE(name, k)                                                                        \
  { NULL, NULL }
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
#include "../ops/pointwise.def"
#include "vocabulary_off.h"
        },
};
