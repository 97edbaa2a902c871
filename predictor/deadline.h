/* Deadlines of what waits, the next one first: a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986) of links
 * within what waits, so that nothing is allocated. */
#ifndef INFER_PREDICTOR_DEADLINE_H
#define INFER_PREDICTOR_DEADLINE_H

#include <stdint.h>

struct deadline {
    int64_t time; /* set before it is added, and left alone while it is in */
    struct deadline *child, *sibling;
    struct deadline *before; /* the sibling before it; of the first child the parent; NULL: it is the next one */
};

/* *next is the deadline that ends first; NULL: there is none. */
void deadline_add(struct deadline **next, struct deadline *deadline);
void deadline_remove(struct deadline **next, struct deadline *deadline); /* one that is in */

#endif
