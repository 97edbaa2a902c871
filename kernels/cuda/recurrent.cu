#include "kernels/recurrent.h"

#include "kernels/reference/types.h"

#include "kernels/cuda/index.h"
#include "kernels/cuda/ptx.h"

#define THREADS 512
#define SHARED_BYTES (96 << 10) /* that the state of a sequence may take */
#define EXACT_UNITS 32768       /* the sum of as many products of -255 to 255 fits 32 bits */

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

/* One sequence in one direction. States and gates are in shared memory, a block's; where they are quantised, in the
 * step's workspace. */
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

/* The new state of an LSTM from what goes into its gates. */
template <typename T>
static __device__ void finish_lstm(const struct recurrent_params &p, const sequence<T> &s,
                                   const struct recurrent_function *f)
{
    int64_t n = p.hidden;
    double cell_clip = p.quantized ? (double)INFINITY : p.clip;
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
        s.h[i] = activate(&f[0], p.clip, out) * activate(&f[2], cell_clip, s.c[i]);
    }
}

/* Operands of a sequence but its weights; scratch: of scratch_elements(). */
template <typename T>
static __device__ sequence<T> sequence_of(const recurrent_arguments &a, int64_t direction, int64_t item, T *scratch)
{
    const struct recurrent_params &p = a.p;
    int64_t n = p.hidden, units = recurrent_gates(&p) * n;
    return {(const T *)a.x + direction * p.steps * p.batch * units + item * p.x_batch,
            nullptr,
            a.bias ? (const T *)a.bias + direction * 2 * units : nullptr,
            a.peepholes ? (const T *)a.peepholes + direction * 3 * n : nullptr,
            scratch,
            scratch + n,
            scratch + 2 * n,
            scratch + 3 * n};
}

static inline __host__ __device__ int64_t scratch_elements(const struct recurrent_params *p)
{
    return (3 + recurrent_gates(p)) * p->hidden;
}

/* A thread has the same units of h and c at all times, so it needs no barrier between these. */
template <typename T>
static __device__ void start_states(const recurrent_arguments &a, const sequence<T> &s, int64_t direction, int64_t item)
{
    int64_t state = direction * a.p.state_direction + item * a.p.state_batch;
    for (int64_t i = threadIdx.x; i < a.p.hidden; i += THREADS) {
        s.h[i] = a.h ? ((const T *)a.h)[state + i] : 0;
        s.c[i] = a.c ? ((const T *)a.c)[state + i] : 0;
    }
}

template <typename T>
static __device__ void store_states(const recurrent_arguments &a, const sequence<T> &s, int64_t direction, int64_t item)
{
    int64_t state = direction * a.p.state_direction + item * a.p.state_batch;
    for (int64_t i = threadIdx.x; i < a.p.hidden; i += THREADS) {
        if (a.last_h)
            ((T *)a.last_h)[state + i] = s.h[i];
        if (a.last_c)
            ((T *)a.last_c)[state + i] = s.c[i];
    }
}

static __device__ int64_t position_of(const struct recurrent_params &p, int64_t direction, int64_t step, int64_t length)
{
    bool reverse = p.reverse || direction == 1;
    return step < length && reverse ? length - 1 - step : step;
}

/* Row `at` of y becomes the state h, or 0 past the end of the sequence. */
template <typename T>
static __device__ void store_step(const recurrent_arguments &a, const sequence<T> &s, bool past_end, int64_t direction,
                                  int64_t item, int64_t at)
{
    T *y = (T *)a.y + direction * a.p.y_direction + item * a.p.y_batch + at * a.p.y_step;
    for (int64_t i = threadIdx.x; a.y && i < a.p.hidden; i += THREADS)
        y[i] = past_end ? 0 : s.h[i];
}

template <typename T>
static __device__ void run_sequence(const recurrent_arguments &a, int64_t direction, int64_t item, int64_t length)
{
    const struct recurrent_params &p = a.p;
    const struct recurrent_function *f = p.functions[direction];
    sequence<T> s = sequence_of(a, direction, item, shared_memory<T>());
    s.weights = (const T *)a.weights + direction * recurrent_gates(&p) * p.hidden * p.hidden;
    __syncthreads();
    start_states(a, s, direction, item);
    __syncthreads();
    for (int64_t t = 0; t < p.steps; t++) {
        int64_t at = position_of(p, direction, t, length);
        const T *x = s.x + at * p.x_step;
        if (t < length && p.cell == RECURRENT_RNN) {
            step_rnn(p, s, x, f);
        } else if (t < length && p.cell == RECURRENT_GRU) {
            step_gru(p, s, x, f);
        } else if (t < length) {
            sum_gates(p, s, x, s.h, 0, 4 * p.hidden);
            finish_lstm(p, s, f);
        }
        __syncthreads();
        store_step(a, s, t >= length, direction, item, at);
    }
    store_states(a, s, direction, item);
}

