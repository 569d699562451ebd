/* alloc.c: where memory comes from and goes back to.
 *
 * Everything is cut into size classes: 64-byte steps up to 1 KB, then eight steps to a doubling.
 *  - Up to FAST_BYTES a thread serves itself from its own lists, without a lock. A list is two
 *    magazines, one in use and perhaps a full one in reserve; whole magazines go to and come
 *    from the shared lists.
 *  - Above, freed blocks lie in shared lists by class, newest first. From MAPPED_BYTES on a block
 *    is its own mapping, aligned for huge pages; below, it comes from malloc.
 *
 * Invariants
 *  - A free call gives back the size that was asked for; the class follows from it alone.
 *  - Objects up to 1 KB are cut from slabs that are never returned. Everything else returns on
 *    mt_memory_flush, or when it stands in the way: a miss that would take the memory held (live
 *    and cached) beyond 5/4 of the peak of live bytes plus SLACK_BYTES first gives back the
 *    blocks that lay unused for longest, and cached bytes never pass half of the machine's
 *    memory. So a loop that needs the same sizes again finds all of them hot, and one whose sizes
 *    drift does not grow without end.
 *  - Only its owner changes a thread's cache. A thread that ends leaves it whole to the next one.
 *  - Counters are kept per thread and added up when asked; live bytes are folded into the sum
 *    every FOLD_BYTES, so the peak is exact to that times the number of threads.
 *
 * Under AddressSanitizer nothing is cached, so that use after free is seen.
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define CACHING 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CACHING 0
#endif
#endif
#ifndef CACHING
#define CACHING 1
#endif

enum {
  FINE = 16,              /* classes of 64-byte steps */
  FINE_BYTES = 64 * FINE, /* 1 KB: the largest of them */
  DOUBLINGS = 36,         /* up to 64 TB */
  CLASSES = FINE + 8 * DOUBLINGS,
  FAST = FINE + 8 * 5, /* classes that threads keep themselves */
  FAST_BYTES = 32 << 10,
  MAGAZINE_BYTES = 64 << 10,
  SLAB_BYTES = 64 << 10,
  FOLD_BYTES = 64 << 10,
  MAPPED_BYTES = 1 << 20,
  HUGE_PAGE = 2 << 20,
  SLACK_BYTES = 64 << 20,
  CUDA_DEVICES = 16 /* counted one by one; later ones share the last place */
};

static const int64_t MAX_BYTES = (int64_t)FINE_BYTES << DOUBLINGS;

static inline int class_of(int64_t bytes) {
  if (bytes <= FINE_BYTES) return (int)((bytes - 1) >> 6);
  uint64_t b = (uint64_t)bytes - 1;
  int e = 63 - __builtin_clzll(b);
  return FINE + (e - 10) * 8 + (int)(b >> (e - 3) & 7);
}

static inline int64_t class_bytes(int class) {
  if (class < FINE) return 64 * (class + 1);
  int e = 10 + (class - FINE) / 8, k = (class - FINE) % 8;
  return (int64_t)(9 + k) << (e - 3);
}

/* ---- what lies in free memory ---- */

/* A free item of a fast class. The first of a magazine in the shared lists also says how many
 * follow it and where the next magazine is. */
typedef struct item {
  struct item *next;
  struct item *magazine;
  uint32_t count;
} item;

/* A free block above: in the list of its class and in the list of all by age. */
typedef struct block {
  struct block *next, *prev;
  struct block *newer, *older;
  int class;
} block;

typedef struct bin {
  item *head;
  item *reserve;  /* a full magazine, or NULL */
  uint32_t count; /* of head's */
  uint32_t full;  /* how many make a magazine */
} bin;

typedef _Atomic int64_t counter;

typedef struct cache {
  bin bins[FAST];
  char *slab, *slab_end;
  counter asked;          /* allocations of any kind */
  counter blocks;         /* blocks of CPU memory */
  counter live;           /* bytes of them not yet folded into the sum */
  counter tensors, nodes; /* made less freed here: the sum over all caches counts */
  struct cache *registry; /* the next of all caches ever made */
  struct cache *orphan;   /* the next of those without a thread */
} cache;

