#include "kernels/cumulative.h"

#include "kernels/reference/numeric_types.h"

static int cumulative_tasks(const void *params)
{
    const struct cumulative_params *p = params;
    return task_count(p->outer * p->inner, 1 + 16384 / (1 + p->count));
}

#define BODY "kernels/reference/cumulative.inc"
#include "kernels/reference/numeric_types.inc"

NUMERIC_SUPPORTS(cumulative)
NUMERIC_RUN(cumulative)

const struct kernel cumulative_reference = {
    .name = "cumulative_reference",
    .family = FAMILY_cumulative,
    .supports = numeric_supports,
    .tasks = cumulative_tasks,
    .run = numeric_run,
};
