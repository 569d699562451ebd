/* cross_entropy.c: cross_entropy and nll_loss.
 *
 * Input is (classes), (batch, classes) or (batch, classes, inner...); a sample is one place of
 * batch x inner, and its class stands in target, counted from 1. Class targets have a fused
 * forward and backward: nothing is kept but the input, and the exponentials are taken again in
 * backward. Targets of probabilities and smoothed labels are written with ops. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "formula.h"
#include "kernels/softmax.h"

MT_KERNELS(softmax)

enum { GRAIN = 16384 };
enum reduction { NONE, MEAN, SUM };

/* ---- shapes ---- */

typedef struct {
  int64_t batch, classes, inner, samples;
} layout;

static void lay_out(layout *l, int ndim, const int64_t *sizes) {
  l->batch = ndim > 1 ? sizes[0] : 1;
  l->classes = ndim > 1 ? sizes[1] : sizes[0];
  l->inner = 1;
  for (int d = 2; d < ndim; d++) l->inner *= sizes[d];
  l->samples = l->batch * l->inner;
}

static int class_dim(const mt_tensor *input) {
  return input->ndim > 1 ? 1 : 0;
}

/* Class targets: the input's sizes without the classes. */
static int check_classes(const mt_frame *f, const mt_tensor *x, const mt_tensor *target) {
  MT_TRY(mt__want_ndim(f, "input", x, 1, MT_MAX_DIMS));
  MT_TRY(mt__want_dtype(f, "target", target, MT_D_INT));
  char a[160], b[160];
  bool fits = target->ndim == x->ndim - 1;
  if (fits && x->ndim == 2 && x->sizes[0] != target->sizes[0])
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Expected input batch_size (%lld) to match target batch_size (%lld).",
                       (long long)x->sizes[0], (long long)target->sizes[0]);
  for (int d = 0; fits && d < target->ndim; d++)
    fits = target->sizes[d] == x->sizes[d == 0 ? 0 : d + 1];
  if (fits) return MT_OK;
  return mt__op_fail(f, MT_ERR_SHAPE, "size mismatch (got input: %s, target: %s)",
                     mt__shape_text(a, sizeof a, x->ndim, x->sizes),
                     mt__shape_text(b, sizeof b, target->ndim, target->sizes));
}

static int check_weight(const mt_frame *f, const mt_tensor *weight, int64_t classes) {
  if (!weight) return MT_OK;
  MT_TRY(mt__want_dtype(f, "weight", weight, MT_D_FLOAT));
  if (weight->ndim == 1 && weight->sizes[0] == classes) return MT_OK;
  char a[160];
  return mt__op_fail(
      f, MT_ERR_SHAPE,
      "weight tensor should be defined either for all %lld classes or no classes but "
      "got weight tensor of shape: %s",
      (long long)classes, mt__shape_text(a, sizeof a, weight->ndim, weight->sizes));
}

/* ---- the fused loops over samples ---- */

typedef struct {
  layout l;
  const mt_softmax_loops *k;
  int dtype, size; /* computed */
  const mt_tensor *x, *target, *weight;
  int64_t ignore;
  int reduction;
  bool pick;             /* nll_loss: the input holds log-probabilities */
  const mt_tensor *grad; /* backward */
  double scale;          /* backward: of every sample */
  mt_tensor *out;
  int64_t group, groups; /* samples taken together */
  double *parts;         /* loss and weight of each task */
  int64_t per_task;      /* groups */
  _Atomic int64_t bad;   /* the first sample whose class is not one, or INT64_MAX */
} job;

/* Per sample of a group: its class (0: none), its weight (0: ignored). */
typedef struct {
  int64_t first, count;
  int64_t label[MT_SM_LANES];
  double weight[MT_SM_LANES];
} samples;

static void note_bad(job *j, int64_t sample) {
  int64_t now = atomic_load_explicit(&j->bad, memory_order_relaxed);
  while (sample < now && !atomic_compare_exchange_weak(&j->bad, &now, sample)) continue;
}

static void read_labels(job *j, samples *s) {
  mt__convert((char *)s->label, MT_INT64, 1,
              mt__ptr(j->target) + s->first * mt__esize(j->target->dtype), j->target->dtype, 1,
              s->count);
  for (int64_t i = 0; i < s->count; i++) {
    int64_t label = s->label[i];
    s->weight[i] = 0;
    if (label == j->ignore) {
      s->label[i] = 0;
    } else if (label < 1 || label > j->l.classes) {
      s->label[i] = 0;
      note_bad(j, s->first + i);
    } else {
      s->weight[i] = 1;
      if (j->weight)
        s->weight[i] = mt__load_f64(mt__ptr(j->weight) + (label - 1) * mt__esize(j->weight->dtype),
                                    j->weight->dtype);
    }
  }
}

/* Where class c (from 1) of a sample lies. */
static int64_t place(const job *j, int64_t sample, int64_t c) {
  if (j->l.inner == 1) return sample * j->l.classes + c - 1;
  int64_t n = sample / j->l.inner;
  return (n * j->l.classes + c - 1) * j->l.inner + (sample - n * j->l.inner);
}

