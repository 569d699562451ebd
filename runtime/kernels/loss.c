/* kernels/loss.c: elementwise losses of float and double (see loss.h). */
#include "loss.h"

#include "kernels.h"
#include "vmath.h"

VM float abs_f32(float x) {
  return vm_absf(x);
}
VM double abs_f64(double x) {
  return fabs(x);
}

#define SIGN(d)            ((T)((d) > 0) - (T)((d) < 0))
#define CLAMP(d, p)        ((d) < -(p) ? -(p) : (d) > (p) ? (p) : (d))

#define MSE(x, t, p)       (((x) - (t)) * ((x) - (t)))
#define MSE_SLOPE(x, t, p) (((x) - (t)) + ((x) - (t)))
#define L1(x, t, p)        ABS((x) - (t))
#define L1_SLOPE(x, t, p)  SIGN((x) - (t))
#define SMOOTH(x, t, p)                                                                            \
  (ABS((x) - (t)) < (p) ? (T)0.5 * ((x) - (t)) * ((x) - (t)) / (p) : ABS((x) - (t)) - (T)0.5 * (p))
#define SMOOTH_SLOPE(x, t, p) (ABS((x) - (t)) < (p) ? ((x) - (t)) / (p) : SIGN((x) - (t)))
#define HUBER(x, t, p)                                                                             \
  (ABS((x) - (t)) <= (p) ? (T)0.5 * ((x) - (t)) * ((x) - (t))                                      \
                         : (p) * (ABS((x) - (t)) - (T)0.5 * (p)))
#define HUBER_SLOPE(x, t, p)  CLAMP((x) - (t), p)
#define AT_LEAST(v, c)        ((v) < (c) ? (c) : (v))
#define BCE(x, t, p)          (((t)-1) * AT_LEAST(LOG1P(-(x)), (T)-100) - (t)*AT_LEAST(LOG(x), (T)-100))
#define BCE_SLOPE(x, t, p)    (((x) - (t)) / AT_LEAST((1 - (x)) * (x), (T)1e-12))
#define LOGITS(x, t, p)       (((x) > 0 ? (x) : 0) - (x) * (t) + LOG1P(EXP(-ABS(x))))
#define LOGITS_SLOPE(x, t, p) (SIGMOID(x) - (t))

VM double sigmoid_f64(double x) {
  double e = exp(-fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}

#define T       float
#define LANES   64
#define ABS     abs_f32
#define LOG     vm_logf
#define LOG1P   vm_log1pf
#define EXP     vm_expf
#define SIGMOID vm_sigmoidf
#define FN(x)   mse_##x##_f32
#define VALUE   MSE
#define SLOPE   MSE_SLOPE
#include "loss.inc"
#define FN(x) l1_##x##_f32
#define VALUE L1
#define SLOPE L1_SLOPE
#include "loss.inc"
#define FN(x) smooth_##x##_f32
#define VALUE SMOOTH
#define SLOPE SMOOTH_SLOPE
#include "loss.inc"
#define FN(x) huber_##x##_f32
#define VALUE HUBER
#define SLOPE HUBER_SLOPE
#include "loss.inc"
#define FN(x) bce_##x##_f32
#define VALUE BCE
#define SLOPE BCE_SLOPE
#include "loss.inc"
#define FN(x) logits_##x##_f32
#define VALUE LOGITS
#define SLOPE LOGITS_SLOPE
#include "loss.inc"

#undef T
#undef LANES
#undef ABS
#undef LOG
#undef LOG1P
#undef EXP
#undef SIGMOID
#define T       double
#define LANES   32
#define ABS     abs_f64
#define LOG     log
#define LOG1P   log1p
#define EXP     exp
#define SIGMOID sigmoid_f64
#define FN(x)   mse_##x##_f64
#define VALUE   MSE
#define SLOPE   MSE_SLOPE
#include "loss.inc"
#define FN(x) l1_##x##_f64
#define VALUE L1
#define SLOPE L1_SLOPE
#include "loss.inc"
#define FN(x) smooth_##x##_f64
#define VALUE SMOOTH
#define SLOPE SMOOTH_SLOPE
#include "loss.inc"
#define FN(x) huber_##x##_f64
#define VALUE HUBER
#define SLOPE HUBER_SLOPE
#include "loss.inc"
#define FN(x) bce_##x##_f64
#define VALUE BCE
#define SLOPE BCE_SLOPE
#include "loss.inc"
#define FN(x) logits_##x##_f64
#define VALUE LOGITS
#define SLOPE LOGITS_SLOPE
#include "loss.inc"

#define LOOPS(loss, t)                                                                             \
  { loss##_sum_##t, loss##_each_##t, loss##_back_##t }
#define ALL(t)                                                                                     \
  {                                                                                                \
    [MT_LOSS_MSE] = LOOPS(mse, t), [MT_LOSS_L1] = LOOPS(l1, t),                                    \
    [MT_LOSS_SMOOTH_L1] = LOOPS(smooth, t), [MT_LOSS_HUBER] = LOOPS(huber, t),                     \
    [MT_LOSS_BCE] = LOOPS(bce, t), [MT_LOSS_BCE_LOGITS] = LOOPS(logits, t)                         \
  }

const mt_kern_loss MT_KERN(loss) = {.f32 = ALL(f32), .f64 = ALL(f64)};
