/* io.c: files, over runtime/io: readers of known formats, and the writer and mapped file that the
 * library builds its own formats on. */
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "io/io.h"

const char mtb_tag_writer = 0, mtb_tag_mapped = 0;

static const char *check_path(lua_State *L, int idx, const char *who) {
  size_t len = 0;
  char got[300];
  if (lua_type(L, idx) != LUA_TSTRING)
    mtb_error(L, "%s: expected a path, got %s", who, mtb_describe(L, idx, got, sizeof got));
  const char *path = lua_tolstring(L, idx, &len);
  if (strlen(path) != len) mtb_error(L, "%s: a path cannot hold a zero byte", who);
  return path;
}

/* ---- whole files ---- */

/* read_idx(path): an IDX file (MNIST), plain or gzip, as a tensor */
static int read_idx(lua_State *L) {
  mtb_state *st = mtb_up(L);
  const char *path = check_path(L, 1, "read_idx");
  mtb_handle *h = mtb_new_handle(L, st);
  MTB_CHECK_MEMORY(L, st, mt_read_idx(&h->t, path));
  mtb_account(st, h->t);
  return 1;
}

static void free_bytes(mtb_guard *g) {
  mt__free(((mt_bytes *)g->p)->data);
}

static size_t check_cap(lua_State *L, int idx) {
  return lua_isnoneornil(L, idx) ? (size_t)1 << 40
                                 : (size_t)mtb_check_whole(L, idx, "the limit of bytes");
}

static int give_bytes(lua_State *L, mt_bytes *b) {
  MTB_GUARD g = {.undo = free_bytes, .p = b};
  if (b->size >= (size_t)1 << 31) mtb_error(L, "the data is too large for a string");
  lua_pushlstring(L, b->data ? b->data : "", b->size);
  return 1;
}

/* gunzip(string [, most bytes [, name]]) */
static int gunzip(lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 1, &len), *name = luaL_optstring(L, 3, "gzip data");
  mt_bytes b = {NULL, 0};
  MTB_CHECK_MEMORY(L, mtb_up(L),
                   mt_inflate(&b, MT_DEFLATED_GZIP, s, len, check_cap(L, 2), false, name));
  return give_bytes(L, &b);
}

/* read_file(path [, most bytes]): the bytes, decoded when it is a gzip file */
static int read_file(lua_State *L) {
  mt_bytes b = {NULL, 0};
  const char *path = check_path(L, 1, "read_file");
  MTB_CHECK_MEMORY(L, mtb_up(L), mt_read_file(&b, path, check_cap(L, 2)));
  return give_bytes(L, &b);
}

/* crc32(string or tensor [, crc so far]) */
static int crc32(lua_State *L) {
  uint32_t crc = (uint32_t)luaL_optnumber(L, 2, 0);
  if (mtb_to_handle(L, 1)) {
    mt_tensor *t = mtb_plain(L, mtb_up(L), 1, "crc32");
    crc = mt_crc32(crc, mt_data(t), (size_t)(t->numel * mt__esize(t->dtype)));
  } else {
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    crc = mt_crc32(crc, s, len);
  }
  lua_pushnumber(L, (lua_Number)crc);
  return 1;
}

/* ---- writing ---- */

static mt_writer *check_writer(lua_State *L, const char *who) {
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_writer);
  if (!b) mtb_error(L, "%s: expected a writer", who);
  if (!b->u.p) mtb_error(L, "%s: the writer is closed", who);
  return b->u.p;
}

/* writer(path): what is written appears at path when commit is called, whole */
static int writer_new(lua_State *L) {
  mtb_state *st = mtb_up(L);
  const char *path = check_path(L, 1, "writer");
  mtb_box *b = mtb_new_box(L, st, &mtb_tag_writer, MTB_META_WRITER);
  mt_writer *w = NULL;
  MTB_CHECK_MEMORY(L, st, mt_writer_open(&w, path));
  b->u.p = w;
  return 1;
}

