/* node.c: what Lua attaches to the graph, and the graph as Lua sees it.
 *
 * The runtime knows Lua's things by tokens. A token's id is the key of an entry in a table of
 * the registry; when the last reference to the token goes, on whatever thread, the runtime
 * queues the id and mtb_drop_tokens forgets the entry. So the graph never holds Lua values by
 * itself, and no cycle runs through both heaps unless an entry refers back to the graph.
 */
#include <stdio.h>
#include <string.h>

#include "binding.h"

const char mtb_tag_node = 0, mtb_tag_hook = 0;

/* ---- tokens ---- */

static void set_entry(lua_State *L, const mtb_state *st, int64_t id) { /* pops the value */
  mtb_push_place(L, st, MTB_TOKENS);
  lua_insert(L, -2);
  lua_pushnumber(L, (lua_Number)id);
  lua_insert(L, -2);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static void release_token(mtb_guard *g) {
  mt_token_release(g->p);
}

mt_token *mtb_new_token(lua_State *L, mtb_state *st, mtb_guard *g) {
  mt_token *token = NULL;
  mtb_drop_tokens(L, st);
  int64_t id = ++st->last_token;
  set_entry(L, st, id);
  int tries = 0, status;
  do status = mt_token_new(&token, id);
  while (mtb_may_retry(L, st, status, &tries));
  if (status != MT_OK) {
    lua_pushnil(L);
    set_entry(L, st, id);
    mtb_raise(L, status);
  }
  *g = (mtb_guard){.undo = release_token, .st = st, .p = token};
  return token;
}

void mtb_push_token(lua_State *L, const mtb_state *st, int64_t id) {
  mtb_push_place(L, st, MTB_TOKENS);
  lua_pushnumber(L, (lua_Number)id);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

void mtb_drop_tokens(lua_State *L, mtb_state *st) {
  int64_t id = mt_token_dropped();
  if (!id) return;
  mtb_push_place(L, st, MTB_TOKENS);
  for (; id; id = mt_token_dropped()) {
    lua_pushnumber(L, (lua_Number)id);
    lua_pushnil(L);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
}

/* ---- hooks ---- */

/* An entry of a hook: {fn or false, x = a table that holds the handle weakly}. */

/* A hook's handle knows the id. Removed while a backward is under way, which may be standing on
 * the token, the entry only goes silent. */
static int hook_remove(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_hook);
  if (!b || !b->u.i) return 0;
  int64_t id = b->u.i;
  b->u.i = 0;
  mtb_push_token(L, st, id);
  if (!lua_istable(L, -1)) return 0; /* its tensor is gone */
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 1);
  lua_getfield(L, -1, "x");
  lua_rawgeti(L, -1, 1);
  mtb_handle *h = mtb_to_handle(L, -1);
  if (h && h->t && !st->backward_depth) MTB_CHECK(L, mt_hook_remove(h->t, id));
  return 0;
}

/* x:register_hook(fn): fn(grad, x) may return another gradient; the result has :remove() */
static int register_hook(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mtb_check_tensor(L, 1, "register_hook");
  mtb_check_callable(L, 2, "register_hook");
  lua_settop(L, 2);
  mtb_box *b = mtb_new_box(L, st, &mtb_tag_hook, MTB_META_HOOK);
  lua_createtable(L, 1, 1);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, 1);
  lua_newtable(L);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  mtb_push_place(L, st, MTB_META_WEAK);
  lua_setmetatable(L, -2);
  lua_setfield(L, -2, "x");
  MTB_GUARD g = {.undo = NULL};
  mt_token *token = mtb_new_token(L, st, &g);
  int64_t id = mt_token_id(token);
  int status, tries = 0;
  do {
    mtb_handle *h = mtb_to_handle(L, 1);
    status = h->t ? mt_hook_add(h->t, token) : MT_OK;
  } while (mtb_may_retry(L, st, status, &tries));
  if (status != MT_OK) mtb_raise(L, status);
  b->u.i = id;
  return 1;
}

