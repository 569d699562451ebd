/* list.c: lists of tensors that C keeps, for optimizers: a step over many parameters gathers
 * gradients and calls one op without making a handle each.
 *
 * An entry may be empty. A list is a Tensor[] argument of an op as it is.
 */
#include <string.h>

#include "binding.h"

const char mtb_tag_list = 0;

mtb_list *mtb_to_list(lua_State *L, int idx) {
  mtb_list *l = lua_touserdata(L, idx);
  return l && lua_objlen(L, idx) >= sizeof *l && l->tag == &mtb_tag_list ? l : NULL;
}

static mtb_list *check_list(lua_State *L, int idx, const char *who) {
  mtb_list *l = mtb_to_list(L, idx);
  char got[300];
  if (!l)
    mtb_error(L, "%s: expected a list made by core.list, got %s", who,
              mtb_describe(L, idx, got, sizeof got));
  return l;
}

/* core.list(table of tensors) */
static int list_new(lua_State *L) {
  mtb_state *st = mtb_up(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  int n = (int)lua_objlen(L, 1);
  mtb_list *l = lua_newuserdata(L, sizeof *l + (size_t)n * sizeof *l->t);
  l->tag = &mtb_tag_list;
  l->n = n;
  memset(l->t, 0, (size_t)n * sizeof *l->t);
  mtb_push_place(L, st, MTB_META_LIST);
  lua_setmetatable(L, -2);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, 1, i + 1);
    l->t[i] = mt_retain(mtb_check_tensor(L, -1, "list"));
    lua_pop(L, 1);
  }
  return 1;
}

/* core.list_clear(list): empties every entry; also the finalizer */
static int list_clear(lua_State *L) {
  mtb_list *l = mtb_to_list(L, 1);
  for (int i = 0; l && i < l->n; i++) {
    mt_tensor *t = l->t[i];
    l->t[i] = NULL;
    mt_release(t);
  }
  return 0;
}

/* core.list_grads(list, params): list[i] = params[i].grad; how many there are */
static int list_grads(lua_State *L) {
  mtb_list *l = check_list(L, 1, "list_grads"), *params = check_list(L, 2, "list_grads");
  int count = 0;
  if (l->n != params->n) mtb_error(L, "list_grads: lists of %d and %d entries", l->n, params->n);
  for (int i = 0; i < l->n; i++) {
    mt_tensor *old = l->t[i];
    l->t[i] = params->t[i] ? mt_retain(params->t[i]->grad) : NULL;
    count += l->t[i] != NULL;
    mt_release(old);
  }
  lua_pushinteger(L, count);
  return 1;
}

/* core.list_zero_grad(params, set_to_none): drops the gradients, or fills them with zeros */
static int list_zero_grad(lua_State *L) {
  static const mt_op *fill;
  mtb_list *l = check_list(L, 1, "list_zero_grad");
  bool none = lua_toboolean(L, 2);
  if (!fill) fill = mt_op_find("fill_");
  for (int i = 0; i < l->n; i++) {
    mt_tensor *g = l->t[i] ? l->t[i]->grad : NULL, *out = NULL;
    if (!g) continue;
    if (none) {
      MTB_CHECK(L, mt_set_grad(l->t[i], NULL));
      continue;
    }
    mt_arg args[MT_MAX_PARAMS] = {mt__arg_t(g), mt__arg_i(0)};
    for (int p = 2; p < fill->nparams; p++) args[p] = fill->params[p].def;
    bool was = mt_set_grad_enabled(false);
    int status = mt_call(fill, MT_CALL, args, &out);
    mt_set_grad_enabled(was);
    mt_release(out);
    MTB_CHECK(L, status);
  }
  return 0;
}

static int list_len(lua_State *L) {
  lua_pushinteger(L, check_list(L, 1, "#")->n);
  return 1;
}

static int list_index(lua_State *L) {
  mtb_list *l = check_list(L, 1, "list");
  int64_t i;
  if (mtb_whole(L, mtb_up(L), 2, &i) && i >= 1 && i <= l->n)
    mtb_push_tensor(L, mtb_up(L), l->t[i - 1]);
  else
    lua_pushnil(L);
  return 1;
}

void mtb_open_list(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"list", list_new},
                                      {"list_clear", list_clear},
                                      {"list_grads", list_grads},
                                      {"list_zero_grad", list_zero_grad},
                                      {NULL, NULL}};
  static const mtb_function meta[] = {
      {"__gc", list_clear}, {"__len", list_len}, {"__index", list_index}, {NULL, NULL}};
  lua_newtable(L);
  mtb_functions(L, st, meta);
  mtb_set_place(L, st, MTB_META_LIST);
  mtb_functions(L, st, list);
}
