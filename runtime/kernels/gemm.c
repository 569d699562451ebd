/* gemm.c: the register tiles of matrix products (see gemm.h), float and double.
 *
 * An element of C is one sum over p in ascending order (per block of k, which the caller cuts),
 * whatever tile it falls into and whether Y was packed or not. Exceptions are `dot`, which sums
 * by lanes, and `rows`, which has the same order.
 */
#include "gemm.h"

#include "kernels.h"
#include "simd.h"

#define UNROLL _Pragma("GCC unroll 16")

enum { STORE, ADD, GENERAL };

/* Tiles (rows, vectors) whose accumulators fit the registers, two vectors of Y and one element
 * of X beside them. Four vectors are for few rows. */
/* Lists of tiles, one way of breaking lines as good as another. */
/* clang-format off */
#if defined(__AVX512F__)
enum { MAXMR = 14, MAXNV = 4, MAXMR_AT_MAXNV = 7 };
#define TILES(X)                                                                               \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1)    \
  X(12, 1) X(13, 1) X(14, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2)   \
  X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2) X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) \
  X(6, 4) X(7, 4)
enum { DOT1 = 8, DOT2 = 8, DOT3 = 6, DOT4 = 6 };
#define DOTS(X)                                                                                \
  X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8) X(2, 1) X(2, 2) X(2, 3)      \
  X(2, 4) X(2, 5) X(2, 6) X(2, 7) X(2, 8) X(3, 1) X(3, 2) X(3, 3) X(3, 4) X(3, 5) X(3, 6)      \
  X(4, 1) X(4, 2) X(4, 3) X(4, 4) X(4, 5) X(4, 6)
#elif defined(__AVX2__) && defined(__FMA__)
enum { MAXMR = 6, MAXNV = 4, MAXMR_AT_MAXNV = 3 };
#define TILES(X)                                                                               \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2)      \
  X(6, 2) X(1, 4) X(2, 4) X(3, 4)
enum { DOT1 = 8, DOT2 = 4, DOT3 = 3, DOT4 = 2 };
#define DOTS(X)                                                                                \
  X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8) X(2, 1) X(2, 2) X(2, 3)      \
  X(2, 4) X(3, 1) X(3, 2) X(3, 3) X(4, 1) X(4, 2)
#else
#if defined(__aarch64__)
enum { MAXMR = 10, MAXNV = 4, MAXMR_AT_MAXNV = 4 };
#define TILES(X)                                                                               \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(1, 2)     \
  X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(1, 4) X(2, 4)     \
  X(3, 4) X(4, 4)
#else
enum { MAXMR = 4, MAXNV = 4, MAXMR_AT_MAXNV = 2 };
#define TILES(X)                                                                               \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(1, 4) X(2, 4)
#endif
enum { DOT1 = 8, DOT2 = 4, DOT3 = 3, DOT4 = 2 };
#define DOTS(X)                                                                                \
  X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8) X(2, 1) X(2, 2) X(2, 3)      \
  X(2, 4) X(3, 1) X(3, 2) X(3, 3) X(4, 1) X(4, 2)
#endif
/* clang-format on */
enum { ROWS_N = 512 };
#ifndef KC
#define KC 256
#endif
#ifndef PACK_ROWS
#define PACK_ROWS 80
#endif
#ifndef COPY_ROWS
#define COPY_ROWS  64
#define COPY_DEPTH 64
#endif
enum { XPAD = 16, FETCH_DEPTH = 128 };

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
#define VMUL(a, b)  ((a) * (b))
#define VADD(a, b)  ((a) + (b))
#define VMASK       mt_vf_mask
#define VSUMS       mt_vf_sums
#define TRANSPOSE   mt_vf_transpose
#define LOAD_TURNED mt_vf_load_turned
#define N(x)        x##_f32
#if defined(__AVX512F__)
#define HALF                 half_f32
#define HALF_V               __m256
#define HALF_M               __mmask8
#define HALF_SET1(a)         _mm256_set1_ps(a)
#define HALF_LOADM(m, p)     _mm256_maskz_loadu_ps(m, p)
#define HALF_STOREM(p, m, a) _mm256_mask_storeu_ps(p, m, a)
#define HALF_FMA(a, b, c)    _mm256_fmadd_ps(a, b, c)
#endif
#include "gemm.inc"
#undef HALF
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
#undef TRANSPOSE
#undef LOAD_TURNED
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
#define TRANSPOSE   mt_vd_transpose
#define LOAD_TURNED mt_vd_load_turned
#define N(x)        x##_f64
#include "gemm.inc"

const mt_kern_gemm MT_KERN(gemm) = {
    {MT_VF, MAXMR, block_f32, batch_f32, dot_f32, rows_f32},
    {MT_VD, MAXMR, block_f64, batch_f64, dot_f64, rows_f64},
};
