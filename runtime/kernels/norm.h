/* kernels/norm.h: the loops of layer_norm, for float and double. Rows are contiguous. Callers
 * hand over at most MT_NORM_CHUNK numbers at once to the functions that return sums. */
#ifndef MT_KERNELS_NORM_H
#define MT_KERNELS_NORM_H

#include <stdint.h>

enum { MT_NORM_CHUNK = 4096 };

/* One row's mean and 1 / sqrt(variance + eps); xhat = (x - mean) * rstd. */
typedef struct mt_norm_row {
  double mean, rstd;
} mt_norm_row;

typedef struct mt_norm_loops {
  double (*sum)(const void *x, int64_t n);
  double (*square_sum)(const void *x, int64_t n, double mean); /* of x - mean */
  /* y = xhat * w + b; w and b may be NULL */
  void (*apply)(const void *x, void *y, int64_t n, mt_norm_row row, const void *w, const void *b);
  /* sums[0] += sum(g w), sums[1] += sum(g w xhat); gw += g xhat, gb += g unless NULL */
  void (*back_sums)(const void *g, const void *x, int64_t n, mt_norm_row row, const void *w,
                    double *sums, void *gw, void *gb);
  /* gx = rstd * (g w - a - xhat b) */
  void (*back_apply)(const void *g, const void *x, void *gx, int64_t n, mt_norm_row row,
                     const void *w, double a, double b);
} mt_norm_loops;

typedef struct mt_kern_norm {
  mt_norm_loops f32, f64;
} mt_kern_norm;

#endif
