/* cpu.c: which instruction set the kernels use.
 *
 * Found once when the library is loaded, from what the processor has and the operating system
 * saves; MOONTORCH_ISA=base|avx2|avx512 lowers it (never raises it; other words are ignored).
 * mt__isa_level does not change afterwards: results are the same for one level.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

int mt__isa_level = MT_ISA_BASE;

#if defined(__x86_64__)
/* The kernels of a level are compiled with all of these. __builtin_cpu_supports asks XGETBV for
 * the registers; float16 conversion it does not know in every compiler. */
static int best_level(void) {
  __builtin_cpu_init();
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return MT_ISA_BASE;
  bool f16c = (c >> 29 & 1u) != 0;
  if (!f16c || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return MT_ISA_BASE;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return MT_ISA_AVX512;
  return MT_ISA_AVX2;
}
#else
static int best_level(void) {
  return MT_ISA_BASE;
}
#endif

__attribute__((constructor)) static void find_level(void) {
  static const char *const words[] = {"base", "avx2", "avx512"};
  int level = best_level();
  const char *wish = getenv("MOONTORCH_ISA");
  for (int i = 0; wish && i < 3; i++) {
    if (!strcmp(wish, words[i]) && i < level) level = i;
  }
  mt__isa_level = level;
}

const char *mt_isa(void) {
  switch (mt__isa_level) {
  case MT_ISA_AVX512:
    return "avx512";
  case MT_ISA_AVX2:
    return "avx2";
  default:
    break;
  }
#if defined(__x86_64__)
  return "sse2";
#elif defined(__aarch64__)
  return "neon";
#else
  return "scalar";
#endif
}

const char *mt_version_string(void) {
  return "0.1.0";
}