static double input_at(const job *j, int64_t sample, int64_t c) {
  if (j->x->dtype == MT_FLOAT32)
    return (double)((const float *)(void *)mt__ptr(j->x))[place(j, sample, c)];
  return mt__load_f64(mt__ptr(j->x) + place(j, sample, c) * mt__esize(j->x->dtype), j->x->dtype);
}

/* Group g: samples that are neighbours in the input's layout. */
static void find_group(const job *j, int64_t g, samples *s) {
  if (j->l.inner == 1) {
    s->first = g * j->group;
    s->count = j->l.samples - s->first < j->group ? j->l.samples - s->first : j->group;
    return;
  }
  int64_t per = (j->l.inner + j->group - 1) / j->group, n = g / per, at = (g - n * per) * j->group;
  s->first = n * j->l.inner + at;
  s->count = j->l.inner - at < j->group ? j->l.inner - at : j->group;
}

/* Scratch of a task. */
typedef struct {
  double x[MT_SM_CHUNK], y[MT_SM_CHUNK];
  double m[MT_SM_LANES], k[MT_SM_LANES]; /* of the computed dtype */
} scratch;

static bool is_short(const job *j) {
  return j->l.inner == 1 && j->l.classes <= MT_SM_LANES;
}

static const void *fetch(const job *j, int64_t at, int64_t n, void *buf) {
  const char *p = mt__ptr(j->x) + at * mt__esize(j->x->dtype);
  if (j->x->dtype == j->dtype) return p;
  mt__convert(buf, j->dtype, 1, p, j->x->dtype, 1, n);
  return buf;
}

/* Rows c .. c + rows - 1 (classes) of a group of columns. */
static const void *fetch_rows(const job *j, const samples *s, int64_t c, int64_t rows, void *buf,
                              int64_t *stride) {
  int64_t at = place(j, s->first, c + 1), size = mt__esize(j->x->dtype);
  *stride = j->l.inner;
  if (j->x->dtype == j->dtype) return mt__ptr(j->x) + at * size;
  *stride = MT_SM_LANES;
  for (int64_t r = 0; r < rows; r++)
    mt__convert((char *)buf + r * MT_SM_LANES * j->size, j->dtype, 1,
                mt__ptr(j->x) + (at + r * j->l.inner) * size, j->x->dtype, 1, s->count);
  return buf;
}

static void store(const job *j, double *to, int64_t i, double value) {
  if (j->size == 8)
    to[i] = value;
  else
    ((float *)(void *)to)[i] = (float)value;
}
static double load(const job *j, const double *from, int64_t i) {
  return j->size == 8 ? from[i] : (double)((const float *)(const void *)from)[i];
}

/* Maximum and sum of exponentials of every sample, and lse = top + log(sum). A short row's tile
 * stays in t->x, ready for backward. */
static void measure(const job *j, const samples *s, scratch *t, double *top, double *sum,
                    double *lse) {
  const mt_softmax_loops *k = j->k;
  int64_t n = j->l.classes, w = s->count;
  for (int64_t i = 0; i < MT_SM_LANES; i++) sum[i] = 0;
  if (j->l.inner == 1 && !is_short(j)) {
    for (int64_t i = 0; i < w; i++) {
      int64_t at = (s->first + i) * n;
      top[i] = -INFINITY;
      for (int64_t c = 0; c < n; c += MT_SM_CHUNK) {
        int64_t len = n - c < MT_SM_CHUNK ? n - c : MT_SM_CHUNK;
        double m = k->max(fetch(j, at + c, len, t->x), len);
        top[i] = m > top[i] ? m : top[i];
      }
      for (int64_t c = 0; c < n; c += MT_SM_CHUNK) {
        int64_t len = n - c < MT_SM_CHUNK ? n - c : MT_SM_CHUNK;
        sum[i] += k->exp_sum(fetch(j, at + c, len, t->x), len, top[i]);
      }
      lse[i] = top[i] + log(sum[i]);
    }
    return;
  }
  if (is_short(j)) w = mt_sm_width(w);
  for (int64_t i = 0; i < w; i++) store(j, t->m, i, -INFINITY);
  if (is_short(j)) {
    k->to_tile(fetch(j, s->first * n, s->count * n, t->y), s->count, n, t->x);
    k->col_max(t->x, MT_SM_LANES, n, w, t->m);
    k->col_exp_sum(t->x, MT_SM_LANES, n, w, t->m, sum);
  } else {
    int64_t stride;
    for (int64_t c = 0; c < n; c += MT_SM_ROWS) {
      int64_t rows = n - c < MT_SM_ROWS ? n - c : MT_SM_ROWS;
      const void *from = fetch_rows(j, s, c, rows, t->x, &stride);
      k->col_max(from, stride, rows, w, t->m);
    }
    for (int64_t c = 0; c < n; c += MT_SM_ROWS) {
      int64_t rows = n - c < MT_SM_ROWS ? n - c : MT_SM_ROWS;
      const void *from = fetch_rows(j, s, c, rows, t->x, &stride);
      k->col_exp_sum(from, stride, rows, w, t->m, sum);
    }
  }
  k->col_lse(t->m, sum, w, lse);
  for (int64_t i = 0; i < w; i++) top[i] = load(j, t->m, i);
}

