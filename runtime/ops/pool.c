/* pool.c: maxima and means over windows of planes.
 *
 * max_pool2d keeps, where a derivative will want it, the tap of each window that won, in one byte
 * (kernels/pool.h); its gradient is spread to those taps and that one's gradient picked from them,
 * so derivatives of any order exist. Planes are independent: work is cut by planes. */
#include <string.h>

#include "moontorch_ops.h"

#include "internal.h"
#include "kernels/pool.h"

MT_KERNELS(pool)

enum { GRAIN = 1 << 14 };

/* ---- windows ---- */

static int read_planes(const mt_frame *f, const mt_tensor *t, int64_t size[2]) {
  char text[128];
  bool ok = t->ndim == 3 || t->ndim == 4;
  for (int d = t->ndim == 4 ? 1 : 0; ok && d < t->ndim; d++) ok = t->sizes[d] > 0;
  if (!ok)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for "
                       "input, but got: %s",
                       mt__shape_text(text, sizeof text, t->ndim, t->sizes));
  size[0] = t->sizes[t->ndim - 2], size[1] = t->sizes[t->ndim - 1];
  return MT_OK;
}

/* The four lists of a window; NULL where the op has none. */
static int read_window(const mt_frame *f, mt_pool *p, int kernel, int stride, int padding,
                       int dilation) {
  const mt_arg *s = &f->args[stride];
  for (int i = 0; i < 2; i++) {
    p->k[i] = f->args[kernel].u.is[i];
    p->s[i] = s->kind == MT_NONE || s->n <= 0 ? p->k[i] : s->u.is[i];
    p->p[i] = f->args[padding].u.is[i];
    p->d[i] = dilation < 0 ? 1 : f->args[dilation].u.is[i];
  }
  if (p->k[0] <= 0 || p->k[1] <= 0)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "kernel size should be greater than zero, but got kH: %lld kW: %lld",
                       (long long)p->k[0], (long long)p->k[1]);
  if (p->s[0] == 0 || p->s[1] == 0)
    return mt__op_fail(f, MT_ERR_VALUE, "stride should not be zero");
  if (p->s[0] < 0 || p->s[1] < 0)
    return mt__op_fail(f, MT_ERR_VALUE, "stride should be greater than zero");
  if (p->d[0] <= 0 || p->d[1] <= 0)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "dilation should be greater than zero, but got {%lld, %lld}",
                       (long long)p->d[0], (long long)p->d[1]);
  for (int i = 0; i < 2; i++) {
    if (p->p[i] < 0)
      return mt__op_fail(f, MT_ERR_VALUE, "pad must be non-negative, but got pad: %lld",
                         (long long)p->p[i]);
    if (p->p[i] > ((p->k[i] - 1) * p->d[i] + 1) / 2)
      return mt__op_fail(f, MT_ERR_VALUE,
                         "pad should be at most half of effective kernel size, but got pad=%lld, "
                         "kernel_size=%lld and dilation=%lld",
                         (long long)p->p[i], (long long)p->k[i], (long long)p->d[i]);
  }
  return MT_OK;
}

/* in and the window are known. */
static int complete(const mt_frame *f, mt_pool *p, bool ceil, int64_t channels) {
  for (int i = 0; i < 2; i++) {
    int64_t over = p->in[i] + 2 * p->p[i] - p->d[i] * (p->k[i] - 1) - 1;
    if (ceil && over >= 0) over += p->s[i] - 1;
    p->out[i] = over < 0 ? 0 : over / p->s[i] + 1;
    /* The last window must start inside the input or its left padding. */
    if (ceil && p->out[i] > 0 && (p->out[i] - 1) * p->s[i] >= p->in[i] + p->p[i]) p->out[i]--;
  }
  if (p->out[0] < 1 || p->out[1] < 1)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Given input size: (%lldx%lldx%lld). Calculated output size: "
                       "(%lldx%lldx%lld). Output size is too small",
                       (long long)channels, (long long)p->in[0], (long long)p->in[1],
                       (long long)channels, (long long)p->out[0], (long long)p->out[1]);
  p->small = p->k[0] * p->k[1] <= 256;
  p->pairs = true;
  for (int i = 0; i < 2; i++)
    p->pairs = p->pairs && p->k[i] == 2 && p->s[i] == 2 && p->p[i] == 0 && p->d[i] == 1 &&
               2 * p->out[i] <= p->in[i];
  return MT_OK;
}

