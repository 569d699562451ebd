/* create.c: tensors made from nothing but sizes and numbers, and matrices made of parts of others
 * (tril, triu, diag). Positions that are returned count from 1. */
#include <math.h>
#include <string.h>

#include "moontorch_ops.h"

#include "factory.h"
#include "internal.h"
#include "walk.h"

/* ---- filled with one number ---- */

static int sized_infer(mt_frame *f) {
  return mt__factory(f, mt__default_dtype(), f->args[0].n, f->args[0].u.is);
}

static int number_dtype(const mt_arg *a) {
  return a->kind == MT_TRUTH ? MT_BOOL : mt__default_dtype();
}

static int full_infer(mt_frame *f) {
  return mt__factory(f, number_dtype(&f->args[1]), f->args[0].n, f->args[0].u.is);
}

static int like_infer(mt_frame *f) {
  return mt__factory_like(f, mt__t(f, 0));
}

static int new_infer(mt_frame *f) {
  return mt__factory_new(f, mt__t(f, 0), f->args[1].n, f->args[1].u.is);
}

static int empty_run(mt_frame *f) {
  (void)f;
  return MT_OK;
}

static int zeros_run(mt_frame *f) {
  return mt__clear(mt__ptr(f->out[0]), f->out[0]->numel * mt__esize(f->out[0]->dtype));
}

static int ones_run(mt_frame *f) {
  mt_arg one = mt__arg_i(1);
  return mt__fill_dense(f->out[0], &one);
}

/* full and full_like have the number second, new_full third. */
static int full_run(mt_frame *f) {
  return mt__fill_dense(f->out[0], &f->args[1]);
}
static int new_full_run(mt_frame *f) {
  return mt__fill_dense(f->out[0], &f->args[2]);
}

/* ---- ranges: element i is computed from i alone ---- */

enum { LINE_INT, LINE_FLOAT, LINE_BOTH_ENDS, LINE_LOG };

typedef struct line {
  int kind;
  int64_t istart, istep, count;
  double start, step, stop, base;
  const mt_tensor *out;
} line;

enum { BLOCK = 512 };

static double line_at(const line *l, int64_t i) {
  /* from the nearer end, so that both ends are exact */
  if (l->kind == LINE_FLOAT || 2 * i < l->count) return l->start + l->step * (double)i;
  return l->stop - l->step * (double)(l->count - 1 - i);
}

static void line_range(void *p, int64_t begin, int64_t end) {
  const line *l = p;
  int esize = mt__esize(l->out->dtype);
  for (int64_t i = begin; i < end; i += BLOCK) {
    int64_t n = end - i < BLOCK ? end - i : BLOCK;
    union {
      int64_t whole[BLOCK];
      double real[BLOCK];
    } v;
    if (l->kind == LINE_INT)
      for (int64_t k = 0; k < n; k++) v.whole[k] = l->istart + (i + k) * l->istep;
    else
      for (int64_t k = 0; k < n; k++) v.real[k] = line_at(l, i + k);
    if (l->kind == LINE_LOG)
      for (int64_t k = 0; k < n; k++) v.real[k] = pow(l->base, v.real[k]);
    mt__convert(mt__ptr(l->out) + i * esize, l->out->dtype, 1, (const char *)&v,
                l->kind == LINE_INT ? MT_INT64 : MT_FLOAT64, 1, n);
  }
}

static int line_run(line *l, const mt_frame *f) {
  l->out = f->out[0];
  l->count = l->out->numel;
  if (l->count == 0) return MT_OK;
  return mt__parallel_range(l->count, MT_COPY_GRAIN, line_range, l);
}

typedef struct bounds {
  mt_arg start, stop, step;
  bool whole, inclusive;
} bounds;

/* arange(stop), arange(start, stop, step), range(start, stop, step) */
static bounds bounds_of(const mt_frame *f) {
  bounds b = {.start = mt__arg_i(0), .step = mt__arg_i(1)};
  b.inclusive = strcmp(f->op->name, "range") == 0;
  if (strcmp(f->op->name, "arange.end") == 0) {
    b.stop = f->args[0];
  } else {
    b.start = f->args[0];
    b.stop = f->args[1];
    b.step = f->args[2];
  }
  b.whole = b.start.kind != MT_FLOAT && b.stop.kind != MT_FLOAT && b.step.kind != MT_FLOAT;
  return b;
}

