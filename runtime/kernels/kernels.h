/* kernels.h: what every file of runtime/kernels/ needs.
 *
 * A kernel file is compiled once per instruction set with -DMT_ISA=base|avx2|avx512 and defines
 * one table of function pointers, `const mt_kern_<x> MT_KERN(<x>) = {...}`, whose type stands in
 * kernels/<x>.h. ops/<x>.c says MT_KERNELS(<x>) (internal.h) and takes the table that suits this
 * machine. Everything else in a kernel file is static, so that the builds do not meet.
 */
#ifndef MT_KERNELS_H
#define MT_KERNELS_H

#ifndef MT_ISA
#define MT_ISA base
#endif

#define MT_KERN_PASTE2(x, isa) mt__kern_##x##_##isa
#define MT_KERN_PASTE(x, isa)  MT_KERN_PASTE2(x, isa)
#define MT_KERN(x)             MT_KERN_PASTE(x, MT_ISA)

/* a * b + c: one rounding where the instruction set has it, two where it would cost a call. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define MT_FMA(a, b, c)   __builtin_fmaf(a, b, c)
#define MT_FMA64(a, b, c) __builtin_fma(a, b, c)
#else
#define MT_FMA(a, b, c)   ((a) * (b) + (c))
#define MT_FMA64(a, b, c) ((a) * (b) + (c))
#endif

#endif
