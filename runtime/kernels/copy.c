/* kernels/copy.c: two-dimensional copies by element size, and a copy past the caches.
 *
 * A transposing copy goes through 8 x 8 blocks held in vector registers, so that both sides are
 * touched in whole runs of a cache line.
 */
#include "copy.h"

#include <stdint.h>
#include <string.h>

#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- 8 x 8 transposes: row i of the result is column i of the source ---- */

#define PLAIN_8X8(T)                                                                               \
  static inline void transpose_##T(T *restrict dst, int64_t ld, const T *restrict src,             \
                                   int64_t ls) {                                                   \
    for (int i = 0; i < 8; i++)                                                                    \
      for (int j = 0; j < 8; j++) dst[i * ld + j] = src[j * ls + i];                               \
  }
PLAIN_8X8(uint8_t)
PLAIN_8X8(uint16_t)

#if __has_builtin(__builtin_shufflevector)
typedef uint32_t u32x8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint64_t u64x4 __attribute__((vector_size(32), aligned(8), may_alias));

#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

static inline void transpose_uint32_t(uint32_t *restrict dst, int64_t ld,
                                      const uint32_t *restrict src, int64_t ls) {
  u32x8 r[8], t[8];
  for (int j = 0; j < 8; j++) r[j] = *(const u32x8 *)(src + j * ls);
  /* Pairs of rows, then pairs of pairs, within the halves of a vector ... */
  for (int j = 0; j < 8; j += 2) {
    t[j] = MIX(r[j], r[j + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[j + 1] = MIX(r[j], r[j + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int j = 0; j < 8; j += 4) {
    r[j] = MIX(t[j], t[j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    r[j + 1] = MIX(t[j], t[j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    r[j + 2] = MIX(t[j + 1], t[j + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    r[j + 3] = MIX(t[j + 1], t[j + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  /* ... and then the halves themselves. */
  for (int j = 0; j < 4; j++) {
    *(u32x8 *)(dst + j * ld) = MIX(r[j], r[j + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    *(u32x8 *)(dst + (j + 4) * ld) = MIX(r[j], r[j + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

static inline void transpose4_uint64_t(uint64_t *restrict dst, int64_t ld,
                                       const uint64_t *restrict src, int64_t ls) {
  u64x4 r[4], t[4];
  for (int j = 0; j < 4; j++) r[j] = *(const u64x4 *)(src + j * ls);
  for (int j = 0; j < 4; j += 2) {
    t[j] = MIX(r[j], r[j + 1], 0, 4, 2, 6);
    t[j + 1] = MIX(r[j], r[j + 1], 1, 5, 3, 7);
  }
  *(u64x4 *)(dst + 0 * ld) = MIX(t[0], t[2], 0, 1, 4, 5);
  *(u64x4 *)(dst + 1 * ld) = MIX(t[1], t[3], 0, 1, 4, 5);
  *(u64x4 *)(dst + 2 * ld) = MIX(t[0], t[2], 2, 3, 6, 7);
  *(u64x4 *)(dst + 3 * ld) = MIX(t[1], t[3], 2, 3, 6, 7);
}

static inline void transpose_uint64_t(uint64_t *restrict dst, int64_t ld,
                                      const uint64_t *restrict src, int64_t ls) {
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 8; j += 4) transpose4_uint64_t(dst + i * ld + j, ld, src + j * ls + i, ls);
}
#else
PLAIN_8X8(uint32_t)
PLAIN_8X8(uint64_t)
#endif

/* ---- the four sizes ---- */

#define COPY2D(T)                                                                                  \
  static void transposed_##T(T *d, int64_t d1, const T *s, int64_t s0, int64_t w0, int64_t w1) {   \
    int64_t b0 = w0 & ~(int64_t)7, b1 = w1 & ~(int64_t)7;                                          \
    for (int64_t j = 0; j < b0; j += 8)                                                            \
      for (int64_t i = 0; i < b1; i += 8) transpose_##T(d + i * d1 + j, d1, s + j * s0 + i, s0);   \
    for (int64_t i = 0; i < w1; i++)                                                               \
      for (int64_t j = i < b1 ? b0 : 0; j < w0; j++) d[i * d1 + j] = s[j * s0 + i];                \
  }                                                                                                \
  static void copy2d_##T(void *dst, int64_t d0, int64_t d1, const void *src, int64_t s0,           \
                         int64_t s1, int64_t w0, int64_t w1) {                                     \
    T *d = dst;                                                                                    \
    const T *s = src;                                                                              \
    if (d0 == 1 && s0 == 1) {                                                                      \
      if (w0 >= 16) {                                                                              \
        for (int64_t i = 0; i < w1; i++) memcpy(d + i * d1, s + i * s1, (size_t)w0 * sizeof(T));   \
        return;                                                                                    \
      }                                                                                            \
    } else if (d0 == 1 && s0 == 0) {                                                               \
      for (int64_t i = 0; i < w1; i++) {                                                           \
        T v = s[i * s1], *row = d + i * d1;                                                        \
        for (int64_t j = 0; j < w0; j++) row[j] = v;                                               \
      }                                                                                            \
      return;                                                                                      \
    } else if (d0 == 1 && s1 == 1) {                                                               \
      transposed_##T(d, d1, s, s0, w0, w1);                                                        \
      return;                                                                                      \
    } else if (d1 == 1 && s0 == 1) {                                                               \
      transposed_##T(d, d0, s, s1, w1, w0);                                                        \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t i = 0; i < w1; i++)                                                               \
      for (int64_t j = 0; j < w0; j++) d[i * d1 + j * d0] = s[i * s1 + j * s0];                    \
  }
COPY2D(uint8_t)
COPY2D(uint16_t)
COPY2D(uint32_t)
COPY2D(uint64_t)

/* ---- past the caches ---- */

static void stream(void *dst, const void *src, int64_t bytes) {
#if defined(__x86_64__)
  char *d = dst;
  const char *s = src;
  int64_t head = (int64_t)(-(uintptr_t)d & 63);
  if (head > bytes) head = bytes;
  if (head) memcpy(d, s, (size_t)head);
  int64_t i = head;
  for (; i + 64 <= bytes; i += 64) {
#if defined(__AVX512F__)
    _mm512_stream_si512((void *)(d + i), _mm512_loadu_si512(s + i));
#elif defined(__AVX2__)
    __m256i a = _mm256_loadu_si256((const void *)(s + i));
    __m256i b = _mm256_loadu_si256((const void *)(s + i + 32));
    _mm256_stream_si256((void *)(d + i), a);
    _mm256_stream_si256((void *)(d + i + 32), b);
#else
    for (int k = 0; k < 64; k += 16)
      _mm_stream_si128((void *)(d + i + k), _mm_loadu_si128((const void *)(s + i + k)));
#endif
  }
  if (i < bytes) memcpy(d + i, s + i, (size_t)(bytes - i));
#else
  memcpy(dst, src, (size_t)bytes);
#endif
}

static void fence(void) {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

const mt_kern_copy MT_KERN(copy) = {
    .copy2d = {copy2d_uint8_t, copy2d_uint16_t, copy2d_uint32_t, copy2d_uint64_t},
    .stream = stream,
    .fence = fence,
};
