// sort.cu: sorting pairs of a key and a position (bitonic networks), and sort, argsort, topk,
// kthvalue, median on top of it.
//
// Pairs are ordered by key, then by position, so no two are equal: the result is that of a stable
// sort and does not depend on how the network runs. An element's key is an unsigned number whose
// order is the wanted one (NaN is the greatest, -0 equals 0; turned over for descending).
#include "kit.cuh"

namespace {

enum { CHUNK = 2 * MTC_THREADS }; // pairs of a block

static __device__ inline bool after(const mtc_pair &a, const mtc_pair &b) {
  return a.key > b.key || (a.key == b.key && a.at > b.at);
}

// K. E. Batcher, "Sorting networks and their applications", 1968. The stages first..last (runs of
// that length become sorted, every other one downwards) whose steps stay within a chunk.
__global__ void sort_chunk(mtc_pair *pairs, int64_t total, int64_t n, int64_t first, int64_t last) {
  __shared__ mtc_pair p[CHUNK];
  int64_t base = (int64_t)blockIdx.x * CHUNK;
  int x = (int)threadIdx.x;
  for (int i = x; i < CHUNK; i += MTC_THREADS)
    if (base + i < total) p[i] = pairs[base + i];
  __syncthreads();
  for (int64_t k = first; k <= last; k *= 2)
    for (int j = (int)(k / 2 < MTC_THREADS ? k / 2 : MTC_THREADS); j > 0; j /= 2) {
      int i = 2 * x - (x & (j - 1));
      if (base + i + j < total) {
        bool up = (((base + i) & (n - 1)) & k) == 0;
        if (after(p[i], p[i + j]) == up) {
          mtc_pair t = p[i];
          p[i] = p[i + j];
          p[i + j] = t;
        }
      }
      __syncthreads();
    }
  for (int i = x; i < CHUNK; i += MTC_THREADS)
    if (base + i < total) pairs[base + i] = p[i];
}

// One step of a stage whose partners lie farther apart than a chunk.
__global__ void sort_step(mtc_pair *pairs, int64_t half, int64_t n, int64_t k, int64_t j) {
  MTC_EACH(x, half) {
    int64_t i = 2 * x - (x & (j - 1));
    bool up = ((i & (n - 1)) & k) == 0;
    mtc_pair a = pairs[i], b = pairs[i + j];
    if (after(a, b) == up) {
      pairs[i] = b;
      pairs[i + j] = a;
    }
  }
}

} // namespace

int mtc_sort_pairs(mtc_pair *pairs, int64_t lanes, int64_t n, cudaStream_t s) {
  int64_t total = lanes * n, blocks = (total + CHUNK - 1) / CHUNK;
  if (total < 2 || n < 2) return MT_OK;
  if (blocks > 0x7fffffff) return mtc_host->fail(MT_ERR_UNSUPPORTED, "sort: too many elements");
  int64_t within = n < CHUNK ? n : (int64_t)CHUNK;
  MTC_LAUNCH(sort_chunk, blocks, MTC_THREADS, s, pairs, total, n, (int64_t)2, within);
  MTC_TRY(mtc_launched("sort"));
  for (int64_t k = 2 * within; k <= n; k *= 2) {
    for (int64_t j = k / 2; j >= CHUNK; j /= 2) {
      MTC_LAUNCH(sort_step, mtc_grid(total / 2), MTC_THREADS, s, pairs, total / 2, n, k, j);
      MTC_TRY(mtc_launched("sort"));
    }
    MTC_LAUNCH(sort_chunk, blocks, MTC_THREADS, s, pairs, total, n, k, k);
    MTC_TRY(mtc_launched("sort"));
  }
  return MT_OK;
}