static __thread cache *mine __attribute__((tls_model("initial-exec")));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under the lock: */
static cache *registry, *orphans;
static item *shared_items[FAST];
static block *shared_blocks[CLASSES];
static block *newest, *oldest;
static int64_t cached_items, cached_blocks; /* bytes; without those of slabs */

/* One device's sums. */
typedef struct sums {
  counter live, peak, blocks;
} sums;
static sums cpu, cuda[CUDA_DEVICES];

/* Owner-only counters: others may read them at any time. */
static inline void bump(counter *c, int64_t by) {
  int64_t v = atomic_load_explicit(c, memory_order_relaxed);
  atomic_store_explicit(c, v + by, memory_order_relaxed);
}

static inline int64_t value(counter *c) {
  return atomic_load_explicit(c, memory_order_relaxed);
}

static void raise_to(counter *peak, int64_t v) {
  int64_t p = value(peak);
  while (v > p && !atomic_compare_exchange_weak_explicit(peak, &p, v, memory_order_relaxed,
                                                         memory_order_relaxed)) {
  }
}

/* ---- a thread's cache ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void on_thread_exit(void *p) {
  cache *c = p;
  mine = NULL;
  pthread_mutex_lock(&lock);
  c->orphan = orphans;
  orphans = c;
  pthread_mutex_unlock(&lock);
}

static void before_fork(void) {
  pthread_mutex_lock(&lock);
}
static void after_fork_parent(void) {
  pthread_mutex_unlock(&lock);
}
static void after_fork_child(void) {
  pthread_mutex_init(&lock, NULL);
}

static void set_up(void) {
  pthread_key_create(&key, on_thread_exit);
  pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static uint32_t magazine_size(int class) {
  int64_t n = MAGAZINE_BYTES / class_bytes(class);
  return n > 64 ? 64 : n < 2 ? 2 : (uint32_t)n;
}

static __attribute__((noinline)) cache *adopt_cache(void) {
  pthread_once(&once, set_up);
  pthread_mutex_lock(&lock);
  cache *c = orphans;
  if (c) {
    orphans = c->orphan;
  } else if ((c = calloc(1, sizeof *c))) {
    for (int class = 0; class < FAST; class ++) c->bins[class].full = magazine_size(class);
    c->registry = registry;
    registry = c;
  }
  pthread_mutex_unlock(&lock);
  if (c) pthread_setspecific(key, c);
  mine = c;
  return c;
}

static inline cache *my_cache(void) {
  cache *c = mine;
  return __builtin_expect(c != NULL, 1) ? c : adopt_cache();
}

/* ---- the failing allocator of the specs ---- */

static _Atomic bool armed, armed_lasting;
static counter countdown;

static __attribute__((noinline)) bool armed_should_fail(void) {
  int64_t left = atomic_fetch_sub(&countdown, 1);
  if (left > 1) return false;
  if (atomic_load(&armed_lasting)) return true;
  atomic_store(&armed, false);
  return left == 1;
}

bool mt__alloc_should_fail(void) {
  cache *c = my_cache();
  if (!c) return true;
  bump(&c->asked, 1);
  if (__builtin_expect(atomic_load_explicit(&armed, memory_order_relaxed), 0)) {
    return armed_should_fail();
  }
  return false;
}

void mt_debug_fail_alloc(int64_t k, bool lasting) {
  atomic_store(&armed, false);
  atomic_store(&countdown, k);
  atomic_store(&armed_lasting, lasting);
  atomic_store(&armed, k > 0);
}

int64_t mt_debug_allocs(void) {
  int64_t n = 0;
  pthread_mutex_lock(&lock);
  for (cache *c = registry; c; c = c->registry) n += value(&c->asked);
  pthread_mutex_unlock(&lock);
  return n;
}

/* ---- memory from the system ---- */

static void *aligned_malloc(int64_t bytes) {
  void *p = NULL;
  return posix_memalign(&p, 64, (size_t)bytes) == 0 ? p : NULL;
}

