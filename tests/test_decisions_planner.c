/* Where the memory planner puts the buffers of random and hard instances, for several limits of its search: plans, and
 * searches that end sooner or later than they did, are compared with a table. */
#include "formats/hash.h"
#include "tests/decisions.h"
#include "tests/planner/instances.h"
#include "tests/suites.h"

#include <check.h>
#include <inttypes.h>

#define HARD 40
#define RANDOM 80
#define MOST 512

static void add_plans(FILE *file, const char *label, int number, size_t count, const struct buffer *buffers)
{
    static const uint64_t limits[] = {0, 100, 2000, 20000};
    fprintf(file, "%s %d:", label, number);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        size_t offsets[MOST];
        struct plan plan;
        ck_assert_int_eq(plan_memory(&default_allocator, count, buffers, limits[i], offsets, &plan, NULL), STATUS_OK);
        fprintf(file, " %zu%s %08" PRIx32, plan.height, plan.optimal ? "!" : "",
                (uint32_t)xxh64(offsets, count * sizeof *offsets, 0));
    }
    fputc('\n', file);
}

/* Of other sizes and lifetimes than those of networks: some of each kind long, large, aligned, or where they must be.
 */
static size_t make_random(uint64_t seed, struct buffer *buffers)
{
    uint64_t state = seed;
    size_t count = 2 + below(&state, 60);
    int64_t steps = 2 + (int64_t)below(&state, 40), fixed = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t lower = (int64_t)below(&state, (uint64_t)steps),
                life = 1 + (int64_t)below(&state, below(&state, 4) ? 5 : 40);
        buffers[i] = (struct buffer){lower, lower + life, below(&state, below(&state, 5) ? 20 : 200) * 16,
                                     (size_t)16 << below(&state, 3), PLANNER_FREE};
        if (below(&state, 12) == 0) { /* one above the other, so that none collide */
            buffers[i].fixed = align_up((size_t)fixed, 64);
            fixed = (int64_t)(buffers[i].fixed + buffers[i].bytes);
        }
    }
    return count;
}

START_TEST(plans)
{
    struct decisions decisions;
    struct buffer buffers[MOST];
    size_t height;
    decisions_begin(&decisions, "planner");
    for (int i = 0; i < HARD; i++)
        add_plans(decisions.file, "hard", i, cut_instance(3000 + (uint64_t)i, buffers, &height), buffers);
    for (int i = 0; i < RANDOM; i++)
        add_plans(decisions.file, "random", i, make_random(4000 + (uint64_t)i, buffers), buffers);
    decisions_end(&decisions);
}
END_TEST

Suite *decisions_planner_suite(void)
{
    Suite *suite = suite_create("decisions_planner");
    TCase *tests = tcase_create("decisions");
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, plans);
    suite_add_tcase(suite, tests);
    return suite;
}
