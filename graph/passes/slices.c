/* Slice, Split, Concat and Gather of neighbours, once shapes are known: parts of parts, parts put together again, parts
 * of what was put together. */
#include "graph/ops/tools.h"
#include "graph/passes/rewrite.h"

/* A box of consecutive elements of a tensor. */
struct part {
    struct value *whole;
    int64_t start[MAX_RANK], count[MAX_RANK];
};

static bool is_fixed(const struct value *value)
{
    return value->rank >= 0 && !value->dims_at_run;
}

static bool is_whole(const struct part *part)
{
    for (int i = 0; i < part->whole->rank; i++)
        if (part->count[i] != part->whole->dims[i])
            return false;
    return true;
}

/* The axis that an attribute names; false: it is none of input 0. */
static bool find_axis(const struct node *node, int *axis)
{
    int rank = node->inputs[0]->rank;
    int64_t given = node_int(node, "axis");
    given = given < 0 ? given + rank : given;
    *axis = (int)given;
    return given >= 0 && given < rank;
}

static struct part whole_of(struct value *value)
{
    struct part part = {.whole = value};
    memcpy(part.count, value->dims, sizeof part.count);
    return part;
}

/* --- looking --------------------------------------------------------------------------------------------- */

static enum status part_by_slice(struct rewriter *r, struct node *node, struct part *part, bool *found)
{
    struct op_context c = r->c;
    struct slice slice;
    c.node = node;
    if (!is_fixed(node->inputs[0]))
        return STATUS_OK;
    TRY(op_slice(&c, &slice));
    *part = whole_of(node->inputs[0]);
    *found = true;
    for (int i = 0; i < part->whole->rank; i++) {
        *found = *found && (slice.step[i] == 1 || slice.count[i] == 1);
        part->start[i] = slice.start[i];
        part->count[i] = slice.count[i];
    }
    return STATUS_OK;
}

/* Where output i begins. */
static enum status split_start(struct rewriter *r, struct node *node, int i, int axis, int64_t *start)
{
    struct op_context c = r->c;
    int64_t *sizes;
    bool known = true;
    *start = 0;
    for (int k = 0; k < i && known; k++) {
        known = node->outputs[k] && is_fixed(node->outputs[k]);
        *start += known ? node->outputs[k]->dims[axis] : 0;
    }
    if (known)
        return STATUS_OK;
    c.node = node;
    TRY(op_split_sizes(&c, &axis, &sizes));
    *start = 0;
    for (int k = 0; k < i; k++)
        *start += sizes[k];
    return STATUS_OK;
}

static enum status part_by_split(struct rewriter *r, struct node *node, const struct value *output, struct part *part,
                                 bool *found)
{
    int axis, i = 0;
    if (!is_fixed(node->inputs[0]) || !is_fixed(output) || !find_axis(node, &axis))
        return STATUS_OK;
    while (node->outputs[i] != output)
        i++;
    *part = whole_of(node->inputs[0]);
    part->count[axis] = output->dims[axis];
    *found = true;
    return split_start(r, node, i, axis, &part->start[axis]);
}

/* The value as a part of another, by the node that makes it. */
static enum status part_of(struct rewriter *r, struct value *value, struct part *part, bool *found)
{
    struct node *slice = rewrite_maker(r, value, "Slice"), *split = rewrite_maker(r, value, "Split");
    *found = false;
    return slice   ? part_by_slice(r, slice, part, found)
           : split ? part_by_split(r, split, value, part, found)
                   : STATUS_OK;
}

static bool concat_axis(const struct node *concat, int *axis)
{
    for (int i = 0; i < concat->input_count; i++)
        if (!is_fixed(concat->inputs[i]))
            return false;
    return find_axis(concat, axis);
}

/* --- changing -------------------------------------------------------------------------------------------- */

/* Inputs of the Slice that takes the part. */
static bool slice_inputs(struct rewriter *r, const struct part *part, struct value **inputs)
{
    int64_t lists[3][MAX_RANK], count = 0;
    for (int i = 0; i < part->whole->rank; i++) {
        if (part->count[i] == part->whole->dims[i])
            continue;
        lists[0][count] = part->start[i];
        lists[1][count] = part->start[i] + part->count[i];
        lists[2][count++] = i;
    }
    inputs[0] = part->whole;
    for (int i = 0; i < 3; i++)
        if (!(inputs[1 + i] = rewrite_constant(r, DTYPE_I64, 1, &count, lists[i])))
            return false;
    return true;
}

