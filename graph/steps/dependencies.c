#include "graph/steps/dependencies.h"

#include "graph/op.h"

#include <string.h>

/* The touches so far of each root of the stretch, chained from `latest` back. They are counted from 1 on, and 0 ends a
 * chain. */
struct chains {
    int *earlier; /* by touch */
    int *step;    /* by touch: whose it is */
    int capacity; /* of befores */
};

/* Whether two steps that touch a root must keep their order. A reader and a writer do. Writers of parts of one value do
 * not; but some of it may be written twice, such as what lies outside an image. */
static bool keep_order(const struct dependencies *d, const struct touch *a, const struct touch *b)
{
    if ((a->writes && b->reads) || (a->reads && b->writes))
        return true;
    return a->writes && b->writes && !d->once[a->root];
}

/* Which roots have no byte written twice: since all of a value is written, no part overlaps another if they are no more
 * together than the whole. */
static bool find_written_once(struct progress *progress, struct dependencies *d)
{
    const struct segment *segment = progress->segment;
    const struct graph *graph = segment->graph;
    size_t values = (size_t)graph->value_count;
    size_t *written = region_array(&progress->region, values, sizeof *written);
    d->once = region_array(&progress->region, values, sizeof *d->once);
    if (!written || !d->once)
        return false;
    for (int s = 0; s < segment->steps.count; s++) {
        const struct step *step = segment->steps.steps[s];
        for (int i = 0; i < step->output_count; i++)
            if (step->outputs[i] && step->outputs[i]->rank >= 0)
                written[value_root(step->outputs[i], NULL)->id] += step_bytes_written(step, i);
    }
    for (int i = 0; i < graph->value_count; i++)
        d->once[i] = graph->values[i]->rank >= 0 && written[i] <= value_bytes(graph->values[i]);
    return true;
}

static bool append_before(struct progress *progress, struct dependencies *d, struct chains *chains, int p)
{
    int *count = &d->befores_of[d->count];
    if (*count == chains->capacity) {
        int larger = chains->capacity ? chains->capacity * 2 : 256;
        int *array = region_array(&progress->region, (size_t)larger, sizeof *array);
        if (!array)
            return false;
        if (*count)
            memcpy(array, d->befores, (size_t)*count * sizeof *array);
        d->befores = array;
        chains->capacity = larger;
    }
    d->befores[(*count)++] = p;
    return true;
}

/* p comes before s, and so does all that comes before p. */
static bool put_before(struct progress *progress, struct dependencies *d, struct chains *chains, int p, int s)
{
    uint64_t *row = d->before + (size_t)s * (size_t)d->words;
    const uint64_t *other = d->before + (size_t)p * (size_t)d->words;
    if (comes_before(d, p, s))
        return true;
    for (int i = 0; i < d->words; i++)
        row[i] |= other[i];
    row[p / 64] |= UINT64_C(1) << (p % 64);
    return append_before(progress, d, chains, p);
}

/* Puts before step s those it must follow for its touch t. */
static bool follow_chain(struct progress *progress, struct dependencies *d, struct chains *chains, int s, int t)
{
    const struct touch *touch = &progress->touches[t], *touches = progress->touches + progress->touches_of[d->first];
    int place = (int)(touch - touches) + 1;
    for (int e = d->latest[touch->root]; e > 0; e = chains->earlier[e])
        if (keep_order(d, &touches[e - 1], touch) && !put_before(progress, d, chains, chains->step[e], s))
            return false;
    chains->step[place] = s;
    chains->earlier[place] = d->latest[touch->root];
    d->latest[touch->root] = place;
    return true;
}

/* The same pairs by the step that comes first. */
static bool turn_around(struct progress *progress, struct dependencies *d)
{
    int pairs = d->befores_of[d->count];
    d->afters_of = region_array(&progress->region, (size_t)d->count + 2, sizeof *d->afters_of);
    d->afters = region_array(&progress->region, (size_t)pairs, sizeof *d->afters);
    if (!d->afters_of || !d->afters)
        return false;
    for (int i = 0; i < pairs; i++)
        d->afters_of[d->befores[i] + 2]++;
    for (int s = 1; s <= d->count; s++)
        d->afters_of[s + 1] += d->afters_of[s];
    /* While they are filled in, the entry after a step's own says where its next goes: in the end, where the next
     * step's begin. */
    for (int s = 0; s < d->count; s++)
        for (int i = d->befores_of[s]; i < d->befores_of[s + 1]; i++)
            d->afters[d->afters_of[d->befores[i] + 1]++] = s;
    return true;
}

static bool begin_stretch(struct progress *progress, int first, int count, struct dependencies *d)
{
    struct region *region = &progress->region;
    if (!d->once && !find_written_once(progress, d))
        return false;
    if (!d->latest)
        d->latest = region_array(region, (size_t)progress->segment->graph->value_count, sizeof *d->latest);
    *d = (struct dependencies){
        .latest = d->latest, .once = d->once, .first = first, .count = count, .words = (count + 63) / 64};
    d->before = region_array(region, (size_t)count * (size_t)d->words, sizeof *d->before);
    d->befores_of = region_array(region, (size_t)count + 1, sizeof *d->befores_of);
    return d->latest && d->before && d->befores_of;
}

static bool find_befores(struct progress *progress, struct dependencies *d)
{
    const struct touch *touches = progress->touches;
    const int *touches_of = progress->touches_of + d->first;
    size_t most = (size_t)(touches_of[d->count] - touches_of[0]) + 1;
    struct chains chains = {.earlier = region_array(&progress->region, most, sizeof(int)),
                            .step = region_array(&progress->region, most, sizeof(int))};
    int random = -1; /* the latest step that draws random numbers: they all draw from one sequence */
    if (!chains.earlier || !chains.step)
        return false;
    for (int s = 0; s < d->count; s++) {
        d->befores_of[s] = d->befores_of[d->count];
        for (int t = touches_of[s]; t < touches_of[s + 1]; t++)
            if (progress->lives[touches[t].root].first != NOT_HERE && /* else no step writes it */
                !follow_chain(progress, d, &chains, s, t))
                return false;
        if (!(progress->segment->steps.steps[d->first + s]->node->op->flags & OP_RANDOM))
            continue;
        if (random >= 0 && !put_before(progress, d, &chains, random, s))
            return false;
        random = s;
    }
    for (int t = touches_of[0]; t < touches_of[d->count]; t++)
        d->latest[touches[t].root] = 0;
    return true;
}

bool find_dependencies(struct progress *progress, int first, int count, struct dependencies *d)
{
    return begin_stretch(progress, first, count, d) && find_befores(progress, d) && turn_around(progress, d);
}
