/* The local search: items are put into a packing and others taken out, until all are in. */
#ifndef INFER_GRAPH_PLANNER_REPACK_H
#define INFER_GRAPH_PLANNER_REPACK_H

#include "graph/planner/packing.h"

struct edge {
    uint64_t at;
    uint32_t worth; /* of the item it belongs to */
};

struct repack {
    struct packing packing;
    uint64_t *offsets; /* of the last plan found */
    /* Inside: */
    uint32_t *worth; /* of each item: what driving it out costs */
    uint32_t *urge;  /* of each item that is out: what keeping it out costs beside its worth */
    uint64_t mean_worth;
    struct edge *from, *to; /* scratch, an item each */
    uint64_t random;
    uint64_t step, steps; /* of the cooling under way */
};

enum status repack_make(struct repack *repack, const struct component *component, struct region *scratch);
/* Goes on until all items are in below the height (true: at `offsets`), or *nodes are used up, or there are some left
 * but a cooling has ended in vain: the next one is hot again and takes twice as long. Takes what it used from *nodes.
 * The height is no less than the component's bound. */
bool repack_run(struct repack *repack, uint64_t height, uint64_t *nodes);

#endif
