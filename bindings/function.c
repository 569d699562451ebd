/* function.c: differentiable functions defined in Lua.
 *
 *     local Cube = torch.autograd.Function("Cube", {
 *       forward  = function(ctx, x) ctx:save_for_backward(x) return x * x * x end,
 *       backward = function(ctx, grad) local x = ctx:saved_tensors() return grad * 3 * x * x end,
 *     })
 *
 * forward runs with grad off. When an input requires grad, its outputs become the results of one
 * custom node, whose token stands for the entry {ctx, backward, name}. backward gets one gradient
 * a result of forward (zeros where none arrived) and returns one value an argument of forward: a
 * tensor, or nil for zero.
 *
 * No cycle runs through the graph and the Lua heap: what was saved goes to the node (value plus
 * edge), and an output that the user put into a field of ctx is replaced there by a detached
 * tensor over the same memory.
 */
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "internal.h"

/* What C keeps of a ctx, as a userdata in its field FIELDS. */
typedef struct fields {
  mt_node *node; /* while backward runs: whose saved tensors may be read. Borrowed */
  int nin;       /* arguments of forward */
  int nslots;    /* those that are tensors */
  int nout;      /* values that forward returned */
  int nfloat;    /* those that are outputs of the node */
  int nsaved;
  bool materialize; /* zeros for gradients that did not arrive */
  bool in_forward;
  bool is_tensor[]; /* [argument] */
} fields;

/* Keys of a ctx that are the binding's: numbers below zero, which a user has no use for. */
enum {
  FIELDS = -1,
  SAVED = -2,   /* in forward: the list of saved tensors */
  NEEDS = -3,   /* list: needs_input_grad */
  SKIPPED = -4, /* list of outputs marked as not differentiable */
  LIKE = -5     /* [result]: a tensor without data that looks like this output of the node */
};

static fields *check_ctx(lua_State *L, int idx, const char *who) {
  fields *f = NULL;
  if (lua_istable(L, idx)) {
    lua_rawgeti(L, idx, FIELDS);
    f = lua_touserdata(L, -1);
    lua_pop(L, 1);
  }
  if (!f) mtb_error(L, "%s: expected a ctx; it is called with a colon, ctx:%s(...)", who, who);
  return f;
}

/* ---- methods of ctx ---- */

/* ctx:save_for_backward(...): tensors or nil */
static int save_for_backward(lua_State *L) {
  fields *f = check_ctx(L, 1, "save_for_backward");
  int n = lua_gettop(L) - 1;
  char got[300];
  if (!f->in_forward) mtb_error(L, "save_for_backward: may be called in forward only");
  lua_createtable(L, n, 0);
  for (int i = 1; i <= n; i++) {
    if (!lua_isnil(L, i + 1) && !mtb_to_handle(L, i + 1))
      mtb_error(L,
                "save_for_backward: only tensors can be saved, argument %d is %s; put other values "
                "into fields of ctx",
                i, mtb_describe(L, i + 1, got, sizeof got));
    lua_pushvalue(L, i + 1);
    lua_rawseti(L, -2, i);
  }
  lua_rawseti(L, 1, SAVED);
  f->nsaved = n;
  return 0;
}

/* ctx:saved_tensors(): what was saved, as several values */
static int saved_tensors(lua_State *L) {
  mtb_state *st = mtb_up(L);
  fields *f = check_ctx(L, 1, "saved_tensors");
  luaL_checkstack(L, f->nsaved + 4, "saved_tensors");
  if (!f->node && !f->in_forward)
    mtb_error(L, "saved_tensors: may be called while backward runs only");
  lua_settop(L, 1);
  if (f->in_forward) lua_rawgeti(L, 1, SAVED);
  for (int i = 0; i < f->nsaved; i++) {
    if (f->in_forward) {
      lua_rawgeti(L, 2, i + 1);
      continue;
    }
    mtb_handle *h = mtb_new_handle(L, st);
    MTB_CHECK_MEMORY(L, st, mt_node_saved(&h->t, f->node, i));
    if (h->t) continue;
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  return f->nsaved;
}

static int set_materialize_grads(lua_State *L) {
  check_ctx(L, 1, "set_materialize_grads")->materialize = lua_toboolean(L, 2);
  return 0;
}

/* ctx:mark_non_differentiable(...): outputs that get no gradient */
static int mark_non_differentiable(lua_State *L) {
  check_ctx(L, 1, "mark_non_differentiable");
  int n = lua_gettop(L);
  lua_createtable(L, n - 1, 0);
  for (int i = 2; i <= n; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, -2, i - 1);
  }
  lua_rawseti(L, 1, SKIPPED);
  return 0;
}

