/* Sequences and optionals at the border of a model. No caller can hand one in or take one out, but the tensors that it
 * holds: how many, the options say. */
#include "formats/onnx/import.h"

#include <string.h>

const struct onnx_elements *onnx_elements_of(struct import *im, const char *name)
{
    for (int i = 0; i < im->options->element_count; i++)
        if (strcmp(im->options->elements[i].name, name) == 0) {
            im->elements_met[i] = true;
            return &im->options->elements[i];
        }
    return NULL;
}

size_t onnx_element_count(const struct import *im)
{
    size_t count = 0;
    for (int i = 0; i < im->options->element_count; i++)
        count += (size_t)(im->options->elements[i].count > 0 ? im->options->elements[i].count : 0);
    return count;
}

enum status onnx_check_elements_met(struct import *im)
{
    for (int i = 0; i < im->options->element_count; i++)
        if (!im->elements_met[i])
            return error_set(im->error, STATUS_INVALID_ARGUMENT, "the model has no input or output '%s'",
                             im->options->elements[i].name);
    return STATUS_OK;
}

/* What a type may hold: NULL where it is no optional. */
static const Onnx__Type *held_by(const Onnx__Type *type)
{
    bool optional = type && type->kind_case == ONNX__TYPE__KIND_OPTIONAL_VALUE && type->optional_value;
    return optional ? type->optional_value->value : NULL;
}

/* The type of a sequence's tensors, also of one that an optional holds. */
static enum status read_element_type(struct scope *s, const Onnx__Variable *variable, struct type *element)
{
    const Onnx__Type *held = held_by(variable->type), *type = held ? held : variable->type;
    if (!type || type->kind_case != ONNX__TYPE__KIND_SEQUENCE || !type->sequence)
        return error_set(s->import->error, STATUS_INVALID_ARGUMENT, "'%s' is no sequence", variable->name);
    TRY(onnx_read_type(s->import, s->place->graph, type->sequence->element, element));
    if (dtype_bits(element->dtype) == 0)
        return error_set(s->import->error, STATUS_UNSUPPORTED, "'%s' is a sequence of what is not a tensor of numbers",
                         variable->name);
    return STATUS_OK;
}

/* A value for element i. Symbols that the type names are each element's own: they may differ in size. */
static enum status add_element(struct scope *s, const char *name, int i, const struct type *type, struct value **value)
{
    struct import *im = s->import;
    int64_t dims[MAX_RANK];
    const char *numbered = region_format(&im->scratch, "%s[%d]", name, i);
    const char *unique = numbered ? onnx_unique_name(im, &s->place->taken, numbered) : NULL;
    for (int k = 0; k < type->rank; k++) {
        dims[k] = type->dims[k] < 0 ? graph_symbol(s->place->graph, "") : type->dims[k];
        if (dims[k] == 0)
            return onnx_no_memory(im);
    }
    *value = unique ? graph_add_value(s->place->graph, unique, type->dtype, type->rank, dims) : NULL;
    return *value ? STATUS_OK : onnx_no_memory(im);
}

/* A node that stands at the border, named after what it stands for. */
static enum status add_node(struct scope *s, const char *domain, const char *op, const char *name, int input_count,
                            struct value *const *inputs, int output_count, struct value *const *outputs,
                            int attribute_count, const struct attribute *attributes)
{
    struct import *im = s->import;
    const char *label = region_format(&im->scratch, "%s_%s", op, name);
    const char *unique = label ? onnx_unique_name(im, &im->node_names, label) : NULL;
    return unique && graph_add_node(s->place->graph, op_find(domain, op), NEWEST_OPSET, unique, input_count, inputs,
                                    output_count, outputs, attribute_count, attributes)
               ? STATUS_OK
               : onnx_no_memory(im);
}

enum status onnx_join_input(struct scope *s, const Onnx__Variable *input, const struct onnx_elements *elements,
                            struct operands *inputs)
{
    struct value *whole = graph_add_value(s->place->graph, input->name, DTYPE_NONE, -1, NULL);
    struct value **parts = inputs->values + inputs->count;
    struct type type;
    if (!whole)
        return onnx_no_memory(s->import);
    TRY(onnx_define(s, input->name, whole));
    if (elements->count == ONNX_ABSENT && !held_by(input->type))
        return error_set(s->import->error, STATUS_INVALID_ARGUMENT, "input '%s' is no optional", input->name);
    if (elements->count == ONNX_ABSENT)
        return add_node(s, "", "Optional", input->name, 0, NULL, 1, &whole, 0, NULL);
    TRY(read_element_type(s, input, &type));
    for (int i = 0; i < elements->count; i++)
        TRY(add_element(s, input->name, i, &type, &parts[i]));
    inputs->count += elements->count;
    const struct attribute dtype = ATTRIBUTE_I("dtype", type.dtype);
    return add_node(s, "", elements->count ? "SequenceConstruct" : "SequenceEmpty", input->name, elements->count, parts,
                    1, &whole, elements->count == 0, &dtype);
}

enum status onnx_part_output(struct scope *s, const Onnx__Variable *output, struct value *whole,
                             const struct onnx_elements *elements, struct operands *outputs)
{
    struct value **parts = outputs->values + outputs->count, *held = whole;
    struct type type;
    TRY(read_element_type(s, output, &type));
    if (elements->count < 1)
        return error_set(s->import->error, STATUS_INVALID_ARGUMENT, "output '%s' must be at least one tensor",
                         output->name);
    if (held_by(output->type)) {
        held = graph_add_value(s->place->graph, "", DTYPE_NONE, -1, NULL);
        if (!held)
            return onnx_no_memory(s->import);
        TRY(add_node(s, "", "OptionalGetElement", output->name, 1, &whole, 1, &held, 0, NULL));
    }
    for (int i = 0; i < elements->count; i++)
        TRY(add_element(s, output->name, i, &type, &parts[i]));
    outputs->count += elements->count;
    return add_node(s, OWN_DOMAIN, "SequenceElements", output->name, 1, &held, elements->count, parts, 0, NULL);
}
