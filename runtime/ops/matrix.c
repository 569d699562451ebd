/* matrix.c: from tensors to matrix products.
 *
 * An operand is read where it lies when one of its strides is 1 and its dtype is the one that is
 * computed in; otherwise a row-major copy in the work memory is made first, converted on the way
 * (float16 and bfloat16 to float32, integers to int64). The result is written in place when it
 * lies likewise. Integers wrap: sums modulo 2^64, cut to the dtype's bits.
 */
#include "matrix.h"

#include <string.h>

#include "product.h"

void mt__side_matrix(mt_side *s, const mt_tensor *t, bool right) {
  s->t = t;
  s->flipped = false;
  if (t->ndim == 1) {
    s->rows = right ? t->sizes[0] : 1;
    s->cols = right ? 1 : t->sizes[0];
    s->row_stride = right ? t->strides[0] : 1;
    s->col_stride = right ? 1 : t->strides[0];
    return;
  }
  const int d = t->ndim - 2;
  s->rows = t->sizes[d], s->cols = t->sizes[d + 1];
  s->row_stride = t->strides[d], s->col_stride = t->strides[d + 1];
}

void mt__side_rows(mt_side *s, const mt_tensor *t) {
  const int last = t->ndim - 1;
  s->t = t;
  s->flipped = false;
  s->cols = t->sizes[last];
  s->col_stride = t->strides[last];
  s->rows = 1;
  s->row_stride = s->cols > 0 ? s->cols : 1;
  /* The rows are one dimension when each leading one continues the next; -1 says that they are
   * not, and a copy is needed. */
  bool first = true;
  int64_t next = 0;
  for (int d = last - 1; d >= 0; d--) {
    const int64_t n = t->sizes[d];
    s->rows *= n;
    if (n == 1) continue;
    if (first)
      s->row_stride = t->strides[d];
    else if (t->strides[d] != next)
      s->row_stride = -1;
    if (s->row_stride < 0) {
      for (; --d >= 0;) s->rows *= t->sizes[d];
      return;
    }
    first = false;
    next = t->strides[d] * n;
  }
}

/* ---- plan ---- */

/* Whether a product can read the matrix where it lies, and how. */
static bool lies_well(mt_side *s) {
  const int64_t rows = s->rows, cols = s->cols, rs = s->row_stride, cs = s->col_stride;
  if (rs < 0) return false;
  if ((cs == 1 || cols <= 1) && (rows <= 1 || (rs >= cols && rs > 0))) {
    s->trans = false;
    s->ld = rows > 1 ? rs : cols > 0 ? cols : 1;
    return true;
  }
  if ((rs == 1 || rows <= 1) && (cols <= 1 || (cs >= rows && cs > 0))) {
    s->trans = true;
    s->ld = cols > 1 ? cs : rows > 0 ? rows : 1;
    return true;
  }
  return false;
}

static size_t take(mt_frame *f, int64_t elements, int dtype) {
  const size_t at = f->work_bytes;
  f->work_bytes += ((size_t)elements * (size_t)mt__esize(dtype) + 63) / 64 * 64;
  return at;
}

static void plan_side(mt_frame *f, const mt_products *p, mt_side *s) {
  s->staged = s->t->dtype != p->compute || !lies_well(s);
  if (!s->staged) return;
  /* The copy has the tensor's own dimensions, in row-major order. */
  s->at = take(f, s->t->numel, p->compute);
  s->trans = s->flipped;
  s->ld = s->flipped ? s->rows : s->cols;
  if (s->ld == 0) s->ld = 1;
  int64_t step = s->rows * s->cols;
  const int lead = s->t->ndim - 2;
  for (int d = lead - 1; d >= 0; d--) {
    const int at = p->nbatch - lead + d;
    if (at < 0) break;
    s->batch[at] = s->t->sizes[d] == 1 ? 0 : step;
    step *= s->t->sizes[d];
  }
}

