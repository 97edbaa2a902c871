#include "graph/planner/planner.h"

#include "graph/planner/parts.h"
#include "kernels/sort.h"

#include <inttypes.h>
#include <stdlib.h>

/* No sum of sizes, alignments and fixed ends passes this, so offsets never wrap. */
#define MOST_UNITS (UINT64_MAX / 4)

struct problem {
    struct region region;
    uint64_t unit;
    struct item *items; /* of positive size, by component */
    uint32_t count;
    uint64_t *load; /* of each section */
    uint32_t sections;
    struct component *components;
    uint32_t component_count;
};

static enum status check_buffer(const struct buffer *buffer, size_t index, struct error *error)
{
    if (buffer->lower >= buffer->upper)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "buffer %zu lives in [%" PRId64 ", %" PRId64 "), which is empty", index, buffer->lower,
                         buffer->upper);
    if (buffer->alignment == 0 || (buffer->alignment & (buffer->alignment - 1)) != 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "buffer %zu: alignment %zu is not a power of two", index,
                         buffer->alignment);
    if (buffer->fixed != PLANNER_FREE && buffer->fixed % buffer->alignment != 0)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "buffer %zu: fixed offset %zu is not a multiple of its alignment %zu", index, buffer->fixed,
                         buffer->alignment);
    return STATUS_OK;
}

/* Checks each buffer and that every plan's height fits; finds the unit. */
static enum status check_buffers(struct problem *problem, size_t count, const struct buffer *buffers,
                                 struct error *error)
{
    size_t sum = 0, highest = 0;
    problem->unit = 0;
    if (count > UINT32_MAX / 4)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%zu buffers are too many", count);
    for (size_t i = 0; i < count; i++) {
        const struct buffer *buffer = &buffers[i];
        enum status status = check_buffer(buffer, i, error);
        if (status)
            return status;
        if (buffer->bytes == 0)
            continue;
        if (problem->unit == 0 || buffer->alignment < problem->unit)
            problem->unit = buffer->alignment;
        problem->count++;
        size_t end = 0;
        bool fits = add_size(sum, buffer->bytes, &sum) && add_size(sum, buffer->alignment, &sum);
        if (buffer->fixed != PLANNER_FREE)
            fits = fits && add_size(buffer->fixed, buffer->bytes, &end);
        highest = end > highest ? end : highest;
        size_t most;
        if (!fits || !add_size(sum, highest, &most) || most > MOST_UNITS)
            return error_set(error, STATUS_INVALID_ARGUMENT,
                             "buffer %zu of %zu bytes brings the sum of sizes past what an address can hold", i,
                             buffer->bytes);
    }
    return STATUS_OK;
}

struct event {
    int64_t time;
    uint32_t item;
    bool starts;
};

/* By time; at one time what ends goes before what starts, as lifetimes are half open. */
static int compare_events(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    if (a->starts != b->starts)
        return a->starts ? 1 : -1;
    return a->item < b->item ? -1 : a->item > b->item;
}

/* A section ends where something ends after something has started: just then no more can be alive together. */
static enum status make_sections(struct problem *problem, const struct buffer *buffers)
{
    struct event *events = region_array(&problem->region, (size_t)problem->count * 2, sizeof *events);
    if (!events)
        return STATUS_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < problem->count; i++) {
        const struct buffer *buffer = &buffers[problem->items[i].buffer];
        events[2 * i] = (struct event){buffer->lower, i, true};
        events[2 * i + 1] = (struct event){buffer->upper, i, false};
    }
    sort_items(events, (size_t)problem->count * 2, sizeof *events, compare_events);
    bool grown = false;
    for (uint32_t i = 0; i < problem->count * 2; i++) {
        struct item *item = &problem->items[events[i].item];
        if (!events[i].starts && grown)
            problem->sections++;
        grown = events[i].starts;
        if (events[i].starts)
            item->lower = problem->sections;
        else
            item->upper = problem->sections;
    }
    return STATUS_OK;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Where all sizes share a divisor that every alignment divides, a plan whose items rest on one another is aligned by
 * itself, and small numbers are left: the search likes both. */
