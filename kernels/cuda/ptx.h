/* What only PTX says: asynchronous copies to shared memory, fragments of matrices, tensor cores. Each function is one
 * instruction; its fragments lie as the PTX ISA (chapter 9.7, "Warp-level matrix instructions") draws them. The
 * emulation has the same functions in plain C++. */
#ifndef INFER_KERNELS_CUDA_PTX_H
#define INFER_KERNELS_CUDA_PTX_H

#include "kernels/cuda/cuda.h"

#ifdef __CUDACC__

/* Before sm_80 copies are plain ones, done at once. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define INFER_BEFORE_SM80 1
#else
#define INFER_BEFORE_SM80 0
#endif

/* Copies 16 bytes from device to shared memory; where `valid` is false it writes zeros, and reads nothing. */
static __device__ __forceinline__ void copy_async_16(void *shared, const void *global, bool valid)
{
#if INFER_BEFORE_SM80
    *(uint4 *)shared = valid ? *(const uint4 *)global : make_uint4(0, 0, 0, 0);
#else
    unsigned to = (unsigned)__cvta_generic_to_shared(shared), bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(global), "r"(bytes) : "memory");
#endif
}
/* The same for 4 bytes. */
static __device__ __forceinline__ void copy_async_4(void *shared, const void *global, bool valid)
{
#if INFER_BEFORE_SM80
    *(uint32_t *)shared = valid ? *(const uint32_t *)global : 0;
#else
    unsigned to = (unsigned)__cvta_generic_to_shared(shared), bytes = valid ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(global), "r"(bytes) : "memory");
#endif
}
/* Ends a group of copies; waits until at most so many of the thread's latest groups are under way. */
static __device__ __forceinline__ void copy_async_commit()
{
#if !INFER_BEFORE_SM80
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
template <int GROUPS_LEFT> static __device__ __forceinline__ void copy_async_wait()
{
#if !INFER_BEFORE_SM80
    asm volatile("cp.async.wait_group %0;\n" ::"n"(GROUPS_LEFT) : "memory");
#endif
}

/* Four 8x8 matrices of 16-bit elements; lane 8 i + j gives the address of row j of matrix i. */
static __device__ __forceinline__ void load_matrix_x4(uint32_t (&to)[4], const void *row)
{
    unsigned from = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
}
static __device__ __forceinline__ void load_matrix_x4_transposed(uint32_t (&to)[4], const void *row)
{
    unsigned from = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
}

/* Products of tensor cores: d [16, 8] += a [16, K] b [K, 8] by a warp. A register of a or b holds 4 bytes of k: E
 * elements, the first in the lowest bits; K is 8 E, and H half of it. What lane 4 g + t has (PTX ISA, "Matrix Fragments
 * for mma.m16n8k16 with floating point type", and its like for .tf32 and for integers):
 *
 *     a[0]: row g,     from k = E t          b[0]: column g, from k = E t
 *     a[1]: row g + 8, from k = E t          b[1]: column g, from k = H + E t
 *     a[2]: row g,     from k = H + E t      d[0], d[1]: row g,     columns 2 t and the next
 *     a[3]: row g + 8, from k = H + E t      d[2], d[3]: row g + 8, the same */

/* Of half precision (E = 2), sums in f32. Before sm_80 it takes two halves of that depth. */
static __device__ __forceinline__ void multiply_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#if INFER_BEFORE_SM80
    for (int half = 0; half < 2; half++)
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, "
                     "{%0, %1, %2, %3};\n"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
/* Of bfloat16 (E = 2); from sm_80, as TF32: code for earlier ones is never reached. */
static __device__ __forceinline__ void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#if INFER_BEFORE_SM80
    __trap();
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
/* Of TF32 (E = 1): f32 whose lowest 13 bits do not count. */
static __device__ __forceinline__ void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#if INFER_BEFORE_SM80
    __trap();
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
/* Of 8-bit integers (E = 4), signed or not, sums in i32, which wrap. Before sm_80 it takes four parts of 8 rows and
 * half the depth. */
template <bool A_SIGNED, bool B_SIGNED>
static __device__ __forceinline__ void multiply_i8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#if INFER_BEFORE_SM80
#define INFER_MMA_I8(types)                                                                             \
    for (int part = 0; part < 4; part++)                                                                \
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32." types ".s32 {%0, %1}, {%2}, {%3}, {%0, %1};\n" \
                 : "+r"(d[2 * (part % 2)]), "+r"(d[2 * (part % 2) + 1])                                 \
                 : "r"(a[part]), "r"(b[part / 2]))
#else
#define INFER_MMA_I8(types)                                                                                 \
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." types ".s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, " \
                 "{%8, %9}, {%0, %1, %2, %3};\n"                                                            \
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                                           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#endif
    if (A_SIGNED && B_SIGNED)
        INFER_MMA_I8("s8.s8");
    else if (A_SIGNED)
        INFER_MMA_I8("s8.u8");
    else if (B_SIGNED)
        INFER_MMA_I8("u8.s8");
    else
        INFER_MMA_I8("u8.u8");
#undef INFER_MMA_I8
}
/* The nearest TF32, halves away from zero. */
static __device__ __forceinline__ uint32_t to_tf32(float x)
{
    uint32_t bits;
#if INFER_BEFORE_SM80
    bits = __float_as_uint(x);
#else
    asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(bits) : "f"(x));
