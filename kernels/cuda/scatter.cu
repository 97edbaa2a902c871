#include "kernels/scatter.h"

#include "kernels/cuda/gather.h"
#include "kernels/cuda/types.h"

#define THREADS 256

struct scatter_arguments {
    struct scatter_params p;
    const void *indices, *updates;
    void *y;
    struct device_fault *fault;
    uint32_t step;
};

/* --- elements replaced: of the updates of a place the last one holds --------------------------------------------- */

struct set_arguments {
    scatter_arguments s;
    unsigned long long *winners; /* of each place: the number of its last update, from 1; 0: none */
};

static __global__ void scatter_mark(set_arguments a)
{
    const struct gather_params &at = a.s.p.at;
    int64_t count = elements(at.rank, at.dims), offset;
    for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
        struct gather_row point = gather_point(at, i);
        if (gather_place(at, a.s.indices, point.index, a.s.fault, a.s.step, (uint64_t)i, &offset))
            atomicMax(&a.winners[point.data + offset], (unsigned long long)i + 1);
    }
}

template <typename E> static __global__ void scatter_set(set_arguments a)
{
    const struct gather_params &at = a.s.p.at;
    int64_t count = elements(at.rank, at.dims), offset;
    for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
        struct gather_row point = gather_point(at, i);
        if (gather_place(at, a.s.indices, point.index, a.s.fault, a.s.step, (uint64_t)i, &offset) &&
            a.winners[point.data + offset] == (unsigned long long)i + 1)
            ((E *)a.s.y)[point.data + offset] = ((const E *)a.s.updates)[point.block];
    }
}

/* --- reductions: a place is one thread's, which takes its updates in order --------------------------------------- */

/* Axes of the updates: their strides in the data, the indices and the updates, and in the order of updates. */
struct scatter_axes {
    int rank;
    int64_t dims[MAX_RANK], data[MAX_RANK], index[MAX_RANK], block[MAX_RANK], order[MAX_RANK];
};

struct reduce_arguments {
    scatter_arguments s;
    struct scatter_axes apart;    /* places at different indices of these are different whatever the indices say */
    struct scatter_axes in_order; /* all others */
};

struct scatter_place {
    int64_t data, index, block, order;
};

static __device__ __forceinline__ void move_place(const struct scatter_axes &axes, int64_t index, scatter_place *place)
{
    for (int axis = axes.rank - 1; axis >= 0; axis--) {
        int64_t along = index;
        if (axis > 0)
            index = split_index(index, axes.dims[axis], &along);
        place->data += along * axes.data[axis];
        place->index += along * axes.index[axis];
        place->block += along * axes.block[axis];
        place->order += along * axes.order[axis];
    }
}

template <typename N>
static __device__ __forceinline__ typename N::V reduced(uint8_t reduction, typename N::V old, typename N::V update)
{
    typedef typename N::U U;
    switch (reduction) {
    case SCATTER_ADD:
        return (typename N::V)((U)old + (U)update);
    case SCATTER_MUL:
        return (typename N::V)((U)old * (U)update);
    case SCATTER_MIN: /* a NaN stays or wins */
        return update < old || update != update ? update : old;
    default:
        return update > old || update != update ? update : old;
    }
}

template <typename N> static __global__ void scatter_reduce(reduce_arguments a)
{
    typedef typename N::T T;
    int64_t apart = elements(a.apart.rank, a.apart.dims), updates = elements(a.in_order.rank, a.in_order.dims), offset;
    for (int64_t i = grid_thread(); i < apart; i += grid_threads()) {
        scatter_place start = {0, 0, 0, 0};
        move_place(a.apart, i, &start);
        for (int64_t k = 0; k < updates; k++) {
            scatter_place place = start;
            move_place(a.in_order, k, &place);
            if (!gather_place(a.s.p.at, a.s.indices, place.index, a.s.fault, a.s.step, (uint64_t)place.order, &offset))
                break;
            T *to = (T *)a.s.y + place.data + offset;
            *to = N::store(reduced<N>(a.s.p.reduction, N::load(*to), N::load(((const T *)a.s.updates)[place.block])));
        }
    }
}

/* --- the kernels ------------------------------------------------------------------------------------------------- */

static void check(const struct kernel_call *call, cudaError_t error, const char *name)
{
    if (error != cudaSuccess)
        kernel_fault(call, "%s: %s", name, cudaGetErrorString(error));
}