static int read_max(const mt_frame *f, mt_pool *p) {
  const mt_tensor *x = f->args[0].u.t;
  memset(p, 0, sizeof *p);
  MT_TRY(read_planes(f, x, p->in));
  MT_TRY(read_window(f, p, 1, 2, 3, 4));
  return complete(f, p, f->args[5].u.i != 0, x->sizes[x->ndim - 3]);
}

static int out_planes(mt_frame *f, int k, const mt_tensor *like, int dtype, const int64_t size[2]) {
  int64_t sizes[4];
  memcpy(sizes, like->sizes, (size_t)like->ndim * sizeof *sizes);
  sizes[like->ndim - 2] = size[0], sizes[like->ndim - 1] = size[1];
  return mt__out(f, k, dtype, like->device, like->ndim, sizes);
}

/* ---- planes in the dtype that is computed in ---- */

typedef struct job {
  const mt_pool *p;
  const mt_pool_kernels *kernels;
  const char *x, *where;
  char *y, *taps;
  int64_t x_bytes, y_bytes, where_bytes; /* of a plane */
} job;

static int computed(const mt_tensor *t) {
  return t->dtype == MT_FLOAT64 ? MT_FLOAT64 : mt__is_float(t->dtype) ? MT_FLOAT32 : MT_INT64;
}

static size_t copy_bytes(const mt_tensor *t) {
  if (t->dtype == computed(t)) return 0;
  return ((size_t)t->numel * (size_t)mt__esize(computed(t)) + 63) / 64 * 64;
}

static void want_work(mt_frame *f, const mt_tensor *x) {
  if (x->device == MT_CPU) f->work_bytes = copy_bytes(x) + copy_bytes(f->out[0]);
}

static job start(const mt_frame *f, const mt_pool *p, const mt_tensor *x) {
  const int compute = computed(x);
  const mt_kern_pool *all = mt__kern_pool();
  const mt_tensor *y = f->out[0];
  job j = {.p = p, .x = mt__ptr(x), .y = mt__ptr(y)};
  j.kernels = compute == MT_FLOAT32 ? &all->f32 : compute == MT_FLOAT64 ? &all->f64 : &all->i64;
  if (x->dtype != compute) {
    j.x = f->work;
    mt__convert(f->work, compute, 1, mt__ptr(x), x->dtype, 1, x->numel);
    j.y = (char *)f->work + copy_bytes(x);
  }
  const int size = mt__esize(compute);
  j.x_bytes = x->sizes[x->ndim - 2] * x->sizes[x->ndim - 1] * size;
  j.y_bytes = y->sizes[y->ndim - 2] * y->sizes[y->ndim - 1] * size;
  j.where_bytes = p->out[0] * p->out[1] * (p->small ? 1 : 4);
  return j;
}

static int run_planes(mt_frame *f, job *j, const mt_tensor *x,
                      void (*fn)(void *, int64_t, int64_t)) {
  const mt_tensor *y = f->out[0];
  const int64_t plane = j->p->in[0] * j->p->in[1];
  const int64_t planes = y->numel / (y->sizes[y->ndim - 2] * y->sizes[y->ndim - 1]);
  MT_TRY(mt__parallel_range(planes, GRAIN / plane + 1, fn, j));
  if (x->dtype != computed(x)) mt__convert(mt__ptr(y), y->dtype, 1, j->y, computed(x), 1, y->numel);
  return MT_OK;
}

/* ---- maxima ---- */

static void max_planes(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  for (int64_t i = begin; i < end; i++)
    j->kernels->max(j->p, j->x + i * j->x_bytes, j->y + i * j->y_bytes,
                    j->taps ? j->taps + i * j->where_bytes : NULL);
}

static int plain_max_infer(mt_frame *f) {
  mt_pool p;
  const mt_tensor *x = f->args[0].u.t;
  MT_TRY(read_max(f, &p));
  MT_TRY(out_planes(f, 0, x, x->dtype, p.out));
  want_work(f, x);
  return MT_OK;
}

static int max_infer(mt_frame *f) {
  mt_pool p;
  MT_TRY(plain_max_infer(f));
  MT_TRY(read_max(f, &p));
  return out_planes(f, 1, f->args[0].u.t, p.small ? MT_UINT8 : MT_INT32, p.out);
}

