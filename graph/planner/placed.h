/* Items that have been placed one after the other, and the lowest offset that is free for another. */
#ifndef INFER_GRAPH_PLANNER_PLACED_H
#define INFER_GRAPH_PLANNER_PLACED_H

#include "graph/planner/parts.h"

/* A number for each section, of which the largest in a row of them is asked, and raised where it is just that. A heap:
 * node i has the children 2 i and 2 i + 1, and section s is node leaves + s. What a node has more than its children was
 * raised since it was last looked into, and is theirs. */
struct tops {
    uint32_t leaves; /* a power of two */
    uint64_t *nodes;
};

/* Of items, the lowest offset and the highest end. */
struct extent {
    uint64_t offset, end;
};

/* Items that live about as long as each other: less than `width` sections, and at least half of it. They have leaves
 * first to first + count - 1, by their first section: those that meet another are next to each other, or nearly so. */
struct group {
    uint32_t first, count;
    uint64_t width;
};

#define MOST_GROUPS 33

struct placed {
    const struct component *component;
    uint64_t *offsets; /* by item */
    struct tops solid; /* by section: below that, all of it is taken */
    struct group groups[MOST_GROUPS];
    uint32_t group_count;
    uint32_t leaves;        /* of the tree of extents, a heap as `solid` is */
    uint32_t *leaf_of;      /* by item */
    uint32_t *lowers;       /* by leaf: the item's first section */
    uint32_t *uppers;       /* and where it ends */
    struct extent *extents; /* of an item that is not placed: it begins nowhere */
    struct extent *found;   /* scratch, an item each */
    uint32_t found_count;
    uint32_t *tops; /* scratch: nodes, two on each level of the tree for each group */
    uint32_t top_count;
};

/* No item is placed. `offsets` has room for one each. False: no memory. */
bool placed_begin(struct placed *placed, const struct component *component, struct region *scratch);
/* No item is placed any more. */
void placed_clear(struct placed *placed);
/* Nothing that meets the item lies where it is put. */
void placed_put(struct placed *placed, uint32_t item, uint64_t offset);
/* In time that grows with the items that meet it and have a gap below; the logarithm of all, where there are few. */
uint64_t placed_lowest_free(struct placed *placed, uint32_t item);

/* By item, the load of the fullest section it lives in; NULL: no memory. */
uint64_t *most_loads(const struct component *component, struct region *scratch);

#endif
