/* The graph IR: values, nodes, attributes. Everything lives in the region of its graph and is freed with it. */
#ifndef INFER_GRAPH_GRAPH_H
#define INFER_GRAPH_GRAPH_H

#include "kernels/base.h"

struct graph;
struct node;
struct op;

/* A sequence, or an optional, of ONNX: what it holds, by name, is known while a graph is resolved (resolve.h), and
 * nothing after that ever meets one. */
struct value_list {
    bool optional;    /* one value, which may be a sequence, or none */
    enum dtype dtype; /* of what is to come into an empty sequence; NONE: anything */
    int count;
    struct value **values; /* of the same graph */
};

/* A tensor of the graph: an input, a constant (data != NULL), or what a node makes. Each keeps the ONNX name it came
 * from. Dimensions >= 0 are known; a negative one is a symbol, the same number for the same symbol: see
 * graph_symbol. rank < 0: nothing is known of the shape. */
struct value {
    const char *name; /* unique in its graph; "" for a value that a pass or an expansion made up */
    enum dtype dtype; /* DTYPE_NONE until inferred */
    int rank;
    int64_t dims[MAX_RANK];
    const void *data; /* content of a constant, in C order; not owned */
    size_t bytes;     /* of data */
    int id;           /* index in graph->values */
    /* Set by specialisation: the dimensions above are upper bounds (or unknown, rank < 0) and the true ones are known
     * only once the producing step has run. */
    bool dims_at_run;
    /* Set by resolution: it is no tensor but this. */
    const struct value_list *list;
    /* Set by lowering: these bytes are bytes [alias_offset, ...) of another value. */
    struct value *alias;
    size_t alias_offset;
    /* Set by passes along with an alias: the elements do not lie one after the other; only the step that has this value
     * as an operand knows how. */
    bool strided;
    /* Set by placement: its memory is the device's (graph/steps/sides.h). Of a view its root tells. */
    bool on_device;
    /* Set by a pass: strides in elements of a value that does not lie in C order; NULL: it does. */
    const int64_t *strides;
};

enum attribute_kind {
    ATTRIBUTE_INT = 1,
    ATTRIBUTE_FLOAT = 2,
    ATTRIBUTE_STRING = 3,
    ATTRIBUTE_TENSOR = 4,
    ATTRIBUTE_GRAPH = 5,
    ATTRIBUTE_INTS = 6,
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_STRINGS = 8,
};

struct attribute {
    const char *name;
    enum attribute_kind kind;
    size_t count; /* of ints, floats or strings; length of string */
    union {
        int64_t i;
        float f;
        const char *string; /* terminated; may hold zeros before that */
        const int64_t *ints;
        const float *floats;
        const char *const *strings;
        const struct value *tensor; /* a constant; not among graph->values */
        const struct graph *graph;  /* closed: what it uses of outer graphs comes in as its last inputs */
    };
};

struct node {
    const struct op *op;
    int version;      /* opset version of the model for the operator's domain */
    const char *name; /* ONNX node name, or made from its first output; for messages */
    struct value **inputs;
    int input_count; /* NULL entries are absent optional inputs */
    struct value **outputs;
    int output_count; /* NULL entries are outputs nobody asked for */
    const struct attribute *attributes;
    int attribute_count;
    /* The ONNX nodes this one stands for: {name} at first, more after fusion. */
    const char *const *sources;
    int source_count;
};

struct graph {
    struct region *region;
    const char *name;
    struct value **values;
    int value_count, value_capacity;
    struct node **nodes; /* in topological order: a node comes after those that make its inputs */
    int node_count, node_capacity;
    struct value **inputs; /* of a subgraph: formal inputs, then captures */
    int input_count;
    /* For each input a constant that it is where the caller leaves it out, or NULL: it must be given. NULL for a graph
     * without such inputs, as all subgraphs are. */
    struct value **defaults;
    struct value **outputs;
    int output_count;
    const char **symbols; /* names of symbolic dimensions; "" for an anonymous one */
    int symbol_count, symbol_capacity;
};

