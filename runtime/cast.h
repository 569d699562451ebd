/* cast.h: one number of one type to another, defined for every value.
 *
 * A float becomes the nearest integer towards zero, the type's limit where it lies outside, and
 * 0 when it is not a number; any number but zero is true, not-a-number too. An integer becomes
 * a narrower one modulo 2^n, as in C. Selects only, so that loops vectorise; the operand of
 * each C conversion is in range.
 */
#ifndef MT_CAST_H
#define MT_CAST_H

#include <stdint.h>

static inline int64_t mt__f64_to_i64(double x) {
  double c = x >= -9223372036854775808.0 ? x : -9223372036854775808.0;
  c = c < 9223372036854774784.0 ? c : 9223372036854774784.0;
  int64_t v = (int64_t)c;
  v = x >= 9223372036854775808.0 ? INT64_MAX : v;
  return x != x ? 0 : v;
}

static inline int64_t mt__f32_to_i64(float x) {
  float c = x >= -9223372036854775808.0f ? x : -9223372036854775808.0f;
  c = c < 9223371487098961920.0f ? c : 9223371487098961920.0f;
  int64_t v = (int64_t)c;
  v = x >= 9223372036854775808.0f ? INT64_MAX : v;
  return x != x ? 0 : v;
}

static inline int32_t mt__f32_to_i32(float x) {
  float c = x >= -2147483648.0f ? x : -2147483648.0f;
  c = c < 2147483520.0f ? c : 2147483520.0f;
  int32_t v = (int32_t)c;
  v = x >= 2147483648.0f ? INT32_MAX : v;
  return x != x ? 0 : v;
}

/* For types whose limits a double holds: lo and hi are theirs. */
static inline int32_t mt__f64_to_range(double x, double lo, double hi) {
  double c = x >= lo ? x : lo;
  c = c < hi ? c : hi;
  return x != x ? 0 : (int32_t)c;
}

static inline int32_t mt__f64_to_i32(double x) {
  return mt__f64_to_range(x, -2147483648.0, 2147483647.0);
}
static inline int16_t mt__f64_to_i16(double x) {
  return (int16_t)mt__f64_to_range(x, -32768.0, 32767.0);
}
static inline int8_t mt__f64_to_i8(double x) {
  return (int8_t)mt__f64_to_range(x, -128.0, 127.0);
}
static inline uint8_t mt__f64_to_u8(double x) {
  return (uint8_t)mt__f64_to_range(x, 0.0, 255.0);
}

static inline uint8_t mt__f32_to_u8(float x) {
  float c = x > 0.0f ? x : 0.0f; /* not-a-number compares false */
  c = c < 255.0f ? c : 255.0f;
  return (uint8_t)(int32_t)c;
}

#endif
