/* base_test.c: the base services against what is known of them without tensors' ops: random bits,
 * half floats, promotion and conversion, the allocator, the pool, files. Runs plain and under
 * AddressSanitizer, UBSan and ThreadSanitizer.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "check.h"
#include "internal.h"
#include "io/io.h"
#include "philox.h"

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#elif __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifndef ASAN
#define ASAN 0
#endif
#ifndef TSAN
#define TSAN 0
#endif

#define OK(call)                                                                                   \
  do {                                                                                             \
    if (!CHECK((call) == MT_OK)) printf("  %s\n", mt_last_error());                                \
  } while (0)

static char folder[200];

static const char *at(const char *name) {
  static char path[4][300];
  static int turn;
  char *p = path[turn++ & 3];
  snprintf(p, 300, "%s/%s", folder, name);
  return p;
}

/* ---- status ---- */

static void test_status(void) {
  CHECK(mt_fail(MT_ERR_SHAPE, "size %d", 3) == MT_ERR_SHAPE && !strcmp(mt_last_error(), "size 3"));
  mt__message_prepend("op: ");
  mt__message_append(", not %d", 4);
  CHECK(!strcmp(mt_last_error(), "op: size 3, not 4"));
  mt_fail(MT_ERR_VALUE, "again: %s", mt_last_error());
  CHECK(!strcmp(mt_last_error(), "again: op: size 3, not 4"));
  char big[5000];
  memset(big, 'x', sizeof big - 1);
  big[sizeof big - 1] = 0;
  mt_fail(MT_ERR_VALUE, "%s", big);
  mt__message_prepend("head ");
  size_t n = strlen(mt_last_error());
  CHECK(n > 2000 && n < 2048 && !strncmp(mt_last_error(), "head x", 6) &&
        !strcmp(mt_last_error() + n - 3, "..."));
  CHECK(mt__fail_memory(10 << 20) == MT_ERR_MEMORY);
  CHECK(strstr(mt_last_error(), "out of memory") && strstr(mt_last_error(), "10.00 MB"));
  int64_t sizes[3] = {2, 0, 5};
  char text[64];
  CHECK(!strcmp(mt__shape_text(text, sizeof text, 3, sizes), "{2, 0, 5}"));
  CHECK(!strcmp(mt__shape_text(text, sizeof text, 0, sizes), "{}"));
  mt__shape_text(text, 4, 3, sizes);
  CHECK(strlen(text) == 3);
  mt_tensor t = {.dtype = MT_BFLOAT16, .ndim = 2, .sizes = {2, 3}};
  CHECK(!strcmp(mt__describe(text, sizeof text, &t), "bfloat16 {2, 3}"));
  for (int s = MT_OK; s <= MT_ERR_INTERNAL; s++) CHECK(strcmp(mt_status_name(s), "unknown status"));
}

/* ---- random bits ---- */

static void test_philox(void) {
  /* kat_vectors of the Random123 distribution, philox 4x32 10: counter, key, result. */
  static const uint32_t known[][10] = {
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
       0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
       0x94fdcceb, 0x5001e420, 0x24126ea1}};
  for (int i = 0; i < 3; i++) {
    const uint32_t *k = known[i];
    uint32_t out[4];
    mt__philox_block(out, k[0], k[1], k[2], k[3], k[4], k[5]);
    CHECK(!memcmp(out, k + 6, sizeof out));
  }
  uint32_t a[4], b[4];
  mt__philox(a, 0xa409382200000001u, 7, 0x100000002u, 3);
  mt__philox_block(b, 2, 1u | 3u << 12, 7, 0, 1, 0xa4093822u);
  CHECK(!memcmp(a, b, sizeof a));
}

static void test_generators(void) {
  uint64_t seed, stream;
  mt_generator_state(mt_default_generator(MT_CPU), &seed, &stream);
  CHECK(seed == 67280421310721u && stream == 0);
  mt_manual_seed(5);
  mt_generator_state(mt_default_generator(MT_CUDA + 1), &seed, &stream);
  CHECK(seed == 5 && stream == 0);
  mt_generator *g;
  OK(mt_generator_new(&g, MT_CPU));
  mt_generator_set_state(g, 9, 11);
  mt_generator_release(mt_generator_retain(g));
  mt_generator_state(g, &seed, &stream);
  CHECK(seed == 9 && stream == 11);
  mt_generator_seed(g, 1);
  mt_generator_state(g, &seed, &stream);
  CHECK(seed == 1 && stream == 0);
  mt_generator_release(g);
}

