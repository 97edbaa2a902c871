/* The memory planner: places buffers with known lifetimes in one arena. A pure function of its arguments that knows
 * nothing of graphs, so that it serves CPU and GPU alike and is tested and fuzzed alone.
 *
 * A memory space is what one arena lies in: the host's memory, or a device's. Offsets in different spaces never
 * collide, so each is planned by a call of its own, with the buffers that lie in it and the times of the one schedule
 * they share. What is copied from one space to another is two buffers, one in each, both alive at the time of the copy.
 */
#ifndef INFER_GRAPH_PLANNER_PLANNER_H
#define INFER_GRAPH_PLANNER_PLANNER_H

#include "kernels/base.h"

#define PLANNER_FREE SIZE_MAX /* buffer.fixed: the planner chooses */

struct buffer {
    int64_t lower, upper; /* alive at times lower <= t < upper; lower < upper */
    size_t bytes;         /* 0 is allowed: placed at 0 */
    size_t alignment;     /* a power of two */
    size_t fixed;         /* an offset that is given (a multiple of alignment), or PLANNER_FREE */
};

/* Bytes are counted in units of the smallest alignment among the buffers: each buffer ends at the next multiple of it,
 * since nothing could begin before. */
struct plan {
    size_t height;      /* end of the highest buffer */
    size_t lower_bound; /* largest sum of live bytes, or the end of the highest fixed buffer; no plan can be lower */
    bool optimal;       /* height is proven least */
};

/* Writes an offset for each buffer. Buffers whose lifetimes meet do not overlap. Deterministic: the same buffers and
 * limit of search give the same offsets on every machine, so the limit counts search nodes, not seconds; 0 leaves the
 * best of a few greedy orders, which is optimal for most networks.
 * Errors: OUT_OF_MEMORY; INVALID_ARGUMENT where a size overflows, a lifetime is empty, or two fixed buffers collide. */
enum status plan_memory(const struct allocator *allocator, size_t count, const struct buffer *buffers,
                        uint64_t search_nodes, size_t *offsets, struct plan *plan, struct error *error);

#endif
