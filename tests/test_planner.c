#include "graph/planner/planner.h"
#include "tests/planner/instances.h"
#include "tests/suites.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct buffer plain(int64_t lower, int64_t upper, size_t bytes)
{
    return (struct buffer){lower, upper, bytes, 1, PLANNER_FREE};
}

static bool meet(const struct buffer *a, const struct buffer *b)
{
    return a->bytes && b->bytes && a->lower < b->upper && b->lower < a->upper;
}

/* Everything the interface promises of a plan, except that it is optimal. */
static void check_plan(size_t count, const struct buffer *buffers, const size_t *offsets, const struct plan *plan)
{
    size_t unit = 0, bound = 0, height = 0;
    for (size_t i = 0; i < count; i++)
        if (buffers[i].bytes && (unit == 0 || buffers[i].alignment < unit))
            unit = buffers[i].alignment;
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(offsets[i] % buffers[i].alignment, 0);
        if (buffers[i].fixed != PLANNER_FREE)
            ck_assert_uint_eq(offsets[i], buffers[i].fixed);
        else if (buffers[i].bytes == 0)
            ck_assert_uint_eq(offsets[i], 0);
        if (buffers[i].bytes == 0)
            continue;
        size_t live = 0, end = offsets[i] + align_up(buffers[i].bytes, unit);
        for (size_t j = 0; j < count; j++) {
            if (buffers[j].lower <= buffers[i].lower && buffers[i].lower < buffers[j].upper)
                live += buffers[j].bytes ? align_up(buffers[j].bytes, unit) : 0;
            if (j < i && meet(&buffers[i], &buffers[j]))
                ck_assert(end <= offsets[j] || offsets[j] + align_up(buffers[j].bytes, unit) <= offsets[i]);
        }
        if (buffers[i].fixed != PLANNER_FREE && end > bound)
            bound = end;
        bound = live > bound ? live : bound;
        height = end > height ? end : height;
    }
    ck_assert_uint_eq(plan->lower_bound, bound);
    ck_assert_uint_eq(plan->height, height);
    ck_assert_uint_ge(plan->height, plan->lower_bound);
    ck_assert(plan->optimal || plan->height > plan->lower_bound);
}

#define MOST 512

static struct plan plan_checked(size_t count, const struct buffer *buffers, uint64_t nodes)
{
    size_t offsets[MOST], again[MOST];
    struct plan plan, second;
    struct error error = {0};
    ck_assert_uint_le(count, MOST);
    ck_assert_msg(plan_memory(&default_allocator, count, buffers, nodes, offsets, &plan, &error) == STATUS_OK, "%s",
                  error.text);
    check_plan(count, buffers, offsets, &plan);
    ck_assert_int_eq(plan_memory(&default_allocator, count, buffers, nodes, again, &second, &error), STATUS_OK);
    ck_assert_mem_eq(offsets, again, count * sizeof *offsets);
    return plan;
}

START_TEST(nothing_takes_nothing)
{
    struct plan plan = plan_checked(0, NULL, 0);
    ck_assert_uint_eq(plan.height, 0);
    ck_assert(plan.optimal);
    plan = plan_checked(1, (struct buffer[]){plain(0, 9, 0)}, 0);
    ck_assert_uint_eq(plan.height, 0);
    ck_assert(plan.optimal);
}
END_TEST

START_TEST(lifetimes_are_half_open)
{
    ck_assert_uint_eq(plan_checked(2, (struct buffer[]){plain(0, 3, 10), plain(3, 5, 7)}, 0).height, 10);
    ck_assert_uint_eq(plan_checked(2, (struct buffer[]){plain(0, 4, 10), plain(3, 5, 7)}, 0).height, 17);
    ck_assert_uint_eq(plan_checked(2, (struct buffer[]){plain(INT64_MIN, INT64_MAX, 10), plain(-1, 0, 7)}, 0).height,
                      17);
}
END_TEST

START_TEST(sizes_count_in_the_smallest_alignment)
{
    struct buffer buffers[] = {{0, 2, 100, 64, PLANNER_FREE}, {1, 3, 1, 64, PLANNER_FREE}};
    struct plan plan = plan_checked(2, buffers, 0);
    ck_assert_uint_eq(plan.height, 192);
    ck_assert(plan.optimal);
    buffers[0].alignment = 1; /* the second at 0, the first behind it */
    buffers[1].alignment = 256;
    plan = plan_checked(2, buffers, 0);
    ck_assert_uint_eq(plan.height, 101);
    ck_assert(plan.optimal);
}
END_TEST