/* ---- half floats ---- */

/* By the definition: sign, exponent, fraction. */
static double half_value(unsigned h, int exponent_bits) {
  int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  int e = (int)(h >> fraction_bits) & ((1 << exponent_bits) - 1);
  int f = (int)(h & ((1u << fraction_bits) - 1));
  double sign = h & 0x8000u ? -1 : 1;
  if (e == (1 << exponent_bits) - 1) return f ? NAN : sign * INFINITY;
  if (e == 0) return sign * ldexp(f, 1 - bias - fraction_bits);
  return sign * ldexp(f + (1 << fraction_bits), e - bias - fraction_bits);
}

static void test_half(int exponent_bits, float (*up)(uint16_t), uint16_t (*down)(float)) {
  unsigned infinity = ((1u << exponent_bits) - 1) << (15 - exponent_bits);
  int bad = 0;
  for (unsigned h = 0; h < 65536; h++) {
    double v = half_value(h, exponent_bits);
    float f = up((uint16_t)h);
    if (isnan(v)) {
      bad += !isnan(f) || !isnan(half_value(down(f), exponent_bits)) || (down(f) ^ h) >> 15 != 0;
      continue;
    }
    bad += (double)f != v || !signbit(f) != !signbit(v) || down(f) != h;
    unsigned m = h & 0x7fffu;
    if (m >= infinity) continue;
    /* Half way to the next number (which, beyond the last, would be the next power of two): to
     * the even one; a little less or more: to the nearer. */
    double next =
        m + 1 == infinity ? ldexp(1, 1 << (exponent_bits - 1)) : half_value(m + 1, exponent_bits);
    double lo = half_value(m, exponent_bits);
    float mid = (float)(lo + (next - lo) / 2);
    unsigned even = m & 1 ? m + 1 : m, sign = h & 0x8000u;
    float s = sign ? -1.0f : 1.0f;
    bad += down(s * mid) != (even | sign);
    bad += down(s * nextafterf(mid, 0)) != (m | sign);
    bad += down(s * nextafterf(mid, INFINITY)) != ((m + 1) | sign);
  }
  CHECK(bad == 0);
}

static float half_up(uint16_t h) {
  return mt__half_to_float(h);
}
static uint16_t half_down(float f) {
  return mt__float_to_half(f);
}
static float bf16_up(uint16_t h) {
  return mt__bf16_to_float(h);
}
static uint16_t bf16_down(float f) {
  return mt__float_to_bf16(f);
}

/* ---- promotion ---- */

static void test_dtypes(void) {
  /* torch.promote_types, in the order of enum mt_dtype. */
  static const char *const lattice[MT_NDTYPES] = {
      "b1 u1 i1 i2 i4 i8 f2 bf f4 f8", "u1 u1 i2 i2 i4 i8 f2 bf f4 f8",
      "i1 i2 i1 i2 i4 i8 f2 bf f4 f8", "i2 i2 i2 i2 i4 i8 f2 bf f4 f8",
      "i4 i4 i4 i4 i4 i8 f2 bf f4 f8", "i8 i8 i8 i8 i8 i8 f2 bf f4 f8",
      "f2 f2 f2 f2 f2 f2 f2 f4 f4 f8", "bf bf bf bf bf bf f4 bf f4 f8",
      "f4 f4 f4 f4 f4 f4 f4 f4 f4 f8", "f8 f8 f8 f8 f8 f8 f8 f8 f8 f8"};
  static const char *const short_names = "b1 u1 i1 i2 i4 i8 f2 bf f4 f8";
  for (int a = 0; a < MT_NDTYPES; a++) {
    for (int b = 0; b < MT_NDTYPES; b++)
      CHECK(!strncmp(short_names + 3 * mt_promote_types(a, b), lattice[a] + 3 * b, 2));
    int d;
    CHECK(mt_dtype_parse(&d, mt_dtype_name(a)) == MT_OK && d == a);
    CHECK(mt_dtype_size(a) == mt__esize(a));
  }
  CHECK(mt_promote_types(-1, 3) == -1 && mt_dtype_name(10) == NULL && mt_dtype_size(99) == 0);
  int d;
  CHECK(mt_dtype_parse(&d, "long") == MT_OK && d == MT_INT64);
  CHECK(mt_dtype_parse(&d, "double") == MT_OK && d == MT_FLOAT64);
  CHECK(mt_dtype_parse(&d, "complex64") == MT_ERR_DTYPE);
  CHECK(mt_set_default_dtype(MT_INT32) == MT_ERR_DTYPE);
}