static int bounds_count(const mt_frame *f, const bounds *b, int64_t *count) {
  double start = mt__num(&b->start), stop = mt__num(&b->stop), step = mt__num(&b->step);
  if (!isfinite(start) || !isfinite(stop))
    return mt__op_fail(f, MT_ERR_VALUE, "unsupported range: %g -> %g", start, stop);
  if (step == 0 || isnan(step)) return mt__op_fail(f, MT_ERR_VALUE, "step must be nonzero");
  if (step > 0 ? stop < start : stop > start)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "upper bound and lower bound inconsistent with step sign: %g, %g and %g",
                       start, stop, step);
  if (b->whole) {
    int64_t span;
    if (__builtin_sub_overflow(b->stop.u.i, b->start.u.i, &span))
      return mt__op_fail(f, MT_ERR_VALUE, "the range is too large");
    int64_t steps = span / b->step.u.i, rest = span % b->step.u.i;
    *count = b->inclusive ? steps + 1 : steps + (rest != 0);
    return MT_OK;
  }
  double n = b->inclusive ? floor((stop - start) / step) + 1 : ceil((stop - start) / step);
  if (n >= 0x1p62) return mt__op_fail(f, MT_ERR_VALUE, "the range is too large");
  *count = (int64_t)n;
  return MT_OK;
}

static int arange_infer(mt_frame *f) {
  bounds b = bounds_of(f);
  int64_t count;
  MT_TRY(bounds_count(f, &b, &count));
  return mt__factory(f, b.whole ? MT_INT64 : mt__default_dtype(), 1, &count);
}

static int arange_run(mt_frame *f) {
  bounds b = bounds_of(f);
  line l = {.kind = b.whole ? LINE_INT : LINE_FLOAT,
            .istart = b.start.u.i,
            .istep = b.step.u.i,
            .start = mt__num(&b.start),
            .step = mt__num(&b.step)};
  return line_run(&l, f);
}

static int linspace_infer(mt_frame *f) {
  int64_t steps = f->args[2].u.i;
  if (steps < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "number of steps must be non-negative, got %lld",
                       (long long)steps);
  return mt__factory(f, mt__default_dtype(), 1, &steps);
}

static line linspace_line(const mt_frame *f) {
  int64_t steps = f->args[2].u.i;
  line l = {.kind = LINE_BOTH_ENDS, .start = mt__num(&f->args[0]), .stop = mt__num(&f->args[1])};
  if (steps > 1)
    l.step = (l.stop - l.start) / (double)(steps - 1);
  else
    l.stop = l.start;
  return l;
}

static int linspace_run(mt_frame *f) {
  line l = linspace_line(f);
  return line_run(&l, f);
}

static int logspace_run(mt_frame *f) {
  line l = linspace_line(f);
  l.kind = LINE_LOG;
  l.base = f->args[3].u.f;
  return line_run(&l, f);
}

/* ---- matrices ---- */

static int eye_infer(mt_frame *f) {
  int64_t n = f->args[0].u.i, m = f->args[1].kind == MT_NONE ? n : f->args[1].u.i;
  if (n < 0 || m < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "n and m must be greater or equal to 0, got %lld and %lld",
                       (long long)n, (long long)m);
  return mt__factory(f, mt__default_dtype(), 2, (int64_t[2]){n, m});
}

static int eye_run(mt_frame *f) {
  const mt_tensor *out = f->out[0];
  int64_t n = out->sizes[0], m = out->sizes[1];
  int esize = mt__esize(out->dtype);
  char one[16];
  mt_arg number = mt__arg_i(1);
  MT_TRY(zeros_run(f));
  mt__store_scalar(one, out->dtype, &number);
  mt__copy_row(mt__ptr(out), m + 1, one, 0, n < m ? n : m, esize);
  return MT_OK;
}

/* tril keeps columns up to row + diagonal, triu from there on. */
typedef struct tri_ctx {
  const mt_tensor *self, *out;
  bool lower, in_place;
  int64_t diagonal, rows, cols;
  mt_walk batch; /* operands: out, self */
  int esize;
} tri_ctx;

