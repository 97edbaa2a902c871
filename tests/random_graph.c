#include "tests/random_graph_maker.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- choices --------------------------------------------------------------------------------------------- */

int64_t roll(struct dice *dice, int64_t below)
{
    if (dice->at < dice->end)
        return *dice->at++ % below;
    dice->state = dice->state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(dice->state >> 33) % below;
}

static float roll_float(struct dice *dice)
{
    return (float)(roll(dice, 251) - 125) / 100;
}

/* --- a graph in the making ------------------------------------------------------------------------------- */

static struct value *any(struct random_maker *m)
{
    /* The newest half the time, so that chains grow. */
    return m->values[roll(m->dice, 2) ? m->count - 1 : roll(m->dice, m->count)];
}

struct value *random_constant(struct random_maker *m, int rank, const int64_t *dims)
{
    int64_t elements;
    shape_elements(rank, dims, &elements);
    float *data = region_array(m->graph->region, (size_t)elements + 1, sizeof *data);
    for (int64_t i = 0; i < elements; i++)
        data[i] = roll_float(m->dice);
    return graph_add_constant(m->graph, "", DTYPE_F32, rank, dims, data);
}

struct value *random_scalar(struct random_maker *m, double number)
{
    float *data = region_allocate(m->graph->region, sizeof *data);
    *data = (float)number;
    return graph_add_constant(m->graph, "", DTYPE_F32, 0, NULL, data);
}

static struct value *ints(struct random_maker *m, int count, const int64_t *numbers)
{
    int64_t length = count, *data = region_array(m->graph->region, (size_t)count + 1, sizeof *data);
    memcpy(data, numbers, (size_t)count * sizeof *data);
    return graph_add_constant(m->graph, "", DTYPE_I64, 1, &length, data);
}

static bool suits(const struct value *output)
{
    return output->dtype == DTYPE_F32 && output->rank >= 0 && output->rank <= 6 && !output->dims_at_run &&
           value_elements(output) > 0 && value_elements(output) <= RANDOM_MOST_ELEMENTS;
}

/* Attributes whose lists live as long as the graph. */
static const struct attribute *kept(struct random_maker *m, int count, const struct attribute *attributes)
{
    struct attribute *copies = region_array(m->graph->region, (size_t)count + 1, sizeof *copies);
    for (int i = 0; i < count; i++) {
        copies[i] = attributes[i];
        if (attributes[i].kind != ATTRIBUTE_INTS)
            continue;
        int64_t *list = region_array(m->graph->region, attributes[i].count + 1, sizeof *list);
        memcpy(list, attributes[i].ints, attributes[i].count * sizeof *list);
        copies[i].ints = list;
    }
    return copies;
}

struct value *random_node(struct random_maker *m, const char *name, int input_count, struct value *const *inputs,
                          int output_count, int attribute_count, const struct attribute *attributes)
{
    struct graph *graph = m->graph;
    struct value *outputs[3];
    char label[32];
    if (m->count + output_count > RANDOM_MOST_VALUES)
        return NULL;
    for (int i = 0; i < input_count; i++)
        if (!inputs[i])
            return NULL;
    for (int i = 0; i < output_count; i++) {
        snprintf(label, sizeof label, "v%d", graph->value_count);
        outputs[i] = graph_add_value(graph, label, DTYPE_NONE, -1, NULL);
    }
    snprintf(label, sizeof label, "%s_%d", name, graph->node_count);
    struct error error = {0};
    struct node *made = graph_add_node(graph, op_find("", name), 22, label, input_count, inputs, output_count, outputs,
                                       attribute_count, kept(m, attribute_count, attributes));
    struct op_context c = {.graph = graph, .node = made, .error = &error};
    bool fits = made->op->shapes(&c) == STATUS_OK;
    for (int i = 0; i < output_count; i++)
        fits = fits && suits(outputs[i]);
    if (!fits) {
        graph->node_count--;
        graph->value_count -= output_count;
        return NULL;
    }
    for (int i = 0; i < output_count; i++)
        m->values[m->count++] = outputs[i];
    return outputs[0];
}

static struct value *node1(struct random_maker *m, const char *name, struct value *a)
{
    return random_node(m, name, 1, &a, 1, 0, NULL);
}

