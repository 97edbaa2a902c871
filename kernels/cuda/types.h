/* The numeric types as kernels compute with them: T lies in memory, V is what it is computed in, U the type whose sums
 * and products wrap as the element's must (V for floats). A value that is not equal to itself is a NaN. */
#ifndef INFER_KERNELS_CUDA_TYPES_H
#define INFER_KERNELS_CUDA_TYPES_H

#include "kernels/convert.h"

#include "kernels/cuda/ptx.h"

template <typename TYPE, typename WRAPPING> struct numeric {
    typedef TYPE T;
    typedef TYPE V;
    typedef WRAPPING U;
    static __device__ __forceinline__ V load(T x)
    {
        return x;
    }
    static __device__ __forceinline__ T store(V x)
    {
        return x;
    }
};
struct numeric_f16 {
    typedef uint16_t T;
    typedef float V;
    typedef float U;
    static __device__ __forceinline__ V load(T x)
    {
        return from_f16(x);
    }
    static __device__ __forceinline__ T store(V x)
    {
        return to_f16(x);
    }
};
struct numeric_bf16 {
    typedef uint16_t T;
    typedef float V;
    typedef float U;
    static __device__ __forceinline__ V load(T x)
    {
        return from_bf16(x);
    }
    static __device__ __forceinline__ T store(V x)
    {
        return f32_to_bf16(x);
    }
};

/* Calls `use` with a value of the type's struct. False: it is not numeric. */
template <typename F> static inline bool with_integer(unsigned dtype, F use)
{
    switch (dtype) {
    case DTYPE_I8:
        return use(numeric<int8_t, uint32_t>()), true;
    case DTYPE_I16:
        return use(numeric<int16_t, uint32_t>()), true;
    case DTYPE_I32:
        return use(numeric<int32_t, uint32_t>()), true;
    case DTYPE_I64:
        return use(numeric<int64_t, uint64_t>()), true;
    case DTYPE_U8:
        return use(numeric<uint8_t, uint32_t>()), true;
    case DTYPE_U16:
        return use(numeric<uint16_t, uint32_t>()), true;
    case DTYPE_U32:
        return use(numeric<uint32_t, uint32_t>()), true;
    case DTYPE_U64:
        return use(numeric<uint64_t, uint64_t>()), true;
    default:
        return false;
    }
}
template <typename F> static inline bool with_numeric(unsigned dtype, F use)
{
    switch (dtype) {
    case DTYPE_F32:
        return use(numeric<float, float>()), true;
    case DTYPE_F64:
        return use(numeric<double, double>()), true;
    case DTYPE_F16:
        return use(numeric_f16()), true;
    case DTYPE_BF16:
        return use(numeric_bf16()), true;
    default:
        return with_integer(dtype, use);
    }
}
static inline bool is_numeric(unsigned dtype)
{
    return with_numeric(dtype, [](auto) {});
}

/* Elements that are moved, by their size. */
template <typename F> static inline void with_bytes(unsigned bytes, F use)
{
    switch (bytes) {
    case 1:
        return use(uint8_t());
    case 2:
        return use(uint16_t());
    case 4:
        return use(uint32_t());
    case 8:
        return use(uint2());
    default:
        return use(uint4());
    }
}

#endif