static void forward_task(void *ctx, int64_t task) {
  job *j = ctx;
  scratch t;
  samples s;
  double top[MT_SM_LANES], sum[MT_SM_LANES], lse[MT_SM_LANES], loss = 0, total = 0;
  int64_t end = (task + 1) * j->per_task < j->groups ? (task + 1) * j->per_task : j->groups;
  for (int64_t g = task * j->per_task; g < end; g++) {
    find_group(j, g, &s);
    read_labels(j, &s);
    if (!j->pick) measure(j, &s, &t, top, sum, lse);
    double each[MT_SM_LANES];
    for (int64_t i = 0; i < s.count; i++) {
      each[i] = 0;
      if (!s.label[i]) continue;
      double x = input_at(j, s.first + i, s.label[i]);
      each[i] = s.weight[i] * (j->pick ? -x : lse[i] - x);
      loss += each[i];
      total += s.weight[i];
    }
    if (j->reduction == NONE)
      mt__convert(mt__ptr(j->out) + s.first * mt__esize(j->out->dtype), j->out->dtype, 1,
                  (const char *)each, MT_FLOAT64, 1, s.count);
  }
  if (j->reduction != NONE) j->parts[2 * task] = loss, j->parts[2 * task + 1] = total;
}

/* The sum of the weights alone, which the mean's backward needs first. */
static void weigh_task(void *ctx, int64_t task) {
  job *j = ctx;
  samples s;
  double total = 0;
  int64_t end = (task + 1) * j->per_task < j->groups ? (task + 1) * j->per_task : j->groups;
  for (int64_t g = task * j->per_task; g < end; g++) {
    find_group(j, g, &s);
    read_labels(j, &s);
    for (int64_t i = 0; i < s.count; i++) total += s.weight[i];
  }
  j->parts[2 * task] = 0, j->parts[2 * task + 1] = total;
}

static void put(const job *j, int64_t at, const void *from, int64_t n) {
  mt__convert(mt__ptr(j->out) + at * mt__esize(j->out->dtype), j->out->dtype, 1, from, j->dtype, 1,
              n);
}

/* gx = k (softmax(x) - onehot), k the sample's gradient times its weight. */
static void backward_task(void *ctx, int64_t task) {
  job *j = ctx;
  const mt_softmax_loops *loops = j->k;
  scratch t;
  samples s;
  double top[MT_SM_LANES], sum[MT_SM_LANES], lse[MT_SM_LANES], k[MT_SM_LANES];
  int64_t n = j->l.classes, out_size = mt__esize(j->out->dtype);
  bool keep = j->out->dtype == j->dtype;
  int64_t end = (task + 1) * j->per_task < j->groups ? (task + 1) * j->per_task : j->groups;
  for (int64_t g = task * j->per_task; g < end; g++) {
    find_group(j, g, &s);
    read_labels(j, &s);
    measure(j, &s, &t, top, sum, lse);
    for (int64_t i = 0; i < s.count; i++) {
      double given =
          j->reduction == NONE
              ? mt__load_f64(mt__ptr(j->grad) + (s.first + i) * mt__esize(j->grad->dtype),
                             j->grad->dtype)
              : 1;
      k[i] = given * s.weight[i] * j->scale;
    }
    for (int64_t i = s.count; i < MT_SM_LANES; i++) k[i] = 0;
    for (int64_t i = 0; i < MT_SM_LANES; i++) store(j, t.k, i, k[i] != 0 ? k[i] / sum[i] : 0);
    if (is_short(j)) {
      double *tile = t.y;
      double flat[MT_SM_CHUNK];
      loops->col_exp(t.x, MT_SM_LANES, tile, MT_SM_LANES, n, mt_sm_width(s.count), t.m, t.k);
      void *to = keep ? mt__ptr(j->out) + s.first * n * out_size : (char *)flat;
      loops->from_tile(tile, s.count, n, to);
      if (!keep) put(j, s.first * n, flat, s.count * n);
    } else if (j->l.inner == 1) {
      for (int64_t i = 0; i < s.count; i++) {
        int64_t at = (s.first + i) * n;
        for (int64_t c = 0; c < n; c += MT_SM_CHUNK) {
          int64_t len = n - c < MT_SM_CHUNK ? n - c : MT_SM_CHUNK;
          void *to = keep ? mt__ptr(j->out) + (at + c) * out_size : (char *)t.y;
          loops->exp_scale(fetch(j, at + c, len, t.x), to, len, top[i], load(j, t.k, i));
          if (!keep) put(j, at + c, to, len);
        }
      }
    } else {
      int64_t stride;
      for (int64_t c = 0; c < n; c += MT_SM_ROWS) {
        int64_t rows = n - c < MT_SM_ROWS ? n - c : MT_SM_ROWS, at = place(j, s.first, c + 1);
        const void *from = fetch_rows(j, &s, c, rows, t.x, &stride);
        void *to = keep ? mt__ptr(j->out) + at * out_size : (char *)t.y;
        loops->col_exp(from, stride, to, keep ? j->l.inner : MT_SM_LANES, rows, s.count, t.m, t.k);
        for (int64_t r = 0; r < rows && !keep; r++)
          put(j, at + r * j->l.inner, (char *)t.y + r * MT_SM_LANES * j->size, s.count);
      }
    }
    for (int64_t i = 0; i < s.count; i++) {
      if (!s.label[i]) continue;
      char *to = mt__ptr(j->out) + place(j, s.first + i, s.label[i]) * out_size;
      if (j->out->dtype == MT_FLOAT32) {
        *(float *)(void *)to -= (float)k[i];
      } else if (j->out->dtype == MT_FLOAT64) {
        *(double *)(void *)to -= k[i];
      } else { /* the difference of two rounded halves would be worth little */
        mt_arg v = mt__arg_f(k[i] * expm1(input_at(j, s.first + i, s.label[i]) - lse[i]));
        mt__store_scalar(to, j->out->dtype, &v);
      }
    }
  }
}

