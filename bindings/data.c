/* data.c: numbers between Lua and tensors: tensor(), item(), tolist(), raw bytes, foreign memory.
 *
 * Nested tables are read twice: once for shape and kinds of numbers, checking everything, and
 * once to fill the memory of the tensor, which by then lies in a handle.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "internal.h"

/* ---- tables to tensors ---- */

enum { SAW_BOOL = 1, SAW_INT64 = 2, SAW_NUMBER = 4 };

typedef struct reader {
  mtb_state *st;
  const char *who;
  int ndim;
  int64_t sizes[MT_MAX_DIMS];
  int64_t at[MT_MAX_DIMS]; /* the path of the entry being read, for messages */
  unsigned saw;
  int dtype;
  char *p; /* filling: where the next number goes */
} reader;

/* "data[2][3]" */
static const char *path_text(const reader *r, int depth, char *buf, size_t size) {
  int n = snprintf(buf, size, "data");
  for (int d = 0; d < depth && n > 0 && (size_t)n < size; d++)
    n += snprintf(buf + n, size - (size_t)n, "[%lld]", (long long)r->at[d]);
  return buf;
}

/* The number at idx; *kind says what it was. */
static bool read_number(lua_State *L, reader *r, int idx, mt_arg *a, unsigned *kind) {
  mtb_handle *h = mtb_to_handle(L, idx);
  if (h) {
    mt_tensor *t = mtb_check_tensor(L, idx, r->who);
    if (t->numel != 1 || t->ndim > 1) return false;
    bool is_float;
    MTB_CHECK(L, mt_item(t, &is_float, &a->u.i, &a->u.f));
    a->kind = is_float ? MT_FLOAT : t->dtype == MT_BOOL ? MT_TRUTH : MT_INT;
    *kind = is_float ? SAW_NUMBER : t->dtype == MT_BOOL ? SAW_BOOL : SAW_INT64;
    return true;
  }
  int type = lua_type(L, idx);
  *kind = type == LUA_TBOOLEAN ? SAW_BOOL : type == LUA_TNUMBER ? SAW_NUMBER : SAW_INT64;
  return mtb_number(L, r->st, idx, a);
}

static void wrong_entry(lua_State *L, const reader *r, int depth, int idx) {
  char path[200], got[300];
  const char *hint = "";
  mtb_handle *h = mtb_to_handle(L, idx);
  if (h && h->t) hint = "; use torch.stack or torch.cat to join tensors";
  mtb_error(L, "%s: %s must be %s, got %s%s", r->who, path_text(r, depth, path, sizeof path),
            depth < r->ndim ? "a table" : "a number or a boolean",
            mtb_describe(L, idx, got, sizeof got), hint);
}

static int64_t table_length(lua_State *L, const reader *r, int depth, int idx) {
  int64_t n = (int64_t)lua_objlen(L, idx);
  char path[200];
  lua_pushnil(L); /* a sequence: its first key tells enough */
  bool named = n == 0 && lua_next(L, idx);
  lua_pop(L, named ? 2 : n > 0);
  if (named)
    mtb_error(L, "%s: %s must be a list of numbers or of lists, but it has named fields", r->who,
              path_text(r, depth, path, sizeof path));
  return n;
}

/* The sizes along the first entries. */
static void find_shape(lua_State *L, reader *r, int idx) {
  int top = lua_gettop(L);
  lua_pushvalue(L, idx);
  while (lua_istable(L, -1)) {
    if (r->ndim == MT_MAX_DIMS)
      mtb_error(L, "%s: data has more than %d dimensions", r->who, MT_MAX_DIMS);
    luaL_checkstack(L, 4, NULL);
    int64_t n = table_length(L, r, r->ndim, lua_gettop(L));
    r->sizes[r->ndim] = n;
    r->at[r->ndim++] = 1;
    lua_rawgeti(L, -1, 1);
    if (n == 0) break;
  }
  lua_settop(L, top);
}

/* Checks that the table at the top has the shape found, and notes kinds of numbers. */
static void scan(lua_State *L, reader *r, int depth) {
  int idx = lua_gettop(L);
  char path[200];
  int64_t n = table_length(L, r, depth, idx);
  if (n != r->sizes[depth])
    mtb_error(
        L, "%s: the lists do not all have the same length: %s has %lld entries, expected %lld",
        r->who, path_text(r, depth, path, sizeof path), (long long)n, (long long)r->sizes[depth]);
  luaL_checkstack(L, 6, NULL);
  for (int64_t i = 1; i <= n; i++) {
    r->at[depth] = i;
    lua_rawgeti(L, idx, (int)i);
    if (depth + 1 < r->ndim) {
      if (!lua_istable(L, -1)) wrong_entry(L, r, depth + 1, -1);
      scan(L, r, depth + 1);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
      r->saw |= SAW_NUMBER;
    } else {
      mt_arg a;
      unsigned kind;
      if (!read_number(L, r, lua_gettop(L), &a, &kind)) wrong_entry(L, r, depth + 1, -1);
      r->saw |= kind;
    }
    lua_pop(L, 1);
  }
}

