/* reduction.c: walks a tensor for a reduction (see reduction.h).
 *
 * The input is seen as tiles: rows along one reduced dimension, columns along one kept
 * dimension, and loops over the others. The columns are a kept dimension where that is the one
 * that is dense in memory, or else the reduced dimension itself is cut into lanes ("wide" rows of
 * q * cols numbers); the lanes are joined at the end by a fixed tree.
 *
 * Invariants
 *  - Units (a place in the kept dimensions times up to WIDTH columns) and segments (of the
 *    reduced rows) are cut by shape alone; segments are joined in order.
 *  - Lanes beyond a tile's columns may hold anything and are never looked at.
 */
#include "reduction.h"

#include <math.h>
#include <string.h>

MT_KERNELS(reduce)

enum {
  WIDTH = 1024,    /* columns of a unit */
  STAGE_ROWS = 16, /* rows that are staged at once */
  CHUNK = 1024,    /* numbers of a row that are staged at once */
  GRAIN = 32768,   /* numbers that are worth a task */
  MAX_SEGMENTS = 64,
  MAX_PARTIALS = 65536
};

/* An accumulator slot. */
typedef union {
  double f;
  int64_t i;
} slot;

typedef struct {
  const mt_reduction *r;
  const mt_kern_reduce *kern;
  mt_fold_fn fold;
  mt_fold_row_fn row;
  const char *base;
  int src_dtype, src_size, dtype, size; /* as it lies in memory; as it is computed */
  bool direct;                          /* the two are the same and there is no map */
  bool bytes;                           /* counts bytes that are not zero */
  bool arg;
  int nkept, nreduced; /* dimensions beside the tile's */
  int64_t ksize[MT_MAX_DIMS], kin[MT_MAX_DIMS], kout[MT_MAX_DIMS];
  int64_t rsize[MT_MAX_DIMS], rin[MT_MAX_DIMS];
  int64_t rows, rstride, cols, cstride, ostride;
  int64_t n, m;  /* numbers per result, results */
  int64_t q;     /* reduced rows side by side in a wide row; 1: columns are columns */
  int64_t total; /* rows over all reduced dimensions */
  int64_t nranges, units, segments, segment;
  slot *part_a, *part_b;
} plan;

/* ---- accumulators ---- */

static void clear(const plan *p, slot *a, slot *b, int64_t n, int64_t first) {
  slot start = {0};
  bool ints = p->r->number == MT_NUM_I64;
  switch (p->r->kind) {
  case MT_FOLD_PROD:
    if (ints)
      start.i = 1;
    else
      start.f = 1;
    break;
  case MT_FOLD_MAX:
  case MT_FOLD_ARGMAX:
  case MT_FOLD_LSE:
    if (ints)
      start.i = INT64_MIN;
    else
      start.f = -INFINITY;
    break;
  case MT_FOLD_MIN:
  case MT_FOLD_ARGMIN:
    if (ints)
      start.i = INT64_MAX;
    else
      start.f = INFINITY;
    break;
  default:
    break;
  }
  for (int64_t j = 0; j < n; j++) a[j] = start, b[j].i = first;
}

static void join_var(slot *a, slot *b, const slot *a2, const slot *b2, int64_t n, int64_t count,
                     int64_t count2) {
  double share = (double)count2 / (double)(count + count2), weight = (double)count * share;
  for (int64_t j = 0; j < n; j++) {
    double d = a2[j].f - a[j].f;
    a[j].f += d * share;
    b[j].f += b2[j].f + d * d * weight;
  }
}

static void join_lse(slot *a, slot *b, const slot *a2, const slot *b2, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    double m = a[j].f > a2[j].f ? a[j].f : a2[j].f;
    double f1 = a[j].f == m ? 1 : exp(a[j].f - m), f2 = a2[j].f == m ? 1 : exp(a2[j].f - m);
    b[j].f = b[j].f * f1 + b2[j].f * f2;
    a[j].f = m;
  }
}

/* NaN beats numbers; among equals the lower position wins. */
static bool beats_f(double v, int64_t at, double best, int64_t best_at, bool least) {
  if (v != v || best != best) return v != v && (best == best || at < best_at);
  return least ? v < best || (v == best && at < best_at) : v > best || (v == best && at < best_at);
}

