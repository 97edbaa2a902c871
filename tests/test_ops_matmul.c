#include "kernels/matmul.h"
#include "tests/kernel_run.h"
#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *numbers(int64_t count, unsigned seed)
{
    float *list = calloc((size_t)count, sizeof *list);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        list[i] = (float)(int)(seed >> 24) / 64 - 2;
    }
    return list;
}

static const struct sizes {
    int64_t m, n, k;
} sizes[] = {{1, 1, 1}, {5, 3, 7}, {4, 256, 128}, {65, 257, 129}, {1, 300, 500}, {130, 1, 300}, {3, 4, 0}};

/* Every operand in its rows or in its columns, with gaps. */
START_TEST(strides_are_free)
{
    const struct sizes *s = &sizes[_i / 16];
    bool turn_a = _i & 1, turn_b = _i & 2, turn_c = _i & 4, add = _i & 8;
    int64_t m = s->m, n = s->n, k = s->k, gap = 3;
    struct matmul_params p = {.dtype = DTYPE_F32, .a_dtype = DTYPE_F32, .b_dtype = DTYPE_F32, .m = m, .n = n, .k = k};
    p.a = turn_a ? (struct matrix_strides){.row = 1, .column = m + gap}
                 : (struct matrix_strides){.row = k + gap, .column = 1};
    p.b = turn_b ? (struct matrix_strides){.row = 1, .column = k + gap}
                 : (struct matrix_strides){.row = n + gap, .column = 1};
    p.c = turn_c ? (struct matrix_strides){.row = 1, .column = m + gap}
                 : (struct matrix_strides){.row = n + gap, .column = 1};
    p.d = (struct matrix_strides){.row = 1, .column = 0};
    float *a = numbers((m + gap) * (k + gap), 1), *b = numbers((k + gap) * (n + gap), 2), *d = numbers(m, 3);
    float *c = calloc((size_t)((m + gap) * (n + gap)), sizeof *c);
    run_problem(FAMILY_matmul, &p, &plain_facts, (const void *[]){a, b, add ? d : NULL, NULL, NULL}, (void *[]){c});
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = add ? (double)d[i] : 0;
            for (int64_t x = 0; x < k; x++)
                sum += (double)a[i * p.a.row + x * p.a.column] * (double)b[x * p.b.row + j * p.b.column];
            ck_assert_double_eq_tol((double)c[i * p.c.row + j * p.c.column], sum, 1e-3);
        }
    free(a);
    free(b);
    free(c);
    free(d);
}
END_TEST

START_TEST(vectors_are_rows_on_the_left_and_columns_on_the_right)
{
    const float a[] = {1, 2, 3, 4}, v[] = {10, 100}, left[] = {310, 420}, right[] = {210, 430}, dot[] = {10100};
    struct test_tensor matrix = TENSOR(DTYPE_F32, a, 2, 2, 2), vector = TENSOR(DTYPE_F32, v, 1, 2);
    struct test_tensor y = run_simple("MatMul", 2, (struct test_tensor[]){vector, matrix}, 0, NULL);
    expect_f32(&y, left, 0, 1, 2);
    y = run_simple("MatMul", 2, (struct test_tensor[]){matrix, vector}, 0, NULL);
    expect_f32(&y, right, 0, 1, 2);
    y = run_simple("MatMul", 2, (struct test_tensor[]){vector, vector}, 0, NULL);
    expect_f32(&y, dot, 0, 0);
}
END_TEST

START_TEST(batches_broadcast_and_may_be_empty)
{
    const float a[] = {1, 2, 3, 4}, b[] = {1, 10, 100}, want[] = {1, 10, 100, 2, 20, 200, 3, 30, 300, 4, 40, 400};
    struct test_tensor inputs[] = {TENSOR(DTYPE_F32, a, 4, 4, 1, 1, 1), TENSOR(DTYPE_F32, b, 3, 3, 1, 1)};
    struct test_tensor y = run_simple("MatMul", 2, inputs, 0, NULL);
    expect_f32(&y, want, 0, 4, 4, 3, 1, 1);
    const float nothing[] = {0, 0};
    inputs[0] = TENSOR(DTYPE_F32, a, 2, 2, 0);
    inputs[1] = TENSOR(DTYPE_F32, b, 2, 0, 1);
    y = run_simple("MatMul", 2, inputs, 0, NULL);
    expect_f32(&y, nothing, 0, 2, 2, 1);
    inputs[0] = TENSOR(DTYPE_F32, a, 3, 0, 2, 2);
    inputs[1] = TENSOR(DTYPE_F32, b, 2, 2, 1);
    y = run_simple("MatMul", 2, inputs, 0, NULL);
    expect_f32(&y, NULL, 0, 3, 0, 2, 1);
}
END_TEST

