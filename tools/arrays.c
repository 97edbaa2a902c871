#include "tools/arrays.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The input that an argument names, and where its file name begins; an argument without a name takes the next input
 * not given yet. A path that holds '=' is fine unless what stands before it is an input's name. */
static enum status find_input(const infer_model *model, const struct input_set *inputs, const char *argument,
                              size_t *index, const char **file, struct error *error)
{
    const char *equals = strchr(argument, '=');
    infer_value value;
    for (; equals; equals = strchr(equals + 1, '=')) {
        for (*index = 0; *index < inputs->count; (*index)++) {
            infer_model_input(model, *index, &value);
            if (strlen(value.name) != (size_t)(equals - argument) ||
                strncmp(value.name, argument, (size_t)(equals - argument)) != 0)
                continue;
            *file = equals + 1;
            if (inputs->arrays[*index].data)
                return error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' is given twice", value.name);
            return STATUS_OK;
        }
    }
    *file = argument;
    for (*index = 0; *index < inputs->count && inputs->arrays[*index].data;)
        (*index)++;
    if (*index == inputs->count)
        return error_set(error, STATUS_INVALID_ARGUMENT, "'%s' is one input too many; the model takes %zu", argument,
                         inputs->count);
    return STATUS_OK;
}

static enum status read_input(const infer_model *model, size_t index, const char *file, struct input_set *inputs,
                              struct error *error)
{
    infer_value value;
    infer_model_input(model, index, &value);
    struct npy_array *array = &inputs->arrays[index];
    enum status status = npy_read(array, file, &default_allocator, error);
    if (status == STATUS_OK && (array->dtype == DTYPE_NONE || dtype_bits((enum dtype)value.dtype) < 8))
        status = npy_reinterpret(array, file, (enum dtype)value.dtype, error);
    if (status != STATUS_OK)
        return status;
    infer_tensor *tensor = &inputs->tensors[index];
    *tensor = (infer_tensor){
        .data = array->data, .bytes = array->bytes, .dtype = (infer_dtype)array->dtype, .rank = array->rank};
    memcpy(tensor->dims, array->dims, sizeof tensor->dims);
    return STATUS_OK;
}

enum status read_inputs(const infer_model *model, int count, char **arguments, struct input_set *inputs,
                        struct error *error)
{
    inputs->count = infer_model_input_count(model);
    inputs->arrays = calloc(inputs->count + 1, sizeof *inputs->arrays);
    inputs->tensors = calloc(inputs->count + 1, sizeof *inputs->tensors);
    if (!inputs->arrays || !inputs->tensors)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for %zu inputs", inputs->count);
    for (int i = 0; i < count; i++) {
        size_t index;
        const char *file;
        enum status status = find_input(model, inputs, arguments[i], &index, &file, error);
        if (status == STATUS_OK)
            status = read_input(model, index, file, inputs, error);
        if (status != STATUS_OK)
            return status;
    }
    for (size_t i = 0; i < inputs->count; i++) {
        infer_value value;
        infer_model_input(model, i, &value);
        if (!inputs->arrays[i].data)
            return error_set(error, STATUS_INVALID_ARGUMENT, "no file is given for input %zu '%s'", i, value.name);
    }
    return STATUS_OK;
}

void free_inputs(struct input_set *inputs)
{
    for (size_t i = 0; inputs->arrays && i < inputs->count; i++)
        npy_free(&inputs->arrays[i]);
    free(inputs->arrays);
    free(inputs->tensors);
    *inputs = (struct input_set){0};
}

enum status make_directory(const char *path, struct error *error)
{
    struct stat about;
    if (mkdir(path, 0777) == 0)
        return STATUS_OK;
    int reason = errno;
    if (reason == EEXIST && stat(path, &about) == 0 && S_ISDIR(about.st_mode))
        return STATUS_OK;
    return error_set(error, STATUS_IO, "%s: cannot make this directory: %s", path, strerror(reason));
}

enum status write_tensor(const char *directory, const char *name, const infer_tensor *tensor, struct error *error)
{
    char path[PATH_MAX];
    size_t start = strlen(directory) + 1;
    int length = snprintf(path, sizeof path, "%s/%s.npy", directory, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return error_set(error, STATUS_IO, "%s: the path to '%.200s' is too long", directory, name);
    for (char *c = path + start; *c; c++)
        *c = *c == '/' ? '_' : *c;
    return npy_write(path, (enum dtype)tensor->dtype, tensor->rank, tensor->dims, tensor->data, &default_allocator,
                     error);
}