#endif
    return bits;
}
/* Two numbers rounded to half precision (bfloat16), the first in the low half. */
static __device__ __forceinline__ uint32_t pack_f16(float low, float high)
{
    uint32_t both;
    asm("{.reg .f16 l, h; cvt.rn.f16.f32 l, %1; cvt.rn.f16.f32 h, %2; mov.b32 %0, {l, h};}\n"
        : "=r"(both)
        : "f"(low), "f"(high));
    return both;
}
static __device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
    uint32_t both;
#if INFER_BEFORE_SM80
    both = 0;
#else
    asm("cvt.rn.bf16x2.f32 %0, %2, %1;\n" : "=r"(both) : "f"(low), "f"(high));
#endif
    return both;
}
static __device__ __forceinline__ float from_f16(uint16_t bits)
{
    float x;
    asm("{.reg .f16 h; mov.b16 h, %1; cvt.f32.f16 %0, h;}\n" : "=f"(x) : "h"(bits));
    return x;
}
static __device__ __forceinline__ uint16_t to_f16(float x)
{
    return (uint16_t)pack_f16(x, 0);
}

/* The address, in a register from here on. Else compilers may find that a kernel has less to keep if it multiplies its
 * way to the address anew in each turn of a loop. Not before sm_80, whose loops hold what they copy in registers. */
template <typename T> static __device__ __forceinline__ const T *computed_here(const T *address)
{
#if !INFER_BEFORE_SM80
    asm volatile("" : "+l"(address));
#endif
    return address;
}

/* 16 bytes at once, or 8, from an address that is a multiple of them. */
template <typename T> static __device__ __forceinline__ uint4 load_16(const T *from)
{
    return *reinterpret_cast<const uint4 *>(from);
}
template <typename T> static __device__ __forceinline__ void store_16(T *to, uint4 value)
{
    *reinterpret_cast<uint4 *>(to) = value;
}
static __device__ __forceinline__ float4 load_float4(const float *from)
{
    return *reinterpret_cast<const float4 *>(from);
}
static __device__ __forceinline__ void store_two(float *to, float first, float second)
{
    *reinterpret_cast<float2 *>(to) = make_float2(first, second);
}
static __device__ __forceinline__ void store_two(uint32_t *to, uint32_t first, uint32_t second)
{
    *reinterpret_cast<uint2 *>(to) = make_uint2(first, second);
}

#else
#include <emulated_ptx.h> /* of tests/cuda/emulation, which stands in for the toolkit */
#endif

static __device__ __forceinline__ float from_bf16(uint16_t bits)
{
    return __uint_as_float((unsigned)bits << 16);
}

#endif
