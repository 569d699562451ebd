/* sort.c: sort, argsort, topk, kthvalue, median.
 *
 * A lane is the run of elements along the sorted dimension. Every element becomes a pair of an
 * unsigned key whose order is the wanted order (NaN is the greatest, -0 equals 0; turned over for
 * a descending sort) and its position; pairs are sorted stably, by insertion when few and by
 * least-significant-digit radix passes over the bytes that differ otherwise. So equal elements
 * keep their order in either direction, and the result does not depend on how lanes are spread
 * over threads. Positions in results count from 1. */
#include <string.h>

#include "internal.h"
#include "moontorch_ops.h"

typedef struct pair {
  uint64_t key;
  int64_t at;
} pair;

enum { TASKS = 16, INSERTION = 32 };

/* What a lane's sort does with its result. */
enum goal { GOAL_SORT, GOAL_ARGSORT, GOAL_TOPK, GOAL_KTH };

typedef struct job {
  const mt_frame *f;
  const mt_tensor *self;
  int goal;
  bool descending;
  int64_t n, inner, lanes; /* length of a lane, distance of its elements, number of lanes */
  int64_t k;               /* GOAL_TOPK: results a lane; GOAL_KTH: which, from 0 */
  int64_t lanes_a_task;
  mt_tensor *values, *indices; /* values may be NULL */
} job;

static inline uint64_t key_of(const char *p, int dtype) {
  if (mt__is_float(dtype)) {
    double x = mt__load_f64(p, dtype);
    if (x != x) return UINT64_MAX;
    if (x == 0) x = 0; /* one key for both zeros */
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u >> 63 ? ~u : u | (uint64_t)1 << 63;
  }
  return (uint64_t)mt__load_i64(p, dtype) ^ (uint64_t)1 << 63;
}

static void insertion_sort(pair *p, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    pair x = p[i];
    int64_t j = i;
    for (; j > 0 && p[j - 1].key > x.key; j--) p[j] = p[j - 1];
    p[j] = x;
  }
}

/* Sorts p; the result is where it returns: p or spare. */
static pair *radix_sort(pair *p, pair *spare, int64_t n) {
  uint64_t all = ~(uint64_t)0, any = 0; /* which bits differ at all */
  for (int64_t i = 0; i < n; i++) {
    all &= p[i].key;
    any |= p[i].key;
  }
  for (int shift = 0; shift < 64; shift += 8) {
    if (!((all ^ any) >> shift & 255)) continue;
    int64_t place[256] = {0};
    for (int64_t i = 0; i < n; i++) place[p[i].key >> shift & 255]++;
    int64_t sum = 0;
    for (int d = 0; d < 256; d++) {
      int64_t c = place[d];
      place[d] = sum;
      sum += c;
    }
    for (int64_t i = 0; i < n; i++) spare[place[p[i].key >> shift & 255]++] = p[i];
    pair *swap = p;
    p = spare;
    spare = swap;
  }
  return p;
}

/* The k smallest of n pairs, sorted: a heap of the k best so far with the worst on top. Equal
 * keys are told apart by position, as a stable sort would. */
static bool worse(const pair *a, const pair *b) {
  return a->key > b->key || (a->key == b->key && a->at > b->at);
}

static void sift_down(pair *h, int64_t k, int64_t i) {
  pair x = h[i];
  for (int64_t child; (child = 2 * i + 1) < k; i = child) {
    if (child + 1 < k && worse(&h[child + 1], &h[child])) child++;
    if (!worse(&h[child], &x)) break;
    h[i] = h[child];
  }
  h[i] = x;
}

static void select_smallest(pair *p, int64_t n, int64_t k) {
  for (int64_t i = k / 2 - 1; i >= 0; i--) sift_down(p, k, i);
  for (int64_t i = k; i < n; i++)
    if (worse(&p[0], &p[i])) {
      p[0] = p[i];
      sift_down(p, k, 0);
    }
  for (int64_t m = k - 1; m > 0; m--) { /* heap sort of what is left */
    pair x = p[0];
    p[0] = p[m];
    p[m] = x;
    sift_down(p, m, 0);
  }
}

static void write_result(const job *j, int64_t lane, int64_t place, int64_t count, int64_t at) {
  int size = mt__esize(j->self->dtype);
  int64_t outer = lane / j->inner, in = lane % j->inner;
  int64_t to = (outer * count + place) * j->inner + in;
  if (j->values)
    memcpy(mt__ptr(j->values) + to * size,
           mt__ptr(j->self) + ((outer * j->n + at) * j->inner + in) * size, (size_t)size);
  if (j->indices) ((int64_t *)(void *)mt__ptr(j->indices))[to] = at + 1;
}

