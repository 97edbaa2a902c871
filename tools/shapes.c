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

/* The input whose name stands before the last '='. */
static enum status find_named(const infer_model *model, const char *argument, size_t *index, const char **shape,
                              struct error *error)
{
    const char *equals = strrchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : 0;
    for (size_t i = 0; equals && i < infer_model_input_count(model); i++) {
        infer_value value;
        infer_model_input(model, i, &value);
        if (strlen(value.name) == length && strncmp(value.name, argument, length) == 0) {
            *index = i;
            *shape = equals + 1;
            return STATUS_OK;
        }
    }
    return error_set(error, STATUS_INVALID_ARGUMENT, "--shape %s: the model has no input '%.*s'", argument, (int)length,
                     argument);
}

static enum status fill(const infer_model *model, const struct shape_list *list, infer_tensor *tensors, bool *given,
                        struct error *error)
{
    for (int i = 0; i < list->count; i++) {
        size_t index = 0;
        const char *shape = "";
        enum status status = find_named(model, list->arguments[i], &index, &shape, error);
        if (status != STATUS_OK)
            return status;
        if (!parse_shape(shape, &tensors[index]))
            return error_set(error, STATUS_INVALID_ARGUMENT,
                             "--shape %s: '%s' is no shape such as 1x3x224x224, of at most %d dimensions",
                             list->arguments[i], shape, MAX_RANK);
        given[index] = true;
    }
    for (size_t i = 0; i < infer_model_input_count(model); i++) {
        infer_value value;
        char text[320];
        infer_model_input(model, i, &value);
        tensors[i].dtype = value.dtype;
        const struct value *otherwise = input_default(model->graph, i);
        if (given[i])
            continue;
        if (otherwise) {
            tensors[i] = constant_tensor(otherwise);
            tensors[i].data = NULL;
            continue;
        }
        if (!is_known(&value))
            return error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' is %s: name its size with --shape %s=...",
                             value.name, value_shape_text(model->graph, model->graph->inputs[i], text, sizeof text),
                             value.name);
        tensors[i].rank = value.rank;
        memcpy(tensors[i].dims, value.dims, sizeof tensors[i].dims);
    }
    return STATUS_OK;
}

enum status shaped_inputs(const infer_model *model, const struct shape_list *list, infer_tensor **tensors,
                          struct error *error)
{
    size_t count = infer_model_input_count(model);
    bool *given = calloc(count + 1, sizeof *given);
    *tensors = calloc(count + 1, sizeof **tensors);
    enum status status = STATUS_OUT_OF_MEMORY;
    if (given && *tensors)
        status = fill(model, list, *tensors, given, error);
    else
        error_set(error, status, "out of memory for %zu inputs", count);
    free(given);
    if (status == STATUS_OK)
        return STATUS_OK;
    free(*tensors);
    *tensors = NULL;
    return status;
}
