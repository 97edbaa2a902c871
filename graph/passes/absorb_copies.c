/* Copies that other steps can do without: what reads a transposed, sliced, repeated or flipped tensor reads the
 * original through strides instead; what makes a part of a concatenation writes it where it belongs. */
#include "graph/passes/passes.h"
#include "graph/passes/uses.h"

#include "graph/liveness.h"
#include "graph/op.h"
#include "graph/walk.h"

struct absorption {
    struct segment *segment;
    struct error *error;
    enum isa isa;
    struct uses uses;
    size_t peak; /* of live bytes, so far */
};

static enum status no_memory(struct absorption *a)
{
    return error_set(a->error, STATUS_OUT_OF_MEMORY, "out of memory while fusing graph '%s'", a->segment->graph->name);
}

static bool is_copy(const struct step *step)
{
    return step && step->kernel && step->kernel->family == FAMILY_copy;
}

/* Both sides hold elements of the size that the copy moves, and of known number. */
static bool moves_elements(const struct step *copy)
{
    const struct value *from = copy->inputs[0], *to = copy->outputs[0];
    unsigned bits = 8 * ((const struct copy_params *)copy->params)->element_bytes;
    return !from->dims_at_run && !to->dims_at_run && !value_root(copy->inputs[0], NULL)->dims_at_run &&
           dtype_bits(from->dtype) == bits && dtype_bits(to->dtype) == bits;
}

/* The value itself, or a view of it. */
static bool lies_in(struct value *value, const struct value *root)
{
    return value && value_root(value, NULL) == root;
}

static bool outlives_segment(const struct absorption *a, const struct value *root)
{
    const struct graph *graph = a->segment->graph;
    for (int i = 0; i < a->uses.value_count; i++)
        if (a->uses.outside[i] && lies_in(graph->values[i], root))
            return true;
    return false;
}

/* --- reading the original -------------------------------------------------------------------------------- */

/* Steps from `first` on are those of the other list, which gets what they were. */
static void exchange(struct absorption *a, struct step **others, int first)
{
    struct step_list *steps = &a->segment->steps;
    for (int s = first; s < steps->count; s++) {
        struct step *step = steps->steps[s];
        steps->steps[s] = others[s];
        others[s] = step;
    }
}

/* Whether the order of steps takes no more memory than before. */
static bool keeps_peak(struct absorption *a)
{
    size_t peak = segment_peak(a->segment, 1);
    if (peak > a->peak)
        return false;
    a->peak = peak;
    return true;
}

/* Readers of the copy at `index` take the original; *done says whether all of them could. */
static enum status absorb_into_readers(struct absorption *a, int index, bool *done)
{
    struct step_list *steps = &a->segment->steps;
    const struct step *copy = steps->steps[index];
    struct value *copied = copy->outputs[0];
    struct relocation relocation;
    *done = false;
    if (copied->alias || copied->dtype != copy->inputs[0]->dtype || a->uses.writes[copied->id] != 1 ||
        outlives_segment(a, copied) || !relocation_of_copy(copy, true, &relocation))
        return STATUS_OK;
    struct step **changed = region_array(steps->region, (size_t)steps->count, sizeof *changed);
    if (!changed)
        return no_memory(a);
    for (int s = index + 1; s < steps->count; s++) {
        if (!steps->steps[s])
            continue;
        changed[s] = step_redirected(steps->steps[s], a->segment->graph, copied, copy->inputs[0], &relocation, a->isa);
        if (!changed[s])
            return STATUS_OK;
    }
    changed[index] = NULL;
    exchange(a, changed, index);
    *done = keeps_peak(a);
    if (!*done)
        exchange(a, changed, index);
    return STATUS_OK;
}

/* --- writing where it belongs ---------------------------------------------------------------------------- */

