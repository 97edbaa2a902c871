#include "formats/model_file_writer.h"
#include "graph/op.h"
#include "kernels/sort.h"

#include <stdlib.h>
#include <string.h>

static enum status no_memory(const struct model_writer *w)
{
    return error_set(w->error, STATUS_OUT_OF_MEMORY, "out of memory while writing the model");
}

static uint64_t file_checksum(const void *bytes, size_t size)
{
    return model_checksum(MODEL_FORMAT_VERSION, bytes, size);
}

void model_append(struct model_writer *w, struct model_list *list, const void *item, size_t bytes)
{
    if (bytes == 0)
        return;
    if (list->capacity - list->bytes < bytes) {
        size_t capacity = list->capacity ? list->capacity : 256;
        while (capacity - list->bytes < bytes)
            if (!multiply_size(capacity, 2, &capacity)) {
                w->out_of_memory = true;
                return;
            }
        char *items = region_buffer(w->scratch, capacity);
        if (!items) {
            w->out_of_memory = true;
            return;
        }
        if (list->bytes)
            memcpy(items, list->items, list->bytes);
        list->items = items;
        list->capacity = capacity;
    }
    memcpy(list->items + list->bytes, item, bytes);
    list->bytes += bytes;
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

static int compare_texts(const void *a_pointer, const void *b_pointer)
{
    const struct model_text *a = a_pointer, *b = b_pointer;
    return model_compare_strings(a->text, a->length, b->text, b->length);
}

uint32_t model_string_index(struct model_writer *w, const char *text, size_t length)
{
    struct model_text key = {text, length};
    if (w->collecting) {
        model_append(w, &w->strings, &key, sizeof key);
        return 0;
    }
    const struct model_text *strings = (const void *)w->strings.items;
    const struct model_text *found = bsearch(&key, strings, w->strings.bytes / sizeof key, sizeof key, compare_texts);
    return (uint32_t)(found - strings);
}

/* Sorts the strings, keeps each once, and writes their section. */
static enum status number_strings(struct model_writer *w)
{
    struct model_text *strings = (void *)w->strings.items;
    size_t count = w->strings.bytes / sizeof *strings, kept = 0, end = 0;
    struct model_list *section = &w->sections[SECTION_STRINGS];
    if (count)
        sort_items(strings, count, sizeof *strings, compare_texts);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare_texts(&strings[i], &strings[kept - 1]) != 0)
            strings[kept++] = strings[i];
    w->strings.bytes = kept * sizeof *strings;
    w->names.last = region_array(w->scratch, kept, sizeof *w->names.last);
    if (!w->names.last)
        return no_memory(w);
    uint32_t number = (uint32_t)kept;
    model_append(w, section, &number, sizeof number);
    for (size_t i = 0; i < kept; i++) {
        end += strings[i].length + 1;
        if (end > UINT32_MAX)
            return error_set(w->error, STATUS_UNSUPPORTED, "the model's strings have more than %s bytes together",
                             grouped(UINT32_MAX).text);
        number = (uint32_t)end;
        model_append(w, section, &number, sizeof number);
    }
    for (size_t i = 0; i < kept; i++) {
        model_append(w, section, strings[i].text, strings[i].length);
        model_append(w, section, "", 1);
    }
    return STATUS_OK;
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

uint32_t model_tensor_index(struct model_writer *w, const void *data, size_t bytes)
{
    if (w->collecting) {
        struct tensor_use use = {.data = data, .bytes = bytes, .checksum = file_checksum(data, bytes)};
        model_append(w, &w->tensor_uses, &use, sizeof use);
        return 0;
    }
    return ((const struct tensor_use *)(const void *)w->tensor_uses.items)[w->next_use++].index;
}

static int compare_uses(const void *a_pointer, const void *b_pointer)
{
    const struct tensor_use *a = *(const struct tensor_use *const *)a_pointer;
    const struct tensor_use *b = *(const struct tensor_use *const *)b_pointer;
    if (a->checksum != b->checksum)
        return a->checksum < b->checksum ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return (a > b) - (a < b); /* the first use first: they lie in one array */
}

/* Finds, for each use, the first of the same bytes. Should checksums collide, a tensor is stored twice: no harm. */
static enum status match_uses(struct model_writer *w, struct tensor_use *uses, size_t count)
{
    const struct tensor_use **sorted = region_array(w->scratch, count, sizeof *sorted);
    if (!sorted)
        return no_memory(w);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &uses[i];
    if (count)
        sort_items(sorted, count, sizeof *sorted, compare_uses);
    const struct tensor_use *first = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct tensor_use *use = sorted[i];
        if (!first || use->checksum != first->checksum || use->bytes != first->bytes ||
            (use->bytes && use->data != first->data && memcmp(use->data, first->data, use->bytes) != 0))
            first = use;
        uses[use - uses].same_as = (uint32_t)(first - uses);
    }
    return STATUS_OK;
}

