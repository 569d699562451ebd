#pragma once
/* moontorch.h: the public C API of the runtime.
 *
 * The file has no other directive than the line above, so that ffi.cdef reads it as it is.
 * From C, include <stdint.h>, <stddef.h> and <stdbool.h> before it, or include
 * "moontorch_ops.h", made at build time, which does so and adds one typed function per op.
 *
 * Conventions
 *  - Every function that can fail returns a status: 0 is MT_OK. The result comes through the
 *    first out parameter, which is NULL after a failure. mt_last_error() is the calling
 *    thread's message. Nothing aborts, exits, prints or jumps.
 *  - An out parameter of type mt_tensor ** gives the caller one reference; a returned pointer
 *    is borrowed.
 *  - In C dims count from 0 and may be negative from the end; everything that addresses an
 *    element (an index, a class, a start) counts from 1, as in Lua.
 *  - A stride is in elements. Sizes and strides are int64_t, dims are int.
 */

typedef struct mt_tensor mt_tensor;
typedef struct mt_node mt_node;
typedef struct mt_op mt_op;
typedef struct mt_generator mt_generator;
typedef struct mt_backward mt_backward;
typedef struct mt_token mt_token;

enum { MT_MAX_DIMS = 16, MT_MAX_OUT = 4 };

enum mt_status {
  MT_OK = 0,
  MT_ERR_MEMORY = 1,      /* an allocation failed: the caller may free, collect and retry */
  MT_ERR_SHAPE = 2,       /* sizes or number of dimensions */
  MT_ERR_DTYPE = 3,       /* dtype not accepted, or no kernel for it */
  MT_ERR_DEVICE = 4,      /* operands on different devices, device not there */
  MT_ERR_INDEX = 5,       /* a dim, an index or a class out of range */
  MT_ERR_VALUE = 6,       /* any other argument whose value is not accepted */
  MT_ERR_GRAD = 7,        /* autograd: no graph, graph freed, modified in place, leaf */
  MT_ERR_IO = 8,          /* files: not found, truncated, corrupt */
  MT_ERR_UNSUPPORTED = 9, /* exists, but not in this build or on this machine */
  MT_INTERRUPTED = 10,    /* mt_interrupt() was called while the op ran */
  MT_ERR_INTERNAL = 11
};

/* The order is the order of promotion within a category; the numbers stand in files. */
enum mt_dtype {
  MT_BOOL = 0,
  MT_UINT8 = 1,
  MT_INT8 = 2,
  MT_INT16 = 3,
  MT_INT32 = 4,
  MT_INT64 = 5,
  MT_FLOAT16 = 6,
  MT_BFLOAT16 = 7,
  MT_FLOAT32 = 8,
  MT_FLOAT64 = 9,
  MT_NDTYPES = 10,
  MT_COMPLEX64 = 10, /* reserved */
  MT_COMPLEX128 = 11 /* reserved */
};

/* A device is one number: the CPU, the meta device (shapes without data), or a CUDA device,
 * MT_CUDA + the driver's ordinal. */
enum mt_device { MT_CPU = 0, MT_META = 1, MT_CUDA = 16 };

/* One argument of an op. The kind says which member of the union holds. */
enum mt_kind {
  MT_NONE = 0,
  MT_TENSOR = 1,  /* t */
  MT_INT = 2,     /* i: whole numbers, dims, indices, dtypes, devices, choices */
  MT_FLOAT = 3,   /* f */
  MT_TRUTH = 4,   /* i: a bool */
  MT_INTS = 5,    /* is, n of them */
  MT_TENSORS = 6, /* ts, n of them; an entry may be NULL where the op says so */
  MT_STRING = 7,  /* s */
  MT_GENERATOR = 8,
  MT_FLOATS = 9 /* fs, n of them */
};

typedef struct mt_arg {
  int32_t kind;
  int32_t n;
  union {
    mt_tensor *t;
    mt_tensor **ts;
    int64_t i;
    double f;
    const int64_t *is;
    const double *fs;
    const char *s;
    mt_generator *gen;
  } u;
} mt_arg;

/* ---- status ---- */
const char *mt_last_error(void);
const char *mt_status_name(int status);

/* ---- dtypes and devices ---- */
const char *mt_dtype_name(int dtype); /* "float32"; NULL if there is none */
int mt_dtype_size(int dtype);         /* bytes of one element */
bool mt_dtype_is_float(int dtype);
int mt_promote_types(int a, int b);              /* PyTorch's lattice */
int mt_dtype_parse(int *out, const char *name);  /* "float32", "float", "long", ... */
int mt_device_parse(int *out, const char *name); /* "cpu", "meta", "cuda", "cuda:1" */
void mt_device_name(char *buf, size_t size, int device);
int mt_device_count(int type);  /* MT_CPU, MT_META or MT_CUDA */
int mt_device_loaded(int type); /* the same, but 0 until the plugin was asked for */
int mt_device_synchronize(int device);
int mt_load_plugin(const char *path); /* the CUDA plugin, from a file */

