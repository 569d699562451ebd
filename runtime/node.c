/* node.c: graph nodes: what a recorded call keeps, and how it is let go.
 *
 * Invariants
 *  - An edge points to a node with a lower sequence number, so the graph has no cycles and
 *    descending order of sequence numbers is an order of execution.
 *  - saved[slot] is a detached shallow copy of an argument: sizes always, storage only where
 *    .saves says that a wanted derivative needs the values. Its node is the argument's edge, so
 *    that a derivative recorded with create_graph continues the right graph.
 *  - A leaf's accumulator is owned by the edges that lead to it and owns the leaf; the leaf
 *    only remembers it.
 *  - Nodes are freed in a loop, never recursively: a chain may be millions long.
 */
#include <string.h>

#include "internal.h"

static _Atomic uint64_t next_seq = 1;
__thread int64_t mt__site;

void mt_set_site(int64_t site) {
  mt__site = site;
}

/* ---- slots ---- */

int mt__count_slots(const mt_op *op, const mt_arg *args) {
  int n = 0;
  for (int i = 0; i < op->nparams; i++) {
    int type = op->params[i].type;
    if (type == MT_P_TENSOR || type == MT_P_OPERAND)
      n++;
    else if (type == MT_P_TENSORS)
      n += args[i].kind == MT_TENSORS ? args[i].n : 0;
  }
  return n;
}

int mt__slots_of(const mt_op *op, const mt_arg *args, mt_tensor **slots, int max) {
  int n = 0;
  for (int i = 0; i < op->nparams; i++) {
    int type = op->params[i].type;
    if (type == MT_P_TENSOR || type == MT_P_OPERAND) {
      if (n < max) slots[n] = args[i].kind == MT_TENSOR ? args[i].u.t : NULL;
      n++;
    } else if (type == MT_P_TENSORS && args[i].kind == MT_TENSORS) {
      for (int k = 0; k < args[i].n; k++, n++)
        if (n < max) slots[n] = args[i].u.ts[k];
    }
  }
  return n;
}

int mt__slot(const mt_vjp *v, int param) {
  int n = 0;
  for (int i = 0; i < param; i++) {
    int type = v->op->params[i].type;
    if (type == MT_P_TENSOR || type == MT_P_OPERAND)
      n++;
    else if (type == MT_P_TENSORS)
      n += v->args[i].kind == MT_TENSORS ? v->args[i].n : 0;
  }
  return n;
}

/* ---- making ---- */

/* One block: the node, then edges, saved, versions, outs, then `extra` bytes for the caller. */
int mt__node_alloc(mt_node **out, int kind, int nslots, int nout, size_t extra, char **more) {
  *out = NULL;
  size_t edges = sizeof(mt_node), saved = edges + (size_t)nslots * sizeof(mt_edge),
         outs = saved + (size_t)nslots * sizeof(mt_tensor *),
         versions = outs + (size_t)nout * sizeof(mt_tensor *),
         rest = (versions + (size_t)(nslots + nout) * sizeof(uint32_t) + 15) & ~(size_t)15;
  size_t bytes = rest + extra;
  mt_node *n = mt__obj_alloc(bytes);
  if (!n) return mt__fail_memory(bytes);
  memset(n, 0, versions);
  atomic_init(&n->refs, 1);
  n->kind = (uint8_t)kind;
  n->nslots = nslots;
  n->nout = (uint8_t)nout;
  n->bytes = bytes;
  n->site = mt__site;
  n->edges = (mt_edge *)((char *)n + edges);
  n->saved = (mt_tensor **)((char *)n + saved);
  n->outs = (mt_tensor **)((char *)n + outs);
  n->versions = (uint32_t *)((char *)n + versions);
  if (more) *more = (char *)n + rest;
  mt__count_nodes(1);
  *out = n;
  return MT_OK;
}

/* Called when the edges are there: making them may have made accumulators, whose numbers must be
 * lower. */
void mt__node_number(mt_node *n) {
  n->seq = atomic_fetch_add_explicit(&next_seq, 1, memory_order_relaxed);
}

int mt__edge_of(mt_edge *out, mt_tensor *t) {
  *out = (mt_edge){0};
  if (t->node) {
    out->node = mt_node_retain(t->node);
    out->out_nr = t->out_nr;
    return MT_OK;
  }
  if (!(t->flags & MT_T_REQUIRES_GRAD)) return MT_OK;
  if (t->acc) {
    out->node = mt_node_retain(t->acc);
    return MT_OK;
  }
  MT_TRY(mt__node_alloc(&out->node, MT_NODE_ACC, 0, 1, 0, NULL));
  mt__node_number(out->node);
  out->node->leaf = mt_retain(t);
  t->acc = out->node;
  return MT_OK;
}

