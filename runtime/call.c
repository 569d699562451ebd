/* call.c: mt_call, the one door that every op goes through.
 *
 *   check    roles, dtypes, devices, what may be written
 *   infer    the op's own checks; descriptions of the outputs, without data
 *   prepare  memory of the outputs, scratch, contiguous copies, graph node, view record
 *   run      the kernel
 *   commit   version counters, histories, random stream; cannot fail
 *
 * Everything that can fail comes before run, and run fails only before it writes to something
 * that existed before (or when it is interrupted), so a failed call leaves its arguments as
 * they were. A composite has no kernel: it is calls of other ops, and mt_call only passes it
 * through. */
#include <string.h>

#include "internal.h"

enum { SMALL = 8 };

/* What mt_call holds while a primitive is on its way. */
typedef struct {
  mt_frame f;
  mt_tensor **slots; /* every tensor argument, in order */
  int nslots;
  mt_tensor *small[SMALL];
  bool record;
  int device;
  mt_tensor *target;  /* the one tensor written in place, or NULL */
  mt_tensor *given;   /* out = z: a tensor whose memory may serve as out[0]'s */
  bool took;          /* it did */
  mt_node *node;      /* of the call */
  mt_node *base_node; /* of target's base, when target is a view */
  mt_viewstep *step;  /* of out[0], when the op is a view */
  mt_arg *plain;      /* arguments with contiguous or non-overlapping copies put in */
  mt_tensor **copies;
  int ncopies;
  mt_arg plain_small[MT_MAX_PARAMS];
} call;

static __thread bool grad_off, inference;

bool mt_grad_enabled(void) {
  return !grad_off;
}

bool mt_set_grad_enabled(bool on) {
  bool was = !grad_off;
  grad_off = !on;
  return was;
}

bool mt_inference_enabled(void) {
  return inference;
}

bool mt_set_inference(bool on) {
  bool was = inference;
  inference = on;
  return was;
}

/* ---- check ---- */

static int check_devices(call *c) {
  mt_tensor *first = NULL;
  bool mixed = (c->f.op->def.flags & MT_OP_MIXED_DEVICE) != 0;
  for (int i = 0; i < c->nslots; i++) {
    mt_tensor *t = c->slots[i];
    if (!t) continue;
    if (!first) first = t;
    if (t->device == first->device) continue;
    if (mixed && t->device == MT_CPU && t->ndim == 0) continue;
    if (t->device == MT_CPU && (c->f.op->def.flags & MT_OP_CELLS)) continue;
    if (mixed && first->device == MT_CPU && first->ndim == 0) {
      first = t;
      continue;
    }
    char a[24], b[24];
    mt_device_name(a, sizeof a, first->device);
    mt_device_name(b, sizeof b, t->device);
    return mt__op_fail(&c->f, MT_ERR_DEVICE,
                       "Expected all tensors to be on the same device, but found at least two "
                       "devices, %s and %s!",
                       a, b);
  }
  return MT_OK;
}

/* A tensor about to be written: is it allowed? */
static int check_written(const call *c, mt_tensor *t) {
  const mt_frame *f = &c->f;
  if (mt__overlaps_itself(t))
    return mt__op_fail(f, MT_ERR_VALUE,
                       "unsupported operation: more than one element of the written-to tensor "
                       "refers to a single memory location; use :clone() before writing");
  if ((t->flags & MT_T_INFERENCE) && !inference && !grad_off && c->record)
    return mt__op_fail(f, MT_ERR_GRAD,
                       "Inplace update to inference tensor outside inference_mode is not allowed; "
                       "use :clone() to get a normal tensor");
  if (grad_off || (f->op->def.flags & MT_OP_LEAF_OK)) return MT_OK;
  if (!t->node && (t->flags & MT_T_REQUIRES_GRAD))
    return mt__op_fail(f, MT_ERR_GRAD,
                       "a leaf Variable that requires grad is being used in an in-place operation; "
                       "write inside torch.no_grad(function() ... end) or to x.data");
  mt_tensor *base = t->base;
  if (base && !base->node && (base->flags & MT_T_REQUIRES_GRAD))
    return mt__op_fail(f, MT_ERR_GRAD,
                       "a view of a leaf Variable that requires grad is being used in an in-place "
                       "operation; write inside torch.no_grad(function() ... end)");
  if (!c->record || !base) return MT_OK;
  if (t->flags & MT_T_MULTIVIEW)
    return mt__op_fail(f, MT_ERR_GRAD,
                       "This is one of several views made together (split, chunk, unbind) and is "
                       "being modified inplace; use :clone(), or narrow and select instead");
  if (t->flags & MT_T_NOGRAD_VIEW)
    return mt__op_fail(f, MT_ERR_GRAD,
                       "A view was created in no_grad mode and is being modified inplace with grad "
                       "mode enabled; make the view outside no_grad, or :clone() it");
  return MT_OK;
}

