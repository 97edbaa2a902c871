/* Between the two halves of the reader of model files: sections and strings, and what stands in them. */
#ifndef INFER_FORMATS_MODEL_FILE_READER_H
#define INFER_FORMATS_MODEL_FILE_READER_H

#include "formats/model_file_layout.h"
#include "graph/op.h"

/* A section, read from its beginning to its end. */
struct section {
    const uint8_t *bytes; /* of a section that the file lacks: none, but never NULL */
    size_t size, used;
};

struct string_table {
    uint32_t count;
    const uint8_t *ends; /* uint32_t each: where the string's terminator ends, counted from `text` */
    const char *text;
    const bool *has_zero; /* a zero before the terminator: right for an attribute, wrong for a name */
};

struct model_reader {
    const uint8_t *bytes;
    size_t size;
    uint32_t format_version;
    const struct model_read_options *options;
    struct region *region;  /* of what the reader makes */
    struct region *scratch; /* of what it needs meanwhile */
    struct error *error;
    struct section sections[SECTION_COUNT];
    struct string_table strings;
    struct name_scope names;
};

/* Errors do not name the file: model_read puts that in front. */
#define INVALID(r, ...) error_set((r)->error, STATUS_INVALID_MODEL, __VA_ARGS__)
#define NOT_SUPPORTED(r, ...) error_set((r)->error, STATUS_UNSUPPORTED, __VA_ARGS__)

/* That of `bytes` by the rules of the file's version. */
static inline uint64_t reader_checksum(const struct model_reader *r, const void *bytes, size_t size)
{
    return model_checksum(r->format_version, bytes, size);
}

/* Verifies header, table, checksums and that nothing lies between the sections. */
enum status model_open_sections(struct model_reader *r);
enum status model_read_strings(struct model_reader *r);

static inline size_t section_records(const struct model_reader *r, enum model_section kind)
{
    return r->sections[kind].size / model_section_types[kind].record_bytes;
}
static inline struct tensor_record tensor_at(const struct model_reader *r, uint32_t index)
{
    struct tensor_record record;
    memcpy(&record, r->sections[SECTION_TENSORS].bytes + index * sizeof record, sizeof record);
    return record;
}
/* The next `count` records. */
enum status model_take(struct model_reader *r, enum model_section kind, uint64_t count, const uint8_t **records);
enum status model_string(const struct model_reader *r, uint64_t index, const char **text, size_t *length);
/* The same for one without zeros in it. */
enum status model_name(const struct model_reader *r, uint64_t index, const char **text);
/* That tensors lie in the weights, one behind the other. */
enum status model_check_tensors(const struct model_reader *r);
/* That they are what was written, with nothing between them; but for those that are left to others. After the packs. */
enum status model_check_contents(const struct model_reader *r, struct model_metadata *metadata);
/* After the tensors have been checked. */
enum status model_read_packs(struct model_reader *r, struct model_metadata *metadata);
bool model_all_zero(const uint8_t *bytes, size_t size);

static inline uint32_t load_u32(const uint8_t *bytes)
{
    uint32_t number;
    __builtin_memcpy(&number, bytes, sizeof number);
    return number;
}

#endif
