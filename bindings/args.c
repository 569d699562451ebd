/* args.c: reads the arguments of an op by its signature.
 *
 * The one place where Lua's way of counting becomes C's: dims turn 0-based here; whatever
 * addresses an element stays 1-based.
 *
 * Positional arguments come in the signature's order, then perhaps a table of keywords: a plain
 * table at the end is keywords exactly when it has a string key, a list when it has only 1..n or
 * is a Size; an empty one is a list where the next parameter takes one. nil in a positional
 * place means the default.
 *
 * Nothing here allocates Lua memory unless it is about to fail: lists lie in the arena, strings
 * stay where Lua has them.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

/* ---- the arena ---- */

struct mtb_chunk {
  mtb_chunk *before;
  size_t pad; /* what follows is aligned to 16 */
};

void mtb_arena_reset(mtb_state *st) {
  mtb_arena *a = &st->arena;
  while (a->chunk && a->chunk->before) { /* keep the newest, which is the largest */
    mtb_chunk *old = a->chunk->before;
    a->chunk->before = old->before;
    free(old);
  }
  a->used = 0;
  a->many = false;
}

void *mtb_arena_get(mtb_state *st, size_t bytes) {
  mtb_arena *a = &st->arena;
  bytes = (bytes + 15) & ~(size_t)15;
  if (a->used + bytes > a->cap) {
    size_t cap = a->cap ? 2 * a->cap : 4096;
    while (cap < bytes) cap *= 2;
    mtb_chunk *c = malloc(sizeof *c + cap);
    if (!c) return NULL;
    c->before = a->chunk;
    *a = (mtb_arena){.chunk = c, .cap = cap, .many = c->before != NULL};
  }
  char *p = (char *)(a->chunk + 1) + a->used;
  a->used += bytes;
  return p;
}

void mtb_arena_free(mtb_state *st) {
  mtb_arena_reset(st);
  free(st->arena.chunk);
  st->arena = (mtb_arena){0};
}

/* ---- failing ---- */

static bool fail(mtb_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(mtb_call *c, const char *fmt, ...) {
  if (!c->explain) return false;
  char *text = c->st->text;
  size_t size = sizeof c->st->text;
  int n = snprintf(text, size, "%s: ", c->name);
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text + n, size - (size_t)n, fmt, ap);
  va_end(ap);
  return false;
}

static bool no_memory(mtb_call *c) {
  c->fatal = true;
  return fail(c, "out of memory");
}

static bool mismatch(lua_State *L, mtb_call *c, const mt_param *q, int idx, const char *want) {
  if (!c->explain) return false;
  char got[300];
  mtb_describe(L, idx, got, sizeof got);
  const char *hint = "";
  if (mtb_to_handle(L, idx) && q->type != MT_P_TENSORS) hint = "; use :item() to get a number";
  return fail(c, "%s must be %s, got %s%s", q->name, want, got, hint);
}

