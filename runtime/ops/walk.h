/* walk.h: visiting the elements of a few operands in one logical row-major order, and the
 * row functions (copy by element size, add by dtype) that views, indexing and joining share.
 *
 * Invariants
 *  - A folded walk has at least one dimension (size 1 for a single element), none of size 1
 *    beside it, and no two neighbours that could be one.
 *  - The order of the elements never changes: folding merges dimensions, it does not sort them.
 *  - Strides are in elements and may be negative.
 */
#ifndef MT_OPS_WALK_H
#define MT_OPS_WALK_H

#include "internal.h"

enum { MT_WALK_OPS = 3 };

typedef struct mt_walk {
  int ndim, nops;
  int64_t numel;
  int64_t sizes[MT_MAX_DIMS];
  int64_t strides[MT_WALK_OPS][MT_MAX_DIMS];
} mt_walk;

/* A walk over no dimensions; dimensions are then added from the outermost to the innermost. */
static inline void mt__walk_init(mt_walk *w, int nops) {
  w->ndim = 0;
  w->nops = nops;
  w->numel = 1;
}

static inline void mt__walk_dim(mt_walk *w, int64_t size, int64_t s0, int64_t s1, int64_t s2) {
  w->sizes[w->ndim] = size;
  w->strides[0][w->ndim] = s0;
  w->strides[1][w->ndim] = s1;
  w->strides[2][w->ndim] = s2;
  w->ndim++;
  w->numel *= size;
}

void mt__walk_fold(mt_walk *w);

/* Elements begin..end-1 of a folded walk, as pieces of rows: row(ctx, off, n) with the offset of
 * the piece's first element in each operand; the innermost strides are w->strides[op][ndim-1]. */
static inline __attribute__((always_inline)) void
mt__walk_range(const mt_walk *w, int64_t begin, int64_t end,
               void (*row)(void *ctx, const int64_t *off, int64_t n), void *ctx) {
  int last = w->ndim - 1;
  int64_t at[MT_MAX_DIMS], off[MT_WALK_OPS] = {0}, rest = begin;
  for (int d = last; d >= 0; d--) {
    at[d] = rest % w->sizes[d];
    rest /= w->sizes[d];
    for (int k = 0; k < w->nops; k++) off[k] += at[d] * w->strides[k][d];
  }
  for (int64_t pos = begin; pos < end;) {
    int64_t n = w->sizes[last] - at[last];
    if (n > end - pos) n = end - pos;
    row(ctx, off, n);
    pos += n;
    if (pos >= end) break;
    for (int k = 0; k < w->nops; k++) off[k] -= at[last] * w->strides[k][last];
    at[last] = 0;
    for (int d = last - 1; d >= 0; d--) {
      for (int k = 0; k < w->nops; k++) off[k] += w->strides[k][d];
      if (++at[d] < w->sizes[d]) break;
      for (int k = 0; k < w->nops; k++) off[k] -= w->sizes[d] * w->strides[k][d];
      at[d] = 0;
    }
  }
}

/* Copies n elements of esize bytes; strides in elements. */
void mt__copy_row(char *dst, int64_t ds, const char *src, int64_t ss, int64_t n, int esize);

/* dst += alpha * src for n elements of a dtype, element after element in order (dst may have
 * stride 0). Half types add in float32 and round each sum; bool is "or". alpha is ialpha for
 * integer dtypes. */
typedef void (*mt_add_row_fn)(char *dst, int64_t ds, const char *src, int64_t ss, int64_t n,
                              double alpha, int64_t ialpha);
mt_add_row_fn mt__add_row(int dtype);

/* dst[to[i]] += alpha * src[from[i]], in order; offsets in elements. */
typedef void (*mt_add_cells_fn)(char *dst, const int64_t *to, const char *src, const int64_t *from,
                                int64_t n, double alpha, int64_t ialpha);
mt_add_cells_fn mt__add_cells(int dtype);

/* dst[to[i]] = src[from[i]], in order. */
void mt__copy_cells(char *dst, const int64_t *to, const char *src, const int64_t *from, int64_t n,
                    int esize);

/* dst[walk, operand 0] = src[walk, operand 1], on the pool. */
int mt__copy_walk(const mt_walk *w, char *dst, const char *src, int esize);

/* How many elements one task of a copying op takes. */
enum { MT_COPY_GRAIN = 32768 };

/* Clears bytes on the pool. */
int mt__clear(char *p, int64_t bytes);

#endif
