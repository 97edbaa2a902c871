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
};

/* In tables of `region`. False: no memory. Entries of the list may be NULL. */
bool uses_count(const struct segment *segment, struct region *region, struct uses *uses);

/* The steps that read or write each root, or a part of it: lists of entries, each list in the order of the steps. */
struct root_steps {
    struct root_list {
        int first, last; /* entries; -1: there is none */
    } * lists;           /* by id of a root */
    struct root_entry {
        int step, next; /* next: an entry, -1: none */
    } * entries;
    int entry_count;
};

/* False: no memory. Entries of the step list may be NULL. */
bool root_steps_find(const struct segment *segment, struct region *region, struct root_steps *found);

/* Operands of a step that read the value itself. */
static inline int operands_of(const struct step *step, const struct value *value)
{
    int count = 0;
    for (int i = 0; i < step->input_count; i++)
        count += step->inputs[i] == value;
    return count;
}

#endif
