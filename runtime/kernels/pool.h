/* pool.h: kernels of 2-D pooling; each works on one plane.
 *
 * Which element of its window a maximum came from is kept as the tap's number, row by row in the
 * kernel, in one byte where all taps fit (small) and in an int32 otherwise.
 */
#ifndef MT_KERN_POOL_H
#define MT_KERN_POOL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mt_pool {
  int64_t in[2], out[2];          /* height, width */
  int64_t k[2], s[2], p[2], d[2]; /* kernel, stride, padding, dilation */
  bool small;                     /* taps as bytes */
  bool pairs;                     /* windows of 2 x 2 side by side, none over the edge */
  bool count_padding;             /* averages: padding counts as elements */
  int64_t divisor;                /* averages: instead of the count; 0: the count */
} mt_pool;

typedef struct mt_pool_kernels {
  /* y = maxima; where: their taps, or NULL. NaN wins; of equals the first. */
  void (*max)(const mt_pool *p, const void *x, void *y, void *where);
  /* dx = g at the taps, summed where windows overlap, else 0 */
  void (*spread)(const mt_pool *p, const void *g, const void *where, void *dx);
  /* y = x at the taps: spread's own derivative */
  void (*pick)(const mt_pool *p, const void *x, const void *where, void *y);
  void (*mean)(const mt_pool *p, const void *x, void *y);
  void (*mean_grad)(const mt_pool *p, const void *g, void *dx);
} mt_pool_kernels;

typedef struct mt_kern_pool {
  mt_pool_kernels f32, f64, i64; /* i64: max only */
} mt_kern_pool;

/* The outputs o whose tap at `at` (tap * dilation) is inside: from lo to hi. */
static inline void mt_pool_range(const mt_pool *p, int i, int64_t at, int64_t *lo, int64_t *hi) {
  const int64_t first = p->p[i] - at, last = p->in[i] - 1 + p->p[i] - at;
  *lo = first > 0 ? (first + p->s[i] - 1) / p->s[i] : 0;
  *hi = last < 0 ? 0 : last / p->s[i] + 1;
  if (*hi > p->out[i]) *hi = p->out[i];
  if (*lo > *hi) *lo = *hi;
}

/* How many elements the mean at output o divides by, along dimension i. */
static inline int64_t mt_pool_count(const mt_pool *p, int i, int64_t o) {
  int64_t from = o * p->s[i] - p->p[i], to = from + p->k[i];
  if (to > p->in[i] + p->p[i]) to = p->in[i] + p->p[i];
  if (p->count_padding) return to - from;
  if (from < 0) from = 0;
  if (to > p->in[i]) to = p->in[i];
  return to > from ? to - from : 0;
}

#endif
