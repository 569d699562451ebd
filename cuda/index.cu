// index.cu: elements read or written at positions that tensors hold: _index, _index_put, index_select,
// index_add, index_copy, index_fill, embedding, _gather_rows, gather, scatter, scatter_add.
//
// Positions count from 1, negative ones from the end where indexing allows them. One that is out
// of range is noted (raised by the next synchronising call) and its element skipped; a read gives 0.
// Several writes to one place: positions are sorted by place, then the last one stays, or the
// sum is taken in the positions' order, so the result is that of the CPU and of every run.
#include "kit.cuh"

namespace {

enum { MOST = 8 }; // index tensors of one call

// Where position p of the index tensors' common shape lies: its place among the indexed
// dimensions (a number that is equal for equal places), its offset in x and in y.
struct places {
  mtc_walk<MOST + 1> w; // operand k: index tensor k; operand MOST: y
  int count, from_end, dtype[MOST];
  const char *index[MOST];
  int64_t size[MOST], step[MOST]; // of x along the indexed dimension
  mtc_note *note;
};

static __device__ inline bool locate(const places &p, int64_t i, int64_t *place, int64_t *x,
                                     int64_t *y) {
  int64_t off[MOST + 1];
  mtc_locate(p.w, i, off);
  *place = *x = 0;
  *y = off[MOST];
  for (int k = 0; k < p.count; k++) {
    int64_t v = mtc_load<int64_t>(p.index[k], p.dtype[k], off[k]), n = p.size[k];
    if (v < 0 && p.from_end) v += n + 1;
    if (v < 1 || v > n) {
      mtc_write_note(p.note, MTC_NOTE_INDEX, mtc_load<int64_t>(p.index[k], p.dtype[k], off[k]), n);
      return false;
    }
    *place = *place * n + v - 1;
    *x += (v - 1) * p.step[k];
  }
  return true;
}

struct job {
  places p;
  mtc_walk<2> free; // what is not indexed: x, y
  char *x, *y;
  int esize, dtype;
  double alpha;
  int64_t ialpha;
};

__global__ void read_elements(job j) {
  const uint64_t zero = 0;
  MTC_EACH(i, j.p.w.numel * j.free.numel) {
    int64_t place, x, y, off[2];
    bool ok = locate(j.p, i / j.free.numel, &place, &x, &y);
    mtc_locate(j.free, i % j.free.numel, off);
    if (ok)
      mtc_move(j.y, y + off[1], j.x, x + off[0], j.esize);
    else
      mtc_move(j.y, y + off[1], (const char *)&zero, 0, j.esize);
  }
}

// All positions may write at once: one value for all, or a single position.
__global__ void write_elements(job j) {
  MTC_EACH(i, j.p.w.numel * j.free.numel) {
    int64_t place, x, y, off[2];
    if (!locate(j.p, i / j.free.numel, &place, &x, &y)) continue;
    mtc_locate(j.free, i % j.free.numel, off);
    mtc_move(j.x, x + off[0], j.y, y + off[1], j.esize);
  }
}

__global__ void make_pairs(places p, mtc_pair *pairs, int64_t padded) {
  MTC_EACH(i, padded) {
    mtc_pair q = {UINT64_MAX, INT64_MAX};
    int64_t place, x, y;
    if (i < p.w.numel && locate(p, i, &place, &x, &y)) {
      q.key = (uint64_t)place;
      q.at = i;
    }
    pairs[i] = q;
  }
}

// Thread (i, e): the run of pairs that begins (for adding) or ends (for writing) at i, element e
// of what is not indexed.
__global__ void write_last(job j, const mtc_pair *pairs) {
  MTC_EACH(t, j.p.w.numel * j.free.numel) {
    int64_t i = t / j.free.numel, place, x, y, off[2];
    if (pairs[i].at == INT64_MAX) continue;
    if (i + 1 < j.p.w.numel && pairs[i + 1].key == pairs[i].key) continue;
    locate(j.p, pairs[i].at, &place, &x, &y);
    mtc_locate(j.free, t % j.free.numel, off);
    mtc_move(j.x, x + off[0], j.y, y + off[1], j.esize);
  }
}

// Each sum is rounded to the dtype, as on the CPU.
template <typename C> __global__ void add_runs(job j, const mtc_pair *pairs) {
  MTC_EACH(t, j.p.w.numel * j.free.numel) {
    int64_t i = t / j.free.numel, place, x, y, off[2];
    if (pairs[i].at == INT64_MAX || (i > 0 && pairs[i - 1].key == pairs[i].key)) continue;
    mtc_locate(j.free, t % j.free.numel, off);
    C by = (C)0.5 == 0 ? (C)j.ialpha : (C)j.alpha;
    for (int64_t k = i; k < j.p.w.numel && pairs[k].key == pairs[i].key && pairs[k].at != INT64_MAX;
         k++) {
      locate(j.p, pairs[k].at, &place, &x, &y);
      C sum = mtc_load<C>(j.x, j.dtype, x + off[0]) + by * mtc_load<C>(j.y, j.dtype, y + off[1]);
      mtc_store<C>(j.x, j.dtype, x + off[0], sum);
    }
  }
}

// ---- laying it out ----

int64_t stride_of(const mt_tensor *t, int ndim, int d) {
  int own = d - (ndim - t->ndim);
  return own < 0 || t->sizes[own] == 1 ? 0 : t->strides[own];
}

// list: an entry for each of x's first dimensions, NULL for "all of it". y is the tensor of index
// results, or of values that broadcast to them. as_vector: a 0-dim index keeps its dimension.
int lay_out(job *j, const mt_frame *f, const mt_tensor *x, const mt_tensor *y, int n,
            const mt_tensor *const *list, bool from_end, bool as_vector) {
  memset(j, 0, sizeof *j);
  places *p = &j->p;
  p->from_end = from_end;
  p->note = mtc_notes(x->device);
  if (!p->note) return mtc_host->fail(MT_ERR_MEMORY, "out of memory: no room for notes");
  int xdims = x->ndim ? x->ndim : n ? 1 : 0, dims[MOST], shape_dims = 0;
  int64_t shape[MT_MAX_DIMS];
  for (int d = 0; d < n; d++) {
    if (!list[d]) continue;
    if (p->count == MOST)
      return mtc_host->fail(MT_ERR_UNSUPPORTED, "%s: at most %d index tensors on device cuda",
                            f->op->name, MOST);
    if (list[d]->ndim > shape_dims) shape_dims = list[d]->ndim;
    dims[p->count++] = d;
  }
  if (as_vector && shape_dims == 0) shape_dims = 1;
  for (int i = 0; i < shape_dims; i++) shape[i] = 1;
  for (int k = 0; k < p->count; k++) {
    const mt_tensor *t = list[dims[k]];
    for (int d = 0; d < t->ndim; d++)
      if (t->sizes[d] != 1) shape[shape_dims - t->ndim + d] = t->sizes[d];
  }
  bool adjacent = p->count == 0 || dims[p->count - 1] - dims[0] == p->count - 1;
  int at = adjacent && p->count ? dims[0] : 0, ydims = xdims - p->count + shape_dims;
  mtc_walk_begin(&p->w, shape_dims, shape);
  for (int k = 0; k < p->count; k++) {
    const mt_tensor *t = list[dims[k]];
    p->index[k] = mtc_ptr(t);
    p->dtype[k] = t->dtype;
    p->size[k] = x->ndim ? x->sizes[dims[k]] : 1;
    p->step[k] = x->ndim ? x->strides[dims[k]] : 1;
    for (int d = 0; d < shape_dims; d++) p->w.stride[k][d] = stride_of(t, shape_dims, d);
  }
  for (int d = 0; d < shape_dims; d++) p->w.stride[MOST][d] = stride_of(y, ydims, at + d);
  mtc_walk_finish(&p->w, false);
  mtc_walk<2> *free = &j->free;
  for (int d = 0, k = 0, yd = 0; d < xdims; d++) {
    if (yd == at) yd += shape_dims;
    if (k < p->count && dims[k] == d) {
      k++;
      continue;
    }
    free->size[free->ndim] = x->sizes[d];
    free->stride[0][free->ndim] = x->strides[d];
    free->stride[1][free->ndim++] = stride_of(y, ydims, yd++);
  }
  mtc_walk_finish(free, false);
  j->x = mtc_ptr(x);
  j->y = mtc_ptr(y);
  j->dtype = x->dtype;
  j->esize = mt__esize(x->dtype);
  return MT_OK;
}

int read(const mt_frame *f, const job &j, cudaStream_t s) {
  int64_t n = j.p.w.numel * j.free.numel;
  if (n == 0) return MT_OK;
  MTC_LAUNCH(read_elements, mtc_grid(n), MTC_THREADS, s, j);
  return mtc_launched(f->op->name);
}

int add_sorted(const mt_frame *f, const job &j, const mtc_pair *pairs, cudaStream_t s) {
  int64_t blocks = mtc_grid(j.p.w.numel * j.free.numel);
  int category = mtc_category(j.dtype);
  if (category == 0)
    MTC_LAUNCH((add_runs<float>), blocks, MTC_THREADS, s, j, pairs);
  else if (category == 1)
    MTC_LAUNCH((add_runs<double>), blocks, MTC_THREADS, s, j, pairs);
  else
    MTC_LAUNCH((add_runs<int64_t>), blocks, MTC_THREADS, s, j, pairs);
  return mtc_launched(f->op->name);
}

// one_value: every position writes the same.
int write(const mt_frame *f, const job &j, bool add, bool one_value, int device, cudaStream_t s) {
  int64_t positions = j.p.w.numel, n = positions * j.free.numel, padded = 1;
  if (n == 0) return MT_OK;
  if (!add && (one_value || positions == 1)) {
    MTC_LAUNCH(write_elements, mtc_grid(n), MTC_THREADS, s, j);
    return mtc_launched(f->op->name);
  }
  while (padded < positions) padded *= 2;
  mtc_scratch scratch;
  MTC_TRY(scratch.take(device, padded * (int64_t)sizeof(mtc_pair)));
  mtc_pair *pairs = (mtc_pair *)scratch.p;
  MTC_LAUNCH(make_pairs, mtc_grid(padded), MTC_THREADS, s, j.p, pairs, padded);
  MTC_TRY(mtc_launched(f->op->name));
  MTC_TRY(mtc_sort_pairs(pairs, 1, padded, s));
  if (add) return add_sorted(f, j, pairs, s);
  MTC_LAUNCH(write_last, mtc_grid(n), MTC_THREADS, s, j, (const mtc_pair *)pairs);
  return mtc_launched(f->op->name);
}

// ---- the ops ----

bool same_place(const mt_tensor *a, const mt_tensor *b) {
  if (mtc_ptr(a) != mtc_ptr(b) || a->ndim != b->ndim) return false;
  for (int d = 0; d < a->ndim; d++)
    if (a->strides[d] != b->strides[d]) return false;
  return true;
}

// The result begins as self.
int copy_self(const mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  return same_place(f->out[0], self) ? (int)MT_OK : mtc_copy_tensor(f->out[0], self);
}

int list_of(const mt_arg *a, const mt_tensor **list) {
  for (int i = 0; i < a->n; i++) list[i] = a->u.ts[i];
  return a->n;
}

int index_op(mt_frame *f) {
  const mt_tensor *list[MT_MAX_DIMS];
  int n = list_of(&f->args[1], list);
  job j;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, f->out[0]->device));
  MTC_TRY(lay_out(&j, f, f->args[0].u.t, f->out[0], n, list, true, false));
  return read(f, j, s);
}

