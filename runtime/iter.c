/* iter.c: common index spaces and the tiled map over them; see iter.h. */
#include "iter.h"

#include <string.h>

#include "internal.h"
#include "kernels/copy.h"

MT_KERNELS(copy)

/* ---- the index space ---- */

void mt__iter_begin(mt_iter *it, int ndim, const int64_t *sizes) {
  it->nops = 0;
  it->ndim = ndim;
  it->numel = 1;
  for (int d = 0; d < ndim; d++) {
    it->size[d] = sizes[ndim - 1 - d];
    it->numel *= it->size[d];
  }
}

void mt__iter_add(mt_iter *it, const mt_tensor *t) {
  int k = it->nops++;
  it->ptr[k] = t->storage && t->storage->data ? mt__ptr(t) : NULL;
  for (int d = 0; d < it->ndim; d++) {
    int at = t->ndim - 1 - d;
    it->stride[k][d] = at < 0 || (t->sizes[at] == 1 && it->size[d] != 1) ? 0 : t->strides[at];
  }
}

void mt__iter_add_one(mt_iter *it, const void *p) {
  int k = it->nops++;
  it->ptr[k] = (char *)(uintptr_t)p;
  for (int d = 0; d < it->ndim; d++) it->stride[k][d] = 0;
}

/* Dimension a lies inside b: the first operand with an opinion decides. */
static bool inside(const mt_iter *it, int a, int b) {
  for (int k = 0; k < it->nops; k++) {
    int64_t sa = it->stride[k][a], sb = it->stride[k][b];
    if (sa != sb && sa != 0 && sb != 0) return sa < sb;
  }
  return false;
}

static void swap_dims(mt_iter *it, int a, int b) {
  int64_t size = it->size[a];
  it->size[a] = it->size[b];
  it->size[b] = size;
  for (int k = 0; k < it->nops; k++) {
    int64_t stride = it->stride[k][a];
    it->stride[k][a] = it->stride[k][b];
    it->stride[k][b] = stride;
  }
}

static bool one_run(const mt_iter *it, int inner, int outer) {
  for (int k = 0; k < it->nops; k++)
    if (it->stride[k][outer] != it->stride[k][inner] * it->size[inner]) return false;
  return true;
}

void mt__iter_finish(mt_iter *it) {
  int n = 0;
  for (int d = 0; d < it->ndim; d++) {
    if (it->size[d] == 1) continue;
    if (d != n) swap_dims(it, d, n);
    for (int at = n++; at > 0 && inside(it, at, at - 1); at--) swap_dims(it, at, at - 1);
  }
  int last = 0;
  for (int d = 1; d < n; d++) {
    if (one_run(it, last, d)) {
      it->size[last] *= it->size[d];
    } else if (++last != d) {
      swap_dims(it, last, d);
    }
  }
  it->ndim = n ? last + 1 : 0;
}

/* ---- tiles ---- */

typedef struct job {
  const mt_map *m;
  const mt_kern_copy *copy;
  mt_iter it; /* with at least two dimensions */
  int64_t tile[MT_MAX_DIMS], count[MT_MAX_DIMS];
  bool by_rows; /* the loop runs on each row of a tile by itself */
} job;

typedef struct box {
  int ndim;
  int64_t width[MT_MAX_DIMS], at[MT_MAX_DIMS], numel; /* at: in tiles */
  char *ptr[MT_ITER_OPS];
} box;

typedef struct buffers {
  char tile[MT_ITER_OPS][MT_TILE_BYTES] __attribute__((aligned(64)));
  char raw[MT_TILE_BYTES] __attribute__((aligned(64)));
  char number[MT_ITER_OPS][MT_LANES * 8] __attribute__((aligned(64)));
  const char *number_of[MT_ITER_OPS]; /* what number[k] was filled from */
  struct {
    int64_t place, numel, width[2];
  } tile_of[MT_ITER_OPS]; /* which box tile[k] holds, see place_of; place -1: none */
} buffers;

