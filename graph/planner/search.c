/* Depth-first search from the bottom up. Two ideas keep it small.
 *
 * Valleys. Look at the floors of all sections as a skyline. In a valley (a run of sections at one floor between higher
 * walls) take the first section, or the last: what lies next on it either rests on the floor, and then it begins at the
 * wall and fits between the walls, or there is a gap, and its least height is known. That is all that can happen, so
 * each arrangement is met once, dead ends show early (nothing fits, and the section has no room for a gap), and a
 * choice of one is no choice. Only plans that cannot be improved by moving one item down are looked for, as in
 * MiniMalloc's canonical solutions (Moffitt, ASPLOS 2023, doi 10.1145/3623278.3624752).
 *
 * Ranges. A refutation looks at some range of sections, and holds wherever floors and unplaced items in that range are
 * the same. So a choice that touched nothing there cannot have been at fault and is not tried otherwise, and the state
 * of the range is remembered, to be known again whatever happens elsewhere. */
#include "graph/planner/search.h"

#include <string.h>

#define DEEPEST 3000 /* choices made one after another */
#define FRAMES_AT_ONCE 64
#define MOST_BLOCKS ((2 * DEEPEST + MOST_ITEMS) / FRAMES_AT_ONCE + 1) /* regions around each choice and hung item */
#define MOST_ITEMS 2000
#define MOST_LIVES ((size_t)1 << 22)
#define HINTS 4

/* Sections first <= s < last. */
struct range {
    uint32_t first, last;
};

/* The ranges of the latest refutations that began at a section. */
struct hints {
    struct range ranges[HINTS];
};

struct fingerprint {
    uint64_t a, b;
};

struct valley {
    uint32_t first, last;
    uint64_t floor;
    uint64_t left, right; /* floors of the walls; UINT64_MAX where nothing crosses the end */
    struct range seen;    /* the valley and its walls */
};

struct branch {
    struct valley valley;
    bool at_end;      /* the section is the valley's last, not its first */
    uint32_t section; /* whose next item is chosen */
    uint64_t gap_to;  /* raise the floor to this if nothing rests on it; 0: no room for that */
    uint32_t options;
};

static struct range join(struct range a, struct range b)
{
    return (struct range){a.first < b.first ? a.first : b.first, a.last > b.last ? a.last : b.last};
}

static void miss(struct search *search, uint64_t height)
{
    search->missing = height < search->missing ? height : search->missing;
}

static bool is_inside(const struct search *search, uint32_t i, const struct valley *valley)
{
    const struct item *item = &search->state.items[i];
    return !is_placed(&search->state, i) && valley->first <= item->lower && item->upper <= valley->last;
}

/* Up to the lower wall a section holds only items that live inside the valley, and waste. */
static bool can_fill(struct search *search, const struct valley *valley)
{
    uint64_t wall = valley->left < valley->right ? valley->left : valley->right;
    if (wall == UINT64_MAX)
        return true;
    const struct section *sections = search->state.sections;
    memset(search->cover + valley->first, 0, (valley->last - valley->first + 1) * sizeof *search->cover);
    for (uint32_t i = sections[valley->first].first_start; i < sections[valley->last].first_start; i++)
        if (is_inside(search, i, valley)) {
            search->cover[search->state.items[i].lower] += search->state.items[i].size;
            search->cover[search->state.items[i].upper] -= search->state.items[i].size;
        }
    uint64_t inside = 0, depth = wall - valley->floor;
    for (uint32_t s = valley->first; s < valley->last; s++) {
        inside += search->cover[s];
        if (inside < depth && depth - inside > slack(&sections[s])) {
            miss(search, depth - inside - slack(&sections[s]));
            return false;
        }
    }
    return true;
}

/* The least offset of the section's next item if it does not rest on the floor: on the lower wall, where it crosses
 * one; or, inside the valley, on an item that rests on the floor beside the section; or where it is fixed. */
