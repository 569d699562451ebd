/* binding.h: what the files of the binding share.
 *
 * Only bindings/ knows Lua. A Lua tensor is a handle: a small userdata with one reference to an
 * mt_tensor. Everything else (dtypes, generators, nodes, ...) is a box: a userdata whose first
 * word says what it is.
 *
 * Invariants
 *  - Handles, result tables and stack space are made before mt_call; between mt_call and the
 *    storing of its results into handles nothing is called that can raise. So an error, a Lua
 *    allocator that fails included, never leaks a tensor.
 *  - Lua allocations may run finalizers, and a finalizer may be anything, x:release() of an
 *    argument included. So from reading the arguments to mt_call no Lua memory is allocated
 *    either; lists go to the arena.
 *  - Errors are raised by mtb_error and mtb_raise only, at the user's line (status.c).
 *  - The state is a userdata without a finalizer, kept by the registry, so that it outlives
 *    every finalizer when the Lua state closes.
 */
#ifndef MTB_BINDING_H
#define MTB_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lua_compat.h"

#include "op.h"
#include "tensor.h"

/* ---- boxes ---- */

/* The address of a tag marks a userdata as ours. */
extern const char mtb_tag_tensor, mtb_tag_dtype, mtb_tag_generator, mtb_tag_node, mtb_tag_hook,
    mtb_tag_list, mtb_tag_writer, mtb_tag_mapped;

typedef struct mtb_scope mtb_scope;
typedef struct mtb_state mtb_state;

typedef struct mtb_handle {
  const char *tag;
  mt_tensor *t;     /* owned; NULL: not filled yet, or closed */
  mtb_scope *scope; /* the scope that will close it, or NULL */
  uint32_t slot;    /* its place there */
  uint32_t closed;  /* why t is NULL: 0 not filled, 1 released, n + 2 by the scope of site n */
} mtb_handle;

typedef struct mtb_box {
  const char *tag;
  union {
    void *p;
    int64_t i;
    mt_generator *gen;
    mt_node *node;
  } u;
} mtb_box;

/* ---- the state ---- */

/* Memory for lists of one call; given back as a whole when the next call is read. */
typedef struct mtb_chunk mtb_chunk;
typedef struct mtb_arena {
  mtb_chunk *chunk;
  size_t used, cap;
  bool many; /* more than one chunk */
} mtb_arena;

/* What C needs of Lua: values kept in the registry. */
enum mtb_place {
  MTB_META_TENSOR,
  MTB_META_DTYPE,
  MTB_META_GENERATOR,
  MTB_META_NODE,
  MTB_META_HOOK,
  MTB_META_LIST,
  MTB_META_SIZE,
  MTB_META_CTX,
  MTB_META_WRITER,
  MTB_META_MAPPED,
  MTB_META_WEAK,
  MTB_METHODS,    /* name -> function */
  MTB_PROPERTIES, /* name -> number of the property */
  MTB_PRINTER,
  MTB_MODULE,      /* moontorch.core */
  MTB_MODULE_CALL, /* set of functions */
  MTB_MODULE_PATH,
  MTB_ROOTS,      /* list of source prefixes of the library */
  MTB_TOKENS,     /* id -> what the runtime calls back */
  MTB_SITES,      /* list of "file:line", and back */
  MTB_CDATA_KIND, /* FFI helpers, see cdata.c */
  MTB_CDATA_INT64,
  MTB_CDATA_POINTER,
  MTB_DTYPE_0, /* + dtype: the dtype objects */
  MTB_NPLACES = MTB_DTYPE_0 + MT_NDTYPES
};

struct mtb_state {
  mtb_arena arena;
  mtb_scope *scope;     /* the innermost one */
  int ref[MTB_NPLACES]; /* registry references */
  bool unwinds;         /* lua_error runs the cleanups of C frames */
  bool anomaly;         /* ops note the line that made them */
  /* memory.c */
  int64_t made;    /* bytes made since the debt was last looked at */
  int64_t look_at; /* ... when it is due again */
  int64_t base;    /* bytes alive after the last collection */
  int64_t budget;
  int64_t last_token; /* ids of tokens are not used again */
  int backward_depth;
  char text[2048]; /* the message of a failed reading of arguments */
};

mtb_state *mtb_state_of(lua_State *L);
/* The state of a C function registered with mtb_functions. */
static inline mtb_state *mtb_up(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static inline void mtb_push_place(lua_State *L, const mtb_state *st, int place) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, st->ref[place]);
}
static inline void mtb_set_place(lua_State *L, const mtb_state *st, int place) { /* pops */
  lua_rawseti(L, LUA_REGISTRYINDEX, st->ref[place]);
}

