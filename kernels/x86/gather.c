/* Moving what indices name. A cell is what one index moves: an element, or the elements along the last axis where they
 * share it. The indices along one axis are resolved together, once for all rows that share them, and cells that lie
 * together on both sides move together. */
#include "kernels/gather.h"

#include "kernels/walk.h"
#include "kernels/x86/move.h"

#define GRAIN 65536 /* bytes that make a task */
#define MOST_INDICES 1024
#define LEAST_INDICES 16
#define LONG_RUN 4 /* cells, on average, from which on runs are moved whole */

/* state of the plan */
struct cells {
    struct gather_params sorted; /* axes in the order in which the block lies */
    const struct gather_params *p;
    int64_t length, bytes;        /* of a cell: elements; bytes */
    bool together;                /* its elements lie together */
    int axis;                     /* of the indices; -1: there is one */
    int64_t indices;              /* along it */
    int64_t from, to, index_step; /* from one to the next: bytes of data and of the block; in the index tensor */
    int64_t rows;                 /* of the axes before */
    bool shared;                  /* all rows have the same indices */
    int64_t part, parts;          /* indices of an item; items of a row */
};

struct run {
    int64_t first, count;
};

static void exchange(int64_t *array, int axis)
{
    int64_t first = array[axis];
    array[axis] = array[axis + 1];
    array[axis + 1] = first;
}

/* Larger steps through the block further out. */
static void sort_axes(struct gather_params *p)
{
    for (int end = p->rank - 1; end > 0; end--)
        for (int i = 0; i < end; i++) {
            int64_t outer = p->block_strides[i], inner = p->block_strides[i + 1];
            if ((outer < 0 ? -outer : outer) >= (inner < 0 ? -inner : inner))
                continue;
            exchange(p->dims, i);
            exchange(p->data_strides, i);
            exchange(p->index_strides, i);
            exchange(p->block_strides, i);
        }
    gather_merge_axes(p);
}

COLD bool gather_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                      struct kernel_plan *plan)
{
    (void)facts;
    struct cells *c = region_allocate(region, sizeof *c);
    if (!c)
        return false;
    *c = (struct cells){.sorted = *(const struct gather_params *)params, .length = 1, .together = true, .indices = 1};
    sort_axes(&c->sorted);
    const struct gather_params *p = c->p = &c->sorted;
    int last = p->rank - 1;
    bool by_element = p->index_strides[last] != 0;
    c->axis = by_element ? last : last - 1;
    if (!by_element) {
        c->length = p->dims[last];
        c->together = p->data_strides[last] == 1 && p->block_strides[last] == 1;
    }
    c->bytes = c->length * p->element_bytes;
    if (c->axis >= 0) {
        c->indices = p->dims[c->axis];
        c->from = p->data_strides[c->axis] * p->element_bytes;
        c->to = p->block_strides[c->axis] * p->element_bytes;
        c->index_step = p->index_strides[c->axis];
    }
    c->rows = 1;
    c->shared = true;
    for (int i = 0; i < c->axis; i++) {
        c->rows *= p->dims[i];
        c->shared = c->shared && p->index_strides[i] == 0;
    }
    int64_t fit = GRAIN / (c->bytes + 1);
    c->part = fit > MOST_INDICES ? MOST_INDICES : fit < LEAST_INDICES ? LEAST_INDICES : fit;
    c->part = least(c->part, c->indices);
    c->parts = divide_up(c->indices, c->part);
    plan->state = c;
    plan->phases = 1;
    plan->tasks[0] = task_count(c->parts * c->rows, 1 + GRAIN / (1 + c->part * c->bytes));
    plan->task_bytes = align_up((size_t)c->part * (sizeof(int64_t) + sizeof(struct run)), ALIGNMENT);
    return true;
}

/* --- indices ------------------------------------------------------------------------------------------------- */

/* Offsets in data, in bytes, of indices [first, first + count). False: one is outside, a fault. */
static bool resolve_any(const struct cells *c, const struct kernel_call *call, int64_t index, int64_t first,
                        int64_t count, int64_t *offsets)
{
    for (int64_t i = 0; i < count; i++) {
        if (!gather_resolve(c->p, call, call->inputs[1], index + (first + i) * c->index_step, &offsets[i]))
            return false;
        offsets[i] = offsets[i] * c->p->element_bytes + (first + i) * c->from;
    }
    return true;
}

#define RESOLVE(type)                                                                      \
    for (int64_t i = 0; i < count; i++) {                                                  \
        int64_t at = ((const type *)call->inputs[1])[index + (first + i) * c->index_step]; \
        at += at < 0 ? axis : 0;                                                           \
        outside |= (uint64_t)at >= (uint64_t)axis;                                         \
        offsets[i] = (int64_t)((uint64_t)at * step) + (first + i) * c->from;               \
    }

