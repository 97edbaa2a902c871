#include "kernels/reference/order.h"

#include "kernels/convert.h"

#define SIGN ((uint64_t)1 << 63)
#define INFINITE ((uint64_t)0x7ff << 52)

/* Magnitudes order as their bits do; 0 and -0 meet in the middle. */
static uint64_t key_of_float(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t magnitude = bits & ~SIGN;
    if (magnitude > INFINITE)
        return UINT64_MAX;
    return bits & SIGN ? SIGN - magnitude : SIGN + magnitude;
}

static uint64_t key_of_signed(int64_t x)
{
    return (uint64_t)x ^ SIGN;
}

#define KEYS(type_dtype, type, key)                              \
    case type_dtype:                                             \
        for (int64_t i = 0; i < n; i++) {                        \
            const type v = ((const type *)x)[offset + i * step]; \
            keys[i] = (key);                                     \
        }                                                        \
        break;

void order_keys(enum dtype dtype, const void *x, int64_t offset, int64_t n, int64_t step, uint64_t *keys)
{
    switch (dtype) {
        KEYS(DTYPE_F32, float, key_of_float((double)v))
        KEYS(DTYPE_F64, double, key_of_float(v))
        KEYS(DTYPE_F16, uint16_t, key_of_float((double)f16_to_f32(v)))
        KEYS(DTYPE_BF16, uint16_t, key_of_float((double)bf16_to_f32(v)))
        KEYS(DTYPE_I8, int8_t, key_of_signed(v))
        KEYS(DTYPE_I16, int16_t, key_of_signed(v))
        KEYS(DTYPE_I32, int32_t, key_of_signed(v))
        KEYS(DTYPE_I64, int64_t, key_of_signed(v))
        KEYS(DTYPE_U8, uint8_t, v)
        KEYS(DTYPE_U16, uint16_t, v)
        KEYS(DTYPE_U32, uint32_t, v)
        KEYS(DTYPE_U64, uint64_t, v)
    default:
        break;
    }
}
