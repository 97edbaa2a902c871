/* Sequences and optionals: lists of values that are known while a graph is resolved (struct value_list). */
#include "graph/ops/build.h"

#include <string.h>

/* No node has more operands. */
#define MOST_ELEMENTS ANY_COUNT

/* A body is written out for each element: so many nodes in all. */
#define MOST_MAPPED_NODES (1 << 20)

/* --- tools -------------------------------------------------------------------------------------------------------- */

static enum status require_sequence(struct op_context *c, int i, const struct value_list **list)
{
    *list = op_input(c, i)->list;
    if (!*list || (*list)->optional)
        return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' is no sequence", i, op_input(c, i)->name);
    return STATUS_OK;
}

static enum status require_tensor(struct op_context *c, int i)
{
    if (op_input(c, i)->list)
        return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' is no tensor", i, op_input(c, i)->name);
    return STATUS_OK;
}

/* Position 0 to `last` in a list of `count`, which input i gives from either end; `last` where it is absent. */
static enum status read_position(struct op_context *c, int i, int count, int last, int *position)
{
    int64_t given;
    int numbers;
    *position = last;
    if (!op_input(c, i))
        return STATUS_OK;
    TRY(require_tensor(c, i));
    TRY(op_require(c, i, TYPES_INDEX));
    TRY(op_ints(c, i, 1, &given, &numbers));
    if (numbers != 1)
        return op_error(c, STATUS_INVALID_MODEL, "the position must be one number");
    if (given < -(int64_t)count || given > last)
        return op_error(c, STATUS_INVALID_ARGUMENT, "position %lld is outside a sequence of %d", (long long)given,
                        count);
    *position = (int)(given < 0 ? given + count : given);
    return STATUS_OK;
}

/* Room for `count` values; NULL: c->error says why. */
static struct value **reserve(struct op_context *c, int count)
{
    struct value **values = region_array(c->graph->region, (size_t)count, sizeof *values);
    if (!values)
        op_no_memory(c);
    return values;
}

/* Tensors of a sequence have one type. */
static enum status check_type(struct op_context *c, const struct value_list *list, const struct value *value)
{
    enum dtype dtype = list->count ? list->values[0]->dtype : list->dtype;
    if (dtype != DTYPE_NONE && dtype != value->dtype)
        return op_error(c, STATUS_INVALID_MODEL, "'%s' is %s; the sequence holds %s", value->name,
                        dtype_name(value->dtype), dtype_name(dtype));
    return STATUS_OK;
}

/* Output 0 is the list without the `removed` values at a position, and with `added` (NULL: nothing) there instead. */
static enum status set_spliced(struct op_context *c, const struct value_list *list, int position, int removed,
                               struct value *added)
{
    struct value **values = reserve(c, list->count + 1);
    int count = position, after = list->count - position - removed;
    if (!values)
        return op_built(c);
    if (count)
        memcpy(values, list->values, (size_t)count * sizeof *values);
    if (added)
        values[count++] = added;
    if (after)
        memcpy(values + count, list->values + position + removed, (size_t)after * sizeof *values);
    enum dtype dtype = list->count ? list->values[0]->dtype : list->dtype;
    return op_set_list(c, 0, &(struct value_list){.dtype = dtype, .count = count + after, .values = values});
}

/* --- making and changing sequences -------------------------------------------------------------------------------- */

static enum status shapes_empty(struct op_context *c)
{
    return op_set_list(c, 0, &(struct value_list){.dtype = (enum dtype)op_int_or(c, "dtype", DTYPE_F32)});
}

OPERATOR(SequenceEmpty, 0, 0, 1, 1, shapes_empty, .flags = OP_MAKES_SEQUENCES)

static enum status shapes_construct(struct op_context *c)
{
    const struct value_list list = {.count = c->node->input_count, .values = c->node->inputs};
    for (int i = 0; i < list.count; i++) {
        TRY(require_tensor(c, i));
        TRY(check_type(c, &list, list.values[i]));
    }
    return op_set_list(c, 0, &list);
}

OPERATOR(SequenceConstruct, 1, ANY_COUNT, 1, 1, shapes_construct, .flags = OP_TAKES_SEQUENCES | OP_MAKES_SEQUENCES)

static enum status shapes_insert(struct op_context *c)
{
    const struct value_list *list;
    int position;
    TRY(require_sequence(c, 0, &list));
    TRY(require_tensor(c, 1));
    TRY(check_type(c, list, op_input(c, 1)));
    TRY(read_position(c, 2, list->count, list->count, &position));
    if (list->count == MOST_ELEMENTS)
        return op_error(c, STATUS_UNSUPPORTED, "a sequence of more than %d tensors is not supported", MOST_ELEMENTS);
    return set_spliced(c, list, position, 0, op_input(c, 1));
}