static bool resolve(const struct cells *c, const struct kernel_call *call, int64_t index, int64_t first, int64_t count,
                    int64_t *offsets)
{
    const struct gather_params *p = c->p;
    if (p->components != 1)
        return resolve_any(c, call, index, first, count, offsets);
    int64_t axis = p->axis_dims[0];
    uint64_t step = (uint64_t)p->axis_strides[0] * p->element_bytes;
    bool outside = false;
    if (p->index_dtype == DTYPE_I32) {
        RESOLVE(int32_t)
    } else {
        RESOLVE(int64_t)
    }
    return !outside || resolve_any(c, call, index, first, count, offsets); /* which says what is wrong */
}

/* Returns how many runs there are; 0: they are too short to be worth it. */
static int64_t find_runs(const struct cells *c, const int64_t *offsets, int64_t count, struct run *runs)
{
    int64_t found = 0;
    if (!c->together || c->to != c->bytes)
        return 0;
    for (int64_t i = 0; i < count;) {
        if (found * LONG_RUN >= count)
            return 0;
        int64_t first = i++;
        while (i < count && offsets[i] == offsets[i - 1] + c->bytes)
            i++;
        runs[found++] = (struct run){first, i - first};
    }
    return found;
}

/* --- moving -------------------------------------------------------------------------------------------------- */

INLINE void move_each(const struct cells *c, const char *data, char *block, const int64_t *offsets, int64_t count,
                      const int64_t bytes)
{
    for (int64_t i = 0; i < count; i++)
        memcpy(block + i * c->to, data + offsets[i], (size_t)bytes);
}

static void move_apart(const struct cells *c, const char *data, char *block)
{
    int last = c->p->rank - 1;
    int64_t bytes = c->p->element_bytes, to = c->p->block_strides[last] * bytes;
    int64_t from = c->p->data_strides[last] * bytes;
    MOVE_BY_SIZE(bytes, move_strided, block, to, data, from, c->length)
}

static void move_cells(const struct cells *c, const char *data, char *block, const int64_t *offsets, int64_t count)
{
    bool sized = c->bytes > 0 && c->bytes <= 16 && (c->bytes & (c->bytes - 1)) == 0;
    if (c->together && sized) {
        MOVE_BY_SIZE(c->bytes, move_each, c, data, block, offsets, count)
        return;
    }
    for (int64_t i = 0; i < count; i++)
        if (c->together)
            move_bytes(block + i * c->to, data + offsets[i], c->bytes);
        else
            move_apart(c, data + offsets[i], block + i * c->to);
}

static struct gather_row row_at(const struct cells *c, int64_t row)
{
    struct gather_row at = {0, 0, 0};
    for (int axis = c->axis - 1; axis >= 0; axis--) {
        int64_t i = row % c->p->dims[axis];
        row /= c->p->dims[axis];
        at.data += i * c->p->data_strides[axis];
        at.index += i * c->p->index_strides[axis];
        at.block += i * c->p->block_strides[axis];
    }
    return at;
}

static void gather_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct cells *c = plan->state;
    int64_t first, last, run_count = 0, known = -1, *offsets = call->workspace;
    struct run *runs = (struct run *)(void *)(offsets + c->part);
    task_range(c->parts * c->rows, plan->tasks[0], task, &first, &last);
    for (int64_t item = first; item < last; item++) { /* rows of a part, then the next part */
        int64_t part = item / c->rows, begin = part * c->part, count = least(c->indices - begin, c->part);
        struct gather_row at = row_at(c, item % c->rows);
        if (part != known || !c->shared) {
            if (!resolve(c, call, at.index, begin, count, offsets))
                return;
            run_count = find_runs(c, offsets, count, runs);
            known = part;
        }
        const char *data = (const char *)call->inputs[0] + at.data * c->p->element_bytes;
        char *block = (char *)call->outputs[0] + at.block * c->p->element_bytes + begin * c->to;
        if (run_count == 0)
            move_cells(c, data, block, offsets, count);
        for (int64_t i = 0; i < run_count; i++)
            move_bytes(block + runs[i].first * c->to, data + offsets[runs[i].first], runs[i].count * c->bytes);
    }
}

const struct kernel SET_NAME(gather) = {
    .name = SET_TEXT(gather),
    .family = FAMILY_gather,
    .requires = SET_REQUIRES,
    .plan = gather_plan,
    .run = gather_run,
};
