/* A convolution by windows of one place scales what it reads itself, where an elementwise step did nothing else for it:
 * x factor + shift by channel, and perhaps a ReLU, as normalisation before a convolution is. The image in between is
 * then never in memory as a whole. Results keep their bits. */
#include "graph/steps/passes.h"
#include "graph/steps/uses.h"

#include "graph/op.h"
#include "graph/steps/draft.h"
#include "graph/steps/walk.h"
#include "kernels/conv.h"

/* A block of rows is scaled at a time for each thread: of an image that has fewer, it would take more memory. */
#define ROWS_OF_A_THREAD 96

struct scaling {
    struct step *step;    /* the elementwise one */
    int x, factor, shift; /* of its inputs */
    bool cuts;
};

/* --- what the elementwise step does ---------------------------------------------------------------------- */

static bool is(const struct pointwise_instruction *code, enum pointwise_opcode opcode)
{
    return code->opcode == opcode && code->register_class == CLASS_F32;
}

/* The other operand where one of the two is `reg`; -1: neither is, or both. */
static int beside(const struct pointwise_instruction *code, int reg)
{
    return (code->a == reg) == (code->b == reg) ? -1 : code->a == reg ? code->b : code->a;
}

/* The axis of the program along which the output has its channels side by side; -1: there is none. */
static int channel_axis(const struct pointwise_params *program, int64_t channels)
{
    const int64_t *strides = program->operands[program->input_count].strides;
    for (int i = 0; i < program->rank; i++)
        if (strides[i] == 1 && program->dims[i] == channels)
            return i;
    return -1;
}

static bool is_by_channel(const struct pointwise_params *program, int operand, int axis)
{
    bool is = program->operands[operand].dtype == DTYPE_F32;
    for (int i = 0; i < program->rank; i++)
        is = is && (program->dims[i] == 1 || program->operands[operand].strides[i] == (i == axis));
    return is;
}

/* Inputs are in the first registers: the product of two of them, the sum with the third, and perhaps ReLU. */
static bool recognise(struct step *step, int64_t channels, struct scaling *found)
{
    const struct pointwise_params *p = step->params;
    const struct pointwise_instruction *code = pointwise_code(p);
    if (p->input_count != 3 || p->output_count != 1 || p->instruction_count < 2 || p->instruction_count > 3 ||
        !is(&code[0], POINTWISE_MUL) || code[0].a == code[0].b || code[0].a >= 3 || code[0].b >= 3 ||
        !is(&code[1], POINTWISE_ADD))
        return false;
    const struct pointwise_instruction *last = &code[p->instruction_count - 1];
    int axis = channel_axis(p, channels);
    *found = (struct scaling){.step = step, .shift = beside(&code[1], code[0].target), .cuts = last != &code[1]};
    found->x = is_by_channel(p, code[0].a, axis) ? code[0].b : code[0].a;
    found->factor = found->x == code[0].a ? code[0].b : code[0].a;
    if (found->cuts && (!is(last, POINTWISE_RELU) || last->a != code[1].target))
        return false;
    return axis >= 0 && found->shift == 3 - found->x - found->factor && is_by_channel(p, found->factor, axis) &&
           is_by_channel(p, found->shift, axis) && p->operands[3].reg == last->target &&
           p->operands[3].dtype == DTYPE_F32 && p->operands[found->x].dtype == DTYPE_F32;
}

/* --- what the convolution reads -------------------------------------------------------------------------- */

/* Where the elements of the image in between lie in x. False: it is not walked as a whole. */
static bool relocation_to_x(const struct scaling *scaling, struct relocation *r)
{
    const struct pointwise_params *p = scaling->step->params;
    const int64_t *own = p->operands[p->input_count].strides, *other = p->operands[scaling->x].strides;
    *r = (struct relocation){.rank = 0};
    for (int64_t covered = 1;;) { /* from the innermost axis out */
        int axis = 0;
        while (axis < p->rank && (p->dims[axis] == 1 || own[axis] != covered))
            axis++;
        if (axis == p->rank)
            return covered == value_elements(scaling->step->outputs[0]);
        for (int i = r->rank++; i > 0; i--) {
            r->dims[i] = r->dims[i - 1];
            r->strides[i] = r->strides[i - 1];
        }
        r->dims[0] = p->dims[axis];
        r->strides[0] = other[axis];
        covered *= p->dims[axis];
    }
}

