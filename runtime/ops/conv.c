/* conv.c: conv2d and its two derivatives.
 *
 * All three are linear in each of two tensors, and each one's derivatives are the two others, so
 * derivatives of any order exist. How they are computed stands in kernels/conv.h: images are
 * copied with a border of zeros (or read where they lie, when there is no padding), several at a
 * time, into the work memory. Work is cut by images, or where these are few by positions and
 * rows; the gradient of the weight by rows and taps, so that nothing is summed twice.
 */
#include <string.h>

#include "moontorch_ops.h"

#include "conv_engine.h"

/* Sizes of one convolution; index 0 is the height's, 1 the width's. */
typedef struct shape {
  int64_t n, c, in[2];      /* input */
  int64_t o, k[2], out[2];  /* kernel, output */
  int64_t s[2], p[2], d[2]; /* stride, padding, dilation */
  int64_t groups, cg, og;   /* channels of a group */
} shape;

typedef struct work {
  size_t used;
  char *base; /* NULL while infer counts */
} work;

static void *take(work *w, int64_t count, int size) {
  const size_t at = w->used;
  w->used += ((size_t)count * (size_t)size + 63) / 64 * 64;
  return w->base ? w->base + at : NULL;
}

static int computed(const mt_tensor *t) {
  return t->dtype == MT_FLOAT64 ? MT_FLOAT64 : MT_FLOAT32;
}

/* A tensor's elements in the dtype that is computed in. */
static const char *operand(work *w, const mt_tensor *t, int compute) {
  if (t->numel == 0) return w->base;
  if (t->dtype == compute) return w->base ? mt__ptr(t) : NULL;
  char *copy = take(w, t->numel, mt__esize(compute));
  if (w->base) mt__convert(copy, compute, 1, mt__ptr(t), t->dtype, 1, t->numel);
  return copy;
}

static char *result(work *w, const mt_tensor *t, int compute) {
  if (t->dtype == compute) return w->base ? mt__ptr(t) : NULL;
  return take(w, t->numel, mt__esize(compute));
}

static void finish(const mt_tensor *t, const char *from, int compute) {
  if (t->dtype != compute) mt__convert(mt__ptr(t), t->dtype, 1, from, compute, 1, t->numel);
}

/* ---- shapes and their errors ---- */

static const char *sizes_text(char *buf, size_t size, const mt_tensor *t) {
  return mt__shape_text(buf, size, t->ndim, t->sizes);
}

static int read_numbers(const mt_frame *f, int at, shape *g) {
  for (int i = 0; i < 2; i++) {
    g->s[i] = f->args[at].u.is[i];
    g->p[i] = f->args[at + 1].u.is[i];
    g->d[i] = f->args[at + 2].u.is[i];
  }
  g->groups = f->args[at + 3].u.i;
  if (g->s[0] <= 0 || g->s[1] <= 0)
    return mt__op_fail(f, MT_ERR_VALUE, "non-positive stride is not supported");
  if (g->p[0] < 0 || g->p[1] < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "negative padding is not supported");
  if (g->d[0] <= 0 || g->d[1] <= 0)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "dilation should be greater than zero, but got {%lld, %lld}",
                       (long long)g->d[0], (long long)g->d[1]);
  if (g->groups <= 0) return mt__op_fail(f, MT_ERR_VALUE, "non-positive groups is not supported");
  return MT_OK;
}

static int read_images(const mt_frame *f, const char *name, const mt_tensor *t, int64_t *n,
                       int64_t *c, int64_t size[2]) {
  char text[128];
  if (t->ndim != 3 && t->ndim != 4)
    return mt__op_fail(
        f, MT_ERR_SHAPE,
        "Expected 3D (unbatched) or 4D (batched) %s to conv2d, but got %s of size: %s", name, name,
        sizes_text(text, sizeof text, t));
  const int64_t *s = t->sizes + t->ndim - 3;
  *n = t->ndim == 4 ? t->sizes[0] : 1;
  *c = s[0];
  size[0] = s[1], size[1] = s[2];
  return MT_OK;
}

