/* Weights packed for an instruction set, stored beside them: infer-convert --pack. */
#ifndef INFER_TOOLS_CONVERT_PACK_H
#define INFER_TOOLS_CONVERT_PACK_H

#include "formats/model_file.h"
#include "tools/shapes.h"

#define MOST_SETS 2

struct pack_order {
    int count; /* of the sets */
    infer_isa sets[MOST_SETS];
    struct shape_list shapes; /* that the model is prepared for */
    size_t memory_limit;      /* 0: none */
};

/* Writes the graph with what the kernels of these sets make of its weights for these shapes. `name` is what errors call
 * the model. Where only a run can tell what follows a step, one is made on random inputs, and what it does not come to
 * is not packed. UNSUPPORTED: this CPU lacks a set. */
enum status pack_and_save(const char *path, const char *name, const struct graph *graph,
                          const struct model_metadata *metadata, const struct pack_order *order, struct region *region,
                          struct error *error);

#endif