static int result(mt_tensor *a, mt_tensor *b, const mt_arg *number) {
  mt_arg args[3] = {mt__arg_t(a), mt__arg_t(b), number ? *number : mt__arg_none()};
  return mt__result_type(3, args);
}

static void test_result_type(void) {
  mt_tensor i32 = {.dtype = MT_INT32, .ndim = 1}, u8 = {.dtype = MT_UINT8, .ndim = 1},
            f32 = {.dtype = MT_FLOAT32, .ndim = 2}, b = {.dtype = MT_BOOL, .ndim = 1},
            f16 = {.dtype = MT_FLOAT16, .ndim = 1}, i64_0 = {.dtype = MT_INT64},
            f64_0 = {.dtype = MT_FLOAT64}, b_0 = {.dtype = MT_BOOL};
  mt_arg whole = mt__arg_i(3), real = mt__arg_f(2.5), truth = mt__arg_b(true);
  CHECK(result(&i32, NULL, &whole) == MT_INT32);
  CHECK(result(&i32, NULL, &real) == MT_FLOAT32);
  CHECK(result(&u8, NULL, &truth) == MT_UINT8);
  CHECK(result(&b, NULL, &whole) == MT_INT64);
  CHECK(result(&b, NULL, &truth) == MT_BOOL);
  CHECK(result(&f16, NULL, &real) == MT_FLOAT16);
  CHECK(result(&f32, &f64_0, NULL) == MT_FLOAT32);
  CHECK(result(&i32, &f64_0, NULL) == MT_FLOAT64);
  CHECK(result(&u8, &i64_0, NULL) == MT_UINT8);
  CHECK(result(&b, &i64_0, NULL) == MT_INT64);
  CHECK(result(&i64_0, &b_0, &real) == MT_FLOAT32);
  CHECK(result(&u8, &i32, NULL) == MT_INT32);
  CHECK(result(&f16, &i64_0, &real) == MT_FLOAT16);
  CHECK(result(NULL, NULL, &real) == MT_FLOAT32);
  CHECK(result(NULL, NULL, &whole) == MT_INT64);
  mt_tensor *list[2] = {&u8, &f16};
  mt_arg many = {.kind = MT_TENSORS, .n = 2, .u.ts = list};
  CHECK(mt__result_type(1, &many) == MT_FLOAT16);
  OK(mt_set_default_dtype(MT_FLOAT64));
  CHECK(result(&i32, NULL, &real) == MT_FLOAT64);
  OK(mt_set_default_dtype(MT_FLOAT32));
}

/* ---- conversion ---- */

static void test_saturation(void) {
  static const double in[] = {0,
                              -0.9,
                              1.9,
                              -1.9,
                              127.5,
                              128,
                              255.5,
                              256,
                              -129,
                              32768,
                              2147483648.0,
                              -2147483649.0,
                              9223372036854775808.0,
                              -1e300,
                              INFINITY,
                              -INFINITY,
                              NAN};
  enum { N = sizeof in / sizeof in[0] };
  static const int64_t limits[][2] = {[MT_UINT8] = {0, UINT8_MAX},
                                      [MT_INT8] = {INT8_MIN, INT8_MAX},
                                      [MT_INT16] = {INT16_MIN, INT16_MAX},
                                      [MT_INT32] = {INT32_MIN, INT32_MAX},
                                      [MT_INT64] = {INT64_MIN, INT64_MAX}};
  for (int to = MT_UINT8; to <= MT_INT64; to++) {
    for (int from = MT_FLOAT32; from <= MT_FLOAT64; from++) {
      char src[N * 8], dst[N * 8];
      for (int i = 0; i < N; i++) {
        mt_arg v = mt__arg_f(in[i]);
        mt__store_scalar(src + i * mt__esize(from), from, &v);
      }
      mt__convert(dst, to, 1, src, from, 1, N);
      for (int i = 0; i < N; i++) {
        double x = mt__load_f64(src + i * mt__esize(from), from);
        int64_t lo = limits[to][0], hi = limits[to][1];
        int64_t want = isnan(x) ? 0 : x >= (double)hi ? hi : x <= (double)lo ? lo : (int64_t)x;
        CHECK(mt__load_i64(dst + i * mt__esize(to), to) == want);
      }
    }
  }
  int64_t big = 0x1234567890ab;
  int8_t narrow;
  mt__convert((char *)&narrow, MT_INT8, 1, (char *)&big, MT_INT64, 1, 1);
  CHECK(narrow == (int8_t)0xab); /* integers wrap */
  mt_arg v = mt__arg_i(300);
  uint8_t byte;
  mt__store_scalar((char *)&byte, MT_UINT8, &v);
  CHECK(byte == 255); /* a number saturates */
  bool truth;
  v = mt__arg_f(NAN);
  mt__store_scalar((char *)&truth, MT_BOOL, &v);
  CHECK(truth);
}

