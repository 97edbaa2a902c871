/* Images whose channels lie next to each other in memory (NHWC), where the kernels that work on them run best so.
 *
 * Every family that touches images takes strides, so a value changes its layout without a step: all walks of it are
 * relocated, or none. What cannot be walked otherwise, and what the caller sees, stays in C order, and a convolution at
 * the border of an island reads the one and writes the other. */
#include "graph/steps/passes.h"
#include "graph/steps/uses.h"

#include "graph/op.h"
#include "graph/steps/walk.h"
#include "kernels/conv.h"

struct layout {
    struct segment *segment;
    struct error *error;
    const struct kernel_facts *facts;
    bool always; /* whatever the kernels prefer */
    struct region scratch;
    struct uses uses;
    bool *outside; /* by id of a root: what outlives the segment reads it, or a part */
    struct root_steps index;
};

static enum status no_memory(struct layout *l)
{
    return error_set(l->error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'",
                     l->segment->graph->name);
}

static int64_t channels_of(const struct value *value, int axes)
{
    int64_t channels = 1;
    for (int axis = 1; axis <= axes; axis++)
        channels *= value->dims[axis];
    return channels;
}

static bool is_image(const struct value *value)
{
    return value->rank >= 3 && value->rank <= 5 && value->dims[1] > 1 &&
           value_elements(value) > value->dims[0] * value->dims[1];
}

/* A step on images that prefers them so. */
static bool prefers(const struct layout *l, const struct step *step)
{
    if (!is_family(step, FAMILY_conv) && !is_family(step, FAMILY_pool))
        return false;
    struct kernel_facts facts = *l->facts;
    facts.constant_inputs = step_constant_inputs(step);
    return l->always || family_prefers_channels_last(step->family, step->params, &facts);
}

/* A step that moves, normalises or computes element by element what lies so already: what it makes may lie so too. */
static bool follows(const struct step *step)
{
    bool image = is_family(step, FAMILY_gather) || is_family(step, FAMILY_normalize) || is_family(step, FAMILY_copy);
    if (image || is_family(step, FAMILY_pointwise))
        for (int i = 0; i < (image ? 1 : step->input_count); i++)
            if (step->inputs[i] && value_root(step->inputs[i], NULL)->strides)
                return true;
    return false;
}

/* Whether a convolution finds its channels side by side in the value as it is: a model may have channels last itself.
 */
static bool suits(const struct step *step, const struct value *value)
{
    if (!is_family(step, FAMILY_conv) || value_root(step->inputs[0], NULL) != value)
        return false;
    const struct conv_params *p = step->params;
    return p->x.channel == 1 && p->groups * p->input_channels > 1;
}

/* Made here, seen by nobody else, and touched by a step that prefers the other layout. */
static bool is_candidate(const struct layout *l, const struct value *value)
{
    if (value->alias || value->data || value->dims_at_run || !is_image(value) || l->uses.writes[value->id] == 0 ||
        l->outside[value->id])
        return false;
    bool wanted = false;
    for (int e = l->index.lists[value->id].first; e >= 0; e = l->index.entries[e].next) {
        const struct step *step = l->segment->steps.steps[l->index.entries[e].step];
        if (suits(step, value))
            return false;
        wanted = wanted || prefers(l, step) || follows(step);
    }
    return wanted;
}

/* Axes 1 to `axes` are the channels. */
static void relocation_of(const struct value *value, int axes, struct relocation *r)
{
    int64_t channels = channels_of(value, axes), positions = value_elements(value) / value->dims[0] / channels;
    const int64_t dims[] = {value->dims[0], channels, positions}, strides[] = {channels * positions, 1, channels};
    *r = (struct relocation){.rank = 0};
    for (int i = value->dims[0] == 1; i < 3; i++) {
        r->dims[r->rank] = dims[i];
        r->strides[r->rank++] = strides[i];
    }
}

