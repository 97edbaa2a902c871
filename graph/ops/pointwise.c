/* Elementwise operators: each is a pointwise program of one or a few instructions. */
#include "graph/op.h"

#include <math.h>

#define INSTRUCTION(...) ((struct pointwise_instruction){__VA_ARGS__})

static uint8_t class_of(const struct value *value)
{
    return (uint8_t)pointwise_class_of(value->dtype);
}

static void append(struct pointwise_builder *params, struct pointwise_instruction instruction)
{
    params->code[params->instruction_count++] = instruction;
}

/* --- one operand ----------------------------------------------------------------------------------------- */

static enum status lower_unary(struct op_context *c, double p, double q)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    struct pointwise_builder params = {.input_count = 1, .output_count = 1};
    append(&params, INSTRUCTION(.opcode = (uint8_t)c->node->op->detail, .register_class = class_of(input), .target = 1,
                                .immediate = {p, q}));
    params.operands[1].reg = 1;
    return op_pointwise(c, &params, &input, &output);
}

static enum status lower_plain(struct op_context *c)
{
    return lower_unary(c, 0, 0);
}

static enum status shapes_float(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    return op_shapes_as_input(c);
}

static enum status shapes_numeric(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_NUMERIC));
    return op_shapes_as_input(c);
}

static enum status shapes_integer(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_INTEGER));
    return op_shapes_as_input(c);
}

static enum status shapes_bool(struct op_context *c)
{
    TRY(op_require(c, 0, TYPE(DTYPE_BOOL)));
    return op_shapes_as_input(c);
}

static enum status shapes_predicate(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    return op_set_output(c, 0, DTYPE_BOOL, op_input(c, 0)->rank, op_input(c, 0)->dims);
}

