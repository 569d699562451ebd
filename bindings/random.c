/* random.c: generators. Random numbers are addressed, so a generator's whole state is its seed
 * and the number of the next call: 16 bytes, little-endian, as a uint8 tensor for Lua. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "binding.h"

const char mtb_tag_generator = 0;

static mt_generator *check_generator(lua_State *L, int idx, const char *who) {
  mtb_box *b = mtb_to_box(L, idx, &mtb_tag_generator);
  char got[300];
  if (!b || !b->u.gen)
    mtb_error(L, "%s: expected a generator, got %s", who, mtb_describe(L, idx, got, sizeof got));
  return b->u.gen;
}

static uint64_t check_seed(lua_State *L, int idx, const char *who) {
  return (uint64_t)mtb_check_whole(L, idx, who);
}

/* Not repeatable, and small enough to be a Lua number. */
static uint64_t fresh_seed(void) {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    seed = (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec;
  }
  return seed & ((UINT64_C(1) << 53) - 1);
}

static void push_state(lua_State *L, mtb_state *st, const mt_generator *g) {
  uint64_t s[2];
  const int64_t size = 16;
  mt_generator_state(g, &s[0], &s[1]);
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mt_new(&h->t, MT_UINT8, MT_CPU, 1, &size));
  unsigned char *p = mt_data(h->t);
  for (int i = 0; i < 16; i++) p[i] = (unsigned char)(s[i / 8] >> 8 * (i % 8));
}

static void set_state(lua_State *L, int idx, mt_generator *g, const char *who) {
  mt_tensor *t = mtb_check_tensor(L, idx, who);
  if (t->dtype != MT_UINT8 || t->device != MT_CPU || t->ndim != 1 || t->numel != 16 ||
      !mt_is_contiguous(t))
    mtb_error(L, "%s: a state is a uint8 tensor {16} on the CPU, as get_state gives it", who);
  const unsigned char *p = mt_data(t);
  uint64_t s[2] = {0, 0};
  for (int i = 0; i < 16; i++) s[i / 8] |= (uint64_t)p[i] << 8 * (i % 8);
  mt_generator_set_state(g, s[0], s[1]);
}

/* ---- generator objects ---- */

/* Generator([device]) */
static int generator_new(lua_State *L) {
  mtb_state *st = mtb_up(L);
  int device = lua_isnoneornil(L, 1) ? MT_CPU : mtb_check_device(L, 1, "Generator: the device");
  mtb_box *b = mtb_new_box(L, st, &mtb_tag_generator, MTB_META_GENERATOR);
  MTB_CHECK_MEMORY(L, st, mt_generator_new(&b->u.gen, device));
  return 1;
}

static int generator_gc(lua_State *L) {
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_generator);
  if (!b) return 0;
  mt_generator *g = b->u.gen;
  b->u.gen = NULL;
  if (g) mt_generator_release(g);
  return 0;
}

static int generator_manual_seed(lua_State *L) {
  mt_generator_seed(check_generator(L, 1, "manual_seed"),
                    check_seed(L, 2, "manual_seed: the seed"));
  lua_settop(L, 1);
  return 1;
}

static int generator_seed(lua_State *L) {
  uint64_t seed = fresh_seed();
  mt_generator_seed(check_generator(L, 1, "seed"), seed);
  lua_pushnumber(L, (lua_Number)seed);
  return 1;
}

static int generator_initial_seed(lua_State *L) {
  uint64_t seed, stream;
  mt_generator_state(check_generator(L, 1, "initial_seed"), &seed, &stream);
  mtb_push_int64(L, mtb_up(L), (int64_t)seed);
  return 1;
}

static int generator_get_state(lua_State *L) {
  push_state(L, mtb_up(L), check_generator(L, 1, "get_state"));
  return 1;
}

static int generator_set_state(lua_State *L) {
  set_state(L, 2, check_generator(L, 1, "set_state"), "set_state");
  lua_settop(L, 1);
  return 1;
}

static int generator_tostring(lua_State *L) {
  uint64_t seed, stream;
  char text[80];
  mt_generator_state(check_generator(L, 1, "tostring"), &seed, &stream);
  snprintf(text, sizeof text, "torch.Generator(seed=%llu, stream=%llu)", (unsigned long long)seed,
           (unsigned long long)stream);
  lua_pushstring(L, text);
  return 1;
}

static int is_generator(lua_State *L) {
  lua_pushboolean(L, mtb_to_box(L, 1, &mtb_tag_generator) != NULL);
  return 1;
}

/* ---- the default generators ---- */

static void push_generator(lua_State *L, mtb_state *st, mt_generator *g) {
  mtb_box *b = mtb_new_box(L, st, &mtb_tag_generator, MTB_META_GENERATOR);
  b->u.gen = mt_generator_retain(g);
}

static mt_generator *default_of(lua_State *L, int idx, const char *who) {
  return mt_default_generator(lua_isnoneornil(L, idx) ? MT_CPU : mtb_check_device(L, idx, who));
}

static int default_generator(lua_State *L) {
  push_generator(L, mtb_up(L), default_of(L, 1, "default_generator: the device"));
  return 1;
}

/* manual_seed(seed): every device's default generator; returns the CPU's */
static int manual_seed(lua_State *L) {
  mt_manual_seed(check_seed(L, 1, "manual_seed: the seed"));
  push_generator(L, mtb_up(L), mt_default_generator(MT_CPU));
  return 1;
}

static int seed(lua_State *L) {
  uint64_t s = fresh_seed();
  mt_manual_seed(s);
  lua_pushnumber(L, (lua_Number)s);
  return 1;
}

static int initial_seed(lua_State *L) {
  uint64_t s, stream;
  mt_generator_state(mt_default_generator(MT_CPU), &s, &stream);
  mtb_push_int64(L, mtb_up(L), (int64_t)s);
  return 1;
}

static int get_rng_state(lua_State *L) {
  push_state(L, mtb_up(L), default_of(L, 1, "get_rng_state: the device"));
  return 1;
}

static int set_rng_state(lua_State *L) {
  set_state(L, 1, default_of(L, 2, "set_rng_state: the device"), "set_rng_state");
  return 0;
}

void mtb_open_random(lua_State *L, mtb_state *st) {
  static const mtb_function meta[] = {
      {"__gc", generator_gc}, {"__tostring", generator_tostring}, {NULL, NULL}};
  static const mtb_function methods[] = {
      {"manual_seed", generator_manual_seed},   {"seed", generator_seed},
      {"initial_seed", generator_initial_seed}, {"get_state", generator_get_state},
      {"set_state", generator_set_state},       {NULL, NULL}};
  static const mtb_function list[] = {{"Generator", generator_new},
                                      {"is_generator", is_generator},
                                      {"default_generator", default_generator},
                                      {"manual_seed", manual_seed},
                                      {"seed", seed},
                                      {"initial_seed", initial_seed},
                                      {"get_rng_state", get_rng_state},
                                      {"set_rng_state", set_rng_state},
                                      {NULL, NULL}};
  lua_newtable(L);
  mtb_functions(L, st, meta);
  lua_newtable(L);
  mtb_functions(L, st, methods);
  lua_setfield(L, -2, "__index");
  mtb_set_place(L, st, MTB_META_GENERATOR);
  mtb_functions(L, st, list);
}
