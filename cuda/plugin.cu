// plugin.cu: the device table: devices, streams, copies, and the search for kernels.
#include <stdio.h>
#include <string.h>

#include "plugin.h"

const mt_host *mtc_host;

static int device_count;
static bool forked; // inherited handles must not be used: CUDA does not survive fork
static cudaStream_t current[MTC_MAX_DEVICES];
static mtc_note *notes[MTC_MAX_DEVICES];
static mtc_family *families;

mtc_family::mtc_family(const mtc_kernel *k, int count) : kernels(k), n(count), next(families) {
  families = this;
}

int mtc_check(cudaError_t e, const char *what) {
  if (e == cudaSuccess) return MT_OK;
  int code = e == cudaErrorMemoryAllocation ? MT_ERR_MEMORY : MT_ERR_DEVICE;
  return mtc_host->fail(code, "CUDA: %s: %s", what, cudaGetErrorString(e));
}

int mtc_enter(cudaStream_t *stream, int device) {
  if (forked)
    return mtc_host->fail(MT_ERR_DEVICE,
                          "CUDA cannot be used in a forked child: use it in the parent only");
  int ordinal = device - MT_CUDA;
  if (ordinal < 0 || ordinal >= device_count)
    return mtc_host->fail(MT_ERR_DEVICE, "no device cuda:%d", ordinal);
  static thread_local int entered = -1;
  if (entered != ordinal) {
    MTC_CUDA(cudaSetDevice(ordinal));
    entered = ordinal;
  }
  *stream = current[ordinal];
  return MT_OK;
}

mtc_note *mtc_notes(int device) {
  int ordinal = device - MT_CUDA;
  if (!notes[ordinal]) {
    if (cudaMalloc(&notes[ordinal], sizeof(mtc_note)) != cudaSuccess) return NULL;
    cudaMemset(notes[ordinal], 0, sizeof(mtc_note));
  }
  return notes[ordinal];
}

static int count(void) {
  return device_count;
}

static int raise_note(int device) {
  int ordinal = device - MT_CUDA;
  if (!notes[ordinal]) return MT_OK;
  mtc_note n;
  MTC_CUDA(cudaMemcpy(&n, notes[ordinal], sizeof n, cudaMemcpyDeviceToHost));
  if (!n.set) return MT_OK;
  MTC_CUDA(cudaMemset(notes[ordinal], 0, sizeof n));
  if (n.op == MTC_NOTE_DIVISION)
    return mtc_host->fail(MT_ERR_VALUE, "ZeroDivisionError: integer division or modulo by zero "
                                        "(noted by an earlier CUDA op)");
  if (n.op == MTC_NOTE_CLASS)
    return mtc_host->fail(MT_ERR_INDEX,
                          "target %lld is out of bounds (noted by an earlier CUDA op): classes are "
                          "1..%lld; labels written by Python need + 1",
                          (long long)n.value, (long long)n.limit);
  return mtc_host->fail(MT_ERR_INDEX,
                        "index %lld is out of bounds for size %lld (noted by an earlier CUDA op)",
                        (long long)n.value, (long long)n.limit);
}

static int synchronize(int device) {
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, device));
  MTC_CUDA(cudaStreamSynchronize(s));
  return raise_note(device);
}

static int stream_new(void **out, int device) {
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, device));
  MTC_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  *out = s;
  return MT_OK;
}

static void stream_free(void *stream, int device) {
  cudaStream_t s;
  if (mtc_enter(&s, device) != MT_OK) return;
  if (current[device - MT_CUDA] == stream) current[device - MT_CUDA] = 0;
  cudaStreamSynchronize((cudaStream_t)stream); // its freed blocks may be reused by others now
  cudaStreamDestroy((cudaStream_t)stream);
}

static int stream_set(void *stream, int device) {
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, device));
  current[device - MT_CUDA] = (cudaStream_t)stream;
  return MT_OK;
}

