/* tensor.c: handles, the metatable, and the methods that are no ops and only ask or set.
 *
 * A handle is one reference to an mt_tensor. Grad, hooks and flags live on the C tensor, so two
 * handles to it are equal. The finalizer only drops the reference.
 */
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "internal.h"

const char mtb_tag_tensor = 0;

/* ---- handles ---- */

mtb_handle *mtb_new_handle(lua_State *L, mtb_state *st) {
  mtb_handle *h = lua_newuserdata(L, sizeof *h);
  h->tag = &mtb_tag_tensor;
  h->t = NULL;
  h->scope = NULL;
  h->slot = h->closed = 0;
  mtb_push_place(L, st, MTB_META_TENSOR);
  lua_setmetatable(L, -2);
  if (__builtin_expect(st->scope != NULL, 0)) mtb_scope_add(L, st, h);
  return h;
}

void mtb_push_tensor(lua_State *L, mtb_state *st, mt_tensor *t) {
  if (!t)
    lua_pushnil(L);
  else
    mtb_new_handle(L, st)->t = mt_retain(t);
}

void mtb_close_handle(mtb_handle *h, uint32_t why) {
  mt_tensor *t = h->t;
  if (h->scope) mtb_scope_forget(h);
  h->t = NULL;
  h->closed = why;
  mt_release(t);
}

void mtb_closed_text(lua_State *L, mtb_state *st, const mtb_handle *h, const char *who,
                     const char *what) {
  char *text = st->text;
  size_t size = sizeof st->text;
  if (h->closed == 0)
    snprintf(text, size, "%s: %s is a tensor that was never filled", who, what);
  else if (h->closed == 1)
    snprintf(text, size, "%s: %s was released by :release()", who, what);
  else {
    mtb_push_site(L, st, h->closed - 2);
    const char *site = lua_tostring(L, -1);
    snprintf(text, size, "%s: %s was made inside torch.scope (%s); return it or torch.keep it", who,
             what, site ? site : "?");
    lua_pop(L, 1);
  }
}

mtb_handle *mtb_check_handle(lua_State *L, int idx, const char *who) {
  mtb_handle *h = mtb_to_handle(L, idx);
  if (h && h->t) return h;
  char got[300];
  mtb_state *st = mtb_state_of(L);
  if (!h && idx == 1)
    mtb_error(L, "%s: the first argument must be a tensor, got %s; a method is called with a colon",
              who, mtb_describe(L, idx, got, sizeof got));
  if (!h) mtb_error(L, "%s: expected a tensor, got %s", who, mtb_describe(L, idx, got, sizeof got));
  mtb_closed_text(L, st, h, who, "the tensor");
  mtb_raise_text(L, st);
}

mt_tensor *mtb_check_tensor(lua_State *L, int idx, const char *who) {
  mtb_handle *h = mtb_to_handle(L, idx);
  return __builtin_expect(h && h->t, 1) ? h->t : mtb_check_handle(L, idx, who)->t;
}

mtb_box *mtb_new_box(lua_State *L, mtb_state *st, const char *tag, int meta) {
  mtb_box *b = lua_newuserdata(L, sizeof *b);
  b->tag = tag;
  b->u.p = NULL;
  mtb_push_place(L, st, meta);
  lua_setmetatable(L, -2);
  return b;
}

/* ---- metamethods ---- */

static int tensor_gc(lua_State *L) {
  mtb_handle *h = mtb_to_handle(L, 1);
  if (!h) return 0;
  bool graph = h->t && h->t->node;
  mtb_close_handle(h, 1);
  if (graph) mtb_drop_tokens(L, mtb_up(L)); /* of nodes that went with it */
  return 0;
}

static int tensor_eq(lua_State *L) {
  mtb_handle *a = mtb_to_handle(L, 1), *b = mtb_to_handle(L, 2);
  lua_pushboolean(L, a && b && a->t && a->t == b->t);
  return 1;
}

static int tensor_len(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "#");
  if (t->ndim == 0) mtb_error(L, "#: a 0-dim tensor has no length");
  lua_pushnumber(L, (lua_Number)t->sizes[0]);
  return 1;
}