/* c, o and k are known: channels of the groups, and the output's size. */
static int complete(const mt_frame *f, shape *g) {
  g->cg = g->c / g->groups;
  g->og = g->o / g->groups;
  int64_t padded[2];
  for (int i = 0; i < 2; i++) {
    if (g->k[i] <= 0) return mt__op_fail(f, MT_ERR_SHAPE, "kernel size must be positive");
    padded[i] = g->in[i] + 2 * g->p[i];
    g->out[i] = (padded[i] - g->d[i] * (g->k[i] - 1) - 1) / g->s[i] + 1;
    if (padded[i] < g->d[i] * (g->k[i] - 1) + 1) g->out[i] = 0;
  }
  if (g->out[0] <= 0 || g->out[1] <= 0)
    return mt__op_fail(
        f, MT_ERR_SHAPE,
        "Calculated padded input size per channel: (%lld x %lld). Kernel size: (%lld x "
        "%lld). Kernel size can't be greater than actual input size",
        (long long)padded[0], (long long)padded[1], (long long)(g->d[0] * (g->k[0] - 1) + 1),
        (long long)(g->d[1] * (g->k[1] - 1) + 1));
  return MT_OK;
}

static int same_dtype(const mt_frame *f, const mt_tensor *a, const mt_tensor *b) {
  if (a->dtype == b->dtype) return MT_OK;
  return mt__op_fail(f, MT_ERR_DTYPE, "expected scalar type %s but found %s",
                     mt_dtype_name(a->dtype), mt_dtype_name(b->dtype));
}

/* conv2d's arguments, or those of _conv2d_input_grad with the gradient's sizes put in. */
static int read_weight(const mt_frame *f, shape *g, const mt_tensor *w) {
  char text[128];
  if (w->ndim != 4)
    return mt__op_fail(f, MT_ERR_SHAPE, "weight must have 4 dimensions, got %s",
                       sizes_text(text, sizeof text, w));
  g->o = w->sizes[0];
  g->k[0] = w->sizes[2], g->k[1] = w->sizes[3];
  if (g->o % g->groups != 0)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Given groups=%lld, expected weight to be divisible by %lld at dimension 1, "
                       "but got weight of size %s instead",
                       (long long)g->groups, (long long)g->groups,
                       sizes_text(text, sizeof text, w));
  return MT_OK;
}

static int read_forward(const mt_frame *f, shape *g) {
  const mt_tensor *x = f->args[0].u.t, *w = f->args[1].u.t, *bias = mt__t(f, 2);
  char a[128], b[128];
  MT_TRY(read_numbers(f, 3, g));
  MT_TRY(read_images(f, "input", x, &g->n, &g->c, g->in));
  MT_TRY(read_weight(f, g, w));
  if (g->c != w->sizes[1] * g->groups)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Given groups=%lld, weight of size %s, expected input%s to have %lld "
                       "channels, but got %lld channels instead",
                       (long long)g->groups, sizes_text(a, sizeof a, w), sizes_text(b, sizeof b, x),
                       (long long)(w->sizes[1] * g->groups), (long long)g->c);
  MT_TRY(same_dtype(f, x, w));
  if (bias) {
    if (bias->ndim != 1 || bias->sizes[0] != g->o)
      return mt__op_fail(f, MT_ERR_SHAPE,
                         "Given weight of size %s, expected bias to be 1-dimensional with %lld "
                         "elements, but got bias of size %s instead",
                         sizes_text(a, sizeof a, w), (long long)g->o,
                         sizes_text(b, sizeof b, bias));
    MT_TRY(same_dtype(f, x, bias));
  }
  return complete(f, g);
}

/* ---- planes ---- */

/* The input as forward and the weight's gradient read it. */
static mt_planes input_planes(const shape *g) {
  return mt__planes(g->in, g->p, g->p, g->s, g->out[1], g->c);
}

