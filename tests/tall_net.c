#include "tests/tall_net.h"

#include <string.h>

static int pick(struct net *net)
{
    /* The newest half the time, so that chains grow. */
    return roll(&net->dice, 2) ? net->count - 1 : (int)roll(&net->dice, net->count);
}

static const int64_t *list(struct net *net, int count, const int64_t *numbers)
{
    int64_t *copy = region_array(&net->rig.maker.region, (size_t)count, sizeof *copy);
    return memcpy(copy, numbers, (size_t)count * sizeof *copy);
}

/* A node on values `a` and (not -1) `b` and others; taken back where the operator or this test wants it otherwise. */
static bool add(struct net *net, const char *op, int a, int b, int input_count, struct value **inputs,
                int attribute_count, const struct attribute *attributes)
{
    struct graph *graph = net->rig.graph;
    struct value *output = rig_node(&net->rig, op, input_count, inputs, attribute_count, attributes);
    struct error ignored = {0};
    struct op_context c = {.graph = graph, .node = graph->nodes[graph->node_count - 1], .error = &ignored};
    bool fits = net->count < NET_MOST_VALUES && c.node->op->shapes(&c) == STATUS_OK && output->rank == 4 &&
                output->dims[2] >= 30 && output->dims[3] > 0 && value_elements(output) <= 30000;
    if (!fits) {
        graph->node_count--;
        graph->value_count--;
        return false;
    }
    net->read[a] = true;
    if (b >= 0)
        net->read[b] = true;
    net->values[net->count++] = output;
    return true;
}

static struct attribute strides_of(struct net *net)
{
    return ATTRIBUTE_LIST("strides", 2, list(net, 2, (int64_t[]){1 + roll(&net->dice, 3), 1 + roll(&net->dice, 2)}));
}

static struct attribute pads_of(struct net *net, const int64_t *kernel)
{
    int64_t pads[4];
    for (int i = 0; i < 4; i++)
        pads[i] = roll(&net->dice, kernel[i % 2]);
    return ATTRIBUTE_LIST("pads", 4, list(net, 4, pads));
}

static void add_conv(struct net *net)
{
    int at = pick(net);
    struct value *x = net->values[at];
    int64_t channels = x->dims[1], groups = roll(&net->dice, 2) ? channels : 1, each = 1 + roll(&net->dice, 2);
    int64_t outputs = groups == 1 ? 2 + roll(&net->dice, 5) : groups * each;
    int64_t kernel[2] = {1 + roll(&net->dice, 7), 1 + roll(&net->dice, 3)};
    bool keeps = roll(&net->dice, 2);
    struct value *weights = rig_weights(&net->rig, DIMS(outputs, channels / groups, kernel[0], kernel[1]));
    struct value *inputs[] = {x, weights, rig_weights(&net->rig, DIMS(outputs))};
    int64_t dilations[2] = {1 + roll(&net->dice, 2), 1};
    const struct attribute attributes[] = {ATTRIBUTE_I("group", groups),
                                           ATTRIBUTE_LIST("dilations", 2, list(net, 2, dilations)),
                                           keeps ? roll(&net->dice, 2) ? ATTRIBUTE_TEXT("auto_pad", "SAME_UPPER")
                                                                       : ATTRIBUTE_TEXT("auto_pad", "SAME_LOWER")
                                                 : pads_of(net, kernel),
                                           strides_of(net)};
    int attribute_count = keeps && roll(&net->dice, 2) ? 3 : 4;
    add(net, "Conv", at, -1, 2 + (int)roll(&net->dice, 2), inputs, attribute_count, attributes);
}

static void add_conv_transpose(struct net *net)
{
    int at = pick(net);
    struct value *x = net->values[at];
    int64_t channels = x->dims[1], groups = roll(&net->dice, 2) ? channels : 1, each = 1 + roll(&net->dice, 3);
    int64_t kernel[2] = {1 + roll(&net->dice, 4), 1 + roll(&net->dice, 3)};
    int64_t extra[2] = {roll(&net->dice, 2), 0}, outputs = groups * each;
    struct value *weights = rig_weights(&net->rig, DIMS(channels, each, kernel[0], kernel[1]));
    const struct attribute attributes[] = {
        ATTRIBUTE_I("group", groups), strides_of(net), ATTRIBUTE_LIST("output_padding", 2, list(net, 2, extra)),
        roll(&net->dice, 3) ? pads_of(net, kernel) : ATTRIBUTE_TEXT("auto_pad", "SAME_UPPER")};
    add(net, "ConvTranspose", at, -1, 3, (struct value *[]){x, weights, rig_weights(&net->rig, DIMS(outputs))}, 4,
        attributes);
}

static void add_pool(struct net *net)
{
    static const char *const ops[] = {"MaxPool", "AveragePool", "LpPool"};
    int at = pick(net), kind = (int)roll(&net->dice, 3);
    int64_t kernel[2] = {1 + roll(&net->dice, 5), 1 + roll(&net->dice, 2)};
    const struct attribute attributes[] = {
        ATTRIBUTE_LIST("kernel_shape", 2, list(net, 2, kernel)),
        strides_of(net),
        roll(&net->dice, 4) ? pads_of(net, kernel) : ATTRIBUTE_TEXT("auto_pad", "SAME_LOWER"),
        ATTRIBUTE_I("ceil_mode", roll(&net->dice, 2)),
        ATTRIBUTE_LIST("dilations", 2, list(net, 2, (int64_t[]){1 + roll(&net->dice, 2), 1})),
        ATTRIBUTE_I("count_include_pad", roll(&net->dice, 2))};
    add(net, ops[kind], at, -1, 1, &net->values[at], kind == 1 ? 6 : 5, attributes);
}

