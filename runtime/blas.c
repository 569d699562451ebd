/* blas.c: matrix products on the CPU: which kernel, which roles, which split.
 *
 * Own kernels (kernels/gemm.c) do everything; OpenBLAS, when it is on the machine, takes the
 * large products. It is looked for at the first product that wants it and never linked.
 *
 * Invariants
 *  - Kernel, roles and split depend on shapes alone (and on whether OpenBLAS is there), never on
 *    the number of threads, so that a product has the same bits for any.
 *  - OpenBLAS runs on the thread that calls it: large products are cut here.
 *  - Nothing here fails but for MT_INTERRUPTED: where no memory for a copy of an operand is left,
 *    the product runs without the copy, with the same bits.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/gemm.h"
#include "product.h"

MT_KERNELS(gemm)

/* ---- OpenBLAS ---- */

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

static struct {
  void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                int lda, const float *b, int ldb, float beta, float *c, int ldc);
  void (*dgemm)(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                int lda, const double *b, int ldb, double beta, double *c, int ldc);
  char text[256];
} blas;

static pthread_once_t blas_once = PTHREAD_ONCE_INIT;

/* The core whose kernels suit this machine. OpenBLAS 0.3.21 and before take processors that are
 * newer than themselves for a Prescott. Following MOONTORCH_ISA keeps its promise of same bits. */
static const char *best_core(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (mt__isa_level == MT_ISA_AVX512) return "SkylakeX";
  if (mt__isa_level == MT_ISA_AVX2) return __builtin_cpu_is("amd") ? "Zen" : "Haswell";
  if (__builtin_cpu_supports("avx2")) return "Nehalem"; /* lowered on purpose */
#endif
  return NULL;
}

/* Whether its kernels beat the own ones. */
static bool core_suits(const char *core) {
  static const char *const old[] = {"Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Atom"};
  static const char *const wide[] = {"SkylakeX", "Cooperlake", "SapphireRapids", "Zen4", "Zen5"};
  if (mt__isa_level == MT_ISA_BASE) return true;
  if (mt__isa_level == MT_ISA_AVX512) {
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
      if (!strcasecmp(core, wide[i])) return true;
    return false;
  }
  for (size_t i = 0; i < sizeof old / sizeof *old; i++)
    if (!strcasecmp(core, old[i])) return false;
  return true;
}

/* Sets a variable for the time of loading; the former value comes back through saved. */
static void set_variable(const char *name, const char *value, char **saved) {
  const char *before = getenv(name);
  *saved = before ? strdup(before) : NULL;
  if (value) setenv(name, value, 1);
}

static void restore_variable(const char *name, const char *value, char *saved) {
  if (value && saved) setenv(name, saved, 1);
  if (value && !saved) unsetenv(name);
  free(saved);
}

