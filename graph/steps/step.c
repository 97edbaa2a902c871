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

#define EPILOGUE_OF(name)                            \
    case FAMILY_##name: {                            \
        struct name##_params *params = step->params; \
        *epilogue = name##_epilogue(params);         \
        return &params->epilogue;                    \
    }

const struct pointwise_params **step_epilogue(const struct step *step, struct epilogue *epilogue)
{
    switch (step->family) {
        EPILOGUE_OF(conv)
        EPILOGUE_OF(matmul)
        EPILOGUE_OF(pool)
        EPILOGUE_OF(reduce)
        EPILOGUE_OF(normalize)
    default:
        return NULL;
    }
}

struct step *step_copy(const struct step *step, struct region *region)
{
    struct step *copy = region_allocate(region, sizeof *copy);
    struct value **inputs = region_array(region, (size_t)step->input_count, sizeof *inputs);
    struct value **outputs = region_array(region, (size_t)step->output_count, sizeof *outputs);
    if (!copy || !inputs || !outputs)
        return NULL;
    *copy = *step;
    copy->inputs = memcpy(inputs, step->inputs, (size_t)step->input_count * sizeof *inputs);
    copy->outputs = memcpy(outputs, step->outputs, (size_t)step->output_count * sizeof *outputs);
    copy->kernel = NULL;
    copy->plan = NULL;
    if (step->control)
        return copy;
    void *params = region_allocate(region, step->params_bytes);
    if (!params)
        return NULL;
    copy->params = memcpy(params, step->params, step->params_bytes);
    struct epilogue space;
    const struct pointwise_params **epilogue = step_epilogue(copy, &space);
    if (epilogue && *epilogue) {
        *epilogue = copy_bytes(region, *epilogue, pointwise_bytes(*epilogue));
        if (!*epilogue)
            return NULL;
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

const char *step_kernel_name(const struct step *step)
{
    return step->kernel ? step->kernel->name : "control";
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
    struct epilogue epilogue = {.program = step->params};
    bool has_program =
        is_family(step, FAMILY_pointwise) || (!step->control && step_epilogue(step, &epilogue) && epilogue.program);
    int first = is_family(step, FAMILY_pointwise) ? 0 : 1; /* input 0 of an epilogue is no operand of the step */
    for (int i = first; has_program && i < epilogue.program->input_count && epilogue.program->output_count == 1; i++)
        if (lies_as_output(epilogue.program, i))
            step->in_place |= 1u << (epilogue.own_inputs + i - first);
}

void step_finish(struct step *step)
{
    if (is_family(step, FAMILY_pointwise))
        pointwise_merge_axes(step->params);
    if (is_family(step, FAMILY_copy))
        copy_merge_axes(step->params);
}

struct node *node_for_copy(struct region *region, const struct value *value)
{
    struct node *node = region_allocate(region, sizeof *node);
    const char **sources = region_array(region, 1, sizeof *sources);
    if (!node || !sources)
        return NULL;
    sources[0] = value->name;
    *node = (struct node){.op = op_find("", "Identity"),
                          .version = NEWEST_OPSET,
                          .name = value->name,
                          .sources = sources,
                          .source_count = 1};
    return node;
}
