#include "graph/planner/state.h"

#define GOLDEN 0x9e3779b97f4a7c15u /* 2^64 divided by the golden ratio */

static void index_items(struct state *state)
{
    for (uint32_t i = 0; i < state->item_count; i++) {
        state->sections[state->items[i].lower + 1].first_start++;
        state->sections[state->items[i].upper + 1].first_end++;
        state->keys[i] = scramble(GOLDEN * (i + 1));
    }
    for (uint32_t s = 0; s <= state->section_count; s++) {
        state->sections[s + 1].first_start += state->sections[s].first_start;
        state->sections[s + 1].first_end += state->sections[s].first_end;
    }
    /* Counting sort: `crossing` counts what each section's part already holds; state_reset sets it anew. */
    for (uint32_t i = 0; i < state->item_count; i++) {
        struct section *section = &state->sections[state->items[i].upper];
        state->ending[section->first_end + section->crossing++] = i;
    }
}

enum status state_make(struct state *state, const struct component *component, size_t spare, struct region *scratch)
{
    size_t lives = spare, count = component->count;
    for (size_t i = 0; i < count; i++)
        lives += component->items[i].upper - component->items[i].lower + 1;
    *state = (struct state){
        .items = component->items,
        .item_count = component->count,
        .section_count = component->sections,
        .sections = region_array(scratch, (size_t)component->sections + 2, sizeof *state->sections),
        .offsets = region_array(scratch, count, sizeof *state->offsets),
        .keys = region_array(scratch, count, sizeof *state->keys),
        .ending = region_array(scratch, count, sizeof *state->ending),
        .trail = region_array(scratch, lives, sizeof *state->trail),
    };
    if (!state->sections || !state->offsets || !state->keys || !state->ending || !state->trail)
        return STATUS_OUT_OF_MEMORY;
    index_items(state);
    return STATUS_OK;
}

void state_reset(struct state *state, const struct component *component, uint64_t ceiling)
{
    for (uint32_t s = 0; s <= state->section_count; s++) {
        struct section *section = &state->sections[s];
        section->floor = section->top = section->unplaced = 0;
        section->crossing = 0;
        section->ceiling = ceiling;
        section->remaining = s < state->section_count ? component->load[s] : 0;
    }
    for (uint32_t i = 0; i < state->item_count; i++) {
        const struct item *item = &state->items[i];
        for (uint32_t s = item->lower; s < item->upper; s++) {
            state->sections[s].crossing += s > item->lower;
            state->sections[s].unplaced ^= state->keys[i];
        }
        state->offsets[i] = NOWHERE;
    }
    state->trail_used = 0;
}

static void set_floor(struct state *state, uint32_t s, uint64_t floor, uint64_t top)
{
    struct section *section = &state->sections[s];
    state->trail[state->trail_used++] = (struct change){CHANGED_FLOOR, s, section->floor, section->top};
    section->floor = floor;
    section->top = top;
}

static void note_placed(struct state *state, uint32_t i, enum change_kind kind)
{
    const struct item *item = &state->items[i];
    for (uint32_t s = item->lower; s < item->upper; s++) {
        struct section *section = &state->sections[s];
        section->remaining -= item->size;
        section->crossing -= s > item->lower;
        section->unplaced ^= state->keys[i];
    }
    state->trail[state->trail_used++] = (struct change){.kind = kind, .index = i};
}

void state_put(struct state *state, uint32_t i, uint64_t offset)
{
    const struct item *item = &state->items[i];
    for (uint32_t s = item->lower; s < item->upper; s++)
        set_floor(state, s, offset + item->size, offset + item->size);
    note_placed(state, i, PLACED);
    state->offsets[i] = offset;
}

void state_hang(struct state *state, uint32_t i)
{
    const struct item *item = &state->items[i];
    for (uint32_t s = item->lower; s < item->upper; s++) {
        state->sections[s].ceiling -= item->size;
        /* Gaps below were promised to stay empty for plans as they stood before; this is a new problem. */
        set_floor(state, s, state->sections[s].floor, state->sections[s].floor);
    }
    note_placed(state, i, HUNG);
    state->offsets[i] = state->sections[item->lower].ceiling;
}

void state_raise(struct state *state, uint32_t section, uint64_t floor)
{
    set_floor(state, section, floor, state->sections[section].top);
}

static void undo_placed(struct state *state, const struct change *change)
{
    const struct item *item = &state->items[change->index];
    for (uint32_t s = item->lower; s < item->upper; s++) {
        struct section *section = &state->sections[s];
        section->remaining += item->size;
        section->crossing += s > item->lower;
        section->unplaced ^= state->keys[change->index];
        if (change->kind == HUNG)
            section->ceiling += item->size;
    }
    state->offsets[change->index] = NOWHERE;
}

void state_undo(struct state *state, size_t mark)
{
    while (state->trail_used > mark) {
        const struct change *change = &state->trail[--state->trail_used];
        if (change->kind == CHANGED_FLOOR) {
            state->sections[change->index].floor = change->floor;
            state->sections[change->index].top = change->top;
        } else
            undo_placed(state, change);
    }
}
