/* A float32 graph whose weights, and perhaps activations, become small types: in ONNX's own operators, as models of
 * others do it, so that what was done to a layer can be seen and taken back. What makes it fast is fuse-qdq. */
#ifndef INFER_GRAPH_QUANTIZE_QUANTIZE_H
#define INFER_GRAPH_QUANTIZE_QUANTIZE_H

#include "graph/graph.h"
#include "graph/quantize/range.h"

enum quantize_form {
    QUANTIZE_STATIC,  /* QuantizeLinear and DequantizeLinear of activations, with scales that calibration found */
    QUANTIZE_DYNAMIC, /* DynamicQuantizeLinear, MatMulInteger and ConvInteger; DynamicQuantizeLSTM: scales are found in
                       * each run */
    QUANTIZE_WEIGHTS, /* DequantizeLinear of the weights alone */
    QUANTIZE_HALF,    /* weights in float16, with a Cast */
};

enum layer_kind {
    LAYER_CONV,
    LAYER_PRODUCT,   /* MatMul or Gemm by constant weights on the right */
    LAYER_TABLE,     /* Gather of rows */
    LAYER_RECURRENT, /* of QUANTIZE_DYNAMIC: RNN, GRU and LSTM by constant weights */
    LAYER_CONSTANT,  /* of QUANTIZE_HALF: a constant, whoever reads it */
    LAYER_GRAPHS,    /* the graphs inside a node, where no activation is quantised: all that is in them */
};

struct layer {
    enum layer_kind kind;
    const char *name;        /* of its node, or of the constant */
    const char *op;          /* of its node; "constant" */
    const struct node *node; /* NULL: LAYER_CONSTANT */
    int node_index;
    const struct value *input;   /* the activation; NULL: none, or it stays float32 in any case */
    const struct value *weights; /* NULL: LAYER_GRAPHS */
    const struct value *states;  /* of LAYER_RECURRENT: the weights of the states, R */
    int axis;                    /* of the weights' output channels; of LAYER_RECURRENT each direction has its own */
    bool chosen;                 /* it is made small */
    bool weights_only;           /* of QUANTIZE_STATIC and _DYNAMIC: chosen, but its activation stays float32 */
    const char *why; /* it cannot be, or was not, or only its weights are; NULL: it is, or nobody has decided yet */
    struct quantum quantum; /* of the activation; QUANTIZE_STATIC */
    /* Made once, for any number of graphs: the weights' new content, and its scales. NULL: not yet. */
    void *narrow;
    float *scales;       /* a channel */
    void *narrow_states; /* the same of LAYER_RECURRENT's other weights */
    float *state_scales;
    uint16_t *half_scales; /* the same in float16, where they are stored so; of 4 bits: a block, and no other scales */
    /* Of the input's channels, as calibration saw them; NULL: not known. What rounding the weights adds to the mean of
     * each output then goes into a bias. */
    const double *means;
    const double *reach; /* the same channels' largest magnitudes */
    int64_t mean_count;
    float *shift; /* that is added to the outputs; NULL: nothing */
};

/* An activation that is no layer's input and lies in memory between two steps, as the operands of a residual sum and of
 * a concatenation do. */
struct point {
    const struct value *value;
    bool chosen; /* it is quantised where convolutions on integers are computed before it; false at first */
    struct quantum quantum;
};

struct quantize_plan {
    const struct graph *graph; /* outlives the plan */
    struct region *region;     /* of the plan */
    enum quantize_form form;
    int bits;      /* of the weights: 8; 4 of products and tables alone */
    int64_t block; /* of 4 bits: weights along the depth with a scale of their own; at least 2 */
    bool in_pairs; /* scales of weights that meet integers are such that CPUs without VNNI multiply two at a time */
    struct layer *layers;
    int count;
    struct point *points; /* of QUANTIZE_STATIC */
    int point_count;
};

/* Finds the layers that the form can make small; all of them are chosen. The graph is one that passes of PASS_ONCE have
 * been through. `quantize_plan.graph`, form, bits, block, in_pairs and region are given. OUT_OF_MEMORY. */
enum status quantize_find(struct quantize_plan *plan, struct error *error);

/* Scales the channels between layers such that they have like magnitudes (cross-layer equalisation), by what
 * calibration saw of the layers' inputs, which has to be done anew after that; what the graph, which is the plan's,
 * computes stays the same but for rounding. New weights lie in its region. *pairs: of layers that were found.
 * OUT_OF_MEMORY. */
enum status quantize_equalise(const struct quantize_plan *plan, struct graph *graph, int *pairs, struct error *error);

/* Fills in the points; quantize_find does. */
enum status quantize_find_points(struct quantize_plan *plan, struct error *error);
/* Operators that may do what they do to integers of one scale (fuse-qdq knows more of them): the data inputs. 0: it is
 * none. */
int quantize_moved_inputs(const struct node *node);

/* The same for a graph inside. */
static inline struct quantize_plan quantize_inner_plan(const struct quantize_plan *plan, const struct graph *graph)
{
    return (struct quantize_plan){.graph = graph,
                                  .region = plan->region,
                                  .form = plan->form,
                                  .bits = plan->bits,
                                  .block = plan->block,
                                  .in_pairs = plan->in_pairs};
}

/* A copy of the graph, in a region of the caller's, in which the chosen layers are small. Constants' content may lie in
 * the plan. OUT_OF_MEMORY. */
enum status quantize_apply(struct quantize_plan *plan, struct region *region, struct graph **graph,
                           struct error *error);

/* The weights of a layer as the form stores them, in layer->narrow and layer->scales. */
enum status quantize_weights(struct quantize_plan *plan, struct layer *layer, struct error *error);
/* Leaves out attributes whose defaults say the same. False: no memory. */
bool quantize_drop_attributes(struct graph *graph);
/* Scales along the depth of weights in blocks. */
int64_t quantize_blocks(const struct quantize_plan *plan, const struct layer *layer);
/* The layer's weights are stored in 4 bits. */
bool quantize_in_blocks(const struct quantize_plan *plan, const struct layer *layer);
/* Output channels of the weights, which have a scale each. */
static inline int64_t quantize_channels(const struct layer *layer)
{
    const int64_t *dims = layer->weights->dims;
    return layer->kind == LAYER_RECURRENT ? dims[0] * dims[1] : dims[layer->axis];
}

/* Of LAYER_RECURRENT: a layer of the weights of the states. */
static inline struct layer quantize_states(const struct layer *layer)
{
    struct layer states = *layer;
    states.weights = layer->states;
    states.narrow = layer->narrow_states;
    states.scales = layer->state_scales;
    return states;
}

/* The largest magnitude of the weights. */
double quantize_largest(const struct layer *layer);

#endif
