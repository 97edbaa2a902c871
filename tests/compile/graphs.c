#include "tests/compile/graphs.h"

#include "graph/op.h"

#include <string.h>

#define CHANNELS 4
#define SIDE 8

/* --- nodes ----------------------------------------------------------------------------------------------- */

/* NULL where memory has run out, or an operand is NULL for that reason. */
static struct value *add_node(struct graph *graph, const char *op, int input_count, struct value *const *inputs,
                              int attribute_count, const struct attribute *attributes)
{
    for (int i = 0; i < input_count; i++)
        if (!inputs[i])
            return NULL;
    char *name = region_format(graph->region, "v%d", graph->value_count);
    struct value *output = name ? graph_add_value(graph, name, DTYPE_NONE, -1, NULL) : NULL;
    bool added = output && graph_add_node(graph, op_find("", op), NEWEST_OPSET, name, input_count, inputs, 1, &output,
                                          attribute_count, attributes);
    return added ? output : NULL;
}

static struct value *add1(struct graph *graph, const char *op, struct value *x)
{
    return add_node(graph, op, 1, &x, 0, NULL);
}

static struct value *add2(struct graph *graph, const char *op, struct value *a, struct value *b)
{
    return add_node(graph, op, 2, (struct value *[]){a, b}, 0, NULL);
}

/* A list of an attribute, as long-lived as the graph. */
static const int64_t *keep(struct graph *graph, int count, const int64_t *list)
{
    int64_t *copy = region_array(graph->region, (size_t)count, sizeof *copy);
    return copy ? memcpy(copy, list, (size_t)count * sizeof *copy) : NULL;
}

static const struct attribute *keep_all(struct graph *graph, int count, const struct attribute *attributes)
{
    struct attribute *copies = region_array(graph->region, (size_t)count + 1, sizeof *copies);
    for (int i = 0; copies && i < count; i++) {
        copies[i] = attributes[i];
        if (copies[i].kind != ATTRIBUTE_INTS)
            continue;
        copies[i].ints = keep(graph, (int)attributes[i].count, attributes[i].ints);
        if (!copies[i].ints)
            return NULL;
    }
    return copies;
}

/* No two the same: equal nodes are merged. */
static struct value *weights(struct graph *graph, int rank, const int64_t *dims)
{
    int64_t elements;
    if (!shape_elements(rank, dims, &elements))
        return NULL;
    float *data = region_array(graph->region, (size_t)elements, sizeof *data);
    for (int64_t i = 0; data && i < elements; i++)
        data[i] = (float)(i ? i % 7 - 3 : graph->value_count) / 8;
    char *name = region_format(graph->region, "w%d", graph->value_count);
    return data && name ? graph_add_constant(graph, name, DTYPE_F32, rank, dims, data) : NULL;
}

static struct value *ints(struct graph *graph, int64_t count, const int64_t *list)
{
    const int64_t *data = keep(graph, (int)count, list);
    char *name = region_format(graph->region, "i%d", graph->value_count);
    return data && name ? graph_add_constant(graph, name, DTYPE_I64, 1, &count, data) : NULL;
}

/* From `inputs` channels to `outputs`, one position to one. */
static struct value *point_conv(struct graph *graph, struct value *x, int64_t inputs, int64_t outputs)
{
    struct value *w = weights(graph, 4, (const int64_t[]){outputs, inputs, 1, 1});
    return add2(graph, "Conv", x, w);
}

static struct value *transposed(struct graph *graph, struct value *x, const int64_t *perm)
{
    const struct attribute *attributes = keep_all(graph, 1, (struct attribute[]){ATTRIBUTE_LIST("perm", 4, perm)});
    return attributes ? add_node(graph, "Transpose", 1, &x, 1, attributes) : NULL;
}

static struct value *joined(struct graph *graph, int count, struct value *const *parts, int64_t axis)
{
    const struct attribute *attributes = keep_all(graph, 1, (struct attribute[]){ATTRIBUTE_I("axis", axis)});
    return attributes ? add_node(graph, "Concat", count, parts, 1, attributes) : NULL;
}

static bool finish(struct graph *graph, struct value *output)
{
    return output && graph_set_outputs(graph, 1, &output);
}

static struct value **room(struct graph *graph, int count)
{
    return region_array(graph->region, (size_t)count + 1, sizeof(struct value *));
}

/* --- graphs ---------------------------------------------------------------------------------------------- */

