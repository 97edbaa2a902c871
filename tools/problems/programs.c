#include "tools/problems/programs.h"

#include "kernels/epilogue.h"

#include <string.h>

/* --- making one ---------------------------------------------------------------------------------------------- */

struct program program_begin(struct maker *maker, int rank, const int64_t *dims)
{
    struct program program = {.maker = maker, .params = make_room(maker, 1, sizeof *program.params)};
    program.params->rank = rank;
    memcpy(program.params->dims, dims, (size_t)rank * sizeof *dims);
    return program;
}

bool program_is_full(const struct program *program)
{
    return program->registers + 4 > POINTWISE_MAX_REGISTERS ||
           program->params->instruction_count + 4 > POINTWISE_MAX_INSTRUCTIONS;
}

static int add_register(struct program *program, enum pointwise_class class)
{
    program->classes[program->registers] = (uint8_t) class;
    return program->registers++;
}

static void set_operand(struct program *program, int index, enum dtype dtype, int reg, const int64_t *strides)
{
    struct pointwise_operand *operand = &program->params->operands[index];
    *operand = (struct pointwise_operand){.dtype = (uint8_t)dtype, .reg = (uint8_t)reg, .saturate = true};
    memcpy(operand->strides, strides, (size_t)program->params->rank * sizeof *strides);
}

int program_input(struct program *program, enum dtype dtype, const int64_t *strides)
{
    int reg = add_register(program, pointwise_class_of(dtype));
    set_operand(program, program->params->input_count++, dtype, reg, strides);
    return reg;
}

static bool is_predicate(enum pointwise_opcode opcode)
{
    return opcode >= POINTWISE_EQUAL && opcode <= POINTWISE_IS_INF;
}

static enum pointwise_class class_made(enum pointwise_opcode opcode, enum pointwise_class class)
{
    static const uint8_t conversions[] = {CLASS_F32, CLASS_F64, CLASS_I64, CLASS_U64, CLASS_I64};
    if (opcode >= POINTWISE_TO_F32 && opcode <= POINTWISE_TO_BOOL)
        return (enum pointwise_class)conversions[opcode - POINTWISE_TO_F32];
    return is_predicate(opcode) ? CLASS_I64 : class;
}

int program_code(struct program *program, enum pointwise_opcode opcode, enum pointwise_class class, int a, int b, int c,
                 double p, double q)
{
    int target = add_register(program, class_made(opcode, class));
    program->params->code[program->params->instruction_count++] =
        (struct pointwise_instruction){.opcode = (uint8_t)opcode,
                                       .register_class = (uint8_t) class,
                                       .target = (uint8_t)target,
                                       .a = (uint8_t)a,
                                       .b = (uint8_t)b,
                                       .c = (uint8_t)c,
                                       .immediate = {p, q}};
    return target;
}

void program_output(struct program *program, enum dtype dtype, int reg, const int64_t *strides)
{
    set_operand(program, program->params->input_count + program->params->output_count++, dtype, reg, strides);
}

bool opcode_takes(enum pointwise_opcode opcode, enum pointwise_class class)
{
    bool floating = class <= CLASS_F64;
    if ((opcode >= POINTWISE_FLOOR && opcode <= POINTWISE_ERF) || opcode == POINTWISE_IS_NAN ||
        opcode == POINTWISE_IS_INF || (opcode >= POINTWISE_LEAKY_RELU && opcode <= POINTWISE_GELU_TANH))
        return floating;
    if (opcode >= POINTWISE_LOGICAL_NOT && opcode <= POINTWISE_SHIFT_RIGHT)
        return !floating;
    return true;
}

bool instruction_divides(const struct pointwise_instruction *code)
{
    return code->register_class >= CLASS_I64 &&
           (code->opcode == POINTWISE_DIV || code->opcode == POINTWISE_MOD || code->opcode == POINTWISE_FMOD);
}

int program_convert(struct program *program, int reg, enum pointwise_class class)
{
    enum pointwise_class from = (enum pointwise_class)program->classes[reg];
    if (from == class)
        return reg;
    return program_code(program, (enum pointwise_opcode)(POINTWISE_TO_F32 + (int)class), from, reg, 0, 0, 0, 0);
}

