/* rowsimd.h: what the row loops of reductions and softmax need beyond simd.h: maxima, joins of
 * lanes, and exp of a vector of floats. */
#ifndef MT_ROWSIMD_H
#define MT_ROWSIMD_H

#include <math.h>

#include "simd.h"
#include "vmath.h"

typedef int32_t mt_vi __attribute__((vector_size(sizeof(mt_vf))));

/* a > b ? a : b, so b where either is not a number. */
MT_INLINE mt_vf mt_vf_max(mt_vf a, mt_vf b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__) && defined(__FMA__)
  return _mm256_max_ps(a, b);
#else
  mt_vi more = a > b;
  return (mt_vf)(((mt_vi)a & more) | ((mt_vi)b & ~more));
#endif
}

/* The first lanes from memory, the others from `rest`. */
MT_INLINE mt_vf mt_vf_load_or(const float *p, mt_mf m, mt_vf rest) {
#if defined(__AVX512F__)
  return _mm512_mask_loadu_ps(rest, m, p);
#elif defined(__AVX2__) && defined(__FMA__)
  return _mm256_blendv_ps(rest, _mm256_maskload_ps(p, m), _mm256_castsi256_ps(m));
#else
  for (int i = 0; i < m; i++) rest[i] = p[i];
  return rest;
#endif
}

/* Lanes joined by halves: always in the same order. */
#if defined(__AVX2__) && defined(__FMA__)
#define MT_JOIN_LANES(name, join256, join128, join1)                                               \
  MT_INLINE float name(mt_vf a) {                                                                  \
    __m256 half = MT_HALF(a, join256);                                                             \
    __m128 few = join128(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));            \
    few = join128(few, _mm_movehl_ps(few, few));                                                   \
    return _mm_cvtss_f32(join1(few, _mm_movehdup_ps(few)));                                        \
  }
#if defined(__AVX512F__)
#define MT_HALF(a, join256) join256(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1))
#else
#define MT_HALF(a, join256) (a)
#endif
MT_JOIN_LANES(mt_vf_join_add, _mm256_add_ps, _mm_add_ps, _mm_add_ss)
MT_JOIN_LANES(mt_vf_join_max, _mm256_max_ps, _mm_max_ps, _mm_max_ss)
#undef MT_HALF
#undef MT_JOIN_LANES
#else
MT_INLINE float mt_vf_join_add(mt_vf a) { return (a[0] + a[2]) + (a[1] + a[3]); }
MT_INLINE float mt_vf_join_max(mt_vf a) {
  float p = a[0] > a[2] ? a[0] : a[2], q = a[1] > a[3] ? a[1] : a[3];
  return p > q ? p : q;
}
#endif

/* exp(x) for x <= 0 (a little above does no harm): one scaling step is enough. What would be
 * subnormal is 0; NaN stays. The same polynomial as vm_expf. */
MT_INLINE mt_vf mt_vf_exp_negative(mt_vf x) {
  mt_vf least = mt_vf_set1(-87.33654f), round = mt_vf_set1(VM_ROUND);
  mt_vf c = mt_vf_max(least, x);
  mt_vf k = mt_vf_fma(c, mt_vf_set1(0x1.715476p+0f), round), n = k - round;
  mt_vf r = mt_vf_fma(n, mt_vf_set1(-0x1.62ep-1f), c);
  r = mt_vf_fma(n, mt_vf_set1(-0x1.0bfbe8p-15f), r);
  mt_vf p = mt_vf_set1(0x1.6b6ddap-10f);
  p = mt_vf_fma(p, r, mt_vf_set1(0x1.12309p-7f));
  p = mt_vf_fma(p, r, mt_vf_set1(0x1.55568ap-5f));
  p = mt_vf_fma(p, r, mt_vf_set1(0x1.5554a2p-3f));
  p = mt_vf_fma(p, r, mt_vf_set1(0.5f));
  p = mt_vf_fma(r * r, p, r) + mt_vf_set1(1.0f);
#if defined(__AVX512F__)
  __m512i scale = _mm512_slli_epi32(_mm512_castps_si512(k), 23);
  scale = _mm512_add_epi32(scale, _mm512_set1_epi32(0x3f800000));
  return _mm512_maskz_mul_ps(_mm512_cmp_ps_mask(x, least, _CMP_NLT_UQ), p,
                             _mm512_castsi512_ps(scale));
#else
  mt_vi scale = ((mt_vi)k << 23) + 0x3f800000, tiny = x < least;
  return (mt_vf)((mt_vi)(p * (mt_vf)scale) & ~tiny);
#endif
}

#endif
