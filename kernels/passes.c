#include "kernels/passes.h"

#include "kernels/convert.h"
#include "kernels/walk.h"

#include <string.h>

/* Inputs, and at most seven values for each instruction: its result, and three operands each widened and expanded. */
#define MOST_VALUES (POINTWISE_MAX_OPERANDS + 7 * POINTWISE_MAX_INSTRUCTIONS)

/* --- what can be run ------------------------------------------------------------------------------------------ */

static bool is_loaded(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
    case DTYPE_BOOL:
        return true;
    default:
        return dtype_is_integer(dtype) && dtype_bits(dtype) >= 8 && dtype != DTYPE_U64;
    }
}

bool passes_support(const struct pointwise_params *program)
{
    for (int i = 0; i < pointwise_operand_count(program); i++)
        if (!is_loaded((enum dtype)program->operands[i].dtype))
            return false;
    for (int i = 0; i < program->instruction_count; i++) {
        const struct pointwise_instruction *code = &pointwise_code(program)[i];
        if (code->register_class == CLASS_F64 || code->register_class == CLASS_U64 ||
            code->opcode == POINTWISE_TO_F64 || code->opcode == POINTWISE_TO_U64)
            return false;
    }
    return true;
}

/* --- blocks --------------------------------------------------------------------------------------------------- */

static int64_t size_of(int64_t stride)
{
    return stride < 0 ? -stride : stride;
}

static void swap_axes(struct pointwise_params *p, int i, int j)
{
    int64_t dim = p->dims[i];
    p->dims[i] = p->dims[j];
    p->dims[j] = dim;
    for (int k = 0; k < pointwise_operand_count(p); k++) {
        int64_t *strides = p->operands[k].strides, stride = strides[i];
        strides[i] = strides[j];
        strides[j] = stride;
    }
}

static bool is_whole(const struct pointwise_params *p, const struct pointwise_operand *operand)
{
    for (int i = 0; i < p->rank; i++)
        if (p->dims[i] > 1 && operand->strides[i] == 0)
            return false;
    return true;
}

/* The operand whose elements are next to each other along the last axis: the output. Bytes made of larger elements are
 * turned over when they are stored, which is less than to turn those. */
static const struct pointwise_operand *leading_operand(const struct pointwise_params *p)
{
    const struct pointwise_operand *output = &p->operands[p->input_count];
    bool bytes = p->output_count == 1 && dtype_bits((enum dtype)output->dtype) == 8;
    for (int i = 0; bytes && i < p->input_count; i++)
        if (dtype_bits((enum dtype)p->operands[i].dtype) > 8 && is_whole(p, &p->operands[i]))
            return &p->operands[i];
    return output;
}

static void order_axes(struct pointwise_params *p)
{
    const int64_t *strides = leading_operand(p)->strides;
    for (int i = 1; i < p->rank; i++)
        for (int j = i; j > 0 && size_of(strides[j - 1]) < size_of(strides[j]); j--)
            swap_axes(p, j - 1, j);
    pointwise_merge_axes(p);
    if (p->rank > 1)
        return;
    p->rank = 2;
    p->dims[1] = p->dims[0];
    p->dims[0] = 1;
    for (int i = 0; i < pointwise_operand_count(p); i++) {
        int64_t *to = p->operands[i].strides;
        to[1] = to[0];
        to[0] = 0;
    }
}

/* Rows and columns of a block: some rows where they are short, or where an operand lies the other way round. */
static void cut_blocks(struct passes *passes)
{
    const struct pointwise_params *p = passes->program;
    int64_t down = p->dims[p->rank - 2], along = p->dims[p->rank - 1];
    bool turned = false, row_numbers = false;
    for (int i = 0; i < pointwise_operand_count(p); i++) {
        const int64_t *strides = p->operands[i].strides + p->rank - 2;
        turned = turned || (size_of(strides[1]) > 1 && size_of(strides[0]) == 1 && down > 1);
        row_numbers = row_numbers || (strides[1] == 0 && strides[0] != 0);
    }
    passes->rows = 1;
    passes->columns = along > PASS_BLOCK ? PASS_BLOCK : along > 0 ? along : 1;
    if (turned) {
        passes->columns = least(passes->columns, PASS_BLOCK / least(down, 16) / 16 * 16);
        passes->rows = least(down, PASS_BLOCK / passes->columns);
        passes->rows -= passes->rows > 16 ? passes->rows % 16 : 0;
    } else if (along > 0 && along <= (row_numbers ? PASS_BLOCK / 4 : PASS_BLOCK / 2)) {
        passes->rows = least(down, PASS_BLOCK / along);
    }
    passes->blocks = divide_up(down, passes->rows) * divide_up(along, passes->columns);
    for (int i = 0; i < p->rank - 2; i++)
        passes->blocks *= p->dims[i];
}

