#include "kernels/unique.h"

#include "kernels/reference/numeric_types.h"
#include "kernels/reference/order.h"
#include "kernels/sort.h"
#include "kernels/walk.h"

NUMERIC_SUPPORTS(unique)

/* Four arrays of `count`: the slices in order, room to merge, the group of each slice, and the final number of each
 * group. */
static size_t unique_workspace(const void *params)
{
    const struct unique_params *p = params;
    return (size_t)p->count * 4 * sizeof(int64_t);
}

struct slices {
    const struct unique_params *params;
    const void *elements;
};

/* Order of two slices by their elements in turn. */
static int compare(const void *context, int64_t a, int64_t b)
{
    const struct slices *slices = context;
    const struct unique_params *p = slices->params;
    uint64_t left[ORDER_STRETCH], right[ORDER_STRETCH];
    for (int64_t o = 0; o < p->outer; o++) {
        const int64_t row = o * p->count * p->inner;
        for (int64_t i = 0, n; i < p->inner; i += n) {
            n = least(i ? ORDER_STRETCH : 1, p->inner - i); /* most differ in the first */
            order_keys(p->dtype, slices->elements, row + a * p->inner + i, n, 1, left);
            order_keys(p->dtype, slices->elements, row + b * p->inner + i, n, 1, right);
            for (int64_t j = 0; j < n; j++)
                if (left[j] != right[j])
                    return left[j] < right[j] ? -1 : 1;
        }
    }
    return 0;
}

/* Numbers the groups of equal slices; returns how many there are. */
static int64_t group_slices(const struct slices *slices, const int64_t *order, int64_t *group)
{
    int64_t groups = 0;
    for (int64_t i = 0; i < slices->params->count; i++) {
        if (i > 0 && compare(slices, order[i - 1], order[i]) != 0)
            groups++;
        group[order[i]] = groups;
    }
    return groups + 1;
}

/* Final numbers: as they are (by value), or in order of first occurrence. */
static void number_groups(const struct unique_params *p, const int64_t *group, int64_t *number, int64_t groups)
{
    for (int64_t g = 0; g < groups; g++)
        number[g] = p->sorted ? g : -1;
    for (int64_t i = 0, next = 0; i < p->count && !p->sorted; i++)
        if (number[group[i]] < 0)
            number[group[i]] = next++;
}

static void write_slice(const struct unique_params *p, const struct kernel_call *call, int64_t slice, int64_t number,
                        int64_t groups)
{
    size_t bytes = dtype_bytes(p->dtype, p->inner);
    for (int64_t o = 0; o < p->outer; o++)
        memcpy((char *)call->outputs[0] + (size_t)(o * groups + number) * bytes,
               (const char *)call->inputs[0] + (size_t)(o * p->count + slice) * bytes, bytes);
}

static void unique_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    (void)task;
    const struct unique_params *p = plan->params;
    struct slices slices = {p, call->inputs[0]};
    int64_t *room = call->workspace, *group = room + 2 * p->count, *number = room + 3 * p->count;
    int64_t *firsts = call->outputs[1], *inverse = call->outputs[2], *counts = call->outputs[3];
    int64_t *order = sort_numbers(p->count, room, room + p->count, compare, &slices);
    int64_t groups = group_slices(&slices, order, group);
    number_groups(p, group, number, groups);
    if (counts)
        memset(counts, 0, (size_t)groups * sizeof *counts);
    for (int64_t i = 0; i < p->count; i++) {
        int64_t slice = order[i], own = number[group[slice]];
        bool first = i == 0 || group[slice] != group[order[i - 1]];
        if (first && firsts)
            firsts[own] = slice;
        if (first && call->outputs[0])
            write_slice(p, call, slice, own, groups);
        if (inverse)
            inverse[slice] = own;
        if (counts)
            counts[own]++;
    }
    if (call->output_dims[0])
        call->output_dims[0][p->axis] = groups;
    if (call->output_dims[1])
        call->output_dims[1][0] = groups;
    if (call->output_dims[3])
        call->output_dims[3][0] = groups;
}

const struct kernel unique_reference = {
    .name = "unique_reference",
    .family = FAMILY_unique,
    .supports = numeric_supports,
    .workspace_bytes = unique_workspace,
    .run = unique_run,
};
