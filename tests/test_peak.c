/* The largest sum over the steps, against sums kept one by one. */
#include "graph/steps/peak.h"
#include "tests/suites.h"

#define MOST_STEPS 70

static void expect_most(const struct peak *peak, const int64_t *sums)
{
    int64_t most = sums[0];
    for (int s = 1; s < peak->count; s++)
        most = sums[s] > most ? sums[s] : most;
    ck_assert_int_eq(peak_most(peak), most);
}

START_TEST(sums_of_ranges)
{
    uint64_t state = 1;
    for (int count = 1; count <= MOST_STEPS; count++) {
        struct region region;
        struct peak peak;
        int64_t sums[MOST_STEPS] = {0};
        region_init(&region, &default_allocator);
        ck_assert(peak_begin(&peak, count, &region));
        ck_assert_int_eq(peak_most(&peak), 0);
        for (int i = 0; i < 300; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            int first = (int)((state >> 33) % (unsigned)count),
                last = first + (int)((state >> 43) % (unsigned)(count - first));
            int64_t bytes = (int64_t)((state >> 53) % 1000) - 500;
            peak_add(&peak, first, last, bytes);
            for (int s = first; s <= last; s++)
                sums[s] += bytes;
            expect_most(&peak, sums);
        }
        region_free(&region);
    }
}
END_TEST

START_TEST(what_was_added_can_be_taken_off)
{
    struct region region;
    struct peak peak;
    region_init(&region, &default_allocator);
    ck_assert(peak_begin(&peak, 13, &region));
    peak_add(&peak, 0, 12, INT64_MAX / 2); /* of sums that are almost all of memory */
    peak_add(&peak, 3, 7, INT64_MAX / 2);
    ck_assert_int_eq(peak_most(&peak), INT64_MAX - 1);
    peak_add(&peak, 3, 7, -(INT64_MAX / 2));
    ck_assert_int_eq(peak_most(&peak), INT64_MAX / 2);
    peak_add(&peak, 0, 12, -(INT64_MAX / 2));
    ck_assert_int_eq(peak_most(&peak), 0);
    region_free(&region);
}
END_TEST

Suite *peak_suite(void)
{
    Suite *suite = suite_create("peak");
    TCase *tests = tcase_create("sums over steps");
    tcase_add_test(tests, sums_of_ranges);
    tcase_add_test(tests, what_was_added_can_be_taken_off);
    suite_add_tcase(suite, tests);
    return suite;
}
