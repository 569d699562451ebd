/* matmul.c: matrix products of every rank.
 *
 * mm, linear and _matmul_tn are each other's derivatives (A B, A B', A' B), so that first and
 * higher derivatives of a layer take one product each and transpose nothing. */
#include <string.h>

#include "moontorch_ops.h"

#include "formula.h"
#include "matrix.h"

static const mt_arg none = {.kind = MT_NONE};

/* ---- checks ---- */

static int same_dtype(const mt_frame *f, const mt_tensor *a, const mt_tensor *b) {
  static const char *const words[MT_NDTYPES] = {
      "bool",     "unsigned char", "signed char", "short int", "int",
      "long int", "half",          "bfloat16",    "float",     "double"};
  if (a->dtype == b->dtype) return MT_OK;
  return mt__op_fail(f, MT_ERR_DTYPE,
                     "expected m1 and m2 to have the same dtype, but got: %s != %s",
                     words[a->dtype], words[b->dtype]);
}

static int cannot_multiply(const mt_frame *f, int64_t m, int64_t k, int64_t k2, int64_t n) {
  return mt__op_fail(f, MT_ERR_SHAPE,
                     "mat1 and mat2 shapes cannot be multiplied (%lldx%lld and %lldx%lld)",
                     (long long)m, (long long)k, (long long)k2, (long long)n);
}

/* ---- description ---- */

/* a b for every rank that matmul takes; out need not have memory. */
static void describe(mt_products *p, const mt_tensor *a, const mt_tensor *b) {
  const bool fold = b->ndim <= 2 && a->ndim > 1; /* one matrix for all of a's rows */
  p->nbatch = 0;
  p->bias = p->input = NULL;
  p->alpha = p->beta = none;
  if (fold)
    mt__side_rows(&p->a, a);
  else
    mt__side_matrix(&p->a, a, false);
  mt__side_matrix(&p->b, b, true);
  p->m = p->a.rows, p->k = p->a.cols, p->n = p->b.cols;
  if (fold) return;
  const int la = a->ndim - 2 > 0 ? a->ndim - 2 : 0, lb = b->ndim - 2 > 0 ? b->ndim - 2 : 0;
  p->nbatch = la > lb ? la : lb;
  for (int d = 0; d < p->nbatch; d++) {
    const int da = d - (p->nbatch - la), db = d - (p->nbatch - lb);
    const int64_t na = da >= 0 ? a->sizes[da] : 1, nb = db >= 0 ? b->sizes[db] : 1;
    p->sizes[d] = na == 1 ? nb : na;
    p->a.batch[d] = na == 1 ? 0 : a->strides[da];
    p->b.batch[d] = nb == 1 ? 0 : b->strides[db];
  }
}

/* C is `out`, whose rows and columns are the product's. */
static void describe_out(mt_products *p, const mt_tensor *out) {
  mt_side *c = &p->c;
  c->t = out;
  c->rows = p->m, c->cols = p->n;
  c->row_stride = p->n > 0 ? p->n : 1, c->col_stride = 1;
  int64_t step = p->m * p->n;
  for (int d = p->nbatch - 1; d >= 0; d--) {
    c->batch[d] = step;
    step *= p->sizes[d];
  }
  if (mt__is_contiguous(out)) return; /* else it is written in place: a plain matrix or batch */
  const int d = out->ndim - 2;
  c->row_stride = out->strides[d < 0 ? 0 : d];
  c->col_stride = d < 0 ? 1 : out->strides[d + 1];
  for (int i = 0; i < p->nbatch; i++) c->batch[i] = out->strides[i];
}

static int finish_infer(mt_frame *f, mt_products *p) {
  if (f->out[0]->device != MT_CPU) return MT_OK;
  describe_out(p, f->out[0]);
  mt__products_plan(f, p);
  return MT_OK;
}

static int run_products(mt_frame *f, mt_products *p) {
  describe_out(p, f->out[0]);
  mt__products_plan(f, p);
  return mt__products_run(f, p);
}

/* ---- mm, bmm, mv, matmul ---- */

