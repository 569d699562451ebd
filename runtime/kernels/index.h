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
  /* flag[i] = element i is not zero: a NaN is not, a negative zero is. By element size (1, 2, 4, 8
   * at 0, 1, 2, 3); real: a floating dtype */
  void (*flags[4])(uint8_t *flag, const void *p, int64_t stride, int64_t n, bool real);
  /* dst[i] = src[-i], by element size */
  void (*reverse[4])(void *dst, const void *src, int64_t n);
} mt_kern_index;

/* The place of an element size (1, 2, 4, 8) in a table of four. */
static inline int mt__size_place(int esize) {
  return esize >= 4 ? 2 + (esize == 8) : esize - 1;
}

#endif
