/* property.c: x.name: methods, properties, and what happens for names that are neither.
 *
 * Looking a name up is on the hot path of every method call, so __index is a Lua function that
 * looks into the table of methods and calls C for the rest only: properties, and indexing with
 * anything that is not a string.
 */
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "internal.h"

static const char index_source[] = "local methods, other = ...\n"
                                   "return function(x, k)\n"
                                   "  local m = methods[k]\n"
                                   "  if m ~= nil then return m end\n"
                                   "  return other(x, k)\n"
                                   "end\n";

enum property {
  P_SHAPE = 1,
  P_DTYPE,
  P_DEVICE,
  P_NDIM,
  P_GRAD,
  P_GRAD_FN,
  P_REQUIRES_GRAD,
  P_IS_LEAF,
  P_DATA,
  P_T,
  P_MT,
  P_IS_CUDA,
  P_IS_CPU,
  P_IS_META,
  P_IS_VIEW,
  P_ITEMSIZE,
  P_NBYTES,
  P_RETAINS_GRAD,
  P_OUTPUT_NR,
  P_BASE,
  P_VERSION,
  P_IS_INFERENCE
};

static const struct {
  const char *name;
  enum property id;
} properties[] = {{"shape", P_SHAPE},
                  {"dtype", P_DTYPE},
                  {"device", P_DEVICE},
                  {"ndim", P_NDIM},
                  {"grad", P_GRAD},
                  {"grad_fn", P_GRAD_FN},
                  {"requires_grad", P_REQUIRES_GRAD},
                  {"is_leaf", P_IS_LEAF},
                  {"data", P_DATA},
                  {"T", P_T},
                  {"mT", P_MT},
                  {"is_cuda", P_IS_CUDA},
                  {"is_cpu", P_IS_CPU},
                  {"is_meta", P_IS_META},
                  {"is_view", P_IS_VIEW},
                  {"itemsize", P_ITEMSIZE},
                  {"nbytes", P_NBYTES},
                  {"retains_grad", P_RETAINS_GRAD},
                  {"output_nr", P_OUTPUT_NR},
                  {"_base", P_BASE},
                  {"_version", P_VERSION},
                  {"is_inference", P_IS_INFERENCE}};

/* ---- names that are not there ---- */

static void try_names(lua_State *L, mtb_state *st, int place, mtb_near *near) {
  mtb_push_place(L, st, place);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING) mtb_near_try(near, lua_tostring(L, -2));
  lua_pop(L, 1); /* the strings stay: the table holds them */
}

static int no_field(lua_State *L, mtb_state *st, const char *name) {
  mtb_near near = mtb_near_to(name);
  if (name[0] >= '0' && name[0] <= '9')
    mtb_error(L, "a tensor has no field '%.40s': an index is a number, not a string", name);
  try_names(L, st, MTB_PROPERTIES, &near);
  try_names(L, st, MTB_METHODS, &near);
  if (near.best)
    return mtb_error(L, "a tensor has no field '%.60s'; did you mean '%s'?", name, near.best);
  return mtb_error(L, "a tensor has no field '%.60s'", name);
}

/* ---- reading ---- */

static mt_tensor *self_of(lua_State *L, mtb_state *st, const char *name) {
  mtb_handle *h = mtb_to_handle(L, 1);
  if (h && h->t) return h->t;
  char text[80];
  snprintf(text, sizeof text, "x.%.40s", name);
  if (!h) mtb_error(L, "%s: x is no tensor", text);
  mtb_closed_text(L, st, h, text, "x");
  mtb_raise_text(L, st);
}

static const mt_op *op_named(const char *name) {
  static const mt_op *permute, *transpose;
  const mt_op **op = *name == 'p' ? &permute : &transpose;
  if (!*op) *op = mt_op_find(name);
  return *op;
}

