/* Family matmul by multiplications and additions of any type. */
#include "kernels/cuda/matmul.h"

/* --- operands ---------------------------------------------------------------------------------------------------- */

static bool is_multiple_of_four(const struct matmul_params *p, const struct matrix_strides *s, int64_t depth)
{
    bool is = depth % 4 == 0;
    for (int i = 0; i < p->batch_rank; i++)
        is = is && s->batch[i] % 4 == 0;
    return is;
}

/* `row` and `depth`: the strides along a panel's rows and along k. */
template <typename READER>
static matrix_source<READER> source_of(const struct matmul_params *p, const struct matrix_strides *s, int64_t row,
                                       int64_t depth, const void *data)
{
    matrix_source<READER> source = {};
    source.data = (const typename READER::memory *)data;
    source.batch = matmul_batch(p, s->batch);
    source.row = row;
    source.depth = depth;
    source.way = row == 1 ? WAY_ALONG_ROWS : WAY_ALONG_DEPTH;
    if (READER::COPIES_FOURS && row == 1 && (uintptr_t)data % 16 == 0 && is_multiple_of_four(p, s, depth))
        source.way = WAY_FOURS;
    return source;
}

static void set_zeros(matrix_source<byte_reader> *source, const struct matmul_params *p, enum dtype dtype,
                      const void *zeros, const struct matrix_strides *s, int64_t row)
{
    source->reader = {dtype == DTYPE_I8, (const uint8_t *)zeros, row};
    source->zero_batch = matmul_batch(p, s->batch);
}

/* --- the kernels ------------------------------------------------------------------------------------------------- */

template <typename T> static void run_plain(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct matmul_params *p = (const struct matmul_params *)plan->params;
    typedef matrix_source<plain_reader<T>> source;
    product_arguments<source, source, matmul_finish<T>> a = {
        matmul_sizes(p, p->k, DEPTH),
        source_of<plain_reader<T>>(p, &p->a, p->a.row, p->a.column, call->inputs[0]),
        source_of<plain_reader<T>>(p, &p->b, p->b.column, p->b.row, call->inputs[1]),
        matmul_finish_of<T>(plan, call),
        nullptr,
    };
    if (a.sizes.slices > 1)
        a.partial = (T *)call->shared;
    product_enqueue(call, a);
}

static void run_narrow(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct matmul_params *p = (const struct matmul_params *)plan->params;
    typedef matrix_source<byte_reader> source;
    product_arguments<source, source, matmul_finish<uint32_t>> a = {
        matmul_sizes(p, p->k, DEPTH),
        source_of<byte_reader>(p, &p->a, p->a.row, p->a.column, call->inputs[0]),
        source_of<byte_reader>(p, &p->b, p->b.column, p->b.row, call->inputs[1]),
        matmul_finish_of<uint32_t>(plan, call),
        nullptr,
    };
    set_zeros(&a.a, p, p->a_dtype, call->inputs[3], &p->a_zero, p->a_zero.row);
    set_zeros(&a.b, p, p->b_dtype, call->inputs[4], &p->b_zero, p->b_zero.column);
    if (a.sizes.slices > 1)
        a.partial = (uint32_t *)call->shared;
    product_enqueue(call, a);
}

static void matmul_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct matmul_params *p = (const struct matmul_params *)plan->params;
    (void)task;
    if (matmul_is_narrow(p))
        run_narrow(plan, call);
    else if (p->dtype == DTYPE_F32)
        run_plain<float>(plan, call);
    else if (p->dtype == DTYPE_F64)
        run_plain<double>(plan, call);
    else if (p->dtype == DTYPE_I32 || p->dtype == DTYPE_U32)
        run_plain<uint32_t>(plan, call);
    else
        run_plain<uint64_t>(plan, call);
    struct epilogue epilogue = matmul_epilogue(p);
    cuda_epilogue_finish(&epilogue, plan, call);
}

static bool matmul_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                        struct kernel_plan *plan)
{
    const struct matmul_params *p = (const struct matmul_params *)params;
    product_sizes sizes = matmul_sizes(p, p->k, DEPTH);
    (void)facts;
    (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    plan->shared_bytes = product_partial_bytes(&sizes, product_element_bytes(p->dtype));
    struct epilogue epilogue = matmul_epilogue(p);
    cuda_epilogue_reserve(&epilogue, plan);
    return true;
}

static bool matmul_supports(const void *params)
{
    const struct matmul_params *p = (const struct matmul_params *)params;
    bool same = p->a_dtype == p->dtype && p->b_dtype == p->dtype;
    bool known = p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64 || p->dtype == DTYPE_I32 || p->dtype == DTYPE_U32 ||
                 p->dtype == DTYPE_I64 || p->dtype == DTYPE_U64;
    return matmul_fits(p) && ((same && known) || matmul_is_narrow(p));
}

extern "C" const struct kernel matmul_cuda = {
    .name = "matmul_cuda",
    .family = FAMILY_matmul,
    .requires = DEVICE_CUDA,
    .supports = matmul_supports,
    .plan = matmul_plan,
    .run = matmul_run,
    .explain = cuda_program_explain,
};
