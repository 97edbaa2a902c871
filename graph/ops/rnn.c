/* RNN, GRU and LSTM: one product of the whole input with the input weights, then the recurrence step by step. */
#include "graph/ops/rnn.h"
#include "graph/ops/tools.h"
#include "kernels/matmul.h"

#include <math.h>
#include <string.h>
#include <strings.h>

/* --- activations ------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    bool has_alpha, has_beta;
    float alpha, beta;
} activations[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = {"Relu", false, false, 0, 0},
    [ACTIVATION_TANH] = {"Tanh", false, false, 0, 0},
    [ACTIVATION_SIGMOID] = {"Sigmoid", false, false, 0, 0},
    [ACTIVATION_AFFINE] = {"Affine", true, true, 1, 0},
    [ACTIVATION_LEAKY_RELU] = {"LeakyRelu", true, false, 0.01f, 0},
    [ACTIVATION_THRESHOLDED_RELU] = {"ThresholdedRelu", true, false, 1, 0},
    [ACTIVATION_SCALED_TANH] = {"ScaledTanh", true, true, 1, 1},
    [ACTIVATION_HARD_SIGMOID] = {"HardSigmoid", true, true, 0.2f, 0.5f},
    [ACTIVATION_ELU] = {"Elu", true, false, 1, 0},
    [ACTIVATION_SOFTSIGN] = {"Softsign", false, false, 0, 0},
    [ACTIVATION_SOFTPLUS] = {"Softplus", false, false, 0, 0},
};

/* Functions of a direction: of RNN f; of GRU f, g; of LSTM f, g, h. */
static int function_count(const struct op_context *c)
{
    return c->node->op->detail + 1;
}

static enum status find_activation(struct op_context *c, const char *name, struct recurrent_function *function)
{
    for (int i = 0; i < ACTIVATION_COUNT; i++) {
        if (strcasecmp(name, activations[i].name) != 0)
            continue;
        *function = (struct recurrent_function){
            .kind = (enum recurrent_activation)i, .alpha = activations[i].alpha, .beta = activations[i].beta};
        return STATUS_OK;
    }
    return op_error(c, STATUS_INVALID_MODEL, "'%s' is not an activation that ONNX knows", name);
}

/* activation_alpha and activation_beta hold values for those functions alone that take one, in order. */
enum status rnn_read_functions(struct op_context *c, struct recurrent_params *p)
{
    static const char *const defaults[] = {"Sigmoid", "Tanh", "Tanh"};
    const struct attribute *names = node_attribute(c->node, "activations");
    int count = function_count(c), alphas, betas;
    const float *alpha = op_float_list(c, "activation_alpha", &alphas);
    const float *beta = op_float_list(c, "activation_beta", &betas);
    if (names && (names->kind != ATTRIBUTE_STRINGS || (int64_t)names->count != count * p->directions))
        return op_error(c, STATUS_INVALID_MODEL, "activations must name %lld functions",
                        (long long)(count * p->directions));
    for (int i = 0; i < count * (int)p->directions; i++) {
        struct recurrent_function *function = &p->functions[i / count][i % count];
        const char *fallback = p->cell == RECURRENT_RNN ? "Tanh" : defaults[i % count];
        TRY(find_activation(c, names ? names->strings[i] : fallback, function));
        if (activations[function->kind].has_alpha && alphas-- > 0)
            function->alpha = *alpha++;
        if (activations[function->kind].has_beta && betas-- > 0)
            function->beta = *beta++;
    }
    return STATUS_OK;
}

/* --- shapes ----------------------------------------------------------------------------------------------- */

enum status rnn_check_shape(struct op_context *c, int i, int rank, const int64_t *dims)
{
    const struct value *value = op_input(c, i);
    bool fits = !value || value->rank == rank;
    for (int k = 0; value && fits && k < rank; k++)
        fits = value->dims[k] == dims[k];
    if (fits)
        return STATUS_OK;
    char given[120], wanted[120];
    return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' is %s; it must be %s", i, value->name,
                    value_shape_text(NULL, value, given, sizeof given),
                    shape_text(NULL, rank, dims, wanted, sizeof wanted));
}