/* x.T: all dimensions in reverse; x.mT: the last two swapped. */
static void push_transposed(lua_State *L, mtb_state *st, bool matrix) {
  mtb_handle *h = mtb_new_handle(L, st);
  mt_tensor *t = self_of(L, st, "T");
  int64_t dims[MT_MAX_DIMS];
  mt_arg args[3] = {mt__arg_t(t), mt__arg_i(-2), mt__arg_i(-1)};
  if (matrix && t->ndim < 2) mtb_error(L, "x.mT: expected at least 2 dimensions, got %d", t->ndim);
  if (!matrix) {
    for (int d = 0; d < t->ndim; d++) dims[d] = t->ndim - 1 - d;
    args[1] = (mt_arg){.kind = MT_INTS, .n = t->ndim};
    args[1].u.is = dims;
  }
  int status = mtb_invoke(L, st, op_named(matrix ? "transpose" : "permute"), MT_CALL, args, &h->t);
  MTB_CHECK(L, status);
}

static void push_grad_fn(lua_State *L, mtb_state *st) {
  mtb_box *b = mtb_new_box(L, st, &mtb_tag_node, MTB_META_NODE);
  MTB_CHECK(L, mt_grad_fn(&b->u.node, self_of(L, st, "grad_fn")));
  if (!b->u.node) lua_pushnil(L);
}

static void push_grad(lua_State *L, mtb_state *st) {
  mt_tensor *grad = NULL;
  if (!self_of(L, st, "grad")->grad) {
    lua_pushnil(L);
    return;
  }
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK(L, mt_grad(&grad, self_of(L, st, "grad")));
  h->t = mt_retain(grad);
}

static void push_property(lua_State *L, mtb_state *st, int id, const char *name) {
  mt_tensor *t = self_of(L, st, name);
  switch (id) {
  case P_SHAPE:
    mtb_push_size(L, st, t->ndim, t->sizes);
    break;
  case P_DTYPE:
    mtb_push_dtype(L, st, t->dtype);
    break;
  case P_DEVICE:
    mtb_push_device(L, t->device);
    break;
  case P_NDIM:
    lua_pushinteger(L, t->ndim);
    break;
  case P_GRAD:
    push_grad(L, st);
    break;
  case P_GRAD_FN:
    push_grad_fn(L, st);
    break;
  case P_REQUIRES_GRAD:
    lua_pushboolean(L, mt_requires_grad(t));
    break;
  case P_IS_LEAF:
    lua_pushboolean(L, mt_is_leaf(t));
    break;
  case P_DATA: {
    mtb_handle *h = mtb_new_handle(L, st);
    MTB_CHECK_MEMORY(L, st, mt_data_alias(&h->t, self_of(L, st, name)));
    break;
  }
  case P_T:
    push_transposed(L, st, false);
    break;
  case P_MT:
    push_transposed(L, st, true);
    break;
  case P_IS_CUDA:
    lua_pushboolean(L, t->device >= MT_CUDA);
    break;
  case P_IS_CPU:
    lua_pushboolean(L, t->device == MT_CPU);
    break;
  case P_IS_META:
    lua_pushboolean(L, t->device == MT_META);
    break;
  case P_IS_VIEW:
    lua_pushboolean(L, t->base != NULL);
    break;
  case P_ITEMSIZE:
    lua_pushinteger(L, mt__esize(t->dtype));
    break;
  case P_NBYTES:
    lua_pushnumber(L, (lua_Number)(t->numel * mt__esize(t->dtype)));
    break;
  case P_RETAINS_GRAD:
    lua_pushboolean(L, (t->flags & MT_T_RETAIN_GRAD) != 0);
    break;
  case P_OUTPUT_NR:
    lua_pushinteger(L, (lua_Integer)t->out_nr + 1);
    break;
  case P_BASE:
    mtb_push_tensor(L, st, t->base);
    break;
  case P_VERSION:
    lua_pushinteger(L, (lua_Integer)mt_version(t));
    break;
  case P_IS_INFERENCE:
    lua_pushboolean(L, (t->flags & MT_T_INFERENCE) != 0);
    break;
  default:
    lua_pushnil(L);
  }
}

