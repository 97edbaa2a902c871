/* QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: pointwise programs in which scale and zero point repeat
 * along the axes they do not vary on. */
#include "graph/ops/build.h"
#include "graph/ops/tools.h"

#include <math.h>
#include <string.h>

#define TYPES_QUANTIZED                                                                                      \
    (TYPE(DTYPE_U8) | TYPE(DTYPE_I8) | TYPE(DTYPE_U16) | TYPE(DTYPE_I16) | TYPE(DTYPE_U4) | TYPE(DTYPE_I4) | \
     TYPE(DTYPE_U2) | TYPE(DTYPE_I2) | TYPE(DTYPE_F8E4M3FN) | TYPE(DTYPE_F8E4M3FNUZ) | TYPE(DTYPE_F8E5M2) |  \
     TYPE(DTYPE_F8E5M2FNUZ) | TYPE(DTYPE_F4E2M1))
#define TYPES_SINGLE (TYPE(DTYPE_F32) | TYPE(DTYPE_F16) | TYPE(DTYPE_BF16))

/* --- granularity -------------------------------------------------------------------------------------------------- */

/* The data seen with as many axes as it takes for the scale to repeat along whole axes. */
struct layout {
    int rank;
    int64_t dims[MAX_RANK];
    int parameter_rank; /* of scale and zero point */
    int64_t parameter_dims[MAX_RANK];
    /* Blocks that do not divide the axis: scale and zero point are first spread along `axis`, each over `block`. */
    bool spread;
    int axis;
    int64_t block;
};

static enum status block_layout(struct op_context *c, int axis, int64_t block, struct layout *layout)
{
    const struct value *x = op_input(c, 0), *scale = op_input(c, 1);
    TRY(op_require_rank(c, 1, x->rank, x->rank));
    for (int i = 0; i < x->rank; i++) {
        int64_t want = i != axis || x->dims[i] == 0 ? x->dims[i] : (x->dims[i] - 1) / block + 1;
        if (scale->dims[i] != want)
            return op_error(c, STATUS_INVALID_ARGUMENT, "the scale has %lld elements along axis %d; it must have %lld",
                            (long long)scale->dims[i], i, (long long)want);
    }
    layout->axis = axis;
    layout->block = block;
    layout->spread = x->dims[axis] % block != 0 || x->rank == MAX_RANK;
    if (layout->spread) {
        layout->parameter_rank = x->rank;
        memcpy(layout->parameter_dims, x->dims, sizeof x->dims);
        return STATUS_OK;
    }
    layout->rank = layout->parameter_rank = x->rank + 1;
    for (int i = 0; i <= x->rank; i++) {
        layout->dims[i] = i <= axis ? scale->dims[i] : i == axis + 1 ? block : x->dims[i - 1];
        layout->parameter_dims[i] = i == axis + 1 ? 1 : layout->dims[i];
    }
    return STATUS_OK;
}

static enum status find_layout(struct op_context *c, struct layout *layout)
{
    const struct value *x = op_input(c, 0), *scale = op_input(c, 1);
    int64_t block = op_int(c, "block_size");
    int axis;
    *layout = (struct layout){.rank = x->rank};
    memcpy(layout->dims, x->dims, sizeof x->dims);
    if (block < 0)
        return op_error(c, STATUS_INVALID_MODEL, "block_size is %lld", (long long)block);
    if (block == 0 && value_elements(scale) == 1)
        return STATUS_OK;
    TRY(op_axis(c, "axis", x->rank == 1 ? 0 : op_int(c, "axis"), x->rank, &axis));
    if (block > 0)
        return block_layout(c, axis, block, layout);
    if (scale->rank != 1 || scale->dims[0] != x->dims[axis])
        return op_error(c, STATUS_INVALID_ARGUMENT, "the scale must be a scalar or have one element for each of %lld",
                        (long long)x->dims[axis]);
    layout->parameter_rank = x->rank;
    for (int i = 0; i < x->rank; i++)
        layout->parameter_dims[i] = i == axis ? x->dims[i] : 1;
    return STATUS_OK;
}

