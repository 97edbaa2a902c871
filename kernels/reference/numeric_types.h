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

static inline bool is_numeric_type(enum dtype dtype)
{
#define NUMERIC_BIT(type, type_dtype) | 1u << (type_dtype)
    return (0u NUMERIC_TYPES(NUMERIC_BIT)) >> dtype & 1;
#undef NUMERIC_BIT
}

/* numeric_supports and numeric_run of a family whose parameters have a `dtype`; the latter calls what NAME(run) is for
 * it. */
#define NUMERIC_SUPPORTS(family)                                                 \
    static bool numeric_supports(const void *params)                             \
    {                                                                            \
        return is_numeric_type(((const struct family##_params *)params)->dtype); \
    }
#define NUMERIC_RUN_OF(type, type_dtype) \
    case type_dtype:                     \
        run_##type(plan, call, task);    \
        break;
#define NUMERIC_RUN(family)                                                                           \
    static void numeric_run(const struct kernel_plan *plan, const struct kernel_call *call, int task) \
    {                                                                                                 \
        switch ((enum dtype)((const struct family##_params *)plan->params)->dtype) {                  \
            NUMERIC_TYPES(NUMERIC_RUN_OF)                                                             \
        default:                                                                                      \
            break;                                                                                    \
        }                                                                                             \
    }

#endif
