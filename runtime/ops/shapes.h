/* shapes.h: arithmetic of sizes, strides and positions that views, indexing and creation share. */
#ifndef MT_OPS_SHAPES_H
#define MT_OPS_SHAPES_H

#include "internal.h"

/* A position of indexing, 1..size or negative from the end, as an offset from 0. */
int mt__position(const mt_frame *f, int64_t index, int dim, int64_t size, int64_t *out);

/* The sizes with a -1 replaced, checked against the number of elements. */
int mt__fill_sizes(const mt_frame *f, int n, const int64_t *sizes, int64_t numel, int64_t *out);

/* Strides under which a tensor's elements have new sizes, in row-major order and without a copy;
 * false where there are none. The numbers of elements agree. */
bool mt__view_strides(int ndim, const int64_t *sizes, const int64_t *strides, int new_ndim,
                      const int64_t *new_sizes, int64_t *new_strides);

/* For `outputs` functions: a dim argument resolved without a frame. */
int mt__dim_of(const mt_op *op, const mt_arg *args, int param, int ndim, int *out);

/* ---- for derivatives ---- */

/* t in another dtype, recorded; t itself where it has the dtype. */
int mt__cast(mt_tensor **out, mt_tensor *t, int dtype);

/* Zeros with the sizes of `like`, to add parts of the gradient *g to. Half types sum in float32
 * (the engine casts back): then *g is replaced by a float32 one. */
int mt__sum_buffer(mt_tensor **out, mt_tensor **g, const mt_tensor *like);

#endif
