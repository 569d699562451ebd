// pool.cu: maxima and means over windows of planes, and their gradients: one thread an element of the
// result; a gradient gathers from the windows that hold it, in order, so sums have one order.
#include "kernels/pool.h"
#include "kit.cuh"

namespace {

struct job {
  mt_pool p;
  int64_t planes;
  const char *x, *taps;
  char *y, *where;
  int dtype, taps_dtype;
};

static __device__ inline bool better(double v, double best) {
  return v > best || (v != v && best == best);
}
static __device__ inline bool better(float v, float best) {
  return v > best || (v != v && best == best);
}
static __device__ inline bool better(int64_t v, int64_t best) {
  return v > best;
}

// NaN wins; of equals the first.
template <typename C> __global__ void maxima(job j) {
  const mt_pool &p = j.p;
  MTC_EACH(i, j.planes * p.out[0] * p.out[1]) {
    int64_t ox = i % p.out[1], oy = i / p.out[1] % p.out[0], plane = i / p.out[1] / p.out[0];
    int64_t tap = -1;
    C best = 0;
    for (int64_t ky = 0; ky < p.k[0]; ky++) {
      int64_t y = oy * p.s[0] - p.p[0] + ky * p.d[0];
      if (y < 0 || y >= p.in[0]) continue;
      for (int64_t kx = 0; kx < p.k[1]; kx++) {
        int64_t x = ox * p.s[1] - p.p[1] + kx * p.d[1];
        if (x < 0 || x >= p.in[1]) continue;
        C v = mtc_load<C>(j.x, j.dtype, (plane * p.in[0] + y) * p.in[1] + x);
        if (tap < 0 || better(v, best)) {
          best = v;
          tap = ky * p.k[1] + kx;
        }
      }
    }
    mtc_store<C>(j.y, j.dtype, i, best);
    if (j.where) mtc_store<int64_t>(j.where, j.taps_dtype, i, tap < 0 ? 0 : tap);
  }
}

// The outputs whose window may hold input place `at` of dimension i: lo to hi - 1.
static __device__ inline void windows(const mt_pool &p, int i, int64_t at, int64_t *lo,
                                      int64_t *hi) {
  int64_t reach = (p.k[i] - 1) * p.d[i], first = at + p.p[i] - reach;
  *lo = first > 0 ? (first + p.s[i] - 1) / p.s[i] : 0;
  *hi = (at + p.p[i]) / p.s[i] + 1;
  if (*hi > p.out[i]) *hi = p.out[i];
}

template <typename C> __global__ void spread(job j) {
  const mt_pool &p = j.p;
  MTC_EACH(i, j.planes * p.in[0] * p.in[1]) {
    int64_t x = i % p.in[1], y = i / p.in[1] % p.in[0], plane = i / p.in[1] / p.in[0];
    int64_t y0, y1, x0, x1;
    C sum = 0;
    windows(p, 0, y, &y0, &y1);
    windows(p, 1, x, &x0, &x1);
    for (int64_t oy = y0; oy < y1; oy++)
      for (int64_t ox = x0; ox < x1; ox++) {
        int64_t o = (plane * p.out[0] + oy) * p.out[1] + ox,
                tap = mtc_load<int64_t>(j.taps, j.taps_dtype, o);
        if (oy * p.s[0] - p.p[0] + tap / p.k[1] * p.d[0] != y) continue;
        if (ox * p.s[1] - p.p[1] + tap % p.k[1] * p.d[1] != x) continue;
        sum += mtc_load<C>(j.x, j.dtype, o);
      }
    mtc_store<C>(j.y, j.dtype, i, sum);
  }
}

// Where output o's tap lies in its plane, from 0.
static __device__ inline int64_t place(const job &j, int64_t o) {
  const mt_pool &p = j.p;
  int64_t tap = mtc_load<int64_t>(j.taps, j.taps_dtype, o), oy = o / p.out[1] % p.out[0],
          ox = o % p.out[1];
  return (oy * p.s[0] - p.p[0] + tap / p.k[1] * p.d[0]) * p.in[1] + ox * p.s[1] - p.p[1] +
         tap % p.k[1] * p.d[1];
}

template <typename C> __global__ void pick(job j) {
  const mt_pool &p = j.p;
  MTC_EACH(o, j.planes * p.out[0] * p.out[1]) {
    int64_t plane = o / p.out[1] / p.out[0];
    mtc_store<C>(j.y, j.dtype, o,
                 mtc_load<C>(j.x, j.dtype, plane * p.in[0] * p.in[1] + place(j, o)));
  }
}

__global__ void positions(job j) {
  MTC_EACH(o, j.planes * j.p.out[0] * j.p.out[1])((int64_t *)j.y)[o] = place(j, o) + 1;
}

// How many elements the mean at output o divides by, along dimension i.
static __device__ inline int64_t count(const mt_pool &p, int i, int64_t o) {
  int64_t from = o * p.s[i] - p.p[i], to = from + p.k[i];
  if (to > p.in[i] + p.p[i]) to = p.in[i] + p.p[i];
  if (p.count_padding) return to - from;
  if (from < 0) from = 0;
  if (to > p.in[i]) to = p.in[i];
  return to > from ? to - from : 0;
}

template <typename C> static __device__ inline C divisor(const mt_pool &p, int64_t oy, int64_t ox) {
  return (C)(p.divisor ? p.divisor : count(p, 0, oy) * count(p, 1, ox));
}

template <typename C> __global__ void means(job j) {
  const mt_pool &p = j.p;
  MTC_EACH(i, j.planes * p.out[0] * p.out[1]) {
    int64_t ox = i % p.out[1], oy = i / p.out[1] % p.out[0], plane = i / p.out[1] / p.out[0];
    C sum = 0;
    for (int64_t ky = 0; ky < p.k[0]; ky++) {
      int64_t y = oy * p.s[0] - p.p[0] + ky;
      if (y < 0 || y >= p.in[0]) continue;
      for (int64_t kx = 0; kx < p.k[1]; kx++) {
        int64_t x = ox * p.s[1] - p.p[1] + kx;
        if (x >= 0 && x < p.in[1])
          sum += mtc_load<C>(j.x, j.dtype, (plane * p.in[0] + y) * p.in[1] + x);
      }
    }
    mtc_store<C>(j.y, j.dtype, i, sum / divisor<C>(p, oy, ox));
  }
}

template <typename C> __global__ void means_back(job j) {
  const mt_pool &p = j.p;
  MTC_EACH(i, j.planes * p.in[0] * p.in[1]) {
    int64_t x = i % p.in[1], y = i / p.in[1] % p.in[0], plane = i / p.in[1] / p.in[0];
    int64_t y0, y1, x0, x1;
    C sum = 0;
    windows(p, 0, y, &y0, &y1);
    windows(p, 1, x, &x0, &x1);
    for (int64_t oy = y0; oy < y1; oy++)
      for (int64_t ox = x0; ox < x1; ox++)
        sum += mtc_load<C>(j.x, j.dtype, (plane * p.out[0] + oy) * p.out[1] + ox) /
               divisor<C>(p, oy, ox);
    mtc_store<C>(j.y, j.dtype, i, sum);
  }
}

// ---- arguments: kernel, stride, padding, dilation (-1: none) stand at `at` on ----

void window(job *j, const mt_frame *f, int kernel, int stride, int padding, int dilation) {
  const mt_arg *s = &f->args[stride];
  for (int i = 0; i < 2; i++) {
    j->p.k[i] = f->args[kernel].u.is[i];
    j->p.s[i] = s->kind == MT_NONE || s->n <= 0 ? j->p.k[i] : s->u.is[i];
    j->p.p[i] = f->args[padding].u.is[i];
    j->p.d[i] = dilation < 0 ? 1 : f->args[dilation].u.is[i];
  }
}

// in: the tensor with the input's planes or NULL, and then their size; out: that of the windows
int planes(job *j, const mt_frame *f, const mt_tensor *in, const int64_t *size,
           const mt_tensor *out, cudaStream_t *s) {
  MTC_TRY(mtc_enter(s, f->out[0]->device));
  memset(j, 0, sizeof *j);
  for (int i = 0; i < 2; i++) {
    j->p.in[i] = in ? in->sizes[in->ndim - 2 + i] : size[i];
    j->p.out[i] = out->sizes[out->ndim - 2 + i];
  }
  int64_t own = j->p.out[0] * j->p.out[1];
  j->planes = own ? out->numel / own : 0;
  j->x = mtc_ptr(f->args[0].u.t), j->dtype = f->args[0].u.t->dtype;
  j->y = mtc_ptr(f->out[0]);
  return MT_OK;
}

#define LAUNCH(kernel, n)                                                                          \
  do {                                                                                             \
    int category = mtc_category(j.dtype);                                                          \
    if (category == 0)                                                                             \
      MTC_LAUNCH((kernel<float>), mtc_grid(n), MTC_THREADS, s, j);                                 \
    else if (category == 1)                                                                        \
      MTC_LAUNCH((kernel<double>), mtc_grid(n), MTC_THREADS, s, j);                                \
    else                                                                                           \
      MTC_LAUNCH((kernel<int64_t>), mtc_grid(n), MTC_THREADS, s, j);                               \
    return mtc_launched(f->op->name);                                                              \
  } while (0)

int max_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  if (f->out[0]->numel == 0) return MT_OK;
  MTC_TRY(planes(&j, f, f->args[0].u.t, NULL, f->out[0], &s));
  window(&j, f, 1, 2, 3, 4);
  if (f->nout > 1) j.where = mtc_ptr(f->out[1]), j.taps_dtype = f->out[1]->dtype;
  LAUNCH(maxima, f->out[0]->numel);
}

