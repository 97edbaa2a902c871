/* Chains and trees of elementwise steps become one pointwise program: what they hand on stays in a register tile and
 * never reaches memory. */
#include "graph/steps/draft.h"
#include "graph/steps/passes.h"
#include "graph/steps/uses.h"

#include "graph/op.h"

#include <string.h>

struct fusion {
    struct segment *segment;
    struct error *error;
    const struct kernel_facts *facts;
    struct uses uses;
};

static enum status no_memory(struct fusion *f)
{
    return error_set(f->error, STATUS_OUT_OF_MEMORY, "out of memory while fusing graph '%s'", f->segment->graph->name);
}

static bool is_pointwise(const struct step *step)
{
    return is_family(step, FAMILY_pointwise) && step->output_count == 1;
}

/* Types whose memory holds just what a register does, so that skipping the store and the load changes no bit. */
static bool survives_in_register(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_F64 || dtype == DTYPE_I64 || dtype == DTYPE_U64 || dtype == DTYPE_BOOL;
}

static bool same_walk(const struct pointwise_params *a, const struct pointwise_operand *x,
                      const struct pointwise_operand *y)
{
    return memcmp(x->strides, y->strides, (size_t)a->rank * sizeof x->strides[0]) == 0;
}

/* Both go through the same space, and what the one writes the other reads at the same place. */
static bool same_space(const struct step *maker, const struct step *consumer, const struct value *joint)
{
    const struct pointwise_params *a = maker->params, *b = consumer->params;
    if (a->rank != b->rank || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) != 0)
        return false;
    for (int i = 0; i < b->input_count; i++)
        if (consumer->inputs[i] == joint && !same_walk(a, &a->operands[a->input_count], &b->operands[i]))
            return false;
    return true;
}

/* The entry of the step whose result `value` this consumer alone reads, element for element; NULL: there is none. */
static struct step **fusible_maker(const struct fusion *f, const struct step *consumer, const struct value *value)
{
    int maker = value && !value->data && !value->alias ? f->uses.maker[value->id] : -1;
    struct step **entry = maker >= 0 ? &f->segment->steps.steps[maker] : NULL;
    bool fits = entry && is_pointwise(*entry) && (*entry)->outputs[0] == value && survives_in_register(value->dtype) &&
                f->uses.reads[value->id] == operands_of(consumer, value) && same_space(*entry, consumer, value);
    return fits ? entry : NULL;
}

static bool join(const struct step *maker, const struct step *consumer, struct draft *draft,
                 struct pointwise_builder *builder)
{
    const struct value *joint = maker->outputs[0];
    draft_begin(draft, consumer->params);
    return draft_add_inputs(draft, maker, NULL) && draft_add_inputs(draft, consumer, joint) &&
           draft_add_code(draft, maker, NULL, 0) && draft_add_code(draft, consumer, joint, draft->result) &&
           draft_settle(draft, builder);
}

/* Replaces both steps by one, which takes the consumer's entry; *fused says whether it could. */
static enum status fuse(struct fusion *f, const struct step *maker, struct step **consumer, bool *fused)
{
    struct draft draft;
    struct pointwise_builder builder;
    *fused = join(maker, *consumer, &draft, &builder);
    if (!*fused)
        return STATUS_OK;
    struct step_list list = step_list_in(f->segment->steps.region);
    struct node *node = joint_node(f->segment->graph->region, (*consumer)->node, maker->node, (*consumer)->node);
    if (!node)
        return no_memory(f);
    struct op_context c = {
        .graph = f->segment->graph, .node = node, .error = f->error, .receiver = &list.receiver, .facts = f->facts};
    TRY(op_emit_pointwise(&c, &builder, draft.values, (*consumer)->outputs));
    for (int i = 0; i < draft.input_count; i++)
        f->uses.reads[draft.values[i]->id] += operands_of(list.steps[0], draft.values[i]) -
                                              operands_of(maker, draft.values[i]) -
                                              operands_of(*consumer, draft.values[i]);
    *consumer = list.steps[0];
    return STATUS_OK;
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
        *maker = NULL;
        i = -1; /* its inputs are the consumer's now: look again */
    }
    return STATUS_OK;
}

enum status fuse_pointwise(struct segment *segment, const struct step_pass_options *options, struct error *error)
{
    struct fusion f = {.segment = segment, .error = error, .facts = options->facts};
    if (!uses_count(segment, segment->steps.region, &f.uses))
        return no_memory(&f);
    for (int s = 0; s < segment->steps.count; s++)
        if (is_pointwise(segment->steps.steps[s]))
            TRY(fuse_into(&f, &segment->steps.steps[s]));
    step_list_compact(&segment->steps);
    return STATUS_OK;
}