static int log_size(int dtype) {
  return __builtin_ctz((unsigned)mt__esize(dtype));
}

static void box_at(const job *j, int64_t index, box *b) {
  const mt_iter *it = &j->it;
  b->ndim = it->ndim;
  b->numel = 1;
  for (int k = 0; k < it->nops; k++) b->ptr[k] = it->ptr[k];
  for (int d = 0; d < it->ndim; d++) {
    b->at[d] = 0;
    if (j->count[d] > 1) {
      b->at[d] = index % j->count[d];
      index /= j->count[d];
    }
    int64_t at = b->at[d] * j->tile[d];
    int64_t left = it->size[d] - at;
    b->width[d] = left < j->tile[d] ? left : j->tile[d];
    b->numel *= b->width[d];
    if (at)
      for (int k = 0; k < it->nops; k++)
        b->ptr[k] += at * it->stride[k][d] * mt__esize(j->m->have[k]);
  }
}

static bool is_run(const job *j, const box *b, int k) {
  int64_t want = 1;
  for (int d = 0; d < b->ndim; d++) {
    if (b->width[d] > 1 && j->it.stride[k][d] != want) return false;
    want *= b->width[d];
  }
  return true;
}

static bool is_number(const job *j, const box *b, int k) {
  for (int d = 0; d < b->ndim; d++)
    if (b->width[d] > 1 && j->it.stride[k][d] != 0) return false;
  return true;
}

/* Copies the box between two layouts of elements of 1 << size bytes. */
static void copy_box(const job *j, const box *b, int size, char *dst, const int64_t *ds,
                     const char *src, const int64_t *ss) {
  mt_copy2d copy2d = j->copy->copy2d[size];
  int64_t at[MT_MAX_DIMS] = {0};
  for (;;) {
    copy2d(dst, ds[0], ds[1], src, ss[0], ss[1], b->width[0], b->width[1]);
    int d = 2;
    for (; d < b->ndim; d++) {
      dst += ds[d] << size;
      src += ss[d] << size;
      if (++at[d] < b->width[d]) break;
      dst -= (ds[d] * b->width[d]) << size;
      src -= (ss[d] * b->width[d]) << size;
      at[d] = 0;
    }
    if (d >= b->ndim) return;
  }
}

/* Where the box stands for operand k: the same for boxes that differ along broadcast dimensions
 * only, so that a bias is staged once. */
static int64_t place_of(const job *j, const box *b, int k) {
  int64_t place = 0;
  for (int d = b->ndim - 1; d >= 0; d--)
    place = place * j->count[d] + (j->it.stride[k][d] ? b->at[d] : 0);
  return place;
}

static void run_strides(const box *b, int64_t *strides) {
  int64_t s = 1;
  for (int d = 0; d < b->ndim; d++) {
    strides[d] = s;
    s *= b->width[d];
  }
}

/* Operand k of the box as one run of dtype want[k] at dst. */
static void load(const job *j, const box *b, int k, char *dst, char *raw) {
  int have = j->m->have[k], want = j->m->want[k];
  const char *src = b->ptr[k];
  if (!is_run(j, b, k)) {
    int64_t strides[MT_MAX_DIMS];
    run_strides(b, strides);
    char *to = have == want ? dst : raw;
    copy_box(j, b, log_size(have), to, strides, src, j->it.stride[k]);
    if (have == want) return;
    src = raw;
  }
  mt__convert(dst, want, 1, src, have, 1, b->numel);
}

