/* Reference kernels on a few random problems each, against the definitions of their families: what check-kernels does
 * with every kernel and more problems. */
#include "tests/kernels/harness.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

#define PROBLEMS 4
#define SHARES 16 /* a process for so many shares of the kernels */

START_TEST(do_what_their_families_say)
{
    static const struct kernel *list[1024];
    size_t count = 0;
    for (size_t i = 0; kernel_at(i); i++)
        if (i % SHARES == (size_t)_i && strstr(kernel_at(i)->name, "reference"))
            list[count++] = kernel_at(i);
    ck_assert_uint_lt(count, sizeof list / sizeof list[0]);
    struct harness harness = {
        .kernels = list, .fences = &page_fences, .seed = 1, .only = -1, .problems = PROBLEMS, .quiet = true};
    harness_run(&harness);
    ck_assert_msg(harness.failed == 0, "%s", harness.last);
    ck_assert_int_ge(harness.passed, (int64_t)count);
}
END_TEST

START_TEST(the_first_that_fits_is_selected)
{
    struct region region;
    struct problem problem;
    region_init(&region, &default_allocator);
    for (size_t listed = 0; listed < listed_problem_count(); listed++) {
        listed_problem_make(listed, &region, &problem);
        for (enum isa isa = ISA_REFERENCE; isa <= ISA_AVX512; isa++) {
            const struct kernel_facts facts = {
                .cpu = isa_bits(isa), .threads = 1, .constant_inputs = problem_constants(&problem)};
            size_t first = 0;
            while (kernel_at(first) && !kernel_fits(kernel_at(first), problem.family, problem.params, &facts))
                first++;
            ck_assert_ptr_eq(kernel_select(problem.family, problem.params, &facts), kernel_at(first));
        }
    }
    region_free(&region);
}
END_TEST

Suite *kernels_suite(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tests = tcase_create("kernels");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, the_first_that_fits_is_selected);
    tcase_add_loop_test(tests, do_what_their_families_say, 0, SHARES);
    suite_add_tcase(suite, tests);
    return suite;
}
