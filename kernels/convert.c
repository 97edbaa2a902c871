#include "kernels/small_float.h"

float small_float_to_f32(enum dtype dtype, uint8_t bits)
{
    return small_float_value(dtype, bits);
}

uint8_t f32_to_small_float(enum dtype dtype, float value, bool saturate)
{
    return small_float_of(dtype, value, saturate);
}

uint8_t f32_to_e8m0(float value, bool saturate, enum e8m0_rounding rounding)
{
    return e8m0_of(value, saturate, rounding);
}
