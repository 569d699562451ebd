/* softmax.c: softmax and log_softmax along a dimension, and their derivatives.
 *
 * A tensor is outer x n x inner. inner == 1: rows of contiguous numbers; otherwise columns, up to
 * MT_SM_LANES of them side by side. float16 and bfloat16 are staged through float32 in pieces. */
#include <math.h>

#include "formula.h"
#include "kernels/softmax.h"

MT_KERNELS(softmax)

enum { GRAIN = 16384 };

typedef struct {
  const mt_softmax_loops *k;
  bool log, back;
  int dtype, size;         /* computed */
  int in_dtype, out_dtype; /* as they lie */
  const char *in, *grad;   /* back: in is the forward result */
  char *out;
  int64_t rows, n, inner, tiles;
} job;

static const char *in_at(const job *j, const char *base, int64_t i) {
  return base + i * mt__esize(j->in_dtype);
}
static char *out_at(const job *j, int64_t i) {
  return j->out + i * mt__esize(j->out_dtype);
}

/* ---- rows ---- */

typedef union {
  float f[MT_SM_CHUNK];
  double d[MT_SM_CHUNK];
} chunk;

static const void *fetch(const job *j, const char *base, int64_t at, int64_t n, chunk *buf) {
  if (j->in_dtype == j->dtype) return in_at(j, base, at);
  mt__convert((char *)buf, j->dtype, 1, in_at(j, base, at), j->in_dtype, 1, n);
  return buf;
}

static void forward_row(const job *j, int64_t row, chunk *x, chunk *y) {
  const mt_softmax_loops *k = j->k;
  int64_t n = j->n, begin = row * n;
  bool keep = j->out_dtype == j->dtype;
  double m = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; i += MT_SM_CHUNK) {
    int64_t c = n - i < MT_SM_CHUNK ? n - i : MT_SM_CHUNK;
    double top = k->max(fetch(j, j->in, begin + i, c, x), c);
    m = top > m ? top : m;
  }
  bool store = !j->log && keep;
  for (int64_t i = 0; i < n; i += MT_SM_CHUNK) {
    int64_t c = n - i < MT_SM_CHUNK ? n - i : MT_SM_CHUNK;
    const void *from = fetch(j, j->in, begin + i, c, x);
    sum += store ? k->exp_store(from, out_at(j, begin + i), c, m) : k->exp_sum(from, c, m);
  }
  if (store) {
    k->scale(out_at(j, begin), n, 1 / sum);
    return;
  }
  double by = j->log ? m + log(sum) : 0;
  for (int64_t i = 0; i < n; i += MT_SM_CHUNK) {
    int64_t c = n - i < MT_SM_CHUNK ? n - i : MT_SM_CHUNK;
    const void *from = fetch(j, j->in, begin + i, c, x);
    void *to = keep ? (void *)out_at(j, begin + i) : y;
    if (j->log)
      k->shift(from, to, c, by);
    else
      k->exp_scale(from, to, c, m, 1 / sum);
    if (!keep) mt__convert(out_at(j, begin + i), j->out_dtype, 1, to, j->dtype, 1, c);
  }
}

static void back_row(const job *j, int64_t row, chunk *x, chunk *y) {
  const mt_softmax_loops *k = j->k;
  int64_t n = j->n, begin = row * n;
  double sum = 0;
  chunk z;
  for (int64_t i = 0; i < n; i += MT_SM_CHUNK) {
    int64_t c = n - i < MT_SM_CHUNK ? n - i : MT_SM_CHUNK;
    const void *g = fetch(j, j->grad, begin + i, c, x);
    sum += j->log ? k->sum(g, c) : k->dot(g, fetch(j, j->in, begin + i, c, y), c);
  }
  for (int64_t i = 0; i < n; i += MT_SM_CHUNK) {
    int64_t c = n - i < MT_SM_CHUNK ? n - i : MT_SM_CHUNK;
    const void *g = fetch(j, j->grad, begin + i, c, x), *o = fetch(j, j->in, begin + i, c, y);
    void *to = j->out_dtype == j->dtype ? (void *)out_at(j, begin + i) : &z;
    (j->log ? k->log_back : k->back)(g, o, to, c, sum);
    if (to == &z) mt__convert(out_at(j, begin + i), j->out_dtype, 1, to, j->dtype, 1, c);
  }
}