static bool beats_i(int64_t v, int64_t at, int64_t best, int64_t best_at, bool least) {
  return v == best ? at < best_at : least ? v < best : v > best;
}

/* (a, b) over count numbers joined with (a2, b2) over count2 numbers, n lanes of each. */
static void join(const plan *p, slot *restrict a, slot *restrict b, const slot *restrict a2,
                 const slot *restrict b2, int64_t n, int64_t count, int64_t count2) {
  int kind = p->r->kind;
  bool ints = p->r->number == MT_NUM_I64, least = kind == MT_FOLD_MIN || kind == MT_FOLD_ARGMIN;
  if (count2 == 0) return;
  if (count == 0) {
    memcpy(a, a2, (size_t)n * sizeof *a);
    memcpy(b, b2, (size_t)n * sizeof *b);
    return;
  }
  switch (kind) {
  case MT_FOLD_PROD:
    if (ints)
      for (int64_t j = 0; j < n; j++) a[j].i = (int64_t)((uint64_t)a[j].i * (uint64_t)a2[j].i);
    else
      for (int64_t j = 0; j < n; j++) a[j].f *= a2[j].f;
    return;
  case MT_FOLD_MAX:
  case MT_FOLD_MIN:
    for (int64_t j = 0; j < n; j++)
      if (ints ? beats_i(a2[j].i, 1, a[j].i, 0, least) : beats_f(a2[j].f, 1, a[j].f, 0, least))
        a[j] = a2[j];
    return;
  case MT_FOLD_ARGMAX:
  case MT_FOLD_ARGMIN:
    for (int64_t j = 0; j < n; j++)
      if (ints ? beats_i(a2[j].i, b2[j].i, a[j].i, b[j].i, least)
               : beats_f(a2[j].f, b2[j].i, a[j].f, b[j].i, least))
        a[j] = a2[j], b[j] = b2[j];
    return;
  case MT_FOLD_VAR:
    join_var(a, b, a2, b2, n, count, count2);
    return;
  case MT_FOLD_LSE:
    join_lse(a, b, a2, b2, n);
    return;
  default:
    if (ints)
      for (int64_t j = 0; j < n; j++) a[j].i = (int64_t)((uint64_t)a[j].i + (uint64_t)a2[j].i);
    else
      for (int64_t j = 0; j < n; j++) a[j].f += a2[j].f;
  }
}

/* ---- results ---- */

static double root(double x, double p) {
  return p == 2 ? sqrt(x) : p == 1 ? x : pow(x, 1 / p);
}

static void put(mt_tensor *t, int64_t at, int64_t stride, const slot *v, int from, int64_t n) {
  char *to = mt__ptr(t) + at * mt__esize(t->dtype);
  if (n == 1 && from == MT_FLOAT64 && t->dtype == MT_FLOAT32)
    *(float *)to = (float)v->f;
  else
    mt__convert(to, t->dtype, stride, (const char *)v, from, 1, n);
}

/* Results at, at + ostride, ... from w accumulators, which are changed. */
static void finish(const plan *p, int64_t at, int64_t w, slot *a, slot *b) {
  const mt_reduction *r = p->r;
  int from = r->number == MT_NUM_I64 ? MT_INT64 : MT_FLOAT64;
  int second_from = MT_FLOAT64;
  double n = (double)p->n, left = n - r->param > 0 ? n - r->param : 0;
  if (r->finish == MT_FIN_ARG) {
    for (int64_t j = 0; j < w; j++) b[j].i++;
    second_from = MT_INT64;
  }
  if (r->second) put(r->second, at, p->ostride, r->finish == MT_FIN_ARG ? b : a, second_from, w);
  if (!r->value) return;
  switch (r->finish) {
  case MT_FIN_MEAN:
    for (int64_t j = 0; j < w; j++) a[j].f /= n;
    break;
  case MT_FIN_ROOT:
    for (int64_t j = 0; j < w; j++) a[j].f = root(a[j].f, r->param);
    break;
  case MT_FIN_ANY:
  case MT_FIN_ALL:
    for (int64_t j = 0; j < w; j++) {
      int64_t count = from == MT_INT64 ? a[j].i : (int64_t)a[j].f;
      a[j].i = r->finish == MT_FIN_ANY ? count > 0 : count == p->n;
    }
    from = MT_INT64;
    break;
  case MT_FIN_VAR:
    for (int64_t j = 0; j < w; j++) a[j].f = b[j].f / left;
    break;
  case MT_FIN_STD:
    for (int64_t j = 0; j < w; j++) a[j].f = sqrt(b[j].f / left);
    break;
  case MT_FIN_LSE:
    for (int64_t j = 0; j < w; j++) a[j].f += log(b[j].f);
    break;
  default:
    break;
  }
  put(r->value, at, p->ostride, a, from, w);
}

