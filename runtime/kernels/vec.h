/* vec.h: comparison, selection, rounding and elementary functions on the vectors of simd.h, for
 * float32 (names end in _f32) and float64 (_f64). Arithmetic is written with the operators.
 *
 * A truth (vb_f32, vb_f64) holds one bit or one all-ones lane an element, whichever the
 * instruction set compares into; it is used through and, or, not and sel only. float64
 * functions other than the rounding ones go to the C library lane by lane: they are there for
 * accuracy.
 */
#ifndef MT_VEC_H
#define MT_VEC_H

#include "simd.h"
#include "vmath.h"

typedef int32_t vi_f32 __attribute__((vector_size(sizeof(mt_vf))));
typedef uint32_t vu_f32 __attribute__((vector_size(sizeof(mt_vf))));
typedef int64_t vi_f64 __attribute__((vector_size(sizeof(mt_vd))));
typedef uint64_t vu_f64 __attribute__((vector_size(sizeof(mt_vd))));

/* ---- loading and storing ---- */

#define VEC_MEMORY(tn, T, V, X)                                                                    \
  VM V set1_##tn(T u) {                                                                            \
    return mt_##X##_set1(u);                                                                       \
  }                                                                                                \
  VM V load_##tn(const T *p) {                                                                     \
    return mt_##X##_load(p);                                                                       \
  }                                                                                                \
  VM void store_##tn(T *p, V u) {                                                                  \
    mt_##X##_store(p, u);                                                                          \
  }
VEC_MEMORY(f32, float, mt_vf, vf)
VEC_MEMORY(f64, double, mt_vd, vd)
#undef VEC_MEMORY

/* The first n lanes, the others 0 or untouched; 0 < n < lanes. */
VM mt_vf load_tail_f32(const float *p, int64_t n) {
  return mt_vf_loadm(p, mt_vf_mask(n));
}
VM mt_vd load_tail_f64(const double *p, int64_t n) {
  return mt_vd_loadm(p, mt_vd_mask(n));
}
VM void store_tail_f32(float *p, mt_vf u, int64_t n) {
  mt_vf_storem(p, mt_vf_mask(n), u);
}
VM void store_tail_f64(double *p, mt_vd u, int64_t n) {
  mt_vd_storem(p, mt_vd_mask(n), u);
}

/* ---- truth ---- */

#if defined(__AVX512F__)

typedef __mmask16 vb_f32;
typedef __mmask8 vb_f64;

#define VEC_COMPARE(name, code)                                                                    \
  VM vb_f32 name##_f32(mt_vf u, mt_vf v) {                                                         \
    return _mm512_cmp_ps_mask(u, v, code);                                                         \
  }                                                                                                \
  VM vb_f64 name##_f64(mt_vd u, mt_vd v) {                                                         \
    return _mm512_cmp_pd_mask(u, v, code);                                                         \
  }
VEC_COMPARE(eq, _CMP_EQ_OQ)
VEC_COMPARE(ne, _CMP_NEQ_UQ)
VEC_COMPARE(lt, _CMP_LT_OQ)
VEC_COMPARE(le, _CMP_LE_OQ)
VEC_COMPARE(gt, _CMP_GT_OQ)
VEC_COMPARE(ge, _CMP_GE_OQ)
#undef VEC_COMPARE

VM mt_vf sel_f32(vb_f32 q, mt_vf u, mt_vf v) {
  return _mm512_mask_blend_ps(q, v, u);
}
VM mt_vd sel_f64(vb_f64 q, mt_vd u, mt_vd v) {
  return _mm512_mask_blend_pd(q, v, u);
}
VM bool any_f32(vb_f32 q) {
  return q != 0;
}
VM vb_f32 odd_f32(vu_f32 u) {
  return _mm512_test_epi32_mask((__m512i)u, _mm512_set1_epi32(1));
}
VM void store_truth_f32(uint8_t *p, vb_f32 q) {
  _mm_storeu_si128((__m128i *)p, _mm_maskz_set1_epi8(q, 1));
}
VM void store_truth_f64(uint8_t *p, vb_f64 q) {
  _mm_storel_epi64((__m128i *)p, _mm_maskz_set1_epi8(q, 1));
}
VM void store_truth_tail_f32(uint8_t *p, vb_f32 q, int64_t n) {
  _mm_mask_storeu_epi8(p, mt_vf_mask(n), _mm_maskz_set1_epi8(q, 1));
}
VM void store_truth_tail_f64(uint8_t *p, vb_f64 q, int64_t n) {
  _mm_mask_storeu_epi8(p, mt_vd_mask(n), _mm_maskz_set1_epi8(q, 1));
}

