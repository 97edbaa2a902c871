#include "tools/problems/programs.h"

#include <stdio.h>
#include <string.h>

#define WORK 16384 /* elements that make a task */

/* --- types --------------------------------------------------------------------------------------------------- */

static enum dtype type_of_class(struct maker *maker, enum pointwise_class class, bool written)
{
    switch (class) {
    case CLASS_F32:
        if (random_once_in(&maker->random, 2))
            return DTYPE_F32;
        return make_dtype(maker, DTYPES(DTYPE_F16, DTYPE_BF16, DTYPE_F8E4M3FN, DTYPE_F8E4M3FNUZ, DTYPE_F8E5M2,
                                        DTYPE_F8E5M2FNUZ, DTYPE_F4E2M1, DTYPE_F8E8M0));
    case CLASS_F64:
        return DTYPE_F64;
    case CLASS_U64:
        return DTYPE_U64;
    default:
        if (random_once_in(&maker->random, 4))
            return DTYPE_I64;
        return make_dtype(maker, DTYPES(DTYPE_I32, DTYPE_I32, DTYPE_I16, DTYPE_I8, DTYPE_U8, DTYPE_U16, DTYPE_U32,
                                        DTYPE_I4, DTYPE_U4, DTYPE_I2, DTYPE_U2, written ? DTYPE_I64 : DTYPE_BOOL));
    }
}

/* Types of several elements a byte are stored in order. */
static void choose_strides(struct maker *maker, enum dtype dtype, bool written, const struct pointwise_builder *p,
                           int64_t *strides)
{
    enum layout_choice choice = written ? LAYOUT_ANY : LAYOUT_READ;
    if (dtype_bits(dtype) < 8)
        choice = written ? LAYOUT_C : LAYOUT_ANY;
    make_strides(maker, choice, p->rank, p->dims, strides);
    for (int i = 0; i < p->rank && !written; i++)
        strides[i] = random_once_in(&maker->random, 8) ? 0 : strides[i];
}

static void add_input_of(struct program *program, enum pointwise_class class)
{
    int64_t strides[MAX_RANK];
    enum dtype dtype = type_of_class(program->maker, class, false);
    choose_strides(program->maker, dtype, false, program->params, strides);
    program_input(program, dtype, strides);
}

/* --- programs ------------------------------------------------------------------------------------------------ */

static enum pointwise_opcode any_opcode(struct random *random)
{
    return (enum pointwise_opcode)random_below(random, POINTWISE_OPCODE_COUNT);
}

static enum pointwise_class class_for(struct random *random, enum pointwise_opcode opcode)
{
    enum pointwise_class class;
    do
        class = (enum pointwise_class)random_below(random, CLASS_COUNT);
    while (!opcode_takes(opcode, class));
    return class;
}

/* Pairs of an opcode and a class that it works on, in turn. */
static enum pointwise_opcode opcode_in_turn(uint64_t turn, enum pointwise_class *class)
{
    uint64_t pairs = 0, place;
    for (int i = 0; i < POINTWISE_OPCODE_COUNT * CLASS_COUNT; i++)
        pairs += opcode_takes((enum pointwise_opcode)(i / CLASS_COUNT), (enum pointwise_class)(i % CLASS_COUNT));
    place = turn % pairs + 1;
    for (int i = 0;; i++) {
        *class = (enum pointwise_class)(i % CLASS_COUNT);
        place -= opcode_takes((enum pointwise_opcode)(i / CLASS_COUNT), *class);
        if (place == 0)
            return (enum pointwise_opcode)(i / CLASS_COUNT);
    }
}

/* One instruction on operands of its class, as an elementwise operator is. */
static void write_single(struct program *program, uint64_t turn)
{
    enum pointwise_class class;
    enum pointwise_opcode opcode = opcode_in_turn(turn, &class);
    for (int i = 0; i < pointwise_arity(opcode); i++)
        add_input_of(program, opcode == POINTWISE_SELECT && i == 0 ? CLASS_I64 : class);
    program_code_on(program, opcode, class, (const int[]){0, 1, 2});
}

static void write_chain(struct program *program)
{
    struct random *random = &program->maker->random;
    for (int64_t i = random_between(random, 1, 4); i > 0; i--)
        add_input_of(program, class_for(random, POINTWISE_MOVE));
    for (int64_t i = random_between(random, 2, 7); i > 0 && !program_is_full(program); i--) {
        enum pointwise_opcode opcode = any_opcode(random);
        program_random_code(program, opcode, class_for(random, opcode));
    }
}