static void run_rows(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  chunk x, y;
  for (int64_t row = begin; row < end; row++) {
    if (j->back)
      back_row(j, row, &x, &y);
    else
      forward_row(j, row, &x, &y);
  }
}

/* ---- short rows, as columns of a tile ---- */

typedef union {
  float f[MT_SM_ROWS * MT_SM_LANES];
  double d[MT_SM_ROWS * MT_SM_LANES];
} tile;

/* Values per column in the computed dtype. */
typedef union {
  float f[MT_SM_LANES];
  double d[MT_SM_LANES];
} per_column;

static void narrow_to(const job *j, per_column *to, const double *from, int64_t w) {
  if (j->size == 8)
    for (int64_t i = 0; i < w; i++) to->d[i] = from[i];
  else
    for (int64_t i = 0; i < w; i++) to->f[i] = (float)from[i];
}

static void small_rows(const job *j, int64_t first, int64_t rows, chunk *x, chunk *y, tile *a,
                       tile *b, tile *to) {
  const mt_softmax_loops *k = j->k;
  int64_t n = j->n, begin = first * n, w = mt_sm_width(rows);
  per_column m, by;
  double sum[MT_SM_LANES] = {0}, value[MT_SM_LANES];
  k->to_tile(fetch(j, j->in, begin, rows * n, x), rows, n, a);
  if (j->back) {
    k->to_tile(fetch(j, j->grad, begin, rows * n, x), rows, n, b);
    k->col_dot(b, MT_SM_LANES, j->log ? NULL : a, MT_SM_LANES, n, w, sum);
    narrow_to(j, &by, sum, w);
    (j->log ? k->col_log_back : k->col_back)(b, MT_SM_LANES, a, MT_SM_LANES, to, MT_SM_LANES, n, w,
                                             &by);
  } else {
    for (int64_t i = 0; i < w; i++) value[i] = -INFINITY;
    narrow_to(j, &m, value, w);
    k->col_max(a, MT_SM_LANES, n, w, &m);
    k->col_exp_sum(a, MT_SM_LANES, n, w, &m, sum);
    if (j->log)
      k->col_lse(&m, sum, w, value);
    else
      for (int64_t i = 0; i < w; i++) value[i] = 1 / sum[i];
    narrow_to(j, &by, value, w);
    if (j->log)
      k->col_shift(a, MT_SM_LANES, to, MT_SM_LANES, n, w, &by);
    else
      k->col_exp(a, MT_SM_LANES, to, MT_SM_LANES, n, w, &m, &by);
  }
  void *flat = j->out_dtype == j->dtype ? (void *)out_at(j, begin) : y;
  k->from_tile(to, rows, n, flat);
  if (flat == y) mt__convert(out_at(j, begin), j->out_dtype, 1, flat, j->dtype, 1, rows * n);
}

static void run_small(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  chunk x, y;
  tile a, b, to;
  for (int64_t g = begin; g < end; g++) {
    int64_t first = g * MT_SM_LANES;
    int64_t rows = j->rows - first < MT_SM_LANES ? j->rows - first : MT_SM_LANES;
    small_rows(j, first, rows, &x, &y, &a, &b, &to);
  }
}

/* ---- columns ---- */

/* Up to MT_SM_ROWS rows of w columns; *stride is then that of what is returned. */
static const void *fetch_tile(const job *j, const char *base, int64_t at, int64_t rows, int64_t w,
                              tile *buf, int64_t *stride) {
  if (j->in_dtype == j->dtype) {
    *stride = j->inner;
    return in_at(j, base, at);
  }
  for (int64_t r = 0; r < rows; r++)
    mt__convert((char *)buf + r * MT_SM_LANES * j->size, j->dtype, 1,
                in_at(j, base, at + r * j->inner), j->in_dtype, 1, w);
  *stride = MT_SM_LANES;
  return buf;
}

