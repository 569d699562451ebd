/* dtype.c: what the element types are called, how they mix and how one becomes another.
 *
 * Invariants
 *  - Promotion is PyTorch's lattice; float16 with bfloat16 gives float32.
 *  - A conversion gives the same bits whichever path does it: the contiguous loops of
 *    kernels/convert.c, or the general one here, which goes through int64 or double by the
 *    source's category. Both are exact for every source, and the two half formats are rounded
 *    from float32, so nothing is rounded twice that another path rounds once. (What a NaN
 *    carries may differ.)
 */
#include <string.h>

#include "cast.h"
#include "internal.h"
#include "kernels/convert.h"

MT_KERNELS(convert)

/* ---- names ---- */

static const struct {
  const char *name;
  const char *alias;
} names[MT_NDTYPES] = {
    [MT_BOOL] = {"bool", NULL},          [MT_UINT8] = {"uint8", "byte"},
    [MT_INT8] = {"int8", "char"},        [MT_INT16] = {"int16", "short"},
    [MT_INT32] = {"int32", "int"},       [MT_INT64] = {"int64", "long"},
    [MT_FLOAT16] = {"float16", "half"},  [MT_BFLOAT16] = {"bfloat16", NULL},
    [MT_FLOAT32] = {"float32", "float"}, [MT_FLOAT64] = {"float64", "double"},
};

static bool known(int dtype) {
  return dtype >= 0 && dtype < MT_NDTYPES;
}

const char *mt_dtype_name(int dtype) {
  return known(dtype) ? names[dtype].name : NULL;
}

int mt_dtype_size(int dtype) {
  return known(dtype) ? mt__esize(dtype) : 0;
}

bool mt_dtype_is_float(int dtype) {
  return mt__is_float(dtype);
}

int mt_dtype_parse(int *out, const char *name) {
  *out = -1;
  for (int d = 0; d < MT_NDTYPES; d++) {
    if (!strcmp(name, names[d].name) || (names[d].alias && !strcmp(name, names[d].alias))) {
      *out = d;
      return MT_OK;
    }
  }
  return mt_fail(MT_ERR_DTYPE,
                 "unknown dtype '%.40s'; the dtypes are float32, float64, float16, bfloat16, "
                 "int8, uint8, int16, int32, int64 and bool",
                 name);
}

static _Atomic int default_dtype = MT_FLOAT32;

int mt__default_dtype(void) {
  return atomic_load_explicit(&default_dtype, memory_order_relaxed);
}

int mt_set_default_dtype(int dtype) {
  if (!known(dtype) || !mt__is_float(dtype)) {
    return mt_fail(MT_ERR_DTYPE, "the default dtype must be a floating point dtype, got %s",
                   known(dtype) ? names[dtype].name : "an unknown one");
  }
  atomic_store_explicit(&default_dtype, dtype, memory_order_relaxed);
  return MT_OK;
}

/* ---- promotion ---- */

int mt_promote_types(int a, int b) {
  if (!known(a) || !known(b)) return -1;
  if (a == b) return a;
  int lo = a < b ? a : b, hi = a < b ? b : a;
  /* Within the floats and across categories the greater number wins, but for two pairs that
   * do not hold each other's values. */
  if (lo == MT_FLOAT16 && hi == MT_BFLOAT16) return MT_FLOAT32;
  if (lo == MT_UINT8 && hi == MT_INT8) return MT_INT16;
  return hi;
}

enum { NOTHING = -1 };

static int promote_or(int a, int b) {
  return a == NOTHING ? b : b == NOTHING ? a : mt_promote_types(a, b);
}

/* A higher-ranking group decides unless the lower one is of a higher category. */
static int combine(int higher, int lower) {
  if (higher == NOTHING) return lower;
  if (lower == NOTHING || mt__is_float(higher)) return higher;
  if (higher == MT_BOOL || mt__is_float(lower)) return mt_promote_types(higher, lower);
  return higher;
}

