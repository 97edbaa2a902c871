#include "kernels/softmax.h"

#include "kernels/x86/vector_math.h"

#include <math.h>

/* --- the axis is contiguous: lanes lie along it ---------------------------------------------------------------- */

static float largest_of(const float *x, int64_t n)
{
    struct wide most = wide_set(-INFINITY);
    vm nan = vm_first(0);
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE) {
        struct wide next = wide_load(x + i);
        for (int k = 0; k < WIDE_PARTS; k++)
            nan = vm_or(nan, vf_is_nan(next.part[k]));
        most = wide_max(next, most);
    }
    float best = vm_any(nan) ? NAN : wide_largest(most);
    for (; i < n; i++)
        best = WIDE_LARGER(x[i], best);
    return best;
}

/* y = e^(x - most), and their sum. */
static float powers_of(const float *x, float *y, int64_t n, float most)
{
    struct wide sum = wide_set(0);
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t count = n - i < LANES ? n - i : LANES;
        vf power = vf_exp(vf_sub(vf_load_part(x + i, count), vf_set(most)));
        vf *into = &sum.part[i % WIDE / LANES];
        *into = vf_add(*into, vf_select(vm_first(count), power, vf_set(0)));
        vf_store_part(y + i, power, count);
    }
    return wide_sum(sum);
}

static void softmax_row(const float *x, float *y, int64_t n)
{
    float sum = powers_of(x, y, n, largest_of(x, n));
    vf factor = vf_set(1 / sum);
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t count = n - i < LANES ? n - i : LANES;
        vf_store_part(y + i, vf_mul(vf_load_part(y + i, count), factor), count);
    }
}

/* --- it is not: each lane has a sum of its own ------------------------------------------------------------------ */

static void softmax_columns(const float *x, float *y, int64_t n, int64_t step, int64_t columns)
{
    vf most = vf_load_part(x, columns), sum = vf_set(0);
    for (int64_t i = 1; i < n; i++) {
        vf next = vf_load_part(x + i * step, columns);
        most = vf_select(vf_is_nan(most), most, vf_max(most, next));
    }
    for (int64_t i = 0; i < n; i++) {
        vf power = vf_exp(vf_sub(vf_load_part(x + i * step, columns), most));
        sum = vf_add(sum, power);
        vf_store_part(y + i * step, power, columns);
    }
    vf factor = vf_div(vf_set(1), sum);
    for (int64_t i = 0; i < n; i++)
        vf_store_part(y + i * step, vf_mul(vf_load_part(y + i * step, columns), factor), columns);
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

/* Rows, or vectors of columns; for a cut that does not depend on LANES. */
static int64_t item_count(const struct softmax_params *p)
{
    return p->inner == 1 ? p->outer : p->outer * ((p->inner + WIDE - 1) / WIDE);
}

static int softmax_tasks(const void *params)
{
    const struct softmax_params *p = params;
    return task_count(item_count(p), 1 + 8192 / (p->axis * (p->inner == 1 ? 1 : WIDE)));
}

static void softmax_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct softmax_params *p = plan->params;
    const float *x = call->inputs[0];
    float *y = call->outputs[0];
    int64_t first, last, across = (p->inner + WIDE - 1) / WIDE;
    task_range(item_count(p), plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (p->inner == 1) {
            softmax_row(x + i * p->axis, y + i * p->axis, p->axis);
            continue;
        }
        int64_t column = i % across * WIDE, end = column + WIDE < p->inner ? column + WIDE : p->inner;
        int64_t offset = i / across * p->axis * p->inner;
        for (; column < end; column += LANES)
            softmax_columns(x + offset + column, y + offset + column, p->axis, p->inner,
                            end - column < LANES ? end - column : LANES);
    }
}

static bool softmax_supports(const void *params)
{
    const struct softmax_params *p = params;
    return p->dtype == DTYPE_F32 && p->kind == SOFTMAX && p->axis > 0;
}

const struct kernel SET_NAME(softmax_f32) = {
    .name = SET_TEXT(softmax_f32),
    .family = FAMILY_softmax,
    .requires = SET_REQUIRES,
    .supports = softmax_supports,
    .tasks = softmax_tasks,
    .run = softmax_run,
};