static int gather_slots(call *c) {
  const mt_op *op = c->f.op;
  if (op->nslots >= 0 && op->nslots <= SMALL) { /* no lists: the usual case */
    c->nslots = op->nslots;
    for (int i = 0; i < op->nslots; i++) {
      const mt_arg *a = &c->f.args[op->slot_param[i]];
      c->small[i] = a->kind == MT_TENSOR ? a->u.t : NULL;
    }
    return MT_OK;
  }
  c->nslots = mt__slots_of(op, c->f.args, c->small, SMALL);
  if (c->nslots > SMALL) {
    c->slots = mt__malloc((size_t)c->nslots * sizeof *c->slots);
    if (!c->slots) return mt__fail_memory((size_t)c->nslots * sizeof *c->slots);
    mt__slots_of(op, c->f.args, c->slots, c->nslots);
  }
  return MT_OK;
}

static int check(call *c) {
  const mt_op *op = c->f.op;
  MT_TRY(gather_slots(c));
  bool any = false, several_devices = false;
  const mt_tensor *first = NULL;
  for (int i = 0; i < c->nslots; i++) {
    mt_tensor *t = c->slots[i];
    if (!t) continue;
    if (t->view && t->storage && t->storage->version != t->view_version)
      MT_TRY(mt__view_refresh(t));
    any |= mt__requires_grad(t);
    if (!first)
      first = t;
    else
      several_devices |= t->device != first->device;
  }
  c->record = any && !grad_off && op->def.vjp && !(op->def.flags & MT_OP_NO_AUTOGRAD);
  if (first && op->def.dtypes && !(op->def.dtypes >> first->dtype & 1))
    return mt__op_fail(&c->f, MT_ERR_DTYPE, "not implemented for dtype %s",
                       mt_dtype_name(first->dtype));
  if (several_devices && !(op->def.flags & MT_OP_CROSS_DEVICE)) MT_TRY(check_devices(c));
  if (c->f.form == MT_CALL_INPLACE)
    c->target = c->slots[0];
  else if (op->first_written >= 0 && op->params[op->first_written].type == MT_P_TENSOR &&
           op->nout == 1)
    c->target = mt__t(&c->f, op->first_written);
  if (c->target)
    MT_TRY(check_written(c, c->target));
  else if (op->first_written >= 0) {
    for (int i = 0, slot = 0; i < op->nparams; i++) {
      int type = op->params[i].type, n = 0;
      if (type == MT_P_TENSOR || type == MT_P_OPERAND)
        n = 1;
      else if (type == MT_P_TENSORS && c->f.args[i].kind == MT_TENSORS)
        n = c->f.args[i].n;
      for (int k = 0; k < n; k++, slot++)
        if (op->params[i].written && c->slots[slot]) MT_TRY(check_written(c, c->slots[slot]));
    }
  }
  return MT_OK;
}

/* ---- prepare ---- */

static mt_arg *own_args(call *c) {
  if (!c->plain) {
    memcpy(c->plain_small, c->f.args, (size_t)c->f.op->nparams * sizeof(mt_arg));
    c->plain = c->plain_small;
    c->f.args = c->plain;
  }
  return c->plain;
}

static int copy_of(mt_tensor **out, const mt_tensor *t) {
  mt_tensor *copy = NULL;
  *out = NULL;
  MT_TRY(mt__desc_new(&copy, t->dtype, t->device, t->ndim, t->sizes));
  int status = mt__give_storage(copy);
  if (status == MT_OK && copy->storage && t->numel) status = mt__copy_values(copy, t);
  if (status != MT_OK) {
    mt_release(copy);
    return status;
  }
  *out = copy;
  return MT_OK;
}

