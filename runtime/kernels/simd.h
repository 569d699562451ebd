/* simd.h: the few vector operations that the product, convolution and pooling kernels need,
 * under one name for every instruction set: mt_vf holds MT_VF floats, mt_vd MT_VD doubles.
 *
 * A mask (mt_mf, mt_md) stands for the first n lanes. A masked load gives 0 elsewhere and a
 * masked store touches nothing elsewhere, so neither leaves the array. fma is fused where the
 * instruction set has it and a product and a sum where it has not.
 */
#ifndef MT_SIMD_H
#define MT_SIMD_H

#include <stdint.h>
#include <string.h>

#define MT_INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
#include <immintrin.h>

enum { MT_VF = 16, MT_VD = 8 };
typedef __m512 mt_vf;
typedef __m512d mt_vd;
typedef __mmask16 mt_mf;
typedef __mmask8 mt_md;

MT_INLINE mt_mf mt_vf_mask(int64_t n) {
  return (mt_mf)(n >= 16 ? 0xffffu : (1u << n) - 1);
}
MT_INLINE mt_md mt_vd_mask(int64_t n) {
  return (mt_md)(n >= 8 ? 0xffu : (1u << n) - 1);
}
MT_INLINE mt_vf mt_vf_loadm(const float *p, mt_mf m) {
  return _mm512_maskz_loadu_ps(m, p);
}
MT_INLINE mt_vd mt_vd_loadm(const double *p, mt_md m) {
  return _mm512_maskz_loadu_pd(m, p);
}
MT_INLINE void mt_vf_storem(float *p, mt_mf m, mt_vf a) {
  _mm512_mask_storeu_ps(p, m, a);
}
MT_INLINE void mt_vd_storem(double *p, mt_md m, mt_vd a) {
  _mm512_mask_storeu_pd(p, m, a);
}
MT_INLINE mt_vf mt_vf_set1(float x) {
  return _mm512_set1_ps(x);
}
MT_INLINE mt_vd mt_vd_set1(double x) {
  return _mm512_set1_pd(x);
}
MT_INLINE mt_vf mt_vf_fma(mt_vf a, mt_vf b, mt_vf c) {
  return _mm512_fmadd_ps(a, b, c);
}
MT_INLINE mt_vd mt_vd_fma(mt_vd a, mt_vd b, mt_vd c) {
  return _mm512_fmadd_pd(a, b, c);
}

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

enum { MT_VF = 8, MT_VD = 4 };
typedef __m256 mt_vf;
typedef __m256d mt_vd;
typedef __m256i mt_mf;
typedef __m256i mt_md;

MT_INLINE mt_mf mt_vf_mask(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n > 8 ? 8 : n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
MT_INLINE mt_md mt_vd_mask(int64_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n > 4 ? 4 : n), _mm256_setr_epi64x(0, 1, 2, 3));
}
MT_INLINE mt_vf mt_vf_loadm(const float *p, mt_mf m) {
  return _mm256_maskload_ps(p, m);
}
MT_INLINE mt_vd mt_vd_loadm(const double *p, mt_md m) {
  return _mm256_maskload_pd(p, m);
}
MT_INLINE void mt_vf_storem(float *p, mt_mf m, mt_vf a) {
  _mm256_maskstore_ps(p, m, a);
}
MT_INLINE void mt_vd_storem(double *p, mt_md m, mt_vd a) {
  _mm256_maskstore_pd(p, m, a);
}
MT_INLINE mt_vf mt_vf_set1(float x) {
  return _mm256_set1_ps(x);
}
MT_INLINE mt_vd mt_vd_set1(double x) {
  return _mm256_set1_pd(x);
}
MT_INLINE mt_vf mt_vf_fma(mt_vf a, mt_vf b, mt_vf c) {
  return _mm256_fmadd_ps(a, b, c);
}
MT_INLINE mt_vd mt_vd_fma(mt_vd a, mt_vd b, mt_vd c) {
  return _mm256_fmadd_pd(a, b, c);
}

#else

enum { MT_VF = 4, MT_VD = 2 };
typedef float mt_vf __attribute__((vector_size(16)));
typedef double mt_vd __attribute__((vector_size(16)));
typedef int mt_mf; /* how many lanes */
typedef int mt_md;

