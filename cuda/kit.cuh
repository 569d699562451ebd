// kit.cuh: what the kernels share: elements by dtype, walks over strided operands, and joining
// numbers within a block.
//
// Invariants
//  - Nothing depends on the machine: grids, segments and trees are cut by shape alone, so that a
//    result has the same bits on every run of one build.
//  - No warp-level instructions: a block's threads meet at __syncthreads only, so that the
//    kernels can be run on the host, thread by thread, to be tested (see cuda/emulate).
#pragma once

#include <cuda_fp16.h>
#include <math.h>
#include <string.h>

#include "plugin.h"

#ifndef MTC_LAUNCH
#define MTC_LAUNCH(kernel, blocks, threads, stream, ...)                                           \
  kernel<<<(unsigned)(blocks), (unsigned)(threads), 0, stream>>>(__VA_ARGS__)
#endif

#define MTC_NOINLINE __attribute__((noinline))

enum { MTC_THREADS = 256, MTC_MAX_BLOCKS = 1 << 20 };

// Blocks of a loop in strides of the whole grid.
static inline int64_t mtc_grid(int64_t n, int64_t per_block = MTC_THREADS) {
  int64_t b = (n + per_block - 1) / per_block;
  return b < 1 ? 1 : b > MTC_MAX_BLOCKS ? MTC_MAX_BLOCKS : b;
}

#define MTC_EACH(i, n)                                                                             \
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x,                                 \
               i##_step = (int64_t)gridDim.x * blockDim.x;                                         \
       i < (n); i += i##_step)

#define MTC_FN static __host__ __device__ inline

// ---- elements ----