// From the host the copy is complete for the host when the call returns (the source may change
// afterwards); to the host it is complete too.
static int copy(char *dst, int dst_device, const char *src, int src_device, int64_t bytes) {
  if (bytes == 0) return MT_OK;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, dst_device == MT_CPU ? src_device : dst_device));
  if (dst_device >= MT_CUDA && src_device >= MT_CUDA) {
    if (dst_device == src_device) {
      MTC_CUDA(cudaMemcpyAsync(dst, src, (size_t)bytes, cudaMemcpyDeviceToDevice, s));
      return MT_OK;
    }
    cudaStream_t other;
    MTC_TRY(mtc_enter(&other, src_device));
    MTC_CUDA(cudaStreamSynchronize(other));
    MTC_CUDA(cudaMemcpyPeer(dst, dst_device - MT_CUDA, src, src_device - MT_CUDA, (size_t)bytes));
    return MT_OK;
  }
  MTC_CUDA(cudaMemcpyAsync(dst, src, (size_t)bytes,
                           dst_device == MT_CPU ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice,
                           s));
  MTC_CUDA(cudaStreamSynchronize(s));
  return dst_device == MT_CPU ? raise_note(src_device) : MT_OK;
}

static int fill_zero(char *p, int device, int64_t bytes) {
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, device));
  if (bytes) MTC_CUDA(cudaMemsetAsync(p, 0, (size_t)bytes, s));
  return MT_OK;
}

static int memory_info(int device, int64_t *free_bytes, int64_t *total_bytes) {
  cudaStream_t s;
  size_t f, t;
  MTC_TRY(mtc_enter(&s, device));
  MTC_CUDA(cudaMemGetInfo(&f, &t));
  *free_bytes = (int64_t)f;
  *total_bytes = (int64_t)t;
  return MT_OK;
}

static const mtc_kernel *find(const char *op) {
  for (mtc_family *f = families; f; f = f->next)
    for (int i = 0; i < f->n; i++)
      if (strcmp(f->kernels[i].op, op) == 0) return &f->kernels[i];
  return NULL;
}

static mt_run_fn find_kernel(const char *op, int dtype) {
  for (mtc_family *f = families; f; f = f->next)
    for (int i = 0; i < f->n; i++)
      if ((f->kernels[i].dtypes >> dtype & 1) && strcmp(f->kernels[i].op, op) == 0)
        return f->kernels[i].run;
  return NULL;
}

static bool deterministic(const char *op) {
  const mtc_kernel *k = find(op);
  return k && k->deterministic;
}

static int device_name(char *buf, size_t size, int device) {
  cudaDeviceProp p;
  MTC_CUDA(cudaGetDeviceProperties(&p, device - MT_CUDA));
  snprintf(buf, size, "%s", p.name);
  return MT_OK;
}

static void after_fork(void) {
  forked = true;
  mtc_alloc_forget();
}

extern "C" __attribute__((visibility("default"))) int mt_plugin_init(const mt_host *host,
                                                                     const mt_device_table **out) {
  static const mt_device_table table = {
      MT_PLUGIN_VERSION, "cuda",      count,         mtc_alloc,   mtc_free,   mtc_flush, mtc_cached,
      memory_info,       synchronize, stream_new,    stream_free, stream_set, copy,      fill_zero,
      find_kernel,       device_name, deterministic, after_fork};
  *out = NULL;
  if (host->version != MT_PLUGIN_VERSION)
    return host->fail(MT_ERR_UNSUPPORTED, "the CUDA plugin was built for version %d, not %d",
                      MT_PLUGIN_VERSION, host->version);
  mtc_host = host;
  int n = 0;
  // no driver and no GPU are no errors: torch.cuda.is_available() is false then
  if (cudaGetDeviceCount(&n) != cudaSuccess) {
    cudaGetLastError();
    n = 0;
  }
  device_count = n < MTC_MAX_DEVICES ? n : MTC_MAX_DEVICES;
  *out = &table;
  return MT_OK;
}