static int max_run(mt_frame *f) {
  mt_pool p;
  const mt_tensor *x = f->args[0].u.t;
  if (x->numel == 0) return MT_OK;
  MT_TRY(read_max(f, &p));
  job j = start(f, &p, x);
  if (f->nout > 1) j.taps = mt__ptr(f->out[1]);
  return run_planes(f, &j, x, max_planes);
}

static mt_ints list(const mt_arg *a) {
  return (mt_ints){a->n, a->u.is};
}
static mt_ints plane_size(const mt_tensor *t) {
  return (mt_ints){2, t->sizes + t->ndim - 2};
}

/* stride, which may be None in a call, as the derivatives want it */
static mt_ints stride_of(const mt_arg *kernel, const mt_arg *stride) {
  return stride->kind == MT_NONE || stride->n <= 0 ? list(kernel) : list(stride);
}

static int max_vjp(mt_vjp *v) {
  if (!v->g[0]) return MT_OK;
  return mt__max_pool2d_spread(&v->gin[0], v->g[0], v->outs[1], plane_size(v->args[0].u.t),
                               list(&v->args[1]), stride_of(&v->args[1], &v->args[2]),
                               list(&v->args[3]), list(&v->args[4]));
}

/* A composite's dtypes are checked by the ops it calls, which have other names. */
static int check_dtype(const mt_frame *f, const mt_tensor *x) {
  if (f->op->def.dtypes >> x->dtype & 1) return MT_OK;
  return mt__op_fail(f, MT_ERR_DTYPE, "not implemented for dtype %s", mt_dtype_name(x->dtype));
}

/* With a derivative to come, the maxima with their taps; the taps are the graph's alone. */
static int max_pool2d(mt_frame *f) {
  const mt_arg *a = f->args;
  mt_tensor *x = a[0].u.t;
  const mt_ints kernel = list(&a[1]), stride = stride_of(&a[1], &a[2]);
  MT_TRY(check_dtype(f, x));
  if (a[6].u.i)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "return_indices: call max_pool2d_with_indices, which returns both");
  if (!mt_grad_enabled() || !mt__requires_grad(x))
    return mt__max_pool2d_plain(&f->out[0], x, kernel, stride, list(&a[3]), list(&a[4]),
                                a[5].u.i != 0);
  MT_AUTO *taps = NULL;
  return mt__max_pool2d_taps(&f->out[0], &taps, x, kernel, stride, list(&a[3]), list(&a[4]),
                             a[5].u.i != 0);
}

static int max_pool2d_with_indices(mt_frame *f) {
  const mt_arg *a = f->args;
  mt_tensor *x = a[0].u.t;
  const mt_ints kernel = list(&a[1]), stride = stride_of(&a[1], &a[2]);
  MT_AUTO *taps = NULL, *y = NULL;
  MT_TRY(check_dtype(f, x));
  MT_TRY(
      mt__max_pool2d_taps(&y, &taps, x, kernel, stride, list(&a[3]), list(&a[4]), a[5].u.i != 0));
  MT_TRY(mt__max_pool2d_positions(&f->out[1], taps, plane_size(x), kernel, stride, list(&a[3]),
                                  list(&a[4])));
  f->out[0] = mt_retain(y);
  return MT_OK;
}

/* ---- by taps: (values, taps, size, kernel, stride, padding, dilation) ---- */

static int read_taps(const mt_frame *f, const mt_tensor *taps, int at, mt_pool *p) {
  memset(p, 0, sizeof *p);
  MT_TRY(read_planes(f, taps, p->out));
  p->in[0] = f->args[at].u.is[0], p->in[1] = f->args[at].u.is[1];
  MT_TRY(read_window(f, p, at + 1, at + 2, at + 3, at + 4));
  const int64_t out[2] = {p->out[0], p->out[1]};
  MT_TRY(complete(f, p, true, 1)); /* ceil_mode is not known: it has at most one window more */
  for (int i = 0; i < 2; i++) {
    if (out[i] != p->out[i] && out[i] != p->out[i] - 1)
      return mt__op_fail(f, MT_ERR_SHAPE, "taps do not fit the planes' size");
    p->out[i] = out[i];
    p->pairs = p->pairs || (p->k[0] == 2 && p->k[1] == 2);
  }
  for (int i = 0; i < 2; i++)
    p->pairs = p->pairs && p->k[i] == 2 && p->s[i] == 2 && p->p[i] == 0 && p->d[i] == 1 &&
               2 * p->out[i] <= p->in[i];
  if (taps->dtype != (p->small ? MT_UINT8 : MT_INT32))
    return mt__op_fail(f, MT_ERR_DTYPE, "taps must be %s", p->small ? "uint8" : "int32");
  return MT_OK;
}

