/* Places of elements, and threads that share what they fold. */
#ifndef INFER_KERNELS_CUDA_INDEX_H
#define INFER_KERNELS_CUDA_INDEX_H

#include "kernels/walk.h"

#include "kernels/cuda/cuda.h"

#include <cstring>

/* a / b and its remainder, neither negative: most fit 32 bits, which divide several times as fast. */
static __device__ __forceinline__ int64_t split_index(int64_t a, int64_t b, int64_t *rest)
{
    if (((uint64_t)(a | b) >> 32) == 0) {
        unsigned quotient = (unsigned)a / (unsigned)b;
        *rest = (int64_t)((unsigned)a - quotient * (unsigned)b);
        return (int64_t)quotient;
    }
    *rest = a % b;
    return a / b;
}

/* offset_at, with divisions of 32 bits where they do. */
static __device__ __forceinline__ int64_t place_at(int rank, const int64_t *dims, const int64_t *strides, int64_t index)
{
    int64_t offset = 0;
    for (int i = rank - 1; i > 0; i--) {
        int64_t along;
        index = split_index(index, dims[i], &along);
        offset += along * strides[i];
    }
    return rank > 0 ? offset + index * strides[0] : 0;
}

/* This thread's place among all of the grid, and how many there are. */
static __device__ __forceinline__ int64_t grid_thread()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
static __device__ __forceinline__ int64_t grid_threads()
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* Joins axis i + 1 into axis i of dims, of which `count` tensors have strides, where all of them walk both without a
 * gap. Returns the rank that is left. */
static inline int merge_axes(int rank, int64_t *dims, int count, int64_t *const *strides)
{
    for (int axis = rank - 2; axis >= 0; axis--) {
        bool joined = true;
        for (int i = 0; i < count; i++)
            joined = joined && strides[i][axis] == strides[i][axis + 1] * dims[axis + 1];
        if (!joined)
            continue;
        dims[axis] *= dims[axis + 1];
        for (int i = 0; i < count; i++)
            strides[i][axis] = strides[i][axis + 1];
        rank--;
        for (int later = axis + 1; later < rank; later++) {
            dims[later] = dims[later + 1];
            for (int i = 0; i < count; i++)
                strides[i][later] = strides[i][later + 1];
        }
    }
    return rank;
}

/* A block of TEAM_THREADS works on `across` results at once, and TEAM_THREADS / across threads share one: neighbouring
 * threads have neighbouring results (`together`), or neighbouring parts of one. Powers of two. */
#define TEAM_THREADS 256
struct teams {
    int across;
    bool together;
};

static __device__ __forceinline__ int team_size(teams t)
{
    return TEAM_THREADS / t.across;
}
static __device__ __forceinline__ int team_rank(teams t)
{
    return t.together ? (int)threadIdx.x / t.across : (int)threadIdx.x % team_size(t);
}
/* Which of the block's results is the thread's. */
static __device__ __forceinline__ int team_number(teams t)
{
    return t.together ? (int)threadIdx.x % t.across : (int)threadIdx.x / team_size(t);
}

/* What the lane has that differs from this one in these bits, of any type. */
template <typename A> static __device__ __forceinline__ A exchanged(A value, int lanes)
{
    int words[(sizeof(A) + 3) / 4] = {};
    memcpy(words, &value, sizeof value);
    for (int &word : words)
        word = __shfl_xor_sync(ALL_LANES, word, lanes);
    memcpy(&value, words, sizeof value);
    return value;
}

/* Folds what a team has, in a tree; all of it get the result. All threads of the block call this, with TEAM_THREADS
 * values of shared memory. */
template <typename A, typename F> static __device__ __forceinline__ A team_fold(teams t, A value, A *shared, F fold)
{
    int size = team_size(t), rank = team_rank(t), own = (int)threadIdx.x; /* a value a thread: no conflicts of banks */
    if (size == 1)
        return value;
    if (!t.together && size <= WARP) {
        for (int lanes = size / 2; lanes > 0; lanes /= 2)
            value = fold(value, exchanged(value, lanes));
        return value;
    }
    __syncthreads();
    shared[own] = value;
    int step = t.together ? t.across : 1; /* from one of a team to the next */
    for (int half = size / 2; half > 0; half /= 2) {
        __syncthreads();
        if (rank < half)
            shared[own] = fold(shared[own], shared[own + half * step]);
    }
    __syncthreads();
    return shared[own - rank * step];
}

/* Teams for so many results of `each` elements; near: neighbouring results are nearer in memory than what is folded. */
static inline teams teams_for(int64_t results, int64_t each, bool near)
{
    int across = 1;
    if (near) {
        /* A warp has neighbours; more threads than results need not fold. */
        while (across < TEAM_THREADS && (across < WARP || each * across < 16 * TEAM_THREADS) && across < results)
            across *= 2;
    } else {
        while (across < TEAM_THREADS && each * across < 4 * TEAM_THREADS)
            across *= 2;
    }
    return {across, near};
}

#endif
