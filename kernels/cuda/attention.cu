/* Family attention, fused: a block of threads takes QUERIES queries of a head past all the keys that they see, KEYS at
 * a time. Scores, weights and what they make of the values stay in registers and shared memory. As in the reference
 * kernel the largest score so far and the sum of exponentials go along, and what is summed is a mean at all times. */
#include "kernels/attention.h"

#include "kernels/cuda/product.h"

#define QUERIES 64
#define KEYS 64
#define SLICE 16   /* of a query and a key, or of keys and values, in shared memory at once */
#define VALUES 128 /* columns of values that a block makes; more are other blocks' work, on the same scores */
#define SIDE 16    /* threads along queries, and along keys or values */
#define PITCH (QUERIES + 4)
#define VALUE_PITCH (VALUES + 4)

struct attention_arguments {
    struct attention_params p;
    const void *q, *k, *v, *mask;
    void *y;
};

static __device__ __forceinline__ float power(float x)
{
    return expf(x);
}
static __device__ __forceinline__ double power(double x)
{
    return exp(x);
}
static __device__ __forceinline__ float hyperbolic_tangent(float x)
{
    return tanhf(x);
}
static __device__ __forceinline__ double hyperbolic_tangent(double x)
{
    return tanh(x);
}

/* The larger; a NaN if there is one. */
template <typename T> static __device__ __forceinline__ T larger(T a, T b)
{
    return a > b || a != a ? a : b;
}

/* Folds what the threads of the same queries have. */
template <typename T, typename F> static __device__ __forceinline__ T fold_side(T value, F fold)
{
    for (int lanes = SIDE / 2; lanes > 0; lanes /= 2)
        value = fold(value, __shfl_xor_sync(ALL_LANES, value, lanes));
    return value;
}

/* ROWS x COLUMNS to shared memory, zero past the ends; TURNED: column by column. */
template <int ROWS, int COLUMNS, bool TURNED, typename T>
static __device__ __forceinline__ void load_block(T *to, int pitch, const T *from, const attention_strides &s,
                                                  int64_t rows, int64_t columns)
{
    bool across = s.column == 1;
    for (int i = threadIdx.x; i < ROWS * COLUMNS; i += SIDE * SIDE) {
        int r = across ? i / COLUMNS : i % ROWS, c = across ? i % COLUMNS : i / ROWS;
        to[TURNED ? c * pitch + r : r * pitch + c] = r < rows && c < columns ? from[r * s.row + c * s.column] : (T)0;
    }
}

/* What a thread has of its four queries. */
template <typename T> struct attention_queries {
    int from[4], to[4]; /* the keys that they see */
    T most[4], sum[4];
    bool seen[4]; /* a key that nothing excludes */
    T means[4][VALUES / SIDE];
};

/* Four queries by four keys: scores before anything is done to them. */
template <typename T>
static __device__ __forceinline__ void score(const attention_arguments &a, const T *q, const T *k, int64_t queries,
                                             int64_t keys, T *shared, T (&scores)[4][4])
{
    int down = threadIdx.x / SIDE * 4, across = threadIdx.x % SIDE * 4;
    T *q_slice = shared, *k_slice = shared + SLICE * PITCH;
    for (int64_t d = 0; d < a.p.head; d += SLICE) {
        __syncthreads();
        load_block<QUERIES, SLICE, true>(q_slice, PITCH, q + d * a.p.q.column, a.p.q, queries, a.p.head - d);
        load_block<KEYS, SLICE, true>(k_slice, PITCH, k + d * a.p.k.column, a.p.k, keys, a.p.head - d);
        __syncthreads();
        UNROLL
        for (int i = 0; i < SLICE; i++) {
            T left[4], right[4];
            read_four(left, q_slice + i * PITCH + down);
            read_four(right, k_slice + i * PITCH + across);
            UNROLL
            for (int r = 0; r < 4; r++)
                UNROLL
            for (int c = 0; c < 4; c++)
                scores[r][c] = multiply_add(left[r], right[c], scores[r][c]);
        }
    }
}

/* Scales, caps and masks a score; *excluded: the mask says that the key is not to count. */
template <typename T>
static __device__ __forceinline__ T finish_score(const attention_arguments &a, int64_t mask, T x, bool *excluded)
{
    T cap = (T)a.p.softcap;
    x *= (T)a.p.scale;
    if (cap > 0)
        x = hyperbolic_tangent(x / cap) * cap;
    *excluded = false;
    if (a.p.mask_dtype == DTYPE_BOOL) {
        *excluded = !((const uint8_t *)a.mask)[mask];
        return *excluded ? -(T)INFINITY : x;
    }
    if (!a.mask)
        return x;
    T added = ((const T *)a.mask)[mask];
    *excluded = added == -(T)INFINITY;
    return x + added;
}

