/* reduce.h: what the reducing families share. Dims are 0-based; a mask has bit d set where
 * dimension d is reduced. */
#ifndef MT_OPS_REDUCE_H
#define MT_OPS_REDUCE_H

#include "internal.h"
#include "reduction.h"

/* Makes out[k]: the sizes of `in` without the dimensions of mask, or with size 1 there. */
int mt__reduce_out(mt_frame *f, int k, const mt_tensor *in, uint32_t mask, bool keepdim, int dtype);
/* The mask of a dims or dim argument that was checked before (MT_NONE and {}: all). */
uint32_t mt__mask_of(const mt_arg *dims, int ndim);
/* The dimensions of mask in order; returns how many. */
int mt__mask_dims(uint32_t mask, int ndim, int64_t *dims);
/* How many numbers a result is made of. */
int64_t mt__mask_count(const mt_tensor *t, uint32_t mask);
/* t, shaped like a reduction of `in`, with the reduced dimensions back as size 1. */
int mt__keep_dims(mt_tensor **out, mt_tensor *t, const mt_tensor *in, uint32_t mask, bool keepdim);
/* t, shaped like a reduction of `in`, expanded to the sizes of `in`. */
int mt__unreduce(mt_tensor **out, mt_tensor *t, const mt_tensor *in, uint32_t mask, bool keepdim);

#endif