/* Where tap (i, j) of the kernel lies, for output 0. */
static int64_t tap_offset(const shape *g, const mt_planes *p, int64_t i, int64_t j) {
  const int64_t y = i * g->d[0], x = j * g->d[1];
  return (y % p->s[0] * p->s[1] + x % p->s[1]) * p->phase + y / p->s[0] * p->pitch + x / p->s[1];
}

static void take_pass(mt_pass *p, int64_t groups, int64_t taps, int size, work *w) {
  p->w = take(w, groups * p->rows * p->channels * taps, size);
  p->off = take(w, p->channels * taps, 8);
}

/* ---- conv2d ---- */

typedef struct forward {
  mt_conv_engine e;
  mt_pass p;
  int64_t *tap;
} forward;

static void plan_forward(forward *r, const mt_frame *f, const shape *g, work *w) {
  const mt_tensor *x = f->args[0].u.t, *weight = f->args[1].u.t, *bias = mt__t(f, 2);
  const int compute = computed(x);
  mt_conv_engine *e = &r->e;
  mt_pass *p = &r->p;
  *e = (mt_conv_engine){.groups = g->groups,
                        .in = input_planes(g),
                        .in_channels = g->c,
                        .in_plane = g->in[0] * g->in[1],
                        .out_plane = g->out[0] * g->out[1],
                        .out_channels = g->o,
                        .in_size = {g->in[0], g->in[1]},
                        .npasses = 1,
                        .passes = p};
  const int64_t taps = g->k[0] * g->k[1];
  *p = (mt_pass){.rows = g->og,
                 .channels = g->cg,
                 .taps = taps,
                 .row_step = g->cg * taps,
                 .channel_step = taps,
                 .group_step = g->og * g->cg * taps,
                 .q = (g->out[0] - 1) * e->in.pitch + g->out[1],
                 .pitch = e->in.pitch,
                 .width = g->out[1],
                 .out_pitch = g->out[1],
                 .step = 1};
  e->copies = take(w, mt__conv_plan(e, compute, g->n, p->q), mt__esize(compute));
  take_pass(p, g->groups, taps, e->size, w);
  p->tap = r->tap = take(w, taps, 8);
  e->x = operand(w, x, compute);
  e->weight = operand(w, weight, compute);
  e->bias = bias ? operand(w, bias, compute) : NULL;
  e->out = result(w, f->out[0], compute);
}

static int conv2d_infer(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t;
  shape g;
  forward r;
  work w = {0};
  MT_TRY(read_forward(f, &g));
  const int64_t sizes[4] = {g.n, g.o, g.out[0], g.out[1]};
  MT_TRY(mt__out(f, 0, x->dtype, x->device, x->ndim, sizes + (x->ndim == 3)));
  if (x->device != MT_CPU) return MT_OK;
  plan_forward(&r, f, &g, &w);
  f->work_bytes = w.used;
  return MT_OK;
}

static int conv2d_run(mt_frame *f) {
  shape g;
  forward r;
  work w = {.base = f->work};
  if (f->out[0]->numel == 0) return MT_OK;
  MT_TRY(read_forward(f, &g));
  plan_forward(&r, f, &g, &w);
  for (int64_t i = 0; i < g.k[0]; i++)
    for (int64_t j = 0; j < g.k[1]; j++) {
      const int64_t t = i * g.k[1] + j;
      r.tap[t] = t;
      if (g.cg > 0) r.p.off[t] = tap_offset(&g, &r.e.in, i, j);
    }
  MT_TRY(mt__conv_run(&r.e));
  finish(f->out[0], r.e.out, computed(f->out[0]));
  return MT_OK;
}

/* ---- _conv2d_input_grad ---- */

/* Along one dimension, the inputs i = phase + s t - p (t from first, count of them) get gradient
 * from the outputs t + (phase - tap d) / s, for taps where that is whole. */
typedef struct strip {
  int64_t first, count;
} strip;

static strip phase_strip(const shape *g, int i, int64_t phase) {
  const int64_t s = g->s[i], low = g->p[i] - phase, high = g->in[i] - 1 + g->p[i] - phase;
  strip r;
  r.first = low > 0 ? (low + s - 1) / s : -(-low / s);
  r.count = high < 0 ? 0 : high / s - r.first + 1;
  if (r.count < 0) r.count = 0;
  return r;
}

