// pointwise_forward.cuh: the forward loops of pointwise.def for one computed type.
//   T_NAME   f32, f64 or i64        T_TYPE  float, double or int64_t
//   T_WHOLE  1 for the integers: rows that need floating point are left out
#include "pointwise.cuh"

#define MTC_PASTE2(a, b) a##b
#define MTC_PASTE(a, b)  MTC_PASTE2(a, b)

namespace {

#define OF_FLOAT      mtc_pw_same
#define OF_ARITH      mtc_pw_same
#define OF_BITS       mtc_pw_same
#define OF_TEST       mtc_pw_truth
#define OF_FTEST      mtc_pw_truth
// Long expressions are not inlined: a loop has five places for them.
#define INLINE_LIGHT  inline
#define INLINE_MEDIUM MTC_NOINLINE
#define INLINE_HEAVY  MTC_NOINLINE
#define FUNCTOR(name, cls, cost, names, value)                                                     \
  struct fwd_##name {                                                                              \
    template <typename T> struct result { typedef typename OF_##cls<T>::type type; };              \
    template <typename T>                                                                          \
    static __device__ INLINE_##cost typename result<T>::type run(const T *in,                      \
                                                                 const mtc_pw_numbers &p) {        \
      names(void) p;                                                                               \
      return (typename result<T>::type)(value);                                                    \
    }                                                                                              \
  };
#define ONE                                                                                        \
  const T x = in[0];                                                                               \
  (void)x;
#define TWO                                                                                        \
  const T a = in[0], b = in[1];                                                                    \
  (void)a, (void)b;
#define THREE                                                   const T a = in[0], b = in[1], c = in[2];
#define KERNEL1(name, cls, cost, value, ...)                    FUNCTOR(name, cls, cost, ONE, value)
#define KERNEL2(name, cls, cost, value, ...)                    FUNCTOR(name, cls, cost, TWO, value)
#define KERNEL3(name, cls, cost, value, ...)                    FUNCTOR(name, cls, cost, THREE, value)
#define UNARY(name, sig, dtypes, flags, cls, cost, value, ...)  FUNCTOR(name, cls, cost, ONE, value)
#define BINARY(name, sig, dtypes, flags, cls, cost, value, ...) FUNCTOR(name, cls, cost, TWO, value)
#define TERNARY(name, sig, dtypes, flags, cls, cost, value, ...)                                   \
  FUNCTOR(name, cls, cost, THREE, value)
#include "pointwise_vocabulary.cuh"

#include "ops/pointwise.def"

#include "kernels/vocabulary_off.h"

} // namespace

#if T_WHOLE
#define IN_FLOAT(name, n) NULL
#define IN_FTEST(name, n) NULL
#define IN_BITS(name, n)  mtc_pw_run<fwd_##name, T_TYPE, n>
#else
#define IN_FLOAT(name, n) mtc_pw_run<fwd_##name, T_TYPE, n>
#define IN_FTEST(name, n) mtc_pw_run<fwd_##name, T_TYPE, n>
#define IN_BITS(name, n)  NULL
#endif
#define IN_ARITH(name, n)                           mtc_pw_run<fwd_##name, T_TYPE, n>
#define IN_TEST(name, n)                            mtc_pw_run<fwd_##name, T_TYPE, n>
#define KERNEL1(name, cls, ...)                     IN_##cls(name, 1),
#define KERNEL2(name, cls, ...)                     IN_##cls(name, 2),
#define KERNEL3(name, cls, ...)                     IN_##cls(name, 3),
#define UNARY(name, sig, dtypes, flags, cls, ...)   IN_##cls(name, 1),
#define BINARY(name, sig, dtypes, flags, cls, ...)  IN_##cls(name, 2),
#define TERNARY(name, sig, dtypes, flags, cls, ...) IN_##cls(name, 3),
#define CHOICE(...)

// in the order of the rows, which is that of the numbers MT_PW_...
const mtc_pw_launch MTC_PASTE(mtc_pw_, T_NAME)[MT_PW_COUNT] = {
#include "ops/pointwise.def"
};
#include "kernels/vocabulary_off.h"
