/* Inputs of random numbers, for measurements. */
#ifndef INFER_TOOLS_RANDOM_INPUTS_H
#define INFER_TOOLS_RANDOM_INPUTS_H

#include "tools/shapes.h"

/* Whether the first dimension of every input is free and nothing else is: then it is the batch. */
bool has_free_batch(const infer_model *model);
/* A tensor an input, of shapes given, or, where `batch` is not 0, of the model's own with a first dimension of that
 * many. free_random_inputs frees them; on an error there are none. */
enum status random_inputs(const infer_model *model, const struct shape_list *shapes, int64_t batch,
                          infer_tensor **tensors, struct error *error);
void free_random_inputs(const infer_model *model, infer_tensor *tensors);

#endif