static bool same_number(const char *a, const char *b, int dtype) {
  if (!memcmp(a, b, (size_t)mt__esize(dtype))) return true;
  return mt__is_float(dtype) && isnan(mt__load_f64(a, dtype)) && isnan(mt__load_f64(b, dtype));
}

/* Every pair of dtypes, each instruction set: the contiguous loop, the strided one and one
 * element at a time give the same bits, but for what a NaN carries. */
static void test_conversion(void) {
  enum { N = 1031 };
  static char src[3 * N * 8], packed[N * 8], dst[N * 8], other[3 * N * 8];
  int best = mt__isa_level;
  for (int from = 0; from < MT_NDTYPES; from++) {
    int ss = mt__esize(from);
    for (int i = 0; i < N; i++) { /* any bits, but a bool is 0 or 1 and a float mostly small */
      uint32_t r[4];
      mt__philox(r, 1, (uint64_t)from, (uint64_t)i, 0);
      char *p = src + 3 * i * ss;
      memcpy(p, r, (size_t)ss);
      if (from == MT_BOOL) *p = (char)(r[0] & 1);
      if (mt__is_float(from) && i % 8) {
        mt_arg v = mt__arg_f(((int32_t)r[1] % 100000) / 16.0);
        mt__store_scalar(p, from, &v);
      }
      memcpy(packed + i * ss, p, (size_t)ss);
    }
    for (int to = 0; to < MT_NDTYPES; to++) {
      int ds = mt__esize(to), bad = 0;
      for (mt__isa_level = 0; mt__isa_level <= best; mt__isa_level++) {
        mt__convert(dst, to, 1, packed, from, 1, N);
        mt__convert(other, to, 3, src, from, 3, N);
        for (int i = 0; i < N; i++) {
          char one[8];
          mt__convert(one, to, 2, packed + i * ss, from, 2, 1);
          bad += !same_number(one, dst + i * ds, to);
          bad += !same_number(other + 3 * i * ds, dst + i * ds, to);
        }
      }
      mt__isa_level = best;
      if (bad) printf("%s to %s: %d\n", mt_dtype_name(from), mt_dtype_name(to), bad);
      CHECK(bad == 0);
    }
  }
}

/* ---- memory ---- */

static void test_alloc(void) {
  mt_memory before, m;
  mt_memory_stats(&before, MT_CPU);
  static const int64_t sizes[] = {1, 64, 65, 1024, 1025, 5000, 32768, 32769, 1 << 20, 10000000};
  enum { N = sizeof sizes / sizeof sizes[0] };
  char *p[N], *q;
  for (int i = 0; i < N; i++) {
    OK(mt__block_alloc(&p[i], MT_CPU, sizes[i]));
    CHECK(((uintptr_t)p[i] & 63) == 0);
    memset(p[i], i, (size_t)sizes[i]);
  }
  int64_t total = 0;
  for (int i = 0; i < N; i++) {
    CHECK(p[i][0] == i && p[i][sizes[i] - 1] == i);
    total += sizes[i];
  }
  mt_memory_stats(&m, MT_CPU);
  CHECK(m.live == before.live + total && m.peak >= m.live);
  CHECK(m.allocations == before.allocations + N);
  for (int i = 0; i < N; i++) {
    mt__block_free(p[i], MT_CPU, sizes[i]);
    OK(mt__block_alloc(&q, MT_CPU, sizes[i]));
    CHECK(ASAN || q == p[i]); /* the same memory, hot */
    mt__block_free(q, MT_CPU, sizes[i]);
  }
  mt_memory_stats(&m, MT_CPU);
  CHECK(m.live == before.live && m.peak >= before.live + total);
  CHECK(ASAN || m.cached > 10000000);
  mt_memory_reset_peak(MT_CPU);
  mt_memory_flush(MT_CPU);
  mt_memory_stats(&m, MT_CPU);
  CHECK(m.cached == 0 && m.peak == m.live);
  OK(mt__block_alloc(&q, MT_CPU, 0));
  CHECK(q == NULL);
  OK(mt__block_alloc(&q, MT_META, 100));
  CHECK(q == NULL);
  CHECK(mt__block_alloc(&q, MT_CPU, (int64_t)1 << 60) == MT_ERR_MEMORY);
  CHECK(!ASAN ? mt__block_alloc(&q, MT_CPU, (int64_t)1 << 45) == MT_ERR_MEMORY : true);
  mt__obj_free(NULL, 64);
  mt__free(NULL);
}

