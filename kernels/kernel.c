#include "kernels/kernel.h"

#include "kernels/cpu.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KERNEL(name) extern const struct kernel name;
#define VECTOR_KERNEL(name) extern const struct kernel name##_avx512, name##_avx2;
#include "kernels/kernels.def"
#include "kernels/vector_kernels.def"
#undef KERNEL
#undef VECTOR_KERNEL
#ifdef INFER_CUDA
#define CUDA_KERNEL(name) extern const struct kernel name##_cuda;
#include "kernels/cuda_kernels.def"
#undef CUDA_KERNEL
#endif

/* Best ISA first; within an ISA, family by family in ascending order, the most special kernel of each first. */
static const struct kernel *const kernels[] = {
#ifdef INFER_CUDA
#define CUDA_KERNEL(name) &name##_cuda,
#include "kernels/cuda_kernels.def"
#undef CUDA_KERNEL
#endif
#define VECTOR_KERNEL(name) &name##_avx512,
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL
#define VECTOR_KERNEL(name) &name##_avx2,
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL
#define KERNEL(name) &name,
#include "kernels/kernels.def"
#undef KERNEL
};

enum {
#define CUDA_KERNEL(name) +1
    CUDA_KERNELS = 0
#ifdef INFER_CUDA
#include "kernels/cuda_kernels.def"
#endif
#undef CUDA_KERNEL
    ,
#define VECTOR_KERNEL(name) +1
    VECTOR_KERNELS = 0
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL
};

#define KERNELS (sizeof kernels / sizeof kernels[0])

/* Where those of each ISA begin; the device's are the first. */
static const size_t isa_starts[] = {0, CUDA_KERNELS, CUDA_KERNELS + VECTOR_KERNELS,
                                    CUDA_KERNELS + (size_t)2 * VECTOR_KERNELS, KERNELS};
#define ISA_COUNT (sizeof isa_starts / sizeof isa_starts[0] - 1)

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

const struct kernel *kernel_at(size_t index)
{
    return index < KERNELS ? kernels[index] : NULL;
}

bool kernel_fits(const struct kernel *kernel, enum kernel_family family, const void *params,
                 const struct kernel_facts *facts)
{
    return kernel->family == family && !(kernel->requires & ~facts->cpu) &&
           !(kernel->constant_inputs & ~facts->constant_inputs) && (!kernel->supports || kernel->supports(params));
}

static size_t first_of_family(size_t isa, enum kernel_family family)
{
    size_t low = isa_starts[isa], high = isa_starts[isa + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kernels[middle]->family < family)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct kernel *kernel_select(enum kernel_family family, const void *params, const struct kernel_facts *facts)
{
    for (size_t i = 0; facts->kernels && facts->kernels[i]; i++)
        if (kernel_fits(facts->kernels[i], family, params, facts))
            return facts->kernels[i];
    for (size_t isa = 0; !facts->kernels && isa < ISA_COUNT; isa++)
        for (size_t i = first_of_family(isa, family); i < isa_starts[isa + 1] && kernels[i]->family == family; i++)
            if (kernel_fits(kernels[i], family, params, facts))
                return kernels[i];
    return NULL;
}

bool family_supports(enum kernel_family family, const void *params, const struct kernel_facts *facts)
{
    return kernel_select(family, params, facts) != NULL;
}

bool family_prefers_channels_last(enum kernel_family family, const void *params, const struct kernel_facts *facts)
{
    const struct kernel *kernel = kernel_select(family, params, facts);
    return kernel && kernel->channels_last;
}

bool kernel_make_plan(const struct kernel *kernel, const void *params, const struct kernel_facts *facts,
                      struct region *region, struct kernel_plan *plan)
{
    *plan = (struct kernel_plan){.params = params};
    if (kernel->plan)
        return kernel->plan(params, facts, region, plan);
    plan->phases = 1;
    plan->tasks[0] = kernel->tasks ? kernel->tasks(params) : 1;
    plan->task_bytes = kernel->workspace_bytes ? align_up(kernel->workspace_bytes(params), ALIGNMENT) : 0;
    return true;
}

bool kernel_plan_workspace(const struct kernel_plan *plan, int threads, size_t *bytes)
{
    int most = 0;
    for (int i = 0; i < plan->phases; i++)
        most = plan->tasks[i] > most ? plan->tasks[i] : most;
    size_t lanes = (size_t)(most < threads ? most : threads), shared = align_up(plan->shared_bytes, ALIGNMENT);
    return multiply_size(plan->task_bytes, lanes, bytes) && add_size(*bytes, shared, bytes);
}

void kernel_run_alone(const struct kernel *kernel, const struct kernel_plan *plan, struct kernel_call *call)
{
    for (call->phase = 0; call->phase < plan->phases; call->phase++)
        for (call->round = 0; call->round < kernel_rounds(plan, call->phase); call->round++)
            for (int task = 0; task < plan->tasks[call->phase] && !call->fault->set; task++)
                kernel->run(plan, call, task);
}

const char *kernel_family_name(enum kernel_family family)
{
    return (unsigned)family < FAMILY_COUNT ? family_names[family] : "unknown";
}

unsigned cpu_detect(void)
{
    unsigned bits = 0;
    if (!cpu_has_avx2() || !CPU_HAS(FMA, "fma"))
        return 0;
    bits = CPU_AVX2 | CPU_FMA;
    if (CPU_HAS_BIT(F16C, 1, 0, ECX, 29))
        bits |= CPU_F16C;
    if (CPU_HAS_BIT(AVX_VNNI, 7, 1, EAX, 4))
        bits |= CPU_AVX_VNNI;
    if (!CPU_HAS(AVX512F, "avx512f") || !CPU_HAS(AVX512BW, "avx512bw") || !CPU_HAS(AVX512VL, "avx512vl") ||
        !CPU_HAS(AVX512DQ, "avx512dq"))
        return bits;
    bits |= CPU_AVX512;
    if (CPU_HAS_BIT(AVX512_VNNI, 7, 0, ECX, 11))
        bits |= CPU_AVX512_VNNI;
    if (CPU_HAS_BIT(AVX512_BF16, 7, 1, EAX, 5))
        bits |= CPU_AVX512_BF16;
    return bits;
}

unsigned isa_bits(enum isa isa)
{
    static const unsigned avx2 = CPU_AVX2 | CPU_FMA | CPU_F16C | CPU_AVX_VNNI;
    switch (isa) {
    case ISA_REFERENCE:
        return 0;
    case ISA_AVX2:
        return avx2;
    default:
        return avx2 | CPU_AVX512 | CPU_AVX512_VNNI | CPU_AVX512_BF16;
    }
}

enum isa isa_of(unsigned cpu)
{
    enum isa isa = ISA_REFERENCE;
    cpu &= DEVICE_CUDA - 1; /* a device has none */
    while (isa < ISA_AVX512 && (cpu & ~isa_bits(isa)))
        isa++;
    return isa;
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

int task_count_shared(int64_t total, int64_t grain, int threads)
{
    int64_t tasks = task_count(total, grain), shared = (tasks + threads - 1) / threads * threads;
    return (int)(tasks > 1 && shared <= total ? shared : tasks);
}

/* Longer tasks lie among shorter ones: a thread's stretch of tasks is its share of the items. */
void task_range(int64_t total, int tasks, int task, int64_t *first, int64_t *last)
{
    int64_t each = total / tasks, left = total % tasks;
    *first = each * task + left * task / tasks;
    *last = each * (task + 1) + left * (task + 1) / tasks;
}
