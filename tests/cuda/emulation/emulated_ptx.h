/* The functions of kernels/cuda/ptx.h in plain C++, by the PTX ISA's words and drawings. What a warp does together is
 * an exchange of what its lanes hold. */
#ifndef INFER_TESTS_CUDA_EMULATED_PTX_H
#define INFER_TESTS_CUDA_EMULATED_PTX_H

EMULATION_PLAIN static inline void copy_async_16(void *shared, const void *global, bool valid)
{
    emulation::copy_async(shared, global, 16, !valid, __builtin_return_address(0));
}
EMULATION_PLAIN static inline void copy_async_4(void *shared, const void *global, bool valid)
{
    emulation::copy_async(shared, global, 4, !valid, __builtin_return_address(0));
}
static inline void copy_async_commit()
{
    emulation::copy_async_commit();
}
template <int GROUPS_LEFT> static inline void copy_async_wait()
{
    emulation::copy_async_wait(GROUPS_LEFT);
}

/* Lane l gets elements 2 (l % 4) and the next of row l / 4 of each matrix; transposed: of column l / 4. */
template <bool TRANSPOSED> EMULATION_PLAIN static inline void load_matrices(uint32_t (&to)[4], const void *row)
{
    emulation::check_read(row, 16, __builtin_return_address(0));
    const emulation::given *rows = emulation::exchange(ALL_LANES, row, 16);
    unsigned lane = emulation::self->lane;
    for (unsigned i = 0; i < 4; i++)
        for (unsigned half = 0; half < 2; half++) {
            unsigned r = lane / 4, c = 2 * (lane % 4) + half;
            uint16_t element;
            memcpy(&element, rows[8 * i + (TRANSPOSED ? c : r)].bytes + 2 * (TRANSPOSED ? r : c), 2);
            to[i] = half ? to[i] | (uint32_t)element << 16 : element;
        }
}
static inline void load_matrix_x4(uint32_t (&to)[4], const void *row)
{
    load_matrices<false>(to, row);
}
static inline void load_matrix_x4_transposed(uint32_t (&to)[4], const void *row)
{
    load_matrices<true>(to, row);
}

static inline float from_f16(uint16_t bits)
{
    _Float16 x;
    memcpy(&x, &bits, sizeof x);
    return (float)x;
}
static inline uint16_t to_f16(float x)
{
    _Float16 rounded = (_Float16)x;
    uint16_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return bits;
}
static inline uint32_t pack_f16(float low, float high)
{
    return to_f16(low) | (uint32_t)to_f16(high) << 16;
}
static inline uint16_t round_to_bf16(float x)
{
    unsigned bits = __float_as_uint(x);
    if (x != x)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static inline uint32_t pack_bf16(float low, float high)
{
    return round_to_bf16(low) | (uint32_t)round_to_bf16(high) << 16;
}
static inline uint32_t to_tf32(float x)
{
    unsigned bits = __float_as_uint(x);
    return (bits & 0x7f800000) == 0x7f800000 ? bits : (bits + 0x1000) & ~0x1fffu;
}

static inline void multiply_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    emulation::multiply_f16(d, a, b);
}
static inline void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    emulation::multiply_bf16(d, a, b);
}
static inline void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    emulation::multiply_tf32(d, a, b);
}
template <bool A_SIGNED, bool B_SIGNED>
static inline void multiply_i8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    emulation::multiply_i8(d, a, b, A_SIGNED, B_SIGNED);
}

template <typename T> static inline const T *computed_here(const T *address)
{
    return address;
}

template <typename T> EMULATION_PLAIN static inline uint4 load_16(const T *from)
{
    uint4 value;
    emulation::check_read(from, 16, __builtin_return_address(0));
    memcpy(&value, (const void *)from, sizeof value);
    return value;
}
template <typename T> EMULATION_PLAIN static inline void store_16(T *to, uint4 value)
{
    emulation::check_write(to, 16, __builtin_return_address(0));
    memcpy((void *)to, &value, sizeof value);
}
EMULATION_PLAIN static inline float4 load_float4(const float *from)
{
    float4 value;
    emulation::check_read(from, 16, __builtin_return_address(0));
    memcpy(&value, from, sizeof value);
    return value;
}
template <typename T> EMULATION_PLAIN static inline void store_two(T *to, T first, T second)
{
    emulation::check_write(to, 2 * sizeof *to, __builtin_return_address(0));
    to[0] = first;
    to[1] = second;
}

#endif
