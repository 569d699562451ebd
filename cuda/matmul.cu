// matmul.cu: matrix products: matmul, mm, bmm, mv, dot, linear, _matmul_tn, addmm, baddbmm, addmv.
//
// cuBLAS is opened at the first product (nothing is linked) and multiplies what lies well: one of
// a matrix' strides is 1. Its matrices are column-major, so C = A B is asked for as C' = B' A'.
// float32 is computed without TF32; float16 and bfloat16 are added up in float32. Without cuBLAS,
// for integers and for odd strides a plain tiled kernel serves.
#include <dlfcn.h>
#include <pthread.h>

#include "kit.cuh"

#ifndef MTC_BLAS_SYMBOL
static void *mtc_blas_library;
#define MTC_BLAS_SYMBOL(name) dlsym(mtc_blas_library, name)
#define MTC_BLAS_OPEN()       (mtc_blas_library = open_blas()) != NULL
static void *open_blas() {
  static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11",
                                      "libcublas.so", "/usr/local/cuda/lib64/libcublas.so"};
  for (const char *name : names)
    if (void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return lib;
  return NULL;
}
#else
#define MTC_BLAS_OPEN() true
#endif

namespace {

// ---- cuBLAS: the few functions, with their values spelled out ----

enum {
  OP_N = 0,
  OP_T = 1,
  R_32F = 0,
  R_64F = 1,
  R_16F = 2,
  R_16BF = 14,
  COMPUTE_32F = 68,
  COMPUTE_64F = 70,
  DEFAULT_ALGORITHM = -1,
  NO_REDUCED_SUMS = 16
};

struct blas {
  int (*create)(void **handle);
  int (*set_stream)(void *handle, cudaStream_t stream);
  int (*set_mode)(void *handle, int mode);
  int (*gemm)(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
              int atype, int lda, long long sa, const void *b, int btype, int ldb, long long sb,
              const void *beta, void *c, int ctype, int ldc, long long sc, int batch, int compute,
              int algorithm);
} cublas;
bool have_blas;
void *handles[MTC_MAX_DEVICES];
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // a handle has one stream at a time

void find_blas() {
  if (!(MTC_BLAS_OPEN())) return;
  cublas.create = (int (*)(void **))MTC_BLAS_SYMBOL("cublasCreate_v2");
  cublas.set_stream = (int (*)(void *, cudaStream_t))MTC_BLAS_SYMBOL("cublasSetStream_v2");
  cublas.set_mode = (int (*)(void *, int))MTC_BLAS_SYMBOL("cublasSetMathMode");
  *(void **)&cublas.gemm = MTC_BLAS_SYMBOL("cublasGemmStridedBatchedEx");
  have_blas = cublas.create && cublas.set_stream && cublas.set_mode && cublas.gemm;
}

void *handle_of(int device) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, find_blas);
  int ordinal = device - MT_CUDA;
  if (!have_blas) return NULL;
  pthread_mutex_lock(&lock);
  if (!handles[ordinal]) {
    if (cublas.create(&handles[ordinal]) != 0)
      handles[ordinal] = NULL;
    else
      cublas.set_mode(handles[ordinal], NO_REDUCED_SUMS);
  }
  pthread_mutex_unlock(&lock);
  return handles[ordinal];
}

int blas_type(int dtype) {
  switch (dtype) {
  case MT_FLOAT32:
    return R_32F;
  case MT_FLOAT64:
    return R_64F;
  case MT_FLOAT16:
    return R_16F;
  default:
    return R_16BF;
  }
}

// Row-major (OP_N for the transposed product) or column-major, and the leading dimension.
bool lies_well(const mtc_matrix &a, int64_t rows, int64_t cols, int *op, int64_t *ld) {
  if ((a.col == 1 || cols == 1) && (rows == 1 || a.row >= cols)) {
    *op = OP_N;
    *ld = rows == 1 ? cols : a.row;
  } else if ((a.row == 1 || rows == 1) && (cols == 1 || a.col >= rows)) {
    *op = OP_T;
    *ld = cols == 1 ? rows : a.col;
  } else {
    return false;
  }
  return *ld <= 0x7fffffff && rows <= 0x7fffffff && cols <= 0x7fffffff;
}

// ---- a kernel for any strides and numbers ----

enum { TILE = 16 };

struct product {
  int64_t m, n, k, tiles_down, tiles_across;
  mtc_matrix a, b, c;
  double alpha, beta;
  int64_t ialpha, ibeta;
};

static __device__ inline float pick(double f, int64_t, float) {
  return (float)f;
}
static __device__ inline double pick(double f, int64_t, double) {
  return f;
}
static __device__ inline int64_t pick(double, int64_t i, int64_t) {
  return i;
}

