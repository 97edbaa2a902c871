#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

/* Operators of com.microsoft on floats. Most of the expected values are ONNX Runtime's. */
#define MICROSOFT .domain = "com.microsoft", .version = 1

START_TEST(gelu)
{
    const float a[] = {0.25f, -1.0f, 0.75f, 1.0f, -2.0f},
                y0[] = {0.14967658f, -0.15865526f, 0.5800295f, 0.8413447f, -0.04550028f};
    const struct test_tensor in[] = {F32(a, 2, 1, 5)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "Gelu");
    expect_f32(&out[0], y0, 2e-6, 2, 1, 5);
}
END_TEST

START_TEST(fast_gelu_with_a_bias)
{
    const float a[] = {-1.25f, 0.25f, -0.25f, -0.0f, -0.75f, 1.0f}, b[] = {0.75f, 0.0f, 1.25f},
                y0[] = {-0.154286f, 0.14967535f, 0.841192f, 0.5799606f, -0.17003945f, 2.2227986f};
    const struct test_tensor in[] = {F32(a, 2, 2, 3), F32(b, 1, 3)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "FastGelu");
    expect_f32(&out[0], y0, 2e-6, 2, 2, 3);
}
END_TEST

START_TEST(bias_gelu)
{
    const float a[] = {0.5f, -0.75f, 0.25f, -1.0f, 1.0f, -0.0f}, b[] = {-0.25f, -0.75f, 1.25f},
                y0[] = {0.14967658f, -0.100210816f, 1.3997892f, -0.13206221f, 0.14967658f, 1.1179378f};
    const struct test_tensor in[] = {F32(a, 2, 2, 3), F32(b, 1, 3)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "BiasGelu");
    expect_f32(&out[0], y0, 2e-6, 2, 2, 3);
}
END_TEST

START_TEST(skip_layer_normalization)
{
    const float a[] = {-0.25f, -0.5f, -0.25f, 0.5f, 0.25f, 0.5f}, b[] = {0.5f, 2.25f, -0.5f, -0.5f, -0.75f, 0.5f},
                c[] = {1.25f, -0.0f, -0.75f}, d[] = {-0.75f, 0.75f, 0.75f}, e[] = {0.5f, -0.75f, 0.25f},
                y0[] = {-0.12224752f, 0.75f, 1.7857915f, -0.35402173f, 0.75f, -0.022157669f},
                y3[] = {0.75f, 1.0f, -0.5f, 0.5f, -1.25f, 1.25f};
    const struct attribute attributes[] = {ATTRIBUTE_F("epsilon", 0.01f)};
    const struct test_tensor in[] = {F32(a, 3, 1, 2, 3), F32(b, 2, 2, 3), F32(c, 1, 3), F32(d, 1, 3), F32(e, 1, 3)};
    struct test_tensor out[4];
    RUN_OP(in, out, MICROSOFT, .op = "SkipLayerNormalization", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 3);
    expect_f32(&out[3], y3, 2e-6, 3, 1, 2, 3);
}
END_TEST

START_TEST(skip_without_beta)
{
    const float a[] = {0.0f, 0.25f, 0.75f, 0.25f, 0.75f, 0.0f}, b[] = {0.25f, 0.75f, -1.5f, -0.25f, -0.5f, -0.75f},
                c[] = {-0.25f, 1.5f, -0.75f},
                y0[] = {-0.029061912f, 1.7437146f, 0.95904297f, -0.09805806f, 1.470871f, 1.0296097f};
    const struct test_tensor in[] = {F32(a, 2, 2, 3), F32(b, 2, 2, 3), F32(c, 1, 3)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "SkipLayerNormalization");
    expect_f32(&out[0], y0, 2e-6, 2, 2, 3);
}
END_TEST

