// norm.cu: layer_norm and its gradients. Rows of n numbers; a row's mean and deviation are computed
// again in backward. The weight's and bias' gradients are summed in two steps: blocks of rows,
// cut by shape, then the blocks in order.
#include "kit.cuh"

namespace {

struct job {
  mtc_tile tile;
  int64_t rows, n;
  double eps;
  const char *x, *g, *w, *b;
  int x_dtype, g_dtype, w_dtype, b_dtype, out_dtype;
  char *out;
  double *stats; // mean and 1/deviation of each row, for the columns' sums
};

struct row {
  double mean, rstd;
};

// All threads of the block; rows that are not there have n 0.
template <typename C>
static __device__ row measure(const job &j, int64_t begin, int64_t n, double *shared) {
  int lane = mtc_tile_lane(j.tile), width = j.tile.width;
  double sum = 0, squares = 0;
  for (int64_t i = lane; i < n; i += width) sum += (double)mtc_load<C>(j.x, j.x_dtype, begin + i);
  row r;
  r.mean = mtc_join(j.tile, sum, shared, mtc_plus()) / (double)j.n;
  for (int64_t i = lane; i < n; i += width) {
    double d = (double)mtc_load<C>(j.x, j.x_dtype, begin + i) - r.mean;
    squares += d * d;
  }
  squares = mtc_join(j.tile, squares, shared, mtc_plus());
  r.rstd = 1 / sqrt(squares / (double)j.n + j.eps);
  return r;
}

template <typename C> __global__ void forward(job j) {
  __shared__ double shared[MTC_THREADS];
  int64_t line = mtc_tile_line(j.tile), begin = line * j.n, n = line < j.rows ? j.n : 0;
  row r = measure<C>(j, begin, n, shared);
  C m = (C)r.mean, k = (C)r.rstd;
  for (int64_t i = mtc_tile_lane(j.tile); i < n; i += j.tile.width) {
    C y = (mtc_load<C>(j.x, j.x_dtype, begin + i) - m) * k;
    if (j.w) y *= mtc_load<C>(j.w, j.w_dtype, i);
    if (j.b) y += mtc_load<C>(j.b, j.b_dtype, i);
    mtc_store<C>(j.out, j.out_dtype, begin + i, y);
  }
}

// gx = rstd (h - mean(h) - xhat mean(h xhat)), h = g w
template <typename C> __global__ void backward(job j) {
  __shared__ double shared[MTC_THREADS];
  int64_t line = mtc_tile_line(j.tile), begin = line * j.n, n = line < j.rows ? j.n : 0;
  int lane = mtc_tile_lane(j.tile), width = j.tile.width;
  row r = measure<C>(j, begin, n, shared);
  C m = (C)r.mean, k = (C)r.rstd;
  if (j.stats && lane == 0 && n) {
    j.stats[2 * line] = r.mean;
    j.stats[2 * line + 1] = r.rstd;
  }
  if (!j.out) return; // the same for all threads
  double sum = 0, product = 0;
  for (int64_t i = lane; i < n; i += width) {
    C h = mtc_load<C>(j.g, j.g_dtype, begin + i);
    if (j.w) h *= mtc_load<C>(j.w, j.w_dtype, i);
    sum += (double)h;
    product += (double)(h * ((mtc_load<C>(j.x, j.x_dtype, begin + i) - m) * k));
  }
  C a = (C)(mtc_join(j.tile, sum, shared, mtc_plus()) / (double)j.n);
  C b = (C)(mtc_join(j.tile, product, shared, mtc_plus()) / (double)j.n);
  for (int64_t i = lane; i < n; i += width) {
    C h = mtc_load<C>(j.g, j.g_dtype, begin + i);
    if (j.w) h *= mtc_load<C>(j.w, j.w_dtype, i);
    C hat = (mtc_load<C>(j.x, j.x_dtype, begin + i) - m) * k;
    mtc_store<C>(j.out, j.out_dtype, begin + i, k * ((h - a) - hat * b));
  }
}

// Sums over a block of rows for one column: gw = sum(g xhat), gb = sum(g).
template <typename C> __global__ void columns(job j, double *parts, int64_t block, int64_t blocks) {
  MTC_EACH(i, j.n * blocks) {
    int64_t col = i % j.n, at = i / j.n, first = at * block;
    int64_t last = first + block < j.rows ? first + block : j.rows;
    double gw = 0, gb = 0;
    for (int64_t r = first; r < last; r++) {
      double g = (double)mtc_load<C>(j.g, j.g_dtype, r * j.n + col);
      double x = (double)mtc_load<C>(j.x, j.x_dtype, r * j.n + col);
      gw += g * ((x - j.stats[2 * r]) * j.stats[2 * r + 1]);
      gb += g;
    }
    parts[2 * i] = gw;
    parts[2 * i + 1] = gb;
  }
}

__global__ void join_columns(const double *parts, int64_t n, int64_t blocks, char *gw, int gw_dtype,
                             char *gb, int gb_dtype) {
  MTC_EACH(i, n) {
    double w = 0, b = 0;
    for (int64_t k = 0; k < blocks; k++) {
      w += parts[2 * (k * n + i)];
      b += parts[2 * (k * n + i) + 1];
    }
    if (gw) mtc_store<double>(gw, gw_dtype, i, w);
    if (gb) mtc_store<double>(gb, gb_dtype, i, b);
  }
}

void fill(job *j, const mt_tensor *x, int64_t n, double eps) {
  memset(j, 0, sizeof *j);
  j->n = n;
  j->rows = n ? x->numel / n : 0;
  j->eps = eps;
  j->x = mtc_ptr(x);
  j->x_dtype = x->dtype;
  j->tile = mtc_tile_for(n, j->rows, false);
}

const mt_tensor *given(const mt_frame *f, int k) {
  return f->args[k].kind == MT_TENSOR ? f->args[k].u.t : NULL;
}

int forward_op(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t, *w = given(f, 2), *b = given(f, 3);
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, x->device));
  if (x->numel == 0) return MT_OK;
  job j;
  fill(&j, x, (int64_t)f->priv[0], mt__num(&f->args[4]));
  if (w) j.w = mtc_ptr(w), j.w_dtype = w->dtype;
  if (b) j.b = mtc_ptr(b), j.b_dtype = b->dtype;
  j.out = mtc_ptr(f->out[0]);
  j.out_dtype = f->out[0]->dtype;
  int64_t blocks = mtc_tile_blocks(j.tile, j.rows);
  if (x->dtype == MT_FLOAT64)
    MTC_LAUNCH((forward<double>), blocks, MTC_THREADS, s, j);
  else
    MTC_LAUNCH((forward<float>), blocks, MTC_THREADS, s, j);
  return mtc_launched("layer_norm");
}

