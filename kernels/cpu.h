/* Whether the CPU has a feature and the operating system lets us use it: what the C library found out once, as to ask
 * the CPU itself takes long in a virtual machine; elsewhere the compiler's library, which needs 5 KB for it. */
#ifndef INFER_KERNELS_CPU_H
#define INFER_KERNELS_CPU_H

#if __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#endif

#ifdef CPU_FEATURE_ACTIVE
#define CPU_HAS(feature, name) CPU_FEATURE_ACTIVE(feature)
#else
#define CPU_HAS(feature, name) __builtin_cpu_supports(name)
#endif

#endif
