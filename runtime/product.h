/* product.h: a matrix product as the ops that make one describe it; see blas.c. */
#ifndef MT_PRODUCT_H
#define MT_PRODUCT_H

#include "internal.h"

/* C (m x n) = alpha * op(A) (m x k) * op(B) (k x n) + beta * C + bias, all row-major with leading
 * dimensions in elements; ta, tb: the matrix lies transposed. bias has n elements or is NULL.
 * beta 0 never reads C. dtype is float32 or float64. */
typedef struct mt_product {
  int dtype;
  bool ta, tb;
  int64_t m, n, k;
  const void *a, *b;
  int64_t lda, ldb;
  void *c;
  int64_t ldc;
  double alpha, beta;
  const void *bias;
} mt_product;

/* Splits itself over the pool; serial: stays on the calling thread (use inside tasks). The bits
 * are the same either way. Fails only with MT_INTERRUPTED. */
int mt__product(const mt_product *p, bool serial);

#endif