/* The right kind of value, but not an acceptable one. */
static bool bad_value(mtb_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool bad_value(mtb_call *c, const char *fmt, ...) {
  c->score++;
  if (!c->explain) return false;
  char text[600];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return fail(c, "%s", text);
}

/* ---- numbers ---- */

static const double LIMIT = 9007199254740992.0; /* 2^53 */

bool mtb_number(lua_State *L, const mtb_state *st, int idx, mt_arg *a) {
  switch (lua_type(L, idx)) {
  case LUA_TNUMBER: {
#if MTB_LUA_INTEGERS
    if (lua_isinteger(L, idx)) {
      *a = mt__arg_i((int64_t)lua_tointeger(L, idx));
      return true;
    }
#endif
    double d = (double)lua_tonumber(L, idx);
    if (d >= -LIMIT && d <= LIMIT && (double)(int64_t)d == d && !(d == 0 && signbit(d)))
      *a = mt__arg_i((int64_t)d);
    else
      *a = mt__arg_f(d);
    return true;
  }
  case LUA_TBOOLEAN:
    *a = mt__arg_b(lua_toboolean(L, idx));
    return true;
  case MTB_LUA_TCDATA: {
    int64_t v;
    if (!mtb_cdata_int64(L, st, idx, &v)) return false;
    *a = mt__arg_i(v);
    return true;
  }
  default:
    return false;
  }
}

bool mtb_whole(lua_State *L, const mtb_state *st, int idx, int64_t *out) {
  int type = lua_type(L, idx);
  if (type == LUA_TNUMBER) {
#if MTB_LUA_INTEGERS
    if (lua_isinteger(L, idx)) {
      *out = (int64_t)lua_tointeger(L, idx);
      return true;
    }
#endif
    double d = (double)lua_tonumber(L, idx);
    if (!(d >= -LIMIT && d <= LIMIT)) return false;
    *out = (int64_t)d;
    return (double)*out == d;
  }
  return type == MTB_LUA_TCDATA && mtb_cdata_int64(L, st, idx, out);
}

int64_t mtb_check_whole(lua_State *L, int idx, const char *who) {
  int64_t v = 0;
  char got[300];
  if (!mtb_whole(L, mtb_state_of(L), idx, &v))
    mtb_error(L, "%s must be a whole number, got %s", who, mtb_describe(L, idx, got, sizeof got));
  return v;
}

static bool is_number(lua_State *L, int idx) {
  int type = lua_type(L, idx);
  return type == LUA_TNUMBER || type == MTB_LUA_TCDATA;
}

/* A whole number for parameter q, dims made 0-based. */
static bool read_whole(lua_State *L, mtb_call *c, const mt_param *q, int idx, int64_t *out) {
  if (!is_number(L, idx)) return mismatch(L, c, q, idx, "a whole number");
  if (!mtb_whole(L, c->st, idx, out)) {
    c->score++;
    return mismatch(L, c, q, idx, "a whole number");
  }
  if (q->type == MT_P_DIM || q->type == MT_P_DIMS) {
    if (*out == 0) return bad_value(c, "%s is 0: dimensions count from 1", q->name);
    if (*out > 0) --*out;
  } else if (q->type == MT_P_INDEX && *out == 0) {
    return bad_value(c, "%s is 0: positions count from 1", q->name);
  }
  return true;
}

/* ---- tensors ---- */

static inline bool read_tensor(lua_State *L, mtb_call *c, const mt_param *q, int idx,
                               mt_tensor **out, bool *is_handle) {
  mtb_handle *h = mtb_to_handle(L, idx);
  *is_handle = h != NULL;
  if (!h) return false;
  if (__builtin_expect(h->t == NULL, 0)) {
    c->fatal = true;
    if (c->explain) mtb_closed_text(L, c->st, h, c->name, q->name);
    return false;
  }
  *out = h->t;
  return true;
}

/* ---- lists ---- */

static const char *list_wish(const mt_param *q) {
  switch (q->type) {
  case MT_P_DIMS:
    return "a dimension or a list of them";
  case MT_P_SIZE:
    return "a list of sizes";
  case MT_P_INT2:
    return "a whole number or a list of two";
  case MT_P_INT3:
    return "a whole number or a list of three";
  case MT_P_FLOATS:
    return "a list of numbers";
  case MT_P_TENSORS:
    return "a list of tensors";
  default:
    return "a list of whole numbers";
  }
}

static int pair_size(const mt_param *q) {
  return q->type == MT_P_INT2 ? 2 : q->type == MT_P_INT3 ? 3 : 0;
}

static bool is_list_type(const mt_param *q) {
  switch (q->type) {
  case MT_P_DIMS:
  case MT_P_SIZE:
  case MT_P_INTS:
  case MT_P_FLOATS:
  case MT_P_INT2:
  case MT_P_INT3:
  case MT_P_TENSORS:
    return true;
  default:
    return false;
  }
}

/* One number of a list, or the only one. */
static bool read_item(lua_State *L, mtb_call *c, const mt_param *q, int idx, void *list, int at) {
  if (q->type == MT_P_FLOATS) {
    mt_arg a;
    if (lua_type(L, idx) == LUA_TBOOLEAN || !mtb_number(L, c->st, idx, &a))
      return mismatch(L, c, q, idx, "a list of numbers");
    ((double *)list)[at] = a.kind == MT_FLOAT ? a.u.f : (double)a.u.i;
    return true;
  }
  return read_whole(L, c, q, idx, &((int64_t *)list)[at]);
}

/* Numbers at the stack places first..last as one list. */
static bool read_numbers(lua_State *L, mtb_call *c, int p, int first, int last) {
  const mt_param *q = &c->op->params[p];
  mt_arg *a = &c->args[p];
  int n = last - first + 1, pair = n == 1 ? pair_size(q) : 0;
  int64_t *list = mtb_arena_get(c->st, (size_t)(pair > n ? pair : n) * sizeof *list);
  if (!list) return no_memory(c);
  for (int i = 0; i < n; i++)
    if (!read_item(L, c, q, first + i, list, i)) return false;
  for (int i = 1; i < pair; i++) list[i] = list[0], n = pair;
  a->kind = q->type == MT_P_FLOATS ? MT_FLOATS : MT_INTS;
  a->n = n;
  a->u.is = list;
  return true;
}

/* The length of a list with gaps: its largest key. */
static int64_t widest_key(lua_State *L, int idx) {
  int64_t n = 0;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TNUMBER) {
      double k = (double)lua_tonumber(L, -2);
      if (k > (double)n && k < 1e9) n = (int64_t)k;
    }
  return n;
}

