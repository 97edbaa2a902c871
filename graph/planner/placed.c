/* Where an item fits, few of those placed so far can tell: those that meet it and end above where every offset below is
 * taken in some section of its life. Two trees find them. */
#include "graph/planner/placed.h"

#include <stdlib.h>
#include <string.h>

#define MOST_SWEEPS 16

/* --- trees ----------------------------------------------------------------------------------------------- */

static uint32_t leaves_for(uint32_t count)
{
    uint32_t leaves = 1;
    while (leaves < count)
        leaves *= 2;
    return leaves;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The node whose number is the largest of those below `node`: itself, or the highest it was handed down from. */
static uint32_t source_of(const uint64_t *nodes, uint32_t node)
{
    while (node > 1 && nodes[node] >= nodes[node ^ 1])
        node /= 2;
    return node;
}

static void hand_down(uint64_t *nodes, uint32_t node)
{
    uint64_t *left = &nodes[2 * node], *right = &nodes[2 * node + 1], most = larger(*left, *right);
    *left = *left == most ? nodes[node] : *left;
    *right = *right == most ? nodes[node] : *right;
}

/* Of sections lower <= s < upper. */
static uint64_t highest_top(const struct tops *tops, uint32_t lower, uint32_t upper)
{
    const uint64_t *nodes = tops->nodes;
    uint64_t highest = 0;
    for (uint32_t l = tops->leaves + lower, r = tops->leaves + upper; l < r; l /= 2, r /= 2) {
        if (l % 2)
            highest = larger(highest, nodes[source_of(nodes, l++)]);
        if (r % 2)
            highest = larger(highest, nodes[source_of(nodes, --r)]);
    }
    return highest;
}

/* Below a node, those that are `from`, than which none there is higher, become `to`. */
static void raise_below(uint64_t *nodes, uint32_t node, uint64_t from, uint64_t to)
{
    uint32_t source = source_of(nodes, node);
    if (nodes[source] != from)
        return;
    for (int up = __builtin_clz(source) - __builtin_clz(node); up > 0; up--)
        hand_down(nodes, node >> up);
    for (; node > 0 && nodes[node] < to; node /= 2)
        nodes[node] = to;
}

/* The same for sections lower <= s < upper. */
static void raise_tops(const struct tops *tops, uint32_t lower, uint32_t upper, uint64_t from, uint64_t to)
{
    for (uint32_t l = tops->leaves + lower, r = tops->leaves + upper; l < r; l /= 2, r /= 2) {
        if (l % 2)
            raise_below(tops->nodes, l++, from, to);
        if (r % 2)
            raise_below(tops->nodes, --r, from, to);
    }
}

uint64_t *most_loads(const struct component *component, struct region *scratch)
{
    uint32_t leaves = leaves_for(component->sections);
    struct tops tops = {leaves, region_array(scratch, 2 * (size_t)leaves, sizeof *tops.nodes)};
    uint64_t *loads = region_array(scratch, component->count, sizeof *loads);
    if (!tops.nodes || !loads)
        return NULL;
    memcpy(tops.nodes + leaves, component->load, component->sections * sizeof *component->load);
    for (uint32_t node = leaves - 1; node > 0; node--)
        tops.nodes[node] = larger(tops.nodes[2 * node], tops.nodes[2 * node + 1]);
    for (uint32_t i = 0; i < component->count; i++)
        loads[i] = highest_top(&tops, component->items[i].lower, component->items[i].upper);
    return loads;
}

/* --- items placed ---------------------------------------------------------------------------------------- */

static uint32_t group_number(const struct item *item)
{
    return 31 - (uint32_t)__builtin_clz(item->upper - item->lower);
}

/* Items are in the order of their first sections, and so they are in each group. */
static void make_groups(struct placed *placed)
{
    const struct component *component = placed->component;
    uint32_t counts[MOST_GROUPS] = {0}, next[MOST_GROUPS], first = 0;
    for (uint32_t i = 0; i < component->count; i++)
        counts[group_number(&component->items[i])]++;
    for (uint32_t g = 0; g < MOST_GROUPS; g++) {
        next[g] = first;
        if (counts[g])
            placed->groups[placed->group_count++] = (struct group){first, counts[g], UINT64_C(2) << g};
        first += counts[g];
    }
    for (uint32_t i = 0; i < component->count; i++) {
        uint32_t leaf = next[group_number(&component->items[i])]++;
        placed->leaf_of[i] = leaf;
        placed->lowers[leaf] = component->items[i].lower;
        placed->uppers[leaf] = component->items[i].upper;
    }
}

bool placed_begin(struct placed *placed, const struct component *component, struct region *scratch)
{
    uint32_t sections = leaves_for(component->sections), leaves = leaves_for(component->count);
    *placed = (struct placed){
        .component = component,
        .offsets = region_array(scratch, component->count, sizeof *placed->offsets),
        .solid = {sections, region_array(scratch, 2 * (size_t)sections, sizeof *placed->solid.nodes)},
        .leaves = leaves,
        .leaf_of = region_array(scratch, component->count, sizeof *placed->leaf_of),
        .lowers = region_array(scratch, component->count, sizeof *placed->lowers),
        .uppers = region_array(scratch, component->count, sizeof *placed->uppers),
        .extents = region_array(scratch, 2 * (size_t)leaves, sizeof *placed->extents),
        .found = region_array(scratch, component->count, sizeof *placed->found),
        .tops = region_array(scratch, MOST_GROUPS * 2 * 32, sizeof *placed->tops),
    };
    if (!placed->offsets || !placed->solid.nodes || !placed->leaf_of || !placed->lowers || !placed->uppers ||
        !placed->extents || !placed->found || !placed->tops)
        return false;
    make_groups(placed);
    placed_clear(placed);
    return true;
}

void placed_clear(struct placed *placed)
{
    memset(placed->solid.nodes, 0, 2 * (size_t)placed->solid.leaves * sizeof *placed->solid.nodes);
    for (size_t i = 0; i < 2 * (size_t)placed->leaves; i++)
        placed->extents[i] = (struct extent){.offset = NOWHERE};
}

void placed_put(struct placed *placed, uint32_t index, uint64_t offset)
{
    const struct item *item = &placed->component->items[index];
    uint64_t end = offset + item->size;
    placed->offsets[index] = offset;
    raise_tops(&placed->solid, item->lower, item->upper, offset, end);
    for (uint32_t node = placed->leaves + placed->leaf_of[index]; node > 0; node /= 2) {
        struct extent *extent = &placed->extents[node];
        if (extent->offset <= offset && extent->end >= end)
            break;
        extent->offset = offset < extent->offset ? offset : extent->offset;
        extent->end = larger(end, extent->end);
    }
}

static bool reaches_into(const struct extent *extent, const struct extent *window)
{
    return extent->end > window->offset && extent->offset < window->end;
}

/* An item's window of offsets is brought past another that is in the way where it begins; one further up is listed. */
static void meet(struct placed *placed, const struct extent *other, const struct item *item, struct extent *window)
{
    if (other->offset < window->offset + item->size)
        window->offset = round_up(other->end, item->alignment);
    else
        placed->found[placed->found_count++] = *other;
}

/* The node after those below `node`: its neighbour, or that of the highest node that it ends. */
static uint32_t node_after(uint32_t node)
{
    return (node + 1) >> __builtin_ctz(node + 1);
}

/* Meets those below a node, which all begin before the item ends, that meet it and lie, in part, in the window. */
static void look_below(struct placed *placed, uint32_t top, const struct item *item, struct extent *window)
{
    uint32_t node = top, end = node_after(top);
    do {
        const struct extent *extent = &placed->extents[node];
        bool reaches = reaches_into(extent, window);
        if (reaches && node < placed->leaves) {
            node *= 2;
            continue;
        }
        if (reaches && placed->uppers[node - placed->leaves] > item->lower)
            meet(placed, extent, item, window);
        node = node_after(node);
    } while (node != end);
}

/* The first leaf of a group whose item begins in the section or later. */
static uint32_t first_from(const struct placed *placed, const struct group *group, uint32_t section)
{
    uint32_t low = group->first, high = group->first + group->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool before = placed->lowers[middle] < section;
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    return low;
}

/* Lists the nodes below which lies all that may meet the item and end above an offset. */
static void find_tops(struct placed *placed, const struct item *item, uint64_t offset)
{
    placed->top_count = 0;
    for (uint32_t g = 0; g < placed->group_count; g++) {
        const struct group *group = &placed->groups[g];
        uint32_t earliest = item->lower < group->width ? 0 : item->lower - (uint32_t)group->width + 1;
        uint32_t l = placed->leaves + first_from(placed, group, earliest);
        uint32_t r = placed->leaves + first_from(placed, group, item->upper);
        for (; l < r; l /= 2, r /= 2) {
            if (l % 2 && placed->extents[l++].end > offset)
                placed->tops[placed->top_count++] = l - 1;
            if (r % 2 && placed->extents[--r].end > offset)
                placed->tops[placed->top_count++] = r;
        }
    }
}

/* Looks below all of them; returns where the window begins then. */
static uint64_t find_all(struct placed *placed, const struct item *item, struct extent window)
{
    placed->found_count = 0;
    for (uint32_t i = 0; i < placed->top_count; i++)
        if (reaches_into(&placed->extents[placed->tops[i]], &window))
            look_below(placed, placed->tops[i], item, &window);
    return window.offset;
}

/* Puts `extent` into a heap, lowest offset first, whose place `i` is empty and may be too high for it. */
static void sift_down(struct extent *heap, uint32_t count, uint32_t i, struct extent extent)
{
    for (uint32_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && heap[child + 1].offset < heap[child].offset)
            child++;
        if (heap[child].offset >= extent.offset)
            break;
        heap[i] = heap[child];
    }
    heap[i] = extent;
}

