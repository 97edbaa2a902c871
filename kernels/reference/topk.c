#include "kernels/topk.h"

#include "kernels/reference/numeric_types.h"

static int topk_tasks(const void *params)
{
    const struct topk_params *p = params;
    return task_count(p->outer * p->inner, 1 + 16384 / (1 + p->count));
}

static size_t topk_workspace(const void *params)
{
    const struct topk_params *p = params;
    return (size_t)p->k * sizeof(int64_t);
}

#define BODY "kernels/reference/topk.inc"
#include "kernels/reference/numeric_types.inc"

#define TOPK(type, type_number)                     \
    static bool supports_##type(const void *params) \
    {                                               \
        const struct topk_params *p = params;       \
        return p->dtype == (type_number);           \
    }                                               \
    const struct kernel topk_##type##_reference = { \
        .name = "topk_" #type "_reference",         \
        .family = FAMILY_topk,                      \
        .supports = supports_##type,                \
        .workspace_bytes = topk_workspace,          \
        .tasks = topk_tasks,                        \
        .run = topk_run_##type,                     \
    };
NUMERIC_TYPES(TOPK)
