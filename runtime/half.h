/* half.h: float16 and bfloat16 to float and back.
 *
 * A half is its 16 bits in a uint16_t. Rounding is to nearest, ties to even; subnormals,
 * infinities and NaN are right (a NaN stays a NaN with its upper payload bits and is quieted,
 * as the processor's instructions do). The one-element forms are straight-line code of selects,
 * so that a loop over them vectorises in any instruction set; the block forms use F16C where the
 * compiler may, with the same bits (checked over all inputs).
 */
#ifndef MT_HALF_H
#define MT_HALF_H

#include <stdint.h>
#include <string.h>

#if defined(__F16C__)
#include <immintrin.h>
#endif

static inline uint32_t mt__float_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

static inline float mt__bits_float(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

static inline float mt__half_to_float(uint16_t h) {
  uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13;
  uint32_t exponent = magnitude & 0x0f800000u;
  /* Normal numbers: exponent bias 15 -> 127. */
  uint32_t normal = magnitude + 0x38000000u;
  /* Infinity and NaN: exponent 31 -> 255; a signalling NaN becomes a quiet one. */
  uint32_t special = magnitude + 0x70000000u;
  special |= magnitude > 0x0f800000u ? 0x00400000u : 0u;
  /* Zero and subnormals: a normal number whose implied bit is then subtracted. */
  uint32_t tiny =
      mt__float_bits(mt__bits_float(magnitude + 0x38800000u) - mt__bits_float(0x38800000u));
  uint32_t u = exponent == 0x0f800000u ? special : exponent == 0 ? tiny : normal;
  return mt__bits_float(u | (uint32_t)(h & 0x8000u) << 16);
}

static inline uint16_t mt__float_to_half(float f) {
  uint32_t bits = mt__float_bits(f);
  uint32_t sign = bits >> 16 & 0x8000u;
  uint32_t u = bits & 0x7fffffffu;
  /* Below 2^-14: adding 0.5 lets the adder round at the last place of a subnormal. */
  uint32_t tiny = mt__float_bits(mt__bits_float(u) + 0.5f) - 0x3f000000u;
  /* Normal numbers: bias 127 -> 15, and round half to even by integer addition; a number that
   * rounds beyond 65504 carries into the exponent of infinity. */
  uint32_t normal = (u + 0xc8000fffu + (u >> 13 & 1u)) >> 13;
  uint32_t nan = 0x7e00u | (u >> 13 & 0x3ffu);
  uint32_t h = u < 0x38800000u ? tiny : normal;
  h = u >= 0x47800000u ? 0x7c00u : h;
  h = u > 0x7f800000u ? nan : h;
  return (uint16_t)(h | sign);
}

static inline float mt__bf16_to_float(uint16_t h) {
  return mt__bits_float((uint32_t)h << 16);
}

static inline uint16_t mt__float_to_bf16(float f) {
  uint32_t u = mt__float_bits(f);
  uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
  uint32_t nan = u >> 16 | 0x0040u;
  return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

/* Blocks of n elements; dst and src do not overlap. */
static inline void mt__halfs_to_floats(float *restrict dst, const uint16_t *restrict src,
                                       int64_t n) {
  int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(src + i))));
  }
#endif
  for (; i < n; i++) dst[i] = mt__half_to_float(src[i]);
}

static inline void mt__floats_to_halfs(uint16_t *restrict dst, const float *restrict src,
                                       int64_t n) {
  int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
  for (; i + 8 <= n; i += 8) {
    __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128((__m128i *)(dst + i), h);
  }
#endif
  for (; i < n; i++) dst[i] = mt__float_to_half(src[i]);
}

#endif
