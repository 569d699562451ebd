/* draws.h: how ops reach their random words (random.c, sample.c). */
#ifndef MT_OPS_DRAWS_H
#define MT_OPS_DRAWS_H

#include "internal.h"
#include "kernels/kernels.h"
#include "kernels/randmath.h"
#include "kernels/random.h"

/* Elements are made MT_DRAW at a time, so that a task begins at a whole counter. */
enum { MT_DRAW = 1024, MT_DRAW_WORDS = 2 * MT_DRAW };

/* The words of elements begin.. (a multiple of MT_DRAW) of n <= MT_DRAW, `each` (1 or 2) to an
 * element; w holds MT_DRAW_WORDS. */
void mt__draw_words(uint32_t *w, uint64_t seed, uint64_t stream, int64_t begin, int64_t n,
                    int each);

/* The number of words below p * 2^32; p is within 0..1. */
static inline uint64_t mt__threshold(double p) {
  return (uint64_t)(p * 4294967296.0);
}

int mt__check_probability(const mt_frame *f, const char *name, double p);

#endif
