/* Greedy plans: items in some order, each at the lowest offset that is free for its whole life. */
#include "graph/planner/placed.h"
#include "kernels/sort.h"

#include <stdlib.h>
#include <string.h>

/* An item's place in an order: larger keys first, then the caller's order, so that every order is total. */
struct rank {
    uint64_t first, second;
    uint32_t item;
};

static int compare_ranks(const void *left, const void *right)
{
    const struct rank *a = left, *b = right;
    if (a->first != b->first)
        return a->first > b->first ? -1 : 1;
    if (a->second != b->second)
        return a->second > b->second ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

enum key { KEY_ALIGNMENT, KEY_SIZE, KEY_WIDTH, KEY_AREA, KEY_START, KEY_END, KEY_LOAD };

static uint64_t key_of(const struct item *item, uint64_t most_load, enum key key)
{
    uint64_t width = item->upper - item->lower, area;
    switch (key) {
    case KEY_ALIGNMENT:
        return item->alignment;
    case KEY_SIZE:
        return item->size;
    case KEY_WIDTH:
        return width;
    case KEY_AREA:
        return __builtin_mul_overflow(width, item->size, &area) ? UINT64_MAX : area;
    case KEY_START:
        return UINT64_MAX - item->lower;
    case KEY_END:
        return item->upper;
    case KEY_LOAD: /* of the fullest section it lives in */
        return most_load;
    }
    return 0;
}

static const struct {
    enum key first, second;
} orders[] = {
    {KEY_SIZE, KEY_WIDTH}, {KEY_AREA, KEY_SIZE}, {KEY_WIDTH, KEY_SIZE},
    {KEY_LOAD, KEY_AREA},  {KEY_LOAD, KEY_SIZE}, {KEY_LOAD, KEY_WIDTH},
    {KEY_START, KEY_SIZE}, {KEY_END, KEY_SIZE},  {KEY_ALIGNMENT, KEY_SIZE},
};

static uint64_t place_all(const struct rank *ranks, struct placed *placed)
{
    const struct component *component = placed->component;
    uint64_t height = 0;
    placed_clear(placed);
    for (uint32_t pass = 0; pass < 2; pass++) /* those that are fixed go first: the others must find their way */
        for (uint32_t i = 0; i < component->count; i++) {
            const struct item *item = &component->items[ranks[i].item];
            bool fixed = item->fixed != NOWHERE;
            if (fixed != (pass == 0))
                continue;
            uint64_t offset = fixed ? item->fixed : placed_lowest_free(placed, ranks[i].item);
            placed_put(placed, ranks[i].item, offset);
            height = offset + item->size > height ? offset + item->size : height;
        }
    return height;
}

enum status plan_greedy(struct component *component, uint64_t target, struct region *scratch)
{
    struct rank *ranks = region_array(scratch, component->count, sizeof *ranks);
    uint64_t *loads = NULL; /* made where they are asked for */
    struct placed placed;
    if (!ranks || !placed_begin(&placed, component, scratch))
        return STATUS_OUT_OF_MEMORY;
    component->height = UINT64_MAX;
    for (size_t order = 0; order < sizeof orders / sizeof orders[0] && component->height > target; order++) {
        enum key first = orders[order].first, second = orders[order].second;
        if (first == KEY_LOAD && !loads && !(loads = most_loads(component, scratch)))
            return STATUS_OUT_OF_MEMORY;
        for (uint32_t i = 0; i < component->count; i++) {
            const struct item *item = &component->items[i];
            uint64_t load = loads ? loads[i] : 0;
            ranks[i] = (struct rank){key_of(item, load, first), key_of(item, load, second), i};
        }
        sort_items(ranks, component->count, sizeof *ranks, compare_ranks);
        uint64_t height = place_all(ranks, &placed);
        if (height >= component->height)
            continue;
        component->height = height;
        memcpy(component->offsets, placed.offsets, component->count * sizeof *placed.offsets);
    }
    return STATUS_OK;
}
