#include "runtime/runner.h"

#include "formats/hash.h"
#include "graph/op.h"
#include "runtime/clock.h"
#include "runtime/device_run.h"

#include <string.h>

/* --- finding programs ------------------------------------------------------------------------------------ */

static enum status key_append(struct runner *runner, const void *bytes, size_t count, struct error *error)
{
    TRY(runner_reserve_key(runner, runner->key_bytes + count, error));
    if (count)
        memcpy(runner->key + runner->key_bytes, bytes, count);
    runner->key_bytes += count;
    return STATUS_OK;
}

static enum status key_append_shape(struct runner *runner, enum dtype dtype, int rank, const int64_t *dims,
                                    struct error *error)
{
    int32_t head[2] = {(int32_t)dtype, rank};
    TRY(key_append(runner, head, sizeof head, error));
    return key_append(runner, dims, (size_t)rank * sizeof *dims, error);
}

struct first_request {
    const struct graph *graph;
    const struct known_input *inputs;
    const bool *outputs_there; /* NULL: on the host, all of them */
};

static enum status make_first(void *user, const struct program_options *options, struct program **program,
                              struct error *error)
{
    const struct first_request *request = user;
    struct program_options own = *options;
    own.outputs_there = request->outputs_there;
    return program_create(&own, request->graph, request->inputs, program, error);
}

/* The program of a loop's body may be in no table where runs under way hold all there is room for. */
static struct program *find_held(const struct runner *runner, const struct program_key *key)
{
    struct program *program = runner->held;
    while (program && !program_key_equal(&program->key, key))
        program = program->parent;
    if (program)
        program_retain(program);
    return program;
}

/* A continuation has a reference to its parent, so the program held is all that a run needs. */
static void hold(struct runner *runner, struct program *program)
{
    program_release(runner->held);
    runner->held = program;
}

/* Looks in what the runner remembers, which needs no lock, then in the session's table. */
static enum status obtain(struct runner *runner, program_maker *make, void *user, struct program **program,
                          struct error *error)
{
    const struct interrupt interrupt = {run_control_making, runner->control};
    const struct program_wanted wanted = {
        .key = {runner->key, runner->key_bytes, xxh64(runner->key, runner->key_bytes, 0)},
        .make = make,
        .user = user,
        .interrupt = runner->control ? &interrupt : NULL,
        .on_host = !runner_is_outermost(runner),
    };
    *program = find_held(runner, &wanted.key);
    if (!*program)
        *program = program_memory_find(&runner->recent, &wanted.key);
    if (*program) {
        program_touch(*program);
        hold(runner, *program);
        return STATUS_OK;
    }
    TRY(session_program(runner->session, &wanted, program, error));
    if (runner_is_outermost(runner))
        session_note(runner->session, *program);
    program_memory_add(&runner->recent, *program);
    hold(runner, *program);
    return STATUS_OK;
}

/* On which sides the caller's tensors are. */
static enum status key_append_sides(struct runner *runner, const bool *outputs_there, struct error *error)
{
    for (int i = 0; i < runner->graph->input_count; i++)
        TRY(key_append(runner, &runner->known[i].on_device, sizeof runner->known[i].on_device, error));
    return key_append(runner, outputs_there, (size_t)runner->graph->output_count * sizeof *outputs_there, error);
}

enum status runner_first_program(struct runner *runner, struct program **program, struct error *error)
{
    const struct graph *graph = runner->graph;
    uint64_t head[2] = {0, (uint64_t)(uintptr_t)graph};
    runner->key_bytes = 0;
    TRY(key_append(runner, head, sizeof head, error));
    for (int i = 0; i < graph->input_count; i++)
        TRY(key_append_shape(runner, (enum dtype)runner->inputs[i].dtype, runner->inputs[i].rank,
                             runner->inputs[i].dims, error));
    for (int i = 0; i < graph->input_count; i++)
        runner->known[i] = (struct known_input){.dtype = (enum dtype)runner->inputs[i].dtype,
                                                .rank = runner->inputs[i].rank,
                                                .dims = runner->inputs[i].dims,
                                                .on_device = runner->inputs[i].device != INFER_DEVICE_CPU};
    struct first_request request = {.graph = graph, .inputs = runner->known};
    if (DEVICE_BUILT && runner->device) {
        request.outputs_there = device_run_wanted(runner);
        TRY(key_append_sides(runner, request.outputs_there, error));
    }
    return obtain(runner, make_first, &request, program, error);
}

