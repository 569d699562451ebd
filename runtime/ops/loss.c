/* loss.c: losses that compare input and target element by element: mse, l1, smooth_l1, huber,
 * binary cross entropy. One fused forward and one fused backward serve them all; the kind of
 * loss stands in the row (.extra). Input and target must have the same sizes. */
#include <math.h>
#include <stdatomic.h>

#include "formula.h"
#include "kernels/loss.h"

MT_KERNELS(loss)

enum { GRAIN = 32768, STAGE = 1024 };
enum reduction { NONE, MEAN, SUM };

static const uint8_t kinds[MT_NLOSSES] = {MT_LOSS_MSE,   MT_LOSS_L1,  MT_LOSS_SMOOTH_L1,
                                          MT_LOSS_HUBER, MT_LOSS_BCE, MT_LOSS_BCE_LOGITS};

/* ---- the loops ---- */

typedef struct {
  const mt_loss_loops *k;
  int kind, dtype, size; /* computed in dtype */
  double param, scale;
  const mt_tensor *x, *t, *g; /* g: NULL where the gradient is the number scale */
  mt_tensor *out;
  int64_t n;
  double *parts; /* of each chunk of GRAIN */
  _Atomic bool outside;
} job;

static const void *fetch(const job *j, const mt_tensor *t, int64_t at, int64_t n, double *buf) {
  const char *p = mt__ptr(t) + at * mt__esize(t->dtype);
  if (t->dtype == j->dtype) return p;
  mt__convert((char *)buf, j->dtype, 1, p, t->dtype, 1, n);
  return buf;
}

/* Pieces that may be staged, or whole chunks. */
static int64_t piece(const job *j) {
  bool direct = j->x->dtype == j->dtype && j->t->dtype == j->dtype &&
                (!j->g || j->g->dtype == j->dtype) && (!j->out || j->out->dtype == j->dtype);
  return direct ? MT_LOSS_CHUNK : STAGE;
}

static void check_unit(job *j, const void *x, int64_t n) {
  bool outside = false;
  if (j->size == 8)
    for (int64_t i = 0; i < n; i++) {
      double v = ((const double *)x)[i];
      outside |= v < 0 || v > 1;
    }
  else
    for (int64_t i = 0; i < n; i++) {
      float v = ((const float *)x)[i];
      outside |= v < 0 || v > 1;
    }
  if (outside) atomic_store_explicit(&j->outside, true, memory_order_relaxed);
}

static void forward_range(void *ctx, int64_t begin, int64_t end) {
  job *j = ctx;
  double xb[STAGE], tb[STAGE], to[STAGE], sum = 0;
  int64_t step = piece(j);
  for (int64_t i = begin; i < end; i += step) {
    int64_t n = end - i < step ? end - i : step;
    const void *x = fetch(j, j->x, i, n, xb), *t = fetch(j, j->t, i, n, tb);
    if (j->kind == MT_LOSS_BCE) check_unit(j, x, n);
    if (!j->out) {
      sum += j->k->sum(x, t, n, j->param);
    } else {
      bool keep = j->out->dtype == j->dtype;
      void *y = keep ? mt__ptr(j->out) + i * j->size : (char *)to;
      j->k->each(x, t, y, n, j->param);
      if (!keep)
        mt__convert(mt__ptr(j->out) + i * mt__esize(j->out->dtype), j->out->dtype, 1, y, j->dtype,
                    1, n);
    }
  }
  if (!j->out) j->parts[begin / GRAIN] = sum;
}

static void backward_range(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  double xb[STAGE], tb[STAGE], gb[STAGE], to[STAGE];
  int64_t step = piece(j);
  bool keep = j->out->dtype == j->dtype;
  for (int64_t i = begin; i < end; i += step) {
    int64_t n = end - i < step ? end - i : step;
    const void *x = fetch(j, j->x, i, n, xb), *t = fetch(j, j->t, i, n, tb);
    const void *g = j->g ? fetch(j, j->g, i, n, gb) : NULL;
    void *y = keep ? mt__ptr(j->out) + i * j->size : (char *)to;
    j->k->back(x, t, g, j->scale, y, n, j->param);
    if (!keep)
      mt__convert(mt__ptr(j->out) + i * mt__esize(j->out->dtype), j->out->dtype, 1, y, j->dtype, 1,
                  n);
  }
}

