/* kernels/optim.c: loops of the fused optimizers for float and double. Memory-bound: what counts
 * is that each array is read and written once. */
#include <stddef.h>

#include "kernels.h"
#include "optim.h"

#define T       float
#define SQRT    __builtin_sqrtf
#define NAME(x) x##_f32
#include "optim.inc"
#undef T
#undef SQRT
#undef NAME

#define T       double
#define SQRT    __builtin_sqrt
#define NAME(x) x##_f64
#include "optim.inc"
#undef T
#undef SQRT
#undef NAME

const mt_kern_optim MT_KERN(optim) = {
    .sgd = {sgd_f32, sgd_f64},
    .adam = {adam_f32, adam_f64},
};
