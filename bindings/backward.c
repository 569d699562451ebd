/* backward.c: drives the pulled backward: steps the engine, and answers its hooks and nodes that
 * Lua defined. The walk is freed, and the mode put back, by a guard, so an error anywhere in it
 * (a hook that raises) leaves nothing behind.
 */
#include <stdio.h>
#include <string.h>

#include "binding.h"

/* ---- the walk ---- */

static void end_walk(mtb_guard *g) {
  mt_set_grad_enabled(g->i != 0);
  g->st->backward_depth--;
  mt_backward_free(g->p);
}

static void failed(lua_State *L, mtb_state *st, mt_backward *b, int status) {
  mt_node *n = st->anomaly ? mt_backward_node(b) : NULL;
  if (n && mt_node_site(n)) {
    char text[1024], name[64];
    snprintf(text, sizeof text, "%s", mt_last_error());
    snprintf(name, sizeof name, "%s", mt_node_name(n));
    mtb_push_site(L, st, mt_node_site(n));
    mtb_error(L, "%s\n  in the derivative of %s, made at %s", text, name, lua_tostring(L, -1));
  }
  mtb_raise(L, status);
}

static void walk(lua_State *L, mtb_guard *g, bool create_graph) {
  mtb_state *st = g->st;
  mt_backward *b = g->p;
  int tries = 0;
  for (;;) {
    int request = MT_WANT_NOTHING, status = mt_backward_step(b, &request);
    if (mtb_may_retry(L, st, status, &tries)) continue;
    if (status != MT_OK) failed(L, st, b, status);
    tries = 0;
    if (request == MT_WANT_NOTHING) return;
    if (request == MT_WANT_HOOK)
      mtb_run_hook(L, st, b, g, create_graph);
    else
      mtb_run_function(L, st, b, g, create_graph);
  }
}

/* A list of tensors on the stack: one tensor, a table of them, or nil. */
typedef struct list {
  const char *what;
  int idx;
  int n; /* -1: nil */
  bool single;
  mt_tensor **t;
} list;

/* Reads into the arena. gaps: entries may be nil or false. */
static void read_list(lua_State *L, mtb_state *st, list *l, bool gaps) {
  char got[300];
  l->n = -1;
  l->single = false;
  l->t = NULL;
  if (lua_isnoneornil(L, l->idx)) return;
  l->single = mtb_to_handle(L, l->idx) != NULL;
  if (!l->single && !lua_istable(L, l->idx))
    mtb_error(L, "%s must be a tensor or a list of tensors, got %s", l->what,
              mtb_describe(L, l->idx, got, sizeof got));
  l->n = l->single ? 1 : (int)lua_objlen(L, l->idx);
  l->t = mtb_arena_get(st, (size_t)l->n * sizeof *l->t + 1);
  if (!l->t) mtb_error(L, "%s: out of memory", l->what);
  for (int i = 0; i < l->n; i++) {
    if (l->single)
      lua_pushvalue(L, l->idx);
    else
      lua_rawgeti(L, l->idx, i + 1);
    l->t[i] = gaps && !lua_toboolean(L, -1) ? NULL : mtb_check_tensor(L, -1, l->what);
    lua_pop(L, 1);
  }
}

static void begin_walk(lua_State *L, mtb_guard *g, list *roots, list *grads, list *inputs,
                       int flags) {
  mtb_state *st = g->st;
  mt_backward *b = NULL;
  int tries = 0, status;
  do {
    mtb_arena_reset(st);
    read_list(L, st, roots, false);
    read_list(L, st, grads, true);
    read_list(L, st, inputs, false);
    if (grads->n >= 0 && grads->n != roots->n)
      mtb_error(L, "%s: got %d gradients for %d outputs", grads->what, grads->n, roots->n);
    status =
        mt_backward_begin(&b, roots->n, roots->t, grads->n < 0 ? NULL : grads->t,
                          inputs->n < 0 ? 0 : inputs->n, inputs->n < 0 ? NULL : inputs->t, flags);
  } while (mtb_may_retry(L, st, status, &tries));
  if (status != MT_OK) mtb_raise(L, status);
  g->p = b;
  g->i = mt_grad_enabled();
  st->backward_depth++;
  g->undo = end_walk;
}

/* ---- x:backward ---- */

/* Adds a gradient to t's. */
static void accumulate(lua_State *L, mtb_state *st, mt_tensor *t, mt_tensor *g, bool create_graph) {
  mt_tensor *old = NULL, *sum = NULL;
  mt_grad(&old, t);
  if (!old) {
    MTB_CHECK(L, mt_set_grad(t, g));
    return;
  }
  static const mt_op *add;
  if (!add) add = mt_op_find("add");
  mt_arg args[] = {mt__arg_t(old), mt__arg_t(g), mt__arg_i(1)};
  bool was = mt_set_grad_enabled(create_graph);
  int status = mtb_invoke(L, st, add, MT_CALL, args, &sum);
  mt_set_grad_enabled(was);
  if (status == MT_OK) status = mt_set_grad(t, sum);
  mt_release(sum);
  MTB_CHECK(L, status);
}

/* Pushes the argument at place i, or the option of that name from the table behind the last
 * argument, or nil. */
static void push_argument(lua_State *L, int i, int last, const char *who, const char *name) {
  bool given = i <= last && !lua_isnil(L, i), named = mtb_option(L, last + 1, name);
  if (given && named) mtb_error(L, "%s: %s is given twice", who, name);
  if (given)
    lua_pushvalue(L, i);
  else if (!named)
    lua_pushnil(L);
}

