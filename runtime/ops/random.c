/* random.c: tensors filled with random numbers, and dropout.
 *
 * Invariants
 *  - Element i of the logical row-major order takes its words from the counter that i names
 *    (kernels/random.h), whatever the layout and however the work is cut.
 *  - float64 takes 64 bits an element, other floating dtypes 32 and are made in float32; whole
 *    numbers take 64. */
#include <math.h>
#include <string.h>

#include "moontorch_ops.h"

#include "draws.h"
#include "factory.h"
#include "internal.h"
#include "walk.h"

MT_KERNELS(random)

void mt__draw_words(uint32_t *w, uint64_t seed, uint64_t stream, int64_t begin, int64_t n,
                    int each) {
  int64_t counters = (n * each + 3) / 4;
  counters = (counters + MT_RANDOM_STEP - 1) / MT_RANDOM_STEP * MT_RANDOM_STEP;
  mt__kern_random()->words(w, seed, stream, (uint64_t)(begin * each / 4), counters);
}

int mt__check_probability(const mt_frame *f, const char *name, double p) {
  if (p >= 0 && p <= 1) return MT_OK;
  return mt__op_fail(f, MT_ERR_VALUE, "%s has to be between 0 and 1, but got %g", name, p);
}

/* ---- filling ---- */

enum kind { UNIFORM, NORMAL, EXPONENTIAL, LOG_NORMAL, INTEGERS, BERNOULLI };

typedef struct fill {
  enum kind kind;
  const mt_tensor *out;
  uint64_t seed, stream;
  double a, b; /* from, to | mean, std | lambda | p */
  double top;  /* UNIFORM: the largest number of the dtype below `to` */
  int64_t low; /* INTEGERS: low, and how many there are (2^64 is not among them) */
  uint64_t count;
  int made;  /* dtype that elements are made in */
  int each;  /* words an element takes */
  mt_walk w; /* of out, where it is not row-major */
} fill;

static void make_f32(const fill *p, float *to, const uint32_t *w, int64_t n) {
  const mt_kern_random *kern = mt__kern_random();
  switch (p->kind) {
  case UNIFORM:
    kern->uniform_f32(to, w, n, (float)p->a, (float)(p->b - p->a), (float)p->top);
    break;
  case EXPONENTIAL:
    kern->exponential_f32(to, w, n, (float)(1 / p->a));
    break;
  default:
    kern->normal_f32(to, w, (n + 1) & ~(int64_t)1, (float)p->a, (float)p->b);
    break;
  }
  if (p->kind == LOG_NORMAL)
    for (int64_t i = 0; i < n; i++) to[i] = expf(to[i]);
}

static void make_f64(const fill *p, double *to, const uint32_t *w, int64_t n) {
  switch (p->kind) {
  case UNIFORM:
    mt__kern_random()->uniform_f64(to, w, n, p->a, p->b - p->a, p->top);
    break;
  case EXPONENTIAL:
    for (int64_t i = 0; i < n; i++) to[i] = -log(mt__open_f64(w[2 * i], w[2 * i + 1])) / p->a;
    break;
  default:
    for (int64_t i = 0; i < n; i += 2)
      mt__normal_pair_f64(w + 2 * i, p->a, p->b, &to[i], &to[i + 1]);
    break;
  }
  if (p->kind == LOG_NORMAL)
    for (int64_t i = 0; i < n; i++) to[i] = exp(to[i]);
}

/* Elements begin..begin+n-1 of p->made; `to` has room for an even number. */
static void make(const fill *p, void *to, int64_t begin, int64_t n) {
  uint32_t w[MT_DRAW_WORDS] __attribute__((aligned(64)));
  mt__draw_words(w, p->seed, p->stream, begin, n, p->each);
  if (p->kind == INTEGERS) {
    mt__kern_random()->integers(to, w, n, p->low, p->count);
  } else if (p->kind == BERNOULLI) {
    uint64_t limit = mt__threshold(p->a);
    if (limit == 0)
      memset(to, 0, (size_t)n);
    else
      mt__kern_random()->below(to, w, n, (uint32_t)(limit - 1));
  } else if (p->made == MT_FLOAT64) {
    make_f64(p, to, w, n);
  } else {
    make_f32(p, to, w, n);
  }
}