/* How samples are cut into groups and groups into tasks: by shape. */
static void cut(const layout *l, int64_t *group, int64_t *groups, int64_t *per_task) {
  int64_t n = l->classes > 0 ? l->classes : 1;
  *group = MT_SM_LANES;
  if (l->inner == 1 && n > MT_SM_LANES) {
    *group = GRAIN / n < 1 ? 1 : GRAIN / n < MT_SM_LANES ? GRAIN / n : MT_SM_LANES;
  }
  *groups = l->inner == 1 ? (l->samples + *group - 1) / *group
                          : l->batch * ((l->inner + *group - 1) / *group);
  *per_task = GRAIN / (n * *group) < 1 ? 1 : GRAIN / (n * *group);
  while (*groups / *per_task > 1024) *per_task *= 2; /* keeps the partial sums few */
}

static int64_t task_count(const layout *l) {
  int64_t group, groups, per_task;
  cut(l, &group, &groups, &per_task);
  return (groups + per_task - 1) / per_task;
}

static void start(job *j, const layout *l, const mt_tensor *target, const mt_tensor *weight,
                  int64_t ignore, int reduction, double *work) {
  j->l = *l;
  cut(l, &j->group, &j->groups, &j->per_task);
  j->target = target;
  j->weight = weight;
  j->ignore = ignore;
  j->reduction = reduction;
  j->parts = work;
  atomic_init(&j->bad, INT64_MAX);
}

static void use_input(job *j, const mt_tensor *x) {
  j->x = x;
  j->dtype = x->dtype == MT_FLOAT64 ? MT_FLOAT64 : MT_FLOAT32;
  j->size = mt__esize(j->dtype);
  j->k = j->size == 8 ? &mt__kern_softmax()->f64 : &mt__kern_softmax()->f32;
}

/* Sum of the tasks' losses and weights, in order. */
static void add_parts(const job *j, double *loss, double *total) {
  *loss = *total = 0;
  for (int64_t i = 0; i < (j->groups + j->per_task - 1) / j->per_task; i++)
    *loss += j->parts[2 * i], *total += j->parts[2 * i + 1];
}

static int check_labels(const job *j, const char *name) {
  int64_t at = atomic_load(&j->bad);
  if (at == INT64_MAX) return MT_OK;
  int64_t value =
      mt__load_i64(mt__ptr(j->target) + at * mt__esize(j->target->dtype), j->target->dtype);
  if (value == 0)
    return mt_fail(MT_ERR_INDEX, "%s: classes are 1..C; labels written by Python need + 1", name);
  int64_t where[MT_MAX_DIMS];
  for (int d = j->target->ndim - 1; d >= 0; d--) {
    where[d] = at % j->target->sizes[d] + 1;
    at /= j->target->sizes[d];
  }
  char text[160];
  return mt_fail(MT_ERR_INDEX, "%s: Target %lld at %s is out of bounds: classes are 1..%lld", name,
                 (long long)value, mt__shape_text(text, sizeof text, j->target->ndim, where),
                 (long long)j->l.classes);
}

/* ---- forward: (input, target, weight, ignore_index, reduction) ---- */

static int forward_infer(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t, *target = f->args[1].u.t;
  layout l;
  MT_TRY(check_classes(f, x, target));
  lay_out(&l, x->ndim, x->sizes);
  MT_TRY(check_weight(f, mt__t(f, 2), l.classes));
  bool each = f->args[4].u.i == NONE;
  f->work_bytes = each ? 0 : (size_t)task_count(&l) * 2 * sizeof(double);
  return mt__out(f, 0, x->dtype, x->device, each ? target->ndim : 0, target->sizes);
}

static int forward(mt_frame *f, bool pick, const char *name) {
  const mt_tensor *x = f->args[0].u.t;
  layout l;
  job j = {.pick = pick, .out = f->out[0]};
  lay_out(&l, x->ndim, x->sizes);
  start(&j, &l, f->args[1].u.t, mt__t(f, 2), f->args[3].u.i, (int)f->args[4].u.i, f->work);
  use_input(&j, x);
  if (l.samples) {
    MT_TRY(mt__parallel(task_count(&l), forward_task, &j));
    MT_TRY(check_labels(&j, name));
  }
  if (j.reduction == NONE) return MT_OK;
  double loss, total;
  add_parts(&j, &loss, &total);
  mt_arg v = mt__arg_f(j.reduction == MEAN ? loss / total : loss);
  mt__store_scalar(mt__ptr(j.out), j.out->dtype, &v);
  return MT_OK;
}

static int cross_run(mt_frame *f) {
  return forward(f, false, "cross_entropy");
}
static int nll_run(mt_frame *f) {
  return forward(f, true, "nll_loss");
}

/* ---- derivatives ---- */

