#include "tests/op_short.h"
#include "tests/op_test.h"
#include "tests/suites.h"

#include <string.h>

#include <math.h>

static void unary_f32(const char *op, const float *x, const float *y, int count, int attributes,
                      const struct attribute *attribute)
{
    struct test_tensor out;
    struct test_tensor in = TENSOR(DTYPE_F32, x, 1, count);
    run_op(&(struct op_call){.op = op,
                             .input_count = 1,
                             .inputs = &in,
                             .output_count = 1,
                             .outputs = &out,
                             .attribute_count = attributes,
                             .attributes = attribute});
    expect_f32(&out, y, 1e-6, 1, count);
}

START_TEST(activations_keep_their_limits)
{
    const float x[] = {-INFINITY, -100, -1, -0.0f, 0, 1, 100, INFINITY, NAN};
    const float relu[] = {0, 0, 0, 0, 0, 1, 100, INFINITY, NAN};
    const float sigmoid[] = {0, 3.7835e-44f, 0.26894142f, 0.5f, 0.5f, 0.73105858f, 1, 1, NAN};
    const float softplus[] = {0, 3.7835e-44f, 0.31326169f, 0.69314718f, 0.69314718f, 1.31326169f, 100, INFINITY, NAN};
    const float sign[] = {-1, -1, -1, 0, 0, 1, 1, 1, NAN};
    unary_f32("Relu", x, relu, 9, 0, NULL);
    unary_f32("Sigmoid", x, sigmoid, 9, 0, NULL);
    unary_f32("Softplus", x, softplus, 9, 0, NULL);
    unary_f32("Sign", x, sign, 9, 0, NULL);
}
END_TEST

START_TEST(rounding_goes_to_even)
{
    const float x[] = {-2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, 8388609, NAN};
    const float y[] = {-2, -2, 0, 0, 2, 2, 8388609, NAN};
    unary_f32("Round", x, y, 8, 0, NULL);
}
END_TEST

START_TEST(attributes_reach_the_kernel)
{
    const float x[] = {-2, 0, 3};
    const float leaky[] = {-0.5f, 0, 3}, hard[] = {0, 0.25f, 1};
    const struct attribute alpha = ATTRIBUTE_F("alpha", 0.25f);
    const struct attribute both[] = {ATTRIBUTE_F("alpha", 0.5f), ATTRIBUTE_F("beta", 0.25f)};
    unary_f32("LeakyRelu", x, leaky, 3, 1, &alpha);
    unary_f32("HardSigmoid", x, hard, 3, 2, both);
}
END_TEST

START_TEST(shapes_broadcast)
{
    const float a[] = {1, 2, 3}, b[] = {10, 20};
    const float sum[] = {11, 12, 13, 21, 22, 23};
    struct test_tensor in[] = {TENSOR(DTYPE_F32, a, 1, 3), TENSOR(DTYPE_F32, b, 3, 1, 2, 1)}, out;
    run_op(&(struct op_call){.op = "Add", .input_count = 2, .inputs = in, .output_count = 1, .outputs = &out});
    expect_f32(&out, sum, 0, 3, 1, 2, 3);
}
END_TEST

START_TEST(empty_tensors_stay_empty)
{
    const float a[1] = {0}, b[] = {1, 2};
    struct test_tensor in[] = {TENSOR(DTYPE_F32, a, 2, 0, 1), TENSOR(DTYPE_F32, b, 1, 2)}, out;
    run_op(&(struct op_call){.op = "Mul", .input_count = 2, .inputs = in, .output_count = 1, .outputs = &out});
    expect_f32(&out, a, 0, 2, 0, 2);
}
END_TEST

static enum status divide(const int32_t *a, const int32_t *b, int count, struct test_tensor *out, struct error *error)
{
    struct test_tensor in[] = {TENSOR(DTYPE_I32, a, 1, count), TENSOR(DTYPE_I32, b, 1, count)};
    return run_op_status(
        &(struct op_call){.op = "Div", .input_count = 2, .inputs = in, .output_count = 1, .outputs = out}, error);
}

START_TEST(integers_divide_towards_zero)
{
    struct error error = {0};
    struct test_tensor out;
    const int32_t a[] = {7, -7, INT32_MIN}, b[] = {2, 2, -1}, quotient[] = {3, -3, INT32_MIN};
    ck_assert_int_eq(divide(a, b, 3, &out, &error), STATUS_OK);
    expect_bytes(&out, DTYPE_I32, quotient, 1, 3);
}
END_TEST