#elif defined(__AVX2__) && defined(__FMA__)

typedef vi_f32 vb_f32;
typedef vi_f64 vb_f64;

#define VEC_COMPARE(name, code)                                                                    \
  VM vb_f32 name##_f32(mt_vf u, mt_vf v) {                                                         \
    return (vb_f32)_mm256_cmp_ps(u, v, code);                                                      \
  }                                                                                                \
  VM vb_f64 name##_f64(mt_vd u, mt_vd v) {                                                         \
    return (vb_f64)_mm256_cmp_pd(u, v, code);                                                      \
  }
VEC_COMPARE(eq, _CMP_EQ_OQ)
VEC_COMPARE(ne, _CMP_NEQ_UQ)
VEC_COMPARE(lt, _CMP_LT_OQ)
VEC_COMPARE(le, _CMP_LE_OQ)
VEC_COMPARE(gt, _CMP_GT_OQ)
VEC_COMPARE(ge, _CMP_GE_OQ)
#undef VEC_COMPARE

VM mt_vf sel_f32(vb_f32 q, mt_vf u, mt_vf v) {
  return _mm256_blendv_ps(v, u, (mt_vf)q);
}
VM mt_vd sel_f64(vb_f64 q, mt_vd u, mt_vd v) {
  return _mm256_blendv_pd(v, u, (mt_vd)q);
}
VM bool any_f32(vb_f32 q) {
  return _mm256_movemask_ps((mt_vf)q) != 0;
}
VM vb_f32 odd_f32(vu_f32 u) {
  return -(vi_f32)(u & 1);
}
VM void store_truth_f32(uint8_t *p, vb_f32 q) {
  __m128i w =
      _mm_packs_epi32(_mm256_castsi256_si128((__m256i)q), _mm256_extracti128_si256((__m256i)q, 1));
  w = _mm_packs_epi16(w, w);
  _mm_storel_epi64((__m128i *)p, _mm_and_si128(w, _mm_set1_epi8(1)));
}
VM void store_truth_f64(uint8_t *p, vb_f64 q) {
  for (int j = 0; j < MT_VD; j++) p[j] = q[j] != 0;
}

#else

typedef vi_f32 vb_f32;
typedef vi_f64 vb_f64;

#define VEC_COMPARE(name, op)                                                                      \
  VM vb_f32 name##_f32(mt_vf u, mt_vf v) {                                                         \
    return (vb_f32)(u op v);                                                                       \
  }                                                                                                \
  VM vb_f64 name##_f64(mt_vd u, mt_vd v) {                                                         \
    return (vb_f64)(u op v);                                                                       \
  }
VEC_COMPARE(eq, ==)
VEC_COMPARE(ne, !=)
VEC_COMPARE(lt, <)
VEC_COMPARE(le, <=)
VEC_COMPARE(gt, >)
VEC_COMPARE(ge, >=)
#undef VEC_COMPARE

VM mt_vf sel_f32(vb_f32 q, mt_vf u, mt_vf v) {
  return (mt_vf)((q & (vi_f32)u) | (~q & (vi_f32)v));
}
VM mt_vd sel_f64(vb_f64 q, mt_vd u, mt_vd v) {
  return (mt_vd)((q & (vi_f64)u) | (~q & (vi_f64)v));
}
VM bool any_f32(vb_f32 q) {
  int any = 0;
  for (int j = 0; j < MT_VF; j++) any |= q[j];
  return any != 0;
}
VM vb_f32 odd_f32(vu_f32 u) {
  return -(vi_f32)(u & 1);
}
VM void store_truth_f32(uint8_t *p, vb_f32 q) {
  for (int j = 0; j < MT_VF; j++) p[j] = q[j] != 0;
}
VM void store_truth_f64(uint8_t *p, vb_f64 q) {
  for (int j = 0; j < MT_VD; j++) p[j] = q[j] != 0;
}

