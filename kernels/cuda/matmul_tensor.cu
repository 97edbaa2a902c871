/* Family matmul by tensor cores: f32 rounded to half precision, bfloat16 or TF32 where that is allowed, and bytes.
 * Operands are staged first (kernels/cuda/staging.h), unless they are bytes that already lie as the product reads them.
 */
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/tensor.h"

#define PANEL_FORM 0x74656e73 /* of the pack; the form of staging is added */

/* --- what is where ----------------------------------------------------------------------------------------------- */

static bool is_shared(const struct matmul_params *p, const int64_t *strides)
{
    for (int i = 0; i < p->batch_rank; i++)
        if (strides[i] != 0)
            return false;
    return true;
}

/* An operand by rows along k; its matrices are staged once where the whole batch shares one. */
static staging staging_of(const struct matmul_params *p, enum staging_form form, const struct matrix_strides *s,
                          int64_t rows, int64_t row, int64_t depth)
{
    staging stage = {};
    stage.form = form;
    for (int i = 0; i < p->batch_rank && !is_shared(p, s->batch); i++)
        staging_axis(&stage, p->batch[i], s->batch[i]);
    staging_axis(&stage, rows, row);
    staging_depth(&stage, p->k, depth);
    return stage;
}

/* Whether bytes of A can be read where they are. */
static bool reads_in_place(const struct matmul_params *p)
{
    bool is = matmul_is_narrow(p) && p->a.column == 1 && p->k % CHUNK == 0 && p->a.row % CHUNK == 0;
    for (int i = 0; i < p->batch_rank; i++)
        is = is && p->a.batch[i] % CHUNK == 0;
    return is;
}

/* The step's workspace, and the pack: rows of B, then their sums where they are bytes. */
struct layout {
    staging a, b;
    product_sizes sizes;
    size_t b_rows, b_bytes, a_bytes, partial_bytes;
};

template <enum tensor_kind KIND> static layout layout_of(const struct matmul_params *p)
{
    layout l = {};
    l.a = staging_of(p, tensor_form<KIND>(false, p->a_dtype), &p->a, p->m, p->a.row, p->a.column);
    l.b = staging_of(p, tensor_form<KIND>(true, p->b_dtype), &p->b, p->n, p->b.column, p->b.row);
    l.sizes = matmul_sizes(p, staging_pitch(&l.b), STAGE_BYTES);
    l.b_rows = align_up(staging_bytes(&l.b), ALIGNMENT);
    l.b_bytes = l.b_rows + (tensor_sums<KIND>::IS_BYTES ? align_up((size_t)staging_rows(&l.b) * 4, ALIGNMENT) : 0);
    l.a_bytes = reads_in_place(p) ? 0 : align_up(staging_bytes(&l.a), ALIGNMENT);
    l.partial_bytes = product_partial_bytes(&l.sizes, 4);
    return l;
}

/* --- running ----------------------------------------------------------------------------------------------------- */

/* Where B's rows are; brought there first if they are no constant. */
template <enum tensor_kind KIND>
static const unsigned char *staged_b(const struct kernel_plan *plan, const struct kernel_call *call, layout *l)
{
    if (plan->pack_count)
        return (const unsigned char *)call->packed[0];
    l->b.from = call->inputs[1];
    l->b.to = call->shared;
    staging_enqueue(call, l->b);
    if (tensor_sums<KIND>::IS_BYTES)
        row_sums_enqueue(call, l->b.to, (int32_t *)((char *)call->shared + l->b_rows), staging_rows(&l->b),
                         staging_pitch(&l->b));
    return (const unsigned char *)call->shared;
}

static tensor_matrix staged_a(const struct matmul_params *p, const struct kernel_call *call, layout *l, char *room)
{
    tensor_matrix a = {};
    if (reads_in_place(p)) {
        a.data = (const unsigned char *)call->inputs[0];
        a.batch = matmul_batch(p, p->a.batch);
        a.pitch = p->a.row;
        return a;
    }
    l->a.from = call->inputs[0];
    l->a.to = room;
    staging_enqueue(call, l->a);
    a.data = (const unsigned char *)room;
    a.pitch = staging_pitch(&l->a);
    a.batch = {1, {matmul_matrices(p)}, {is_shared(p, p->a.batch) ? 0 : p->m * a.pitch}};
    return a;
}

static tensor_zeros zeros_of(const struct matmul_params *p, const struct kernel_call *call, const layout *l,
                             const unsigned char *b)
{
    return {
        (const uint8_t *)call->inputs[3],
        (const uint8_t *)call->inputs[4],
        p->a_dtype == DTYPE_I8,
        p->b_dtype == DTYPE_I8,
        p->a_zero.row,
        p->b_zero.column,
        matmul_batch(p, p->a_zero.batch),
        matmul_batch(p, p->b_zero.batch),
        (const int32_t *)(b + l->b_rows),
        is_shared(p, p->b.batch) ? 0 : p->n,
        (int)p->k,
    };
}

