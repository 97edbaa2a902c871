#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

static const float six[] = {1, 2, 3, 4, 5, 6};

START_TEST(gather_takes_slices_by_index)
{
    const int64_t indices[] = {-1, 0, 0, 2};
    const int32_t narrow[] = {1};
    const float columns[] = {3, 1, 1, 3, 6, 4, 4, 6}, row[] = {4, 5, 6};
    const struct attribute last[] = {ATTRIBUTE_I("axis", -1)};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(indices, 2, 2, 2)}, out[1];
    RUN_OP(in, out, .op = "Gather", ATTRIBUTES(last));
    expect_f32(&out[0], columns, 0, 3, 2, 2, 2);
    in[1] = SCALAR(DTYPE_I32, narrow);
    RUN_OP(in, out, .op = "Gather");
    expect_f32(&out[0], row, 0, 1, 3);
    in[1] = I64(indices, 1, 0);
    RUN_OP(in, out, .op = "Gather");
    expect_f32(&out[0], row, 0, 2, 0, 3);
}
END_TEST

START_TEST(an_index_outside_is_a_fault)
{
    const int64_t high[] = {2}, low[] = {-3};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(high, 1, 1)};
    REFUSED(STATUS_FAULT, "index 2 is outside an axis of 2", in, .op = "Gather");
    in[1] = I64(low, 1, 1);
    REFUSED(STATUS_FAULT, "index -3 is outside an axis of 2", in, .op = "Gather");
    in[0] = F32(six, 2, 0, 3);
    REFUSED(STATUS_FAULT, "is outside an axis of 0", in, .op = "Gather");
}
END_TEST

START_TEST(gather_elements_replaces_one_coordinate)
{
    const int64_t indices[] = {0, 1, 1, -2};
    const float result[] = {1, 5, 4, 2};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(indices, 2, 2, 2)}, out[1];
    RUN_OP(in, out, .op = "GatherElements");
    expect_f32(&out[0], result, 0, 2, 2, 2);
}
END_TEST

START_TEST(gather_nd_takes_tuples_and_batches)
{
    const int64_t tuples[] = {1, 2, 0, -1}, per_batch[] = {2, 0};
    const float elements[] = {6, 3}, batched[] = {3, 4};
    const struct attribute batch[] = {ATTRIBUTE_I("batch_dims", 1)};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(tuples, 2, 2, 2)}, out[1];
    RUN_OP(in, out, .op = "GatherND");
    expect_f32(&out[0], elements, 0, 1, 2);
    in[1] = I64(per_batch, 2, 2, 1);
    RUN_OP(in, out, .op = "GatherND", ATTRIBUTES(batch));
    expect_f32(&out[0], batched, 0, 1, 2);
    in[1] = I64(tuples, 2, 1, 3);
    REFUSED(STATUS_INVALID_MODEL, "tuples have 3 entries", in, .op = "GatherND");
}
END_TEST

START_TEST(scatter_elements_reduces_repeated_places_in_order)
{
    static const struct {
        const char *name;
        float result[3];
    } cases[] = {{"none", {5, 2, 3}}, {"add", {10, 2, 3}}, {"mul", {20, 2, 3}}, {"min", {1, 2, 3}}, {"max", {5, 2, 3}}};
    const int64_t places[] = {0, -3};
    const float data[] = {1, 2, 3}, updates[] = {4, 5};
    for (int i = 0; i < COUNT(cases); i++) {
        const struct attribute reduction[] = {
            {.name = "reduction", .kind = ATTRIBUTE_STRING, .count = strlen(cases[i].name), .string = cases[i].name}};
        struct test_tensor in[] = {F32(data, 1, 3), I64(places, 1, 2), F32(updates, 1, 2)}, out[1];
        RUN_OP(in, out, .op = "ScatterElements", ATTRIBUTES(reduction));
        expect_f32(&out[0], cases[i].result, 0, 1, 3);
    }
}
END_TEST

START_TEST(scatter_keeps_nan_and_wraps_integers)
{
    const int64_t place[] = {0};
    const float nan[] = {NAN}, one[] = {1};
    const int8_t hundred[] = {100}, wrapped[] = {-56};
    const struct attribute max[] = {ATTRIBUTE_TEXT("reduction", "max")}, add[] = {ATTRIBUTE_TEXT("reduction", "add")};
    struct test_tensor in[] = {F32(nan, 1, 1), I64(place, 1, 1), F32(one, 1, 1)}, out[1];
    RUN_OP(in, out, .op = "ScatterElements", ATTRIBUTES(max));
    expect_f32(&out[0], nan, 0, 1, 1);
    in[0] = F32(one, 1, 1);
    in[2] = F32(nan, 1, 1);
    RUN_OP(in, out, .op = "ScatterElements", ATTRIBUTES(max));
    expect_f32(&out[0], nan, 0, 1, 1);
    in[0] = in[2] = TENSOR(DTYPE_I8, hundred, 1, 1);
    RUN_OP(in, out, .op = "ScatterElements", ATTRIBUTES(add));
    expect_bytes(&out[0], DTYPE_I8, wrapped, 1, 1);
}
END_TEST