/* Stores a number; raises when it does not fit. */
static void store(lua_State *L, reader *r, int depth, const mt_arg *a) {
  static const int64_t least[] = {0, 0, -128, -32768, INT32_MIN},
                       most[] = {1, 255, 127, 32767, INT32_MAX};
  char path[200];
  if (r->dtype > MT_BOOL && !mt__is_float(r->dtype)) {
    bool fits = true;
    if (r->dtype < MT_INT64) {
      double v = mt__num(a);
      fits = v > (double)least[r->dtype] - 1 && v < (double)most[r->dtype] + 1;
    } else if (a->kind == MT_FLOAT) {
      fits = a->u.f >= -0x1p63 && a->u.f < 0x1p63;
    }
    if (!fits) {
      if (depth)
        mtb_error(L, "%s: %s = %.17g does not fit into dtype %s", r->who,
                  path_text(r, depth, path, sizeof path), mt__num(a), mt_dtype_name(r->dtype));
      mtb_error(L, "%s: %.17g does not fit into dtype %s", r->who, mt__num(a),
                mt_dtype_name(r->dtype));
    }
  }
  mt__store_scalar(r->p, r->dtype, a);
  r->p += mt__esize(r->dtype);
}

static void fill(lua_State *L, reader *r, int depth) {
  int idx = lua_gettop(L);
  int64_t n = r->sizes[depth];
  luaL_checkstack(L, 6, NULL);
  for (int64_t i = 1; i <= n; i++) {
    r->at[depth] = i;
    lua_rawgeti(L, idx, (int)i);
    if (depth + 1 < r->ndim) {
      fill(L, r, depth + 1);
    } else if (r->dtype == MT_FLOAT32 && lua_type(L, -1) == LUA_TNUMBER) {
      *(float *)(void *)r->p = (float)lua_tonumber(L, -1);
      r->p += sizeof(float);
    } else if (r->dtype == MT_FLOAT64 && lua_type(L, -1) == LUA_TNUMBER) {
      *(double *)(void *)r->p = (double)lua_tonumber(L, -1);
      r->p += sizeof(double);
    } else {
      mt_arg a = mt__arg_none();
      unsigned kind;
      if (!read_number(L, r, lua_gettop(L), &a, &kind)) wrong_entry(L, r, depth + 1, -1);
      store(L, r, depth + 1, &a);
    }
    lua_pop(L, 1);
  }
}

static int dtype_of_data(const reader *r) {
  if (r->saw & SAW_NUMBER || !r->saw) return mt__default_dtype();
  return r->saw & SAW_INT64 ? MT_INT64 : MT_BOOL;
}

void mtb_to_tensor(lua_State *L, mtb_state *st, int idx, int dtype, const char *who) {
  reader r = {.st = st, .who = who, .dtype = dtype};
  mt_arg number = mt__arg_none();
  bool table = lua_istable(L, idx);
  idx = mtb_absindex(L, idx);
  luaL_checkstack(L, 10, NULL);
  if (table) {
    find_shape(L, &r, idx);
    lua_pushvalue(L, idx);
    scan(L, &r, 0);
    lua_pop(L, 1);
  } else if (!read_number(L, &r, idx, &number, &r.saw)) {
    char got[300];
    mtb_error(L, "%s: expected numbers, booleans or nested tables of them, got %s", who,
              mtb_describe(L, idx, got, sizeof got));
  }
  if (r.dtype < 0) r.dtype = dtype_of_data(&r);
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mt_new(&h->t, r.dtype, MT_CPU, r.ndim, r.sizes));
  r.p = mt_data(h->t);
  if (table) {
    lua_pushvalue(L, idx);
    fill(L, &r, 0);
    lua_pop(L, 1);
  } else {
    store(L, &r, 0, &number);
  }
  mtb_account(st, h->t);
  lua_replace(L, idx);
}

/* ---- tensor, as_tensor ---- */

typedef struct wish {
  int dtype, device; /* -1: not said */
  bool requires_grad;
} wish;

