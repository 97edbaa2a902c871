#include "kernels/normalize.h"

#include "kernels/cuda/epilogue.h"

/* y without an epilogue lies as x does. */
struct normalize_arguments {
    struct normalize_params p; /* axes joined */
    const void *x, *scale, *bias;
    void *y, *means, *factors;
    bool finish; /* there is an epilogue */
    int64_t groups, each;
    teams team;
    struct cuda_epilogue epilogue;
};

static __device__ __forceinline__ double sum_of(double a, double b)
{
    return a + b;
}

template <typename T> static __global__ void normalize_by_team(const __grid_constant__ normalize_arguments a)
{
    const struct normalize_params &p = a.p;
    double *shared = shared_memory<double>();
    for (int64_t block = blockIdx.x; block * a.team.across < a.groups; block += gridDim.x) {
        int64_t group = block * a.team.across + team_number(a.team), count = group < a.groups ? a.each : 0;
        int64_t start = count ? place_at(p.kept_rank, p.kept, p.x.kept, group) : 0;
        const T *x = (const T *)a.x + start;
        double sum = 0, squares = 0, mean = 0;
        if (p.centred) {
            for (int64_t i = team_rank(a.team); i < count; i += team_size(a.team))
                sum += (double)x[place_at(p.folded_rank, p.folded, p.x.folded, i)];
            mean = team_fold(a.team, sum, shared, sum_of) / (double)a.each;
        }
        for (int64_t i = team_rank(a.team); i < count; i += team_size(a.team)) {
            double value = (double)x[place_at(p.folded_rank, p.folded, p.x.folded, i)] - mean;
            squares += value * value;
        }
        double factor = 1 / sqrt(team_fold(a.team, squares, shared, sum_of) / (double)a.each + p.epsilon);
        const T *scale =
            a.scale && count ? (const T *)a.scale + place_at(p.kept_rank, p.kept, p.scale.kept, group) : NULL;
        const T *bias = a.bias && count ? (const T *)a.bias + place_at(p.kept_rank, p.kept, p.bias.kept, group) : NULL;
        for (int64_t i = team_rank(a.team); i < count; i += team_size(a.team)) {
            int64_t at = place_at(p.folded_rank, p.folded, p.x.folded, i);
            double value = ((double)x[at] - mean) * factor;
            if (scale)
                value *= (double)scale[place_at(p.folded_rank, p.folded, p.scale.folded, i)];
            if (bias)
                value += (double)bias[place_at(p.folded_rank, p.folded, p.bias.folded, i)];
            if (a.finish)
                cuda_epilogue_store(a.epilogue, 0, group, i, (T)value);
            else
                ((T *)a.y)[start + at] = (T)value;
        }
        if (count && team_rank(a.team) == 0) {
            if (a.means)
                ((T *)a.means)[group] = (T)mean;
            if (a.factors)
                ((T *)a.factors)[group] = (T)factor;
        }
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

static void join_axes(struct normalize_params *p)
{
    int64_t *kept[] = {p->x.kept, p->scale.kept, p->bias.kept};
    int64_t *folded[] = {p->x.folded, p->scale.folded, p->bias.folded};
    p->kept_rank = merge_axes(p->kept_rank, p->kept, 3, kept);
    p->folded_rank = merge_axes(p->folded_rank, p->folded, 3, folded);
}

static void normalize_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct normalize_params *p = (const struct normalize_params *)plan->params;
    struct epilogue epilogue = normalize_epilogue(p);
    static const int64_t strides[EPILOGUE_AXES] = {0};
    normalize_arguments a = {*p,
                             call->inputs[0],
                             call->inputs[1],
                             call->inputs[2],
                             call->outputs[0],
                             call->outputs[1],
                             call->outputs[2],
                             p->epilogue != NULL,
                             epilogue.dims[EPILOGUE_ROWS],
                             epilogue.dims[EPILOGUE_COLUMNS],
                             {},
                             cuda_epilogue_make(&epilogue, plan, call, p->dtype, strides)};
    (void)task;
    if (a.groups == 0)
        return;
    join_axes(&a.p);
    bool near = a.p.kept_rank > 0 && a.p.x.kept[a.p.kept_rank - 1] < a.p.x.folded[a.p.folded_rank - 1];
    a.team = teams_for(a.groups, a.each, near);
    unsigned blocks = grid_for(a.groups, a.team.across);
    if (p->dtype == DTYPE_F32)
        cuda_launch(call, normalize_by_team<float>, blocks, TEAM_THREADS, TEAM_THREADS * sizeof(double), a);
    else
        cuda_launch(call, normalize_by_team<double>, blocks, TEAM_THREADS, TEAM_THREADS * sizeof(double), a);
    cuda_epilogue_finish(&epilogue, plan, call);
}

static bool normalize_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                           struct kernel_plan *plan)
{
    struct epilogue epilogue = normalize_epilogue((const struct normalize_params *)params);
    (void)facts, (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    cuda_epilogue_reserve(&epilogue, plan);
    return true;
}

static bool normalize_supports(const void *params)
{
    const struct normalize_params *p = (const struct normalize_params *)params;
    struct epilogue epilogue = normalize_epilogue(p);
    return (p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64) && cuda_epilogue_supports(&epilogue);
}

extern "C" const struct kernel normalize_cuda = {
    .name = "normalize_cuda",
    .family = FAMILY_normalize,
    .requires = DEVICE_CUDA,
    .supports = normalize_supports,
    .plan = normalize_plan,
    .run = normalize_run,
    .explain = cuda_program_explain,
};
