/* A step takes in the elementwise step that alone reads its results, so that they never reach memory as they were: of
 * chains and trees of elementwise steps becomes one program, and one that reads the results of a convolution, product,
 * pool, reduction or normalisation rides along with it as its epilogue. */
#include "graph/steps/draft.h"
#include "graph/steps/passes.h"
#include "graph/steps/uses.h"

#include "graph/op.h"
#include "kernels/conv.h"
#include "kernels/matmul.h"
#include "kernels/normalize.h"
#include "kernels/pool.h"

#include <string.h>

struct fusion {
    struct segment *segment;
    struct error *error;
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

/* --- how results lie ------------------------------------------------------------------------------------- */

static bool is_contiguous(int rank, const int64_t *dims, const int64_t *strides)
{
    int64_t expected = 1;
    for (int i = rank - 1; i >= 0; i--) {
        if (dims[i] != 1 && strides[i] != expected)
            return false;
        expected *= dims[i];
    }
    return true;
}

static bool walks_in_order(const struct pointwise_params *program, int operand)
{
    return is_contiguous(program->rank, program->dims, program->operands[operand].strides);
}

static bool image_in_order(int64_t batch, int64_t channels, const struct window *w, const struct image_strides *y)
{
    const int64_t dims[] = {batch, channels, w->output[0], w->output[1], w->output[2]};
    const int64_t strides[] = {y->batch, y->channel, y->spatial[0], y->spatial[1], y->spatial[2]};
    return is_contiguous(5, dims, strides);
}

static bool matrix_in_order(const struct matmul_params *p)
{
    int64_t dims[MAX_RANK + 2], strides[MAX_RANK + 2];
    memcpy(dims, p->batch, sizeof p->batch);
    memcpy(strides, p->c.batch, sizeof p->c.batch);
    dims[p->batch_rank] = p->m;
    dims[p->batch_rank + 1] = p->n;
    strides[p->batch_rank] = p->c.row;
    strides[p->batch_rank + 1] = p->c.column;
    return is_contiguous(p->batch_rank + 2, dims, strides);
}

static bool groups_in_order(const struct normalize_params *p)
{
    int64_t dims[2 * MAX_RANK], strides[2 * MAX_RANK];
    for (int i = 0; i < p->kept_rank + p->folded_rank; i++) {
        bool kept = i < p->kept_rank;
        dims[i] = kept ? p->kept[i] : p->folded[i - p->kept_rank];
        strides[i] = kept ? p->x.kept[i] : p->x.folded[i - p->kept_rank];
    }
    return is_contiguous(p->kept_rank + p->folded_rank, dims, strides);
}

/* Whether the results of a step without a program lie in C order of the space that one would have. */
static bool results_in_order(const struct step *step)
{
    const struct conv_params *conv = step->params;
    const struct pool_params *pool = step->params;
    switch (step->family) {
    case FAMILY_conv:
        return image_in_order(conv->batch, conv->groups * conv->output_channels, &conv->window, &conv->y);
    case FAMILY_pool:
        return image_in_order(pool->batch, pool->channels, &pool->window, &pool->y);
    case FAMILY_matmul:
        return matrix_in_order(step->params);
    case FAMILY_normalize:
        return groups_in_order(step->params);
    default: /* reduce */
        return true;
    }
}

/* --- whether two steps can be one ------------------------------------------------------------------------ */

/* Types whose memory holds just what a register does, so that skipping the store and the load changes no bit. */
static bool survives_in_register(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_F64 || dtype == DTYPE_I64 || dtype == DTYPE_U64 || dtype == DTYPE_BOOL;
}

/* Types that one instruction rounds to as a store and a load would. */
static bool is_rounded(enum dtype dtype)
{
    return dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

/* Every reading of `value` goes through all of it in order: none repeats elements. */
static bool reads_in_order(const struct step *consumer, const struct value *value)
{
    const struct pointwise_params *program = consumer->params;
    for (int i = 0; i < program->input_count; i++)
        if (consumer->inputs[i] == value && !walks_in_order(program, i))
            return false;
    return true;
}

/* The step that makes the whole of what `value` shows, where nothing but that one reading sees it; -1: none. */
static int sole_maker(const struct fusion *f, const struct step *consumer, const struct value *value)
{
    const struct uses *uses = &f->uses;
    if (!value || value->dims_at_run || uses->reads[value->id] != operands_of(consumer, value))
        return -1;
    const struct value *root = value;
    while (root->alias) {
        if (uses->reads[root->alias->id] != 1)
            return -1;
        root = root->alias;
    }
    bool whole = !root->data && !root->dims_at_run && root->dtype == value->dtype &&
                 value_elements(root) == value_elements(value);
    int maker = whole ? uses->maker[root->id] : -1;
    const struct step *step = maker >= 0 ? f->segment->steps.steps[maker] : NULL;
    return step && step->outputs[0] == root && reads_in_order(consumer, value) ? maker : -1;
}

/* A step that has a program, or could have one. */
struct carrier {
    struct step *step;
    const struct pointwise_params **epilogue; /* where it goes; NULL: the step is the program itself */
    struct epilogue space;
    const struct pointwise_params *program;
};

static bool carries(struct step *step, struct carrier *carrier)
{
    *carrier = (struct carrier){.step = step, .program = step->params};
    if (is_pointwise(step))
        return true;
    carrier->epilogue = !step->control ? step_epilogue(step, &carrier->space) : NULL;
    if (!carrier->epilogue)
        return false;
    for (int i = 1; i < step->output_count; i++)
        if (step->outputs[i])
            return false;
    carrier->program = *carrier->epilogue;
    return carrier->program || results_in_order(step);
}

static bool has_axes_of(const struct pointwise_params *a, const struct pointwise_params *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* Brings both programs, over as many elements in C order, to the same axes. */
static bool align(const struct carrier *carrier, struct pointwise_params *own, struct pointwise_params *other)
{
    if (carrier->epilogue && !epilogue_fit(&carrier->space, other))
        return false;
    if (!own || has_axes_of(own, other))
        return true;
    pointwise_merge_axes(own);
    pointwise_merge_axes(other);
    bool fits = !carrier->epilogue || (epilogue_fit(&carrier->space, own) && epilogue_fit(&carrier->space, other));
    return fits && pointwise_split_axes(own, other->rank, other->dims) &&
           pointwise_split_axes(other, own->rank, own->dims) && has_axes_of(own, other);
}

/* Elements that share a byte must be written one after the other, as no kernel but the pointwise one does. */
static bool shares_bytes(const struct pointwise_params *program)
{
    return dtype_bits((enum dtype)program->operands[program->input_count].dtype) < 8;
}

/* The program of both; its values, from 1 on where it is an epilogue, are its operands. */
static bool join(const struct carrier *maker, const struct step *consumer, struct value *joint, struct draft *draft,
                 struct pointwise_builder *builder)
{
    struct pointwise_room rooms[2];
    struct pointwise_params *own = maker->program ? pointwise_copy(maker->program, &rooms[0]) : NULL;
    struct pointwise_params *other = pointwise_copy(consumer->params, &rooms[1]);
    bool rounded = own && is_rounded(joint->dtype);
    if ((own && !rounded && !survives_in_register(joint->dtype)) || (maker->epilogue && shares_bytes(other)) ||
        !align(maker, own, other))
        return false;
    struct value *values[POINTWISE_MAX_OPERANDS] = {maker->step->outputs[0]}; /* stands for the results */
    for (int i = maker->epilogue ? 1 : 0; own && i < own->input_count; i++)
        values[i] = maker->step->inputs[maker->epilogue ? maker->space.own_inputs + i - 1 : i];
    draft_begin(draft, other);
    if (!own)
        draft_add_result(draft, values[0]);
    if ((own && !draft_add_inputs(draft, own, values, NULL)) ||
        !draft_add_inputs(draft, other, consumer->inputs, joint))
        return false;
    return (!own || draft_add_code(draft, own, values, NULL, 0)) && (!rounded || draft_round(draft, joint->dtype)) &&
           draft_add_code(draft, other, consumer->inputs, joint, draft->result) && draft_settle(draft, builder);
}

/* --- one step of two ------------------------------------------------------------------------------------- */

static void count_readings(struct fusion *f, const struct step *step, int change)
{
    for (int i = 0; i < step->input_count; i++)
        if (step->inputs[i])
            f->uses.reads[step->inputs[i]->id] += change;
}

/* Gives a step the program, and the operands of that after its own. */
static enum status rebuild(struct fusion *f, const struct carrier *maker, struct step *step, const struct draft *draft,
                           const struct pointwise_builder *builder)
{
    struct region *region = f->segment->steps.region;
    struct pointwise_room room;
    const struct pointwise_params *program = pointwise_build(builder, &room);
    struct pointwise_params *kept = region_allocate(region, pointwise_bytes(program));
    int own = maker->space.own_inputs, skipped = maker->epilogue ? 1 : 0, count = own + draft->input_count - skipped;
    struct value **inputs = region_array(region, (size_t)count, sizeof *inputs);
    if (!kept || !inputs)
        return no_memory(f);
    memcpy(kept, program, pointwise_bytes(program));
    for (int i = 0; i < count; i++)
        inputs[i] = i >= own ? draft->values[i - own + skipped] : i < step->input_count ? step->inputs[i] : NULL;
    if (maker->epilogue) {
        *maker->epilogue = kept;
    } else {
        step->params = kept;
        step->params_bytes = pointwise_bytes(kept);
    }
    step->inputs = inputs;
    step->input_count = count;
    step->in_place &= (1u << own) - 1;
    return STATUS_OK;
}

/* Puts one step in the consumer's entry, if there can be one; *fused says so. It is the maker's where that has an
 * epilogue. */
static enum status fuse(struct fusion *f, int index, struct step **consumer, struct value *joint, bool *fused)
{
    struct step **entry = &f->segment->steps.steps[index], *step = *consumer;
    struct carrier maker;
    struct draft draft;
    struct pointwise_builder builder;
    *fused = carries(*entry, &maker) && join(&maker, *consumer, joint, &draft, &builder);
    if (!*fused)
        return STATUS_OK;
    count_readings(f, *entry, -1);
    count_readings(f, *consumer, -1);
    if (maker.epilogue)
        step = *entry;
    step->node = joint_node(f->segment->graph->region, step->node, (*entry)->node, (*consumer)->node);
    if (!step->node)
        return no_memory(f);
    TRY(rebuild(f, &maker, step, &draft, &builder));
    step->outputs[0] = (*consumer)->outputs[0];
    step_mark_in_place(step);
    count_readings(f, step, 1);
    *entry = NULL;
    *consumer = step;
    return STATUS_OK;
}

/* Takes in elementwise makers until none is left that fits. */
static enum status take_in_programs(struct fusion *f, struct step **consumer)
{
    for (int i = 0; i < (*consumer)->input_count; i++) {
        int maker = sole_maker(f, *consumer, (*consumer)->inputs[i]);
        bool fused = false;
        if (maker >= 0 && is_pointwise(f->segment->steps.steps[maker]))
            TRY(fuse(f, maker, consumer, (*consumer)->inputs[i], &fused));
        if (fused)
            i = -1; /* its inputs are the consumer's now: look again */
    }
    return STATUS_OK;
}

/* Of the steps whose results this one takes in, the last that can has it ride along: the other operands are made before
 * it. */
static enum status ride_along(struct fusion *f, struct step **consumer, int index)
{
    bool fused = false;
    for (int before = index; !fused;) {
        struct value *joint = NULL;
        int best = -1;
        for (int i = 0; i < (*consumer)->input_count; i++) {
            int maker = sole_maker(f, *consumer, (*consumer)->inputs[i]);
            if (maker <= best || maker >= before)
                continue;
            best = maker;
            joint = (*consumer)->inputs[i];
        }
        if (best < 0)
            return STATUS_OK;
        TRY(fuse(f, best, consumer, joint, &fused));
        before = best;
    }
    return STATUS_OK;
}

enum status fuse_steps(struct segment *segment, struct error *error)
{
    struct fusion f = {.segment = segment, .error = error};
    struct step **steps = segment->steps.steps;
    if (!uses_count(segment, segment->steps.region, &f.uses))
        return no_memory(&f);
    for (int s = 0; s < segment->steps.count; s++) {
        if (!is_pointwise(steps[s]))
            continue;
        TRY(take_in_programs(&f, &steps[s]));
        TRY(ride_along(&f, &steps[s], s));
    }
    step_list_compact(&segment->steps);
    return STATUS_OK;
}