#endif

#if !defined(__AVX512F__)
VM void store_truth_tail_f32(uint8_t *p, vb_f32 q, int64_t n) {
  for (int j = 0; j < n; j++) p[j] = q[j] != 0;
}
VM void store_truth_tail_f64(uint8_t *p, vb_f64 q, int64_t n) {
  for (int j = 0; j < n; j++) p[j] = q[j] != 0;
}
#endif

#define VEC_TRUTH(tn)                                                                              \
  VM vb_##tn and_##tn(vb_##tn u, vb_##tn v) {                                                      \
    return (vb_##tn)(u & v);                                                                       \
  }                                                                                                \
  VM vb_##tn or_##tn(vb_##tn u, vb_##tn v) {                                                       \
    return (vb_##tn)(u | v);                                                                       \
  }                                                                                                \
  VM vb_##tn xor_##tn(vb_##tn u, vb_##tn v) {                                                      \
    return (vb_##tn)(u ^ v);                                                                       \
  }
VEC_TRUTH(f32)
VEC_TRUTH(f64)
#undef VEC_TRUTH

/* ---- rounding, square root, least and greatest ---- */

/* One lane after another, through memory; not inlined, since it would be unrolled. */
#define VEC_LANES(tn, V, N, name, call)                                                            \
  static __attribute__((noinline, unused)) V name##_##tn(V u) {                                    \
    union {                                                                                        \
      V all;                                                                                       \
      __typeof__(u[0]) one[N];                                                                     \
    } r = {.all = u};                                                                              \
    ONE_BY_ONE for (int j = 0; j < N; j++) r.one[j] = call(r.one[j]);                              \
    return r.all;                                                                                  \
  }
#define VEC_LANES2(tn, V, N, name, call)                                                           \
  static __attribute__((noinline, unused)) V name##_##tn(V u, V v) {                               \
    union {                                                                                        \
      V all;                                                                                       \
      __typeof__(u[0]) one[N];                                                                     \
    } r = {.all = u}, s = {.all = v};                                                              \
    ONE_BY_ONE for (int j = 0; j < N; j++) r.one[j] = call(r.one[j], s.one[j]);                    \
    return r.all;                                                                                  \
  }
#if defined(__clang__)
#define ONE_BY_ONE _Pragma("clang loop unroll(disable)")
#else
#define ONE_BY_ONE _Pragma("GCC unroll 1")
#endif

/* least and most give v where either is not a number, as the processor's instructions do. */
#if defined(__AVX512F__)
#define VEC_ROUND(name, mode)                                                                      \
  VM mt_vf name##_f32(mt_vf u) {                                                                   \
    return _mm512_roundscale_ps(u, mode);                                                          \
  }                                                                                                \
  VM mt_vd name##_f64(mt_vd u) {                                                                   \
    return _mm512_roundscale_pd(u, mode);                                                          \
  }
VM mt_vf sqrt_f32(mt_vf u) {
  return _mm512_sqrt_ps(u);
}
VM mt_vd sqrt_f64(mt_vd u) {
  return _mm512_sqrt_pd(u);
}
VM mt_vf least_f32(mt_vf u, mt_vf v) {
  return _mm512_min_ps(u, v);
}
VM mt_vf most_f32(mt_vf u, mt_vf v) {
  return _mm512_max_ps(u, v);
}
VM mt_vd least_f64(mt_vd u, mt_vd v) {
  return _mm512_min_pd(u, v);
}
VM mt_vd most_f64(mt_vd u, mt_vd v) {
  return _mm512_max_pd(u, v);
}
#elif defined(__AVX2__) && defined(__FMA__)
#define VEC_ROUND(name, mode)                                                                      \
  VM mt_vf name##_f32(mt_vf u) {                                                                   \
    return _mm256_round_ps(u, mode);                                                               \
  }                                                                                                \
  VM mt_vd name##_f64(mt_vd u) {                                                                   \
    return _mm256_round_pd(u, mode);                                                               \
  }
