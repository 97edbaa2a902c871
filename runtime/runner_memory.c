/* The memory of a runner: what it has from the beginning, and what grows with the programs that it runs. */
#include "runtime/device_run.h"
#include "runtime/runner.h"

#include <string.h>

#define KEY_GRAIN 256 /* bytes that the room for a key grows by */

/* --- beginning and end ----------------------------------------------------------------------------------- */

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
    TRY(done ? STATUS_OK : no_memory(error));
    return DEVICE_BUILT && session->device && runner_is_outermost(runner) ? device_run_create(runner, error)
                                                                          : STATUS_OK;
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

static void *take_arena(struct runner *runner, size_t bytes, struct error *error)
{
    if (DEVICE_BUILT && runner->device)
        return device_run_take_host(runner, bytes, error);
    void *memory = allocate(runner->allocator, bytes, ALIGNMENT);
    if (!memory)
        error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for an arena of %zu bytes", bytes);
    return memory;
}

static void give_back_arena(struct runner *runner, void *memory, size_t bytes)
{
    if (DEVICE_BUILT && runner->device)
        device_run_give_back_host(runner, memory, bytes);
    else
        release(runner->allocator, memory, bytes);
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
    give_back_arena(runner, runner->arena, runner->arena_bytes);
    if (DEVICE_BUILT)
        device_run_free(runner);
    *runner = (struct runner){0};
}

/* What runner_init, runner_reserve_key and reserve allocate, in that order. */
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
    if (DEVICE_BUILT && session->device)
        bytes += device_run_table_bytes(session, graph, needs);
    return bytes + awaited * (sizeof *runner->awaited + sizeof *runner->learned);
}

/* --- what grows ------------------------------------------------------------------------------------------ */

enum status runner_reserve_key(struct runner *runner, size_t bytes, struct error *error)
{
    if (bytes <= runner->key_capacity)
        return STATUS_OK;
    size_t capacity = align_up(bytes, KEY_GRAIN);
    char *larger = allocate(runner->allocator, capacity, ALIGNMENT);
    if (!larger)
        return no_memory(error);
    if (runner->key_bytes)
        memcpy(larger, runner->key, runner->key_bytes);
    release(runner->allocator, runner->key, runner->key_capacity);
    runner->key = larger;
    runner->key_capacity = capacity;
    return STATUS_OK;
}

static void release_arena(struct runner *runner)
{
    give_back_arena(runner, runner->arena, runner->arena_bytes);
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
    struct error from = {0};
    char *larger = take_arena(runner, bytes, &from);
    if (!larger)
        return error_set(error, from.status, "%s", from.text);
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
           program->awaited_count <= runner->awaited_count &&
           (!DEVICE_BUILT || !program->device || device_run_has_room(runner, program));
}

/* The arena last: where there is no room for it, the tables have grown by little. */
static enum status reserve(struct runner *runner, const struct needs *needs, bool keep, struct error *error)
{
    TRY(reserve_slots(runner, &runner->slots, &runner->slot_count, needs->slots, error));
    TRY(reserve_awaited(runner, needs->awaited, error));
    TRY(reserve_operands(runner, needs->operands, error));
    TRY(reserve_arena(runner, needs->arena_bytes, keep, error));
    return DEVICE_BUILT && runner->device ? device_run_reserve(runner, needs, keep, error) : STATUS_OK;
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
