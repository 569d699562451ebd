/* reduction.h: the one driver behind every reduction over dimensions.
 *
 * An op says what to fold (kernels/reduce.h) and what to make of the folded numbers; the driver
 * finds the order in which memory is best walked, stages what is strided or of another dtype
 * through small tiles, and cuts the work by shape, so that the bits do not depend on threads.
 */
#ifndef MT_REDUCTION_H
#define MT_REDUCTION_H

#include "internal.h"
#include "kernels/reduce.h"

/* From a, b (kernels/reduce.h) and the count n to the result. */
enum mt_finish {
  MT_FIN_VALUE, /* a */
  MT_FIN_MEAN,  /* a / n */
  MT_FIN_ROOT,  /* a ^ (1 / param) */
  MT_FIN_ANY,   /* a > 0 */
  MT_FIN_ALL,   /* a == n */
  MT_FIN_VAR,   /* b / (n - param); second: a */
  MT_FIN_STD,   /* its square root; second: a */
  MT_FIN_LSE,   /* a + log(b) */
  MT_FIN_ARG    /* a; second: b + 1 */
};

typedef struct mt_reduction {
  const mt_tensor *in;
  uint32_t mask; /* the reduced dimensions */
  int kind;      /* mt_fold_kind */
  int number;    /* mt_number: what it is computed in */
  int finish;    /* mt_finish */
  double param;
  void (*map)(double *x, int64_t n, double param); /* applied first; number is then F64 */
  mt_tensor *value;  /* row-major over the kept dimensions; may be NULL */
  mt_tensor *second; /* likewise */
  void *work;        /* mt__reduction_work() bytes */
} mt_reduction;

/* ordered: positions over several dimensions count in row-major order (argmax of everything). */
size_t mt__reduction_work(const mt_tensor *in, uint32_t mask, bool ordered);
int mt__reduce(const mt_reduction *r, bool ordered);

/* The number that a dtype is folded in. */
static inline int mt__number_of(int dtype) {
  return dtype == MT_FLOAT64 ? MT_NUM_F64 : mt__is_float(dtype) ? MT_NUM_F32 : MT_NUM_I64;
}

#endif
