/* op.h: what an op is. One op is one mt_opdef in a table of runtime/ops/<family>.c.
 *
 * A family file ends with
 *
 *     const mt_opdef mt__ops_reduce[] = {
 *       {.sig = MT_SIG("sum(Tensor self, dims? dim=None, bool keepdim=false, *, dtype? dtype=None) -> Tensor"),
 *        .doc = "Sum of all elements, or over the given dimensions.",
 *        .infer = sum_infer, .run = sum_run, .vjp = sum_vjp, .dtypes = MT_D_ALL,
 *        .samples = "{f(3,4)}, {f(3,4), 2, {keepdim=true}}, {f()}, {f(0,3), 1}"},
 *       {0}};
 *
 * runtime/gen.lua reads the MT_SIG texts at build time: it lists the families, gives each op an
 * id and writes moontorch_ops.h, in which each op is a typed C function (mt_sum(&out, x, dims,
 * keepdim, dtype)). Nothing else has to know of a new op.
 *
 * Signature text (the user's view: 1-based dims, Lua names)
 *     name(TYPE param[=DEFAULT], ..., *, TYPE keyword_only=DEFAULT) -> RESULTS
 *   TYPE      Tensor    a tensor                   Tensor!   one that is written in place
 *             Operand   a tensor or a number       Scalar    a number (int, float or bool)
 *             Tensor[]  a list of tensors          Tensor![] a list of written ones
 *             Tensor?[] a list with gaps (NULL)
 *             int float bool str                   dtype device generator
 *             dim       one dimension              dims      one or a list of them
 *             index     a position, 1-based also in C
 *             size      a list of sizes            ints floats  lists of numbers
 *             int2      a number or two of them (a number is doubled); int3 likewise
 *             choice(a|b|c)  a word; C gets its place, from 0
 *   a type followed by ? may be None, by * may be given as separate arguments (size*)
 *   DEFAULT   None, number, true/false, word, {} or {1,2}; dims stand 1-based here
 *   RESULTS   Tensor | Tensor! (the written argument itself) | (Tensor a, Tensor b) | Tensor[] | ()
 *   A name with a dot ("max.dim") is an overload of the part before the dot: Lua knows it by that.
 *   A param named requires_grad is applied to the outputs by mt_call itself.
 */
#ifndef MT_OP_H
#define MT_OP_H

#include "tensor.h"

#define MT_SIG(text) text

enum mt_ptype {
  MT_P_TENSOR,
  MT_P_OPERAND,
  MT_P_SCALAR,
  MT_P_TENSORS,
  MT_P_INT,
  MT_P_FLOAT,
  MT_P_BOOL,
  MT_P_STR,
  MT_P_DTYPE,
  MT_P_DEVICE,
  MT_P_GENERATOR,
  MT_P_DIM,
  MT_P_DIMS,
  MT_P_INDEX,
  MT_P_SIZE,
  MT_P_INTS,
  MT_P_FLOATS,
  MT_P_INT2,
  MT_P_INT3,
  MT_P_CHOICE
};

enum { MT_MAX_PARAMS = 20 };

typedef struct mt_param {
  char name[28];
  uint8_t type;  /* mt_ptype */
  bool optional; /* may be None */
  bool has_default;
  bool keyword_only;
  bool written; /* Tensor! */
  bool star;    /* separate arguments or one list */
  bool gaps;    /* Tensor?[] */
  mt_arg def;
  int64_t list[3];     /* storage of a list default */
  const char *choices; /* "mean|sum|none)": points into the signature */
} mt_param;

/* One call under way. infer makes out[k] (a tensor without storage: dtype, device, sizes,
 * strides) from the arguments' descriptions alone; mt_call gives them memory; run fills it. */
typedef struct mt_frame {
  const mt_op *op;
  int form;
  mt_arg *args; /* one a parameter, defaults filled in, not to be changed */
  mt_tensor *out[MT_MAX_OUT];
  int nout;
  size_t work_bytes;     /* infer asks for scratch here; run finds it in work. run itself */
  void *work;            /* never allocates. Aligned to 64 bytes, not cleared */
  bool random;           /* infer sets it: the call takes one number of the stream */
  uint64_t seed, stream; /* then run reads these */
  mt_generator *gen;
  mt_tensor **list; /* a composite's results where the number varies */
  int compute;      /* for infer to tell run: compute dtype; -1 until then. A device
                                 kernel is looked up by it, or else by the first tensor's */
  uint64_t priv[8]; /* for infer to tell run: anything else */
} mt_frame;

/* One derivative being taken. A tensor slot is one tensor argument (or one entry of a list
 * argument), counted over the parameters in order; a number given for an Operand has a slot
 * that stays empty, so slots do not move. */
