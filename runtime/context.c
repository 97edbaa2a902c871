#include "runtime/runner.h"

#include "graph/op.h"

#include <string.h>

struct infer_context {
    struct infer_session *session;
    struct runner runner;
    infer_observer observer;
};

size_t context_table_bytes(const struct infer_session *session, const struct needs *needs)
{
    return sizeof(struct infer_context) + runner_table_bytes(session, session->graph, needs);
}

static enum status context_start(struct infer_context *context, struct error *error)
{
    struct infer_session *session = context->session;
    return runner_init(&context->runner, session, session->graph, error);
}

infer_status infer_context_create(infer_session *session, infer_context **result, infer_error *error)
{
    struct error from = {0};
    *result = NULL;
    struct infer_context *context = allocate(session->allocator, sizeof *context, ALIGNMENT);
    if (!context) {
        error_set(&from, STATUS_OUT_OF_MEMORY, "out of memory while making a context");
        return publish_error(error, &from);
    }
    memset(context, 0, sizeof *context);
    context->session = infer_session_retain(session);
    if (context_start(context, &from) == STATUS_OK)
        *result = context;
    else
        infer_context_release(context);
    return publish_error(error, &from);
}

void infer_context_release(infer_context *context)
{
    if (!context)
        return;
    struct infer_session *session = context->session;
    runner_free(&context->runner);
    release(session->allocator, context, sizeof *context);
    infer_session_release(session);
}

infer_status infer_run(infer_context *context, const infer_tensor *inputs, size_t input_count, infer_tensor *outputs,
                       size_t output_count, infer_error *error)
{
    struct error from = {0};
    if (runner_bind_inputs(&context->runner, inputs, input_count, true, &from) == STATUS_OK)
        runner_run(&context->runner, outputs, output_count, &from);
    return publish_error(error, &from);
}

size_t infer_context_arena_bytes(const infer_context *context)
{
    return context->runner.arena_bytes;
}

void infer_context_observe(infer_context *context, const infer_observer *observer)
{
    context->observer = observer ? *observer : (infer_observer){0};
    context->runner.observer = observer ? &context->observer : NULL;
}
