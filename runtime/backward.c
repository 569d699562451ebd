/* backward.c: the engine that walks the graph from roots to leaves.
 *
 * A state holds the nodes that have received a gradient, in a heap by sequence number. The
 * highest number is always ready: every node that could still add to its gradient has a higher
 * number and is done. So no counting of dependencies, gradients add up in one fixed order, and
 * nothing recurses, however deep the graph.
 *
 * mt_backward_step goes on until the work is done or the caller is needed (a node or a hook of
 * its own); the state is an object, so several walks may be under way, one inside another. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "moontorch_ops.h"

/* A node with the gradients that have arrived so far. */
typedef struct task {
  mt_node *node;  /* owned */
  mt_tensor *g[]; /* [output] */
} task;

typedef struct capture {
  mt_node *node; /* owned; NULL: the input is not part of any graph */
  uint32_t out_nr;
  mt_tensor *grad; /* owned */
} capture;

/* Pointers to nodes -> value; open addressing with linear probing and backward deletion. */
typedef struct nodemap {
  mt_node **key;
  void **value;
  size_t cap, n;
} nodemap;

/* HOOKS: the hooks of its outputs; KEEP: who wants its gradient; RUN: its derivative; ANSWERED: the
 * caller gave that; SEND: its inputs' gradients are on their way. A step that fails for want of memory may be
 * repeated: it goes on where it was. */
enum stage { STAGE_HOOKS, STAGE_KEEP, STAGE_RUN, STAGE_ANSWERED, STAGE_SEND };
enum { SMALL = 16 };

struct mt_backward {
  int flags;
  task **heap;
  size_t n, cap;
  nodemap tasks;
  bool pruned;    /* gradients of given inputs only */
  nodemap useful; /* pruned: nodes that lead to an input */
  int ncaptures;
  capture *captures;
  /* the task being worked on */
  task *now;
  int stage;
  int out;            /* STAGE_HOOKS: the output whose hooks are running */
  mt_token *hook;     /* the next hook to run */
  int kept;           /* outputs whose tensor has had its retain_grad */
  mt_tensor **answer; /* gradients given by the caller for a node of its own */
  int nanswer;
  mt_tensor **gin; /* gradients of the node's inputs */
  int ngin, sent;  /* how many, and how many of them have been delivered */
  mt_tensor *small_gin[SMALL];
};

/* ---- the map ---- */

static size_t slot_of(const nodemap *m, const mt_node *k) {
  return ((uintptr_t)k >> 6) * 0x9E3779B97F4A7C15u >> 20 & (m->cap - 1);
}

static void **map_find(const nodemap *m, const mt_node *k) {
  if (!m->cap) return NULL;
  for (size_t i = slot_of(m, k); m->key[i]; i = (i + 1) & (m->cap - 1))
    if (m->key[i] == k) return &m->value[i];
  return NULL;
}

static void map_put(nodemap *m, mt_node *k, void *v) {
  size_t i = slot_of(m, k);
  while (m->key[i]) i = (i + 1) & (m->cap - 1);
  m->key[i] = k;
  m->value[i] = v;
  m->n++;
}

static int map_add(nodemap *m, mt_node *k, void *v) {
  if (2 * (m->n + 1) > m->cap) {
    nodemap big = {.cap = m->cap ? 2 * m->cap : 64};
    big.key = mt__calloc(big.cap * sizeof *big.key);
    big.value = mt__calloc(big.cap * sizeof *big.value);
    if (!big.key || !big.value) {
      mt__free(big.key);
      mt__free(big.value);
      return mt__fail_memory(big.cap * 16);
    }
    for (size_t i = 0; i < m->cap; i++)
      if (m->key[i]) map_put(&big, m->key[i], m->value[i]);
    mt__free(m->key);
    mt__free(m->value);
    *m = big;
  }
  map_put(m, k, v);
  return MT_OK;
}