/* ---- folding ---- */

/* 16 rows at most of ncols numbers each, into rows of MT_LANES numbers that are computed with. */
static void stage(const plan *p, const char *x, int64_t rstride, int64_t rows, int64_t cstride,
                  int64_t ncols, char *to) {
  bool same = p->src_dtype == p->dtype;
  if (same && p->size == 4 && rstride < cstride) {
    const float *from = (const float *)x;
    for (int64_t j = 0; j < ncols; j++)
      for (int64_t i = 0; i < rows; i++)
        ((float *)to)[i * MT_LANES + j] = from[i * rstride + j * cstride];
  } else if (same && p->size == 8 && rstride < cstride) {
    const double *from = (const double *)x;
    for (int64_t j = 0; j < ncols; j++)
      for (int64_t i = 0; i < rows; i++)
        memcpy((double *)to + i * MT_LANES + j, from + i * rstride + j * cstride, 8);
  } else if (rstride < cstride && rows > 4) {
    for (int64_t j = 0; j < ncols; j++)
      mt__convert(to + j * p->size, p->dtype, MT_LANES, x + j * cstride * p->src_size, p->src_dtype,
                  rstride, rows);
  } else {
    for (int64_t i = 0; i < rows; i++)
      mt__convert(to + i * MT_LANES * p->size, p->dtype, 1, x + i * rstride * p->src_size,
                  p->src_dtype, cstride, ncols);
  }
  if (p->r->map)
    for (int64_t i = 0; i < rows; i++) p->r->map((double *)to + i * MT_LANES, ncols, p->r->param);
}

static void fold_tile(const plan *p, const char *x, int64_t rstride, int64_t rows, int64_t cstride,
                      int64_t ncols, int64_t first, slot *a, slot *b) {
  if (p->direct && cstride == 1 && ncols == MT_LANES) {
    p->fold(x, rstride, rows, first, a, b);
    return;
  }
  double buf[STAGE_ROWS * MT_LANES];
  if (ncols < MT_LANES)
    memset(buf, 0, (size_t)((rows < STAGE_ROWS ? rows : STAGE_ROWS) * MT_LANES * p->size));
  for (int64_t r = 0; r < rows; r += STAGE_ROWS) {
    int64_t n = rows - r < STAGE_ROWS ? rows - r : STAGE_ROWS;
    stage(p, x + r * rstride * p->src_size, rstride, n, cstride, ncols, (char *)buf);
    p->fold(buf, MT_LANES, n, first + r, a, b);
  }
}

/* The extreme of n contiguous numbers and its place: first its value, then where that is. */
static void arg_chunk(const plan *p, const void *x, int64_t n, int64_t at, slot *a, slot *b,
                      bool any) {
  slot best, place;
  clear(p, &best, &place, 1, 0);
  p->row(x, n, &best);
  bool least = p->r->kind == MT_FOLD_ARGMIN;
  if (any && !(p->r->number == MT_NUM_I64 ? beats_i(best.i, 1, a->i, 0, least)
                                          : beats_f(best.f, 1, a->f, 0, least)))
    return;
  *a = best;
  float single = (float)best.f;
  const void *value = p->r->number == MT_NUM_F32 ? (const void *)&single : &best;
  b->i = at + p->kern->find[p->r->number](x, n, value);
}

