#include "kernels/resample.h"

#include "kernels/cuda/index.h"

#define THREADS 256

struct resample_arguments {
    struct resample_params p;
    const void *x, *weights;
    const int32_t *places;
    void *y;
};

template <typename T> static __global__ void resample_elements(resample_arguments a)
{
    const struct resample_params &p = a.p;
    int64_t count = p.outer * p.output * p.inner;
    for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
        int64_t inner, position, outer = split_index(split_index(i, p.inner, &inner), p.output, &position);
        const T *x = (const T *)a.x + outer * p.input * p.inner + inner,
                *weights = (const T *)a.weights + position * p.taps;
        const int32_t *places = a.places + position * p.taps;
        T sum = 0;
        for (int64_t tap = 0; tap < p.taps; tap++)
            sum += weights[tap] * x[places[tap] * p.inner];
        ((T *)a.y)[i] = sum;
    }
}

static void resample_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct resample_params *p = (const struct resample_params *)plan->params;
    resample_arguments a = {*p, call->inputs[0], call->inputs[2], (const int32_t *)call->inputs[1], call->outputs[0]};
    int64_t count = p->outer * p->output * p->inner;
    (void)task;
    if (count == 0)
        return;
    if (p->dtype == DTYPE_F32)
        cuda_launch(call, resample_elements<float>, grid_for(count, THREADS), THREADS, 0, a);
    else
        cuda_launch(call, resample_elements<double>, grid_for(count, THREADS), THREADS, 0, a);
}

static bool resample_supports(const void *params)
{
    unsigned dtype = ((const struct resample_params *)params)->dtype;
    return dtype == DTYPE_F32 || dtype == DTYPE_F64;
}

extern "C" const struct kernel resample_cuda = {
    .name = "resample_cuda",
    .family = FAMILY_resample,
    .requires = DEVICE_CUDA,
    .supports = resample_supports,
    .run = resample_run,
};
