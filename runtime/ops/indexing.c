/* indexing.c: the engine of indexing.h. */
#include "indexing.h"

#include <stdio.h>
#include <string.h>

#include "kernels/index.h"
#include "shapes.h"

MT_KERNELS(index)

enum { BLOCK = 256, BUCKETS = 16 };

/* ---- checking positions ---- */

typedef struct check_ctx {
  const mt_tensor *index;
  const mt_walk *w;
  int64_t size;
  bool from_end;
  _Atomic bool bad;
} check_ctx;

static void check_piece(void *p, const int64_t *off, int64_t n) {
  check_ctx *c = p;
  int dtype = c->index->dtype;
  int64_t stride = c->w->strides[0][c->w->ndim - 1], block[BLOCK];
  const char *src = mt__ptr(c->index) + off[0] * mt__esize(dtype);
  if (dtype == MT_INT64 && stride == 1) {
    if (mt__kern_index()->outside((const int64_t *)src, n, c->size, c->from_end)) c->bad = true;
    return;
  }
  for (int64_t i = 0; i < n; i += BLOCK) {
    int64_t m = n - i < BLOCK ? n - i : BLOCK;
    mt__load_positions(block, src + i * stride * mt__esize(dtype), dtype, stride, m);
    if (mt__kern_index()->outside(block, m, c->size, c->from_end)) c->bad = true;
  }
}

static void check_range(void *p, int64_t begin, int64_t end) {
  check_ctx *c = p;
  mt__walk_range(c->w, begin, end, check_piece, c);
}

typedef struct find_ctx {
  check_ctx c;
  bool found;
  int64_t value;
} find_ctx;

static void find_piece(void *p, const int64_t *off, int64_t n) {
  find_ctx *c = p;
  int dtype = c->c.index->dtype;
  int64_t stride = c->c.w->strides[0][c->c.w->ndim - 1];
  for (int64_t i = 0; i < n && !c->found; i++) {
    int64_t v = mt__load_i64(mt__ptr(c->c.index) + (off[0] + i * stride) * mt__esize(dtype), dtype);
    bool in = (v >= 1 && v <= c->c.size) || (c->c.from_end && v <= -1 && v >= -c->c.size);
    if (!in) {
      c->found = true;
      c->value = v;
    }
  }
}

int mt__check_positions(const mt_frame *f, const mt_tensor *index, int dim, int64_t size,
                        bool from_end) {
  if (index->numel == 0) return MT_OK;
  mt_walk w;
  mt__walk_init(&w, 1);
  for (int d = 0; d < index->ndim; d++)
    mt__walk_dim(&w, index->strides[d] ? index->sizes[d] : 1, index->strides[d], 0, 0);
  mt__walk_fold(&w);
  check_ctx c = {.index = index, .w = &w, .size = size, .from_end = from_end};
  MT_TRY(mt__parallel_range(w.numel, MT_COPY_GRAIN, check_range, &c));
  if (!c.bad) return MT_OK;
  find_ctx found = {.c = {.index = index, .w = &w, .size = size, .from_end = from_end}};
  mt__walk_range(&w, 0, w.numel, find_piece, &found);
  if (found.value == 0) return mt__op_fail(f, MT_ERR_INDEX, "index 0: positions count from 1");
  return mt__op_fail(f, MT_ERR_INDEX,
                     "index %lld is out of bounds for dimension %d with size %lld%s",
                     (long long)found.value, dim + 1, (long long)size,
                     found.value < 0 && !from_end ? " (only indexing counts from the end)" : "");
}

int mt__no_overlap(const mt_frame *f, const mt_tensor *written, const mt_tensor *read,
                   const char *name) {
  if (!mt__may_overlap(written, read)) return MT_OK;
  return mt__op_fail(f, MT_ERR_VALUE,
                     "unsupported operation: some elements of %s and the written-to tensor refer "
                     "to a single memory location; use :clone() before writing",
                     name);
}

/* ---- making a plan ---- */