/* --- the program, instruction by instruction --------------------------------------------------------------- */

struct lowering {
    struct passes *passes;
    const struct pointwise_params *program;
    int16_t held[POINTWISE_MAX_REGISTERS]; /* value that a register holds */
    struct pass_value values[MOST_VALUES];
    struct pass code[MOST_VALUES];
};

static const uint8_t float_passes[POINTWISE_OPCODE_COUNT] = {
#define SAME(name) [POINTWISE_##name] = PASS_##name
    SAME(CONSTANT),     SAME(NEG),
    SAME(ABS),          SAME(SIGN),
    SAME(ADD),          SAME(SUB),
    SAME(MUL),          SAME(DIV),
    SAME(POW),          SAME(MIN),
    SAME(MAX),          SAME(PRELU),
    SAME(CLAMP),        SAME(FLOOR),
    SAME(CEIL),         SAME(ROUND),
    SAME(SQRT),         SAME(RECIPROCAL),
    SAME(EXP),          SAME(LOG),
    SAME(SIN),          SAME(COS),
    SAME(TANH),         SAME(ERF),
    SAME(RELU),         SAME(LEAKY_RELU),
    SAME(ELU),          SAME(SELU),
    SAME(CELU),         SAME(SIGMOID),
    SAME(SWISH),        SAME(HARD_SWISH),
    SAME(HARD_SIGMOID), SAME(MISH),
    SAME(SOFTPLUS),     SAME(SOFTSIGN),
    SAME(SHRINK),       SAME(GELU),
    SAME(GELU_TANH),    SAME(SELECT),
    SAME(EQUAL),        SAME(LESS),
    SAME(IS_NAN),       SAME(LESS_EQUAL),
    SAME(TO_BOOL),      SAME(THRESHOLDED_RELU),
    SAME(ROUND_F16),    SAME(ROUND_BF16),
};
static const uint8_t integer_passes[POINTWISE_OPCODE_COUNT] = {
#define SHORT(name) [POINTWISE_##name] = PASS_##name##_I32
    SHORT(CONSTANT),  SHORT(ADD),        SHORT(SUB),     SHORT(MUL),        SHORT(MIN),        SHORT(MAX),
    SHORT(EQUAL),     SHORT(LESS),       SHORT(TO_BOOL), SHORT(LESS_EQUAL), SAME(LOGICAL_NOT), SAME(LOGICAL_AND),
    SAME(LOGICAL_OR), SAME(LOGICAL_XOR), SAME(SELECT),   SAME(TO_F32),
#undef SHORT
#undef SAME
};

static bool is_truth(enum pointwise_opcode opcode)
{
    switch (opcode) {
    case POINTWISE_TO_BOOL:
    case POINTWISE_EQUAL:
    case POINTWISE_LESS:
    case POINTWISE_LESS_EQUAL:
    case POINTWISE_IS_NAN:
    case POINTWISE_IS_INF:
    case POINTWISE_LOGICAL_NOT:
    case POINTWISE_LOGICAL_AND:
    case POINTWISE_LOGICAL_OR:
    case POINTWISE_LOGICAL_XOR:
        return true;
    default:
        return false;
    }
}

static bool is_short(const struct pass_value *value)
{
    return value->format != FORMAT_F32 && value->low >= INT32_MIN && value->high <= INT32_MAX;
}

static int16_t add_value(struct lowering *l, enum pass_format format, bool scalar, int64_t low, int64_t high)
{
    int index = l->passes->value_count++;
    l->values[index] = (struct pass_value){
        .format = (uint8_t)format, .scalar = scalar, .input = -1, .slot = -1, .low = low, .high = high};
    return (int16_t)index;
}