namespace {

enum { GOAL_SORT, GOAL_KTH, GOAL_MEDIAN };

struct job {
  const char *self;
  int dtype, esize, descending, goal;
  int64_t n, inner, first_lane, lanes; // length of a lane, distance of its elements; those at work
  int64_t padded, count, k;            // a power of two; results a lane; which one
  mtc_pair *pairs;
  char *values;
  int64_t *indices;
};

static __device__ inline uint64_t key_of(const char *p, int dtype, int64_t i) {
  if (dtype < MT_FLOAT16) return (uint64_t)mtc_load<int64_t>(p, dtype, i) ^ (uint64_t)1 << 63;
  double x = mtc_load<double>(p, dtype, i);
  if (x != x) return UINT64_MAX;
  if (x == 0) x = 0; // one key for both zeros
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  return u >> 63 ? ~u : u | (uint64_t)1 << 63;
}

__global__ void make_pairs(job j) {
  MTC_EACH(x, j.lanes * j.padded) {
    int64_t lane = x / j.padded + j.first_lane, i = x % j.padded;
    mtc_pair p = {UINT64_MAX, INT64_MAX}; // behind everything
    if (i < j.n) {
      int64_t base = lane / j.inner * j.n * j.inner + lane % j.inner;
      uint64_t key = key_of(j.self, j.dtype, base + i * j.inner);
      p.key = j.descending ? ~key : key;
      p.at = i;
    }
    j.pairs[x] = p;
  }
}

__global__ void take_results(job j) {
  MTC_EACH(x, j.lanes * j.count) {
    int64_t lane = x / j.count, place = x % j.count, from = j.goal == GOAL_SORT ? place : j.k;
    const mtc_pair *p = j.pairs + lane * j.padded;
    if (j.goal == GOAL_MEDIAN && j.dtype >= MT_FLOAT16 && p[j.n - 1].key == UINT64_MAX) {
      int64_t lo = 0, hi = j.n - 1; // the first NaN
      while (lo < hi) {
        int64_t mid = (lo + hi) / 2;
        if (p[mid].key == UINT64_MAX)
          hi = mid;
        else
          lo = mid + 1;
      }
      from = lo;
    }
    int64_t at = p[from].at, l = lane + j.first_lane, outer = l / j.inner, in = l % j.inner;
    int64_t to = (outer * j.count + place) * j.inner + in;
    if (j.values) mtc_move(j.values, to, j.self, (outer * j.n + at) * j.inner + in, j.esize);
    if (j.indices) j.indices[to] = at + 1;
  }
}

int run(mt_frame *f, int goal, bool descending, int64_t count, int64_t k, const mt_tensor *values,
        const mt_tensor *indices) {
  const mt_tensor *self = f->args[0].u.t;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, self->device));
  job j;
  memset(&j, 0, sizeof j);
  j.n = (int64_t)f->priv[0], j.inner = (int64_t)f->priv[1];
  int64_t lanes = (int64_t)f->priv[2];
  if (lanes == 0 || j.n == 0 || count == 0) return MT_OK;
  j.self = mtc_ptr(self), j.dtype = self->dtype, j.esize = mt__esize(self->dtype);
  j.descending = descending, j.goal = goal, j.count = count, j.k = k;
  if (values) j.values = mtc_ptr(values);
  if (indices) j.indices = (int64_t *)mtc_ptr(indices);
  for (j.padded = 1; j.padded < j.n;) j.padded *= 2;
  int64_t most = ((int64_t)1 << 25) / j.padded; // pairs at once
  if (most < 1) most = 1;
  if (most > lanes) most = lanes;
  mtc_scratch pairs;
  MTC_TRY(pairs.take(self->device, most * j.padded * (int64_t)sizeof(mtc_pair)));
  j.pairs = (mtc_pair *)pairs.p;
  for (j.first_lane = 0; j.first_lane < lanes; j.first_lane += most) {
    j.lanes = lanes - j.first_lane < most ? lanes - j.first_lane : most;
    MTC_LAUNCH(make_pairs, mtc_grid(j.lanes * j.padded), MTC_THREADS, s, j);
    MTC_TRY(mtc_launched(f->op->name));
    MTC_TRY(mtc_sort_pairs(j.pairs, j.lanes, j.padded, s));
    MTC_LAUNCH(take_results, mtc_grid(j.lanes * j.count), MTC_THREADS, s, j);
    MTC_TRY(mtc_launched(f->op->name));
  }
  return MT_OK;
}

int sort_op(mt_frame *f) {
  return run(f, GOAL_SORT, f->args[2].u.i != 0, (int64_t)f->priv[0], 0, f->out[0], f->out[1]);
}
int argsort_op(mt_frame *f) {
  return run(f, GOAL_SORT, f->args[2].u.i != 0, (int64_t)f->priv[0], 0, NULL, f->out[0]);
}
int topk_op(mt_frame *f) {
  return run(f, GOAL_SORT, f->args[3].u.i != 0, f->args[1].u.i, 0, f->out[0], f->out[1]);
}
int kthvalue_op(mt_frame *f) {
  return run(f, GOAL_KTH, false, 1, f->args[1].u.i - 1, f->out[0], f->out[1]);
}
int median_op(mt_frame *f) {
  return run(f, GOAL_MEDIAN, false, 1, ((int64_t)f->priv[0] - 1) / 2, f->out[0], f->out[1]);
}

const mtc_kernel table[] = {
    {"sort", MT_D_ALL, sort_op, true},
    {"argsort", MT_D_ALL, argsort_op, true},
    {"topk", MT_D_ALL, topk_op, true},
    {"kthvalue", MT_D_NUMBER, kthvalue_op, true},
    {"median.dim", MT_D_NUMBER, median_op, true},
};
MTC_FAMILY(sorting, table);

} // namespace