static bool tap_in_phase(const shape *g, int i, int64_t phase, int64_t tap) {
  return (tap * g->d[i] - phase) % g->s[i] == 0;
}

static int64_t tap_shift(const shape *g, int i, int64_t phase, int64_t tap) {
  return (phase - tap * g->d[i]) / g->s[i];
}

/* Border that the gradient needs around it. */
static void grad_border(const shape *g, int64_t before[2], int64_t after[2]) {
  for (int i = 0; i < 2; i++) {
    before[i] = after[i] = 0;
    for (int64_t phase = 0; phase < g->s[i]; phase++) {
      const strip r = phase_strip(g, i, phase);
      for (int64_t tap = 0; r.count > 0 && tap < g->k[i]; tap++) {
        if (!tap_in_phase(g, i, phase, tap)) continue;
        const int64_t low = r.first + tap_shift(g, i, phase, tap), high = low + r.count - 1;
        if (-low > before[i]) before[i] = -low;
        if (high - (g->out[i] - 1) > after[i]) after[i] = high - (g->out[i] - 1);
      }
    }
  }
}

typedef struct backward {
  mt_conv_engine e;
  int64_t *tap;
} backward;

static int64_t count_taps(const shape *g, int i, int64_t phase) {
  int64_t n = 0;
  for (int64_t tap = 0; tap < g->k[i]; tap++) n += tap_in_phase(g, i, phase, tap);
  return n;
}

static void plan_backward(backward *r, const mt_frame *f, const shape *g, work *w) {
  static const int64_t one[2] = {1, 1};
  const mt_tensor *grad = f->args[0].u.t, *weight = f->args[1].u.t;
  const int compute = computed(grad);
  int64_t before[2], after[2];
  mt_conv_engine *e = &r->e;
  grad_border(g, before, after);
  *e = (mt_conv_engine){
      .groups = g->groups,
      .in = mt__planes(g->out, before, after, one, (g->in[1] + g->s[1] - 1) / g->s[1], g->o),
      .in_channels = g->o,
      .in_plane = g->out[0] * g->out[1],
      .out_plane = g->in[0] * g->in[1],
      .out_channels = g->c,
      .in_size = {g->out[0], g->out[1]}};
  const int64_t phases = g->s[0] * g->s[1], all = g->k[0] * g->k[1];
  e->copies =
      take(w, mt__conv_plan(e, compute, g->n, g->in[0] * g->in[1] / phases), mt__esize(compute));
  e->passes = take(w, phases, sizeof(mt_pass));
  r->tap = take(w, all, 8);
  int64_t *tap = r->tap;
  for (int64_t a = 0; a < g->s[0]; a++)
    for (int64_t b = 0; b < g->s[1]; b++) {
      const strip y = phase_strip(g, 0, a), x = phase_strip(g, 1, b);
      const int64_t taps = count_taps(g, 0, a) * count_taps(g, 1, b);
      if (y.count == 0 || x.count == 0) continue;
      if (taps == 0) e->zero = true;
      if (taps == 0 || g->og == 0) continue;
      mt_pass p = {.rows = g->cg,
                   .channels = g->og,
                   .taps = taps,
                   .tap = tap,
                   .row_step = all,
                   .channel_step = g->cg * all,
                   .group_step = g->og * g->cg * all,
                   .base = (y.first + e->in.top) * e->in.pitch + x.first + e->in.left,
                   .q = (y.count - 1) * e->in.pitch + x.count,
                   .pitch = e->in.pitch,
                   .width = x.count,
                   .out = (a + g->s[0] * y.first - g->p[0]) * g->in[1] + b + g->s[1] * x.first -
                          g->p[1],
                   .out_pitch = g->s[0] * g->in[1],
                   .step = g->s[1]};
      take_pass(&p, g->groups, taps, e->size, w);
      if (w->base) {
        for (int64_t i = 0, t = 0; i < g->k[0]; i++)
          for (int64_t j = 0; j < g->k[1]; j++) {
            if (!tap_in_phase(g, 0, a, i) || !tap_in_phase(g, 1, b, j)) continue;
            tap[t] = i * g->k[1] + j;
            p.off[t++] = tap_shift(g, 0, a, i) * e->in.pitch + tap_shift(g, 1, b, j);
          }
        tap += taps;
        e->passes[e->npasses] = p;
      }
      e->npasses++;
    }
  if (e->npasses == 0) e->zero = true;
  e->x = operand(w, grad, compute);
  e->weight = operand(w, weight, compute);
  e->out = result(w, f->out[0], compute);
}

