#include "kernels/deform.h"

#include "kernels/reference/types.h"
#include "kernels/walk.h"

#include <math.h>

static int deform_tasks(const void *params)
{
    const struct deform_params *p = params;
    return task_count(p->batch * p->channels, 1);
}

#define TYPE_NAME f32
#define T float
#include "kernels/reference/deform.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/deform.inc"
#undef TYPE_NAME
#undef T

#define DEFORM(type, type_dtype) \
    REFERENCE_KERNEL(deform, type, type_dtype, .tasks = deform_tasks, .run = deform_run_##type)
DEFORM(f32, DTYPE_F32)
DEFORM(f64, DTYPE_F64)
