/* Programs made before a run: for input shapes, and for the contents that are given with them. */
#include "runtime/runner.h"

#include "graph/op.h"
#include "runtime/float_environment.h"

#include <string.h>

/* --- what shapes depend on ------------------------------------------------------------------------------- */

/* The programs of one run as far as they are known, first to last, and which values of them are needed to know more.
 * A value has the same id in all of them. */
struct foresight {
    struct runner *runner;
    struct region *region;
    struct program **programs;
    int count, capacity;
    unsigned char *needed; /* by id of a root */
    bool **steps;          /* by program: those that make what is needed */
};

static void need(struct foresight *f, const struct value *value)
{
    if (value)
        f->needed[value_root((struct value *)(uintptr_t)value, NULL)->id] = 1;
}

static bool is_needed(const struct foresight *f, const struct value *value)
{
    return value && f->needed[value_root((struct value *)(uintptr_t)value, NULL)->id];
}

/* What the last program waits for, and, back to the first one, what that is made of. All that a step writes is marked,
 * so that it has memory. */
static void find_needed(struct foresight *f)
{
    const struct program *last = f->programs[f->count - 1];
    need(f, last->segment.needed_copy);
    for (int i = 0; i < last->awaited_count; i++)
        need(f, last->awaited[i]);
    for (int p = f->count - 1; p >= 0; p--)
        for (int s = f->programs[p]->step_count - 1; s >= 0; s--) {
            const struct step *step = f->programs[p]->steps[s].step;
            for (int i = 0; i < step->output_count; i++)
                f->steps[p][s] = f->steps[p][s] || is_needed(f, step->outputs[i]);
            for (int i = 0; i < step->output_count && f->steps[p][s]; i++)
                need(f, step->outputs[i]);
            for (int i = 0; i < step->input_count && f->steps[p][s]; i++)
                need(f, step->inputs[i]);
        }
}

static bool has_contents(const struct foresight *f)
{
    const struct program *first = f->programs[0];
    const struct graph *graph = first->segment.graph;
    for (int i = 0; i < graph->input_count; i++)
        if (is_needed(f, graph->inputs[i]) && !f->runner->inputs[i].data)
            return false;
    return true;
}

static enum status run_needed(struct foresight *f, int p, struct error *error)
{
    const struct program *program = f->programs[p];
    TRY(runner_reserve(f->runner, program, error));
    for (int i = 0; i < program->output_count; i++)
        if (is_needed(f, program->outputs[i].value))
            TRY(runner_bind_output(f->runner, &program->outputs[i], error));
    return runner_run_some(f->runner, program, f->steps[p], error);
}

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing a run");
}

/* Computes what the last program waits for. *known: false where an input it is made of has no contents. */
static enum status compute_needed(struct foresight *f, bool *known, struct error *error)
{
    int values = f->programs[f->count - 1]->place_count;
    f->needed = region_array(f->region, (size_t)values, sizeof *f->needed);
    f->steps = region_array(f->region, (size_t)f->count, sizeof *f->steps);
    bool done = f->needed && f->steps;
    for (int p = 0; p < f->count && done; p++) {
        f->steps[p] = region_array(f->region, (size_t)f->programs[p]->step_count, sizeof **f->steps);
        done = f->steps[p] != NULL;
    }
    if (!done)
        return no_memory(error);
    find_needed(f);
    *known = has_contents(f);
    for (int p = 0; p < f->count && *known; p++)
        TRY(run_needed(f, p, error));
    return STATUS_OK;
}

/* Room for one more: before it is made, so that none is made in vain. */
static enum status reserve_program(struct foresight *f, struct error *error)
{
    if (f->count < f->capacity)
        return STATUS_OK;
    int capacity = f->capacity ? 2 * f->capacity : 8;
    struct program **larger = region_array(f->region, (size_t)capacity, sizeof *larger);
    if (!larger)
        return no_memory(error);
    if (f->count)
        memcpy(larger, f->programs, (size_t)f->count * sizeof *larger);
    f->programs = larger;
    f->capacity = capacity;
    return STATUS_OK;
}

/* The programs of a run with these inputs, up to the first that depends on contents which are not given. The last one
 * holds the others, and the runner the last. */
static enum status foresee(struct foresight *f, struct error *error)
{
    struct program *program;
    bool known = true;
    TRY(reserve_program(f, error));
    TRY(runner_first_program(f->runner, &program, error));
    f->programs[f->count++] = program;
    while (!program->complete) {
        TRY(compute_needed(f, &known, error));
        if (!known)
            return STATUS_OK;
        TRY(reserve_program(f, error));
        TRY(runner_next_program(f->runner, program, &program, error));
        f->programs[f->count++] = program;
    }
    return STATUS_OK;
}

/* --- what is told ---------------------------------------------------------------------------------------- */

/* `outputs` and `memory` may be NULL. */
struct request {
    const infer_tensor *inputs;
    size_t input_count;
    infer_tensor *outputs;
    size_t output_count;
    infer_memory *memory;
};

static infer_memory tell_memory(const struct foresight *f)
{
    const struct infer_session *session = f->runner->session;
    const struct program *last = f->programs[f->count - 1];
    struct needs needs = {0};
    size_t tables = 0, results = 0, device_results = 0;
    bool loops = false;
    for (int p = 0; p < f->count; p++) {
        struct needs one = program_needs(f->programs[p]);
        loops = loops || (f->programs[p]->complete && !one.complete);
        results += one.result_bytes;
        device_results += one.device_result_bytes;
        tables += program_table_bytes(f->programs[p]);
        needs_add(&needs, &one);
    }
    needs.result_bytes = results;
    needs.device_result_bytes = device_results;
    needs.complete = last->complete && !loops;
    infer_memory memory = session_memory_of(session, &needs, tables, last->constant_bytes, last->derived.holder.bytes);
    return memory;
}