/* The node makes the part. */
static enum status become_part(struct rewriter *r, struct node *node, const struct part *part)
{
    struct value *inputs[4];
    if (is_whole(part))
        return rewrite_forward(r, node, part->whole);
    if (!slice_inputs(r, part, inputs))
        return op_built(&r->c);
    return rewrite_as(r, node, op_find("", "Slice"), 4, inputs, 0, NULL);
}

/* --- Slice ----------------------------------------------------------------------------------------------- */

/* The part lies in one input of the Concat that makes the whole: it is a part of that. */
static bool enter_concat(const struct node *concat, struct part *part)
{
    int axis;
    if (!concat_axis(concat, &axis))
        return false;
    int64_t before = 0, start = part->start[axis], end = start + part->count[axis];
    for (int i = 0; i < concat->input_count; before += concat->inputs[i++]->dims[axis])
        if (start >= before && end <= before + concat->inputs[i]->dims[axis]) {
            part->whole = concat->inputs[i];
            part->start[axis] -= before;
            return true;
        }
    return false;
}

/* Looks through what makes the whole, as far as it is a part or a Concat itself. */
static enum status trace(struct rewriter *r, struct node *node, struct part *part, bool *moved)
{
    for (bool found = true; found;) {
        struct part outer;
        struct value *whole = part->whole;
        const struct node *maker = whole->id < r->capacity && !whole->data ? r->makers[whole->id] : NULL;
        TRY(part_of(r, whole, &outer, &found));
        if (found) {
            for (int i = 0; i < whole->rank; i++)
                part->start[i] += outer.start[i];
            part->whole = outer.whole;
        } else if (is_op(maker, "Concat")) {
            found = enter_concat(maker, part);
        }
        if (found)
            TRY(rewrite_absorb(r, node, maker));
        *moved = *moved || found;
    }
    return STATUS_OK;
}

static enum status visit_slice(struct rewriter *r, struct node *node)
{
    struct part part;
    bool found = false, moved = false;
    TRY(part_by_slice(r, node, &part, &found));
    if (!found)
        return STATUS_OK;
    TRY(trace(r, node, &part, &moved));
    return moved || is_whole(&part) ? become_part(r, node, &part) : STATUS_OK;
}

/* --- Split ----------------------------------------------------------------------------------------------- */

/* One part alone is wanted: a Slice reads no more than that. */
static enum status visit_split(struct rewriter *r, struct node *node)
{
    struct value *wanted = NULL, **outputs;
    struct part part;
    bool found = false;
    for (int i = 0; i < node->output_count; i++) {
        if (!node->outputs[i] || r->readers[node->outputs[i]->id] == 0)
            continue;
        if (wanted)
            return STATUS_OK;
        wanted = node->outputs[i];
    }
    if (!wanted)
        return STATUS_OK;
    TRY(part_by_split(r, node, wanted, &part, &found));
    if (!found)
        return STATUS_OK;
    outputs = region_array(r->c.graph->region, 1, sizeof *outputs);
    if (!outputs)
        return op_no_memory(&r->c);
    outputs[0] = wanted;
    node->outputs = outputs;
    node->output_count = 1;
    return become_part(r, node, &part);
}

/* --- Concat ---------------------------------------------------------------------------------------------- */

/* All inputs in order are neighbouring parts of one tensor: together they are one part. */
static enum status join_parts(struct rewriter *r, const struct node *node, int axis, struct part *joined, bool *found)
{
    TRY(part_of(r, node->inputs[0], joined, found));
    for (int i = 1; *found && i < node->input_count; i++) {
        struct part next;
        TRY(part_of(r, node->inputs[i], &next, found));
        if (!*found || next.whole != joined->whole || next.start[axis] != joined->start[axis] + joined->count[axis]) {
            *found = false;
            break;
        }
        joined->count[axis] += next.count[axis];
        next.start[axis] = joined->start[axis];
        next.count[axis] = joined->count[axis];
        *found = memcmp(next.start, joined->start, (size_t)next.whole->rank * sizeof next.start[0]) == 0 &&
                 memcmp(next.count, joined->count, (size_t)next.whole->rank * sizeof next.count[0]) == 0;
    }
    return STATUS_OK;
}

static struct node *inner_concat(const struct rewriter *r, const struct value *input, int axis)
{
    struct node *inner = rewrite_sole_maker(r, input, "Concat");
    int own;
    return inner && concat_axis(inner, &own) && own == axis ? inner : NULL;
}