/* Puts row-major copies in the place of arguments that are not row-major (for ops that ask for
 * it), and of inputs that the output overlaps. The node has the originals already. */
static int plain_arguments(call *c) {
  const mt_op *op = c->f.op;
  bool contiguous = (op->def.flags & MT_OP_CONTIGUOUS) != 0;
  mt_tensor *target = c->target && !(op->def.flags & MT_OP_OVERLAP_OK) ? c->target : NULL;
  if (!contiguous && !target) return MT_OK;
  for (int i = 0, slot = 0; i < op->nparams; i++) {
    int type = op->params[i].type;
    bool list = type == MT_P_TENSORS && c->f.args[i].kind == MT_TENSORS;
    int n = type == MT_P_TENSOR || type == MT_P_OPERAND ? 1 : list ? c->f.args[i].n : 0;
    for (int k = 0; k < n; k++, slot++) {
      mt_tensor *t = c->slots[slot];
      if (!t || t == target || op->params[i].written) continue;
      bool copy = contiguous && !mt__is_contiguous(t);
      if (target && t->device == target->device && !mt__same_layout(t, target) &&
          mt__may_overlap(t, target))
        copy = true;
      if (!copy) continue;
      if (!c->copies) {
        c->copies = mt__calloc((size_t)c->nslots * sizeof *c->copies);
        if (!c->copies) return mt__fail_memory((size_t)c->nslots * sizeof *c->copies);
      }
      mt_tensor *fresh;
      MT_TRY(copy_of(&fresh, t));
      c->copies[c->ncopies++] = fresh;
      mt_arg *args = own_args(c);
      c->slots[slot] = fresh;
      if (list)
        args[i].u.ts = c->slots + slot - k; /* a parameter's slots lie in order */
      else
        args[i].u.t = fresh;
    }
  }
  return MT_OK;
}

static bool same_sizes(const mt_tensor *a, const mt_tensor *b) {
  return a->ndim == b->ndim && memcmp(a->sizes, b->sizes, (size_t)a->ndim * sizeof *a->sizes) == 0;
}

/* May the kernel write straight into z? Only when it is what infer described, and no input
 * would change under the kernel's hands. */
static bool can_take(const call *c, const mt_tensor *z) {
  const mt_tensor *r = c->f.out[0];
  if (c->f.nout != 1 || r->storage || z->dtype != r->dtype || z->device != r->device ||
      !z->storage || !same_sizes(z, r) || !mt__is_contiguous(z) || !mt__is_contiguous(r))
    return false;
  for (int i = 0; i < c->nslots; i++) {
    mt_tensor *t = c->slots[i];
    if (!t || !mt__may_overlap(t, z)) continue;
    if (!(c->f.op->def.flags & MT_OP_INPLACE) || !mt__same_layout(t, z)) return false;
  }
  return true;
}

static int out_memory(call *c) {
  mt_frame *f = &c->f;
  if (c->given && can_take(c, c->given)) {
    f->out[0]->storage = mt__storage_retain(c->given->storage);
    f->out[0]->offset = c->given->offset;
    c->took = true;
  }
  for (int k = 0; k < f->nout; k++)
    if (!f->out[k]->storage) MT_TRY(mt__give_storage(f->out[k]));
  return MT_OK;
}

static int work_memory(call *c) {
  if (!c->f.work_bytes || c->device == MT_META) return MT_OK;
  char *work;
  MT_TRY(mt__block_alloc(&work, c->device, (int64_t)c->f.work_bytes));
  c->f.work = work;
  return MT_OK;
}

