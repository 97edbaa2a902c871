/* A lowered step: one kernel call with its parameters and the values it reads and writes; or one control step, which
 * runs a subgraph some number of times. */
#ifndef INFER_GRAPH_STEPS_STEP_H
#define INFER_GRAPH_STEPS_STEP_H

#include "graph/graph.h"
#include "kernels/pointwise.h"

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

struct step {
    const struct kernel *kernel; /* NULL for a control step */
    const struct control *control;
    void *params; /* the step's own */
    size_t params_bytes;
    struct value **inputs;
    int input_count;
    struct value **outputs;
    int output_count;
    const struct node *node; /* whose name and sources errors and traces speak of */
    /* Bit i: output 0 may be written where input i lies, element for element. */
    uint32_t in_place;
};

/* All that is written to a value, by one step or several, is written before any step reads of it. */
struct step_list {
    struct region *region; /* while a segment is in the making: freed once its steps are done, and copied */
    struct step **steps;
    int count, capacity;
};

static inline int step_tasks(const struct step *step)
{
    return step->kernel && step->kernel->tasks ? step->kernel->tasks(step->params) : 1;
}

static inline size_t step_workspace(const struct step *step) /* of one task */
{
    size_t bytes = step->kernel && step->kernel->workspace_bytes ? step->kernel->workspace_bytes(step->params) : 0;
    return align_up(bytes, ALIGNMENT);
}

struct step *step_list_append(struct step_list *list, const struct step *step); /* copied; NULL: no memory */

/* A step of its own in `region`, with operands, parameters and epilogue; the node, and what a control step runs, are
 * shared. NULL: no memory. */
struct step *step_copy(const struct step *step, struct region *region);

/* Where the step's family keeps its epilogue, and how many inputs come before the epilogue's; NULL: it takes none. */
const struct pointwise_params **step_epilogue(const struct step *step, int *own_inputs);

/* Bytes of an output, of known size, that the step writes: of a copy the box, of any other step all of it. */
size_t step_bytes_written(const struct step *step, int output);

/* Sets the bits of in_place for the inputs of the step's program: those that lie as its output does. */
void step_mark_in_place(struct step *step);

/* The last thing done to a step before it runs. Passes see pointwise programs over the dimensions of their output;
 * kernels get them, and copies, with as few axes as can be. */
void step_finish(struct step *step);

#endif
