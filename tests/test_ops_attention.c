#include "tests/op_test.h"
#include "tests/suites.h"

#include <math.h>

/* Queries are zero, so that all keys that a query may see weigh the same; the values are the rows of the unit matrix,
 * so that the result shows the weights. */

static const float zeros[64], unit[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

enum { QUERIES, KEYS, VALUES, MASK, PAST_KEYS, PAST_VALUES, VALID, INPUTS };

static void expect_weights(const struct test_tensor *inputs, int attribute_count, const struct attribute *attributes,
                           const float *weights)
{
    struct test_tensor y = run_simple("Attention", INPUTS, inputs, attribute_count, attributes);
    expect_f32(&y, weights, 1e-6, 4, 1, 1, 3, 3);
}

#define THREE_TOKENS                                                                                       \
    [QUERIES] = TENSOR(DTYPE_F32, zeros, 4, 1, 1, 3, 1), [KEYS] = TENSOR(DTYPE_F32, zeros, 4, 1, 1, 3, 1), \
    [VALUES] = TENSOR(DTYPE_F32, unit, 4, 1, 1, 3, 3)

#define THIRD 0.33333334f

START_TEST(causal_windows)
{
    const struct test_tensor inputs[INPUTS] = {THREE_TOKENS};
    const float all[] = {THIRD, THIRD, THIRD, THIRD, THIRD, THIRD, THIRD, THIRD, THIRD};
    const float causal[] = {1, 0, 0, 0.5f, 0.5f, 0, THIRD, THIRD, THIRD};
    const float window[] = {1, 0, 0, 0.5f, 0.5f, 0, 0, 0.5f, 0.5f};
    const float ahead[] = {0.5f, 0.5f, 0, 0, 0.5f, 0.5f, 0, 0, 1};
    const struct attribute past[] = {ATTRIBUTE_I("is_causal", 1), ATTRIBUTE_I("left_window_size", 1)};
    const struct attribute future[] = {ATTRIBUTE_I("left_window_size", 0), ATTRIBUTE_I("right_window_size", 1)};
    expect_weights(inputs, 0, NULL, all);
    expect_weights(inputs, 1, past, causal);
    expect_weights(inputs, 2, past, window);
    expect_weights(inputs, 2, future, ahead);
}
END_TEST

START_TEST(masks_forbid_or_add)
{
    const uint8_t seen[] = {0, 0, 0, 1, 1, 0, 0, 1, 1}, first[] = {1, 1};
    const float added[] = {0, -INFINITY, 0.69314718f},
                twice[] = {THIRD, 0, 2 * THIRD, THIRD, 0, 2 * THIRD, THIRD, 0, 2 * THIRD};
    const float blind[] = {0, 0, 0, 0.5f, 0.5f, 0, 0, 0.5f, 0.5f},
                pair[] = {0.5f, 0.5f, 0, 0.5f, 0.5f, 0, 0.5f, 0.5f, 0};
    struct test_tensor inputs[INPUTS] = {THREE_TOKENS, [MASK] = TENSOR(DTYPE_BOOL, seen, 2, 3, 3)};
    expect_weights(inputs, 0, NULL, blind); /* a query that sees nothing gets nothing */
    inputs[MASK] = TENSOR(DTYPE_F32, added, 1, 3);
    expect_weights(inputs, 0, NULL, twice);
    inputs[MASK] = TENSOR(DTYPE_BOOL, first, 2, 1, 2); /* keys beyond a mask are masked */
    expect_weights(inputs, 0, NULL, pair);
    inputs[MASK] = TENSOR(DTYPE_F32, zeros, 2, 2, 3);
    expect_refusal(STATUS_INVALID_ARGUMENT, "does not broadcast", "Attention", INPUTS, inputs, 0, NULL);
}
END_TEST

START_TEST(a_count_of_valid_keys_shifts_the_causal_edge)
{
    const int64_t two[] = {2};
    const float plain[] = {0.5f, 0.5f, 0, 0.5f, 0.5f, 0, 0.5f, 0.5f, 0}, causal[] = {0, 0, 0, 1, 0, 0, 0.5f, 0.5f, 0};
    const struct test_tensor inputs[INPUTS] = {THREE_TOKENS, [VALID] = TENSOR(DTYPE_I64, two, 1, 1)};
    const struct attribute attribute = ATTRIBUTE_I("is_causal", 1);
    expect_weights(inputs, 0, NULL, plain);
    expect_weights(inputs, 1, &attribute, causal);
}
END_TEST

START_TEST(the_cache_comes_first)
{
    const float keys[] = {7}, old_keys[] = {5, 6}, joined[] = {5, 6, 7}, first[] = {1, 0, 0, 0, 1, 0},
                third[] = {0, 0, 1};
    const float weights[] = {THIRD, THIRD, THIRD};
    const struct test_tensor inputs[INPUTS] = {[QUERIES] = TENSOR(DTYPE_F32, zeros, 4, 1, 1, 1, 1),
                                               [KEYS] = TENSOR(DTYPE_F32, keys, 4, 1, 1, 1, 1),
                                               [VALUES] = TENSOR(DTYPE_F32, third, 4, 1, 1, 1, 3),
                                               [PAST_KEYS] = TENSOR(DTYPE_F32, old_keys, 4, 1, 1, 2, 1),
                                               [PAST_VALUES] = TENSOR(DTYPE_F32, first, 4, 1, 1, 2, 3)};
    const struct attribute causal = ATTRIBUTE_I("is_causal", 1);
    struct test_tensor outputs[3];
    run_op(&(struct op_call){.op = "Attention",
                             .input_count = INPUTS,
                             .inputs = inputs,
                             .output_count = 3,
                             .outputs = outputs,
                             .attribute_count = 1,
                             .attributes = &causal});
    expect_f32(&outputs[0], weights, 1e-6, 4, 1, 1, 1, 3);
    expect_f32(&outputs[1], joined, 0, 4, 1, 1, 3, 1);
    expect_f32(&outputs[2], unit, 0, 4, 1, 1, 3, 3);
}
END_TEST

/* Four query heads, two of keys: 0 and 1 share the first. Packed heads give the same in another order. */
START_TEST(heads_share_keys)
{
    const float values[] = {1, 2, 10, 20}, plain[] = {1.5f, 1.5f, 15, 15}, packed_values[] = {1, 10, 2, 20};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, zeros, 4, 1, 4, 1, 1),
                                         TENSOR(DTYPE_F32, zeros, 4, 1, 2, 2, 1),
                                         TENSOR(DTYPE_F32, values, 4, 1, 2, 2, 1)};
    struct test_tensor y = run_simple("Attention", 3, inputs, 0, NULL);
    expect_f32(&y, plain, 1e-6, 4, 1, 4, 1, 1);
    const struct attribute heads[] = {ATTRIBUTE_I("q_num_heads", 4), ATTRIBUTE_I("kv_num_heads", 2)};
    const struct test_tensor packed[] = {TENSOR(DTYPE_F32, zeros, 3, 1, 1, 4), TENSOR(DTYPE_F32, zeros, 3, 1, 2, 2),
                                         TENSOR(DTYPE_F32, packed_values, 3, 1, 2, 2)};
    y = run_simple("Attention", 3, packed, 2, heads);
    expect_f32(&y, plain, 1e-6, 3, 1, 1, 4);
    expect_refusal(STATUS_INVALID_MODEL, "cannot be cut into 0 heads", "Attention", 3, packed, 0, NULL);
}
END_TEST

