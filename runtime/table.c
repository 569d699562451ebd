/* table.c: the op table. Gathers the families' rows, parses their signatures (grammar: op.h)
 * once, at load, and answers questions about ops. Read-only afterwards.
 *
 * The list of families is made by gen.lua. A row that does not parse is a mistake of this
 * source tree, not of a user: it is kept out of the table and told by mt__table_error, which
 * the self-test and the binding check.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MT_FAMILY(x) extern const mt_opdef mt__ops_##x[];
#include "mt_families.inc"
#undef MT_FAMILY

static const mt_opdef *const families[] = {
#define MT_FAMILY(x) mt__ops_##x,
#include "mt_families.inc"
#undef MT_FAMILY
};

static const char *const names_in_order[] = {
#define MT_OPNAME(x) x,
#include "mt_opnames.inc"
#undef MT_OPNAME
};
enum { NOPS = sizeof names_in_order / sizeof names_in_order[0], HASH = 4096 };

static mt_op ops[NOPS];
static int16_t by_name[HASH]; /* id + 1; linear probing */
static char table_error[256];

const char *mt__table_error(void) {
  return table_error;
}

/* ---- parsing ---- */

static const struct {
  const char *word;
  uint8_t type;
} type_words[] = {
    {"Tensor", MT_P_TENSOR}, {"Operand", MT_P_OPERAND}, {"Scalar", MT_P_SCALAR},
    {"int", MT_P_INT},       {"float", MT_P_FLOAT},     {"bool", MT_P_BOOL},
    {"str", MT_P_STR},       {"dtype", MT_P_DTYPE},     {"device", MT_P_DEVICE},
    {"dim", MT_P_DIM},       {"dims", MT_P_DIMS},       {"index", MT_P_INDEX},
    {"size", MT_P_SIZE},     {"ints", MT_P_INTS},       {"floats", MT_P_FLOATS},
    {"int2", MT_P_INT2},     {"int3", MT_P_INT3},       {"generator", MT_P_GENERATOR},
};

typedef struct {
  const char *p;
  bool bad;
} cursor;

static void skip(cursor *c) {
  while (*c->p == ' ' || *c->p == '\n') c->p++;
}

static bool eat(cursor *c, char ch) {
  skip(c);
  if (*c->p != ch) return false;
  c->p++;
  return true;
}

static void word(cursor *c, char *out, size_t size) {
  skip(c);
  size_t n = 0;
  while (isalnum((unsigned char)*c->p) || *c->p == '_' || *c->p == '.') {
    if (n + 1 < size)
      out[n++] = *c->p;
    else
      c->bad = true;
    c->p++;
  }
  out[n] = 0;
  if (n == 0) c->bad = true;
}

static void parse_type(cursor *c, mt_param *q) {
  char w[24];
  word(c, w, sizeof w);
  if (strcmp(w, "choice") == 0) {
    q->type = MT_P_CHOICE;
    if (!eat(c, '(')) c->bad = true;
    q->choices = c->p;
    while (*c->p && *c->p != ')') c->p++;
    if (!eat(c, ')')) c->bad = true;
  } else {
    bool known = false;
    for (size_t i = 0; i < sizeof type_words / sizeof type_words[0]; i++)
      if (strcmp(w, type_words[i].word) == 0) q->type = type_words[i].type, known = true;
    if (!known) c->bad = true;
  }
  for (;; c->p++) {
    if (*c->p == '!')
      q->written = true;
    else if (*c->p == '*')
      q->star = true;
    else if (*c->p == '?') {
      if (c->p[1] == '[')
        q->gaps = true;
      else
        q->optional = true;
    } else if (*c->p == '[' && c->p[1] == ']') {
      q->type = MT_P_TENSORS;
      c->p++;
    } else
      break;
  }
}

/* Dims stand 1-based in signatures and 0-based in C. */
static int64_t dim_from_text(const mt_param *q, int64_t d) {
  return (q->type == MT_P_DIM || q->type == MT_P_DIMS) && d > 0 ? d - 1 : d;
}

static int choice_place(const mt_param *q, const char *w) {
  const char *p = q->choices;
  for (int place = 0;; place++) {
    size_t n = strcspn(p, "|)");
    if (strlen(w) == n && strncmp(p, w, n) == 0) return place;
    if (p[n] != '|') return -1;
    p += n + 1;
  }
}

