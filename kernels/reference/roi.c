#include "kernels/roi.h"

#include "kernels/reference/types.h"
#include "kernels/walk.h"

#include <math.h>
#include <string.h>

/* Along one axis of a bin. Images are smaller; a region that wants more would keep one call busy for hours. */
#define MOST_SAMPLES 65536

/* Between two looks whether the run is to end. */
#define SAMPLES_A_LOOK 16384
#define BINS_A_LOOK 256

struct area {
    int64_t batch; /* -1: out of range */
    double begin[2], end[2];
};

/* x as a whole number within 0 and `most`; 0 for a NaN. */
static int64_t bounded(double x, int64_t most)
{
    return x > 0 ? x < (double)most ? (int64_t)x : most : 0;
}

static int roi_tasks(const void *params)
{
    const struct roi_params *p = params;
    return task_count(p->regions * p->channels, 1 + 4096 / (1 + p->pooled_height * p->pooled_width));
}

#define TYPE_NAME f32
#define T float
#include "kernels/reference/roi.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/roi.inc"
#undef TYPE_NAME
#undef T

#define ROI(type, type_dtype) REFERENCE_KERNEL(roi, type, type_dtype, .tasks = roi_tasks, .run = roi_run_##type)
ROI(f32, DTYPE_F32)
ROI(f64, DTYPE_F64)
