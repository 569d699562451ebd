/* embed.c: rows picked by number (embedding, one_hot, the data loader's row gather) and positions
 * of what is not zero. */
#include <string.h>

#include "moontorch_ops.h"

#include "indexing.h"
#include "internal.h"
#include "kernels/index.h"
#include "shapes.h"
#include "walk.h"

MT_KERNELS(index)

/* ---- embedding ---- */

static int embedding_plan(mt_frame *f, mt_plan *p) {
  mt_tensor *list[1] = {mt__t(f, 0)};
  MT_TRY(mt__plan_list(p, f, mt__t(f, 1), 1, list));
  p->from_end = false;
  return MT_OK;
}

static int embedding_infer(mt_frame *f) {
  const mt_tensor *weight = mt__t(f, 1);
  const mt_arg *pad = &f->args[2];
  mt_plan p;
  MT_TRY(mt__want_dtype(f, "input", mt__t(f, 0), MT_D_POSITIONS));
  MT_TRY(mt__want_ndim(f, "weight", weight, 2, 2));
  if (pad->kind != MT_NONE && (pad->u.i < 1 || pad->u.i > weight->sizes[0]))
    return mt__op_fail(f, MT_ERR_VALUE, "padding_idx must be within 1..%lld, got %lld",
                       (long long)weight->sizes[0], (long long)pad->u.i);
  MT_TRY(embedding_plan(f, &p));
  f->compute = weight->dtype; /* a device's kernel is chosen by it */
  return mt__out(f, 0, weight->dtype, weight->device, p.ndim, p.sizes);
}

static int embedding_run(mt_frame *f) {
  mt_plan p;
  MT_TRY(embedding_plan(f, &p));
  return mt__plan_gather(&p, f, mt__t(f, 1), f->out[0]);
}

/* g divided, row by row, by how often the row's number occurs. */
static int by_frequency(mt_tensor **out, mt_tensor *g, mt_tensor *index, int64_t n) {
  MT_AUTO *counts = NULL, *ones = NULL, *each = NULL, *column = NULL;
  MT_TRY(mt_zeros(&counts, (mt_ints){1, &n}, g->dtype, g->device, false));
  MT_TRY(mt_ones(&ones, (mt_ints){1, &index->numel}, g->dtype, g->device, false));
  MT_TRY(mt_index_add_(counts, 0, index, ones, mt__arg_i(1)));
  MT_TRY(mt_index_select(&each, counts, 0, index));
  MT_TRY(mt_unsqueeze(&column, each, 1));
  return mt_div(out, mt__arg_t(g), mt__arg_t(column), -1);
}

static int embedding_vjp(mt_vjp *v) {
  mt_tensor *input = v->args[0].u.t;
  const mt_tensor *weight = v->args[1].u.t;
  if (!v->need[1]) return MT_OK;
  int64_t rows[2] = {input->numel, weight->sizes[1]};
  MT_AUTO *index = NULL, *g = NULL, *scaled = NULL, *sum = NULL, *pad = NULL;
  MT_TRY(mt_reshape(&index, input, (mt_ints){1, rows}));
  MT_TRY(mt_reshape(&g, v->g[0], (mt_ints){2, rows}));
  MT_TRY(mt__sum_buffer(&sum, &g, weight));
  if (v->args[3].u.i) MT_TRY(by_frequency(&scaled, g, index, weight->sizes[0]));
  MT_TRY(mt_index_add_(sum, 0, index, scaled ? scaled : g, mt__arg_i(1)));
  if (v->args[2].kind != MT_NONE) {
    int64_t one = 1;
    MT_TRY(mt_full(&pad, (mt_ints){1, &one}, v->args[2], MT_INT64, weight->device, false));
    MT_TRY(mt_index_fill_(sum, 0, pad, mt__arg_i(0)));
  }
  v->gin[1] = mt_retain(sum);
  return MT_OK;
}

