/* Epilogues on the device: what a kernel of another family does to a result before it stores it (kernels/epilogue.h).
 * None, or a form. What is no form is a second kernel's, the interpreter of family pointwise: the first one leaves its
 * results at the end of the step's workspace. An interpreter in registers would be larger than all else in a kernel.
 *
 * A kernel that stores through one takes its arguments as `const __grid_constant__ A a`: they are read by address,
 * which would else copy them into each thread's own memory. */
#ifndef INFER_KERNELS_CUDA_EPILOGUE_H
#define INFER_KERNELS_CUDA_EPILOGUE_H

#include "kernels/cuda/program.h"

/* Where an operand has the element of a place. */
struct cuda_place {
    void *memory;
    int64_t batch, row, column; /* strides in elements */
};

struct cuda_operation {
    uint8_t opcode, dtype;
    bool on_side, reversed;
    int8_t input; /* 0: no operand, above 0: one in memory, EPILOGUE_SIDE */
    float p, q;
    struct cuda_place operand;
};

/* struct epilogue_form, with addresses; all strides hold everywhere. */
struct cuda_form {
    int operation_count;
    struct cuda_operation operations[EPILOGUE_OPERATIONS];
};

struct cuda_epilogue {
    bool has_form; /* operations in registers; else results are stored as they are */
    uint8_t dtype; /* of the output */
    struct cuda_place output;
    struct cuda_form form;
};

/* Whether the store works on the device: elements of a byte that others share are not written. */
static inline bool cuda_epilogue_supports(const struct epilogue *epilogue)
{
    const struct pointwise_params *program = epilogue->program;
    return !program || packed_bits(program->operands[program->input_count].dtype) == 8;
}

/* The one step of operand `i` of the program along its axes [first, last); false where there is none. */
static inline bool cuda_even_stride(const struct pointwise_params *program, int i, int first, int last, int64_t *stride)
{
    const int64_t *strides = program->operands[i].strides;
    *stride = first < last ? strides[last - 1] : 0;
    for (int axis = last - 1; axis > first; axis--)
        if (strides[axis - 1] != strides[axis] * program->dims[axis])
            return false;
    return true;
}

static inline bool cuda_place_make(const struct pointwise_params *program, const int *first, int operand,
                                   const void *memory, struct cuda_place *place)
{
    place->memory = const_cast<void *>(memory);
    return cuda_even_stride(program, operand, first[EPILOGUE_BATCH], first[EPILOGUE_ROWS], &place->batch) &&
           cuda_even_stride(program, operand, first[EPILOGUE_ROWS], first[EPILOGUE_COLUMNS], &place->row) &&
           cuda_even_stride(program, operand, first[EPILOGUE_COLUMNS], first[EPILOGUE_AXES], &place->column);
}

/* call: NULL where addresses are not known yet. */
static inline bool cuda_form_make(const struct epilogue *epilogue, const struct kernel_call *call, const int *first,
                                  struct cuda_epilogue *made)
{
    const struct pointwise_params *program = epilogue->program;
    struct epilogue_form form;
    if (!epilogue_recognise(epilogue, &form) ||
        !cuda_place_make(program, first, program->input_count, call ? call->outputs[0] : NULL, &made->output))
        return false;
    made->form.operation_count = form.operation_count;
    for (int i = 0; i < form.operation_count; i++) {
        const struct epilogue_operation *from = &form.operations[i];
        struct cuda_operation *to = &made->form.operations[i];
        *to = {from->opcode, from->dtype, from->on_side, from->reversed, from->input, from->p, from->q, {}};
        const void *memory = call && from->input > 0 ? call->inputs[epilogue->own_inputs + from->input - 1] : NULL;
        if (from->input > 0 && !cuda_place_make(program, first, from->input, memory, &to->operand))
            return false;
    }
    return true;
}

/* Whether the interpreter alone can do it. */
static inline bool cuda_epilogue_is_program(const struct epilogue *epilogue)
{
    int first[EPILOGUE_AXES + 1];
    struct cuda_epilogue unused;
    if (!epilogue->program)
        return false;
    epilogue_axes(epilogue, first);
    return !cuda_form_make(epilogue, NULL, first, &unused);
}