static enum status check_parameters(struct op_context *c)
{
    const struct value *scale = op_input(c, 1), *zero = op_input(c, 2);
    struct layout layout;
    TRY(find_layout(c, &layout));
    if (zero && value_elements(zero) != value_elements(scale))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the scale has %lld elements, the zero point %lld",
                        (long long)value_elements(scale), (long long)value_elements(zero));
    return STATUS_OK;
}

/* Each scale or zero point repeated over its block. Elements that share a byte are widened on the way. */
static enum status spread(struct op_context *c, const struct layout *layout, struct value **parameter)
{
    struct value *from = *parameter;
    int64_t count = layout->dims[layout->axis];
    int64_t *blocks = region_array(c->graph->region, (size_t)count, sizeof *blocks);
    if (!blocks)
        return op_no_memory(c);
    for (int64_t i = 0; i < count; i++)
        blocks[i] = i / layout->block;
    if (dtype_bits(from->dtype) < 8) {
        struct value *wide =
            op_temporary(c, dtype_is_float(from->dtype) ? DTYPE_F32 : DTYPE_I32, from->rank, from->dims);
        if (!wide)
            return op_no_memory(c);
        TRY(op_cast(c, from, wide, true));
        from = wide;
    }
    struct value *indices = graph_add_constant(c->graph, "", DTYPE_I64, 1, &count, blocks);
    *parameter = op_temporary(c, from->dtype, layout->rank, layout->dims);
    return indices && *parameter ? op_take(c, from, *parameter, layout->axis, indices) : op_no_memory(c);
}

/* Emits a program over the layout: inputs x, scale and, where there is one, the zero point. */
static enum status emit(struct op_context *c, const struct layout *layout, struct pointwise_builder *params,
                        struct value *x, struct value *output)
{
    struct value *inputs[3] = {x, op_input(c, 1), op_input(c, 2)};
    if (value_elements(output) == 0)
        return STATUS_OK;
    params->rank = layout->rank;
    memcpy(params->dims, layout->dims, sizeof params->dims);
    for (int i = 0; i <= params->input_count; i++) {
        struct pointwise_operand *operand = &params->operands[i];
        bool parameter = i == 1 || i == 2;
        if (i < params->input_count && parameter && layout->spread)
            TRY(spread(c, layout, &inputs[i]));
        operand->dtype = (uint8_t)(i < params->input_count ? inputs[i] : output)->dtype;
        struct value seen = {.rank = layout->rank};
        memcpy(seen.dims, layout->dims, sizeof seen.dims);
        if (i < params->input_count && parameter) {
            seen.rank = layout->parameter_rank;
            memcpy(seen.dims, layout->parameter_dims, sizeof seen.dims);
        }
        broadcast_strides(&seen, layout->rank, operand->strides);
    }
    return op_emit_pointwise(c, params, inputs, &output);
}

/* A register with operand `i` as a floating number of the class; conversions go to register `target`. */
static uint8_t as_float(struct pointwise_builder *params, const struct value *value, uint8_t i, uint8_t class,
                        uint8_t target)
{
    uint8_t from = (uint8_t)pointwise_class_of(value->dtype);
    if (from == class)
        return i;
    op_instruction(params, INSTRUCTION(.opcode = class == CLASS_F64 ? POINTWISE_TO_F64 : POINTWISE_TO_F32,
                                       .register_class = from, .target = target, .a = i));
    return target;
}

/* --- QuantizeLinear ----------------------------------------------------------------------------------------------- */

