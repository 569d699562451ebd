// pointwise_back.cu: the fused derivatives of pointwise.def: of the gradient g and what the
// expression reads of a (x), b, c and the result y.
#include "pointwise.cuh"

namespace {

#define D(e)          (FUSED, e)
#define DOPS(e)       (PLAIN, e)
#define DG            (PLAIN, 0)
#define DZ            (PLAIN, 0)
#define DN            (PLAIN, 0)
#define OPEN(...)     __VA_ARGS__
// Long expressions are not inlined: a loop has five places for them.
#define INLINE_LIGHT  inline
#define INLINE_MEDIUM MTC_NOINLINE
#define INLINE_HEAVY  MTC_NOINLINE
#define WRITE_FUSED(name, cost, k, e)                                                              \
  struct back_##name##_##k {                                                                       \
    template <typename T> struct result { typedef T type; };                                       \
    template <typename T>                                                                          \
    static __device__ INLINE_##cost T run(const T *in, const mtc_pw_numbers &p) {                  \
      const T g = in[0], a = in[1], x = a, b = in[2], c = in[3], y = in[4];                        \
      (void)g, (void)a, (void)x, (void)b, (void)c, (void)y, (void)p;                               \
      return (T)(e);                                                                               \
    }                                                                                              \
  };
#define WRITE_PLAIN(name, cost, k, e)
#define WRITE_KIND(name, cost, k, kind, e)      WRITE_##kind(name, cost, k, e)
#define WRITE_CALL(name, cost, k, ...)          WRITE_KIND(name, cost, k, __VA_ARGS__)
#define WRITE(name, cost, k, d)                 WRITE_CALL(name, cost, k, OPEN d)
#define KERNEL1(name, cls, cost, value, dx)     WRITE(name, cost, 0, dx)
#define KERNEL2(name, cls, cost, value, da, db) WRITE(name, cost, 0, da) WRITE(name, cost, 1, db)
#define KERNEL3(name, cls, cost, value, da, db, dc)                                                \
  WRITE(name, cost, 0, da) WRITE(name, cost, 1, db) WRITE(name, cost, 2, dc)
#define UNARY(name, sig, dtypes, flags, cls, cost, value, dx, ...) WRITE(name, cost, 0, dx)
#define BINARY(name, sig, dtypes, flags, cls, cost, value, da, db, ...)                            \
  WRITE(name, cost, 0, da) WRITE(name, cost, 1, db)
#define TERNARY(name, sig, dtypes, flags, cls, cost, value, da, db, dc, ...)                       \
  WRITE(name, cost, 0, da) WRITE(name, cost, 1, db) WRITE(name, cost, 2, dc)
#include "pointwise_vocabulary.cuh"

#include "ops/pointwise.def"

#include "kernels/vocabulary_off.h"

} // namespace

#define D(e)                                                                 FUSED
#define DOPS(e)                                                              NONE
#define DG                                                                   NONE
#define DZ                                                                   NONE
#define DN                                                                   NONE
#define ENTRY_FUSED(name, k)                                                 mtc_pw_run<back_##name##_##k, T_TYPE, MTC_PW_MOST>
#define ENTRY_NONE(name, k)                                                  NULL
#define ENTRY_KIND(name, k, kind)                                            ENTRY_##kind(name, k)
#define ENTRY(name, k, kind)                                                 ENTRY_KIND(name, k, kind)
#define ROW1(name, dx)                                                       {ENTRY(name, 0, dx), NULL, NULL},
#define ROW2(name, da, db)                                                   {ENTRY(name, 0, da), ENTRY(name, 1, db), NULL},
#define ROW3(name, da, db, dc)                                               {ENTRY(name, 0, da), ENTRY(name, 1, db), ENTRY(name, 2, dc)},
#define KERNEL1(name, cls, cost, value, dx)                                  ROW1(name, dx)
#define KERNEL2(name, cls, cost, value, da, db)                              ROW2(name, da, db)
#define KERNEL3(name, cls, cost, value, da, db, dc)                          ROW3(name, da, db, dc)
#define UNARY(name, sig, dtypes, flags, cls, cost, value, dx, ...)           ROW1(name, dx)
#define BINARY(name, sig, dtypes, flags, cls, cost, value, da, db, ...)      ROW2(name, da, db)
#define TERNARY(name, sig, dtypes, flags, cls, cost, value, da, db, dc, ...) ROW3(name, da, db, dc)
#define CHOICE(...)

#define T_TYPE float
const mtc_pw_launch mtc_pw_back_f32[MT_PW_COUNT][3] = {
#include "ops/pointwise.def"
};
#undef T_TYPE
#define T_TYPE double
const mtc_pw_launch mtc_pw_back_f64[MT_PW_COUNT][3] = {
#include "ops/pointwise.def"
};
#include "kernels/vocabulary_off.h"