VM mt_vf sqrt_f32(mt_vf u) {
  return _mm256_sqrt_ps(u);
}
VM mt_vd sqrt_f64(mt_vd u) {
  return _mm256_sqrt_pd(u);
}
VM mt_vf least_f32(mt_vf u, mt_vf v) {
  return _mm256_min_ps(u, v);
}
VM mt_vf most_f32(mt_vf u, mt_vf v) {
  return _mm256_max_ps(u, v);
}
VM mt_vd least_f64(mt_vd u, mt_vd v) {
  return _mm256_min_pd(u, v);
}
VM mt_vd most_f64(mt_vd u, mt_vd v) {
  return _mm256_max_pd(u, v);
}
#else
VEC_LANES(f32, mt_vf, MT_VF, sqrt, sqrtf)
VEC_LANES(f64, mt_vd, MT_VD, sqrt, sqrt)
VM mt_vf least_f32(mt_vf u, mt_vf v) {
  return sel_f32(lt_f32(u, v), u, v);
}
VM mt_vf most_f32(mt_vf u, mt_vf v) {
  return sel_f32(gt_f32(u, v), u, v);
}
VM mt_vd least_f64(mt_vd u, mt_vd v) {
  return sel_f64(lt_f64(u, v), u, v);
}
VM mt_vd most_f64(mt_vd u, mt_vd v) {
  return sel_f64(gt_f64(u, v), u, v);
}
VEC_LANES(f32, mt_vf, MT_VF, floor, floorf)
VEC_LANES(f64, mt_vd, MT_VD, floor, floor)
VEC_LANES(f32, mt_vf, MT_VF, ceil, ceilf)
VEC_LANES(f64, mt_vd, MT_VD, ceil, ceil)
VEC_LANES(f32, mt_vf, MT_VF, trunc, truncf)
VEC_LANES(f64, mt_vd, MT_VD, trunc, trunc)
VEC_LANES(f32, mt_vf, MT_VF, rint, rintf)
VEC_LANES(f64, mt_vd, MT_VD, rint, rint)
#endif
#if defined(VEC_ROUND)
VEC_ROUND(floor, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
VEC_ROUND(ceil, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)
VEC_ROUND(trunc, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)
VEC_ROUND(rint, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#undef VEC_ROUND
#endif

VM mt_vf abs_f32(mt_vf u) {
  return (mt_vf)((vu_f32)u & 0x7fffffffu);
}
VM mt_vd abs_f64(mt_vd u) {
  return (mt_vd)((vu_f64)u & 0x7fffffffffffffffu);
}

#define VEC_BOTH(tn, V)                                                                            \
  /* not a number if either is; the other one if one is */                                         \
  VM V max_##tn(V u, V v) {                                                                        \
    return sel_##tn(ne_##tn(u, u), u, most_##tn(u, v));                                            \
  }                                                                                                \
  VM V min_##tn(V u, V v) {                                                                        \
    return sel_##tn(ne_##tn(u, u), u, least_##tn(u, v));                                           \
  }                                                                                                \
  VM V fmax_##tn(V u, V v) {                                                                       \
    return sel_##tn(ne_##tn(v, v), u, most_##tn(u, v));                                            \
  }                                                                                                \
  VM V fmin_##tn(V u, V v) {                                                                       \
    return sel_##tn(ne_##tn(v, v), u, least_##tn(u, v));                                           \
  }                                                                                                \
  VM V square_##tn(V u) {                                                                          \
    return u * u;                                                                                  \
  }                                                                                                \
  VM V sign_##tn(V u) {                                                                            \
    V zero = set1_##tn(0), one = set1_##tn(1);                                                     \
    return sel_##tn(gt_##tn(u, zero), one, sel_##tn(lt_##tn(u, zero), -one, zero));                \
  }