static int one_hot(mt_frame *f) {
  mt_tensor *t = mt__t(f, 0);
  int64_t classes = f->args[1].u.i, sizes[MT_MAX_DIMS + 1];
  MT_TRY(mt__want_dtype(f, "tensor", t, MT_D_POSITIONS));
  if (classes != -1 && classes < 1)
    return mt__op_fail(f, MT_ERR_VALUE, "num_classes must be positive, got %lld",
                       (long long)classes);
  if (classes == -1) {
    MT_AUTO *most = NULL;
    bool is_float;
    double x;
    if (t->numel == 0)
      return mt__op_fail(f, MT_ERR_VALUE,
                         "Can not infer total number of classes from empty tensor.");
    MT_TRY(mt_amax(&most, t, MT_INTS_NONE, false));
    MT_TRY(mt_item(most, &is_float, &classes, &x));
    if (classes < 1) classes = 1; /* the check names the bad one */
  }
  if (t->device == MT_CPU) MT_TRY(mt__check_positions(f, t, t->ndim, classes, false));
  memcpy(sizes, t->sizes, sizeof t->sizes);
  sizes[t->ndim] = classes;
  MT_AUTO *zeros = NULL, *index = NULL;
  MT_TRY(mt_zeros(&zeros, (mt_ints){t->ndim + 1, sizes}, MT_INT64, t->device, false));
  MT_TRY(mt_unsqueeze(&index, t, t->ndim));
  MT_TRY(mt_scatter_(zeros, t->ndim, index, mt__arg_i(1)));
  f->out[0] = mt_retain(zeros);
  return MT_OK;
}

/* ---- _gather_rows: rows with conversion and scaling in one pass ---- */

static int rows_plan(mt_frame *f, mt_plan *p) {
  return mt__plan_dim(p, f, mt__t(f, 0), 0, mt__t(f, 1), "index");
}

static int rows_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  const mt_arg *dtype = &f->args[2];
  mt_plan p;
  MT_TRY(mt__want_ndim(f, "self", self, 1, MT_MAX_DIMS));
  MT_TRY(rows_plan(f, &p));
  int to = dtype->kind == MT_NONE ? self->dtype : (int)dtype->u.i;
  if (!mt__is_float(to) && (f->args[3].u.f != 1 || f->args[4].u.f != 0))
    return mt__op_fail(f, MT_ERR_DTYPE, "scale and shift want a floating dtype, got %s",
                       mt_dtype_name(to));
  return mt__out(f, 0, to, self->device, p.ndim, p.sizes);
}

typedef struct rows_ctx {
  const mt_tensor *self, *index, *out;
  mt_walk inner; /* operands: out, self */
  float scale, shift;
  double scale64, shift64;
  bool plain; /* no scale, no shift */
  char *dst;
  const char *src;
} rows_ctx;

enum { BLOCK = 512 };

static void rows_piece(void *p, const int64_t *off, int64_t n) {
  const rows_ctx *c = p;
  int from = c->self->dtype, to = c->out->dtype, last = c->inner.ndim - 1;
  int64_t ds = c->inner.strides[0][last], ss = c->inner.strides[1][last];
  char *dst = c->dst + off[0] * mt__esize(to);
  const char *src = c->src + off[1] * mt__esize(from);
  if (ds == 1 && ss == 1 && to == MT_FLOAT32 && from == MT_UINT8) {
    mt__kern_index()->scale_u8((float *)dst, (const uint8_t *)src, n, c->scale, c->shift);
    return;
  }
  if (ds == 1 && ss == 1 && to == MT_FLOAT32 && from == MT_FLOAT32) {
    mt__kern_index()->scale_f32((float *)dst, (const float *)src, n, c->scale, c->shift);
    return;
  }
  if (c->plain) {
    mt__convert(dst, to, ds, src, from, ss, n);
    return;
  }
  for (int64_t i = 0; i < n; i += BLOCK) {
    int64_t m = n - i < BLOCK ? n - i : BLOCK;
    char *d = dst + i * ds * mt__esize(to);
    const char *s = src + i * ss * mt__esize(from);
    if (to == MT_FLOAT64) {
      double wide[BLOCK];
      mt__convert((char *)wide, MT_FLOAT64, 1, s, from, ss, m);
      for (int64_t k = 0; k < m; k++) wide[k] = wide[k] * c->scale64 + c->shift64;
      mt__convert(d, to, ds, (char *)wide, MT_FLOAT64, 1, m);
    } else {
      float wide[BLOCK];
      mt__convert((char *)wide, MT_FLOAT32, 1, s, from, ss, m);
      for (int64_t k = 0; k < m; k++) wide[k] = wide[k] * c->scale + c->shift;
      mt__convert(d, to, ds, (char *)wide, MT_FLOAT32, 1, m);
    }
  }
}