static enum status add_tensor(struct model_writer *w, struct tensor_use *use, size_t *end)
{
    struct tensor_record record = {align_up(*end, ALIGNMENT), use->bytes, use->checksum};
    use->index = (uint32_t)section_count(w, SECTION_TENSORS);
    model_append(w, &w->sections[SECTION_TENSORS], &record, sizeof record);
    model_append(w, &w->tensors, &use->data, sizeof use->data);
    if (!add_size((size_t)record.offset, use->bytes, end) || *end > SIZE_MAX / 2)
        return error_set(w->error, STATUS_UNSUPPORTED, "the model's weights are too large for this machine");
    return STATUS_OK;
}

/* Those that a pack stands for come last: where packs are read, nobody reads them, so the others are not to lie among
 * them, for which whole blocks of the file would be read in and mapped. */
static enum status number_tensors(struct model_writer *w)
{
    struct tensor_use *uses = (void *)w->tensor_uses.items;
    size_t count = w->tensor_uses.bytes / sizeof *uses, end = 0;
    TRY(match_uses(w, uses, count));
    for (size_t i = 0; i < count; i++)
        uses[uses[i].same_as].packed |= uses[i].packed;
    for (int packed = 0; packed < 2; packed++)
        for (size_t i = 0; i < count; i++)
            if (uses[i].same_as == i && uses[i].packed == packed)
                TRY(add_tensor(w, &uses[i], &end));
    for (size_t i = 0; i < count; i++)
        uses[i].index = uses[uses[i].same_as].index;
    w->sections[SECTION_WEIGHTS].bytes = end;
    return STATUS_OK;
}

uint32_t model_tensor_around(struct model_writer *w, const void *data, size_t bytes, uint64_t *offset)
{
    struct tensor_use *uses = (void *)w->tensor_uses.items;
    for (size_t i = 0; i < w->tensor_uses.bytes / sizeof *uses; i++) {
        *offset = (uintptr_t)data - (uintptr_t)uses[i].data;
        if (*offset > uses[i].bytes || bytes > uses[i].bytes - *offset)
            continue;
        uses[i].packed |= bytes == uses[i].bytes;
        return uses[i].index;
    }
    return MODEL_NONE;
}

void model_append_pack(struct model_writer *w, struct pack_record *record, const void *data, size_t bytes)
{
    struct model_list *packed = &w->sections[SECTION_PACKED];
    if (w->collecting)
        return;
    record->offset = align_up(packed->bytes, ALIGNMENT);
    record->bytes = bytes;
    record->checksum = xxh3(data, bytes);
    model_append(w, &w->sections[SECTION_PACKS], record, sizeof *record);
    model_append(w, &w->packs, &data, sizeof data);
    if (!add_size((size_t)record->offset, bytes, &packed->bytes))
        w->out_of_memory = true;
}

