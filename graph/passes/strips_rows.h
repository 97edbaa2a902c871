/* Operators whose output can be made some rows at a time (axis 2 of [batch, channel, row, ...]): which rows of the
 * input those need, and what the operator is that makes them alone. */
#ifndef INFER_GRAPH_PASSES_STRIPS_ROWS_H
#define INFER_GRAPH_PASSES_STRIPS_ROWS_H

#include "graph/op.h"
#include "kernels/window.h"

#define ROW_AXIS 2

/* [first, end) */
struct rows {
    int64_t first, end;
};

enum rows_kind {
    ROWS_SAME,   /* row i of every input that has rows */
    ROWS_WINDOW, /* what a window sees of input 0 */
    ROWS_SPREAD, /* the same, where the window's spread is the operator's stride: ConvTranspose */
    ROWS_REPEAT, /* row i / factor of input 0 */
};

struct rows_map {
    enum rows_kind kind;
    int axis; /* of the window */
    struct window window;
    int64_t factors[MAX_RANK];
};

/* An element of the result comes from the elements at its place in the inputs: elementwise operators, and those that
 * quantise and back by one scale for all. */
bool rows_elementwise(const struct node *node);
/* A convolution, of floating numbers or of integers. */
bool rows_convolves(const struct node *node);
/* False: the node needs whole inputs, or is nothing that can be cut. */
bool rows_map_of(struct graph *graph, struct node *node, struct rows_map *map);
/* Whether rows of input i are enough for rows of the output; the others are read whole. */
bool rows_reads_part(const struct node *node, int i);
/* The least rows around the wanted ones that can be made. */
struct rows rows_made(const struct rows_map *map, struct rows wanted);
/* The rows of its input that a node reads to make some. False: it would see nothing but padding. */
bool rows_needed(const struct rows_map *map, struct rows made, struct rows *needed);
/* Attributes of the operator that makes rows `made`, given the rows that rows_needed tells; that of ROWS_REPEAT is a
 * Resize by the map's factors. NULL: no memory. */
const struct attribute *rows_attributes(struct graph *graph, struct node *node, const struct rows_map *map,
                                        struct rows made, int *count);

#endif