typedef struct mtb_function {
  const char *name;
  lua_CFunction fn;
} mtb_function;
/* Registers functions, with the state as first upvalue, in the table on top of the stack. */
void mtb_functions(lua_State *L, mtb_state *st, const mtb_function *list);

/* What each file puts into the module's table (on top of the stack). */
void mtb_open_dtype(lua_State *L, mtb_state *st);
void mtb_open_tensor(lua_State *L, mtb_state *st);
void mtb_open_property(lua_State *L, mtb_state *st);
void mtb_open_index(lua_State *L, mtb_state *st);
void mtb_open_data(lua_State *L, mtb_state *st);
void mtb_open_move(lua_State *L, mtb_state *st);
void mtb_open_list(lua_State *L, mtb_state *st);
void mtb_open_cdata(lua_State *L, mtb_state *st);
void mtb_open_ops(lua_State *L, mtb_state *st);
void mtb_open_info(lua_State *L, mtb_state *st);
void mtb_open_status(lua_State *L, mtb_state *st);
void mtb_open_memory(lua_State *L, mtb_state *st);
void mtb_open_scope(lua_State *L, mtb_state *st);
void mtb_open_block(lua_State *L, mtb_state *st);
void mtb_open_backward(lua_State *L, mtb_state *st);
void mtb_open_node(lua_State *L, mtb_state *st);
void mtb_open_function(lua_State *L, mtb_state *st);
void mtb_open_random(lua_State *L, mtb_state *st);
void mtb_open_io(lua_State *L, mtb_state *st);
void mtb_open_system(lua_State *L, mtb_state *st);

/* ---- status.c: errors at the user's line ---- */

