/* kernels/reduce.h: folding tiles of numbers, the innermost loops of every reduction.
 *
 * A tile is `rows` rows of MT_LANES contiguous numbers, `stride` numbers apart. fold() folds
 * each column into its lane of the accumulators a[MT_LANES] and b[MT_LANES]; which columns mean
 * something is the driver's affair (reduction.c). The numbers are float, double or int64; an
 * accumulator slot is a double, or an int64 for int64 numbers:
 *
 *     kind          a                        b
 *     SUM ... NONZERO   the sum, product, ...    unused
 *     MAX MIN       the extreme, NaN if any  unused
 *     ARGMAX ARGMIN the extreme              row of its first occurrence (always int64)
 *     VAR           the mean                 sum of squared distances from it
 *     LSE           the maximum m            sum of exp(x - m)
 *
 * `first` counts the rows that the lanes hold already. float32 is added up in float32 over 16
 * rows at most and in float64 beyond.
 */
#ifndef MT_KERNELS_REDUCE_H
#define MT_KERNELS_REDUCE_H

#include <stdint.h>

enum { MT_LANES = 64 };

enum mt_fold_kind {
  MT_FOLD_SUM,
  MT_FOLD_SUMABS,
  MT_FOLD_SUMSQ,
  MT_FOLD_PROD,
  MT_FOLD_NONZERO,
  MT_FOLD_MAX,
  MT_FOLD_MIN,
  MT_FOLD_ARGMAX,
  MT_FOLD_ARGMIN,
  MT_FOLD_VAR,
  MT_FOLD_LSE,
  MT_NFOLDS
};

enum mt_number { MT_NUM_F32, MT_NUM_F64, MT_NUM_I64, MT_NNUMS };

typedef void (*mt_fold_fn)(const void *x, int64_t stride, int64_t rows, int64_t first, void *a,
                           void *b);
/* Folds n contiguous numbers into the one accumulator *a (kinds that need no b). */
typedef void (*mt_fold_row_fn)(const void *x, int64_t n, void *a);

typedef struct mt_kern_reduce {
  mt_fold_fn fold[MT_NFOLDS][MT_NNUMS];
  mt_fold_row_fn row[MT_NFOLDS][MT_NNUMS]; /* NULL: only by tiles */
  /* How many of n bytes are not zero. */
  int64_t (*count_bytes)(const uint8_t *x, int64_t n);
  /* The first i with x[i] == value, or that is NaN if value is; n if there is none. */
  int64_t (*find[MT_NNUMS])(const void *x, int64_t n, const void *value);
} mt_kern_reduce;

#endif
