/* Copies that other steps can do without: what reads a transposed, sliced, repeated or flipped tensor reads the
 * original through strides instead; what makes a part of a concatenation writes it where it belongs. Never at the price
 * of a higher peak: the original may live longer that way, and so may the concatenation. */
#include "graph/passes/passes.h"
#include "graph/steps/uses.h"

#include "graph/op.h"
#include "graph/steps/liveness.h"
#include "graph/steps/walk.h"

#include <string.h>

/* What the steps do with a root and all that looks at it. */
struct traffic {
    int readings;    /* operands of steps, and what outlives the segment */
    int writers;     /* outputs of steps */
    int last_writer; /* index of a step */
    size_t written;  /* bytes that the writers write, together */
    bool outlives;
    bool tried; /* to absorb all its copies at once */
};

/* What an attempt has overwritten: a step, or what is known of a root. */
struct change {
    int step, root; /* the index of one, -1: not it */
    struct step *was;
    struct traffic traffic;
    struct life life;
};

struct absorption {
    struct segment *segment;
    enum isa isa;
    /* By id of a root, of which the pass adds none: its values are views. */
    struct traffic *traffic;
    struct life *lives;
    /* Bytes alive, by step, and before the first. */
    size_t *during, *after, before;
    size_t peak; /* the largest of `during` */
    /* The attempt: what is to be undone if it fails, and the steps between which it changes what is alive. */
    struct change *changes;
    int change_count, change_capacity;
    int first, last;
};

/* --- traffic --------------------------------------------------------------------------------------------- */

static struct traffic *traffic_of(const struct absorption *a, struct value *value)
{
    return &a->traffic[value_root(value, NULL)->id];
}

static bool is_copy(const struct step *step)
{
    return step && step->kernel && step->kernel->family == FAMILY_copy;
}

static void count_step(const struct absorption *a, const struct step *step, int index)
{
    for (int i = 0; i < step->input_count; i++)
        if (step->inputs[i])
            traffic_of(a, step->inputs[i])->readings++;
    for (int i = 0; i < step->output_count; i++) {
        struct traffic *traffic = step->outputs[i] ? traffic_of(a, step->outputs[i]) : NULL;
        if (!traffic)
            continue;
        traffic->writers++;
        traffic->last_writer = index;
        traffic->written += step->outputs[i]->rank < 0 ? 0 : step_bytes_written(step, i);
    }
}

static void count_outside(const struct absorption *a, struct value *value)
{
    struct traffic *traffic = value ? traffic_of(a, value) : NULL;
    if (!traffic)
        return;
    traffic->readings++;
    traffic->outlives = true;
}

static void count_traffic(const struct absorption *a)
{
    const struct segment *segment = a->segment;
    for (int s = 0; s < segment->steps.count; s++)
        count_step(a, segment->steps.steps[s], s);
    for (int i = 0; i < segment->graph->output_count; i++)
        count_outside(a, segment->graph->outputs[i]);
    for (int i = 0; i < segment->rest_count; i++)
        for (int k = 0; k < segment->rest[i]->input_count; k++)
            count_outside(a, segment->rest[i]->inputs[k]);
    count_outside(a, segment->needed);
}

/* --- attempts -------------------------------------------------------------------------------------------- */

/* Recomputes what is alive from step a->first to a->last, which is all that the attempt has changed; the largest sum.
 */
static size_t measure(const struct absorption *a)
{
    size_t live = a->first > 0 ? a->after[a->first - 1] : a->before, largest = 0;
    for (int s = a->first; s <= a->last; s++) {
        const struct step *step = a->segment->steps.steps[s];
        struct demand demand = {.during = live, .after = live};
        if (step)
            demand = step_demand(a->lives, step, s, live, 1);
        a->during[s] = demand.during;
        a->after[s] = live = demand.after;
        largest = demand.during > largest ? demand.during : largest;
    }
    return largest;
}

static bool note(struct absorption *a, struct change change)
{
    if (a->change_count == a->change_capacity) {
        int larger = a->change_capacity ? 2 * a->change_capacity : 64;
        struct change *changes = region_array(a->segment->steps.region, (size_t)larger, sizeof *changes);
        if (!changes)
            return false;
        if (a->change_count)
            memcpy(changes, a->changes, (size_t)a->change_count * sizeof *changes);
        a->changes = changes;
        a->change_capacity = larger;
    }
    a->changes[a->change_count++] = change;
    return true;
}

