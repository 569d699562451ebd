/* view.c: histories of views and of what is written through them.
 *
 * A view remembers its base (never itself a view) and the steps that make it from the base, as
 * op and arguments, not as strides alone: so its place in the graph can be made again on a base
 * that got a new history. A recorded write through a view gives the base a CopySlices node
 * (zero the written part of the gradient, send that part through the write's own derivative)
 * and leaves every view of it, the written one too, to be refreshed when it is next used:
 * mt__view_refresh compares the storage's version with the one at which the view's node was
 * set. */
#include <string.h>

#include "internal.h"

int mt__viewstep_new(mt_viewstep **out, const mt_op *op, const mt_arg *args, mt_viewstep *before) {
  size_t bytes = mt__args_bytes(op->nparams, args);
  mt_viewstep *s = mt__malloc(sizeof *s + bytes);
  *out = s;
  if (!s) return mt__fail_memory(sizeof *s + bytes);
  *s = (mt_viewstep){.op = op, .before = mt__viewstep_retain(before), .nargs = op->nparams};
  atomic_init(&s->refs, 1);
  mt__args_copy((char *)s->args, op->nparams, args);
  s->args[0] = mt__arg_none();
  return MT_OK;
}

mt_viewstep *mt__viewstep_retain(mt_viewstep *s) {
  if (s) atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
  return s;
}

void mt__viewstep_release(mt_viewstep *s) {
  while (s && mt__drop(&s->refs)) {
    mt_viewstep *before = s->before;
    mt__free(s);
    s = before;
  }
}

int mt__viewstep_apply(mt_tensor **out, mt_viewstep *s, mt_tensor *base) {
  *out = NULL;
  int n = 0;
  for (mt_viewstep *q = s; q; q = q->before) n++;
  MT_AUTO *t = mt_retain(base);
  for (int k = n - 1; k >= 0; k--) { /* from the oldest step */
    mt_viewstep *q = s;
    for (int i = 0; i < k; i++) q = q->before;
    mt_arg args[MT_MAX_PARAMS];
    memcpy(args, q->args, (size_t)q->nargs * sizeof *args);
    args[0] = mt__arg_t(t);
    mt_tensor *next = NULL;
    MT_TRY(mt_call(q->op, MT_CALL, args, &next));
    mt_release(t);
    t = next;
  }
  *out = t;
  t = NULL;
  return MT_OK;
}

int mt__view_refresh(mt_tensor *t) {
  if (!t->view || !t->storage || t->storage->version == t->view_version) return MT_OK;
  mt_tensor *base = t->base;
  uint32_t version = t->storage->version;
  if (mt__requires_grad(base)) {
    mt_tensor *again = NULL;
    bool grad = mt_set_grad_enabled(true);
    int status = mt__viewstep_apply(&again, t->view, base);
    mt_set_grad_enabled(grad);
    MT_TRY(status);
    mt_node_release(t->node);
    t->node = again->node;
    t->out_nr = again->out_nr;
    again->node = NULL;
    mt_release(again);
  }
  t->view_version = version;
  return MT_OK;
}

int mt__view_write(mt_node **base_node, mt_node *write, mt_tensor *t) {
  mt_node *n = NULL;
  *base_node = NULL;
  MT_TRY(mt__node_alloc(&n, MT_NODE_COPYSLICES, write->nslots, 1, 0, NULL));
  int status = mt__edge_of(&n->edges[0], t->base);
  if (status == MT_OK) status = mt__shallow(&n->saved[0], t->base, false);
  for (int i = 1; i < write->nslots && status == MT_OK; i++) {
    n->edges[i] = write->edges[i];
    mt_node_retain(n->edges[i].node);
    if (write->saved[i]) status = mt__shallow(&n->saved[i], write->saved[i], false);
  }
  if (status == MT_OK) status = mt__shallow(&n->outs[0], t->base, false);
  if (status != MT_OK) {
    mt_node_release(n);
    return status;
  }
  mt__node_number(n);
  n->inner = mt_node_retain(write);
  n->step = mt__viewstep_retain(t->view);
  *base_node = n;
  return MT_OK;
}