/* Sizes that never come back do not pile up. */
static void test_drift(void) {
  mt_memory m;
  mt_memory_flush(MT_CPU);
  mt_memory_reset_peak(MT_CPU);
  int64_t most = 0;
  for (int i = 0; i < 200; i++) {
    char *p;
    int64_t bytes = (1 << 20) + (int64_t)i * 300000;
    OK(mt__block_alloc(&p, MT_CPU, bytes));
    mt__block_free(p, MT_CPU, bytes);
    mt_memory_stats(&m, MT_CPU);
    if (m.cached > most) most = m.cached;
  }
  CHECK(most < (64 << 20) + 2 * m.peak);
  mt_memory_flush(MT_CPU);
}

static void test_failing_alloc(void) {
  int64_t n = mt_debug_allocs();
  void *a = mt__malloc(10), *b = mt__obj_alloc(100);
  char *c = NULL;
  OK(mt__block_alloc(&c, MT_CPU, 100));
  CHECK(mt_debug_allocs() == n + 3);
  mt__free(a);
  mt__obj_free(b, 100);
  mt__block_free(c, MT_CPU, 100);
  mt_debug_fail_alloc(2, false);
  a = mt__calloc(10);
  b = mt__obj_alloc(100);
  CHECK(a && !b);
  b = mt__obj_alloc(100);
  CHECK(b != NULL);
  mt__obj_free(b, 100);
  mt_debug_fail_alloc(1, true);
  CHECK(mt__realloc(a, 20) == NULL && mt__malloc(1) == NULL);
  CHECK(mt__block_alloc(&c, MT_CPU, 8) == MT_ERR_MEMORY && !c);
  mt_debug_fail_alloc(0, false);
  a = mt__realloc(a, 20);
  CHECK(a != NULL);
  mt__free(a);
}

/* Objects made here and freed there, through many threads that come and go. */
enum { PASSED = 3000 };
static void *passed[PASSED];

static void *free_passed(void *unused) {
  (void)unused;
  for (int i = 0; i < PASSED; i++) {
    memset(passed[i], i, 448);
    mt__obj_free(passed[i], 448);
  }
  char *p;
  if (mt__block_alloc(&p, MT_CPU, 2500) == MT_OK) mt__block_free(p, MT_CPU, 2500);
  mt_fail(MT_ERR_VALUE, "of this thread");
  return (void *)mt_last_error();
}

static void test_alloc_threads(void) {
  mt_fail(MT_ERR_VALUE, "of the first");
  void *reused[64];
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < PASSED; i++) passed[i] = mt__obj_alloc(448);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, free_passed, NULL) == 0);
    pthread_join(t, NULL);
  }
  for (int i = 0; i < 64; i++) reused[i] = mt__obj_alloc(448);
  for (int i = 0; i < 64; i++) mt__obj_free(reused[i], 448);
  CHECK(!strcmp(mt_last_error(), "of the first"));
}

/* ---- the pool ---- */

enum { TASKS = 1000 };
static _Atomic int done[TASKS];
static _Atomic int nested_done;

static void nested_task(void *ctx, int64_t task) {
  (void)ctx;
  (void)task;
  atomic_fetch_add(&nested_done, 1);
}

static void mark(void *ctx, int64_t task) {
  (void)ctx;
  atomic_fetch_add(&done[task], 1);
  if (task % 100 == 0 && mt__parallel(7, nested_task, NULL) != MT_OK)
    atomic_fetch_add(&done[task], 1);
}

static void mark_range(void *ctx, int64_t begin, int64_t end) {
  int64_t *sum = ctx;
  for (int64_t i = begin; i < end; i++) {
    atomic_fetch_add(&done[i], 1);
    if (i == begin) sum[i / 64] = end - begin;
  }
}

