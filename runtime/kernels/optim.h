/* kernels/optim.h: optimizer updates over contiguous memory, per instruction set. */
#ifndef MT_KERNELS_OPTIM_H
#define MT_KERNELS_OPTIM_H

#include <stdbool.h>
#include <stdint.h>

/* What stays the same for every element of a step. */
typedef struct mt_sgd {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize, first;
} mt_sgd;

typedef struct mt_adam {
  double lr, beta1, beta2, eps, weight_decay;
  double step_size;             /* lr / (1 - beta1^t) */
  double bias_correction2_sqrt; /* sqrt(1 - beta2^t) */
  bool maximize, decoupled;
} mt_adam;

/* Arrays of one type: [0] float, [1] double. p, buffer, m, v and peak are read and written, g is
 * only read. buffer is NULL without momentum, peak without amsgrad. */
typedef struct mt_kern_optim {
  void (*sgd[2])(void *p, const void *g, void *buffer, int64_t n, const mt_sgd *o);
  void (*adam[2])(void *p, const void *g, void *m, void *v, void *peak, int64_t n,
                  const mt_adam *o);
} mt_kern_optim;

#endif