/* Scores 8, capped at 2: 2 tanh 4; then the mask. */
START_TEST(stages_of_the_scores)
{
    const float q[] = {4}, k[] = {2, 2}, v[] = {1, 3}, mask[] = {0, -INFINITY};
    const float stages[4][2] = {{8, 8}, {1.9986586f, 1.9986586f}, {1.9986586f, -INFINITY}, {1, 0}}, first[] = {1};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, q, 4, 1, 1, 1, 1), TENSOR(DTYPE_F32, k, 4, 1, 1, 2, 1),
                                         TENSOR(DTYPE_F32, v, 4, 1, 1, 2, 1), TENSOR(DTYPE_F32, mask, 2, 1, 2)};
    for (int mode = 0; mode < 4; mode++) {
        const struct attribute attributes[] = {ATTRIBUTE_F("softcap", 2), ATTRIBUTE_I("qk_matmul_output_mode", mode)};
        struct test_tensor outputs[4];
        run_op(&(struct op_call){.op = "Attention",
                                 .input_count = 4,
                                 .inputs = inputs,
                                 .output_count = 4,
                                 .outputs = outputs,
                                 .attribute_count = 2,
                                 .attributes = attributes});
        expect_f32(&outputs[0], first, 1e-6, 4, 1, 1, 1, 1);
        expect_f32(&outputs[3], stages[mode], 1e-6, 4, 1, 1, 1, 2);
    }
}
END_TEST

