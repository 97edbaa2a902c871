#include "kernels/grid_sample.h"

#include "kernels/reference/grid_taps.h"
#include "kernels/reference/types.h"

static int grid_sample_tasks(const void *params)
{
    const struct grid_sample_params *p = params;
    return task_count(p->batch * p->points, 1 + 4096 / (1 + p->channels));
}

#define T float
#define TYPE_NAME f32
#include "kernels/reference/grid_sample.inc"
#undef T
#undef TYPE_NAME
#define T double
#define TYPE_NAME f64
#include "kernels/reference/grid_sample.inc"
#undef T
#undef TYPE_NAME

#define GRID_SAMPLE(type, type_number)                     \
    static bool supports_##type(const void *params)        \
    {                                                      \
        const struct grid_sample_params *p = params;       \
        return p->dtype == (type_number);                  \
    }                                                      \
    const struct kernel grid_sample_##type##_reference = { \
        .name = "grid_sample_" #type "_reference",         \
        .family = FAMILY_grid_sample,                      \
        .supports = supports_##type,                       \
        .tasks = grid_sample_tasks,                        \
        .run = grid_sample_run_##type,                     \
    };
GRID_SAMPLE(f32, DTYPE_F32)
GRID_SAMPLE(f64, DTYPE_F64)