static bool read_tensors(lua_State *L, mtb_call *c, int p, int idx) {
  const mt_param *q = &c->op->params[p];
  int64_t n = q->gaps ? widest_key(L, idx) : (int64_t)lua_objlen(L, idx);
  if (n > 10000000) return bad_value(c, "%s has too many entries", q->name);
  mt_tensor **list = mtb_arena_get(c->st, (size_t)n * sizeof *list + 1);
  if (!list) return no_memory(c);
  for (int i = 0; i < (int)n; i++) {
    bool is_handle;
    lua_rawgeti(L, idx, i + 1);
    bool gap = q->gaps && !lua_toboolean(L, -1);
    list[i] = NULL;
    if (!gap && !read_tensor(L, c, q, -1, &list[i], &is_handle)) {
      char got[300];
      if (!is_handle && c->explain)
        fail(c, "%s must be a list of tensors, but entry %d is %s", q->name, i + 1,
             mtb_describe(L, -1, got, sizeof got));
      lua_pop(L, 1);
      return false;
    }
    lua_pop(L, 1);
  }
  c->args[p].kind = MT_TENSORS;
  c->args[p].n = (int32_t)n;
  c->args[p].u.ts = list;
  return true;
}

static bool read_table(lua_State *L, mtb_call *c, int p, int idx) {
  const mt_param *q = &c->op->params[p];
  int kind = mtb_classify(L, idx);
  if (kind == MTB_OBJECT) return mismatch(L, c, q, idx, list_wish(q));
  if (kind == MTB_KEYWORDS || kind == MTB_MIXED)
    return bad_value(c, "%s must be %s, got a table with names in it", q->name, list_wish(q));
  if (q->type == MT_P_TENSORS) return read_tensors(L, c, p, idx);
  int n = (int)lua_objlen(L, idx), pair = pair_size(q);
  if (pair && n != pair && n != 1)
    return bad_value(c, "%s must be %s, got a list of %d", q->name, list_wish(q), n);
  int64_t *list = mtb_arena_get(c->st, (size_t)(n > pair ? n : pair) * sizeof *list + 1);
  if (!list) return no_memory(c);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, idx, i + 1);
    bool ok = read_item(L, c, q, lua_gettop(L), list, i);
    lua_pop(L, 1);
    if (!ok) return false;
  }
  for (; n < pair; n++) list[n] = list[0];
  c->args[p].kind = q->type == MT_P_FLOATS ? MT_FLOATS : MT_INTS;
  c->args[p].n = n;
  c->args[p].u.is = list;
  return true;
}

/* A list that C keeps is taken as it is. */
static bool read_kept_list(mtb_call *c, int p, mtb_list *l) {
  const mt_param *q = &c->op->params[p];
  for (int i = 0; i < l->n && !q->gaps; i++)
    if (!l->t[i]) return bad_value(c, "%s has no tensor at place %d", q->name, i + 1);
  c->args[p].kind = MT_TENSORS;
  c->args[p].n = l->n;
  c->args[p].u.ts = l->t;
  return true;
}

