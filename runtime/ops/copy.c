/* copy.c: copies, fills and conversions: copy_, fill_, zero_, clone, contiguous, _to_copy.
 *
 * mt__copy_values is the one place where values move between two tensors of any strides, dtypes
 * and devices. On one device it is that device's copy_ kernel; between devices bytes travel as
 * they lie when both sides are row-major and of one dtype, and by way of a row-major copy
 * otherwise: cast on the side where they come from, spread out on the side where they go. */
#include <string.h>

#include "../iter.h"
#include "internal.h"
#include "moontorch_ops.h"

/* ---- values ---- */

static int copy_on_cpu(mt_tensor *dst, const mt_tensor *src) {
  mt_iter it;
  mt__iter_begin(&it, dst->ndim, dst->sizes);
  mt__iter_add(&it, dst);
  mt__iter_add(&it, src);
  mt__iter_finish(&it);
  mt_map m = {.have = {dst->dtype, src->dtype}, .want = {dst->dtype, dst->dtype}, .grain = 1 << 16};
  m.stream = dst->numel * mt__esize(dst->dtype) >= MT_STREAM_BYTES;
  return mt__map(&it, &m);
}

static int copy_on_device(mt_tensor *dst, const mt_tensor *src) {
  static const mt_op *op;
  if (!op) op = mt_op_find("copy_");
  mt_arg args[3] = {mt__arg_t(dst), mt__arg_t((mt_tensor *)src), mt__arg_b(false)};
  mt_frame f = {.op = op, .args = args, .nout = 1, .compute = dst->dtype};
  f.out[0] = dst;
  mt_run_fn kernel = mt__device(dst->device)->find_kernel("copy_", dst->dtype);
  if (!kernel)
    return mt_fail(MT_ERR_UNSUPPORTED, "copy_: the device has no kernel for dtype %s",
                   mt_dtype_name(dst->dtype));
  return kernel(&f);
}

/* A row-major tensor of t's sizes. */
static int plain(mt_tensor **out, const mt_tensor *t, int dtype, int device) {
  MT_AUTO *fresh = NULL;
  *out = NULL;
  MT_TRY(mt__desc_new(&fresh, dtype, device, t->ndim, t->sizes));
  MT_TRY(mt__give_storage(fresh));
  *out = fresh;
  fresh = NULL;
  return MT_OK;
}

static int copy_across(mt_tensor *dst, const mt_tensor *src) {
  MT_AUTO *from = NULL, *to = NULL;
  if (mt__is_contiguous(src) && src->dtype == dst->dtype) {
    from = mt_retain((mt_tensor *)src);
  } else {
    MT_TRY(plain(&from, src, dst->dtype, src->device));
    MT_TRY(mt__copy_values(from, src));
  }
  bool fits = mt__is_contiguous(dst) && dst->numel == src->numel;
  if (fits)
    to = mt_retain(dst);
  else
    MT_TRY(plain(&to, src, dst->dtype, dst->device));
  int device = dst->device == MT_CPU ? src->device : dst->device;
  MT_TRY(mt__device(device)->copy(mt__ptr(to), to->device, mt__ptr(from), from->device,
                                  from->numel * mt__esize(from->dtype)));
  return fits ? MT_OK : mt__copy_values(dst, to);
}

int mt__copy_values(mt_tensor *dst, const mt_tensor *src) {
  if (dst->numel == 0 || dst->device == MT_META) return MT_OK;
  if (src->device == MT_META)
    return mt_fail(MT_ERR_DEVICE, "a tensor of the meta device has no values to copy");
  if (dst->device != src->device) return copy_across(dst, src);
  return dst->device == MT_CPU ? copy_on_cpu(dst, src) : copy_on_device(dst, src);
}

/* ---- copy_ ---- */

/* Do src's sizes broadcast to those of self? */
static int check_broadcast(const mt_frame *f, const mt_tensor *self, const mt_tensor *src) {
  bool fits = src->ndim <= self->ndim;
  for (int d = 1; d <= src->ndim && fits; d++) {
    int64_t n = src->sizes[src->ndim - d];
    fits = n == 1 || n == self->sizes[self->ndim - d];
  }
  if (fits) return MT_OK;
  char a[200], b[200];
  return mt__op_fail(f, MT_ERR_SHAPE, "output with shape %s doesn't match the broadcast shape %s",
                     mt__shape_text(a, sizeof a, self->ndim, self->sizes),
                     mt__shape_text(b, sizeof b, src->ndim, src->sizes));
}

