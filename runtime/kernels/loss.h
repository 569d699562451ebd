/* kernels/loss.h: losses that compare input and target element by element, for float and double.
 * p is the loss's parameter (beta, delta). Callers hand over at most MT_LOSS_CHUNK elements at
 * once to sum. */
#ifndef MT_KERNELS_LOSS_H
#define MT_KERNELS_LOSS_H

#include <stdint.h>

enum { MT_LOSS_CHUNK = 4096 };

enum mt_loss_kind {
  MT_LOSS_MSE,        /* (x - t)^2 */
  MT_LOSS_L1,         /* |x - t| */
  MT_LOSS_SMOOTH_L1,  /* (x - t)^2 / (2 p) near 0, |x - t| - p / 2 beyond p */
  MT_LOSS_HUBER,      /* (x - t)^2 / 2 near 0, p (|x - t| - p / 2) beyond p */
  MT_LOSS_BCE,        /* -t log(x) - (1 - t) log(1 - x), logarithms at least -100 */
  MT_LOSS_BCE_LOGITS, /* the same of sigmoid(x), without overflow */
  MT_NLOSSES
};

typedef struct mt_loss_loops {
  double (*sum)(const void *x, const void *t, int64_t n, double p);
  void (*each)(const void *x, const void *t, void *y, int64_t n, double p);
  /* y = derivative to x, times g[i], or times k where g is NULL */
  void (*back)(const void *x, const void *t, const void *g, double k, void *y, int64_t n, double p);
} mt_loss_loops;

typedef struct mt_kern_loss {
  mt_loss_loops f32[MT_NLOSSES], f64[MT_NLOSSES];
} mt_kern_loss;

#endif
