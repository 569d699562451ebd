/* pool.c: 2-D pooling of one plane (see pool.h). Windows of 2 x 2 side by side in float have loops
 * of their own, which read and write every element once, by whole vectors. */
#include "pool.h"

#include <math.h>

#include "kernels.h"
#include "simd.h"

enum { CHUNK = 256 };

/* ---- 2 x 2 ---- */

#define LOW(l, h, n)      ((l) / 2 + ((l) % 2) * (n))
#define HIGH(l, h, n)     ((l) / 2 + (n) / 2 + ((l) % 2) * (n))
#define DEAL(which, a, b) MT_SHUFFLE(mt_vf_lanes, a, b, MT_VF_LANES(which, 0))

typedef uint8_t taps __attribute__((vector_size(MT_VF)));

/* a where m is set, else b */
MT_INLINE mt_vf choose(mt_vf_lanes m, mt_vf a, mt_vf b) {
  return (mt_vf)((m & (mt_vf_lanes)a) | (~m & (mt_vf_lanes)b));
}

MT_INLINE void keep_larger(mt_vf v, int32_t t, mt_vf *best, mt_vf_lanes *tap) {
  const mt_vf_lanes m = (v > *best) | (v != v);
  *best = choose(m, v, *best);
  *tap = (m & t) | (~m & *tap);
}

/* n <= lanes outputs from two rows */
MT_INLINE void max_of_pairs(const float *r0, const float *r1, int64_t n, const bool whole, float *y,
                            uint8_t *where) {
  const mt_mf m0 = mt_vf_mask(2 * n), m1 = mt_vf_mask(2 * n > MT_VF ? 2 * n - MT_VF : 0);
  const mt_mf out = mt_vf_mask(n);
  const mt_vf a0 = whole ? mt_vf_load(r0) : mt_vf_loadm(r0, m0);
  const mt_vf a1 = whole ? mt_vf_load(r0 + MT_VF) : mt_vf_loadm(r0 + MT_VF, m1);
  const mt_vf b0 = whole ? mt_vf_load(r1) : mt_vf_loadm(r1, m0);
  const mt_vf b1 = whole ? mt_vf_load(r1 + MT_VF) : mt_vf_loadm(r1 + MT_VF, m1);
  mt_vf best = DEAL(MT_EVEN, a0, a1);
  mt_vf_lanes tap = (mt_vf_lanes){0};
  keep_larger(DEAL(MT_ODD, a0, a1), 1, &best, &tap);
  keep_larger(DEAL(MT_EVEN, b0, b1), 2, &best, &tap);
  keep_larger(DEAL(MT_ODD, b0, b1), 3, &best, &tap);
  if (whole)
    mt_vf_store(y, best);
  else
    mt_vf_storem(y, out, best);
  if (where) {
    const taps bytes = __builtin_convertvector(tap, taps);
    memcpy(where, &bytes, whole ? (size_t)MT_VF : (size_t)n);
  }
}

static bool max_pairs_f32(const mt_pool *p, const float *x, float *y, uint8_t *where) {
  for (int64_t oy = 0; oy < p->out[0]; oy++) {
    const float *r0 = x + 2 * oy * p->in[1], *r1 = r0 + p->in[1];
    int64_t ox = 0;
    for (; ox + MT_VF <= p->out[1]; ox += MT_VF)
      max_of_pairs(r0 + 2 * ox, r1 + 2 * ox, MT_VF, true, y + ox, where ? where + ox : NULL);
    if (ox < p->out[1])
      max_of_pairs(r0 + 2 * ox, r1 + 2 * ox, p->out[1] - ox, false, y + ox,
                   where ? where + ox : NULL);
    y += p->out[1];
    if (where) where += p->out[1];
  }
  return true;
}

