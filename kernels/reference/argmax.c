#include "kernels/argmax.h"

#include "kernels/reference/types.h"

#include <math.h>

static int argmax_tasks(const void *params)
{
    const struct argmax_params *p = params;
    return task_count(p->outer * p->inner, 1 + 16384 / p->axis);
}

#define ARGMAX(type, type_dtype) \
    REFERENCE_KERNEL(argmax, type, type_dtype, .tasks = argmax_tasks, .run = argmax_run_##type)

#define IS_NAN(x) isnan(x)
#define TYPE_NAME f32
#define T float
#include "kernels/reference/argmax.inc"
ARGMAX(f32, DTYPE_F32)
#undef TYPE_NAME
#undef T

#define TYPE_NAME f64
#define T double
#include "kernels/reference/argmax.inc"
ARGMAX(f64, DTYPE_F64)
#undef TYPE_NAME
#undef T

#undef IS_NAN
#define IS_NAN(x) false
#define TYPE_NAME i8
#define T int8_t
#include "kernels/reference/argmax.inc"
ARGMAX(i8, DTYPE_I8)
#undef TYPE_NAME
#undef T

#define TYPE_NAME i16
#define T int16_t
#include "kernels/reference/argmax.inc"
ARGMAX(i16, DTYPE_I16)
#undef TYPE_NAME
#undef T

#define TYPE_NAME i32
#define T int32_t
#include "kernels/reference/argmax.inc"
ARGMAX(i32, DTYPE_I32)
#undef TYPE_NAME
#undef T

#define TYPE_NAME i64
#define T int64_t
#include "kernels/reference/argmax.inc"
ARGMAX(i64, DTYPE_I64)
#undef TYPE_NAME
#undef T

#define TYPE_NAME u8
#define T uint8_t
#include "kernels/reference/argmax.inc"
ARGMAX(u8, DTYPE_U8)
#undef TYPE_NAME
#undef T

#define TYPE_NAME u16
#define T uint16_t
#include "kernels/reference/argmax.inc"
ARGMAX(u16, DTYPE_U16)
#undef TYPE_NAME
#undef T

#define TYPE_NAME u32
#define T uint32_t
#include "kernels/reference/argmax.inc"
ARGMAX(u32, DTYPE_U32)
#undef TYPE_NAME
#undef T

#define TYPE_NAME u64
#define T uint64_t
#include "kernels/reference/argmax.inc"
ARGMAX(u64, DTYPE_U64)
#undef TYPE_NAME
#undef T