static bool flag_argument(lua_State *L, int i, int last, const char *who, const char *name,
                          bool otherwise) {
  char got[300];
  push_argument(L, i, last, who, name);
  int type = lua_type(L, -1);
  if (type != LUA_TBOOLEAN && type != LUA_TNIL)
    mtb_error(L, "%s: %s must be true or false, got %s", who, name,
              mtb_describe(L, -1, got, sizeof got));
  bool yes = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

/* Finds the table of keywords at the end, or puts nil there; returns how many arguments stand
 * before it. */
static int split_options(lua_State *L, int most, const char *who, const char *const *names) {
  int last = lua_gettop(L);
  if (last > 1 && lua_istable(L, last) && mtb_classify(L, last) != MTB_LIST)
    last--;
  else
    lua_pushnil(L);
  if (last > most) mtb_error(L, "%s: takes at most %d arguments, got %d", who, most, last);
  mtb_check_options(L, last + 1, who, names);
  return last;
}

/* x:backward([gradient [, retain_graph [, create_graph [, inputs]]]] [, keywords]) */
static int backward(lua_State *L) {
  static const char *const names[] = {"gradient", "retain_graph", "create_graph", "inputs", NULL};
  static const char who[] = "backward";
  mtb_state *st = mtb_up(L);
  mtb_check_tensor(L, 1, who);
  int last = split_options(L, 5, who, names);
  bool create = flag_argument(L, 4, last, who, "create_graph", false);
  bool keep = flag_argument(L, 3, last, who, "retain_graph", create);
  push_argument(L, 2, last, who, "gradient");
  push_argument(L, 5, last, who, "inputs");
  int top = lua_gettop(L);
  list roots = {.what = "backward", .idx = 1},
       grads = {.what = "backward: gradient", .idx = top - 1},
       inputs = {.what = "backward: inputs", .idx = top};
  if (lua_istable(L, top) && lua_objlen(L, top) == 0)
    mtb_error(L, "backward: inputs must not be empty");
  MTB_GUARD g = {.st = st};
  begin_walk(L, &g, &roots, &grads, &inputs,
             (keep ? MT_KEEP_GRAPH : 0) | (create ? MT_CREATE_GRAPH : 0) | MT_ALLOW_UNUSED);
  walk(L, &g, create);
  if (inputs.n < 0) return 0;
  mtb_handle *h = mtb_new_handle(L, st);
  for (int i = 0; i < inputs.n; i++) {
    if (inputs.single)
      lua_pushvalue(L, top);
    else
      lua_rawgeti(L, top, i + 1);
    mt_tensor *t = mtb_check_tensor(L, -1, inputs.what);
    MTB_CHECK(L, mt_backward_result(&h->t, g.p, i));
    if (h->t) {
      accumulate(L, st, t, h->t, create);
      mt_release(h->t);
      h->t = NULL;
    }
    lua_pop(L, 1);
  }
  return 0;
}

/* core.autograd_grad(outputs, inputs [, keywords]): a tensor for a tensor, a list for a list;
 * nil (a gap in the list) where allow_unused lets an input be unused */
static int autograd_grad(lua_State *L) {
  static const char *const names[] = {"grad_outputs", "retain_graph", "create_graph",
                                      "allow_unused", NULL};
  static const char who[] = "grad";
  mtb_state *st = mtb_up(L);
  if (lua_gettop(L) < 2) mtb_error(L, "grad: expects outputs and inputs");
  if (lua_gettop(L) == 2) lua_pushnil(L);
  int last = split_options(L, 6, who, names);
  bool create = flag_argument(L, 5, last, who, "create_graph", false);
  bool keep = flag_argument(L, 4, last, who, "retain_graph", create);
  bool unused = flag_argument(L, 6, last, who, "allow_unused", false);
  push_argument(L, 3, last, who, "grad_outputs");
  list roots = {.what = "grad: outputs", .idx = 1}, inputs = {.what = "grad: inputs", .idx = 2},
       grads = {.what = "grad: grad_outputs", .idx = lua_gettop(L)};
  if (lua_isnil(L, 1) || lua_isnil(L, 2)) mtb_error(L, "grad: expects outputs and inputs");
  MTB_GUARD g = {.st = st};
  begin_walk(L, &g, &roots, &grads, &inputs,
             (keep ? MT_KEEP_GRAPH : 0) | (create ? MT_CREATE_GRAPH : 0) |
                 (unused ? MT_ALLOW_UNUSED : 0));
  walk(L, &g, create);
  lua_createtable(L, inputs.n, 0);
  for (int i = 0; i < inputs.n; i++) {
    mtb_handle *h = mtb_new_handle(L, st);
    MTB_CHECK(L, mt_backward_result(&h->t, g.p, i));
    if (!h->t) {
      lua_pop(L, 1);
      lua_pushnil(L);
    }
    lua_rawseti(L, -2, i + 1);
  }
  if (inputs.single) lua_rawgeti(L, -1, 1);
  return 1;
}

/* core.set_anomaly(on): nodes remember the line that made them, and errors in backward tell it */
static int set_anomaly(lua_State *L) {
  mtb_state *st = mtb_up(L);
  st->anomaly = lua_toboolean(L, 1);
  if (!st->anomaly) mt_set_site(0);
  return 0;
}

static int is_anomaly(lua_State *L) {
  lua_pushboolean(L, mtb_up(L)->anomaly);
  return 1;
}

void mtb_open_backward(lua_State *L, mtb_state *st) {
  static const mtb_function methods[] = {{"backward", backward}, {NULL, NULL}};
  static const mtb_function functions[] = {{"autograd_grad", autograd_grad},
                                           {"set_anomaly", set_anomaly},
                                           {"is_anomaly", is_anomaly},
                                           {NULL, NULL}};
  mtb_functions(L, st, functions);
  mtb_push_place(L, st, MTB_METHODS);
  mtb_functions(L, st, methods);
  lua_pop(L, 1);
}