/* What __index does not find among the methods. */
static int read_other(lua_State *L) {
  mtb_state *st = mtb_up(L);
  if (lua_type(L, 2) != LUA_TSTRING) return mtb_index(L);
  mtb_push_place(L, st, MTB_PROPERTIES);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  int id = (int)lua_tointeger(L, -1);
  const char *name = lua_tostring(L, 2);
  if (!id) return no_field(L, st, name);
  push_property(L, st, id, name);
  return 1;
}

/* ---- setting ---- */

/* x.data = y: x takes y's memory, sizes, strides, dtype and device. */
static void set_data(lua_State *L, mtb_state *st) {
  mt_tensor *t = self_of(L, st, "data"), *y = mtb_check_tensor(L, 3, "x.data");
  char a[200], b[200];
  if (t->node && (t->dtype != y->dtype || t->device != y->device))
    mtb_error(L, "x.data: x has a history, so its dtype and device stay: x is %s, the data %s",
              mt__describe(a, sizeof a, t), mt__describe(b, sizeof b, y));
  if (t->base) mtb_error(L, "x.data: a view cannot take other data");
  if ((t->flags & MT_T_REQUIRES_GRAD) && !mt__is_float(y->dtype))
    mtb_error(L, "x.data: x requires grad, so the data must be floating point, got %s",
              mt_dtype_name(y->dtype));
  mt_tensor *alias = NULL; /* memory under a version counter of its own */
  MTB_CHECK_MEMORY(L, st, mt_data_alias(&alias, mtb_check_tensor(L, 3, "x.data")));
  mt_storage *old = t->storage;
  t->storage = alias->storage;
  alias->storage = old;
  t->dtype = alias->dtype;
  t->device = alias->device;
  t->dtype = alias->dtype;
  t->device = alias->device;
  t->ndim = alias->ndim;
  t->numel = alias->numel;
  t->offset = alias->offset;
  memcpy(t->sizes, alias->sizes, sizeof t->sizes);
  memcpy(t->strides, alias->strides, sizeof t->strides);
  mt__set_contiguous_flag(t);
  mt_release(alias);
}

static int write_field(lua_State *L) {
  mtb_state *st = mtb_up(L);
  char got[300];
  if (lua_type(L, 2) != LUA_TSTRING) return mtb_assign(L);
  const char *name = lua_tostring(L, 2);
  if (strcmp(name, "grad") == 0) {
    mt_tensor *g = lua_isnil(L, 3) ? NULL : mtb_check_tensor(L, 3, "x.grad");
    MTB_CHECK(L, mt_set_grad(self_of(L, st, name), g));
  } else if (strcmp(name, "requires_grad") == 0) {
    if (lua_type(L, 3) != LUA_TBOOLEAN)
      mtb_error(L, "x.requires_grad must be true or false, got %s",
                mtb_describe(L, 3, got, sizeof got));
    MTB_CHECK(L, mt_set_requires_grad(self_of(L, st, name), lua_toboolean(L, 3)));
  } else if (strcmp(name, "data") == 0) {
    set_data(L, st);
  } else {
    mtb_error(L, "a tensor has no field '%.60s' that can be set (grad, requires_grad and data can)",
              name);
  }
  return 0;
}

void mtb_open_property(lua_State *L, mtb_state *st) {
  lua_createtable(L, 0, 32);
  for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
    lua_pushinteger(L, properties[i].id);
    lua_setfield(L, -2, properties[i].name);
  }
  mtb_set_place(L, st, MTB_PROPERTIES);
  mtb_push_place(L, st, MTB_META_TENSOR);
  if (luaL_loadbuffer(L, index_source, sizeof index_source - 1, "=[moontorch]") != LUA_OK)
    lua_error(L);
  mtb_push_place(L, st, MTB_METHODS);
  lua_pushlightuserdata(L, st);
  lua_pushcclosure(L, read_other, 1);
  lua_call(L, 2, 1);
  lua_setfield(L, -2, "__index");
  lua_pushlightuserdata(L, st);
  lua_pushcclosure(L, write_field, 1);
  lua_setfield(L, -2, "__newindex");
  lua_pop(L, 1);
}
