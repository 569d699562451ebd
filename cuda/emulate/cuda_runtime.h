// emulate/cuda_runtime.h: as much of CUDA as the plugin uses, on the host.
//
// For tests where there is no GPU: the plugin's files are compiled as C++ with this folder before
// the CUDA headers, "device memory" is the host's, and a launch runs the kernel's threads one
// after the other. Threads of a block are switched where they wait at __syncthreads (emulate.cc),
// so shared memory behaves as on the device; what only real parallelism shows (races, memory
// spaces, launch limits) does not show here. `make cuda-emulated` builds it.
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

struct mtc_emu_index {
  unsigned x, y, z;
};
extern mtc_emu_index threadIdx, blockIdx, blockDim, gridDim;

void mtc_emu_sync();
#define __syncthreads() mtc_emu_sync()
void mtc_emu_launch(unsigned blocks, unsigned threads, void (*body)(void *), void *ctx);

template <typename F> static void mtc_emu_run(unsigned blocks, unsigned threads, F body) {
  mtc_emu_launch(
      blocks, threads, [](void *f) { (*(F *)f)(); }, &body);
}
#define MTC_LAUNCH(kernel, blocks, threads, stream, ...)                                           \
  ((void)(stream),                                                                                 \
   mtc_emu_run((unsigned)(blocks), (unsigned)(threads), [&] { kernel(__VA_ARGS__); }))

template <typename T> static T atomicAdd(T *p, T v) {
  T old = *p;
  *p += v;
  return old;
}
template <typename T> static T atomicMax(T *p, T v) {
  T old = *p;
  if (v > old) *p = v;
  return old;
}
template <typename T> static T atomicCAS(T *p, T compare, T v) {
  T old = *p;
  if (old == compare) *p = v;
  return old;
}

typedef struct mtc_emu_stream *cudaStream_t;
enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2 };
enum {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice
};
enum { cudaStreamNonBlocking = 1 };
struct cudaDeviceProp {
  char name[256];
};

static inline const char *cudaGetErrorString(cudaError_t) {
  return "emulated";
}
static inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
static inline cudaError_t cudaSetDevice(int) {
  return cudaSuccess;
}
static inline cudaError_t cudaGetDeviceCount(int *n) {
  *n = 1;
  return cudaSuccess;
}
static inline cudaError_t cudaMalloc(void **p, size_t n) {
  *p = aligned_alloc(256, (n + 255) / 256 * 256);
  if (*p) memset(*p, 0xa5, n);
  return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
template <typename T> static cudaError_t cudaMalloc(T **p, size_t n) {
  return cudaMalloc((void **)p, n);
}
static inline cudaError_t cudaFree(void *p) {
  free(p);
  return cudaSuccess;
}
static inline cudaError_t cudaMemGetInfo(size_t *f, size_t *t) {
  *f = *t = (size_t)1 << 30;
  return cudaSuccess;
}
static inline cudaError_t cudaMemset(void *p, int v, size_t n) {
  memset(p, v, n);
  return cudaSuccess;
}
static inline cudaError_t cudaMemsetAsync(void *p, int v, size_t n, cudaStream_t) {
  return cudaMemset(p, v, n);
}
static inline cudaError_t cudaMemcpy(void *d, const void *s, size_t n, int) {
  memmove(d, s, n);
  return cudaSuccess;
}
static inline cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t n, int k, cudaStream_t) {
  return cudaMemcpy(d, s, n, k);
}
static inline cudaError_t cudaMemcpyPeer(void *d, int, const void *s, int, size_t n) {
  return cudaMemcpy(d, s, n, 0);
}
static inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}
static inline cudaError_t cudaDeviceSynchronize() {
  return cudaSuccess;
}
static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, int) {
  *s = (cudaStream_t)malloc(1);
  return cudaSuccess;
}
static inline cudaError_t cudaStreamDestroy(cudaStream_t s) {
  free(s);
  return cudaSuccess;
}
static inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int) {
  strcpy(p->name, "emulated CUDA device");
  return cudaSuccess;
}

// Where matmul.cu finds cuBLAS' functions (emulate.cc has plain loops for them).
void *mtc_emu_symbol(const char *name);
#define MTC_BLAS_SYMBOL(name) mtc_emu_symbol(name)

// Operations that are never contracted; compile with -ffp-contract=off.
static inline float __fadd_rn(float a, float b) {
  return a + b;
}
static inline float __fmul_rn(float a, float b) {
  return a * b;
}
static inline float __fmaf_rn(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
static inline double __dadd_rn(double a, double b) {
  return a + b;
}
static inline double __dmul_rn(double a, double b) {
  return a * b;
}
static inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
  return (uint64_t)((unsigned __int128)a * b >> 64);
}
