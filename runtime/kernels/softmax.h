/* kernels/softmax.h: the loops of softmax, log_softmax and cross-entropy, for float and double.
 *
 * Row functions take `rows` rows of n contiguous numbers, one after the other. The pieces are for
 * rows that are staged: callers hand over at most MT_SM_CHUNK numbers at once and join in double
 * what comes back. Column functions take `rows` rows of w <= MT_SM_LANES numbers, `stride` numbers
 * apart, and keep one value a column; at most MT_SM_ROWS rows at once.
 */
#ifndef MT_KERNELS_SOFTMAX_H
#define MT_KERNELS_SOFTMAX_H

#include <stdbool.h>
#include <stdint.h>

enum { MT_SM_LANES = 64, MT_SM_CHUNK = 4096, MT_SM_ROWS = 16 };

typedef struct mt_softmax_loops {
  /* rows */
  void (*rows)(const void *x, void *y, int64_t rows, int64_t n, bool log);
  void (*rows_back)(const void *g, const void *y, void *out, int64_t rows, int64_t n, bool log);
  /* lse[r] = log(sum(exp(x))) */
  void (*rows_lse)(const void *x, int64_t rows, int64_t n, double *lse);
  /* out = k[r] exp(x - lse[r]) */
  void (*rows_exp)(const void *x, void *out, int64_t rows, int64_t n, const double *lse,
                   const double *k);
  /* pieces of a row; max passes over NaN, m is the row's maximum */
  double (*max)(const void *x, int64_t n);
  double (*exp_sum)(const void *x, int64_t n, double m);
  double (*sum)(const void *x, int64_t n);
  double (*dot)(const void *x, const void *y, int64_t n);
  void (*exp_scale)(const void *x, void *y, int64_t n, double m, double k); /* k exp(x - m) */
  void (*shift)(const void *x, void *y, int64_t n, double c);               /* x - c */
  void (*back)(const void *g, const void *y, void *out, int64_t n, double d, bool log);
  /* columns; m, k, c, d are numbers of the same kind, the sums doubles. (m, s) are the running
   * maximum and sum of exp(x - m), to begin with -inf and 0 */
  void (*col_online)(const void *x, int64_t stride, int64_t rows, int64_t w, void *m, double *s);
  void (*col_lse)(const void *m, const double *s, int64_t w, double *lse); /* m + log(s) */
  void (*col_exp)(const void *x, int64_t xs, void *y, int64_t ys, int64_t rows, int64_t w,
                  const void *m, const void *k);
  void (*col_shift)(const void *x, int64_t xs, void *y, int64_t ys, int64_t rows, int64_t w,
                    const void *c);
  void (*col_dot)(const void *g, int64_t gs, const void *y, int64_t ys, int64_t rows, int64_t w,
                  double *d); /* y NULL: the sum of g */
  void (*col_back)(const void *g, int64_t gs, const void *y, int64_t ys, void *out, int64_t os,
                   int64_t rows, int64_t w, const void *d, bool log);
} mt_softmax_loops;

typedef struct mt_kern_softmax {
  mt_softmax_loops f32, f64;
} mt_kern_softmax;

#endif
