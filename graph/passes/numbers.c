#include "graph/passes/numbers.h"

#include <float.h>
#include <math.h>

void numbers_read(const struct value *value, int64_t first, int64_t count, double *numbers)
{
    const float *floats = value->data;
    const uint16_t *halves = value->data;
    switch (value->dtype) {
    case DTYPE_F32:
        for (int64_t i = 0; i < count; i++)
            numbers[i] = (double)floats[first + i];
        break;
    case DTYPE_F16:
        for (int64_t i = 0; i < count; i++)
            numbers[i] = (double)f16_to_f32(halves[first + i]);
        break;
    case DTYPE_BF16:
        for (int64_t i = 0; i < count; i++)
            numbers[i] = (double)bf16_to_f32(halves[first + i]);
        break;
    default:
        memcpy(numbers, (const double *)value->data + first, (size_t)count * sizeof *numbers);
    }
}

void numbers_write(enum dtype dtype, void *data, int64_t first, int64_t count, const double *numbers)
{
    float *floats = data;
    uint16_t *halves = data;
    switch (dtype) {
    case DTYPE_F32:
        for (int64_t i = 0; i < count; i++)
            floats[first + i] = (float)numbers[i];
        break;
    case DTYPE_F16:
        for (int64_t i = 0; i < count; i++)
            halves[first + i] = f32_to_f16(f64_to_f32_odd(numbers[i]));
        break;
    case DTYPE_BF16:
        for (int64_t i = 0; i < count; i++)
            halves[first + i] = f32_to_bf16(f64_to_f32_odd(numbers[i]));
        break;
    default:
        memcpy((double *)data + first, numbers, (size_t)count * sizeof *numbers);
    }
}

/* Magnitudes of floats are ordered as their bits are, and compilers make vectors of integers. */
static float largest_of_floats(const float *floats, int64_t count)
{
    static const int32_t infinity = 0x7f800000;
    int32_t most = 0;
    float largest;
    for (int64_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &floats[i], sizeof bits);
        bits &= INT32_MAX;
        bits = bits < infinity ? bits : 0;
        most = bits > most ? bits : most;
    }
    memcpy(&largest, &most, sizeof largest);
    return largest;
}

/* So many at a time are in hand where the elements are no f32. */
#define AT_ONCE 64

double numbers_largest(const struct value *value, int64_t first, int64_t count)
{
    double numbers[AT_ONCE], most = 0;
    if (value->dtype == DTYPE_F32)
        return (double)largest_of_floats((const float *)value->data + first, count);
    for (int64_t i = 0; i < count; i += AT_ONCE) {
        int64_t length = count - i < AT_ONCE ? count - i : AT_ONCE;
        numbers_read(value, first + i, length, numbers);
        for (int64_t k = 0; k < length; k++)
            most = fabs(numbers[k]) > most && fabs(numbers[k]) <= DBL_MAX ? fabs(numbers[k]) : most;
    }
    return most;
}

void numbers_scale(const struct value *value, int64_t first, int64_t count, double factor, void *data)
{
    const float *from = value->data;
    float *to = data;
    double numbers[AT_ONCE];
    if (value->dtype == DTYPE_F32) {
        for (int64_t i = first; i < first + count; i++)
            to[i] = (float)((double)from[i] * factor);
        return;
    }
    for (int64_t i = 0; i < count; i += AT_ONCE) {
        int64_t length = count - i < AT_ONCE ? count - i : AT_ONCE;
        numbers_read(value, first + i, length, numbers);
        for (int64_t k = 0; k < length; k++)
            numbers[k] *= factor;
        numbers_write(value->dtype, data, first + i, length, numbers);
    }
}

double number_greatest(enum dtype dtype)
{
    return dtype == DTYPE_F16    ? 65504
           : dtype == DTYPE_BF16 ? 0x1.fep127
           : dtype == DTYPE_F32  ? (double)FLT_MAX
                                 : DBL_MAX;
}

double number_least_normal(enum dtype dtype)
{
    return dtype == DTYPE_F16 ? 0x1p-14 : dtype == DTYPE_F64 ? DBL_MIN : (double)FLT_MIN;
}
