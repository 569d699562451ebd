/* ops/optim.c: optimizer steps over all parameters at once, in place.
 *
 * Invariants
 *  - Everything is checked before the first element is written.
 *  - What changes from step to step (learning rate, step count, ...) is read from a tensor when
 *    the op runs and never from an argument's number, so that a recorded step can be replayed.
 *  - Work is cut into CHUNK elements of one parameter; an element's result does not depend on
 *    the cut. Memory that is not one run, and the half formats, are staged through tiles of the
 *    compute type (float64 for float64, float32 for the rest).
 *
 * Each parameter comes with up to four companions of its size: gradient, momentum or moments.
 */
#include <math.h>
#include <string.h>

#include "../internal.h"
#include "../kernels/optim.h"

MT_KERNELS(optim)

enum { ROLES = 5, CHUNK = 32768, TILE = 512 };
enum { PARAM = 0, GRAD = 1 };

/* A step under way: list[role][i], NULL for a role that is not there. */
typedef struct step {
  mt_tensor **list[ROLES];
  int n;
  bool is_adam;
  mt_sgd sgd;
  mt_adam adam;
  const int64_t *first_chunk; /* of each parameter */
} step;

/* ---- checking ---- */

static const char *param_name(const mt_frame *f, int arg) {
  return f->op->params[arg].name;
}

static bool same_sizes(const mt_tensor *a, const mt_tensor *b) {
  return a->ndim == b->ndim &&
         memcmp(a->sizes, b->sizes, (size_t)a->ndim * sizeof a->sizes[0]) == 0;
}

/* Argument `arg` is a companion list of the parameters. */
static int check_companion(const mt_frame *f, int arg, bool may_be_empty) {
  const mt_arg *params = &f->args[0], *list = &f->args[arg];
  const char *name = param_name(f, arg);
  if (list->n == 0 && may_be_empty) return MT_OK;
  if (list->n != params->n) {
    return mt__op_fail(f, MT_ERR_VALUE, "expected as many %s as params, got %d and %d", name,
                       list->n, params->n);
  }
  for (int i = 0; i < params->n; i++) {
    const mt_tensor *p = params->u.ts[i], *t = list->u.ts[i];
    if (!t) return mt__op_fail(f, MT_ERR_VALUE, "%s[%d] is missing", name, i + 1);
    if (!same_sizes(p, t)) {
      char a[200], b[200];
      return mt__op_fail(f, MT_ERR_SHAPE, "%s[%d] is %s, params[%d] is %s", name, i + 1,
                         mt__describe(a, sizeof a, t), i + 1, mt__describe(b, sizeof b, p));
    }
    bool state = arg != GRAD && t->dtype == MT_FLOAT32 && p->dtype != MT_FLOAT64;
    if (t->dtype != p->dtype && !state) {
      return mt__op_fail(f, MT_ERR_DTYPE, "%s[%d] has dtype %s, params[%d] has %s", name, i + 1,
                         mt_dtype_name(t->dtype), i + 1, mt_dtype_name(p->dtype));
    }
    if (mt__may_overlap(p, t) && !mt__same_layout(p, t)) {
      return mt__op_fail(f, MT_ERR_VALUE, "%s[%d] overlaps params[%d] in memory", name, i + 1,
                         i + 1);
    }
  }
  return MT_OK;
}

static int check_params(const mt_frame *f) {
  const mt_arg *params = &f->args[0];
  for (int i = 0; i < params->n; i++) {
    const mt_tensor *p = params->u.ts[i];
    if (!p) return mt__op_fail(f, MT_ERR_VALUE, "params[%d] is missing", i + 1);
    if (!mt__is_float(p->dtype)) {
      return mt__op_fail(f, MT_ERR_DTYPE, "params[%d] has dtype %s, expected a floating point one",
                         i + 1, mt_dtype_name(p->dtype));
    }
  }
  return MT_OK;
}

/* Numbers that are read when the op runs: float64, in the order of memory, on the host. */
static int check_cell(const mt_frame *f, int arg, int64_t count) {
  const mt_tensor *t = mt__t(f, arg);
  const char *name = param_name(f, arg);
  if (t->dtype != MT_FLOAT64 || t->device != MT_CPU || !mt__is_contiguous(t) || t->numel != count) {
    char text[200];
    return mt__op_fail(f, MT_ERR_VALUE,
                       "%s: expected a contiguous float64 CPU tensor of %lld elements, got %s",
                       name, (long long)count, mt__describe(text, sizeof text, t));
  }
  return MT_OK;
}

static int64_t chunks_of(const mt_tensor *t) {
  return (t->numel + CHUNK - 1) / CHUNK;
}

