/* scan.c: cumsum, cumprod, cummax, cummin along one dimension.
 *
 * A line is what lies along the dimension. Lines that are neighbours in memory are scanned
 * together, up to LANES of them; a line alone is scanned in chunks. Numbers are float64 or int64
 * on the way, whatever the dtype. The work is cut by lines, so threads change no bits. */
#include <math.h>
#include <string.h>

#include "formula.h"
#include "reduce.h"

enum { LANES = 64, CHUNK = 256, GRAIN = 16384 };
enum scan_kind { SCAN_SUM, SCAN_PROD, SCAN_MAX, SCAN_MIN };

typedef struct {
  int kind;
  bool ints;
  const mt_tensor *in;
  mt_tensor *out, *index; /* index: NULL but for the extremes */
  int64_t n, in_step, out_step, index_step;
  int ndim; /* the other dimensions; lanes run along the last of them */
  int64_t sizes[MT_MAX_DIMS], in_stride[MT_MAX_DIMS], out_stride[MT_MAX_DIMS],
      index_stride[MT_MAX_DIMS];
  int64_t groups; /* groups of lanes along the last of them */
} scan;

typedef union {
  double f;
  int64_t i;
} number;

/* ---- one step for w lanes ---- */

static bool takes(const scan *s, number v, number best) {
  /* as in PyTorch the last of equals is reported, and the last NaN */
  if (s->ints) return s->kind == SCAN_MAX ? v.i >= best.i : v.i <= best.i;
  if (v.f != v.f) return true;
  return s->kind == SCAN_MAX ? v.f >= best.f : v.f <= best.f;
}

static void step(const scan *s, number *acc, int64_t *at, number *x, int64_t w, int64_t row) {
  switch (s->kind) {
  case SCAN_SUM:
    if (s->ints)
      for (int64_t j = 0; j < w; j++) acc[j].i = (int64_t)((uint64_t)acc[j].i + (uint64_t)x[j].i);
    else
      for (int64_t j = 0; j < w; j++) acc[j].f += x[j].f;
    break;
  case SCAN_PROD:
    if (s->ints)
      for (int64_t j = 0; j < w; j++) acc[j].i = (int64_t)((uint64_t)acc[j].i * (uint64_t)x[j].i);
    else
      for (int64_t j = 0; j < w; j++) acc[j].f *= x[j].f;
    break;
  default:
    for (int64_t j = 0; j < w; j++)
      if (row == 0 || takes(s, x[j], acc[j])) acc[j] = x[j], at[j] = row + 1;
  }
  memcpy(x, acc, (size_t)w * sizeof *x);
}

static void start(const scan *s, number *acc, int64_t w) {
  number one = {0};
  if (s->kind == SCAN_PROD) {
    if (s->ints)
      one.i = 1;
    else
      one.f = 1;
  }
  for (int64_t j = 0; j < w; j++) acc[j] = one;
}

static const char *at_in(const scan *s, int64_t off) {
  return mt__ptr(s->in) + off * mt__esize(s->in->dtype);
}
static char *at_out(const scan *s, int64_t off) {
  return mt__ptr(s->out) + off * mt__esize(s->out->dtype);
}

/* w lines side by side. */
static void scan_lanes(const scan *s, int64_t in, int64_t out, int64_t index, int64_t w) {
  int last = s->ndim - 1, type = s->ints ? MT_INT64 : MT_FLOAT64;
  number acc[LANES], x[LANES];
  int64_t at[LANES];
  start(s, acc, w);
  for (int64_t r = 0; r < s->n; r++) {
    mt__convert((char *)x, type, 1, at_in(s, in + r * s->in_step), s->in->dtype, s->in_stride[last],
                w);
    step(s, acc, at, x, w, r);
    mt__convert(at_out(s, out + r * s->out_step), s->out->dtype, s->out_stride[last],
                (const char *)x, type, 1, w);
    if (s->index)
      mt__convert(mt__ptr(s->index) + (index + r * s->index_step) * 8, MT_INT64,
                  s->index_stride[last], (const char *)at, MT_INT64, 1, w);
  }
}

/* One line, in chunks. */
static void scan_line(const scan *s, int64_t in, int64_t out, int64_t index) {
  int type = s->ints ? MT_INT64 : MT_FLOAT64;
  number acc[1], x[CHUNK];
  int64_t at[1], places[CHUNK];
  start(s, acc, 1);
  for (int64_t r = 0; r < s->n; r += CHUNK) {
    int64_t n = s->n - r < CHUNK ? s->n - r : CHUNK;
    mt__convert((char *)x, type, 1, at_in(s, in + r * s->in_step), s->in->dtype, s->in_step, n);
    if (s->kind == SCAN_SUM && !s->ints) {
      double sum = acc->f;
      for (int64_t i = 0; i < n; i++) x[i].f = sum += x[i].f;
      acc->f = sum;
    } else {
      for (int64_t i = 0; i < n; i++) {
        step(s, acc, at, x + i, 1, r + i);
        if (s->index) places[i] = at[0];
      }
    }
    mt__convert(at_out(s, out + r * s->out_step), s->out->dtype, s->out_step, (const char *)x, type,
                1, n);
    if (s->index)
      mt__convert(mt__ptr(s->index) + (index + r * s->index_step) * 8, MT_INT64, s->index_step,
                  (const char *)places, MT_INT64, 1, n);
  }
}

