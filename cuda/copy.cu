// copy.cu: copies with casts between any layouts, and filling with one number.
//
// One dtype is moved by element size; casts go through the source's computed type (float, double
// or int64), exactly as on the CPU. Between a device and the host what is not one run of one
// dtype goes through a contiguous copy on the device.
#include "kit.cuh"

namespace {

template <typename T> __global__ void move_run(T *to, const T *from, int64_t n) {
  MTC_EACH(i, n) to[i] = from[i];
}

template <typename T> __global__ void move_walk(mtc_walk<2> w, T *to, const T *from) {
  MTC_EACH(i, w.numel) {
    int64_t off[2];
    mtc_locate(w, i, off);
    to[off[0]] = from[off[1]];
  }
}

// A transpose: rows of `to` (stride 1 along columns) from columns of `from` (stride 1 along
// rows), in tiles through shared memory, so that both sides move whole segments.
enum { SIDE = 32 };

template <typename T>
__global__ void move_transposed(T *to, const T *from, int64_t rows, int64_t cols, int64_t to_row,
                                int64_t from_col, int64_t tiles_across) {
  __shared__ T tile[SIDE][SIDE + 1];
  int64_t row = blockIdx.x / tiles_across * SIDE, col = blockIdx.x % tiles_across * SIDE;
  int x = (int)threadIdx.x % SIDE, y = (int)threadIdx.x / SIDE;
  for (int k = y; k < SIDE; k += MTC_THREADS / SIDE)
    if (col + k < cols && row + x < rows) tile[k][x] = from[(col + k) * from_col + row + x];
  __syncthreads();
  for (int k = y; k < SIDE; k += MTC_THREADS / SIDE)
    if (row + k < rows && col + x < cols) to[(row + k) * to_row + col + x] = tile[x][k];
}

template <typename C>
__global__ void cast_walk(mtc_walk<2> w, char *to, int to_dtype, const char *from, int from_dtype) {
  MTC_EACH(i, w.numel) {
    int64_t off[2];
    mtc_locate(w, i, off);
    mtc_store<C>(to, to_dtype, off[0], mtc_load<C>(from, from_dtype, off[1]));
  }
}

template <typename C>
__global__ void cast_run(int64_t n, char *to, int to_dtype, const char *from, int from_dtype) {
  MTC_EACH(i, n) mtc_store<C>(to, to_dtype, i, mtc_load<C>(from, from_dtype, i));
}

template <typename T>
int move_as(const mtc_walk<2> &w, char *to, const char *from, cudaStream_t s) {
  if (w.ndim == 2 && w.stride[0][1] == 1 && w.stride[1][0] == 1 && w.size[0] >= 8 &&
      w.size[1] >= 8) {
    int64_t down = (w.size[0] + SIDE - 1) / SIDE, across = (w.size[1] + SIDE - 1) / SIDE;
    if (down * across <= 0x7fffffff) {
      MTC_LAUNCH((move_transposed<T>), down * across, MTC_THREADS, s, (T *)to, (const T *)from,
                 w.size[0], w.size[1], w.stride[0][0], w.stride[1][1], across);
      return mtc_launched("copy");
    }
  }
  MTC_LAUNCH((move_walk<T>), mtc_grid(w.numel), MTC_THREADS, s, w, (T *)to, (const T *)from);
  return mtc_launched("copy");
}

template <typename C>
int cast_as(const mtc_walk<2> &w, const mt_tensor *dst, const mt_tensor *src, cudaStream_t s) {
  if (mtc_walk_is_run(&w))
    MTC_LAUNCH((cast_run<C>), mtc_grid(w.numel), MTC_THREADS, s, w.numel, mtc_ptr(dst), dst->dtype,
               mtc_ptr(src), src->dtype);
  else
    MTC_LAUNCH((cast_walk<C>), mtc_grid(w.numel), MTC_THREADS, s, w, mtc_ptr(dst), dst->dtype,
               mtc_ptr(src), src->dtype);
  return mtc_launched("copy");
}

} // namespace

