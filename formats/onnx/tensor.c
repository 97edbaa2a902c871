/* A tensor's elements, in whichever of ONNX's encodings they come, become plain bytes in raw_data. */
#include "formats/onnx/import.h"

#include <string.h>

/* raw_data of a tensor without elements: it must be something. */
static uint8_t nothing[ALIGNMENT];

const char *onnx_tensor_text(struct import *im, const char *owner, const Onnx__Tensor *tensor)
{
    const char *made = region_format(&im->scratch, "%s%stensor '%s'", owner, *owner ? ": " : "", text(tensor->name));
    return made ? made : "a tensor";
}

static enum status check_shape(struct import *im, const char *name, const Onnx__Tensor *tensor, int64_t *elements)
{
    if (tensor->n_dims > MAX_RANK)
        return error_set(im->error, STATUS_UNSUPPORTED, "%s has rank %zu; at most %d is supported", name,
                         tensor->n_dims, MAX_RANK);
    if (!shape_elements((int)tensor->n_dims, tensor->dims, elements)) {
        char shape[200];
        shape_text(NULL, (int)tensor->n_dims, tensor->dims, shape, sizeof shape);
        return error_set(im->error, STATUS_INVALID_MODEL, "%s has shape %s, which is negative or too large", name,
                         shape);
    }
    return STATUS_OK;
}

/* The list that holds elements of this type where they are not raw. `width`: bytes that one entry of it stands for. */
struct list {
    const void *entries;
    size_t count, entry_bytes, width;
    const char *name;
};

static struct list list_of(const Onnx__Tensor *t, enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
    case DTYPE_C64:
        return (struct list){t->float_data, t->n_float_data, 4, 4, "float_data"};
    case DTYPE_F64:
    case DTYPE_C128:
        return (struct list){t->double_data, t->n_double_data, 8, 8, "double_data"};
    case DTYPE_I64:
        return (struct list){t->int64_data, t->n_int64_data, 8, 8, "int64_data"};
    case DTYPE_U64:
        return (struct list){t->uint64_data, t->n_uint64_data, 8, 8, "uint64_data"};
    case DTYPE_U32:
        return (struct list){t->uint64_data, t->n_uint64_data, 8, 4, "uint64_data"};
    default:
        /* Types smaller than a byte are packed as in raw_data, an entry a byte. */
        return (struct list){t->int32_data, t->n_int32_data, 4, dtype_bits(dtype) <= 8 ? 1 : dtype_bits(dtype) / 8,
                             "int32_data"};
    }
}

/* The low bytes of each entry: two's complement narrowed. */
static void narrow(const struct list *list, uint8_t *to)
{
    const uint8_t *from = list->entries;
    for (size_t i = 0; i < list->count; i++)
        memcpy(to + i * list->width, from + i * list->entry_bytes, list->width);
}

static enum status read_list(struct import *im, const char *name, Onnx__Tensor *tensor, enum dtype dtype, size_t bytes)
{
    struct list list = list_of(tensor, dtype);
    size_t expected = (bytes + list.width - 1) / list.width;
    if (list.count != expected)
        return error_set(im->error, STATUS_INVALID_MODEL, "%s has %s entries of %s; its shape needs %s", name,
                         grouped(list.count).text, list.name, grouped(expected).text);
    if (list.width == list.entry_bytes) {
        memcpy(&tensor->raw_data.data, &list.entries, sizeof list.entries);
        return STATUS_OK;
    }
    tensor->raw_data.data = region_buffer(im->region, bytes);
    if (!tensor->raw_data.data)
        return onnx_no_memory(im);
    if (dtype == DTYPE_BOOL)
        for (size_t i = 0; i < list.count; i++)
            tensor->raw_data.data[i] = tensor->int32_data[i] != 0;
    else
        narrow(&list, tensor->raw_data.data);
    return STATUS_OK;
}

/* Any byte but 0 is true; here true is 1. */
static enum status normalise_bools(struct import *im, Onnx__Tensor *tensor, size_t bytes)
{
    size_t good = 0;
    while (good < bytes && tensor->raw_data.data[good] <= 1)
        good++;
    if (good == bytes)
        return STATUS_OK;
    uint8_t *copy = region_buffer(im->region, bytes);
    if (!copy)
        return onnx_no_memory(im);
    for (size_t i = 0; i < bytes; i++)
        copy[i] = tensor->raw_data.data[i] != 0;
    tensor->raw_data.data = copy;
    return STATUS_OK;
}

static enum status read_content(struct import *im, const char *name, Onnx__Tensor *tensor, enum dtype dtype,
                                size_t bytes)
{
    if (tensor->has_location && tensor->location == ONNX__TENSOR__LOCATION__EXTERNAL) {
        const void *data;
        TRY(onnx_read_external(im, name, tensor, bytes, &data));
        memcpy(&tensor->raw_data.data, &data, sizeof data);
        return STATUS_OK;
    }
    if (!tensor->has_raw_data)
        return read_list(im, name, tensor, dtype, bytes);
    if (tensor->raw_data.len != bytes)
        return error_set(im->error, STATUS_INVALID_MODEL, "%s has %s bytes of data; its shape needs %s", name,
                         grouped(tensor->raw_data.len).text, grouped(bytes).text);
    return STATUS_OK;
}

enum status onnx_settle_tensor(struct import *im, const char *owner, Onnx__Tensor *tensor)
{
    const char *name = onnx_tensor_text(im, owner, tensor);
    int64_t elements;
    TRY(check_shape(im, name, tensor, &elements));
    enum dtype dtype = (enum dtype)tensor->data_type;
    if (dtype == DTYPE_STRING) {
        onnx_refuse(im, "%s holds strings, which are not supported", name);
        tensor->raw_data = (ProtobufCBinaryData){0, NULL};
        return STATUS_OK;
    }
    if (dtype_bits(dtype) == 0)
        return error_set(im->error, STATUS_UNSUPPORTED, "%s has data type %d, which is not known", name,
                         (int)tensor->data_type);
    size_t bytes = dtype_bytes(dtype, elements);
    TRY(read_content(im, name, tensor, dtype, bytes));
    if (dtype == DTYPE_BOOL)
        TRY(normalise_bools(im, tensor, bytes));
    if (bytes == 0)
        tensor->raw_data.data = nothing;
    tensor->raw_data.len = bytes;
    return STATUS_OK;
}
