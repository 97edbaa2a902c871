/* Strips for speed: large intermediates of thin layers are made in strips without being asked for, with the same bits
 * and no more memory. */
#include "tests/failing_allocator.h"
#include "tests/pass_test.h"
#include "tests/suites.h"

#include "graph/steps/liveness.h"
#include "runtime/session.h"

#include <string.h>

#define TOO_MANY 5 /* threads for strips */

static struct value *convolve(struct rig *rig, struct value *x, int64_t inputs, int64_t outputs, int64_t kernel,
                              int64_t stride, int64_t group)
{
    int64_t *numbers = region_array(&rig->maker.region, 6, sizeof *numbers);
    for (int i = 0; i < 4; i++)
        numbers[i] = kernel / 2;
    numbers[4] = numbers[5] = stride;
    const struct attribute attributes[] = {ATTRIBUTE_I("group", group), ATTRIBUTE_LIST("pads", 4, numbers),
                                           ATTRIBUTE_LIST("strides", 2, numbers + 4)};
    const struct value *weights = rig_weights(rig, 4, (int64_t[]){outputs, inputs / group, kernel, kernel});
    struct value *operands[] = {x, (struct value *)(uintptr_t)weights, rig_weights(rig, 1, &outputs)};
    return rig_op1(rig, "Relu", rig_node(rig, "Conv", 3, operands, 3, attributes));
}

/* The begin of a network for small devices. Of 160 rows and columns the first two results have 3.3 MB. */
static void make_thin(struct rig *rig, int64_t size)
{
    rig_begin(rig);
    struct value *x = convolve(rig, rig_input(rig, DIMS(1, 3, 2 * size, 2 * size)), 3, 32, 3, 2, 1);
    x = convolve(rig, x, 32, 32, 3, 1, 32);
    rig_output(rig, convolve(rig, x, 32, 8, 1, 1, 1));
}

/* What it is quantised to, and back. */
static struct value *rounded(struct rig *rig, struct value *x)
{
    struct value *inputs[3] = {x, rig_number(rig, SCALAR_DIMS, 0.02), NULL};
    rig->dtype = DTYPE_U8;
    inputs[2] = rig_number(rig, SCALAR_DIMS, 100);
    rig->dtype = DTYPE_F32;
    inputs[0] = rig_node(rig, "QuantizeLinear", 3, inputs, 0, NULL);
    return rig_node(rig, "DequantizeLinear", 3, inputs, 0, NULL);
}

static struct value *convolve_bytes(struct rig *rig, struct value *x, int64_t inputs, int64_t outputs, int64_t kernel,
                                    int64_t stride, int64_t group)
{
    int64_t *numbers = region_array(&rig->maker.region, 6, sizeof *numbers);
    for (int i = 0; i < 4; i++)
        numbers[i] = kernel / 2;
    numbers[4] = numbers[5] = stride;
    const struct attribute attributes[] = {ATTRIBUTE_I("group", group), ATTRIBUTE_LIST("pads", 4, numbers),
                                           ATTRIBUTE_LIST("strides", 2, numbers + 4)};
    rig->dtype = DTYPE_I8;
    struct value *weights = rig_weights(rig, 4, (int64_t[]){outputs, inputs / group, kernel, kernel});
    rig->dtype = DTYPE_F32;
    weights = rig_op2(rig, "DequantizeLinear", weights, rig_number(rig, SCALAR_DIMS, 0.001));
    struct value *operands[] = {x, weights, rig_weights(rig, 1, &outputs)};
    return rounded(rig, rig_op1(rig, "Relu", rig_node(rig, "Conv", 3, operands, 3, attributes)));
}

/* The same on integers, of which the first two results have 0.8 MB. */
static void make_thin_bytes(struct rig *rig, int64_t size)
{
    rig_begin(rig);
    struct value *x = rounded(rig, rig_input(rig, DIMS(1, 3, 2 * size, 2 * size)));
    x = convolve_bytes(rig, x, 3, 32, 3, 2, 1);
    x = convolve_bytes(rig, x, 32, 32, 3, 1, 32);
    rig_output(rig, convolve_bytes(rig, x, 32, 8, 1, 1, 1));
}

struct measured {
    int steps, copies;
    size_t peak;
};

static struct measured measure(struct rig *rig, unsigned cpu, int threads)
{
    struct error error = {0};
    struct segment segment;
    struct specialise_options options = {
        .facts = {.cpu = cpu, .threads = threads}, .fuse = true, .constant_limit = SIZE_MAX};
    graph_set_inputs(rig->graph, rig->input_count, rig->inputs);
    graph_set_outputs(rig->graph, rig->output_count, rig->outputs);
    struct graph *graph = graph_clone(rig->graph, &rig->maker.region);
    ck_assert_msg(specialise(graph, &options, &segment, &error) == STATUS_OK, "%s", error.text);
    struct measured measured = {.steps = segment.steps.count, .peak = segment_peak(&segment, 1)};
    for (int s = 0; s < segment.steps.count; s++)
        measured.copies += segment.steps.steps[s]->family == FAMILY_copy;
    return measured;
}

static bool is_cut(struct rig *rig, unsigned cpu, int threads)
{
    struct measured whole = measure(rig, 0, 1), found = measure(rig, cpu, threads);
    ck_assert_uint_le(found.peak, measure(rig, cpu, TOO_MANY).peak);
    return found.steps > whole.steps;
}

