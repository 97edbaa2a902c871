#include "runtime/compile/on_device.h"

#include "graph/op.h"
#include "graph/steps/liveness.h"

#include <string.h>

static enum status no_memory(const struct program *program, struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing graph '%s'",
                     program->segment.graph->name);
}

bool program_begin_device(struct program *program, const struct program_device *device, struct error *error)
{
    const struct program *parent = program->parent;
    program->device = region_allocate(&program->region, sizeof *program->device);
    if (!program->device) {
        error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a program");
        return false;
    }
    program->device->sides = parent ? parent->device->sides : device->sides;
    weight_holder_init(&program->device->holder, device->weights, parent ? &parent->device->holder : NULL,
                       parent ? NULL : device->account, &program->region);
    return true;
}

bool program_want_outputs(struct program *program, const bool *there, int count)
{
    bool *copy = there ? region_array(&program->region, (size_t)count + 1, sizeof *copy) : NULL;
    if (copy && count)
        memcpy(copy, there, (size_t)count * sizeof *copy);
    program->device->sides.outputs = copy;
    return copy || !there;
}

/* --- constants ------------------------------------------------------------------------------------------- */

/* Of too little memory of the device the store says nothing; of the host's it does. */
static enum status say_why(const struct program_device *device, const struct step *step, size_t bytes,
                           enum status status, const struct error *from, struct error *error)
{
    if (status == STATUS_OK)
        return status;
    if (status == STATUS_OUT_OF_MEMORY && !*from->text)
        device->no_memory(device->user, bytes, error);
    else if (status == STATUS_MEMORY_LIMIT)
        error_set(error, status, "a constant of %s bytes passes the limit of %s for memory of the device",
                  grouped(bytes).text, grouped(device->limit).text);
    else
        error_set(error, status, "%s", from->text);
    return error_prefix(error, "node '%s' (%s)", step->node->name, step->node->op->name);
}

/* Whether it is worth another try. */
static bool makes_room(const struct program_device *device, enum status status, const struct error *from)
{
    return status == STATUS_OUT_OF_MEMORY && !*from->text && device->reclaim(device->owner);
}

static enum status upload_packs(struct program *program, struct step *step, struct upload *upload,
                                const struct program_device *device, struct error *error)
{
    const struct kernel_plan *plan = step->plan;
    if (plan->pack_count == 0)
        return STATUS_OK;
    step->packed = region_array(&program->region, (size_t)plan->pack_count, sizeof *step->packed);
    if (!step->packed)
        return no_memory(program, error);
    for (int i = 0; i < plan->pack_count; i++) {
        struct error from;
        enum status status;
        do {
            from = (struct error){0};
            status = derived_upload_pack(&program->derived, upload, step, i, &step->packed[i], &from);
        } while (makes_room(device, status, &from));
        TRY(say_why(device, step, plan->packs[i].bytes, status, &from, error));
    }
    for (int i = 0; i < plan->pack_count; i++)
        step->inputs[plan->packs[i].input] = NULL;
    return STATUS_OK;
}

/* A constant on the device, as the step's input reads it. */
static enum status upload_input(struct program *program, struct step *step, int index, struct upload *upload,
                                const struct program_device *device, struct error *error)
{
    struct graph *graph = program->segment.graph;
    size_t offset;
    struct value *input = step->inputs[index], *root = value_root(input, &offset);
    struct value *twin = graph_add_value(graph, "", input->dtype, input->rank, input->dims);
    const void *address = root->data;
    if (!twin)
        return no_memory(program, error);
    if (value_bytes(root) > 0) {
        struct error from;
        enum status status;
        do {
            from = (struct error){0};
            status = derived_upload(&program->derived, upload, root, &address, &from);
        } while (makes_room(device, status, &from));
        TRY(say_why(device, step, value_bytes(root), status, &from, error));
    }
    twin->data = (const char *)address + offset;
    twin->bytes = value_bytes(input);
    twin->strides = input->strides;
    twin->on_device = true;
    step->inputs[index] = twin;
    return STATUS_OK;
}

enum status program_upload_step(struct program *program, struct step *step, const struct program_device *device,
                                struct error *error)
{
    struct upload upload = {.holder = &program->device->holder,
                            .copy = device->copy,
                            .user = device->user,
                            .owner = program,
                            .unnamed = &program->device->unnamed};
    TRY(upload_packs(program, step, &upload, device, error));
    for (int i = 0; i < step->input_count; i++) {
        const struct value *root = step->inputs[i] ? value_root(step->inputs[i], NULL) : NULL;
        if (root && root->data && !root->on_device)
            TRY(upload_input(program, step, i, &upload, device, error));
    }
    return STATUS_OK;
}

/* --- the stream ------------------------------------------------------------------------------------------ */

/* A stretch of the host's memory that a step touches. */
struct extent {
    enum space space;
    uint32_t index;
    size_t from, to;
};

