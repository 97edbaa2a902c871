/* The ONNX importer: an .onnx file becomes a graph of ours. */
#ifndef INFER_FORMATS_ONNX_ONNX_IMPORT_H
#define INFER_FORMATS_ONNX_ONNX_IMPORT_H

#include "formats/model_file.h"

struct onnx_dimension {
    const char *name; /* of a symbolic dimension */
    int64_t size;     /* what it is fixed to */
};

/* A sequence, or an optional, that the model takes or gives: as so many tensors, NAME[0], NAME[1], ... */
struct onnx_elements {
    const char *name; /* of the input or output */
    int count;        /* ONNX_ABSENT: an optional input that is not there */
};
#define ONNX_ABSENT (-1)

struct onnx_import_options {
    const struct onnx_dimension *dimensions; /* from --set-dim; one that the model lacks is an error */
    int dimension_count;
    const struct onnx_elements *elements; /* from --elements; of what the model lacks is an error */
    int element_count;
    /* Most bytes of external data that tensors may have together, told before any of them is read; MEMORY_LIMIT beyond.
     * 0: no limit. What the region takes is its allocator's to limit. */
    size_t external_limit;
    /* Where the model has operators that nothing here runs, the error's text lists as many as fit, and this, if not
     * NULL, is called with every one and each node that asks for it: ("ai.onnx.ml.TreeEnsemble", "trees_1"). */
    void (*unsupported)(void *user, const char *operator_name, const char *node_name);
    void *user;
};

struct onnx_model {
    struct graph *graph; /* passes graph_validate */
    struct model_metadata metadata;
    struct onnx_file *files; /* external data, mapped: see onnx_close */
};

/* Reads the model at `path` ("-": standard input; then external data is refused). Everything but external data lives in
 * `region`. Operators of opset NEWEST_OPSET at most. Errors name the file, and the node or the tensor in it:
 * UNSUPPORTED for what is valid ONNX and not run here, INVALID_MODEL for what breaks ONNX's rules, INVALID_ARGUMENT for
 * the options. Nothing in the file can make this crash, or take more memory than 256 MB and some hundred times its
 * size. */
enum status onnx_import(const char *path, const struct onnx_import_options *options, struct region *region,
                        struct onnx_model *model, struct error *error);
/* The same from memory, which may go once this returns. `name` is what errors call the model; external data is looked
 * for in the directory `folder`, or refused where that is NULL. */
enum status onnx_import_bytes(const char *name, const void *bytes, size_t size, const char *folder,
                              const struct onnx_import_options *options, struct region *region,
                              struct onnx_model *model, struct error *error);
/* These may be the first bytes of an ONNX file, at least two of them. */
bool onnx_begins(const void *bytes, size_t size);
/* Unmaps external data, which constants of the graph point into; the rest goes with the region. Also right after a
 * failure. */
void onnx_close(struct onnx_model *model);

#endif