static void enlarge_unit(struct problem *problem)
{
    uint64_t divisor = 0, alignment = 1;
    for (uint32_t i = 0; i < problem->count; i++) {
        const struct item *item = &problem->items[i];
        divisor = common_divisor(item->size, divisor);
        divisor = item->fixed == NOWHERE ? divisor : common_divisor(item->fixed, divisor);
        alignment = item->alignment > alignment ? item->alignment : alignment;
    }
    if (divisor <= 1 || divisor % alignment != 0)
        return;
    problem->unit *= divisor;
    for (uint32_t i = 0; i < problem->count; i++) {
        struct item *item = &problem->items[i];
        item->size /= divisor;
        item->alignment = 1;
        item->fixed = item->fixed == NOWHERE ? NOWHERE : item->fixed / divisor;
    }
}

static enum status make_items(struct problem *problem, size_t count, const struct buffer *buffers)
{
    problem->items = region_array(&problem->region, problem->count, sizeof *problem->items);
    if (!problem->items)
        return STATUS_OUT_OF_MEMORY;
    uint32_t next = 0;
    for (size_t i = 0; i < count; i++)
        if (buffers[i].bytes > 0)
            problem->items[next++] = (struct item){
                .buffer = (uint32_t)i,
                .size = (buffers[i].bytes - 1) / problem->unit + 1,
                .alignment = buffers[i].alignment / problem->unit,
                .fixed = buffers[i].fixed == PLANNER_FREE ? NOWHERE : buffers[i].fixed / problem->unit,
            };
    return STATUS_OK;
}

static int compare_items(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    if (a->lower != b->lower)
        return a->lower < b->lower ? -1 : 1;
    if (a->upper != b->upper)
        return a->upper < b->upper ? -1 : 1;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    if (a->alignment != b->alignment)
        return a->alignment < b->alignment ? -1 : 1;
    if (a->fixed != b->fixed)
        return a->fixed < b->fixed ? -1 : 1;
    return a->buffer < b->buffer ? -1 : a->buffer > b->buffer;
}

static void measure_component(struct problem *problem, struct component *component)
{
    uint64_t *load = problem->load + component->first_section, sum = 0;
    for (uint32_t i = 0; i < component->count; i++) {
        struct item *item = &component->items[i];
        item->lower -= component->first_section;
        item->upper -= component->first_section;
        load[item->lower] += item->size; /* at first, by how much more it is than in the section before */
        if (item->upper < component->sections)
            load[item->upper] -= item->size;
        if (item->fixed != NOWHERE && item->fixed + item->size > component->bound)
            component->bound = item->fixed + item->size;
    }
    for (uint32_t s = 0; s < component->sections; s++) {
        load[s] = sum += load[s];
        component->bound = sum > component->bound ? sum : component->bound;
    }
}

/* Cuts the items where no lifetime goes from one section to the next. */
static enum status make_components(struct problem *problem)
{
    sort_items(problem->items, problem->count, sizeof *problem->items, compare_items);
    uint64_t *offsets = region_array(&problem->region, problem->count, sizeof *offsets);
    problem->load = region_array(&problem->region, problem->sections, sizeof *problem->load);
    problem->components = region_array(&problem->region, problem->sections, sizeof *problem->components);
    if (!offsets || !problem->load || !problem->components)
        return STATUS_OUT_OF_MEMORY;
    for (uint32_t first = 0, next; first < problem->count; first = next) {
        uint32_t upper = problem->items[first].upper;
        for (next = first + 1; next < problem->count && problem->items[next].lower < upper; next++)
            upper = problem->items[next].upper > upper ? problem->items[next].upper : upper;
        uint32_t first_section = problem->items[first].lower;
        struct component *component = &problem->components[problem->component_count++];
        *component = (struct component){
            .items = problem->items + first,
            .count = next - first,
            .first_section = first_section,
            .sections = upper - first_section,
            .load = problem->load + first_section,
            .offsets = offsets + first,
        };
        measure_component(problem, component);
    }
    return STATUS_OK;
}

