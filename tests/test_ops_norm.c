#include "tests/op_test.h"
#include "tests/suites.h"

#include <math.h>

START_TEST(batch_normalisation_is_a_line_a_channel)
{
    const float x[] = {1, 2, 3, 4}, scale[] = {2, 1}, bias[] = {1, -1}, mean[] = {1, 4}, variance[] = {3, 0};
    const float want[] = {1, 2, -2, -1};
    const struct attribute epsilon = ATTRIBUTE_F("epsilon", 1);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, 2, 2), TENSOR(DTYPE_F32, scale, 1, 2),
                                         TENSOR(DTYPE_F32, bias, 1, 2), TENSOR(DTYPE_F32, mean, 1, 2),
                                         TENSOR(DTYPE_F32, variance, 1, 2)};
    struct test_tensor y = run_simple("BatchNormalization", 5, inputs, 1, &epsilon);
    expect_f32(&y, want, 1e-6, 3, 1, 2, 2);
}
END_TEST

START_TEST(training_normalises_by_the_batch_and_moves_the_statistics)
{
    const float x[] = {1, 3, 5, 7}, one[] = {1}, none[] = {0}, running[] = {10};
    const float want[] = {-1.3416408f, -0.4472136f, 0.4472136f, 1.3416408f}, mean[] = {7}, variance[] = {7.5f};
    const struct attribute attributes[] = {ATTRIBUTE_I("training_mode", 1), ATTRIBUTE_F("momentum", 0.5f),
                                           ATTRIBUTE_F("epsilon", 0)};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 2, 1, 2), TENSOR(DTYPE_F32, one, 1, 1),
                                         TENSOR(DTYPE_F32, none, 1, 1), TENSOR(DTYPE_F32, running, 1, 1),
                                         TENSOR(DTYPE_F32, running, 1, 1)};
    struct test_tensor outputs[3];
    run_op(&(struct op_call){.op = "BatchNormalization",
                             .input_count = 5,
                             .inputs = inputs,
                             .output_count = 3,
                             .outputs = outputs,
                             .attribute_count = 3,
                             .attributes = attributes});
    expect_f32(&outputs[0], want, 1e-5, 3, 2, 1, 2);
    expect_f32(&outputs[1], mean, 1e-6, 1, 1);
    expect_f32(&outputs[2], variance, 1e-6, 1, 1);
}
END_TEST

/* Large numbers whose differences are small: a variance taken as E[x^2] - E[x]^2 would be lost. */
START_TEST(a_large_mean_costs_no_precision)
{
    const float x[] = {10000, 10001, 10002, 10003}, scale[] = {1, 1, 1, 1}, bias[] = {0, 0, 0, 1};
    const float want[] = {-1.3416354f, -0.4472118f, 0.4472118f, 2.3416354f}, mean[] = {10001.5f};
    const float inverse[] = {0.8944236f};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 2, 1, 4), TENSOR(DTYPE_F32, scale, 1, 4),
                                         TENSOR(DTYPE_F32, bias, 1, 4)};
    struct test_tensor outputs[3];
    run_op(&(struct op_call){
        .op = "LayerNormalization", .input_count = 3, .inputs = inputs, .output_count = 3, .outputs = outputs});
    expect_f32(&outputs[0], want, 1e-5, 2, 1, 4);
    expect_f32(&outputs[1], mean, 0, 2, 1, 1);
    expect_f32(&outputs[2], inverse, 1e-6, 2, 1, 1);
}
END_TEST

START_TEST(layer_normalisation_of_doubles_reports_floats)
{
    const double x[] = {1, 3}, scale[] = {1}, want[] = {-1, 1};
    const float mean[] = {2};
    const struct attribute epsilon = ATTRIBUTE_F("epsilon", 0);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F64, x, 2, 1, 2), TENSOR(DTYPE_F64, scale, 0, 0)};
    struct test_tensor outputs[2];
    run_op(&(struct op_call){.op = "LayerNormalization",
                             .input_count = 2,
                             .inputs = inputs,
                             .output_count = 2,
                             .outputs = outputs,
                             .attribute_count = 1,
                             .attributes = &epsilon});
    expect_bytes(&outputs[0], DTYPE_F64, want, 2, 1, 2);
    expect_f32(&outputs[1], mean, 0, 2, 1, 1);
}
END_TEST

START_TEST(root_mean_square_keeps_the_mean)
{
    const float x[] = {3, 4, 0, 0}, scale[] = {1, 2}, want[] = {0.8485281f, 2.2627417f, 0, 0};
    const struct attribute epsilon = ATTRIBUTE_F("epsilon", 1e-12f);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 2, 2, 2), TENSOR(DTYPE_F32, scale, 1, 2)};
    struct test_tensor y = run_simple("RMSNormalization", 2, inputs, 1, &epsilon);
    expect_f32(&y, want, 1e-6, 2, 2, 2);
    const struct test_tensor wide[] = {TENSOR(DTYPE_F32, x, 2, 2, 2), TENSOR(DTYPE_F32, x, 1, 4)};
    expect_refusal(STATUS_INVALID_MODEL, "does not broadcast", "RMSNormalization", 2, wide, 0, NULL);
}
END_TEST

