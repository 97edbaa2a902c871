#include "runtime/weights/stored.h"

#include <string.h>

bool stored_packs_init(struct stored_packs *stored, const char *file, const struct model_metadata *metadata,
                       bool trusted, struct region *region)
{
    *stored = (struct stored_packs){.packs = metadata->packs, .trusted = trusted, .unread = metadata->unread};
    if (metadata->pack_count == 0)
        return true;
    stored->file = region_string(region, file);
    stored->checked = region_array(region, (size_t)metadata->pack_count, sizeof *stored->checked);
    stored->count = metadata->pack_count;
    stored->whole = region_array(region, (size_t)metadata->unread_count, sizeof *stored->whole);
    stored->unread_count = metadata->unread_count;
    return stored->file && stored->checked && stored->whole;
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

/* --- weights that nobody has looked at ------------------------------------------------------------------------- */

static bool lies_in(const void *data, const void *start, size_t bytes)
{
    return (uintptr_t)data - (uintptr_t)start < bytes;
}

/* The weights that `data` lies in; -1: others. */
static int unread_at(const struct stored_packs *stored, const void *data)
{
    int low = 0, high = stored->unread_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if ((uintptr_t)stored->unread[middle].data <= (uintptr_t)data)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && lies_in(data, stored->unread[low - 1].data, stored->unread[low - 1].bytes) ? low - 1 : -1;
}

static enum status check_unread(const struct stored_packs *stored, int i, struct error *error)
{
    if (atomic_load(&stored->whole[i]))
        return STATUS_OK;
    if (!model_tensor_is_whole(&stored->unread[i]))
        return error_set(error, STATUS_INVALID_MODEL, "%s: tensor %u does not match its checksum: the file is damaged",
                         stored->file, stored->unread[i].index);
    atomic_store(&stored->whole[i], 1);
    return STATUS_OK;
}

enum status stored_check_source(const struct stored_packs *stored, const void *data, struct error *error)
{
    int i = unread_at(stored, data);
    return i < 0 ? STATUS_OK : check_unread(stored, i, error);
}

void stored_use_source(const struct stored_packs *stored, unsigned char *uses, const void *data, enum stored_use use)
{
    int i = unread_at(stored, data);
    if (i >= 0 && uses[i] < use)
        uses[i] = (unsigned char)use;
}

void stored_use_pack(const struct stored_packs *stored, unsigned char *uses, const void *pack)
{
    int low = 0, high = stored->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if ((uintptr_t)stored->packs[middle].data < (uintptr_t)pack)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < stored->count && stored->packs[low].data == pack)
        stored_use_source(stored, uses, stored->packs[low].source, STORED_AS_PACK);
}

enum status stored_check_rest(const struct stored_packs *stored, const unsigned char *uses, struct error *error)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < stored->unread_count && status == STATUS_OK; i++)
        if (uses[i] != STORED_AS_PACK && uses[i] != STORED_LATER)
            status = check_unread(stored, i, error);
    return status;
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
