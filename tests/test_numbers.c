/* Constants in the hands of passes: each element as it would be read, computed on and rounded alone. */
#include "graph/passes/numbers.h"
#include "tests/step_test.h"
#include "tests/suites.h"

#include <math.h>

static const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64};
#define TYPES_COUNT ((int)(sizeof types / sizeof *types))
#define MOST_ELEMENTS 200

/* Numbers among which are NaN, infinities and denormals. */
static struct value fill(enum dtype dtype, double *room, int64_t count, uint64_t seed)
{
    fill_random(dtype, room, count, true, &seed);
    return (struct value){.dtype = dtype, .rank = 1, .dims = {count}, .data = room, .bytes = dtype_bytes(dtype, count)};
}

START_TEST(elements_are_read)
{
    double room[MOST_ELEMENTS], numbers[MOST_ELEMENTS];
    struct value value = fill(types[_i], room, MOST_ELEMENTS, 1);
    numbers_read(&value, 3, MOST_ELEMENTS - 3, numbers);
    for (int64_t i = 3; i < MOST_ELEMENTS; i++) {
        double number;
        ck_assert(value_number_at(&value, i, &number));
        ck_assert(same_elements(DTYPE_F64, &number, &numbers[i - 3], 1));
    }
}
END_TEST

START_TEST(largest_of_the_finite)
{
    double room[MOST_ELEMENTS];
    for (int64_t count = 0; count < MOST_ELEMENTS; count++) {
        struct value value = fill(types[_i], room, MOST_ELEMENTS, (uint64_t)count);
        int64_t first = (MOST_ELEMENTS - count) / 2;
        double most = 0, number;
        for (int64_t i = first; i < first + count; i++) {
            value_number_at(&value, i, &number);
            most = isfinite(number) && fabs(number) > most ? fabs(number) : most;
        }
        ck_assert_double_eq(numbers_largest(&value, first, count), most);
    }
}
END_TEST

/* Each row's sum in the order of its elements, whatever rows stand beside it. */
START_TEST(dots_of_rows)
{
    double room[MOST_ELEMENTS], t[9], sums[11], expected[11];
    struct value value = fill(DTYPE_F32, room, MOST_ELEMENTS, 3);
    for (int i = 0; i < 9; i++)
        t[i] = 1 / (i - 3.7);
    for (int64_t rows = 0; rows <= 11; rows++)
        for (int64_t length = 1; length <= 9; length++) {
            for (int64_t a = 0; a < rows; a++) {
                sums[a] = expected[a] = (double)a / 3;
                for (int64_t i = 0; i < length; i++)
                    expected[a] += (double)((const float *)value.data)[a * length + i] * t[i];
            }
            ck_assert(numbers_dots(&value, rows, length, t, sums));
            ck_assert(same_elements(DTYPE_F64, sums, expected, rows));
        }
    value.dtype = DTYPE_F64;
    ck_assert(!numbers_dots(&value, 1, 1, t, sums));
}
END_TEST

START_TEST(scaled_and_rounded_once)
{
    double room[MOST_ELEMENTS], expected[MOST_ELEMENTS], scaled[MOST_ELEMENTS], number;
    static const double factors[] = {1, -0.3, 1e-5, 1.0 / 3, 1e30, 0, INFINITY};
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
        struct value value = fill(types[_i], room, MOST_ELEMENTS, f);
        size_t each = dtype_bytes(value.dtype, 1);
        for (int64_t i = 0; i < MOST_ELEMENTS; i++) {
            value_number_at(&value, i, &number);
            number *= factors[f];
            numbers_write(value.dtype, expected, i, 1, &number);
        }
        memset(scaled, 0x55, sizeof scaled);
        numbers_scale(&value, 5, 131, factors[f], scaled);
        ck_assert(same_elements(value.dtype, (char *)expected + 5 * each, (char *)scaled + 5 * each, 131));
        for (size_t i = 0; i < sizeof scaled; i++)
            ck_assert((i >= 5 * each && i < 136 * each) || ((const unsigned char *)scaled)[i] == 0x55);
    }
}
END_TEST

Suite *numbers_suite(void)
{
    Suite *suite = suite_create("numbers");
    TCase *tests = tcase_create("each type");
    tcase_add_loop_test(tests, elements_are_read, 0, TYPES_COUNT);
    tcase_add_loop_test(tests, largest_of_the_finite, 0, TYPES_COUNT);
    tcase_add_test(tests, dots_of_rows);
    tcase_add_loop_test(tests, scaled_and_rounded_once, 0, TYPES_COUNT);
    suite_add_tcase(suite, tests);
    return suite;
}
