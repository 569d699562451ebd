/* dtype.c: small values: dtype objects, devices, Sizes, 64-bit integers.
 *
 * A dtype object is unique: it can be compared and used as a key. A device is a string, "cpu" or
 * "cuda:0". A Size is a table 1..n with a metatable. */
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "internal.h"

const char mtb_tag_dtype = 0;

/* ---- dtypes ---- */

void mtb_push_dtype(lua_State *L, const mtb_state *st, int dtype) {
  mtb_push_place(L, st, MTB_DTYPE_0 + dtype);
}

bool mtb_to_dtype(lua_State *L, int idx, int *dtype) {
  mtb_box *b = mtb_to_box(L, idx, &mtb_tag_dtype);
  if (b) {
    *dtype = (int)b->u.i;
    return true;
  }
  if (lua_type(L, idx) != LUA_TSTRING) return false;
  const char *name = lua_tostring(L, idx);
  if (strncmp(name, "torch.", 6) == 0) name += 6;
  return mt_dtype_parse(dtype, name) == MT_OK;
}

int mtb_check_dtype(lua_State *L, int idx, const char *who) {
  int dtype = 0;
  char got[300];
  if (!mtb_to_dtype(L, idx, &dtype))
    mtb_error(L, "%s must be a dtype, got %s", who, mtb_describe(L, idx, got, sizeof got));
  return dtype;
}

static int dtype_tostring(lua_State *L) {
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_dtype);
  if (!b) return 0;
  lua_pushfstring(L, "torch.%s", mt_dtype_name((int)b->u.i));
  return 1;
}

static int dtype_index(lua_State *L) {
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_dtype);
  const char *key = lua_tostring(L, 2);
  if (!b || !key) return 0;
  int dtype = (int)b->u.i;
  if (strcmp(key, "name") == 0)
    lua_pushstring(L, mt_dtype_name(dtype));
  else if (strcmp(key, "itemsize") == 0)
    lua_pushinteger(L, mt_dtype_size(dtype));
  else if (strcmp(key, "is_floating_point") == 0)
    lua_pushboolean(L, mt_dtype_is_float(dtype));
  else if (strcmp(key, "is_complex") == 0)
    lua_pushboolean(L, 0);
  else
    mtb_error(L, "a dtype has no field '%s' (it has name, itemsize, is_floating_point)", key);
  return 1;
}

static int is_dtype(lua_State *L) {
  lua_pushboolean(L, mtb_to_box(L, 1, &mtb_tag_dtype) != NULL);
  return 1;
}

/* core.dtype(name): the object for a name or an alias; raises for others */
static int find_dtype(lua_State *L) {
  mtb_push_dtype(L, mtb_up(L), mtb_check_dtype(L, 1, "dtype: the argument"));
  return 1;
}

static int promote_types(lua_State *L) {
  int a = mtb_check_dtype(L, 1, "promote_types: the first argument");
  int b = mtb_check_dtype(L, 2, "promote_types: the second argument");
  mtb_push_dtype(L, mtb_up(L), mt_promote_types(a, b));
  return 1;
}

static int get_default_dtype(lua_State *L) {
  mtb_push_dtype(L, mtb_up(L), mt__default_dtype());
  return 1;
}

static int set_default_dtype(lua_State *L) {
  MTB_CHECK(L, mt_set_default_dtype(mtb_check_dtype(L, 1, "set_default_dtype: the argument")));
  return 0;
}

/* ---- devices ---- */

void mtb_push_device(lua_State *L, int device) {
  char name[32];
  mt_device_name(name, sizeof name, device);
  lua_pushstring(L, name);
}

int mtb_check_device(lua_State *L, int idx, const char *who) {
  int device = 0;
  char got[300];
  if (lua_type(L, idx) != LUA_TSTRING)
    mtb_error(L, "%s must be a device, such as 'cpu' or 'cuda:0', got %s", who,
              mtb_describe(L, idx, got, sizeof got));
  MTB_CHECK(L, mt_device_parse(&device, lua_tostring(L, idx)));
  return device;
}

/* core.device(name [, index]): the device's full name */
static int device(lua_State *L) {
  int d = mtb_check_device(L, 1, "device: the argument");
  if (!lua_isnoneornil(L, 2)) d += (int)mtb_check_whole(L, 2, "device: index");
  mtb_push_device(L, d);
  return 1;
}

static int device_count(lua_State *L) {
  int d = lua_isnoneornil(L, 1) ? MT_CUDA : mtb_check_device(L, 1, "device_count: the argument");
  lua_pushinteger(L, mt_device_count(d >= MT_CUDA ? MT_CUDA : d));
  return 1;
}

static int synchronize(lua_State *L) {
  int d = lua_isnoneornil(L, 1) ? MT_CUDA : mtb_check_device(L, 1, "synchronize: the argument");
  MTB_CHECK(L, mt_device_synchronize(d));
  return 0;
}

static int load_plugin(lua_State *L) {
  if (lua_type(L, 1) != LUA_TSTRING) mtb_error(L, "load_plugin: the argument must be a path");
  int status = mt_load_plugin(lua_tostring(L, 1));
  lua_pushboolean(L, status == MT_OK);
  if (status == MT_OK) return 1;
  lua_pushstring(L, mt_last_error());
  return 2;
}

