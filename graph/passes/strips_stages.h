/* The graph as strips see it: stages, each of which will be one step, and the memory that orders of them take. */
#ifndef INFER_GRAPH_PASSES_STRIPS_STAGES_H
#define INFER_GRAPH_PASSES_STRIPS_STAGES_H

#include "graph/passes/passes.h"
#include "graph/passes/strips_rows.h"

/* Nodes that fusion makes one step of: elementwise ones with what they are an epilogue of. One value of a stage with
 * more than one node, the last, is seen outside. */
struct stage {
    struct node **nodes; /* in order */
    int node_count;
    const struct node *head; /* the node that `map` is of; of any others, rows of the result are those of the inputs */
    struct rows_map map;
    bool local;           /* can be made in strips */
    struct value *output; /* of a local stage */
    int64_t rows;
    size_t row_bytes;
    double work; /* multiplications, or elements made or read where it has none */
};

struct stages {
    struct region *region; /* of all this */
    struct graph *graph;
    struct stage *list;
    int count;
    double work; /* of all stages */
    /* By value id. Views (Reshape) share the memory of their root. */
    int *roots;
    int *makers;          /* stage; -1: none */
    size_t *bytes;        /* in the arena; 0 for what is no root */
    unsigned char *stays; /* the root is read from outside */
};

/* NULL: no memory. */
struct stages *stages_of(struct graph *graph, const struct pass_context *context, struct region *region);

/* An order of the stages, and what is alive: positions are indices into it. */
struct stage_order {
    int *stages;      /* by position */
    int *positions;   /* by stage */
    int *last;        /* by value id: the position that reads a root last; stages->count: it stays */
    size_t *live;     /* at a position */
    size_t *entering; /* made before a position, and read there or later */
    size_t peak;
};

/* The order in which the graph has them; the same, but what frees more than it makes comes as soon as it does; or one
 * that takes, of the stages that can come next, the one that leaves the least alive. NULL: no memory. */
struct stage_order *order_given(const struct stages *stages);
struct stage_order *order_eager(const struct stages *stages);
struct stage_order *order_greedy(const struct stages *stages);

#endif