enum status rnn_read_direction(struct op_context *c, struct recurrent_params *p)
{
    const char *direction = op_string(c, "direction");
    bool both = strcmp(direction, "bidirectional") == 0;
    p->reverse = strcmp(direction, "reverse") == 0;
    p->directions = both ? 2 : 1;
    if (!both && !p->reverse && strcmp(direction, "forward") != 0)
        return op_error(c, STATUS_INVALID_MODEL, "direction is '%s'; it must be forward, reverse or bidirectional",
                        direction);
    return STATUS_OK;
}

/* Sizes, and whether the batch is the first axis. */
static enum status read_sizes(struct op_context *c, struct recurrent_params *p, bool *batch_first)
{
    TRY(op_require_rank(c, 0, 3, 3));
    TRY(op_require_rank(c, 1, 3, 3));
    TRY(op_require_rank(c, 2, 3, 3));
    const struct value *x = op_input(c, 0);
    *batch_first = op_int(c, "layout") != 0;
    p->dtype = x->dtype;
    p->cell = (enum recurrent_cell)c->node->op->detail;
    TRY(rnn_read_direction(c, p));
    p->steps = x->dims[*batch_first];
    p->batch = x->dims[!*batch_first];
    p->hidden = op_input(c, 2)->dims[2];
    if (op_int_or(c, "hidden_size", p->hidden) != p->hidden)
        return op_error(c, STATUS_INVALID_MODEL, "hidden_size is %lld, but R has rows of %lld",
                        (long long)op_int(c, "hidden_size"), (long long)p->hidden);
    if (p->hidden > INT32_MAX || p->hidden < 1)
        return op_error(c, STATUS_INVALID_MODEL, "a hidden size of %lld makes no sense", (long long)p->hidden);
    return STATUS_OK;
}

static enum status check_operands(struct op_context *c, const struct recurrent_params *p, bool batch_first)
{
    int64_t units = recurrent_gates(p) * p->hidden, d = p->directions;
    const int64_t states[3] = {batch_first ? p->batch : d, batch_first ? d : p->batch, p->hidden};
    TRY(op_require(c, 0, TYPES_FLOAT));
    for (int i = 1; i < c->node->input_count; i++)
        TRY(op_allow(c, i, i == 4 ? TYPE(DTYPE_I32) : TYPE(p->dtype)));
    TRY(rnn_check_shape(c, 1, 3, (int64_t[]){d, units, op_input(c, 0)->dims[2]}));
    TRY(rnn_check_shape(c, 2, 3, (int64_t[]){d, units, p->hidden}));
    TRY(rnn_check_shape(c, 3, 2, (int64_t[]){d, 2 * units}));
    TRY(rnn_check_shape(c, 4, 1, (int64_t[]){p->batch}));
    TRY(rnn_check_shape(c, 5, 3, states));
    TRY(rnn_check_shape(c, 6, 3, states));
    return rnn_check_shape(c, 7, 2, (int64_t[]){d, 3 * p->hidden});
}

enum status rnn_set_outputs(struct op_context *c, const struct recurrent_params *p, bool batch_first)
{
    const int64_t plain[4] = {p->steps, p->directions, p->batch, p->hidden};
    const int64_t turned[4] = {p->batch, p->steps, p->directions, p->hidden};
    const int64_t states[3] = {batch_first ? p->batch : p->directions, batch_first ? p->directions : p->batch,
                               p->hidden};
    TRY(op_set_output(c, 0, p->dtype, 4, batch_first ? turned : plain));
    TRY(op_set_output(c, 1, p->dtype, 3, states));
    return op_set_output(c, 2, p->dtype, 3, states);
}