// (values, taps, size, kernel, stride, padding, dilation)
int take_taps(job *j, const mt_frame *f, const mt_tensor *taps, int at, cudaStream_t *s) {
  MTC_TRY(planes(j, f, NULL, f->args[at].u.is, taps, s));
  window(j, f, at + 1, at + 2, at + 3, at + 4);
  j->taps = mtc_ptr(taps), j->taps_dtype = taps->dtype;
  return MT_OK;
}

int spread_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  if (f->out[0]->numel == 0) return MT_OK;
  MTC_TRY(take_taps(&j, f, f->args[1].u.t, 2, &s));
  LAUNCH(spread, f->out[0]->numel);
}

int pick_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  if (f->out[0]->numel == 0) return MT_OK;
  MTC_TRY(take_taps(&j, f, f->args[1].u.t, 2, &s));
  LAUNCH(pick, f->out[0]->numel);
}

int positions_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  if (f->out[0]->numel == 0) return MT_OK;
  MTC_TRY(take_taps(&j, f, f->args[0].u.t, 1, &s));
  MTC_LAUNCH(positions, mtc_grid(f->out[0]->numel), MTC_THREADS, s, j);
  return mtc_launched(f->op->name);
}

// (input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
int mean_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  if (f->out[0]->numel == 0) return MT_OK;
  MTC_TRY(planes(&j, f, f->args[0].u.t, NULL, f->out[0], &s));
  window(&j, f, 1, 2, 3, -1);
  j.p.count_padding = f->args[5].u.i != 0;
  if (f->args[6].kind != MT_NONE) j.p.divisor = mt__int(&f->args[6]);
  LAUNCH(means, f->out[0]->numel);
}

// (grad, size, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
int mean_grad_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  if (f->out[0]->numel == 0) return MT_OK;
  MTC_TRY(planes(&j, f, NULL, f->args[1].u.is, f->args[0].u.t, &s));
  window(&j, f, 2, 3, 4, -1);
  j.p.count_padding = f->args[6].u.i != 0;
  if (f->args[7].kind != MT_NONE) j.p.divisor = mt__int(&f->args[7]);
  LAUNCH(means_back, f->out[0]->numel);
}

const mtc_kernel table[] = {
    {"_max_pool2d_plain", MT_D_NUMBER, max_op, true},
    {"_max_pool2d_taps", MT_D_NUMBER, max_op, true},
    {"_max_pool2d_spread", MT_D_FLOAT, spread_op, true},
    {"_max_pool2d_pick", MT_D_FLOAT, pick_op, true},
    {"_max_pool2d_positions", MT_D_ALL, positions_op, true},
    {"avg_pool2d", MT_D_FLOAT, mean_op, true},
    {"_avg_pool2d_grad", MT_D_FLOAT, mean_grad_op, true},
};
MTC_FAMILY(pooling, table);

} // namespace