/* The shape of the convolution whose output has the gradient's sizes. */
static int check_grad(const mt_frame *f, const shape *g, const mt_tensor *grad) {
  shape h;
  char a[128];
  MT_TRY(read_images(f, "grad", grad, &h.n, &h.c, h.in));
  if (h.n == g->n && h.c == g->o && h.in[0] == g->out[0] && h.in[1] == g->out[1]) return MT_OK;
  return mt__op_fail(f, MT_ERR_SHAPE, "gradient of size %s, expected {%lld, %lld, %lld, %lld}",
                     sizes_text(a, sizeof a, grad), (long long)g->n, (long long)g->o,
                     (long long)g->out[0], (long long)g->out[1]);
}

static int read_backward(const mt_frame *f, shape *g) {
  const mt_tensor *grad = f->args[0].u.t, *w = f->args[1].u.t;
  MT_TRY(read_numbers(f, 3, g));
  MT_TRY(read_weight(f, g, w));
  g->n = grad->ndim == 4 ? grad->sizes[0] : 1;
  g->c = w->sizes[1] * g->groups;
  g->in[0] = f->args[2].u.is[0], g->in[1] = f->args[2].u.is[1];
  MT_TRY(same_dtype(f, grad, w));
  MT_TRY(complete(f, g));
  return check_grad(f, g, grad);
}

static int input_grad_infer(mt_frame *f) {
  const mt_tensor *grad = f->args[0].u.t;
  shape g;
  backward r;
  work w = {0};
  MT_TRY(read_backward(f, &g));
  const int64_t sizes[4] = {g.n, g.c, g.in[0], g.in[1]};
  MT_TRY(mt__out(f, 0, grad->dtype, grad->device, grad->ndim, sizes + (grad->ndim == 3)));
  if (grad->device != MT_CPU) return MT_OK;
  plan_backward(&r, f, &g, &w);
  f->work_bytes = w.used;
  return MT_OK;
}

static int input_grad_run(mt_frame *f) {
  shape g;
  backward r;
  work w = {.base = f->work};
  if (f->out[0]->numel == 0) return MT_OK;
  MT_TRY(read_backward(f, &g));
  plan_backward(&r, f, &g, &w);
  MT_TRY(mt__conv_run(&r.e));
  finish(f->out[0], r.e.out, computed(f->out[0]));
  return MT_OK;
}

/* ---- _conv2d_weight_grad ---- */

typedef struct weights {
  const mt_conv_kernels *kernels;
  int size;
  const shape *g;
  mt_conv_engine x, grad; /* only for their copies */
  int64_t *off;
  int64_t n, at_once, images; /* positions of an image; images at a time, and now */
  char *out;
  int64_t rows, taps, row_blocks, tap_blocks; /* of a task */
} weights;