static uint64_t gap_level(const struct search *search, const struct valley *valley, uint32_t section)
{
    const struct section *sections = search->state.sections;
    uint64_t level = valley->left < valley->right ? valley->left : valley->right;
    uint64_t smallest = UINT64_MAX;
    bool held = false;
    for (uint32_t i = sections[valley->first].first_start; i < sections[valley->last].first_start; i++) {
        const struct item *item = &search->state.items[i];
        if (!is_inside(search, i, valley))
            continue;
        if (item->lower <= section && section < item->upper) {
            held = true;
            if (item->fixed != NOWHERE && item->fixed > valley->floor && item->fixed < level)
                level = item->fixed;
        } else if (item->size < smallest)
            smallest = item->size;
    }
    if (held && smallest != UINT64_MAX && valley->floor + smallest < level)
        level = valley->floor + smallest;
    return level;
}

/* The items that may rest on the floor at one end of the valley: candidate n of [first, last). */
struct candidates {
    uint32_t first, last;
    const uint32_t *list; /* NULL: the items themselves */
};

static struct candidates candidates_of(const struct search *search, const struct valley *valley, bool at_end)
{
    const struct section *sections = search->state.sections;
    if (at_end)
        return (struct candidates){sections[valley->last].first_end, sections[valley->last + 1].first_end,
                                   search->state.ending};
    return (struct candidates){sections[valley->first].first_start, sections[valley->first + 1].first_start, NULL};
}

static struct branch branch_at(struct search *search, const struct valley *valley, bool at_end)
{
    struct branch branch = {*valley, at_end, at_end ? valley->last - 1 : valley->first, 0, 0};
    struct candidates candidates = candidates_of(search, valley, at_end);
    for (uint32_t n = candidates.first; n < candidates.last; n++)
        branch.options += is_inside(search, candidates.list ? candidates.list[n] : n, valley);
    uint64_t room = slack(&search->state.sections[branch.section]);
    if (room == 0 && branch.options > 1)
        return branch; /* the usual case in a full plan; descend() accounts for what is missing if it is chosen */
    uint64_t level = gap_level(search, valley, branch.section);
    if (level != UINT64_MAX && level - valley->floor <= room) {
        branch.gap_to = level;
        branch.options++;
    }
    return branch;
}

/* Nothing to choose comes first: dead ends, then single options. Else low valleys, which keeps the skyline even. */
static bool is_better(const struct branch *branch, const struct branch *best)
{
    if (branch->options <= 1 || best->options <= 1)
        return branch->options < best->options;
    if (branch->valley.floor != best->valley.floor)
        return branch->valley.floor < best->valley.floor;
    return branch->options < best->options;
}

/* False where some valley of the region cannot be filled; `seen` says which. */
static bool choose_branch(struct search *search, uint32_t first, uint32_t last, struct branch *best, struct range *seen)
{
    const struct section *sections = search->state.sections;
    best->options = UINT32_MAX;
    best->valley = (struct valley){.floor = UINT64_MAX};
    for (uint32_t a = first, b; a < last; a = b) {
        for (b = a + 1; b < last && sections[b].floor == sections[a].floor;)
            b++;
        bool left = a > first, right = b < last;
        struct valley valley = {.first = a,
                                .last = b,
                                .floor = sections[a].floor,
                                .left = left ? sections[a - 1].floor : UINT64_MAX,
                                .right = right ? sections[b].floor : UINT64_MAX,
                                .seen = {a - left, b + right}};
        if (valley.left < valley.floor || valley.right < valley.floor)
            continue;
        *seen = valley.seen;
        if (!can_fill(search, &valley))
            return false;
        for (int at_end = 0; at_end < 2; at_end++) {
            struct branch branch = branch_at(search, &valley, at_end);
            if (is_better(&branch, best))
                *best = branch;
        }
    }
    *seen = best->valley.seen;
    return true;
}

