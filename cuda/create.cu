// create.cu: tensors made from sizes and numbers, triangles, flips, and tensors put together (cat,
// stack, _embed_strided). Element i of a range is computed from i alone, as on the CPU.
#include "kit.cuh"

namespace {

int start(const mt_frame *f, cudaStream_t *s) {
  return mtc_enter(s, f->out[0]->device);
}

// ---- one number ----

int empty_op(mt_frame *f) {
  (void)f;
  return MT_OK;
}

int number_op(const mt_frame *f, int64_t number) {
  mt_arg a;
  memset(&a, 0, sizeof a);
  a.kind = MT_INT;
  a.u.i = number;
  return mtc_fill_arg(f->out[0], &a);
}

int zeros_op(mt_frame *f) {
  return number_op(f, 0);
}
int ones_op(mt_frame *f) {
  return number_op(f, 1);
}
int full_op(mt_frame *f) {
  return mtc_fill_arg(f->out[0], &f->args[1]);
}
int new_full_op(mt_frame *f) {
  return mtc_fill_arg(f->out[0], &f->args[2]);
}

// ---- ranges ----

enum { LINE_INT, LINE_FLOAT, LINE_BOTH_ENDS, LINE_LOG };

struct line {
  int kind, dtype;
  int64_t istart, istep, count;
  double start, step, stop, base;
  char *out;
};

__global__ void fill_line(line l) {
  MTC_EACH(i, l.count) {
    if (l.kind == LINE_INT) {
      mtc_store<int64_t>(l.out, l.dtype, i, l.istart + i * l.istep);
      continue;
    }
    // from the nearer end, so that both ends are exact
    double x = l.kind == LINE_FLOAT || 2 * i < l.count
                   ? l.start + l.step * (double)i
                   : l.stop - l.step * (double)(l.count - 1 - i);
    mtc_store<double>(l.out, l.dtype, i, l.kind == LINE_LOG ? pow(l.base, x) : x);
  }
}

int run_line(mt_frame *f, line l) {
  cudaStream_t s;
  MTC_TRY(start(f, &s));
  l.count = f->out[0]->numel;
  l.dtype = f->out[0]->dtype;
  if (l.count == 0) return MT_OK;
  l.out = mtc_ptr(f->out[0]);
  MTC_LAUNCH(fill_line, mtc_grid(l.count), MTC_THREADS, s, l);
  return mtc_launched(f->op->name);
}

int arange_from(mt_frame *f, const mt_arg *from, const mt_arg *stop, const mt_arg *step) {
  line l;
  memset(&l, 0, sizeof l);
  bool whole = (!from || from->kind != MT_FLOAT) && stop->kind != MT_FLOAT &&
               (!step || step->kind != MT_FLOAT);
  l.kind = whole ? LINE_INT : LINE_FLOAT;
  l.istart = from ? mt__int(from) : 0;
  l.istep = step ? mt__int(step) : 1;
  l.start = from ? mt__num(from) : 0;
  l.step = step ? mt__num(step) : 1;
  return run_line(f, l);
}

int arange_op(mt_frame *f) {
  return arange_from(f, &f->args[0], &f->args[1], &f->args[2]);
}
int arange_end_op(mt_frame *f) {
  return arange_from(f, NULL, &f->args[0], NULL);
}

line linspace(const mt_frame *f) {
  line l;
  memset(&l, 0, sizeof l);
  int64_t steps = f->args[2].u.i;
  l.kind = LINE_BOTH_ENDS;
  l.start = mt__num(&f->args[0]);
  l.stop = mt__num(&f->args[1]);
  if (steps > 1)
    l.step = (l.stop - l.start) / (double)(steps - 1);
  else
    l.stop = l.start;
  return l;
}

int linspace_op(mt_frame *f) {
  return run_line(f, linspace(f));
}

int logspace_op(mt_frame *f) {
  line l = linspace(f);
  l.kind = LINE_LOG;
  l.base = f->args[3].u.f;
  return run_line(f, l);
}

// ---- matrices ----

__global__ void fill_eye(char *out, int dtype, int64_t rows, int64_t cols) {
  MTC_EACH(i, rows * cols) mtc_store<int64_t>(out, dtype, i, i / cols == i % cols);
}

int eye_op(mt_frame *f) {
  const mt_tensor *out = f->out[0];
  cudaStream_t s;
  MTC_TRY(start(f, &s));
  if (out->numel == 0) return MT_OK;
  MTC_LAUNCH(fill_eye, mtc_grid(out->numel), MTC_THREADS, s, mtc_ptr(out), out->dtype,
             out->sizes[0], out->sizes[1]);
  return mtc_launched("eye");
}

// tril keeps columns up to row + diagonal, triu from there on. The last two dimensions are not
// joined with others: they come first in the walk's place i, as row and column.
__global__ void triangle(mtc_walk<2> batch, int64_t rows, int64_t cols, int64_t out_row,
                         int64_t out_col, int64_t in_row, int64_t in_col, int64_t diagonal,
                         int lower, char *out, const char *in, int esize) {
  const uint64_t zero = 0;
  MTC_EACH(i, batch.numel * rows * cols) {
    int64_t c = i % cols, r = i / cols % rows, off[2];
    mtc_locate(batch, i / (rows * cols), off);
    bool keep = lower ? c <= r + diagonal : c >= r + diagonal;
    int64_t to = off[0] + r * out_row + c * out_col;
    if (keep)
      mtc_move(out, to, in, off[1] + r * in_row + c * in_col, esize);
    else
      mtc_move(out, to, (const char *)&zero, 0, esize);
  }
}

int triangle_op(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t, *out = f->out[0];
  cudaStream_t s;
  MTC_TRY(start(f, &s));
  if (self->numel == 0) return MT_OK;
  int n = self->ndim;
  int64_t rows = self->sizes[n - 2], cols = self->sizes[n - 1], diagonal = f->args[1].u.i;
  if (diagonal > rows + cols) diagonal = rows + cols;
  if (diagonal < -(rows + cols)) diagonal = -(rows + cols);
  mtc_walk<2> w;
  mtc_walk_begin(&w, n - 2, self->sizes);
  for (int d = 0; d < n - 2; d++) {
    w.stride[0][d] = out->strides[d];
    w.stride[1][d] = self->strides[d];
  }
  mtc_walk_finish(&w, false);
  MTC_LAUNCH(triangle, mtc_grid(self->numel), MTC_THREADS, s, w, rows, cols, out->strides[n - 2],
             out->strides[n - 1], self->strides[n - 2], self->strides[n - 1], diagonal,
             strcmp(f->op->name, "tril") == 0, mtc_ptr(out), mtc_ptr(self), mt__esize(self->dtype));
  return mtc_launched(f->op->name);
}

__global__ void fill_triangle_places(char *out, int dtype, int64_t rows, int64_t cols,
                                     int64_t offset, int lower, int64_t total) {
  // the first place of row r is the sum of the rows before it: found by one thread a row
  MTC_EACH(r, rows) {
    int64_t before = 0, first = 0, last = 0;
    for (int64_t q = 0; q <= r; q++) {
      before += last - first;
      int64_t cut = q + offset + (lower ? 1 : 0);
      cut = cut < 0 ? 0 : cut > cols ? cols : cut;
      first = lower ? 0 : cut;
      last = lower ? cut : cols;
    }
    for (int64_t c = first; c < last; c++) {
      mtc_store<int64_t>(out, dtype, before + c - first, r + 1);
      mtc_store<int64_t>(out, dtype, total + before + c - first, c + 1);
    }
  }
}

int triangle_places_op(mt_frame *f) {
  const mt_tensor *out = f->out[0];
  cudaStream_t s;
  MTC_TRY(start(f, &s));
  if (out->numel == 0) return MT_OK;
  MTC_LAUNCH(fill_triangle_places, mtc_grid(f->args[0].u.i), MTC_THREADS, s, mtc_ptr(out),
             out->dtype, f->args[0].u.i, f->args[1].u.i, f->args[2].u.i,
             strcmp(f->op->name, "tril_indices") == 0, out->sizes[1]);
  return mtc_launched(f->op->name);
}

// ---- flip: the input walked backwards along some dimensions ----

int flip_op(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  mt_tensor turned = *self;
  if (self->numel == 0) return MT_OK;
  for (int d = 0; d < self->ndim; d++) {
    if (!(f->priv[0] >> d & 1)) continue;
    turned.offset += (turned.sizes[d] - 1) * turned.strides[d];
    turned.strides[d] = -turned.strides[d];
  }
  turned.flags &= (uint16_t)~MT_T_CONTIGUOUS;
  return mtc_copy_tensor(f->out[0], &turned);
}

// ---- _embed_strided(self, size, stride, offset): zeros with self added in at strided places ----

// Whether several elements may fall on one place.
bool strides_overlap(int ndim, const int64_t *sizes, const int64_t *strides) {
  int order[MT_MAX_DIMS], n = 0;
  for (int d = 0; d < ndim; d++) {
    if (sizes[d] == 1) continue;
    int at = n++;
    for (; at > 0 && llabs(strides[order[at - 1]]) > llabs(strides[d]); at--)
      order[at] = order[at - 1];
    order[at] = d;
  }
  int64_t reach = 0;
  for (int i = 0; i < n; i++) {
    int64_t step = llabs(strides[order[i]]);
    if (step <= reach) return true;
    reach += step * (sizes[order[i]] - 1);
  }
  return false;
}

// Where places meet, a dimension is walked by a loop on the host, each step the addition of a whole
// slice whose places are distinct: so the order of a sum never changes.
template <typename C>
__global__ void embed_add(mtc_walk<2> places, char *out, const char *self, int dtype) {
  MTC_EACH(p, places.numel) {
    int64_t off[2];
    mtc_locate(places, p, off);
    mtc_store<C>(out, dtype, off[0],
                 mtc_load<C>(out, dtype, off[0]) + mtc_load<C>(self, dtype, off[1]));
  }
}

int add_slices(const mt_tensor *self, int ndim, const int64_t *sizes, const int64_t *steps,
               const int64_t *own, char *out, const char *in, cudaStream_t s) {
  if (strides_overlap(ndim, sizes, steps)) {
    int64_t less[MT_MAX_DIMS];
    int worst = -1;
    bool cures = false;
    for (int d = 0; d < ndim; d++) { // the smallest that cures it alone; else the smallest
      if (sizes[d] == 1) continue;
      memcpy(less, sizes, (size_t)ndim * sizeof *less);
      less[d] = 1;
      bool good = steps[d] == 0 || !strides_overlap(ndim, less, steps);
      if (worst < 0 || (good && !cures) || (good == cures && sizes[d] < sizes[worst]))
        worst = d, cures = good;
    }
    memcpy(less, sizes, (size_t)ndim * sizeof *less);
    less[worst] = 1;
    int esize = mt__esize(self->dtype);
    for (int64_t i = 0; i < sizes[worst]; i++)
      MTC_TRY(add_slices(self, ndim, less, steps, own, out + i * steps[worst] * esize,
                         in + i * own[worst] * esize, s));
    return MT_OK;
  }
  mtc_walk<2> w;
  mtc_walk_begin(&w, ndim, sizes);
  for (int d = 0; d < ndim; d++) {
    w.stride[0][d] = steps[d];
    w.stride[1][d] = own[d];
  }
  mtc_walk_finish(&w, false);
  int category = mtc_category(self->dtype);
  int64_t blocks = mtc_grid(w.numel);
  if (category == 0)
    MTC_LAUNCH((embed_add<float>), blocks, MTC_THREADS, s, w, out, in, self->dtype);
  else if (category == 1)
    MTC_LAUNCH((embed_add<double>), blocks, MTC_THREADS, s, w, out, in, self->dtype);
  else
    MTC_LAUNCH((embed_add<int64_t>), blocks, MTC_THREADS, s, w, out, in, self->dtype);
  return mtc_launched("_embed_strided");
}

int embed_op(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t, *out = f->out[0];
  const mt_arg *stride = &f->args[2];
  cudaStream_t s;
  MTC_TRY(start(f, &s));
  MTC_TRY(zeros_op(f));
  if (self->numel == 0 || out->numel == 0) return MT_OK;
  int64_t one = stride->kind == MT_INT ? stride->u.i : 0;
  const int64_t *steps = stride->kind == MT_INT ? &one : stride->u.is;
  return add_slices(self, self->ndim, self->sizes, steps, self->strides,
                    mtc_ptr(out) + f->args[3].u.i * mt__esize(self->dtype), mtc_ptr(self), s);
}

// ---- cat and stack: each tensor copied into its part of the result ----

int join_op(mt_frame *f) {
  const mt_tensor *out = f->out[0];
  int d = (int)f->priv[0];
  bool stacked = strcmp(f->op->name, "stack") == 0;
  int64_t begin = 0;
  if (out->numel == 0) return MT_OK;
  for (int i = 0; i < f->args[0].n; i++) {
    const mt_tensor *t = f->args[0].u.ts[i];
    if (!stacked && t->ndim == 1 && t->sizes[0] == 0) continue; // joins anything, adds nothing
    mt_tensor part = *out;
    part.ndim = t->ndim;
    part.numel = t->numel;
    part.offset = out->offset + begin * out->strides[d];
    part.flags = 0;
    for (int k = 0, from = 0; from < out->ndim; from++) {
      if (stacked && from == d) continue;
      part.sizes[k] = t->sizes[k];
      part.strides[k++] = out->strides[from];
    }
    MTC_TRY(mtc_copy_tensor(&part, t));
    begin += stacked ? 1 : t->sizes[d];
  }
  return MT_OK;
}

const mtc_kernel table[] = {
    {"empty", MT_D_ALL, empty_op, true},
    {"empty_like", MT_D_ALL, empty_op, true},
    {"new_empty", MT_D_ALL, empty_op, true},
    {"zeros", MT_D_ALL, zeros_op, true},
    {"zeros_like", MT_D_ALL, zeros_op, true},
    {"new_zeros", MT_D_ALL, zeros_op, true},
    {"ones", MT_D_ALL, ones_op, true},
    {"ones_like", MT_D_ALL, ones_op, true},
    {"new_ones", MT_D_ALL, ones_op, true},
    {"full", MT_D_ALL, full_op, true},
    {"full_like", MT_D_ALL, full_op, true},
    {"new_full", MT_D_ALL, new_full_op, true},
    {"arange", MT_D_ALL, arange_op, true},
    {"arange.end", MT_D_ALL, arange_end_op, true},
    {"range", MT_D_ALL, arange_op, true},
    {"linspace", MT_D_ALL, linspace_op, true},
    {"logspace", MT_D_ALL, logspace_op, true},
    {"eye", MT_D_ALL, eye_op, true},
    {"tril", MT_D_ALL, triangle_op, true},
    {"triu", MT_D_ALL, triangle_op, true},
    {"tril_indices", MT_D_ALL, triangle_places_op, true},
    {"triu_indices", MT_D_ALL, triangle_places_op, true},
    {"flip", MT_D_ALL, flip_op, true},
    {"_embed_strided", MT_D_ALL, embed_op, true},
    {"cat", MT_D_ALL, join_op, true},
    {"concat", MT_D_ALL, join_op, true},
    {"concatenate", MT_D_ALL, join_op, true},
    {"stack", MT_D_ALL, join_op, true},
};
MTC_FAMILY(creating, table);

} // namespace
