/* Scalar conversions: between float32 and the narrower floating types, round to nearest even; from float64 to integers.
 */
#ifndef INFER_KERNELS_CONVERT_H
#define INFER_KERNELS_CONVERT_H

#include "kernels/base.h"

#include <math.h>
#include <string.h>

static inline ANYWHERE float bits_to_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline ANYWHERE uint32_t f32_to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline ANYWHERE float bf16_to_f32(uint16_t half)
{
    return bits_to_f32((uint32_t)half << 16);
}

static inline ANYWHERE uint16_t f32_to_bf16(float value)
{
    uint32_t bits = f32_to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u); /* quiet NaN */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline ANYWHERE float f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, rest = half & 0x7fffu;
    if (rest >= 0x7c00u) /* inf, NaN */
        return bits_to_f32(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    if (rest >= 0x0400u) /* normal: rebias the exponent from 15 to 127 */
        return bits_to_f32(sign | ((rest << 13) + 0x38000000u));
    float magnitude = (float)rest * 0x1p-24f; /* denormals are multiples of 2^-24 */
    return bits_to_f32(sign | f32_to_bits(magnitude));
}

static inline ANYWHERE uint16_t f32_to_f16(float value)
{
    uint32_t bits = f32_to_bits(value), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
    if (rest >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (rest < 0x38800000u) { /* below 2^-14: adding 1/2 lets the FPU round at the denormal's last place */
        float shifted = bits_to_f32(rest) + 0.5f;
        return (uint16_t)(sign | (f32_to_bits(shifted) - 0x3f000000u));
    }
    return (uint16_t)(sign | (((rest - 0x38000000u) + 0xfffu + (rest >> 13 & 1u)) >> 13));
}

/* Rounds to odd: what is rounded again to a type of at most 22 bits becomes what rounding the double itself gives
 * (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). */
static inline ANYWHERE float f64_to_f32_odd(double x)
{
    float nearest = (float)x;
    if ((double)nearest == x || isnan(x))
        return nearest;
    uint32_t bits = f32_to_bits(nearest);
    if (fabs((double)nearest) > fabs(x))
        bits--; /* towards zero */
    return bits_to_f32(bits | 1);
}

/* Casts out of range are undefined in C; these clamp, and send NaN to 0. */
static inline ANYWHERE int64_t f64_to_i64(double x)
{
    return isnan(x) ? 0 : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
}

static inline ANYWHERE uint64_t f64_to_u64(double x)
{
    return isnan(x) ? 0 : x >= 0x1p64 ? UINT64_MAX : x < 0 ? (uint64_t)f64_to_i64(x) : (uint64_t)x;
}

#ifdef __cplusplus
extern "C" {
#endif

/* The 8- and 4-bit formats but F8E8M0 (OCP MX and ONNX "Float stored in 8 bits"); in kernels/small_float.h. `bits`
 * holds one element in its low bits. Overflow saturates, or becomes infinity (NaN where the format has none). */
float small_float_to_f32(enum dtype dtype, uint8_t bits);
uint8_t f32_to_small_float(enum dtype dtype, float value, bool saturate);

/* Powers of two have a choice of their own: ONNX's Cast rounds F8E8M0 up unless it is told otherwise. */
enum e8m0_rounding { E8M0_UP, E8M0_DOWN, E8M0_NEAREST };
uint8_t f32_to_e8m0(float value, bool saturate, enum e8m0_rounding rounding);

#ifdef __cplusplus
}
#endif

#endif
