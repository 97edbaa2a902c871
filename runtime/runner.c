#include "runtime/runner.h"

#include "formats/hash.h"
#include "graph/op.h"

#include <string.h>

#define KEY_GRAIN 256 /* bytes that the room for a key grows by */

/* --- memory ---------------------------------------------------------------------------------------------- */

/* An empty table has an address too. */
static size_t table_bytes(size_t count, size_t bytes_each)
{
    return (count ? count : 1) * bytes_each;
}

static void *zeroed(struct runner *runner, size_t count, size_t bytes_each)
{
    size_t bytes = table_bytes(count, bytes_each);
    void *memory = allocate(runner->allocator, bytes, ALIGNMENT);
    return memory ? memset(memory, 0, bytes) : NULL;
}

static void discard(struct runner *runner, void *memory, size_t count, size_t bytes_each)
{
    release(runner->allocator, memory, table_bytes(count, bytes_each));
}

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a run");
}

enum status slot_reserve(struct runner *runner, struct slot *slot, size_t bytes, struct error *error)
{
    if (bytes <= slot->capacity && slot->data)
        return STATUS_OK;
    if (bytes > runner->session->budget.limit)
        return error_set(error, STATUS_MEMORY_LIMIT, "a result needs %zu bytes, past the limit of %zu", bytes,
                         runner->session->budget.limit);
    size_t capacity = bytes ? bytes : 1;
    void *larger = allocate(runner->allocator, capacity, ALIGNMENT);
    if (!larger)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a result of %zu bytes", bytes);
    if (slot->data)
        memcpy(larger, slot->data, slot->capacity);
    release(runner->allocator, slot->data, slot->capacity);
    slot->data = larger;
    slot->capacity = capacity;
    return STATUS_OK;
}

void slot_free(const struct allocator *allocator, struct slot *slot)
{
    release(allocator, slot->data, slot->capacity);
    *slot = (struct slot){0};
}

enum status runner_init(struct runner *runner, struct infer_session *session, const struct graph *graph,
                        const struct allocator *allocator, struct error *error)
{
    *runner = (struct runner){.session = session, .allocator = allocator, .graph = graph};
    TRY(program_memory_init(&runner->recent, runner->allocator, session->cached_programs, error));
    runner->inputs = zeroed(runner, (size_t)graph->input_count, sizeof *runner->inputs);
    runner->outputs = zeroed(runner, (size_t)graph->output_count, sizeof *runner->outputs);
    runner->results = zeroed(runner, (size_t)graph->output_count, sizeof *runner->results);
    runner->known = zeroed(runner, (size_t)graph->input_count, sizeof *runner->known);
    runner->symbols = zeroed(runner, (size_t)graph->symbol_count, sizeof *runner->symbols);
    runner->faults = zeroed(runner, (size_t)session->threads, sizeof *runner->faults);
    bool done =
        runner->inputs && runner->outputs && runner->results && runner->known && runner->symbols && runner->faults;
    return done ? STATUS_OK : no_memory(error);
}

static void free_operands(struct runner *runner)
{
    size_t count = (size_t)runner->operand_capacity;
    discard(runner, runner->operand_pointers, count, sizeof *runner->operand_pointers);
    discard(runner, runner->dims_pointers, count, sizeof *runner->dims_pointers);
    discard(runner, runner->operand_tensors, count, sizeof *runner->operand_tensors);
    discard(runner, runner->operand_names, count, sizeof *runner->operand_names);
    runner->operand_pointers = NULL;
    runner->dims_pointers = NULL;
    runner->operand_tensors = NULL;
    runner->operand_names = NULL;
    runner->operand_capacity = 0;
}

static void free_slots(struct runner *runner, struct slot *slots, int count)
{
    for (int i = 0; slots && i < count; i++)
        slot_free(runner->allocator, &slots[i]);
    discard(runner, slots, (size_t)count, sizeof *slots);
}

