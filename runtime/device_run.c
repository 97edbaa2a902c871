/* A run on two sides. Steps on the device, and copies between the sides, are enqueued on the context's stream; a step
 * of the host waits for what it reads of the stream, and nobody else for anything. Stretches of the stream between two
 * steps of the host are captured in the second run of a program and launched as a whole from then on. */
#include "runtime/device_run.h"

#include "graph/op.h"
#include "runtime/session_device.h"

#include <string.h>

#define MOST_CAPTURED 32 /* programs of a context whose stretches are kept as graphs */

/* The stretches of a program as graphs. They hold addresses, also of the host's arena: they go where any memory of the
 * context moves, or the caller's on the device is another than in the run before. */
struct captured {
    struct captured *next;
    uint64_t program; /* by its number, which no other gets */
    size_t bytes;
    bool ran;     /* to its end, with these addresses, so that all is loaded that a capture could not load */
    bool refused; /* CUDA would not make a graph of a stretch */
    int step_count;
    const void **addresses; /* of the caller's tensors on the device, inputs and then outputs; NULL: it is not there */
    void *graphs[];         /* by the first step of the stretch; behind them the addresses */
};

struct device_run {
    const struct device *device;
    struct budget *budget; /* of memory of the device */
    void *stream;
    char *arena; /* on the device */
    size_t arena_bytes;
    char *staging; /* of the host, from and to which the caller's tensors are copied */
    size_t staging_bytes;
    struct device_fault *fault; /* on the device */
    struct device_fault *seen;  /* as it was when the stream was last waited for */
    void **events;
    int event_count;
    void *around[2]; /* events before and behind a step that is timed; NULL: none has been */
    void **given; /* by output: the caller's memory, while the output lies in the staging buffer; NULL: it does not */
    bool *wanted; /* by output: it is wanted on the device */
    struct slot *results;      /* by output: memory of the device that the context lends */
    struct captured *captured; /* the latest first */
};

/* --- memory ---------------------------------------------------------------------------------------------- */

void *device_run_take_host(struct runner *runner, size_t bytes, struct error *error)
{
    void *memory = NULL;
    if (!budget_reserve(&runner->session->budget, bytes)) {
        error_set(error, STATUS_MEMORY_LIMIT, "%s bytes for a run pass the limit of %s", grouped(bytes).text,
                  grouped(runner->session->budget.limit).text);
        return NULL;
    }
    if (device_take_host(runner->device->device, bytes, "a run", &memory, error) != STATUS_OK)
        budget_return(&runner->session->budget, bytes);
    return memory;
}

static void destroy_graphs(struct runner *runner, struct captured *captured)
{
    for (int i = 0; i < captured->step_count; i++) {
        device_graph_destroy(runner->device->device, captured->graphs[i]);
        captured->graphs[i] = NULL;
    }
}

static void forget_captured(struct runner *runner, struct captured **from)
{
    while (*from) {
        struct captured *gone = *from;
        *from = gone->next;
        destroy_graphs(runner, gone);
        release(runner->allocator, gone, gone->bytes);
    }
}

void device_run_give_back_host(struct runner *runner, void *memory, size_t bytes)
{
    if (!memory)
        return;
    forget_captured(runner, &runner->device->captured);
    device_give_back_host(runner->device->device, memory);
    budget_return(&runner->session->budget, bytes);
}

static enum status take_device(struct device_run *d, size_t bytes, const char *what, void **memory, struct error *error)
{
    *memory = NULL;
    if (!budget_reserve(d->budget, bytes))
        return error_set(error, STATUS_MEMORY_LIMIT, "%s bytes for %s pass the limit of %s for memory of the device",
                         grouped(bytes).text, what, grouped(d->budget->limit).text);
    struct error from = {0};
    while (device_take(d->device, bytes, what, memory, &from) == STATUS_OUT_OF_MEMORY &&
           d->budget->reclaim(d->budget->user))
        from = (struct error){0};
    if (from.status == STATUS_OK)
        return STATUS_OK;
    budget_return(d->budget, bytes);
    return error_set(error, from.status, "%s", from.text);
}

static void give_back_device(struct device_run *d, void *memory, size_t bytes)
{
    if (!memory)
        return;
    device_give_back(d->device, memory);
    budget_return(d->budget, bytes);
}

/* Of the tables by output. */
static size_t table_bytes(const struct graph *graph, size_t bytes_each)
{
    return ((size_t)graph->output_count + 1) * bytes_each;
}