static void start(job *j, int kind, const mt_tensor *x, const mt_tensor *t, double param) {
  j->kind = kind;
  j->x = x, j->t = t;
  j->n = x->numel;
  j->param = param;
  j->dtype = mt_promote_types(x->dtype, t->dtype) == MT_FLOAT64 ? MT_FLOAT64 : MT_FLOAT32;
  j->size = mt__esize(j->dtype);
  j->k = j->size == 8 ? &mt__kern_loss()->f64[kind] : &mt__kern_loss()->f32[kind];
  atomic_init(&j->outside, false);
}

/* ---- forward ---- */

/* Refuses what PyTorch would broadcast with a warning. */
static int check_pair(const mt_frame *f, const mt_tensor *x, const mt_tensor *t) {
  char a[160], b[160];
  bool same = x->ndim == t->ndim;
  for (int d = 0; same && d < x->ndim; d++) same = x->sizes[d] == t->sizes[d];
  if (!same)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Using a target size (%s) that is different to the input size (%s) is not "
                       "supported. Please ensure they have the same size.",
                       mt__shape_text(a, sizeof a, t->ndim, t->sizes),
                       mt__shape_text(b, sizeof b, x->ndim, x->sizes));
  return mt__want_dtype(f, "target", t, MT_D_ALL);
}

static int kind_of(const mt_op *op) {
  return *(const uint8_t *)op->def.extra;
}

/* (input, target, reduction, parameter) */
static int forward_infer(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t, *t = f->args[1].u.t;
  int kind = kind_of(f->op);
  MT_TRY(check_pair(f, x, t));
  if (kind == MT_LOSS_SMOOTH_L1 && !(mt__num(&f->args[3]) >= 0))
    return mt__op_fail(f, MT_ERR_VALUE, "does not support negative values for beta.");
  if (kind == MT_LOSS_HUBER && !(mt__num(&f->args[3]) > 0))
    return mt__op_fail(f, MT_ERR_VALUE, "does not support non-positive values for delta.");
  int dtype = mt_promote_types(x->dtype, t->dtype);
  if (f->args[2].u.i == NONE) return mt__out(f, 0, dtype, x->device, x->ndim, x->sizes);
  f->work_bytes = (size_t)((x->numel + GRAIN - 1) / GRAIN) * sizeof(double);
  return mt__out(f, 0, dtype, x->device, 0, NULL);
}

static double param_of(const mt_op *op, const mt_arg *args) {
  return op->nparams > 3 ? mt__num(&args[3]) : 0;
}

static int forward_run(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t;
  int reduction = (int)f->args[2].u.i;
  job j = {.out = reduction == NONE ? f->out[0] : NULL, .parts = f->work};
  start(&j, kind_of(f->op), x, f->args[1].u.t, param_of(f->op, f->args));
  MT_TRY(mt__parallel_range(j.n, GRAIN, forward_range, &j));
  if (atomic_load(&j.outside))
    return mt_fail(MT_ERR_VALUE,
                   "binary_cross_entropy: all elements of input should be between 0 and 1");
  if (reduction == NONE) return MT_OK;
  double sum = 0;
  for (int64_t i = 0; i < (j.n + GRAIN - 1) / GRAIN; i++) sum += j.parts[i];
  mt_arg v = mt__arg_f(reduction == MEAN ? sum / (double)j.n : sum);
  mt__store_scalar(mt__ptr(f->out[0]), f->out[0]->dtype, &v);
  return MT_OK;
}

/* ---- derivatives ---- */

/* d loss / d input in ops, without the outer gradient. */
static int slope(mt_tensor **out, int kind, mt_tensor *x, mt_tensor *t, double p) {
  MT_AUTO *d = NULL;
  if (kind == MT_LOSS_BCE_LOGITS) {
    MT_TRY(mt_sigmoid(&d, x));
    return mt__f_sub(out, d, t);
  }
  MT_TRY(mt__f_sub(&d, x, t));
  switch (kind) {
  case MT_LOSS_MSE:
    return mt__f_scale(out, d, 2);
  case MT_LOSS_HUBER:
    return mt_clamp(out, d, mt__arg_f(-p), mt__arg_f(p));
  case MT_LOSS_SMOOTH_L1:
    if (p > 0) {
      MT_AUTO *cut = NULL;
      MT_TRY(mt_clamp(&cut, d, mt__arg_f(-p), mt__arg_f(p)));
      return mt__f_scale(out, cut, 1 / p);
    }
    return mt_sign(out, d);
  case MT_LOSS_L1:
    return mt_sign(out, d);
  default: {
    MT_AUTO *rest = NULL, *both = NULL, *safe = NULL;
    MT_TRY(mt_rsub(&rest, x, mt__arg_f(1), mt__arg_i(1)));
    MT_TRY(mt__f_mul(&both, rest, x));
    MT_TRY(mt_clamp_min(&safe, both, mt__arg_f(1e-12)));
    return mt__f_div(out, d, safe);
  }
  }
}