OPERATOR(SequenceInsert, 2, 3, 1, 1, shapes_insert, .flags = OP_TAKES_SEQUENCES | OP_MAKES_SEQUENCES)

static enum status shapes_erase(struct op_context *c)
{
    const struct value_list *list;
    int position;
    TRY(require_sequence(c, 0, &list));
    TRY(read_position(c, 1, list->count, list->count - 1, &position));
    if (list->count == 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the sequence is empty");
    return set_spliced(c, list, position, 1, NULL);
}

OPERATOR(SequenceErase, 1, 2, 1, 1, shapes_erase, .flags = OP_TAKES_SEQUENCES | OP_MAKES_SEQUENCES)

/* --- SplitToSequence ---------------------------------------------------------------------------------------------- */

struct cut {
    int axis, count;
    int64_t *sizes;
    bool keeps_axis;
};

static enum status too_many_parts(struct op_context *c, int64_t parts)
{
    return op_error(c, STATUS_UNSUPPORTED, "a sequence of %lld tensors is not supported; at most %d are",
                    (long long)parts, MOST_ELEMENTS);
}

/* Parts of one size, the last of what is left. */
static enum status cut_evenly(struct op_context *c, int64_t dim, int64_t size, struct cut *cut)
{
    if (size < 1)
        return op_error(c, STATUS_INVALID_ARGUMENT, "parts of %lld elements make no sense", (long long)size);
    int64_t parts = dim / size + (dim % size != 0);
    if (parts > MOST_ELEMENTS)
        return too_many_parts(c, parts);
    cut->count = (int)parts;
    cut->sizes = region_array(c->graph->region, (size_t)parts, sizeof *cut->sizes);
    if (!cut->sizes)
        return op_no_memory(c);
    for (int64_t i = 0; i < parts; i++)
        cut->sizes[i] = i + 1 < parts ? size : dim - i * size;
    return STATUS_OK;
}

static enum status cut_by_list(struct op_context *c, int64_t dim, struct cut *cut)
{
    int64_t parts = op_input(c, 1)->dims[0], left = dim;
    if (parts > MOST_ELEMENTS)
        return too_many_parts(c, parts);
    cut->sizes = region_array(c->graph->region, (size_t)parts, sizeof *cut->sizes);
    if (!cut->sizes)
        return op_no_memory(c);
    TRY(op_ints(c, 1, MOST_ELEMENTS, cut->sizes, &cut->count));
    for (int i = 0; i < cut->count; i++) {
        if (cut->sizes[i] < 0 || cut->sizes[i] > left)
            return op_error(c, STATUS_INVALID_ARGUMENT, "part %d has %lld elements, %lld are left", i,
                            (long long)cut->sizes[i], (long long)left);
        left -= cut->sizes[i];
    }
    if (left != 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the parts leave %lld elements over", (long long)left);
    return STATUS_OK;
}

static enum status read_cut(struct op_context *c, struct cut *cut)
{
    const struct value *input = op_input(c, 0), *split = op_input(c, 1);
    int64_t size = 1;
    int count;
    TRY(op_axis(c, "axis", op_int(c, "axis"), input->rank, &cut->axis));
    cut->keeps_axis = split || op_int(c, "keepdims") != 0;
    if (!split)
        return cut_evenly(c, input->dims[cut->axis], 1, cut);
    TRY(require_tensor(c, 1));
    TRY(op_require(c, 1, TYPES_INDEX));
    TRY(op_require_rank(c, 1, 0, 1));
    if (split->rank == 1)
        return cut_by_list(c, input->dims[cut->axis], cut);
    TRY(op_ints(c, 1, 1, &size, &count));
    return cut_evenly(c, input->dims[cut->axis], size, cut);
}

static enum status shapes_split_to_sequence(struct op_context *c)
{
    struct cut cut;
    TRY(require_tensor(c, 0));
    return read_cut(c, &cut);
}

static enum status expand_split_to_sequence(struct op_context *c)
{
    struct cut cut;
    TRY(read_cut(c, &cut));
    struct value **parts = reserve(c, cut.count), *x = op_input(c, 0);
    struct value *inputs[2] = {x, build_ints(c, cut.count, cut.sizes)};
    const struct attribute axis = ATTRIBUTE_I("axis", cut.axis);
    if (!parts || !inputs[1])
        return op_no_memory(c);
    if (cut.count > 0)
        TRY(op_build_many(c, "", "Split", 2, inputs, cut.count, parts, 1, &axis));
    struct value *axes = build_ints(c, 1, (int64_t[]){cut.axis});
    for (int i = 0; i < cut.count && !cut.keeps_axis; i++)
        parts[i] = op_build2(c, "Squeeze", parts[i], axes);
    TRY(op_built(c));
    return op_set_list(c, 0, &(struct value_list){.dtype = x->dtype, .count = cut.count, .values = parts});
}

OPERATOR(SplitToSequence, 1, 2, 1, 1, shapes_split_to_sequence, .flags = OP_TAKES_SEQUENCES | OP_MAKES_SEQUENCES,
         .expand = expand_split_to_sequence)

/* --- from sequences ----------------------------------------------------------------------------------------------- */

static enum status set_scalar(struct op_context *c, enum dtype dtype, int64_t number)
{
    const struct value *constant = op_constant_scalar(c, dtype, (double)number);
    if (!constant)
        return op_no_memory(c);
    TRY(op_set_output(c, 0, dtype, 0, NULL));
    op_set_data(c, 0, constant->data);
    return STATUS_OK;
}

static enum status shapes_length(struct op_context *c)
{
    const struct value_list *list;
    TRY(require_sequence(c, 0, &list));
    return set_scalar(c, DTYPE_I64, list->count);
}

OPERATOR(SequenceLength, 1, 1, 1, 1, shapes_length, .flags = OP_TAKES_SEQUENCES)

static enum status read_element(struct op_context *c, struct value **element)
{
    const struct value_list *list;
    int position;
    TRY(require_sequence(c, 0, &list));
    TRY(read_position(c, 1, list->count, list->count - 1, &position));
    *element = list->values[position];
    return STATUS_OK;
}

static enum status shapes_at(struct op_context *c)
{
    struct value *element;
    TRY(read_element(c, &element));
    return op_set_output(c, 0, element->dtype, element->rank, element->dims);
}

static enum status expand_at(struct op_context *c)
{
    struct value *element;
    TRY(read_element(c, &element));
    return op_build_identity(c, element, op_output(c, 0));
}

OPERATOR(SequenceAt, 2, 2, 1, 1, shapes_at, .flags = OP_TAKES_SEQUENCES, .expand = expand_at)

static enum status shapes_concat_from(struct op_context *c)
{
    const struct value_list *list;
    TRY(require_sequence(c, 0, &list));
    if (list->count == 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the sequence is empty");
    if (!op_has(c, "axis"))
        return op_error(c, STATUS_INVALID_MODEL, "attribute 'axis' is missing");
    return STATUS_OK;
}

/* The parts along an axis of theirs, or each at a place of an axis that is new. */
static enum status expand_concat_from(struct op_context *c)
{
    const struct value_list *list = op_input(c, 0)->list;
    int axis, rank = list->values[0]->rank + (op_int(c, "new_axis") != 0);
    TRY(op_axis(c, "axis", op_int(c, "axis"), rank, &axis));
    struct value **parts = reserve(c, list->count), *axes = build_ints(c, 1, (int64_t[]){axis});
    const struct attribute attribute = ATTRIBUTE_I("axis", axis);
    if (!parts || !axes)
        return op_no_memory(c);
    for (int i = 0; i < list->count; i++)
        parts[i] = op_int(c, "new_axis") ? op_build2(c, "Unsqueeze", list->values[i], axes) : list->values[i];
    op_build(c, "Concat", list->count, parts,
             &(struct op_build_options){.output = op_output(c, 0), .attributes = &attribute, .attribute_count = 1});
    return op_built(c);
}

OPERATOR(ConcatFromSequence, 1, 1, 1, 1, shapes_concat_from, .flags = OP_TAKES_SEQUENCES, .expand = expand_concat_from)

/* SequenceElements, of our own: a sequence that leaves a model as so many tensors. */
static enum status shapes_elements(struct op_context *c)
{
    const struct value_list *list;
    TRY(require_sequence(c, 0, &list));
    if (list->count != c->node->output_count)
        return op_error(c, STATUS_INVALID_ARGUMENT, "'%s' has %d tensors; it was said to have %d", op_input(c, 0)->name,
                        list->count, c->node->output_count);
    for (int i = 0; i < list->count; i++)
        TRY(op_set_output(c, i, list->values[i]->dtype, list->values[i]->rank, list->values[i]->dims));
    return STATUS_OK;
}

static enum status expand_elements(struct op_context *c)
{
    for (int i = 0; i < c->node->output_count; i++)
        TRY(op_build_identity(c, op_input(c, 0)->list->values[i], op_output(c, i)));
    return STATUS_OK;
}

const struct op op_infer_SequenceElements = {
    .domain = OWN_DOMAIN,
    .name = "SequenceElements",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = ANY_COUNT,
    .flags = OP_TAKES_SEQUENCES,
    ATTRIBUTES_OF(infer_SequenceElements),
    .shapes = shapes_elements,
    .expand = expand_elements,
};

/* --- SequenceMap -------------------------------------------------------------------------------------------------- */

static enum status shapes_map(struct op_context *c)
{
    const struct node *node = c->node;
    const struct graph *body = op_graph(c, "body");
    const struct value_list *first;
    TRY(require_sequence(c, 0, &first));
    if (!body || body->input_count != node->input_count || body->output_count < node->output_count)
        return op_error(c, STATUS_INVALID_MODEL, "its body does not have the inputs and outputs of the node");
    for (int i = 1; i < node->input_count; i++) {
        const struct value_list *list = node->inputs[i]->list;
        if (list && list->optional)
            return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' is an optional", i, node->inputs[i]->name);
        if (list && list->count != first->count)
            return op_error(c, STATUS_INVALID_ARGUMENT, "its sequences have %d and %d tensors", first->count,
                            list->count);
    }
    if ((int64_t)first->count * (body->node_count + body->output_count) > MOST_MAPPED_NODES)
        return op_error(c, STATUS_UNSUPPORTED, "its body of %d nodes for %d tensors takes too many", body->node_count,
                        first->count);
    return STATUS_OK;
}

/* The body for one element; `made[i]` are what it makes of it. */
static enum status map_element(struct op_context *c, int element, struct value **inputs, struct value **made)
{
    const struct graph *body = op_graph(c, "body");
    for (int i = 0; i < c->node->input_count; i++) {
        struct value *input = c->node->inputs[i];
        inputs[i] = input->list ? input->list->values[element] : input;
    }
    for (int i = 0; i < body->output_count; i++) {
        made[i] = graph_add_value(c->graph, "", DTYPE_NONE, -1, NULL);
        if (!made[i])
            return op_no_memory(c);
    }
    return inline_graph(body, c->graph, c->expansion, inputs, made, c->error);
}

static enum status expand_map(struct op_context *c)
{
    int count = op_input(c, 0)->list->count, results = op_graph(c, "body")->output_count;
    struct value **inputs = reserve(c, c->node->input_count), **made = reserve(c, results);
    struct value **lists = region_array(c->graph->region, (size_t)results * (size_t)count, sizeof *lists);
    if (!inputs || !made || !lists)
        return op_no_memory(c);
    for (int element = 0; element < count; element++) {
        TRY(map_element(c, element, inputs, made));
        for (int i = 0; i < results; i++)
            lists[i * count + element] = made[i];
    }
    for (int i = 0; i < c->node->output_count; i++)
        TRY(op_set_list(c, i, &(struct value_list){.count = count, .values = lists + (size_t)i * (size_t)count}));
    return STATUS_OK;
}

OPERATOR(SequenceMap, 1, ANY_COUNT, 1, ANY_COUNT, shapes_map, .flags = OP_TAKES_SEQUENCES | OP_MAKES_SEQUENCES,
         .expand = expand_map)

/* --- optionals ---------------------------------------------------------------------------------------------------- */

static enum status shapes_optional(struct op_context *c)
{
    const struct value *content = op_input(c, 0);
    if (content && content->list && content->list->optional)
        return op_error(c, STATUS_INVALID_MODEL, "an optional of an optional makes no sense");
    return op_set_list(c, 0,
                       &(struct value_list){.optional = true, .count = content != NULL, .values = c->node->inputs});
}

OPERATOR(Optional, 0, 1, 1, 1, shapes_optional, .flags = OP_TAKES_SEQUENCES | OP_MAKES_SEQUENCES)

static enum status shapes_has_element(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    return set_scalar(c, DTYPE_BOOL, input && !(input->list && input->list->optional && input->list->count == 0));
}

OPERATOR(OptionalHasElement, 0, 1, 1, 1, shapes_has_element, .flags = OP_TAKES_SEQUENCES)

/* What the optional holds; what is none is its own content. */
static enum status read_content(struct op_context *c, struct value **content)
{
    *content = op_input(c, 0);
    const struct value_list *list = (*content)->list;
    if (!list || !list->optional)
        return STATUS_OK;
    if (list->count == 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the optional is empty");
    *content = list->values[0];
    return STATUS_OK;
}

static enum status shapes_get_element(struct op_context *c)
{
    struct value *content;
    TRY(read_content(c, &content));
    return content->list ? op_set_list(c, 0, content->list)
                         : op_set_output(c, 0, content->dtype, content->rank, content->dims);
}

static enum status expand_get_element(struct op_context *c)
{
    struct value *content;
    TRY(read_content(c, &content));
    return op_build_identity(c, content, op_output(c, 0));
}

OPERATOR(OptionalGetElement, 1, 1, 1, 1, shapes_get_element, .flags = OP_TAKES_SEQUENCES, .expand = expand_get_element)