/* The sample's weight: 0 where ignored; in the dtype of `like`. */
static int sample_weights(mt_tensor **out, mt_tensor **safe, mt_tensor *target, mt_tensor *weight,
                          int64_t ignore, const mt_tensor *like) {
  MT_AUTO *valid = NULL, *known = NULL, *w = NULL;
  mt_ints sizes = {target->ndim, target->sizes};
  *safe = NULL;
  MT_TRY(mt_ne(&valid, target, mt__arg_i(ignore)));
  MT_TRY(mt__f_where(&known, valid, mt__arg_t(target), mt__arg_i(1)));
  MT_TRY(mt__f_cast(safe, known, MT_INT64));
  if (!weight) return mt__f_cast(out, valid, like->dtype);
  MT_AUTO *flat = NULL, *taken = NULL, *shaped = NULL;
  MT_TRY(mt_reshape(&flat, *safe, MT_INTS_OF(-1)));
  MT_TRY(mt_index_select(&taken, weight, 0, flat));
  MT_TRY(mt_reshape(&shaped, taken, sizes));
  MT_TRY(mt__f_cast(&w, shaped, like->dtype));
  return mt__f_where(out, valid, mt__arg_t(w), mt__arg_f(0));
}

/* k (softmax(x) - onehot) in ops, for derivatives of the derivative. */
static int cross_formula(mt_vjp *v) {
  mt_tensor *x = v->args[0].u.t, *target = v->args[1].u.t;
  mt_tensor *weight = v->args[2].kind == MT_TENSOR ? v->args[2].u.t : NULL;
  int dim = class_dim(x);
  MT_AUTO *w = NULL, *safe = NULL, *k = NULL, *wide_k = NULL, *column = NULL, *zeros = NULL;
  MT_AUTO *onehot = NULL, *p = NULL, *away = NULL;
  int status = sample_weights(&w, &safe, target, weight, v->args[3].u.i, x);
  MT_TRY(status);
  if (v->args[4].u.i == MEAN) {
    MT_AUTO *total = NULL, *share = NULL;
    MT_TRY(mt_sum(&total, w, MT_INTS_NONE, false, -1));
    MT_TRY(mt__f_div(&share, v->g[0], total));
    MT_TRY(mt__f_mul(&k, w, share));
  } else {
    MT_TRY(mt__f_mul(&k, w, v->g[0]));
  }
  MT_TRY(mt_unsqueeze(&wide_k, k, dim));
  MT_TRY(mt_unsqueeze(&column, safe, dim));
  MT_TRY(mt__zeros_like(&zeros, x));
  MT_TRY(mt_scatter(&onehot, zeros, dim, column, mt__arg_f(1)));
  MT_TRY(mt_softmax(&p, x, dim, -1));
  MT_TRY(mt__f_sub(&away, p, onehot));
  return mt__f_mul(&v->gin[0], away, wide_k);
}

/* Derivative to weight of sum_i g_i w[t_i] u_i, or of sum(w u) / sum(w) for the mean, where u is
 * the loss of each sample without weights. */
static int weight_gradient(mt_tensor **out, mt_tensor *g, mt_tensor *u, mt_tensor *target,
                           mt_tensor *weight, int64_t ignore, int reduction) {
  MT_AUTO *w = NULL, *safe = NULL, *each = NULL, *valid = NULL, *known = NULL, *zeros = NULL;
  MT_AUTO *flat = NULL, *labels = NULL;
  MT_TRY(sample_weights(&w, &safe, target, weight, ignore, u));
  if (reduction == MEAN) {
    MT_AUTO *terms = NULL, *sum = NULL, *total = NULL, *mean = NULL, *away = NULL, *share = NULL;
    MT_TRY(mt__f_mul(&terms, w, u));
    MT_TRY(mt_sum(&sum, terms, MT_INTS_NONE, false, -1));
    MT_TRY(mt_sum(&total, w, MT_INTS_NONE, false, -1));
    MT_TRY(mt__f_div(&mean, sum, total));
    MT_TRY(mt__f_sub(&away, u, mean));
    MT_TRY(mt__f_div(&share, g, total));
    MT_TRY(mt__f_mul(&each, away, share));
  } else {
    MT_TRY(mt__f_mul(&each, u, g));
  }
  MT_TRY(mt_ne(&valid, target, mt__arg_i(ignore)));
  MT_TRY(mt__f_where(&known, valid, mt__arg_t(each), mt__arg_f(0)));
  MT_TRY(mt_reshape(&flat, known, MT_INTS_OF(-1)));
  MT_TRY(mt_reshape(&labels, safe, MT_INTS_OF(-1)));
  MT_AUTO *cast = NULL;
  MT_TRY(mt__f_cast(&cast, flat, weight->dtype));
  MT_TRY(mt__zeros_like(&zeros, weight));
  return mt_scatter_add(out, zeros, 0, labels, cast);
}

static int cross_vjp(mt_vjp *v) {
  if (v->need[2]) {
    MT_AUTO *u = NULL;
    mt_tensor *target = v->args[1].u.t;
    MT_TRY(mt__cross_entropy(&u, v->args[0].u.t, target, NULL, v->args[3].u.i, NONE));
    MT_TRY(weight_gradient(&v->gin[2], v->g[0], u, target, v->args[2].u.t, v->args[3].u.i,
                           (int)v->args[4].u.i));
  }
  if (!v->need[0]) return MT_OK;
  if (mt_grad_enabled()) return cross_formula(v);
  mt_tensor *weight = v->args[2].kind == MT_TENSOR ? v->args[2].u.t : NULL;
  return mt__cross_entropy_backward(&v->gin[0], v->g[0], v->args[0].u.t, v->args[1].u.t, weight,
                                    v->args[3].u.i, (int)v->args[4].u.i);
}

