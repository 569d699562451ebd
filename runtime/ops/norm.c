/* norm.c: layer_norm. Nothing but the input and the weight is kept for backward: a row's mean and
 * deviation are computed again from the row while it is in cache. */
#include <math.h>
#include <string.h>

#include "formula.h"
#include "kernels/norm.h"

MT_KERNELS(norm)

enum { GRAIN = 16384, STAGE = 1024, MAX_BLOCKS = 256, MAX_PARTIALS = 1 << 20 };

/* ---- a row in pieces of the computed dtype ---- */

typedef struct {
  const mt_norm_loops *k;
  int dtype, size; /* computed in */
  int64_t rows, n;
  double eps;
  const mt_tensor *x, *g;
  mt_tensor *out;
  const char *w, *b; /* in the computed dtype, or NULL */
  char *gw, *gb;     /* partial sums, one block of n a block of rows, or NULL */
  int64_t block;     /* rows of a block */
  int64_t blocks;
  mt_tensor *gw_out, *gb_out;
} job;

static int64_t piece(const job *j, const mt_tensor *t) {
  return t->dtype == j->dtype ? MT_NORM_CHUNK : STAGE;
}

static const void *fetch(const job *j, const mt_tensor *t, int64_t at, int64_t n, double *buf) {
  const char *p = mt__ptr(t) + at * mt__esize(t->dtype);
  if (t->dtype == j->dtype) return p;
  mt__convert((char *)buf, j->dtype, 1, p, t->dtype, 1, n);
  return buf;
}

static mt_norm_row measure(const job *j, int64_t begin, double *buf) {
  int64_t step = piece(j, j->x);
  double sum = 0, squares = 0;
  mt_norm_row row;
  for (int64_t i = 0; i < j->n; i += step) {
    int64_t c = j->n - i < step ? j->n - i : step;
    sum += j->k->sum(fetch(j, j->x, begin + i, c, buf), c);
  }
  row.mean = sum / (double)j->n;
  for (int64_t i = 0; i < j->n; i += step) {
    int64_t c = j->n - i < step ? j->n - i : step;
    squares += j->k->square_sum(fetch(j, j->x, begin + i, c, buf), c, row.mean);
  }
  row.rstd = 1 / sqrt(squares / (double)j->n + j->eps);
  return row;
}

static void put(const job *j, mt_tensor *t, int64_t at, int64_t n, const double *buf) {
  mt__convert(mt__ptr(t) + at * mt__esize(t->dtype), t->dtype, 1, (const char *)buf, j->dtype, 1,
              n);
}

static const char *part(const job *j, const char *p, int64_t i) {
  return p ? p + i * j->size : NULL;
}

static void forward_rows(void *ctx, int64_t first, int64_t last) {
  const job *j = ctx;
  double buf[STAGE], to[STAGE];
  int64_t step = piece(j, j->x);
  bool keep = j->out->dtype == j->dtype;
  for (int64_t r = first; r < last; r++) {
    int64_t begin = r * j->n;
    mt_norm_row row = measure(j, begin, buf);
    for (int64_t i = 0; i < j->n; i += step) {
      int64_t c = j->n - i < step ? j->n - i : step;
      void *y = keep ? mt__ptr(j->out) + (begin + i) * j->size : (char *)to;
      j->k->apply(fetch(j, j->x, begin + i, c, buf), y, c, row, part(j, j->w, i), part(j, j->b, i));
      if (!keep) put(j, j->out, begin + i, c, to);
    }
  }
}

static void backward_block(void *ctx, int64_t block) {
  const job *j = ctx;
  double xbuf[STAGE], gbuf[STAGE], to[STAGE];
  bool direct = j->x->dtype == j->dtype && j->g->dtype == j->dtype;
  int64_t step = direct ? MT_NORM_CHUNK : STAGE;
  int64_t last = (block + 1) * j->block < j->rows ? (block + 1) * j->block : j->rows;
  size_t bytes = (size_t)j->n * (size_t)j->size;
  char *gw = j->gw ? j->gw + (size_t)block * bytes : NULL;
  char *gb = j->gb ? j->gb + (size_t)block * bytes : NULL;
  if (gw) memset(gw, 0, bytes);
  if (gb) memset(gb, 0, bytes);
  for (int64_t r = block * j->block; r < last; r++) {
    int64_t begin = r * j->n;
    mt_norm_row row = measure(j, begin, xbuf);
    double sums[2] = {0, 0};
    for (int64_t i = 0; i < j->n; i += step) {
      int64_t c = j->n - i < step ? j->n - i : step;
      j->k->back_sums(fetch(j, j->g, begin + i, c, gbuf), fetch(j, j->x, begin + i, c, xbuf), c,
                      row, part(j, j->w, i), sums, gw ? gw + i * j->size : NULL,
                      gb ? gb + i * j->size : NULL);
    }
    if (!j->out) continue;
    for (int64_t i = 0; i < j->n; i += step) {
      int64_t c = j->n - i < step ? j->n - i : step;
      bool keep = direct && j->out->dtype == j->dtype;
      void *gx = keep ? mt__ptr(j->out) + (begin + i) * j->size : (char *)to;
      j->k->back_apply(fetch(j, j->g, begin + i, c, gbuf), fetch(j, j->x, begin + i, c, xbuf), gx,
                       c, row, part(j, j->w, i), sums[0] / (double)j->n, sums[1] / (double)j->n);
      if (!keep) put(j, j->out, begin + i, c, to);
    }
  }
}