static int prepare(call *c) {
  mt_frame *f = &c->f;
  const mt_op *op = f->op;
  c->device = f->nout ? f->out[0]->device : c->nslots && c->slots[0] ? c->slots[0]->device : MT_CPU;
  if (f->random) {
    if (!f->gen) {
      for (int i = 0; i < op->nparams; i++)
        if (op->params[i].type == MT_P_GENERATOR && f->args[i].kind == MT_GENERATOR)
          f->gen = f->args[i].u.gen;
      if (!f->gen) f->gen = mt_default_generator(c->device);
    }
    mt_generator_state(f->gen, &f->seed, &f->stream);
  }
  if (!c->target) MT_TRY(out_memory(c));
  MT_TRY(work_memory(c));
  if (c->record) {
    c->record = false;
    for (int k = 0; k < f->nout; k++) c->record |= mt__is_float(f->out[k]->dtype);
  }
  if (c->record) {
    int form = f->form;
    if (c->target) f->form = MT_CALL_INPLACE; /* also for "Tensor!" ops: keep old values */
    int status = mt__record(&c->node, f, c->slots, c->nslots);
    f->form = form;
    MT_TRY(status);
    if (c->target && (c->target->flags & MT_T_RETAIN_GRAD)) MT_TRY(mt__node_retains(c->node));
    if (c->target && c->target->base) MT_TRY(mt__view_write(&c->base_node, c->node, c->target));
  }
  if ((op->def.flags & MT_OP_VIEW) && !grad_off && !inference && mt__is_float(f->out[0]->dtype)) {
    mt_tensor *self = c->slots[0];
    if (!(self->base && !self->view)) /* a view of a no_grad view has no steps either */
      MT_TRY(mt__viewstep_new(&c->step, op, f->args, self->view));
  }
  return plain_arguments(c);
}

/* ---- run ---- */

static int run(call *c) {
  mt_frame *f = &c->f;
  int device = c->device;
  if (device == MT_META || (f->op->def.flags & MT_OP_VIEW)) return MT_OK;
  if (device == MT_CPU || (f->op->def.flags & MT_OP_CROSS_DEVICE)) return f->op->def.run(f);
  int dtype = f->compute;
  for (int i = 0; i < c->nslots && dtype < 0; i++)
    if (c->slots[i]) dtype = c->slots[i]->dtype;
  if (dtype < 0) dtype = f->out[0]->dtype;
  mt_run_fn kernel = mt__device(device)->find_kernel(f->op->name, dtype);
  if (!kernel) {
    char name[24];
    mt_device_name(name, sizeof name, device);
    return mt__op_fail(f, MT_ERR_UNSUPPORTED, "no kernel for dtype %s on device %s",
                       mt_dtype_name(dtype), name);
  }
  return kernel(f);
}

/* ---- commit ---- */

static void set_history(mt_tensor *t, mt_node *node, uint32_t out_nr) {
  mt_node *old = t->node;
  if (t->flags & MT_T_RETAIN_GRAD) { /* what asked to keep its gradient keeps the new one */
    old->retain[t->out_nr] = NULL;
    if (node->retain)
      node->retain[out_nr] = t;
    else
      t->flags &= (uint16_t)~MT_T_RETAIN_GRAD;
  }
  t->node = mt_node_retain(node);
  t->out_nr = out_nr;
  t->flags &= (uint16_t)~MT_T_REQUIRES_GRAD;
  mt_node_release(old);
}

static void commit_write(call *c) {
  mt_tensor *t = c->target;
  if (t->storage) t->storage->version++;
  if (!c->node) return;
  if (c->base_node) {
    set_history(t->base, c->base_node, 0);
    t->view_version = t->storage->version - 1; /* stale: refreshed from the base when used */
  } else {
    set_history(t, c->node, 0);
  }
}

static void commit_fresh(call *c) {
  mt_frame *f = &c->f;
  const mt_op *op = f->op;
  bool wish = op->requires_grad_param >= 0 && f->args[op->requires_grad_param].kind == MT_TRUTH &&
              f->args[op->requires_grad_param].u.i;
  for (int k = 0; k < f->nout; k++) {
    mt_tensor *t = f->out[k];
    if (c->node && mt__is_float(t->dtype)) {
      t->node = mt_node_retain(c->node);
      t->out_nr = (uint32_t)k;
    }
    if (wish && mt__is_float(t->dtype)) t->flags |= MT_T_REQUIRES_GRAD;
    if (inference) t->flags |= MT_T_INFERENCE;
  }
  if ((op->def.flags & MT_OP_VIEW) && mt__is_float(f->out[0]->dtype) && !inference) {
    mt_tensor *self = c->slots[0], *t = f->out[0];
    t->base = mt_retain(self->base ? self->base : self);
    t->view = c->step;
    c->step = NULL;
    if (!t->view) t->flags |= MT_T_NOGRAD_VIEW;
    t->flags |= self->flags & (MT_T_MULTIVIEW | MT_T_NOGRAD_VIEW);
    if (t->storage) t->view_version = t->storage->version;
  }
}

