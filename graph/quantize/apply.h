/* What the files share that make a graph's layers small. */
#ifndef INFER_GRAPH_QUANTIZE_APPLY_H
#define INFER_GRAPH_QUANTIZE_APPLY_H

#include "graph/quantize/quantize.h"

/* A value that is quantised: what its readers get instead. */
struct quantised {
    struct quantised *next; /* of the same value with another quantum */
    struct quantum quantum;
    struct value *numbers; /* DequantizeLinear(QuantizeLinear(value)) */
    struct node *nodes[2];
    struct value *dynamic[3]; /* of DynamicQuantizeLinear, instead: integers, scale, zero point */
};

/* The content that layers of the same weights have in common, where their scales go along the same axis. */
struct shared {
    struct value *value; /* NULL: there is none yet */
    int axis;
};

struct application {
    struct quantize_plan *plan;
    struct graph *graph;
    struct quantised **of;        /* by id of the values that there were */
    const struct quantum **moved; /* by node: what its inputs have been quantised with */
    const struct layer **tables;  /* by value id: of QUANTIZE_HALF, what is gathered from; NULL: none */
    const struct layer **layers;  /* by node; NULL: none */
    int *makers;                  /* by value id: its node, or -1 */
    bool *read_by_others;         /* by value id: others than one layer, or one operator that moves, read it */
    bool *settled;                /* by value id: it is quantised for whoever reads it */
    bool *integers;               /* by value id: convolutions on integers are behind it, see trace_integers */
    struct value **small;         /* by value id: of constants that several layers share, what stands for them */
    struct shared *narrow;        /* by value id: of weights, their content in a small type */
    int node_count, value_count;  /* of the graph before */
    struct node **nodes;          /* in their new order */
    int count, capacity;
    struct error *error;
};

/* The error of a function that had no memory. */
enum status apply_no_memory(struct application *a);
/* Puts the node at the end of the new list. False: no memory. */
bool apply_append(struct application *a, struct node *node);
/* A node beside the graph's list: who calls says where it stands. Outputs that are NULL are made. NULL: no memory. */
struct node *apply_make(struct application *a, const char *name, const struct op *op, int input_count,
                        struct value *const *inputs, int output_count, struct value **outputs, int attribute_count,
                        const struct attribute *attributes);
/* A node of the default domain in its place, at the end of the new list, and its output: the given one, or a new one
 * (NULL). NULL: no memory, also where an input is NULL. */
struct value *apply_build(struct application *a, const char *name, const char *op, int input_count,
                          struct value *const *inputs, struct value *output, int attribute_count,
                          const struct attribute *attributes);
/* NAME_WHAT. NULL: no memory. */
const char *apply_name(struct application *a, const char *name, const char *what);
/* The layer's weights as constants: the numbers in their small type, and the scales. NULL: no memory. */
struct value *apply_narrow(struct application *a, const struct layer *layer, enum dtype dtype);
struct value *apply_scales(struct application *a, const struct layer *layer);

/* The bias (NULL: none), which apply_knows_bias, and the layer's shift in one. NULL: no memory. */
struct value *apply_shifted_bias(struct application *a, const struct layer *layer, const struct value *bias);
/* There is no bias, or a constant with an element an output channel. */
bool apply_knows_bias(const struct layer *layer, const struct value *bias);

/* Appends what takes the place of a layer's node whose activation is quantised in each run, or of any LAYER_RECURRENT.
 */
enum status apply_dynamic(struct application *a, const struct layer *layer, struct node *node);

#endif
