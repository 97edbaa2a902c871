#include "kernels/reduce.h"

#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/types.h"

struct reduce_arguments {
    struct reduce_params p; /* axes joined; no epilogue */
    const void *x;
    teams team;
    struct cuda_epilogue epilogue;
};

/* What folds compute in: kernels/reference/reduce.c says why. */
template <typename T> struct accumulator {
    typedef
        typename std::conditional<std::is_floating_point<T>::value, double,
                                  typename std::conditional<std::is_signed<T>::value, int64_t, uint64_t>::type>::type
            type;
};

static __device__ __forceinline__ double plus(double a, double b)
{
    return a + b;
}
static __device__ __forceinline__ uint64_t plus(uint64_t a, uint64_t b)
{
    return a + b;
}
static __device__ __forceinline__ int64_t plus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static __device__ __forceinline__ double times(double a, double b)
{
    return a * b;
}
static __device__ __forceinline__ uint64_t times(uint64_t a, uint64_t b)
{
    return a * b;
}
static __device__ __forceinline__ int64_t times(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
static __device__ __forceinline__ double magnitude(double a)
{
    return fabs(a);
}
static __device__ __forceinline__ uint64_t magnitude(uint64_t a)
{
    return a;
}
static __device__ __forceinline__ int64_t magnitude(int64_t a)
{
    return a < 0 ? (int64_t)(0 - (uint64_t)a) : a;
}
/* From double. */
template <typename A> static __device__ __forceinline__ A rounded(double x);
template <> __device__ __forceinline__ double rounded<double>(double x)
{
    return x;
}
template <> __device__ __forceinline__ int64_t rounded<int64_t>(double x)
{
    return f64_to_i64(x);
}
template <> __device__ __forceinline__ uint64_t rounded<uint64_t>(double x)
{
    return f64_to_u64(x);
}

template <typename T>
static __device__ __forceinline__ typename accumulator<T>::type start_of(enum reduce_kind kind, bool is_bool)
{
    switch (kind) {
    case REDUCE_PROD:
        return 1;
    case REDUCE_MAX:
        return range_of<T>::least;
    case REDUCE_MIN:
        return is_bool ? 1 : range_of<T>::most;
    default:
        return 0;
    }
}

/* Two sums into one. */
template <typename A> static __device__ __forceinline__ A joined(enum reduce_kind kind, A s, A v)
{
    switch (kind) {
    case REDUCE_PROD:
        return times(s, v);
    case REDUCE_MAX:
        return v > s || v != v ? v : s;
    case REDUCE_MIN:
        return v < s || v != v ? v : s;
    default:
        return plus(s, v);
    }
}

/* What an element adds. */
template <typename A> static __device__ __forceinline__ A share_of(enum reduce_kind kind, A v, A shift)
{
    switch (kind) {
    case REDUCE_L1:
        return magnitude(v);
    case REDUCE_L2:
    case REDUCE_SUM_SQUARE:
        return times(v, v);
    case REDUCE_LOG_SUM_EXP: /* at most 1: of integers, those less than the largest add nothing */
        return rounded<A>(exp((double)v - (double)shift));
    default:
        return v;
    }
}

template <typename T>
static __device__ __forceinline__ typename accumulator<T>::type
fold_team(const reduce_arguments &a, enum reduce_kind kind, const T *x, bool mine, typename accumulator<T>::type shift)
{
    typedef typename accumulator<T>::type A;
    A sum = start_of<T>(kind, a.p.dtype == DTYPE_BOOL);
    int64_t count = mine ? elements(a.p.folded_rank, a.p.folded) : 0;
    for (int64_t i = team_rank(a.team); i < count; i += team_size(a.team)) {
        A v = (A)x[place_at(a.p.folded_rank, a.p.folded, a.p.folded_strides, i)];
        sum = joined(kind, sum, share_of(kind, v, shift));
    }
    return team_fold(a.team, sum, shared_memory<A>(), [=](A s, A v) { return joined(kind, s, v); });
}

template <typename T>
static __device__ __forceinline__ T finished(const reduce_arguments &a, typename accumulator<T>::type sum,
                                             typename accumulator<T>::type shift)
{
    typedef typename accumulator<T>::type A;
    int64_t count = elements(a.p.folded_rank, a.p.folded);
    switch (a.p.kind) {
    case REDUCE_MEAN:
        if (!std::is_floating_point<T>::value && count == 0)
            return 0;
        return (T)(sum / (A)count);
    case REDUCE_L2:
        return (T)rounded<A>(sqrt((double)sum));
    case REDUCE_LOG_SUM:
        return (T)rounded<A>(log((double)sum));
    case REDUCE_LOG_SUM_EXP:
        return (T)rounded<A>(log((double)sum) + (double)shift);
    default:
        return (T)sum;
    }
}

/* 64 registers a thread: what four blocks, of which sm_75 has no more, leave. */
template <typename T>
static __global__ void __launch_bounds__(TEAM_THREADS, 4) reduce_by_team(const __grid_constant__ reduce_arguments a)
{
    typedef typename accumulator<T>::type A;
    int64_t results = elements(a.p.kept_rank, a.p.kept);
    for (int64_t block = blockIdx.x; block * a.team.across < results; block += gridDim.x) {
        int64_t result = block * a.team.across + team_number(a.team);
        bool mine = result < results;
        const T *x = (const T *)a.x;
        if (mine && x) /* NULL: nothing to fold */
            x += place_at(a.p.kept_rank, a.p.kept, a.p.kept_strides, result);
        A shift = 0;
        if (a.p.kind == REDUCE_LOG_SUM_EXP) {
            shift = fold_team<T>(a, REDUCE_MAX, x, mine, 0);
            if (std::is_floating_point<T>::value && !(fabs((double)shift) < INFINITY))
                shift = 0; /* exp(inf - inf) would be a NaN */
        }
        A sum = fold_team<T>(a, a.p.kind, x, mine, shift);
        if (mine && team_rank(a.team) == 0)
            cuda_epilogue_store(a.epilogue, 0, 0, result, finished<T>(a, sum, shift));
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

template <typename F> static bool with_type(unsigned dtype, F use)
{
    switch (dtype) {
    case DTYPE_F32:
        return use(float()), true;
    case DTYPE_F64:
        return use(double()), true;
    default:
        return with_integer(dtype == DTYPE_BOOL ? (unsigned)DTYPE_U8 : dtype,
                            [&](auto type) { use(typename decltype(type)::T()); });
    }
}

static int64_t step_of(int rank, const int64_t *strides)
{
    return rank == 0 ? 0 : strides[rank - 1] < 0 ? -strides[rank - 1] : strides[rank - 1];
}

static void reduce_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct reduce_params *p = (const struct reduce_params *)plan->params;
    struct epilogue epilogue = reduce_epilogue(p);
    static const int64_t strides[] = {0, 0, 1};
    reduce_arguments a = {*p, call->inputs[0], {}, cuda_epilogue_make(&epilogue, plan, call, p->dtype, strides)};
    int64_t results = epilogue.dims[EPILOGUE_COLUMNS], *kept = a.p.kept_strides, *folded = a.p.folded_strides;
    (void)task;
    if (results == 0)
        return;
    a.p.epilogue = NULL;
    a.p.kept_rank = merge_axes(p->kept_rank, a.p.kept, 1, &kept);
    a.p.folded_rank = merge_axes(p->folded_rank, a.p.folded, 1, &folded);
    bool near =
        a.p.folded_rank == 0 || (a.p.kept_rank > 0 && step_of(a.p.kept_rank, kept) < step_of(a.p.folded_rank, folded));
    a.team = teams_for(results, elements(a.p.folded_rank, a.p.folded), near);
    with_type(p->dtype, [&](auto type) {
        cuda_launch(call, reduce_by_team<decltype(type)>, grid_for(results, a.team.across), TEAM_THREADS,
                    TEAM_THREADS * sizeof(uint64_t), a);
    });
    cuda_epilogue_finish(&epilogue, plan, call);
}

static bool reduce_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                        struct kernel_plan *plan)
{
    struct epilogue epilogue = reduce_epilogue((const struct reduce_params *)params);
    (void)facts, (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    cuda_epilogue_reserve(&epilogue, plan);
    return true;
}

static bool reduce_supports(const void *params)
{
    const struct reduce_params *p = (const struct reduce_params *)params;
    struct epilogue epilogue = reduce_epilogue(p);
    return !p->bytes && with_type(p->dtype, [](auto) {}) && cuda_epilogue_supports(&epilogue);
}

extern "C" const struct kernel reduce_cuda = {
    .name = "reduce_cuda",
    .family = FAMILY_reduce,
    .requires = DEVICE_CUDA,
    .supports = reduce_supports,
    .plan = reduce_plan,
    .run = reduce_run,
    .explain = cuda_program_explain,
};
