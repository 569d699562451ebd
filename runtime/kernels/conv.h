/* conv.h: kernels of convolutions, float and double.
 *
 * A convolution is computed without unfolding its input. Planes lie with a border of zeros in
 * rows of `pitch` elements, so that a tap of the kernel is one shift of the whole plane, whatever
 * the row: the outputs of a plane are q = y * pitch + x, and
 *
 *     out[o][q] = bias[o] + sum over p of w[o][p] * x[q + off[p]],   p = (channel, tap),
 *
 * which is a matrix product whose right side is read through a table of offsets. The positions x
 * beyond the output's width are computed and thrown away.
 */
#ifndef MT_KERN_CONV_H
#define MT_KERN_CONV_H

#include <stdbool.h>
#include <stdint.h>

/* One image, one group. */
typedef struct mt_conv_image {
  const void *w;   /* packed: for each tile of rows its k x (rows of the tile) */
  int64_t rows, k; /* output channels; channels x taps */
  const void *x;
  const int64_t *off;   /* k of them */
  const void *bias;     /* rows, or NULL */
  int64_t begin, end;   /* positions q to compute */
  int64_t pitch, width; /* width <= pitch: how many of a row are wanted */
  void *out;            /* out[o * plane + (q / pitch) * out_pitch + (q % pitch) * step] */
  int64_t plane, out_pitch, step;
  bool rows_first; /* all positions for a tile's weights, rather than all tiles for a few
                         positions: for weights that do not fit the cache */
} mt_conv_image;

/* dw[o * dw_row + p] += sum over images and q < n of g[o * g_plane + q] * x[q + off[p]] */
typedef struct mt_conv_weight {
  const void *g, *x;
  const int64_t *off;
  int64_t rows, k, n, images;
  int64_t g_plane, g_image, x_image;
  void *dw;
  int64_t dw_row;
  bool near_taps; /* several taps read one plane */
} mt_conv_weight;

/* Planes with a border of zeros; a stride deals the positions out to its phases, each a plane of
 * its own: out[(a * sx + b) * phase + i * pitch + j] = x[i * sy + a - top][j * sx + b - left]. A
 * row's border on the left serves the row before as its border on the right. */
typedef struct mt_conv_pad {
  const void *x;
  int64_t height, width;
  void *out;
  int64_t rows, pitch, phase, top, left, sy, sx;
} mt_conv_pad;

typedef struct mt_conv_kernels {
  int tile_rows;                /* the most of a tile */
  int weight_rows, weight_taps; /* of a tile of `weight` */
  void (*pad)(const mt_conv_pad *p);
  void (*image)(const mt_conv_image *c);
  void (*weight)(const mt_conv_weight *c);
} mt_conv_kernels;

typedef struct mt_kern_conv {
  mt_conv_kernels f32, f64;
} mt_kern_conv;

/* Rows are dealt out evenly to as few tiles as possible: how many the next tile has. */
static inline int64_t mt_conv_tile(int64_t rows_left, int64_t tiles_left) {
  return (rows_left + tiles_left - 1) / tiles_left;
}

#endif