void runner_free(struct runner *runner)
{
    if (!runner->session)
        return;
    loops_free(runner);
    program_release(runner->held);
    program_memory_free(&runner->recent);
    free_slots(runner, runner->results, runner->graph->output_count);
    free_slots(runner, runner->slots, runner->slot_count);
    free_operands(runner);
    discard(runner, runner->inputs, (size_t)runner->graph->input_count, sizeof *runner->inputs);
    discard(runner, runner->outputs, (size_t)runner->graph->output_count, sizeof *runner->outputs);
    discard(runner, runner->known, (size_t)runner->graph->input_count, sizeof *runner->known);
    discard(runner, runner->symbols, (size_t)runner->graph->symbol_count, sizeof *runner->symbols);
    discard(runner, runner->learned, (size_t)runner->awaited_count, sizeof *runner->learned);
    discard(runner, runner->faults, (size_t)runner->session->threads, sizeof *runner->faults);
    free_slots(runner, runner->awaited, runner->awaited_count);
    release(runner->allocator, runner->key, runner->key_capacity);
    release(runner->allocator, runner->arena, runner->arena_bytes);
    *runner = (struct runner){0};
}

/* What runner_init, key_append and reserve allocate, in that order. */
size_t runner_table_bytes(const struct infer_session *session, const struct graph *graph, const struct needs *needs)
{
    const struct runner *runner = NULL; /* for the sizes of what its fields point to */
    size_t inputs = (size_t)graph->input_count, outputs = (size_t)graph->output_count;
    size_t operands = (size_t)needs->operands, slots = (size_t)needs->slots, awaited = (size_t)needs->awaited;
    size_t bytes = program_memory_bytes(session->cached_programs);
    bytes += table_bytes(inputs, sizeof *runner->inputs + sizeof *runner->known);
    bytes += table_bytes(outputs, sizeof *runner->outputs + sizeof *runner->results);
    bytes += table_bytes((size_t)graph->symbol_count, sizeof *runner->symbols);
    bytes += table_bytes((size_t)session->threads, sizeof *runner->faults);
    bytes += align_up(needs->key_bytes, KEY_GRAIN);
    bytes += needs->arena_bytes ? 0 : 1;
    bytes += table_bytes(operands, sizeof *runner->operand_pointers + sizeof *runner->dims_pointers +
                                       sizeof *runner->operand_tensors + sizeof *runner->operand_names);
    bytes += slots * sizeof *runner->slots;
    return bytes + awaited * (sizeof *runner->awaited + sizeof *runner->learned);
}

/* --- finding programs ------------------------------------------------------------------------------------ */

static enum status key_append(struct runner *runner, const void *bytes, size_t count, struct error *error)
{
    size_t needed = runner->key_bytes + count;
    if (needed > runner->key_capacity) {
        size_t capacity = align_up(needed, KEY_GRAIN);
        char *larger = allocate(runner->allocator, capacity, ALIGNMENT);
        if (!larger)
            return no_memory(error);
        if (runner->key_bytes)
            memcpy(larger, runner->key, runner->key_bytes);
        release(runner->allocator, runner->key, runner->key_capacity);
        runner->key = larger;
        runner->key_capacity = capacity;
    }
    if (count)
        memcpy(runner->key + runner->key_bytes, bytes, count);
    runner->key_bytes = needed;
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
};

static enum status make_first(void *user, const struct program_options *options, struct program **program,
                              struct error *error)
{
    const struct first_request *request = user;
    return program_create(options, request->graph, request->inputs, program, error);
}

