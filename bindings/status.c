/* status.c: the only place that raises errors, at the user's line.
 *
 * The user's line is the innermost frame that is neither C nor a file of the Lua library (whose
 * folder was told by set_library_root). Inside a model the message starts with the path of the
 * module whose forward is running, found by walking the stack for calls of the function told by
 * set_module_call; the library makes the text of it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "internal.h"

/* ---- where the user is ---- */

static bool is_library(lua_State *L, const mtb_state *st, const char *source) {
  if (strcmp(source, "=[moontorch]") == 0) return true;
  if (*source != '@') return false;
  bool found = false;
  mtb_push_place(L, st, MTB_ROOTS);
  int n = (int)lua_objlen(L, -1);
  for (int i = 1; i <= n && !found; i++) {
    lua_rawgeti(L, -1, i);
    size_t len;
    const char *root = lua_tolstring(L, -1, &len);
    found = len > 0 && strncmp(source + 1, root, len) == 0;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return found;
}

/* The user's innermost frame into ar, with what "Sl" tells. */
static bool user_frame(lua_State *L, const mtb_state *st, lua_Debug *ar) {
  if (!lua_checkstack(L, 4)) return false;
  for (int level = 0; lua_getstack(L, level, ar); level++) {
    if (!lua_getinfo(L, "Sl", ar) || ar->currentline <= 0) continue;
    if (!is_library(L, st, ar->source)) return true;
  }
  return false;
}

void mtb_where(lua_State *L, char *buf, size_t size) {
  lua_Debug ar;
  if (user_frame(L, mtb_state_of(L), &ar))
    snprintf(buf, size, "%s:%d", ar.short_src, ar.currentline);
  else if (size)
    buf[0] = 0;
}

uint32_t mtb_site(lua_State *L, mtb_state *st) {
  char where[LUA_IDSIZE + 16];
  mtb_where(L, where, sizeof where);
  if (!where[0]) return 0;
  mtb_push_place(L, st, MTB_SITES);
  lua_getfield(L, -1, where);
  uint32_t site = (uint32_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (!site) {
    site = (uint32_t)lua_objlen(L, -1) + 1;
    lua_pushstring(L, where);
    lua_rawseti(L, -2, (int)site);
    lua_pushinteger(L, (lua_Integer)site);
    lua_setfield(L, -2, where);
  }
  lua_pop(L, 1);
  return site;
}

void mtb_push_site(lua_State *L, const mtb_state *st, int64_t site) {
  mtb_push_place(L, st, MTB_SITES);
  lua_rawgeti(L, -1, (int)site);
  lua_remove(L, -2);
}

/* Pushes "in net.layer2.1 (...): " when a module is running, by asking the library. */
static bool push_module_path(lua_State *L, const mtb_state *st) {
  if (!lua_checkstack(L, 12)) return false;
  int top = lua_gettop(L), n = 0;
  lua_Debug ar;
  char name[64] = "";
  mtb_push_place(L, st, MTB_MODULE_CALL);
  mtb_push_place(L, st, MTB_MODULE_PATH);
  if (!lua_istable(L, -2) || !lua_isfunction(L, -1)) goto none;
  lua_newtable(L); /* the modules, innermost first */
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    if (!lua_getinfo(L, "f", &ar)) continue;
    lua_rawget(L, top + 1);
    bool ours = lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (!ours || !lua_getlocal(L, &ar, 1)) continue;
    lua_rawseti(L, top + 3, ++n);
    name[0] = 0;
    if (lua_getinfo(L, "n", &ar) && ar.name && *ar.namewhat && strcmp(ar.namewhat, "method") != 0)
      snprintf(name, sizeof name, "%s", ar.name);
  }
  if (n == 0) goto none;
  lua_createtable(L, n, 0);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, top + 3, n + 1 - i);
    lua_rawseti(L, top + 4, i);
  }
  lua_remove(L, top + 3);
  if (name[0])
    lua_pushstring(L, name);
  else
    lua_pushnil(L);
  if (lua_pcall(L, 2, 1, 0) != LUA_OK || !lua_isstring(L, -1)) goto none;
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return true;
none:
  lua_settop(L, top);
  return false;
}