/* The blocks' sums for columns begin..end-1, added in order. */
static void join_columns(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  for (int k = 0; k < 2; k++) {
    const char *from = k ? j->gb : j->gw;
    mt_tensor *to = k ? j->gb_out : j->gw_out;
    if (!from) continue;
    for (int64_t i = begin; i < end; i += STAGE) {
      int64_t c = end - i < STAGE ? end - i : STAGE;
      double sum[STAGE] = {0};
      for (int64_t b = 0; b < j->blocks; b++) {
        const char *p = from + (b * j->n + i) * j->size;
        if (j->size == 8)
          for (int64_t m = 0; m < c; m++) sum[m] += ((const double *)(const void *)p)[m];
        else
          for (int64_t m = 0; m < c; m++) sum[m] += (double)((const float *)(const void *)p)[m];
      }
      mt__convert(mt__ptr(to) + i * mt__esize(to->dtype), to->dtype, 1, (const char *)sum,
                  MT_FLOAT64, 1, c);
    }
  }
}

/* ---- shared by forward and backward ---- */

static int computed(const mt_tensor *x) {
  return x->dtype == MT_FLOAT64 ? MT_FLOAT64 : MT_FLOAT32;
}

/* Bytes of a weight that has to be staged. */
static size_t staged_bytes(const mt_tensor *x, const mt_tensor *w) {
  int dtype = computed(x);
  return w && w->dtype != dtype ? (size_t)w->numel * (size_t)mt__esize(dtype) : 0;
}

static const char *staged(const job *j, const mt_tensor *w, char **work) {
  if (!w) return NULL;
  if (w->dtype == j->dtype) return mt__ptr(w);
  char *to = *work;
  mt__convert(to, j->dtype, 1, mt__ptr(w), w->dtype, 1, w->numel);
  *work += (size_t)w->numel * (size_t)j->size;
  return to;
}

static void start(job *j, const mt_tensor *x, int64_t n, double eps) {
  j->dtype = computed(x);
  j->size = mt__esize(j->dtype);
  j->k = j->size == 8 ? &mt__kern_norm()->f64 : &mt__kern_norm()->f32;
  j->x = x;
  j->n = n;
  j->rows = x->numel / n;
  j->eps = eps;
}

/* Checks normalized_shape (args[shape]) against x; *n: its number of elements. */
static int check_shape(const mt_frame *f, const mt_tensor *x, int shape, int64_t *n) {
  const mt_arg *want = &f->args[shape];
  char a[160], b[160];
  int k = want->n;
  bool fits = k >= 1 && k <= x->ndim;
  for (int i = 0; fits && i < k; i++) fits = want->u.is[i] == x->sizes[x->ndim - k + i];
  if (k < 1)
    return mt__op_fail(f, MT_ERR_SHAPE, "Expected normalized_shape to be at least 1-dimensional");
  if (!fits) {
    mt__shape_text(a, sizeof a, k, want->u.is);
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Given normalized_shape=%s, expected input with shape {*, %s, but got input "
                       "of size %s",
                       a, a + 1, mt__shape_text(b, sizeof b, x->ndim, x->sizes));
  }
  *n = 1;
  for (int i = 0; i < k; i++) *n *= want->u.is[i];
  return MT_OK;
}

static int check_parameter(const mt_frame *f, int param, const mt_arg *shape) {
  const mt_tensor *t = mt__t(f, param);
  if (!t) return MT_OK;
  MT_TRY(mt__want_dtype(f, f->op->params[param].name, t, MT_D_FLOAT));
  bool fits = t->ndim == shape->n;
  for (int i = 0; fits && i < t->ndim; i++) fits = t->sizes[i] == shape->u.is[i];
  if (fits) return MT_OK;
  char a[160], b[160];
  const char *name = f->op->params[param].name;
  return mt__op_fail(f, MT_ERR_SHAPE,
                     "Expected %s to be of same shape as normalized_shape, but got %s of shape %s "
                     "and normalized_shape = %s",
                     name, name, mt__shape_text(a, sizeof a, t->ndim, t->sizes),
                     mt__shape_text(b, sizeof b, shape->n, shape->u.is));
}

