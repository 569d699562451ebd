/* optim_test.c: the fused optimizer steps against PyTorch's, over dtypes, layouts, instruction
 * sets and numbers of threads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "internal.h"

/* How a tensor lies: row-major, columns first (dense), or with gaps. */
enum layout { PLAIN, TURNED, GAPS };

/* A matrix of zeros; the caller's reference. */
static mt_tensor *matrix(int dtype, int64_t rows, int64_t columns, int layout) {
  mt_tensor *t;
  int64_t sizes[2] = {rows, columns};
  if (layout == TURNED) sizes[0] = columns, sizes[1] = rows;
  if (layout == GAPS) sizes[1] = 2 * columns;
  if (mt_new(&t, dtype, MT_CPU, 2, sizes) != MT_OK) exit(2);
  if (t->numel) memset(mt_data(t), 0, (size_t)mt_storage_bytes(t));
  if (layout == TURNED) {
    t->strides[0] = 1;
    t->strides[1] = rows;
  } else if (layout == GAPS) {
    t->strides[1] = 2;
  }
  t->sizes[0] = rows;
  t->sizes[1] = columns;
  t->numel = rows * columns;
  mt__set_contiguous_flag(t);
  return t;
}

static char *element(mt_tensor *t, int64_t i) {
  int64_t at = i / t->sizes[1] * t->strides[0] + i % t->sizes[1] * t->strides[1];
  return mt__ptr(t) + at * mt__esize(t->dtype);
}

static void set(mt_tensor *t, int64_t i, double x) {
  mt_arg v = mt__arg_f(x);
  mt__store_scalar(element(t, i), t->dtype, &v);
}

static double get(mt_tensor *t, int64_t i) {
  return mt__load_f64(element(t, i), t->dtype);
}

static mt_tensor *numbers(int n, const double *v) {
  mt_tensor *t;
  int64_t size = n;
  if (mt_new(&t, MT_FLOAT64, MT_CPU, n > 1, &size) != MT_OK) exit(2);
  memcpy(mt_data(t), v, (size_t)n * sizeof *v);
  return t;
}

enum { SGD, ADAM, ADAMW, AMSGRAD };

typedef struct setting {
  int kind;
  double hyper[7];
} setting;

/* mt_arg of a list of one, or of none. */
static mt_arg one(mt_tensor **t, int n) {
  mt_arg a = {.kind = MT_TENSORS, .n = n};
  a.u.ts = t;
  return a;
}

/* Three steps from sin(i + 1) with gradients cos(3 i + t). */
static mt_tensor *train(const setting *s, int dtype, int64_t rows, int64_t columns, int layout) {
  int64_t n = rows * columns;
  mt_tensor *p = matrix(dtype, rows, columns, layout), *g = matrix(dtype, rows, columns, layout);
  mt_tensor *state[3];
  for (int k = 0; k < 3; k++) state[k] = matrix(dtype, rows, columns, layout);
  p->flags |= MT_T_REQUIRES_GRAD; /* a leaf, written under grad mode */
  bool sgd = s->kind == SGD;
  double zero = 0;
  mt_tensor *hyper = numbers(sgd ? 7 : 6, s->hyper), *count = numbers(1, &zero);
  const mt_op *op = mt_op_find(sgd ? "sgd_step_" : "adam_step_");
  for (int64_t i = 0; i < n; i++) set(p, i, sin((double)(i + 1)));
  for (int t = 0; t < 3; t++) {
    for (int64_t i = 0; i < n; i++) set(g, i, cos((double)(3 * i + t)));
    uint32_t version = mt_version(p);
    if (sgd) {
      ((double *)mt_data(hyper))[6] = t == 0;
      mt_arg args[] = {one(&p, 1), one(&g, 1), one(&state[0], s->hyper[1] != 0), mt__arg_t(hyper)};
      CHECK(mt_call(op, MT_CALL, args, NULL) == MT_OK);
    } else {
      mt_arg args[] = {one(&p, 1),
                       one(&g, 1),
                       one(&state[0], 1),
                       one(&state[1], 1),
                       one(&state[2], s->kind == AMSGRAD),
                       mt__arg_t(count),
                       mt__arg_t(hyper),
                       mt__arg_b(s->kind == AMSGRAD),
                       mt__arg_b(s->kind == ADAMW)};
      CHECK(mt_call(op, MT_CALL, args, NULL) == MT_OK);
      CHECK(*(double *)mt_data(count) == t + 1);
    }
    CHECK(mt_version(p) == version + 1);
  }
  mt_release(g);
  for (int k = 0; k < 3; k++) mt_release(state[k]);
  mt_release(hyper);
  mt_release(count);
  return p;
}

