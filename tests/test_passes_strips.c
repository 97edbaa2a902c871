/* Strips: the same bits with less memory and hardly more arithmetic, or nothing at all. */
#include "tests/failing_allocator.h"
#include "tests/pass_test.h"
#include "tests/random_graph.h"
#include "tests/suites.h"

#include "graph/steps/liveness.h"
#include "kernels/kernel.h"
#include "runtime/session.h"

#include <string.h>

#define BATCHES 8 /* so that no test takes long */
#define GRAPHS 160
#define MOST_VALUES 24

/* --- networks over tall images --------------------------------------------------------------------------- */

/* Tall, so that rows at the seams are few; narrow, so that runs are quick. */
struct net {
    struct rig rig;
    struct dice dice;
    struct value *values[MOST_VALUES];
    bool read[MOST_VALUES];
    int count;
};

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
    bool fits = net->count < MOST_VALUES && c.node->op->shapes(&c) == STATUS_OK && output->rank == 4 &&
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
    add(net, "Conv", at, -1, 2 + (int)roll(&net->dice, 2), inputs, keeps && roll(&net->dice, 2) ? 3 : 4, attributes);
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

static void draw_net(struct net *net, uint64_t number)
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

/* --- what becomes of them -------------------------------------------------------------------------------- */

struct measured {
    int steps;
    size_t peak;
    double flops, elements; /* multiplications twice; of what nodes make and read first */
};

static struct measured measure(struct rig *rig, bool memory_saving)
{
    struct error error = {0};
    struct segment segment;
    struct pass_context context = {
        .resolve = {.evaluator = evaluator_of(&plain_evaluation), .constant_limit = SIZE_MAX}};
    struct specialise_options options = {
        .facts = plain_facts, .fuse = true, .memory_saving = memory_saving, .constant_limit = SIZE_MAX};
    graph_set_inputs(rig->graph, rig->input_count, rig->inputs);
    graph_set_outputs(rig->graph, rig->output_count, rig->outputs);
    struct graph *graph = graph_clone(rig->graph, &rig->maker.region);
    ck_assert_msg(run_passes(graph, &context, NULL, &error) == STATUS_OK, "%s", error.text);
    ck_assert_msg(specialise(graph, &options, &segment, &error) == STATUS_OK, "%s", error.text);
    struct measured measured = {.steps = segment.steps.count, .peak = segment_peak(&segment, 1)};
    for (int s = 0; s < segment.steps.count; s++) {
        const struct step *step = segment.steps.steps[s];
        measured.flops += kernel_flops(step->family, step->params);
    }
    for (int i = 0; i < segment.kept_count; i++)
        measured.elements +=
            (double)value_elements(segment.kept[i]->outputs[0]) + (double)value_elements(segment.kept[i]->inputs[0]);
    return measured;
}

/* Whether strips were cut; if so, that they pay. */
static bool check_gain(struct rig *rig)
{
    struct measured whole = measure(rig, false), strips = measure(rig, true);
    if (whole.steps == strips.steps) {
        ck_assert_uint_eq(whole.peak, strips.peak);
        ck_assert(whole.flops == strips.flops);
        return false;
    }
    ck_assert_int_gt(strips.steps, whole.steps);
    ck_assert(5 * (double)strips.peak <= 4 * (double)whole.peak);
    ck_assert(strips.flops - whole.flops <= 0.05 * (whole.flops + 2 * whole.elements));
    return true;
}

enum way { WHOLE, STRIPS, STRIPS_CHANNELS_LAST, WAY_COUNT };

static struct running run_way_of(struct rig *rig, enum way way, const infer_tensor *input, infer_tensor *outputs)
{
    infer_model *model = maker_finish(&rig->maker, 1, rig->inputs, rig->output_count, rig->outputs, NULL);
    struct running running = running_begin(
        model, &(infer_session_options){.memory_saving = way != WHOLE, .isa = INFER_ISA_REFERENCE, .threads = 2});
    running.session->channels_last = way == STRIPS_CHANNELS_LAST;
    run_well(running.context, input, 1, outputs, (size_t)rig->output_count);
    return running;
}

