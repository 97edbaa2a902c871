#include "tests/op_test.h"
#include "tests/suites.h"

#include <math.h>

static const int64_t two[] = {2, 2};

START_TEST(maximum_and_its_index)
{
    const float x[] = {1, 9, 3, 4, 5, 6, 7, 8, 2}, want[] = {9, 9, 8, 8};
    const int64_t rows_first[] = {1, 1, 7, 7}, columns_first[] = {3, 3, 5, 5};
    for (int order = 0; order <= 1; order++) {
        const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 2, two),
                                               ATTRIBUTE_I("storage_order", order)};
        const struct test_tensor input = TENSOR(DTYPE_F32, x, 4, 1, 1, 3, 3);
        struct test_tensor outputs[2];
        run_op(&(struct op_call){.op = "MaxPool",
                                 .input_count = 1,
                                 .inputs = &input,
                                 .output_count = 2,
                                 .outputs = outputs,
                                 .attribute_count = 2,
                                 .attributes = attributes});
        expect_f32(&outputs[0], want, 0, 4, 1, 1, 2, 2);
        expect_i64(&outputs[1], order ? columns_first : rows_first, 4, 1, 1, 2, 2);
    }
}
END_TEST

START_TEST(a_nan_is_the_maximum)
{
    const float x[] = {1, NAN, 3, 4}, want[] = {NAN, NAN, 4};
    const int64_t kernel = 2;
    const struct attribute attribute = ATTRIBUTE_LIST("kernel_shape", 1, &kernel);
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 3, 1, 1, 4);
    struct test_tensor y = run_simple("MaxPool", 1, &input, 1, &attribute);
    expect_f32(&y, want, 0, 3, 1, 1, 3);
}
END_TEST

START_TEST(bytes_below_zero_win_over_padding)
{
    const int8_t x[] = {-5, -128}, want[] = {-5, -5, -128};
    const int64_t kernel = 2, pads[] = {1, 1};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 1, &kernel), ATTRIBUTE_LIST("pads", 2, pads)};
    const struct test_tensor input = TENSOR(DTYPE_I8, x, 3, 1, 1, 2);
    struct test_tensor y = run_simple("MaxPool", 1, &input, 2, attributes);
    expect_bytes(&y, DTYPE_I8, want, 3, 1, 1, 3);
}
END_TEST

/* A window that sticks out past the padding counts only what lies inside it. */
START_TEST(means_count_padding_but_not_beyond)
{
    const float x[] = {2, 4, 6, 8}, with[] = {1, 5, 4}, without[] = {2, 5, 8};
    const int64_t kernel = 2, stride = 2, pads[] = {1, 1};
    for (int count = 0; count <= 1; count++) {
        const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 1, &kernel),
                                               ATTRIBUTE_LIST("strides", 1, &stride), ATTRIBUTE_LIST("pads", 2, pads),
                                               ATTRIBUTE_I("count_include_pad", count)};
        const struct test_tensor input = TENSOR(DTYPE_F32, x, 3, 1, 1, 4);
        struct test_tensor y = run_simple("AveragePool", 1, &input, 4, attributes);
        expect_f32(&y, count ? with : without, 1e-6, 3, 1, 1, 3);
    }
    const int64_t three = 3;
    const struct attribute ceiling[] = {ATTRIBUTE_LIST("kernel_shape", 1, &three), ATTRIBUTE_LIST("strides", 1, &three),
                                        ATTRIBUTE_I("ceil_mode", 1), ATTRIBUTE_I("count_include_pad", 1)};
    const float cut[] = {4, 8};
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 3, 1, 1, 4);
    struct test_tensor y = run_simple("AveragePool", 1, &input, 4, ceiling);
    expect_f32(&y, cut, 1e-6, 3, 1, 1, 2);
}
END_TEST

START_TEST(the_last_window_may_not_start_in_the_padding)
{
    const float x[] = {1, 2, 3, 4}, want[] = {1, 3};
    const int64_t kernel = 1, stride = 2, pads[] = {0, 1};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 1, &kernel),
                                           ATTRIBUTE_LIST("strides", 1, &stride), ATTRIBUTE_LIST("pads", 2, pads),
                                           ATTRIBUTE_I("ceil_mode", 1)};
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 3, 1, 1, 4);
    struct test_tensor y = run_simple("MaxPool", 1, &input, 4, attributes);
    expect_f32(&y, want, 0, 3, 1, 1, 2);
}
END_TEST

START_TEST(norms_of_windows_and_images)
{
    const float x[] = {3, -4, 0, 12}, pairs[] = {5, 4, 12}, sum[] = {19}, root[] = {13};
    const int64_t kernel = 2;
    const struct attribute window = ATTRIBUTE_LIST("kernel_shape", 1, &kernel), one = ATTRIBUTE_I("p", 1);
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 3, 1, 1, 4);
    struct test_tensor y = run_simple("LpPool", 1, &input, 1, &window);
    expect_f32(&y, pairs, 1e-6, 3, 1, 1, 3);
    y = run_simple("GlobalLpPool", 1, &input, 1, &one);
    expect_f32(&y, sum, 1e-6, 3, 1, 1, 1);
    y = run_simple("GlobalLpPool", 1, &input, 0, NULL);
    expect_f32(&y, root, 1e-6, 3, 1, 1, 1);
}
END_TEST

