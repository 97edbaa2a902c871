/* The passes over a graph, in their order. */
#ifndef INFER_GRAPH_PASSES_PASSES_H
#define INFER_GRAPH_PASSES_PASSES_H

#include "graph/resolve.h"

/* Called after each pass. */
struct pass_observer {
    void (*after)(void *user, const char *pass, const struct graph *graph);
    void *user;
};

struct pass_context {
    struct resolve_options resolve;
    bool memory_saving;
    int strip_threads;     /* where memory is not to be saved: those that strips are to gain time for; 0: none */
    bool fold_all_weights; /* also those that are too large to be folded each time that a model is opened */
    /* Passes by name that the graph has been through at this time: they do not run again. */
    const char *const *done;
    int done_count;
    const struct pass_observer *observer; /* NULL: nobody looks */
    size_t constant_bytes;                /* of the constants that passes have made */
    bool shaped;                          /* the time is PASS_SHAPED */
    bool on_host; /* no step will run on a device: its kernels do not know all operators of our own */
    bool changed; /* set by a pass that changed a node */
    /* By value id, of the first `pin_count` values: read from outside the nodes. */
    const unsigned char *pins;
    int pin_count;
    struct region scratch; /* of the pass that runs, for what it needs no longer than that */
};

enum pass_time {
    PASS_ONCE = 1,    /* once a model, whatever the shapes of its inputs: ranks and types may be unknown (-1, NONE) */
    PASS_SHAPED = 2,  /* once for each program: types and shapes are known, but for values with dims_at_run */
    PASS_ON_HOST = 4, /* as PASS_ONCE, but not for a file, nor where a device may run steps (`on_host`) */
};

typedef enum status pass_function(struct graph *graph, struct pass_context *context, struct error *error);

struct pass {
    const char *name;
    unsigned times;
    pass_function *run;
};

/* Ends with a NULL name. */
extern const struct pass passes[];

/* One of them, whose scratch memory is freed at the end. */
enum status run_pass(pass_function *pass, struct graph *graph, struct pass_context *context, struct error *error);
/* The same for a function that is none of the list, over a graph whose shapes need not be known: weights of every size
 * may be made anew. */
enum status run_pass_alone(pass_function *pass, struct graph *graph, struct evaluator evaluator, struct error *error);
/* Those of the context's time. `needed` (NULL: nothing) marks by value id what is read from outside, beside the
 * graph's outputs. */
enum status run_passes(struct graph *graph, struct pass_context *context, const unsigned char *needed,
                       struct error *error);

/* The passes of PASS_ONCE over the graph and those inside it, as a file keeps what comes of it: weights of every size
 * are folded, and values that nothing reads any more are dropped. `names` receives what has run; all that is made lies
 * in the graph's region. An evaluator of the reference kernels gives the same on every machine. */
enum status optimise_once(struct graph *graph, struct evaluator evaluator, const char *const **names, int *name_count,
                          struct error *error);

static inline bool pass_pins(const struct pass_context *context, const struct value *value)
{
    return value->id < context->pin_count && context->pins[value->id];
}

/* The passes, each over the nodes of a graph. */
enum status eliminate_dead_code(struct graph *graph, struct pass_context *context, struct error *error);
enum status free_loop_invariants(struct graph *graph, struct pass_context *context, struct error *error);
enum status fuse_qdq(struct graph *graph, struct pass_context *context, struct error *error);
enum status keep_matrices_narrow(struct graph *graph, struct pass_context *context, struct error *error);
enum status eliminate_identities(struct graph *graph, struct pass_context *context, struct error *error);
enum status merge_common_subexpressions(struct graph *graph, struct pass_context *context, struct error *error);
enum status fold_pads(struct graph *graph, struct pass_context *context, struct error *error);
enum status fold_weights(struct graph *graph, struct pass_context *context, struct error *error);
enum status recognise_activations(struct graph *graph, struct pass_context *context, struct error *error);
enum status recognise_normalization(struct graph *graph, struct pass_context *context, struct error *error);
enum status recognise_stft(struct graph *graph, struct pass_context *context, struct error *error);
/* Whether that is what a Conv by these weights may become. */
bool is_fourier_basis(const struct value *weights, struct region *scratch);
enum status recognise_softmax(struct graph *graph, struct pass_context *context, struct error *error);
enum status recognise_reductions(struct graph *graph, struct pass_context *context, struct error *error);
enum status recognise_attention(struct graph *graph, struct pass_context *context, struct error *error);
enum status merge_affine(struct graph *graph, struct pass_context *context, struct error *error);
/* None of the list: it is for models that are quantised. */
enum status convolve_upsampling(struct graph *graph, struct pass_context *context, struct error *error);
/* What strips must at least take off the peak. */
#define STRIPS_LEAST_GAIN 0.20
enum status take_means_first(struct graph *graph, struct pass_context *context, struct error *error);
enum status cut_strips(struct graph *graph, struct pass_context *context, struct error *error);
enum status merge_constants(struct graph *graph, struct pass_context *context, struct error *error);
enum status merge_transposes(struct graph *graph, struct pass_context *context, struct error *error);
enum status tidy_slices(struct graph *graph, struct pass_context *context, struct error *error);

#endif
