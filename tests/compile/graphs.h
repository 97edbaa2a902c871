/* Generated graphs of any length, for counting what it takes to make their programs. */
#ifndef INFER_TESTS_COMPILE_GRAPHS_H
#define INFER_TESTS_COMPILE_GRAPHS_H

#include "graph/graph.h"

struct generated {
    const char *name, *what;
    /* Adds nodes that lower to about so many steps; the result becomes the graph's only output. False: no memory. */
    bool (*make)(struct graph *graph, struct value *input, int steps);
};

/* Ends with a NULL name. */
extern const struct generated generated_graphs[];

/* The graph of that name, with one input 1x4x8x8; NULL: there is none of that name, or no memory. */
struct graph *generate_graph(const char *name, int steps, struct region *region);

#endif
