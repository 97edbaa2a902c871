#include "kernels/pool.h"

#include "kernels/reference/pool_view.h"
#include "kernels/reference/types.h"
#include "kernels/walk.h"

#include <math.h>

#define TILE 256 /* results handed to an epilogue at a time */

/* One line of the output along its last axis: offsets of its start in y, of its channel in x and in the indices. */
struct line {
    int64_t plane, line, x, y, index;
};

static int64_t line_count(const struct pool_params *p)
{
    return p->batch * p->channels * p->window.output[0] * p->window.output[1];
}

static struct line line_at(const struct pool_params *p, int64_t index)
{
    int64_t line = index % p->window.output[1], plane = index / p->window.output[1] % p->window.output[0];
    int64_t image = index / p->window.output[1] / p->window.output[0];
    int64_t channel = image % p->channels, batch = image / p->channels;
    return (struct line){
        .plane = plane,
        .line = line,
        .x = batch * p->x.batch + channel * p->x.channel,
        .y = batch * p->y.batch + channel * p->y.channel + plane * p->y.spatial[0] + line * p->y.spatial[1],
        .index = batch * p->index.batch + channel * p->index.channel,
    };
}

static size_t pool_workspace(const void *params)
{
    struct epilogue epilogue = pool_epilogue(params);
    return epilogue_workspace(&epilogue);
}

static int pool_tasks(const void *params)
{
    const struct pool_params *p = params;
    const struct window *w = &p->window;
    return task_count(line_count(p), 1 + 16384 / (1 + w->output[2] * w->kernel[1] * w->kernel[2]));
}

#define IS_NAN(x) false
#define TYPE_NAME i8
#define T int8_t
#define LOWEST INT8_MIN
#include "kernels/reference/pool.inc"
#undef TYPE_NAME
#undef T
#undef LOWEST
#define TYPE_NAME u8
#define T uint8_t
#define LOWEST 0
#include "kernels/reference/pool.inc"
#undef TYPE_NAME
#undef T
#undef LOWEST
#undef IS_NAN
#define IS_NAN(x) isnan(x)
#define POOL_FLOATING
#define TYPE_NAME f32
#define T float
#define LOWEST (-INFINITY)
#include "kernels/reference/pool.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/pool.inc"
#undef TYPE_NAME
#undef T
#undef LOWEST

#define POOL(type, type_dtype, floating)                                        \
    static bool pool_supports_##type(const void *params)                        \
    {                                                                           \
        const struct pool_params *p = params;                                   \
        return p->dtype == (type_dtype) && ((floating) || p->kind == POOL_MAX); \
    }                                                                           \
    const struct kernel pool_##type##_reference = {                             \
        .name = "pool_" #type "_reference",                                     \
        .family = FAMILY_pool,                                                  \
        .supports = pool_supports_##type,                                       \
        .workspace_bytes = pool_workspace,                                      \
        .tasks = pool_tasks,                                                    \
        .run = pool_run_##type,                                                 \
    };
POOL(f32, DTYPE_F32, true)
POOL(f64, DTYPE_F64, true)
POOL(i8, DTYPE_I8, false)
POOL(u8, DTYPE_U8, false)