typedef struct mt_vjp {
  const mt_op *op;
  mt_node *node;
  mt_arg *args;     /* as in the call. Of a tensor, sizes and dtype are always there; its
                        values only where .saves says that this derivative needs them */
  mt_tensor **outs; /* likewise */
  mt_tensor **g;    /* gradient of each output; NULL where it is zero. g[0] is never NULL for
                        an op with one output */
  mt_tensor **gin;  /* to fill: one new reference a slot; NULL stands for zero */
  const bool *need; /* whether gin[slot] is wanted */
  int nslots;
  uint64_t seed, stream; /* of a random op */
} mt_vjp;

typedef int (*mt_infer_fn)(mt_frame *f);
typedef int (*mt_run_fn)(mt_frame *f);
typedef int (*mt_vjp_fn)(mt_vjp *v);

enum mt_opflag {
  MT_OP_METHOD = 1,        /* x:name(...): set by default where the first parameter is a tensor */
  MT_OP_INPLACE = 2,       /* has x:name_(...) and, in Lua, an out = z form comes for every op with
                          one fresh result */
  MT_OP_VIEW = 4,          /* out[0] shares the first argument's storage */
  MT_OP_READS = 8,         /* infer reads the values of its arguments (nonzero) */
  MT_OP_HIDDEN = 16,       /* no Lua name: used by derivatives */
  MT_OP_NO_FUNCTION = 32,  /* only a method (x:view, x:copy_) */
  MT_OP_FUNCTIONAL = 64,   /* lives in torch.nn.functional, no method: cross_entropy, conv2d */
  MT_OP_MULTIVIEW = 128,   /* a composite that returns several views made together */
  MT_OP_LEAF_OK = 256,     /* may write a leaf that requires grad (optimizers, under no_grad) */
  MT_OP_LINALG = 512,      /* lives in torch.linalg */
  MT_OP_OVERLAP_OK = 1024, /* run handles inputs that overlap the output */
  MT_OP_CONTIGUOUS = 2048, /* run wants row-major arguments: mt_call copies those that are not */
  MT_OP_MIXED_DEVICE = 4096, /* a 0-dim CPU tensor may join operands of another device */
  MT_OP_CELLS = 16384,       /* CPU tensors may join operands of another device: numbers that change
                                from step to step (lr), read through their pointer */
  MT_OP_CROSS_DEVICE = 32768, /* .run moves values between devices itself: always the CPU's */
  MT_OP_NO_AUTOGRAD = 8192    /* results never require grad, whatever the dtype (detach, eq) */
};

/* Bits of .dtypes: which dtypes the first tensor argument may have. */
#define MT_D(d)         (1u << (d))
#define MT_D_FLOAT32_64 (MT_D(MT_FLOAT32) | MT_D(MT_FLOAT64))
#define MT_D_FLOAT      (MT_D_FLOAT32_64 | MT_D(MT_FLOAT16) | MT_D(MT_BFLOAT16))
#define MT_D_INT        (MT_D(MT_UINT8) | MT_D(MT_INT8) | MT_D(MT_INT16) | MT_D(MT_INT32) | MT_D(MT_INT64))
#define MT_D_NUMBER     (MT_D_FLOAT | MT_D_INT)
#define MT_D_ALL        (MT_D_NUMBER | MT_D(MT_BOOL))

typedef struct mt_opdef {
  const char *sig;
  const char *doc;     /* one line; a formula's source may follow in brackets */
  mt_infer_fn infer;   /* primitives: description of the outputs, and every check of values
                            that needs no data */
  mt_run_fn run;       /* primitives: the CPU kernel. Contiguous or not, any dtype claimed */
  mt_run_fn composite; /* composites: only calls of other ops; sets f->out[k] to new
                            references (for "-> Tensor[]": mt__result(f, k)) */
  int (*outputs)(int *n, const mt_op *op, const mt_arg *args); /* for "-> Tensor[]" */
  mt_vjp_fn vjp;     /* primitives that are differentiable; written with ops */
  const char *saves; /* which values the derivative of which argument needs:
                            "self:other other:self" or "self:out" ("out0", "out1" for several).
                            Only what stands here is kept alive by the graph */
  uint32_t dtypes;   /* MT_D_...: dtypes of the first tensor argument; the specs walk them */
  uint32_t flags;
  const char *samples; /* Lua: "{args}, {args}, ..."; helpers see spec/ops/README.md */
  const void *extra;   /* for the family */
  const char *bwd;     /* "MulBackward"; made from the name when absent */
} mt_opdef;