static bool read_list(lua_State *L, mtb_call *c, int p, int idx) {
  const mt_param *q = &c->op->params[p];
  mtb_list *kept = q->type == MT_P_TENSORS ? mtb_to_list(L, idx) : NULL;
  if (kept) return read_kept_list(c, p, kept);
  if (lua_istable(L, idx)) return read_table(L, c, p, mtb_absindex(L, idx));
  if (q->type == MT_P_TENSORS) {
    c->score += mtb_to_handle(L, idx) != NULL;
    return mismatch(L, c, q, idx, list_wish(q));
  }
  if (!is_number(L, idx)) return mismatch(L, c, q, idx, list_wish(q));
  return read_numbers(L, c, p, idx, idx);
}

/* ---- words ---- */

static bool read_choice(lua_State *L, mtb_call *c, const mt_param *q, int idx, mt_arg *a) {
  size_t all = strcspn(q->choices, ")");
  if (lua_type(L, idx) != LUA_TSTRING) {
    char want[160];
    snprintf(want, sizeof want, "one of %.*s", (int)all, q->choices);
    return mismatch(L, c, q, idx, want);
  }
  size_t len;
  const char *word = lua_tolstring(L, idx, &len);
  const char *p = q->choices;
  for (int place = 0;; place++) {
    size_t n = strcspn(p, "|)");
    if (n == len && memcmp(p, word, n) == 0) {
      *a = mt__arg_i(place);
      return true;
    }
    if (p[n] != '|') break;
    p += n + 1;
  }
  return bad_value(c, "%s must be one of %.*s, got '%.40s'", q->name, (int)all, q->choices, word);
}

static bool read_dtype(lua_State *L, mtb_call *c, const mt_param *q, int idx, mt_arg *a) {
  int dtype;
  if (!mtb_to_dtype(L, idx, &dtype)) {
    if (lua_type(L, idx) != LUA_TSTRING) return mismatch(L, c, q, idx, "a dtype");
    return bad_value(c, "%s: there is no dtype '%.40s'", q->name, lua_tostring(L, idx));
  }
  *a = mt__arg_i(dtype);
  return true;
}

static bool read_device(lua_State *L, mtb_call *c, const mt_param *q, int idx, mt_arg *a) {
  int device;
  if (lua_type(L, idx) != LUA_TSTRING)
    return mismatch(L, c, q, idx, "a device, such as 'cpu' or 'cuda:0'");
  if (mt_device_parse(&device, lua_tostring(L, idx)) != MT_OK)
    return bad_value(c, "%s: %s", q->name, mt_last_error());
  *a = mt__arg_i(device);
  return true;
}

/* ---- one value ---- */

static bool read_value(lua_State *L, mtb_call *c, int p, int idx) {
  const mt_param *q = &c->op->params[p];
  mt_arg *a = &c->args[p];
  bool is_handle;
  switch (q->type) {
  case MT_P_TENSOR:
    a->kind = MT_TENSOR;
    if (read_tensor(L, c, q, idx, &a->u.t, &is_handle)) return true;
    return is_handle ? false : mismatch(L, c, q, idx, "a tensor");
  case MT_P_OPERAND:
    a->kind = MT_TENSOR;
    if (read_tensor(L, c, q, idx, &a->u.t, &is_handle)) return true;
    if (is_handle) return false;
    if (mtb_number(L, c->st, idx, a)) return true;
    return mismatch(L, c, q, idx, "a tensor or a number");
  case MT_P_SCALAR:
    if (mtb_number(L, c->st, idx, a)) return true;
    return mismatch(L, c, q, idx, "a number");
  case MT_P_INT:
  case MT_P_DIM:
  case MT_P_INDEX:
    a->kind = MT_INT;
    return read_whole(L, c, q, idx, &a->u.i);
  case MT_P_FLOAT:
    if (lua_type(L, idx) == LUA_TBOOLEAN || !mtb_number(L, c->st, idx, a))
      return mismatch(L, c, q, idx, "a number");
    if (a->kind == MT_INT) *a = mt__arg_f((double)a->u.i);
    return true;
  case MT_P_BOOL:
    if (lua_type(L, idx) != LUA_TBOOLEAN) return mismatch(L, c, q, idx, "true or false");
    *a = mt__arg_b(lua_toboolean(L, idx));
    return true;
  case MT_P_STR:
    if (lua_type(L, idx) != LUA_TSTRING) return mismatch(L, c, q, idx, "a string");
    a->kind = MT_STRING;
    a->u.s = lua_tostring(L, idx);
    return true;
  case MT_P_CHOICE:
    return read_choice(L, c, q, idx, a);
  case MT_P_DTYPE:
    return read_dtype(L, c, q, idx, a);
  case MT_P_DEVICE:
    return read_device(L, c, q, idx, a);
  case MT_P_GENERATOR: {
    mtb_box *b = mtb_to_box(L, idx, &mtb_tag_generator);
    if (!b) return mismatch(L, c, q, idx, "a generator");
    a->kind = MT_GENERATOR;
    a->u.gen = b->u.gen;
    return true;
  }
  default:
    return read_list(L, c, p, idx);
  }
}