static int same_planes(const mt_frame *f, const mt_tensor *values, const mt_tensor *taps,
                       const int64_t size[2]) {
  bool ok = values->ndim == taps->ndim;
  for (int d = 0; ok && d < taps->ndim - 2; d++) ok = values->sizes[d] == taps->sizes[d];
  if (ok && values->sizes[values->ndim - 2] == size[0] &&
      values->sizes[values->ndim - 1] == size[1])
    return MT_OK;
  return mt__op_fail(f, MT_ERR_SHAPE, "values do not fit the taps");
}

static int spread_infer(mt_frame *f) {
  mt_pool p;
  const mt_tensor *g = f->args[0].u.t, *taps = f->args[1].u.t;
  MT_TRY(read_taps(f, taps, 2, &p));
  MT_TRY(same_planes(f, g, taps, p.out));
  MT_TRY(out_planes(f, 0, g, g->dtype, p.in));
  want_work(f, g);
  return MT_OK;
}

static int pick_infer(mt_frame *f) {
  mt_pool p;
  const mt_tensor *x = f->args[0].u.t, *taps = f->args[1].u.t;
  MT_TRY(read_taps(f, taps, 2, &p));
  MT_TRY(same_planes(f, x, taps, p.in));
  MT_TRY(out_planes(f, 0, x, x->dtype, p.out));
  want_work(f, x);
  return MT_OK;
}

static void spread_planes(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  for (int64_t i = begin; i < end; i++)
    j->kernels->spread(j->p, j->x + i * j->x_bytes, j->where + i * j->where_bytes,
                       j->y + i * j->y_bytes);
}

static void pick_planes(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  for (int64_t i = begin; i < end; i++)
    j->kernels->pick(j->p, j->x + i * j->x_bytes, j->where + i * j->where_bytes,
                     j->y + i * j->y_bytes);
}

static int by_taps(mt_frame *f, void (*fn)(void *, int64_t, int64_t)) {
  mt_pool p;
  const mt_tensor *x = f->args[0].u.t;
  if (f->out[0]->numel == 0) return MT_OK;
  MT_TRY(read_taps(f, f->args[1].u.t, 2, &p));
  job j = start(f, &p, x);
  j.where = mt__ptr(f->args[1].u.t);
  return run_planes(f, &j, x, fn);
}

static int spread_run(mt_frame *f) {
  return by_taps(f, spread_planes);
}
static int pick_run(mt_frame *f) {
  return by_taps(f, pick_planes);
}

#define WINDOW                                                                                     \
  list(&v->args[2]), list(&v->args[3]), list(&v->args[4]), list(&v->args[5]), list(&v->args[6])

static int spread_vjp(mt_vjp *v) {
  return mt__max_pool2d_pick(&v->gin[0], v->g[0], v->args[1].u.t, WINDOW);
}

static int pick_vjp(mt_vjp *v) {
  return mt__max_pool2d_spread(&v->gin[0], v->g[0], v->args[1].u.t, WINDOW);
}

/* ---- positions ---- */

static int positions_infer(mt_frame *f) {
  mt_pool p;
  const mt_tensor *taps = f->args[0].u.t;
  MT_TRY(read_taps(f, taps, 1, &p));
  return mt__out(f, 0, MT_INT64, taps->device, taps->ndim, taps->sizes);
}

static int positions_run(mt_frame *f) {
  mt_pool p;
  const mt_tensor *taps = f->args[0].u.t;
  if (taps->numel == 0) return MT_OK;
  MT_TRY(read_taps(f, taps, 1, &p));
  const char *from = mt__ptr(taps);
  int64_t *to = (int64_t *)mt__ptr(f->out[0]);
  for (int64_t i = 0; i < taps->numel; i++) {
    const int64_t tap = mt__load_i64(from + i * mt__esize(taps->dtype), taps->dtype);
    const int64_t oy = i / p.out[1] % p.out[0], ox = i % p.out[1];
    to[i] = (oy * p.s[0] - p.p[0] + tap / p.k[1] * p.d[0]) * p.in[1] + ox * p.s[1] - p.p[1] +
            tap % p.k[1] * p.d[1] + 1;
  }
  return MT_OK;
}

