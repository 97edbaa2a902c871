/* The pointwise program (kernels/pointwise.h) on the device: what the family pointwise runs, and the epilogues of other
 * families that are no form. */
#ifndef INFER_KERNELS_CUDA_PROGRAM_H
#define INFER_KERNELS_CUDA_PROGRAM_H

#include "kernels/epilogue.h"
#include "kernels/small_float.h"

#include "kernels/cuda/index.h"
#include "kernels/cuda/ptx.h"

#include <type_traits>

/* --- instructions ------------------------------------------------------------------------------------------------ */

union cuda_register {
    float f32;
    double f64;
    int64_t i64;
    uint64_t u64;
};

static __device__ __forceinline__ union cuda_register as_register(float value)
{
    union cuda_register r;
    r.f32 = value;
    return r;
}
static __device__ __forceinline__ union cuda_register as_register(double value)
{
    union cuda_register r;
    r.f64 = value;
    return r;
}
static __device__ __forceinline__ union cuda_register as_register(int64_t value)
{
    union cuda_register r;
    r.i64 = value;
    return r;
}
static __device__ __forceinline__ union cuda_register as_register(uint64_t value)
{
    union cuda_register r;
    r.u64 = value;
    return r;
}

#define PROGRAM_JOIN_(a, b) a##_##b
#define PROGRAM_JOIN(a, b) PROGRAM_JOIN_(a, b)
#define SUFFIX(name) PROGRAM_JOIN(name, CLASS)
#define NEGATIVE(x) (IS_SIGNED && (int64_t)(x) < 0)

#define INSTRUCTIONS "kernels/reference/pointwise_float.inc"
#define FROM_DOUBLE(x) (T)(x)
#define T float
#define CLASS f32
#define MEMBER f32
#define M(function) function##f
#include "kernels/cuda/program_class.inc"
#undef T
#undef CLASS
#undef MEMBER
#undef M
#define T double
#define CLASS f64
#define MEMBER f64
#define M(function) function
#include "kernels/cuda/program_class.inc"
#undef T
#undef CLASS
#undef MEMBER
#undef M
#undef FROM_DOUBLE
#undef INSTRUCTIONS
#define INSTRUCTIONS "kernels/reference/pointwise_integer.inc"
#define T int64_t
#define CLASS i64
#define MEMBER i64
#define FROM_DOUBLE(x) f64_to_i64(x)
#define IS_SIGNED 1
#include "kernels/cuda/program_class.inc"
#undef T
#undef CLASS
#undef MEMBER
#undef FROM_DOUBLE
#undef IS_SIGNED
#define T uint64_t
#define CLASS u64
#define MEMBER u64
#define FROM_DOUBLE(x) f64_to_u64(x)
#define IS_SIGNED 0
#include "kernels/cuda/program_class.inc"
#undef T
#undef CLASS
#undef MEMBER
#undef FROM_DOUBLE
#undef IS_SIGNED
#undef INSTRUCTIONS
#undef SUFFIX
#undef NEGATIVE
#undef PROGRAM_JOIN
#undef PROGRAM_JOIN_

/* --- elements ---------------------------------------------------------------------------------------------------- */

/* Calls, not copies: they are long, and rare. */
static __device__ __attribute__((noinline)) float small_float_read(unsigned dtype, unsigned bits)
{
    return small_float_value((enum dtype)dtype, (uint8_t)bits);
}
static __device__ __attribute__((noinline)) unsigned small_float_written(unsigned dtype, float x, bool saturate,
                                                                         unsigned rounding)
{
    return dtype == DTYPE_F8E8M0 ? e8m0_of(x, saturate, (enum e8m0_rounding)rounding)
                                 : small_float_of((enum dtype)dtype, x, saturate);
}

/* Of types of several elements a byte; 8 for all others. */
static __host__ __device__ __forceinline__ unsigned packed_bits(unsigned dtype)
{
    switch (dtype) {
    case DTYPE_U4:
    case DTYPE_I4:
    case DTYPE_F4E2M1:
        return 4;
    case DTYPE_U2:
    case DTYPE_I2:
        return 2;
    default:
        return 8;
    }
}