static scatter_arguments begin(const struct scatter_params *p, const struct kernel_call *call)
{
    size_t bytes = (size_t)p->data_elements * p->at.element_bytes;
    if (call->outputs[0] != call->inputs[0] && bytes > 0)
        check(call,
              cudaMemcpyAsync(call->outputs[0], call->inputs[0], bytes, cudaMemcpyDeviceToDevice,
                              (cudaStream_t)call->stream),
              "cudaMemcpyAsync");
    return {*p, call->inputs[1], call->inputs[2], call->outputs[0], call->device_fault, call->step};
}

static void set_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct scatter_params *p = (const struct scatter_params *)plan->params;
    int64_t count = elements(p->at.rank, p->at.dims);
    set_arguments a = {begin(p, call), (unsigned long long *)call->workspace};
    (void)task;
    if (count == 0)
        return;
    if (p->data_elements > 0)
        check(call,
              cudaMemsetAsync(a.winners, 0, (size_t)p->data_elements * sizeof *a.winners, (cudaStream_t)call->stream),
              "cudaMemsetAsync");
    cuda_launch(call, scatter_mark, grid_for(count, THREADS), THREADS, 0, a);
    with_bytes(p->at.element_bytes, [&](auto element) {
        cuda_launch(call, scatter_set<decltype(element)>, grid_for(count, THREADS), THREADS, 0, a);
    });
}

static void add_axis(struct scatter_axes *to, const struct gather_params *at, int axis)
{
    int i = to->rank++;
    to->dims[i] = at->dims[axis];
    to->data[i] = at->data_strides[axis];
    to->index[i] = at->index_strides[axis];
    to->block[i] = at->block_strides[axis];
    to->order[i] = elements(at->rank - axis - 1, at->dims + axis + 1);
}

/* Whether a place tells the indices along all axes that step in the data, and those that the index tensor names, as
 * digits of a number: each step is at least as far as all smaller ones together go. */
static bool places_are_digits(const struct gather_params *at)
{
    int64_t dims[2 * MAX_RANK], steps[2 * MAX_RANK], reach = 1;
    int count = 0;
    for (int i = 0; i < at->rank; i++)
        if (at->data_strides[i] != 0) {
            dims[count] = at->dims[i];
            steps[count++] = at->data_strides[i];
        }
    for (int i = 0; i < at->components; i++) {
        dims[count] = at->axis_dims[i];
        steps[count++] = at->axis_strides[i];
    }
    for (int left = count; left > 0; left--) {
        int nearest = 0;
        for (int i = 1; i < left; i++)
            nearest = steps[i] < steps[nearest] ? i : nearest;
        if (steps[nearest] < reach)
            return false;
        reach += steps[nearest] * (dims[nearest] - 1);
        steps[nearest] = steps[left - 1];
        dims[nearest] = dims[left - 1];
    }
    return true;
}

static void reduce_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct scatter_params *p = (const struct scatter_params *)plan->params;
    bool digits = places_are_digits(&p->at);
    reduce_arguments a = {begin(p, call), {}, {}};
    (void)task;
    if (elements(p->at.rank, p->at.dims) == 0)
        return;
    for (int i = 0; i < p->at.rank; i++)
        add_axis(digits && p->at.data_strides[i] != 0 ? &a.apart : &a.in_order, &p->at, i);
    int64_t threads = elements(a.apart.rank, a.apart.dims);
    with_numeric(p->dtype, [&](auto type) {
        cuda_launch(call, scatter_reduce<decltype(type)>, grid_for(threads, THREADS), THREADS, 0, a);
    });
}

static bool set_supports(const void *params)
{
    return ((const struct scatter_params *)params)->reduction == SCATTER_SET;
}

static size_t set_workspace(const void *params)
{
    return (size_t)((const struct scatter_params *)params)->data_elements * sizeof(unsigned long long);
}

static bool reduce_supports(const void *params)
{
    return !set_supports(params) && is_numeric(((const struct scatter_params *)params)->dtype);
}

extern "C" const struct kernel scatter_set_cuda = {
    .name = "scatter_set_cuda",
    .family = FAMILY_scatter,
    .requires = DEVICE_CUDA,
    .supports = set_supports,
    .workspace_bytes = set_workspace,
    .run = set_run,
    .explain = gather_explain,
};

extern "C" const struct kernel scatter_reduce_cuda = {
    .name = "scatter_reduce_cuda",
    .family = FAMILY_scatter,
    .requires = DEVICE_CUDA,
    .supports = reduce_supports,
    .run = reduce_run,
    .explain = gather_explain,
};
