/* thread.c: the pool of threads and the flag that stops long work.
 *
 * One job at a time runs on the pool: tasks are numbers handed out by an atomic counter, and the
 * caller works like everybody. Workers are made at the first job that wants them.
 *
 * Invariants
 *  - The job's fields are written only while no worker is inside: `gate` is then 0. The caller
 *    opens the gate; a worker enters by adding one to it, which succeeds only while it is open,
 *    and leaves by subtracting one; the caller closes it when no task is left to hand out and
 *    waits for those inside. A worker that comes late finds the gate closed and costs nothing.
 *  - `job_number` changes with every job; sleeping workers wait on it as a futex.
 *  - Only the holder of `owner` touches the rest. A second thread that calls at the same time,
 *    and a call from inside a task, run serially: the same tasks in order.
 *  - Everybody waits by spinning for a bounded time, then with sched_yield in between, then
 *    asleep, so that a machine with more work than cores is not held up.
 *  - After fork the child has no workers and one thread.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

enum { MAX_THREADS = 1024, SPIN_NS = 8000, YIELD_NS = 40000 };

#define GATE_OPEN          0x80000000u
#define GATE_CALLER_SLEEPS 0x40000000u
#define GATE_INSIDE        0x3fffffffu

/* Workers spin on job_number; what the caller writes before lies in another cache line. */
typedef struct job {
  _Atomic uint32_t job_number;                        /* futex word of the workers */
  _Atomic uint32_t gate __attribute__((aligned(64))); /* futex word of the caller */
  _Atomic int64_t next;                               /* the next task to hand out */
  void (*fn)(void *ctx, int64_t task);
  void *ctx;
  int64_t ntasks;
} job;

static struct {
  job job;
  _Atomic uint32_t sleepers __attribute__((aligned(64)));
  _Atomic bool stop;
  _Atomic bool owner __attribute__((aligned(64)));
  /* held by the owner: */
  int workers;
  pthread_t *threads;
} pool;

static _Atomic int wanted_threads; /* 0: not yet known */
static _Atomic bool interrupted;
static __thread bool inside_task __attribute__((tls_model("initial-exec")));

/* ---- waiting ---- */

