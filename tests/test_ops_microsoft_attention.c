#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

/* Attention of com.microsoft. Most of the expected values are ONNX Runtime's. */
#define MICROSOFT .domain = "com.microsoft", .version = 1

START_TEST(attention_with_ends_and_a_past)
{
    const float a[] = {0.75f, 1.75f, 0.75f, -1.5f, -0.0f, -1.25f, -0.5f, 1.5f, 0.75f, -0.75f, -1.0f, 0.0f},
                b[] = {-1.25f, -0.75f, 0.25f, 1.25f, 0.5f,  -2.25f, 0.25f, 0.0f,   0.5f,   1.5f,  -2.0f, -0.5f,
                       0.5f,   -1.5f,  1.5f,  0.25f, 0.75f, -0.5f,  0.75f, 1.0f,   0.25f,  0.25f, 0.25f, -0.75f,
                       -0.25f, -0.25f, 0.5f,  1.0f,  -1.0f, -0.25f, 1.5f,  -0.75f, -0.75f, 0.25f, 0.75f, 0.0f},
                c[] = {1.25f, 0.75f, 0.75f, 0.5f, 2.25f, -0.25f, -2.0f, 1.5f, -0.5f, 0.0f, 1.25f, -1.5f},
                e[] = {-1.25f, -1.5f, -0.75f, 0.5f,  0.5f,  0.25f, -1.5f, -2.25f,
                       0.0f,   -0.5f, 0.5f,   0.75f, 0.25f, 0.75f, 0.25f, 0.5f},
                y0[] = {-0.24933183f, 1.7439865f,  0.7499063f,  -3.1860242f,  -0.24994738f, 1.7495265f,
                        0.50333554f,  0.69746596f, -0.9034182f, -0.16059335f, 3.1849515f,   -2.372506f,
                        -1.090124f,   -1.2531474f, 1.2028205f,  0.094246864f},
                y1[] = {-1.25f,  -1.5f,   3.1875f,  -3.0f,    2.75f,   3.4375f,  -0.75f, 0.5f,    0.625f,   2.6875f,
                        -4.25f,  2.4375f, 0.5f,     0.25f,    2.375f,  -0.0625f, 1.125f, 1.9375f, -1.5f,    -2.25f,
                        0.125f,  2.4375f, -2.9375f, 0.5f,     0.0f,    -0.5f,    -0.25f, 1.75f,   -0.3125f, -2.5625f,
                        0.5f,    0.75f,   0.75f,    -3.1875f, 3.3125f, -0.75f,   0.25f,  0.75f,   -0.9375f, -0.1875f,
                        -1.125f, -1.375f, 0.25f,    0.5f,     3.1875f, -2.375f,  2.5f,   -0.375f};
    const int32_t d[] = {2, 3};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 2), ATTRIBUTE_I("unidirectional", 1)};
    const struct test_tensor in[] = {F32(a, 3, 2, 2, 3), F32(b, 2, 3, 12), F32(c, 1, 12), TENSOR(DTYPE_I32, d, 1, 2),
                                     F32(e, 5, 2, 2, 2, 1, 2)};
    struct test_tensor out[2];
    RUN_OP(in, out, MICROSOFT, .op = "Attention", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 2, 2, 4);
    expect_f32(&out[1], y1, 2e-6, 5, 2, 2, 2, 3, 2);
}
END_TEST

