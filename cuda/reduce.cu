// reduce.cu: reductions over dimensions: sum, mean, prod, all, any, count_nonzero, max, min, amax,
// amin, argmax, argmin, var, std, norm, logsumexp.
//
// A fold is a type with an accumulator, how a number enters it and how two are joined. Numbers
// are double or int64 on the way. One line is one result: its numbers are dealt out to the
// threads of the line (kit.cuh), and where lines are few and long also to segments, whose
// accumulators a second kernel joins in order. The cuts depend on shapes only.
#include "kit.cuh"

namespace {

// ---- folds: numbers (C: double or int64_t), `at` counts them from 0 in row-major order ----

template <typename C> struct one { C v; };

template <typename C> struct fold_sum {
  typedef one<C> acc;
  static __device__ acc start() { return {0}; }
  static __device__ void step(acc *a, C x, int64_t, double) { a->v += x; }
  static __device__ acc join(acc a, acc b) { return {a.v + b.v}; }
};
struct fold_sumabs : fold_sum<double> {
  static __device__ void step(acc *a, double x, int64_t, double) { a->v += fabs(x); }
};
struct fold_sumsq : fold_sum<double> {
  static __device__ void step(acc *a, double x, int64_t, double) { a->v += x * x; }
};
struct fold_sumpow : fold_sum<double> {
  static __device__ void step(acc *a, double x, int64_t, double p) { a->v += pow(fabs(x), p); }
};
template <typename C> struct fold_nonzero : fold_sum<int64_t> {
  static __device__ void step(acc *a, C x, int64_t, double) { a->v += x != 0; }
};
template <typename C> struct fold_prod {
  typedef one<C> acc;
  static __device__ acc start() { return {1}; }
  static __device__ void step(acc *a, C x, int64_t, double) { a->v *= x; }
  static __device__ acc join(acc a, acc b) { return {a.v * b.v}; }
};

// Bounds of a computed type.
static __device__ inline double lowest(double) {
  return -INFINITY;
}
static __device__ inline int64_t lowest(int64_t) {
  return INT64_MIN;
}
static __device__ inline double highest(double) {
  return INFINITY;
}
static __device__ inline int64_t highest(int64_t) {
  return INT64_MAX;
}

// NaN wins; LEAST: the smallest.
template <typename C, bool LEAST> static __device__ inline bool beats(C x, C best) {
  if (x != x || best != best) return x != x && best == best;
  return LEAST ? x < best : x > best;
}

template <typename C, bool LEAST> struct fold_extreme {
  typedef one<C> acc;
  static __device__ acc start() { return {LEAST ? highest(C()) : lowest(C())}; }
  static __device__ void step(acc *a, C x, int64_t, double) {
    if (beats<C, LEAST>(x, a->v)) a->v = x;
  }
  static __device__ acc join(acc a, acc b) { return beats<C, LEAST>(b.v, a.v) ? b : a; }
};
template <bool LEAST> struct fold_extremeabs : fold_extreme<double, LEAST> {
  typedef typename fold_extreme<double, LEAST>::acc acc;
  static __device__ void step(acc *a, double x, int64_t at, double p) {
    fold_extreme<double, LEAST>::step(a, fabs(x), at, p);
  }
};

template <typename C> struct place {
  C v;
  int64_t at; // -1: nothing yet
};
template <typename C, bool LEAST> struct fold_arg {
  typedef place<C> acc;
  static __device__ acc start() { return {0, -1}; }
  static __device__ void step(acc *a, C x, int64_t at, double) {
    if (a->at < 0 || beats<C, LEAST>(x, a->v)) *a = {x, at};
  }
  static __device__ acc join(acc a, acc b) {
    if (b.at < 0) return a;
    if (a.at < 0 || beats<C, LEAST>(b.v, a.v)) return b;
    bool equal = a.v == b.v || (a.v != a.v && b.v != b.v);
    return equal && b.at < a.at ? b : a;
  }
};

struct moments {
  double mean, squares, n;
};
// B. P. Welford, "Note on a method for calculating corrected sums of squares and products", 1962.
struct fold_var {
  typedef moments acc;
  static __device__ acc start() { return {0, 0, 0}; }
  static __device__ void step(acc *a, double x, int64_t, double) {
    a->n += 1;
    double d = x - a->mean;
    a->mean += d / a->n;
    a->squares += d * (x - a->mean);
  }
  static __device__ acc join(acc a, acc b) {
    if (b.n == 0) return a;
    if (a.n == 0) return b;
    double d = b.mean - a.mean, n = a.n + b.n, share = b.n / n;
    return {a.mean + d * share, a.squares + b.squares + d * d * a.n * share, n};
  }
};

struct exponents {
  double m, sum;
};
template <bool NARROW> struct fold_lse { // NARROW: exponentials in float
  typedef exponents acc;
  static __device__ double ex(double x) { return NARROW ? (double)expf((float)x) : exp(x); }
  static __device__ acc start() { return {-INFINITY, 0}; }
  static __device__ void step(acc *a, double x, int64_t, double) {
    if (x > a->m) {
      a->sum = a->sum * ex(a->m - x) + 1;
      a->m = x;
    } else if (x == a->m) {
      a->sum += 1;
    } else {
      a->sum += ex(x - a->m);
    }
  }
  static __device__ acc join(acc a, acc b) {
    double m = a.m > b.m ? a.m : b.m;
    double f = a.m == m ? 1 : ex(a.m - m), g = b.m == m ? 1 : ex(b.m - m);
    return {m, a.sum * f + b.sum * g};
  }
};

// ---- results ----

enum { FIN_VALUE, FIN_MEAN, FIN_ROOT, FIN_ANY, FIN_ALL, FIN_STD };

struct finish {
  int how;
  double n, param;
  char *value, *second; // either may be NULL
  int value_dtype, second_dtype;
};

static __device__ inline void put(const finish &f, int64_t i, one<int64_t> a) {
  int64_t v = a.v;
  if (f.how == FIN_ANY) v = v > 0;
  if (f.how == FIN_ALL) v = v == (int64_t)f.n;
  mtc_store<int64_t>(f.value, f.value_dtype, i, v);
}
static __device__ inline void put(const finish &f, int64_t i, one<double> a) {
  double v = a.v;
  if (f.how == FIN_MEAN) v /= f.n;
  if (f.how == FIN_ROOT) v = f.param == 2 ? sqrt(v) : f.param == 1 ? v : pow(v, 1 / f.param);
  mtc_store<double>(f.value, f.value_dtype, i, v);
}
template <typename C> static __device__ inline void put(const finish &f, int64_t i, place<C> a) {
  if (f.value) mtc_store<C>(f.value, f.value_dtype, i, a.v);
  mtc_store<int64_t>(f.second, f.second_dtype, i, a.at + 1);
}
static __device__ inline void put(const finish &f, int64_t i, moments a) {
  double left = f.n - f.param > 0 ? f.n - f.param : 0, v = a.squares / left;
  mtc_store<double>(f.value, f.value_dtype, i, f.how == FIN_STD ? sqrt(v) : v);
  if (f.second) mtc_store<double>(f.second, f.second_dtype, i, a.mean);
}
static __device__ inline void put(const finish &f, int64_t i, exponents a) {
  mtc_store<double>(f.value, f.value_dtype, i, a.m + log(a.sum));
}

// ---- the kernels ----

struct work {
  mtc_walk<1> kept, reduced; // of the input
  mtc_tile tile;
  int64_t segments, segment; // numbers of a segment
  const char *in;
  int dtype;
  double param;
};

template <typename A, typename F> struct joiner {
  __device__ A operator()(A a, A b) const { return F::join(a, b); }
};

// Line `line` of kept places, segment blockIdx / tile blocks: into the result, or into partial
// accumulators [segment][line].
template <typename F, typename C>
__global__ void fold_kernel(work w, finish f, typename F::acc *parts, int64_t blocks_a_segment) {
  typedef typename F::acc acc;
  __shared__ acc shared[MTC_THREADS];
  int64_t segment = blockIdx.x / blocks_a_segment, block = blockIdx.x % blocks_a_segment;
  int x = (int)threadIdx.x, lane = mtc_tile_lane(w.tile);
  int64_t line = block * w.tile.lines + (w.tile.across ? x % w.tile.lines : x / w.tile.width);
  bool live = line < w.kept.numel;
  acc a = F::start();
  if (live) {
    int64_t base, off, begin = segment * w.segment;
    int64_t end = begin + w.segment < w.reduced.numel ? begin + w.segment : w.reduced.numel;
    mtc_locate(w.kept, line, &base);
    if (w.reduced.ndim == 1) {
      int64_t step = w.reduced.stride[0][0];
      for (int64_t i = begin + lane; i < end; i += w.tile.width)
        F::step(&a, mtc_load<C>(w.in, w.dtype, base + i * step), i, w.param);
    } else {
      for (int64_t i = begin + lane; i < end; i += w.tile.width) {
        mtc_locate(w.reduced, i, &off);
        F::step(&a, mtc_load<C>(w.in, w.dtype, base + off), i, w.param);
      }
    }
  }
  a = mtc_join(w.tile, a, shared, joiner<acc, F>());
  if (!live || lane != 0) return;
  if (parts)
    parts[segment * w.kept.numel + line] = a;
  else
    put(f, line, a);
}

template <typename F>
__global__ void join_kernel(finish f, const typename F::acc *parts, int64_t lines,
                            int64_t segments) {
  MTC_EACH(line, lines) {
    typename F::acc a = parts[line];
    for (int64_t s = 1; s < segments; s++) a = F::join(a, parts[s * lines + line]);
    put(f, line, a);
  }
}

template <typename F, typename C>
int run(const mt_frame *f, work w, const finish &fin, int device, cudaStream_t s) {
  int64_t lines = w.kept.numel, blocks = mtc_tile_blocks(w.tile, lines);
  if (blocks * w.segments > 0x7fffffff)
    return mtc_host->fail(MT_ERR_UNSUPPORTED, "%s: too many results for one launch", f->op->name);
  typedef typename F::acc acc;
  mtc_scratch parts;
  if (w.segments > 1) MTC_TRY(parts.take(device, w.segments * lines * (int64_t)sizeof(acc)));
  MTC_LAUNCH((fold_kernel<F, C>), blocks * w.segments, MTC_THREADS, s, w, fin, (acc *)parts.p,
             blocks);
  MTC_TRY(mtc_launched(f->op->name));
  if (w.segments == 1) return MT_OK;
  MTC_LAUNCH((join_kernel<F>), mtc_grid(lines), MTC_THREADS, s, fin, (const acc *)parts.p, lines,
             w.segments);
  return mtc_launched(f->op->name);
}

// The input's dimensions, kept and reduced, and how threads are dealt out. ordered: `at` counts in
// row-major order (positions), else the reduced dimensions go by their strides.
void plan(work *w, const mt_tensor *in, uint32_t mask, bool ordered) {
  memset(w, 0, sizeof *w);
  for (int d = 0; d < in->ndim; d++) {
    mtc_walk<1> *to = mask >> d & 1 ? &w->reduced : &w->kept;
    to->size[to->ndim] = in->sizes[d];
    to->stride[0][to->ndim++] = in->sizes[d] == 1 ? 0 : in->strides[d];
  }
  mtc_walk_finish(&w->kept, false);
  mtc_walk_finish(&w->reduced, !ordered);
  w->in = mtc_ptr(in);
  w->dtype = in->dtype;
  int64_t n = w->reduced.numel, lines = w->kept.numel;
  int64_t along = llabs(w->reduced.stride[0][w->reduced.ndim - 1]);
  int64_t beside = llabs(w->kept.stride[0][w->kept.ndim - 1]);
  bool across = lines > 1 && beside != 0 && beside < along;
  w->tile = mtc_tile_for(n, lines, across);
  int64_t blocks = mtc_tile_blocks(w->tile, lines), per = 4096;
  if (blocks < 1) blocks = 1; // no lines
  int64_t most = blocks < 1024 ? 1024 / blocks : 1, want = n / (per * w->tile.width / 256 + 1);
  w->segments = want < 1 ? 1 : want > most ? most : want;
  w->segment = (n + w->segments - 1) / w->segments;
  if (w->segment < 1) w->segment = 1;
  w->segments = n ? (n + w->segment - 1) / w->segment : 1;
}

enum kind {
  SUM,
  SUMABS,
  SUMSQ,
  SUMPOW,
  PROD,
  NONZERO,
  MAX,
  MIN,
  MAXABS,
  MINABS,
  ARGMAX,
  ARGMIN,
  VAR,
  LSE
};

// ints: numbers are int64 on the way.
int reduce(mt_frame *f, int kind, bool ints, int how, double param, const mt_tensor *value,
           const mt_tensor *second, bool ordered) {
  const mt_tensor *in = f->args[0].u.t;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, in->device));
  work w;
  finish fin;
  memset(&fin, 0, sizeof fin);
  plan(&w, in, (uint32_t)f->priv[0], ordered);
  w.param = param;
  if (w.kept.numel == 0) return MT_OK;
  fin.how = how;
  fin.n = (double)w.reduced.numel;
  fin.param = param;
  if (value) fin.value = mtc_ptr(value), fin.value_dtype = value->dtype;
  if (second) fin.second = mtc_ptr(second), fin.second_dtype = second->dtype;
  int device = in->device;
  if (ints) switch (kind) {
    case SUM:
      return run<fold_sum<int64_t>, int64_t>(f, w, fin, device, s);
    case PROD:
      return run<fold_prod<int64_t>, int64_t>(f, w, fin, device, s);
    case NONZERO:
      return run<fold_nonzero<int64_t>, int64_t>(f, w, fin, device, s);
    case MAX:
      return run<fold_extreme<int64_t, false>, int64_t>(f, w, fin, device, s);
    case MIN:
      return run<fold_extreme<int64_t, true>, int64_t>(f, w, fin, device, s);
    case ARGMAX:
      return run<fold_arg<int64_t, false>, int64_t>(f, w, fin, device, s);
    case ARGMIN:
      return run<fold_arg<int64_t, true>, int64_t>(f, w, fin, device, s);
    default:
      break;
    }
  switch (kind) {
  case SUM:
    return run<fold_sum<double>, double>(f, w, fin, device, s);
  case SUMABS:
    return run<fold_sumabs, double>(f, w, fin, device, s);
  case SUMSQ:
    return run<fold_sumsq, double>(f, w, fin, device, s);
  case SUMPOW:
    return run<fold_sumpow, double>(f, w, fin, device, s);
  case PROD:
    return run<fold_prod<double>, double>(f, w, fin, device, s);
  case NONZERO:
    return run<fold_nonzero<double>, double>(f, w, fin, device, s);
  case MAX:
    return run<fold_extreme<double, false>, double>(f, w, fin, device, s);
  case MIN:
    return run<fold_extreme<double, true>, double>(f, w, fin, device, s);
  case MAXABS:
    return run<fold_extremeabs<false>, double>(f, w, fin, device, s);
  case MINABS:
    return run<fold_extremeabs<true>, double>(f, w, fin, device, s);
  case ARGMAX:
    return run<fold_arg<double, false>, double>(f, w, fin, device, s);
  case ARGMIN:
    return run<fold_arg<double, true>, double>(f, w, fin, device, s);
  case VAR:
    return run<fold_var, double>(f, w, fin, device, s);
  default:
    if (value->dtype == MT_FLOAT64) return run<fold_lse<false>, double>(f, w, fin, device, s);
    return run<fold_lse<true>, double>(f, w, fin, device, s);
  }
}