template <typename C> __global__ void multiply(product p) {
  __shared__ C sa[TILE][TILE + 1], sb[TILE][TILE + 1];
  int64_t tile = blockIdx.x, tiles = p.tiles_down * p.tiles_across, g = tile / tiles;
  tile -= g * tiles;
  int x = (int)threadIdx.x % TILE, y = (int)threadIdx.x / TILE;
  int64_t row = tile / p.tiles_across * TILE + y, col = tile % p.tiles_across * TILE + x;
  C sum = 0;
  for (int64_t at = 0; at < p.k; at += TILE) {
    bool in_a = row < p.m && at + x < p.k, in_b = at + y < p.k && col < p.n;
    sa[y][x] =
        in_a ? mtc_load<C>(p.a.p, p.a.dtype, g * p.a.batch + row * p.a.row + (at + x) * p.a.col)
             : (C)0;
    sb[y][x] =
        in_b ? mtc_load<C>(p.b.p, p.b.dtype, g * p.b.batch + (at + y) * p.b.row + col * p.b.col)
             : (C)0;
    __syncthreads();
    for (int i = 0; i < TILE; i++) sum += sa[y][i] * sb[i][x];
    __syncthreads();
  }
  if (row >= p.m || col >= p.n) return;
  int64_t to = g * p.c.batch + row * p.c.row + col * p.c.col;
  C alpha = pick(p.alpha, p.ialpha, C()), beta = pick(p.beta, p.ibeta, C());
  sum *= alpha;
  if (beta != 0) sum += beta * mtc_load<C>(p.c.p, p.c.dtype, to);
  mtc_store<C>(p.c.p, p.c.dtype, to, sum);
}

int multiply_plain(product p, int64_t batch, cudaStream_t s) {
  p.tiles_down = (p.m + TILE - 1) / TILE;
  p.tiles_across = (p.n + TILE - 1) / TILE;
  int64_t blocks = p.tiles_down * p.tiles_across * batch;
  if (blocks > 0x7fffffff)
    return mtc_host->fail(MT_ERR_UNSUPPORTED, "matmul: the result is too large for one launch");
  int category = mtc_category(p.c.dtype);
  if (category == 0)
    MTC_LAUNCH((multiply<float>), blocks, TILE * TILE, s, p);
  else if (category == 1)
    MTC_LAUNCH((multiply<double>), blocks, TILE * TILE, s, p);
  else
    MTC_LAUNCH((multiply<int64_t>), blocks, TILE * TILE, s, p);
  return mtc_launched("matmul");
}

} // namespace

int mtc_product(int device, int64_t m, int64_t n, int64_t k, int64_t batch, const mtc_matrix &a,
                const mtc_matrix &b, const mtc_matrix &c, const mt_arg &alpha, const mt_arg &beta) {
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, device));
  if (m == 0 || n == 0 || batch == 0) return MT_OK;
  product p = {
      m, n, k, 0, 0, a, b, c, mt__num(&alpha), mt__num(&beta), mt__int(&alpha), mt__int(&beta)};
  int opa, opb, opc;
  int64_t lda, ldb, ldc;
  bool well = mt__is_float(c.dtype) && a.dtype == b.dtype && k > 0 && batch <= 0x7fffffff &&
              lies_well(a, m, k, &opa, &lda) && lies_well(b, k, n, &opb, &ldb) &&
              lies_well(c, m, n, &opc, &ldc) && opc == OP_N;
  void *handle = well ? handle_of(device) : NULL;
  if (!handle) return multiply_plain(p, batch, s);
  bool wide = c.dtype == MT_FLOAT64;
  float falpha = (float)p.alpha, fbeta = (float)p.beta;
  const void *by = wide ? (const void *)&p.alpha : &falpha,
             *keep = wide ? (const void *)&p.beta : &fbeta;
  pthread_mutex_lock(&lock);
  int status = cublas.set_stream(handle, s);
  if (status == 0)
    status = cublas.gemm(handle, opb, opa, (int)n, (int)m, (int)k, by, b.p, blas_type(b.dtype),
                         (int)ldb, b.batch, a.p, blas_type(a.dtype), (int)lda, a.batch, keep, c.p,
                         blas_type(c.dtype), (int)ldc, c.batch, (int)batch,
                         wide ? COMPUTE_64F : COMPUTE_32F, DEFAULT_ALGORITHM);
  pthread_mutex_unlock(&lock);
  if (status == 0) return MT_OK;
  return mtc_host->fail(MT_ERR_DEVICE, "CUDA: cuBLAS failed with status %d", status);
}

