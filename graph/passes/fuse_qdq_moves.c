/* What only moves elements does to integers what it does to the numbers that they stand for, as long as all have one
 * scale: so it can move the integers, which are a quarter as large. */
#include "graph/passes/fuse_qdq.h"

#include <math.h>

/* Operators in a row that are looked through. */
#define MOST_MOVES 16

/* --- parameters ------------------------------------------------------------------------------------------ */

double scale_at(const struct quantised *q, int64_t i)
{
    double scale = 0;
    value_number_at(q->scale, value_elements(q->scale) == 1 ? 0 : i, &scale);
    return scale;
}

double zero_at(const struct quantised *q, int64_t i)
{
    double zero = 0;
    if (q->zero)
        value_number_at(q->zero, value_elements(q->zero) == 1 ? 0 : i, &zero);
    return zero;
}

bool same_parameters(const struct quantised *a, const struct quantised *b)
{
    return a->dtype == b->dtype && a->axis < 0 && b->axis < 0 && scale_at(a, 0) == scale_at(b, 0) &&
           zero_at(a, 0) == zero_at(b, 0);
}

static bool is_8_bit(enum dtype dtype)
{
    return dtype == DTYPE_I8 || dtype == DTYPE_U8;
}

static bool read_parameters(const struct node *node, struct quantised *q)
{
    q->scale = node->inputs[1];
    q->zero = node->input_count > 2 ? node->inputs[2] : NULL;
    q->axis = -1;
    if (!q->scale->data)
        return false;
    int64_t count = value_elements(q->scale);
    /* A list that weights have may be stored in float16, as long as what comes of it is float32. */
    bool half = q->scale->dtype == DTYPE_F16 && count > 1 && node_int(node, "output_dtype") == DTYPE_F32;
    if ((q->scale->dtype != DTYPE_F32 && !half) || node_int(node, "block_size") != 0)
        return false;
    if (q->zero && (!q->zero->data || value_elements(q->zero) != count))
        return false;
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(scale_at(q, i)))
            return false;
    return count == 1 || (count > 1 && q->scale->rank == 1);
}

/* The type that a QuantizeLinear makes. */
static enum dtype quantised_type(const struct node *node)
{
    const struct value *zero = node->input_count > 2 ? node->inputs[2] : NULL;
    int64_t dtype = node_int(node, "output_dtype");
    return zero ? zero->dtype : dtype != DTYPE_NONE ? (enum dtype)dtype : DTYPE_U8;
}

bool read_quantize(const struct node *node, struct quantised *result)
{
    *result = (struct quantised){.dtype = DTYPE_NONE};
    if (!is_op(node, "QuantizeLinear") || !read_parameters(node, result) || node_int(node, "precision") != DTYPE_NONE)
        return false;
    result->dtype = quantised_type(node);
    return is_8_bit(result->dtype) && result->axis < 0 && value_elements(result->scale) == 1;
}

/* The type of a value as far as it is sure. */
static enum dtype known_type(const struct rewriter *r, const struct node *dequantize)
{
    const struct value *x = dequantize->inputs[0];
    const struct value *zero = dequantize->input_count > 2 ? dequantize->inputs[2] : NULL;
    const struct node *quantize = rewrite_maker(r, x, "QuantizeLinear");
    return zero ? zero->dtype : quantize ? quantised_type(quantize) : rewrite_dtype(r, x);
}

bool read_dequantize(const struct rewriter *r, struct node *node, struct quantised *result)
{
    *result = (struct quantised){.node = node};
    if (!is_op(node, "DequantizeLinear") || !read_parameters(node, result))
        return false;
    int64_t output = node_int(node, "output_dtype");
    struct value *x = node->inputs[0];
    result->dtype = known_type(r, node);
    if (!is_8_bit(result->dtype) || (output != DTYPE_NONE && output != DTYPE_F32))
        return false;
    if (value_elements(result->scale) > 1) {
        int64_t axis = x->rank == 1 ? 0 : node_int(node, "axis");
        if (!rewrite_is_sure(r, x) || x->rank < 1 || axis < -x->rank || axis >= x->rank)
            return false;
        result->axis = (int)(axis < 0 ? axis + x->rank : axis);
        if (x->dims[result->axis] != value_elements(result->scale))
            return false;
    }
    result->integers = x;
    return true;
}

