/* info.c: the op table as Lua values, for the library, the documentation and the specs. */
#include <stdio.h>
#include <string.h>

#include "binding.h"

static const char *type_name(const mt_param *q) {
  static const char *const names[] = {[MT_P_TENSOR] = "Tensor",
                                      [MT_P_OPERAND] = "Operand",
                                      [MT_P_SCALAR] = "Scalar",
                                      [MT_P_TENSORS] = "Tensor[]",
                                      [MT_P_INT] = "int",
                                      [MT_P_FLOAT] = "float",
                                      [MT_P_BOOL] = "bool",
                                      [MT_P_STR] = "str",
                                      [MT_P_DTYPE] = "dtype",
                                      [MT_P_DEVICE] = "device",
                                      [MT_P_GENERATOR] = "generator",
                                      [MT_P_DIM] = "dim",
                                      [MT_P_DIMS] = "dims",
                                      [MT_P_INDEX] = "index",
                                      [MT_P_SIZE] = "size",
                                      [MT_P_INTS] = "ints",
                                      [MT_P_FLOATS] = "floats",
                                      [MT_P_INT2] = "int2",
                                      [MT_P_INT3] = "int3",
                                      [MT_P_CHOICE] = "choice"};
  return names[q->type];
}

static void set_bool(lua_State *L, const char *name, bool v) {
  lua_pushboolean(L, v);
  lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const char *v) {
  if (v)
    lua_pushstring(L, v);
  else
    lua_pushnil(L);
  lua_setfield(L, -2, name);
}

/* Pushes the words of a choice. */
static void push_choices(lua_State *L, const char *p) {
  lua_newtable(L);
  for (int i = 1;; i++) {
    size_t n = strcspn(p, "|)");
    lua_pushlstring(L, p, n);
    lua_rawseti(L, -2, i);
    if (p[n] != '|') return;
    p += n + 1;
  }
}

/* Dims stand 1-based for Lua. */
static lua_Number seen(const mt_param *q, int64_t v) {
  bool dim = q->type == MT_P_DIM || q->type == MT_P_DIMS;
  return (lua_Number)(dim && v >= 0 ? v + 1 : v);
}

/* Pushes a default; nil for None. */
static void push_default(lua_State *L, const mt_param *q) {
  const mt_arg *a = &q->def;
  switch (a->kind) {
  case MT_INT:
    if (q->type == MT_P_CHOICE) {
      push_choices(L, q->choices);
      lua_rawgeti(L, -1, (int)a->u.i + 1);
      lua_remove(L, -2);
    } else {
      lua_pushnumber(L, seen(q, a->u.i));
    }
    break;
  case MT_FLOAT:
    lua_pushnumber(L, (lua_Number)a->u.f);
    break;
  case MT_TRUTH:
    lua_pushboolean(L, a->u.i != 0);
    break;
  case MT_INTS:
    lua_createtable(L, a->n, 0);
    for (int i = 0; i < a->n; i++) {
      lua_pushnumber(L, seen(q, a->u.is[i]));
      lua_rawseti(L, -2, i + 1);
    }
    break;
  default:
    lua_pushnil(L);
  }
}

static void push_param(lua_State *L, const mt_param *q) {
  lua_newtable(L);
  set_string(L, "name", q->name);
  set_string(L, "type", type_name(q));
  set_bool(L, "optional", q->optional);
  set_bool(L, "has_default", q->has_default);
  set_bool(L, "keyword_only", q->keyword_only);
  set_bool(L, "written", q->written);
  set_bool(L, "star", q->star);
  set_bool(L, "gaps", q->gaps);
  push_default(L, q);
  lua_setfield(L, -2, "default");
  if (q->choices) {
    push_choices(L, q->choices);
    lua_setfield(L, -2, "choices");
  }
}

static void push_info(lua_State *L, const mt_op *op) {
  uint32_t flags = op->def.flags;
  lua_newtable(L);
  set_string(L, "name", op->name);
  set_string(L, "base", op->base);
  set_string(L, "signature", op->def.sig);
  set_string(L, "doc", op->def.doc);
  set_string(L, "samples", op->def.samples);
  set_string(L, "node", op->node);
  static const struct {
    const char *name;
    uint32_t flag;
  } names[] = {{"method", MT_OP_METHOD},
               {"inplace", MT_OP_INPLACE},
               {"view", MT_OP_VIEW},
               {"reads", MT_OP_READS},
               {"hidden", MT_OP_HIDDEN},
               {"method_only", MT_OP_NO_FUNCTION},
               {"functional", MT_OP_FUNCTIONAL},
               {"multiview", MT_OP_MULTIVIEW},
               {"leaf_ok", MT_OP_LEAF_OK},
               {"linalg", MT_OP_LINALG},
               {"contiguous", MT_OP_CONTIGUOUS},
               {"mixed_device", MT_OP_MIXED_DEVICE},
               {"no_autograd", MT_OP_NO_AUTOGRAD}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    set_bool(L, names[i].name, (flags & names[i].flag) != 0);
  set_bool(L, "composite", op->def.composite != NULL);
  set_bool(L, "differentiable",
           !(flags & MT_OP_NO_AUTOGRAD) && (op->def.vjp != NULL || op->def.composite != NULL));
  set_bool(L, "returns_self", op->returns_self);
  set_bool(L, "returns_list", op->nout < 0);
  lua_newtable(L);
  for (int k = 0; k < op->nout; k++) {
    lua_pushstring(L, op->outname[k]);
    lua_rawseti(L, -2, k + 1);
  }
  lua_setfield(L, -2, "results");
  lua_newtable(L);
  for (int d = 0, n = 0; d < MT_NDTYPES; d++)
    if (op->def.dtypes >> d & 1) {
      lua_pushstring(L, mt_dtype_name(d));
      lua_rawseti(L, -2, ++n);
    }
  lua_setfield(L, -2, "dtypes");
  lua_createtable(L, op->nparams, 0);
  for (int p = 0; p < op->nparams; p++) {
    push_param(L, &op->params[p]);
    lua_rawseti(L, -2, p + 1);
  }
  lua_setfield(L, -2, "params");
}

/* core.op_info(name): by full name ("max.dim") or by base name (then the first overload, with
 * all of them in .overloads); nil if there is none. Hidden ops too. */
static int op_info(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const mt_op *op = mt_op_find(name);
  for (int id = 0; id < mt_op_count() && !op; id++)
    if (strcmp(mt_op_at(id)->base, name) == 0) op = mt_op_at(id);
  if (!op) return 0;
  push_info(L, op);
  lua_newtable(L);
  for (int id = 0, n = 0; id < mt_op_count(); id++)
    if (strcmp(mt_op_at(id)->base, op->base) == 0) {
      lua_pushstring(L, mt_op_at(id)->name);
      lua_rawseti(L, -2, ++n);
    }
  lua_setfield(L, -2, "overloads");
  return 1;
}

/* core.op_list(): the full names of all ops, hidden ones too, in the order of the table */
static int op_list(lua_State *L) {
  lua_createtable(L, mt_op_count(), 0);
  for (int id = 0, n = 0; id < mt_op_count(); id++) {
    if (!mt_op_at(id)->name[0]) continue;
    lua_pushstring(L, mt_op_at(id)->name);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

void mtb_open_info(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"op_info", op_info}, {"op_list", op_list}, {NULL, NULL}};
  mtb_functions(L, st, list);
}