struct next_request {
    struct program *parent;
    const void *content;
    const struct known_input *awaited;
};

static enum status make_next(void *user, const struct program_options *options, struct program **program,
                             struct error *error)
{
    const struct next_request *request = user;
    return program_continue(options, request->parent, request->content, request->awaited, program, error);
}

enum status runner_next_program(struct runner *runner, struct program *parent, struct program **program,
                                struct error *error)
{
    uint64_t head[2] = {parent->id, (uint64_t)(uintptr_t)runner->graph};
    struct next_request request = {.parent = parent};
    runner->key_bytes = 0;
    TRY(key_append(runner, head, sizeof head, error));
    struct value *needed = parent->segment.needed_copy;
    if (needed) {
        request.content = runner_pointer(runner, parent, program_place(parent, needed));
        TRY(key_append(runner, request.content, value_bytes(needed), error));
    }
    request.awaited = runner->learned;
    for (int i = 0; i < parent->awaited_count; i++) {
        struct operand place = program_place(parent, parent->awaited[i]);
        struct known_input *learned = &runner->learned[i];
        *learned = place.space == SPACE_SLOT ? runner->slots[place.index].shape : runner->awaited[i].shape;
        if (place.space != SPACE_SLOT)
            learned->dtype = parent->awaited[i]->dtype;
        TRY(key_append_shape(runner, learned->dtype, learned->rank, learned->dims, error));
    }
    return obtain(runner, make_next, &request, program, error);
}

/* --- where operands lie ------------------------------------------------------------------------------------ */

/* NULL, the memory of an empty tensor, has no bytes to count. */
static void *memory_at(const void *base, size_t offset)
{
    return base ? (char *)(uintptr_t)base + offset : NULL;
}

void *runner_pointer(struct runner *runner, const struct program *program, struct operand operand)
{
    switch (operand.space) {
    case SPACE_ARENA:
        return memory_at(runner->arena, operand.offset);
    case SPACE_CONSTANT: /* only ever read */
        return memory_at(program->constants[operand.index], operand.offset);
    case SPACE_INPUT:
        return memory_at(runner->inputs[operand.index].data, operand.offset);
    case SPACE_OUTPUT:
        return memory_at(runner->outputs[operand.index].data, operand.offset);
    case SPACE_SLOT:
        return memory_at(runner->slots[operand.index].data, operand.offset);
    case SPACE_DEVICE:
        return DEVICE_BUILT ? device_run_pointer(runner, operand.offset) : NULL;
    default:
        return NULL;
    }
}

/* --- steps ----------------------------------------------------------------------------------------------- */

struct step_run {
    const struct step *step;
    struct kernel_call call;
    char *workspace;           /* of the tasks, by lane */
    struct lane_fault *faults; /* by lane */
    struct run_control *control;
};

/* The least task with a fault is the one that is reported, whoever takes which: a lane that has met one still runs the
 * tasks below it. */
static void run_tasks(void *user, int first, int last, int lane)
{
    const struct step_run *run = user;
    if (run_control_ends(run->control))
        return;
    struct lane_fault *met = &run->faults[lane];
    struct kernel_call call = run->call;
    call.workspace = memory_at(run->workspace, (size_t)lane * run->step->plan->task_bytes);
    struct fault fault = {.set = false};
    call.fault = &fault;
    for (int task = first; task < last && !fault.set && !(met->fault.set && met->task < task); task++) {
        run->step->kernel->run(run->step->plan, &call, task);
        if (fault.set)
            *met = (struct lane_fault){fault, task};
    }
}