typedef struct tri_at {
  const tri_ctx *c;
  int64_t row;
} tri_at;

static void tri_row(const tri_ctx *c, int64_t row, int64_t out_off, int64_t self_off) {
  static const char zero[8] = {0};
  int nd = c->out->ndim, e = c->esize;
  int64_t os = c->out->strides[nd - 1], ss = c->self->strides[nd - 1];
  int64_t cut = row + c->diagonal + (c->lower ? 1 : 0); /* the first column on the other side */
  if (cut < 0) cut = 0;
  if (cut > c->cols) cut = c->cols;
  char *dst = mt__ptr(c->out) + (out_off + row * c->out->strides[nd - 2]) * e;
  const char *src = mt__ptr(c->self) + (self_off + row * c->self->strides[nd - 2]) * e;
  int64_t keep = c->lower ? 0 : cut, kept = c->lower ? cut : c->cols - cut;
  int64_t clear = c->lower ? cut : 0;
  if (!c->in_place) mt__copy_row(dst + keep * os * e, os, src + keep * ss * e, ss, kept, e);
  if (os == 1)
    memset(dst + clear * e, 0, (size_t)((c->cols - kept) * e));
  else
    mt__copy_row(dst + clear * os * e, os, zero, 0, c->cols - kept, e);
}

static void tri_range(void *p, int64_t begin, int64_t end) {
  const tri_ctx *c = p;
  for (int64_t i = begin; i < end; i++) {
    int64_t rest = i / c->rows, off[2] = {0, 0};
    for (int d = c->batch.ndim - 1; d >= 0; d--) {
      int64_t at = rest % c->batch.sizes[d];
      rest /= c->batch.sizes[d];
      off[0] += at * c->batch.strides[0][d];
      off[1] += at * c->batch.strides[1][d];
    }
    tri_row(c, i % c->rows, off[0], off[1]);
  }
}

static int tri_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  if (self->ndim < 2)
    return mt__op_fail(f, MT_ERR_SHAPE, "input tensor must have at least 2 dimensions");
  return mt__out_like(f, 0, self->dtype, self);
}

static int tri_run(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0), *out = f->out[0];
  int nd = self->ndim;
  if (self->numel == 0) return MT_OK;
  tri_ctx c = {.self = self,
               .out = out,
               .lower = strcmp(f->op->name, "tril") == 0,
               .in_place = mt__same_layout(self, out),
               .diagonal = f->args[1].u.i,
               .rows = self->sizes[nd - 2],
               .cols = self->sizes[nd - 1],
               .esize = mt__esize(self->dtype)};
  /* far diagonals: all or nothing, without overflow */
  int64_t far = c.rows + c.cols;
  if (c.diagonal > far) c.diagonal = far;
  if (c.diagonal < -far) c.diagonal = -far;
  mt__walk_init(&c.batch, 2);
  for (int d = 0; d < nd - 2; d++)
    mt__walk_dim(&c.batch, self->sizes[d], out->strides[d], self->strides[d], 0);
  mt__walk_fold(&c.batch);
  return mt__parallel_range(self->numel / c.cols, MT_COPY_GRAIN / c.cols + 1, tri_range, &c);
}

static int tril_vjp(mt_vjp *v) {
  return mt_tril(&v->gin[0], v->g[0], v->args[1].u.i);
}
static int triu_vjp(mt_vjp *v) {
  return mt_triu(&v->gin[0], v->g[0], v->args[1].u.i);
}

/* A vector as the diagonal of a matrix of zeros; a matrix's diagonal, copied. */
static int diag(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0);
  int64_t offset = f->args[1].u.i;
  MT_TRY(mt__want_ndim(f, "self", self, 1, 2));
  if (self->ndim == 1) return mt_diag_embed(&f->out[0], self, offset, 0, 1);
  MT_AUTO *view = NULL;
  MT_TRY(mt_diagonal(&view, self, offset, 0, 1));
  return mt_clone(&f->out[0], view);
}

