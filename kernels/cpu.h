/* What the CPU has and the system lets programs use. The C library found that out when the process began, where it
 * tells (glibc 2.33); the compiler's own library asks the CPU again, which takes long in a virtual machine, and is 5 KB
 * of every program. */
#ifndef INFER_KERNELS_CPU_H
#define INFER_KERNELS_CPU_H

#include <stdbool.h>

#if __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
/* feature: as glibc calls it; name: as the compiler does; leaf, subleaf, reg, bit: where cpuid tells. */
#define CPU_HAS(feature, name) cpu_has(x86_cpu_##feature)
#define CPU_HAS_BIT(feature, leaf, subleaf, reg, bit) cpu_has(x86_cpu_##feature)

/* CPU_FEATURE_ACTIVE, which shifts into the sign. Features are numbered by leaf, and by register and bit within it. */
static inline bool cpu_has(unsigned feature)
{
    const unsigned register_bits = 8 * sizeof(unsigned), leaf_bits = 4 * register_bits;
    const struct cpuid_feature *leaf = __x86_get_cpuid_feature_leaf(feature / leaf_bits);
    return leaf->active_array[feature % leaf_bits / register_bits] >> feature % register_bits & 1;
}
#else
#include <cpuid.h>
#define CPU_HAS(feature, name) (__builtin_cpu_init(), __builtin_cpu_supports(name))
#define CPU_HAS_BIT(feature, leaf, subleaf, reg, bit) cpu_leaf_bit(leaf, subleaf, reg, bit)

/* Of features whose registers others stand for: what __builtin_cpu_supports knows of them differs between compilers. */
enum cpuid_register { EAX, EBX, ECX, EDX };
static inline bool cpu_leaf_bit(unsigned leaf, unsigned subleaf, enum cpuid_register reg, unsigned bit)
{
    unsigned answer[4];
    return __get_cpuid_count(leaf, subleaf, &answer[0], &answer[1], &answer[2], &answer[3]) && (answer[reg] >> bit & 1);
}
#endif

static inline bool cpu_has_avx2(void)
{
    return CPU_HAS(AVX2, "avx2");
}

#endif