/* ---- tensors ---- */
int mt_new(mt_tensor **out, int dtype, int device, int ndim, const int64_t *sizes);
/* A tensor over memory of the caller's; release(ctx) is called once when the last view of it
 * is gone, and also when this function fails. */
int mt_from_blob(mt_tensor **out, void *data, int dtype, int ndim, const int64_t *sizes,
                 void (*release)(void *), void *ctx);
mt_tensor *mt_retain(mt_tensor *t); /* returns t */
void mt_release(mt_tensor *t);      /* NULL is fine */
int mt_dtype_of(const mt_tensor *t);
int mt_device_of(const mt_tensor *t);
int mt_ndim(const mt_tensor *t);
const int64_t *mt_sizes(const mt_tensor *t);
const int64_t *mt_strides(const mt_tensor *t);
int64_t mt_offset(const mt_tensor *t); /* in elements, from the storage's start */
int64_t mt_numel(const mt_tensor *t);
bool mt_is_contiguous(const mt_tensor *t);
void *mt_data(const mt_tensor *t); /* first element; NULL without storage */
int64_t mt_storage_bytes(const mt_tensor *t);
uint64_t mt_storage_id(const mt_tensor *t); /* equal for tensors that share storage */
uint64_t mt_id(const mt_tensor *t);         /* never reused within a process */
uint32_t mt_version(const mt_tensor *t);    /* counts in-place writes */
/* The number in a tensor of one element: exactly one of i and f is meaningful. */
int mt_item(const mt_tensor *t, bool *is_float, int64_t *i, double *f);

/* ---- ops ---- */
const mt_op *mt_op_find(const char *name); /* "add", "max.dim"; NULL if there is none */
int mt_op_count(void);
const mt_op *mt_op_at(int id);
const char *mt_op_name(const mt_op *op);
const char *mt_op_signature(const mt_op *op);
const char *mt_op_doc(const mt_op *op);
const char *mt_op_samples(const mt_op *op); /* sample inputs for the generic specs */
uint32_t mt_op_flags(const mt_op *op);
uint32_t mt_op_dtypes(const mt_op *op); /* bit d is set where the op takes dtype d */

/* How an op is called. MT_CALL_INPLACE writes into the first argument, MT_CALL_OUT into
 * *out, which then holds a tensor on entry that is resized when it does not fit. */
enum mt_form { MT_CALL = 0, MT_CALL_INPLACE = 1, MT_CALL_OUT = 2 };

/* args: one entry per parameter of the signature, MT_NONE for "not given" where the parameter
 * may be left out (mt_op_defaults fills the rest). out: mt_op_outputs() slots. */
int mt_call(const mt_op *op, int form, mt_arg *args, mt_tensor **out);
int mt_op_outputs(int *n, const mt_op *op, const mt_arg *args); /* differs by args for lists */
int mt_op_params(const mt_op *op);
void mt_op_defaults(const mt_op *op, mt_arg *args);

/* ---- autograd ---- */
bool mt_grad_enabled(void);
bool mt_set_grad_enabled(bool on); /* returns the former state; per thread */
bool mt_inference_enabled(void);
bool mt_set_inference(bool on);
bool mt_requires_grad(const mt_tensor *t);
bool mt_is_leaf(const mt_tensor *t);
int mt_set_requires_grad(mt_tensor *t, bool on);
int mt_detach(mt_tensor **out, mt_tensor *t);     /* shares storage and version */
int mt_data_alias(mt_tensor **out, mt_tensor *t); /* shares storage, version of its own */
int mt_grad(mt_tensor **out, mt_tensor *t);       /* borrowed into *out: .grad or NULL */
int mt_set_grad(mt_tensor *t, mt_tensor *grad);   /* NULL clears */
int mt_retain_grad(mt_tensor *t);
int mt_grad_fn(mt_node **out, mt_tensor *t); /* a reference, or NULL for a leaf */
mt_node *mt_node_retain(mt_node *n);
void mt_node_release(mt_node *n);
const char *mt_node_name(const mt_node *n); /* "MulBackward" */
int mt_node_edges(const mt_node *n);
mt_node *mt_node_next(const mt_node *n, int edge, uint32_t *out_nr); /* borrowed, may be NULL */
int64_t mt_node_site(const mt_node *n);
void mt_set_site(int64_t site); /* given to the nodes made from now on */