#define UNARY(op_name, opcode, shapes_function, lower_function)                                        \
    OPERATOR(op_name, 1, 1, 1, 1, shapes_function, .flags = OP_ELEMENTWISE, .lower = (lower_function), \
             .detail = POINTWISE_##opcode)

UNARY(Abs, ABS, shapes_numeric, lower_plain)
UNARY(Neg, NEG, shapes_numeric, lower_plain)
UNARY(Sign, SIGN, shapes_numeric, lower_plain)
UNARY(Relu, RELU, shapes_numeric, lower_plain)
UNARY(Floor, FLOOR, shapes_float, lower_plain)
UNARY(Ceil, CEIL, shapes_float, lower_plain)
UNARY(Round, ROUND, shapes_float, lower_plain)
UNARY(Sqrt, SQRT, shapes_float, lower_plain)
UNARY(Reciprocal, RECIPROCAL, shapes_float, lower_plain)
UNARY(Exp, EXP, shapes_float, lower_plain)
UNARY(Log, LOG, shapes_float, lower_plain)
UNARY(Sin, SIN, shapes_float, lower_plain)
UNARY(Cos, COS, shapes_float, lower_plain)
UNARY(Tan, TAN, shapes_float, lower_plain)
UNARY(Asin, ASIN, shapes_float, lower_plain)
UNARY(Acos, ACOS, shapes_float, lower_plain)
UNARY(Atan, ATAN, shapes_float, lower_plain)
UNARY(Sinh, SINH, shapes_float, lower_plain)
UNARY(Cosh, COSH, shapes_float, lower_plain)
UNARY(Tanh, TANH, shapes_float, lower_plain)
UNARY(Asinh, ASINH, shapes_float, lower_plain)
UNARY(Acosh, ACOSH, shapes_float, lower_plain)
UNARY(Atanh, ATANH, shapes_float, lower_plain)
UNARY(Erf, ERF, shapes_float, lower_plain)
UNARY(Sigmoid, SIGMOID, shapes_float, lower_plain)
UNARY(HardSwish, HARD_SWISH, shapes_float, lower_plain)
UNARY(Mish, MISH, shapes_float, lower_plain)
UNARY(Softplus, SOFTPLUS, shapes_float, lower_plain)
UNARY(Softsign, SOFTSIGN, shapes_float, lower_plain)
UNARY(IsNaN, IS_NAN, shapes_predicate, lower_plain)
UNARY(Not, LOGICAL_NOT, shapes_bool, lower_plain)
UNARY(BitwiseNot, BIT_NOT, shapes_integer, lower_plain)

/* --- one operand and attributes -------------------------------------------------------------------------- */

static enum status lower_alpha_001(struct op_context *c)
{
    return lower_unary(c, (double)op_float(c, "alpha"), 0);
}

static enum status lower_alpha_1(struct op_context *c)
{
    return lower_unary(c, (double)op_float(c, "alpha"), 0);
}

static enum status lower_selu(struct op_context *c)
{
    return lower_unary(c, (double)op_float(c, "alpha"), (double)op_float(c, "gamma"));
}

static enum status lower_hard_sigmoid(struct op_context *c)
{
    return lower_unary(c, (double)op_float(c, "alpha"), (double)op_float(c, "beta"));
}

static enum status lower_is_inf(struct op_context *c)
{
    return lower_unary(c, (double)op_int(c, "detect_positive"), (double)op_int(c, "detect_negative"));
}

static enum status lower_gelu(struct op_context *c)
{
    const char *approximate = op_string(c, "approximate");
    bool tanh_form = approximate[0] == 't';
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    struct pointwise_builder params = {.input_count = 1, .output_count = 1};
    append(&params, INSTRUCTION(.opcode = tanh_form ? POINTWISE_GELU_TANH : POINTWISE_GELU,
                                .register_class = class_of(input), .target = 1));
    params.operands[1].reg = 1;
    return op_pointwise(c, &params, &input, &output);
}

UNARY(LeakyRelu, LEAKY_RELU, shapes_float, lower_alpha_001)
UNARY(Elu, ELU, shapes_float, lower_alpha_1)
UNARY(Celu, CELU, shapes_float, lower_alpha_1)
UNARY(Swish, SWISH, shapes_float, lower_alpha_1)
UNARY(ThresholdedRelu, THRESHOLDED_RELU, shapes_float, lower_alpha_1)
UNARY(Selu, SELU, shapes_float, lower_selu)
UNARY(HardSigmoid, HARD_SIGMOID, shapes_float, lower_hard_sigmoid)
UNARY(IsInf, IS_INF, shapes_predicate, lower_is_inf)
UNARY(Gelu, GELU, shapes_float, lower_gelu)

/* Shrink also takes integers, whose bounds are attributes in floating point: computed as float64. */
static enum status lower_shrink(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    uint8_t class = class_of(input);
    double lambda = (double)op_float(c, "lambd"), bias = (double)op_float(c, "bias");
    struct pointwise_builder params = {.input_count = 1, .output_count = 1};
    bool integer = class >= CLASS_I64;
    uint8_t inner = integer ? CLASS_F64 : class;
    if (integer)
        append(&params, INSTRUCTION(.opcode = POINTWISE_TO_F64, .register_class = class, .target = 1));
    append(&params, INSTRUCTION(.opcode = POINTWISE_SHRINK, .register_class = inner, .target = 1, .a = integer ? 1 : 0,
                                .immediate = {lambda, bias}));
    if (integer)
        append(&params, INSTRUCTION(.opcode = class == CLASS_I64 ? POINTWISE_TO_I64 : POINTWISE_TO_U64,
                                    .register_class = CLASS_F64, .target = 1, .a = 1));
    params.operands[1].reg = 1;
    return op_pointwise(c, &params, &input, &output);
}

UNARY(Shrink, SHRINK, shapes_numeric, lower_shrink)

/* --- two operands ---------------------------------------------------------------------------------------- */

/* Before opset 7 shapes are equal, or the second fits into the first where `broadcast` says so. */
static enum status check_old_broadcast(struct op_context *c, int rank, const int64_t *dims)
{
    const struct op_attribute *row = op_attribute(c->node->op, c->node->version, "broadcast");
    const struct value *a = op_input(c, 0), *b = op_input(c, 1);
    if (!row || c->node->version >= row->until)
        return STATUS_OK;
    bool fits = a->rank == rank && (op_int(c, "broadcast") != 0 || b->rank == rank);
    for (int i = 0; i < rank && fits; i++)
        fits = a->dims[i] == dims[i] && (op_int(c, "broadcast") != 0 || b->dims[i] == dims[i]);
    char first[120], second[120];
    return fits ? STATUS_OK
                : op_error(c, STATUS_INVALID_MODEL,
                           "shapes %s and %s do not go together in opset %d, where broadcast is %lld",
                           value_shape_text(NULL, a, first, sizeof first),
                           value_shape_text(NULL, b, second, sizeof second), c->node->version,
                           (long long)op_int(c, "broadcast"));
}

static enum status shapes_pair(struct op_context *c, unsigned types, enum dtype result)
{
    TRY(op_require(c, 0, types));
    TRY(op_require(c, 1, types));
    if (op_input(c, 0)->dtype != op_input(c, 1)->dtype)
        return op_type_error(c, STATUS_INVALID_MODEL, "its operands are %s and %s; they must have the same type",
                             dtype_name(op_input(c, 0)->dtype), dtype_name(op_input(c, 1)->dtype));
    int rank;
    int64_t dims[MAX_RANK];
    TRY(op_broadcast(c, 2, c->node->inputs, &rank, dims));
    TRY(check_old_broadcast(c, rank, dims));
    return op_set_output(c, 0, result == DTYPE_NONE ? op_input(c, 0)->dtype : result, rank, dims);
}

static enum status shapes_arithmetic(struct op_context *c)
{
    return shapes_pair(c, TYPES_NUMERIC, DTYPE_NONE);
}

static enum status shapes_bits(struct op_context *c)
{
    return shapes_pair(c, TYPES_INTEGER, DTYPE_NONE);
}

static enum status shapes_logic(struct op_context *c)
{
    return shapes_pair(c, TYPE(DTYPE_BOOL), DTYPE_BOOL);
}

static enum status shapes_compare(struct op_context *c)
{
    return shapes_pair(c, TYPES_FIXED, DTYPE_BOOL);
}

/* Greater is Less with its operands exchanged. */
static enum status lower_pair(struct op_context *c, uint8_t opcode, bool exchange)
{
    struct value *output = op_output(c, 0);
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    append(&params, INSTRUCTION(.opcode = opcode, .register_class = class_of(op_input(c, 0)), .target = 2,
                                .a = exchange ? 1 : 0, .b = exchange ? 0 : 1));
    params.operands[2].reg = 2;
    return op_pointwise(c, &params, c->node->inputs, &output);
}

static enum status lower_binary(struct op_context *c)
{
    return lower_pair(c, (uint8_t)c->node->op->detail, false);
}

static enum status lower_exchanged(struct op_context *c)
{
    return lower_pair(c, (uint8_t)c->node->op->detail, true);
}

static enum status lower_mod(struct op_context *c)
{
    return lower_pair(c, op_int(c, "fmod") ? POINTWISE_FMOD : POINTWISE_MOD, false);
}

static enum status lower_shift(struct op_context *c)
{
    const char *direction = op_string(c, "direction");
    if (direction[0] != 'L' && direction[0] != 'R')
        return op_error(c, STATUS_INVALID_MODEL, "direction is '%s'; it must be LEFT or RIGHT", direction);
    return lower_pair(c, direction[0] == 'L' ? POINTWISE_SHIFT_LEFT : POINTWISE_SHIFT_RIGHT, false);
}

#define BINARY(op_name, opcode, shapes_function, lower_function)                                       \
    OPERATOR(op_name, 2, 2, 1, 1, shapes_function, .flags = OP_ELEMENTWISE, .lower = (lower_function), \
             .detail = POINTWISE_##opcode)

BINARY(Add, ADD, shapes_arithmetic, lower_binary)
BINARY(Sub, SUB, shapes_arithmetic, lower_binary)
BINARY(Mul, MUL, shapes_arithmetic, lower_binary)
BINARY(Div, DIV, shapes_arithmetic, lower_binary)
BINARY(Mod, MOD, shapes_arithmetic, lower_mod)
BINARY(And, LOGICAL_AND, shapes_logic, lower_binary)
BINARY(Or, LOGICAL_OR, shapes_logic, lower_binary)
BINARY(Xor, LOGICAL_XOR, shapes_logic, lower_binary)
BINARY(BitwiseAnd, BIT_AND, shapes_bits, lower_binary)
BINARY(BitwiseOr, BIT_OR, shapes_bits, lower_binary)
BINARY(BitwiseXor, BIT_XOR, shapes_bits, lower_binary)
BINARY(BitShift, SHIFT_LEFT, shapes_bits, lower_shift)
BINARY(Equal, EQUAL, shapes_compare, lower_binary)
BINARY(Less, LESS, shapes_compare, lower_binary)
BINARY(LessOrEqual, LESS_EQUAL, shapes_compare, lower_binary)
BINARY(Greater, LESS, shapes_compare, lower_exchanged)
BINARY(GreaterOrEqual, LESS_EQUAL, shapes_compare, lower_exchanged)

/* PRelu: x < 0 ? slope x : x; the slope broadcasts to x, not the other way. */
static enum status shapes_prelu(struct op_context *c)
{
    TRY(shapes_pair(c, TYPES_NUMERIC, DTYPE_NONE));
    if (op_input(c, 1)->rank > op_input(c, 0)->rank)
        return op_error(c, STATUS_INVALID_MODEL, "the slope has a higher rank than the input");
    return STATUS_OK;
}

BINARY(PRelu, PRELU, shapes_prelu, lower_binary)

/* Pow: the result has the type of the base; the exponent may have any other. */
static enum status shapes_pow(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_NUMERIC));
    TRY(op_require(c, 1, TYPES_NUMERIC));
    int rank;
    int64_t dims[MAX_RANK];
    TRY(op_broadcast(c, 2, c->node->inputs, &rank, dims));
    TRY(check_old_broadcast(c, rank, dims));
    return op_set_output(c, 0, op_input(c, 0)->dtype, rank, dims);
}