MTC_FN float mtc_from_half(uint16_t h) {
  return __half2float(__ushort_as_half(h));
}
MTC_FN uint16_t mtc_to_half(float f) {
  return __half_as_ushort(__float2half_rn(f));
}
MTC_FN float mtc_from_bf16(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}
MTC_FN uint16_t mtc_to_bf16(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16, nan = u >> 16 | 0x0040u;
  return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

// One number of one computed type to another: floats to integers towards zero, saturating, NaN
// to 0; integers to narrower ones modulo 2^n (cast.h of the runtime).
MTC_FN int64_t mtc_saturate(double x, double lo, double hi) {
  if (x != x) return 0;
  return (int64_t)(x < lo ? lo : x > hi ? hi : x);
}
MTC_FN int64_t mtc_double_to_int64(double x) {
  if (x >= 9223372036854775808.0) return INT64_MAX;
  return mtc_saturate(x, -9223372036854775808.0, 9223372036854774784.0);
}
template <typename T> MTC_FN T mtc_as(int64_t v) {
  return (T)v;
}
template <typename T> MTC_FN T mtc_as(double v);
template <> __host__ __device__ inline uint8_t mtc_as<uint8_t>(double v) {
  return (uint8_t)mtc_saturate(v, 0, 255);
}
template <> __host__ __device__ inline int8_t mtc_as<int8_t>(double v) {
  return (int8_t)mtc_saturate(v, -128, 127);
}
template <> __host__ __device__ inline int16_t mtc_as<int16_t>(double v) {
  return (int16_t)mtc_saturate(v, -32768, 32767);
}
template <> __host__ __device__ inline int32_t mtc_as<int32_t>(double v) {
  return (int32_t)mtc_saturate(v, -2147483648.0, 2147483647.0);
}
template <> __host__ __device__ inline int64_t mtc_as<int64_t>(double v) {
  return mtc_double_to_int64(v);
}
template <> __host__ __device__ inline float mtc_as<float>(double v) {
  return (float)v;
}
template <> __host__ __device__ inline double mtc_as<double>(double v) {
  return v;
}
template <typename T> MTC_FN T mtc_as(float v) {
  return mtc_as<T>((double)v);
}

// Element i of memory of a dtype, in a computed type C: float, double or int64_t.
template <typename C>
static __host__ __device__ inline C mtc_load(const char *p, int dtype, int64_t i) {
  switch (dtype) {
  case MT_FLOAT32:
    return mtc_as<C>(((const float *)p)[i]);
  case MT_FLOAT16:
    return mtc_as<C>(mtc_from_half(((const uint16_t *)p)[i]));
  case MT_BFLOAT16:
    return mtc_as<C>(mtc_from_bf16(((const uint16_t *)p)[i]));
  case MT_FLOAT64:
    return mtc_as<C>(((const double *)p)[i]);
  case MT_INT64:
    return mtc_as<C>(((const int64_t *)p)[i]);
  case MT_INT32:
    return mtc_as<C>((int64_t)((const int32_t *)p)[i]);
  case MT_INT16:
    return mtc_as<C>((int64_t)((const int16_t *)p)[i]);
  case MT_INT8:
    return mtc_as<C>((int64_t)((const int8_t *)p)[i]);
  default:
    return mtc_as<C>((int64_t)((const uint8_t *)p)[i]);
  }
}

template <typename C>
static __host__ __device__ inline void mtc_store(char *p, int dtype, int64_t i, C v) {
  switch (dtype) {
  case MT_FLOAT32:
    ((float *)p)[i] = mtc_as<float>(v);
    break;
  case MT_FLOAT16:
    ((uint16_t *)p)[i] = mtc_to_half(mtc_as<float>(v));
    break;
  case MT_BFLOAT16:
    ((uint16_t *)p)[i] = mtc_to_bf16(mtc_as<float>(v));
    break;
  case MT_FLOAT64:
    ((double *)p)[i] = mtc_as<double>(v);
    break;
  case MT_INT64:
    ((int64_t *)p)[i] = mtc_as<int64_t>(v);
    break;
  case MT_INT32:
    ((int32_t *)p)[i] = mtc_as<int32_t>(v);
    break;
  case MT_INT16:
    ((int16_t *)p)[i] = mtc_as<int16_t>(v);
    break;
  case MT_INT8:
    ((int8_t *)p)[i] = mtc_as<int8_t>(v);
    break;
  case MT_UINT8:
    ((uint8_t *)p)[i] = mtc_as<uint8_t>(v);
    break;
  default:
    ((uint8_t *)p)[i] = v != 0;
    break;
  }
}

// The computed type of a dtype, as an index: 0 float, 1 double, 2 int64.
static inline int mtc_category(int dtype) {
  return dtype == MT_FLOAT64 ? 1 : mt__is_float(dtype) ? 0 : 2;
}

// A number argument as the element of a dtype, saturating; on the host.
static inline void mtc_store_arg(char *cell, int dtype, const mt_arg *a) {
  if (a->kind == MT_FLOAT) {
    mtc_store<double>(cell, dtype, 0, a->u.f);
    return;
  }
  int64_t v = a->u.i;
  switch (dtype) {
  case MT_UINT8:
    v = v < 0 ? 0 : v > 255 ? 255 : v;
    break;
  case MT_INT8:
    v = v < -128 ? -128 : v > 127 ? 127 : v;
    break;
  case MT_INT16:
    v = v < -32768 ? -32768 : v > 32767 ? 32767 : v;
    break;
  case MT_INT32:
    v = v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v;
    break;
  default:
    break;
  }
  mtc_store<int64_t>(cell, dtype, 0, v);
}

// Moves elements by their size.
MTC_FN void mtc_move(char *to, int64_t at, const char *from, int64_t i, int esize) {
  switch (esize) {
  case 1:
    ((uint8_t *)to)[at] = ((const uint8_t *)from)[i];
    break;
  case 2:
    ((uint16_t *)to)[at] = ((const uint16_t *)from)[i];
    break;
  case 4:
    ((uint32_t *)to)[at] = ((const uint32_t *)from)[i];
    break;
  default:
    ((uint64_t *)to)[at] = ((const uint64_t *)from)[i];
    break;
  }
}

// ---- walks: the index space of N operands, row-major, [ndim - 1] innermost ----

template <int N> struct mtc_walk {
  int ndim;
  int small; // all positions fit 32 bits
  int64_t numel;
  int64_t size[MT_MAX_DIMS];
  int64_t stride[N][MT_MAX_DIMS];
};

template <int N>
static __host__ __device__ inline void mtc_locate(const mtc_walk<N> &w, int64_t i, int64_t *off) {
  for (int k = 0; k < N; k++) off[k] = 0;
  if (w.small) {
    uint32_t rest = (uint32_t)i;
    for (int d = w.ndim - 1; d >= 0; d--) {
      uint32_t at = rest;
      if (d > 0) {
        uint32_t q = rest / (uint32_t)w.size[d];
        at = rest - q * (uint32_t)w.size[d];
        rest = q;
      }
      for (int k = 0; k < N; k++) off[k] += (int64_t)at * w.stride[k][d];
    }
    return;
  }
  for (int d = w.ndim - 1; d >= 0; d--) {
    int64_t q = i / w.size[d], at = i - q * w.size[d];
    i = q;
    for (int k = 0; k < N; k++) off[k] += at * w.stride[k][d];
  }
}

template <int N> static inline void mtc_walk_begin(mtc_walk<N> *w, int ndim, const int64_t *sizes) {
  memset(w, 0, sizeof *w);
  w->ndim = ndim;
  for (int d = 0; d < ndim; d++) w->size[d] = sizes[d];
}

// Operand k is a tensor that broadcasts to the walk's sizes.
template <int N> static inline void mtc_walk_tensor(mtc_walk<N> *w, int k, const mt_tensor *t) {
  for (int d = 0; d < w->ndim; d++) {
    int own = d - (w->ndim - t->ndim);
    w->stride[k][d] = own < 0 || t->sizes[own] == 1 ? 0 : t->strides[own];
  }
}

// Drops dimensions of size 1 and joins neighbours that are one in every operand. sorted: where
// the order of elements does not matter, dimensions go by operand 0's strides first.
template <int N> static inline void mtc_walk_finish(mtc_walk<N> *w, bool sorted) {
  int n = 0;
  w->numel = 1;
  for (int d = 0; d < w->ndim; d++) w->numel *= w->size[d];
  for (int d = 0; d < w->ndim; d++) {
    if (w->size[d] == 1) continue;
    w->size[n] = w->size[d];
    for (int k = 0; k < N; k++) w->stride[k][n] = w->stride[k][d];
    n++;
  }
  for (int i = 1; sorted && i < n; i++)
    for (int j = i; j > 0 && w->stride[0][j - 1] < w->stride[0][j]; j--) {
      int64_t t = w->size[j];
      w->size[j] = w->size[j - 1], w->size[j - 1] = t;
      for (int k = 0; k < N; k++)
        t = w->stride[k][j], w->stride[k][j] = w->stride[k][j - 1], w->stride[k][j - 1] = t;
    }
  int m = 0;
  for (int d = 0; d < n; d++) {
    bool joins = m > 0;
    for (int k = 0; k < N && joins; k++)
      joins = w->stride[k][m - 1] == w->stride[k][d] * w->size[d];
    int to = joins ? m - 1 : m++;
    w->size[to] = joins ? w->size[to] * w->size[d] : w->size[d];
    for (int k = 0; k < N; k++) w->stride[k][to] = w->stride[k][d];
  }
  if (m == 0) {
    w->size[0] = 1;
    for (int k = 0; k < N; k++) w->stride[k][0] = 0;
    m = 1;
  }
  w->ndim = m;
  w->small = w->numel <= 0x7fffffff;
}

template <int N> static inline bool mtc_walk_is_run(const mtc_walk<N> *w) {
  if (w->numel == 1) return true;
  if (w->ndim != 1) return false;
  for (int k = 0; k < N; k++)
    if (w->stride[k][0] != 1) return false;
  return true;
}

// ---- lines: a block works on some lines of n numbers, `width` threads on each ----

// Threads of a line are neighbours (rows) or as far apart as there are lines (columns: the
// lines are what is dense in memory).
struct mtc_tile {
  int width, lines; // powers of two; width * lines == MTC_THREADS
  int across;       // columns
};

static inline mtc_tile mtc_tile_for(int64_t n, int64_t lines, bool across) {
  mtc_tile t = {1, MTC_THREADS, across};
  if (across) { // a warp's width of columns at least, more threads a line when there are few lines
    while (t.width < 8 && t.lines > 32 && n > 4 * t.width && lines < 65536)
      t.width *= 2, t.lines /= 2;
    while (t.width < MTC_THREADS && t.width < n && t.lines / 2 >= lines) t.width *= 2, t.lines /= 2;
  } else {
    while (t.width < MTC_THREADS && t.width < n) t.width *= 2, t.lines /= 2;
  }
  return t;
}

static inline int64_t mtc_tile_blocks(const mtc_tile &t, int64_t lines) {
  return (lines + t.lines - 1) / t.lines;
}

static __device__ inline int64_t mtc_tile_line(const mtc_tile &t) {
  int x = (int)threadIdx.x;
  return (int64_t)blockIdx.x * t.lines + (t.across ? x % t.lines : x / t.width);
}
static __device__ inline int mtc_tile_lane(const mtc_tile &t) {
  int x = (int)threadIdx.x;
  return t.across ? x / t.lines : x % t.width;
}

// Joins one value a thread over the threads of each line, by halves; all of them get the result.
// Every thread of the block calls it. `shared` holds MTC_THREADS values.
template <typename A, typename J>
static __device__ inline A mtc_join(const mtc_tile &t, A v, A *shared, J join) {
  int x = (int)threadIdx.x, lane = mtc_tile_lane(t), step = t.across ? t.lines : 1;
  shared[x] = v;
  __syncthreads();
  for (int w = t.width / 2; w > 0; w /= 2) {
    if (lane < w) shared[x] = join(shared[x], shared[x + w * step]);
    __syncthreads();
  }
  A r = shared[x - lane * step];
  __syncthreads();
  return r;
}

struct mtc_plus {
  __device__ double operator()(double a, double b) const { return a + b; }
};
struct mtc_greater {
  __device__ double operator()(double a, double b) const { return a > b || a != a ? a : b; }
};

// ---- scratch of a call, freed in the stream's order ----

struct mtc_scratch {
  char *p = NULL;
  int device = 0;
  int64_t bytes = 0;
  int take(int on, int64_t size) {
    device = on;
    bytes = size;
    return size ? mtc_alloc(&p, on, size) : (int)MT_OK;
  }
  ~mtc_scratch() {
    if (p) mtc_free(p, device, bytes);
  }
};

// ---- what one family offers to the others ----

// dst = src with a cast; any strides, both on the same device. (copy.cu)
int mtc_copy_tensor(const mt_tensor *dst, const mt_tensor *src);
// One number everywhere: as an element's bytes, or as an argument. (copy.cu)
int mtc_fill_cell(const mt_tensor *t, const char *cell);
int mtc_fill_arg(const mt_tensor *t, const mt_arg *number);
// Pairs sorted by key, then by at: `lanes` lanes of n pairs, n a power of two. (sort.cu)
struct mtc_pair {
  uint64_t key;
  int64_t at;
};
int mtc_sort_pairs(mtc_pair *pairs, int64_t lanes, int64_t n, cudaStream_t stream);

// Matrices of a product; strides in elements, `batch` from one matrix to the next (0: the same).
struct mtc_matrix {
  char *p;
  int dtype;
  int64_t row, col, batch;
};
// c (m x n) = alpha a (m x k) b (k x n) + beta c for each of `batch`; beta 0 never reads c. Floating
// point products are cuBLAS' where the matrices lie well, others a kernel of our own. (matmul.cu)
int mtc_product(int device, int64_t m, int64_t n, int64_t k, int64_t batch, const mtc_matrix &a,
                const mtc_matrix &b, const mtc_matrix &c, const mt_arg &alpha, const mt_arg &beta);
static inline mt_arg mtc_number(int64_t i) {
  mt_arg a;
  memset(&a, 0, sizeof a);
  a.kind = MT_INT;
  a.u.i = i;
  return a;
}
// A row-major tensor in scratch memory with t's sizes and, unless dtype says otherwise, dtype.
struct mtc_plain {
  mt_tensor t;
  mt_storage storage;
  mtc_scratch scratch;
  int make(const mt_tensor *like, int dtype) {
    int64_t step = 1;
    memset(&t, 0, sizeof t);
    memset(&storage, 0, sizeof storage);
    t.dtype = (uint8_t)dtype;
    t.ndim = like->ndim;
    t.device = like->device;
    t.numel = like->numel;
    t.flags = MT_T_CONTIGUOUS;
    t.storage = &storage;
    for (int d = like->ndim - 1; d >= 0; d--) {
      t.sizes[d] = like->sizes[d];
      t.strides[d] = step;
      step *= like->sizes[d] > 1 ? like->sizes[d] : 1;
    }
    MTC_TRY(scratch.take(like->device, like->numel * mt__esize(dtype)));
    storage.data = scratch.p;
    return MT_OK;
  }
  int copy(const mt_tensor *of) {
    MTC_TRY(make(of, of->dtype));
    return mtc_copy_tensor(&t, of);
  }
};
