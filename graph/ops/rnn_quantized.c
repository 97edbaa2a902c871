/* LSTMs with 8-bit weights: QuantizedLSTM of our own domain, and com.microsoft's DynamicQuantizeLSTM, which is made of
 * it.
 *
 * QuantizedLSTM: inputs x, the products of every step's input with the input weights, f32 [directions, steps, batch,
 * 4 hidden]; R, of 8 bits, [directions, hidden, 4 hidden]; and, as an LSTM has them, biases, lengths, initial h and c,
 * peepholes; scales of the columns of R, f32 [directions, 4 hidden], and, optional, their zero points, of R's type.
 * Attributes and outputs are an LSTM's. kernels/recurrent.h has what it computes. */
#include "graph/ops/build.h"
#include "graph/ops/microsoft.h"
#include "graph/ops/rnn.h"
#include "graph/ops/tools.h"

#include <string.h>

/* --- QuantizedLSTM ---------------------------------------------------------------------------------------- */

enum { X, R, BIAS, LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES, SCALES, ZEROS, INPUTS };

#define TYPES_8_BIT (TYPE(DTYPE_I8) | TYPE(DTYPE_U8))

static enum status read_quantized(struct op_context *c, struct recurrent_params *p)
{
    TRY(op_require(c, X, TYPE(DTYPE_F32)));
    TRY(op_require(c, R, TYPES_8_BIT));
    TRY(op_require(c, SCALES, TYPE(DTYPE_F32)));
    TRY(op_require_rank(c, X, 4, 4));
    TRY(op_require_rank(c, R, 3, 3));
    for (int i = BIAS; i < SCALES; i++)
        TRY(op_allow(c, i, TYPE(i == LENGTHS ? DTYPE_I32 : DTYPE_F32)));
    TRY(op_allow(c, ZEROS, TYPE(op_input(c, R)->dtype)));
    const struct value *x = op_input(c, X);
    *p = (struct recurrent_params){
        .dtype = DTYPE_F32,
        .cell = (enum recurrent_cell)c->node->op->detail,
        .quantized = true,
        .weights = op_input(c, R)->dtype,
        .steps = x->dims[1],
        .batch = x->dims[2],
        .hidden = op_input(c, R)->dims[1],
    };
    TRY(rnn_read_direction(c, p));
    TRY(rnn_read_functions(c, p));
    int64_t n = p->hidden, units = 4 * n, d = p->directions;
    if (n < 1 || n > INT32_MAX)
        return op_error(c, STATUS_INVALID_MODEL, "a hidden size of %lld makes no sense", (long long)n);
    TRY(rnn_check_shape(c, X, 4, (int64_t[]){d, p->steps, p->batch, units}));
    TRY(rnn_check_shape(c, R, 3, (int64_t[]){d, n, units}));
    TRY(rnn_check_shape(c, BIAS, 2, (int64_t[]){d, 2 * units}));
    TRY(rnn_check_shape(c, LENGTHS, 1, (int64_t[]){p->batch}));
    TRY(rnn_check_shape(c, INITIAL_H, 3, (int64_t[]){d, p->batch, n}));
    TRY(rnn_check_shape(c, INITIAL_C, 3, (int64_t[]){d, p->batch, n}));
    TRY(rnn_check_shape(c, PEEPHOLES, 2, (int64_t[]){d, 3 * n}));
    TRY(rnn_check_shape(c, SCALES, 2, (int64_t[]){d, units}));
    return rnn_check_shape(c, ZEROS, 2, (int64_t[]){d, units});
}

static enum status shapes_quantized(struct op_context *c)
{
    struct recurrent_params p;
    TRY(read_quantized(c, &p));
    return rnn_set_outputs(c, &p, false);
}

static enum status lower_quantized(struct op_context *c)
{
    struct recurrent_params p;
    int64_t elements;
    TRY(read_quantized(c, &p));
    if (p.batch == 0)
        return STATUS_OK;
    if (!shape_elements(3, (int64_t[]){p.batch, p.hidden, 8 * (int64_t)sizeof(float)}, &elements))
        return op_error(c, STATUS_INVALID_ARGUMENT, "a batch of %lld sequences is too large", (long long)p.batch);
    struct value *inputs[INPUTS];
    for (int i = 0; i < INPUTS; i++)
        inputs[i] = op_input(c, i);
    return rnn_emit(c, &p, false, INPUTS, inputs);
}