static void sort_lane(const job *j, int64_t lane, pair *p, pair *spare) {
  int dtype = j->self->dtype, size = mt__esize(dtype);
  const char *base =
      mt__ptr(j->self) + (lane / j->inner * j->n * j->inner + lane % j->inner) * size;
  for (int64_t i = 0; i < j->n; i++) {
    uint64_t key = key_of(base + i * j->inner * size, dtype);
    p[i] = (pair){j->descending ? ~key : key, i};
  }
  if (j->goal == GOAL_TOPK && j->k > 0 && j->k < j->n / 8) {
    select_smallest(p, j->n, j->k);
  } else if (j->n <= INSERTION) {
    insertion_sort(p, j->n);
  } else {
    p = radix_sort(p, spare, j->n);
  }
  if (j->goal == GOAL_KTH) {
    write_result(j, lane, 0, 1, p[j->k].at);
    return;
  }
  int64_t count = j->goal == GOAL_TOPK ? j->k : j->n;
  for (int64_t i = 0; i < count; i++) write_result(j, lane, i, count, p[i].at);
}

static void sort_task(void *ctx, int64_t task) {
  const job *j = ctx;
  pair *p = (pair *)j->f->work + task * 2 * j->n;
  int64_t end = (task + 1) * j->lanes_a_task;
  for (int64_t lane = task * j->lanes_a_task; lane < end && lane < j->lanes; lane++)
    sort_lane(j, lane, p, p + j->n);
}

/* priv: [0] length, [1] distance, [2] lanes */
static int describe_lanes(mt_frame *f, const mt_tensor *t, int64_t dim, int *d) {
  MT_TRY(mt__dim(f, "dim", dim, t->ndim, d));
  int64_t n = t->ndim ? t->sizes[*d] : 1, inner = 1;
  for (int i = *d + 1; i < t->ndim; i++) inner *= t->sizes[i];
  f->priv[0] = (uint64_t)n;
  f->priv[1] = (uint64_t)inner;
  f->priv[2] = (uint64_t)(n ? t->numel / n : 0);
  int64_t tasks = (int64_t)f->priv[2] < TASKS ? (int64_t)f->priv[2] : TASKS;
  if (t->device == MT_CPU) f->work_bytes = (size_t)(tasks * 2 * n) * sizeof(pair);
  return MT_OK;
}

static int run_lanes(mt_frame *f, int goal, bool descending, int64_t k, mt_tensor *values,
                     mt_tensor *indices) {
  job j = {.f = f,
           .self = f->args[0].u.t,
           .goal = goal,
           .descending = descending,
           .n = (int64_t)f->priv[0],
           .inner = (int64_t)f->priv[1],
           .lanes = (int64_t)f->priv[2],
           .k = k,
           .values = values,
           .indices = indices};
  if (j.lanes == 0 || j.n == 0) return MT_OK;
  int64_t tasks = j.lanes < TASKS ? j.lanes : TASKS;
  j.lanes_a_task = (j.lanes + tasks - 1) / tasks;
  if (j.lanes * j.n < 4096) { /* not worth the pool */
    for (int64_t lane = 0; lane < j.lanes; lane++)
      sort_lane(&j, lane, (pair *)f->work, (pair *)f->work + j.n);
    return MT_OK;
  }
  return mt__parallel(tasks, sort_task, &j);
}

/* The gradient of values goes back to the positions that they came from. */
static int values_vjp(mt_vjp *v, int64_t dim, bool dim_kept) {
  mt_tensor *self = v->args[0].u.t;
  if (!v->g[0]) return MT_OK;
  if (self->ndim == 0) {
    v->gin[0] = mt_retain(v->g[0]);
    return MT_OK;
  }
  MT_AUTO *zeros = NULL, *index = NULL, *g = NULL;
  MT_TRY(mt__zeros_like(&zeros, self));
  if (dim_kept) {
    index = mt_retain(v->outs[1]);
    g = mt_retain(v->g[0]);
  } else {
    MT_TRY(mt_unsqueeze(&index, v->outs[1], dim));
    MT_TRY(mt_unsqueeze(&g, v->g[0], dim));
  }
  return mt_scatter(&v->gin[0], zeros, dim, index, mt__arg_t(g));
}

/* ---- sort ---- */

static int sort_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int d;
  MT_TRY(describe_lanes(f, self, f->args[1].u.i, &d));
  MT_TRY(mt__out(f, 0, self->dtype, self->device, self->ndim, self->sizes));
  return mt__out(f, 1, MT_INT64, self->device, self->ndim, self->sizes);
}

