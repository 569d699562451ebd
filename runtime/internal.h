/* internal.h: the runtime's services, used across its files (mt__ names).
 *
 *   status    mt_fail, MT_TRY             thread.c  the pool
 *   alloc.c   blocks of device memory     rng.c     Philox
 *   tensor.c  descriptions and copies     cpu.c     which instruction set
 *   blas.c    products on the CPU         call.c    mt_call
 */
#ifndef MT_INTERNAL_H
#define MT_INTERNAL_H

#include <stdarg.h>

#include "device.h"
#include "op.h"
#include "tensor.h"

/* ---- status.c ---- */

/* The only way to make an error: writes the thread's message, returns code. */
int mt_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int mt__fail_v(int code, const char *fmt, va_list ap);
/* Appends to / puts before the message already there. */
void mt__message_append(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mt__message_prepend(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int mt__fail_memory(size_t bytes); /* MT_ERR_MEMORY with the words "out of memory" */

/* Passes a failure up. Tensors declared with MT_AUTO are released on the way out. */
#define MT_TRY(expr)                                                                               \
  do {                                                                                             \
    int mt_try_status = (expr);                                                                    \
    if (__builtin_expect(mt_try_status != MT_OK, 0)) return mt_try_status;                         \
  } while (0)

static inline void mt__auto_release(mt_tensor **t) {
  mt_release(*t);
}
#define MT_AUTO __attribute__((cleanup(mt__auto_release))) mt_tensor

/* "float32 {2, 3}" into buf. */
const char *mt__describe(char *buf, size_t size, const mt_tensor *t);
const char *mt__shape_text(char *buf, size_t size, int ndim, const int64_t *sizes);

/* ---- alloc.c ---- */

/* Small blocks of host memory for the runtime's own structures; counted by the failing
 * allocator of the specs. mt__free takes NULL. */
void *mt__malloc(size_t size);
void *mt__calloc(size_t size);
void mt__free(void *p);
void *mt__realloc(void *p, size_t size);

/* Objects of the hot path (tensors, storages, nodes) come from per-thread free lists by size
 * class of 64 bytes up to 1024; bigger ones from malloc. The size must be given back. */
void *mt__obj_alloc(size_t size);
void mt__obj_free(void *p, size_t size);

/* A block for tensor data: size class, aligned to 64 bytes, cached when freed. NULL with
 * size 0 is success. */
int mt__block_alloc(char **out, int device, int64_t bytes);
void mt__block_free(char *p, int device, int64_t bytes);

/* True when the failing allocator wants this allocation to fail. */
bool mt__alloc_should_fail(void);

/* For mt_memory_stats: whoever makes or frees one counts. */
void mt__count_tensors(int by);
void mt__count_nodes(int by);

/* Drops one reference; true when it was the last. The holder of the only reference needs no
 * locked instruction: nobody else can take another one. */
static inline bool mt__drop(_Atomic int32_t *refs) {
  return atomic_load_explicit(refs, memory_order_acquire) == 1 ||
         atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

/* ---- tensor.c ---- */

int mt__storage_new(mt_storage **out, int device, int64_t bytes);
mt_storage *mt__storage_retain(mt_storage *s);
void mt__storage_release(mt_storage *s);

/* A description: no storage, row-major strides. */
int mt__desc_new(mt_tensor **out, int dtype, int device, int ndim, const int64_t *sizes);
/* Gives a description memory (nothing for the meta device). */
int mt__give_storage(mt_tensor *t);
/* A detached shallow copy; with_values: shares the storage, otherwise a description. */
int mt__shallow(mt_tensor **out, const mt_tensor *t, bool with_values);
void mt__set_contiguous_flag(mt_tensor *t);
void mt__row_major(int ndim, const int64_t *sizes, int64_t *strides);
/* Product of sizes, or MT_ERR_SHAPE when it or the bytes overflow. */
int mt__count(int64_t *numel, int ndim, const int64_t *sizes, int dtype);
/* Dense: some order of the dimensions is row-major without gaps or overlap. */
bool mt__is_dense(const mt_tensor *t);
/* Some element is reached by more than one index (an expanded tensor). */
bool mt__overlaps_itself(const mt_tensor *t);
/* The bytes that a and b address may meet. */
bool mt__may_overlap(const mt_tensor *a, const mt_tensor *b);
bool mt__same_layout(const mt_tensor *a, const mt_tensor *b); /* same place, sizes, strides */

void mt__release_nothing(void *ctx);

/* ---- device.c ---- */

int mt__device_check(int device); /* MT_ERR_DEVICE unless tensors can live there */

/* ---- dtype.c ---- */

/* Converts n elements; strides in elements; saturating as the API says. */
void mt__convert(char *dst, int dst_dtype, int64_t dst_stride, const char *src, int src_dtype,
                 int64_t src_stride, int64_t n);
double mt__load_f64(const char *p, int dtype);
int64_t mt__load_i64(const char *p, int dtype);
/* Stores a number, saturating. */
void mt__store_scalar(char *p, int dtype, const mt_arg *number);
int mt__default_dtype(void); /* of float literals */
int mt_set_default_dtype(int dtype);
/* dtype of the result of an op on tensors and numbers, PyTorch's rules: dimensioned tensors
 * before 0-dim ones before numbers, by category. */
int mt__result_type(int n, const mt_arg *args);

static inline float mt__half_to_float(uint16_t h);
static inline uint16_t mt__float_to_half(float f);
static inline float mt__bf16_to_float(uint16_t h);
static inline uint16_t mt__float_to_bf16(float f);
#include "half.h"

/* ---- cpu.c ---- */

enum mt_isa_level { MT_ISA_BASE = 0, MT_ISA_AVX2 = 1, MT_ISA_AVX512 = 2 };
extern int mt__isa_level; /* set at load; MOONTORCH_ISA=base|avx2|avx512 lowers it */

/* kernels/<x>.c defines `const mt_kern_<x> MT_KERN(<x>) = {...}` and is compiled once per
 * instruction set; ops/<x>.c says MT_KERNELS(reduce) and then uses mt__kern_reduce()->sum. */
#if defined(__x86_64__)
#define MT_KERNELS(x)                                                                              \
  extern const mt_kern_##x mt__kern_##x##_base, mt__kern_##x##_avx2, mt__kern_##x##_avx512;        \
  static inline const mt_kern_##x *mt__kern_##x(void) {                                            \
    return mt__isa_level == MT_ISA_AVX512 ? &mt__kern_##x##_avx512                                 \
           : mt__isa_level == MT_ISA_AVX2 ? &mt__kern_##x##_avx2                                   \
                                          : &mt__kern_##x##_base;                                  \
  }
#else
#define MT_KERNELS(x)                                                                              \
  extern const mt_kern_##x mt__kern_##x##_base;                                                    \
  static inline const mt_kern_##x *mt__kern_##x(void) {                                            \
    return &mt__kern_##x##_base;                                                                   \
  }
#endif

/* ---- thread.c ---- */

/* Runs fn(ctx, task) for task = 0..ntasks-1 on the pool; returns when all are done. How the
 * work is cut into tasks must depend on shapes only, never on the number of threads. Polls the
 * cancel flag between tasks: MT_INTERRUPTED. A call from inside a task runs serially. */
int mt__parallel(int64_t ntasks, void (*fn)(void *ctx, int64_t task), void *ctx);

/* Cuts n items into chunks of `grain` (a property of the op, not of the machine) and runs
 * fn(ctx, begin, end) on them. One chunk runs inline without touching the pool. */
int mt__parallel_range(int64_t n, int64_t grain, void (*fn)(void *, int64_t, int64_t), void *ctx);

/* ---- rng.c ---- */

/* Philox 4x32-10 (Salmon et al., SC 2011). key = seed; counter = (index, draw, stream): index
 * is the logical row-major element divided by 4 where an element takes one word; index < 2^44,
 * draw < 2^20. Loops use the inline form of philox.h. */
void mt__philox(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t index, uint32_t draw);

/* ---- blas.c: products on the CPU ---- */

/* C (m x n) = alpha * op(A) (m x k) * op(B) (k x n) + beta * C, row-major with leading
 * dimensions in elements; ta/tb: the matrix lies transposed. dtype float32 or float64. beta 0
 * never reads C. Splits itself over the pool by shape; small products use own kernels. */
int mt__gemm(int dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
             const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
             int64_t ldc);
/* The same for `batch` matrices at element distances sa, sb, sc. */
int mt__gemm_batched(int dtype, bool ta, bool tb, int64_t batch, int64_t m, int64_t n, int64_t k,
                     double alpha, const void *a, int64_t lda, int64_t sa, const void *b,
                     int64_t ldb, int64_t sb, double beta, void *c, int64_t ldc, int64_t sc);
/* One product on the calling thread (for use inside tasks). */
int mt__gemm_serial(int dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
                    const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
                    int64_t ldc);

/* ---- table.c, call.c ---- */

/* Empty, or what is wrong with the rows of the op table (told by the self-test and at load). */
const char *mt__table_error(void);
/* Copies values with a cast, any strides; same device, or across devices; no autograd. CPU to
 * CPU never allocates and never fails. (ops/copy.c) */
int mt__copy_values(mt_tensor *dst, const mt_tensor *src);

/* ---- node.c: graph nodes; view.c: histories of views; backward.c: the engine ---- */

typedef struct mt_edge {
  mt_node *node; /* owned; NULL: this input does not require grad */
  uint32_t out_nr;
} mt_edge;

enum mt_nodekind { MT_NODE_OP, MT_NODE_ACC, MT_NODE_CUSTOM, MT_NODE_COPYSLICES };

/* A token, or a list of them: the hooks of one tensor or of one output of a node. */
struct mt_token {
  _Atomic int32_t refs;
  int64_t id;
  struct mt_token *next; /* the hooks of one place, in order of registration; owned */
};

struct mt_node {
  _Atomic int32_t refs;
  uint8_t kind;
  uint8_t nout;
  bool released; /* a backward without MT_KEEP_GRAPH has passed: saved values are gone */
  int32_t nslots;
  mt_node *next_dying; /* node.c's list of nodes being freed */
  uint64_t seq;        /* later nodes have higher numbers: an edge always points to a lower one */
  const mt_op *op;     /* MT_NODE_OP */
  int64_t site;
  uint64_t seed, stream;
  size_t bytes;       /* of this block */
  mt_edge *edges;     /* nslots of them, behind the node */
  mt_arg *args;       /* MT_NODE_OP: the call's arguments; lists lie behind the node */
  mt_tensor **saved;  /* [slot]: what args refers to; a description where no value was saved */
  uint32_t *versions; /* [slot] and then [output]: the storage's version when it was saved */
  mt_tensor **outs;   /* [output]: shallow copies, with values where the derivative needs them */
  mt_token **hooks;   /* [output], lazily made */
  mt_tensor **retain; /* [output]: weak, tensors that asked for retain_grad; lazily made */
  /* MT_NODE_ACC */
  mt_tensor *leaf; /* owned */
  /* MT_NODE_CUSTOM */
  char *name;
  mt_token *token;
  int ncustom;
  mt_tensor **custom; /* saved by the caller: shallow copies with their edges as node */
  uint32_t *custom_versions;
  bool *custom_is_out;
  /* MT_NODE_COPYSLICES */
  mt_node *inner;    /* the write's own node */
  mt_viewstep *step; /* how the written view is made from its base */
};

/* Makes the node of a call: edges and saved values. Nothing is attached to the outputs yet, so
 * dropping it undoes everything. For an in-place form it is called before run and keeps a copy
 * of self where a derivative needs the old values. */
int mt__record(mt_node **out, const mt_frame *f, mt_tensor *const *slots, int nslots);
size_t mt__args_bytes(int nargs, const mt_arg *args);
void mt__args_copy(char *to, int nargs, const mt_arg *args);
void mt__node_drop_saved(mt_node *n);
bool mt__node_saves_values(const mt_node *n);
mt_token *mt__token_retain(mt_token *t);
int mt__node_retains(mt_node *n); /* makes room for retain_grad marks */
/* The edge that gradients of t flow along; makes the accumulator of a leaf. */
int mt__edge_of(mt_edge *out, mt_tensor *t);
void mt__acc_forget(mt_tensor *leaf);
void mt__node_number(mt_node *n); /* gives n the next sequence number */
int mt__node_alloc(mt_node **out, int kind, int nslots, int nout, size_t extra, char **more);
/* An argument's tensors in slot order: calls visit for each, gaps and numbers included (t is
 * NULL then). Returns the number of slots. */
int mt__slots_of(const mt_op *op, const mt_arg *args, mt_tensor **slots, int max);
int mt__count_slots(const mt_op *op, const mt_arg *args);

mt_viewstep *mt__viewstep_retain(mt_viewstep *s);
void mt__viewstep_release(mt_viewstep *s);
int mt__viewstep_new(mt_viewstep **out, const mt_op *op, const mt_arg *args, mt_viewstep *before);
/* Applies the step (and those before it) to base through mt_call. */
int mt__viewstep_apply(mt_tensor **out, mt_viewstep *s, mt_tensor *base);
/* Brings t's node up to date when its base was written since. */
int mt__view_refresh(mt_tensor *t);
/* Prepares the new history of a recorded write through view t: *base_node is the base's new
 * node (its edges done), commit with mt__view_written. */
int mt__view_write(mt_node **base_node, mt_node *write, mt_tensor *t);

/* Takes the derivative of one op node: g (nout, may hold NULL) -> gin (nslots). backward.c */
int mt__node_vjp(mt_node *n, mt_tensor **g, mt_tensor **gin, const bool *need);

extern __thread int64_t mt__site;

#endif
