/* The exact search: is there a plan of a component no higher than some target? */
#ifndef INFER_GRAPH_PLANNER_SEARCH_H
#define INFER_GRAPH_PLANNER_SEARCH_H

#include "graph/planner/state.h"

enum outcome { FOUND, REFUTED, EXHAUSTED };

struct search {
    struct state state;
    uint64_t *priority; /* of each item: larger ones are tried first; below 2^48 */
    uint64_t nodes;     /* placements and gaps tried */
    uint64_t limit;     /* of nodes */
    uint64_t missing;   /* no plan of the target's height plus less than this exists, once it is refuted */
    /* Inside the search: */
    bool uniform; /* no fixed offset, every offset aligned */
    uint32_t depth;
    uint64_t *cover; /* scratch, a section each */
    uint32_t *choices;
    size_t choices_used, choices_size;
    struct hints *hints;
    struct fingerprint *known; /* refuted states, by hash */
    uint64_t known_mask;
    struct frames *frames;
};

/* False where a component is too large for the search to be of use. */
bool search_can(const struct component *component);
enum status search_make(struct search *search, const struct component *component, uint64_t nodes,
                        struct region *scratch);
/* FOUND leaves the plan in state.offsets. What was refuted once stays known for later calls; `missing` is the caller's
 * to reset when the target changes. */
enum outcome search_plan(struct search *search, const struct component *component, uint64_t target);

#endif
