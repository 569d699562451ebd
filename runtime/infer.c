/* infer.c: what ops use to describe their results and to check their arguments without
 * looking at data, and how their errors are worded. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

int mt__op_fail(const mt_frame *f, int code, const char *fmt, ...) {
  char text[768];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  const char *name = f->op->base + (f->op->base[0] == '_'); /* what a hidden op stands for */
  return mt_fail(code, "%s%s: %s", name, f->form == MT_CALL_INPLACE ? "_" : "", text);
}

int mt__out(mt_frame *f, int k, int dtype, int device, int ndim, const int64_t *sizes) {
  return mt__desc_new(&f->out[k], dtype, device, ndim, sizes);
}

int mt__out_strided(mt_frame *f, int k, int dtype, int device, int ndim, const int64_t *sizes,
                    const int64_t *strides) {
  MT_TRY(mt__desc_new(&f->out[k], dtype, device, ndim, sizes));
  memcpy(f->out[k]->strides, strides, (size_t)ndim * sizeof *strides);
  mt__set_contiguous_flag(f->out[k]);
  return MT_OK;
}

int mt__out_like(mt_frame *f, int k, int dtype, const mt_tensor *t) {
  if (mt__is_contiguous(t) || !mt__is_dense(t))
    return mt__out(f, k, dtype, t->device, t->ndim, t->sizes);
  return mt__out_strided(f, k, dtype, t->device, t->ndim, t->sizes, t->strides);
}

int mt__out_view(mt_frame *f, int ndim, const int64_t *sizes, const int64_t *strides,
                 int64_t offset) {
  const mt_tensor *self = f->args[0].u.t;
  MT_TRY(mt__desc_new(&f->out[0], self->dtype, self->device, ndim, sizes));
  mt_tensor *t = f->out[0];
  memcpy(t->strides, strides, (size_t)ndim * sizeof *strides);
  t->offset = offset;
  t->storage = mt__storage_retain(self->storage);
  mt__set_contiguous_flag(t);
  return MT_OK;
}

int mt__dim(const mt_frame *f, const char *name, int64_t dim, int ndim, int *out) {
  int n = ndim > 0 ? ndim : 1;
  int64_t d = dim < 0 ? dim + n : dim;
  if (d < 0 || d >= n)
    return mt__op_fail(f, MT_ERR_INDEX,
                       "%s: Dimension out of range (expected to be in range of [1, %d] or "
                       "[-%d, -1], but got %lld)",
                       name, n, n, (long long)(dim < 0 ? dim : dim + 1));
  *out = (int)d;
  return MT_OK;
}

int mt__dims_mask(const mt_frame *f, const mt_arg *dims, int ndim, uint32_t *mask) {
  *mask = 0;
  if (dims->kind == MT_NONE || (dims->kind == MT_INTS && dims->n == 0)) {
    *mask = ndim == 32 ? ~0u : (1u << ndim) - 1;
    return MT_OK;
  }
  int64_t one = dims->u.i;
  const int64_t *list = dims->kind == MT_INTS ? dims->u.is : &one;
  int n = dims->kind == MT_INTS ? dims->n : 1;
  for (int i = 0; i < n; i++) {
    int d = 0;
    MT_TRY(mt__dim(f, "dim", list[i], ndim, &d));
    if (*mask & (1u << d))
      return mt__op_fail(f, MT_ERR_VALUE, "dim %d appears multiple times in the list of dims",
                         d + 1);
    *mask |= 1u << d;
  }
  if (ndim == 0) *mask = 0;
  return MT_OK;
}

int mt__broadcast(const mt_frame *f, int n, mt_tensor *const *t, int *ndim, int64_t *sizes) {
  int nd = 0;
  for (int i = 0; i < n; i++)
    if (t[i]->ndim > nd) nd = t[i]->ndim;
  for (int d = 0; d < nd; d++) sizes[d] = 1;
  for (int i = 0; i < n; i++)
    for (int d = 0; d < t[i]->ndim; d++) {
      int at = nd - t[i]->ndim + d;
      int64_t s = t[i]->sizes[d];
      if (s == sizes[at] || s == 1) continue;
      if (sizes[at] != 1)
        return mt__op_fail(f, MT_ERR_SHAPE,
                           "The size of tensor a (%lld) must match the size of tensor b (%lld) at "
                           "non-singleton dimension %d",
                           (long long)sizes[at], (long long)s, at + 1);
      sizes[at] = s;
    }
  *ndim = nd;
  return MT_OK;
}

int mt__want_dtype(const mt_frame *f, const char *param, const mt_tensor *t, uint32_t mask) {
  if (mask & MT_D(t->dtype)) return MT_OK;
  char list[160] = "";
  for (int d = 0; d < MT_NDTYPES; d++)
    if (mask & MT_D(d)) {
      if (list[0]) strncat(list, ", ", sizeof list - strlen(list) - 1);
      strncat(list, mt_dtype_name(d), sizeof list - strlen(list) - 1);
    }
  return mt__op_fail(f, MT_ERR_DTYPE, "%s must have dtype %s, got %s", param, list,
                     mt_dtype_name(t->dtype));
}

int mt__want_ndim(const mt_frame *f, const char *param, const mt_tensor *t, int lo, int hi) {
  if (t->ndim >= lo && t->ndim <= hi) return MT_OK;
  if (lo == hi)
    return mt__op_fail(f, MT_ERR_SHAPE, "%s must have %d dimension%s, got %d", param, lo,
                       lo == 1 ? "" : "s", t->ndim);
  return mt__op_fail(f, MT_ERR_SHAPE, "%s must have %d to %d dimensions, got %d", param, lo, hi,
                     t->ndim);
}

void mt__result(mt_frame *f, int k, mt_tensor *t) {
  f->list[k] = t;
}
