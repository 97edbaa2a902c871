/* Search by halves. */
#include "kernels/lookup.h"

#include "kernels/reference/numeric_types.h"
#include "kernels/reference/order.h"

NUMERIC_SUPPORTS(lookup)

static int lookup_tasks(const void *params)
{
    const struct lookup_params *p = params;
    return task_count(p->count, 4096);
}

/* Where the last of those keys is that are this element; -1: none is. */
static int64_t find(const struct lookup_params *p, const void *keys, uint64_t element)
{
    uint64_t key;
    int64_t low = 0, high = p->keys; /* the last key that does not stand after the element is before `low` in the end */
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        order_keys(p->dtype, keys, middle, 1, 1, &key);
        if (key > element)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == 0)
        return -1;
    order_keys(p->dtype, keys, low - 1, 1, 1, &key);
    return key == element ? low - 1 : -1;
}

static void lookup_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct lookup_params *p = plan->params;
    const char *values = call->inputs[2];
    size_t bytes = p->value_bytes;
    int64_t first, last;
    task_range(p->count, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        uint64_t element;
        order_keys(p->dtype, call->inputs[0], i, 1, 1, &element);
        const int64_t found = find(p, call->inputs[1], element);
        memcpy((char *)call->outputs[0] + (size_t)i * bytes, values + (size_t)(found >= 0 ? found : p->keys) * bytes,
               bytes);
    }
}

const struct kernel lookup_reference = {
    .name = "lookup_reference",
    .family = FAMILY_lookup,
    .supports = numeric_supports,
    .tasks = lookup_tasks,
    .run = lookup_run,
};
