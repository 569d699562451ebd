// cross_entropy.cu: cross_entropy with classes and nll_loss, fused, and their gradients.
//
// Input is batch x classes x inner, row-major; a sample is one place of batch x inner and its class
// stands in target, counted from 1. Sums over samples go through blocks of samples, cut by shape,
// joined in order. A class that is none is noted and raised by the next synchronising call.
#include "kit.cuh"

namespace {

enum { NONE, MEAN, SUM };

struct job {
  mtc_tile tile;
  int64_t classes, inner, samples, ignore;
  const char *x, *target, *weight, *grad;
  int x_dtype, target_dtype, weight_dtype, grad_dtype, out_dtype;
  int reduction, pick; // pick: the input holds log-probabilities
  char *out;
  double *each; // loss and weight of every sample; then [0] loss, [1] weight of all
  const double *total;
  mtc_note *note;
};

static __device__ inline int64_t place(const job &j, int64_t sample, int64_t c) { // c from 1
  return (sample / j.inner * j.classes + c - 1) * j.inner + sample % j.inner;
}

// The class of a sample and its weight; 0 where it is ignored or none.
static __device__ inline int64_t label_of(const job &j, int64_t sample, double *weight) {
  int64_t c = mtc_load<int64_t>(j.target, j.target_dtype, sample);
  *weight = 0;
  if (c == j.ignore) return 0;
  if (c < 1 || c > j.classes) {
    mtc_write_note(j.note, MTC_NOTE_CLASS, c, j.classes);
    return 0;
  }
  *weight = j.weight ? mtc_load<double>(j.weight, j.weight_dtype, c - 1) : 1;
  return c;
}

static __device__ inline float ex(float x) {
  return expf(x);
}
static __device__ inline double ex(double x) {
  return exp(x);
}

// Maximum and sum of exponentials of a sample's line; all threads of the block.
template <typename C>
static __device__ void measure(const job &j, int64_t sample, int64_t n, double *shared, double *m,
                               double *sum) {
  int lane = mtc_tile_lane(j.tile), width = j.tile.width;
  double top = -INFINITY, total = 0;
  int64_t base = n ? place(j, sample, 1) : 0;
  for (int64_t i = lane; i < n; i += width) {
    double x = (double)mtc_load<C>(j.x, j.x_dtype, base + i * j.inner);
    top = x > top || x != x ? x : top;
  }
  *m = top = mtc_join(j.tile, top, shared, mtc_greater());
  for (int64_t i = lane; i < n; i += width)
    total += (double)ex((C)(mtc_load<C>(j.x, j.x_dtype, base + i * j.inner) - (C)top));
  *sum = mtc_join(j.tile, total, shared, mtc_plus());
}

template <typename C> __global__ void forward(job j) {
  __shared__ double shared[MTC_THREADS];
  int64_t sample = mtc_tile_line(j.tile);
  bool live = sample < j.samples;
  double m = 0, sum = 1, weight, loss = 0;
  if (!j.pick) measure<C>(j, sample, live ? j.classes : 0, shared, &m, &sum);
  if (!live || mtc_tile_lane(j.tile) != 0) return;
  int64_t c = label_of(j, sample, &weight);
  if (c) {
    double x = (double)mtc_load<C>(j.x, j.x_dtype, place(j, sample, c));
    loss = weight * (j.pick ? -x : m + log(sum) - x);
  }
  if (j.reduction == NONE) {
    mtc_store<double>(j.out, j.out_dtype, sample, loss);
  } else {
    j.each[2 * sample] = loss;
    j.each[2 * sample + 1] = weight;
  }
}

__global__ void weigh(job j) {
  MTC_EACH(sample, j.samples) {
    double weight;
    label_of(j, sample, &weight);
    j.each[2 * sample] = 0;
    j.each[2 * sample + 1] = weight;
  }
}

// One block: the sums of both numbers of every sample, in a fixed tree.
__global__ void add_up(const double *each, int64_t samples, double *total, char *out, int out_dtype,
                       int reduction) {
  __shared__ double shared[MTC_THREADS];
  mtc_tile all = {MTC_THREADS, 1, 0};
  double loss = 0, weight = 0;
  for (int64_t i = threadIdx.x; i < samples; i += MTC_THREADS) {
    loss += each[2 * i];
    weight += each[2 * i + 1];
  }
  loss = mtc_join(all, loss, shared, mtc_plus());
  weight = mtc_join(all, weight, shared, mtc_plus());
  if (threadIdx.x != 0) return;
  if (total) total[0] = loss, total[1] = weight;
  if (out) mtc_store<double>(out, out_dtype, 0, reduction == MEAN ? loss / weight : loss);
}

static __device__ inline double scale_of(const job &j, int64_t sample) {
  if (j.reduction == NONE) return mtc_load<double>(j.grad, j.grad_dtype, sample);
  double g = mtc_load<double>(j.grad, j.grad_dtype, 0);
  return j.reduction == MEAN ? g / j.total[1] : g;
}

// gx = k (softmax(x) - onehot), k the sample's gradient times its weight
template <typename C> __global__ void backward(job j) {
  __shared__ double shared[MTC_THREADS];
  int64_t sample = mtc_tile_line(j.tile), n = sample < j.samples ? j.classes : 0;
  double m, sum, weight;
  measure<C>(j, sample, n, shared, &m, &sum);
  if (!n) return;
  int64_t c = label_of(j, sample, &weight), base = place(j, sample, 1);
  double k = weight != 0 ? scale_of(j, sample) * weight : 0;
  C top = (C)m, by = (C)(k / sum);
  for (int64_t i = mtc_tile_lane(j.tile); i < n; i += j.tile.width) {
    C x = mtc_load<C>(j.x, j.x_dtype, base + i * j.inner);
    double v = k != 0 ? (double)(ex((C)(x - top)) * by) : 0;
    if (i + 1 == c) v = k * expm1((double)x - (m + log(sum)));
    mtc_store<double>(j.out, j.out_dtype, base + i * j.inner, v);
  }
}

__global__ void nll_backward(job j) { // out is zero
  MTC_EACH(sample, j.samples) {
    double weight;
    int64_t c = label_of(j, sample, &weight);
    if (c)
      mtc_store<double>(j.out, j.out_dtype, place(j, sample, c), -scale_of(j, sample) * weight);
  }
}

void shape(job *j, int ndim, const int64_t *sizes) {
  memset(j, 0, sizeof *j);
  int64_t batch = ndim > 1 ? sizes[0] : 1;
  j->classes = ndim > 1 ? sizes[1] : sizes[0];
  j->inner = 1;
  for (int d = 2; d < ndim; d++) j->inner *= sizes[d];
  j->samples = batch * j->inner;
  j->tile = mtc_tile_for(j->classes, j->samples, j->inner > 1);
}

int operands(job *j, const mt_frame *f, int target, int weight, int ignore, int reduction) {
  const mt_tensor *t = f->args[target].u.t;
  j->target = mtc_ptr(t), j->target_dtype = t->dtype;
  if (f->args[weight].kind == MT_TENSOR) {
    const mt_tensor *w = f->args[weight].u.t;
    j->weight = mtc_ptr(w), j->weight_dtype = w->dtype;
  }
  j->ignore = f->args[ignore].u.i;
  j->reduction = (int)f->args[reduction].u.i;
  j->out = mtc_ptr(f->out[0]), j->out_dtype = f->out[0]->dtype;
  j->note = mtc_notes(f->out[0]->device);
  if (!j->note) return mtc_host->fail(MT_ERR_MEMORY, "out of memory: no room for notes");
  return MT_OK;
}

int launch_forward(mt_frame *f, bool pick) {
  const mt_tensor *x = f->args[0].u.t;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, x->device));
  job j;
  mtc_scratch each;
  shape(&j, x->ndim, x->sizes);
  MTC_TRY(operands(&j, f, 1, 2, 3, 4));
  j.x = mtc_ptr(x), j.x_dtype = x->dtype;
  j.pick = pick;
  if (j.reduction != NONE) {
    MTC_TRY(each.take(x->device, (j.samples + 1) * 2 * (int64_t)sizeof(double)));
    j.each = (double *)each.p;
  }
  if (pick) j.tile = {1, MTC_THREADS, 0};
  int64_t blocks = mtc_tile_blocks(j.tile, j.samples);
  if (j.samples) {
    if (x->dtype == MT_FLOAT64)
      MTC_LAUNCH((forward<double>), blocks, MTC_THREADS, s, j);
    else
      MTC_LAUNCH((forward<float>), blocks, MTC_THREADS, s, j);
    MTC_TRY(mtc_launched(f->op->name));
  }
  if (j.reduction == NONE) return MT_OK;
  MTC_LAUNCH(add_up, 1, MTC_THREADS, s, (const double *)j.each, j.samples, (double *)NULL, j.out,
             j.out_dtype, j.reduction);
  return mtc_launched(f->op->name);
}