/* Longest list of inputs that is put together from others: each time, it is copied. */
#define MOST_FLATTENED 1024

/* Inputs that are Concats along the same axis give way to theirs, and empty inputs go. */
static enum status flatten_concat(struct rewriter *r, struct node *node, int axis)
{
    int count = 0, most = 0;
    bool changed = false;
    for (int i = 0; i < node->input_count; i++) {
        const struct node *inner = inner_concat(r, node->inputs[i], axis);
        most += inner ? inner->input_count : 1;
    }
    if (most > MOST_FLATTENED)
        return STATUS_OK;
    struct value **inputs = region_array(r->c.graph->region, (size_t)most, sizeof *inputs);
    if (!inputs)
        return op_no_memory(&r->c);
    for (int i = 0; i < node->input_count; i++) {
        struct value *input = node->inputs[i];
        const struct node *inner = inner_concat(r, input, axis);
        changed = changed || inner || input->dims[axis] == 0;
        if (inner)
            TRY(rewrite_absorb(r, node, inner));
        for (int k = 0; inner && k < inner->input_count; k++)
            inputs[count++] = inner->inputs[k];
        if (!inner && input->dims[axis] != 0)
            inputs[count++] = input;
    }
    if (!changed || count == 0)
        return STATUS_OK;
    const struct attribute attributes[] = {ATTRIBUTE_I("axis", axis)};
    return rewrite_as(r, node, node->op, count, inputs, 1, attributes);
}

static enum status visit_concat(struct rewriter *r, struct node *node)
{
    struct part joined;
    int axis;
    bool found;
    if (!concat_axis(node, &axis))
        return STATUS_OK;
    TRY(flatten_concat(r, node, axis));
    if (node->input_count == 1)
        return rewrite_forward(r, node, node->inputs[0]);
    TRY(join_parts(r, node, axis, &joined, &found));
    if (!found)
        return STATUS_OK;
    for (int i = 0; i < node->input_count; i++)
        TRY(rewrite_absorb(r, node, r->makers[node->inputs[i]->id]));
    return become_part(r, node, &joined);
}

/* --- Gather ---------------------------------------------------------------------------------------------- */

/* The indices are 0 or 1 axis of first, first + 1, ... within an axis of that size. */
static bool is_range(const struct value *indices, int64_t size, int64_t *first)
{
    int64_t count, index;
    if (!indices->data || indices->rank > 1 || (count = value_elements(indices)) < 1 || count > size)
        return false;
    for (int64_t i = 0; i < count; i++) {
        if (!value_integer_at(indices, i, &index) || index < -size || index >= size)
            return false;
        index = index < 0 ? index + size : index;
        *first = i == 0 ? index : *first;
        if (index != *first + i)
            return false;
    }
    return true;
}

static enum status visit_gather(struct rewriter *r, struct node *node)
{
    struct value *data = node->inputs[0], *inputs[4];
    const struct value *indices = node->inputs[1], *output = node->outputs[0];
    int64_t first;
    int axis;
    if (!is_fixed(data) || !find_axis(node, &axis) || !is_range(indices, data->dims[axis], &first))
        return STATUS_OK;
    struct part part = whole_of(data);
    part.start[axis] = first;
    part.count[axis] = value_elements(indices);
    if (indices->rank == 1)
        return become_part(r, node, &part);
    struct value *sliced = data;
    if (!is_whole(&part))
        sliced = slice_inputs(r, &part, inputs) ? rewrite_build(r, op_find("", "Slice"), 4, inputs, 0, NULL) : NULL;
    int64_t rank = output->rank;
    struct value *shape = sliced ? rewrite_constant(r, DTYPE_I64, 1, &rank, output->dims) : NULL;
    const struct attribute attributes[] = {ATTRIBUTE_I("allowzero", 1)};
    return shape ? rewrite_as(r, node, op_find("", "Reshape"), 2, (struct value *[]){sliced, shape}, 1, attributes)
                 : op_built(&r->c);
}

/* The lists of one Slice, and more. */
#define BYTES_OF_LISTS 1024

static enum status visit(struct rewriter *r, struct node *node)
{
    if (!rewrite_fits(r, BYTES_OF_LISTS))
        return STATUS_OK;
    return is_op(node, "Slice")    ? visit_slice(r, node)
           : is_op(node, "Split")  ? visit_split(r, node)
           : is_op(node, "Concat") ? visit_concat(r, node)
           : is_op(node, "Gather") ? visit_gather(r, node)
                                   : STATUS_OK;
}

enum status tidy_slices(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
