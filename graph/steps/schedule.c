/* An order of the steps in which fewer bytes are alive at once.
 *
 * The peak of a segment is that of its worst block: the steps between two points where everything in front must be done
 * before anything behind can be. Blocks are taken worst first, until the worst is one that has been. Each is tried in
 * the order that makes nothing before it is needed; then steps trade places with their neighbours as long as that
 * helps; and then it is searched for orders that stay below the best known, depth first through the sets of steps that
 * can be done, each set once. If the search comes to its end, the order is the best there is.
 *
 * One rule keeps the search small: a step that leaves no more bytes alive than there were, and stays within the limit
 * meanwhile, is taken at once. Nothing is lost by it. Take any order within the limit that goes on from here, and move
 * that step to its front: whatever had been done before it, the step would have ended the same values and more, and
 * begun the same or fewer, so at no later point is more alive than was. */
#include "graph/steps/dependencies.h"
#include "graph/steps/passes.h"

#include <string.h>

/* Steps are ordered within stretches of so many, since the table of what comes before what is square. */
#define LONGEST_STRETCH 1024
/* For each step of the segment, so that the time this takes grows with it: how often to look at what a step demands,
 * and how many sets of steps to remember. */
#define MOST_LOOKS 128
#define MOST_SETS 64

/* Steps [begin, end) of the stretch, and the peak of the best order that is known. */
struct block {
    int begin, end;
    size_t peak;
};

struct schedule {
    struct progress progress; /* rests at the end of the stretch */
    size_t *during;           /* by step: bytes alive in the order that was given */
    int *order;               /* of the segment, the best that is known */
    size_t settled;           /* what the peak cannot be brought below */
    int64_t looks;            /* left */

    /* The stretch. What follows numbers steps from its first on. */
    struct dependencies d;
    struct block *blocks;
    int block_count;

    /* The block at hand. */
    const struct block *block;
    bool *placed; /* by step: it is on the path that is being made */
    int *path;    /* its steps in an order that is tried; in a search, as many as are taken */
    size_t limit; /* exchanges: the peak of the path; the search: most bytes alive */

    /* The search. */
    int depth;       /* steps taken */
    uint64_t *ready; /* bit s: not taken, and all before it are */
    int *waiting;    /* by step: those in the block that come before it, of `befores`, and are not taken */
    uint64_t set;    /* stands for the block and the set of steps taken */
    uint64_t *sets;  /* those seen: a hash table that is at most half full */
    size_t set_count, most_sets;
};

static struct demand look(struct schedule *k, int s)
{
    k->looks--;
    return progress_look(&k->progress, k->d.first + s);
}

/* --- blocks ---------------------------------------------------------------------------------------------- */

/* How many of the stretch's first steps come before step s, up to the first that does not. */
static int prefix_before(const struct schedule *k, int s)
{
    int p = 0;
    while (p < s && comes_before(&k->d, p, s))
        p++;
    return p;
}

/* A block begins at a step if from there on each has all in front come before it. */
static bool find_blocks(struct schedule *k)
{
    int end = k->d.count, smallest = k->d.count;
    size_t peak = 0;
    k->blocks = region_array(&k->progress.region, (size_t)k->d.count, sizeof *k->blocks);
    k->block_count = 0;
    if (!k->blocks)
        return false;
    for (int s = k->d.count - 1; s >= 0; s--) {
        int prefix = prefix_before(k, s);
        smallest = prefix < smallest ? prefix : smallest;
        peak = k->during[k->d.first + s] > peak ? k->during[k->d.first + s] : peak;
        if (smallest < s)
            continue;
        k->blocks[k->block_count++] = (struct block){.begin = s, .end = end, .peak = peak};
        end = s;
        peak = 0;
    }
    return true;
}

static struct block *worst_block(const struct schedule *k)
{
    struct block *worst = NULL;
    for (int b = 0; b < k->block_count; b++)
        if (k->blocks[b].peak > (worst ? worst->peak : k->settled))
            worst = &k->blocks[b];
    return worst;
}

