// pointwise.cu: runs the elementwise ops: every row of pointwise.def, their fused derivatives, where
// and masked_fill. infer has left the loop's number, its numbers and the dtype that operands are
// promoted to in the frame (ops/pointwise.h); what is here lays out the operands.
#include "pointwise.cuh"

namespace {

int alignment(const char *p) {
  return (int)((uintptr_t)p & 15);
}

// Operand k: a tensor of this device, or a number: an argument, or a 0-dim tensor of the host.
void add_operand(mtc_pw_job *j, int k, const mt_arg *a, int compute) {
  if (a->kind == MT_TENSOR && a->u.t->device >= MT_CUDA) {
    const mt_tensor *t = a->u.t;
    mtc_walk_tensor(&j->w, k + 1, t);
    j->in[k] = mtc_ptr(t);
    j->dtype[k] = t->dtype;
    return;
  }
  for (int d = 0; d < MT_MAX_DIMS; d++) j->w.stride[k + 1][d] = 0;
  if (a->kind == MT_NONE) return;
  char cell[8] = {0};
  bool whole = !mt__is_float(compute);
  if (a->kind == MT_TENSOR) {
    const mt_tensor *t = a->u.t;
    if (whole && mtc_category(t->dtype) == 2) {
      mtc_store<int64_t>(cell, compute, 0, mtc_load<int64_t>(mtc_ptr(t), t->dtype, 0));
      j->i[k] = mtc_load<int64_t>(cell, compute, 0);
    } else if (whole) {
      mtc_store<double>(cell, compute, 0, mtc_load<double>(mtc_ptr(t), t->dtype, 0));
      j->i[k] = mtc_load<int64_t>(cell, compute, 0);
    }
    j->f[k] = mtc_load<double>(mtc_ptr(t), t->dtype, 0);
    return;
  }
  if (whole) { // a number that stands for an unsigned one wraps around
    if (compute == MT_BOOL)
      j->i[k] = a->kind == MT_FLOAT ? a->u.f != 0 : a->u.i != 0;
    else {
      mtc_store<int64_t>(cell, compute, 0,
                         a->kind == MT_FLOAT ? mtc_double_to_int64(a->u.f) : a->u.i);
      j->i[k] = mtc_load<int64_t>(cell, compute, 0);
    }
  }
  j->f[k] = mt__num(a);
}

int begin(mtc_pw_job *j, const mt_tensor *out, cudaStream_t *s) {
  MTC_TRY(mtc_enter(s, out->device));
  memset(j, 0, sizeof *j);
  mtc_walk_begin(&j->w, out->ndim, out->sizes);
  mtc_walk_tensor(&j->w, 0, out);
  j->out = mtc_ptr(out);
  j->out_dtype = out->dtype;
  j->note = mtc_notes(out->device);
  return j->note ? (int)MT_OK : mtc_host->fail(MT_ERR_MEMORY, "out of memory: no room for notes");
}

// Every operand one run in the result's order, or a number?
void finish(mtc_pw_job *j, int n, int compute) {
  for (int k = 0; k < n; k++)
    if (!j->in[k]) memcpy(j->w.stride[k + 1], j->w.stride[0], sizeof j->w.stride[0]);
  for (int k = n; k < MTC_PW_MOST; k++)
    memcpy(j->w.stride[k + 1], j->w.stride[0], sizeof j->w.stride[0]);
  mtc_walk_finish(&j->w, true); // numbers go along with the result: they stand in no way
  j->n = j->w.numel;
  j->flat = j->aligned = mtc_walk_is_run(&j->w);
  if (alignment(j->out) || !mtc_pw_fours(j->out_dtype, compute, true)) j->aligned = 0;
  for (int k = 0; k < n; k++)
    if (j->in[k] && (alignment(j->in[k]) || !mtc_pw_fours(j->dtype[k], compute, false)))
      j->aligned = 0;
}

int launch(const mt_frame *f, mtc_pw_launch fn, const mtc_pw_job &j, cudaStream_t s) {
  if (!fn)
    return mtc_host->fail(MT_ERR_UNSUPPORTED, "%s: no kernel on device cuda for this dtype",
                          f->op->name);
  fn(j, s);
  return mtc_launched(f->op->name);
}

// A 0-dim operand of a wider integer dtype wraps to the computed one first, as on the CPU.
int narrow(mtc_pw_job *j, int k, int compute, mtc_scratch *copy, int device) {
  if (!j->in[k] || mt__is_float(compute) || mt__is_float(j->dtype[k]) ||
      mt__esize(j->dtype[k]) <= mt__esize(compute))
    return MT_OK;
  mt_tensor from, to;
  mt_storage from_memory, to_memory;
  memset(&from, 0, sizeof from);
  memset(&from_memory, 0, sizeof from_memory);
  MTC_TRY(copy->take(device, 8));
  from.device = device;
  from.numel = 1;
  from.flags = MT_T_CONTIGUOUS;
  to = from;
  to_memory = from_memory;
  from.dtype = (uint8_t)j->dtype[k];
  from_memory.data = (char *)j->in[k];
  from.storage = &from_memory;
  to.dtype = (uint8_t)compute;
  to_memory.data = copy->p;
  to.storage = &to_memory;
  MTC_TRY(mtc_copy_tensor(&to, &from));
  j->in[k] = copy->p;
  j->dtype[k] = compute;
  return MT_OK;
}

int run_operands(mt_frame *f, int n, const mt_arg *const *operand, mtc_pw_launch fn,
                 const double *pf, const int64_t *pi) {
  const mt_tensor *out = f->out[0];
  cudaStream_t s;
  mtc_pw_job j;
  mtc_scratch copies[MTC_PW_MOST];
  if (out->numel == 0) return MT_OK;
  MTC_TRY(begin(&j, out, &s));
  for (int k = 0; k < n; k++) {
    add_operand(&j, k, operand[k], f->compute);
    if (operand[k]->kind == MT_TENSOR && operand[k]->u.t->numel == 1)
      MTC_TRY(narrow(&j, k, f->compute, &copies[k], out->device));
  }
  for (int k = 0; k < 3 && pf; k++) j.pf[k] = pf[k], j.pi[k] = pi[k];
  finish(&j, n, f->compute);
  return launch(f, fn, j, s);
}

// The parameters that are operands come first; numbers behind them are the loop's numbers.
int operands_of(const mt_frame *f, const mt_arg **operand) {
  static const struct {
    const char *op;
    int nin;
  } rows[] = {
#define KERNEL1(...)
#define KERNEL2(...)
#define KERNEL3(...)
#define UNARY(name, ...)       {#name, 1},
#define BINARY(name, ...)      {#name, 2},
#define TERNARY(name, ...)     {#name, 3},
#define CHOICE(name, nin, ...) {#name, nin},
#include "ops/pointwise.def"

#include "kernels/vocabulary_off.h"
  };
  int nin = 0, n = 0;
  for (const auto &r : rows)
    if (strcmp(r.op, f->op->name) == 0) nin = r.nin;
  for (int i = 0; i < nin; i++)
    if (f->args[i].kind != MT_NONE) operand[n++] = &f->args[i];
  return n;
}

int pointwise_op(mt_frame *f) {
  const mt_arg *operand[3];
  int n = operands_of(f, operand), kernel = (int)(f->priv[0] & 0xffff);
  const mt_pw_params *p = (const mt_pw_params *)(const void *)&f->priv[2];
  int category = mtc_category(f->compute);
  mtc_pw_launch fn = category == 0   ? mtc_pw_f32[kernel]
                     : category == 1 ? mtc_pw_f64[kernel]
                                     : mtc_pw_i64[kernel];
  return run_operands(f, n, operand, fn, p->f, p->i);
}

// (grad, a, b, c, y, kernel, which, p0, p1)
int backward_op(mt_frame *f) {
  const mt_arg *operand[MTC_PW_MOST];
  int kernel = (int)f->args[5].u.i, which = (int)f->args[6].u.i;
  const mt_pw_params *p = (const mt_pw_params *)(const void *)&f->priv[2];
  for (int k = 0; k < MTC_PW_MOST; k++) operand[k] = &f->args[k];
  mtc_pw_launch fn = mtc_category(f->compute) == 1 ? mtc_pw_back_f64[kernel][which]
                                                   : mtc_pw_back_f32[kernel][which];
  return run_operands(f, MTC_PW_MOST, operand, fn, p->f, p->i);
}

// ---- where(condition, self, other), masked_fill(self, mask, value) ----

struct choose {
  template <typename T> struct result { typedef T type; };
  template <typename T> static __device__ T run(const T *in, const mtc_pw_numbers &) {
    return in[0] != 0 ? in[1] : in[2];
  }
};

int choice(mt_frame *f, const mt_arg *q, const mt_arg *a, const mt_arg *b) {
  const mt_arg *operand[3] = {q, a, b};
  int category = mtc_category(f->compute);
  mtc_pw_launch fn = category == 0   ? (mtc_pw_launch)mtc_pw_run<choose, float, 3>
                     : category == 1 ? (mtc_pw_launch)mtc_pw_run<choose, double, 3>
                                     : (mtc_pw_launch)mtc_pw_run<choose, int64_t, 3>;
  return run_operands(f, 3, operand, fn, NULL, NULL);
}

int where_op(mt_frame *f) {
  return choice(f, &f->args[0], &f->args[1], &f->args[2]);
}
int masked_fill_op(mt_frame *f) {
  return choice(f, &f->args[1], &f->args[2], &f->args[0]);
}

const mtc_kernel table[] = {
#define KERNEL1(...)
#define KERNEL2(...)
#define KERNEL3(...)
#define UNARY(name, ...)       {#name, MT_D_ALL, pointwise_op, true},
#define BINARY(name, ...)      {#name, MT_D_ALL, pointwise_op, true},
#define TERNARY(name, ...)     {#name, MT_D_ALL, pointwise_op, true},
#define CHOICE(name, nin, ...) {#name, MT_D_ALL, pointwise_op, true},
#include "ops/pointwise.def"

#include "kernels/vocabulary_off.h"
    {"_pointwise_backward", MT_D_FLOAT, backward_op, true},
    {"where", MT_D_ALL, where_op, true},
    {"masked_fill", MT_D_ALL, masked_fill_op, true},
};
MTC_FAMILY(pointwise, table);

} // namespace
