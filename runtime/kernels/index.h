/* kernels/index.h: contiguous loops of gathering and scattering rows. */
#ifndef MT_KERNELS_INDEX_H
#define MT_KERNELS_INDEX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mt_kern_index {
  void (*add_f32)(float *dst, const float *src, int64_t n);
  void (*add_f64)(double *dst, const double *src, int64_t n);
  /* dst = src * scale + shift: product and sum rounded one after the other, so that every
   * instruction set gives the same bits */
  void (*scale_u8)(float *dst, const uint8_t *src, int64_t n, float scale, float shift);
  void (*scale_f32)(float *dst, const float *src, int64_t n, float scale, float shift);
  /* whether some position is outside 1..size and, if negative ones count from the end,
   * outside -size..-1 */
  bool (*outside)(const int64_t *index, int64_t n, int64_t size, bool from_end);
  /* off[i] += (position - 1) * step, or (size + position) * step for a negative one */
  void (*offsets)(int64_t *off, const int64_t *position, int64_t n, int64_t size, int64_t step);
  /* off[i] = first + i * step */
  void (*ramp)(int64_t *off, int64_t n, int64_t first, int64_t step);
  /* how many bytes are not zero */
  int64_t (*count_true)(const uint8_t *p, int64_t n);
} mt_kern_index;

#endif
