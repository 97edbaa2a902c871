#include "graph/passes/strips_plan.h"
#include "kernels/sort.h"

#include <math.h>
#include <string.h>

#define MOST_EXTRA 0.05 /* work, of all */
/* Above the least peak: the thinnest strips are many steps for little memory. */
#define SLACK 0.10

static const int strip_counts[] = {2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, MOST_STRIPS};

struct candidate {
    struct strip_region region;
    size_t peak;
    double extra;
};

struct search {
    const struct stages *stages;
    const struct stage_order *order;
    struct sweep sweep;
    struct candidate *candidates; /* ends ascend */
    int count, capacity;
    size_t floor;   /* no plan gets below it */
    size_t ceiling; /* a plan above it does not pay */
    double *cost;   /* by position: least extra work of the stages before it */
    int64_t *steps; /* and the least number of steps with that */
    int *choice;    /* the candidate that ends there; -1: the stage before is not in one */
};

/* --- candidates ------------------------------------------------------------------------------------------ */

static bool add_candidate(struct search *search, const struct candidate *candidate)
{
    if (search->count == search->capacity) {
        int capacity = search->capacity ? 2 * search->capacity : 64;
        struct candidate *larger = region_array(search->stages->region, (size_t)capacity, sizeof *larger);
        if (!larger)
            return false;
        if (search->count)
            memcpy(larger, search->candidates, (size_t)search->count * sizeof *larger);
        search->candidates = larger;
        search->capacity = capacity;
    }
    search->candidates[search->count++] = *candidate;
    return true;
}

/* All regions that end at `end` and pay. */
static bool find_regions(struct search *search, int end, int strips)
{
    struct sweep *sweep = &search->sweep;
    bool needed = false; /* some stage takes more than the floor */
    sweep_begin(sweep, end, strips);
    while (sweep_add(sweep) && sweep->extra <= MOST_EXTRA * search->stages->work) {
        size_t peak = search->order->entering[sweep->begin] + sweep->results + sweep->strip_peak;
        struct candidate candidate = {{sweep->begin, end, strips}, peak, sweep->extra};
        needed = needed || search->order->live[sweep->begin] > search->floor;
        if (needed && end - sweep->begin > 1 && peak <= search->ceiling && !add_candidate(search, &candidate))
            return false;
    }
    return true;
}

static bool find_all_regions(struct search *search)
{
    for (int p = 0; p < search->stages->count; p++)
        if (!search->stages->list[search->order->stages[p]].local && search->order->live[p] > search->floor)
            search->floor = search->order->live[p];
    for (int end = 2; search->floor <= search->ceiling && end <= search->stages->count; end++)
        for (size_t k = 0; k < sizeof strip_counts / sizeof *strip_counts; k++)
            if (!find_regions(search, end, strip_counts[k]))
                return false;
    return true;
}

/* --- the choice of regions that do not overlap ----------------------------------------------------------- */

static int64_t added_steps(const struct candidate *candidate)
{
    return (int64_t)(candidate->region.strips - 1) * (candidate->region.end - candidate->region.begin);
}

/* The least extra work that keeps the peak at or below the target; INFINITY: nothing does. */
static double cheapest(struct search *search, size_t target)
{
    const struct candidate *candidate = search->candidates;
    const struct candidate *last = search->count > 0 ? candidate + search->count : candidate; /* NULL, where none */
    search->cost[0] = 0;
    search->steps[0] = 0;
    for (int end = 1; end <= search->stages->count; end++) {
        bool fits = search->order->live[end - 1] <= target;
        search->cost[end] = fits ? search->cost[end - 1] : INFINITY;
        search->steps[end] = search->steps[end - 1];
        search->choice[end] = -1;
        for (; candidate < last && candidate->region.end == end; candidate++) {
            double cost = search->cost[candidate->region.begin] + candidate->extra;
            int64_t steps = search->steps[candidate->region.begin] + added_steps(candidate);
            bool better = cost < search->cost[end] || (cost == search->cost[end] && steps < search->steps[end]);
            if (candidate->peak > target || !better)
                continue;
            search->cost[end] = cost;
            search->steps[end] = steps;
            search->choice[end] = (int)(candidate - search->candidates);
        }
    }
    return search->cost[search->stages->count];
}

static int by_size(const void *a, const void *b)
{
    const size_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The least peak that regions reach at a bearable cost; SIZE_MAX: none at or below the ceiling. */
static size_t least_peak(struct search *search, size_t *peaks)
{
    int count = 0, low = 0;
    for (int i = 0; i < search->count; i++)
        peaks[count++] = search->candidates[i].peak;
    for (int p = 0; p < search->stages->count; p++)
        if (search->order->live[p] <= search->ceiling)
            peaks[count++] = search->order->live[p];
    sort_items(peaks, (size_t)count, sizeof *peaks, by_size);
    for (int high = count; low < high;) {
        int middle = low + (high - low) / 2;
        if (cheapest(search, peaks[middle]) <= MOST_EXTRA * search->stages->work)
            high = middle;
        else
            low = middle + 1;
    }
    return low < count ? peaks[low] : SIZE_MAX;
}

static bool collect(struct search *search, struct strip_plan *plan)
{
    int count = search->stages->count;
    plan->regions = region_array(search->stages->region, (size_t)count, sizeof *plan->regions);
    if (!plan->regions)
        return false;
    plan->region_count = 0;
    for (int end = count; end > 0;) {
        const struct candidate *chosen = search->choice[end] >= 0 ? &search->candidates[search->choice[end]] : NULL;
        if (chosen)
            plan->regions[plan->region_count++] = chosen->region;
        end = chosen ? chosen->region.begin : end - 1;
    }
    for (int i = 0; i < plan->region_count / 2; i++) {
        struct strip_region *first = &plan->regions[i], *last = &plan->regions[plan->region_count - 1 - i];
        struct strip_region moved = *first;
        *first = *last;
        *last = moved;
    }
    return true;
}

/* Takes the best plan for one order where that beats the plan there is. */
static bool plan_order(const struct stages *stages, const struct stage_order *order, struct strip_plan *plan)
{
    size_t count = (size_t)stages->count + 1;
    struct search search = {.stages = stages, .order = order};
    search.ceiling = (size_t)((double)plan->before * (1 - STRIPS_LEAST_GAIN));
    search.cost = region_array(stages->region, count, sizeof *search.cost);
    search.steps = region_array(stages->region, count, sizeof *search.steps);
    search.choice = region_array(stages->region, count, sizeof *search.choice);
    if (!search.cost || !search.steps || !search.choice ||
        !sweep_create(&search.sweep, stages, order, LONGEST_REGION) || !find_all_regions(&search))
        return false;
    size_t *peaks = region_array(stages->region, (size_t)search.count + count, sizeof *peaks);
    if (!peaks)
        return false;
    size_t peak = least_peak(&search, peaks);
    if (peak >= plan->after)
        return true;
    size_t target = (size_t)((double)peak * (1 + SLACK));
    cheapest(&search, target < search.ceiling ? target : search.ceiling);
    plan->after = peak;
    plan->order = order;
    return collect(&search, plan);
}

bool strip_plan_make(const struct stages *stages, struct strip_plan *plan)
{
    struct stage_order *orders[] = {order_given(stages), order_eager(stages), order_greedy(stages)};
    *plan = (struct strip_plan){.stages = stages, .before = SIZE_MAX};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        if (!orders[i])
            return false;
        plan->before = orders[i]->peak < plan->before ? orders[i]->peak : plan->before;
    }
    plan->after = plan->before;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (!plan_order(stages, orders[i], plan))
            return false;
    return true;
}
