/* ops.c: the ops as Lua functions, made from the op table.
 *
 * A group is what Lua knows by one name: the overloads of an op ("max", "max.dim",
 * "max.other"), tried in the order of the table, in one form. The function of a group has it as
 * its first upvalue.
 *
 * Order of a call, so that nothing can leak or be freed under its hands: the empty handles
 * first; then the arguments are read, then mt_call, and no Lua memory is allocated from there
 * on. A call whose number of results depends on the arguments reads them twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

enum { MAX_OVERLOADS = 12 };

typedef struct group {
  mtb_state *st;
  int form;
  int n;
  char name[48];
  const mt_op *ops[MAX_OVERLOADS];
} group;

/* ---- calling ---- */

int mtb_invoke(lua_State *L, mtb_state *st, const mt_op *op, int form, mt_arg *args,
               mt_tensor **out) {
  int tries = 0, status;
  mt_tensor *z = form == MT_CALL_OUT ? out[0] : NULL;
  do {
    if (z) out[0] = z;
    status = mt_call(op, form, args, out);
  } while (mtb_may_retry(L, st, status, &tries));
  return status;
}

static void begin(mtb_call *c, const group *g, int overload, bool explain) {
  c->st = g->st;
  c->op = g->ops[overload];
  c->name = g->name;
  c->explain = explain;
  c->allow_out = g->form == MT_CALL && c->op->nout == 1 && !c->op->returns_self;
}

/* Reads the arguments by the first overload that they fit; raises for the best one. */
static void read_any(lua_State *L, mtb_call *c, const group *g, int top) {
  int best = 0, score = -1;
  for (int i = 0; i < g->n && g->n > 1; i++) {
    begin(c, g, i, false);
    if (mtb_read(L, c, top)) {
      c->explain = true; /* should a second reading fail */
      return;
    }
    if (c->score > score || c->fatal) best = i, score = c->score;
    if (c->fatal) break;
  }
  begin(c, g, best, true);
  if (!mtb_read(L, c, top)) mtb_raise_text(L, g->st);
}

static int form_of(const mtb_call *c, const group *g) {
  return c->out ? MT_CALL_OUT : g->form;
}

/* Calls; after a failure for want of memory reads again, since a collection ran in between. */
static void call(lua_State *L, mtb_call *c, const group *g, int top, mt_tensor **out) {
  int tries = 0;
  for (;;) {
    int form = form_of(c, g);
    if (form == MT_CALL_OUT) out[0] = c->out->t;
    int status = mt_call(c->op, form, c->args, out);
    if (status == MT_OK) return;
    if (!mtb_may_retry(L, g->st, status, &tries)) mtb_raise(L, status);
    if (!mtb_read(L, c, top)) mtb_raise_text(L, g->st);
  }
}

/* The result is a value that the caller gave: the written argument, or out = z. */
static int call_given(lua_State *L, mtb_call *c, const group *g, int top) {
  mt_tensor *out[MT_MAX_OUT] = {NULL};
  if (c->out)
    lua_getfield(L, c->keywords, "out");
  else if (g->form == MT_CALL_INPLACE)
    lua_pushvalue(L, 1);
  else if (c->self_index)
    lua_pushvalue(L, c->self_index);
  else
    lua_getfield(L, c->keywords, c->op->params[c->op->first_written].name);
  if (!mtb_read(L, c, top)) mtb_raise_text(L, g->st);
  call(L, c, g, top, out);
  mt_release(out[0]);
  return 1;
}

static int call_list(lua_State *L, mtb_call *c, const group *g, int top) {
  int n = 0;
  MTB_CHECK(L, mt_op_outputs(&n, c->op, c->args));
  lua_createtable(L, n, 0);
  for (int i = 1; i <= n; i++) {
    mtb_new_handle(L, g->st);
    lua_rawseti(L, -2, i);
  }
  if (!mtb_read(L, c, top)) mtb_raise_text(L, g->st);
  mt_tensor **out = mtb_arena_get(g->st, (size_t)n * sizeof *out + 1);
  if (!out) mtb_error(L, "%s: out of memory", g->name);
  /* a second reading for want of memory would take the arena from under `out` */
  int status = mt_call(c->op, MT_CALL, c->args, out), tries = 0;
  if (mtb_may_retry(L, g->st, status, &tries)) {
    if (!mtb_read(L, c, top)) mtb_raise_text(L, g->st);
    out = mtb_arena_get(g->st, (size_t)n * sizeof *out + 1);
    if (!out) mtb_error(L, "%s: out of memory", g->name);
    status = mt_call(c->op, MT_CALL, c->args, out);
  }
  if (status != MT_OK) mtb_raise(L, status);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, -1, i + 1);
    ((mtb_handle *)lua_touserdata(L, -1))->t = out[i];
    lua_pop(L, 1);
    mtb_account(g->st, out[i]);
  }
  return 1;
}

