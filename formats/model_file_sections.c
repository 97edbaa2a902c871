#include "formats/model_file_reader.h"

#include <string.h>

const struct model_section_type model_section_types[SECTION_COUNT] = {
    [SECTION_STRINGS] = {"strs", 1, SECTION_REQUIRED, 1},
    [SECTION_METADATA] = {"meta", 1, 0, 1},
    [SECTION_PASSES] = {"pass", 1, 0, sizeof(uint32_t)},
    [SECTION_OPERATORS] = {"oper", 1, SECTION_REQUIRED, sizeof(struct operator_record)},
    [SECTION_SYMBOLS] = {"syms", 1, SECTION_REQUIRED, sizeof(uint32_t)},
    [SECTION_GRAPHS] = {"grph", 1, SECTION_REQUIRED, sizeof(struct graph_record)},
    [SECTION_VALUES] = {"vals", 1, SECTION_REQUIRED, sizeof(struct value_record)},
    [SECTION_DIMS] = {"dims", 1, SECTION_REQUIRED, sizeof(int64_t)},
    [SECTION_TENSORS] = {"tens", 1, SECTION_REQUIRED, sizeof(struct tensor_record)},
    [SECTION_NODES] = {"node", 1, SECTION_REQUIRED, sizeof(struct node_record)},
    [SECTION_REFERENCES] = {"refs", 1, SECTION_REQUIRED, sizeof(uint32_t)},
    [SECTION_ATTRIBUTES] = {"attr", 1, SECTION_REQUIRED, sizeof(struct attribute_record)},
    [SECTION_INTS] = {"ints", 1, SECTION_REQUIRED, sizeof(int64_t)},
    [SECTION_FLOATS] = {"flts", 1, SECTION_REQUIRED, sizeof(float)},
    [SECTION_DEFAULTS] = {"dflt", 1, SECTION_REQUIRED, sizeof(uint32_t)},
    [SECTION_PACKS] = {"pack", 1, 0, sizeof(struct pack_record)},
    [SECTION_PACKED] = {"pckd", 1, SECTION_IN_PARTS, 1},
    [SECTION_WEIGHTS] = {"wgts", 1, SECTION_REQUIRED | SECTION_IN_PARTS, 1},
};

/* --- header and table --------------------------------------------------------------------------------------------- */

