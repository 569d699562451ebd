/* kernels/convert.h: contiguous conversion between dtypes, per instruction set. */
#ifndef MT_KERNELS_CONVERT_H
#define MT_KERNELS_CONVERT_H

#include <stdint.h>

#include "../moontorch.h"

/* [to][from] converts n elements that do not overlap; NULL where the general path of dtype.c
 * is good enough. */
typedef struct mt_kern_convert {
  void (*pair[MT_NDTYPES][MT_NDTYPES])(void *restrict dst, const void *restrict src, int64_t n);
} mt_kern_convert;

#endif