/* Items that leave fewer corners in the skyline gain. */
static uint64_t score(const struct search *search, const struct valley *valley, uint32_t i)
{
    const struct item *item = &search->state.items[i];
    uint64_t score = search->priority[i], end = valley->floor + item->size;
    bool at_left = item->lower == valley->first, at_right = item->upper == valley->last;
    if (at_left && at_right)
        score += score / 2;
    for (int side = 0; side < 2; side++) {
        uint64_t wall = side ? valley->right : valley->left;
        if (!(side ? at_right : at_left))
            continue;
        if (end == wall)
            score += score / 2;
        else if (end > wall)
            score -= score / 3;
    }
    return score;
}

static bool are_alike(const struct item *a, const struct item *b)
{
    return a->lower == b->lower && a->upper == b->upper && a->size == b->size && a->alignment == b->alignment &&
           a->fixed == b->fixed;
}

/* Pushes the branch's items on the stack of choices, best first, one of those that are alike. NOBODY: the stack is
 * full. */
static uint32_t gather(struct search *search, const struct branch *branch)
{
    struct candidates candidates = candidates_of(search, &branch->valley, branch->at_end);
    uint32_t *choices = search->choices + search->choices_used;
    uint32_t count = 0, before = NOBODY;
    if (candidates.last - candidates.first > search->choices_size - search->choices_used)
        return NOBODY;
    for (uint32_t n = candidates.first; n < candidates.last; n++) {
        uint32_t i = candidates.list ? candidates.list[n] : n;
        if (!is_inside(search, i, &branch->valley))
            continue;
        if (before != NOBODY && are_alike(&search->state.items[i], &search->state.items[before]))
            continue;
        before = i;
        uint64_t own = score(search, &branch->valley, i);
        uint32_t at = count++;
        for (; at > 0 && score(search, &branch->valley, choices[at - 1]) < own; at--)
            choices[at] = choices[at - 1];
        choices[at] = i;
    }
    search->choices_used += count;
    return count;
}

static struct fingerprint fingerprint_of(const struct search *search, struct range range)
{
    struct fingerprint print = {range.first * 0x9e3779b97f4a7c15u + range.last, range.last};
    for (uint32_t s = range.first; s < range.last; s++) {
        const struct section *section = &search->state.sections[s];
        uint64_t v = section->floor + section->unplaced;
        uint64_t w = section->floor - section->top + (section->ceiling << 20) + section->unplaced * 3;
        print.a = (print.a ^ v) * 0xbf58476d1ce4e5b9u;
        print.a = (print.a ^ (print.a >> 29)) + w;
        print.b = (print.b ^ w) * 0x94d049bb133111ebu;
        print.b = (print.b ^ (print.b >> 31)) + v;
    }
    return (struct fingerprint){scramble(print.a), scramble(print.b)};
}

static bool is_known(const struct search *search, uint32_t section, uint32_t first, uint32_t last, struct range *seen)
{
    for (int h = 0; h < HINTS; h++) {
        struct range range = search->hints[section].ranges[h];
        if (range.first >= range.last || range.first < first || last < range.last)
            continue;
        struct fingerprint print = fingerprint_of(search, range);
        const struct fingerprint *known = &search->known[print.a & search->known_mask];
        if (known->a == print.a && known->b == print.b) {
            *seen = range;
            return true;
        }
    }
    return false;
}

static void learn(struct search *search, uint32_t section, struct range range)
{
    struct fingerprint print = fingerprint_of(search, range);
    search->known[print.a & search->known_mask] = print;
    struct range *ranges = search->hints[section].ranges;
    int h = 0;
    while (h < HINTS - 1 && (ranges[h].first != range.first || ranges[h].last != range.last))
        h++;
    for (; h > 0; h--)
        ranges[h] = ranges[h - 1];
    ranges[0] = range;
}

/* An item that could be moved down a little belongs to another plan. */
static bool is_supported(const struct search *search, const struct item *item, uint64_t offset)
{
    if (offset == 0 || item->fixed != NOWHERE)
        return true;
    for (uint32_t s = item->lower; s < item->upper; s++)
        if (align_up(search->state.sections[s].top, item->alignment) == offset)
            return true;
    return false;
}