START_TEST(fixed_offsets_are_kept)
{
    struct buffer buffers[] = {{0, 4, 64, 64, 128}, {1, 3, 128, 64, PLANNER_FREE}, {2, 5, 64, 64, PLANNER_FREE}};
    ck_assert_uint_eq(plan_checked(3, buffers, 0).height, 256);
    buffers[2].fixed = 0;
    ck_assert_uint_eq(plan_checked(3, buffers, 0).height, 320);
    buffers[2].bytes = 0;
    buffers[2].fixed = 640; /* of an empty buffer: kept, and no part of the height */
    ck_assert_uint_eq(plan_checked(3, buffers, 0).height, 192);
}
END_TEST

static void refuse(size_t count, const struct buffer *buffers, const char *reason)
{
    size_t offsets[4];
    struct plan plan;
    struct error error = {0};
    ck_assert_int_eq(plan_memory(&default_allocator, count, buffers, 100, offsets, &plan, &error),
                     STATUS_INVALID_ARGUMENT);
    ck_assert_msg(strstr(error.text, reason) != NULL, "'%s' does not say '%s'", error.text, reason);
}

START_TEST(what_cannot_be_planned_is_refused)
{
    refuse(1, (struct buffer[]){plain(3, 3, 1)}, "buffer 0 lives in [3, 3)");
    refuse(1, (struct buffer[]){{0, 1, 1, 0, PLANNER_FREE}}, "alignment 0");
    refuse(1, (struct buffer[]){{0, 1, 1, 48, PLANNER_FREE}}, "alignment 48");
    refuse(1, (struct buffer[]){{0, 1, 1, 64, 32}}, "fixed offset 32");
    refuse(2, (struct buffer[]){plain(0, 1, 1), plain(5, 6, SIZE_MAX - 2)}, "buffer 1");
    refuse(1, (struct buffer[]){{0, 1, 64, 64, SIZE_MAX - 63}}, "buffer 0");
    refuse(3, (struct buffer[]){{0, 2, 8, 8, 8}, {3, 4, 8, 8, 8}, {1, 2, 16, 8, 0}}, "buffers 0 and 2");
}
END_TEST

/* A chain of layers where every fourth output is used again three steps later. */
START_TEST(networks_are_solved_at_once)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t state = seed;
        struct buffer buffers[300];
        int64_t count = 20 + (int64_t)below(&state, 280);
        for (int64_t i = 0; i < count; i++) {
            int64_t life = i % 4 == 0 ? 4 : 2;
            buffers[i] = (struct buffer){i, i + life, (1 + below(&state, 64)) * 1024, 64, PLANNER_FREE};
        }
        ck_assert(plan_checked((size_t)count, buffers, 100000).optimal);
    }
}
END_TEST

/* Few moments and few sizes, so that ties, exact fits and coinciding ends are common. */
static size_t random_instance(uint64_t *state, struct buffer *buffers, size_t most, bool mixed)
{
    size_t count = 1 + below(state, most);
    int64_t steps = 1 + (int64_t)below(state, 2 * most);
    uint64_t sizes = 1 + below(state, below(state, 2) ? 8 : 100000);
    for (size_t i = 0; i < count; i++) {
        int64_t lower = (int64_t)below(state, (uint64_t)steps);
        int64_t life = 1 + (int64_t)below(state, below(state, 4) ? 4 : (uint64_t)steps);
        buffers[i] = plain(lower, lower + life, below(state, sizes) + below(state, 16) / 15);
        if (mixed)
            buffers[i].alignment = (size_t)1 << below(state, 7);
    }
    return count;
}

/* Gives some buffers the offsets they have in a valid plan, so that a plan exists. */
static void fix_some(uint64_t *state, struct buffer *buffers, size_t count)
{
    size_t offsets[MOST];
    struct plan plan;
    ck_assert_int_eq(plan_memory(&default_allocator, count, buffers, 0, offsets, &plan, NULL), STATUS_OK);
    for (size_t i = 0; i < count; i++)
        if (below(state, 5) == 0)
            buffers[i].fixed = offsets[i];
}

/* Cut instances with all that can be asked for, through every phase of the search. */
START_TEST(searches_keep_every_promise)
{
    for (uint64_t seed = 0; seed < 15; seed++) {
        struct buffer buffers[MOST_PIECES];
        uint64_t state = seed;
        size_t height, count = cut_instance(seed, buffers, &height);
        for (size_t i = 0; i < count && seed % 3; i++)
            buffers[i].alignment = (size_t)1 << below(&state, 9);
        if (seed % 3 != 1)
            fix_some(&state, buffers, count);
        ck_assert_uint_le(plan_checked(count, buffers, 60000).height, plan_checked(count, buffers, 0).height);
    }
}
END_TEST

