/* move.c: tensors to another dtype or device: to, float, cuda, type and their like.
 *
 * A tensor that is already as wanted is returned as it is, the same handle. Everything else is
 * one op, so it is recorded. */
#include <stdio.h>
#include <string.h>

#include "binding.h"

static const struct {
  const char *method, *type;
} names[MT_NDTYPES] = {
    [MT_BOOL] = {"bool", "BoolTensor"},      [MT_UINT8] = {"byte", "ByteTensor"},
    [MT_INT8] = {"char", "CharTensor"},      [MT_INT16] = {"short", "ShortTensor"},
    [MT_INT32] = {"int", "IntTensor"},       [MT_INT64] = {"long", "LongTensor"},
    [MT_FLOAT16] = {"half", "HalfTensor"},   [MT_BFLOAT16] = {"bfloat16", "BFloat16Tensor"},
    [MT_FLOAT32] = {"float", "FloatTensor"}, [MT_FLOAT64] = {"double", "DoubleTensor"},
};

int mtb_copy_to(mt_tensor **out, mt_tensor *t, int dtype, int device) {
  static const mt_op *op;
  if (!op) op = mt_op_find("_to_copy");
  mt_arg args[MT_MAX_PARAMS];
  args[0] = mt__arg_t(t);
  for (int p = 1; p < op->nparams; p++)
    args[p] = op->params[p].type == MT_P_DTYPE    ? mt__arg_i(dtype)
              : op->params[p].type == MT_P_DEVICE ? mt__arg_i(device)
                                                  : op->params[p].def;
  return mt_call(op, MT_CALL, args, out);
}

void mtb_move(lua_State *L, mtb_state *st, int idx, int dtype, int device, bool copy) {
  mt_tensor *t = mtb_check_tensor(L, idx, "to");
  if (dtype < 0) dtype = t->dtype;
  if (device < 0) device = t->device;
  if (!copy && dtype == t->dtype && device == t->device) return;
  mtb_before_op(L, st);
  if (st->anomaly) mt_set_site(mtb_site(L, st));
  idx = mtb_absindex(L, idx);
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mtb_copy_to(&h->t, mtb_check_tensor(L, idx, "to"), dtype, device));
  mtb_account(st, h->t);
  lua_replace(L, idx);
}

static int moved(lua_State *L, int dtype, int device, bool copy) {
  lua_settop(L, 1);
  mtb_move(L, mtb_up(L), 1, dtype, device, copy);
  return 1;
}

/* ---- to ---- */

static bool option_flag(lua_State *L, int idx, const char *name) {
  return mtb_bool_option(L, idx, "to", name, false);
}

/* x:to(dtype | device | tensor, ... [, non_blocking [, copy]] [, keywords]) */
static int to(lua_State *L) {
  static const char *const keywords[] = {"dtype", "device", "other", "copy", "non_blocking", NULL};
  int dtype = -1, device = -1, flags = 0, last = lua_gettop(L);
  bool copy = false;
  char got[300];
  mtb_check_tensor(L, 1, "to");
  if (last > 1 && lua_istable(L, last)) {
    mtb_check_options(L, last, "to", keywords);
    if (mtb_option(L, last, "other")) {
      mt_tensor *other = mtb_check_tensor(L, -1, "to: other");
      dtype = other->dtype;
      device = other->device;
    }
    if (mtb_option(L, last, "dtype")) dtype = mtb_check_dtype(L, -1, "to: dtype");
    if (mtb_option(L, last, "device")) device = mtb_check_device(L, -1, "to: device");
    copy = option_flag(L, last, "copy");
    option_flag(L, last, "non_blocking");
    lua_settop(L, last--);
  }
  for (int i = 2; i <= last; i++) {
    int d;
    if (lua_isnil(L, i)) continue;
    if (mtb_to_handle(L, i)) {
      mt_tensor *other = mtb_check_tensor(L, i, "to: other");
      dtype = other->dtype;
      device = other->device;
    } else if (mtb_to_dtype(L, i, &d)) {
      dtype = d;
    } else if (lua_type(L, i) == LUA_TSTRING) {
      if (mt_device_parse(&device, lua_tostring(L, i)) != MT_OK)
        mtb_error(L, "to: %s is neither a dtype nor a device", mtb_describe(L, i, got, sizeof got));
    } else if (lua_type(L, i) == LUA_TBOOLEAN && flags < 2) {
      if (flags++ == 1) copy = lua_toboolean(L, i); /* non_blocking comes first */
    } else {
      mtb_error(L, "to: expected a dtype, a device or a tensor, got %s",
                mtb_describe(L, i, got, sizeof got));
    }
  }
  return moved(L, dtype, device, copy);
}