/* ---- means ---- */

static int read_mean(const mt_frame *f, mt_pool *p) {
  const mt_tensor *x = f->args[0].u.t;
  memset(p, 0, sizeof *p);
  MT_TRY(read_planes(f, x, p->in));
  MT_TRY(read_window(f, p, 1, 2, 3, -1));
  p->count_padding = f->args[5].u.i != 0;
  if (f->args[6].kind != MT_NONE) {
    p->divisor = mt__int(&f->args[6]);
    if (p->divisor == 0) return mt__op_fail(f, MT_ERR_VALUE, "divisor must be not zero");
  }
  return complete(f, p, f->args[4].u.i != 0, x->sizes[x->ndim - 3]);
}

static int mean_infer(mt_frame *f) {
  mt_pool p;
  const mt_tensor *x = f->args[0].u.t;
  MT_TRY(read_mean(f, &p));
  MT_TRY(out_planes(f, 0, x, x->dtype, p.out));
  want_work(f, x);
  return MT_OK;
}

static void mean_planes(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  for (int64_t i = begin; i < end; i++)
    j->kernels->mean(j->p, j->x + i * j->x_bytes, j->y + i * j->y_bytes);
}

static int mean_run(mt_frame *f) {
  mt_pool p;
  const mt_tensor *x = f->args[0].u.t;
  if (x->numel == 0) return MT_OK;
  MT_TRY(read_mean(f, &p));
  job j = start(f, &p, x);
  return run_planes(f, &j, x, mean_planes);
}

static int mean_vjp(mt_vjp *v) {
  const mt_arg *a = v->args;
  return mt__avg_pool2d_grad(&v->gin[0], v->g[0], plane_size(a[0].u.t), list(&a[1]),
                             stride_of(&a[1], &a[2]), list(&a[3]), a[4].u.i != 0, a[5].u.i != 0,
                             a[6]);
}

/* (grad, size, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override) */
static int read_mean_grad(const mt_frame *f, mt_pool *p) {
  const mt_tensor *g = f->args[0].u.t;
  int64_t out[2];
  memset(p, 0, sizeof *p);
  MT_TRY(read_planes(f, g, out));
  p->in[0] = f->args[1].u.is[0], p->in[1] = f->args[1].u.is[1];
  MT_TRY(read_window(f, p, 2, 3, 4, -1));
  p->count_padding = f->args[6].u.i != 0;
  if (f->args[7].kind != MT_NONE) p->divisor = mt__int(&f->args[7]);
  MT_TRY(complete(f, p, f->args[5].u.i != 0, 1));
  if (out[0] != p->out[0] || out[1] != p->out[1])
    return mt__op_fail(f, MT_ERR_SHAPE, "grad does not fit the planes' size");
  return MT_OK;
}

static int mean_grad_infer(mt_frame *f) {
  mt_pool p;
  const mt_tensor *g = f->args[0].u.t;
  MT_TRY(read_mean_grad(f, &p));
  MT_TRY(out_planes(f, 0, g, g->dtype, p.in));
  want_work(f, g);
  return MT_OK;
}

static void mean_grad_planes(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  for (int64_t i = begin; i < end; i++)
    j->kernels->mean_grad(j->p, j->x + i * j->x_bytes, j->y + i * j->y_bytes);
}

static int mean_grad_run(mt_frame *f) {
  mt_pool p;
  const mt_tensor *g = f->args[0].u.t;
  if (f->out[0]->numel == 0) return MT_OK;
  MT_TRY(read_mean_grad(f, &p));
  job j = start(f, &p, g);
  return run_planes(f, &j, g, mean_grad_planes);
}

static int mean_grad_vjp(mt_vjp *v) {
  const mt_arg *a = v->args;
  return mt_avg_pool2d(&v->gin[0], v->g[0], list(&a[2]), list(&a[3]), list(&a[4]), a[5].u.i != 0,
                       a[6].u.i != 0, a[7]);
}