/* Puts a step (NULL: none) in the place of another. */
static bool replace_step(struct absorption *a, int index, struct step *step)
{
    struct step **entry = &a->segment->steps.steps[index];
    bool noted = note(a, (struct change){.step = index, .root = -1, .was = *entry});
    if (noted)
        *entry = step;
    a->first = index < a->first ? index : a->first;
    a->last = index > a->last ? index : a->last;
    return noted;
}

/* To be called before what is known of a root is changed. Where it was alive, that may change. */
static bool note_root(struct absorption *a, const struct value *root)
{
    const struct life *life = &a->lives[root->id];
    a->last = life->last > a->last ? life->last : a->last;
    return note(a, (struct change){.step = -1, .root = root->id, .traffic = a->traffic[root->id], .life = *life});
}

static void begin_attempt(struct absorption *a, int index)
{
    a->change_count = 0;
    a->first = a->last = index;
}

static void undo_attempt(struct absorption *a)
{
    while (a->change_count > 0) {
        const struct change *change = &a->changes[--a->change_count];
        if (change->step >= 0) {
            a->segment->steps.steps[change->step] = change->was;
        } else {
            a->traffic[change->root] = change->traffic;
            a->lives[change->root] = change->life;
        }
    }
}

/* Undoes it unless it has succeeded and takes no more memory than before. */
static bool end_attempt(struct absorption *a, bool success)
{
    if (success && measure(a) <= a->peak) {
        a->peak = 0;
        for (int s = 0; s < a->segment->steps.count; s++)
            a->peak = a->during[s] > a->peak ? a->during[s] : a->peak;
        return true;
    }
    undo_attempt(a);
    if (success)
        measure(a);
    return false;
}

/* --- reading the original -------------------------------------------------------------------------------- */

/* The copy at `index` is gone, and its readers read the original. */
static bool move_readings(struct absorption *a, const struct value *copied, const struct value *original)
{
    if (!note_root(a, copied) || !note_root(a, original))
        return false;
    struct life *life = &a->lives[original->id], *old = &a->lives[copied->id];
    a->traffic[original->id].readings += a->traffic[copied->id].readings - 1;
    life->last = old->last > life->last ? old->last : life->last;
    a->traffic[copied->id] = (struct traffic){.readings = 0};
    *old = (struct life){.first = NOT_HERE, .last = -1};
    return true;
}

/* Readers of the copy at `index` take the original. False where one cannot: then the attempt has failed. */
static bool absorb_into_readers(struct absorption *a, int index)
{
    struct step **steps = a->segment->steps.steps;
    const struct step *copy = steps[index];
    struct value *copied = copy->outputs[0], *original = copy->inputs[0];
    struct relocation relocation;
    if (copied->alias || copied->dtype != original->dtype)
        return false;
    const struct traffic *traffic = traffic_of(a, copied);
    if (traffic->writers != 1 || traffic->outlives || !relocation_of_copy(copy, true, &relocation))
        return false;
    for (int s = index + 1, last = a->lives[copied->id].last; s <= last; s++) {
        struct step *step = steps[s];
        if (step)
            step = step_redirected(step, a->segment->graph, copied, original, &relocation, a->isa,
                                   a->segment->steps.region);
        if (step != steps[s] && (!step || !replace_step(a, s, step)))
            return false;
    }
    return replace_step(a, index, NULL) && move_readings(a, copied, value_root(original, NULL));
}

/* --- writing where it belongs ---------------------------------------------------------------------------- */

/* The step that makes all of `value`, as its output 0, which nothing but one operand reads; -1: none. */
static int sole_maker(const struct absorption *a, struct value *value)
{
    struct value *root = value_root(value, NULL);
    const struct traffic *traffic = traffic_of(a, root);
    bool whole = root->dtype == value->dtype && value_elements(root) == value_elements(value);
    if (!whole || traffic->writers != 1 || traffic->readings != 1)
        return -1;
    return a->segment->steps.steps[traffic->last_writer]->outputs[0] == root ? traffic->last_writer : -1;
}

/* The copy at `index` is gone, and `maker` writes what it did. */
static bool move_writing(struct absorption *a, int maker, int index, const struct value *made,
                         const struct value *target)
{
    if (!note_root(a, made) || !note_root(a, target))
        return false;
    struct traffic *traffic = &a->traffic[target->id];
    struct life *life = &a->lives[target->id];
    if (traffic->writers == 1)
        traffic->last_writer = maker;
    life->first = maker < life->first ? maker : life->first;
    life->last = life->last == index ? maker : life->last; /* nobody reads it in this segment */
    a->traffic[made->id] = (struct traffic){.readings = 0};
    a->lives[made->id] = (struct life){.first = NOT_HERE, .last = -1};
    return true;
}

