#include "kernels/softmax.h"

#include "kernels/reference/types.h"

#include <math.h>

static int softmax_tasks(const void *params)
{
    const struct softmax_params *p = params;
    return task_count(p->outer * p->inner, 1 + 4096 / p->axis);
}

#define TYPE_NAME f32
#define T float
#define EXP expf
#define LOG logf
#include "kernels/reference/softmax.inc"
#undef TYPE_NAME
#undef T
#undef EXP
#undef LOG
#define TYPE_NAME f64
#define T double
#define EXP exp
#define LOG log
#include "kernels/reference/softmax.inc"
#undef TYPE_NAME
#undef T
#undef EXP
#undef LOG

#define SOFTMAX_KERNEL(type, type_dtype) \
    REFERENCE_KERNEL(softmax, type, type_dtype, .tasks = softmax_tasks, .run = softmax_run_##type)
SOFTMAX_KERNEL(f32, DTYPE_F32)
SOFTMAX_KERNEL(f64, DTYPE_F64)
