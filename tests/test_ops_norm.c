#include "tests/op_short.h"
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

/* Opset 7 and 8: each element of an image has numbers of its own. Values from ONNX Runtime. */
START_TEST(batch_normalisation_by_element)
{
    const float x[] = {-0.802836955f, 0.242849901f, -1.65634549f,  0.656104863f,  1.143453f,     -0.452610999f,
                       0.430485755f,  0.250932574f, -0.394352049f, -0.862404883f, -2.03255248f,  1.41042352f,
                       -0.047632236f, 2.52232742f,  0.826218247f,  0.277780533f,  -0.657431066f, 1.39246917f,
                       -0.506289124f, 1.56994915f,  -0.398361295f, 0.18595393f,   -1.52267039f,  2.34323239f};
    const float scale[] = {0.611821651f, 1.05046368f,  0.244159609f, 1.04864943f,  0.411831439f, 0.523326457f,
                           0.927702606f, 0.509199142f, 0.649593711f, 0.127559111f, 0.853513122f, 0.638143361f};
    const float bias[] = {0.361612141f, 0.398491144f, 0.914225757f, 0.191915944f, 0.700100541f, 0.828560531f,
                          0.287901074f, 0.155146629f, 0.374969363f, 0.757433057f, 0.662265658f, 0.250062257f};
    const float mean[] = {0.185649171f, 0.336810499f, 0.901274502f, 0.682162046f, 0.194128647f, 0.53312695f,
                          0.579051316f, 0.259738922f, 0.834577203f, 0.213672012f, 0.491228193f, 0.616740227f};
    const float variance[] = {1.04305613f,  0.611327589f, 1.07624376f,  0.180836022f, 0.707355857f, 0.476486564f,
                              0.901901245f, 0.274527818f, 0.971635282f, 0.643941402f, 1.00221503f,  0.577153504f};
    const float want[] = {-0.230548441f, 0.272254258f, 0.312286735f,  0.127661481f,  1.16494966f,  0.0812445879f,
                          0.142775148f,  0.14658843f,  -0.434899747f, 0.586381018f,  -1.48942173f, 0.916740179f,
                          0.221863031f,  3.33475208f,  0.896561146f,  -0.805249333f, 0.283123106f, 1.48005223f,
                          -0.77231133f,  1.42843723f,  -0.437541842f, 0.753027022f,  -1.0547142f,  1.70028067f};
    const struct attribute by_element[] = {ATTRIBUTE_I("spatial", 0)};
    struct test_tensor in[] = {F32(x, 4, 2, 3, 2, 2), F32(scale, 3, 3, 2, 2), F32(bias, 3, 3, 2, 2),
                               F32(mean, 3, 3, 2, 2), F32(variance, 3, 3, 2, 2)},
                       out[1];
    for (int version = 7; version <= 8; version++) {
        RUN_OP(in, out, .op = "BatchNormalization", .version = version, ATTRIBUTES(by_element));
        expect_f32(&out[0], want, 1e-6, 4, 2, 3, 2, 2);
    }
    in[2] = F32(bias, 1, 3);
    REFUSED(STATUS_INVALID_MODEL, "is 3; it must be 3x2x2", in, .op = "BatchNormalization", .version = 7,
            ATTRIBUTES(by_element));
    /* Without positions, an element is a channel. */
    struct test_tensor flat[] = {F32(x, 2, 2, 3), F32(scale, 1, 3), F32(bias, 1, 3), F32(mean, 1, 3),
                                 F32(variance, 1, 3)},
                       by_channel[1];
    RUN_OP(flat, out, .op = "BatchNormalization", .version = 7, ATTRIBUTES(by_element));
    RUN_OP(flat, by_channel, .op = "BatchNormalization", .version = 7);
    ck_assert_mem_eq(out[0].data, by_channel[0].data, 6 * sizeof(float));
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
    tcase_add_test(tests, batch_normalisation_by_element);
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