void mtb_run_hook(lua_State *L, mtb_state *st, mt_backward *b, mtb_guard *g, bool create_graph) {
  int top = lua_gettop(L);
  mt_tensor **grads;
  luaL_checkstack(L, 8, NULL);
  mtb_push_token(L, st, mt_token_id(mt_backward_token(b)));
  lua_rawgeti(L, top + 1, 1);
  if (!lua_toboolean(L, -1)) { /* removed */
    lua_settop(L, top);
    MTB_CHECK(L, mt_backward_answer(b, 0, NULL));
    return;
  }
  mt_backward_grads(b, &grads);
  mtb_push_tensor(L, st, grads[0]);
  lua_getfield(L, top + 1, "x");
  lua_rawgeti(L, -1, 1);
  lua_remove(L, -2);
  bool before = mt_set_grad_enabled(create_graph);
  mtb_call_guarded(L, g, 2, 1);
  mt_set_grad_enabled(before);
  mtb_handle *h = mtb_to_handle(L, -1);
  char got[300];
  if (!h && !lua_isnil(L, -1))
    mtb_error(L, "a hook must return a gradient or nothing, got %s",
              mtb_describe(L, -1, got, sizeof got));
  mt_tensor *answer = h ? mtb_check_tensor(L, -1, "hook") : NULL;
  MTB_CHECK(L, mt_backward_answer(b, h != NULL, &answer));
  lua_settop(L, top);
}

/* ---- nodes ---- */

void mtb_push_node(lua_State *L, mtb_state *st, mt_node *n) {
  mtb_box *b = mtb_new_box(L, st, &mtb_tag_node, MTB_META_NODE);
  b->u.node = mt_node_retain(n);
}

static mt_node *check_node(lua_State *L, int idx) {
  mtb_box *b = mtb_to_box(L, idx, &mtb_tag_node);
  if (!b || !b->u.node) mtb_error(L, "expected a graph node");
  return b->u.node;
}

static int node_gc(lua_State *L) {
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_node);
  if (!b) return 0;
  mt_node *n = b->u.node;
  b->u.node = NULL;
  mt_node_release(n);
  return 0;
}

static int node_eq(lua_State *L) {
  mtb_box *a = mtb_to_box(L, 1, &mtb_tag_node), *b = mtb_to_box(L, 2, &mtb_tag_node);
  lua_pushboolean(L, a && b && a->u.node == b->u.node);
  return 1;
}

static int node_tostring(lua_State *L) {
  lua_pushfstring(L, "<%s>", mt_node_name(check_node(L, 1)));
  return 1;
}

/* next_functions: a list of {node or nil, index}, index counted from 1 */
static int node_index(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mt_node *n = check_node(L, 1);
  const char *key = lua_tostring(L, 2);
  if (!key) mtb_error(L, "a graph node has no such field");
  if (strcmp(key, "name") == 0) {
    lua_pushstring(L, mt_node_name(n));
  } else if (strcmp(key, "next_functions") == 0) {
    int edges = mt_node_edges(n);
    lua_createtable(L, edges, 0);
    for (int i = 0; i < edges; i++) {
      uint32_t nr = 0;
      mt_node *next = mt_node_next(n, i, &nr);
      lua_createtable(L, 2, 0);
      if (next) {
        mtb_push_node(L, st, next);
        lua_rawseti(L, -2, 1);
      }
      lua_pushinteger(L, next ? (lua_Integer)nr + 1 : 1);
      lua_rawseti(L, -2, 2);
      lua_rawseti(L, -2, i + 1);
    }
  } else if (strcmp(key, "site") == 0) {
    mtb_push_site(L, st, mt_node_site(n));
  } else {
    mtb_error(L, "a graph node has no field '%.40s' (it has name, next_functions, site)", key);
  }
  return 1;
}

void mtb_open_node(lua_State *L, mtb_state *st) {
  static const mtb_function node_meta[] = {{"__gc", node_gc},
                                           {"__eq", node_eq},
                                           {"__tostring", node_tostring},
                                           {"__index", node_index},
                                           {NULL, NULL}};
  static const mtb_function hook_methods[] = {{"remove", hook_remove}, {NULL, NULL}};
  static const mtb_function methods[] = {{"register_hook", register_hook}, {NULL, NULL}};
  lua_newtable(L);
  mtb_set_place(L, st, MTB_TOKENS);
  lua_newtable(L);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  mtb_set_place(L, st, MTB_META_WEAK);
  lua_newtable(L);
  mtb_functions(L, st, node_meta);
  mtb_set_place(L, st, MTB_META_NODE);
  lua_newtable(L);
  lua_newtable(L);
  mtb_functions(L, st, hook_methods);
  lua_setfield(L, -2, "__index");
  mtb_set_place(L, st, MTB_META_HOOK);
  mtb_push_place(L, st, MTB_METHODS);
  mtb_functions(L, st, methods);
  lua_pop(L, 1);
}