/* ctx.needs_input_grad, or a method */
static int ctx_index(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "needs_input_grad") == 0) {
    lua_rawgeti(L, 1, NEEDS);
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(2));
  return 1;
}

/* ---- forward ---- */

/* Is the tensor in the list at ctx[key]? With `with` != 0, it is replaced there by the value at
 * that place of the stack. */
static bool in_list(lua_State *L, int ctx, int key, const mt_tensor *t, int with) {
  bool found = false;
  lua_rawgeti(L, ctx, key);
  int n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    mtb_handle *h = mtb_to_handle(L, -1);
    lua_pop(L, 1);
    if (!h || h->t != t) continue;
    found = true;
    if (!with) continue;
    lua_pushvalue(L, with);
    lua_rawseti(L, -2, i);
  }
  lua_pop(L, 1);
  return found;
}

static bool among(lua_State *L, int first, int end, const mt_tensor *t) {
  for (int i = first; i < end; i++) {
    mtb_handle *h = mtb_to_handle(L, i);
    if (h && h->t == t) return true;
  }
  return false;
}

/* An output of the node: a tensor of floats that was not marked otherwise. */
static mt_tensor *node_output(lua_State *L, int ctx, int idx) {
  mtb_handle *h = mtb_to_handle(L, idx);
  if (!h) return NULL;
  mt_tensor *t = mtb_check_tensor(L, idx, "forward");
  return mt__is_float(t->dtype) && !in_list(L, ctx, SKIPPED, t, 0) ? t : NULL;
}

/* Replaces outputs that cannot take a history (an input, something with a history, a view, the
 * same tensor twice) by a detached tensor over the same memory. */
static void detach_outputs(lua_State *L, mtb_state *st, const fields *f, int ctx, int outs) {
  for (int i = outs; i < outs + f->nout; i++) {
    mt_tensor *t = node_output(L, ctx, i);
    if (!t) continue;
    bool input = among(L, 1, 1 + f->nin, t);
    if (!input && !mt_requires_grad(t) && !t->base && !among(L, outs, i, t)) continue;
    mtb_handle *h = mtb_new_handle(L, st);
    MTB_CHECK_MEMORY(L, st, mt_detach(&h->t, node_output(L, ctx, i)));
    if (!input) in_list(L, ctx, SAVED, t, lua_gettop(L));
    lua_replace(L, i);
  }
}

/* Fields of ctx: outputs lose their history there (or they would hold their own node), and what
 * is there outlives a scope. */
static void settle_fields(lua_State *L, mtb_state *st, const fields *f, int ctx, int outs) {
  for (lua_pushnil(L); lua_next(L, ctx); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    mtb_handle *h = mtb_to_handle(L, -1);
    if (h && h->t && among(L, outs, outs + f->nout, h->t)) {
      mtb_handle *d = mtb_new_handle(L, st);
      MTB_CHECK_MEMORY(L, st, mt_detach(&d->t, mtb_check_tensor(L, -2, "ctx")));
      lua_replace(L, -2);
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      lua_rawset(L, ctx); /* an existing field: allowed while lua_next walks */
    }
    if (st->scope) mtb_keep(L, -1);
  }
}

/* ctx[LIKE]: what zeros for each output of the node have to look like. */
static void note_outputs(lua_State *L, mtb_state *st, fields *f, int ctx, int outs) {
  lua_createtable(L, f->nout, 0);
  for (int i = 0; i < f->nout; i++) {
    if (!node_output(L, ctx, outs + i)) continue;
    f->nfloat++;
    mtb_handle *h = mtb_new_handle(L, st);
    mtb_scope_forget(h);
    MTB_CHECK_MEMORY(L, st, mt__shallow(&h->t, node_output(L, ctx, outs + i), false));
    lua_rawseti(L, -2, i + 1);
  }
  lua_rawseti(L, ctx, LIKE);
}