typedef struct piece {
  const fill *p;
  const char *from;
} piece;

static void store_piece(void *ctx, const int64_t *off, int64_t n) {
  piece *c = ctx;
  const mt_tensor *out = c->p->out;
  mt__convert(mt__ptr(out) + off[0] * mt__esize(out->dtype), out->dtype,
              c->p->w.strides[0][c->p->w.ndim - 1], c->from, c->p->made, 1, n);
  c->from += n * mt__esize(c->p->made);
}

static void fill_range(void *ctx, int64_t begin, int64_t end) {
  const fill *p = ctx;
  const mt_tensor *out = p->out;
  char made[MT_DRAW * 8] __attribute__((aligned(64)));
  for (int64_t i = begin; i < end; i += MT_DRAW) {
    int64_t n = end - i < MT_DRAW ? end - i : MT_DRAW;
    char *to = mt__ptr(out) + i * mt__esize(out->dtype);
    if (mt__is_contiguous(out) && out->dtype == p->made && n % 2 == 0) {
      make(p, to, i, n);
      continue;
    }
    make(p, made, i, n);
    if (mt__is_contiguous(out)) {
      mt__convert(to, out->dtype, 1, made, p->made, 1, n);
    } else {
      piece c = {.p = p, .from = made};
      mt__walk_range(&p->w, i, i + n, store_piece, &c);
    }
  }
}

/* The largest number of a dtype that is less than x. */
static double below_in(double x, int dtype) {
  if (dtype == MT_FLOAT64) return nextafter(x, -INFINITY);
  float f = (float)x;
  if (dtype == MT_FLOAT32) return f < x ? f : nextafterf(f, -INFINITY);
  bool half = dtype == MT_FLOAT16;
  uint16_t h = half ? mt__float_to_half(f) : mt__float_to_bf16(f);
  float back = half ? mt__half_to_float(h) : mt__bf16_to_float(h);
  if (back >= x) {
    if ((h & 0x7fff) == 0)
      h = 0x8001;
    else
      h = (uint16_t)(h & 0x8000 ? h + 1 : h - 1);
    back = half ? mt__half_to_float(h) : mt__bf16_to_float(h);
  }
  return back;
}

static int fill_run(mt_frame *f, fill *p) {
  const mt_tensor *out = f->out[0];
  if (out->numel == 0) return MT_OK;
  p->out = out;
  p->seed = f->seed;
  p->stream = f->stream;
  bool wide = out->dtype == MT_FLOAT64;
  p->made = p->kind == INTEGERS    ? MT_INT64
            : p->kind == BERNOULLI ? MT_BOOL
            : wide                 ? MT_FLOAT64
                                   : MT_FLOAT32;
  p->each = p->kind == INTEGERS || (wide && p->kind != BERNOULLI) ? 2 : 1;
  if (p->kind == UNIFORM) p->top = p->b > p->a ? below_in(p->b, out->dtype) : p->a;
  mt__walk_init(&p->w, 1);
  for (int d = 0; d < out->ndim; d++) mt__walk_dim(&p->w, out->sizes[d], out->strides[d], 0, 0);
  mt__walk_fold(&p->w);
  return mt__parallel_range(out->numel, 16 * MT_DRAW, fill_range, p);
}

/* ---- fresh tensors ---- */

static int want_float(const mt_frame *f) {
  if (mt__is_float(f->out[0]->dtype)) return MT_OK;
  return mt__op_fail(f, MT_ERR_DTYPE, "dtype must be a floating one, got %s",
                     mt_dtype_name(f->out[0]->dtype));
}

