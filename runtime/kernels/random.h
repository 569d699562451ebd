/* kernels/random.h: contiguous loops of random numbers.
 *
 * Words come from philox.h: element i of an op that takes one word an element has word i % 4 of
 * counter i / 4, of one that takes two has words 2 (i % 2) and the next of counter i / 2. What is
 * made of an element's words stands in randmath.h.
 */
#ifndef MT_KERNELS_RANDOM_H
#define MT_KERNELS_RANDOM_H

#include <stdint.h>

enum { MT_RANDOM_STEP = 32 }; /* counters that words() makes at a time */

typedef struct mt_kern_random {
  /* 4 * counters words from counter `index` on; counters is a multiple of MT_RANDOM_STEP */
  void (*words)(uint32_t *out, uint64_t seed, uint64_t stream, uint64_t index, int64_t counters);
  /* lo + range * u, at most top; u in [0, 1): 24 bits of one word, 53 of two */
  void (*uniform_f32)(float *out, const uint32_t *w, int64_t n, float lo, float range, float top);
  void (*uniform_f64)(double *out, const uint32_t *w, int64_t n, double lo, double range,
                      double top);
  /* mean + std * normal, n even: elements 2 k and 2 k + 1 share their two words */
  void (*normal_f32)(float *out, const uint32_t *w, int64_t n, float mean, float std);
  /* -ln(v) * scale, v = (k + 1/2) 2^-23 from 23 bits of one word */
  void (*exponential_f32)(float *out, const uint32_t *w, int64_t n, float scale);
  /* low + (two words * count) / 2^64 */
  void (*integers)(int64_t *out, const uint32_t *w, int64_t n, int64_t low, uint64_t count);
  /* word <= last */
  void (*below)(uint8_t *out, const uint32_t *w, int64_t n, uint32_t last);
  /* word <= last ? x * scale : 0 */
  void (*keep_f32)(float *out, const float *x, const uint32_t *w, int64_t n, uint32_t last,
                   float scale);
} mt_kern_random;

#endif
