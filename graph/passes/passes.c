#include "graph/passes/passes.h"

static enum status fold(struct graph *graph, struct pass_context *context, struct error *error)
{
    return fold_constants(graph, &context->resolve, &context->constant_bytes, error);
}

const struct pass passes[] = {
    {"dead-code", PASS_ONCE, eliminate_dead_code},
    {"fold-constants", PASS_ONCE, fold},
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
    {"fold-weights", PASS_ONCE, fold_weights},
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

enum status run_passes(struct graph *graph, struct pass_context *context, const unsigned char *needed,
                       struct error *error)
{
    unsigned char *pins = region_allocate(graph->region, (size_t)graph->value_count + 1);
    if (!pins)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    for (int i = 0; needed && i < graph->value_count; i++)
        pins[i] = needed[i];
    for (int i = 0; i < graph->output_count; i++)
        pins[graph->outputs[i]->id] = 1;
    context->pins = pins;
    context->pin_count = graph->value_count;
    for (const struct pass *pass = passes; pass->name; pass++) {
        if (!(pass->times & (context->shaped ? PASS_SHAPED : PASS_ONCE)))
            continue;
        enum status status = run_pass(pass->run, graph, context, error);
        if (status != STATUS_OK)
            return status;
        const struct pass_observer *observer = context->observer;
        if (observer)
            observer->after(observer->user, pass->name, graph);
    }
    return STATUS_OK;
}
