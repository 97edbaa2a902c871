/* What infer-inspect knows of a model, and the ways it tells it. */
#ifndef INFER_TOOLS_INSPECT_H
#define INFER_TOOLS_INSPECT_H

#include "runtime/compile/program.h"
#include "runtime/session.h"

#include <stdio.h>

struct operator_use {
    const struct op *op;
    int count;
};

struct inspection {
    const char *path;
    size_t file_bytes; /* of the model.bin; for an .onnx, of what it was converted to */
    bool converted;
    const infer_model *model;
    const struct graph *graph; /* as imported */
    int node_count;            /* subgraphs included, as in the next three */
    struct operator_use *operators;
    int operator_count;
    int64_t parameter_count;
    int constant_count;
    /* The program for the shapes asked for; NULL: shapes are missing, and everything below is. */
    const struct program *program;
    infer_memory memory;
    bool show_steps;
};

/* The label of a value and its type and shape, "float32 1x8x8x8". */
const char *typed_shape(const struct graph *graph, const struct value *value, char *buffer, size_t bytes);
const char *step_kernel(const struct step *step);

void inspect_print(FILE *file, const struct inspection *inspection);
void inspect_json(FILE *file, const struct inspection *inspection);
enum status inspect_memory(const char *path, const struct inspection *inspection, struct error *error);

#endif