static int plan_shape(mt_plan *p, const mt_frame *f) {
  for (int k = 0; k < p->count; k++)
    if (p->index[k]->ndim > p->nshape) p->nshape = p->index[k]->ndim;
  for (int d = 0; d < p->nshape; d++) p->shape[d] = 1;
  for (int k = 0; k < p->count; k++)
    for (int d = 0; d < p->index[k]->ndim; d++) {
      int64_t s = p->index[k]->sizes[d], *to = &p->shape[p->nshape - p->index[k]->ndim + d];
      if (s == 1 || s == *to) continue;
      if (*to != 1) {
        char text[256] = "";
        size_t n = 0;
        for (int i = 0; i < p->count && n + 64 < sizeof text; i++) {
          if (i) n += (size_t)snprintf(text + n, sizeof text - n, ", ");
          mt__shape_text(text + n, sizeof text - n, p->index[i]->ndim, p->index[i]->sizes);
          n = strlen(text);
        }
        return mt__op_fail(f, MT_ERR_SHAPE,
                           "shape mismatch: indexing tensors could not be broadcast together with "
                           "shapes %s",
                           text);
      }
      *to = s;
    }
  return mt__count(&p->positions, p->nshape, p->shape, MT_INT64);
}

static int plan_finish(mt_plan *p, const mt_frame *f) {
  MT_TRY(plan_shape(p, f));
  uint32_t indexed = 0;
  for (int k = 0; k < p->count; k++) indexed |= 1u << p->dim[k];
  bool adjacent = p->count == 0 || p->dim[p->count - 1] - p->dim[0] == p->count - 1;
  p->at = adjacent && p->count ? p->dim[0] : 0;
  if (p->xdims - p->count + p->nshape > MT_MAX_DIMS)
    return mt__op_fail(f, MT_ERR_SHAPE, "a tensor has at most %d dimensions, the result has %d",
                       MT_MAX_DIMS, p->xdims - p->count + p->nshape);
  int n = 0, d = 0;
  for (; n < p->at; d++) p->sizes[n++] = p->xsizes[d];
  for (int i = 0; i < p->nshape; i++) p->sizes[n++] = p->shape[i];
  for (; d < p->xdims; d++)
    if (!(indexed >> d & 1)) p->sizes[n++] = p->xsizes[d];
  p->ndim = n;
  return MT_OK;
}

static void plan_begin(mt_plan *p, const mt_tensor *x) {
  memset(p, 0, sizeof *p);
  p->xdims = x->ndim ? x->ndim : 1;
  p->xsizes[0] = 1;
  for (int d = 0; d < x->ndim; d++) p->xsizes[d] = x->sizes[d];
}

int mt__plan_list(mt_plan *p, const mt_frame *f, const mt_tensor *x, int n,
                  mt_tensor *const *list) {
  plan_begin(p, x);
  p->from_end = true;
  if (n > x->ndim)
    return mt__op_fail(f, MT_ERR_INDEX, "too many indices for tensor of dimension %d", x->ndim);
  if (x->ndim == 0) p->xdims = 0;
  for (int d = 0; d < n; d++) {
    if (!list[d]) continue;
    MT_TRY(mt__want_dtype(f, "an index tensor", list[d], MT_D_POSITIONS));
    p->index[p->count] = list[d];
    p->dim[p->count++] = d;
  }
  return plan_finish(p, f);
}

int mt__plan_dim(mt_plan *p, const mt_frame *f, const mt_tensor *x, int64_t dim,
                 const mt_tensor *index, const char *name) {
  plan_begin(p, x);
  MT_TRY(mt__dim(f, "dim", dim, x->ndim, &p->dim[0]));
  MT_TRY(mt__want_dtype(f, name, index, MT_D_POSITIONS));
  if (index->ndim > 1)
    return mt__op_fail(f, MT_ERR_SHAPE,
                       "%s is supposed to be a vector or a single position, got %d "
                       "dimensions",
                       name, index->ndim);
  p->index[0] = index;
  p->count = 1;
  MT_TRY(plan_finish(p, f));
  if (index->ndim == 0) { /* one position keeps its dimension */
    for (int d = p->ndim; d > p->at; d--) p->sizes[d] = p->sizes[d - 1];
    p->sizes[p->at] = 1;
    p->ndim++;
    p->nshape = 1;
    p->shape[0] = 1;
  }
  return MT_OK;
}