/* --- operators that move --------------------------------------------------------------------------------- */

/* They move elements of their first input, of any type; what else they read says where to. */
static bool only_moves(const struct node *node)
{
    static const char *const names[] = {"DepthToSpace", "Expand",   "Flatten",   "Gather",   "GatherElements",
                                        "GatherND",     "Identity", "Reshape",   "Slice",    "SpaceToDepth",
                                        "Squeeze",      "Tile",     "Transpose", "Unsqueeze"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]))
            return true;
    return false;
}

static bool is_nearest(const struct node *node)
{
    return is_op(node, "Resize") && strcmp(node_string(node, "mode"), "nearest") == 0 &&
           strcmp(node_string(node, "coordinate_transformation_mode"), "tf_crop_and_resize") != 0;
}

/* The order of integers is that of the numbers; padding is below both. */
static bool is_largest(const struct node *node, const struct quantised *q)
{
    return is_op(node, "MaxPool") && !(node->output_count > 1 && node->outputs[1]) && scale_at(q, 0) > 0;
}

/* What a Pad by the number needs to pad integers with; false: no integer stands for it. */
static bool read_fill(const struct node *node, const struct quantised *q, double *fill)
{
    const struct value *number = node->input_count > 2 ? node->inputs[2] : NULL;
    double value = 0;
    if (!is_op(node, "Pad") || node->input_count < 2 || (number && !rewrite_scalar(number, &value)))
        return false;
    *fill = value / scale_at(q, 0) + zero_at(q, 0);
    double low = q->dtype == DTYPE_I8 ? -128 : 0;
    /* (fill - zero) scale is the number to the bit */
    return *fill == rint(*fill) && *fill >= low && *fill <= low + 255 &&
           (float)(*fill - zero_at(q, 0)) * (float)scale_at(q, 0) == (float)value;
}

/* --- moving integers ------------------------------------------------------------------------------------- */

static enum status look(struct rewriter *r, struct value *value, int depth, struct quantised *result);

/* Weights that are moved are moved now: what reads them asks for their shape. The node goes when constants are folded.
 */
static enum status compute(struct rewriter *r, const struct value *moved)
{
    const struct evaluator *evaluator = &r->context->resolve.evaluator;
    struct node *node = r->makers[moved->id];
    struct op_context c = r->c;
    c.node = node;
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] && !node->inputs[i]->data)
            return STATUS_OK;
    TRY(node->op->shapes(&c));
    size_t limit = r->context->resolve.constant_limit, made = r->context->constant_bytes;
    if (!rewrite_fits(r, value_bytes(moved)))
        return STATUS_OK;
    return evaluator->evaluate(evaluator->user, r->c.graph, node, limit - made, &r->context->constant_bytes,
                               r->c.error);
}

/* The node over integers: as the float one, but for the first inputs. */
static enum status move(struct rewriter *r, const struct node *node, int count, struct value *const *integers,
                        struct quantised *result)
{
    struct value **inputs = region_array(&r->context->scratch, (size_t)node->input_count + 1, sizeof *inputs);
    double fill;
    int input_count = node->input_count;
    if (!inputs)
        return op_no_memory(&r->c);
    memcpy(inputs, node->inputs, (size_t)input_count * sizeof *inputs);
    memcpy(inputs, integers, (size_t)count * sizeof *inputs);
    if (read_fill(node, result, &fill)) {
        int8_t byte = (int8_t)(uint8_t)(int)fill;
        inputs[2] = rewrite_constant(r, result->dtype, 0, NULL, &byte);
        if (!inputs[2])
            return op_built(&r->c);
        input_count = input_count < 3 ? 3 : input_count;
    }
    result->integers = rewrite_copy(r, node, input_count, inputs);
    result->node = NULL;
    if (!result->integers)
        return r->c.error->status;
    return inputs[0]->data ? compute(r, result->integers) : STATUS_OK;
}

/* All parts have the same parameters. */
static enum status look_at_parts(struct rewriter *r, struct node *node, int depth, struct quantised *result)
{
    struct value **parts = region_array(&r->context->scratch, (size_t)node->input_count, sizeof *parts);
    if (!parts)
        return op_no_memory(&r->c);
    for (int i = 0; i < node->input_count; i++) {
        struct quantised part;
        TRY(look(r, node->inputs[i], depth, &part));
        if (!part.integers || part.axis >= 0 || (i > 0 && !same_parameters(&part, result))) {
            *result = (struct quantised){.integers = NULL};
            return STATUS_OK;
        }
        *result = part;
        parts[i] = part.integers;
    }
    return node->input_count ? move(r, node, node->input_count, parts, result) : STATUS_OK;
}