static void parse_default(cursor *c, mt_param *q) {
  q->has_default = true;
  skip(c);
  if (*c->p == '{') {
    c->p++;
    q->def.kind = MT_INTS;
    q->def.u.is = q->list;
    while (!eat(c, '}')) {
      if (q->def.n == 3 || !*c->p) {
        c->bad = true;
        return;
      }
      char *end;
      q->list[q->def.n++] = dim_from_text(q, strtoll(c->p, &end, 10));
      c->p = end;
      eat(c, ',');
    }
    return;
  }
  if (*c->p == '-' || isdigit((unsigned char)*c->p)) {
    char *end;
    double x = strtod(c->p, &end);
    bool whole = memchr(c->p, '.', (size_t)(end - c->p)) == NULL &&
                 memchr(c->p, 'e', (size_t)(end - c->p)) == NULL;
    c->p = end;
    if (q->type == MT_P_INT2 || q->type == MT_P_INT3 || q->type == MT_P_INTS ||
        q->type == MT_P_DIMS) {
      q->def.kind = MT_INTS;
      q->def.n = q->type == MT_P_INT2 ? 2 : q->type == MT_P_INT3 ? 3 : 1;
      for (int i = 0; i < q->def.n; i++) q->list[i] = dim_from_text(q, (int64_t)x);
      q->def.u.is = q->list;
    } else if (q->type == MT_P_FLOAT || !whole) {
      q->def = mt__arg_f(x);
    } else {
      q->def = mt__arg_i(dim_from_text(q, (int64_t)x));
    }
    return;
  }
  if (q->type == MT_P_STR && *c->p == '"') {
    c->bad = true; /* a str parameter has no default but None: choices do that better */
    return;
  }
  char w[24];
  word(c, w, sizeof w);
  if (strcmp(w, "None") == 0) {
    q->def = mt__arg_none();
    q->optional = true;
  } else if (strcmp(w, "true") == 0 || strcmp(w, "false") == 0) {
    q->def = mt__arg_b(w[0] == 't');
  } else if (strcmp(w, "inf") == 0) {
    q->def = mt__arg_f(__builtin_inf());
  } else if (q->type == MT_P_CHOICE) {
    int place = choice_place(q, w);
    if (place < 0) c->bad = true;
    q->def = mt__arg_i(place);
  } else {
    c->bad = true;
  }
}

static void parse_results(cursor *c, mt_op *op) {
  if (!eat(c, '-') || !eat(c, '>')) {
    c->bad = true;
    return;
  }
  char w[24];
  if (eat(c, '(')) {
    if (eat(c, ')')) return; /* writes its arguments only */
    do {
      word(c, w, sizeof w);
      if (strcmp(w, "Tensor") != 0 || op->nout >= MT_MAX_OUT)
        c->bad = true;
      else
        word(c, op->outname[op->nout], sizeof op->outname[0]), op->nout++;
    } while (!c->bad && eat(c, ','));
    if (!eat(c, ')')) c->bad = true;
    return;
  }
  word(c, w, sizeof w);
  if (strcmp(w, "Tensor") != 0) c->bad = true;
  op->nout = 1;
  strcpy(op->outname[0], "out");
  if (*c->p == '!')
    op->returns_self = true;
  else if (c->p[0] == '[' && c->p[1] == ']')
    op->nout = -1;
}

static int param_by_name(const mt_op *op, const char *name, size_t n) {
  for (int i = 0; i < op->nparams; i++)
    if (strlen(op->params[i].name) == n && strncmp(op->params[i].name, name, n) == 0) return i;
  return -1;
}

/* "self:other other:self,out" */
static void parse_saves(mt_op *op, bool *bad) {
  const char *p = op->def.saves;
  while (p && *p) {
    size_t n = strcspn(p, ":");
    int who = param_by_name(op, p, n);
    if (who < 0 || p[n] != ':') {
      *bad = true;
      return;
    }
    p += n + 1;
    while (*p && *p != ' ') {
      n = strcspn(p, ", ");
      int what = param_by_name(op, p, n);
      if (what >= 0)
        op->save_args[who] |= 1u << what;
      else if (n == 3 && strncmp(p, "out", 3) == 0)
        op->save_outs[who] |= 1u;
      else if (n == 4 && strncmp(p, "out", 3) == 0 && p[3] >= '0' && p[3] < '0' + MT_MAX_OUT)
        op->save_outs[who] |= 1u << (p[3] - '0');
      else
        *bad = true;
      p += n;
      if (*p == ',') p++;
    }
    while (*p == ' ') p++;
  }
}

/* add -> AddBackward, max_pool2d -> MaxPool2dBackward, _sum_to -> SumToBackward */
static void name_node(mt_op *op) {
  size_t n = 0;
  bool upper = true;
  for (const char *p = op->base; *p && n + 10 < sizeof op->node; p++) {
    if (*p == '_')
      upper = true;
    else {
      op->node[n++] = upper ? (char)toupper((unsigned char)*p) : *p;
      upper = false;
    }
  }
  strcpy(op->node + n, "Backward");
}