START_TEST(skip_simplified)
{
    const float a[] = {1.0f, -1.75f, -0.25f, 0.25f, 0.5f, 0.75f}, b[] = {0.75f, -0.25f, -0.5f, 0.75f, -0.25f, -1.25f},
                c[] = {-1.25f, -1.0f, 0.5f}, d[] = {0.25f, 0.75f, -0.5f},
                y0[] = {-1.6188097f, 0.80940485f, -0.40470243f, -1.427849f, -0.91382337f, -0.45691168f};
    const struct attribute attributes[] = {ATTRIBUTE_F("epsilon", 0.01f)};
    const struct test_tensor in[] = {F32(a, 3, 1, 2, 3), F32(b, 3, 1, 2, 3), F32(c, 1, 3), F32(d, 1, 3)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "SkipSimplifiedLayerNormalization", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 3);
}
END_TEST

START_TEST(simplified_tells_the_deviation)
{
    const float a[] = {0.25f, 0.75f, -0.25f, 0.5f, -0.75f, -0.25f}, b[] = {-0.5f, -1.25f, 0.5f},
                y0[] = {-0.25559932f, -1.9169949f, -0.25559932f, -0.45517284f, 1.7068982f, -0.22758642f},
                y1[] = {2.0447946f, 1.8206913f};
    const struct attribute attributes[] = {ATTRIBUTE_F("epsilon", 0.01f)};
    const struct test_tensor in[] = {F32(a, 2, 2, 3), F32(b, 1, 3)};
    struct test_tensor out[2];
    RUN_OP(in, out, .op = "SimplifiedLayerNormalization", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 2, 2, 3);
    expect_f32(&out[1], y1, 2e-6, 2, 2, 1);
}
END_TEST

START_TEST(embedding_with_mask_and_sum)
{
    const int32_t a[] = {1, 0}, b[] = {0, 1}, h[] = {1, 0}, i[] = {2, 1}, y1[] = {1};
    const float c[] = {-0.5f, 0.0f, 0.5f, 0.5f, 0.75f, -0.0f},
                d[] = {-0.5f, -0.0f, -1.75f, -1.5f, -1.25f, -1.0f, 0.5f, -1.0f, -0.5f},
                e[] = {1.25f, -0.25f, 0.75f, -1.0f, -0.25f, -1.0f}, f[] = {-0.25f, 0.75f, -1.75f},
                g[] = {0.5f, 0.25f, -0.5f},
                y0[] = {0.16022855f, -0.5010738f, 0.12589484f, 0.85007f, 0.775105f, -1.725245f},
                y2[] = {2.25f, -0.5f, 0.25f, -3.0f, -1.5f, -1.5f};
    const struct attribute attributes[] = {ATTRIBUTE_F("epsilon", 0.01f)};
    const struct test_tensor in[] = {TENSOR(DTYPE_I32, a, 2, 1, 2),
                                     TENSOR(DTYPE_I32, b, 2, 1, 2),
                                     F32(c, 2, 2, 3),
                                     F32(d, 2, 3, 3),
                                     F32(e, 2, 2, 3),
                                     F32(f, 1, 3),
                                     F32(g, 1, 3),
                                     TENSOR(DTYPE_I32, h, 2, 1, 2),
                                     TENSOR(DTYPE_I32, i, 2, 1, 2)};
    struct test_tensor out[3];
    RUN_OP(in, out, MICROSOFT, .op = "EmbedLayerNormalization", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 3);
    expect_bytes(&out[1], DTYPE_I32, y1, 1, 1);
    expect_f32(&out[2], y2, 2e-6, 3, 1, 2, 3);
}
END_TEST

