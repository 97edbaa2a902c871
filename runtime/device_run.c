/* A run on two sides. Steps on the device, and copies between the sides, are enqueued on the context's stream; a step
 * of the host waits for what it reads of the stream, and nobody else for anything. Stretches of the stream between two
 * steps of the host are captured in the second run of a program and launched as a whole from then on. */
#include "runtime/device_run_inside.h"

#include "graph/op.h"

#include <string.h>

#define MOST_CAPTURED 32 /* programs of a context whose stretches are kept as graphs */

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
            device_run_forget_captured(runner, link);
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
    device_run_destroy_graphs(runner, captured);
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