static void plan_weights(weights *r, const mt_frame *f, const shape *g, work *w) {
  static const int64_t one[2] = {1, 1}, none[2] = {0, 0};
  const mt_tensor *grad = f->args[0].u.t, *input = f->args[1].u.t;
  const int compute = computed(grad);
  *r = (weights){.kernels = mt__conv_kernels(compute), .size = mt__esize(compute), .g = g};
  r->x = (mt_conv_engine){.in = input_planes(g),
                          .in_channels = g->c,
                          .in_plane = g->in[0] * g->in[1],
                          .in_size = {g->in[0], g->in[1]}};
  /* The gradient gets the input's pitch, and zeros where a row goes on. */
  const int64_t after[2] = {0, r->x.in.pitch - g->out[1]};
  r->grad = (mt_conv_engine){.in = mt__planes(g->out, none, after, one, 0, g->o),
                             .in_channels = g->o,
                             .in_plane = g->out[0] * g->out[1],
                             .in_size = {g->out[0], g->out[1]}};
  r->n = (g->out[0] - 1) * r->x.in.pitch + g->out[1];
  mt_conv_engine *both[2] = {&r->x, &r->grad};
  int64_t bytes = 0;
  for (int i = 0; i < 2; i++) {
    both[i]->kernels = r->kernels;
    both[i]->size = r->size;
    if (!both[i]->in.direct) bytes += both[i]->in.image * r->size;
  }
  r->at_once = mt__conv_images_at_once(g->n, bytes);
  for (int i = 0; i < 2; i++)
    both[i]->copies = take(w, both[i]->in.direct ? 0 : both[i]->in.image * r->at_once, r->size);
  const int64_t taps = g->k[0] * g->k[1];
  r->off = take(w, g->cg * taps, 8);
  if (w->base)
    for (int64_t c = 0; c < g->cg; c++)
      for (int64_t i = 0; i < g->k[0]; i++)
        for (int64_t j = 0; j < g->k[1]; j++)
          r->off[c * taps + i * g->k[1] + j] = c * r->x.in.channel + tap_offset(g, &r->x.in, i, j);
  r->grad.x = operand(w, grad, compute);
  r->x.x = operand(w, input, compute);
  r->out = result(w, f->out[0], compute);
  /* Tasks: some rows and some taps of a group. */
  const int64_t k = g->cg * taps, wr = r->kernels->weight_rows, wt = r->kernels->weight_taps;
  const int64_t row_tiles = (g->og + wr - 1) / wr, tap_tiles = (k + wt - 1) / wt;
  r->row_blocks = row_tiles < MT_CONV_PIECES / 2 ? row_tiles : MT_CONV_PIECES / 2;
  r->tap_blocks = MT_CONV_PIECES / (r->row_blocks * g->groups + 1) + 1;
  if (r->tap_blocks > tap_tiles) r->tap_blocks = tap_tiles;
  r->rows = r->row_blocks > 0 ? (g->og + r->row_blocks - 1) / r->row_blocks : 1;
  r->taps = r->tap_blocks > 0 ? (k + r->tap_blocks - 1) / r->tap_blocks : 1;
}

static void weights_task(void *ctx, int64_t task) {
  const weights *r = ctx;
  const shape *g = r->g;
  const int64_t k = g->cg * g->k[0] * g->k[1];
  const int64_t tap = task % r->tap_blocks * r->taps, rest = task / r->tap_blocks;
  const int64_t row = rest % r->row_blocks * r->rows, group = rest / r->row_blocks;
  if (tap >= k || row >= g->og) return;
  const mt_planes *xp = &r->x.in, *gp = &r->grad.in;
  const char *x = xp->direct ? r->x.x + r->x.first * xp->image * r->size : r->x.copies;
  const char *grad = gp->direct ? r->grad.x + r->x.first * gp->image * r->size : r->grad.copies;
  mt_conv_weight c = {.g = grad + (group * g->og + row) * gp->channel * r->size,
                      .x = x + group * g->cg * xp->channel * r->size,
                      .off = r->off + tap,
                      .rows = g->og - row < r->rows ? g->og - row : r->rows,
                      .k = k - tap < r->taps ? k - tap : r->taps,
                      .n = r->n,
                      .images = r->images,
                      .near_taps = g->k[0] * g->k[1] > 1,
                      .g_plane = gp->channel,
                      .g_image = gp->image,
                      .x_image = xp->image,
                      .dw = r->out + ((group * g->og + row) * k + tap) * r->size,
                      .dw_row = k};
  r->kernels->weight(&c);
}

