/* memory.c: the collector is driven by the bytes that it cannot see.
 *
 * To Lua a tensor is a handle of some 80 bytes, whatever it holds. So the binding keeps account:
 * base is what was alive after the last collection; what has come on top is at most garbage, the
 * debt. When it passes the budget, a whole cycle of the collector runs at once: with a given
 * peak that is the least number of cycles, since an incremental one would let new garbage pile
 * up while it marks and sweeps.
 *
 * A cycle costs time in proportion to the Lua heap, while garbage costs cache misses and memory.
 * So the budget is in proportion to the Lua heap, within limits: with a small heap it stays near
 * what caches hold, with a large one it is as much as memory allows.
 *
 * The account itself is looked at only when enough has been made since the last look that the
 * debt could have passed the budget.
 */
#include <stdio.h>
#include <unistd.h>

#include "binding.h"

static const int64_t MB = 1 << 20;

enum {
  HEAP_FACTOR = 40, /* budget: so many times the Lua heap, */
  LEAST_MB = 32,    /* but at least this, */
  MOST_MB = 1330,   /* and at most this or half of what is alive */
  NODE_COST = 320
};

/* Bytes alive that the collector may be able to free. */
static int64_t alive(void) {
  mt_memory m;
  mt_memory_stats(&m, MT_CPU);
  int64_t sum = m.live + m.tensors * MTB_TENSOR_COST + m.nodes * NODE_COST;
  int cuda = mt_device_loaded(MT_CUDA);
  for (int i = 0; i < cuda; i++) {
    mt_memory_stats(&m, MT_CUDA + i);
    sum += m.live;
  }
  return sum;
}

/* No more than an eighth of the machine's memory lies around as garbage. */
static int64_t most_garbage(void) {
  static int64_t most;
  if (!most) {
    int64_t ram = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    most = MOST_MB * MB;
    if (ram > 0 && ram / 8 < most) most = ram / 8;
  }
  return most;
}

static int64_t budget_for(int64_t heap, int64_t base) {
  int64_t b = heap * HEAP_FACTOR, most = most_garbage();
  if (base / 2 > most) most = base / 2;
  if (b < LEAST_MB * MB) b = LEAST_MB * MB;
  return b < most ? b : most;
}

static int64_t heap_bytes(lua_State *L) {
  return (int64_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + lua_gc(L, LUA_GCCOUNTB, 0);
}

/* Runs the collector to the end of its cycle; the finalizers run in it. */
static void cycle(lua_State *L) {
#ifdef LUA_GCISRUNNING
  bool running = lua_gc(L, LUA_GCISRUNNING, 0);
#else
  bool running = true;
#endif
#if LUA_VERSION_NUM == 501
  lua_gc(L, LUA_GCSTEP, 1 << 30);
#else
  lua_gc(L, LUA_GCCOLLECT, 0);
#endif
  if (!running) lua_gc(L, LUA_GCSTOP, 0);
}

static void look_again(mtb_state *st, int64_t debt) {
  int64_t left = st->budget - debt;
  st->look_at = left > st->budget / 16 ? left : st->budget / 16;
}

/* Finalizers may call ops and come here again: by then st->made is zero. */
void mtb_pay_debt(lua_State *L, mtb_state *st) {
  st->made = 0;
  mtb_drop_tokens(L, st);
  int64_t now = alive(), heap = heap_bytes(L);
  if (now < st->base) st->base = now;
  st->budget = budget_for(heap, st->base);
  if (now - st->base >= st->budget) {
    cycle(L);
    int64_t left = alive();
    /* a cycle that was under way has missed what was made since it began */
    if (left - st->base >= st->budget / 2) cycle(L);
    mtb_drop_tokens(L, st);
    st->base = now = alive();
    st->made = 0;
    st->budget = budget_for(heap, st->base);
  }
  look_again(st, now - st->base);
}

/* ---- for the library ---- */

static int check_memory_device(lua_State *L, int idx, const char *who) {
  return lua_isnoneornil(L, idx) ? MT_CPU : mtb_check_device(L, idx, who);
}

static void set_number(lua_State *L, const char *name, int64_t v) {
  lua_pushnumber(L, (lua_Number)v);
  lua_setfield(L, -2, name);
}

/* memory_stats([device]): {live, peak, cached, allocations, tensors, nodes, lua} */
static int memory_stats(lua_State *L) {
  mt_memory m;
  mtb_drop_tokens(L, mtb_up(L));
  mt_memory_stats(&m, check_memory_device(L, 1, "memory_stats: the device"));
  lua_createtable(L, 0, 8);
  set_number(L, "live", m.live);
  set_number(L, "peak", m.peak);
  set_number(L, "cached", m.cached);
  set_number(L, "allocations", m.allocations);
  set_number(L, "tensors", m.tensors);
  set_number(L, "nodes", m.nodes);
  set_number(L, "lua", heap_bytes(L));
  set_number(L, "budget", mtb_up(L)->budget);
  return 1;
}

static int reset_peak(lua_State *L) {
  mt_memory_reset_peak(check_memory_device(L, 1, "reset_peak_memory_stats: the device"));
  return 0;
}

static int flush(lua_State *L) {
  mt_memory_flush(check_memory_device(L, 1, "empty_cache: the device"));
  return 0;
}

/* For the specs: debug_fail_alloc(k [, lasting]), debug_allocs(). */
static int debug_fail_alloc(lua_State *L) {
  mt_debug_fail_alloc((int64_t)luaL_checknumber(L, 1), lua_toboolean(L, 2));
  return 0;
}

static int debug_allocs(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mt_debug_allocs());
  return 1;
}

void mtb_open_memory(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {
      {"memory_stats", memory_stats}, {"reset_peak_memory_stats", reset_peak},
      {"empty_cache", flush},         {"debug_fail_alloc", debug_fail_alloc},
      {"debug_allocs", debug_allocs}, {NULL, NULL}};
  st->look_at = LEAST_MB * MB;
  st->budget = LEAST_MB * MB;
  mtb_functions(L, st, list);
}
