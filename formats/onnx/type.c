/* Declared types: element type and dimensions. */
#include "formats/onnx/import.h"

#include <string.h>

/* A graph finds a symbol by looking through all it has. Past this many, a name tells nobody anything. */
#define MOST_NAMED_SYMBOLS 4096

static enum status read_symbol(struct import *im, struct graph *graph, const char *name, int64_t *dim)
{
    for (int i = 0; *name && i < im->options->dimension_count; i++)
        if (strcmp(im->options->dimensions[i].name, name) == 0) {
            im->dimension_met[i] = true;
            *dim = im->options->dimensions[i].size;
            return STATUS_OK;
        }
    *dim = graph_symbol(graph, graph->symbol_count < MOST_NAMED_SYMBOLS ? name : "");
    return *dim ? STATUS_OK : onnx_no_memory(im);
}

/* Exporters write 0 for a dimension they do not know (silero VAD's input is [0, 0]), and some -1. As a symbol, a true 0
 * still binds to 0. */
static enum status read_dimension(struct import *im, struct graph *graph, const Onnx__Dimension *message, int64_t *dim)
{
    if (message->kind_case == ONNX__DIMENSION__KIND_SIZE && message->size > 0) {
        *dim = message->size;
        return STATUS_OK;
    }
    bool named = message->kind_case == ONNX__DIMENSION__KIND_SYMBOL;
    return read_symbol(im, graph, named ? text(message->symbol) : "", dim);
}

enum status onnx_read_type(struct import *im, struct graph *graph, const Onnx__Type *message, struct type *type)
{
    *type = (struct type){.dtype = DTYPE_NONE, .rank = -1};
    if (!message || message->kind_case != ONNX__TYPE__KIND_TENSOR || !message->tensor)
        return STATUS_OK;
    const Onnx__TensorType *tensor = message->tensor;
    enum dtype dtype = (enum dtype)tensor->element;
    if (dtype_bits(dtype) || dtype == DTYPE_STRING)
        type->dtype = dtype;
    if (!tensor->shape || tensor->shape->n_dims > MAX_RANK)
        return STATUS_OK;
    type->rank = (int)tensor->shape->n_dims;
    for (int i = 0; i < type->rank; i++)
        TRY(read_dimension(im, graph, tensor->shape->dims[i], &type->dims[i]));
    return STATUS_OK;
}

const Onnx__Type *onnx_given_type(const Onnx__Type *message)
{
    bool optional = message && message->kind_case == ONNX__TYPE__KIND_OPTIONAL_VALUE && message->optional_value;
    const Onnx__Type *held = optional ? message->optional_value->value : NULL;
    return held && held->kind_case == ONNX__TYPE__KIND_TENSOR ? held : message;
}

const char *onnx_not_a_tensor(const Onnx__Type *message)
{
    switch (message ? message->kind_case : ONNX__TYPE__KIND__NOT_SET) {
    case ONNX__TYPE__KIND_TENSOR:
        return message->tensor->element == DTYPE_STRING ? "a tensor of strings" : NULL;
    case ONNX__TYPE__KIND_SEQUENCE:
        return "a sequence";
    case ONNX__TYPE__KIND_MAP:
        return "a map";
    case ONNX__TYPE__KIND_OPAQUE:
        return "an opaque object";
    case ONNX__TYPE__KIND_SPARSE_TENSOR:
        return "a sparse tensor";
    case ONNX__TYPE__KIND_OPTIONAL_VALUE:
        return "an optional";
    default:
        return NULL;
    }
}
