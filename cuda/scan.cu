// scan.cu: cumsum, cumprod, cummax, cummin along a dimension, and cumprod's gradient.
//
// A line is what lies along the dimension; it is cut into chunks of fixed size. Each chunk is
// folded, the folds of a line's chunks are scanned in order, then each chunk is scanned from
// what stands before it. Numbers are double or int64 on the way.
#include "kit.cuh"

namespace {

enum { SUM, PROD, MAX, MIN, CHUNK = 256 };

struct job {
  mtc_walk<3> lines; // in, out, index without the scanned dimension
  int64_t n, in_step, out_step, index_step, chunks;
  const char *in;
  char *out;
  int64_t *index;
  int in_dtype, out_dtype, kind;
};

template <typename C> struct state {
  C v;
  int64_t at; // from 1; 0: nothing yet
};

// As in PyTorch the last of equals is reported, and the last NaN.
template <typename C> static __device__ inline bool takes(int kind, C v, C best) {
  if (v != v) return true;
  return kind == MAX ? v >= best : v <= best;
}

template <typename C> static __device__ inline state<C> join(int kind, state<C> a, state<C> b) {
  if (b.at == 0) return a;
  if (a.at == 0) return b;
  if (kind == SUM) return {a.v + b.v, b.at};
  if (kind == PROD) return {a.v * b.v, b.at};
  return takes<C>(kind, b.v, a.v) ? b : a;
}

template <typename C> __global__ void fold_chunks(job j, state<C> *parts) {
  MTC_EACH(x, j.lines.numel * j.chunks) {
    int64_t off[3], first = x % j.chunks * CHUNK;
    int64_t last = first + CHUNK < j.n ? first + CHUNK : j.n;
    mtc_locate(j.lines, x / j.chunks, off);
    state<C> a = {0, 0};
    for (int64_t i = first; i < last; i++)
      a = join<C>(j.kind, a,
                  state<C>{mtc_load<C>(j.in, j.in_dtype, off[0] + i * j.in_step), i + 1});
    parts[x] = a;
  }
}

// Every chunk's fold becomes that of what stands before it.
template <typename C> __global__ void scan_chunks(job j, state<C> *parts) {
  MTC_EACH(line, j.lines.numel) {
    state<C> before = {0, 0}, *p = parts + line * j.chunks;
    for (int64_t i = 0; i < j.chunks; i++) {
      state<C> own = p[i];
      p[i] = before;
      before = join<C>(j.kind, before, own);
    }
  }
}

template <typename C> __global__ void finish_chunks(job j, const state<C> *parts) {
  MTC_EACH(x, j.lines.numel * j.chunks) {
    int64_t off[3], first = x % j.chunks * CHUNK;
    int64_t last = first + CHUNK < j.n ? first + CHUNK : j.n;
    mtc_locate(j.lines, x / j.chunks, off);
    state<C> a = {0, 0};
    if (parts) a = parts[x];
    for (int64_t i = first; i < last; i++) {
      a = join<C>(j.kind, a,
                  state<C>{mtc_load<C>(j.in, j.in_dtype, off[0] + i * j.in_step), i + 1});
      mtc_store<C>(j.out, j.out_dtype, off[1] + i * j.out_step, a.v);
      if (j.index) j.index[off[2] + i * j.index_step] = a.at;
    }
  }
}

template <typename C> int launch(const mt_frame *f, const job &j, int device, cudaStream_t s) {
  mtc_scratch scratch;
  int64_t all = j.lines.numel * j.chunks;
  state<C> *parts = NULL;
  if (j.chunks > 1) {
    MTC_TRY(scratch.take(device, all * (int64_t)sizeof(state<C>)));
    parts = (state<C> *)scratch.p;
    MTC_LAUNCH((fold_chunks<C>), mtc_grid(all), MTC_THREADS, s, j, parts);
    MTC_TRY(mtc_launched(f->op->name));
    MTC_LAUNCH((scan_chunks<C>), mtc_grid(j.lines.numel), MTC_THREADS, s, j, parts);
    MTC_TRY(mtc_launched(f->op->name));
  }
  MTC_LAUNCH((finish_chunks<C>), mtc_grid(all), MTC_THREADS, s, j, (const state<C> *)parts);
  return mtc_launched(f->op->name);
}

int run(mt_frame *f, int kind) {
  const mt_tensor *self = f->args[0].u.t, *out = f->out[0], *index = f->nout > 1 ? f->out[1] : NULL;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  int dim = (int)f->priv[0];
  job j;
  memset(&j, 0, sizeof j);
  j.n = 1;
  for (int d = 0; d < self->ndim; d++) {
    if (d == dim) {
      j.n = self->sizes[d], j.in_step = self->strides[d], j.out_step = out->strides[d];
      if (index) j.index_step = index->strides[d];
      continue;
    }
    int k = j.lines.ndim++;
    j.lines.size[k] = self->sizes[d];
    j.lines.stride[0][k] = self->strides[d];
    j.lines.stride[1][k] = out->strides[d];
    j.lines.stride[2][k] = index ? index->strides[d] : 0;
  }
  mtc_walk_finish(&j.lines, false);
  j.chunks = (j.n + CHUNK - 1) / CHUNK;
  j.in = mtc_ptr(self), j.in_dtype = self->dtype;
  j.out = mtc_ptr(out), j.out_dtype = out->dtype;
  if (index) j.index = (int64_t *)mtc_ptr(index);
  j.kind = kind;
  if (mt__is_float(index ? self->dtype : out->dtype)) return launch<double>(f, j, out->device, s);
  return launch<int64_t>(f, j, out->device, s);
}

int cumsum_op(mt_frame *f) {
  return run(f, SUM);
}
int cumprod_op(mt_frame *f) {
  return run(f, PROD);
}
int cummax_op(mt_frame *f) {
  return run(f, MAX);
}
int cummin_op(mt_frame *f) {
  return run(f, MIN);
}

// out[i] = (product before i) * after[i], after[i] = g[i] + x[i + 1] after[i + 1]; a thread a line.
struct back {
  mtc_walk<3> lines; // grad, self, out
  int64_t n, g_step, x_step, out_step;
  const char *g, *x;
  char *out;
  int g_dtype, x_dtype, out_dtype;
  double *before; // n a line
};

__global__ void cumprod_lines(back b) {
  MTC_EACH(line, b.lines.numel) {
    int64_t off[3];
    mtc_locate(b.lines, line, off);
    double before = 1, after = 0, next = 0, *keep = b.before + line * b.n;
    for (int64_t i = 0; i < b.n; i++) {
      keep[i] = before;
      before *= mtc_load<double>(b.x, b.x_dtype, off[1] + i * b.x_step);
    }
    for (int64_t i = b.n - 1; i >= 0; i--) {
      after = mtc_load<double>(b.g, b.g_dtype, off[0] + i * b.g_step) + next * after;
      next = mtc_load<double>(b.x, b.x_dtype, off[1] + i * b.x_step);
      mtc_store<double>(b.out, b.out_dtype, off[2] + i * b.out_step, keep[i] * after);
    }
  }
}

int cumprod_back_op(mt_frame *f) {
  const mt_tensor *g = f->args[0].u.t, *x = f->args[1].u.t, *out = f->out[0];
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  int dim = (int)f->priv[0];
  back b;
  memset(&b, 0, sizeof b);
  b.n = 1;
  for (int d = 0; d < x->ndim; d++) {
    if (d == dim) {
      b.n = x->sizes[d], b.g_step = g->strides[d], b.x_step = x->strides[d],
      b.out_step = out->strides[d];
      continue;
    }
    int k = b.lines.ndim++;
    b.lines.size[k] = x->sizes[d];
    b.lines.stride[0][k] = g->strides[d];
    b.lines.stride[1][k] = x->strides[d];
    b.lines.stride[2][k] = out->strides[d];
  }
  mtc_walk_finish(&b.lines, false);
  b.g = mtc_ptr(g), b.g_dtype = g->dtype;
  b.x = mtc_ptr(x), b.x_dtype = x->dtype;
  b.out = mtc_ptr(out), b.out_dtype = out->dtype;
  mtc_scratch scratch;
  MTC_TRY(scratch.take(out->device, out->numel * (int64_t)sizeof(double)));
  b.before = (double *)scratch.p;
  MTC_LAUNCH(cumprod_lines, mtc_grid(b.lines.numel), MTC_THREADS, s, b);
  return mtc_launched("_cumprod_backward");
}

const mtc_kernel table[] = {
    {"cumsum", MT_D_ALL, cumsum_op, true},
    {"cumprod", MT_D_ALL, cumprod_op, true},
    {"cummax", MT_D_ALL, cummax_op, true},
    {"cummin", MT_D_ALL, cummin_op, true},
    {"_cumprod_backward", MT_D_FLOAT, cumprod_back_op, true},
};
MTC_FAMILY(scans, table);

} // namespace
