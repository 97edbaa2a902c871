/* Copies that other steps can do without: what reads a transposed, sliced, repeated or flipped tensor reads the
 * original through strides instead; what makes a part of a concatenation writes it where it belongs, and what else
 * reads that part reads it there. Never at the price
 * of a higher peak: the original may live longer that way, and so may the concatenation. */
#include "graph/steps/passes.h"
#include "graph/steps/uses.h"

#include "graph/op.h"
#include "graph/steps/liveness.h"
#include "graph/steps/peak.h"
#include "graph/steps/walk.h"

#include <string.h>

/* What the steps do with a root and all that looks at it. */
struct traffic {
    int readings;    /* operands of steps, and what outlives the segment */
    int writers;     /* outputs of steps */
    int last_writer; /* index of a step */
    size_t written;  /* bytes that the writers write, together */
    bool outlives;
    bool tried;       /* to absorb all its copies at once */
    bool tried_parts; /* to have all its parts written where they belong at once */
};

/* What an attempt has overwritten: a step, or what is known of a root. */
struct change {
    int step, root; /* the index of one, -1: not it */
    struct step *was;
    struct traffic traffic;
    struct root_list list;
    struct life life, new_life;
};

/* Indices of steps, the least at the front: a heap. */
struct queue {
    int *steps, count;
};

struct absorption {
    struct segment *segment;
    const struct kernel_facts *facts;
    struct region scratch;
    /* By id of a root, of which the pass adds none: its values are views. */
    struct traffic *traffic;
    struct life *lives;
    struct root_steps index; /* lists of readers, and others, in no order; some of them are gone */
    /* Bytes alive, by step: of the roots, and what the step itself adds to them and takes off. */
    struct peak sums;
    int64_t *own;
    int64_t peak; /* before the attempt */
    /* The attempt: what is to be undone if it fails. */
    struct change *changes;
    int change_count, change_capacity;
    int value_count; /* of the graph before it */
    struct queue readers, siblings;
};

/* --- traffic --------------------------------------------------------------------------------------------- */

static struct traffic *traffic_of(const struct absorption *a, struct value *value)
{
    return &a->traffic[value_root(value, NULL)->id];
}