template <enum tensor_kind KIND, bool LARGER>
static void run_kind(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    typedef typename tensor_sums<KIND>::result result;
    const struct matmul_params *p = (const struct matmul_params *)plan->params;
    layout l = layout_of<KIND>(p);
    char *room = (char *)call->shared + (plan->pack_count ? 0 : l.b_bytes);
    (void)task;
    if (l.sizes.matrices * p->m * p->n == 0)
        return;
    const unsigned char *b = staged_b<KIND>(plan, call, &l);
    tensor_arguments<KIND, tensor_matrix, matmul_finish<result>> a = {
        l.sizes,
        staged_a(p, call, &l, room),
        b,
        is_shared(p, p->b.batch) ? 0 : p->n * staging_pitch(&l.b),
        staging_pitch(&l.b),
        zeros_of(p, call, &l, b),
        matmul_finish_of<result>(plan, call),
        l.sizes.slices > 1 ? (result *)(room + l.a_bytes) : nullptr,
    };
    tensor_enqueue<LARGER>(call, a);
    struct epilogue epilogue = matmul_epilogue(p);
    cuda_epilogue_finish(&epilogue, plan, call);
}

static void run_bytes(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct matmul_params *p = (const struct matmul_params *)plan->params;
    if (p->a_dtype == DTYPE_U8)
        run_kind<TENSOR_U8, false>(plan, call, task);
    else
        run_kind<TENSOR_I8, false>(plan, call, task);
}

/* --- packs ------------------------------------------------------------------------------------------------------- */

template <enum tensor_kind KIND>
static bool plan_kind(const void *params, const struct kernel_facts *facts, struct region *region,
                      struct kernel_plan *plan)
{
    const struct matmul_params *p = (const struct matmul_params *)params;
    layout l = layout_of<KIND>(p);
    (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    bool packs = facts->constant_inputs & 1u << 1;
    struct epilogue epilogue = matmul_epilogue(p);
    plan->shared_bytes = l.a_bytes + l.partial_bytes + (packs ? 0 : l.b_bytes);
    cuda_epilogue_reserve(&epilogue, plan);
    if (!packs)
        return true;
    plan->pack_count = 1;
    struct kernel_pack *pack = &plan->packs[0];
    pack->input = 1;
    pack->form = PANEL_FORM + (uint32_t)l.b.form;
    pack->tasks = 1;
    pack->bytes = l.b_bytes;
    pack->geometry[0] = l.b.rank;
    pack->geometry[1] = l.b.depth;
    pack->geometry[2] = l.b.depth_stride;
    for (int i = 0; i < l.b.rank; i++) {
        pack->geometry[3 + 2 * i] = l.b.dims[i];
        pack->geometry[4 + 2 * i] = l.b.strides[i];
    }
    return true;
}

template <enum tensor_kind KIND>
static void pack_kind(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    layout l = layout_of<KIND>((const struct matmul_params *)plan->params);
    (void)which, (void)task;
    l.b.from = from;
    l.b.to = to;
    memset(to, 0, l.b_bytes);
    staging_pack(&l.b);
    if (tensor_sums<KIND>::IS_BYTES)
        row_sums_pack(to, (int32_t *)((char *)to + l.b_rows), staging_rows(&l.b), staging_pitch(&l.b));
}

/* --- the kernels ------------------------------------------------------------------------------------------------- */

/* Products of a vector are as fast as memory by whatever means. */
static bool is_worth_it(const struct matmul_params *p)
{
    return p->m >= 8 && p->n >= 8 && p->k >= 8 && p->k < PRODUCT_LONGEST / 4 && matmul_fits(p);
}

static bool supports_floats(const void *params)
{
    const struct matmul_params *p = (const struct matmul_params *)params;
    return p->dtype == DTYPE_F32 && !matmul_is_scaled(p) && is_worth_it(p);
}

static bool supports_bytes(const void *params)
{
    const struct matmul_params *p = (const struct matmul_params *)params;
    return matmul_is_narrow(p) && is_worth_it(p);
}

TENSOR_KERNEL(matmul, f16, CUDA_SM80 | CUDA_HALF, TENSOR_F16, supports_floats, run_kind<TENSOR_F16, true>);
TENSOR_KERNEL(matmul, f16_sm75, CUDA_HALF, TENSOR_F16, supports_floats, run_kind<TENSOR_F16, false>);
TENSOR_KERNEL(matmul, bf16, CUDA_SM80 | CUDA_BF16, TENSOR_BF16, supports_floats, run_kind<TENSOR_BF16, true>);
TENSOR_KERNEL(matmul, tf32, CUDA_SM80 | CUDA_TF32, TENSOR_TF32, supports_floats, run_kind<TENSOR_TF32, true>);
TENSOR_KERNEL(matmul, i8, 0u, TENSOR_I8, supports_bytes, run_bytes);