/* Scores of keys from `key` on become weights, in shared memory by key; what was summed before shrinks. */
template <typename T>
static __device__ __forceinline__ void weigh(const attention_arguments &a, int64_t mask, int first, int key,
                                             attention_queries<T> &mine, T (&scores)[4][4], T *weights)
{
    int down = threadIdx.x / SIDE * 4, across = threadIdx.x % SIDE * 4;
    UNROLL
    for (int r = 0; r < 4; r++) {
        T most = mine.most[r], sum = 0;
        bool seen = false;
        UNROLL
        for (int c = 0; c < 4; c++) {
            int at = key + across + c;
            bool excluded = true;
            if (at >= mine.from[r] && at < mine.to[r]) {
                int64_t place = mask + (first + down + r) * a.p.mask.row + at * a.p.mask.column;
                scores[r][c] = finish_score(a, place, scores[r][c], &excluded);
                most = larger(most, scores[r][c]);
            } else {
                scores[r][c] = -(T)INFINITY;
            }
            seen = seen || !excluded;
        }
        most = fold_side(most, [](T x, T y) { return larger(x, y); });
        mine.seen[r] = fold_side((int)seen, [](int x, int y) { return x | y; }) || mine.seen[r];
        bool none = most == -(T)INFINITY; /* exp(-inf - -inf) would be NaN, and the keys to come may have scores */
        UNROLL
        for (int c = 0; c < 4; c++) {
            int at = key + across + c;
            bool sees = at >= mine.from[r] && at < mine.to[r];
            scores[r][c] = none || !sees ? (T)0 : power(scores[r][c] - most);
            sum += scores[r][c];
        }
        sum = fold_side(sum, [](T x, T y) { return x + y; });
        T kept = none ? (T)0 : mine.sum[r] * power(mine.most[r] - most), all = kept + sum;
        T part = none ? (T)0 : 1 / all, shrink = none ? (T)1 : kept / all;
        mine.most[r] = most;
        mine.sum[r] = all;
        UNROLL
        for (int c = 0; c < 4; c++)
            weights[(across + c) * PITCH + down + r] = scores[r][c] * part;
        UNROLL
        for (int j = 0; j < VALUES / SIDE; j++)
            mine.means[r][j] *= shrink;
    }
}

/* means += weights V. A value beyond the window of a query is not looked at: it may be a NaN. */
template <typename T>
static __device__ __forceinline__ void add_values(const attention_arguments &a, const T *v, int key, int keys,
                                                  int64_t columns, const T *weights, T *shared,
                                                  attention_queries<T> &mine)
{
    int down = threadIdx.x / SIDE * 4, across = threadIdx.x % SIDE * 4;
    bool whole = true;
    UNROLL
    for (int r = 0; r < 4; r++)
        whole = whole && mine.from[r] <= key && mine.to[r] >= key + keys;
    for (int k = 0; k < keys; k += SLICE) {
        __syncthreads();
        load_block<SLICE, VALUES, false>(shared, VALUE_PITCH, v + k * a.p.v.row, a.p.v, keys - k, columns);
        __syncthreads();
        for (int i = 0; i < SLICE && k + i < keys; i++) {
            T left[4], right[VALUES / SIDE];
            int at = key + k + i;
            read_four(left, weights + (k + i) * PITCH + down);
            UNROLL
            for (int j = 0; j < VALUES / SIDE; j += 4)
                read_four(right + j, shared + i * VALUE_PITCH + across + j * SIDE);
            UNROLL
            for (int r = 0; r < 4; r++)
                if (whole || (at >= mine.from[r] && at < mine.to[r]))
                    UNROLL
            for (int j = 0; j < VALUES / SIDE; j++)
                mine.means[r][j] = multiply_add(left[r], right[j], mine.means[r][j]);
        }
    }
}

template <typename T>
static __device__ __forceinline__ void store_means(const attention_arguments &a, T *y, int first, int column,
                                                   const attention_queries<T> &mine)
{
    const attention_params &p = a.p;
    int down = threadIdx.x / SIDE * 4, across = threadIdx.x % SIDE * 4;
    T blind = p.blind_is_zero || p.keys == 0 ? (T)0 : (T)NAN;
    UNROLL
    for (int r = 0; r < 4; r++) {
        bool is_blind = mine.most[r] == -(T)INFINITY || (p.blind_is_zero && !mine.seen[r]);
        if (first + down + r >= p.queries)
            continue;
        UNROLL
        for (int j = 0; j < VALUES / SIDE; j++) {
            int at = column + across + j / 4 * (4 * SIDE) + j % 4;
            if (at < p.v_head)
                y[(first + down + r) * p.y.row + at * p.y.column] = is_blind ? blind : mine.means[r][j];
        }
    }
}

