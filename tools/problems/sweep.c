#include "tools/problems/sweep.h"

#include <stdarg.h>
#include <stdio.h>

static const struct sweep_group *const groups[] = {
    &sweep_conv,      &sweep_conv_pointwise, &sweep_conv_depthwise, &sweep_product,  &sweep_product_row,
    &sweep_attention, &sweep_recurrent,      &sweep_pool,           &sweep_resample, &sweep_softmax,
    &sweep_normalize, &sweep_reduce,         &sweep_pointwise,      &sweep_copy,     &sweep_gather,
};

const struct sweep_group *sweep_group_at(size_t index)
{
    return index < sizeof groups / sizeof groups[0] ? groups[index] : NULL;
}

const char *sweep_make(const struct sweep_group *group, size_t index, const struct kernel_facts *facts,
                       struct region *region, struct problem *problem)
{
    struct maker maker = {.random = random_for(0, index), .region = region, .problem = problem};
    *problem = (struct problem){.input_count = 0};
    return group->make(&maker, facts, index);
}

void sweep_name(struct maker *maker, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(maker->problem->name, sizeof maker->problem->name, format, arguments);
    va_end(arguments);
}
