#include "graph/steps/liveness.h"

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
        life_of(lives, segment->needed)->carried = life_of(lives, segment->needed_copy)->carried = true;
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

/* foreign: whether output 0 lies in the caller's memory. */
static struct value *root_under_output(const struct life *lives, const struct step *step, int s, bool foreign)
{
    const struct value *output = step->in_place ? step->outputs[0] : NULL;
    if (!output || output->alias || output->data || output->rank < 0 || output->dims_at_run ||
        lives[output->id].first != s || lives[output->id].foreign != foreign)
        return NULL;
    for (int i = 0; i < step->input_count; i++)
        if (step->in_place & 1u << i && can_overwrite(lives, step, s, step->inputs[i]))
            return value_root(step->inputs[i], NULL);
    return NULL;
}

struct value *overwritten_root(const struct life *lives, const struct step *step, int s)
{
    return root_under_output(lives, step, s, false);
}

struct value *root_in_output(const struct life *lives, const struct step *step, int s)
{
    return root_under_output(lives, step, s, true);
}

/* --- progress ------------------------------------------------------------------------------------------- */

bool step_workspaces(const struct step *step, int threads, size_t *bytes)
{
    *bytes = 0;
    int lanes = step->kernel && kernel_is_of_device(step->kernel) ? 1 : threads; /* a stream has one */
    return !step->plan || kernel_plan_workspace(step->plan, lanes, bytes);
}

/* Adds the roots of values to the touches of the step that is being listed. */
static void list_touches(struct progress *progress, int first, int *count, struct value *const *values, int value_count,
                         bool writes)
{
    for (int i = 0; i < value_count; i++) {
        if (!values[i])
            continue;
        int root = value_root(values[i], NULL)->id, t = first;
        while (t < *count && progress->touches[t].root != root)
            t++;
        if (t == *count)
            progress->touches[(*count)++] = (struct touch){.root = root};
        progress->touches[t].writes = progress->touches[t].writes || writes;
        progress->touches[t].reads = progress->touches[t].reads || !writes;
    }
}

static void list_steps(struct progress *progress, int threads)
{
    const struct step_list *steps = &progress->segment->steps;
    int count = 0;
    size_t total = 0;
    progress->fits = true;
    for (int s = 0; s < steps->count; s++) {
        const struct step *step = steps->steps[s];
        int first = progress->touches_of[s] = count;
        if (!step)
            continue;
        list_touches(progress, first, &count, step->inputs, step->input_count, false);
        list_touches(progress, first, &count, step->outputs, step->output_count, true);
        for (int t = first; t < count; t++)
            progress->left[progress->touches[t].root]++;
        progress->fits = progress->fits && step_workspaces(step, threads, &progress->workspaces[s]) &&
                         add_size(total, progress->workspaces[s], &total);
    }
    progress->touches_of[steps->count] = count;
    for (int i = 0; i < progress->segment->graph->value_count; i++) {
        progress->bytes[i] = life_bytes(progress->segment->graph->values[i], &progress->lives[i]);
        progress->fits = progress->fits && add_size(total, progress->bytes[i], &total);
        if (progress->lives[i].first == NOT_HERE)
            progress->live += progress->bytes[i];
    }
}

bool progress_begin(struct progress *progress, const struct segment *segment, int threads)
{
    size_t values = (size_t)segment->graph->value_count, steps = (size_t)segment->steps.count, operands = 0;
    for (size_t s = 0; s < steps; s++)
        if (segment->steps.steps[s])
            operands += (size_t)segment->steps.steps[s]->input_count + (size_t)segment->steps.steps[s]->output_count;
    *progress = (struct progress){.segment = segment};
    region_init(&progress->region, segment->graph->region->allocator);
    progress->touches_of = region_array(&progress->region, steps + 1, sizeof *progress->touches_of);
    progress->touches = region_array(&progress->region, operands, sizeof *progress->touches);
    progress->workspaces = region_array(&progress->region, steps, sizeof *progress->workspaces);
    progress->bytes = region_array(&progress->region, values, sizeof *progress->bytes);
    progress->left = region_array(&progress->region, values, sizeof *progress->left);
    progress->written = region_array(&progress->region, values, sizeof *progress->written);
    progress->lives = region_array(&progress->region, values, sizeof *progress->lives);
    if (!progress->touches_of || !progress->touches || !progress->workspaces || !progress->bytes || !progress->left ||
        !progress->written || !progress->lives) {
        progress_end(progress);
        return false;
    }
    segment_lives(segment, progress->lives);
    list_steps(progress, threads);
    return true;
}

void progress_end(struct progress *progress)
{
    region_free(&progress->region);
}

static bool begins(const struct progress *progress, const struct touch *touch)
{
    return touch->writes && progress->written[touch->root] == 0;
}

static bool ends(const struct progress *progress, const struct touch *touch)
{
    return progress->left[touch->root] == 1 && !progress->lives[touch->root].carried;
}