MT_INLINE mt_mf mt_vf_mask(int64_t n) {
  return (int)(n > 4 ? 4 : n);
}
MT_INLINE mt_md mt_vd_mask(int64_t n) {
  return (int)(n > 2 ? 2 : n);
}
MT_INLINE mt_vf mt_vf_loadm(const float *p, mt_mf m) {
  mt_vf a = {0};
  if (m == 4) {
    memcpy(&a, p, sizeof a);
  } else {
    if (m > 0) a[0] = p[0];
    if (m > 1) a[1] = p[1];
    if (m > 2) a[2] = p[2];
  }
  return a;
}
MT_INLINE mt_vd mt_vd_loadm(const double *p, mt_md m) {
  mt_vd a = {0};
  if (m > 0) a[0] = p[0];
  if (m > 1) a[1] = p[1];
  return a;
}
MT_INLINE void mt_vf_storem(float *p, mt_mf m, mt_vf a) {
  if (m == 4) {
    memcpy(p, &a, sizeof a);
  } else {
    if (m > 0) p[0] = a[0];
    if (m > 1) p[1] = a[1];
    if (m > 2) p[2] = a[2];
  }
}
MT_INLINE void mt_vd_storem(double *p, mt_md m, mt_vd a) {
  if (m > 0) p[0] = a[0];
  if (m > 1) p[1] = a[1];
}
MT_INLINE mt_vf mt_vf_set1(float x) {
  return (mt_vf){x, x, x, x};
}
MT_INLINE mt_vd mt_vd_set1(double x) {
  return (mt_vd){x, x};
}
#if defined(__aarch64__)
#include <arm_neon.h>
MT_INLINE mt_vf mt_vf_fma(mt_vf a, mt_vf b, mt_vf c) {
  return (mt_vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
MT_INLINE mt_vd mt_vd_fma(mt_vd a, mt_vd b, mt_vd c) {
  return (mt_vd)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
MT_INLINE mt_vf mt_vf_fma(mt_vf a, mt_vf b, mt_vf c) {
  return a * b + c;
}
MT_INLINE mt_vd mt_vd_fma(mt_vd a, mt_vd b, mt_vd c) {
  return a * b + c;
}
#endif
#endif

MT_INLINE mt_vf mt_vf_load(const float *p) {
  mt_vf a;
  memcpy(&a, p, sizeof a);
  return a;
}
MT_INLINE mt_vd mt_vd_load(const double *p) {
  mt_vd a;
  memcpy(&a, p, sizeof a);
  return a;
}
MT_INLINE void mt_vf_store(float *p, mt_vf a) {
  memcpy(p, &a, sizeof a);
}
MT_INLINE void mt_vd_store(double *p, mt_vd a) {
  memcpy(p, &a, sizeof a);
}

/* Two rows of a matrix, one step of a transposition: blocks of h lanes change places, so that
 * log2(lanes) steps with h = 1, 2, 4, ... turn rows into columns (Eklundh 1972). */
#define MT_LO(l, h, n)   (((l) & (h)) ? (n) + (l) - (h) : (l))
#define MT_HI(l, h, n)   (((l) & (h)) ? (n) + (l) : (l) + (h))
#define MT_EVEN(l, h, n) (2 * (l))
#define MT_ODD(l, h, n)  (2 * (l) + 1)
#define MT_LANES2(f, h)  f(0, h, 2), f(1, h, 2)
#define MT_LANES4(f, h)  f(0, h, 4), f(1, h, 4), f(2, h, 4), f(3, h, 4)
#define MT_LANES8(f, h)                                                                            \
  f(0, h, 8), f(1, h, 8), f(2, h, 8), f(3, h, 8), f(4, h, 8), f(5, h, 8), f(6, h, 8), f(7, h, 8)
#define MT_LANES16(f, h)                                                                           \
  f(0, h, 16), f(1, h, 16), f(2, h, 16), f(3, h, 16), f(4, h, 16), f(5, h, 16), f(6, h, 16),       \
      f(7, h, 16), f(8, h, 16), f(9, h, 16), f(10, h, 16), f(11, h, 16), f(12, h, 16),             \
      f(13, h, 16), f(14, h, 16), f(15, h, 16)

typedef int32_t mt_vf_lanes __attribute__((vector_size(sizeof(mt_vf))));
typedef int64_t mt_vd_lanes __attribute__((vector_size(sizeof(mt_vd))));
#if defined(__clang__)
#define MT_SHUFFLE(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MT_SHUFFLE(type, a, b, ...) __builtin_shuffle(a, b, (type){__VA_ARGS__})
#endif
#define MT_SWAP_STEP(lanes, LANES, r, n, h)                                                        \
  _Pragma("GCC unroll 16") for (int i_ = 0; i_ < (n); i_++) if ((i_ & (h)) == 0) {                 \
    const __typeof__((r)[0]) a_ = (r)[i_], b_ = (r)[i_ + (h)];                                     \
    (r)[i_] = MT_SHUFFLE(lanes, a_, b_, LANES(MT_LO, h));                                          \
    (r)[i_ + (h)] = MT_SHUFFLE(lanes, a_, b_, LANES(MT_HI, h));                                    \
  }

/* r[i][j] and r[j][i] change places; r has as many rows as lanes. */
#if defined(__AVX512F__)
MT_INLINE void mt_vf_transpose(mt_vf *r){
    MT_SWAP_STEP(mt_vf_lanes, MT_LANES16, r, 16, 8) MT_SWAP_STEP(mt_vf_lanes, MT_LANES16, r, 16, 4)
        MT_SWAP_STEP(mt_vf_lanes, MT_LANES16, r, 16, 2)
            MT_SWAP_STEP(mt_vf_lanes, MT_LANES16, r, 16, 1)} MT_INLINE
    void mt_vd_transpose(mt_vd *r){MT_SWAP_STEP(mt_vd_lanes, MT_LANES8, r, 8, 4)
                                       MT_SWAP_STEP(mt_vd_lanes, MT_LANES8, r, 8, 2)
                                           MT_SWAP_STEP(mt_vd_lanes, MT_LANES8, r, 8, 1)}
#elif defined(__AVX2__) && defined(__FMA__)
MT_INLINE void mt_vf_transpose(mt_vf *r){
    MT_SWAP_STEP(mt_vf_lanes, MT_LANES8, r, 8, 4) MT_SWAP_STEP(mt_vf_lanes, MT_LANES8, r, 8, 2)
        MT_SWAP_STEP(mt_vf_lanes, MT_LANES8, r, 8, 1)} MT_INLINE void mt_vd_transpose(mt_vd *r){
    MT_SWAP_STEP(mt_vd_lanes, MT_LANES4, r, 4, 2) MT_SWAP_STEP(mt_vd_lanes, MT_LANES4, r, 4, 1)}
#else
MT_INLINE void mt_vf_transpose(mt_vf *r){
    MT_SWAP_STEP(mt_vf_lanes, MT_LANES4, r, 4, 2)
        MT_SWAP_STEP(mt_vf_lanes, MT_LANES4, r, 4, 1)} MT_INLINE void mt_vd_transpose(mt_vd *r) {
  MT_SWAP_STEP(mt_vd_lanes, MT_LANES2, r, 2, 1)
}
#endif

/* The block at p, rows at distance ld, turned: r[i][j] = p[j * ld + i]. Loads that put four
 * lanes in place save half of the shuffles. */
MT_INLINE void mt_vf_load_turned(mt_vf *r, const float *p, int64_t ld) {
#if defined(__AVX2__) && defined(__FMA__)
#define MT_ROW4_(row) _mm_loadu_ps(p + (row)*ld + 4 * c_)
  _Pragma("GCC unroll 4") for (int c_ = 0; c_ < MT_VF / 4; c_++) {
    mt_vf t_[4];
    _Pragma("GCC unroll 4") for (int i_ = 0; i_ < 4; i_++) {
#if defined(__AVX512F__)
      t_[i_] = _mm512_castps128_ps512(MT_ROW4_(i_));
      t_[i_] = _mm512_mask_broadcast_f32x4(t_[i_], 0x00f0, MT_ROW4_(i_ + 4));
      t_[i_] = _mm512_mask_broadcast_f32x4(t_[i_], 0x0f00, MT_ROW4_(i_ + 8));
      t_[i_] = _mm512_mask_broadcast_f32x4(t_[i_], 0xf000, MT_ROW4_(i_ + 12));
    }
    const __m512d a_ = _mm512_castps_pd(_mm512_unpacklo_ps(t_[0], t_[1])),
                  b_ = _mm512_castps_pd(_mm512_unpackhi_ps(t_[0], t_[1])),
                  d_ = _mm512_castps_pd(_mm512_unpacklo_ps(t_[2], t_[3])),
                  e_ = _mm512_castps_pd(_mm512_unpackhi_ps(t_[2], t_[3]));
    r[4 * c_] = _mm512_castpd_ps(_mm512_unpacklo_pd(a_, d_));
    r[4 * c_ + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a_, d_));
    r[4 * c_ + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b_, e_));
    r[4 * c_ + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b_, e_));
#else
      t_[i_] = _mm256_insertf128_ps(_mm256_castps128_ps256(MT_ROW4_(i_)), MT_ROW4_(i_ + 4), 1);
    }
    const __m256d a_ = _mm256_castps_pd(_mm256_unpacklo_ps(t_[0], t_[1])),
                  b_ = _mm256_castps_pd(_mm256_unpackhi_ps(t_[0], t_[1])),
                  d_ = _mm256_castps_pd(_mm256_unpacklo_ps(t_[2], t_[3])),
                  e_ = _mm256_castps_pd(_mm256_unpackhi_ps(t_[2], t_[3]));
    r[4 * c_] = _mm256_castpd_ps(_mm256_unpacklo_pd(a_, d_));
    r[4 * c_ + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a_, d_));
    r[4 * c_ + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b_, e_));
    r[4 * c_ + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b_, e_));