/* The relocated strides of the value's own axes. */
static const int64_t *strides_of(const struct value *value, int axes, struct region *region)
{
    int64_t *strides = region_array(region, MAX_RANK, sizeof *strides);
    if (!strides)
        return NULL;
    contiguous_strides(value->rank, value->dims, strides);
    for (int i = axes + 1; i < value->rank; i++)
        strides[i] *= channels_of(value, axes);
    strides[axes] = 1;
    for (int i = axes; i > 1; i--)
        strides[i - 1] = strides[i] * value->dims[i];
    return strides;
}

/* Whether a convolution finds channels of the value side by side. */
static bool has_reader(const struct layout *l, const struct value *value, struct step *const *changed, int count)
{
    for (int i = 0; i < count; i++) {
        const struct step *step = changed[i];
        if (is_family(step, FAMILY_conv) && prefers(l, step) && value_root(step->inputs[0], NULL) == value &&
            ((const struct conv_params *)step->params)->x.channel == 1)
            return true;
    }
    return false;
}

/* All steps that touch the value go through it as relocated, or none. `changed` has room for a step each. */
static bool relocate_all(struct layout *l, struct value *value, int axes, struct step **changed)
{
    const struct step_list *steps = &l->segment->steps;
    const struct root_entry *entries = l->index.entries;
    int first = l->index.lists[value->id].first, views = l->segment->graph->value_count, count = 0;
    struct relocation relocation;
    relocation_of(value, axes, &relocation);
    for (int e = first; e >= 0; e = entries[e].next) {
        changed[count] = step_redirected(steps->steps[entries[e].step], l->segment->graph, value, value, &relocation,
                                         l->facts, steps->region);
        if (!changed[count++])
            break;
    }
    if (!changed[count - 1] || (axes > 1 && !has_reader(l, value, changed, count))) {
        l->segment->graph->value_count = views; /* forgets those made for nothing */
        return false;
    }
    count = 0;
    for (int e = first; e >= 0; e = entries[e].next)
        steps->steps[entries[e].step] = changed[count++];
    return true;
}

/* Where the first axis alone is not what steps take for the channels, as where groups of them have been shuffled, the
 * first two may be. 0: the value stays as it is. */
static int relocate(struct layout *l, struct value *value, struct step **changed)
{
    int64_t positions = value_elements(value) / value->dims[0];
    for (int axes = 1; axes <= 2 && axes < value->rank && channels_of(value, axes) < positions; axes++)
        if (relocate_all(l, value, axes, changed))
            return axes;
    return 0;
}

static bool find_outside(struct layout *l)
{
    l->outside = region_array(&l->scratch, (size_t)l->uses.value_count, sizeof *l->outside);
    for (int i = 0; l->outside && i < l->uses.value_count; i++)
        if (l->uses.outside[i])
            l->outside[value_root(l->segment->graph->values[i], NULL)->id] = true;
    return l->outside != NULL;
}

static enum status choose(struct layout *l)
{
    const struct segment *segment = l->segment;
    struct step **changed = region_array(&l->scratch, (size_t)segment->steps.count, sizeof *changed);
    if (!changed || !uses_count(segment, &l->scratch, &l->uses) || !find_outside(l) ||
        !root_steps_find(segment, &l->scratch, &l->index))
        return no_memory(l);
    for (int i = 0; i < l->uses.value_count; i++) {
        struct value *value = segment->graph->values[i];
        int axes = is_candidate(l, value) ? relocate(l, value, changed) : 0;
        if (axes == 0)
            continue;
        value->strides = strides_of(value, axes, segment->graph->region);
        if (!value->strides)
            return no_memory(l);
    }
    return STATUS_OK;
}

enum status choose_layouts(struct segment *segment, const struct step_pass_options *options, struct error *error)
{
    struct layout l = {.segment = segment, .error = error, .facts = options->facts, .always = options->channels_last};
    int s = 0;
    while (s < segment->steps.count && !prefers(&l, segment->steps.steps[s]))
        s++;
    if (s == segment->steps.count)
        return STATUS_OK;
    region_init(&l.scratch, segment->graph->region->allocator);
    enum status status = choose(&l);
    region_free(&l.scratch);
    return status;
}