/* The dimensions a kernel reports go to the awaited entry of that value. */
static int64_t *reported_dims(struct runner *runner, const struct program *program, const struct value *value)
{
    if (!value || !value->dims_at_run)
        return NULL;
    for (int i = 0; i < program->awaited_count; i++) {
        if (program->awaited[i] != value)
            continue;
        runner->awaited[i].shape.rank = value->rank;
        memcpy(runner->awaited[i].dims, value->dims, sizeof value->dims);
        return runner->awaited[i].dims;
    }
    return NULL;
}

/* The fault of the lowest task, so that the message does not depend on the number of threads: whatever lies below a
 * task that some lane has begun has been run, or ended in a fault of its own. */
static enum status report_fault(struct runner *runner, const struct step *step, struct error *error)
{
    struct lane_fault *first = NULL;
    for (int i = 0; i < runner->session->threads; i++) {
        struct lane_fault *met = &runner->faults[i];
        if (met->fault.set && (!first || met->task < first->task))
            first = met;
    }
    if (!first)
        return STATUS_OK;
    error_set(error, STATUS_FAULT, "node '%s' (%s): %s", step->node->name, step->node->op->name, first->fault.text);
    for (int i = 0; i < runner->session->threads; i++)
        runner->faults[i].fault.set = false;
    return STATUS_FAULT;
}

static enum status run_phase(struct runner *runner, struct step_run *run, struct error *error)
{
    const struct kernel_plan *plan = run->step->plan;
    struct kernel_call *call = &run->call;
    for (call->round = 0; call->round < kernel_rounds(plan, call->phase); call->round++) {
        executor_run(runner->session->executor, runner->session->threads, plan->tasks[call->phase], run_tasks, run);
        TRY(report_fault(runner, run->step, error));
        TRY(run_control_after(runner->control, run->step, error));
    }
    return STATUS_OK;
}

static enum status run_kernel(struct runner *runner, const struct program *program, const struct program_step *step,
                              struct error *error)
{
    const struct step *from = step->step;
    int count = from->input_count + from->output_count;
    for (int i = 0; i < count; i++)
        runner->operand_pointers[i] = runner_pointer(runner, program, step->operands[i]);
    for (int i = 0; i < from->output_count; i++)
        runner->dims_pointers[i] = reported_dims(runner, program, from->outputs[i]);
    char *workspace = memory_at(runner->arena, step->workspace_offset);
    struct step_run run = {
        .step = from,
        .call = {.inputs = runner->operand_pointers,
                 .outputs = (void *const *)(uintptr_t)(runner->operand_pointers + from->input_count),
                 .packed = from->packed,
                 .shared = workspace,
                 .output_dims = runner->dims_pointers,
                 .ended = run_control_ends,
                 .ended_user = runner->control},
        .workspace = memory_at(workspace, align_up(from->plan->shared_bytes, ALIGNMENT)),
        .faults = runner->faults,
        .control = runner->control,
    };
    enum status status = STATUS_OK;
    for (int phase = 0; phase < from->plan->phases && status == STATUS_OK; phase++) {
        run.call.phase = phase;
        status = run_phase(runner, &run, error);
    }
    return status;
}

infer_tensor runner_tensor(struct runner *runner, const struct program *program, const struct value *value,
                           struct operand operand)
{
    infer_tensor tensor = {.dtype = (infer_dtype)value->dtype, .rank = value->rank};
    const int64_t *dims = value->dims;
    if (operand.space == SPACE_SLOT && value->rank < 0) {
        tensor.dtype = (infer_dtype)runner->slots[operand.index].shape.dtype;
        tensor.rank = runner->slots[operand.index].shape.rank;
        dims = runner->slots[operand.index].dims;
    }
    for (int i = 0; i < program->awaited_count; i++)
        if (program->awaited[i] == value && operand.space != SPACE_SLOT)
            dims = runner->awaited[i].dims;
    for (int i = 0; i < tensor.rank; i++)
        tensor.dims[i] = dims[i];
    tensor.data = runner_pointer(runner, program, operand);
    tensor.bytes = infer_tensor_bytes(tensor.dtype, tensor.rank, tensor.dims);
    return tensor;
}