START_TEST(a_zero_divisor_is_a_fault_that_names_the_node)
{
    struct error error = {0};
    struct test_tensor out;
    const int32_t a[] = {7, 8}, b[] = {2, 0};
    ck_assert_int_eq(divide(a, b, 2, &out, &error), STATUS_FAULT);
    ck_assert_str_eq(error.text, "node 'node' (Div): integer division by zero");
}
END_TEST

START_TEST(mod_has_the_sign_of_the_divisor_fmod_of_the_dividend)
{
    const int8_t a[] = {-4, 7, 5, 4, -7, 8}, b[] = {2, -3, 8, -2, 3, 5};
    const int8_t python[] = {0, -2, 5, 0, 2, 3}, c_like[] = {0, 1, 5, 0, -1, 3};
    struct test_tensor in[] = {TENSOR(DTYPE_I8, a, 1, 6), TENSOR(DTYPE_I8, b, 1, 6)}, out;
    struct op_call call = {.op = "Mod", .input_count = 2, .inputs = in, .output_count = 1, .outputs = &out};
    run_op(&call);
    expect_bytes(&out, DTYPE_I8, python, 1, 6);
    const struct attribute fmod_attribute = ATTRIBUTE_I("fmod", 1);
    call.attributes = &fmod_attribute;
    call.attribute_count = 1;
    run_op(&call);
    expect_bytes(&out, DTYPE_I8, c_like, 1, 6);
}
END_TEST

START_TEST(more_operands_than_a_program_takes)
{
    enum { COUNT = 40 };
    float x[COUNT];
    struct test_tensor in[COUNT], out;
    float sum = 0;
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)(i * i);
        sum += x[i];
        in[i] = TENSOR(DTYPE_F32, &x[i], 1, 1);
    }
    struct op_call call = {.op = "Sum", .input_count = COUNT, .inputs = in, .output_count = 1, .outputs = &out};
    struct error error = {0};
    ck_assert_msg(run_op_status(&call, &error) == STATUS_OK, "%s", error.text);
    expect_f32(&out, &sum, 0, 1, 1);
    call.op = "Mean";
    sum /= COUNT;
    ck_assert_msg(run_op_status(&call, &error) == STATUS_OK, "%s", error.text);
    expect_f32(&out, &sum, 0, 1, 1);
}
END_TEST

START_TEST(clip_takes_the_upper_bound_where_they_cross)
{
    const float x[] = {-1, 0, 5, NAN}, low = 2, high = 1, y[] = {1, 1, 1, NAN};
    struct test_tensor in[] = {TENSOR(DTYPE_F32, x, 1, 4), TENSOR(DTYPE_F32, &low, 0, 0),
                               TENSOR(DTYPE_F32, &high, 0, 0)};
    struct test_tensor out;
    run_op(&(struct op_call){.op = "Clip", .input_count = 3, .inputs = in, .output_count = 1, .outputs = &out});
    expect_f32(&out, y, 0, 1, 4);
}
END_TEST

START_TEST(casts_round_and_wrap)
{
    const float x[] = {-1.75f, 1e10f, NAN, 65519, 65520, 5.9604645e-8f, 1e-8f};
    const uint16_t half[] = {0xbf00, 0x7c00, 0x7e00, 0x7bff, 0x7c00, 0x0001, 0x0000};
    const int64_t whole[] = {-1, 10000000000, 0, 65519, 65520, 0, 0};
    const uint8_t yes[] = {1, 1, 1, 1, 1, 1, 1};
    struct test_tensor in = TENSOR(DTYPE_F32, x, 1, 7), out;
    struct attribute to = ATTRIBUTE_I("to", DTYPE_F16);
    struct op_call call = {.op = "Cast",
                           .input_count = 1,
                           .inputs = &in,
                           .output_count = 1,
                           .outputs = &out,
                           .attribute_count = 1,
                           .attributes = &to};
    run_op(&call);
    expect_bytes(&out, DTYPE_F16, half, 1, 7);
    to.i = DTYPE_I64;
    run_op(&call);
    expect_i64(&out, whole, 1, 7);
    to.i = DTYPE_BOOL;
    run_op(&call);
    expect_bytes(&out, DTYPE_BOOL, yes, 1, 7);
}
END_TEST

