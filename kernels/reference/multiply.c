#include "kernels/reference/multiply.h"

#include "kernels/reference/types.h"
#include "kernels/walk.h"

#define TYPE_NAME f32
#define T float
#include "kernels/reference/multiply.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/multiply.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME i32
#define T uint32_t
#include "kernels/reference/multiply.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME i64
#define T uint64_t
#include "kernels/reference/multiply.inc"
#undef TYPE_NAME
#undef T