/* Made with PyTorch 2.15, torch.optim.SGD, Adam and AdamW with fused=True, float64. */
static const setting settings[] = {
    {SGD, {0.1}},
    {SGD, {0.1, 0.9, 0, 0.01}},
    {SGD, {0.05, 0.8, 0, 0.1, 1, 1}},
    {SGD, {0.05, 0.8, 0.3}},
    {ADAM, {0.01, 0.9, 0.999, 1e-8}},
    {ADAM, {0.02, 0.3, 0.95, 1e-8, 0.1, 1}},
    {AMSGRAD, {0.02, 0.8, 0.9, 1e-3}},
    {ADAMW, {0.02, 0.9, 0.999, 1e-8, 0.2}},
};
enum { SETTINGS = sizeof settings / sizeof settings[0], N = 7 };
static const double golden[SETTINGS][N] = {
    {0.72905543787579674, 1.0452948200257646, -0.015737242658638496, -0.58222488601062028,
     -1.1477280705021906, -0.080164425075545567, 0.45127625989437498},
    {0.5051455465727348, 1.2678732054644803, -0.24812841165971289, -0.34709318904735503,
     -1.3679110196756308, 0.1371133698962102, 0.2460458699869924},
    {0.98490133209880693, 0.67923020354394781, 0.35397766153056071, -0.96359221322626498,
     -0.6797431935338667, -0.52074215773979649, 0.88612437445277892},
    {0.69999707881735362, 1.0613278830341306, -0.018424107751804173, -0.59293799645576295,
     -1.1238294074971391, -0.11677030873797051, 0.49985669720378245},
    {0.81738923757315129, 0.93478954506177259, 0.11443774668038501, -0.72914839041881419,
     -0.98733056218184334, -0.25048128981333961, 0.62775774508754578},
    {0.87079767375225869, 0.86915474285235883, 0.18269431735751757, -0.80120087392976846,
     -0.90750115733352321, -0.33271574707239848, 0.71327379674358971},
    {0.79479263346447804, 0.95888161558456442, 0.089231101153772405, -0.70293052117757981,
     -1.0145276678441246, -0.22228809329094878, 0.5987193376312071},
    {0.78348532028710283, 0.94917646299272362, 0.086307418524166749, -0.69268837438191078,
     -1.0040359467532129, -0.21844712082693821, 0.59091549971044677},
};

static void test_golden(void) {
  int best = mt__isa_level;
  static const double tolerance[MT_NDTYPES] = {
      [MT_FLOAT64] = 4e-16, [MT_FLOAT32] = 3e-7, [MT_FLOAT16] = 4e-3, [MT_BFLOAT16] = 3e-2};
  for (int k = 0; k < SETTINGS; k++)
    for (int dtype = MT_FLOAT16; dtype <= MT_FLOAT64; dtype++)
      for (int layout = PLAIN; layout <= GAPS; layout++)
        for (mt__isa_level = 0; mt__isa_level <= best; mt__isa_level++) {
          mt_tensor *p = train(&settings[k], dtype, 1, N, layout);
          for (int i = 0; i < N; i++) CHECK(fabs(get(p, i) - golden[k][i]) <= tolerance[dtype]);
          mt_release(p);
        }
  mt__isa_level = best;
}

/* Large ones: the same bits for any layout and number of threads. */
static void test_large(void) {
  enum { ROWS = 301, COLUMNS = 337 };
  for (int k = 0; k < SETTINGS; k += 3)
    for (int dtype = MT_FLOAT16; dtype <= MT_FLOAT64; dtype += 2) {
      mt_set_num_threads(1);
      mt_tensor *p = train(&settings[k], dtype, ROWS, COLUMNS, PLAIN);
      for (int i = 0; i < N && dtype == MT_FLOAT64; i++)
        CHECK(fabs(get(p, i) - golden[k][i]) <= 4e-16);
      for (int layout = PLAIN; layout <= GAPS; layout++) {
        mt_set_num_threads(2 + layout);
        mt_tensor *q = train(&settings[k], dtype, ROWS, COLUMNS, layout);
        int bad = 0;
        for (int64_t i = 0; i < p->numel; i++) bad += get(p, i) != get(q, i);
        CHECK(bad == 0);
        mt_release(q);
      }
      mt_release(p);
    }
}

