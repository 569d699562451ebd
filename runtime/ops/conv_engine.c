/* conv_engine.c: runs passes of packed weights over bordered planes (kernels/conv.h).
 *
 * Where images are many, a task is some images, each copied with its border into a region of the
 * work memory, the first one that is free, so that the same few stay in the caches. Where they
 * are few or large, their planes are copied first, and a task is some positions and rows of one.
 * Which of the two, and the cut, depend on sizes only; what is computed is the same.
 */
#include "conv_engine.h"

#include <string.h>

MT_KERNELS(conv)

enum {
  PLANES_BYTES = 4 << 20, /* of copies, where images are few or large */
  IMAGE_BYTES = 2 << 20,  /* of an image that a task copies for itself */
  MANY_IMAGES = 8,
  MAX_REGIONS = 32,
  WEIGHT_BYTES = 1 << 20 /* that stay in the cache while positions pass */
};

const mt_conv_kernels *mt__conv_kernels(int compute) {
  return compute == MT_FLOAT32 ? &mt__kern_conv()->f32 : &mt__kern_conv()->f64;
}

/* Planes of `size` with a border, for reading `width` outputs a row. Without a stride a row's
 * border on the left is also that of the row before on the right. */
mt_planes mt__planes(const int64_t size[2], const int64_t before[2], const int64_t after[2],
                     const int64_t s[2], int64_t width, int64_t channels) {
  mt_planes p = {.s = {s[0], s[1]}, .top = before[0], .left = before[1]};
  p.direct = s[0] == 1 && s[1] == 1 && !before[0] && !before[1] && !after[0] && !after[1] &&
             width <= size[1];
  p.rows = (size[0] + before[0] + after[0] + s[0] - 1) / s[0];
  p.pitch = (size[1] + before[1] + after[1] + s[1] - 1) / s[1];
  int64_t slack = 0;
  if (s[0] == 1 && s[1] == 1) {
    p.pitch = size[1] + (before[1] > after[1] ? before[1] : after[1]);
    if (p.pitch < width) p.pitch = width;
    slack = after[1];
  }
  p.phase = p.rows * p.pitch + slack;
  p.channel = p.phase * s[0] * s[1];
  p.image = p.channel * channels;
  return p;
}

int64_t mt__conv_images_at_once(int64_t n, int64_t image_bytes) {
  const int64_t fit = image_bytes > 0 ? PLANES_BYTES / image_bytes : n;
  return fit < 1 ? 1 : fit < n ? fit : n;
}

/* Row block `task` of pass e->now: its k x rows by tiles. */
static void pack_block(void *ctx, int64_t task) {
  const mt_conv_engine *e = ctx;
  const mt_pass *p = e->now;
  const int64_t group = task / e->blocks, begin = task % e->blocks * e->row_block;
  const int64_t end = begin + e->row_block < p->rows ? begin + e->row_block : p->rows;
  const int64_t k = p->channels * p->taps;
  int64_t tiles = (end - begin + e->kernels->tile_rows - 1) / e->kernels->tile_rows;
  for (int64_t row = begin; tiles > 0; tiles--) {
    const int64_t mr = mt_conv_tile(end - row, tiles);
    const int64_t from = group * p->group_step + row * p->row_step;
    int64_t to = (group * p->rows + row) * k;
    for (int64_t c = 0; c < p->channels; c++)
      for (int64_t t = 0; t < p->taps; t++, to += mr) {
        const int64_t at = from + c * p->channel_step + p->tap[t];
        if (e->size == 4)
          for (int64_t i = 0; i < mr; i++)
            ((float *)p->w)[to + i] = ((const float *)e->weight)[at + i * p->row_step];
        else
          for (int64_t i = 0; i < mr; i++)
            ((double *)p->w)[to + i] = ((const double *)e->weight)[at + i * p->row_step];
      }
    row += mr;
  }
}

void mt__conv_pad(const mt_conv_engine *e, int64_t image, int64_t region, int64_t begin,
                  int64_t end) {
  mt_conv_pad pad = {.height = e->in_size[0],
                     .width = e->in_size[1],
                     .rows = e->in.rows,
                     .pitch = e->in.pitch,
                     .phase = e->in.phase,
                     .top = e->in.top,
                     .left = e->in.left,
                     .sy = e->in.s[0],
                     .sx = e->in.s[1]};
  for (int64_t c = begin; c < end; c++) {
    pad.x = e->x + ((e->first + image) * e->in_channels + c) * e->in_plane * e->size;
    pad.out = e->copies + (region * e->in.image + c * e->in.channel) * e->size;
    e->kernels->pad(&pad);
  }
}

static void pad_task(void *ctx, int64_t begin, int64_t end) {
  const mt_conv_engine *e = ctx;
  for (int64_t i = begin; i < end; i++) {
    const int64_t image = i / e->in_channels, c = i % e->in_channels;
    mt__conv_pad(e, image, image, c, c + 1);
  }
}

/* Positions begin to end of row block `block` of a group of image first + slot. */
static void compute(const mt_conv_engine *e, const mt_pass *p, int64_t slot, int64_t region,
                    int64_t group, int64_t block, int64_t begin, int64_t end) {
  const int64_t k = p->channels * p->taps, row = group * p->rows + block * e->row_block;
  const int64_t left = p->rows - block * e->row_block;
  const char *image = e->in.direct ? e->x + (e->first + slot) * e->in.image * e->size
                                   : e->copies + region * e->in.image * e->size;
  mt_conv_image c = {.w = p->w + row * k * e->size,
                     .rows = left < e->row_block ? left : e->row_block,
                     .k = k,
                     .x = image + (group * p->channels * e->in.channel + p->base) * e->size,
                     .off = p->off,
                     .bias = e->bias ? e->bias + row * e->size : NULL,
                     .begin = begin,
                     .end = end,
                     .pitch = p->pitch,
                     .width = p->width,
                     .plane = e->out_plane,
                     .out_pitch = p->out_pitch,
                     .step = p->step};
  c.out = e->out + (((e->first + slot) * e->out_channels + row) * e->out_plane + p->out) * e->size;
  c.rows_first = c.rows * k * e->size > WEIGHT_BYTES;
  e->kernels->image(&c);
}