static void *system_alloc(int64_t bytes) {
  if (!CACHING || bytes < MAPPED_BYTES) return aligned_malloc(bytes);
  size_t n = (size_t)bytes, extra = bytes >= HUGE_PAGE ? HUGE_PAGE : 0;
  char *p = mmap(NULL, n + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  if (!extra) return p;
  size_t head = (size_t)(-(uintptr_t)p & (HUGE_PAGE - 1));
  if (head) munmap(p, head);
  if (extra - head) munmap(p + head + n, extra - head);
  madvise(p + head, n, MADV_HUGEPAGE);
  return p + head;
}

static void system_free(void *p, int64_t bytes) {
  if (!CACHING || bytes < MAPPED_BYTES) {
    free(p);
  } else {
    munmap(p, (size_t)bytes);
  }
}

static int64_t number_in_file(const char *path) {
  char text[32] = "";
  FILE *f = fopen(path, "re");
  if (!f) return INT64_MAX;
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  if (n == 0 || text[0] < '0' || text[0] > '9') return INT64_MAX; /* "max" */
  return strtoll(text, NULL, 10);
}

/* Half of the memory this process may use. */
static int64_t cache_limit;

static void find_cache_limit(void) {
  int64_t limit = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
  static const char *const groups[] = {"/sys/fs/cgroup/memory.max",
                                       "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  for (int i = 0; i < 2; i++) {
    int64_t n = number_in_file(groups[i]);
    if (n < limit) limit = n;
  }
  cache_limit = limit / 2;
}

static pthread_once_t limit_once = PTHREAD_ONCE_INIT;

/* ---- the shared lists; all under the lock ---- */

static void block_unlink(block *b) {
  if (b->prev) {
    b->prev->next = b->next;
  } else {
    shared_blocks[b->class] = b->next;
  }
  if (b->next) b->next->prev = b->prev;
  if (b->newer) {
    b->newer->older = b->older;
  } else {
    newest = b->older;
  }
  if (b->older) {
    b->older->newer = b->newer;
  } else {
    oldest = b->newer;
  }
  cached_blocks -= class_bytes(b->class);
}

static void block_link(block *b, int class) {
  b->class = class;
  b->prev = NULL;
  b->next = shared_blocks[class];
  if (b->next) b->next->prev = b;
  shared_blocks[class] = b;
  b->newer = NULL;
  b->older = newest;
  if (newest) {
    newest->newer = b;
  } else {
    oldest = b;
  }
  newest = b;
  cached_blocks += class_bytes(class);
}

static void drop_items(item *p) {
  while (p) {
    item *next = p->next;
    free(p);
    p = next;
  }
}

/* Gives blocks back, oldest first and then the small ones, until at most `keep` bytes stay. */
static void evict(int64_t keep) {
  while (oldest && cached_blocks + cached_items > keep) {
    block *b = oldest;
    block_unlink(b);
    system_free(b, class_bytes(b->class));
  }
  for (int class = FAST - 1; class >= FINE && cached_items > keep; class --) {
    while (shared_items[class] && cached_items > keep) {
      item *p = shared_items[class];
      shared_items[class] = p->magazine;
      cached_items -= p->count * class_bytes(class);
      drop_items(p);
    }
  }
}

static void push_magazine(item *p, uint32_t count, int class) {
  p->count = count;
  p->magazine = shared_items[class];
  shared_items[class] = p;
  if (class >= FINE) cached_items += count * class_bytes(class);
}

/* A thread's own free blocks back to the system; objects stay. */
static void flush_cache(cache *c) {
  for (int class = FINE; class < FAST; class ++) {
    bin *b = &c->bins[class];
    drop_items(b->head);
    drop_items(b->reserve);
    b->head = b->reserve = NULL;
    b->count = 0;
  }
}

static void flush_cpu(void) {
  pthread_mutex_lock(&lock);
  evict(0);
  for (cache *c = orphans; c; c = c->orphan) flush_cache(c);
  pthread_mutex_unlock(&lock);
  if (mine) flush_cache(mine);
}

/* ---- fast classes ---- */

static __attribute__((noinline)) void *fast_alloc_slow(cache *c, int class) {
  bin *b = &c->bins[class];
  if (b->reserve) {
    b->head = b->reserve;
    b->reserve = NULL;
    b->count = b->full;
  } else {
    pthread_mutex_lock(&lock);
    item *p = shared_items[class];
    if (p) {
      shared_items[class] = p->magazine;
      if (class >= FINE) cached_items -= p->count * class_bytes(class);
    }
    pthread_mutex_unlock(&lock);
    if (p) {
      b->head = p;
      b->count = p->count;
    } else if (class >= FINE) {
      return system_alloc(class_bytes(class));
    } else {
      int64_t bytes = class_bytes(class);
      if (c->slab_end - c->slab < bytes) {
        char *slab = aligned_malloc(SLAB_BYTES);
        if (!slab) return NULL;
        c->slab = slab;
        c->slab_end = slab + SLAB_BYTES;
      }
      p = (item *)(void *)c->slab;
      c->slab += bytes;
      return p;
    }
  }
  item *p = b->head;
  b->head = p->next;
  b->count--;
  return p;
}

static inline void *fast_alloc(cache *c, int class) {
  bin *b = &c->bins[class];
  item *p = b->head;
  if (__builtin_expect(p == NULL, 0)) return fast_alloc_slow(c, class);
  b->head = p->next;
  b->count--;
  return p;
}

static __attribute__((noinline)) void magazine_full(bin *b, int class) {
  if (b->reserve) {
    pthread_mutex_lock(&lock);
    push_magazine(b->reserve, b->count, class);
    pthread_mutex_unlock(&lock);
  }
  b->reserve = b->head;
  b->head = NULL;
  b->count = 0;
}

static inline void fast_free(cache *c, void *memory, int class) {
  bin *b = &c->bins[class];
  item *p = memory;
  p->next = b->head;
  b->head = p;
  if (__builtin_expect(++b->count == b->full, 0)) magazine_full(b, class);
}

/* ---- the runtime's own structures ---- */

void *mt__malloc(size_t size) {
  if (mt__alloc_should_fail()) return NULL;
  void *p = malloc(size ? size : 1);
  if (!p) {
    flush_cpu();
    p = malloc(size ? size : 1);
  }
  return p;
}

void *mt__calloc(size_t size) {
  void *p = mt__malloc(size);
  if (p) memset(p, 0, size);
  return p;
}

void *mt__realloc(void *p, size_t size) {
  if (mt__alloc_should_fail()) return NULL;
  void *q = realloc(p, size ? size : 1);
  if (!q) {
    flush_cpu();
    q = realloc(p, size ? size : 1);
  }
  return q;
}

void mt__free(void *p) {
  free(p);
}

void *mt__obj_alloc(size_t size) {
  if (mt__alloc_should_fail()) return NULL;
  if (!CACHING || size > FINE_BYTES) return aligned_malloc(size ? (int64_t)size : 1);
  return fast_alloc(mine, size ? class_of((int64_t)size) : 0);
}

void mt__obj_free(void *p, size_t size) {
  if (!p) return;
  cache *c = my_cache();
  if (!CACHING || size > FINE_BYTES) {
    free(p);
  } else if (c) {
    fast_free(c, p, size ? class_of((int64_t)size) : 0);
  } /* else: a thread that cannot even have lists; a slab's object cannot go back to malloc */
}

/* ---- blocks ---- */

static void fold(cache *c) {
  int64_t d = value(&c->live);
  atomic_store_explicit(&c->live, 0, memory_order_relaxed);
  int64_t live = atomic_fetch_add_explicit(&cpu.live, d, memory_order_relaxed) + d;
  if (d > 0) raise_to(&cpu.peak, live);
}

static inline void account(cache *c, int64_t bytes) {
  bump(&c->live, bytes);
  int64_t d = value(&c->live);
  if (d >= FOLD_BYTES || d <= -FOLD_BYTES) fold(c);
}

static void *large_alloc(int class) {
  pthread_mutex_lock(&lock);
  block *b = shared_blocks[class];
  if (b) {
    block_unlink(b);
    pthread_mutex_unlock(&lock);
    return b;
  }
  int64_t bytes = class_bytes(class), live = value(&cpu.live) + bytes, peak = value(&cpu.peak);
  if (peak < live) peak = live;
  int64_t keep = peak + peak / 4 + SLACK_BYTES - live;
  if (cached_blocks + cached_items > keep) evict(keep > 0 ? keep : 0);
  pthread_mutex_unlock(&lock);
  return system_alloc(bytes);
}

static void large_free(void *p, int class) {
  pthread_once(&limit_once, find_cache_limit);
  pthread_mutex_lock(&lock);
  block_link(p, class);
  if (cached_blocks + cached_items > cache_limit) evict(cache_limit);
  pthread_mutex_unlock(&lock);
}

static void *cpu_alloc(cache *c, int64_t bytes) {
  if (!CACHING) return aligned_malloc(bytes);
  int class = class_of(bytes);
  void *p = class < FAST ? fast_alloc(c, class) : large_alloc(class);
  if (!p) {
    flush_cpu();
    p = system_alloc(class_bytes(class));
    /* A slab class whose item came from malloc instead only costs a header. */
  }
  return p;
}

static sums *cuda_sums(int device) {
  int i = device - MT_CUDA;
  return &cuda[i < CUDA_DEVICES ? i : CUDA_DEVICES - 1];
}

int mt__block_alloc(char **out, int device, int64_t bytes) {
  *out = NULL;
  if (bytes <= 0 || device == MT_META) return MT_OK;
  if (mt__alloc_should_fail()) return mt__fail_memory((size_t)bytes);
  if (device >= MT_CUDA) {
    const mt_device_table *table = mt__device(device);
    if (!table) return mt_fail(MT_ERR_DEVICE, "CUDA is not available");
    MT_TRY(table->alloc(out, device, bytes));
    sums *s = cuda_sums(device);
    raise_to(&s->peak, atomic_fetch_add(&s->live, bytes) + bytes);
    atomic_fetch_add(&s->blocks, 1);
    return MT_OK;
  }
  cache *c = mine; /* mt__alloc_should_fail has made it */
  *out = bytes <= MAX_BYTES ? cpu_alloc(c, bytes) : NULL;
  if (!*out) return mt__fail_memory((size_t)bytes);
  bump(&c->blocks, 1);
  account(c, bytes);
  return MT_OK;
}

void mt__block_free(char *p, int device, int64_t bytes) {
  if (!p) return;
  if (device >= MT_CUDA) {
    const mt_device_table *table = mt__device(device);
    if (table) table->free(p, device, bytes);
    atomic_fetch_sub(&cuda_sums(device)->live, bytes);
    return;
  }
  cache *c = my_cache();
  if (!c) return; /* out of memory for a thread's very first structure: the block is lost */
  account(c, -bytes);
  if (!CACHING) {
    free(p);
    return;
  }
  int class = class_of(bytes);
  if (class < FAST) {
    fast_free(c, p, class);
  } else {
    large_free(p, class);
  }
}

/* ---- statistics ---- */

void mt__count_tensors(int by) {
  cache *c = my_cache();
  if (c) bump(&c->tensors, by);
}

void mt__count_nodes(int by) {
  cache *c = my_cache();
  if (c) bump(&c->nodes, by);
}

static int64_t cpu_live(void) {
  int64_t live = value(&cpu.live);
  for (cache *c = registry; c; c = c->registry) live += value(&c->live);
  return live;
}

void mt_memory_stats(mt_memory *out, int device) {
  memset(out, 0, sizeof *out);
  pthread_mutex_lock(&lock);
  for (cache *c = registry; c; c = c->registry) {
    out->tensors += value(&c->tensors);
    out->nodes += value(&c->nodes);
  }
  pthread_mutex_unlock(&lock);
  if (device >= MT_CUDA) {
    const mt_device_table *table = mt__device(device);
    sums *s = cuda_sums(device);
    out->live = value(&s->live);
    out->peak = value(&s->peak);
    out->allocations = value(&s->blocks);
    out->cached = table && table->cached ? table->cached(device) : 0;
  } else if (device == MT_CPU) {
    pthread_mutex_lock(&lock);
    out->live = cpu_live();
    raise_to(&cpu.peak, out->live);
    out->peak = value(&cpu.peak);
    for (cache *c = registry; c; c = c->registry) out->allocations += value(&c->blocks);
    out->cached = cached_blocks + cached_items;
    pthread_mutex_unlock(&lock);
  }
}

void mt_memory_reset_peak(int device) {
  if (device >= MT_CUDA) {
    sums *s = cuda_sums(device);
    atomic_store(&s->peak, value(&s->live));
  } else if (device == MT_CPU) {
    pthread_mutex_lock(&lock);
    atomic_store(&cpu.peak, cpu_live());
    pthread_mutex_unlock(&lock);
  }
}

void mt_memory_flush(int device) {
  if (device >= MT_CUDA) {
    const mt_device_table *table = mt__device(device);
    if (table && table->flush) table->flush(device);
  } else if (device == MT_CPU) {
    flush_cpu();
  }
}