const struct op op_infer_QuantizedLSTM = {
    .domain = OWN_DOMAIN,
    .name = "QuantizedLSTM",
    .min_inputs = SCALES + 1,
    .max_inputs = INPUTS,
    .min_outputs = 0,
    .max_outputs = 3,
    .flags = OP_LOOSE_INPUTS,
    .detail = RECURRENT_LSTM,
    ATTRIBUTES_OF(infer_QuantizedLSTM),
    .shapes = shapes_quantized,
    .lower = lower_quantized,
};

/* --- DynamicQuantizeLSTM: (x, W, R, bias, lengths, initial h, initial c, peepholes, W scale, W zero, R scale, R zero)
 * ---------------------------------------------------------------------------------------------------------- */

enum { IN_X, IN_W, IN_R, IN_BIAS, IN_LENGTHS, IN_H, IN_C, IN_PEEPHOLES, IN_W_SCALE, IN_W_ZERO, IN_R_SCALE, IN_R_ZERO };

/* A scale or zero point: of each direction, or of each of its columns. */
static enum status check_parameter(struct op_context *c, int i, unsigned types, const struct recurrent_params *p)
{
    TRY(op_require(c, i, types));
    const struct value *value = op_input(c, i);
    return value->rank == 1 ? rnn_check_shape(c, i, 1, (int64_t[]){p->directions})
                            : rnn_check_shape(c, i, 2, (int64_t[]){p->directions, 4 * p->hidden});
}

static enum status read_dynamic(struct op_context *c, struct recurrent_params *p)
{
    TRY(op_require(c, IN_X, TYPE(DTYPE_F32)));
    TRY(op_require(c, IN_W, TYPES_8_BIT));
    TRY(op_require(c, IN_R, TYPES_8_BIT));
    for (int i = IN_X; i <= IN_R; i++)
        TRY(op_require_rank(c, i, 3, 3));
    const struct value *x = op_input(c, IN_X);
    *p = (struct recurrent_params){
        .dtype = DTYPE_F32,
        .cell = (enum recurrent_cell)c->node->op->detail,
        .steps = x->dims[0],
        .batch = x->dims[1],
        .hidden = op_input(c, IN_R)->dims[1],
    };
    TRY(rnn_read_direction(c, p));
    int64_t units;
    if (p->hidden < 1 || __builtin_mul_overflow(p->hidden, (int64_t)8, &units) ||
        op_int_or(c, "hidden_size", p->hidden) != p->hidden)
        return op_error(c, STATUS_INVALID_MODEL, "hidden_size is %lld, but R has %lld rows",
                        (long long)op_int_or(c, "hidden_size", 0), (long long)p->hidden);
    TRY(rnn_check_shape(c, IN_W, 3, (int64_t[]){p->directions, x->dims[2], 4 * p->hidden}));
    TRY(rnn_check_shape(c, IN_R, 3, (int64_t[]){p->directions, p->hidden, 4 * p->hidden}));
    TRY(check_parameter(c, IN_W_SCALE, TYPE(DTYPE_F32), p));
    TRY(check_parameter(c, IN_W_ZERO, TYPE(op_input(c, IN_W)->dtype), p));
    TRY(check_parameter(c, IN_R_SCALE, TYPE(DTYPE_F32), p));
    return check_parameter(c, IN_R_ZERO, TYPE(op_input(c, IN_R)->dtype), p);
}

static enum status shapes_dynamic(struct op_context *c)
{
    struct recurrent_params p;
    TRY(read_dynamic(c, &p));
    return rnn_set_outputs(c, &p, false);
}

