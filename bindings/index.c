/* index.c: x[k] and x[k] = v.
 *
 * k is one slot or a table of slots: a number drops a dimension, {}, {a}, {a, b}, {a, b, step} are
 * ranges (both ends included), "..." stands for all dimensions not named, newaxis puts one in, a
 * tensor gathers (signed integers) or masks (bool). Numbers, ranges and new axes make views, one
 * op each; then one op for all tensors together.
 *
 * Positions are checked here, so that messages count the dimensions as the user wrote them.
 */
#include <stdio.h>
#include <string.h>

#include "binding.h"

enum slot_kind { ALL, AT, RANGE, ELLIPSIS, NEWAXIS, TENSOR };
enum { MAX_SLOTS = 2 * MT_MAX_DIMS + 2 };

typedef struct slot {
  int kind;
  int64_t a, b, step;
  mt_tensor *t;
} slot;

typedef struct slots {
  int n;
  bool tensors;
  slot s[MAX_SLOTS];
} slots;

static const char newaxis_key = 0;

/* ---- the ops behind it ---- */

typedef struct ops {
  const mt_op *select, *slice, *unsqueeze, *index, *index_put_, *copy_, *fill_;
} ops;

static const ops *the_ops(void) {
  static ops o;
  if (!o.fill_) {
    o.select = mt_op_find("select");
    o.slice = mt_op_find("slice");
    o.unsqueeze = mt_op_find("unsqueeze");
    o.index = mt_op_find("index");
    o.index_put_ = mt_op_find("index_put_");
    o.copy_ = mt_op_find("copy_");
    o.fill_ = mt_op_find("fill_");
  }
  return &o;
}

/* ---- reading slots ---- */

static int64_t whole_index(lua_State *L, const mtb_state *st, int idx) {
  int64_t i;
  char got[300];
  if (!mtb_whole(L, st, idx, &i))
    mtb_error(L, "an index must be a whole number, got %s", mtb_describe(L, idx, got, sizeof got));
  if (i == 0) mtb_error(L, "index 0: positions count from 1");
  return i;
}

static void read_range(lua_State *L, const mtb_state *st, int idx, slot *s) {
  int n = (int)lua_objlen(L, idx);
  int64_t v[3] = {1, -1, 1};
  char got[300];
  for (int i = 0; i < n && i < 3; i++) {
    lua_rawgeti(L, idx, i + 1);
    if (mtb_to_handle(L, -1))
      mtb_error(L, "a range holds numbers; several tensors index several dimensions, x[{i, j}]");
    if (i == 0)
      v[i] = whole_index(L, st, -1);
    else if (!mtb_whole(L, st, -1, &v[i])) /* {1, 0} is empty */
      mtb_error(L, "a range holds whole numbers, got %s", mtb_describe(L, -1, got, sizeof got));
    lua_pop(L, 1);
  }
  if (n > 3)
    mtb_error(L,
              "a range is {first, last, step}; a list of %d positions is given as a tensor, "
              "torch.tensor({...}, {dtype = torch.int64})",
              n);
  if (n == 1) v[1] = v[0];
  if (v[2] == 0) mtb_error(L, "the step of a range cannot be 0");
  if (v[2] < 0)
    mtb_error(L, "the step of a range must be positive, got %lld: use flip", (long long)v[2]);
  *s = (slot){.kind = n == 0 ? ALL : RANGE, .a = v[0], .b = v[1], .step = v[2]};
}

/* No list, though not empty. (A list with names beside is not looked for: this is a hot path.) */
static bool has_names_only(lua_State *L, int idx) {
  if (lua_objlen(L, idx) > 0) return false;
  lua_pushnil(L);
  if (!lua_next(L, idx)) return false;
  lua_pop(L, 2);
  return true;
}

static void read_slot(lua_State *L, const mtb_state *st, int idx, slots *k) {
  char got[300];
  if (k->n == MAX_SLOTS) mtb_error(L, "too many indices");
  slot *s = &k->s[k->n++];
  mtb_handle *h;
  switch (lua_type(L, idx)) {
  case LUA_TNUMBER:
  case MTB_LUA_TCDATA:
    *s = (slot){.kind = AT, .a = whole_index(L, st, idx)};
    return;
  case LUA_TSTRING:
    if (strcmp(lua_tostring(L, idx), "...") != 0) break;
    *s = (slot){.kind = ELLIPSIS};
    return;
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, idx) != &newaxis_key) break;
    *s = (slot){.kind = NEWAXIS};
    return;
  case LUA_TTABLE:
    if (has_names_only(L, idx)) break;
    read_range(L, st, idx, s);
    return;
  case LUA_TUSERDATA:
    h = mtb_to_handle(L, idx);
    if (!h) break;
    *s = (slot){.kind = TENSOR, .t = mtb_check_tensor(L, idx, "index")};
    k->tensors = true;
    return;
  default:
    break;
  }
  mtb_error(L, "an index must be a number, a range, a tensor, '...' or newaxis, got %s",
            mtb_describe(L, idx, got, sizeof got));
}

