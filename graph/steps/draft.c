#include "graph/steps/draft.h"

#include "kernels/convert.h"

#include <string.h>

#define MOST_REGISTERS (POINTWISE_MAX_OPERANDS + POINTWISE_MAX_INSTRUCTIONS)

void draft_begin(struct draft *draft, const struct pointwise_params *space)
{
    memset(draft, 0, sizeof *draft);
    draft->rank = space->rank;
    memcpy(draft->dims, space->dims, sizeof draft->dims);
}

static bool same_walk(const struct draft *draft, const struct pointwise_operand *a, const struct pointwise_operand *b)
{
    return memcmp(a->strides, b->strides, (size_t)draft->rank * sizeof a->strides[0]) == 0;
}

/* The register of an input; input_count: it is not there. */
static int find_input(const struct draft *draft, const struct value *value, const struct pointwise_operand *operand)
{
    int i = 0;
    while (i < draft->input_count && (draft->values[i] != value || !same_walk(draft, &draft->inputs[i], operand)))
        i++;
    return i;
}

void draft_add_result(struct draft *draft, struct value *value)
{
    draft->values[draft->input_count] = value;
    draft->inputs[draft->input_count].dtype = (uint8_t)value->dtype;
    contiguous_strides(draft->rank, draft->dims, draft->inputs[draft->input_count++].strides);
}

bool draft_add_inputs(struct draft *draft, const struct pointwise_params *program, struct value *const *values,
                      const struct value *joint)
{
    for (int i = 0; i < program->input_count; i++) {
        if (values[i] == joint || find_input(draft, values[i], &program->operands[i]) < draft->input_count)
            continue;
        if (draft->input_count == POINTWISE_MAX_OPERANDS - 1)
            return false;
        draft->values[draft->input_count] = values[i];
        draft->inputs[draft->input_count++] = program->operands[i];
    }
    return true;
}

bool draft_add_code(struct draft *draft, const struct pointwise_params *program, struct value *const *values,
                    const struct value *joint, int joint_register)
{
    int registers[POINTWISE_MAX_REGISTERS] = {0};
    for (int i = 0; i < program->input_count; i++)
        registers[i] = values[i] == joint ? joint_register : find_input(draft, values[i], &program->operands[i]);
    for (int i = 0; i < program->instruction_count; i++) {
        const struct pointwise_instruction *code = &pointwise_code(program)[i];
        if (draft->instruction_count == POINTWISE_MAX_INSTRUCTIONS)
            return false;
        int k = draft->instruction_count++, arity = pointwise_arity((enum pointwise_opcode)code->opcode);
        const uint8_t operands[3] = {code->a, code->b, code->c};
        draft->instructions[k].code = *code;
        for (int o = 0; o < 3; o++)
            draft->instructions[k].operands[o] = o < arity ? registers[operands[o]] : -1;
        registers[code->target] = draft->input_count + k;
    }
    draft->output = program->operands[program->input_count];
    draft->result = registers[draft->output.reg];
    return true;
}

/* Whether an f32 is what an element of f16 or bf16 holds. */
static bool is_of_type(double number, enum dtype dtype)
{
    float x = (float)number;
    return (dtype == DTYPE_F16 ? f16_to_f32(f32_to_f16(x)) : bf16_to_f32(f32_to_bf16(x))) == x;
}

/* Whether an instruction makes nothing but elements of f16 or bf16, given which registers hold no others. */
static bool makes_type(const struct pointwise_instruction *code, const int *operands, const bool *of_type,
                       enum dtype dtype)
{
    bool a = operands[0] >= 0 && of_type[operands[0]], b = operands[1] >= 0 && of_type[operands[1]];
    if (code->register_class != CLASS_F32)
        return false;
    switch (code->opcode) {
    case POINTWISE_ROUND_F16:
        return dtype == DTYPE_F16;
    case POINTWISE_ROUND_BF16:
        return dtype == DTYPE_BF16;
    case POINTWISE_CONSTANT:
        return is_of_type(code->immediate[0], dtype);
    case POINTWISE_CLAMP:
        return a && is_of_type(code->immediate[0], dtype) && is_of_type(code->immediate[1], dtype);
    case POINTWISE_MIN:
    case POINTWISE_MAX:
        return a && b;
    case POINTWISE_SELECT:
        return b && of_type[operands[2]];
    case POINTWISE_MOVE:
    case POINTWISE_TO_F32:
    case POINTWISE_NEG:
    case POINTWISE_ABS:
    case POINTWISE_SIGN:
    case POINTWISE_RELU:
    case POINTWISE_THRESHOLDED_RELU:
        return a;
    default:
        return false;
    }
}

