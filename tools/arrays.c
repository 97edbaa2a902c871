#include "tools/arrays.h"

#include "formats/npz.h"
#include "kernels/convert.h"
#include "runtime/model.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

infer_tensor array_tensor(const struct npy_array *array)
{
    infer_tensor tensor = {
        .data = array->data, .bytes = array->bytes, .dtype = (infer_dtype)array->dtype, .rank = array->rank};
    memcpy(tensor.dims, array->dims, sizeof tensor.dims);
    return tensor;
}

/* "x, y" */
static const char *input_names(const infer_model *model, char *text, size_t room)
{
    size_t used = 0;
    snprintf(text, room, "none");
    for (size_t i = 0; i < infer_model_input_count(model) && used < room; i++) {
        infer_value value;
        infer_model_input(model, i, &value);
        int length = snprintf(text + used, room - used, "%s%s", i ? ", " : "", value.name);
        used += length > 0 ? (size_t)length : 0;
    }
    return text;
}

static bool find_name(const infer_model *model, const char *name, size_t length, size_t *index)
{
    infer_value value;
    for (*index = 0; *index < infer_model_input_count(model); (*index)++) {
        infer_model_input(model, *index, &value);
        if (strlen(value.name) == length && strncmp(value.name, name, length) == 0)
            return true;
    }
    return false;
}

/* The input that an argument names, and where its file name begins; an argument without a name takes the next input
 * not given yet. A path that holds '=' is fine unless what stands before it is an input's name. */
static enum status find_input(const infer_model *model, const struct input_set *inputs, const char *argument,
                              size_t *index, const char **file, struct error *error)
{
    char names[200];
    for (const char *equals = strchr(argument, '='); equals; equals = strchr(equals + 1, '='))
        if (find_name(model, argument, (size_t)(equals - argument), index)) {
            *file = equals + 1;
            return STATUS_OK;
        }
    *file = argument;
    const char *equals = strchr(argument, '=');
    if (equals && access(argument, F_OK) != 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "the model has no input '%.*s'; its inputs are %s",
                         (int)(equals - argument), argument, input_names(model, names, sizeof names));
    for (*index = 0; *index < inputs->count && inputs->arrays[*index].data;)
        (*index)++;
    if (*index == inputs->count)
        return error_set(error, STATUS_INVALID_ARGUMENT, "'%s' is one input too many; the model takes %zu", argument,
                         inputs->count);
    return STATUS_OK;
}

/* Makes the array, which was read, the input; or the status that reading it had. */
static enum status take_input(const infer_model *model, size_t index, const char *file, enum status status,
                              struct input_set *inputs, struct error *error)
{
    infer_value value;
    infer_model_input(model, index, &value);
    struct npy_array *array = &inputs->arrays[index];
    if (status == STATUS_OK && (array->dtype == DTYPE_NONE || dtype_bits((enum dtype)value.dtype) < 8))
        status = npy_reinterpret(array, file, (enum dtype)value.dtype, error);
    if (status == STATUS_OK)
        inputs->tensors[index] = array_tensor(array);
    return status;
}

static enum status is_free(const infer_model *model, size_t index, const struct input_set *inputs, struct error *error)
{
    infer_value value;
    infer_model_input(model, index, &value);
    return inputs->arrays[index].data
               ? error_set(error, STATUS_INVALID_ARGUMENT, "input '%s' is given twice", value.name)
               : STATUS_OK;
}

static enum status read_member(const infer_model *model, size_t index, const char *file, struct npz *npz, int member,
                               struct input_set *inputs, struct error *error)
{
    enum status status = is_free(model, index, inputs, error);
    if (status == STATUS_OK)
        status = npz_read(npz, member, &inputs->arrays[index], &default_allocator, error);
    return take_input(model, index, file, status, inputs, error);
}

