#include "tests/op_test.h"
#include "tests/suites.h"

#include <math.h>
#include <stdlib.h>

static struct test_tensor fold(const char *op, const struct test_tensor *x, const int64_t *axes, int64_t count,
                               bool keep)
{
    const struct attribute attribute = ATTRIBUTE_I("keepdims", keep);
    const struct test_tensor inputs[] = {*x, TENSOR(DTYPE_I64, axes, 1, count)};
    struct test_tensor y;
    run_op(&(struct op_call){.op = op,
                             .input_count = axes ? 2 : 1,
                             .inputs = inputs,
                             .output_count = 1,
                             .outputs = &y,
                             .attribute_count = 1,
                             .attributes = &attribute,
                             .constants = 2});
    return y;
}

static const struct {
    const char *op;
    float of_two[2], of_none;
} folds[] = {
    {"ReduceSum", {-1, 1}, 0},
    {"ReduceMean", {-0.5f, 0.5f}, NAN},
    {"ReduceProd", {-12, -6}, 1},
    {"ReduceMax", {3, 3}, -INFINITY},
    {"ReduceMin", {-4, -2}, INFINITY},
    {"ReduceL1", {7, 5}, 0},
    {"ReduceL2", {5, 3.6055513f}, 0},
    {"ReduceSumSquare", {25, 13}, 0},
    {"ReduceLogSum", {NAN, 0}, -INFINITY},
    {"ReduceLogSumExp", {3.0009115f, 3.0067153f}, -INFINITY},
};

START_TEST(folds_of_each_axis_and_of_nothing)
{
    const float rows[] = {3, -4, 3, -2}, columns[] = {3, 3, -4, -2};
    const int64_t first = 0, last = -1;
    const struct test_tensor along = TENSOR(DTYPE_F32, rows, 2, 2, 2), across = TENSOR(DTYPE_F32, columns, 2, 2, 2);
    struct test_tensor y = fold(folds[_i].op, &along, &last, 1, false);
    expect_f32(&y, folds[_i].of_two, 1e-6, 1, 2);
    y = fold(folds[_i].op, &across, &first, 1, true);
    expect_f32(&y, folds[_i].of_two, 1e-6, 2, 1, 2);
    const struct test_tensor nothing = TENSOR(DTYPE_F32, rows, 2, 2, 0);
    const float twice[] = {folds[_i].of_none, folds[_i].of_none};
    y = fold(folds[_i].op, &nothing, &last, 1, false);
    expect_f32(&y, twice, 0, 1, 2);
    y = fold(folds[_i].op, &nothing, NULL, 0, false);
    expect_f32(&y, twice, 0, 0);
    y = fold(folds[_i].op, &nothing, &first, 1, false);
    expect_f32(&y, NULL, 0, 1, 0);
}
END_TEST

/* More outputs than a tile has, and axes folded on both sides of one that stays. */
START_TEST(inner_and_outer_axes_fold_together)
{
    enum { A = 3, B = 301, C = 5 };
    float *x = calloc(A * B * C, sizeof *x), want[B] = {0};
    for (int i = 0; i < A * B * C; i++) {
        x[i] = (float)(i % 97);
        want[i / C % B] += x[i];
    }
    const int64_t outer[] = {0, 2}, middle = 1;
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 3, A, B, C);
    struct test_tensor y = fold("ReduceSum", &input, outer, 2, false);
    expect_f32(&y, want, 0, 1, B);
    float sums[A * C] = {0};
    for (int i = 0; i < A * B * C; i++)
        sums[i / (B * C) * C + i % C] += x[i];
    y = fold("ReduceSum", &input, &middle, 1, false);
    expect_f32(&y, sums, 0, 2, A, C);
    free(x);
}
END_TEST

START_TEST(a_million_small_terms_add_up)
{
    const int64_t count = 1 << 20;
    float *x = malloc((size_t)count * sizeof *x), want = 104857.6f;
    for (int64_t i = 0; i < count; i++)
        x[i] = 0.1f;
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 1, count);
    struct test_tensor y = fold("ReduceSum", &input, NULL, 0, false);
    expect_f32(&y, &want, 1e-6, 0);
    free(x);
}
END_TEST