/* Output i is the mean of the inputs from floor(i n / m) to ceil((i + 1) n / m). Where n is a
 * multiple of m these are equal windows; otherwise the means of rows, then of columns, are joined. */
static int adaptive_along(mt_tensor **out, mt_tensor *x, int dim, int64_t m) {
  const int64_t n = x->sizes[dim];
  mt_tensor **parts = mt__calloc((size_t)m * sizeof *parts);
  if (!parts) return mt__fail_memory((size_t)m * sizeof *parts);
  int status = MT_OK;
  for (int64_t i = 0; i < m && status == MT_OK; i++) {
    const int64_t from = i * n / m, to = ((i + 1) * n + m - 1) / m;
    MT_AUTO *part = NULL;
    status = mt_narrow(&part, x, dim, from + 1, to - from);
    if (status == MT_OK) status = mt_mean(&parts[i], part, MT_INTS_OF(dim), true, -1);
  }
  if (status == MT_OK) status = mt_cat(out, (mt_tensors){(int)m, parts}, dim);
  for (int64_t i = 0; i < m; i++) mt_release(parts[i]);
  mt__free(parts);
  return status;
}

static int adaptive(mt_frame *f) {
  mt_tensor *x = mt__t(f, 0);
  const int64_t *m = f->args[1].u.is;
  char text[128];
  MT_TRY(check_dtype(f, x));
  if (x->ndim != 3 && x->ndim != 4)
    return mt__op_fail(f, MT_ERR_SHAPE, "Expected 3D or 4D tensor, but got %s",
                       mt__shape_text(text, sizeof text, x->ndim, x->sizes));
  if (m[0] <= 0 || m[1] <= 0)
    return mt__op_fail(f, MT_ERR_VALUE,
                       "elements of output_size must be greater than 0 but received {%lld, %lld}",
                       (long long)m[0], (long long)m[1]);
  const int h = x->ndim - 2, w = x->ndim - 1;
  if (x->sizes[h] == 0 || x->sizes[w] == 0)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "expected input to have non-zero size for the last two "
                       "dimensions, but got %s",
                       mt__shape_text(text, sizeof text, x->ndim, x->sizes));
  if (m[0] == 1 && m[1] == 1) return mt_mean(&f->out[0], x, MT_INTS_OF(h, w), true, -1);
  if (x->sizes[h] % m[0] == 0 && x->sizes[w] % m[1] == 0) {
    const mt_ints window = MT_INTS_OF(x->sizes[h] / m[0], x->sizes[w] / m[1]);
    return mt_avg_pool2d(&f->out[0], x, window, window, MT_INTS_OF(0, 0), false, true,
                         mt__arg_none());
  }
  MT_AUTO *rows = NULL;
  MT_TRY(adaptive_along(&rows, x, h, m[0]));
  return adaptive_along(&f->out[0], rows, w, m[1]);
}