/* Of an archive: the arrays that are named after inputs; or its only one as the input `index`. */
static enum status read_members(const infer_model *model, size_t index, bool named, const char *file, struct npz *npz,
                                struct input_set *inputs, struct error *error)
{
    enum status status = STATUS_OK;
    infer_value value;
    int found = 0;
    infer_model_input(model, index, &value);
    if (named && npz_find(npz, value.name) >= 0)
        return read_member(model, index, file, npz, npz_find(npz, value.name), inputs, error);
    for (int i = 0; i < npz->count && !named && status == STATUS_OK; i++) {
        size_t at;
        if (!find_name(model, npz_name(npz, i), strlen(npz_name(npz, i)), &at) || npz_find(npz, npz_name(npz, i)) != i)
            continue;
        status = read_member(model, at, file, npz, i, inputs, error);
        found++;
    }
    if (status != STATUS_OK || found > 0)
        return status;
    if (npz->count == 1)
        return read_member(model, index, file, npz, 0, inputs, error);
    char names[200];
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s: none of its %d arrays has the name of an input (%s)", file,
                     npz->count, input_names(model, names, sizeof names));
}

static bool is_archive(const char *path)
{
    char first[4] = "";
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    FILE *file = fopen(path, "rb");
    size_t count = file ? fread(first, 1, sizeof first, file) : 0;
    if (file)
        fclose(file);
    return count == sizeof first && memcmp(first, "PK\3\4", sizeof first) == 0;
}

static enum status read_argument(const infer_model *model, const char *argument, struct input_set *inputs,
                                 struct error *error)
{
    size_t index;
    const char *file;
    struct npz npz;
    enum status status = find_input(model, inputs, argument, &index, &file, error);
    if (status == STATUS_OK && is_archive(file)) {
        status = npz_open(&npz, file, &default_allocator, error);
        if (status == STATUS_OK)
            status = read_members(model, index, file != argument, file, &npz, inputs, error);
        npz_close(&npz);
        return status;
    }
    if (status == STATUS_OK)
        status = is_free(model, index, inputs, error);
    if (status == STATUS_OK)
        status = npy_read(&inputs->arrays[index], file, &default_allocator, error);
    return status == STATUS_OK ? take_input(model, index, file, status, inputs, error) : status;
}

static enum status begin_inputs(const infer_model *model, struct input_set *inputs, struct error *error)
{
    inputs->count = infer_model_input_count(model);
    inputs->arrays = calloc(inputs->count + 1, sizeof *inputs->arrays);
    inputs->tensors = calloc(inputs->count + 1, sizeof *inputs->tensors);
    if (!inputs->arrays || !inputs->tensors)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for %zu inputs", inputs->count);
    return STATUS_OK;
}

/* What is not given is what the model says, or missing. */
static enum status complete_inputs(const infer_model *model, struct input_set *inputs, struct error *error)
{
    for (size_t i = 0; i < inputs->count; i++) {
        infer_value value;
        const struct value *otherwise = input_default(model->graph, i);
        infer_model_input(model, i, &value);
        if (!inputs->arrays[i].data && otherwise)
            inputs->tensors[i] = constant_tensor(otherwise);
        else if (!inputs->arrays[i].data)
            return error_set(error, STATUS_INVALID_ARGUMENT, "no file is given for input %zu '%s'", i, value.name);
    }
    return STATUS_OK;
}

enum status read_inputs(const infer_model *model, int count, char **arguments, struct input_set *inputs,
                        struct error *error)
{
    enum status status = begin_inputs(model, inputs, error);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = read_argument(model, arguments[i], inputs, error);
    return status == STATUS_OK ? complete_inputs(model, inputs, error) : status;
}

