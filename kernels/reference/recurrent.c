#include "kernels/recurrent.h"

#include "kernels/reference/types.h"

#include <math.h>
#include <string.h>

static int recurrent_tasks(const void *params)
{
    const struct recurrent_params *p = params;
    return task_count(p->directions * p->batch, 1);
}

#define HELPER static
#define TYPE_NAME f32
#define T float
#define M(function) function##f
#include "kernels/reference/recurrent.inc"
#undef TYPE_NAME
#undef T
#undef M
#define TYPE_NAME f64
#define T double
#define M(function) function
#include "kernels/reference/recurrent.inc"
#undef TYPE_NAME
#undef T
#undef M

/* --- an LSTM whose states are quantised before each step --------------------------------------------------- */

/* One direction. The batch goes step by step, since one scale serves all its states. */
struct quantized_batch {
    const struct recurrent_params *p;
    const struct kernel_call *call;
    int64_t direction;
    const uint8_t *weights; /* [H, 4 H] */
    const float *scales;    /* of their columns */
    const uint8_t *zeros;   /* NULL: 0 */
    float *scratch;         /* of each sequence */
    int16_t *states;        /* [batch, H]: h as integers less their zero point */
};

static struct sequence_f32 sequence_of(const struct quantized_batch *b, int64_t item)
{
    return operands_f32(b->p, b->call, NULL, b->scratch + item * scratch_f32(b->p), b->direction, item);
}

#define COLUMNS 64 /* whose sums go along together, since they lie side by side */

/* Columns of the weights, less their zero points, times a sequence's states. */
static void dot_columns(const struct quantized_batch *b, int64_t first, int64_t count, const int16_t *states,
                        int64_t sums[COLUMNS])
{
    int64_t n = b->p->hidden;
    const int turn = b->p->weights == DTYPE_I8 ? 0x80 : 0; /* makes a byte unsigned, and so do sums without branches */
    int zeros[COLUMNS];
    for (int64_t j = 0; j < count; j++) {
        zeros[j] = (b->zeros ? b->zeros[first + j] : 0) ^ turn;
        sums[j] = 0;
    }
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *row = b->weights + i * 4 * n + first;
        for (int64_t j = 0; j < count; j++)
            sums[j] += ((row[j] ^ turn) - zeros[j]) * states[i];
    }
}

/* Between 0 and 255; a NaN is 0. */
static float to_8_bits(float x)
{
    return !(x > 0) ? 0 : x > 255 ? 255 : x;
}

/* Quantises the states of the sequences that have a step `t`, and returns their scale; 0 where all are 0. */
static float quantize_states(const struct quantized_batch *b, int64_t t)
{
    int64_t n = b->p->hidden;
    float low = 0, high = 0;
    for (int64_t item = 0; item < b->p->batch; item++) {
        const float *h = sequence_of(b, item).h;
        for (int64_t i = 0; i < n && t < sequence_length_f32(b->p, b->call, item); i++) {
            low = h[i] < low ? h[i] : low;
            high = h[i] > high ? h[i] : high;
        }
    }
    float scale = (high - low) / 255;
    if (!(scale > 0))
        return 0;
    float zero = to_8_bits(rintf(-low / scale));
    for (int64_t item = 0; item < b->p->batch; item++) {
        const float *h = sequence_of(b, item).h;
        for (int64_t i = 0; i < n; i++)
            b->states[item * n + i] = (int16_t)(to_8_bits(rintf(h[i] / scale) + zero) - zero);
    }
    return scale;
}

static void step_quantized(const struct quantized_batch *b, int64_t item, int64_t at, float state_scale)
{
    const struct recurrent_params *p = b->p;
    struct sequence_f32 s = sequence_of(b, item);
    int64_t n = p->hidden;
    for (int64_t first = 0, count; first < 4 * n; first += count) {
        int64_t sums[COLUMNS];
        count = 4 * n - first < COLUMNS ? 4 * n - first : COLUMNS;
        if (state_scale > 0)
            dot_columns(b, first, count, b->states + item * n, sums);
        for (int64_t j = 0; j < count; j++) {
            int64_t i = first + j;
            float product = state_scale > 0 ? (float)sums[j] * (state_scale * b->scales[i]) : 0;
            s.gates[i] = constant_part_f32(p, &s, s.x + at * p->x_step, i) + product;
        }
    }
    finish_lstm_f32(p, &s, p->functions[b->direction]);
}

static void run_quantized(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct recurrent_params *p = plan->params;
    int64_t n = p->hidden;
    const uint8_t *zeros = call->inputs[8];
    struct quantized_batch b = {
        .p = p,
        .call = call,
        .direction = task,
        .weights = (const uint8_t *)call->inputs[1] + task * 4 * n * n,
        .scales = (const float *)call->inputs[7] + task * 4 * n,
        .zeros = zeros ? zeros + task * 4 * n : NULL,
        .scratch = call->workspace,
        .states = (int16_t *)((float *)call->workspace + p->batch * scratch_f32(p)),
    };
    for (int64_t item = 0; item < p->batch; item++) {
        struct sequence_f32 s = sequence_of(&b, item);
        start_f32(p, call, &s, task, item);
        if (sequence_length_f32(p, call, item) < 0)
            return;
    }
    for (int64_t t = 0; t < p->steps; t++) {
        float scale = quantize_states(&b, t);
        for (int64_t item = 0; item < p->batch; item++) {
            int64_t length = sequence_length_f32(p, call, item), at = position_f32(p, task, t, length);
            if (t < length)
                step_quantized(&b, item, at, scale);
            store_step_f32(p, call, t < length ? sequence_of(&b, item).h : NULL, task, item, at);
        }
    }
    for (int64_t item = 0; item < p->batch; item++) {
        struct sequence_f32 s = sequence_of(&b, item);
        store_states_f32(p, call, &s, task, item);
    }
}

static bool supports_quantized(const void *params)
{
    const struct recurrent_params *p = params;
    return p->quantized && p->cell == RECURRENT_LSTM && p->dtype == DTYPE_F32;
}

static int quantized_tasks(const void *params)
{
    return (int)((const struct recurrent_params *)params)->directions;
}

static size_t quantized_workspace(const void *params)
{
    const struct recurrent_params *p = params;
    return (size_t)p->batch * ((size_t)scratch_f32(p) * sizeof(float) + (size_t)p->hidden * sizeof(int16_t));
}

/* --- the kernels ------------------------------------------------------------------------------------------- */

static bool supports_f32(const void *params)
{
    const struct recurrent_params *p = params;
    return p->dtype == DTYPE_F32 && !p->quantized;
}

static bool supports_f64(const void *params)
{
    return ((const struct recurrent_params *)params)->dtype == DTYPE_F64;
}

#define RECURRENT(type, supports_function, workspace_function, tasks_function, run_function) \
    const struct kernel recurrent_##type##_reference = {                                     \
        .name = "recurrent_" #type "_reference",                                             \
        .family = FAMILY_recurrent,                                                          \
        .supports = supports_function,                                                       \
        .workspace_bytes = workspace_function,                                               \
        .tasks = tasks_function,                                                             \
        .run = run_function,                                                                 \
    };
RECURRENT(f32, supports_f32, recurrent_workspace_f32, recurrent_tasks, recurrent_run_f32)
RECURRENT(f64, supports_f64, recurrent_workspace_f64, recurrent_tasks, recurrent_run_f64)
RECURRENT(quantized_f32, supports_quantized, quantized_workspace, quantized_tasks, run_quantized)
