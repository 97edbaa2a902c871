/* Random small graphs of the operators that passes rearrange. */
#ifndef INFER_TESTS_RANDOM_GRAPH_H
#define INFER_TESTS_RANDOM_GRAPH_H

#include "graph/op.h"

/* Where choices come from: bytes first, then a generator that starts from `state`. */
struct dice {
    const uint8_t *at, *end;
    uint64_t state;
};

/* Uniform in [0, below). */
int64_t roll(struct dice *dice, int64_t below);

#define RANDOM_MOST_VALUES 48

struct random_graph {
    struct region region;
    struct graph *graph;
    float *inputs[2]; /* contents of the graph's inputs */
    bool damaged;
};

/* A graph whose every node has passed its own checks of shapes; all that nobody reads are its outputs. */
void random_graph_make(struct random_graph *random, struct dice *dice);
/* The same with more: what is spelled out along several axes, and, half the time, no declared types between inputs and
 * outputs. Graphs by random_graph_make stay what they are, since records of their results are compared. */
void random_graph_make_wider(struct random_graph *random, struct dice *dice);
void random_graph_free(struct random_graph *random);

/* Changes operands, attributes, operators, versions and declared types at a few places, as a broken or hostile file may
 * have them: absent, repeated, of later nodes, too many or too few, of other kinds, out of range. */
void random_graph_damage(struct random_graph *random, struct dice *dice);

#endif
