#include "kernels/det.h"

#include "kernels/reference/types.h"
#include "kernels/walk.h"

#include <math.h>

static int det_tasks(const void *params)
{
    const struct det_params *p = params;
    return task_count(p->batch, 1 + 16384 / (1 + p->n * least(p->n * p->n, 16384)));
}

static size_t det_workspace(const void *params)
{
    const struct det_params *p = params;
    return (size_t)(p->n * p->n) * sizeof(double);
}

static void exchange_rows(double *matrix, int64_t n, int64_t a, int64_t b)
{
    for (int64_t k = 0; k < n; k++) {
        double kept = matrix[a * n + k];
        matrix[a * n + k] = matrix[b * n + k];
        matrix[b * n + k] = kept;
    }
}

/* The product of the pivots of Gaussian elimination, each the largest of its column. The matrix is used up. */
static double determinant(double *matrix, int64_t n)
{
    double product = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t pivot = i;
        for (int64_t row = i + 1; row < n; row++)
            if (fabs(matrix[row * n + i]) > fabs(matrix[pivot * n + i]))
                pivot = row;
        if (matrix[pivot * n + i] == 0)
            return 0;
        if (pivot != i) {
            exchange_rows(matrix, n, i, pivot);
            product = -product;
        }
        product *= matrix[i * n + i];
        for (int64_t row = i + 1; row < n; row++) {
            double factor = matrix[row * n + i] / matrix[i * n + i];
            for (int64_t k = i; k < n; k++)
                matrix[row * n + k] -= factor * matrix[i * n + k];
        }
    }
    return product;
}

#define TYPE_NAME f32
#define T float
#include "kernels/reference/det.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/det.inc"
#undef TYPE_NAME
#undef T

#define DET(type, type_dtype) \
    REFERENCE_KERNEL(det, type, type_dtype, .workspace_bytes = det_workspace, .tasks = det_tasks, .run = det_run_##type)
DET(f32, DTYPE_F32)
DET(f64, DTYPE_F64)