static void find_blas(void) {
  static const char *const names[] = {"libopenblas.so.0", "libopenblas.so", "libopenblas.0.dylib"};
  const char *wish = getenv("MOONTORCH_BLAS"); /* "own", or a library */
  if (wish && !strcmp(wish, "own")) {
    snprintf(blas.text, sizeof blas.text, "own kernels (MOONTORCH_BLAS=own)");
    return;
  }
  const char *found = NULL;
  void *lib = NULL;
  bool ours = false;
  for (size_t i = 0; !wish && !lib && i < sizeof names / sizeof *names; i++) {
    lib = dlopen(names[i], RTLD_NOW | RTLD_NOLOAD);
    found = names[i];
  }
  if (!lib) {
    char *core_before, *threads_before;
    const char *core = best_core(); /* MOONTORCH_ISA decides, not OpenBLAS' own variable */
    ours = true;
    set_variable("OPENBLAS_CORETYPE", core, &core_before);
    set_variable("OPENBLAS_NUM_THREADS", "1", &threads_before);
    if (wish) {
      lib = dlopen(found = wish, RTLD_NOW | RTLD_LOCAL);
    } else {
      for (size_t i = 0; !lib && i < sizeof names / sizeof *names; i++)
        lib = dlopen(found = names[i], RTLD_NOW | RTLD_LOCAL);
    }
    restore_variable("OPENBLAS_NUM_THREADS", "1", threads_before);
    restore_variable("OPENBLAS_CORETYPE", core, core_before);
  }
  if (!lib) {
    snprintf(blas.text, sizeof blas.text, "own kernels (no OpenBLAS found)");
    return;
  }
  void (*set_threads)(int) = (void (*)(int))dlsym(lib, "openblas_set_num_threads");
  char *(*core_name)(void) = (char *(*)(void))dlsym(lib, "openblas_get_corename");
  char *(*config)(void) = (char *(*)(void))dlsym(lib, "openblas_get_config");
  void *s = dlsym(lib, "cblas_sgemm"), *d = dlsym(lib, "cblas_dgemm");
  const char *core = core_name ? core_name() : "unknown";
  char version[32] = "OpenBLAS";
  if (config)
    sscanf(config(), "%*s %23s", version + snprintf(version, sizeof version, "OpenBLAS "));
  if (!s || !d || !set_threads) {
    snprintf(blas.text, sizeof blas.text, "own kernels (%.100s lacks cblas_sgemm)", found);
    return;
  }
  if (!core_suits(core)) {
    snprintf(blas.text, sizeof blas.text,
             "own kernels (%s, %s, uses its %.20s kernels here, which are slower; "
             "OPENBLAS_CORETYPE=%s would help)",
             version, ours ? "loaded now" : "already in the process", core, best_core());
    return;
  }
  set_threads(1);
  memcpy(&blas.sgemm, &s, sizeof s);
  memcpy(&blas.dgemm, &d, sizeof d);
  snprintf(blas.text, sizeof blas.text,
           "%s (%.20s kernels%s) for large products, own kernels for the rest", version, core,
           ours ? "" : ", already in the process");
}

const char *mt_blas(void) {
  pthread_once(&blas_once, find_blas);
  return blas.text;
}

/* ---- memory for copies of operands ---- */

enum { SLOTS = 64 };

static struct {
  _Atomic bool busy;
  void *memory;
} slots[SLOTS];

