/* kernels/reduce.c: folds of float, double and int64 tiles (see reduce.h). */
#include "reduce.h"

#include <math.h>

#include "kernels.h"
#include "vmath.h"

#define T        float
#define ACC      double
#define FN(x)    x##_f32
#define IS_FLOAT 1
#define ABS      fabsf
#define EXP      vm_expf
#define ROWNR    int32_t
#include "reduce.inc"

#define T        double
#define ACC      double
#define FN(x)    x##_f64
#define IS_FLOAT 1
#define ABS      fabs
#define EXP      exp
#define ROWNR    int64_t
#include "reduce.inc"

#define T        int64_t
#define ACC      int64_t
#define FN(x)    x##_i64
#define IS_FLOAT 0
#define ROWNR    int64_t
#include "reduce.inc"

static void row_sum_i64(const void *xp, int64_t n, void *ap) {
  const uint64_t *x = xp;
  uint64_t *a = ap, s = *a;
  for (int64_t i = 0; i < n; i++) s += x[i];
  *a = s;
}

static void row_nonzero_i64(const void *xp, int64_t n, void *ap) {
  const int64_t *x = xp;
  int64_t *a = ap, s = *a;
  for (int64_t i = 0; i < n; i++) s += x[i] != 0;
  *a = s;
}

/* Bytes count in bytes for 255 rounds at most, then in int64. */
static int64_t count_bytes(const uint8_t *x, int64_t n) {
  int64_t total = 0, i = 0;
  while (i + MT_LANES <= n) {
    int64_t rounds = (n - i) / MT_LANES < 255 ? (n - i) / MT_LANES : 255;
    uint8_t c[MT_LANES] = {0};
    for (int64_t end = i + rounds * MT_LANES; i < end; i += MT_LANES)
      for (int j = 0; j < MT_LANES; j++) c[j] = (uint8_t)(c[j] + (x[i + j] != 0));
    for (int j = 0; j < MT_LANES; j++) total += c[j];
  }
  for (; i < n; i++) total += x[i] != 0;
  return total;
}

#define EACH(x)                                                                                    \
  { x##_f32, x##_f64, x##_i64 }
#define FLOATS(x)                                                                                  \
  { x##_f32, x##_f64, 0 }

const mt_kern_reduce MT_KERN(reduce) = {
    .fold = {[MT_FOLD_SUM] = EACH(fold_sum),
             [MT_FOLD_SUMABS] = FLOATS(fold_sumabs),
             [MT_FOLD_SUMSQ] = FLOATS(fold_sumsq),
             [MT_FOLD_PROD] = EACH(fold_prod),
             [MT_FOLD_NONZERO] = EACH(fold_nonzero),
             [MT_FOLD_MAX] = EACH(fold_max),
             [MT_FOLD_MIN] = EACH(fold_min),
             [MT_FOLD_ARGMAX] = EACH(fold_argmax),
             [MT_FOLD_ARGMIN] = EACH(fold_argmin),
             [MT_FOLD_VAR] = FLOATS(fold_var),
             [MT_FOLD_LSE] = FLOATS(fold_lse)},
    .row = {[MT_FOLD_SUM] = EACH(row_sum),
            [MT_FOLD_SUMABS] = FLOATS(row_sumabs),
            [MT_FOLD_SUMSQ] = FLOATS(row_sumsq),
            [MT_FOLD_NONZERO] = EACH(row_nonzero),
            [MT_FOLD_MAX] = EACH(row_max),
            [MT_FOLD_MIN] = EACH(row_min)},
    .count_bytes = count_bytes,
    .find = EACH(find),
};