enum status model_number(struct model_writer *w)
{
    if (w->out_of_memory)
        return no_memory(w);
    for (int i = 0; i < SECTION_COUNT; i++)
        w->sections[i].bytes = 0;
    enum status status = number_strings(w);
    if (status == STATUS_OK)
        status = number_tensors(w);
    if (status == STATUS_OK && w->out_of_memory)
        status = no_memory(w);
    w->collecting = false;
    return status;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

/* Fills in the table; sections without content are left out. Returns where the last ends of those that are not in
 * parts, and the zeros behind it, which the first in parts begins after. */
static size_t place_sections(const struct model_writer *w, uint32_t count, struct section_record *table)
{
    size_t end = sizeof(struct model_header) + count * sizeof *table, head = 0;
    for (int i = 0; i < SECTION_COUNT; i++) {
        const struct model_section_type *type = &model_section_types[i];
        if (w->sections[i].bytes == 0)
            continue;
        size_t offset = align_up(end, ALIGNMENT);
        *table = (struct section_record){
            .version = type->version, .flags = type->flags, .offset = offset, .bytes = w->sections[i].bytes};
        memcpy(table->type, type->type, sizeof table->type);
        if (!(type->flags & SECTION_IN_PARTS)) {
            table->checksum = file_checksum(w->sections[i].items, w->sections[i].bytes);
            head = offset + w->sections[i].bytes;
        } else if (head == end) {
            head = offset;
        }
        end = offset + w->sections[i].bytes;
        table++;
    }
    return head;
}

static void fill_head(const struct model_writer *w, uint32_t count, const struct section_record *table, char *head)
{
    struct model_header header = {
        .format_version = MODEL_FORMAT_VERSION,
        .section_count = count,
        .file_bytes = table[count - 1].offset + table[count - 1].bytes,
        .table_checksum = file_checksum(table, count * sizeof *table),
    };
    memcpy(header.magic, MODEL_MAGIC, sizeof header.magic);
    header.header_checksum = file_checksum(&header, offsetof(struct model_header, header_checksum));
    memcpy(head, &header, sizeof header);
    memcpy(head + sizeof header, table, count * sizeof *table);
    for (int i = 0; i < SECTION_COUNT; i++)
        if (w->sections[i].bytes && !(model_section_types[i].flags & SECTION_IN_PARTS))
            memcpy(head + table++->offset, w->sections[i].items, w->sections[i].bytes);
}

/* What stands at an offset, after the zeros that lead there from *end. */
static struct file_part *place_part(struct file_part *next, size_t *end, uint64_t offset, const void *data,
                                    uint64_t bytes)
{
    static const char zeros[ALIGNMENT];
    *next++ = (struct file_part){zeros, (size_t)offset - *end};
    *next++ = (struct file_part){data, (size_t)bytes};
    *end = (size_t)(offset + bytes);
    return next;
}

enum status model_assemble(struct model_writer *w, struct file_part **parts, size_t *part_count)
{
    uint32_t section_total = 0;
    for (int i = 0; i < SECTION_COUNT; i++)
        if (w->sections[i].bytes)
            section_total++;
    struct section_record table[SECTION_COUNT];
    size_t head_bytes = place_sections(w, section_total, table);
    size_t tensor_count = w->tensors.bytes / sizeof(void *), pack_count = w->packs.bytes / sizeof(void *);
    char *head = region_allocate(w->scratch, head_bytes);
    *parts = region_array(w->scratch, 1 + 2 * (tensor_count + pack_count), sizeof **parts);
    if (w->out_of_memory || !head || !*parts)
        return no_memory(w);
    fill_head(w, section_total, table, head);
    struct file_part *next = *parts;
    *next++ = (struct file_part){head, head_bytes};
    const struct tensor_record *tensors = (const void *)w->sections[SECTION_TENSORS].items;
    const struct pack_record *packs = (const void *)w->sections[SECTION_PACKS].items;
    const void *const *tensor_data = (const void *)w->tensors.items, *const *pack_data = (const void *)w->packs.items;
    size_t end = 0;
    for (size_t i = 0; i < pack_count; i++)
        next = place_part(next, &end, packs[i].offset, pack_data[i], packs[i].bytes);
    end -= align_up(end, ALIGNMENT); /* the weights begin at the next multiple, and their offsets count from there */
    for (size_t i = 0; i < tensor_count; i++)
        next = place_part(next, &end, tensors[i].offset, tensor_data[i], tensors[i].bytes);
    *part_count = (size_t)(next - *parts);
    return STATUS_OK;
}
