/* What a kernel written for every numeric type needs beside numeric_types.inc. */
#ifndef INFER_KERNELS_REFERENCE_NUMERIC_TYPES_H
#define INFER_KERNELS_REFERENCE_NUMERIC_TYPES_H

#include "kernels/convert.h"
#include "kernels/reference/types.h"

#include <math.h>

/* X(suffix, dtype) for each type that numeric_types.inc includes BODY for. */
#define NUMERIC_TYPES(X) \
    X(f32, DTYPE_F32)    \
    X(f64, DTYPE_F64)    \
    X(i8, DTYPE_I8)      \
    X(i16, DTYPE_I16)    \
    X(i32, DTYPE_I32)    \
    X(i64, DTYPE_I64)    \
    X(u8, DTYPE_U8)      \
    X(u16, DTYPE_U16)    \
    X(u32, DTYPE_U32)    \
    X(u64, DTYPE_U64)    \
    X(f16, DTYPE_F16)    \
    X(bf16, DTYPE_BF16)

#endif
