#include "tools/run_compare.h"

#include "formats/npy.h"
#include "graph/graph.h"
#include "tools/arrays.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* Doubles hold integers of up to 53 bits; larger ones that differ may be the same double. */
static bool same_integer(const infer_tensor *got, const infer_tensor *expected, int64_t i)
{
    return ((const uint64_t *)got->data)[i] == ((const uint64_t *)expected->data)[i];
}

static double distance_between(const infer_tensor *got, const infer_tensor *expected, int64_t i, double a, double b)
{
    if (got->dtype == INFER_INT64 || got->dtype == INFER_UINT64)
        return same_integer(got, expected, i) ? 0.0 : fmax(fabs(a - b), 1.0);
    if (a == b || (isnan(a) && isnan(b)))
        return 0.0;
    double distance = fabs(a - b);
    return isnan(distance) ? (double)INFINITY : distance;
}

void compare_tensors(const infer_tensor *got_tensor, const infer_tensor *expected_tensor, double tolerance,
                     struct difference *difference)
{
    double largest = 0;
    int64_t count;
    infer_tensor got = tensor_numbers(got_tensor, &count), expected = tensor_numbers(expected_tensor, &count);
    *difference = (struct difference){0};
    for (int64_t i = 0; i < count; i++) {
        double a = tensor_element(&got, i), b = tensor_element(&expected, i);
        double distance = distance_between(&got, &expected, i, a, b);
        if (isfinite(b) && fabs(b) > largest)
            largest = fabs(b);
        if (distance > difference->absolute)
            *difference = (struct difference){.absolute = distance, .place = i, .got = a, .expected = b};
    }
    difference->relative = largest > 0 ? difference->absolute / largest : difference->absolute > 0 ? INFINITY : 0.0;
    difference->within = difference->absolute <= tolerance * largest + tolerance / 10;
}

bool same_tensor(const infer_tensor *a, const infer_tensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
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
    infer_tensor theirs = array_tensor(array);
    if (!same_tensor(tensor, &theirs))
        return error_set(
            error, STATUS_INVALID_ARGUMENT, "%s: is %s %s; the output is %s %s", path, dtype_name(array->dtype),
            shape_text(NULL, array->rank, array->dims, expected, sizeof expected), infer_dtype_name(tensor->dtype),
            shape_text(NULL, tensor->rank, tensor->dims, got, sizeof got));
    compare_tensors(tensor, &theirs, tolerance, difference);
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
            fprintf(file, "compare %zu  %s  largest error %.3g, relative %.3g  %s\n", i, legible(value.name).text,
                    found.absolute, found.relative, found.within ? "ok" : "PAST THE TOLERANCE");
        if (!found.within && *failed == count) {
            *failed = i;
            *difference = found;
        }
    }
    return STATUS_OK;
}