/* The arguments are at 1.., the results of forward from outs on. */
static void make_node(lua_State *L, mtb_state *st, fields *f, int ctx, int outs, const char *name) {
  int top = lua_gettop(L);
  detach_outputs(L, st, f, ctx, outs);
  settle_fields(L, st, f, ctx, outs);
  note_outputs(L, st, f, ctx, outs);
  if (!f->nfloat) return;
  lua_createtable(L, 3, 0); /* the entry that the token stands for */
  lua_pushvalue(L, ctx);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(3));
  lua_rawseti(L, -2, 2);
  lua_pushvalue(L, lua_upvalueindex(4));
  lua_rawseti(L, -2, 3);
  MTB_GUARD g = {.undo = NULL};
  mt_token *token = mtb_new_token(L, st, &g);
  lua_rawgeti(L, ctx, SAVED);
  int list = lua_gettop(L);
  lua_pushnil(L); /* an output saved there would hold its own node */
  lua_rawseti(L, ctx, SAVED);
  mtb_arena_reset(st);
  size_t count = (size_t)(f->nslots + f->nfloat + f->nsaved);
  mt_tensor **in = mtb_arena_get(st, count * sizeof *in + 1);
  if (!in) mtb_error(L, "%s: out of memory", name);
  char node_name[128]; /* as PyTorch names it */
  snprintf(node_name, sizeof node_name, "%sBackward", name);
  mt_tensor **out = in + f->nslots, **save = out + f->nfloat;
  mt_node *node = NULL;
  int tries = 0, status;
  do {
    int ni = 0, no = 0;
    for (int i = 0; i < f->nin; i++)
      if (f->is_tensor[i]) in[ni++] = mtb_check_tensor(L, 1 + i, name);
    for (int i = 0; i < f->nout; i++)
      if ((out[no] = node_output(L, ctx, outs + i)) && ++no == f->nfloat) break;
    for (int i = 0; i < f->nsaved; i++) {
      lua_rawgeti(L, list, i + 1);
      save[i] = lua_isnil(L, -1) ? NULL : mtb_check_tensor(L, -1, "save_for_backward");
      lua_pop(L, 1);
    }
    status = mt_node_custom(&node, node_name, token, ni, in, no, out);
    if (status == MT_OK && f->nsaved) status = mt_node_save(node, f->nsaved, save);
    mt_node_release(node);
  } while (mtb_may_retry(L, st, status, &tries));
  if (status != MT_OK) mtb_raise(L, status);
  lua_settop(L, top);
}

/* A Function called. Upvalues: the state, forward, backward, the name. */
static int apply_function(lua_State *L) {
  mtb_state *st = mtb_up(L);
  int nin = lua_gettop(L), ctx = nin + 1, outs = ctx + 1;
  const char *name = lua_tostring(L, lua_upvalueindex(4));
  bool needs = false;
  mtb_before_op(L, st);
  luaL_checkstack(L, nin + 16, name);
  lua_newtable(L);
  fields *f = lua_newuserdata(L, sizeof *f + (size_t)nin);
  memset(f, 0, sizeof *f);
  f->nin = nin;
  f->materialize = f->in_forward = true;
  lua_rawseti(L, ctx, FIELDS);
  lua_createtable(L, nin, 0);
  for (int i = 1; i <= nin; i++) {
    f->is_tensor[i - 1] = mtb_to_handle(L, i) != NULL;
    f->nslots += f->is_tensor[i - 1];
    bool need =
        f->is_tensor[i - 1] && mt_grad_enabled() && mt_requires_grad(mtb_check_tensor(L, i, name));
    needs |= need;
    lua_pushboolean(L, need);
    lua_rawseti(L, -2, i);
  }
  lua_rawseti(L, ctx, NEEDS);
  mtb_push_place(L, st, MTB_META_CTX);
  lua_setmetatable(L, ctx);
  MTB_GUARD g = {.undo = mtb_restore_grad, .st = st, .i = mt_grad_enabled()};
  mt_set_grad_enabled(false);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, ctx);
  for (int i = 1; i <= nin; i++) lua_pushvalue(L, i);
  mtb_call_guarded(L, &g, nin + 1, LUA_MULTRET);
  f->nout = lua_gettop(L) - ctx;
  f->in_forward = false;
  luaL_checkstack(L, 16, name);
  if (needs) make_node(L, st, f, ctx, outs, name);
  return f->nout;
}

/* ---- backward ---- */

/* Pushes the gradient of result i: nil, or zeros, where there is none. */
static void push_gradient(lua_State *L, mtb_state *st, const fields *f, int like, int i,
                          mt_tensor *g) {
  if (g || !f->materialize) {
    mtb_push_tensor(L, st, g);
    return;
  }
  lua_rawgeti(L, like, i + 1);
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mt__zeros_like(&h->t, mtb_check_tensor(L, -2, "backward")));
  lua_remove(L, -2);
}

