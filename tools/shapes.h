/* Shapes given on the command line: INPUT=1x3x224x224, or SYMBOL=3. */
#ifndef INFER_TOOLS_SHAPES_H
#define INFER_TOOLS_SHAPES_H

#include "kernels/base.h"
#include "runtime/infer.h"

#define MOST_SHAPES 256

struct shape_list {
    int count;
    const char *arguments[MOST_SHAPES];
};

/* False where there are too many. */
bool shape_list_add(struct shape_list *list, const char *argument);
/* Whether every input of the model has a shape of its own. */
bool shapes_known(const infer_model *model);
/* One tensor without data an input (free()), from the model's own shape or the argument that names it. */
enum status shaped_inputs(const infer_model *model, const struct shape_list *list, infer_tensor **tensors,
                          struct error *error);

#endif
