/* Ranges by the four methods, on distributions whose answer is known. */
#include "graph/quantize/range.h"
#include "tests/suites.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

/* Numbers that are uniform, or normal: by a fixed generator. */
static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

static double normal(uint64_t *state)
{
    return sqrt(-2 * log(1 - uniform(state))) * cos(6.283185307179586 * uniform(state));
}

static void see(struct observed *observed, double number)
{
    float x = (float)number;
    observe_numbers(observed, &x, 1);
}

START_TEST(what_is_seen_does_not_depend_on_the_order)
{
    static struct observed up, down;
    for (int i = -300; i <= 500; i++)
        see(&up, i * 0.013);
    for (int i = 500; i >= -300; i--)
        see(&down, i * 0.013);
    ck_assert_mem_eq(&up, &down, sizeof up);
    ck_assert_double_eq(up.reach, 8);
    ck_assert_double_eq_tol(up.least, -3.9, 1e-6);
    ck_assert_double_eq_tol(up.most, 6.5, 1e-6);
    uint64_t sum = 0;
    for (int i = 0; i < RANGE_BINS; i++)
        sum += up.bins[i];
    ck_assert_uint_eq(sum, 801);
    ck_assert_uint_eq(up.bins[RANGE_BINS / 2 + (int)(1.3 / 8 * RANGE_BINS / 2)], 1); /* 100 * 0.013 */
}
END_TEST

START_TEST(what_is_no_number_is_counted_apart)
{
    static struct observed seen;
    const float numbers[] = {1, NAN, INFINITY, -2, -INFINITY};
    observe_numbers(&seen, numbers, 5);
    ck_assert_uint_eq(seen.unusable, 3);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_double_eq(seen.least, -2);
    ck_assert_double_eq(seen.most, 1);
}
END_TEST

START_TEST(extremes_and_none)
{
    static struct observed seen, zeros, tiny;
    for (int method = RANGE_MINMAX; method <= RANGE_MSE; method++) {
        struct range nothing = choose_range(&seen, (enum range_method)method);
        ck_assert(nothing.low == 0 && nothing.high == 0);
    }
    see(&zeros, 0);
    struct quantum quantum = quantum_of(choose_range(&zeros, RANGE_MINMAX));
    ck_assert(quantum.scale == 1 && quantum.zero == 0);
    see(&tiny, 1e-42);
    see(&tiny, (double)3.4e38f);
    struct range range = choose_range(&tiny, RANGE_MINMAX);
    ck_assert(range.low == 0 && range.high == (double)3.4e38f);
    ck_assert_double_eq_tol((double)quantum_of(range).scale, 3.4e38 / 255, 1e33);
}
END_TEST

START_TEST(zero_is_exact)
{
    static const struct {
        struct range range;
        double scale;
        int zero;
    } cases[] = {{{0, 2.55}, 0.01, 0}, {{-1.28, 1.27}, 0.01, 128}, {{-2.55, 0}, 0.01, 255}, {{-0.5, 2.05}, 0.01, 50}};
    for (size_t i = 0; i < 4; i++) {
        struct quantum quantum = quantum_of(cases[i].range);
        ck_assert_double_eq_tol((double)quantum.scale, cases[i].scale, 1e-9);
        ck_assert_int_eq(quantum.zero, cases[i].zero);
    }
    ck_assert_float_eq(symmetric_scale(12.7, 127), 0.1f);
    ck_assert_float_eq(symmetric_scale(0, 127), 1);
}
END_TEST

/* 100,000 numbers of 0 to 1 and one of 50: the outlier is beyond the percentile, and both others leave it out. */
START_TEST(an_outlier)
{
    static struct observed seen;
    uint64_t state = 1;
    for (int i = 0; i < 100000; i++)
        see(&seen, uniform(&state));
    see(&seen, 50);
    ck_assert_double_eq(choose_range(&seen, RANGE_MINMAX).high, 50);
    /* A bin is 64 / 2048 wide. */
    ck_assert_double_eq_tol(choose_range(&seen, RANGE_PERCENTILE).high, 1, 0.04);
    ck_assert_double_lt(choose_range(&seen, RANGE_ENTROPY).high, 10);
    ck_assert_double_eq(choose_range(&seen, RANGE_PERCENTILE).low, 0);
    /* One error of 50 - h squared against 10^5 of h^2 / 255^2 / 12: least where h is 50 / (1 + 0.128). */
    ck_assert_double_eq_tol(choose_range(&seen, RANGE_MSE).high, 44.3, 0.5);
}
END_TEST

/* Of a normal distribution, 256 levels have their least squared error with the range cut near 3.9 deviations. */
START_TEST(a_normal_distribution)
{
    static struct observed seen;
    uint64_t state = 1;
    double most = 0;
    for (int i = 0; i < 1000000; i++) {
        double x = normal(&state);
        most = fmax(most, fabs(x));
        see(&seen, x);
    }
    struct range mse = choose_range(&seen, RANGE_MSE), percentile = choose_range(&seen, RANGE_PERCENTILE);
    ck_assert_double_gt(most, 4.5);
    ck_assert_double_eq_tol(mse.high, 3.95, 0.2);
    ck_assert_double_eq_tol(percentile.high, 3.89, 0.1); /* the quantile of 0.99995 */
    ck_assert_double_eq_tol(percentile.low, -3.89, 0.1);
}
END_TEST

START_TEST(methods_by_name)
{
    enum range_method method;
    ck_assert(range_method_from_name("entropy", &method) && method == RANGE_ENTROPY);
    ck_assert(range_method_from_name("mse", &method) && method == RANGE_MSE);
    ck_assert(!range_method_from_name("max", &method));
    for (int i = 0; i < RANGE_METHODS; i++)
        ck_assert(range_method_from_name(range_method_name((enum range_method)i), &method) && (int)method == i);
}
END_TEST

Suite *quantize_range_suite(void)
{
    Suite *suite = suite_create("quantize_range");
    TCase *ranges = tcase_create("ranges");
    tcase_add_test(ranges, what_is_seen_does_not_depend_on_the_order);
    tcase_add_test(ranges, what_is_no_number_is_counted_apart);
    tcase_add_test(ranges, extremes_and_none);
    tcase_add_test(ranges, zero_is_exact);
    tcase_add_test(ranges, an_outlier);
    tcase_add_test(ranges, a_normal_distribution);
    tcase_add_test(ranges, methods_by_name);
    suite_add_tcase(suite, ranges);
    return suite;
}