static int mm_infer(mt_frame *f) {
  mt_tensor *a = f->args[0].u.t, *b = f->args[1].u.t;
  mt_products p;
  if (a->ndim != 2)
    return mt__op_fail(f, MT_ERR_SHAPE, "self must be a matrix, got %d-D tensor", a->ndim);
  if (b->ndim != 2)
    return mt__op_fail(f, MT_ERR_SHAPE, "mat2 must be a matrix, got %d-D tensor", b->ndim);
  MT_TRY(same_dtype(f, a, b));
  if (a->sizes[1] != b->sizes[0])
    return cannot_multiply(f, a->sizes[0], a->sizes[1], b->sizes[0], b->sizes[1]);
  MT_TRY(mt__out(f, 0, a->dtype, a->device, 2, (int64_t[]){a->sizes[0], b->sizes[1]}));
  describe(&p, a, b);
  return finish_infer(f, &p);
}

static int plain_run(mt_frame *f) {
  mt_products p;
  describe(&p, f->args[0].u.t, f->args[1].u.t);
  return run_products(f, &p);
}

static int bmm_shapes(mt_frame *f, const mt_tensor *a, const mt_tensor *b) {
  if (a->ndim != 3) return mt__op_fail(f, MT_ERR_SHAPE, "batch1 must be a 3D tensor");
  if (b->ndim != 3) return mt__op_fail(f, MT_ERR_SHAPE, "batch2 must be a 3D tensor");
  MT_TRY(same_dtype(f, a, b));
  if (a->sizes[0] != b->sizes[0] || a->sizes[2] != b->sizes[1])
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "Expected size for first two dimensions of batch2 tensor to be: {%lld, "
                       "%lld} but got: {%lld, %lld}",
                       (long long)a->sizes[0], (long long)a->sizes[2], (long long)b->sizes[0],
                       (long long)b->sizes[1]);
  return MT_OK;
}

static int bmm_infer(mt_frame *f) {
  mt_tensor *a = f->args[0].u.t, *b = f->args[1].u.t;
  mt_products p;
  MT_TRY(bmm_shapes(f, a, b));
  MT_TRY(mt__out(f, 0, a->dtype, a->device, 3, (int64_t[]){a->sizes[0], a->sizes[1], b->sizes[2]}));
  describe(&p, a, b);
  return finish_infer(f, &p);
}

static int mv_infer(mt_frame *f) {
  mt_tensor *a = f->args[0].u.t, *b = f->args[1].u.t;
  mt_products p;
  if (a->ndim != 2 || b->ndim != 1)
    return mt__op_fail(f, MT_ERR_SHAPE, "matrix @ vector expected, got %d-D and %d-D tensors",
                       a->ndim, b->ndim);
  MT_TRY(same_dtype(f, a, b));
  if (a->sizes[1] != b->sizes[0])
    return mt__op_fail(f, MT_ERR_SHAPE, "size mismatch, got mat (%lldx%lld), vec (%lld)",
                       (long long)a->sizes[0], (long long)a->sizes[1], (long long)b->sizes[0]);
  MT_TRY(mt__out(f, 0, a->dtype, a->device, 1, a->sizes));
  describe(&p, a, b);
  return finish_infer(f, &p);
}