/* w:write(string or tensor, ...): a tensor's elements, row-major, little-endian; returns w */
static int writer_write(lua_State *L) {
  mtb_state *st = mtb_up(L);
  int n = lua_gettop(L);
  char got[300];
  check_writer(L, "write");
  for (int i = 2; i <= n; i++) {
    if (mtb_to_handle(L, i)) {
      mt_tensor *t = mtb_plain(L, st, i, "write");
      MTB_CHECK(L, mt_writer_write(check_writer(L, "write"), mt_data(t),
                                   (size_t)(t->numel * mt__esize(t->dtype))));
    } else if (lua_type(L, i) == LUA_TSTRING) {
      size_t len;
      const char *s = lua_tolstring(L, i, &len);
      MTB_CHECK(L, mt_writer_write(check_writer(L, "write"), s, len));
    } else {
      mtb_error(L, "write: expected a string or a tensor, got %s",
                mtb_describe(L, i, got, sizeof got));
    }
  }
  lua_settop(L, 1);
  return 1;
}

static int writer_position(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mt_writer_position(check_writer(L, "position")));
  return 1;
}

static int writer_commit(lua_State *L) {
  mt_writer *w = check_writer(L, "commit");
  mtb_to_box(L, 1, &mtb_tag_writer)->u.p = NULL;
  MTB_CHECK(L, mt_writer_commit(w));
  return 0;
}

/* Also the finalizer: what was not committed never was. */
static int writer_abort(lua_State *L) {
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_writer);
  if (!b) return 0;
  mt_writer *w = b->u.p;
  b->u.p = NULL;
  mt_writer_abort(w);
  return 0;
}

/* ---- reading in place ---- */

static mt_mapping *check_mapped(lua_State *L, const char *who) {
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_mapped);
  if (!b) mtb_error(L, "%s: expected a mapped file", who);
  if (!b->u.p) mtb_error(L, "%s: the file is closed", who);
  return b->u.p;
}

/* mapped(path): a file's bytes, for slices and tensors over them */
static int mapped_new(lua_State *L) {
  mtb_state *st = mtb_up(L);
  const char *path = check_path(L, 1, "mapped");
  mtb_box *b = mtb_new_box(L, st, &mtb_tag_mapped, MTB_META_MAPPED);
  mt_mapping *m = NULL;
  MTB_CHECK_MEMORY(L, st, mt_map_file(&m, path));
  b->u.p = m;
  return 1;
}

static int mapped_size(lua_State *L) {
  lua_pushnumber(L, (lua_Number)check_mapped(L, "size")->size);
  return 1;
}

/* offset (from 0) and length at idx, idx + 1, checked against the file */
static size_t check_slice(lua_State *L, const mt_mapping *m, const char *who, int64_t offset,
                          int64_t length) {
  if (offset < 0 || length < 0 || (uint64_t)offset > m->size ||
      (uint64_t)length > m->size - (uint64_t)offset)
    mtb_error(L, "%s: bytes %lld to %lld lie outside of the file, which has %llu", who,
              (long long)offset, (long long)(offset + length), (unsigned long long)m->size);
  return (size_t)offset;
}

/* f:read(offset, length): a string; offsets count from 0, they are no positions */
static int mapped_read(lua_State *L) {
  mt_mapping *m = check_mapped(L, "read");
  int64_t offset = mtb_check_whole(L, 2, "read: offset"),
          length = mtb_check_whole(L, 3, "read: length");
  size_t at = check_slice(L, m, "read", offset, length);
  lua_pushlstring(L, m->data + at, (size_t)length);
  return 1;
}

/* f:tensor(offset, dtype, sizes): a tensor over the file's bytes, which are copied when written.
 * Bytes that do not lie on the dtype's alignment are copied at once. */
