#include "runtime/compile/program.h"

#include "graph/op.h"
#include "runtime/compile/compact.h"
#include "runtime/compile/on_device.h"
#include "runtime/compile/place.h"

#include <string.h>

/* --- references ------------------------------------------------------------------------------------------ */

static struct program_handle *handle_allocate(struct program *program, struct budget *budget, struct error *error)
{
    struct program_handle *handle = budget_take(budget, sizeof *handle, "for a program", error);
    if (!handle)
        return NULL;
    *handle = (struct program_handle){.program = program, .budget = budget};
    atomic_init(&handle->holders, 1);
    atomic_init(&handle->references, 1);
    return handle;
}

struct program_handle *program_handle_retain(struct program_handle *handle)
{
    atomic_fetch_add(&handle->holders, 1);
    return handle;
}

void program_handle_release(struct program_handle *handle)
{
    if (atomic_fetch_sub(&handle->holders, 1) != 1)
        return;
    if (handle->totals)
        atomic_fetch_sub(&handle->totals->table_bytes, sizeof *handle);
    release(&handle->budget->allocator, handle, sizeof *handle);
}

struct program *program_of(struct program_handle *handle)
{
    int references = atomic_load(&handle->references);
    while (references > 0)
        if (atomic_compare_exchange_weak(&handle->references, &references, references + 1))
            return handle->program;
    return NULL;
}

bool program_is_gone(const struct program_handle *handle)
{
    return atomic_load(&handle->references) == 0;
}

bool program_is_held_once(const struct program *program)
{
    return atomic_load(&program->handle->references) == 1;
}

void program_touch(struct program *program)
{
    atomic_store(&program->used, atomic_fetch_add(&program->handle->totals->clock, 1) + 1);
}

uint64_t program_last_used(const struct program *program)
{
    return atomic_load(&program->used);
}

static struct program *program_allocate(const struct program_options *options, struct program *parent,
                                        struct error *error)
{
    const struct allocator *allocator = &options->budget->allocator;
    struct program *program = budget_take(options->budget, sizeof *program, "for a program", error);
    struct program_handle *handle = program ? handle_allocate(program, options->budget, error) : NULL;
    if (!handle) {
        release(allocator, program, sizeof *program);
        return NULL;
    }
    memset(program, 0, sizeof *program);
    program->handle = handle;
    budget_init(&program->budget, options->budget, NULL, SIZE_MAX);
    region_init(&program->region, &program->budget.allocator);
    derived_init_within(&program->derived, parent ? &parent->derived : options->derived, &program->region);
    program->id = options->id;
    program->parent = parent;
    if (parent)
        program_retain(parent);
    if (DEVICE_BUILT && options->device && !program_begin_device(program, options->device, error)) {
        program_release(program);
        return NULL;
    }
    return program;
}

/* Without its handle, which may outlive it. */
static size_t own_table_bytes(const struct program *program)
{
    return sizeof *program + program->region.total - program->segment.constant_bytes;
}

size_t program_table_bytes(const struct program *program)
{
    return own_table_bytes(program) + sizeof *program->handle;
}

bool program_key_equal(const struct program_key *a, const struct program_key *b)
{
    return a->hash == b->hash && a->count == b->count && memcmp(a->bytes, b->bytes, a->count) == 0;
}

enum status program_register(struct program *program, const struct program_key *key, struct program_totals *totals,
                             struct error *error)
{
    void *copy = region_buffer(&program->region, key->count);
    if (!copy) {
        error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the key of a program");
        budget_explain(&program->budget, error);
        return error->status;
    }
    program->key = (struct program_key){memcpy(copy, key->bytes, key->count), key->count, key->hash};
    program->handle->totals = totals;
    program_touch(program);
    atomic_fetch_add(&totals->table_bytes, program_table_bytes(program));
    atomic_fetch_add(&totals->constant_bytes, program->segment.constant_bytes);
    return STATUS_OK;
}

static void unregister(struct program *program)
{
    struct program_totals *totals = program->handle->totals;
    if (!totals)
        return;
    atomic_fetch_sub(&totals->table_bytes, own_table_bytes(program));
    atomic_fetch_sub(&totals->constant_bytes, program->segment.constant_bytes);
}