// (self, indices, values, accumulate)
int index_put_op(mt_frame *f) {
  const mt_tensor *list[MT_MAX_DIMS], *values = f->args[2].u.t;
  int n = list_of(&f->args[1], list);
  job j;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, f->out[0]->device));
  MTC_TRY(copy_self(f));
  MTC_TRY(lay_out(&j, f, f->out[0], values, n, list, true, false));
  j.alpha = 1, j.ialpha = 1;
  return write(f, j, f->args[3].u.i != 0, values->numel == 1, f->out[0]->device, s);
}

// One index tensor at a dimension.
int along(job *j, const mt_frame *f, const mt_tensor *x, const mt_tensor *y, int64_t dim,
          const mt_tensor *index) {
  const mt_tensor *list[MT_MAX_DIMS] = {NULL};
  int d = x->ndim ? (int)(dim < 0 ? dim + x->ndim : dim) : 0;
  list[d] = index;
  return lay_out(j, f, x, y, d + 1, list, false, true);
}

int select_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, f->out[0]->device));
  MTC_TRY(along(&j, f, f->args[0].u.t, f->out[0], f->args[1].u.i, f->args[2].u.t));
  return read(f, j, s);
}

int embedding_op(mt_frame *f) {
  const mt_tensor *list[1] = {f->args[0].u.t};
  job j;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, f->out[0]->device));
  MTC_TRY(lay_out(&j, f, f->args[1].u.t, f->out[0], 1, list, false, false));
  return read(f, j, s);
}

