// pointwise.cuh: the elementwise loops of runtime/ops/pointwise.def as device code.
//
// A row becomes a functor over one computed type T (float, double, int64_t; float16 and bfloat16
// compute in float, narrower integers in int64 and wrap around when stored). Operands are loaded
// from whatever dtype they have; an operand may also be one number. Everything between the marks
// VOCABULARY is what pointwise.def may use.
#pragma once

#include "kernels/pointwise.h"
#include "kernels/pointwise_reads.h"
#include "kit.cuh"

enum { MTC_PW_MOST = 5 };

struct mtc_pw_job {
  mtc_walk<MTC_PW_MOST + 1> w; // operand 0 is the result
  int64_t n;
  int flat;    // every operand is one run or one number: no walk is needed
  int aligned; // and may be moved four elements at once
  char *out;
  int out_dtype;
  const char *in[MTC_PW_MOST]; // NULL: a number
  int dtype[MTC_PW_MOST];
  double f[MTC_PW_MOST];
  int64_t i[MTC_PW_MOST];
  double pf[3];
  int64_t pi[3];
  mtc_note *note;
};

typedef void (*mtc_pw_launch)(const mtc_pw_job &j, cudaStream_t stream);
// [kernel]: NULL where the row has none of that kind
extern const mtc_pw_launch mtc_pw_f32[MT_PW_COUNT], mtc_pw_f64[MT_PW_COUNT],
    mtc_pw_i64[MT_PW_COUNT];
extern const mtc_pw_launch mtc_pw_back_f32[MT_PW_COUNT][3], mtc_pw_back_f64[MT_PW_COUNT][3];

struct mtc_pw_numbers {
  const double *f;
  const int64_t *i;
  mtc_note *note;
};
static __device__ inline float mtc_pw_p(const mtc_pw_numbers &p, int k, float) {
  return (float)p.f[k];
}
static __device__ inline double mtc_pw_p(const mtc_pw_numbers &p, int k, double) {
  return p.f[k];
}
static __device__ inline int64_t mtc_pw_p(const mtc_pw_numbers &p, int k, int64_t) {
  return p.i[k];
}

// ---- functions ----

#define MTC_PW1(name, f32, f64)                                                                    \
  static __device__ inline float pw_##name(float u) {                                              \
    return f32;                                                                                    \
  }                                                                                                \
  static __device__ inline double pw_##name(double u) {                                            \
    return f64;                                                                                    \
  }
#define MTC_PW2(name, f32, f64)                                                                    \
  static __device__ inline float pw_##name(float u, float v) {                                     \
    return f32;                                                                                    \
  }                                                                                                \
  static __device__ inline double pw_##name(double u, double v) {                                  \
    return f64;                                                                                    \
  }
#define MTC_PWI1(name, value)                                                                      \
  static __device__ inline int64_t pw_##name(int64_t u) {                                          \
    return value;                                                                                  \
  }
#define MTC_PWI2(name, value)                                                                      \
  static __device__ inline int64_t pw_##name(int64_t u, int64_t v) {                               \
    return value;                                                                                  \
  }