static int cross_back_infer(mt_frame *f) {
  const mt_tensor *x = f->args[1].u.t;
  layout l;
  MT_TRY(check_classes(f, x, f->args[2].u.t));
  lay_out(&l, x->ndim, x->sizes);
  f->work_bytes = (size_t)task_count(&l) * 2 * sizeof(double);
  return mt__out(f, 0, x->dtype, x->device, x->ndim, x->sizes);
}

/* What every sample's gradient is multiplied by. */
static int find_scale(job *j, int64_t tasks) {
  j->scale = 1;
  if (j->reduction == NONE) return MT_OK;
  j->scale = mt__load_f64(mt__ptr(j->grad), j->grad->dtype);
  if (j->reduction == SUM) return MT_OK;
  double loss, total;
  MT_TRY(mt__parallel(tasks, weigh_task, j));
  add_parts(j, &loss, &total);
  j->scale /= total;
  return MT_OK;
}

static int cross_back_run(mt_frame *f) {
  const mt_tensor *x = f->args[1].u.t;
  layout l;
  if (x->numel == 0) return MT_OK;
  job j = {.grad = f->args[0].u.t, .out = f->out[0]};
  lay_out(&l, x->ndim, x->sizes);
  start(&j, &l, f->args[2].u.t, mt__t(f, 3), f->args[4].u.i, (int)f->args[5].u.i, f->work);
  use_input(&j, x);
  MT_TRY(find_scale(&j, task_count(&l)));
  return mt__parallel(task_count(&l), backward_task, &j);
}

/* nll_loss is linear in its input, so its gradient's derivative is nll_loss itself. */
static int nll_vjp(mt_vjp *v) {
  mt_tensor *x = v->args[0].u.t;
  if (v->need[2]) {
    MT_AUTO *u = NULL;
    mt_tensor *target = v->args[1].u.t;
    MT_TRY(mt_nll_loss(&u, x, target, NULL, v->args[3].u.i, NONE));
    MT_TRY(weight_gradient(&v->gin[2], v->g[0], u, target, v->args[2].u.t, v->args[3].u.i,
                           (int)v->args[4].u.i));
  }
  if (!v->need[0]) return MT_OK;
  mt_tensor *weight = v->args[2].kind == MT_TENSOR ? v->args[2].u.t : NULL;
  return mt__nll_loss_backward(&v->gin[0], v->g[0], v->args[1].u.t, x->sizes[class_dim(x)], weight,
                               v->args[3].u.i, (int)v->args[4].u.i);
}

static int nll_back_sizes(const mt_tensor *target, int64_t classes, int64_t *sizes) {
  int ndim = 0;
  if (target->ndim) sizes[ndim++] = target->sizes[0];
  sizes[ndim++] = classes;
  for (int d = 1; d < target->ndim; d++) sizes[ndim++] = target->sizes[d];
  return ndim;
}

static int nll_back_infer(mt_frame *f) {
  const mt_tensor *grad = f->args[0].u.t, *target = f->args[1].u.t;
  int64_t sizes[MT_MAX_DIMS + 1];
  layout l;
  if (target->ndim == MT_MAX_DIMS)
    return mt__op_fail(f, MT_ERR_SHAPE, "target has too many dimensions");
  int ndim = nll_back_sizes(target, f->args[2].u.i, sizes);
  lay_out(&l, ndim, sizes);
  f->work_bytes = (size_t)task_count(&l) * 2 * sizeof(double);
  return mt__out(f, 0, grad->dtype, grad->device, ndim, sizes);
}

static void nll_back_task(void *ctx, int64_t task) {
  job *j = ctx;
  samples s;
  int size = mt__esize(j->out->dtype);
  int64_t end = (task + 1) * j->per_task < j->groups ? (task + 1) * j->per_task : j->groups;
  for (int64_t g = task * j->per_task; g < end; g++) {
    find_group(j, g, &s);
    read_labels(j, &s);
    for (int64_t i = 0; i < s.count; i++) {
      if (!s.label[i]) continue;
      double given =
          j->reduction == NONE
              ? mt__load_f64(mt__ptr(j->grad) + (s.first + i) * mt__esize(j->grad->dtype),
                             j->grad->dtype)
              : 1;
      mt_arg v = mt__arg_f(-given * s.weight[i] * j->scale);
      mt__store_scalar(mt__ptr(j->out) + place(j, s.first + i, s.label[i]) * size, j->out->dtype,
                       &v);
    }
  }
}

static int nll_back_run(mt_frame *f) {
  mt_tensor *out = f->out[0];
  if (out->numel == 0) return MT_OK;
  layout l;
  job j = {.grad = f->args[0].u.t, .out = out};
  lay_out(&l, out->ndim, out->sizes);
  start(&j, &l, f->args[1].u.t, mt__t(f, 3), f->args[4].u.i, (int)f->args[5].u.i, f->work);
  memset(mt__ptr(out), 0, (size_t)out->numel * (size_t)mt__esize(out->dtype));
  MT_TRY(find_scale(&j, task_count(&l)));
  return mt__parallel(task_count(&l), nll_back_task, &j);
}