/* ---- laying it out ---- */

/* Three nested walks: outer (x's dimensions before the indexed ones), the positions, inner (the
 * rest). Operand 0 is x, operand 1 is y. */
typedef struct layout {
  mt_walk outer, inner;
  int count, ndim; /* positions: folded dimensions of the common shape */
  int64_t sizes[MT_MAX_DIMS], ystride[MT_MAX_DIMS];
  int64_t istride[MT_MAX_DIMS][MT_MAX_DIMS]; /* [index tensor][dimension] */
  const mt_tensor *index[MT_MAX_DIMS];
  int64_t size[MT_MAX_DIMS], step[MT_MAX_DIMS]; /* of x along the indexed dimension */
  int64_t positions;
  int esize, dtype;
  char *x, *y;
} layout;

static int64_t stride_of(const mt_tensor *t, int ndim, int d) {
  int own = d - (ndim - t->ndim);
  return own < 0 || t->sizes[own] == 1 ? 0 : t->strides[own];
}

static void fold_positions(layout *l) {
  int n = 0;
  for (int d = 0; d < l->ndim; d++) {
    if (l->sizes[d] == 1) continue;
    bool joins = n > 0 && l->ystride[n - 1] == l->ystride[d] * l->sizes[d];
    for (int k = 0; k < l->count && joins; k++)
      joins = l->istride[k][n - 1] == l->istride[k][d] * l->sizes[d];
    int to = joins ? n - 1 : n++;
    l->sizes[to] = joins ? l->sizes[to] * l->sizes[d] : l->sizes[d];
    l->ystride[to] = l->ystride[d];
    for (int k = 0; k < l->count; k++) l->istride[k][to] = l->istride[k][d];
  }
  if (n == 0) {
    l->sizes[0] = 1;
    l->ystride[0] = 0;
    for (int k = 0; k < l->count; k++) l->istride[k][0] = 0;
    n = 1;
  }
  l->ndim = n;
}

static void lay_out(layout *l, const mt_plan *p, const mt_tensor *x, const mt_tensor *y) {
  uint32_t indexed = 0;
  memset(l, 0, offsetof(layout, istride));
  l->count = p->count;
  l->positions = p->positions;
  l->dtype = x->dtype;
  l->esize = mt__esize(x->dtype);
  l->x = mt__ptr(x);
  l->y = mt__ptr(y);
  for (int k = 0; k < p->count; k++) {
    int d = p->dim[k];
    indexed |= 1u << d;
    l->index[k] = p->index[k];
    l->size[k] = p->xsizes[d];
    l->step[k] = x->ndim ? x->strides[d] : 1;
  }
  l->ndim = p->nshape;
  for (int i = 0; i < p->nshape; i++) {
    l->sizes[i] = p->shape[i];
    l->ystride[i] = stride_of(y, p->ndim, p->at + i);
    for (int k = 0; k < p->count; k++) l->istride[k][i] = stride_of(p->index[k], p->nshape, i);
  }
  fold_positions(l);
  mt__walk_init(&l->outer, 2);
  mt__walk_init(&l->inner, 2);
  int yd = 0;
  for (int d = 0; d < p->xdims; d++) {
    if (yd == p->at) yd += p->nshape;
    if (indexed >> d & 1) continue;
    mt__walk_dim(d < p->at ? &l->outer : &l->inner, p->xsizes[d], x->ndim ? x->strides[d] : 1,
                 stride_of(y, p->ndim, yd), 0);
    yd++;
  }
  mt__walk_fold(&l->outer);
  mt__walk_fold(&l->inner);
}

