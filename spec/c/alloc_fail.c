/* alloc_fail.c: every allocation of an op fails once, for every k: the op returns MT_ERR_MEMORY,
 * its arguments, the generator and .grad are bit for bit what they were, and nothing stays alive.
 * One case per way through mt_call: fresh result, view, in place, in place through a recorded
 * view, out given, composite, list of results, random, several outputs, optimizer, backward.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "internal.h"
#include "moontorch_ops.h"

enum { MAX_STATE = 6 };

typedef struct state {
  mt_tensor *t[MAX_STATE];
  mt_tensor *out[8]; /* what run made */
} state;

typedef struct test {
  const char *name;
  int (*setup)(state *s);
  int (*run)(state *s);
} test;

/* FNV-1a over what a failed call must not change. */
static uint64_t hash_bytes(uint64_t h, const void *p, size_t n) {
  const unsigned char *b = p;
  for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 1099511628211u;
  return h;
}

static uint64_t hash_tensor(uint64_t h, const mt_tensor *t) {
  if (!t) return h + 1;
  h = hash_bytes(h, t->sizes, (size_t)t->ndim * sizeof t->sizes[0]);
  h = hash_bytes(h, t->strides, (size_t)t->ndim * sizeof t->strides[0]);
  h = hash_bytes(h, &t->node, sizeof t->node);
  h = hash_bytes(h, &t->flags, sizeof t->flags);
  if (!t->storage) return h;
  h = hash_bytes(h, &t->storage->version, sizeof t->storage->version);
  return hash_bytes(h, t->storage->data, (size_t)t->storage->nbytes);
}

static uint64_t hash_state(const state *s) {
  uint64_t h = 14695981039346656037u;
  for (int i = 0; i < MAX_STATE; i++) {
    h = hash_tensor(h, s->t[i]);
    if (s->t[i]) h = hash_tensor(h, s->t[i]->grad);
  }
  uint64_t seed, stream;
  mt_generator_state(mt_default_generator(MT_CPU), &seed, &stream);
  h = hash_bytes(h, &seed, sizeof seed);
  return hash_bytes(h, &stream, sizeof stream);
}

static void drop(state *s) {
  for (int i = 0; i < 8; i++) mt_release(s->out[i]);
  for (int i = 0; i < MAX_STATE; i++) mt_release(s->t[i]);
  memset(s, 0, sizeof *s);
}

static int fresh(mt_tensor **out, int64_t rows, int64_t cols, bool grad) {
  MT_TRY(mt_new(out, MT_FLOAT32, MT_CPU, 2, (int64_t[]){rows, cols}));
  float *p = mt_data(*out);
  for (int64_t i = 0; i < rows * cols; i++) p[i] = (float)(i % 7) * 0.25f - 0.6f;
  return grad ? mt_set_requires_grad(*out, true) : MT_OK;
}

static int two(state *s) {
  MT_TRY(fresh(&s->t[0], 3, 4, true));
  return fresh(&s->t[1], 3, 4, false);
}
static int plain(state *s) {
  MT_TRY(fresh(&s->t[0], 3, 4, false));
  return fresh(&s->t[1], 3, 4, false);
}
static int recorded(state *s) { /* t[2]: the result of an op; t[3]: a view of it */
  MT_TRY(two(s));
  MT_TRY(mt_mul(&s->t[2], mt__arg_t(s->t[0]), mt__arg_f(2)));
  return mt_select(&s->t[3], s->t[2], 0, 2);
}

