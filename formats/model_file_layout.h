/* The records of a model file, for its reader and its writer. docs/model-format.md says what each field means. */
#ifndef INFER_FORMATS_MODEL_FILE_LAYOUT_H
#define INFER_FORMATS_MODEL_FILE_LAYOUT_H

#include "formats/hash.h"
#include "formats/model_file.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "model files are little-endian and used as they lie: this host would need a reader of its own"
#endif
_Static_assert(sizeof(float) == 4, "lists of floats are used as they lie");

#define MODEL_MAGIC "\x89INF\r\n\x1a\n"
#define MODEL_MAGIC_BYTES 8
#define MODEL_FORMAT_VERSION 2 /* that is written; older ones are read */
#define MODEL_NONE UINT32_MAX  /* an index of nothing */

/* In the order in which they are written: those in parts last, and of the weights those last that packs stand for. So
 * all that is read where packs are lies together. */
enum model_section {
    SECTION_STRINGS,
    SECTION_METADATA,
    SECTION_PASSES,
    SECTION_OPERATORS,
    SECTION_SYMBOLS,
    SECTION_GRAPHS,
    SECTION_VALUES,
    SECTION_DIMS,
    SECTION_TENSORS,
    SECTION_NODES,
    SECTION_REFERENCES,
    SECTION_ATTRIBUTES,
    SECTION_INTS,
    SECTION_FLOATS,
    SECTION_DEFAULTS,
    SECTION_PACKS,
    SECTION_PACKED,
    SECTION_WEIGHTS,
    SECTION_COUNT,
};

enum model_section_flags {
    SECTION_REQUIRED = 1, /* a reader that does not know this type and version must refuse the file */
    SECTION_IN_PARTS = 2, /* no checksum here: the section's parts have their own */
};

struct model_section_type {
    char type[5]; /* four bytes in the file */
    uint32_t version;
    uint32_t flags;
    size_t record_bytes; /* 1 where it is not a plain array */
};
extern const struct model_section_type model_section_types[SECTION_COUNT];

struct model_header {
    char magic[MODEL_MAGIC_BYTES];
    uint32_t format_version;
    uint32_t section_count;
    uint64_t file_bytes;
    uint64_t table_checksum;
    uint64_t zero[3];
    uint64_t header_checksum; /* of all before it */
};

struct section_record {
    char type[4];
    uint32_t version;
    uint32_t flags;
    uint32_t zero;
    uint64_t offset; /* a multiple of ALIGNMENT */
    uint64_t bytes;
    uint64_t checksum;
};

/* Of everything in a file of that version. */
static inline uint64_t model_checksum(uint32_t format_version, const void *bytes, size_t size)
{
    return format_version == 1 ? xxh64(bytes, size, 0) : xxh3(bytes, size);
}

/* Fields called name, key, domain, ... are indices of strings. */
struct metadata_record { /* then pairs of key and value */
    uint32_t name, producer, description;
};

struct operator_record {
    uint32_t domain, name;
    uint32_t version;
};

struct graph_record {
    uint32_t name;
    uint32_t symbols, values, inputs, outputs, nodes; /* counts */
};

struct value_record {
    uint32_t name;
    uint32_t dtype;
    int32_t rank;
    uint32_t tensor; /* of a constant; MODEL_NONE otherwise */
};

struct tensor_record {
    uint64_t offset; /* in the weights, a multiple of ALIGNMENT */
    uint64_t bytes;
    uint64_t checksum;
};

struct node_record {
    uint32_t op; /* index of an operator */
    uint32_t name;
    uint32_t inputs, outputs, sources, attributes; /* counts */
};

struct attribute_record {
    uint32_t name;
    uint32_t kind;
    uint64_t content; /* by kind: the number, a string, a value, a graph, or a count */
};

/* The checksum is XXH3 in files of any version: none of version 1 has packs. */
struct pack_record {
    uint32_t set, family;
    uint32_t form;
    uint32_t tensor;
    uint32_t dtype;
    int32_t rank;
    uint64_t source_offset; /* in the tensor */
    int64_t dims[MAX_RANK]; /* zero past the rank */
    int64_t geometry[KERNEL_GEOMETRY];
    uint64_t offset; /* in the packed bytes: the first multiple of ALIGNMENT behind the pack before */
    uint64_t bytes;
    uint64_t checksum;
};

_Static_assert(sizeof(struct model_header) == 64 && sizeof(struct section_record) == 40 &&
                   sizeof(struct metadata_record) == 12 && sizeof(struct operator_record) == 12 &&
                   sizeof(struct graph_record) == 24 && sizeof(struct value_record) == 16 &&
                   sizeof(struct tensor_record) == 24 && sizeof(struct node_record) == 24 &&
                   sizeof(struct attribute_record) == 16 && sizeof(struct pack_record) == 312,
               "records are what the file holds, without padding");

/* Tells whether a string was used before in the same scope: names that must be unique. */
struct name_scope {
    uint32_t *last; /* for each string, the scope that used it last */
    uint32_t scope; /* 1, 2, ...; counted up where a scope begins */
};
static inline bool name_is_new(struct name_scope *names, uint32_t string)
{
    bool is_new = names->last[string] != names->scope;
    names->last[string] = names->scope;
    return is_new;
}

/* The known dimensions of a shape, negative ones left out, are those of a tensor that could be. */
static inline bool model_dims_fit(int rank, const int64_t *dims)
{
    int64_t known[MAX_RANK], elements;
    int count = 0;
    for (int i = 0; i < rank; i++)
        if (dims[i] >= 0)
            known[count++] = dims[i];
    return shape_elements(count, known, &elements);
}

/* The order of strings: bytes first, then length. */
static inline int model_compare_strings(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = __builtin_memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

/* A bool is a byte that is 0 or 1. */
static inline bool model_all_bools(const uint8_t *bytes, size_t size)
{
    uint8_t set = 0;
    for (size_t i = 0; i < size; i++)
        set |= bytes[i];
    return set <= 1;
}

#endif
