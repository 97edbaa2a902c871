#include "graph/planner/packing.h"

#include <string.h>

static void mark(uint64_t *set, uint32_t position)
{
    set[position / 64] |= (uint64_t)1 << position % 64;
}

static uint32_t *link_of(uint32_t *links, const struct packed *item, uint32_t section)
{
    return &links[item->links + (section - item->lower)];
}

static void settle_lowest_of(struct packing *packing, uint32_t i)
{
    struct packed *item = &packing->items[i];
    uint32_t width = item->upper - item->lower;
    const uint32_t *below = packing->below + item->links, *above = packing->above + item->links;
    uint64_t floor = 0;
    for (uint32_t s = 0; s < width; s++) {
        if (below[s] == NOBODY)
            continue;
        const struct packed *other = &packing->items[below[s]];
        floor = other->lowest + other->size > floor ? other->lowest + other->size : floor;
    }
    floor = round_up(floor, item->alignment);
    if (item->fixed || floor == item->lowest)
        return;
    item->lowest = floor;
    for (uint32_t s = 0; s < width; s++)
        if (above[s] != NOBODY)
            mark(packing->stale_lowest, packing->position[above[s]]);
}

static void settle_highest_of(struct packing *packing, uint32_t i)
{
    struct packed *item = &packing->items[i];
    uint32_t width = item->upper - item->lower;
    const uint32_t *below = packing->below + item->links, *above = packing->above + item->links;
    uint64_t ceiling = packing->height;
    for (uint32_t s = 0; s < width; s++)
        if (above[s] != NOBODY && packing->items[above[s]].highest < ceiling)
            ceiling = packing->items[above[s]].highest;
    ceiling = round_down(ceiling - item->size, item->alignment);
    if (item->fixed || ceiling == item->highest)
        return;
    item->highest = ceiling;
    for (uint32_t s = 0; s < width; s++)
        if (below[s] != NOBODY)
            mark(packing->stale_highest, packing->position[below[s]]);
}

/* In order, so that each item is looked at once, when those it depends on are settled. */
static void settle_lowest(struct packing *packing)
{
    for (uint32_t word = 0; word <= packing->in / 64; word++)
        while (packing->stale_lowest[word]) {
            uint32_t bit = (uint32_t)__builtin_ctzll(packing->stale_lowest[word]);
            packing->stale_lowest[word] &= packing->stale_lowest[word] - 1;
            settle_lowest_of(packing, packing->order[word * 64 + bit]);
        }
}

static void settle_highest(struct packing *packing)
{
    for (uint32_t word = packing->in / 64 + 1; word-- > 0;)
        while (packing->stale_highest[word]) {
            uint32_t bit = 63 - (uint32_t)__builtin_clzll(packing->stale_highest[word]);
            packing->stale_highest[word] ^= (uint64_t)1 << bit;
            settle_highest_of(packing, packing->order[word * 64 + bit]);
        }
}

/* Between the neighbour below in a section and what is above that. */
static void link_in(struct packing *packing, uint32_t i, uint32_t section, uint32_t below)
{
    const struct packed *item = &packing->items[i];
    uint32_t *up =
        below == NOBODY ? &packing->bottom[section] : link_of(packing->above, &packing->items[below], section);
    *link_of(packing->below, item, section) = below;
    *link_of(packing->above, item, section) = *up;
    if (*up != NOBODY)
        *link_of(packing->below, &packing->items[*up], section) = i;
    *up = i;
}

/* Its neighbours are left to be settled, but for those that go as well. */
static void unlink_from(struct packing *packing, uint32_t i)
{
    const struct packed *item = &packing->items[i];
    for (uint32_t s = item->lower; s < item->upper; s++) {
        uint32_t below = *link_of(packing->below, item, s), above = *link_of(packing->above, item, s);
        if (below == NOBODY)
            packing->bottom[s] = above;
        else {
            *link_of(packing->above, &packing->items[below], s) = above;
            if (packing->position[below] != NOBODY)
                mark(packing->stale_highest, packing->position[below]);
        }
        if (above == NOBODY)
            continue;
        *link_of(packing->below, &packing->items[above], s) = below;
        if (packing->position[above] != NOBODY)
            mark(packing->stale_lowest, packing->position[above]);
    }
}

static void take_out(struct packing *packing, uint32_t i)
{
    packing->out[packing->out_count++] = i;
    packing->position[i] = NOBODY;
}

/* By offset in the plan; an insertion sort, as this happens once. */
static void sort_order(struct packing *packing)
{
    for (uint32_t i = 0; i < packing->count; i++) {
        uint32_t at = i;
        for (; at > 0 && packing->items[packing->order[at - 1]].lowest > packing->items[i].lowest; at--)
            packing->order[at] = packing->order[at - 1];
        packing->order[at] = i;
    }
}

static void link_all(struct packing *packing)
{
    for (uint32_t s = 0; s < packing->sections; s++)
        packing->bottom[s] = packing->top[s] = NOBODY;
    for (uint32_t n = 0; n < packing->in; n++) {
        uint32_t i = packing->order[n];
        packing->position[i] = n;
        mark(packing->stale_lowest, n);
        for (uint32_t s = packing->items[i].lower; s < packing->items[i].upper; s++) {
            link_in(packing, i, s, packing->top[s]);
            packing->top[s] = i;
        }
    }
}