/* --- random instructions ------------------------------------------------------------------------------------- */

/* Immediates that the opcode means something with. */
static void choose_immediates(struct random *random, enum pointwise_opcode opcode, double *p, double *q)
{
    *p = random_real(random, 0.1, 1.5);
    *q = random_real(random, 0.1, 1.5);
    if (opcode == POINTWISE_CONSTANT)
        *p = (double)random_between(random, -20, 20) / 4;
    if (opcode == POINTWISE_CLAMP) {
        bool crossed = random_once_in(random, 8); /* then all becomes the upper bound */
        *p = (double)random_between(random, crossed ? 3 : -3, crossed ? 6 : 0);
        *q = (double)random_between(random, crossed ? -2 : 0, crossed ? 2 : 6);
    }
    if (opcode == POINTWISE_IS_INF) {
        *p = (double)random_below(random, 2);
        *q = (double)random_below(random, 2);
    }
}

int program_code_on(struct program *program, enum pointwise_opcode opcode, enum pointwise_class class,
                    const int *operands)
{
    struct random *random = &program->maker->random;
    const struct pointwise_instruction divides = {.opcode = (uint8_t)opcode, .register_class = (uint8_t) class};
    double p, q;
    int b = operands[1];
    choose_immediates(random, opcode, &p, &q);
    if (instruction_divides(&divides) && !random_once_in(random, 3)) { /* odd divisors: no fault */
        int one = program_code(program, POINTWISE_CONSTANT, class, 0, 0, 0, 1, 0);
        b = program_code(program, POINTWISE_BIT_OR, class, b, one, 0, 0, 0);
    }
    return program_code(program, opcode, class, operands[0], b, operands[2], p, q);
}

int program_random_code(struct program *program, enum pointwise_opcode opcode, enum pointwise_class class)
{
    struct random *random = &program->maker->random;
    int operands[3] = {0};
    for (int i = 0; i < pointwise_arity(opcode); i++) {
        bool chooses = opcode == POINTWISE_SELECT && i == 0;
        int reg = (int)(random_once_in(random, 2) ? program->registers - 1 : random_below(random, program->registers));
        operands[i] = program_convert(program, reg, chooses ? CLASS_I64 : class);
    }
    return program_code_on(program, opcode, class, operands);
}

/* --- operands and text --------------------------------------------------------------------------------------- */

static void place(struct operand *operand, const struct pointwise_params *p, int index)
{
    for (int i = 0; i < p->rank; i++)
        strided_axis(&operand->at, p->dims[i], p->operands[index].strides[i]);
}

struct pointwise_params *program_build(const struct program *program, bool merge)
{
    struct pointwise_params *params =
        pointwise_build(program->params, make_room(program->maker, 1, sizeof(struct pointwise_room)));
    if (merge)
        pointwise_merge_axes(params);
    return params;
}

void program_operands(struct maker *maker, const struct pointwise_params *p, int first)
{
    for (int i = first; i < p->input_count; i++) {
        struct operand *in = add_input(maker, "operand", (enum dtype)p->operands[i].dtype);
        place(in, p, i);
        make_numbers(maker, in);
    }
    for (int i = p->input_count; i < p->input_count + p->output_count; i++)
        place(add_output(maker, "y", (enum dtype)p->operands[i].dtype), p, i);
}

uint32_t program_in_place(const struct pointwise_params *p, int first, int own_inputs)
{
    uint32_t inputs = 0;
    const struct pointwise_operand *out = &p->operands[p->input_count];
    unsigned bits = dtype_bits((enum dtype)out->dtype);
    for (int i = first; i < p->input_count && p->output_count == 1 && bits >= 8; i++)
        if (dtype_bits((enum dtype)p->operands[i].dtype) == bits &&
            memcmp(p->operands[i].strides, out->strides, (size_t)p->rank * sizeof out->strides[0]) == 0)
            inputs |= 1u << (own_inputs + i - first);
    return inputs;
}