/* The steps of a sequence; -1: its length is out of range. */
static __device__ int64_t length_of(const recurrent_arguments &a, int64_t item)
{
    int64_t length = a.lengths ? a.lengths[item] : a.p.steps;
    return length >= 0 && length <= a.p.steps ? length : -1;
}

static __device__ void note_length(const recurrent_arguments &a, int64_t direction, int64_t item)
{
    if (threadIdx.x == 0)
        note_fault(a.fault, a.step, (uint64_t)(direction * a.p.batch + item), a.lengths[item], a.p.steps, 0);
}

template <typename T> static __global__ void recurrent_sequences(const __grid_constant__ recurrent_arguments a)
{
    for (int64_t i = blockIdx.x; i < a.p.directions * a.p.batch; i += gridDim.x) {
        int64_t item, direction = split_index(i, a.p.batch, &item), length = length_of(a, item);
        if (length >= 0)
            run_sequence<T>(a, direction, item, length);
        else
            note_length(a, direction, item);
    }
}

/* --- an LSTM whose states are quantised before each step --------------------------------------------------------- */

struct quantized_arguments {
    recurrent_arguments all;
    const float *scales;  /* of columns of the weights, which are bytes, [H, 4 H] */
    const uint8_t *zeros; /* of these columns; NULL: 0 */
    float *scratch;       /* of each direction and sequence */
    int16_t *states;      /* of each, [H]: h as integers less their zero point */
};

/* One direction, a block's. The batch goes step by step, since one scale serves all its states. */
struct quantized_batch {
    const quantized_arguments &q;
    int64_t direction;
    int16_t *states; /* [batch, H] */

    __device__ __forceinline__ sequence<float> of(int64_t item) const
    {
        const struct recurrent_params &p = q.all.p;
        return sequence_of(q.all, direction, item, q.scratch + (direction * p.batch + item) * scratch_elements(&p));
    }
};

/* Byte `i` of some weights as the integer that it is. */
static __device__ __forceinline__ int32_t weight_of(const struct recurrent_params &p, uint32_t bytes, int i)
{
    uint32_t byte = bytes >> (8 * i) & 0xff;
    return p.weights == DTYPE_I8 ? (int32_t)(int8_t)byte : (int32_t)byte;
}

/* What a thread sums at once: a word of a row of the weights. */
#define COLUMNS 4

/* Columns of the weights, less their zero points, times a sequence's states; exact, with at most EXACT_UNITS of them.
 */
static __device__ __forceinline__ void dot_columns(const struct recurrent_params &p, const uint8_t *weights,
                                                   const uint8_t *zeros, const int16_t *states,
                                                   int32_t (&sums)[COLUMNS])
{
    uint32_t less = zeros ? *(const uint32_t *)zeros : 0;
    UNROLL
    for (int j = 0; j < COLUMNS; j++)
        sums[j] = 0;
    for (int64_t i = 0; i < p.hidden; i++, weights += 4 * p.hidden) {
        uint32_t bytes = *(const uint32_t *)weights;
        UNROLL
        for (int j = 0; j < COLUMNS; j++)
            sums[j] += (weight_of(p, bytes, j) - weight_of(p, less, j)) * states[i];
    }
}

/* Between 0 and 255; a NaN is 0. */
static __device__ __forceinline__ float to_8_bits(float x)
{
    return !(x > 0) ? 0 : x > 255 ? 255 : x;
}

/* Quantises the states of the sequences that have a step `t`, and returns their scale; 0 where all are 0. */
static __device__ float quantize_states(const quantized_batch &b, int64_t t)
{
    const recurrent_arguments &a = b.q.all;
    int64_t n = a.p.hidden;
    float low = 0, high = 0;
    for (int64_t item = 0; item < a.p.batch; item++) {
        const float *h = b.of(item).h;
        for (int64_t i = threadIdx.x; i < n && t < length_of(a, item); i += THREADS) {
            low = h[i] < low ? h[i] : low;
            high = h[i] > high ? h[i] : high;
        }
    }
    low = block_fold(low, shared_memory<float>(), [](float x, float y) { return y < x ? y : x; });
    high = block_fold(high, shared_memory<float>(), [](float x, float y) { return y > x ? y : x; });
    float scale = (high - low) / 255;
    if (!(scale > 0))
        return 0;
    float zero = to_8_bits(rintf(-low / scale));
    for (int64_t item = 0; item < a.p.batch; item++) {
        const float *h = b.of(item).h;
        for (int64_t i = threadIdx.x; i < n; i += THREADS)
            b.states[item * n + i] = (int16_t)(to_8_bits(rintf(h[i] / scale) + zero) - zero);
    }
    __syncthreads();
    return scale;
}