static void scan_groups(void *ctx, int64_t begin, int64_t end) {
  const scan *s = ctx;
  int last = s->ndim - 1;
  for (int64_t g = begin; g < end; g++) {
    int64_t rest = g / s->groups, lane = (g - rest * s->groups) * LANES;
    int64_t w = s->sizes[last] - lane < LANES ? s->sizes[last] - lane : LANES;
    int64_t in = lane * s->in_stride[last], out = lane * s->out_stride[last],
            index = lane * s->index_stride[last];
    for (int d = last - 1; d >= 0; d--) {
      int64_t i = rest % s->sizes[d];
      rest /= s->sizes[d];
      in += i * s->in_stride[d], out += i * s->out_stride[d], index += i * s->index_stride[d];
    }
    if (w == 1 || s->out_step <= s->out_stride[last]) {
      for (int64_t j = 0; j < w; j++)
        scan_line(s, in + j * s->in_stride[last], out + j * s->out_stride[last],
                  index + j * s->index_stride[last]);
    } else {
      scan_lanes(s, in, out, index, w);
    }
  }
}

static int scan_run(mt_frame *f, int kind) {
  const mt_tensor *in = f->args[0].u.t;
  mt_tensor *out = f->out[0], *index = f->nout > 1 ? f->out[1] : NULL;
  if (out->numel == 0) return MT_OK;
  int dim = (int)f->priv[0];
  scan s = {.kind = kind,
            .ints = !mt__is_float(out->dtype),
            .in = in,
            .out = out,
            .index = index,
            .n = 1};
  for (int d = 0; d < in->ndim; d++) {
    if (d == dim) {
      s.n = in->sizes[d], s.in_step = in->strides[d], s.out_step = out->strides[d];
      s.index_step = index ? index->strides[d] : 0;
    } else if (in->sizes[d] != 1) {
      s.sizes[s.ndim] = in->sizes[d];
      s.in_stride[s.ndim] = in->strides[d], s.out_stride[s.ndim] = out->strides[d];
      s.index_stride[s.ndim] = index ? index->strides[d] : 0;
      s.ndim++;
    }
  }
  if (s.ndim == 0) s.sizes[s.ndim++] = 1;
  s.groups = (s.sizes[s.ndim - 1] + LANES - 1) / LANES;
  int64_t total = s.groups;
  for (int d = 0; d + 1 < s.ndim; d++) total *= s.sizes[d];
  int64_t lanes = s.sizes[s.ndim - 1] < LANES ? s.sizes[s.ndim - 1] : LANES, work = s.n * lanes;
  return mt__parallel_range(total, work >= GRAIN ? 1 : GRAIN / work, scan_groups, &s);
}

/* ---- cumsum ---- */

static int cum_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int dim;
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, self->ndim, &dim));
  f->priv[0] = (uint64_t)dim;
  int dtype = mt__is_float(self->dtype) ? self->dtype : MT_INT64;
  if (f->args[2].kind == MT_INT) dtype = (int)f->args[2].u.i;
  return mt__out(f, 0, dtype, self->device, self->ndim, self->sizes);
}

static int cumsum_run(mt_frame *f) {
  return scan_run(f, SCAN_SUM);
}
static int cumprod_run(mt_frame *f) {
  return scan_run(f, SCAN_PROD);
}

/* The sum of g from each place to the end. */
static int cumsum_vjp(mt_vjp *v) {
  mt_tensor *g = v->g[0];
  int64_t dim = v->args[1].u.i;
  if (g->ndim == 0) {
    v->gin[0] = mt_retain(g);
    return MT_OK;
  }
  MT_AUTO *back = NULL, *sums = NULL;
  MT_TRY(mt_flip(&back, g, MT_INTS_OF(dim)));
  MT_TRY(mt_cumsum(&sums, back, dim, -1));
  return mt_flip(&v->gin[0], sums, MT_INTS_OF(dim));
}

/* ---- cumprod ---- */

/* Gradient of cumprod, right with zeros too: with P[i] the product of x before i,
 *   gx[i] = P[i] * S[i],   S[i] = g[i] + x[i+1] * S[i+1]. */
typedef struct {
  const mt_tensor *g, *x;
  mt_tensor *out;
  int dim;
} cumprod_back;