/* A run of `count` reduced numbers at the given stride, for one result. */
static void fold_row(const plan *p, const char *x, int64_t count, int64_t at, slot *a, slot *b) {
  if (p->bytes) {
    if (p->rstride == 1) {
      a->i += p->kern->count_bytes((const uint8_t *)x, count);
    } else {
      for (int64_t i = 0; i < count; i++) a->i += x[i * p->rstride] != 0;
    }
    return;
  }
  bool whole = p->direct && p->rstride == 1;
  if (whole && !p->arg) {
    p->row(x, count, a);
    return;
  }
  double buf[CHUNK];
  for (int64_t i = 0; i < count; i += CHUNK) {
    int64_t n = count - i < CHUNK ? count - i : CHUNK;
    const char *from = x + i * p->rstride * p->src_size;
    if (!whole) {
      mt__convert((char *)buf, p->dtype, 1, from, p->src_dtype, p->rstride, n);
      if (p->r->map) p->r->map(buf, n, p->r->param);
      from = (const char *)buf;
    }
    if (p->arg)
      arg_chunk(p, from, n, at + i, a, b, i > 0);
    else
      p->row(from, n, a);
  }
}

/* Wide rows: q reduced rows of `cols` numbers side by side in the lanes. */
typedef struct {
  slot a[MT_LANES], b[MT_LANES]; /* lanes, each over `rows` numbers */
  int64_t rows;
  int64_t loose; /* numbers in the caller's accumulators, one column each */
} lanes;

static void fold_wide(const plan *p, lanes *l, const char *x, int64_t count, int64_t at, slot *a,
                      slot *b) {
  int64_t c = p->cols, q = p->q, wide = count / q, left = count - wide * q;
  int64_t cstride = c == 1 ? p->rstride : p->cstride;
  if (wide) fold_tile(p, x, q * p->rstride, wide, cstride, q * c, l->rows, l->a, l->b);
  l->rows += wide;
  if (!left) return;
  slot ta[MT_LANES], tb[MT_LANES];
  clear(p, ta, tb, MT_LANES, 0);
  fold_tile(p, x + wide * q * p->rstride * p->src_size, q * p->rstride, 1, cstride, left * c, 0, ta,
            tb);
  for (int64_t i = 0; i < left; i++) {
    if (p->arg)
      for (int64_t j = 0; j < c; j++) tb[i * c + j].i = at + wide * q + i;
    join(p, a, b, ta + i * c, tb + i * c, c, l->loose, 1);
    l->loose++;
  }
}

static void join_lanes(const plan *p, lanes *l, int64_t at, slot *a, slot *b) {
  int64_t c = p->cols, w = p->q, count = l->rows;
  if (!count) return;
  if (p->arg)
    for (int64_t i = 0; i < w * c; i++) l->b[i].i = at + l->b[i].i * w + i / c;
  while (w > 1) {
    if (w & 1) {
      w--;
      join(p, a, b, l->a + w * c, l->b + w * c, c, l->loose, count);
      l->loose += count;
    } else {
      w /= 2;
      join(p, l->a, l->b, l->a + w * c, l->b + w * c, w * c, count, count);
      count *= 2;
    }
  }
  join(p, a, b, l->a, l->b, c, l->loose, count);
}

/* Reduced rows begin..end-1 of w columns at x into a and b (room for w rounded up to
 * MT_LANES). */
static void fold_range(const plan *p, const char *x, int64_t w, int64_t begin, int64_t end, slot *a,
                       slot *b) {
  bool by_row = p->bytes || (p->row && p->cols == 1);
  lanes l;
  if (by_row) {
    clear(p, a, b, 1, 0);
  } else if (p->q > 1) {
    l.rows = l.loose = 0;
    clear(p, l.a, l.b, MT_LANES, 0);
    clear(p, a, b, w, 0);
  } else {
    clear(p, a, b, (w + MT_LANES - 1) / MT_LANES * MT_LANES, p->arg ? begin : 0);
  }
  for (int64_t t = begin; t < end;) {
    int64_t outer = t / p->rows, row = t - outer * p->rows;
    int64_t count = p->rows - row < end - t ? p->rows - row : end - t, off = row * p->rstride;
    for (int d = p->nreduced - 1; d >= 0; d--) {
      off += outer % p->rsize[d] * p->rin[d];
      outer /= p->rsize[d];
    }
    const char *from = x + off * p->src_size;
    if (by_row) {
      fold_row(p, from, count, t, a, b);
    } else if (p->q > 1) {
      fold_wide(p, &l, from, count, t, a, b);
    } else {
      int64_t block = w <= MT_LANES ? count : STAGE_ROWS;
      for (int64_t r = 0; r < count; r += block) {
        int64_t n = count - r < block ? count - r : block, first = t + r - (p->arg ? 0 : begin);
        for (int64_t j = 0; j < w; j += MT_LANES)
          fold_tile(p, from + (r * p->rstride + j * p->cstride) * p->src_size, p->rstride, n,
                    p->cstride, w - j < MT_LANES ? w - j : MT_LANES, first, a + j, b + j);
      }
    }
    t += count;
  }
  if (!by_row && p->q > 1) join_lanes(p, &l, begin, a, b);
}