/* The run at src, of dtype want[0], into operand 0. */
static void store(const job *j, const box *b, const char *src, char *raw) {
  int have = j->m->have[0], want = j->m->want[0];
  if (have != want) {
    bool direct = !j->m->stream && is_run(j, b, 0);
    mt__convert(direct ? b->ptr[0] : raw, have, 1, src, want, 1, b->numel);
    if (direct) return;
    src = raw;
  }
  int size = log_size(have);
  if (j->m->stream && is_run(j, b, 0)) {
    j->copy->stream(b->ptr[0], src, b->numel << size);
  } else if (j->m->stream && j->it.stride[0][0] == 1 && b->ndim == 2) {
    for (int64_t i = 0; i < b->width[1]; i++)
      j->copy->stream(b->ptr[0] + (i * j->it.stride[0][1] << size), src + (i * b->width[0] << size),
                      b->width[0] << size);
  } else {
    int64_t strides[MT_MAX_DIMS];
    run_strides(b, strides);
    copy_box(j, b, size, b->ptr[0], j->it.stride[0], src, strides);
  }
}

static void fill_number(const job *j, int k, const char *src, buffers *s) {
  if (s->number_of[k] == src) return;
  s->number_of[k] = src;
  int want = j->m->want[k], size = mt__esize(want);
  char one[8];
  if (j->m->have[k] == want)
    memcpy(one, src, (size_t)size);
  else
    mt__convert(one, want, 1, src, j->m->have[k], 1, 1);
  switch (size) {
  case 1:
    memset(s->number[k], one[0], MT_LANES);
    break;
  case 2:
    for (int i = 0; i < MT_LANES; i++) memcpy(s->number[k] + 2 * i, one, 2);
    break;
  case 4:
    for (int i = 0; i < MT_LANES; i++) memcpy(s->number[k] + 4 * i, one, 4);
    break;
  default:
    for (int i = 0; i < MT_LANES; i++) memcpy(s->number[k] + 8 * i, one, 8);
    break;
  }
}

static void stage(const job *j, const box *b, int k, buffers *s) {
  int64_t place = place_of(j, b, k);
  __auto_type was = &s->tile_of[k];
  if (was->place == place && was->numel == b->numel && was->width[0] == b->width[0] &&
      was->width[1] == b->width[1])
    return;
  load(j, b, k, s->tile[k], s->raw);
  was->place = place;
  was->numel = b->numel;
  was->width[0] = b->width[0];
  was->width[1] = b->width[1];
}

static void copy_one_box(const job *j, const box *b, buffers *s) {
  const mt_map *m = j->m;
  if (m->have[0] == m->have[1] && !m->stream) {
    copy_box(j, b, log_size(m->have[0]), b->ptr[0], j->it.stride[0], b->ptr[1], j->it.stride[1]);
  } else if (!m->stream && is_run(j, b, 0)) {
    load(j, b, 1, b->ptr[0], s->raw);
  } else {
    load(j, b, 1, s->tile[0], s->raw);
    store(j, b, s->tile[0], s->raw);
  }
}

/* What the operands of a tile's rows are when the loop takes them row by row. */
enum access { RUN, ROW, ROW_NUMBER, NUMBER };

