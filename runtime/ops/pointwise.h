/* ops/pointwise.h: between the files of the pointwise family, and for device kernels of it.
 *
 * infer leaves in the frame what a kernel needs (priv): which loop (mt__pw_kernel), its numbers
 * (mt__pw_params); f->compute is the dtype to which all operands are promoted, which is also the
 * result's but for tests (bool). Operands are the tensors and numbers among the first nin
 * arguments, in order; those left out (clamp's min or max) do not count.
 */
#ifndef MT_OPS_POINTWISE_H
#define MT_OPS_POINTWISE_H

#include "../internal.h"
#include "../kernels/pointwise.h"

enum mt_pw_class { MT_PWC_FLOAT, MT_PWC_ARITH, MT_PWC_TEST, MT_PWC_FTEST, MT_PWC_BITS };

/* How a derivative is taken: a fused loop (or ops in grad mode), always ops, the gradient as it
 * is, zero, not at all. */
enum mt_pw_kind { MT_PWD_NONE, MT_PWD_ZERO, MT_PWD_PASS, MT_PWD_OPS, MT_PWD_FUSED };

typedef struct mt_pw_info {
  uint8_t nin, cls, kind[3];
  int32_t grain; /* elements that are worth a task */
} mt_pw_info;

extern const mt_pw_info mt__pw_info[MT_PW_COUNT];

/* Which loop an op takes for its arguments, promoted to dtype, and with which numbers, if any. f
 * is NULL where the arguments have been checked before. */
typedef int (*mt_pw_pick)(const mt_frame *f, const mt_arg *args, int dtype, mt_pw_params *p,
                          int *kernel);

typedef struct mt_pw_row {
  int16_t kernel; /* -1: ask pick */
  uint8_t nin;    /* parameters that are operands */
  mt_pw_pick pick;
} mt_pw_row;

static inline int mt__pw_kernel(const mt_frame *f) {
  return (int)(f->priv[0] & 0xffff);
}
static inline const mt_pw_params *mt__pw_params_of(const mt_frame *f) {
  return (const mt_pw_params *)(const void *)&f->priv[2];
}

/* The derivative of a loop by operand k, written with ops. y is the result, p the numbers. */
int mt__pw_by_ops(mt_tensor **out, int kernel, int k, mt_tensor *g, const mt_arg operands[3],
                  mt_tensor *y, const mt_pw_params *p);

int mt__pw_vjp(mt_vjp *v);
int mt__where_vjp(mt_vjp *v);
int mt__masked_fill_vjp(mt_vjp *v);

/* The numbers of an op's loop, from the arguments behind its operands. */
void mt__pw_fill_params(mt_pw_params *p, int nparams, const mt_arg *args, int nin);

#endif
