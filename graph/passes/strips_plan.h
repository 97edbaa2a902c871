/* Which stages to make in strips, and in how many: regions of stages that follow each other in an order. */
#ifndef INFER_GRAPH_PASSES_STRIPS_PLAN_H
#define INFER_GRAPH_PASSES_STRIPS_PLAN_H

#include "graph/passes/strips_stages.h"

/* Stages [begin, end) of the order. A value that is made in it and read after it, or that stays, is a result of the
 * region: each strip makes its part of the rows. Whatever else is made in it is there for the strip alone. */
struct strip_region {
    int begin, end, strips;
};

struct strip_plan {
    const struct stages *stages;
    const struct stage_order *order;
    struct strip_region *regions; /* one after the other */
    int region_count;
    size_t before, after; /* peaks */
};

/* plan->region_count is 0 where nothing pays. False: no memory. */
bool strip_plan_make(const struct stages *stages, struct strip_plan *plan);

/* The same for speed: regions whose intermediates are too large for near caches, in strips that are not, where the
 * estimate for so many threads says that this saves time; no region takes more memory than without. A row of theirs has
 * the same bits in whatever strip it is made. */
bool strip_plan_make_near(const struct stages *stages, int threads, struct strip_plan *plan);
/* Whether that has anything to look at. */
bool strip_plan_has_far(const struct graph *graph, int threads);

/* The rows that each stage of a region makes for each strip. */
struct sweep {
    const struct stages *stages;
    const struct stage_order *order;
    int begin, end, strips;
    int longest;       /* region */
    int base;          /* begin never gets below it */
    struct rows *rows; /* by position from base on and strip */
    size_t *live;      /* the same: bytes alive for the strip alone */
    int *until;        /* by position from base on: where the result is read last in the region; -1: nowhere */
    bool *whole;       /* the same: a stage of the region reads more than rows of it */
    double extra;      /* work done more than once */
    size_t results, strip_peak;
};

#define LONGEST_REGION 96 /* stages */
#define MOST_STRIPS 64

/* Room for any region of up to `longest` stages. False: no memory. */
bool sweep_create(struct sweep *sweep, const struct stages *stages, const struct stage_order *order, int longest);
/* An empty region that ends at `end`. */
void sweep_begin(struct sweep *sweep, int end, int strips);
/* Adds the stage before the first. False: it cannot be. */
bool sweep_add(struct sweep *sweep);
static inline struct rows *sweep_rows(const struct sweep *sweep, int position, int strip)
{
    return &sweep->rows[(size_t)(position - sweep->base) * (size_t)sweep->strips + (size_t)strip];
}
/* Rows of a region's result that are the strip's part of it. */
static inline struct rows strip_part(int64_t rows, int strips, int strip)
{
    return (struct rows){rows * strip / strips, rows * (strip + 1) / strips};
}
static inline bool is_result(const struct sweep *sweep, const struct value *value)
{
    return sweep->order->last[value->id] >= sweep->end;
}

#endif
