/* Who reads and who writes each value of a segment's steps. */
#ifndef INFER_GRAPH_STEPS_USES_H
#define INFER_GRAPH_STEPS_USES_H

#include "graph/steps/step.h"

struct uses {
    int value_count; /* of the graph when they were counted */
    int *outside;    /* by value id: what outlives the segment reads it */
    int *reads;      /* by value id: operands of steps, views, and everything that outlives the segment */
    int *writes;     /* by id of a root: outputs of steps that lie in it */
    int *maker;      /* by id of a root: index of the last step that writes it, -1: none */
    size_t capacity; /* of the four */
};

/* False: no memory. Entries of the list may be NULL. Counted again in the room that `uses` has: zero at first. */
bool uses_count(const struct segment *segment, struct uses *uses);

/* Operands of a step that read the value itself. */
static inline int operands_of(const struct step *step, const struct value *value)
{
    int count = 0;
    for (int i = 0; i < step->input_count; i++)
        count += step->inputs[i] == value;
    return count;
}

#endif