/* ---- raising ---- */

static int raise(lua_State *L, const char *text) {
  mtb_state *st = mtb_state_of(L);
  lua_Debug ar;
  char where[LUA_IDSIZE + 16] = "";
  if (user_frame(L, st, &ar))
    snprintf(where, sizeof where, "%s:%d: ", ar.short_src, ar.currentline);
  luaL_checkstack(L, 4, NULL);
  if (push_module_path(L, st))
    lua_pushfstring(L, "%s%s%s", where, lua_tostring(L, -1), text);
  else
    lua_pushfstring(L, "%s%s", where, text);
  return lua_error(L);
}

int mtb_error(lua_State *L, const char *fmt, ...) {
  char text[2048];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  raise(L, text);
  __builtin_unreachable();
}

int mtb_raise_text(lua_State *L, mtb_state *st) {
  raise(L, st->text);
  __builtin_unreachable();
}

static void human(char *buf, size_t size, int64_t bytes) {
  double b = (double)bytes;
  const char *unit[] = {"bytes", "KB", "MB", "GB", "TB"};
  int u = 0;
  while (b >= 1000 && u < 4) b /= 1000, u++;
  snprintf(buf, size, u ? "%.2f %s" : "%.0f %s", b, unit[u]);
}

/* What holds memory, for the message of a failed allocation. */
static void ledger(char *buf, size_t size) {
  size_t used = 0;
  int cuda = mt_device_loaded(MT_CUDA);
  for (int i = -1; i < cuda && used < size; i++) {
    int device = i < 0 ? MT_CPU : MT_CUDA + i;
    mt_memory m;
    mt_memory_stats(&m, device);
    if (i >= 0 && !m.peak) continue;
    char name[24], live[24], peak[24], cached[24];
    mt_device_name(name, sizeof name, device);
    human(live, sizeof live, m.live);
    human(peak, sizeof peak, m.peak);
    human(cached, sizeof cached, m.cached);
    int n = snprintf(buf + used, size - used, "\n  %s: %s alive (peak %s), %s cached", name, live,
                     peak, cached);
    if (n > 0) used += (size_t)n;
    if (i < 0 && used < size) {
      n = snprintf(buf + used, size - used, "; %lld tensors, %lld graph nodes",
                   (long long)m.tensors, (long long)m.nodes);
      if (n > 0) used += (size_t)n;
    }
  }
}

int mtb_raise(lua_State *L, int status) {
  char text[2048];
  if (status == MT_ERR_MEMORY) {
    int n = snprintf(text, sizeof text, "%s", mt_last_error());
    if (n > 0 && (size_t)n < sizeof text) ledger(text + n, sizeof text - (size_t)n);
  } else if (status == MT_INTERRUPTED) {
    mtb_interrupt_seen(L);
    snprintf(text, sizeof text, "interrupted");
  } else {
    snprintf(text, sizeof text, "%s", mt_last_error());
  }
  raise(L, text);
  __builtin_unreachable();
}

bool mtb_may_retry(lua_State *L, mtb_state *st, int status, int *tries) {
  if (status != MT_ERR_MEMORY || (*tries)++) return false;
  (void)st;
  lua_gc(L, LUA_GCCOLLECT, 0);
  mtb_drop_tokens(L, st);
  mt_memory_flush(MT_CPU);
  int cuda = mt_device_loaded(MT_CUDA);
  for (int i = 0; i < cuda; i++) mt_memory_flush(MT_CUDA + i);
  return true;
}

/* ---- what a value is ---- */

