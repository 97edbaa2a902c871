#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

#define MANY 20000

static const int64_t many[] = {MANY};
static float zeros[MANY];

/* Mean and variance, each within a tolerance that 20,000 draws stay in by five standard deviations. */
static void expect_moments(const struct test_tensor *tensor, double mean, double variance, double tolerance)
{
    const float *x = tensor->data;
    double sum = 0, squares = 0;
    for (int i = 0; i < MANY; i++)
        sum += (double)x[i];
    for (int i = 0; i < MANY; i++)
        squares += ((double)x[i] - sum / MANY) * ((double)x[i] - sum / MANY);
    ck_assert_double_eq_tol(sum / MANY, mean, tolerance);
    ck_assert_double_eq_tol(squares / MANY, variance, tolerance);
}

static void draw(const char *op, int count, const struct attribute *attributes, struct test_tensor *out)
{
    run_op(&(struct op_call){
        .op = op, .output_count = 1, .outputs = out, .attribute_count = count, .attributes = attributes});
}

START_TEST(numbers_have_their_moments)
{
    const struct attribute uniform[] = {ATTRIBUTE_LIST("shape", 1, many), ATTRIBUTE_F("low", -1),
                                        ATTRIBUTE_F("high", 3)};
    const struct attribute normal[] = {ATTRIBUTE_LIST("shape", 1, many), ATTRIBUTE_F("mean", 2),
                                       ATTRIBUTE_F("scale", 0.5f)};
    struct test_tensor out;
    draw("RandomUniform", 3, uniform, &out);
    expect_moments(&out, 1, 16.0 / 12, 0.06);
    for (int i = 0; i < MANY; i++)
        ck_assert(((const float *)out.data)[i] >= -1 && ((const float *)out.data)[i] < 3);
    draw("RandomNormal", 3, normal, &out);
    expect_moments(&out, 2, 0.25, 0.03);
}
END_TEST

START_TEST(seeds_tell_runs_apart_and_repeat)
{
    struct attribute first[] = {ATTRIBUTE_LIST("shape", 1, many), ATTRIBUTE_F("seed", 1)};
    struct attribute second[] = {ATTRIBUTE_LIST("shape", 1, many), ATTRIBUTE_F("seed", 2)};
    struct test_tensor a, b, c;
    draw("RandomUniform", 2, first, &a);
    draw("RandomUniform", 2, first, &b);
    draw("RandomUniform", 2, second, &c);
    ck_assert_mem_eq(a.data, b.data, MANY * sizeof(float));
    ck_assert_mem_ne(a.data, c.data, MANY * sizeof(float));
}
END_TEST

START_TEST(the_likes_follow_shape_and_type)
{
    const struct attribute wide[] = {ATTRIBUTE_I("dtype", DTYPE_F64)};
    struct test_tensor in[] = {F32(zeros, 2, 3, 5)}, out[1];
    RUN_OP(in, out, .op = "RandomNormalLike");
    ck_assert_int_eq(out[0].dtype, DTYPE_F32);
    RUN_OP(in, out, .op = "RandomUniformLike", ATTRIBUTES(wide));
    ck_assert_int_eq(out[0].dtype, DTYPE_F64);
    ck_assert(out[0].rank == 2 && out[0].dims[0] == 3 && out[0].dims[1] == 5);
    in[0] = F32(zeros, 2, 3, 0);
    RUN_OP(in, out, .op = "RandomUniformLike");
    ck_assert_int_eq(out[0].dims[1], 0);
}
END_TEST

START_TEST(bernoulli_is_sure_at_the_ends)
{
    const float p[] = {0, 1, 0, 1}, certain[] = {0, 1, 0, 1};
    static float half[MANY];
    for (int i = 0; i < MANY; i++)
        half[i] = 0.5f;
    struct test_tensor in[] = {F32(p, 1, 4)}, out[1];
    RUN_OP(in, out, .op = "Bernoulli");
    expect_f32(&out[0], certain, 0, 1, 4);
    in[0] = F32(half, 1, MANY);
    RUN_OP(in, out, .op = "Bernoulli");
    expect_moments(&out[0], 0.5, 0.25, 0.02);
}
END_TEST

START_TEST(multinomial_follows_the_weights)
{
    const float logits[] = {logf(1), logf(3), -INFINITY};
    const struct attribute samples[] = {ATTRIBUTE_I("sample_size", MANY)};
    struct test_tensor in[] = {F32(logits, 2, 1, 3)}, out[1];
    RUN_OP(in, out, .op = "Multinomial", ATTRIBUTES(samples));
    ck_assert(out[0].dtype == DTYPE_I32 && out[0].dims[1] == MANY);
    int counts[3] = {0};
    for (int i = 0; i < MANY; i++)
        counts[((const int32_t *)out[0].data)[i]]++;
    ck_assert_double_eq_tol(counts[1], 0.75 * MANY, 400);
    ck_assert_int_eq(counts[2], 0);
}
END_TEST

START_TEST(dropout_lets_all_pass_unless_it_trains)
{
    const float x[] = {1, -2, 3}, ratio[] = {0.25f};
    const uint8_t all[] = {1, 1, 1}, yes = 1;
    struct test_tensor in[] = {F32(x, 1, 3), SCALAR(DTYPE_F32, ratio)}, out[2];
    RUN_OP(in, out, .op = "Dropout");
    expect_f32(&out[0], x, 0, 1, 3);
    expect_bytes(&out[1], DTYPE_BOOL, all, 1, 3);
    static float ones[MANY];
    for (int i = 0; i < MANY; i++)
        ones[i] = 1;
    struct test_tensor trained[] = {F32(ones, 1, MANY), in[1], SCALAR(DTYPE_BOOL, &yes)};
    RUN_OP(trained, out, .op = "Dropout");
    expect_moments(&out[0], 1, 1 / 3.0, 0.03); /* kept with 3/4, then scaled by 4/3 */
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(((const float *)out[0].data)[i] != 0, ((const uint8_t *)out[1].data)[i]);
}
END_TEST

Suite *ops_random_suite(void)
{
    Suite *suite = suite_create("ops_random");
    TCase *tests = tcase_create("ops_random");
    tcase_add_test(tests, numbers_have_their_moments);
    tcase_add_test(tests, seeds_tell_runs_apart_and_repeat);
    tcase_add_test(tests, the_likes_follow_shape_and_type);
    tcase_add_test(tests, bernoulli_is_sure_at_the_ends);
    tcase_add_test(tests, multinomial_follows_the_weights);
    tcase_add_test(tests, dropout_lets_all_pass_unless_it_trains);
    suite_add_tcase(suite, tests);
    return suite;
}