/* d loss / d target, for the losses that are no function of x - t. */
static int target_slope(mt_tensor **out, int kind, mt_tensor *x) {
  if (kind == MT_LOSS_BCE_LOGITS) return mt_neg(out, x);
  MT_AUTO *rest = NULL, *a = NULL, *b = NULL;
  MT_TRY(mt_rsub(&rest, x, mt__arg_f(1), mt__arg_i(1)));
  MT_TRY(mt_log(&a, rest));
  MT_TRY(mt_log(&b, x));
  return mt__f_sub(out, a, b);
}

static int forward_vjp(mt_vjp *v) {
  mt_tensor *x = v->args[0].u.t, *t = v->args[1].u.t, *g = v->g[0];
  int kind = kind_of(v->op), reduction = (int)v->args[2].u.i;
  double p = param_of(v->op, v->args);
  bool symmetric = kind != MT_LOSS_BCE && kind != MT_LOSS_BCE_LOGITS;
  bool main = v->need[0] || (symmetric && v->need[1]);
  MT_AUTO *share = NULL;
  if (mt_grad_enabled() || (v->need[1] && !symmetric)) {
    if (reduction == MEAN)
      MT_TRY(mt__f_scale(&share, g, 1 / (double)x->numel));
    else
      share = mt_retain(g);
  }
  if (main) {
    MT_AUTO *to_x = NULL;
    if (mt_grad_enabled()) {
      MT_AUTO *d = NULL;
      MT_TRY(slope(&d, kind, x, t, p));
      MT_TRY(mt__f_mul(&to_x, d, share));
    } else {
      MT_TRY(mt__loss_backward(&to_x, g, x, t, kind, reduction, p));
    }
    if (v->need[1] && symmetric) MT_TRY(mt_neg(&v->gin[1], to_x));
    if (v->need[0]) v->gin[0] = to_x, to_x = NULL;
  }
  if (v->need[1] && !symmetric) {
    MT_AUTO *d = NULL;
    MT_TRY(target_slope(&d, kind, x));
    MT_TRY(mt__f_mul(&v->gin[1], d, share));
  }
  return MT_OK;
}

/* (grad, input, target, kind, reduction, parameter) */
static int back_infer(mt_frame *f) {
  const mt_tensor *x = f->args[1].u.t, *t = f->args[2].u.t;
  if (f->args[3].u.i < 0 || f->args[3].u.i >= MT_NLOSSES)
    return mt__op_fail(f, MT_ERR_VALUE, "there is no loss %lld", (long long)f->args[3].u.i);
  MT_TRY(check_pair(f, x, t));
  return mt__out(f, 0, mt_promote_types(x->dtype, t->dtype), x->device, x->ndim, x->sizes);
}

static int back_run(mt_frame *f) {
  const mt_tensor *g = f->args[0].u.t;
  job j = {.out = f->out[0]};
  start(&j, (int)f->args[3].u.i, f->args[1].u.t, f->args[2].u.t, mt__num(&f->args[5]));
  if (f->args[4].u.i == NONE)
    j.g = g;
  else
    j.scale = mt__load_f64(mt__ptr(g), g->dtype) / (f->args[4].u.i == MEAN ? (double)j.n : 1);
  return mt__parallel_range(j.n, GRAIN, backward_range, &j);
}

/* ---- binary cross entropy with weights ---- */

