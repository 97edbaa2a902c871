#include "tools/run_compare.h"

#include "formats/npy.h"
#include "graph/graph.h"
#include "tools/arrays.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static void compare_one(double got, double expected, int64_t place, struct difference *difference, double *largest)
{
    double distance = got == expected || (isnan(got) && isnan(expected)) ? 0.0 : fabs(got - expected);
    if (isnan(distance))
        distance = INFINITY;
    if (isfinite(expected) && fabs(expected) > *largest)
        *largest = fabs(expected);
    if (distance > difference->absolute) {
        difference->absolute = distance;
        difference->place = place;
    }
}

static void compare_all(const infer_tensor *got, const infer_tensor *expected, int64_t count, double tolerance,
                        struct difference *difference)
{
    double largest = 0;
    *difference = (struct difference){0};
    for (int64_t i = 0; i < count; i++)
        compare_one(tensor_element(got, i), tensor_element(expected, i), i, difference, &largest);
    difference->relative = largest > 0 ? difference->absolute / largest : difference->absolute > 0 ? INFINITY : 0.0;
    difference->within = difference->absolute <= tolerance * largest + tolerance / 10;
}

static bool same_shape(const infer_tensor *tensor, const struct npy_array *array)
{
    return tensor->rank == array->rank &&
           memcmp(tensor->dims, array->dims, (size_t)tensor->rank * sizeof *tensor->dims) == 0;
}

static enum status compare_array(const char *path, const infer_tensor *tensor, struct npy_array *array,
                                 double tolerance, struct difference *difference, struct error *error)
{
    char got[200], expected[200];
    if (array->dtype == DTYPE_NONE || dtype_bits((enum dtype)tensor->dtype) < 8) {
        enum status status = npy_reinterpret(array, path, (enum dtype)tensor->dtype, error);
        if (status != STATUS_OK)
            return status;
    }
    if (array->dtype != (enum dtype)tensor->dtype || !same_shape(tensor, array))
        return error_set(
            error, STATUS_INVALID_ARGUMENT, "%s: is %s %s; the output is %s %s", path, dtype_name(array->dtype),
            shape_text(NULL, array->rank, array->dims, expected, sizeof expected), infer_dtype_name(tensor->dtype),
            shape_text(NULL, tensor->rank, tensor->dims, got, sizeof got));
    infer_tensor ours = *tensor, theirs = *tensor;
    theirs.data = array->data;
    bool complex = tensor->dtype == INFER_COMPLEX64 || tensor->dtype == INFER_COMPLEX128;
    if (complex) /* two numbers each */
        ours.dtype = theirs.dtype = tensor->dtype == INFER_COMPLEX64 ? INFER_FLOAT32 : INFER_FLOAT64;
    compare_all(&ours, &theirs, complex ? 2 * array->elements : array->elements, tolerance, difference);
    return STATUS_OK;
}

enum status compare_tensor(const char *path, const infer_tensor *tensor, double tolerance,
                           struct difference *difference, struct error *error)
{
    struct npy_array array = {0};
    enum status status = npy_read(&array, path, &default_allocator, error);
    if (status == STATUS_OK)
        status = compare_array(path, tensor, &array, tolerance, difference, error);
    npy_free(&array);
    return status;
}

enum status compare_outputs(const char *directory, const infer_model *model, const infer_tensor *outputs,
                            double tolerance, FILE *file, size_t *failed, struct difference *difference,
                            struct error *error)
{
    size_t count = infer_model_output_count(model);
    *failed = count;
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        struct difference found;
        infer_value value = {.name = ""};
        infer_model_output(model, i, &value);
        snprintf(path, sizeof path, "%s/output_%zu.npy", directory, i);
        enum status status = compare_tensor(path, &outputs[i], tolerance, &found, error);
        if (status != STATUS_OK)
            return status;
        if (file)
            fprintf(file, "compare %zu  %s  largest error %.3g, relative %.3g  %s\n", i, value.name, found.absolute,
                    found.relative, found.within ? "ok" : "PAST THE TOLERANCE");
        if (!found.within && *failed == count) {
            *failed = i;
            *difference = found;
        }
    }
    return STATUS_OK;
}