static int diag_embed(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0);
  int64_t offset = f->args[1].u.i, sizes[MT_MAX_DIMS + 1], strides[MT_MAX_DIMS + 1];
  int64_t own[MT_MAX_DIMS];
  int nd = self->ndim + 1, d1, d2;
  MT_TRY(mt__want_ndim(f, "self", self, 1, MT_MAX_DIMS - 1));
  MT_TRY(mt__dim(f, "dim1", f->args[2].u.i, nd, &d1));
  MT_TRY(mt__dim(f, "dim2", f->args[3].u.i, nd, &d2));
  if (d1 == d2)
    return mt__op_fail(f, MT_ERR_VALUE, "diagonal dimensions cannot be identical %d, %d", d1 + 1,
                       d2 + 1);
  if (offset > INT32_MAX || offset < -INT32_MAX)
    return mt__op_fail(f, MT_ERR_VALUE, "offset %lld is too large", (long long)offset);
  int64_t n = self->sizes[self->ndim - 1] + (offset < 0 ? -offset : offset);
  for (int i = 0, from = 0; i < nd; i++) sizes[i] = i == d1 || i == d2 ? n : self->sizes[from++];
  mt__row_major(nd, sizes, strides);
  for (int i = 0, to = 0; i < nd; i++)
    if (i != d1 && i != d2) own[to++] = strides[i];
  own[self->ndim - 1] = strides[d1] + strides[d2];
  return mt__embed_strided(&f->out[0], self, (mt_ints){nd, sizes}, (mt_ints){self->ndim, own},
                           offset >= 0 ? offset * strides[d2] : -offset * strides[d1]);
}

static int diagflat(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0);
  MT_AUTO *flat = NULL;
  MT_TRY(mt_reshape(&flat, self, (mt_ints){1, &self->numel}));
  return mt_diag_embed(&f->out[0], flat, f->args[1].u.i, 0, 1);
}

/* Columns of row r that lie in the triangle: first..last-1. */
static void tri_columns(const mt_frame *f, int64_t r, int64_t *first, int64_t *last) {
  int64_t cols = f->args[1].u.i, offset = f->args[2].u.i;
  bool lower = strcmp(f->op->name, "tril_indices") == 0;
  int64_t cut = r + offset + (lower ? 1 : 0);
  if (cut < 0) cut = 0;
  if (cut > cols) cut = cols;
  *first = lower ? 0 : cut;
  *last = lower ? cut : cols;
}

static int tri_indices_infer(mt_frame *f) {
  int64_t rows = f->args[0].u.i, cols = f->args[1].u.i, total = 0, first, last;
  int64_t limit = 1ll << 31;
  if (rows < 0 || cols < 0 || rows > limit || cols > limit)
    return mt__op_fail(f, MT_ERR_VALUE, "row and col must be within 0..2^31, got %lld and %lld",
                       (long long)rows, (long long)cols);
  if (f->args[2].u.i > limit || f->args[2].u.i < -limit)
    return mt__op_fail(f, MT_ERR_VALUE, "offset must be within -2^31..2^31");
  for (int64_t r = 0; r < rows; r++) {
    tri_columns(f, r, &first, &last);
    total += last - first;
  }
  return mt__factory(f, MT_INT64, 2, (int64_t[2]){2, total});
}

static int tri_indices_run(mt_frame *f) {
  const mt_tensor *out = f->out[0];
  int64_t count = out->sizes[1], done = 0, first, last;
  int esize = mt__esize(out->dtype);
  for (int64_t r = 0; r < f->args[0].u.i; r++) {
    tri_columns(f, r, &first, &last);
    for (int64_t c = first; c < last; c++, done++) {
      int64_t row = r + 1, col = c + 1;
      mt__convert(mt__ptr(out) + done * esize, out->dtype, 1, (char *)&row, MT_INT64, 1, 1);
      mt__convert(mt__ptr(out) + (count + done) * esize, out->dtype, 1, (char *)&col, MT_INT64, 1,
                  1);
    }
  }
  return MT_OK;
}

#define MAKE(infer_fn, run_fn) .infer = infer_fn, .run = run_fn
#define NEVER                  MT_OP_NO_AUTOGRAD
#define MATRIX_OP(run_fn, vjp_fn)                                                                  \
  .infer = tri_infer, .run = run_fn, .vjp = vjp_fn, .dtypes = MT_D_ALL, .flags = MT_OP_INPLACE

