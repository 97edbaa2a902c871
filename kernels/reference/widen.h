/* Operands of 8 bits, made wide less their zero points. */
#ifndef INFER_KERNELS_REFERENCE_WIDEN_H
#define INFER_KERNELS_REFERENCE_WIDEN_H

#include "kernels/base.h"

/* dtype: u8 or i8. */
static inline uint32_t widened_byte(enum dtype dtype, uint8_t byte)
{
    return dtype == DTYPE_I8 ? (uint32_t)(int8_t)byte : byte;
}

static inline void widen_bytes(enum dtype dtype, int64_t count, const uint8_t *from, int64_t stride, uint8_t zero,
                               uint32_t *to)
{
    uint32_t less = widened_byte(dtype, zero);
    for (int64_t i = 0; i < count; i++)
        to[i] = widened_byte(dtype, from[i * stride]) - less;
}

#endif