/* All bits of all outputs are the same. */
static void compare_results(struct rig *rig)
{
    int rank = rig->inputs[0]->rank;
    infer_tensor input = {.dtype = INFER_FLOAT32, .rank = rank}, outputs[WAY_COUNT][4];
    struct running running[WAY_COUNT];
    const struct value *data = rig_weights(rig, rank, rig->input_dims[0]);
    memcpy(input.dims, data->dims, sizeof input.dims);
    input.data = (void *)(uintptr_t)data->data;
    input.bytes = value_bytes(data);
    memset(outputs, 0, sizeof outputs);
    for (enum way way = WHOLE; way < WAY_COUNT; way++)
        running[way] = run_way_of(rig, way, &input, outputs[way]);
    for (enum way way = STRIPS; way < WAY_COUNT; way++)
        for (int i = 0; i < rig->output_count; i++) {
            ck_assert_uint_eq(outputs[WHOLE][i].bytes, outputs[way][i].bytes);
            ck_assert_mem_eq(outputs[WHOLE][i].data, outputs[way][i].data, outputs[way][i].bytes);
        }
    for (enum way way = WHOLE; way < WAY_COUNT; way++) {
        infer_context_release(running[way].context);
        infer_session_release(running[way].session);
    }
}

START_TEST(random_networks_give_the_same_bits)
{
    int cut = 0, all = 0;
    for (int i = _i; i < GRAPHS; i += BATCHES) {
        struct net net;
        draw_net(&net, (uint64_t)i);
        bool pays = check_gain(&net.rig);
        compare_results(&net.rig);
        region_free(&net.rig.maker.region);
        cut += pays;
        all++;
    }
    ck_assert_int_ge(3 * cut, all);
}
END_TEST

/* --- networks of known shape ----------------------------------------------------------------------------- */

/* A convolution by a window of `kernel` along each spatial axis that keeps the size but for the stride. */
static struct value *convolve_padded(struct rig *rig, struct value *x, int64_t inputs, int64_t outputs, int64_t kernel,
                                     int64_t stride, int64_t group, int64_t pad)
{
    int rank = x->rank < 0 ? rig->inputs[0]->rank : x->rank;
    int64_t weights[5] = {outputs, inputs / group, kernel, kernel, kernel};
    int64_t *pads = region_array(&rig->maker.region, 6, sizeof *pads);
    int64_t *strides = region_array(&rig->maker.region, 3, sizeof *strides);
    for (int i = 0; i < 6; i++)
        pads[i] = pad;
    strides[0] = strides[1] = strides[2] = stride;
    const struct attribute attributes[] = {ATTRIBUTE_I("group", group), ATTRIBUTE_LIST("strides", rank - 2, strides),
                                           ATTRIBUTE_LIST("pads", 2 * (rank - 2), pads)};
    struct value *operands[] = {x, rig_weights(rig, rank, weights), rig_weights(rig, DIMS(outputs))};
    return rig_node(rig, "Conv", 3, operands, 3, attributes);
}

static struct value *convolve(struct rig *rig, struct value *x, int64_t inputs, int64_t outputs, int64_t kernel,
                              int64_t stride, int64_t group)
{
    return convolve_padded(rig, x, inputs, outputs, kernel, stride, group, kernel / 2);
}

/* Expands the channels, convolves each, and projects back: MobileNetV2's block. */
static struct value *inverted_residual(struct rig *rig, struct value *x, int64_t channels)
{
    struct value *wide = rig_op1(rig, "Relu", convolve(rig, x, channels, 6 * channels, 1, 1, 1));
    wide = rig_op1(rig, "Relu", convolve(rig, wide, 6 * channels, 6 * channels, 3, 1, 6 * channels));
    return rig_op2(rig, "Add", convolve(rig, wide, 6 * channels, channels, 1, 1, 1), x);
}

