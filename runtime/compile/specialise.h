/* Specialisation: a graph whose input shapes are known becomes a list of kernel calls.
 *
 * Nodes are taken in order. Each gets its output shapes; is folded where everything it reads is constant, replaced
 * where it is a composite, or kept. Where a shape depends on a tensor that only a run can tell, the segment ends:
 * `rest` is what remains, and is specialised again once the value is known. */
#ifndef INFER_RUNTIME_COMPILE_SPECIALISE_H
#define INFER_RUNTIME_COMPILE_SPECIALISE_H

#include "graph/graph.h"
#include "graph/steps/step.h"

/* Called after each pass. */
struct pass_observer {
    void (*after)(void *user, const char *pass, const struct graph *graph);
    void *user;
};

struct specialise_options {
    enum isa isa;
    bool fuse;             /* run the passes */
    bool memory_saving;    /* and cut what takes most memory into strips, where little more work saves much */
    int threads;           /* that a run uses: the order of the steps allows for their workspaces */
    size_t constant_limit; /* most bytes that folded constants may take together, or any one result of a node */
    const struct pass_observer *observer; /* NULL: nobody looks */
    bool channels_last;                   /* images lie so wherever they can, whatever the kernels prefer */
};

struct segment {
    struct graph *graph; /* every value of a kept node has its type and shape */
    struct step_list steps;
    struct node **rest; /* nodes still to come; their inputs may be values of this segment */
    int rest_count;
    /* Why it ended, when rest_count > 0: this value's content must be known first; or NULL: the dimensions of the last
     * kept node's outputs (dims_at_run) must. */
    struct value *needed;
    struct node **kept;
    int kept_count;
    size_t constant_bytes; /* folded here */
};

/* The node whose outputs with dims_at_run the rest waits for. NULL: it waits for `needed`, or for nothing. */
static inline const struct node *segment_awaited(const struct segment *segment)
{
    return segment->needed || segment->kept_count == 0 ? NULL : segment->kept[segment->kept_count - 1];
}

/* `graph` is private to the caller and is changed: its nodes are consumed. Inputs have known types and shapes. The
 * segment lives in graph->region. */
enum status specialise(struct graph *graph, const struct specialise_options *options, struct segment *segment,
                       struct error *error);

/* Folds the nodes whose inputs are all constants, whatever the shapes of the graph's inputs; done once a model. Adds
 * the bytes of the constants it makes to *bytes. */
enum status fold_constants(struct graph *graph, const struct specialise_options *options, size_t *bytes,
                           struct error *error);

/* Of `count` nodes, moves those whose results the live values need to the end of the array, in order, and returns
 * where they begin. live[id] != 0 marks the values that are read from outside; marks of the rest are added. */
int live_nodes(struct node **nodes, int count, unsigned char *live);

/* Appends the steps of one node; converts f16 and bf16 around operators that compute in f32 (OP_HALF_AS_F32). */
enum status lower_node(struct graph *graph, struct node *node, enum isa isa, struct step_list *steps,
                       struct error *error);

/* Computes the outputs of a node whose inputs are all constants, and makes them constants. Refuses what takes more than
 * scratch_limit bytes on the way. Adds what the outputs take of the graph's region to *made: one that is a view of an
 * input takes nothing. */
enum status evaluate_node(struct graph *graph, struct node *node, enum isa isa, size_t scratch_limit, size_t *made,
                          struct error *error);

/* Runs the steps that read only constants now, and drops them; a node with one run-time input may have such steps too.
 */
enum status fold_steps(struct segment *segment, const struct specialise_options *options, struct error *error);

/* Adds the nodes of `body` to `target`, with new values in `values`: body input i becomes inputs[i], output i becomes
 * outputs[i] (made by an Identity where the body hands an input or a constant through). */
enum status inline_graph(const struct graph *body, struct graph *values, struct graph *target,
                         struct value *const *inputs, struct value *const *outputs, struct error *error);

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

#endif
