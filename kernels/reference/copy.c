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

static int copy_tasks(const void *params)
{
    const struct copy_params *p = params;
    int64_t row = p->rank > 0 ? p->dims[p->rank - 1] : 1;
    return task_count(outer_rows(p), 1 + 32768 / (row > 0 ? row : 1));
}

static void copy_run(const void *params, const struct kernel_call *call, int task)
{
    const struct copy_params *p = params;
    int last_axis = p->rank - 1;
    int64_t row = p->rank > 0 ? p->dims[last_axis] : 1;
    int64_t to_step = p->rank > 0 ? p->output_strides[last_axis] : 1;
    int64_t from_step = p->rank > 0 ? p->input_strides[last_axis] : 1;
    int64_t first, last;
    task_range(outer_rows(p), copy_tasks(params), task, &first, &last);
    for (int64_t r = first; r < last; r++) {
        int64_t from = p->input_offset, to = p->output_offset, rest = r;
        for (int axis = last_axis - 1; axis >= 0; axis--) {
            int64_t index = rest % p->dims[axis];
            rest /= p->dims[axis];
            from += index * p->input_strides[axis];
            to += index * p->output_strides[axis];
        }
        copy_row((char *)call->outputs[0] + to * p->element_bytes, to_step,
                 (const char *)call->inputs[0] + from * p->element_bytes, from_step, row, p->element_bytes);
    }
}

const struct kernel copy_reference = {
    .name = "copy_reference",
    .family = FAMILY_copy,
    .isa = ISA_REFERENCE,
    .tasks = copy_tasks,
    .run = copy_run,
};