/* A slot's number, or -1. Slots are kept for the next time. */
static int take_slot(void) {
  for (int i = 0; i < SLOTS; i++) {
    if (atomic_exchange_explicit(&slots[i].busy, true, memory_order_acquire)) continue;
    if (!slots[i].memory) {
      void *p =
          mmap(NULL, MT_GEMM_WORK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (p != MAP_FAILED) slots[i].memory = p;
    }
    if (slots[i].memory) return i;
    atomic_store_explicit(&slots[i].busy, false, memory_order_release);
    return -1;
  }
  return -1;
}

static void give_slot(int i) {
  if (i >= 0) atomic_store_explicit(&slots[i].busy, false, memory_order_release);
}

/* ---- plan ---- */

enum how { BLOCK, DOT, ROWS, BLAS };

typedef struct plan {
  enum how how;
  int dtype;
  const mt_gemm_kernels *kernels;
  mt_gemm_block g; /* the whole product, roles given */
  int64_t bi, bj;  /* rows and columns of g that a task takes */
  int64_t tj;      /* tasks along j */
  int64_t tasks;
} plan;

static const mt_gemm_kernels *kernels_of(int dtype) {
  return dtype == MT_FLOAT32 ? &mt__kern_gemm()->f32 : &mt__kern_gemm()->f64;
}

/* The transposed product: C' = Y' X'. */
static void swap_roles(mt_gemm_block *g) {
  mt_gemm_block t = *g;
  g->m = t.n, g->n = t.m;
  g->x = t.y, g->xr = t.yc, g->xc = t.yr;
  g->y = t.x, g->yr = t.xc, g->yc = t.xr;
  g->trans = !t.trans;
  g->bias_rows = !t.bias_rows;
}

/* Roles and kernel. Thresholds are measured (AVX-512 and AVX2). */
static void choose(plan *s, const mt_product *p) {
  const int lanes = s->kernels->lanes;
  const int64_t bytes = p->dtype == MT_FLOAT32 ? 4 : 8;
  mt_gemm_block *g = &s->g;
  *g = (mt_gemm_block){.m = p->m,
                       .n = p->n,
                       .k = p->k,
                       .x = p->a,
                       .xr = p->ta ? 1 : p->lda,
                       .xc = p->ta ? p->lda : 1,
                       .y = p->b,
                       .yr = p->tb ? 1 : p->ldb,
                       .yc = p->tb ? p->ldb : 1,
                       .c = p->c,
                       .cr = p->ldc,
                       .bias = p->bias,
                       .alpha = p->alpha,
                       .beta = p->beta};
  s->how = BLOCK;
  /* A vector's one step may be taken for 1 as it likes. */
  if (p->n == 1 && p->ldb == 1) g->yr = 1, g->yc = p->k;
  const int64_t m = p->m, n = p->n, k = p->k;
  const bool x_along_k = g->xc == 1, y_along_k = g->yr == 1 && g->yc != 1;
  if (m >= 256 && n >= 256 && k >= 256 && (double)m * (double)n * (double)k >= 0x1p26 &&
      m < INT_MAX && n < INT_MAX && k < INT_MAX && p->lda < INT_MAX && p->ldb < INT_MAX &&
      p->ldc < INT_MAX) {
    pthread_once(&blas_once, find_blas);
    if (blas.sgemm) s->how = BLAS;
    return;
  }
  if (y_along_k && x_along_k) {
    const int64_t least = m < n ? m : n;
    if (least <= MT_GEMM_ROWS ? k >= 2 * lanes || m * n <= 32 : least <= 16 && k >= 12 * lanes) {
      s->how = DOT; /* the shorter side is taken four rows at a time */
      if (n < m) swap_roles(g);
    } else if (m < n && m <= 2 * lanes) {
      swap_roles(g);
    }
  } else if (y_along_k || (!x_along_k && n < lanes && m > n)) {
    swap_roles(g); /* Y then lies along its rows */
  }
  if (s->how == BLOCK && g->yc == 1 && g->m <= MT_GEMM_ROWS && g->n >= 16 * lanes &&
      k * g->n * bytes > (512 << 10))
    s->how = ROWS;
}

/* Cuts the product into tasks of at least about 2^17 multiplications. */
static void split(plan *s) {
  const mt_gemm_block *g = &s->g;
  const int64_t area = g->m * g->n;
  s->bi = g->m, s->bj = g->n, s->tj = s->tasks = 1;
  if (area < 1 << 16 && area * g->k < 1 << 18) return;
  const double cost = (double)area * (double)g->k;
  double wish = cost * 0x1p-17;
  if (wish > 16) wish = cost * 0x1p-22 > 16 ? cost * 0x1p-22 : 16;
  const int64_t target = wish > 64 ? 64 : wish < 1 ? 1 : (int64_t)wish;
  /* Rows and columns of a task's smallest share: with many columns, enough rows that a panel of
   * Y, once it is in the cache, is used a few times. */
  const int64_t tile = s->how == DOT ? MT_GEMM_ROWS : s->kernels->tile_rows;
  const int64_t panel = s->how == DOT ? 8 : s->how == ROWS ? 256 : 2 * s->kernels->lanes;
  const int64_t row = s->how == BLOCK && g->n > panel ? 4 * tile : tile;
  const int64_t rows = s->how == ROWS ? 1 : (g->m + row - 1) / row;
  const int64_t columns = (g->n + panel - 1) / panel;
  int64_t tj = target < columns ? target : columns;
  if (g->m >= 128 && tj > g->n / 128) tj = g->n / 128 > 0 ? g->n / 128 : 1;
  int64_t ti = (target + tj - 1) / tj;
  if (ti > rows) ti = rows;
  if (s->how == BLAS) { /* blocks of 256 to 512 on a side */
    ti = (g->m + 511) / 512;
    tj = (g->n + 511) / 512;
    if (ti * tj < 4) ti = (g->m + 255) / 256;
    if (ti * tj < 4) tj = (g->n + 255) / 256;
  }
  s->bi = (g->m + ti - 1) / ti;
  if (s->bi >= 4 * tile) s->bi = (s->bi + tile - 1) / tile * tile;
  s->bj = ((g->n + tj - 1) / tj + panel - 1) / panel * panel;
  s->tj = (g->n + s->bj - 1) / s->bj;
  s->tasks = s->tj * ((g->m + s->bi - 1) / s->bi);
}

/* ---- run ---- */

static void run_blas(int dtype, const mt_gemm_block *g) {
  double beta = g->beta;
  if (g->bias) { /* C = beta C + bias first */
    for (int64_t i = 0; i < g->m; i++)
      for (int64_t j = 0; j < g->n; j++) {
        if (dtype == MT_FLOAT32) {
          float *c = (float *)g->c + i * g->cr + j;
          *c = ((const float *)g->bias)[j] + (beta == 0 ? 0 : (float)beta * *c);
        } else {
          double *c = (double *)g->c + i * g->cr + j;
          *c = ((const double *)g->bias)[j] + (beta == 0 ? 0 : beta * *c);
        }
      }
    beta = 1;
  }
  const bool ta = g->xc != 1, tb = g->yc != 1;
  const int m = (int)g->m, n = (int)g->n, k = (int)g->k;
  const int lda = (int)(ta ? g->xc : g->xr), ldb = (int)(tb ? g->yc : g->yr), ldc = (int)g->cr;
  if (dtype == MT_FLOAT32)
    blas.sgemm(ROW_MAJOR, ta ? TRANS : NO_TRANS, tb ? TRANS : NO_TRANS, m, n, k, (float)g->alpha,
               g->x, lda, g->y, ldb, (float)beta, g->c, ldc);
  else
    blas.dgemm(ROW_MAJOR, ta ? TRANS : NO_TRANS, tb ? TRANS : NO_TRANS, m, n, k, g->alpha, g->x,
               lda, g->y, ldb, beta, g->c, ldc);
}

static void run_one(const plan *s, mt_gemm_block *g) {
  switch (s->how) {
  case BLOCK: {
    const bool big = g->m >= 64 && g->n >= 64 && g->m * g->k >= 1 << 13;
    const int slot = big ? take_slot() : -1;
    g->work = slot >= 0 ? slots[slot].memory : NULL;
    s->kernels->block(g);
    give_slot(slot);
    break;
  }
  case DOT:
    s->kernels->dot(g->m, g->n, g->k, g->x, g->xr, g->y, g->yc, g->alpha, g->beta, g->c,
                    g->trans ? 1 : g->cr, g->trans ? g->cr : 1, g->bias, g->bias_rows,
                    !g->bias_rows);
    break;
  case ROWS:
    s->kernels->rows(g);
    break;
  case BLAS:
    run_blas(s->dtype, g);
    break;
  }
}

static void run_task(void *ctx, int64_t task) {
  const plan *s = ctx;
  const int64_t bytes = s->dtype == MT_FLOAT32 ? 4 : 8;
  const int64_t i = task / s->tj * s->bi, j = task % s->tj * s->bj;
  mt_gemm_block g = s->g;
  g.m = g.m - i < s->bi ? g.m - i : s->bi;
  g.n = g.n - j < s->bj ? g.n - j : s->bj;
  g.x = (const char *)g.x + i * g.xr * bytes;
  g.y = (const char *)g.y + j * g.yc * bytes;
  g.c = (char *)g.c + (i * (g.trans ? 1 : g.cr) + j * (g.trans ? g.cr : 1)) * bytes;
  if (g.bias) g.bias = (const char *)g.bias + (g.bias_rows ? i : j) * bytes;
  run_one(s, &g);
}

/* k == 0: C = beta C + bias. */
static void scale_only(const mt_product *p) {
  for (int64_t i = 0; i < p->m; i++)
    for (int64_t j = 0; j < p->n; j++) {
      if (p->dtype == MT_FLOAT32) {
        float *c = (float *)p->c + i * p->ldc + j;
        const float b = p->bias ? ((const float *)p->bias)[j] : 0;
        *c = p->beta == 0 ? b : b + (float)p->beta * *c;
      } else {
        double *c = (double *)p->c + i * p->ldc + j;
        const double b = p->bias ? ((const double *)p->bias)[j] : 0;
        *c = p->beta == 0 ? b : b + p->beta * *c;
      }
    }
}

int mt__product(const mt_product *p, bool serial) {
  if (p->m <= 0 || p->n <= 0) return MT_OK;
  if (p->k <= 0) {
    scale_only(p);
    return MT_OK;
  }
  plan s;
  s.dtype = p->dtype;
  s.kernels = kernels_of(p->dtype);
  choose(&s, p);
  split(&s);
  if (s.tasks == 1) {
    run_one(&s, &s.g);
    return MT_OK;
  }
  if (!serial) return mt__parallel(s.tasks, run_task, &s);
  for (int64_t t = 0; t < s.tasks; t++) run_task(&s, t);
  return MT_OK;
}

int mt__gemm(int dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
             const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
             int64_t ldc) {
  const mt_product p = {dtype, ta, tb, m, n, k, a, b, lda, ldb, c, ldc, alpha, beta, NULL};
  return mt__product(&p, false);
}

int mt__gemm_serial(int dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
                    const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
                    int64_t ldc) {
  const mt_product p = {dtype, ta, tb, m, n, k, a, b, lda, ldb, c, ldc, alpha, beta, NULL};
  return mt__product(&p, true);
}

/* ---- batches ---- */

typedef struct batch {
  mt_product p;
  plan s;
  bool tile; /* the kernels' own loop over the batch fits */
  int64_t sa, sb, sc;
} batch;

static void run_batch(void *ctx, int64_t begin, int64_t end) {
  const batch *b = ctx;
  const int64_t bytes = b->p.dtype == MT_FLOAT32 ? 4 : 8;
  const bool swapped = b->s.g.trans;
  if (b->tile) {
    mt_gemm_block g = b->s.g;
    const int64_t sx = swapped ? b->sb : b->sa, sy = swapped ? b->sa : b->sb;
    g.x = (const char *)g.x + begin * sx * bytes;
    g.y = (const char *)g.y + begin * sy * bytes;
    g.c = (char *)g.c + begin * b->sc * bytes;
    b->s.kernels->batch(&g, end - begin, sx, sy, b->sc);
    return;
  }
  mt_product p = b->p;
  for (int64_t i = begin; i < end; i++) {
    p.a = (const char *)b->p.a + i * b->sa * bytes;
    p.b = (const char *)b->p.b + i * b->sb * bytes;
    p.c = (char *)b->p.c + i * b->sc * bytes;
    mt__product(&p, true);
  }
}

int mt__gemm_batched(int dtype, bool ta, bool tb, int64_t count, int64_t m, int64_t n, int64_t k,
                     double alpha, const void *a, int64_t lda, int64_t sa, const void *b,
                     int64_t ldb, int64_t sb, double beta, void *c, int64_t ldc, int64_t sc) {
  batch t = {.p = {dtype, ta, tb, m, n, k, a, b, lda, ldb, c, ldc, alpha, beta, NULL},
             .sa = sa,
             .sb = sb,
             .sc = sc};
  if (count <= 0 || m <= 0 || n <= 0) return MT_OK;
  if (count == 1) return mt__product(&t.p, false);
  const double cost = (double)m * (double)n * (double)k;
  if (cost >= 0x1p24) { /* each is worth a split of its own */
    const int64_t bytes = dtype == MT_FLOAT32 ? 4 : 8;
    for (int64_t i = 0; i < count; i++) {
      mt_product p = t.p;
      p.a = (const char *)a + i * sa * bytes;
      p.b = (const char *)b + i * sb * bytes;
      p.c = (char *)c + i * sc * bytes;
      MT_TRY(mt__product(&p, false));
    }
    return MT_OK;
  }
  if (k > 0) {
    t.s.dtype = dtype;
    t.s.kernels = kernels_of(dtype);
    choose(&t.s, &t.p);
    split(&t.s);
    t.tile = t.s.how == BLOCK && t.s.tasks == 1;
  }
  int64_t grain = (int64_t)(0x1p17 / (cost < 64 ? 64 : cost));
  return mt__parallel_range(count, grain < 1 ? 1 : grain, run_batch, &t);
}