static void put_tile(const job *j, int64_t at, int64_t rows, int64_t w, const tile *buf) {
  for (int64_t r = 0; r < rows; r++)
    mt__convert(out_at(j, at + r * j->inner), j->out_dtype, 1,
                (const char *)buf + r * MT_SM_LANES * j->size, j->dtype, 1, w);
}

static void forward_tile(const job *j, int64_t begin, int64_t w, tile *x, tile *y) {
  const mt_softmax_loops *k = j->k;
  bool keep = j->out_dtype == j->dtype;
  per_column m, by;
  double sum[MT_SM_LANES], value[MT_SM_LANES];
  int64_t xs, ys = keep ? j->inner : MT_SM_LANES;
  for (int64_t i = 0; i < w; i++) sum[i] = 0, value[i] = -INFINITY;
  narrow_to(j, &m, value, w);
  for (int64_t r = 0; r < j->n; r += MT_SM_ROWS) {
    int64_t c = j->n - r < MT_SM_ROWS ? j->n - r : MT_SM_ROWS;
    const void *from = fetch_tile(j, j->in, begin + r * j->inner, c, w, x, &xs);
    k->col_max(from, xs, c, w, &m);
  }
  for (int64_t r = 0; r < j->n; r += MT_SM_ROWS) {
    int64_t c = j->n - r < MT_SM_ROWS ? j->n - r : MT_SM_ROWS;
    const void *from = fetch_tile(j, j->in, begin + r * j->inner, c, w, x, &xs);
    k->col_exp_sum(from, xs, c, w, &m, sum);
  }
  if (j->log)
    k->col_lse(&m, sum, w, value);
  else
    for (int64_t i = 0; i < w; i++) value[i] = 1 / sum[i];
  narrow_to(j, &by, value, w);
  for (int64_t r = 0; r < j->n; r += MT_SM_ROWS) {
    int64_t c = j->n - r < MT_SM_ROWS ? j->n - r : MT_SM_ROWS, at = begin + r * j->inner;
    const void *from = fetch_tile(j, j->in, at, c, w, x, &xs);
    void *to = keep ? (void *)out_at(j, at) : y;
    if (j->log)
      k->col_shift(from, xs, to, ys, c, w, &by);
    else
      k->col_exp(from, xs, to, ys, c, w, &m, &by);
    if (!keep) put_tile(j, at, c, w, y);
  }
}

static void back_tile(const job *j, int64_t begin, int64_t w, tile *x, tile *y) {
  const mt_softmax_loops *k = j->k;
  bool keep = j->out_dtype == j->dtype;
  per_column by;
  double sum[MT_SM_LANES] = {0};
  int64_t gs, ys = 0, os = keep ? j->inner : MT_SM_LANES;
  tile z;
  for (int64_t r = 0; r < j->n; r += MT_SM_ROWS) {
    int64_t c = j->n - r < MT_SM_ROWS ? j->n - r : MT_SM_ROWS, at = begin + r * j->inner;
    const void *g = fetch_tile(j, j->grad, at, c, w, x, &gs), *o = NULL;
    if (!j->log) o = fetch_tile(j, j->in, at, c, w, y, &ys);
    k->col_dot(g, gs, o, ys, c, w, sum);
  }
  narrow_to(j, &by, sum, w);
  for (int64_t r = 0; r < j->n; r += MT_SM_ROWS) {
    int64_t c = j->n - r < MT_SM_ROWS ? j->n - r : MT_SM_ROWS, at = begin + r * j->inner;
    const void *g = fetch_tile(j, j->grad, at, c, w, x, &gs);
    const void *o = fetch_tile(j, j->in, at, c, w, y, &ys);
    void *to = keep ? (void *)out_at(j, at) : &z;
    (j->log ? k->col_log_back : k->col_back)(g, gs, o, ys, to, os, c, w, &by);
    if (!keep) put_tile(j, at, c, w, &z);
  }
}

static void run_tiles(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  tile x, y;
  for (int64_t t = begin; t < end; t++) {
    int64_t outer = t / j->tiles, col = (t - outer * j->tiles) * MT_SM_LANES;
    int64_t w = j->inner - col < MT_SM_LANES ? j->inner - col : MT_SM_LANES;
    int64_t at = outer * j->n * j->inner + col;
    if (j->back)
      back_tile(j, at, w, &x, &y);
    else
      forward_tile(j, at, w, &x, &y);
  }
}