static void rows_range(void *p, int64_t begin, int64_t end) {
  rows_ctx c = *(rows_ctx *)p;
  int64_t step = c.self->strides[0];
  int itype = c.index->dtype;
  int64_t rows[64], is = c.index->ndim ? c.index->strides[0] : 0;
  size_t bytes = (size_t)(c.inner.numel * mt__esize(c.self->dtype));
  for (int64_t i = begin; i < end; i++) {
    int64_t k = (i - begin) % 64, left = end - i < 64 ? end - i : 64;
    if (k == 0)
      mt__load_positions(rows, mt__ptr(c.index) + i * is * mt__esize(itype), itype, is, left);
    c.src = mt__ptr(c.self) + (rows[k] - 1) * step * mt__esize(c.self->dtype);
    if (k < 63 && i + 1 < end)
      mt__prefetch(mt__ptr(c.self) + (rows[k + 1] - 1) * step * mt__esize(c.self->dtype), bytes);
    c.dst = mt__ptr(c.out) + i * c.out->strides[0] * mt__esize(c.out->dtype);
    mt__walk_range(&c.inner, 0, c.inner.numel, rows_piece, &c);
  }
}

static int rows_run(mt_frame *f) {
  rows_ctx c = {.self = mt__t(f, 0),
                .index = mt__t(f, 1),
                .out = f->out[0],
                .scale64 = f->args[3].u.f,
                .shift64 = f->args[4].u.f};
  mt_plan p;
  MT_TRY(rows_plan(f, &p));
  c.scale = (float)c.scale64;
  c.shift = (float)c.shift64;
  c.plain = c.scale64 == 1 && c.shift64 == 0;
  if (c.plain && c.out->dtype == c.self->dtype) return mt__plan_gather(&p, f, c.self, c.out);
  MT_TRY(mt__plan_check(&p, f));
  if (c.out->numel == 0) return MT_OK;
  mt__walk_init(&c.inner, 2);
  for (int d = 1; d < c.self->ndim; d++)
    mt__walk_dim(&c.inner, c.self->sizes[d], c.out->strides[d], c.self->strides[d], 0);
  mt__walk_fold(&c.inner);
  return mt__parallel_range(p.positions, MT_COPY_GRAIN / 2 / c.inner.numel + 1, rows_range, &c);
}

static int rows_vjp(mt_vjp *v) {
  const mt_tensor *self = v->args[0].u.t;
  if (!v->need[0]) return MT_OK;
  MT_AUTO *g = NULL, *like = NULL, *sum = NULL;
  MT_TRY(mt_mul(&g, mt__arg_t(v->g[0]), mt__arg_f(v->args[3].u.f)));
  MT_TRY(mt__sum_buffer(&sum, &g, self));
  MT_TRY(mt__cast(&like, g, sum->dtype)); /* out may have another dtype than self */
  MT_TRY(mt_index_add_(sum, 0, v->args[1].u.t, like, mt__arg_i(1)));
  v->gin[0] = mt_retain(sum);
  return MT_OK;
}

/* ---- nonzero ---- */

enum { CHUNK = 65536 };

static void flags_of(uint8_t *flag, const char *p, int dtype, int64_t stride, int64_t n) {
  mt__kern_index()->flags[mt__size_place(mt__esize(dtype))](flag, p, stride, n,
                                                            mt__is_float(dtype));
}

typedef struct count_ctx {
  const mt_tensor *self;
  mt_walk w;
  _Atomic int64_t total;
  int64_t *counts; /* of each chunk, then where each chunk begins */
} count_ctx;

typedef struct count_part {
  const count_ctx *c;
  int64_t n;
} count_part;