START_TEST(a_nan_stays_in_its_row)
{
    const float a[] = {NAN, 0, 1, 0}, b[] = {1, 2, INFINITY, 3}, want[] = {NAN, NAN, NAN, 2};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, a, 2, 2, 2), TENSOR(DTYPE_F32, b, 2, 2, 2)};
    struct test_tensor y = run_simple("MatMul", 2, inputs, 0, NULL);
    expect_f32(&y, want, 0, 2, 2, 2); /* 0 * inf is a NaN as well */
}
END_TEST

START_TEST(integers_wrap)
{
    const int32_t a[] = {INT32_MAX, 2}, b[] = {2, 3}, want[] = {4};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_I32, a, 1, 2), TENSOR(DTYPE_I32, b, 1, 2)};
    struct test_tensor y = run_simple("MatMul", 2, inputs, 0, NULL);
    expect_bytes(&y, DTYPE_I32, want, 0);
}
END_TEST

START_TEST(gemm_turns_scales_and_adds)
{
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, 1, 0, 1, 1}, row[] = {10, 20}, column[] = {100, 200};
    const float plain[] = {14, 25, 20, 31}; /* A B^T + row */
    const float scaled[] = {52, 52.5f, 105, 105.5f};
    const struct attribute turn = ATTRIBUTE_I("transB", 1);
    const struct attribute all[] = {ATTRIBUTE_F("alpha", 0.5f), ATTRIBUTE_F("beta", 0.5f), ATTRIBUTE_I("transB", 1)};
    struct test_tensor inputs[] = {TENSOR(DTYPE_F32, a, 2, 2, 3), TENSOR(DTYPE_F32, b, 2, 2, 3),
                                   TENSOR(DTYPE_F32, row, 1, 2)};
    struct test_tensor y = run_simple("Gemm", 3, inputs, 1, &turn);
    expect_f32(&y, plain, 0, 2, 2, 2);
    inputs[2] = TENSOR(DTYPE_F32, column, 2, 2, 1);
    y = run_simple("Gemm", 3, inputs, 3, all);
    expect_f32(&y, scaled, 0, 2, 2, 2);
    inputs[2] = TENSOR(DTYPE_F32, column, 3, 1, 1, 2);
    expect_refusal(STATUS_INVALID_MODEL, "does not broadcast", "Gemm", 3, inputs, 1, &turn);
    expect_refusal(STATUS_INVALID_ARGUMENT, "rows of 3", "Gemm", 2, inputs, 0, NULL);
}
END_TEST

/* --- Einsum ---------------------------------------------------------------------------------------------- */

static struct test_tensor einsum(const char *equation, int count, const struct test_tensor *inputs)
{
    const struct attribute attribute = {
        .name = "equation", .kind = ATTRIBUTE_STRING, .count = strlen(equation), .string = equation};
    return run_simple("Einsum", count, inputs, 1, &attribute);
}

START_TEST(einsum_sums_what_the_result_lacks)
{
    const float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8}, v[] = {1, 10};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, a, 2, 2, 2), TENSOR(DTYPE_F32, b, 2, 2, 2),
                                         TENSOR(DTYPE_F32, v, 1, 2)};
    const float trace[] = {5}, diagonal[] = {1, 4}, turned[] = {1, 3, 2, 4}, product[] = {19, 22, 43, 50};
    const float chain[] = {239, 543}, cubes[] = {1, 8, 27, 64};
    struct test_tensor y = einsum("ii", 1, inputs);
    expect_f32(&y, trace, 0, 0);
    y = einsum("ii->i", 1, inputs);
    expect_f32(&y, diagonal, 0, 1, 2);
    y = einsum(" ba ", 1, inputs); /* the result is in the order of the alphabet */
    expect_f32(&y, turned, 0, 2, 2, 2);
    y = einsum("ij, jk", 2, inputs);
    expect_f32(&y, product, 0, 2, 2, 2);
    y = einsum("ij,jk,k->i", 3, inputs);
    expect_f32(&y, chain, 0, 1, 2);
    y = einsum("ij,ij,ij->ij", 3, (struct test_tensor[]){inputs[0], inputs[0], inputs[0]});
    expect_f32(&y, cubes, 0, 2, 2, 2);
}
END_TEST