/* The program of a loop's body may be in no table where runs under way hold all there is room for. */
static struct program *find_held(const struct runner *runner, uint64_t hash)
{
    struct program *program = runner->held;
    while (program && (program->hash != hash || program->key_bytes != runner->key_bytes ||
                       memcmp(program->key, runner->key, runner->key_bytes) != 0))
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
    uint64_t hash = xxh64(runner->key, runner->key_bytes, 0);
    *program = find_held(runner, hash);
    if (!*program)
        *program = program_memory_find(&runner->recent, runner->key, runner->key_bytes, hash);
    if (*program) {
        program_touch(*program);
        hold(runner, *program);
        return STATUS_OK;
    }
    TRY(session_program(runner->session, runner->key, runner->key_bytes, hash, make, user, program, error));
    if (runner_is_outermost(runner))
        session_note(runner->session, *program);
    program_memory_add(&runner->recent, *program);
    hold(runner, *program);
    return STATUS_OK;
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
        runner->known[i] =
            (struct known_input){(enum dtype)runner->inputs[i].dtype, runner->inputs[i].rank, runner->inputs[i].dims};
    struct first_request request = {graph, runner->known};
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
    struct value *needed = parent->segment.needed;
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

/* --- memory of a program --------------------------------------------------------------------------------- */

static void release_arena(struct runner *runner)
{
    release(runner->allocator, runner->arena, runner->arena_bytes);
    runner->arena = NULL;
    runner->arena_bytes = 0;
}

/* keep: a continuation finds in the arena what its parent left there. Otherwise nothing is in it, and there is never a
 * small one beside a large one. An empty arena has an address too. */
static enum status reserve_arena(struct runner *runner, size_t bytes, bool keep, struct error *error)
{
    if (bytes <= runner->arena_bytes && runner->arena)
        return STATUS_OK;
    bytes = bytes ? bytes : 1;
    if (!keep)
        release_arena(runner);
    char *larger = allocate(runner->allocator, bytes, ALIGNMENT);
    if (!larger)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for an arena of %zu bytes", bytes);
    if (runner->arena)
        memcpy(larger, runner->arena, runner->arena_bytes);
    release_arena(runner);
    runner->arena = larger;
    runner->arena_bytes = bytes;
    return STATUS_OK;
}

static enum status reserve_slots(struct runner *runner, struct slot **slots, int *have, int count, struct error *error)
{
    if (count <= *have)
        return STATUS_OK;
    struct slot *larger = zeroed(runner, (size_t)count, sizeof *larger);
    if (!larger)
        return no_memory(error);
    for (int i = 0; i < *have; i++)
        larger[i] = (*slots)[i];
    for (int i = 0; i < count; i++)
        larger[i].shape.dims = larger[i].dims;
    discard(runner, *slots, (size_t)*have, sizeof **slots);
    *slots = larger;
    *have = count;
    return STATUS_OK;
}

/* The table of what is learned goes with the table of dimensions: both grow, or neither. */
static enum status reserve_awaited(struct runner *runner, int count, struct error *error)
{
    int have = runner->awaited_count;
    if (count <= have)
        return STATUS_OK;
    struct known_input *learned = zeroed(runner, (size_t)count, sizeof *learned);
    if (!learned)
        return no_memory(error);
    enum status status = reserve_slots(runner, &runner->awaited, &runner->awaited_count, count, error);
    if (status != STATUS_OK) {
        discard(runner, learned, (size_t)count, sizeof *learned);
        return status;
    }
    if (runner->learned)
        discard(runner, runner->learned, (size_t)have, sizeof *learned);
    runner->learned = learned;
    return STATUS_OK;
}

static enum status reserve_operands(struct runner *runner, int count, struct error *error)
{
    if (count <= runner->operand_capacity && runner->operand_pointers)
        return STATUS_OK;
    free_operands(runner);
    runner->operand_capacity = count;
    runner->operand_pointers = zeroed(runner, (size_t)count, sizeof *runner->operand_pointers);
    runner->dims_pointers = zeroed(runner, (size_t)count, sizeof *runner->dims_pointers);
    runner->operand_tensors = zeroed(runner, (size_t)count, sizeof *runner->operand_tensors);
    runner->operand_names = zeroed(runner, (size_t)count, sizeof *runner->operand_names);
    if (runner->operand_pointers && runner->dims_pointers && runner->operand_tensors && runner->operand_names)
        return STATUS_OK;
    free_operands(runner); /* all of them or none: the next run starts over */
    return no_memory(error);
}

static bool has_room(const struct runner *runner, const struct program *program)
{
    return runner->arena && program->arena_bytes <= runner->arena_bytes && runner->operand_pointers &&
           program_most_operands(program) <= runner->operand_capacity && program->slot_count <= runner->slot_count &&
           program->awaited_count <= runner->awaited_count;
}

/* The arena last: where there is no room for it, the tables have grown by little. */
static enum status reserve(struct runner *runner, const struct needs *needs, bool keep, struct error *error)
{
    TRY(reserve_slots(runner, &runner->slots, &runner->slot_count, needs->slots, error));
    TRY(reserve_awaited(runner, needs->awaited, error));
    TRY(reserve_operands(runner, needs->operands, error));
    return reserve_arena(runner, needs->arena_bytes, keep, error);
}

/* What has to grow grows at once to what the session's programs need, so that shapes prepared before cost no further
 * growth. Where there is no room for that, which may be a shape's that was refused, this program gets what it needs. */
enum status runner_reserve(struct runner *runner, const struct program *program, struct error *error)
{
    const bool keep = program->parent != NULL;
    if (has_room(runner, program))
        return STATUS_OK;
    if (runner_is_outermost(runner)) {
        struct needs all = session_needs(runner->session);
        if (reserve(runner, &all, keep, NULL) == STATUS_OK)
            return STATUS_OK;
    }
    struct needs own = program_needs(program);
    return reserve(runner, &own, keep, error);
}

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

/* A lane that has met a fault runs no further task: they all come after it. */
static void run_tasks(void *user, int first, int last, int lane)
{
    const struct step_run *run = user;
    if (run_control_ends(run->control))
        return;
    struct lane_fault *met = &run->faults[lane];
    struct kernel_call call = run->call;
    call.workspace = memory_at(run->workspace, (size_t)lane * run->step->plan.task_bytes);
    call.fault = &met->fault;
    for (int task = first; task < last && !met->fault.set; task++) {
        met->task = task;
        run->step->kernel->run(&run->step->plan, &call, task);
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
        .workspace = memory_at(workspace, align_up(from->plan.shared_bytes, ALIGNMENT)),
        .faults = runner->faults,
        .control = runner->control,
    };
    enum status status = STATUS_OK;
    for (int phase = 0; phase < from->plan.phases && status == STATUS_OK; phase++) {
        run.call.phase = phase;
        executor_run(runner->session->executor, runner->session->threads, from->plan.tasks[phase], run_tasks, &run);
        status = report_fault(runner, from, error);
        if (status == STATUS_OK)
            status = run_control_after(runner->control, from, error);
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

enum status runner_step(struct runner *runner, const struct program *program, size_t index, struct error *error)
{
    const struct program_step *step = &program->steps[index];
    TRY(run_control_before(runner->control, step->step, error));
    runner_show_before(runner, program, index);
    TRY(step->step->control ? runner_loop(runner, program, step, error) : run_kernel(runner, program, step, error));
    runner_show_after(runner, program, index);
    return STATUS_OK;
}

static enum status run_timed(struct runner *runner, struct program *program, struct error *error)
{
    uint64_t *nanoseconds;
    TRY(step_times_enter(runner->times, program, &nanoseconds, error));
    int64_t start = step_times_now(), end;
    for (int i = 0; i < program->step_count; i++, start = end) {
        TRY(runner_step(runner, program, (size_t)i, error));
        end = step_times_now();
        nanoseconds[i] += (uint64_t)(end - start);
    }
    return STATUS_OK;
}

static enum status run_program(struct runner *runner, struct program *program, struct error *error)
{
    TRY(runner_reserve(runner, program, error));
    for (int i = 0; i < program->output_count; i++)
        TRY(runner_bind_output(runner, &program->outputs[i], error));
    runner_show_given(runner, program);
    if (runner->times && runner->times->on)
        return run_timed(runner, program, error);
    for (int i = 0; i < program->step_count; i++)
        TRY(runner_step(runner, program, (size_t)i, error));
    return STATUS_OK;
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

enum status runner_run(struct runner *runner, infer_tensor *outputs, size_t count, struct error *error)
{
    if (count > (size_t)runner->graph->output_count)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%zu outputs are asked for; the model has %d", count,
                         runner->graph->output_count);
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
