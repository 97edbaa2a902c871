#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

START_TEST(topk_orders_ties_by_position_and_nan_above_all)
{
    const float x[] = {2, NAN, 3, 2, 3, -INFINITY}, largest[] = {NAN, 3, 3, 2}, smallest[] = {-INFINITY, 2, 2, 3};
    const int64_t four[] = {4}, high[] = {1, 2, 4, 0}, low[] = {5, 0, 3, 2};
    const struct attribute up[] = {ATTRIBUTE_I("largest", 0)};
    struct test_tensor in[] = {F32(x, 1, 6), I64(four, 1, 1)}, out[2];
    RUN_OP(in, out, .op = "TopK");
    expect_f32(&out[0], largest, 0, 1, 4);
    expect_i64(&out[1], high, 1, 4);
    RUN_OP(in, out, .op = "TopK", ATTRIBUTES(up));
    expect_f32(&out[0], smallest, 0, 1, 4);
    expect_i64(&out[1], low, 1, 4);
}
END_TEST

START_TEST(topk_takes_any_axis_none_and_not_more_than_all)
{
    const int64_t x[] = {1, 6, 5, 2, 3, 4}, best[] = {5, 6}, where[] = {1, 0}, one[] = {1}, none[] = {0}, four[] = {4};
    const struct attribute first[] = {ATTRIBUTE_I("axis", 0)};
    struct test_tensor in[] = {I64(x, 2, 3, 2), I64(one, 1, 1)}, out[2];
    RUN_OP(in, out, .op = "TopK", ATTRIBUTES(first));
    expect_i64(&out[0], best, 2, 1, 2);
    expect_i64(&out[1], where, 2, 1, 2);
    in[1] = I64(none, 1, 1);
    RUN_OP(in, out, .op = "TopK", ATTRIBUTES(first));
    expect_i64(&out[0], best, 2, 0, 2);
    in[1] = I64(four, 1, 1);
    refuse_call(
        &(struct op_call){
            .op = "TopK", .inputs = in, .input_count = 2, .outputs = out, .output_count = 2, ATTRIBUTES(first)},
        STATUS_INVALID_ARGUMENT, "k is 4; the axis has 3 elements");
}
END_TEST

START_TEST(nonzero_lists_coordinates_by_axis)
{
    const float x[] = {0, 1, -0.0f, NAN, 0, 2};
    const int64_t found[] = {0, 1, 1, 1, 0, 2}, scalar[] = {0};
    struct test_tensor in[] = {F32(x, 2, 2, 3)}, out[1];
    RUN_OP(in, out, .op = "NonZero");
    expect_i64(&out[0], found, 2, 2, 3);
    in[0] = F32(x, 1, 1);
    RUN_OP(in, out, .op = "NonZero");
    expect_i64(&out[0], found, 2, 1, 0);
    in[0] = SCALAR(DTYPE_F32, &x[1]);
    RUN_OP(in, out, .op = "NonZero");
    expect_i64(&out[0], scalar, 2, 1, 1);
    in[0] = F32(x, 2, 2, 0);
    RUN_OP(in, out, .op = "NonZero");
    expect_i64(&out[0], found, 2, 2, 0);
}
END_TEST

START_TEST(unique_sorts_or_keeps_the_order)
{
    const float x[] = {2, NAN, 1, 2, NAN}, sorted[] = {1, 2, NAN}, kept[] = {2, NAN, 1};
    const int64_t sorted_first[] = {2, 0, 1}, sorted_inverse[] = {1, 2, 0, 1, 2}, sorted_counts[] = {1, 2, 2};
    const int64_t kept_first[] = {0, 1, 2}, kept_inverse[] = {0, 1, 2, 0, 1}, kept_counts[] = {2, 2, 1};
    const struct attribute unsorted[] = {ATTRIBUTE_I("sorted", 0)};
    struct test_tensor in[] = {F32(x, 1, 5)}, out[4];
    RUN_OP(in, out, .op = "Unique");
    expect_f32(&out[0], sorted, 0, 1, 3);
    expect_i64(&out[1], sorted_first, 1, 3);
    expect_i64(&out[2], sorted_inverse, 1, 5);
    expect_i64(&out[3], sorted_counts, 1, 3);
    RUN_OP(in, out, .op = "Unique", ATTRIBUTES(unsorted));
    expect_f32(&out[0], kept, 0, 1, 3);
    expect_i64(&out[1], kept_first, 1, 3);
    expect_i64(&out[2], kept_inverse, 1, 5);
    expect_i64(&out[3], kept_counts, 1, 3);
}
END_TEST

START_TEST(unique_compares_slices)
{
    const float x[] = {1, 0, 1, 2, 5, 2}, columns[] = {0, 1, 5, 2};
    const struct attribute axis[] = {ATTRIBUTE_I("axis", 1)};
    struct test_tensor in[] = {F32(x, 2, 2, 3)}, out[1];
    RUN_OP(in, out, .op = "Unique", ATTRIBUTES(axis));
    expect_f32(&out[0], columns, 0, 2, 2, 2);
    in[0] = F32(x, 2, 2, 0);
    RUN_OP(in, out, .op = "Unique", ATTRIBUTES(axis));
    expect_f32(&out[0], columns, 0, 2, 2, 0);
}
END_TEST

