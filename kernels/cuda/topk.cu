#include "kernels/topk.h"

#include "kernels/cuda/index.h"
#include "kernels/cuda/types.h"

#define THREADS 256
#define LONGEST 32768 /* elements of a line: beyond it a heap on the CPU takes less time than all pairs here */

struct topk_arguments {
    struct topk_params p;
    const void *x;
    void *values;
    int64_t *positions;
};

/* Whether x, at a, stands before y, at b: a strict total order. */
template <typename V> static __device__ __forceinline__ bool stands_before(bool largest, V x, int64_t a, V y, int64_t b)
{
    bool x_nan = x != x, y_nan = y != y;
    if (x_nan || y_nan)
        return x_nan && y_nan ? a < b : x_nan == largest;
    return x == y ? a < b : (x > y) == largest;
}

/* A thread has an element, and counts those that stand before it: so many is its place. A block has as many elements of
 * a line as it has threads. */
template <typename N> static __global__ void topk_by_rank(topk_arguments a)
{
    typedef typename N::T T;
    typedef typename N::V V;
    const struct topk_params &p = a.p;
    T *shared = shared_memory<T>();
    int64_t parts = divide_up(p.count, blockDim.x);
    for (int64_t block = blockIdx.x; block < p.outer * p.inner * parts; block += gridDim.x) {
        int64_t part, inner, line = split_index(block, parts, &part), outer = split_index(line, p.inner, &inner);
        const T *x = (const T *)a.x + outer * p.count * p.inner + inner;
        int64_t mine = part * blockDim.x + threadIdx.x, place = 0;
        T element = mine < p.count ? x[mine * p.inner] : (T)0;
        for (int64_t first = 0; first < p.count; first += blockDim.x) {
            __syncthreads();
            if (first + threadIdx.x < p.count)
                shared[threadIdx.x] = x[(first + threadIdx.x) * p.inner];
            __syncthreads();
            int n = (int)least(blockDim.x, p.count - first);
            for (int k = 0; k < n && mine < p.count; k++)
                place += stands_before<V>(p.largest, N::load(shared[k]), first + k, N::load(element), mine);
        }
        if (mine >= p.count || place >= p.k)
            continue;
        int64_t to = (outer * p.k + place) * p.inner + inner;
        if (a.values)
            ((T *)a.values)[to] = element;
        if (a.positions)
            a.positions[to] = mine;
    }
}

static void topk_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct topk_params *p = (const struct topk_params *)plan->params;
    topk_arguments a = {*p, call->inputs[0], call->outputs[0], (int64_t *)call->outputs[1]};
    unsigned threads = (unsigned)least(THREADS, divide_up(p->count, WARP) * WARP);
    (void)task;
    if (p->outer * p->inner * p->k == 0)
        return;
    int64_t blocks = p->outer * p->inner * divide_up(p->count, threads);
    with_numeric(p->dtype, [&](auto type) {
        typedef decltype(type) N;
        cuda_launch(call, topk_by_rank<N>, grid_for(blocks, 1), threads, threads * sizeof(typename N::T), a);
    });
}

static bool topk_supports(const void *params)
{
    const struct topk_params *p = (const struct topk_params *)params;
    return is_numeric(p->dtype) && p->count <= LONGEST;
}

extern "C" const struct kernel topk_cuda = {
    .name = "topk_cuda",
    .family = FAMILY_topk,
    .requires = DEVICE_CUDA,
    .supports = topk_supports,
    .run = topk_run,
};