/* Several parameters of all sizes at once: as one by one. */
static void test_many(void) {
  enum { MANY = 12 };
  static const int64_t rows[MANY] = {1, 0, 3, 500, 0, 0, 1, 70, 2, 1, 100, 0};
  const mt_op *op = mt_op_find("sgd_step_");
  const double values[7] = {0.1, 0.9, 0, 0, 0, 0, 1};
  mt_tensor *hyper = numbers(7, values), *p[MANY], *g[MANY], *b[MANY];
  for (int i = 0; i < MANY; i++) {
    p[i] = matrix(MT_FLOAT32, rows[i], 700, PLAIN);
    g[i] = matrix(MT_FLOAT32, rows[i], 700, PLAIN);
    b[i] = matrix(MT_FLOAT32, rows[i], 700, PLAIN);
    for (int64_t k = 0; k < g[i]->numel; k++) set(g[i], k, (double)(k % 11 - 5));
  }
  mt_arg args[] = {one(p, MANY), one(g, MANY), one(b, MANY), mt__arg_t(hyper)};
  CHECK(mt_call(op, MT_CALL, args, NULL) == MT_OK);
  int bad = 0;
  for (int i = 0; i < MANY; i++)
    for (int64_t k = 0; k < g[i]->numel; k++)
      bad += get(p[i], k) != -((float)(k % 11 - 5) * 0.1f) || get(b[i], k) != get(g[i], k);
  CHECK(bad == 0);
  mt_arg none[] = {one(p, 0), one(g, 0), one(b, 0), mt__arg_t(hyper)};
  CHECK(mt_call(op, MT_CALL, none, NULL) == MT_OK);
  for (int i = 0; i < MANY; i++) mt_release(p[i]), mt_release(g[i]), mt_release(b[i]);
  mt_release(hyper);
}

/* What is refused, before anything is written. */
static void test_refused(void) {
  const mt_op *op = mt_op_find("sgd_step_");
  double values[7] = {0.1, 0.9};
  mt_tensor *hyper = numbers(7, values), *few = numbers(3, values);
  mt_tensor *p = matrix(MT_FLOAT32, 2, 3, PLAIN), *g = matrix(MT_FLOAT32, 2, 3, PLAIN);
  mt_tensor *other = matrix(MT_FLOAT32, 3, 2, PLAIN), *wide = matrix(MT_FLOAT64, 2, 3, PLAIN);
  mt_tensor *two[2] = {p, p};
  for (int i = 0; i < 6; i++) set(g, i, 1);
  const struct {
    mt_arg args[4];
    int status;
  } cases[] = {
      {{one(&p, 1), one(&g, 0), one(&p, 0), mt__arg_t(hyper)}, MT_ERR_VALUE},
      {{one(two, 2), one(&g, 1), one(&p, 0), mt__arg_t(hyper)}, MT_ERR_VALUE},
      {{one(&p, 1), one(&other, 1), one(&p, 0), mt__arg_t(hyper)}, MT_ERR_SHAPE},
      {{one(&p, 1), one(&wide, 1), one(&p, 0), mt__arg_t(hyper)}, MT_ERR_DTYPE},
      {{one(&p, 1), one(&g, 1), one(&wide, 1), mt__arg_t(hyper)}, MT_ERR_DTYPE},
      {{one(&p, 1), one(&g, 1), one(&p, 0), mt__arg_t(hyper)}, MT_ERR_VALUE}, /* no buffers */
      {{one(&p, 1), one(&g, 1), one(&p, 0), mt__arg_t(few)}, MT_ERR_VALUE},
      {{one(&p, 1), one(&g, 1), one(&p, 0), mt__arg_t(g)}, MT_ERR_VALUE},
  };
  for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
    mt_arg args[4];
    memcpy(args, cases[k].args, sizeof args);
    CHECK(mt_call(op, MT_CALL, args, NULL) == cases[k].status);
    for (int i = 0; i < 6; i++) CHECK(get(p, i) == 0);
  }
  CHECK(strstr(mt_last_error(), "hyper") != NULL);
  mt_release(p), mt_release(g), mt_release(other), mt_release(wide);
  mt_release(hyper), mt_release(few);
}

int main(void) {
  test_golden();
  test_large();
  test_many();
  test_refused();
  return check_done();
}
