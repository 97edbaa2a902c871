#include "kernels/gather.h"

#include "kernels/cuda/gather.h"
#include "kernels/cuda/types.h"

#define THREADS 256

struct gather_arguments {
    struct gather_params p;
    const void *data, *indices;
    void *block;
    struct device_fault *fault;
    uint32_t step;
};

template <typename E> static __global__ void gather_elements(gather_arguments a)
{
    int64_t count = elements(a.p.rank, a.p.dims);
    for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
        struct gather_row at = gather_point(a.p, i);
        int64_t offset;
        if (gather_place(a.p, a.indices, at.index, a.fault, a.step, (uint64_t)i, &offset))
            ((E *)a.block)[at.block] = ((const E *)a.data)[at.data + offset];
    }
}

static bool is_multiple(const struct gather_params *p, unsigned of)
{
    int last = p->rank - 1;
    uint64_t all = (uint64_t)p->dims[last];
    for (int i = 0; i < last; i++)
        all |= (uint64_t)p->data_strides[i] | (uint64_t)p->block_strides[i];
    for (int i = 0; i < p->components; i++)
        all |= (uint64_t)p->axis_strides[i];
    return all * p->element_bytes % of == 0;
}

/* Rows under one index that lie together are moved by elements as large as they may be. */
static void widen(gather_arguments *a)
{
    struct gather_params *p = &a->p;
    int last = p->rank - 1;
    if (p->index_strides[last] != 0 || p->data_strides[last] != 1 || p->block_strides[last] != 1)
        return;
    for (unsigned wide = 16; wide > p->element_bytes; wide /= 2) {
        if (!is_multiple(p, wide) || (((uintptr_t)a->data | (uintptr_t)a->block) & (wide - 1)) != 0)
            continue;
        int64_t each = wide / p->element_bytes;
        p->dims[last] /= each;
        for (int i = 0; i < last; i++) {
            p->data_strides[i] /= each;
            p->block_strides[i] /= each;
        }
        for (int i = 0; i < p->components; i++)
            p->axis_strides[i] /= each;
        p->element_bytes = wide;
        return;
    }
}

static void gather_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct gather_params *p = (const struct gather_params *)plan->params;
    gather_arguments a = {*p, call->inputs[0], call->inputs[1], call->outputs[0], call->device_fault, call->step};
    (void)task;
    if (elements(p->rank, p->dims) == 0)
        return;
    widen(&a);
    with_bytes(a.p.element_bytes, [&](auto element) {
        cuda_launch(call, gather_elements<decltype(element)>, grid_for(elements(a.p.rank, a.p.dims), THREADS), THREADS,
                    0, a);
    });
}

extern "C" const struct kernel gather_cuda = {
    .name = "gather_cuda",
    .family = FAMILY_gather,
    .requires = DEVICE_CUDA,
    .run = gather_run,
    .explain = gather_explain,
};