static uint64_t instances(void)
{
    const char *text = getenv("INFER_PLANNER_INSTANCES");
    return text ? strtoull(text, NULL, 10) : 3000;
}

START_TEST(random_plans_keep_every_promise)
{
    struct buffer buffers[64];
    for (uint64_t seed = 0, last = instances(); seed < last; seed++) {
        uint64_t state = seed;
        size_t count = random_instance(&state, buffers, seed % 64 + 1, seed % 3 == 0);
        if (seed % 4 == 0)
            fix_some(&state, buffers, count);
        plan_checked(count, buffers, seed % 2 ? 500 : 0);
    }
}
END_TEST

/* The buffers in an order, each as low as the fixed ones and those before it let it. */
static size_t first_fit(size_t count, const struct buffer *buffers, const size_t *order)
{
    size_t offsets[8], height = 0;
    for (size_t n = 0; n < count; n++)
        offsets[n] = buffers[order[n]].fixed;
    for (size_t n = 0; n < count; n++) {
        const struct buffer *buffer = &buffers[order[n]];
        size_t offset = buffer->fixed == PLANNER_FREE ? 0 : buffer->fixed;
        for (size_t tries = 0; tries < count && buffer->fixed == PLANNER_FREE; tries++)
            for (size_t m = 0; m < count; m++) {
                const struct buffer *other = &buffers[order[m]];
                if (m != n && offsets[m] != PLANNER_FREE && meet(buffer, other) && offset < offsets[m] + other->bytes &&
                    offsets[m] < offset + buffer->bytes)
                    offset = align_up(offsets[m] + other->bytes, buffer->alignment);
            }
        offsets[n] = offset;
        height = offset + buffer->bytes > height ? offset + buffer->bytes : height;
    }
    return height;
}

/* Some order gives a least plan by first fit: that of its offsets, once nothing can be moved down. */
static size_t least_height(size_t count, const struct buffer *buffers, size_t *order, size_t done)
{
    size_t least = SIZE_MAX;
    if (done == count)
        return first_fit(count, buffers, order);
    for (size_t i = done; i < count; i++) {
        size_t chosen = order[i];
        order[i] = order[done];
        order[done] = chosen;
        size_t height = least_height(count, buffers, order, done + 1);
        least = height < least ? height : least;
        order[done] = order[i];
        order[i] = chosen;
    }
    return least;
}

/* Few enough for every order to be tried; sizes in whole units, as the planner counts them. */
static size_t small_instance(uint64_t seed, struct buffer *buffers)
{
    uint64_t state = seed;
    size_t count = 3 + below(&state, seed % 8 ? 4 : 5), unit = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        int64_t lower = (int64_t)below(&state, 5);
        buffers[i] = plain(lower, lower + 1 + (int64_t)below(&state, 4), 1 + below(&state, seed % 2 ? 5 : 50));
        buffers[i].alignment = seed % 3 ? 1 : (size_t)1 << below(&state, 4);
        unit = buffers[i].alignment < unit ? buffers[i].alignment : unit;
    }
    for (size_t i = 0; i < count; i++)
        buffers[i].bytes = align_up(buffers[i].bytes, unit);
    if (seed % 5 == 0)
        fix_some(&state, buffers, count);
    return count;
}

START_TEST(small_plans_are_least)
{
    size_t above_bound = 0;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct buffer buffers[7];
        size_t count = small_instance(seed, buffers), order[7] = {0, 1, 2, 3, 4, 5, 6};
        struct plan plan = plan_checked(count, buffers, 1000000);
        ck_assert(plan.optimal);
        ck_assert_uint_eq(plan.height, least_height(count, buffers, order, 0));
        above_bound += plan.height > plan.lower_bound;
    }
    ck_assert_uint_gt(above_bound, 20); /* or the search had nothing to prove */
}
END_TEST

/* Of hard instances whose least height is known: the search finds most, and is near it elsewhere. */
START_TEST(cut_rectangles_are_put_together)
{
    size_t found = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct buffer buffers[MOST_PIECES];
        size_t height, count = cut_instance(seed, buffers, &height), offsets[MOST_PIECES];
        struct plan plan;
        ck_assert_int_eq(plan_memory(&default_allocator, count, buffers, 200000, offsets, &plan, NULL), STATUS_OK);
        check_plan(count, buffers, offsets, &plan);
        ck_assert_uint_eq(plan.lower_bound, height);
        found += plan.height == height;
        ck_assert_uint_le(plan.height, height + height / 4);
    }
    ck_assert_uint_ge(found, 15);
}
END_TEST

