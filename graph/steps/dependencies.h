/* Which steps must come before which, in any order that computes the same. */
#ifndef INFER_GRAPH_STEPS_DEPENDENCIES_H
#define INFER_GRAPH_STEPS_DEPENDENCIES_H

#include "graph/steps/liveness.h"

/* Of a stretch of consecutive steps, which are numbered from its first on. All zero at first; then one stretch after
 * the other may be looked at. */
struct dependencies {
    int *latest; /* scratch, by value id: zero between two stretches */
    bool *once;  /* by value id: no byte of it is written twice */
    int first, count;
    int words;        /* of a row of `before` */
    uint64_t *before; /* bit p of row s: p comes before s */
    /* Enough of these pairs that the others follow: befores[befores_of[s]] to befores[befores_of[s + 1] - 1] come
     * before s, and so for those that come after it. */
    int *befores_of, *befores;
    int *afters_of, *afters;
};

/* The tables are put in the region of the progress. false: no memory. */
bool find_dependencies(struct progress *progress, int first, int count, struct dependencies *found);

static inline bool comes_before(const struct dependencies *d, int p, int s)
{
    return d->before[(size_t)s * (size_t)d->words + (size_t)p / 64] >> (p % 64) & 1;
}

#endif
