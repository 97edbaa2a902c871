/* Copies that other steps can do without: what reads a transposed, sliced, repeated or flipped tensor reads the
 * original through strides instead; what makes a part of a concatenation writes it where it belongs. Never at the price
 * of a higher peak: the original may live longer that way, and the concatenation too. */
#include "graph/passes/passes.h"
#include "graph/passes/uses.h"

#include "graph/liveness.h"
#include "graph/op.h"
#include "graph/walk.h"

#include <string.h>

/* What the steps do with a root and all that looks at it. */
struct traffic {
    int readings;                 /* operands of steps, and what outlives the segment */
    int writers;                  /* outputs of steps */
    int last_reader, last_writer; /* indices of steps, -1: none */
    size_t written;               /* bytes that the writers write, together */
    bool outlives;
};

struct absorption {
    struct segment *segment;
    enum isa isa;
    size_t peak;             /* of live bytes, so far */
    struct traffic *traffic; /* by id of a root; what a pass adds are views, never roots */
    int roots;               /* ids there are entries for */
    struct step **before;    /* the steps, before an attempt */
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
        if (step->inputs[i]) {
            struct traffic *traffic = traffic_of(a, step->inputs[i]);
            traffic->readings++;
            traffic->last_reader = index;
        }
    for (int i = 0; i < step->output_count; i++)
        if (step->outputs[i]) {
            struct traffic *traffic = traffic_of(a, step->outputs[i]);
            traffic->writers++;
            traffic->last_writer = index;
            traffic->written += step->outputs[i]->rank < 0 ? 0 : step_bytes_written(step, i);
        }
}

static void count_outside(const struct absorption *a, struct value *value)
{
    struct traffic *traffic = value ? traffic_of(a, value) : NULL;
    if (traffic) {
        traffic->readings++;
        traffic->outlives = true;
    }
}

static void count_traffic(const struct absorption *a)
{
    const struct segment *segment = a->segment;
    for (int i = 0; i < a->roots; i++)
        a->traffic[i] = (struct traffic){.last_reader = -1, .last_writer = -1};
    for (int s = 0; s < segment->steps.count; s++)
        if (segment->steps.steps[s])
            count_step(a, segment->steps.steps[s], s);
    for (int i = 0; i < segment->graph->output_count; i++)
        count_outside(a, segment->graph->outputs[i]);
    for (int i = 0; i < segment->rest_count; i++)
        for (int k = 0; k < segment->rest[i]->input_count; k++)
            count_outside(a, segment->rest[i]->inputs[k]);
    count_outside(a, segment->needed);
}

/* --- reading the original -------------------------------------------------------------------------------- */

/* Readers of the copy at `index` take the original. False where one cannot; then some may have been changed. */
static bool absorb_into_readers(const struct absorption *a, int index)
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
    for (int s = index + 1; s <= traffic->last_reader; s++)
        if (steps[s] &&
            !(steps[s] = step_redirected(steps[s], a->segment->graph, copied, original, &relocation, a->isa)))
            return false;
    steps[index] = NULL;
    return true;
}

/* --- writing where it belongs ---------------------------------------------------------------------------- */

/* The step that makes all of `value`, as its output 0, which nothing but one operand reads; -1: none. */
static int sole_maker(const struct absorption *a, struct value *value)
{
    size_t offset;
    struct value *root = value_root(value, &offset);
    const struct traffic *traffic = traffic_of(a, root);
    bool whole = offset == 0 && root->dtype == value->dtype && value_elements(root) == value_elements(value);
    if (!whole || traffic->writers != 1 || traffic->readings != 1)
        return -1;
    return a->segment->steps.steps[traffic->last_writer]->outputs[0] == root ? traffic->last_writer : -1;
}

/* The maker of what the copy at `index` moves writes it there itself. False where it cannot; nothing is changed then.
 */
static bool absorb_into_maker(const struct absorption *a, int index)
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
    steps->steps[maker] = moved;
    steps->steps[index] = NULL;
    return true;
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

static void save(const struct absorption *a)
{
    memcpy(a->before, a->segment->steps.steps, (size_t)a->segment->steps.count * sizeof *a->before);
}

static void restore(const struct absorption *a)
{
    memcpy(a->segment->steps.steps, a->before, (size_t)a->segment->steps.count * sizeof *a->before);
}

/* Whether the steps take no more memory than before. */
static bool keeps_peak(struct absorption *a)
{
    size_t peak = segment_peak(a->segment, 1);
    if (peak > a->peak)
        return false;
    a->peak = peak;
    return true;
}

static bool absorb(struct absorption *a, int index, bool (*how)(const struct absorption *, int))
{
    save(a);
    if (how(a, index) && keeps_peak(a)) {
        count_traffic(a);
        return true;
    }
    restore(a);
    return false;
}

/* All copies of one original from `index` on, at once: it lives longer then, which one copy less may not pay for. */
static bool absorb_siblings(const struct absorption *a, int index)
{
    struct step **steps = a->segment->steps.steps;
    struct value *original = value_root(steps[index]->inputs[0], NULL);
    int absorbed = 0;
    for (int s = index, last = traffic_of(a, original)->last_reader; s <= last; s++) {
        if (!is_copy(steps[s]) || !moves_elements(steps[s]) || value_root(steps[s]->inputs[0], NULL) != original)
            continue;
        if (!absorb_into_readers(a, s))
            return false;
        count_traffic(a);
        absorbed++;
    }
    return absorbed > 1;
}

enum status absorb_copies(struct segment *segment, enum isa isa, struct error *error)
{
    struct step_list *steps = &segment->steps;
    struct absorption a = {.segment = segment,
                           .isa = isa,
                           .peak = segment_peak(segment, 1),
                           .traffic =
                               region_array(steps->region, (size_t)segment->graph->value_count + 1, sizeof *a.traffic),
                           .roots = segment->graph->value_count,
                           .before = region_array(steps->region, (size_t)steps->count + 1, sizeof *a.before)};
    if (!a.traffic || !a.before)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while fusing graph '%s'", segment->graph->name);
    count_traffic(&a);
    for (int s = 0; s < steps->count; s++) {
        if (!is_copy(steps->steps[s]) || !moves_elements(steps->steps[s]))
            continue;
        if (!absorb(&a, s, absorb_into_readers) && !absorb(&a, s, absorb_into_maker) && !absorb(&a, s, absorb_siblings))
            count_traffic(&a); /* siblings count as they go */
    }
    step_list_compact(steps);
    return STATUS_OK;
}