static void add_pass(struct lowering *l, enum pass_code code, int16_t target, const int16_t *operands,
                     const struct pointwise_instruction *instruction)
{
    l->code[l->passes->pass_count++] = (struct pass){.code = (uint8_t)code,
                                                     .target = target,
                                                     .a = operands[0],
                                                     .b = operands[1],
                                                     .c = operands[2],
                                                     .instruction = instruction};
}

/* The same value by one pass more. */
static int16_t changed(struct lowering *l, enum pass_code code, int16_t value, enum pass_format format, bool scalar)
{
    const struct pass_value *from = &l->values[value];
    bool test = code == PASS_TEST;
    int16_t target = add_value(l, format, scalar, test ? 0 : from->low, test ? 1 : from->high);
    add_pass(l, code, target, (const int16_t[]){value, value, value}, NULL);
    return target;
}

static int16_t expanded(struct lowering *l, int16_t value)
{
    enum pass_format format = (enum pass_format)l->values[value].format;
    if (!l->values[value].scalar)
        return value;
    return changed(l, format == FORMAT_I64 ? PASS_EXPAND_64 : PASS_EXPAND_32, value, format, false);
}

static int16_t narrowed(struct lowering *l, int16_t value)
{
    return l->values[value].format != FORMAT_I64 ? value
                                                 : changed(l, PASS_NARROW, value, FORMAT_I32, l->values[value].scalar);
}

static int16_t widened(struct lowering *l, int16_t value)
{
    return l->values[value].format != FORMAT_I32 ? value
                                                 : changed(l, PASS_WIDEN, value, FORMAT_I64, l->values[value].scalar);
}

/* Of a choice: not 0. */
static int16_t tested(struct lowering *l, int16_t value)
{
    return l->values[value].format != FORMAT_I64 ? value
                                                 : changed(l, PASS_TEST, value, FORMAT_I32, l->values[value].scalar);
}

/* The range of an integer result. False: it may leave 32 bits. Those of operands do not. */
static bool find_range(const struct pointwise_instruction *code, const struct pass_value *const *operand, int64_t *low,
                       int64_t *high)
{
    const struct pass_value *a = operand[0], *b = operand[1], *c = operand[2];
    int64_t corners[4];
    switch (code->opcode) {
    case POINTWISE_CONSTANT:
        *low = *high = f64_to_i64(code->immediate[0]);
        break;
    case POINTWISE_ADD:
        *low = a->low + b->low, *high = a->high + b->high;
        break;
    case POINTWISE_SUB:
        *low = a->low - b->high, *high = a->high - b->low;
        break;
    case POINTWISE_MUL:
        corners[0] = a->low * b->low, corners[1] = a->low * b->high;
        corners[2] = a->high * b->low, corners[3] = a->high * b->high;
        *low = *high = corners[0];
        for (int i = 1; i < 4; i++) {
            *low = corners[i] < *low ? corners[i] : *low;
            *high = corners[i] > *high ? corners[i] : *high;
        }
        break;
    case POINTWISE_MIN:
    case POINTWISE_MAX:
        *low = least(a->low, b->low), *high = a->high > b->high ? a->high : b->high;
        break;
    case POINTWISE_SELECT:
        *low = least(b->low, c->low), *high = b->high > c->high ? b->high : c->high;
        break;
    default: /* truths; a float, of which nothing is known */
        *low = 0, *high = 1;
    }
    return *low >= INT32_MIN && *high <= INT32_MAX;
}

/* The instruction in 64 bits, as the reference interpreter has it. */
static int16_t lower_as_reference(struct lowering *l, const struct pointwise_instruction *code, int16_t *operands,
                                  int arity, bool scalar)
{
    enum pointwise_opcode opcode = (enum pointwise_opcode)code->opcode;
    bool truth = is_truth(opcode), integer = truth || opcode == POINTWISE_TO_I64 ||
                                             (code->register_class == CLASS_I64 && opcode != POINTWISE_TO_F32);
    for (int i = 0; i < arity; i++) {
        operands[i] = widened(l, operands[i]);
        operands[i] = scalar ? operands[i] : expanded(l, operands[i]);
    }
    int16_t target = add_value(l, integer ? FORMAT_I64 : FORMAT_F32, scalar,
                               truth     ? 0
                               : integer ? INT64_MIN
                                         : 1,
                               truth     ? 1
                               : integer ? INT64_MAX
                                         : 0);
    add_pass(l, PASS_REFERENCE, target, operands, code);
    return target;
}