START_TEST(attention_with_wider_values)
{
    const float a[] = {-0.75f, -0.25f, 0.25f, 0.75f, -0.5f, 0.5f},
                b[] = {-0.25f, -0.0f, 0.75f, -2.0f, -1.25f, -1.5f, -2.25f, -0.75f, 0.75f,  -0.25f,
                       0.25f,  1.0f,  1.25f, -0.0f, 1.25f,  0.0f,  -0.75f, -0.5f,  -1.5f,  -1.0f,
                       -0.25f, 0.75f, 1.75f, -1.5f, 0.5f,   -1.0f, 0.5f,   -0.25f, -1.75f, 1.0f},
                f[] = {-0.5f, -0.5f, -1.0f, -0.75f}, y0[] = {-0.61779165f, 0.68839884f, -0.6083893f, 0.6885215f};
    const int32_t d[] = {1, 0};
    const int64_t qkv_hidden_sizes[] = {4, 4, 2};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 2),
                                           ATTRIBUTE_LIST("qkv_hidden_sizes", 3, qkv_hidden_sizes),
                                           ATTRIBUTE_F("scale", 0.5f), ATTRIBUTE_F("mask_filter_value", -5.0f)};
    const struct test_tensor in[] = {
        F32(a, 3, 1, 2, 3), F32(b, 2, 3, 10), ABSENT, TENSOR(DTYPE_I32, d, 2, 1, 2), ABSENT, F32(f, 4, 1, 1, 2, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "Attention", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 2);
    /* Widths that do not make up the ten columns: of keys another than of queries, or one below 0. */
    static const int64_t others[][3] = {{4, 2, 2}, {4, 4, 4}, {-2, -2, 14}, {6, 6, -2}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct attribute changed[COUNT(attributes)];
        memcpy(changed, attributes, sizeof changed);
        changed[1] = ATTRIBUTE_LIST("qkv_hidden_sizes", 3, others[i]);
        REFUSED(STATUS_INVALID_MODEL, "10 columns of weights cannot be cut", in, MICROSOFT, .op = "Attention",
                ATTRIBUTES(changed));
    }
}
END_TEST

START_TEST(attention_between_start_and_end)
{
    const float a[] = {0.5f, -0.25f, 0.25f, 0.25f, 1.25f, -0.25f},
                b[] = {-1.5f, 1.0f, -0.25f, 1.0f, 0.5f, -0.25f, 0.25f, 2.0f, 2.0f, 0.0f, 0.25f, 1.0f},
                c[] = {-0.75f, 0.25f, -0.0f, 0.25f, -0.75f, -1.5f},
                y0[] = {-0.25273356f, -1.9320328f, -0.248107f, -1.9412858f, -0.2039374f, -2.0296252f};
    const int32_t d[] = {3, 1};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 1)};
    const struct test_tensor in[] = {F32(a, 3, 1, 3, 2), F32(b, 2, 2, 6), F32(c, 1, 6), TENSOR(DTYPE_I32, d, 1, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "Attention", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 3, 2);
}
END_TEST

START_TEST(quantised_attention)
{
    const uint8_t a[] = {242, 150, 154, 81, 235, 9}, g[] = {100};
    const int8_t b[] = {-41, -17, -5,  -6, -71, -55, -81, 14, -30, 13,  17, 40, 9,  29, 17, 30, 23,  -37,
                        -51, 57,  -32, 9,  -61, -14, 5,   25, 5,   -28, 92, 2,  61, 47, 11, 77, -75, 84},
                 h[] = {2};
    const float c[] = {-0.0f, -0.25f, -0.75f, 0.5f, -0.75f, 0.75f, 1.0f, 0.25f, -0.25f, 0.5f, -0.25f, 1.0f},
                d[] = {0.02f}, e[] = {0.01f},
                y0[] = {-1.4016f, 1.6924f, -1.2856f, 2.8048f, -1.2996655f, 0.40879112f, -1.1024613f, 1.7600194f};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 2), ATTRIBUTE_I("unidirectional", 1)};
    const struct test_tensor in[] = {TENSOR(DTYPE_U8, a, 3, 1, 2, 3),
                                     TENSOR(DTYPE_I8, b, 2, 3, 12),
                                     F32(c, 1, 12),
                                     F32(d, 0, 0),
                                     F32(e, 0, 0),
                                     ABSENT,
                                     TENSOR(DTYPE_U8, g, 0, 0),
                                     TENSOR(DTYPE_I8, h, 0, 0)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "QAttention", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 4);
}
END_TEST