/* --- around attention ------------------------------------------------------------------------------------ */

START_TEST(pairs_turn_by_a_right_angle)
{
    const float x[] = {1, 2, 3, 4, 5}, cosine[] = {9, 9, 0, 0}, sine[] = {9, 9, 1, 1};
    const float halves[] = {-3, -4, 1, 2, 5}, neighbours[] = {-2, 1, -4, 3, 5};
    const int64_t position[] = {1};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, 1, 1, 1, 5), TENSOR(DTYPE_F32, cosine, 2, 2, 2),
                                         TENSOR(DTYPE_F32, sine, 2, 2, 2), TENSOR(DTYPE_I64, position, 2, 1, 1)};
    for (int interleaved = 0; interleaved <= 1; interleaved++) {
        const struct attribute attributes[] = {ATTRIBUTE_I("rotary_embedding_dim", 4),
                                               ATTRIBUTE_I("interleaved", interleaved)};
        struct test_tensor y = run_simple("RotaryEmbedding", 4, inputs, 2, attributes);
        expect_f32(&y, interleaved ? neighbours : halves, 0, 4, 1, 1, 1, 5);
    }
    expect_refusal(STATUS_INVALID_MODEL, "cannot be turned in pairs", "RotaryEmbedding", 4, inputs, 0, NULL);
}
END_TEST

/* S = 2 decays to 1; v' = (3 - 1) / 2 = 1; S = 2; y = 2 S. The second step adds 4 with nothing decayed. */
START_TEST(linear_attention_corrects_what_it_recalls)
{
    const float q[] = {2, 1}, k[] = {1, 1}, v[] = {3, 10}, past[] = {2}, decay[] = {-0.69314718f, 0},
                beta[] = {0.5f, 0.5f};
    const float y[] = {4, 6}, present[] = {6};
    const struct attribute heads[] = {ATTRIBUTE_I("q_num_heads", 1), ATTRIBUTE_I("kv_num_heads", 1)};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, q, 3, 1, 2, 1),     TENSOR(DTYPE_F32, k, 3, 1, 2, 1),
                                         TENSOR(DTYPE_F32, v, 3, 1, 2, 1),     TENSOR(DTYPE_F32, past, 4, 1, 1, 1, 1),
                                         TENSOR(DTYPE_F32, decay, 3, 1, 2, 1), TENSOR(DTYPE_F32, beta, 3, 1, 2, 1)};
    struct test_tensor outputs[2];
    run_op(&(struct op_call){.op = "LinearAttention",
                             .input_count = 6,
                             .inputs = inputs,
                             .output_count = 2,
                             .outputs = outputs,
                             .attribute_count = 2,
                             .attributes = heads});
    expect_f32(&outputs[0], y, 1e-6, 3, 1, 2, 1);
    expect_f32(&outputs[1], present, 1e-6, 4, 1, 1, 1, 1);
    expect_refusal(STATUS_INVALID_MODEL, "takes a decay", "LinearAttention", 3, inputs, 2, heads);
}
END_TEST

START_TEST(causal_convolution_carries_its_state)
{
    const float x[] = {1, 2}, w[] = {100, 10, 1}, past[] = {3, 4}, y[] = {341, 412}, fresh[] = {1, 12},
                present[] = {1, 2};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, 1, 2), TENSOR(DTYPE_F32, w, 3, 1, 1, 3), ABSENT,
                                         TENSOR(DTYPE_F32, past, 3, 1, 1, 2)};
    for (int count = 2; count <= 4; count += 2) {
        struct test_tensor outputs[2];
        run_op(&(struct op_call){.op = "CausalConvWithState",
                                 .input_count = count,
                                 .inputs = inputs,
                                 .output_count = 2,
                                 .outputs = outputs});
        expect_f32(&outputs[0], count == 4 ? y : fresh, 0, 3, 1, 1, 2);
        expect_f32(&outputs[1], present, 0, 3, 1, 1, 2);
    }
}
END_TEST

/* --- losses and optimisers ------------------------------------------------------------------------------- */