static size_t set_items(struct packing *packing, const struct component *component)
{
    size_t links = 0;
    for (uint32_t i = 0; i < packing->count; i++) {
        const struct item *item = &component->items[i];
        packing->items[i] = (struct packed){.lower = item->lower,
                                            .upper = item->upper,
                                            .size = item->size,
                                            .lowest = component->offsets[i],
                                            .highest = component->offsets[i],
                                            .links = links,
                                            .alignment = item->alignment,
                                            .fixed = item->fixed != NOWHERE};
        links += item->upper - item->lower;
    }
    return links;
}

enum status packing_make(struct packing *packing, const struct component *component, struct region *scratch)
{
    size_t count = component->count, words = count / 64 + 1;
    *packing = (struct packing){
        .items = region_array(scratch, count, sizeof *packing->items),
        .count = component->count,
        .sections = component->sections,
        .order = region_array(scratch, count, sizeof *packing->order),
        .in = component->count,
        .out = region_array(scratch, count, sizeof *packing->out),
        .position = region_array(scratch, count, sizeof *packing->position),
        .behind = region_array(scratch, count, sizeof *packing->behind),
        .bottom = region_array(scratch, component->sections, sizeof *packing->bottom),
        .top = region_array(scratch, component->sections, sizeof *packing->top),
        .stale_lowest = region_array(scratch, words, sizeof *packing->stale_lowest),
        .stale_highest = region_array(scratch, words, sizeof *packing->stale_highest),
    };
    if (!packing->items || !packing->order || !packing->out || !packing->position || !packing->behind ||
        !packing->bottom || !packing->stale_lowest || !packing->stale_highest || !packing->top)
        return STATUS_OUT_OF_MEMORY;
    size_t links = set_items(packing, component);
    packing->below = region_array(scratch, links, sizeof *packing->below);
    packing->above = region_array(scratch, links, sizeof *packing->above);
    if (!packing->below || !packing->above)
        return STATUS_OUT_OF_MEMORY;
    sort_order(packing);
    link_all(packing);
    settle_lowest(packing);
    return STATUS_OK;
}

void packing_set_height(struct packing *packing, uint64_t height)
{
    uint32_t before = packing->out_count, kept = 0;
    packing->height = height;
    for (uint32_t n = 0; n < packing->in; n++) {
        uint32_t i = packing->order[n];
        if (packing->items[i].lowest + packing->items[i].size > height) {
            take_out(packing, i);
            continue;
        }
        packing->position[i] = kept;
        packing->order[kept] = i;
        mark(packing->stale_highest, kept++);
    }
    packing->in = kept;
    for (uint32_t n = before; n < packing->out_count; n++)
        unlink_from(packing, packing->out[n]);
    settle_lowest(packing);
    settle_highest(packing);
}

/* Puts the item in the order: behind it what lies above, before it all else. */
static void make_way(struct packing *packing, uint32_t i, uint64_t offset)
{
    const struct packed *item = &packing->items[i];
    uint32_t before = 0, behind = 0;
    for (uint32_t n = 0; n < packing->in; n++) {
        uint32_t o = packing->order[n];
        const struct packed *other = &packing->items[o];
        if (other->lowest + other->size > offset && other->highest >= offset + item->size)
            packing->behind[behind++] = o;
        else if (other->lower < item->upper && item->lower < other->upper && is_in_the_way(other, offset, item->size))
            take_out(packing, o);
        else {
            packing->position[o] = before;
            packing->order[before++] = o;
        }
    }
    packing->position[i] = before;
    packing->order[before++] = i;
    for (uint32_t n = 0; n < behind; n++) {
        packing->position[packing->behind[n]] = before;
        packing->order[before++] = packing->behind[n];
    }
    packing->in = before;
}

/* In each section, above the last item before it in the order. */
static void link_behind(struct packing *packing, uint32_t i)
{
    const struct packed *item = &packing->items[i];
    uint32_t *links = packing->below + item->links, width = item->upper - item->lower, found = 0;
    for (uint32_t s = 0; s < width; s++)
        links[s] = NOBODY;
    for (uint32_t n = packing->position[i]; n-- > 0 && found < width;) {
        const struct packed *other = &packing->items[packing->order[n]];
        uint32_t first = other->lower > item->lower ? other->lower : item->lower;
        uint32_t last = other->upper < item->upper ? other->upper : item->upper;
        for (uint32_t s = first; s < last; s++)
            if (links[s - item->lower] == NOBODY) {
                links[s - item->lower] = packing->order[n];
                found++;
            }
    }
    for (uint32_t s = item->lower; s < item->upper; s++)
        link_in(packing, i, s, links[s - item->lower]);
}

void packing_put(struct packing *packing, uint32_t at, uint64_t offset)
{
    uint32_t i = packing->out[at];
    packing->out[at] = packing->out[--packing->out_count];
    uint32_t out_before = packing->out_count;
    make_way(packing, i, offset);
    for (uint32_t n = out_before; n < packing->out_count; n++)
        unlink_from(packing, packing->out[n]);
    link_behind(packing, i);
    packing->items[i].lowest = packing->items[i].highest = NOWHERE;
    mark(packing->stale_lowest, packing->position[i]);
    mark(packing->stale_highest, packing->position[i]);
    settle_lowest(packing);
    settle_highest(packing);
}