static void test_pool(int threads) {
  OK(mt_set_num_threads(threads));
  CHECK(mt_num_threads() == threads);
  for (int round = 0; round < 200; round++) {
    memset(done, 0, sizeof done);
    atomic_store(&nested_done, 0);
    int64_t n = round % 2 ? TASKS : 1 + round % 17;
    OK(mt__parallel(n, mark, NULL));
    int bad = 0;
    for (int64_t i = 0; i < TASKS; i++) bad += done[i] != (i < n);
    CHECK(bad == 0 && nested_done == 7 * ((n + 99) / 100));
    if (round % 50 == 0) usleep(2000); /* the workers fall asleep */
  }
  memset(done, 0, sizeof done);
  int64_t sums[TASKS / 64 + 1] = {0}, total = 0;
  OK(mt__parallel_range(TASKS, 64, mark_range, sums));
  for (int i = 0; i <= TASKS / 64; i++) total += sums[i];
  CHECK(total == TASKS);
  OK(mt__parallel_range(0, 64, mark_range, sums));
}

static void count_own(void *ctx, int64_t task) {
  ((char *)ctx)[task]++;
}

static void *many_callers(void *unused) {
  (void)unused;
  int bad = 0;
  for (int round = 0; round < 300; round++) {
    char own[50] = {0};
    bad += mt__parallel(50, count_own, own) != MT_OK;
    for (int i = 0; i < 50; i++) bad += own[i] != 1;
  }
  return (void *)(intptr_t)bad;
}

static void test_callers(void) {
  OK(mt_set_num_threads(3));
  pthread_t t[4];
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&t[i], NULL, many_callers, NULL) == 0);
  for (int i = 0; i < 4; i++) {
    void *bad;
    pthread_join(t[i], &bad);
    CHECK(bad == NULL);
  }
}

static void interrupt_at(void *ctx, int64_t task) {
  atomic_fetch_add((_Atomic int *)ctx, 1);
  if (task == 10) mt_interrupt();
}

static void test_interrupt(void) {
  for (int threads = 1; threads <= 2; threads++) {
    OK(mt_set_num_threads(threads));
    _Atomic int n = 0;
    CHECK(mt__parallel(1000000, interrupt_at, (void *)&n) == MT_INTERRUPTED);
    CHECK(n < 1000000);
    CHECK(mt_interrupted() && !mt_interrupted());
    OK(mt__parallel(5, interrupt_at, (void *)&n));
  }
  CHECK(mt_set_num_threads(0) == MT_ERR_VALUE);
}

static void test_fork(void) {
  OK(mt_set_num_threads(2));
  memset(done, 0, sizeof done);
  OK(mt__parallel(TASKS, mark, NULL));
  pid_t child = fork();
  if (child == 0) {
    int bad = mt_num_threads() != 1;
    bad += mt__parallel(TASKS, mark, NULL) != MT_OK;
    for (int i = 0; i < TASKS; i++) bad += done[i] != 2;
    char *p;
    bad += mt__block_alloc(&p, MT_CPU, 100000) != MT_OK;
    mt__block_free(p, MT_CPU, 100000);
    if (!TSAN) { /* which knows no threads after fork */
      bad += mt_set_num_threads(2) != MT_OK;
      bad += mt__parallel(TASKS, mark, NULL) != MT_OK;
      for (int i = 0; i < TASKS; i++) bad += done[i] != 3;
    }
    _exit(bad != 0);
  }
  int status = 1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
  OK(mt__parallel(TASKS, mark, NULL));
}

/* ---- files ---- */

static bool file_is(const char *path, const char *text) {
  mt_bytes b;
  if (mt_read_file(&b, path, 1 << 30) != MT_OK) return false;
  bool same = b.size == strlen(text) && (b.size == 0 || !memcmp(b.data, text, b.size));
  mt__free(b.data);
  return same;
}

static int files_in_folder(void) {
  char command[300];
  snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
  FILE *f = popen(command, "r");
  int n = -1;
  if (f && fscanf(f, "%d", &n) != 1) n = -1;
  if (f) pclose(f);
  return n;
}

static void put_file(const char *path, const void *data, size_t n) {
  mt_writer *w;
  OK(mt_writer_open(&w, path));
  if (!w) return;
  OK(mt_writer_write(w, data, n));
  CHECK(mt_writer_position(w) == (int64_t)n);
  OK(mt_writer_commit(w));
}

