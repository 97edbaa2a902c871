#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

START_TEST(quantise_rounds_to_even_and_saturates)
{
    const float x[] = {-1, 0, 1, 3, 5, 1000, -1000, INFINITY}, scale[] = {2};
    const uint8_t zero[] = {1}, y[] = {1, 1, 1, 3, 3, 255, 0, 255};
    struct test_tensor in[] = {F32(x, 1, 8), SCALAR(DTYPE_F32, scale), TENSOR(DTYPE_U8, zero, 0, 0)}, out[1];
    RUN_OP(in, out, .op = "QuantizeLinear");
    expect_bytes(&out[0], DTYPE_U8, y, 1, 8);
    struct test_tensor no_zero[] = {in[0], in[1]};
    const uint8_t without[] = {0, 0, 0, 2, 2, 255, 0, 255};
    RUN_OP(no_zero, out, .op = "QuantizeLinear");
    expect_bytes(&out[0], DTYPE_U8, without, 1, 8);
}
END_TEST

START_TEST(quantise_by_axis_and_by_block)
{
    const float x[] = {1, 2, 3, 4, 5, 6}, columns[] = {1, 2, 3}, blocks[] = {1, 2, 1, 2}, even[] = {1, 2};
    const int8_t by_column[] = {1, 1, 1, 4, 2, 2}, uneven[] = {1, 2, 2, 4, 5, 3}, halves[] = {1, 2, 2, 2};
    const struct attribute block[] = {ATTRIBUTE_I("block_size", 2), ATTRIBUTE_I("output_dtype", DTYPE_I8)};
    const struct attribute type[] = {ATTRIBUTE_I("output_dtype", DTYPE_I8), ATTRIBUTE_I("axis", -1)};
    struct test_tensor in[] = {F32(x, 2, 2, 3), F32(columns, 1, 3)}, out[1];
    RUN_OP(in, out, .op = "QuantizeLinear", ATTRIBUTES(type));
    expect_bytes(&out[0], DTYPE_I8, by_column, 2, 2, 3);
    in[1] = F32(blocks, 2, 2, 2); /* of two and of one */
    RUN_OP(in, out, .op = "QuantizeLinear", ATTRIBUTES(block));
    expect_bytes(&out[0], DTYPE_I8, uneven, 2, 2, 3);
    in[0] = F32(x, 2, 1, 4);
    in[1] = F32(even, 2, 1, 2);
    RUN_OP(in, out, .op = "QuantizeLinear", ATTRIBUTES(block));
    expect_bytes(&out[0], DTYPE_I8, halves, 2, 1, 4);
    in[1] = F32(blocks, 2, 1, 3);
    REFUSED(STATUS_INVALID_ARGUMENT, "the scale has 3 elements along axis 1; it must have 2", in,
            .op = "QuantizeLinear", ATTRIBUTES(block));
}
END_TEST

START_TEST(four_bits_share_bytes)
{
    const float x[] = {-9, -1, 2, 8, 3}, scale[] = {1}, restored[] = {-9, -1, 2, 6, 3};
    const uint8_t packed[] = {0x08 | 0x00 << 4, 0x03 | 0x07 << 4, 0x04}, one[] = {1};
    struct test_tensor in[] = {F32(x, 1, 5), SCALAR(DTYPE_F32, scale), TENSOR(DTYPE_I4, one, 0, 0)}, out[1];
    RUN_OP(in, out, .op = "QuantizeLinear");
    expect_bytes(&out[0], DTYPE_I4, packed, 1, 5);
    in[0] = out[0];
    RUN_OP(in, out, .op = "DequantizeLinear");
    expect_f32(&out[0], restored, 0, 1, 5);
}
END_TEST

