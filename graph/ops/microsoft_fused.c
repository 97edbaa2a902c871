/* Operators of com.microsoft that stand for others with something before or behind: FusedMatMul, FusedGemm, FusedConv,
 * NhwcMaxPool. */
#include "graph/ops/build.h"
#include "graph/ops/microsoft.h"
#include "graph/ops/window.h"

#include <string.h>

/* --- FusedMatMul: alpha A B, of operands that are transposed first ---------------------------------------- */

/* The order in which an operand's axes are taken: transBatch moves the first axis behind the batch, then trans swaps
 * the last two. False where none of them moves. */
static bool operand_order(const struct op_context *c, int i, int64_t *order)
{
    int rank = op_input(c, i)->rank;
    bool batch = rank > 2 && op_int(c, i == 0 ? "transBatchA" : "transBatchB") != 0;
    bool swap = rank > 1 && op_int(c, i == 0 ? "transA" : "transB") != 0;
    for (int k = 0; k < rank; k++)
        order[k] = k;
    for (int k = 0; batch && k + 1 < rank; k++)
        order[k] = k + 2 < rank ? k + 1 : 0;
    if (swap) {
        int64_t last = order[rank - 1];
        order[rank - 1] = order[rank - 2];
        order[rank - 2] = last;
    }
    return batch || swap;
}

static enum status shapes_fused_matmul(struct op_context *c)
{
    struct value seen[2], *inputs[2] = {&seen[0], &seen[1]};
    for (int i = 0; i < 2; i++) {
        int64_t order[MAX_RANK];
        TRY(op_require(c, i, i == 0 ? TYPES_FLOAT : TYPE(op_input(c, 0)->dtype)));
        TRY(op_require_rank(c, i, 1, MAX_RANK));
        operand_order(c, i, order);
        seen[i] = *op_input(c, i);
        for (int k = 0; k < seen[i].rank; k++)
            seen[i].dims[k] = op_input(c, i)->dims[order[k]];
    }
    return op_shapes_like(c, "MatMul", 2, inputs, op_input(c, 0)->dtype);
}

static enum status expand_fused_matmul(struct op_context *c)
{
    struct value *operands[2];
    float alpha = op_float(c, "alpha");
    for (int i = 0; i < 2; i++) {
        int64_t order[MAX_RANK];
        struct value *x = op_input(c, i);
        operands[i] = operand_order(c, i, order) ? build_transpose(c, x, x->rank, order) : x;
    }
    struct value *product = op_build2(c, "MatMul", operands[0], operands[1]);
    if (alpha != 1)
        product = op_build2(c, "Mul", product, build_number(c, op_input(c, 0)->dtype, (double)alpha));
    return build_output(c, 0, product);
}

MICROSOFT_OPERATOR(FusedMatMul, 2, 2, 1, 1, shapes_fused_matmul, .expand = expand_fused_matmul)

/* --- activations by name ---------------------------------------------------------------------------------- */

/* What a fused activation may be, and what its parameters are called where it stands alone. */
static const struct activation {
    const char *name, *parameters[2];
} activations[] = {
    {"Celu", {"alpha", NULL}},
    {"Clip", {NULL, NULL}},
    {"Elu", {"alpha", NULL}},
    {"HardSigmoid", {"alpha", "beta"}},
    {"HardSwish", {NULL, NULL}},
    {"LeakyRelu", {"alpha", NULL}},
    {"Relu", {NULL, NULL}},
    {"Selu", {"alpha", "gamma"}},
    {"Sigmoid", {NULL, NULL}},
    {"Softplus", {NULL, NULL}},
    {"Softsign", {NULL, NULL}},
    {"Tanh", {NULL, NULL}},
    {"ThresholdedRelu", {"alpha", NULL}},
};

/* NULL: there is none. */
static enum status read_activation(struct op_context *c, const struct activation **activation)
{
    const char *name = op_string_or(c, "activation", "");
    *activation = NULL;
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(name, activations[i].name) == 0)
            *activation = &activations[i];
    if (*activation || *name == '\0')
        return STATUS_OK;
    return op_error(c, STATUS_UNSUPPORTED, "the activation '%s' is not supported", name);
}

/* --- FusedGemm -------------------------------------------------------------------------------------------- */

static enum status shapes_fused_gemm(struct op_context *c)
{
    const struct activation *activation;
    TRY(read_activation(c, &activation));
    if (activation && strcmp(activation->name, "Clip") == 0)
        return op_error(c, STATUS_UNSUPPORTED, "the activation 'Clip' is not supported: no attributes hold its bounds");
    return op_shapes_like(c, "Gemm", c->node->input_count, c->node->inputs, DTYPE_NONE);
}

static struct value *activated_by_attributes(struct op_context *c, const struct activation *activation, struct value *x)
{
    struct attribute attributes[2];
    int count = 0;
    for (int i = 0; i < 2 && activation->parameters[i]; i++) {
        char key[32] = "activation_";
        strcat(key, activation->parameters[i]);
        if (op_has(c, key))
            attributes[count++] = ATTRIBUTE_F(activation->parameters[i], op_float_or(c, key, 0));
    }
    return build_with(c, activation->name, 1, &x, count, attributes);
}