static void *take_table(struct runner *runner, size_t bytes_each)
{
    size_t bytes = table_bytes(runner->graph, bytes_each);
    void *table = allocate(runner->allocator, bytes, ALIGNMENT);
    return table ? memset(table, 0, bytes) : NULL;
}

enum status device_run_create(struct runner *runner, struct error *error)
{
    struct session_device *from = runner->session->device;
    struct device_run *d = allocate(runner->allocator, sizeof *d, ALIGNMENT);
    if (!d)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a run");
    *d = (struct device_run){.device = from->device, .budget = &from->budget};
    runner->device = d;
    d->given = take_table(runner, sizeof *d->given);
    d->wanted = take_table(runner, sizeof *d->wanted);
    d->results = take_table(runner, sizeof *d->results);
    if (!d->given || !d->wanted || !d->results)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a run");
    return STATUS_OK;
}

static void free_events(struct runner *runner)
{
    struct device_run *d = runner->device;
    for (int i = 0; i < d->event_count; i++)
        device_event_destroy(d->device, d->events[i]);
    release(runner->allocator, d->events, (size_t)d->event_count * sizeof *d->events);
    d->events = NULL;
    d->event_count = 0;
}

void device_run_free(struct runner *runner)
{
    struct device_run *d = runner->device;
    if (!d)
        return;
    forget_captured(runner, &d->captured);
    free_events(runner);
    for (int i = 0; i < 2; i++)
        device_event_destroy(d->device, d->around[i]);
    give_back_device(d, d->arena, d->arena_bytes);
    give_back_device(d, d->fault, sizeof *d->fault);
    device_run_give_back_host(runner, d->staging, d->staging_bytes);
    device_run_give_back_host(runner, d->seen, sizeof *d->seen);
    device_stream_destroy(d->device, d->stream);
    for (int i = 0; d->results && i < runner->graph->output_count; i++)
        give_back_device(d, d->results[i].data, d->results[i].capacity);
    release(runner->allocator, d->given, table_bytes(runner->graph, sizeof *d->given));
    release(runner->allocator, d->wanted, table_bytes(runner->graph, sizeof *d->wanted));
    release(runner->allocator, d->results, table_bytes(runner->graph, sizeof *d->results));
    release(runner->allocator, d, sizeof *d);
    runner->device = NULL;
}

static size_t captured_bytes(const struct graph *graph, int steps)
{
    size_t addresses = (size_t)graph->input_count + (size_t)graph->output_count;
    return sizeof(struct captured) + ((size_t)steps + addresses) * sizeof(void *);
}

size_t device_run_table_bytes(const struct graph *graph, const struct needs *needs)
{
    size_t tables = table_bytes(graph, sizeof(void *) + sizeof(bool) + sizeof(struct slot));
    return sizeof(struct device_run) + tables + sizeof(struct device_fault) + needs->staging_bytes +
           (size_t)needs->events * sizeof(void *) + captured_bytes(graph, needs->steps);
}

/* --- what grows ------------------------------------------------------------------------------------------ */

static enum status reserve_stream(struct runner *runner, struct error *error)
{
    struct device_run *d = runner->device;
    void *memory;
    if (!d->stream)
        TRY(device_stream_create(&d->stream, error));
    if (!d->fault) {
        TRY(take_device(d, sizeof *d->fault, "the record of faults", &memory, error));
        d->fault = memory;
    }
    if (!d->seen)
        d->seen = device_run_take_host(runner, sizeof *d->seen, error);
    return d->seen ? STATUS_OK : error->status;
}

static enum status reserve_events(struct runner *runner, int count, struct error *error)
{
    struct device_run *d = runner->device;
    if (count <= d->event_count)
        return STATUS_OK;
    free_events(runner);
    d->events = allocate(runner->allocator, (size_t)count * sizeof *d->events, ALIGNMENT);
    if (!d->events)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a run");
    memset(d->events, 0, (size_t)count * sizeof *d->events);
    d->event_count = count;
    enum status status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = device_event_create(false, &d->events[i], error);
    if (status != STATUS_OK)
        free_events(runner);
    return status;
}