static int tensor_tostring(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mtb_handle *h = mtb_to_handle(L, 1);
  char text[256];
  if (!h || !h->t) {
    lua_pushliteral(L, "tensor(closed)");
    return 1;
  }
  mtb_push_place(L, st, MTB_PRINTER);
  if (!lua_isfunction(L, -1)) {
    lua_pushfstring(L, "tensor(%s)", mt__describe(text, sizeof text, h->t));
    return 1;
  }
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

static int tensor_concat(lua_State *L) {
  return mtb_error(L, "a tensor cannot be joined with '..': use :item() for the number of a tensor "
                      "with one element, or tostring(x)");
}

static int tensor_compare(lua_State *L) {
  return mtb_error(L, "'<' gives one boolean, which two tensors have not: compare elementwise with "
                      "x:lt(y), :le, :gt, :ge, or compare numbers, x:item() < y:item()");
}

/* ---- sizes ---- */

/* A 1-based or negative dim at idx as 0-based. */
static int check_dim(lua_State *L, int idx, const mt_tensor *t, const char *who) {
  char name[64];
  snprintf(name, sizeof name, "%s: dim", who);
  int64_t d = mtb_check_whole(L, idx, name);
  int n = t->ndim ? t->ndim : 1;
  if (d == 0) mtb_error(L, "%s: dim is 0: dimensions count from 1", who);
  if (d < -n || d > n || !t->ndim)
    mtb_error(L,
              "%s: Dimension out of range (expected to be in range of [1, %d] or [-%d, -1], but "
              "got %lld)",
              who, n, n, (long long)d);
  return (int)(d < 0 ? d + n : d - 1);
}

static int tensor_size(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "size");
  if (lua_isnoneornil(L, 2))
    mtb_push_size(L, mtb_up(L), t->ndim, t->sizes);
  else
    lua_pushnumber(L, (lua_Number)t->sizes[check_dim(L, 2, t, "size")]);
  return 1;
}

static int tensor_stride(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "stride");
  if (lua_isnoneornil(L, 2))
    mtb_push_size(L, mtb_up(L), t->ndim, t->strides);
  else
    lua_pushnumber(L, (lua_Number)t->strides[check_dim(L, 2, t, "stride")]);
  return 1;
}

/* x:has_shape(2, 3), x:has_shape({2, 3}) */
static int tensor_has_shape(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "has_shape");
  bool list = lua_istable(L, 2);
  int n = list ? (int)lua_objlen(L, 2) : lua_gettop(L) - 1;
  bool same = n == t->ndim;
  for (int i = 0; i < n && same; i++) {
    if (list) lua_rawgeti(L, 2, i + 1);
    same = lua_tonumber(L, list ? -1 : i + 2) == (lua_Number)t->sizes[i];
    if (list) lua_pop(L, 1);
  }
  lua_pushboolean(L, same);
  return 1;
}

static int tensor_dim(lua_State *L) {
  lua_pushinteger(L, mtb_check_tensor(L, 1, "dim")->ndim);
  return 1;
}

static int tensor_numel(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mtb_check_tensor(L, 1, "numel")->numel);
  return 1;
}

static int tensor_element_size(lua_State *L) {
  lua_pushinteger(L, mt_dtype_size(mtb_check_tensor(L, 1, "element_size")->dtype));
  return 1;
}

static int tensor_storage_offset(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mtb_check_tensor(L, 1, "storage_offset")->offset);
  return 1;
}

static int tensor_is_contiguous(lua_State *L) {
  lua_pushboolean(L, mt_is_contiguous(mtb_check_tensor(L, 1, "is_contiguous")));
  return 1;
}

static int tensor_is_floating_point(lua_State *L) {
  lua_pushboolean(L, mt__is_float(mtb_check_tensor(L, 1, "is_floating_point")->dtype));
  return 1;
}

static int tensor_is_complex(lua_State *L) {
  mtb_check_tensor(L, 1, "is_complex");
  lua_pushboolean(L, 0);
  return 1;
}

static int tensor_is_signed(lua_State *L) {
  int dtype = mtb_check_tensor(L, 1, "is_signed")->dtype;
  lua_pushboolean(L, dtype != MT_BOOL && dtype != MT_UINT8);
  return 1;
}

static int tensor_get_device(lua_State *L) {
  int device = mtb_check_tensor(L, 1, "get_device")->device;
  lua_pushinteger(L, device >= MT_CUDA ? device - MT_CUDA : -1);
  return 1;
}

static int tensor_data_ptr(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "data_ptr");
  mtb_push_pointer(L, mtb_up(L), mt_data(t), t->dtype);
  return 1;
}

static int tensor_id(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mt_id(mtb_check_tensor(L, 1, "id")));
  return 1;
}

static int tensor_storage_id(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mt_storage_id(mtb_check_tensor(L, 1, "storage_id")));
  return 1;
}

static int tensor_version(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mt_version(mtb_check_tensor(L, 1, "version")));
  return 1;
}

static int tensor_storage_bytes(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mt_storage_bytes(mtb_check_tensor(L, 1, "storage_bytes")));
  return 1;
}

/* ---- autograd's small questions ---- */

static int tensor_requires_grad_(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "requires_grad_");
  MTB_CHECK(L, mt_set_requires_grad(t, lua_isnoneornil(L, 2) || lua_toboolean(L, 2)));
  lua_settop(L, 1);
  return 1;
}