static void test_writer(void) {
  char a[300];
  snprintf(a, sizeof a, "%s", at("a"));
  put_file(a, "first", 5);
  CHECK(file_is(a, "first"));
  CHECK(chmod(a, 0640) == 0 && symlink(a, at("link")) == 0);
  mt_writer *w;
  OK(mt_writer_open(&w, at("link")));
  OK(mt_writer_write(w, "sec", 3));
  CHECK(file_is(a, "first"));
  OK(mt_writer_write(w, "ond", 3));
  OK(mt_writer_commit(w));
  struct stat st;
  CHECK(file_is(a, "second") && stat(a, &st) == 0 && (st.st_mode & 0777) == 0640);
  CHECK(lstat(at("link"), &st) == 0 && S_ISLNK(st.st_mode));
  OK(mt_writer_open(&w, a));
  OK(mt_writer_write(w, "third", 5));
  mt_writer_abort(w);
  CHECK(file_is(a, "second") && files_in_folder() == 2);
  CHECK(mt_writer_open(&w, at("none/file")) == MT_ERR_IO && !w &&
        strstr(mt_last_error(), "none/file"));
  CHECK(mt_writer_open(&w, folder) == MT_ERR_IO && mt_writer_open(&w, "/dev/null") == MT_ERR_IO);
  static char big[300000];
  memset(big, 'z', sizeof big - 1);
  put_file(at("big"), big, sizeof big - 1);
  CHECK(file_is(at("big"), big));
  /* A disk that is full: the old file stays, nothing is left beside it. */
  struct rlimit old, small;
  getrlimit(RLIMIT_FSIZE, &old);
  small = old;
  small.rlim_cur = 100000;
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  OK(mt_writer_open(&w, a));
  CHECK(mt_writer_write(w, big, sizeof big - 1) == MT_ERR_IO);
  CHECK(mt_writer_write(w, "x", 1) == MT_ERR_IO && mt_writer_commit(w) == MT_ERR_IO);
  setrlimit(RLIMIT_FSIZE, &old);
  CHECK(file_is(a, "second") && files_in_folder() == 3);
  mt_writer_abort(NULL);
}

static void test_mapping(void) {
  put_file(at("m"), "bytes", 5);
  mt_mapping *m;
  OK(mt_map_file(&m, at("m")));
  CHECK(m->size == 5 && m->mapped);
  m->data[0] = 'B'; /* a private page */
  CHECK(file_is(at("m"), "bytes"));
  mt_tensor *t;
  int64_t size = 5;
  OK(mt_from_blob(&t, m->data, MT_UINT8, 1, &size, mt_mapping_release, mt_mapping_retain(m)));
  mt_mapping_release(m);
  CHECK(t && ((char *)mt_data(t))[4] == 's');
  mt_release(t);
  put_file(at("m"), "", 0);
  OK(mt_map_file(&m, at("m")));
  CHECK(m->size == 0 && m->data);
  mt_mapping_release(m);
  CHECK(mt_map_file(&m, at("missing")) == MT_ERR_IO && !m && strstr(mt_last_error(), "missing"));
  CHECK(mt_map_file(&m, folder) == MT_ERR_IO);
  unlink(at("m"));
}

static size_t deflate_all(char *dst, size_t room, const void *src, size_t n, int window) {
  z_stream z = {0};
  deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
  z.next_in = (Bytef *)(uintptr_t)src;
  z.avail_in = (uInt)n;
  z.next_out = (Bytef *)dst;
  z.avail_out = (uInt)room;
  deflate(&z, Z_FINISH);
  deflateEnd(&z);
  return room - z.avail_out;
}

static void test_inflate(void) {
  static char text[200000], packed[200000], two[200000];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * i >> 7);
  static const int windows[] = {31, 15, -15};
  mt_bytes b;
  for (int format = 0; format < 3; format++) {
    size_t n = deflate_all(packed, sizeof packed, text, sizeof text, windows[format]);
    OK(mt_inflate(&b, format, packed, n, sizeof text, false, "x"));
    CHECK(b.size == sizeof text && !memcmp(b.data, text, b.size));
    mt__free(b.data);
    CHECK(mt_inflate(&b, format, packed, n, sizeof text - 1, false, "x") == MT_ERR_IO && !b.data);
    OK(mt_inflate(&b, format, packed, n, 100, true, "x"));
    CHECK(b.size == 100);
    mt__free(b.data);
    CHECK(mt_inflate(&b, format, packed, n - 1, sizeof text, false, "x") == MT_ERR_IO);
  }
  size_t n = deflate_all(packed, sizeof packed, "ab", 2, 31);
  memcpy(two, packed, n);
  memcpy(two + n, packed, n);
  memset(two + 2 * n, 0, 20);
  OK(mt_inflate(&b, MT_DEFLATED_GZIP, two, 2 * n + 20, 100, false, "x"));
  CHECK(b.size == 4 && !memcmp(b.data, "abab", 4));
  mt__free(b.data);
  two[2 * n + 19] = 'x';
  CHECK(mt_inflate(&b, MT_DEFLATED_GZIP, two, 2 * n + 20, 100, false, "x") == MT_ERR_IO);
  CHECK(mt_inflate(&b, MT_DEFLATED_GZIP, two, 0, 100, false, "x") == MT_ERR_IO);
  for (int64_t k = 1; k < 8; k++) { /* no allocation that fails is lost or leaks */
    mt_debug_fail_alloc(k, true);
    int status = mt_inflate(&b, MT_DEFLATED_GZIP, packed, n, 100, false, "x");
    mt_debug_fail_alloc(0, false);
    CHECK(status == MT_OK || status == MT_ERR_MEMORY);
    mt__free(b.data);
  }
  CHECK(mt_crc32(0, "123456789", 9) == 0xcbf43926u);
  CHECK(mt_crc32(mt_crc32(0, "12345", 5), "6789", 4) == 0xcbf43926u);
}