/* The step that makes all of `value`, which nothing but one operand reads; -1: none. */
static int sole_maker(const struct absorption *a, struct value *value)
{
    size_t offset;
    const struct value *root = value_root(value, &offset);
    const struct graph *graph = a->segment->graph;
    int readings = 0;
    for (int i = 0; i < a->uses.value_count; i++)
        if (lies_in(graph->values[i], root))
            readings += a->uses.reads[i] - (graph->values[i]->alias != NULL); /* a view counts as a reading */
    bool whole = offset == 0 && !root->data && root->dtype == value->dtype && a->uses.writes[root->id] == 1 &&
                 value_elements(root) == value_elements(value);
    return whole && readings == 1 ? a->uses.maker[root->id] : -1;
}

/* Bytes that the steps write into a root, together. */
static size_t bytes_written(const struct absorption *a, const struct value *root)
{
    const struct step_list *steps = &a->segment->steps;
    size_t sum = 0;
    for (int s = 0; s < steps->count; s++) {
        const struct step *step = steps->steps[s];
        for (int i = 0; step && i < step->output_count; i++)
            if (lies_in(step->outputs[i], root))
                sum += step_bytes_written(step, i);
    }
    return sum;
}

/* Whether a part may be written earlier than it was: no other part overlaps it (all together they are the whole), and
 * nothing between reads it. */
static bool may_write_early(const struct absorption *a, int from, int to, const struct value *root)
{
    const struct step_list *steps = &a->segment->steps;
    for (int s = from; s < to; s++)
        for (int i = 0; steps->steps[s] && i < steps->steps[s]->input_count; i++)
            if (lies_in(steps->steps[s]->inputs[i], root))
                return false;
    return bytes_written(a, root) == value_bytes(root);
}

static enum status absorb_into_maker(struct absorption *a, int index, bool *done)
{
    struct step_list *steps = &a->segment->steps;
    struct step *copy = steps->steps[index];
    struct value *target = copy->outputs[0];
    struct relocation relocation;
    *done = false;
    int maker = sole_maker(a, copy->inputs[0]);
    if (maker < 0 || !steps->steps[maker] || copy->inputs[0]->dtype != target->dtype ||
        !relocation_of_copy(copy, false, &relocation) || !may_write_early(a, maker, index, value_root(target, NULL)))
        return STATUS_OK;
    struct step *step = steps->steps[maker], *before = step;
    if (step->outputs[0] != value_root(copy->inputs[0], NULL))
        return STATUS_OK;
    int64_t base = step_walk_start(step, step->input_count);
    step = step_relocated(step, step->input_count, &relocation, base, a->isa, steps->region);
    if (!step)
        return STATUS_OK;
    struct value *view = strided_view(a->segment->graph, target, relocated_offset(&relocation, base), step->outputs[0]);
    if (!view)
        return no_memory(a);
    step->outputs[0] = view;
    steps->steps[maker] = step;
    steps->steps[index] = NULL;
    *done = keeps_peak(a);
    if (!*done) {
        steps->steps[maker] = before;
        steps->steps[index] = copy;
    }
    return STATUS_OK;
}

/* --- the pass -------------------------------------------------------------------------------------------- */

static enum status absorb(struct absorption *a, int index, bool *done)
{
    *done = false;
    if (!moves_elements(a->segment->steps.steps[index]))
        return STATUS_OK;
    TRY(absorb_into_readers(a, index, done));
    if (!*done)
        TRY(absorb_into_maker(a, index, done));
    if (!*done)
        return STATUS_OK;
    return uses_count(a->segment, &a->uses) ? STATUS_OK : no_memory(a);
}

enum status absorb_copies(struct segment *segment, enum isa isa, struct error *error)
{
    struct absorption a = {.segment = segment, .error = error, .isa = isa};
    if (!uses_count(segment, &a.uses))
        return no_memory(&a);
    a.peak = segment_peak(segment, 1);
    for (int s = 0; s < segment->steps.count; s++) {
        bool done;
        if (is_copy(segment->steps.steps[s]))
            TRY(absorb(&a, s, &done));
    }
    step_list_compact(&segment->steps);
    return STATUS_OK;
}
