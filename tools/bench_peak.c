/* What one core can do at most: the yardstick of the kernels. The functions here are compiled for their instruction set
 * alone, and called only where the CPU has it. */
#include "tools/bench.h"
#include "tools/report.h"

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

/* A fused multiply-add has a latency of 4 or 5 cycles and two start each cycle: ten chains keep both units busy. */
#define CHAINS 10
#define EACH_CHAIN(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9)
#define ROUNDS 100000
#define REPEATS 40 /* the best counts: a core takes a while to reach its clock */

#define PEAK_FUNCTION(name, attributes, vector, fill)                           \
    attributes static void name(void)                                           \
    {                                                                           \
        vector factor = fill(0.999f), term = fill(0.001f);                      \
        EACH_CHAIN(DECLARE_##name)                                              \
        for (int i = 0; i < ROUNDS; i++) {                                      \
            EACH_CHAIN(STEP_##name)                                             \
        }                                                                       \
        volatile vector kept = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9; \
        (void)kept;                                                             \
    }

#define PLAIN
#define DECLARE_sse(i) __m128 c##i = _mm_set1_ps((float)(i));
#define STEP_sse(i) c##i = _mm_add_ps(_mm_mul_ps(c##i, factor), term);
#define DECLARE_avx2(i) __m256 c##i = _mm256_set1_ps((float)(i));
#define STEP_avx2(i) c##i = _mm256_fmadd_ps(c##i, factor, term);
#define DECLARE_avx512(i) __m512 c##i = _mm512_set1_ps((float)(i));
#define STEP_avx512(i) c##i = _mm512_fmadd_ps(c##i, factor, term);

PEAK_FUNCTION(sse, PLAIN, __m128, _mm_set1_ps)
PEAK_FUNCTION(avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps)
PEAK_FUNCTION(avx512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps)

/* Sums of 32 bits, which are an operand too, so that nothing is the same in each round. */
#define PRODUCTS_FUNCTION(name, attributes, vector, fill)                       \
    attributes static void name(void)                                           \
    {                                                                           \
        vector bytes = fill(0x01020304), ones = fill(0x00010001);               \
        EACH_CHAIN(DECLARE_##name)                                              \
        for (int i = 0; i < ROUNDS; i++) {                                      \
            EACH_CHAIN(STEP_##name)                                             \
        }                                                                       \
        volatile vector kept = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9; \
        (void)kept, (void)bytes, (void)ones;                                    \
    }
#define DECLARE_dot512(i) __m512i c##i = _mm512_set1_epi32(i);
#define STEP_dot512(i) __asm__("vpdpbusd %1, %2, %0" : "+v"(c##i) : "v"(bytes), "v"(ones));
#define DECLARE_dot256(i) __m256i c##i = _mm256_set1_epi32(i);
#define STEP_dot256(i) __asm__("%{vex%} vpdpbusd %1, %2, %0" : "+x"(c##i) : "x"(bytes), "x"(ones));
#define DECLARE_pairs512(i) __m512i c##i = _mm512_set1_epi32(i);
#define STEP_pairs512(i) c##i = _mm512_add_epi32(c##i, _mm512_madd_epi16(_mm512_maddubs_epi16(c##i, bytes), ones));
#define DECLARE_pairs256(i) __m256i c##i = _mm256_set1_epi32(i);
#define STEP_pairs256(i) c##i = _mm256_add_epi32(c##i, _mm256_madd_epi16(_mm256_maddubs_epi16(c##i, bytes), ones));

PRODUCTS_FUNCTION(dot512, __attribute__((target("avx512f,avx512vnni"))), __m512i, _mm512_set1_epi32)
PRODUCTS_FUNCTION(pairs512, __attribute__((target("avx512f,avx512bw"))), __m512i, _mm512_set1_epi32)
PRODUCTS_FUNCTION(dot256, __attribute__((target("avx2,avxvnni"))), __m256i, _mm256_set1_epi32)
PRODUCTS_FUNCTION(pairs256, __attribute__((target("avx2"))), __m256i, _mm256_set1_epi32)

static double best_seconds(void (*call)(void))
{
    double best = 1e30;
    for (int i = 0; i < REPEATS; i++) {
        double start = seconds_now();
        call();
        double elapsed = seconds_now() - start;
        best = elapsed < best ? elapsed : best;
    }
    return best;
}

double measure_peak_flops(enum isa isa)
{
    static void (*const functions[])(void) = {sse, avx2, avx512};
    static const double lanes[] = {4, 8, 16};
    return 2.0 * lanes[isa] * CHAINS * ROUNDS / best_seconds(functions[isa]);
}

double measure_peak_products(enum isa isa)
{
    unsigned cpu = cpu_detect();
    if (isa == ISA_REFERENCE)
        return 0;
    bool wide = isa == ISA_AVX512, dot = cpu & (wide ? CPU_AVX512_VNNI : CPU_AVX_VNNI);
    double seconds = best_seconds(wide ? dot ? dot512 : pairs512 : dot ? dot256 : pairs256);
    return 2.0 * (wide ? 64 : 32) * CHAINS * ROUNDS / seconds;
}

double measure_peak_bytes(void)
{
    const size_t bytes = (size_t)128 << 20;
    char *from = malloc(bytes), *to = malloc(bytes);
    double best = 1e30;
    if (from && to)
        memset(from, 1, bytes);
    for (int i = 0; from && to && i < 5; i++) {
        double start = seconds_now();
        memcpy(to, from, bytes);
        double elapsed = seconds_now() - start;
        best = elapsed < best ? elapsed : best;
    }
    bool measured = from && to && to[bytes / 2] == 1;
    free(from);
    free(to);
    return measured ? 2.0 * (double)bytes / best : 0;
}
