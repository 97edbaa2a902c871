/* A pointwise step that takes in the results of one convolution, product, pool, reduction or normalisation rides along
 * with it: the results never reach memory as they were. */
#include "graph/steps/draft.h"
#include "graph/steps/passes.h"
#include "graph/steps/uses.h"

#include "graph/op.h"
#include "kernels/conv.h"
#include "kernels/matmul.h"
#include "kernels/normalize.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"

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

/* --- whether results lie in memory as the family numbers them ---------------------------------------------- */

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

static bool takes_epilogue(struct step *step)
{
    int own;
    const struct pointwise_params **epilogue = !step->control ? step_epilogue(step, &own) : NULL;
    if (!epilogue || *epilogue || !results_in_order(step))
        return false;
    for (int i = 1; i < step->output_count; i++)
        if (step->outputs[i])
            return false;
    return true;
}

/* --- the pass ---------------------------------------------------------------------------------------------- */

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
    return whole ? uses->maker[root->id] : -1;
}

/* Every reading of `value` goes through all of it in order: none repeats elements. */
static bool reads_in_order(const struct step *consumer, const struct value *value)
{
    const struct pointwise_params *program = consumer->params;
    for (int i = 0; i < program->input_count; i++)
        if (consumer->inputs[i] == value && !is_contiguous(program->rank, program->dims, program->operands[i].strides))
            return false;
    return true;
}

/* The consumer's program with the results as its first input. */
static bool make_program(const struct step *consumer, struct value *joint, struct draft *draft,
                         struct pointwise_builder *builder)
{
    draft_begin(draft, consumer->params);
    draft->input_count = 1;
    draft->values[0] = joint;
    draft->inputs[0].dtype = (uint8_t)joint->dtype;
    contiguous_strides(draft->rank, draft->dims, draft->inputs[0].strides);
    return draft_add_inputs(draft, consumer, joint) && draft_add_code(draft, consumer, joint, 0) &&
           draft_settle(draft, builder);
}

/* The maker's kernel with the consumer's program, into the consumer's entry. */
static enum status attach(struct fusion *f, struct step *maker, struct step **consumer, const struct draft *draft,
                          const struct pointwise_builder *builder)
{
    struct region *region = f->segment->steps.region;
    int own, extra = draft->input_count - 1;
    const struct pointwise_params **epilogue = step_epilogue(maker, &own);
    struct pointwise_room room;
    const struct pointwise_params *program = pointwise_build(builder, &room);
    struct pointwise_params *copy = region_allocate(region, pointwise_bytes(program));
    struct value **inputs = region_array(region, (size_t)(own + extra), sizeof *inputs);
    struct value **outputs = region_array(region, (size_t)maker->output_count, sizeof *outputs);
    struct node *node = joint_node(f->segment->graph->region, maker->node, maker->node, (*consumer)->node);
    if (!copy || !inputs || !outputs || !node)
        return no_memory(f);
    *epilogue = memcpy(copy, program, pointwise_bytes(program));
    for (int i = 0; i < own + extra; i++)
        inputs[i] = i >= own ? draft->values[1 + i - own] : i < maker->input_count ? maker->inputs[i] : NULL;
    outputs[0] = (*consumer)->outputs[0];
    maker->inputs = inputs;
    maker->input_count = own + extra;
    maker->outputs = outputs;
    maker->node = node;
    step_mark_in_place(maker);
    *consumer = maker;
    return STATUS_OK;
}

/* Of the steps whose results this one takes in, the last one can do so: the other operands are made before it. */
static enum status fuse_into(struct fusion *f, struct step **consumer, int index)
{
    struct step **steps = f->segment->steps.steps;
    for (int before = index;;) {
        struct value *joint = NULL;
        int best = -1;
        for (int i = 0; i < (*consumer)->input_count; i++) {
            int maker = sole_maker(f, *consumer, (*consumer)->inputs[i]);
            if (maker <= best || maker >= before || !reads_in_order(*consumer, (*consumer)->inputs[i]))
                continue;
            best = maker;
            joint = (*consumer)->inputs[i];
        }
        if (best < 0)
            return STATUS_OK;
        struct draft draft;
        struct pointwise_builder builder;
        bool direct = steps[best] && steps[best]->outputs[0] == value_root(joint, NULL);
        if (direct && takes_epilogue(steps[best]) && make_program(*consumer, joint, &draft, &builder)) {
            TRY(attach(f, steps[best], consumer, &draft, &builder));
            steps[best] = NULL;
            return STATUS_OK;
        }
        before = best;
    }
}

enum status fuse_epilogues(struct segment *segment, const struct step_pass_options *options, struct error *error)
{
    struct fusion f = {.segment = segment, .error = error, .facts = options->facts};
    if (!uses_count(segment, segment->steps.region, &f.uses))
        return no_memory(&f);
    struct step_list *steps = &segment->steps;
    for (int s = 0; s < steps->count; s++)
        if (is_family(steps->steps[s], FAMILY_pointwise) && steps->steps[s]->output_count == 1)
            TRY(fuse_into(&f, &steps->steps[s], s));
    step_list_compact(steps);
    return STATUS_OK;
}