VEC_BOTH(f32, mt_vf)
VEC_BOTH(f64, mt_vd)
#undef VEC_BOTH

/* ---- elementary functions, float32 ---- */

#define F               mt_vf
#define U               vu_f32
#define I               vi_f32
#define B               vb_f32
#define VMF(f)          f##_v32
#define KF(c)           mt_vf_set1(c)
#define KU(c)           ((vu_f32){0} + (uint32_t)(c))
#define FMA(a, b, c)    mt_vf_fma(a, b, c)
#define BITS(x)         ((vu_f32)(x))
#define FLOATS(u)       ((mt_vf)(u))
#define TO_FLOAT(i)     __builtin_convertvector(i, mt_vf)
#define SELECT(q, a, b) sel_f32(q, a, b)
#define IS_LT(a, b)     lt_f32(a, b)
#define IS_GT(a, b)     gt_f32(a, b)
#define IS_GE(a, b)     ge_f32(a, b)
#define IS_EQ(a, b)     eq_f32(a, b)
#define IS_ODD(u)       odd_f32(u)
#define MIN_OF(a, b)    least_f32(a, b)
#define MAX_OF(a, b)    most_f32(a, b)
#if defined(__AVX512F__)
#define SCALE(p, n) _mm512_scalef_ps(p, (n)-VM_ROUND)
#endif
#define SQRT_OF(x) sqrt_f32(x)
#include "vmath.inc"
#undef SCALE
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

#define VEC_OWN(name)                                                                              \
  VM mt_vf name##_f32(mt_vf u) {                                                                   \
    return name##_v32(u);                                                                          \
  }
VEC_OWN(exp)
VEC_OWN(exp2)
VEC_OWN(expm1)
VEC_OWN(log)
VEC_OWN(log2)
VEC_OWN(log10)
VEC_OWN(log1p)
VEC_OWN(tanh)
VEC_OWN(sigmoid)
VEC_OWN(erf)
VEC_OWN(asin)
VEC_OWN(acos)
VEC_OWN(atan)
VEC_OWN(sinh)
VEC_OWN(cosh)
VEC_OWN(asinh)
VEC_OWN(acosh)
VEC_OWN(atanh)
#undef VEC_OWN

/* sin, cos and tan; the rare lanes too far from 0 one by one */
#define VEC_WAVE(name)                                                                             \
  VM mt_vf name##_f32(mt_vf u) {                                                                   \
    mt_vf y = name##_v32(u);                                                                       \
    vb_f32 far = gt_f32(abs_f32(u), mt_vf_set1(VM_FAR));                                           \
    if (__builtin_expect(any_f32(far), 0)) y = sel_f32(far, name##_far_f32(u), y);                 \
    return y;                                                                                      \
  }
VEC_LANES(f32, mt_vf, MT_VF, sin_far, sinf)
VEC_LANES(f32, mt_vf, MT_VF, cos_far, cosf)
VEC_LANES(f32, mt_vf, MT_VF, tan_far, tanf)
VEC_WAVE(sin)
VEC_WAVE(cos)
VEC_WAVE(tan)
#undef VEC_WAVE

/* log2 of a > 0 by the series of atanh, times y, and 2 to that: within 0.51 units in the last
 * place of a float32, of which a is one (so never subnormal here). */