static enum status shapes_quantize(struct op_context *c)
{
    const struct value *zero = op_input(c, 2);
    int64_t asked = op_int(c, "output_dtype");
    TRY(op_require(c, 0, TYPES_SINGLE | TYPE(DTYPE_I32)));
    TRY(op_require(c, 1, TYPES_SINGLE | TYPE(DTYPE_I32) | TYPE(DTYPE_F8E8M0)));
    enum dtype dtype = zero ? zero->dtype : asked ? (enum dtype)asked : DTYPE_U8;
    if (zero && asked && asked != (int64_t)zero->dtype)
        return op_type_error(c, STATUS_INVALID_MODEL, "output_dtype is %s, the zero point %s",
                             dtype_name((enum dtype)asked), dtype_name(zero->dtype));
    if (dtype >= DTYPE_COUNT || !(TYPES_QUANTIZED & TYPE(dtype)))
        return op_type_error(c, STATUS_UNSUPPORTED, "quantising to %s is not supported", dtype_name(dtype));
    TRY(check_parameters(c));
    return op_set_output(c, 0, dtype, op_input(c, 0)->rank, op_input(c, 0)->dims);
}

/* Rounds register `sum` to the output's integers. */
static void append_saturation(struct pointwise_builder *params, enum dtype dtype, uint8_t class, uint8_t sum)
{
    double low, high;
    op_integer_range(dtype, &low, &high);
    op_instruction(params, INSTRUCTION(.opcode = POINTWISE_CLAMP, .register_class = class, .target = sum, .a = sum,
                                       .immediate = {low, high}));
    op_instruction(params, INSTRUCTION(.opcode = POINTWISE_TO_I64, .register_class = class, .target = 6, .a = sum));
}

/* As fuse-qdq leaves it where what is quantised was divided by the scale before. */
static bool is_one(const struct value *scale)
{
    double number;
    return scale->data && value_elements(scale) == 1 && value_number_at(scale, 0, &number) && number == 1;
}

/* saturate(x / scale + zero), the quotient rounded to even before an integer zero point is added. */
static enum status lower_quantize(struct op_context *c)
{
    struct value *x = op_input(c, 0), *scale = op_input(c, 1), *zero = op_input(c, 2), *output = op_output(c, 0);
    struct layout layout;
    TRY(find_layout(c, &layout));
    enum dtype precision = (enum dtype)op_int(c, "precision");
    precision = precision == DTYPE_NONE ? scale->dtype : precision;
    bool integers = x->dtype == DTYPE_I32 && precision == DTYPE_I32, to_integer = dtype_is_integer(output->dtype);
    uint8_t class = precision == DTYPE_F64 || integers ? CLASS_F64 : CLASS_F32, quotient = 4;
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    uint8_t dividend = as_float(&params, x, 0, class, 4), divisor = as_float(&params, scale, 1, class, 5);
    if (class == CLASS_F32 && is_one(scale))
        quotient = dividend;
    else
        op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_DIV, .register_class = class, .target = quotient,
                                            .a = dividend, .b = divisor));
    if (precision == DTYPE_F16 || precision == DTYPE_BF16) { /* a step of its own rounds the quotient to that type */
        struct value *rounded = op_temporary(c, precision, x->rank, x->dims);
        if (!rounded)
            return op_no_memory(c);
        params.operands[2].reg = quotient;
        TRY(emit(c, &layout, &params, x, rounded));
        x = rounded;
        params = (struct pointwise_builder){.output_count = 1};
        quotient = 0;
    }
    params.input_count = zero ? 3 : 2;
    if (to_integer)
        op_instruction(&params,
                       INSTRUCTION(.opcode = POINTWISE_ROUND, .register_class = class, .target = 4, .a = quotient));
    else
        op_instruction(&params,
                       INSTRUCTION(.opcode = POINTWISE_MOVE, .register_class = class, .target = 4, .a = quotient));
    if (zero)
        op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_ADD, .register_class = class, .target = 4, .a = 4,
                                            .b = as_float(&params, zero, 2, class, 5)));
    if (to_integer)
        append_saturation(&params, output->dtype, class, 4);
    params.operands[params.input_count].reg = to_integer ? 6 : 4;
    params.operands[params.input_count].saturate = op_int(c, "saturate") != 0;
    return emit(c, &layout, &params, x, output);
}

OPERATOR(QuantizeLinear, 2, 3, 1, 1, shapes_quantize, .lower = lower_quantize)

/* --- DequantizeLinear --------------------------------------------------------------------------------------------- */