struct value *random_node2(struct random_maker *m, const char *name, struct value *a, struct value *b)
{
    return random_node(m, name, 2, (struct value *[]){a, b}, 1, 0, NULL);
}

/* --- families of nodes ----------------------------------------------------------------------------------- */

static void add_conv(struct random_maker *m)
{
    struct value *x = any(m);
    if (x->rank != 4)
        return;
    int64_t channels = x->dims[1], groups = roll(m->dice, 3) == 0 ? channels : 1;
    bool transposed = roll(m->dice, 4) == 0;
    int64_t each = groups == 1 ? 1 + roll(m->dice, 5) : 1 + roll(m->dice, 2);
    int64_t kernel[2] = {1 + roll(m->dice, 3), 1 + roll(m->dice, 3)};
    int64_t weights[4] = {groups * each, channels / groups, kernel[0], kernel[1]};
    int64_t across[4] = {channels, each, kernel[0], kernel[1]};
    int64_t pads[4], strides[2] = {1 + roll(m->dice, 2), 1 + roll(m->dice, 2)};
    int64_t dilations[2] = {1 + roll(m->dice, 2), 1}, outputs = groups * each;
    for (int i = 0; i < 4; i++)
        pads[i] = roll(m->dice, 2);
    struct value *inputs[3] = {x, random_constant(m, 4, transposed ? across : weights),
                               random_constant(m, 1, &outputs)};
    const struct attribute attributes[] = {ATTRIBUTE_I("group", groups), ATTRIBUTE_LIST("pads", 4, pads),
                                           ATTRIBUTE_LIST("strides", 2, strides),
                                           ATTRIBUTE_LIST("dilations", 2, dilations)};
    random_node(m, transposed ? "ConvTranspose" : "Conv", roll(m->dice, 2) ? 3 : 2, inputs, 1, 4, attributes);
}

static void add_batch_normalization(struct random_maker *m)
{
    struct value *x = any(m);
    if (x->rank < 2)
        return;
    int64_t channels = x->dims[1];
    struct value *variance = random_constant(m, 1, &channels);
    for (int64_t i = 0; i < channels; i++)
        ((float *)(uintptr_t)variance->data)[i] = 0.5f + fabsf(((const float *)variance->data)[i]);
    random_node(m, "BatchNormalization", 5,
                (struct value *[]){x, random_constant(m, 1, &channels), random_constant(m, 1, &channels),
                                   random_constant(m, 1, &channels), variance},
                1, 0, NULL);
}

static void add_pool(struct random_maker *m)
{
    static const char *const names[] = {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"};
    int kind = (int)roll(m->dice, 4);
    int64_t kernel[2] = {1 + roll(m->dice, 3), 1 + roll(m->dice, 3)}, strides[2] = {1 + roll(m->dice, 2), 1};
    int64_t pads[4] = {kernel[0] / 2, 0, 0, kernel[1] / 2};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 2, kernel),
                                           ATTRIBUTE_LIST("strides", 2, strides), ATTRIBUTE_LIST("pads", 4, pads)};
    struct value *x = any(m);
    if (x->rank == 4)
        random_node(m, names[kind], 1, &x, 1, kind < 2 ? 3 : 0, attributes);
}

static void add_unary(struct random_maker *m)
{
    static const char *const names[] = {"Relu",     "Sigmoid",     "Tanh",     "HardSwish", "Abs",  "Neg",
                                        "Softplus", "HardSigmoid", "Identity", "Erf",       "Gelu", "Dropout"};
    struct value *x = any(m);
    node1(m, names[roll(m->dice, sizeof names / sizeof *names)], x);
}

/* A constant that broadcasts to x: a scalar, one a channel, one along the last axis, or all of it. */
static struct value *broadcast_constant(struct random_maker *m, const struct value *x)
{
    int64_t dims[MAX_RANK];
    switch (roll(m->dice, 4)) {
    case 0:
        return random_scalar(m, (double)roll_float(m->dice));
    case 1:
        for (int i = 0; i < x->rank; i++)
            dims[i] = i == 1 ? x->dims[i] : 1;
        return random_constant(m, x->rank, dims);
    case 2:
        return x->rank > 0 ? random_constant(m, 1, &x->dims[x->rank - 1]) : random_scalar(m, 0.5);
    default:
        return random_constant(m, x->rank, x->dims);
    }
}

