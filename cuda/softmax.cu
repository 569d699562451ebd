// softmax.cu: softmax and log_softmax along a dimension, and their derivatives.
//
// A tensor is outer x n x inner, row-major; a line is n numbers `inner` apart. Numbers are float
// (double for float64), sums double.
#include "kit.cuh"

namespace {

struct lines {
  mtc_tile tile;
  int64_t count, n, inner;
  const char *in, *grad; // backward: in is the forward result
  char *out;
  int in_dtype, grad_dtype, out_dtype, log;
};

static __device__ inline int64_t base_of(const lines &j, int64_t line) {
  return j.inner == 1 ? line * j.n : line / j.inner * j.n * j.inner + line % j.inner;
}

static __device__ inline float ex(float x) {
  return expf(x);
}
static __device__ inline double ex(double x) {
  return exp(x);
}

template <typename C> __global__ void forward(lines j) {
  __shared__ double shared[MTC_THREADS];
  int64_t line = mtc_tile_line(j.tile), base = line < j.count ? base_of(j, line) : 0;
  int64_t n = line < j.count ? j.n : 0;
  int lane = mtc_tile_lane(j.tile), width = j.tile.width;
  double m = -INFINITY, sum = 0;
  for (int64_t i = lane; i < n; i += width) {
    double x = (double)mtc_load<C>(j.in, j.in_dtype, base + i * j.inner);
    m = x > m || x != x ? x : m;
  }
  m = mtc_join(j.tile, m, shared, mtc_greater());
  C top = (C)m;
  for (int64_t i = lane; i < n; i += width)
    sum += (double)ex(mtc_load<C>(j.in, j.in_dtype, base + i * j.inner) - top);
  sum = mtc_join(j.tile, sum, shared, mtc_plus());
  C by = (C)(j.log ? m + log(sum) : 1 / sum);
  for (int64_t i = lane; i < n; i += width) {
    int64_t at = base + i * j.inner;
    C x = mtc_load<C>(j.in, j.in_dtype, at);
    mtc_store<C>(j.out, j.out_dtype, at, j.log ? x - by : ex(x - top) * by);
  }
}

template <typename C> __global__ void backward(lines j) {
  __shared__ double shared[MTC_THREADS];
  int64_t line = mtc_tile_line(j.tile), base = line < j.count ? base_of(j, line) : 0;
  int64_t n = line < j.count ? j.n : 0;
  int lane = mtc_tile_lane(j.tile), width = j.tile.width;
  double sum = 0;
  for (int64_t i = lane; i < n; i += width) {
    int64_t at = base + i * j.inner;
    double g = (double)mtc_load<C>(j.grad, j.grad_dtype, at);
    sum += j.log ? g : g * (double)mtc_load<C>(j.in, j.in_dtype, at);
  }
  C by = (C)mtc_join(j.tile, sum, shared, mtc_plus());
  for (int64_t i = lane; i < n; i += width) {
    int64_t at = base + i * j.inner;
    C g = mtc_load<C>(j.grad, j.grad_dtype, at), y = mtc_load<C>(j.in, j.in_dtype, at);
    mtc_store<C>(j.out, j.out_dtype, at, j.log ? g - ex(y) * by : y * (g - by));
  }
}

int run(mt_frame *f, const mt_tensor *in, const mt_tensor *grad, bool log) {
  const mt_tensor *out = f->out[0];
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  lines j;
  memset(&j, 0, sizeof j);
  int dim = (int)f->priv[0];
  j.n = j.inner = j.count = 1;
  for (int d = 0; d < out->ndim; d++) {
    if (d == dim)
      j.n = out->sizes[d];
    else
      j.count *= out->sizes[d];
    if (d > dim) j.inner *= out->sizes[d];
  }
  j.in = mtc_ptr(in), j.in_dtype = in->dtype;
  if (grad) j.grad = mtc_ptr(grad), j.grad_dtype = grad->dtype;
  j.out = mtc_ptr(out), j.out_dtype = out->dtype;
  j.log = log;
  j.tile = mtc_tile_for(j.n, j.count, j.inner > 1);
  int64_t blocks = mtc_tile_blocks(j.tile, j.count);
  if (blocks > 0x7fffffff)
    return mtc_host->fail(MT_ERR_UNSUPPORTED, "%s: too many lines for one launch", f->op->name);
  if (out->dtype == MT_FLOAT64) {
    if (grad)
      MTC_LAUNCH((backward<double>), blocks, MTC_THREADS, s, j);
    else
      MTC_LAUNCH((forward<double>), blocks, MTC_THREADS, s, j);
  } else {
    if (grad)
      MTC_LAUNCH((backward<float>), blocks, MTC_THREADS, s, j);
    else
      MTC_LAUNCH((forward<float>), blocks, MTC_THREADS, s, j);
  }
  return mtc_launched(f->op->name);
}

int softmax_op(mt_frame *f) {
  return run(f, f->args[0].u.t, NULL, false);
}
int log_softmax_op(mt_frame *f) {
  return run(f, f->args[0].u.t, NULL, true);
}
int softmax_back_op(mt_frame *f) {
  return run(f, f->args[1].u.t, f->args[0].u.t, false);
}
int log_softmax_back_op(mt_frame *f) {
  return run(f, f->args[1].u.t, f->args[0].u.t, true);
}

const mtc_kernel table[] = {
    {"softmax", MT_D_FLOAT, softmax_op, true},
    {"log_softmax", MT_D_FLOAT, log_softmax_op, true},
    {"_softmax_backward", MT_D_FLOAT, softmax_back_op, true},
    {"_log_softmax_backward", MT_D_FLOAT, log_softmax_back_op, true},
};
MTC_FAMILY(softmaxes, table);

} // namespace