START_TEST(einsum_broadcasts_ellipses)
{
    const float a[] = {1, 2, 3, 4}, b[] = {10, 100};
    const float want[] = {10, 20, 100, 200, 30, 40, 300, 400};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, a, 3, 2, 1, 2), TENSOR(DTYPE_F32, b, 1, 2)};
    struct test_tensor y = einsum("...i,...->...i", 2, inputs);
    expect_f32(&y, want, 0, 3, 2, 2, 2);
}
END_TEST

START_TEST(einsum_of_narrow_integers_wraps)
{
    const int8_t a[] = {100, 3}, b[] = {2, 5}, want[] = {-41};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_I8, a, 1, 2), TENSOR(DTYPE_I8, b, 1, 2)};
    struct test_tensor y = einsum("i,i->", 2, inputs);
    expect_bytes(&y, DTYPE_I8, want, 0);
}
END_TEST

START_TEST(equations_that_make_no_sense_are_refused)
{
    static const char *const equations[] = {"",       "ij,jk->", "ijk->i", "i->i",    "ij->ii", "ij->k",
                                            "ij->i,", "i.j->ij", "ij-i",   "......i", "i1->i"};
    const float a[4] = {0};
    const struct test_tensor input = TENSOR(DTYPE_F32, a, 2, 2, 2);
    for (size_t i = 0; i < sizeof equations / sizeof equations[0]; i++) {
        const struct attribute attribute = {
            .name = "equation", .kind = ATTRIBUTE_STRING, .count = strlen(equations[i]), .string = equations[i]};
        expect_refusal(STATUS_INVALID_MODEL, "does not fit its inputs", "Einsum", 1, &input, 1, &attribute);
    }
}
END_TEST

/* --- Det, 8-bit products --------------------------------------------------------------------------------- */

START_TEST(determinants_pivot)
{
    const float x[] = {0, 2, 3, 0, 1, 2, 2, 4}, want[] = {-6, 0}, one[] = {1};
    struct test_tensor input = TENSOR(DTYPE_F32, x, 3, 2, 2, 2), y = run_simple("Det", 1, &input, 0, NULL);
    expect_f32(&y, want, 1e-6, 1, 2);
    input = TENSOR(DTYPE_F32, x, 2, 0, 0);
    y = run_simple("Det", 1, &input, 0, NULL);
    expect_f32(&y, one, 0, 0);
    input = TENSOR(DTYPE_F32, x, 2, 2, 4);
    expect_refusal(STATUS_INVALID_ARGUMENT, "must be square", "Det", 1, &input, 0, NULL);
}
END_TEST

START_TEST(zero_points_of_rows_and_columns)
{
    const uint8_t a[] = {1, 2, 3, 4}, a_zero[] = {1, 3};
    const int8_t b[] = {1, 2, 3, 4}, b_zero[] = {-1, 1};
    const int32_t want[] = {4, 3, 4, 3};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_U8, a, 2, 2, 2), TENSOR(DTYPE_I8, b, 2, 2, 2),
                                         TENSOR(DTYPE_U8, a_zero, 1, 2), TENSOR(DTYPE_I8, b_zero, 1, 2)};
    struct test_tensor y = run_simple("MatMulInteger", 4, inputs, 0, NULL);
    expect_bytes(&y, DTYPE_I32, want, 2, 2, 2);
}
END_TEST