typedef struct groups {
  int dimensioned, scalar, number;
} groups;

static void add_to_groups(groups *g, const mt_arg *a) {
  switch (a->kind) {
  case MT_TENSOR:
    if (!a->u.t) break;
    if (a->u.t->ndim > 0) {
      g->dimensioned = promote_or(g->dimensioned, a->u.t->dtype);
    } else {
      g->scalar = promote_or(g->scalar, a->u.t->dtype);
    }
    break;
  case MT_TENSORS:
    for (int i = 0; i < a->n; i++) {
      mt_arg one = mt__arg_t(a->u.ts[i]);
      add_to_groups(g, &one);
    }
    break;
  case MT_TRUTH:
    g->number = promote_or(g->number, MT_BOOL);
    break;
  case MT_INT:
    g->number = promote_or(g->number, MT_INT64);
    break;
  case MT_FLOAT:
    g->number = promote_or(g->number, mt__default_dtype());
    break;
  default:
    break;
  }
}

int mt__result_type(int n, const mt_arg *args) {
  groups g = {NOTHING, NOTHING, NOTHING};
  for (int i = 0; i < n; i++) add_to_groups(&g, &args[i]);
  int type = combine(g.dimensioned, combine(g.scalar, g.number));
  return type == NOTHING ? mt__default_dtype() : type;
}

/* ---- one element ---- */

/* A member of an array that need not be aligned to its type. */
#define READ(type, p)                                                                              \
  __extension__({                                                                                  \
    type read_v;                                                                                   \
    memcpy(&read_v, p, sizeof read_v);                                                             \
    read_v;                                                                                        \
  })
#define WRITE(type, p, value)                                                                      \
  do {                                                                                             \
    type write_v = (type)(value);                                                                  \
    memcpy(p, &write_v, sizeof write_v);                                                           \
  } while (0)

double mt__load_f64(const char *p, int dtype) {
  switch (dtype) {
  case MT_BOOL:
    return READ(uint8_t, p) != 0;
  case MT_UINT8:
    return READ(uint8_t, p);
  case MT_INT8:
    return READ(int8_t, p);
  case MT_INT16:
    return READ(int16_t, p);
  case MT_INT32:
    return READ(int32_t, p);
  case MT_INT64:
    return (double)READ(int64_t, p);
  case MT_FLOAT16:
    return mt__half_to_float(READ(uint16_t, p));
  case MT_BFLOAT16:
    return mt__bf16_to_float(READ(uint16_t, p));
  case MT_FLOAT32:
    return READ(float, p);
  default:
    return READ(double, p);
  }
}

int64_t mt__load_i64(const char *p, int dtype) {
  switch (dtype) {
  case MT_BOOL:
    return READ(uint8_t, p) != 0;
  case MT_UINT8:
    return READ(uint8_t, p);
  case MT_INT8:
    return READ(int8_t, p);
  case MT_INT16:
    return READ(int16_t, p);
  case MT_INT32:
    return READ(int32_t, p);
  case MT_INT64:
    return READ(int64_t, p);
  default:
    return mt__f64_to_i64(mt__load_f64(p, dtype));
  }
}

static void store_f64(char *p, int dtype, double x) {
  switch (dtype) {
  case MT_BOOL:
    WRITE(uint8_t, p, x != 0);
    break;
  case MT_UINT8:
    WRITE(uint8_t, p, mt__f64_to_u8(x));
    break;
  case MT_INT8:
    WRITE(int8_t, p, mt__f64_to_i8(x));
    break;
  case MT_INT16:
    WRITE(int16_t, p, mt__f64_to_i16(x));
    break;
  case MT_INT32:
    WRITE(int32_t, p, mt__f64_to_i32(x));
    break;
  case MT_INT64:
    WRITE(int64_t, p, mt__f64_to_i64(x));
    break;
  case MT_FLOAT16:
    WRITE(uint16_t, p, mt__float_to_half((float)x));
    break;
  case MT_BFLOAT16:
    WRITE(uint16_t, p, mt__float_to_bf16((float)x));
    break;
  case MT_FLOAT32:
    WRITE(float, p, x);
    break;
  default:
    WRITE(double, p, x);
    break;
  }
}