static void map_remove(nodemap *m, const mt_node *k) {
  size_t i = slot_of(m, k), mask = m->cap - 1;
  while (m->key[i] != k) i = (i + 1) & mask;
  for (size_t j = i;;) {
    m->key[i] = NULL;
    for (;;) {
      j = (j + 1) & mask;
      if (!m->key[j]) {
        m->n--;
        return;
      }
      size_t home = slot_of(m, m->key[j]);
      if (((j - home) & mask) >= ((j - i) & mask)) break; /* may move up to i */
    }
    m->key[i] = m->key[j];
    m->value[i] = m->value[j];
    i = j;
  }
}

static void map_free(nodemap *m) {
  mt__free(m->key);
  mt__free(m->value);
}

/* ---- the heap ---- */

static void heap_up(mt_backward *b, size_t i) {
  task *t = b->heap[i];
  for (; i > 0 && b->heap[(i - 1) / 2]->node->seq < t->node->seq; i = (i - 1) / 2)
    b->heap[i] = b->heap[(i - 1) / 2];
  b->heap[i] = t;
}

static task *heap_pop(mt_backward *b) {
  task *top = b->heap[0], *last = b->heap[--b->n];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < b->n; i = child) {
    if (child + 1 < b->n && b->heap[child + 1]->node->seq > b->heap[child]->node->seq) child++;
    if (b->heap[child]->node->seq < last->node->seq) break;
    b->heap[i] = b->heap[child];
  }
  if (b->n) b->heap[i] = last;
  return top;
}

static size_t task_bytes(const mt_node *n) {
  return sizeof(task) + n->nout * sizeof(mt_tensor *);
}

static void task_free(task *t) {
  if (!t) return;
  size_t bytes = task_bytes(t->node);
  for (int k = 0; k < t->node->nout; k++) mt_release(t->g[k]);
  mt_node_release(t->node);
  mt__obj_free(t, bytes);
}

/* ---- gradients arriving ---- */

/* sum += g. A sum that nobody else holds is added to in place. */
static int add_to(mt_tensor **sum, mt_tensor *g) {
  mt_tensor *s = *sum, *r = NULL;
  if (!mt_grad_enabled() && s->refs == 1 && s->storage && s->storage->refs == 1 &&
      !s->storage->release && mt__is_contiguous(s)) {
    MT_TRY(mt_add_(s, mt__arg_t(g), mt__arg_i(1)));
    return MT_OK;
  }
  MT_TRY(mt_add(&r, mt__arg_t(s), mt__arg_t(g), mt__arg_i(1)));
  mt_release(s);
  *sum = r;
  return MT_OK;
}

/* Gives g (borrowed) to output out_nr of a node. */
static int deliver(mt_backward *b, mt_node *n, uint32_t out_nr, mt_tensor *g) {
  if (b->pruned && !map_find(&b->useful, n)) return MT_OK;
  void **found = map_find(&b->tasks, n);
  if (found) {
    task *t = *found;
    if (t->g[out_nr]) return add_to(&t->g[out_nr], g);
    t->g[out_nr] = mt_retain(g);
    return MT_OK;
  }
  if (b->n == b->cap) {
    size_t cap = b->cap ? 2 * b->cap : 16;
    task **heap = mt__realloc(b->heap, cap * sizeof *heap);
    if (!heap) return mt__fail_memory(cap * sizeof *heap);
    b->heap = heap;
    b->cap = cap;
  }
  task *t = mt__obj_alloc(task_bytes(n));
  if (!t) return mt__fail_memory(task_bytes(n));
  memset(t, 0, task_bytes(n));
  int status = map_add(&b->tasks, n, t);
  if (status != MT_OK) {
    mt__obj_free(t, task_bytes(n));
    return status;
  }
  t->node = mt_node_retain(n);
  t->g[out_nr] = mt_retain(g);
  b->heap[b->n++] = t;
  heap_up(b, b->n - 1);
  return MT_OK;
}

