/* What the caller hands over: inputs are checked and taken, outputs get memory. */
#include "runtime/runner.h"

#include "graph/op.h"
#include "runtime/device_run.h"

#include <string.h>

static enum status check_dims(const struct graph *graph, const struct value *value, const infer_tensor *tensor,
                              struct error *error)
{
    char want[160], have[160];
    bool fits = tensor->rank >= 0 && tensor->rank <= MAX_RANK && (value->rank < 0 || tensor->rank == value->rank);
    for (int i = 0; fits && i < tensor->rank; i++)
        fits = tensor->dims[i] >= 0 && (value->rank < 0 || value->dims[i] < 0 || value->dims[i] == tensor->dims[i]);
    if (fits)
        return STATUS_OK;
    if (tensor->rank < 0 || tensor->rank > MAX_RANK)
        return error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' has rank %d; it can be 0 to %d", value->name,
                         tensor->rank, MAX_RANK);
    return error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' is %s; the model takes %s", value->name,
                     shape_text(NULL, tensor->rank, tensor->dims, have, sizeof have),
                     value_shape_text(graph, value, want, sizeof want));
}

/* Whether it may lie where it is said to lie; with_data: whether it does. */
static enum status check_side(const struct runner *runner, const char *what, const char *name,
                              const infer_tensor *tensor, bool with_data, struct error *error)
{
    if (tensor->device != INFER_DEVICE_CPU && tensor->device != INFER_DEVICE_CUDA)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s '%s' lies on device number %d, which does not exist", what,
                         name, (int)tensor->device);
    if (DEVICE_BUILT && runner->device)
        return with_data && tensor->data ? device_run_check_tensor(runner, what, name, tensor, error) : STATUS_OK;
    if (tensor->device == INFER_DEVICE_CPU)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s '%s' lies on a GPU; the session runs on the CPU alone", what,
                     name);
}

/* Kernels read and write whole elements. */
static enum status check_alignment(const char *what, const char *name, const infer_tensor *tensor, size_t bytes,
                                   struct error *error)
{
    size_t element = infer_dtype_bits(tensor->dtype) / 8;
    if (bytes == 0 || element < 2 || (uintptr_t)tensor->data % element == 0)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "%s '%s' lies at %p, which is no multiple of %zu, the bytes of its elements", what, name,
                     tensor->data, element);
}

static enum status check_input(const struct runner *runner, const struct value *value, const infer_tensor *tensor,
                               bool with_data, struct error *error)
{
    const struct graph *graph = runner->graph;
    if (tensor->dtype == INFER_NONE)
        return error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' is not given, and has no default", value->name);
    if (value->dtype != DTYPE_NONE && (enum dtype)tensor->dtype != value->dtype)
        return error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' is %s; the model takes %s", value->name,
                         dtype_name((enum dtype)tensor->dtype), dtype_name(value->dtype));
    TRY(check_dims(graph, value, tensor, error));
    size_t bytes = infer_tensor_bytes(tensor->dtype, tensor->rank, tensor->dims);
    if (bytes == SIZE_MAX)
        return error_set(error, STATUS_INVALID_ARGUMENT, "input '%s': its type and dimensions do not make a tensor",
                         value->name);
    if (with_data && (tensor->bytes < bytes || (!tensor->data && bytes > 0)))
        return error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' has %zu bytes; its shape needs %zu", value->name,
                         tensor->data ? tensor->bytes : 0, bytes);
    TRY(check_side(runner, "input", value->name, tensor, with_data && bytes > 0, error));
    return with_data ? check_alignment("input", value->name, tensor, bytes, error) : STATUS_OK;
}

/* A symbol stands for one number in a whole run. */
static enum status check_symbol(const struct runner *runner, int input, int axis, struct error *error)
{
    const struct graph *graph = runner->graph;
    struct symbol_place *first = &runner->symbols[-1 - graph->inputs[input]->dims[axis]];
    if (first->input == 0) {
        *first = (struct symbol_place){.input = input + 1, .axis = axis};
        return STATUS_OK;
    }
    int64_t before = runner->inputs[first->input - 1].dims[first->axis], now = runner->inputs[input].dims[axis];
    if (before == now)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT, "dimension %s is %lld in input '%s' and %lld in input '%s'",
                     graph_symbol_name(graph, graph->inputs[input]->dims[axis]), (long long)before,
                     graph->inputs[first->input - 1]->name, (long long)now, graph->inputs[input]->name);
}

static enum status check_symbols(const struct runner *runner, struct error *error)
{
    const struct graph *graph = runner->graph;
    for (int i = 0; i < graph->symbol_count; i++)
        runner->symbols[i] = (struct symbol_place){0};
    for (int i = 0; i < graph->input_count; i++)
        for (int axis = 0; axis < graph->inputs[i]->rank; axis++)
            if (graph->inputs[i]->dims[axis] < 0)
                TRY(check_symbol(runner, i, axis, error));
    return STATUS_OK;
}