static void cumprod_lines(void *ctx, int64_t begin, int64_t end) {
  const cumprod_back *c = ctx;
  const mt_tensor *g = c->g, *x = c->x, *out = c->out;
  int64_t n = x->sizes[c->dim], gs = g->strides[c->dim], xs = x->strides[c->dim],
          os = out->strides[c->dim];
  int ge = mt__esize(g->dtype), xe = mt__esize(x->dtype), oe = mt__esize(out->dtype);
  for (int64_t line = begin; line < end; line++) {
    int64_t rest = line, go = 0, xo = 0, oo = 0;
    for (int d = x->ndim - 1; d >= 0; d--) {
      if (d == c->dim) continue;
      int64_t i = rest % x->sizes[d];
      rest /= x->sizes[d];
      go += i * g->strides[d], xo += i * x->strides[d], oo += i * out->strides[d];
    }
    const char *gp = mt__ptr(g) + go * ge, *xp = mt__ptr(x) + xo * xe;
    char *op = mt__ptr(out) + oo * oe;
    double xb[CHUNK + 1], gb[CHUNK], pb[CHUNK], before = 1, after = 0;
    for (int64_t r = 0; r < n; r += CHUNK) {
      int64_t k = n - r < CHUNK ? n - r : CHUNK;
      mt__convert((char *)xb, MT_FLOAT64, 1, xp + r * xs * xe, x->dtype, xs, k);
      for (int64_t i = 0; i < k; i++) pb[i] = before, before *= xb[i];
      mt__convert(op + r * os * oe, out->dtype, os, (const char *)pb, MT_FLOAT64, 1, k);
    }
    for (int64_t r = (n - 1) / CHUNK * CHUNK; r >= 0; r -= CHUNK) {
      int64_t k = n - r < CHUNK ? n - r : CHUNK, more = r + k < n;
      mt__convert((char *)xb, MT_FLOAT64, 1, xp + r * xs * xe, x->dtype, xs, k + more);
      mt__convert((char *)gb, MT_FLOAT64, 1, gp + r * gs * ge, g->dtype, gs, k);
      mt__convert((char *)pb, MT_FLOAT64, 1, op + r * os * oe, out->dtype, os, k);
      if (!more) xb[k] = 0;
      for (int64_t i = k - 1; i >= 0; i--) {
        after = gb[i] + xb[i + 1] * after;
        pb[i] *= after;
      }
      mt__convert(op + r * os * oe, out->dtype, os, (const char *)pb, MT_FLOAT64, 1, k);
    }
  }
}

static int cumprod_back_infer(mt_frame *f) {
  const mt_tensor *x = f->args[1].u.t;
  int dim;
  MT_TRY(mt__dim(f, "dim", f->args[2].u.i, x->ndim, &dim));
  f->priv[0] = (uint64_t)dim;
  return mt__out(f, 0, x->dtype, x->device, x->ndim, x->sizes);
}

static int cumprod_back_run(mt_frame *f) {
  cumprod_back c = {f->args[0].u.t, f->args[1].u.t, f->out[0], (int)f->priv[0]};
  if (c.out->numel == 0) return MT_OK;
  int64_t n = c.x->sizes[c.dim];
  return mt__parallel_range(c.out->numel / n, n >= GRAIN ? 1 : GRAIN / n, cumprod_lines, &c);
}

/* The same in ops, for derivatives of the derivative: the matrix of the products over j <= k,
 * j != i, is the cumprod along k of x with x[i] replaced by 1. */
static int cumprod_formula(mt_tensor **out, mt_tensor *g, mt_tensor *x, int dim) {
  int64_t n = x->sizes[dim], sizes[MT_MAX_DIMS + 1], ones[MT_MAX_DIMS + 1];
  int ndim = x->ndim + 1, side = ndim - dim;
  for (int d = 0; d < ndim; d++) sizes[d] = d <= dim ? x->sizes[d] : x->sizes[d - 1];
  for (int d = 0; d < side; d++) ones[d] = 1;
  MT_AUTO *count = NULL, *rows = NULL, *columns = NULL, *same = NULL, *later = NULL, *wide = NULL;
  MT_AUTO *full = NULL, *others = NULL, *products = NULL, *wide_g = NULL, *terms = NULL,
          *kept = NULL;
  MT_TRY(mt_arange(&count, mt__arg_i(0), mt__arg_i(n), mt__arg_i(1), MT_INT64, x->device, false));
  ones[0] = n;
  MT_TRY(mt_reshape(&rows, count, (mt_ints){side, ones}));
  ones[0] = 1, ones[1] = n;
  MT_TRY(mt_reshape(&columns, count, (mt_ints){side, ones}));
  MT_TRY(mt_eq(&same, rows, mt__arg_t(columns)));
  MT_TRY(mt_ge(&later, columns, mt__arg_t(rows)));
  MT_TRY(mt_unsqueeze(&wide, x, dim));
  MT_TRY(mt_expand(&full, wide, (mt_ints){ndim, sizes}));
  MT_TRY(mt__f_where(&others, same, mt__arg_f(1), mt__arg_t(full)));
  MT_TRY(mt_cumprod(&products, others, dim + 1, -1));
  MT_TRY(mt_unsqueeze(&wide_g, g, dim));
  MT_TRY(mt__f_mul(&terms, products, wide_g));
  MT_TRY(mt__f_where(&kept, later, mt__arg_t(terms), mt__arg_f(0)));
  return mt_sum(out, kept, MT_INTS_OF(dim + 1), false, -1);
}

