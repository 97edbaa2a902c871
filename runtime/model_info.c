/* What a model says of itself: what it takes and gives, and its metadata. */
#include "runtime/model.h"

#include "graph/op.h"

#include <string.h>

size_t infer_model_input_count(const infer_model *model)
{
    return model ? (size_t)model->graph->input_count : 0;
}

size_t infer_model_output_count(const infer_model *model)
{
    return model ? (size_t)model->graph->output_count : 0;
}

/* --- quantised values ------------------------------------------------------------------------------------ */

/* Operators of ONNX's domain that say by which scale and zero point an operand stands for real numbers: the operand,
 * among inputs or outputs, and the inputs that hold the two. */
static const struct quantising {
    const char *op;
    bool output;
    int operand, scale, zero_point;
} quantising[] = {
    {"DequantizeLinear", false, 0, 1, 2}, {"QuantizeLinear", true, 0, 1, 2}, {"QLinearConv", false, 0, 1, 2},
    {"QLinearConv", true, 0, 6, 7},       {"QLinearMatMul", false, 0, 1, 2}, {"QLinearMatMul", false, 3, 4, 5},
    {"QLinearMatMul", true, 0, 6, 7},
};

static const struct value *operand_at(struct value *const *values, int count, int index)
{
    return index < count ? values[index] : NULL;
}

/* The one number of a constant; false: it is none, or has another type. */
static bool read_scale(const struct value *value, float *scale)
{
    if (!value || !value->data || value->dtype != DTYPE_F32 || value->bytes != sizeof *scale)
        return false;
    memcpy(scale, value->data, sizeof *scale);
    return true;
}

static bool read_zero_point(const struct value *value, int32_t *zero_point)
{
    *zero_point = 0;
    if (!value)
        return true;
    if (!value->data || value->bytes != dtype_bytes(value->dtype, 1))
        return false;
    switch (value->dtype) {
    case DTYPE_U8:
        *zero_point = *(const uint8_t *)value->data;
        return true;
    case DTYPE_I8:
        *zero_point = *(const int8_t *)value->data;
        return true;
    case DTYPE_U16:
        *zero_point = *(const uint16_t *)value->data;
        return true;
    case DTYPE_I16:
        *zero_point = *(const int16_t *)value->data;
        return true;
    case DTYPE_I32:
        memcpy(zero_point, value->data, sizeof *zero_point);
        return true;
    default:
        return false;
    }
}

static bool says_scale(const struct node *node, const struct quantising *how, const struct value *of,
                       infer_value *value)
{
    struct value *const *operands = how->output ? node->outputs : node->inputs;
    int count = how->output ? node->output_count : node->input_count;
    float scale;
    int32_t zero_point;
    if (*node->op->domain || strcmp(node->op->name, how->op) != 0 || operand_at(operands, count, how->operand) != of ||
        !read_scale(operand_at(node->inputs, node->input_count, how->scale), &scale) ||
        !read_zero_point(operand_at(node->inputs, node->input_count, how->zero_point), &zero_point))
        return false;
    value->quantized = true;
    value->scale = scale;
    value->zero_point = zero_point;
    return true;
}

static void find_scale(const struct graph *graph, const struct value *of, bool output, infer_value *value)
{
    for (int i = 0; i < graph->node_count; i++)
        for (size_t k = 0; k < sizeof quantising / sizeof quantising[0]; k++)
            if (quantising[k].output == output && says_scale(graph->nodes[i], &quantising[k], of, value))
                return;
}

/* --- inputs and outputs ---------------------------------------------------------------------------------- */

static void describe(const struct graph *graph, const struct value *from, bool output, infer_value *value)
{
    *value = (infer_value){.name = from->name, .dtype = (infer_dtype)from->dtype, .rank = from->rank};
    for (int i = 0; i < from->rank; i++) {
        value->dims[i] = from->dims[i] >= 0 ? from->dims[i] : -1;
        const char *symbol = from->dims[i] >= 0 ? "?" : graph_symbol_name(graph, from->dims[i]);
        value->dim_names[i] = strcmp(symbol, "?") == 0 ? NULL : symbol;
    }
    find_scale(graph, from, output, value);
}

infer_status infer_model_input(const infer_model *model, size_t index, infer_value *value)
{
    if (!value || index >= infer_model_input_count(model))
        return INFER_INVALID_ARGUMENT;
    describe(model->graph, model->graph->inputs[index], false, value);
    value->has_default = input_default(model->graph, index) != NULL;
    return INFER_OK;
}

infer_status infer_model_output(const infer_model *model, size_t index, infer_value *value)
{
    if (!value || index >= infer_model_output_count(model))
        return INFER_INVALID_ARGUMENT;
    describe(model->graph, model->graph->outputs[index], true, value);
    return INFER_OK;
}

static infer_status find_name(int count, struct value *const *values, const char *name, size_t *index)
{
    for (int i = 0; i < count && name && index; i++) {
        if (strcmp(values[i]->name, name) != 0)
            continue;
        *index = (size_t)i;
        return INFER_OK;
    }
    return INFER_INVALID_ARGUMENT;
}

infer_status infer_model_find_input(const infer_model *model, const char *name, size_t *index)
{
    return model ? find_name(model->graph->input_count, model->graph->inputs, name, index) : INFER_INVALID_ARGUMENT;
}

infer_status infer_model_find_output(const infer_model *model, const char *name, size_t *index)
{
    return model ? find_name(model->graph->output_count, model->graph->outputs, name, index) : INFER_INVALID_ARGUMENT;
}

size_t infer_model_weight_bytes(const infer_model *model)
{
    return model ? model->weight_bytes : 0;
}

/* --- metadata -------------------------------------------------------------------------------------------- */

static const char *const own_keys[] = {"name", "producer", "description"};
#define OWN_KEYS (sizeof own_keys / sizeof own_keys[0])

const char *infer_model_metadata(const infer_model *model, const char *key)
{
    if (!model || !key)
        return NULL;
    const struct model_metadata *metadata = &model->metadata;
    if (strcmp(key, "name") == 0)
        return metadata->name;
    if (strcmp(key, "producer") == 0)
        return metadata->producer;
    if (strcmp(key, "description") == 0)
        return metadata->description;
    for (int i = 0; i < metadata->count; i++)
        if (strcmp(metadata->keys[i], key) == 0)
            return metadata->values[i];
    return NULL;
}

const char *infer_model_metadata_key(const infer_model *model, size_t index)
{
    if (!model)
        return NULL;
    if (index < OWN_KEYS)
        return own_keys[index];
    return index - OWN_KEYS < (size_t)model->metadata.count ? model->metadata.keys[index - OWN_KEYS] : NULL;
}