static void test_idx(void) {
  static const struct {
    int code, dtype;
  } types[] = {{8, MT_UINT8},  {9, MT_INT8},     {11, MT_INT16},
               {12, MT_INT32}, {13, MT_FLOAT32}, {14, MT_FLOAT64}};
  for (int k = 0; k < 6; k++) {
    int dtype = types[k].dtype, size = mt__esize(dtype);
    unsigned char file[12 + 6 * 8 + 1] = {0, 0, (unsigned char)types[k].code, 2, 0, 0, 0, 2, 0, 0,
                                          0, 3};
    for (int i = 0; i < 6; i++) {
      char value[8];
      mt_arg v = mt__arg_i(100 - 7 * i);
      mt__store_scalar(value, dtype, &v);
      for (int b = 0; b < size; b++) file[12 + i * size + b] = (unsigned char)value[size - 1 - b];
    }
    size_t n = 12 + 6 * (size_t)size;
    char packed[300];
    size_t np = deflate_all(packed, sizeof packed, file, n, 31);
    for (int gz = 0; gz < 2; gz++) {
      const char *bytes = gz ? packed : (const char *)file;
      size_t whole = gz ? np : n;
      put_file(at("idx"), bytes, whole);
      mt_tensor *t;
      OK(mt_read_idx(&t, at("idx")));
      if (!t) continue;
      CHECK(t->dtype == dtype && t->ndim == 2 && t->sizes[0] == 2 && t->sizes[1] == 3);
      for (int i = 0; i < 6; i++)
        CHECK(mt__load_i64((char *)mt_data(t) + i * size, dtype) == 100 - 7 * i);
      mt_release(t);
      for (size_t cut = 0; cut < whole; cut += k && cut > 20 ? 7 : 1) {
        put_file(at("idx"), bytes, cut);
        CHECK(mt_read_idx(&t, at("idx")) == MT_ERR_IO && !t && strstr(mt_last_error(), "idx"));
      }
    }
    put_file(at("idx"), file, n + 1); /* one byte too many */
    mt_tensor *t;
    CHECK(mt_read_idx(&t, at("idx")) == MT_ERR_IO);
    np = deflate_all(packed, sizeof packed, file, n + 1, 31);
    put_file(at("idx"), packed, np);
    CHECK(mt_read_idx(&t, at("idx")) == MT_ERR_IO);
    for (int i = 0; i < 12; i++) { /* headers that promise anything */
      unsigned char bad[13];
      memcpy(bad, file, 13);
      bad[i] = 0xff;
      put_file(at("idx"), bad, 13);
      CHECK(mt_read_idx(&t, at("idx")) == MT_ERR_IO && !t);
    }
  }
  unlink(at("idx"));
}

int main(void) {
  const char *tmp = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/moontorch-base-XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(folder)) return 2;
  test_status();
  test_philox();
  test_generators();
  test_half(5, half_up, half_down);
  test_half(8, bf16_up, bf16_down);
  test_dtypes();
  test_result_type();
  test_saturation();
  test_conversion();
  test_alloc();
  test_drift();
  test_failing_alloc();
  test_alloc_threads();
  test_pool(1);
  test_pool(2);
  test_pool(7);
  test_callers();
  test_interrupt();
  test_fork();
  test_writer();
  test_mapping();
  test_inflate();
  test_idx();
  for (int i = 0; i < 3; i++) unlink(at(((const char *[]){"a", "link", "big"})[i]));
  CHECK(rmdir(folder) == 0);
  return check_done();
}