/* The gradient that a derivative gave must look like the input. */
static int fit(mt_tensor **g, const mt_tensor *input, const mt_node *n, int slot) {
  mt_tensor *t = *g;
  if (!input) return MT_OK;
  if (t->ndim != input->ndim ||
      memcmp(t->sizes, input->sizes, (size_t)t->ndim * sizeof *t->sizes) != 0) {
    char a[200], c[200];
    return mt_fail(MT_ERR_SHAPE,
                   "Function %s returned an invalid gradient at index %d - got %s but expected "
                   "shape compatible with %s",
                   mt_node_name(n), slot + 1, mt__shape_text(a, sizeof a, t->ndim, t->sizes),
                   mt__shape_text(c, sizeof c, input->ndim, input->sizes));
  }
  if (t->dtype == input->dtype && t->device == input->device) return MT_OK;
  mt_tensor *cast = NULL;
  MT_TRY(mt__to_copy(&cast, t, input->dtype, input->device));
  mt_release(t);
  *g = cast;
  return MT_OK;
}

/* ---- running one node ---- */

static int check_saved(const mt_node *n, const mt_tensor *t, uint32_t version, const char *what) {
  if (!t || !t->storage || t->storage->version == version) return MT_OK;
  char text[200];
  return mt_fail(MT_ERR_GRAD,
                 "one of the variables needed for gradient computation has been modified by an "
                 "inplace operation: %s of %s, %s, is at version %u; expected version %u instead",
                 what, n->op->base, mt__describe(text, sizeof text, t), t->storage->version,
                 version);
}

static int check_versions(const mt_node *n) {
  int slot = 0;
  for (int i = 0; i < n->op->nparams; i++) {
    int type = n->op->params[i].type;
    int count = type == MT_P_TENSOR || type == MT_P_OPERAND             ? 1
                : type == MT_P_TENSORS && n->args[i].kind == MT_TENSORS ? n->args[i].n
                                                                        : 0;
    for (int k = 0; k < count; k++, slot++)
      MT_TRY(check_saved(n, n->saved[slot], n->versions[slot], n->op->params[i].name));
  }
  for (int k = 0; k < n->nout; k++)
    MT_TRY(check_saved(n, n->outs[k], n->versions[n->nslots + k], "the result"));
  return MT_OK;
}

static int already_freed(const mt_node *n) {
  return mt_fail(MT_ERR_GRAD,
                 "Trying to backward through the graph a second time (%s has freed what it saved): "
                 "pass {retain_graph = true} to the first backward",
                 mt_node_name(n));
}

int mt__node_vjp(mt_node *n, mt_tensor **g, mt_tensor **gin, const bool *need) {
  MT_TRY(check_versions(n));
  bool create = mt_grad_enabled();
  /* recorded: what the derivative reads of the node's outputs belongs to the node's place in
     the graph, which the node itself cannot hold without being its own ancestor */
  for (int k = 0; create && k < n->nout; k++) {
    n->outs[k]->node = mt_node_retain(n);
    n->outs[k]->out_nr = (uint32_t)k;
  }
  mt_vjp v = {.op = n->op,
              .node = n,
              .args = n->args,
              .outs = n->outs,
              .g = g,
              .gin = gin,
              .need = need,
              .nslots = n->nslots,
              .seed = n->seed,
              .stream = n->stream};
  int status = n->op->def.vjp(&v);
  for (int k = 0; create && k < n->nout; k++) {
    n->outs[k]->node = NULL;
    mt_node_release(n);
  }
  return status;
}

/* A copy of the gradient that lies in memory as the base did: a view step may speak of strides
 * and offsets (as_strided). */
static int like_base(mt_tensor **out, const mt_tensor *base, mt_tensor *g) {
  if (mt__is_contiguous(base) && base->offset == 0 && mt__is_contiguous(g)) return mt_clone(out, g);
  MT_AUTO *t = NULL;
  MT_TRY(mt__shallow(&t, base, false));
  int64_t last = base->offset;
  for (int d = 0; d < base->ndim; d++) last += base->strides[d] * (base->sizes[d] - 1);
  int64_t elements = base->numel ? last + 1 : 0;
  if (base->device != MT_META)
    MT_TRY(mt__storage_new(&t->storage, base->device, elements * mt__esize(base->dtype)));
  MT_TRY(mt_copy_(t, g, false));
  *out = t;
  t = NULL;
  return MT_OK;
}

/* The base of a written view: the gradient outside the view passes, inside it goes through the
 * write's own derivative. */