int index_add_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, f->out[0]->device));
  MTC_TRY(copy_self(f));
  MTC_TRY(along(&j, f, f->out[0], f->args[3].u.t, f->args[1].u.i, f->args[2].u.t));
  j.alpha = mt__num(&f->args[4]), j.ialpha = mt__int(&f->args[4]);
  return write(f, j, true, false, f->out[0]->device, s);
}

int index_copy_op(mt_frame *f) {
  job j;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, f->out[0]->device));
  MTC_TRY(copy_self(f));
  MTC_TRY(along(&j, f, f->out[0], f->args[3].u.t, f->args[1].u.i, f->args[2].u.t));
  return write(f, j, false, false, f->out[0]->device, s);
}

// One number as a 0-dim tensor of a dtype in fresh device memory.
struct number {
  mt_tensor t;
  mt_storage storage;
  mtc_scratch scratch;
  int make(const mt_arg *a, int dtype, int device) {
    memset(&t, 0, sizeof t);
    memset(&storage, 0, sizeof storage);
    t.dtype = (uint8_t)dtype;
    t.device = device;
    t.numel = 1;
    t.flags = MT_T_CONTIGUOUS;
    t.storage = &storage;
    MTC_TRY(scratch.take(device, 8));
    storage.data = scratch.p;
    if (a->kind == MT_TENSOR) return mtc_copy_tensor(&t, a->u.t);
    return mtc_fill_arg(&t, a);
  }
};