static int call_several(lua_State *L, mtb_call *c, const group *g, int top, bool again) {
  mtb_handle *h[MT_MAX_OUT];
  mt_tensor *out[MT_MAX_OUT] = {NULL};
  int n = c->op->nout;
  for (int k = 0; k < n; k++) h[k] = mtb_new_handle(L, g->st);
  if (again && !mtb_read(L, c, top)) mtb_raise_text(L, g->st);
  call(L, c, g, top, out);
  for (int k = 0; k < n; k++) {
    h[k]->t = out[k];
    mtb_account(g->st, out[k]);
  }
  return n;
}

/* Every kind of call. */
static int call_any(lua_State *L) {
  const group *g = lua_touserdata(L, lua_upvalueindex(1));
  int top = lua_gettop(L);
  mtb_call c;
  mtb_before_op(L, g->st);
  if (g->st->anomaly) mt_set_site(mtb_site(L, g->st));
  read_any(L, &c, g, top);
  if (c.out || g->form == MT_CALL_INPLACE || c.op->returns_self) return call_given(L, &c, g, top);
  if (c.op->nout < 0) return call_list(L, &c, g, top);
  return call_several(L, &c, g, top, true);
}

/* Reads tensors and numbers in their places, which is most of all calls; false for anything else,
 * which is no failure. */
static inline bool read_plain(lua_State *L, const group *g, int top, mt_arg *args) {
  const mt_op *op = g->ops[0];
  if (top > op->npositional || top < op->nrequired) return false;
  for (int i = 0; i < top; i++) {
    int type = op->params[i].type;
    mtb_handle *h = mtb_to_handle(L, i + 1);
    if (h) {
      if (!h->t || type > MT_P_OPERAND) return false;
      args[i].kind = MT_TENSOR;
      args[i].u.t = h->t;
    } else {
      if (type != MT_P_OPERAND && type != MT_P_SCALAR) return false;
      if (lua_type(L, i + 1) != LUA_TNUMBER) return false;
      mtb_number(L, g->st, i + 1, &args[i]);
    }
  }
  for (int i = top; i < op->nparams; i++) args[i] = op->params[i].def;
  return true;
}

/* The short way: one overload, one fresh result. */
static int call_quick(lua_State *L) {
  const group *g = lua_touserdata(L, lua_upvalueindex(1));
  mtb_state *st = g->st;
  int top = lua_gettop(L);
  mtb_call c;
  mtb_before_op(L, st);
  if (__builtin_expect(st->anomaly, 0)) return call_any(L);
  mtb_handle *h = mtb_new_handle(L, st);
  bool plain = read_plain(L, g, top, c.args);
  if (!plain) {
    begin(&c, g, 0, true);
    if (!mtb_read(L, &c, top)) mtb_raise_text(L, st);
    if (c.out) return call_given(L, &c, g, top);
  }
  int status = mt_call(g->ops[0], MT_CALL, c.args, &h->t);
  if (__builtin_expect(status != MT_OK, 0)) {
    int tries = 0;
    if (!mtb_may_retry(L, st, status, &tries)) mtb_raise(L, status);
    begin(&c, g, 0, true);
    if (!mtb_read(L, &c, top)) mtb_raise_text(L, st);
    MTB_CHECK(L, mt_call(c.op, MT_CALL, c.args, &h->t));
  }
  mtb_account(st, h->t);
  return 1;
}

/* x:op_(...): the short way likewise; the result is x as it stands on the stack. */
static int call_inplace_quick(lua_State *L) {
  const group *g = lua_touserdata(L, lua_upvalueindex(1));
  mtb_state *st = g->st;
  int top = lua_gettop(L);
  mt_arg args[MT_MAX_PARAMS];
  mtb_before_op(L, st);
  if (__builtin_expect(st->anomaly, 0) || !read_plain(L, g, top, args)) return call_any(L);
  mt_tensor *out[MT_MAX_OUT] = {NULL};
  int status = mt_call(g->ops[0], g->form, args, out);
  if (status == MT_ERR_MEMORY) return call_any(L); /* which collects and tries again */
  if (status != MT_OK) mtb_raise(L, status);
  mt_release(out[0]);
  lua_settop(L, 1);
  return 1;
}

/* ---- making the functions ---- */

static int compare_names(const void *a, const void *b) {
  const mt_op *x = *(const mt_op *const *)a, *y = *(const mt_op *const *)b;
  int c = strcmp(x->base, y->base);
  return c ? c : x->id - y->id;
}

/* Pushes the function of those of ops[0..n) that have all flags of want and none of not_want;
 * false if there are none. */