bool draft_round(struct draft *draft, enum dtype dtype)
{
    bool of_type[MOST_REGISTERS];
    for (int i = 0; i < draft->input_count; i++)
        of_type[i] = draft->inputs[i].dtype == dtype;
    for (int i = 0; i < draft->instruction_count; i++)
        of_type[draft->input_count + i] =
            makes_type(&draft->instructions[i].code, draft->instructions[i].operands, of_type, dtype);
    if (of_type[draft->result])
        return true;
    if (draft->instruction_count == POINTWISE_MAX_INSTRUCTIONS)
        return false;
    int k = draft->instruction_count++;
    draft->instructions[k].code = (struct pointwise_instruction){
        .opcode = dtype == DTYPE_F16 ? POINTWISE_ROUND_F16 : POINTWISE_ROUND_BF16, .register_class = CLASS_F32};
    draft->instructions[k].operands[0] = draft->result;
    draft->instructions[k].operands[1] = draft->instructions[k].operands[2] = -1;
    draft->result = draft->input_count + k;
    return true;
}

/* Last instruction that reads each register. */
static void find_last_reads(const struct draft *draft, int *last)
{
    for (int r = 0; r < draft->input_count + draft->instruction_count; r++)
        last[r] = -1;
    for (int i = 0; i < draft->instruction_count; i++)
        for (int o = 0; o < 3; o++)
            if (draft->instructions[i].operands[o] >= 0)
                last[draft->instructions[i].operands[o]] = i;
    last[draft->result] = draft->instruction_count;
}

/* A target never takes the place of one of its own operands: an instruction may write wider elements than it reads. */
static bool place_registers(const struct draft *draft, int *place)
{
    int last[MOST_REGISTERS], occupant[POINTWISE_MAX_REGISTERS];
    find_last_reads(draft, last);
    for (int r = 0; r < POINTWISE_MAX_REGISTERS; r++)
        occupant[r] = r < draft->input_count ? r : -1;
    for (int r = 0; r < draft->input_count; r++)
        place[r] = r;
    for (int i = 0; i < draft->instruction_count; i++) {
        int target = draft->input_count + i, found = -1;
        for (int r = 0; r < POINTWISE_MAX_REGISTERS && found < 0; r++)
            if (occupant[r] < 0 || last[occupant[r]] < i)
                found = r;
        if (found < 0)
            return false;
        occupant[found] = target;
        place[target] = found;
    }
    return true;
}

bool draft_settle(const struct draft *draft, struct pointwise_builder *builder)
{
    int place[MOST_REGISTERS];
    if (!place_registers(draft, place))
        return false;
    memset(builder, 0, sizeof *builder);
    builder->rank = draft->rank;
    memcpy(builder->dims, draft->dims, sizeof builder->dims);
    builder->input_count = draft->input_count;
    builder->output_count = 1;
    builder->instruction_count = draft->instruction_count;
    for (int i = 0; i < draft->input_count; i++) {
        builder->operands[i] = draft->inputs[i];
        builder->operands[i].reg = 0;
    }
    builder->operands[draft->input_count] = draft->output;
    builder->operands[draft->input_count].reg = (uint8_t)place[draft->result];
    for (int i = 0; i < draft->instruction_count; i++) {
        const int *from = draft->instructions[i].operands;
        struct pointwise_instruction *code = &builder->code[i];
        *code = draft->instructions[i].code;
        code->a = from[0] >= 0 ? (uint8_t)place[from[0]] : 0;
        code->b = from[1] >= 0 ? (uint8_t)place[from[1]] : 0;
        code->c = from[2] >= 0 ? (uint8_t)place[from[2]] : 0;
        code->target = (uint8_t)place[draft->input_count + i];
    }
    return true;
}

struct node *joint_node(struct region *region, const struct node *base, const struct node *first,
                        const struct node *second)
{
    int count = first->source_count + second->source_count;
    struct node *node = region_allocate(region, sizeof *node);
    const char **sources = region_array(region, (size_t)count, sizeof *sources);
    if (!node || !sources)
        return NULL;
    *node = *base;
    node->source_count = 0;
    for (int i = 0; i < count; i++) {
        const char *name = i < first->source_count ? first->sources[i] : second->sources[i - first->source_count];
        bool known = false;
        for (int k = 0; k < node->source_count; k++)
            known = known || strcmp(sources[k], name) == 0;
        if (!known)
            sources[node->source_count++] = name;
    }
    node->sources = sources;
    return node;
}