static int run_copyslices(mt_node *n, mt_tensor *g, mt_tensor **gin, const bool *need) {
  MT_AUTO *whole = NULL, *part = NULL, *inside = NULL, *done = NULL;
  MT_TRY(like_base(&whole, n->saved[0], g));
  MT_TRY(mt__viewstep_apply(&part, n->step, whole));
  MT_TRY(mt_clone(&inside, part));
  MT_TRY(mt__node_vjp(n->inner, &inside, gin, need));
  if (need[0]) {
    if (gin[0]) {
      done = gin[0];
      gin[0] = NULL;
      MT_TRY(mt_copy_(part, done, false));
    } else {
      MT_TRY(mt_fill_(part, mt__arg_i(0)));
    }
    gin[0] = whole;
    whole = NULL;
  }
  return MT_OK;
}

/* Adds the arrived gradient to the leaf's. It is taken over as it is when nobody else has it. */
static int accumulate(mt_node *n, mt_tensor **g) {
  mt_tensor *leaf = n->leaf, *t = *g;
  if (leaf->grad) {
    if (!mt_grad_enabled()) return mt_add_(leaf->grad, mt__arg_t(t), mt__arg_i(1));
    mt_tensor *sum = NULL;
    MT_TRY(mt_add(&sum, mt__arg_t(leaf->grad), mt__arg_t(t), mt__arg_i(1)));
    mt_release(leaf->grad);
    leaf->grad = sum;
    return MT_OK;
  }
  bool own = t->refs == 1 && t->storage && t->storage->refs == 1 && !t->base && mt__is_dense(t) &&
             !t->storage->release;
  if (own || mt_grad_enabled()) {
    leaf->grad = t;
    *g = NULL;
    return MT_OK;
  }
  return mt_clone(&leaf->grad, t);
}

static void drop_gin(mt_backward *b) {
  for (int i = 0; i < b->ngin; i++) mt_release(b->gin[i]);
  if (b->gin != b->small_gin) mt__free(b->gin);
  b->gin = NULL;
  b->ngin = 0;
}

/* Takes a node's derivative: the gradients of its inputs go to b->gin. */
static int run_node(mt_backward *b, task *t) {
  mt_node *n = t->node;
  if (n->kind == MT_NODE_ACC) return b->pruned ? MT_OK : accumulate(n, &t->g[0]);
  bool small_need[SMALL], *need = small_need;
  b->gin = b->small_gin;
  if (n->nslots > SMALL) {
    b->gin = mt__malloc((size_t)n->nslots * (sizeof *b->gin + 1));
    if (!b->gin) return mt__fail_memory((size_t)n->nslots * (sizeof *b->gin + 1));
    need = (bool *)(b->gin + n->nslots);
  }
  b->ngin = n->nslots;
  b->sent = 0;
  memset(b->gin, 0, (size_t)n->nslots * sizeof *b->gin);
  for (int i = 0; i < n->nslots; i++)
    need[i] = n->edges[i].node && (!b->pruned || map_find(&b->useful, n->edges[i].node));
  int status;
  if (n->kind == MT_NODE_CUSTOM) {
    status = MT_OK;
    for (int i = 0; i < n->nslots && i < b->nanswer; i++) {
      b->gin[i] = b->answer[i];
      b->answer[i] = NULL;
    }
  } else if (n->released) {
    status = already_freed(n);
  } else if (n->kind == MT_NODE_COPYSLICES) {
    status = run_copyslices(n, t->g[0], b->gin, need);
  } else {
    status = mt__node_vjp(n, t->g, b->gin, need);
  }
  if (status != MT_OK) drop_gin(b);
  return status;
}

/* Sends the gradients of a node's inputs on and lets go of what the node saved. */
static int send_gradients(mt_backward *b, mt_node *n) {
  for (; b->sent < b->ngin; b->sent++) {
    int i = b->sent;
    if (!b->gin[i] || !n->edges[i].node) continue;
    MT_TRY(fit(&b->gin[i], n->saved[i], n, i));
    MT_TRY(deliver(b, n->edges[i].node, n->edges[i].out_nr, b->gin[i]));
  }
  drop_gin(b);
  if (!(b->flags & MT_KEEP_GRAPH) && mt__node_saves_values(n)) mt__node_drop_saved(n);
  return MT_OK;
}