static int64_t clamp(int64_t i, int64_t lo, int64_t hi) {
  return i < lo ? lo : i > hi ? hi : i;
}

void mt__store_scalar(char *p, int dtype, const mt_arg *number) {
  if (number->kind == MT_FLOAT) {
    store_f64(p, dtype, number->u.f);
    return;
  }
  int64_t i = number->u.i;
  switch (dtype) {
  case MT_BOOL:
    WRITE(uint8_t, p, i != 0);
    break;
  case MT_UINT8:
    WRITE(uint8_t, p, clamp(i, 0, UINT8_MAX));
    break;
  case MT_INT8:
    WRITE(int8_t, p, clamp(i, INT8_MIN, INT8_MAX));
    break;
  case MT_INT16:
    WRITE(int16_t, p, clamp(i, INT16_MIN, INT16_MAX));
    break;
  case MT_INT32:
    WRITE(int32_t, p, clamp(i, INT32_MIN, INT32_MAX));
    break;
  case MT_INT64:
    WRITE(int64_t, p, i);
    break;
  case MT_FLOAT16:
    WRITE(uint16_t, p, mt__float_to_half((float)i));
    break;
  case MT_BFLOAT16:
    WRITE(uint16_t, p, mt__float_to_bf16((float)i));
    break;
  case MT_FLOAT32:
    WRITE(float, p, i);
    break;
  default:
    WRITE(double, p, i);
    break;
  }
}

/* ---- many elements ---- */

/* The general path: TILE elements at a time are read into int64 or double, whichever holds
 * the source exactly, and written from there. Strides in bytes. */
enum { TILE = 128 };

#define EACH(body)                                                                                 \
  for (int i = 0; i < n; i++, p += stride) {                                                       \
    body;                                                                                          \
  }                                                                                                \
  break

static void read_ints(int64_t *tile, const char *p, int dtype, int64_t stride, int n) {
  switch (dtype) {
  case MT_BOOL:
    EACH(tile[i] = READ(uint8_t, p) != 0);
  case MT_UINT8:
    EACH(tile[i] = READ(uint8_t, p));
  case MT_INT8:
    EACH(tile[i] = READ(int8_t, p));
  case MT_INT16:
    EACH(tile[i] = READ(int16_t, p));
  case MT_INT32:
    EACH(tile[i] = READ(int32_t, p));
  default:
    EACH(tile[i] = READ(int64_t, p));
  }
}

static void read_floats(double *tile, const char *p, int dtype, int64_t stride, int n) {
  switch (dtype) {
  case MT_FLOAT16:
    EACH(tile[i] = mt__half_to_float(READ(uint16_t, p)));
  case MT_BFLOAT16:
    EACH(tile[i] = mt__bf16_to_float(READ(uint16_t, p)));
  case MT_FLOAT32:
    EACH(tile[i] = READ(float, p));
  default:
    EACH(tile[i] = READ(double, p));
  }
}

static void write_ints(char *p, int dtype, int64_t stride, const int64_t *tile, int n) {
  switch (dtype) {
  case MT_BOOL:
    EACH(WRITE(uint8_t, p, tile[i] != 0));
  case MT_UINT8:
    EACH(WRITE(uint8_t, p, tile[i]));
  case MT_INT8:
    EACH(WRITE(int8_t, p, tile[i]));
  case MT_INT16:
    EACH(WRITE(int16_t, p, tile[i]));
  case MT_INT32:
    EACH(WRITE(int32_t, p, tile[i]));
  case MT_INT64:
    EACH(WRITE(int64_t, p, tile[i]));
  case MT_FLOAT16:
    EACH(WRITE(uint16_t, p, mt__float_to_half((float)tile[i])));
  case MT_BFLOAT16:
    EACH(WRITE(uint16_t, p, mt__float_to_bf16((float)tile[i])));
  case MT_FLOAT32:
    EACH(WRITE(float, p, tile[i]));
  default:
    EACH(WRITE(double, p, tile[i]));
  }
}