/* Of those that the exact search does not solve. */
START_TEST(hard_plans_come_close_to_the_bound)
{
    static const uint64_t seeds[] = {9, 54, 79, 89};
    for (size_t n = 0; n < sizeof seeds / sizeof seeds[0]; n++) {
        struct buffer buffers[MOST_PIECES];
        size_t height, count = cut_instance(seeds[n], buffers, &height), offsets[MOST_PIECES];
        struct plan plan;
        ck_assert_int_eq(plan_memory(&default_allocator, count, buffers, 600000, offsets, &plan, NULL), STATUS_OK);
        check_plan(count, buffers, offsets, &plan);
        ck_assert_uint_le(plan.height, height + height * 3 / 100);
    }
}
END_TEST

/* A chain whose even layers run on a device and odd ones on the host: each output lies where it is made and, while it
 * is copied and read, where the next layer runs. */
START_TEST(memory_spaces_are_planned_one_by_one)
{
    enum { SPACES = 2, LAYERS = 60 };
    struct buffer buffers[SPACES][2 * LAYERS];
    size_t counts[SPACES] = {0}, alignments[SPACES] = {64, 256};
    uint64_t state = 3;
    for (int64_t layer = 0; layer < LAYERS; layer++) {
        size_t bytes = 1 + below(&state, 100000);
        int64_t made = 2 * layer, copied = made + 1, read = made + 2;
        for (int copy = 0; copy < 2; copy++) {
            size_t space = (size_t)(layer + copy) % SPACES;
            buffers[space][counts[space]++] = (struct buffer){copy ? copied : made, copy ? read + 1 : copied + 1, bytes,
                                                              alignments[space], PLANNER_FREE};
        }
    }
    for (size_t space = 0; space < SPACES; space++) {
        struct plan plan = plan_checked(counts[space], buffers[space], 20000);
        ck_assert(plan.optimal);
        ck_assert_uint_eq(plan.height % alignments[space], 0);
    }
}
END_TEST

/* An allocator that fails once its count is down. */
static void *allocate_counted(void *user, size_t bytes, size_t alignment)
{
    int *left = user;
    return (*left)-- > 0 ? default_allocator.allocate(default_allocator.user, bytes, alignment) : NULL;
}

static void release_counted(void *user, void *memory, size_t bytes)
{
    (void)user;
    default_allocator.release(default_allocator.user, memory, bytes);
}

START_TEST(no_memory_is_an_error)
{
    struct buffer buffers[MOST];
    uint64_t state = 7;
    size_t offsets[MOST], count = random_instance(&state, buffers, MOST, false);
    enum status status = STATUS_OUT_OF_MEMORY;
    int allocations = 0;
    for (; status == STATUS_OUT_OF_MEMORY; allocations++) {
        int left = allocations;
        struct allocator allocator = {allocate_counted, release_counted, &left};
        struct plan plan;
        struct error error = {0};
        status = plan_memory(&allocator, count, buffers, 1000, offsets, &plan, &error);
        ck_assert(status == STATUS_OK || error.text[0] != '\0');
    }
    ck_assert_int_eq(status, STATUS_OK);
    ck_assert_int_gt(allocations, 1);
}
END_TEST

Suite *planner_suite(void)
{
    Suite *suite = suite_create("planner");
    TCase *tests = tcase_create("planner");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, nothing_takes_nothing);
    tcase_add_test(tests, lifetimes_are_half_open);
    tcase_add_test(tests, sizes_count_in_the_smallest_alignment);
    tcase_add_test(tests, fixed_offsets_are_kept);
    tcase_add_test(tests, what_cannot_be_planned_is_refused);
    tcase_add_test(tests, networks_are_solved_at_once);
    tcase_add_test(tests, random_plans_keep_every_promise);
    tcase_add_test(tests, searches_keep_every_promise);
    tcase_add_test(tests, small_plans_are_least);
    tcase_add_test(tests, cut_rectangles_are_put_together);
    tcase_add_test(tests, hard_plans_come_close_to_the_bound);
    tcase_add_test(tests, memory_spaces_are_planned_one_by_one);
    tcase_add_test(tests, no_memory_is_an_error);
    suite_add_tcase(suite, tests);
    return suite;
}
