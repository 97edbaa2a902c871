#include "runtime/weights/stored.h"

#include <string.h>

bool stored_packs_init(struct stored_packs *stored, const char *file, const struct model_metadata *metadata,
                       bool trusted, struct region *region)
{
    *stored = (struct stored_packs){.packs = metadata->packs, .trusted = trusted};
    if (metadata->pack_count == 0)
        return true;
    stored->file = region_string(region, file);
    stored->checked = region_array(region, (size_t)metadata->pack_count, sizeof *stored->checked);
    stored->count = metadata->pack_count;
    return stored->file && stored->checked;
}

struct model_pack stored_pack_of(const struct stored_wanted *wanted, const char *set, const void *data)
{
    struct model_pack pack = {
        .set = set,
        .family = kernel_family_name(wanted->family),
        .form = wanted->pack->form,
        .source = wanted->source,
        .dtype = wanted->input->dtype,
        .rank = wanted->input->rank,
        .data = data,
        .bytes = wanted->pack->bytes,
    };
    memcpy(pack.dims, wanted->input->dims, (size_t)pack.rank * sizeof pack.dims[0]);
    memcpy(pack.geometry, wanted->pack->geometry, sizeof pack.geometry);
    return pack;
}

bool stored_packs_equal(const struct model_pack *a, const struct model_pack *b)
{
    return a->source == b->source && a->form == b->form && a->bytes == b->bytes && a->dtype == b->dtype &&
           a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0 &&
           memcmp(a->geometry, b->geometry, sizeof a->geometry) == 0 && strcmp(a->family, b->family) == 0;
}

/* The first pack of this source, or of a later one. */
static int first_of(const struct stored_packs *stored, const void *source)
{
    int low = 0, high = stored->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if ((uintptr_t)stored->packs[middle].source < (uintptr_t)source)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum status stored_packs_find(const struct stored_packs *stored, const struct stored_wanted *wanted, const void **data,
                              struct error *error)
{
    *data = NULL;
    if (stored->count == 0 || !wanted->pack->storable)
        return STATUS_OK;
    struct model_pack sought = stored_pack_of(wanted, "", NULL);
    for (int i = first_of(stored, sought.source); i < stored->count; i++) {
        const struct model_pack *pack = &stored->packs[i];
        if (pack->source != sought.source)
            return STATUS_OK;
        if (!stored_packs_equal(pack, &sought))
            continue;
        if (!atomic_load(&stored->checked[i]) && !stored->trusted && !model_pack_is_whole(pack))
            return error_set(error, STATUS_INVALID_MODEL,
                             "%s: pack %d, made of '%s' for %s, does not match its checksum: the file is damaged",
                             stored->file, i, wanted->input->name, pack->set);
        atomic_store(&stored->checked[i], 1);
        *data = pack->data;
        return STATUS_OK;
    }
    return STATUS_OK;
}

size_t stored_packs_used(const struct stored_packs *stored)
{
    size_t bytes = 0;
    for (int i = 0; i < stored->count; i++)
        bytes += atomic_load(&stored->checked[i]) ? stored->packs[i].bytes : 0;
    return bytes;
}

size_t stored_packs_bytes(const struct stored_packs *stored)
{
    size_t bytes = 0;
    for (int i = 0; i < stored->count; i++)
        bytes += stored->packs[i].bytes;
    return bytes;
}