/* Each branch: a convolution, its transposition, and the copy into its part, which leave one step. Neighbours differ,
 * so that no pass makes one transposition of them all. */
static bool make_wide(struct graph *graph, struct value *input, int steps)
{
    static const int64_t perms[2][4] = {{0, 2, 3, 1}, {0, 3, 2, 1}};
    int count = steps > 0 ? steps : 1;
    struct value **parts = room(graph, count);
    for (int i = 0; parts && i < count; i++)
        parts[i] = transposed(graph, point_conv(graph, input, CHANNELS, 2), perms[i % 2]);
    return parts && finish(graph, joined(graph, count, parts, 3));
}

static bool make_chain(struct graph *graph, struct value *input, int steps)
{
    struct value *x = input;
    for (int i = 0; i < steps; i++)
        x = point_conv(graph, x, CHANNELS, CHANNELS);
    return finish(graph, x);
}

/* Blocks of a convolution and its activation, whose result is added to what goes in. */
static bool make_residual(struct graph *graph, struct value *input, int steps)
{
    struct value *x = input;
    for (int i = 0; i < steps / 2; i++) {
        struct value *y = add1(graph, "Relu", point_conv(graph, x, CHANNELS, CHANNELS));
        x = add2(graph, "Add", x, point_conv(graph, y, CHANNELS, CHANNELS));
    }
    return finish(graph, x);
}

/* Each layer takes in all layers of its block, as in a DenseNet. */
static bool make_dense(struct graph *graph, struct value *input, int steps)
{
    enum { LAYERS = 8 };
    struct value *x = input;
    for (int b = 0; b < (steps + LAYERS) / (LAYERS + 1); b++) {
        struct value *parts[LAYERS + 1] = {x};
        for (int i = 0; i < LAYERS; i++) {
            struct value *all = i ? joined(graph, i + 1, parts, 1) : x;
            parts[i + 1] = point_conv(graph, all, CHANNELS + 2 * i, 2);
        }
        x = point_conv(graph, joined(graph, LAYERS + 1, parts, 1), CHANNELS + 2 * LAYERS, CHANNELS);
    }
    return finish(graph, x);
}

/* Slices of one value, each through a convolution of its own, and a sum of all. */
static bool make_slices(struct graph *graph, struct value *input, int steps)
{
    int64_t count = steps > 0 ? steps : 1, axis = 3;
    struct value *sum = NULL, *axes = ints(graph, 1, &axis);
    struct value *whole =
        transposed(graph, point_conv(graph, input, CHANNELS, 2 * count), (const int64_t[]){0, 2, 3, 1});
    for (int64_t i = 0; i < count; i++) {
        int64_t begin = 2 * i, end = 2 * i + 2;
        struct value *operands[] = {whole, ints(graph, 1, &begin), ints(graph, 1, &end), axes};
        struct value *part = add_node(graph, "Slice", 4, operands, 0, NULL);
        struct value *term = point_conv(graph, part, SIDE, 2);
        sum = i ? add2(graph, "Add", sum, term) : term;
    }
    return finish(graph, sum);
}

/* Softmax over transposed rows, as attention has them: copies that nothing absorbs. */
static bool make_softmax(struct graph *graph, struct value *input, int steps)
{
    struct value *x = input;
    for (int i = 0; i < steps / 3; i++) {
        struct value *y = add1(graph, "Softmax", x);
        x = add2(graph, "MatMul", y, transposed(graph, x, (const int64_t[]){0, 1, 3, 2}));
    }
    return finish(graph, x);
}

/* Elementwise, as far as programs can be joined. */
static bool make_pointwise(struct graph *graph, struct value *input, int steps)
{
    static const char *const functions[] = {"Sigmoid", "Tanh", "Softplus", "Erf"};
    struct value *x = input;
    for (int i = 0; i < steps; i++)
        x = i % 5 == 4 ? add2(graph, "Mul", x, input) : add1(graph, functions[i % 5], x);
    return finish(graph, x);
}

/* One value that all read, and a sum of all. */
static bool make_fan(struct graph *graph, struct value *input, int steps)
{
    struct value *x = point_conv(graph, input, CHANNELS, CHANNELS), *sum = x;
    for (int i = 0; i < steps / 2; i++) {
        struct value *pooled = add1(graph, "Softmax", add2(graph, "Mul", x, weights(graph, 0, NULL)));
        sum = add2(graph, "Add", sum, pooled);
    }
    return finish(graph, sum);
}

