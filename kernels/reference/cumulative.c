#include "kernels/cumulative.h"

#include "kernels/reference/numeric_types.h"

static int cumulative_tasks(const void *params)
{
    const struct cumulative_params *p = params;
    return task_count(p->outer * p->inner, 1 + 16384 / (1 + p->count));
}

#define BODY "kernels/reference/cumulative.inc"
#include "kernels/reference/numeric_types.inc"

#define CUMULATIVE(type, type_number)                     \
    static bool supports_##type(const void *params)       \
    {                                                     \
        const struct cumulative_params *p = params;       \
        return p->dtype == (type_number);                 \
    }                                                     \
    const struct kernel cumulative_##type##_reference = { \
        .name = "cumulative_" #type "_reference",         \
        .family = FAMILY_cumulative,                      \
        .supports = supports_##type,                      \
        .tasks = cumulative_tasks,                        \
        .run = cumulative_run_##type,                     \
    };
NUMERIC_TYPES(CUMULATIVE)
