#include "kernels/resample.h"

#include "kernels/reference/types.h"

static int resample_tasks(const void *params)
{
    const struct resample_params *p = params;
    return task_count(p->outer * p->output, 1 + 16384 / (1 + p->inner * p->taps));
}

#define T float
#define TYPE_NAME f32
#include "kernels/reference/resample.inc"
#undef T
#undef TYPE_NAME
#define T double
#define TYPE_NAME f64
#include "kernels/reference/resample.inc"
#undef T
#undef TYPE_NAME

#define RESAMPLE(type, type_number)                     \
    static bool supports_##type(const void *params)     \
    {                                                   \
        const struct resample_params *p = params;       \
        return p->dtype == (type_number);               \
    }                                                   \
    const struct kernel resample_##type##_reference = { \
        .name = "resample_" #type "_reference",         \
        .family = FAMILY_resample,                      \
        .supports = supports_##type,                    \
        .tasks = resample_tasks,                        \
        .run = resample_run_##type,                     \
    };
RESAMPLE(f32, DTYPE_F32)
RESAMPLE(f64, DTYPE_F64)