static int type_as(lua_State *L) {
  mtb_check_tensor(L, 1, "type_as");
  mt_tensor *other = mtb_check_tensor(L, 2, "type_as: other");
  return moved(L, other->dtype, other->device, false);
}

/* ---- one method a dtype, and devices ---- */

static int to_dtype(lua_State *L) {
  mtb_check_tensor(L, 1, names[lua_tointeger(L, lua_upvalueindex(2))].method);
  return moved(L, (int)lua_tointeger(L, lua_upvalueindex(2)), -1, false);
}

static int cpu(lua_State *L) {
  mtb_check_tensor(L, 1, "cpu");
  return moved(L, -1, MT_CPU, false);
}

/* x:cuda([ordinal or device]) */
static int cuda(lua_State *L) {
  int device = 0;
  mtb_check_tensor(L, 1, "cuda");
  if (lua_type(L, 2) == LUA_TNUMBER) {
    int64_t n = mtb_check_whole(L, 2, "cuda: the device");
    if (n < 0 || n > 1000) mtb_error(L, "cuda: there is no device %lld", (long long)n);
    device = MT_CUDA + (int)n;
  } else if (lua_isnoneornil(L, 2)) {
    MTB_CHECK(L, mt_device_parse(&device, "cuda"));
  } else {
    device = mtb_check_device(L, 2, "cuda: the device");
  }
  return moved(L, -1, device, false);
}

/* ---- Torch7's type names ---- */

/* x:type(): "torch.FloatTensor"; x:type(name or dtype): converted */
static int type(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "type");
  int dtype = -1, device = -1;
  char got[300];
  if (lua_isnoneornil(L, 2)) {
    lua_pushfstring(L, "torch.%s%s", t->device >= MT_CUDA ? "cuda." : "", names[t->dtype].type);
    return 1;
  }
  if (mtb_to_dtype(L, 2, &dtype)) return moved(L, dtype, -1, false);
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strncmp(name, "torch.cuda.", 11) == 0) {
    MTB_CHECK(L, mt_device_parse(&device, "cuda"));
    name += 11;
  } else if (strncmp(name, "torch.", 6) == 0) {
    device = MT_CPU;
    name += 6;
  }
  for (int d = 0; d < MT_NDTYPES && dtype < 0; d++)
    if (strcmp(names[d].type, name) == 0) dtype = d;
  if (dtype < 0)
    mtb_error(L, "type: expected a dtype or a name such as 'torch.FloatTensor', got %s",
              mtb_describe(L, 2, got, sizeof got));
  return moved(L, dtype, device, false);
}

void mtb_open_move(lua_State *L, mtb_state *st) {
  static const mtb_function methods[] = {{"to", to},     {"type_as", type_as}, {"cpu", cpu},
                                         {"cuda", cuda}, {"type", type},       {NULL, NULL}};
  mtb_push_place(L, st, MTB_METHODS);
  mtb_functions(L, st, methods);
  for (int d = 0; d < MT_NDTYPES; d++) {
    lua_pushlightuserdata(L, st);
    lua_pushinteger(L, d);
    lua_pushcclosure(L, to_dtype, 2);
    lua_setfield(L, -2, names[d].method);
  }
  lua_pop(L, 1);
}