static bool is_copy(const struct step *step)
{
    return is_family(step, FAMILY_copy);
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

/* --- queues ---------------------------------------------------------------------------------------------- */

/* No queue is ever longer than the index has entries: each is put in once. */
static void queue_put(struct queue *queue, int step)
{
    int i = queue->count++;
    for (; i > 0 && queue->steps[(i - 1) / 2] > step; i = (i - 1) / 2)
        queue->steps[i] = queue->steps[(i - 1) / 2];
    queue->steps[i] = step;
}

static int queue_take(struct queue *queue)
{
    int *steps = queue->steps, least = steps[0], last = steps[--queue->count], i = 0;
    for (int child = 1; child < queue->count; child = 2 * i + 1) {
        child += child + 1 < queue->count && steps[child + 1] < steps[child];
        if (steps[child] >= last)
            break;
        steps[i] = steps[child];
        i = child;
    }
    steps[i] = last;
    return least;
}

/* Steps from `first` on, from an entry of a list to its end. */
static void queue_list(const struct absorption *a, struct queue *queue, int entry, int first)
{
    for (; entry >= 0; entry = a->index.entries[entry].next)
        if (a->index.entries[entry].step >= first)
            queue_put(queue, a->index.entries[entry].step);
}

/* --- bytes alive ----------------------------------------------------------------------------------------- */

/* Adds the bytes of a root, or takes them off (sign -1), for as long as it lives. */
static void count_life(struct absorption *a, const struct value *root, const struct life *life, int sign)
{
    int64_t bytes = (int64_t)life_bytes(root, life);
    int first = life->first == NOT_HERE ? 0 : life->first;
    int last = life->carried ? a->segment->steps.count - 1 : life->last;
    if (bytes > 0)
        peak_add(&a->sums, first, last, sign * bytes);
}

/* Counts what step s itself takes: its workspaces, less the bytes that two of its operands share. */
static void count_own(struct absorption *a, int s)
{
    const struct step *step = a->segment->steps.steps[s];
    size_t workspaces = 0, shared = 0;
    if (step) {
        const struct value *overwritten = overwritten_root(a->lives, step, s);
        shared = overwritten ? life_bytes(overwritten, &a->lives[overwritten->id]) : 0;
        step_workspaces(step, 1, &workspaces);
    }
    int64_t own = (int64_t)workspaces - (int64_t)shared;
    if (own != a->own[s])
        peak_add(&a->sums, s, s, own - a->own[s]);
    a->own[s] = own;
}

/* The same for the steps that a change may concern: a root is overwritten by the last that touches it, or overwrites
 * another in the first. */
static void count_changed(struct absorption *a, const struct change *change)
{
    const struct life *was = &change->life, *is = &change->new_life;
    if (change->step >= 0) {
        count_own(a, change->step);
        return;
    }
    const int steps[] = {was->first, is->first, was->last, is->last};
    for (int i = 0; i < 4; i++)
        if (steps[i] >= 0 && steps[i] != NOT_HERE && steps[i] != steps[i ^ 1])
            count_own(a, steps[i]);
}

/* --- attempts -------------------------------------------------------------------------------------------- */

static bool note(struct absorption *a, struct change change)
{
    if (a->change_count == a->change_capacity) {
        int larger = a->change_capacity ? 2 * a->change_capacity : 64;
        struct change *changes = region_array(&a->scratch, (size_t)larger, sizeof *changes);
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
    return noted;
}

static void set_life(struct absorption *a, int root, struct life life)
{
    const struct value *value = a->segment->graph->values[root];
    count_life(a, value, &a->lives[root], -1);
    a->lives[root] = life;
    count_life(a, value, &a->lives[root], 1);
}

/* To be called before anything else that is known of a root is changed. */
static bool change_life(struct absorption *a, const struct value *root, struct life life)
{
    bool noted = note(a, (struct change){.step = -1,
                                         .root = root->id,
                                         .traffic = a->traffic[root->id],
                                         .list = a->index.lists[root->id],
                                         .life = a->lives[root->id],
                                         .new_life = life});
    if (noted)
        set_life(a, root->id, life);
    return noted;
}

/* The root is gone: nothing touches it any more. */
static bool forget_root(struct absorption *a, const struct value *root)
{
    if (!change_life(a, root, (struct life){.first = NOT_HERE, .last = -1}))
        return false;
    a->traffic[root->id] = (struct traffic){.readings = 0};
    return true;
}

/* Moves the list of one root to the end of another's. */
static void join_lists(struct absorption *a, const struct value *from, const struct value *to)
{
    struct root_list *moved = &a->index.lists[from->id], *list = &a->index.lists[to->id];
    if (moved->first < 0)
        return;
    *(list->last >= 0 ? &a->index.entries[list->last].next : &list->first) = moved->first;
    list->last = moved->last;
    *moved = (struct root_list){.first = -1, .last = -1};
}

static void undo(struct absorption *a, const struct change *change)
{
    if (change->step >= 0) {
        a->segment->steps.steps[change->step] = change->was;
        return;
    }
    a->traffic[change->root] = change->traffic;
    a->index.lists[change->root] = change->list;
    if (change->list.last >= 0)
        a->index.entries[change->list.last].next = -1;
    set_life(a, change->root, change->life);
}

/* Undoes it unless it has succeeded and takes no more memory than before. */
static bool end_attempt(struct absorption *a, bool success)
{
    for (int i = 0; success && i < a->change_count; i++)
        count_changed(a, &a->changes[i]);
    if (success && peak_most(&a->sums) <= a->peak) {
        a->peak = peak_most(&a->sums);
        return true;
    }
    for (int i = a->change_count - 1; i >= 0; i--)
        undo(a, &a->changes[i]);
    for (int i = 0; success && i < a->change_count; i++)
        count_changed(a, &a->changes[i]);
    a->segment->graph->value_count = a->value_count; /* forgets the views that were made for nothing */
    return false;
}

/* --- reading the original -------------------------------------------------------------------------------- */

/* The copy at `index` is gone, and its readers read the original. */
static bool move_readings(struct absorption *a, const struct value *copied, const struct value *original)
{
    struct life life = a->lives[original->id];
    int last = a->lives[copied->id].last, readings = a->traffic[copied->id].readings;
    life.last = last > life.last ? last : life.last;
    if (!forget_root(a, copied) || !change_life(a, original, life))
        return false;
    a->traffic[original->id].readings += readings - 1;
    join_lists(a, copied, original);
    return true;
}

/* Readers of the copy at `index` take the original. False where one cannot: then the attempt has failed. */
static bool absorb_into_readers(struct absorption *a, int index)
{
    struct step_list *steps = &a->segment->steps;
    const struct step *copy = steps->steps[index];
    struct value *copied = copy->outputs[0], *original = copy->inputs[0];
    struct relocation relocation;
    if (copied->alias || copied->dtype != original->dtype)
        return false;
    const struct traffic *traffic = traffic_of(a, copied);
    if (traffic->writers != 1 || traffic->outlives || !relocation_of_copy(copy, true, &relocation))
        return false;
    a->readers.count = 0;
    queue_list(a, &a->readers, a->index.lists[copied->id].first, index + 1);
    while (a->readers.count > 0) {
        int s = queue_take(&a->readers);
        struct step *step = steps->steps[s];
        if (step)
            step = step_redirected(step, a->segment->graph, copied, original, &relocation, a->facts, steps->region);
        if (step != steps->steps[s] && (!step || !replace_step(a, s, step)))
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
    struct life life = a->lives[target->id];
    life.first = maker < life.first ? maker : life.first;
    life.last = life.last == index ? maker : life.last; /* nobody reads it in this segment */
    if (!forget_root(a, made) || !change_life(a, target, life))
        return false;
    struct traffic *traffic = &a->traffic[target->id];
    if (traffic->writers == 1)
        traffic->last_writer = maker;
    join_lists(a, made, target);
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
    struct step *moved = step_relocated(step, step->input_count, &relocation, base, a->facts, steps->region);
    struct value *view =
        moved ? strided_view(a->segment->graph, target, relocated_offset(&relocation, base), step->outputs[0]) : NULL;
    if (!view)
        return false;
    moved->outputs[0] = view;
    return replace_step(a, maker, moved) && replace_step(a, index, NULL) &&
           move_writing(a, maker, index, value_root(copy->inputs[0], NULL), value_root(target, NULL));
}

/* The copy is gone, and all that touched the part touches the whole. */
static bool move_part(struct absorption *a, const struct value *part, const struct value *whole)
{
    struct traffic moved = a->traffic[part->id];
    struct life life = a->lives[whole->id], was = a->lives[part->id];
    life.first = was.first < life.first ? was.first : life.first;
    life.last = was.last > life.last ? was.last : life.last;
    if (!forget_root(a, part) || !change_life(a, whole, life))
        return false;
    struct traffic *traffic = &a->traffic[whole->id];
    if (traffic->writers == 1)
        traffic->last_writer = moved.last_writer;
    traffic->readings += moved.readings - 1;
    traffic->writers += moved.writers - 1;
    join_lists(a, part, whole);
    return true;
}

/* All of a value that several steps write or read lies in the whole that the copy at `index` puts it into: a
 * concatenation of a concatenation grows where it is. */
static bool absorb_part(struct absorption *a, int index)
{
    struct step_list *steps = &a->segment->steps;
    const struct step *copy = steps->steps[index];
    struct value *part = value_root(copy->inputs[0], NULL), *target = copy->outputs[0];
    const struct value *whole = value_root(target, NULL);
    const struct traffic *from = &a->traffic[part->id], *to = &a->traffic[whole->id];
    struct relocation relocation;
    /* Neither has a byte written twice: then the order in which parts are written and read among them is free. */
    bool once = from->written == value_bytes(part) && to->written == value_bytes(whole);
    if (part == whole || part->data || from->writers == 0 || from->outlives || to->outlives || !once ||
        part->dtype != target->dtype || value_elements(part) != value_elements(copy->inputs[0]) ||
        !relocation_of_copy(copy, false, &relocation) || !replace_step(a, index, NULL))
        return false;
    for (int e = a->index.lists[part->id].first; e >= 0; e = a->index.entries[e].next) {
        int s = a->index.entries[e].step;
        struct step *step = steps->steps[s];
        if (step)
            step = step_redirected(step, a->segment->graph, part, target, &relocation, a->facts, steps->region);
        if (step != steps->steps[s] && (!step || !replace_step(a, s, step)))
            return false;
    }
    return move_part(a, part, whole);
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
    int absorbed = 0, last = a->lives[original->id].last;
    if (traffic->tried || traffic->readings < 2)
        return false;
    traffic->tried = true;
    a->siblings.count = 0;
    queue_list(a, &a->siblings, a->index.lists[original->id].first, index);
    while (a->siblings.count > 0) {
        int s = queue_take(&a->siblings);
        if (s > last || !is_copy(steps[s]) || !moves_elements(steps[s]) ||
            value_root(steps[s]->inputs[0], NULL) != original)
            continue;
        int moved = a->index.lists[value_root(steps[s]->outputs[0], NULL)->id].first;
        if (!absorb_into_readers(a, s))
            return false;
        queue_list(a, &a->siblings, moved, s + 1); /* they read the original now */
        absorbed++;
    }
    return absorbed > 1;
}

/* The copy at `index` and those after it that put other parts of a whole together, at once: where the first part is
 * written into the whole, this lives longer, which pays if the others do not live apart from it. */
static bool absorb_parts(struct absorption *a, int index)
{
    struct step **steps = a->segment->steps.steps;
    const struct value *whole = value_root(steps[index]->outputs[0], NULL);
    struct traffic *traffic = &a->traffic[whole->id];
    int absorbed = 0;
    if (traffic->tried_parts)
        return false;
    traffic->tried_parts = true;
    for (int s = index; s < a->segment->steps.count && steps[s] && is_copy(steps[s]) &&
                        value_root(steps[s]->outputs[0], NULL) == whole && moves_elements(steps[s]);
         s++)
        absorbed += absorb_into_maker(a, s);
    return absorbed > 1;
}

static bool attempt(struct absorption *a, int index, bool (*how)(struct absorption *, int))
{
    a->change_count = 0;
    a->value_count = a->segment->graph->value_count;
    return end_attempt(a, how(a, index));
}

static bool allocate_tables(struct absorption *a)
{
    const struct segment *segment = a->segment;
    size_t values = (size_t)segment->graph->value_count, steps = (size_t)segment->steps.count;
    if (!root_steps_find(segment, &a->scratch, &a->index) || !peak_begin(&a->sums, segment->steps.count, &a->scratch))
        return false;
    a->traffic = region_array(&a->scratch, values, sizeof *a->traffic);
    a->lives = region_array(&a->scratch, values, sizeof *a->lives);
    a->own = region_array(&a->scratch, steps, sizeof *a->own);
    a->readers.steps = region_array(&a->scratch, (size_t)a->index.entry_count, sizeof *a->readers.steps);
    a->siblings.steps = region_array(&a->scratch, (size_t)a->index.entry_count, sizeof *a->siblings.steps);
    return a->traffic && a->lives && a->own && a->readers.steps && a->siblings.steps;
}

/* The last of wholes within wholes first: then what touches a part moves once. Twice, since a part that alone would
 * have the whole live longer may go with the ones that it has been joined by. */
static void grow_wholes(struct absorption *a)
{
    struct step **steps = a->segment->steps.steps;
    bool grown = true;
    for (int sweep = 0; sweep < 2 && grown; sweep++) {
        grown = false;
        for (int s = a->segment->steps.count - 1; s >= 0; s--)
            if (is_copy(steps[s]) && moves_elements(steps[s]))
                grown |= attempt(a, s, absorb_part);
    }
}

static bool absorb_all(struct absorption *a)
{
    struct segment *segment = a->segment;
    struct step **steps = segment->steps.steps;
    size_t before;
    if (!allocate_tables(a))
        return false;
    count_traffic(a);
    segment_lives(segment, a->lives);
    if (!segment_live_before(segment, a->lives, 1, &before))
        return true;
    for (int i = 0; i < segment->graph->value_count; i++)
        count_life(a, segment->graph->values[i], &a->lives[i], 1);
    for (int s = 0; s < segment->steps.count; s++)
        count_own(a, s);
    a->peak = peak_most(&a->sums);
    for (int s = 0; s < segment->steps.count; s++)
        if (is_copy(steps[s]) && moves_elements(steps[s]) && !attempt(a, s, absorb_into_readers) &&
            !attempt(a, s, absorb_into_maker) && !attempt(a, s, absorb_siblings))
            attempt(a, s, absorb_parts);
    grow_wholes(a);
    step_list_compact(&segment->steps);
    return true;
}

enum status absorb_copies(struct segment *segment, const struct step_pass_options *options, struct error *error)
{
    struct absorption a = {.segment = segment, .facts = options->facts};
    int s = 0;
    while (s < segment->steps.count && !is_copy(segment->steps.steps[s]))
        s++;
    if (s == segment->steps.count)
        return STATUS_OK;
    region_init(&a.scratch, segment->graph->region->allocator);
    bool done = absorb_all(&a);
    region_free(&a.scratch);
    return done ? STATUS_OK
                : error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while fusing graph '%s'", segment->graph->name);
}