/* Separate arguments of a star parameter, from place i on; *used of them. */
static bool read_star(lua_State *L, mtb_call *c, int p, int i, int top, int *used) {
  const mt_param *q = &c->op->params[p];
  int last = i - 1;
  if (q->type != MT_P_TENSORS) {
    while (last < top && is_number(L, last + 1)) last++;
    if (last < i) return mismatch(L, c, q, i, list_wish(q));
    *used = last - i + 1;
    return read_numbers(L, c, p, i, last);
  }
  while (last < top && mtb_to_handle(L, last + 1)) last++;
  if (last < i) return mismatch(L, c, q, i, list_wish(q));
  int n = last - i + 1;
  *used = n;
  mt_tensor **list = mtb_arena_get(c->st, (size_t)n * sizeof *list);
  if (!list) return no_memory(c);
  for (int k = 0; k < n; k++) {
    bool is_handle;
    if (!read_tensor(L, c, q, i + k, &list[k], &is_handle)) return false;
  }
  c->args[p].kind = MT_TENSORS;
  c->args[p].n = n;
  c->args[p].u.ts = list;
  return true;
}

/* ---- tables at the end ---- */

int mtb_classify(lua_State *L, int idx) {
  if (lua_getmetatable(L, idx)) {
    lua_pop(L, 1);
    return mtb_is_size(L, idx) ? MTB_LIST : MTB_OBJECT;
  }
  bool names = false, numbers = false;
  idx = mtb_absindex(L, idx);
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING)
      names = true;
    else
      numbers = true;
  }
  return names ? numbers ? MTB_MIXED : MTB_KEYWORDS : numbers ? MTB_LIST : MTB_EMPTY;
}

static int param_named(const mt_op *op, const char *name) {
  for (int p = 0; p < op->nparams; p++)
    if (strcmp(op->params[p].name, name) == 0) return p;
  return strcmp(name, "end") == 0 ? param_named(op, "stop") : -1; /* a reserved word */
}

static bool unknown_keyword(mtb_call *c, const char *key) {
  char known[700] = "";
  size_t used = 0;
  mtb_near near = mtb_near_to(key);
  for (int p = 0; p <= c->op->nparams && used < sizeof known; p++) {
    const char *name = p < c->op->nparams ? c->op->params[p].name : "out";
    if (p == c->op->nparams && !c->allow_out) break;
    if (p == 0 && c->op->nparams > 1 && c->op->params[0].type == MT_P_TENSOR) continue;
    int n = snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", name);
    if (n > 0) used += (size_t)n;
    mtb_near_try(&near, name);
  }
  if (near.best)
    return bad_value(c, "unknown keyword '%.40s', did you mean '%s'? (known: %s)", key, near.best,
                     known);
  return bad_value(c, "unknown keyword '%.40s' (known: %s)", key, known);
}

