#include "tests/op_short.h"
#include "tests/suites.h"

/* Operators of com.microsoft on integers. Most of the expected values are ONNX Runtime's. */
#define MICROSOFT .domain = "com.microsoft", .version = 1

START_TEST(add_broadcasts)
{
    const uint8_t a[] = {248, 31, 75, 129}, c[] = {3}, d[] = {237, 177}, f[] = {7}, h[] = {1},
                  y0[] = {255, 97, 165, 195};
    const float b[] = {0.05f}, e[] = {0.02f}, g[] = {0.05f};
    const struct test_tensor in[] = {
        TENSOR(DTYPE_U8, a, 2, 2, 2), F32(b, 0, 0), TENSOR(DTYPE_U8, c, 0, 0), TENSOR(DTYPE_U8, d, 1, 2), F32(e, 0, 0),
        TENSOR(DTYPE_U8, f, 0, 0),    F32(g, 0, 0), TENSOR(DTYPE_U8, h, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearAdd");
    expect_bytes(&out[0], DTYPE_U8, y0, 2, 2, 2);
}
END_TEST

START_TEST(mul_of_signed)
{
    const int8_t a[] = {53, 16, -17, -61}, c[] = {3}, d[] = {72, 60, -95, 43}, f[] = {7}, h[] = {1},
                 y0[] = {55, 12, 35, -37};
    const float b[] = {0.05f}, e[] = {0.02f}, g[] = {0.06f};
    const struct test_tensor in[] = {TENSOR(DTYPE_I8, a, 2, 2, 2),
                                     F32(b, 0, 0),
                                     TENSOR(DTYPE_I8, c, 0, 0),
                                     TENSOR(DTYPE_I8, d, 2, 2, 2),
                                     F32(e, 0, 0),
                                     TENSOR(DTYPE_I8, f, 0, 0),
                                     F32(g, 0, 0),
                                     TENSOR(DTYPE_I8, h, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearMul");
    expect_bytes(&out[0], DTYPE_I8, y0, 2, 2, 2);
}
END_TEST

START_TEST(sigmoid_without_zero_points)
{
    const int8_t a[] = {-84, 47, 65, -74, -14}, y0[] = {1, 91, 96, 2, 33};
    const float b[] = {0.05f}, d[] = {0.01f};
    const struct test_tensor in[] = {TENSOR(DTYPE_I8, a, 1, 5), F32(b, 0, 0), ABSENT, F32(d, 0, 0), ABSENT};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearSigmoid");
    expect_bytes(&out[0], DTYPE_I8, y0, 1, 5);
}
END_TEST

START_TEST(leaky_relu)
{
    const uint8_t a[] = {31, 145, 237, 20, 101}, c[] = {128}, e[] = {100}, y0[] = {39, 121, 236, 32, 83};
    const float b[] = {0.05f}, d[] = {0.04f};
    const struct attribute attributes[] = {ATTRIBUTE_F("alpha", 0.5f)};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 1, 5), F32(b, 0, 0), TENSOR(DTYPE_U8, c, 0, 0), F32(d, 0, 0),
                                     TENSOR(DTYPE_U8, e, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearLeakyRelu", ATTRIBUTES(attributes));
    expect_bytes(&out[0], DTYPE_U8, y0, 1, 5);
}
END_TEST

START_TEST(softmax_over_the_rest)
{
    const uint8_t a[] = {249, 77, 33, 125}, c[] = {3}, e[] = {0}, y0[] = {227, 7, 3, 19};
    const float b[] = {0.02f}, d[] = {0.00390625f};
    const struct attribute attributes[] = {ATTRIBUTE_I("opset", 12), ATTRIBUTE_I("axis", 1)};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 3, 1, 2, 2), F32(b, 0, 0), TENSOR(DTYPE_U8, c, 0, 0),
                                     F32(d, 0, 0), TENSOR(DTYPE_U8, e, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearSoftmax", ATTRIBUTES(attributes));
    expect_bytes(&out[0], DTYPE_U8, y0, 3, 1, 2, 2);
}
END_TEST

START_TEST(softmax_over_an_axis)
{
    const uint8_t a[] = {130, 169, 80, 244}, c[] = {3}, e[] = {0}, y0[] = {187, 47, 69, 209};
    const float b[] = {0.02f}, d[] = {0.00390625f};
    const struct attribute attributes[] = {ATTRIBUTE_I("opset", 13), ATTRIBUTE_I("axis", 1)};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 3, 1, 2, 2), F32(b, 0, 0), TENSOR(DTYPE_U8, c, 0, 0),
                                     F32(d, 0, 0), TENSOR(DTYPE_U8, e, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearSoftmax", ATTRIBUTES(attributes));
    expect_bytes(&out[0], DTYPE_U8, y0, 3, 1, 2, 2);
}
END_TEST

START_TEST(average_pool_channels_last)
{
    const uint8_t a[] = {133, 73, 245, 236, 127, 6, 152, 142}, c[] = {3}, e[] = {1}, y0[] = {234, 190, 172, 90};
    const float b[] = {0.05f}, d[] = {0.04f};
    const int64_t kernel_shape[] = {2}, strides[] = {2};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 1, kernel_shape),
                                           ATTRIBUTE_LIST("strides", 1, strides), ATTRIBUTE_I("channels_last", 1)};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 3, 1, 4, 2), F32(b, 0, 0), TENSOR(DTYPE_U8, c, 0, 0),
                                     F32(d, 0, 0), TENSOR(DTYPE_U8, e, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearAveragePool", ATTRIBUTES(attributes));
    expect_bytes(&out[0], DTYPE_U8, y0, 3, 1, 2, 2);
}
END_TEST

START_TEST(global_average_pool)
{
    const uint8_t a[] = {37, 162, 215, 27, 185, 35, 191, 107}, c[] = {3}, e[] = {1}, y0[] = {135, 159};
    const float b[] = {0.05f}, d[] = {0.04f};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 4, 1, 2, 2, 2), F32(b, 0, 0), TENSOR(DTYPE_U8, c, 0, 0),
                                     F32(d, 0, 0), TENSOR(DTYPE_U8, e, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearGlobalAveragePool");
    expect_bytes(&out[0], DTYPE_U8, y0, 4, 1, 2, 1, 1);
}
END_TEST

START_TEST(concat)
{
    const float a[] = {0.04f}, d[] = {0.05f}, g[] = {0.04f};
    const uint8_t b[] = {1}, c[] = {1, 247}, e[] = {3}, f[] = {42}, h[] = {1}, y0[] = {0, 255, 42};
    const struct attribute attributes[] = {ATTRIBUTE_I("axis", 1)};
    const struct test_tensor in[] = {F32(a, 0, 0), TENSOR(DTYPE_U8, b, 0, 0), TENSOR(DTYPE_U8, c, 2, 1, 2),
                                     F32(d, 0, 0), TENSOR(DTYPE_U8, e, 0, 0), TENSOR(DTYPE_U8, f, 2, 1, 1),
                                     F32(g, 0, 0), TENSOR(DTYPE_U8, h, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QLinearConcat", ATTRIBUTES(attributes));
    expect_bytes(&out[0], DTYPE_U8, y0, 2, 1, 3);
}
END_TEST

START_TEST(gemm_to_bytes)
{
    const uint8_t a[] = {152, 46, 238, 189, 205, 110}, c[] = {3}, i[] = {9}, y0[] = {18, 3, 15, 0};
    const float b[] = {0.05f}, e[] = {0.02f, 0.03f}, h[] = {0.9f};
    const int8_t d[] = {-7, 26, 56, 69, -97, 32}, f[] = {1, 2};
    const int32_t g[] = {100, -100};
    const struct attribute attributes[] = {ATTRIBUTE_I("transA", 1), ATTRIBUTE_I("transB", 1),
                                           ATTRIBUTE_F("alpha", 0.5f)};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 2, 3, 2), F32(b, 0, 0), TENSOR(DTYPE_U8, c, 0, 0),
                                     TENSOR(DTYPE_I8, d, 2, 2, 3), F32(e, 1, 2), TENSOR(DTYPE_I8, f, 1, 2),
                                     TENSOR(DTYPE_I32, g, 1, 2),   F32(h, 0, 0), TENSOR(DTYPE_U8, i, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QGemm", ATTRIBUTES(attributes));
    expect_bytes(&out[0], DTYPE_U8, y0, 2, 2, 2);
}
END_TEST

START_TEST(gemm_to_floats)
{
    const uint8_t a[] = {27, 73, 212, 64, 203, 118}, c[] = {3};
    const float b[] = {0.05f}, e[] = {0.02f}, y0[] = {3.21f, 20.565f, -0.055000003f, 18.04f};
    const int8_t d[] = {-54, -34, 6, 53, 21, 86}, f[] = {1};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 2, 2, 3), F32(b, 0, 0), TENSOR(DTYPE_U8, c, 0, 0),
                                     TENSOR(DTYPE_I8, d, 2, 3, 2), F32(e, 0, 0), TENSOR(DTYPE_I8, f, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QGemm");
    expect_f32(&out[0], y0, 2e-6, 2, 2, 2);
}
END_TEST

START_TEST(matmul_integer_to_float)
{
    const uint8_t a[] = {222, 192, 154, 74, 105, 30}, e[] = {3};
    const int8_t b[] = {-26, 85, -15, -78, 30, 92};
    const float c[] = {0.05f}, d[] = {0.02f, 0.03f}, g[] = {-1.5f, 2.25f},
                y0[] = {-5.499f, 28.897501f, -4.066f, 3.0945f};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 2, 2, 3),
                                     TENSOR(DTYPE_I8, b, 2, 3, 2),
                                     F32(c, 0, 0),
                                     F32(d, 1, 2),
                                     TENSOR(DTYPE_U8, e, 0, 0),
                                     ABSENT,
                                     F32(g, 1, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "MatMulIntegerToFloat");
    expect_f32(&out[0], y0, 2e-6, 2, 2, 2);
}
END_TEST

START_TEST(dynamic_quantize_matmul)
{
    const float a[] = {-1.25f, -1.0f, 1.75f, 3.0f, -1.25f, -0.25f}, c[] = {0.02f, 0.03f}, e[] = {-0.25f, 0.75f},
                y0[] = {1.595f, 1.7850001f, 5.555f, 0.6525f};
    const int8_t b[] = {73, -29, -71, -62, 64, -37}, d[] = {1, 2};
    const struct test_tensor in[] = {F32(a, 2, 2, 3), TENSOR(DTYPE_I8, b, 2, 3, 2), F32(c, 1, 2),
                                     TENSOR(DTYPE_I8, d, 1, 2), F32(e, 1, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "DynamicQuantizeMatMul");
    expect_f32(&out[0], y0, 2e-6, 2, 2, 2);
}
END_TEST

START_TEST(matmul_4_bits)
{
    const float a[] = {0.5f, -0.5f, -0.25f, -1.25f, -0.25f, -0.25f, 0.25f, -0.5f, 0.5f,
                       1.0f, 0.25f, 0.25f,  0.0f,   0.0f,   -0.75f, 0.25f, -0.0f, 2.0f},
                c[] = {0.25f, 0.5f, 1.0f, 0.125f}, f[] = {-0.0f, -0.25f}, y0[] = {-5.375f, 0.25f};
    const uint8_t b[] = {79, 164, 146, 242, 106, 72,  12,  1,   95,  237, 134, 228, 26,  23,  213, 27,
                         13, 103, 236, 176, 25,  214, 215, 204, 231, 61,  250, 82,  205, 148, 199, 160},
                  d[] = {164, 157};
    const struct attribute attributes[] = {ATTRIBUTE_I("K", 18), ATTRIBUTE_I("N", 2), ATTRIBUTE_I("bits", 4),
                                           ATTRIBUTE_I("block_size", 16)};
    const struct test_tensor in[] = {F32(a, 2, 1, 18), TENSOR(DTYPE_U8, b, 3, 2, 2, 8),
                                     F32(c, 2, 2, 2),  TENSOR(DTYPE_U8, d, 2, 2, 1),
                                     ABSENT,           F32(f, 1, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "MatMulNBits", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 2, 1, 2);
}
END_TEST

START_TEST(matmul_2_bits_in_groups)
{
    const float a[] = {0.25f, 1.5f,  -2.5f, -0.25f, 0.25f,  0.25f, -0.25f, -1.75f,
                       0.25f, 1.75f, -1.5f, 0.75f,  -0.25f, -0.0f, -1.0f,  -0.25f},
                c[] = {0.25f, 0.5f}, y0[] = {-0.5625f, -0.875f};
    const uint8_t b[] = {199, 202, 242, 171, 234, 218, 123, 197};
    const struct attribute attributes[] = {ATTRIBUTE_I("K", 16), ATTRIBUTE_I("N", 2), ATTRIBUTE_I("bits", 2),
                                           ATTRIBUTE_I("block_size", 16)};
    const struct test_tensor in[] = {F32(a, 2, 1, 16), TENSOR(DTYPE_U8, b, 3, 2, 1, 4), F32(c, 2, 2, 1)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "MatMulNBits", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 2, 1, 2);
}
END_TEST

START_TEST(gather_bytes_of_4_bits)
{
    const uint8_t a[] = {84,  117, 137, 245, 217, 125, 167, 51,  205, 141, 136, 196,
                         162, 18,  73,  45,  188, 8,   51,  152, 177, 128, 220, 235},
                  d[] = {33, 243, 157};
    const int64_t b[] = {2, -3, 7};
    const float c[] = {0.25f, 0.5f, 1.0f},
                y0[] = {-1.0f, -2.0f, -5.0f, -13.0f, -10.0f, -10.0f, -5.0f, -4.0f, -12.0f, -2.0f, -13.0f, -5.0f,
                        -1.0f, 0.0f,  -2.0f, 1.0f,   0.75f,  1.0f,   1.0f,  1.5f,  2.0f,   1.75f, 1.0f,   3.5f,
                        2.0f,  3.0f,  3.0f,  1.5f,   1.5f,   2.25f,  0.5f,  0.5f,  0.0f,   0.0f,  0.0f,   0.0f,
                        0.0f,  0.0f,  0.0f,  0.0f,   0.0f,   0.0f,   0.0f,  0.0f,  0.0f,   0.0f,  0.0f,   0.0f};
    const struct attribute attributes[] = {ATTRIBUTE_I("block_size", 16)};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 2, 3, 8), TENSOR(DTYPE_I64, b, 1, 3), F32(c, 2, 3, 1),
                                     TENSOR(DTYPE_U8, d, 2, 3, 1)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "GatherBlockQuantized", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 2, 3, 16);
}
END_TEST

/* One unit and one input, so that each number can be followed by hand: gates input, output, forget, cell. */
START_TEST(lstm_quantises_states)
{
    static const char *const functions[] = {"Affine", "Affine", "Affine"};
    const float x[] = {1, 1}, ones[] = {1, 1, 1}, zeros[] = {0, 0, 0}, one[] = {1}, h0[] = {2};
    const int8_t w[] = {1, 1, 0, 1}, r[] = {0, 0, 0, 1}, zero[] = {0};
    const uint8_t above[] = {7, 7, 7, 8}, middle[] = {7};
    /* c = i g with i = x, g = x + h; h = o c with o = x. A single state is quantised without an error. */
    const float y[] = {3, 4}, last[] = {4};
    const struct attribute attributes[] = {
        {.name = "activations", .kind = ATTRIBUTE_STRINGS, .count = 3, .strings = functions},
        {.name = "activation_alpha", .kind = ATTRIBUTE_FLOATS, .count = 3, .floats = ones},
        {.name = "activation_beta", .kind = ATTRIBUTE_FLOATS, .count = 3, .floats = zeros}};
    struct test_tensor in[] = {F32(x, 3, 2, 1, 1),
                               TENSOR(DTYPE_I8, w, 3, 1, 1, 4),
                               TENSOR(DTYPE_I8, r, 3, 1, 1, 4),
                               ABSENT,
                               ABSENT,
                               F32(h0, 3, 1, 1, 1),
                               ABSENT,
                               ABSENT,
                               F32(one, 1, 1),
                               TENSOR(DTYPE_I8, zero, 1, 1),
                               F32(one, 1, 1),
                               TENSOR(DTYPE_I8, zero, 1, 1)};
    struct test_tensor out[3];
    RUN_OP(in, out, MICROSOFT, .op = "DynamicQuantizeLSTM", ATTRIBUTES(attributes));
    expect_f32(&out[0], y, 1e-6, 4, 2, 1, 1, 1);
    expect_f32(&out[1], last, 1e-6, 3, 1, 1, 1);
    expect_f32(&out[2], last, 1e-6, 3, 1, 1, 1);
    in[2] = TENSOR(DTYPE_U8, above, 3, 1, 1, 4);
    in[11] = TENSOR(DTYPE_U8, middle, 1, 1);
    RUN_OP(in, out, MICROSOFT, .op = "DynamicQuantizeLSTM", ATTRIBUTES(attributes));
    expect_f32(&out[0], y, 1e-6, 4, 2, 1, 1, 1);
    in[8] = F32(ones, 1, 3);
    REFUSED(STATUS_INVALID_MODEL, "it must be 1", in, MICROSOFT, .op = "DynamicQuantizeLSTM", ATTRIBUTES(attributes));
    in[8] = ABSENT;
    REFUSED(STATUS_INVALID_MODEL, "input 8", in, MICROSOFT, .op = "DynamicQuantizeLSTM", ATTRIBUTES(attributes));
}
END_TEST

/* The states of a batch share a scale: beside 255 a state of 0.4 is 0, and one of 0.6 is 1. */
START_TEST(lstm_quantises_a_batch_together)
{
    static const char *const functions[] = {"Affine", "Affine", "Affine"};
    const float x[] = {1, 1, 1}, ones[] = {1, 1, 1}, zeros[] = {0, 0, 0}, one[] = {1}, h0[] = {255, 0.4f, 0.6f};
    const int8_t w[] = {1, 1, 0, 0}, r[] = {0, 0, 0, 1}, zero[] = {0};
    const float y[] = {255, 0, 1};
    const struct attribute attributes[] = {
        {.name = "activations", .kind = ATTRIBUTE_STRINGS, .count = 3, .strings = functions},
        {.name = "activation_alpha", .kind = ATTRIBUTE_FLOATS, .count = 3, .floats = ones},
        {.name = "activation_beta", .kind = ATTRIBUTE_FLOATS, .count = 3, .floats = zeros}};
    const struct test_tensor in[] = {F32(x, 3, 1, 3, 1),
                                     TENSOR(DTYPE_I8, w, 3, 1, 1, 4),
                                     TENSOR(DTYPE_I8, r, 3, 1, 1, 4),
                                     ABSENT,
                                     ABSENT,
                                     F32(h0, 3, 1, 3, 1),
                                     ABSENT,
                                     ABSENT,
                                     F32(one, 1, 1),
                                     TENSOR(DTYPE_I8, zero, 1, 1),
                                     F32(one, 1, 1),
                                     TENSOR(DTYPE_I8, zero, 1, 1)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "DynamicQuantizeLSTM", ATTRIBUTES(attributes));
    expect_f32(&out[0], y, 1e-6, 4, 1, 1, 3, 1);
}
END_TEST

START_TEST(operands_that_do_not_fit)
{
    const float x[16] = {0};
    const uint8_t bytes[32] = {0};
    const struct test_tensor pair[] = {TENSOR(DTYPE_U8, bytes, 1, 2),
                                       F32(x, 1, 2),
                                       ABSENT,
                                       TENSOR(DTYPE_U8, bytes, 1, 2),
                                       F32(x, 1, 1),
                                       ABSENT,
                                       F32(x, 1, 1)};
    REFUSED(STATUS_INVALID_MODEL, "it must have one", pair, MICROSOFT, .op = "QLinearAdd");
    const struct test_tensor parts[] = {F32(x, 0, 0), TENSOR(DTYPE_U8, bytes, 0, 0), TENSOR(DTYPE_U8, bytes, 1, 2),
                                        F32(x, 0, 0), TENSOR(DTYPE_U8, bytes, 0, 0), TENSOR(DTYPE_U8, bytes, 1, 2)};
    REFUSED(STATUS_INVALID_MODEL, "no list of tensors", parts, MICROSOFT, .op = "QLinearConcat");
    const struct test_tensor softmax[] = {TENSOR(DTYPE_U8, bytes, 1, 2), F32(x, 0, 0), TENSOR(DTYPE_U8, bytes, 0, 0),
                                          F32(x, 0, 0), TENSOR(DTYPE_U8, bytes, 0, 0)};
    REFUSED(STATUS_INVALID_MODEL, "opset is missing", softmax, MICROSOFT, .op = "QLinearSoftmax");
    const struct test_tensor columns[] = {TENSOR(DTYPE_U8, bytes, 2, 2, 2), TENSOR(DTYPE_U8, bytes, 2, 2, 2),
                                          F32(x, 0, 0), F32(x, 1, 3)};
    REFUSED(STATUS_INVALID_MODEL, "it must have 1 or 2", columns, MICROSOFT, .op = "MatMulIntegerToFloat");
}
END_TEST

/* None of them broadcasts with the product to what has more rows than it. */
START_TEST(scales_and_biases_are_lists)
{
    const float x[16] = {0};
    const uint8_t bytes[32] = {0};
    const struct test_tensor a = TENSOR(DTYPE_U8, bytes, 2, 1, 2), b = TENSOR(DTYPE_U8, bytes, 2, 2, 2),
                             scale = F32(x, 0, 0), zero = TENSOR(DTYPE_U8, bytes, 0, 0), table = F32(x, 2, 7, 2),
                             row = F32(x, 2, 1, 2), column = F32(x, 2, 2, 1);
    const struct test_tensor biased[] = {a, b, scale, scale, ABSENT, ABSENT, table}, of_one[] = {a, b, column, scale},
                             by_row[] = {a, b, scale, table},
                             zeros[] = {a, b, scale, scale, zero, TENSOR(DTYPE_U8, bytes, 2, 7, 2)},
                             dynamic[] = {F32(x, 2, 1, 2), b, scale, ABSENT, row}, scaled[] = {row, b, table},
                             gemm[] = {a, scale, zero, b, row, zero},
                             gemm_zeros[] = {a, scale, zero, b, scale, TENSOR(DTYPE_U8, bytes, 2, 1, 2)};
    REFUSED(STATUS_INVALID_MODEL, "must be a list of 2", biased, MICROSOFT, .op = "MatMulIntegerToFloat");
    REFUSED(STATUS_INVALID_MODEL, "it must have 1 or 1", of_one, MICROSOFT, .op = "MatMulIntegerToFloat");
    REFUSED(STATUS_INVALID_MODEL, "it must have 1 or 2", by_row, MICROSOFT, .op = "MatMulIntegerToFloat");
    REFUSED(STATUS_INVALID_MODEL, "it must have 1 or 2", zeros, MICROSOFT, .op = "MatMulIntegerToFloat");
    REFUSED(STATUS_INVALID_MODEL, "must be a list of 2", dynamic, MICROSOFT, .op = "DynamicQuantizeMatMul");
    REFUSED(STATUS_INVALID_MODEL, "it must have 1 or 2", scaled, MICROSOFT, .op = "DynamicQuantizeMatMul");
    REFUSED(STATUS_INVALID_MODEL, "it must have 1 or 2", gemm, MICROSOFT, .op = "QGemm");
    REFUSED(STATUS_INVALID_MODEL, "it must have 1 or 2", gemm_zeros, MICROSOFT, .op = "QGemm");
}
END_TEST

/* Each of two matrices has scales and zero points of its own; and a row by a column with a bias is a scalar. */
START_TEST(products_by_matrix)
{
    const uint8_t a[] = {1, 2, 3, 4}, b[] = {1, 2, 3, 4, 5, 6, 7, 8}, zeros[] = {1, 2, 5, 6};
    const float one[] = {1}, scales[] = {1, 2, 3, 4}, y[] = {4, 8, 24, 32}, bias[] = {0.5f}, dot[] = {11.5f};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 3, 2, 1, 2),
                                     TENSOR(DTYPE_U8, b, 3, 2, 2, 2),
                                     F32(one, 0, 0),
                                     F32(scales, 3, 2, 1, 2),
                                     ABSENT,
                                     TENSOR(DTYPE_U8, zeros, 3, 2, 1, 2)};
    const struct test_tensor vectors[] = {TENSOR(DTYPE_U8, a + 2, 1, 2),
                                          TENSOR(DTYPE_U8, b, 1, 2),
                                          F32(one, 0, 0),
                                          F32(one, 1, 1),
                                          ABSENT,
                                          ABSENT,
                                          F32(bias, 1, 1)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "MatMulIntegerToFloat");
    expect_f32(&out[0], y, 0, 3, 2, 1, 2);
    RUN_OP(vectors, out, MICROSOFT, .op = "MatMulIntegerToFloat");
    expect_f32(&out[0], dot, 0, 0);
}
END_TEST

START_TEST(blocks_that_do_not_fit)
{
    const float x[16] = {0};
    const uint8_t bytes[32] = {0};
    const int64_t index[] = {0};
    struct attribute attributes[] = {ATTRIBUTE_I("K", 16), ATTRIBUTE_I("N", 2), ATTRIBUTE_I("block_size", 24),
                                     ATTRIBUTE_I("bits", 4)};
    const struct test_tensor in[] = {F32(x, 1, 16), TENSOR(DTYPE_U8, bytes, 3, 2, 1, 8), F32(x, 2, 2, 2)};
    REFUSED(STATUS_INVALID_MODEL, "block_size is 24", in, MICROSOFT, .op = "MatMulNBits", ATTRIBUTES(attributes));
    attributes[2] = ATTRIBUTE_I("block_size", 16);
    REFUSED(STATUS_INVALID_MODEL, "it must have 2 x 1", in, MICROSOFT, .op = "MatMulNBits", ATTRIBUTES(attributes));
    attributes[3] = ATTRIBUTE_I("bits", 3);
    REFUSED(STATUS_UNSUPPORTED, "weights of 3 bits", in, MICROSOFT, .op = "MatMulNBits", ATTRIBUTES(attributes));
    attributes[3] = ATTRIBUTE_I("bits", 4);
    const int32_t groups[16] = {0};
    const struct test_tensor bias[] = {in[0], in[1], F32(x, 1, 2), ABSENT, ABSENT, F32(x, 2, 2, 1)};
    const struct test_tensor grouped[] = {in[0], in[1], F32(x, 1, 2), ABSENT, TENSOR(DTYPE_I32, groups, 2, 1, 16)};
    REFUSED(STATUS_INVALID_MODEL, "must be a list of 2", bias, MICROSOFT, .op = "MatMulNBits", ATTRIBUTES(attributes));
    REFUSED(STATUS_INVALID_MODEL, "a group for each", grouped, MICROSOFT, .op = "MatMulNBits", ATTRIBUTES(attributes));
    const struct test_tensor gather[] = {TENSOR(DTYPE_U8, bytes, 2, 2, 8), I64(index, 1, 1), F32(x, 2, 2, 2)};
    const struct attribute block[] = {ATTRIBUTE_I("block_size", 16)}, odd[] = {ATTRIBUTE_I("block_size", 20)};
    REFUSED(STATUS_INVALID_MODEL, "in blocks of 16", gather, MICROSOFT, .op = "GatherBlockQuantized",
            ATTRIBUTES(block));
    REFUSED(STATUS_INVALID_MODEL, "block_size is 20", gather, MICROSOFT, .op = "GatherBlockQuantized", ATTRIBUTES(odd));
}
END_TEST

Suite *ops_microsoft_quantized_suite(void)
{
    Suite *suite = suite_create("ops_microsoft_quantized");
    TCase *tests = tcase_create("ops_microsoft_quantized");
    tcase_add_test(tests, add_broadcasts);
    tcase_add_test(tests, mul_of_signed);
    tcase_add_test(tests, sigmoid_without_zero_points);
    tcase_add_test(tests, leaky_relu);
    tcase_add_test(tests, softmax_over_the_rest);
    tcase_add_test(tests, softmax_over_an_axis);
    tcase_add_test(tests, average_pool_channels_last);
    tcase_add_test(tests, global_average_pool);
    tcase_add_test(tests, concat);
    tcase_add_test(tests, gemm_to_bytes);
    tcase_add_test(tests, gemm_to_floats);
    tcase_add_test(tests, matmul_integer_to_float);
    tcase_add_test(tests, dynamic_quantize_matmul);
    tcase_add_test(tests, matmul_4_bits);
    tcase_add_test(tests, matmul_2_bits_in_groups);
    tcase_add_test(tests, gather_bytes_of_4_bits);
    tcase_add_test(tests, lstm_quantises_states);
    tcase_add_test(tests, lstm_quantises_a_batch_together);
    tcase_add_test(tests, operands_that_do_not_fit);
    tcase_add_test(tests, scales_and_biases_are_lists);
    tcase_add_test(tests, products_by_matrix);
    tcase_add_test(tests, blocks_that_do_not_fit);
    suite_add_tcase(suite, tests);
    return suite;
}
