#include "tests/op_test.h"
#include "tests/suites.h"

/* Cells of one unit with activations that do nothing, so that each number can be followed by hand. */

static struct attribute names(const char *key, size_t count, const char *const *list)
{
    return (struct attribute){.name = key, .kind = ATTRIBUTE_STRINGS, .count = count, .strings = list};
}

static void run(const char *op, int input_count, const struct test_tensor *inputs, int output_count,
                struct test_tensor *outputs, int attribute_count, const struct attribute *attributes)
{
    run_op(&(struct op_call){.op = op,
                             .input_count = input_count,
                             .inputs = inputs,
                             .output_count = output_count,
                             .outputs = outputs,
                             .attribute_count = attribute_count,
                             .attributes = attributes});
}

static const char *const identities[] = {"Affine", "Affine", "Affine"};

/* y[t] = relu(x[t] + y[t - 1]); two sequences, the second of them shorter. */
START_TEST(directions_lengths_and_layouts)
{
    static const char *const relus[] = {"Relu", "relu"};
    const float ones[] = {1, 1}, by_step[] = {1, 10, 2, 20, -5, 99, 4, 99};
    const float by_batch[] = {1, 2, -5, 4, 10, 20, 99, 99};
    const int32_t lengths[] = {4, 2};
    const float y[] = {1, 10, 3, 30, 3, 30, 2, 20, 0, 0, 0, 0, 4, 0, 4, 0}, last[] = {4, 30, 3, 30};
    const float y_batch[] = {1, 3, 3, 2, 0, 0, 4, 4, 10, 30, 30, 20, 0, 0, 0, 0}, last_batch[] = {4, 3, 30, 30};
    for (int layout = 0; layout <= 1; layout++) {
        const struct attribute attributes[] = {ATTRIBUTE_TEXT("direction", "bidirectional"),
                                               names("activations", 2, relus), ATTRIBUTE_I("layout", layout)};
        const struct test_tensor inputs[] = {
            TENSOR(DTYPE_F32, layout ? by_batch : by_step, 3, layout ? 2 : 4, layout ? 4 : 2, 1),
            TENSOR(DTYPE_F32, ones, 3, 2, 1, 1), TENSOR(DTYPE_F32, ones, 3, 2, 1, 1), ABSENT,
            TENSOR(DTYPE_I32, lengths, 1, 2)};
        struct test_tensor outputs[2];
        run("RNN", 5, inputs, 2, outputs, 3, attributes);
        if (layout)
            expect_f32(&outputs[0], y_batch, 0, 4, 2, 4, 2, 1);
        else
            expect_f32(&outputs[0], y, 0, 4, 4, 2, 2, 1);
        expect_f32(&outputs[1], layout ? last_batch : last, 0, 3, 2, 2, 1);
    }
}
END_TEST

START_TEST(reverse_starts_from_the_initial_state)
{
    static const char *const relu[] = {"Relu"};
    const float x[] = {1, 2, 3}, one[] = {1}, state[] = {100}, y[] = {106, 105, 103};
    const struct attribute attributes[] = {ATTRIBUTE_TEXT("direction", "reverse"), names("activations", 1, relu)};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 3, 1, 1),
                                         TENSOR(DTYPE_F32, one, 3, 1, 1, 1),
                                         TENSOR(DTYPE_F32, one, 3, 1, 1, 1),
                                         ABSENT,
                                         ABSENT,
                                         TENSOR(DTYPE_F32, state, 3, 1, 1, 1)};
    struct test_tensor output;
    run("RNN", 6, inputs, 1, &output, 2, attributes);
    expect_f32(&output, y, 0, 4, 3, 1, 1, 1);
}
END_TEST

START_TEST(lengths_out_of_range_are_faults)
{
    const float x[] = {1, 2}, one[] = {1};
    const int32_t lengths[] = {3};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 2, 1, 1), TENSOR(DTYPE_F32, one, 3, 1, 1, 1),
                                         TENSOR(DTYPE_F32, one, 3, 1, 1, 1), ABSENT, TENSOR(DTYPE_I32, lengths, 1, 1)};
    expect_refusal(STATUS_FAULT, "sequence length 3", "RNN", 5, inputs, 0, NULL);
}
END_TEST

START_TEST(the_reset_gate_acts_before_or_after)
{
    const float x[] = {1}, w[] = {0, 0, 1}, r[] = {0, 0, 1}, bias[] = {0.5f, 2, 0, 0, 0, 3}, state[] = {10};
    const float before[] = {17}, after[] = {18.5f}; /* 0.5 (1 + 2 * 10 + 3) + 5; 0.5 (1 + 2 (10 + 3)) + 5 */
    const struct attribute attributes[] = {names("activations", 2, identities), ATTRIBUTE_I("linear_before_reset", 1)};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, 1, 1),
                                         TENSOR(DTYPE_F32, w, 3, 1, 3, 1),
                                         TENSOR(DTYPE_F32, r, 3, 1, 3, 1),
                                         TENSOR(DTYPE_F32, bias, 2, 1, 6),
                                         ABSENT,
                                         TENSOR(DTYPE_F32, state, 3, 1, 1, 1)};
    struct test_tensor outputs[2];
    run("GRU", 6, inputs, 2, outputs, 1, attributes);
    expect_f32(&outputs[1], before, 1e-6, 3, 1, 1, 1);
    run("GRU", 6, inputs, 2, outputs, 2, attributes);
    expect_f32(&outputs[1], after, 1e-6, 3, 1, 1, 1);
}
END_TEST

