#include "kernels/nonzero.h"

#include <string.h>

static bool is_set(const struct nonzero_params *p, const char *elements, int64_t i)
{
    uint64_t bits = 0;
    memcpy(&bits, elements + i * p->element_bytes, p->element_bytes);
    return (bits & p->mask) != 0;
}

static void nonzero_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    (void)task;
    const struct nonzero_params *p = plan->params;
    const char *elements = call->inputs[0];
    int64_t *output = call->outputs[0], total = 1, found = 0, next = 0;
    for (int i = 0; i < p->rank; i++)
        total *= p->dims[i];
    for (int64_t i = 0; i < total; i++)
        found += is_set(p, elements, i);
    call->output_dims[0][0] = p->rank;
    call->output_dims[0][1] = found;
    for (int64_t i = 0; next < found; i++) {
        if (!is_set(p, elements, i))
            continue;
        int64_t rest = i;
        for (int axis = p->rank - 1; axis >= 0; axis--) {
            output[axis * found + next] = rest % p->dims[axis];
            rest /= p->dims[axis];
        }
        next++;
    }
}

const struct kernel nonzero_reference = {
    .name = "nonzero_reference",
    .family = FAMILY_nonzero,
    .run = nonzero_run,
};
