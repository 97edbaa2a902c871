/* Copies that other steps do without, but never at the price of memory. */
#include "tests/step_test.h"
#include "tests/suites.h"

static struct value *begin(struct rig *rig, int rank, const int64_t *dims)
{
    rig_begin(rig);
    return rig_input(rig, rank, dims);
}

static void expect(struct rig *rig, struct value *output, const char *before, const char *after)
{
    rig_output(rig, output);
    rig_expect_steps(rig, before, after);
    rig_end(rig);
}

/* Adds a transposition of what is read once more before (16 KiB each), by what cannot read it turned; 32 KiB that live
 * on; and a reader of the transposition that writes where it lies. Without the copy, both lie
 * beside those 32 KiB. Steps: "RELU softmax copy RELU TANH softmax softmax". */
static void add_dear_copy(struct rig *rig)
{
    struct value *y = rig_op1(rig, "Relu", rig_input(rig, DIMS(64, 64)));
    rig_output(rig, rig_op1(rig, "Softmax", y));
    struct value *turned = rig_transpose(rig, y, DIMS(1, 0));
    struct value *large = rig_op1(rig, "Relu", rig_input(rig, DIMS(128, 64)));
    rig_output(rig, rig_op1(rig, "Softmax", rig_op1(rig, "Tanh", turned)));
    rig_output(rig, rig_op1(rig, "Softmax", large));
}
#define DEAR_COPY "RELU softmax copy RELU TANH softmax softmax"
#define CHEAP_COPY "RELU softmax RELU TANH softmax softmax" /* where others have taken as much before */

/* A copy that can go; and what has been tried in vain before leaves no trace. */
START_TEST(an_original_that_would_live_too_long)
{
    struct rig rig;
    begin(&rig, DIMS(1));
    add_dear_copy(&rig);
    struct value *y = rig_op1(&rig, "Relu", rig_input(&rig, DIMS(32, 32)));
    expect(&rig, rig_op1(&rig, "Abs", rig_transpose(&rig, y, DIMS(1, 0))), DEAR_COPY " RELU copy ABS",
           DEAR_COPY " RELU ABS");
}
END_TEST

/* The peak is what it is after the copies that have gone: 40 KiB and their copy, or their product. */
START_TEST(a_peak_that_has_become_lower)
{
    for (int lower = 0; lower < 2; lower++) {
        struct rig rig;
        struct value *x = begin(&rig, DIMS(100, 100)), *y = rig_op1(&rig, "Relu", x);
        rig_output(&rig, lower ? rig_op1(&rig, "Abs", rig_transpose(&rig, y, DIMS(1, 0)))
                               : rig_op1(&rig, "Softmax", rig_op2(&rig, "MatMul", y, y)));
        add_dear_copy(&rig);
        rig_expect_steps(&rig, NULL, lower ? "RELU ABS " DEAR_COPY : "RELU matmul softmax " CHEAP_COPY);
        rig_end(&rig);
    }
}
END_TEST

/* 16 KiB of which the caller sees a part are there to the end. */
START_TEST(what_outlives_the_steps_counts_to_the_end)
{
    for (int outlives = 0; outlives < 2; outlives++) {
        struct rig rig;
        struct value *x = begin(&rig, DIMS(96, 96)), *y = rig_op1(&rig, "Relu", x);
        rig_output(&rig, rig_op1(&rig, "Softmax", rig_op2(&rig, "MatMul", y, y)));
        struct value *kept = rig_op1(&rig, "Softmax", rig_input(&rig, DIMS(64, 64)));
        rig_output(&rig, outlives ? rig_slice(&rig, kept, 0, 1, 64, 1) : kept);
        add_dear_copy(&rig);
        rig_expect_steps(&rig, NULL,
                         outlives ? "RELU matmul softmax softmax " DEAR_COPY
                                  : "RELU matmul softmax softmax " CHEAP_COPY);
        rig_end(&rig);
    }
}
END_TEST

/* A step in between can no longer write where its input lies, just when 32 KiB are there that die with it. */
START_TEST(what_is_read_later_is_not_overwritten)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(64, 64)), *y = rig_op1(&rig, "Softmax", x);
    struct value *large = rig_op1(&rig, "Softmax", rig_input(&rig, DIMS(128, 64)));
    struct value *part = rig_slice(&rig, y, 1, 0, 4, 1),
                 *all = rig_op2(&rig, "Add", y, rig_slice(&rig, large, 0, 0, 64, 1));
    rig_output(&rig, rig_op1(&rig, "Neg", part));
    expect(&rig, rig_op1(&rig, "Softmax", all), "softmax softmax copy ADD NEG softmax",
           "softmax softmax copy ADD NEG softmax");
}
END_TEST

/* Two halves of 32 KiB, and 32 KiB more before they are read: the whole may stay instead of both, not of one. What is a
 * copy itself, and must stay, is none of them. */
START_TEST(all_copies_of_one_original_at_once)
{
    struct rig rig;
    struct value *parts[2], *whole = rig_op1(&rig, "Softmax", begin(&rig, DIMS(64, 128)));
    rig_split(&rig, whole, 1, 2, parts);
    struct value *large = rig_op1(&rig, "Relu", rig_input(&rig, DIMS(128, 64)));
    rig_output(&rig, rig_transpose(&rig, parts[0], DIMS(1, 0)));
    rig_output(&rig, rig_op1(&rig, "Tanh", parts[1]));
    expect(&rig, rig_op1(&rig, "Softmax", large), "softmax copy copy RELU copy TANH softmax",
           "softmax RELU copy TANH softmax");
}
END_TEST

/* The turned part is a copy of the whole too, once the part is none. */
START_TEST(a_copy_of_a_copy_among_them)
{
    struct rig rig;
    struct value *whole = rig_op1(&rig, "Softmax", begin(&rig, DIMS(64, 160)));
    struct value *first = rig_slice(&rig, whole, 1, 0, 64, 1), *turned = rig_transpose(&rig, first, DIMS(1, 0));
    struct value *second = rig_slice(&rig, whole, 1, 64, 128, 1);
    struct value *large = rig_op1(&rig, "Relu", rig_input(&rig, DIMS(192, 64)));
    rig_output(&rig, rig_op1(&rig, "Tanh", first));
    rig_output(&rig, rig_op1(&rig, "Abs", turned));
    rig_output(&rig, rig_op1(&rig, "Neg", second));
    expect(&rig, rig_op1(&rig, "Softmax", large), "softmax copy copy copy RELU TANH ABS NEG softmax",
           "softmax RELU TANH ABS NEG softmax");
}
END_TEST

Suite *passes_copies_memory_suite(void)
{
    Suite *suite = suite_create("passes_copies_memory");
    TCase *tests = tcase_create("live bytes");
    tcase_add_test(tests, an_original_that_would_live_too_long);
    tcase_add_test(tests, a_peak_that_has_become_lower);
    tcase_add_test(tests, what_outlives_the_steps_counts_to_the_end);
    tcase_add_test(tests, what_is_read_later_is_not_overwritten);
    tcase_add_test(tests, all_copies_of_one_original_at_once);
    tcase_add_test(tests, a_copy_of_a_copy_among_them);
    suite_add_tcase(suite, tests);
    return suite;
}
