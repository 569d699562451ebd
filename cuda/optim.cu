// optim.cu: steps of SGD and Adam over all parameters at once, in place.
//
// Up to LIST tensors that lie as one run go in one launch; others have a launch of their own. What
// changes from step to step is read from the cells (CPU tensors) when the op is launched. The
// order of arithmetic is that of kernels/optim.inc; the device contracts products and sums.
#include "kernels/optim.h"
#include "kit.cuh"

namespace {

enum { ROLES = 5, PARAM = 0, GRAD = 1, LIST = 40, BLOCK = 1024 };

struct rule {
  int is_adam, momentum, amsgrad;
  mt_sgd sgd;
  mt_adam adam;
};

// Tensors of one launch: block b works on BLOCK elements of the last tensor that begins at or
// before it.
struct batch {
  int n;
  char *p[LIST][ROLES]; // NULL: not there
  uint8_t dtype[LIST][ROLES];
  int64_t numel[LIST];
  int first_block[LIST];
};

static __device__ inline float root(float x) {
  return sqrtf(x);
}
static __device__ inline double root(double x) {
  return sqrt(x);
}

template <typename T>
static __device__ void update(const rule &r, char *const *p, const uint8_t *dtype,
                              const int64_t *at) {
  T x = mtc_load<T>(p[PARAM], dtype[PARAM], at[PARAM]),
    d = mtc_load<T>(p[GRAD], dtype[GRAD], at[GRAD]);
  if (!r.is_adam) {
    const mt_sgd &o = r.sgd;
    if (o.maximize) d = -d;
    if (o.weight_decay != 0) d = d + x * (T)o.weight_decay;
    if (r.momentum) {
      T b = o.first ? d
                    : mtc_load<T>(p[2], dtype[2], at[2]) * (T)o.momentum + d * (T)(1 - o.dampening);
      mtc_store<T>(p[2], dtype[2], at[2], b);
      d = o.nesterov ? d + b * (T)o.momentum : b;
    }
    mtc_store<T>(p[PARAM], dtype[PARAM], at[PARAM], x - d * (T)o.lr);
    return;
  }
  const mt_adam &o = r.adam;
  T weight = (T)(1 - o.beta1);
  if (o.decoupled) x *= (T)(1 - o.lr * o.weight_decay);
  if (o.maximize) d = -d;
  if (!o.decoupled && o.weight_decay != 0) d = d + x * (T)o.weight_decay;
  T a = mtc_load<T>(p[2], dtype[2], at[2]);
  a = weight < (T)0.5 ? a + weight * (d - a) : d - (d - a) * ((T)1 - weight); // lerp
  mtc_store<T>(p[2], dtype[2], at[2], a);
  T b = mtc_load<T>(p[3], dtype[3], at[3]) * (T)o.beta2 + (T)(1 - o.beta2) * d * d;
  mtc_store<T>(p[3], dtype[3], at[3], b);
  if (r.amsgrad) {
    T most = mtc_load<T>(p[4], dtype[4], at[4]);
    b = most > b || most != most ? most : b;
    mtc_store<T>(p[4], dtype[4], at[4], b);
  }
  mtc_store<T>(p[PARAM], dtype[PARAM], at[PARAM],
               x - (T)o.step_size * a / (root(b) / (T)o.bias_correction2_sqrt + (T)o.eps));
}

__global__ void step_batch(batch b, rule r) {
  int lo = 0, hi = b.n - 1, block = (int)blockIdx.x;
  while (lo < hi) {
    int mid = (lo + hi + 1) / 2;
    if (b.first_block[mid] <= block)
      lo = mid;
    else
      hi = mid - 1;
  }
  int64_t first = (int64_t)(block - b.first_block[lo]) * BLOCK;
  int64_t last = first + BLOCK < b.numel[lo] ? first + BLOCK : b.numel[lo];
  bool wide = b.dtype[lo][PARAM] == MT_FLOAT64;
  for (int64_t i = first + threadIdx.x; i < last; i += MTC_THREADS) {
    int64_t at[ROLES] = {i, i, i, i, i};
    if (wide)
      update<double>(r, b.p[lo], b.dtype[lo], at);
    else
      update<float>(r, b.p[lo], b.dtype[lo], at);
  }
}

struct single {
  mtc_walk<ROLES> w;
  char *p[ROLES];
  uint8_t dtype[ROLES];
};

__global__ void step_single(single t, rule r) {
  MTC_EACH(i, t.w.numel) {
    int64_t at[ROLES];
    mtc_locate(t.w, i, at);
    if (t.dtype[PARAM] == MT_FLOAT64)
      update<double>(r, t.p, t.dtype, at);
    else
      update<float>(r, t.p, t.dtype, at);
  }
}

int launch_batch(const mt_frame *f, batch *b, int *blocks, const rule &r, cudaStream_t s) {
  if (b->n == 0) return MT_OK;
  MTC_LAUNCH(step_batch, *blocks, MTC_THREADS, s, *b, r);
  b->n = 0;
  *blocks = 0;
  return mtc_launched(f->op->name);
}

// list[role]: NULL for a role that is not there
int run(mt_frame *f, mt_tensor **const *list, const rule &r) {
  int count = f->args[0].n, blocks = 0;
  static thread_local batch b; // 4 KB: not on every stack
  cudaStream_t s;
  b.n = 0;
  for (int i = 0; i < count; i++) {
    const mt_tensor *p = list[PARAM][i];
    if (p->device < MT_CUDA)
      return mtc_host->fail(MT_ERR_DEVICE, "%s: params[%d] is not on the device of the others",
                            f->op->name, i + 1);
    MTC_TRY(mtc_enter(&s, p->device));
    if (p->numel == 0) continue;
    single t;
    memset(&t, 0, sizeof t);
    mtc_walk_begin(&t.w, p->ndim, p->sizes);
    for (int k = 0; k < ROLES; k++) {
      const mt_tensor *q = list[k] ? list[k][i] : NULL;
      mtc_walk_tensor(&t.w, k, q ? q : p);
      if (!q) continue;
      t.p[k] = mtc_ptr(q);
      t.dtype[k] = q->dtype;
    }
    mtc_walk_finish(&t.w, true);
    int64_t own = (p->numel + BLOCK - 1) / BLOCK;
    if (!mtc_walk_is_run(&t.w) || own > 0x3fffffff) {
      MTC_LAUNCH(step_single, mtc_grid(p->numel), MTC_THREADS, s, t, r);
      MTC_TRY(mtc_launched(f->op->name));
      continue;
    }
    if (b.n == LIST || blocks + own > 0x7fffffff) MTC_TRY(launch_batch(f, &b, &blocks, r, s));
    int k = b.n++;
    memcpy(b.p[k], t.p, sizeof t.p);
    memcpy(b.dtype[k], t.dtype, sizeof t.dtype);
    b.numel[k] = p->numel;
    b.first_block[k] = blocks;
    blocks += (int)own;
  }
  return launch_batch(f, &b, &blocks, r, s);
}

int same_device(const mt_frame *f, int lists) {
  int device = f->args[0].n ? f->args[0].u.ts[0]->device : MT_CUDA;
  for (int k = 0; k < lists; k++)
    for (int i = 0; i < f->args[k].n; i++)
      if (f->args[k].u.ts[i] && f->args[k].u.ts[i]->device != device)
        return mtc_host->fail(MT_ERR_DEVICE, "%s: %s[%d] is on another device than params[1]",
                              f->op->name, f->op->params[k].name, i + 1);
  return MT_OK;
}

int sgd_op(mt_frame *f) {
  const double *h = (const double *)(const void *)mtc_ptr(f->args[3].u.t);
  mt_tensor **list[ROLES] = {f->args[0].u.ts, f->args[1].u.ts, NULL, NULL, NULL};
  rule r;
  memset(&r, 0, sizeof r);
  MTC_TRY(same_device(f, 3));
  r.sgd.lr = h[0], r.sgd.momentum = h[1], r.sgd.dampening = h[2], r.sgd.weight_decay = h[3];
  r.sgd.nesterov = h[4] != 0, r.sgd.maximize = h[5] != 0, r.sgd.first = h[6] != 0;
  if (r.sgd.momentum != 0) {
    if (f->args[2].n == 0 && f->args[0].n > 0)
      return mtc_host->fail(MT_ERR_VALUE,
                            "sgd_step_: momentum is %g, but there are no momentum_buffers",
                            r.sgd.momentum);
    list[2] = f->args[2].u.ts;
    r.momentum = 1;
  }
  return run(f, list, r);
}

int adam_op(mt_frame *f) {
  const double *h = (const double *)(const void *)mtc_ptr(f->args[6].u.t);
  double *count = (double *)(void *)mtc_ptr(f->args[5].u.t), t = *count + 1;
  mt_tensor **list[ROLES];
  rule r;
  memset(&r, 0, sizeof r);
  for (int k = 0; k < ROLES; k++) list[k] = f->args[k].u.ts;
  r.is_adam = 1;
  r.amsgrad = f->args[7].u.i != 0;
  MTC_TRY(same_device(f, r.amsgrad ? 5 : 4));
  if (!r.amsgrad) list[4] = NULL;
  mt_adam *o = &r.adam;
  o->lr = h[0], o->beta1 = h[1], o->beta2 = h[2], o->eps = h[3], o->weight_decay = h[4];
  o->maximize = h[5] != 0;
  o->decoupled = f->args[8].u.i != 0;
  o->step_size = o->lr / (1 - pow(o->beta1, t));
  o->bias_correction2_sqrt = sqrt(1 - pow(o->beta2, t));
  MTC_TRY(run(f, list, r));
  *count = t;
  return MT_OK;
}

const mtc_kernel table[] = {
    {"sgd_step_", MT_D_FLOAT, sgd_op, true},
    {"adam_step_", MT_D_FLOAT, adam_op, true},
};
MTC_FAMILY(optimizers, table);

} // namespace