// ---- the ops ----

bool whole(const mt_tensor *t) {
  return !mt__is_float(t->dtype);
}

int sum_op(mt_frame *f) {
  return reduce(f, SUM, whole(f->out[0]), FIN_VALUE, 0, f->out[0], NULL, false);
}
int mean_op(mt_frame *f) {
  return reduce(f, SUM, false, FIN_MEAN, 0, f->out[0], NULL, false);
}
int prod_op(mt_frame *f) {
  return reduce(f, PROD, whole(f->out[0]), FIN_VALUE, 0, f->out[0], NULL, false);
}

int nonzero(mt_frame *f, int how) {
  return reduce(f, NONZERO, whole(f->args[0].u.t), how, 0, f->out[0], NULL, false);
}
int all_op(mt_frame *f) {
  return nonzero(f, FIN_ALL);
}
int any_op(mt_frame *f) {
  return nonzero(f, FIN_ANY);
}
int count_op(mt_frame *f) {
  return nonzero(f, FIN_VALUE);
}

int extreme(mt_frame *f, int kind, const mt_tensor *value, const mt_tensor *index) {
  return reduce(f, kind, whole(f->args[0].u.t), FIN_VALUE, 0, value, index, index != NULL);
}
int max_op(mt_frame *f) {
  return extreme(f, MAX, f->out[0], NULL);
}
int min_op(mt_frame *f) {
  return extreme(f, MIN, f->out[0], NULL);
}
int max_dim_op(mt_frame *f) {
  return extreme(f, ARGMAX, f->out[0], f->out[1]);
}
int min_dim_op(mt_frame *f) {
  return extreme(f, ARGMIN, f->out[0], f->out[1]);
}
int argmax_op(mt_frame *f) {
  return extreme(f, ARGMAX, NULL, f->out[0]);
}
int argmin_op(mt_frame *f) {
  return extreme(f, ARGMIN, NULL, f->out[0]);
}

