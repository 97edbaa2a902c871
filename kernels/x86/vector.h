/* One vector of floats, and what can be done with it. A kernel file is written with these and compiled once for each
 * set of instructions (KERNEL_SET, from the Makefile):
 *
 *   avx2       8 lanes   AVX2, FMA, F16C
 *   avx512    16 lanes   AVX-512 F, BW, VL, DQ
 *   plain     16 lanes   any CPU, in C: shows on every machine that the logic for 16 lanes is right (tests only)
 *
 * All sets give the same bits. Whatever a kernel computes for an element follows from the problem, not from LANES:
 * products that are added are fused, sums over lanes are 16 partial sums (struct wide) joined by one tree.
 *
 *   vf   LANES floats            vi   LANES int32            vm   LANES truth values
 *
 * _part functions touch the first n elements, 0 <= n <= LANES; what is not read is 0. */
#ifndef INFER_KERNELS_X86_VECTOR_H
#define INFER_KERNELS_X86_VECTOR_H

#include "kernels/convert.h"
#include "kernels/kernel.h"

#define SET_AVX2 1
#define SET_AVX512 2
#define SET_PLAIN 3

#if KERNEL_SET == SET_AVX2
#define SET_SUFFIX avx2
#define SET_REQUIRES (CPU_AVX2 | CPU_FMA | CPU_F16C)
#define LANES 8
#include "kernels/x86/vector_avx2.h"
#elif KERNEL_SET == SET_AVX512
#define SET_SUFFIX avx512
#define SET_REQUIRES (CPU_AVX2 | CPU_FMA | CPU_F16C | CPU_AVX512)
#define LANES 16
#include "kernels/x86/vector_avx512.h"
#else
#define SET_SUFFIX plain
#define SET_REQUIRES 0
#define LANES 16
#include "kernels/x86/vector_plain.h"
#endif

/* Rounded to nearest, halves to even, in the low half of each lane. */
static inline vi vf_to_bf16(vf x)
{
    vi bits = vf_bits(x), odd = vi_and(vi_shift_right(bits, 16), vi_set(1));
    vi nearest = vi_shift_right(vi_add(bits, vi_add(odd, vi_set(0x7fff))), 16);
    return vi_select(vf_is_nan(x), vi_or(vi_shift_right(bits, 16), vi_set(0x40)), nearest);
}
static inline vf vf_round_bf16(vf x)
{
    return vi_as_floats(vi_shift_left(vf_to_bf16(x), 16));
}

/* gcc unrolls loops of a known length only where it is told to; without it sums do not stay in registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
/* What is meant to see the constants that it is called with. */
#define INLINE static inline __attribute__((always_inline))
/* What plans: it runs once a program, and is better small than fast. */
#define COLD static __attribute__((cold))

/* The name of what is visible outside its file: one for each set. SET_TEXT: the same as a string, for kernel.name. */
#define SET_JOIN2(name, suffix) name##_##suffix
#define SET_JOIN(name, suffix) SET_JOIN2(name, suffix)
#define SET_NAME(name) SET_JOIN(name, SET_SUFFIX)
#define SET_TEXT2(name) #name
#define SET_TEXT1(name) SET_TEXT2(name)
#define SET_TEXT(name) SET_TEXT1(SET_NAME(name))

/* --- sums over lanes ----------------------------------------------------------------------------------------- */

/* 16 partial sums: element i of a row is added to sum i % 16. */
#define WIDE 16
#define WIDE_PARTS (WIDE / LANES)
struct wide {
    vf part[WIDE_PARTS];
};
/* Unrolled, so that the parts are in registers. */
#define FOR_PARTS(i) _Pragma("GCC unroll 2") for (int i = 0; i < WIDE_PARTS; i++)

static inline struct wide wide_set(float x)
{
    struct wide w;
    FOR_PARTS(i)
    w.part[i] = vf_set(x);
    return w;
}

/* Eight and eight, four and four, two and two, the last two. */
#define WIDE_TREE(name, join)                                                                         \
    static inline float name(struct wide w)                                                           \
    {                                                                                                 \
        vf s = w.part[0];                                                                             \
        if (WIDE_PARTS == 2)                                                                          \
            s = join(s, w.part[WIDE_PARTS - 1]);                                                      \
        _Pragma("GCC unroll 4") for (int n = (WIDE_PARTS == 2 ? LANES : WIDE) / 2; n > 0; n /= 2) s = \
            join(s, vf_upper(s, n));                                                                  \
        return vf_first(s);                                                                           \
    }
/* A NaN among them stays. */
static inline vf vf_larger(vf a, vf b)
{
    return vf_select(vf_is_nan(a), a, vf_max(a, b)); /* of a number and a NaN, vf_max has the NaN if it is the second */
}
static inline vf vf_smaller(vf a, vf b)
{
    return vf_select(vf_is_nan(a), a, vf_min(a, b));
}
WIDE_TREE(wide_sum, vf_add)
WIDE_TREE(wide_largest, vf_larger)

#endif
