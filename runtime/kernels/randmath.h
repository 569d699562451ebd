/* randmath.h: what random ops make of an element's words, operation by operation.
 *
 * Plain C that a CUDA compiler reads as well (with MT_PHILOX_FN and MT_FMA set, and products and
 * sums kept apart as here, -fmad=false), so that every device gives the same: uniform numbers and choices bit for bit, normal and exponential float32
 * numbers wherever there is a fused multiply-add, and those of float64, which use the library's
 * log, sin and cos, to a few ulp.
 */
#ifndef MT_RANDMATH_H
#define MT_RANDMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "philox.h"

/* [0, 1) of 24 bits of one word, of 53 bits of two */
MT_PHILOX_FN float mt__unit_f32(uint32_t w) {
  return (float)(int32_t)(w >> 8) * 0x1p-24f;
}
MT_PHILOX_FN double mt__unit_f64(uint32_t w0, uint32_t w1) {
  return (double)(int64_t)((uint64_t)w0 << 21 | w1 >> 11) * 0x1p-53;
}

/* (0, 1) of 23 bits of one word, of 52 bits of two: the middles of equal intervals */
MT_PHILOX_FN float mt__open_f32(uint32_t w) {
  return ((float)(int32_t)(w >> 9) + 0.5f) * 0x1p-23f;
}
MT_PHILOX_FN double mt__open_f64(uint32_t w0, uint32_t w1) {
  return ((double)(int64_t)((uint64_t)w0 << 20 | w1 >> 12) + 0.5) * 0x1p-52;
}

/* low + (64 bits * count) / 2^64: whole numbers from low on, count of them */
MT_PHILOX_FN int64_t mt__integer_of(uint32_t w0, uint32_t w1, int64_t low, uint64_t count) {
  /* the upper half of a 64 x 64 product, from four of 32 x 32 */
  uint64_t lo = count & 0xffffffffu, hi = count >> 32;
  uint64_t mid = (uint64_t)w1 * hi + ((uint64_t)w1 * lo >> 32);
  uint64_t cross = (uint64_t)w0 * lo + (mid & 0xffffffffu);
  return (int64_t)((uint64_t)low + (uint64_t)w0 * hi + (mid >> 32) + (cross >> 32));
}

/* ln v for v in [2^-32, 1]: v = m 2^k with m in [sqrt 1/2, sqrt 2), and a polynomial in m - 1
 * whose coefficients were fitted for this range by the Cephes library of S. Moshier. */
MT_PHILOX_FN float mt__log_unit(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  int32_t e = (int32_t)(bits - 0x3f3504f3u) >> 23;
  uint32_t mbits = bits - ((uint32_t)e << 23);
  float m, k = (float)e;
  memcpy(&m, &mbits, sizeof m);
  float x = m - 1.0f, z = x * x;
  float p = 7.0376836292e-2f;
  p = MT_FMA(p, x, -1.1514610310e-1f);
  p = MT_FMA(p, x, 1.1676998740e-1f);
  p = MT_FMA(p, x, -1.2420140846e-1f);
  p = MT_FMA(p, x, 1.4249322787e-1f);
  p = MT_FMA(p, x, -1.6668057665e-1f);
  p = MT_FMA(p, x, 2.0000714765e-1f);
  p = MT_FMA(p, x, -2.4999993993e-1f);
  p = MT_FMA(p, x, 3.3333331174e-1f);
  float y = p * x * z;
  y = MT_FMA(k, -2.12194440e-4f, y);
  y = MT_FMA(-0.5f, z, y);
  return MT_FMA(k, 0.693359375f, x + y);
}

/* Two normal numbers times std plus mean, of two words: G. Box and M. Muller, "A Note on the
 * Generation of Random Normal Deviates", 1958. The first word gives the radius sqrt(-2 ln v), the
 * second the angle: its two top bits are quarter turns, the rest a signed part of one, in which
 * sine and cosine are polynomials (coefficients from Cephes). */
MT_PHILOX_FN void mt__normal_pair_f32(uint32_t a, uint32_t b, float mean, float std, float *first,
                                      float *second) {
  float v = (float)(int32_t)(a >> 1) * 0x1p-31f + 0x1p-32f;
  float r = sqrtf(-2.0f * mt__log_unit(v)) * std;
  float t = (float)(int32_t)(b << 2) * (0x1p-32f * 1.57079632679489662f), z = t * t;
  float s = -1.9515295891e-4f, c = 2.443315711809948e-5f;
  s = MT_FMA(s, z, 8.3321608736e-3f);
  s = MT_FMA(s, z, -1.6666654611e-1f);
  s = MT_FMA(s * z, t, t);
  c = MT_FMA(c, z, -1.388731625493765e-3f);
  c = MT_FMA(c, z, 4.166664568298827e-2f);
  c = MT_FMA(c * z, z, MT_FMA(-0.5f, z, 1.0f));
  /* quarters 0..3: (c, s), (-s, c), (-c, -s), (s, -c); selects on bits, for the vectoriser */
  uint32_t odd = 0u - (b >> 30 & 1u), flip = b & 0x80000000u, sb, cb;
  memcpy(&sb, &s, sizeof sb);
  memcpy(&cb, &c, sizeof cb);
  uint32_t xb = ((cb & ~odd) | (sb & odd)) ^ flip ^ (odd & 0x80000000u);
  uint32_t yb = ((sb & ~odd) | (cb & odd)) ^ flip;
  float x, y;
  memcpy(&x, &xb, sizeof x);
  memcpy(&y, &yb, sizeof y);
  *first = x * r + mean;
  *second = y * r + mean;
}

/* The same in float64 of four words: two for the radius, two for the angle. */
MT_PHILOX_FN void mt__normal_pair_f64(const uint32_t *w, double mean, double std, double *first,
                                      double *second) {
  double r = sqrt(-2 * log(mt__open_f64(w[0], w[1]))) * std;
  uint64_t turn = (uint64_t)w[2] << 32 | w[3];
  double t = (double)(int64_t)(turn << 2) * (0x1p-64 * 1.57079632679489661923);
  double s = sin(t), c = cos(t);
  int quarter = (int)(turn >> 62);
  double x = quarter & 1 ? s : c, y = quarter & 1 ? c : s;
  if (quarter == 1 || quarter == 2) x = -x;
  if (quarter >= 2) y = -y;
  *first = x * r + mean;
  *second = y * r + mean;
}

#endif
