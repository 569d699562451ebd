/* scope.c: torch.scope(fn, ...): every handle made inside is closed when fn ends, except what it
 * returns and what was kept.
 *
 * A scope holds plain pointers to the handles made in it; a handle knows its place there, and
 * takes itself out when it is collected, closed or kept. So a scope holds open handles only.
 */
#include <stdlib.h>

#include "binding.h"

struct mtb_scope {
  mtb_scope *parent;
  mtb_state *st;
  uint32_t site; /* where scope was called */
  uint32_t n, cap;
  mtb_handle **items;
};

void mtb_scope_forget(mtb_handle *h) {
  mtb_scope *s = h->scope;
  if (!s) return;
  mtb_handle *last = s->items[--s->n];
  s->items[h->slot] = last;
  last->slot = h->slot;
  h->scope = NULL;
}

static void add(lua_State *L, mtb_scope *s, mtb_handle *h) {
  if (s->n == s->cap) {
    uint32_t cap = s->cap ? 2 * s->cap : 64;
    mtb_handle **items = realloc(s->items, cap * sizeof *items);
    if (!items) mtb_error(L, "scope: out of memory");
    s->items = items;
    s->cap = cap;
  }
  h->scope = s;
  h->slot = s->n;
  s->items[s->n++] = h;
}

void mtb_scope_add(lua_State *L, mtb_state *st, mtb_handle *h) {
  add(L, st->scope, h);
}

static void leave(mtb_guard *g) {
  mtb_scope *s = g->p;
  g->st->scope = s->parent;
  while (s->n) mtb_close_handle(s->items[s->n - 1], s->site + 2);
  free(s->items);
  free(s);
}

/* Hands the tensors in the value at idx (plain tables are walked; `seen` is a table of those
 * done) from their scope to `to`, or to none. */
static void hand_over(lua_State *L, int idx, mtb_scope *from, mtb_scope *to, int seen) {
  mtb_handle *h = mtb_to_handle(L, idx);
  if (h) {
    if (!h->scope || (from && h->scope != from)) return;
    mtb_scope_forget(h);
    if (to) add(L, to, h);
    return;
  }
  if (lua_type(L, idx) != LUA_TTABLE) return;
  if (lua_getmetatable(L, idx)) {
    lua_pop(L, 1);
    return;
  }
  luaL_checkstack(L, 6, "scope: tables nested too deeply");
  idx = mtb_absindex(L, idx);
  lua_pushvalue(L, idx);
  lua_rawget(L, seen);
  bool done = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (done) return;
  lua_pushvalue(L, idx);
  lua_pushboolean(L, 1);
  lua_rawset(L, seen);
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    hand_over(L, -2, from, to, seen);
    hand_over(L, -1, from, to, seen);
  }
}

static int scope(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mtb_check_callable(L, 1, "scope");
  uint32_t site = mtb_site(L, st);
  mtb_scope *s = calloc(1, sizeof *s);
  if (!s) mtb_error(L, "scope: out of memory");
  MTB_GUARD g = {.undo = leave, .st = st, .p = s};
  *s = (mtb_scope){.parent = st->scope, .st = st, .site = site};
  st->scope = s;
  mtb_call_guarded(L, &g, lua_gettop(L) - 1, LUA_MULTRET);
  int n = lua_gettop(L);
  bool tables = false;
  for (int i = 1; i <= n; i++) tables |= lua_istable(L, i);
  luaL_checkstack(L, 1, NULL);
  if (tables) lua_newtable(L);
  for (int i = 1; i <= n; i++) hand_over(L, i, s, s->parent, n + 1);
  lua_settop(L, n);
  return n;
}

void mtb_keep(lua_State *L, int idx) {
  mtb_handle *h = mtb_to_handle(L, idx);
  if (h) {
    mtb_scope_forget(h);
  } else if (lua_istable(L, idx)) {
    idx = mtb_absindex(L, idx);
    lua_newtable(L);
    hand_over(L, idx, NULL, NULL, lua_gettop(L));
    lua_pop(L, 1);
  }
}

/* keep(x): x and, in plain tables, the tensors in it outlive every scope; returns x */
static int keep(lua_State *L) {
  lua_settop(L, 1);
  if (mtb_up(L)->scope) mtb_keep(L, 1);
  return 1;
}

void mtb_open_scope(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"scope", scope}, {"keep", keep}, {NULL, NULL}};
  mtb_functions(L, st, list);
}
