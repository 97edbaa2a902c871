/* A random graph in the making: shared by the files with families of nodes. */
#ifndef INFER_TESTS_RANDOM_GRAPH_MAKER_H
#define INFER_TESTS_RANDOM_GRAPH_MAKER_H

#include "tests/random_graph.h"

#define RANDOM_MOST_ELEMENTS 2048

struct random_maker {
    struct graph *graph;
    struct dice *dice;
    struct value *values[RANDOM_MOST_VALUES]; /* f32, in the order of their making */
    int count;
    bool wider;
};

/* Constants in float32: random numbers between -1.25 and 1.25, or the number. */
struct value *random_constant(struct random_maker *m, int rank, const int64_t *dims);
struct value *random_scalar(struct random_maker *m, double number);
/* A node whose outputs join the values, where the operator accepts what it is given; its first output, or NULL. */
struct value *random_node(struct random_maker *m, const char *name, int input_count, struct value *const *inputs,
                          int output_count, int attribute_count, const struct attribute *attributes);
/* The same of two inputs and one output. */
struct value *random_node2(struct random_maker *m, const char *name, struct value *a, struct value *b);

/* Between the graph's inputs, by 8 bits and back, and weights of int8: a Conv, a MatMul or a Gemm. */
void random_integers(struct random_maker *m);

#endif
