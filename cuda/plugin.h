// plugin.h: what the files of the CUDA plugin share.
//
// The plugin sees the runtime through device.h only: structs it reads, and the host's few
// services. It holds no references and calls nothing up. Kernels run on the device's current
// stream; a launch is checked, never synchronised.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include "device.h"

extern const mt_host *mtc_host;

enum { MTC_MAX_DEVICES = 16 };

// Makes `device` the thread's current one and returns its stream.
int mtc_enter(cudaStream_t *stream, int device);
// Turns a CUDA error into a status with "what: cudaGetErrorString".
int mtc_check(cudaError_t e, const char *what);
// After a launch.
static inline int mtc_launched(const char *what) { return mtc_check(cudaGetLastError(), what); }

#define MTC_TRY(expr)                                                                          \
  do {                                                                                         \
    int mtc_status = (expr);                                                                   \
    if (mtc_status != MT_OK) return mtc_status;                                                \
  } while (0)
#define MTC_CUDA(expr) MTC_TRY(mtc_check((expr), #expr))

// alloc.cu
int mtc_alloc(char **out, int device, int64_t bytes);
void mtc_free(char *p, int device, int64_t bytes);
void mtc_flush(int device);
int64_t mtc_cached(int device);
void mtc_alloc_forget(void); // in a forked child

// What only the device sees (an index out of range, an integer divisor of zero) is noted here by
// the kernel and raised by the next synchronising call. The first note stays.
typedef struct mtc_note {
  int set;
  int op;        // MTC_NOTE_...
  int64_t value; // the index, or 0
  int64_t limit;
} mtc_note;
enum { MTC_NOTE_INDEX = 1, MTC_NOTE_DIVISION = 2, MTC_NOTE_CLASS = 3 };
mtc_note *mtc_notes(int device); // device memory

static __device__ inline void mtc_write_note(mtc_note *n, int op, int64_t value, int64_t limit) {
  if (atomicCAS(&n->set, 0, 1) == 0) {
    n->op = op;
    n->value = value;
    n->limit = limit;
  }
}

// Each family file has a table of its kernels; plugin.cu searches them by name.
typedef struct mtc_kernel {
  const char *op;
  uint32_t dtypes; // MT_D(...) bits
  mt_run_fn run;
  bool deterministic;
} mtc_kernel;

// Families register themselves when the library loads; a new one touches no other file.
struct mtc_family {
  const mtc_kernel *kernels;
  int n;
  mtc_family *next;
  mtc_family(const mtc_kernel *k, int count);
};
#define MTC_FAMILY(name, table)                                                                \
  static mtc_family name(table, (int)(sizeof(table) / sizeof(table[0])))

static inline char *mtc_ptr(const mt_tensor *t) { return mt__ptr(t); }
static inline int64_t mtc_blocks(int64_t n, int per_block) {
  int64_t b = (n + per_block - 1) / per_block;
  return b < 1 ? 1 : b > 0x7fffffff ? 0x7fffffff : b;
}
