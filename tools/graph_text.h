/* A graph for people to read: as text, and for Graphviz. */
#ifndef INFER_TOOLS_GRAPH_TEXT_H
#define INFER_TOOLS_GRAPH_TEXT_H

#include "graph/graph.h"

#include <stdio.h>

/* A line an input, a node and an output; subgraphs stand indented below the node that has them. */
void graph_print(FILE *file, const struct graph *graph);
bool graph_dot(FILE *file, const struct graph *graph); /* false: no memory */
/* "image", or "%12" for a value without a name. */
const char *value_label(const struct value *value, char *buffer, size_t bytes);

#endif