MTC_PW1(exp, expf(u), exp(u))
MTC_PW1(exp2, exp2f(u), exp2(u))
MTC_PW1(expm1, expm1f(u), expm1(u))
MTC_PW1(log, logf(u), log(u))
MTC_PW1(log2, log2f(u), log2(u))
MTC_PW1(log10, log10f(u), log10(u))
MTC_PW1(log1p, log1pf(u), log1p(u))
MTC_PW1(sin, sinf(u), sin(u))
MTC_PW1(cos, cosf(u), cos(u))
MTC_PW1(tan, tanf(u), tan(u))
MTC_PW1(asin, asinf(u), asin(u))
MTC_PW1(acos, acosf(u), acos(u))
MTC_PW1(atan, atanf(u), atan(u))
MTC_PW1(sinh, sinhf(u), sinh(u))
MTC_PW1(cosh, coshf(u), cosh(u))
MTC_PW1(tanh, tanhf(u), tanh(u))
MTC_PW1(asinh, asinhf(u), asinh(u))
MTC_PW1(acosh, acoshf(u), acosh(u))
MTC_PW1(atanh, atanhf(u), atanh(u))
MTC_PW1(erf, erff(u), erf(u))
MTC_PW1(erfc, erfcf(u), erfc(u))
MTC_PW1(abs, fabsf(u), fabs(u))
MTC_PW1(floor, floorf(u), floor(u))
MTC_PW1(ceil, ceilf(u), ceil(u))
MTC_PW1(trunc, truncf(u), trunc(u))
MTC_PW1(rint, rintf(u), rint(u))
MTC_PW1(sqrt, sqrtf(u), sqrt(u))
MTC_PW1(rsqrt, 1.0f / sqrtf(u), 1.0 / sqrt(u))
MTC_PW1(neg, -u, -u)
MTC_PW1(square, u *u, u *u)
MTC_PW1(sign, (float)((u > 0) - (u < 0)), (double)((u > 0) - (u < 0)))
MTC_PW2(add, u + v, u + v)
MTC_PW2(sub, u - v, u - v)
MTC_PW2(mul, u *v, u *v)
MTC_PW2(div, u / v, u / v)
MTC_PW2(pow, powf(u, v), pow(u, v))
MTC_PW2(atan2, atan2f(u, v), atan2(u, v))
MTC_PW2(hypot, hypotf(u, v), hypot(u, v))
MTC_PW2(fmod, fmodf(u, v), fmod(u, v))
MTC_PW2(max, u > v || u != u ? u : v, u > v || u != u ? u : v)
MTC_PW2(min, u < v || u != u ? u : v, u < v || u != u ? u : v)
MTC_PW2(fmax, u > v || v != v ? u : v, u > v || v != v ? u : v)
MTC_PW2(fmin, u < v || v != v ? u : v, u < v || v != v ? u : v)
static __device__ inline float pw_sigmoid(float u) {
  float z = expf(-fabsf(u));
  return (u < 0 ? z : 1.0f) / (1.0f + z);
}
static __device__ inline double pw_sigmoid(double u) {
  double z = exp(-fabs(u));
  return (u < 0 ? z : 1.0) / (1.0 + z);
}

// Integers wrap around: computed without a sign.
#define MTC_WRAP(e) ((int64_t)(e))
#define MTC_U(u)    ((uint64_t)(u))
MTC_PWI1(neg, MTC_WRAP(0 - MTC_U(u)))
MTC_PWI1(abs, u < 0 ? MTC_WRAP(0 - MTC_U(u)) : u)
MTC_PWI1(sign, (u > 0) - (u < 0))
MTC_PWI1(floor, u)
MTC_PWI1(ceil, u)
MTC_PWI1(trunc, u)
MTC_PWI1(rint, u)
MTC_PWI2(add, MTC_WRAP(MTC_U(u) + MTC_U(v)))
MTC_PWI2(sub, MTC_WRAP(MTC_U(u) - MTC_U(v)))
MTC_PWI2(mul, MTC_WRAP(MTC_U(u) * MTC_U(v)))
MTC_PWI2(max, u > v ? u : v)
MTC_PWI2(min, u < v ? u : v)
MTC_PWI2(fmax, u > v ? u : v)
MTC_PWI2(fmin, u < v ? u : v)
// A negative power of an integer is 0, unless it is 1 or -1.
static __device__ inline int64_t pw_pow(int64_t u, int64_t v) {
  if (v < 0) return u == 1 ? 1 : u == -1 ? (v & 1 ? -1 : 1) : 0;
  uint64_t result = 1, base = (uint64_t)u;
  for (uint64_t e = (uint64_t)v; e; e >>= 1, base *= base)
    if (e & 1) result *= base;
  return (int64_t)result;
}

