/* kernels/norm.c: layer_norm loops of float and double (see norm.h). */
#include "norm.h"

#include <math.h>

#include "kernels.h"

#define T     float
#define FN(x) x##_f32
#define FMA   MT_FMA
#define LANES 64
#include "norm.inc"

#define T     double
#define FN(x) x##_f64
#define FMA   MT_FMA64
#define LANES 32
#include "norm.inc"

#define LOOPS(t)                                                                                   \
  {                                                                                                \
    .sum = sum_##t, .square_sum = square_sum_##t, .apply = apply_##t, .back_sums = back_sums_##t,  \
    .back_apply = back_apply_##t                                                                   \
  }

const mt_kern_norm MT_KERN(norm) = {.f32 = LOOPS(f32), .f64 = LOOPS(f64)};