/* taken: the step is taken, too. */
static inline struct demand demand_of(struct progress *progress, int s, const bool taken)
{
    size_t begun = 0, ended = 0;
    for (int t = progress->touches_of[s]; t < progress->touches_of[s + 1]; t++) {
        const struct touch *touch = &progress->touches[t];
        struct life *life = &progress->lives[touch->root];
        bool first = begins(progress, touch), last = progress->left[touch->root] == 1;
        if (life->first != NOT_HERE)
            life->first = first ? s : -1;
        life->last = last ? s : -1;
        begun += first ? progress->bytes[touch->root] : 0;
        ended += last && !life->carried ? progress->bytes[touch->root] : 0;
        progress->written[touch->root] += taken && touch->writes;
        progress->left[touch->root] -= taken;
    }
    const struct value *overwritten = overwritten_root(progress->lives, progress->segment->steps.steps[s], s);
    size_t shared = overwritten ? progress->bytes[overwritten->id] : 0; /* two values in one buffer count once */
    return (struct demand){.during = progress->live + begun - shared + progress->workspaces[s],
                           .after = progress->live + begun - ended};
}

struct demand progress_look(struct progress *progress, int s)
{
    return demand_of(progress, s, false);
}

struct demand progress_go(struct progress *progress, int s)
{
    struct demand demand = demand_of(progress, s, true);
    progress->live = demand.after;
    return demand;
}

void progress_take(struct progress *progress, int s)
{
    for (int t = progress->touches_of[s]; t < progress->touches_of[s + 1]; t++) {
        const struct touch *touch = &progress->touches[t];
        progress->live += begins(progress, touch) ? progress->bytes[touch->root] : 0;
        progress->live -= ends(progress, touch) ? progress->bytes[touch->root] : 0;
        progress->written[touch->root] += touch->writes;
        progress->left[touch->root]--;
    }
}

void progress_back(struct progress *progress, int s)
{
    for (int t = progress->touches_of[s]; t < progress->touches_of[s + 1]; t++) {
        const struct touch *touch = &progress->touches[t];
        progress->left[touch->root]++;
        progress->written[touch->root] -= touch->writes;
        progress->live += ends(progress, touch) ? progress->bytes[touch->root] : 0;
        progress->live -= begins(progress, touch) ? progress->bytes[touch->root] : 0;
    }
}

/* --- the steps in their order ---------------------------------------------------------------------------- */

static struct value *operand_root(const struct step *step, int i)
{
    struct value *operand = i < step->input_count ? step->inputs[i] : step->outputs[i - step->input_count];
    return operand ? value_root(operand, NULL) : NULL;
}

/* NULL where an earlier operand has the same root. */
static struct value *new_root(const struct step *step, int i)
{
    struct value *root = operand_root(step, i);
    for (int k = 0; k < i && root; k++)
        if (operand_root(step, k) == root)
            return NULL;
    return root;
}

struct demand step_demand(const struct life *lives, const struct step *step, int s, size_t live, int threads)
{
    size_t begun = 0, ended = 0, workspaces;
    step_workspaces(step, threads, &workspaces);
    for (int i = 0; i < step->input_count + step->output_count; i++) {
        const struct value *root = new_root(step, i);
        const struct life *life = root ? &lives[root->id] : NULL;
        begun += life && life->first == s ? life_bytes(root, life) : 0;
        ended += life && life->last == s && !life->carried ? life_bytes(root, life) : 0;
    }
    const struct value *overwritten = overwritten_root(lives, step, s);
    size_t shared = overwritten ? life_bytes(overwritten, &lives[overwritten->id]) : 0;
    return (struct demand){.during = live + begun - shared + workspaces, .after = live + begun - ended};
}

bool segment_live_before(const struct segment *segment, const struct life *lives, int threads, size_t *live)
{
    size_t total = 0;
    *live = 0;
    for (int i = 0; i < segment->graph->value_count; i++) {
        size_t bytes = life_bytes(segment->graph->values[i], &lives[i]);
        *live += lives[i].first == NOT_HERE ? bytes : 0;
        if (!add_size(total, bytes, &total))
            return false;
    }
    for (int s = 0; s < segment->steps.count; s++) {
        size_t workspaces;
        if (segment->steps.steps[s] &&
            (!step_workspaces(segment->steps.steps[s], threads, &workspaces) || !add_size(total, workspaces, &total)))
            return false;
    }
    return total <= PTRDIFF_MAX;
}

static size_t peak_of(const struct segment *segment, const struct life *lives, int threads)
{
    size_t live, peak;
    if (!segment_live_before(segment, lives, threads, &live))
        return SIZE_MAX;
    peak = live;
    for (int s = 0; s < segment->steps.count; s++) {
        if (!segment->steps.steps[s])
            continue;
        struct demand demand = step_demand(lives, segment->steps.steps[s], s, live, threads);
        peak = demand.during > peak ? demand.during : peak;
        live = demand.after;
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
    size_t peak = peak_of(segment, lives, threads);
    release(allocator, lives, bytes);
    return peak;
}