static __device__ __forceinline__ union cuda_register load_packed(const void *memory, int64_t at, unsigned dtype)
{
    unsigned bits = packed_bits(dtype), each = 8 / bits;
    unsigned element = ((const uint8_t *)memory)[at / each] >> (unsigned)(at % each) * bits & ((1u << bits) - 1);
    if (dtype == DTYPE_F4E2M1)
        return as_register(small_float_read(dtype, element));
    bool negative = (dtype == DTYPE_I4 || dtype == DTYPE_I2) && element >> (bits - 1);
    return as_register((int64_t)element - (negative ? 1 << bits : 0));
}

/* As the reference stores them, in rising order: what lies above in the byte is cleared. */
static __device__ __forceinline__ void store_packed(void *memory, int64_t at, unsigned dtype, union cuda_register value)
{
    unsigned bits = packed_bits(dtype), each = 8 / bits, shift = (unsigned)(at % each) * bits;
    unsigned element = dtype == DTYPE_F4E2M1 ? small_float_written(dtype, value.f32, true, 0) : (unsigned)value.u64;
    uint8_t *byte = (uint8_t *)memory + at / each;
    unsigned below = shift ? *byte & ((1u << shift) - 1) : 0;
    *byte = (uint8_t)(below | (element & ((1u << bits) - 1)) << shift);
}

/* Element `at` of an operand, in the register class of its type. */
static __device__ __forceinline__ union cuda_register load_element(const void *memory, int64_t at, unsigned dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return as_register(((const float *)memory)[at]);
    case DTYPE_F64:
        return as_register(((const double *)memory)[at]);
    case DTYPE_F16:
        return as_register(from_f16(((const uint16_t *)memory)[at]));
    case DTYPE_BF16:
        return as_register(from_bf16(((const uint16_t *)memory)[at]));
    case DTYPE_U8:
        return as_register((int64_t)((const uint8_t *)memory)[at]);
    case DTYPE_I8:
        return as_register((int64_t)((const int8_t *)memory)[at]);
    case DTYPE_U16:
        return as_register((int64_t)((const uint16_t *)memory)[at]);
    case DTYPE_I16:
        return as_register((int64_t)((const int16_t *)memory)[at]);
    case DTYPE_U32:
        return as_register((int64_t)((const uint32_t *)memory)[at]);
    case DTYPE_I32:
        return as_register((int64_t)((const int32_t *)memory)[at]);
    case DTYPE_I64:
    case DTYPE_U64:
        return as_register(((const int64_t *)memory)[at]);
    case DTYPE_BOOL:
        return as_register((int64_t)(((const uint8_t *)memory)[at] != 0));
    case DTYPE_F8E4M3FN:
    case DTYPE_F8E4M3FNUZ:
    case DTYPE_F8E5M2:
    case DTYPE_F8E5M2FNUZ:
    case DTYPE_F8E8M0:
        return as_register(small_float_read(dtype, ((const uint8_t *)memory)[at]));
    default:
        return load_packed(memory, at, dtype);
    }
}

static __device__ __forceinline__ void store_element(void *memory, int64_t at, const struct pointwise_operand &operand,
                                                     union cuda_register value)
{
    switch (operand.dtype) {
    case DTYPE_F32:
        ((float *)memory)[at] = value.f32;
        break;
    case DTYPE_F64:
    case DTYPE_I64:
    case DTYPE_U64:
        ((uint64_t *)memory)[at] = value.u64;
        break;
    case DTYPE_F16:
        ((uint16_t *)memory)[at] = to_f16(value.f32);
        break;
    case DTYPE_BF16:
        ((uint16_t *)memory)[at] = f32_to_bf16(value.f32);
        break;
    case DTYPE_U8:
    case DTYPE_I8:
    case DTYPE_BOOL:
        ((uint8_t *)memory)[at] = (uint8_t)value.u64;
        break;
    case DTYPE_U16:
    case DTYPE_I16:
        ((uint16_t *)memory)[at] = (uint16_t)value.u64;
        break;
    case DTYPE_U32:
    case DTYPE_I32:
        ((uint32_t *)memory)[at] = (uint32_t)value.u64;
        break;
    case DTYPE_F8E4M3FN:
    case DTYPE_F8E4M3FNUZ:
    case DTYPE_F8E5M2:
    case DTYPE_F8E5M2FNUZ:
    case DTYPE_F8E8M0:
        ((uint8_t *)memory)[at] =
            (uint8_t)small_float_written(operand.dtype, value.f32, operand.saturate, operand.rounding);
        break;
    default:
        store_packed(memory, at, operand.dtype, value);
    }
}