/* Bytes at the end of the step's workspace for what the interpreter takes: results in C order of the epilogue's space,
 * of the type of the program's input 0. 0: it has nothing to do. */
static inline size_t cuda_epilogue_room(const struct epilogue *epilogue)
{
    return cuda_epilogue_is_program(epilogue) ? align_up(epilogue_result_bytes(epilogue), ALIGNMENT) : 0;
}

/* The last thing that a kernel's plan() does. */
static inline void cuda_epilogue_reserve(const struct epilogue *epilogue, struct kernel_plan *plan)
{
    plan->shared_bytes = align_up(plan->shared_bytes, ALIGNMENT) + cuda_epilogue_room(epilogue);
}

static inline void *cuda_epilogue_results(const struct epilogue *epilogue, const struct kernel_plan *plan,
                                          const struct kernel_call *call)
{
    return (char *)call->shared + plan->shared_bytes - cuda_epilogue_room(epilogue);
}

/* strides: of the output along the axes of the epilogue's space, and dtype its type, where there is no program. */
static inline struct cuda_epilogue cuda_epilogue_make(const struct epilogue *epilogue, const struct kernel_plan *plan,
                                                      const struct kernel_call *call, enum dtype dtype,
                                                      const int64_t *strides)
{
    const struct pointwise_params *program = epilogue->program;
    const int64_t *dims = epilogue->dims;
    struct cuda_epilogue made = {};
    made.dtype = program ? program->operands[program->input_count].dtype : (uint8_t)dtype;
    if (!program) {
        made.output = {call->outputs[0], strides[EPILOGUE_BATCH], strides[EPILOGUE_ROWS], strides[EPILOGUE_COLUMNS]};
        return made;
    }
    int first[EPILOGUE_AXES + 1];
    epilogue_axes(epilogue, first);
    made.has_form = cuda_form_make(epilogue, call, first, &made);
    if (made.has_form)
        return made;
    made.dtype = program->operands[0].dtype;
    made.output = {cuda_epilogue_results(epilogue, plan, call), dims[EPILOGUE_ROWS] * dims[EPILOGUE_COLUMNS],
                   dims[EPILOGUE_COLUMNS], 1};
    return made;
}

/* The last thing that a kernel's run() does: what its results still lack. */
static inline void cuda_epilogue_finish(const struct epilogue *epilogue, const struct kernel_plan *plan,
                                        const struct kernel_call *call)
{
    if (!cuda_epilogue_is_program(epilogue))
        return;
    const struct pointwise_params *params = epilogue->program;
    struct cuda_program program = {};
    cuda_program_make(&program, params, call);
    int64_t step = 1;
    for (int axis = params->rank - 1; axis >= 0; axis--) {
        program.code.operands[0].strides[axis] = step;
        step *= params->dims[axis];
    }
    program.operands[0] = cuda_epilogue_results(epilogue, plan, call);
    for (int i = 1; i < params->input_count; i++)
        program.operands[i] = const_cast<void *>(call->inputs[epilogue->own_inputs + i - 1]);
    program.operands[params->input_count] = call->outputs[0];
    cuda_program_enqueue(call, program);
}

static __device__ __forceinline__ int64_t place_of(const struct cuda_place &place, int64_t batch, int64_t row,
                                                   int64_t column)
{
    return batch * place.batch + row * place.row + column * place.column;
}

/* Functions of many instructions, which are called, not copied to where results are. */
static __device__ __attribute__((noinline)) float form_activation(unsigned opcode, float x, float p, float q)
{
    switch (opcode) {
    case POINTWISE_SIGMOID:
        return SIGMOID_f32(x, p, q);
    case POINTWISE_SWISH:
        return SWISH_f32(x, p, q);
    case POINTWISE_TANH:
        return TANH_f32(x, p, q);
    case POINTWISE_GELU:
        return GELU_f32(x, p, q);
    case POINTWISE_NEG:
        return NEG_f32(x, p, q);
    case POINTWISE_ABS:
        return ABS_f32(x, p, q);
    case POINTWISE_SQRT:
        return SQRT_f32(x, p, q);
    case POINTWISE_EXP:
        return EXP_f32(x, p, q);
    case POINTWISE_ELU:
        return ELU_f32(x, p, q);
    case POINTWISE_SELU:
        return SELU_f32(x, p, q);
    case POINTWISE_CELU:
        return CELU_f32(x, p, q);
    case POINTWISE_MISH:
        return MISH_f32(x, p, q);
    case POINTWISE_SOFTPLUS:
        return SOFTPLUS_f32(x, p, q);
    case POINTWISE_SOFTSIGN:
        return SOFTSIGN_f32(x, p, q);
    default:
        return GELU_TANH_f32(x, p, q);
    }
}

