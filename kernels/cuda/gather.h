/* Addresses that an index tensor names, for gather and scatter. */
#ifndef INFER_KERNELS_CUDA_GATHER_H
#define INFER_KERNELS_CUDA_GATHER_H

#include "kernels/gather.h"

#include "kernels/cuda/index.h"

/* Where element `index` of the iteration space, counted in C order, lies in each tensor. */
static __device__ __forceinline__ struct gather_row gather_point(const struct gather_params &p, int64_t index)
{
    struct gather_row at = {0, 0, 0};
    for (int axis = p.rank - 1; axis >= 0; axis--) {
        int64_t along = index;
        if (axis > 0)
            index = split_index(index, p.dims[axis], &along);
        at.data += along * p.data_strides[axis];
        at.index += along * p.index_strides[axis];
        at.block += along * p.block_strides[axis];
    }
    return at;
}

/* gather_resolve on the device. The fault that is told has the least key. */
static __device__ __forceinline__ bool gather_place(const struct gather_params &p, const void *indices,
                                                    int64_t position, struct device_fault *fault, uint32_t step,
                                                    uint64_t key, int64_t *offset)
{
    *offset = 0;
    for (int j = 0; j < p.components; j++) {
        int64_t index = p.index_dtype == DTYPE_I32 ? ((const int32_t *)indices)[position + j]
                                                   : ((const int64_t *)indices)[position + j];
        if (index < -p.axis_dims[j] || index >= p.axis_dims[j]) {
            note_fault(fault, step, key, index, p.axis_dims[j], 0);
            return false;
        }
        *offset += (index < 0 ? index + p.axis_dims[j] : index) * p.axis_strides[j];
    }
    return true;
}

static inline void gather_explain(const struct kernel_plan *plan, const struct device_fault *record,
                                  struct fault *fault)
{
    struct kernel_call call = {};
    (void)plan;
    call.fault = fault;
    kernel_fault(&call, "index %lld is outside an axis of %lld", (long long)record->details[0],
                 (long long)record->details[1]);
}

#endif
