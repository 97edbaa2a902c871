/* Several kernels on one problem, timed against each other. */
#ifndef INFER_TOOLS_CONTEST_H
#define INFER_TOOLS_CONTEST_H

#include "tools/problems/expect.h"

#define MOST_CONTESTANTS 8

struct contestant {
    struct prepared prepared;
    double seconds; /* of a call: the median */
    double ratio;   /* to the first: the median of those of each round */
    bool out;       /* so much slower at first that it was not timed further */
};

struct contest {
    struct contestant contestants[MOST_CONTESTANTS];
    int count;
};

/* Adds a kernel that fits; `contest` is zero before the first. Operands are the contestants' in common and must stay.
 * False: no memory. */
bool contest_add(struct contest *contest, const struct kernel *kernel, const struct problem *problem,
                 const struct kernel_facts *facts, struct operands *operands, struct region *region);
/* Adds every kernel that fits, as many as there is room for, in the order in which they are chosen. */
bool contest_add_all(struct contest *contest, const struct problem *problem, const struct kernel_facts *facts,
                     struct operands *operands, struct region *region);
/* On one thread, taking turns for about `budget` seconds each; of the thread's own time, which others on the machine do
 * not add to. False: a kernel met a fault. */
bool contest_time(struct contest *contest, double budget);
/* The fastest; the first where none is `margin` times as fast as it. */
int contest_winner(const struct contest *contest, double margin);

#endif