int cross_op(mt_frame *f) {
  return launch_forward(f, false);
}
int nll_op(mt_frame *f) {
  return launch_forward(f, true);
}

// For the mean: the weights' sum, into total.
int find_total(job *j, mtc_scratch *each, int device, const char *name, cudaStream_t s) {
  if (j->reduction != MEAN) return MT_OK;
  MTC_TRY(each->take(device, (j->samples + 1) * 2 * (int64_t)sizeof(double)));
  j->each = (double *)each->p;
  double *total = j->each + 2 * j->samples;
  MTC_LAUNCH(weigh, mtc_grid(j->samples), MTC_THREADS, s, *j);
  MTC_TRY(mtc_launched(name));
  MTC_LAUNCH(add_up, 1, MTC_THREADS, s, (const double *)j->each, j->samples, total, (char *)NULL, 0,
             SUM);
  j->total = total;
  return mtc_launched(name);
}

// (grad, input, target, weight, ignore_index, reduction)
int cross_back_op(mt_frame *f) {
  const mt_tensor *g = f->args[0].u.t, *x = f->args[1].u.t;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, x->device));
  if (x->numel == 0) return MT_OK;
  job j;
  mtc_scratch each;
  shape(&j, x->ndim, x->sizes);
  MTC_TRY(operands(&j, f, 2, 3, 4, 5));
  j.x = mtc_ptr(x), j.x_dtype = x->dtype;
  j.grad = mtc_ptr(g), j.grad_dtype = g->dtype;
  MTC_TRY(find_total(&j, &each, x->device, f->op->name, s));
  int64_t blocks = mtc_tile_blocks(j.tile, j.samples);
  if (x->dtype == MT_FLOAT64)
    MTC_LAUNCH((backward<double>), blocks, MTC_THREADS, s, j);
  else
    MTC_LAUNCH((backward<float>), blocks, MTC_THREADS, s, j);
  return mtc_launched(f->op->name);
}

// (grad, target, classes, weight, ignore_index, reduction)
int nll_back_op(mt_frame *f) {
  const mt_tensor *g = f->args[0].u.t, *out = f->out[0];
  static const char zero[8] = {0};
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  job j;
  mtc_scratch each;
  shape(&j, out->ndim, out->sizes);
  MTC_TRY(operands(&j, f, 1, 3, 4, 5));
  j.grad = mtc_ptr(g), j.grad_dtype = g->dtype;
  MTC_TRY(mtc_fill_cell(out, zero));
  MTC_TRY(find_total(&j, &each, out->device, f->op->name, s));
  MTC_LAUNCH(nll_backward, mtc_grid(j.samples), MTC_THREADS, s, j);
  return mtc_launched(f->op->name);
}

const mtc_kernel table[] = {
    {"_cross_entropy", MT_D_FLOAT, cross_op, true},
    {"nll_loss", MT_D_FLOAT, nll_op, true},
    {"_cross_entropy_backward", MT_D_FLOAT, cross_back_op, true},
    {"_nll_loss_backward", MT_D_FLOAT, nll_back_op, true},
};
MTC_FAMILY(cross_entropies, table);

} // namespace
