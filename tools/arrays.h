/* Arrays on their way between files and tensors. */
#ifndef INFER_TOOLS_ARRAYS_H
#define INFER_TOOLS_ARRAYS_H

#include "formats/npy.h"
#include "runtime/infer.h"

/* The inputs of one run, in the model's order. */
struct input_set {
    size_t count;
    struct npy_array *arrays;
    infer_tensor *tensors;
};

/* Reads `FILE.npy` (taken in the model's order) and `NAME=FILE.npy` arguments; every input must be given once. */
enum status read_inputs(const infer_model *model, int count, char **arguments, struct input_set *inputs,
                        struct error *error);
void free_inputs(struct input_set *inputs);

/* Element `index` as a number; of any type but the complex ones. */
double tensor_element(const infer_tensor *tensor, int64_t index);

/* Writes the tensor to DIRECTORY/NAME.npy; '/' in the name becomes '_'. */
enum status write_tensor(const char *directory, const char *name, const infer_tensor *tensor, struct error *error);
enum status make_directory(const char *path, struct error *error);

#endif