static int copy_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t, *src = f->args[1].u.t;
  f->compute = self->dtype;
  if (src->device == MT_META && self->device != MT_META)
    return mt__op_fail(f, MT_ERR_DEVICE, "a tensor of the meta device has no values to copy");
  return check_broadcast(f, self, src);
}

static int copy_run(mt_frame *f) {
  return mt__copy_values(f->out[0], f->args[1].u.t);
}

/* What was there before is gone: zero, and in grad mode a function of g, so that it can be
 * differentiated like every other gradient. */
static int nothing_left(mt_tensor **out, mt_tensor *g, const mt_tensor *self) {
  if (!mt_grad_enabled()) return mt__zeros_like(out, self);
  return mt_mul(out, mt__arg_t(g), mt__arg_f(0));
}

static int copy_vjp(mt_vjp *v) {
  if (v->need[0]) MT_TRY(nothing_left(&v->gin[0], v->g[0], v->args[0].u.t));
  if (v->need[1]) MT_TRY(mt__sum_to(&v->gin[1], v->g[0], v->args[1].u.t));
  return MT_OK;
}

/* ---- fill_, zero_ ---- */

static int fill_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t, *value = mt__t(f, 1);
  f->compute = self->dtype;
  if (value && value->ndim)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "fill_ only supports 0-dimension value tensor but got tensor with %d "
                       "dimensions.",
                       value->ndim);
  return MT_OK;
}

static int fill_with(mt_tensor *t, const void *one, int dtype) {
  mt_iter it;
  mt__iter_begin(&it, t->ndim, t->sizes);
  mt__iter_add(&it, t);
  mt__iter_add_one(&it, one);
  mt__iter_finish(&it);
  mt_map m = {.have = {t->dtype, (uint8_t)dtype}, .want = {t->dtype, t->dtype}, .grain = 1 << 16};
  m.stream = t->numel * mt__esize(t->dtype) >= MT_STREAM_BYTES;
  return mt__map(&it, &m);
}

static int fill_run(mt_frame *f) {
  mt_tensor *t = f->out[0];
  const mt_tensor *value = mt__t(f, 1);
  if (t->numel == 0) return MT_OK;
  if (value) return fill_with(t, mt__ptr(value), value->dtype);
  int64_t one = 0;
  mt__store_scalar((char *)&one, t->dtype, &f->args[1]);
  return fill_with(t, &one, t->dtype);
}

static int fill_vjp(mt_vjp *v) {
  if (v->need[0]) MT_TRY(nothing_left(&v->gin[0], v->g[0], v->args[0].u.t));
  if (v->need[1]) MT_TRY(mt__sum_to(&v->gin[1], v->g[0], v->args[1].u.t));
  return MT_OK;
}

static int zero_infer(mt_frame *f) {
  f->compute = f->args[0].u.t->dtype;
  return MT_OK;
}

static int zero_run(mt_frame *f) {
  int64_t zero = 0;
  mt_tensor *t = f->out[0];
  return t->numel ? fill_with(t, &zero, t->dtype) : MT_OK;
}

static int zero_vjp(mt_vjp *v) {
  return nothing_left(&v->gin[0], v->g[0], v->args[0].u.t);
}

/* ---- clone, contiguous, _to_copy ---- */

static int clone_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  f->compute = self->dtype;
  return mt__out_like(f, 0, self->dtype, self);
}

static int values_run(mt_frame *f) {
  return mt__copy_values(f->out[0], f->args[0].u.t);
}

static int pass_vjp(mt_vjp *v) {
  v->gin[0] = mt_retain(v->g[0]);
  return MT_OK;
}

static int row_major_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  f->compute = self->dtype;
  return mt__out(f, 0, self->dtype, self->device, self->ndim, self->sizes);
}

static int contiguous(mt_frame *f) {
  mt_tensor *self = f->args[0].u.t;
  if (!mt__is_contiguous(self)) return mt__row_major_copy(&f->out[0], self);
  f->out[0] = mt_retain(self);
  return MT_OK;
}

