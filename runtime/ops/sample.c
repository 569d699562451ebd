/* sample.c: draws whose elements depend on one another or on given probabilities: randperm,
 * multinomial, bernoulli. Positions count from 1. */
#include <math.h>
#include <string.h>

#include "moontorch_ops.h"

#include "draws.h"
#include "factory.h"
#include "internal.h"
#include "walk.h"

/* ---- randperm ----
 *
 * Number i (from 0) gets the 64 bits of its two words, the low ones of which are replaced by i
 * itself, as many as n - 1 needs; the order of these keys is the permutation. So any sort of plain
 * 64-bit keys gives the same bits. Here: keys go to buckets by their top bits, those of a large n
 * then to smaller buckets by the bits that follow, until about FEW are left; those are ranked by
 * comparing each with each, which takes no branch that a processor could guess wrong. */

enum { FEW = 4, ONE_STEP_BITS = 14, TOP_BITS = 10, MORE_BITS = 12 };

/* Bits that divide n keys into buckets of about FEW. */
static int bucket_bits(int64_t n) {
  int bits = 0;
  while (n / FEW >> bits > 0) bits++;
  return bits;
}

static int randperm_infer(mt_frame *f) {
  int64_t n = f->args[0].u.i;
  f->random = true;
  if (n < 0) return mt__op_fail(f, MT_ERR_VALUE, "n must be non-negative, got %lld", (long long)n);
  MT_TRY(mt__factory(f, MT_INT64, 1, &n));
  static const int64_t most[MT_NDTYPES] = {1,         255,  INT8_MAX, INT16_MAX, INT32_MAX,
                                           INT32_MAX, 2048, 256,      1 << 24,   INT32_MAX};
  int dtype = f->out[0]->dtype;
  if (n > most[dtype])
    return mt__op_fail(f, MT_ERR_VALUE, "n is too large for result tensor type: %s",
                       mt_dtype_name(dtype));
  f->work_bytes = 2 * (size_t)n * sizeof(uint64_t) + 64;
  return MT_OK;
}

/* By `bits` bits below the top `skip`; end[b] is where bucket b ends. */
static void divide(uint64_t *to, const uint64_t *from, int64_t n, int skip, int bits,
                   uint32_t *end) {
  uint32_t sum = 0;
  int shift = 64 - bits;
  memset(end, 0, sizeof *end << bits);
  for (int64_t i = 0; i < n; i++) end[from[i] << skip >> shift]++;
  for (int64_t b = 0; b < 1ll << bits; b++) {
    uint32_t count = end[b];
    end[b] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < n; i++) to[end[from[i] << skip >> shift]++] = from[i];
}

typedef struct perm {
  uint64_t *keys, *other; /* n each */
  uint32_t end[1 << ONE_STEP_BITS];
  int top;
  uint64_t mask; /* the bits that hold the number */
  const mt_tensor *out;
} perm;

/* to[rank] = number, from 1, of each key. */
static void rank_few(int64_t *to, const uint64_t *e, int64_t n, uint64_t mask) {
  for (int64_t i = 0; i < n; i++) {
    uint64_t k = e[i];
    int64_t rank = 0;
    for (int64_t j = 0; j < n; j++) rank += e[j] < k;
    to[rank] = (int64_t)(k & mask) + 1;
  }
}

/* Sorts the buckets begin..end-1, which lie in p->keys, and writes their numbers. */
static void sort_buckets(void *ctx, int64_t begin, int64_t end) {
  const perm *p = ctx;
  uint32_t inner[1 << MORE_BITS];
  int esize = mt__esize(p->out->dtype);
  for (int64_t b = begin; b < end; b++) {
    int64_t first = b ? p->end[b - 1] : 0, n = p->end[b] - first;
    char *out = mt__ptr(p->out) + first * esize;
    bool direct = p->out->dtype == MT_INT64;
    uint64_t *keys = p->keys + first, *other = p->other + first;
    int64_t *numbers;
    int bits = n > 8 * FEW ? bucket_bits(n) : 0;
    if (bits > MORE_BITS) bits = MORE_BITS;
    if (bits) {
      divide(other, keys, n, p->top, bits, inner);
      numbers = direct ? (int64_t *)out : (int64_t *)keys;
      for (int64_t i = 0, at = 0; i < 1ll << bits; at = inner[i++])
        rank_few(numbers + at, other + at, inner[i] - at, p->mask);
    } else {
      numbers = direct ? (int64_t *)out : (int64_t *)other;
      rank_few(numbers, keys, n, p->mask);
    }
    if (!direct) mt__convert(out, p->out->dtype, 1, (const char *)numbers, MT_INT64, 1, n);
  }
}

