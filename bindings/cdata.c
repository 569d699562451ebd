/* cdata.c: FFI values of LuaJIT (64-bit integers, typed pointers), which the C API cannot make
 * or tell apart. A few lines of Lua do that; without FFI the functions here say no. */
#include "binding.h"

static const char helpers[] =
    "local ok, ffi = pcall(require, 'ffi')\n"
    "if not ok then return end\n"
    "local i64, u64 = ffi.typeof('int64_t'), ffi.typeof('uint64_t')\n"
    "local istype, cast, new = ffi.istype, ffi.cast, ffi.new\n"
    "local pointer = {}\n"
    "for dtype, name in pairs {[0] = 'bool', 'uint8_t', 'int8_t', 'int16_t', 'int32_t',\n"
    "    'int64_t', 'uint16_t', 'uint16_t', 'float', 'double'} do\n"
    "  pointer[dtype] = ffi.typeof(name .. '*')\n"
    "end\n"
    "return function(x)\n" /* 1: 64-bit integer; 2: pointer, with its address as light userdata */
    "  if istype(i64, x) or istype(u64, x) then return 1 end\n"
    "  local ok, address = pcall(cast, 'uintptr_t', x)\n"
    "  if ok then return 2, tonumber(address) end\n"
    "end, function() return new(i64) end,\n"
    "function(p, dtype) return cast(pointer[dtype], p) end\n";

/* The kind of the cdata at idx (see above); a pointer's address into *p. */
static int kind_of(lua_State *L, const mtb_state *st, int idx, void **p) {
  int kind = 0;
  idx = mtb_absindex(L, idx);
  if (lua_type(L, idx) != MTB_LUA_TCDATA) return 0;
  mtb_push_place(L, st, MTB_CDATA_KIND);
  if (lua_isfunction(L, -1)) {
    lua_pushvalue(L, idx);
    if (lua_pcall(L, 1, 2, 0) == LUA_OK) {
      kind = (int)lua_tointeger(L, -2);
      *p = (void *)(uintptr_t)lua_tonumber(L, -1);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  return kind;
}

bool mtb_cdata_int64(lua_State *L, const mtb_state *st, int idx, int64_t *v) {
  void *p;
  if (kind_of(L, st, idx, &p) != 1) return false;
  *v = *(const int64_t *)lua_topointer(L, idx);
  return true;
}

bool mtb_to_pointer(lua_State *L, const mtb_state *st, int idx, void **p) {
  if (lua_islightuserdata(L, idx)) {
    *p = lua_touserdata(L, idx);
    return true;
  }
  return kind_of(L, st, idx, p) == 2;
}

void mtb_push_int64_cdata(lua_State *L, const mtb_state *st, int64_t v) {
  mtb_push_place(L, st, MTB_CDATA_INT64);
  if (!lua_isfunction(L, -1)) {
    lua_pop(L, 1);
    lua_pushnumber(L, (lua_Number)v);
    return;
  }
  lua_call(L, 0, 1);
  *(int64_t *)(uintptr_t)lua_topointer(L, -1) = v;
}

void mtb_push_pointer(lua_State *L, const mtb_state *st, void *p, int dtype) {
  mtb_push_place(L, st, MTB_CDATA_POINTER);
  if (!lua_isfunction(L, -1)) {
    lua_pop(L, 1);
    lua_pushlightuserdata(L, p);
    return;
  }
  lua_pushlightuserdata(L, p);
  lua_pushinteger(L, dtype);
  lua_call(L, 2, 1);
}

void mtb_open_cdata(lua_State *L, mtb_state *st) {
  if (luaL_loadbuffer(L, helpers, sizeof helpers - 1, "=[moontorch]") != LUA_OK) lua_error(L);
  lua_call(L, 0, 3);
  mtb_set_place(L, st, MTB_CDATA_POINTER);
  mtb_set_place(L, st, MTB_CDATA_INT64);
  mtb_set_place(L, st, MTB_CDATA_KIND);
}