static int type_as(mt_frame *f) {
  mt_tensor *self = f->args[0].u.t;
  const mt_tensor *other = f->args[1].u.t;
  if (self->dtype != other->dtype || self->device != other->device)
    return mt__to_copy(&f->out[0], self, other->dtype, other->device);
  f->out[0] = mt_retain(self);
  return MT_OK;
}

/* Between devices it is the result's device that runs, with an argument of the other one:
 * values_run serves both. */
static int to_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int dtype = f->args[1].kind == MT_INT ? (int)f->args[1].u.i : self->dtype;
  int device = f->args[2].kind == MT_INT ? (int)f->args[2].u.i : self->device;
  MT_TRY(mt__device_check(device));
  if (self->device == MT_META && device != MT_META)
    return mt__op_fail(f, MT_ERR_DEVICE, "Cannot copy out of meta tensor; no data!");
  MT_TRY(mt__out_like(f, 0, dtype, self));
  f->out[0]->device = device;
  f->compute = dtype;
  return MT_OK;
}

static int to_vjp(mt_vjp *v) {
  const mt_tensor *self = v->args[0].u.t;
  return mt__to_copy(&v->gin[0], v->g[0], self->dtype, self->device);
}

/* ---- the table ---- */

const mt_opdef mt__ops_copy[] = {
    {.sig = MT_SIG("copy_(Tensor! self, Tensor src, bool non_blocking=false) -> Tensor!"),
     .doc = "Writes src into self: broadcast, cast, from any device.",
     .infer = copy_infer,
     .run = copy_run,
     .vjp = copy_vjp,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION | MT_OP_CROSS_DEVICE,
     .samples =
         "{f(3,4), f(3,4)}, {f(3,4), f(4)}, {f(3,4), f()}, {t(f(3,4)), f(4,3)}, {i(2,3), f(2,3)}"},
    {.sig = MT_SIG("fill_(Tensor! self, Operand value) -> Tensor!"),
     .doc = "Writes one number into every element.",
     .infer = fill_infer,
     .run = fill_run,
     .vjp = fill_vjp,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION | MT_OP_MIXED_DEVICE,
     .samples = "{f(3,4), 2}, {f(3,4), f()}, {t(f(3,4)), 0.5}, {i(2,3), 3}, {f(0,3), 1}"},
    {.sig = MT_SIG("zero_(Tensor! self) -> Tensor!"),
     .doc = "Writes zero into every element.",
     .infer = zero_infer,
     .run = zero_run,
     .vjp = zero_vjp,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(3,4)}, {t(f(3,4))}, {i(2,3)}"},
    {.sig = MT_SIG("clone(Tensor self) -> Tensor"),
     .doc = "A copy with memory of its own; a dense tensor keeps its order in memory.",
     .infer = clone_infer,
     .run = values_run,
     .vjp = pass_vjp,
     .dtypes = MT_D_ALL,
     .samples = "{f(3,4)}, {t(f(3,4))}, {e(f(3,1), 3, 4)}, {f()}, {f(0,3)}, {i(2,3)}"},
    {.sig = MT_SIG("_row_major_copy(Tensor self) -> Tensor"),
     .doc = "A row-major copy.",
     .infer = row_major_infer,
     .run = values_run,
     .vjp = pass_vjp,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_HIDDEN,
     .samples = "{t(f(3,4))}"},
    {.sig = MT_SIG("contiguous(Tensor self) -> Tensor"),
     .doc = "The tensor itself when it is row-major, else a row-major copy.",
     .composite = contiguous,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(3,4)}, {t(f(3,4))}, {f()}, {i(2,3)}"},
    {.sig = MT_SIG("type_as(Tensor self, Tensor other) -> Tensor"),
     .doc = "The tensor itself when it has other's dtype and device, else a copy that has.",
     .composite = type_as,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_FUNCTION,
     .samples = "{f(3,4), f()}, {i(2,3), i()}"},
    {.sig = MT_SIG("_to_copy(Tensor self, dtype? dtype=None, device? device=None) -> Tensor"),
     .doc = "A copy in another dtype or on another device.",
     .infer = to_infer,
     .run = values_run,
     .vjp = to_vjp,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_HIDDEN | MT_OP_CROSS_DEVICE,
     .samples = "{f(3,4), 'float32'}, {f(3,4), 'float64'}, {t(f(3,4)), 'float32'}, {i(2,3), "
                "'float32'}, {f(), 'int64'}"},
    {0}};