void describe_program(struct maker *maker, const struct pointwise_params *p)
{
    static const char *const classes[] = {"f32", "f64", "i64", "u64"};
    describe_numbers(maker, "space", p->rank, p->dims);
    for (int i = 0; i < p->input_count; i++) {
        describe(maker, "; r%d = %s", i, dtype_name((enum dtype)p->operands[i].dtype));
        describe_numbers(maker, "strides", p->rank, p->operands[i].strides);
    }
    for (int i = 0; i < p->instruction_count; i++) {
        const struct pointwise_instruction *code = &pointwise_code(p)[i];
        const int operands[] = {code->a, code->b, code->c};
        describe(maker, "; r%d = %s.%s", code->target, pointwise_name((enum pointwise_opcode)code->opcode),
                 classes[code->register_class]);
        for (int j = 0; j < pointwise_arity((enum pointwise_opcode)code->opcode); j++)
            describe(maker, " r%d", operands[j]);
        if (code->immediate[0] != 0 || code->immediate[1] != 0)
            describe(maker, " (%g, %g)", code->immediate[0], code->immediate[1]);
    }
    for (int i = p->input_count; i < p->input_count + p->output_count; i++) {
        describe(maker, "; %s = r%d", dtype_name((enum dtype)p->operands[i].dtype), p->operands[i].reg);
        describe_numbers(maker, "strides", p->rank, p->operands[i].strides);
    }
}

/* --- epilogues ----------------------------------------------------------------------------------------------- */

bool wants_epilogue(struct maker *maker)
{
    return random_once_in(&maker->random, 2);
}

/* What a form of epilogue is made of. */
struct form {
    bool scale, bias, activation, residual, other;
    enum dtype whole; /* it is requantised to; NONE: it is not */
    bool by_operands; /* of scale and zero point */
    bool real;        /* of integers: they are made f32 first */
    enum dtype cast;  /* NONE: as the results */
};

static struct form choose_form(struct maker *maker)
{
    struct random *random = &maker->random;
    struct form form = {
        .scale = random_once_in(random, 3),
        .bias = random_once_in(random, 2),
        .activation = random_once_in(random, 2),
        .residual = random_once_in(random, 3),
        .other = random_once_in(random, 6),
        .whole = !random_once_in(random, 4)  ? DTYPE_NONE
                 : random_once_in(random, 2) ? DTYPE_U8
                                             : DTYPE_I8,
        .by_operands = !random_once_in(random, 3),
        .real = !random_once_in(random, 4),
    };
    if (random_once_in(random, 6))
        form.cast = make_dtype(maker, DTYPES(DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_F32));
    return form;
}

/* Strides of an operand that is repeated along all axes but some; channel: of the channels, or -1. */
static void strides_along(struct maker *maker, int rank, const int64_t *dims, int channel, int64_t *strides)
{
    make_strides(maker, LAYOUT_ANY, rank, dims, strides);
    for (int i = 0; i < rank; i++)
        if (channel >= 0 ? i != channel : random_once_in(&maker->random, 2))
            strides[i] = 0;
    if (channel >= 0)
        strides[channel] = random_once_in(&maker->random, 4) ? 2 : 1;
}

/* Beside results in f32, half types save memory. */
static enum dtype choose_type(struct maker *maker, enum dtype results)
{
    bool half = results == DTYPE_F32 && random_once_in(&maker->random, 6);
    return half ? make_dtype(maker, DTYPES(DTYPE_F16, DTYPE_BF16)) : results;
}

static int add_activation(struct program *program, int reg)
{
    static const enum pointwise_opcode floating[] = {POINTWISE_RELU,       POINTWISE_CLAMP,     POINTWISE_LEAKY_RELU,
                                                     POINTWISE_HARD_SWISH, POINTWISE_SIGMOID,   POINTWISE_SWISH,
                                                     POINTWISE_GELU,       POINTWISE_GELU_TANH, POINTWISE_HARD_SIGMOID,
                                                     POINTWISE_TANH,       POINTWISE_ELU,       POINTWISE_MISH};
    static const enum pointwise_opcode any[] = {POINTWISE_RELU, POINTWISE_CLAMP, POINTWISE_ABS, POINTWISE_NEG};
    struct random *random = &program->maker->random;
    enum pointwise_class class = (enum pointwise_class)program->classes[reg];
    enum pointwise_opcode opcode =
        class <= CLASS_F64 ? floating[random_below(random, 12)] : any[random_below(random, 4)];
    double p, q;
    choose_immediates(random, opcode, &p, &q);
    return program_code(program, opcode, class, reg, 0, 0, p, q);
}