static int16_t lower_integer(struct lowering *l, const struct pointwise_instruction *code, int16_t *operands, int arity,
                             bool scalar)
{
    enum pass_code pass = (enum pass_code)integer_passes[code->opcode];
    bool selects = code->opcode == POINTWISE_SELECT, all_short = true;
    int64_t low, high;
    for (int i = selects; i < arity; i++)
        all_short = all_short && is_short(&l->values[operands[i]]);
    const struct pass_value *ranges[] = {&l->values[operands[0]], &l->values[operands[1]], &l->values[operands[2]]};
    if (pass == PASS_REFERENCE || !all_short || !find_range(code, ranges, &low, &high))
        return lower_as_reference(l, code, operands, arity, scalar);
    for (int i = 0; i < arity; i++)
        operands[i] = selects && i == 0 ? tested(l, operands[i]) : narrowed(l, operands[i]);
    bool to_float = code->opcode == POINTWISE_TO_F32;
    int16_t target = add_value(l, to_float ? FORMAT_F32 : FORMAT_I32, scalar, to_float ? 1 : low, to_float ? 0 : high);
    add_pass(l, pass, target, operands, code);
    return target;
}

/* A float that was clamped becomes an integer of 32 bits. */
static bool is_truncated(const struct pass_value *value)
{
    return value->low <= value->high;
}

enum pass_code passes_float_code(const struct pointwise_instruction *code)
{
    enum pass_code pass = (enum pass_code)float_passes[code->opcode];
    /* e^(x/p) - 1 is a pass for x/p < 0 alone. */
    return pass == PASS_CELU && !(code->immediate[0] > 0) ? PASS_REFERENCE : pass;
}

static int16_t lower_float(struct lowering *l, const struct pointwise_instruction *code, int16_t *operands, int arity,
                           bool scalar)
{
    enum pass_code pass = passes_float_code(code);
    const struct pass_value *x = &l->values[operands[0]];
    if (code->opcode == POINTWISE_TO_I64 && is_truncated(x)) {
        int16_t target = add_value(l, FORMAT_I32, scalar, least(x->low, 0), x->high > 0 ? x->high : 0);
        add_pass(l, PASS_TRUNCATE, target, operands, code);
        return target;
    }
    if (pass == PASS_REFERENCE)
        return lower_as_reference(l, code, operands, arity, scalar);
    bool truth = is_truth((enum pointwise_opcode)code->opcode);
    if (code->opcode == POINTWISE_SELECT)
        operands[0] = tested(l, operands[0]);
    int16_t target = add_value(l, truth ? FORMAT_I32 : FORMAT_F32, scalar, truth ? 0 : 1, truth ? 1 : 0);
    double p = code->immediate[0], q = code->immediate[1];
    if (code->opcode == POINTWISE_CLAMP && p >= -0x1p30 && p <= q && q <= 0x1p30) {
        l->values[target].low = (int64_t)p;
        l->values[target].high = (int64_t)q;
    }
    add_pass(l, pass, target, operands, code);
    return target;
}

static int16_t lower_instruction(struct lowering *l, const struct pointwise_instruction *code)
{
    int arity = pointwise_arity((enum pointwise_opcode)code->opcode);
    int16_t operands[] = {arity > 0 ? l->held[code->a] : 0, arity > 1 ? l->held[code->b] : 0,
                          arity > 2 ? l->held[code->c] : 0};
    bool same = code->opcode == POINTWISE_MOVE ||
                code->opcode == (code->register_class == CLASS_F32 ? POINTWISE_TO_F32 : POINTWISE_TO_I64);
    bool scalar = true;
    for (int i = 0; i < arity; i++)
        scalar = scalar && l->values[operands[i]].scalar;
    if (same)
        return operands[0];
    return (code->register_class == CLASS_F32 ? lower_float : lower_integer)(l, code, operands, arity, scalar);
}