enum status inputs_of_array(const infer_model *model, const char *name, struct npy_array *array,
                            struct input_set *inputs, struct error *error)
{
    enum status status = begin_inputs(model, inputs, error);
    if (status == STATUS_OK && inputs->count == 0)
        status = error_set(error, STATUS_INVALID_ARGUMENT, "%s: the model takes no input", name);
    if (status == STATUS_OK) {
        inputs->arrays[0] = *array;
        *array = (struct npy_array){0};
        status = take_input(model, 0, name, STATUS_OK, inputs, error);
    }
    npy_free(array);
    return status == STATUS_OK ? complete_inputs(model, inputs, error) : status;
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

enum status tensor_path(const char *directory, const char *name, char *path, struct error *error)
{
    size_t start = strlen(directory) + 1;
    int length = snprintf(path, PATH_MAX, "%s/%s.npy", directory, name);
    if (length < 0 || length >= PATH_MAX)
        return error_set(error, STATUS_IO, "%s: the path to '%.200s' is too long", directory, name);
    for (char *c = path + start; *c;) { /* a listing shows these names, so they hold nothing that it would obey */
        int each = utf8_length(c);
        bool bad = *c == '/' || each == 0 || utf8_is_obeyed(c, each);
        for (int i = 0; i < (each ? each : 1); i++, c++)
            *c = bad ? '_' : *c;
    }
    return STATUS_OK;
}

enum status write_tensor(const char *directory, const char *name, const infer_tensor *tensor, struct error *error)
{
    char path[PATH_MAX];
    if (tensor_path(directory, name, path, error) != STATUS_OK)
        return error->status;
    return npy_write(path, (enum dtype)tensor->dtype, tensor->rank, tensor->dims, tensor->data, &default_allocator,
                     error);
}

/* Several elements a byte, the first in the lowest bits. */
static double packed_element(const infer_tensor *tensor, int64_t index)
{
    unsigned bits = infer_dtype_bits(tensor->dtype), each = 8 / bits;
    unsigned byte = ((const uint8_t *)tensor->data)[index / each];
    unsigned raw = byte >> (index % each * bits) & ((1u << bits) - 1);
    if (tensor->dtype == INFER_FLOAT4E2M1)
        return (double)small_float_to_f32(DTYPE_F4E2M1, (uint8_t)raw);
    bool negative = (tensor->dtype == INFER_INT4 || tensor->dtype == INFER_INT2) && raw >> (bits - 1);
    return negative ? (double)raw - (double)(1u << bits) : (double)raw;
}

static double small_float_element(const infer_tensor *tensor, uint8_t bits)
{
    if (tensor->dtype == INFER_FLOAT8E8M0)
        return bits == 0xff ? (double)NAN : ldexp(1.0, bits - 127); /* OCP MX: an exponent alone, biased by 127 */
    return (double)small_float_to_f32((enum dtype)tensor->dtype, bits);
}

infer_tensor tensor_numbers(const infer_tensor *tensor, int64_t *count)
{
    infer_tensor numbers = *tensor;
    bool complex = tensor->dtype == INFER_COMPLEX64 || tensor->dtype == INFER_COMPLEX128;
    if (!shape_elements(tensor->rank, tensor->dims, count))
        *count = 0;
    if (complex) {
        numbers.dtype = tensor->dtype == INFER_COMPLEX64 ? INFER_FLOAT32 : INFER_FLOAT64;
        *count *= 2;
    }
    return numbers;
}

double tensor_element(const infer_tensor *tensor, int64_t index)
{
    const void *data = tensor->data;
    switch (tensor->dtype) {
    case INFER_FLOAT32:
        return (double)((const float *)data)[index];
    case INFER_FLOAT64:
        return ((const double *)data)[index];
    case INFER_FLOAT16:
        return (double)f16_to_f32(((const uint16_t *)data)[index]);
    case INFER_BFLOAT16:
        return (double)bf16_to_f32(((const uint16_t *)data)[index]);
    case INFER_INT8:
        return ((const int8_t *)data)[index];
    case INFER_INT16:
        return ((const int16_t *)data)[index];
    case INFER_INT32:
        return ((const int32_t *)data)[index];
    case INFER_INT64:
        return (double)((const int64_t *)data)[index];
    case INFER_BOOL:
    case INFER_UINT8:
        return ((const uint8_t *)data)[index];
    case INFER_UINT16:
        return ((const uint16_t *)data)[index];
    case INFER_UINT32:
        return ((const uint32_t *)data)[index];
    case INFER_UINT64:
        return (double)((const uint64_t *)data)[index];
    case INFER_UINT4:
    case INFER_INT4:
    case INFER_FLOAT4E2M1:
    case INFER_UINT2:
    case INFER_INT2:
        return packed_element(tensor, index);
    default: /* floats of eight bits */
        return small_float_element(tensor, ((const uint8_t *)data)[index]);
    }
}
