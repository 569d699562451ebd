/* philox.h: the random bits of every op, as an inline function of their address.
 *
 * Philox 4x32-10 of J. Salmon, M. Moraes, R. Dror and D. Shaw, "Parallel Random Numbers: As Easy
 * as 1, 2, 3", SC 2011: ten rounds of two 32x32->64 products over a counter of four words and a
 * key of two. What stands at an address never depends on what was drawn before, on layout, on
 * the number of threads or on the device. Straight-line code, so that loops over index
 * vectorise. Plain C that a CUDA compiler reads as well, with MT_PHILOX_FN set.
 */
#ifndef MT_PHILOX_H
#define MT_PHILOX_H

#include <stdint.h>

#ifndef MT_PHILOX_FN
#define MT_PHILOX_FN static inline
#endif

MT_PHILOX_FN void mt__philox_block(uint32_t out[4], uint32_t c0, uint32_t c1, uint32_t c2,
                                   uint32_t c3, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xd2511f53u * c0, p1 = (uint64_t)0xcd9e8d57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* The four words of (index, draw) in a stream: index < 2^44, draw < 2^20. */
MT_PHILOX_FN void mt__philox_at(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t index,
                                uint32_t draw) {
  mt__philox_block(out, (uint32_t)index, (uint32_t)(index >> 32) | draw << 12, (uint32_t)stream,
                   (uint32_t)(stream >> 32), (uint32_t)seed, (uint32_t)(seed >> 32));
}

#endif
