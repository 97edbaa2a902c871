/* The exact search's view of a plan in the making: how high each section is filled, and the way back. */
#ifndef INFER_GRAPH_PLANNER_STATE_H
#define INFER_GRAPH_PLANNER_STATE_H

#include "graph/planner/parts.h"

/* Everything that was placed lies below the floor, everything else will lie between the floor and the ceiling. */
struct section {
    uint64_t floor;
    uint64_t top; /* end of the highest item below; lower than the floor where the search decided on a gap */
    uint64_t ceiling;
    uint64_t remaining;   /* sum of unplaced sizes */
    uint64_t unplaced;    /* exclusive or of the unplaced items' keys */
    uint32_t crossing;    /* unplaced items alive both here and in the section before */
    uint32_t first_start; /* items[first_start .. that of the next section) begin here */
    uint32_t first_end;   /* of `ending`, likewise: the section before is their last */
};

enum change_kind { CHANGED_FLOOR, PLACED, HUNG };

struct change {
    enum change_kind kind;
    uint32_t index; /* a section, or an item */
    uint64_t floor, top;
};

struct state {
    const struct item *items; /* by first section */
    struct section *sections; /* two more than there are, as ends */
    uint32_t item_count, section_count;
    uint64_t *offsets; /* of each item; NOWHERE: unplaced */
    uint64_t *keys;    /* of each item, random */
    uint32_t *ending;  /* items by last section */
    struct change *trail;
    size_t trail_used;
};

/* `spare` changes of floors fit on the trail beside what placing every item takes. */
enum status state_make(struct state *state, const struct component *component, size_t spare, struct region *scratch);
void state_reset(struct state *state, const struct component *component, uint64_t ceiling);
void state_put(struct state *state, uint32_t item, uint64_t offset);
/* Places an item that spans its region under the ceiling: what would lie above it can as well lie below. */
void state_hang(struct state *state, uint32_t item);
void state_raise(struct state *state, uint32_t section, uint64_t floor);
void state_undo(struct state *state, size_t mark); /* back to when the trail was this long */

static inline bool is_placed(const struct state *state, uint32_t item)
{
    return state->offsets[item] != NOWHERE;
}

/* What may still be wasted in a section; placing wastes nothing, so it is never negative. */
static inline uint64_t slack(const struct section *section)
{
    return section->ceiling - section->floor - section->remaining;
}

#endif
