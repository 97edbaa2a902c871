/* Cross-layer equalisation: which layers are pairs, that the network computes what it did, and what becomes of the
 * channels. */
#include "graph/quantize/quantize.h"
#include "tests/pass_test.h"
#include "tests/suites.h"

#include <math.h>
#include <string.h>

#define CHANNELS 6

static struct rig rig;

static struct value *convolve(struct value *x, int64_t outputs, int64_t inputs, int64_t groups)
{
    const struct attribute group = ATTRIBUTE_I("group", groups);
    struct value *operands[] = {x, rig_weights(&rig, DIMS(outputs, inputs / groups, 3, 3)),
                                rig_weights(&rig, DIMS(outputs))};
    return rig_node(&rig, "Conv", 3, operands, 1, &group);
}

static struct value *leaky(struct value *x)
{
    return rig_op1(&rig, "LeakyRelu", x);
}

/* Magnitudes of the channels of each layer's input, as if calibration had seen them: 1, 2, 4 and on, and a 0. */
static struct quantize_plan plan_of_rig(void)
{
    static double reach[CHANNELS];
    struct quantize_plan plan = {
        .graph = rig.graph, .region = &rig.maker.region, .form = QUANTIZE_STATIC, .bits = 8, .block = 32};
    struct error error = {0};
    for (int i = 0; i < CHANNELS - 1; i++)
        reach[i] = ldexp(1, i);
    graph_set_inputs(rig.graph, rig.input_count, rig.inputs);
    graph_set_outputs(rig.graph, rig.output_count, rig.outputs);
    ck_assert_msg(quantize_find(&plan, &error) == STATUS_OK, "%s", error.text);
    for (int i = 0; i < plan.count; i++) {
        plan.layers[i].reach = reach;
        plan.layers[i].mean_count = CHANNELS;
    }
    return plan;
}

static int pairs_of(struct graph *graph, const struct quantize_plan *plan)
{
    struct error error = {0};
    int pairs = -1;
    ck_assert_msg(quantize_equalise(plan, graph, &pairs, &error) == STATUS_OK, "%s", error.text);
    return pairs;
}

/* The first output for numbers between -1 and 1; in the rig's region. */
static const float *run(struct graph *graph, size_t *count)
{
    struct maker maker = {.graph = graph};
    region_init(&maker.region, &default_allocator);
    infer_model *model =
        maker_finish(&maker, graph->input_count, graph->inputs, graph->output_count, graph->outputs, NULL);
    struct running running = running_begin(model, NULL);
    float *numbers = region_buffer(&rig.maker.region, value_bytes(graph->inputs[0]));
    for (int64_t i = 0; i < value_elements(graph->inputs[0]); i++)
        numbers[i] = (float)(i * 37 % 101) / 50 - 1;
    infer_tensor input = infer_input(numbers, INFER_FLOAT32, graph->inputs[0]->rank, graph->inputs[0]->dims);
    infer_tensor output = infer_output(NULL, 0);
    run_well(running.context, &input, 1, &output, 1);
    float *kept = region_buffer(&rig.maker.region, output.bytes);
    memcpy(kept, output.data, output.bytes);
    *count = output.bytes / sizeof(float);
    running_end(&running, &maker);
    return kept;
}

/* Equalises the rig's graph, of so many pairs, which goes on computing what it did. */
static void expect(int pairs)
{
    size_t before, after;
    struct quantize_plan plan = plan_of_rig();
    const float *was = run(rig.graph, &before);
    ck_assert_int_eq(pairs_of(rig.graph, &plan), pairs);
    const float *is = run(rig.graph, &after);
    ck_assert_uint_eq(before, after);
    for (size_t i = 0; i < before; i++)
        ck_assert_float_eq_tol(was[i], is[i], 2e-5F * (1 + fabsf(was[i])));
}

/* The largest weight of an input channel of a Conv in one group, or of a depthwise one. */
static double largest(const struct value *weights, int64_t channel)
{
    const int64_t window = weights->dims[2] * weights->dims[3];
    double most = 0;
    for (int64_t i = 0; i < value_elements(weights); i++) {
        int64_t of = weights->dims[1] == 1 ? i / window : i / window % weights->dims[1];
        most = of == channel ? fmax(most, fabs((double)((const float *)weights->data)[i])) : most;
    }
    return most;
}

START_TEST(weights_are_balanced_against_activations)
{
    rig_begin(&rig);
    struct value *x = convolve(rig_input(&rig, DIMS(1, 3, 9, 9)), CHANNELS, 3, 1);
    rig_output(&rig, convolve(leaky(x), 4, CHANNELS, 1));
    const struct value *weights = rig.graph->nodes[2]->inputs[1];
    double before[CHANNELS], ratio = 0;
    for (int64_t i = 0; i < CHANNELS; i++)
        before[i] = largest(weights, i);
    expect(1);
    /* What the activation was divided by, the weights were multiplied by: both are as large then, but for one number.
     */
    for (int64_t i = 0; i < CHANNELS - 1; i++) {
        double factor = largest(weights, i) / before[i], reach = ldexp(1, (int)i) / factor;
        ratio = i == 0 ? reach / largest(weights, i) : ratio;
        ck_assert_double_eq_tol(reach / largest(weights, i), ratio, 0.01 * ratio);
    }
    ck_assert_double_eq_tol(largest(weights, CHANNELS - 1), before[CHANNELS - 1], 1e-6); /* nothing was seen of it */
    region_free(&rig.maker.region);
}
END_TEST