/* A parameter such that it broadcasts against [directions, rows, 4 hidden]. */
static struct value *by_direction(struct op_context *c, struct value *parameter)
{
    int64_t columns = parameter->rank == 2 ? parameter->dims[1] : 1;
    return build_reshape(c, parameter, 3, (int64_t[]){parameter->dims[0], 1, columns});
}

/* The input with zeros in the steps that every sequence has ended before: they take no part in its range. */
static struct value *steps_that_count(struct op_context *c, struct value *x)
{
    struct value *lengths = op_input(c, IN_LENGTHS);
    if (!lengths)
        return x;
    struct value *longest = build_cast(c, build_reduce(c, "ReduceMax", lengths, 0), DTYPE_I64);
    struct value *inside = op_build2(c, "Less", build_iota(c, x->dims[0], 3, 0), longest);
    return build_select(c, inside, x, build_number(c, DTYPE_F32, 0));
}

/* The products of the quantised input with W, as [directions, steps, batch, 4 hidden]. */
static struct value *projected(struct op_context *c, const struct recurrent_params *p)
{
    struct value *x = op_input(c, IN_X), *quantised[3] = {NULL};
    struct value *counted = steps_that_count(c, x);
    op_build_many(c, "", "DynamicQuantizeLinear", 1, &counted, 3, quantised, 0, NULL);
    struct value *rows = build_reshape(c, quantised[0], 3, (int64_t[]){1, p->steps * p->batch, x->dims[2]});
    struct value *operands[4] = {rows, op_input(c, IN_W), quantised[2], by_direction(c, op_input(c, IN_W_ZERO))};
    struct value *sums = build_cast(c, op_build(c, "MatMulInteger", 4, operands, NULL), DTYPE_F32);
    struct value *scale = op_build2(c, "Mul", quantised[1], by_direction(c, op_input(c, IN_W_SCALE)));
    const int64_t dims[4] = {p->directions, p->steps, p->batch, 4 * p->hidden};
    return build_reshape(c, op_build2(c, "Mul", sums, scale), 4, dims);
}

/* A parameter of each column: [directions, 4 hidden]. */
static struct value *by_column(struct op_context *c, const struct recurrent_params *p, struct value *parameter)
{
    int64_t columns = 4 * p->hidden;
    struct value *each = build_expand(c, by_direction(c, parameter), 3, (int64_t[]){p->directions, 1, columns});
    return build_reshape(c, each, 2, (int64_t[]){p->directions, columns});
}

/* Whether it is known that all bytes are 0. */
static bool is_zeros(const struct value *value)
{
    const uint8_t *bytes = value->data;
    for (int64_t i = 0; bytes && i < value_elements(value); i++)
        if (bytes[i] != 0)
            return false;
    return bytes != NULL;
}

static enum status expand_dynamic(struct op_context *c)
{
    static const char *const names[] = {"direction",       "activations", "activation_alpha",
                                        "activation_beta", "clip",        "input_forget"};
    struct attribute attributes[6];
    struct recurrent_params p;
    TRY(read_dynamic(c, &p));
    struct value *inputs[INPUTS] = {
        projected(c, &p),  op_input(c, IN_R), op_input(c, IN_BIAS),      op_input(c, IN_LENGTHS),
        op_input(c, IN_H), op_input(c, IN_C), op_input(c, IN_PEEPHOLES), by_column(c, &p, op_input(c, IN_R_SCALE))};
    if (!is_zeros(op_input(c, IN_R_ZERO)))
        inputs[ZEROS] = by_column(c, &p, op_input(c, IN_R_ZERO));
    struct value *outputs[3] = {op_output(c, 0), op_output(c, 1), op_output(c, 2)};
    int count = build_attributes(c, 6, names, attributes);
    return op_build_many(c, OWN_DOMAIN, "QuantizedLSTM", inputs[ZEROS] ? INPUTS : INPUTS - 1, inputs,
                         c->node->output_count, outputs, count, attributes);
}

MICROSOFT_OPERATOR(DynamicQuantizeLSTM, 12, 12, 0, 3, shapes_dynamic, .flags = OP_LOOSE_INPUTS,
                   .detail = RECURRENT_LSTM, .expand = expand_dynamic)