static const char *describe_userdata(lua_State *L, int idx, char *buf, size_t size) {
  mtb_handle *h = mtb_to_handle(L, idx);
  int dtype;
  char text[200];
  if (h && h->t)
    snprintf(buf, size, "a tensor %s", mt__describe(text, sizeof text, h->t));
  else if (h)
    snprintf(buf, size, "a closed tensor");
  else if (mtb_to_dtype(L, idx, &dtype))
    snprintf(buf, size, "torch.%s", mt_dtype_name(dtype));
  else if (mtb_to_box(L, idx, &mtb_tag_generator))
    snprintf(buf, size, "a generator");
  else if (mtb_to_box(L, idx, &mtb_tag_node))
    snprintf(buf, size, "a graph node");
  else
    snprintf(buf, size, "a userdata");
  return buf;
}

const char *mtb_describe(lua_State *L, int idx, char *buf, size_t size) {
  switch (lua_type(L, idx)) {
  case LUA_TNONE:
    snprintf(buf, size, "nothing");
    break;
  case LUA_TNIL:
    snprintf(buf, size, "nil");
    break;
  case LUA_TBOOLEAN:
    snprintf(buf, size, "%s", lua_toboolean(L, idx) ? "true" : "false");
    break;
  case LUA_TNUMBER:
    snprintf(buf, size, "%.14g", (double)lua_tonumber(L, idx));
    break;
  case LUA_TSTRING: {
    const char *s = lua_tostring(L, idx);
    snprintf(buf, size, "'%.40s%s'", s, strlen(s) > 40 ? "..." : "");
    break;
  }
  case LUA_TUSERDATA:
    return describe_userdata(L, idx, buf, size);
  case LUA_TTABLE:
    snprintf(buf, size, mtb_is_size(L, idx) ? "a Size" : "a table");
    idx = mtb_absindex(L, idx);
    if (luaL_getmetafield(L, idx, "__typename")) {
      if (lua_type(L, -1) == LUA_TSTRING)
        snprintf(buf, size, "an instance of %s", lua_tostring(L, -1));
      lua_pop(L, 1);
    }
    break;
  default:
    snprintf(buf, size, "a %s", lua_typename(L, lua_type(L, idx)));
  }
  return buf;
}

/* ---- for the library ---- */

/* core.error(message): raises as the binding does. */
static int lua_raise(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING) raise(L, lua_tostring(L, 1));
  lua_settop(L, 1);
  return lua_error(L);
}

/* core.where(): "file:line" of the user, or nil */
static int lua_where(lua_State *L) {
  char where[LUA_IDSIZE + 16];
  mtb_where(L, where, sizeof where);
  if (where[0])
    lua_pushstring(L, where);
  else
    lua_pushnil(L);
  return 1;
}

static int set_library_root(lua_State *L) {
  mtb_state *st = mtb_up(L);
  luaL_checkstring(L, 1);
  mtb_push_place(L, st, MTB_ROOTS);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  return 0;
}

/* core.set_module_call(fn, ...): functions whose first local is the module that runs. */
static int set_module_call(lua_State *L) {
  mtb_state *st = mtb_up(L);
  int n = lua_gettop(L);
  mtb_push_place(L, st, MTB_MODULE_CALL);
  for (int i = 1; i <= n; i++) {
    lua_pushvalue(L, i);
    lua_pushboolean(L, 1);
    lua_rawset(L, n + 1);
  }
  return 0;
}

static int set_module_path(lua_State *L) {
  lua_settop(L, 1);
  mtb_set_place(L, mtb_up(L), MTB_MODULE_PATH);
  return 0;
}

void mtb_open_status(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"error", lua_raise},
                                      {"where", lua_where},
                                      {"set_library_root", set_library_root},
                                      {"set_module_call", set_module_call},
                                      {"set_module_path", set_module_path},
                                      {NULL, NULL}};
  lua_newtable(L);
  mtb_set_place(L, st, MTB_ROOTS);
  lua_newtable(L);
  mtb_set_place(L, st, MTB_MODULE_CALL);
  lua_newtable(L);
  mtb_set_place(L, st, MTB_SITES);
  mtb_functions(L, st, list);
}