static void weights_pad(void *ctx, int64_t begin, int64_t end) {
  const weights *r = ctx;
  const int64_t channels = r->g->c + r->g->o;
  for (int64_t i = begin; i < end; i++) {
    const int64_t image = i / channels, c = i % channels;
    const mt_conv_engine *e = c < r->g->c ? &r->x : &r->grad;
    const int64_t at = c < r->g->c ? c : c - r->g->c;
    if (!e->in.direct) mt__conv_pad(e, image, image, at, at + 1);
  }
}

static int read_weights(const mt_frame *f, shape *g) {
  const mt_tensor *grad = f->args[0].u.t, *x = f->args[1].u.t;
  MT_TRY(read_numbers(f, 3, g));
  MT_TRY(read_images(f, "input", x, &g->n, &g->c, g->in));
  g->o = grad->ndim >= 3 ? grad->sizes[grad->ndim - 3] : 0;
  g->k[0] = f->args[2].u.is[0], g->k[1] = f->args[2].u.is[1];
  MT_TRY(same_dtype(f, grad, x));
  MT_TRY(complete(f, g));
  return check_grad(f, g, grad);
}

static int weight_grad_infer(mt_frame *f) {
  const mt_tensor *grad = f->args[0].u.t;
  shape g;
  weights r;
  work w = {0};
  MT_TRY(read_weights(f, &g));
  MT_TRY(mt__out(f, 0, grad->dtype, grad->device, 4, (int64_t[]){g.o, g.cg, g.k[0], g.k[1]}));
  if (grad->device != MT_CPU) return MT_OK;
  plan_weights(&r, f, &g, &w);
  f->work_bytes = w.used;
  return MT_OK;
}

static int weight_grad_run(mt_frame *f) {
  shape g;
  weights r;
  work w = {.base = f->work};
  if (f->out[0]->numel == 0) return MT_OK;
  MT_TRY(read_weights(f, &g));
  plan_weights(&r, f, &g, &w);
  memset(r.out, 0, (size_t)(f->out[0]->numel * r.size));
  const int64_t tasks = g.groups * r.row_blocks * r.tap_blocks;
  for (int64_t first = 0; first < g.n; first += r.at_once) {
    r.images = g.n - first < r.at_once ? g.n - first : r.at_once;
    r.x.first = r.grad.first = first;
    if (!r.x.in.direct || !r.grad.in.direct) {
      const int64_t grain = MT_CONV_LEAST / 4 / (r.x.in.channel + r.grad.in.channel + 1) + 1;
      MT_TRY(mt__parallel_range(r.images * (g.c + g.o), grain, weights_pad, &r));
    }
    MT_TRY(mt__parallel(tasks, weights_task, &r));
  }
  finish(f->out[0], r.out, computed(f->out[0]));
  return MT_OK;
}

/* ---- derivatives ---- */

static mt_ints list(const mt_arg *a) {
  return (mt_ints){a->n, a->u.is};
}

/* y = conv(x, w): gx = input_grad(g, w), gw = weight_grad(g, x). All three take stride, padding,
 * dilation and groups as arguments 3 to 6. */
#define REST list(&v->args[3]), list(&v->args[4]), list(&v->args[5]), v->args[6].u.i

static mt_ints plane_size(const mt_tensor *t) {
  return (mt_ints){2, t->sizes + t->ndim - 2};
}

static int conv2d_vjp(mt_vjp *v) {
  mt_tensor *x = v->args[0].u.t, *w = v->args[1].u.t, *g = v->g[0];
  if (v->need[0]) MT_TRY(mt__conv2d_input_grad(&v->gin[0], g, w, plane_size(x), REST));
  if (v->need[1]) MT_TRY(mt__conv2d_weight_grad(&v->gin[1], g, x, plane_size(w), REST));
  if (v->args[2].kind == MT_TENSOR && v->need[2]) {
    const int64_t dims[3] = {g->ndim - 1, g->ndim - 2, 0};
    MT_TRY(mt_sum(&v->gin[2], g, (mt_ints){g->ndim - 1, dims}, false, -1));
  }
  return MT_OK;
}