static void map_box(const job *j, const box *b, buffers *s) {
  const mt_map *m = j->m;
  const int64_t(*stride)[MT_MAX_DIMS] = j->it.stride;
  const void *in[MT_ITER_OPS - 1];
  int64_t step[MT_ITER_OPS - 1], advance[MT_ITER_OPS];
  uint8_t access[MT_ITER_OPS];
  bool rows = false;
  for (int k = 1; k < j->it.nops; k++) {
    int size = log_size(m->want[k]);
    step[k - 1] = 1;
    access[k] = RUN;
    advance[k] = b->width[0] << size;
    in[k - 1] = b->ptr[k];
    if (is_number(j, b, k)) {
      fill_number(j, k, b->ptr[k], s);
      in[k - 1] = s->number[k];
      step[k - 1] = 0;
      advance[k] = 0;
      access[k] = NUMBER;
    } else if (j->by_rows && stride[k][0] == 0) {
      step[k - 1] = 0;
      in[k - 1] = s->number[k];
      access[k] = ROW_NUMBER;
      rows = true;
    } else if (m->have[k] == m->want[k] && is_run(j, b, k)) {
    } else if (j->by_rows && m->have[k] == m->want[k] && stride[k][0] == 1) {
      access[k] = ROW;
      advance[k] = stride[k][1] << size;
      rows = true;
    } else {
      stage(j, b, k, s);
      in[k - 1] = s->tile[k];
    }
  }
  int size = log_size(m->want[0]);
  char *out = b->ptr[0];
  bool staged = m->stream || m->have[0] != m->want[0];
  advance[0] = b->width[0] << size;
  if (!staged && !is_run(j, b, 0)) {
    if (j->by_rows && stride[0][0] == 1) {
      advance[0] = stride[0][1] << size;
      rows = true;
    } else {
      staged = true;
    }
  }
  if (staged) out = s->tile[0];
  if (!rows) {
    m->loop(out, in, step, b->numel, m->params);
  } else {
    char *row = out;
    for (int64_t i = 0; i < b->width[1]; i++) {
      for (int k = 1; k < j->it.nops; k++)
        if (access[k] == ROW_NUMBER)
          fill_number(j, k, b->ptr[k] + i * stride[k][1] * mt__esize(m->have[k]), s);
      m->loop(row, in, step, b->width[0], m->params);
      row += advance[0];
      for (int k = 1; k < j->it.nops; k++)
        if (access[k] != ROW_NUMBER) in[k - 1] = (const char *)in[k - 1] + advance[k];
    }
  }
  if (staged) store(j, b, out, s->raw);
}

static void map_tiles(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  buffers s;
  memset(s.number_of, 0, sizeof s.number_of);
  memset(s.tile_of, -1, sizeof s.tile_of);
  box b;
  for (int64_t i = begin; i < end; i++) {
    box_at(j, i, &b);
    if (j->m->loop)
      map_box(j, &b, &s);
    else
      copy_one_box(j, &b, &s);
  }
  if (j->m->stream) j->copy->fence();
}

/* A read operand whose memory runs along another dimension than the written one's: that
 * dimension, to be tiled together with the innermost; 0 if there is none. */
static int transposed_dim(const mt_iter *it) {
  for (int k = 1; k < it->nops; k++) {
    if (it->stride[k][0] == 0 || it->stride[k][0] == 1) continue;
    for (int d = 1; d < it->ndim; d++)
      if (it->stride[k][d] == 1) return d;
  }
  return 0;
}

/* Inner width of a transposing tile, in bytes of the written operand: whole cache lines. */
enum { TRANSPOSE_BYTES = 256, ROW_WIDTH = 64 };

static int64_t cut(job *j) {
  mt_iter *it = &j->it;
  while (it->ndim < 2) {
    it->size[it->ndim] = 1;
    for (int k = 0; k < it->nops; k++) it->stride[k][it->ndim] = 0;
    it->ndim++;
  }
  int64_t widest = 1;
  for (int k = 0; k < it->nops; k++) {
    int64_t a = mt__esize(j->m->have[k]), b = mt__esize(j->m->want[k]);
    if (a > widest) widest = a;
    if (b > widest) widest = b;
  }
  int64_t room = MT_TILE_BYTES / widest, tiles = 1;
  int other = transposed_dim(it);
  int64_t inner = it->size[0];
  if (other) {
    swap_dims(it, 1, other);
    int64_t width = TRANSPOSE_BYTES / widest;
    if (inner > width && it->size[1] >= 8) inner = width;
  }
  for (int d = 0; d < it->ndim; d++) {
    int64_t most = d == 0 && inner < room ? inner : room;
    j->tile[d] = it->size[d] < most ? it->size[d] : most;
    if (j->tile[d] < 1) j->tile[d] = 1;
    room /= j->tile[d];
    j->count[d] = (it->size[d] + j->tile[d] - 1) / j->tile[d];
    tiles *= j->count[d];
  }
  j->by_rows = j->tile[0] >= ROW_WIDTH;
  for (int d = 2; d < it->ndim; d++)
    if (j->tile[d] > 1) j->by_rows = false;
  return tiles;
}