/* Raises a message; printf's conversions. */
int mtb_error(lua_State *L, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
/* Raises the runtime's message for a failed call. */
int mtb_raise(lua_State *L, int status) __attribute__((noreturn));
/* Raises st->text. */
int mtb_raise_text(lua_State *L, mtb_state *st) __attribute__((noreturn));
/* "file:line" of the user's innermost frame into buf; "" when there is none. */
void mtb_where(lua_State *L, char *buf, size_t size);
/* Where the user stands, as a number for mt_set_site and the scopes; 0: nowhere. */
uint32_t mtb_site(lua_State *L, mtb_state *st);
/* Pushes "file:line" of a site. */
void mtb_push_site(lua_State *L, const mtb_state *st, int64_t site);
/* What a value is, for "..., got %s"; for messages only: it may allocate. */
const char *mtb_describe(lua_State *L, int idx, char *buf, size_t size);
/* A status of memory: collects, gives back what the allocator keeps, true the first time. */
bool mtb_may_retry(lua_State *L, mtb_state *st, int status, int *tries);

#define MTB_CHECK(L, call)                                                                         \
  do {                                                                                             \
    int mtb_status = (call);                                                                       \
    if (__builtin_expect(mtb_status != MT_OK, 0)) mtb_raise(L, mtb_status);                        \
  } while (0)

/* Repeats a call of the runtime once after a failure for want of memory. */
#define MTB_CHECK_MEMORY(L, st, call)                                                              \
  do {                                                                                             \
    int mtb_tries = 0, mtb_status;                                                                 \
    do mtb_status = (call);                                                                        \
    while (mtb_may_retry(L, st, mtb_status, &mtb_tries));                                          \
    if (mtb_status != MT_OK) mtb_raise(L, mtb_status);                                             \
  } while (0)

/* ---- tensor.c: handles ---- */

static inline mtb_handle *mtb_to_handle(lua_State *L, int idx) {
  mtb_handle *h = lua_touserdata(L, idx);
  return h && lua_objlen(L, idx) == sizeof(mtb_handle) && h->tag == &mtb_tag_tensor ? h : NULL;
}

/* Pushes an empty handle: to be filled by the caller. */
mtb_handle *mtb_new_handle(lua_State *L, mtb_state *st);
/* The tensor at idx; raises unless there is an open one. who: for the message. */
mt_tensor *mtb_check_tensor(lua_State *L, int idx, const char *who);
mtb_handle *mtb_check_handle(lua_State *L, int idx, const char *who);
/* Why a handle is closed, into st->text. */
void mtb_closed_text(lua_State *L, mtb_state *st, const mtb_handle *h, const char *who,
                     const char *what);
/* Pushes a new handle to t, or nil for NULL; takes a reference of its own. */
void mtb_push_tensor(lua_State *L, mtb_state *st, mt_tensor *t);
/* Drops the tensor of a handle. */
void mtb_close_handle(mtb_handle *h, uint32_t why);

static inline mtb_box *mtb_to_box(lua_State *L, int idx, const char *tag) {
  mtb_box *b = lua_touserdata(L, idx);
  return b && lua_objlen(L, idx) == sizeof(mtb_box) && b->tag == tag ? b : NULL;
}
mtb_box *mtb_new_box(lua_State *L, mtb_state *st, const char *tag, int meta);

/* A name near to `name` among n candidates, or NULL. */
typedef struct mtb_near {
  const char *name, *best;
  int distance;
} mtb_near;
mtb_near mtb_near_to(const char *name);
void mtb_near_try(mtb_near *n, const char *candidate);

/* ---- dtype.c ---- */

void mtb_push_dtype(lua_State *L, const mtb_state *st, int dtype);
bool mtb_to_dtype(lua_State *L, int idx, int *dtype); /* an object or a name */
int mtb_check_dtype(lua_State *L, int idx, const char *who);
int mtb_check_device(lua_State *L, int idx, const char *who);
void mtb_push_device(lua_State *L, int device);
void mtb_push_size(lua_State *L, const mtb_state *st, int n, const int64_t *sizes);
bool mtb_is_size(lua_State *L, int idx);
/* An int64 as a number; beyond 2^53 as int64_t cdata where there are such. */
void mtb_push_int64(lua_State *L, const mtb_state *st, int64_t v);

/* ---- cdata.c ---- */

/* The value of an int64_t or uint64_t cdata. */
bool mtb_cdata_int64(lua_State *L, const mtb_state *st, int idx, int64_t *v);
void mtb_push_int64_cdata(lua_State *L, const mtb_state *st, int64_t v);
/* A typed pointer, or a light userdata without FFI. */
void mtb_push_pointer(lua_State *L, const mtb_state *st, void *p, int dtype);
/* The address that a cdata pointer or a light userdata holds. */
bool mtb_to_pointer(lua_State *L, const mtb_state *st, int idx, void **p);

/* ---- args.c: reading arguments by an op's signature ---- */

typedef struct mtb_call {
  mtb_state *st;
  const mt_op *op;
  const char *name; /* for messages: "add_" */
  bool explain;     /* write st->text when it fails */
  bool allow_out;   /* out = z is a keyword here */
  bool fatal;       /* failed in a way that no other overload would mend */
  int score;        /* how far it got: the best of several overloads is explained */
  int self_index;   /* where on the stack the written argument stands; 0: in the keywords */
  mtb_handle *out;  /* out = z, or NULL */
  int keywords;     /* the stack index of the keyword table, or 0 */
  mt_arg args[MT_MAX_PARAMS];
} mtb_call;

/* Reads the arguments at 1..top of the stack. false: st->text says why, if c->explain. */
bool mtb_read(lua_State *L, mtb_call *c, int top);
/* A number, a bool or an int64 cdata as an op's number. */
bool mtb_number(lua_State *L, const mtb_state *st, int idx, mt_arg *out);
/* A whole number. */
bool mtb_whole(lua_State *L, const mtb_state *st, int idx, int64_t *out);
int64_t mtb_check_whole(lua_State *L, int idx, const char *who);
void *mtb_arena_get(mtb_state *st, size_t bytes); /* NULL: no memory */
void mtb_arena_reset(mtb_state *st);
void mtb_arena_free(mtb_state *st);

/* What a table at the end of the arguments is. */
enum mtb_table { MTB_LIST, MTB_KEYWORDS, MTB_EMPTY, MTB_MIXED, MTB_OBJECT };
int mtb_classify(lua_State *L, int idx);

/* ---- options.c: keyword tables of the binding's own functions ---- */

/* idx holds nil or a plain table; names ends in NULL. Raises on keys that are not among them. */
void mtb_check_options(lua_State *L, int idx, const char *who, const char *const *names);
/* Pushes the option, or returns false and pushes nothing. */
bool mtb_option(lua_State *L, int idx, const char *name);
bool mtb_bool_option(lua_State *L, int idx, const char *who, const char *name, bool otherwise);

/* ---- ops.c ---- */

/* Calls an op by its C door, with a collection and a second try when memory is short. */
int mtb_invoke(lua_State *L, mtb_state *st, const mt_op *op, int form, mt_arg *args,
               mt_tensor **out);

/* ---- index.c ---- */

int mtb_index(lua_State *L);  /* x[k]: x and k on the stack */
int mtb_assign(lua_State *L); /* x[k] = v */

/* ---- data.c ---- */

/* Replaces the value at idx (a table, a number, ...) by a new CPU tensor with its data. dtype -1:
 * by the data. who: for messages. */
void mtb_to_tensor(lua_State *L, mtb_state *st, int idx, int dtype, const char *who);

/* Leaves at idx a handle to a row-major tensor on the CPU with the same values. */
mt_tensor *mtb_plain(lua_State *L, mtb_state *st, int idx, const char *who);

/* ---- move.c ---- */

/* A copy with a dtype and a device, recorded. */
int mtb_copy_to(mt_tensor **out, mt_tensor *t, int dtype, int device);
/* The handle at idx becomes one with that dtype and device (-1: as they are); the same handle
 * when it has them already, unless copy. */
void mtb_move(lua_State *L, mtb_state *st, int idx, int dtype, int device, bool copy);

/* ---- list.c ---- */

typedef struct mtb_list {
  const char *tag;
  int n;
  mt_tensor *t[]; /* owned; an entry may be NULL */
} mtb_list;
mtb_list *mtb_to_list(lua_State *L, int idx);

/* ---- memory.c ---- */

/* To be called where nothing is in flight: pays the debt when it is due. */
void mtb_pay_debt(lua_State *L, mtb_state *st);

static inline void mtb_before_op(lua_State *L, mtb_state *st) {
  if (__builtin_expect(st->made >= st->look_at, 0)) mtb_pay_debt(L, st);
}

enum { MTB_TENSOR_COST = 640 }; /* what a tensor costs beside its data and its handle */

static inline void mtb_account(mtb_state *st, const mt_tensor *t) {
  st->made += MTB_TENSOR_COST;
  if (t && t->storage && atomic_load_explicit(&t->storage->refs, memory_order_relaxed) == 1)
    st->made += t->storage->nbytes;
}

/* ---- system.c ---- */

/* An op was interrupted: the hook that would raise for the same signal is taken back. */
void mtb_interrupt_seen(lua_State *L);

/* ---- scope.c ---- */

/* Enters h into the innermost scope; raises when memory is short. */
void mtb_scope_add(lua_State *L, mtb_state *st, mtb_handle *h);
void mtb_scope_forget(mtb_handle *h);
/* The tensor at idx, or those in the plain table there, outlive every scope. */
void mtb_keep(lua_State *L, int idx);

/* ---- block.c: calling Lua with something to be undone ---- */

/* A guard's undo runs once: when the C frame ends, by an error too. */
typedef struct mtb_guard {
  void (*undo)(struct mtb_guard *g);
  mtb_state *st;
  void *p;
  int64_t i;
} mtb_guard;

static inline void mtb_guard_leave(mtb_guard *g) {
  if (!g->undo) return;
  void (*undo)(mtb_guard *) = g->undo;
  g->undo = NULL;
  undo(g);
}
#define MTB_GUARD __attribute__((cleanup(mtb_guard_leave), unused)) mtb_guard

/* lua_call that leaves g when the call raises, on Luas too whose errors jump over C frames. */
void mtb_call_guarded(lua_State *L, mtb_guard *g, int nargs, int nresults);
/* An undo that sets grad mode to g->i. */
void mtb_restore_grad(mtb_guard *g);
/* Raises unless there is a function, or something that can be called, at idx. */
void mtb_check_callable(lua_State *L, int idx, const char *who);

/* ---- node.c, backward.c, function.c ---- */

/* A new token for the value on top of the stack, which is popped and kept until the token's
 * last reference goes; the guard gives back the caller's own. */
mt_token *mtb_new_token(lua_State *L, mtb_state *st, mtb_guard *g);
void mtb_push_token(lua_State *L, const mtb_state *st, int64_t id);
/* Forgets what belonged to tokens that died. */
void mtb_drop_tokens(lua_State *L, mtb_state *st);
void mtb_push_node(lua_State *L, mtb_state *st, mt_node *n);
/* Answer what a backward asks for; g is the guard of the walk. */
void mtb_run_hook(lua_State *L, mtb_state *st, mt_backward *b, mtb_guard *g, bool create_graph);
void mtb_run_function(lua_State *L, mtb_state *st, mt_backward *b, mtb_guard *g, bool create_graph);

#endif
