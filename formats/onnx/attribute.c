/* Attributes, and Constant nodes, which are nothing but an attribute. */
#include "formats/onnx/import.h"

#include <string.h>

/* The first files had no `kind`: there, it is that of the field which is set. */
Onnx__Attribute__Kind onnx_attribute_kind(const Onnx__Attribute *a)
{
    if (a->kind != ONNX__ATTRIBUTE__KIND__UNDEFINED)
        return a->kind;
    if (a->has_number)
        return ONNX__ATTRIBUTE__KIND__FLOAT;
    if (a->has_integer)
        return ONNX__ATTRIBUTE__KIND__INT;
    if (a->has_string)
        return ONNX__ATTRIBUTE__KIND__STRING;
    if (a->tensor)
        return ONNX__ATTRIBUTE__KIND__TENSOR;
    if (a->graph)
        return ONNX__ATTRIBUTE__KIND__GRAPH;
    if (a->n_numbers)
        return ONNX__ATTRIBUTE__KIND__FLOATS;
    if (a->n_integers)
        return ONNX__ATTRIBUTE__KIND__INTS;
    return a->n_strings ? ONNX__ATTRIBUTE__KIND__STRINGS : ONNX__ATTRIBUTE__KIND__UNDEFINED;
}

static const struct binding *find_binding(const struct environment *environment, const char *name)
{
    for (size_t i = 0; i < environment->count; i++)
        if (strcmp(environment->bindings[i].name, name) == 0)
            return &environment->bindings[i];
    return NULL;
}

enum status onnx_resolve_attributes(struct scope *s, const Onnx__Node *node, struct environment *resolved)
{
    struct import *im = s->import;
    resolved->count = 0;
    resolved->bindings = region_array(&im->scratch, node->n_attributes, sizeof *resolved->bindings);
    if (!resolved->bindings)
        return onnx_no_memory(im);
    for (size_t i = 0; i < node->n_attributes; i++) {
        const Onnx__Attribute *attribute = node->attributes[i];
        struct binding binding = {text(attribute->name), attribute, s->environment};
        if (*text(attribute->reference)) {
            if (!s->environment)
                return onnx_node_error(im, node, STATUS_INVALID_MODEL,
                                       "attribute '%s' refers to one of a function, but this is none", binding.name);
            TRY(onnx_charge(im, s->environment->count));
            const struct binding *meant = find_binding(s->environment, attribute->reference);
            if (!meant)
                continue;
            binding.attribute = meant->attribute;
            binding.environment = meant->environment;
        }
        resolved->bindings[resolved->count++] = binding;
    }
    return STATUS_OK;
}

static enum status read_tensor(struct import *im, const Onnx__Tensor *tensor, struct attribute *to)
{
    struct value *value = region_allocate(im->region, sizeof *value);
    if (!value)
        return onnx_no_memory(im);
    value->name = text(tensor->name);
    value->dtype = (enum dtype)tensor->data_type;
    value->rank = (int)tensor->n_dims;
    for (int i = 0; i < value->rank; i++)
        value->dims[i] = tensor->dims[i];
    value->data = tensor->raw_data.data;
    value->bytes = tensor->raw_data.len;
    value->id = -1;
    to->kind = ATTRIBUTE_TENSOR;
    to->tensor = value;
    return STATUS_OK;
}

static enum status read_string(struct import *im, const ProtobufCBinaryData *bytes, struct attribute *to)
{
    to->kind = ATTRIBUTE_STRING;
    to->count = bytes->len;
    to->string = region_text(im->region, bytes->len ? (const char *)bytes->data : "", bytes->len);
    return to->string ? STATUS_OK : onnx_no_memory(im);
}