static int rand_infer(mt_frame *f) {
  f->random = true;
  MT_TRY(mt__factory(f, mt__default_dtype(), f->args[0].n, f->args[0].u.is));
  return want_float(f);
}

static int rand_like_infer(mt_frame *f) {
  f->random = true;
  MT_TRY(mt__factory_like(f, mt__t(f, 0)));
  return want_float(f);
}

static int rand_run(mt_frame *f) {
  fill p = {.kind = UNIFORM, .b = 1};
  return fill_run(f, &p);
}

static int randn_run(mt_frame *f) {
  fill p = {.kind = NORMAL, .b = 1};
  return fill_run(f, &p);
}

/* from <= x < to, for every x a number of the dtype. */
static int check_integers(const mt_frame *f, int dtype, int64_t from, int64_t to) {
  if (from >= to)
    return mt__op_fail(
        f, MT_ERR_VALUE,
        "expects the lower bound to be less than the upper one, but got %lld >= %lld",
        (long long)from, (long long)to);
  static const int64_t most[MT_NDTYPES] = {1,         255,  INT8_MAX, INT16_MAX, INT32_MAX,
                                           INT64_MAX, 2048, 256,      1 << 24,   1ll << 53};
  int64_t hi = most[dtype], lo = dtype == MT_BOOL || dtype == MT_UINT8 ? 0
                                 : mt__is_float(dtype)                 ? -hi
                                                                       : -hi - 1;
  if (from < lo || to - 1 > hi)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "%lld..%lld is out of bounds for %s, which counts from "
                       "%lld to %lld",
                       (long long)from, (long long)(to - 1), mt_dtype_name(dtype), (long long)lo,
                       (long long)hi);
  return MT_OK;
}

static int randint_infer(mt_frame *f) {
  f->random = true;
  MT_TRY(mt__factory(f, MT_INT64, f->args[2].n, f->args[2].u.is));
  return check_integers(f, f->out[0]->dtype, f->args[0].u.i, f->args[1].u.i);
}

static int randint_like_infer(mt_frame *f) {
  f->random = true;
  MT_TRY(mt__factory_like(f, mt__t(f, 0)));
  return check_integers(f, f->out[0]->dtype, f->args[1].u.i, f->args[2].u.i);
}

static int integers_run(mt_frame *f, const mt_arg *bounds) {
  fill p = {.kind = INTEGERS,
            .low = bounds[0].u.i,
            .count = (uint64_t)bounds[1].u.i - (uint64_t)bounds[0].u.i};
  return fill_run(f, &p);
}

static int randint_run(mt_frame *f) {
  return integers_run(f, f->args);
}

/* normal(mean, std, size): draws nothing that has a derivative, as PyTorch's. */
static int normal_values(mt_frame *f) {
  const mt_arg *mean = &f->args[0], *std = &f->args[1], *size = &f->args[2];
  mt_tensor *given[2];
  int n = 0, ndim = 0, dtype = (int)f->args[4].u.i, device = (int)f->args[5].u.i;
  int64_t sizes[MT_MAX_DIMS];
  mt_generator *gen = f->args[3].kind == MT_GENERATOR ? f->args[3].u.gen : NULL;
  if (mean->kind == MT_TENSOR) given[n++] = mean->u.t;
  if (std->kind == MT_TENSOR) given[n++] = std->u.t;
  if (std->kind != MT_TENSOR && mt__num(std) < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "expects std >= 0.0, but found std %g", mt__num(std));
  if (n > 0 && size->kind != MT_NONE)
    return mt__op_fail(f, MT_ERR_VALUE, "size goes with a mean and a std that are numbers");
  if (n == 0 && size->kind == MT_NONE)
    return mt__op_fail(f, MT_ERR_VALUE, "a mean and a std that are numbers need a size");
  if (n == 0) {
    ndim = size->n;
    if (ndim > MT_MAX_DIMS)
      return mt__op_fail(f, MT_ERR_SHAPE, "a tensor has at most %d dimensions", MT_MAX_DIMS);
    memcpy(sizes, size->u.is, (size_t)ndim * sizeof *sizes);
  } else {
    MT_TRY(mt__broadcast(f, n, given, &ndim, sizes));
  }
  if (f->args[4].kind == MT_NONE) dtype = n ? given[0]->dtype : -1;
  if (f->args[5].kind == MT_NONE) device = n ? given[0]->device : -1;
  MT_AUTO *z = NULL, *scaled = NULL;
  MT_TRY(mt_randn(&z, (mt_ints){ndim, sizes}, gen, dtype, device, false));
  MT_TRY(mt_mul(&scaled, mt__arg_t(z), *std));
  return mt_add(&f->out[0], mt__arg_t(scaled), *mean, mt__arg_i(1));
}

