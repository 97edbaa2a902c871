#include "kernels/softmax.h"

#include "kernels/x86/vector_math.h"

#include <math.h>

/* --- the axis is contiguous: lanes lie along it ---------------------------------------------------------------- */

/* The part of a vector that element i and on, of n, fill: 0 to LANES. */
static inline int64_t part_of(int64_t i, int64_t n)
{
    return n - i < LANES ? n > i ? n - i : 0 : LANES;
}

static float largest_of(const float *x, int64_t n)
{
    struct wide most = wide_set(-INFINITY);
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE)
        FOR_PARTS(k)
    most.part[k] = vf_larger(most.part[k], vf_load(x + i + k * LANES));
    if (i < n)
        FOR_PARTS(k)
        {
            int64_t count = part_of(i + k * LANES, n);
            vf next = vf_load_part(x + i + k * LANES, count);
            most.part[k] = vf_larger(most.part[k], vf_select(vm_first(count), next, vf_set(-INFINITY)));
        }
    return wide_largest(most);
}

/* The sum of e^(x - most); y: where the powers go, or NULL. */
static float powers_of(const float *x, float *y, int64_t n, float most)
{
    const vf shift = vf_set(most);
    struct wide sum = wide_set(0);
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE)
        FOR_PARTS(k)
        {
            vf power = vf_exp(vf_sub(vf_load(x + i + k * LANES), shift));
            sum.part[k] = vf_add(sum.part[k], power);
            if (y)
                vf_store(y + i + k * LANES, power);
        }
    if (i < n)
        FOR_PARTS(k)
        {
            int64_t count = part_of(i + k * LANES, n);
            vf power = vf_exp(vf_sub(vf_load_part(x + i + k * LANES, count), shift));
            sum.part[k] = vf_add(sum.part[k], vf_select(vm_first(count), power, vf_set(0)));
            if (y)
                vf_store_part(y + i + k * LANES, power, count);
        }
    return wide_sum(sum);
}

static void softmax_row(const float *x, float *y, int64_t n)
{
    float sum = powers_of(x, y, n, largest_of(x, n));
    vf factor = vf_set(1 / sum);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(y + i, vf_mul(vf_load(y + i), factor));
    if (i < n)
        vf_store_part(y + i, vf_mul(vf_load_part(y + i, n - i), factor), n - i);
}

static vf logarithm(vf x, vf most, vf log_sum)
{
    return vf_sub(vf_sub(x, most), log_sum);
}

static void log_softmax_row(const float *x, float *y, int64_t n)
{
    float most = largest_of(x, n);
    const vf shift = vf_set(most), log_sum = vf_log(vf_set(powers_of(x, NULL, n, most)));
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(y + i, logarithm(vf_load(x + i), shift, log_sum));
    if (i < n)
        vf_store_part(y + i, logarithm(vf_load_part(x + i, n - i), shift, log_sum), n - i);
}

/* --- it is not: each lane has a sum of its own ------------------------------------------------------------------ */

static void softmax_columns(const struct softmax_params *p, const float *x, float *y, int64_t columns)
{
    int64_t n = p->axis, step = p->inner;
    vf most = vf_load_part(x, columns), sum = vf_set(0);
    for (int64_t i = 1; i < n; i++)
        most = vf_larger(most, vf_load_part(x + i * step, columns));
    for (int64_t i = 0; i < n; i++) {
        vf power = vf_exp(vf_sub(vf_load_part(x + i * step, columns), most));
        sum = vf_add(sum, power);
        if (p->kind == SOFTMAX)
            vf_store_part(y + i * step, power, columns);
    }
    const vf factor = vf_div(vf_set(1), sum), log_sum = vf_log(sum);
    for (int64_t i = 0; i < n; i++) {
        vf result = p->kind == SOFTMAX ? vf_mul(vf_load_part(y + i * step, columns), factor)
                                       : logarithm(vf_load_part(x + i * step, columns), most, log_sum);
        vf_store_part(y + i * step, result, columns);
    }
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
            (p->kind == SOFTMAX ? softmax_row : log_softmax_row)(x + i * p->axis, y + i * p->axis, p->axis);
            continue;
        }
        int64_t column = i % across * WIDE, end = column + WIDE < p->inner ? column + WIDE : p->inner;
        int64_t offset = i / across * p->axis * p->inner;
        for (; column < end; column += LANES)
            softmax_columns(p, x + offset + column, y + offset + column, part_of(column, end));
    }
}

COLD bool softmax_supports(const void *params)
{
    const struct softmax_params *p = params;
    return p->dtype == DTYPE_F32 && p->kind != SOFTMAX_HARD && p->axis > 0;
}

const struct kernel SET_NAME(softmax_f32) = {
    .name = SET_TEXT(softmax_f32),
    .family = FAMILY_softmax,
    .requires = SET_REQUIRES,
    .supports = softmax_supports,
    .tasks = softmax_tasks,
    .run = softmax_run,
};