/* round(x * scale) + zero point, within the type. by: registers of the two; NULL: they are numbers in the code, of
 * which no form is made. */
static int requantise(struct program *program, int reg, bool is_signed, const int *by)
{
    struct random *random = &program->maker->random;
    double low = is_signed ? -128 : 0, zero = low + (double)random_below(random, 256);
    reg = program_convert(program, reg, CLASS_F32);
    int scale =
        by ? by[0] : program_code(program, POINTWISE_CONSTANT, CLASS_F32, 0, 0, 0, random_real(random, 1, 20), 0);
    reg = program_code(program, POINTWISE_MUL, CLASS_F32, reg, scale, 0, 0, 0);
    reg = program_code(program, POINTWISE_ROUND, CLASS_F32, reg, 0, 0, 0, 0);
    int point = by ? program_convert(program, by[1], CLASS_F32)
                   : program_code(program, POINTWISE_CONSTANT, CLASS_F32, 0, 0, 0, zero, 0);
    reg = program_code(program, POINTWISE_ADD, CLASS_F32, reg, point, 0, 0, 0);
    reg = program_code(program, POINTWISE_CLAMP, CLASS_F32, reg, 0, 0, low, low + 255);
    return program_code(program, POINTWISE_TO_I64, CLASS_F32, reg, 0, 0, 0, 0);
}

static int combine(struct program *program, enum pointwise_opcode opcode, int reg, int with)
{
    enum pointwise_class class = (enum pointwise_class)program->classes[reg];
    return program_code(program, opcode, class, reg, program_convert(program, with, class), 0, 0, 0);
}

/* The code of a form; the registers of its operands, in the order of their use. */
static enum dtype write_form(struct program *program, const struct form *form, const int *operands, int *result)
{
    static const enum pointwise_opcode others[] = {POINTWISE_SUB, POINTWISE_MUL, POINTWISE_MAX, POINTWISE_MIN,
                                                   POINTWISE_PRELU};
    enum dtype dtype = (enum dtype)program->params->operands[0].dtype;
    int reg = form->real && dtype == DTYPE_I32 ? program_convert(program, 0, CLASS_F32) : 0;
    if (form->real && dtype == DTYPE_I32)
        dtype = DTYPE_F32;
    if (form->scale)
        reg = combine(program, POINTWISE_MUL, reg, *operands++);
    if (form->bias)
        reg = combine(program, POINTWISE_ADD, reg, *operands++);
    if (form->other)
        reg = combine(program, others[random_below(&program->maker->random, 5)], reg, *operands++);
    bool late = random_once_in(&program->maker->random, 2);
    if (form->activation && !late)
        reg = add_activation(program, reg);
    if (form->residual)
        reg = combine(program, POINTWISE_ADD, reg, *operands++);
    if (form->activation && late)
        reg = add_activation(program, reg);
    if (form->whole != DTYPE_NONE) {
        dtype = form->whole;
        reg = requantise(program, reg, dtype == DTYPE_I8, form->by_operands ? operands : NULL);
    } else if (form->cast != DTYPE_NONE) {
        dtype = form->cast;
        reg = program_convert(program, reg, pointwise_class_of(dtype));
    }
    *result = program->params->instruction_count
                  ? reg
                  : program_code(program, POINTWISE_MOVE, (enum pointwise_class)program->classes[0], 0, 0, 0, 0, 0);
    return dtype;
}

/* --- from int32 to bytes, as quantised models do it ------------------------------------------------------------- */

/* Parts that there may be, each an input of its own: of a channel, of an element, or one number. */
enum part {
    FACTOR,
    ADDEND,
    GATE,
    RESIDUAL,
    RESIDUAL_ZERO,
    RESIDUAL_SCALE,
    GREATEST,
    LEAST,
    SECOND_FACTOR,
    SECOND_ADDEND,
    DIVISOR,
    ZERO,
    PART_COUNT
};

#define MOST_PARTS 7