/* Where positions begin..begin+n-1 lie in x and in y. */
static void locate(const layout *l, int64_t begin, int64_t n, int64_t *xoff, int64_t *yoff) {
  int last = l->ndim - 1;
  const mt_kern_index *kern = mt__kern_index();
  int64_t at[MT_MAX_DIMS], rest = begin, v[BLOCK];
  for (int d = last; d >= 0; d--) {
    at[d] = rest % l->sizes[d];
    rest /= l->sizes[d];
  }
  for (int64_t done = 0; done < n;) {
    int64_t m = l->sizes[last] - at[last], ybase = 0;
    if (m > n - done) m = n - done;
    if (m > BLOCK) m = BLOCK;
    for (int d = 0; d <= last; d++) ybase += at[d] * l->ystride[d];
    memset(xoff + done, 0, (size_t)m * sizeof *xoff);
    kern->ramp(yoff + done, m, ybase, l->ystride[last]);
    for (int k = 0; k < l->count; k++) {
      int64_t from = 0, size = l->size[k], step = l->step[k];
      for (int d = 0; d <= last; d++) from += at[d] * l->istride[k][d];
      int dtype = l->index[k]->dtype;
      const char *index = mt__ptr(l->index[k]) + from * mt__esize(dtype);
      if (dtype == MT_INT64 && l->istride[k][last] == 1) {
        kern->offsets(xoff + done, (const int64_t *)index, m, size, step);
      } else {
        mt__load_positions(v, index, dtype, l->istride[k][last], m);
        kern->offsets(xoff + done, v, m, size, step);
      }
    }
    done += m;
    at[last] += m;
    for (int d = last; d > 0 && at[d] == l->sizes[d]; d--) {
      at[d] = 0;
      at[d - 1]++;
    }
  }
}

static void walk_at(const mt_walk *w, int64_t pos, int64_t *off) {
  off[0] = off[1] = 0;
  for (int d = w->ndim - 1; d >= 0; d--) {
    int64_t i = pos % w->sizes[d];
    pos /= w->sizes[d];
    off[0] += i * w->strides[0][d];
    off[1] += i * w->strides[1][d];
  }
}

int mt__plan_check(const mt_plan *p, const mt_frame *f) {
  if (p->positions == 0) return MT_OK;
  for (int k = 0; k < p->count; k++)
    MT_TRY(mt__check_positions(f, p->index[k], p->dim[k], p->xsizes[p->dim[k]], p->from_end));
  return MT_OK;
}

/* ---- moving elements ---- */

/* One job: what is done for each position. to and from are bases of the two sides. */
typedef struct mover {
  layout *l;
  char *to;
  const char *from;
  int to_side; /* operand of the walks that is written: 0 (x) when putting, 1 (y) when gathering */
  mt_add_row_fn add; /* NULL: copy */
  mt_add_cells_fn add_cells;
  double alpha;
  int64_t ialpha;
  int64_t begin, end; /* of the inner walk */
  int64_t per_task;
  /* bucketed writing */
  int64_t *pairs;
  int64_t start[BUCKETS + 1];
} mover;

static void move_piece(void *p, const int64_t *off, int64_t n) {
  const mover *m = p;
  const mt_walk *w = &m->l->inner;
  int last = w->ndim - 1, to = m->to_side, from = 1 - to, esize = m->l->esize;
  char *dst = m->to + off[to] * esize;
  const char *src = m->from + off[from] * esize;
  if (m->add)
    m->add(dst, w->strides[to][last], src, w->strides[from][last], n, m->alpha, m->ialpha);
  else
    mt__copy_row(dst, w->strides[to][last], src, w->strides[from][last], n, esize);
}

