/* MatMul and Gemm. */
#include "graph/ops/matmul.h"

#include "graph/ops/tools.h"

#define TYPES_MATMUL (TYPES_FLOAT | TYPE(DTYPE_I32) | TYPE(DTYPE_I64) | TYPE(DTYPE_U32) | TYPE(DTYPE_U64))

/* --- MatMul ----------------------------------------------------------------------------------------------- */

enum status op_matmul_params(struct op_context *c, struct matmul_params *p)
{
    const struct value *a = op_input(c, 0), *b = op_input(c, 1);
    struct value a_batch = *a, b_batch = *b;
    a_batch.rank = a->rank > 2 ? a->rank - 2 : 0;
    b_batch.rank = b->rank > 2 ? b->rank - 2 : 0;
    int64_t depth = b->rank == 1 ? b->dims[0] : b->dims[b->rank - 2];
    *p = (struct matmul_params){
        .m = a->rank == 1 ? 1 : a->dims[a->rank - 2],
        .n = b->rank == 1 ? 1 : b->dims[b->rank - 1],
        .k = a->dims[a->rank - 1],
    };
    if (p->k != depth)
        return op_error(c, STATUS_INVALID_ARGUMENT, "rows of %lld elements do not fit columns of %lld", (long long)p->k,
                        (long long)depth);
    TRY(op_broadcast(c, 2, (struct value *[]){&a_batch, &b_batch}, &p->batch_rank, p->batch));
    broadcast_strides(&a_batch, p->batch_rank, p->a.batch);
    broadcast_strides(&b_batch, p->batch_rank, p->b.batch);
    contiguous_strides(p->batch_rank, p->batch, p->c.batch);
    for (int i = 0; i < p->batch_rank; i++) {
        p->a.batch[i] *= p->m * p->k;
        p->b.batch[i] *= p->k * p->n;
        p->c.batch[i] *= p->m * p->n;
    }
    p->a.row = p->k;
    p->b.row = p->c.row = p->n;
    p->a.column = p->b.column = p->c.column = 1;
    return STATUS_OK;
}

static enum status shapes_matmul(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_MATMUL));
    TRY(op_require(c, 1, TYPE(op_input(c, 0)->dtype)));
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    TRY(op_require_rank(c, 1, 1, MAX_RANK));
    struct matmul_params p;
    TRY(op_matmul_params(c, &p));
    int rank = p.batch_rank;
    if (op_input(c, 0)->rank > 1)
        p.batch[rank++] = p.m;
    if (op_input(c, 1)->rank > 1)
        p.batch[rank++] = p.n;
    return op_set_output(c, 0, op_input(c, 0)->dtype, rank, p.batch);
}

void op_merge_batch(struct matmul_params *p)
{
    int64_t rows = p->m;
    for (int i = p->batch_rank - 1; i >= 0; i--) {
        if (p->batch[i] != 1 && (p->b.batch[i] != 0 || p->a.batch[i] != rows * p->k || p->b_zero.batch[i] != 0 ||
                                 p->a_zero.batch[i] != rows * p->a_zero.row))
            return;
        rows *= p->batch[i];
    }
    p->m = rows;
    p->batch_rank = 0;
}

static enum status lower_matmul(struct op_context *c)
{
    struct matmul_params p;
    TRY(op_matmul_params(c, &p));
    p.dtype = p.a_dtype = p.b_dtype = op_input(c, 0)->dtype;
    op_merge_batch(&p);
    if (value_elements(op_output(c, 0)) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_matmul, &p, sizeof p, 3, (struct value *[]){op_input(c, 0), op_input(c, 1), NULL}, 1,
                   c->node->outputs, 0);
}

OPERATOR(MatMul, 2, 2, 1, 1, shapes_matmul, .flags = OP_HALF_AS_F32, .lower = lower_matmul)

/* --- MatMulScaled: (a, b of 8 bits, scales of its columns, one for all or a list): a (b scales), b made f32 ------- */

static enum status scaled_params(struct op_context *c, struct matmul_params *p)
{
    TRY(op_require(c, 0, TYPE(DTYPE_F32)));
    TRY(op_require(c, 1, TYPE(DTYPE_I8) | TYPE(DTYPE_U8)));
    TRY(op_require(c, 2, TYPE(DTYPE_F32)));
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    TRY(op_require_rank(c, 1, 2, 2));
    TRY(op_matmul_params(c, p));
    int64_t count = value_elements(op_input(c, 2));
    if (count != 1 && count != p->n)
        return op_error(c, STATUS_INVALID_MODEL, "%lld scales are none for each of %lld columns", (long long)count,
                        (long long)p->n);
    p->dtype = p->a_dtype = DTYPE_F32;
    p->b_dtype = op_input(c, 1)->dtype;
    p->b_zero.column = count > 1;
    return STATUS_OK;
}

static enum status shapes_scaled(struct op_context *c)
{
    struct matmul_params p;
    TRY(scaled_params(c, &p));
    int rank = p.batch_rank;
    if (op_input(c, 0)->rank > 1)
        p.batch[rank++] = p.m;
    p.batch[rank++] = p.n;
    return op_set_output(c, 0, DTYPE_F32, rank, p.batch);
}

static enum status lower_scaled(struct op_context *c)
{
    struct matmul_params p;
    TRY(scaled_params(c, &p));
    op_merge_batch(&p);
    if (value_elements(op_output(c, 0)) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_matmul, &p, sizeof p, MATMUL_INPUTS,
                   (struct value *[]){op_input(c, 0), op_input(c, 1), NULL, NULL, op_input(c, 2)}, 1, c->node->outputs,
                   0);
}

const struct op op_infer_MatMulScaled = {
    .domain = OWN_DOMAIN,
    .name = "MatMulScaled",
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    ATTRIBUTES_OF(infer_MatMulScaled),
    .shapes = shapes_scaled,
    .lower = lower_scaled,
};

