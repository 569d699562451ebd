/* file.c: writing a file so that a crash leaves the old or the new one, and mapping a file.
 *
 * Invariants
 *  - The temporary file lies in the target's directory under a name of its own (O_EXCL), and is
 *    gone after commit, abort or any failure.
 *  - A symbolic link is followed: what it points to is replaced. What is no regular file is never
 *    replaced. An existing file's permissions are kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

enum { BUFFER_BYTES = 1 << 16 };

struct mt_writer {
  int fd;
  int status; /* of the first failure */
  int64_t position;
  size_t used;
  mode_t mode; /* of the file to be replaced; 0 when there is none */
  char path[PATH_MAX], temporary[PATH_MAX + 40];
  char buffer[BUFFER_BYTES];
};

static int fail_errno(const char *doing, const char *path, int error) {
  return mt_fail(MT_ERR_IO, "cannot %s %s: %s", doing, path, strerror(error));
}

/* ---- writing ---- */

static int find_target(mt_writer *w, const char *path) {
  struct stat st;
  if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
    if (!realpath(path, w->path)) return fail_errno("write", path, errno);
  } else {
    if (strlen(path) >= sizeof w->path) return fail_errno("write", path, ENAMETOOLONG);
    strcpy(w->path, path);
  }
  if (stat(w->path, &st) != 0) return MT_OK; /* what is wrong with it, open will tell */
  if (S_ISDIR(st.st_mode)) return fail_errno("write", path, EISDIR);
  if (!S_ISREG(st.st_mode)) return mt_fail(MT_ERR_IO, "cannot write %s: not a regular file", path);
  w->mode = st.st_mode & 07777;
  return MT_OK;
}

static int open_temporary(mt_writer *w) {
  static _Atomic unsigned counter;
  for (int attempt = 0; attempt < 100; attempt++) {
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp-%ld-%u", w->path, (long)getpid(),
             atomic_fetch_add(&counter, 1));
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd >= 0) return MT_OK;
    if (errno != EEXIST) break;
  }
  return fail_errno("write", w->path, errno);
}

int mt_writer_open(mt_writer **out, const char *path) {
  *out = NULL;
  mt_writer *w = mt__malloc(sizeof *w);
  if (!w) return mt__fail_memory(sizeof *w);
  memset(w, 0, offsetof(mt_writer, path));
  w->fd = -1;
  int status = find_target(w, path);
  if (status == MT_OK) status = open_temporary(w);
  if (status != MT_OK) {
    mt__free(w);
    return status;
  }
  /* As the old file was; where that is not allowed, the new one has the usual permissions. */
  if (w->mode && fchmod(w->fd, w->mode) != 0) w->mode = 0;
  *out = w;
  return MT_OK;
}

/* Writes all of it to the file; the writer remembers a failure. */
static int put(mt_writer *w, const char *data, size_t n) {
  while (n > 0) {
    ssize_t done = write(w->fd, data, n < (1u << 30) ? n : 1u << 30);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      w->status = fail_errno("write", w->path, done < 0 ? errno : ENOSPC);
      return w->status;
    }
    data += done;
    n -= (size_t)done;
  }
  return MT_OK;
}

static int flush(mt_writer *w) {
  size_t n = w->used;
  w->used = 0;
  return put(w, w->buffer, n);
}

int mt_writer_write(mt_writer *w, const void *data, size_t n) {
  if (w->status != MT_OK)
    return mt_fail(w->status, "cannot write %s: an earlier write failed", w->path);
  w->position += (int64_t)n;
  if (n > BUFFER_BYTES - w->used) MT_TRY(flush(w));
  if (n >= BUFFER_BYTES) return put(w, data, n);
  if (n > 0) memcpy(w->buffer + w->used, data, n);
  w->used += n;
  return MT_OK;
}

int64_t mt_writer_position(const mt_writer *w) {
  return w->position;
}

/* The rename lasts only once the directory is on the disk; some file systems have no such thing
 * and say EINVAL. */
static int sync_directory(const char *path) {
  char copy[PATH_MAX];
  strcpy(copy, path);
  int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES ? 0 : errno;
  int error = fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : errno;
  close(fd);
  return error;
}

int mt_writer_commit(mt_writer *w) {
  int status = w->status;
  if (status != MT_OK) mt_fail(status, "cannot write %s: an earlier write failed", w->path);
  if (status == MT_OK) status = flush(w);
  if (status == MT_OK && fsync(w->fd) != 0 && errno != EINVAL)
    status = fail_errno("write", w->path, errno);
  if (status == MT_OK) {
    int error = close(w->fd) == 0 ? 0 : errno;
    w->fd = -1;
    if (error && error != EINTR) status = fail_errno("write", w->path, error);
  }
  if (status == MT_OK && rename(w->temporary, w->path) != 0)
    status = fail_errno("replace", w->path, errno);
  if (status != MT_OK) {
    mt_writer_abort(w);
    return status;
  }
  int error = sync_directory(w->path);
  if (error) status = fail_errno("sync the directory of", w->path, error);
  mt__free(w);
  return status;
}

void mt_writer_abort(mt_writer *w) {
  if (!w) return;
  if (w->fd >= 0) close(w->fd);
  unlink(w->temporary);
  mt__free(w);
}

/* ---- reading ---- */

/* Reads a pipe or a device to its end; memory grows with what has come. */
static int read_all(mt_mapping *m, int fd, const char *path) {
  size_t room = 0;
  for (;;) {
    if (room - m->size < BUFFER_BYTES) {
      size_t more = room ? 2 * room : 2 * BUFFER_BYTES;
      char *data = mt__realloc(m->data, more);
      if (!data) return mt__fail_memory(more);
      m->data = data;
      room = more;
    }
    ssize_t n = read(fd, m->data + m->size, room - m->size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read", path, errno);
    if (n == 0) return MT_OK;
    m->size += (size_t)n;
  }
}

static int map_or_read(mt_mapping *m, int fd, const char *path) {
  struct stat st;
  if (fstat(fd, &st) != 0) return fail_errno("read", path, errno);
  if (S_ISDIR(st.st_mode)) return fail_errno("read", path, EISDIR);
  if (!S_ISREG(st.st_mode) || st.st_size == 0) return read_all(m, fd, path);
  void *data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) {
    return errno == ENOMEM ? mt__fail_memory((size_t)st.st_size) : fail_errno("map", path, errno);
  }
  m->data = data;
  m->size = (size_t)st.st_size;
  m->mapped = true;
  return MT_OK;
}

int mt_map_file(mt_mapping **out, const char *path) {
  *out = NULL;
  mt_mapping *m = mt__calloc(sizeof *m);
  if (!m) return mt__fail_memory(sizeof *m);
  m->refs = 1;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  int status = fd < 0 ? fail_errno("open", path, errno) : map_or_read(m, fd, path);
  if (fd >= 0) close(fd);
  if (status != MT_OK) {
    mt_mapping_release(m);
    return status;
  }
  *out = m;
  return MT_OK;
}

mt_mapping *mt_mapping_retain(mt_mapping *m) {
  atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
  return m;
}

void mt_mapping_release(void *mapping) {
  mt_mapping *m = mapping;
  if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
  if (m->mapped) {
    munmap(m->data, m->size);
  } else {
    mt__free(m->data);
  }
  mt__free(m);
}
