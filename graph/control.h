/* What the runtime is told of a Loop or Scan node: how to run its body, some number of times. */
#ifndef INFER_GRAPH_CONTROL_H
#define INFER_GRAPH_CONTROL_H

#include "graph/graph.h"

/* Loop and Scan (ONNX operators of these names): what to do with a body graph. The body's formal inputs are
 * Loop: iteration number, condition, carried values; Scan: carried values, one slice of each scanned input;
 * then captures in both. Its outputs: Loop: condition first; then carried values; then one slice of each scan output.
 */
struct control {
    enum { CONTROL_LOOP, CONTROL_SCAN } kind;
    const struct graph *body;
    int carried;      /* state values handed from one iteration to the next */
    int scan_inputs;  /* Scan: inputs cut into slices */
    int scan_outputs; /* outputs stacked from the slices of all iterations */
    int captures;     /* inputs of the body that stay the same */
    int64_t trip;     /* Scan: number of iterations */
    /* Scan, one entry for each scanned input or output: the axis it is cut or stacked along, and whether backwards. */
    const int *input_axes, *output_axes;
    const bool *input_reverse, *output_reverse;
};

#endif