static enum status shapes_dequantize(struct op_context *c)
{
    const struct value *x = op_input(c, 0), *scale = op_input(c, 1);
    TRY(op_require(c, 0, TYPES_QUANTIZED | TYPE(DTYPE_I32)));
    TRY(op_require(c, 1, TYPES_SINGLE | TYPE(DTYPE_F8E8M0)));
    TRY(op_allow(c, 2, TYPE(x->dtype)));
    TRY(check_parameters(c));
    enum dtype dtype = (enum dtype)op_int(c, "output_dtype");
    dtype = dtype == DTYPE_NONE ? scale->dtype : dtype;
    if (dtype >= DTYPE_COUNT || !(TYPES_SINGLE & TYPE(dtype)))
        return op_type_error(c, STATUS_UNSUPPORTED, "dequantising to %s is not supported", dtype_name(dtype));
    return op_set_output(c, 0, dtype, x->rank, x->dims);
}

/* (x - zero) scale; the difference is exact: of integers with few bits as floats too, as epilogues take it. */
static enum status lower_dequantize(struct op_context *c)
{
    struct value *x = op_input(c, 0), *zero = op_input(c, 2), *output = op_output(c, 0);
    struct layout layout;
    TRY(find_layout(c, &layout));
    struct pointwise_builder params = {.input_count = zero ? 3 : 2, .output_count = 1};
    bool few_bits = dtype_is_integer(x->dtype) && dtype_bits(x->dtype) <= 16;
    uint8_t class = few_bits ? CLASS_F32 : (uint8_t)pointwise_class_of(x->dtype);
    uint8_t number = few_bits ? as_float(&params, x, 0, CLASS_F32, 4) : 0;
    if (zero) {
        uint8_t less = few_bits ? as_float(&params, zero, 2, CLASS_F32, 5) : 2;
        op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_SUB, .register_class = class, .target = 4, .a = number,
                                            .b = less));
        number = 4;
    }
    if (!few_bits)
        number = as_float(&params, x, number, CLASS_F32, 5);
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_MUL, .register_class = CLASS_F32, .target = 6, .a = number, .b = 1));
    params.operands[params.input_count].reg = 6;
    return emit(c, &layout, &params, x, output);
}

OPERATOR(DequantizeLinear, 2, 3, 1, 1, shapes_dequantize, .lower = lower_dequantize)

/* --- DynamicQuantizeLinear ---------------------------------------------------------------------------------------- */

static enum status shapes_dynamic_quantize(struct op_context *c)
{
    TRY(op_require(c, 0, TYPE(DTYPE_F32)));
    TRY(op_set_output(c, 0, DTYPE_U8, op_input(c, 0)->rank, op_input(c, 0)->dims));
    TRY(op_set_output(c, 1, DTYPE_F32, 0, NULL));
    return op_set_output(c, 2, DTYPE_U8, 0, NULL);
}

/* The decomposition that the operator's specification gives. */
static enum status expand_dynamic_quantize(struct op_context *c)
{
    struct value *x = op_input(c, 0), *zero = build_number(c, DTYPE_F32, 0), *most = build_number(c, DTYPE_F32, 255);
    struct value *low = op_build2(c, "Min", build_reduce_all(c, "ReduceMin", x), zero);
    struct value *high = op_build2(c, "Max", build_reduce_all(c, "ReduceMax", x), zero);
    struct value *scale = op_build2(c, "Div", op_build2(c, "Sub", high, low), most);
    struct value *place = op_build2(c, "Sub", zero, op_build2(c, "Div", low, scale));
    place = op_build(c, "Clip", 3, (struct value *[]){op_build1(c, "Round", place), zero, most}, NULL);
    struct value *zero_point = build_cast(c, place, DTYPE_U8);
    TRY(build_output(c, 1, scale));
    TRY(build_output(c, 2, zero_point));
    return build_output(c, 0, op_build(c, "QuantizeLinear", 3, (struct value *[]){x, scale, zero_point}, NULL));
}

OPERATOR(DynamicQuantizeLinear, 1, 1, 3, 3, shapes_dynamic_quantize, .expand = expand_dynamic_quantize)
