/* kernels/softmax.c: softmax loops of float and double (see softmax.h). */
#include "softmax.h"

#include <math.h>

#include "kernels.h"
#include "vmath.h"

/* exp(x) for x <= 0 (a little above 0 does no harm): one scaling step is enough. What would be
 * subnormal is 0. */
VM float exp_f32(float x) {
  float least = -87.33654f, c = x < least ? least : x, k;
  float r = vm_exp_reducef(c, &k);
  float p = 1.0f + MT_FMA(r * r, vm_exp_polyf(r), r);
  return x < least ? 0.0f : p * vm_pow2f(vm_bits(k));
}

#define T     float
#define FN(x) x##_f32
#define EXP   exp_f32
#define LOG   vm_logf
#define LANES 64
#include "softmax.inc"

#define T     double
#define FN(x) x##_f64
#define EXP   exp
#define LOG   log
#define LANES 32
#include "softmax.inc"

#define LOOPS(t)                                                                                   \
  {                                                                                                \
    .max = max_##t, .exp_sum = exp_sum_##t, .exp_store = exp_store_##t,                            \
    .exp_scale = exp_scale_##t, .scale = scale_##t, .shift = shift_##t, .sum = sum_##t,            \
    .dot = dot_##t, .back = back_##t, .log_back = log_back_##t, .col_max = col_max_##t,            \
    .col_exp_sum = col_exp_sum_##t, .col_exp = col_exp_##t, .col_shift = col_shift_##t,            \
    .col_dot = col_dot_##t, .col_back = col_back_##t, .col_log_back = col_log_back_##t,            \
    .col_lse = col_lse_##t, .to_tile = to_tile_##t, .from_tile = from_tile_##t                     \
  }

const mt_kern_softmax MT_KERN(softmax) = {.f32 = LOOPS(f32), .f64 = LOOPS(f64)};