static int cumprod_vjp(mt_vjp *v) {
  mt_tensor *self = v->args[0].u.t, *g = v->g[0];
  if (self->ndim == 0) {
    v->gin[0] = mt_retain(g);
    return MT_OK;
  }
  int dim = (int)(v->args[1].u.i < 0 ? v->args[1].u.i + self->ndim : v->args[1].u.i);
  if (!mt_grad_enabled()) return mt__cumprod_backward(&v->gin[0], g, self, dim);
  if (self->ndim == MT_MAX_DIMS)
    return mt_fail(MT_ERR_UNSUPPORTED,
                   "cumprod: second derivatives take tensors of at most %d dimensions",
                   MT_MAX_DIMS - 1);
  return cumprod_formula(&v->gin[0], g, self, dim);
}

/* ---- cummax, cummin ---- */

static int extreme_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int dim;
  MT_TRY(mt__dim(f, "dim", f->args[1].u.i, self->ndim, &dim));
  f->priv[0] = (uint64_t)dim;
  MT_TRY(mt__out(f, 0, self->dtype, self->device, self->ndim, self->sizes));
  return mt__out(f, 1, MT_INT64, self->device, self->ndim, self->sizes);
}

static int cummax_run(mt_frame *f) {
  return scan_run(f, SCAN_MAX);
}
static int cummin_run(mt_frame *f) {
  return scan_run(f, SCAN_MIN);
}

static int extreme_vjp(mt_vjp *v) {
  mt_tensor *self = v->args[0].u.t;
  if (!v->g[0]) return MT_OK;
  if (self->ndim == 0) {
    v->gin[0] = mt_retain(v->g[0]);
    return MT_OK;
  }
  MT_AUTO *zeros = NULL;
  MT_TRY(mt__zeros_like(&zeros, self));
  return mt_scatter_add(&v->gin[0], zeros, v->args[1].u.i, v->outs[1], v->g[0]);
}

#define SCAN_SAMPLES                                                                               \
  "{f(3,4), 1}, {f(3,4), -1}, {f(2,3,4), 2}, {t(f(3,5)), 1}, {f(), 1}, {f(0,3), 2}, {f(1,3), 1}"

const mt_opdef mt__ops_scan[] = {
    {.sig = MT_SIG("cumsum(Tensor self, dim dim, *, dtype? dtype=None) -> Tensor"),
     .doc = "Running sum along a dimension.",
     .infer = cum_infer,
     .run = cumsum_run,
     .vjp = cumsum_vjp,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_INPLACE,
     .samples = SCAN_SAMPLES},
    {.sig = MT_SIG("cumprod(Tensor self, dim dim, *, dtype? dtype=None) -> Tensor"),
     .doc = "Running product along a dimension.",
     .infer = cum_infer,
     .run = cumprod_run,
     .vjp = cumprod_vjp,
     .saves = "self:self",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_INPLACE,
     .samples = SCAN_SAMPLES},
    {.sig = MT_SIG("cummax(Tensor self, dim dim) -> (Tensor values, Tensor indices)"),
     .doc = "Running maximum along a dimension and its position (the last of equals, from 1).",
     .infer = extreme_infer,
     .run = cummax_run,
     .vjp = extreme_vjp,
     .saves = "self:out1",
     .dtypes = MT_D_ALL,
     .samples = SCAN_SAMPLES},
    {.sig = MT_SIG("cummin(Tensor self, dim dim) -> (Tensor values, Tensor indices)"),
     .doc = "Running minimum along a dimension and its position (the last of equals, from 1).",
     .infer = extreme_infer,
     .run = cummin_run,
     .vjp = extreme_vjp,
     .saves = "self:out1",
     .dtypes = MT_D_ALL,
     .samples = SCAN_SAMPLES},
    {.sig = MT_SIG("_cumprod_backward(Tensor grad, Tensor self, dim dim) -> Tensor"),
     .doc = "Gradient of cumprod.",
     .infer = cumprod_back_infer,
     .run = cumprod_back_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_NO_AUTOGRAD,
     .samples = "{f(3,4), f(3,4), 1}"},
    {0}};