static int matmul_infer(mt_frame *f) {
  mt_tensor *a = f->args[0].u.t, *b = f->args[1].u.t;
  int64_t sizes[MT_MAX_DIMS];
  mt_products p;
  if (a->ndim == 0 || b->ndim == 0)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "both arguments to matmul need to be at least 1D, but they are %dD and %dD",
                       a->ndim, b->ndim);
  MT_TRY(same_dtype(f, a, b));
  const int64_t k = a->sizes[a->ndim - 1], k2 = b->sizes[b->ndim > 1 ? b->ndim - 2 : 0];
  if (k != k2) {
    if (a->ndim == 1 && b->ndim == 1)
      return mt__op_fail(f, MT_ERR_SHAPE,
                         "inconsistent tensor size, expected tensor {%lld} and src {%lld} to have "
                         "the same number of elements, but got %lld and %lld elements respectively",
                         (long long)k, (long long)k2, (long long)k, (long long)k2);
    return cannot_multiply(f, a->ndim > 1 ? a->sizes[a->ndim - 2] : 1, k, k2,
                           b->ndim > 1 ? b->sizes[b->ndim - 1] : 1);
  }
  const int la = a->ndim - 2 > 0 ? a->ndim - 2 : 0, lb = b->ndim - 2 > 0 ? b->ndim - 2 : 0;
  int nd = la > lb ? la : lb;
  for (int d = 0; d < nd; d++) {
    const int64_t na = d >= nd - la ? a->sizes[d - (nd - la)] : 1;
    const int64_t nb = d >= nd - lb ? b->sizes[d - (nd - lb)] : 1;
    if (na != nb && na != 1 && nb != 1)
      return mt__op_fail(f, MT_ERR_SHAPE,
                         "The size of tensor a (%lld) must match the size of tensor b (%lld) at "
                         "non-singleton dimension %d",
                         (long long)na, (long long)nb, d + 1);
    sizes[d] = na == 1 ? nb : na;
  }
  if (a->ndim > 1) sizes[nd++] = a->sizes[a->ndim - 2];
  if (b->ndim > 1) sizes[nd++] = b->sizes[b->ndim - 1];
  MT_TRY(mt__out(f, 0, a->dtype, a->device, nd, sizes));
  describe(&p, a, b);
  return finish_infer(f, &p);
}

/* For C = A B: gA = g B', gB = A' g, summed over what was broadcast. */
static int matmul_vjp(mt_vjp *v) {
  mt_tensor *a = v->args[0].u.t, *b = v->args[1].u.t, *g = v->g[0];
  if (a->ndim > 1 && b->ndim == 2) {
    if (v->need[0]) MT_TRY(mt_linear(&v->gin[0], g, b, NULL));
    if (v->need[1]) MT_TRY(mt__matmul_tn(&v->gin[1], a, g));
    return MT_OK;
  }
  if (a->ndim == 1 && b->ndim == 1) {
    if (v->need[0]) MT_TRY(mt__f_mul(&v->gin[0], g, b));
    if (v->need[1]) MT_TRY(mt__f_mul(&v->gin[1], g, a));
    return MT_OK;
  }
  if (b->ndim == 1) { /* (.., m, k) (k) -> (.., m) */
    MT_AUTO *column = NULL, *gb = NULL;
    MT_TRY(mt_unsqueeze(&column, g, -1));
    if (v->need[0]) MT_TRY(mt__f_mul(&v->gin[0], column, b));
    if (!v->need[1]) return MT_OK;
    MT_TRY(mt__matmul_tn(&gb, a, column));
    return mt_squeeze(&v->gin[1], gb, MT_INTS_OF(1));
  }
  if (a->ndim == 1) { /* (k) (.., k, n) -> (.., n) */
    if (v->need[0]) {
      MT_AUTO *column = NULL, *ga = NULL, *flat = NULL;
      MT_TRY(mt_unsqueeze(&column, g, -1));
      MT_TRY(mt_matmul(&ga, b, column));
      MT_TRY(mt_squeeze(&flat, ga, MT_INTS_OF(-1)));
      MT_TRY(mt__sum_to(&v->gin[0], flat, a));
    }
    if (v->need[1]) {
      MT_AUTO *column = NULL, *row = NULL;
      MT_TRY(mt_unsqueeze(&column, a, -1));
      MT_TRY(mt_unsqueeze(&row, g, -2));
      MT_TRY(mt__f_mul(&v->gin[1], column, row));
    }
    return MT_OK;
  }
  if (v->need[0]) {
    MT_AUTO *bt = NULL, *ga = NULL;
    MT_TRY(mt_transpose(&bt, b, -2, -1));
    MT_TRY(mt_matmul(&ga, g, bt));
    MT_TRY(mt__sum_to(&v->gin[0], ga, a));
  }
  if (v->need[1]) {
    MT_AUTO *at = NULL, *gb = NULL;
    MT_TRY(mt_transpose(&at, a, -2, -1));
    MT_TRY(mt_matmul(&gb, at, g));
    MT_TRY(mt__sum_to(&v->gin[1], gb, b));
  }
  return MT_OK;
}

/* ---- dot ---- */