static void append_conversion(struct pointwise_builder *params, uint8_t from, uint8_t to, uint8_t target,
                              uint8_t source)
{
    static const uint8_t opcodes[CLASS_COUNT] = {POINTWISE_TO_F32, POINTWISE_TO_F64, POINTWISE_TO_I64,
                                                 POINTWISE_TO_U64};
    uint8_t opcode = from == to ? POINTWISE_MOVE : opcodes[to];
    append(params, INSTRUCTION(.opcode = opcode, .register_class = from, .target = target, .a = source));
}

static enum status lower_pow(struct op_context *c)
{
    struct value *output = op_output(c, 0);
    uint8_t base = class_of(op_input(c, 0)), exponent = class_of(op_input(c, 1));
    /* An integer base with a fractional exponent needs floating point; otherwise the base's own class will do. */
    uint8_t inner = base >= CLASS_I64 && exponent < CLASS_I64 ? CLASS_F64 : base;
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    append_conversion(&params, base, inner, 2, 0);
    append_conversion(&params, exponent, inner, 3, 1);
    append(&params, INSTRUCTION(.opcode = POINTWISE_POW, .register_class = inner, .target = 2, .a = 2, .b = 3));
    append_conversion(&params, inner, base, 2, 2);
    params.operands[2].reg = 2;
    return op_pointwise(c, &params, c->node->inputs, &output);
}