// (self, dim, unbiased, keepdim, correction)
int moments_op(mt_frame *f, int how) {
  double correction = f->args[4].kind != MT_NONE                          ? mt__num(&f->args[4])
                      : f->args[2].kind == MT_NONE || f->args[2].u.i != 0 ? 1
                                                                          : 0;
  return reduce(f, VAR, false, how, correction, f->out[0], f->nout > 1 ? f->out[1] : NULL, false);
}
int var_op(mt_frame *f) {
  return moments_op(f, FIN_VALUE);
}
int std_op(mt_frame *f) {
  return moments_op(f, FIN_STD);
}

int norm_op(mt_frame *f) {
  double p = mt__num(&f->args[1]);
  if (p == 0) return reduce(f, NONZERO, false, FIN_VALUE, p, f->out[0], NULL, false);
  if (p == 1) return reduce(f, SUMABS, false, FIN_VALUE, p, f->out[0], NULL, false);
  if (p == 2) return reduce(f, SUMSQ, false, FIN_ROOT, p, f->out[0], NULL, false);
  if (p - p != 0)
    return reduce(f, p > 0 ? MAXABS : MINABS, false, FIN_VALUE, p, f->out[0], NULL, false);
  return reduce(f, SUMPOW, false, FIN_ROOT, p, f->out[0], NULL, false);
}