/* Scratch for the table of chunks, where there is enough work to share. */
static void ask_for_table(mt_frame *f) {
  const mt_arg *params = &f->args[0];
  int64_t total = 0;
  for (int i = 0; i < params->n; i++) total += params->u.ts[i]->numel;
  if (total > CHUNK) f->work_bytes = (size_t)params->n * sizeof(int64_t);
}

static int sgd_infer(mt_frame *f) {
  MT_TRY(check_params(f));
  MT_TRY(check_companion(f, 1, false));
  MT_TRY(check_companion(f, 2, true));
  MT_TRY(check_cell(f, 3, 7));
  ask_for_table(f);
  return MT_OK;
}

static int adam_infer(mt_frame *f) {
  MT_TRY(check_params(f));
  MT_TRY(check_companion(f, 1, false));
  MT_TRY(check_companion(f, 2, false));
  MT_TRY(check_companion(f, 3, false));
  bool amsgrad = f->args[7].u.i != 0;
  MT_TRY(check_companion(f, 4, !amsgrad));
  MT_TRY(check_cell(f, 5, 1));
  MT_TRY(check_cell(f, 6, 6));
  ask_for_table(f);
  return MT_OK;
}

/* ---- running ---- */

/* Elements begin..begin+n of t, counted row-major, to or from contiguous memory of another
 * dtype: run by run along the last dimension. */
static void stage(mt_tensor *t, int64_t begin, int64_t n, char *tile, int dtype, bool store) {
  int64_t index[MT_MAX_DIMS];
  int64_t rest = begin, at = 0;
  int size = mt__esize(t->dtype);
  for (int d = t->ndim - 1; d >= 0; d--) {
    index[d] = rest % t->sizes[d];
    rest /= t->sizes[d];
    at += index[d] * t->strides[d];
  }
  char *base = mt__ptr(t);
  int last = t->ndim - 1;
  int64_t stride = t->ndim ? t->strides[last] : 1;
  while (n > 0) {
    int64_t run = t->ndim ? t->sizes[last] - index[last] : 1;
    if (run > n) run = n;
    if (store) {
      mt__convert(base + at * size, t->dtype, stride, tile, dtype, 1, run);
    } else {
      mt__convert(tile, dtype, 1, base + at * size, t->dtype, stride, run);
    }
    tile += run * mt__esize(dtype);
    n -= run;
    if (n == 0) break;
    at += run * stride;
    index[last] += run;
    for (int d = last; d > 0 && index[d] == t->sizes[d]; d--) {
      at += t->strides[d - 1] - t->sizes[d] * t->strides[d];
      index[d] = 0;
      index[d - 1]++;
    }
  }
}

static void update(const step *s, void *const *a, bool wide, int64_t n) {
  const mt_kern_optim *k = mt__kern_optim();
  if (s->is_adam) {
    k->adam[wide](a[0], a[1], a[2], a[3], a[4], n, &s->adam);
  } else {
    k->sgd[wide](a[0], a[1], a[2], n, &s->sgd);
  }
}

/* All of the parameter's tensors lie in memory as one run in the same order. */
static bool one_run(const step *s, int i) {
  const mt_tensor *p = s->list[PARAM][i];
  if (p->dtype != MT_FLOAT32 && p->dtype != MT_FLOAT64) return false;
  bool plain = mt__is_contiguous(p);
  if (!plain && !mt__is_dense(p)) return false;
  for (int r = GRAD; r < ROLES; r++) {
    const mt_tensor *t = s->list[r] ? s->list[r][i] : NULL;
    if (!t) continue;
    if (t->dtype != p->dtype) return false;
    if (plain ? !mt__is_contiguous(t)
              : memcmp(t->strides, p->strides, (size_t)p->ndim * sizeof p->strides[0]) != 0)
      return false;
  }
  return true;
}

static void update_range(const step *s, int i, int64_t begin, int64_t n) {
  const mt_tensor *p = s->list[PARAM][i];
  void *a[ROLES] = {NULL};
  bool wide = p->dtype == MT_FLOAT64;
  if (one_run(s, i)) {
    int64_t offset = begin * mt__esize(p->dtype);
    for (int r = 0; r < ROLES; r++)
      if (s->list[r]) a[r] = mt__ptr(s->list[r][i]) + offset;
    update(s, a, wide, n);
    return;
  }
  int dtype = wide ? MT_FLOAT64 : MT_FLOAT32;
  double tiles[ROLES][TILE] __attribute__((aligned(64)));
  for (int64_t end = begin + n; begin < end; begin += TILE) {
    int64_t k = end - begin < TILE ? end - begin : TILE;
    for (int r = 0; r < ROLES; r++) {
      if (!s->list[r]) continue;
      a[r] = tiles[r];
      stage(s->list[r][i], begin, k, a[r], dtype, false);
    }
    update(s, a, wide, k);
    for (int r = 0; r < ROLES; r++)
      if (s->list[r] && r != GRAD) stage(s->list[r][i], begin, k, a[r], dtype, true);
  }
}

