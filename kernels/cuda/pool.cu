#include "kernels/reference/pool_view.h"

#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/types.h"

#define THREADS 256

struct pool_arguments {
    struct pool_params p; /* no epilogue */
    const void *x;
    void *y;
    int64_t *indices;
    bool finish;        /* there is an epilogue */
    bool channels_last; /* neighbouring threads have neighbouring channels, else positions */
    struct cuda_epilogue epilogue;
};

/* An element of the output. */
struct pool_place {
    int64_t batch, channel, position, at[SPATIAL_AXES];
};

static __device__ __forceinline__ pool_place place_of_element(const pool_arguments &a, int64_t index)
{
    const int64_t *out = a.p.window.output;
    int64_t positions = out[0] * out[1] * out[2];
    pool_place place;
    if (a.channels_last) {
        int64_t rest = split_index(index, a.p.channels, &place.channel);
        place.batch = split_index(rest, positions, &place.position);
    } else {
        int64_t rest = split_index(index, positions, &place.position);
        place.batch = split_index(rest, a.p.channels, &place.channel);
    }
    int64_t line = split_index(place.position, out[2], &place.at[2]);
    place.at[0] = split_index(line, out[1], &place.at[1]);
    return place;
}

template <typename T>
static __device__ __forceinline__ T maximum(const pool_arguments &a, const struct view &view, const T *x,
                                            int64_t *index)
{
    T best = range_of<T>::least;
    for (int64_t i = view.first[0]; i < view.last[0]; i++)
        for (int64_t j = view.first[1]; j < view.last[1]; j++)
            for (int64_t k = view.first[2]; k < view.last[2]; k++) {
                int64_t tap[SPATIAL_AXES] = {i, j, k};
                T value = x[tap_offset(&view, tap, a.p.x.spatial)];
                if (value > best || (value != value && best == best)) {
                    best = value;
                    *index = tap_offset(&view, tap, a.p.index.spatial);
                }
            }
    return best;
}

template <typename T>
static __device__ __forceinline__ T mean_or_norm(const pool_arguments &a, const struct view &view, const T *x)
{
    double sum = 0;
    for (int64_t i = view.first[0]; i < view.last[0]; i++)
        for (int64_t j = view.first[1]; j < view.last[1]; j++)
            for (int64_t k = view.first[2]; k < view.last[2]; k++) {
                int64_t tap[SPATIAL_AXES] = {i, j, k};
                double value = (double)x[tap_offset(&view, tap, a.p.x.spatial)];
                sum += a.p.kind == POOL_AVERAGE ? value : pow(fabs(value), (double)a.p.power);
            }
    if (a.p.kind == POOL_LP)
        return (T)pow(sum, 1 / (double)a.p.power);
    return (T)(sum / (double)view.counted);
}

template <typename T, bool IS_MAX> static __global__ void pool_elements(const __grid_constant__ pool_arguments a)
{
    const int64_t *out = a.p.window.output;
    int64_t count = a.p.batch * a.p.channels * out[0] * out[1] * out[2];
    for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
        pool_place place = place_of_element(a, i);
        struct view view = view_at(&a.p, place.at[0], place.at[1], place.at[2]);
        const T *x = (const T *)a.x + place.batch * a.p.x.batch + place.channel * a.p.x.channel;
        int64_t where = 0;
        T value = IS_MAX ? maximum(a, view, x, &where) : mean_or_norm(a, view, x);
        if (a.finish) {
            cuda_epilogue_store(a.epilogue, place.batch, place.channel, place.position, value);
            continue;
        }
        int64_t to = place.batch * a.p.y.batch + place.channel * a.p.y.channel;
        for (int axis = 0; axis < SPATIAL_AXES; axis++)
            to += place.at[axis] * a.p.y.spatial[axis];
        ((T *)a.y)[to] = value;
        if (a.indices)
            a.indices[to] = place.batch * a.p.index.batch + place.channel * a.p.index.channel + where;
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

template <typename T, bool IS_MAX> static void enqueue(const struct kernel_call *call, const pool_arguments &a)
{
    const int64_t *out = a.p.window.output;
    int64_t count = a.p.batch * a.p.channels * out[0] * out[1] * out[2];
    if (count > 0)
        cuda_launch(call, pool_elements<T, IS_MAX>, grid_for(count, THREADS), THREADS, 0, a);
}

static void pool_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct pool_params *p = (const struct pool_params *)plan->params;
    struct epilogue epilogue = pool_epilogue(p);
    static const int64_t strides[EPILOGUE_AXES] = {0};
    pool_arguments a = {*p,
                        call->inputs[0],
                        call->outputs[0],
                        (int64_t *)call->outputs[1],
                        p->epilogue != NULL,
                        p->y.channel == 1 && p->channels > 1,
                        cuda_epilogue_make(&epilogue, plan, call, p->dtype, strides)};
    (void)task;
    if (!p->indices)
        a.indices = NULL;
    if (p->dtype == DTYPE_F32)
        p->kind == POOL_MAX ? enqueue<float, true>(call, a) : enqueue<float, false>(call, a);
    else if (p->dtype == DTYPE_F64)
        p->kind == POOL_MAX ? enqueue<double, true>(call, a) : enqueue<double, false>(call, a);
    else if (p->dtype == DTYPE_I8)
        enqueue<int8_t, true>(call, a);
    else
        enqueue<uint8_t, true>(call, a);
    cuda_epilogue_finish(&epilogue, plan, call);
}

static bool pool_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                      struct kernel_plan *plan)
{
    struct epilogue epilogue = pool_epilogue((const struct pool_params *)params);
    (void)facts, (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    cuda_epilogue_reserve(&epilogue, plan);
    return true;
}

static bool pool_supports(const void *params)
{
    const struct pool_params *p = (const struct pool_params *)params;
    struct epilogue epilogue = pool_epilogue(p);
    bool floating = p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64;
    bool bytes = p->dtype == DTYPE_I8 || p->dtype == DTYPE_U8;
    return (floating || (bytes && p->kind == POOL_MAX)) && cuda_epilogue_supports(&epilogue);
}

extern "C" const struct kernel pool_cuda = {
    .name = "pool_cuda",
    .family = FAMILY_pool,
    .requires = DEVICE_CUDA,
    .channels_last = true,
    .supports = pool_supports,
    .plan = pool_plan,
    .run = pool_run,
    .explain = cuda_program_explain,
};
