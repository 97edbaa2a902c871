/* Pad before a window goes into the window's own padding, where that is worth the same: zeros under Conv, LpPool and
 * an AveragePool that counts its padding; what no maximum can come from under MaxPool. */
#include "graph/passes/rewrite.h"

#include <math.h>

/* Of the spatial axes. */
struct spatial_pads {
    int count; /* of axes */
    int64_t begin[MAX_RANK], end[MAX_RANK];
};

/* --- Pad ------------------------------------------------------------------------------------------------- */

/* An attribute (older opsets) or an input as a list of integers; count -1: absent, or not known. */
static int read_list(const struct node *node, const char *name, int input, int64_t *list)
{
    const struct attribute *attribute = node_attribute(node, name);
    const struct value *value = input < node->input_count ? node->inputs[input] : NULL;
    if (attribute && attribute->kind == ATTRIBUTE_INTS && attribute->count <= 2 * MAX_RANK) {
        memcpy(list, attribute->ints, attribute->count * sizeof *list);
        return (int)attribute->count;
    }
    if (attribute || !value || !value->data || value_elements(value) > 2 * MAX_RANK)
        return -1;
    int count = (int)value_elements(value);
    for (int i = 0; i < count; i++)
        if (!value_integer_at(value, i, &list[i]))
            return -1;
    return count;
}

static bool has_input(const struct node *node, int i)
{
    return i < node->input_count && node->inputs[i];
}

/* Of a tensor with so many axes. False where more than spatial axes are padded, or one is cropped. */
static bool read_pads(const struct node *pad, int rank, struct spatial_pads *pads)
{
    int64_t list[2 * MAX_RANK], axes[2 * MAX_RANK];
    int count = read_list(pad, "pads", 1, list), padded = read_list(pad, "axes", 3, axes);
    if (padded < 0 && has_input(pad, 3))
        return false;
    for (int i = 0; padded < 0 && i < rank; i++)
        axes[i] = i;
    padded = padded < 0 ? rank : padded;
    if (count != 2 * padded)
        return false;
    *pads = (struct spatial_pads){.count = rank - 2};
    for (int i = 0; i < padded; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i], begin = list[i], end = list[padded + i];
        if (axis < 0 || axis >= rank || begin < 0 || end < 0 || begin > INT32_MAX || end > INT32_MAX)
            return false;
        if (axis < 2 && (begin != 0 || end != 0))
            return false;
        if (axis >= 2) {
            pads->begin[axis - 2] = begin;
            pads->end[axis - 2] = end;
        }
    }
    return true;
}

/* The constant that it pads with. */
static bool read_fill(const struct node *pad, double *fill)
{
    const struct attribute *mode = node_attribute(pad, "mode");
    if (mode && (mode->kind != ATTRIBUTE_STRING || strcmp(mode->string, "constant") != 0))
        return false;
    *fill = (double)node_float(pad, "value");
    return !has_input(pad, 2) || rewrite_scalar(pad->inputs[2], fill);
}

/* --- windows --------------------------------------------------------------------------------------------- */

static bool own_pads(const struct node *window, int count, struct spatial_pads *pads)
{
    const struct attribute *mode = node_attribute(window, "auto_pad"), *list = node_attribute(window, "pads");
    *pads = (struct spatial_pads){.count = count};
    if (mode && mode->kind == ATTRIBUTE_STRING && strcmp(mode->string, "VALID") == 0)
        return true;
    if (mode && (mode->kind != ATTRIBUTE_STRING || (*mode->string && strcmp(mode->string, "NOTSET") != 0)))
        return false;
    if (list && (list->kind != ATTRIBUTE_INTS || list->count != 2 * (size_t)count))
        return false;
    for (int i = 0; list && i < count; i++) {
        pads->begin[i] = list->ints[i];
        pads->end[i] = list->ints[count + i];
    }
    return true;
}

static bool is_zero(const struct spatial_pads *pads)
{
    for (int i = 0; i < pads->count; i++)
        if (pads->begin[i] != 0 || pads->end[i] != 0)
            return false;
    return true;
}

/* Rank of the input; 0: not known. */
static int window_rank(const struct rewriter *r, const struct node *window)
{
    if (is_op(window, "Conv"))
        return rewrite_is_sure(r, window->inputs[1]) ? window->inputs[1]->rank : 0;
    const struct attribute *kernel = node_attribute(window, "kernel_shape");
    return kernel && kernel->kind == ATTRIBUTE_INTS && kernel->count <= MAX_RANK - 2 ? (int)kernel->count + 2 : 0;
}