static void read_slots(lua_State *L, const mtb_state *st, int idx, slots *k) {
  k->n = 0;
  k->tensors = false;
  if (lua_type(L, idx) != LUA_TTABLE) {
    read_slot(L, st, idx, k);
    return;
  }
  int n = (int)lua_objlen(L, idx);
  if (has_names_only(L, idx))
    mtb_error(L, "an index table holds one entry a dimension, without names");
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, idx, i);
    read_slot(L, st, lua_gettop(L), k);
    lua_pop(L, 1);
  }
}

/* Dimensions of x that a slot stands for. */
static int spans(const slot *s) {
  switch (s->kind) {
  case ELLIPSIS:
  case NEWAXIS:
    return 0;
  case TENSOR:
    return s->t->dtype == MT_BOOL ? s->t->ndim : 1;
  default:
    return 1;
  }
}

/* Checks numbers and ranges against x's sizes, and puts an ellipsis at the end if there is none. */
static void check_slots(lua_State *L, slots *k, const mt_tensor *x) {
  int used = 0, ellipses = 0;
  for (int i = 0; i < k->n; i++) {
    used += spans(&k->s[i]);
    ellipses += k->s[i].kind == ELLIPSIS;
  }
  if (ellipses > 1) mtb_error(L, "an index can have one '...' only");
  if (used > x->ndim)
    mtb_error(L, "too many indices for a tensor of %d dimension%s: got %d", x->ndim,
              x->ndim == 1 ? "" : "s", used);
  for (int i = 0, d = 0; i < k->n; i++) {
    slot *s = &k->s[i];
    int64_t size = d < x->ndim ? x->sizes[d] : 0;
    if (s->kind == AT && (s->a > size || s->a < -size))
      mtb_error(L, "index %lld is out of range for dimension %d with size %lld", (long long)s->a,
                d + 1, (long long)size);
    if (s->kind == RANGE) {
      int64_t a = s->a < 0 ? s->a + size + 1 : s->a, b = s->b < 0 ? s->b + size + 1 : s->b;
      if (a < 1 || a > size + 1 || b < a - 1 || b > size)
        mtb_error(L, "range {%lld, %lld} is out of range for dimension %d with size %lld",
                  (long long)s->a, (long long)s->b, d + 1, (long long)size);
      s->a = a;
      s->b = b;
      if (a == 1 && b == size && s->step == 1) s->kind = ALL;
    }
    d += s->kind == ELLIPSIS ? x->ndim - used : spans(s);
  }
}

/* ---- applying them ---- */

/* *cur (owned) becomes the result of a view op on it. */
static int step(mt_tensor **cur, const mt_op *op, int64_t d, int64_t a, int64_t b, int64_t c) {
  mt_arg args[MT_MAX_PARAMS] = {mt__arg_t(*cur), mt__arg_i(d), mt__arg_i(a), mt__arg_i(b),
                                mt__arg_i(c)};
  mt_tensor *next = NULL;
  int status = mt_call(op, MT_CALL, args, &next);
  if (status != MT_OK) return status;
  mt_release(*cur);
  *cur = next;
  return MT_OK;
}

/* The numbers, ranges and new axes: *out is x or a view of it. list, n: what is left for the
 * tensors, an entry each, NULL for dimensions that they pass by. */
static int apply_views(mt_tensor **out, mt_tensor *x, const slots *k, mt_tensor **list, int *n) {
  const ops *o = the_ops();
  mt_tensor *cur = mt_retain(x);
  int status = MT_OK, used = 0, d = 0;
  *n = 0;
  for (int i = 0; i < k->n; i++) used += spans(&k->s[i]);
  for (int i = 0; i < k->n && status == MT_OK; i++) {
    const slot *s = &k->s[i];
    int skip = 1;
    switch (s->kind) {
    case AT:
      status = step(&cur, o->select, d, s->a, 0, 0);
      continue;
    case RANGE:
      status = step(&cur, o->slice, d, s->a, s->b, s->step);
      break;
    case NEWAXIS:
      status = step(&cur, o->unsqueeze, d, 0, 0, 0);
      break;
    case ELLIPSIS:
      skip = x->ndim - used;
      break;
    case TENSOR:
      list[(*n)++] = s->t;
      d += spans(s);
      continue;
    default:
      break;
    }
    for (int e = 0; e < skip; e++) list[(*n)++] = NULL;
    d += skip;
  }
  while (*n && !list[*n - 1]) --*n;
  if (status != MT_OK) {
    mt_release(cur);
    cur = NULL;
  }
  *out = cur;
  return status;
}