/* Where an axis has gone in a Transpose of a value of known rank. */
static bool transposed_axis(const struct node *node, const struct value *x, int *axis)
{
    const struct attribute *perm = node_attribute_of(node, "perm", ATTRIBUTE_INTS);
    if (!is_op(node, "Transpose") || (perm && perm->count != (size_t)x->rank))
        return false;
    for (int i = 0; i < x->rank; i++)
        if ((perm ? perm->ints[i] : x->rank - 1 - i) == *axis) {
            *axis = i;
            return true;
        }
    return false;
}

static enum status look_behind(struct rewriter *r, struct node *node, int depth, struct quantised *result)
{
    double fill;
    if (is_op(node, "Concat"))
        return look_at_parts(r, node, depth, result);
    if (!only_moves(node) && !is_nearest(node) && !is_op(node, "MaxPool") && !is_op(node, "Pad"))
        return STATUS_OK;
    struct quantised from;
    TRY(look(r, node->inputs[0], depth, &from));
    bool movable = only_moves(node) || is_nearest(node);
    if (!from.integers || (from.axis >= 0 && !transposed_axis(node, from.integers, &from.axis)) ||
        !(movable || is_largest(node, &from) || read_fill(node, &from, &fill)))
        return STATUS_OK;
    *result = from;
    return move(r, node, 1, &from.integers, result);
}

/* One part of a Split, as a slice of integers; where shapes tell which. */
static enum status look_at_whole(struct rewriter *r, const struct node *split, const struct value *part, int depth,
                                 struct quantised *result)
{
    int64_t axis = node_int(split, "axis"), start = 0;
    int rank = part->rank;
    if (!r->context->shaped || part->dims_at_run || rank < 1 || axis < -rank || axis >= rank)
        return STATUS_OK;
    axis = axis < 0 ? axis + rank : axis;
    for (int i = 0; split->outputs[i] != part; i++) {
        if (!split->outputs[i] || split->outputs[i]->dims_at_run)
            return STATUS_OK;
        start += split->outputs[i]->dims[axis];
    }
    struct quantised from;
    TRY(look(r, split->inputs[0], depth, &from));
    if (!from.integers || from.axis >= 0)
        return STATUS_OK;
    const int64_t one = 1, end = start + part->dims[axis];
    struct value *inputs[4] = {from.integers, rewrite_constant(r, DTYPE_I64, 1, &one, &start),
                               rewrite_constant(r, DTYPE_I64, 1, &one, &end),
                               rewrite_constant(r, DTYPE_I64, 1, &one, &axis)};
    if (!inputs[1] || !inputs[2] || !inputs[3])
        return op_built(&r->c);
    *result = from;
    result->node = NULL;
    result->integers = rewrite_build(r, op_find("", "Slice"), 4, inputs, 0, NULL);
    return result->integers ? STATUS_OK : r->c.error->status;
}

static enum status look(struct rewriter *r, struct value *value, int depth, struct quantised *result)
{
    const struct narrowing *known = r->user;
    struct node *maker = !value->data && value->id < r->capacity ? r->makers[value->id] : NULL;
    const bool part = is_op(maker, "Split");
    *result = (struct quantised){.integers = NULL};
    if (!maker || (maker->outputs[0] != value && !part) || value->id >= known->count)
        return STATUS_OK;
    if (known->looked[value->id]) {
        *result = known->of[value->id];
        return STATUS_OK;
    }
    if (!read_dequantize(r, maker, result)) {
        *result = (struct quantised){.integers = NULL};
        if (depth == MOST_MOVES)
            return STATUS_OK;
        TRY(part ? look_at_whole(r, maker, value, depth + 1, result) : look_behind(r, maker, depth + 1, result));
    }
    known->looked[value->id] = 1;
    known->of[value->id] = *result;
    return STATUS_OK;
}

enum status as_integers(struct rewriter *r, struct value *value, struct quantised *result)
{
    return look(r, value, 0, result);
}
