#include "graph/passes/passes.h"

#include "graph/op.h"

#include <string.h>

/* Quantised constants stay what they are until fuse-qdq has seen them. */
static enum status fold(struct graph *graph, struct pass_context *context, struct error *error)
{
    return fold_constants(graph, &context->resolve, 0, &context->constant_bytes, error);
}

const struct pass passes[] = {
    {"dead-code", PASS_ONCE, eliminate_dead_code},
    {"loop-invariants", PASS_ONCE, free_loop_invariants},
    {"fold-constants", PASS_ONCE, fold},
    {"fuse-qdq", PASS_ONCE | PASS_SHAPED, fuse_qdq},
    {"narrow-matrices", PASS_ON_HOST, keep_matrices_narrow},
    {"identities", PASS_ONCE | PASS_SHAPED, eliminate_identities},
    {"common-subexpressions", PASS_ONCE | PASS_SHAPED, merge_common_subexpressions},
    {"slices", PASS_SHAPED, tidy_slices},
    /* Before the factors that a formula is known by go into weights. */
    {"recognise-activations", PASS_ONCE | PASS_SHAPED, recognise_activations},
    {"recognise-normalization", PASS_SHAPED, recognise_normalization},
    {"recognise-softmax", PASS_SHAPED, recognise_softmax},
    {"recognise-reductions", PASS_SHAPED, recognise_reductions},
    {"recognise-attention", PASS_SHAPED, recognise_attention},
    {"transposes", PASS_ONCE | PASS_SHAPED, merge_transposes},
    {"constant-chains", PASS_ONCE | PASS_SHAPED, merge_constants},
    {"fold-pad", PASS_ONCE | PASS_SHAPED, fold_pads},
    {"recognise-stft", PASS_SHAPED, recognise_stft},
    {"fold-weights", PASS_ONCE, fold_weights},
    {"merge-affine", PASS_ONCE | PASS_SHAPED, merge_affine},
    {"means-first", PASS_ONCE, take_means_first},
    {"strips", PASS_SHAPED, cut_strips},
    {NULL, 0, NULL},
};

enum status run_pass(pass_function *pass, struct graph *graph, struct pass_context *context, struct error *error)
{
    region_init(&context->scratch, graph->region->allocator);
    enum status status = pass(graph, context, error);
    region_free(&context->scratch);
    return status;
}

static bool is_done(const struct pass_context *context, const struct pass *pass)
{
    for (int i = 0; i < context->done_count; i++)
        if (strcmp(context->done[i], pass->name) == 0)
            return true;
    return false;
}

static enum status pin(const struct graph *graph, struct pass_context *context, const unsigned char *needed,
                       struct error *error)
{
    unsigned char *pins = region_allocate(graph->region, (size_t)graph->value_count);
    if (!pins)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    for (int i = 0; needed && i < graph->value_count; i++)
        pins[i] = needed[i];
    for (int i = 0; i < graph->output_count; i++)
        pins[graph->outputs[i]->id] = 1;
    context->pins = pins;
    context->pin_count = graph->value_count;
    return STATUS_OK;
}

enum status run_pass_alone(pass_function *pass, struct graph *graph, struct evaluator evaluator, struct error *error)
{
    struct pass_context context = {.resolve = {.evaluator = evaluator, .constant_limit = SIZE_MAX},
                                   .fold_all_weights = true};
    TRY(pin(graph, &context, NULL, error));
    TRY(run_pass(pass, graph, &context, error));
    graph_drop_unused(graph);
    return STATUS_OK;
}

enum status run_passes(struct graph *graph, struct pass_context *context, const unsigned char *needed,
                       struct error *error)
{
    const unsigned once = PASS_ONCE | (context->on_host ? PASS_ON_HOST : 0);
    TRY(pin(graph, context, needed, error));
    for (const struct pass *pass = passes; pass->name; pass++) {
        if (!(pass->times & (context->shaped ? PASS_SHAPED : once)) || is_done(context, pass))
            continue;
        TRY(interrupt_check(context->resolve.interrupt, error));
        TRY(run_pass(pass->run, graph, context, error));
        const struct pass_observer *observer = context->observer;
        if (observer)
            observer->after(observer->user, pass->name, graph);
    }
    return STATUS_OK;
}

/* --- for a file ------------------------------------------------------------------------------------------ */

static enum status no_memory(const struct graph *graph, struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
}

static enum status optimise(struct graph *graph, struct evaluator evaluator, struct error *error);

/* A branch that is never taken may hold what cannot be computed: such a graph stays as it is. */
static enum status optimise_inside(struct graph *graph, struct attribute *attribute, struct evaluator evaluator,
                                   struct error *error)
{
    struct error inner = {0};
    struct graph *copy = graph_clone(attribute->graph, graph->region);
    if (!copy)
        return no_memory(graph, error);
    enum status status = optimise(copy, evaluator, &inner);
    if (status == STATUS_OUT_OF_MEMORY)
        return error_set(error, status, "%s", inner.text);
    if (status == STATUS_OK)
        attribute->graph = copy;
    return STATUS_OK;
}

static enum status optimise_subgraphs(struct graph *graph, struct node *node, struct evaluator evaluator,
                                      struct error *error)
{
    struct attribute *own = NULL;
    for (int i = 0; i < node->attribute_count; i++) {
        if (node->attributes[i].kind != ATTRIBUTE_GRAPH)
            continue;
        if (!own) {
            own = region_array(graph->region, (size_t)node->attribute_count, sizeof *own);
            if (!own)
                return no_memory(graph, error);
            memcpy(own, node->attributes, (size_t)node->attribute_count * sizeof *own);
            node->attributes = own;
        }
        TRY(optimise_inside(graph, &own[i], evaluator, error));
    }
    return STATUS_OK;
}

static enum status optimise(struct graph *graph, struct evaluator evaluator, struct error *error)
{
    struct pass_context context = {.resolve = {.evaluator = evaluator, .constant_limit = SIZE_MAX},
                                   .fold_all_weights = true};
    TRY(run_passes(graph, &context, NULL, error));
    graph_drop_unused(graph);
    for (int i = 0; i < graph->node_count; i++)
        TRY(optimise_subgraphs(graph, graph->nodes[i], evaluator, error));
    return STATUS_OK;
}

enum status optimise_once(struct graph *graph, struct evaluator evaluator, const char *const **names, int *name_count,
                          struct error *error)
{
    const char **done = region_array(graph->region, sizeof passes / sizeof passes[0], sizeof *done);
    if (!done)
        return no_memory(graph, error);
    *name_count = 0;
    for (const struct pass *pass = passes; pass->name; pass++)
        if (pass->times & PASS_ONCE)
            done[(*name_count)++] = pass->name;
    *names = done;
    return optimise(graph, evaluator, error);
}