static enum status reserve_staging(struct runner *runner, size_t bytes, struct error *error)
{
    struct device_run *d = runner->device;
    if (bytes <= d->staging_bytes)
        return STATUS_OK;
    device_run_give_back_host(runner, d->staging, d->staging_bytes);
    d->staging_bytes = 0;
    d->staging = device_run_take_host(runner, bytes, error);
    if (!d->staging)
        return error->status;
    d->staging_bytes = bytes;
    return STATUS_OK;
}

static void release_arena(struct runner *runner)
{
    struct device_run *d = runner->device;
    forget_captured(runner, &d->captured);
    give_back_device(d, d->arena, d->arena_bytes);
    d->arena = NULL;
    d->arena_bytes = 0;
}

/* As the host's arena: never a small one beside a large one, but where its content must stay. */
static enum status reserve_arena(struct runner *runner, size_t bytes, bool keep, struct error *error)
{
    struct device_run *d = runner->device;
    void *larger;
    if (bytes <= d->arena_bytes)
        return STATUS_OK;
    if (!keep)
        release_arena(runner);
    TRY(take_device(d, bytes, "an arena", &larger, error));
    enum status status = STATUS_OK;
    if (d->arena)
        status = device_copy(larger, d->arena, d->arena_bytes, DEVICE_WITHIN, d->stream, error);
    if (d->arena && status == STATUS_OK)
        status = device_stream_wait(d->stream, error);
    if (status != STATUS_OK) {
        give_back_device(d, larger, bytes);
        return status;
    }
    release_arena(runner);
    d->arena = larger;
    d->arena_bytes = bytes;
    return STATUS_OK;
}

enum status device_run_reserve(struct runner *runner, const struct needs *needs, bool keep, struct error *error)
{
    struct error from = {0};
    enum status status = reserve_stream(runner, &from);
    if (status == STATUS_OK)
        status = reserve_events(runner, needs->events, &from);
    if (status == STATUS_OK)
        status = reserve_staging(runner, needs->staging_bytes, &from);
    if (status == STATUS_OK)
        status = reserve_arena(runner, needs->device_arena_bytes, keep, &from);
    return status == STATUS_OK ? status : error_set(error, status, "%s", from.text);
}

bool device_run_has_room(const struct runner *runner, const struct program *program)
{
    const struct device_run *d = runner->device;
    const struct device_program *needs = program->device;
    return d->stream && d->fault && d->seen && needs->arena_bytes <= d->arena_bytes &&
           needs->staging_bytes <= d->staging_bytes && needs->event_count <= d->event_count;
}

/* --- one step -------------------------------------------------------------------------------------------- */

/* Of a copy from or to the caller's memory, the host's part of it: the caller's bytes go into the staging buffer, or
 * that takes the place of the caller's memory until the end. */
static void stage(struct runner *runner, const struct program *program, int index)
{
    struct device_run *d = runner->device;
    const struct program_step *step = &program->steps[index];
    size_t staging = program->device->steps[index].staging;
    if (staging == SIZE_MAX)
        return;
    const struct operand *from = &step->operands[0], *to = &step->operands[1];
    if (step->step->kernel == device_transfer_kernel(DEVICE_TO_HOST)) {
        d->given[to->index] = runner->outputs[to->index].data;
        runner->outputs[to->index].data = d->staging + staging;
    } else {
        memcpy(d->staging + staging, runner_pointer(runner, program, *from), value_bytes(step->step->inputs[0]));
    }
}

static void *at(char *base, size_t offset)
{
    return base ? base + offset : NULL;
}

void *device_run_pointer(const struct runner *runner, size_t offset)
{
    return at(runner->device->arena, offset);
}

static void point_operands(struct runner *runner, const struct program *program, int index)
{
    const struct program_step *step = &program->steps[index];
    const struct step *from = step->step;
    size_t staging = program->device->steps[index].staging;
    for (int i = 0; i < from->input_count + from->output_count; i++)
        runner->operand_pointers[i] = runner_pointer(runner, program, step->operands[i]);
    for (int i = 0; i < from->output_count; i++)
        runner->dims_pointers[i] = NULL;
    if (staging != SIZE_MAX && from->kernel == device_transfer_kernel(DEVICE_FROM_HOST))
        runner->operand_pointers[0] = runner->device->staging + staging;
}