VM mt_vd power_core(mt_vd a, mt_vd y) {
  const mt_vd round = mt_vd_set1(6755399441055744.0); /* 1.5 * 2^52 */
  vu_f64 i = (vu_f64)a - 0x3fe6a09e00000000u;
  mt_vd m = (mt_vd)((i & 0x000fffffffffffffu) + 0x3fe6a09e00000000u);
  /* the exponent, made positive so that the shift may be unsigned, as a double */
  vu_f64 e = ((i + 0x4000000000000000u) >> 52) + 0x4338000000000000u;
  mt_vd s = (m - 1.0) / (m + 1.0), z = s * s;
  mt_vd p = mt_vd_fma(mt_vd_set1(0x1.21b60c995f245p-2), z, mt_vd_set1(0x1.4794fef0d0c2fp-2));
  p = mt_vd_fma(p, z, mt_vd_set1(0x1.a61a30cb2efc2p-2));
  p = mt_vd_fma(p, z, mt_vd_set1(0x1.2776c290de4c6p-1));
  p = mt_vd_fma(p, z, mt_vd_set1(0x1.ec709dc53e58fp-1));
  p = mt_vd_fma(p, z, mt_vd_set1(0x1.71547652b8250p+1));
  mt_vd t = mt_vd_fma(p, s, (mt_vd)e - (round + 1024.0)) * y;
  t = least_f64(mt_vd_set1(200.0), most_f64(mt_vd_set1(-200.0), t));
  mt_vd n = t + round, r = t - (n - round);
  mt_vd q = mt_vd_fma(mt_vd_set1(0x1.fde5b2f17700cp-17), r, mt_vd_set1(0x1.445c84d3675b2p-13));
  q = mt_vd_fma(q, r, mt_vd_set1(0x1.5d8a8629e0318p-10));
  q = mt_vd_fma(q, r, mt_vd_set1(0x1.3b29f39b94f39p-7));
  q = mt_vd_fma(q, r, mt_vd_set1(0x1.c6b08ac04c5c4p-5));
  q = mt_vd_fma(q, r, mt_vd_set1(0x1.ebfbe07789e47p-3));
  q = mt_vd_fma(q, r, mt_vd_set1(0x1.62e42ff0e1a37p-1));
  q = mt_vd_fma(q, r, mt_vd_set1(1.0));
  return q * (mt_vd)(((vu_f64)n << 52) + 0x3ff0000000000000u);
}

VM vb_f32 is_whole_f32(mt_vf a) { /* a >= 0 */
  const mt_vf big = mt_vf_set1(8388608.0f);
  return or_f32(ge_f32(a, big), eq_f32((a + big) - big, a));
}

/* A vector of floats as two of doubles, and back. */
#if defined(__AVX512F__)
VM void widen(mt_vf u, mt_vd *lo, mt_vd *hi) {
  *lo = _mm512_cvtps_pd(_mm512_castps512_ps256(u));
  *hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(u, 1));
}
VM mt_vf narrow(mt_vd lo, mt_vd hi) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(lo)), _mm512_cvtpd_ps(hi), 1);
}
#elif defined(__AVX2__) && defined(__FMA__)
VM void widen(mt_vf u, mt_vd *lo, mt_vd *hi) {
  *lo = _mm256_cvtps_pd(_mm256_castps256_ps128(u));
  *hi = _mm256_cvtps_pd(_mm256_extractf128_ps(u, 1));
}
VM mt_vf narrow(mt_vd lo, mt_vd hi) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(lo)), _mm256_cvtpd_ps(hi), 1);
}
#else
VM void widen(mt_vf u, mt_vd *lo, mt_vd *hi) {
  *lo = (mt_vd){u[0], u[1]};
  *hi = (mt_vd){u[2], u[3]};
}
VM mt_vf narrow(mt_vd lo, mt_vd hi) {
  return (mt_vf){(float)lo[0], (float)lo[1], (float)hi[0], (float)hi[1]};
}
#endif

