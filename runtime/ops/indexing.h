/* indexing.h: positions held in tensors, and the engine that reads or writes one operand at them.
 *
 * A plan has two sides: x, the tensor that is indexed, and y, the tensor of index results (what a
 * gather makes, or the values that are written). y's dimensions are x's, with the indexed ones
 * replaced by the dimensions of the index tensors' common shape: in their place when the indexed
 * dimensions are neighbours, else in front.
 *
 * Invariants
 *  - Positions count from 1, also in C. With from_end, negative ones count from the end.
 *  - All positions are checked before anything is written.
 *  - Several writes to one place happen in the row-major order of the index tensors' common
 *    shape, however the work is cut: for "write" the last one stays, for "add" the sum has one
 *    order.
 */
#ifndef MT_OPS_INDEXING_H
#define MT_OPS_INDEXING_H

#include "internal.h"
#include "walk.h"

#define MT_D_POSITIONS (MT_D(MT_INT8) | MT_D(MT_INT16) | MT_D(MT_INT32) | MT_D(MT_INT64))

/* Fails unless every position lies in 1..size (or, with from_end, in -size..-1). */
int mt__check_positions(const mt_frame *f, const mt_tensor *index, int dim, int64_t size,
                        bool from_end);

/* n positions of a row, as int64. */
static inline void mt__load_positions(int64_t *out, const char *p, int dtype, int64_t stride,
                                      int64_t n) {
  if (dtype == MT_INT64) {
    for (int64_t i = 0; i < n; i++) out[i] = ((const int64_t *)p)[i * stride];
  } else {
    mt__convert((char *)out, MT_INT64, 1, p, dtype, stride, n);
  }
}

/* Asks for the beginning of a row that is read next: rows lie anywhere, and the processor only
 * guesses within one. */
static inline void mt__prefetch(const char *row, size_t bytes) {
  for (size_t i = 0; i < bytes && i < 1024; i += 64) __builtin_prefetch(row + i);
}

typedef struct mt_plan {
  bool from_end;
  int count; /* index tensors */
  const mt_tensor *index[MT_MAX_DIMS];
  int dim[MT_MAX_DIMS]; /* of x, rising */
  int nshape;           /* the common shape of the index tensors */
  int64_t shape[MT_MAX_DIMS];
  int64_t positions; /* its elements */
  int xdims;
  int64_t xsizes[MT_MAX_DIMS]; /* 0-dim x counts as one dimension */
  int at;                      /* where the common shape stands among y's dims */
  int ndim;                    /* y */
  int64_t sizes[MT_MAX_DIMS];
} mt_plan;

/* list: an entry for each of the first dimensions of x, NULL for "all of it". */
int mt__plan_list(mt_plan *p, const mt_frame *f, const mt_tensor *x, int n, mt_tensor *const *list);
/* One index tensor of at most one dimension, at dim; no negative positions. */
int mt__plan_dim(mt_plan *p, const mt_frame *f, const mt_tensor *x, int64_t dim,
                 const mt_tensor *index, const char *name);

/* What writing does: MT_PUT replaces, MT_ADD adds alpha times the value. */
enum mt_put { MT_PUT, MT_ADD };

/* y = x at the positions. */
int mt__plan_gather(const mt_plan *p, const mt_frame *f, const mt_tensor *x, const mt_tensor *y);

/* Scratch that writing may use; infer asks for it. */
size_t mt__plan_work(const mt_plan *p, const mt_tensor *x);
/* x at the positions = y (or += alpha * y), whose sizes broadcast to the plan's. The positions
 * are checked by the caller with mt__plan_check before x is touched. */
int mt__plan_check(const mt_plan *p, const mt_frame *f);
int mt__plan_put(const mt_plan *p, const mt_frame *f, const mt_tensor *x, const mt_tensor *y,
                 enum mt_put how, const mt_arg *alpha);

/* Fails when what is read and what is written in place share memory. */
int mt__no_overlap(const mt_frame *f, const mt_tensor *written, const mt_tensor *read,
                   const char *name);

#endif
