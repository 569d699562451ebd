/* factory.h: what ops that make tensors from nothing share: the keywords dtype, device and
 * requires_grad, which stand last in their signatures in this order. */
#ifndef MT_OPS_FACTORY_H
#define MT_OPS_FACTORY_H

#include "internal.h"

/* Makes out[0], row-major; the keywords say otherwise than the given dtype and the CPU. */
int mt__factory(mt_frame *f, int dtype, int ndim, const int64_t *sizes);
/* Makes out[0] like t: its sizes, its order of dimensions in memory if it is dense, and its dtype
 * and device unless the keywords say otherwise. */
int mt__factory_like(mt_frame *f, const mt_tensor *t);
/* Makes out[0] with t's dtype and device unless the keywords say otherwise. */
int mt__factory_new(mt_frame *f, const mt_tensor *t, int ndim, const int64_t *sizes);

/* Writes one number to every element; t is dense. */
int mt__fill_dense(const mt_tensor *t, const mt_arg *number);

#endif