/* ---- the ops ---- */

static int run_job(mt_frame *f, job *j, int dim) {
  mt_tensor *out = f->out[0];
  if (out->numel == 0) return MT_OK;
  bool wide = out->dtype == MT_FLOAT64;
  j->k = wide ? &mt__kern_softmax()->f64 : &mt__kern_softmax()->f32;
  j->dtype = wide ? MT_FLOAT64 : MT_FLOAT32;
  j->size = mt__esize(j->dtype);
  j->out = mt__ptr(out);
  j->out_dtype = out->dtype;
  int64_t outer = 1;
  j->n = j->inner = 1;
  for (int d = 0; d < out->ndim; d++) {
    if (d < dim)
      outer *= out->sizes[d];
    else if (d == dim)
      j->n = out->sizes[d];
    else
      j->inner *= out->sizes[d];
  }
  if (j->inner == 1 && j->n <= MT_SM_LANES) {
    j->rows = outer;
    int64_t work = MT_SM_LANES * j->n;
    return mt__parallel_range((outer + MT_SM_LANES - 1) / MT_SM_LANES,
                              work >= GRAIN ? 1 : GRAIN / work, run_small, j);
  }
  if (j->inner == 1)
    return mt__parallel_range(outer, j->n >= GRAIN ? 1 : GRAIN / j->n, run_rows, j);
  j->tiles = (j->inner + MT_SM_LANES - 1) / MT_SM_LANES;
  int64_t work = j->n * (j->inner < MT_SM_LANES ? j->inner : MT_SM_LANES);
  return mt__parallel_range(outer * j->tiles, work >= GRAIN ? 1 : GRAIN / work, run_tiles, j);
}

static int softmax_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int dim, dtype = f->args[2].kind == MT_INT ? (int)f->args[2].u.i : self->dtype;
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, self->ndim, &dim));
  if (!mt__is_float(dtype))
    return mt__op_fail(f, MT_ERR_DTYPE, "softmax needs a floating point dtype, got %s",
                       mt_dtype_name(dtype));
  f->priv[0] = (uint64_t)dim;
  return mt__out(f, 0, dtype, self->device, self->ndim, self->sizes);
}

static int forward(mt_frame *f, bool log) {
  const mt_tensor *self = f->args[0].u.t;
  job j = {.log = log, .in = mt__ptr(self), .in_dtype = self->dtype};
  return run_job(f, &j, (int)f->priv[0]);
}

static int softmax_run(mt_frame *f) {
  return forward(f, false);
}
static int log_softmax_run(mt_frame *f) {
  return forward(f, true);
}

static int softmax_vjp(mt_vjp *v) {
  return mt__softmax_backward(&v->gin[0], v->g[0], v->outs[0], v->args[1].u.i);
}

static int log_softmax_vjp(mt_vjp *v) {
  return mt__log_softmax_backward(&v->gin[0], v->g[0], v->outs[0], v->args[1].u.i);
}

static int back_infer(mt_frame *f) {
  const mt_tensor *output = f->args[1].u.t;
  int dim;
  MT_TRY(mt__dim(f, "dim", f->args[2].u.i, output->ndim, &dim));
  f->priv[0] = (uint64_t)dim;
  return mt__out(f, 0, output->dtype, output->device, output->ndim, output->sizes);
}

static int backward(mt_frame *f, bool log) {
  const mt_tensor *grad = f->args[0].u.t, *output = f->args[1].u.t;
  job j = {.log = log,
           .back = true,
           .in = mt__ptr(output),
           .grad = mt__ptr(grad),
           .in_dtype = output->dtype};
  return run_job(f, &j, (int)f->priv[0]);
}

static int softmax_back_run(mt_frame *f) {
  return backward(f, false);
}
static int log_softmax_back_run(mt_frame *f) {
  return backward(f, true);
}

static int sum_along(mt_tensor **out, mt_tensor *t, int64_t dim) {
  return mt_sum(out, t, MT_INTS_OF(dim), true, -1);
}