enum status runner_step_on_host(struct runner *runner, const struct program *program, size_t index, struct error *error)
{
    const struct program_step *step = &program->steps[index];
    TRY(run_control_before(runner->control, step->step, error));
    runner_show_before(runner, program, index);
    TRY(step->step->control ? runner_loop(runner, program, step, error) : run_kernel(runner, program, step, error));
    runner_show_after(runner, program, index);
    return STATUS_OK;
}

enum status runner_step(struct runner *runner, const struct program *program, size_t index, struct error *error)
{
    return DEVICE_BUILT && program->device ? device_run_step(runner, program, index, error)
                                           : runner_step_on_host(runner, program, index, error);
}

static enum status run_timed(struct runner *runner, struct program *program, struct error *error)
{
    uint64_t *nanoseconds;
    TRY(step_times_enter(runner->times, program, &nanoseconds, error));
    int64_t start = clock_now(), end;
    for (int i = 0; i < program->step_count; i++, start = end) {
        TRY(runner_step(runner, program, (size_t)i, error));
        end = clock_now();
        nanoseconds[i] += runner->device_nanoseconds ? runner->device_nanoseconds : (uint64_t)(end - start);
    }
    return STATUS_OK;
}

enum status runner_run_steps(struct runner *runner, struct program *program, struct error *error)
{
    if (runner->times && runner->times->on)
        return run_timed(runner, program, error);
    for (int i = 0; i < program->step_count; i++)
        TRY(runner_step(runner, program, (size_t)i, error));
    return STATUS_OK;
}

static enum status run_marked(struct runner *runner, const struct program *program, const bool *marked,
                              struct error *error)
{
    for (int i = 0; i < program->step_count; i++)
        if (marked[i])
            TRY(runner_step(runner, program, (size_t)i, error));
    return STATUS_OK;
}

enum status runner_run_some(struct runner *runner, const struct program *program, const bool *marked,
                            struct error *error)
{
    if (!DEVICE_BUILT || !program->device)
        return run_marked(runner, program, marked, error);
    struct error met = {0};
    enum status status = device_run_begin(runner, &met);
    if (status == STATUS_OK)
        status = run_marked(runner, program, marked, &met);
    return device_run_end(runner, program, status, &met, error);
}

static enum status run_program(struct runner *runner, struct program *program, struct error *error)
{
    TRY(runner_reserve(runner, program, error));
    for (int i = 0; i < program->output_count; i++)
        TRY(runner_bind_output(runner, &program->outputs[i], error));
    runner_show_given(runner, program);
    return DEVICE_BUILT && program->device ? device_run_program(runner, program, error)
                                           : runner_run_steps(runner, program, error);
}

static enum status run_programs(struct runner *runner, struct error *error)
{
    struct program *program;
    TRY(runner_first_program(runner, &program, error));
    TRY(run_program(runner, program, error));
    while (!program->complete) {
        TRY(runner_next_program(runner, program, &program, error));
        TRY(run_program(runner, program, error));
    }
    return STATUS_OK;
}

void runner_let_go(struct runner *runner)
{
    hold(runner, NULL);
    loops_let_go(runner);
}

enum status runner_check_outputs(const struct runner *runner, size_t count, struct error *error)
{
    if (count <= (size_t)runner->graph->output_count)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT, "%zu outputs are asked for; the model has %d", count,
                     runner->graph->output_count);
}

enum status runner_run(struct runner *runner, infer_tensor *outputs, size_t count, struct error *error)
{
    TRY(runner_check_outputs(runner, count, error));
    for (size_t i = 0; i < (size_t)runner->graph->output_count; i++) {
        runner->outputs[i] = i < count ? runner_taken_output(&outputs[i]) : (infer_tensor){0};
        runner->outputs[i].dtype = INFER_NONE; /* until it is bound */
    }
    TRY(run_programs(runner, error));
    for (size_t i = 0; i < count; i++)
        if (!runner_leaves_out(&outputs[i]))
            outputs[i] = runner->outputs[i];
    return STATUS_OK;
}