static int take_region(mt_conv_engine *e) {
  uint64_t taken = atomic_load_explicit(&e->taken, memory_order_relaxed);
  for (;;) { /* there are as many regions as tasks, so one is free */
    const int free = __builtin_ctzll(~taken);
    if (atomic_compare_exchange_weak_explicit(&e->taken, &taken, taken | (uint64_t)1 << free,
                                              memory_order_acquire, memory_order_relaxed))
      return free;
  }
}

static void image_task(void *ctx, int64_t begin, int64_t end) {
  mt_conv_engine *e = ctx;
  const int region = e->in.direct ? 0 : take_region(e);
  for (int64_t i = begin; i < end; i++) {
    if (!e->in.direct) mt__conv_pad(e, i, region, 0, e->in_channels);
    if (e->zero)
      memset(e->out + i * e->out_channels * e->out_plane * e->size, 0,
             (size_t)(e->out_channels * e->out_plane * e->size));
    for (int k = 0; k < e->npasses; k++)
      for (int64_t group = 0; group < e->groups; group++)
        compute(e, &e->passes[k], i, region, group, 0, 0, e->passes[k].q);
  }
  if (!e->in.direct)
    atomic_fetch_and_explicit(&e->taken, ~((uint64_t)1 << region), memory_order_release);
}

static void block_task(void *ctx, int64_t task) {
  const mt_conv_engine *e = ctx;
  const int64_t begin = task % e->q_blocks * e->q_block, rest = task / e->q_blocks;
  const int64_t end = begin + e->q_block < e->now->q ? begin + e->q_block : e->now->q;
  const int64_t image = rest / e->blocks / e->groups;
  compute(e, e->now, image, image, rest / e->blocks % e->groups, rest % e->blocks, begin, end);
}

static double cost_of(const mt_conv_engine *e, const mt_pass *p) {
  return (double)p->rows * (double)p->channels * (double)p->taps * (double)p->q * (double)e->groups;
}

static int run_few(mt_conv_engine *e, int64_t images) {
  if (!e->in.direct)
    MT_TRY(mt__parallel_range(images * e->in_channels, MT_CONV_LEAST / (e->in.channel + 1) + 1,
                              pad_task, e));
  if (e->zero)
    memset(e->out + e->first * e->out_channels * e->out_plane * e->size, 0,
           (size_t)(images * e->out_channels * e->out_plane * e->size));
  for (int i = 0; i < e->npasses; i++) {
    const mt_pass *p = e->now = &e->passes[i];
    e->blocks = (p->rows + e->row_block - 1) / e->row_block;
    const int64_t others = images * e->groups * e->blocks;
    const double cost = cost_of(e, p) * (double)images;
    int64_t pieces = (MT_CONV_PIECES + others - 1) / others;
    if (cost < (double)MT_CONV_LEAST * (double)pieces) pieces = 1 + (int64_t)(cost / MT_CONV_LEAST);
    e->q_block = ((p->q + pieces - 1) / pieces + 63) / 64 * 64;
    e->q_blocks = (p->q + e->q_block - 1) / e->q_block;
    MT_TRY(mt__parallel(others * e->q_blocks, block_task, e));
  }
  return MT_OK;
}

int mt__conv_run(mt_conv_engine *e) {
  double cost = 1;
  for (int i = 0; i < e->npasses; i++) {
    const mt_pass *p = e->now = &e->passes[i];
    e->blocks = (p->rows + e->row_block - 1) / e->row_block;
    for (int64_t c = 0; c < p->channels; c++) /* the same in every group */
      for (int64_t t = 0; t < p->taps; t++) p->off[c * p->taps + t] = p->off[t] + c * e->in.channel;
    MT_TRY(mt__parallel(e->groups * e->blocks, pack_block, e));
    cost += cost_of(e, p);
  }
  e->first = 0;
  if (e->by_image) {
    int64_t grain = (e->images + MAX_REGIONS - 1) / MAX_REGIONS;
    if (cost * (double)grain < MT_CONV_LEAST) grain = (int64_t)(MT_CONV_LEAST / cost) + 1;
    return mt__parallel_range(e->images, grain, image_task, e);
  }
  for (; e->first < e->images; e->first += e->regions) {
    const int64_t left = e->images - e->first;
    MT_TRY(run_few(e, left < e->regions ? left : e->regions));
  }
  return MT_OK;
}

int64_t mt__conv_plan(mt_conv_engine *e, int compute_dtype, int64_t images, int64_t q) {
  e->kernels = mt__conv_kernels(compute_dtype);
  e->size = mt__esize(compute_dtype);
  e->images = images;
  const int64_t bytes = e->in.direct ? 0 : e->in.image * e->size;
  e->by_image = images >= MANY_IMAGES && bytes <= IMAGE_BYTES;
  e->regions = mt__conv_images_at_once(images, bytes);
  if (e->by_image) e->regions = images < MAX_REGIONS ? images : MAX_REGIONS;
  e->row_block = !e->by_image && q <= 512 ? 4 * e->kernels->tile_rows : INT64_MAX / 2;
  return e->in.direct ? 0 : e->in.image * e->regions;
}