START_TEST(embedding_by_place)
{
    const int32_t a[] = {1, 0}, y1[] = {0};
    const float c[] = {-1.5f, 0.0f, -0.5f, 0.25f, 0.0f, 1.5f},
                d[] = {-0.25f, -1.0f, 0.25f, 0.25f, 1.25f, 0.75f, 0.25f, 1.5f, -1.25f}, f[] = {-0.75f, -1.0f, -0.5f},
                g[] = {-1.5f, 0.75f, -0.25f},
                y0[] = {-1.3356569f, 1.8456204f, -0.90737224f, -0.5312494f, -0.38020897f, -0.33072922f};
    const struct attribute attributes[] = {ATTRIBUTE_F("epsilon", 0.01f)};
    const struct test_tensor in[] = {
        TENSOR(DTYPE_I32, a, 2, 1, 2), ABSENT, F32(c, 2, 2, 3), F32(d, 2, 3, 3), ABSENT, F32(f, 1, 3), F32(g, 1, 3)};
    struct test_tensor out[2];
    RUN_OP(in, out, MICROSOFT, .op = "EmbedLayerNormalization", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 3);
    expect_bytes(&out[1], DTYPE_I32, y1, 1, 1);
}
END_TEST

START_TEST(fused_matmul_transposes_the_batch)
{
    const float a[] = {-1.5f, -1.0f, 0.25f, 0.75f, 2.0f, 3.0f, 0.5f, -1.0f, -2.25f, 0.25f, -0.75f, -0.5f},
                b[] = {-0.5f, -0.25f, 1.0f, 0.25f, -0.25f, -1.0f, -1.75f, -0.5f, -0.0f, 1.75f, 0.25f, 1.0f},
                y0[] = {-1.0f, 0.8125f, 0.0f, 0.125f, 0.34375f, -0.09375f, 0.46875f, 0.28125f};
    const struct attribute attributes[] = {ATTRIBUTE_I("transBatchA", 1), ATTRIBUTE_I("transB", 1),
                                           ATTRIBUTE_I("transA", 1), ATTRIBUTE_F("alpha", 0.5f),
                                           ATTRIBUTE_I("transBatchB", 1)};
    const struct test_tensor in[] = {F32(a, 3, 3, 2, 2), F32(b, 3, 2, 2, 3)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "FusedMatMul", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 2, 2, 2);
}
END_TEST

START_TEST(fused_gemm)
{
    const float a[] = {-0.5f, -1.25f, -1.0f, -0.75f, 2.25f, -0.75f}, b[] = {0.75f, -1.0f, 1.0f, 0.5f, -0.25f, -0.0f},
                c[] = {-0.75f, 0.5f}, y0[] = {-0.015625f, 1.0f, -0.4921875f, 0.78125f};
    const struct attribute attributes[] = {ATTRIBUTE_I("transA", 1),
                                           ATTRIBUTE_I("transB", 1),
                                           ATTRIBUTE_F("alpha", 0.5f),
                                           ATTRIBUTE_F("beta", 2.0f),
                                           ATTRIBUTE_TEXT("activation", "LeakyRelu"),
                                           ATTRIBUTE_F("activation_alpha", 0.25f)};
    const struct test_tensor in[] = {F32(a, 2, 3, 2), F32(b, 2, 2, 3), F32(c, 1, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "FusedGemm", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 2, 2, 2);
}
END_TEST

START_TEST(fused_conv_clips)
{
    const float a[] = {-0.5f, -1.25f, -1.25f, 0.25f, 1.5f, 0.25f, -0.0f, 0.25f},
                b[] = {1.25f, 0.25f, -0.5f, 1.0f, 0.5f, 1.5f, 0.25f, -1.25f}, c[] = {-1.25f, 1.75f},
                y0[] = {-0.5f, -0.5f, -0.3125f, 0.75f}, activation_params[] = {-0.5f, 0.75f};
    const int64_t strides[] = {2};
    const struct attribute attributes[] = {
        ATTRIBUTE_LIST("strides", 1, strides),
        ATTRIBUTE_TEXT("activation", "Clip"),
        {.name = "activation_params", .kind = ATTRIBUTE_FLOATS, .count = 2, .floats = activation_params}};
    const struct test_tensor in[] = {F32(a, 3, 1, 2, 4), F32(b, 3, 2, 2, 2), F32(c, 1, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "FusedConv", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 2);
}
END_TEST

START_TEST(fused_conv_hard_sigmoid)
{
    const float a[] = {1.75f, -0.25f, -0.5f}, b[] = {1.5f, -1.0f}, y0[] = {1.0f, 0.53125f},
                activation_params[] = {0.25f, 0.5f};
    const struct attribute attributes[] = {
        ATTRIBUTE_TEXT("activation", "HardSigmoid"),
        {.name = "activation_params", .kind = ATTRIBUTE_FLOATS, .count = 2, .floats = activation_params}};
    const struct test_tensor in[] = {F32(a, 3, 1, 1, 3), F32(b, 3, 1, 1, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "FusedConv", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 1, 2);
}
END_TEST

START_TEST(nhwc_max_pool)
{
    const uint8_t a[] = {71, 79, 255, 199, 82, 248, 127, 128, 111, 36, 239, 3, 44, 58, 71, 33, 4, 173},
                  y0[] = {127, 128, 255, 199, 255, 248, 127, 128, 127, 128, 239, 173};
    const int64_t kernel_shape[] = {2, 2}, pads[] = {0, 1, 0, 0};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 2, kernel_shape),
                                           ATTRIBUTE_LIST("pads", 4, pads)};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 4, 1, 3, 3, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "NhwcMaxPool", ATTRIBUTES(attributes));
    expect_bytes(&out[0], DTYPE_U8, y0, 4, 1, 2, 3, 2);
}
END_TEST