/* The maker of what the copy at `index` moves writes it there itself. */
static bool absorb_into_maker(struct absorption *a, int index)
{
    struct step_list *steps = &a->segment->steps;
    const struct step *copy = steps->steps[index];
    struct value *target = copy->outputs[0];
    struct relocation relocation;
    int maker = sole_maker(a, copy->inputs[0]);
    /* The order of writing changes: no other part may overlap this one. None does where all together are as large as
     * the whole. */
    bool apart = traffic_of(a, target)->written == value_bytes(value_root(target, NULL));
    if (maker < 0 || !apart || copy->inputs[0]->dtype != target->dtype || !relocation_of_copy(copy, false, &relocation))
        return false;
    const struct step *step = steps->steps[maker];
    int64_t base = step_walk_start(step, step->input_count);
    struct step *moved = step_relocated(step, step->input_count, &relocation, base, a->isa, steps->region);
    struct value *view =
        moved ? strided_view(a->segment->graph, target, relocated_offset(&relocation, base), step->outputs[0]) : NULL;
    if (!view)
        return false;
    moved->outputs[0] = view;
    return replace_step(a, maker, moved) && replace_step(a, index, NULL) &&
           move_writing(a, maker, index, value_root(copy->inputs[0], NULL), value_root(target, NULL));
}

/* --- the pass -------------------------------------------------------------------------------------------- */

/* Both sides hold elements of the size that the copy moves, and of known number. */
static bool moves_elements(const struct step *copy)
{
    const struct value *from = copy->inputs[0], *to = copy->outputs[0];
    unsigned bits = 8 * ((const struct copy_params *)copy->params)->element_bytes;
    return !from->dims_at_run && !to->dims_at_run && !value_root(copy->inputs[0], NULL)->dims_at_run &&
           dtype_bits(from->dtype) == bits && dtype_bits(to->dtype) == bits;
}

/* All copies of one original, of which that at `index` is the first, at once: it lives longer then, which one copy less
 * may not pay for. */
static bool absorb_siblings(struct absorption *a, int index)
{
    struct step **steps = a->segment->steps.steps;
    struct value *original = value_root(steps[index]->inputs[0], NULL);
    struct traffic *traffic = &a->traffic[original->id];
    int absorbed = 0;
    if (traffic->tried || traffic->readings < 2)
        return false;
    traffic->tried = true;
    for (int s = index, last = a->lives[original->id].last; s <= last; s++) {
        if (!is_copy(steps[s]) || !moves_elements(steps[s]) || value_root(steps[s]->inputs[0], NULL) != original)
            continue;
        if (!absorb_into_readers(a, s))
            return false;
        absorbed++;
    }
    return absorbed > 1;
}

static bool attempt(struct absorption *a, int index, bool (*how)(struct absorption *, int))
{
    begin_attempt(a, index);
    return end_attempt(a, how(a, index));
}

static bool begin(struct absorption *a)
{
    const struct segment *segment = a->segment;
    struct region *region = segment->steps.region;
    size_t values = (size_t)segment->graph->value_count + 1;
    a->traffic = region_array(region, values, sizeof *a->traffic);
    a->lives = region_array(region, values, sizeof *a->lives);
    a->during = region_array(region, (size_t)segment->steps.count + 1, sizeof *a->during);
    a->after = region_array(region, (size_t)segment->steps.count + 1, sizeof *a->after);
    if (!a->traffic || !a->lives || !a->during || !a->after)
        return false;
    count_traffic(a);
    segment_lives(segment, a->lives);
    return true;
}

enum status absorb_copies(struct segment *segment, enum isa isa, struct error *error)
{
    struct step_list *steps = &segment->steps;
    struct absorption a = {.segment = segment, .isa = isa, .last = steps->count - 1};
    if (!begin(&a))
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while fusing graph '%s'", segment->graph->name);
    if (!segment_live_before(segment, a.lives, 1, &a.before))
        return STATUS_OK;
    a.peak = measure(&a);
    for (int s = 0; s < steps->count; s++)
        if (is_copy(steps->steps[s]) && moves_elements(steps->steps[s]) && !attempt(&a, s, absorb_into_readers) &&
            !attempt(&a, s, absorb_into_maker))
            attempt(&a, s, absorb_siblings);
    step_list_compact(steps);
    return STATUS_OK;
}
