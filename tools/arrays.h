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

/* Reads `FILE.npy` (taken in the model's order), `NAME=FILE.npy` and `FILE.npz` arguments (by the names of its arrays,
 * or its only one); every input without a default must be given, none twice. */
enum status read_inputs(const infer_model *model, int count, char **arguments, struct input_set *inputs,
                        struct error *error);
/* The array, which is taken over, as the only input that a model has to be given; the others are left to their
 * defaults. `name` is what errors call it. */
enum status inputs_of_array(const infer_model *model, const char *name, struct npy_array *array,
                            struct input_set *inputs, struct error *error);
void free_inputs(struct input_set *inputs);

/* The array as a tensor in the same memory. */
infer_tensor array_tensor(const struct npy_array *array);

/* Element `index` as a number; of any type but the complex ones. */
double tensor_element(const infer_tensor *tensor, int64_t index);
/* The same bytes as plain numbers, and how many: a complex element is two. The dimensions are those of the tensor. */
infer_tensor tensor_numbers(const infer_tensor *tensor, int64_t *count);

/* DIRECTORY/NAME.npy, '/' in the name as '_', into PATH_MAX bytes. */
enum status tensor_path(const char *directory, const char *name, char *path, struct error *error);
/* Writes the tensor to that file. */
enum status write_tensor(const char *directory, const char *name, const infer_tensor *tensor, struct error *error);
enum status make_directory(const char *path, struct error *error);

#endif
