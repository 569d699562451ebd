/* device.c: the device table: names and numbers of devices, and the plugins behind them.
 *
 * One plugin a type; there is one type so far. It is loaded once and stays: from a path the caller
 * gives, or when a CUDA device is first asked for, from MOONTORCH_CUDA_PLUGIN or else from
 * beside the library this code is in. The CPU and the meta device need no table.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static const mt_device_table *cuda_table;
static int cuda_count;

const mt_device_table *mt__device(int device) {
  return device >= MT_CUDA ? cuda_table : NULL;
}

/* A plugin that is not there is no error here: the device check says that CUDA is not available. */
static void find_plugin(void) {
  char path[4096];
  Dl_info here;
  const char *given = getenv("MOONTORCH_CUDA_PLUGIN");
  if (cuda_table) return;
  if (given) {
    mt_load_plugin(given);
    return;
  }
  if (!dladdr((void *)(uintptr_t)&find_plugin, &here) || !here.dli_fname) return;
  const char *slash = strrchr(here.dli_fname, '/');
  int folder = slash ? (int)(slash - here.dli_fname) : 0;
  if (!slash || folder > (int)sizeof path - 64) return;
  snprintf(path, sizeof path, "%.*s/libmoontorch_cuda.so", folder, here.dli_fname);
  if (access(path, R_OK) == 0) mt_load_plugin(path);
}

static bool have_plugin(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (!cuda_table) pthread_once(&once, find_plugin);
  return cuda_table != NULL;
}

int mt_device_count(int type) {
  if (type < MT_CUDA) return 1;
  return have_plugin() ? cuda_count : 0;
}

int mt_device_loaded(int type) {
  return type < MT_CUDA ? 1 : cuda_count;
}

void mt_device_name(char *buf, size_t size, int device) {
  if (device >= MT_CUDA)
    snprintf(buf, size, "cuda:%d", device - MT_CUDA);
  else
    snprintf(buf, size, "%s", device == MT_META ? "meta" : "cpu");
}

int mt__device_check(int device) {
  if (device == MT_CPU || device == MT_META) return MT_OK;
  if (device < MT_CUDA) return mt_fail(MT_ERR_DEVICE, "no device number %d", device);
  if (!have_plugin())
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
  return mt_fail(MT_ERR_VALUE,
                 "no device \"%.40s\"; devices are \"cpu\", \"meta\", \"cuda\" and \"cuda:N\"",
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