static bool may_scale(const struct step *step, int threads)
{
    const struct conv_params *p = step->params;
    if (!is_family(step, FAMILY_conv) || !step->inputs[0])
        return false;
    const int64_t *output = p->window.output;
    return conv_may_scale(p) && !p->x_scaled && p->x.channel == 1 && p->groups * p->input_channels > 1 &&
           (threads == 1 || p->batch * output[0] * output[1] * output[2] >= (int64_t)threads * ROWS_OF_A_THREAD);
}

/* The elementwise step that makes all of what the convolution alone reads; NULL: there is none. */
static struct step *maker_of(const struct segment *segment, const struct uses *uses, const struct step *conv)
{
    struct value *read = conv->inputs[0], *root = value_root(read, NULL);
    bool direct = read == root || read->alias == root;
    bool alone = uses->reads[read->id] == 1 && uses->reads[root->id] == 1 && uses->writes[root->id] == 1;
    if (!direct || !alone || root->data || root->dims_at_run || value_elements(read) != value_elements(root))
        return NULL;
    struct step *maker = segment->steps.steps[uses->maker[root->id]];
    return is_family(maker, FAMILY_pointwise) && maker->outputs[0] == root ? maker : NULL;
}

/* The convolution that does both; NULL: there is none, or no memory. */
static struct step *joined(const struct scaling *scaling, const struct step *conv, struct segment *segment,
                           const struct kernel_facts *facts)
{
    struct region *region = segment->steps.region;
    struct relocation relocation;
    struct step *scaled = relocation_to_x(scaling, &relocation) ? step_copy(conv, region) : NULL;
    if (!scaled)
        return NULL;
    struct conv_params *p = scaled->params;
    p->x_scaled = true;
    p->x_cut = scaling->cuts;
    scaled = step_relocated(scaled, 0, &relocation, 0, facts, region);
    if (!scaled)
        return NULL;
    scaled->inputs[0] = scaling->step->inputs[scaling->x];
    scaled->inputs[3] = scaling->step->inputs[scaling->factor];
    scaled->inputs[4] = scaling->step->inputs[scaling->shift];
    scaled->node = joint_node(segment->graph->region, conv->node, scaling->step->node, conv->node);
    struct kernel_facts chosen = *facts;
    chosen.constant_inputs = step_constant_inputs(scaled);
    return scaled->node && family_prefers_channels_last(FAMILY_conv, scaled->params, &chosen) ? scaled : NULL;
}

enum status scale_inputs(struct segment *segment, const struct step_pass_options *options, struct error *error)
{
    struct step **steps = segment->steps.steps;
    struct region *region = segment->steps.region;
    struct uses uses = {.value_count = 0};
    if (options->facts->cpu & DEVICE_CUDA) /* a GPU's kernels read x as it is */
        return STATUS_OK;
    for (int s = 0; s < segment->steps.count; s++) {
        struct scaling scaling;
        if (!steps[s] || !may_scale(steps[s], options->facts->threads))
            continue;
        if (!uses.maker && !uses_count(segment, region, &uses))
            return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while fusing graph '%s'",
                             segment->graph->name);
        const struct conv_params *p = steps[s]->params;
        struct step *maker = maker_of(segment, &uses, steps[s]);
        if (!maker || !recognise(maker, p->groups * p->input_channels, &scaling))
            continue;
        struct step *scaled = joined(&scaling, steps[s], segment, options->facts);
        if (!scaled)
            continue;
        steps[uses.maker[value_root(steps[s]->inputs[0], NULL)->id]] = NULL;
        steps[s] = scaled;
    }
    step_list_compact(&segment->steps);
    return STATUS_OK;
}
