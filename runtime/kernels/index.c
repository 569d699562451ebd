/* kernels/index.c: contiguous loops of gathering and scattering rows. */
#include "index.h"

#include "kernels.h"

static void add_f32(float *restrict dst, const float *restrict src, int64_t n) {
  for (int64_t i = 0; i < n; i++) dst[i] += src[i];
}

static void add_f64(double *restrict dst, const double *restrict src, int64_t n) {
  for (int64_t i = 0; i < n; i++) dst[i] += src[i];
}

static void scale_u8(float *restrict dst, const uint8_t *restrict src, int64_t n, float scale,
                     float shift) {
  for (int64_t i = 0; i < n; i++) dst[i] = (float)src[i] * scale + shift;
}

static void scale_f32(float *restrict dst, const float *restrict src, int64_t n, float scale,
                      float shift) {
  for (int64_t i = 0; i < n; i++) dst[i] = src[i] * scale + shift;
}

static bool outside(const int64_t *index, int64_t n, int64_t size, bool from_end) {
  uint64_t bad = 0, span = (uint64_t)size;
  if (from_end) {
    for (int64_t i = 0; i < n; i++) {
      uint64_t v = (uint64_t)index[i];
      bad |= (uint64_t)(v + span > 2 * span) | (uint64_t)(v == 0);
    }
  } else {
    for (int64_t i = 0; i < n; i++) bad |= (uint64_t)((uint64_t)index[i] - 1 >= span);
  }
  return bad != 0;
}

static void offsets(int64_t *restrict off, const int64_t *restrict position, int64_t n,
                    int64_t size, int64_t step) {
  for (int64_t i = 0; i < n; i++) {
    int64_t v = position[i];
    off[i] += (v + (v < 0 ? size : -1)) * step;
  }
}

static void ramp(int64_t *off, int64_t n, int64_t first, int64_t step) {
  for (int64_t i = 0; i < n; i++) off[i] = first + i * step;
}

static int64_t count_true(const uint8_t *p, int64_t n) {
  int64_t total = 0;
  for (int64_t i = 0; i < n;) {
    int64_t end = i + 4096 < n ? i + 4096 : n;
    uint32_t part = 0;
    for (; i < end; i++) part += p[i] != 0;
    total += part;
  }
  return total;
}

#define FLAGS(bits)                                                                                \
  static void flags_##bits(uint8_t *restrict flag, const void *p, int64_t stride, int64_t n,       \
                           bool real) {                                                            \
    const uint##bits##_t *s = p, mask = (uint##bits##_t) ~0ull >> (real ? 1 : 0);                  \
    if (stride == 1)                                                                               \
      for (int64_t i = 0; i < n; i++) flag[i] = (s[i] & mask) != 0;                                \
    else                                                                                           \
      for (int64_t i = 0; i < n; i++) flag[i] = (s[i * stride] & mask) != 0;                       \
  }
FLAGS(8)
FLAGS(16)
FLAGS(32)
FLAGS(64)

#define REVERSE(bits)                                                                              \
  static void reverse_##bits(void *dst, const void *src, int64_t n) {                              \
    uint##bits##_t *restrict d = dst;                                                              \
    const uint##bits##_t *s = (const uint##bits##_t *)src - (n - 1);                               \
    for (int64_t i = 0; i < n; i++) d[i] = s[n - 1 - i];                                           \
  }
REVERSE(8)
REVERSE(16)
REVERSE(32)
REVERSE(64)

const mt_kern_index MT_KERN(index) = {
    .add_f32 = add_f32,
    .add_f64 = add_f64,
    .scale_u8 = scale_u8,
    .scale_f32 = scale_f32,
    .outside = outside,
    .offsets = offsets,
    .ramp = ramp,
    .count_true = count_true,
    .flags = {flags_8, flags_16, flags_32, flags_64},
    .reverse = {reverse_8, reverse_16, reverse_32, reverse_64},
};