static void add_binary(struct random_maker *m)
{
    static const char *const names[] = {"Add", "Mul", "Sub", "Max", "Min", "Div"};
    int64_t kind = roll(m->dice, 6);
    struct value *a = any(m);
    struct value *b = kind == 5          ? random_scalar(m, 1.5 + (double)roll(m->dice, 4))
                      : roll(m->dice, 2) ? broadcast_constant(m, a)
                                         : any(m);
    if (kind != 5 && roll(m->dice, 2))
        random_node2(m, names[kind], b, a);
    else
        random_node2(m, names[kind], a, b);
}

static void add_transpose(struct random_maker *m)
{
    struct value *x = any(m);
    int64_t order[MAX_RANK];
    for (int i = 0; i < x->rank; i++)
        order[i] = i;
    for (int i = x->rank - 1; i > 0; i--) {
        int64_t k = roll(m->dice, i + 1), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
    random_node(m, "Transpose", 1, &x, 1, 1, (struct attribute[]){ATTRIBUTE_LIST("perm", x->rank, order)});
}

/* Joins two axes, or cuts one in two. */
static void add_reshape(struct random_maker *m)
{
    struct value *x = any(m);
    int64_t dims[MAX_RANK];
    int rank = 0, at = x->rank > 0 ? (int)roll(m->dice, x->rank) : 0;
    bool join = roll(m->dice, 2);
    for (int i = 0; i < x->rank; i++) {
        if (i == at && join && i + 1 < x->rank) {
            dims[rank++] = x->dims[i] * x->dims[i + 1];
            i++;
        } else if (i == at && !join && rank + 1 < 6) {
            int64_t part = x->dims[i] % 2 == 0 ? 2 : 1;
            dims[rank++] = part;
            dims[rank++] = x->dims[i] / part;
        } else {
            dims[rank++] = x->dims[i];
        }
    }
    random_node2(m, "Reshape", x, ints(m, rank, dims));
}

static void add_slice(struct random_maker *m)
{
    struct value *x = any(m);
    if (x->rank == 0)
        return;
    int64_t axis = roll(m->dice, x->rank), dim = x->dims[axis], start = roll(m->dice, dim);
    int64_t end = start + 1 + roll(m->dice, dim - start), step = 1 + roll(m->dice, 2);
    bool backwards = roll(m->dice, 6) == 0;
    if (backwards) {
        int64_t last = end - 1;
        end = start - 1 < 0 ? INT64_MIN : start - 1;
        start = last;
        step = -step;
    }
    random_node(m, "Slice", 5,
                (struct value *[]){x, ints(m, 1, &start), ints(m, 1, &end), ints(m, 1, &axis), ints(m, 1, &step)}, 1, 0,
                NULL);
}

static void add_split(struct random_maker *m)
{
    struct value *x = any(m);
    if (x->rank == 0)
        return;
    int64_t axis = roll(m->dice, x->rank), first = x->dims[axis] / 2, parts[2] = {first, x->dims[axis] - first};
    random_node(m, "Split", 2, (struct value *[]){x, ints(m, 2, parts)}, 2, 1,
                (struct attribute[]){ATTRIBUTE_I("axis", axis)});
}

static void add_concat(struct random_maker *m)
{
    struct value *parts[3] = {any(m), any(m), any(m)};
    if (parts[0]->rank == 0)
        return;
    int64_t axis = roll(m->dice, parts[0]->rank);
    const struct attribute attributes[] = {ATTRIBUTE_I("axis", axis)};
    if (!random_node(m, "Concat", 2 + (int)roll(m->dice, 2), parts, 1, 1, attributes))
        random_node(m, "Concat", 2, (struct value *[]){parts[0], parts[0]}, 1, 1, attributes);
}

static void add_pad(struct random_maker *m)
{
    struct value *x = any(m);
    int64_t pads[2 * MAX_RANK] = {0};
    for (int i = 0; i < x->rank; i++) {
        bool spatial = i >= 2 || roll(m->dice, 4) == 0;
        pads[i] = spatial ? roll(m->dice, 2) : 0;
        pads[x->rank + i] = spatial ? roll(m->dice, 3) : 0;
    }
    random_node2(m, "Pad", x, ints(m, 2 * x->rank, pads));
}

static void add_product(struct random_maker *m)
{
    struct value *x = any(m);
    if (x->rank < 2)
        return;
    int64_t k = x->dims[x->rank - 1], n = 1 + roll(m->dice, 9), dims[2] = {k, n}, turned[2] = {n, k};
    int64_t order[MAX_RANK];
    float alpha;
    switch (roll(m->dice, 3)) {
    case 0:
        random_node2(m, "MatMul", x, random_constant(m, 2, dims));
        return;
    case 1:
        alpha = roll(m->dice, 2) ? 1 : 0.5f;
        random_node(m, "Gemm", 3, (struct value *[]){x, random_constant(m, 2, turned), random_constant(m, 1, &n)}, 1, 2,
                    (struct attribute[]){ATTRIBUTE_I("transB", 1), ATTRIBUTE_F("alpha", alpha)});
        return;
    default:
        for (int i = 0; i < x->rank; i++)
            order[i] = i < x->rank - 2 ? i : 2 * x->rank - 3 - i;
        random_node2(
            m, "MatMul", x,
            random_node(m, "Transpose", 1, &x, 1, 1, (struct attribute[]){ATTRIBUTE_LIST("perm", x->rank, order)}));
    }
}

static void add_reduction(struct random_maker *m)
{
    static const char *const names[] = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"};
    struct value *x = any(m);
    if (x->rank == 0)
        return;
    int64_t axis = roll(m->dice, x->rank), keep = roll(m->dice, 2);
    random_node(m, names[roll(m->dice, 4)], 2, (struct value *[]){x, ints(m, 1, &axis)}, 1, 1,
                (struct attribute[]){ATTRIBUTE_I("keepdims", keep)});
}

static void add_softmax(struct random_maker *m)
{
    struct value *x = any(m);
    if (x->rank > 0)
        random_node(m, "Softmax", 1, &x, 1, 1, (struct attribute[]){ATTRIBUTE_I("axis", roll(m->dice, x->rank))});
}

static void add_resize(struct random_maker *m)
{
    struct value *x = any(m);
    int64_t dims[4], none = 0;
    if (x->rank != 4)
        return;
    for (int i = 0; i < 4; i++)
        dims[i] = i < 2 ? x->dims[i] : x->dims[i] * (1 + roll(m->dice, 2));
    bool nearest = roll(m->dice, 3) > 0;
    const struct attribute attributes[] = {
        ATTRIBUTE_TEXT("coordinate_transformation_mode", "asymmetric"), ATTRIBUTE_TEXT("nearest_mode", "floor"),
        nearest ? ATTRIBUTE_TEXT("mode", "nearest") : ATTRIBUTE_TEXT("mode", "linear")};
    struct value *roi = graph_add_constant(m->graph, "", DTYPE_F32, 1, &none, &none);
    random_node(m, "Resize", 4, (struct value *[]){x, roi, roi, ints(m, 4, dims)}, 1, 3, attributes);
}

static void add_gather(struct random_maker *m)
{
    struct value *x = any(m);
    if (x->rank == 0)
        return;
    int64_t axis = roll(m->dice, x->rank), first = roll(m->dice, x->dims[axis]);
    int64_t count = 1 + roll(m->dice, x->dims[axis] - first), places[RANDOM_MOST_ELEMENTS];
    for (int64_t i = 0; i < count; i++)
        places[i] = roll(m->dice, 4) ? first + i : roll(m->dice, x->dims[axis]);
    random_node(m, "Gather", 2, (struct value *[]){x, ints(m, (int)count, places)}, 1, 1,
                (struct attribute[]){ATTRIBUTE_I("axis", axis)});
}

/* --- what exporters spell out ---------------------------------------------------------------------------- */

static void add_layer_normalization(struct random_maker *m)
{
    struct value *x = any(m);
    if (x->rank == 0)
        return;
    int64_t last = x->rank - 1;
    struct value *axes = ints(m, 1, &last), *mean = random_node2(m, "ReduceMean", x, axes),
                 *d = random_node2(m, "Sub", x, mean);
    struct value *square =
        roll(m->dice, 2) ? random_node2(m, "Mul", d, d) : random_node2(m, "Pow", d, random_scalar(m, 2));
    struct value *variance = random_node2(m, "ReduceMean", square, axes);
    struct value *y =
        random_node2(m, "Div", d, node1(m, "Sqrt", random_node2(m, "Add", variance, random_scalar(m, 1e-5))));
    y = random_node2(m, "Mul", y, random_constant(m, 1, &x->dims[last]));
    random_node2(m, "Add", y, random_constant(m, 1, &x->dims[last]));
}

/* Along one axis or more; where one is rolled twice, the operators refuse. */
static void add_spelled_softmax(struct random_maker *m)
{
    struct value *x = any(m);
    int64_t axes[3], count = 1 + roll(m->dice, 3);
    if (x->rank == 0)
        return;
    for (int64_t i = 0; i < count; i++)
        axes[i] = roll(m->dice, x->rank);
    struct value *along = ints(m, (int)count, axes),
                 *d = random_node2(m, "Sub", x, random_node2(m, "ReduceMax", x, along));
    struct value *power = node1(m, "Exp", d), *sum = random_node2(m, "ReduceSum", power, along);
    if (roll(m->dice, 3))
        random_node2(m, "Div", power, sum);
    else
        random_node2(m, "Sub", d, node1(m, "Log", sum));
}

static void add_activation(struct random_maker *m)
{
    struct value *x = any(m), *last, *parts[3]; /* one by one: compilers differ in which argument they take first */
    switch (roll(m->dice, 4)) {
    case 0:
        last = random_scalar(m, 1);
        last = random_node2(m, "Add", node1(m, "Erf", random_node2(m, "Div", x, random_scalar(m, 1.41421356))), last);
        random_node2(m, "Mul", random_node2(m, "Mul", x, random_scalar(m, 0.5)), last);
        return;
    case 1:
        random_node2(m, "Mul", x, node1(m, "Sigmoid", x));
        return;
    case 2:
        random_node2(m, "Mul", x, node1(m, "Tanh", node1(m, "Softplus", x)));
        return;
    default:
        last = random_scalar(m, 6);
        parts[0] = random_node2(m, "Add", x, random_scalar(m, 3));
        parts[1] = random_scalar(m, 0);
        parts[2] = random_scalar(m, 6);
        random_node2(m, "Div", random_node2(m, "Mul", x, random_node(m, "Clip", 3, parts, 1, 0, NULL)), last);
    }
}

/* [rows, heads * width] three times by weights, cut into heads, and put together again. */
static struct value *heads_of(struct random_maker *m, struct value *x, int64_t heads, int64_t width,
                              const int64_t *order)
{
    int64_t dims[2] = {x->dims[x->rank - 1], heads * width}, cut[4] = {1, x->dims[x->rank - 2], heads, width};
    struct value *shape = ints(m, 4, cut);
    struct value *y = random_node2(m, "Reshape", random_node2(m, "MatMul", x, random_constant(m, 2, dims)), shape);
    return y ? random_node(m, "Transpose", 1, &y, 1, 1, (struct attribute[]){ATTRIBUTE_LIST("perm", 4, order)}) : NULL;
}

static void add_attention(struct random_maker *m)
{
    static const int64_t rows[] = {0, 2, 1, 3}, columns[] = {0, 2, 3, 1};
    struct value *x = any(m);
    int64_t heads = 1 + roll(m->dice, 3), width = 1 + roll(m->dice, 5);
    if (x->rank < 2 || value_elements(x) != x->dims[x->rank - 1] * x->dims[x->rank - 2])
        return;
    struct value *q = heads_of(m, x, heads, width, rows), *k = heads_of(m, x, heads, width, columns);
    struct value *half = random_scalar(m, 0.5);
    struct value *scores = random_node2(m, "Mul", random_node2(m, "MatMul", q, k), half);
    if (scores && roll(m->dice, 2))
        scores = random_node2(m, "Add", scores, random_constant(m, 2, &scores->dims[2]));
    if (!scores)
        return;
    struct value *weights = random_node(m, "Softmax", 1, &scores, 1, 1, (struct attribute[]){ATTRIBUTE_I("axis", -1)});
    struct value *mean = random_node2(m, "MatMul", weights, heads_of(m, x, heads, width, rows));
    struct value *joined =
        mean ? random_node(m, "Transpose", 1, &mean, 1, 1, (struct attribute[]){ATTRIBUTE_LIST("perm", 4, rows)})
             : NULL;
    int64_t whole[2] = {x->dims[x->rank - 2], heads * width};
    random_node2(m, "Reshape", joined, ints(m, 2, whole));
}

/* --- the whole ------------------------------------------------------------------------------------------- */

#define ONLY_WIDER 2

static void add_something(struct random_maker *m)
{
    static void (*const add[])(struct random_maker *) = {
        add_conv,
        add_conv,
        add_batch_normalization,
        add_pool,
        add_unary,
        add_unary,
        add_binary,
        add_binary,
        add_binary,
        add_transpose,
        add_reshape,
        add_slice,
        add_split,
        add_concat,
        add_concat,
        add_pad,
        add_product,
        add_product,
        add_reduction,
        add_softmax,
        add_resize,
        add_gather,
        add_layer_normalization,
        add_activation,
        add_attention,
        add_spelled_softmax, /* from here on in wider graphs only */
        random_integers,
    };
    add[roll(m->dice, sizeof add / sizeof *add - (m->wider ? 0 : ONLY_WIDER))](m);
}

static void add_input(struct random_maker *m, float **content)
{
    int rank = roll(m->dice, 3) ? 4 : 2 + (int)roll(m->dice, 2);
    int64_t dims[4], elements;
    for (int i = 0; i < rank; i++)
        dims[i] = rank == 4 && i == 0 ? 1 + roll(m->dice, 2) : 1 + roll(m->dice, rank == 4 ? 6 : 9);
    shape_elements(rank, dims, &elements);
    char name[16];
    snprintf(name, sizeof name, "x%d", m->count);
    m->values[m->count++] = graph_add_value(m->graph, name, DTYPE_F32, rank, dims);
    *content = region_array(m->graph->region, (size_t)elements + 1, sizeof **content);
    for (int64_t i = 0; i < elements; i++)
        (*content)[i] = roll_float(m->dice);
}

static bool is_read(const struct graph *graph, const struct value *value)
{
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->input_count; k++)
            if (graph->nodes[i]->inputs[k] == value)
                return true;
    return false;
}