/* A leaf is going while its accumulator (which owns it) is being freed. */
void mt__acc_forget(mt_tensor *leaf) {
  leaf->acc = NULL;
}

static size_t list_bytes(const mt_arg *a) {
  switch (a->kind) {
  case MT_INTS:
    return (size_t)a->n * sizeof(int64_t);
  case MT_FLOATS:
    return (size_t)a->n * sizeof(double);
  case MT_TENSORS:
    return (size_t)a->n * sizeof(mt_tensor *);
  case MT_STRING:
    return (strlen(a->u.s) + 8) & ~(size_t)7;
  default:
    return 0;
  }
}

size_t mt__args_bytes(int nargs, const mt_arg *args) {
  size_t bytes = (size_t)nargs * sizeof(mt_arg);
  for (int i = 0; i < nargs; i++) bytes += list_bytes(&args[i]);
  return bytes;
}

void mt__args_copy(char *to, int nargs, const mt_arg *args) {
  mt_arg *copy = (mt_arg *)to;
  char *lists = to + (size_t)nargs * sizeof(mt_arg);
  memcpy(copy, args, (size_t)nargs * sizeof(mt_arg));
  for (int i = 0; i < nargs; i++) {
    size_t n = list_bytes(&args[i]);
    if (!n) continue;
    memcpy(lists, args[i].u.is, args[i].kind == MT_STRING ? strlen(args[i].u.s) + 1 : n);
    copy[i].u.is = (const int64_t *)lists;
    lists += n;
  }
}

/* Which parameters' values and which outputs the wanted derivatives need. */
static void wanted(const mt_frame *f, mt_tensor *const *slots, uint32_t *args, uint32_t *outs) {
  const mt_op *op = f->op;
  *args = *outs = 0;
  int slot = 0;
  for (int i = 0; i < op->nparams; i++) {
    int type = op->params[i].type, count = 0;
    if (type == MT_P_TENSOR || type == MT_P_OPERAND)
      count = 1;
    else if (type == MT_P_TENSORS && f->args[i].kind == MT_TENSORS)
      count = f->args[i].n;
    bool any = false;
    for (int k = 0; k < count; k++, slot++) any |= slots[slot] && mt__requires_grad(slots[slot]);
    if (any) {
      *args |= op->save_args[i];
      *outs |= op->save_outs[i];
    }
  }
}

int mt__record(mt_node **out, const mt_frame *f, mt_tensor *const *slots, int nslots) {
  const mt_op *op = f->op;
  uint32_t want_args, want_outs;
  wanted(f, slots, &want_args, &want_outs);
  char *more;
  mt_node *n = NULL;
  *out = NULL;
  MT_TRY(
      mt__node_alloc(&n, MT_NODE_OP, nslots, f->nout, mt__args_bytes(op->nparams, f->args), &more));
  n->op = op;
  n->seed = f->seed;
  n->stream = f->stream;
  n->args = (mt_arg *)more;
  mt__args_copy(more, op->nparams, f->args);
  int status = MT_OK, slot = 0;
  for (int i = 0; i < op->nparams && status == MT_OK; i++) {
    int type = op->params[i].type, count = 0;
    bool list = type == MT_P_TENSORS;
    if (type == MT_P_TENSOR || type == MT_P_OPERAND)
      count = 1;
    else if (list && f->args[i].kind == MT_TENSORS)
      count = f->args[i].n;
    for (int k = 0; k < count && status == MT_OK; k++, slot++) {
      mt_tensor *t = slots[slot], *copy = NULL;
      if (!t) continue;
      status = mt__edge_of(&n->edges[slot], t);
      if (status != MT_OK) break;
      bool values = (want_args >> i & 1) != 0 && t->storage;
      if (values && i == 0 && f->form == MT_CALL_INPLACE) {
        /* the write is about to destroy them */
        status = mt__desc_new(&copy, t->dtype, t->device, t->ndim, t->sizes);
        if (status == MT_OK) status = mt__give_storage(copy);
        if (status == MT_OK) status = mt__copy_values(copy, t);
      } else {
        status = mt__shallow(&copy, t, values);
      }
      n->saved[slot] = copy;
      if (status != MT_OK) break;
      if (copy->storage) n->versions[slot] = copy->storage->version;
      if (n->edges[slot].node) {
        copy->node = mt_node_retain(n->edges[slot].node);
        copy->out_nr = n->edges[slot].out_nr;
      }
      if (list)
        ((mt_tensor **)(uintptr_t)n->args[i].u.ts)[k] = copy;
      else
        n->args[i].u.t = copy;
    }
  }
  bool in_place = f->form == MT_CALL_INPLACE;
  for (int k = 0; k < f->nout && status == MT_OK; k++) {
    bool values = (want_outs >> k & 1) != 0;
    status = mt__shallow(&n->outs[k], f->out[k], values);
    if (values && status == MT_OK && n->outs[k]->storage)
      n->versions[nslots + k] = n->outs[k]->storage->version + (in_place ? 1 : 0);
  }
  if (status != MT_OK) {
    mt_node_release(n);
    return status;
  }
  mt__node_number(n);
  *out = n;
  return MT_OK;
}

