/* tensor.h: what storages, tensors, views and graph nodes are made of.
 *
 * Included by the runtime, the bindings' hot path and device plugins; not a public header.
 *
 * Invariants
 *  - A storage owns its bytes, or belongs to a parent whose bytes it shares (`.data`: the same
 *    memory under a version counter of its own).
 *  - A tensor without storage is a description: what infer makes before memory is given out,
 *    what a node keeps of an argument whose values its derivative does not need, and every
 *    tensor of the meta device.
 *  - There are no cycles: a node never points to the tensor it made; what it saves is a
 *    detached shallow copy (value plus edge), so nothing saved follows later in-place writes.
 */
#ifndef MT_TENSOR_H
#define MT_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A device plugin may be C++: it reads these structs and never counts references. */
#ifdef __cplusplus
#define MT_COUNT int32_t
#else
#include <stdatomic.h>
#define MT_COUNT _Atomic int32_t
#endif

#include "moontorch.h"

typedef struct mt_storage {
  MT_COUNT refs;
  int32_t device;
  uint32_t version; /* counts in-place writes */
  uint32_t flags;
  int64_t nbytes;
  char *data;
  struct mt_storage *parent; /* memory belongs to it */
  void (*release)(void *);   /* memory belongs to somebody else: called with ctx */
  void *ctx;
  uint64_t id;
} mt_storage;

/* How a view is made from its base; shared, immutable, re-applicable. A view of a view links
 * to the step before. */
typedef struct mt_viewstep {
  MT_COUNT refs;
  const mt_op *op;
  struct mt_viewstep *before; /* owned; NULL: applied to the base itself */
  int32_t nargs;
  mt_arg args[]; /* args[0] is the place of the input; lists lie behind */
} mt_viewstep;

enum {
  MT_T_REQUIRES_GRAD = 1, /* a leaf's own wish; a tensor with a node requires grad anyway */
  MT_T_RETAIN_GRAD = 2,
  MT_T_PARAMETER = 4,
  MT_T_MULTIVIEW = 8,    /* made together with others (split): no recorded in-place writes */
  MT_T_NOGRAD_VIEW = 16, /* a view made under no_grad: likewise */
  MT_T_INFERENCE = 32,   /* made in inference mode */
  MT_T_CONTIGUOUS = 64   /* row-major without gaps; kept true by whoever sets strides */
};

struct mt_tensor {
  MT_COUNT refs;
  uint8_t dtype;
  uint8_t ndim;
  uint16_t flags;
  int32_t device;
  uint32_t out_nr; /* which output of node */
  int64_t numel;
  int64_t offset; /* elements */
  mt_storage *storage;
  mt_node *node;     /* what made it; owned; NULL for a leaf */
  mt_tensor *grad;   /* owned */
  mt_node *acc;      /* weak: the node that accumulates into grad; it clears this when freed */
  mt_tensor *base;   /* of a view: the tensor that is no view itself; owned */
  mt_viewstep *view; /* of a view: how to make it from base; owned */
  mt_token *hook;    /* list of hooks (leaf); owned. For others it lives on the node */
  uint64_t id;
  uint32_t view_version; /* of a view: the storage's version when node was set */
  int64_t sizes[MT_MAX_DIMS];
  int64_t strides[MT_MAX_DIMS];
};

static inline int mt__esize(int dtype) {
  static const uint8_t size[MT_NDTYPES] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8};
  return size[dtype];
}

static inline char *mt__ptr(const mt_tensor *t) {
  return t->storage->data + t->offset * mt__esize(t->dtype);
}

static inline bool mt__is_contiguous(const mt_tensor *t) {
  return (t->flags & MT_T_CONTIGUOUS) != 0;
}

static inline bool mt__requires_grad(const mt_tensor *t) {
  return t->node != NULL || (t->flags & MT_T_REQUIRES_GRAD) != 0;
}

static inline bool mt__is_float(int dtype) {
  return dtype >= MT_FLOAT16 && dtype <= MT_FLOAT64;
}

#endif
