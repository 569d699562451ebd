/* device.h: the ABI between the runtime and a device plugin (cuda/).
 *
 * A plugin exports one function, mt_plugin_init. It gets the host's services and hands back its
 * table. A new op changes neither struct: kernels are found by name. Both sides check
 * MT_PLUGIN_VERSION, which goes up when this file, op.h or tensor.h changes in layout.
 */
#ifndef MT_DEVICE_H
#define MT_DEVICE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "op.h"
#include "tensor.h"

enum { MT_PLUGIN_VERSION = 1 };

/* What the runtime offers to the plugin. */
typedef struct mt_host {
  int version;
  int (*fail)(int code, const char *fmt, ...);
  bool (*alloc_should_fail)(void);
  const char *(*dtype_name)(int dtype);
} mt_host;

/* What the plugin offers to the runtime. All functions return a status where they can fail,
 * and are called with a device of this plugin's type. */
typedef struct mt_device_table {
  int version;
  const char *name; /* "cuda" */
  int (*count)(void);
  /* memory, ordered by the device's current stream; a block's size is given back */
  int (*alloc)(char **out, int device, int64_t bytes);
  void (*free)(char *p, int device, int64_t bytes);
  void (*flush)(int device);
  int64_t (*cached)(int device);
  int (*memory_info)(int device, int64_t *free_bytes, int64_t *total_bytes);
  /* streams */
  int (*synchronize)(int device); /* also raises what kernels noted (bad index) */
  int (*stream_new)(void **out, int device);
  void (*stream_free)(void *stream, int device);
  int (*stream_set)(void *stream, int device); /* NULL: the default one */
  /* contiguous copies; either side may be the host (device MT_CPU) */
  int (*copy)(char *dst, int dst_device, const char *src, int src_device, int64_t bytes);
  int (*fill_zero)(char *p, int device, int64_t bytes);
  /* the kernel of an op for the dtype it computes in, or NULL */
  mt_run_fn (*find_kernel)(const char *op, int dtype);
  int (*device_name)(char *buf, size_t size, int device);
  bool (*deterministic)(const char *op);
  void (*after_fork)(void); /* in the child: inherited handles do nothing, calls raise */
} mt_device_table;

typedef int (*mt_plugin_init_fn)(const mt_host *host, const mt_device_table **out);

/* The table behind a device number, NULL for the CPU and meta. */
const mt_device_table *mt__device(int device);

#ifdef __cplusplus
}
#endif

#endif