static int run_add(state *s) {
  return mt_add(&s->out[0], mt__arg_t(s->t[0]), mt__arg_t(s->t[1]), mt__arg_i(1));
}
static int run_transpose(state *s) {
  return mt_transpose(&s->out[0], s->t[0], 0, 1);
}
static int run_add_in_place(state *s) {
  return mt_add_(s->t[0], mt__arg_t(s->t[1]), mt__arg_i(1));
}
static int run_mul_recorded(state *s) {
  return mt_mul_(s->t[2], mt__arg_f(3));
}
static int run_mul_view(state *s) {
  return mt_mul_(s->t[3], mt__arg_f(3));
}
static int run_sum(state *s) {
  return mt_sum(&s->out[0], s->t[0], MT_INTS_OF(0), false, -1);
}
static int run_matmul(state *s) {
  MT_TRY(mt_transpose(&s->out[0], s->t[1], 0, 1));
  return mt_matmul(&s->out[1], s->t[0], s->out[0]);
}
static int run_softmax(state *s) {
  return mt_softmax(&s->out[0], s->t[0], 1, -1);
}
static int run_sort(state *s) {
  return mt_sort(&s->out[0], &s->out[1], s->t[0], 1, true, false);
}
static int run_out(state *s) {
  mt_arg a[] = {mt__arg_t(s->t[1]), mt__arg_t(s->t[1]), mt__arg_i(1)};
  const mt_op *op = mt_op_find("add");
  mt_tensor *z = s->t[0];
  int status = mt_call(op, MT_CALL_OUT, a, &z);
  if (status == MT_OK) s->out[0] = z;
  return status;
}
static int run_cat(state *s) {
  mt_tensor *list[] = {s->t[0], s->t[1]};
  return mt_cat(&s->out[0], (mt_tensors){2, list}, 0);
}
static int run_dropout(state *s) {
  const mt_op *op = mt_op_find("dropout");
  mt_arg a[MT_MAX_PARAMS] = {mt__arg_t(s->t[0]), mt__arg_f(0.5), mt__arg_b(true)};
  mt_op_defaults(op, a);
  return mt_call(op, MT_CALL, a, s->out);
}
static int run_split(state *s) {
  const mt_op *op = mt_op_find("unbind");
  mt_arg a[MT_MAX_PARAMS] = {mt__arg_t(s->t[0])};
  mt_op_defaults(op, a);
  return mt_call(op, MT_CALL, a, s->out);
}
static int run_backward(state *s) { /* leaves the graph, so that it can be tried again */
  mt_backward *b = NULL;
  mt_tensor *root = s->t[4];
  int status = mt_backward_begin(&b, 1, &root, NULL, 0, NULL, MT_KEEP_GRAPH);
  int request = 0;
  if (status == MT_OK) status = mt_backward_step(b, &request);
  mt_backward_free(b);
  return status;
}
static int setup_backward(state *s) {
  MT_TRY(recorded(s));
  MT_AUTO *e = NULL;
  MT_TRY(mt_exp(&e, s->t[2]));
  return mt_sum(&s->t[4], e, MT_INTS_NONE, false, -1);
}

static const test tests[] = {
    {"add", two, run_add},
    {"transpose, recorded", two, run_transpose},
    {"add in place", plain, run_add_in_place},
    {"mul in place on a result", recorded, run_mul_recorded},
    {"mul in place through a view", recorded, run_mul_view},
    {"sum", two, run_sum},
    {"matmul", two, run_matmul},
    {"softmax", two, run_softmax},
    {"sort", two, run_sort},
    {"out", plain, run_out},
    {"cat", two, run_cat},
    {"dropout", two, run_dropout},
    {"unbind", two, run_split},
    {"backward", setup_backward, run_backward},
};

static void fail_each(const test *t) {
  state s = {0};
  int64_t n = 0;
  /* once undisturbed, to count; twice, so that what is made once has been made */
  for (int warm = 0; warm < 2; warm++) {
    if (!CHECK(t->setup(&s) == MT_OK)) {
      printf("  %s: %s\n", t->name, mt_last_error());
      drop(&s);
      return;
    }
    int64_t before = mt_debug_allocs();
    if (!CHECK(t->run(&s) == MT_OK)) printf("  %s: %s\n", t->name, mt_last_error());
    n = mt_debug_allocs() - before;
    drop(&s);
  }
  mt_memory start;
  mt_memory_stats(&start, MT_CPU);
  for (int64_t k = 1; k <= n; k++) {
    if (!CHECK(t->setup(&s) == MT_OK)) break;
    uint64_t before = hash_state(&s);
    mt_debug_fail_alloc(k, false);
    int status = t->run(&s);
    mt_debug_fail_alloc(0, false);
    /* a failed cache refill may be made good inside; then the call has to be right, not failed */
    bool ok = status == MT_OK || (status == MT_ERR_MEMORY && hash_state(&s) == before);
    if (!CHECK(ok))
      printf("  %s, allocation %d of %d: %s\n", t->name, (int)k, (int)n,
             status == MT_ERR_MEMORY ? "the state has changed" : mt_last_error());
    drop(&s);
    mt_memory now;
    mt_memory_stats(&now, MT_CPU);
    if (!CHECK(now.live == start.live && now.tensors == start.tensors && now.nodes == start.nodes))
      printf("  %s, allocation %d of %d: leaks %d tensors, %d nodes, %d bytes\n", t->name, (int)k,
             (int)n, (int)(now.tensors - start.tensors), (int)(now.nodes - start.nodes),
             (int)(now.live - start.live));
  }
}

int main(void) {
  mt_manual_seed(1);
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) fail_each(&tests[i]);
  return check_done();
}