// Division: an integer divisor of 0 is noted and gives 0; -1 wraps.
static __device__ inline int64_t pw_truncdiv(int64_t u, int64_t v, mtc_note *note) {
  if (v == 0) {
    mtc_write_note(note, MTC_NOTE_DIVISION, 0, 0);
    return 0;
  }
  return v == -1 ? pw_neg(u) : u / v;
}
static __device__ inline int64_t pw_fmod(int64_t u, int64_t v, mtc_note *note) {
  if (v == 0) mtc_write_note(note, MTC_NOTE_DIVISION, 0, 0);
  return v == 0 || v == -1 ? 0 : u % v;
}
static __device__ inline int64_t pw_floordiv(int64_t u, int64_t v, mtc_note *note) {
  int64_t q = pw_truncdiv(u, v, note);
  return v != 0 && pw_fmod(u, v, note) != 0 && (u < 0) != (v < 0) ? q - 1 : q;
}
static __device__ inline int64_t pw_remainder(int64_t u, int64_t v, mtc_note *note) {
  int64_t r = pw_fmod(u, v, note);
  return r != 0 && (r < 0) != (v < 0) ? r + v : r;
}
template <typename T> static __device__ inline T pw_truncdiv(T u, T v, mtc_note *) {
  return pw_trunc(u / v);
}
template <typename T> static __device__ inline T pw_fmod(T u, T v, mtc_note *) {
  return pw_fmod(u, v);
}
template <typename T> static __device__ inline T pw_remainder(T u, T v, mtc_note *) {
  T r = pw_fmod(u, v);
  return r != 0 && (r < 0) != (v < 0) ? r + v : r;
}
// As Python does it: exact for every finite pair whose quotient is not too large.
template <typename T> static __device__ inline T pw_floordiv(T u, T v, mtc_note *) {
  if (v == 0) return u / v;
  T r = pw_fmod(u, v), q = (u - r) / v;
  if (r != 0 && (r < 0) != (v < 0)) q -= 1;
  if (q == 0) return u / v < 0 ? -(T)0 : (T)0;
  T whole = pw_floor(q);
  return q - whole > (T)0.5 ? whole + 1 : whole;
}

// ---- operands ----

template <typename T> static __device__ inline T mtc_pw_number(const mtc_pw_job &j, int k);
template <> __device__ inline float mtc_pw_number<float>(const mtc_pw_job &j, int k) {
  return (float)j.f[k];
}
template <> __device__ inline double mtc_pw_number<double>(const mtc_pw_job &j, int k) {
  return j.f[k];
}
template <> __device__ inline int64_t mtc_pw_number<int64_t>(const mtc_pw_job &j, int k) {
  return j.i[k];
}

struct alignas(16) mtc_four_floats {
  float v[4];
};
struct alignas(8) mtc_four_halves {
  uint16_t v[4];
};

// Four neighbours, from a place that is a multiple of four, of memory that is aligned and of a dtype
// that mtc_pw_fours() names for T.
template <typename T> static __device__ void mtc_load4(T *v, const char *p, int dtype, int64_t i);
template <> __device__ inline void mtc_load4<float>(float *v, const char *p, int dtype, int64_t i) {
  if (dtype == MT_FLOAT32) {
    mtc_four_floats q = *(const mtc_four_floats *)((const float *)p + i);
    for (int k = 0; k < 4; k++) v[k] = q.v[k];
    return;
  }
  mtc_four_halves q = *(const mtc_four_halves *)((const uint16_t *)p + i);
  for (int k = 0; k < 4; k++)
    v[k] = dtype == MT_FLOAT16 ? mtc_from_half(q.v[k]) : mtc_from_bf16(q.v[k]);
}
template <> __device__ inline void mtc_load4<double>(double *v, const char *p, int, int64_t i) {
  for (int k = 0; k < 4; k++) v[k] = ((const double *)p)[i + k];
}
template <> __device__ inline void mtc_load4<int64_t>(int64_t *v, const char *p, int, int64_t i) {
  for (int k = 0; k < 4; k++) v[k] = ((const int64_t *)p)[i + k];
}

