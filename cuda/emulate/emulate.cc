// emulate/emulate.cc: runs kernels on the host, and plain loops in the place of cuBLAS.
//
// A block's threads are fibers. A fiber takes the block's next thread when it has finished one,
// so that kernels that never wait use a single fiber; one that waits at __syncthreads goes
// back to the loop, which starts another, and all go on when every thread waits or is done.
#include <stdio.h>
#include <ucontext.h>

#include "cuda_fp16.h"
#include "cuda_runtime.h"

mtc_emu_index threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum { STACK = 256 << 10, MOST = 1024 };

struct fiber {
  ucontext_t at;
  char *stack;
  unsigned thread;
  bool waits, done;
};

fiber fibers[MOST];
ucontext_t scheduler;
fiber *now;
unsigned next_thread, threads_of_block;
void (*kernel)(void *);
void *kernel_ctx;

void run_threads() {
  while (next_thread < threads_of_block) {
    now->thread = next_thread++;
    threadIdx.x = now->thread;
    kernel(kernel_ctx);
  }
  now->done = true;
}

void resume(fiber *f) {
  now = f;
  f->waits = false;
  threadIdx.x = f->thread;
  swapcontext(&scheduler, &f->at);
}

void run_block() {
  unsigned used = 0;
  next_thread = 0;
  while (next_thread < threads_of_block) {
    fiber *f = &fibers[used++];
    if (!f->stack) f->stack = (char *)malloc(STACK);
    getcontext(&f->at);
    f->at.uc_stack.ss_sp = f->stack;
    f->at.uc_stack.ss_size = STACK;
    f->at.uc_link = &scheduler;
    f->done = false;
    makecontext(&f->at, run_threads, 0);
    resume(f);
  }
  for (bool any = true; any;) {
    any = false;
    for (unsigned i = 0; i < used; i++)
      if (!fibers[i].done) {
        any = true;
        resume(&fibers[i]);
      }
  }
}

} // namespace

void mtc_emu_sync() {
  fiber *self = now;
  self->waits = true;
  swapcontext(&self->at, &scheduler);
}

void mtc_emu_launch(unsigned blocks, unsigned threads, void (*body)(void *), void *ctx) {
  if (threads > MOST || threads == 0 || blocks == 0) {
    fprintf(stderr, "emulated launch of %u blocks of %u threads\n", blocks, threads);
    abort();
  }
  kernel = body;
  kernel_ctx = ctx;
  threads_of_block = threads;
  gridDim.x = blocks;
  blockDim.x = threads;
  for (unsigned b = 0; b < blocks; b++) {
    blockIdx.x = b;
    run_block();
  }
}

// ---- cuBLAS: column-major products ----

namespace {

double number(const void *p, int type, long long i) {
  if (type == 0) return ((const float *)p)[i];
  if (type == 1) return ((const double *)p)[i];
  uint16_t h = ((const uint16_t *)p)[i];
  if (type == 2) return __half2float(h);
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

void put(void *p, int type, long long i, double v) {
  if (type == 0)
    ((float *)p)[i] = (float)v;
  else if (type == 1)
    ((double *)p)[i] = v;
  else if (type == 2)
    ((uint16_t *)p)[i] = __float2half_rn((float)v);
  else {
    float f = (float)v;
    uint32_t u;
    memcpy(&u, &f, 4);
    ((uint16_t *)p)[i] = (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
}

int create(void **handle) {
  *handle = &fibers;
  return 0;
}
int set_stream(void *, void *) {
  return 0;
}
int set_mode(void *, int) {
  return 0;
}

// cudaDataType: R_32F 0, R_64F 1, R_16F 2, R_16BF 14
int gemm_strided(void *, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                 int atype, int lda, long long sa, const void *b, int btype, int ldb, long long sb,
                 const void *beta, void *c, int ctype, int ldc, long long sc, int batch,
                 int compute, int) {
  if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m || lda < 1 || ldb < 1) return 7;
  bool wide = compute == 70 || compute == 71; // CUBLAS_COMPUTE_64F
  double al = wide ? *(const double *)alpha : *(const float *)alpha;
  double be = wide ? *(const double *)beta : *(const float *)beta;
  int at = atype == 14 ? 3 : atype, bt = btype == 14 ? 3 : btype, ct = ctype == 14 ? 3 : ctype;
  for (int g = 0; g < batch; g++)
    for (int j = 0; j < n; j++)
      for (int i = 0; i < m; i++) {
        double s = 0;
        for (int p = 0; p < k; p++)
          s += number(a, at, g * sa + (ta ? (long long)i * lda + p : (long long)p * lda + i)) *
               number(b, bt, g * sb + (tb ? (long long)p * ldb + j : (long long)j * ldb + p));
        long long to = g * sc + (long long)j * ldc + i;
        put(c, ct, to, al * s + (be != 0 ? be * number(c, ct, to) : 0));
      }
  return 0;
}

} // namespace

void *mtc_emu_symbol(const char *name) {
  if (!strcmp(name, "cublasCreate_v2")) return (void *)create;
  if (!strcmp(name, "cublasSetStream_v2")) return (void *)set_stream;
  if (!strcmp(name, "cublasSetMathMode")) return (void *)set_mode;
  if (!strcmp(name, "cublasGemmStridedBatchedEx")) return (void *)gemm_strided;
  return NULL;
}
