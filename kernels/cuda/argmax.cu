#include "kernels/argmax.h"

#include "kernels/cuda/index.h"
#include "kernels/cuda/types.h"

struct argmax_arguments {
    struct argmax_params p;
    const void *x;
    int64_t *y;
    teams team;
};

/* An element, and where it is; below 0: none. */
template <typename T> struct placed {
    T value;
    int64_t at;
};

template <typename T>
static __device__ __forceinline__ bool is_better(const struct argmax_params &p, placed<T> a, placed<T> b)
{
    if (a.at < 0 || b.at < 0)
        return b.at < 0;
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan)
        return a_nan;
    if (a_nan || a.value == b.value)
        return p.last ? a.at > b.at : a.at < b.at;
    return p.minimum ? a.value < b.value : a.value > b.value;
}

template <typename T> static __global__ void argmax_by_team(argmax_arguments a)
{
    int64_t results = a.p.outer * a.p.inner;
    for (int64_t block = blockIdx.x; block * a.team.across < results; block += gridDim.x) {
        int64_t result = block * a.team.across + team_number(a.team), inner,
                outer = split_index(result, a.p.inner, &inner);
        const T *x = (const T *)a.x + outer * a.p.axis * a.p.inner + inner;
        placed<T> best = {T(), -1};
        for (int64_t i = team_rank(a.team); result < results && i < a.p.axis; i += team_size(a.team)) {
            placed<T> next = {x[i * a.p.inner], i};
            best = is_better(a.p, next, best) ? next : best;
        }
        best = team_fold(a.team, best, shared_memory<placed<T>>(),
                         [&](placed<T> b, placed<T> c) { return is_better(a.p, c, b) ? c : b; });
        if (result < results && team_rank(a.team) == 0)
            a.y[result] = best.at;
    }
}

static void argmax_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct argmax_params *p = (const struct argmax_params *)plan->params;
    int64_t results = p->outer * p->inner;
    argmax_arguments a = {*p, call->inputs[0], (int64_t *)call->outputs[0], teams_for(results, p->axis, p->inner > 1)};
    (void)task;
    if (results == 0)
        return;
    with_numeric(p->dtype, [&](auto type) {
        typedef typename decltype(type)::T T;
        cuda_launch(call, argmax_by_team<T>, grid_for(results, a.team.across), TEAM_THREADS,
                    TEAM_THREADS * sizeof(placed<T>), a);
    });
}

static bool argmax_supports(const void *params)
{
    unsigned dtype = ((const struct argmax_params *)params)->dtype;
    return is_numeric(dtype) && dtype != DTYPE_F16 && dtype != DTYPE_BF16;
}

extern "C" const struct kernel argmax_cuda = {
    .name = "argmax_cuda",
    .family = FAMILY_argmax,
    .requires = DEVICE_CUDA,
    .supports = argmax_supports,
    .run = argmax_run,
};