static enum status enqueue(struct runner *runner, const struct program *program, int index, struct error *error)
{
    struct device_run *d = runner->device;
    const struct program_step *step = &program->steps[index];
    const struct step *from = step->step;
    const struct kernel_plan *plan = from->plan;
    char *workspace = at(d->arena, step->workspace_offset);
    struct fault fault = {0};
    point_operands(runner, program, index);
    struct kernel_call call = {.inputs = runner->operand_pointers,
                               .outputs = (void *const *)(uintptr_t)(runner->operand_pointers + from->input_count),
                               .packed = from->packed,
                               .workspace = at(workspace, align_up(plan->shared_bytes, ALIGNMENT)),
                               .shared = workspace,
                               .fault = &fault,
                               .output_dims = runner->dims_pointers,
                               .stream = d->stream,
                               .device_fault = d->fault,
                               .step = (uint32_t)index};
    kernel_run_alone(from->kernel, plan, &call);
    if (!fault.set)
        return STATUS_OK;
    return error_set(error, STATUS_DEVICE, "node '%s' (%s): %s", from->node->name, from->node->op->name, fault.text);
}

/* Where CUDA itself fails, so that the sentence says at which node. */
static enum status at_step(enum status status, const struct program *program, int index, struct error *error)
{
    const struct node *node = program->steps[index].step->node;
    return status == STATUS_OK ? status : error_prefix(error, "node '%s' (%s)", node->name, node->op->name);
}

static enum status check_step(struct runner *runner, const struct program *program, int index, struct error *error)
{
    if (program->device->steps[index].transfer) /* no node's work */
        return STATUS_OK;
    return run_control_before(runner->control, program->steps[index].step, error);
}

/* A step between two events, and what it has taken. */
static enum status enqueue_timed(struct runner *runner, const struct program *program, int index, struct error *error)
{
    struct device_run *d = runner->device;
    double seconds;
    for (int i = 0; i < 2; i++)
        if (!d->around[i])
            TRY(device_event_create(true, &d->around[i], error));
    TRY(device_event_record(d->around[0], d->stream, error));
    TRY(enqueue(runner, program, index, error));
    TRY(device_event_record(d->around[1], d->stream, error));
    TRY(at_step(device_stream_wait(d->stream, error), program, index, error));
    TRY(device_event_seconds(d->around[0], d->around[1], &seconds, error));
    runner->device_nanoseconds = (uint64_t)(seconds * 1e9);
    return STATUS_OK;
}

enum status device_run_step(struct runner *runner, const struct program *program, size_t index, struct error *error)
{
    struct device_run *d = runner->device;
    runner->device_nanoseconds = 0;
    TRY(device_stream_wait(d->stream, error));
    if (!program->device->steps[index].on_stream)
        return runner_step_on_host(runner, program, index, error);
    TRY(check_step(runner, program, (int)index, error));
    stage(runner, program, (int)index);
    runner_show_before(runner, program, index);
    TRY(enqueue_timed(runner, program, (int)index, error));
    runner_show_after(runner, program, index);
    return STATUS_OK;
}

/* --- stretches ------------------------------------------------------------------------------------------- */

/* One past the last step that is enqueued together with `first`. */
static int stretch_end(const struct program *program, int first)
{
    const struct device_step *steps = program->device->steps;
    int end = first + 1;
    while (end < program->step_count && steps[end].on_stream && steps[end - 1].event < 0 &&
           steps[end].captures == steps[first].captures)
        end++;
    return end;
}

static enum status enqueue_all(struct runner *runner, const struct program *program, int first, int end,
                               struct error *error)
{
    for (int i = first; i < end; i++)
        TRY(enqueue(runner, program, i, error));
    return STATUS_OK;
}

/* Nothing of it has been done: where it fails the stretch can be enqueued as it is, which tells what is wrong with it.
 * A capture that has begun is always ended, or the stream could not be used again. */
static bool capture(struct runner *runner, const struct program *program, int first, int end, void **graph)
{
    struct device_run *d = runner->device;
    if (device_capture_begin(d->stream, NULL) != STATUS_OK)
        return false;
    bool done = enqueue_all(runner, program, first, end, NULL) == STATUS_OK;
    if (device_capture_end(d->stream, graph, NULL) == STATUS_OK && done)
        return true;
    device_graph_destroy(d->device, *graph);
    *graph = NULL;
    return false;
}

