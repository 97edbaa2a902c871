/* What a session needs, known before it runs: sums over its programs, and the largest of each for its contexts. */
#include "runtime/runner.h"

#include "graph/op.h"
#include "runtime/float_environment.h"
#include "runtime/session_device.h"

#include <string.h>

static size_t sum(size_t a, size_t b)
{
    size_t total;
    return add_size(a, b, &total) ? total : SIZE_MAX;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* --- needs ----------------------------------------------------------------------------------------------- */

/* An empty result has an address too. */
static size_t result_room(const struct output_binding *binding)
{
    return larger(value_bytes(binding->value), 1);
}

/* The body of a loop has programs of its own, which only a run makes. */
static bool has_loop(const struct program *program)
{
    for (int i = 0; i < program->step_count; i++)
        if (program->steps[i].step->control)
            return true;
    return false;
}

struct needs program_needs(const struct program *program)
{
    struct needs needs = {
        .arena_bytes = program->arena_bytes,
        .lower_bound_bytes = program->lower_bound_bytes,
        .workspace_bytes = program->workspace_bytes,
        .key_bytes = program->key.count,
        .device_arena_bytes = program->device ? program->device->arena_bytes : 0,
        .staging_bytes = program->device ? program->device->staging_bytes : 0,
        .events = program->device ? program->device->event_count : 0,
        .steps = program->step_count,
        .operands = program_most_operands(program),
        .slots = program->slot_count,
        .awaited = program->awaited_count,
        .isa = program_isa(program),
        .arena_is_least = program->arena_is_least,
        .complete = program->complete && !has_loop(program),
    };
    for (int i = 0; i < program->output_count; i++) {
        const struct output_binding *output = &program->outputs[i];
        size_t *bytes = output->value->on_device ? &needs.device_result_bytes : &needs.result_bytes;
        *bytes = sum(*bytes, result_room(output));
    }
    return needs;
}

void needs_add(struct needs *all, const struct needs *one)
{
    bool first = all->key_bytes == 0; /* no program is without a key */
    if (one->arena_bytes >= all->arena_bytes)
        all->arena_is_least = one->arena_is_least || (all->arena_is_least && one->arena_bytes == all->arena_bytes);
    all->complete = one->complete && (first || all->complete);
    all->arena_bytes = larger(all->arena_bytes, one->arena_bytes);
    all->lower_bound_bytes = larger(all->lower_bound_bytes, one->lower_bound_bytes);
    all->workspace_bytes = larger(all->workspace_bytes, one->workspace_bytes);
    all->key_bytes = larger(all->key_bytes, one->key_bytes);
    all->device_arena_bytes = larger(all->device_arena_bytes, one->device_arena_bytes);
    all->staging_bytes = larger(all->staging_bytes, one->staging_bytes);
    all->events = one->events > all->events ? one->events : all->events;
    all->steps = one->steps > all->steps ? one->steps : all->steps;
    all->operands = one->operands > all->operands ? one->operands : all->operands;
    all->slots = one->slots > all->slots ? one->slots : all->slots;
    all->awaited = one->awaited > all->awaited ? one->awaited : all->awaited;
    all->isa = one->isa > all->isa ? one->isa : all->isa;
}

static size_t *result_entry(struct infer_session *session, int output, bool on_device)
{
    return &session->result_bytes[output + (on_device ? session->graph->output_count : 0)];
}

void session_note(struct infer_session *session, const struct program *program)
{
    struct needs one = program_needs(program);
    pthread_mutex_lock(&session->mutex);
    needs_add(&session->needs, &one);
    session->needs.result_bytes = session->needs.device_result_bytes = 0;
    for (int i = 0; i < program->output_count; i++) {
        const struct output_binding *output = &program->outputs[i];
        size_t *bytes = result_entry(session, output->index, output->value->on_device);
        *bytes = larger(*bytes, result_room(output));
    }
    for (int i = 0; i < session->graph->output_count; i++) {
        session->needs.result_bytes = sum(session->needs.result_bytes, *result_entry(session, i, false));
        session->needs.device_result_bytes = sum(session->needs.device_result_bytes, *result_entry(session, i, true));
    }
    pthread_mutex_unlock(&session->mutex);
}

struct needs session_needs(struct infer_session *session)
{
    pthread_mutex_lock(&session->mutex);
    struct needs needs = session->needs;
    pthread_mutex_unlock(&session->mutex);
    return needs;
}

size_t session_result_bytes(struct infer_session *session, int output, bool on_device)
{
    pthread_mutex_lock(&session->mutex);
    size_t bytes = *result_entry(session, output, on_device);
    pthread_mutex_unlock(&session->mutex);
    return bytes;
}

/* --- what the caller is told ----------------------------------------------------------------------------- */

size_t model_table_bytes(const struct infer_model *model)
{
    size_t file = model->copy_bytes + model->file.allocated;
    size_t device = DEVICE_BUILT && atomic_load(&model->device_weights) ? sizeof(struct weights) : 0;
    return sizeof *model + model->region.total + (file ? file - model->weight_bytes : 0) + device;
}

size_t session_table_bytes(const struct infer_session *session)
{
    size_t executor = session->owns_executor ? executor_bytes(session->executor) : 0;
    return model_table_bytes(session->model) + sizeof *session + session->region.total - session->constant_bytes +
           program_cache_bytes(session->cached_programs) + executor;
}

infer_memory session_memory_of(const struct infer_session *session, const struct needs *needs, size_t tables,
                               size_t constants, size_t packed)
{
    return (infer_memory){
        .weight_bytes = session->model->weight_bytes,
        .stored_bytes = stored_packs_used(&session->model->stored),
        .constant_bytes = session->constant_bytes + constants,
        .packed_bytes = packed,
        .table_bytes = session_table_bytes(session) + tables,
        .arena_bytes = needs->arena_bytes,
        .lower_bound_bytes = needs->lower_bound_bytes,
        .arena_is_least = needs->arena_is_least,
        .workspace_bytes = needs->workspace_bytes,
        .result_bytes = needs->result_bytes,
        .context_bytes = context_table_bytes(session, needs),
        .device_arena_bytes = needs->device_arena_bytes,
        .device_result_bytes = needs->device_result_bytes,
        .device_weight_bytes = DEVICE_BUILT && session->device ? atomic_load(&session->device->account.bytes) : 0,
        .device_tensor_bytes = DEVICE_BUILT && session->device ? atomic_load(&session->device->tensor_bytes) : 0,
        .steps = (size_t)needs->steps,
        .isa = (infer_isa)((int)needs->isa + INFER_ISA_REFERENCE),
        .held_bytes = atomic_load(&session->budget.held),
        .complete = needs->complete,
    };
}

infer_status infer_session_memory(infer_session *session, infer_memory *memory, infer_error *error)
{
    struct error from = {0};
    if (!session || !memory)
        return missing_argument(error, session ? "place for the numbers" : "session");
    if (session_check_process(session, &from) != STATUS_OK)
        return publish_error(error, &from);
    struct float_environment outside = float_environment_enter();
    struct needs needs = session_needs(session);
    if (needs.key_bytes == 0 && session_is_fixed(session) && session_prepare_fixed(session, &from) == STATUS_OK)
        needs = session_needs(session);
    if (from.status == STATUS_OK)
        *memory = session_memory_of(
            session, &needs, atomic_load(&session->totals.table_bytes) + atomic_load(&session->account.table_bytes),
            atomic_load(&session->totals.constant_bytes), atomic_load(&session->account.bytes));
    float_environment_leave(outside);
    return publish_error(error, &from);
}