static inline void pause_cpu(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* Waits awhile for (*word & mask) to differ from seen; true when it does. */
static bool spin(_Atomic uint32_t *word, uint32_t mask, uint32_t seen) {
  int64_t start = 0;
  for (unsigned i = 1;; i++) {
    if ((atomic_load_explicit(word, memory_order_acquire) & mask) != seen) return true;
    pause_cpu();
    if (i % 32 != 0) continue;
    int64_t t = now_ns();
    if (start == 0) start = t;
    if (t - start > YIELD_NS) return false;
    if (t - start > SPIN_NS) sched_yield();
  }
}

/* ---- working ---- */

static void take_tasks(job *j) {
  for (;;) {
    if (atomic_load_explicit(&interrupted, memory_order_relaxed)) break;
    int64_t task = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
    if (task >= j->ntasks) break;
    j->fn(j->ctx, task);
  }
}

static void *worker(void *unused) {
  (void)unused;
  job *j = &pool.job;
  inside_task = true;
  uint32_t seen = 0;
  for (;;) {
    if (!spin(&j->job_number, UINT32_MAX, seen)) {
      /* Either the caller sees this sleeper, or the kernel sees the new number. */
      atomic_fetch_add(&pool.sleepers, 1);
      while (atomic_load(&j->job_number) == seen) futex_wait(&j->job_number, seen);
      atomic_fetch_sub(&pool.sleepers, 1);
    }
    seen = atomic_load(&j->job_number);
    if (atomic_load(&pool.stop)) return NULL;
    uint32_t gate = atomic_load_explicit(&j->gate, memory_order_relaxed);
    bool in = false;
    while ((gate & GATE_OPEN) && !in) {
      in = atomic_compare_exchange_weak_explicit(&j->gate, &gate, gate + 1, memory_order_acquire,
                                                 memory_order_relaxed);
    }
    if (!in) continue;
    take_tasks(j);
    gate = atomic_fetch_sub_explicit(&j->gate, 1, memory_order_release) - 1;
    if (gate == GATE_CALLER_SLEEPS) futex_wake(&j->gate, 1);
  }
}

static void close_gate(job *j) {
  uint32_t gate = atomic_fetch_and_explicit(&j->gate, ~GATE_OPEN, memory_order_acquire);
  if ((gate & GATE_INSIDE) == 0) return;
  /* The last one out leaves 0; anything else is waited for. */
  int64_t start = 0;
  for (unsigned i = 1; atomic_load_explicit(&j->gate, memory_order_acquire) != 0; i++) {
    pause_cpu();
    if (i % 32 != 0) continue;
    int64_t t = now_ns();
    if (start == 0) start = t;
    if (t - start > SPIN_NS) sched_yield();
    if (t - start <= YIELD_NS) continue;
    gate = atomic_fetch_or(&j->gate, GATE_CALLER_SLEEPS) | GATE_CALLER_SLEEPS;
    while (gate != GATE_CALLER_SLEEPS) {
      futex_wait(&j->gate, gate);
      gate = atomic_load_explicit(&j->gate, memory_order_acquire);
    }
    atomic_store_explicit(&j->gate, 0, memory_order_relaxed);
    return;
  }
}

/* ---- how many ---- */

/* Cores this process may use: the affinity mask, and the control group's share of time. */
static int usable_cores(void) {
  int n = (int)sysconf(_SC_NPROCESSORS_ONLN);
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
  if (f) {
    long long quota, period;
    if (fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
      long long share = (quota + period - 1) / period;
      if (share < n) n = (int)share;
    }
    fclose(f);
  }
  return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

int mt_num_threads(void) {
  int n = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
  if (n > 0) return n;
  const char *wish = getenv("MOONTORCH_NUM_THREADS");
  char *end = NULL;
  long w = wish ? strtol(wish, &end, 10) : 0;
  if (wish && end != wish && *end == 0 && w >= 1 && w <= MAX_THREADS) {
    n = (int)w;
  } else {
    n = usable_cores();
  }
  int none = 0;
  atomic_compare_exchange_strong(&wanted_threads, &none, n);
  return atomic_load(&wanted_threads);
}

static bool try_own(void) {
  return !atomic_load_explicit(&pool.owner, memory_order_relaxed) &&
         !atomic_exchange_explicit(&pool.owner, true, memory_order_acquire);
}

static void disown(void) {
  atomic_store_explicit(&pool.owner, false, memory_order_release);
}

/* The owner ends the workers. */
static void stop_workers(void) {
  if (pool.workers == 0) return;
  atomic_store(&pool.stop, true);
  atomic_fetch_add(&pool.job.job_number, 1);
  futex_wake(&pool.job.job_number, INT_MAX);
  for (int i = 0; i < pool.workers; i++) pthread_join(pool.threads[i], NULL);
  atomic_store(&pool.stop, false);
  pool.workers = 0;
  free(pool.threads);
  pool.threads = NULL;
  atomic_store(&pool.job.job_number, 0); /* what a fresh worker has seen */
}

int mt_set_num_threads(int n) {
  if (n < 1 || n > MAX_THREADS)
    return mt_fail(MT_ERR_VALUE, "set_num_threads: expected a number from 1 to %d, got %d",
                   MAX_THREADS, n);
  if (inside_task)
    return mt_fail(MT_ERR_VALUE, "set_num_threads: not possible from inside parallel work");
  while (!try_own()) sched_yield();
  if (n != mt_num_threads()) stop_workers();
  atomic_store(&wanted_threads, n);
  disown();
  return MT_OK;
}

static void in_child(void) {
  memset(&pool, 0, sizeof pool);
  inside_task = false;
  atomic_store(&wanted_threads, 1);
}

__attribute__((constructor)) static void at_fork(void) {
  pthread_atfork(NULL, NULL, in_child);
}

/* The owner makes the workers that are missing. Where no thread can be had, fewer do the same
 * work. Signals are the business of the program's own threads. */
static void start_workers(int n) {
  if (!pool.threads) pool.threads = calloc((size_t)n, sizeof *pool.threads);
  if (!pool.threads) return;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  atomic_store(&pool.job.job_number, 0);
  while (pool.workers < n && pthread_create(&pool.threads[pool.workers], NULL, worker, NULL) == 0) {
    pool.workers++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (pool.workers == 0) {
    free(pool.threads);
    pool.threads = NULL;
    atomic_store(&wanted_threads, 1);
  } else if (pool.workers < n) {
    atomic_store(&wanted_threads, pool.workers + 1);
  }
}

/* ---- the calls ---- */

static int was_interrupted(void) {
  return atomic_load_explicit(&interrupted, memory_order_relaxed)
             ? mt_fail(MT_INTERRUPTED, "interrupted")
             : MT_OK;
}

static int run_serially(int64_t ntasks, void (*fn)(void *, int64_t), void *ctx) {
  for (int64_t i = 0; i < ntasks; i++) {
    if (atomic_load_explicit(&interrupted, memory_order_relaxed)) return was_interrupted();
    fn(ctx, i);
  }
  return MT_OK;
}

int mt__parallel(int64_t ntasks, void (*fn)(void *ctx, int64_t task), void *ctx) {
  if (ntasks == 1) {
    fn(ctx, 0);
    return MT_OK;
  }
  if (ntasks <= 0) return MT_OK;
  if (inside_task || mt_num_threads() == 1 || !try_own()) return run_serially(ntasks, fn, ctx);
  int workers = mt_num_threads() - 1;
  if (pool.workers == 0 && workers > 0) start_workers(workers);
  if (pool.workers == 0) {
    disown();
    return run_serially(ntasks, fn, ctx);
  }
  job *j = &pool.job;
  j->fn = fn;
  j->ctx = ctx;
  j->ntasks = ntasks;
  atomic_store_explicit(&j->next, 0, memory_order_relaxed);
  atomic_store_explicit(&j->gate, GATE_OPEN, memory_order_release);
  atomic_fetch_add(&j->job_number, 1);
  uint32_t sleepers = atomic_load(&pool.sleepers);
  if (sleepers) {
    int64_t useful = ntasks - 1;
    futex_wake(&j->job_number, useful < sleepers ? (int)useful : (int)sleepers);
  }
  inside_task = true;
  take_tasks(j);
  inside_task = false;
  close_gate(j);
  disown();
  return was_interrupted();
}

typedef struct range {
  int64_t n, grain;
  void (*fn)(void *, int64_t, int64_t);
  void *ctx;
} range;

static void range_task(void *ctx, int64_t task) {
  const range *r = ctx;
  int64_t begin = task * r->grain, end = begin + r->grain;
  r->fn(r->ctx, begin, end < r->n ? end : r->n);
}

int mt__parallel_range(int64_t n, int64_t grain, void (*fn)(void *, int64_t, int64_t), void *ctx) {
  if (n <= 0) return MT_OK;
  if (grain < 1) grain = 1;
  if (n <= grain) {
    fn(ctx, 0, n);
    return MT_OK;
  }
  range r = {n, grain, fn, ctx};
  return mt__parallel((n + grain - 1) / grain, range_task, &r);
}

/* ---- interruption ---- */

void mt_interrupt(void) {
  atomic_store(&interrupted, true);
}

bool mt_interrupted(void) {
  return atomic_load_explicit(&interrupted, memory_order_relaxed) &&
         atomic_exchange(&interrupted, false);
}
