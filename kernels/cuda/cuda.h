/* What every kernel for CUDA uses. A file a family: device code, and below it the family's struct kernel, whose run()
 * enqueues. The same files are compiled by nvcc for GPUs and by a C++ compiler against tests/cuda/emulation, so they
 * use what both have:
 *
 *   - shared memory is dynamic: shared_memory<T>(); a block has whole warps of threads;
 *   - blocks do not wait for each other, and sums go in an order that the problem fixes: a second kernel adds up what
 *     blocks leave, floating-point atomics are not used;
 *   - no pointer of the host: what a kernel needs is in the one struct it takes, by value;
 *   - a product and a sum are fmaf where they are to be one operation; nvcc contracts nothing by itself;
 *   - what PTX alone can say is in kernels/cuda/ptx.h. */
#ifndef INFER_KERNELS_CUDA_CUDA_H
#define INFER_KERNELS_CUDA_CUDA_H

#include "kernels/kernel.h"

#include <cuda_runtime.h>

#define WARP 32
#define ALL_LANES 0xffffffffu
/* Before a loop whose array is to be in registers; before one whose body is to be there once. */
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")
#else
#define UNROLL
#define ROLLED
#endif

/* --- on the device --------------------------------------------------------------------------------------------- */

template <typename T> static __device__ __forceinline__ T *shared_memory()
{
#ifdef __CUDACC__
    extern __shared__ __align__(128) unsigned char infer_shared[];
    return reinterpret_cast<T *>(infer_shared);
#else
    return reinterpret_cast<T *>(emulation::here->shared);
#endif
}

/* Folds what the lanes of a whole warp have, in one tree; every lane gets the result. */
template <typename T, typename F> static __device__ __forceinline__ T warp_fold(T value, F fold)
{
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2)
        value = fold(value, __shfl_xor_sync(ALL_LANES, value, lanes));
    return value;
}

/* The same for a block of whole warps. `shared`: a T a warp, that nobody uses meanwhile. */
template <typename T, typename F> static __device__ __forceinline__ T block_fold(T value, T *shared, F fold)
{
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    value = warp_fold(value, fold);
    __syncthreads();
    if (lane == 0)
        shared[warp] = value;
    __syncthreads();
    value = shared[0];
    for (int i = 1; i < warps; i++)
        value = fold(value, shared[i]);
    return value;
}

/* A number of the record of faults, which other blocks may change at any time. */
static __device__ __forceinline__ uint64_t fault_number(uint64_t *at)
{
    return (uint64_t)atomicOr((unsigned long long *)at, 0ull);
}
static __device__ __forceinline__ void set_fault_number(void *at, uint64_t number)
{
    atomicExch((unsigned long long *)at, (unsigned long long)number);
}

/* Notes a fault, if it is of the first step that has one and has the least key of its faults. The key is written before
 * the step, so that whoever finds the step finds a key that no later one exceeds: all but a few of many faults are done
 * with the first look. */
static __device__ __forceinline__ void note_fault(struct device_fault *record, uint32_t step, uint64_t key, int64_t a,
                                                  int64_t b, int64_t c)
{
    uint32_t first = atomicOr(&record->step, 0u);
    __threadfence();
    if (first != 0 && (first != step + 1 || fault_number(&record->key) <= key))
        return;
    while (atomicCAS(&record->lock, 0u, 1u) != 0)
        ;
    __threadfence();
    if (atomicOr(&record->step, 0u) == 0 || key < fault_number(&record->key)) {
        set_fault_number(&record->key, key);
        set_fault_number(&record->details[0], (uint64_t)a);
        set_fault_number(&record->details[1], (uint64_t)b);
        set_fault_number(&record->details[2], (uint64_t)c);
        __threadfence();
        atomicExch(&record->step, step + 1);
    }
    __threadfence();
    atomicExch(&record->lock, 0u);
}

/* --- on the host ------------------------------------------------------------------------------------------------- */

/* Enqueues a kernel on the stream of the call. What goes wrong is the call's fault. */
template <typename A>
static inline void cuda_launch(const struct kernel_call *call, void (*kernel)(A), dim3 grid, dim3 block, size_t shared,
                               const A &arguments)
{
    static_assert(sizeof(A) <= 4096, "arguments of a kernel are at most 4096 bytes");
    cudaStream_t stream = (cudaStream_t)call->stream;
    cudaError_t error = cudaSuccess;
#ifdef __CUDACC__
    void *list[] = {const_cast<A *>(&arguments)};
    if (shared > 48u << 10)
        error = cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (error == cudaSuccess)
        error = cudaLaunchKernel(reinterpret_cast<const void *>(kernel), grid, block, list, shared, stream);
#else
    if (shared > 48u << 10)
        emulation::allow_shared((const void *)kernel, shared);
    error = emulation::launch(emulation::call_kernel<A>, (const void *)kernel, {grid, block, shared}, stream,
                              &arguments, sizeof arguments);
#endif
    if (error != cudaSuccess)
        kernel_fault(call, "cudaLaunchKernel: %s", cudaGetErrorString(error));
}

/* Blocks for so many items, at most as many as a grid may have along x. Kernels go on by grid_items() if there are
 * more.
 */
static inline unsigned grid_for(int64_t items, int64_t a_block)
{
    int64_t blocks = (items + a_block - 1) / a_block;
    return (unsigned)(blocks > 0x7fffffff ? 0x7fffffff : blocks);
}

#endif
