#include "kernels/softmax.h"

#include "kernels/cuda/cuda.h"

/* Rows whose elements lie next to each other are a warp's up to so many elements, and a block's beyond. */
#define WARP_ELEMENTS 1024
#define THREADS 256

struct softmax_arguments {
    struct softmax_params p;
    const void *x;
    void *y;
};

/* Of the elements that a thread has seen: the largest, or a NaN if there is one; where it is first. */
template <typename T> struct largest {
    T value;
    int64_t at;
};

template <typename T> static __device__ bool is_larger(largest<T> a, largest<T> b)
{
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan || b_nan)
        return a_nan && (!b_nan || a.at < b.at);
    return a.value > b.value || (a.value == b.value && a.at < b.at);
}

template <typename T> static __device__ largest<T> larger(largest<T> a, largest<T> b)
{
    return is_larger(b, a) ? b : a;
}

static __device__ float power(float x)
{
    return expf(x);
}
static __device__ double power(double x)
{
    return exp(x);
}
static __device__ float logarithm(float x)
{
    return logf(x);
}
static __device__ double logarithm(double x)
{
    return log(x);
}

/* Threads that share a row. */
struct warp_team {
    static __device__ int size()
    {
        return WARP;
    }
    static __device__ int rank()
    {
        return threadIdx.x % WARP;
    }
    template <typename T> static __device__ largest<T> fold_largest(largest<T> mine)
    {
        for (int lanes = WARP / 2; lanes > 0; lanes /= 2)
            mine = larger(mine, largest<T>{__shfl_xor_sync(ALL_LANES, mine.value, lanes),
                                           __shfl_xor_sync(ALL_LANES, mine.at, lanes)});
        return mine;
    }
    static __device__ double sum(double mine)
    {
        return warp_fold(mine, [](double a, double b) { return a + b; });
    }
};

struct block_team {
    static __device__ int size()
    {
        return (int)blockDim.x;
    }
    static __device__ int rank()
    {
        return (int)threadIdx.x;
    }
    template <typename T> static __device__ largest<T> fold_largest(largest<T> mine)
    {
        largest<T> *shared = shared_memory<largest<T>>();
        mine = warp_team::fold_largest(mine);
        __syncthreads();
        if (threadIdx.x % WARP == 0)
            shared[threadIdx.x / WARP] = mine;
        __syncthreads();
        for (unsigned i = 0; i < blockDim.x / WARP; i++)
            mine = larger(mine, shared[i]);
        return mine;
    }
    static __device__ double sum(double mine)
    {
        return block_fold(mine, shared_memory<double>(), [](double a, double b) { return a + b; });
    }
};

/* The only thread of its row, which strides over other rows. */
struct lone_team {
    static __device__ int size()
    {
        return 1;
    }
    static __device__ int rank()
    {
        return 0;
    }
    template <typename T> static __device__ largest<T> fold_largest(largest<T> mine)
    {
        return mine;
    }
    static __device__ double sum(double mine)
    {
        return mine;
    }
};

template <typename T, typename TEAM>
static __device__ void softmax_row(enum softmax_kind kind, const T *x, T *y, int64_t n, int64_t step)
{
    largest<T> most = {x[0], 0};
    for (int64_t i = TEAM::rank(); i < n; i += TEAM::size())
        most = larger(most, largest<T>{x[i * step], i});
    most = TEAM::fold_largest(most);
    if (kind == SOFTMAX_HARD) {
        for (int64_t i = TEAM::rank(); i < n; i += TEAM::size())
            y[i * step] = (T)(i == most.at);
        return;
    }
    double sum = 0;
    for (int64_t i = TEAM::rank(); i < n; i += TEAM::size())
        sum += (double)power(x[i * step] - most.value);
    sum = TEAM::sum(sum);
    T factor = (T)(1 / sum), shift = kind == SOFTMAX_LOG ? logarithm((T)sum) : (T)0;
    for (int64_t i = TEAM::rank(); i < n; i += TEAM::size()) {
        T shifted = x[i * step] - most.value;
        y[i * step] = kind == SOFTMAX_LOG ? shifted - shift : power(shifted) * factor;
    }
}

template <typename T> static __global__ void softmax_by_warp(softmax_arguments a)
{
    int64_t warps = (int64_t)gridDim.x * (blockDim.x / WARP);
    for (int64_t row = (int64_t)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP; row < a.p.outer; row += warps)
        softmax_row<T, warp_team>(a.p.kind, (const T *)a.x + row * a.p.axis, (T *)a.y + row * a.p.axis, a.p.axis, 1);
}

template <typename T> static __global__ void softmax_by_block(softmax_arguments a)
{
    for (int64_t row = blockIdx.x; row < a.p.outer; row += gridDim.x)
        softmax_row<T, block_team>(a.p.kind, (const T *)a.x + row * a.p.axis, (T *)a.y + row * a.p.axis, a.p.axis, 1);
}

template <typename T> static __global__ void softmax_by_thread(softmax_arguments a)
{
    int64_t threads = (int64_t)gridDim.x * blockDim.x, rows = a.p.outer * a.p.inner;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < rows; i += threads) {
        int64_t at = i / a.p.inner * a.p.axis * a.p.inner + i % a.p.inner;
        softmax_row<T, lone_team>(a.p.kind, (const T *)a.x + at, (T *)a.y + at, a.p.axis, a.p.inner);
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

template <typename T> static void enqueue(const struct kernel_call *call, const softmax_arguments &a)
{
    const struct softmax_params *p = &a.p;
    if (p->inner != 1)
        cuda_launch(call, softmax_by_thread<T>, grid_for(p->outer * p->inner, THREADS), THREADS, 0, a);
    else if (p->axis <= WARP_ELEMENTS)
        cuda_launch(call, softmax_by_warp<T>, grid_for(p->outer, THREADS / WARP), THREADS, 0, a);
    else
        cuda_launch(call, softmax_by_block<T>, grid_for(p->outer, 1), THREADS, THREADS / WARP * sizeof(largest<T>), a);
}

static void softmax_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct softmax_params *p = (const struct softmax_params *)plan->params;
    softmax_arguments a = {*p, call->inputs[0], call->outputs[0]};
    (void)task;
    if (p->outer * p->axis * p->inner == 0)
        return;
    if (p->dtype == DTYPE_F32)
        enqueue<float>(call, a);
    else
        enqueue<double>(call, a);
}

static bool softmax_supports(const void *params)
{
    const struct softmax_params *p = (const struct softmax_params *)params;
    return p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64;
}

extern "C" const struct kernel softmax_cuda = {
    .name = "softmax_cuda",
    .family = FAMILY_softmax,
    .requires = DEVICE_CUDA,
    .supports = softmax_supports,
    .run = softmax_run,
};
