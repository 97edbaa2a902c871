/* Chains and trees of elementwise steps become one pointwise program: what they hand on stays in a register tile and
 * never reaches memory. */
#include "graph/passes/passes.h"

#include "graph/op.h"

#include <string.h>

struct fusion {
    struct segment *segment;
    struct error *error;
    enum isa isa;
    int *uses;  /* by value id: operands of steps, views, and everything that outlives the segment */
    int *maker; /* by value id: 1 + the index of the pointwise step that makes it, 0 for anything else */
};

#define MOST_DRAFT_REGISTERS (POINTWISE_MAX_OPERANDS + POINTWISE_MAX_INSTRUCTIONS)

/* A program under construction: registers are numbered without limit until the end. */
struct draft {
    int input_count, instruction_count, register_count;
    struct value *inputs[POINTWISE_MAX_OPERANDS];
    struct {
        struct pointwise_instruction code; /* immediates, opcode and class; registers are in the fields below */
        int target, operands[3];
    } instructions[POINTWISE_MAX_INSTRUCTIONS];
};

static enum status no_memory(struct fusion *f)
{
    return error_set(f->error, STATUS_OUT_OF_MEMORY, "out of memory while fusing graph '%s'", f->segment->graph->name);
}

/* --- what may be fused ----------------------------------------------------------------------------------- */

static bool is_pointwise(const struct step *step)
{
    return step->kernel && step->kernel->family == FAMILY_pointwise && step->output_count == 1;
}

/* Types whose memory holds just what a register does, so that skipping the store and the load changes no bit. */
static bool survives_in_register(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_F64 || dtype == DTYPE_I64 || dtype == DTYPE_U64 || dtype == DTYPE_BOOL;
}

