/* How the searches are used. The exact one goes for the lower bound again and again, each time with other priorities
 * and a few more nodes, since a lucky order finds in hundreds of nodes what an unlucky one does not in billions; at
 * times it looks between the bound and the best plan, to prove that there is none or to find one. The local search
 * takes the best plan down step by step: it is what gets close to the bound where the exact search does not reach it.
 */
#include "graph/planner/repack.h"
#include "graph/planner/search.h"

#include <string.h>

/* The first restarts are short; each cycle of priorities lengthens them by an eighth. */
#define FIRST_NODES_PER_ITEM 4

/* Of the local search, as shifts of the gap to the bound. */
enum { LARGEST_STEP = 2, SMALLEST_STEP = 5 };

enum { BY_WIDTH, BY_AREA, BY_SIZE, CYCLE };

/* Large ones first, in one of three senses, with noise from the second cycle on. Scaled to stay below 2^48. */
static void set_priorities(struct search *search, const struct component *component, uint32_t restart)
{
    uint64_t largest = 1;
    for (uint32_t i = 0; i < component->count; i++)
        largest = component->items[i].size > largest ? component->items[i].size : largest;
    int shift = 0;
    while (largest >> shift >= 1 << 16)
        shift++;
    for (uint32_t i = 0; i < component->count; i++) {
        const struct item *item = &component->items[i];
        uint64_t size = (item->size >> shift) + 1, width = item->upper - item->lower;
        uint64_t base = restart % CYCLE == BY_WIDTH ? width : restart % CYCLE == BY_AREA ? size * width : size;
        uint64_t noise = scramble(((uint64_t)restart << 32) + i) % 359; /* 0.3 to 1.7 times */
        search->priority[i] = base * (restart < CYCLE ? 256 : 77 + noise);
    }
}

static void keep_plan(struct component *component, const uint64_t *offsets)
{
    component->height = 0;
    for (uint32_t i = 0; i < component->count; i++) {
        uint64_t end = offsets[i] + component->items[i].size;
        component->height = end > component->height ? end : component->height;
    }
    memcpy(component->offsets, offsets, component->count * sizeof *component->offsets);
}

/* The caller's progress: no plan is lower than `low`; the next target between is height - gap * step / 64. */
struct progress {
    uint64_t low;
    uint64_t step;
    int shift;     /* the local search's next target is height - (gap >> shift) */
    uint64_t left; /* nodes */
};

static enum outcome attempt(struct search *search, struct component *component, uint64_t target, uint64_t limit,
                            struct progress *progress)
{
    search->limit = limit < progress->left ? limit : progress->left;
    enum outcome outcome = search_plan(search, component, target);
    progress->left -= search->nodes < progress->left ? search->nodes : progress->left;
    if (outcome == FOUND)
        keep_plan(component, search->state.offsets);
    return outcome;
}

static void try_bound(struct search *search, struct component *component, uint64_t limit, struct progress *progress)
{
    if (attempt(search, component, progress->low, limit, progress) != REFUTED)
        return;
    uint64_t gap = component->height - progress->low;
    progress->low = search->missing < gap ? progress->low + search->missing : component->height;
    search->missing = UINT64_MAX;
}

/* Aims lower after a success, higher after a failure. */
static void try_between(struct search *search, struct component *component, uint64_t limit, struct progress *progress)
{
    uint64_t gap = component->height - progress->low, missing = search->missing;
    uint64_t cut = gap > 64 ? gap / 64 * progress->step : gap * progress->step / 64;
    if (cut == 0 || cut >= gap)
        return;
    uint64_t target = component->height - cut;
    switch (attempt(search, component, target, limit, progress)) {
    case FOUND:
        progress->step = progress->step < 32 ? progress->step * 2 : 32;
        break;
    case REFUTED:
        progress->low = target + 1;
        missing = UINT64_MAX;
        break;
    case EXHAUSTED:
        progress->step = progress->step > 1 ? progress->step / 2 : 32;
        break;
    }
    search->missing = missing;
}

/* Takes smaller steps where larger ones fail. */
static void try_repacking(struct repack *repack, struct component *component, uint64_t limit, struct progress *progress)
{
    uint64_t nodes = limit < progress->left ? limit : progress->left, left = nodes;
    while (left > 0 && progress->low < component->height) {
        uint64_t cut = (component->height - progress->low) >> progress->shift;
        if (repack_run(repack, component->height - (cut ? cut : 1), &left)) {
            keep_plan(component, repack->offsets);
            progress->shift -= progress->shift > LARGEST_STEP;
        } else if (left > 0)
            progress->shift += progress->shift < SMALLEST_STEP;
    }
    progress->left -= nodes - left;
}

enum status plan_search(struct component *component, uint64_t target, uint64_t *nodes, struct region *scratch)
{
    if (!search_can(component))
        return STATUS_OK;
    struct search search;
    struct repack repack;
    enum status status = search_make(&search, component, *nodes, scratch);
    if (status == STATUS_OK)
        status = repack_make(&repack, component, scratch);
    if (status)
        return status;
    struct progress progress = {.low = target, .step = 32, .shift = LARGEST_STEP, .left = *nodes};
    uint64_t limit = (uint64_t)FIRST_NODES_PER_ITEM * component->count;
    for (uint32_t restart = 0; progress.left > 0 && progress.low < component->height; restart++) {
        set_priorities(&search, component, restart);
        try_bound(&search, component, limit, &progress);
        if (restart % CYCLE == 0 && progress.left > 0 && progress.low < component->height)
            try_between(&search, component, limit, &progress);
        if (progress.left > 0 && progress.low < component->height)
            try_repacking(&repack, component, 2 * limit, &progress);
        if (restart % CYCLE == CYCLE - 1)
            limit += limit / 8 + 1;
    }
    component->proven = progress.low >= component->height;
    *nodes = progress.left;
    return STATUS_OK;
}
