#include "kernels/cumulative.h"

#include "kernels/cuda/index.h"
#include "kernels/cuda/types.h"

#define THREADS 256
#define LONG_LINE 64 /* from here on a warp shares a line whose elements lie together */

struct cumulative_arguments {
    struct cumulative_params p;
    const void *x;
    void *y;
};

template <typename N>
static __device__ __forceinline__ typename N::V folded(bool product, typename N::V a, typename N::V b)
{
    typedef typename N::U U;
    return (typename N::V)(product ? (U)a * (U)b : (U)a + (U)b);
}

template <typename N> static __global__ void cumulative_by_thread(cumulative_arguments a)
{
    typedef typename N::T T;
    typedef typename N::V V;
    const struct cumulative_params &p = a.p;
    for (int64_t i = grid_thread(); i < p.outer * p.inner; i += grid_threads()) {
        int64_t inner, outer = split_index(i, p.inner, &inner), start = outer * p.count * p.inner + inner;
        V sum = (V)p.product;
        for (int64_t k = 0; k < p.count; k++) {
            int64_t at = start + (p.reverse ? p.count - 1 - k : k) * p.inner;
            V next = folded<N>(p.product, sum, N::load(((const T *)a.x)[at]));
            ((T *)a.y)[at] = N::store(p.exclusive ? sum : next);
            sum = next;
        }
    }
}

/* WARP elements at a time: each lane folds in what the lanes before it have, in a tree. */
template <typename N> static __global__ void cumulative_by_warp(cumulative_arguments a)
{
    typedef typename N::T T;
    typedef typename N::V V;
    const struct cumulative_params &p = a.p;
    int lane = (int)threadIdx.x % WARP;
    for (int64_t line = grid_thread() / WARP; line < p.outer; line += grid_threads() / WARP) {
        V before = (V)p.product;
        for (int64_t first = 0; first < p.count; first += WARP) {
            int64_t k = first + lane, at = line * p.count + (p.reverse ? p.count - 1 - k : k);
            V sum = k < p.count ? N::load(((const T *)a.x)[at]) : (V)p.product;
            for (int lanes = 1; lanes < WARP; lanes *= 2) {
                V theirs = __shfl_up_sync(ALL_LANES, sum, lanes);
                sum = lane >= lanes ? folded<N>(p.product, theirs, sum) : sum;
            }
            V theirs = __shfl_up_sync(ALL_LANES, sum, 1), all = __shfl_sync(ALL_LANES, sum, WARP - 1);
            V exclusive = lane > 0 ? folded<N>(p.product, before, theirs) : before;
            if (k < p.count)
                ((T *)a.y)[at] = N::store(p.exclusive ? exclusive : folded<N>(p.product, before, sum));
            before = folded<N>(p.product, before, all);
        }
    }
}

static void cumulative_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct cumulative_params *p = (const struct cumulative_params *)plan->params;
    cumulative_arguments a = {*p, call->inputs[0], call->outputs[0]};
    (void)task;
    if (p->outer * p->inner * p->count == 0)
        return;
    with_numeric(p->dtype, [&](auto type) {
        typedef decltype(type) N;
        if (p->inner == 1 && p->count >= LONG_LINE)
            cuda_launch(call, cumulative_by_warp<N>, grid_for(p->outer, THREADS / WARP), THREADS, 0, a);
        else
            cuda_launch(call, cumulative_by_thread<N>, grid_for(p->outer * p->inner, THREADS), THREADS, 0, a);
    });
}

static bool cumulative_supports(const void *params)
{
    return is_numeric(((const struct cumulative_params *)params)->dtype);
}

extern "C" const struct kernel cumulative_cuda = {
    .name = "cumulative_cuda",
    .family = FAMILY_cumulative,
    .requires = DEVICE_CUDA,
    .supports = cumulative_supports,
    .run = cumulative_run,
};
