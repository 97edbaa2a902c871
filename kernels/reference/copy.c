#include "kernels/copy.h"

#include <string.h>

/* Moves one row of n elements. A size known at compile time becomes a plain load and store. */
#define MOVE(bytes)                 \
    for (int64_t i = 0; i < n; i++) \
    memcpy(to + i * to_step * (bytes), from + i * from_step * (bytes), bytes)

static void copy_row(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t n, unsigned bytes)
{
    if (to_step == 1 && from_step == 1) {
        memmove(to, from, (size_t)n * bytes);
        return;
    }
    switch (bytes) {
    case 1:
        MOVE(1);
        break;
    case 2:
        MOVE(2);
        break;
    case 4:
        MOVE(4);
        break;
    case 8:
        MOVE(8);
        break;
    default:
        MOVE(16);
    }
}

static int64_t outer_rows(const struct copy_params *p)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < p->rank; i++)
        rows *= p->dims[i];
    return rows;
}

/* A single row may be all there is, so tasks are runs of elements, not of rows. */
static int64_t row_length(const struct copy_params *p)
{
    return p->rank > 0 ? p->dims[p->rank - 1] : 1;
}

static int copy_tasks(const void *params)
{
    const struct copy_params *p = params;
    return task_count(outer_rows(p) * row_length(p), 32768);
}

static void copy_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct copy_params *p = plan->params;
    int last_axis = p->rank - 1;
    int64_t row = row_length(p), first, last;
    int64_t to_step = p->rank > 0 ? p->output_strides[last_axis] : 1;
    int64_t from_step = p->rank > 0 ? p->input_strides[last_axis] : 1;
    task_range(outer_rows(p) * row, plan->tasks[0], task, &first, &last);
    while (first < last) {
        int64_t column = first % row, rest = first / row;
        int64_t n = row - column < last - first ? row - column : last - first;
        int64_t from = p->input_offset + column * from_step, to = p->output_offset + column * to_step;
        for (int axis = last_axis - 1; axis >= 0; axis--) {
            int64_t index = rest % p->dims[axis];
            rest /= p->dims[axis];
            from += index * p->input_strides[axis];
            to += index * p->output_strides[axis];
        }
        copy_row((char *)call->outputs[0] + to * p->element_bytes, to_step,
                 (const char *)call->inputs[0] + from * p->element_bytes, from_step, n, p->element_bytes);
        first += n;
    }
}

const struct kernel copy_reference = {
    .name = "copy_reference",
    .family = FAMILY_copy,
    .tasks = copy_tasks,
    .run = copy_run,
};