static __device__ __forceinline__ float form_operation(const struct cuda_operation &operation, float x, float operand)
{
    float a = operation.reversed ? operand : x, b = operation.reversed ? x : operand;
    switch (operation.opcode) {
    case POINTWISE_MOVE:
        return operand;
    case POINTWISE_ADD:
        return a + b;
    case POINTWISE_SUB:
        return a - b;
    case POINTWISE_MUL:
        return a * b;
    case POINTWISE_DIV:
        return a / b;
    case POINTWISE_MIN:
        return MIN_f32(a, b);
    case POINTWISE_MAX:
        return MAX_f32(a, b);
    case POINTWISE_PRELU:
        return PRELU_f32(a, b);
    case POINTWISE_CLAMP:
        return CLAMP_f32(x, operation.p, operation.q);
    case POINTWISE_ROUND:
        return ROUND_f32(x, 0, 0);
    case POINTWISE_ROUND_F16:
        return from_f16(to_f16(x));
    case POINTWISE_ROUND_BF16:
        return from_bf16(f32_to_bf16(x));
    case POINTWISE_RELU:
        return RELU_f32(x, 0, 0);
    case POINTWISE_LEAKY_RELU:
        return LEAKY_RELU_f32(x, operation.p, 0);
    case POINTWISE_HARD_SIGMOID:
        return HARD_SIGMOID_f32(x, operation.p, operation.q);
    case POINTWISE_HARD_SWISH:
        return HARD_SWISH_f32(x, 0, 0);
    default:
        return form_activation(operation.opcode, x, operation.p, operation.q);
    }
}

/* The element of an operand of a form, which is no f32, as one: see struct epilogue_operation for its types. */
static __device__ __attribute__((noinline)) float form_narrow(const void *memory, int64_t at, unsigned dtype)
{
    switch (dtype) {
    case DTYPE_F16:
        return from_f16(((const uint16_t *)memory)[at]);
    case DTYPE_BF16:
        return from_bf16(((const uint16_t *)memory)[at]);
    case DTYPE_U8:
        return (float)((const uint8_t *)memory)[at];
    case DTYPE_I8:
        return (float)((const int8_t *)memory)[at];
    case DTYPE_U16:
        return (float)((const uint16_t *)memory)[at];
    case DTYPE_I16:
        return (float)((const int16_t *)memory)[at];
    case DTYPE_U32:
        return (float)((const uint32_t *)memory)[at];
    default: /* DTYPE_I32 */
        return (float)((const int32_t *)memory)[at];
    }
}

static __device__ __forceinline__ float form_operand(const void *memory, int64_t at, unsigned dtype)
{
    return dtype == DTYPE_F32 ? ((const float *)memory)[at] : form_narrow(memory, at, dtype);
}

/* x[i] is at row + i (DOWN) or column + i, for i below `count`. All N take part in the arithmetic. */
template <int N, bool DOWN>
static __device__ __forceinline__ void form_run(const struct cuda_form &form, int64_t batch, int64_t row,
                                                int64_t column, int count, float (&x)[N])
{
    float side[N];
#pragma unroll
    for (int i = 0; i < N; i++)
        side[i] = 0;
    for (int k = 0; k < form.operation_count; k++) {
        const struct cuda_operation &operation = form.operations[k];
        bool on_side = operation.on_side;
        int64_t at = place_of(operation.operand, batch, row, column);
        int64_t step = DOWN ? operation.operand.row : operation.operand.column;
#pragma unroll
        for (int i = 0; i < N; i++) {
            float operand = on_side ? x[i] : side[i];
            if (operation.input > 0)
                operand = i < count ? form_operand(operation.operand.memory, at + i * step, operation.dtype) : 0;
            float result = form_operation(operation, on_side ? side[i] : x[i], operand);
            if (on_side)
                side[i] = result;
            else
                x[i] = result;
        }
    }
}