static int randperm_run(mt_frame *f) {
  int64_t n = f->args[0].u.i;
  uint32_t w[MT_DRAW_WORDS] __attribute__((aligned(64)));
  perm p;
  if (n == 0) return MT_OK;
  p.keys = f->work;
  p.other = p.keys + n;
  p.top = bucket_bits(n) > ONE_STEP_BITS ? TOP_BITS : bucket_bits(n);
  p.mask = 0;
  p.out = f->out[0];
  while (p.mask < (uint64_t)n - 1) p.mask = p.mask << 1 | 1;
  uint64_t *first = p.top ? p.other : p.keys;
  for (int64_t i = 0; i < n; i += MT_DRAW) {
    int64_t m = n - i < MT_DRAW ? n - i : MT_DRAW;
    mt__draw_words(w, f->seed, f->stream, i, m, 2);
    for (int64_t k = 0; k < m; k++)
      first[i + k] = (((uint64_t)w[2 * k] << 32 | w[2 * k + 1]) & ~p.mask) | (uint64_t)(i + k);
  }
  if (p.top)
    divide(p.keys, p.other, n, 0, p.top, p.end);
  else
    p.end[0] = (uint32_t)n;
  return mt__parallel_range(1ll << p.top, n >> p.top > 64 ? 16 : 2048, sort_buckets, &p);
}

/* ---- multinomial ----
 *
 * With replacement: draw k of row r is a point of the row's cumulative sums. Without: category j
 * of row r gets an exponential variable of rate p (word place r * categories + j), and those
 * that come first are taken, in order. */

typedef struct arrival {
  double time;
  int64_t j;
} arrival;

static int multinomial_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  int64_t k = f->args[1].u.i;
  f->random = true;
  MT_TRY(mt__want_dtype(f, "self", self, MT_D_FLOAT));
  MT_TRY(mt__want_ndim(f, "self", self, 1, 2));
  int64_t n = self->sizes[self->ndim - 1], rows = self->ndim == 2 ? self->sizes[0] : 1;
  if (k <= 0)
    return mt__op_fail(f, MT_ERR_VALUE, "cannot sample num_samples <= 0 samples, got %lld",
                       (long long)k);
  if (!f->args[2].u.i && k > n)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "cannot sample num_samples > %lld categories without replacement, got %lld",
                       (long long)n, (long long)k);
  if (n == 0) return mt__op_fail(f, MT_ERR_VALUE, "there are no categories");
  f->work_bytes = (size_t)rows * (size_t)n * sizeof(arrival) + 64;
  int64_t sizes[2] = {rows, k};
  return mt__out(f, 0, MT_INT64, self->device, self->ndim, self->ndim == 2 ? sizes : sizes + 1);
}

typedef struct multi {
  const mt_frame *f;
  const mt_tensor *self;
  int64_t n, k;
  _Atomic int error; /* 1: not probabilities, 2: their sum, 3: too few */
} multi;

/* The words of place i, wherever it lies among others. */
static void words_at(const mt_frame *f, int64_t i, uint32_t *w) {
  uint32_t four[4];
  mt__philox(four, f->seed, f->stream, (uint64_t)i / 2, 0);
  memcpy(w, four + 2 * (i % 2), 2 * sizeof *w);
}

static double probability(const multi *m, int64_t row, int64_t j) {
  const mt_tensor *t = m->self;
  int64_t at = j * t->strides[t->ndim - 1] + (t->ndim == 2 ? row * t->strides[0] : 0);
  return mt__load_f64(mt__ptr(t) + at * mt__esize(t->dtype), t->dtype);
}