/* So does a plan with a gap into which an unplaced item could be moved down. */
static bool leaves_room(const struct search *search, uint32_t placing, uint64_t offset)
{
    const struct item *item = &search->state.items[placing];
    const struct section *sections = search->state.sections;
    bool gap = false;
    for (uint32_t s = item->lower; s < item->upper && !gap; s++)
        gap = sections[s].top < offset;
    for (uint32_t i = sections[item->lower].first_start; gap && i < sections[item->upper].first_start; i++) {
        const struct item *other = &search->state.items[i];
        if (i == placing || is_placed(&search->state, i) || other->upper > item->upper || other->fixed != NOWHERE)
            continue;
        uint64_t top = 0;
        for (uint32_t s = other->lower; s < other->upper; s++)
            top = sections[s].top > top ? sections[s].top : top;
        if (align_up(top, other->alignment) + other->size <= offset)
            return true;
    }
    return false;
}

/* Where the item goes in the valley; NOWHERE if it may not. */
static uint64_t offset_in(struct search *search, uint32_t i, const struct valley *valley)
{
    const struct item *item = &search->state.items[i];
    uint64_t offset = align_up(valley->floor, item->alignment);
    if (item->fixed != NOWHERE && item->fixed != offset)
        return NOWHERE;
    for (uint32_t s = item->lower; s < item->upper; s++) {
        uint64_t room = slack(&search->state.sections[s]);
        if (offset - valley->floor > room) {
            miss(search, offset - valley->floor - room);
            return NOWHERE;
        }
    }
    return is_supported(search, item, offset) && !leaves_room(search, i, offset) ? offset : NOWHERE;
}

/* --- the descent ----------------------------------------------------------------------------------------- */

/* The search goes as deep as a plan has items, so its frames lie in the region, not on the caller's stack. There are
 * two kinds. One completes the plan in a stretch of sections region by region: regions share nothing, so one that fails
 * is not helped by another plan of its neighbour. The other completes it in one region, sections where something is
 * left to place, tied by what crosses from one to the next: by a choice, and what follows from it. */
enum frame_kind { REGIONS, CHOICE };

/* What a frame has come to, beside the outcomes of a search: the one above it has to end first. */
#define WAITING ((enum outcome)(EXHAUSTED + 1))

struct frame {
    enum frame_kind kind;
    struct range range;
    struct range seen; /* where it is REFUTED: what shows it */
    bool waits;        /* for the frame above */
    /* Of regions. */
    struct range region; /* the one under way */
    bool hung;
    /* Of a choice. */
    struct branch branch;
    bool chooses, in_gap;
    size_t choices;       /* where its options begin */
    uint32_t count, next; /* of the options: how many, and which comes next */
    size_t mark;          /* of the trail, before the option under way */
    struct range touched; /* by it */
};

struct frame_block {
    struct frame frames[FRAMES_AT_ONCE];
};

struct frames {
    struct region *region;
    struct frame_block *blocks[MOST_BLOCKS]; /* made when they are first reached */
    uint32_t used, blocks_made;
    struct range seen; /* of the frame that ended last */
};

static struct frame *frame_at(const struct frames *frames, uint32_t index)
{
    return &frames->blocks[index / FRAMES_AT_ONCE]->frames[index % FRAMES_AT_ONCE];
}

/* False: no memory. */
static bool push(struct search *search, enum frame_kind kind, uint32_t first, uint32_t last)
{
    struct frames *frames = search->frames;
    uint32_t block = frames->used / FRAMES_AT_ONCE;
    if (block == frames->blocks_made) {
        if (block == MOST_BLOCKS)
            return false;
        frames->blocks[block] = region_buffer(frames->region, sizeof *frames->blocks[block]);
        if (!frames->blocks[block])
            return false;
        frames->blocks_made++;
    }
    struct frame *frame = frame_at(frames, frames->used++);
    *frame = (struct frame){.range = {first, last}, .region = {first, first}};
    frame->kind = kind;
    return true;
}