/* Stores neighbours: at once where they lie so. */
template <typename T, int N>
static __device__ __forceinline__ void store_line(T *to, int64_t step, int count, const T (&values)[N])
{
    if (N > 1 && sizeof values == 16 && step == 1 && count == N && ((uintptr_t)to & 15) == 0) {
        uint4 all;
        memcpy(&all, values, sizeof all < sizeof values ? sizeof all : sizeof values);
        store_16(to, all);
        return;
    }
    if (N > 1 && sizeof values == 8 && step == 1 && count == N && ((uintptr_t)to & 7) == 0) {
        uint2 both;
        memcpy(&both, values, sizeof both < sizeof values ? sizeof both : sizeof values);
        *reinterpret_cast<uint2 *>(to) = both;
        return;
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        if (i < count)
            to[i * step] = values[i];
}

/* An f32 that is in the range of an integer type, or a NaN, which is 0. */
static __device__ __forceinline__ int truncated(float x)
{
    return x != x ? 0 : (int)x;
}

template <int N>
static __device__ __forceinline__ void store_floats(void *memory, int64_t at, int64_t step, unsigned dtype, int count,
                                                    const float (&x)[N])
{
    if (dtype == DTYPE_F32) {
        store_line((float *)memory + at, step, count, x);
    } else if (dtype == DTYPE_F16 || dtype == DTYPE_BF16 || dtype == DTYPE_I16 || dtype == DTYPE_U16) {
        uint16_t halves[N];
#pragma unroll
        for (int i = 0; i < N; i++)
            halves[i] = dtype == DTYPE_F16    ? to_f16(x[i])
                        : dtype == DTYPE_BF16 ? f32_to_bf16(x[i])
                                              : (uint16_t)truncated(x[i]);
        store_line((uint16_t *)memory + at, step, count, halves);
    } else {
        uint8_t bytes[N];
#pragma unroll
        for (int i = 0; i < N; i++)
            bytes[i] = (uint8_t)truncated(x[i]);
        store_line((uint8_t *)memory + at, step, count, bytes);
    }
}

/* A type's own elements, where there is no program. Floats may be stored as f16 or bf16. */
template <typename T> struct stored_plainly {
    template <int N>
    static __device__ __forceinline__ void store(void *memory, int64_t at, int64_t step, unsigned, int count,
                                                 const T (&values)[N])
    {
        store_line((T *)memory + at, step, count, values);
    }
};
template <> struct stored_plainly<float> {
    template <int N>
    static __device__ __forceinline__ void store(void *memory, int64_t at, int64_t step, unsigned dtype, int count,
                                                 const float (&values)[N])
    {
        store_floats(memory, at, step, dtype, count, values);
    }
};

/* Stores results that are neighbours along the rows' axis (DOWN) or the columns': values[i] for i below `count`, the
 * first of them at the place named. T: float for sums in f32 (of operands of f16 and bf16 too), int32_t for those of
 * bytes, else the type of the results. */
template <bool DOWN, typename T, int N>
static __device__ __forceinline__ void cuda_epilogue_store_line(const struct cuda_epilogue &e, int64_t batch,
                                                                int64_t row, int64_t column, int count,
                                                                const T (&values)[N])
{
    int64_t at = place_of(e.output, batch, row, column), step = DOWN ? e.output.row : e.output.column;
    if (!e.has_form) {
        stored_plainly<T>::store(e.output.memory, at, step, e.dtype, count, values);
        return;
    }
    if constexpr (std::is_same<T, float>::value || std::is_same<T, int32_t>::value) { /* as forms begin */
        float x[N];
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = (float)values[i];
        form_run<N, DOWN>(e.form, batch, row, column, count, x);
        store_floats(e.output.memory, at, step, e.dtype, count, x);
    }
}

template <typename T>
static __device__ __forceinline__ void cuda_epilogue_store(const struct cuda_epilogue &e, int64_t batch, int64_t row,
                                                           int64_t column, T result)
{
    const T values[1] = {result};
    cuda_epilogue_store_line<false>(e, batch, row, column, 1, values);
}

#endif
