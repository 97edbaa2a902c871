#include "kernels/walk.h"

#include "kernels/cuda/epilogue.h"

#define THREADS 256
#define LINE 4 /* elements that a thread has at once */

/* --- rows of operations: results are the program's input 0 ------------------------------------------------------- */

struct form_arguments {
    int64_t rows, columns;
    struct cuda_place x; /* strides: row, column */
    struct cuda_epilogue epilogue;
};

template <typename T> static __device__ __forceinline__ T number_of(const void *memory, int64_t at)
{
    return ((const T *)memory)[at];
}

/* LINE neighbours along the last axis; threads of a warp have neighbouring lines. */
template <typename T> static __global__ void pointwise_form(const __grid_constant__ form_arguments a)
{
    int64_t lines = (a.columns + LINE - 1) / LINE, threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.rows * lines; i += threads) {
        int64_t line, row = split_index(i, lines, &line), column = line * LINE;
        int count = a.columns - column < LINE ? (int)(a.columns - column) : LINE;
        int64_t at = row * a.x.row + column * a.x.column;
        const T *from = (const T *)a.x.memory + at;
        T values[LINE];
        if (count == LINE && a.x.column == 1 && ((uintptr_t)from & (LINE * sizeof(T) - 1)) == 0) {
            uint4 all = load_16(from);
            memcpy(values, &all, sizeof values);
        } else {
#pragma unroll
            for (int k = 0; k < LINE; k++)
                values[k] = k < count ? from[k * a.x.column] : (T)0;
        }
        cuda_epilogue_store_line<false>(a.epilogue, 0, row, column, count, values);
    }
}

/* --- any program ------------------------------------------------------------------------------------------------- */

struct pointwise_arguments {
    int64_t elements;
    int run; /* neighbours that are one thread's, so that no two write one byte */
    struct cuda_program program;
};

static __device__ __attribute__((noinline)) void run_element(const struct cuda_program &p, int64_t index)
{
    union cuda_register registers[POINTWISE_MAX_REGISTERS];
    int64_t offsets[POINTWISE_MAX_OPERANDS] = {};
    move_along(p.code, 0, p.code.rank, index, offsets);
    run_program(p, offsets, registers);
}

static __global__ void pointwise_interpret(const __grid_constant__ pointwise_arguments a)
{
    int64_t runs = (a.elements + a.run - 1) / a.run, threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < runs; i += threads)
        for (int64_t k = i * a.run; k < least(a.elements, (i + 1) * a.run); k++)
            run_element(a.program, k);
}

/* --- the kernels ------------------------------------------------------------------------------------------------- */

/* The program as the epilogue of a copy of its input 0: columns are the last axis. */
static struct epilogue as_epilogue(const struct pointwise_params *p)
{
    int64_t columns = p->dims[p->rank - 1];
    return {p, 0, {1, elements(p->rank - 1, p->dims), columns}};
}

static bool form_supports(const void *params)
{
    const struct pointwise_params *p = (const struct pointwise_params *)params;
    struct epilogue epilogue = as_epilogue(p);
    struct epilogue_form form;
    int first[EPILOGUE_AXES + 1];
    struct cuda_place place;
    if (p->input_count == 0 || p->output_count != 1 ||
        epilogue.dims[EPILOGUE_ROWS] * epilogue.dims[EPILOGUE_COLUMNS] == 0)
        return false;
    epilogue_axes(&epilogue, first);
    if (!epilogue_recognise(&epilogue, &form))
        return false;
    for (int i = 0; i < pointwise_operand_count(p); i++)
        if (!cuda_place_make(p, first, i, NULL, &place))
            return false;
    return true;
}

static void form_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct pointwise_params *p = (const struct pointwise_params *)plan->params;
    struct epilogue epilogue = as_epilogue(p);
    int first[EPILOGUE_AXES + 1];
    form_arguments a = {};
    struct kernel_call others = *call;
    (void)task;
    others.inputs = call->inputs + 1;
    epilogue_axes(&epilogue, first);
    a.rows = epilogue.dims[EPILOGUE_ROWS];
    a.columns = epilogue.dims[EPILOGUE_COLUMNS];
    cuda_place_make(p, first, 0, call->inputs[0], &a.x);
    a.epilogue = cuda_epilogue_make(&epilogue, plan, &others, DTYPE_F32, NULL);
    unsigned blocks = grid_for(a.rows * divide_up(a.columns, LINE), THREADS);
    if (p->operands[0].dtype == DTYPE_I32)
        cuda_launch(call, pointwise_form<int32_t>, blocks, THREADS, 0, a);
    else
        cuda_launch(call, pointwise_form<float>, blocks, THREADS, 0, a);
}

void cuda_program_enqueue(const struct kernel_call *call, const struct cuda_program &program)
{
    const struct pointwise_builder &code = program.code;
    pointwise_arguments a = {elements(code.rank, code.dims), 1, program};
    for (int i = code.input_count; i < code.input_count + code.output_count; i++)
        if (packed_bits(code.operands[i].dtype) < 8)
            a.run = 4;
    if (a.elements > 0)
        cuda_launch(call, pointwise_interpret, grid_for(divide_up(a.elements, a.run), THREADS), THREADS, 0, a);
}

static bool interpret_supports(const void *params)
{
    (void)params;
    return true;
}

static void interpret_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct pointwise_params *p = (const struct pointwise_params *)plan->params;
    struct cuda_program program = {};
    (void)task;
    cuda_program_make(&program, p, call);
    for (int i = 0; i < p->input_count; i++)
        program.operands[i] = const_cast<void *>(call->inputs[i]);
    for (int i = 0; i < p->output_count; i++)
        program.operands[p->input_count + i] = call->outputs[i];
    cuda_program_enqueue(call, program);
}

extern "C" const struct kernel pointwise_form_cuda = {
    .name = "pointwise_form_cuda",
    .family = FAMILY_pointwise,
    .requires = DEVICE_CUDA,
    .supports = form_supports,
    .run = form_run,
};

extern "C" const struct kernel pointwise_cuda = {
    .name = "pointwise_cuda",
    .family = FAMILY_pointwise,
    .requires = DEVICE_CUDA,
    .supports = interpret_supports,
    .run = interpret_run,
    .explain = cuda_program_explain,
};