const mt_opdef mt__ops_create[] = {
    {.sig = MT_SIG("empty(size* size, *, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "A tensor of the given sizes whose elements are whatever was in memory.",
     MAKE(sized_infer, empty_run),
     .samples = "{2, 3}, {{}}, {0, 2, {dtype=torch.int64}}"},
    {.sig = MT_SIG("zeros(size* size, *, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "A tensor of the given sizes filled with 0.",
     MAKE(sized_infer, zeros_run),
     .samples = "{2, 3}, {{2, 0}}, {{}}, {4, {dtype=torch.int64}}"},
    {.sig = MT_SIG("ones(size* size, *, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "A tensor of the given sizes filled with 1.",
     MAKE(sized_infer, ones_run),
     .samples = "{2, 3}, {{2, 0}}, {{}}, {4, {dtype=torch.bool}}"},
    {.sig = MT_SIG("full(size size, Scalar fill_value, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "A tensor of the given sizes filled with one number.",
     MAKE(full_infer, full_run),
     .samples = "{{2, 3}, 1.5}, {{}, 2}, {{4}, 7, {dtype=torch.int16}}, {{2}, true}"},
    {.sig = MT_SIG("empty_like(Tensor self, *, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "An unfilled tensor with the sizes, dtype and device of self.",
     MAKE(like_infer, empty_run),
     .dtypes = MT_D_ALL,
     .flags = NEVER,
     .samples = "{f(2,3)}, {t(f(2,3))}, {f()}"},
    {.sig = MT_SIG("zeros_like(Tensor self, *, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "Zeros with the sizes, dtype and device of self.",
     MAKE(like_infer, zeros_run),
     .dtypes = MT_D_ALL,
     .flags = NEVER,
     .samples = "{f(2,3)}, {t(f(2,3))}, {f()}, {f(0,2)}, {f(2), {dtype=torch.int32}}"},
    {.sig = MT_SIG("ones_like(Tensor self, *, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "Ones with the sizes, dtype and device of self.",
     MAKE(like_infer, ones_run),
     .dtypes = MT_D_ALL,
     .flags = NEVER,
     .samples = "{f(2,3)}, {t(f(2,3))}, {f()}, {f(0,2)}, {e(f(2,1), 2, 3)}"},
    {.sig = MT_SIG("full_like(Tensor self, Scalar fill_value, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "One number with the sizes, dtype and device of self.",
     MAKE(like_infer, full_run),
     .dtypes = MT_D_ALL,
     .flags = NEVER,
     .samples = "{f(2,3), 2}, {t(f(2,3)), 0.5}, {f(), 1}"},
    {.sig = MT_SIG("new_empty(Tensor self, size* size, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "An unfilled tensor of the given sizes with self's dtype and device.",
     MAKE(new_infer, empty_run),
     .dtypes = MT_D_ALL,
     .flags = NEVER | MT_OP_NO_FUNCTION,
     .samples = "{f(2), 2, 3}, {f(2), {}}"},
    {.sig = MT_SIG("new_zeros(Tensor self, size* size, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Zeros of the given sizes with self's dtype and device.",
     MAKE(new_infer, zeros_run),
     .dtypes = MT_D_ALL,
     .flags = NEVER | MT_OP_NO_FUNCTION,
     .samples = "{f(2), 2, 3}, {f(2), {}}"},
    {.sig = MT_SIG("new_ones(Tensor self, size* size, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Ones of the given sizes with self's dtype and device.",
     MAKE(new_infer, ones_run),
     .dtypes = MT_D_ALL,
     .flags = NEVER | MT_OP_NO_FUNCTION,
     .samples = "{f(2), 2, 3}, {f(2), {}}"},
    {.sig = MT_SIG("new_full(Tensor self, size size, Scalar fill_value, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "One number in the given sizes with self's dtype and device.",
     MAKE(new_infer, new_full_run),
     .dtypes = MT_D_ALL,
     .flags = NEVER | MT_OP_NO_FUNCTION,
     .samples = "{f(2), {2, 3}, 4}"},
    {.sig = MT_SIG("arange(Scalar start, Scalar stop, Scalar step=1, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Numbers from start up to, not including, stop; int64 if all three are whole.",
     MAKE(arange_infer, arange_run),
     .samples = "{1, 5}, {0, 1, 0.25}, {5, 0, -2}, {2, 2}, {0, 3, {dtype=torch.float64}}"},
    {.sig = MT_SIG("arange.end(Scalar stop, *, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "Numbers from 0 up to, not including, stop.",
     MAKE(arange_infer, arange_run),
     .samples = "{5}, {2.5}, {0}"},
    {.sig = MT_SIG("range(Scalar start, Scalar stop, Scalar step=1, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Numbers from start to stop, both included.",
     MAKE(arange_infer, arange_run),
     .samples = "{1, 5}, {0, 1, 0.25}, {5, 1, -2}, {2, 2}"},
    {.sig = MT_SIG("linspace(Scalar start, Scalar stop, int steps, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Evenly spaced numbers from start to stop, both included.",
     MAKE(linspace_infer, linspace_run),
     .samples = "{0, 1, 5}, {3, -3, 4}, {2, 5, 1}, {0, 1, 0}"},
    {.sig = MT_SIG("logspace(Scalar start, Scalar stop, int steps, float base=10, *, "
                   "dtype? dtype=None, device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "base to the power of evenly spaced numbers.",
     MAKE(linspace_infer, logspace_run),
     .samples = "{0, 2, 3}, {0, 4, 5, 2}"},
    {.sig = MT_SIG("eye(int n, int? m=None, *, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "A matrix with ones on the diagonal, zeros elsewhere.",
     MAKE(eye_infer, eye_run),
     .samples = "{3}, {2, 4}, {4, 2}, {0}"},
    {.sig = MT_SIG("tril(Tensor self, int diagonal=0) -> Tensor"),
     .doc = "The lower triangle of matrices, zeros above the diagonal.",
     MATRIX_OP(tri_run, tril_vjp),
     .samples = "{f(3,4)}, {f(4,3), 1}, {f(2,3,3), -1}, {t(f(3,4))}, {f(0,3)}, {f(3,3), -9}"},
    {.sig = MT_SIG("triu(Tensor self, int diagonal=0) -> Tensor"),
     .doc = "The upper triangle of matrices, zeros below the diagonal.",
     MATRIX_OP(tri_run, triu_vjp),
     .samples = "{f(3,4)}, {f(4,3), 1}, {f(2,3,3), -1}, {t(f(3,4))}, {f(0,3)}, {f(3,3), 9}"},
    {.sig = MT_SIG("diag(Tensor self, int diagonal=0) -> Tensor"),
     .doc = "A matrix with a vector on its diagonal, or a matrix's diagonal as a vector.",
     .composite = diag,
     .dtypes = MT_D_ALL,
     .samples = "{f(3)}, {f(3), 1}, {f(3), -2}, {f(3,4)}, {f(4,3), -1}, {t(f(3,4)), 1}"},
    {.sig = MT_SIG("diag_embed(Tensor self, int offset=0, dim dim1=-2, dim dim2=-1) -> Tensor"),
     .doc = "Matrices with the last dimension of self on their diagonals.",
     .composite = diag_embed,
     .dtypes = MT_D_ALL,
     .samples = "{f(2,3)}, {f(3), 1}, {f(2,3), -1, 1, 3}, {f(2,2,2), 0, 2, 4}"},
    {.sig = MT_SIG("diagflat(Tensor self, int offset=0) -> Tensor"),
     .doc = "A matrix with all elements of self on its diagonal.",
     .composite = diagflat,
     .dtypes = MT_D_ALL,
     .samples = "{f(3)}, {f(2,2), 1}, {f()}"},
    {.sig = MT_SIG("tril_indices(int row, int col, int offset=0, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Positions of the lower triangle of a matrix: rows above, columns below.",
     MAKE(tri_indices_infer, tri_indices_run),
     .samples = "{3, 3}, {3, 4, 1}, {4, 2, -1}"},
    {.sig = MT_SIG("triu_indices(int row, int col, int offset=0, *, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Positions of the upper triangle of a matrix: rows above, columns below.",
     MAKE(tri_indices_infer, tri_indices_run),
     .samples = "{3, 3}, {3, 4, 1}, {4, 2, -1}"},
    {0}};
