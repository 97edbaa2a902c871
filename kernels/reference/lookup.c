#include "kernels/lookup.h"

#include "kernels/reference/numeric_types.h"

#include <string.h>

static int lookup_tasks(const void *params)
{
    const struct lookup_params *p = params;
    return task_count(p->count, 4096);
}

#define BODY "kernels/reference/lookup.inc"
#include "kernels/reference/numeric_types.inc"

#define LOOKUP(type, type_number)                     \
    static bool supports_##type(const void *params)   \
    {                                                 \
        const struct lookup_params *p = params;       \
        return p->dtype == (type_number);             \
    }                                                 \
    const struct kernel lookup_##type##_reference = { \
        .name = "lookup_" #type "_reference",         \
        .family = FAMILY_lookup,                      \
        .supports = supports_##type,                  \
        .tasks = lookup_tasks,                        \
        .run = lookup_run_##type,                     \
    };
NUMERIC_TYPES(LOOKUP)