/* ---- units and segments ---- */

/* Where unit u begins in the input (elements) and in the results. */
static void locate(const plan *p, int64_t u, int64_t *in, int64_t *out, int64_t *slot0,
                   int64_t *w) {
  int64_t kept = u / p->nranges, col = (u - kept * p->nranges) * WIDTH;
  *slot0 = kept * p->cols + col;
  *w = p->cols - col < WIDTH ? p->cols - col : WIDTH;
  *in = col * p->cstride;
  *out = col * p->ostride;
  for (int d = p->nkept - 1; d > 0; d--) {
    int64_t i = kept % p->ksize[d];
    kept /= p->ksize[d];
    *in += i * p->kin[d];
    *out += i * p->kout[d];
  }
  if (p->nkept) {
    *in += kept * p->kin[0];
    *out += kept * p->kout[0];
  }
}

static void run_units(void *ctx, int64_t begin, int64_t end) {
  const plan *p = ctx;
  slot a[WIDTH], b[WIDTH];
  for (int64_t u = begin; u < end; u++) {
    int64_t in, out, slot0, w;
    locate(p, u, &in, &out, &slot0, &w);
    fold_range(p, p->base + in * p->src_size, w, 0, p->total, a, b);
    finish(p, out, w, a, b);
  }
}

static void run_segment(void *ctx, int64_t task) {
  const plan *p = ctx;
  slot a[WIDTH], b[WIDTH];
  int64_t u = task / p->segments, s = task - u * p->segments, in, out, slot0, w;
  int64_t begin = s * p->segment,
          end = begin + p->segment < p->total ? begin + p->segment : p->total;
  locate(p, u, &in, &out, &slot0, &w);
  fold_range(p, p->base + in * p->src_size, w, begin, end, a, b);
  memcpy(p->part_a + s * p->m + slot0, a, (size_t)w * sizeof *a);
  memcpy(p->part_b + s * p->m + slot0, b, (size_t)w * sizeof *b);
}

static void join_segments(void *ctx, int64_t begin, int64_t end) {
  const plan *p = ctx;
  for (int64_t u = begin; u < end; u++) {
    int64_t in, out, slot0, w;
    locate(p, u, &in, &out, &slot0, &w);
    slot *a = p->part_a + slot0, *b = p->part_b + slot0;
    int64_t per_row = 1, had = 0;
    for (int64_t s = 0; s < p->segments; s++) {
      int64_t rows =
          p->total - s * p->segment < p->segment ? p->total - s * p->segment : p->segment;
      if (s)
        join(p, a, b, p->part_a + s * p->m + slot0, p->part_b + s * p->m + slot0, w, had,
             rows * per_row);
      had += rows * per_row;
    }
    finish(p, out, w, a, b);
  }
}

/* ---- planning ---- */

static int64_t max_segments(int64_t n, int64_t m) {
  if (n <= 0 || m <= 0 || n < 2 * GRAIN / m) return 1;
  double work = (double)n * (double)m / GRAIN;
  int64_t s = work > MAX_SEGMENTS ? MAX_SEGMENTS : (int64_t)work;
  if (s > MAX_PARTIALS / m) s = MAX_PARTIALS / m;
  return s < 1 ? 1 : s;
}

static void counts(const mt_tensor *t, uint32_t mask, int64_t *n, int64_t *m) {
  *n = *m = 1;
  for (int d = 0; d < t->ndim; d++)
    if (mask >> d & 1)
      *n *= t->sizes[d];
    else
      *m *= t->sizes[d];
}

/* Positions over several dimensions of a tensor that is not row-major: a row-major copy first. */
static bool wants_copy(const mt_tensor *t, bool ordered) {
  return ordered && t->ndim > 1 && !mt__is_contiguous(t);
}