static int sort_run(mt_frame *f) {
  return run_lanes(f, GOAL_SORT, f->args[2].u.i != 0, 0, f->out[0], f->out[1]);
}

static int sort_vjp(mt_vjp *v) {
  return values_vjp(v, v->args[1].u.i, true);
}

static int argsort_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int d;
  MT_TRY(describe_lanes(f, self, f->args[1].u.i, &d));
  return mt__out(f, 0, MT_INT64, self->device, self->ndim, self->sizes);
}

static int argsort_run(mt_frame *f) {
  return run_lanes(f, GOAL_ARGSORT, f->args[2].u.i != 0, 0, NULL, f->out[0]);
}

/* ---- topk ---- */

static int topk_infer(mt_frame *f) {
  const mt_tensor *self = f->args[0].u.t;
  int d;
  MT_TRY(describe_lanes(f, self, f->args[2].u.i, &d));
  int64_t k = f->args[1].u.i, sizes[MT_MAX_DIMS];
  if (k < 0 || k > (int64_t)f->priv[0])
    return mt__op_fail(f, MT_ERR_INDEX,
                       "selected index k out of range: k is %lld, dimension %d has %lld elements",
                       (long long)k, d + 1, (long long)f->priv[0]);
  memcpy(sizes, self->sizes, sizeof sizes);
  if (self->ndim) sizes[d] = k;
  MT_TRY(mt__out(f, 0, self->dtype, self->device, self->ndim, sizes));
  return mt__out(f, 1, MT_INT64, self->device, self->ndim, sizes);
}

static int topk_run(mt_frame *f) {
  return run_lanes(f, GOAL_TOPK, f->args[3].u.i != 0, f->args[1].u.i, f->out[0], f->out[1]);
}

static int topk_vjp(mt_vjp *v) {
  return values_vjp(v, v->args[2].u.i, true);
}

/* ---- kthvalue, median ---- */

static int one_value_infer(mt_frame *f, int64_t dim, bool keepdim) {
  const mt_tensor *self = f->args[0].u.t;
  int d;
  MT_TRY(describe_lanes(f, self, dim, &d));
  if (self->ndim && self->sizes[d] == 0)
    return mt__op_fail(f, MT_ERR_INDEX, "Expected reduction dim %d to have non-zero size.", d + 1);
  int64_t sizes[MT_MAX_DIMS];
  int n = 0;
  for (int i = 0; i < self->ndim; i++) {
    if (i != d)
      sizes[n++] = self->sizes[i];
    else if (keepdim)
      sizes[n++] = 1;
  }
  MT_TRY(mt__out(f, 0, self->dtype, self->device, n, sizes));
  return mt__out(f, 1, MT_INT64, self->device, n, sizes);
}

static int kthvalue_infer(mt_frame *f) {
  MT_TRY(one_value_infer(f, f->args[2].u.i, f->args[3].u.i != 0));
  int64_t k = f->args[1].u.i;
  if (k < 1 || k > (int64_t)f->priv[0])
    return mt__op_fail(f, MT_ERR_INDEX,
                       "selected number k out of range: k is %lld, the dimension has %lld elements",
                       (long long)k, (long long)f->priv[0]);
  return MT_OK;
}

static int kthvalue_run(mt_frame *f) {
  return run_lanes(f, GOAL_KTH, false, f->args[1].u.i - 1, f->out[0], f->out[1]);
}

static int kthvalue_vjp(mt_vjp *v) {
  return values_vjp(v, v->args[2].u.i, v->args[3].u.i != 0);
}

static int median_dim_infer(mt_frame *f) {
  return one_value_infer(f, f->args[1].u.i, f->args[2].u.i != 0);
}

/* NaN sorts last, and a lane that holds one has it as its median. */
static bool has_nan(const job *j, int64_t lane, int64_t *at) {
  int size = mt__esize(j->self->dtype);
  const char *base =
      mt__ptr(j->self) + (lane / j->inner * j->n * j->inner + lane % j->inner) * size;
  for (int64_t i = 0; i < j->n && mt__is_float(j->self->dtype); i++) {
    double x = mt__load_f64(base + i * j->inner * size, j->self->dtype);
    if (x != x) {
      *at = i;
      return true;
    }
  }
  return false;
}