static bool read_keywords(lua_State *L, mtb_call *c, int idx, uint32_t *given) {
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      lua_pop(L, 2);
      return bad_value(c, "a table of keywords mixes names and positions");
    }
    const char *key = lua_tostring(L, -2);
    int p = param_named(c->op, key);
    bool ok;
    if (p >= 0 && (*given >> p & 1)) {
      ok = bad_value(c, "%s is given twice", key);
    } else if (p >= 0) {
      *given |= 1u << p;
      ok = read_value(L, c, p, lua_gettop(L));
    } else if (c->allow_out && strcmp(key, "out") == 0) {
      c->out = mtb_to_handle(L, -1);
      ok = c->out && c->out->t;
      char got[300];
      if (c->out && !ok) {
        c->fatal = true;
        if (c->explain) mtb_closed_text(L, c->st, c->out, c->name, "out");
      } else if (!ok) {
        bad_value(c, "out must be a tensor, got %s", mtb_describe(L, -1, got, sizeof got));
      }
    } else {
      ok = unknown_keyword(c, key);
    }
    if (!ok) {
      lua_pop(L, 2);
      return false;
    }
    c->score += 2;
  }
  return true;
}

/* Does the table at the end stand where a list is wanted? i: its place, p: the parameter that a
 * positional argument there would belong to. */
static bool wants_list(const mt_op *op, int p) {
  return p < op->npositional && is_list_type(&op->params[p]);
}

/* ---- all of them ---- */

static bool too_many(mtb_call *c, int got) {
  const mt_op *op = c->op;
  c->score--; /* another overload that got as far explains more */
  if (!c->explain) return false;
  char names[400] = "";
  size_t used = 0;
  for (int p = 0; p < op->npositional && used < sizeof names; p++) {
    int n = snprintf(names + used, sizeof names - used, "%s%s", p ? ", " : "", op->params[p].name);
    if (n > 0) used += (size_t)n;
  }
  return fail(c, "takes at most %d argument%s (%s), got %d", op->npositional,
              op->npositional == 1 ? "" : "s", names, got);
}

static bool missing(mtb_call *c, const mt_param *q, int top) {
  if (q == c->op->params && q->type == MT_P_TENSOR && top == 0)
    return fail(c, "missing argument %s: a method is called with a colon, x:%s(...)", q->name,
                c->name);
  return fail(c, "missing argument %s", q->name);
}

bool mtb_read(lua_State *L, mtb_call *c, int top) {
  const mt_op *op = c->op;
  uint32_t given = 0;
  int last = top, table = 0;
  c->out = NULL;
  c->keywords = c->self_index = c->score = 0;
  c->fatal = false;
  c->st->arena.used = 0;
  if (__builtin_expect(c->st->arena.many, 0)) mtb_arena_reset(c->st);
  if (top > 0 && lua_type(L, top) == LUA_TTABLE) {
    table = mtb_classify(L, top);
    if (table == MTB_MIXED)
      return bad_value(c, "the last table mixes names and positions; keywords have names only");
    if (table == MTB_KEYWORDS) {
      c->keywords = top;
      last = top - 1;
    }
  }
  int i = 1, p = 0;
  while (i <= last) {
    if (p >= op->npositional) {
      if (i == last && table == MTB_EMPTY) break; /* no keywords */
      return too_many(c, last);
    }
    const mt_param *q = &op->params[p];
    int type = lua_type(L, i);
    if (type == LUA_TNIL) {
      i++, p++;
      continue;
    }
    if (i == last && table == MTB_EMPTY && !wants_list(op, p)) break;
    if (q->star && type != LUA_TTABLE && !mtb_to_list(L, i)) {
      int used = 1;
      if (!read_star(L, c, p, i, last, &used)) return false;
      i += used;
    } else {
      if (!read_value(L, c, p, i)) return false;
      if (q->written) c->self_index = i;
      i++;
    }
    c->score += 2;
    given |= 1u << p++;
  }
  if (c->keywords && !read_keywords(L, c, c->keywords, &given)) return false;
  for (p = 0; p < op->nparams; p++) {
    if (given >> p & 1) continue;
    const mt_param *q = &op->params[p];
    if (!q->has_default && !q->optional) return missing(c, q, top);
    c->args[p] = q->def;
  }
  return true;
}