/* The gates of all sequences that have a step `t`. */
static __device__ void sum_quantized_gates(const quantized_batch &b, int64_t t, float state_scale)
{
    const recurrent_arguments &a = b.q.all;
    int64_t n = a.p.hidden, units = 4 * n;
    const uint8_t *weights = (const uint8_t *)a.weights + b.direction * units * n;
    const uint8_t *zeros = b.q.zeros ? b.q.zeros + b.direction * units : nullptr;
    const float *scales = b.q.scales + b.direction * units;
    for (int64_t index = threadIdx.x; index < a.p.batch * n; index += THREADS) {
        int64_t first, item = split_index(index, n, &first), length = length_of(a, item);
        if (t >= length)
            continue;
        first *= COLUMNS;
        sequence<float> s = b.of(item);
        const float *x = s.x + position_of(a.p, b.direction, t, length) * a.p.x_step;
        int32_t sums[COLUMNS];
        if (state_scale > 0)
            dot_columns(a.p, weights + first, zeros ? zeros + first : nullptr, b.states + item * n, sums);
        UNROLL
        for (int j = 0; j < COLUMNS; j++) {
            int64_t i = first + j;
            float product = state_scale > 0 ? (float)sums[j] * (state_scale * scales[i]) : 0;
            s.gates[i] = (s.bias ? x[i] + s.bias[i] + s.bias[units + i] : x[i]) + product;
        }
    }
    __syncthreads();
}

static __device__ void run_quantized(const quantized_batch &b)
{
    const recurrent_arguments &a = b.q.all;
    const struct recurrent_params &p = a.p;
    for (int64_t item = 0; item < p.batch; item++)
        start_states(a, b.of(item), b.direction, item);
    for (int64_t t = 0; t < p.steps; t++) {
        float scale = quantize_states(b, t);
        sum_quantized_gates(b, t, scale);
        for (int64_t item = 0; item < p.batch; item++) {
            sequence<float> s = b.of(item);
            int64_t length = length_of(a, item);
            if (t < length)
                finish_lstm(p, s, p.functions[b.direction]);
            store_step(a, s, t >= length, b.direction, item, position_of(p, b.direction, t, length));
        }
    }
    for (int64_t item = 0; item < p.batch; item++)
        store_states(a, b.of(item), b.direction, item);
}

static __global__ void recurrent_quantized(const __grid_constant__ quantized_arguments q)
{
    const struct recurrent_params &p = q.all.p;
    for (int64_t direction = blockIdx.x; direction < p.directions; direction += gridDim.x) {
        int64_t good = 0;
        while (good < p.batch && length_of(q.all, good) >= 0)
            good++;
        if (good == p.batch)
            run_quantized({q, direction, q.states + direction * p.batch * p.hidden});
        else
            note_length(q.all, direction, good);
    }
}

/* --- the kernels ------------------------------------------------------------------------------------------------- */

static size_t shared_bytes(const struct recurrent_params *p)
{
    return (size_t)scratch_elements(p) * (p->dtype == DTYPE_F32 ? sizeof(float) : sizeof(double));
}

static recurrent_arguments arguments_of(const struct recurrent_params *p, const struct kernel_call *call)
{
    const void *const *in = call->inputs;
    return {*p,
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
}

static void recurrent_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct recurrent_params *p = (const struct recurrent_params *)plan->params;
    recurrent_arguments a = arguments_of(p, call);
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

/* Scratch of all sequences. */
static size_t scratch_bytes(const struct recurrent_params *p)
{
    return align_up((size_t)(p->directions * p->batch * scratch_elements(p)) * sizeof(float), ALIGNMENT);
}

static bool quantized_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                           struct kernel_plan *plan)
{
    const struct recurrent_params *p = (const struct recurrent_params *)params;
    (void)facts;
    (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    plan->shared_bytes = scratch_bytes(p) + (size_t)(p->directions * p->batch * p->hidden) * sizeof(int16_t);
    return true;
}

static void quantized_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct recurrent_params *p = (const struct recurrent_params *)plan->params;
    char *room = (char *)call->shared;
    quantized_arguments q = {arguments_of(p, call), (const float *)call->inputs[7], (const uint8_t *)call->inputs[8],
                             (float *)room, (int16_t *)(room + scratch_bytes(p))};
    (void)task;
    if (p->directions * p->batch == 0)
        return;
    cuda_launch(call, recurrent_quantized, grid_for(p->directions, 1), THREADS, THREADS / WARP * sizeof(float), q);
}

static bool quantized_supports(const void *params)
{
    const struct recurrent_params *p = (const struct recurrent_params *)params;
    return p->quantized && p->cell == RECURRENT_LSTM && p->dtype == DTYPE_F32 && p->hidden <= EXACT_UNITS;
}

extern "C" const struct kernel recurrent_quantized_cuda = {
    .name = "recurrent_quantized_cuda",
    .family = FAMILY_recurrent,
    .requires = DEVICE_CUDA,
    .supports = quantized_supports,
    .plan = quantized_plan,
    .run = quantized_run,
    .explain = recurrent_explain,
};