static int nll_back_vjp(mt_vjp *v) {
  mt_tensor *weight = v->args[3].kind == MT_TENSOR ? v->args[3].u.t : NULL;
  if (v->need[2]) { /* sum(h r) is nll_loss of h times the gradient */
    MT_AUTO *u = NULL;
    mt_tensor *target = v->args[1].u.t;
    MT_TRY(mt_nll_loss(&u, v->g[0], target, NULL, v->args[4].u.i, NONE));
    MT_TRY(weight_gradient(&v->gin[2], v->args[0].u.t, u, target, weight, v->args[4].u.i,
                           (int)v->args[5].u.i));
  }
  if (!v->need[0]) return MT_OK;
  return mt_nll_loss(&v->gin[0], v->g[0], v->args[1].u.t, weight, v->args[4].u.i,
                     (int)v->args[5].u.i);
}

/* ---- cross_entropy: chooses ---- */

/* -sum(logp t weight) over the classes; t smoothed. */
static int soft_targets(mt_frame *f, double smoothing) {
  mt_tensor *x = f->args[0].u.t, *target = f->args[1].u.t, *weight = mt__t(f, 2);
  int dim = class_dim(x);
  int64_t classes = x->sizes[dim];
  MT_AUTO *logp = NULL, *t = NULL, *terms = NULL, *weighted = NULL, *sum = NULL, *loss = NULL;
  MT_TRY(mt_log_softmax(&logp, x, dim, -1));
  if (smoothing > 0) {
    MT_AUTO *part = NULL;
    MT_TRY(mt__f_scale(&part, target, 1 - smoothing));
    MT_TRY(mt_add(&t, mt__arg_t(part), mt__arg_f(smoothing / (double)classes), mt__arg_i(1)));
  } else {
    t = mt_retain(target);
  }
  MT_TRY(mt__f_mul(&terms, logp, t));
  if (weight) {
    MT_AUTO *w = NULL;
    int64_t sizes[MT_MAX_DIMS];
    for (int d = 0; d < x->ndim - dim; d++) sizes[d] = d == 0 ? classes : 1;
    MT_TRY(mt_reshape(&w, weight, (mt_ints){x->ndim - dim, sizes}));
    MT_TRY(mt__f_mul(&weighted, terms, w));
  } else {
    weighted = mt_retain(terms);
  }
  MT_TRY(mt_sum(&sum, weighted, MT_INTS_OF(dim), false, -1));
  if (f->args[4].u.i == NONE) return mt_neg(&f->out[0], sum);
  MT_TRY(mt_sum(&loss, sum, MT_INTS_NONE, false, -1));
  double n = f->args[4].u.i == MEAN ? (double)sum->numel : 1;
  return mt__f_scale(&f->out[0], loss, -1 / n);
}

/* (1 - e) nll + e / C times the mean over all classes. */
static int smoothed_classes(mt_frame *f, double smoothing) {
  mt_tensor *x = f->args[0].u.t, *target = f->args[1].u.t, *weight = mt__t(f, 2);
  int dim = class_dim(x), reduction = (int)f->args[4].u.i;
  int64_t classes = x->sizes[dim], ignore = f->args[3].u.i;
  MT_AUTO *logp = NULL, *nll = NULL, *w = NULL, *safe = NULL, *every = NULL, *sum = NULL;
  MT_AUTO *valid = NULL, *known = NULL, *smooth = NULL, *first = NULL, *second = NULL;
  MT_TRY(mt_log_softmax(&logp, x, dim, -1));
  MT_TRY(mt_nll_loss(&nll, logp, target, weight, ignore, reduction));
  if (weight) {
    MT_AUTO *column = NULL;
    int64_t sizes[MT_MAX_DIMS];
    for (int d = 0; d < x->ndim - dim; d++) sizes[d] = d == 0 ? classes : 1;
    MT_TRY(mt_reshape(&column, weight, (mt_ints){x->ndim - dim, sizes}));
    MT_TRY(mt__f_mul(&every, logp, column));
  } else {
    every = mt_retain(logp);
  }
  MT_TRY(mt_sum(&sum, every, MT_INTS_OF(dim), false, -1));
  MT_TRY(mt_ne(&valid, target, mt__arg_i(ignore)));
  MT_TRY(mt__f_where(&known, valid, mt__arg_t(sum), mt__arg_f(0)));
  if (reduction == NONE) {
    smooth = mt_retain(known);
  } else {
    MT_AUTO *all = NULL, *total = NULL;
    MT_TRY(mt_sum(&all, known, MT_INTS_NONE, false, -1));
    if (reduction == SUM) {
      smooth = mt_retain(all);
    } else {
      MT_TRY(sample_weights(&w, &safe, target, weight, ignore, x));
      MT_TRY(mt_sum(&total, w, MT_INTS_NONE, false, -1));
      MT_TRY(mt__f_div(&smooth, all, total));
    }
  }
  MT_TRY(mt__f_scale(&first, nll, 1 - smoothing));
  MT_TRY(mt__f_scale(&second, smooth, -smoothing / (double)classes));
  return mt__f_add(&f->out[0], first, second);
}