int index_fill_op(mt_frame *f) {
  job j;
  number value;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, f->out[0]->device));
  MTC_TRY(copy_self(f));
  MTC_TRY(value.make(&f->args[3], f->out[0]->dtype, f->out[0]->device));
  MTC_TRY(along(&j, f, f->out[0], &value.t, f->args[1].u.i, f->args[2].u.t));
  return write(f, j, false, true, f->out[0]->device, s);
}

// ---- _gather_rows(self, index, dtype, scale, shift): slices converted and scaled ----

template <typename C> __global__ void read_scaled(job j, int y_dtype, double scale, double shift) {
  MTC_EACH(i, j.p.w.numel * j.free.numel) {
    int64_t place, x, y, off[2];
    bool ok = locate(j.p, i / j.free.numel, &place, &x, &y);
    mtc_locate(j.free, i % j.free.numel, off);
    C v = ok ? mtc_load<C>(j.x, j.dtype, x + off[0]) : (C)0;
    mtc_store<C>(j.y, y_dtype, y + off[1], v * (C)scale + (C)shift);
  }
}

int gather_rows_op(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t, *out = f->out[0];
  double scale = f->args[3].u.f, shift = f->args[4].u.f;
  job j;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  MTC_TRY(along(&j, f, self, out, 0, f->args[1].u.t));
  int64_t n = j.p.w.numel * j.free.numel;
  bool plain = scale == 1 && shift == 0;
  if (n == 0) return MT_OK;
  if (plain && out->dtype == self->dtype) return read(f, j, s);
  if (plain && mtc_category(self->dtype) == 2)
    MTC_LAUNCH((read_scaled<int64_t>), mtc_grid(n), MTC_THREADS, s, j, (int)out->dtype, 1.0, 0.0);
  else if (out->dtype == MT_FLOAT64 || (plain && self->dtype == MT_FLOAT64))
    MTC_LAUNCH((read_scaled<double>), mtc_grid(n), MTC_THREADS, s, j, (int)out->dtype, scale,
               shift);
  else
    MTC_LAUNCH((read_scaled<float>), mtc_grid(n), MTC_THREADS, s, j, (int)out->dtype, scale, shift);
  return mtc_launched("_gather_rows");
}

// ---- gather and scatter: an index of as many dimensions as self ----

// Two elements of the index write to one place only if they differ in dim alone: a thread goes
// through dim in order for one of the others. Few long lines are sorted instead.
struct lines {
  mtc_walk<3> w; // x, index, y, without dim
  int64_t n, xstep, istep, ystep, size;
  char *x, *y;
  const char *index;
  int itype, esize, dtype;
  mtc_note *note;
};

