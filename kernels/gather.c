#include "kernels/gather.h"

static bool mergeable(const struct gather_params *p, int axis)
{
    int64_t inner = p->dims[axis + 1];
    return p->data_strides[axis] == p->data_strides[axis + 1] * inner &&
           p->index_strides[axis] == p->index_strides[axis + 1] * inner &&
           p->block_strides[axis] == p->block_strides[axis + 1] * inner;
}

static void remove_axis(struct gather_params *p, int axis)
{
    for (int i = axis; i + 1 < p->rank; i++) {
        p->dims[i] = p->dims[i + 1];
        p->data_strides[i] = p->data_strides[i + 1];
        p->index_strides[i] = p->index_strides[i + 1];
        p->block_strides[i] = p->block_strides[i + 1];
    }
    p->rank--;
}

void gather_merge_axes(struct gather_params *p)
{
    for (int axis = p->rank - 1; axis >= 0; axis--)
        if (p->dims[axis] == 1)
            remove_axis(p, axis);
    for (int axis = p->rank - 2; axis >= 0; axis--) {
        if (!mergeable(p, axis))
            continue;
        p->dims[axis + 1] *= p->dims[axis];
        remove_axis(p, axis);
    }
    if (p->rank == 0) {
        p->rank = 1;
        p->dims[0] = 1;
    }
}

int64_t gather_rows(const struct gather_params *p)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < p->rank; i++)
        rows *= p->dims[i];
    return rows;
}

struct gather_row gather_row_at(const struct gather_params *p, int64_t row)
{
    struct gather_row at = {0, 0, 0};
    for (int axis = p->rank - 2; axis >= 0; axis--) {
        int64_t i = row % p->dims[axis];
        row /= p->dims[axis];
        at.data += i * p->data_strides[axis];
        at.index += i * p->index_strides[axis];
        at.block += i * p->block_strides[axis];
    }
    return at;
}

bool gather_resolve(const struct gather_params *p, const struct kernel_call *call, const void *indices,
                    int64_t position, int64_t *offset)
{
    *offset = 0;
    for (int j = 0; j < p->components; j++) {
        int64_t index = p->index_dtype == DTYPE_I32 ? ((const int32_t *)indices)[position + j]
                                                    : ((const int64_t *)indices)[position + j];
        if (index < -p->axis_dims[j] || index >= p->axis_dims[j]) {
            kernel_fault(call, "index %lld is outside an axis of %lld", (long long)index, (long long)p->axis_dims[j]);
            return false;
        }
        *offset += (index < 0 ? index + p->axis_dims[j] : index) * p->axis_strides[j];
    }
    return true;
}