static wish read_wish(lua_State *L, int idx, const char *who) {
  static const char *const names[] = {"dtype", "device", "requires_grad", NULL};
  char text[64];
  wish w = {-1, -1, false};
  mtb_check_options(L, idx, who, names);
  if (mtb_option(L, idx, "dtype")) {
    snprintf(text, sizeof text, "%s: dtype", who);
    w.dtype = mtb_check_dtype(L, -1, text);
    lua_pop(L, 1);
  }
  if (mtb_option(L, idx, "device")) {
    snprintf(text, sizeof text, "%s: device", who);
    w.device = mtb_check_device(L, -1, text);
    lua_pop(L, 1);
  }
  w.requires_grad = mtb_bool_option(L, idx, who, "requires_grad", false);
  return w;
}

/* tensor(data [, {dtype, device, requires_grad}]): always a copy */
static int tensor(lua_State *L) {
  mtb_state *st = mtb_up(L);
  if (lua_gettop(L) > 2) mtb_error(L, "tensor: takes data and a table of keywords");
  lua_settop(L, 2);
  mtb_before_op(L, st);
  wish w = read_wish(L, 2, "tensor");
  bool given = mtb_to_handle(L, 1) != NULL;
  if (!given) mtb_to_tensor(L, st, 1, w.dtype, "tensor");
  MTB_GUARD g = {.undo = mtb_restore_grad, .st = st, .i = mt_grad_enabled()};
  mt_set_grad_enabled(false);
  mtb_move(L, st, 1, w.dtype, w.device, given);
  mtb_guard_leave(&g);
  if (w.requires_grad) MTB_CHECK(L, mt_set_requires_grad(mtb_check_tensor(L, 1, "tensor"), true));
  lua_settop(L, 1);
  return 1;
}

/* as_tensor(data [, {dtype, device}]): a tensor is returned as it is when it fits */
static int as_tensor(lua_State *L) {
  mtb_state *st = mtb_up(L);
  lua_settop(L, 2);
  mtb_before_op(L, st);
  wish w = read_wish(L, 2, "as_tensor");
  if (!mtb_to_handle(L, 1)) mtb_to_tensor(L, st, 1, w.dtype, "as_tensor");
  mtb_move(L, st, 1, w.dtype, w.device, false);
  lua_settop(L, 1);
  return 1;
}

/* ---- tensors to Lua ---- */

static void push_element(lua_State *L, const mtb_state *st, const char *p, int dtype) {
  if (mt__is_float(dtype))
    lua_pushnumber(L, (lua_Number)mt__load_f64(p, dtype));
  else if (dtype == MT_BOOL)
    lua_pushboolean(L, *p != 0);
  else
    mtb_push_int64(L, st, mt__load_i64(p, dtype));
}

static int item(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mt_tensor *t = mtb_check_tensor(L, 1, "item");
  bool is_float;
  int64_t i;
  double f;
  int status = mt_item(t, &is_float, &i, &f);
  if (__builtin_expect(status != MT_OK, 0)) mtb_raise(L, status);
  if (is_float)
    lua_pushnumber(L, (lua_Number)f);
  else if (t->dtype == MT_BOOL)
    lua_pushboolean(L, i != 0);
  else
    mtb_push_int64(L, st, i);
  return 1;
}

static void push_list(lua_State *L, const mtb_state *st, const mt_tensor *t, int d, const char *p) {
  int64_t n = t->sizes[d], step = t->strides[d] * mt__esize(t->dtype);
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, n < 1 << 26 ? (int)n : 0, 0);
  for (int64_t i = 0; i < n; i++, p += step) {
    if (d + 1 < t->ndim)
      push_list(L, st, t, d + 1, p);
    else
      push_element(L, st, p, t->dtype);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

/* Leaves at idx a handle to a tensor on the CPU with the same values. */
static mt_tensor *to_host(lua_State *L, mtb_state *st, int idx, const char *who) {
  mt_tensor *t = mtb_check_tensor(L, idx, who);
  if (t->device == MT_META) mtb_error(L, "%s: a tensor of the meta device has no values", who);
  if (t->device == MT_CPU) return t;
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mtb_copy_to(&h->t, mtb_check_tensor(L, idx, who), t->dtype, MT_CPU));
  MTB_CHECK(L, mt_device_synchronize(t->device));
  lua_replace(L, idx);
  return h->t;
}

/* x:tolist(): nested tables; of a 0-dim tensor the number */
static int tolist(lua_State *L) {
  mtb_state *st = mtb_up(L);
  lua_settop(L, 1);
  mt_tensor *t = to_host(L, st, 1, "tolist");
  if (t->ndim == 0)
    push_element(L, st, mt_data(t), t->dtype);
  else
    push_list(L, st, t, 0, t->numel ? mt_data(t) : NULL);
  return 1;
}

/* ---- bytes ---- */