namespace {

// ---- from tensors to matrices ----

struct side {
  mtc_matrix m;
  int64_t rows, cols, batch[MT_MAX_DIMS]; // strides of the batch's dimensions
  mtc_plain copy;
};

void from_tensor(side *s, const mt_tensor *t) {
  s->m.p = mtc_ptr(t);
  s->m.dtype = t->dtype;
  s->m.batch = 0;
}

// The last two dimensions, or (1 x n) and (n x 1) for a vector on the left or right.
void as_matrix(side *s, const mt_tensor *t, bool right) {
  from_tensor(s, t);
  if (t->ndim == 1) {
    s->rows = right ? t->sizes[0] : 1, s->cols = right ? 1 : t->sizes[0];
    s->m.row = right ? t->strides[0] : 1, s->m.col = right ? 1 : t->strides[0];
    return;
  }
  int d = t->ndim - 2;
  s->rows = t->sizes[d], s->cols = t->sizes[d + 1];
  s->m.row = t->strides[d], s->m.col = t->strides[d + 1];
}

// All dimensions but the last as rows; a copy where they are not evenly spaced.
int as_rows(side *s, const mt_tensor *t) {
  mtc_walk<1> w;
  mtc_walk_begin(&w, t->ndim - 1, t->sizes);
  for (int d = 0; d < t->ndim - 1; d++) w.stride[0][d] = t->strides[d];
  mtc_walk_finish(&w, false);
  if (w.ndim > 1) {
    MTC_TRY(s->copy.copy(t));
    return as_rows(s, &s->copy.t);
  }
  from_tensor(s, t);
  s->cols = t->sizes[t->ndim - 1];
  s->rows = w.numel;
  s->m.col = t->strides[t->ndim - 1];
  s->m.row = w.numel > 1 ? w.stride[0][0] : s->cols > 0 ? s->cols : 1;
  return MT_OK;
}

// A matrix that no product reads well is copied row-major, with its batch.
int settle(side *s, const mt_tensor *t) {
  int op;
  int64_t ld;
  if (!mt__is_float(s->m.dtype) || s->copy.t.storage || lies_well(s->m, s->rows, s->cols, &op, &ld))
    return MT_OK;
  MTC_TRY(s->copy.copy(t));
  bool vector = t->ndim == 1;
  const mt_tensor *c = &s->copy.t;
  s->m.p = mtc_ptr(c);
  if (vector) {
    if (s->rows == 1)
      s->m.col = 1;
    else
      s->m.row = 1;
    return MT_OK;
  }
  s->m.row = c->strides[t->ndim - 2], s->m.col = c->strides[t->ndim - 1];
  return MT_OK;
}

struct plan {
  int64_t m, n, k;
  side a, b;
  mtc_walk<3> batch; // c, a, b
  plan() {
    memset(&a.copy.t, 0, sizeof a.copy.t);
    memset(&b.copy.t, 0, sizeof b.copy.t);
    memset(&batch, 0, sizeof batch);
  }
};

int batch_dims(const mt_tensor *t) {
  return t->ndim > 2 ? t->ndim - 2 : 0;
}

// a b for every rank that matmul takes.
int plan_matmul(plan *p, const mt_tensor *a, const mt_tensor *b) {
  bool fold = b->ndim <= 2 && a->ndim > 1; // one matrix for all of a's rows
  if (fold)
    MTC_TRY(as_rows(&p->a, a));
  else
    as_matrix(&p->a, a, false);
  as_matrix(&p->b, b, true);
  MTC_TRY(settle(&p->a, a));
  MTC_TRY(settle(&p->b, b));
  p->m = p->a.rows, p->k = p->a.cols, p->n = p->b.cols;
  if (fold) return MT_OK;
  const mt_tensor *ta = p->a.copy.t.storage ? &p->a.copy.t : a,
                  *tb = p->b.copy.t.storage ? &p->b.copy.t : b;
  int la = batch_dims(a), lb = batch_dims(b), nd = la > lb ? la : lb;
  p->batch.ndim = nd;
  for (int d = 0; d < nd; d++) {
    int da = d - (nd - la), db = d - (nd - lb);
    int64_t na = da >= 0 ? ta->sizes[da] : 1, nb = db >= 0 ? tb->sizes[db] : 1;
    p->batch.size[d] = na == 1 ? nb : na;
    p->batch.stride[1][d] = na == 1 ? 0 : ta->strides[da];
    p->batch.stride[2][d] = nb == 1 ? 0 : tb->strides[db];
  }
  return MT_OK;
}

// The product into c, whose rows, columns and batch are the product's.
int run_into(plan *p, const mt_tensor *c, const mt_arg &alpha, const mt_arg &beta) {
  mtc_matrix m = {mtc_ptr(c), c->dtype, p->n > 0 ? p->n : 1, 1, 0};
  int64_t step = p->m * p->n;
  bool plain = mt__is_contiguous(c);
  for (int d = p->batch.ndim - 1; d >= 0; d--) {
    p->batch.stride[0][d] = plain ? step : c->strides[d];
    step *= p->batch.size[d];
  }
  if (!plain && c->ndim >= 2) m.row = c->strides[c->ndim - 2], m.col = c->strides[c->ndim - 1];
  if (!plain && c->ndim == 1) m.row = c->strides[0]; // (matrix) (vector)
  mtc_walk_finish(&p->batch, false);
  // the innermost dimension of the batch in one call, the others in a loop
  int last = p->batch.ndim - 1, esize = mt__esize(c->dtype);
  int64_t count = p->batch.size[last], outer = count ? p->batch.numel / count : 0;
  m.batch = p->batch.stride[0][last];
  p->a.m.batch = p->batch.stride[1][last];
  p->b.m.batch = p->batch.stride[2][last];
  mtc_walk<3> rest = p->batch;
  rest.ndim = last;
  for (int64_t i = 0; i < outer; i++) {
    int64_t off[3];
    mtc_locate(rest, i, off);
    mtc_matrix a = p->a.m, b = p->b.m, to = m;
    to.p += off[0] * esize, a.p += off[1] * esize, b.p += off[2] * esize;
    MTC_TRY(mtc_product(c->device, p->m, p->n, p->k, count, a, b, to, alpha, beta));
  }
  return MT_OK;
}

int matmul_op(mt_frame *f) {
  plan p;
  if (f->out[0]->numel == 0) return MT_OK;
  MTC_TRY(plan_matmul(&p, f->args[0].u.t, f->args[1].u.t));
  return run_into(&p, f->out[0], mtc_number(1), mtc_number(0));
}

// x (.., k) times w', w (n, k); the bias is put into the result first.
int linear_op(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t, *w = f->args[1].u.t, *out = f->out[0];
  bool bias = f->args[2].kind == MT_TENSOR;
  plan p;
  if (out->numel == 0) return MT_OK;
  MTC_TRY(as_rows(&p.a, x));
  MTC_TRY(settle(&p.a, x));
  as_matrix(&p.b, w, true);
  MTC_TRY(settle(&p.b, w));
  int64_t rows = p.b.rows, row = p.b.m.row;
  p.b.rows = p.b.cols, p.b.cols = rows;
  p.b.m.row = p.b.m.col, p.b.m.col = row;
  p.m = p.a.rows, p.k = p.a.cols, p.n = p.b.cols;
  if (bias) MTC_TRY(mtc_copy_tensor(out, f->args[2].u.t));
  return run_into(&p, out, mtc_number(1), mtc_number(bias));
}

// a (.., m), b (.., n) -> (m, n)
int tn_op(mt_frame *f) {
  const mt_tensor *a = f->args[0].u.t, *b = f->args[1].u.t;
  plan p;
  if (f->out[0]->numel == 0) return MT_OK;
  MTC_TRY(as_rows(&p.a, a));
  MTC_TRY(settle(&p.a, a));
  MTC_TRY(as_rows(&p.b, b));
  MTC_TRY(settle(&p.b, b));
  p.k = p.a.rows, p.m = p.a.cols, p.n = p.b.cols;
  int64_t row = p.a.m.row;
  p.a.rows = p.m, p.a.cols = p.k;
  p.a.m.row = p.a.m.col, p.a.m.col = row;
  return run_into(&p, f->out[0], mtc_number(1), mtc_number(0));
}

bool same_place(const mt_tensor *a, const mt_tensor *b) {
  if (mtc_ptr(a) != mtc_ptr(b) || a->ndim != b->ndim) return false;
  for (int d = 0; d < a->ndim; d++)
    if (a->strides[d] != b->strides[d]) return false;
  return true;
}

// (input, a, b, beta, alpha): the input is put into the result first.
int added_op(mt_frame *f) {
  const mt_tensor *input = f->args[0].u.t, *out = f->out[0];
  plan p;
  if (out->numel == 0) return MT_OK;
  MTC_TRY(plan_matmul(&p, f->args[1].u.t, f->args[2].u.t));
  if (mt__num(&f->args[3]) != 0 && !same_place(out, input)) MTC_TRY(mtc_copy_tensor(out, input));
  return run_into(&p, out, f->args[4], f->args[3]);
}

const mtc_kernel table[] = {
    {"matmul", MT_D_NUMBER, matmul_op, true}, {"mm", MT_D_NUMBER, matmul_op, true},
    {"bmm", MT_D_NUMBER, matmul_op, true},    {"mv", MT_D_NUMBER, matmul_op, true},
    {"dot", MT_D_NUMBER, matmul_op, true},    {"linear", MT_D_NUMBER, linear_op, true},
    {"_matmul_tn", MT_D_NUMBER, tn_op, true}, {"addmm", MT_D_NUMBER, added_op, true},
    {"baddbmm", MT_D_NUMBER, added_op, true}, {"addmv", MT_D_NUMBER, added_op, true},
};
MTC_FAMILY(products, table);

} // namespace