/* --- any program ------------------------------------------------------------------------------------------------- */

struct cuda_program {
    struct pointwise_builder code;
    void *operands[POINTWISE_MAX_OPERANDS];
    struct device_fault *fault;
    uint32_t step;
};

/* Moves operands on by so many elements of axes [first, last), counted in C order. */
static __device__ __forceinline__ void move_along(const struct pointwise_builder &code, int first, int last,
                                                  int64_t index, int64_t *offsets)
{
    int count = code.input_count + code.output_count;
    for (int axis = last - 1; axis >= first; axis--) {
        int64_t along = index;
        if (axis > first)
            index = split_index(index, code.dims[axis], &along);
        for (int i = 0; i < count; i++)
            offsets[i] += along * code.operands[i].strides[axis];
    }
}

/* All instructions on the registers of an element. False: a divisor is zero, which is recorded. */
static __device__ __forceinline__ bool run_instructions(const struct cuda_program &p, union cuda_register *registers)
{
    for (int i = 0; i < p.code.instruction_count; i++) {
        const struct pointwise_instruction &code = p.code.code[i];
        union cuda_register a = registers[code.a], b = registers[code.b], c = registers[code.c], result;
        bool divides = code.opcode == POINTWISE_DIV || code.opcode == POINTWISE_MOD || code.opcode == POINTWISE_FMOD;
        if (divides && code.register_class >= CLASS_I64 && b.u64 == 0) {
            note_fault(p.fault, p.step, 0, 0, 0, 0);
            return false;
        }
        switch (code.register_class) {
        case CLASS_F32:
            result = instruct_f32(code, a, b, c);
            break;
        case CLASS_F64:
            result = instruct_f64(code, a, b, c);
            break;
        case CLASS_I64:
            result = instruct_i64(code, a, b, c);
            break;
        default:
            result = instruct_u64(code, a, b, c);
        }
        registers[code.target] = result;
    }
    return true;
}

/* One element. */
static __device__ __attribute__((noinline)) void run_program(const struct cuda_program &p, const int64_t *offsets,
                                                             union cuda_register *registers)
{
    const struct pointwise_builder &code = p.code;
    for (int i = 0; i < code.input_count; i++)
        registers[i] = load_element(p.operands[i], offsets[i], code.operands[i].dtype);
    if (!run_instructions(p, registers))
        return;
    for (int i = code.input_count; i < code.input_count + code.output_count; i++)
        store_element(p.operands[i], offsets[i], code.operands[i], registers[code.operands[i].reg]);
}

static inline void cuda_program_make(struct cuda_program *program, const struct pointwise_params *params,
                                     const struct kernel_call *call)
{
    struct pointwise_builder *code = &program->code;
    code->rank = params->rank;
    code->input_count = params->input_count;
    code->output_count = params->output_count;
    code->instruction_count = params->instruction_count;
    memcpy(code->dims, params->dims, sizeof code->dims);
    memcpy(code->operands, params->operands, (size_t)pointwise_operand_count(params) * sizeof code->operands[0]);
    memcpy(code->code, pointwise_code(params), (size_t)params->instruction_count * sizeof code->code[0]);
    program->fault = call->device_fault;
    program->step = call->step;
}

/* Enqueues the interpreter over all elements of the program (pointwise.cu). */
void cuda_program_enqueue(const struct kernel_call *call, const struct cuda_program &program);

/* kernel.explain where the program is all that may fail. */
static inline void cuda_program_explain(const struct kernel_plan *plan, const struct device_fault *record,
                                        struct fault *fault)
{
    struct kernel_call call = {};
    (void)plan, (void)record;
    call.fault = fault;
    kernel_fault(&call, "integer division by zero");
}

#endif
