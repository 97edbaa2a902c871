#include "kernels/normalize.h"

#include "kernels/reference/types.h"
#include "kernels/walk.h"

#include <math.h>

#define TILE 256 /* results handed to an epilogue at a time */

static size_t normalize_workspace(const void *params)
{
    struct epilogue epilogue = normalize_epilogue(params);
    return epilogue_workspace(&epilogue);
}

static int normalize_tasks(const void *params)
{
    const struct normalize_params *p = params;
    return task_count(elements(p->kept_rank, p->kept), 1 + 16384 / (1 + elements(p->folded_rank, p->folded)));
}

#define TYPE_NAME f32
#define T float
#include "kernels/reference/normalize.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/normalize.inc"
#undef TYPE_NAME
#undef T

#define NORMALIZE(type, type_dtype)                                                                                 \
    REFERENCE_KERNEL(normalize, type, type_dtype, .workspace_bytes = normalize_workspace, .tasks = normalize_tasks, \
                     .run = normalize_run_##type)
NORMALIZE(f32, DTYPE_F32)
NORMALIZE(f64, DTYPE_F64)