VM mt_vf pow_f32(mt_vf x, mt_vf y) {
  mt_vd a0, a1, b0, b1;
  widen(abs_f32(x), &a0, &a1);
  widen(y, &b0, &b1);
  mt_vf v = narrow(power_core(a0, b0), power_core(a1, b1));
  const mt_vf zero = mt_vf_set1(0.0f), one = mt_vf_set1(1.0f), inf = mt_vf_set1(INFINITY);
  const mt_vf ax = abs_f32(x), ay = abs_f32(y);
  vb_f32 up = gt_f32(y, zero), whole = is_whole_f32(ay);
  v = sel_f32(eq_f32(ax, zero), sel_f32(up, zero, inf), v);
  v = sel_f32(eq_f32(ax, inf), sel_f32(up, inf, zero), v);
  /* to the power of infinity: away from 1, towards it, or 1 itself */
  mt_vf beyond = sel_f32(xor_f32(gt_f32(ax, one), up), zero, inf);
  v = sel_f32(eq_f32(ay, inf), sel_f32(eq_f32(ax, one), one, beyond), v);
  /* a negative base: an odd power is negative, a broken one is no number */
  mt_vf flipped = sel_f32(is_whole_f32(ay * 0.5f), v, -v);
  mt_vf broken = sel_f32(or_f32(eq_f32(ax, zero), eq_f32(ax, inf)), v, mt_vf_set1(NAN));
  mt_vf below = sel_f32(whole, flipped, broken);
  v = sel_f32(lt_f32((mt_vf)(((vu_f32)x & 0x80000000u) | 0x3f800000u), zero), below, v);
  v = sel_f32(ne_f32(x, x), x, sel_f32(ne_f32(y, y), y, v));
  return sel_f32(or_f32(eq_f32(y, zero), eq_f32(x, one)), one, v);
}

VM mt_vf atan2_f32(mt_vf y, mt_vf x) {
  const mt_vf zero = mt_vf_set1(0.0f), inf = mt_vf_set1(INFINITY);
  mt_vf ax = abs_f32(x), ay = abs_f32(y);
  vb_f32 steep = gt_f32(ay, ax);
  mt_vf most = sel_f32(steep, ay, ax), least = sel_f32(steep, ax, ay), r = least / most;
  r = sel_f32(eq_f32(most, zero), zero, r);
  r = sel_f32(eq_f32(least, inf), mt_vf_set1(1.0f), r);
  mt_vf p = atan_poly_v32(r);
  p = sel_f32(steep, VM_HALF_PI - (p - VM_HALF_PI_LO), p);
  mt_vf signed_one = (mt_vf)(((vu_f32)x & 0x80000000u) | 0x3f800000u);
  p = sel_f32(lt_f32(signed_one, zero), 2 * VM_HALF_PI - (p - 2 * VM_HALF_PI_LO), p);
  p = copysign_v32(p, y);
  return sel_f32(or_f32(ne_f32(x, x), ne_f32(y, y)), x + y, p);
}

VM mt_vf hypot_f32(mt_vf x, mt_vf y) {
  const mt_vf inf = mt_vf_set1(INFINITY);
  mt_vd a0, a1, b0, b1;
  widen(x, &a0, &a1);
  widen(y, &b0, &b1);
  mt_vf r = narrow(sqrt_f64(a0 * a0 + b0 * b0), sqrt_f64(a1 * a1 + b1 * b1));
  return sel_f32(or_f32(eq_f32(abs_f32(x), inf), eq_f32(abs_f32(y), inf)), inf, r);
}

/* What u / v leaves: exact in float64 while the quotient has less than 29 bits, for then its
 * product with v fits. */
VM mt_vd remainder_core(mt_vd u, mt_vd v) {
  return u - trunc_f64(u / v) * v;
}
VEC_LANES2(f32, mt_vf, MT_VF, fmod_far, fmodf)
VM mt_vf fmod_f32(mt_vf u, mt_vf v) {
  const mt_vf inf = mt_vf_set1(INFINITY);
  mt_vd a0, a1, b0, b1;
  widen(u, &a0, &a1);
  widen(v, &b0, &b1);
  mt_vf r = copysign_v32(narrow(remainder_core(a0, b0), remainder_core(a1, b1)), u);
  r = sel_f32(and_f32(eq_f32(abs_f32(v), inf), lt_f32(abs_f32(u), inf)), u, r);
  vb_f32 far = gt_f32(abs_f32(u / v), mt_vf_set1(0x1p28f));
  if (__builtin_expect(any_f32(far), 0)) r = sel_f32(far, fmod_far_f32(u, v), r);
  return r;
}

