// random.cu: tensors filled with random numbers, dropout, bernoulli, randperm, multinomial.
//
// The words are those of the CPU (philox.h): element i of an op that takes one word an element has
// word i % 4 of counter i / 4, of one that takes two has words 2 (i % 2) and the next of counter
// i / 2, whatever the layout. Uniform numbers, whole numbers, bernoulli, dropout and randperm are
// bit-equal with the CPU's; normal, exponential and multinomial draws share the words and differ by
// the rounding of logarithm, sine and cosine. Products and sums are kept apart (no contraction).
#include "kit.cuh"

#define MT_PHILOX_FN static __host__ __device__ inline
#include "philox.h"

namespace {

enum { UNIFORM, NORMAL, EXPONENTIAL, LOG_NORMAL, INTEGERS, BERNOULLI };

struct fill {
  int kind, dtype, wide, each; // wide: made in double; each: words an element takes
  mtc_walk<1> w;
  char *out;
  uint64_t seed, stream, count, limit;
  int64_t low;
  double a, b, top;
};

static __device__ inline uint64_t two_words(const uint32_t *w) {
  return (uint64_t)w[0] << 32 | w[1];
}
static __device__ inline double open_unit(const uint32_t *w) {
  return __dmul_rn(__dadd_rn((double)(int64_t)(two_words(w) >> 12), 0.5), 0x1p-52);
}

// ln v for v in [2^-32, 1]: operation by operation that of kernels/random.c.
static __device__ inline float log_of(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  int32_t e = (int32_t)(bits - 0x3f3504f3u) >> 23;
  uint32_t mbits = bits - ((uint32_t)e << 23);
  float m, k = (float)e;
  memcpy(&m, &mbits, sizeof m);
  float x = __fadd_rn(m, -1.0f), z = __fmul_rn(x, x);
  float p = 7.0376836292e-2f;
  p = __fmaf_rn(p, x, -1.1514610310e-1f);
  p = __fmaf_rn(p, x, 1.1676998740e-1f);
  p = __fmaf_rn(p, x, -1.2420140846e-1f);
  p = __fmaf_rn(p, x, 1.4249322787e-1f);
  p = __fmaf_rn(p, x, -1.6668057665e-1f);
  p = __fmaf_rn(p, x, 2.0000714765e-1f);
  p = __fmaf_rn(p, x, -2.4999993993e-1f);
  p = __fmaf_rn(p, x, 3.3333331174e-1f);
  float y = __fmul_rn(__fmul_rn(p, x), z);
  y = __fmaf_rn(k, -2.12194440e-4f, y);
  y = __fmaf_rn(-0.5f, z, y);
  return __fmaf_rn(k, 0.693359375f, __fadd_rn(x, y));
}

// Two normal numbers of two words.
static __device__ inline void normal_pair(float *out, uint32_t a, uint32_t b, float mean,
                                          float std) {
  float v = __fadd_rn(__fmul_rn((float)(int32_t)(a >> 1), 0x1p-31f), 0x1p-32f);
  float r = __fmul_rn(sqrtf(__fmul_rn(-2.0f, log_of(v))), std);
  float t = __fmul_rn((float)(int32_t)(b << 2), 0x1p-32f * 1.57079632679489662f),
        z = __fmul_rn(t, t);
  float s = -1.9515295891e-4f, c = 2.443315711809948e-5f;
  s = __fmaf_rn(s, z, 8.3321608736e-3f);
  s = __fmaf_rn(s, z, -1.6666654611e-1f);
  s = __fmaf_rn(__fmul_rn(s, z), t, t);
  c = __fmaf_rn(c, z, -1.388731625493765e-3f);
  c = __fmaf_rn(c, z, 4.166664568298827e-2f);
  c = __fmaf_rn(__fmul_rn(c, z), z, __fmaf_rn(-0.5f, z, 1.0f));
  bool odd = (b >> 30 & 1) != 0, flip = (b >> 31) != 0;
  float x = odd ? s : c, y = odd ? c : s; // quarters 0..3: (c, s), (-s, c), (-c, -s), (s, -c)
  if (flip != odd) x = -x;
  if (flip) y = -y;
  out[0] = __fadd_rn(__fmul_rn(x, r), mean);
  out[1] = __fadd_rn(__fmul_rn(y, r), mean);
}

static __device__ inline void normal_pair64(double *out, const uint32_t *w, double mean,
                                            double std) {
  double r = sqrt(-2 * log(open_unit(w))) * std;
  uint64_t turn = two_words(w + 2);
  double t = (double)(int64_t)(turn << 2) * (0x1p-64 * 1.57079632679489661923);
  double s = sin(t), c = cos(t);
  int quarter = (int)(turn >> 62);
  double x = quarter & 1 ? s : c, y = quarter & 1 ? c : s;
  if (quarter == 1 || quarter == 2) x = -x;
  if (quarter >= 2) y = -y;
  out[0] = __dadd_rn(__dmul_rn(x, r), mean);
  out[1] = __dadd_rn(__dmul_rn(y, r), mean);
}

// A thread makes the elements of one counter: four, or two of two words.
__global__ void fill_counters(fill p) {
  int per = 4 / p.each;
  MTC_EACH(counter, (p.w.numel + per - 1) / per) {
    uint32_t w[4];
    float f[4];
    double d[2];
    mt__philox_at(w, p.seed, p.stream, (uint64_t)counter, 0);
    bool normal = p.kind == NORMAL || p.kind == LOG_NORMAL;
    if (normal && p.wide) {
      normal_pair64(d, w, p.a, p.b);
    } else if (normal) {
      normal_pair(f, w[0], w[1], (float)p.a, (float)p.b);
      normal_pair(f + 2, w[2], w[3], (float)p.a, (float)p.b);
    }
    for (int k = 0; k < per; k++) {
      int64_t i = counter * per + k, at;
      if (i >= p.w.numel) break;
      mtc_locate(p.w, i, &at);
      const uint32_t *own = w + k * p.each;
      if (p.kind == INTEGERS) {
        mtc_store<int64_t>(p.out, p.dtype, at,
                           (int64_t)((uint64_t)p.low + __umul64hi(two_words(own), p.count)));
        continue;
      }
      if (p.kind == BERNOULLI) {
        mtc_store<int64_t>(p.out, p.dtype, at, own[0] < p.limit);
        continue;
      }
      if (p.wide) {
        double x = 0;
        if (normal) {
          x = p.kind == LOG_NORMAL ? exp(d[k]) : d[k];
        } else if (p.kind == UNIFORM) {
          uint64_t bits = (uint64_t)own[0] << 21 | own[1] >> 11;
          x = __dadd_rn(__dmul_rn(__dmul_rn((double)(int64_t)bits, 0x1p-53), p.b - p.a), p.a);
          x = x < p.top ? x : p.top;
        } else {
          x = -log(open_unit(own)) / p.a;
        }
        mtc_store<double>(p.out, p.dtype, at, x);
        continue;
      }
      float x;
      if (normal) {
        x = p.kind == LOG_NORMAL ? expf(f[k]) : f[k];
      } else if (p.kind == UNIFORM) {
        x = __fmul_rn((float)(int32_t)(own[0] >> 8), 0x1p-24f);
        x = __fadd_rn(__fmul_rn(x, (float)(p.b - p.a)), (float)p.a);
        x = x < (float)p.top ? x : (float)p.top;
      } else {
        float v = __fmul_rn(__fadd_rn((float)(int32_t)(own[0] >> 9), 0.5f), 0x1p-23f);
        x = __fmul_rn(-log_of(v), (float)(1 / p.a));
      }
      mtc_store<float>(p.out, p.dtype, at, x);
    }
  }
}

// The largest number of a dtype that is less than x.
double below_in(double x, int dtype) {
  if (dtype == MT_FLOAT64) return nextafter(x, -INFINITY);
  float f = (float)x;
  if (dtype == MT_FLOAT32) return f < x ? f : nextafterf(f, -INFINITY);
  bool half = dtype == MT_FLOAT16;
  uint16_t h = half ? mtc_to_half(f) : mtc_to_bf16(f);
  float back = half ? mtc_from_half(h) : mtc_from_bf16(h);
  if (back >= x) {
    if ((h & 0x7fff) == 0)
      h = 0x8001;
    else
      h = (uint16_t)(h & 0x8000 ? h + 1 : h - 1);
    back = half ? mtc_from_half(h) : mtc_from_bf16(h);
  }
  return back;
}

int run_fill(mt_frame *f, int kind, double a, double b) {
  const mt_tensor *out = f->out[0];
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  fill p;
  memset(&p, 0, sizeof p);
  p.kind = kind;
  p.dtype = out->dtype;
  p.wide = out->dtype == MT_FLOAT64 && kind != INTEGERS && kind != BERNOULLI;
  p.each = kind == INTEGERS || p.wide ? 2 : 1;
  p.out = mtc_ptr(out);
  p.seed = f->seed, p.stream = f->stream;
  p.a = a, p.b = b;
  if (kind == UNIFORM) p.top = b > a ? below_in(b, out->dtype) : a;
  if (kind == BERNOULLI) p.limit = (uint64_t)(a * 4294967296.0);
  mtc_walk_begin(&p.w, out->ndim, out->sizes);
  mtc_walk_tensor(&p.w, 0, out);
  mtc_walk_finish(&p.w, false);
  if (kind == INTEGERS) {
    const mt_arg *bounds = strcmp(f->op->name, "randint") == 0 ? f->args : f->args + 1;
    p.low = bounds[0].u.i;
    p.count = (uint64_t)bounds[1].u.i - (uint64_t)bounds[0].u.i;
  }
  MTC_LAUNCH(fill_counters, mtc_grid((out->numel + 1) / 2), MTC_THREADS, s, p);
  return mtc_launched(f->op->name);
}

int rand_op(mt_frame *f) {
  return run_fill(f, UNIFORM, 0, 1);
}
int randn_op(mt_frame *f) {
  return run_fill(f, NORMAL, 0, 1);
}
int integers_op(mt_frame *f) {
  return run_fill(f, INTEGERS, 0, 0);
}
int uniform_op(mt_frame *f) {
  return run_fill(f, UNIFORM, f->args[1].u.f, f->args[2].u.f);
}
int normal_op(mt_frame *f) {
  return run_fill(f, NORMAL, f->args[1].u.f, f->args[2].u.f);
}
int log_normal_op(mt_frame *f) {
  return run_fill(f, LOG_NORMAL, f->args[1].u.f, f->args[2].u.f);
}
int exponential_op(mt_frame *f) {
  return run_fill(f, EXPONENTIAL, f->args[1].u.f, 0);
}
int bernoulli_fill_op(mt_frame *f) {
  return run_fill(f, BERNOULLI, f->args[1].u.f, 0);
}

// ---- dropout: an element stays where its word is below (1 - p) 2^32 ----

struct drop {
  mtc_walk<2> w; // out, self
  char *out;
  const char *self;
  int dtype;
  uint64_t seed, stream, limit;
  double scale;
};

__global__ void drop_counters(drop d) {
  MTC_EACH(counter, (d.w.numel + 3) / 4) {
    uint32_t w[4];
    mt__philox_at(w, d.seed, d.stream, (uint64_t)counter, 0);
    for (int k = 0; k < 4 && counter * 4 + k < d.w.numel; k++) {
      int64_t off[2];
      mtc_locate(d.w, counter * 4 + k, off);
      bool keep = w[k] < d.limit;
      if (d.dtype == MT_FLOAT64)
        mtc_store<double>(d.out, d.dtype, off[0],
                          keep ? mtc_load<double>(d.self, d.dtype, off[1]) * d.scale : 0);
      else
        mtc_store<float>(d.out, d.dtype, off[0],
                         keep ? mtc_load<float>(d.self, d.dtype, off[1]) * (float)d.scale : 0);
    }
  }
}

int run_drop(mt_frame *f, uint64_t seed, uint64_t stream) {
  const mt_tensor *self = f->args[0].u.t, *out = f->out[0];
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  double keep = 1 - f->args[1].u.f;
  drop d;
  memset(&d, 0, sizeof d);
  mtc_walk_begin(&d.w, out->ndim, out->sizes);
  mtc_walk_tensor(&d.w, 0, out);
  mtc_walk_tensor(&d.w, 1, self);
  mtc_walk_finish(&d.w, false);
  d.out = mtc_ptr(out), d.self = mtc_ptr(self), d.dtype = self->dtype;
  d.seed = seed, d.stream = stream;
  d.limit = (uint64_t)(keep * 4294967296.0);
  d.scale = d.limit ? 1 / keep : 0;
  MTC_LAUNCH(drop_counters, mtc_grid((out->numel + 3) / 4), MTC_THREADS, s, d);
  return mtc_launched(f->op->name);
}

int dropout_op(mt_frame *f) {
  return run_drop(f, f->seed, f->stream);
}
int dropout_again_op(mt_frame *f) {
  return run_drop(f, (uint64_t)f->args[2].u.i, (uint64_t)f->args[3].u.i);
}

// ---- bernoulli(self, p): a probability out of 0..1 counts as the nearer end (NaN as 0) ----

__global__ void toss(drop d, double p, int given) {
  MTC_EACH(counter, (d.w.numel + 3) / 4) {
    uint32_t w[4];
    mt__philox_at(w, d.seed, d.stream, (uint64_t)counter, 0);
    for (int k = 0; k < 4 && counter * 4 + k < d.w.numel; k++) {
      int64_t off[2];
      mtc_locate(d.w, counter * 4 + k, off);
      double q = given ? p : mtc_load<double>(d.self, d.dtype, off[1]);
      q = q > 0 ? (q < 1 ? q : 1) : 0;
      mtc_store<int64_t>(d.out, d.dtype, off[0], w[k] < (uint64_t)(q * 4294967296.0));
    }
  }
}

int bernoulli_op(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t, *out = f->out[0];
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  drop d;
  memset(&d, 0, sizeof d);
  mtc_walk_begin(&d.w, out->ndim, out->sizes);
  mtc_walk_tensor(&d.w, 0, out);
  mtc_walk_tensor(&d.w, 1, self);
  mtc_walk_finish(&d.w, false);
  d.out = mtc_ptr(out), d.self = mtc_ptr(self), d.dtype = self->dtype;
  d.seed = f->seed, d.stream = f->stream;
  bool given = f->args[1].kind != MT_NONE;
  MTC_LAUNCH(toss, mtc_grid((out->numel + 3) / 4), MTC_THREADS, s, d,
             given ? mt__num(&f->args[1]) : 0, given);
  return mtc_launched("bernoulli");
}

// ---- randperm: numbers sorted by 64-bit keys, equal keys by number ----

// The low bits of a key hold the number itself, as on the CPU: no two are equal.
__global__ void make_keys(mtc_pair *pairs, int64_t n, int64_t padded, uint64_t mask, uint64_t seed,
                          uint64_t stream) {
  MTC_EACH(i, padded) {
    mtc_pair p = {UINT64_MAX, INT64_MAX};
    if (i < n) {
      uint32_t w[4];
      mt__philox_at(w, seed, stream, (uint64_t)i / 2, 0);
      p.key = (two_words(w + 2 * (i % 2)) & ~mask) | (uint64_t)i;
      p.at = i;
    }
    pairs[i] = p;
  }
}

__global__ void take_numbers(const mtc_pair *pairs, int64_t n, char *out, int dtype) {
  MTC_EACH(i, n) mtc_store<int64_t>(out, dtype, i, pairs[i].at + 1);
}

int randperm_op(mt_frame *f) {
  const mt_tensor *out = f->out[0];
  int64_t n = f->args[0].u.i, padded = 1;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (n == 0) return MT_OK;
  while (padded < n) padded *= 2;
  mtc_scratch scratch;
  MTC_TRY(scratch.take(out->device, padded * (int64_t)sizeof(mtc_pair)));
  mtc_pair *pairs = (mtc_pair *)scratch.p;
  uint64_t mask = 0;
  while (mask < (uint64_t)n - 1) mask = mask << 1 | 1;
  MTC_LAUNCH(make_keys, mtc_grid(padded), MTC_THREADS, s, pairs, n, padded, mask, f->seed,
             f->stream);
  MTC_TRY(mtc_launched("randperm"));
  MTC_TRY(mtc_sort_pairs(pairs, 1, padded, s));
  MTC_LAUNCH(take_numbers, mtc_grid(n), MTC_THREADS, s, (const mtc_pair *)pairs, n, mtc_ptr(out),
             out->dtype);
  return mtc_launched("randperm");
}

// ---- multinomial ----
//
// With replacement: draw k of row r is a point of the row's cumulative sums. Without: category j
// of a row gets an exponential variable of rate p, and those that come first are taken. What is
// no distribution cannot be refused here: such a row's draws are its last category.

struct multi {
  const char *self;
  int dtype;
  int64_t rows, n, k, row_stride, stride, padded;
  uint64_t seed, stream;
  double *sums;
  mtc_pair *pairs;
  int64_t *out;
};

static __device__ inline double chance(const multi &m, int64_t row, int64_t j) {
  return mtc_load<double>(m.self, m.dtype, row * m.row_stride + j * m.stride);
}

__global__ void cumulate(multi m) {
  MTC_EACH(row, m.rows) {
    double sum = 0;
    for (int64_t j = 0; j < m.n; j++) m.sums[row * m.n + j] = sum += chance(m, row, j);
  }
}

__global__ void draw_points(multi m) {
  MTC_EACH(i, m.rows * m.k) {
    const double *sums = m.sums + i / m.k * m.n;
    uint32_t four[4];
    mt__philox_at(four, m.seed, m.stream, (uint64_t)i / 2, 0);
    double unit = (double)(int64_t)(two_words(four + 2 * (i % 2)) >> 11) * 0x1p-53;
    double x = unit * sums[m.n - 1];
    int64_t lo = 0, hi = m.n - 1; // the first whose sum is above x
    while (lo < hi) {
      int64_t mid = (lo + hi) / 2;
      if (sums[mid] > x)
        hi = mid;
      else
        lo = mid + 1;
    }
    m.out[i] = lo + 1;
  }
}

__global__ void draw_arrivals(multi m) {
  MTC_EACH(x, m.rows * m.padded) {
    int64_t row = x / m.padded, j = x % m.padded;
    mtc_pair p = {UINT64_MAX, j};
    double q = j < m.n ? chance(m, row, j) : 0;
    if (q > 0) {
      int64_t i = row * m.n + j;
      uint32_t four[4];
      mt__philox_at(four, m.seed, m.stream, (uint64_t)i / 2, 0);
      double time = -log(open_unit(four + 2 * (i % 2))) / q; // positive: its bits order it
      memcpy(&p.key, &time, sizeof p.key);
    }
    m.pairs[x] = p;
  }
}

__global__ void take_arrivals(multi m) {
  MTC_EACH(i, m.rows * m.k) {
    int64_t j = m.pairs[i / m.k * m.padded + i % m.k].at;
    m.out[i] = (j < m.n ? j : m.n - 1) + 1;
  }
}

int multinomial_op(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int last = self->ndim - 1;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, self->device));
  multi m;
  memset(&m, 0, sizeof m);
  m.self = mtc_ptr(self), m.dtype = self->dtype;
  m.n = self->sizes[last], m.stride = self->strides[last];
  m.rows = last ? self->sizes[0] : 1, m.row_stride = last ? self->strides[0] : 0;
  m.k = f->args[1].u.i;
  m.seed = f->seed, m.stream = f->stream;
  m.out = (int64_t *)mtc_ptr(f->out[0]);
  if (m.rows == 0) return MT_OK;
  mtc_scratch scratch;
  if (f->args[2].u.i) {
    MTC_TRY(scratch.take(self->device, m.rows * m.n * (int64_t)sizeof(double)));
    m.sums = (double *)scratch.p;
    MTC_LAUNCH(cumulate, mtc_grid(m.rows), MTC_THREADS, s, m);
    MTC_TRY(mtc_launched("multinomial"));
    MTC_LAUNCH(draw_points, mtc_grid(m.rows * m.k), MTC_THREADS, s, m);
    return mtc_launched("multinomial");
  }
  for (m.padded = 1; m.padded < m.n;) m.padded *= 2;
  MTC_TRY(scratch.take(self->device, m.rows * m.padded * (int64_t)sizeof(mtc_pair)));
  m.pairs = (mtc_pair *)scratch.p;
  MTC_LAUNCH(draw_arrivals, mtc_grid(m.rows * m.padded), MTC_THREADS, s, m);
  MTC_TRY(mtc_launched("multinomial"));
  MTC_TRY(mtc_sort_pairs(m.pairs, m.rows, m.padded, s));
  MTC_LAUNCH(take_arrivals, mtc_grid(m.rows * m.k), MTC_THREADS, s, m);
  return mtc_launched("multinomial");
}

const mtc_kernel table[] = {
    {"rand", MT_D_FLOAT, rand_op, true},
    {"randn", MT_D_FLOAT, randn_op, true},
    {"rand_like", MT_D_ALL, rand_op, true},
    {"randn_like", MT_D_ALL, randn_op, true},
    {"randint", MT_D_ALL, integers_op, true},
    {"randint_like", MT_D_ALL, integers_op, true},
    {"random_", MT_D_ALL, integers_op, true},
    {"uniform_", MT_D_FLOAT, uniform_op, true},
    {"normal_", MT_D_FLOAT, normal_op, true},
    {"log_normal_", MT_D_FLOAT, log_normal_op, true},
    {"exponential_", MT_D_FLOAT, exponential_op, true},
    {"bernoulli_", MT_D_ALL, bernoulli_fill_op, true},
    {"bernoulli", MT_D_ALL, bernoulli_op, true},
    {"_dropout", MT_D_FLOAT, dropout_op, true},
    {"_dropout_again", MT_D_FLOAT, dropout_again_op, true},
    {"randperm", MT_D_ALL, randperm_op, true},
    {"multinomial", MT_D_FLOAT, multinomial_op, true},
};
MTC_FAMILY(randoms, table);

} // namespace