static void draw_with(multi *m, int64_t row, int64_t *out) {
  double *sums = (double *)m->f->work + row * m->n, sum = 0;
  int64_t last = -1;
  for (int64_t j = 0; j < m->n; j++) {
    double p = probability(m, row, j);
    if (!(p >= 0) || isinf(p)) {
      m->error = 1;
      return;
    }
    if (p > 0) last = j;
    sums[j] = sum += p;
  }
  if (last < 0 || isinf(sum)) {
    m->error = 2;
    return;
  }
  for (int64_t i = 0; i < m->k; i++) {
    uint32_t w[2];
    words_at(m->f, row * m->k + i, w);
    double x = mt__unit_f64(w[0], w[1]) * sum;
    int64_t lo = 0, hi = last; /* the first whose sum is above x */
    while (lo < hi) {
      int64_t mid = (lo + hi) / 2;
      if (sums[mid] > x)
        hi = mid;
      else
        lo = mid + 1;
    }
    out[i] = lo + 1;
  }
}

static bool later(const arrival *a, const arrival *b) {
  return a->time > b->time || (a->time == b->time && a->j > b->j);
}

static void sift_down(arrival *heap, int64_t n, int64_t i) {
  arrival x = heap[i];
  for (int64_t c; (c = 2 * i + 1) < n; i = c) {
    if (c + 1 < n && later(&heap[c + 1], &heap[c])) c++;
    if (!later(&heap[c], &x)) break;
    heap[i] = heap[c];
  }
  heap[i] = x;
}

/* The k earliest, kept in a heap with the latest of them on top. */
static void draw_without(multi *m, int64_t row, int64_t *out) {
  arrival *heap = (arrival *)m->f->work + row * m->n;
  int64_t n = 0, k = m->k;
  double sum = 0;
  for (int64_t j = 0; j < m->n; j++) {
    double p = probability(m, row, j);
    if (!(p >= 0) || isinf(p)) {
      m->error = 1;
      return;
    }
    sum += p;
    if (p == 0) continue;
    uint32_t w[2];
    words_at(m->f, row * m->n + j, w);
    arrival a = {-log(mt__open_f64(w[0], w[1])) / p, j};
    if (n < k) {
      heap[n++] = a;
      if (n == k)
        for (int64_t i = k / 2 - 1; i >= 0; i--) sift_down(heap, k, i);
    } else if (later(&heap[0], &a)) {
      heap[0] = a;
      sift_down(heap, k, 0);
    }
  }
  if (n < k) {
    m->error = sum == 0 ? 2 : 3;
    return;
  }
  for (int64_t i = k - 1; i >= 0; i--) {
    out[i] = heap[0].j + 1;
    heap[0] = heap[i];
    sift_down(heap, i, 0);
  }
}

static void multinomial_range(void *ctx, int64_t begin, int64_t end) {
  multi *m = ctx;
  for (int64_t row = begin; row < end; row++) {
    int64_t *out = (int64_t *)mt__ptr(m->f->out[0]) + row * m->k;
    if (m->f->args[2].u.i)
      draw_with(m, row, out);
    else
      draw_without(m, row, out);
  }
}

static int multinomial_run(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  multi m = {.f = f, .self = self, .n = self->sizes[self->ndim - 1], .k = f->args[1].u.i};
  int64_t rows = self->ndim == 2 ? self->sizes[0] : 1;
  MT_TRY(mt__parallel_range(rows, 4096 / m.n + 1, multinomial_range, &m));
  if (m.error == 1)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "probability tensor contains either `inf`, `nan` or element < 0");
  if (m.error == 2)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "invalid multinomial distribution (sum of probabilities <= 0)");
  if (m.error == 3)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "invalid multinomial distribution (without replacement, there are not "
                       "enough categories of probability > 0)");
  return MT_OK;
}

/* ---- bernoulli ---- */

static int bernoulli_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  f->random = true;
  if (f->args[1].kind != MT_NONE)
    MT_TRY(mt__check_probability(f, "p", mt__num(&f->args[1])));
  else
    MT_TRY(mt__want_dtype(f, "self", self, MT_D_FLOAT));
  return mt__out_like(f, 0, self->dtype, self);
}

typedef struct coin {
  const mt_frame *f;
  const mt_tensor *self, *out;
  bool given; /* one p for all */
  double p;
  mt_walk w; /* operands: out, self */
  _Atomic bool bad;
} coin;

typedef struct coin_piece {
  coin *c;
  const uint32_t *w;
} coin_piece;