/* Opset 21 gave each channel its own scale; before, each group had one. */
START_TEST(groups_are_scaled_as_their_opset_says)
{
    const float x[] = {-1, 1, -2, 2}, scale[] = {1, 10, 100, 1000}, zero[] = {0, 0, 0, 0};
    const float each[] = {-1, 10, -100, 1000}, together[] = {-1, 1, -10, 10};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_groups", 2), ATTRIBUTE_F("epsilon", 0)};
    for (int version = 18; version <= 21; version += 3) {
        int64_t count = version < 21 ? 2 : 4;
        const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 2, 1, 4), TENSOR(DTYPE_F32, scale, 1, count),
                                             TENSOR(DTYPE_F32, zero, 1, count)};
        struct test_tensor y;
        run_op(&(struct op_call){.op = "GroupNormalization",
                                 .version = version,
                                 .input_count = 3,
                                 .inputs = inputs,
                                 .output_count = 1,
                                 .outputs = &y,
                                 .attribute_count = 2,
                                 .attributes = attributes});
        expect_f32(&y, version < 21 ? together : each, 1e-5, 2, 1, 4);
    }
}
END_TEST

START_TEST(instances_and_whole_batches)
{
    const float x[] = {1, 3, 10, 30}, scale[] = {1, 2}, bias[] = {0, 5}, each[] = {-1, 1, 3, 7};
    const float constant[] = {4, 4, 4, 4}, nothing[] = {0, 0, 0, 0};
    const struct attribute epsilon = ATTRIBUTE_F("epsilon", 0);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, 2, 2), TENSOR(DTYPE_F32, scale, 1, 2),
                                         TENSOR(DTYPE_F32, bias, 1, 2)};
    struct test_tensor y = run_simple("InstanceNormalization", 3, inputs, 1, &epsilon);
    expect_f32(&y, each, 1e-5, 3, 1, 2, 2);
    const struct test_tensor flat = TENSOR(DTYPE_F32, constant, 4, 2, 1, 2, 1);
    y = run_simple("MeanVarianceNormalization", 1, &flat, 0, NULL);
    expect_f32(&y, nothing, 0, 4, 2, 1, 2, 1);
}
END_TEST

START_TEST(no_elements_are_normalised_to_none)
{
    const float scale[] = {1, 1};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, scale, 3, 0, 2, 3), TENSOR(DTYPE_F32, scale, 1, 2),
                                         TENSOR(DTYPE_F32, scale, 1, 2)};
    struct test_tensor y = run_simple("InstanceNormalization", 3, inputs, 0, NULL);
    expect_f32(&y, NULL, 0, 3, 0, 2, 3);
}
END_TEST

START_TEST(a_norm_of_zero_divides_nothing)
{
    const float x[] = {3, -4, 0, 0}, two[] = {0.6f, -0.8f, 0, 0}, one[] = {3 / 7.0f, -4 / 7.0f, 0, 0};
    const struct attribute first = ATTRIBUTE_I("p", 1), third = ATTRIBUTE_I("p", 3);
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 2, 2, 2);
    struct test_tensor y = run_simple("LpNormalization", 1, &input, 0, NULL);
    expect_f32(&y, two, 1e-6, 2, 2, 2);
    y = run_simple("LpNormalization", 1, &input, 1, &first);
    expect_f32(&y, one, 1e-6, 2, 2, 2);
    expect_refusal(STATUS_INVALID_MODEL, "must be 1 or 2", "LpNormalization", 1, &input, 1, &third);
}
END_TEST

/* A window of even size has its odd channel after the middle. */
START_TEST(local_response_sums_neighbouring_channels)
{
    const float x[] = {1, 2, 3, 4}, want[] = {1 / 3.5f, 2 / 7.5f, 3 / 13.5f, 4 / 9.0f};
    const struct attribute attributes[] = {ATTRIBUTE_I("size", 2), ATTRIBUTE_F("alpha", 1), ATTRIBUTE_F("beta", 1)};
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 3, 1, 4, 1);
    struct test_tensor y = run_simple("LRN", 1, &input, 3, attributes);
    expect_f32(&y, want, 1e-6, 3, 1, 4, 1);
}
END_TEST

Suite *ops_norm_suite(void)
{
    Suite *suite = suite_create("ops_norm");
    TCase *tests = tcase_create("ops_norm");
    tcase_add_test(tests, batch_normalisation_is_a_line_a_channel);
    tcase_add_test(tests, training_normalises_by_the_batch_and_moves_the_statistics);
    tcase_add_test(tests, a_large_mean_costs_no_precision);
    tcase_add_test(tests, layer_normalisation_of_doubles_reports_floats);
    tcase_add_test(tests, root_mean_square_keeps_the_mean);
    tcase_add_test(tests, groups_are_scaled_as_their_opset_says);
    tcase_add_test(tests, instances_and_whole_batches);
    tcase_add_test(tests, no_elements_are_normalised_to_none);
    tcase_add_test(tests, a_norm_of_zero_divides_nothing);
    tcase_add_test(tests, local_response_sums_neighbouring_channels);
    suite_add_tcase(suite, tests);
    return suite;
}