int mtc_copy_tensor(const mt_tensor *dst, const mt_tensor *src) {
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, dst->device));
  if (dst->numel == 0) return MT_OK;
  mtc_walk<2> w;
  mtc_walk_begin(&w, dst->ndim, dst->sizes);
  mtc_walk_tensor(&w, 0, dst);
  mtc_walk_tensor(&w, 1, src);
  mtc_walk_finish(&w, true);
  if (dst->dtype != src->dtype) {
    int category = mtc_category(src->dtype);
    if (category == 0) return cast_as<float>(w, dst, src, s);
    if (category == 1) return cast_as<double>(w, dst, src, s);
    return cast_as<int64_t>(w, dst, src, s);
  }
  int esize = mt__esize(dst->dtype);
  if (mtc_walk_is_run(&w)) {
    MTC_CUDA(cudaMemcpyAsync(mtc_ptr(dst), mtc_ptr(src), (size_t)(w.numel * esize),
                             cudaMemcpyDeviceToDevice, s));
    return MT_OK;
  }
  switch (esize) {
  case 1:
    return move_as<uint8_t>(w, mtc_ptr(dst), mtc_ptr(src), s);
  case 2:
    return move_as<uint16_t>(w, mtc_ptr(dst), mtc_ptr(src), s);
  case 4:
    return move_as<uint32_t>(w, mtc_ptr(dst), mtc_ptr(src), s);
  default:
    return move_as<uint64_t>(w, mtc_ptr(dst), mtc_ptr(src), s);
  }
}

namespace {

// ---- between devices ----

// A row-major tensor like t in fresh memory of a device or, for MT_CPU, of the host.
struct staged {
  mt_tensor t;
  mt_storage storage;
  mtc_scratch scratch;
  char *host = NULL;
  int make(const mt_tensor *like, int dtype, int device) {
    memset(&t, 0, sizeof t);
    memset(&storage, 0, sizeof storage);
    t.dtype = (uint8_t)dtype;
    t.ndim = like->ndim;
    t.device = device;
    t.numel = like->numel;
    t.storage = &storage;
    t.flags = MT_T_CONTIGUOUS;
    int64_t step = 1;
    for (int d = like->ndim - 1; d >= 0; d--) {
      t.sizes[d] = like->sizes[d];
      t.strides[d] = step;
      step *= like->sizes[d];
    }
    int64_t bytes = like->numel * mt__esize(dtype);
    if (device >= MT_CUDA) {
      MTC_TRY(scratch.take(device, bytes));
      storage.data = scratch.p;
    } else {
      host = (char *)malloc((size_t)bytes);
      if (!host)
        return mtc_host->fail(MT_ERR_MEMORY, "out of memory: %lld bytes", (long long)bytes);
      storage.data = host;
    }
    return MT_OK;
  }
  ~staged() { free(host); }
};

int copy_bytes(const mt_tensor *dst, const mt_tensor *src) {
  cudaStream_t s;
  size_t bytes = (size_t)(dst->numel * mt__esize(dst->dtype));
  bool to_host = dst->device < MT_CUDA;
  MTC_TRY(mtc_enter(&s, to_host ? src->device : dst->device));
  if (!to_host && src->device >= MT_CUDA) {
    cudaStream_t other;
    MTC_TRY(mtc_enter(&other, src->device));
    MTC_CUDA(cudaStreamSynchronize(other));
    MTC_TRY(mtc_enter(&s, dst->device));
    MTC_CUDA(cudaMemcpyPeer(mtc_ptr(dst), dst->device - MT_CUDA, mtc_ptr(src),
                            src->device - MT_CUDA, bytes));
    return MT_OK;
  }
  MTC_CUDA(cudaMemcpyAsync(mtc_ptr(dst), mtc_ptr(src), bytes,
                           to_host ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice, s));
  MTC_CUDA(cudaStreamSynchronize(s));
  return MT_OK;
}

// On the host, element by element: only for what has an odd layout there.
void copy_host(const mt_tensor *dst, const mt_tensor *src) {
  mtc_walk<2> w;
  mtc_walk_begin(&w, dst->ndim, dst->sizes);
  mtc_walk_tensor(&w, 0, dst);
  mtc_walk_tensor(&w, 1, src);
  mtc_walk_finish(&w, true);
  int esize = mt__esize(dst->dtype);
  for (int64_t i = 0; i < w.numel; i++) {
    int64_t off[2];
    mtc_locate(w, i, off);
    mtc_move(mtc_ptr(dst), off[0], mtc_ptr(src), off[1], esize);
  }
}

int copy_any(const mt_tensor *dst, const mt_tensor *src) {
  if (dst->numel == 0) return MT_OK;
  if (dst->device == src->device) return mtc_copy_tensor(dst, src);
  bool same = dst->ndim == src->ndim && dst->dtype == src->dtype;
  for (int d = 0; d < dst->ndim && same; d++) same = dst->sizes[d] == src->sizes[d];
  if (same && mt__is_contiguous(dst) && mt__is_contiguous(src)) return copy_bytes(dst, src);
  // bring the source over row-major in its own dtype; cast and spread where it arrives, on a
  // device if one of the two is
  staged from, to;
  const mt_tensor *a = src;
  if (src->device >= MT_CUDA) {
    MTC_TRY(from.make(dst, dst->dtype, src->device));
    MTC_TRY(mtc_copy_tensor(&from.t, src));
    a = &from.t;
    if (mt__is_contiguous(dst)) return copy_bytes(dst, a);
    MTC_TRY(to.make(dst, dst->dtype, dst->device));
    MTC_TRY(copy_bytes(&to.t, a));
    if (dst->device >= MT_CUDA) return mtc_copy_tensor(dst, &to.t);
    copy_host(dst, &to.t);
    return MT_OK;
  }
  if (!mt__is_contiguous(src)) {
    MTC_TRY(from.make(src, src->dtype, src->device));
    copy_host(&from.t, src);
    a = &from.t;
  }
  MTC_TRY(to.make(a, a->dtype, dst->device));
  MTC_TRY(copy_bytes(&to.t, a));
  return mtc_copy_tensor(dst, &to.t);
}

int copy_op(mt_frame *f) {
  return copy_any(f->args[0].u.t, f->args[1].u.t);
}
int fresh_op(mt_frame *f) {
  return copy_any(f->out[0], f->args[0].u.t);
}

// ---- one number everywhere ----

template <typename T> __global__ void fill_walk(mtc_walk<1> w, T *to, T value) {
  MTC_EACH(i, w.numel) {
    int64_t off;
    mtc_locate(w, i, &off);
    to[off] = value;
  }
}

template <typename T>
int fill_as(const mtc_walk<1> &w, char *to, const char *cell, cudaStream_t s) {
  T value;
  memcpy(&value, cell, sizeof value);
  MTC_LAUNCH((fill_walk<T>), mtc_grid(w.numel), MTC_THREADS, s, w, (T *)to, value);
  return mtc_launched("fill");
}

} // namespace

