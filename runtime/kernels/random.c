/* kernels/random.c: contiguous loops of random numbers. */
#include "random.h"

#include <string.h>

#include "kernels.h"
#include "randmath.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- words ----
 *
 * Vectors of 64-bit lanes, a counter to a lane: each of Philox' four words lies in the low half of
 * a lane of its own vector, and whatever stands in the high half does not matter, since only
 * products of low halves are taken. GROUPS vectors at a time hide the latency of the products. */

#if defined(__AVX512F__)
enum { LANES = 8, GROUPS = 4 };
#define MUL_LOW(a, b) (vec) _mm512_mul_epu32((__m512i)(a), (__m512i)(b))
#elif defined(__AVX2__)
enum { LANES = 4, GROUPS = 4 };
#define MUL_LOW(a, b) (vec) _mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#elif defined(__x86_64__)
enum { LANES = 2, GROUPS = 4 };
#define MUL_LOW(a, b) (vec) _mm_mul_epu32((__m128i)(a), (__m128i)(b))
#else
enum { LANES = 2, GROUPS = 4 };
#define MUL_LOW(a, b) (((a)&0xffffffffu) * ((b)&0xffffffffu))
#endif

typedef uint64_t vec __attribute__((vector_size(LANES * 8)));

static vec all(uint64_t x) {
  vec v;
  for (int l = 0; l < LANES; l++) v[l] = x;
  return v;
}

/* to = x[0], y[0], x[1], y[1], ... */
static inline void store_pairs(uint32_t *to, vec x, vec y) {
#if defined(__clang__)
  uint64_t pair[2 * LANES];
  for (int l = 0; l < LANES; l++) {
    pair[2 * l] = x[l];
    pair[2 * l + 1] = y[l];
  }
  memcpy(to, pair, sizeof pair);
#else
  vec first, second;
  for (int l = 0; l < LANES; l++) {
    first[l] = (uint64_t)(l / 2 + (l & 1 ? LANES : 0));
    second[l] = first[l] + LANES / 2;
  }
  first = __builtin_shuffle(x, y, first);
  second = __builtin_shuffle(x, y, second);
  memcpy(to, &first, sizeof first);
  memcpy(to + 2 * LANES, &second, sizeof second);
#endif
}

static void words(uint32_t *out, uint64_t seed, uint64_t stream, uint64_t index, int64_t counters) {
  const vec m0 = all(0xd2511f53u), m1 = all(0xcd9e8d57u), low = all(0xffffffffu);
  vec lane;
  for (int l = 0; l < LANES; l++) lane[l] = (uint64_t)l;
  for (int64_t i = 0; i < counters; i += LANES * GROUPS) {
    vec c0[GROUPS], c1[GROUPS], c2[GROUPS], c3[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
      vec at = all(index + (uint64_t)(i + g * LANES)) + lane;
      c0[g] = at;
      c1[g] = at >> 32;
      c2[g] = all(stream);
      c3[g] = all(stream >> 32);
    }
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
      vec a = all(k0), b = all(k1);
      for (int g = 0; g < GROUPS; g++) {
        vec p0 = MUL_LOW(c0[g], m0), p1 = MUL_LOW(c2[g], m1);
        c0[g] = (p1 >> 32) ^ c1[g] ^ a;
        c1[g] = p1;
        c2[g] = (p0 >> 32) ^ c3[g] ^ b;
        c3[g] = p0;
      }
      k0 += 0x9e3779b9u;
      k1 += 0xbb67ae85u;
    }
    for (int g = 0; g < GROUPS; g++) {
      store_pairs(out + 4 * (i + g * LANES), (c0[g] & low) | c1[g] << 32,
                  (c2[g] & low) | c3[g] << 32);
    }
  }
}

/* ---- numbers ---- */

static void uniform_f32(float *restrict out, const uint32_t *restrict w, int64_t n, float lo,
                        float range, float top) {
  for (int64_t i = 0; i < n; i++) {
    float x = mt__unit_f32(w[i]) * range + lo;
    out[i] = x < top ? x : top;
  }
}

static void uniform_f64(double *restrict out, const uint32_t *restrict w, int64_t n, double lo,
                        double range, double top) {
  for (int64_t i = 0; i < n; i++) {
    double x = mt__unit_f64(w[2 * i], w[2 * i + 1]) * range + lo;
    out[i] = x < top ? x : top;
  }
}

static void normal_f32(float *restrict out, const uint32_t *restrict w, int64_t n, float mean,
                       float std) {
  for (int64_t i = 0; i < n / 2; i++)
    mt__normal_pair_f32(w[2 * i], w[2 * i + 1], mean, std, &out[2 * i], &out[2 * i + 1]);
}

static void exponential_f32(float *restrict out, const uint32_t *restrict w, int64_t n,
                            float scale) {
  for (int64_t i = 0; i < n; i++) out[i] = -mt__log_unit(mt__open_f32(w[i])) * scale;
}

static void integers(int64_t *restrict out, const uint32_t *restrict w, int64_t n, int64_t low,
                     uint64_t count) {
  for (int64_t i = 0; i < n; i++) out[i] = mt__integer_of(w[2 * i], w[2 * i + 1], low, count);
}

/* ---- choices ---- */

static void below(uint8_t *restrict out, const uint32_t *restrict w, int64_t n, uint32_t last) {
  for (int64_t i = 0; i < n; i++) out[i] = w[i] <= last;
}

static void keep_f32(float *restrict out, const float *restrict x, const uint32_t *restrict w,
                     int64_t n, uint32_t last, float scale) {
  for (int64_t i = 0; i < n; i++) {
    float y = x[i] * scale;
    uint32_t bits, keep = 0u - (uint32_t)(w[i] <= last);
    memcpy(&bits, &y, sizeof bits);
    bits &= keep; /* also of an infinity or a NaN, nothing is left */
    memcpy(out + i, &bits, sizeof bits);
  }
}

const mt_kern_random MT_KERN(random) = {
    .words = words,
    .uniform_f32 = uniform_f32,
    .uniform_f64 = uniform_f64,
    .normal_f32 = normal_f32,
    .exponential_f32 = exponential_f32,
    .integers = integers,
    .below = below,
    .keep_f32 = keep_f32,
};