START_TEST(global_pools_fold_all_but_batch_and_channel)
{
    const float x[] = {1, 2, 3, 4, -1, -2, -3, -4}, means[] = {2.5f, -2.5f}, most[] = {4, -1};
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 4, 1, 2, 2, 2);
    struct test_tensor y = run_simple("GlobalAveragePool", 1, &input, 0, NULL);
    expect_f32(&y, means, 0, 4, 1, 2, 1, 1);
    y = run_simple("GlobalMaxPool", 1, &input, 0, NULL);
    expect_f32(&y, most, 0, 4, 1, 2, 1, 1);
}
END_TEST

/* Pads at either end make what is unpooled smaller. */
START_TEST(unpooling_takes_pads_off)
{
    const float x[] = {5, 6, 7, 8}, expected[] = {5, 0, 6, 0, 7, 0, 0, 0, 8};
    const int64_t indices[] = {0, 2, 4, 8}, size[] = {2, 2}, pads[] = {0, 1, 1, 0};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 2, size), ATTRIBUTE_LIST("strides", 2, size),
                                           ATTRIBUTE_LIST("pads", 4, pads)};
    struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, 1, 1, 2, 2), TENSOR(DTYPE_I64, indices, 4, 1, 1, 2, 2)};
    struct test_tensor y = run_simple("MaxUnpool", 2, inputs, 3, attributes);
    expect_f32(&y, expected, 0, 4, 1, 1, 3, 3);
}
END_TEST

START_TEST(unpooling_puts_maxima_back)
{
    const float x[] = {5, 7}, small[] = {0, 5, 0, 7}, large[] = {0, 5, 0, 7, 0, 0};
    const int64_t indices[] = {1, 3}, kernel = 2, shape[] = {1, 1, 6}, bad[] = {1, 4};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 1, &kernel),
                                           ATTRIBUTE_LIST("strides", 1, &kernel)};
    struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, 1, 2), TENSOR(DTYPE_I64, indices, 3, 1, 1, 2),
                                   TENSOR(DTYPE_I64, shape, 1, 3)};
    struct test_tensor y = run_simple("MaxUnpool", 2, inputs, 2, attributes);
    expect_f32(&y, small, 0, 3, 1, 1, 4);
    y = run_simple("MaxUnpool", 3, inputs, 2, attributes);
    expect_f32(&y, large, 0, 3, 1, 1, 6);
    inputs[1].data = bad;
    expect_refusal(STATUS_FAULT, "4", "MaxUnpool", 2, inputs, 2, attributes);
}
END_TEST

/* A MaxPool's indices count in the output that is asked for. Values from ONNX Runtime. */
START_TEST(unpooling_what_was_pooled)
{
    const float x[] = {1.827258587f, 0.95806396f, 0.432106853f, 1.679207444f};
    const int64_t indices[] = {6, 2, 10, 18}, shape[] = {1, 1, 4, 5}, small[] = {1, 1, 3, 3};
    const float want[20] = {[2] = 0.95806396f, [6] = 1.827258587f, [10] = 0.432106853f, [18] = 1.679207444f};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 2, two), ATTRIBUTE_LIST("strides", 2, two),
                                           ATTRIBUTE_I(MAX_UNPOOL_POSITIONS, 1)};
    struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, 1, 1, 2, 2), TENSOR(DTYPE_I64, indices, 4, 1, 1, 2, 2),
                                   TENSOR(DTYPE_I64, shape, 1, 4)};
    struct test_tensor y = run_simple("MaxUnpool", 3, inputs, 3, attributes);
    expect_f32(&y, want, 0, 4, 1, 1, 4, 5);
    expect_refusal(STATUS_FAULT, "18", "MaxUnpool", 2, inputs, 3, attributes); /* nothing is asked for: 4x4 */
    /* What a pool that rounds up was given is smaller than what its window makes. */
    const int64_t edges[] = {4, 5, 7, 8};
    const float corner[9] = {[4] = 1.827258587f, [5] = 0.95806396f, [7] = 0.432106853f, [8] = 1.679207444f};
    inputs[1].data = edges;
    inputs[2].data = small;
    y = run_simple("MaxUnpool", 3, inputs, 3, attributes);
    expect_f32(&y, corner, 0, 4, 1, 1, 3, 3);
    expect_refusal(STATUS_INVALID_ARGUMENT, "smaller than what the window makes", "MaxUnpool", 3, inputs, 2,
                   attributes);
}
END_TEST

START_TEST(regions_round_to_whole_elements)
{
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, regions[] = {0, 0, 0, 2, 2, 0, 1.6f, 1.4f, 1.6f, 1.4f};
    const float want[] = {5, 6, 8, 9, 6, 6, 6, 6};
    const struct attribute attribute = ATTRIBUTE_LIST("pooled_shape", 2, two);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, 1, 1, 3, 3), TENSOR(DTYPE_F32, regions, 2, 2, 5)};
    struct test_tensor y = run_simple("MaxRoiPool", 2, inputs, 1, &attribute);
    expect_f32(&y, want, 0, 4, 2, 1, 2, 2);
}
END_TEST