static int get(mt_tensor **out, mt_tensor *x, const slots *k) {
  mt_tensor *list[MAX_SLOTS + MT_MAX_DIMS], *cur = NULL;
  int n;
  int status = apply_views(&cur, x, k, list, &n);
  *out = NULL;
  if (status != MT_OK || !k->tensors) {
    *out = cur;
    return status;
  }
  mt_arg args[MT_MAX_PARAMS] = {mt__arg_t(cur), {.kind = MT_TENSORS, .n = n}};
  args[1].u.ts = list;
  status = mt_call(the_ops()->index, MT_CALL, args, out);
  mt_release(cur);
  return status;
}

int mtb_index(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mtb_check_tensor(L, 1, "index");
  mtb_before_op(L, st);
  if (st->anomaly) mt_set_site(mtb_site(L, st));
  slots k;
  int tries = 0, status;
  mtb_handle *h = mtb_new_handle(L, st);
  do {
    mt_tensor *x = mtb_check_tensor(L, 1, "index");
    read_slots(L, st, 2, &k);
    check_slots(L, &k, x);
    status = get(&h->t, x, &k);
  } while (mtb_may_retry(L, st, status, &tries));
  if (status != MT_OK) mtb_raise(L, status);
  mtb_account(st, h->t);
  return 1;
}

/* ---- assignment ---- */

/* PyTorch lets a value have leading dimensions of one that the target has not. */
static int drop_leading(mt_tensor **v, const mt_tensor *target) {
  while ((*v)->ndim > target->ndim && (*v)->sizes[0] == 1) {
    int status = step(v, the_ops()->select, 0, 1, 0, 0);
    if (status != MT_OK) return status;
  }
  return MT_OK;
}

static int call_written(const mt_op *op, mt_arg *args) {
  mt_tensor *out = NULL;
  int status = mt_call(op, MT_CALL, args, &out);
  mt_release(out);
  return status;
}

static void fill_defaults(const mt_op *op, mt_arg *args, int from) {
  for (int p = from; p < op->nparams; p++) args[p] = op->params[p].def;
}

/* value: a number (then v is NULL) or the tensor v. */
static int put(mt_tensor *x, const slots *k, const mt_arg *value, mt_tensor *v) {
  const ops *o = the_ops();
  mt_tensor *list[MAX_SLOTS + MT_MAX_DIMS], *cur = NULL, *given = mt_retain(v);
  mt_arg args[MT_MAX_PARAMS];
  int n;
  int status = apply_views(&cur, x, k, list, &n);
  if (status == MT_OK && !k->tensors) {
    args[0] = mt__arg_t(cur);
    if (given) status = drop_leading(&given, cur);
    args[1] = given ? mt__arg_t(given) : *value;
    const mt_op *op = given ? o->copy_ : o->fill_;
    fill_defaults(op, args, 2);
    if (status == MT_OK) status = call_written(op, args);
  } else if (status == MT_OK) {
    if (!given) { /* a number becomes a 0-dim tensor like x */
      status = mt_new(&given, cur->dtype, cur->device, 0, NULL);
      args[0] = mt__arg_t(given);
      args[1] = *value;
      fill_defaults(o->fill_, args, 2);
      if (status == MT_OK) status = call_written(o->fill_, args);
    }
    args[0] = mt__arg_t(cur);
    args[1] = (mt_arg){.kind = MT_TENSORS, .n = n};
    args[1].u.ts = list;
    args[2] = mt__arg_t(given);
    fill_defaults(o->index_put_, args, 3);
    if (status == MT_OK) status = call_written(o->index_put_, args);
  }
  mt_release(given);
  mt_release(cur);
  return status;
}

int mtb_assign(lua_State *L) {
  mtb_state *st = mtb_up(L);
  char got[300];
  mt_tensor *x = mtb_check_tensor(L, 1, "index");
  mtb_before_op(L, st);
  if (st->anomaly) mt_set_site(mtb_site(L, st));
  if (lua_type(L, 3) == LUA_TTABLE) mtb_to_tensor(L, st, 3, x->dtype, "assignment");
  slots k;
  mt_arg value = mt__arg_none();
  int tries = 0, status;
  do {
    x = mtb_check_tensor(L, 1, "index");
    read_slots(L, st, 2, &k);
    check_slots(L, &k, x);
    mt_tensor *v = mtb_to_handle(L, 3) ? mtb_check_tensor(L, 3, "assignment: the value") : NULL;
    if (!v && !mtb_number(L, st, 3, &value))
      mtb_error(L, "the value assigned must be a number or a tensor, got %s",
                mtb_describe(L, 3, got, sizeof got));
    status = put(x, &k, &value, v);
  } while (mtb_may_retry(L, st, status, &tries));
  if (status != MT_OK) mtb_raise(L, status);
  return 0;
}

void mtb_open_index(lua_State *L, mtb_state *st) {
  (void)st;
  lua_pushlightuserdata(L, (void *)(uintptr_t)&newaxis_key);
  lua_setfield(L, -2, "newaxis");
}