static enum outcome wait_for(struct search *search, struct frame *frame, enum frame_kind kind, uint32_t first,
                             uint32_t last)
{
    frame->waits = true;
    return push(search, kind, first, last) ? WAITING : EXHAUSTED;
}

static bool hang_spanning(struct search *search, uint32_t first, uint32_t last)
{
    bool hung = false;
    const struct section *sections = search->state.sections;
    for (uint32_t i = sections[first].first_start; search->uniform && i < sections[first + 1].first_start; i++)
        if (!is_placed(&search->state, i) && search->state.items[i].upper == last) {
            state_hang(&search->state, i);
            hung = true;
        }
    return hung;
}

static enum outcome go_on_regions(struct search *search, struct frame *frame, enum outcome above)
{
    const struct section *sections = search->state.sections;
    if (frame->waits) {
        /* That the item may hang depends on the whole region. */
        frame->seen = frame->hung ? frame->region : search->frames->seen;
        if (above != FOUND)
            return above;
    }
    uint32_t a = frame->region.last, b, last = frame->range.last;
    while (a < last && sections[a].remaining == 0)
        a++;
    if (a == last)
        return FOUND;
    for (b = a + 1; b < last && sections[b].crossing > 0;)
        b++;
    frame->region = (struct range){a, b};
    frame->hung = hang_spanning(search, a, b);
    return wait_for(search, frame, frame->hung ? REGIONS : CHOICE, a, b);
}

/* Tries an item at an offset, or (NOBODY) a gap up to it. */
static enum outcome try_option(struct search *search, struct frame *frame, uint32_t item, uint64_t offset)
{
    if (++search->nodes > search->limit)
        return EXHAUSTED;
    frame->mark = search->state.trail_used;
    frame->in_gap = item == NOBODY;
    if (frame->in_gap) {
        frame->touched = (struct range){frame->branch.section, frame->branch.section + 1};
        state_raise(&search->state, frame->branch.section, offset);
    } else {
        frame->touched = (struct range){search->state.items[item].lower, search->state.items[item].upper};
        state_put(&search->state, item, offset);
    }
    enum outcome outcome =
        wait_for(search, frame, frame->in_gap ? CHOICE : REGIONS, frame->range.first, frame->range.last);
    if (outcome == EXHAUSTED)
        state_undo(&search->state, frame->mark);
    return outcome;
}

static enum outcome end_choice(struct search *search, const struct frame *frame, enum outcome outcome)
{
    search->choices_used = frame->choices;
    search->depth--;
    if (outcome == REFUTED && frame->chooses)
        learn(search, frame->branch.section, frame->seen);
    return outcome;
}

static enum outcome try_next(struct search *search, struct frame *frame)
{
    enum outcome outcome = REFUTED;
    while (frame->next < frame->count && outcome == REFUTED) {
        uint32_t item = search->choices[frame->choices + frame->next++];
        uint64_t offset = offset_in(search, item, &frame->branch.valley);
        if (offset != NOWHERE)
            outcome = try_option(search, frame, item, offset);
    }
    search->choices_used = outcome == WAITING ? search->choices_used : frame->choices;
    if (outcome == REFUTED && frame->branch.gap_to && !frame->in_gap)
        outcome = try_option(search, frame, NOBODY, frame->branch.gap_to);
    return outcome == WAITING ? WAITING : end_choice(search, frame, outcome);
}