/* ---- letting go ---- */

void mt__node_drop_saved(mt_node *n) {
  n->released = true;
  for (int i = 0; i < n->nslots; i++)
    if (n->saved[i] && n->saved[i]->storage) {
      mt__storage_release(n->saved[i]->storage);
      n->saved[i]->storage = NULL;
    }
  for (int i = 0; i < n->nout; i++)
    if (n->outs[i] && n->outs[i]->storage) {
      mt__storage_release(n->outs[i]->storage);
      n->outs[i]->storage = NULL;
    }
  for (int i = 0; i < n->ncustom; i++)
    if (n->custom[i]) {
      mt_release(n->custom[i]);
      n->custom[i] = NULL;
    }
  if (n->inner) mt__node_drop_saved(n->inner);
}

bool mt__node_saves_values(const mt_node *n) {
  if (n->ncustom) return true;
  if (n->inner) return mt__node_saves_values(n->inner);
  for (int i = 0; i < n->nslots; i++)
    if (n->saved[i] && n->saved[i]->storage) return true;
  for (int i = 0; i < n->nout; i++)
    if (n->outs[i] && n->outs[i]->storage) return true;
  return false;
}

/* The thread's list of nodes whose last reference went while another one was being freed. */
static __thread mt_node *dying;
static __thread bool freeing;

static void node_free(mt_node *n) {
  for (int i = 0; i < n->nslots; i++) {
    mt_release(n->saved[i]);
    mt_node_release(n->edges[i].node);
  }
  for (int i = 0; i < n->nout; i++) {
    mt_release(n->outs[i]);
    if (n->hooks) mt_token_release(n->hooks[i]);
  }
  for (int i = 0; i < n->ncustom; i++) mt_release(n->custom[i]);
  mt__free(n->custom);
  mt__free(n->hooks);
  mt__free(n->retain);
  mt__free(n->name);
  mt_token_release(n->token);
  mt_node_release(n->inner);
  mt__viewstep_release(n->step);
  mt__count_nodes(-1);
  mt__obj_free(n, n->bytes);
}

mt_node *mt_node_retain(mt_node *n) {
  if (n) atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
  return n;
}

void mt_node_release(mt_node *n) {
  if (!n || !mt__drop(&n->refs)) return;
  mt_tensor *leaf = n->leaf;
  if (leaf && leaf->acc == n) leaf->acc = NULL;
  n->leaf = NULL;
  n->next_dying = dying;
  dying = n;
  if (!freeing) {
    freeing = true;
    while (dying) {
      mt_node *next = dying;
      dying = next->next_dying;
      node_free(next);
    }
    freeing = false;
  }
  mt_release(leaf);
}

/* ---- tokens ---- */

/* Ids of tokens that died, for the binding to collect: a list of the tokens themselves. */
static _Atomic(mt_token *) dropped;

int mt_token_new(mt_token **out, int64_t id) {
  mt_token *t = mt__malloc(sizeof *t);
  *out = t;
  if (!t) return mt__fail_memory(sizeof *t);
  *t = (mt_token){.id = id};
  atomic_init(&t->refs, 1);
  return MT_OK;
}

int64_t mt_token_id(const mt_token *t) {
  return t->id;
}

mt_token *mt__token_retain(mt_token *t) {
  if (t) atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
  return t;
}

void mt_token_release(mt_token *t) {
  while (t && mt__drop(&t->refs)) {
    mt_token *next = t->next;
    mt_token *head = atomic_load(&dropped);
    do t->next = head;
    while (!atomic_compare_exchange_weak(&dropped, &head, t));
    t = next;
  }
}

int64_t mt_token_dropped(void) {
  if (!atomic_load_explicit(&dropped, memory_order_relaxed)) return 0;
  mt_token *t = atomic_load(&dropped);
  while (t && !atomic_compare_exchange_weak(&dropped, &t, t->next)) {
  }
  if (!t) return 0;
  int64_t id = t->id;
  mt__free(t);
  return id;
}

/* ---- questions ---- */

const char *mt_node_name(const mt_node *n) {
  switch (n->kind) {
  case MT_NODE_ACC:
    return "AccumulateGrad";
  case MT_NODE_CUSTOM:
    return n->name;
  case MT_NODE_COPYSLICES:
    return "CopySlices";
  default:
    return n->op->node;
  }
}