/* Every window sees an element besides the padding: no side is as wide as a window. */
static bool reaches_inside(const struct node *pool, const struct spatial_pads *pads)
{
    const struct attribute *kernel = node_attribute(pool, "kernel_shape"),
                           *dilations = node_attribute(pool, "dilations");
    for (int i = 0; i < pads->count; i++) {
        bool apart = dilations &&
                     (dilations->kind != ATTRIBUTE_INTS || (size_t)i >= dilations->count || dilations->ints[i] != 1);
        if (apart || pads->begin[i] >= kernel->ints[i] || pads->end[i] >= kernel->ints[i])
            return false;
    }
    return true;
}

/* No element is below the number, whatever the input. */
static bool is_at_least(const struct rewriter *r, const struct value *x, double number)
{
    if (number == -INFINITY)
        return true;
    if (number != 0)
        return number == -128 && rewrite_dtype(r, x) == DTYPE_I8;
    return rewrite_dtype(r, x) == DTYPE_U8 || rewrite_maker(r, x, "Relu") || rewrite_maker(r, x, "Sigmoid");
}

/* Padding with `fill` is the same as padding of the window's own kind. */
static bool is_alike(const struct rewriter *r, const struct node *window, const struct node *pad, double fill,
                     const struct spatial_pads *added, const struct spatial_pads *own)
{
    if (is_op(window, "Conv") || is_op(window, "LpPool"))
        return fill == 0;
    if (is_op(window, "AveragePool"))
        return fill == 0 && (node_int(window, "count_include_pad") != 0 || is_zero(own));
    struct spatial_pads sum = *added;
    for (int i = 0; i < sum.count; i++) {
        sum.begin[i] += own->begin[i];
        sum.end[i] += own->end[i];
    }
    bool has_positions = window->output_count > 1 && window->outputs[1];
    return is_at_least(r, pad->inputs[0], fill) && !has_positions &&
           (fill == -INFINITY || reaches_inside(window, &sum));
}

/* The window's attributes with other pads. */
static enum status widen(struct rewriter *r, struct node *window, const struct spatial_pads *added,
                         const struct spatial_pads *own, struct value *x)
{
    struct region *region = r->c.graph->region;
    int count = 0;
    struct attribute *attributes = region_array(region, (size_t)window->attribute_count + 2, sizeof *attributes);
    int64_t *pads = region_array(region, 2 * (size_t)added->count, sizeof *pads);
    struct value **inputs = region_array(region, (size_t)window->input_count, sizeof *inputs);
    if (!attributes || !pads || !inputs)
        return op_no_memory(&r->c);
    for (int i = 0; i < window->attribute_count; i++) {
        const char *name = window->attributes[i].name;
        if (strcmp(name, "pads") != 0 && strcmp(name, "auto_pad") != 0 && strcmp(name, "count_include_pad") != 0)
            attributes[count++] = window->attributes[i];
    }
    for (int i = 0; i < added->count; i++) {
        pads[i] = added->begin[i] + own->begin[i];
        pads[added->count + i] = added->end[i] + own->end[i];
    }
    attributes[count++] = ATTRIBUTE_LIST("pads", 2 * added->count, pads);
    if (is_op(window, "AveragePool"))
        attributes[count++] = ATTRIBUTE_I("count_include_pad", 1);
    memcpy(inputs, window->inputs, (size_t)window->input_count * sizeof *inputs);
    inputs[0] = x;
    return rewrite_as(r, window, window->op, window->input_count, inputs, count, attributes);
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct spatial_pads added, own;
    double fill;
    bool is_window =
        is_op(node, "Conv") || is_op(node, "MaxPool") || is_op(node, "AveragePool") || is_op(node, "LpPool");
    const struct node *pad = is_window ? rewrite_maker(r, node->inputs[0], "Pad") : NULL;
    /* A window that sticks out at the end tells the two kinds of padding apart. */
    if (!pad || node_int(node, "ceil_mode") != 0)
        return STATUS_OK;
    int rank = window_rank(r, node);
    if (rank < 3 || !read_pads(pad, rank, &added) || !read_fill(pad, &fill) || !own_pads(node, rank - 2, &own) ||
        !is_alike(r, node, pad, fill, &added, &own))
        return STATUS_OK;
    for (int i = 0; i < added.count; i++)
        if (own.begin[i] < 0 || own.begin[i] > INT32_MAX - added.begin[i] || own.end[i] < 0 ||
            own.end[i] > INT32_MAX - added.end[i])
            return STATUS_OK;
    TRY(rewrite_absorb(r, node, pad));
    return widen(r, node, &added, &own, pad->inputs[0]);
}

enum status fold_pads(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