static bool parse(mt_op *op) {
  cursor c = {.p = op->def.sig};
  op->first_written = op->requires_grad_param = -1;
  word(&c, op->name, sizeof op->name);
  size_t base = strcspn(op->name, ".");
  if (base >= sizeof op->base) return false;
  memcpy(op->base, op->name, base);
  bool keyword_only = false;
  if (!eat(&c, '(')) return false;
  while (!c.bad && !eat(&c, ')')) {
    if (*c.p == '*' && (c.p[1] == ',' || c.p[1] == ' ')) {
      c.p++;
      keyword_only = true;
      eat(&c, ',');
      continue;
    }
    if (op->nparams == MT_MAX_PARAMS) return false;
    mt_param *q = &op->params[op->nparams];
    parse_type(&c, q);
    word(&c, q->name, sizeof q->name);
    if (eat(&c, '=')) parse_default(&c, q);
    if (q->optional && !q->has_default) q->def = mt__arg_none();
    q->keyword_only = keyword_only;
    if (q->written && op->first_written < 0) op->first_written = op->nparams;
    if (q->type == MT_P_TENSORS)
      op->nslots = -1;
    else if ((q->type == MT_P_TENSOR || q->type == MT_P_OPERAND) && op->nslots >= 0)
      op->slot_param[op->nslots++] = (uint8_t)op->nparams;
    if (strcmp(q->name, "requires_grad") == 0) op->requires_grad_param = op->nparams;
    op->nparams++;
    if (!keyword_only) op->npositional = op->nparams;
    if (!q->has_default) op->nrequired = op->nparams;
    eat(&c, ',');
  }
  parse_results(&c, op);
  parse_saves(op, &c.bad);
  if (op->def.bwd)
    snprintf(op->node, sizeof op->node, "%s", op->def.bwd);
  else
    name_node(op);
  if (op->nparams && (op->params[0].type == MT_P_TENSOR || op->params[0].type == MT_P_OPERAND) &&
      !(op->def.flags & (MT_OP_FUNCTIONAL | MT_OP_HIDDEN)))
    op->def.flags |= MT_OP_METHOD;
  return !c.bad;
}

/* ---- the registry ---- */

static uint32_t hash(const char *s) {
  uint32_t h = 2166136261u;
  for (; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
  return h;
}

__attribute__((constructor)) static void table_init(void) {
  int id = 0;
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
    for (const mt_opdef *row = families[i]; row->sig && id < NOPS; row++, id++) {
      mt_op *op = &ops[id];
      op->def = *row;
      op->id = id;
      if (!parse(op) || strcmp(op->name, names_in_order[id]) != 0) {
        if (!table_error[0])
          snprintf(table_error, sizeof table_error, "op table: row %d (expected %s) is: %.120s", id,
                   names_in_order[id], row->sig);
        continue;
      }
      uint32_t at = hash(op->name) % HASH;
      while (by_name[at]) at = (at + 1) % HASH;
      by_name[at] = (int16_t)(id + 1);
    }
  if (id != NOPS && !table_error[0])
    snprintf(table_error, sizeof table_error, "op table: %d rows, %d signatures", id, NOPS);
}

const mt_op *mt_op_find(const char *name) {
  for (uint32_t at = hash(name) % HASH; by_name[at]; at = (at + 1) % HASH)
    if (strcmp(ops[by_name[at] - 1].name, name) == 0) return &ops[by_name[at] - 1];
  return NULL;
}

int mt_op_count(void) {
  return NOPS;
}
const mt_op *mt_op_at(int id) {
  return &ops[id];
}
const char *mt_op_name(const mt_op *op) {
  return op->name;
}
const char *mt_op_signature(const mt_op *op) {
  return op->def.sig;
}
const char *mt_op_doc(const mt_op *op) {
  return op->def.doc;
}
const char *mt_op_samples(const mt_op *op) {
  return op->def.samples;
}
uint32_t mt_op_flags(const mt_op *op) {
  return op->def.flags;
}
uint32_t mt_op_dtypes(const mt_op *op) {
  return op->def.dtypes;
}
int mt_op_params(const mt_op *op) {
  return op->nparams;
}

void mt_op_defaults(const mt_op *op, mt_arg *args) {
  for (int i = 0; i < op->nparams; i++)
    if (args[i].kind == MT_NONE) args[i] = op->params[i].def;
}

int mt_op_outputs(int *n, const mt_op *op, const mt_arg *args) {
  *n = op->nout;
  if (op->nout >= 0) return MT_OK;
  return op->def.outputs(n, op, args);
}