static void commit(call *c) {
  mt_frame *f = &c->f;
  const mt_op *op = f->op;
  if (f->random) mt_generator_set_state(f->gen, f->seed, f->stream + 1);
  if (c->target) {
    commit_write(c);
    return;
  }
  if (op->first_written >= 0)
    for (int i = 0, slot = 0; i < op->nparams; i++) {
      int type = op->params[i].type, n = 0;
      if (type == MT_P_TENSOR || type == MT_P_OPERAND)
        n = 1;
      else if (type == MT_P_TENSORS && f->args[i].kind == MT_TENSORS)
        n = f->args[i].n;
      for (int k = 0; k < n; k++, slot++)
        if (op->params[i].written && c->slots[slot] && c->slots[slot]->storage)
          c->slots[slot]->storage->version++;
    }
  commit_fresh(c);
}

static void cleanup(call *c) {
  mt_node_release(c->node);
  mt_node_release(c->base_node);
  mt__viewstep_release(c->step);
  if (c->f.work) mt__block_free(c->f.work, c->device, (int64_t)c->f.work_bytes);
  for (int i = 0; i < c->ncopies; i++) mt_release(c->copies[i]);
  mt__free(c->copies);
  if (c->slots != c->small) mt__free(c->slots);
}

/* Adds what every tensor argument is to a message about shapes or dtypes. */
static void explain(const mt_op *op, const mt_arg *args, int status) {
  if (status != MT_ERR_SHAPE && status != MT_ERR_DTYPE) return;
  if (strchr(mt_last_error(), '\n')) return; /* an op further down has told already */
  bool first = true;
  for (int i = 0; i < op->nparams; i++) {
    char text[256];
    if (args[i].kind == MT_TENSOR) {
      mt__message_append("%s%s %s", first ? "\n  " : "   ", op->params[i].name,
                         mt__describe(text, sizeof text, args[i].u.t));
      first = false;
    }
  }
}

/* ---- the forms ---- */

/* Field by field: clearing the whole struct costs more than a small kernel. */
static inline void begin(call *c, const mt_op *op, int form, mt_arg *args, mt_tensor *given) {
  mt_frame *f = &c->f;
  f->op = op;
  f->form = form;
  f->args = args;
  f->nout = op->nout;
  for (int k = 0; k < MT_MAX_OUT; k++) f->out[k] = NULL;
  f->work_bytes = 0;
  f->work = NULL;
  f->random = false;
  f->seed = f->stream = 0;
  f->gen = NULL;
  f->list = NULL;
  memset(f->priv, 0, sizeof f->priv);
  f->compute = -1;
  c->slots = c->small;
  c->nslots = 0;
  c->record = c->took = false;
  c->device = MT_CPU;
  c->target = NULL;
  c->given = given;
  c->node = c->base_node = NULL;
  c->step = NULL;
  c->plain = NULL;
  c->copies = NULL;
  c->ncopies = 0;
}

/* given: see can_take; *took tells whether out[0] lies in its memory. */
static int call_primitive(const mt_op *op, int form, mt_arg *args, mt_tensor **out,
                          mt_tensor *given, bool *took) {
  call c;
  begin(&c, op, form, args, given);
  int status = check(&c);
  if (status == MT_OK) status = op->def.infer(&c.f);
  mt_tensor *result = NULL; /* the description that infer made, where the target is used instead */
  if (status == MT_OK && c.target) {
    result = c.f.out[0];
    c.f.out[0] = c.target;
  }
  if (status == MT_OK) status = prepare(&c);
  if (status == MT_OK) status = run(&c);
  if (status == MT_OK) {
    commit(&c);
    if (c.target)
      out[0] = mt_retain(c.target);
    else
      for (int k = 0; k < c.f.nout; k++) out[k] = c.f.out[k];
  }
  if (took) *took = c.took;
  cleanup(&c);
  mt_release(result);
  if (status != MT_OK) {
    for (int k = 0; k < c.f.nout && !c.target; k++) mt_release(c.f.out[k]);
    if (c.target && c.f.out[0] != c.target) mt_release(c.f.out[0]);
    explain(op, args, status);
  }
  return status;
}