START_TEST(no_axes_may_mean_none_or_all)
{
    const float x[] = {1, -2}, all[] = {3}, each[] = {1, 2};
    const struct attribute none = ATTRIBUTE_I("noop_with_empty_axes", 1);
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 1, 2), scalar = TENSOR(DTYPE_F32, x, 0, 0);
    struct test_tensor y = run_simple("ReduceL1", 1, &input, 1, &none);
    expect_f32(&y, each, 0, 1, 2);
    y = run_simple("ReduceL1", 1, &input, 0, NULL);
    expect_f32(&y, all, 0, 1, 1);
    y = run_simple("ReduceL1", 1, &scalar, 0, NULL);
    expect_f32(&y, each, 0, 0);
}
END_TEST

START_TEST(axes_were_an_attribute_once)
{
    const float x[] = {1, 2, 3, 4}, want[] = {3, 7};
    const int64_t axis = 1, both[] = {1, -1};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("axes", 1, &axis), ATTRIBUTE_I("keepdims", 0)};
    const struct attribute twice = ATTRIBUTE_LIST("axes", 2, both);
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 2, 2, 2);
    struct test_tensor y = run_simple("ReduceSum", 1, &input, 2, attributes);
    expect_f32(&y, want, 0, 1, 2);
    expect_refusal(STATUS_INVALID_MODEL, "given twice", "ReduceSum", 1, &input, 1, &twice);
}
END_TEST

START_TEST(integers_keep_their_type)
{
    const int32_t x[] = {INT32_MAX, 1, -7, -2}, sums[] = {INT32_MIN, -9}, mean[] = {-4};
    const uint8_t flags[] = {0, 1, 0, 0}, any[] = {1, 0}, of_none[] = {1};
    const int64_t last = -1;
    const struct test_tensor input = TENSOR(DTYPE_I32, x, 2, 2, 2), booleans = TENSOR(DTYPE_BOOL, flags, 2, 2, 2);
    struct test_tensor y = fold("ReduceSum", &input, &last, 1, false);
    expect_bytes(&y, DTYPE_I32, sums, 1, 2);
    const struct test_tensor second = TENSOR(DTYPE_I32, x + 2, 1, 2);
    y = fold("ReduceMean", &second, &last, 1, false);
    expect_bytes(&y, DTYPE_I32, mean, 0);
    y = fold("ReduceMax", &booleans, &last, 1, false);
    expect_bytes(&y, DTYPE_BOOL, any, 1, 2);
    const struct test_tensor nothing = TENSOR(DTYPE_BOOL, flags, 1, 0);
    y = fold("ReduceMin", &nothing, &last, 1, false);
    expect_bytes(&y, DTYPE_BOOL, of_none, 0);
    expect_refusal(STATUS_UNSUPPORTED, "is bool", "ReduceSum", 1, &booleans, 0, NULL);
}
END_TEST

START_TEST(exponentials_neither_overflow_nor_vanish)
{
    const float large[] = {1000, 1000}, sum[] = {1000.6931f}, infinite[] = {-INFINITY, -INFINITY, INFINITY, 1};
    const float limits[] = {-INFINITY, INFINITY};
    const int64_t last = -1;
    const struct test_tensor input = TENSOR(DTYPE_F32, large, 1, 2), edges = TENSOR(DTYPE_F32, infinite, 2, 2, 2);
    struct test_tensor y = fold("ReduceLogSumExp", &input, &last, 1, false);
    expect_f32(&y, sum, 1e-6, 0);
    y = fold("ReduceLogSumExp", &edges, &last, 1, false);
    expect_f32(&y, limits, 0, 1, 2);
}
END_TEST