START_TEST(types_that_do_not_fit_are_refused_by_name)
{
    struct error error = {0};
    const uint8_t yes = 1;
    struct test_tensor in = TENSOR(DTYPE_BOOL, &yes, 0, 0), out;
    enum status status = run_op_status(
        &(struct op_call){.op = "Exp", .input_count = 1, .inputs = &in, .output_count = 1, .outputs = &out}, &error);
    ck_assert_int_eq(status, STATUS_UNSUPPORTED);
    ck_assert_str_eq(error.text, "node 'node' (Exp): input 0 'input_0' is bool; supported here: float32, float16, "
                                 "float64, bfloat16");
}
END_TEST

/* Before opset 7 the second operand may be smaller only where `broadcast` says so, and never the larger one. */
START_TEST(old_operands_broadcast_where_they_say_so)
{
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {10, 20, 30}, sum[] = {11, 22, 33, 14, 25, 36};
    const struct attribute broadcast[] = {ATTRIBUTE_I("broadcast", 1)};
    struct test_tensor in[] = {TENSOR(DTYPE_F32, a, 2, 2, 3), TENSOR(DTYPE_F32, b, 1, 3)}, out;
    struct op_call call = {.op = "Add",
                           .version = 6,
                           .input_count = 2,
                           .inputs = in,
                           .output_count = 1,
                           .outputs = &out,
                           .attribute_count = 1,
                           .attributes = broadcast};
    struct error error = {0};
    run_op(&call);
    expect_f32(&out, sum, 0, 2, 2, 3);
    call.attribute_count = 0;
    call.inputs = (struct test_tensor[]){in[0], in[0]};
    run_op(&call);
    expect_f32(&out, (const float[]){2, 4, 6, 8, 10, 12}, 0, 2, 2, 3);
    call.inputs = (struct test_tensor[]){in[0], TENSOR(DTYPE_F32, a, 2, 2, 1)};
    ck_assert_int_eq(run_op_status(&call, &error), STATUS_INVALID_MODEL);
    call.inputs = in;
    error = (struct error){0};
    ck_assert_int_eq(run_op_status(&call, &error), STATUS_INVALID_MODEL);
    ck_assert_ptr_nonnull(strstr(error.text, "shapes 2x3 and 3 do not go together in opset 6, where broadcast is 0"));
    call.attribute_count = 1;
    call.inputs = (struct test_tensor[]){in[1], in[0]};
    error = (struct error){0};
    ck_assert_int_eq(run_op_status(&call, &error), STATUS_INVALID_MODEL);
    call.op = "Pow";
    error = (struct error){0};
    ck_assert_int_eq(run_op_status(&call, &error), STATUS_INVALID_MODEL);
    call.inputs = (struct test_tensor[]){in[0], in[0]};
    call.attribute_count = 0;
    run_op(&call);
}
END_TEST

/* Powers of integers with exponents that are fractions are computed as such, and cut off at the end. */
START_TEST(integers_have_roots)
{
    const int64_t bases[] = {9, 2, -3, 10, 3037000500}, powers[] = {3, 0, -27, 3, 3037000500};
    const float exponents[] = {0.5f, -1, 3, 0.5f, 1};
    struct test_tensor in[] = {I64(bases, 1, 5), F32(exponents, 1, 5)}, out[1];
    RUN_OP(in, out, .op = "Pow");
    expect_i64(&out[0], powers, 1, 5);
}
END_TEST

Suite *ops_pointwise_suite(void)
{
    Suite *suite = suite_create("ops_pointwise");
    TCase *tests = tcase_create("ops_pointwise");
    tcase_add_test(tests, old_operands_broadcast_where_they_say_so);
    tcase_add_test(tests, activations_keep_their_limits);
    tcase_add_test(tests, rounding_goes_to_even);
    tcase_add_test(tests, integers_have_roots);
    tcase_add_test(tests, attributes_reach_the_kernel);
    tcase_add_test(tests, shapes_broadcast);
    tcase_add_test(tests, empty_tensors_stay_empty);
    tcase_add_test(tests, integers_divide_towards_zero);
    tcase_add_test(tests, a_zero_divisor_is_a_fault_that_names_the_node);
    tcase_add_test(tests, mod_has_the_sign_of_the_divisor_fmod_of_the_dividend);
    tcase_add_test(tests, more_operands_than_a_program_takes);
    tcase_add_test(tests, clip_takes_the_upper_bound_where_they_cross);
    tcase_add_test(tests, casts_round_and_wrap);
    tcase_add_test(tests, types_that_do_not_fit_are_refused_by_name);
    suite_add_tcase(suite, tests);
    return suite;
}
