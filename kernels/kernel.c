#include "kernels/kernel.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KERNEL(name) extern const struct kernel name;
#include "kernels/kernels.def"
#undef KERNEL

/* Best ISA first; within an ISA, the most special kernel first. */
static const struct kernel *const kernels[] = {
#define KERNEL(name) &name,
#include "kernels/kernels.def"
#undef KERNEL
};

static const char *const family_names[FAMILY_COUNT] = {
#define FAMILY(name) #name,
#include "kernels/families.def"
#undef FAMILY
};

static const char *const isa_names[] = {"reference", "avx2", "avx512"};

void kernel_fault(const struct kernel_call *call, const char *format, ...)
{
    if (call->fault->set)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->fault->text, sizeof call->fault->text, format, arguments);
    va_end(arguments);
    call->fault->set = true;
}

const struct kernel *kernel_select(enum kernel_family family, const void *params, enum isa highest)
{
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        const struct kernel *kernel = kernels[i];
        if (kernel->family == family && kernel->isa <= highest && (!kernel->supports || kernel->supports(params)))
            return kernel;
    }
    return NULL;
}

const char *kernel_family_name(enum kernel_family family)
{
    return (unsigned)family < FAMILY_COUNT ? family_names[family] : "unknown";
}

enum isa isa_detect(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return ISA_AVX512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? ISA_AVX2 : ISA_REFERENCE;
}

const char *isa_name(enum isa isa)
{
    return isa_names[isa];
}

bool isa_from_name(const char *name, enum isa *isa)
{
    for (size_t i = 0; i < sizeof isa_names / sizeof isa_names[0]; i++) {
        if (strcmp(name, isa_names[i]) == 0) {
            *isa = (enum isa)i;
            return true;
        }
    }
    return false;
}

int task_count(int64_t total, int64_t grain)
{
    int64_t tasks = total / (grain > 0 ? grain : 1);
    return tasks < 1 ? 1 : tasks > 256 ? 256 : (int)tasks;
}

void task_range(int64_t total, int tasks, int task, int64_t *first, int64_t *last)
{
    int64_t each = total / tasks, left = total % tasks;
    *first = each * task + (task < left ? task : left);
    *last = *first + each + (task < left ? 1 : 0);
}
