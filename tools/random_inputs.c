#include "tools/random_inputs.h"

#include <stdlib.h>
#include <string.h>

/* Numbers between -1 and 1; zeros and ones where they may be indices, lengths or truths. */
static void fill(infer_tensor *tensor)
{
    uint64_t state = 1;
    unsigned width = infer_dtype_bits(tensor->dtype) / 8;
    memset(tensor->data, 0, tensor->bytes);
    for (size_t i = 0; width && i < tensor->bytes / width; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
        double number = (double)(int32_t)(state >> 32) * 0x1p-31;
        if (tensor->dtype == INFER_FLOAT32)
            ((float *)tensor->data)[i] = (float)number;
        else if (tensor->dtype == INFER_FLOAT64)
            ((double *)tensor->data)[i] = number;
        else if (tensor->dtype == INFER_FLOAT16 || tensor->dtype == INFER_BFLOAT16) /* one: 0x3c00 and 0x3f80 */
            ((uint16_t *)tensor->data)[i] = number < 0 ? 0 : tensor->dtype == INFER_FLOAT16 ? 0x3c00 : 0x3f80;
        else
            ((uint8_t *)tensor->data)[i * width] = number > 0; /* little-endian: the lowest byte */
    }
}

bool has_free_batch(const infer_model *model)
{
    for (size_t i = 0; i < infer_model_input_count(model); i++) {
        infer_value value;
        infer_model_input(model, i, &value);
        if (value.rank < 1 || value.dims[0] >= 0)
            return false;
        for (int k = 1; k < value.rank; k++)
            if (value.dims[k] < 0)
                return false;
    }
    return infer_model_input_count(model) > 0;
}

static enum status batch_inputs(const infer_model *model, int64_t batch, infer_tensor **tensors, struct error *error)
{
    size_t count = infer_model_input_count(model);
    *tensors = calloc(count + 1, sizeof **tensors);
    if (!*tensors)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for %zu inputs", count);
    for (size_t i = 0; i < count; i++) {
        infer_value value;
        infer_model_input(model, i, &value);
        (*tensors)[i].dtype = value.dtype;
        (*tensors)[i].rank = value.rank;
        memcpy((*tensors)[i].dims, value.dims, sizeof value.dims);
        (*tensors)[i].dims[0] = batch;
    }
    return STATUS_OK;
}

static enum status fill_all(const infer_model *model, infer_tensor *tensors, struct error *error)
{
    for (size_t i = 0; i < infer_model_input_count(model); i++) {
        infer_tensor *tensor = &tensors[i];
        tensor->bytes = infer_tensor_bytes(tensor->dtype, tensor->rank, tensor->dims);
        tensor->data = tensor->bytes < SIZE_MAX ? malloc(tensor->bytes + 1) : NULL;
        if (!tensor->data)
            return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for input %zu", i);
        fill(tensor);
    }
    return STATUS_OK;
}

enum status random_inputs(const infer_model *model, const struct shape_list *shapes, int64_t batch,
                          infer_tensor **tensors, struct error *error)
{
    enum status status =
        batch ? batch_inputs(model, batch, tensors, error) : shaped_inputs(model, shapes, tensors, error);
    if (status == STATUS_OK)
        status = fill_all(model, *tensors, error);
    if (status == STATUS_OK)
        return status;
    free_random_inputs(model, *tensors);
    *tensors = NULL;
    return status;
}

void free_random_inputs(const infer_model *model, infer_tensor *tensors)
{
    for (size_t i = 0; tensors && i < infer_model_input_count(model); i++)
        free(tensors[i].data);
    free(tensors);
}
