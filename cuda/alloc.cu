// alloc.cu: a caching allocator ordered by streams.
//
// A freed block goes to the list of its size class and of the stream that was current when it
// was freed; the next allocation of that class on that stream takes it without waiting, because
// whatever still uses it was queued on the same stream before. Blocks of another stream are not
// touched. A failing cudaMalloc flushes this device's lists (after a synchronisation) and tries
// once more. Sizes are rounded up to powers of two with four steps between, 512 bytes at least.
#include <pthread.h>
#include <stdlib.h>

#include "plugin.h"

namespace {

struct block {
  char *p;
  cudaStream_t stream;
  block *next;
};

enum { CLASSES = 256 };
block *lists[MTC_MAX_DEVICES][CLASSES];
int64_t cached_bytes[MTC_MAX_DEVICES];
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// class -> bytes: class = 4 * exponent + quarter
int64_t round_up(int64_t bytes, int *cls) {
  if (bytes < 512) bytes = 512;
  int e = 63 - __builtin_clzll((unsigned long long)bytes);
  int64_t base = (int64_t)1 << e, step = base / 4;
  int64_t q = (bytes - base + step - 1) / step;
  if (q == 4) {
    e++;
    q = 0;
    base *= 2;
    step *= 2;
  }
  *cls = 4 * e + (int)q;
  return base + q * step;
}

void release_all(int ordinal) { // lock is held
  for (int c = 0; c < CLASSES; c++)
    while (block *b = lists[ordinal][c]) {
      lists[ordinal][c] = b->next;
      cudaFree(b->p);
      free(b);
    }
  cached_bytes[ordinal] = 0;
}

} // namespace

int mtc_alloc(char **out, int device, int64_t bytes) {
  *out = NULL;
  cudaStream_t s;
  MTC_TRY(mtc_enter(&s, device));
  if (bytes == 0) return MT_OK;
  int ordinal = device - MT_CUDA, cls;
  int64_t size = round_up(bytes, &cls);
  pthread_mutex_lock(&lock);
  for (block **at = &lists[ordinal][cls]; *at; at = &(*at)->next)
    if ((*at)->stream == s) {
      block *b = *at;
      *at = b->next;
      *out = b->p;
      cached_bytes[ordinal] -= size;
      free(b);
      break;
    }
  pthread_mutex_unlock(&lock);
  if (*out) return MT_OK;
  cudaError_t e = cudaMalloc((void **)out, (size_t)size);
  if (e == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    mtc_flush(device);
    e = cudaMalloc((void **)out, (size_t)size);
  }
  if (e == cudaSuccess) return MT_OK;
  *out = NULL;
  cudaGetLastError();
  if (e != cudaErrorMemoryAllocation) return mtc_check(e, "cudaMalloc");
  size_t f = 0, t = 0;
  cudaMemGetInfo(&f, &t);
  return mtc_host->fail(MT_ERR_MEMORY,
                        "out of memory: cuda:%d cannot give %lld bytes (%lld of %lld are free)",
                        ordinal, (long long)bytes, (long long)f, (long long)t);
}

void mtc_free(char *p, int device, int64_t bytes) {
  cudaStream_t s;
  if (!p || mtc_enter(&s, device) != MT_OK) return; // in a forked child: not ours to free
  int ordinal = device - MT_CUDA, cls;
  int64_t size = round_up(bytes, &cls);
  block *b = (block *)malloc(sizeof *b);
  if (!b) {
    cudaStreamSynchronize(s);
    cudaFree(p);
    return;
  }
  b->p = p;
  b->stream = s;
  pthread_mutex_lock(&lock);
  b->next = lists[ordinal][cls];
  lists[ordinal][cls] = b;
  cached_bytes[ordinal] += size;
  pthread_mutex_unlock(&lock);
}

void mtc_flush(int device) {
  cudaStream_t s;
  if (mtc_enter(&s, device) != MT_OK) return;
  cudaDeviceSynchronize();
  pthread_mutex_lock(&lock);
  release_all(device - MT_CUDA);
  pthread_mutex_unlock(&lock);
}

int64_t mtc_cached(int device) {
  pthread_mutex_lock(&lock);
  int64_t n = cached_bytes[device - MT_CUDA];
  pthread_mutex_unlock(&lock);
  return n;
}

void mtc_alloc_forget(void) {
  pthread_mutex_init(&lock, NULL);
  for (int d = 0; d < MTC_MAX_DEVICES; d++) {
    cached_bytes[d] = 0;
    for (int c = 0; c < CLASSES; c++) lists[d][c] = NULL; // the parent's: left alone
  }
}