struct parts {
    int of[PART_COUNT]; /* inputs of the program; 0: there is none */
    bool activation;
    enum dtype whole;
};

static void choose_parts(struct program *program, int rank, const int64_t *dims, int channel, const int64_t *y,
                         struct parts *parts)
{
    struct maker *maker = program->maker;
    struct random *random = &maker->random;
    bool residual = random_once_in(random, 2), second = random_once_in(random, 3);
    int64_t strides[MAX_RANK];
    *parts = (struct parts){.activation = random_once_in(random, 2),
                            .whole = random_once_in(random, 2) ? DTYPE_U8 : DTYPE_I8};
    for (int i = 0; i < PART_COUNT; i++) {
        bool of_residual = i == RESIDUAL_ZERO || i == RESIDUAL_SCALE,
             of_second = i == SECOND_FACTOR || i == SECOND_ADDEND;
        bool wanted = i == RESIDUAL || i == RESIDUAL_SCALE ? residual
                      : of_residual                        ? residual && random_once_in(random, 2)
                      : of_second                          ? second
                                                           : random_once_in(random, 2);
        enum dtype dtype = i == RESIDUAL || i == RESIDUAL_ZERO || i == ZERO ? parts->whole : DTYPE_F32;
        memset(strides, 0, sizeof strides);
        if (i == RESIDUAL)
            memcpy(strides, y, sizeof strides);
        else if (i <= GATE && !random_once_in(random, 4))
            strides_along(maker, rank, dims, channel, strides);
        if (wanted && program->params->input_count < MOST_PARTS) /* there are registers for so many */
            parts->of[i] = program_input(program, dtype, strides);
    }
}

/* The numbers are such that not everything comes out at the ends of a byte's range; huge: but for some that even 32
 * bits do not hold. */
static void fill_parts(struct problem *problem, const struct parts *parts, bool huge)
{
    static const double low[PART_COUNT] = {[FACTOR] = 1e-5, [RESIDUAL_SCALE] = 0.01, [GREATEST] = -2,
                                           [LEAST] = 3,     [SECOND_FACTOR] = 0.5,   [DIVISOR] = 0.02};
    static const double high[PART_COUNT] = {
        [FACTOR] = 1e-3, [RESIDUAL_SCALE] = 0.05, [GREATEST] = 1, [LEAST] = 9, [SECOND_FACTOR] = 2, [DIVISOR] = 1};
    for (int i = 0; i < PART_COUNT; i++) {
        if (!parts->of[i] || high[i] == 0)
            continue;
        struct operand *operand = &problem->inputs[problem->own_inputs + parts->of[i] - 1];
        operand->fill = FILL_NUMBERS;
        operand->low = low[i];
        operand->high = huge && i == FACTOR ? 1e8 : high[i];
    }
}

static int with(struct program *program, enum pointwise_opcode opcode, int reg, int input)
{
    return input ? program_code(program, opcode, CLASS_F32, reg, program_convert(program, input, CLASS_F32), 0, 0, 0)
                 : reg;
}

static int write_parts(struct program *program, const struct parts *parts)
{
    static const enum pointwise_opcode activations[] = {POINTWISE_RELU, POINTWISE_HARD_SWISH, POINTWISE_CLAMP};
    double low = parts->whole == DTYPE_I8 ? -128 : 0;
    int reg = with(program, POINTWISE_MUL, program_convert(program, 0, CLASS_F32), parts->of[FACTOR]);
    reg = with(program, POINTWISE_ADD, reg, parts->of[ADDEND]);
    if (parts->of[GATE]) {
        int kept = reg;
        reg = with(program, POINTWISE_MUL, reg, parts->of[GATE]);
        reg = program_code(program, POINTWISE_ADD, CLASS_F32, kept, reg, 0, 0, 0);
    }
    if (parts->of[RESIDUAL]) {
        int other = program_convert(program, parts->of[RESIDUAL], CLASS_F32);
        other = with(program, POINTWISE_SUB, other, parts->of[RESIDUAL_ZERO]);
        other = with(program, POINTWISE_MUL, other, parts->of[RESIDUAL_SCALE]);
        reg = program_code(program, POINTWISE_ADD, CLASS_F32, reg, other, 0, 0, 0);
    }
    if (parts->activation)
        reg = program_code(program, activations[random_below(&program->maker->random, 3)], CLASS_F32, reg, 0, 0, -1, 6);
    reg = with(program, POINTWISE_MUL, reg, parts->of[SECOND_FACTOR]);
    reg = with(program, POINTWISE_ADD, reg, parts->of[SECOND_ADDEND]);
    reg = with(program, POINTWISE_MAX, reg, parts->of[GREATEST]);
    reg = with(program, POINTWISE_MIN, reg, parts->of[LEAST]);
    reg = with(program, POINTWISE_DIV, reg, parts->of[DIVISOR]);
    reg = program_code(program, POINTWISE_ROUND, CLASS_F32, reg, 0, 0, 0, 0);
    reg = with(program, POINTWISE_ADD, reg, parts->of[ZERO]);
    reg = program_code(program, POINTWISE_CLAMP, CLASS_F32, reg, 0, 0, low, low + 255);
    return program_code(program, POINTWISE_TO_I64, CLASS_F32, reg, 0, 0, 0, 0);
}