START_TEST(losses_weigh_and_ignore)
{
    const float scores[] = {-1, -2, -4, -8, -16, -32}, weights[] = {1, 10}, each[] = {1, 0, 320},
                mean[] = {321.0f / 11};
    const int64_t targets[] = {0, -5, 1};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, scores, 2, 3, 2), TENSOR(DTYPE_I64, targets, 1, 3),
                                         TENSOR(DTYPE_F32, weights, 1, 2)};
    const struct attribute attributes[] = {ATTRIBUTE_I("ignore_index", -5), ATTRIBUTE_TEXT("reduction", "none")};
    struct test_tensor y = run_simple("NegativeLogLikelihoodLoss", 3, inputs, 2, attributes);
    expect_f32(&y, each, 1e-6, 1, 3);
    y = run_simple("NegativeLogLikelihoodLoss", 3, inputs, 1, attributes);
    expect_f32(&y, mean, 1e-5, 0);
    const int64_t beyond[] = {0, 2, 1};
    const struct test_tensor bad[] = {inputs[0], TENSOR(DTYPE_I64, beyond, 1, 3)};
    expect_refusal(STATUS_FAULT, "2", "NegativeLogLikelihoodLoss", 2, bad, 0, NULL);
}
END_TEST

START_TEST(cross_entropy_reports_its_logarithms)
{
    const float scores[] = {1000, 1000, 0, 0}, loss[] = {1.3862944f}, half = -0.69314718f;
    const float logarithms[] = {half, half, half, half};
    const int32_t targets[] = {1, 0};
    const struct attribute sum = ATTRIBUTE_TEXT("reduction", "sum");
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, scores, 2, 2, 2), TENSOR(DTYPE_I32, targets, 1, 2)};
    struct test_tensor outputs[2];
    run_op(&(struct op_call){.op = "SoftmaxCrossEntropyLoss",
                             .input_count = 2,
                             .inputs = inputs,
                             .output_count = 2,
                             .outputs = outputs,
                             .attribute_count = 1,
                             .attributes = &sum});
    expect_f32(&outputs[0], loss, 1e-6, 0);
    expect_f32(&outputs[1], logarithms, 1e-6, 2, 2, 2);
}
END_TEST

/* v = 0.5 * 4 + g, with g weighted by beta after the first step; x -= rate * v. */
START_TEST(momentum_weighs_the_gradient_after_the_first_step)
{
    const float rate[] = {0.1f}, x[] = {1}, gradient[] = {2}, state[] = {4};
    static const float x_new[] = {0.6f, 0.7f}, state_new[] = {4, 3};
    const struct attribute attributes[] = {ATTRIBUTE_F("alpha", 0.5f), ATTRIBUTE_F("beta", 0.5f),
                                           ATTRIBUTE_F("norm_coefficient", 0), ATTRIBUTE_TEXT("mode", "standard")};
    for (int64_t step = 0; step <= 1; step++) {
        const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, rate, 0, 0), TENSOR(DTYPE_I64, &step, 0, 0),
                                             TENSOR(DTYPE_F32, x, 1, 1), TENSOR(DTYPE_F32, gradient, 1, 1),
                                             TENSOR(DTYPE_F32, state, 1, 1)};
        struct test_tensor outputs[2];
        run_op(&(struct op_call){.domain = "ai.onnx.preview.training",
                                 .op = "Momentum",
                                 .input_count = 5,
                                 .inputs = inputs,
                                 .output_count = 2,
                                 .outputs = outputs,
                                 .attribute_count = 4,
                                 .attributes = attributes});
        expect_f32(&outputs[0], &x_new[step], 1e-6, 1, 1);
        expect_f32(&outputs[1], &state_new[step], 1e-6, 1, 1);
    }
}
END_TEST

Suite *ops_attention_suite(void)
{
    Suite *suite = suite_create("ops_attention");
    TCase *tests = tcase_create("ops_attention");
    tcase_add_test(tests, causal_windows);
    tcase_add_test(tests, masks_forbid_or_add);
    tcase_add_test(tests, a_count_of_valid_keys_shifts_the_causal_edge);
    tcase_add_test(tests, the_cache_comes_first);
    tcase_add_test(tests, heads_share_keys);
    tcase_add_test(tests, stages_of_the_scores);
    tcase_add_test(tests, pairs_turn_by_a_right_angle);
    tcase_add_test(tests, linear_attention_corrects_what_it_recalls);
    tcase_add_test(tests, causal_convolution_carries_its_state);
    tcase_add_test(tests, losses_weigh_and_ignore);
    tcase_add_test(tests, cross_entropy_reports_its_logarithms);
    tcase_add_test(tests, momentum_weighs_the_gradient_after_the_first_step);
    suite_add_tcase(suite, tests);
    return suite;
}
