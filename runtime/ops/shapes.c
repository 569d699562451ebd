/* shapes.c: arithmetic of sizes, strides and positions. */
#include "shapes.h"

#include "moontorch_ops.h"

int mt__position(const mt_frame *f, int64_t index, int dim, int64_t size, int64_t *out) {
  if (index == 0) return mt__op_fail(f, MT_ERR_INDEX, "index 0: positions count from 1");
  if (index > size || index < -size)
    return mt__op_fail(f, MT_ERR_INDEX,
                       "index %lld is out of bounds for dimension %d with size %lld",
                       (long long)index, dim + 1, (long long)size);
  *out = index < 0 ? index + size : index - 1;
  return MT_OK;
}

int mt__fill_sizes(const mt_frame *f, int n, const int64_t *sizes, int64_t numel, int64_t *out) {
  char text[256];
  int open = -1;
  int64_t product = 1;
  bool fits = true;
  if (n > MT_MAX_DIMS)
    return mt__op_fail(f, MT_ERR_SHAPE, "a tensor has at most %d dimensions, got %d", MT_MAX_DIMS,
                       n);
  for (int i = 0; i < n; i++) {
    out[i] = sizes[i];
    if (sizes[i] == -1) {
      if (open >= 0) return mt__op_fail(f, MT_ERR_VALUE, "only one dimension can be inferred");
      open = i;
    } else if (sizes[i] < 0) {
      return mt__op_fail(f, MT_ERR_VALUE, "invalid shape dimension %lld", (long long)sizes[i]);
    } else {
      fits &= !__builtin_mul_overflow(product, sizes[i], &product);
    }
  }
  if (open >= 0 && fits && product == 0 && numel == 0)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "cannot reshape tensor of 0 elements into shape %s because the unspecified "
                       "dimension size -1 can be any value and is ambiguous",
                       mt__shape_text(text, sizeof text, n, sizes));
  if (open >= 0) {
    fits &= product != 0 && numel % product == 0;
    if (fits) out[open] = numel / product;
  } else {
    fits &= product == numel;
  }
  if (!fits)
    return mt__op_fail(f, MT_ERR_SHAPE, "shape '%s' is invalid for input of size %lld",
                       mt__shape_text(text, sizeof text, n, sizes), (long long)numel);
  return MT_OK;
}

bool mt__view_strides(int ndim, const int64_t *sizes, const int64_t *strides, int new_ndim,
                      const int64_t *new_sizes, int64_t *new_strides) {
  mt__row_major(new_ndim, new_sizes, new_strides);
  for (int d = 0; d < ndim; d++)
    if (sizes[d] == 0) return true;
  /* Old dimensions fall into blocks, each evenly spaced within; new ones must divide a block. */
  int at = new_ndim - 1;
  for (int d = ndim - 1; d >= 0;) {
    int64_t step = strides[d], count = sizes[d];
    for (d--; d >= 0 && (sizes[d] == 1 || count == 1 || strides[d] == step * count); d--) {
      if (count == 1) step = strides[d];
      count *= sizes[d];
    }
    int64_t done = 1;
    while (at >= 0 && (done < count || new_sizes[at] == 1)) {
      new_strides[at] = step * done;
      done *= new_sizes[at--];
    }
    if (done != count) return false;
  }
  while (at >= 0 && new_sizes[at] == 1) at--;
  return at < 0;
}

int mt__dim_of(const mt_op *op, const mt_arg *args, int param, int ndim, int *out) {
  mt_frame f = {.op = op};
  return mt__dim(&f, op->params[param].name, args[param].u.i, ndim, out);
}

int mt__cast(mt_tensor **out, mt_tensor *t, int dtype) {
  if (t->dtype != dtype) return mt__to_copy(out, t, dtype, -1);
  *out = mt_retain(t);
  return MT_OK;
}

int mt__sum_buffer(mt_tensor **out, mt_tensor **g, const mt_tensor *like) {
  bool half = like->dtype == MT_FLOAT16 || like->dtype == MT_BFLOAT16;
  int dtype = half ? MT_FLOAT32 : like->dtype;
  if (half) {
    MT_AUTO *old = *g;
    *g = NULL;
    MT_TRY(mt__cast(g, old, dtype));
  }
  return mt_zeros(out, (mt_ints){like->ndim, like->sizes}, dtype, like->device, false);
}
