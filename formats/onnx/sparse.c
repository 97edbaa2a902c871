/* Sparse tensors become dense ones. */
#include "formats/onnx/import.h"

#include <string.h>

/* What dense tensors may take: a file of a few bytes can ask for any amount of zeros. The factor allows for a density
 * of one in a thousand. */
#define DENSE_BASE ((size_t)64 << 20)
#define DENSE_FACTOR 512

static enum status check_parts(struct import *im, const char *name, const Onnx__SparseTensor *sparse)
{
    const Onnx__Tensor *values = sparse->values, *indices = sparse->indices;
    if (values->n_dims != 1)
        return error_set(im->error, STATUS_INVALID_MODEL, "%s is sparse, and its values have rank %zu instead of 1",
                         name, values->n_dims);
    if (dtype_bits((enum dtype)values->data_type) < 8)
        return error_set(im->error, STATUS_UNSUPPORTED, "%s is sparse and of type %s, which is not supported", name,
                         dtype_name((enum dtype)values->data_type));
    bool coordinates = indices->n_dims == 2 && indices->dims[1] == (int64_t)sparse->n_dims;
    if (indices->data_type != DTYPE_I64 || !(indices->n_dims == 1 || coordinates) ||
        indices->dims[0] != values->dims[0])
        return error_set(im->error, STATUS_INVALID_MODEL,
                         "%s is sparse, and its indices are not int64 of shape [values] or [values, rank]", name);
    return STATUS_OK;
}

/* Where value `i` goes in the flattened tensor; -1: outside of it. */
static int64_t position(const Onnx__SparseTensor *sparse, int64_t elements, int64_t i)
{
    const uint8_t *bytes = sparse->indices->raw_data.data;
    size_t width = sparse->indices->n_dims == 2 ? sparse->n_dims : 1;
    int64_t flat = 0;
    for (size_t k = 0; k < width; k++) {
        int64_t index, size = sparse->indices->n_dims == 2 ? sparse->dims[k] : elements;
        memcpy(&index, bytes + ((size_t)i * width + k) * sizeof index, sizeof index);
        if (index < 0 || index >= size)
            return -1;
        flat = flat * size + index;
    }
    return flat;
}

static enum status scatter(struct import *im, const char *name, const Onnx__SparseTensor *sparse, int64_t elements,
                           uint8_t *dense)
{
    size_t bytes = dtype_bits((enum dtype)sparse->values->data_type) / 8;
    for (int64_t i = 0; i < sparse->values->dims[0]; i++) {
        int64_t at = position(sparse, elements, i);
        if (at < 0)
            return error_set(im->error, STATUS_INVALID_MODEL, "%s is sparse, and index %lld lies outside of it", name,
                             (long long)i);
        memcpy(dense + (size_t)at * bytes, sparse->values->raw_data.data + (size_t)i * bytes, bytes);
    }
    return STATUS_OK;
}

static enum status reserve(struct import *im, const char *name, size_t bytes)
{
    size_t most = DENSE_BASE + DENSE_FACTOR * im->file_size;
    if (bytes > most - im->dense_bytes)
        return error_set(im->error, STATUS_UNSUPPORTED,
                         "%s is so sparse that the file's sparse tensors would take %s bytes and more as dense ones",
                         name, grouped(most).text);
    im->dense_bytes += bytes;
    return STATUS_OK;
}

enum status onnx_densify(struct import *im, const char *owner, Onnx__SparseTensor *sparse, Onnx__Tensor **dense)
{
    if (!sparse->values || !sparse->indices)
        return error_set(im->error, STATUS_INVALID_MODEL, "%s%sa sparse tensor lacks its values or its indices", owner,
                         *owner ? ": " : "");
    const char *name = onnx_tensor_text(im, owner, sparse->values);
    TRY(onnx_settle_tensor(im, owner, sparse->values));
    TRY(onnx_settle_tensor(im, owner, sparse->indices));
    Onnx__Tensor *tensor = *dense = region_allocate(im->region, sizeof *tensor);
    if (!tensor)
        return onnx_no_memory(im);
    onnx__tensor__init(tensor);
    tensor->name = sparse->values->name;
    tensor->data_type = sparse->values->data_type;
    tensor->dims = sparse->dims;
    tensor->n_dims = sparse->n_dims;
    if (tensor->data_type == DTYPE_STRING)
        return STATUS_OK;
    TRY(check_parts(im, name, sparse));
    int64_t elements;
    if (sparse->n_dims > MAX_RANK || !shape_elements((int)sparse->n_dims, sparse->dims, &elements))
        return error_set(im->error, STATUS_INVALID_MODEL,
                         "%s has a rank above %d, or a shape that is negative or too large", name, MAX_RANK);
    size_t bytes = dtype_bytes((enum dtype)tensor->data_type, elements);
    TRY(reserve(im, name, bytes));
    tensor->has_raw_data = true;
    tensor->raw_data = (ProtobufCBinaryData){bytes, region_allocate(im->region, bytes)};
    return tensor->raw_data.data ? scatter(im, name, sparse, elements, tensor->raw_data.data) : onnx_no_memory(im);
}
