/* Resolution: a graph whose input shapes are known, node by node in order. Each node gets its output shapes; is folded
 * where everything it reads is constant, replaced where it is a composite, or kept. Where a shape depends on a tensor
 * that only a run can tell, resolution stops: `rest` is what remains, and is resolved again once the value is known.
 *
 * Sequences and optionals are lists of values while it goes on: their operators leave no nodes, or nodes of what they
 * hold. Where the rest reads one, a node in front makes it of its values again. */
#ifndef INFER_GRAPH_RESOLVE_H
#define INFER_GRAPH_RESOLVE_H

#include "graph/graph.h"

/* Computes the outputs of a node whose inputs are all constants, and makes them constants: an evaluator of ours runs
 * kernels, which this side of the graph knows nothing of. Refuses, before it is allocated, what would take more than
 * `limit` bytes. Adds to *made what the outputs take that was not there before: one that is a view of an input takes
 * nothing. */
struct evaluator {
    enum status (*evaluate)(void *user, struct graph *graph, struct node *node, size_t limit, size_t *made,
                            struct error *error);
    void *user;
};

/* Asked between nodes and passes, which may be many: anything but OK ends what is being made. */
struct interrupt {
    enum status (*check)(void *user, struct error *error);
    void *user;
};

/* NULL: nothing interrupts. */
static inline enum status interrupt_check(const struct interrupt *interrupt, struct error *error)
{
    return interrupt ? interrupt->check(interrupt->user, error) : STATUS_OK;
}

struct resolve_options {
    struct evaluator evaluator;
    const struct interrupt *interrupt;
    size_t constant_limit; /* most bytes that folded constants may take together, or any one result of a node */
    /* Nodes that compute half precision as f32 are expanded: see op_expand_as_f32. The last thing done to nodes, so
     * that passes see the operators in their own type. */
    bool half_as_f32;
};

struct resolution {
    struct graph *graph; /* every value of a kept node has its type and shape */
    struct node **kept;
    int kept_count, kept_capacity;
    struct node **rest; /* nodes still to come; their inputs may be values of kept ones */
    int rest_count, rest_capacity;
    /* Why it stopped, when rest_count > 0: this value's content must be known first; or NULL: the dimensions of the
     * last kept node's outputs (dims_at_run) must. */
    struct value *needed;
    size_t constant_bytes; /* folded here */
    size_t list_entries;   /* of all lists together */
};

/* Adds `nodes`, of the resolution's graph, to what it has kept or left. What is in it may be changed between two calls.
 */
enum status resolve(struct resolution *resolution, const struct resolve_options *options, struct node *const *nodes,
                    int count, struct error *error);

/* By value id, what the outputs and the rest read; NULL: no memory. */
unsigned char *resolution_needs(const struct resolution *resolution);

/* Drops kept nodes whose results neither the outputs nor the rest reads. */
enum status resolution_drop_dead(struct resolution *resolution, struct error *error);

/* An error where a result of the node passes the limit: lowering and expanding make tables as long as the dimensions of
 * the results. */
enum status check_results(const struct node *node, size_t limit, struct error *error);

/* Folds the nodes whose inputs are all constants, whatever the shapes of the graph's inputs; done once a model. Adds
 * the bytes of the constants it makes to *bytes. A constant of `least_narrow` or more elements of at most 8 bits is not
 * made floating: what stores weights so wants them small, and products may read them as they are. */
enum status fold_constants(struct graph *graph, const struct resolve_options *options, int64_t least_narrow,
                           size_t *bytes, struct error *error);

/* Of `count` nodes, moves those whose results the live values need to the end of the array, in order, and returns
 * where they begin. live[id] != 0 marks the values that are read from outside; marks of the rest are added. */
int live_nodes(struct node **nodes, int count, unsigned char *live);

#endif
