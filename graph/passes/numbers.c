#include "graph/passes/numbers.h"

#include <float.h>

void numbers_read(const struct value *value, int64_t first, int64_t count, double *numbers)
{
    const float *floats = value->data;
    if (value->dtype == DTYPE_F32)
        for (int64_t i = 0; i < count; i++)
            numbers[i] = (double)floats[first + i];
    else
        for (int64_t i = 0; i < count; i++)
            value_number_at(value, first + i, &numbers[i]);
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