BINARY(Pow, POW, shapes_pow, lower_pow)

/* --- any number of operands ------------------------------------------------------------------------------ */

static enum status shapes_variadic(struct op_context *c)
{
    for (int i = 0; i < c->node->input_count; i++) {
        TRY(op_require(c, i, TYPES_NUMERIC));
        if (op_input(c, i)->dtype != op_input(c, 0)->dtype)
            return op_type_error(c, STATUS_INVALID_MODEL, "its operands have different types: %s and %s",
                                 dtype_name(op_input(c, 0)->dtype), dtype_name(op_input(c, i)->dtype));
    }
    int rank;
    int64_t dims[MAX_RANK];
    TRY(op_broadcast(c, c->node->input_count, c->node->inputs, &rank, dims));
    return op_set_output(c, 0, op_input(c, 0)->dtype, rank, dims);
}

/* Operands a program can take at once, one of them the sum so far. */
#define VARIADIC_AT_ONCE (POINTWISE_MAX_OPERANDS - 1)

/* Folds `count` operands with the opcode; divides by `divisor` where it is not 0. */
static enum status lower_fold(struct op_context *c, int count, struct value *const *operands, double divisor,
                              struct value *output)
{
    uint8_t class = class_of(output);
    struct pointwise_builder params = {.input_count = count, .output_count = 1};
    uint8_t sum = (uint8_t)count, other = (uint8_t)(count + 1);
    append(&params, INSTRUCTION(.opcode = POINTWISE_MOVE, .register_class = class, .target = sum, .a = 0));
    for (int i = 1; i < count; i++)
        append(&params, INSTRUCTION(.opcode = (uint8_t)c->node->op->detail, .register_class = class, .target = sum,
                                    .a = sum, .b = (uint8_t)i));
    if (divisor != 0) {
        append(&params, INSTRUCTION(.opcode = POINTWISE_CONSTANT, .register_class = class, .target = other,
                                    .immediate = {divisor, 0}));
        append(&params,
               INSTRUCTION(.opcode = POINTWISE_DIV, .register_class = class, .target = sum, .a = sum, .b = other));
    }
    params.operands[count].reg = sum;
    return op_pointwise(c, &params, operands, &output);
}

