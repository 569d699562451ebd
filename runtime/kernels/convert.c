/* kernels/convert.c: contiguous conversion loops for the pairs of dtypes that training meets:
 * images and labels on their way in, mixed precision, masks. Each is one loop over the scalar
 * conversions of cast.h and half.h, which the compiler vectorises. */
#include <stdbool.h>
#include <stddef.h>

#include "../cast.h"
#include "../half.h"
#include "convert.h"
#include "kernels.h"

/* A loop dst[i] = expression of v. */
#define LOOP(name, to, from, expression)                                                           \
  static void name(void *restrict dst, const void *restrict src, int64_t n) {                      \
    to *restrict d = dst;                                                                          \
    const from *restrict s = src;                                                                  \
    for (int64_t i = 0; i < n; i++) {                                                              \
      from v = s[i];                                                                               \
      d[i] = (to)(expression);                                                                     \
    }                                                                                              \
  }

LOOP(u8_f32, float, uint8_t, v)
LOOP(bool_f32, float, uint8_t, v != 0)
LOOP(i32_f32, float, int32_t, v)
LOOP(i64_f32, float, int64_t, v)
LOOP(f64_f32, float, double, v)
LOOP(bf16_f32, float, uint16_t, mt__bf16_to_float(v))

LOOP(f32_f64, double, float, v)
LOOP(i64_f64, double, int64_t, v)

LOOP(f32_bf16, uint16_t, float, mt__float_to_bf16(v))

LOOP(f32_u8, uint8_t, float, mt__f32_to_u8(v))
LOOP(f32_i32, int32_t, float, mt__f32_to_i32(v))
LOOP(f32_i64, int64_t, float, mt__f32_to_i64(v))
LOOP(f64_i64, int64_t, double, mt__f64_to_i64(v))
LOOP(f32_bool, uint8_t, float, v != 0)

LOOP(u8_i64, int64_t, uint8_t, v)
LOOP(bool_i64, int64_t, uint8_t, v != 0)
LOOP(i32_i64, int64_t, int32_t, v)
LOOP(i64_i32, int32_t, int64_t, v)

static void f16_f32(void *restrict dst, const void *restrict src, int64_t n) {
  mt__halfs_to_floats(dst, src, n);
}

static void f32_f16(void *restrict dst, const void *restrict src, int64_t n) {
  mt__floats_to_halfs(dst, src, n);
}

const mt_kern_convert MT_KERN(convert) = {{
    [MT_FLOAT32] = {[MT_UINT8] = u8_f32,
                    [MT_BOOL] = bool_f32,
                    [MT_INT32] = i32_f32,
                    [MT_INT64] = i64_f32,
                    [MT_FLOAT64] = f64_f32,
                    [MT_FLOAT16] = f16_f32,
                    [MT_BFLOAT16] = bf16_f32},
    [MT_FLOAT64] = {[MT_FLOAT32] = f32_f64, [MT_INT64] = i64_f64},
    [MT_FLOAT16] = {[MT_FLOAT32] = f32_f16},
    [MT_BFLOAT16] = {[MT_FLOAT32] = f32_bf16},
    [MT_UINT8] = {[MT_FLOAT32] = f32_u8},
    [MT_BOOL] = {[MT_FLOAT32] = f32_bool},
    [MT_INT32] = {[MT_FLOAT32] = f32_i32, [MT_INT64] = i64_i32},
    [MT_INT64] = {[MT_FLOAT32] = f32_i64,
                  [MT_FLOAT64] = f64_i64,
                  [MT_UINT8] = u8_i64,
                  [MT_BOOL] = bool_i64,
                  [MT_INT32] = i32_i64},
}};
