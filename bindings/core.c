/* core.c: the module moontorch.core: its state, and who fills its table. */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

const char *mt__table_error(void);

static const char state_key = 0; /* its address */

mtb_state *mtb_state_of(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&state_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  mtb_state *st = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return st;
}

void mtb_functions(lua_State *L, mtb_state *st, const mtb_function *list) {
  for (; list->name; list++) {
    lua_pushlightuserdata(L, st);
    lua_pushcclosure(L, list->fn, 1);
    lua_setfield(L, -2, list->name);
  }
}

/* The arena is the one thing of the state that is not Lua's memory. */
static int free_arena(lua_State *L) {
  mtb_state **st = lua_touserdata(L, 1);
  mtb_arena_free(*st);
  return 0;
}

static mtb_state *new_state(lua_State *L) {
  mtb_state *st = lua_newuserdata(L, sizeof *st);
  memset(st, 0, sizeof *st);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&state_key);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  for (int i = 0; i < MTB_NPLACES; i++) {
    lua_pushboolean(L, 0);
    st->ref[i] = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  mtb_state **owner = lua_newuserdata(L, sizeof *owner);
  *owner = st;
  lua_newtable(L);
  lua_pushcfunction(L, free_arena);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  luaL_ref(L, LUA_REGISTRYINDEX);
  return st;
}

int luaopen_moontorch_core(lua_State *L) {
  if (mt__table_error()[0]) return luaL_error(L, "moontorch: %s", mt__table_error());
  mtb_state *st = mtb_state_of(L);
  if (st) { /* required again after package.loaded was cleared */
    mtb_push_place(L, st, MTB_MODULE);
    return 1;
  }
  st = new_state(L);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  mtb_set_place(L, st, MTB_MODULE);
  mtb_open_status(L, st);
  mtb_open_block(L, st);
  mtb_open_dtype(L, st);
  mtb_open_cdata(L, st);
  mtb_open_tensor(L, st);
  mtb_open_ops(L, st);
  mtb_open_info(L, st);
  mtb_open_property(L, st);
  mtb_open_index(L, st);
  mtb_open_data(L, st);
  mtb_open_move(L, st);
  mtb_open_list(L, st);
  mtb_open_random(L, st);
  mtb_open_memory(L, st);
  mtb_open_scope(L, st);
  mtb_open_node(L, st);
  mtb_open_backward(L, st);
  mtb_open_function(L, st);
  mtb_open_io(L, st);
  mtb_open_system(L, st);
  return 1;
}