START_TEST(quick_gelu)
{
    const float x[] = {-INFINITY, -1, 0, 2}, y[] = {NAN, -0.15420423f, 0, 1.9356586f};
    struct test_tensor in = TENSOR(DTYPE_F32, x, 1, 4), out;
    run_op(&(struct op_call){.domain = "com.microsoft",
                             .op = "QuickGelu",
                             .version = 1,
                             .input_count = 1,
                             .inputs = &in,
                             .output_count = 1,
                             .outputs = &out});
    expect_f32(&out, y, 1e-6, 1, 4);
}
END_TEST

START_TEST(split_gelu)
{
    const float x[] = {1, 2, 0, 1}, bias[] = {1, 0, 1, 0}, y[] = {2 * 0.84134475f, 2 * 0.84134475f};
    const struct test_tensor in[] = {F32(x, 3, 1, 1, 4), F32(bias, 1, 4)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "BiasSplitGelu");
    expect_f32(&out[0], y, 1e-6, 3, 1, 1, 2);
    const struct test_tensor odd[] = {F32(x, 3, 1, 1, 3), F32(bias, 1, 3)};
    REFUSED(STATUS_INVALID_MODEL, "3 elements have no halves", odd, MICROSOFT, .op = "BiasSplitGelu");
}
END_TEST

START_TEST(operands_that_do_not_fit)
{
    const float x[6] = {0};
    const int32_t words[] = {0, 0};
    const struct test_tensor bias[] = {F32(x, 2, 2, 3), F32(x, 1, 2)}, table[] = {F32(x, 2, 2, 3), F32(x, 2, 2, 1)};
    const struct test_tensor skip[] = {F32(x, 2, 2, 3), F32(x, 2, 1, 3), F32(x, 1, 3)};
    const struct test_tensor gamma[] = {F32(x, 2, 2, 3), F32(x, 2, 2, 3), F32(x, 1, 2)};
    REFUSED(STATUS_INVALID_MODEL, "a bias of shape 2 does not fit", bias, MICROSOFT, .op = "FastGelu");
    REFUSED(STATUS_INVALID_ARGUMENT, "a skip of shape 1x3", skip, MICROSOFT, .op = "SkipLayerNormalization");
    REFUSED(STATUS_INVALID_MODEL, "must be a list of 3", gamma, MICROSOFT, .op = "SkipSimplifiedLayerNormalization");
    const struct test_tensor few[] = {
        TENSOR(DTYPE_I32, words, 2, 1, 2), ABSENT, table[0], F32(x, 2, 1, 3), ABSENT, F32(x, 1, 3), F32(x, 1, 3)};
    REFUSED(STATUS_INVALID_ARGUMENT, "2 words and 1 positions", few, MICROSOFT, .op = "EmbedLayerNormalization");
    const struct test_tensor alone[] = {few[0], few[0], table[0], table[0], ABSENT, F32(x, 1, 3), F32(x, 1, 3)};
    REFUSED(STATUS_INVALID_MODEL, "come together", alone, MICROSOFT, .op = "EmbedLayerNormalization");
    REFUSED(STATUS_INVALID_ARGUMENT, "do not fit columns", table, MICROSOFT, .op = "FusedMatMul");
}
END_TEST

