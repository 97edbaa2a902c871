/* The floating types of 8 and 4 bits, number by number: what the functions of kernels/convert.h do, inline for kernels
 * of a device. */
#ifndef INFER_KERNELS_SMALL_FLOAT_H
#define INFER_KERNELS_SMALL_FLOAT_H

#include "kernels/convert.h"

/* Layouts: https://onnx.ai/onnx/technical/float8.html and the OCP Microscaling (MX) specification 1.0. */
struct small_format {
    int exponent_bits, mantissa_bits, bias;
    bool infinities;    /* exponent all ones means inf / NaN as in IEEE 754 */
    bool unsigned_zero; /* "UZ": no negative zero, its code is the only NaN */
    bool nan;           /* has a NaN at all */
};

static inline ANYWHERE struct small_format small_format_make(int exponent_bits, int mantissa_bits, int bias,
                                                             bool infinities, bool unsigned_zero, bool nan)
{
    struct small_format format = {exponent_bits, mantissa_bits, bias, infinities, unsigned_zero, nan};
    return format;
}

static inline ANYWHERE struct small_format small_format_of(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F8E4M3FN:
        return small_format_make(4, 3, 7, false, false, true);
    case DTYPE_F8E4M3FNUZ:
        return small_format_make(4, 3, 8, false, true, true);
    case DTYPE_F8E5M2:
        return small_format_make(5, 2, 15, true, false, true);
    case DTYPE_F8E5M2FNUZ:
        return small_format_make(5, 2, 16, false, true, true);
    default: /* DTYPE_F4E2M1 */
        return small_format_make(2, 1, 1, false, false, false);
    }
}

static inline ANYWHERE unsigned largest_code(const struct small_format *f)
{
    unsigned all = (1u << (f->exponent_bits + f->mantissa_bits)) - 1;
    if (f->infinities)
        return all - (1u << f->mantissa_bits);
    return f->nan && !f->unsigned_zero ? all - 1 : all; /* E4M3FN gives its last code to NaN */
}

static inline ANYWHERE float code_magnitude(const struct small_format *f, unsigned code)
{
    int exponent = (int)(code >> f->mantissa_bits), mantissa = (int)(code & ((1u << f->mantissa_bits) - 1));
    if (exponent == 0)
        return ldexpf((float)mantissa, 1 - f->bias - f->mantissa_bits);
    return ldexpf((float)(mantissa + (1 << f->mantissa_bits)), exponent - f->bias - f->mantissa_bits);
}

static inline ANYWHERE float e8m0_to_f32(uint8_t bits)
{
    return bits == 0xff ? NAN : ldexpf(1.0f, (int)bits - 127);
}

/* No sign, no zero: what is below the smallest power becomes it. */
static inline ANYWHERE uint8_t e8m0_of(float value, bool saturate, enum e8m0_rounding rounding)
{
    if (isnan(value) || (!saturate && !(value > 0 && isfinite(value))))
        return 0xff;
    if (!(value > 0x1p-127f))
        return 0;
    if (isinf(value))
        return 0xfe;
    int exponent;
    float mantissa = frexpf(value, &exponent); /* value = mantissa 2^exponent, 1/2 <= mantissa < 1 */
    float threshold = rounding == E8M0_UP ? nextafterf(0.5f, 1) : rounding == E8M0_DOWN ? 1.0f : 0.75f;
    int code = exponent - 1 + 127 + (mantissa >= threshold);
    return code <= 0xfe ? (uint8_t)code : saturate ? 0xfe : 0xff;
}

static inline ANYWHERE float small_float_value(enum dtype dtype, uint8_t bits)
{
    if (dtype == DTYPE_F8E8M0)
        return e8m0_to_f32(bits);
    struct small_format f = small_format_of(dtype);
    int width = f.exponent_bits + f.mantissa_bits;
    unsigned code = bits & ((1u << width) - 1), sign = (unsigned)bits >> width & 1u;
    if (f.unsigned_zero && sign && code == 0)
        return NAN;
    if (code > largest_code(&f)) {
        bool infinite = f.infinities && (code & ((1u << f.mantissa_bits) - 1)) == 0;
        return infinite ? (sign ? -INFINITY : INFINITY) : NAN;
    }
    float magnitude = code_magnitude(&f, code);
    return sign ? -magnitude : magnitude;
}

/* Rounds |value| to a code, halves to even; may be one past the largest where it overflows. */
static inline ANYWHERE unsigned round_to_code(const struct small_format *f, float magnitude)
{
    int exponent;
    frexpf(magnitude, &exponent);
    if (magnitude == 0 || exponent < 2 - f->bias)
        exponent = 2 - f->bias; /* denormal spacing */
    float units = rintf(ldexpf(magnitude, f->mantissa_bits + 1 - exponent));
    /* units counts steps of 2^(exponent-1-mantissa_bits): a carry into the next exponent falls out of the sum. */
    return (unsigned)units + ((unsigned)(exponent - 2 + f->bias) << f->mantissa_bits);
}

static inline ANYWHERE uint8_t small_float_of(enum dtype dtype, float value, bool saturate)
{
    struct small_format f = small_format_of(dtype);
    int width = f.exponent_bits + f.mantissa_bits;
    uint8_t sign = (uint8_t)((signbit(value) ? 1u : 0u) << width);
    uint8_t nan = f.unsigned_zero ? (uint8_t)(1u << width) : (uint8_t)(sign | ((1u << width) - 1));
    unsigned largest = largest_code(&f);
    if (isnan(value))
        return f.nan ? nan : (uint8_t)0;
    float magnitude = fabsf(value);
    unsigned code = magnitude >= 2 * code_magnitude(&f, largest) ? largest + 1 : round_to_code(&f, magnitude);
    if (code > largest) {
        if (saturate || !f.nan)
            return (uint8_t)(sign | largest);
        return f.infinities ? (uint8_t)(sign | (largest + 1)) : nan;
    }
    return code == 0 && f.unsigned_zero ? 0 : (uint8_t)(sign | code);
}

#endif
