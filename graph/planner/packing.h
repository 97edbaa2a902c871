/* A packing of some of the items below a height, in an order: each may lie anywhere between its lowest and its highest
 * offset as long as the others make way, so what is free is not in pieces. */
#ifndef INFER_GRAPH_PLANNER_PACKING_H
#define INFER_GRAPH_PLANNER_PACKING_H

#include "graph/planner/parts.h"

struct packed {
    uint32_t lower, upper; /* sections lower <= s < upper */
    uint64_t size;
    uint64_t lowest, highest; /* the end of the highest item below it, the start of the lowest above it, aligned */
    size_t links;             /* its part of below and above, a section each */
    uint64_t alignment;
    bool fixed; /* then lowest == highest */
};

struct packing {
    struct packed *items;
    uint32_t count, sections;
    uint64_t height;
    uint32_t *order; /* the items that are in, each after all those below it */
    uint32_t in;
    uint32_t *out; /* the others */
    uint32_t out_count;
    /* Inside: */
    uint32_t *position;      /* of each item in `order`; NOBODY: it is out */
    uint32_t *behind;        /* scratch, an item each */
    uint32_t *below, *above; /* the item's neighbours in each of its sections, or NOBODY */
    uint32_t *bottom;        /* of each section: the first item, or NOBODY */
    uint32_t *top;           /* scratch, a section each */
    uint64_t *stale_lowest;  /* the positions of those whose lowest offset is to be found anew: a bit each */
    uint64_t *stale_highest; /* likewise */
};

/* All items are in, in the order of the component's best plan. */
enum status packing_make(struct packing *packing, const struct component *component, struct region *scratch);
/* Takes out what does not fit below. The height is no less than the component's bound. */
void packing_set_height(struct packing *packing, uint64_t height);

/* Whether an item must go for another to lie at offset, in a section they share. */
static inline bool is_in_the_way(const struct packed *item, uint64_t offset, uint64_t size)
{
    return item->lowest + item->size > offset && item->highest < offset + size;
}

/* Puts in out[at] at an aligned offset below the height, and takes out what is in its way: nothing that is fixed. */
void packing_put(struct packing *packing, uint32_t at, uint64_t offset);

#endif