/* ---- the walk ---- */

static int capture_grads(mt_backward *b, task *t) {
  for (int i = 0; i < b->ncaptures; i++) {
    capture *c = &b->captures[i];
    if (c->node != t->node || !t->g[c->out_nr]) continue;
    mt_release(c->grad);
    c->grad = mt_retain(t->g[c->out_nr]);
  }
  for (; b->kept < t->node->nout && t->node->retain; b->kept++) {
    int k = b->kept;
    mt_tensor *x = t->node->retain[k];
    if (!x || !t->g[k]) continue;
    mt_tensor *sum = NULL;
    if (x->grad)
      MT_TRY(mt_add(&sum, mt__arg_t(x->grad), mt__arg_t(t->g[k]), mt__arg_i(1)));
    else
      sum = mt_retain(t->g[k]);
    mt_release(x->grad);
    x->grad = sum;
  }
  return MT_OK;
}

static mt_token *hooks_of(const mt_node *n, int out) {
  if (n->kind == MT_NODE_ACC) return n->leaf->hook;
  return n->hooks ? n->hooks[out] : NULL;
}

/* The next hook that has a gradient to see, or NULL. */
static mt_token *next_hook(mt_backward *b) {
  task *t = b->now;
  mt_token *h = b->hook ? b->hook->next : hooks_of(t->node, b->out);
  while (b->out < t->node->nout && (!h || !t->g[b->out])) {
    b->out++;
    h = b->out < t->node->nout ? hooks_of(t->node, b->out) : NULL;
  }
  b->hook = h;
  return h;
}

static int step(mt_backward *b, int *request) {
  for (;;) {
    if (!b->now) {
      if (!b->n) return MT_OK;
      b->now = heap_pop(b);
      map_remove(&b->tasks, b->now->node);
      b->stage = STAGE_HOOKS;
      b->out = b->kept = 0;
      b->hook = NULL;
    }
    task *t = b->now;
    if (b->stage == STAGE_HOOKS) {
      if (next_hook(b)) {
        *request = MT_WANT_HOOK;
        return MT_OK;
      }
      b->stage = STAGE_KEEP;
    }
    if (b->stage == STAGE_KEEP) {
      MT_TRY(capture_grads(b, t));
      b->stage = STAGE_RUN;
    }
    if (b->stage == STAGE_RUN && t->node->kind == MT_NODE_CUSTOM) {
      if (t->node->released) return already_freed(t->node);
      *request = MT_WANT_NODE;
      return MT_OK;
    }
    if (b->stage != STAGE_SEND) MT_TRY(run_node(b, t));
    b->stage = STAGE_SEND;
    MT_TRY(send_gradients(b, t->node));
    b->now = NULL;
    task_free(t);
  }
}

int mt_backward_step(mt_backward *b, int *request) {
  *request = MT_WANT_NOTHING;
  bool grad = mt_set_grad_enabled((b->flags & MT_CREATE_GRAPH) != 0);
  int64_t site = mt__site;
  int status = step(b, request);
  mt__site = site;
  mt_set_grad_enabled(grad);
  return status;
}

mt_token *mt_backward_token(mt_backward *b) {
  return b->stage == STAGE_HOOKS ? b->hook : b->now->node->token;
}

int mt_backward_grads(mt_backward *b, mt_tensor ***grads) {
  *grads = b->stage == STAGE_HOOKS ? &b->now->g[b->out] : b->now->g;
  return b->stage == STAGE_HOOKS ? 1 : b->now->node->nout;
}

mt_node *mt_backward_node(mt_backward *b) {
  return b->now->node;
}

