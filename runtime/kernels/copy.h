/* copy.h: moving elements without looking at them, by element size. */
#ifndef MT_KERN_COPY_H
#define MT_KERN_COPY_H

#include <stdint.h>

/* dst[i * d1 + j * d0] = src[i * s1 + j * s0] for i < w1, j < w0; strides in elements. */
typedef void (*mt_copy2d)(void *dst, int64_t d0, int64_t d1, const void *src, int64_t s0,
                          int64_t s1, int64_t w0, int64_t w1);

typedef struct mt_kern_copy {
  mt_copy2d copy2d[4]; /* by the logarithm of the element size */
  /* memcpy past the caches; call fence before another thread may read. */
  void (*stream)(void *dst, const void *src, int64_t bytes);
  void (*fence)(void);
} mt_kern_copy;

#endif
