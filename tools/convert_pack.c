#include "tools/convert_pack.h"

#include "runtime/session.h"
#include "tools/common.h"
#include "tools/random_inputs.h"

#include <stdlib.h>
#include <string.h>

#define MOST_PROGRAMS 65536 /* what programs packed lives as long as they do */

/* What is packed, in a list that grows. */
struct packing {
    struct region *region;
    const char *set;
    struct model_pack *packs;
    int count, capacity;
    bool out_of_memory;
};

static bool is_listed(const struct packing *packing, const struct model_pack *pack)
{
    for (int i = 0; i < packing->count; i++)
        if (stored_packs_equal(&packing->packs[i], pack))
            return true;
    return false;
}

static void add_pack(void *user, const struct stored_wanted *wanted, const void *data)
{
    struct packing *packing = user;
    struct model_pack pack = stored_pack_of(wanted, packing->set, data);
    if (!wanted->pack->storable || is_listed(packing, &pack))
        return;
    if (packing->count == packing->capacity) {
        int capacity = packing->capacity ? 2 * packing->capacity : 64;
        struct model_pack *larger = region_array(packing->region, (size_t)capacity, sizeof *larger);
        packing->out_of_memory = packing->out_of_memory || !larger;
        if (!larger)
            return;
        if (packing->count)
            memcpy(larger, packing->packs, (size_t)packing->count * sizeof *larger);
        packing->packs = larger;
        packing->capacity = capacity;
    }
    packing->packs[packing->count++] = pack;
}

/* Makes the programs that shapes tell of; then those that a run comes to, which may be a wrong one for the model: its
 * inputs are random. */
static infer_status prepare(infer_session *session, const infer_tensor *inputs, const infer_tensor *shapes,
                            size_t input_count, infer_error *error)
{
    infer_memory memory;
    infer_context *context;
    infer_error unread;
    infer_status status = infer_session_prepare(session, shapes, input_count, &memory, error);
    if (status != INFER_OK || memory.complete)
        return status;
    status = infer_context_create(session, &context, error);
    if (status == INFER_OK)
        infer_run(context, inputs, input_count, NULL, 0, &unread);
    infer_context_release(context);
    return status;
}

/* The packs of one set. The session must last until they are written. */
static infer_status pack_for(infer_model *model, infer_isa set, const infer_tensor *inputs, const infer_tensor *shapes,
                             struct packing *packing, infer_session **session, infer_error *error)
{
    const infer_session_options options = {.isa = set, .threads = 1, .cached_programs = MOST_PROGRAMS};
    const struct pack_observer observer = {add_pack, packing};
    infer_status status = infer_session_create(model, &options, session, error);
    if (status != INFER_OK)
        return status;
    packing->set = isa_text(set);
    (*session)->derived.observer = &observer;
    status = prepare(*session, inputs, shapes, infer_model_input_count(model), error);
    (*session)->derived.observer = NULL;
    return status;
}

static enum status pack_all(infer_model *model, const struct pack_order *order, struct packing *packing,
                            infer_session **sessions, struct error *error)
{
    infer_tensor *inputs, *shapes;
    infer_error told = {0};
    infer_status status = INFER_OK;
    TRY(shaped_inputs(model, &order->shapes, &shapes, error));
    if (random_inputs(model, &order->shapes, 0, &inputs, error) != STATUS_OK) {
        free(shapes);
        return error->status;
    }
    for (int i = 0; i < order->count && status == INFER_OK; i++)
        status = pack_for(model, order->sets[i], inputs, shapes, packing, &sessions[i], &told);
    free_random_inputs(model, inputs);
    free(shapes);
    if (status != INFER_OK)
        return error_set(error, (enum status)status, "%s", told.message);
    return packing->out_of_memory ? error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for its packs") : STATUS_OK;
}

static enum status save_packed(const char *path, infer_model *model, const struct pack_order *order,
                               struct region *region, struct error *error)
{
    infer_session *sessions[MOST_SETS] = {NULL};
    struct packing packing = {.region = region};
    struct model_metadata metadata = model->metadata;
    enum status status = pack_all(model, order, &packing, sessions, error);
    metadata.packs = packing.packs;
    metadata.pack_count = packing.count;
    if (status == STATUS_OK)
        status = model_save(path, model->graph, &metadata, region->allocator, error);
    for (int i = 0; i < MOST_SETS; i++)
        infer_session_release(sessions[i]);
    return status;
}

enum status pack_and_save(const char *path, const char *name, const struct graph *graph,
                          const struct model_metadata *metadata, const struct pack_order *order, struct region *region,
                          struct error *error)
{
    const infer_model_options options = {.trust_weights = true, .memory_limit = order->memory_limit};
    infer_error told = {0};
    infer_model *model;
    void *bytes;
    size_t size;
    TRY(model_write(graph, metadata, region, &bytes, &size, error));
    if (infer_model_open_memory(bytes, size, name, &options, &model, &told) != INFER_OK)
        return error_set(error, (enum status)told.status, "%s", told.message);
    enum status status = save_packed(path, model, order, region, error);
    infer_model_release(model);
    return status;
}