static enum status lower_variadic_by(struct op_context *c, double divisor)
{
    struct value *const *inputs = c->node->inputs;
    struct value *operands[VARIADIC_AT_ONCE], *output = op_output(c, 0);
    int count = 0;
    for (int i = 0; i < c->node->input_count; i++) {
        if (count == VARIADIC_AT_ONCE) {
            /* More operands than a program takes: what is folded so far becomes the first operand of the next. */
            struct value *sum = op_temporary(c, output->dtype, output->rank, output->dims);
            if (!sum)
                return op_no_memory(c);
            TRY(lower_fold(c, count, operands, 0, sum));
            operands[0] = sum;
            count = 1;
        }
        operands[count++] = inputs[i];
    }
    return lower_fold(c, count, operands, divisor, output);
}

static enum status lower_variadic(struct op_context *c)
{
    return lower_variadic_by(c, 0);
}

static enum status lower_mean(struct op_context *c)
{
    return lower_variadic_by(c, (double)c->node->input_count);
}

#define VARIADIC(op_name, opcode, lower_function)                                                              \
    OPERATOR(op_name, 1, ANY_COUNT, 1, 1, shapes_variadic, .flags = OP_ELEMENTWISE, .lower = (lower_function), \
             .detail = POINTWISE_##opcode)

VARIADIC(Max, MAX, lower_variadic)
VARIADIC(Min, MIN, lower_variadic)
VARIADIC(Sum, ADD, lower_variadic)
VARIADIC(Mean, ADD, lower_mean)

/* --- Where, Clip, Cast ----------------------------------------------------------------------------------- */

static enum status shapes_where(struct op_context *c)
{
    TRY(op_require(c, 0, TYPE(DTYPE_BOOL)));
    TRY(op_require(c, 1, TYPES_FIXED));
    TRY(op_require(c, 2, TYPE(op_input(c, 1)->dtype)));
    int rank;
    int64_t dims[MAX_RANK];
    TRY(op_broadcast(c, 3, c->node->inputs, &rank, dims));
    return op_set_output(c, 0, op_input(c, 1)->dtype, rank, dims);
}

static enum status lower_where(struct op_context *c)
{
    struct value *output = op_output(c, 0);
    struct pointwise_builder params = {.input_count = 3, .output_count = 1};
    append(&params, INSTRUCTION(.opcode = POINTWISE_SELECT, .register_class = class_of(output), .target = 3, .a = 0,
                                .b = 1, .c = 2));
    params.operands[3].reg = 3;
    return op_pointwise(c, &params, c->node->inputs, &output);
}

OPERATOR(Where, 3, 3, 1, 1, shapes_where, .flags = OP_ELEMENTWISE, .lower = lower_where)

static enum status shapes_clip(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_NUMERIC));
    TRY(op_allow(c, 1, TYPE(op_input(c, 0)->dtype)));
    TRY(op_allow(c, 2, TYPE(op_input(c, 0)->dtype)));
    for (int i = 1; i <= 2; i++)
        if (op_input(c, i) && value_elements(op_input(c, i)) != 1)
            return op_error(c, STATUS_INVALID_MODEL, "bound %d has %lld elements; it must be a scalar", i,
                            (long long)value_elements(op_input(c, i)));
    return op_shapes_as_input(c);
}

