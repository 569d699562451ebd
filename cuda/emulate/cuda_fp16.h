// emulate/cuda_fp16.h: float16 bits to float and back, on the host.
#pragma once

#include <stdint.h>

typedef uint16_t mtc_emu_half;
static inline mtc_emu_half __ushort_as_half(uint16_t h) {
  return h;
}
static inline uint16_t __half_as_ushort(mtc_emu_half h) {
  return h;
}
static inline float __half2float(mtc_emu_half h) {
  _Float16 x;
  __builtin_memcpy(&x, &h, 2);
  return (float)x;
}
static inline mtc_emu_half __float2half_rn(float f) {
  _Float16 x = (_Float16)f;
  mtc_emu_half h;
  __builtin_memcpy(&h, &x, 2);
  return h;
}