static void expect_strips(struct rig *rig, double most_of_peak)
{
    struct measured whole = measure(rig, false), strips = measure(rig, true);
    ck_assert_int_gt(strips.steps, whole.steps);
    ck_assert_msg((double)strips.peak <= most_of_peak * (double)whole.peak, "%zu of %zu bytes", strips.peak,
                  whole.peak);
    ck_assert(strips.flops <= 1.05 * whole.flops);
    compare_results(rig);
    region_free(&rig->maker.region);
}

static void expect_none(struct rig *rig)
{
    ck_assert(!check_gain(rig));
    region_free(&rig->maker.region);
}

START_TEST(inverted_residuals_are_cut)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_op1(&rig, "Relu", convolve(&rig, rig_input(&rig, DIMS(1, 3, 112, 96)), 3, 8, 3, 2, 1));
    for (int i = 0; i < 2; i++)
        x = inverted_residual(&rig, x, 8);
    rig_output(&rig, rig_op1(&rig, "GlobalAveragePool", x));
    expect_strips(&rig, 0.5);
}
END_TEST

/* The head of a detector: an image scaled by its mean, and the one of half the size added to it. */
START_TEST(a_scale_known_before_does_not_part_a_region)
{
    struct rig rig;
    rig_begin(&rig);
    const struct attribute modes[] = {ATTRIBUTE_TEXT("mode", "nearest"),
                                      ATTRIBUTE_TEXT("coordinate_transformation_mode", "asymmetric"),
                                      ATTRIBUTE_TEXT("nearest_mode", "floor")};
    static const float twice[4] = {1, 1, 2, 2};
    struct value *x = rig_input(&rig, DIMS(1, 4, 96, 64));
    struct value *small = convolve(&rig, x, 4, 24, 3, 2, 1), *large = convolve(&rig, x, 4, 24, 1, 1, 1);
    struct value *scale = rig_op1(&rig, "HardSigmoid", rig_op1(&rig, "GlobalAveragePool", large));
    struct value *scales = graph_add_constant(rig.graph, "scales", DTYPE_F32, DIMS(4), twice);
    large = rig_op2(&rig, "Add", large, rig_op2(&rig, "Mul", large, scale));
    large = rig_op2(&rig, "Add", large, rig_node(&rig, "Resize", 3, (struct value *[]){small, NULL, scales}, 3, modes));
    rig_output(&rig, rig_op1(&rig, "Relu", convolve(&rig, large, 24, 4, 3, 1, 1)));
    expect_strips(&rig, 0.5);
}
END_TEST

/* The last window sticks out past the padding, which a mean counts and what lies past it not. */
START_TEST(windows_that_stick_out_at_the_end_are_cut)
{
    for (int64_t height = 120; height < 124; height++) {
        struct rig rig;
        rig_begin(&rig);
        const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 2, ((int64_t[]){4, 2})),
                                               ATTRIBUTE_LIST("strides", 2, ((int64_t[]){3, 1})),
                                               ATTRIBUTE_LIST("pads", 4, ((int64_t[]){1, 0, 1, 0})),
                                               ATTRIBUTE_I("ceil_mode", 1), ATTRIBUTE_I("count_include_pad", 1)};
        struct value *x = convolve(&rig, rig_input(&rig, DIMS(1, 2, height, 8)), 2, 8, 1, 1, 1);
        x = rig_node(&rig, "AveragePool", 1, &x, 5, attributes);
        rig_output(&rig, convolve(&rig, x, 8, 2, 1, 1, 1));
        ck_assert(check_gain(&rig));
        compare_results(&rig);
        region_free(&rig.maker.region);
    }
}
END_TEST

