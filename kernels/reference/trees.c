#include "kernels/trees.h"

#include "kernels/reference/types.h"

#include <math.h>

static int trees_tasks(const void *params)
{
    const struct trees_params *p = params;
    return task_count(p->rows, 1 + 256 / (1 + p->trees));
}

#define T float
#define TYPE_NAME f32
#include "kernels/reference/trees.inc"
#undef T
#undef TYPE_NAME
#define T double
#define TYPE_NAME f64
#include "kernels/reference/trees.inc"
#undef T
#undef TYPE_NAME

#define TREES(type, type_number)                     \
    static bool supports_##type(const void *params)  \
    {                                                \
        const struct trees_params *p = params;       \
        return p->dtype == (type_number);            \
    }                                                \
    const struct kernel trees_##type##_reference = { \
        .name = "trees_" #type "_reference",         \
        .family = FAMILY_trees,                      \
        .supports = supports_##type,                 \
        .tasks = trees_tasks,                        \
        .run = trees_run_##type,                     \
    };
TREES(f32, DTYPE_F32)
TREES(f64, DTYPE_F64)
