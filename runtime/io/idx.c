/* idx.c: reading IDX files, the format of the MNIST family.
 *
 * Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", file formats: two zero bytes, a
 * type byte, a byte with the number of dimensions, one big-endian uint32 a dimension, then the
 * elements row-major and big-endian. The data must end where the header says.
 */
#include <string.h>

#include "io.h"

static const struct {
  uint8_t code;
  uint8_t dtype;
} types[] = {{0x08, MT_UINT8}, {0x09, MT_INT8},    {0x0b, MT_INT16},
             {0x0c, MT_INT32}, {0x0d, MT_FLOAT32}, {0x0e, MT_FLOAT64}};

enum { MAX_HEADER = 4 + 4 * MT_MAX_DIMS };

typedef struct header {
  int dtype, ndim;
  int64_t sizes[MT_MAX_DIMS];
  size_t bytes; /* of the header itself */
  size_t data;  /* of what must follow */
} header;

static int parse_header(header *h, const unsigned char *b, size_t n, const char *path) {
  h->dtype = -1;
  if (n >= 4 && b[0] == 0 && b[1] == 0) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
      if (types[i].code == b[2]) h->dtype = types[i].dtype;
  }
  if (h->dtype < 0) {
    return mt_fail(MT_ERR_IO, n < 4 ? "%s: too short for an IDX file" : "%s: not an IDX file",
                   path);
  }
  h->ndim = b[3];
  if (h->ndim > MT_MAX_DIMS)
    return mt_fail(MT_ERR_IO, "%s: IDX file with %d dimensions, at most %d are possible", path,
                   h->ndim, MT_MAX_DIMS);
  h->bytes = 4 + 4 * (size_t)h->ndim;
  if (n < h->bytes) return mt_fail(MT_ERR_IO, "%s: IDX file cut off in its header", path);
  size_t total = (size_t)mt__esize(h->dtype);
  for (int d = 0; d < h->ndim; d++) {
    const unsigned char *p = b + 4 + 4 * d;
    uint32_t size = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    h->sizes[d] = size;
    if (__builtin_mul_overflow(total, (size_t)size, &total) || total > (size_t)INT64_MAX / 2)
      return mt_fail(MT_ERR_IO, "%s: IDX header with impossible sizes", path);
  }
  h->data = total;
  return MT_OK;
}

/* Big-endian elements into memory of this machine's order. */
static void take_elements(char *dst, const char *src, size_t bytes, int size) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  (void)size;
  memcpy(dst, src, bytes);
#else
  if (size == 1) {
    memcpy(dst, src, bytes);
  } else if (size == 2) {
    for (size_t i = 0; i < bytes; i += 2) {
      uint16_t v;
      memcpy(&v, src + i, 2);
      v = __builtin_bswap16(v);
      memcpy(dst + i, &v, 2);
    }
  } else if (size == 4) {
    for (size_t i = 0; i < bytes; i += 4) {
      uint32_t v;
      memcpy(&v, src + i, 4);
      v = __builtin_bswap32(v);
      memcpy(dst + i, &v, 4);
    }
  } else {
    for (size_t i = 0; i < bytes; i += 8) {
      uint64_t v;
      memcpy(&v, src + i, 8);
      v = __builtin_bswap64(v);
      memcpy(dst + i, &v, 8);
    }
  }
#endif
}

/* The whole decoded file. */
static int from_bytes(mt_tensor **out, const char *data, size_t n, const char *path) {
  header h;
  MT_TRY(parse_header(&h, (const unsigned char *)data, n, path));
  size_t there = n - h.bytes;
  if (there != h.data) {
    char shape[200];
    mt__shape_text(shape, sizeof shape, h.ndim, h.sizes);
    return mt_fail(MT_ERR_IO, "%s: IDX header promises %s %s, %lld bytes, but %lld follow", path,
                   mt_dtype_name(h.dtype), shape, (long long)h.data, (long long)there);
  }
  MT_TRY(mt_new(out, h.dtype, MT_CPU, h.ndim, h.sizes));
  if (h.data) take_elements(mt_data(*out), data + h.bytes, h.data, mt__esize(h.dtype));
  return MT_OK;
}

/* The header is decoded first: it says where the data has to end. */
static int from_gzip(mt_tensor **out, const mt_mapping *m, const char *path) {
  mt_bytes head, all;
  MT_TRY(mt_inflate(&head, MT_DEFLATED_GZIP, m->data, m->size, MAX_HEADER, true, path));
  header h;
  int status = parse_header(&h, (const unsigned char *)head.data, head.size, path);
  mt__free(head.data);
  MT_TRY(status);
  MT_TRY(mt_inflate(&all, MT_DEFLATED_GZIP, m->data, m->size, h.bytes + h.data, false, path));
  status = from_bytes(out, all.data, all.size, path);
  mt__free(all.data);
  return status;
}

int mt_read_idx(mt_tensor **out, const char *path) {
  *out = NULL;
  mt_mapping *m;
  MT_TRY(mt_map_file(&m, path));
  int status = mt_is_gzip(m->data, m->size) ? from_gzip(out, m, path)
                                            : from_bytes(out, m->data, m->size, path);
  mt_mapping_release(m);
  return status;
}