static int read_sizes(lua_State *L, int idx, int64_t *sizes, const char *who) {
  if (!lua_istable(L, idx)) mtb_error(L, "%s: sizes must be a list", who);
  int n = (int)lua_objlen(L, idx);
  if (n > MT_MAX_DIMS) mtb_error(L, "%s: at most %d dimensions", who, MT_MAX_DIMS);
  for (int d = 0; d < n; d++) {
    lua_rawgeti(L, idx, d + 1);
    sizes[d] = mtb_check_whole(L, -1, "a size");
    lua_pop(L, 1);
  }
  return n;
}

/* from_bytes(string, dtype, sizes): a tensor with these bytes, little-endian, row-major */
static int from_bytes(lua_State *L) {
  mtb_state *st = mtb_up(L);
  size_t len;
  int64_t sizes[MT_MAX_DIMS];
  if (lua_type(L, 1) != LUA_TSTRING) mtb_error(L, "from_bytes: expected a string");
  const char *bytes = lua_tolstring(L, 1, &len);
  int dtype = mtb_check_dtype(L, 2, "from_bytes: dtype"), n = read_sizes(L, 3, sizes, "from_bytes");
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mt_new(&h->t, dtype, MT_CPU, n, sizes));
  size_t want = (size_t)(h->t->numel * mt__esize(dtype));
  if (len != want)
    mtb_error(L, "from_bytes: the sizes need %llu bytes, the string has %llu",
              (unsigned long long)want, (unsigned long long)len);
  if (dtype == MT_BOOL)
    for (size_t i = 0; i < len; i++)
      if (bytes[i] & ~1)
        mtb_error(L, "from_bytes: a bool is 0 or 1, byte %llu is neither",
                  (unsigned long long)i + 1);
  if (len) memcpy(mt_data(h->t), bytes, len);
  return 1;
}

/* Leaves at idx a handle to a row-major tensor on the CPU. */
mt_tensor *mtb_plain(lua_State *L, mtb_state *st, int idx, const char *who) {
  mt_tensor *t = to_host(L, st, idx, who);
  if (mt_is_contiguous(t)) return t;
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mt_new(&h->t, t->dtype, MT_CPU, t->ndim, t->sizes));
  MTB_CHECK(L, mt__copy_values(h->t, mtb_check_tensor(L, idx, who)));
  lua_replace(L, idx);
  return h->t;
}

static int to_bytes(lua_State *L) {
  mt_tensor *t = mtb_plain(L, mtb_up(L), 1, "to_bytes");
  lua_pushlstring(L, t->numel ? mt_data(t) : "", (size_t)(t->numel * mt__esize(t->dtype)));
  return 1;
}

/* ---- foreign memory ---- */

static void drop_owner(void *token) {
  mt_token_release(token);
}

/* from_blob(pointer, sizes, dtype [, owner]): a tensor over memory that `owner`, any Lua value,
 * keeps alive; it is let go when the last view of the tensor is gone */
static int from_blob(lua_State *L) {
  mtb_state *st = mtb_up(L);
  void *p = NULL;
  int64_t sizes[MT_MAX_DIMS];
  char got[300];
  lua_settop(L, 4);
  if (!mtb_to_pointer(L, st, 1, &p))
    mtb_error(L, "from_blob: expected a pointer, got %s", mtb_describe(L, 1, got, sizeof got));
  int n = read_sizes(L, 2, sizes, "from_blob"), dtype = mtb_check_dtype(L, 3, "from_blob: dtype");
  if ((uintptr_t)p % (uintptr_t)mt__esize(dtype))
    mtb_error(L, "from_blob: the memory is not aligned for dtype %s", mt_dtype_name(dtype));
  mtb_handle *h = mtb_new_handle(L, st);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, 1); /* a cdata array is its own owner */
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, 4);
  lua_rawseti(L, -2, 2);
  MTB_GUARD g = {.undo = NULL};
  mt_token *token = mtb_new_token(L, st, &g);
  g.undo = NULL; /* from_blob takes it, whatever happens */
  MTB_CHECK(L, mt_from_blob(&h->t, p, dtype, n, sizes, drop_owner, token));
  return 1;
}

void mtb_open_data(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"tensor", tensor},
                                      {"as_tensor", as_tensor},
                                      {"from_bytes", from_bytes},
                                      {"to_bytes", to_bytes},
                                      {"from_blob", from_blob},
                                      {"tolist", tolist},
                                      {NULL, NULL}};
  static const mtb_function methods[] = {{"item", item}, {"tolist", tolist}, {NULL, NULL}};
  mtb_functions(L, st, list);
  mtb_push_place(L, st, MTB_METHODS);
  mtb_functions(L, st, methods);
  lua_pop(L, 1);
}