static int mapped_tensor(lua_State *L) {
  mtb_state *st = mtb_up(L);
  mt_mapping *m = check_mapped(L, "tensor");
  int64_t offset = mtb_check_whole(L, 2, "tensor: offset"), sizes[MT_MAX_DIMS], numel;
  int dtype = mtb_check_dtype(L, 3, "tensor: dtype");
  if (!lua_istable(L, 4)) mtb_error(L, "tensor: sizes must be a list");
  int n = (int)lua_objlen(L, 4);
  if (n > MT_MAX_DIMS) mtb_error(L, "tensor: at most %d dimensions", MT_MAX_DIMS);
  for (int d = 0; d < n; d++) {
    lua_rawgeti(L, 4, d + 1);
    sizes[d] = mtb_check_whole(L, -1, "tensor: a size");
    lua_pop(L, 1);
  }
  MTB_CHECK(L, mt__count(&numel, n, sizes, dtype));
  int64_t bytes = numel * mt__esize(dtype);
  char *p = m->data + check_slice(L, m, "tensor", offset, bytes);
  mtb_handle *h = mtb_new_handle(L, st);
  if (dtype == MT_BOOL)
    for (int64_t i = 0; i < bytes; i++)
      if (p[i] & ~1)
        mtb_error(L, "tensor: a bool is 0 or 1, the byte at %lld is neither",
                  (long long)(offset + i));
  if ((uintptr_t)p % (uintptr_t)mt__esize(dtype) == 0) {
    MTB_CHECK(L, mt_from_blob(&h->t, p, dtype, n, sizes, mt_mapping_release, mt_mapping_retain(m)));
  } else {
    MTB_CHECK_MEMORY(L, st, mt_new(&h->t, dtype, MT_CPU, n, sizes));
    if (bytes) memcpy(mt_data(h->t), p, (size_t)bytes);
  }
  return 1;
}

static int mapped_crc32(lua_State *L) {
  mt_mapping *m = check_mapped(L, "crc32");
  int64_t offset = mtb_check_whole(L, 2, "crc32: offset"),
          length = mtb_check_whole(L, 3, "crc32: length");
  size_t at = check_slice(L, m, "crc32", offset, length);
  lua_pushnumber(
      L, (lua_Number)mt_crc32((uint32_t)luaL_optnumber(L, 4, 0), m->data + at, (size_t)length));
  return 1;
}

/* Tensors over the file keep it. */
static int mapped_close(lua_State *L) {
  mtb_box *b = mtb_to_box(L, 1, &mtb_tag_mapped);
  if (!b) return 0;
  mt_mapping *m = b->u.p;
  b->u.p = NULL;
  if (m) mt_mapping_release(m);
  return 0;
}

static void new_class(lua_State *L, mtb_state *st, int place, const mtb_function *methods,
                      lua_CFunction gc) {
  lua_newtable(L);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  mtb_functions(L, st, methods);
  lua_setfield(L, -2, "__index");
  mtb_set_place(L, st, place);
}

void mtb_open_io(lua_State *L, mtb_state *st) {
  static const mtb_function writer[] = {{"write", writer_write},
                                        {"position", writer_position},
                                        {"commit", writer_commit},
                                        {"abort", writer_abort},
                                        {NULL, NULL}};
  static const mtb_function mapped[] = {{"size", mapped_size},     {"read", mapped_read},
                                        {"tensor", mapped_tensor}, {"crc32", mapped_crc32},
                                        {"close", mapped_close},   {NULL, NULL}};
  static const mtb_function list[] = {{"read_idx", read_idx},
                                      {"gunzip", gunzip},
                                      {"read_file", read_file},
                                      {"crc32", crc32},
                                      {"writer", writer_new},
                                      {"mapped", mapped_new},
                                      {NULL, NULL}};
  new_class(L, st, MTB_META_WRITER, writer, writer_abort);
  new_class(L, st, MTB_META_MAPPED, mapped, mapped_close);
  mtb_functions(L, st, list);
}
