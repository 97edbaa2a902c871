/* The kernel of a step: chosen once, when passes have settled its parameters. */
#include "graph/steps/step.h"

uint32_t step_constant_inputs(const struct step *step)
{
    uint32_t constant = 0;
    for (int i = 0; i < step->input_count && i < 32; i++)
        if (step->inputs[i] && value_root(step->inputs[i], NULL)->data)
            constant |= UINT32_C(1) << i;
    return constant;
}

enum status select_kernel(struct step *step, const struct kernel_facts *facts, uint32_t constant_inputs,
                          struct region *region, struct error *error)
{
    if (step->control)
        return STATUS_OK;
    struct kernel_facts known = *facts;
    known.constant_inputs = constant_inputs;
    step->kernel = kernel_select(step->family, step->params, &known);
    if (!step->kernel)
        return error_set(error, STATUS_UNSUPPORTED, "node '%s' (%s): no %s kernel handles this problem",
                         step->node->name, step->node->op->name, kernel_family_name(step->family));
    struct kernel_plan *plan = region_allocate(region, sizeof *plan);
    if (!plan || !kernel_make_plan(step->kernel, step->params, &known, region, plan))
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while planning node '%s' (%s)", step->node->name,
                         step->node->op->name);
    step->plan = plan;
    return STATUS_OK;
}