/* ---- layer_norm(input, normalized_shape, weight, bias, eps) ---- */

static int forward_infer(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t;
  int64_t n;
  MT_TRY(check_shape(f, x, 1, &n));
  MT_TRY(check_parameter(f, 2, &f->args[1]));
  MT_TRY(check_parameter(f, 3, &f->args[1]));
  f->priv[0] = (uint64_t)n;
  f->work_bytes = staged_bytes(x, mt__t(f, 2)) + staged_bytes(x, mt__t(f, 3));
  return mt__out(f, 0, x->dtype, x->device, x->ndim, x->sizes);
}

static int forward_run(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t;
  if (x->numel == 0) return MT_OK;
  job j = {.out = f->out[0]};
  char *work = f->work;
  start(&j, x, (int64_t)f->priv[0], mt__num(&f->args[4]));
  j.w = staged(&j, mt__t(f, 2), &work);
  j.b = staged(&j, mt__t(f, 3), &work);
  return mt__parallel_range(j.rows, j.n >= GRAIN ? 1 : GRAIN / j.n, forward_rows, &j);
}

/* With xhat = (x - mean) rstd and h = g w:
 *   gx = rstd (h - mean(h) - xhat mean(h xhat)),  gw = sum(g xhat),  gb = sum(g). */
static int formula(mt_vjp *v, mt_tensor *x, mt_tensor *w, double eps) {
  int64_t dims[MT_MAX_DIMS];
  int k = v->args[1].n;
  for (int i = 0; i < k; i++) dims[i] = x->ndim - k + i;
  mt_ints over = {k, dims};
  mt_tensor *g = v->g[0];
  MT_AUTO *mean = NULL, *away = NULL, *square = NULL, *var = NULL, *safe = NULL, *rstd = NULL;
  MT_AUTO *hat = NULL;
  MT_TRY(mt_mean(&mean, x, over, true, -1));
  MT_TRY(mt__f_sub(&away, x, mean));
  MT_TRY(mt__f_mul(&square, away, away));
  MT_TRY(mt_mean(&var, square, over, true, -1));
  MT_TRY(mt_add(&safe, mt__arg_t(var), mt__arg_f(eps), mt__arg_i(1)));
  MT_TRY(mt_rsqrt(&rstd, safe));
  MT_TRY(mt__f_mul(&hat, away, rstd));
  if (v->need[1]) {
    MT_AUTO *t = NULL;
    MT_TRY(mt__f_mul(&t, g, hat));
    MT_TRY(mt__sum_to(&v->gin[1], t, v->args[2].u.t));
  }
  if (!v->need[0]) return MT_OK;
  MT_AUTO *h = NULL, *hx = NULL, *a = NULL, *b = NULL, *left = NULL, *drift = NULL, *rest = NULL;
  if (w)
    MT_TRY(mt__f_mul(&h, g, w));
  else
    h = mt_retain(g);
  MT_TRY(mt__f_mul(&hx, h, hat));
  MT_TRY(mt_mean(&a, h, over, true, -1));
  MT_TRY(mt_mean(&b, hx, over, true, -1));
  MT_TRY(mt__f_sub(&left, h, a));
  MT_TRY(mt__f_mul(&drift, hat, b));
  MT_TRY(mt__f_sub(&rest, left, drift));
  return mt__f_mul(&v->gin[0], rest, rstd);
}

static int forward_vjp(mt_vjp *v) {
  mt_tensor *x = v->args[0].u.t;
  mt_tensor *w = v->args[2].kind == MT_TENSOR && v->need[0] ? v->args[2].u.t : NULL;
  double eps = mt__num(&v->args[4]);
  mt_ints shape = {v->args[1].n, v->args[1].u.is};
  if (mt_grad_enabled() || !(v->need[0] || v->need[1])) {
    if (v->need[2]) MT_TRY(mt__sum_to(&v->gin[2], v->g[0], v->args[3].u.t));
    return v->need[0] || v->need[1] ? formula(v, x, w, eps) : MT_OK;
  }
  MT_AUTO *gx = NULL, *gw = NULL, *gb = NULL;
  MT_TRY(mt__layer_norm_backward(&gx, &gw, &gb, v->g[0], x, shape, w, eps, v->need[0], v->need[1],
                                 v->need[2]));
  mt_tensor **made[3] = {&gx, &gw, &gb};
  for (int i = 0; i < 3; i++)
    if (v->need[i]) v->gin[i] = *made[i], *made[i] = NULL;
  return MT_OK;
}