static int normal(mt_frame *f) {
  bool grad = mt_set_grad_enabled(false);
  int status = normal_values(f);
  mt_set_grad_enabled(grad);
  return status;
}

/* ---- in place ---- */

static int in_place_infer(mt_frame *f) {
  f->random = true;
  return MT_OK;
}

/* What is overwritten gets no gradient. */
static int no_gradient(mt_vjp *v) {
  (void)v;
  return MT_OK;
}

static int uniform_infer(mt_frame *f) {
  if (!(f->args[1].u.f <= f->args[2].u.f))
    return mt__op_fail(f, MT_ERR_VALUE,
                       "expects to return a [from, to) range, but found from=%g > to=%g",
                       f->args[1].u.f, f->args[2].u.f);
  return in_place_infer(f);
}

static int uniform_run(mt_frame *f) {
  fill p = {.kind = UNIFORM, .a = f->args[1].u.f, .b = f->args[2].u.f};
  return fill_run(f, &p);
}

static int normal_infer(mt_frame *f) {
  if (!(f->args[2].u.f >= 0))
    return mt__op_fail(f, MT_ERR_VALUE, "expects std >= 0.0, but found std %g", f->args[2].u.f);
  return in_place_infer(f);
}

static int normal_run(mt_frame *f) {
  fill p = {.kind = NORMAL, .a = f->args[1].u.f, .b = f->args[2].u.f};
  return fill_run(f, &p);
}

static int log_normal_run(mt_frame *f) {
  fill p = {.kind = LOG_NORMAL, .a = f->args[1].u.f, .b = f->args[2].u.f};
  return fill_run(f, &p);
}

static int exponential_infer(mt_frame *f) {
  if (!(f->args[1].u.f > 0))
    return mt__op_fail(f, MT_ERR_VALUE, "expects lambd > 0.0, but found lambd=%g", f->args[1].u.f);
  return in_place_infer(f);
}

static int exponential_run(mt_frame *f) {
  fill p = {.kind = EXPONENTIAL, .a = f->args[1].u.f};
  return fill_run(f, &p);
}

static int random_infer(mt_frame *f) {
  MT_TRY(check_integers(f, mt__t(f, 0)->dtype, f->args[1].u.i, f->args[2].u.i));
  return in_place_infer(f);
}

static int random_run(mt_frame *f) {
  return integers_run(f, f->args + 1);
}

static int bernoulli_infer(mt_frame *f) {
  MT_TRY(mt__check_probability(f, "p", f->args[1].u.f));
  return in_place_infer(f);
}

static int bernoulli_run(mt_frame *f) {
  fill p = {.kind = BERNOULLI, .a = f->args[1].u.f};
  return fill_run(f, &p);
}

/* ---- dropout ----
 *
 * No mask is kept: an element's word is found again from seed and stream, in the derivative and
 * in the derivative's derivative. An element stays where its word is below (1 - p) 2^32. */