int mt_backward_answer(mt_backward *b, int n, mt_tensor **grads) {
  task *t = b->now;
  if (b->stage == STAGE_HOOKS) {
    if (n < 1 || !grads[0] || grads[0] == t->g[b->out]) return MT_OK;
    mt_tensor *g = mt_retain(grads[0]), *old = t->g[b->out];
    const mt_tensor *like = t->node->kind == MT_NODE_ACC ? t->node->leaf : t->node->outs[b->out];
    int status = fit(&g, like, t->node, 0);
    if (status != MT_OK) {
      mt_release(g);
      return status;
    }
    t->g[b->out] = g;
    mt_release(old);
    return MT_OK;
  }
  if (n > t->node->nslots)
    return mt_fail(MT_ERR_GRAD, "%s: backward returned %d gradients, forward had %d tensor inputs",
                   mt_node_name(t->node), n, t->node->nslots);
  for (int i = 0; i < b->nanswer; i++) mt_release(b->answer[i]);
  mt__free(b->answer);
  b->nanswer = 0;
  b->answer = mt__calloc((size_t)(n ? n : 1) * sizeof *b->answer);
  if (!b->answer) return mt__fail_memory((size_t)n * sizeof *b->answer);
  for (int i = 0; i < n; i++) b->answer[i] = mt_retain(grads[i]);
  b->nanswer = n;
  b->stage = STAGE_ANSWERED;
  return MT_OK;
}

/* ---- begin and end ---- */

/* Pruned: finds the nodes from which an input can be reached. Two passes over the reachable
 * nodes in rising order of sequence numbers: an edge leads to a lower one. */
static int by_seq(const void *a, const void *b) {
  uint64_t x = (*(mt_node *const *)a)->seq, y = (*(mt_node *const *)b)->seq;
  return x < y ? -1 : x > y;
}

static int find_useful(mt_backward *b, int nroots, mt_node **roots) {
  nodemap seen = {0};
  mt_node **list = NULL;
  size_t n = 0, cap = 0, at = 0;
  int status = MT_OK;
  for (int i = 0;; i++) {
    mt_node *next = NULL;
    if (i < nroots) next = roots[i];
    if (i >= nroots && at == n) break;
    const mt_node *from = i < nroots ? NULL : list[at++];
    for (int e = 0; e < (from ? from->nslots : 1); e++) {
      if (from) next = from->edges[e].node;
      if (!next || map_find(&seen, next)) continue;
      if (n == cap) {
        cap = cap ? 2 * cap : 64;
        mt_node **more = mt__realloc(list, cap * sizeof *list);
        if (!more) {
          status = mt__fail_memory(cap * sizeof *list);
          goto done;
        }
        list = more;
      }
      if ((status = map_add(&seen, next, NULL)) != MT_OK) goto done;
      list[n++] = next;
    }
  }
  if (n) qsort(list, n, sizeof *list, by_seq);
  for (size_t i = 0; i < n; i++) {
    bool useful = false;
    for (int c = 0; c < b->ncaptures && !useful; c++) useful = b->captures[c].node == list[i];
    for (int e = 0; e < list[i]->nslots && !useful; e++)
      useful = list[i]->edges[e].node && map_find(&b->useful, list[i]->edges[e].node);
    if (useful && (status = map_add(&b->useful, list[i], NULL)) != MT_OK) goto done;
  }
done:
  map_free(&seen);
  mt__free(list);
  return status;
}

static int add_root(mt_backward *b, mt_tensor *root, mt_tensor *grad, const mt_edge *e, int i) {
  MT_AUTO *g = mt_retain(grad);
  if (!g) {
    if (root->numel != 1)
      return mt_fail(MT_ERR_GRAD, "grad can be implicitly created only for scalar outputs");
    bool on = mt_set_grad_enabled(false);
    int status = mt_ones_like(&g, root, -1, -1, false);
    mt_set_grad_enabled(on);
    MT_TRY(status);
  }
  if (g->ndim != root->ndim ||
      memcmp(g->sizes, root->sizes, (size_t)g->ndim * sizeof *g->sizes) != 0) {
    char a[200], c[200];
    return mt_fail(
        MT_ERR_SHAPE,
        "Mismatch in shape: grad_output[%d] has a shape of %s and output[%d] has a shape "
        "of %s.",
        i + 1, mt__shape_text(a, sizeof a, g->ndim, g->sizes), i + 1,
        mt__shape_text(c, sizeof c, root->ndim, root->sizes));
  }
  mt_tensor *t = g;
  g = NULL;
  int status = fit(&t, root, e->node, i);
  g = t;
  MT_TRY(status);
  return deliver(b, e->node, e->out_nr, g);
}

