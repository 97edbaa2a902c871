#include "graph/liveness.h"

#include "graph/op.h"

/* --- lives ----------------------------------------------------------------------------------------------- */

static struct life *life_of(struct life *lives, struct value *value)
{
    return &lives[value_root(value, NULL)->id];
}

static bool known_size(const struct value *value)
{
    return value->rank >= 0 && !value->dims_at_run;
}

bool output_is_whole(struct value *output)
{
    size_t offset;
    const struct value *root = value_root(output, &offset);
    return !root->data && offset == 0 && known_size(output) && known_size(root) &&
           value_bytes(output) == value_bytes(root);
}

static void touch_all(struct life *lives, struct value *const *values, int count, int s)
{
    for (int i = 0; i < count; i++)
        if (values[i])
            life_of(lives, values[i])->last = s;
}

/* What later programs read, or the caller. */
static void carry_results(const struct segment *segment, struct life *lives)
{
    const struct graph *graph = segment->graph;
    for (int i = 0; i < segment->rest_count; i++)
        for (int k = 0; k < segment->rest[i]->input_count; k++)
            if (segment->rest[i]->inputs[k])
                life_of(lives, segment->rest[i]->inputs[k])->carried = true;
    if (segment->needed)
        life_of(lives, segment->needed)->carried = true;
    const struct node *last = segment_awaited(segment);
    for (int i = 0; last && i < last->output_count; i++)
        if (last->outputs[i] && last->outputs[i]->dims_at_run)
            life_of(lives, last->outputs[i])->carried = true;
    for (int i = 0; i < graph->output_count; i++) {
        struct life *life = life_of(lives, graph->outputs[i]);
        bool whole = output_is_whole(graph->outputs[i]);
        life->foreign = life->foreign || whole;
        /* One made before this segment may lie in the arena all the same: its size was not known then. */
        life->carried = life->carried || !whole || life->first == NOT_HERE;
    }
}

void segment_lives(const struct segment *segment, struct life *lives)
{
    const struct graph *graph = segment->graph;
    for (int i = 0; i < graph->value_count; i++)
        lives[i] = (struct life){.first = NOT_HERE, .last = -1};
    for (int s = 0; s < segment->steps.count; s++) {
        const struct step *step = segment->steps.steps[s];
        if (!step)
            continue;
        touch_all(lives, step->inputs, step->input_count, s);
        touch_all(lives, step->outputs, step->output_count, s);
        for (int i = 0; i < step->output_count; i++) {
            struct life *life = step->outputs[i] ? life_of(lives, step->outputs[i]) : NULL;
            if (life && life->first == NOT_HERE)
                life->first = s;
        }
    }
    for (int i = 0; i < graph->input_count; i++)
        lives[graph->inputs[i]->id].foreign = true;
    carry_results(segment, lives);
}

size_t life_bytes(const struct value *value, const struct life *life)
{
    if (value->alias || value->data || life->foreign || value->rank < 0 || (life->last < 0 && !life->carried))
        return 0;
    return align_up(value_bytes(value), ALIGNMENT);
}

/* --- in place -------------------------------------------------------------------------------------------- */

/* Made by this segment's steps, in memory of our choice and of a size that is known. */
static bool is_ours(const struct value *root, const struct life *life)
{
    return !root->data && root->rank >= 0 && !life->foreign && life->first != NOT_HERE;
}

/* Other operands of the step that share the root must allow it too. */
static bool shared_elsewhere(const struct step *step, const struct value *root)
{
    for (int i = 0; i < step->input_count; i++)
        if (step->inputs[i] && value_root(step->inputs[i], NULL) == root && !(step->in_place & 1u << i))
            return true;
    return false;
}

static bool can_overwrite(const struct life *lives, const struct step *step, int s, struct value *input)
{
    size_t offset;
    const struct value *root = value_root(input, &offset);
    const struct life *life = &lives[root->id];
    return is_ours(root, life) && life->last == s && !life->carried && offset == 0 &&
           value_bytes(root) == value_bytes(step->outputs[0]) && !shared_elsewhere(step, root);
}

struct value *overwritten_root(const struct life *lives, const struct step *step, int s)
{
    const struct value *output = step->in_place ? step->outputs[0] : NULL;
    if (!output || output->alias || output->dims_at_run || !is_ours(output, &lives[output->id]) ||
        lives[output->id].first != s)
        return NULL;
    for (int i = 0; i < step->input_count; i++)
        if (step->in_place & 1u << i && can_overwrite(lives, step, s, step->inputs[i]))
            return value_root(step->inputs[i], NULL);
    return NULL;
}

/* --- the peak -------------------------------------------------------------------------------------------- */

bool step_workspaces(const struct step *step, int threads, size_t *bytes)
{
    int tasks = step_tasks(step), lanes = tasks < threads ? tasks : threads;
    return multiply_size(step_workspace(step), (size_t)lanes, bytes);
}

/* Adds what is alive before the first step. */
static bool add_given(const struct graph *graph, const struct life *lives, size_t *live)
{
    for (int i = 0; i < graph->value_count; i++)
        if (lives[i].first == NOT_HERE && !add_size(*live, life_bytes(graph->values[i], &lives[i]), live))
            return false;
    return true;
}

/* Adds the bytes of the roots that begin at step s; each once, so they are marked as begun. */
static bool add_begun(struct life *lives, const struct step *step, int s, size_t *live)
{
    for (int i = 0; i < step->output_count; i++) {
        struct value *root = step->outputs[i] ? value_root(step->outputs[i], NULL) : NULL;
        if (!root || lives[root->id].first != s)
            continue;
        lives[root->id].first = -1;
        if (!add_size(*live, life_bytes(root, &lives[root->id]), live))
            return false;
    }
    return true;
}

static size_t take_ended(struct life *lives, struct value *const *values, int count, int s)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        struct value *root = values[i] ? value_root(values[i], NULL) : NULL;
        if (!root || lives[root->id].last != s || lives[root->id].carried)
            continue;
        bytes += life_bytes(root, &lives[root->id]);
        lives[root->id].last = -1;
    }
    return bytes;
}

static size_t peak_of(const struct segment *segment, int threads, struct life *lives)
{
    size_t live = 0, peak;
    if (!add_given(segment->graph, lives, &live))
        return SIZE_MAX;
    peak = live;
    for (int s = 0; s < segment->steps.count; s++) {
        const struct step *step = segment->steps.steps[s];
        if (!step)
            continue;
        const struct value *overwritten = overwritten_root(lives, step, s);
        size_t now, workspaces;
        if (!add_begun(lives, step, s, &live) || !step_workspaces(step, threads, &workspaces))
            return SIZE_MAX;
        /* Two values in one buffer count once. */
        now = live - (overwritten ? life_bytes(overwritten, &lives[overwritten->id]) : 0);
        if (!add_size(now, workspaces, &now))
            return SIZE_MAX;
        peak = now > peak ? now : peak;
        live -= take_ended(lives, step->inputs, step->input_count, s);
        live -= take_ended(lives, step->outputs, step->output_count, s);
    }
    return peak;
}

size_t segment_peak(const struct segment *segment, int threads)
{
    const struct allocator *allocator = segment->graph->region->allocator;
    size_t bytes = ((size_t)segment->graph->value_count + 1) * sizeof(struct life);
    struct life *lives = allocate(allocator, bytes, ALIGNMENT);
    if (!lives)
        return SIZE_MAX;
    segment_lives(segment, lives);
    size_t peak = peak_of(segment, threads, lives);
    release(allocator, lives, bytes);
    return peak;
}