static enum status expand_fused_gemm(struct op_context *c)
{
    static const char *const names[] = {"alpha", "beta", "transA", "transB"};
    struct attribute attributes[4];
    const struct activation *activation;
    TRY(read_activation(c, &activation));
    int count = build_attributes(c, 4, names, attributes);
    struct value *y = build_with(c, "Gemm", c->node->input_count, c->node->inputs, count, attributes);
    return build_output(c, 0, activation ? activated_by_attributes(c, activation, y) : y);
}

MICROSOFT_OPERATOR(FusedGemm, 2, 3, 1, 1, shapes_fused_gemm, .expand = expand_fused_gemm)

/* --- FusedConv: (x, weights, bias, addend) ---------------------------------------------------------------- */

static enum status shapes_fused_conv(struct op_context *c)
{
    const struct activation *activation;
    TRY(read_activation(c, &activation));
    TRY(op_shapes_like(c, "Conv", c->node->input_count < 3 ? 2 : 3, c->node->inputs, DTYPE_NONE));
    const struct value *y = op_output(c, 0), *addend = op_input(c, 3);
    TRY(op_allow(c, 3, TYPE(y->dtype)));
    bool fits = !addend || addend->rank == y->rank;
    for (int i = 0; addend && fits && i < y->rank; i++)
        fits = addend->dims[i] == y->dims[i];
    return fits ? STATUS_OK : op_error(c, STATUS_INVALID_ARGUMENT, "what is added has another shape than the result");
}

/* activation_params in the order of the operator's own. */
static struct value *activated_by_list(struct op_context *c, const struct activation *activation, struct value *x)
{
    struct attribute attributes[2];
    int given, count = 0;
    const float *list = op_float_list(c, "activation_params", &given);
    if (strcmp(activation->name, "Clip") == 0) {
        enum dtype dtype = op_input(c, 0)->dtype;
        struct value *inputs[3] = {x, given > 0 ? build_number(c, dtype, (double)list[0]) : NULL,
                                   given > 1 ? build_number(c, dtype, (double)list[1]) : NULL};
        return op_build(c, "Clip", 3, inputs, NULL);
    }
    for (; count < 2 && count < given && activation->parameters[count]; count++)
        attributes[count] = ATTRIBUTE_F(activation->parameters[count], list[count]);
    return build_with(c, activation->name, 1, &x, count, attributes);
}

static enum status expand_fused_conv(struct op_context *c)
{
    static const char *const names[] = {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"};
    struct attribute attributes[6];
    const struct activation *activation;
    TRY(read_activation(c, &activation));
    int count = build_attributes(c, 6, names, attributes);
    struct value *y = build_with(c, "Conv", op_input(c, 2) ? 3 : 2, c->node->inputs, count, attributes);
    if (op_input(c, 3))
        y = op_build2(c, "Add", y, op_input(c, 3));
    return build_output(c, 0, activation ? activated_by_list(c, activation, y) : y);
}

MICROSOFT_OPERATOR(FusedConv, 2, 4, 1, 1, shapes_fused_conv, .expand = expand_fused_conv)

/* --- NhwcMaxPool: of images whose channels are the last axis ---------------------------------------------- */

static enum status shapes_nhwc_pool(struct op_context *c)
{
    TRY(op_require(c, 0, TYPE(DTYPE_I8) | TYPE(DTYPE_U8)));
    TRY(op_require_rank(c, 0, 3, MAX_RANK));
    struct value seen = *op_input(c, 0);
    int last = seen.rank - 1;
    for (int i = 1; i < last; i++)
        seen.dims[i + 1] = op_input(c, 0)->dims[i];
    seen.dims[1] = op_input(c, 0)->dims[last];
    TRY(op_shapes_like(c, "MaxPool", 1, (struct value *[]){&seen}, DTYPE_NONE));
    struct value *y = op_output(c, 0);
    int64_t dims[MAX_RANK];
    for (int i = 0; i <= last; i++)
        dims[i] = y->dims[i == 0 ? 0 : i == last ? 1 : i + 1];
    return op_set_output(c, 0, y->dtype, y->rank, dims);
}

static enum status expand_nhwc_pool(struct op_context *c)
{
    static const char *const names[] = {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"};
    struct attribute attributes[6];
    int rank = op_input(c, 0)->rank, count = build_attributes(c, 6, names, attributes);
    int64_t to[MAX_RANK], from[MAX_RANK];
    for (int i = 0; i < rank; i++) {
        to[i] = i == 0 ? 0 : i == 1 ? rank - 1 : i - 1;
        from[i] = i == 0 ? 0 : i == rank - 1 ? 1 : i + 1;
    }
    struct value *x = build_transpose(c, op_input(c, 0), rank, to);
    return build_output(c, 0, build_transpose(c, build_with(c, "MaxPool", 1, &x, count, attributes), rank, from));
}

MICROSOFT_OPERATOR(NhwcMaxPool, 1, 1, 1, 1, shapes_nhwc_pool, .expand = expand_nhwc_pool)
