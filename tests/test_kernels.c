/* Kernels on a few random problems each, against the definitions of their families: what check-kernels does with more
 * problems, and with every set of instructions. */
#include "tests/kernels/harness.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

#define SHARES 16 /* a process for so many shares of the kernels */
#define MOST 256  /* kernels of a share */

struct share {
    const struct kernel *list[MOST + 1];
    size_t count;
};

static void add(struct share *share, const struct kernel *kernel)
{
    ck_assert_uint_lt(share->count, MOST);
    share->list[share->count++] = kernel;
}

static bool runs_here(const struct kernel *kernel)
{
    return !(kernel->requires & ~cpu_detect());
}

static void run_share(const struct share *share, int problems)
{
    struct harness harness = {.kernels = share->list,
                              .fences = &page_fences,
                              .cpu = cpu_detect(),
                              .seed = 1,
                              .only = -1,
                              .problems = problems,
                              .quiet = true};
    harness_run(&harness);
    ck_assert_msg(harness.failed == 0, "%s", harness.last);
    ck_assert_int_ge(harness.passed, (int64_t)share->count);
}

START_TEST(do_what_their_families_say)
{
    struct share share = {.count = 0};
    for (size_t i = (size_t)_i; kernel_at(i); i += SHARES)
        if (strstr(kernel_at(i)->name, "reference"))
            add(&share, kernel_at(i));
    run_share(&share, 4);
}
END_TEST

/* Vector code for 16 lanes of plain C: what AVX-512 does, on any machine. */
#define VECTOR_KERNEL(name) extern const struct kernel name##_plain;
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL

static const struct kernel *with_16_lanes(const struct kernel *kernel)
{
    static const struct kernel *const plain[] = {
#define VECTOR_KERNEL(name) &name##_plain,
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL
    };
    for (size_t i = 0; kernel_at(i); i++)
        if (kernel_at(i) != kernel && kernels_are_twins(kernel_at(i), kernel) && runs_here(kernel_at(i)))
            return kernel_at(i);
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (kernels_are_twins(plain[i], kernel))
            return plain[i];
    ck_abort_msg("%s has no twin", kernel->name);
}

/* One source for all sets of instructions: with 8 lanes and with 16, which must agree to the bit. */
START_TEST(so_do_those_in_vectors)
{
    struct share share = {.count = 0};
    for (size_t i = (size_t)_i; kernel_at(i); i += SHARES)
        if (strstr(kernel_at(i)->name, "avx2") && runs_here(kernel_at(i))) {
            add(&share, kernel_at(i));
            add(&share, with_16_lanes(kernel_at(i)));
        }
    run_share(&share, 12);
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

/* Each item is in one task, and the first of several equal shares of the tasks has that share of the items. */
START_TEST(tasks_share_items_evenly)
{
    for (int64_t total = 1; total < 70; total++)
        for (int tasks = 1; tasks <= 24; tasks++) {
            int64_t first, last, end = 0;
            for (int task = 0; task < tasks; task++, end = last) {
                task_range(total, tasks, task, &first, &last);
                ck_assert_int_eq(first, end);
                ck_assert_int_ge(last, first);
                for (int share = 2; share <= 4 && tasks % share == 0; share++)
                    ck_assert(task * share != tasks || first == total / share);
            }
            ck_assert_int_eq(end, total);
        }
}
END_TEST

START_TEST(threads_get_as_many_tasks)
{
    ck_assert_int_eq(task_count_shared(9, 1, 2), 9); /* there is no tenth */
    ck_assert_int_eq(task_count_shared(10, 1, 2), 10);
    ck_assert_int_eq(task_count_shared(40, 6, 4), 8);
    ck_assert_int_eq(task_count_shared(40, 30, 4), 1); /* not worth sharing out */
    ck_assert_int_eq(task_count_shared(100000, 1, 3), 258);
}
END_TEST

Suite *kernels_suite(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tests = tcase_create("kernels");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, the_first_that_fits_is_selected);
    tcase_add_test(tests, tasks_share_items_evenly);
    tcase_add_test(tests, threads_get_as_many_tasks);
    tcase_add_loop_test(tests, do_what_their_families_say, 0, SHARES);
    tcase_add_loop_test(tests, so_do_those_in_vectors, 0, SHARES);
    suite_add_tcase(suite, tests);
    return suite;
}