void program_retain(struct program *program)
{
    atomic_fetch_add(&program->handle->references, 1);
}

void program_release(struct program *program)
{
    while (program && atomic_fetch_sub(&program->handle->references, 1) == 1) {
        struct program *parent = program->parent;
        struct budget *budget = program->budget.outer;
        unregister(program);
        weight_holder_free(&program->derived.holder);
        if (DEVICE_BUILT && program->device)
            weight_holder_free(&program->device->holder);
        region_free(&program->region);
        program_handle_release(program->handle);
        release(&budget->allocator, program, sizeof *program);
        program = parent;
    }
}

/* --- what a program tells -------------------------------------------------------------------------------- */

enum isa program_isa(const struct program *program)
{
    unsigned used = 0;
    for (int i = 0; i < program->step_count; i++)
    used |= program->steps[i].step->control ? 0 : program->steps[i].step->kernel->requires;
    return isa_of(used);
}

int program_most_operands(const struct program *program)
{
    int most = 0;
    for (int i = 0; i < program->step_count; i++) {
        int count = program->steps[i].step->input_count + program->steps[i].step->output_count;
        most = count > most ? count : most;
    }
    return most;
}

struct operand program_place(const struct program *program, struct value *value)
{
    size_t offset;
    struct value *root = value_root(value, &offset);
    struct operand place = program->places[root->id];
    place.offset += offset;
    return place;
}

/* --- making one ------------------------------------------------------------------------------------------ */

static enum status no_memory(const struct graph *graph, struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing graph '%s'", graph->name);
}

/* What the rest of the segment waits for. */
static enum status find_awaited(struct program *program, struct error *error)
{
    struct segment *segment = &program->segment;
    program->complete = segment->rest_count == 0;
    const struct node *last = segment_awaited(segment);
    if (!last)
        return STATUS_OK;
    program->awaited = region_array(&program->region, (size_t)last->output_count, sizeof *program->awaited);
    if (!program->awaited)
        return no_memory(segment->graph, error);
    for (int i = 0; i < last->output_count; i++)
        if (last->outputs[i] && last->outputs[i]->dims_at_run)
            program->awaited[program->awaited_count++] = last->outputs[i];
    /* Results whose sizes are not known yet are handed over by a continuation, even where no node remains. */
    if (program->awaited_count > 0)
        program->complete = false;
    return STATUS_OK;
}

/* Lets go of constants that only others were derived from. */
static enum status drop_unread(struct program *program, struct error *error)
{
    const struct segment *segment = &program->segment;
    struct derived *derived = &program->derived;
    unsigned char *marks = derived_marks(derived, &program->region);
    if (!marks)
        return no_memory(segment->graph, error);
    for (int s = 0; s < segment->steps.count; s++) {
        const struct step *step = segment->steps.steps[s];
        for (int i = 0; i < step->input_count; i++) /* those of a step on the device lie there by now */
            derived_mark(derived, marks, step->inputs[i]);
        for (int i = 0; step->plan && i < step->plan->pack_count; i++)
            derived_mark_pack(derived, marks, step->packed[i]);
    }
    for (int r = 0; r < segment->rest_count; r++)
        for (int i = 0; i < segment->rest[r]->input_count; i++)
            derived_mark(derived, marks, segment->rest[r]->inputs[i]);
    for (int i = 0; i < segment->graph->output_count; i++)
        derived_mark(derived, marks, segment->graph->outputs[i]);
    derived_mark(derived, marks, segment->needed);
    derived_keep_marked(derived, marks, segment->graph);
    return STATUS_OK;
}

/* Makes what the kernels read in the place of constant inputs; those are of no further use to their steps. */
static enum status pack_step(struct program *program, struct step *step, size_t limit, struct error *error)
{
    const struct kernel_plan *plan = step->plan;
    struct segment *segment = &program->segment;
    if (!plan || plan->pack_count == 0)
        return STATUS_OK;
    step->packed = region_array(&program->region, (size_t)plan->pack_count, sizeof *step->packed);
    if (!step->packed)
        return no_memory(segment->graph, error);
    for (int i = 0; i < plan->pack_count; i++) {
        size_t used = segment->constant_bytes + program->derived.holder.bytes;
        TRY(derived_pack(&program->derived, step, i, limit > used ? limit - used : 0, &program->region,
                         &segment->constant_bytes, &step->packed[i], error));
    }
    for (int i = 0; i < plan->pack_count; i++)
        step->inputs[plan->packs[i].input] = NULL;
    return STATUS_OK;
}

