#include "kernels/dft.h"

#include "kernels/cuda/index.h"

#define THREADS 256
#define LONGEST 6144 /* two lines fit shared memory */

/* In double whatever the type, as the reference kernel. */
struct complex {
    double re, im;
};

struct dft_arguments {
    struct dft_params p;
    const void *x;
    void *y;
    const complex *roots;
};

static __device__ __forceinline__ complex multiply(complex a, complex b)
{
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* Element k of the line. Completes a half spectrum by X[n - k] = conj X[k]; bins that are their own mirror image are
 * real. An inverse transform is a forward one of the conjugate, conjugated. */
template <typename T>
static __device__ __forceinline__ complex load_signal(const struct dft_params &p, const T *x, int64_t k)
{
    bool mirrored = p.half && 2 * k > p.length;
    int64_t from = mirrored ? p.length - k : k, step = p.inner * p.parts;
    complex value = {0, 0};
    if (from < p.count) {
        value.re = (double)x[from * step];
        value.im = p.parts == 2 ? (double)x[from * step + 1] : 0;
    }
    if (p.half && (k == 0 || 2 * k == p.length))
        value.im = 0;
    value.im = mirrored != p.inverse ? -value.im : value.im;
    return value;
}

static __device__ __forceinline__ int smallest_factor(int n)
{
    for (int factor = 2; factor * factor <= n; factor++)
        if (n % factor == 0)
            return factor;
    return n;
}

/* Stockham's recursion over the prime factors, from one buffer into the other: of what is left to do, transforms of n
 * elements `stride` apart, each step leaves n / factor. Returns where the result is. */
static __device__ complex *transform(const dft_arguments &a, complex *from, complex *to)
{
    int length = (int)a.p.length;
    for (int n = length, stride = 1; n > 1;) {
        int factor = smallest_factor(n), part = n / factor;
        for (int i = (int)threadIdx.x; i < length; i += (int)blockDim.x) {
            int q = i % stride, k = i / stride % factor, p = i / stride / factor;
            complex sum = {0, 0};
            for (int r = 0; r < factor; r++) {
                complex term = multiply(from[q + stride * (p + part * r)], a.roots[r * k % factor * (length / factor)]);
                sum.re += term.re;
                sum.im += term.im;
            }
            to[i] = multiply(sum, a.roots[p * k * (length / n)]);
        }
        __syncthreads();
        complex *swapped = from;
        from = to;
        to = swapped;
        n = part;
        stride *= factor;
    }
    return from;
}

/* A block has a line. */
template <typename T> static __global__ void dft_lines(dft_arguments a)
{
    const struct dft_params &p = a.p;
    complex *line = shared_memory<complex>();
    double scale = p.inverse ? 1 / (double)p.length : 1, sign = p.inverse ? -scale : scale;
    for (int64_t i = blockIdx.x; i < p.outer * p.inner; i += gridDim.x) {
        int64_t inner, outer = split_index(i, p.inner, &inner), step = p.inner * p.parts_out;
        const T *x = (const T *)a.x + (outer * p.count * p.inner + inner) * p.parts;
        T *y = (T *)a.y + (outer * p.bins * p.inner + inner) * p.parts_out;
        __syncthreads();
        for (int k = (int)threadIdx.x; k < p.length; k += (int)blockDim.x)
            line[k] = load_signal(p, x, k);
        __syncthreads();
        const complex *result = transform(a, line, line + p.length);
        for (int k = (int)threadIdx.x; k < p.bins; k += (int)blockDim.x) {
            y[k * step] = (T)(result[k].re * scale);
            if (p.parts_out == 2)
                y[k * step + 1] = (T)(result[k].im * sign);
        }
    }
}

static void dft_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct dft_params *p = (const struct dft_params *)plan->params;
    dft_arguments a = {*p, call->inputs[0], call->outputs[0], (const complex *)call->inputs[1]};
    size_t shared = 2 * (size_t)p->length * sizeof(complex);
    unsigned threads = (unsigned)least(THREADS, divide_up(p->length, WARP) * WARP);
    (void)task;
    if (p->outer * p->inner * p->bins == 0)
        return;
    if (p->dtype == DTYPE_F32)
        cuda_launch(call, dft_lines<float>, grid_for(p->outer * p->inner, 1), threads, shared, a);
    else
        cuda_launch(call, dft_lines<double>, grid_for(p->outer * p->inner, 1), threads, shared, a);
}

static bool dft_supports(const void *params)
{
    const struct dft_params *p = (const struct dft_params *)params;
    return (p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64) && p->length > 0 && p->length <= LONGEST;
}

extern "C" const struct kernel dft_cuda = {
    .name = "dft_cuda",
    .family = FAMILY_dft,
    .requires = DEVICE_CUDA,
    .supports = dft_supports,
    .run = dft_run,
};