VEC_LANES(f32, mt_vf, MT_VF, erfc, erfcf)

/* ---- elementary functions, float64 ---- */

VEC_LANES(f64, mt_vd, MT_VD, exp, exp)
VEC_LANES(f64, mt_vd, MT_VD, exp2, exp2)
VEC_LANES(f64, mt_vd, MT_VD, expm1, expm1)
VEC_LANES(f64, mt_vd, MT_VD, log, log)
VEC_LANES(f64, mt_vd, MT_VD, log2, log2)
VEC_LANES(f64, mt_vd, MT_VD, log10, log10)
VEC_LANES(f64, mt_vd, MT_VD, log1p, log1p)
VEC_LANES(f64, mt_vd, MT_VD, sin, sin)
VEC_LANES(f64, mt_vd, MT_VD, cos, cos)
VEC_LANES(f64, mt_vd, MT_VD, tan, tan)
VEC_LANES(f64, mt_vd, MT_VD, asin, asin)
VEC_LANES(f64, mt_vd, MT_VD, acos, acos)
VEC_LANES(f64, mt_vd, MT_VD, atan, atan)
VEC_LANES(f64, mt_vd, MT_VD, sinh, sinh)
VEC_LANES(f64, mt_vd, MT_VD, cosh, cosh)
VEC_LANES(f64, mt_vd, MT_VD, tanh, tanh)
VEC_LANES(f64, mt_vd, MT_VD, asinh, asinh)
VEC_LANES(f64, mt_vd, MT_VD, acosh, acosh)
VEC_LANES(f64, mt_vd, MT_VD, atanh, atanh)
VEC_LANES(f64, mt_vd, MT_VD, erf, erf)
VEC_LANES(f64, mt_vd, MT_VD, erfc, erfc)
VEC_LANES2(f64, mt_vd, MT_VD, pow, pow)
VEC_LANES2(f64, mt_vd, MT_VD, atan2, atan2)
VEC_LANES2(f64, mt_vd, MT_VD, hypot, hypot)
VEC_LANES2(f64, mt_vd, MT_VD, fmod, fmod)
VM mt_vd sigmoid_f64(mt_vd u) {
  mt_vd z = exp_f64(-abs_f64(u)), one = mt_vd_set1(1.0);
  return sel_f64(lt_f64(u, mt_vd_set1(0.0)), z, one) / (one + z);
}

#undef VEC_LANES
#undef VEC_LANES2

/* ---- quotients and what they leave ---- */

/* floordiv as Python does it: exact for every finite pair whose quotient is not too large. */
#define VEC_DIVIDE(tn, V)                                                                          \
  VM V remainder_##tn(V u, V v) {                                                                  \
    const V zero = set1_##tn(0);                                                                   \
    V r = fmod_##tn(u, v);                                                                         \
    vb_##tn wrong = xor_##tn(lt_##tn(r, zero), lt_##tn(v, zero));                                  \
    return sel_##tn(and_##tn(ne_##tn(r, zero), wrong), r + v, r);                                  \
  }                                                                                                \
  VM V floordiv_##tn(V u, V v) {                                                                   \
    const V zero = set1_##tn(0), one = set1_##tn(1);                                               \
    V r = fmod_##tn(u, v), q = (u - r) / v, raw = u / v;                                           \
    vb_##tn wrong = xor_##tn(lt_##tn(r, zero), lt_##tn(v, zero));                                  \
    q = sel_##tn(and_##tn(ne_##tn(r, zero), wrong), q - one, q);                                   \
    V whole = floor_##tn(q);                                                                       \
    whole = sel_##tn(gt_##tn(q - whole, set1_##tn(0.5f)), whole + one, whole);                     \
    whole = sel_##tn(eq_##tn(q, zero), sel_##tn(lt_##tn(raw, zero), -zero, zero), whole);          \
    return sel_##tn(eq_##tn(v, zero), raw, whole);                                                 \
  }
VEC_DIVIDE(f32, mt_vf)
VEC_DIVIDE(f64, mt_vd)
#undef VEC_DIVIDE

#endif