static void count_piece(void *p, const int64_t *off, int64_t n) {
  count_part *part = p;
  const mt_tensor *self = part->c->self;
  int esize = mt__esize(self->dtype);
  int64_t stride = part->c->w.strides[0][part->c->w.ndim - 1];
  const char *src = mt__ptr(self) + off[0] * esize;
  uint8_t flag[BLOCK];
  if (esize == 1 && stride == 1) {
    part->n += mt__kern_index()->count_true((const uint8_t *)src, n);
    return;
  }
  for (int64_t i = 0; i < n; i += BLOCK) {
    int64_t m = n - i < BLOCK ? n - i : BLOCK;
    flags_of(flag, src + i * stride * esize, self->dtype, stride, m);
    part->n += mt__kern_index()->count_true(flag, m);
  }
}

static void count_range(void *p, int64_t begin, int64_t end) {
  count_ctx *c = p;
  count_part part = {.c = c};
  mt__walk_range(&c->w, begin, end, count_piece, &part);
  c->total += part.n;
  if (c->counts) c->counts[begin / CHUNK] = part.n;
}

static int count_all(count_ctx *c) {
  mt__walk_init(&c->w, 1);
  for (int d = 0; d < c->self->ndim; d++)
    mt__walk_dim(&c->w, c->self->sizes[d], c->self->strides[d], 0, 0);
  mt__walk_fold(&c->w);
  return mt__parallel_range(c->self->numel, CHUNK, count_range, c);
}

static int nonzero_infer(mt_frame *f) {
  const mt_tensor *self = mt__t(f, 0);
  count_ctx c = {.self = self};
  if (self->device != MT_CPU)
    return mt__op_fail(f, MT_ERR_DEVICE, "a tensor of the meta device has no values to count");
  if (self->numel > 0) MT_TRY(count_all(&c));
  int64_t sizes[2] = {c.total, self->ndim};
  f->work_bytes = (size_t)(self->numel / CHUNK + 1) * sizeof(int64_t);
  return mt__out(f, 0, MT_INT64, MT_CPU, 2, sizes);
}

typedef struct nonzero_ctx {
  count_ctx *c;
  int64_t *out;
} nonzero_ctx;

static void nonzero_range(void *p, int64_t begin, int64_t end) {
  const nonzero_ctx *z = p;
  const mt_tensor *self = z->c->self;
  int n = self->ndim, last = n - 1, esize = mt__esize(self->dtype);
  int64_t *out = z->out + z->c->counts[begin / CHUNK] * n, at[MT_MAX_DIMS];
  int64_t found[BLOCK];
  uint8_t flag[BLOCK];
  for (int64_t pos = begin; pos < end;) {
    int64_t rest = pos, off = 0;
    for (int d = last; d >= 0; d--) {
      at[d] = rest % self->sizes[d];
      rest /= self->sizes[d];
      off += at[d] * self->strides[d];
    }
    int64_t m = self->sizes[last] - at[last];
    if (m > end - pos) m = end - pos;
    if (m > BLOCK) m = BLOCK;
    flags_of(flag, mt__ptr(self) + off * esize, self->dtype, self->strides[last], m);
    int64_t count = 0;
    for (int64_t i = 0; i < m; i++) { /* no branch: a mask is often random */
      found[count] = at[last] + i + 1;
      count += flag[i];
    }
    if (n == 1) {
      memcpy(out, found, (size_t)count * sizeof *out);
      out += count;
    } else {
      for (int64_t i = 0; i < count; i++) {
        for (int d = 0; d < last; d++) *out++ = at[d] + 1;
        *out++ = found[i];
      }
    }
    pos += m;
  }
}

static int nonzero_run(mt_frame *f) {
  count_ctx c = {.self = mt__t(f, 0), .counts = f->work};
  if (f->out[0]->numel == 0) return MT_OK;
  MT_TRY(count_all(&c));
  int64_t sum = 0, chunks = (c.self->numel + CHUNK - 1) / CHUNK;
  for (int64_t i = 0; i < chunks; i++) {
    int64_t n = c.counts[i];
    c.counts[i] = sum;
    sum += n;
  }
  nonzero_ctx z = {.c = &c, .out = (int64_t *)mt__ptr(f->out[0])};
  return mt__parallel_range(c.self->numel, CHUNK, nonzero_range, &z);
}