static void add_activation(struct net *net)
{
    static const char *const ops[] = {"Relu", "HardSwish", "LeakyRelu", "Sigmoid", "Neg"};
    int at = pick(net);
    add(net, ops[roll(&net->dice, 5)], at, -1, 1, &net->values[at], 0, NULL);
}

/* With another value of the same shape, or a number a channel. */
static void add_sum(struct net *net)
{
    static const char *const ops[] = {"Add", "Mul", "Max"};
    int at = pick(net), other = -1;
    struct value *x = net->values[at], *y = rig_weights(&net->rig, DIMS(1, x->dims[1], 1, 1));
    for (int i = 0; i < net->count; i++)
        if (i != at && memcmp(net->values[i]->dims, x->dims, sizeof x->dims) == 0)
            other = i;
    if (other >= 0)
        y = net->values[other];
    bool first = roll(&net->dice, 2);
    add(net, ops[roll(&net->dice, 3)], at, other, 2, (struct value *[]){first ? x : y, first ? y : x}, 0, NULL);
}

static void add_concat(struct net *net)
{
    int at = pick(net), other = (int)roll(&net->dice, net->count);
    const struct attribute axis = ATTRIBUTE_I("axis", roll(&net->dice, 2) ? 1 : -3);
    add(net, "Concat", at, other, 2, (struct value *[]){net->values[at], net->values[other]}, 1, &axis);
}

static void add_resize(struct net *net)
{
    int at = pick(net);
    float *scales = region_array(&net->rig.maker.region, 4, sizeof *scales);
    scales[0] = scales[1] = 1;
    scales[2] = (float)(1 + roll(&net->dice, 3));
    scales[3] = (float)(1 + roll(&net->dice, 2));
    const struct attribute attributes[] = {ATTRIBUTE_TEXT("mode", "nearest"),
                                           roll(&net->dice, 2)
                                               ? ATTRIBUTE_TEXT("coordinate_transformation_mode", "asymmetric")
                                               : ATTRIBUTE_TEXT("coordinate_transformation_mode", "half_pixel"),
                                           roll(&net->dice, 2) ? ATTRIBUTE_TEXT("nearest_mode", "floor")
                                                               : ATTRIBUTE_TEXT("nearest_mode", "round_prefer_floor")};
    struct value *inputs[] = {net->values[at], NULL,
                              graph_add_constant(net->rig.graph, "", DTYPE_F32, 1, (int64_t[]){4}, scales)};
    inputs[2]->name = region_format(&net->rig.maker.region, "s%d", net->rig.graph->value_count);
    add(net, "Resize", at, -1, 3, inputs, 3, attributes);
}

static void add_batch_normalization(struct net *net)
{
    int at = pick(net);
    int64_t channels = net->values[at]->dims[1];
    struct value *inputs[5] = {net->values[at]};
    for (int i = 1; i < 5; i++)
        inputs[i] = rig_number(&net->rig, DIMS(channels), 0.3 + (double)i / 10);
    add(net, "BatchNormalization", at, -1, 5, inputs, 0, NULL);
}

/* Its scale needs all rows: what lies between cannot be in one region. */
static void add_squeeze_excite(struct net *net)
{
    int at = pick(net);
    struct value *x = net->values[at];
    struct value *scale = rig_op1(&net->rig, "Sigmoid", rig_op1(&net->rig, "GlobalAveragePool", x));
    struct graph *graph = net->rig.graph;
    for (int i = graph->node_count - 2; i < graph->node_count; i++) {
        struct error ignored = {0};
        struct op_context c = {.graph = graph, .node = graph->nodes[i], .error = &ignored};
        ck_assert_int_eq(c.node->op->shapes(&c), STATUS_OK);
    }
    if (!add(net, "Mul", at, -1, 2, (struct value *[]){x, scale}, 0, NULL)) {
        graph->node_count -= 2;
        graph->value_count -= 2;
    }
}

void draw_net(struct net *net, uint64_t number)
{
    static void (*const adders[])(struct net *) = {
        add_conv,       add_conv,   add_conv,   add_conv_transpose,      add_pool,          add_pool, add_sum,
        add_activation, add_concat, add_resize, add_batch_normalization, add_squeeze_excite};
    *net = (struct net){.dice = {.state = number}};
    rig_begin(&net->rig);
    int64_t height = 150 + roll(&net->dice, 250), width = 1 + roll(&net->dice, 5);
    net->values[net->count++] =
        rig_input(&net->rig, DIMS(1 + roll(&net->dice, 2), 1 + roll(&net->dice, 4), height, width));
    int tries = 6 + (int)roll(&net->dice, 12);
    for (int i = 0; i < tries; i++)
        adders[roll(&net->dice, sizeof adders / sizeof *adders)](net);
    while (net->count == 1)
        add_activation(net);
    rig_output(&net->rig, net->values[net->count - 1]);
    /* One that others read too, or nobody. */
    int other = 1 + (int)roll(&net->dice, net->count - 1);
    if (other < net->count - 1 && roll(&net->dice, 2))
        rig_output(&net->rig, net->values[other]);
}