static __device__ inline bool position(const lines &l, int64_t off, int64_t *v) {
  *v = mtc_load<int64_t>(l.index, l.itype, off);
  if (*v >= 1 && *v <= l.size) return true;
  mtc_write_note(l.note, MTC_NOTE_INDEX, *v, l.size);
  return false;
}

__global__ void gather_elements(lines l) {
  const uint64_t zero = 0;
  MTC_EACH(i, l.w.numel * l.n) {
    int64_t off[3], k = i / l.w.numel, v;
    mtc_locate(l.w, i % l.w.numel, off);
    if (position(l, off[1] + k * l.istep, &v))
      mtc_move(l.y, off[2] + k * l.ystep, l.x, off[0] + (v - 1) * l.xstep, l.esize);
    else
      mtc_move(l.y, off[2] + k * l.ystep, (const char *)&zero, 0, l.esize);
  }
}

__global__ void scatter_lines(lines l) {
  MTC_EACH(i, l.w.numel) {
    int64_t off[3], v;
    mtc_locate(l.w, i, off);
    for (int64_t k = 0; k < l.n; k++)
      if (position(l, off[1] + k * l.istep, &v))
        mtc_move(l.x, off[0] + (v - 1) * l.xstep, l.y, off[2] + k * l.ystep, l.esize);
  }
}

template <typename C> __global__ void scatter_add_lines(lines l) {
  MTC_EACH(i, l.w.numel) {
    int64_t off[3], v;
    mtc_locate(l.w, i, off);
    for (int64_t k = 0; k < l.n; k++) {
      if (!position(l, off[1] + k * l.istep, &v)) continue;
      int64_t at = off[0] + (v - 1) * l.xstep;
      mtc_store<C>(l.x, l.dtype, at,
                   mtc_load<C>(l.x, l.dtype, at) + mtc_load<C>(l.y, l.dtype, off[2] + k * l.ystep));
    }
  }
}

// The same by sorting: position i = line * n + k, its key line * size + v - 1.
__global__ void line_pairs(lines l, mtc_pair *pairs, int64_t padded) {
  MTC_EACH(i, padded) {
    mtc_pair q = {UINT64_MAX, INT64_MAX};
    int64_t off[3], v;
    if (i < l.w.numel * l.n) {
      mtc_locate(l.w, i / l.n, off);
      if (position(l, off[1] + i % l.n * l.istep, &v)) {
        q.key = (uint64_t)(i / l.n * l.size + v - 1);
        q.at = i;
      }
    }
    pairs[i] = q;
  }
}

template <typename C> __global__ void scatter_sorted(lines l, const mtc_pair *pairs, int add) {
  int64_t all = l.w.numel * l.n;
  MTC_EACH(i, all) {
    if (pairs[i].at == INT64_MAX) continue;
    uint64_t key = pairs[i].key;
    int64_t off[3], line = pairs[i].at / l.n, v = (int64_t)(key % (uint64_t)l.size);
    mtc_locate(l.w, line, off);
    int64_t to = off[0] + v * l.xstep;
    if (!add) {
      if (i + 1 < all && pairs[i + 1].key == key) continue;
      mtc_move(l.x, to, l.y, off[2] + pairs[i].at % l.n * l.ystep, l.esize);
      continue;
    }
    if (i > 0 && pairs[i - 1].key == key) continue;
    for (int64_t k = i; k < all && pairs[k].key == key && pairs[k].at != INT64_MAX; k++)
      mtc_store<C>(l.x, l.dtype, to,
                   mtc_load<C>(l.x, l.dtype, to) +
                       mtc_load<C>(l.y, l.dtype, off[2] + pairs[k].at % l.n * l.ystep));
  }
}

int64_t size_at(const mt_tensor *t, int d) {
  return t->ndim ? t->sizes[d] : 1;
}
int64_t stride_at(const mt_tensor *t, int d) {
  return t->ndim ? t->strides[d] : 1;
}