typedef struct drop {
  const mt_tensor *self, *out;
  uint64_t seed, stream, limit;
  double scale;
  mt_walk w;   /* operands: out, self */
  bool direct; /* both float32 in row-major order */
} drop;

typedef struct staged {
  const drop *d;
  char *buffer;
  int dtype;
  bool load;
} staged;

static void stage_piece(void *ctx, const int64_t *off, int64_t n) {
  staged *s = ctx;
  const drop *d = s->d;
  int last = d->w.ndim - 1, dtype = d->self->dtype, esize = mt__esize(dtype);
  if (s->load)
    mt__convert(s->buffer, s->dtype, 1, mt__ptr(d->self) + off[1] * esize, dtype,
                d->w.strides[1][last], n);
  else
    mt__convert(mt__ptr(d->out) + off[0] * esize, dtype, d->w.strides[0][last], s->buffer, s->dtype,
                1, n);
  s->buffer += n * mt__esize(s->dtype);
}

static void drop_range(void *ctx, int64_t begin, int64_t end) {
  const drop *d = ctx;
  uint32_t w[MT_DRAW_WORDS] __attribute__((aligned(64)));
  uint32_t last = (uint32_t)(d->limit - 1);
  double buffer[MT_DRAW];
  bool wide = d->self->dtype == MT_FLOAT64;
  for (int64_t i = begin; i < end; i += MT_DRAW) {
    int64_t n = end - i < MT_DRAW ? end - i : MT_DRAW;
    mt__draw_words(w, d->seed, d->stream, i, n, 1);
    if (d->direct) {
      mt__kern_random()->keep_f32((float *)mt__ptr(d->out) + i, (const float *)mt__ptr(d->self) + i,
                                  w, n, last, (float)d->scale);
      continue;
    }
    staged s = {
        .d = d, .buffer = (char *)buffer, .dtype = wide ? MT_FLOAT64 : MT_FLOAT32, .load = true};
    mt__walk_range(&d->w, i, i + n, stage_piece, &s);
    if (wide)
      for (int64_t k = 0; k < n; k++) buffer[k] = w[k] <= last ? buffer[k] * d->scale : 0;
    else
      mt__kern_random()->keep_f32((float *)buffer, (float *)buffer, w, n, last, (float)d->scale);
    s.buffer = (char *)buffer;
    s.load = false;
    mt__walk_range(&d->w, i, i + n, stage_piece, &s);
  }
}

static void clear_piece(void *ctx, const int64_t *off, int64_t n) {
  static const char zero[8] = {0};
  const drop *d = ctx;
  int esize = mt__esize(d->out->dtype);
  mt__copy_row(mt__ptr(d->out) + off[0] * esize, d->w.strides[0][d->w.ndim - 1], zero, 0, n, esize);
}

static int drop_run(mt_frame *f, uint64_t seed, uint64_t stream) {
  drop d = {.self = mt__t(f, 0), .out = f->out[0], .seed = seed, .stream = stream};
  double keep = 1 - f->args[1].u.f;
  if (d.out->numel == 0) return MT_OK;
  mt__walk_init(&d.w, 2);
  for (int k = 0; k < d.self->ndim; k++)
    mt__walk_dim(&d.w, d.self->sizes[k], d.out->strides[k], d.self->strides[k], 0);
  mt__walk_fold(&d.w);
  d.limit = mt__threshold(keep);
  if (d.limit == 0) { /* everything goes: no scale for what is left */
    mt__walk_range(&d.w, 0, d.w.numel, clear_piece, &d);
    return MT_OK;
  }
  d.scale = 1 / keep;
  d.direct = d.self->dtype == MT_FLOAT32 && mt__is_contiguous(d.self) && mt__is_contiguous(d.out);
  return mt__parallel_range(d.out->numel, 16 * MT_DRAW, drop_range, &d);
}