/* gx = input_grad(g, w), with G the gradient of gx. */
static int input_grad_vjp(mt_vjp *v) {
  mt_tensor *g = v->args[0].u.t, *w = v->args[1].u.t, *G = v->g[0];
  if (v->need[0]) MT_TRY(mt_conv2d(&v->gin[0], G, w, NULL, REST));
  if (v->need[1]) MT_TRY(mt__conv2d_weight_grad(&v->gin[1], g, G, plane_size(w), REST));
  return MT_OK;
}

static int weight_grad_vjp(mt_vjp *v) {
  mt_tensor *g = v->args[0].u.t, *x = v->args[1].u.t, *G = v->g[0];
  if (v->need[0]) MT_TRY(mt_conv2d(&v->gin[0], x, G, NULL, REST));
  if (v->need[1]) MT_TRY(mt__conv2d_input_grad(&v->gin[1], g, G, plane_size(x), REST));
  return MT_OK;
}

const mt_opdef mt__ops_conv[] = {
    {.sig = MT_SIG("conv2d(Tensor input, Tensor weight, Tensor? bias=None, int2 stride=1, "
                   "int2 padding=0, int2 dilation=1, int groups=1) -> Tensor"),
     .doc =
         "2-D cross-correlation of (batch, channels, height, width) with (out, channels / groups, "
         "height, width).",
     .infer = conv2d_infer,
     .run = conv2d_run,
     .vjp = conv2d_vjp,
     .saves = "input:weight weight:input",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL | MT_OP_CONTIGUOUS,
     .samples = "{f(1,2,4,4), f(3,2,3,3), f(3)}, {f(2,1,4,3), f(2,1,2,2)}, "
                "{f(1,1,4,4), f(1,1,3,3), f(1), {padding=1}}, "
                "{f(1,1,5,5), f(1,1,3,2), f(1), {stride={2,1}, padding={1,0}}}, "
                "{f(1,2,4,4), f(2,1,3,3), f(2), {groups=2, padding=1}}, "
                "{f(1,1,5,5), f(1,1,2,2), nil, {dilation={2,3}}}, {f(2,4,3), f(1,2,2,2), f(1)}, "
                "{f(1,1,5,5), f(1,1,1,1), f(1), {stride=3}}, {f(0,1,4,4), f(2,1,3,3), f(2)}"},
    {.sig = MT_SIG("_conv2d_input_grad(Tensor grad, Tensor weight, int2 size, int2 stride, "
                   "int2 padding, int2 dilation, int groups) -> Tensor"),
     .doc = "Gradient of conv2d's input, whose planes have the given size.",
     .infer = input_grad_infer,
     .run = input_grad_run,
     .vjp = input_grad_vjp,
     .saves = "grad:weight weight:grad",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = "{f(1,3,2,2), f(3,2,3,3), {4,4}, {1,1}, {0,0}, {1,1}, 1}, "
                "{f(1,1,3,4), f(1,1,3,2), {5,5}, {2,1}, {1,0}, {1,1}, 1}, "
                "{f(1,1,2,2), f(1,1,1,1), {5,5}, {3,3}, {0,0}, {1,1}, 1}, "
                "{f(1,2,4,4), f(2,1,3,3), {4,4}, {1,1}, {1,1}, {1,1}, 2}"},
    {.sig = MT_SIG("_conv2d_weight_grad(Tensor grad, Tensor input, int2 kernel, int2 stride, "
                   "int2 padding, int2 dilation, int groups) -> Tensor"),
     .doc = "Gradient of conv2d's weight, whose kernels have the given size.",
     .infer = weight_grad_infer,
     .run = weight_grad_run,
     .vjp = weight_grad_vjp,
     .saves = "grad:input input:grad",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = "{f(1,3,2,2), f(1,2,4,4), {3,3}, {1,1}, {0,0}, {1,1}, 1}, "
                "{f(1,1,3,4), f(1,1,5,5), {3,2}, {2,1}, {1,0}, {1,1}, 1}, "
                "{f(1,2,4,4), f(1,2,4,4), {3,3}, {1,1}, {1,1}, {1,1}, 2}"},
    {0}};