/* All of these return NULL where memory ran out. */
struct graph *graph_create(struct region *region, const char *name);
struct value *graph_add_value(struct graph *graph, const char *name, enum dtype dtype, int rank, const int64_t *dims);
/* A constant whose data the caller keeps alive as long as the graph. */
struct value *graph_add_constant(struct graph *graph, const char *name, enum dtype dtype, int rank, const int64_t *dims,
                                 const void *data);
/* Copies the pointer arrays, not what they point to. The node's sources are {name}. */
struct node *graph_add_node(struct graph *graph, const struct op *op, int version, const char *name, int input_count,
                            struct value *const *inputs, int output_count, struct value *const *outputs,
                            int attribute_count, const struct attribute *attributes);
bool graph_append_node(struct graph *graph, struct node *node);
bool graph_set_inputs(struct graph *graph, int count, struct value *const *inputs);
bool graph_set_defaults(struct graph *graph, struct value *const *defaults); /* one an input; after the inputs */
bool graph_set_outputs(struct graph *graph, int count, struct value *const *outputs);
/* The negative number that stands for a symbol as a dimension; 0 where memory ran out. An empty name, or "?",
 * makes a new anonymous one each time. */
int64_t graph_symbol(struct graph *graph, const char *name);
/* "N" for a named symbol, "?" for an anonymous one. dim < 0. */
const char *graph_symbol_name(const struct graph *graph, int64_t dim);

/* A deep copy in another region: values, nodes and arrays are new; names, attributes and data stay shared, so the
 * original must outlive the copy. Lists are not copied. Node i of the copy is node i of the original; so are values by
 * id. */
struct graph *graph_clone(const struct graph *graph, struct region *region);

const struct attribute *node_attribute(const struct node *node, const char *name); /* NULL: absent */
/* NULL too where it is of another kind: then the operator does without it. */
const struct attribute *node_attribute_of(const struct node *node, const char *name, enum attribute_kind kind);

/* "1x3x224x224", "[batch, 3, ?]" where a size is not known, or "scalar", into a buffer that is returned. Long symbols
 * are cut. */
const char *shape_text(const struct graph *graph, int rank, const int64_t *dims, char *buffer, size_t bytes);
static inline const char *value_shape_text(const struct graph *graph, const struct value *value, char *buffer,
                                           size_t bytes)
{
    return shape_text(graph, value->rank, value->dims, buffer, bytes);
}

/* The value whose memory `value` lies in, and where in it (bytes). */
static inline struct value *value_root(struct value *value, size_t *offset)
{
    size_t sum = 0;
    while (value->alias) {
        sum += value->alias_offset;
        value = value->alias;
    }
    if (offset)
        *offset = sum;
    return value;
}

/* Adds the nodes of `body` to `target`, with new values in `values`: body input i becomes inputs[i], output i becomes
 * outputs[i] (made by an Identity where the body hands an input or a constant through). */
enum status inline_graph(const struct graph *body, struct graph *values, struct graph *target,
                         struct value *const *inputs, struct value *const *outputs, struct error *error);

/* Drops the values that are no input, no output and no operand of a node, and numbers the others anew. */
void graph_drop_unused(struct graph *graph);

/* How deep graphs may nest: a limit for everything that recurses through them. */
#define DEEPEST_SUBGRAPH 32

/* The node has as many inputs and outputs as its operator takes and makes, and none that the operator requires is
 * absent: what passes and `shapes` rely on. One sentence otherwise. */
enum status node_check_operands(const struct node *node, struct error *error);

/* Checks what every graph must keep: topological order, one producer a value, outputs that exist, constants whose
 * bytes fit their shape, operands as the operator has them, closed subgraphs. One sentence for the first thing wrong.
 */
enum status graph_validate(const struct graph *graph, struct error *error);

#endif