static bool same_shape(const struct value *a, const struct value *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

static int operands_of(const struct step *step, const struct value *value)
{
    int count = 0;
    for (int i = 0; i < step->input_count; i++)
        count += step->inputs[i] == value;
    return count;
}

/* The entry of the step whose result `value` this consumer alone reads, element for element; NULL: there is none. */
static struct step **fusible_maker(const struct fusion *f, const struct step *consumer, const struct value *value)
{
    int maker = value && !value->data && !value->alias ? f->maker[value->id] : 0;
    bool fits = maker && survives_in_register(value->dtype) && same_shape(value, consumer->outputs[0]) &&
                f->uses[value->id] == operands_of(consumer, value);
    return fits ? &f->segment->steps.steps[maker - 1] : NULL;
}

/* --- joining two programs -------------------------------------------------------------------------------- */

static int draft_input(struct draft *draft, struct value *value)
{
    for (int i = 0; i < draft->input_count; i++)
        if (draft->inputs[i] == value)
            return i;
    if (draft->input_count == POINTWISE_MAX_OPERANDS - 1)
        return -1;
    draft->inputs[draft->input_count] = value;
    return draft->input_count++;
}

/* Appends a program whose inputs are already in registers; returns the register of its result, -1: it does not fit. */
static int draft_append(struct draft *draft, const struct pointwise_params *params, int *registers)
{
    for (int i = 0; i < params->instruction_count; i++) {
        const struct pointwise_instruction *code = &params->code[i];
        if (draft->instruction_count == POINTWISE_MAX_INSTRUCTIONS)
            return -1;
        int k = draft->instruction_count++, arity = pointwise_arity((enum pointwise_opcode)code->opcode);
        const uint8_t operands[3] = {code->a, code->b, code->c};
        draft->instructions[k].code = *code;
        for (int o = 0; o < 3; o++)
            draft->instructions[k].operands[o] = o < arity ? registers[operands[o]] : -1;
        draft->instructions[k].target = registers[code->target] = draft->register_count++;
    }
    return registers[params->operands[params->input_count].reg];
}

/* Registers of inputs come first and are numbered by the draft; those of instructions follow. */
static bool draft_join(struct draft *draft, const struct step *maker, const struct step *consumer)
{
    const struct value *joint = maker->outputs[0];
    int of_maker[POINTWISE_MAX_REGISTERS] = {0}, of_consumer[POINTWISE_MAX_REGISTERS] = {0};
    memset(draft, 0, sizeof *draft);
    for (int i = 0; i < maker->input_count; i++)
        if ((of_maker[i] = draft_input(draft, maker->inputs[i])) < 0)
            return false;
    for (int i = 0; i < consumer->input_count; i++)
        if (consumer->inputs[i] != joint && (of_consumer[i] = draft_input(draft, consumer->inputs[i])) < 0)
            return false;
    draft->register_count = draft->input_count;
    int result = draft_append(draft, maker->params, of_maker);
    if (result < 0)
        return false;
    for (int i = 0; i < consumer->input_count; i++)
        if (consumer->inputs[i] == joint)
            of_consumer[i] = result;
    result = draft_append(draft, consumer->params, of_consumer);
    if (result < 0 || draft->instruction_count == 0)
        return false;
    /* A program ends with the instruction that makes its result; one that ends otherwise (a bare move) stays alone. */
    return result == draft->instructions[draft->instruction_count - 1].target;
}

/* Last instruction that reads each register of the draft. */
static void find_last_reads(const struct draft *draft, int *last)
{
    for (int r = 0; r < draft->register_count; r++)
        last[r] = -1;
    for (int i = 0; i < draft->instruction_count; i++)
        for (int o = 0; o < 3; o++)
            if (draft->instructions[i].operands[o] >= 0)
                last[draft->instructions[i].operands[o]] = i;
    last[draft->instructions[draft->instruction_count - 1].target] = draft->instruction_count;
}

/* Gives the draft's registers places among the few there are; false where they do not suffice. A target never takes the
 * place of one of its own operands: an instruction may write wider elements than it reads. */
static bool draft_settle(const struct draft *draft, struct pointwise_params *params)
{
    int last[MOST_DRAFT_REGISTERS], place[MOST_DRAFT_REGISTERS], occupant[POINTWISE_MAX_REGISTERS];
    find_last_reads(draft, last);
    for (int r = 0; r < POINTWISE_MAX_REGISTERS; r++)
        occupant[r] = r < draft->input_count ? r : -1;
    for (int r = 0; r < draft->input_count; r++)
        place[r] = r;
    for (int i = 0; i < draft->instruction_count; i++) {
        int target = draft->instructions[i].target, found = -1;
        for (int r = 0; r < POINTWISE_MAX_REGISTERS && found < 0; r++)
            if (occupant[r] < 0 || last[occupant[r]] < i)
                found = r;
        if (found < 0)
            return false;
        const int *from = draft->instructions[i].operands;
        struct pointwise_instruction *code = &params->code[i];
        *code = draft->instructions[i].code;
        code->a = from[0] >= 0 ? (uint8_t)place[from[0]] : 0;
        code->b = from[1] >= 0 ? (uint8_t)place[from[1]] : 0;
        code->c = from[2] >= 0 ? (uint8_t)place[from[2]] : 0;
        code->target = (uint8_t)found;
        occupant[found] = target;
        place[target] = found;
    }
    params->input_count = draft->input_count;
    params->output_count = 1;
    params->instruction_count = draft->instruction_count;
    params->operands[draft->input_count].reg = params->code[draft->instruction_count - 1].target;
    return true;
}

/* --- the pass -------------------------------------------------------------------------------------------- */

/* The consumer's node, standing for the maker's sources too. */
static struct node *joint_node(struct region *region, const struct node *maker, const struct node *consumer)
{
    int count = maker->source_count + consumer->source_count;
    struct node *node = region_allocate(region, sizeof *node);
    const char **sources = region_array(region, (size_t)count + 1, sizeof *sources);
    if (!node || !sources)
        return NULL;
    *node = *consumer;
    node->source_count = 0;
    for (int i = 0; i < count; i++) {
        const char *name = i < maker->source_count ? maker->sources[i] : consumer->sources[i - maker->source_count];
        bool known = false;
        for (int k = 0; k < node->source_count; k++)
            known = known || strcmp(sources[k], name) == 0;
        if (!known)
            sources[node->source_count++] = name;
    }
    node->sources = sources;
    return node;
}

/* Replaces both steps by one, which takes the consumer's entry; *fused says whether it could. */
static enum status fuse(struct fusion *f, const struct step *maker, struct step **consumer, bool *fused)
{
    struct draft draft;
    struct pointwise_params params = {.input_count = 0};
    *fused = draft_join(&draft, maker, *consumer) && draft_settle(&draft, &params);
    if (!*fused)
        return STATUS_OK;
    const struct pointwise_params *last = (*consumer)->params;
    params.operands[params.input_count].saturate = last->operands[last->input_count].saturate;
    params.operands[params.input_count].rounding = last->operands[last->input_count].rounding;
    struct step_list list = {.region = f->segment->steps.region};
    struct node *node = joint_node(list.region, maker->node, (*consumer)->node);
    if (!node)
        return no_memory(f);
    struct op_context c = {.graph = f->segment->graph, .node = node, .error = f->error, .steps = &list, .isa = f->isa};
    TRY(op_pointwise(&c, &params, draft.inputs, (*consumer)->outputs));
    for (int i = 0; i < draft.input_count; i++)
        f->uses[draft.inputs[i]->id] -=
            operands_of(maker, draft.inputs[i]) + operands_of(*consumer, draft.inputs[i]) - 1;
    *consumer = list.steps[0];
    return STATUS_OK;
}

static void count_uses(struct fusion *f)
{
    const struct segment *segment = f->segment;
    const struct graph *graph = segment->graph;
    for (int s = 0; s < segment->steps.count; s++)
        for (int i = 0; i < segment->steps.steps[s]->input_count; i++)
            if (segment->steps.steps[s]->inputs[i])
                f->uses[segment->steps.steps[s]->inputs[i]->id]++;
    for (int i = 0; i < graph->value_count; i++)
        if (graph->values[i]->alias)
            f->uses[graph->values[i]->alias->id]++;
    for (int i = 0; i < graph->output_count; i++)
        f->uses[graph->outputs[i]->id]++;
    for (int i = 0; i < segment->rest_count; i++)
        for (int k = 0; k < segment->rest[i]->input_count; k++)
            if (segment->rest[i]->inputs[k])
                f->uses[segment->rest[i]->inputs[k]->id]++;
    if (segment->needed)
        f->uses[segment->needed->id]++;
}

/* Takes in makers until none fits; those taken in leave a hole in the list. */
static enum status fuse_into(struct fusion *f, struct step **consumer)
{
    for (int i = 0; i < (*consumer)->input_count; i++) {
        struct step **maker = fusible_maker(f, *consumer, (*consumer)->inputs[i]);
        bool fused = false;
        if (!maker)
            continue;
        TRY(fuse(f, *maker, consumer, &fused));
        if (!fused)
            continue;
        f->maker[(*maker)->outputs[0]->id] = 0;
        *maker = NULL;
        i = -1; /* its inputs are the consumer's now: look again */
    }
    return STATUS_OK;
}

/* A value that another kind of step writes too is not what the pointwise step made. */
static void forget_outputs(struct fusion *f, const struct step *step)
{
    for (int i = 0; i < step->output_count; i++)
        if (step->outputs[i])
            f->maker[step->outputs[i]->id] = 0;
}

enum status fuse_pointwise(struct segment *segment, enum isa isa, struct error *error)
{
    struct fusion f = {.segment = segment, .error = error, .isa = isa};
    struct step_list *steps = &segment->steps;
    size_t values = (size_t)segment->graph->value_count + 1;
    f.uses = region_array(steps->region, values, sizeof *f.uses);
    f.maker = region_array(steps->region, values, sizeof *f.maker);
    if (!f.uses || !f.maker)
        return no_memory(&f);
    count_uses(&f);
    for (int s = 0; s < steps->count; s++) {
        if (!steps->steps[s])
            continue;
        if (!is_pointwise(steps->steps[s])) {
            forget_outputs(&f, steps->steps[s]);
            continue;
        }
        TRY(fuse_into(&f, &steps->steps[s]));
        f.maker[steps->steps[s]->outputs[0]->id] = s + 1;
    }
    int kept = 0;
    for (int s = 0; s < steps->count; s++)
        if (steps->steps[s])
            steps->steps[kept++] = steps->steps[s];
    steps->count = kept;
    return STATUS_OK;
}
