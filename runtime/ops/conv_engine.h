/* conv_engine.h: convolutions as passes of packed weights over bordered planes. See
 * conv_engine.c. */
#ifndef MT_CONV_ENGINE_H
#define MT_CONV_ENGINE_H

#include "internal.h"
#include "kernels/conv.h"

enum { MT_CONV_PIECES = 16, MT_CONV_LEAST = 1 << 16 }; /* tasks wanted; cost of the smallest */

/* Images as taps read them: `direct`, where they lie, or copied. Counts are elements. */
typedef struct mt_planes {
  bool direct;
  int64_t rows, pitch, top, left, s[2];
  int64_t phase, channel, image;
} mt_planes;

/* Planes of `size` with a border, for reading `width` outputs a row, dealt out to the phases of a
 * stride. */
mt_planes mt__planes(const int64_t size[2], const int64_t before[2], const int64_t after[2],
                     const int64_t stride[2], int64_t width, int64_t channels);

/* One pass: some rows of output for each group, from all taps given. Forward is one pass, the
 * gradient of the input one for each phase of the stride. */
typedef struct mt_pass {
  int64_t rows, channels, taps;               /* of a group */
  const int64_t *tap;                         /* each tap's place in a kernel */
  int64_t row_step, channel_step, group_step; /* in the weight */
  char *w;                                    /* packed */
  int64_t *off;
  int64_t base;                 /* in an image, of the first output */
  int64_t q, pitch, width;      /* positions */
  int64_t out, out_pitch, step; /* in a plane of the result */
} mt_pass;

typedef struct mt_conv_engine {
  const mt_conv_kernels *kernels;
  int size; /* of an element */
  int64_t groups, images;
  mt_planes in;
  int64_t in_channels, in_plane, in_size[2];
  int64_t out_channels, out_plane;
  const char *x, *weight, *bias;
  char *out;
  bool zero; /* some of the result is in no pass */
  int npasses;
  mt_pass *passes;
  /* set by mt__conv_plan */
  bool by_image;   /* tasks are images; else positions and rows of a few images */
  int64_t regions; /* images whose planes `copies` has room for */
  char *copies;
  int64_t row_block; /* rows that are packed together */
  /* of one run over the pool */
  _Atomic uint64_t taken; /* regions in use */
  int64_t first, blocks, q_block, q_blocks;
  const mt_pass *now;
} mt_conv_engine;

const mt_conv_kernels *mt__conv_kernels(int compute);

/* Sets what depends on sizes; q: positions of a pass. Returns the elements that `copies` wants. */
int64_t mt__conv_plan(mt_conv_engine *e, int compute, int64_t images, int64_t q);

/* The result of all passes, whose taps and first channels' offsets are set. */
int mt__conv_run(mt_conv_engine *e);

/* Copies channels begin to end of an image (counted from e->first) into a region. */
void mt__conv_pad(const mt_conv_engine *e, int64_t image, int64_t region, int64_t begin,
                  int64_t end);

/* How many images of so many bytes are kept at a time. */
int64_t mt__conv_images_at_once(int64_t n, int64_t image_bytes);

#endif