struct mt_op {
  mt_opdef def;
  int id;
  char name[40]; /* with overload: "max.dim" */
  char base[40]; /* "max" */
  char node[52]; /* "MaxBackward" */
  int nparams, nrequired, npositional;
  mt_param params[MT_MAX_PARAMS];
  int nout; /* results; -1: a list */
  char outname[MT_MAX_OUT][16];
  bool returns_self; /* "-> Tensor!" */
  int first_written; /* parameter number of the Tensor! or -1 */
  int requires_grad_param;
  int nslots;                        /* tensor slots; -1: a list makes their number vary */
  uint8_t slot_param[MT_MAX_PARAMS]; /* the parameter of each slot */
  uint32_t save_args[MT_MAX_PARAMS]; /* [param]: bits of params that its derivative needs */
  uint32_t save_outs[MT_MAX_PARAMS]; /* [param]: bits of outputs that it needs */
};

/* ---- for infer ---- */

/* Makes out[k], row-major. */
int mt__out(mt_frame *f, int k, int dtype, int device, int ndim, const int64_t *sizes);
/* Makes out[k] with the given strides (dense, a permutation of row-major: memory format). */
int mt__out_strided(mt_frame *f, int k, int dtype, int device, int ndim, const int64_t *sizes,
                    const int64_t *strides);
/* Makes out[k] with t's sizes and, if t is dense, t's order of dimensions in memory. */
int mt__out_like(mt_frame *f, int k, int dtype, const mt_tensor *t);
/* Makes out[0] a view of argument 0's storage. offset in elements from the storage's start. */
int mt__out_view(mt_frame *f, int ndim, const int64_t *sizes, const int64_t *strides,
                 int64_t offset);
/* 0-based, maybe negative dim -> 0..ndim-1; the message speaks 1-based. A 0-dim tensor counts
 * as having one dimension. name: the parameter's. */
int mt__dim(const mt_frame *f, const char *name, int64_t dim, int ndim, int *out);
/* A dims argument (MT_NONE: all) as a mask of dimensions. */
int mt__dims_mask(const mt_frame *f, const mt_arg *dims, int ndim, uint32_t *mask);
/* Broadcasts n shapes; fails with PyTorch's words. */
int mt__broadcast(const mt_frame *f, int n, mt_tensor *const *t, int *ndim, int64_t *sizes);
/* "name: expected dtype ..., got ..." unless the tensor has one of the dtypes in mask. */
int mt__want_dtype(const mt_frame *f, const char *param, const mt_tensor *t, uint32_t mask);
int mt__want_ndim(const mt_frame *f, const char *param, const mt_tensor *t, int lo, int hi);

/* Fails with "op: message"; use it in infer and run. */
int mt__op_fail(const mt_frame *f, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static inline mt_tensor *mt__t(const mt_frame *f, int param) {
  return f->args[param].kind == MT_TENSOR ? f->args[param].u.t : NULL;
}

/* For a composite that returns a list: out[k] of any number. Takes the reference. */
void mt__result(mt_frame *f, int k, mt_tensor *t);

/* A number argument as double or as int64 (floats truncate). */
static inline double mt__num(const mt_arg *a) {
  return a->kind == MT_FLOAT ? a->u.f : (double)a->u.i;
}
static inline int64_t mt__int(const mt_arg *a) {
  return a->kind == MT_FLOAT ? (int64_t)a->u.f : a->u.i;
}

/* ---- for vjp ---- */

/* The first tensor slot of a parameter. */
int mt__slot(const mt_vjp *v, int param);
/* gin[slot] = g summed over the dimensions along which `like` was broadcast. */
int mt__sum_to(mt_tensor **out, mt_tensor *g, const mt_tensor *like);
/* Zeros with the description of t (device, dtype, sizes). */
int mt__zeros_like(mt_tensor **out, const mt_tensor *t);

/* ---- arguments for mt_call made by hand ---- */
#ifndef __cplusplus
static inline mt_arg mt__arg_t(mt_tensor *t) {
  mt_arg a = {.kind = t ? MT_TENSOR : MT_NONE};
  a.u.t = t;
  return a;
}
static inline mt_arg mt__arg_i(int64_t i) {
  mt_arg a = {.kind = MT_INT};
  a.u.i = i;
  return a;
}
static inline mt_arg mt__arg_f(double x) {
  mt_arg a = {.kind = MT_FLOAT};
  a.u.f = x;
  return a;
}
static inline mt_arg mt__arg_b(bool b) {
  mt_arg a = {.kind = MT_TRUTH};
  a.u.i = b;
  return a;
}
static inline mt_arg mt__arg_none(void) {
  mt_arg a = {.kind = MT_NONE};
  return a;
}

/* Lists in the typed wrappers of moontorch_ops.h. */
typedef struct mt_ints {
  int n; /* -1: None */
  const int64_t *v;
} mt_ints;
typedef struct mt_tensors {
  int n;
  mt_tensor **v;
} mt_tensors;
#define MT_INTS_OF(...)                                                                            \
  ((mt_ints){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}})
#define MT_INTS_NONE ((mt_ints){-1, NULL})

#endif /* __cplusplus */

#endif