void mt__products_plan(mt_frame *f, mt_products *p) {
  const int dtype = p->c.t->dtype;
  p->compute = dtype == MT_FLOAT64 ? MT_FLOAT64 : mt__is_float(dtype) ? MT_FLOAT32 : MT_INT64;
  f->work_bytes = 0;
  plan_side(f, p, &p->a);
  plan_side(f, p, &p->b);
  p->c.staged = dtype != p->compute || !lies_well(&p->c) || p->c.trans;
  if (p->c.staged) {
    p->c.at = take(f, p->c.t->numel, p->compute);
    p->c.ld = p->n;
    int64_t step = p->m * p->n;
    for (int d = p->nbatch - 1; d >= 0; d--) {
      p->c.batch[d] = step;
      step *= p->sizes[d];
    }
  }
  if (p->bias && (p->bias->dtype != p->compute || p->bias->strides[0] != 1))
    p->bias_at = take(f, p->n, p->compute);
}

/* ---- copies ---- */

typedef struct copy_job {
  const mt_tensor *t; /* the strided side */
  char *flat;         /* the row-major side */
  int flat_dtype;
  bool back; /* flat -> t */
  int64_t inner;
  int outer; /* dimensions over the rows */
} copy_job;

static void copy_rows(void *ctx, int64_t begin, int64_t end) {
  const copy_job *j = ctx;
  const mt_tensor *t = j->t;
  const int64_t step = t->ndim ? t->strides[t->ndim - 1] : 1;
  for (int64_t row = begin; row < end; row++) {
    int64_t at = 0, rest = row;
    for (int d = j->outer - 1; d >= 0; d--) {
      at += rest % t->sizes[d] * t->strides[d];
      rest /= t->sizes[d];
    }
    char *flat = j->flat + row * j->inner * mt__esize(j->flat_dtype);
    char *own = mt__ptr(t) + at * mt__esize(t->dtype);
    if (j->back)
      mt__convert(own, t->dtype, step, flat, j->flat_dtype, 1, j->inner);
    else
      mt__convert(flat, j->flat_dtype, 1, own, t->dtype, step, j->inner);
  }
}

static void copy_part(void *ctx, int64_t begin, int64_t end) {
  const copy_job *j = ctx;
  char *flat = j->flat + begin * mt__esize(j->flat_dtype);
  char *own = mt__ptr(j->t) + begin * mt__esize(j->t->dtype);
  if (j->back)
    mt__convert(own, j->t->dtype, 1, flat, j->flat_dtype, 1, end - begin);
  else
    mt__convert(flat, j->flat_dtype, 1, own, j->t->dtype, 1, end - begin);
}

/* Between a tensor of any layout and row-major memory of another dtype. */
static int copy_flat(const mt_tensor *t, char *flat, int flat_dtype, bool back) {
  enum { GRAIN = 1 << 14 };
  if (t->numel == 0) return MT_OK;
  copy_job j = {.t = t, .flat = flat, .flat_dtype = flat_dtype, .back = back};
  if (mt__is_contiguous(t)) return mt__parallel_range(t->numel, GRAIN, copy_part, &j);
  j.outer = t->ndim > 0 ? t->ndim - 1 : 0;
  j.inner = t->ndim > 0 ? t->sizes[t->ndim - 1] : 1;
  const int64_t grain = GRAIN / j.inner;
  return mt__parallel_range(t->numel / j.inner, grain > 0 ? grain : 1, copy_rows, &j);
}

/* ---- run ---- */

typedef struct operands {
  const char *a, *b, *bias;
  char *c;
  double alpha, beta;
} operands;

static double number(const mt_arg *a) {
  return a->kind == MT_NONE ? 1 : mt__num(a);
}

/* Modulo 2^64. */
static void integer_product(const mt_products *p, const operands *o, uint64_t alpha,
                            uint64_t beta) {
  const uint64_t *a = (const uint64_t *)o->a, *b = (const uint64_t *)o->b;
  const uint64_t *bias = (const uint64_t *)o->bias;
  uint64_t *c = (uint64_t *)o->c;
  const int64_t ai = p->a.trans ? 1 : p->a.ld, aq = p->a.trans ? p->a.ld : 1;
  const int64_t bq = p->b.trans ? 1 : p->b.ld, bj = p->b.trans ? p->b.ld : 1;
  for (int64_t i = 0; i < p->m; i++) {
    uint64_t *row = c + i * p->c.ld;
    for (int64_t j = 0; j < p->n; j++) row[j] = (beta ? beta * row[j] : 0) + (bias ? bias[j] : 0);
    for (int64_t q = 0; q < p->k; q++) {
      const uint64_t x = alpha * a[i * ai + q * aq];
      const uint64_t *y = b + q * bq;
      for (int64_t j = 0; j < p->n; j++) row[j] += x * y[j * bj];
    }
  }
}