/* Backward is pulled. begin makes the state; step runs nodes until all is done (MT_OK with
 * *request == 0) or until the caller has to do something:
 *   MT_WANT_NODE  a node the caller defined: mt_backward_grads() are the gradients of its
 *                 outputs (NULL where zero); answer with mt_backward_answer.
 *   MT_WANT_HOOK  a hook: mt_backward_grads() holds one gradient; answer with the same or
 *                 another one (n = 1).
 * Several states may be suspended at once. inputs == NULL accumulates into the .grad of
 * leaves; otherwise the gradients of inputs are collected and nothing is accumulated. */
enum mt_backward_flag { MT_KEEP_GRAPH = 1, MT_CREATE_GRAPH = 2, MT_ALLOW_UNUSED = 4 };
enum mt_backward_request { MT_WANT_NOTHING = 0, MT_WANT_NODE = 1, MT_WANT_HOOK = 2 };
int mt_backward_begin(mt_backward **out, int nroots, mt_tensor **roots, mt_tensor **grads,
                      int ninputs, mt_tensor **inputs, int flags);
/* After MT_ERR_MEMORY the step may be called again: it goes on where it was. */
int mt_backward_step(mt_backward *b, int *request);
mt_token *mt_backward_token(mt_backward *b); /* borrowed: the node's or hook's token */
int mt_backward_grads(mt_backward *b, mt_tensor ***grads);        /* returns how many, borrowed */
mt_node *mt_backward_node(mt_backward *b);                        /* borrowed */
int mt_backward_answer(mt_backward *b, int n, mt_tensor **grads); /* takes no references */
int mt_backward_result(mt_tensor **out, mt_backward *b, int i);   /* gradient of inputs[i] */
void mt_backward_free(mt_backward *b);

/* Caller-defined nodes and hooks. A token stands for something of the caller's; when its last
 * reference goes, its id is queued and mt_token_dropped returns it (0 when there is none). */
int mt_token_new(mt_token **out, int64_t id);
int64_t mt_token_id(const mt_token *t);
void mt_token_release(mt_token *t);
int64_t mt_token_dropped(void);
/* Makes the outputs the results of one node whose inputs are given. The node takes a
 * reference to the token. Outputs are detached tensors; they are changed in place. */
int mt_node_custom(mt_node **out, const char *name, mt_token *token, int nin, mt_tensor **inputs,
                   int nout, mt_tensor **outputs);
int mt_hook_add(mt_tensor *t, mt_token *token);
int mt_hook_remove(mt_tensor *t, int64_t id);
/* Saved by a caller-defined node: value with its edge, checked for in-place writes. */
int mt_node_save(mt_node *n, int count, mt_tensor **tensors);
int mt_node_saved(mt_tensor **out, mt_node *n, int i); /* MT_ERR_GRAD when freed or modified */
int mt_node_saved_count(const mt_node *n);

/* ---- random numbers ---- */
int mt_generator_new(mt_generator **out, int device);
mt_generator *mt_generator_retain(mt_generator *g);
void mt_generator_release(mt_generator *g);
mt_generator *mt_default_generator(int device); /* borrowed */
void mt_generator_seed(mt_generator *g, uint64_t seed);
void mt_generator_state(const mt_generator *g, uint64_t *seed, uint64_t *stream);
void mt_generator_set_state(mt_generator *g, uint64_t seed, uint64_t stream);
void mt_manual_seed(uint64_t seed); /* every device's default generator */

/* ---- memory ---- */
typedef struct mt_memory {
  int64_t live;        /* bytes of live storages */
  int64_t peak;        /* the most since the last reset */
  int64_t cached;      /* freed blocks kept for reuse */
  int64_t allocations; /* blocks ever handed out */
  int64_t tensors;     /* tensor objects alive */
  int64_t nodes;       /* graph nodes alive */
} mt_memory;
void mt_memory_stats(mt_memory *out, int device);
void mt_memory_reset_peak(int device);
void mt_memory_flush(int device); /* gives the cached blocks back */
/* For tests: the allocation that is the k-th from now fails (k >= 1), lasting: and all after
 * it; k == 0 turns it off. */
void mt_debug_fail_alloc(int64_t k, bool lasting);
int64_t mt_debug_allocs(void); /* allocations asked for so far */

/* ---- threads and interruption ---- */
int mt_num_threads(void);
int mt_set_num_threads(int n);
void mt_interrupt(void);   /* async-signal-safe */
bool mt_interrupted(void); /* reads and clears */

/* ---- about this machine ---- */
const char *mt_isa(void);  /* "avx512", "avx2", "sse2", "neon" */
const char *mt_blas(void); /* what runs products, for doctor */
const char *mt_version_string(void);
