/* autograd.c: what a tensor knows of the graph: flags, gradient, hooks, the node behind it. */
#include <string.h>

#include "internal.h"

/* A view whose base was written, and so perhaps got a history, since the view's node was set:
 * mt__view_refresh will give it one. */
static bool gets_history(const mt_tensor *t) {
  return t->view && t->storage && !t->node && t->storage->version != t->view_version &&
         mt__requires_grad(t->base);
}

bool mt_requires_grad(const mt_tensor *t) {
  return mt__requires_grad(t) || gets_history(t);
}

bool mt_is_leaf(const mt_tensor *t) {
  return !t->node && !gets_history(t);
}

int mt_set_requires_grad(mt_tensor *t, bool on) {
  if (!mt_is_leaf(t)) {
    if (on) return MT_OK;
    return mt_fail(MT_ERR_GRAD, "you can only change requires_grad flags of leaf variables; use "
                                ":detach() to get a tensor that does not require grad");
  }
  if (on && !mt__is_float(t->dtype))
    return mt_fail(MT_ERR_DTYPE,
                   "only Tensors of floating point dtype can require gradients, got %s",
                   mt_dtype_name(t->dtype));
  if (on && (t->flags & MT_T_INFERENCE) && !mt_inference_enabled())
    return mt_fail(MT_ERR_GRAD, "Setting requires_grad=true on inference tensor outside "
                                "inference_mode is not allowed; :clone() it first");
  if (on)
    t->flags |= MT_T_REQUIRES_GRAD;
  else
    t->flags &= (uint16_t)~MT_T_REQUIRES_GRAD;
  return MT_OK;
}

int mt_grad(mt_tensor **out, mt_tensor *t) {
  *out = t->grad;
  return MT_OK;
}

int mt_set_grad(mt_tensor *t, mt_tensor *grad) {
  if (grad) {
    if (grad == t) return mt_fail(MT_ERR_GRAD, "can't assign Variable as its own grad");
    if (grad->dtype != t->dtype)
      return mt_fail(MT_ERR_DTYPE, "assigned grad has data of a different type: %s, wanted %s",
                     mt_dtype_name(grad->dtype), mt_dtype_name(t->dtype));
    if (grad->device != t->device)
      return mt_fail(MT_ERR_DEVICE, "assigned grad has data located on a different device");
    if (grad->ndim != t->ndim ||
        memcmp(grad->sizes, t->sizes, (size_t)t->ndim * sizeof *t->sizes) != 0) {
      char a[200], b[200];
      return mt_fail(MT_ERR_SHAPE, "assigned grad has data of a different size: %s, wanted %s",
                     mt__shape_text(a, sizeof a, grad->ndim, grad->sizes),
                     mt__shape_text(b, sizeof b, t->ndim, t->sizes));
    }
  }
  mt_tensor *old = t->grad;
  t->grad = mt_retain(grad);
  mt_release(old);
  return MT_OK;
}

int mt_grad_fn(mt_node **out, mt_tensor *t) {
  *out = NULL;
  MT_TRY(mt__view_refresh(t));
  *out = mt_node_retain(t->node);
  return MT_OK;
}

static int places(void **array, const mt_node *n) {
  if (!*array) *array = mt__calloc((size_t)n->nout * sizeof(void *));
  return *array ? MT_OK : mt__fail_memory((size_t)n->nout * sizeof(void *));
}

int mt__node_retains(mt_node *n) {
  return places((void **)&n->retain, n);
}

int mt_retain_grad(mt_tensor *t) {
  if (!mt_requires_grad(t))
    return mt_fail(MT_ERR_GRAD, "can't retain_grad on Tensor that has requires_grad=false");
  MT_TRY(mt__view_refresh(t));
  if (!t->node || (t->flags & MT_T_RETAIN_GRAD)) return MT_OK; /* a leaf has its gradient anyway */
  MT_TRY(mt__node_retains(t->node));
  t->node->retain[t->out_nr] = t;
  t->flags |= MT_T_RETAIN_GRAD;
  return MT_OK;
}

/* The list that holds t's hooks: the leaf's own, or its node's for this output. */
static int hook_list(mt_token ***out, mt_tensor *t) {
  MT_TRY(mt__view_refresh(t));
  if (!t->node) {
    *out = &t->hook;
    return MT_OK;
  }
  MT_TRY(places((void **)&t->node->hooks, t->node));
  *out = &t->node->hooks[t->out_nr];
  return MT_OK;
}

int mt_hook_add(mt_tensor *t, mt_token *token) {
  if (!mt_requires_grad(t))
    return mt_fail(MT_ERR_GRAD, "cannot register a hook on a tensor that doesn't require gradient");
  mt_token **list;
  MT_TRY(hook_list(&list, t));
  while (*list) list = &(*list)->next;
  *list = mt__token_retain(token);
  return MT_OK;
}

int mt_hook_remove(mt_tensor *t, int64_t id) {
  mt_token **list;
  MT_TRY(hook_list(&list, t));
  for (; *list; list = &(*list)->next)
    if ((*list)->id == id) {
      mt_token *gone = *list;
      *list = gone->next;
      gone->next = NULL;
      mt_token_release(gone);
      return MT_OK;
    }
  return MT_OK;
}