/* n positions whose places are given; m->to and m->from stand at the outer index. */
static void move_positions(const mover *m, const int64_t *xoff, const int64_t *yoff, int64_t n) {
  const layout *l = m->l;
  const int64_t *toff = m->to_side ? yoff : xoff, *foff = m->to_side ? xoff : yoff;
  int last = l->inner.ndim - 1, esize = l->esize;
  if (l->inner.numel == 1) {
    if (m->add)
      m->add_cells(m->to, toff, m->from, foff, n, m->alpha, m->ialpha);
    else
      mt__copy_cells(m->to, toff, m->from, foff, n, esize);
    return;
  }
  if (last == 0 && !m->add && l->inner.strides[0][0] == 1 && l->inner.strides[1][0] == 1) {
    size_t bytes = (size_t)((m->end - m->begin) * esize);
    const char *src = m->from + m->begin * esize;
    char *dst = m->to + m->begin * esize;
    for (int64_t i = 0; i < n; i++) {
      if (i + 1 < n) mt__prefetch(src + foff[i + 1] * esize, bytes);
      memcpy(dst + toff[i] * esize, src + foff[i] * esize, bytes);
    }
    return;
  }
  mover one = *m;
  for (int64_t i = 0; i < n; i++) {
    one.to = m->to + toff[i] * esize;
    one.from = m->from + foff[i] * esize;
    mt__walk_range(&l->inner, m->begin, m->end, move_piece, &one);
  }
}

/* Positions begin..end-1 of outer x positions, outer index first. */
static void move_range(void *p, int64_t begin, int64_t end) {
  mover m = *(mover *)p;
  const layout *l = m.l;
  int64_t xoff[BLOCK], yoff[BLOCK], off[2], known = -1;
  char *to = m.to;
  const char *from = m.from;
  for (int64_t pos = begin; pos < end;) {
    int64_t o = pos / l->positions, j = pos % l->positions, n = l->positions - j;
    if (n > end - pos) n = end - pos;
    walk_at(&l->outer, o, off);
    m.to = to + off[m.to_side] * l->esize;
    m.from = from + off[1 - m.to_side] * l->esize;
    if (l->positions <= BLOCK) { /* few positions: located once, used for every outer index */
      if (known < 0) locate(l, known = 0, l->positions, xoff, yoff);
      move_positions(&m, xoff + j, yoff + j, n);
    } else {
      for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t b = n - i < BLOCK ? n - i : BLOCK;
        locate(l, j + i, b, xoff, yoff);
        move_positions(&m, xoff, yoff, b);
      }
    }
    pos += n;
  }
}

/* How many positions make a task worth having. */
static int64_t grain_of(const layout *l) {
  int64_t grain = MT_COPY_GRAIN * 2 / (l->inner.numel * l->esize + 16);
  return grain > 0 ? grain : 1;
}

int mt__plan_gather(const mt_plan *p, const mt_frame *f, const mt_tensor *x, const mt_tensor *y) {
  layout l;
  MT_TRY(mt__plan_check(p, f));
  if (y->numel == 0) return MT_OK;
  lay_out(&l, p, x, y);
  mover m = {.l = &l, .to = l.y, .from = l.x, .to_side = 1, .end = l.inner.numel};
  return mt__parallel_range(l.outer.numel * l.positions, grain_of(&l), move_range, &m);
}

/* ---- writing, on the pool ----
 *
 * Places that differ in the outer or the inner index are different places, so the work may be
 * cut there and each piece goes through the positions in order. Where neither is large, the
 * positions are sorted, stably, into buckets of places, and a task does a bucket. */

static bool wants_buckets(const mt_plan *p, int64_t outer, int64_t inner) {
  return p->positions >= 256 && p->positions * inner >= 2 * MT_COPY_GRAIN && outer < BUCKETS &&
         inner < MT_COPY_GRAIN;
}

static void outer_inner(const mt_plan *p, const mt_tensor *x, int64_t *outer, int64_t *inner) {
  *outer = 1;
  for (int d = 0; d < p->at; d++) *outer *= p->xsizes[d];
  int64_t indexed = 1;
  for (int k = 0; k < p->count; k++) indexed *= p->xsizes[p->dim[k]];
  *inner = x->numel == 0 ? 0 : x->numel / indexed / *outer;
}

size_t mt__plan_work(const mt_plan *p, const mt_tensor *x) {
  int64_t outer, inner;
  outer_inner(p, x, &outer, &inner);
  return wants_buckets(p, outer, inner) ? (size_t)p->positions * 2 * sizeof(int64_t) : 0;
}

