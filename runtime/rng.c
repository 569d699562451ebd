/* rng.c: generators, which say where a random op's numbers stand (philox.h makes them).
 *
 * A generator is a seed and a stream: the count of random calls made with it. mt_call reads both
 * before an op runs and adds one to the stream when it has succeeded, so an op that failed and
 * is retried draws the same numbers. Every device has a default generator.
 */
#include "internal.h"
#include "philox.h"

struct mt_generator {
  _Atomic int32_t refs;
  _Atomic uint64_t seed;
  _Atomic uint64_t stream; /* the cell that a replayed step counts up */
};

#define DEFAULT_SEED 67280421310721u /* PyTorch's */

enum { CUDA_DEVICES = 64 };

/* The defaults live for ever: the table holds a reference to each. */
static mt_generator host[] = {{.refs = 1, .seed = DEFAULT_SEED}, {.refs = 1, .seed = DEFAULT_SEED}};
static mt_generator cuda[CUDA_DEVICES] = {
    [0 ... CUDA_DEVICES - 1] = {.refs = 1, .seed = DEFAULT_SEED}};

int mt_generator_new(mt_generator **out, int device) {
  *out = NULL;
  MT_TRY(mt__device_check(device));
  mt_generator *g = mt__obj_alloc(sizeof *g);
  if (!g) return mt__fail_memory(sizeof *g);
  *g = (mt_generator){.refs = 1, .seed = DEFAULT_SEED};
  *out = g;
  return MT_OK;
}

mt_generator *mt_generator_retain(mt_generator *g) {
  atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
  return g;
}

void mt_generator_release(mt_generator *g) {
  if (g && atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) == 1) {
    mt__obj_free(g, sizeof *g);
  }
}

mt_generator *mt_default_generator(int device) {
  if (device < MT_CUDA) return &host[device == MT_META];
  int i = device - MT_CUDA;
  return i < CUDA_DEVICES ? &cuda[i] : NULL;
}

void mt_generator_seed(mt_generator *g, uint64_t seed) {
  mt_generator_set_state(g, seed, 0);
}

void mt_generator_state(const mt_generator *g, uint64_t *seed, uint64_t *stream) {
  *seed = atomic_load_explicit(&g->seed, memory_order_relaxed);
  *stream = atomic_load_explicit(&g->stream, memory_order_relaxed);
}

void mt_generator_set_state(mt_generator *g, uint64_t seed, uint64_t stream) {
  atomic_store_explicit(&g->seed, seed, memory_order_relaxed);
  atomic_store_explicit(&g->stream, stream, memory_order_relaxed);
}

void mt_manual_seed(uint64_t seed) {
  for (int i = 0; i < 2; i++) mt_generator_seed(&host[i], seed);
  for (int i = 0; i < CUDA_DEVICES; i++) mt_generator_seed(&cuda[i], seed);
}

void mt__philox(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t index, uint32_t draw) {
  mt__philox_at(out, seed, stream, index, draw);
}