START_TEST(signals_and_volumes_are_cut_too)
{
    for (int spatial = 1; spatial <= 3; spatial += 2) {
        struct rig rig;
        int64_t dims[5] = {2, 2, spatial == 1 ? 500 : 60, 4, 5};
        rig_begin(&rig);
        struct value *x = convolve(&rig, rig_input(&rig, 2 + spatial, dims), 2, 8, 3, 1, 1);
        x = convolve(&rig, rig_op1(&rig, "Relu", x), 8, 8, 3, 1, 8);
        rig_output(&rig, convolve(&rig, x, 8, 2, 1, 2, 1));
        ck_assert(check_gain(&rig));
        compare_results(&rig);
        region_free(&rig.maker.region);
    }
}
END_TEST

/* Opset 7: the numbers of a normalisation have rows too, which nothing cuts. */
START_TEST(a_normalisation_by_element_is_left_alone)
{
    struct rig rig;
    rig_begin(&rig);
    const struct attribute by_element[] = {ATTRIBUTE_I("spatial", 0)};
    struct value *x = convolve(&rig, rig_input(&rig, DIMS(1, 2, 120, 8)), 2, 16, 3, 1, 1), *inputs[5] = {x};
    for (int i = 1; i < 5; i++)
        inputs[i] = i == 4 ? rig_number(&rig, DIMS(16, 120, 8), 0.5) : rig_weights(&rig, DIMS(16, 120, 8));
    x = rig_node(&rig, "BatchNormalization", 5, inputs, 1, by_element);
    rig.graph->nodes[rig.graph->node_count - 1]->version = 7;
    rig_output(&rig, convolve(&rig, x, 16, 2, 3, 1, 1));
    compare_results(&rig);
    expect_none(&rig);
}
END_TEST

START_TEST(windows_as_high_as_the_image_are_left_alone)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 4, 12, 40));
    for (int i = 0; i < 4; i++)
        x = rig_op1(&rig, "Relu", convolve(&rig, x, 4, 4, 7, 1, 1));
    rig_output(&rig, x);
    expect_none(&rig);
}
END_TEST

START_TEST(what_needs_all_rows_is_left_alone)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 4, 200, 8));
    for (int i = 0; i < 3; i++) {
        x = convolve(&rig, x, 4, 4, 3, 1, 1);
        x = rig_op2(&rig, "Mul", x, rig_op1(&rig, "GlobalAveragePool", x));
    }
    rig_output(&rig, x);
    expect_none(&rig);
}
END_TEST

START_TEST(rows_of_one_are_left_alone)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(3, 4, 1, 500));
    for (int i = 0; i < 3; i++)
        x = convolve(&rig, x, 4, 4, 3, 1, 1);
    rig_output(&rig, x);
    expect_none(&rig);
}
END_TEST

/* Nothing is cut unless asked for, and never without passes. */
START_TEST(strips_are_only_cut_when_asked_for)
{
    size_t steps[4];
    for (int way = 0; way < 4; way++) {
        struct rig rig;
        infer_memory memory;
        infer_error error = {0};
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(1, 4, 96, 64));
        rig_output(&rig, inverted_residual(&rig, inverted_residual(&rig, x, 4), 4));
        infer_model *model = maker_finish(&rig.maker, 1, rig.inputs, 1, rig.outputs, NULL);
        infer_session_options options = {.memory_saving = way & 1, .no_optimize = way & 2};
        struct running running = running_begin(model, &options);
        ck_assert_int_eq(infer_session_memory(running.session, &memory, &error), INFER_OK);
        steps[way] = memory.steps;
        running_end(&running, &rig.maker);
    }
    ck_assert_uint_gt(steps[1], steps[0]);
    ck_assert_uint_eq(steps[2], steps[3]);
}
END_TEST

