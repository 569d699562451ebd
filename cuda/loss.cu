// loss.cu: the losses that compare input and target element by element (mse, l1, smooth_l1, huber,
// binary cross entropy), fused forward and backward; formulas as in kernels/loss.c. The sum goes
// through blocks of fixed size, joined in order.
#include "kernels/loss.h"
#include "kit.cuh"

namespace {

enum { NONE, MEAN, SUM, BLOCK = 4096 };

struct job {
  int kind, reduction;
  int64_t n;
  double param;
  const char *x, *t, *g;
  int x_dtype, t_dtype, g_dtype, out_dtype;
  char *out;
  double *parts;
};

static __device__ inline float f_abs(float u) {
  return fabsf(u);
}
static __device__ inline double f_abs(double u) {
  return fabs(u);
}
static __device__ inline float f_log(float u) {
  return logf(u);
}
static __device__ inline double f_log(double u) {
  return log(u);
}
static __device__ inline float f_log1p(float u) {
  return log1pf(u);
}
static __device__ inline double f_log1p(double u) {
  return log1p(u);
}
static __device__ inline float f_exp(float u) {
  return expf(u);
}
static __device__ inline double f_exp(double u) {
  return exp(u);
}

template <typename T> static __device__ inline T at_least(T v, T c) {
  return v < c ? c : v;
}

template <typename T> static __device__ T value(int kind, T x, T t, T p) {
  T d = x - t, a = f_abs(d);
  switch (kind) {
  case MT_LOSS_MSE:
    return d * d;
  case MT_LOSS_L1:
    return a;
  case MT_LOSS_SMOOTH_L1:
    return a < p ? (T)0.5 * d * d / p : a - (T)0.5 * p;
  case MT_LOSS_HUBER:
    return a <= p ? (T)0.5 * d * d : p * (a - (T)0.5 * p);
  case MT_LOSS_BCE:
    return (t - 1) * at_least(f_log1p(-x), (T)-100) - t * at_least(f_log(x), (T)-100);
  default:
    return (x > 0 ? x : 0) - x * t + f_log1p(f_exp(-f_abs(x)));
  }
}

template <typename T> static __device__ T slope(int kind, T x, T t, T p) {
  T d = x - t, sign = (T)((d > 0) - (d < 0));
  switch (kind) {
  case MT_LOSS_MSE:
    return d + d;
  case MT_LOSS_L1:
    return sign;
  case MT_LOSS_SMOOTH_L1:
    return f_abs(d) < p ? d / p : sign;
  case MT_LOSS_HUBER:
    return d < -p ? -p : d > p ? p : d;
  case MT_LOSS_BCE:
    return d / at_least((1 - x) * x, (T)1e-12);
  default: {
    T z = f_exp(-f_abs(x));
    return (x < 0 ? z : (T)1) / ((T)1 + z) - t;
  }
  }
}

template <typename T> __global__ void each(job j) {
  MTC_EACH(i, j.n)
  mtc_store<T>(
      j.out, j.out_dtype, i,
      value<T>(j.kind, mtc_load<T>(j.x, j.x_dtype, i), mtc_load<T>(j.t, j.t_dtype, i), (T)j.param));
}

template <typename T> __global__ void sum_blocks(job j) {
  __shared__ double shared[MTC_THREADS];
  mtc_tile all = {MTC_THREADS, 1, 0};
  int64_t first = (int64_t)blockIdx.x * BLOCK, last = first + BLOCK < j.n ? first + BLOCK : j.n;
  double sum = 0;
  for (int64_t i = first + threadIdx.x; i < last; i += MTC_THREADS)
    sum += (double)value<T>(j.kind, mtc_load<T>(j.x, j.x_dtype, i), mtc_load<T>(j.t, j.t_dtype, i),
                            (T)j.param);
  sum = mtc_join(all, sum, shared, mtc_plus());
  if (threadIdx.x == 0) j.parts[blockIdx.x] = sum;
}

__global__ void add_parts(job j, int64_t parts) {
  __shared__ double shared[MTC_THREADS];
  mtc_tile all = {MTC_THREADS, 1, 0};
  double sum = 0;
  for (int64_t i = threadIdx.x; i < parts; i += MTC_THREADS) sum += j.parts[i];
  sum = mtc_join(all, sum, shared, mtc_plus());
  if (threadIdx.x == 0)
    mtc_store<double>(j.out, j.out_dtype, 0, j.reduction == MEAN ? sum / (double)j.n : sum);
}

template <typename T> __global__ void backward(job j) {
  double whole = j.reduction == NONE ? 0 : mtc_load<double>(j.g, j.g_dtype, 0);
  if (j.reduction == MEAN) whole /= (double)j.n;
  T k = (T)whole;
  MTC_EACH(i, j.n) {
    T g = j.reduction == NONE ? mtc_load<T>(j.g, j.g_dtype, i) : k;
    T s = slope<T>(j.kind, mtc_load<T>(j.x, j.x_dtype, i), mtc_load<T>(j.t, j.t_dtype, i),
                   (T)j.param);
    mtc_store<T>(j.out, j.out_dtype, i, s * g);
  }
}

int fill(job *j, const mt_frame *f, const mt_tensor *x, const mt_tensor *t, int kind, int reduction,
         double param, cudaStream_t *s) {
  MTC_TRY(mtc_enter(s, x->device));
  memset(j, 0, sizeof *j);
  j->kind = kind;
  j->reduction = reduction;
  j->param = param;
  j->n = x->numel;
  j->x = mtc_ptr(x), j->x_dtype = x->dtype;
  j->t = mtc_ptr(t), j->t_dtype = t->dtype;
  j->out = mtc_ptr(f->out[0]), j->out_dtype = f->out[0]->dtype;
  return MT_OK;
}

bool wide(const job &j) {
  return j.x_dtype == MT_FLOAT64 || j.t_dtype == MT_FLOAT64;
}

// (input, target, reduction, parameter)
int forward_op(mt_frame *f) {
  int kind = *(const uint8_t *)f->op->def.extra;
  job j;
  cudaStream_t s;
  MTC_TRY(fill(&j, f, f->args[0].u.t, f->args[1].u.t, kind, (int)f->args[2].u.i,
               f->op->nparams > 3 ? mt__num(&f->args[3]) : 0, &s));
  if (j.reduction == NONE) {
    if (j.n == 0) return MT_OK;
    if (wide(j))
      MTC_LAUNCH((each<double>), mtc_grid(j.n), MTC_THREADS, s, j);
    else
      MTC_LAUNCH((each<float>), mtc_grid(j.n), MTC_THREADS, s, j);
    return mtc_launched(f->op->name);
  }
  mtc_scratch parts;
  int64_t blocks = (j.n + BLOCK - 1) / BLOCK;
  MTC_TRY(parts.take(f->args[0].u.t->device, (blocks + 1) * (int64_t)sizeof(double)));
  j.parts = (double *)parts.p;
  if (blocks) {
    if (wide(j))
      MTC_LAUNCH((sum_blocks<double>), blocks, MTC_THREADS, s, j);
    else
      MTC_LAUNCH((sum_blocks<float>), blocks, MTC_THREADS, s, j);
    MTC_TRY(mtc_launched(f->op->name));
  }
  MTC_LAUNCH(add_parts, 1, MTC_THREADS, s, j, blocks);
  return mtc_launched(f->op->name);
}

// (grad, input, target, kind, reduction, parameter)
int backward_op(mt_frame *f) {
  const mt_tensor *g = f->args[0].u.t;
  job j;
  cudaStream_t s;
  MTC_TRY(fill(&j, f, f->args[1].u.t, f->args[2].u.t, (int)f->args[3].u.i, (int)f->args[4].u.i,
               mt__num(&f->args[5]), &s));
  j.g = mtc_ptr(g), j.g_dtype = g->dtype;
  if (j.n == 0) return MT_OK;
  if (wide(j))
    MTC_LAUNCH((backward<double>), mtc_grid(j.n), MTC_THREADS, s, j);
  else
    MTC_LAUNCH((backward<float>), mtc_grid(j.n), MTC_THREADS, s, j);
  return mtc_launched(f->op->name);
}

const mtc_kernel table[] = {
    {"mse_loss", MT_D_FLOAT, forward_op, true},
    {"l1_loss", MT_D_FLOAT, forward_op, true},
    {"smooth_l1_loss", MT_D_FLOAT, forward_op, true},
    {"huber_loss", MT_D_FLOAT, forward_op, true},
    {"_bce", MT_D_FLOAT, forward_op, true},
    {"_bce_logits", MT_D_FLOAT, forward_op, true},
    {"_loss_backward", MT_D_FLOAT, backward_op, true},
};
MTC_FAMILY(losses, table);

} // namespace
