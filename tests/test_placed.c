/* The lowest offset that is free, against a search through all that has been placed. */
#include "graph/planner/placed.h"
#include "tests/planner/instances.h"
#include "tests/suites.h"

#include <check.h>
#include <stdlib.h>

#define MOST_ITEMS 150
#define MOST_SECTIONS 90

static int by_first_section(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    return (a->lower > b->lower) - (a->lower < b->lower);
}

/* Short lives, long ones, or both. */
static void make_items(uint64_t *state, struct item *items, uint32_t count, uint32_t sections)
{
    uint64_t longest = 1 + below(state, sections);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t lower = (uint32_t)below(state, sections),
                 width = 1 + (uint32_t)below(state, below(state, 3) ? 3 : longest);
        items[i] = (struct item){.lower = lower,
                                 .upper = lower + width < sections ? lower + width : sections,
                                 .size = 1 + below(state, 40),
                                 .alignment = UINT64_C(1) << (below(state, 4) ? 0 : below(state, 4)),
                                 .fixed = NOWHERE};
    }
    qsort(items, count, sizeof *items, by_first_section);
}

static bool is_free(const struct item *items, const uint64_t *offsets, const bool *in, uint32_t count, uint32_t item,
                    uint64_t offset)
{
    for (uint32_t i = 0; i < count; i++)
        if (in[i] && items_meet(&items[i], &items[item]) && offsets[i] < offset + items[item].size &&
            offset < offsets[i] + items[i].size)
            return false;
    return true;
}

/* Nothing fits lower than at 0 or right above another. */
static uint64_t search(const struct item *items, const uint64_t *offsets, const bool *in, uint32_t count, uint32_t item)
{
    uint64_t lowest = is_free(items, offsets, in, count, item, 0) ? 0 : NOWHERE;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = in[i] ? round_up(offsets[i] + items[i].size, items[item].alignment) : NOWHERE;
        if (offset < lowest && is_free(items, offsets, in, count, item, offset))
            lowest = offset;
    }
    return lowest;
}

/* In an order of chance; some a little higher than they could lie, so that gaps are left. */
static void place_all(uint64_t *state, struct placed *placed, const struct item *items, uint32_t count)
{
    bool in[MOST_ITEMS] = {false};
    for (uint32_t left = count; left > 0; left--) {
        uint32_t item = (uint32_t)below(state, count);
        while (in[item])
            item = (item + 1) % count;
        uint64_t offset = search(items, placed->offsets, in, count, item);
        ck_assert_uint_eq(placed_lowest_free(placed, item), offset);
        uint64_t higher = offset + below(state, 60);
        if (below(state, 3) == 0 && is_free(items, placed->offsets, in, count, item, higher))
            offset = higher;
        placed_put(placed, item, offset);
        in[item] = true;
    }
}

START_TEST(items_in_any_order)
{
    for (uint64_t seed = 0; seed < 400; seed++) {
        uint64_t state = seed;
        uint32_t sections = 1 + (uint32_t)below(&state, MOST_SECTIONS), count = 1 + (uint32_t)below(&state, MOST_ITEMS);
        struct item items[MOST_ITEMS];
        make_items(&state, items, count, sections);
        struct component component = {.items = items, .count = count, .sections = sections};
        struct placed placed;
        struct region region;
        region_init(&region, &default_allocator);
        ck_assert(placed_begin(&placed, &component, &region));
        place_all(&state, &placed, items, count);
        placed_clear(&placed);
        place_all(&state, &placed, items, count);
        region_free(&region);
    }
}
END_TEST

/* Lives that have a section in common lie on one another, and none of those below is looked at. */
START_TEST(a_stack_is_passed_at_once)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        uint64_t state = seed, top = 0;
        uint32_t sections = 1 + (uint32_t)below(&state, MOST_SECTIONS), middle = (uint32_t)below(&state, sections);
        struct item items[MOST_ITEMS];
        for (uint32_t i = 0; i < MOST_ITEMS; i++)
            items[i] = (struct item){.lower = (uint32_t)below(&state, middle + 1),
                                     .upper = middle + 1 + (uint32_t)below(&state, sections - middle),
                                     .size = 1 + below(&state, 40),
                                     .alignment = 1,
                                     .fixed = NOWHERE};
        qsort(items, MOST_ITEMS, sizeof *items, by_first_section);
        struct component component = {.items = items, .count = MOST_ITEMS, .sections = sections};
        struct placed placed;
        struct region region;
        region_init(&region, &default_allocator);
        ck_assert(placed_begin(&placed, &component, &region));
        for (uint32_t i = 0; i < MOST_ITEMS; i++) {
            uint32_t item = (i * 7 + 3) % MOST_ITEMS; /* all of them: 7 does not divide their number */
            ck_assert_uint_eq(placed_lowest_free(&placed, item), top);
            ck_assert_uint_eq(placed.found_count, 0);
            placed_put(&placed, item, top);
            top += items[item].size;
        }
        region_free(&region);
    }
}
END_TEST

START_TEST(loads_of_lives)
{
    for (uint64_t seed = 0; seed < 100; seed++) {
        uint64_t state = seed, load[MOST_SECTIONS];
        uint32_t sections = 1 + (uint32_t)below(&state, MOST_SECTIONS);
        struct item items[MOST_ITEMS];
        make_items(&state, items, MOST_ITEMS, sections);
        for (uint32_t s = 0; s < sections; s++)
            load[s] = below(&state, 1000);
        struct component component = {.items = items, .count = MOST_ITEMS, .sections = sections, .load = load};
        struct region region;
        region_init(&region, &default_allocator);
        const uint64_t *loads = most_loads(&component, &region);
        for (uint32_t i = 0; i < MOST_ITEMS; i++) {
            uint64_t most = 0;
            for (uint32_t s = items[i].lower; s < items[i].upper; s++)
                most = load[s] > most ? load[s] : most;
            ck_assert_uint_eq(loads[i], most);
        }
        region_free(&region);
    }
}
END_TEST

Suite *placed_suite(void)
{
    Suite *suite = suite_create("placed");
    TCase *tests = tcase_create("buffers placed so far");
    tcase_add_test(tests, items_in_any_order);
    tcase_add_test(tests, a_stack_is_passed_at_once);
    tcase_add_test(tests, loads_of_lives);
    suite_add_tcase(suite, tests);
    return suite;
}