/* r = y (g - sum(g y)); for h: to g the same form, y (h - sum(h y)); to y
 * h (g - sum(g y)) - g sum(h y). */
static int softmax_back_vjp(mt_vjp *v) {
  mt_tensor *h = v->g[0], *g = v->args[0].u.t, *y = v->args[1].u.t;
  int64_t dim = v->args[2].u.i;
  if (v->need[0]) MT_TRY(mt__softmax_backward(&v->gin[0], h, y, dim));
  if (!v->need[1]) return MT_OK;
  MT_AUTO *gy = NULL, *s = NULL, *away = NULL, *first = NULL, *hy = NULL, *t = NULL, *second = NULL;
  MT_TRY(mt__f_mul(&gy, g, y));
  MT_TRY(sum_along(&s, gy, dim));
  MT_TRY(mt__f_sub(&away, g, s));
  MT_TRY(mt__f_mul(&first, h, away));
  MT_TRY(mt__f_mul(&hy, h, y));
  MT_TRY(sum_along(&t, hy, dim));
  MT_TRY(mt__f_mul(&second, g, t));
  return mt__f_sub(&v->gin[1], first, second);
}

/* r = g - exp(y) sum(g); for h: to g h - sum(h exp(y)), to y -h exp(y) sum(g). */
static int log_softmax_back_vjp(mt_vjp *v) {
  mt_tensor *h = v->g[0], *g = v->args[0].u.t, *y = v->args[1].u.t;
  int64_t dim = v->args[2].u.i;
  MT_AUTO *p = NULL, *hp = NULL;
  MT_TRY(mt_exp(&p, y));
  MT_TRY(mt__f_mul(&hp, h, p));
  if (v->need[0]) {
    MT_AUTO *s = NULL;
    MT_TRY(sum_along(&s, hp, dim));
    MT_TRY(mt__f_sub(&v->gin[0], h, s));
  }
  if (v->need[1]) {
    MT_AUTO *s = NULL, *whole = NULL;
    MT_TRY(sum_along(&s, g, dim));
    MT_TRY(mt__f_mul(&whole, hp, s));
    MT_TRY(mt_neg(&v->gin[1], whole));
  }
  return MT_OK;
}

#define SAMPLES                                                                                    \
  "{f(3,4), 2}, {f(3,4), 1}, {f(2,3,4), -2}, {t(f(3,5)), 2}, {f(), 1}, {f(0,3), 2}, {f(2,3,2), 1}"
#define BACK_SAMPLES "{f(3,4), prob(3,4), 2}, {f(2,3,2), prob(2,3,2), 1}, {f(), prob(), 1}"

const mt_opdef mt__ops_softmax[] = {
    {.sig = MT_SIG("softmax(Tensor self, dim dim, dtype? dtype=None) -> Tensor"),
     .doc = "exp(x) / sum(exp(x)) along a dimension.",
     .infer = softmax_infer,
     .run = softmax_run,
     .vjp = softmax_vjp,
     .saves = "self:out",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_CONTIGUOUS,
     .samples = SAMPLES},
    {.sig = MT_SIG("log_softmax(Tensor self, dim dim, dtype? dtype=None) -> Tensor"),
     .doc = "x - log(sum(exp(x))) along a dimension.",
     .infer = softmax_infer,
     .run = log_softmax_run,
     .vjp = log_softmax_vjp,
     .saves = "self:out",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_CONTIGUOUS,
     .samples = SAMPLES},
    {.sig = MT_SIG("_softmax_backward(Tensor grad, Tensor output, dim dim) -> Tensor"),
     .doc = "Gradient of softmax from its result.",
     .infer = back_infer,
     .run = softmax_back_run,
     .vjp = softmax_back_vjp,
     .saves = "grad:output output:grad,output",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = BACK_SAMPLES},
    {.sig = MT_SIG("_log_softmax_backward(Tensor grad, Tensor output, dim dim) -> Tensor"),
     .doc = "Gradient of log_softmax from its result.",
     .infer = back_infer,
     .run = log_softmax_back_run,
     .vjp = log_softmax_back_vjp,
     .saves = "grad:output output:grad,output",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = BACK_SAMPLES},
    {0}};