/* --- Gemm ------------------------------------------------------------------------------------------------- */

enum status op_gemm_params(struct op_context *c, struct matmul_params *p)
{
    const struct value *a = op_input(c, 0), *b = op_input(c, 1);
    int ta = op_int(c, "transA") != 0, tb = op_int(c, "transB") != 0;
    *p = (struct matmul_params){.m = a->dims[ta], .k = a->dims[1 - ta], .n = b->dims[1 - tb]};
    if (b->dims[tb] != p->k)
        return op_error(c, STATUS_INVALID_ARGUMENT, "rows of %lld elements do not fit columns of %lld", (long long)p->k,
                        (long long)b->dims[tb]);
    p->a.row = ta ? 1 : p->k;
    p->a.column = ta ? p->m : 1;
    p->b.row = tb ? 1 : p->n;
    p->b.column = tb ? p->k : 1;
    p->c.row = p->n;
    p->c.column = 1;
    return STATUS_OK;
}

enum status op_gemm_check_addend(struct op_context *c, const struct matmul_params *p, const struct value *addend)
{
    const int64_t dims[2] = {p->m, p->n};
    for (int i = 1; addend && i <= addend->rank; i++) {
        int64_t dim = addend->dims[addend->rank - i];
        if (i > 2 || (dim != 1 && dim != dims[2 - i])) {
            char text[120];
            return op_error(c, STATUS_INVALID_MODEL, "C of shape %s does not broadcast to %lldx%lld",
                            value_shape_text(NULL, addend, text, sizeof text), (long long)p->m, (long long)p->n);
        }
    }
    return STATUS_OK;
}

void op_gemm_addend(struct matmul_params *p, const struct value *addend)
{
    int64_t strides[2];
    broadcast_strides(addend, 2, strides);
    p->d.row = strides[0];
    p->d.column = strides[1];
}

static enum status shapes_gemm(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_MATMUL));
    TRY(op_require(c, 1, TYPE(op_input(c, 0)->dtype)));
    TRY(op_allow(c, 2, TYPE(op_input(c, 0)->dtype)));
    TRY(op_require_rank(c, 0, 2, 2));
    TRY(op_require_rank(c, 1, 2, 2));
    struct matmul_params p;
    TRY(op_gemm_params(c, &p));
    TRY(op_gemm_check_addend(c, &p, op_input(c, 2)));
    return op_set_output(c, 0, op_input(c, 0)->dtype, 2, (int64_t[]){p.m, p.n});
}

/* Y = alpha product + beta C; integers by way of float64. */
static enum status lower_scaling(struct op_context *c, struct value *product, double alpha, double beta)
{
    static const uint8_t back[CLASS_COUNT] = {POINTWISE_MOVE, POINTWISE_MOVE, POINTWISE_TO_I64, POINTWISE_TO_U64};
    struct value *addend = op_input(c, 2), *output = op_output(c, 0);
    enum pointwise_class class = pointwise_class_of(output->dtype);
    uint8_t inner = class == CLASS_F32 ? CLASS_F32 : CLASS_F64;
    const double factors[2] = {alpha, beta};
    struct pointwise_builder params = {.input_count = addend ? 2 : 1, .output_count = 1};
    int n = 0;
    for (uint8_t i = 0; i < params.input_count; i++) {
        uint8_t x = (uint8_t)(2 + i), factor = (uint8_t)(4 + i);
        params.code[n++] = (struct pointwise_instruction){.opcode = class == inner ? POINTWISE_MOVE : POINTWISE_TO_F64,
                                                          .register_class = (uint8_t) class,
                                                          .target = x,
                                                          .a = i};
        params.code[n++] = (struct pointwise_instruction){
            .opcode = POINTWISE_CONSTANT, .register_class = inner, .target = factor, .immediate = {factors[i]}};
        params.code[n++] = (struct pointwise_instruction){
            .opcode = POINTWISE_MUL, .register_class = inner, .target = x, .a = x, .b = factor};
    }
    if (addend)
        params.code[n++] = (struct pointwise_instruction){
            .opcode = POINTWISE_ADD, .register_class = inner, .target = 2, .a = 2, .b = 3};
    params.code[n++] =
        (struct pointwise_instruction){.opcode = back[class], .register_class = inner, .target = 2, .a = 2};
    params.instruction_count = n;
    params.operands[params.input_count].reg = 2;
    return op_pointwise(c, &params, (struct value *[]){product, addend}, &output);
}

static enum status lower_gemm(struct op_context *c)
{
    struct matmul_params p;
    TRY(op_gemm_params(c, &p));
    p.dtype = p.a_dtype = p.b_dtype = op_input(c, 0)->dtype;
    struct value *addend = op_input(c, 2), *output = op_output(c, 0), *product = output;
    double alpha = (double)op_float(c, "alpha"), beta = (double)op_float(c, "beta");
    bool scaled = alpha != 1 || (addend && beta != 1);
    if (value_elements(output) == 0)
        return STATUS_OK;
    if (addend && !scaled)
        op_gemm_addend(&p, addend);
    if (scaled)
        product = op_temporary(c, output->dtype, 2, output->dims);
    if (!product)
        return op_no_memory(c);
    TRY(op_emit(c, FAMILY_matmul, &p, sizeof p, 3,
                (struct value *[]){op_input(c, 0), op_input(c, 1), scaled ? NULL : addend}, 1, &product, 0));
    return scaled ? lower_scaling(c, product, alpha, beta) : STATUS_OK;
}

OPERATOR(Gemm, 2, 3, 1, 1, shapes_gemm, .flags = OP_HALF_AS_F32, .lower = lower_gemm)
