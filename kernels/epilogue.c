#include "kernels/epilogue.h"

#include <math.h>

/* --- axes ------------------------------------------------------------------------------------------------ */

bool epilogue_fit(const struct epilogue *epilogue, struct pointwise_params *program)
{
    pointwise_merge_axes(program);
    return pointwise_split_axes(program, EPILOGUE_AXES, epilogue->dims);
}

size_t epilogue_result_bytes(const struct epilogue *epilogue)
{
    const int64_t *dims = epilogue->dims;
    int64_t results = dims[EPILOGUE_BATCH] * dims[EPILOGUE_ROWS] * dims[EPILOGUE_COLUMNS];
    return epilogue->program ? dtype_bytes((enum dtype)epilogue->program->operands[0].dtype, results) : 0;
}

void epilogue_axes(const struct epilogue *epilogue, int *first)
{
    const struct pointwise_params *program = epilogue->program;
    first[EPILOGUE_AXES] = program->rank;
    for (int i = EPILOGUE_AXES - 1; i >= 0; i--) {
        int axis = first[i + 1];
        for (int64_t extent = 1; extent < epilogue->dims[i]; extent *= program->dims[axis])
            axis--;
        first[i] = axis;
    }
}

int64_t epilogue_offset(const struct epilogue *epilogue, int operand, int64_t batch, int64_t row, int64_t column)
{
    const struct pointwise_params *program = epilogue->program;
    int64_t index = (batch * epilogue->dims[EPILOGUE_ROWS] + row) * epilogue->dims[EPILOGUE_COLUMNS] + column;
    int64_t offset = 0;
    for (int axis = program->rank - 1; axis >= 0; axis--) {
        offset += index % program->dims[axis] * program->operands[operand].strides[axis];
        index /= program->dims[axis];
    }
    return offset;
}

/* --- forms ----------------------------------------------------------------------------------------------- */

static const bool occurs[POINTWISE_OPCODE_COUNT] = {
    [POINTWISE_ADD] = true,        [POINTWISE_SUB] = true,          [POINTWISE_MUL] = true,
    [POINTWISE_DIV] = true,        [POINTWISE_MIN] = true,          [POINTWISE_MAX] = true,
    [POINTWISE_CLAMP] = true,      [POINTWISE_ROUND] = true,        [POINTWISE_RELU] = true,
    [POINTWISE_LEAKY_RELU] = true, [POINTWISE_HARD_SIGMOID] = true, [POINTWISE_HARD_SWISH] = true,
    [POINTWISE_SIGMOID] = true,    [POINTWISE_SWISH] = true,        [POINTWISE_TANH] = true,
    [POINTWISE_GELU] = true,       [POINTWISE_GELU_TANH] = true,    [POINTWISE_PRELU] = true,
    [POINTWISE_NEG] = true,        [POINTWISE_ABS] = true,          [POINTWISE_SQRT] = true,
    [POINTWISE_EXP] = true,        [POINTWISE_ELU] = true,          [POINTWISE_SELU] = true,
    [POINTWISE_CELU] = true,       [POINTWISE_MISH] = true,         [POINTWISE_SOFTPLUS] = true,
    [POINTWISE_SOFTSIGN] = true,   [POINTWISE_ROUND_F16] = true,    [POINTWISE_ROUND_BF16] = true,
};

/* What a register holds: input `input`, or x (input 0) or the value on the side (EPILOGUE_SIDE) after the operation
 * that makes the number of them `age`. */
struct content {
    bool known, f32;
    int input, age;
};

struct recognition {
    const struct pointwise_params *program;
    struct epilogue_form *form;
    int first[EPILOGUE_AXES + 1]; /* see epilogue_axes */
    struct content registers[POINTWISE_MAX_REGISTERS];
    int age[2];        /* of x, and of the value on the side */
    bool stored_whole; /* x has been made an integer: there is nothing left to do */
};

