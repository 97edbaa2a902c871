/* The binary model format, model.bin: see docs/model-format.md. */
#ifndef INFER_FORMATS_MODEL_FILE_H
#define INFER_FORMATS_MODEL_FILE_H

#include "formats/file.h"
#include "graph/graph.h"

struct model_metadata {
    const char *name, *producer, *description; /* never NULL */
    int count;                                 /* of the key-value pairs */
    const char *const *keys, *const *values;
    int pass_count; /* of the passes that the graph has been through, by name in their order */
    const char *const *passes;
};

struct model_read_options {
    bool skip_weight_checksum; /* for a file that is trusted: opening it then touches no weight but bools */
    size_t section_limit;      /* a section of more bytes is refused unread, MEMORY_LIMIT; 0: none is */
};

/* These may be the first bytes of a model file, at least one of them. */
bool model_begins(const void *bytes, size_t size);

/* Makes a graph from the bytes of a model file. Weights, names and lists are not copied: `bytes` must be aligned to
 * ALIGNMENT and outlive the region. `options` may be NULL. `name` is what errors call the file. Everything is validated
 * first; nothing in the bytes can make this crash or allocate more than a small multiple of `size`. */
enum status model_read(const char *name, const void *bytes, size_t size, const struct model_read_options *options,
                       struct region *region, struct graph **graph, struct model_metadata *metadata,
                       struct error *error);

/* The other way: the same graph and metadata (NULL: none) give the same bytes each time. Constants of equal content are
 * stored once. `*bytes` (aligned to ALIGNMENT) is allocated in `region`. The graph is checked first: what this writes,
 * model_read reads. */
enum status model_write(const struct graph *graph, const struct model_metadata *metadata, struct region *region,
                        void **bytes, size_t *size, struct error *error);

/* The same into a file, by file_write_parts; weights are not copied on the way. */
enum status model_save(const char *path, const struct graph *graph, const struct model_metadata *metadata,
                       const struct allocator *allocator, struct error *error);

#endif