static int dot_infer(mt_frame *f) {
  mt_tensor *a = f->args[0].u.t, *b = f->args[1].u.t;
  mt_products p;
  if (a->ndim != 1 || b->ndim != 1)
    return mt__op_fail(f, MT_ERR_SHAPE, "1D tensors expected, but got %dD and %dD tensors", a->ndim,
                       b->ndim);
  if (a->dtype != b->dtype)
    return mt__op_fail(f, MT_ERR_DTYPE,
                       "expected both vectors to have same dtype, but found %s and %s",
                       mt_dtype_name(a->dtype), mt_dtype_name(b->dtype));
  if (a->numel != b->numel)
    return mt__op_fail(
        f, MT_ERR_SHAPE,
        "inconsistent tensor size, expected tensor {%lld} and src {%lld} to have the "
        "same number of elements, but got %lld and %lld elements respectively",
        (long long)a->numel, (long long)b->numel, (long long)a->numel, (long long)b->numel);
  MT_TRY(mt__out(f, 0, a->dtype, a->device, 0, NULL));
  describe(&p, a, b);
  return finish_infer(f, &p);
}

/* ---- linear, _matmul_tn ---- */

/* x (.., k) times w' where w is (n, k); rows of x are one dimension. */
static void describe_linear(mt_products *p, const mt_tensor *x, const mt_tensor *w,
                            const mt_tensor *bias) {
  p->nbatch = 0;
  p->input = NULL;
  p->alpha = p->beta = none;
  p->bias = bias;
  mt__side_rows(&p->a, x);
  p->b.t = w;
  p->b.flipped = true;
  p->b.rows = w->sizes[1], p->b.cols = w->sizes[0];
  p->b.row_stride = w->strides[1], p->b.col_stride = w->strides[0];
  p->m = p->a.rows, p->k = p->a.cols, p->n = p->b.cols;
}

static int linear_infer(mt_frame *f) {
  mt_tensor *x = f->args[0].u.t, *w = f->args[1].u.t, *bias = mt__t(f, 2);
  mt_products p;
  int64_t sizes[MT_MAX_DIMS];
  if (w->ndim != 2)
    return mt__op_fail(f, MT_ERR_SHAPE, "weight must have 2 dimensions, got %d", w->ndim);
  if (x->ndim == 0) return mt__op_fail(f, MT_ERR_SHAPE, "input must have at least 1 dimension");
  if (x->sizes[x->ndim - 1] != w->sizes[1])
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "input has %lld features in its last dimension, weight wants %lld",
                       (long long)x->sizes[x->ndim - 1], (long long)w->sizes[1]);
  MT_TRY(same_dtype(f, x, w));
  if (bias) {
    if (bias->ndim != 1 || bias->sizes[0] != w->sizes[0]) {
      char text[128];
      return mt__op_fail(f, MT_ERR_SHAPE, "bias must have one dimension of size %lld, got %s",
                         (long long)w->sizes[0],
                         mt__shape_text(text, sizeof text, bias->ndim, bias->sizes));
    }
    if (bias->dtype != x->dtype)
      return mt__op_fail(f, MT_ERR_DTYPE, "bias must have the input's dtype %s, got %s",
                         mt_dtype_name(x->dtype), mt_dtype_name(bias->dtype));
  }
  memcpy(sizes, x->sizes, (size_t)x->ndim * sizeof *sizes);
  sizes[x->ndim - 1] = w->sizes[0];
  MT_TRY(mt__out(f, 0, x->dtype, x->device, x->ndim, sizes));
  describe_linear(&p, x, w, bias);
  return finish_infer(f, &p);
}

static int linear_run(mt_frame *f) {
  mt_products p;
  describe_linear(&p, f->args[0].u.t, f->args[1].u.t, mt__t(f, 2));
  return run_products(f, &p);
}

static int linear_vjp(mt_vjp *v) {
  mt_tensor *x = v->args[0].u.t, *w = v->args[1].u.t, *g = v->g[0];
  if (v->need[0]) MT_TRY(mt_matmul(&v->gin[0], g, w));
  if (v->need[1]) MT_TRY(mt__matmul_tn(&v->gin[1], g, x));
  if (v->nslots > 2 && v->need[2]) MT_TRY(mt__sum_to(&v->gin[2], g, v->args[2].u.t));
  return MT_OK;
}

