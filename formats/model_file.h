/* The binary model format, model.bin: see docs/model-format.md. */
#ifndef INFER_FORMATS_MODEL_FILE_H
#define INFER_FORMATS_MODEL_FILE_H

#include "formats/file.h"
#include "graph/graph.h"
#include "kernels/kernel.h"

/* A constant in the order in which a kernel reads it, stored beside it. It may be read in the place of what the kernel
 * would make where all of this agrees: see struct kernel_pack. */
struct model_pack {
    const char *set;    /* the instruction set that it was made for, for people to read */
    const char *family; /* of the kernel: kernel_family_name */
    uint32_t form;
    const void *source; /* in a constant of the graph */
    enum dtype dtype;   /* of the kernel's input that begins there, as are rank and dims */
    int rank;
    int64_t dims[MAX_RANK];
    int64_t geometry[KERNEL_GEOMETRY];
    const void *data; /* aligned to ALIGNMENT */
    size_t bytes;
    /* Of a pack that was read: of its data, and how many zeros stand before them. See model_pack_is_whole. */
    uint64_t checksum;
    unsigned padding;
};

/* A constant of the graph whose bytes nobody has looked at yet. */
struct model_tensor {
    const void *data;
    size_t bytes;
    uint64_t checksum; /* of them, as version `version` of the format has it */
    uint32_t version;
    size_t padding; /* how many zeros stand before them */
    uint32_t index; /* in the file, for errors */
};

struct model_metadata {
    const char *name, *producer, *description; /* never NULL */
    int count;                                 /* of the key-value pairs */
    const char *const *keys, *const *values;
    int pass_count; /* of the passes that the graph has been through, by name in their order */
    const char *const *passes;
    int pack_count;
    const struct model_pack *packs;    /* in ascending order of their sources, where they were read */
    int unread_count;                  /* see leaves_packed */
    const struct model_tensor *unread; /* in ascending order of their data */
};

struct model_read_options {
    bool skip_weight_checksum; /* for a file that is trusted: opening it then touches no weight but bools */
    bool leaves_packed;        /* weights of which there is a pack go to metadata.unread, for model_tensor_is_whole */
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

/* Whether the bytes of a pack that was read are those that were written. model_read leaves this to whoever uses it: the
 * packs of a file are large, and may be of no use to the machine at hand. */
bool model_pack_is_whole(const struct model_pack *pack);
/* The same of weights. */
bool model_tensor_is_whole(const struct model_tensor *tensor);

/* The other way: the same graph and metadata (NULL: none) give the same bytes each time. Constants of equal content are
 * stored once; packs of what is no constant of the graph are left out. `*bytes` (aligned to ALIGNMENT) is allocated in
 * `region`. The graph is checked first: what this writes, model_read reads. */
enum status model_write(const struct graph *graph, const struct model_metadata *metadata, struct region *region,
                        void **bytes, size_t *size, struct error *error);

/* The same into a file, by file_write_parts; weights are not copied on the way. */
enum status model_save(const char *path, const struct graph *graph, const struct model_metadata *metadata,
                       const struct allocator *allocator, struct error *error);

#endif