/* The product of a long row and a long column, in at most 64 pieces, whose sums are added by
 * pairs: the number of pieces is a matter of k alone. */
enum { DOT_PIECE = 1 << 15, DOT_PIECES = 64 };

typedef struct long_dot {
  const mt_product *q;
  int64_t piece;
  double sums[DOT_PIECES];
} long_dot;

static void dot_piece(void *ctx, int64_t task) {
  long_dot *d = ctx;
  const int64_t bytes = mt__esize(d->q->dtype), at = task * d->piece;
  union {
    float f;
    double d;
  } sum;
  mt_product q = *d->q;
  q.k = q.k - at < d->piece ? q.k - at : d->piece;
  q.a = (const char *)q.a + at * bytes * (q.ta ? q.lda : 1);
  q.b = (const char *)q.b + at * bytes * (q.tb ? 1 : q.ldb);
  q.c = &sum;
  q.ldc = 1;
  q.alpha = 1, q.beta = 0;
  q.bias = NULL;
  mt__product(&q, true);
  d->sums[task] = q.dtype == MT_FLOAT32 ? (double)sum.f : sum.d;
}

static int run_long_dot(const mt_product *q) {
  long_dot d = {.q = q};
  d.piece = (q->k + DOT_PIECES - 1) / DOT_PIECES;
  if (d.piece < DOT_PIECE) d.piece = DOT_PIECE;
  const int64_t n = (q->k + d.piece - 1) / d.piece;
  MT_TRY(mt__parallel(n, dot_piece, &d));
  for (int64_t w = 1; w < n; w *= 2)
    for (int64_t i = 0; i + w < n; i += 2 * w) d.sums[i] += d.sums[i + w];
  double r = q->alpha * d.sums[0];
  if (q->dtype == MT_FLOAT32) {
    float *c = q->c;
    if (q->bias) r += *(const float *)q->bias;
    *c = (float)(q->beta == 0 ? r : r + q->beta * *c);
  } else {
    double *c = q->c;
    if (q->bias) r += *(const double *)q->bias;
    *c = q->beta == 0 ? r : r + q->beta * *c;
  }
  return MT_OK;
}

static int run_product(const mt_product *q) {
  return q->m == 1 && q->n == 1 && q->k > DOT_PIECE ? run_long_dot(q) : mt__product(q, false);
}

/* `count` products at distances sa, sb, sc (elements). */
static int run_some(const mt_products *p, const operands *o, int64_t count, int64_t sa, int64_t sb,
                    int64_t sc) {
  if (p->compute == MT_INT64) {
    operands one = *o;
    const uint64_t alpha = p->alpha.kind == MT_NONE ? 1 : (uint64_t)mt__int(&p->alpha);
    const uint64_t beta = !p->input ? 0 : p->beta.kind == MT_NONE ? 1 : (uint64_t)mt__int(&p->beta);
    for (int64_t i = 0; i < count; i++) {
      integer_product(p, &one, alpha, beta);
      one.a += sa * 8, one.b += sb * 8, one.c += sc * 8;
    }
    return MT_OK;
  }
  mt_product q = {p->compute, p->a.trans, p->b.trans, p->m,    p->n,     p->k,    o->a,   o->b,
                  p->a.ld,    p->b.ld,    o->c,       p->c.ld, o->alpha, o->beta, o->bias};
  if (count == 1) return run_product(&q);
  if (sb == 0 && !p->a.trans && sa == p->m * p->a.ld && sc == p->m * p->c.ld) {
    q.m *= count; /* the same B for all: one taller product */
    return mt__product(&q, false);
  }
  if (!o->bias)
    return mt__gemm_batched(q.dtype, q.ta, q.tb, count, q.m, q.n, q.k, q.alpha, q.a, q.lda, sa, q.b,
                            q.ldb, sb, q.beta, q.c, q.ldc, sc);
  const int64_t bytes = mt__esize(p->compute);
  for (int64_t i = 0; i < count; i++) {
    MT_TRY(run_product(&q));
    q.a = (const char *)q.a + sa * bytes;
    q.b = (const char *)q.b + sb * bytes;
    q.c = (char *)q.c + sc * bytes;
  }
  return MT_OK;
}