// (grad, input, normalized_shape, weight, eps, need_input, need_weight, need_bias)
int backward_op(mt_frame *f) {
  const mt_tensor *x = f->args[1].u.t, *g = f->args[0].u.t, *w = given(f, 3);
  bool need_x = f->args[5].u.i != 0, need_w = f->args[6].u.i != 0, need_b = f->args[7].u.i != 0;
  static const char zero[8] = {0};
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, x->device));
  if (x->numel == 0) {
    for (int k = 1; k < 3; k++) MTC_TRY(mtc_fill_cell(f->out[k], zero));
    return MT_OK;
  }
  job j;
  fill(&j, x, (int64_t)f->priv[0], mt__num(&f->args[4]));
  j.g = mtc_ptr(g), j.g_dtype = g->dtype;
  if (w) j.w = mtc_ptr(w), j.w_dtype = w->dtype;
  if (need_x) j.out = mtc_ptr(f->out[0]), j.out_dtype = f->out[0]->dtype;
  mtc_scratch stats, parts;
  bool columns_too = need_w || need_b;
  int64_t block = 64, blocks = (j.rows + block - 1) / block;
  if (blocks > 256) {
    block = (j.rows + 255) / 256;
    blocks = (j.rows + block - 1) / block;
  }
  if (columns_too) {
    MTC_TRY(stats.take(x->device, j.rows * 2 * (int64_t)sizeof(double)));
    MTC_TRY(parts.take(x->device, blocks * j.n * 2 * (int64_t)sizeof(double)));
    j.stats = (double *)stats.p;
  }
  bool wide = x->dtype == MT_FLOAT64;
  int64_t grid = mtc_tile_blocks(j.tile, j.rows);
  if (wide)
    MTC_LAUNCH((backward<double>), grid, MTC_THREADS, s, j);
  else
    MTC_LAUNCH((backward<float>), grid, MTC_THREADS, s, j);
  MTC_TRY(mtc_launched("_layer_norm_backward"));
  if (!columns_too) return MT_OK;
  double *to = (double *)parts.p;
  if (wide)
    MTC_LAUNCH((columns<double>), mtc_grid(j.n * blocks), MTC_THREADS, s, j, to, block, blocks);
  else
    MTC_LAUNCH((columns<float>), mtc_grid(j.n * blocks), MTC_THREADS, s, j, to, block, blocks);
  MTC_TRY(mtc_launched("_layer_norm_backward"));
  MTC_LAUNCH(join_columns, mtc_grid(j.n), MTC_THREADS, s, (const double *)to, j.n, blocks,
             need_w ? mtc_ptr(f->out[1]) : NULL, f->out[1]->dtype,
             need_b ? mtc_ptr(f->out[2]) : NULL, f->out[2]->dtype);
  return mtc_launched("_layer_norm_backward");
}

const mtc_kernel table[] = {
    {"layer_norm", MT_D_FLOAT, forward_op, true},
    {"_layer_norm_backward", MT_D_FLOAT, backward_op, true},
};
MTC_FAMILY(norms, table);

} // namespace
