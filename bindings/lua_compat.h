/* lua_compat.h: one source for LuaJIT and PUC Lua 5.1 to 5.4. LuaJIT is the supported one. */
#ifndef MTB_LUA_COMPAT_H
#define MTB_LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

#if LUA_VERSION_NUM >= 502
#define lua_objlen lua_rawlen
#endif

#if LUA_VERSION_NUM < 502
#define lua_rawlen lua_objlen
#endif

#ifndef LUA_OK
#define LUA_OK 0
#endif

/* LuaJIT's type of FFI values; PUC Lua has none. */
enum { MTB_LUA_TCDATA = 10 };

#if LUA_VERSION_NUM >= 503
#define MTB_LUA_INTEGERS 1
#else
#define MTB_LUA_INTEGERS 0
#endif

/* An index that stays right when values are pushed. */
static inline int mtb_absindex(lua_State *L, int idx) {
  return idx > 0 || idx <= LUA_REGISTRYINDEX ? idx : lua_gettop(L) + idx + 1;
}

#endif