START_TEST(multi_head_with_bias_and_past)
{
    const float a[] = {-1.75f, -0.25f, -2.0f, -1.5f, 1.25f, 1.0f, -0.75f, -1.5f},
                b[] = {-3.0f, -0.5f, 2.5f, 0.5f, -0.5f, 0.5f, -1.5f, -0.25f},
                c[] = {0.0f, -0.0f, 0.75f, 0.25f, 0.75f, -0.75f, 1.0f, 1.75f},
                d[] = {-1.0f, -1.0f, 1.25f, -0.25f, 1.5f, -0.5f, 1.5f, 0.25f, 0.25f, 1.5f, -0.25f, -1.0f},
                f[] = {-0.5f, 0.5f, -1.5f, 0.75f, -0.5f, 1.25f}, g[] = {-2.5f, -0.75f, -1.75f, -0.75f},
                h[] = {0.25f, -0.25f, -0.25f, -0.25f}, y0[] = {0.25015742f, -0.24979013f, -0.19563599f, -0.19563599f,
                                                               0.8153131f,  0.50375086f,  0.2975164f,   0.2975164f},
                y1[] = {-2.5f, -0.75f, -1.5f, -1.0f, 1.0f, 0.0f, -1.75f, -0.75f, 4.0f, 0.75f, 0.0f, 0.0f},
                y2[] = {0.25f, -0.25f, 0.25f, 1.5f, 1.0f, 0.75f, -0.25f, -0.25f, 0.5f, -0.75f, 0.75f, 0.75f};
    const int32_t e[] = {1, 0, 1};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 2)};
    const struct test_tensor in[] = {F32(a, 3, 1, 2, 4),
                                     F32(b, 3, 1, 2, 4),
                                     F32(c, 3, 1, 2, 4),
                                     F32(d, 1, 12),
                                     TENSOR(DTYPE_I32, e, 2, 1, 3),
                                     F32(f, 4, 1, 1, 2, 3),
                                     F32(g, 4, 1, 2, 1, 2),
                                     F32(h, 4, 1, 2, 1, 2)};
    struct test_tensor out[3];
    RUN_OP(in, out, MICROSOFT, .op = "MultiHeadAttention", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 4);
    expect_f32(&out[1], y1, 2e-6, 4, 1, 2, 3, 2);
    expect_f32(&out[2], y2, 2e-6, 4, 1, 2, 3, 2);
}
END_TEST

START_TEST(multi_head_of_split_keys)
{
    const float a[] = {0.25f, -1.0f, 0.75f, 0.75f, 0.5f, 0.5f, 0.25f, 2.0f},
                b[] = {-0.0f, -0.25f, -0.75f, -1.0f, -1.25f, -1.0f, -0.0f, 0.25f, 0.0f, -0.75f, 1.0f, 0.75f},
                c[] = {-0.25f, -0.75f, 0.5f, 0.25f, -1.5f, -0.0f, 0.25f, -1.0f, 0.25f, -1.5f, 1.25f, 1.25f},
                y0[] = {-0.40238523f, -0.098125435f, 0.8324311f,  0.2331278f,
                        -0.3340882f,  -0.28964847f,  0.91066563f, 0.45331576f};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 2)};
    const struct test_tensor in[] = {F32(a, 3, 1, 2, 4), F32(b, 4, 1, 2, 3, 2), F32(c, 4, 1, 2, 3, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "MultiHeadAttention", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 4);
}
END_TEST

START_TEST(multi_head_tells_scores)
{
    const float a[] = {-0.25f, 0.25f, -2.5f, -1.25f}, b[] = {-0.25f, -1.0f, 0.75f, 2.0f},
                c[] = {-1.25f, -0.75f, 0.25f, 1.5f}, y0[] = {-0.36878148f, 0.57182777f, -1.232153f, -0.72322965f},
                y1[] = {-0.25f, -1.0f, 0.75f, 2.0f}, y2[] = {-1.25f, -0.75f, 0.25f, 1.5f},
                y3[] = {-0.13258252f, 0.22097087f, 1.3258252f, -3.0935922f};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 1)};
    const struct test_tensor in[] = {F32(a, 3, 1, 2, 2), F32(b, 3, 1, 2, 2), F32(c, 3, 1, 2, 2)};
    struct test_tensor out[4];
    RUN_OP(in, out, MICROSOFT, .op = "MultiHeadAttention", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 2);
    expect_f32(&out[1], y1, 2e-6, 4, 1, 1, 2, 2);
    expect_f32(&out[2], y2, 2e-6, 4, 1, 1, 2, 2);
    expect_f32(&out[3], y3, 2e-6, 4, 1, 1, 2, 2);
}
END_TEST

