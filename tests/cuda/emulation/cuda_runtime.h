/* What CUDA C++ has and C++ has not, for kernels that are compiled for the CPU: threads of a block are fibers, which
 * run one at a time and change at barriers and at what a warp does together (block.cc). */
#ifndef INFER_TESTS_CUDA_RUNTIME_H
#define INFER_TESTS_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>

#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __grid_constant__
#define __launch_bounds__(...)
#define __restrict__ __restrict
/* Of a constant table: `__constant__ const float table[]`. */
#define __constant__

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z)
    {
    }
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

namespace emulation
{

/* Not instrumented: what these functions touch is checked by themselves. */
#define EMULATION_PLAIN __attribute__((no_sanitize("thread"), noinline))

struct thread {
    uint3 index;
    unsigned lane, warp;
};
struct block {
    uint3 index;
    dim3 dim, grid;
    unsigned char *shared;
};
/* __thread, whose variables need no function to be found, as thread_local's do. */
extern __thread thread *self;
extern __thread block *here;

void block_barrier();
void warp_barrier(unsigned mask);
/* What all lanes of the mask gave, by lane; valid up to the lane's next exchange. */
struct given {
    alignas(16) unsigned char bytes[64];
};
const given *exchange(unsigned mask, const void *mine, size_t bytes);
/* Whether the compiler instruments what includes this: else nobody knows who has written shared memory. */
#ifdef __SANITIZE_THREAD__
#define EMULATION_WATCHED true
#else
#define EMULATION_WATCHED false
#endif
/* An access of the kernel outside of what the compiler instruments; pc: where in the kernel. */
void check_read(const void *from, size_t bytes, const void *pc, bool all_writes_known = EMULATION_WATCHED);
void check_write(void *to, size_t bytes, const void *pc);
void check_atomic(void *at, size_t bytes);
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Asynchronous copies of the calling thread. zero: writes zeros. */
void copy_async(void *to, const void *from, size_t bytes, bool zero, const void *pc);
void copy_async_commit();
void copy_async_wait(int groups_left);

/* d += a b of fragments that the lanes of a warp hold (matrix.cc). */
void multiply_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void multiply_i8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bool a_signed, bool b_signed);

/* Calls a kernel with a copy of its arguments. */
typedef void caller(const void *kernel, const void *arguments);
struct shape {
    dim3 grid, block;
    size_t shared;
};
cudaError_t launch(caller *call, const void *kernel, const shape &shape, cudaStream_t stream, const void *arguments,
                   size_t bytes);
void allow_shared(const void *kernel, size_t bytes);

template <typename A> EMULATION_PLAIN void call_kernel(const void *kernel, const void *arguments)
{
    A copy;
    memcpy((void *)&copy, arguments, sizeof copy);
    ((void (*)(A))kernel)(copy);
}

template <typename T> EMULATION_PLAIN T shuffle(unsigned mask, T value, unsigned lane)
{
    T result;
    static_assert(sizeof value <= sizeof(given), "what a lane gives is at most 64 bytes");
    memcpy((void *)&result, exchange(mask, &value, sizeof value)[lane % 32].bytes, sizeof result);
    return result;
}

template <typename T, typename F> EMULATION_PLAIN T atomic(T *at, F change)
{
    check_atomic(at, sizeof *at);
    T before = *at;
    *at = change(before);
    return before;
}

} // namespace emulation

#define threadIdx (emulation::self->index)
#define blockIdx (emulation::here->index)
#define blockDim (emulation::here->dim)
#define gridDim (emulation::here->grid)

inline void __syncthreads()
{
    emulation::block_barrier();
}
inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    emulation::warp_barrier(mask);
}
inline void __threadfence()
{
}

template <typename T> T __shfl_sync(unsigned mask, T value, int lane, int width = 32)
{
    unsigned base = emulation::self->lane / width * width;
    return emulation::shuffle(mask, value, base + (unsigned)lane % width);
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32)
{
    unsigned lane = emulation::self->lane, other = lane ^ (unsigned)lanes;
    return emulation::shuffle(mask, value, other / width == lane / width ? other : lane);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32)
{
    unsigned lane = emulation::self->lane, other = lane + lanes;
    return emulation::shuffle(mask, value, other / width == lane / width ? other : lane);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32)
{
    unsigned lane = emulation::self->lane;
    return emulation::shuffle(mask, value, lane % width >= lanes ? lane - lanes : lane);
}
EMULATION_PLAIN inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    unsigned votes = 0;
    const emulation::given *all = emulation::exchange(mask, &predicate, sizeof predicate);
    for (unsigned lane = 0; lane < 32; lane++) {
        int theirs;
        memcpy(&theirs, all[lane].bytes, sizeof theirs);
        votes |= (mask >> lane & 1 && theirs) ? 1u << lane : 0;
    }
    return votes;
}
inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) == mask;
}
template <typename T> T atomicAdd(T *at, T value)
{
    return emulation::atomic(at, [=](T x) { return (T)(x + value); });
}
template <typename T> T atomicMin(T *at, T value)
{
    return emulation::atomic(at, [=](T x) { return value < x ? value : x; });
}
template <typename T> T atomicMax(T *at, T value)
{
    return emulation::atomic(at, [=](T x) { return value > x ? value : x; });
}
template <typename T> T atomicExch(T *at, T value)
{
    return emulation::atomic(at, [=](T) { return value; });
}
template <typename T> T atomicOr(T *at, T value)
{
    return emulation::atomic(at, [=](T x) { return (T)(x | value); });
}
template <typename T> T atomicCAS(T *at, T expected, T value)
{
    return emulation::atomic(at, [=](T x) { return x == expected ? value : x; });
}

template <typename T> T __ldg(const T *at)
{
    return *at;
}
inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}
inline double rsqrt(double x)
{
    return 1 / sqrt(x);
}
inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline int __float_as_int(float x)
{
    return (int)__float_as_uint(x);
}
inline float __uint_as_float(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline float __int_as_float(int bits)
{
    return __uint_as_float((unsigned)bits);
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}

#endif