static int check_weight(const mt_frame *f, int param, mt_tensor *x) {
  mt_tensor *w = mt__t(f, param), *pair[2] = {x, w};
  if (!w) return MT_OK;
  int64_t sizes[MT_MAX_DIMS];
  int ndim;
  MT_TRY(mt__want_dtype(f, f->op->params[param].name, w, MT_D_FLOAT));
  MT_TRY(mt__broadcast(f, 2, pair, &ndim, sizes));
  bool fits = ndim == x->ndim;
  for (int d = 0; fits && d < ndim; d++) fits = sizes[d] == x->sizes[d];
  if (fits) return MT_OK;
  char a[160], b[160];
  return mt__op_fail(f, MT_ERR_SHAPE, "%s of size %s cannot be expanded to the input size %s",
                     f->op->params[param].name, mt__shape_text(a, sizeof a, w->ndim, w->sizes),
                     mt__shape_text(b, sizeof b, x->ndim, x->sizes));
}

/* weight * loss, reduced */
static int weighted(mt_tensor **out, mt_tensor *loss, mt_tensor *weight, int reduction) {
  MT_AUTO *all = NULL;
  if (weight)
    MT_TRY(mt__f_mul(&all, loss, weight));
  else
    all = mt_retain(loss);
  if (reduction == MEAN) return mt_mean(out, all, MT_INTS_NONE, false, -1);
  if (reduction == SUM) return mt_sum(out, all, MT_INTS_NONE, false, -1);
  *out = all;
  all = NULL;
  return MT_OK;
}

static int bce(mt_frame *f) {
  mt_tensor *x = f->args[0].u.t, *t = f->args[1].u.t, *weight = mt__t(f, 2);
  int reduction = (int)f->args[3].u.i;
  MT_TRY(mt__want_dtype(f, "input", x, MT_D_FLOAT));
  MT_TRY(check_pair(f, x, t));
  if (!weight) return mt__bce(&f->out[0], x, t, reduction);
  MT_TRY(check_weight(f, 2, x));
  MT_AUTO *each = NULL;
  MT_TRY(mt__bce(&each, x, t, NONE));
  return weighted(&f->out[0], each, weight, reduction);
}

/* With positive weights p: (1 - t) x - (1 + (p - 1) t) logsigmoid(x) */
static int bce_logits(mt_frame *f) {
  mt_tensor *x = f->args[0].u.t, *t = f->args[1].u.t, *weight = mt__t(f, 2),
            *positive = mt__t(f, 3);
  int reduction = (int)f->args[4].u.i;
  MT_TRY(mt__want_dtype(f, "input", x, MT_D_FLOAT));
  MT_TRY(check_pair(f, x, t));
  if (!weight && !positive) return mt__bce_logits(&f->out[0], x, t, reduction);
  MT_TRY(check_weight(f, 2, x));
  MT_TRY(check_weight(f, 3, x));
  MT_AUTO *each = NULL;
  if (positive) {
    MT_AUTO *rest = NULL, *linear = NULL, *extra = NULL, *share = NULL, *factor = NULL,
            *lsig = NULL;
    MT_AUTO *curved = NULL;
    MT_TRY(mt_rsub(&rest, t, mt__arg_f(1), mt__arg_i(1)));
    MT_TRY(mt__f_mul(&linear, rest, x));
    MT_TRY(mt_sub(&extra, mt__arg_t(positive), mt__arg_f(1), mt__arg_i(1)));
    MT_TRY(mt__f_mul(&share, extra, t));
    MT_TRY(mt_add(&factor, mt__arg_t(share), mt__arg_f(1), mt__arg_i(1)));
    MT_TRY(mt_logsigmoid(&lsig, x));
    MT_TRY(mt__f_mul(&curved, factor, lsig));
    MT_TRY(mt__f_sub(&each, linear, curved));
  } else {
    MT_TRY(mt__bce_logits(&each, x, t, NONE));
  }
  return weighted(&f->out[0], each, weight, reduction);
}

#define LOSS(k)                                                                                    \
  .infer = forward_infer, .run = forward_run, .vjp = forward_vjp,                                  \
  .saves = "input:input,target target:input,target", .dtypes = MT_D_FLOAT, .extra = &kinds[k]
#define SAMPLES                                                                                    \
  "{f(3,4), f(3,4)}, {f(3,4), f(3,4), {reduction=\"sum\"}}, {f(2,3), f(2,3), \"none\"}, "          \
  "{t(f(3,4)), f(4,3)}, {f(), f()}"
