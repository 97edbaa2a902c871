#include "kernels/pointwise.h"

#include "kernels/reference/interpreter.h"
#include "kernels/walk.h"

#define LONGEST_ROW 256 /* 24 registers of 8 bytes are 48 KB at worst, 2 to 8 KB in practice */

static int pointwise_tasks(const void *params)
{
    const struct pointwise_params *p = params;
    for (int i = p->input_count; i < pointwise_operand_count(p); i++)
        if (dtype_bits((enum dtype)p->operands[i].dtype) < 8)
            return 1; /* two tasks must not write one byte */
    return task_count(elements(p->rank, p->dims), 16384);
}

/* Where each operand's element of an index, counted in C order, lies. */
static void find_offsets(const struct pointwise_params *p, int64_t index, int64_t *offsets)
{
    for (int i = 0; i < pointwise_operand_count(p); i++)
        offsets[i] = 0;
    for (int axis = p->rank - 1; axis >= 0; axis--) {
        int64_t along = index % p->dims[axis];
        index /= p->dims[axis];
        for (int i = 0; i < pointwise_operand_count(p); i++)
            offsets[i] += along * p->operands[i].strides[axis];
    }
}

static void pointwise_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct pointwise_params *p = plan->params;
    int64_t first, last, row = p->dims[p->rank - 1], offsets[POINTWISE_MAX_OPERANDS], steps[POINTWISE_MAX_OPERANDS];
    for (int i = 0; i < pointwise_operand_count(p); i++)
        steps[i] = p->operands[i].strides[p->rank - 1];
    task_range(elements(p->rank, p->dims), plan->tasks[0], task, &first, &last);
    while (first < last && !call->fault->set) {
        int64_t n = least(row - first % row, least(last - first, LONGEST_ROW));
        find_offsets(p, first, offsets);
        interpreter_run(p, call, offsets, steps, (int)n, interpreter_instruct);
        first += n;
    }
}

static size_t pointwise_workspace(const void *params)
{
    const struct pointwise_params *p = params;
    return interpreter_bytes(p, least(LONGEST_ROW, p->dims[p->rank - 1]));
}

static bool pointwise_supports(const void *params)
{
    return interpreter_supports(params);
}

const struct kernel pointwise_reference = {
    .name = "pointwise_reference",
    .family = FAMILY_pointwise,
    .supports = pointwise_supports,
    .workspace_bytes = pointwise_workspace,
    .tasks = pointwise_tasks,
    .run = pointwise_run,
};