static __device__ inline void mtc_store4(char *p, int dtype, int64_t i, const float *v) {
  if (dtype == MT_FLOAT32) {
    mtc_four_floats q;
    for (int k = 0; k < 4; k++) q.v[k] = v[k];
    *(mtc_four_floats *)((float *)p + i) = q;
    return;
  }
  mtc_four_halves q;
  for (int k = 0; k < 4; k++) q.v[k] = dtype == MT_FLOAT16 ? mtc_to_half(v[k]) : mtc_to_bf16(v[k]);
  *(mtc_four_halves *)((uint16_t *)p + i) = q;
}
static __device__ inline void mtc_store4(char *p, int, int64_t i, const double *v) {
  for (int k = 0; k < 4; k++) ((double *)p)[i + k] = v[k];
}
static __device__ inline void mtc_store4(char *p, int dtype, int64_t i, const int64_t *v) {
  for (int k = 0; k < 4; k++) {
    if (dtype == MT_BOOL)
      ((uint8_t *)p)[i + k] = v[k] != 0; // of a test
    else
      ((int64_t *)p)[i + k] = v[k];
  }
}

// Whether four elements at once may be moved of operands of this dtype, computed in `compute`.
static inline bool mtc_pw_fours(int dtype, int compute, bool result) {
  if (result && dtype == MT_BOOL) return true;
  if (compute == MT_FLOAT64 || compute == MT_INT64) return dtype == compute;
  return mt__is_float(compute) && mt__is_float(dtype) && dtype != MT_FLOAT64;
}

// One element of any dtype: not inlined, since every loop has several and memory is what counts.
template <typename T>
static __device__ MTC_NOINLINE T mtc_pw_get(const char *p, int dtype, int64_t i) {
  return mtc_load<T>(p, dtype, i);
}
template <typename T>
static __device__ MTC_NOINLINE void mtc_pw_put(char *p, int dtype, int64_t i, T v) {
  mtc_store<T>(p, dtype, i, v);
}
static __device__ MTC_NOINLINE void mtc_pw_locate(const mtc_walk<MTC_PW_MOST + 1> &w, int64_t i,
                                                  int64_t *off) {
  mtc_locate(w, i, off);
}

// ---- the loop ----

// OP::run(v, numbers) of N operands in T gives an OP::result<T>.
template <typename OP, typename T, int N> __global__ void mtc_pw_loop(mtc_pw_job j) {
  typedef typename OP::template result<T>::type R;
  mtc_pw_numbers p = {j.pf, j.pi, j.note};
  T number[N];
  for (int k = 0; k < N; k++) number[k] = mtc_pw_number<T>(j, k);
  if (j.flat && j.aligned) {
    int64_t fours = j.n / 4;
    MTC_EACH(i, fours) {
      T v[N][4];
      R r[4];
      for (int k = 0; k < N; k++) {
        if (j.in[k])
          mtc_load4<T>(v[k], j.in[k], j.dtype[k], 4 * i);
        else
          v[k][0] = v[k][1] = v[k][2] = v[k][3] = number[k];
      }
      for (int e = 0; e < 4; e++) {
        T one[N];
        for (int k = 0; k < N; k++) one[k] = v[k][e];
        r[e] = OP::template run<T>(one, p);
      }
      mtc_store4(j.out, j.out_dtype, 4 * i, r);
    }
  }
  int64_t first = j.flat && j.aligned ? j.n / 4 * 4 : 0;
  MTC_EACH(i, j.n - first) {
    int64_t off[MTC_PW_MOST + 1];
    if (j.flat)
      for (int k = 0; k <= N; k++) off[k] = first + i;
    else
      mtc_pw_locate(j.w, i, off);
    T one[N];
    for (int k = 0; k < N; k++)
      one[k] = j.in[k] ? mtc_pw_get<T>(j.in[k], j.dtype[k], off[k + 1]) : number[k];
    mtc_pw_put<R>(j.out, j.out_dtype, off[0], OP::template run<T>(one, p));
  }
}

template <typename OP, typename T, int N>
static void mtc_pw_run(const mtc_pw_job &j, cudaStream_t stream) {
  int64_t per = j.flat && j.aligned ? 4 * MTC_THREADS : MTC_THREADS;
  MTC_LAUNCH((mtc_pw_loop<OP, T, N>), mtc_grid(j.n, per), MTC_THREADS, stream, j);
}

// What a row gives: numbers of its type, or truth.
template <typename T> struct mtc_pw_same { typedef T type; };
template <typename T> struct mtc_pw_truth { typedef int64_t type; };