/* The generator that a composite may draw from, or NULL: a failure later on gives back what it
 * drew. */
static mt_generator *generator_of(const mt_op *op, const mt_arg *args) {
  int device = MT_CPU;
  mt_generator *given = NULL;
  bool random = false;
  for (int i = 0; i < op->nparams; i++) {
    if (args[i].kind == MT_TENSOR) device = args[i].u.t->device;
    if (op->params[i].type == MT_P_DEVICE && args[i].kind == MT_INT) device = (int)args[i].u.i;
    if (op->params[i].type != MT_P_GENERATOR) continue;
    random = true;
    if (args[i].kind == MT_GENERATOR) given = args[i].u.gen;
  }
  return given ? given : random ? mt_default_generator(device) : NULL;
}

static int call_composite(const mt_op *op, mt_arg *args, mt_tensor **out) {
  mt_frame f = {.op = op, .args = args, .nout = op->nout, .compute = -1};
  int n = op->nout;
  if (n < 0) {
    f.list = out;
    MT_TRY(op->def.outputs(&n, op, args));
  }
  uint64_t seed = 0, stream = 0;
  mt_generator *gen = generator_of(op, args);
  if (gen) mt_generator_state(gen, &seed, &stream);
  int status = op->def.composite(&f);
  if (status != MT_OK && gen) mt_generator_set_state(gen, seed, stream);
  for (int k = 0; k < n; k++) {
    mt_tensor **slot = op->nout < 0 ? &out[k] : &f.out[k];
    if (status != MT_OK) {
      mt_release(*slot);
      *slot = NULL;
    } else {
      out[k] = *slot;
      if (op->def.flags & MT_OP_MULTIVIEW && out[k]->base) {
        out[k]->flags |= MT_T_MULTIVIEW;
      }
    }
  }
  if (status == MT_OK && op->requires_grad_param >= 0) {
    const mt_arg *wish = &args[op->requires_grad_param];
    for (int k = 0; k < n; k++)
      if (wish->kind == MT_TRUTH && wish->u.i && !out[k]->node && mt__is_float(out[k]->dtype))
        out[k]->flags |= MT_T_REQUIRES_GRAD;
  }
  if (status != MT_OK) explain(op, args, status);
  return status;
}

static int category(int dtype) {
  return dtype == MT_BOOL ? 0 : mt__is_float(dtype) ? 2 : 1;
}

static int check_target(const mt_op *op, int dtype, const mt_tensor *target) {
  if (category(dtype) <= category(target->dtype)) return MT_OK;
  return mt_fail(MT_ERR_DTYPE, "%s: result type %s can't be cast to the desired output type %s",
                 op->base, mt_dtype_name(dtype), mt_dtype_name(target->dtype));
}

/* What the op would give, without giving it memory. */
static int describe_result(mt_tensor **out, const mt_op *op, mt_arg *args) {
  mt_frame f = {.op = op, .args = args, .nout = 1, .compute = -1};
  *out = NULL;
  MT_TRY(op->def.infer(&f));
  *out = f.out[0];
  return MT_OK;
}

/* x:op_(...). The kernel writes straight into x when the result has x's shape and dtype. A
 * result of another dtype, and a composite's, is made first and copied: the copy records. */