/* The keys [*from, *to) that a query sees, as attention_window says. */
static __device__ __forceinline__ void window_of(const attention_params &p, int64_t query, int *from, int *to)
{
    int64_t begin = query + p.first, end = query + p.last + 1;
    begin = begin < 0 ? 0 : begin < p.keys ? begin : p.keys;
    end = end < begin ? begin : end < p.keys ? end : p.keys;
    *from = (int)begin;
    *to = (int)end;
}

template <typename T>
static __global__ void __launch_bounds__(SIDE *SIDE) attend(const __grid_constant__ attention_arguments a)
{
    const attention_params &p = a.p;
    T *shared = shared_memory<T>(), *weights = shared + 2 * SLICE * PITCH;
    int64_t bands = (p.queries + QUERIES - 1) / QUERIES, parts = (p.v_head + VALUES - 1) / VALUES;
    for (int64_t index = blockIdx.x; index < bands * parts * p.heads * p.batch; index += gridDim.x) {
        int first = (int)(index % bands * QUERIES), column = (int)(index / bands % parts * VALUES);
        int64_t head = index / bands / parts % p.heads, batch = index / bands / parts / p.heads;
        const T *q = (const T *)a.q + batch * p.q.batch + head * p.q.head + first * p.q.row;
        const T *k = (const T *)a.k + batch * p.k.batch + head / p.group * p.k.head;
        const T *v = (const T *)a.v + batch * p.v.batch + head / p.group * p.v.head + column * p.v.column;
        int64_t mask = batch * p.mask.batch + head * p.mask.head;
        int last = (int)(p.queries - first < QUERIES ? p.queries : first + QUERIES), from, to, unused;
        attention_queries<T> mine;
        UNROLL
        for (int r = 0; r < 4; r++) {
            int query = first + threadIdx.x / SIDE * 4 + r;
            window_of(p, query < last ? query : last - 1, &mine.from[r], &mine.to[r]);
            mine.most[r] = -(T)INFINITY;
            mine.sum[r] = 0;
            mine.seen[r] = false;
            UNROLL
            for (int j = 0; j < VALUES / SIDE; j++)
                mine.means[r][j] = 0;
            if (query >= last)
                mine.to[r] = mine.from[r];
        }
        window_of(p, first, &from, &unused);
        window_of(p, last - 1, &unused, &to);
        for (int key = from; key < to; key += KEYS) {
            T scores[4][4] = {};
            int keys = to - key < KEYS ? to - key : KEYS;
            score(a, q, k + key * p.k.row, last - first, keys, shared, scores);
            __syncthreads();
            weigh(a, mask, first, key, mine, scores, weights);
            add_values(a, v + key * p.v.row, key, keys, p.v_head - column, weights, shared, mine);
        }
        store_means(a, (T *)a.y + batch * p.y.batch + head * p.y.head, first, column, mine);
        __syncthreads();
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

template <typename T> static void enqueue(const struct kernel_call *call, const attention_arguments &a)
{
    int64_t blocks = divide_up(a.p.queries, QUERIES) * divide_up(a.p.v_head, VALUES) * a.p.heads * a.p.batch;
    cuda_launch(call, attend<T>, grid_for(blocks, 1), SIDE * SIDE, (2 * SLICE + KEYS) * PITCH * sizeof(T), a);
}

static void attention_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct attention_params *p = (const struct attention_params *)plan->params;
    attention_arguments a = {*p,
                             call->inputs[0],
                             call->inputs[1],
                             call->inputs[2],
                             p->mask_dtype == DTYPE_NONE ? nullptr : call->inputs[3],
                             call->outputs[0]};
    (void)task;
    if (p->batch * p->heads * p->queries * p->v_head == 0)
        return;
    if (p->dtype == DTYPE_F32)
        enqueue<float>(call, a);
    else
        enqueue<double>(call, a);
}

static bool attention_supports(const void *params)
{
    const struct attention_params *p = (const struct attention_params *)params;
    const int64_t most = PRODUCT_LONGEST;
    bool fits = p->queries < most && p->keys < most && p->head < most && p->v_head < most;
    return fits && (p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64);
}

extern "C" const struct kernel attention_cuda = {
    .name = "attention_cuda",
    .family = FAMILY_attention,
    .requires = DEVICE_CUDA,
    .supports = attention_supports,
    .run = attention_run,
};