/* Memory that ends anywhere on the way is an error, and nothing is lost. */
START_TEST(any_allocation_may_fail)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 4, 96, 16));
    rig_output(&rig, inverted_residual(&rig, x, 4));
    graph_set_inputs(rig.graph, 1, rig.inputs);
    graph_set_outputs(rig.graph, 1, rig.outputs);
    enum status status = STATUS_OUT_OF_MEMORY;
    for (int allowed = 0; status != STATUS_OK; allowed++) {
        struct failing failing = {.allowed = allowed};
        struct allocator allocator = failing_allocator(&failing);
        struct region region;
        struct segment segment;
        struct error error = {0};
        struct specialise_options options = {
            .facts = plain_facts, .fuse = true, .memory_saving = true, .constant_limit = SIZE_MAX};
        region_init(&region, &allocator);
        struct graph *graph = graph_clone(rig.graph, &region);
        status = graph ? specialise(graph, &options, &segment, &error) : STATUS_OUT_OF_MEMORY;
        ck_assert(status == STATUS_OK || status == STATUS_OUT_OF_MEMORY);
        region_free(&region);
        ck_assert_int_eq(failing.held, 0);
        ck_assert_int_lt(allowed, 1000);
    }
    region_free(&rig.maker.region);
}
END_TEST

/* --- means-first ----------------------------------------------------------------------------------------- */

static void expect_mean(int64_t inputs, int64_t outputs, int64_t kernel, int64_t stride, int64_t pad, const char *nodes)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, inputs, 9, 7));
    struct value *y = convolve_padded(&rig, x, inputs, outputs, kernel, stride, 1, pad);
    rig_output(&rig, rig_op1(&rig, "GlobalAveragePool", y));
    rig_expect(&rig, nodes, nodes, 1e-5);
}

START_TEST(means_are_taken_before_convolutions_that_only_mix_channels)
{
    expect_mean(3, 8, 1, 1, 0, "GlobalAveragePool Conv");
    expect_mean(8, 8, 1, 1, 0, "GlobalAveragePool Conv");
    expect_mean(8, 3, 1, 1, 0, "Conv GlobalAveragePool");
    expect_mean(3, 8, 3, 1, 1, "Conv GlobalAveragePool");
    expect_mean(3, 8, 1, 2, 0, "Conv GlobalAveragePool");
    expect_mean(3, 8, 1, 1, 1, "Conv GlobalAveragePool");
}
END_TEST

START_TEST(means_first_leaves_the_convolution_to_its_other_readers)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = convolve(&rig, rig_input(&rig, DIMS(1, 2, 5, 5)), 2, 4, 1, 1, 2);
    rig_output(&rig, rig_op2(&rig, "Mul", y, rig_op1(&rig, "GlobalAveragePool", y)));
    rig_expect(&rig, "Conv GlobalAveragePool Conv Mul", NULL, 1e-5);
}
END_TEST

Suite *passes_strips_suite(void)
{
    Suite *suite = suite_create("passes_strips");
    TCase *tests = tcase_create("strips");
    tcase_add_loop_test(tests, random_networks_give_the_same_bits, 0, BATCHES);
    tcase_add_test(tests, inverted_residuals_are_cut);
    tcase_add_test(tests, a_scale_known_before_does_not_part_a_region);
    tcase_add_test(tests, windows_that_stick_out_at_the_end_are_cut);
    tcase_add_test(tests, signals_and_volumes_are_cut_too);
    tcase_add_test(tests, a_normalisation_by_element_is_left_alone);
    tcase_add_test(tests, windows_as_high_as_the_image_are_left_alone);
    tcase_add_test(tests, what_needs_all_rows_is_left_alone);
    tcase_add_test(tests, rows_of_one_are_left_alone);
    tcase_add_test(tests, strips_are_only_cut_when_asked_for);
    tcase_add_test(tests, any_allocation_may_fail);
    tcase_add_test(tests, means_are_taken_before_convolutions_that_only_mix_channels);
    tcase_add_test(tests, means_first_leaves_the_convolution_to_its_other_readers);
    suite_add_tcase(suite, tests);
    return suite;
}