bool model_all_zero(const uint8_t *bytes, size_t size)
{
    /* A run of equal bytes equals itself shifted by one. */
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

bool model_begins(const void *bytes, size_t size)
{
    return memcmp(bytes, MODEL_MAGIC, size < 4 ? size : 4) == 0; /* the others tell what happened to the line ends */
}

static enum status not_a_model(const struct model_reader *r)
{
    const char *foreign = file_foreign_kind(r->bytes, r->size);
    if (foreign)
        return INVALID(r, "%s", foreign);
    if (model_begins(r->bytes, r->size) && r->size > MODEL_MAGIC_BYTES)
        return INVALID(r, "was damaged on its way, as by a transfer in text mode");
    return INVALID(r, "is not a model file (infer-convert makes one of an ONNX model)");
}

static enum status read_header(struct model_reader *r, struct model_header *header)
{
    if (r->size < MODEL_MAGIC_BYTES || memcmp(r->bytes, MODEL_MAGIC, MODEL_MAGIC_BYTES) != 0)
        return not_a_model(r);
    if (r->size < sizeof *header)
        return INVALID(r, "was cut to %zu bytes, less than its header has", r->size);
    memcpy(header, r->bytes, sizeof *header);
    if (header->format_version < 1 || header->format_version > MODEL_FORMAT_VERSION)
        return NOT_SUPPORTED(r, "has format version %u; this build reads versions 1 to %d", header->format_version,
                             MODEL_FORMAT_VERSION);
    r->format_version = header->format_version;
    if (reader_checksum(r, header, offsetof(struct model_header, header_checksum)) != header->header_checksum)
        return INVALID(r, "its header does not match its checksum: the file is damaged");
    if (header->file_bytes > r->size)
        return INVALID(r, "was cut to %s bytes; its header says %s", grouped(r->size).text,
                       grouped(header->file_bytes).text);
    if (header->file_bytes < r->size)
        return INVALID(r, "has %s bytes; its header says %s", grouped(r->size).text, grouped(header->file_bytes).text);
    if (!model_all_zero((const uint8_t *)header->zero, sizeof header->zero))
        return INVALID(r, "its header has bytes set that this version leaves zero");
    return STATUS_OK;
}

static enum status check_place(const struct model_reader *r, const struct section_record *record, size_t free_from)
{
    if (record->zero != 0 || (record->flags & ~(uint32_t)(SECTION_REQUIRED | SECTION_IN_PARTS)) != 0)
        return INVALID(r, "section '%.4s' has flags that this version does not know", record->type);
    if (record->offset % ALIGNMENT != 0)
        return INVALID(r, "section '%.4s' begins at byte %s, not a multiple of %d", record->type,
                       grouped(record->offset).text, ALIGNMENT);
    if (record->offset > r->size || record->bytes > r->size - record->offset)
        return INVALID(r, "section '%.4s' of %s bytes at byte %s goes past the end of the file (%s)", record->type,
                       grouped(record->bytes).text, grouped(record->offset).text, grouped(r->size).text);
    if (record->offset < free_from)
        return INVALID(r, "section '%.4s' begins at byte %s, inside what ends at byte %s", record->type,
                       grouped(record->offset).text, grouped(free_from).text);
    if (!model_all_zero(r->bytes + free_from, (size_t)record->offset - free_from))
        return INVALID(r, "there are stray bytes before section '%.4s', between %s and %s", record->type,
                       grouped(free_from).text, grouped(record->offset).text);
    return STATUS_OK;
}

static enum status check_size(const struct model_reader *r, const struct section_record *record)
{
    size_t limit = r->options->section_limit;
    if (limit == 0 || record->bytes <= limit)
        return STATUS_OK;
    bool weights = record->flags & SECTION_IN_PARTS;
    return error_set(r->error, STATUS_MEMORY_LIMIT, "%s '%.4s' take %s bytes, past the limit of %s",
                     weights ? "the weights of section" : "the tables of section", record->type,
                     grouped(record->bytes).text, grouped(limit).text);
}

static enum status check_content(const struct model_reader *r, const struct section_record *record,
                                 const struct model_section_type *type)
{
    if ((record->flags & SECTION_IN_PARTS) != (type->flags & SECTION_IN_PARTS))
        return INVALID(r, "section '%.4s' has the flags of another", record->type);
    if (record->bytes % type->record_bytes != 0)
        return INVALID(r, "section '%.4s' has %s bytes, not a multiple of its records' %zu", record->type,
                       grouped(record->bytes).text, type->record_bytes);
    /* The graph counts in int. */
    if (type->record_bytes > 1 && record->bytes / type->record_bytes > INT32_MAX)
        return NOT_SUPPORTED(r, "section '%.4s' has %s records; at most %d are supported", record->type,
                             grouped(record->bytes / type->record_bytes).text, INT32_MAX);
    return STATUS_OK;
}

static enum status open_section(struct model_reader *r, const struct section_record *record)
{
    const uint8_t *bytes = r->bytes + record->offset;
    if (record->flags & SECTION_IN_PARTS) {
        if (record->checksum != 0)
            return INVALID(r, "section '%.4s' has a checksum and says that it has none", record->type);
    } else if (reader_checksum(r, bytes, (size_t)record->bytes) != record->checksum) {
        return INVALID(r, "section '%.4s' (bytes %s to %s) does not match its checksum: the file is damaged",
                       record->type, grouped(record->offset).text, grouped(record->offset + record->bytes).text);
    }
    for (int i = 0; i < SECTION_COUNT; i++) {
        const struct model_section_type *type = &model_section_types[i];
        if (memcmp(type->type, record->type, sizeof record->type) != 0 || type->version != record->version)
            continue;
        if (r->sections[i].bytes)
            return INVALID(r, "section '%.4s' is there twice", record->type);
        enum status status = check_content(r, record, type);
        r->sections[i] = (struct section){.bytes = bytes, .size = (size_t)record->bytes};
        return status;
    }
    if (record->flags & SECTION_REQUIRED)
        return NOT_SUPPORTED(r, "needs section '%.4s' version %u, which this build does not know", record->type,
                             record->version);
    return STATUS_OK;
}

enum status model_open_sections(struct model_reader *r)
{
    struct model_header header;
    TRY(read_header(r, &header));
    size_t table = (size_t)header.section_count * sizeof(struct section_record);
    if (header.section_count > (r->size - sizeof header) / sizeof(struct section_record))
        return INVALID(r, "its table of %s sections goes past the end of the file (%s)",
                       grouped(header.section_count).text, grouped(r->size).text);
    if (reader_checksum(r, r->bytes + sizeof header, table) != header.table_checksum)
        return INVALID(r, "its table of sections does not match its checksum: the file is damaged");
    size_t end = sizeof header + table;
    for (uint32_t i = 0; i < header.section_count; i++) {
        struct section_record record;
        memcpy(&record, r->bytes + sizeof header + i * sizeof record, sizeof record);
        TRY(check_place(r, &record, end));
        TRY(check_size(r, &record));
        TRY(open_section(r, &record));
        end = (size_t)(record.offset + record.bytes);
    }
    if (end != r->size)
        return INVALID(r, "goes on after its last section, from byte %s to %s", grouped(end).text,
                       grouped(r->size).text);
    for (int i = 0; i < SECTION_COUNT; i++)
        if (!r->sections[i].bytes)
            r->sections[i].bytes = r->bytes;
    return STATUS_OK;
}

enum status model_take(struct model_reader *r, enum model_section kind, uint64_t count, const uint8_t **records)
{
    struct section *section = &r->sections[kind];
    size_t each = model_section_types[kind].record_bytes;
    size_t left = (section->size - section->used) / each;
    if (count > left)
        return INVALID(r, "takes %s records of section '%s', which has %s left", grouped(count).text,
                       model_section_types[kind].type, grouped(left).text);
    *records = section->bytes + section->used;
    section->used += (size_t)count * each;
    return STATUS_OK;
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

static uint32_t string_start(const struct string_table *strings, uint32_t index)
{
    return index ? load_u32(strings->ends + (size_t)(index - 1) * 4) : 0;
}

/* Strings stand in ascending order, so no two are equal: equal names have equal indices. */
static enum status check_strings(const struct model_reader *r, const struct string_table *strings, size_t text_bytes,
                                 bool *has_zero)
{
    uint32_t before = 0, start = 0;
    for (uint32_t i = 0; i < strings->count; i++) {
        uint32_t end = load_u32(strings->ends + (size_t)i * 4);
        if (end <= start || end > text_bytes)
            return INVALID(r, "string %u ends at byte %s of its section's text, which has %s", i, grouped(end).text,
                           grouped(text_bytes).text);
        if (strings->text[end - 1] != '\0')
            return INVALID(r, "string %u is not terminated", i);
        size_t length = end - 1 - start;
        has_zero[i] = memchr(strings->text + start, 0, length) != NULL;
        if (i > 0 &&
            model_compare_strings(strings->text + before, start - 1 - before, strings->text + start, length) >= 0)
            return INVALID(r, "string %u is not after the one before it in order", i);
        before = start;
        start = end;
    }
    if (start != text_bytes)
        return INVALID(r, "section 'strs' goes on after its last string");
    return STATUS_OK;
}

enum status model_read_strings(struct model_reader *r)
{
    const struct section *section = &r->sections[SECTION_STRINGS];
    struct string_table *strings = &r->strings;
    if (section->size == 0)
        return STATUS_OK;
    if (section->size < 4)
        return INVALID(r, "section 'strs' has %zu bytes, too few for a count", section->size);
    strings->count = load_u32(section->bytes);
    if (strings->count > (section->size - 4) / 4)
        return INVALID(r, "section 'strs' of %s bytes cannot hold %s strings", grouped(section->size).text,
                       grouped(strings->count).text);
    size_t before_text = 4 + (size_t)strings->count * 4;
    bool *has_zero = region_array(r->scratch, strings->count, sizeof *has_zero);
    r->names.last = region_array(r->scratch, strings->count, sizeof *r->names.last);
    if (!has_zero || !r->names.last)
        return error_set(r->error, STATUS_OUT_OF_MEMORY, "out of memory for its strings");
    strings->ends = section->bytes + 4;
    strings->text = (const char *)section->bytes + before_text;
    strings->has_zero = has_zero;
    return check_strings(r, strings, section->size - before_text, has_zero);
}

enum status model_string(const struct model_reader *r, uint64_t index, const char **text, size_t *length)
{
    const struct string_table *strings = &r->strings;
    if (index >= strings->count)
        return INVALID(r, "refers to string %s of %s", grouped(index).text, grouped(strings->count).text);
    uint32_t start = string_start(strings, (uint32_t)index);
    *text = strings->text + start;
    *length = string_start(strings, (uint32_t)index + 1) - start - 1;
    return STATUS_OK;
}

enum status model_name(const struct model_reader *r, uint64_t index, const char **text)
{
    size_t length;
    TRY(model_string(r, index, text, &length));
    return r->strings.has_zero[index] ? INVALID(r, "has a zero byte in its name") : STATUS_OK;
}
