/* What a model is calibrated with: arrays in files, one sample at a time in memory. */
#ifndef INFER_TOOLS_QUANTIZE_SAMPLES_H
#define INFER_TOOLS_QUANTIZE_SAMPLES_H

#include "tools/arrays.h"

struct sample_file {
    char *path;
    int64_t count; /* of its samples */
};

struct samples {
    const infer_model *model;
    struct sample_file *files;
    int file_count;
    int64_t count; /* of all files */
    bool constant; /* every floating input is the same number throughout, in all of them */
    /* The file that lies in memory. */
    int loaded; /* -1: none */
    struct input_set arrays;
    infer_tensor *tensors; /* of the sample asked for last */
};

/* Looks at `count` paths: FILE.npy of a model with one input, FILE.npz with an array for each input, or folders of
 * such. Arrays with one axis more than their input, or with more than one row where it has one, are rows of samples; so
 * are those of a model whose inputs and outputs all have a batch of any size as their first axis. An error names the
 * file: it holds no sample, NaN or infinity, or has another shape than the input. */
enum status samples_open(struct samples *samples, const infer_model *model, int count, char **paths,
                         struct error *error);
void samples_close(struct samples *samples);
/* The model's inputs of sample i, until the next call. */
enum status samples_get(struct samples *samples, int64_t i, const infer_tensor **tensors, struct error *error);
/* The file that sample i is in. */
const char *samples_path(const struct samples *samples, int64_t i);

#endif