START_TEST(large_intermediates_of_thin_layers_are_cut)
{
    struct rig rig;
    make_thin(&rig, 160);
    ck_assert(is_cut(&rig, CPU_AVX2 | CPU_FMA | CPU_F16C, 1));
    ck_assert(is_cut(&rig, CPU_AVX2 | CPU_FMA | CPU_F16C, 4));
    ck_assert(!is_cut(&rig, CPU_AVX2 | CPU_FMA | CPU_F16C, TOO_MANY));
    ck_assert(!is_cut(&rig, 0, 1));
    region_free(&rig.maker.region);
    make_thin(&rig, 120);
    ck_assert(!is_cut(&rig, CPU_AVX2 | CPU_FMA | CPU_F16C, 1));
    region_free(&rig.maker.region);
}
END_TEST

START_TEST(images_of_bytes_are_cut_at_a_quarter_of_the_bytes)
{
    const unsigned cpu = CPU_AVX2 | CPU_FMA | CPU_F16C;
    struct rig rig;
    make_thin_bytes(&rig, 160);
    ck_assert(is_cut(&rig, cpu, 1));
    ck_assert(is_cut(&rig, cpu, 2));
    ck_assert_int_eq(measure(&rig, cpu, 1).copies, 0);
    ck_assert_uint_le(10 * measure(&rig, cpu, 1).peak, 8 * measure(&rig, 0, 1).peak);
    region_free(&rig.maker.region);
    make_thin_bytes(&rig, 120);
    ck_assert(!is_cut(&rig, cpu, 1));
    region_free(&rig.maker.region);
}
END_TEST

/* Strips write their parts of a result where they belong, though the whole is there from the first one on. */
START_TEST(a_large_result_is_not_put_together_by_copies)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = convolve(&rig, rig_input(&rig, DIMS(1, 16, 112, 112)), 16, 96, 1, 1, 1);
    x = convolve(&rig, convolve(&rig, x, 96, 96, 3, 2, 96), 96, 24, 1, 1, 1);
    x = convolve(&rig, convolve(&rig, x, 24, 144, 1, 1, 1), 144, 144, 3, 1, 144);
    rig_output(&rig, convolve(&rig, x, 144, 24, 1, 1, 1));
    ck_assert(is_cut(&rig, CPU_AVX2 | CPU_FMA | CPU_F16C, 1));
    ck_assert_int_eq(measure(&rig, CPU_AVX2 | CPU_FMA | CPU_F16C, 1).copies, 0);
    region_free(&rig.maker.region);
}
END_TEST

/* A transformed convolution rounds by where its tiles begin. */
START_TEST(convolutions_that_kernels_transform_are_left_whole)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = convolve(&rig, rig_input(&rig, DIMS(1, 8, 160, 160)), 8, 32, 1, 1, 1);
    rig_output(&rig, convolve(&rig, x, 32, 8, 3, 1, 1));
    ck_assert(!is_cut(&rig, CPU_AVX2 | CPU_FMA | CPU_F16C, 1));
    region_free(&rig.maker.region);
}
END_TEST

/* It would take more than it saves. */
START_TEST(layers_with_much_arithmetic_are_left_whole)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = convolve(&rig, rig_input(&rig, DIMS(1, 64, 112, 112)), 64, 64, 7, 1, 1);
    rig_output(&rig, convolve(&rig, x, 64, 64, 7, 1, 1));
    ck_assert(!is_cut(&rig, CPU_AVX2 | CPU_FMA | CPU_F16C, 1));
    region_free(&rig.maker.region);
}
END_TEST

START_TEST(bits_are_the_same_in_strips)
{
    struct rig rig;
    infer_tensor input = {.dtype = INFER_FLOAT32, .rank = 4}, outputs[2];
    struct running running[2];
    size_t steps[2];
    (_i ? make_thin_bytes : make_thin)(&rig, 160);
    const struct value *data = rig_weights(&rig, 4, rig.input_dims[0]);
    memcpy(input.dims, data->dims, sizeof input.dims);
    input.data = (void *)(uintptr_t)data->data;
    input.bytes = value_bytes(data);
    memset(outputs, 0, sizeof outputs);
    for (int way = 0; way < 2; way++) {
        infer_memory memory;
        infer_error error = {0};
        infer_model *model = maker_finish(&rig.maker, 1, rig.inputs, rig.output_count, rig.outputs, NULL);
        running[way] = running_begin(model, &(infer_session_options){.threads = way ? TOO_MANY : 1});
        run_well(running[way].context, &input, 1, &outputs[way], 1);
        ck_assert_int_eq(infer_session_memory(running[way].session, &memory, &error), INFER_OK);
        steps[way] = memory.steps;
    }
    ck_assert_uint_eq(outputs[0].bytes, outputs[1].bytes);
    ck_assert_mem_eq(outputs[0].data, outputs[1].data, outputs[0].bytes);
    if (cpu_detect() & CPU_AVX2)
        ck_assert_uint_gt(steps[0], steps[1]);
    for (int way = 0; way < 2; way++) {
        infer_context_release(running[way].context);
        infer_session_release(running[way].session);
    }
    region_free(&rig.maker.region);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    struct rig rig;
    make_thin(&rig, 160);
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
            .facts = {.cpu = CPU_AVX2, .threads = 1}, .fuse = true, .constant_limit = SIZE_MAX};
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

Suite *passes_strips_near_suite(void)
{
    Suite *suite = suite_create("passes_strips_near");
    TCase *tests = tcase_create("strips for speed");
    tcase_add_test(tests, large_intermediates_of_thin_layers_are_cut);
    tcase_add_test(tests, images_of_bytes_are_cut_at_a_quarter_of_the_bytes);
    tcase_add_test(tests, a_large_result_is_not_put_together_by_copies);
    tcase_add_test(tests, convolutions_that_kernels_transform_are_left_whole);
    tcase_add_test(tests, layers_with_much_arithmetic_are_left_whole);
    tcase_add_loop_test(tests, bits_are_the_same_in_strips, 0, 2);
    tcase_add_test(tests, any_allocation_may_fail);
    suite_add_tcase(suite, tests);
    return suite;
}