static enum status run_stretch(struct runner *runner, const struct program *program, int first, int end,
                               struct captured *captured, struct error *error)
{
    struct device_run *d = runner->device;
    const struct device_step *steps = program->device->steps;
    for (int i = first; i < end; i++) {
        TRY(check_step(runner, program, i, error));
        stage(runner, program, i);
    }
    void **graph = captured && steps[first].captures && end - first > 1 ? &captured->graphs[first] : NULL;
    if (graph && !*graph && captured->ran && !captured->refused)
        captured->refused = !capture(runner, program, first, end, graph);
    if (graph && *graph)
        TRY(at_step(device_graph_launch(*graph, d->stream, error), program, first, error));
    else
        TRY(enqueue_all(runner, program, first, end, error));
    if (steps[end - 1].event < 0)
        return STATUS_OK;
    return at_step(device_event_record(d->events[steps[end - 1].event], d->stream, error), program, end - 1, error);
}

static enum status run_host_step(struct runner *runner, const struct program *program, int index, struct error *error)
{
    struct device_run *d = runner->device;
    int waits = program->device->steps[index].waits;
    if (waits >= 0)
        TRY(at_step(device_event_wait(d->events[program->device->steps[waits].event], error), program, index, error));
    return runner_step_on_host(runner, program, (size_t)index, error);
}

static enum status run_stretches(struct runner *runner, const struct program *program, struct captured *captured,
                                 struct error *error)
{
    for (int i = 0; i < program->step_count;) {
        int end = program->device->steps[i].on_stream ? stretch_end(program, i) : i + 1;
        TRY(program->device->steps[i].on_stream ? run_stretch(runner, program, i, end, captured, error)
                                                : run_host_step(runner, program, i, error));
        i = end;
    }
    return STATUS_OK;
}

/* That of the program, made where there is none; it becomes the latest. NULL: no memory, so nothing is captured. */
static struct captured *captured_of(struct runner *runner, const struct program *program)
{
    struct device_run *d = runner->device;
    struct captured **link = &d->captured;
    for (int i = 0; *link && (*link)->program != program->id; i++) {
        link = &(*link)->next;
        if (i == MOST_CAPTURED)
            forget_captured(runner, link);
    }
    struct captured *found = *link;
    size_t bytes = captured_bytes(runner->graph, program->step_count);
    if (found) {
        *link = found->next;
    } else {
        found = allocate(runner->allocator, bytes, ALIGNMENT);
        if (!found)
            return NULL;
        memset(found, 0, bytes);
        found->program = program->id;
        found->bytes = bytes;
        found->step_count = program->step_count;
        found->addresses = (const void **)(found->graphs + program->step_count);
    }
    found->next = d->captured;
    d->captured = found;
    return found;
}

static void note_address(const infer_tensor *tensor, const void **address, bool *same)
{
    const void *now = tensor->device == INFER_DEVICE_CPU ? NULL : tensor->data;
    *same = *same && *address == now;
    *address = now;
}

/* Whoever changes buffers from run to run pays for no graphs: one is made where the same come twice. */
static void look_at_addresses(struct runner *runner, struct captured *captured)
{
    bool same = true;
    int inputs = runner->graph->input_count;
    for (int i = 0; i < inputs; i++)
        note_address(&runner->inputs[i], &captured->addresses[i], &same);
    for (int i = 0; i < runner->graph->output_count; i++)
        note_address(&runner->outputs[i], &captured->addresses[inputs + i], &same);
    if (same)
        return;
    destroy_graphs(runner, captured);
    captured->ran = captured->refused = false;
}

/* --- the caller's tensors -------------------------------------------------------------------------------- */

const bool *device_run_wanted(struct runner *runner)
{
    for (int i = 0; i < runner->graph->output_count; i++)
        runner->device->wanted[i] = runner->outputs[i].device != INFER_DEVICE_CPU;
    return runner->device->wanted;
}

enum status device_run_check_tensor(const struct runner *runner, const char *what, const char *name,
                                    const infer_tensor *tensor, struct error *error)
{
    bool is_there = device_owns(runner->device->device, tensor->data);
    if (tensor->device == INFER_DEVICE_CPU)
        return !is_there ? STATUS_OK
                         : error_set(error, STATUS_INVALID_ARGUMENT,
                                     "%s '%s' lies on the GPU, at %p, and its `device` does not say so", what, name,
                                     tensor->data);
    if (!is_there)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "%s '%s' is said to lie on the GPU; at %p is no memory of it, or none any more", what, name,
                         tensor->data);
    if ((uintptr_t)tensor->data % ALIGNMENT == 0)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "%s '%s' lies at %p on the GPU, which is no multiple of %d as it must be there", what, name,
                     tensor->data, ALIGNMENT);
}