START_TEST(the_first_or_the_last_of_equals)
{
    const float x[] = {1, 5, 5, 0, 0, 2}, nan[] = {1, NAN, 7, NAN};
    const int64_t first[] = {1, 2}, last[] = {2, 2}, least[] = {0, 1}, nan_first[] = {1}, nan_last[] = {3};
    const struct attribute rows[] = {ATTRIBUTE_I("axis", -1), ATTRIBUTE_I("keepdims", 0),
                                     ATTRIBUTE_I("select_last_index", 1)};
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 2, 2, 3), broken = TENSOR(DTYPE_F32, nan, 1, 4);
    struct test_tensor y = run_simple("ArgMax", 1, &input, 2, rows);
    expect_i64(&y, first, 1, 2);
    y = run_simple("ArgMax", 1, &input, 3, rows);
    expect_i64(&y, last, 1, 2);
    y = run_simple("ArgMin", 1, &input, 3, rows);
    expect_i64(&y, least, 1, 2);
    y = run_simple("ArgMax", 1, &broken, 0, NULL);
    expect_i64(&y, nan_first, 1, 1);
    y = run_simple("ArgMin", 1, &broken, 3, rows);
    expect_i64(&y, nan_last, 0);
    const struct test_tensor nothing = TENSOR(DTYPE_F32, x, 1, 0);
    expect_refusal(STATUS_INVALID_ARGUMENT, "no elements to choose from", "ArgMax", 1, &nothing, 0, NULL);
}
END_TEST

/* Before opset 13 all axes from `axis` on were one. */
START_TEST(softmax_flattens_in_old_opsets)
{
    const float x[] = {0, 0, 0, 0}, flat[] = {0.25f, 0.25f, 0.25f, 0.25f}, along[] = {0.5f, 0.5f, 0.5f, 0.5f};
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 3, 1, 2, 2);
    for (int version = 11; version <= 13; version += 2) {
        struct test_tensor y;
        run_op(&(struct op_call){
            .op = "Softmax", .version = version, .input_count = 1, .inputs = &input, .output_count = 1, .outputs = &y});
        expect_f32(&y, version < 13 ? flat : along, 1e-6, 3, 1, 2, 2);
    }
}
END_TEST

START_TEST(softmax_of_large_and_of_infinite)
{
    const float x[] = {1e30f, 1e30f, -INFINITY, 0, NAN, 1}, soft[] = {0.5f, 0.5f, 0, 1, NAN, NAN};
    const float logarithms[] = {-0.69314718f, -0.69314718f, -INFINITY, 0, NAN, NAN}, hard[] = {1, 0, 0, 1, 1, 0};
    const struct test_tensor input = TENSOR(DTYPE_F32, x, 2, 3, 2);
    struct test_tensor y = run_simple("Softmax", 1, &input, 0, NULL);
    expect_f32(&y, soft, 1e-6, 2, 3, 2);
    y = run_simple("LogSoftmax", 1, &input, 0, NULL);
    expect_f32(&y, logarithms, 1e-6, 2, 3, 2);
    y = run_simple("Hardmax", 1, &input, 0, NULL);
    expect_f32(&y, hard, 0, 2, 3, 2);
    const struct test_tensor nothing = TENSOR(DTYPE_F32, x, 2, 3, 0);
    y = run_simple("Softmax", 1, &nothing, 0, NULL);
    expect_f32(&y, NULL, 0, 2, 3, 0);
}
END_TEST

Suite *ops_reduce_suite(void)
{
    Suite *suite = suite_create("ops_reduce");
    TCase *tests = tcase_create("ops_reduce");
    tcase_add_loop_test(tests, folds_of_each_axis_and_of_nothing, 0, (int)(sizeof folds / sizeof folds[0]));
    tcase_add_test(tests, inner_and_outer_axes_fold_together);
    tcase_add_test(tests, a_million_small_terms_add_up);
    tcase_add_test(tests, no_axes_may_mean_none_or_all);
    tcase_add_test(tests, axes_were_an_attribute_once);
    tcase_add_test(tests, integers_keep_their_type);
    tcase_add_test(tests, exponentials_neither_overflow_nor_vanish);
    tcase_add_test(tests, the_first_or_the_last_of_equals);
    tcase_add_test(tests, softmax_flattens_in_old_opsets);
    tcase_add_test(tests, softmax_of_large_and_of_infinite);
    suite_add_tcase(suite, tests);
    return suite;
}
