#include "kernels/copy.h"

static void remove_axis(struct copy_params *p, int axis)
{
    for (int i = axis; i + 1 < p->rank; i++) {
        p->dims[i] = p->dims[i + 1];
        p->input_strides[i] = p->input_strides[i + 1];
        p->output_strides[i] = p->output_strides[i + 1];
    }
    p->rank--;
}

void copy_merge_axes(struct copy_params *p)
{
    for (int axis = p->rank - 1; axis >= 0; axis--)
        if (p->dims[axis] == 1)
            remove_axis(p, axis);
    for (int axis = p->rank - 2; axis >= 0; axis--) {
        int64_t inner = p->dims[axis + 1];
        if (p->input_strides[axis] != p->input_strides[axis + 1] * inner ||
            p->output_strides[axis] != p->output_strides[axis + 1] * inner)
            continue;
        p->dims[axis + 1] *= p->dims[axis];
        remove_axis(p, axis);
    }
}

void copy_now(const struct copy_params *params, const void *from, void *to)
{
    static const struct kernel_facts facts = {.threads = 1}; /* with no CPU bits: the plain kernel, whose plan is too */
    struct fault fault = {0};
    struct kernel_call call = {.inputs = &from, .outputs = &to, .fault = &fault};
    struct kernel_plan plan;
    const struct kernel *kernel = kernel_select(FAMILY_copy, params, &facts);
    kernel_make_plan(kernel, params, &facts, NULL, &plan);
    kernel_run_alone(kernel, &plan, &call);
}
