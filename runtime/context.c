#include "runtime/runner.h"

#include "graph/op.h"
#include "runtime/float_environment.h"

#include <string.h>

struct infer_context {
    struct infer_session *session;
    struct budget budget; /* within the session's */
    struct runner runner;
    infer_observer observer; /* of the run under way */
    struct run_control control;
    struct step_times times;
    /* For the runs that follow: an observer may ask for something else while its own run goes on. */
    infer_observer next_observer;
    infer_run_limits next_limits;
    atomic_bool busy; /* a run is under way */
};

size_t context_table_bytes(const struct infer_session *session, const struct needs *needs)
{
    return sizeof(struct infer_context) + runner_table_bytes(session, session->graph, needs);
}

static enum status context_start(struct infer_context *context, struct error *error)
{
    struct infer_session *session = context->session;
    TRY(session_check_process(session, error));
    TRY(runner_init(&context->runner, session, session->graph, &context->budget.allocator, error));
    context->runner.control = &context->control;
    context->runner.times = &context->times;
    context->times.allocator = &context->budget.allocator;
    context->next_limits = session->run_limits;
    return STATUS_OK;
}

infer_status infer_context_create(infer_session *session, infer_context **result, infer_error *error)
{
    struct error from = {0};
    if (result)
        *result = NULL;
    if (!session || !result)
        return missing_argument(error, session ? "place for the context" : "session");
    struct infer_context *context = budget_take(&session->budget, sizeof *context, "while making a context", &from);
    if (!context)
        return publish_error(error, &from);
    memset(context, 0, sizeof *context);
    context->session = infer_session_retain(session);
    budget_init(&context->budget, &session->budget, NULL, SIZE_MAX);
    context_start(context, &from);
    budget_explain(&context->budget, &from);
    if (from.status == STATUS_OK)
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
    step_times_clear(&context->times);
    runner_free(&context->runner);
    release(&session->budget.allocator, context, sizeof *context);
    infer_session_release(session);
}

static void take_over(struct infer_context *context)
{
    const infer_observer *observer = &context->next_observer;
    context->observer = *observer;
    context->runner.observer = observer->before || observer->after || observer->value ? &context->observer : NULL;
    context->control.limits = context->next_limits;
}

static enum status run(struct infer_context *context, const infer_tensor *inputs, size_t input_count,
                       infer_tensor *outputs, size_t output_count, struct error *error)
{
    TRY(runner_bind_inputs(&context->runner, inputs, input_count, true, error));
    take_over(context);
    run_control_begin(&context->control);
    step_times_begin(&context->times);
    enum status status = runner_run(&context->runner, outputs, output_count, error);
    step_times_end(&context->times);
    run_control_end(&context->control);
    runner_let_go(&context->runner);
    return status;
}

infer_status infer_run(infer_context *context, const infer_tensor *inputs, size_t input_count, infer_tensor *outputs,
                       size_t output_count, infer_error *error)
{
    struct error from = {0};
    if (!context || (!inputs && input_count) || (!outputs && output_count))
        return missing_argument(error, !context ? "context" : inputs || !input_count ? "outputs" : "inputs");
    if (session_check_process(context->session, &from) != STATUS_OK)
        return publish_error(error, &from);
    if (atomic_exchange_explicit(&context->busy, true, memory_order_acquire)) {
        error_set(&from, STATUS_INVALID_ARGUMENT, "the context is running already; each thread needs one of its own");
        return publish_error(error, &from);
    }
    struct float_environment outside = float_environment_enter();
    run(context, inputs, input_count, outputs, output_count, &from);
    float_environment_leave(outside);
    budget_explain(&context->budget, &from);
    atomic_store_explicit(&context->busy, false, memory_order_release);
    return publish_error(error, &from);
}

size_t infer_context_arena_bytes(const infer_context *context)
{
    return context ? context->runner.arena_bytes : 0;
}

/* --- stopping and watching -------------------------------------------------------------------------------- */

void infer_context_cancel(infer_context *context)
{
    if (context)
        atomic_store(&context->control.cancelled, true);
}

infer_status infer_context_limit(infer_context *context, const infer_run_limits *limits, infer_error *error)
{
    struct error from = {0};
    infer_run_limits chosen = limits ? *limits : (infer_run_limits){0};
    if (!context)
        return missing_argument(error, "context");
    if (run_limits_check(&chosen, &from) == STATUS_OK)
        context->next_limits = chosen;
    return publish_error(error, &from);
}

void infer_context_observe(infer_context *context, const infer_observer *observer)
{
    if (context)
        context->next_observer = observer ? *observer : (infer_observer){0};
}

void infer_context_time_steps(infer_context *context, bool on)
{
    if (context)
        step_times_want(&context->times, on);
}

size_t infer_context_step_times(const infer_context *context, infer_step_time *times, size_t count)
{
    return context ? step_times_read(&context->times, times, times ? count : 0) : 0;
}
