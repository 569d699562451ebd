/* gzip.c: decoding deflated bytes, over zlib.
 *
 * Invariant: the memory used follows the bytes decoded (at most twice as much) and never what
 * the input says about itself; the caller's cap is the end of it.
 */
#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "io.h"

bool mt_is_gzip(const void *data, size_t n) {
  const unsigned char *b = data;
  return n >= 2 && b[0] == 0x1f && b[1] == 0x8b;
}

uint32_t mt_crc32(uint32_t crc, const void *data, size_t n) {
  return (uint32_t)crc32_z(crc, data, n);
}

static void *z_alloc(void *unused, unsigned count, unsigned size) {
  (void)unused;
  return mt__malloc((size_t)count * size);
}

static void z_free(void *unused, void *p) {
  (void)unused;
  mt__free(p);
}

/* One decoding under way. */
typedef struct inflation {
  z_stream z;
  const unsigned char *src;
  size_t left; /* of src, without what z holds */
  char *data;
  size_t size, room, cap;
} inflation;

static int more_room(inflation *s) {
  size_t room = s->room ? s->room * 2 : 1 << 16;
  if (room > s->cap) room = s->cap;
  if (room == s->room) return MT_OK;
  char *data = mt__realloc(s->data, room);
  if (!data) return mt__fail_memory(room);
  s->data = data;
  s->room = room;
  return MT_OK;
}

static void feed(inflation *s) {
  if (s->z.avail_in || !s->left) return;
  uInt n = s->left < UINT_MAX ? (uInt)s->left : UINT_MAX;
  s->z.next_in = (Bytef *)(uintptr_t)s->src;
  s->z.avail_in = n;
  s->src += n;
  s->left -= n;
}

static int corrupt(const inflation *s, const char *name, const char *why) {
  return mt_fail(MT_ERR_IO, "%s: compressed data is corrupt after %lld bytes: %s", name,
                 (long long)s->size, s->z.msg ? s->z.msg : why);
}

/* After a gzip member: true when another follows. What is neither that nor padding with zeros is
 * an error. */
static int next_member(inflation *s, const char *name, bool *another) {
  *another = false;
  for (;;) {
    feed(s);
    if (!s->z.avail_in) return MT_OK;
    if (*s->z.next_in) break;
    s->z.next_in++;
    s->z.avail_in--;
  }
  if (*s->z.next_in != 0x1f) return corrupt(s, name, "something else follows the end");
  *another = true;
  inflateReset(&s->z);
  return MT_OK;
}

static int decode(inflation *s, bool gzip, bool prefix, const char *name) {
  for (;;) {
    feed(s);
    if (s->size == s->room) MT_TRY(more_room(s));
    size_t space = s->room - s->size;
    char spill;
    bool full = space == 0; /* at the cap: one byte more tells whether there is more */
    if (full && prefix) return MT_OK;
    s->z.next_out = full ? (Bytef *)&spill : (Bytef *)s->data + s->size;
    uInt offered = full ? 1 : space < UINT_MAX ? (uInt)space : UINT_MAX;
    s->z.avail_out = offered;
    int rc = inflate(&s->z, Z_NO_FLUSH);
    uInt made = offered - s->z.avail_out;
    if (full && made) {
      return mt_fail(MT_ERR_IO, "%s: decodes to more than the %lld bytes it may have", name,
                     (long long)s->cap);
    }
    s->size += full ? 0 : made;
    if (rc == Z_STREAM_END) {
      bool another = false;
      if (gzip) MT_TRY(next_member(s, name, &another));
      if (!another) return MT_OK;
    } else if (rc == Z_MEM_ERROR) {
      return mt__fail_memory(1 << 15);
    } else if (rc == Z_BUF_ERROR && !s->z.avail_in && !s->left) {
      return mt_fail(MT_ERR_IO, "%s: compressed data is cut off after %lld decoded bytes", name,
                     (long long)s->size);
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
      return corrupt(s, name, "not a valid stream");
    }
  }
}

int mt_inflate(mt_bytes *out, int format, const void *src, size_t n, size_t cap, bool prefix,
               const char *name) {
  *out = (mt_bytes){NULL, 0};
  inflation s = {.src = src, .left = n, .cap = cap};
  s.z.zalloc = z_alloc;
  s.z.zfree = z_free;
  int window = format == MT_DEFLATED_GZIP ? 15 + 16 : format == MT_DEFLATED_ZLIB ? 15 : -15;
  if (inflateInit2(&s.z, window) != Z_OK) return mt__fail_memory(1 << 13);
  int status = decode(&s, format == MT_DEFLATED_GZIP, prefix, name);
  inflateEnd(&s.z);
  if (status != MT_OK || s.size == 0) {
    mt__free(s.data);
    return status;
  }
  *out = (mt_bytes){s.data, s.size};
  return MT_OK;
}

int mt_read_file(mt_bytes *out, const char *path, size_t cap) {
  *out = (mt_bytes){NULL, 0};
  mt_mapping *m;
  MT_TRY(mt_map_file(&m, path));
  int status = MT_OK;
  if (mt_is_gzip(m->data, m->size)) {
    status = mt_inflate(out, MT_DEFLATED_GZIP, m->data, m->size, cap, false, path);
  } else if (m->size > cap) {
    status =
        mt_fail(MT_ERR_IO, "%s: has more than the %lld bytes it may have", path, (long long)cap);
  } else if (m->size) {
    out->data = mt__malloc(m->size);
    if (out->data) {
      memcpy(out->data, m->data, m->size);
      out->size = m->size;
    } else {
      status = mt__fail_memory(m->size);
    }
  }
  mt_mapping_release(m);
  return status;
}