int lse_op(mt_frame *f) {
  return reduce(f, LSE, false, FIN_VALUE, 0, f->out[0], NULL, false);
}

const mtc_kernel table[] = {
    {"sum", MT_D_ALL, sum_op, true},         {"mean", MT_D_ALL, mean_op, true},
    {"prod", MT_D_ALL, prod_op, true},       {"all", MT_D_ALL, all_op, true},
    {"any", MT_D_ALL, any_op, true},         {"count_nonzero", MT_D_ALL, count_op, true},
    {"max", MT_D_ALL, max_op, true},         {"min", MT_D_ALL, min_op, true},
    {"max.dim", MT_D_ALL, max_dim_op, true}, {"min.dim", MT_D_ALL, min_dim_op, true},
    {"amax", MT_D_ALL, max_op, true},        {"amin", MT_D_ALL, min_op, true},
    {"argmax", MT_D_ALL, argmax_op, true},   {"argmin", MT_D_ALL, argmin_op, true},
    {"var", MT_D_FLOAT, var_op, true},       {"var_mean", MT_D_FLOAT, var_op, true},
    {"std", MT_D_FLOAT, std_op, true},       {"std_mean", MT_D_FLOAT, std_op, true},
    {"norm", MT_D_FLOAT, norm_op, true},     {"logsumexp", MT_D_ALL, lse_op, true},
};
MTC_FAMILY(reducing, table);

} // namespace
