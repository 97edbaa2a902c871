/* Outputs against the arrays of a folder. */
#ifndef INFER_TOOLS_RUN_COMPARE_H
#define INFER_TOOLS_RUN_COMPARE_H

#include "kernels/base.h"
#include "runtime/infer.h"

#include <stdio.h>

#define DEFAULT_TOLERANCE 1e-4

struct difference {
    double absolute;      /* the largest; infinite where one side is NaN or infinite and the other is something else */
    double relative;      /* that, over the largest magnitude that was expected */
    int64_t place;        /* of the largest absolute one; a complex element is two places */
    double got, expected; /* there */
    bool within;
};

/* Whether two tensors have one type and shape. */
bool same_tensor(const infer_tensor *a, const infer_tensor *b);
/* Two tensors of one type and shape. They are within the tolerance T where the largest |a - b| is at most
 * T * max|b| + T / 10. */
void compare_tensors(const infer_tensor *got, const infer_tensor *expected, double tolerance,
                     struct difference *difference);
/* A tensor with the array of a file, which must have its type and shape. */
enum status compare_tensor(const char *path, const infer_tensor *tensor, double tolerance,
                           struct difference *difference, struct error *error);
/* Every output with DIRECTORY/output_N.npy, a line each to `file` (NULL: none). *failed is the first that is past the
 * tolerance, or the count. */
enum status compare_outputs(const char *directory, const infer_model *model, const infer_tensor *outputs,
                            double tolerance, FILE *file, size_t *failed, struct difference *difference,
                            struct error *error);

#endif