START_TEST(requantised_products_round_to_even_and_saturate)
{
    const int8_t a[] = {1, 3, 100, -100}, zero[] = {0}, y_zero[] = {1}, b[] = {1};
    const float half[] = {0.5f}, one[] = {1}, quarter[] = {0.25f};
    struct test_tensor scaled[] = {TENSOR(DTYPE_I8, a, 2, 4, 1), TENSOR(DTYPE_F32, half, 0, 0),
                                   TENSOR(DTYPE_I8, zero, 0, 0), TENSOR(DTYPE_I8, b, 2, 1, 1),
                                   TENSOR(DTYPE_F32, one, 0, 0), TENSOR(DTYPE_I8, zero, 0, 0),
                                   TENSOR(DTYPE_F32, one, 0, 0), TENSOR(DTYPE_I8, y_zero, 0, 0)};
    struct test_tensor y = run_simple("QLinearMatMul", 8, scaled, 0, NULL);
    const int8_t inside[] = {1, 3, 51, -49}; /* 0.5, 1.5 round to 0, 2; then comes the zero point */
    expect_bytes(&y, DTYPE_I8, inside, 2, 4, 1);
    scaled[6].data = quarter; /* doubles instead of halving */
    y = run_simple("QLinearMatMul", 8, scaled, 0, NULL);
    const int8_t beyond[] = {3, 7, 127, -128};
    expect_bytes(&y, DTYPE_I8, beyond, 2, 4, 1);
}
END_TEST

/* Numbers of 8 bits are multiplied by the scale of their column; more of them are stretches of a panel. */
START_TEST(scales_of_columns)
{
    const float a[] = {1, 2, 3, -1}, scales[] = {0.5f, 2, 4}, two[] = {2};
    const int8_t b[] = {1, 2, -128, 3, -4, 127};
    const uint8_t large[] = {1, 2, 128, 3, 252, 127};
    struct test_tensor in[] = {TENSOR(DTYPE_F32, a, 2, 2, 2), TENSOR(DTYPE_I8, b, 2, 2, 3),
                               TENSOR(DTYPE_F32, scales, 1, 3)};
    struct test_tensor out[1];
    const float y[] = {3.5f, -12, 504, 0, 20, -2044};
    RUN_OP(in, out, .domain = OWN_DOMAIN, .op = "MatMulScaled");
    expect_f32(&out[0], y, 0, 2, 2, 3);
    in[1] = TENSOR(DTYPE_U8, large, 2, 2, 3);
    in[2] = TENSOR(DTYPE_F32, two, 0, 0);
    const float z[] = {14, 1012, 764, 0, -492, 514};
    RUN_OP(in, out, .domain = OWN_DOMAIN, .op = "MatMulScaled");
    expect_f32(&out[0], z, 0, 2, 2, 3);
    in[2] = TENSOR(DTYPE_F32, scales, 1, 2);
    REFUSED(STATUS_INVALID_MODEL, "2 scales are none for each of 3 columns", in, .domain = OWN_DOMAIN,
            .op = "MatMulScaled");
}
END_TEST

Suite *ops_matmul_suite(void)
{
    const int count = (int)(sizeof sizes / sizeof sizes[0]);
    Suite *suite = suite_create("ops_matmul");
    TCase *tests = tcase_create("ops_matmul");
    tcase_add_loop_test(tests, strides_are_free, 0, count * 16);
    tcase_add_test(tests, vectors_are_rows_on_the_left_and_columns_on_the_right);
    tcase_add_test(tests, batches_broadcast_and_may_be_empty);
    tcase_add_test(tests, a_nan_stays_in_its_row);
    tcase_add_test(tests, integers_wrap);
    tcase_add_test(tests, gemm_turns_scales_and_adds);
    tcase_add_test(tests, einsum_sums_what_the_result_lacks);
    tcase_add_test(tests, einsum_broadcasts_ellipses);
    tcase_add_test(tests, einsum_of_narrow_integers_wraps);
    tcase_add_test(tests, equations_that_make_no_sense_are_refused);
    tcase_add_test(tests, determinants_pivot);
    tcase_add_test(tests, zero_points_of_rows_and_columns);
    tcase_add_test(tests, scales_of_columns);
    tcase_add_test(tests, requantised_products_round_to_even_and_saturate);
    suite_add_tcase(suite, tests);
    return suite;
}
