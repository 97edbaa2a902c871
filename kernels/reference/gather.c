#include "kernels/gather.h"

#include <string.h>

/* A row whose elements share one index: one resolution, then a strided move. */
static void move_row(const struct gather_params *p, char *block, const char *data, int64_t n)
{
    int64_t to = p->block_strides[p->rank - 1], from = p->data_strides[p->rank - 1];
    size_t bytes = p->element_bytes;
    if (to == 1 && from == 1) {
        memcpy(block, data, (size_t)n * bytes);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(block + i * to * (int64_t)bytes, data + i * from * (int64_t)bytes, bytes);
}

/* A size known at compile time becomes a plain load and store. */
#define MOVE(bytes)                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                  \
        if (!gather_resolve(p, call, indices, at.index + i * index_step, &offset))     \
            return;                                                                    \
        memcpy(block + i * to * (bytes), data + (i * from + offset) * (bytes), bytes); \
    }

static void gather_row_by_element(const struct gather_params *p, const struct kernel_call *call, struct gather_row at)
{
    int last = p->rank - 1;
    int64_t n = p->dims[last], index_step = p->index_strides[last], offset;
    int64_t to = p->block_strides[last], from = p->data_strides[last];
    const void *indices = call->inputs[1];
    const char *data = (const char *)call->inputs[0] + at.data * p->element_bytes;
    char *block = (char *)call->outputs[0] + at.block * p->element_bytes;
    switch (p->element_bytes) {
    case 1:
        MOVE(1)
        break;
    case 2:
        MOVE(2)
        break;
    case 4:
        MOVE(4)
        break;
    case 8:
        MOVE(8)
        break;
    default:
        MOVE(16)
    }
}

static int gather_tasks(const void *params)
{
    const struct gather_params *p = params;
    return task_count(gather_rows(p), 1 + 16384 / (1 + p->dims[p->rank - 1]));
}

static void gather_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct gather_params *p = plan->params;
    int64_t first, last, offset;
    task_range(gather_rows(p), plan->tasks[0], task, &first, &last);
    for (int64_t row = first; row < last && !call->fault->set; row++) {
        struct gather_row at = gather_row_at(p, row);
        if (p->index_strides[p->rank - 1] != 0)
            gather_row_by_element(p, call, at);
        else if (gather_resolve(p, call, call->inputs[1], at.index, &offset))
            move_row(p, (char *)call->outputs[0] + at.block * p->element_bytes,
                     (const char *)call->inputs[0] + (at.data + offset) * p->element_bytes, p->dims[p->rank - 1]);
    }
}

const struct kernel gather_reference = {
    .name = "gather_reference",
    .family = FAMILY_gather,
    .tasks = gather_tasks,
    .run = gather_run,
};