/* ---- _layer_norm_backward(grad, input, normalized_shape, weight, eps, needs...) ---- */

static void cut_blocks(const mt_tensor *x, int64_t n, int64_t *block, int64_t *blocks) {
  int64_t rows = n ? x->numel / n : 0, most = n && n < MAX_PARTIALS ? MAX_PARTIALS / n : 1;
  if (most > MAX_BLOCKS) most = MAX_BLOCKS;
  int64_t least = n && n < GRAIN ? GRAIN / n : 1;
  *block = (rows + most - 1) / most;
  if (*block < least) *block = least;
  *blocks = (rows + *block - 1) / *block;
}

static int backward_infer(mt_frame *f) {
  const mt_tensor *x = f->args[1].u.t, *w = mt__t(f, 3);
  const mt_arg *shape = &f->args[2];
  int64_t n, block, blocks, none = 0;
  MT_TRY(check_shape(f, x, 2, &n));
  MT_TRY(check_parameter(f, 3, shape));
  cut_blocks(x, n, &block, &blocks);
  f->priv[0] = (uint64_t)n;
  size_t each = (size_t)(blocks * n) * (size_t)mt__esize(computed(x));
  f->work_bytes = staged_bytes(x, w) + (f->args[6].u.i ? each : 0) + (f->args[7].u.i ? each : 0);
  if (f->args[5].u.i)
    MT_TRY(mt__out(f, 0, x->dtype, x->device, x->ndim, x->sizes));
  else
    MT_TRY(mt__out(f, 0, x->dtype, x->device, 1, &none));
  for (int k = 1; k < 3; k++) {
    bool need = f->args[5 + k].u.i != 0;
    MT_TRY(mt__out(f, k, w ? w->dtype : x->dtype, x->device, need ? shape->n : 1,
                   need ? shape->u.is : &none));
  }
  return MT_OK;
}

static int backward_run(mt_frame *f) {
  const mt_tensor *x = f->args[1].u.t;
  bool need_x = f->args[5].u.i, need_w = f->args[6].u.i, need_b = f->args[7].u.i;
  if (x->numel == 0) {
    for (int k = 1; k < 3; k++)
      if (f->out[k]->numel)
        memset(mt__ptr(f->out[k]), 0,
               (size_t)f->out[k]->numel * (size_t)mt__esize(f->out[k]->dtype));
    return MT_OK;
  }
  job j = {.g = f->args[0].u.t,
           .out = need_x ? f->out[0] : NULL,
           .gw_out = f->out[1],
           .gb_out = f->out[2]};
  char *work = f->work;
  start(&j, x, (int64_t)f->priv[0], mt__num(&f->args[4]));
  cut_blocks(x, j.n, &j.block, &j.blocks);
  size_t each = (size_t)(j.blocks * j.n) * (size_t)j.size;
  if (need_w) j.gw = work, work += each;
  if (need_b) j.gb = work, work += each;
  j.w = staged(&j, mt__t(f, 3), &work);
  MT_TRY(mt__parallel(j.blocks, backward_block, &j));
  if (!need_w && !need_b) return MT_OK;
  return mt__parallel_range(j.n, 4 * STAGE, join_columns, &j);
}

const mt_opdef mt__ops_norm[] = {
    {.sig = MT_SIG("layer_norm(Tensor input, size normalized_shape, Tensor? weight=None, "
                   "Tensor? bias=None, float eps=1e-05) -> Tensor"),
     .doc = "Mean 0 and variance 1 over the last dimensions, then times weight plus bias.",
     .infer = forward_infer,
     .run = forward_run,
     .vjp = forward_vjp,
     .saves = "input:input,weight weight:input",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL | MT_OP_CONTIGUOUS,
     .samples = "{f(3,4), {4}}, {f(3,4), {4}, f(4), f(4)}, {f(2,3,4), {3,4}, f(3,4), nil}, "
                "{t(f(5,3)), {5}, f(5), f(5), {eps=0.1}}, {f(0,3), {3}, f(3), f(3)}, "
                "{f(4), {4}, {bias=f(4)}}"},
    {.sig = MT_SIG("_layer_norm_backward(Tensor grad, Tensor input, size normalized_shape, "
                   "Tensor? weight, float eps, bool need_input, bool need_weight, bool need_bias) "
                   "-> (Tensor input, Tensor weight, Tensor bias)"),
     .doc = "Gradients of layer_norm; what is not needed comes empty.",
     .infer = backward_infer,
     .run = backward_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS | MT_OP_NO_AUTOGRAD,
     .samples = "{f(3,4), f(3,4), {4}, f(4), 0.1, true, true, true}"},
    {0}};
