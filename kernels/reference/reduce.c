#include "kernels/reduce.h"

#include "kernels/convert.h"
#include "kernels/reference/types.h"
#include "kernels/walk.h"

#include <math.h>

#define TILE 128

/* Which loop is the inner one: over neighbouring outputs, or over what is folded into one output. */
static bool folds_across(const struct reduce_params *p)
{
    if (p->folded_rank == 0)
        return true;
    return p->kept_rank > 0 && p->kept_strides[p->kept_rank - 1] < p->folded_strides[p->folded_rank - 1];
}

static size_t reduce_workspace(const void *params)
{
    struct epilogue epilogue = reduce_epilogue(params);
    return epilogue_workspace(&epilogue);
}

static int reduce_tasks(const void *params)
{
    const struct reduce_params *p = params;
    return task_count(elements(p->kept_rank, p->kept), 1 + 32768 / (1 + elements(p->folded_rank, p->folded)));
}

/* Floating types are summed in double: the result is the rounded sum for any length that occurs. */
#define TYPE_NAME floats
#define T double
#define NARROWER(X) X(DTYPE_F32, float)
#define PLUS(a, b) ((a) + (b))
#define TIMES(a, b) ((a) * (b))
#define MAGNITUDE(a) fabs(a)
#define MEAN(sum, count) ((sum) / (double)(count))
#define ROUNDED(a) (a)
#define IS_NAN(a) isnan(a)
#define IS_FINITE(a) isfinite(a)
#define LARGEST(bits) INFINITY
#define SMALLEST(bits) (-INFINITY)
#include "kernels/reference/reduce.inc"
#undef TYPE_NAME
#undef T
#undef NARROWER
#undef PLUS
#undef TIMES
#undef MAGNITUDE
#undef MEAN
#undef ROUNDED
#undef IS_NAN
#undef IS_FINITE
#undef LARGEST
#undef SMALLEST

/* Integers wrap: the unsigned operation has the bits of the signed one. The mean of nothing is 0. */
#define IS_NAN(a) false
#define IS_FINITE(a) true
#define MEAN(sum, count) ((count) ? (sum) / (T)(count) : 0)
#define TYPE_NAME integers
#define T int64_t
#define NARROWER(X) X(DTYPE_I8, int8_t) X(DTYPE_I16, int16_t) X(DTYPE_I32, int32_t)
#define PLUS(a, b) ((int64_t)((uint64_t)(a) + (uint64_t)(b)))
#define TIMES(a, b) ((int64_t)((uint64_t)(a) * (uint64_t)(b)))
#define MAGNITUDE(a) ((a) < 0 ? (int64_t)(0 - (uint64_t)(a)) : (a))
#define ROUNDED(a) f64_to_i64(a)
#define LARGEST(bits) (INT64_MAX >> (64 - (bits)))
#define SMALLEST(bits) (-LARGEST(bits) - 1)
#include "kernels/reference/reduce.inc"
#undef TYPE_NAME
#undef T
#undef NARROWER
#undef PLUS
#undef TIMES
#undef MAGNITUDE
#undef ROUNDED
#undef LARGEST
#undef SMALLEST
#define TYPE_NAME naturals
#define T uint64_t
#define NARROWER(X) X(DTYPE_BOOL, uint8_t) X(DTYPE_U8, uint8_t) X(DTYPE_U16, uint16_t) X(DTYPE_U32, uint32_t)
#define PLUS(a, b) ((a) + (b))
#define TIMES(a, b) ((a) * (b))
#define MAGNITUDE(a) (a)
#define ROUNDED(a) f64_to_u64(a)
#define LARGEST(bits) (UINT64_MAX >> (64 - (bits)))
#define SMALLEST(bits) 0
#include "kernels/reference/reduce.inc"

static void reduce_run_bytes(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct reduce_params *p = plan->params;
    const struct epilogue epilogue = reduce_epilogue(p);
    const int64_t count = elements(p->folded_rank, p->folded);
    int64_t first, last;
    task_range(elements(p->kept_rank, p->kept), plan->tasks[0], task, &first, &last);
    for (; first < last; first++) {
        const uint8_t *x = (const uint8_t *)call->inputs[0] + offset_at(p->kept_rank, p->kept, p->kept_strides, first);
        int32_t sum = 0;
        for (int64_t i = 0; i < count; i++) {
            const uint8_t byte = x[offset_at(p->folded_rank, p->folded, p->folded_strides, i)];
            sum += p->bytes == DTYPE_I8 ? (int8_t)byte : byte;
        }
        const float mean = (float)sum / (float)count;
        const struct epilogue_tile tile = {.results = &mean, .rows = 1, .column = first, .columns = 1};
        if (p->epilogue)
            epilogue_run(&epilogue, call, &tile, call->workspace);
        else
            ((float *)call->outputs[0])[first] = mean;
    }
}

static bool reduce_supports(const void *params)
{
    const struct reduce_params *p = params;
    return p->bytes || p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64 || p->dtype == DTYPE_BOOL ||
           (dtype_is_integer(p->dtype) && dtype_bits(p->dtype) >= 8);
}

static void reduce_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct reduce_params *p = plan->params;
    if (p->bytes)
        reduce_run_bytes(plan, call, task);
    else if (dtype_is_float(p->dtype))
        reduce_run_floats(plan, call, task);
    else if (dtype_is_signed_integer(p->dtype))
        reduce_run_integers(plan, call, task);
    else
        reduce_run_naturals(plan, call, task);
}

const struct kernel reduce_reference = {
    .name = "reduce_reference",
    .family = FAMILY_reduce,
    .supports = reduce_supports,
    .workspace_bytes = reduce_workspace,
    .tasks = reduce_tasks,
    .run = reduce_run,
};