int mt_node_edges(const mt_node *n) {
  return n->nslots;
}

mt_node *mt_node_next(const mt_node *n, int edge, uint32_t *out_nr) {
  if (out_nr) *out_nr = n->edges[edge].out_nr;
  return n->edges[edge].node;
}

int64_t mt_node_site(const mt_node *n) {
  return n->site;
}

/* ---- nodes that the caller defines ---- */

int mt_node_custom(mt_node **out, const char *name, mt_token *token, int nin, mt_tensor **inputs,
                   int nout, mt_tensor **outputs) {
  mt_node *n = NULL;
  *out = NULL;
  if (nout < 1 || nout > 255) return mt_fail(MT_ERR_VALUE, "%s: 1 to 255 outputs", name);
  MT_TRY(mt__node_alloc(&n, MT_NODE_CUSTOM, nin, nout, 0, NULL));
  int status = MT_OK;
  n->name = mt__malloc(strlen(name) + 1);
  if (!n->name)
    status = mt__fail_memory(strlen(name) + 1);
  else
    strcpy(n->name, name);
  n->token = mt__token_retain(token);
  for (int i = 0; i < nin && status == MT_OK; i++)
    if (inputs[i]) {
      status = mt__view_refresh(inputs[i]);
      if (status == MT_OK) status = mt__edge_of(&n->edges[i], inputs[i]);
      if (status == MT_OK) status = mt__shallow(&n->saved[i], inputs[i], false);
    }
  for (int k = 0; k < nout && status == MT_OK; k++)
    status = mt__shallow(&n->outs[k], outputs[k], false);
  if (status != MT_OK) {
    mt_node_release(n);
    return status;
  }
  mt__node_number(n);
  for (int k = 0; k < nout; k++)
    if (mt__is_float(outputs[k]->dtype)) {
      mt_node_release(outputs[k]->node);
      outputs[k]->node = mt_node_retain(n);
      outputs[k]->out_nr = (uint32_t)k;
    }
  *out = n;
  return MT_OK;
}

int mt_node_save(mt_node *n, int count, mt_tensor **tensors) {
  mt_tensor **list =
      mt__calloc((size_t)(count ? count : 1) * (sizeof *list + sizeof(uint32_t) + 1));
  if (!list) return mt__fail_memory((size_t)count * sizeof *list);
  uint32_t *versions = (uint32_t *)(list + count);
  bool *is_out = (bool *)(versions + count);
  int status = MT_OK;
  for (int i = 0; i < count && status == MT_OK; i++) {
    mt_tensor *t = tensors[i];
    if (!t) continue;
    status = mt__shallow(&list[i], t, true);
    if (status != MT_OK) break;
    versions[i] = mt_version(t);
    if (t->node == n) { /* an output of its own: no reference, or it would never die */
      is_out[i] = true;
      list[i]->out_nr = t->out_nr;
      continue;
    }
    mt_edge e;
    status = mt__edge_of(&e, t);
    list[i]->node = e.node;
    list[i]->out_nr = e.out_nr;
  }
  if (status != MT_OK) {
    for (int i = 0; i < count; i++) mt_release(list[i]);
    mt__free(list);
    return status;
  }
  for (int i = 0; i < n->ncustom; i++) mt_release(n->custom[i]);
  mt__free(n->custom);
  n->custom = list;
  n->custom_versions = versions;
  n->custom_is_out = is_out;
  n->ncustom = count;
  return MT_OK;
}

int mt_node_saved_count(const mt_node *n) {
  return n->ncustom;
}

int mt_node_saved(mt_tensor **out, mt_node *n, int i) {
  *out = NULL;
  if (n->released)
    return mt_fail(MT_ERR_GRAD,
                   "Trying to backward through the graph a second time (or directly access saved "
                   "tensors after they have already been freed): pass {retain_graph = true} to the "
                   "first backward");
  mt_tensor *t = n->custom[i];
  if (!t) return MT_OK;
  if (mt_version(t) != n->custom_versions[i])
    return mt_fail(MT_ERR_GRAD,
                   "one of the variables needed for gradient computation has been modified by an "
                   "inplace operation: tensor %d saved by %s is at version %u; expected version %u",
                   i + 1, mt_node_name(n), mt_version(t), n->custom_versions[i]);
  mt_tensor *copy = NULL;
  MT_TRY(mt__shallow(&copy, t, true));
  copy->node = mt_node_retain(n->custom_is_out[i] ? n : t->node);
  copy->out_nr = t->out_nr;
  *out = copy;
  return MT_OK;
}
