#include "kernels/recurrent.h"

#include "kernels/reference/types.h"

#include <math.h>
#include <string.h>

static int recurrent_tasks(const void *params)
{
    const struct recurrent_params *p = params;
    return task_count(p->directions * p->batch, 1);
}

#define TYPE_NAME f32
#define T float
#define M(function) function##f
#include "kernels/reference/recurrent.inc"
#undef TYPE_NAME
#undef T
#undef M
#define TYPE_NAME f64
#define T double
#define M(function) function
#include "kernels/reference/recurrent.inc"
#undef TYPE_NAME
#undef T
#undef M

#define RECURRENT(type, type_dtype)                                                              \
    REFERENCE_KERNEL(recurrent, type, type_dtype, .workspace_bytes = recurrent_workspace_##type, \
                     .tasks = recurrent_tasks, .run = recurrent_run_##type)
RECURRENT(f32, DTYPE_F32)
RECURRENT(f64, DTYPE_F64)
