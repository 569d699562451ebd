/* factory.c: descriptions of fresh tensors, and filling them. */
#include "factory.h"

#include <string.h>

#include "walk.h"

static int wanted(const mt_frame *f, int *dtype, int *device) {
  const mt_arg *last = f->args + f->op->nparams;
  if (last[-3].kind != MT_NONE) *dtype = (int)last[-3].u.i;
  if (last[-2].kind != MT_NONE) *device = (int)last[-2].u.i;
  if (last[-1].u.i && !mt__is_float(*dtype))
    return mt__op_fail(f, MT_ERR_DTYPE,
                       "Only Tensors of floating point dtype can require gradients, got %s",
                       mt_dtype_name(*dtype));
  return mt__device_check(*device);
}

int mt__factory(mt_frame *f, int dtype, int ndim, const int64_t *sizes) {
  int device = MT_CPU;
  MT_TRY(wanted(f, &dtype, &device));
  return mt__out(f, 0, dtype, device, ndim, sizes);
}

int mt__factory_new(mt_frame *f, const mt_tensor *t, int ndim, const int64_t *sizes) {
  int dtype = t->dtype, device = t->device;
  MT_TRY(wanted(f, &dtype, &device));
  return mt__out(f, 0, dtype, device, ndim, sizes);
}

int mt__factory_like(mt_frame *f, const mt_tensor *t) {
  int dtype = t->dtype, device = t->device;
  MT_TRY(wanted(f, &dtype, &device));
  if (mt__is_contiguous(t) || !mt__is_dense(t))
    return mt__out(f, 0, dtype, device, t->ndim, t->sizes);
  return mt__out_strided(f, 0, dtype, device, t->ndim, t->sizes, t->strides);
}

enum { PATTERN = 4096 };

typedef struct fill_ctx {
  char *p;
  char pattern[PATTERN]; /* the number, over and over */
} fill_ctx;

static void fill_range(void *ctx, int64_t begin, int64_t end) {
  const fill_ctx *c = ctx;
  for (int64_t i = begin; i < end; i += PATTERN)
    memcpy(c->p + i, c->pattern, (size_t)(end - i < PATTERN ? end - i : PATTERN));
}

int mt__fill_dense(const mt_tensor *t, const mt_arg *number) {
  int esize = mt__esize(t->dtype);
  fill_ctx c;
  if (t->numel == 0) return MT_OK;
  c.p = mt__ptr(t);
  mt__store_scalar(c.pattern, t->dtype, number);
  bool same = true;
  for (int i = 1; i < esize; i++) same &= c.pattern[i] == 0;
  if (same && c.pattern[0] == 0) return mt__clear(c.p, t->numel * esize);
  for (int i = esize; i < PATTERN; i += i)
    memcpy(c.pattern + i, c.pattern, (size_t)(i < PATTERN - i ? i : PATTERN - i));
  return mt__parallel_range(t->numel * esize, 1 << 18, fill_range, &c);
}