static int dropout_infer(mt_frame *f) {
  f->random = true;
  MT_TRY(mt__check_probability(f, "dropout probability", f->args[1].u.f));
  return mt__out_like(f, 0, mt__t(f, 0)->dtype, mt__t(f, 0));
}

static int dropout_run(mt_frame *f) {
  return drop_run(f, f->seed, f->stream);
}

static int dropout_vjp(mt_vjp *v) {
  return mt__dropout_again(&v->gin[0], v->g[0], v->args[1].u.f, (int64_t)v->seed,
                           (int64_t)v->stream);
}

static int again_infer(mt_frame *f) {
  return mt__out_like(f, 0, mt__t(f, 0)->dtype, mt__t(f, 0));
}

static int again_run(mt_frame *f) {
  return drop_run(f, (uint64_t)f->args[2].u.i, (uint64_t)f->args[3].u.i);
}

static int again_vjp(mt_vjp *v) {
  return mt__dropout_again(&v->gin[0], v->g[0], v->args[1].u.f, v->args[2].u.i, v->args[3].u.i);
}

static int dropout(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0);
  double p = f->args[1].u.f;
  bool in_place = f->args[3].u.i != 0;
  mt_generator *gen = f->args[4].kind == MT_GENERATOR ? f->args[4].u.gen : NULL;
  MT_TRY(mt__want_dtype(f, "self", self, MT_D_FLOAT));
  MT_TRY(mt__check_probability(f, "dropout probability", p));
  if (f->args[2].u.i && p > 0) {
    if (!in_place) return mt__dropout(&f->out[0], self, p, gen);
    MT_TRY(mt__dropout_(self, p, gen));
  }
  f->out[0] = mt_retain(self);
  return MT_OK;
}

#define FILL(infer_fn, run_fn, mask)                                                               \
  .infer = infer_fn, .run = run_fn, .vjp = no_gradient, .dtypes = mask, .flags = MT_OP_NO_FUNCTION