#define BCE_SAMPLES(input)                                                                         \
  "{" input "(3,4), prob(3,4)}, {" input "(3,4), prob(3,4), {reduction=\"sum\"}}, "                \
  "{" input "(2,3), prob(2,3), pos(3), {reduction=\"none\"}}, {t(" input "(3,4)), prob(4,3)}, "    \
  "{" input "(), prob()}"

const mt_opdef mt__ops_loss[] = {
    {.sig = MT_SIG("mse_loss(Tensor input, Tensor target, "
                   "choice(none|mean|sum) reduction=mean) -> Tensor"),
     .doc = "(input - target)^2, its mean or sum.",
     .flags = MT_OP_FUNCTIONAL | MT_OP_CONTIGUOUS,
     .samples = SAMPLES,
     LOSS(MT_LOSS_MSE)},
    {.sig = MT_SIG("l1_loss(Tensor input, Tensor target, "
                   "choice(none|mean|sum) reduction=mean) -> Tensor"),
     .doc = "|input - target|, its mean or sum.",
     .flags = MT_OP_FUNCTIONAL | MT_OP_CONTIGUOUS,
     .samples = SAMPLES,
     LOSS(MT_LOSS_L1)},
    {.sig = MT_SIG("smooth_l1_loss(Tensor input, Tensor target, "
                   "choice(none|mean|sum) reduction=mean, float beta=1) -> Tensor"),
     .doc = "Square within beta, absolute beyond: mean or sum.",
     .flags = MT_OP_FUNCTIONAL | MT_OP_CONTIGUOUS,
     .samples = SAMPLES ", {f(3,4), f(3,4), {beta=0.5}}, {f(3,4), f(3,4), {beta=0}}",
     LOSS(MT_LOSS_SMOOTH_L1)},
    {.sig = MT_SIG("huber_loss(Tensor input, Tensor target, "
                   "choice(none|mean|sum) reduction=mean, float delta=1) -> Tensor"),
     .doc = "Square within delta, delta times absolute beyond: mean or sum.",
     .flags = MT_OP_FUNCTIONAL | MT_OP_CONTIGUOUS,
     .samples = SAMPLES ", {f(3,4), f(3,4), {delta=0.5}}",
     LOSS(MT_LOSS_HUBER)},
    {.sig = MT_SIG("binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, "
                   "choice(none|mean|sum) reduction=mean) -> Tensor"),
     .doc = "-t log(x) - (1 - t) log(1 - x) of probabilities x.",
     .composite = bce,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL,
     .samples = BCE_SAMPLES("prob")},
    {.sig = MT_SIG("binary_cross_entropy_with_logits(Tensor input, Tensor target, "
                   "Tensor? weight=None, Tensor? pos_weight=None, "
                   "choice(none|mean|sum) reduction=mean) -> Tensor"),
     .doc = "Binary cross entropy of sigmoid(input), without overflow.",
     .composite = bce_logits,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL,
     .samples = BCE_SAMPLES("f") ", {f(3,4), prob(3,4), {pos_weight=pos(4)}}"},
    {.sig = MT_SIG("_bce(Tensor input, Tensor target, choice(none|mean|sum) reduction) -> Tensor"),
     .doc = "binary_cross_entropy without weights.",
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = "{prob(3,4), prob(3,4), \"mean\"}",
     .bwd = "BinaryCrossEntropyBackward",
     LOSS(MT_LOSS_BCE)},
    {.sig = MT_SIG("_bce_logits(Tensor input, Tensor target, choice(none|mean|sum) reduction) "
                   "-> Tensor"),
     .doc = "binary_cross_entropy_with_logits without weights.",
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = "{f(3,4), prob(3,4), \"mean\"}",
     .bwd = "BinaryCrossEntropyWithLogitsBackward",
     LOSS(MT_LOSS_BCE_LOGITS)},
    {.sig = MT_SIG("_loss_backward(Tensor grad, Tensor input, Tensor target, int kind, "
                   "choice(none|mean|sum) reduction, float param) -> Tensor"),
     .doc = "Gradient of an elementwise loss to its input.",
     .infer = back_infer,
     .run = back_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS | MT_OP_NO_AUTOGRAD,
     .samples = "{f(), f(3,4), f(3,4), 0, \"mean\", 0}, {f(3,4), f(3,4), f(3,4), 3, \"none\", 1}"},
    {0}};
