/* Annealing over partial plans (Kirkpatrick, Gelatt, Vecchi 1983). A step offers an item that is out every offset at
 * which another ends; it goes where the items it drives out are worth least, if they are worth less than itself, give
 * or take some noise that fades. What is out grows more urgent with each refusal, as in the ejection pool of Nagata and
 * Bräysy (2009), so that large items find their way in as well. */
#include "graph/planner/repack.h"

#define NODES_PER_STEP 3 /* about the time of so many nodes of the exact search */
#define FIRST_STEPS_PER_ITEM 500
/* Noise, in 256ths of the mean worth for each halving of its probability. */
#define HOT 60
#define COLD 30
#define URGE_SHIFT 3
#define MOST_URGE ((uint32_t)1 << 28)
#define FIXED_WORTH ((uint32_t)1 << 30) /* more than any urge, worth and noise */

static uint64_t next_random(struct repack *repack)
{
    return scramble(repack->random += 0x9e3779b97f4a7c15u);
}

static uint32_t square_root(uint64_t value)
{
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= value)
            root += bit;
    return (uint32_t)root;
}

/* The root of its area: many small items are easier to find places for than a large one. Below 2^20. */
static void set_worths(struct repack *repack)
{
    const struct packing *packing = &repack->packing;
    uint64_t largest = 1, sum = 0;
    for (uint32_t i = 0; i < packing->count; i++)
        largest = packing->items[i].size > largest ? packing->items[i].size : largest;
    int shift = 0;
    while (largest >> shift >= 1 << 19)
        shift++;
    for (uint32_t i = 0; i < packing->count; i++) {
        const struct packed *item = &packing->items[i];
        uint64_t area = ((item->size >> shift) + 1) * (item->upper - item->lower);
        repack->worth[i] = square_root(area << 8);
        sum += repack->worth[i];
        if (item->fixed)
            repack->worth[i] = FIXED_WORTH;
    }
    repack->mean_worth = sum / packing->count;
}

enum status repack_make(struct repack *repack, const struct component *component, struct region *scratch)
{
    size_t count = component->count;
    *repack = (struct repack){
        .offsets = region_array(scratch, count, sizeof *repack->offsets),
        .worth = region_array(scratch, count, sizeof *repack->worth),
        .urge = region_array(scratch, count, sizeof *repack->urge),
        .from = region_array(scratch, count, sizeof *repack->from),
        .to = region_array(scratch, count, sizeof *repack->to),
        .steps = count * FIRST_STEPS_PER_ITEM,
    };
    if (!repack->offsets || !repack->worth || !repack->urge || !repack->from || !repack->to)
        return STATUS_OUT_OF_MEMORY;
    enum status status = packing_make(&repack->packing, component, scratch);
    if (status == STATUS_OK)
        set_worths(repack);
    return status;
}

/* They come nearly sorted. */
static void add_edge(struct edge *edges, uint32_t count, uint64_t at, uint32_t worth)
{
    for (; count > 0 && edges[count - 1].at > at; count--)
        edges[count] = edges[count - 1];
    edges[count] = (struct edge){at, worth};
}

/* Where items are in the way of another: at offsets from - size < offset < to. */
static uint32_t find_edges(struct repack *repack, const struct packed *item)
{
    const struct packing *packing = &repack->packing;
    uint32_t count = 0;
    for (uint32_t n = 0; n < packing->in; n++) {
        uint32_t i = packing->order[n];
        const struct packed *other = &packing->items[i];
        uint64_t from = other->highest, to = other->lowest + other->size;
        if (other->upper <= item->lower || item->upper <= other->lower || from >= to + item->size)
            continue;
        add_edge(repack->from, count, from, repack->worth[i]);
        add_edge(repack->to, count, to, repack->worth[i]);
        count++;
    }
    return count;
}

/* -log2 of a random number in (0, 1), times 256; between powers of two along a straight line. */
static uint64_t noise(struct repack *repack)
{
    uint64_t random = next_random(repack) | 1;
    int zeros = __builtin_clzll(random);
    return ((uint64_t)zeros << 8) + 255 - (random << zeros >> 55 & 255);
}

static int64_t perturb(struct repack *repack, uint64_t worth, uint64_t heat)
{
    return (int64_t)worth - (int64_t)(heat * noise(repack) >> 16);
}

/* NOWHERE: the item stays out. */
static uint64_t choose_offset(struct repack *repack, uint32_t i, uint64_t heat)
{
    const struct packed *item = &repack->packing.items[i];
    const struct edge *from = repack->from, *to = repack->to;
    uint32_t count = find_edges(repack, item), begun = 0;
    int64_t best = perturb(repack, (uint64_t)repack->worth[i] + repack->urge[i], heat);
    uint64_t chosen = NOWHERE, offset = 0, worth = 0;
    for (uint32_t n = 0; n <= count; n++) {
        if (n > 0) {
            worth -= to[n - 1].worth; /* below zero for a moment where `from` has not come yet */
            offset = round_up(to[n - 1].at, item->alignment);
        }
        if (offset + item->size > repack->packing.height)
            break;
        for (; begun < count && from[begun].at < offset + item->size; begun++)
            worth += from[begun].worth;
        if (n < count && to[n].at <= offset)
            continue;
        if ((int64_t)worth > best + (int64_t)(heat >> 4)) /* sixteen halvings */
            continue;
        int64_t own = perturb(repack, worth, heat);
        if (own < best) {
            best = own;
            chosen = offset;
        }
    }
    return chosen;
}

static void take_step(struct repack *repack)
{
    struct packing *packing = &repack->packing;
    uint64_t heat = (HOT - (HOT - COLD) * repack->step / repack->steps) * repack->mean_worth;
    uint32_t at = (uint32_t)(next_random(repack) % packing->out_count), i = packing->out[at];
    uint64_t offset = choose_offset(repack, i, heat);
    if (offset != NOWHERE) {
        repack->urge[i] = 0;
        packing_put(packing, at, offset);
    } else if (repack->urge[i] < MOST_URGE)
        repack->urge[i] += (repack->worth[i] >> URGE_SHIFT) + 1;
}

bool repack_run(struct repack *repack, uint64_t height, uint64_t *nodes)
{
    packing_set_height(&repack->packing, height);
    for (; repack->packing.out_count > 0; repack->step++) {
        if (*nodes < NODES_PER_STEP) {
            *nodes = 0;
            return false;
        }
        if (repack->step == repack->steps) {
            repack->step = 0;
            repack->steps *= 2;
            return false;
        }
        *nodes -= NODES_PER_STEP;
        take_step(repack);
    }
    for (uint32_t i = 0; i < repack->packing.count; i++)
        repack->offsets[i] = repack->packing.items[i].lowest;
    return true;
}
