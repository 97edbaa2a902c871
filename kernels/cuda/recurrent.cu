#include "kernels/recurrent.h"

#include "kernels/reference/types.h"

#include "kernels/cuda/index.h"

#define THREADS 512
#define SHARED_BYTES (96 << 10) /* that the state of a sequence may take */

#define HELPER static __device__
#define TYPE_NAME f32
#define T float
#define M(function) function##f
#include "kernels/reference/recurrent_activate.inc"
#undef TYPE_NAME
#undef T
#undef M
#define TYPE_NAME f64
#define T double
#define M(function) function
#include "kernels/reference/recurrent_activate.inc"
#undef TYPE_NAME
#undef T
#undef M
#undef HELPER

static __device__ __forceinline__ float activate(const struct recurrent_function *f, double clip, float x)
{
    return activate_f32(f, clip, x);
}
static __device__ __forceinline__ double activate(const struct recurrent_function *f, double clip, double x)
{
    return activate_f64(f, clip, x);
}

struct recurrent_arguments {
    struct recurrent_params p;
    const void *x, *weights, *bias, *h, *c, *peepholes;
    const int32_t *lengths;
    void *y, *last_h, *last_c;
    struct device_fault *fault;
    uint32_t step;
};

/* One sequence in one direction, a block's. States and gates are in shared memory. */
template <typename T> struct sequence {
    const T *x, *weights, *bias, *peepholes; /* bias and peepholes may be NULL */
    T *h, *c, *reset, *gates;
};

/* A unit of a gate: its row of R times h. A whole warp calls this. */
template <typename T>
static __device__ __forceinline__ T recurrent_sum(const struct recurrent_params &p, const sequence<T> &s, const T *h,
                                                  int64_t unit)
{
    const T *row = s.weights + unit * p.hidden;
    T sum = 0;
    for (int64_t i = threadIdx.x % WARP; i < p.hidden; i += WARP)
        sum += row[i] * h[i];
    return warp_fold(sum, [](T a, T b) { return a + b; });
}

/* gates = x W^T + h R^T + biases, for units [first, last). */
template <typename T>
static __device__ void sum_gates(const struct recurrent_params &p, const sequence<T> &s, const T *x, const T *h,
                                 int64_t first, int64_t last)
{
    int64_t units = recurrent_gates(&p) * p.hidden;
    for (int64_t i = first + threadIdx.x / WARP; i < last; i += THREADS / WARP) {
        T sum = recurrent_sum(p, s, h, i);
        if (threadIdx.x % WARP == 0)
            s.gates[i] = (s.bias ? x[i] + s.bias[i] + s.bias[units + i] : x[i]) + sum;
    }
    __syncthreads();
}

template <typename T>
static __device__ void step_rnn(const struct recurrent_params &p, const sequence<T> &s, const T *x,
                                const struct recurrent_function *f)
{
    sum_gates(p, s, x, s.h, 0, p.hidden);
    for (int64_t i = threadIdx.x; i < p.hidden; i += THREADS)
        s.h[i] = activate(&f[0], p.clip, s.gates[i]);
}

template <typename T>
static __device__ void step_gru(const struct recurrent_params &p, const sequence<T> &s, const T *x,
                                const struct recurrent_function *f)
{
    int64_t n = p.hidden;
    T *update = s.gates, *reset = update + n, *fresh = reset + n;
    sum_gates(p, s, x, s.h, 0, 2 * n);
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
        update[i] = activate(&f[0], p.clip, update[i]);
        reset[i] = activate(&f[0], p.clip, reset[i]);
        s.reset[i] = reset[i] * s.h[i];
    }
    __syncthreads();
    if (p.linear_before_reset) {
        for (int64_t i = threadIdx.x / WARP; i < n; i += THREADS / WARP) {
            T inner = recurrent_sum(p, s, s.h, 2 * n + i);
            if (threadIdx.x % WARP == 0)
                fresh[i] = x[2 * n + i] + (s.bias ? s.bias[2 * n + i] : 0) +
                           reset[i] * (inner + (s.bias ? s.bias[5 * n + i] : 0));
        }
        __syncthreads();
    } else {
        sum_gates(p, s, x, s.reset, 2 * n, 3 * n);
    }
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
        T candidate = activate(&f[1], p.clip, fresh[i]);
        s.h[i] = (1 - update[i]) * candidate + update[i] * s.h[i];
    }
}

template <typename T>
static __device__ void step_lstm(const struct recurrent_params &p, const sequence<T> &s, const T *x,
                                 const struct recurrent_function *f)
{
    int64_t n = p.hidden;
    sum_gates(p, s, x, s.h, 0, 4 * n);
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
        T in = s.gates[i], out = s.gates[n + i], forget = s.gates[2 * n + i], cell = s.gates[3 * n + i];
        if (s.peepholes) {
            in += s.peepholes[i] * s.c[i];
            forget += s.peepholes[2 * n + i] * s.c[i];
        }
        in = activate(&f[0], p.clip, in);
        forget = p.couple_forget ? 1 - in : activate(&f[0], p.clip, forget);
        s.c[i] = forget * s.c[i] + in * activate(&f[1], p.clip, cell);
        if (s.peepholes)
            out += s.peepholes[n + i] * s.c[i];
        s.h[i] = activate(&f[0], p.clip, out) * activate(&f[2], p.clip, s.c[i]);
    }
}

