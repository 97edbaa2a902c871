#include "kernels/copy.h"

#include "kernels/cuda/index.h"
#include "kernels/cuda/types.h"

#define THREADS 256
#define TILE 32      /* elements along both sides of a tile that is turned */
#define TILE_LINES 8 /* of a tile, that a block moves at once */

struct copy_arguments {
    struct copy_params p;
    const void *from;
    void *to;
    int across; /* by tiles: the axis along which the input is contiguous; the last is that of the output */
};

template <typename E> static __global__ void copy_elements(copy_arguments a)
{
    const struct copy_params &p = a.p;
    int64_t count = elements(p.rank, p.dims);
    const E *from = (const E *)a.from + p.input_offset;
    E *to = (E *)a.to + p.output_offset;
    for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
        int64_t read = 0, written = 0, rest = i;
        for (int axis = p.rank - 1; axis >= 0; axis--) {
            int64_t along = rest;
            if (axis > 0)
                rest = split_index(rest, p.dims[axis], &along);
            read += along * p.input_strides[axis];
            written += along * p.output_strides[axis];
        }
        to[written] = from[read];
    }
}

/* A block turns tiles: reads along one axis, writes along another. Tiles are counted along the last axis innermost,
 * then along `across`, then along the others. */
template <typename E> static __global__ void copy_tiles(copy_arguments a)
{
    const struct copy_params &p = a.p;
    E *tile = shared_memory<E>();
    int last = p.rank - 1, lane = (int)threadIdx.x % TILE, line = (int)threadIdx.x / TILE;
    int64_t columns = divide_up(p.dims[last], TILE), rows = divide_up(p.dims[a.across], TILE), outer = 1;
    for (int axis = 0; axis < last; axis++)
        outer *= axis == a.across ? 1 : p.dims[axis];
    for (int64_t i = blockIdx.x; i < outer * rows * columns; i += gridDim.x) {
        int64_t column, row, rest = split_index(i, columns, &column), read = p.input_offset, written = p.output_offset;
        rest = split_index(rest, rows, &row);
        for (int axis = last - 1; axis >= 0; axis--) {
            if (axis == a.across)
                continue;
            int64_t along;
            rest = split_index(rest, p.dims[axis], &along);
            read += along * p.input_strides[axis];
            written += along * p.output_strides[axis];
        }
        row *= TILE;
        column *= TILE;
        __syncthreads();
        for (int k = line; k < TILE; k += TILE_LINES)
            if (row + lane < p.dims[a.across] && column + k < p.dims[last])
                tile[k * (TILE + 1) + lane] =
                    ((const E *)a.from)[read + row + lane + (column + k) * p.input_strides[last]];
        __syncthreads();
        for (int k = line; k < TILE; k += TILE_LINES)
            if (row + k < p.dims[a.across] && column + lane < p.dims[last])
                ((E *)a.to)[written + column + lane + (row + k) * p.output_strides[a.across]] =
                    tile[lane * (TILE + 1) + k];
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

/* Axes in the order in which the output is walked, and as few as can be. */
static void sort_axes(struct copy_params *p)
{
    for (int i = 1; i < p->rank; i++)
        for (int k = i; k > 0 && p->output_strides[k - 1] < p->output_strides[k]; k--) {
            int64_t *numbers[] = {p->dims, p->input_strides, p->output_strides};
            for (int64_t *n : numbers) {
                int64_t swapped = n[k];
                n[k] = n[k - 1];
                n[k - 1] = swapped;
            }
        }
    copy_merge_axes(p);
}

static bool is_multiple(const struct copy_params *p, unsigned bytes, unsigned of)
{
    int last = p->rank - 1;
    uint64_t all = (uint64_t)p->dims[last] | (uint64_t)p->input_offset | (uint64_t)p->output_offset;
    for (int i = 0; i < last; i++)
        all |= (uint64_t)p->input_strides[i] | (uint64_t)p->output_strides[i];
    return all * bytes % of == 0;
}

/* Rows that lie together are moved by elements as large as they may be. */
static void widen(copy_arguments *a)
{
    struct copy_params *p = &a->p;
    int last = p->rank - 1;
    if (p->rank == 0 || p->input_strides[last] != 1 || p->output_strides[last] != 1)
        return;
    for (unsigned wide = 16; wide > p->element_bytes; wide /= 2) {
        if (!is_multiple(p, p->element_bytes, wide) || (((uintptr_t)a->from | (uintptr_t)a->to) & (wide - 1)) != 0)
            continue;
        int64_t each = wide / p->element_bytes;
        p->dims[last] /= each;
        p->input_offset /= each;
        p->output_offset /= each;
        for (int i = 0; i < last; i++) {
            p->input_strides[i] /= each;
            p->output_strides[i] /= each;
        }
        p->element_bytes = wide;
        return;
    }
}

/* The axis along which tiles are read; -1: there is none. */
static int tiled_axis(const struct copy_params *p)
{
    int last = p->rank - 1;
    if (p->rank < 2 || p->output_strides[last] != 1 || p->dims[last] < TILE_LINES)
        return -1;
    for (int i = 0; i < last; i++)
        if (p->input_strides[i] == 1 && p->dims[i] >= TILE_LINES)
            return i;
    return -1;
}

static void copy_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct copy_params *p = (const struct copy_params *)plan->params;
    copy_arguments a = {*p, call->inputs[0], call->outputs[0], -1};
    (void)task;
    if (elements(p->rank, p->dims) == 0)
        return;
    sort_axes(&a.p);
    widen(&a);
    a.across = tiled_axis(&a.p);
    with_bytes(a.p.element_bytes, [&](auto element) {
        typedef decltype(element) E;
        if (a.across < 0)
            return cuda_launch(call, copy_elements<E>, grid_for(elements(a.p.rank, a.p.dims), THREADS), THREADS, 0, a);
        int64_t last = a.p.dims[a.p.rank - 1], across = a.p.dims[a.across];
        int64_t tiles = elements(a.p.rank, a.p.dims) / last / across * divide_up(last, TILE) * divide_up(across, TILE);
        cuda_launch(call, copy_tiles<E>, grid_for(tiles, 1), TILE * TILE_LINES, TILE * (TILE + 1) * sizeof(E), a);
    });
}

extern "C" const struct kernel copy_cuda = {
    .name = "copy_cuda",
    .family = FAMILY_copy,
    .requires = DEVICE_CUDA,
    .run = copy_run,
};