static enum status pack_steps(struct program *program, const struct program_options *options, size_t limit,
                              struct error *error)
{
    for (int s = 0; s < program->segment.steps.count; s++) {
        struct step *step = program->segment.steps.steps[s];
        TRY(interrupt_check(options->specialise.interrupt, error));
        TRY(DEVICE_BUILT && step_is_on_device(step) ? program_upload_step(program, step, options->device, error)
                                                    : pack_step(program, step, limit, error));
    }
    return STATUS_OK;
}

static void use_constant(const struct stored_packs *stored, unsigned char *uses, const struct value *value,
                         enum stored_use use)
{
    const struct value *root = value ? value_root((struct value *)(uintptr_t)value, NULL) : NULL;
    if (root && root->data)
        stored_use_source(stored, uses, root->data, use);
}

static void find_uses(const struct segment *segment, const struct stored_packs *stored, unsigned char *uses)
{
    for (int s = 0; s < segment->steps.count; s++) {
        const struct step *step = segment->steps.steps[s];
        for (int i = 0; i < step->input_count; i++)
            use_constant(stored, uses, step->inputs[i], STORED_AS_IT_IS);
        for (int i = 0; step->packed && i < step->plan->pack_count; i++)
            stored_use_pack(stored, uses, step->packed[i]);
    }
    for (int r = 0; r < segment->rest_count; r++)
        for (int i = 0; i < segment->rest[r]->input_count; i++)
            use_constant(stored, uses, segment->rest[r]->inputs[i], STORED_LATER);
    for (int i = 0; i < segment->graph->output_count; i++)
        use_constant(stored, uses, segment->graph->outputs[i], STORED_AS_IT_IS);
    use_constant(stored, uses, segment->needed, STORED_AS_IT_IS);
}

/* Of weights that opening the model left alone, because there are packs of them, only those may stay unread of which
 * this program reads the packs and nothing else: of any other it may have read the content to make what it reads. */
static enum status check_unread(const struct program *program, struct error *error)
{
    const struct stored_packs *stored = program->derived.stored;
    if (!stored || stored->unread_count == 0)
        return STATUS_OK;
    const struct allocator *allocator = &program->budget.allocator;
    size_t bytes = (size_t)stored->unread_count;
    unsigned char *uses = allocate(allocator, bytes, 1);
    if (!uses)
        return no_memory(program->segment.graph, error);
    memset(uses, STORED_UNUSED, bytes);
    find_uses(&program->segment, stored, uses);
    enum status status = stored_check_rest(stored, uses, error);
    release(allocator, uses, bytes);
    return status;
}

static enum status specialise_graph(struct program *program, const struct program_options *options, struct graph *graph,
                                    struct error *error)
{
    struct specialise_options chosen = options->specialise;
    const struct program *parent = program->parent;
    size_t before = program->derived.holder.bytes;
    chosen.derived = &program->derived;
    chosen.sides = DEVICE_BUILT && options->device ? &program->device->sides : NULL;
    TRY(specialise(graph, &chosen, &program->segment, error));
    program->segment.constant_bytes -= program->derived.holder.bytes - before;
    size_t limit = SIZE_MAX;
    if (!add_size(chosen.constant_limit, before, &limit))
        limit = SIZE_MAX;
    TRY(pack_steps(program, options, limit, error));
    TRY(check_unread(program, error));
    program->constant_bytes = program->segment.constant_bytes + (parent ? parent->constant_bytes : 0);
    return options->specialise.fuse ? drop_unread(program, error) : STATUS_OK;
}

/* What this program alone, without the others of its session, would make its context hold. Told before a run, where the
 * budget would tell it only when the arena is asked for. */
