#include "tools/shapes.h"

#include "runtime/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool shape_list_add(struct shape_list *list, const char *argument)
{
    if (list->count == MOST_SHAPES)
        return false;
    list->arguments[list->count++] = argument;
    return true;
}

static bool is_known(const infer_value *value)
{
    if (value->has_default)
        return true;
    for (int i = 0; i < value->rank; i++)
        if (value->dims[i] < 0)
            return false;
    return value->rank >= 0;
}

bool shapes_known(const infer_model *model)
{
    infer_value value;
    for (size_t i = 0; i < infer_model_input_count(model); i++)
        if (infer_model_input(model, i, &value) != INFER_OK || !is_known(&value))
            return false;
    return true;
}

/* "1x3x224x224", or "" and "scalar" for rank 0. */
static bool parse_shape(const char *text, infer_tensor *tensor)
{
    tensor->rank = 0;
    if (*text == '\0' || strcmp(text, "scalar") == 0)
        return true;
    for (;;) {
        char *end;
        long long size = strtoll(text, &end, 10);
        if (end == text || *text == '-' || *text == '+' || *text == ' ' || size > INT32_MAX || tensor->rank == MAX_RANK)
            return false;
        tensor->dims[tensor->rank++] = size;
        if (*end == '\0')
            return true;
        if (*end != 'x')
            return false;
        text = end + 1;
    }
}

/* What the arguments say. */
struct told {
    const infer_model *model;
    infer_tensor *tensors; /* one an input */
    bool *given;           /* that its shape is told */
    int64_t *sizes;        /* of symbols; 0: not told */
};

static bool find_input_named(const infer_model *model, const char *name, size_t length, size_t *index)
{
    for (*index = 0; *index < infer_model_input_count(model); (*index)++) {
        infer_value value;
        infer_model_input(model, *index, &value);
        if (strlen(value.name) == length && strncmp(value.name, name, length) == 0)
            return true;
    }
    return false;
}

static int find_symbol(const struct graph *graph, const char *name, size_t length)
{
    for (int i = 0; i < graph->symbol_count && length > 0; i++)
        if (strlen(graph->symbols[i]) == length && strncmp(graph->symbols[i], name, length) == 0)
            return i;
    return -1;
}

/* What stands before the last '=' is an input, or a symbol of their shapes. */
static enum status hear(struct told *told, const char *argument, struct error *error)
{
    const char *equals = strrchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : 0, index;
    int symbol = find_symbol(told->model->graph, argument, length);
    infer_tensor parsed = {0};
    if (equals && find_input_named(told->model, argument, length, &index)) {
        if (!parse_shape(equals + 1, &told->tensors[index]))
            return error_set(error, STATUS_INVALID_ARGUMENT,
                             "--shape %s: '%s' is no shape such as 1x3x224x224, of at most %d dimensions", argument,
                             equals + 1, MAX_RANK);
        told->given[index] = true;
        return STATUS_OK;
    }
    if (symbol < 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "--shape %s: the model has no input and no symbol '%.*s'",
                         argument, (int)length, argument);
    if (!parse_shape(equals + 1, &parsed) || parsed.rank != 1 || parsed.dims[0] == 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "--shape %s: '%s' is no size such as 3", argument, equals + 1);
    told->sizes[symbol] = parsed.dims[0];
    return STATUS_OK;
}

/* The shape that the model declares, with what symbols were told to be. */
static enum status declare(const struct told *told, size_t index, struct error *error)
{
    const struct value *input = told->model->graph->inputs[index];
    infer_tensor *tensor = &told->tensors[index];
    bool known = input->rank >= 0;
    tensor->rank = input->rank;
    for (int i = 0; i < input->rank; i++) {
        tensor->dims[i] = input->dims[i] >= 0 ? input->dims[i] : told->sizes[-1 - input->dims[i]];
        known = known && (input->dims[i] >= 0 || tensor->dims[i] > 0);
    }
    char text[320];
    return known ? STATUS_OK
                 : error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' is %s: name its size with --shape %s=...",
                             input->name, value_shape_text(told->model->graph, input, text, sizeof text), input->name);
}

static enum status fill(struct told *told, const struct shape_list *list, struct error *error)
{
    for (int i = 0; i < list->count; i++)
        if (hear(told, list->arguments[i], error) != STATUS_OK)
            return error->status;
    for (size_t i = 0; i < infer_model_input_count(told->model); i++) {
        const struct value *otherwise = input_default(told->model->graph, i);
        if (!told->given[i] && otherwise) {
            told->tensors[i] = constant_tensor(otherwise);
            told->tensors[i].data = NULL;
        } else if (!told->given[i] && declare(told, i, error) != STATUS_OK)
            return error->status;
        told->tensors[i].dtype = (infer_dtype)told->model->graph->inputs[i]->dtype;
    }
    return STATUS_OK;
}

enum status shaped_inputs(const infer_model *model, const struct shape_list *list, infer_tensor **tensors,
                          struct error *error)
{
    size_t count = infer_model_input_count(model);
    struct told told = {
        .model = model,
        .tensors = calloc(count + 1, sizeof *told.tensors),
        .given = calloc(count + 1, sizeof *told.given),
        .sizes = calloc((size_t)model->graph->symbol_count + 1, sizeof *told.sizes),
    };
    enum status status = STATUS_OUT_OF_MEMORY;
    if (told.tensors && told.given && told.sizes)
        status = fill(&told, list, error);
    else
        error_set(error, status, "out of memory for %zu inputs", count);
    free(told.given);
    free(told.sizes);
    *tensors = told.tensors;
    if (status == STATUS_OK)
        return STATUS_OK;
    free(*tensors);
    *tensors = NULL;
    return status;
}