/* Bounds as inputs (opset 11 on): min(max(x, low), high), which gives `high` where low > high, as ONNX says. */
static enum status lower_clip(struct op_context *c)
{
    struct value *output = op_output(c, 0), *operands[3] = {op_input(c, 0)};
    uint8_t class = class_of(output), count = 1, reg = 0;
    static const uint8_t opcodes[3] = {0, POINTWISE_MAX, POINTWISE_MIN};
    struct pointwise_builder params = {.output_count = 1};
    for (int i = 1; i <= 2; i++)
        if (op_input(c, i))
            operands[count++] = op_input(c, i);
    for (uint8_t i = 1, operand = 1; i <= 2; i++) {
        if (!op_input(c, i))
            continue;
        append(&params,
               INSTRUCTION(.opcode = opcodes[i], .register_class = class, .target = 3, .a = reg, .b = operand++));
        reg = 3;
    }
    if (c->node->version < 11) {
        double low = (double)op_float_or(c, "min", -INFINITY), high = (double)op_float_or(c, "max", INFINITY);
        append(&params,
               INSTRUCTION(.opcode = POINTWISE_CLAMP, .register_class = class, .target = 3, .immediate = {low, high}));
        reg = 3;
    }
    params.input_count = count;
    params.operands[count].reg = reg;
    return op_pointwise(c, &params, operands, &output);
}

OPERATOR(Clip, 1, 3, 1, 1, shapes_clip, .flags = OP_ELEMENTWISE, .lower = lower_clip)

static enum status set_cast_output(struct op_context *c, enum dtype to)
{
    const struct value *input = op_input(c, 0);
    if (input->dtype == DTYPE_STRING || to == DTYPE_STRING)
        return op_error(c, STATUS_UNSUPPORTED, "string tensors are not supported");
    return op_set_output(c, 0, to, input->rank, input->dims);
}

static enum status shapes_cast(struct op_context *c)
{
    return set_cast_output(c, (enum dtype)op_int(c, "to"));
}

static enum status shapes_cast_like(struct op_context *c)
{
    return set_cast_output(c, op_input(c, 1)->dtype);
}

static enum status lower_cast(struct op_context *c)
{
    if (op_input(c, 0)->dtype == op_output(c, 0)->dtype)
        return op_alias(c, op_output(c, 0), op_input(c, 0), 0);
    const char *mode = op_string(c, "round_mode");
    enum e8m0_rounding rounding = mode[0] == 'u' ? E8M0_UP : mode[0] == 'd' ? E8M0_DOWN : E8M0_NEAREST;
    return op_cast_rounding(c, op_input(c, 0), op_output(c, 0), op_int(c, "saturate") != 0, rounding);
}

OPERATOR(Cast, 1, 1, 1, 1, shapes_cast, .flags = OP_ELEMENTWISE, .lower = lower_cast)

OPERATOR(CastLike, 2, 2, 1, 1, shapes_cast_like, .lower = lower_cast)