int mtc_fill_cell(const mt_tensor *t, const char *cell) {
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, t->device));
  if (t->numel == 0) return MT_OK;
  mtc_walk<1> w;
  mtc_walk_begin(&w, t->ndim, t->sizes);
  mtc_walk_tensor(&w, 0, t);
  mtc_walk_finish(&w, true);
  int esize = mt__esize(t->dtype);
  bool zero = true;
  for (int i = 0; i < esize; i++) zero &= cell[i] == 0;
  if (zero && mtc_walk_is_run(&w)) {
    MTC_CUDA(cudaMemsetAsync(mtc_ptr(t), 0, (size_t)(t->numel * esize), s));
    return MT_OK;
  }
  switch (esize) {
  case 1:
    return fill_as<uint8_t>(w, mtc_ptr(t), cell, s);
  case 2:
    return fill_as<uint16_t>(w, mtc_ptr(t), cell, s);
  case 4:
    return fill_as<uint32_t>(w, mtc_ptr(t), cell, s);
  default:
    return fill_as<uint64_t>(w, mtc_ptr(t), cell, s);
  }
}

int mtc_fill_arg(const mt_tensor *t, const mt_arg *number) {
  char cell[8] = {0};
  mtc_store_arg(cell, t->dtype, number);
  return mtc_fill_cell(t, cell);
}

namespace {

// fill_(self, value): a number, or a 0-dim tensor of any device
int fill_op(mt_frame *f) {
  const mt_tensor *out = f->out[0] ? f->out[0] : f->args[0].u.t;
  const mt_arg *value = &f->args[1];
  if (value->kind != MT_TENSOR) return mtc_fill_arg(out, value);
  const mt_tensor *v = value->u.t;
  if (v->device >= MT_CUDA) return copy_any(out, v); // expands
  char cell[8] = {0};
  int category = mtc_category(v->dtype);
  if (category == 2)
    mtc_store<int64_t>(cell, out->dtype, 0, mtc_load<int64_t>(mtc_ptr(v), v->dtype, 0));
  else
    mtc_store<double>(cell, out->dtype, 0, mtc_load<double>(mtc_ptr(v), v->dtype, 0));
  return mtc_fill_cell(out, cell);
}

int zero_op(mt_frame *f) {
  static const char zero[8] = {0};
  return mtc_fill_cell(f->out[0] ? f->out[0] : f->args[0].u.t, zero);
}

const mtc_kernel table[] = {
    {"copy_", MT_D_ALL, copy_op, true},     {"clone", MT_D_ALL, fresh_op, true},
    {"_to_copy", MT_D_ALL, fresh_op, true}, {"_row_major_copy", MT_D_ALL, fresh_op, true},
    {"fill_", MT_D_ALL, fill_op, true},     {"zero_", MT_D_ALL, zero_op, true},
};
MTC_FAMILY(copies, table);

} // namespace