static bool is_single(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

static bool is_x(const struct recognition *r, const struct content *content)
{
    return content->known && content->input == 0 && content->age == r->age[0] && !r->stored_whole;
}

static bool is_side(const struct recognition *r, const struct content *content)
{
    return content->known && content->input == EPILOGUE_SIDE && content->age == r->age[1];
}

static bool is_operand(const struct content *content)
{
    return content->known && content->input > 0 && content->f32;
}

static void read_inputs(struct recognition *r)
{
    for (int i = 0; i < r->program->input_count; i++) {
        enum dtype dtype = (enum dtype)r->program->operands[i].dtype;
        bool small = dtype_is_integer(dtype) && dtype_bits(dtype) >= 8 && dtype_bits(dtype) <= 32;
        bool known = i == 0 ? dtype == DTYPE_F32 || dtype == DTYPE_I32 : is_single(dtype) || small;
        r->registers[i] = (struct content){.known = known, .f32 = is_single(dtype), .input = i};
    }
    r->form->from = (enum dtype)r->program->operands[0].dtype;
}

/* The step of an operand along an axis of the space. *run: after so many, where that is less than it was, it takes
 * another. */
static int64_t find_stride(const struct recognition *r, int operand, enum epilogue_axis axis, int64_t *run)
{
    const int64_t *dims = r->program->dims, *strides = r->program->operands[operand].strides;
    int i = r->first[axis + 1] - 1;
    if (i < r->first[axis])
        return 0;
    int64_t stride = strides[i], even = dims[i];
    for (; i > r->first[axis] && strides[i - 1] == strides[i] * dims[i]; i--)
        even *= dims[i - 1];
    *run = even < *run ? even : *run;
    return stride;
}

static bool add_operation(struct recognition *r, struct epilogue_operation operation)
{
    struct epilogue_form *form = r->form;
    if (form->operation_count == EPILOGUE_OPERATIONS)
        return false;
    if (operation.input > 0) {
        operation.dtype = r->program->operands[operation.input].dtype;
        operation.row = find_stride(r, operation.input, EPILOGUE_ROWS, &form->row_run);
        operation.column = find_stride(r, operation.input, EPILOGUE_COLUMNS, &form->column_run);
    }
    form->operations[form->operation_count++] = operation;
    r->age[operation.on_side] = form->operation_count;
    return true;
}

/* Whether instructions after `code` read x as it is before that, from any register that holds it. */
static bool is_read_later(const struct recognition *r, const struct pointwise_instruction *code)
{
    const struct pointwise_instruction *end = pointwise_code(r->program) + r->program->instruction_count;
    bool holds[POINTWISE_MAX_REGISTERS];
    for (int i = 0; i < POINTWISE_MAX_REGISTERS; i++)
        holds[i] = is_x(r, &r->registers[i]);
    for (holds[code->target] = false; ++code < end; holds[code->target] = false) {
        int arity = pointwise_arity((enum pointwise_opcode)code->opcode);
        if ((arity > 0 && holds[code->a]) || (arity > 1 && holds[code->b]) || (arity > 2 && holds[code->c]))
            return true;
    }
    return false;
}

static bool begin_side(struct recognition *r, int input)
{
    struct epilogue_operation begin = {.opcode = POINTWISE_MOVE, .on_side = true, .input = (int8_t)input};
    return add_operation(r, begin);
}

/* Keeps x on the side: what reads it from then on finds it there. */
static bool keep_x(struct recognition *r)
{
    struct content kept = {.known = true, .f32 = true, .input = EPILOGUE_SIDE, .age = r->form->operation_count + 1};
    for (int i = 0; i < POINTWISE_MAX_REGISTERS; i++)
        if (is_x(r, &r->registers[i]))
            r->registers[i] = kept;
    return begin_side(r, 0);
}

/* Which of a and b is x, or where neither is, the value on the side: that is begun with a where it is neither. */
static const struct content *find_value(struct recognition *r, const struct content *a, const struct content *b)
{
    if (is_x(r, a) || is_x(r, b))
        return is_x(r, a) ? a : b;
    if (is_side(r, a) || is_side(r, b))
        return is_side(r, a) ? a : b;
    return is_operand(a) && begin_side(r, a->input) ? a : NULL;
}

static bool read_operation(struct recognition *r, const struct pointwise_instruction *code)
{
    enum pointwise_opcode opcode = (enum pointwise_opcode)code->opcode;
    bool alone = pointwise_arity(opcode) == 1;
    struct content a = r->registers[code->a], b = alone ? a : r->registers[code->b];
    if (code->register_class != CLASS_F32 || !occurs[opcode])
        return false;
    if (opcode == POINTWISE_CLAMP && (isnan(code->immediate[0]) || isnan(code->immediate[1])))
        return false; /* no bound, which instructions do not know */
    const struct content *value = find_value(r, &a, &b);
    if (!value || !value->f32)
        return false;
    bool on_side = value->input != 0;
    if (!on_side && ((!alone && is_x(r, &a) && is_x(r, &b)) || is_read_later(r, code))) {
        if (!keep_x(r))
            return false;
        b = !alone && is_x(r, &b) && value == &a ? r->registers[code->b] : b;
    }
    const struct content *other = value == &a ? &b : &a;
    bool taken = is_operand(other) || (!on_side && is_side(r, other));
    struct epilogue_operation operation = {.opcode = code->opcode,
                                           .on_side = on_side,
                                           .reversed =
                                               value != &a && opcode != POINTWISE_ADD && opcode != POINTWISE_MUL,
                                           .input = alone ? 0 : (int8_t)other->input,
                                           .p = (float)code->immediate[0],
                                           .q = (float)code->immediate[1]};
    if ((!alone && !taken) || !add_operation(r, operation))
        return false;
    r->registers[code->target] = (struct content){
        .known = true, .f32 = true, .input = on_side ? EPILOGUE_SIDE : 0, .age = r->form->operation_count};
    return true;
}

/* Whether the last operation leaves x within the range of an integer type. */
static bool is_clamped(const struct epilogue_form *form, enum dtype dtype)
{
    if (form->operation_count == 0 || !dtype_is_integer(dtype) || dtype_bits(dtype) < 8 || dtype_bits(dtype) > 16)
        return false;
    const struct epilogue_operation *last = &form->operations[form->operation_count - 1];
    bool has_sign = dtype_is_signed_integer(dtype);
    float values = (float)(1 << dtype_bits(dtype)), low = has_sign ? -values / 2 : 0;
    return last->opcode == POINTWISE_CLAMP && last->p >= low && last->q <= low + values - 1;
}

static bool read_instruction(struct recognition *r, const struct pointwise_instruction *code)
{
    struct content a = r->registers[code->a]; /* whose place the target may take */
    enum dtype to = (enum dtype)r->program->operands[r->program->input_count].dtype;
    switch (code->opcode) {
    case POINTWISE_MOVE:
        r->registers[code->target] = a;
        return a.known;
    case POINTWISE_TO_F32:
        r->registers[code->target] = (struct content){.known = true, .f32 = true, .input = a.input, .age = a.age};
        return a.known;
    case POINTWISE_TO_I64:
        if (code->register_class != CLASS_F32 || !is_x(r, &a) || !is_clamped(r->form, to))
            return false;
        r->registers[code->target] = a;
        r->stored_whole = true;
        return true;
    default:
        return read_operation(r, code);
    }
}

bool epilogue_recognise(const struct epilogue *epilogue, struct epilogue_form *form)
{
    const struct pointwise_params *program = epilogue->program;
    struct recognition r = {.program = program, .form = form};
    const struct pointwise_operand *output = &program->operands[program->input_count];
    *form = (struct epilogue_form){.to = (enum dtype)output->dtype,
                                   .row_run = epilogue->dims[EPILOGUE_ROWS],
                                   .column_run = epilogue->dims[EPILOGUE_COLUMNS]};
    epilogue_axes(epilogue, r.first);
    form->row = find_stride(&r, program->input_count, EPILOGUE_ROWS, &form->row_run);
    form->column = find_stride(&r, program->input_count, EPILOGUE_COLUMNS, &form->column_run);
    read_inputs(&r);
    for (int i = 0; i < program->instruction_count; i++)
        if (!read_instruction(&r, &pointwise_code(program)[i]))
            return false;
    const struct content *stored = &r.registers[output->reg];
    if (!stored->known || !stored->f32 || stored->input != 0 || stored->age != r.age[0] ||
        !(r.stored_whole || is_single(form->to)))
        return false;
    form->requantises = epilogue_requantises(form, &form->requantisation);
    return true;
}