static void fill(infer_tensor *output, const struct value *value)
{
    output->dtype = (infer_dtype)value->dtype;
    output->rank = value->rank < 0 ? -1 : value->rank;
    output->bytes = 0;
    bool known = value->rank >= 0 && !value->dims_at_run;
    for (int i = 0; i < value->rank; i++) {
        output->dims[i] = value->dims[i] < 0 || value->dims_at_run ? -1 : value->dims[i];
        known = known && output->dims[i] >= 0;
    }
    if (known)
        output->bytes = infer_tensor_bytes(output->dtype, output->rank, output->dims);
}

static void tell_outputs(const struct foresight *f, const struct request *request)
{
    const struct graph *rest = f->programs[f->count - 1]->segment.graph; /* of a program that is not complete */
    for (size_t i = 0; rest && i < request->output_count; i++)
        fill(&request->outputs[i], rest->outputs[i]);
    for (int p = 0; p < f->count; p++)
        for (int i = 0; i < f->programs[p]->output_count; i++) {
            const struct output_binding *binding = &f->programs[p]->outputs[i];
            if ((size_t)binding->index < request->output_count)
                fill(&request->outputs[binding->index], binding->value);
        }
}

static enum status prepare_runner(struct runner *runner, const struct request *request, struct region *region,
                                  struct error *error)
{
    struct foresight f = {.runner = runner, .region = region};
    struct run_control control = {.limits = runner->session->run_limits, .prepares = true};
    TRY(runner_check_outputs(runner, request->output_count, error));
    TRY(runner_bind_inputs(runner, request->inputs, request->input_count, false, error));
    for (size_t i = 0; request->outputs && i < request->output_count; i++)
        runner->outputs[i].device = request->outputs[i].device;
    runner->control = &control;
    run_control_begin(&control);
    enum status status = foresee(&f, error);
    run_control_end(&control);
    runner->control = NULL;
    TRY(status);
    if (request->memory)
        *request->memory = tell_memory(&f);
    if (request->outputs)
        tell_outputs(&f, request);
    return STATUS_OK;
}

static enum status prepare(struct infer_session *session, const struct request *request, struct error *error)
{
    struct runner runner;
    struct budget budget;
    struct region region;
    budget_init(&budget, &session->budget, NULL, SIZE_MAX);
    region_init(&region, &budget.allocator);
    if (runner_init(&runner, session, session->graph, &budget.allocator, error) == STATUS_OK)
        prepare_runner(&runner, request, &region, error);
    if (error->status == STATUS_OK && request->memory)
        request->memory->held_bytes -= atomic_load(&budget.held); /* which goes again */
    runner_free(&runner);
    region_free(&region);
    budget_explain(&budget, error);
    return error->status;
}

static void prepare_here(struct infer_session *session, const struct request *request, struct error *error)
{
    if (session_check_process(session, error) != STATUS_OK)
        return;
    struct float_environment outside = float_environment_enter();
    prepare(session, request, error);
    float_environment_leave(outside);
}

infer_status infer_session_prepare(infer_session *session, const infer_tensor *inputs, size_t input_count,
                                   infer_memory *memory, infer_error *error)
{
    struct error from = {0};
    struct request request = {.inputs = inputs, .input_count = input_count, .memory = memory};
    if (!session || (!inputs && input_count))
        return missing_argument(error, session ? "inputs" : "session");
    prepare_here(session, &request, &from);
    return publish_error(error, &from);
}

infer_status infer_session_outputs(infer_session *session, const infer_tensor *inputs, size_t input_count,
                                   infer_tensor *outputs, size_t output_count, infer_error *error)
{
    struct error from = {0};
    struct request request = {inputs, input_count, outputs, output_count, NULL};
    if (!session || (!inputs && input_count) || (!outputs && output_count))
        return missing_argument(error, !session ? "session" : inputs || !input_count ? "outputs" : "inputs");
    prepare_here(session, &request, &from);
    return publish_error(error, &from);
}

bool session_is_fixed(const struct infer_session *session)
{
    const struct graph *graph = session->graph;
    for (int i = 0; i < graph->input_count; i++) {
        const struct value *input = graph->inputs[i];
        if (input->dtype == DTYPE_NONE || input->rank < 0)
            return false;
        for (int k = 0; k < input->rank; k++)
            if (input->dims[k] < 0)
                return false;
    }
    return true;
}

enum status session_prepare_fixed(struct infer_session *session, struct error *error)
{
    const struct graph *graph = session->graph;
    size_t count = (size_t)graph->input_count, bytes = (count + 1) * sizeof(infer_tensor);
    struct budget budget;
    budget_init(&budget, &session->budget, NULL, SIZE_MAX);
    infer_tensor *inputs = allocate(&budget.allocator, bytes, ALIGNMENT);
    if (!inputs) {
        error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the shapes of %zu inputs", count);
        budget_explain(&budget, error);
        return error->status;
    }
    for (size_t i = 0; i < count; i++) {
        const struct value *input = graph->inputs[i];
        inputs[i] = (infer_tensor){.dtype = (infer_dtype)input->dtype, .rank = input->rank};
        memcpy(inputs[i].dims, input->dims, sizeof inputs[i].dims);
    }
    enum status status = prepare(session, &(struct request){.inputs = inputs, .input_count = count}, error);
    release(&budget.allocator, inputs, bytes);
    return status;
}