static int begin(mt_backward *b, int nroots, mt_tensor **roots, mt_tensor **grads, int ninputs,
                 mt_tensor **inputs, mt_edge *edges, mt_node **nodes) {
  for (int i = 0; i < nroots; i++) {
    if (!mt_requires_grad(roots[i]))
      return mt_fail(MT_ERR_GRAD,
                     "element %d of tensors does not require grad and does not have a grad_fn",
                     i + 1);
    MT_TRY(mt__view_refresh(roots[i]));
    MT_TRY(mt__edge_of(&edges[i], roots[i]));
    nodes[i] = edges[i].node;
  }
  if (inputs) {
    b->pruned = true;
    b->ncaptures = ninputs;
    b->captures = mt__calloc((size_t)(ninputs ? ninputs : 1) * sizeof *b->captures);
    if (!b->captures) return mt__fail_memory((size_t)ninputs * sizeof *b->captures);
    for (int i = 0; i < ninputs; i++) {
      if (!mt_requires_grad(inputs[i]))
        return mt_fail(MT_ERR_GRAD,
                       "One of the differentiated Tensors does not require grad (input %d)", i + 1);
      MT_TRY(mt__view_refresh(inputs[i]));
      mt_edge e;
      MT_TRY(mt__edge_of(&e, inputs[i]));
      b->captures[i].node = e.node;
      b->captures[i].out_nr = e.out_nr;
    }
    MT_TRY(find_useful(b, nroots, nodes));
  }
  for (int i = 0; i < nroots; i++)
    MT_TRY(add_root(b, roots[i], grads ? grads[i] : NULL, &edges[i], i));
  return MT_OK;
}

int mt_backward_begin(mt_backward **out, int nroots, mt_tensor **roots, mt_tensor **grads,
                      int ninputs, mt_tensor **inputs, int flags) {
  *out = NULL;
  if (flags & MT_CREATE_GRAPH) flags |= MT_KEEP_GRAPH;
  mt_backward *b = mt__calloc(sizeof *b);
  mt_edge *edges = mt__calloc((size_t)(nroots + 1) * sizeof *edges);
  mt_node **nodes = mt__calloc((size_t)(nroots + 1) * sizeof *nodes);
  int status = MT_OK;
  if (!b || !edges || !nodes) status = mt__fail_memory(sizeof *b);
  if (status == MT_OK) {
    b->flags = flags;
    bool grad = mt_set_grad_enabled((flags & MT_CREATE_GRAPH) != 0);
    status = begin(b, nroots, roots, grads, ninputs, inputs, edges, nodes);
    mt_set_grad_enabled(grad);
  }
  for (int i = 0; edges && i < nroots; i++) mt_node_release(edges[i].node);
  mt__free(edges);
  mt__free(nodes);
  if (status != MT_OK) {
    mt_backward_free(b);
    return status;
  }
  *out = b;
  return MT_OK;
}

int mt_backward_result(mt_tensor **out, mt_backward *b, int i) {
  *out = NULL;
  if (!b->captures[i].grad && !(b->flags & MT_ALLOW_UNUSED))
    return mt_fail(MT_ERR_GRAD,
                   "One of the differentiated Tensors appears to not have been used in the graph "
                   "(input %d). Set allow_unused = true if this is the desired behavior.",
                   i + 1);
  *out = mt_retain(b->captures[i].grad);
  return MT_OK;
}

void mt_backward_free(mt_backward *b) {
  if (!b) return;
  for (size_t i = 0; i < b->n; i++) task_free(b->heap[i]);
  task_free(b->now);
  mt__free(b->heap);
  map_free(&b->tasks);
  map_free(&b->useful);
  for (int i = 0; i < b->ncaptures && b->captures; i++) {
    mt_node_release(b->captures[i].node);
    mt_release(b->captures[i].grad);
  }
  mt__free(b->captures);
  for (int i = 0; i < b->nanswer; i++) mt_release(b->answer[i]);
  mt__free(b->answer);
  drop_gin(b);
  mt__free(b);
}