START_TEST(small_floats_saturate_or_not)
{
    const float x[] = {1, 1000, -INFINITY}, scale[] = {1};
    const uint8_t clamped[] = {0x38, 0x7e, 0xfe}, open[] = {0x38, 0x7f, 0xff};
    const struct attribute yes[] = {ATTRIBUTE_I("output_dtype", DTYPE_F8E4M3FN)};
    const struct attribute no[] = {ATTRIBUTE_I("output_dtype", DTYPE_F8E4M3FN), ATTRIBUTE_I("saturate", 0)};
    struct test_tensor in[] = {F32(x, 1, 3), SCALAR(DTYPE_F32, scale)}, out[1];
    RUN_OP(in, out, .op = "QuantizeLinear", ATTRIBUTES(yes));
    expect_bytes(&out[0], DTYPE_F8E4M3FN, clamped, 1, 3);
    RUN_OP(in, out, .op = "QuantizeLinear", ATTRIBUTES(no));
    expect_bytes(&out[0], DTYPE_F8E4M3FN, open, 1, 3);
}
END_TEST

START_TEST(a_half_scale_divides_in_half)
{
    /* 2.5 + 2^-11 is a number of float32 alone: in float16 it is 2.5, which rounds to 2 and not to 3. */
    const float x[] = {2.5f + 0x1p-11f};
    const uint16_t one[] = {0x3c00};
    const uint8_t two[] = {2}, three[] = {3};
    const struct attribute single[] = {ATTRIBUTE_I("precision", DTYPE_F32)};
    struct test_tensor in[] = {F32(x, 1, 1), TENSOR(DTYPE_F16, one, 0, 0)}, out[1];
    RUN_OP(in, out, .op = "QuantizeLinear");
    expect_bytes(&out[0], DTYPE_U8, two, 1, 1);
    RUN_OP(in, out, .op = "QuantizeLinear", ATTRIBUTES(single));
    expect_bytes(&out[0], DTYPE_U8, three, 1, 1);
}
END_TEST

START_TEST(dequantise_is_exact_in_the_difference)
{
    const int32_t x[] = {16777217, -5};
    const float scale[] = {0.5f}, y[] = {8388608, -2.5f};
    struct test_tensor in[] = {TENSOR(DTYPE_I32, x, 1, 2), SCALAR(DTYPE_F32, scale)}, out[1];
    RUN_OP(in, out, .op = "DequantizeLinear");
    expect_f32(&out[0], y, 0, 1, 2);
    const uint16_t levels[] = {65535, 0}, zero[] = {65535};
    const float down[] = {0, -32767.5f};
    struct test_tensor wide[] = {TENSOR(DTYPE_U16, levels, 1, 2), in[1], TENSOR(DTYPE_U16, zero, 0, 0)};
    RUN_OP(wide, out, .op = "DequantizeLinear");
    expect_f32(&out[0], down, 0, 1, 2);
}
END_TEST

START_TEST(dynamic_quantisation_includes_zero)
{
    const float x[] = {1, 2.55f, 0.5f}, scale[] = {0.01f};
    const uint8_t y[] = {100, 255, 50}, zero[] = {0};
    struct test_tensor in[] = {F32(x, 1, 3)}, out[3];
    RUN_OP(in, out, .op = "DynamicQuantizeLinear");
    expect_bytes(&out[0], DTYPE_U8, y, 1, 3);
    expect_f32(&out[1], scale, 1e-6, 0);
    expect_bytes(&out[2], DTYPE_U8, zero, 0);
}
END_TEST

Suite *ops_quantize_suite(void)
{
    Suite *suite = suite_create("ops_quantize");
    TCase *tests = tcase_create("ops_quantize");
    tcase_add_test(tests, quantise_rounds_to_even_and_saturates);
    tcase_add_test(tests, quantise_by_axis_and_by_block);
    tcase_add_test(tests, four_bits_share_bytes);
    tcase_add_test(tests, small_floats_saturate_or_not);
    tcase_add_test(tests, a_half_scale_divides_in_half);
    tcase_add_test(tests, dequantise_is_exact_in_the_difference);
    tcase_add_test(tests, dynamic_quantisation_includes_zero);
    suite_add_tcase(suite, tests);
    return suite;
}
