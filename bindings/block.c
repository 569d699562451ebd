/* block.c: modes for the time of a function (no_grad, ...), and the guards behind them.
 *
 * LuaJIT raises errors by unwinding the C stack, which runs the cleanups of C frames compiled
 * with -fexceptions. So a block calls its function without a protected call: the mode is put
 * back by a cleanup, and a handler further out (xpcall with debug.traceback) still sees where
 * the error happened. Whether that works is tried once at load; where errors jump instead (PUC
 * Lua), blocks use lua_pcall and the traceback ends at the block.
 */
#include "binding.h"

void mtb_call_guarded(lua_State *L, mtb_guard *g, int nargs, int nresults) {
  if (g->st->unwinds) {
    lua_call(L, nargs, nresults);
  } else if (lua_pcall(L, nargs, nresults, 0) != LUA_OK) {
    mtb_guard_leave(g);
    lua_error(L);
  }
}

static void note(mtb_guard *g) {
  *(bool *)g->p = true;
}

static int raise_in_frame(lua_State *L) {
  MTB_GUARD g = {.undo = note, .p = lua_touserdata(L, 1)};
  lua_pushnil(L);
  return lua_error(L);
}

static bool errors_unwind(lua_State *L) {
  bool ran = false;
  lua_pushcfunction(L, raise_in_frame);
  lua_pushlightuserdata(L, &ran);
  lua_pcall(L, 1, 0, 0);
  lua_pop(L, 1);
  return ran;
}

/* ---- blocks ---- */

void mtb_check_callable(lua_State *L, int idx, const char *who) {
  char got[300];
  if (lua_isfunction(L, idx)) return;
  if (luaL_getmetafield(L, idx, "__call")) {
    lua_pop(L, 1);
    return;
  }
  mtb_error(L, "%s: expected a function, torch.%s(function() ... end), got %s", who, who,
            mtb_describe(L, idx, got, sizeof got));
}

void mtb_restore_grad(mtb_guard *g) {
  mt_set_grad_enabled(g->i != 0);
}

static void restore(mtb_guard *g) {
  mt_set_grad_enabled((g->i & 1) != 0);
  mt_set_inference((g->i & 2) != 0);
}

/* Runs the function at `first` with the arguments behind it in the given modes. */
static int run(lua_State *L, int first, const char *who, bool grad, bool inference) {
  mtb_check_callable(L, first, who);
  MTB_GUARD g = {.st = mtb_up(L), .i = mt_grad_enabled() | mt_inference_enabled() << 1};
  g.undo = restore;
  mt_set_grad_enabled(grad);
  mt_set_inference(inference);
  mtb_call_guarded(L, &g, lua_gettop(L) - first, LUA_MULTRET);
  return lua_gettop(L) - first + 1;
}

static int no_grad(lua_State *L) {
  return run(L, 1, "no_grad", false, mt_inference_enabled());
}

static int enable_grad(lua_State *L) {
  return run(L, 1, "enable_grad", true, mt_inference_enabled());
}

static int inference_mode(lua_State *L) {
  return run(L, 1, "inference_mode", false, true);
}

/* set_grad_enabled(on): the plain switch; set_grad_enabled(on, fn, ...): for the time of fn */
static int set_grad_enabled(lua_State *L) {
  char got[300];
  if (lua_type(L, 1) != LUA_TBOOLEAN)
    mtb_error(L, "set_grad_enabled: expected true or false, got %s",
              mtb_describe(L, 1, got, sizeof got));
  bool on = lua_toboolean(L, 1);
  if (!lua_isnoneornil(L, 2)) return run(L, 2, "set_grad_enabled", on, mt_inference_enabled());
  mt_set_grad_enabled(on);
  return 0;
}

static int is_grad_enabled(lua_State *L) {
  lua_pushboolean(L, mt_grad_enabled());
  return 1;
}

static int is_inference_mode(lua_State *L) {
  lua_pushboolean(L, mt_inference_enabled());
  return 1;
}

void mtb_open_block(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"no_grad", no_grad},
                                      {"enable_grad", enable_grad},
                                      {"inference_mode", inference_mode},
                                      {"set_grad_enabled", set_grad_enabled},
                                      {"is_grad_enabled", is_grad_enabled},
                                      {"is_inference_mode", is_inference_mode},
                                      {NULL, NULL}};
  st->unwinds = errors_unwind(L);
  mtb_functions(L, st, list);
}
