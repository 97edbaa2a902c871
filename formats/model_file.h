/* The binary model format, model.bin: see docs/model-format.md. */
#ifndef INFER_FORMATS_MODEL_FILE_H
#define INFER_FORMATS_MODEL_FILE_H

#include "formats/file.h"
#include "graph/graph.h"

struct model_metadata {
    const char *name, *producer, *description; /* never NULL */
    int count;                                 /* of the key-value pairs */
    const char *const *keys, *const *values;
};

struct model_read_options {
    bool skip_weight_checksum; /* for a file that is trusted: opening it then touches no weight */
};

/* Makes a graph from the bytes of a model file. Weights are not copied: `bytes` must be aligned to ALIGNMENT and
 * outlive the region. `name` is what errors call the file. Everything is validated first; nothing in the bytes can make
 * this crash or allocate more than a small multiple of `size`. */
enum status model_read(const char *name, const void *bytes, size_t size, const struct model_read_options *options,
                       struct region *region, struct graph **graph, struct model_metadata *metadata,
                       struct error *error);

/* The other way: the same graph and metadata give the same bytes each time. `*bytes` (aligned to ALIGNMENT) is
 * allocated in `region`. */
enum status model_write(const struct graph *graph, const struct model_metadata *metadata, struct region *region,
                        void **bytes, size_t *size, struct error *error);

#endif