static void write_floats(char *p, int dtype, int64_t stride, const double *tile, int n) {
  switch (dtype) {
  case MT_BOOL:
    EACH(WRITE(uint8_t, p, tile[i] != 0));
  case MT_UINT8:
    EACH(WRITE(uint8_t, p, mt__f64_to_u8(tile[i])));
  case MT_INT8:
    EACH(WRITE(int8_t, p, mt__f64_to_i8(tile[i])));
  case MT_INT16:
    EACH(WRITE(int16_t, p, mt__f64_to_i16(tile[i])));
  case MT_INT32:
    EACH(WRITE(int32_t, p, mt__f64_to_i32(tile[i])));
  case MT_INT64:
    EACH(WRITE(int64_t, p, mt__f64_to_i64(tile[i])));
  case MT_FLOAT16:
    EACH(WRITE(uint16_t, p, mt__float_to_half((float)tile[i])));
  case MT_BFLOAT16:
    EACH(WRITE(uint16_t, p, mt__float_to_bf16((float)tile[i])));
  case MT_FLOAT32:
    EACH(WRITE(float, p, tile[i]));
  default:
    EACH(WRITE(double, p, tile[i]));
  }
}

static void copy_strided(char *dst, int64_t ds, const char *src, int64_t ss, int size, int64_t n) {
  switch (size) {
  case 1:
    for (int64_t i = 0; i < n; i++) dst[i * ds] = src[i * ss];
    break;
  case 2:
    for (int64_t i = 0; i < n; i++) memcpy(dst + i * ds, src + i * ss, 2);
    break;
  case 4:
    for (int64_t i = 0; i < n; i++) memcpy(dst + i * ds, src + i * ss, 4);
    break;
  default:
    for (int64_t i = 0; i < n; i++) memcpy(dst + i * ds, src + i * ss, 8);
    break;
  }
}

void mt__convert(char *dst, int dst_dtype, int64_t dst_stride, const char *src, int src_dtype,
                 int64_t src_stride, int64_t n) {
  if (n <= 0) return;
  int dsize = mt__esize(dst_dtype), ssize = mt__esize(src_dtype);
  bool contiguous = (dst_stride == 1 && src_stride == 1) || n == 1;
  if (dst_dtype == src_dtype) {
    if (contiguous) {
      memmove(dst, src, (size_t)n * (size_t)dsize);
    } else {
      copy_strided(dst, dst_stride * dsize, src, src_stride * ssize, dsize, n);
    }
    return;
  }
  if (contiguous) {
    void (*fast)(void *restrict, const void *restrict, int64_t) =
        mt__kern_convert()->pair[dst_dtype][src_dtype];
    if (fast) {
      fast(dst, src, n);
      return;
    }
  }
  int64_t ds = dst_stride * dsize, ss = src_stride * ssize;
  union {
    int64_t i[TILE];
    double f[TILE];
  } tile;
  bool floats = mt__is_float(src_dtype);
  while (n > 0) {
    int k = n < TILE ? (int)n : TILE;
    if (floats) {
      read_floats(tile.f, src, src_dtype, ss, k);
      write_floats(dst, dst_dtype, ds, tile.f, k);
    } else {
      read_ints(tile.i, src, src_dtype, ss, k);
      write_ints(dst, dst_dtype, ds, tile.i, k);
    }
    src += k * ss;
    dst += k * ds;
    n -= k;
  }
}