/* Models need not say what lies between inputs and outputs: passes once a model then know less. */
static void forget_types(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->output_count; k++) {
            graph->nodes[i]->outputs[k]->dtype = DTYPE_NONE;
            graph->nodes[i]->outputs[k]->rank = -1;
        }
}

static void make(struct random_graph *random, struct dice *dice, bool wider)
{
    *random = (struct random_graph){.damaged = false};
    region_init(&random->region, &default_allocator);
    random->graph = graph_create(&random->region, "random");
    struct random_maker m = {.graph = random->graph, .dice = dice, .wider = wider};
    for (int i = 0; i < 2; i++)
        add_input(&m, &random->inputs[i]);
    graph_set_inputs(m.graph, 2, m.values);
    int64_t tries = 2 + roll(dice, 14);
    for (int64_t i = 0; i < tries; i++)
        add_something(&m);
    struct value *outputs[RANDOM_MOST_VALUES];
    int count = 0;
    for (int i = 2; i < m.count; i++)
        if (!is_read(m.graph, m.values[i]) || roll(dice, 12) == 0)
            outputs[count++] = m.values[i];
    if (count == 0)
        outputs[count++] = m.values[0];
    graph_set_outputs(m.graph, count, outputs);
    if (wider && roll(dice, 2))
        forget_types(m.graph);
}

void random_graph_make(struct random_graph *random, struct dice *dice)
{
    make(random, dice, false);
}

void random_graph_make_wider(struct random_graph *random, struct dice *dice)
{
    make(random, dice, true);
}

void random_graph_free(struct random_graph *random)
{
    region_free(&random->region);
}
