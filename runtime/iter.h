/* iter.h: several tensors walked together, element by element.
 *
 * An mt_iter is a set of operands over one common index space: dimensions of size one dropped,
 * the others ordered by the first operand's (the written one's) memory, and merged where they
 * are one run in every operand. mt__map then runs a contiguous loop over it: the space is cut
 * into tiles of at most MT_TILE_BYTES an operand; what is not contiguous in a tile, or has
 * another dtype than the loop wants, is staged through a small buffer that stays in the first
 * cache. So a kernel is written once, for contiguous operands of one dtype, and everything else
 * (transposed, sliced, expanded, mixed, float16) costs one pass through that cache.
 *
 * Invariants
 *  - Operand 0 is written, the others are read; it may lie exactly on one of them, never overlap
 *    otherwise.
 *  - How the space is cut depends on sizes and strides only, not on threads or addresses.
 */
#ifndef MT_ITER_H
#define MT_ITER_H

#include "tensor.h"

/* MT_LANES: how many equal elements stand for a number in a contiguous loop. */
enum { MT_ITER_OPS = 6, MT_TILE_BYTES = 8192, MT_LANES = 64 };

typedef struct mt_iter {
  int nops, ndim;
  int64_t numel;
  int64_t size[MT_MAX_DIMS];                /* [0] is the innermost */
  int64_t stride[MT_ITER_OPS][MT_MAX_DIMS]; /* in elements; 0 where broadcast */
  char *ptr[MT_ITER_OPS];
} mt_iter;

/* Starts over the given index space (the result's sizes). */
void mt__iter_begin(mt_iter *it, int ndim, const int64_t *sizes);
/* Adds a tensor whose sizes broadcast to that space. */
void mt__iter_add(mt_iter *it, const mt_tensor *t);
/* Adds one element that stands everywhere; p outlives the walk. */
void mt__iter_add_one(mt_iter *it, const void *p);
/* Orders and merges the dimensions: the last step. */
void mt__iter_finish(mt_iter *it);

/* A contiguous loop: out[i] = f(in[0][i], in[1][i], ...) for i < n. An operand with step 0 is a
 * number: MT_LANES equal elements, read over and over; with step 1 it advances. */
typedef void (*mt_loop)(void *out, const void *const *in, const int64_t *step, int64_t n,
                        const void *params);

typedef struct mt_map {
  mt_loop loop; /* NULL: a copy of operand 1 into operand 0 */
  const void *params;
  uint8_t have[MT_ITER_OPS]; /* dtype of each operand in memory */
  uint8_t want[MT_ITER_OPS]; /* dtype that loop reads or writes */
  int64_t grain;             /* elements that are worth a task */
  bool stream;               /* operand 0 is written past the caches */
} mt_map;

/* MT_OK or MT_INTERRUPTED. */
int mt__map(const mt_iter *it, const mt_map *m);

/* Outputs of at least so many bytes that nobody has read before are better written past the
 * caches. */
enum { MT_STREAM_BYTES = 4 << 20 };

#endif
