#include "kernels/unique.h"

#include "kernels/reference/numeric_types.h"
#include "kernels/sort.h"

#include <string.h>

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

/* Numbers the groups of equal slices; returns how many there are. */
static int64_t group_slices(const struct slices *slices, const int64_t *order, int64_t *group, sort_compare *compare)
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

static void write_slice(const struct unique_params *p, const struct kernel_call *call, size_t element_bytes,
                        int64_t slice, int64_t number, int64_t groups)
{
    size_t bytes = (size_t)p->inner * element_bytes;
    for (int64_t o = 0; o < p->outer; o++)
        memcpy((char *)call->outputs[0] + (size_t)(o * groups + number) * bytes,
               (const char *)call->inputs[0] + (size_t)(o * p->count + slice) * bytes, bytes);
}

static void unique(const struct unique_params *p, const struct kernel_call *call, size_t element_bytes,
                   sort_compare *compare)
{
    struct slices slices = {p, call->inputs[0]};
    int64_t *room = call->workspace, *group = room + 2 * p->count, *number = room + 3 * p->count;
    int64_t *firsts = call->outputs[1], *inverse = call->outputs[2], *counts = call->outputs[3];
    int64_t *order = sort_numbers(p->count, room, room + p->count, compare, &slices);
    int64_t groups = group_slices(&slices, order, group, compare);
    number_groups(p, group, number, groups);
    if (counts)
        memset(counts, 0, (size_t)groups * sizeof *counts);
    for (int64_t i = 0; i < p->count; i++) {
        int64_t slice = order[i], own = number[group[slice]];
        bool first = i == 0 || group[slice] != group[order[i - 1]];
        if (first && firsts)
            firsts[own] = slice;
        if (first && call->outputs[0])
            write_slice(p, call, element_bytes, slice, own, groups);
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

#define BODY "kernels/reference/unique.inc"
#include "kernels/reference/numeric_types.inc"

#define UNIQUE(type, type_number)                                                                    \
    static void run_##type(const struct kernel_plan *plan, const struct kernel_call *call, int task) \
    {                                                                                                \
        (void)task;                                                                                  \
        unique(plan->params, call, dtype_bytes(type_number, 1), compare_##type);                     \
    }                                                                                                \
    static bool supports_##type(const void *params)                                                  \
    {                                                                                                \
        const struct unique_params *p = params;                                                      \
        return p->dtype == (type_number);                                                            \
    }                                                                                                \
    const struct kernel unique_##type##_reference = {                                                \
        .name = "unique_" #type "_reference",                                                        \
        .family = FAMILY_unique,                                                                     \
        .supports = supports_##type,                                                                 \
        .workspace_bytes = unique_workspace,                                                         \
        .run = run_##type,                                                                           \
    };
NUMERIC_TYPES(UNIQUE)