/* a (.., m) and b (.., n) -> (m, n): the transposed rows of a times the rows of b. */
static void describe_tn(mt_products *p, const mt_tensor *a, const mt_tensor *b) {
  p->nbatch = 0;
  p->bias = p->input = NULL;
  p->alpha = p->beta = none;
  mt__side_rows(&p->a, a);
  mt__side_rows(&p->b, b);
  const mt_side rows = p->a;
  p->k = rows.rows, p->m = rows.cols, p->n = p->b.cols;
  p->a.flipped = true;
  p->a.rows = rows.cols, p->a.cols = rows.rows;
  p->a.row_stride = rows.col_stride, p->a.col_stride = rows.row_stride;
}

static int tn_infer(mt_frame *f) {
  mt_tensor *a = f->args[0].u.t, *b = f->args[1].u.t;
  mt_products p;
  if (a->ndim == 0 || a->ndim != b->ndim ||
      memcmp(a->sizes, b->sizes, (size_t)(a->ndim - 1) * sizeof *a->sizes) != 0)
    return mt__op_fail(f, MT_ERR_SHAPE, "leading dimensions must be equal");
  MT_TRY(same_dtype(f, a, b));
  MT_TRY(mt__out(f, 0, a->dtype, a->device, 2,
                 (int64_t[]){a->sizes[a->ndim - 1], b->sizes[b->ndim - 1]}));
  describe_tn(&p, a, b);
  return finish_infer(f, &p);
}

static int tn_run(mt_frame *f) {
  mt_products p;
  describe_tn(&p, f->args[0].u.t, f->args[1].u.t);
  return run_products(f, &p);
}

static int tn_vjp(mt_vjp *v) {
  mt_tensor *a = v->args[0].u.t, *b = v->args[1].u.t, *g = v->g[0];
  if (v->need[0]) MT_TRY(mt_linear(&v->gin[0], b, g, NULL));
  if (v->need[1]) MT_TRY(mt_matmul(&v->gin[1], a, g));
  return MT_OK;
}

/* ---- addmm, baddbmm, addmv ---- */

static int check_scale(const mt_frame *f, const char *name, const mt_arg *a, int dtype) {
  if (!mt__is_float(dtype) && a->kind == MT_FLOAT)
    return mt__op_fail(
        f, MT_ERR_DTYPE,
        "For integral input tensors, argument %s must not be a floating point number.", name);
  return MT_OK;
}

static int expand_error(const mt_frame *f, const mt_tensor *t, int nd, const int64_t *sizes) {
  char target[128], own[128];
  mt__shape_text(target, sizeof target, nd, sizes);
  mt__shape_text(own, sizeof own, t->ndim, t->sizes);
  const int lead = nd - t->ndim;
  for (int d = nd - 1; d >= 0 && d >= lead && lead >= 0; d--) {
    const int64_t n = t->sizes[d - lead];
    if (n != 1 && n != sizes[d])
      return mt__op_fail(
          f, MT_ERR_SHAPE,
          "The expanded size of the tensor (%lld) must match the existing size (%lld) "
          "at non-singleton dimension %d. Target sizes: %s. Tensor sizes: %s",
          (long long)sizes[d], (long long)n, d + 1, target, own);
  }
  if (lead >= 0) return MT_OK;
  return mt__op_fail(f, MT_ERR_SHAPE,
                     "The number of sizes provided (%d) must be greater or equal to the number of "
                     "dimensions in the tensor (%d). Target sizes: %s. Tensor sizes: %s",
                     nd, t->ndim, target, own);
}

static void describe_added(const mt_frame *f, mt_products *p) {
  describe(p, f->args[1].u.t, f->args[2].u.t);
  p->input = f->args[0].u.t;
  p->beta = f->args[3];
  p->alpha = f->args[4];
}