const mt_opdef mt__ops_pool[] = {
    {.sig = MT_SIG("max_pool2d(Tensor input, int2 kernel_size, int2? stride=None, int2 padding=0, "
                   "int2 dilation=1, bool ceil_mode=false, bool return_indices=false) -> Tensor"),
     .doc = "Maximum of each window of each plane; stride is kernel_size unless given.",
     .composite = max_pool2d,
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_FUNCTIONAL,
     .samples = "{f(1,2,4,4), 2}, {f(1,1,5,5), 3, {stride=1, padding=1}}, "
                "{f(1,1,5,4), {3,2}, {stride={2,1}}}, {f(1,1,5,5), 2, {ceil_mode=true}}, "
                "{f(1,1,5,5), 2, {stride=1, dilation=2}}, {f(2,4,4), 2}, {f(0,1,4,4), 2}"},
    {.sig = MT_SIG("max_pool2d_with_indices(Tensor input, int2 kernel_size, int2? stride=None, "
                   "int2 padding=0, int2 dilation=1, bool ceil_mode=false) -> (Tensor output, "
                   "Tensor indices)"),
     .doc = "Maximum of each window, and where it lies in its plane, counted row by row from 1.",
     .composite = max_pool2d_with_indices,
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_FUNCTIONAL,
     .samples = "{f(1,2,4,4), 2}, {f(1,1,5,5), 3, {stride=1, padding=1}}, {f(2,4,4), 2}"},
    {.sig = MT_SIG("_max_pool2d_plain(Tensor input, int2 kernel_size, int2 stride, int2 padding, "
                   "int2 dilation, bool ceil_mode) -> Tensor"),
     .doc = "max_pool2d without a derivative.",
     .infer = plain_max_infer,
     .run = max_run,
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS | MT_OP_NO_AUTOGRAD,
     .samples = "{f(1,2,4,4), {2,2}, {2,2}, {0,0}, {1,1}, false}"},
    {.sig = MT_SIG("_max_pool2d_taps(Tensor input, int2 kernel_size, int2 stride, int2 padding, "
                   "int2 dilation, bool ceil_mode) -> (Tensor output, Tensor taps)"),
     .doc = "max_pool2d and which tap of the kernel won.",
     .infer = max_infer,
     .run = max_run,
     .vjp = max_vjp,
     .saves = "input:out1",
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = "{f(1,2,4,4), {2,2}, {2,2}, {0,0}, {1,1}, false}, "
                "{f(1,1,5,5), {3,3}, {1,1}, {1,1}, {1,1}, false}"},
    {.sig = MT_SIG("_max_pool2d_spread(Tensor grad, Tensor taps, int2 size, int2 kernel_size, "
                   "int2 stride, int2 padding, int2 dilation) -> Tensor"),
     .doc = "The gradient at the taps that won, zero elsewhere.",
     .infer = spread_infer,
     .run = spread_run,
     .vjp = spread_vjp,
     .saves = "grad:taps",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS},
    {.sig = MT_SIG("_max_pool2d_pick(Tensor input, Tensor taps, int2 size, int2 kernel_size, "
                   "int2 stride, int2 padding, int2 dilation) -> Tensor"),
     .doc = "The input at the taps.",
     .infer = pick_infer,
     .run = pick_run,
     .vjp = pick_vjp,
     .saves = "input:taps",
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS},
    {.sig = MT_SIG("_max_pool2d_positions(Tensor taps, int2 size, int2 kernel_size, int2 stride, "
                   "int2 padding, int2 dilation) -> Tensor"),
     .doc = "Taps as positions in the plane, from 1.",
     .infer = positions_infer,
     .run = positions_run,
     .dtypes = MT_D(MT_UINT8) | MT_D(MT_INT32),
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS},
    {.sig = MT_SIG("avg_pool2d(Tensor input, int2 kernel_size, int2? stride=None, int2 padding=0, "
                   "bool ceil_mode=false, bool count_include_pad=true, int? divisor_override=None) "
                   "-> Tensor"),
     .doc = "Mean of each window of each plane; stride is kernel_size unless given.",
     .infer = mean_infer,
     .run = mean_run,
     .vjp = mean_vjp,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL | MT_OP_CONTIGUOUS,
     .samples = "{f(1,2,4,4), 2}, {f(1,1,5,5), 3, {stride=1, padding=1}}, "
                "{f(1,1,5,5), 3, {padding=1, stride=2, count_include_pad=false}}, "
                "{f(1,1,5,4), 2, {ceil_mode=true}}, {f(1,1,4,4), 2, {divisor_override=3}}, "
                "{f(2,4,4), {2,1}}, {f(0,1,4,4), 2}"},
    {.sig =
         MT_SIG("_avg_pool2d_grad(Tensor grad, int2 size, int2 kernel_size, int2 stride, "
                "int2 padding, bool ceil_mode, bool count_include_pad, int? divisor_override) -> "
                "Tensor"),
     .doc = "Gradient of avg_pool2d's input, whose planes have the given size.",
     .infer = mean_grad_infer,
     .run = mean_grad_run,
     .vjp = mean_grad_vjp,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_HIDDEN | MT_OP_CONTIGUOUS,
     .samples = "{f(1,2,2,2), {4,4}, {2,2}, {2,2}, {0,0}, false, true, nil}"},
    {.sig = MT_SIG("adaptive_avg_pool2d(Tensor input, int2 output_size) -> Tensor"),
     .doc = "Means of windows that divide each plane into output_size parts.",
     .composite = adaptive,
     .dtypes = MT_D_FLOAT,
     .flags = MT_OP_FUNCTIONAL,
     .samples = "{f(1,2,4,4), 2}, {f(1,2,3,4), 1}, {f(1,1,5,4), {3,3}}, {f(2,4,4), {2,4}}"},
    {0}};