static bool is_truth(const struct pointwise_builder *p, int reg)
{
    for (int i = 0; i < p->instruction_count; i++) {
        enum pointwise_opcode opcode = (enum pointwise_opcode)p->code[i].opcode;
        if (p->code[i].target == reg)
            return opcode == POINTWISE_TO_BOOL || opcode == POINTWISE_LOGICAL_NOT || opcode == POINTWISE_LOGICAL_AND ||
                   opcode == POINTWISE_LOGICAL_OR || opcode == POINTWISE_LOGICAL_XOR ||
                   (opcode >= POINTWISE_EQUAL && opcode <= POINTWISE_IS_INF);
    }
    return false;
}

static void add_output_of(struct program *program, int reg)
{
    struct maker *maker = program->maker;
    struct pointwise_builder *p = program->params;
    int64_t strides[MAX_RANK];
    enum pointwise_class class = (enum pointwise_class)program->classes[reg];
    enum dtype dtype = type_of_class(maker, class, true);
    if (class == CLASS_I64 && is_truth(p, reg) && random_once_in(&maker->random, 2))
        dtype = DTYPE_BOOL;
    choose_strides(maker, dtype, true, p, strides);
    program_output(program, dtype, reg, strides);
    struct pointwise_operand *out = &p->operands[p->input_count + p->output_count - 1];
    out->saturate = random_once_in(&maker->random, 2);
    out->rounding = (uint8_t)random_below(&maker->random, 3);
}

/* --- numbers ------------------------------------------------------------------------------------------------- */

static void choose_numbers(struct maker *maker)
{
    struct problem *problem = maker->problem;
    static const enum fill fills[] = {FILL_SPECIAL, FILL_SPECIAL, FILL_EXTREME, FILL_NUMBERS};
    bool small = random_once_in(&maker->random, 2);
    for (int i = 0; i < problem->input_count; i++) {
        struct operand *in = &problem->inputs[i];
        in->fill = fills[random_below(&maker->random, 4)];
        in->odd_in = 3;
        if (random_once_in(&maker->random, 3) && dtype_is_float(in->dtype)) {
            in->low = -20;
            in->high = 20;
        }
        if (small && dtype_is_signed_integer(in->dtype) && dtype_bits(in->dtype) >= 8) {
            in->low = -8;
            in->high = 70;
        }
        if (dtype_bits(in->dtype) < 8 && dtype_is_float(in->dtype))
            in->fill = FILL_NUMBERS;
    }
}

static void make_params_of(struct maker *maker, struct program *program)
{
    const struct pointwise_params *params = program_build(program, true);
    program_operands(maker, params, 0);
    maker->problem->params = params;
    maker->problem->in_place = program_in_place(params, 0, 0);
    choose_numbers(maker);
    describe_program(maker, params);
}

/* Planes of floats become bytes side by side, as an image that is quantised. */
static void make_planes(struct maker *maker)
{
    struct random *random = &maker->random;
    int64_t planes = random_once_in(random, 2) ? 3 : random_between(random, 1, 20), step = planes;
    step += random_once_in(random, 3) ? random_between(random, 1, 3) : 0;
    const int64_t dims[] = {planes, random_between(random, 1, maker->large ? 20000 : 500)};
    const int64_t strides[] = {dims[1], 1}, turned[] = {1, step}, number[] = {0, 0};
    struct program program = program_begin(maker, 2, dims);
    int x = program_input(&program, DTYPE_F32, strides), scale = program_input(&program, DTYPE_F32, number);
    x = program_code(&program, POINTWISE_DIV, CLASS_F32, x, scale, 0, 0, 0);
    x = program_code(&program, POINTWISE_ROUND, CLASS_F32, x, 0, 0, 0, 0);
    x = program_code(&program, POINTWISE_CLAMP, CLASS_F32, x, 0, 0, 0, 255);
    program_output(&program, DTYPE_U8, program_convert(&program, x, CLASS_I64), turned);
    make_params_of(maker, &program);
}

#define PLANES 24 /* one problem of so many is an image */

static void make_pointwise(struct maker *maker)
{
    int64_t dims[MAX_RANK], *sizes[MAX_RANK];
    if (maker->index % PLANES == PLANES / 2) {
        make_planes(maker);
        return;
    }
    int rank = (int)random_between(&maker->random, 1, 4);
    for (int i = 0; i < rank; i++) {
        dims[i] = make_size(maker, 80);
        sizes[i] = &dims[i];
    }
    maker->large = maker->large && random_once_in(&maker->random, 10);
    if (maker->large)
        make_fit_tasks(maker, rank, sizes, 1, WORK);
    else
        make_fit(maker, rank, sizes, 1, 0, 700);
    struct program program = program_begin(maker, rank, dims);
    if (maker->index % 3 == 0)
        write_chain(&program);
    else
        write_single(&program, maker->index / 3 * 2 + maker->index % 3 - 1);
    add_output_of(&program, program.registers - 1);
    if (random_once_in(&maker->random, 5))
        add_output_of(&program, (int)random_below(&maker->random, program.registers));
    make_params_of(maker, &program);
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum pointwise_opcode opcode;
} cases[] = {
    {"add", POINTWISE_ADD},   {"mul", POINTWISE_MUL},         {"relu", POINTWISE_RELU},
    {"exp", POINTWISE_EXP},   {"sigmoid", POINTWISE_SIGMOID}, {"hswish", POINTWISE_HARD_SWISH},
    {"gelu", POINTWISE_GELU}, {"tanh", POINTWISE_TANH},
};