static int added_infer(mt_frame *f, int nd, const int64_t *sizes) {
  mt_tensor *input = f->args[0].u.t, *a = f->args[1].u.t, *b = f->args[2].u.t;
  mt_products p;
  MT_TRY(same_dtype(f, a, b));
  if (input->dtype != a->dtype)
    return mt__op_fail(f, MT_ERR_DTYPE, "input must have the matrices' dtype %s, got %s",
                       mt_dtype_name(a->dtype), mt_dtype_name(input->dtype));
  MT_TRY(check_scale(f, "beta", &f->args[3], a->dtype));
  MT_TRY(check_scale(f, "alpha", &f->args[4], a->dtype));
  MT_TRY(expand_error(f, input, nd, sizes));
  MT_TRY(mt__out(f, 0, a->dtype, a->device, nd, sizes));
  if (f->out[0]->device != MT_CPU) return MT_OK;
  /* In place, out becomes the input, whose strides say whether its rows can be written. */
  describe_added(f, &p);
  describe_out(&p, f->form == MT_CALL_INPLACE ? input : f->out[0]);
  mt__products_plan(f, &p);
  return MT_OK;
}

static int addmm_infer(mt_frame *f) {
  mt_tensor *a = f->args[1].u.t, *b = f->args[2].u.t;
  if (a->ndim != 2)
    return mt__op_fail(f, MT_ERR_SHAPE, "mat1 must be a matrix, got %d-D tensor", a->ndim);
  if (b->ndim != 2)
    return mt__op_fail(f, MT_ERR_SHAPE, "mat2 must be a matrix, got %d-D tensor", b->ndim);
  if (a->sizes[1] != b->sizes[0])
    return cannot_multiply(f, a->sizes[0], a->sizes[1], b->sizes[0], b->sizes[1]);
  return added_infer(f, 2, (int64_t[]){a->sizes[0], b->sizes[1]});
}

static int baddbmm_infer(mt_frame *f) {
  mt_tensor *a = f->args[1].u.t, *b = f->args[2].u.t;
  MT_TRY(bmm_shapes(f, a, b));
  return added_infer(f, 3, (int64_t[]){a->sizes[0], a->sizes[1], b->sizes[2]});
}

static int addmv_infer(mt_frame *f) {
  mt_tensor *a = f->args[1].u.t, *b = f->args[2].u.t;
  if (a->ndim != 2 || b->ndim != 1)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "vector + matrix @ vector expected, got %d-D and %d-D tensors", a->ndim,
                       b->ndim);
  if (a->sizes[1] != b->sizes[0])
    return mt__op_fail(f, MT_ERR_SHAPE, "size mismatch, got mat (%lldx%lld), vec (%lld)",
                       (long long)a->sizes[0], (long long)a->sizes[1], (long long)b->sizes[0]);
  return added_infer(f, 1, a->sizes);
}

static int added_run(mt_frame *f) {
  mt_products p;
  describe_added(f, &p);
  return run_products(f, &p);
}

static int scaled(mt_tensor **out, mt_tensor *g, const mt_arg *by) {
  if (mt__num(by) == 1) {
    *out = mt_retain(g);
    return MT_OK;
  }
  return mt_mul(out, mt__arg_t(g), *by);
}

static int added_vjp(mt_vjp *v) {
  mt_tensor *input = v->args[0].u.t, *a = v->args[1].u.t, *b = v->args[2].u.t;
  MT_AUTO *g = NULL;
  if (v->need[0]) {
    MT_AUTO *h = NULL;
    MT_TRY(scaled(&h, v->g[0], &v->args[3]));
    MT_TRY(mt__sum_to(&v->gin[0], h, input));
  }
  if (!v->need[1] && !v->need[2]) return MT_OK;
  MT_TRY(scaled(&g, v->g[0], &v->args[4]));
  if (b->ndim == 1) {
    MT_AUTO *column = NULL, *gb = NULL;
    MT_TRY(mt_unsqueeze(&column, g, -1));
    if (v->need[1]) MT_TRY(mt__f_mul(&v->gin[1], column, b));
    if (!v->need[2]) return MT_OK;
    MT_TRY(mt__matmul_tn(&gb, a, column));
    return mt_squeeze(&v->gin[2], gb, MT_INTS_OF(1));
  }
  if (b->ndim == 2) {
    if (v->need[1]) MT_TRY(mt_linear(&v->gin[1], g, b, NULL));
    if (v->need[2]) MT_TRY(mt__matmul_tn(&v->gin[2], a, g));
    return MT_OK;
  }
  if (v->need[1]) {
    MT_AUTO *bt = NULL;
    MT_TRY(mt_transpose(&bt, b, 1, 2));
    MT_TRY(mt_bmm(&v->gin[1], g, bt));
  }
  if (v->need[2]) {
    MT_AUTO *at = NULL;
    MT_TRY(mt_transpose(&at, a, 1, 2));
    MT_TRY(mt_bmm(&v->gin[2], at, g));
  }
  return MT_OK;
}