static enum status check_fixed(const struct problem *problem, const struct buffer *buffers, struct error *error)
{
    for (uint32_t i = 0; i < problem->count; i++)
        for (uint32_t j = 0; j < i && problem->items[i].fixed != NOWHERE; j++) {
            const struct item *a = &problem->items[i], *b = &problem->items[j];
            const struct buffer *first = &buffers[a->buffer], *second = &buffers[b->buffer];
            if (b->fixed == NOWHERE || first->lower >= second->upper || second->lower >= first->upper)
                continue;
            if (a->fixed < b->fixed + b->size && b->fixed < a->fixed + a->size)
                return error_set(error, STATUS_INVALID_ARGUMENT,
                                 "buffers %" PRIu32 " and %" PRIu32 " are fixed at offsets that overlap", b->buffer,
                                 a->buffer);
        }
    return STATUS_OK;
}

static enum status make_problem(struct problem *problem, size_t count, const struct buffer *buffers,
                                struct error *error)
{
    enum status status = make_items(problem, count, buffers);
    if (status)
        return status;
    enlarge_unit(problem);
    status = check_fixed(problem, buffers, error);
    if (status == STATUS_OK)
        status = make_sections(problem, buffers);
    if (status == STATUS_OK)
        status = make_components(problem);
    return status;
}

/* Each component is planned no lower than the highest bound: lower serves nothing. */
static enum status solve(struct problem *problem, uint64_t nodes)
{
    uint64_t target = 0;
    uint32_t above = 0;
    for (uint32_t i = 0; i < problem->component_count; i++)
        target = problem->components[i].bound > target ? problem->components[i].bound : target;
    for (uint32_t i = 0; i < problem->component_count; i++) {
        enum status status = plan_greedy(&problem->components[i], target, &problem->region);
        if (status)
            return status;
        above += problem->components[i].height > target;
    }
    for (uint32_t i = 0; i < problem->component_count && nodes; i++) {
        struct component *component = &problem->components[i];
        if (component->height <= target)
            continue;
        uint64_t share = nodes / above--, left = share;
        enum status status = plan_search(component, target, &left, &problem->region);
        if (status)
            return status;
        nodes -= share - left;
        if (component->proven && component->height > target)
            target = component->height;
    }
    return STATUS_OK;
}

static void write_plan(const struct problem *problem, size_t count, const struct buffer *buffers, size_t *offsets,
                       struct plan *plan)
{
    uint64_t height = 0, bound = 0, least = 0;
    for (size_t i = 0; i < count; i++)
        offsets[i] = buffers[i].fixed == PLANNER_FREE ? 0 : buffers[i].fixed;
    for (uint32_t c = 0; c < problem->component_count; c++) {
        const struct component *component = &problem->components[c];
        for (uint32_t i = 0; i < component->count; i++)
            offsets[component->items[i].buffer] = component->offsets[i] * problem->unit;
        height = component->height > height ? component->height : height;
        bound = component->bound > bound ? component->bound : bound;
        least = component->proven && component->height > least ? component->height : least;
    }
    *plan = (struct plan){
        .height = height * problem->unit,
        .lower_bound = bound * problem->unit,
        .optimal = height == bound || height == least,
    };
}

enum status plan_memory(const struct allocator *allocator, size_t count, const struct buffer *buffers,
                        uint64_t search_nodes, size_t *offsets, struct plan *plan, struct error *error)
{
    struct problem problem = {0};
    region_init(&problem.region, allocator);
    enum status status = check_buffers(&problem, count, buffers, error);
    if (status == STATUS_OK)
        status = make_problem(&problem, count, buffers, error);
    if (status == STATUS_OK)
        status = solve(&problem, search_nodes);
    if (status == STATUS_OK)
        write_plan(&problem, count, buffers, offsets, plan);
    if (status == STATUS_OUT_OF_MEMORY)
        error_set(error, status, "no memory to plan %zu buffers", count);
    region_free(&problem.region);
    return status;
}