START_TEST(rotary_from_one_position)
{
    const float a[] = {-1.25f, 0.25f, 1.75f, -1.75f, -1.25f, -0.5f, -0.5f, 0.75f},
                c[] = {0.25f, -1.75f, 0.5f, -0.5f, 1.25f, -0.75f, -0.75f, 0.5f},
                d[] = {0.75f, 0.5f, -1.75f, 0.5f, -1.0f, 0.25f, -1.5f, 0.5f},
                y0[] = {2.4375f, 0.75f, 3.0625f, 1.0f, -2.0625f, 0.1875f, 0.625f, -0.6875f};
    const int64_t b[] = {1};
    const struct test_tensor in[] = {F32(a, 3, 1, 2, 4), TENSOR(DTYPE_I64, b, 1, 1), F32(c, 2, 4, 2), F32(d, 2, 4, 2)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "RotaryEmbedding");
    expect_f32(&out[0], y0, 2e-6, 3, 1, 2, 4);
}
END_TEST

START_TEST(rotary_interleaved_in_part)
{
    const float a[] = {-0.75f, -1.25f, 0.75f, 0.25f, -0.5f, 1.5f}, c[] = {-0.5f, 0.0f, 0.25f, -0.5f},
                d[] = {0.5f, -0.5f, -0.5f, 1.25f}, y0[] = {-0.8125f, 0.0625f, 0.75f, -0.1875f, -0.25f, 1.5f};
    const int64_t b[] = {2};
    const struct attribute attributes[] = {ATTRIBUTE_I("interleaved", 1), ATTRIBUTE_I("num_heads", 2),
                                           ATTRIBUTE_I("rotary_embedding_dim", 2)};
    const struct test_tensor in[] = {F32(a, 3, 1, 1, 6), TENSOR(DTYPE_I64, b, 2, 1, 1), F32(c, 2, 4, 1),
                                     F32(d, 2, 4, 1)};
    struct test_tensor out[1];
    RUN_OP(in, out, MICROSOFT, .op = "RotaryEmbedding", ATTRIBUTES(attributes));
    expect_f32(&out[0], y0, 2e-6, 3, 1, 1, 6);
}
END_TEST

/* One head of one element, keys that are 0: each query gets the mean of the values that it sees. */
static struct test_tensor *run_grouped(const struct test_tensor *in, int count, int attribute_count,
                                       const struct attribute *attributes, struct test_tensor out[3])
{
    run_op(&(struct op_call){MICROSOFT, .op = "GroupQueryAttention", .inputs = in, .input_count = count, .outputs = out,
                             .output_count = 3, .attributes = attributes, .attribute_count = attribute_count});
    return out;
}

START_TEST(groups_grow_their_past_each_by_its_length)
{
    const float q[] = {1, 1}, k[] = {0, 0}, v[] = {6, 9}, past_k[4] = {0}, past_v[] = {3, 100, 1, 2};
    const float y[] = {4.5f, 4}, present[] = {3, 6, 0, 1, 2, 9};
    const int32_t last[] = {1, 2}, total[] = {3};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 1), ATTRIBUTE_I("kv_num_heads", 1)};
    const struct test_tensor in[] = {F32(q, 3, 2, 1, 1),
                                     F32(k, 3, 2, 1, 1),
                                     F32(v, 3, 2, 1, 1),
                                     F32(past_k, 4, 2, 1, 2, 1),
                                     F32(past_v, 4, 2, 1, 2, 1),
                                     TENSOR(DTYPE_I32, last, 1, 2),
                                     TENSOR(DTYPE_I32, total, 0, 0)};
    struct test_tensor out[3];
    run_grouped(in, 7, 2, attributes, out);
    expect_f32(&out[0], y, 1e-6, 3, 2, 1, 1);
    expect_f32(&out[2], present, 0, 4, 2, 1, 3, 1);
}
END_TEST

