/* io.h: files in and out, for the format readers and writers of runtime/io/ and the binding.
 *
 * Files are hostile: a reader checks every length against what is left before it allocates or
 * looks, executes nothing, and answers MT_ERR_IO with a text that names the file. A writer leaves
 * the old file or the whole new one, never something between.
 */
#ifndef MT_IO_H
#define MT_IO_H

#include "../internal.h"

/* ---- file.c: writing ---- */

/* The new content grows in a file beside `path`, which commit puts in its place: written, synced,
 * renamed, the directory synced. */
typedef struct mt_writer mt_writer;
int mt_writer_open(mt_writer **out, const char *path);
/* After a failure the writer only takes abort (or commit, which fails again). */
int mt_writer_write(mt_writer *w, const void *data, size_t n);
int64_t mt_writer_position(const mt_writer *w); /* bytes written so far */
/* Both end the writer, whatever they return. */
int mt_writer_commit(mt_writer *w);
void mt_writer_abort(mt_writer *w); /* NULL is fine */

/* ---- file.c: reading ---- */

/* A file's bytes, private to this process: written pages are copied, the file never changes. A
 * pipe is read to its end instead. (Another process that cuts the file short while it is mapped
 * takes the bytes away: a regular file must be left alone until the last tensor over it is
 * gone; writers that rename, as ours, are no harm.) */
typedef struct mt_mapping {
  _Atomic int32_t refs;
  bool mapped; /* from mmap, otherwise from mt__malloc */
  char *data;  /* never NULL */
  size_t size;
} mt_mapping;
int mt_map_file(mt_mapping **out, const char *path);
mt_mapping *mt_mapping_retain(mt_mapping *m);
void mt_mapping_release(void *m); /* as mt_from_blob wants it: (data, ..., release, mapping) */

/* ---- gzip.c ---- */

typedef struct mt_bytes {
  char *data; /* for mt__free; NULL when size is 0 */
  size_t size;
} mt_bytes;

enum mt_deflated { MT_DEFLATED_GZIP, MT_DEFLATED_ZLIB, MT_DEFLATED_RAW };

bool mt_is_gzip(const void *data, size_t n);
/* Decodes src; several gzip members follow each other. More than cap bytes are an error, or, with
 * prefix, where decoding ends quietly. Memory grows with what has been decoded, whatever a
 * header promises. name is for messages. */
int mt_inflate(mt_bytes *out, int format, const void *src, size_t n, size_t cap, bool prefix,
               const char *name);
/* A file's bytes, decoded when it is a gzip file, as it is otherwise; at most cap. */
int mt_read_file(mt_bytes *out, const char *path, size_t cap);
/* Continue with the former result; begin with 0. */
uint32_t mt_crc32(uint32_t crc, const void *data, size_t n);

/* ---- idx.c ---- */

/* An IDX file (the format of the MNIST files), plain or gzip, of any of its element types. */
int mt_read_idx(mt_tensor **out, const char *path);

#endif