/* How many there are must be known on the host; another device's tensor is brought there. */
static int nonzero(mt_frame *f) {
  mt_tensor *self = mt__t(f, 0);
  if (self->device == MT_CPU || self->device == MT_META) return mt__nonzero(&f->out[0], self);
  MT_AUTO *host = NULL, *found = NULL;
  MT_TRY(mt__to_copy(&host, self, self->dtype, MT_CPU));
  MT_TRY(mt__nonzero(&found, host));
  return mt__to_copy(&f->out[0], found, MT_INT64, self->device);
}

static int where_outputs(int *n, const mt_op *op, const mt_arg *args) {
  (void)op;
  int ndim = args[0].u.t->ndim;
  *n = ndim ? ndim : 1;
  return MT_OK;
}

static int where_condition(mt_frame *f) {
  mt_tensor *t = mt__t(f, 0);
  MT_AUTO *wide = NULL, *found = NULL;
  if (t->ndim == 0) MT_TRY(mt_unsqueeze(&wide, t, 0));
  MT_TRY(mt_nonzero(&found, wide ? wide : t));
  for (int k = 0; k < (t->ndim ? t->ndim : 1); k++) {
    mt_tensor *column = NULL;
    MT_TRY(mt_select(&column, found, 1, k + 1));
    mt__result(f, k, column);
  }
  return MT_OK;
}

const mt_opdef mt__ops_embed[] = {
    {.sig = MT_SIG("embedding(Tensor input, Tensor weight, index? padding_idx=None, *, "
                   "bool scale_grad_by_freq=false) -> Tensor"),
     .doc = "Rows of weight by number; the row padding_idx gets no gradient.",
     .infer = embedding_infer,
     .run = embedding_run,
     .vjp = embedding_vjp,
     .saves = "weight:input",
     .flags = MT_OP_FUNCTIONAL,
     .samples = "{idx(4,3), f(4,2)}, {idx(4,2,3), f(4,2)}, {idx(3,5), f(4,2), 4}, "
                "{idx(4,1), f(4,2), {scale_grad_by_freq=true}}, {idx(4), f(4,2)}, "
                "{idx(4,0), f(4,2)}, {idx(4,3), t(f(2,4))}"},
    {.sig = MT_SIG("one_hot(Tensor tensor, int num_classes=-1) -> Tensor"),
     .doc = "A last dimension of num_classes with 1 at the class's position, 0 elsewhere.",
     .composite = one_hot,
     .flags = MT_OP_FUNCTIONAL | MT_OP_NO_AUTOGRAD,
     .samples = "{idx(4,3), 4}, {idx(4,2,3)}, {idx(4), 5}, {idx(4,0), 3}"},
    {.sig = MT_SIG("_gather_rows(Tensor self, Tensor index, dtype? dtype=None, float scale=1, "
                   "float shift=0) -> Tensor"),
     .doc = "Slices of the first dimension by number, converted, scaled and shifted.",
     .infer = rows_infer,
     .run = rows_run,
     .vjp = rows_vjp,
     .saves = "self:index",
     .dtypes = MT_D_ALL,
     .flags = MT_OP_HIDDEN,
     .samples = "{f(4,3), idx(4,5)}, {f(4,2,2), idx(4,3), nil, 0.5, 1}, {t(f(3,4)), idx(4,2), nil, "
                "2}, {f(4), idx(4,6)}"},
    {.sig = MT_SIG("_nonzero(Tensor self) -> Tensor"),
     .doc = "Positions of what is not zero, of a tensor in the host's memory.",
     .infer = nonzero_infer,
     .run = nonzero_run,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_HIDDEN | MT_OP_READS | MT_OP_NO_AUTOGRAD},
    {.sig = MT_SIG("nonzero(Tensor self) -> Tensor"),
     .doc = "Positions of the elements that are not zero, one row each.",
     .composite = nonzero,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{b(3,4)}, {f(2,3)}, {i(5)}, {t(b(3,4))}, {b()}, {b(0,3)}"},
    {.sig = MT_SIG("where.condition(Tensor condition) -> Tensor[]"),
     .doc = "Positions of the elements that are not zero, one tensor for each dimension.",
     .composite = where_condition,
     .outputs = where_outputs,
     .dtypes = MT_D_ALL,
     .flags = MT_OP_NO_AUTOGRAD,
     .samples = "{b(3,4)}, {b(5)}, {f(2,3)}"},
    {0}};