static void check_piece(void *ctx, const int64_t *off, int64_t n) {
  coin *c = ctx;
  const mt_tensor *t = c->self;
  int64_t stride = c->w.strides[1][c->w.ndim - 1];
  for (int64_t i = 0; i < n; i++) {
    double p = mt__load_f64(mt__ptr(t) + (off[1] + i * stride) * mt__esize(t->dtype), t->dtype);
    if (!(p >= 0 && p <= 1)) c->bad = true;
  }
}

static void toss_piece(void *ctx, const int64_t *off, int64_t n) {
  coin_piece *q = ctx;
  const coin *c = q->c;
  int last = c->w.ndim - 1, dtype = c->self->dtype, esize = mt__esize(dtype);
  uint8_t hit[MT_DRAW];
  for (int64_t i = 0; i < n; i++) {
    const char *at = mt__ptr(c->self) + (off[1] + i * c->w.strides[1][last]) * esize;
    double p = c->given ? c->p : mt__load_f64(at, dtype);
    hit[i] = q->w[i] < mt__threshold(p);
  }
  mt__convert(mt__ptr(c->out) + off[0] * esize, dtype, c->w.strides[0][last], (const char *)hit,
              MT_BOOL, 1, n);
  q->w += n;
}

static void check_range(void *ctx, int64_t begin, int64_t end) {
  coin *c = ctx;
  mt__walk_range(&c->w, begin, end, check_piece, c);
}

static void toss_range(void *ctx, int64_t begin, int64_t end) {
  coin *c = ctx;
  uint32_t w[MT_DRAW_WORDS] __attribute__((aligned(64)));
  for (int64_t i = begin; i < end; i += MT_DRAW) {
    int64_t n = end - i < MT_DRAW ? end - i : MT_DRAW;
    coin_piece q = {.c = c, .w = w};
    mt__draw_words(w, c->f->seed, c->f->stream, i, n, 1);
    mt__walk_range(&c->w, i, i + n, toss_piece, &q);
  }
}

static int bernoulli_run(mt_frame *f) {
  coin c = {.f = f, .self = mt__t(f, 0), .out = f->out[0], .given = f->args[1].kind != MT_NONE};
  if (c.given) c.p = mt__num(&f->args[1]);
  if (c.out->numel == 0) return MT_OK;
  mt__walk_init(&c.w, 2);
  for (int d = 0; d < c.self->ndim; d++)
    mt__walk_dim(&c.w, c.self->sizes[d], c.out->strides[d], c.self->strides[d], 0);
  mt__walk_fold(&c.w);
  if (!c.given) {
    MT_TRY(mt__parallel_range(c.w.numel, 16 * MT_DRAW, check_range, &c));
    if (c.bad) return mt__op_fail(f, MT_ERR_VALUE, "expects all probabilities within 0..1");
  }
  return mt__parallel_range(c.w.numel, 16 * MT_DRAW, toss_range, &c);
}

/* What is drawn does not depend smoothly on what it is drawn from. */
static int no_gradient(mt_vjp *v) {
  (void)v;
  return MT_OK;
}

const mt_opdef mt__ops_sample[] = {
    {.sig = MT_SIG("randperm(int n, *, generator? generator=None, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "The numbers 1 to n in random order.",
     .infer = randperm_infer,
     .run = randperm_run,
     .samples = "{5}, {0}, {1}, {40}"},
    {.sig = MT_SIG("multinomial(Tensor self, int num_samples, bool replacement=false, *, "
                   "generator? generator=None) -> Tensor"),
     .doc = "Positions drawn from the last dimension in proportion to its elements.",
     .infer = multinomial_infer,
     .run = multinomial_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{prob(4), 2}, {prob(3,4), 5, true}, {t(prob(4,3)), 4}"},
    {.sig = MT_SIG("bernoulli(Tensor self, float? p=None, *, generator? generator=None) -> Tensor"),
     .doc = "1 with the probability that self holds (or p), else 0.",
     .infer = bernoulli_infer,
     .run = bernoulli_run,
     .vjp = no_gradient,
     .dtypes = MT_D_ALL,
     .samples = "{prob(3,4)}, {t(prob(3,4))}, {f(3,4), 0.5}, {prob()}"},
    {0}};