static void run_chunk(void *ctx, int64_t chunk) {
  const step *s = ctx;
  int lo = 0, hi = s->n - 1;
  while (lo < hi) { /* the last parameter that begins at or before this chunk */
    int mid = lo + (hi - lo + 1) / 2;
    if (s->first_chunk[mid] <= chunk) {
      lo = mid;
    } else {
      hi = mid - 1;
    }
  }
  int64_t begin = (chunk - s->first_chunk[lo]) * CHUNK;
  int64_t n = s->list[PARAM][lo]->numel - begin;
  update_range(s, lo, begin, n < CHUNK ? n : CHUNK);
}

static int run_step(mt_frame *f, step *s) {
  for (int r = 0; r < ROLES; r++) {
    if (s->list[r] && f->args[r].n == 0) s->list[r] = NULL;
  }
  if (!f->work) {
    for (int i = 0; i < s->n; i++) {
      int64_t n = s->list[PARAM][i]->numel;
      if (n) update_range(s, i, 0, n);
    }
    return MT_OK;
  }
  int64_t *table = f->work, chunks = 0;
  for (int i = 0; i < s->n; i++) {
    table[i] = chunks;
    chunks += chunks_of(s->list[PARAM][i]);
  }
  s->first_chunk = table;
  return mt__parallel(chunks, run_chunk, s);
}

static int sgd_run(mt_frame *f) {
  const double *h = (const double *)(const void *)mt__ptr(mt__t(f, 3));
  step s = {.n = f->args[0].n};
  s.sgd = (mt_sgd){.lr = h[0],
                   .momentum = h[1],
                   .dampening = h[2],
                   .weight_decay = h[3],
                   .nesterov = h[4] != 0,
                   .maximize = h[5] != 0,
                   .first = h[6] != 0};
  for (int r = 0; r < 3; r++) s.list[r] = f->args[r].u.ts;
  if (s.sgd.momentum == 0) {
    s.list[2] = NULL;
  } else if (f->args[2].n == 0 && s.n > 0) {
    return mt__op_fail(f, MT_ERR_VALUE, "momentum is %g, but there are no momentum_buffers",
                       s.sgd.momentum);
  }
  return run_step(f, &s);
}

static int adam_run(mt_frame *f) {
  const double *h = (const double *)(const void *)mt__ptr(mt__t(f, 6));
  double *count = (double *)(void *)mt__ptr(mt__t(f, 5));
  double t = *count + 1;
  step s = {.n = f->args[0].n, .is_adam = true};
  s.adam = (mt_adam){.lr = h[0],
                     .beta1 = h[1],
                     .beta2 = h[2],
                     .eps = h[3],
                     .weight_decay = h[4],
                     .maximize = h[5] != 0,
                     .decoupled = f->args[8].u.i != 0};
  s.adam.step_size = s.adam.lr / (1 - pow(s.adam.beta1, t));
  s.adam.bias_correction2_sqrt = sqrt(1 - pow(s.adam.beta2, t));
  for (int r = 0; r < ROLES; r++) s.list[r] = f->args[r].u.ts;
  if (f->args[7].u.i == 0) s.list[4] = NULL;
  *count = t;
  return run_step(f, &s);
}

const mt_opdef mt__ops_optim[] = {
    {.sig = MT_SIG("sgd_step_(Tensor![] params, Tensor[] grads, Tensor![] momentum_buffers, "
                   "Tensor hyper) -> ()"),
     .doc = "One step of SGD over all params, in place; hyper holds lr, momentum, dampening, "
            "weight_decay and, as 0 or 1, nesterov, maximize, first.",
     .infer = sgd_infer,
     .run = sgd_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_LEAF_OK | MT_OP_CELLS | MT_OP_NO_AUTOGRAD | MT_OP_MIXED_DEVICE},
    {.sig = MT_SIG("adam_step_(Tensor![] params, Tensor[] grads, Tensor![] exp_avgs, "
                   "Tensor![] exp_avg_sqs, Tensor![] max_exp_avg_sqs, Tensor! step, Tensor hyper, "
                   "bool amsgrad=false, bool decoupled=false) -> ()"),
     .doc = "One step of Adam over all params, in place, or of AdamW where decoupled; step is "
            "counted up; hyper holds lr, beta1, beta2, eps, weight_decay and maximize.",
     .infer = adam_infer,
     .run = adam_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_LEAF_OK | MT_OP_CELLS | MT_OP_NO_AUTOGRAD | MT_OP_MIXED_DEVICE},
    {0}};
