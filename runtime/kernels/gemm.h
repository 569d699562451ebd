/* gemm.h: kernels of matrix products, one set per dtype and instruction set.
 *
 * A product C = X Y is seen as rows of C that are sums of rows of Y, each times an element of
 * X: X is read element by element (broadcast), Y by vectors along j. Where C is wanted
 * transposed, the roles are changed before and `trans` makes the tile turn as it is stored, so
 * that the operand that has to be packed is the smaller one.
 */
#ifndef MT_KERN_GEMM_H
#define MT_KERN_GEMM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mt_gemm_block {
  int64_t m, n, k;
  const void *x; /* X(i, p) = x[i * xr + p * xc]; xr or xc is 1 */
  int64_t xr, xc;
  const void *y; /* Y(p, j) = y[p * yr + j * yc]; yr or yc is 1 */
  int64_t yr, yc;
  void *c; /* C(i, j) = c[i * cr + j], or c[j * cr + i] with trans */
  int64_t cr;
  bool trans;
  bool bias_rows;     /* bias[i] is added to row i, otherwise bias[j] to column j */
  const void *bias;   /* NULL: none */
  void *work;         /* MT_GEMM_WORK bytes for a copy of X, or NULL */
  double alpha, beta; /* C = alpha X Y + beta C + bias; beta 0 never reads C */
} mt_gemm_block;

typedef struct mt_gemm_kernels {
  int lanes, tile_rows; /* of a vector; of the largest tile */
  void (*block)(const mt_gemm_block *g);
  /* count products at element distances sx, sy, sc */
  void (*batch)(const mt_gemm_block *g, int64_t count, int64_t sx, int64_t sy, int64_t sc);
  /* c[i * ci + j * cj] = alpha sum_p a[i * ar + p] b[j * br + p] + ..., few rows i: both run
   * along p, nothing is packed */
  void (*dot)(int64_t m, int64_t n, int64_t k, const void *a, int64_t ar, const void *b, int64_t br,
              double alpha, double beta, void *c, int64_t ci, int64_t cj, const void *bias,
              int64_t bi, int64_t bj);
  /* the same as block for few rows i and a Y (yc 1) that comes from memory: read once, by rows */
  void (*rows)(const mt_gemm_block *g);
} mt_gemm_kernels;

typedef struct mt_kern_gemm {
  mt_gemm_kernels f32, f64;
} mt_kern_gemm;

enum { MT_GEMM_WORK = 512 << 10 };
enum { MT_GEMM_ROWS = 4 }; /* rows that dot and rows take at once */

#endif