enum status runner_bind_inputs(struct runner *runner, const infer_tensor *inputs, size_t count, bool with_data,
                               struct error *error)
{
    const struct graph *graph = runner->graph;
    if (count != (size_t)graph->input_count)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%zu inputs are given; the model takes %d", count,
                         graph->input_count);
    for (size_t i = 0; i < count; i++) {
        const struct value *otherwise = inputs[i].dtype == INFER_NONE ? input_default(graph, i) : NULL;
        infer_tensor *input = &runner->inputs[i];
        *input = otherwise ? constant_tensor(otherwise) : inputs[i];
        TRY(check_input(runner, graph->inputs[i], input, with_data || input->data, error));
        bool empty = infer_tensor_bytes(input->dtype, input->rank, input->dims) == 0;
        if (empty && !input->data) /* an empty tensor: kernels may count from its address, so it has one */
            runner->inputs[i].data = &runner->inputs[i];
    }
    return check_symbols(runner, error);
}

/* Memory of the context for an output that the caller gives none for. */
static struct slot *result_of(struct runner *runner, int index)
{
    return DEVICE_BUILT && runner->outputs[index].device != INFER_DEVICE_CPU ? device_run_result(runner, index)
                                                                             : &runner->results[index];
}

/* Steps write the output while others may still read the input. The memory of a result counts as well: a caller may
 * hand in what the last run left there. */
static enum status check_overlap(struct runner *runner, const struct output_binding *binding, size_t bytes,
                                 struct error *error)
{
    const infer_tensor *output = &runner->outputs[binding->index];
    const struct slot *result = result_of(runner, binding->index);
    uintptr_t start = (uintptr_t)(output->data ? output->data : result->data);
    uintptr_t end = start + (output->data ? bytes : result->capacity);
    for (int i = 0; i < runner->graph->input_count; i++) {
        const infer_tensor *input = &runner->inputs[i];
        uintptr_t from = (uintptr_t)input->data;
        size_t count = infer_tensor_bytes(input->dtype, input->rank, input->dims);
        if (count && from < end && start < from + count)
            return error_set(error, STATUS_INVALID_ARGUMENT, "output '%s' and input '%s' lie in the same memory",
                             binding->value->name, runner->graph->inputs[i]->name);
    }
    return STATUS_OK;
}

bool runner_leaves_out(const infer_tensor *output)
{
    return !output->data && output->capacity == INFER_LEFT_OUT;
}

infer_tensor runner_taken_output(const infer_tensor *given)
{
    infer_tensor output = *given;
    if (runner_leaves_out(given))
        return (infer_tensor){0};
    if (given->data == given->lent && given->capacity == 0)
        output.data = NULL;
    output.lent = NULL;
    if (output.data && output.capacity == 0)
        output.capacity = output.bytes;
    return output;
}

/* Against the outputs that have been bound: those of which a type is known. The result of another one may be what the
 * caller hands in, too. */
static enum status check_others(const struct runner *runner, const struct output_binding *binding, struct error *error)
{
    const infer_tensor *output = &runner->outputs[binding->index];
    uintptr_t start = (uintptr_t)output->data, end = start + output->bytes;
    for (int i = 0; i < runner->graph->output_count; i++) {
        const infer_tensor *other = &runner->outputs[i];
        uintptr_t from = (uintptr_t)other->data;
        if (output->bytes && i != binding->index && other->dtype != INFER_NONE && from < end &&
            start < from + other->bytes)
            return error_set(error, STATUS_INVALID_ARGUMENT, "output '%s' and output '%s' lie in the same memory",
                             binding->value->name, runner->graph->outputs[i]->name);
    }
    return STATUS_OK;
}

/* As the arena: it grows at once to what the session's programs need, or to what this one does where there is no room
 * for that, and the old one is gone before. */
static enum status reserve_result(struct runner *runner, struct slot *result, size_t bytes, int index,
                                  struct error *error)
{
    if (DEVICE_BUILT && runner->outputs[index].device != INFER_DEVICE_CPU)
        return device_run_reserve_result(runner, index, bytes, error);
    if (bytes > result->capacity) {
        slot_free(runner->allocator, result);
        if (runner_is_outermost(runner) &&
            slot_reserve(runner, result, session_result_bytes(runner->session, index, false), NULL) == STATUS_OK)
            return STATUS_OK;
    }
    return slot_reserve(runner, result, bytes, error);
}

enum status runner_bind_output(struct runner *runner, const struct output_binding *binding, struct error *error)
{
    infer_tensor *output = &runner->outputs[binding->index];
    const struct value *value = binding->value;
    size_t bytes = value_bytes(value);
    bool is_given = output->data && output->data != output->lent; /* a parent may have bound it before */
    TRY(check_side(runner, "output", value->name, output, is_given && bytes > 0, error));
    TRY(check_overlap(runner, binding, bytes, error));
    output->dtype = (infer_dtype)value->dtype;
    output->rank = value->rank;
    memcpy(output->dims, value->dims, sizeof output->dims);
    if (is_given) {
        if (output->capacity < bytes)
            return error_set(error, STATUS_INVALID_ARGUMENT, "output '%s' needs %zu bytes; %zu are given", value->name,
                             bytes, output->capacity);
        output->bytes = bytes;
        TRY(check_alignment("output", value->name, output, bytes, error));
        return check_others(runner, binding, error);
    }
    struct slot *result = result_of(runner, binding->index);
    if (reserve_result(runner, result, bytes, binding->index, error) != STATUS_OK)
        return error_prefix(error, "output '%s'", value->name);
    output->data = result->data;
    output->lent = result->data;
    output->bytes = bytes;
    return check_others(runner, binding, error);
}