/* 29 columns in 7 parts: the last ends with column 28, although 29 / 7 * 7 is more than 29 in double. */
START_TEST(parts_of_a_region_end_at_exact_quotients)
{
    const int64_t pooled[] = {1, 7};
    const float regions[] = {0, 0, 0, 28, 0}, want[] = {4, 8, 12, 16, 20, 24, 28};
    float x[30];
    for (int i = 0; i < 30; i++)
        x[i] = (float)i;
    const struct attribute attribute = ATTRIBUTE_LIST("pooled_shape", 2, pooled);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, 1, 1, 1, 30), TENSOR(DTYPE_F32, regions, 2, 1, 5)};
    struct test_tensor y = run_simple("MaxRoiPool", 2, inputs, 1, &attribute);
    expect_f32(&y, want, 0, 4, 1, 1, 1, 7);
}
END_TEST

/* The middle one of three samples lies at the very edge, which counts, and the last past it. */
START_TEST(samples_at_the_edge_of_an_image_count)
{
    const float x[] = {1, 2, 3}, region[] = {1, 0, 6, 1}, want[] = {7.0f / 3, 3, 0};
    const int64_t batch[] = {0};
    const struct attribute attributes[] = {ATTRIBUTE_I("output_width", 3), ATTRIBUTE_I("sampling_ratio", 1)};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, 1, 1, 1, 3), TENSOR(DTYPE_F32, region, 2, 1, 4),
                                         TENSOR(DTYPE_I64, batch, 1, 1)};
    struct test_tensor y = run_simple("RoiAlign", 3, inputs, 2, attributes);
    expect_f32(&y, want, 1e-6f, 4, 1, 1, 1, 3);
}
END_TEST

START_TEST(regions_of_no_image_and_of_no_end_are_faults)
{
    const float x[] = {1, 2, 3, 4}, region[] = {0, 0, 2, 2}, endless[] = {0, 0, INFINITY, 2};
    const int64_t batch[] = {0}, bad[] = {1};
    struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, 1, 1, 2, 2), TENSOR(DTYPE_F32, region, 2, 1, 4),
                                   TENSOR(DTYPE_I64, bad, 1, 1)};
    expect_refusal(STATUS_FAULT, "not among the 1", "RoiAlign", 3, inputs, 0, NULL);
    inputs[1].data = endless;
    inputs[2].data = batch;
    expect_refusal(STATUS_FAULT, "too large", "RoiAlign", 3, inputs, 0, NULL);
}
END_TEST

START_TEST(windows_that_make_no_sense_are_refused)
{
    const float x[4] = {0};
    const struct test_tensor flat = TENSOR(DTYPE_F32, x, 2, 2, 2), input = TENSOR(DTYPE_F32, x, 3, 1, 1, 4);
    expect_refusal(STATUS_INVALID_MODEL, "kernel_shape is missing", "MaxPool", 1, &input, 0, NULL);
    expect_refusal(STATUS_INVALID_MODEL, "rank 2", "MaxPool", 1, &flat, 0, NULL);
    const int64_t five = 5;
    const struct attribute wide = ATTRIBUTE_LIST("kernel_shape", 1, &five);
    expect_refusal(STATUS_INVALID_ARGUMENT, "larger than the 4", "MaxPool", 1, &input, 1, &wide);
    const struct attribute attribute = ATTRIBUTE_LIST("kernel_shape", 2, two);
    expect_refusal(STATUS_INVALID_MODEL, "kernel_shape has 2 entries", "AveragePool", 1, &input, 1, &attribute);
}
END_TEST

Suite *ops_pool_suite(void)
{
    Suite *suite = suite_create("ops_pool");
    TCase *tests = tcase_create("ops_pool");
    tcase_add_test(tests, maximum_and_its_index);
    tcase_add_test(tests, a_nan_is_the_maximum);
    tcase_add_test(tests, bytes_below_zero_win_over_padding);
    tcase_add_test(tests, means_count_padding_but_not_beyond);
    tcase_add_test(tests, the_last_window_may_not_start_in_the_padding);
    tcase_add_test(tests, norms_of_windows_and_images);
    tcase_add_test(tests, global_pools_fold_all_but_batch_and_channel);
    tcase_add_test(tests, unpooling_takes_pads_off);
    tcase_add_test(tests, unpooling_puts_maxima_back);
    tcase_add_test(tests, unpooling_what_was_pooled);
    tcase_add_test(tests, regions_round_to_whole_elements);
    tcase_add_test(tests, parts_of_a_region_end_at_exact_quotients);
    tcase_add_test(tests, samples_at_the_edge_of_an_image_count);
    tcase_add_test(tests, regions_of_no_image_and_of_no_end_are_faults);
    tcase_add_test(tests, windows_that_make_no_sense_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