template <typename T>
static __device__ void run_sequence(const recurrent_arguments &a, int64_t direction, int64_t item, int64_t length)
{
    const struct recurrent_params &p = a.p;
    int64_t n = p.hidden, units = recurrent_gates(&p) * p.hidden;
    int64_t state = direction * p.state_direction + item * p.state_batch;
    T *shared = shared_memory<T>();
    sequence<T> s = {(const T *)a.x + direction * p.steps * p.batch * units + item * p.x_batch,
                     (const T *)a.weights + direction * units * n,
                     a.bias ? (const T *)a.bias + direction * 2 * units : NULL,
                     a.peepholes ? (const T *)a.peepholes + direction * 3 * n : NULL,
                     shared,
                     shared + n,
                     shared + 2 * n,
                     shared + 3 * n};
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
        s.h[i] = a.h ? ((const T *)a.h)[state + i] : 0;
        s.c[i] = a.c ? ((const T *)a.c)[state + i] : 0;
    }
    __syncthreads();
    for (int64_t t = 0; t < p.steps; t++) {
        bool reverse = p.reverse || direction == 1;
        int64_t at = t < length && reverse ? length - 1 - t : t;
        const T *x = s.x + at * p.x_step;
        const struct recurrent_function *f = p.functions[direction];
        if (t < length && p.cell == RECURRENT_RNN)
            step_rnn(p, s, x, f);
        else if (t < length && p.cell == RECURRENT_GRU)
            step_gru(p, s, x, f);
        else if (t < length)
            step_lstm(p, s, x, f);
        __syncthreads();
        T *y = (T *)a.y + direction * p.y_direction + item * p.y_batch + at * p.y_step;
        for (int64_t i = threadIdx.x; a.y && i < n; i += THREADS)
            y[i] = t < length ? s.h[i] : 0;
    }
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
        if (a.last_h)
            ((T *)a.last_h)[state + i] = s.h[i];
        if (a.last_c)
            ((T *)a.last_c)[state + i] = s.c[i];
    }
}

template <typename T> static __global__ void recurrent_sequences(const __grid_constant__ recurrent_arguments a)
{
    for (int64_t i = blockIdx.x; i < a.p.directions * a.p.batch; i += gridDim.x) {
        int64_t item, direction = split_index(i, a.p.batch, &item), length = a.lengths ? a.lengths[item] : a.p.steps;
        if (length >= 0 && length <= a.p.steps)
            run_sequence<T>(a, direction, item, length);
        else if (threadIdx.x == 0)
            note_fault(a.fault, a.step, (uint64_t)i, length, a.p.steps, 0);
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

static size_t shared_bytes(const struct recurrent_params *p)
{
    return (size_t)((3 + recurrent_gates(p)) * p->hidden) * (p->dtype == DTYPE_F32 ? sizeof(float) : sizeof(double));
}

static void recurrent_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct recurrent_params *p = (const struct recurrent_params *)plan->params;
    const void *const *in = call->inputs;
    recurrent_arguments a = {*p,
                             in[0],
                             in[1],
                             in[2],
                             in[4],
                             in[5],
                             in[6],
                             (const int32_t *)in[3],
                             call->outputs[0],
                             call->outputs[1],
                             call->outputs[2],
                             call->device_fault,
                             call->step};
    (void)task;
    if (p->directions * p->batch == 0)
        return;
    unsigned blocks = grid_for(p->directions * p->batch, 1);
    if (p->dtype == DTYPE_F32)
        cuda_launch(call, recurrent_sequences<float>, blocks, THREADS, shared_bytes(p), a);
    else
        cuda_launch(call, recurrent_sequences<double>, blocks, THREADS, shared_bytes(p), a);
}

static bool recurrent_supports(const void *params)
{
    const struct recurrent_params *p = (const struct recurrent_params *)params;
    return !p->quantized && (p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64) && shared_bytes(p) <= SHARED_BYTES;
}

static void recurrent_explain(const struct kernel_plan *plan, const struct device_fault *record, struct fault *fault)
{
    struct kernel_call call = {};
    (void)plan;
    call.fault = fault;
    kernel_fault(&call, "sequence length %lld is not within 0 and %lld", (long long)record->details[0],
                 (long long)record->details[1]);
}

extern "C" const struct kernel recurrent_cuda = {
    .name = "recurrent_cuda",
    .family = FAMILY_recurrent,
    .requires = DEVICE_CUDA,
    .supports = recurrent_supports,
    .run = recurrent_run,
    .explain = recurrent_explain,
};
