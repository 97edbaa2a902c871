#include "tools/problems/number.h"

#include "kernels/convert.h"

#include <float.h>

#define AS(type) ((const type *)memory)[index]

static uint8_t packed_element(const uint8_t *bytes, int64_t index, unsigned bits)
{
    int64_t each = 8 / (int64_t)bits;
    return (uint8_t)(bytes[index / each] >> (unsigned)(index % each) * bits & ((1u << bits) - 1));
}

static number packed_get(enum dtype dtype, const void *memory, int64_t index)
{
    unsigned bits = dtype_bits(dtype), element = packed_element(memory, index, bits);
    if (dtype == DTYPE_F4E2M1)
        return (number)small_float_to_f32(dtype, (uint8_t)element);
    bool negative = dtype_is_signed_integer(dtype) && element >> (bits - 1);
    return (number)element - (negative ? (number)(1u << bits) : 0);
}

number number_get(enum dtype dtype, const void *memory, int64_t index)
{
    switch (dtype) {
    case DTYPE_F32:
        return (number)AS(float);
    case DTYPE_F64:
        return (number)AS(double);
    case DTYPE_F16:
        return (number)f16_to_f32(AS(uint16_t));
    case DTYPE_BF16:
        return (number)bf16_to_f32(AS(uint16_t));
    case DTYPE_U8:
        return (number)AS(uint8_t);
    case DTYPE_BOOL:
        return AS(uint8_t) != 0;
    case DTYPE_I8:
        return (number)AS(int8_t);
    case DTYPE_U16:
        return (number)AS(uint16_t);
    case DTYPE_I16:
        return (number)AS(int16_t);
    case DTYPE_U32:
        return (number)AS(uint32_t);
    case DTYPE_I32:
        return (number)AS(int32_t);
    case DTYPE_U64:
        return (number)AS(uint64_t);
    case DTYPE_I64:
        return (number)AS(int64_t);
    default:
        return dtype_bits(dtype) == 8 ? (number)small_float_to_f32(dtype, AS(uint8_t))
                                      : packed_get(dtype, memory, index);
    }
}

uint64_t number_to_bits(number value)
{
    return value < 0 ? (uint64_t)(int64_t)value : (uint64_t)value;
}

number number_of_signed(uint64_t bits)
{
    return (number)(int64_t)bits;
}

static void packed_put(enum dtype dtype, uint8_t *bytes, int64_t index, number value)
{
    unsigned bits = dtype_bits(dtype), mask = (1u << bits) - 1;
    int64_t each = 8 / (int64_t)bits;
    unsigned shift = (unsigned)(index % each) * bits;
    unsigned element =
        dtype == DTYPE_F4E2M1 ? f32_to_small_float(dtype, (float)value, true) : (unsigned)number_to_bits(value) & mask;
    bytes[index / each] = (uint8_t)((bytes[index / each] & ~(mask << shift)) | element << shift);
}

#undef AS
#define PUT(type, value) ((type *)memory)[index] = (type)(value)

static void put_float(enum dtype dtype, void *memory, int64_t index, number value, bool saturate)
{
    switch (dtype) {
    case DTYPE_F32:
        PUT(float, value);
        break;
    case DTYPE_F64:
        PUT(double, value);
        break;
    case DTYPE_F16:
        PUT(uint16_t, f32_to_f16(f64_to_f32_odd((double)value)));
        break;
    case DTYPE_BF16:
        PUT(uint16_t, f32_to_bf16(f64_to_f32_odd((double)value)));
        break;
    case DTYPE_F8E8M0:
        PUT(uint8_t, f32_to_e8m0((float)value, saturate, E8M0_UP));
        break;
    default:
        PUT(uint8_t, f32_to_small_float(dtype, (float)value, saturate));
    }
}

static void put_saturating(enum dtype dtype, void *memory, int64_t index, number value, bool saturate)
{
    if (dtype_bits(dtype) < 8)
        packed_put(dtype, memory, index, value);
    else if (dtype_is_float(dtype))
        put_float(dtype, memory, index, value, saturate);
    else if (dtype_bits(dtype) == 8)
        PUT(uint8_t, number_to_bits(value));
    else if (dtype_bits(dtype) == 16)
        PUT(uint16_t, number_to_bits(value));
    else if (dtype_bits(dtype) == 32)
        PUT(uint32_t, number_to_bits(value));
    else
        PUT(uint64_t, number_to_bits(value));
}

void number_put(enum dtype dtype, void *memory, int64_t index, number value)
{
    put_saturating(dtype, memory, index, value, true);
}

number number_rounded(enum dtype dtype, number value, bool saturate)
{
    uint64_t room = 0;
    put_saturating(dtype, &room, 0, value, saturate);
    return number_get(dtype, &room, 0);
}

static const struct {
    enum dtype dtype;
    number epsilon, least_normal, largest;
} floats[] = {
    {DTYPE_F32, FLT_EPSILON, FLT_MIN, FLT_MAX},
    {DTYPE_F64, DBL_EPSILON, DBL_MIN, DBL_MAX},
    {DTYPE_F16, 0x1p-10, 0x1p-14, 65504},
    {DTYPE_BF16, 0x1p-7, 0x1p-126, 0x1.fep127},
    {DTYPE_F8E4M3FN, 0x1p-3, 0x1p-6, 448},
    {DTYPE_F8E4M3FNUZ, 0x1p-3, 0x1p-7, 240},
    {DTYPE_F8E5M2, 0x1p-2, 0x1p-14, 57344},
    {DTYPE_F8E5M2FNUZ, 0x1p-2, 0x1p-15, 57344},
    {DTYPE_F4E2M1, 0x1p-1, 1, 6},
    {DTYPE_F8E8M0, 1, 0x1p-127, 0x1p127},
};

/* Index of a floating type; -1: another type. */
static int float_index(enum dtype dtype)
{
    int i = (int)(sizeof floats / sizeof floats[0]) - 1;
    while (i >= 0 && floats[i].dtype != dtype)
        i--;
    return i;
}

number number_epsilon(enum dtype dtype)
{
    int i = float_index(dtype);
    return i < 0 ? 0 : floats[i].epsilon;
}

number number_smallest_normal(enum dtype dtype)
{
    int i = float_index(dtype);
    return i < 0 ? 0 : floats[i].least_normal;
}

number number_largest(enum dtype dtype)
{
    int i = float_index(dtype);
    return i < 0 ? 0 : floats[i].largest;
}