static int call_inplace(const mt_op *op, mt_arg *args, mt_tensor **out) {
  mt_tensor *self = args[0].kind == MT_TENSOR ? args[0].u.t : NULL;
  if (!self) return mt_fail(MT_ERR_VALUE, "%s_: the first argument must be a tensor", op->base);
  MT_AUTO *d = NULL;
  bool direct = !op->def.composite && (op->def.flags & MT_OP_INPLACE);
  if (op->def.composite) {
    MT_TRY(call_composite(op, args, &d));
  } else {
    int status = describe_result(&d, op, args);
    if (status != MT_OK) {
      explain(op, args, status);
      return status;
    }
  }
  if (!same_sizes(d, self)) {
    char a[200], b[200];
    return mt_fail(MT_ERR_SHAPE, "%s_: output with shape %s doesn't match the broadcast shape %s",
                   op->base, mt__shape_text(a, sizeof a, self->ndim, self->sizes),
                   mt__shape_text(b, sizeof b, d->ndim, d->sizes));
  }
  MT_TRY(check_target(op, d->dtype, self));
  if (direct && d->dtype == self->dtype)
    return call_primitive(op, MT_CALL_INPLACE, args, out, NULL, NULL);
  if (!op->def.composite) {
    mt_release(d);
    d = NULL;
    MT_TRY(call_primitive(op, MT_CALL, args, &d, NULL, NULL));
  }
  static const mt_op *copy;
  if (!copy) copy = mt_op_find("copy_");
  mt_arg to[3] = {mt__arg_t(self), mt__arg_t(d), mt__arg_b(false)};
  return call_primitive(copy, MT_CALL, to, out, NULL, NULL);
}

/* {out = z}: z takes the result's sizes; where they are z's already, its memory is kept. */
static int call_out(const mt_op *op, mt_arg *args, mt_tensor **out) {
  mt_tensor *z = out[0];
  if (op->nout != 1 || op->returns_self) return mt_fail(MT_ERR_VALUE, "%s takes no out", op->base);
  if (!grad_off && mt__requires_grad(z))
    return mt_fail(MT_ERR_GRAD,
                   "%s: out=... arguments don't support automatic differentiation, "
                   "but the out tensor requires grad",
                   op->base);
  MT_AUTO *r = NULL;
  bool grad = mt_set_grad_enabled(false);
  bool took = false;
  int status = op->def.composite ? call_composite(op, args, &r)
                                 : call_primitive(op, MT_CALL, args, &r, z, &took);
  mt_set_grad_enabled(grad);
  MT_TRY(status);
  if (took) {
    z->storage->version++;
    out[0] = mt_retain(z);
    return MT_OK;
  }
  MT_TRY(check_target(op, r->dtype, z));
  if (r->device != z->device)
    return mt_fail(MT_ERR_DEVICE, "%s: out is on another device than the result", op->base);
  if (same_sizes(r, z)) {
    MT_TRY(mt__copy_values(z, r));
    if (z->storage) z->storage->version++;
    out[0] = mt_retain(z);
    return MT_OK;
  }
  MT_AUTO *fresh = NULL;
  if (r->dtype != z->dtype || (op->def.flags & MT_OP_VIEW)) {
    MT_TRY(mt__desc_new(&fresh, z->dtype, z->device, r->ndim, r->sizes));
    MT_TRY(mt__give_storage(fresh));
    MT_TRY(mt__copy_values(fresh, r));
  } else {
    fresh = mt_retain(r);
  }
  uint32_t version = z->storage ? z->storage->version : 0;
  mt__storage_release(z->storage);
  z->storage = mt__storage_retain(fresh->storage);
  if (z->storage) z->storage->version = version + 1;
  z->ndim = fresh->ndim;
  z->numel = fresh->numel;
  z->offset = fresh->offset;
  memcpy(z->sizes, fresh->sizes, sizeof z->sizes);
  memcpy(z->strides, fresh->strides, sizeof z->strides);
  mt__set_contiguous_flag(z);
  out[0] = mt_retain(z);
  return MT_OK;
}

int mt_call(const mt_op *op, int form, mt_arg *args, mt_tensor **out) {
  if (form == MT_CALL && !op->def.composite) {
    for (int k = 0; k < op->nout; k++) out[k] = NULL;
    return call_primitive(op, form, args, out, NULL, NULL);
  }
  if (form == MT_CALL_OUT) {
    mt_tensor *z = out[0];
    int status = call_out(op, args, out);
    if (status != MT_OK) out[0] = z;
    return status;
  }
  if (form == MT_CALL_INPLACE) {
    out[0] = NULL;
    return call_inplace(op, args, out);
  }
  int n;
  MT_TRY(mt_op_outputs(&n, op, args));
  for (int k = 0; k < n; k++) out[k] = NULL;
  return call_composite(op, args, out);
}