static enum status read_list(struct scope *s, const Onnx__Attribute *from, struct attribute *to)
{
    switch ((int)onnx_attribute_kind(from)) {
    case ONNX__ATTRIBUTE__KIND__FLOATS:
        to->kind = ATTRIBUTE_FLOATS;
        to->count = from->n_numbers;
        return onnx_read_floats(s, from, &to->floats);
    case ONNX__ATTRIBUTE__KIND__INTS:
        to->kind = ATTRIBUTE_INTS;
        to->count = from->n_integers;
        return onnx_read_ints(s, from, &to->ints);
    default:
        return onnx_read_strings(s, from, to);
    }
}

static enum status read_list_as_tensor(struct scope *s, const Onnx__Attribute *from, struct attribute *to)
{
    switch ((int)onnx_attribute_kind(from)) {
    case ONNX__ATTRIBUTE__KIND__FLOATS:
        return onnx_floats_tensor(s, from, to);
    case ONNX__ATTRIBUTE__KIND__INTS:
        return onnx_ints_tensor(s, from, to);
    default:
        return onnx_strings_tensor(s, from, to, to + 1);
    }
}

/* Of what is left out, to->kind stays 0. A list of strings may fill in to[1] as well. */
static enum status read_content(struct scope *s, const Onnx__Node *node, const struct op *op,
                                const Onnx__Attribute *from, struct attribute *to)
{
    struct import *im = s->import;
    switch ((int)onnx_attribute_kind(from)) {
    case ONNX__ATTRIBUTE__KIND__FLOAT:
        to->kind = ATTRIBUTE_FLOAT;
        to->f = from->number;
        return STATUS_OK;
    case ONNX__ATTRIBUTE__KIND__INT:
        to->kind = ATTRIBUTE_INT;
        to->i = from->integer;
        return STATUS_OK;
    case ONNX__ATTRIBUTE__KIND__STRING:
        return read_string(im, &from->string, to);
    case ONNX__ATTRIBUTE__KIND__TENSOR:
        return from->tensor ? read_tensor(im, from->tensor, to) : STATUS_OK;
    case ONNX__ATTRIBUTE__KIND__FLOATS:
    case ONNX__ATTRIBUTE__KIND__INTS:
    case ONNX__ATTRIBUTE__KIND__STRINGS:
        return op && (op->flags & OP_LISTS_AS_TENSORS) ? read_list_as_tensor(s, from, to) : read_list(s, from, to);
    case ONNX__ATTRIBUTE__KIND__GRAPH: /* see onnx_build_bodies */
        return STATUS_OK;
    case ONNX__ATTRIBUTE__KIND__TYPE:
        if (strcmp(text(node->op_type), "Optional") == 0) /* of what is not there: nothing depends on it */
            return STATUS_OK;
        /* fall through */
    case ONNX__ATTRIBUTE__KIND__TENSORS:
    case ONNX__ATTRIBUTE__KIND__GRAPHS:
    case ONNX__ATTRIBUTE__KIND__SPARSE_TENSORS:
    case ONNX__ATTRIBUTE__KIND__TYPES:
        onnx_refuse(im, "node '%s' (%s): attribute '%s' is a type, or a list of tensors or graphs: not supported",
                    onnx_node_label(node), text(node->op_type), to->name);
        return STATUS_OK;
    default:
        return onnx_node_error(im, node, STATUS_INVALID_MODEL, "attribute '%s' has no value", to->name);
    }
}

enum status onnx_read_attributes(struct scope *s, const Onnx__Node *node, const struct op *op,
                                 const struct environment *resolved, struct attribute *list, int *count)
{
    for (size_t i = 0; i < resolved->count; i++) {
        struct attribute *to = &list[*count];
        to[0] = (struct attribute){.name = resolved->bindings[i].name};
        to[1] = (struct attribute){0};
        if (strcmp(to->name, ONNX_CAPTURES) == 0 || strcmp(to->name, MAX_UNPOOL_POSITIONS) == 0) /* not ONNX's */
            continue;
        TRY(read_content(s, node, op, resolved->bindings[i].attribute, to));
        *count += (to[0].kind != 0) + (to[1].kind != 0);
    }
    return STATUS_OK;
}

