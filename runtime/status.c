/* status.c: how a failure is told.
 *
 * A status is a number; its words lie in one buffer per thread, written by mt_fail and its
 * relatives and read with mt_last_error. Invariants
 *  - A text may be made out of the thread's last message: everything is formatted aside first.
 *  - Nothing here can fail. The first thread that fails gets a static buffer, others one from
 *    malloc; a thread that cannot get one is told the one thing that is true then.
 *  - The runtime's thread-local data uses the initial-exec model, for which a library loaded
 *    late has about a kilobyte in all: thread-local variables are pointers and flags only.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { MESSAGE_BYTES = 2048 };

static const char no_buffer[] = "out of memory";

static char first_buffer[MESSAGE_BYTES];
static _Atomic bool first_taken;
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static bool buffer_key_made;

static __thread char *message __attribute__((tls_model("initial-exec")));
static __thread bool failed __attribute__((tls_model("initial-exec")));

static void give_buffer_back(void *buffer) {
  message = NULL;
  if (buffer == first_buffer) {
    atomic_store(&first_taken, false);
  } else {
    free(buffer);
  }
}

static void make_key(void) {
  buffer_key_made = pthread_key_create(&buffer_key, give_buffer_back) == 0;
}

static char *buffer(void) {
  if (message) return message;
  pthread_once(&buffer_once, make_key);
  if (!atomic_exchange(&first_taken, true)) {
    message = first_buffer;
  } else {
    message = malloc(MESSAGE_BYTES);
  }
  if (message) {
    message[0] = 0;
    if (buffer_key_made) pthread_setspecific(buffer_key, message);
  }
  return message;
}

const char *mt_last_error(void) {
  if (!failed) return "";
  return message ? message : no_buffer;
}

/* Puts head and tail, cut with "..." where they do not fit, into the buffer. */
static void set_message(const char *head, const char *tail) {
  failed = true;
  char *to = buffer();
  if (!to) return;
  size_t a = strlen(head), b = strlen(tail);
  if (a > MESSAGE_BYTES - 1) a = MESSAGE_BYTES - 1;
  bool cut = a + b > MESSAGE_BYTES - 1;
  if (cut) b = MESSAGE_BYTES - 1 - a;
  memmove(to, head, a);
  memcpy(to + a, tail, b);
  to[a + b] = 0;
  if (cut) memcpy(to + MESSAGE_BYTES - 4, "...", 4);
}

int mt__fail_v(int code, const char *fmt, va_list ap) {
  char text[MESSAGE_BYTES + 4];
  if (vsnprintf(text, sizeof text, fmt, ap) < 0) snprintf(text, sizeof text, "%s", fmt);
  set_message(text, "");
  return code;
}

int mt_fail(int code, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  mt__fail_v(code, fmt, ap);
  va_end(ap);
  return code;
}

void mt__message_append(const char *fmt, ...) {
  char text[MESSAGE_BYTES + 4];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (n < 0) return;
  set_message(mt_last_error(), text);
}

void mt__message_prepend(const char *fmt, ...) {
  char text[MESSAGE_BYTES + 4], before[MESSAGE_BYTES];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (n < 0) return;
  snprintf(before, sizeof before, "%s", mt_last_error());
  set_message(text, before);
}

int mt__fail_memory(size_t bytes) {
  const char *unit = "bytes";
  double n = (double)bytes;
  if (n >= 1024.0 * 1024 * 1024) {
    n /= 1024.0 * 1024 * 1024;
    unit = "GB";
  } else if (n >= 1024.0 * 1024) {
    n /= 1024.0 * 1024;
    unit = "MB";
  } else if (n >= 1024.0) {
    n /= 1024.0;
    unit = "KB";
  }
  return mt_fail(MT_ERR_MEMORY, "out of memory: cannot allocate %.*f %s", unit[0] == 'b' ? 0 : 2, n,
                 unit);
}

const char *mt_status_name(int status) {
  switch (status) {
  case MT_OK:
    return "ok";
  case MT_ERR_MEMORY:
    return "out of memory";
  case MT_ERR_SHAPE:
    return "shape error";
  case MT_ERR_DTYPE:
    return "dtype error";
  case MT_ERR_DEVICE:
    return "device error";
  case MT_ERR_INDEX:
    return "index error";
  case MT_ERR_VALUE:
    return "value error";
  case MT_ERR_GRAD:
    return "autograd error";
  case MT_ERR_IO:
    return "file error";
  case MT_ERR_UNSUPPORTED:
    return "unsupported";
  case MT_INTERRUPTED:
    return "interrupted";
  case MT_ERR_INTERNAL:
    return "internal error";
  default:
    return "unknown status";
  }
}

/* Writes "{2, 3}" at buf; what does not fit is cut. Returns buf. */
const char *mt__shape_text(char *buf, size_t size, int ndim, const int64_t *sizes) {
  if (size == 0) return buf;
  size_t at = 0;
  buf[0] = 0;
  for (int d = -1; d <= ndim; d++) {
    int n;
    if (d < 0) {
      n = snprintf(buf + at, size - at, "{");
    } else if (d < ndim) {
      n = snprintf(buf + at, size - at, "%s%lld", d ? ", " : "", (long long)sizes[d]);
    } else {
      n = snprintf(buf + at, size - at, "}");
    }
    if (n < 0 || (size_t)n >= size - at) break;
    at += (size_t)n;
  }
  return buf;
}

/* "float32 {2, 3}", with the device behind it when that is not the CPU. */
const char *mt__describe(char *buf, size_t size, const mt_tensor *t) {
  if (!t) {
    snprintf(buf, size, "None");
    return buf;
  }
  char shape[400], device[32] = "";
  mt__shape_text(shape, sizeof shape, t->ndim, t->sizes);
  if (t->device != MT_CPU) {
    device[0] = ' ';
    mt_device_name(device + 1, sizeof device - 1, t->device);
  }
  const char *dtype = mt_dtype_name(t->dtype);
  snprintf(buf, size, "%s %s%s", dtype ? dtype : "?", shape, device);
  return buf;
}