/* Answers with the values that backward returned, from place first on. */
static void answer(lua_State *L, mtb_state *st, mt_backward *b, const fields *f, int first,
                   const char *name) {
  int count = lua_gettop(L) + 1 - first;
  char got[300];
  for (int i = 0; i < count; i++) {
    if (lua_isnil(L, first + i)) continue;
    if (i >= f->nin)
      mtb_error(L, "%s: backward returned %d gradients, forward takes %d arguments", name, count,
                f->nin);
    if (!mtb_to_handle(L, first + i))
      mtb_error(L, "%s: backward must return tensors or nil, value %d is %s", name, i + 1,
                mtb_describe(L, first + i, got, sizeof got));
    if (!f->is_tensor[i])
      mtb_error(L, "%s: backward returned a gradient for argument %d, which is no tensor", name,
                i + 1);
  }
  int tries = 0, status;
  do {
    mtb_arena_reset(st);
    mt_tensor **list = mtb_arena_get(st, (size_t)f->nslots * sizeof *list + 1);
    if (!list) mtb_error(L, "%s: out of memory", name);
    int n = 0;
    for (int i = 0; i < f->nin; i++) {
      if (!f->is_tensor[i]) continue;
      bool given = i < count && !lua_isnil(L, first + i);
      list[n++] = given ? mtb_check_tensor(L, first + i, name) : NULL;
    }
    status = mt_backward_answer(b, n, list);
  } while (mtb_may_retry(L, st, status, &tries));
  MTB_CHECK(L, status);
}

static void forget_node(mtb_guard *g) {
  ((fields *)g->p)->node = NULL;
}

void mtb_run_function(lua_State *L, mtb_state *st, mt_backward *b, mtb_guard *walk,
                      bool create_graph) {
  int top = lua_gettop(L), entry = top + 1, ctx = top + 2, like = top + 3;
  mt_tensor **grads;
  char name[80];
  luaL_checkstack(L, 16, NULL);
  mtb_push_token(L, st, mt_token_id(mt_backward_token(b)));
  lua_rawgeti(L, entry, 3);
  snprintf(name, sizeof name, "%s", lua_tostring(L, -1));
  lua_pop(L, 1);
  lua_rawgeti(L, entry, 1);
  lua_rawgeti(L, ctx, LIKE);
  fields *f = check_ctx(L, ctx, name);
  luaL_checkstack(L, f->nin + f->nout + 16, name);
  mt_backward_grads(b, &grads);
  lua_rawgeti(L, entry, 2);
  lua_pushvalue(L, ctx);
  for (int i = 0, k = 0; i < f->nout; i++) {
    lua_rawgeti(L, like, i + 1);
    bool is_output = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (is_output)
      push_gradient(L, st, f, like, i, grads[k++]);
    else
      lua_pushnil(L);
  }
  MTB_GUARD g = {.undo = forget_node, .st = st, .p = f};
  f->node = mt_backward_node(b);
  bool before = mt_set_grad_enabled(create_graph);
  if (st->unwinds) {
    lua_call(L, f->nout + 1, LUA_MULTRET);
  } else if (lua_pcall(L, f->nout + 1, LUA_MULTRET, 0) != LUA_OK) {
    mtb_guard_leave(&g);
    mtb_guard_leave(walk);
    lua_error(L);
  }
  mt_set_grad_enabled(before);
  answer(L, st, b, f, like + 1, name);
  lua_settop(L, top);
}

/* ---- making a Function ---- */

/* core.Function(name, {forward = fn, backward = fn}): a function of forward's arguments */
static int new_function(lua_State *L) {
  static const char *const names[] = {"forward", "backward", NULL};
  char got[300];
  if (lua_type(L, 1) != LUA_TSTRING)
    mtb_error(L, "Function: the first argument must be a name, got %s",
              mtb_describe(L, 1, got, sizeof got));
  if (!lua_istable(L, 2))
    mtb_error(L, "Function: expected a table {forward = fn, backward = fn}, got %s",
              mtb_describe(L, 2, got, sizeof got));
  mtb_check_options(L, 2, "Function", names);
  lua_settop(L, 2);
  lua_pushlightuserdata(L, mtb_up(L));
  for (int i = 0; i < 2; i++) {
    lua_getfield(L, 2, names[i]);
    if (!lua_isfunction(L, -1))
      mtb_error(L, "Function: %s must be a function, got %s", names[i],
                mtb_describe(L, -1, got, sizeof got));
  }
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, apply_function, 4);
  return 1;
}

void mtb_open_function(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"Function", new_function}, {NULL, NULL}};
  static const mtb_function methods[] = {{"save_for_backward", save_for_backward},
                                         {"saved_tensors", saved_tensors},
                                         {"set_materialize_grads", set_materialize_grads},
                                         {"mark_non_differentiable", mark_non_differentiable},
                                         {NULL, NULL}};
  mtb_functions(L, st, list);
  lua_newtable(L);
  lua_pushlightuserdata(L, st);
  lua_newtable(L);
  mtb_functions(L, st, methods);
  lua_pushcclosure(L, ctx_index, 2);
  lua_setfield(L, -2, "__index");
  mtb_set_place(L, st, MTB_META_CTX);
}