START_TEST(depthwise_weights_take_all)
{
    rig_begin(&rig);
    struct value *x = convolve(rig_input(&rig, DIMS(1, 3, 9, 9)), CHANNELS, 3, 1);
    rig_output(&rig, convolve(rig_op1(&rig, "Relu", x), CHANNELS, CHANNELS, CHANNELS));
    const struct value *weights = rig.graph->nodes[2]->inputs[1];
    double before[CHANNELS];
    for (int64_t i = 0; i < CHANNELS; i++)
        before[i] = largest(weights, i);
    expect(1);
    for (int64_t i = 1; i < CHANNELS - 1; i++)
        ck_assert_double_eq_tol(largest(weights, i) / before[i], ldexp(1, (int)i) * largest(weights, 0) / before[0],
                                1e-4 * ldexp(1, (int)i));
    region_free(&rig.maker.region);
}
END_TEST

START_TEST(rows_after_images)
{
    static const int64_t window[] = {3, 3};
    const struct attribute turned = ATTRIBUTE_I("transB", 1), size = ATTRIBUTE_LIST("kernel_shape", 2, window);
    for (int i = 0; i < 2; i++) {
        rig_begin(&rig);
        struct value *x = convolve(rig_input(&rig, DIMS(1, 3, 9, 9)), CHANNELS, 3, 1);
        x = rig_node(&rig, "MaxPool", 1, &x, 1, &size);
        x = rig_op1(&rig, "Flatten", rig_op1(&rig, "GlobalAveragePool", leaky(x)));
        struct value *operands[] = {x, i ? rig_weights(&rig, DIMS(CHANNELS, 5)) : rig_weights(&rig, DIMS(5, CHANNELS))};
        x = leaky(rig_node(&rig, "Gemm", 2, operands, !i, &turned));
        rig_output(&rig, rig_op2(&rig, "MatMul", x, rig_weights(&rig, DIMS(5, 7))));
        expect(1); /* that of the rows has other channels than were seen */
        region_free(&rig.maker.region);
    }
}
END_TEST

enum obstacle { CLIPPED, READ_TWICE, HANDED_OUT, SHARED_WEIGHTS, OPEN_BIAS, ROWS_OF_IMAGES, NOTHING_SEEN };

START_TEST(what_is_no_pair)
{
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, CHANNELS, 9, 9)), *w = rig_weights(&rig, DIMS(CHANNELS, CHANNELS, 1, 1));
    struct value *bias = _i == OPEN_BIAS ? rig_input(&rig, DIMS(CHANNELS)) : rig_weights(&rig, DIMS(CHANNELS));
    x = rig_node(&rig, "Conv", 3, (struct value *[]){x, w, bias}, 0, NULL);
    if (_i == CLIPPED)
        x = rig_node(&rig, "Clip", 3,
                     (struct value *[]){x, rig_number(&rig, SCALAR_DIMS, 0), rig_number(&rig, SCALAR_DIMS, 6)}, 0,
                     NULL);
    struct value *next = _i == SHARED_WEIGHTS ? w : rig_weights(&rig, DIMS(CHANNELS, CHANNELS, 1, 1));
    struct value *columns = _i == ROWS_OF_IMAGES ? rig_weights(&rig, DIMS(9, 4)) : NULL;
    struct value *y = rig_op2(&rig, columns ? "MatMul" : "Conv", x, columns ? columns : next);
    rig_output(&rig, _i == READ_TWICE ? rig_op2(&rig, "Add", x, y) : y);
    if (_i == HANDED_OUT)
        rig_output(&rig, x);
    struct quantize_plan plan = plan_of_rig();
    for (int i = 0; i < plan.count && _i == NOTHING_SEEN; i++)
        plan.layers[i].reach = NULL;
    ck_assert_int_eq(pairs_of(rig.graph, &plan), 0);
    region_free(&rig.maker.region);
}
END_TEST

Suite *quantize_equalise_suite(void)
{
    Suite *suite = suite_create("quantize_equalise");
    TCase *tests = tcase_create("channels");
    tcase_add_test(tests, weights_are_balanced_against_activations);
    tcase_add_test(tests, depthwise_weights_take_all);
    tcase_add_test(tests, rows_after_images);
    tcase_add_loop_test(tests, what_is_no_pair, 0, NOTHING_SEEN + 1);
    suite_add_tcase(suite, tests);
    return suite;
}