static struct extent extent_of(const struct program *program, struct value *value)
{
    struct value *root = value_root(value, NULL);
    struct operand place = program_place(program, root);
    return (struct extent){root->on_device ? SPACE_DEVICE : place.space, place.index, place.offset,
                           place.offset + (root->rank >= 0 ? value_bytes(root) : 0)};
}

/* A slot, an input and an output lie apart from all else; what lies on the device, and constants, nobody waits for. */
static bool meet(const struct extent *a, const struct extent *b)
{
    if (a->space != b->space || a->space == SPACE_DEVICE || a->space == SPACE_CONSTANT || a->space == SPACE_NONE)
        return false;
    return a->space == SPACE_ARENA ? a->from < b->to && b->from < a->to : a->index == b->index;
}

/* Whether step s of the host touches what copy t writes, or writes what copy t reads. */
static bool must_wait(const struct program *program, int s, int t, int threads)
{
    const struct step *step = program->steps[s].step, *copy = program->steps[t].step;
    const struct extent read = extent_of(program, copy->inputs[0]), written = extent_of(program, copy->outputs[0]);
    size_t workspace = 0;
    step_workspaces(step, threads, &workspace);
    const size_t begin = program->steps[s].workspace_offset;
    const struct extent own = {workspace ? SPACE_ARENA : SPACE_NONE, 0, begin, begin + workspace};
    bool waits = meet(&own, &read) || meet(&own, &written);
    for (int i = 0; i < step->input_count && !waits; i++) {
        const struct extent input = step->inputs[i] ? extent_of(program, step->inputs[i]) : (struct extent){0};
        waits = meet(&input, &written);
    }
    for (int i = 0; i < step->output_count && !waits; i++) {
        const struct extent output = step->outputs[i] ? extent_of(program, step->outputs[i]) : (struct extent){0};
        waits = meet(&output, &written) || meet(&output, &read);
    }
    return waits;
}

/* A stream is in order: who waits for a step has waited for those before it. */
static void find_waits(struct program *program, int s, int *waited, int threads)
{
    struct device_step *steps = program->device->steps;
    for (int t = s - 1; t > *waited; t--) {
        if (!steps[t].transfer || !must_wait(program, s, t, threads))
            continue;
        if (steps[t].event < 0)
            steps[t].event = program->device->event_count++;
        steps[s].waits = *waited = t;
    }
}

static enum status stage(struct program *program, int s, struct error *error)
{
    const struct program_step *step = &program->steps[s];
    struct device_step *state = &program->device->steps[s];
    struct value *read = step->step->inputs[0], *written = step->step->outputs[0];
    enum space from = step->operands[0].space, to = step->operands[1].space;
    size_t bytes = value_bytes(read);
    bool reads_caller = !value_root(read, NULL)->on_device && (from == SPACE_INPUT || from == SPACE_OUTPUT);
    bool writes_caller = !value_root(written, NULL)->on_device && to == SPACE_OUTPUT;
    state->captures = from != SPACE_SLOT && to != SPACE_SLOT && from != SPACE_CONSTANT;
    if (!reads_caller && !writes_caller)
        return STATUS_OK;
    state->staging = program->device->staging_bytes;
    if (bytes <= SIZE_MAX - ALIGNMENT &&
        add_size(state->staging, align_up(bytes, ALIGNMENT), &program->device->staging_bytes))
        return STATUS_OK;
    return error_set(error, STATUS_OUT_OF_MEMORY, "inputs and outputs pass all memory");
}

/* Of this program alone, as check_limit has it for the host. */
static enum status check_limit(const struct program *program, const struct program_device *device, struct error *error)
{
    size_t constants = program->device->holder.bytes, arena = program->device->arena_bytes, total;
    if (add_size(constants, arena, &total) && total <= device->limit)
        return STATUS_OK;
    return error_set(error, STATUS_MEMORY_LIMIT,
                     "these input shapes need memory of the device (constants %s bytes, arena %s) past its limit of %s",
                     grouped(constants).text, grouped(arena).text, grouped(device->limit).text);
}

enum status program_plan_stream(struct program *program, const struct program_options *options, struct error *error)
{
    struct device_program *device = program->device;
    int waited = -1, threads = options->specialise.facts.threads;
    device->steps = region_array(&program->region, (size_t)program->step_count + 1, sizeof *device->steps);
    if (!device->steps)
        return no_memory(program, error);
    for (int s = 0; s < program->step_count; s++) {
        const struct step *step = program->steps[s].step;
        struct device_step *state = &device->steps[s];
        *state = (struct device_step){.on_stream = step_is_on_device(step),
                                      .transfer = step_is_transfer(&device->sides, step),
                                      .captures = true,
                                      .waits = -1,
                                      .event = -1,
                                      .staging = SIZE_MAX};
        if (state->transfer)
            TRY(stage(program, s, error));
        if (!state->on_stream)
            find_waits(program, s, &waited, threads);
    }
    return check_limit(program, options->device, error);
}
