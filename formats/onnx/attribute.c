/* Attributes, and Constant nodes, which are nothing but an attribute. */
#include "formats/onnx/import.h"

#include <stdio.h>
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

/* --- against the operator's list ---------------------------------------------------------------------------------- */

/* Sparse tensors are dense by now. 0: what no operator here has. */
static int kind_of(const Onnx__Attribute *attribute)
{
    switch ((int)onnx_attribute_kind(attribute)) {
    case ONNX__ATTRIBUTE__KIND__FLOAT:
        return ATTRIBUTE_FLOAT;
    case ONNX__ATTRIBUTE__KIND__INT:
        return ATTRIBUTE_INT;
    case ONNX__ATTRIBUTE__KIND__STRING:
        return ATTRIBUTE_STRING;
    case ONNX__ATTRIBUTE__KIND__TENSOR:
        return ATTRIBUTE_TENSOR;
    case ONNX__ATTRIBUTE__KIND__GRAPH:
        return ATTRIBUTE_GRAPH;
    case ONNX__ATTRIBUTE__KIND__FLOATS:
        return ATTRIBUTE_FLOATS;
    case ONNX__ATTRIBUTE__KIND__INTS:
        return ATTRIBUTE_INTS;
    case ONNX__ATTRIBUTE__KIND__STRINGS:
        return ATTRIBUTE_STRINGS;
    case ONNX__ATTRIBUTE__KIND__TYPE:
        return ATTRIBUTE_TYPE;
    default:
        return 0;
    }
}

static bool of_opset(const struct op_attribute *row, int version)
{
    return version >= row->since && version < row->until;
}

static enum status unknown_name(struct import *im, const Onnx__Node *node, const struct op *op, int version,
                                const char *name)
{
    char others[300] = "none";
    size_t used = 0;
    for (const struct op_attribute *row = op_first_attribute(op); row < op_attributes_end(op); row++)
        if (of_opset(row, version) && used < sizeof others)
            used += (size_t)snprintf(others + used, sizeof others - used, "%s%s", used ? ", " : "", row->name);
    return onnx_node_error(im, node, STATUS_INVALID_MODEL, "it has an attribute '%s', which is none of %s's (%s)", name,
                           op->name, others);
}

static enum status check_attribute(struct import *im, const Onnx__Node *node, const struct op *op, int version,
                                   const struct binding *binding)
{
    const struct op_attribute *row = op_attribute(op, version, binding->name);
    int kind = kind_of(binding->attribute);
    if (!row)
        return unknown_name(im, node, op, version, binding->name);
    if (!of_opset(row, version))
        return onnx_node_error(im, node, STATUS_INVALID_MODEL,
                               "its attribute '%s' %s opset %d, and the model uses opset %d", binding->name,
                               version < row->since ? "came with" : "went with",
                               version < row->since ? row->since : row->until, version);
    if (kind != (int)row->kind && onnx_attribute_kind(binding->attribute) != ONNX__ATTRIBUTE__KIND__UNDEFINED)
        return onnx_node_error(im, node, STATUS_INVALID_MODEL, "its attribute '%s' is of type %s instead of %s",
                               binding->name, attribute_kind_name(kind), attribute_kind_name((int)row->kind));
    return STATUS_OK;
}

/* ONNX leaves names that begin so to whoever writes the file. */
static bool is_private(const char *name)
{
    return strncmp(name, "__", 2) == 0;
}

static bool is_given(const struct environment *resolved, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(resolved->bindings[i].name, name) == 0)
            return true;
    return false;
}

enum status onnx_check_attributes(struct import *im, const Onnx__Node *node, const struct op *op, int version,
                                  struct environment *resolved)
{
    size_t kept = 0;
    if (version == 0)
        return onnx_node_error(im, node, STATUS_INVALID_MODEL,
                               "the model does not say which opset of domain '%s' it uses",
                               *op->domain ? op->domain : "ai.onnx");
    for (size_t i = 0; i < resolved->count; i++) {
        const struct binding *binding = &resolved->bindings[i];
        if (is_private(binding->name))
            continue;
        TRY(check_attribute(im, node, op, version, binding));
        if (is_given(resolved, kept, binding->name)) /* all before are the operator's own, so there are few */
            return onnx_node_error(im, node, STATUS_INVALID_MODEL, "its attribute '%s' is given twice", binding->name);
        resolved->bindings[kept++] = *binding;
    }
    resolved->count = kept;
    for (const struct op_attribute *row = op_first_attribute(op); row < op_attributes_end(op); row++)
        if (row->presence == ATTRIBUTE_REQUIRED && of_opset(row, version) &&
            !is_given(resolved, resolved->count, row->name))
            return onnx_node_error(im, node, STATUS_INVALID_MODEL, "its attribute '%s' is missing", row->name);
    return STATUS_OK;
}

/* --- content ------------------------------------------------------------------------------------------------------ */

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
        return op->flags & OP_LISTS_AS_TENSORS ? read_list_as_tensor(s, from, to) : read_list(s, from, to);
    case ONNX__ATTRIBUTE__KIND__GRAPH: /* see onnx_build_bodies */
        return STATUS_OK;
    case ONNX__ATTRIBUTE__KIND__TYPE: /* Optional's, of what is not there: nothing depends on it */
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
        TRY(read_content(s, node, op, resolved->bindings[i].attribute, to));
        *count += (to[0].kind != 0) + (to[1].kind != 0);
    }
    return STATUS_OK;
}

/* --- Constant ----------------------------------------------------------------------------------------------------- */

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

/* Each attribute that the operator lists is a form of the value. */
enum status onnx_build_constant(struct scope *s, const Onnx__Node *node, struct environment *resolved)
{
    TRY(onnx_check_attributes(s->import, node, op_find("", "Constant"), onnx_opset_version(s, ""), resolved));
    if (resolved->count > 1)
        return onnx_node_error(s->import, node, STATUS_INVALID_MODEL, "it has both '%s' and '%s'",
                               resolved->bindings[0].name, resolved->bindings[1].name);
    const Onnx__Attribute *value = resolved->count ? resolved->bindings[0].attribute : NULL;
    Onnx__Attribute__Kind kind = value ? onnx_attribute_kind(value) : ONNX__ATTRIBUTE__KIND__UNDEFINED;
    if (kind == ONNX__ATTRIBUTE__KIND__UNDEFINED || (kind == ONNX__ATTRIBUTE__KIND__TENSOR && !value->tensor))
        return onnx_node_error(s->import, node, STATUS_INVALID_MODEL, "it has no value");
    if (node->n_inputs != 0 || node->n_outputs != 1)
        return onnx_node_error(s->import, node, STATUS_INVALID_MODEL,
                               "it has %zu inputs and %zu outputs instead of 0 and 1", node->n_inputs, node->n_outputs);
    if (!*node->outputs[0])
        return STATUS_OK;
    if (value->tensor)
        return onnx_define_constant(s, node->outputs[0], value->tensor);
    int64_t length;
    Onnx__Tensor tensor;
    TRY(as_tensor(s, node, value, &length, &tensor));
    return onnx_define_constant(s, node->outputs[0], &tensor);
}