/* Values that all live to the end: a chain of activations whose every result is added up in reverse. */
static bool make_deep(struct graph *graph, struct value *input, int steps)
{
    int count = steps / 2 > 0 ? steps / 2 : 1;
    struct value **made = room(graph, count);
    for (int i = 0; made && i < count; i++)
        made[i] = point_conv(graph, i ? made[i - 1] : input, CHANNELS, CHANNELS);
    struct value *x = made ? made[count - 1] : NULL;
    for (int i = count - 2; made && i >= 0; i--)
        x = add2(graph, "Add", point_conv(graph, x, CHANNELS, CHANNELS), made[i]);
    return finish(graph, x);
}

struct conv_kind {
    const char *op;
    int64_t w[4], group, strides[2], dilations[2], pads[4];
    int64_t output_padding;
};

/* A convolution of every kind, over and over; each keeps the image's shape. */
static bool make_kinds(struct graph *graph, struct value *input, int steps)
{
    static const struct conv_kind kinds[] = {
        {"Conv", {4, 4, 1, 1}, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, 0},          /* a point */
        {"Conv", {4, 4, 3, 3}, 1, {1, 1}, {1, 1}, {1, 1, 1, 1}, 0},          /* a window */
        {"Conv", {4, 1, 3, 3}, 4, {1, 1}, {1, 1}, {1, 1, 1, 1}, 0},          /* by channel */
        {"Conv", {4, 2, 5, 1}, 2, {1, 1}, {1, 1}, {2, 0, 2, 0}, 0},          /* groups */
        {"Conv", {4, 4, 3, 3}, 1, {1, 1}, {2, 2}, {2, 2, 2, 2}, 0},          /* dilated */
        {"Conv", {4, 4, 3, 3}, 1, {2, 2}, {1, 1}, {1, 1, 1, 1}, 0},          /* strided, and back: */
        {"ConvTranspose", {4, 4, 3, 3}, 1, {2, 2}, {1, 1}, {1, 1, 1, 1}, 1}, /* transposed */
    };
    enum { COUNT = sizeof kinds / sizeof *kinds };
    struct value *x = input;
    for (int i = 0; i < steps / COUNT * COUNT + COUNT; i++) {
        const struct conv_kind *kind = &kinds[i % COUNT];
        const int64_t output_padding[] = {kind->output_padding, kind->output_padding};
        const struct attribute *attributes = keep_all(
            graph, kind->output_padding ? 5 : 4,
            (struct attribute[]){ATTRIBUTE_I("group", kind->group), ATTRIBUTE_LIST("strides", 2, kind->strides),
                                 ATTRIBUTE_LIST("dilations", 2, kind->dilations), ATTRIBUTE_LIST("pads", 4, kind->pads),
                                 ATTRIBUTE_LIST("output_padding", 2, output_padding)});
        struct value *operands[] = {x, weights(graph, 4, kind->w)};
        x = attributes ? add_node(graph, kind->op, 2, operands, kind->output_padding ? 5 : 4, attributes) : NULL;
    }
    return finish(graph, x);
}

const struct generated generated_graphs[] = {
    {"wide", "convolutions, each transposed, in one concatenation", make_wide},
    {"chain", "convolutions, one after the other", make_chain},
    {"residual", "blocks of two convolutions around which the input goes", make_residual},
    {"dense", "blocks of layers, each of which reads all before it", make_dense},
    {"slices", "slices of one value, a convolution each, and the sum of all", make_slices},
    {"softmax", "softmax and a product by the transposed input", make_softmax},
    {"deep", "convolutions down and up again, with all results alive between", make_deep},
    {"pointwise", "elementwise operators, one after the other", make_pointwise},
    {"fan", "softmax of one value times a number, over and over, and the sum of all", make_fan},
    {"kinds", "a convolution of every kind", make_kinds},
    {NULL, NULL, NULL},
};

struct graph *generate_graph(const char *name, int steps, struct region *region)
{
    const struct generated *kind = generated_graphs;
    while (kind->name && strcmp(kind->name, name) != 0)
        kind++;
    struct graph *graph = kind->name ? graph_create(region, name) : NULL;
    const int64_t dims[] = {1, CHANNELS, SIDE, SIDE};
    struct value *input = graph ? graph_add_value(graph, "input", DTYPE_F32, 4, dims) : NULL;
    bool made = input && graph_set_inputs(graph, 1, &input) && kind->make(graph, input, steps);
    return made ? graph : NULL;
}
