#include "formats/model_file_reader.h"

#include <string.h>

static enum status no_memory(const struct model_reader *r)
{
    return error_set(r->error, STATUS_OUT_OF_MEMORY, "out of memory while reading it");
}

static enum status read_shape(const struct model_reader *r, const struct pack_record *record, struct model_pack *pack)
{
    if (record->dtype >= DTYPE_COUNT || dtype_bits((enum dtype)record->dtype) == 0)
        return INVALID(r, "has type %u, which no constant has", record->dtype);
    if (record->rank < 0 || record->rank > MAX_RANK)
        return INVALID(r, "has rank %d", record->rank);
    for (int i = 0; i < MAX_RANK; i++)
        if (record->dims[i] < 0 || (i >= record->rank && record->dims[i] != 0))
            return INVALID(r, "has dimension %lld at place %d, with rank %d", (long long)record->dims[i], i,
                           record->rank);
    if (!model_dims_fit(record->rank, record->dims))
        return INVALID(r, "has a shape of too many elements");
    pack->dtype = (enum dtype)record->dtype;
    pack->rank = record->rank;
    memcpy(pack->dims, record->dims, sizeof pack->dims);
    return STATUS_OK;
}

/* Packs stand in the order of what they are made of. `before`: the source of the one before. */
static enum status read_source(const struct model_reader *r, const struct pack_record *record, const char *before,
                               struct model_pack *pack)
{
    const struct section *tensors = &r->sections[SECTION_TENSORS];
    struct tensor_record tensor;
    int64_t elements;
    if (record->tensor >= section_records(r, SECTION_TENSORS))
        return INVALID(r, "is made of tensor %s of %s", grouped(record->tensor).text,
                       grouped(section_records(r, SECTION_TENSORS)).text);
    memcpy(&tensor, tensors->bytes + record->tensor * sizeof tensor, sizeof tensor);
    size_t bytes = shape_elements(pack->rank, pack->dims, &elements) ? dtype_bytes(pack->dtype, elements) : SIZE_MAX;
    if (record->source_offset > tensor.bytes || bytes > tensor.bytes - record->source_offset)
        return INVALID(r, "is made of what goes past the end of tensor %u", record->tensor);
    const char *source = (const char *)r->sections[SECTION_WEIGHTS].bytes + tensor.offset + record->source_offset;
    if (before && source < before)
        return INVALID(r, "is not after the one before it in order");
    pack->source = source;
    return STATUS_OK;
}

static enum status read_place(const struct model_reader *r, const struct pack_record *record, size_t free_from,
                              struct model_pack *pack)
{
    const struct section *packed = &r->sections[SECTION_PACKED];
    if (record->offset != align_up(free_from, ALIGNMENT))
        return INVALID(r, "begins at byte %s of section 'pckd', not at %s", grouped(record->offset).text,
                       grouped(align_up(free_from, ALIGNMENT)).text);
    if (record->bytes == 0 || record->offset > packed->size || record->bytes > packed->size - record->offset)
        return INVALID(r, "has %s bytes at byte %s of section 'pckd', which has %s", grouped(record->bytes).text,
                       grouped(record->offset).text, grouped(packed->size).text);
    pack->data = packed->bytes + record->offset;
    pack->bytes = (size_t)record->bytes;
    pack->checksum = record->checksum;
    pack->padding = (unsigned)(record->offset - free_from);
    return STATUS_OK;
}

static enum status read_pack(const struct model_reader *r, const struct pack_record *record,
                             const struct model_pack *before, struct model_pack *pack)
{
    size_t end =
        before ? (size_t)((const uint8_t *)before->data - r->sections[SECTION_PACKED].bytes) + before->bytes : 0;
    TRY(model_name(r, record->set, &pack->set));
    TRY(model_name(r, record->family, &pack->family));
    pack->form = record->form;
    memcpy(pack->geometry, record->geometry, sizeof pack->geometry);
    TRY(read_shape(r, record, pack));
    TRY(read_source(r, record, before ? before->source : NULL, pack));
    return read_place(r, record, end, pack);
}

enum status model_read_packs(struct model_reader *r, struct model_metadata *metadata)
{
    const struct section *section = &r->sections[SECTION_PACKS], *packed = &r->sections[SECTION_PACKED];
    size_t count = section_records(r, SECTION_PACKS);
    struct model_pack *packs = count ? region_array(r->region, count, sizeof *packs) : NULL;
    if (count && !packs)
        return no_memory(r);
    for (size_t i = 0; i < count; i++) {
        struct pack_record record;
        memcpy(&record, section->bytes + i * sizeof record, sizeof record);
        if (read_pack(r, &record, i ? &packs[i - 1] : NULL, &packs[i]) != STATUS_OK)
            return error_prefix(r->error, "pack %s", grouped(i).text);
    }
    size_t end = count ? (size_t)((const uint8_t *)packs[count - 1].data - packed->bytes) + packs[count - 1].bytes : 0;
    if (end != packed->size)
        return INVALID(r, "section 'pckd' has %s bytes; its packs end at %s", grouped(packed->size).text,
                       grouped(end).text);
    metadata->pack_count = (int)count;
    metadata->packs = packs;
    return STATUS_OK;
}

bool model_pack_is_whole(const struct model_pack *pack)
{
    return model_all_zero((const uint8_t *)pack->data - pack->padding, pack->padding) &&
           xxh3(pack->data, pack->bytes) == pack->checksum;
}