int line_up(lines *l, const mt_tensor *x, const mt_tensor *index, const mt_tensor *y, bool one,
            int64_t dim) {
  memset(l, 0, sizeof *l);
  int nd = index->ndim ? index->ndim : 1, at = x->ndim ? (int)(dim < 0 ? dim + x->ndim : dim) : 0;
  for (int d = 0; d < nd; d++) {
    int64_t ys = one ? 0 : stride_at(y, d);
    if (d == at) {
      l->n = size_at(index, d), l->size = size_at(x, d);
      l->xstep = stride_at(x, d), l->istep = stride_at(index, d), l->ystep = ys;
      continue;
    }
    int k = l->w.ndim++;
    l->w.size[k] = size_at(index, d);
    l->w.stride[0][k] = stride_at(x, d);
    l->w.stride[1][k] = stride_at(index, d);
    l->w.stride[2][k] = ys;
  }
  mtc_walk_finish(&l->w, false);
  l->x = mtc_ptr(x), l->y = mtc_ptr(y), l->index = mtc_ptr(index);
  l->itype = index->dtype;
  l->dtype = x->dtype;
  l->esize = mt__esize(x->dtype);
  l->note = mtc_notes(x->device);
  return l->note ? (int)MT_OK : mtc_host->fail(MT_ERR_MEMORY, "out of memory: no room for notes");
}

int gather_op(mt_frame *f) {
  const mt_tensor *index = f->args[2].u.t;
  lines l;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, f->out[0]->device));
  if (index->numel == 0) return MT_OK;
  MTC_TRY(line_up(&l, f->args[0].u.t, index, f->out[0], false, f->args[1].u.i));
  MTC_LAUNCH(gather_elements, mtc_grid(index->numel), MTC_THREADS, s, l);
  return mtc_launched("gather");
}

template <typename C>
int scatter_as(const mt_frame *f, const lines &l, bool add, bool one, int device, cudaStream_t s) {
  int64_t all = l.w.numel * l.n, padded = 1;
  if (l.n <= 64 || l.w.numel >= 4096 || (one && !add)) {
    if (add)
      MTC_LAUNCH((scatter_add_lines<C>), mtc_grid(l.w.numel), MTC_THREADS, s, l);
    else
      MTC_LAUNCH(scatter_lines, mtc_grid(l.w.numel), MTC_THREADS, s, l);
    return mtc_launched(f->op->name);
  }
  while (padded < all) padded *= 2;
  mtc_scratch scratch;
  MTC_TRY(scratch.take(device, padded * (int64_t)sizeof(mtc_pair)));
  mtc_pair *pairs = (mtc_pair *)scratch.p;
  MTC_LAUNCH(line_pairs, mtc_grid(padded), MTC_THREADS, s, l, pairs, padded);
  MTC_TRY(mtc_launched(f->op->name));
  MTC_TRY(mtc_sort_pairs(pairs, 1, padded, s));
  MTC_LAUNCH((scatter_sorted<C>), mtc_grid(all), MTC_THREADS, s, l, (const mtc_pair *)pairs,
             (int)add);
  return mtc_launched(f->op->name);
}

int scatter(mt_frame *f, bool add) {
  const mt_tensor *index = f->args[2].u.t, *out = f->out[0];
  bool one = f->args[3].kind != MT_TENSOR;
  lines l;
  number value;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  MTC_TRY(copy_self(f));
  if (index->numel == 0) return MT_OK;
  if (one) MTC_TRY(value.make(&f->args[3], out->dtype, out->device));
  MTC_TRY(line_up(&l, out, index, one ? &value.t : f->args[3].u.t, one, f->args[1].u.i));
  int category = mtc_category(out->dtype);
  if (category == 0) return scatter_as<float>(f, l, add, one, out->device, s);
  if (category == 1) return scatter_as<double>(f, l, add, one, out->device, s);
  return scatter_as<int64_t>(f, l, add, one, out->device, s);
}

int scatter_op(mt_frame *f) {
  return scatter(f, false);
}
int scatter_add_op(mt_frame *f) {
  return scatter(f, true);
}

const mtc_kernel table[] = {
    {"_index", MT_D_ALL, index_op, true},
    {"_index_put", MT_D_ALL, index_put_op, true},
    {"index_select", MT_D_ALL, select_op, true},
    {"index_add", MT_D_ALL, index_add_op, true},
    {"index_copy", MT_D_ALL, index_copy_op, true},
    {"index_fill", MT_D_ALL, index_fill_op, true},
    {"embedding", MT_D_ALL, embedding_op, true},
    {"_gather_rows", MT_D_ALL, gather_rows_op, true},
    {"gather", MT_D_ALL, gather_op, true},
    {"scatter", MT_D_ALL, scatter_op, true},
    {"scatter_add", MT_D_ALL, scatter_add_op, true},
};
MTC_FAMILY(indexing, table);

} // namespace