static enum status check_limit(const struct program *program, const struct program_options *options,
                               struct error *error)
{
    size_t packed = program->derived.holder.bytes, tables = options->table_bytes - program->constant_bytes, total;
    for (const struct program *part = program; part; part = part->parent)
        tables += sizeof *part + sizeof *part->handle + part->region.total;
    if (add_size(options->weight_bytes, program->constant_bytes, &total) && add_size(total, packed, &total) &&
        add_size(total, tables, &total) && add_size(total, program->arena_bytes, &total) &&
        total <= options->budget->limit)
        return STATUS_OK;
    return error_set(error, STATUS_MEMORY_LIMIT,
                     "these input shapes need %zu bytes (weights %zu, constants %zu, packed %zu, tables %zu, arena "
                     "%zu), past the limit of %zu",
                     total, options->weight_bytes, program->constant_bytes, packed, tables, program->arena_bytes,
                     options->budget->limit);
}

static enum status build(struct program *program, const struct program_options *options, struct graph *graph,
                         struct error *error)
{
    TRY(specialise_graph(program, options, graph, error));
    TRY(find_awaited(program, error));
    TRY(place_values(program, options, error));
    if (DEVICE_BUILT && options->device)
        TRY(program_plan_stream(program, options, error));
    if (program->complete && !options->whole)
        TRY(program_compact(program, &options->specialise.facts, error));
    return check_limit(program, options, error);
}

/* Hands the program over, or releases it. */
static enum status finish(struct program *program, enum status status, struct program **result, struct error *error)
{
    *result = status == STATUS_OK ? program : NULL;
    if (status == STATUS_OK)
        return status;
    budget_explain(&program->budget, error);
    program_release(program);
    return error->status;
}

enum status program_create(const struct program_options *options, const struct graph *graph,
                           const struct known_input *inputs, struct program **result, struct error *error)
{
    *result = NULL;
    struct program *program = program_allocate(options, NULL, error);
    if (!program)
        return error->status;
    struct graph *own = graph_clone(graph, &program->region);
    if (!own)
        return finish(program, no_memory(graph, error), result, error);
    program->source = graph;
    for (int i = 0; i < own->input_count; i++) {
        own->inputs[i]->dtype = inputs[i].dtype;
        own->inputs[i]->rank = inputs[i].rank;
        own->inputs[i]->on_device = inputs[i].on_device;
        memcpy(own->inputs[i]->dims, inputs[i].dims, (size_t)inputs[i].rank * sizeof *inputs[i].dims);
    }
    if (DEVICE_BUILT && program->device && !program_want_outputs(program, options->outputs_there, own->output_count))
        return finish(program, no_memory(graph, error), result, error);
    return finish(program, build(program, options, own, error), result, error);
}

/* A copy of the parent's graph with what remains as its nodes; value ids, and so places, stay the same. */
static struct graph *clone_rest(const struct program *parent, struct region *region)
{
    struct graph rest = *parent->segment.graph;
    rest.nodes = parent->segment.rest;
    rest.node_count = parent->segment.rest_count;
    return graph_clone(&rest, region);
}

static bool learn(struct program *program, struct graph *own, const void *content, const struct known_input *awaited)
{
    const struct program *parent = program->parent;
    if (parent->segment.needed) {
        struct value *value = own->values[parent->segment.needed->id];
        size_t bytes = value_bytes(value);
        void *copy = region_buffer(&program->region, bytes);
        if (!copy)
            return false;
        if (bytes) /* an empty input may have no memory */
            memcpy(copy, content, bytes);
        value->alias = NULL;
        value->on_device = false;
        value->data = copy;
        value->bytes = bytes;
    }
    for (int i = 0; i < parent->awaited_count; i++) {
        struct value *value = own->values[parent->awaited[i]->id];
        value->dtype = awaited[i].dtype;
        value->rank = awaited[i].rank;
        memcpy(value->dims, awaited[i].dims, (size_t)awaited[i].rank * sizeof *awaited[i].dims);
        value->dims_at_run = false;
    }
    return true;
}

enum status program_continue(const struct program_options *options, struct program *parent, const void *content,
                             const struct known_input *awaited, struct program **result, struct error *error)
{
    *result = NULL;
    struct program *program = program_allocate(options, parent, error);
    if (!program)
        return error->status;
    program->source = parent->source;
    struct graph *own = clone_rest(parent, &program->region);
    if (!own || !learn(program, own, content, awaited))
        return finish(program, no_memory(parent->segment.graph, error), result, error);
    return finish(program, build(program, options, own, error), result, error);
}