static void list_program(struct maker *maker, struct program *program)
{
    const struct pointwise_params *params = program_build(program, true);
    program_operands(maker, params, 0);
    for (int i = 0; i < maker->problem->input_count; i++)
        maker->problem->inputs[i].fill = FILL_NUMBERS;
    maker->problem->params = params;
}

static void list_single(struct maker *maker, enum pointwise_opcode opcode)
{
    static const int64_t dims[] = {128 * 1536}, strides[] = {1};
    struct program program = program_begin(maker, 1, dims);
    int operands[2] = {0};
    for (int i = 0; i < pointwise_arity(opcode); i++)
        operands[i] = program_input(&program, DTYPE_F32, strides);
    int result = program_code(&program, opcode, CLASS_F32, operands[0], operands[1], 0, 0, 0);
    program_output(&program, DTYPE_F32, result, strides);
    list_program(maker, &program);
}

/* Two normalisations with numbers of a channel, as DenseNet has them: 256 channels of 28 x 28. */
static void list_scaled(struct maker *maker)
{
    static const int64_t dims[] = {256, 784}, strides[] = {784, 1}, channel[] = {1, 0};
    struct program program = program_begin(maker, 2, dims);
    int x = program_input(&program, DTYPE_F32, strides), numbers[4];
    for (int i = 0; i < 4; i++)
        numbers[i] = program_input(&program, DTYPE_F32, channel);
    for (int i = 0; i < 4; i++)
        x = program_code(&program, i % 2 ? POINTWISE_ADD : POINTWISE_MUL, CLASS_F32, x, numbers[i], 0, 0, 0);
    x = program_code(&program, POINTWISE_RELU, CLASS_F32, x, 0, 0, 0, 0);
    program_output(&program, DTYPE_F32, x, strides);
    list_program(maker, &program);
}

/* A residual in another order than the rest. */
static void list_turned(struct maker *maker)
{
    static const int64_t dims[] = {784, 256}, strides[] = {256, 1}, turned[] = {1, 784};
    struct program program = program_begin(maker, 2, dims);
    int x = program_input(&program, DTYPE_F32, turned), y = program_input(&program, DTYPE_F32, strides);
    x = program_code(&program, POINTWISE_ADD, CLASS_F32, x, y, 0, 0, 0);
    program_output(&program, DTYPE_F32, program_code(&program, POINTWISE_RELU, CLASS_F32, x, 0, 0, 0, 0), strides);
    list_program(maker, &program);
}

static void list_dequantized(struct maker *maker)
{
    static const int64_t dims[] = {400 * 384}, strides[] = {1}, number[] = {0};
    struct program program = program_begin(maker, 1, dims);
    int x = program_input(&program, DTYPE_U8, strides), scale = program_input(&program, DTYPE_F32, number);
    int zero = program_input(&program, DTYPE_U8, number);
    x = program_code(&program, POINTWISE_SUB, CLASS_I64, x, zero, 0, 0, 0);
    x = program_code(&program, POINTWISE_TO_F32, CLASS_I64, x, 0, 0, 0, 0);
    x = program_code(&program, POINTWISE_MUL, CLASS_F32, x, scale, 0, 0, 0);
    program_output(&program, DTYPE_F32, x, strides);
    list_program(maker, &program);
}

static const struct {
    const char *name;
    void (*list)(struct maker *maker);
} chains[] = {{"scaled channels 256x784", list_scaled},
              {"turned residual 784x256", list_turned},
              {"dequantize 400x384", list_dequantized}};
#define SINGLES (sizeof cases / sizeof cases[0])

static void make_listed(struct maker *maker, size_t index)
{
    const char *name = index < SINGLES ? cases[index].name : chains[index - SINGLES].name;
    if (index < SINGLES)
        list_single(maker, cases[index].opcode);
    else
        chains[index - SINGLES].list(maker);
    snprintf(maker->problem->name, sizeof maker->problem->name, "pointwise %s", name);
}

const struct family_problems pointwise_problems = {
    .family = FAMILY_pointwise,
    .make = make_pointwise,
    .table_count = SINGLES + sizeof chains / sizeof chains[0],
    .make_listed = make_listed,
    .share = 40,
};