START_TEST(groups_see_a_window_and_a_sink)
{
    const float q[] = {1, 1, 1}, k[] = {0, 0, 0}, v[] = {2, 4, 8}, sinks[] = {0};
    const float causal[] = {2, 3, 14.0f / 3}, window[] = {2, 3, 6}, with_sink[] = {1, 2, 3.5f},
                both[] = {14.0f / 3, 14.0f / 3, 14.0f / 3};
    const int32_t last[] = {2}, total[] = {3};
    struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 1), ATTRIBUTE_I("kv_num_heads", 1),
                                     ATTRIBUTE_I("local_window_size", 2)};
    const struct test_tensor in[] = {F32(q, 3, 1, 3, 1),
                                     F32(k, 3, 1, 3, 1),
                                     F32(v, 3, 1, 3, 1),
                                     ABSENT,
                                     ABSENT,
                                     TENSOR(DTYPE_I32, last, 1, 1),
                                     TENSOR(DTYPE_I32, total, 1, 1),
                                     ABSENT,
                                     ABSENT,
                                     ABSENT,
                                     ABSENT,
                                     F32(sinks, 1, 1)};
    struct test_tensor out[3];
    expect_f32(run_grouped(in, 7, 2, attributes, out), causal, 1e-6, 3, 1, 3, 1);
    expect_f32(run_grouped(in, 7, 3, attributes, out), window, 1e-6, 3, 1, 3, 1);
    expect_f32(run_grouped(in, 12, 2, attributes, out), with_sink, 1e-6, 3, 1, 3, 1);
    attributes[2] = ATTRIBUTE_I("causal", 0);
    expect_f32(run_grouped(in, 7, 3, attributes, out), both, 1e-6, 3, 1, 3, 1);
}
END_TEST

/* Queries, keys and values in one input, two heads of queries to one of keys, and a quarter turn at position 1. */
START_TEST(groups_are_packed_and_turned)
{
    const float x[] = {1, 0, 0, 1, 5, 0, 1, 2, 1, 0, 0, 1, 5, 0, 3, 4}, cosines[] = {1, 0}, sines[] = {0, 1};
    const float keys[] = {5, 0, 0, 5};
    const int32_t last[] = {1}, total[] = {2};
    const struct attribute attributes[] = {ATTRIBUTE_I("num_heads", 2), ATTRIBUTE_I("kv_num_heads", 1),
                                           ATTRIBUTE_I("do_rotary", 1)};
    const struct test_tensor in[] = {F32(x, 3, 1, 2, 8),
                                     ABSENT,
                                     ABSENT,
                                     ABSENT,
                                     ABSENT,
                                     TENSOR(DTYPE_I32, last, 1, 1),
                                     TENSOR(DTYPE_I32, total, 1, 1),
                                     F32(cosines, 2, 2, 1),
                                     F32(sines, 2, 2, 1)};
    struct test_tensor out[3];
    run_grouped(in, 9, 3, attributes, out);
    const float *y = out[0].data;
    expect_f32(&out[1], keys, 1e-6, 4, 1, 1, 2, 2);
    ck_assert_double_eq_tol((double)y[0], 1, 1e-6);
    ck_assert_double_eq_tol((double)y[2], 1, 1e-6);
    double seen = exp(5 / sqrt(2)), weight = seen / (seen + 1); /* of the key that the first head's query turned to */
    ck_assert_double_eq_tol((double)y[4], 1 - weight + 3 * weight, 1e-5);
}
END_TEST