#endif
  }
#undef MT_ROW4_
#else
  _Pragma("GCC unroll 4") for (int i_ = 0; i_ < MT_VF; i_++) r[i_] = mt_vf_load(p + i_ * ld);
  mt_vf_transpose(r);
#endif
}
MT_INLINE void mt_vd_load_turned(mt_vd *r, const double *p, int64_t ld) {
  _Pragma("GCC unroll 8") for (int i_ = 0; i_ < MT_VD; i_++) r[i_] = mt_vd_load(p + i_ * ld);
  mt_vd_transpose(r);
}

#if defined(__AVX512F__)
#define MT_VF_LANES MT_LANES16
#define MT_VD_LANES MT_LANES8
#elif defined(__AVX2__) && defined(__FMA__)
#define MT_VF_LANES MT_LANES8
#define MT_VD_LANES MT_LANES4
#else
#define MT_VF_LANES MT_LANES4
#define MT_VD_LANES MT_LANES2
#endif

/* Sums of the lanes of each of n vectors, n <= lanes, into s, which has room for a whole vector:
 * by halves, all vectors at once. */
#define MT_SUMS_(name, T, V, VL, lanes, LANES)                                                     \
  MT_INLINE void name(const V *from, const int n, T *s) {                                          \
    V v_[VL];                                                                                      \
    _Pragma("GCC unroll 16") for (int i_ = 0; i_ < (int)VL; i_++) {                                \
      v_[i_] = (V){0};                                                                             \
      if (i_ < n) v_[i_] = from[i_];                                                               \
    }                                                                                              \
    MT_SUM_STEP_(lanes, LANES, (VL >= 16 ? 8 : 0))                                                 \
    MT_SUM_STEP_(lanes, LANES, (VL >= 8 ? 4 : 0))                                                  \
    MT_SUM_STEP_(lanes, LANES, (VL >= 4 ? 2 : 0))                                                  \
    MT_SUM_STEP_(lanes, LANES, 1)                                                                  \
    memcpy(s, &v_[0], sizeof v_[0]); /* a masked store would not be forwarded to loads */          \
  }
#define MT_SUM_STEP_(lanes, LANES, h)                                                              \
  if (h > 0)                                                                                       \
    _Pragma("GCC unroll 8") for (int i_ = 0; i_ < h; i_++) if (i_ < n) v_[i_] =                    \
        MT_SHUFFLE(lanes, v_[i_], v_[i_ + h], LANES(MT_LO, h)) +                                   \
        MT_SHUFFLE(lanes, v_[i_], v_[i_ + h], LANES(MT_HI, h));
MT_SUMS_(mt_vf_sums, float, mt_vf, MT_VF, mt_vf_lanes, MT_VF_LANES)
MT_SUMS_(mt_vd_sums, double, mt_vd, MT_VD, mt_vd_lanes, MT_VD_LANES)

#endif
