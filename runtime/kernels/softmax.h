/* kernels/softmax.h: the loops of softmax, log_softmax and cross-entropy, for float and double.
 *
 * Row functions take n contiguous numbers; column functions `rows` rows of w <= MT_SM_LANES
 * numbers, `stride` numbers apart, and keep one value a column. Callers hand over at most
 * MT_SM_CHUNK numbers of a row, or MT_SM_ROWS rows, at once and add up in double what comes back.
 */
#ifndef MT_KERNELS_SOFTMAX_H
#define MT_KERNELS_SOFTMAX_H

#include <stdint.h>

enum { MT_SM_LANES = 64, MT_SM_CHUNK = 4096, MT_SM_ROWS = 64 };

typedef struct mt_softmax_loops {
  double (*max)(const void *x, int64_t n);                          /* NaN is passed over */
  double (*exp_sum)(const void *x, int64_t n, double m);            /* sum exp(x - m) */
  double (*exp_store)(const void *x, void *y, int64_t n, double m); /* y = exp(x - m); sum */
  void (*exp_scale)(const void *x, void *y, int64_t n, double m, double k); /* k exp(x - m) */
  void (*scale)(void *y, int64_t n, double k);                              /* y *= k */
  void (*shift)(const void *x, void *y, int64_t n, double c);               /* y = x - c */
  double (*sum)(const void *x, int64_t n);
  double (*dot)(const void *x, const void *y, int64_t n);
  void (*back)(const void *g, const void *y, void *out, int64_t n, double dot); /* y (g - dot) */
  void (*log_back)(const void *g, const void *y, void *out, int64_t n, double sum);
  /* g - exp(y) sum */
  /* columns: m, c, d are numbers of the same kind, s doubles */
  void (*col_max)(const void *x, int64_t stride, int64_t rows, int64_t w, void *m);
  void (*col_exp_sum)(const void *x, int64_t stride, int64_t rows, int64_t w, const void *m,
                      double *s);
  void (*col_exp)(const void *x, int64_t xs, void *y, int64_t ys, int64_t rows, int64_t w,
                  const void *m, const void *k);
  void (*col_shift)(const void *x, int64_t xs, void *y, int64_t ys, int64_t rows, int64_t w,
                    const void *c);
  void (*col_dot)(const void *g, int64_t gs, const void *y, int64_t ys, int64_t rows, int64_t w,
                  double *d); /* y NULL: the sum of g */
  void (*col_back)(const void *g, int64_t gs, const void *y, int64_t ys, void *out, int64_t os,
                   int64_t rows, int64_t w, const void *d);
  void (*col_log_back)(const void *g, int64_t gs, const void *y, int64_t ys, void *out, int64_t os,
                       int64_t rows, int64_t w, const void *d);
  /* lse = m + log(s) */
  void (*col_lse)(const void *m, const double *s, int64_t w, double *lse);
  /* short rows become columns: tile[i * MT_SM_LANES + r] = x[r * n + i] for r < rows; lanes up to
   * a multiple of 16 are filled with 0 */
  void (*to_tile)(const void *x, int64_t rows, int64_t n, void *tile);
  void (*from_tile)(const void *tile, int64_t rows, int64_t n, void *x);
} mt_softmax_loops;

/* Lanes of a tile of so many rows: a multiple of 16, so that loops over them have no rest. */
static inline int64_t mt_sm_width(int64_t rows) {
  return (rows + 15) & ~(int64_t)15;
}

typedef struct mt_kern_softmax {
  mt_softmax_loops f32, f64;
} mt_kern_softmax;

#endif