static const struct pointwise_params *make_requantised(struct maker *maker, int rank, const int64_t *dims, int channel,
                                                       const int64_t *space)
{
    struct problem *problem = maker->problem;
    struct program program = program_begin(maker, rank, dims);
    struct parts parts;
    int64_t strides[MAX_RANK] = {0}, y[MAX_RANK] = {0};
    problem->own_inputs = problem->input_count;
    problem->results = problem->outputs[0];
    problem->output_count = 0;
    make_strides(maker, LAYOUT_C, rank, dims, strides);
    make_strides(maker, random_once_in(&maker->random, 2) ? LAYOUT_C : LAYOUT_ANY, rank, dims, y);
    program_input(&program, DTYPE_I32, strides);
    choose_parts(&program, rank, dims, channel, y, &parts);
    program_output(&program, parts.whole, write_parts(&program, &parts), y);
    struct pointwise_params *params = program_build(&program, false);
    const struct epilogue rides = {params, problem->own_inputs, {space[0], space[1], space[2]}};
    if (!epilogue_fit(&rides, params))
        params = program_build(&program, false);
    program_operands(maker, params, 1);
    fill_parts(problem, &parts, random_once_in(&maker->random, 8));
    problem->in_place = program_in_place(params, 1, problem->own_inputs);
    problem->epilogue = params;
    describe(maker, " | bytes");
    describe_program(maker, params);
    return params;
}

const struct pointwise_params *make_requantisation(struct maker *maker, int rank, const int64_t *dims, int channel,
                                                   const int64_t *space)
{
    struct problem *problem = maker->problem;
    struct program program = program_begin(maker, rank, dims);
    int64_t strides[MAX_RANK] = {0}, order[MAX_RANK];
    problem->own_inputs = problem->input_count;
    problem->results = problem->outputs[0];
    problem->results.at = (struct strided){.rank = 0};
    strided_contiguous(&problem->results.at, rank, dims);
    const struct strided *y = &problem->outputs[0].at;
    memcpy(order, y->strides, (size_t)rank * sizeof *order);
    problem->output_count = 0;
    make_strides(maker, LAYOUT_C, rank, dims, strides);
    program_input(&program, DTYPE_I32, strides);
    memset(strides, 0, sizeof strides);
    strides[channel] = 1;
    int by[2] = {program_input(&program, DTYPE_F32, strides)};
    strides[channel] = 0;
    by[1] = program_input(&program, DTYPE_U8, strides);
    int reg = requantise(&program, 0, false, by);
    program_output(&program, DTYPE_U8, reg, order);
    struct pointwise_params *params = program_build(&program, false);
    const struct epilogue rides = {params, problem->own_inputs, {space[0], space[1], space[2]}};
    if (!epilogue_fit(&rides, params))
        params = program_build(&program, false);
    program_operands(maker, params, 1);
    problem->inputs[problem->own_inputs].low = 1e-5;
    problem->inputs[problem->own_inputs].high = 1e-4;
    problem->epilogue = params;
    return params;
}

