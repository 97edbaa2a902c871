#include "kernels/reference/grid_taps.h"

#include "kernels/cuda/index.h"

#define THREADS 128

struct grid_arguments {
    struct grid_sample_params p;
    const void *image, *grid;
    void *y;
};

/* A thread has a point of all channels. */
template <typename T> static __global__ void grid_sample_points(grid_arguments a)
{
    const struct grid_sample_params &p = a.p;
    int64_t size = elements(p.rank, p.dims);
    for (int64_t i = grid_thread(); i < p.batch * p.points; i += grid_threads()) {
        int64_t point, batch = split_index(i, p.points, &point), stride = 1;
        const T *coordinates = (const T *)a.grid + i * p.rank, *image = (const T *)a.image + batch * p.channels * size;
        T *to = (T *)a.y + batch * p.channels * p.points + point;
        struct taps taps;
        taps.count = 1;
        taps.offsets[0] = 0;
        taps.weights[0] = 1;
        for (int axis = p.rank - 1; axis >= 0; stride *= p.dims[axis--])
            extend_taps(&p, &taps, place_on_axis(&p, (double)coordinates[p.rank - 1 - axis], p.dims[axis]),
                        p.dims[axis], stride);
        for (int64_t channel = 0; channel < p.channels; channel++) {
            double sum = 0;
            for (int k = 0; k < taps.count; k++)
                sum += taps.weights[k] * (double)image[channel * size + taps.offsets[k]];
            to[channel * p.points] = (T)sum;
        }
    }
}

static void grid_sample_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct grid_sample_params *p = (const struct grid_sample_params *)plan->params;
    grid_arguments a = {*p, call->inputs[0], call->inputs[1], call->outputs[0]};
    int64_t count = p->batch * p->points;
    (void)task;
    if (count == 0)
        return;
    if (p->dtype == DTYPE_F32)
        cuda_launch(call, grid_sample_points<float>, grid_for(count, THREADS), THREADS, 0, a);
    else
        cuda_launch(call, grid_sample_points<double>, grid_for(count, THREADS), THREADS, 0, a);
}

static bool grid_sample_supports(const void *params)
{
    unsigned dtype = ((const struct grid_sample_params *)params)->dtype;
    return dtype == DTYPE_F32 || dtype == DTYPE_F64;
}

extern "C" const struct kernel grid_sample_cuda = {
    .name = "grid_sample_cuda",
    .family = FAMILY_grid_sample,
    .requires = DEVICE_CUDA,
    .supports = grid_sample_supports,
    .run = grid_sample_run,
};
