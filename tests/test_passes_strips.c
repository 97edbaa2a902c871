/* Strips: the same bits with less memory and hardly more arithmetic, or nothing at all. */
#include "tests/failing_allocator.h"
#include "tests/suites.h"
#include "tests/tall_net.h"

#include "graph/steps/liveness.h"
#include "kernels/kernel.h"
#include "runtime/session.h"

#include <string.h>

#define BATCHES 8 /* so that no test takes long */
#define GRAPHS 160

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

START_TEST(tall_networks_give_the_same_bits)
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
    tcase_add_loop_test(tests, tall_networks_give_the_same_bits, 0, BATCHES);
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