static enum outcome begin_choice(struct search *search, struct frame *frame)
{
    uint32_t first = frame->range.first, last = frame->range.last;
    struct branch *branch = &frame->branch;
    if (!choose_branch(search, first, last, branch, &frame->seen))
        return REFUTED;
    frame->chooses = branch->options > 1;
    if (frame->chooses && is_known(search, branch->section, first, last, &frame->seen))
        return REFUTED;
    if (search->depth == DEEPEST)
        return EXHAUSTED;
    if (!branch->gap_to) {
        uint64_t level = gap_level(search, &branch->valley, branch->section);
        if (level != UINT64_MAX)
            miss(search, level - branch->valley.floor - slack(&search->state.sections[branch->section]));
    }
    search->depth++;
    frame->choices = search->choices_used;
    frame->count = gather(search, branch);
    return frame->count == NOBODY ? end_choice(search, frame, EXHAUSTED) : try_next(search, frame);
}

/* A refutation that did not look at what the option touched holds without the option too: then no other is tried. */
static enum outcome go_on_choice(struct search *search, struct frame *frame, enum outcome above)
{
    if (!frame->waits)
        return begin_choice(search, frame);
    if (above != FOUND)
        state_undo(&search->state, frame->mark);
    if (above != REFUTED)
        return end_choice(search, frame, above);
    struct range below = search->frames->seen;
    bool at_fault = below.first < frame->touched.last && frame->touched.first < below.last;
    frame->seen = at_fault ? join(frame->seen, below) : below;
    return at_fault ? try_next(search, frame) : end_choice(search, frame, REFUTED);
}

/* Completes the plan in sections first <= s < last. */
static enum outcome solve(struct search *search, uint32_t first, uint32_t last)
{
    struct frames *frames = search->frames;
    enum outcome outcome = FOUND;
    frames->used = 0;
    if (!push(search, REGIONS, first, last))
        return EXHAUSTED;
    while (frames->used > 0) {
        struct frame *frame = frame_at(frames, frames->used - 1);
        enum outcome now =
            frame->kind == REGIONS ? go_on_regions(search, frame, outcome) : go_on_choice(search, frame, outcome);
        if (now == WAITING)
            continue;
        outcome = now;
        frames->seen = frame->seen;
        frames->used--;
    }
    return outcome;
}

static size_t table_entries(uint64_t nodes)
{
    size_t entries = 256;
    while (entries < nodes && entries < ((size_t)1 << 20))
        entries *= 2;
    return entries;
}

bool search_can(const struct component *component)
{
    size_t lives = 0;
    for (uint32_t i = 0; i < component->count && lives <= MOST_LIVES; i++)
        lives += component->items[i].upper - component->items[i].lower;
    return component->count <= MOST_ITEMS && lives <= MOST_LIVES;
}

enum status search_make(struct search *search, const struct component *component, uint64_t nodes,
                        struct region *scratch)
{
    size_t entries = table_entries(nodes), count = component->count;
    *search = (struct search){
        .missing = UINT64_MAX,
        .uniform = true,
        .priority = region_array(scratch, count, sizeof *search->priority),
        .cover = region_array(scratch, (size_t)component->sections + 1, sizeof *search->cover),
        .choices_size = count * 64,
        .choices = region_array(scratch, count * 64, sizeof *search->choices),
        .hints = region_array(scratch, component->sections, sizeof *search->hints),
        .known = region_array(scratch, entries, sizeof *search->known),
        .known_mask = entries - 1,
    };
    for (uint32_t i = 0; i < component->count; i++)
        if (component->items[i].alignment != 1 || component->items[i].fixed != NOWHERE)
            search->uniform = false;
    if (!search->priority || !search->cover || !search->choices || !search->hints || !search->known)
        return STATUS_OUT_OF_MEMORY;
    search->frames = region_allocate(scratch, sizeof *search->frames);
    if (!search->frames)
        return STATUS_OUT_OF_MEMORY;
    search->frames->region = scratch;
    return state_make(&search->state, component, DEEPEST, scratch);
}

enum outcome search_plan(struct search *search, const struct component *component, uint64_t target)
{
    state_reset(&search->state, component, target);
    search->nodes = search->choices_used = search->depth = 0;
    return solve(search, 0, component->sections);
}
