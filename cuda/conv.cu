// conv.cu: conv2d and the gradients of its input and weight.
//
// One or few groups: taps are laid out as a matrix (im2col) for some images at a time, then it is a
// product. Many groups (depthwise): direct kernels, one thread a result. What falls on one place is
// added up by the thread of that place, in the order of channels and taps, so sums have one order.
#include "kit.cuh"

namespace {

struct shape {
  int64_t n, c, h, w, o, kh, kw, oh, ow; // input, kernel, output
  int64_t sh, sw, ph, pw, dh, dw, groups, cg, og;
  int64_t taps() const { return cg * kh * kw; }
  int64_t places() const { return oh * ow; }
};

enum { DIRECT_GROUPS = 8 };
const int64_t MOST_BYTES = (int64_t)256 << 20; // of im2col's matrix

// Column p of image i: the taps' inputs. Row t = (channel, ky, kx), all groups one after the other;
// element (image, t, p) at image * image_step + t * row_step + p.
__global__ void im2col(shape g, const char *x, int esize, char *col, int64_t images,
                       int64_t image_step, int64_t row_step) {
  const uint64_t zero = 0;
  int64_t taps = g.c * g.kh * g.kw, places = g.oh * g.ow;
  MTC_EACH(i, images * taps * places) {
    int64_t p = i % places, t = i / places % taps, image = i / places / taps;
    int64_t c = t / (g.kh * g.kw), ky = t / g.kw % g.kh, kx = t % g.kw;
    int64_t y = p / g.ow * g.sh - g.ph + ky * g.dh, xx = p % g.ow * g.sw - g.pw + kx * g.dw;
    int64_t to = image * image_step + t * row_step + p;
    if (y >= 0 && y < g.h && xx >= 0 && xx < g.w)
      mtc_move(col, to, x, ((image * g.c + c) * g.h + y) * g.w + xx, esize);
    else
      mtc_move(col, to, (const char *)&zero, 0, esize);
  }
}

// The gradient of an input place: what im2col took from it, gathered.
template <typename C>
__global__ void col2im(shape g, const char *col, char *x, int dtype, int64_t images) {
  int64_t taps = g.c * g.kh * g.kw, places = g.oh * g.ow;
  MTC_EACH(i, images * g.c * g.h * g.w) {
    int64_t xx = i % g.w, y = i / g.w % g.h, c = i / g.w / g.h % g.c, image = i / g.w / g.h / g.c;
    C sum = 0;
    for (int64_t ky = 0; ky < g.kh; ky++) {
      int64_t oy = y + g.ph - ky * g.dh;
      if (oy < 0 || oy % g.sh != 0 || oy / g.sh >= g.oh) continue;
      for (int64_t kx = 0; kx < g.kw; kx++) {
        int64_t ox = xx + g.pw - kx * g.dw;
        if (ox < 0 || ox % g.sw != 0 || ox / g.sw >= g.ow) continue;
        int64_t t = (c * g.kh + ky) * g.kw + kx;
        sum += mtc_load<C>(col, dtype, (image * taps + t) * places + oy / g.sh * g.ow + ox / g.sw);
      }
    }
    mtc_store<C>(x, dtype, i, sum);
  }
}

// (images, o, places) -> (o, images, places)
__global__ void swap_images(const char *from, char *to, int esize, int64_t images, int64_t o,
                            int64_t places) {
  MTC_EACH(i, images * o * places) {
    int64_t p = i % places, image = i / places % images, c = i / places / images;
    mtc_move(to, i, from, (image * o + c) * places + p, esize);
  }
}

// ---- direct kernels ----

struct direct {
  shape g;
  const char *x, *w, *y; // input, weight, gradient of the output
  char *out;
  int dtype;
  const char *bias;
};

template <typename C> __global__ void forward_direct(direct d) {
  const shape &g = d.g;
  MTC_EACH(i, g.n * g.o * g.oh * g.ow) {
    int64_t ox = i % g.ow, oy = i / g.ow % g.oh, o = i / g.ow / g.oh % g.o,
            n = i / g.ow / g.oh / g.o;
    C sum = 0;
    for (int64_t c = 0; c < g.cg; c++)
      for (int64_t ky = 0; ky < g.kh; ky++) {
        int64_t y = oy * g.sh - g.ph + ky * g.dh;
        if (y < 0 || y >= g.h) continue;
        for (int64_t kx = 0; kx < g.kw; kx++) {
          int64_t x = ox * g.sw - g.pw + kx * g.dw;
          if (x < 0 || x >= g.w) continue;
          int64_t channel = o / g.og * g.cg + c;
          sum += mtc_load<C>(d.x, d.dtype, ((n * g.c + channel) * g.h + y) * g.w + x) *
                 mtc_load<C>(d.w, d.dtype, ((o * g.cg + c) * g.kh + ky) * g.kw + kx);
        }
      }
    if (d.bias) sum += mtc_load<C>(d.bias, d.dtype, o);
    mtc_store<C>(d.out, d.dtype, i, sum);
  }
}

template <typename C> __global__ void input_direct(direct d) {
  const shape &g = d.g;
  MTC_EACH(i, g.n * g.c * g.h * g.w) {
    int64_t x = i % g.w, y = i / g.w % g.h, c = i / g.w / g.h % g.c, n = i / g.w / g.h / g.c;
    C sum = 0;
    for (int64_t o = c / g.cg * g.og; o < (c / g.cg + 1) * g.og; o++)
      for (int64_t ky = 0; ky < g.kh; ky++) {
        int64_t oy = y + g.ph - ky * g.dh;
        if (oy < 0 || oy % g.sh != 0 || oy / g.sh >= g.oh) continue;
        for (int64_t kx = 0; kx < g.kw; kx++) {
          int64_t ox = x + g.pw - kx * g.dw;
          if (ox < 0 || ox % g.sw != 0 || ox / g.sw >= g.ow) continue;
          sum += mtc_load<C>(d.y, d.dtype, ((n * g.o + o) * g.oh + oy / g.sh) * g.ow + ox / g.sw) *
                 mtc_load<C>(d.w, d.dtype, ((o * g.cg + c % g.cg) * g.kh + ky) * g.kw + kx);
        }
      }
    mtc_store<C>(d.out, d.dtype, i, sum);
  }
}

// A block an element of the weight; its threads' sums over images and places join in a tree.
template <typename C> __global__ void weight_direct(direct d) {
  __shared__ double shared[MTC_THREADS];
  const shape &g = d.g;
  mtc_tile all = {MTC_THREADS, 1, 0};
  int64_t i = blockIdx.x, kx = i % g.kw, ky = i / g.kw % g.kh, c = i / g.kw / g.kh % g.cg;
  int64_t o = i / g.kw / g.kh / g.cg, channel = o / g.og * g.cg + c, places = g.oh * g.ow;
  double sum = 0;
  for (int64_t at = threadIdx.x; at < g.n * places; at += MTC_THREADS) {
    int64_t n = at / places, p = at % places;
    int64_t y = p / g.ow * g.sh - g.ph + ky * g.dh, x = p % g.ow * g.sw - g.pw + kx * g.dw;
    if (y < 0 || y >= g.h || x < 0 || x >= g.w) continue;
    sum += (double)(mtc_load<C>(d.y, d.dtype, (n * g.o + o) * places + p) *
                    mtc_load<C>(d.x, d.dtype, ((n * g.c + channel) * g.h + y) * g.w + x));
  }
  sum = mtc_join(all, sum, shared, mtc_plus());
  if (threadIdx.x == 0) mtc_store<double>(d.out, d.dtype, i, sum);
}

// ---- shapes ----

// Arguments `at` on: stride, padding, dilation, groups. infer has checked everything.
void read_shape(shape *g, const mt_frame *f, int at, const mt_tensor *x, const mt_tensor *y,
                int64_t kh, int64_t kw, int64_t h, int64_t w, int64_t channels) {
  const int64_t *s = f->args[at].u.is, *p = f->args[at + 1].u.is, *d = f->args[at + 2].u.is;
  const mt_tensor *any = x ? x : y;
  g->n = any->ndim == 4 ? any->sizes[0] : 1;
  g->c = channels;
  g->h = h, g->w = w;
  g->o = y->sizes[y->ndim - 3];
  g->oh = y->sizes[y->ndim - 2], g->ow = y->sizes[y->ndim - 1];
  g->kh = kh, g->kw = kw;
  g->sh = s[0], g->sw = s[1], g->ph = p[0], g->pw = p[1], g->dh = d[0], g->dw = d[1];
  g->groups = f->args[at + 3].u.i;
  g->cg = g->c / g->groups, g->og = g->o / g->groups;
}

// 1 x 1 with stride 1 and no padding: the input is im2col's matrix.
bool pointwise(const shape &g) {
  return g.kh == 1 && g.kw == 1 && g.sh == 1 && g.sw == 1 && g.ph == 0 && g.pw == 0;
}

bool few(const shape &g) {
  return g.groups < DIRECT_GROUPS || g.og >= 16;
}

int64_t images_at_once(const shape &g, int esize) {
  int64_t bytes = g.c * g.kh * g.kw * g.places() * esize, n = bytes > 0 ? MOST_BYTES / bytes : g.n;
  return n < 1 ? 1 : n < g.n ? n : g.n;
}

// conv2d(input, weight, bias, stride, padding, dilation, groups)
int forward_op(mt_frame *f) {
  const mt_tensor *x = f->args[0].u.t, *w = f->args[1].u.t, *out = f->out[0];
  const mt_tensor *bias = f->args[2].kind == MT_TENSOR ? f->args[2].u.t : NULL;
  shape g;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  read_shape(&g, f, 3, x, out, w->sizes[2], w->sizes[3], x->sizes[x->ndim - 2],
             x->sizes[x->ndim - 1], x->sizes[x->ndim - 3]);
  if (!few(g)) {
    direct d = {
        g, mtc_ptr(x), mtc_ptr(w), NULL, mtc_ptr(out), x->dtype, bias ? mtc_ptr(bias) : NULL};
    if (x->dtype == MT_FLOAT64)
      MTC_LAUNCH((forward_direct<double>), mtc_grid(out->numel), MTC_THREADS, s, d);
    else
      MTC_LAUNCH((forward_direct<float>), mtc_grid(out->numel), MTC_THREADS, s, d);
    return mtc_launched("conv2d");
  }
  if (bias) { // into every place of its channel first
    mt_tensor column = *bias;
    column.ndim = 3;
    column.sizes[0] = g.o, column.sizes[1] = column.sizes[2] = 1;
    column.strides[0] = bias->strides[0], column.strides[1] = column.strides[2] = 0;
    column.flags = 0;
    MTC_TRY(mtc_copy_tensor(out, &column));
  }
  int esize = mt__esize(x->dtype);
  int64_t at_once = images_at_once(g, esize), taps = g.taps(), places = g.places(),
          all = g.groups * taps;
  bool plain = pointwise(g);
  mtc_scratch col;
  if (!plain) MTC_TRY(col.take(out->device, at_once * all * places * esize));
  for (int64_t first = 0; first < g.n; first += at_once) {
    int64_t images = g.n - first < at_once ? g.n - first : at_once;
    char *from = mtc_ptr(x) + first * g.c * g.h * g.w * esize;
    if (!plain) {
      MTC_LAUNCH(im2col, mtc_grid(images * all * places), MTC_THREADS, s, g, (const char *)from,
                 esize, col.p, images, all * places, places);
      MTC_TRY(mtc_launched("conv2d"));
    }
    for (int64_t group = 0; group < g.groups; group++) {
      mtc_matrix a = {mtc_ptr(w) + group * g.og * taps * esize, x->dtype, taps, 1, 0};
      mtc_matrix b = {(plain ? from : col.p) + group * taps * places * esize, x->dtype, places, 1,
                      all * places};
      mtc_matrix c = {mtc_ptr(out) + (first * g.o + group * g.og) * places * esize, x->dtype,
                      places, 1, g.o * places};
      MTC_TRY(mtc_product(out->device, g.og, places, taps, images, a, b, c, mtc_number(1),
                          mtc_number(bias != NULL)));
    }
  }
  return MT_OK;
}

// _conv2d_input_grad(grad, weight, size, stride, padding, dilation, groups)
int input_grad_op(mt_frame *f) {
  const mt_tensor *y = f->args[0].u.t, *w = f->args[1].u.t, *out = f->out[0];
  static const char zero[8] = {0};
  shape g;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  if (y->numel == 0) return mtc_fill_cell(out, zero);
  read_shape(&g, f, 3, NULL, y, w->sizes[2], w->sizes[3], f->args[2].u.is[0], f->args[2].u.is[1],
             w->sizes[1] * f->args[6].u.i);
  bool wide = y->dtype == MT_FLOAT64;
  if (!few(g)) {
    direct d = {g, NULL, mtc_ptr(w), mtc_ptr(y), mtc_ptr(out), y->dtype, NULL};
    if (wide)
      MTC_LAUNCH((input_direct<double>), mtc_grid(out->numel), MTC_THREADS, s, d);
    else
      MTC_LAUNCH((input_direct<float>), mtc_grid(out->numel), MTC_THREADS, s, d);
    return mtc_launched("_conv2d_input_grad");
  }
  int esize = mt__esize(y->dtype);
  int64_t at_once = images_at_once(g, esize), taps = g.taps(), places = g.places(),
          all = g.groups * taps;
  bool plain = pointwise(g);
  mtc_scratch col;
  if (!plain) MTC_TRY(col.take(out->device, at_once * all * places * esize));
  for (int64_t first = 0; first < g.n; first += at_once) {
    int64_t images = g.n - first < at_once ? g.n - first : at_once;
    char *to = mtc_ptr(out) + first * g.c * g.h * g.w * esize;
    for (int64_t group = 0; group < g.groups; group++) {
      mtc_matrix a = {mtc_ptr(w) + group * g.og * taps * esize, y->dtype, 1, taps,
                      0}; // turned over
      mtc_matrix b = {mtc_ptr(y) + (first * g.o + group * g.og) * places * esize, y->dtype, places,
                      1, g.o * places};
      mtc_matrix c = {(plain ? to : col.p) + group * taps * places * esize, y->dtype, places, 1,
                      all * places};
      MTC_TRY(mtc_product(out->device, taps, places, g.og, images, a, b, c, mtc_number(1),
                          mtc_number(0)));
    }
    if (plain) continue;
    int64_t blocks = mtc_grid(images * g.c * g.h * g.w);
    if (wide)
      MTC_LAUNCH((col2im<double>), blocks, MTC_THREADS, s, g, (const char *)col.p, to,
                 (int)y->dtype, images);
    else
      MTC_LAUNCH((col2im<float>), blocks, MTC_THREADS, s, g, (const char *)col.p, to, (int)y->dtype,
                 images);
    MTC_TRY(mtc_launched("_conv2d_input_grad"));
  }
  return MT_OK;
}

// _conv2d_weight_grad(grad, input, kernel, stride, padding, dilation, groups)
int weight_grad_op(mt_frame *f) {
  const mt_tensor *y = f->args[0].u.t, *x = f->args[1].u.t, *out = f->out[0];
  static const char zero[8] = {0};
  shape g;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, out->device));
  if (out->numel == 0) return MT_OK;
  if (y->numel == 0) return mtc_fill_cell(out, zero);
  read_shape(&g, f, 3, x, y, f->args[2].u.is[0], f->args[2].u.is[1], x->sizes[x->ndim - 2],
             x->sizes[x->ndim - 1], x->sizes[x->ndim - 3]);
  if (!few(g) && out->numel <= 0x7fffffff) {
    direct d = {g, mtc_ptr(x), NULL, mtc_ptr(y), mtc_ptr(out), y->dtype, NULL};
    if (y->dtype == MT_FLOAT64)
      MTC_LAUNCH((weight_direct<double>), out->numel, MTC_THREADS, s, d);
    else
      MTC_LAUNCH((weight_direct<float>), out->numel, MTC_THREADS, s, d);
    return mtc_launched("_conv2d_weight_grad");
  }
  // taps x (images, places), and the gradient as (channels) x (images, places): one product
  int esize = mt__esize(y->dtype);
  int64_t at_once = images_at_once(g, esize), taps = g.taps(), places = g.places(),
          all = g.groups * taps;
  bool half = esize == 2;
  mtc_scratch col, rows;
  mtc_plain sum;
  const mt_tensor *to = out;
  MTC_TRY(col.take(out->device, at_once * all * places * esize));
  MTC_TRY(rows.take(out->device, at_once * g.o * places * esize));
  if (half) { // summed in float32 over the images
    MTC_TRY(sum.make(out, MT_FLOAT32));
    to = &sum.t;
  }
  for (int64_t first = 0; first < g.n; first += at_once) {
    int64_t images = g.n - first < at_once ? g.n - first : at_once, wide = images * places;
    const char *from = mtc_ptr(x) + first * g.c * g.h * g.w * esize;
    const char *grad = mtc_ptr(y) + first * g.o * places * esize;
    MTC_LAUNCH(im2col, mtc_grid(all * wide), MTC_THREADS, s, g, from, esize, col.p, images, places,
               wide);
    MTC_TRY(mtc_launched("_conv2d_weight_grad"));
    MTC_LAUNCH(swap_images, mtc_grid(g.o * wide), MTC_THREADS, s, grad, rows.p, esize, images, g.o,
               places);
    MTC_TRY(mtc_launched("_conv2d_weight_grad"));
    for (int64_t group = 0; group < g.groups; group++) {
      mtc_matrix a = {rows.p + group * g.og * wide * esize, y->dtype, wide, 1, 0};
      mtc_matrix b = {col.p + group * taps * wide * esize, y->dtype, 1, wide, 0};
      mtc_matrix c = {mtc_ptr(to) + group * g.og * taps * mt__esize(to->dtype), to->dtype, taps, 1,
                      0};
      MTC_TRY(mtc_product(out->device, g.og, taps, wide, 1, a, b, c, mtc_number(1),
                          mtc_number(first > 0)));
    }
  }
  return half ? mtc_copy_tensor(out, to) : (int)MT_OK;
}

const mtc_kernel table[] = {
    {"conv2d", MT_D_FLOAT, forward_op, true},
    {"_conv2d_input_grad", MT_D_FLOAT, input_grad_op, true},
    {"_conv2d_weight_grad", MT_D_FLOAT, weight_grad_op, true},
};
MTC_FAMILY(convolutions, table);

} // namespace