/* Goes past those found, backwards and forwards, as their order often is that of their offsets, or near it; then only
 * those further up are left. */
static uint64_t sweep_found(struct placed *placed, const struct item *item, uint64_t offset)
{
    struct extent *found = placed->found;
    uint32_t left = 0;
    for (uint32_t i = placed->found_count; i > 0; i--)
        if (found[i - 1].offset < offset + item->size && found[i - 1].end > offset)
            offset = round_up(found[i - 1].end, item->alignment);
    for (uint32_t i = 0; i < placed->found_count; i++)
        if (found[i].offset >= offset + item->size)
            found[left++] = found[i];
        else if (found[i].end > offset)
            offset = round_up(found[i].end, item->alignment);
    placed->found_count = left;
    return offset;
}

/* The lowest offset from `offset` on where none of those found is in the way. After a few sweeps they are taken in the
 * order of their offsets, from a heap. */
static uint64_t pass_found(struct placed *placed, const struct item *item, uint64_t offset)
{
    for (int sweep = 0; sweep < MOST_SWEEPS && placed->found_count > 0; sweep++) {
        uint64_t before = offset;
        offset = sweep_found(placed, item, offset);
        if (offset == before)
            return offset;
    }
    struct extent *heap = placed->found;
    uint32_t count = placed->found_count;
    for (uint32_t i = count / 2; i > 0; i--)
        sift_down(heap, count, i - 1, heap[i - 1]);
    while (count > 0 && heap[0].offset < offset + item->size) {
        offset = larger(offset, round_up(heap[0].end, item->alignment));
        count--;
        sift_down(heap, count, 0, heap[count]);
    }
    return offset;
}

/* Looks through larger and larger windows, as what is in the first often tells. */
uint64_t placed_lowest_free(struct placed *placed, uint32_t index)
{
    const struct item *item = &placed->component->items[index];
    uint64_t solid = highest_top(&placed->solid, item->lower, item->upper);
    uint64_t offset = round_up(solid, item->alignment);
    find_tops(placed, item, offset);
    for (uint64_t bytes = item->size;; bytes = bytes <= UINT64_MAX / 8 ? 2 * bytes : bytes) {
        struct extent window = {offset, offset + bytes};
        offset = pass_found(placed, item, find_all(placed, item, window));
        if (offset + item->size <= window.end)
            return offset;
    }
}