/* --- steps taken ----------------------------------------------------------------------------------------- */

/* The finaliser of splitmix64 (Steele, Lea and Flood 2014). Of a set of steps, the numbers of its members, joined by
 * exclusive or, stand for it; two sets that meet in one number could cost an order, never a wrong one. */
static uint64_t number_of(int s)
{
    uint64_t x = ((uint64_t)s + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void flip_ready(struct schedule *k, int s)
{
    k->ready[s / 64] ^= UINT64_C(1) << (s % 64);
}

static void take(struct schedule *k, int s)
{
    progress_take(&k->progress, k->d.first + s);
    k->set ^= number_of(s);
    k->path[k->depth++] = s;
    flip_ready(k, s);
    for (int i = k->d.afters_of[s]; i < k->d.afters_of[s + 1]; i++)
        if (k->d.afters[i] < k->block->end && --k->waiting[k->d.afters[i]] == 0)
            flip_ready(k, k->d.afters[i]);
}

static void go_back(struct schedule *k, int depth)
{
    while (k->depth > depth) {
        int s = k->path[--k->depth];
        for (int i = k->d.afters_of[s]; i < k->d.afters_of[s + 1]; i++)
            if (k->d.afters[i] < k->block->end && k->waiting[k->d.afters[i]]++ == 0)
                flip_ready(k, k->d.afters[i]);
        flip_ready(k, s);
        k->set ^= number_of(s);
        progress_back(&k->progress, k->d.first + s);
    }
}

/* The first step from s on that is ready; the block's end: none. */
static int next_ready(const struct schedule *k, int s)
{
    while (s < k->block->end) {
        uint64_t bits = k->ready[s / 64] >> (s % 64);
        if (bits)
            return s + __builtin_ctzll(bits);
        s = (s / 64 + 1) * 64;
    }
    return k->block->end;
}

/* From the end of the stretch back to the block. */
static void enter_block(struct schedule *k, const struct block *block)
{
    for (int s = k->d.first + k->d.count - 1; s >= k->d.first + block->begin; s--)
        progress_back(&k->progress, s);
    k->block = block;
    k->depth = 0;
    memset(k->ready, 0, (size_t)k->d.words * sizeof *k->ready);
    for (int s = block->begin; s < block->end; s++) {
        k->waiting[s] = 0;
        for (int i = k->d.befores_of[s]; i < k->d.befores_of[s + 1]; i++)
            k->waiting[s] += k->d.befores[i] >= block->begin;
        if (k->waiting[s] == 0)
            flip_ready(k, s);
    }
}

static void leave_block(struct schedule *k)
{
    for (int s = k->d.first + k->block->begin; s < k->d.first + k->d.count; s++)
        progress_take(&k->progress, s);
}

/* Makes what the path holds, all steps of the block, its order, if the peak is lower. No step is taken. */
static void try_path(struct schedule *k, struct block *block)
{
    size_t peak = 0;
    int count = block->end - block->begin;
    while (k->depth < count) {
        struct demand demand = look(k, k->path[k->depth]);
        peak = demand.during > peak ? demand.during : peak;
        take(k, k->path[k->depth]);
    }
    go_back(k, 0);
    if (peak >= block->peak)
        return;
    block->peak = peak;
    for (int i = 0; i < count; i++)
        k->order[k->d.first + block->begin + i] = k->d.first + k->path[i];
}

/* Puts on the path what step s needs and is not there yet, each thing as late as can be, and the step. */
static void put_with_needs(struct schedule *k, int s, int *length)
{
    for (;;) {
        int next = s; /* the first in the given order */
        for (int i = k->d.befores_of[s]; i < k->d.befores_of[s + 1]; i++) {
            int p = k->d.befores[i];
            next = p >= k->block->begin && !k->placed[p] && p < next ? p : next;
        }
        if (next == s)
            break;
        put_with_needs(k, next, length);
    }
    k->placed[s] = true;
    k->path[(*length)++] = s;
}

/* Tries the order that makes nothing before it is needed. */
static void try_late_steps(struct schedule *k, struct block *block)
{
    int length = 0;
    memset(k->placed, 0, (size_t)k->d.count * sizeof *k->placed);
    for (int s = block->begin; s < block->end; s++)
        if (k->d.afters_of[s] == k->d.afters_of[s + 1] || k->d.afters[k->d.afters_of[s]] >= block->end)
            put_with_needs(k, s, &length); /* nothing in the block needs it: afters are in order */
    try_path(k, block);
}

/* --- exchanges ------------------------------------------------------------------------------------------- */

struct cost {
    size_t peak;
    double area; /* sum over the steps of the bytes alive */
};

/* Of the path's steps [from, to). Those in front are taken. */
static struct cost cost_of(struct schedule *k, int from, int to)
{
    struct cost cost = {.peak = 0};
    for (int i = from; i < to; i++) {
        struct demand demand = progress_go(&k->progress, k->d.first + k->path[i]);
        cost.peak = demand.during > cost.peak ? demand.during : cost.peak;
        cost.area += (double)demand.during;
    }
    k->looks -= to - from;
    for (int i = to - 1; i >= from; i--)
        progress_back(&k->progress, k->d.first + k->path[i]);
    return cost;
}

static void reverse(int *path, int from, int to)
{
    for (; from < to - 1; from++, to--) {
        int s = path[from];
        path[from] = path[to - 1];
        path[to - 1] = s;
    }
}

/* Brings the path's peak down somewhere; or, without bringing anything up to it, the sum of bytes alive. */
static bool is_better(const struct schedule *k, struct cost after, struct cost before)
{
    if (before.peak >= k->limit && after.peak != before.peak)
        return after.peak < before.peak;
    return after.area < before.area && (before.peak >= k->limit || after.peak < k->limit);
}

/* Puts steps [middle, to) of the path before [from, middle), none of which they need, if that is better. Those in front
 * are taken. */
static bool exchange(struct schedule *k, int from, int middle, int to)
{
    if (from == middle || middle == to || k->looks <= 0)
        return false;
    struct cost before = cost_of(k, from, to);
    reverse(k->path, from, middle);
    reverse(k->path, middle, to);
    reverse(k->path, from, to);
    if (is_better(k, cost_of(k, from, to), before))
        return true;
    reverse(k->path, from, to);
    reverse(k->path, from, middle);
    reverse(k->path, middle, to);
    return false;
}

/* Moves each step, with those right after it that need it, to the latest place. From all steps taken to none. */
static bool delay_steps(struct schedule *k, int count)
{
    bool changed = false;
    for (int i = count - 1; i >= 0; i--) {
        int middle = i + 1, to;
        progress_back(&k->progress, k->d.first + k->path[i]);
        if (k->looks <= 0)
            continue;
        while (middle < count && comes_before(&k->d, k->path[i], k->path[middle]))
            middle++;
        for (to = middle; to < count && !comes_before(&k->d, k->path[i], k->path[to]);)
            to++;
        changed = exchange(k, i, middle, to) || changed;
    }
    return changed;
}

/* Moves each step, with those right before it that it needs, to the earliest place. From no step taken to all. */
static bool advance_steps(struct schedule *k, int count)
{
    bool changed = false;
    for (int i = 0; i < count; i++) {
        int middle = i, from;
        if (k->looks <= 0) {
            progress_take(&k->progress, k->d.first + k->path[i]);
            continue;
        }
        while (middle > 0 && comes_before(&k->d, k->path[middle - 1], k->path[i]))
            middle--;
        for (from = middle; from > 0 && !comes_before(&k->d, k->path[from - 1], k->path[i]);)
            from--;
        for (int j = i - 1; j >= from; j--)
            progress_back(&k->progress, k->d.first + k->path[j]);
        changed = exchange(k, from, middle, i + 1) || changed;
        for (int j = from; j <= i; j++)
            progress_take(&k->progress, k->d.first + k->path[j]);
    }
    return changed;
}

/* Exchanges what is better exchanged, for at most so many looks. */
static void improve_block(struct schedule *k, struct block *block, int64_t most)
{
    int count = block->end - block->begin;
    int64_t rest = k->looks - most;
    k->looks = most;
    for (int i = 0; i < count; i++)
        k->path[i] = k->order[k->d.first + block->begin + i] - k->d.first;
    for (bool changed = true; changed && k->looks > 0;) {
        k->limit = cost_of(k, 0, count).peak;
        for (int i = 0; i < count; i++)
            progress_take(&k->progress, k->d.first + k->path[i]);
        changed = delay_steps(k, count);
        changed = advance_steps(k, count) || changed;
        for (int i = count - 1; i >= 0; i--)
            progress_back(&k->progress, k->d.first + k->path[i]);
    }
    try_path(k, block);
    k->looks += rest;
}

/* --- the search ------------------------------------------------------------------------------------------ */

/* Remembers the set of steps taken. */
static bool is_new_set(struct schedule *k)
{
    size_t capacity = 2 * k->most_sets, i = k->set % capacity;
    if (k->set_count == k->most_sets)
        return false;
    while (k->sets[i] && k->sets[i] != k->set)
        i = (i + 1) % capacity;
    if (k->sets[i])
        return false;
    k->sets[i] = k->set;
    k->set_count++;
    return true;
}

/* Takes the steps that may be taken at once, and those that may be so after them. */
static void take_free_steps(struct schedule *k)
{
    int depth;
    do {
        depth = k->depth;
        for (int s = next_ready(k, k->block->begin); s < k->block->end; s = next_ready(k, s + 1)) {
            struct demand demand = look(k, s);
            if (demand.after <= k->progress.live && demand.during <= k->limit)
                take(k, s);
        }
    } while (k->depth > depth);
}

/* Of the steps within the limit, the one that leaves the fewest bytes alive comes first. */
struct choice {
    size_t after;
    int step; /* -1: none */
};

static bool follows(struct choice a, struct choice b)
{
    return a.after > b.after || (a.after == b.after && a.step > b.step);
}

static struct choice next_choice(struct schedule *k, struct choice previous)
{
    struct choice best = {.step = -1};
    for (int s = next_ready(k, k->block->begin); s < k->block->end && k->looks > 0; s = next_ready(k, s + 1)) {
        struct demand demand = look(k, s);
        struct choice choice = {demand.after, s};
        if (demand.during <= k->limit && follows(choice, previous) && (best.step < 0 || follows(best, choice)))
            best = choice;
    }
    return best;
}

/* Goes on to the end of the block within the limit; false: no way was found, and no step more than before is taken. */
static bool finish_block(struct schedule *k)
{
    int entered = k->depth;
    take_free_steps(k);
    if (k->depth == k->block->end - k->block->begin)
        return true;
    int depth = k->depth;
    struct choice choice = {.step = -1};
    for (bool go_on = is_new_set(k); go_on && (choice = next_choice(k, choice)).step >= 0;) {
        take(k, choice.step);
        if (finish_block(k))
            return true;
        go_back(k, depth);
    }
    go_back(k, entered);
    return false;
}

static void search_block(struct schedule *k, struct block *block)
{
    while (block->peak > k->settled) {
        k->limit = block->peak - 1;
        k->set = number_of(-2 - (int)k->set_count); /* no search meets the sets of another */
        if (!finish_block(k))
            return;
        go_back(k, 0);
        try_path(k, block);
    }
}

static void order_block(struct schedule *k, struct block *block)
{
    if (k->looks > 0 && block->end - block->begin > 1) {
        enter_block(k, block);
        try_late_steps(k, block);
        improve_block(k, block, k->looks / 2);
        search_block(k, block);
        leave_block(k);
    }
    k->settled = block->peak > k->settled ? block->peak : k->settled;
}

/* --- the segment ----------------------------------------------------------------------------------------- */

/* What stays where it is: a step that tells sizes, or runs other graphs. */
static bool stays(const struct step *step)
{
    for (int i = 0; i < step->output_count; i++)
        if (step->outputs[i] && step->outputs[i]->dims_at_run)
            return true;
    return step->control != NULL;
}

static bool allocate_tables(struct schedule *k)
{
    struct region *region = &k->progress.region;
    size_t steps = (size_t)k->progress.segment->steps.count,
           longest = steps < LONGEST_STRETCH ? steps : LONGEST_STRETCH;
    k->most_sets = longest * MOST_SETS;
    k->looks = (int64_t)steps * MOST_LOOKS;
    k->during = region_array(region, steps, sizeof *k->during);
    k->order = region_array(region, steps, sizeof *k->order);
    k->path = region_array(region, longest, sizeof *k->path);
    k->waiting = region_array(region, longest, sizeof *k->waiting);
    k->ready = region_array(region, longest / 64 + 1, sizeof *k->ready);
    k->placed = region_array(region, longest, sizeof *k->placed);
    k->sets = region_array(region, 2 * k->most_sets, sizeof *k->sets);
    return k->during && k->order && k->path && k->waiting && k->ready && k->placed && k->sets;
}

/* Walks through the segment as it stands, and back; returns its peak. */
static size_t measure(struct schedule *k)
{
    size_t peak = k->settled = k->progress.live;
    for (int s = 0; s < k->progress.segment->steps.count; s++) {
        k->during[s] = progress_look(&k->progress, s).during;
        k->order[s] = s;
        peak = k->during[s] > peak ? k->during[s] : peak;
        if (stays(k->progress.segment->steps.steps[s]) && k->during[s] > k->settled)
            k->settled = k->during[s];
        progress_take(&k->progress, s);
    }
    for (int s = k->progress.segment->steps.count - 1; s >= 0; s--)
        progress_back(&k->progress, s);
    return peak;
}

/* The steps from `first` on that may change places. */
static int stretch_from(const struct step_list *steps, int first)
{
    int count = 0;
    while (count < LONGEST_STRETCH && first + count < steps->count && !stays(steps->steps[first + count]))
        count++;
    return count;
}

/* Puts the steps in the order that was found, in an array of the segment's region. */
static bool reorder(struct schedule *k, struct step_list *steps)
{
    struct step **ordered = region_array(steps->region, (size_t)steps->count, sizeof *ordered);
    if (!ordered)
        return false;
    for (int s = 0; s < steps->count; s++)
        ordered[s] = steps->steps[k->order[s]];
    steps->steps = ordered;
    steps->capacity = steps->count;
    return true;
}

static bool lower_peak(struct schedule *k, struct step_list *steps)
{
    if (!allocate_tables(k))
        return false;
    size_t peak = measure(k);
    for (int first = 0, count; first < steps->count; first += count ? count : 1) {
        count = stretch_from(steps, first);
        for (int s = first; s < first + (count ? count : 1); s++)
            progress_take(&k->progress, s);
        if (count == 0)
            continue;
        if (!find_dependencies(&k->progress, first, count, &k->d) || !find_blocks(k))
            return false;
        for (struct block *block; (block = worst_block(k));)
            order_block(k, block);
    }
    return k->settled == peak || reorder(k, steps);
}

enum status schedule_steps(struct segment *segment, int threads, struct error *error)
{
    struct schedule k = {.looks = 0};
    bool done = progress_begin(&k.progress, segment, threads);
    if (done) {
        done = segment->steps.count == 0 || !k.progress.fits || lower_peak(&k, &segment->steps);
        progress_end(&k.progress);
    }
    return done ? STATUS_OK
                : error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while ordering the steps of graph '%s'",
                            segment->graph->name);
}