static enum status shapes_recurrent(struct op_context *c)
{
    struct recurrent_params p = {0};
    bool batch_first;
    TRY(read_sizes(c, &p, &batch_first));
    TRY(check_operands(c, &p, batch_first));
    TRY(rnn_read_functions(c, &p));
    return rnn_set_outputs(c, &p, batch_first);
}

/* --- lowering --------------------------------------------------------------------------------------------- */

/* The products of all steps with the input weights of each direction: [directions, rows of x, units]. */
static enum status project_input(struct op_context *c, const struct recurrent_params *p, struct value **result)
{
    struct value *x = op_input(c, 0);
    int64_t units = recurrent_gates(p) * p->hidden, rows = p->steps * p->batch, depth = x->dims[2];
    struct matmul_params product = {
        .dtype = p->dtype,
        .a_dtype = p->dtype,
        .b_dtype = p->dtype,
        .batch_rank = 1,
        .batch = {p->directions},
        .m = rows,
        .n = units,
        .k = depth,
        .a = {.row = depth, .column = 1},
        .b = {.batch = {units * depth}, .row = 1, .column = depth},
        .c = {.batch = {rows * units}, .row = units, .column = 1},
    };
    int64_t dims[3] = {p->directions, rows, units}, elements;
    if (!shape_elements(3, dims, &elements))
        return op_error(c, STATUS_INVALID_ARGUMENT, "a sequence of %lld steps is too long", (long long)p->steps);
    *result = op_temporary(c, p->dtype, 3, dims);
    if (!*result)
        return op_no_memory(c);
    if (elements == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_matmul, &product, sizeof product, 3, (struct value *[]){x, op_input(c, 1), NULL}, 1,
                   result, 0);
}

enum status rnn_emit(struct op_context *c, struct recurrent_params *p, bool batch_first, int input_count,
                     struct value *const *inputs)
{
    int64_t units = recurrent_gates(p) * p->hidden;
    p->clip = op_has(c, "clip") ? (double)op_float(c, "clip") : INFINITY;
    p->couple_forget = op_int(c, "input_forget") != 0;
    p->linear_before_reset = op_int(c, "linear_before_reset") != 0;
    p->x_step = batch_first ? units : p->batch * units;
    p->x_batch = batch_first ? p->steps * units : units;
    p->y_step = p->directions * p->hidden * (batch_first ? 1 : p->batch);
    p->y_direction = batch_first ? p->hidden : p->batch * p->hidden;
    p->y_batch = batch_first ? p->steps * p->directions * p->hidden : p->hidden;
    p->state_direction = batch_first ? p->hidden : p->batch * p->hidden;
    p->state_batch = batch_first ? p->directions * p->hidden : p->hidden;
    return op_emit(c, FAMILY_recurrent, p, sizeof *p, input_count, inputs, 3,
                   (struct value *[]){op_output(c, 0), op_output(c, 1), op_output(c, 2)}, 0);
}

static enum status lower_recurrent(struct op_context *c)
{
    struct recurrent_params p = {0};
    struct value *inputs[7];
    bool batch_first;
    TRY(read_sizes(c, &p, &batch_first));
    TRY(rnn_read_functions(c, &p));
    if (p.batch == 0)
        return STATUS_OK;
    TRY(project_input(c, &p, &inputs[0]));
    for (int i = 1; i < 7; i++)
        inputs[i] = op_input(c, i + 1);
    return rnn_emit(c, &p, batch_first, 7, inputs);
}

#define RECURRENT_OP(op_name, cell, most_inputs, most_outputs)                                                    \
    OPERATOR(op_name, 3, most_inputs, 0, most_outputs, shapes_recurrent, .flags = OP_HALF_AS_F32, .detail = cell, \
             .lower = lower_recurrent)

RECURRENT_OP(RNN, RECURRENT_RNN, 6, 2)
RECURRENT_OP(GRU, RECURRENT_GRU, 6, 2)
RECURRENT_OP(LSTM, RECURRENT_LSTM, 8, 3)