/* ---- outer ---- */

static int outer(mt_frame *f) {
  static const char *const names[] = {"self", "vec2"};
  MT_AUTO *column = NULL;
  for (int i = 0; i < 2; i++)
    if (mt__t(f, i)->ndim != 1)
      return mt__op_fail(f, MT_ERR_SHAPE, "Expected 1-D argument %s, but got %d-D", names[i],
                         mt__t(f, i)->ndim);
  MT_TRY(mt_unsqueeze(&column, mt__t(f, 0), 1));
  return mt_mul(&f->out[0], mt__arg_t(column), f->args[1]);
}

const mt_opdef mt__ops_matmul[] = {
    {.sig = MT_SIG("matmul(Tensor self, Tensor other) -> Tensor"),
     .doc = "Matrix product of the last two dimensions; the others broadcast. A vector counts as a "
            "row on the left and as a column on the right.",
     .infer = matmul_infer,
     .run = plain_run,
     .vjp = matmul_vjp,
     .saves = "self:other other:self",
     .dtypes = MT_D_NUMBER,
     .samples =
         "{f(3,4), f(4,2)}, {f(4), f(4)}, {f(3,4), f(4)}, {f(4), f(4,3)}, "
         "{f(2,3,4), f(4,2)}, {f(2,3,4), f(2,4,2)}, {f(2,1,3,2), f(3,2,2)}, {f(2,3,2), f(2)}, "
         "{f(3), f(2,3,2)}, {t(f(4,3)), t(f(2,4))}, {f(0,3), f(3,2)}, {f(2,0), f(0,3)}"},
    {.sig = MT_SIG("mm(Tensor self, Tensor mat2) -> Tensor"),
     .doc = "Product of two matrices.",
     .infer = mm_infer,
     .run = plain_run,
     .vjp = matmul_vjp,
     .saves = "self:mat2 mat2:self",
     .dtypes = MT_D_NUMBER,
     .samples =
         "{f(3,4), f(4,2)}, {t(f(4,3)), f(4,2)}, {f(3,4), t(f(2,4))}, {t(f(4,3)), t(f(2,4))}, "
         "{f(0,3), f(3,2)}, {f(2,0), f(0,3)}, {f(1,5), f(5,1)}, {e(f(1,4),3,4), f(4,2)}"},
    {.sig = MT_SIG("bmm(Tensor self, Tensor mat2) -> Tensor"),
     .doc = "Products of two lists of matrices, one by one.",
     .infer = bmm_infer,
     .run = plain_run,
     .vjp = matmul_vjp,
     .saves = "self:mat2 mat2:self",
     .dtypes = MT_D_NUMBER,
     .samples = "{f(2,3,4), f(2,4,2)}, {t(f(2,4,3)), f(2,4,2)}, {f(2,3,4), t(f(2,2,4))}, "
                "{f(0,3,4), f(0,4,2)}, {f(2,3,0), f(2,0,2)}"},
    {.sig = MT_SIG("mv(Tensor self, Tensor vec) -> Tensor"),
     .doc = "Product of a matrix and a vector.",
     .infer = mv_infer,
     .run = plain_run,
     .vjp = matmul_vjp,
     .saves = "self:vec vec:self",
     .dtypes = MT_D_NUMBER,
     .samples = "{f(3,4), f(4)}, {t(f(4,3)), f(4)}, {f(0,3), f(3)}, {f(2,0), f(0)}"},
    {.sig = MT_SIG("dot(Tensor self, Tensor other) -> Tensor"),
     .doc = "Sum of the products of two vectors' elements.",
     .infer = dot_infer,
     .run = plain_run,
     .vjp = matmul_vjp,
     .saves = "self:other other:self",
     .dtypes = MT_D_NUMBER,
     .samples = "{f(5), f(5)}, {f(0), f(0)}, {f(1), f(1)}"},
    {.sig = MT_SIG("linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor"),
     .doc = "input weight' + bias over the last dimension; weight is (out, in).",
     .infer = linear_infer,
     .run = linear_run,
     .vjp = linear_vjp,
     .saves = "input:weight weight:input",
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_FUNCTIONAL,
     .samples = "{f(3,4), f(2,4), f(2)}, {f(3,4), f(2,4)}, {f(4), f(3,4), f(3)}, "
                "{f(2,3,4), f(2,4), f(2)}, {t(f(2,4,3)), f(2,4), f(2)}, {f(3,4), t(f(4,2)), f(2)}, "
                "{f(0,3), f(2,3), f(2)}, {f(3,0), f(2,0), f(2)}"},
    {.sig = MT_SIG("_matmul_tn(Tensor left, Tensor right) -> Tensor"),
     .doc = "left' right, all dimensions but the last being one: the gradient of a weight.",
     .infer = tn_infer,
     .run = tn_run,
     .vjp = tn_vjp,
     .saves = "left:right right:left",
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_HIDDEN,
     .samples = "{f(3,4), f(3,2)}, {f(2,3,4), f(2,3,2)}, {f(4), f(3)}, {f(0,4), f(0,2)}, "
                "{t(f(4,3)), t(f(2,3))}"},
    {.sig = MT_SIG("addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) "
                   "-> Tensor"),
     .doc = "beta self + alpha (mat1 mat2); self broadcasts; beta 0 ignores it.",
     .infer = addmm_infer,
     .run = added_run,
     .vjp = added_vjp,
     .saves = "mat1:mat2 mat2:mat1",
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_INPLACE,
     .samples =
         "{f(3,2), f(3,4), f(4,2)}, {f(2), f(3,4), f(4,2), {beta=2, alpha=3}}, "
         "{f(), f(3,4), f(4,2)}, {f(3,1), t(f(4,3)), f(4,2), {beta=0}}, "
         "{t(f(2,3)), f(3,4), t(f(2,4))}, {f(0,2), f(0,4), f(4,2)}, {f(3,2), f(3,0), f(0,2)}"},
    {.sig = MT_SIG("baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, "
                   "Scalar alpha=1) -> Tensor"),
     .doc = "beta self + alpha (batch1 batch2), one by one; self broadcasts.",
     .infer = baddbmm_infer,
     .run = added_run,
     .vjp = added_vjp,
     .saves = "batch1:batch2 batch2:batch1",
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_INPLACE,
     .samples = "{f(2,3,2), f(2,3,4), f(2,4,2)}, {f(3,1), f(2,3,4), f(2,4,2), {beta=2, alpha=3}}, "
                "{f(0,3,2), f(0,3,4), f(0,4,2)}"},
    {.sig = MT_SIG("addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) "
                   "-> Tensor"),
     .doc = "beta self + alpha (mat vec).",
     .infer = addmv_infer,
     .run = added_run,
     .vjp = added_vjp,
     .saves = "mat:vec vec:mat",
     .dtypes = MT_D_NUMBER,
     .flags = MT_OP_INPLACE,
     .samples =
         "{f(3), f(3,4), f(4)}, {f(1), f(3,4), f(4), {beta=2, alpha=3}}, {f(0), f(0,4), f(4)}"},
    {.sig = MT_SIG("outer(Tensor self, Tensor vec2) -> Tensor"),
     .doc = "Products of every element of one vector with every element of the other.",
     .composite = outer,
     .dtypes = MT_D_ALL,
     .samples = "{f(3), f(4)}, {f(0), f(2)}"},
    {.sig = MT_SIG("ger(Tensor self, Tensor vec2) -> Tensor"),
     .doc = "The former name of outer.",
     .composite = outer,
     .dtypes = MT_D_ALL,
     .samples = "{f(3), f(4)}"},
    {0}};