/* --- Constant ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    Onnx__Attribute__Kind kind;
} constant_forms[] = {
    {"value", ONNX__ATTRIBUTE__KIND__TENSOR},        {"sparse_value", ONNX__ATTRIBUTE__KIND__TENSOR},
    {"value_float", ONNX__ATTRIBUTE__KIND__FLOAT},   {"value_int", ONNX__ATTRIBUTE__KIND__INT},
    {"value_floats", ONNX__ATTRIBUTE__KIND__FLOATS}, {"value_ints", ONNX__ATTRIBUTE__KIND__INTS},
    {"value_string", ONNX__ATTRIBUTE__KIND__STRING}, {"value_strings", ONNX__ATTRIBUTE__KIND__STRINGS},
};

static bool is_constant_form(const struct binding *binding)
{
    Onnx__Attribute__Kind kind = onnx_attribute_kind(binding->attribute);
    for (size_t i = 0; i < sizeof constant_forms / sizeof constant_forms[0]; i++)
        if (kind == constant_forms[i].kind && strcmp(binding->name, constant_forms[i].name) == 0)
            return true;
    return false;
}

/* The attribute seen as a settled tensor, whose dimension, if it is a list, is kept in *length. */
static enum status as_tensor(struct scope *s, const Onnx__Node *node, const Onnx__Attribute *from, int64_t *length,
                             Onnx__Tensor *tensor)
{
    struct attribute list = {0};
    const void *data;
    onnx__tensor__init(tensor);
    tensor->dims = length;
    switch (onnx_attribute_kind(from)) {
    case ONNX__ATTRIBUTE__KIND__FLOAT:
        tensor->data_type = DTYPE_F32;
        data = &from->number;
        break;
    case ONNX__ATTRIBUTE__KIND__INT:
        tensor->data_type = DTYPE_I64;
        data = &from->integer;
        break;
    case ONNX__ATTRIBUTE__KIND__FLOATS:
    case ONNX__ATTRIBUTE__KIND__INTS:
        TRY(read_list(s, from, &list));
        tensor->data_type = list.kind == ATTRIBUTE_INTS ? DTYPE_I64 : DTYPE_F32;
        tensor->n_dims = 1;
        *length = (int64_t)list.count;
        data = list.kind == ATTRIBUTE_INTS ? (const void *)list.ints : list.floats;
        break;
    default:
        tensor->data_type = DTYPE_STRING;
        onnx_refuse(s->import, "node '%s' (%s) holds strings, which are not supported", onnx_node_label(node),
                    text(node->op_type));
        return STATUS_OK;
    }
    tensor->raw_data.data = (uint8_t *)(uintptr_t)data;
    return STATUS_OK;
}

enum status onnx_build_constant(struct scope *s, const Onnx__Node *node, const struct environment *resolved)
{
    const struct binding *form = NULL;
    for (size_t i = 0; i < resolved->count && !form; i++)
        if (is_constant_form(&resolved->bindings[i]))
            form = &resolved->bindings[i];
    if (!form || (onnx_attribute_kind(form->attribute) == ONNX__ATTRIBUTE__KIND__TENSOR && !form->attribute->tensor))
        return onnx_node_error(s->import, node, STATUS_INVALID_MODEL, "it has no value");
    if (node->n_inputs != 0 || node->n_outputs != 1)
        return onnx_node_error(s->import, node, STATUS_INVALID_MODEL,
                               "it has %zu inputs and %zu outputs instead of 0 and 1", node->n_inputs, node->n_outputs);
    if (!*node->outputs[0])
        return STATUS_OK;
    if (form->attribute->tensor)
        return onnx_define_constant(s, node->outputs[0], form->attribute->tensor);
    int64_t length;
    Onnx__Tensor tensor;
    TRY(as_tensor(s, node, form->attribute, &length, &tensor));
    return onnx_define_constant(s, node->outputs[0], &tensor);
}
