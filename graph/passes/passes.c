#include "graph/passes/passes.h"

static enum status fold(struct graph *graph, struct pass_context *context, struct error *error)
{
    return fold_constants(graph, &context->options, &context->constant_bytes, error);
}

const struct pass passes[] = {
    {"dead-code", eliminate_dead_code},
    {"fold-constants", fold},
    {NULL, NULL},
};

enum status run_passes(struct graph *graph, struct pass_context *context, struct error *error)
{
    for (const struct pass *pass = passes; pass->name; pass++) {
        enum status status = pass->run(graph, context, error);
        if (status != STATUS_OK)
            return status;
        if (context->after)
            context->after(context->user, pass->name, graph);
    }
    return STATUS_OK;
}
