/* matrix.h: what the ops that are matrix products share: how an operand lies in memory, copies
 * where a product cannot read it as it is, and the loop over batches. See matrix.c. */
#ifndef MT_MATRIX_H
#define MT_MATRIX_H

#include "internal.h"

/* One operand: matrices of rows x cols with any strides. */
typedef struct mt_side {
  const mt_tensor *t;
  int64_t rows, cols, row_stride, col_stride;
  bool flipped;               /* t's own last two dimensions are (cols, rows) */
  int64_t batch[MT_MAX_DIMS]; /* strides of the batch's dimensions; 0 where it is broadcast */
  /* filled by mt__product_plan */
  bool staged; /* a copy in the work memory is read instead */
  bool trans;
  int64_t ld;
  size_t at; /* of the copy */
} mt_side;

/* C = alpha A B + beta C + bias for each of the batch. */
typedef struct mt_products {
  int64_t m, n, k;
  int nbatch;
  int64_t sizes[MT_MAX_DIMS]; /* of the batch */
  mt_side a, b, c;
  const mt_tensor *bias;  /* n elements, or NULL */
  const mt_tensor *input; /* what beta multiplies, broadcast to C; NULL: nothing */
  mt_arg alpha, beta;     /* numbers, or MT_NONE: 1 */
  int compute;            /* float32, float64, or int64 for all integers */
  size_t bias_at;
} mt_products;

/* The last two dimensions of t, or (1 x n) and (n x 1) for a vector on the left or right. */
void mt__side_matrix(mt_side *s, const mt_tensor *t, bool right);
/* t as (all but the last dimension) x (last dimension), without a batch. */
void mt__side_rows(mt_side *s, const mt_tensor *t);

/* Describes copies; f->work_bytes becomes what they take. c.t need not have memory yet. Call it
 * in infer and again in run, where it gives the same answer. */
void mt__products_plan(mt_frame *f, mt_products *p);
int mt__products_run(mt_frame *f, mt_products *p);

#endif