static bool push_group(lua_State *L, mtb_state *st, const mt_op *const *ops, int n, int form,
                       uint32_t want, uint32_t not_want) {
  const mt_op *found[MAX_OVERLOADS];
  int count = 0;
  for (int i = 0; i < n && count < MAX_OVERLOADS; i++)
    if ((ops[i]->def.flags & want) == want && !(ops[i]->def.flags & not_want))
      found[count++] = ops[i];
  if (!count) return false;
  group *g = lua_newuserdata(L, sizeof *g);
  memset(g, 0, sizeof *g);
  g->st = st;
  g->form = form;
  g->n = count;
  memcpy(g->ops, found, (size_t)count * sizeof *found);
  snprintf(g->name, sizeof g->name, "%s%s", ops[0]->base, form == MT_CALL_INPLACE ? "_" : "");
  lua_CFunction fn = call_any;
  if (count == 1 && form == MT_CALL && found[0]->nout == 1)
    fn = !found[0]->returns_self        ? call_quick
         : found[0]->first_written == 0 ? call_inplace_quick
                                        : fn;
  else if (count == 1 && form == MT_CALL_INPLACE)
    fn = call_inplace_quick;
  /* the function keeps its group by a second upvalue: the first is only its address */
  lua_pushlightuserdata(L, g);
  lua_insert(L, -2);
  lua_pushcclosure(L, fn, 2);
  return true;
}

/* table[name] = the function on top of the stack (popped), unless there is one already. */
static void put(lua_State *L, int table, const char *base, const char *suffix) {
  char name[48];
  snprintf(name, sizeof name, "%s%s", base, suffix);
  lua_getfield(L, table, name);
  bool there = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (there)
    lua_pop(L, 1);
  else
    lua_setfield(L, table, name);
}

/* ---- operators ---- */

/* A unary operator's function gets its operand twice. */
static int call_unary(lua_State *L) {
  lua_settop(L, 1);
  return call_quick(L);
}

static void add_operators(lua_State *L, mtb_state *st, int ops) {
  static const struct {
    const char *event, *op;
  } list[] = {{"__add", "add"},       {"__sub", "sub"}, {"__mul", "mul"},          {"__div", "div"},
              {"__mod", "remainder"}, {"__pow", "pow"}, {"__idiv", "floor_divide"}};
  mtb_push_place(L, st, MTB_META_TENSOR);
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    lua_getfield(L, ops, list[i].op);
    lua_setfield(L, -2, list[i].event);
  }
  lua_getfield(L, ops, "neg");
  if (lua_isfunction(L, -1)) {
    lua_getupvalue(L, -1, 1);
    lua_getupvalue(L, -2, 2);
    lua_pushcclosure(L, call_unary, 2);
    lua_setfield(L, -3, "__unm");
  }
  lua_pop(L, 2);
}

/* core.call_hidden(name, ...) */
static int call_hidden(lua_State *L) {
  lua_pushvalue(L, 1);
  lua_rawget(L, lua_upvalueindex(2));
  if (lua_isnil(L, -1)) mtb_error(L, "there is no hidden op '%s'", luaL_checkstring(L, 1));
  lua_replace(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

void mtb_open_ops(lua_State *L, mtb_state *st) {
  enum { NO = MT_OP_HIDDEN };
  int module = lua_gettop(L), ops = module + 1, inplace = ops + 1, hidden = ops + 2,
      methods = ops + 3, n = 0;
  lua_newtable(L);
  lua_newtable(L);
  lua_newtable(L);
  mtb_push_place(L, st, MTB_METHODS);
  const mt_op **list = lua_newuserdata(L, (size_t)mt_op_count() * sizeof *list + 1);
  for (int id = 0; id < mt_op_count(); id++)
    if (mt_op_at(id)->base[0]) list[n++] = mt_op_at(id);
  qsort(list, (size_t)n, sizeof *list, compare_names);
  for (int pass = 0; pass < 2; pass++) /* in-place forms last: a row of its own comes first */
    for (int i = 0, end; i < n; i = end) {
      const char *base = list[i]->base;
      for (end = i + 1; end < n && strcmp(list[end]->base, base) == 0;) end++;
      const mt_op *const *o = list + i;
      int k = end - i;
      if (pass == 0) {
        if (push_group(L, st, o, k, MT_CALL, MT_OP_HIDDEN, 0)) put(L, hidden, base, "");
        if (push_group(L, st, o, k, MT_CALL, 0, NO)) put(L, ops, base, "");
        if (push_group(L, st, o, k, MT_CALL, MT_OP_METHOD, NO)) put(L, methods, base, "");
        continue;
      }
      if (push_group(L, st, o, k, MT_CALL_INPLACE, MT_OP_INPLACE | MT_OP_HIDDEN, 0))
        put(L, hidden, base, "_");
      if (push_group(L, st, o, k, MT_CALL_INPLACE, MT_OP_INPLACE, NO)) put(L, inplace, base, "_");
      if (push_group(L, st, o, k, MT_CALL_INPLACE, MT_OP_INPLACE | MT_OP_METHOD, NO))
        put(L, methods, base, "_");
    }
  add_operators(L, st, ops);
  lua_settop(L, hidden);
  lua_pushlightuserdata(L, st);
  lua_pushvalue(L, hidden);
  lua_pushcclosure(L, call_hidden, 2);
  lua_setfield(L, module, "call_hidden");
  lua_setfield(L, module, "hidden");
  lua_setfield(L, module, "inplace");
  lua_setfield(L, module, "ops");
}