/* --- operands ------------------------------------------------------------------------------------------------- */

/* Blocks of it lie in memory as they do in the workspace. */
static bool is_direct(const struct passes *passes, const struct pointwise_operand *operand)
{
    const struct pointwise_params *p = passes->program;
    const int64_t *strides = operand->strides + p->rank - 2;
    return operand->dtype == DTYPE_F32 && strides[1] == 1 &&
           (passes->rows == 1 || (passes->columns == p->dims[p->rank - 1] && strides[0] == passes->columns));
}

static void add_input(struct lowering *l, int input)
{
    const struct pointwise_operand *operand = &l->program->operands[input];
    const int64_t *strides = operand->strides + l->program->rank - 2;
    enum dtype dtype = (enum dtype)operand->dtype;
    unsigned bits = dtype_bits(dtype);
    bool scalar = strides[1] == 0 && (l->passes->rows == 1 || strides[0] == 0);
    if (dtype_is_float(dtype)) {
        l->held[input] = add_value(l, FORMAT_F32, scalar, 1, 0);
    } else {
        bool has_sign = dtype_is_signed_integer(dtype);
        int64_t low = !has_sign ? 0 : bits == 64 ? INT64_MIN : -(INT64_C(1) << (bits - 1));
        int64_t high = bits == 64 ? INT64_MAX : (INT64_C(1) << (has_sign ? bits - 1 : bits)) - 1;
        high = dtype == DTYPE_BOOL ? 1 : high;
        l->held[input] = add_value(l, high > INT32_MAX ? FORMAT_I64 : FORMAT_I32, scalar, low, high);
    }
    struct pass_value *value = &l->values[l->held[input]];
    value->input = (int16_t)input;
    value->direct = is_direct(l->passes, operand) && !scalar;
}

/* --- passes that become one ----------------------------------------------------------------------------------- */

static int uses_of(const struct lowering *l, int16_t value)
{
    int uses = 0;
    for (int i = 0; i < l->passes->pass_count; i++) {
        const struct pass *pass = &l->code[i];
        int arity = pass->instruction ? pointwise_arity((enum pointwise_opcode)pass->instruction->opcode) : 1;
        uses += (arity > 0 && pass->a == value) + (arity > 1 && pass->b == value) + (arity > 2 && pass->c == value);
    }
    for (int i = 0; i < l->program->output_count; i++)
        uses += l->passes->outputs[i] == value;
    return uses;
}

/* The pass that does what `first` does and then `second`, the only one to read its result; PASS_REFERENCE: none. */
static enum pass_code joined_code(const struct pass *first, const struct pass *second)
{
    bool as_b = second->b == first->target;
    if (first->code == PASS_MUL && second->code == PASS_ADD)
        return (second->a == first->target) != as_b ? PASS_MUL_ADD : PASS_REFERENCE;
    if (second->a != first->target)
        return PASS_REFERENCE;
    return first->code == PASS_DIV && second->code == PASS_ROUND        ? PASS_DIV_ROUND
           : first->code == PASS_CLAMP && second->code == PASS_TRUNCATE ? PASS_CLAMP_TRUNCATE
                                                                        : PASS_REFERENCE;
}

static void join_passes(struct lowering *l)
{
    struct passes *passes = l->passes;
    bool single[MOST_VALUES];
    int kept = 0;
    for (int i = 0; i < passes->value_count; i++)
        single[i] = uses_of(l, (int16_t)i) == 1;
    for (int i = 0; i < passes->pass_count; i++) {
        struct pass *pass = &l->code[i], *last = kept > 0 ? &l->code[kept - 1] : NULL;
        enum pass_code code = last && single[last->target] ? joined_code(last, pass) : PASS_REFERENCE;
        if (code == PASS_REFERENCE) {
            l->code[kept++] = *pass;
            continue;
        }
        last->code = (uint8_t)code;
        last->c = code != PASS_MUL_ADD ? last->c : pass->a == last->target ? pass->b : pass->a;
        last->target = pass->target;
    }
    passes->pass_count = kept;
}

