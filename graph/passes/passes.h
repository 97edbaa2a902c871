/* The passes over a graph, in their order. */
#ifndef INFER_GRAPH_PASSES_PASSES_H
#define INFER_GRAPH_PASSES_PASSES_H

#include "graph/specialise.h"

struct pass_context {
    struct specialise_options options;
    size_t constant_bytes; /* of the constants that passes have made */
    /* Called after each pass; NULL: nobody looks. */
    void (*after)(void *user, const char *pass, const struct graph *graph);
    void *user;
};

struct pass {
    const char *name;
    enum status (*run)(struct graph *graph, struct pass_context *context, struct error *error);
};

/* Ends with a NULL name. These need no input shapes, and run once a model. */
extern const struct pass passes[];

enum status run_passes(struct graph *graph, struct pass_context *context, struct error *error);

/* Passes over the steps of a segment, once a shape. */
enum status fuse_pointwise(struct segment *segment, enum isa isa, struct error *error);

enum status eliminate_dead_code(struct graph *graph, struct pass_context *context, struct error *error);

#endif
