/* What an observer sees of a run. */
#include "runtime/device_run.h"
#include "runtime/runner.h"

#include "graph/op.h"

#include <string.h>

/* Constants, and what the caller gave, say so themselves. */
static bool is_on_device(const struct value *value, struct operand operand)
{
    bool may = operand.space == SPACE_CONSTANT || operand.space == SPACE_INPUT || operand.space == SPACE_OUTPUT;
    return operand.space == SPACE_DEVICE || (may && value_root((struct value *)(uintptr_t)value, NULL)->on_device);
}

/* Of a strided operand only the tensor it is a part of can be shown. */
static infer_tensor describe_operand(struct runner *runner, const struct program *program, struct value *value,
                                     struct operand operand)
{
    size_t offset;
    struct value *root = value->strided ? value_root(value, &offset) : value;
    if (value->strided)
        operand.offset -= offset;
    infer_tensor tensor = runner_tensor(runner, program, root, operand);
    if (DEVICE_BUILT && is_on_device(value, operand))
        tensor.data = NULL;
    return tensor;
}

static infer_step describe(struct runner *runner, const struct program *program, size_t index)
{
    const struct program_step *step = &program->steps[index];
    const struct step *from = step->step;
    for (int i = 0; i < from->input_count + from->output_count; i++) {
        struct value *value = i < from->input_count ? from->inputs[i] : from->outputs[i - from->input_count];
        runner->operand_names[i] = value ? value->name : "";
        runner->operand_tensors[i] =
            value ? describe_operand(runner, program, value, step->operands[i]) : (infer_tensor){0};
    }
    return (infer_step){
        .index = index,
        .kernel = step_kernel_name(from),
        .node = from->node->name,
        .op = from->node->op->name,
        .sources = from->node->sources,
        .source_count = (size_t)from->node->source_count,
        .input_count = (size_t)from->input_count,
        .output_count = (size_t)from->output_count,
        .inputs = runner->operand_tensors,
        .outputs = runner->operand_tensors + from->input_count,
        .output_names = runner->operand_names + from->input_count,
        .tasks = from->kernel ? from->plan->tasks[0] : 1,
        .flops = from->kernel ? kernel_flops(from->family, from->params) : 0,
        .device_nanoseconds = runner->device_nanoseconds,
    };
}

/* Shows a value that lies in another order, if there is memory to put it in C order. */
static void show_in_order(struct runner *runner, const struct value *value, infer_tensor tensor)
{
    struct copy_params params = {.rank = value->rank, .element_bytes = dtype_bits(value->dtype) / 8};
    memcpy(params.dims, value->dims, sizeof params.dims);
    memcpy(params.input_strides, value->strides, (size_t)value->rank * sizeof *value->strides);
    contiguous_strides(value->rank, value->dims, params.output_strides);
    void *ordered = allocate(runner->allocator, tensor.bytes, ALIGNMENT);
    if (!ordered)
        return;
    copy_now(&params, tensor.data, ordered);
    tensor.data = ordered;
    runner->observer->value(runner->observer->user, value->name, &tensor);
    release(runner->allocator, ordered, tensor.bytes);
}

/* Shows the named values that a step has made; index -1: those that were there before the first step. */
static void show_values(struct runner *runner, const struct program *program, int index)
{
    const struct infer_observer *observer = runner->observer;
    if (!observer || !observer->value)
        return;
    for (int i = 0; i < program->shown_count; i++) {
        const struct shown *shown = &program->shown[i];
        if (shown->step != index)
            continue;
        infer_tensor tensor = runner_tensor(runner, program, shown->value, shown->place);
        void *fetched = NULL;
        if (DEVICE_BUILT && is_on_device(shown->value, shown->place)) {
            if (!tensor.data || !(fetched = device_run_fetch(runner, tensor.data, tensor.bytes)))
                continue;
            tensor.data = fetched;
        }
        if (shown->value->strides)
            show_in_order(runner, shown->value, tensor);
        else
            observer->value(observer->user, shown->value->name, &tensor);
        if (DEVICE_BUILT)
            release(runner->allocator, fetched, tensor.bytes);
    }
}

static void show_step(struct runner *runner, const struct program *program, size_t index,
                      void (*observe)(void *user, const infer_step *step))
{
    if (!observe)
        return;
    infer_step view = describe(runner, program, index);
    observe(runner->observer->user, &view);
}

void runner_show_given(struct runner *runner, const struct program *program)
{
    show_values(runner, program, -1);
}

void runner_show_before(struct runner *runner, const struct program *program, size_t index)
{
    if (runner->observer)
        show_step(runner, program, index, runner->observer->before);
}

void runner_show_after(struct runner *runner, const struct program *program, size_t index)
{
    if (!runner->observer)
        return;
    show_step(runner, program, index, runner->observer->after);
    show_values(runner, program, (int)index);
}