START_TEST(activations_that_nobody_knows)
{
    const float x[6] = {0};
    const struct test_tensor matrices[] = {F32(x, 2, 2, 3), F32(x, 2, 3, 2)};
    const struct test_tensor images[] = {F32(x, 3, 1, 1, 3), F32(x, 3, 1, 1, 2), ABSENT, F32(x, 3, 1, 1, 3)};
    const struct attribute attributes[] = {ATTRIBUTE_TEXT("activation", "Snake")};
    REFUSED(STATUS_UNSUPPORTED, "'Snake'", matrices, MICROSOFT, .op = "FusedGemm", ATTRIBUTES(attributes));
    REFUSED(STATUS_UNSUPPORTED, "'Snake'", matrices, MICROSOFT, .op = "FusedConv", ATTRIBUTES(attributes));
    const struct attribute clip[] = {ATTRIBUTE_TEXT("activation", "Clip")};
    REFUSED(STATUS_UNSUPPORTED, "'Clip'", matrices, MICROSOFT, .op = "FusedGemm", ATTRIBUTES(clip));
    REFUSED(STATUS_INVALID_ARGUMENT, "another shape", images, MICROSOFT, .op = "FusedConv");
}
END_TEST

START_TEST(fused_conv_adds)
{
    const float x[] = {1, 2, 4}, w[] = {1, -1}, z[] = {0.5f, 3}, y[] = {0, 1};
    const struct test_tensor in[] = {F32(x, 3, 1, 1, 3), F32(w, 3, 1, 1, 2), ABSENT, F32(z, 3, 1, 1, 2)};
    const struct attribute attributes[] = {ATTRIBUTE_TEXT("activation", "Relu")};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "FusedConv", ATTRIBUTES(attributes));
    expect_f32(&out[0], y, 0, 3, 1, 1, 2);
}
END_TEST

Suite *ops_microsoft_suite(void)
{
    Suite *suite = suite_create("ops_microsoft");
    TCase *tests = tcase_create("ops_microsoft");
    tcase_add_test(tests, gelu);
    tcase_add_test(tests, fast_gelu_with_a_bias);
    tcase_add_test(tests, bias_gelu);
    tcase_add_test(tests, skip_layer_normalization);
    tcase_add_test(tests, skip_without_beta);
    tcase_add_test(tests, skip_simplified);
    tcase_add_test(tests, simplified_tells_the_deviation);
    tcase_add_test(tests, embedding_with_mask_and_sum);
    tcase_add_test(tests, embedding_by_place);
    tcase_add_test(tests, fused_matmul_transposes_the_batch);
    tcase_add_test(tests, fused_gemm);
    tcase_add_test(tests, fused_conv_clips);
    tcase_add_test(tests, fused_conv_hard_sigmoid);
    tcase_add_test(tests, nhwc_max_pool);
    tcase_add_test(tests, quick_gelu);
    tcase_add_test(tests, split_gelu);
    tcase_add_test(tests, operands_that_do_not_fit);
    tcase_add_test(tests, activations_that_nobody_knows);
    tcase_add_test(tests, fused_conv_adds);
    suite_add_tcase(suite, tests);
    return suite;
}