static int run_batches(const mt_products *p, const operands *o) {
  /* The last dimensions that go on in even steps are one batch. */
  int64_t count = 1, sa = 0, sb = 0, sc = 0;
  int d = p->nbatch - 1;
  for (; d >= 0; d--) {
    if (p->sizes[d] == 1) continue;
    if (count > 1 &&
        (p->a.batch[d] != sa * count || p->b.batch[d] != sb * count || p->c.batch[d] != sc * count))
      break;
    if (count == 1) sa = p->a.batch[d], sb = p->b.batch[d], sc = p->c.batch[d];
    count *= p->sizes[d];
  }
  if (d < 0) return run_some(p, o, count, sa, sb, sc);
  int64_t outer = 1;
  for (int e = 0; e <= d; e++) outer *= p->sizes[e];
  const int64_t bytes = mt__esize(p->compute);
  for (int64_t i = 0; i < outer; i++) {
    operands part = *o;
    int64_t rest = i;
    for (int e = d; e >= 0; e--) {
      const int64_t at = rest % p->sizes[e] * bytes;
      part.a += at * p->a.batch[e];
      part.b += at * p->b.batch[e];
      part.c += at * p->c.batch[e];
      rest /= p->sizes[e];
    }
    MT_TRY(run_some(p, &part, count, sa, sb, sc));
  }
  return MT_OK;
}

static int operand(const mt_frame *f, const mt_products *p, const mt_side *s, const char **out) {
  *out = s->t->numel == 0 ? (const char *)f->work : mt__ptr(s->t);
  if (!s->staged) return MT_OK;
  char *flat = (char *)f->work + s->at;
  *out = flat;
  return copy_flat(s->t, flat, p->compute, false);
}

/* A view of t with the sizes of `like`, dimensions of size 1 repeated. */
static mt_tensor spread(const mt_tensor *t, const mt_tensor *like) {
  mt_tensor v = *t;
  const int lead = like->ndim - t->ndim;
  v.ndim = like->ndim;
  v.numel = like->numel;
  v.flags = 0;
  for (int d = 0; d < like->ndim; d++) {
    v.sizes[d] = like->sizes[d];
    v.strides[d] = d < lead || t->sizes[d - lead] == 1 ? 0 : t->strides[d - lead];
  }
  return v;
}

/* What beta multiplies, put into C's place. */
static int put_input(const mt_products *p, char *c) {
  const mt_tensor *out = p->c.t;
  mt_tensor v = spread(p->input, out);
  if (p->c.staged) return copy_flat(&v, c, p->compute, false);
  if (mt__same_layout(p->input, out)) return MT_OK;
  mt_tensor to = *out;
  return mt__copy_values(&to, &v);
}

int mt__products_run(mt_frame *f, mt_products *p) {
  const mt_tensor *out = p->c.t;
  if (out->numel == 0) return MT_OK;
  operands o = {.alpha = number(&p->alpha), .beta = 0};
  MT_TRY(operand(f, p, &p->a, &o.a));
  MT_TRY(operand(f, p, &p->b, &o.b));
  o.c = p->c.staged ? (char *)f->work + p->c.at : mt__ptr(out);
  if (p->bias) {
    if (p->bias->dtype != p->compute || p->bias->strides[0] != 1) {
      char *flat = (char *)f->work + p->bias_at;
      mt__convert(flat, p->compute, 1, mt__ptr(p->bias), p->bias->dtype, p->bias->strides[0], p->n);
      o.bias = flat;
    } else {
      o.bias = mt__ptr(p->bias);
    }
  }
  if (p->input && number(&p->beta) != 0) {
    o.beta = number(&p->beta);
    MT_TRY(put_input(p, o.c));
  }
  MT_TRY(run_batches(p, &o));
  return p->c.staged ? copy_flat(out, o.c, p->compute, true) : MT_OK;
}