size_t mt__reduction_work(const mt_tensor *in, uint32_t mask, bool ordered) {
  int64_t n, m;
  counts(in, mask, &n, &m);
  int64_t s = max_segments(n, m);
  size_t bytes = s > 1 ? (size_t)(s * m) * 2 * sizeof(slot) : 0;
  if (wants_copy(in, ordered)) bytes += (size_t)in->numel * (size_t)mt__esize(in->dtype) + 8;
  return bytes;
}

static void copy_row_major(const mt_tensor *t, char *to) {
  int last = t->ndim - 1, size = mt__esize(t->dtype);
  int64_t at[MT_MAX_DIMS] = {0}, off = 0;
  for (int64_t done = 0; done < t->numel; done += t->sizes[last]) {
    mt__convert(to + done * size, t->dtype, 1, mt__ptr(t) + off * size, t->dtype, t->strides[last],
                t->sizes[last]);
    for (int d = last - 1; d >= 0; d--) {
      off += t->strides[d];
      if (++at[d] < t->sizes[d]) break;
      off -= t->sizes[d] * t->strides[d];
      at[d] = 0;
    }
  }
}

/* Sorts the reduced dimensions by falling stride (0 first: never the one walked along) and
 * makes one of neighbours that are one in memory. */
static void fold_reduced(plan *p) {
  for (int i = 1; i < p->nreduced; i++)
    for (int k = i; k > 0; k--) {
      int64_t before = p->rin[k - 1], here = p->rin[k];
      if (before == 0 || (here != 0 && before >= here)) break;
      int64_t size = p->rsize[k];
      p->rin[k] = before, p->rin[k - 1] = here;
      p->rsize[k] = p->rsize[k - 1], p->rsize[k - 1] = size;
    }
  int n = 0;
  for (int i = 0; i < p->nreduced; i++) {
    if (n && p->rin[n - 1] == p->rin[i] * p->rsize[i]) {
      p->rsize[n - 1] *= p->rsize[i];
      p->rin[n - 1] = p->rin[i];
    } else {
      p->rsize[n] = p->rsize[i], p->rin[n] = p->rin[i];
      n++;
    }
  }
  p->nreduced = n;
}

static void add_kept(plan *p, int64_t size, int64_t in, int64_t out) {
  int n = p->nkept;
  if (n && p->kin[n - 1] == in * size && p->kout[n - 1] == out * size) {
    p->ksize[n - 1] *= size, p->kin[n - 1] = in, p->kout[n - 1] = out;
    return;
  }
  p->ksize[n] = size, p->kin[n] = in, p->kout[n] = out;
  p->nkept++;
}

static void take(int *n, int64_t *sizes, int64_t *in, int64_t *out, int k) {
  for (int i = k; i + 1 < *n; i++) {
    sizes[i] = sizes[i + 1], in[i] = in[i + 1];
    if (out) out[i] = out[i + 1];
  }
  --*n;
}

/* Chooses the tile: its rows among the reduced dimensions, its columns among the kept ones. */
static void choose_tile(plan *p) {
  p->rows = p->cols = p->q = 1;
  p->rstride = p->cstride = p->ostride = 1;
  int column = -1;
  for (int d = 0; d < p->nkept; d++)
    if (p->kin[d] && (column < 0 || p->kin[d] <= p->kin[column])) column = d;
  int64_t step = p->nreduced ? p->rin[p->nreduced - 1] : 0;
  int64_t length = p->nreduced ? p->rsize[p->nreduced - 1] : 1;
  if (column >= 0 && step && step < p->kin[column]) {
    /* the reduced dimension is the dense one: rows of their own unless they are very short */
    bool long_enough = length >= (p->row || p->bytes ? 12 : 48);
    if (long_enough || p->ksize[column] < 4) column = -1;
  }
  if (column >= 0) {
    p->cols = p->ksize[column], p->cstride = p->kin[column], p->ostride = p->kout[column];
    take(&p->nkept, p->ksize, p->kin, p->kout, column);
  }
  if (p->nreduced) {
    p->rows = length, p->rstride = step;
    p->nreduced--;
  }
  if (p->cols == 1)
    p->q = p->row || p->bytes ? 1 : MT_LANES;
  else if (p->cols <= MT_LANES / 2 && p->rstride == p->cols * p->cstride)
    p->q = MT_LANES / p->cols;
}