/* ---- everything contiguous already ---- */

static int64_t flat_step(const mt_iter *it, int k) {
  return it->ndim ? it->stride[k][0] : 0;
}

static bool is_flat(const mt_iter *it, const mt_map *m) {
  if (it->ndim > 1 || (it->ndim == 1 && it->stride[0][0] != 1)) return false;
  for (int k = 0; k < it->nops; k++) {
    int64_t s = flat_step(it, k);
    if (m->have[k] != m->want[k] || (s != 0 && s != 1)) return false;
  }
  return m->loop != NULL || flat_step(it, 1) == 1 || it->ndim == 0;
}

/* A stored tile is small enough that its stores are still on their way while the next one is
 * computed, and what comes later is asked for by hand: a loop with much arithmetic does not look
 * far enough ahead to keep the memory busy. */
enum { STREAM_TILE = 1024, STREAM_AHEAD = 2048 };

static inline void fetch(const char *p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

static void map_flat(void *ctx, int64_t begin, int64_t end) {
  const job *j = ctx;
  const mt_map *m = j->m;
  const mt_iter *it = &j->it;
  int size = log_size(m->have[0]);
  char *out = it->ptr[0] + (begin << size);
  const void *in[MT_ITER_OPS - 1];
  int64_t step[MT_ITER_OPS - 1];
  if (!m->loop) {
    const char *src = it->ptr[1] + (begin << size);
    if (m->stream) {
      j->copy->stream(out, src, (end - begin) << size);
      j->copy->fence();
    } else {
      memcpy(out, src, (size_t)((end - begin) << size));
    }
    return;
  }
  char number[MT_ITER_OPS][MT_LANES * 8] __attribute__((aligned(64)));
  for (int k = 1; k < it->nops; k++) {
    step[k - 1] = flat_step(it, k);
    in[k - 1] = it->ptr[k] + (begin * step[k - 1] << log_size(m->have[k]));
    if (step[k - 1] == 0) {
      int64_t zero = 0, one = 1;
      j->copy->copy2d[log_size(m->have[k])](number[k], one, zero, in[k - 1], zero, zero, MT_LANES,
                                            1);
      in[k - 1] = number[k];
    }
  }
  if (!m->stream) {
    m->loop(out, in, step, end - begin, m->params);
    return;
  }
  char tile[STREAM_TILE] __attribute__((aligned(64)));
  const int64_t most = STREAM_TILE >> size;
  for (int64_t i = begin; i < end; i += most) {
    int64_t n = end - i < most ? end - i : most;
    for (int k = 1; k < it->nops; k++)
      if (step[k - 1]) fetch((const char *)in[k - 1] + STREAM_AHEAD, n << log_size(m->have[k]));
    m->loop(tile, in, step, n, m->params);
    j->copy->stream(out, tile, n << size);
    out += n << size;
    for (int k = 1; k < it->nops; k++)
      in[k - 1] = (const char *)in[k - 1] + (n * step[k - 1] << log_size(m->have[k]));
  }
  j->copy->fence();
}

int mt__map(const mt_iter *it, const mt_map *m) {
  if (it->numel == 0) return MT_OK;
  job j;
  j.m = m;
  j.copy = mt__kern_copy();
  j.it = *it;
  if (is_flat(it, m)) return mt__parallel_range(it->numel, m->grain, map_flat, &j);
  int64_t tiles = cut(&j), box_numel = 1;
  for (int d = 0; d < j.it.ndim; d++) box_numel *= j.tile[d];
  int64_t grain = m->grain / box_numel;
  return mt__parallel_range(tiles, grain > 1 ? grain : 1, map_tiles, &j);
}
