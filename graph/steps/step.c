#include "graph/steps/step.h"

#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/matmul.h"
#include "kernels/normalize.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"

#include <string.h>

static void *copy_bytes(struct region *region, const void *bytes, size_t size)
{
    void *copy = region_allocate(region, size ? size : 1);
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

static enum status take(struct receiver *receiver, const struct emission *emission, struct error *error)
{
    struct step_list *list = (struct step_list *)receiver; /* its first field */
    struct region *region = list->region;
    struct step step = {
        .family = emission->family,
        .control = emission->control,
        .params = copy_bytes(region, emission->params, emission->params_bytes),
        .params_bytes = emission->params_bytes,
        .inputs = copy_bytes(region, emission->inputs, (size_t)emission->input_count * sizeof *emission->inputs),
        .input_count = emission->input_count,
        .outputs = copy_bytes(region, emission->outputs, (size_t)emission->output_count * sizeof *emission->outputs),
        .output_count = emission->output_count,
        .node = emission->node,
        .in_place = emission->in_place,
    };
    if (step.params && step.inputs && step.outputs) {
        step_mark_in_place(&step);
        if (step_list_append(list, &step))
            return STATUS_OK;
    }
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while lowering node '%s' (%s)", step.node->name,
                     step.node->op->name);
}

struct step_list step_list_in(struct region *region)
{
    return (struct step_list){.receiver = {take}, .region = region};
}

struct step *step_list_append(struct step_list *list, const struct step *step)
{
    if (list->count == list->capacity) {
        int larger = list->capacity ? list->capacity * 2 : 64;
        struct step **steps = region_array(list->region, (size_t)larger, sizeof *steps);
        if (!steps)
            return NULL;
        if (list->count)
            memcpy(steps, list->steps, (size_t)list->count * sizeof *steps);
        list->steps = steps;
        list->capacity = larger;
    }
    struct step *copy = region_allocate(list->region, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *step;
    list->steps[list->count++] = copy;
    return copy;
}

const struct pointwise_params **step_epilogue(const struct step *step, int *own_inputs)
{
    switch (step->family) {
    case FAMILY_conv:
        *own_inputs = CONV_INPUTS;
        return &((struct conv_params *)step->params)->epilogue;
    case FAMILY_matmul:
        *own_inputs = MATMUL_INPUTS;
        return &((struct matmul_params *)step->params)->epilogue;
    case FAMILY_pool:
        *own_inputs = POOL_INPUTS;
        return &((struct pool_params *)step->params)->epilogue;
    case FAMILY_reduce:
        *own_inputs = REDUCE_INPUTS;
        return &((struct reduce_params *)step->params)->epilogue;
    case FAMILY_normalize:
        *own_inputs = NORMALIZE_INPUTS;
        return &((struct normalize_params *)step->params)->epilogue;
    default:
        return NULL;
    }
}

struct step *step_copy(const struct step *step, struct region *region)
{
    struct step *copy = region_allocate(region, sizeof *copy);
    struct value **inputs = region_array(region, (size_t)step->input_count + 1, sizeof *inputs);
    struct value **outputs = region_array(region, (size_t)step->output_count + 1, sizeof *outputs);
    if (!copy || !inputs || !outputs)
        return NULL;
    *copy = *step;
    copy->inputs = memcpy(inputs, step->inputs, (size_t)step->input_count * sizeof *inputs);
    copy->outputs = memcpy(outputs, step->outputs, (size_t)step->output_count * sizeof *outputs);
    copy->kernel = NULL;
    copy->plan = (struct kernel_plan){0};
    if (step->control)
        return copy;
    void *params = region_allocate(region, step->params_bytes + 1);
    if (!params)
        return NULL;
    copy->params = memcpy(params, step->params, step->params_bytes);
    int own;
    const struct pointwise_params **epilogue = step_epilogue(copy, &own);
    if (epilogue && *epilogue) {
        struct pointwise_params *program = region_allocate(region, sizeof *program);
        if (!program)
            return NULL;
        *program = **epilogue;
        *epilogue = program;
    }
    return copy;
}

/* Same bytes an element, walked alike. Storing an element of less than a byte also clears those that follow it there,
 * which are perhaps not read yet. */
static bool lies_as_output(const struct pointwise_params *program, int i)
{
    const struct pointwise_operand *in = &program->operands[i], *out = &program->operands[program->input_count];
    unsigned bits = dtype_bits((enum dtype)out->dtype);
    if (bits < 8 || dtype_bits((enum dtype)in->dtype) != bits)
        return false;
    for (int k = 0; k < program->rank; k++)
        if (program->dims[k] != 1 && in->strides[k] != out->strides[k])
            return false;
    return true;
}

/* The program of a step; input *first of it is input *step_input of the step, and so on. NULL: it has none. */
static struct pointwise_params *program_of(struct step *step, int *first, int *step_input)
{
    *first = *step_input = 0;
    if (step->family == FAMILY_pointwise)
        return step->params;
    const struct pointwise_params **epilogue = step_epilogue(step, step_input);
    *first = 1;
    /* An epilogue is of the region, and its step's alone. */
    return epilogue ? (struct pointwise_params *)(uintptr_t)*epilogue : NULL;
}

size_t step_bytes_written(const struct step *step, int output)
{
    const struct value *value = step->outputs[output];
    int64_t elements = 1;
    if (!is_family(step, FAMILY_copy)) {
        for (int i = 0; i < value->rank; i++)
            elements *= value->dims[i];
        return dtype_bytes(value->dtype, elements);
    }
    const struct copy_params *copy = step->params;
    for (int i = 0; i < copy->rank; i++)
        elements *= copy->dims[i];
    return (size_t)elements * copy->element_bytes;
}

void step_mark_in_place(struct step *step)
{
    int first = 0, step_input = 0;
    const struct pointwise_params *program = !step->control ? program_of(step, &first, &step_input) : NULL;
    for (int i = first; program && i < program->input_count && program->output_count == 1; i++)
        if (lies_as_output(program, i))
            step->in_place |= 1u << (step_input + i - first);
}

void step_finish(struct step *step)
{
    int first = 0, step_input = 0;
    struct pointwise_params *program = !step->control ? program_of(step, &first, &step_input) : NULL;
    if (program)
        pointwise_merge_axes(program);
    if (is_family(step, FAMILY_copy))
        copy_merge_axes(step->params);
}