/* ---- sizes ---- */

void mtb_push_size(lua_State *L, const mtb_state *st, int n, const int64_t *sizes) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushnumber(L, (lua_Number)sizes[i]);
    lua_rawseti(L, -2, i + 1);
  }
  mtb_push_place(L, st, MTB_META_SIZE);
  lua_setmetatable(L, -2);
}

bool mtb_is_size(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE || !lua_getmetatable(L, idx)) return false;
  mtb_push_place(L, mtb_state_of(L), MTB_META_SIZE);
  bool yes = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return yes;
}

static int is_size(lua_State *L) {
  lua_pushboolean(L, mtb_is_size(L, 1));
  return 1;
}

/* Size(2, 3), Size({2, 3}) */
static int size_new(lua_State *L) {
  mtb_state *st = mtb_up(L);
  int64_t sizes[MT_MAX_DIMS];
  bool list = lua_gettop(L) == 1 && lua_istable(L, 1);
  int n = list ? (int)lua_objlen(L, 1) : lua_gettop(L);
  if (n > MT_MAX_DIMS) mtb_error(L, "Size: at most %d dimensions, got %d", MT_MAX_DIMS, n);
  for (int i = 0; i < n; i++) {
    if (list) lua_rawgeti(L, 1, i + 1);
    sizes[i] = mtb_check_whole(L, list ? -1 : i + 1, "Size: a size");
    if (list) lua_pop(L, 1);
  }
  mtb_push_size(L, st, n, sizes);
  return 1;
}

static int size_tostring(lua_State *L) {
  luaL_Buffer b;
  int n = (int)lua_objlen(L, 1);
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "torch.Size({");
  for (int i = 1; i <= n; i++) {
    char text[32];
    lua_rawgeti(L, 1, i);
    snprintf(text, sizeof text, "%s%.14g", i > 1 ? ", " : "", (double)lua_tonumber(L, -1));
    lua_pop(L, 1);
    luaL_addstring(&b, text);
  }
  luaL_addstring(&b, "})");
  luaL_pushresult(&b);
  return 1;
}

static int size_eq(lua_State *L) {
  int n = (int)lua_objlen(L, 1);
  bool same = n == (int)lua_objlen(L, 2);
  for (int i = 1; i <= n && same; i++) {
    lua_rawgeti(L, 1, i);
    lua_rawgeti(L, 2, i);
    same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  lua_pushboolean(L, same);
  return 1;
}

static int size_numel(lua_State *L) {
  lua_Number n = 1;
  for (int i = 1; i <= (int)lua_objlen(L, 1); i++) {
    lua_rawgeti(L, 1, i);
    n *= lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  lua_pushnumber(L, n);
  return 1;
}

/* ---- 64-bit integers ---- */

void mtb_push_int64(lua_State *L, const mtb_state *st, int64_t v) {
#if MTB_LUA_INTEGERS
  (void)st;
  lua_pushinteger(L, (lua_Integer)v);
#else
  const int64_t limit = INT64_C(1) << 53;
  if (v >= -limit && v <= limit)
    lua_pushnumber(L, (lua_Number)v);
  else
    mtb_push_int64_cdata(L, st, v);
#endif
}

/* ---- */

void mtb_open_dtype(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"is_dtype", is_dtype},
                                      {"dtype", find_dtype},
                                      {"promote_types", promote_types},
                                      {"get_default_dtype", get_default_dtype},
                                      {"set_default_dtype", set_default_dtype},
                                      {"device", device},
                                      {"device_count", device_count},
                                      {"synchronize", synchronize},
                                      {"load_plugin", load_plugin},
                                      {"is_size", is_size},
                                      {"Size", size_new},
                                      {NULL, NULL}};
  static const mtb_function dtype_meta[] = {
      {"__tostring", dtype_tostring}, {"__index", dtype_index}, {NULL, NULL}};
  static const mtb_function size_meta[] = {
      {"__tostring", size_tostring}, {"__eq", size_eq}, {NULL, NULL}};
  static const mtb_function size_methods[] = {{"numel", size_numel}, {NULL, NULL}};

  lua_newtable(L);
  mtb_functions(L, st, dtype_meta);
  mtb_set_place(L, st, MTB_META_DTYPE);
  lua_createtable(L, 0, MT_NDTYPES);
  for (int d = 0; d < MT_NDTYPES; d++) {
    mtb_box *b = mtb_new_box(L, st, &mtb_tag_dtype, MTB_META_DTYPE);
    b->u.i = d;
    lua_pushvalue(L, -1);
    mtb_set_place(L, st, MTB_DTYPE_0 + d);
    lua_setfield(L, -2, mt_dtype_name(d));
  }
  lua_setfield(L, -2, "dtypes");

  lua_newtable(L);
  mtb_functions(L, st, size_meta);
  lua_newtable(L);
  mtb_functions(L, st, size_methods);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, -1);
  mtb_set_place(L, st, MTB_META_SIZE);
  lua_setfield(L, -2, "size_metatable");

  mtb_functions(L, st, list);
}