struct slot *device_run_result(struct runner *runner, int output)
{
    return &runner->device->results[output];
}

enum status device_run_reserve_result(struct runner *runner, int output, size_t bytes, struct error *error)
{
    struct device_run *d = runner->device;
    struct slot *result = &d->results[output];
    size_t most = session_result_bytes(runner->session, output, true);
    if (bytes <= result->capacity && result->data)
        return STATUS_OK;
    give_back_device(d, result->data, result->capacity);
    *result = (struct slot){0};
    size_t capacity = most > bytes ? most : bytes ? bytes : 1;
    if (take_device(d, capacity, "a result", &result->data, NULL) != STATUS_OK) {
        capacity = bytes ? bytes : 1;
        TRY(take_device(d, capacity, "a result", &result->data, error));
    }
    result->capacity = capacity;
    return STATUS_OK;
}

/* --- a program ------------------------------------------------------------------------------------------- */

enum status device_run_begin(struct runner *runner, struct error *error)
{
    return device_clear(runner->device->fault, sizeof *runner->device->fault, runner->device->stream, error);
}

static void hand_over_outputs(struct runner *runner, bool with_content)
{
    struct device_run *d = runner->device;
    for (int i = 0; i < runner->graph->output_count; i++) {
        infer_tensor *output = &runner->outputs[i];
        if (!d->given[i])
            continue;
        if (with_content && output->bytes)
            memcpy(d->given[i], output->data, output->bytes);
        output->data = d->given[i];
        d->given[i] = NULL;
    }
}

static enum status tell_fault(const struct program *program, const struct device_fault *record, struct error *error)
{
    struct fault fault = {0};
    if (record->step == 0)
        return STATUS_OK;
    if (record->step > (uint32_t)program->step_count)
        return error_set(error, STATUS_DEVICE, "the record of faults names step %u of %d", record->step - 1,
                         program->step_count);
    const struct step *step = program->steps[record->step - 1].step;
    if (step->kernel->explain)
        step->kernel->explain(step->plan, record, &fault);
    return error_set(error, STATUS_FAULT, "node '%s' (%s): %s", step->node->name, step->node->op->name,
                     fault.set ? fault.text : "a value that has no answer");
}

/* A fault of the device came before one of the host that ended the run: whatever of the stream was under way stood
 * before it. */
enum status device_run_end(struct runner *runner, const struct program *program, enum status status,
                           const struct error *met, struct error *error)
{
    struct device_run *d = runner->device;
    struct error last = {0};
    enum status waited = device_copy(d->seen, d->fault, sizeof *d->fault, DEVICE_TO_HOST, d->stream, &last);
    if (device_stream_wait(d->stream, &last) != STATUS_OK && waited == STATUS_OK)
        waited = last.status;
    hand_over_outputs(runner, status == STATUS_OK && waited == STATUS_OK);
    if (waited == STATUS_OK && (status == STATUS_OK || status == STATUS_FAULT))
        TRY(tell_fault(program, d->seen, error));
    if (status != STATUS_OK)
        return error_set(error, status, "%s", met->text);
    return waited == STATUS_OK ? STATUS_OK : error_set(error, waited, "%s", last.text);
}

enum status device_run_program(struct runner *runner, struct program *program, struct error *error)
{
    struct error met = {0};
    bool watched = runner->observer || (runner->times && runner->times->on);
    struct captured *captured = watched ? NULL : captured_of(runner, program);
    if (captured)
        look_at_addresses(runner, captured);
    enum status status = device_run_begin(runner, &met);
    if (status == STATUS_OK)
        status = watched ? runner_run_steps(runner, program, &met) : run_stretches(runner, program, captured, &met);
    TRY(device_run_end(runner, program, status, &met, error));
    if (captured)
        captured->ran = true;
    if (program->step_count == 0)
        return STATUS_OK;
    return run_control_caught_up(runner->control, program->steps[program->step_count - 1].step, error);
}

void *device_run_fetch(struct runner *runner, const void *from, size_t bytes)
{
    struct device_run *d = runner->device;
    void *copy = allocate(runner->allocator, bytes, ALIGNMENT);
    if (copy && device_copy(copy, from, bytes, DEVICE_TO_HOST, d->stream, NULL) == STATUS_OK &&
        device_stream_wait(d->stream, NULL) == STATUS_OK)
        return copy;
    release(runner->allocator, copy, bytes);
    return NULL;
}