START_TEST(what_attention_refuses)
{
    const float x[36] = {0};
    const int32_t ints[4] = {0};
    const struct attribute none[] = {ATTRIBUTE_I("num_heads", 0)}, heads[] = {ATTRIBUTE_I("num_heads", 2)};
    const struct attribute rotary[] = {ATTRIBUTE_I("num_heads", 2), ATTRIBUTE_I("do_rotary", 1)};
    struct test_tensor in[] = {F32(x, 3, 1, 2, 2), F32(x, 2, 2, 12), ABSENT, TENSOR(DTYPE_I32, ints, 1, 4)};
    REFUSED(STATUS_INVALID_MODEL, "into 0 heads", in, MICROSOFT, .op = "Attention", ATTRIBUTES(none));
    REFUSED(STATUS_UNSUPPORTED, "do_rotary", in, MICROSOFT, .op = "Attention", ATTRIBUTES(rotary));
    REFUSED(STATUS_UNSUPPORTED, "a mask of shape 4", in, MICROSOFT, .op = "Attention", ATTRIBUTES(heads));
    in[3] = ABSENT;
    const struct test_tensor biases[] = {F32(x, 1, 11), F32(x, 1, 1), F32(x, 2, 1, 12)};
    for (int i = 0; i < 3; i++) {
        in[2] = biases[i];
        REFUSED(STATUS_INVALID_MODEL, "bias do not fit", in, MICROSOFT, .op = "Attention", ATTRIBUTES(heads));
    }
    in[2] = ABSENT;
    in[1] = F32(x, 2, 3, 12);
    REFUSED(STATUS_INVALID_MODEL, "weights and bias do not fit", in, MICROSOFT, .op = "Attention", ATTRIBUTES(heads));
    in[1] = F32(x, 2, 2, 14);
    REFUSED(STATUS_INVALID_MODEL, "14 columns", in, MICROSOFT, .op = "Attention", ATTRIBUTES(heads));
    const struct test_tensor multi[] = {F32(x, 3, 1, 2, 4), F32(x, 3, 1, 3, 4), F32(x, 3, 1, 2, 4)};
    REFUSED(STATUS_INVALID_ARGUMENT, "3 keys and 2 values", multi, MICROSOFT, .op = "MultiHeadAttention",
            ATTRIBUTES(heads));
    const struct attribute groups[] = {ATTRIBUTE_I("num_heads", 3), ATTRIBUTE_I("kv_num_heads", 2)};
    const struct test_tensor group[] = {F32(x, 3, 1, 2, 4),
                                        F32(x, 3, 1, 2, 4),
                                        F32(x, 3, 1, 2, 4),
                                        ABSENT,
                                        ABSENT,
                                        TENSOR(DTYPE_I32, ints, 1, 1),
                                        TENSOR(DTYPE_I32, ints, 0, 0)};
    REFUSED(STATUS_INVALID_MODEL, "3 heads of queries", group, MICROSOFT, .op = "GroupQueryAttention",
            ATTRIBUTES(groups));
    const struct attribute fit[] = {ATTRIBUTE_I("num_heads", 2), ATTRIBUTE_I("kv_num_heads", 2)};
    REFUSED(STATUS_INVALID_ARGUMENT, "a total length of 0", group, MICROSOFT, .op = "GroupQueryAttention",
            ATTRIBUTES(fit));
}
END_TEST

Suite *ops_microsoft_attention_suite(void)
{
    Suite *suite = suite_create("ops_microsoft_attention");
    TCase *tests = tcase_create("ops_microsoft_attention");
    tcase_add_test(tests, attention_with_ends_and_a_past);
    tcase_add_test(tests, attention_with_wider_values);
    tcase_add_test(tests, attention_between_start_and_end);
    tcase_add_test(tests, quantised_attention);
    tcase_add_test(tests, multi_head_with_bias_and_past);
    tcase_add_test(tests, multi_head_of_split_keys);
    tcase_add_test(tests, multi_head_tells_scores);
    tcase_add_test(tests, rotary_from_one_position);
    tcase_add_test(tests, rotary_interleaved_in_part);
    tcase_add_test(tests, groups_grow_their_past_each_by_its_length);
    tcase_add_test(tests, groups_see_a_window_and_a_sink);
    tcase_add_test(tests, groups_are_packed_and_turned);
    tcase_add_test(tests, what_attention_refuses);
    suite_add_tcase(suite, tests);
    return suite;
}
