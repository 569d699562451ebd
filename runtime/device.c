/* device.c: the device table: names and numbers of devices, and the plugins behind them.
 *
 * One plugin a type; there is one type so far. A plugin is loaded once, on demand, from a path
 * the caller gives, and stays. The CPU and the meta device need no table.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const mt_device_table *cuda_table;
static int cuda_count;

const mt_device_table *mt__device(int device) { return device >= MT_CUDA ? cuda_table : NULL; }

int mt_device_count(int type) { return type >= MT_CUDA ? cuda_count : 1; }

void mt_device_name(char *buf, size_t size, int device) {
  if (device >= MT_CUDA) snprintf(buf, size, "cuda:%d", device - MT_CUDA);
  else snprintf(buf, size, "%s", device == MT_META ? "meta" : "cpu");
}

int mt__device_check(int device) {
  if (device == MT_CPU || device == MT_META) return MT_OK;
  if (device < MT_CUDA) return mt_fail(MT_ERR_DEVICE, "no device number %d", device);
  if (!cuda_table)
    return mt_fail(MT_ERR_DEVICE, "CUDA is not available: the CUDA plugin is not loaded");
  if (cuda_count == 0)
    return mt_fail(MT_ERR_DEVICE, "CUDA is not available: the driver shows no GPU");
  if (device - MT_CUDA >= cuda_count)
    return mt_fail(MT_ERR_DEVICE, "no device cuda:%d: this machine has %d CUDA device%s",
                   device - MT_CUDA, cuda_count, cuda_count == 1 ? "" : "s");
  return MT_OK;
}

int mt_device_parse(int *out, const char *name) {
  *out = MT_CPU;
  if (strcmp(name, "cpu") == 0) return MT_OK;
  if (strcmp(name, "meta") == 0) {
    *out = MT_META;
    return MT_OK;
  }
  if (strncmp(name, "cuda", 4) == 0) {
    *out = MT_CUDA;
    if (name[4] == 0) return MT_OK;
    char *end;
    long ordinal = strtol(name + 5, &end, 10);
    if (name[4] == ':' && end != name + 5 && *end == 0 && ordinal >= 0 && ordinal < 4096) {
      *out = MT_CUDA + (int)ordinal;
      return MT_OK;
    }
  }
  return mt_fail(MT_ERR_VALUE, "no device \"%.40s\"; devices are \"cpu\", \"meta\", \"cuda\" and \"cuda:N\"",
                 name);
}

int mt_device_synchronize(int device) {
  const mt_device_table *table = mt__device(device);
  return table ? table->synchronize(device) : MT_OK;
}

static void after_fork(void) {
  if (cuda_table) cuda_table->after_fork();
}

int mt_load_plugin(const char *path) {
  if (cuda_table) return MT_OK;
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!lib) return mt_fail(MT_ERR_UNSUPPORTED, "cannot load the plugin: %s", dlerror());
  mt_plugin_init_fn init = (mt_plugin_init_fn)(uintptr_t)dlsym(lib, "mt_plugin_init");
  static const mt_host host = {.version = MT_PLUGIN_VERSION,
                               .fail = mt_fail,
                               .alloc_should_fail = mt__alloc_should_fail,
                               .dtype_name = mt_dtype_name};
  const mt_device_table *table = NULL;
  if (!init) return mt_fail(MT_ERR_UNSUPPORTED, "%s is no moontorch plugin", path);
  MT_TRY(init(&host, &table));
  if (table->version != MT_PLUGIN_VERSION)
    return mt_fail(MT_ERR_UNSUPPORTED, "the plugin has version %d, this runtime wants %d",
                   table->version, MT_PLUGIN_VERSION);
  cuda_count = table->count();
  cuda_table = table;
  pthread_atfork(NULL, NULL, after_fork);
  return MT_OK;
}
