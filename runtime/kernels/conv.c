/* conv.c: convolutions as matrix products read through a table of offsets (see conv.h).
 *
 * An output is one sum over p in ascending order, whatever tile it falls into. A weight's gradient
 * is summed by lanes over positions and images.
 */
#include "conv.h"

#include "kernels.h"
#include "simd.h"

#define UNROLL _Pragma("GCC unroll 32")

/* Positions whose sums a tile of weights makes at a time: taps of one channel read the same plane,
 * taps of many channels (a 1 x 1 kernel) a plane each. */
enum { NEAR = 4096, FAR = 1024 };

/* Tiles of rows x vectors that fit the registers: four vectors of positions up to MAXMR4 rows,
 * three up to MAXMR3, else two; one and two also for the end. Rows x taps for weights. */
/* Lists of tiles, one way of breaking lines as good as another. */
/* clang-format off */
#if defined(__AVX512F__)
enum { MAXMR = 14, MAXNV = 4, MAXMR4 = 7, MAXMR3 = 9, WROWS = 4, WTAPS = 6 };
#define TILES(X)                                                                               \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1)    \
  X(12, 1) X(13, 1) X(14, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2)   \
  X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2) X(7, 3) X(8, 3) X(9, 3) X(1, 4) X(2, 4) \
  X(3, 4) X(4, 4) X(5, 4) X(6, 4) X(7, 4)
#define WEIGHT_TILES(X)                                                                        \
  X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(2, 5)      \
  X(2, 6) X(3, 1) X(3, 2) X(3, 3) X(3, 4) X(3, 5) X(3, 6) X(4, 1) X(4, 2) X(4, 3) X(4, 4)      \
  X(4, 5) X(4, 6)
#else
#if defined(__AVX2__) && defined(__FMA__)
enum { MAXMR = 6, MAXNV = 4, MAXMR4 = 3, MAXMR3 = 4, WROWS = 3, WTAPS = 3 };
#define TILES(X)                                                                               \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2)      \
  X(6, 2) X(3, 3) X(4, 3) X(1, 4) X(2, 4) X(3, 4)
#elif defined(__aarch64__)
enum { MAXMR = 10, MAXNV = 4, MAXMR4 = 5, MAXMR3 = 7, WROWS = 3, WTAPS = 3 };
#define TILES(X)                                                                               \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(1, 2)     \
  X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(5, 3) X(6, 3)     \
  X(7, 3) X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4)
#else
enum { MAXMR = 4, MAXNV = 4, MAXMR4 = 2, MAXMR3 = 3, WROWS = 3, WTAPS = 3 };
#define TILES(X)                                                                               \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(2, 3) X(3, 3) X(1, 4)      \
  X(2, 4)
#endif
#define WEIGHT_TILES(X)                                                                        \
  X(1, 1) X(1, 2) X(1, 3) X(2, 1) X(2, 2) X(2, 3) X(3, 1) X(3, 2) X(3, 3)
#endif
/* clang-format on */

#define T           float
#define V           mt_vf
#define VL          MT_VF
#define M           mt_mf
#define VLOAD       mt_vf_load
#define VLOADM      mt_vf_loadm
#define VSTORE      mt_vf_store
#define VSTOREM     mt_vf_storem
#define VSET1       mt_vf_set1
#define VFMA        mt_vf_fma
#define VMASK       mt_vf_mask
#define VSUMS       mt_vf_sums
#define EVENS(a, b) MT_SHUFFLE(mt_vf_lanes, a, b, MT_VF_LANES(MT_EVEN, 0))
#if defined(__AVX512F__)
#define PIECE_M __mmask16
#define PIECE_I __m512i
#define PIECE_STEP(step)                                                                           \
  _mm512_mullo_epi32(_mm512_set1_epi32((int)(step)),                                               \
                     _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define PIECE_SCATTER(p, m, at, a) _mm512_mask_i32scatter_ps(p, m, at, a, 4)
#endif
#define N(x) x##_f32
#include "conv.inc"
#undef T
#undef V
#undef VL
#undef M
#undef VLOAD
#undef VLOADM
#undef VSTORE
#undef VSTOREM
#undef VSET1
#undef VFMA
#undef VMASK
#undef VSUMS
#undef EVENS
#undef PIECE_M
#undef PIECE_I
#undef PIECE_STEP
#undef PIECE_SCATTER
#undef N

#define T           double
#define V           mt_vd
#define VL          MT_VD
#define M           mt_md
#define VLOAD       mt_vd_load
#define VLOADM      mt_vd_loadm
#define VSTORE      mt_vd_store
#define VSTOREM     mt_vd_storem
#define VSET1       mt_vd_set1
#define VFMA        mt_vd_fma
#define VMASK       mt_vd_mask
#define VSUMS       mt_vd_sums
#define EVENS(a, b) MT_SHUFFLE(mt_vd_lanes, a, b, MT_VD_LANES(MT_EVEN, 0))
#if defined(__AVX512F__)
#define PIECE_M __mmask8
#define PIECE_I __m256i
#define PIECE_STEP(step)                                                                           \
  _mm256_mullo_epi32(_mm256_set1_epi32((int)(step)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define PIECE_SCATTER(p, m, at, a) _mm512_mask_i32scatter_pd(p, m, at, a, 8)
#endif
#define N(x) x##_f64
#include "conv.inc"

const mt_kern_conv MT_KERN(conv) = {
    {MAXMR, WROWS, WTAPS, pad_f32, image_f32, weight_f32},
    {MAXMR, WROWS, WTAPS, pad_f64, image_f64, weight_f64},
};