static int cross_entropy(mt_frame *f) {
  mt_tensor *x = f->args[0].u.t, *target = f->args[1].u.t;
  double smoothing = mt__num(&f->args[5]);
  MT_TRY(mt__want_dtype(f, "input", x, MT_D_FLOAT));
  if (!(smoothing >= 0 && smoothing <= 1))
    return mt__op_fail(f, MT_ERR_VALUE, "label_smoothing must be between 0.0 and 1.0. Got: %g",
                       smoothing);
  bool same = x->ndim == target->ndim && x->ndim >= 1;
  for (int d = 0; same && d < x->ndim; d++) same = x->sizes[d] == target->sizes[d];
  if (same) {
    MT_TRY(mt__want_ndim(f, "input", x, 1, MT_MAX_DIMS));
    if (!mt__is_float(target->dtype))
      return mt__op_fail(f, MT_ERR_DTYPE,
                         "Expected floating point type for target with class probabilities, got %s",
                         mt_dtype_name(target->dtype));
    MT_TRY(check_weight(f, mt__t(f, 2), x->sizes[class_dim(x)]));
    return soft_targets(f, smoothing);
  }
  MT_TRY(check_classes(f, x, target));
  MT_TRY(check_weight(f, mt__t(f, 2), x->sizes[class_dim(x)]));
  if (smoothing > 0) return smoothed_classes(f, smoothing);
  return mt__cross_entropy(&f->out[0], x, target, mt__t(f, 2), f->args[3].u.i, (int)f->args[4].u.i);
}

const mt_opdef mt__ops_cross_entropy[] = {
    {.sig = MT_SIG("cross_entropy(Tensor input, Tensor target, Tensor? weight=None, "
                   "int ignore_index=-100, choice(none|mean|sum) reduction=mean, "
                   "float label_smoothing=0) -> Tensor"),
     .doc = "Cross entropy of log_softmax(input) with classes 1..C or with probabilities.",
     .composite = cross_entropy,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL,
     .samples = "{f(3,4), idx(4,3)}, {f(3,4), idx(4,3), pos(4), {reduction=\"sum\"}}, "
                "{f(2,3,2), idx(3,2,2), {reduction=\"none\"}}, {t(f(4,3)), idx(4,3), pos(4)}, "
                "{f(4), idx(4)}, {f(3,4), idx(4,3), {ignore_index=2}}, "
                "{f(3,4), idx(4,3), pos(4), {label_smoothing=0.2}}, "
                "{f(2,3), prob(2,3), pos(3), {label_smoothing=0.1}}, "
                "{f(2,3,2), prob(2,3,2), {reduction=\"none\"}}, "
                "{f(3,4), idx(4,3), {label_smoothing=0.3, reduction=\"none\"}}"},
    {.sig = MT_SIG("nll_loss(Tensor input, Tensor target, Tensor? weight=None, "
                   "int ignore_index=-100, choice(none|mean|sum) reduction=mean) -> Tensor"),
     .doc = "Negative log likelihood of classes 1..C; input holds log-probabilities.",
     .infer = forward_infer,
     .run = nll_run,
     .vjp = nll_vjp,
     .saves = "input:target,weight weight:input,target,weight",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL | MT_OP_CONTIGUOUS,
     .samples = "{f(3,4), idx(4,3)}, {f(3,4), idx(4,3), pos(4), {reduction=\"sum\"}}, "
                "{f(2,3,2), idx(3,2,2), {reduction=\"none\"}}, {t(f(4,3)), idx(4,3), pos(4)}, "
                "{f(4), idx(4)}, {f(3,4), idx(4,3), {ignore_index=2}}"},
    {.sig = MT_SIG("_cross_entropy(Tensor input, Tensor target, Tensor? weight, int ignore_index, "
                   "choice(none|mean|sum) reduction) -> Tensor"),
     .doc = "cross_entropy with classes, fused.",
     .infer = forward_infer,
     .run = cross_run,
     .vjp = cross_vjp,
     .saves = "input:input,target,weight weight:input,target,weight",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = "{f(3,4), idx(4,3), pos(4), -100, \"mean\"}",
     .bwd = "CrossEntropyBackward"},
    {.sig = MT_SIG("_cross_entropy_backward(Tensor grad, Tensor input, Tensor target, "
                   "Tensor? weight, int ignore_index, choice(none|mean|sum) reduction) -> Tensor"),
     .doc = "Gradient of cross_entropy with classes.",
     .infer = cross_back_infer,
     .run = cross_back_run,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS | MT_OP_NO_AUTOGRAD,
     .samples = "{f(), f(3,4), idx(4,3), pos(4), -100, \"mean\"}"},
    {.sig = MT_SIG("_nll_loss_backward(Tensor grad, Tensor target, int classes, Tensor? weight, "
                   "int ignore_index, choice(none|mean|sum) reduction) -> Tensor"),
     .doc = "Gradient of nll_loss.",
     .infer = nll_back_infer,
     .run = nll_back_run,
     .vjp = nll_back_vjp,
     .saves = "grad:target,weight weight:grad,target,weight",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = "{f(), idx(4,3), 4, pos(4), -100, \"mean\"}, "
                "{f(3), idx(4,3), 4, pos(4), -100, \"none\"}"},
    {0}};
