#include "kernels/scatter.h"

#include "kernels/reference/numeric_types.h"

#include <string.h>

/* Updates may name a place twice and must then follow their order, so the whole is one task. */

static void copy_data(const struct scatter_params *p, const struct kernel_call *call)
{
    if (call->outputs[0] != call->inputs[0])
        memcpy(call->outputs[0], call->inputs[0], (size_t)p->data_elements * p->at.element_bytes);
}

/* A run of updates under one index, contiguous on both sides, is one memcpy. */
static int64_t run_length(const struct gather_params *at)
{
    int last = at->rank - 1;
    bool together = at->index_strides[last] == 0 && at->data_strides[last] == 1 && at->block_strides[last] == 1;
    return together ? at->dims[last] : 1;
}

static void set_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    (void)task;
    const struct scatter_params *p = plan->params;
    const struct gather_params *at = &p->at;
    int last = at->rank - 1;
    int64_t run = run_length(at), bytes = at->element_bytes;
    copy_data(p, call);
    for (int64_t row = 0; row < gather_rows(at); row++) {
        struct gather_row start = gather_row_at(at, row);
        for (int64_t i = 0; i < at->dims[last]; i += run) {
            int64_t offset;
            if (!gather_resolve(at, call, call->inputs[1], start.index + i * at->index_strides[last], &offset))
                return;
            offset += start.data + i * at->data_strides[last];
            memcpy((char *)call->outputs[0] + offset * bytes,
                   (const char *)call->inputs[2] + (start.block + i * at->block_strides[last]) * bytes,
                   (size_t)(run * bytes));
        }
    }
}

static bool set_supports(const void *params)
{
    const struct scatter_params *p = params;
    return p->reduction == SCATTER_SET;
}

const struct kernel scatter_set_reference = {
    .name = "scatter_set_reference",
    .family = FAMILY_scatter,
    .supports = set_supports,
    .run = set_run,
};

#define BODY "kernels/reference/scatter.inc"
#include "kernels/reference/numeric_types.inc"

NUMERIC_RUN(scatter)

static bool reduce_supports(const void *params)
{
    const struct scatter_params *p = params;
    return p->reduction != SCATTER_SET && is_numeric_type(p->dtype);
}

const struct kernel scatter_reduce_reference = {
    .name = "scatter_reduce_reference",
    .family = FAMILY_scatter,
    .supports = reduce_supports,
    .run = numeric_run,
};