static void make_plan(plan *p, const mt_reduction *r, bool ordered) {
  static const int dtypes[MT_NNUMS] = {MT_FLOAT32, MT_FLOAT64, MT_INT64};
  const mt_tensor *t = r->in;
  p->r = r;
  p->kern = mt__kern_reduce();
  p->fold = p->kern->fold[r->kind][r->number];
  p->arg = r->kind == MT_FOLD_ARGMAX || r->kind == MT_FOLD_ARGMIN;
  int row_kind = r->kind == MT_FOLD_ARGMAX   ? MT_FOLD_MAX
                 : r->kind == MT_FOLD_ARGMIN ? MT_FOLD_MIN
                                             : r->kind;
  p->row = p->kern->row[row_kind][r->number];
  p->src_dtype = t->dtype, p->src_size = mt__esize(t->dtype);
  p->dtype = dtypes[r->number], p->size = mt__esize(p->dtype);
  p->direct = p->src_dtype == p->dtype && !r->map;
  p->nkept = p->nreduced = 0;
  counts(t, r->mask, &p->n, &p->m);
  p->base = mt__ptr(t);
  p->part_a = r->work;
  bool copy = wants_copy(t, ordered);
  if (copy || (p->n == t->numel && mt__is_contiguous(t))) {
    if (copy) {
      copy_row_major(t, r->work);
      p->base = r->work;
      size_t bytes = (size_t)t->numel * (size_t)p->src_size;
      p->part_a = (slot *)(void *)((char *)r->work + ((bytes + 7) & ~(size_t)7));
    }
    p->rsize[0] = t->numel, p->rin[0] = 1;
    p->nreduced = 1;
  } else {
    int64_t out = p->m;
    for (int d = 0; d < t->ndim; d++) {
      if (r->mask >> d & 1) {
        if (t->sizes[d] == 1) continue;
        p->rsize[p->nreduced] = t->sizes[d], p->rin[p->nreduced] = t->strides[d];
        p->nreduced++;
      } else {
        out /= t->sizes[d];
        if (t->sizes[d] != 1) add_kept(p, t->sizes[d], t->strides[d], out);
      }
    }
    fold_reduced(p);
  }
  /* counting what is not zero in bytes: a bool is 0 or 1, so its sum counts too */
  p->bytes = p->src_size == 1 && r->number == MT_NUM_I64 && !r->map &&
             (r->kind == MT_FOLD_NONZERO || (r->kind == MT_FOLD_SUM && p->src_dtype == MT_BOOL));
  choose_tile(p);
  if (p->cols > 1) p->bytes = false;
  p->total = p->rows;
  for (int d = 0; d < p->nreduced; d++) p->total *= p->rsize[d];
  p->nranges = (p->cols + WIDTH - 1) / WIDTH;
  p->units = p->nranges;
  for (int d = 0; d < p->nkept; d++) p->units *= p->ksize[d];
  int64_t most = max_segments(p->n, p->m), want = (MAX_SEGMENTS + p->units - 1) / p->units;
  if (want > most) want = most;
  int64_t unit = p->cols == 1 ? CHUNK : STAGE_ROWS * p->q;
  p->segment = (p->total + want - 1) / want;
  p->segment = (p->segment + unit - 1) / unit * unit;
  p->segments = p->total ? (p->total + p->segment - 1) / p->segment : 1;
  p->part_b = p->part_a + p->segments * p->m;
}

static void fill_empty(const plan *p) {
  for (int64_t i = 0; i < p->m; i++) {
    slot a, b;
    clear(p, &a, &b, 1, 0);
    if (p->r->kind == MT_FOLD_VAR) a.f = NAN; /* the mean of nothing */
    finish(p, i, 1, &a, &b);
  }
}

int mt__reduce(const mt_reduction *r, bool ordered) {
  plan p;
  if (r->in->numel == 0) {
    memset(&p, 0, sizeof p);
    p.r = r;
    p.ostride = 1;
    counts(r->in, r->mask, &p.n, &p.m);
    fill_empty(&p);
    return MT_OK;
  }
  make_plan(&p, r, ordered);
  if (p.segments > 1) {
    MT_TRY(mt__parallel(p.units * p.segments, run_segment, &p));
    return mt__parallel_range(p.units, 1, join_segments, &p);
  }
  int64_t width = p.cols < WIDTH ? p.cols : WIDTH, work = p.total * width;
  return mt__parallel_range(p.units, work >= GRAIN ? 1 : GRAIN / work, run_units, &p);
}