/* i = 1 + 0.1 * 5, f = 3 + 0.3 * 5, c = 4: C = 5 f + i c, o = 2 + 0.2 C, H = o C. */
START_TEST(peepholes_coupled_gates_and_clipping)
{
    const float zero[] = {0, 0, 0, 0}, bias[] = {1, 2, 3, 4, 0, 0, 0, 0}, cell[] = {5},
                peepholes[] = {0.1f, 0.2f, 0.3f};
    static const struct {
        float h, c;
    } results[] = {{219.45f, 28.5f}, {9.45f, 3.5f}, {9, 19.5f}};
    const struct attribute variants[] = {ATTRIBUTE_I("input_forget", 0), ATTRIBUTE_I("input_forget", 1),
                                         ATTRIBUTE_F("clip", 3)};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, zero, 3, 1, 1, 1),
                                         TENSOR(DTYPE_F32, zero, 3, 1, 4, 1),
                                         TENSOR(DTYPE_F32, zero, 3, 1, 4, 1),
                                         TENSOR(DTYPE_F32, bias, 2, 1, 8),
                                         ABSENT,
                                         ABSENT,
                                         TENSOR(DTYPE_F32, cell, 3, 1, 1, 1),
                                         TENSOR(DTYPE_F32, peepholes, 2, 1, 3)};
    for (int i = 0; i < 3; i++) {
        const struct attribute attributes[] = {names("activations", 3, identities), variants[i]};
        struct test_tensor outputs[3];
        run("LSTM", 8, inputs, 3, outputs, 2, attributes);
        expect_f32(&outputs[1], &results[i].h, 1e-5, 3, 1, 1, 1);
        expect_f32(&outputs[2], &results[i].c, 1e-5, 3, 1, 1, 1);
    }
}
END_TEST

/* alpha and beta go to those functions that take them, in order; the others keep their defaults. */
START_TEST(parameters_of_activations)
{
    static const char *const both[] = {"LeakyRelu", "Affine"};
    const float x[] = {-2}, ones[] = {1, 1}, y[] = {-1, -5}, alphas[] = {0.5f, 3}, betas[] = {1};
    const struct attribute attributes[] = {
        ATTRIBUTE_TEXT("direction", "bidirectional"),
        names("activations", 2, both),
        {.name = "activation_alpha", .kind = ATTRIBUTE_FLOATS, .count = 2, .floats = alphas},
        {.name = "activation_beta", .kind = ATTRIBUTE_FLOATS, .count = 1, .floats = betas}};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, 1, 1), TENSOR(DTYPE_F32, ones, 3, 2, 1, 1),
                                         TENSOR(DTYPE_F32, ones, 3, 2, 1, 1)};
    struct test_tensor output;
    run("RNN", 3, inputs, 1, &output, 4, attributes);
    expect_f32(&output, y, 1e-6, 4, 1, 2, 1, 1);
}
END_TEST

START_TEST(cells_that_do_not_fit_are_refused)
{
    static const char *const unknown[] = {"Cube"};
    const float data[16] = {0};
    struct test_tensor inputs[] = {TENSOR(DTYPE_F32, data, 3, 1, 1, 2), TENSOR(DTYPE_F32, data, 3, 1, 4, 2),
                                   TENSOR(DTYPE_F32, data, 3, 1, 4, 1)};
    const struct attribute attributes[] = {names("activations", 1, unknown), ATTRIBUTE_TEXT("direction", "sideways"),
                                           ATTRIBUTE_I("hidden_size", 2)};
    expect_refusal(STATUS_INVALID_MODEL, "must name 3 functions", "LSTM", 3, inputs, 1, &attributes[0]);
    expect_refusal(STATUS_INVALID_MODEL, "'sideways'", "LSTM", 3, inputs, 1, &attributes[1]);
    expect_refusal(STATUS_INVALID_MODEL, "hidden_size is 2", "LSTM", 3, inputs, 1, &attributes[2]);
    inputs[1].dims[1] = 3;
    expect_refusal(STATUS_INVALID_MODEL, "it must be 1x4x2", "LSTM", 3, inputs, 0, NULL);
    inputs[1] = TENSOR(DTYPE_F32, data, 3, 1, 1, 2);
    inputs[2] = TENSOR(DTYPE_F32, data, 3, 1, 1, 1);
    expect_refusal(STATUS_INVALID_MODEL, "'Cube'", "RNN", 3, inputs, 1, &attributes[0]);
}
END_TEST

Suite *ops_rnn_suite(void)
{
    Suite *suite = suite_create("ops_rnn");
    TCase *tests = tcase_create("ops_rnn");
    tcase_add_test(tests, directions_lengths_and_layouts);
    tcase_add_test(tests, reverse_starts_from_the_initial_state);
    tcase_add_test(tests, lengths_out_of_range_are_faults);
    tcase_add_test(tests, the_reset_gate_acts_before_or_after);
    tcase_add_test(tests, peepholes_coupled_gates_and_clipping);
    tcase_add_test(tests, parameters_of_activations);
    tcase_add_test(tests, cells_that_do_not_fit_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
