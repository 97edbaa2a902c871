/* Weights: where they lie, and that they are what was written. */
#include "formats/model_file_reader.h"

static enum status no_memory(const struct model_reader *r)
{
    return error_set(r->error, STATUS_OUT_OF_MEMORY, "out of memory while reading it");
}

/* The name of the first value that uses a tensor, for errors; "" where none does. */
static const char *tensor_name(const struct model_reader *r, uint32_t index)
{
    const struct section *values = &r->sections[SECTION_VALUES];
    for (size_t at = 0; at < values->size; at += sizeof(struct value_record)) {
        struct value_record value;
        memcpy(&value, values->bytes + at, sizeof value);
        const char *name;
        size_t length;
        if (value.tensor == index && value.name < r->strings.count &&
            model_string(r, value.name, &name, &length) == STATUS_OK)
            return name;
    }
    return "";
}

static enum status check_tensor(const struct model_reader *r, uint32_t index, size_t free_from)
{
    struct tensor_record tensor = tensor_at(r, index);
    const struct section *weights = &r->sections[SECTION_WEIGHTS];
    if (tensor.offset % ALIGNMENT != 0 || tensor.offset < free_from)
        return INVALID(r, "tensor %u '%s' begins at byte %s of the weights; the next free multiple of %d is %s", index,
                       tensor_name(r, index), grouped(tensor.offset).text, ALIGNMENT,
                       grouped(align_up(free_from, ALIGNMENT)).text);
    if (tensor.offset > weights->size || tensor.bytes > weights->size - tensor.offset)
        return INVALID(r, "tensor %u '%s' of %s bytes at byte %s of the weights goes past their end (%s)", index,
                       tensor_name(r, index), grouped(tensor.bytes).text, grouped(tensor.offset).text,
                       grouped(weights->size).text);
    return STATUS_OK;
}

enum status model_check_tensors(const struct model_reader *r)
{
    uint32_t count = (uint32_t)section_records(r, SECTION_TENSORS);
    size_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        TRY(check_tensor(r, i, end));
        struct tensor_record tensor = tensor_at(r, i);
        end = (size_t)(tensor.offset + tensor.bytes);
    }
    if (end != r->sections[SECTION_WEIGHTS].size)
        return INVALID(r, "section 'wgts' has %s bytes; its tensors end at %s",
                       grouped(r->sections[SECTION_WEIGHTS].size).text, grouped(end).text);
    return STATUS_OK;
}

/* That it is what was written, and that nothing else is before it. */
static enum status check_content(const struct model_reader *r, uint32_t index, size_t free_from)
{
    struct tensor_record tensor = tensor_at(r, index);
    const struct section *weights = &r->sections[SECTION_WEIGHTS];
    uint64_t base = (uint64_t)(weights->bytes - r->bytes);
    if (!model_all_zero(weights->bytes + free_from, (size_t)tensor.offset - free_from))
        return INVALID(r, "there are stray bytes before tensor %u '%s', between %s and %s", index,
                       tensor_name(r, index), grouped(base + free_from).text, grouped(base + tensor.offset).text);
    if (reader_checksum(r, weights->bytes + tensor.offset, (size_t)tensor.bytes) != tensor.checksum)
        return INVALID(r, "tensor %u '%s' (bytes %s to %s) does not match its checksum: the file is damaged", index,
                       tensor_name(r, index), grouped(base + tensor.offset).text,
                       grouped(base + tensor.offset + tensor.bytes).text);
    return STATUS_OK;
}

/* Whether one of the packs is made of all of it; packs and tensors are met in the same order. */
static bool is_packed(const struct model_metadata *metadata, const uint8_t *data, size_t bytes, int *pack)
{
    while (*pack < metadata->pack_count && (const uint8_t *)metadata->packs[*pack].source < data)
        ++*pack;
    for (int i = *pack; i < metadata->pack_count && metadata->packs[i].source == data; i++) {
        int64_t elements;
        const struct model_pack *found = &metadata->packs[i];
        if (shape_elements(found->rank, found->dims, &elements) && dtype_bytes(found->dtype, elements) == bytes)
            return true;
    }
    return false;
}

enum status model_check_contents(const struct model_reader *r, struct model_metadata *metadata)
{
    uint32_t count = (uint32_t)section_records(r, SECTION_TENSORS);
    bool leaves = r->options->leaves_packed && metadata->pack_count > 0;
    struct model_tensor *unread = leaves ? region_array(r->region, (size_t)count, sizeof *unread) : NULL;
    const uint8_t *weights = r->sections[SECTION_WEIGHTS].bytes;
    size_t end = 0;
    int pack = 0;
    if (leaves && !unread)
        return no_memory(r);
    for (uint32_t i = 0; i < count && !r->options->skip_weight_checksum; i++) {
        struct tensor_record tensor = tensor_at(r, i);
        if (leaves && is_packed(metadata, weights + tensor.offset, (size_t)tensor.bytes, &pack))
            unread[metadata->unread_count++] = (struct model_tensor){.data = weights + tensor.offset,
                                                                     .bytes = (size_t)tensor.bytes,
                                                                     .checksum = tensor.checksum,
                                                                     .version = r->format_version,
                                                                     .padding = (size_t)tensor.offset - end,
                                                                     .index = i};
        else
            TRY(check_content(r, i, end));
        end = (size_t)(tensor.offset + tensor.bytes);
    }
    metadata->unread = unread;
    return STATUS_OK;
}

bool model_tensor_is_whole(const struct model_tensor *tensor)
{
    return model_all_zero((const uint8_t *)tensor->data - tensor->padding, tensor->padding) &&
           model_checksum(tensor->version, tensor->data, tensor->bytes) == tensor->checksum;
}