/* --- slots ------------------------------------------------------------------------------------------------------
 * Inputs that are loaded keep theirs, so that what does not change from block to block is loaded once; so do numbers.
 * The others share. */

static void note_uses(const struct lowering *l, int *last_use)
{
    for (int i = 0; i < l->passes->pass_count; i++) {
        const struct pass *pass = &l->code[i];
        last_use[pass->target] = i;
        last_use[pass->a] = last_use[pass->b] = last_use[pass->c] = i;
    }
    for (int i = 0; i < l->program->output_count; i++)
        last_use[l->passes->outputs[i]] = l->passes->pass_count;
}

static void assign_slots(struct lowering *l)
{
    int last_use[MOST_VALUES] = {0};
    int16_t free_slots[MOST_VALUES], free_count = 0;
    struct passes *passes = l->passes;
    note_uses(l, last_use);
    for (int i = 0; i < passes->value_count; i++)
        if ((l->values[i].input >= 0 && !l->values[i].direct) || (l->values[i].input < 0 && l->values[i].scalar))
            l->values[i].slot = (int16_t)passes->slot_count++;
    for (int i = 0; i < passes->pass_count; i++) {
        struct pass_value *target = &l->values[l->code[i].target];
        if (target->slot < 0)
            target->slot = free_count ? free_slots[--free_count] : (int16_t)passes->slot_count++;
        const int16_t ends[] = {l->code[i].a, l->code[i].b, l->code[i].c, l->code[i].target};
        for (int j = 0; j < 4; j++) {
            struct pass_value *value = &l->values[ends[j]];
            if (last_use[ends[j]] != i || value->input >= 0 || value->scalar)
                continue;
            free_slots[free_count++] = value->slot;
            last_use[ends[j]] = -1; /* freed */
        }
    }
}

static void lower_program(struct lowering *l)
{
    const struct pointwise_params *p = l->program;
    struct passes *passes = l->passes;
    for (int i = 0; i < p->input_count; i++)
        add_input(l, i);
    for (int i = 0; i < p->instruction_count; i++)
        l->held[pointwise_code(p)[i].target] = lower_instruction(l, &pointwise_code(p)[i]);
    for (int i = 0; i < p->output_count; i++)
        passes->outputs[i] = expanded(l, l->held[p->operands[p->input_count + i].reg]);
    join_passes(l);
    passes->direct_output = p->output_count == 1 && passes->pass_count > 0 &&
                            l->code[passes->pass_count - 1].target == passes->outputs[0] &&
                            is_direct(passes, &p->operands[p->input_count]);
    passes->slot_bytes = PASS_BLOCK * sizeof(float);
    for (int i = 0; i < passes->value_count; i++)
        if (l->values[i].format == FORMAT_I64)
            passes->slot_bytes = PASS_BLOCK * sizeof(int64_t);
    assign_slots(l);
}

struct passes *passes_make(const struct pointwise_params *program, struct region *region)
{
    struct pointwise_room room;
    struct pointwise_params *ordered = pointwise_copy(program, &room);
    struct passes *passes = region_allocate(region, sizeof *passes);
    order_axes(ordered);
    void *kept = region_allocate(region, pointwise_bytes(ordered));
    if (!passes || !kept)
        return NULL;
    passes->program = memcpy(kept, ordered, pointwise_bytes(ordered));
    cut_blocks(passes);
    struct lowering l; /* its tables are large: of them only what has been filled in is read, and the first value */
    l.passes = passes;
    l.program = passes->program;
    l.values[0] = (struct pass_value){0};
    memset(l.held, 0, sizeof l.held);
    lower_program(&l);
    passes->values = region_array(region, (size_t)passes->value_count, sizeof *passes->values);
    passes->passes = region_array(region, (size_t)passes->pass_count, sizeof *passes->passes);
    if (!passes->values || !passes->passes)
        return NULL;
    memcpy(passes->values, l.values, (size_t)passes->value_count * sizeof *passes->values);
    memcpy(passes->passes, l.code, (size_t)passes->pass_count * sizeof *passes->passes);
    return passes;
}

size_t passes_workspace(const struct passes *passes)
{
    return align_up((size_t)passes->slot_count * passes->slot_bytes, ALIGNMENT);
}
