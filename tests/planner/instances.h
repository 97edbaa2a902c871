/* Hard instances whose least height is known: a full rectangle of time and memory, cut into buffers. */
#ifndef INFER_TESTS_PLANNER_INSTANCES_H
#define INFER_TESTS_PLANNER_INSTANCES_H

#include "graph/planner/planner.h"

/* SplitMix64 (Steele, Lea, Flood 2014): every instance comes from its seed alone. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t below(uint64_t *state, uint64_t limit)
{
    return next_random(state) % limit;
}

enum { MOST_PIECES = 460, FAMILIES = 5 };

struct piece {
    int64_t start, end; /* time */
    int64_t low, high;  /* memory, in units */
};

/* Somewhere inside, seldom close to an end. */
static inline int64_t cut_between(uint64_t *state, int64_t low, int64_t high)
{
    int64_t margin = below(state, 3) ? (high - low) / 5 : 0;
    int64_t room = high - low - 1 - 2 * margin;
    return low + 1 + margin + (room > 1 ? (int64_t)below(state, (uint64_t)room) : 0);
}

/* Cuts pieces[i] in time or in memory. */
static inline size_t cut_in_two(uint64_t *state, struct piece *pieces, size_t count, size_t i, bool in_time)
{
    struct piece *piece = &pieces[i], *other = &pieces[count];
    *other = *piece;
    if (in_time)
        piece->end = other->start = cut_between(state, piece->start, piece->end);
    else
        piece->high = other->low = cut_between(state, piece->low, piece->high);
    return count + 1;
}

/* Five pieces around a middle: what no series of straight cuts gives. */
static inline size_t cut_pinwheel(uint64_t *state, struct piece *pieces, size_t count, size_t i)
{
    struct piece whole = pieces[i];
    int64_t t = cut_between(state, whole.start, whole.end - 1), u = cut_between(state, t, whole.end);
    int64_t m = cut_between(state, whole.low, whole.high - 1), n = cut_between(state, m, whole.high);
    pieces[i] = (struct piece){t, u, m, n};
    pieces[count] = (struct piece){whole.start, u, whole.low, m};
    pieces[count + 1] = (struct piece){u, whole.end, whole.low, n};
    pieces[count + 2] = (struct piece){t, whole.end, n, whole.high};
    pieces[count + 3] = (struct piece){whole.start, t, m, whole.high};
    return count + 4;
}

static inline size_t largest_of_some(uint64_t *state, const struct piece *pieces, size_t count, int64_t time_weight)
{
    size_t best = below(state, count);
    for (int tries = 0; tries < 4; tries++) {
        size_t i = below(state, count);
        const struct piece *a = &pieces[i], *b = &pieces[best];
        if ((a->end - a->start + time_weight) * (a->high - a->low) >
            (b->end - b->start + time_weight) * (b->high - b->low))
            best = i;
    }
    return best;
}

static inline size_t cut_rectangle(uint64_t *state, struct piece *pieces, size_t wanted, int64_t steps, int64_t units,
                                   uint64_t pinwheels, uint64_t time_cuts)
{
    pieces[0] = (struct piece){0, steps, 0, units};
    size_t count = 1;
    for (size_t tries = 0; count + 4 < wanted && tries < wanted * 50; tries++) {
        size_t i = largest_of_some(state, pieces, count, steps / 50);
        const struct piece *piece = &pieces[i];
        int64_t life = piece->end - piece->start, size = piece->high - piece->low;
        if (life >= 5 && size >= 5 && below(state, 100) < pinwheels) {
            count = cut_pinwheel(state, pieces, count, i);
            continue;
        }
        bool in_time = below(state, 100) < time_cuts;
        if ((in_time ? life : size) >= 2)
            count = cut_in_two(state, pieces, count, i, in_time);
    }
    return count;
}

/* Shrinks some pieces that do not live at `tight`, where the load stays full. */
static inline void loosen(uint64_t *state, struct piece *pieces, size_t count, int64_t tight, uint64_t percent)
{
    for (size_t i = 0; i < count; i++) {
        struct piece *piece = &pieces[i];
        if (below(state, 100) >= percent || (piece->start <= tight && tight < piece->end))
            continue;
        int64_t life = piece->end - piece->start, size = piece->high - piece->low;
        if (below(state, 2) && size > 1)
            piece->high -= 1 + (int64_t)below(state, (uint64_t)(size + 1) / 2);
        else if (life > 1)
            piece->end -= 1 + (int64_t)below(state, (uint64_t)(life + 1) / 2);
    }
}

/* Writes 150 to 450 buffers whose least height is *height. */
static inline size_t cut_instance(uint64_t seed, struct buffer *buffers, size_t *height)
{
    static const struct {
        int64_t steps, units, unit;
        uint64_t pinwheels, time_cuts, loose;
    } families[FAMILIES] = {
        {1000, 100000, 7, 10, 55, 0}, /* hardly two ends coincide */
        {100, 1024, 1024, 10, 60, 0}, /* few steps, sizes on a grid */
        {200, 1024, 1024, 10, 50, 2}, /* a little slack */
        {300, 4096, 256, 15, 60, 12}, /* slack in most steps */
        {60, 512, 2048, 5, 65, 5},    /* steps like layers: many buffers begin and end together */
    };
    struct piece pieces[MOST_PIECES];
    uint64_t state = seed * 1000003 + 17;
    size_t family = seed % FAMILIES, wanted = 154 + below(&state, 300);
    size_t count = cut_rectangle(&state, pieces, wanted, families[family].steps, families[family].units,
                                 families[family].pinwheels, families[family].time_cuts);
    loosen(&state, pieces, count, (int64_t)below(&state, (uint64_t)families[family].steps), families[family].loose);
    for (size_t i = 0; i < count; i++) {
        size_t j = below(&state, i + 1);
        buffers[i] = buffers[j];
        buffers[j] =
            (struct buffer){pieces[i].start, pieces[i].end,
                            (size_t)((pieces[i].high - pieces[i].low) * families[family].unit), 1, PLANNER_FREE};
    }
    *height = (size_t)(families[family].units * families[family].unit);
    return count;
}

#endif
