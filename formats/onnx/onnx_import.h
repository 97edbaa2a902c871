/* The ONNX importer: an .onnx file becomes a graph of ours. */
#ifndef INFER_FORMATS_ONNX_ONNX_IMPORT_H
#define INFER_FORMATS_ONNX_ONNX_IMPORT_H

#include "formats/model_file.h"

struct onnx_dimension {
    const char *name; /* of a symbolic dimension */
    int64_t size;     /* what it is fixed to */
};

struct onnx_import_options {
    const struct onnx_dimension *dimensions; /* from --set-dim */
    int dimension_count;
};

/* Reads the model at `path` ("-": stdin; then external data is refused) into a graph whose constants live in `region`.
 * Unsupported operators make one error each in `refused` (see below) and an error that counts them. */
enum status onnx_import(const char *path, const struct onnx_import_options *options, struct region *region,
                        struct graph **graph, struct model_metadata *metadata, struct error *error);

/* After STATUS_UNSUPPORTED for operators that nothing here runs, the text of `error` lists as many as fit; this calls
 * `report` with every one: "ai.onnx.ml.TreeEnsemble: node 'a', node 'b'". Region as given to onnx_import. */
enum status onnx_list_unsupported(const char *path, struct region *region,
                                  void (*report)(void *user, const char *operator_name, const char *node_name),
                                  void *user, struct error *error);

#endif
