/* Between the planner's own files: the problem as they see it. */
#ifndef INFER_GRAPH_PLANNER_PARTS_H
#define INFER_GRAPH_PLANNER_PARTS_H

#include "graph/planner/planner.h"

#define NOWHERE UINT64_MAX /* an offset that is not given, or not chosen yet */
#define NOBODY UINT32_MAX  /* no item */

/* Time is cut into sections: the moments at which a set of live buffers is not part of another moment's. Two buffers
 * meet exactly when they share a section, and the largest load is a section's. Sizes and offsets are in units that
 * divide them all. */
struct item {
    uint32_t lower, upper; /* sections lower <= s < upper */
    uint32_t buffer;       /* index in the caller's array */
    uint64_t size;
    uint64_t alignment; /* 1: any offset will do */
    uint64_t fixed;     /* or NOWHERE */
};

/* Items whose lifetimes hang together; nothing else is alive in these sections, so it is planned alone. */
struct component {
    struct item *items;
    uint32_t count;
    uint32_t first_section, sections;
    const uint64_t *load; /* of each section: the sum of live sizes */
    uint64_t bound;       /* no plan is lower */
    uint64_t height;      /* of the best plan so far */
    bool proven;          /* no plan is lower, or none need be */
    uint64_t *offsets;    /* the best plan so far, an item each */
};

static inline bool items_meet(const struct item *a, const struct item *b)
{
    return a->lower < b->upper && b->lower < a->upper;
}

/* Alignments are powers of two; no division here, for these are everywhere in the local search. */
static inline uint64_t round_down(uint64_t offset, uint64_t alignment)
{
    return offset & ~(alignment - 1);
}

static inline uint64_t round_up(uint64_t offset, uint64_t alignment)
{
    return round_down(offset + alignment - 1, alignment);
}

/* SplitMix64's finaliser (Steele, Lea, Flood 2014). */
static inline uint64_t scramble(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Orders items by several keys, places each at the lowest offset where it fits, keeps the lowest plan. Stops at
 * `target`, below which a plan serves nothing. */
enum status plan_greedy(struct component *component, uint64_t target, struct region *scratch);

/* Looks for a plan no higher than `target`, else for the lowest, until it is proven or *nodes are used up; takes what
 * it used from *nodes. */
enum status plan_search(struct component *component, uint64_t target, uint64_t *nodes, struct region *scratch);

#endif