/* Channels last, those of all groups in turns; of an image whose axes 1 and 2 are groups and their channels. */
static void shuffled_strides(int rank, const int64_t *dims, int64_t *strides)
{
    strides[1] = 1;
    strides[2] = dims[1];
    int64_t next = dims[1] * dims[2];
    for (int i = rank - 1; i > 2; next *= dims[i--])
        strides[i] = next;
    strides[0] = next;
}

/* shuffled: axis `channel` counts groups, the next one their channels. */
static const struct pointwise_params *make_any_epilogue(struct maker *maker, int rank, const int64_t *dims, int channel,
                                                        const int64_t *space, bool shuffled)
{
    struct problem *problem = maker->problem;
    if (!shuffled && problem->outputs[0].dtype == DTYPE_I32 && random_once_in(&maker->random, 2))
        return make_requantised(maker, rank, dims, channel, space);
    struct form form = choose_form(maker);
    if (shuffled && !random_once_in(&maker->random, 4)) /* as real models have it */
        form = (struct form){.bias = form.bias, .activation = form.activation};
    struct program program = program_begin(maker, rank, dims);
    enum dtype results = problem->outputs[0].dtype;
    int64_t strides[MAX_RANK], y[MAX_RANK];
    int operands[6], count = 0, result, scale = 0;
    problem->own_inputs = problem->input_count;
    problem->results = problem->outputs[0];
    problem->output_count = 0;
    make_strides(maker, LAYOUT_C, rank, dims, strides);
    make_strides(maker, LAYOUT_ANY, rank, dims, y);
    if (shuffled)
        shuffled_strides(rank, dims, y);
    program_input(&program, results, strides);
    if (form.real && results == DTYPE_I32)
        results = DTYPE_F32;
    for (int i = 0; i < form.scale + form.bias + form.other; i++) {
        bool by_channel = i < form.scale + form.bias && !random_once_in(&maker->random, 4);
        strides_along(maker, rank, dims, by_channel ? channel + shuffled : -1, strides);
        if (by_channel && shuffled)
            strides[channel] = strides[channel + 1] * dims[channel + 1];
        operands[count++] = program_input(&program, choose_type(maker, results), strides);
    }
    if (form.residual) {
        make_strides(maker, LAYOUT_ANY, rank, dims, strides);
        const int64_t *chosen = random_once_in(&maker->random, 2) ? y : strides;
        operands[count++] = program_input(&program, choose_type(maker, results), chosen);
    }
    if (form.whole != DTYPE_NONE && form.by_operands) {
        scale = problem->own_inputs + program.params->input_count - 1;
        strides_along(maker, rank, dims, random_once_in(&maker->random, 3) ? -1 : channel, strides);
        operands[count++] = program_input(&program, DTYPE_F32, strides);
        memset(strides, 0, sizeof strides);
        operands[count++] = program_input(&program, form.whole, strides);
    }
    enum dtype dtype = write_form(&program, &form, operands, &result);
    program_output(&program, dtype, result, y);
    struct pointwise_params *params = program_build(&program, false);
    const struct epilogue rides = {params, problem->own_inputs, {space[0], space[1], space[2]}};
    if (random_once_in(&maker->random, 2) && !epilogue_fit(&rides, params)) /* it has spoilt what does not fit */
        params = program_build(&program, false);
    program_operands(maker, params, 1);
    if (scale && problem->results.dtype == DTYPE_I32 && !random_once_in(&maker->random, 4)) { /* not all is clamped */
        problem->inputs[scale].fill = FILL_NUMBERS;
        problem->inputs[scale].low = 1e-5;
        problem->inputs[scale].high = 1e-3;
    }
    problem->in_place = program_in_place(params, 1, problem->own_inputs);
    problem->epilogue = params;
    describe(maker, " | epilogue");
    describe_program(maker, params);
    return params;
}

const struct pointwise_params *make_epilogue(struct maker *maker, int rank, const int64_t *dims, int channel,
                                             const int64_t *space)
{
    return make_any_epilogue(maker, rank, dims, channel, space, false);
}

const struct pointwise_params *make_shuffled_epilogue(struct maker *maker, int rank, const int64_t *dims,
                                                      const int64_t *space)
{
    return make_any_epilogue(maker, rank, dims, 1, space, true);
}