const mt_opdef mt__ops_random[] = {
    {.sig = MT_SIG("rand(size* size, *, generator? generator=None, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Numbers spread evenly over 0 (included) to 1.",
     .infer = rand_infer,
     .run = rand_run,
     .samples = "{2, 3}, {{}}, {0, {dtype=torch.float64}}"},
    {.sig = MT_SIG("randn(size* size, *, generator? generator=None, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Numbers from the normal distribution with mean 0 and deviation 1.",
     .infer = rand_infer,
     .run = randn_run,
     .samples = "{2, 3}, {{}}, {0, {dtype=torch.float64}}"},
    {.sig = MT_SIG("rand_like(Tensor self, *, generator? generator=None, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "rand with the sizes, dtype and device of self.",
     .infer = rand_like_infer,
     .run = rand_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{f(2,3)}, {t(f(2,3))}, {f()}"},
    {.sig = MT_SIG("randn_like(Tensor self, *, generator? generator=None, dtype? dtype=None, "
                   "device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "randn with the sizes, dtype and device of self.",
     .infer = rand_like_infer,
     .run = randn_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{f(2,3)}, {t(f(2,3))}, {f()}"},
    {.sig = MT_SIG("randint(int low, int high, size size, *, generator? generator=None, "
                   "dtype? dtype=None, device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "Whole numbers from low (included) to high (not included).",
     .infer = randint_infer,
     .run = randint_run,
     .samples = "{1, 7, {2, 3}}, {-3, 4, {}}, {0, 2, {4}, {dtype=torch.bool}}"},
    {.sig = MT_SIG("randint_like(Tensor self, int low, int high, *, generator? generator=None, "
                   "dtype? dtype=None, device? device=None, bool requires_grad=false) -> Tensor"),
     .doc = "randint with the sizes, dtype and device of self.",
     .infer = randint_like_infer,
     .run = random_run,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{f(2,3), 0, 2}, {t(f(2,3)), 0, 2}"},
    {.sig = MT_SIG("normal(Operand mean, Operand std=1, size? size=None, *, "
                   "generator? generator=None, dtype? dtype=None, device? device=None, "
                   "bool requires_grad=false) -> Tensor"),
     .doc = "Numbers from normal distributions: of tensors of means and deviations, or a size.",
     .composite = normal,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{f(2,3), pos(2,3)}, {0, pos(3)}, {f(2,1), 2}, {1, 2, {2, 3}}, {0, 1, {}}"},
    {.sig = MT_SIG("uniform_(Tensor! self, float from=0, float to=1, *, "
                   "generator? generator=None) -> Tensor!"),
     .doc = "Fills with numbers spread evenly over from (included) to to.",
     FILL(uniform_infer, uniform_run, MT_D_FLOAT),
     .samples = "{f(2,3)}, {t(f(2,3)), -1, 2}, {f(), 3, 3}"},
    {.sig = MT_SIG("normal_(Tensor! self, float mean=0, float std=1, *, "
                   "generator? generator=None) -> Tensor!"),
     .doc = "Fills with numbers from a normal distribution.",
     FILL(normal_infer, normal_run, MT_D_FLOAT),
     .samples = "{f(2,3)}, {t(f(2,3)), -1, 2}"},
    {.sig = MT_SIG("log_normal_(Tensor! self, float mean=1, float std=2, *, "
                   "generator? generator=None) -> Tensor!"),
     .doc = "Fills with numbers whose logarithms come from a normal distribution.",
     FILL(normal_infer, log_normal_run, MT_D_FLOAT),
     .samples = "{f(2,3)}, {t(f(2,3)), 0, 0.5}"},
    {.sig = MT_SIG("exponential_(Tensor! self, float lambd=1, *, "
                   "generator? generator=None) -> Tensor!"),
     .doc = "Fills with numbers from an exponential distribution of the given rate.",
     FILL(exponential_infer, exponential_run, MT_D_FLOAT),
     .samples = "{f(2,3)}, {t(f(2,3)), 2}"},
    {.sig = MT_SIG("random_(Tensor! self, int from, int to, *, "
                   "generator? generator=None) -> Tensor!"),
     .doc = "Fills with whole numbers from from (included) to to (not included).",
     FILL(random_infer, random_run, MT_D_ALL),
     .samples = "{f(2,3), 0, 2}, {t(f(2,3)), 0, 2}"},
    {.sig = MT_SIG("bernoulli_(Tensor! self, float p=0.5, *, "
                   "generator? generator=None) -> Tensor!"),
     .doc = "Fills with 1 with probability p, else 0.",
     FILL(bernoulli_infer, bernoulli_run, MT_D_ALL),
     .samples = "{f(2,3)}, {t(f(2,3)), 0.25}"},
    {.sig = MT_SIG("_dropout(Tensor self, float p, *, generator? generator=None) -> Tensor"),
     .doc = "Zero with probability p, else self / (1 - p).",
     .infer = dropout_infer,
     .run = dropout_run,
     .vjp = dropout_vjp,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_INPLACE},
    {.sig = MT_SIG("_dropout_again(Tensor self, float p, int seed, int stream) -> Tensor"),
     .doc = "self through the dropout that was drawn at the given place.",
     .infer = again_infer,
     .run = again_run,
     .vjp = again_vjp,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN,
     .samples = "{f(3,4), 0.5, 1, 2}, {t(f(3,4)), 0.25, 3, 0}, {f(), 1, 0, 0}"},
    {.sig = MT_SIG("dropout(Tensor self, float p=0.5, bool training=true, bool inplace=false, *, "
                   "generator? generator=None) -> Tensor"),
     .doc = "In training, zero with probability p, else self / (1 - p); otherwise self.",
     .composite = dropout,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL,
     .samples = "{f(3,4), 0}, {f(3,4), 0.5, false}, {f(3,4), 0.5}, {t(f(3,4)), 0.25}, {f(3), 1}"},
    {0}};