MT_INLINE void spread_pair(const float *g, const uint8_t *where, int64_t n, const bool whole,
                           float *d0, float *d1) {
  const mt_mf m0 = mt_vf_mask(2 * n), m1 = mt_vf_mask(2 * n > MT_VF ? 2 * n - MT_VF : 0);
  taps bytes = (taps){0};
  memcpy(&bytes, where, whole ? (size_t)MT_VF : (size_t)n);
  const mt_vf_lanes tap = __builtin_convertvector(bytes, mt_vf_lanes);
  const mt_vf v = whole ? mt_vf_load(g) : mt_vf_loadm(g, mt_vf_mask(n));
  for (int row = 0; row < 2; row++) {
    float *to = row ? d1 : d0;
    const mt_vf zero = mt_vf_set1(0);
    const mt_vf even = choose(tap == 2 * row, v, zero), odd = choose(tap == 2 * row + 1, v, zero);
    if (whole) {
      mt_vf_store(to, DEAL(LOW, even, odd));
      mt_vf_store(to + MT_VF, DEAL(HIGH, even, odd));
    } else {
      mt_vf_storem(to, m0, DEAL(LOW, even, odd));
      mt_vf_storem(to + MT_VF, m1, DEAL(HIGH, even, odd));
    }
  }
}

static bool spread_pairs_f32(const mt_pool *p, const float *g, const uint8_t *where, float *dx) {
  const int64_t covered = 2 * p->out[1];
  for (int64_t oy = 0; oy < p->out[0]; oy++, g += p->out[1], where += p->out[1]) {
    float *d0 = dx + 2 * oy * p->in[1], *d1 = d0 + p->in[1];
    int64_t ox = 0;
    for (; ox + MT_VF <= p->out[1]; ox += MT_VF)
      spread_pair(g + ox, where + ox, MT_VF, true, d0 + 2 * ox, d1 + 2 * ox);
    if (ox < p->out[1])
      spread_pair(g + ox, where + ox, p->out[1] - ox, false, d0 + 2 * ox, d1 + 2 * ox);
    for (int64_t i = covered; i < p->in[1]; i++) d0[i] = d1[i] = 0;
  }
  const int64_t done = 2 * p->out[0] * p->in[1];
  memset(dx + done, 0, (size_t)(p->in[0] * p->in[1] - done) * sizeof(float));
  return true;
}

/* ---- any window ---- */

/* Where each tap lies from the window's corner. */
static void fill_table(const mt_pool *p, int64_t *table) {
  for (int64_t ky = 0; ky < p->k[0]; ky++)
    for (int64_t kx = 0; kx < p->k[1]; kx++) *table++ = ky * p->d[0] * p->in[1] + kx * p->d[1];
}

MT_INLINE int64_t place(const mt_pool *p, int64_t oy, int64_t ox, const void *where, int64_t o,
                        const int64_t *table) {
  const int64_t corner = (oy * p->s[0] - p->p[0]) * p->in[1] + ox * p->s[1] - p->p[1];
  if (p->small) return corner + table[((const uint8_t *)where)[o]];
  const int64_t tap = ((const int32_t *)where)[o];
  return corner + tap / p->k[1] * p->d[0] * p->in[1] + tap % p->k[1] * p->d[1];
}

#define FLOATS
#define T         float
#define LOWEST    (-INFINITY)
#define NAN_OF(v) ((v) != (v))
#define N(x)      x##_f32
#include "pool.inc"
#undef T
#undef N

#define T                                 double
#define N(x)                              x##_f64
#define max_pairs_f64(p, x, y, where)     false
#define spread_pairs_f64(p, g, where, dx) false
#include "pool.inc"
#undef T
#undef N
#undef LOWEST
#undef NAN_OF
#undef FLOATS

#define T                             int64_t
#define LOWEST                        INT64_MIN
#define NAN_OF(v)                     false
#define N(x)                          x##_i64
#define max_pairs_i64(p, x, y, where) false
#include "pool.inc"

const mt_kern_pool MT_KERN(pool) = {
    {max_f32, spread_f32, pick_f32, mean_f32, mean_grad_f32},
    {max_f64, spread_f64, pick_f64, mean_f64, mean_grad_f64},
    {max_i64, NULL, NULL, NULL, NULL},
};