static int median_dim_run(mt_frame *f) {
  int64_t n = (int64_t)f->priv[0], at;
  MT_TRY(run_lanes(f, GOAL_KTH, false, (n - 1) / 2, f->out[0], f->out[1]));
  job j = {.f = f,
           .self = f->args[0].u.t,
           .n = n,
           .inner = (int64_t)f->priv[1],
           .values = f->out[0],
           .indices = f->out[1]};
  for (int64_t lane = 0; lane < (int64_t)f->priv[2]; lane++)
    if (has_nan(&j, lane, &at)) write_result(&j, lane, 0, 1, at);
  return MT_OK;
}

static int median_dim_vjp(mt_vjp *v) {
  return values_vjp(v, v->args[1].u.i, v->args[2].u.i != 0);
}

static int median_all(mt_frame *f) {
  mt_tensor *self = f->args[0].u.t;
  if (self->numel == 0 && mt__is_float(self->dtype))
    return mt_full(&f->out[0], (mt_ints){0, NULL}, mt__arg_f(__builtin_nan("")), self->dtype,
                   self->device, false);
  MT_AUTO *flat = NULL, *indices = NULL;
  MT_TRY(mt_reshape(&flat, self, MT_INTS_OF(-1)));
  return mt_median_dim(&f->out[0], &indices, flat, 0, false);
}

/* ---- the table ---- */

#define PLAIN .flags = MT_OP_CONTIGUOUS

const mt_opdef mt__ops_sort[] = {
    {.sig = MT_SIG("sort(Tensor self, dim dim=-1, bool descending=false, *, bool stable=false) "
                   "-> (Tensor values, Tensor indices)"),
     .doc = "Sorted along a dimension, and where each element stood. Equal elements keep their "
            "order; NaN is the greatest.",
     .infer = sort_infer,
     .run = sort_run,
     .vjp = sort_vjp,
     .saves = "self:out1",
     .dtypes = MT_D_ALL,
     PLAIN,
     .samples = "{f(3,4)}, {f(3,4), 1}, {f(3,4), 2, true}, {f()}, {f(0,3)}, {t(f(3,4)), 1}, "
                "{f(2,50)}, {i(3,4)}"},
    {.sig = MT_SIG("argsort(Tensor self, dim dim=-1, bool descending=false, *, bool stable=false) "
                   "-> Tensor"),
     .doc = "Where the elements of a sorted dimension stood.",
     .infer = argsort_infer,
     .run = argsort_run,
     .dtypes = MT_D_ALL,
     PLAIN,
     .samples = "{f(3,4)}, {f(3,4), 1}, {f(3,4), 2, true}, {f()}, {t(f(3,4))}"},
    {.sig = MT_SIG("topk(Tensor self, int k, dim dim=-1, bool largest=true, bool sorted=true) "
                   "-> (Tensor values, Tensor indices)"),
     .doc = "The k largest (or smallest) elements along a dimension, best first, and where they "
            "stood.",
     .infer = topk_infer,
     .run = topk_run,
     .vjp = topk_vjp,
     .saves = "self:out1",
     .dtypes = MT_D_ALL,
     PLAIN,
     .samples = "{f(3,4), 2}, {f(3,4), 2, 1}, {f(3,4), 3, 2, false}, {f(), 1}, {f(2,20), 2}, "
                "{t(f(3,4)), 2}"},
    {.sig = MT_SIG("kthvalue(Tensor self, int k, dim dim=-1, bool keepdim=false) "
                   "-> (Tensor values, Tensor indices)"),
     .doc = "The k-th smallest element along a dimension, and where it stood.",
     .infer = kthvalue_infer,
     .run = kthvalue_run,
     .vjp = kthvalue_vjp,
     .saves = "self:out1",
     .dtypes = MT_D_NUMBER,
     PLAIN,
     .samples = "{f(3,4), 2}, {f(3,4), 2, 1}, {f(3,4), 1, 2, true}, {f(), 1}, {t(f(3,4)), 2}"},
    {.sig = MT_SIG("median(Tensor self) -> Tensor"),
     .doc = "The median of all elements, the lower of the two in the middle.",
     .composite = median_all,
     .dtypes = MT_D_NUMBER,
     .samples = "{f(3,4)}, {f(3,3)}, {f()}"},
    {.sig = MT_SIG("median.dim(Tensor self, dim dim, bool keepdim=false) "
                   "-> (Tensor values, Tensor indices)"),
     .doc = "The median along a dimension, the lower of the two in the middle, and where it stood.",
     .infer = median_dim_infer,
     .run = median_dim_run,
     .vjp = median_dim_vjp,
     .saves = "self:out1",
     .dtypes = MT_D_NUMBER,
     PLAIN,
     .samples = "{f(3,4), 2}, {f(3,4), 1}, {f(3,4), 2, true}, {f(), 1}"},
    {0}};