static void put_inner(void *p, int64_t begin, int64_t end) {
  mover m = *(mover *)p;
  m.begin = begin;
  m.end = end;
  move_range(&m, 0, m.l->outer.numel * m.l->positions);
}

static void put_outer(void *p, int64_t begin, int64_t end) {
  int64_t n = ((mover *)p)->l->positions;
  move_range(p, begin * n, end * n);
}

static void put_bucket(void *p, int64_t bucket) {
  mover m = *(mover *)p;
  const layout *l = m.l;
  char *to = m.to;
  const char *from = m.from;
  int64_t off[2], xoff[BLOCK], yoff[BLOCK];
  for (int64_t o = 0; o < l->outer.numel; o++) {
    walk_at(&l->outer, o, off);
    m.to = to + off[0] * l->esize;
    m.from = from + off[1] * l->esize;
    for (int64_t i = m.start[bucket]; i < m.start[bucket + 1]; i += BLOCK) {
      int64_t n = m.start[bucket + 1] - i < BLOCK ? m.start[bucket + 1] - i : BLOCK;
      for (int64_t k = 0; k < n; k++) {
        xoff[k] = m.pairs[2 * (i + k)];
        yoff[k] = m.pairs[2 * (i + k) + 1];
      }
      move_positions(&m, xoff, yoff, n);
    }
  }
}

static int put_in_buckets(mover *m) {
  const layout *l = m->l;
  int64_t span = 1, count[BUCKETS] = {0}, xoff[BLOCK], yoff[BLOCK];
  for (int k = 0; k < l->count; k++) span += (l->size[k] - 1) * l->step[k];
  int64_t width = (span + BUCKETS - 1) / BUCKETS;
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t j = 0; j < l->positions; j += BLOCK) {
      int64_t n = l->positions - j < BLOCK ? l->positions - j : BLOCK;
      locate(l, j, n, xoff, yoff);
      for (int64_t k = 0; k < n; k++) {
        int64_t b = xoff[k] / width;
        if (pass) {
          m->pairs[2 * count[b]] = xoff[k];
          m->pairs[2 * count[b] + 1] = yoff[k];
        }
        count[b]++;
      }
    }
    if (pass) break;
    for (int b = 0; b < BUCKETS; b++) {
      m->start[b + 1] = m->start[b] + count[b];
      count[b] = m->start[b];
    }
  }
  return mt__parallel(BUCKETS, put_bucket, m);
}

int mt__plan_put(const mt_plan *p, const mt_frame *f, const mt_tensor *x, const mt_tensor *y,
                 enum mt_put how, const mt_arg *alpha) {
  layout l;
  if (x->numel == 0 || p->positions == 0) return MT_OK;
  lay_out(&l, p, x, y);
  mover m = {.l = &l,
             .to = l.x,
             .from = l.y,
             .to_side = 0,
             .end = l.inner.numel,
             .alpha = alpha ? mt__num(alpha) : 1,
             .ialpha = alpha ? mt__int(alpha) : 1};
  if (how == MT_ADD) {
    m.add = mt__add_row(x->dtype);
    m.add_cells = mt__add_cells(x->dtype);
  }
  int64_t outer = l.outer.numel, inner = l.inner.numel;
  if (outer * l.positions * inner < 2 * MT_COPY_GRAIN) {
    put_outer(&m, 0, outer);
    return MT_OK;
  }
  if (wants_buckets(p, outer, inner)) {
    if (mt_num_threads() > 1) {
      m.pairs = f->work;
      return put_in_buckets(&m);
    }
    put_outer(&m, 0, outer);
    return MT_OK;
  }
  if (outer < BUCKETS)
    return mt__parallel_range(inner, inner < 2048 ? inner : (inner + 15) / 16, put_inner, &m);
  int64_t grain = grain_of(&l) / l.positions;
  return mt__parallel_range(outer, grain > 0 ? grain : 1, put_outer, &m);
}
