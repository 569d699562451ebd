/* walk.c: folding walks, and the row functions of walk.h. */
#include "walk.h"

#include <string.h>

#include "kernels/index.h"

MT_KERNELS(index)

void mt__walk_fold(mt_walk *w) {
  int n = 0;
  for (int d = 0; d < w->ndim; d++) {
    if (w->sizes[d] == 1) continue;
    bool joins = n > 0;
    for (int k = 0; k < w->nops && joins; k++)
      joins = w->strides[k][n - 1] == w->strides[k][d] * w->sizes[d];
    int to = joins ? n - 1 : n++;
    w->sizes[to] = joins ? w->sizes[to] * w->sizes[d] : w->sizes[d];
    for (int k = 0; k < w->nops; k++) w->strides[k][to] = w->strides[k][d];
  }
  if (n == 0) {
    w->sizes[0] = 1;
    for (int k = 0; k < w->nops; k++) w->strides[k][0] = 1;
    n = 1;
  }
  w->ndim = n;
}

#define COPY_LOOP(type)                                                                            \
  do {                                                                                             \
    type *restrict d = (type *)dst;                                                                \
    const type *s = (const type *)src;                                                             \
    for (int64_t i = 0; i < n; i++) d[i * ds] = s[i * ss];                                         \
  } while (0)

void mt__copy_row(char *dst, int64_t ds, const char *src, int64_t ss, int64_t n, int esize) {
  if (ds == 1 && ss == 1) {
    memcpy(dst, src, (size_t)(n * esize));
    return;
  }
  if (ds == 1 && ss == -1) {
    mt__kern_index()->reverse[mt__size_place(esize)](dst, src, n);
    return;
  }
  switch (esize) {
  case 1:
    COPY_LOOP(uint8_t);
    break;
  case 2:
    COPY_LOOP(uint16_t);
    break;
  case 4:
    COPY_LOOP(uint32_t);
    break;
  default:
    COPY_LOOP(uint64_t);
    break;
  }
}

#define COPY_CELLS(type)                                                                           \
  do {                                                                                             \
    type *d = (type *)dst;                                                                         \
    const type *s = (const type *)src;                                                             \
    for (int64_t i = 0; i < n; i++) d[to[i]] = s[from[i]];                                         \
  } while (0)

void mt__copy_cells(char *dst, const int64_t *to, const char *src, const int64_t *from, int64_t n,
                    int esize) {
  switch (esize) {
  case 1:
    COPY_CELLS(uint8_t);
    break;
  case 2:
    COPY_CELLS(uint16_t);
    break;
  case 4:
    COPY_CELLS(uint32_t);
    break;
  default:
    COPY_CELLS(uint64_t);
    break;
  }
}

typedef struct copy_ctx {
  const mt_walk *w;
  char *dst;
  const char *src;
  int esize;
} copy_ctx;

static void copy_piece(void *p, const int64_t *off, int64_t n) {
  copy_ctx *c = p;
  int last = c->w->ndim - 1;
  mt__copy_row(c->dst + off[0] * c->esize, c->w->strides[0][last], c->src + off[1] * c->esize,
               c->w->strides[1][last], n, c->esize);
}

static void copy_range(void *p, int64_t begin, int64_t end) {
  copy_ctx *c = p;
  mt__walk_range(c->w, begin, end, copy_piece, c);
}

int mt__copy_walk(const mt_walk *w, char *dst, const char *src, int esize) {
  if (w->numel == 0) return MT_OK;
  copy_ctx c = {.w = w, .dst = dst, .src = src, .esize = esize};
  return mt__parallel_range(w->numel, MT_COPY_GRAIN, copy_range, &c);
}

static void clear_range(void *p, int64_t begin, int64_t end) {
  memset((char *)p + begin, 0, (size_t)(end - begin));
}

int mt__clear(char *p, int64_t bytes) {
  if (bytes == 0) return MT_OK;
  return mt__parallel_range(bytes, 1 << 18, clear_range, p);
}

#define T    uint8_t
#define C    uint64_t
#define NAME uint8
#include "add_row.inc"
#define T    int8_t
#define C    uint64_t
#define NAME int8
#include "add_row.inc"
#define T    int16_t
#define C    uint64_t
#define NAME int16
#include "add_row.inc"
#define T    int32_t
#define C    uint64_t
#define NAME int32
#include "add_row.inc"
#define T    int64_t
#define C    uint64_t
#define NAME int64
#include "add_row.inc"
#define T     uint16_t
#define C     float
#define NAME  float16
#define LOAD  mt__half_to_float
#define STORE mt__float_to_half
#include "add_row.inc"
#define T     uint16_t
#define C     float
#define NAME  bfloat16
#define LOAD  mt__bf16_to_float
#define STORE mt__float_to_bf16
#include "add_row.inc"
#define T          float
#define C          float
#define NAME       float32
#define CONTIGUOUS mt__kern_index()->add_f32
#include "add_row.inc"
#define T          double
#define C          double
#define NAME       float64
#define CONTIGUOUS mt__kern_index()->add_f64
#include "add_row.inc"

static void add_row_bool(char *dst, int64_t ds, const char *src, int64_t ss, int64_t n,
                         double alpha, int64_t ialpha) {
  (void)alpha;
  for (int64_t i = 0; i < n; i++) dst[i * ds] |= (char)(src[i * ss] && ialpha);
}

static void add_cells_bool(char *dst, const int64_t *to, const char *src, const int64_t *from,
                           int64_t n, double alpha, int64_t ialpha) {
  (void)alpha;
  for (int64_t i = 0; i < n; i++) dst[to[i]] |= (char)(src[from[i]] && ialpha);
}

mt_add_row_fn mt__add_row(int dtype) {
  static const mt_add_row_fn rows[MT_NDTYPES] = {
      [MT_BOOL] = add_row_bool,       [MT_UINT8] = add_row_uint8,
      [MT_INT8] = add_row_int8,       [MT_INT16] = add_row_int16,
      [MT_INT32] = add_row_int32,     [MT_INT64] = add_row_int64,
      [MT_FLOAT16] = add_row_float16, [MT_BFLOAT16] = add_row_bfloat16,
      [MT_FLOAT32] = add_row_float32, [MT_FLOAT64] = add_row_float64,
  };
  return rows[dtype];
}

mt_add_cells_fn mt__add_cells(int dtype) {
  static const mt_add_cells_fn cells[MT_NDTYPES] = {
      [MT_BOOL] = add_cells_bool,       [MT_UINT8] = add_cells_uint8,
      [MT_INT8] = add_cells_int8,       [MT_INT16] = add_cells_int16,
      [MT_INT32] = add_cells_int32,     [MT_INT64] = add_cells_int64,
      [MT_FLOAT16] = add_cells_float16, [MT_BFLOAT16] = add_cells_bfloat16,
      [MT_FLOAT32] = add_cells_float32, [MT_FLOAT64] = add_cells_float64,
  };
  return cells[dtype];
}