START_TEST(suppression_drops_overlapping_boxes)
{
    const float boxes[] = {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 1, 11, 0, 10}; /* the last by its other corners */
    const float scores[] = {0.7f, 0.9f, 0.5f}, overlap[] = {0.5f}, least[] = {0.6f};
    const int64_t ten[] = {10}, both[] = {0, 0, 1, 0, 0, 2}, best[] = {0, 0, 1};
    struct test_tensor in[] = {F32(boxes, 3, 1, 3, 4), F32(scores, 3, 1, 1, 3), I64(ten, 1, 1), F32(overlap, 1, 1)};
    struct test_tensor with_score[] = {in[0], in[1], in[2], in[3], F32(least, 1, 1)}, no_limit[] = {in[0], in[1]};
    struct test_tensor out[1];
    RUN_OP(in, out, .op = "NonMaxSuppression");
    expect_i64(&out[0], both, 2, 2, 3);
    RUN_OP(with_score, out, .op = "NonMaxSuppression");
    expect_i64(&out[0], best, 2, 1, 3);
    RUN_OP(no_limit, out, .op = "NonMaxSuppression"); /* the default is to select none */
    expect_i64(&out[0], best, 2, 0, 3);
}
END_TEST

START_TEST(one_hot_counts_negative_indices_from_the_end)
{
    const int64_t indices[] = {1, -1, 5}, depth[] = {3};
    const float values[] = {-1, 4}, hot[] = {-1, -1, -1, 4, -1, -1, -1, 4, -1};
    const struct attribute first[] = {ATTRIBUTE_I("axis", 0)};
    struct test_tensor in[] = {I64(indices, 1, 3), I64(depth, 1, 1), F32(values, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "OneHot", ATTRIBUTES(first));
    expect_f32(&out[0], hot, 0, 2, 3, 3);
}
END_TEST

START_TEST(trilu_takes_any_diagonal)
{
    const float x[] = {1, 2, 3, 4, 5, 6}, upper[] = {0, 2, 3, 0, 0, 6}, lower[] = {0, 0, 0, 4, 0, 0};
    const int64_t one[] = {1}, back[] = {-1}, far[] = {INT64_MAX};
    const struct attribute low[] = {ATTRIBUTE_I("upper", 0)};
    struct test_tensor in[] = {F32(x, 2, 2, 3), SCALAR(DTYPE_I64, one)}, out[1];
    RUN_OP(in, out, .op = "Trilu");
    expect_f32(&out[0], upper, 0, 2, 2, 3);
    in[1] = SCALAR(DTYPE_I64, back);
    RUN_OP(in, out, .op = "Trilu", ATTRIBUTES(low));
    expect_f32(&out[0], lower, 0, 2, 2, 3);
    in[1] = SCALAR(DTYPE_I64, far);
    RUN_OP(in, out, .op = "Trilu", ATTRIBUTES(low));
    expect_f32(&out[0], x, 0, 2, 2, 3);
}
END_TEST

START_TEST(running_sums_and_products)
{
    const float x[] = {1, 2, 3, 4}, sums[] = {1, 3, 6, 10}, before[] = {9, 7, 4, 0};
    const int64_t axis[] = {-1}, y[] = {2, 3, 4}, products[] = {1, 2, 6};
    const struct attribute back[] = {ATTRIBUTE_I("exclusive", 1), ATTRIBUTE_I("reverse", 1)};
    struct test_tensor in[] = {F32(x, 1, 4), SCALAR(DTYPE_I64, axis)}, out[1];
    RUN_OP(in, out, .op = "CumSum");
    expect_f32(&out[0], sums, 0, 1, 4);
    RUN_OP(in, out, .op = "CumSum", ATTRIBUTES(back));
    expect_f32(&out[0], before, 0, 1, 4);
    in[0] = I64(y, 1, 3);
    RUN_OP(in, out, .op = "CumProd", .attributes = back, .attribute_count = 1);
    expect_i64(&out[0], products, 1, 3);
}
END_TEST

Suite *ops_select_suite(void)
{
    Suite *suite = suite_create("ops_select");
    TCase *tests = tcase_create("ops_select");
    tcase_add_test(tests, topk_orders_ties_by_position_and_nan_above_all);
    tcase_add_test(tests, topk_takes_any_axis_none_and_not_more_than_all);
    tcase_add_test(tests, nonzero_lists_coordinates_by_axis);
    tcase_add_test(tests, unique_sorts_or_keeps_the_order);
    tcase_add_test(tests, unique_compares_slices);
    tcase_add_test(tests, suppression_drops_overlapping_boxes);
    tcase_add_test(tests, one_hot_counts_negative_indices_from_the_end);
    tcase_add_test(tests, trilu_takes_any_diagonal);
    tcase_add_test(tests, running_sums_and_products);
    suite_add_tcase(suite, tests);
    return suite;
}