static int tensor_retain_grad(lua_State *L) {
  MTB_CHECK(L, mt_retain_grad(mtb_check_tensor(L, 1, "retain_grad")));
  return 0;
}

static int tensor_detach(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mtb_check_tensor(L, 1, "detach");
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mt_detach(&h->t, mtb_check_tensor(L, 1, "detach")));
  return 1;
}

/* The tensor forgets its history: a leaf from now on. */
static int tensor_detach_(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "detach_");
  if (t->base) mtb_error(L, "detach_: cannot detach views in place; use detach()");
  mt_node *n = t->node;
  if (n && n->retain && n->retain[t->out_nr] == t) n->retain[t->out_nr] = NULL;
  t->node = NULL;
  t->out_nr = 0;
  t->flags &= (uint16_t) ~(MT_T_REQUIRES_GRAD | MT_T_RETAIN_GRAD);
  mt_node_release(n);
  lua_settop(L, 1);
  return 1;
}

static int tensor_release(lua_State *L) {
  mtb_handle *h = mtb_to_handle(L, 1);
  if (!h) mtb_check_handle(L, 1, "release");
  if (h->t) mtb_close_handle(h, 1);
  return 0;
}

/* ---- module functions ---- */

static int is_tensor(lua_State *L) {
  lua_pushboolean(L, mtb_to_handle(L, 1) != NULL);
  return 1;
}

static int is_parameter(lua_State *L) {
  mtb_handle *h = mtb_to_handle(L, 1);
  lua_pushboolean(L, h && h->t && (h->t->flags & MT_T_PARAMETER));
  return 1;
}

static int mark_parameter(lua_State *L) {
  mt_tensor *t = mtb_check_tensor(L, 1, "mark_parameter");
  if (lua_isnoneornil(L, 2) || lua_toboolean(L, 2))
    t->flags |= MT_T_PARAMETER;
  else
    t->flags &= (uint16_t)~MT_T_PARAMETER;
  lua_settop(L, 1);
  return 1;
}

static int set_printer(lua_State *L) {
  lua_settop(L, 1);
  mtb_set_place(L, mtb_up(L), MTB_PRINTER);
  return 0;
}

static int set_method(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 2);
  mtb_push_place(L, mtb_up(L), MTB_METHODS);
  lua_insert(L, 1);
  lua_rawset(L, 1);
  return 0;
}

void mtb_open_tensor(lua_State *L, mtb_state *st) {
  static const mtb_function meta[] = {{"__gc", tensor_gc},         {"__eq", tensor_eq},
                                      {"__len", tensor_len},       {"__tostring", tensor_tostring},
                                      {"__concat", tensor_concat}, {"__lt", tensor_compare},
                                      {"__le", tensor_compare},    {NULL, NULL}};
  static const mtb_function methods[] = {{"size", tensor_size},
                                         {"stride", tensor_stride},
                                         {"has_shape", tensor_has_shape},
                                         {"dim", tensor_dim},
                                         {"ndimension", tensor_dim},
                                         {"nDimension", tensor_dim},
                                         {"numel", tensor_numel},
                                         {"nelement", tensor_numel},
                                         {"nElement", tensor_numel},
                                         {"element_size", tensor_element_size},
                                         {"storage_offset", tensor_storage_offset},
                                         {"is_contiguous", tensor_is_contiguous},
                                         {"isContiguous", tensor_is_contiguous},
                                         {"is_floating_point", tensor_is_floating_point},
                                         {"is_complex", tensor_is_complex},
                                         {"is_signed", tensor_is_signed},
                                         {"get_device", tensor_get_device},
                                         {"data_ptr", tensor_data_ptr},
                                         {"id", tensor_id},
                                         {"storage_id", tensor_storage_id},
                                         {"storage_bytes", tensor_storage_bytes},
                                         {"version", tensor_version},
                                         {"requires_grad_", tensor_requires_grad_},
                                         {"retain_grad", tensor_retain_grad},
                                         {"detach", tensor_detach},
                                         {"detach_", tensor_detach_},
                                         {"release", tensor_release},
                                         {NULL, NULL}};
  static const mtb_function list[] = {
      {"is_tensor", is_tensor},           {"is_parameter", is_parameter},
      {"mark_parameter", mark_parameter}, {"set_printer", set_printer},
      {"set_method", set_method},         {NULL, NULL}};
  lua_newtable(L);
  mtb_functions(L, st, meta);
  lua_pushvalue(L, -1);
  mtb_set_place(L, st, MTB_META_TENSOR);
  lua_setfield(L, -2, "tensor_metatable");
  lua_createtable(L, 0, 512);
  mtb_functions(L, st, methods);
  lua_pushvalue(L, -1);
  mtb_set_place(L, st, MTB_METHODS);
  lua_setfield(L, -2, "methods");
  mtb_functions(L, st, list);
}