START_TEST(scatter_nd_writes_rows)
{
    const int64_t rows[] = {1};
    const float update[] = {7, 8, 9}, result[] = {1, 2, 3, 7, 8, 9};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(rows, 2, 1, 1), F32(update, 2, 1, 3)}, out[1];
    RUN_OP(in, out, .op = "ScatterND");
    expect_f32(&out[0], result, 0, 2, 2, 3);
    in[1] = I64(rows, 2, 0, 1);
    in[2] = F32(update, 2, 0, 3);
    RUN_OP(in, out, .op = "ScatterND");
    expect_f32(&out[0], six, 0, 2, 2, 3);
    in[2] = F32(update, 2, 1, 2);
    REFUSED(STATUS_INVALID_ARGUMENT, "updates have 1 elements along axis 0", in, .op = "ScatterND");
}
END_TEST

START_TEST(tensor_scatter_goes_round)
{
    const float cache[] = {0, 0, 0, 0, 0, 0}, update[] = {1, 2, 3, 4}, result[] = {2, 0, 1, 0, 3, 4};
    const int64_t begin[] = {2, 1};
    const struct attribute circular[] = {ATTRIBUTE_TEXT("mode", "circular"), ATTRIBUTE_I("axis", 1)};
    const struct attribute linear[] = {ATTRIBUTE_I("axis", 1)};
    struct test_tensor in[] = {F32(cache, 2, 2, 3), F32(update, 2, 2, 2), I64(begin, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "TensorScatter", ATTRIBUTES(circular));
    expect_f32(&out[0], result, 0, 2, 2, 3);
    REFUSED(STATUS_FAULT, "index 3 is outside an axis of 3", in, .op = "TensorScatter", ATTRIBUTES(linear));
}
END_TEST

START_TEST(reverse_sequence_keeps_what_is_past_the_length)
{
    const int64_t lengths[] = {3, 1};
    const float result[] = {3, 2, 1, 4, 5, 6};
    const struct attribute rows[] = {ATTRIBUTE_I("batch_axis", 0), ATTRIBUTE_I("time_axis", 1)};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(lengths, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "ReverseSequence", ATTRIBUTES(rows));
    expect_f32(&out[0], result, 0, 2, 2, 3);
}
END_TEST

START_TEST(compress_may_keep_nothing)
{
    const uint8_t second[] = {0, 1}, none[] = {0, 0}, flat[] = {1, 0, 0, 0, 1};
    const float row[] = {4, 5, 6}, picked[] = {1, 5};
    const struct attribute axis[] = {ATTRIBUTE_I("axis", 0)};
    struct test_tensor in[] = {F32(six, 2, 2, 3), BOOL(second, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "Compress", ATTRIBUTES(axis));
    expect_f32(&out[0], row, 0, 2, 1, 3);
    in[1] = BOOL(none, 1, 2);
    RUN_OP(in, out, .op = "Compress", ATTRIBUTES(axis));
    expect_f32(&out[0], row, 0, 2, 0, 3);
    in[1] = BOOL(flat, 1, 5);
    RUN_OP(in, out, .op = "Compress");
    expect_f32(&out[0], picked, 0, 1, 2);
}
END_TEST

START_TEST(absurd_attributes_are_refused)
{
    const int64_t tuples[] = {0};
    const struct attribute low[] = {ATTRIBUTE_I("batch_dims", INT64_MIN)},
                           high[] = {ATTRIBUTE_I("batch_dims", INT64_MAX)};
    const struct attribute axis[] = {ATTRIBUTE_I("axis", INT64_MIN)};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(tuples, 2, 1, 1)};
    REFUSED(STATUS_INVALID_MODEL, "batch_dims is -9223372036854775808", in, .op = "GatherND", ATTRIBUTES(low));
    REFUSED(STATUS_INVALID_MODEL, "batch_dims is 9223372036854775807", in, .op = "GatherND", ATTRIBUTES(high));
    REFUSED(STATUS_INVALID_MODEL, "is outside a tensor of rank 2", in, .op = "Gather", ATTRIBUTES(axis));
}
END_TEST

Suite *ops_index_suite(void)
{
    Suite *suite = suite_create("ops_index");
    TCase *tests = tcase_create("ops_index");
    tcase_add_test(tests, gather_takes_slices_by_index);
    tcase_add_test(tests, an_index_outside_is_a_fault);
    tcase_add_test(tests, gather_elements_replaces_one_coordinate);
    tcase_add_test(tests, gather_nd_takes_tuples_and_batches);
    tcase_add_test(tests, scatter_elements_reduces_repeated_places_in_order);
    tcase_add_test(tests, scatter_keeps_nan_and_wraps_integers);
    tcase_add_test(tests, scatter_nd_writes_rows);
    tcase_add_test(tests, tensor_scatter_goes_round);
    tcase_add_test(tests, reverse_sequence_keeps_what_is_past_the_length);
    tcase_add_test(tests, compress_may_keep_nothing);
    tcase_add_test(tests, absurd_attributes_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
