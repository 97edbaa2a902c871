/* Moving elements from one order to another. The axis along which the output lies together is the inner one; where the
 * input lies together along it too, whole rows move, and where it does so along another, squares of elements are turned
 * over. */
#include "kernels/copy.h"
#include "kernels/sort.h"

#include "kernels/walk.h"
#include "kernels/x86/move.h"
#include "kernels/x86/transpose.h"

#include <stdlib.h>
#include <string.h>

#define GRAIN 131072 /* bytes that make a task */
#define ROW 65536    /* the most elements of a row that make an item */
#define BLOCK 16   /* rows of the input that are turned over together: a cache line of the output, of four bytes each */
#define ACROSS 256 /* the most elements of each of them that make an item */

enum way {
    WAY_ROWS,       /* memcpy */
    WAY_REPEATED,   /* one element many times */
    WAY_STRIDED,    /* element by element */
    WAY_TRANSPOSED, /* squares */
};

struct axis {
    int64_t dim, from, to; /* steps in bytes */
};

struct moves {
    enum way way;
    int64_t bytes;    /* of an element */
    int64_t from, to; /* offsets of the first element */
    int rank;         /* of the outer axes, outermost first */
    struct axis outer[MAX_RANK];
    struct axis inner, across; /* across: along which the input lies together; WAY_TRANSPOSED */
    int64_t inner_each, across_each, inner_parts, across_parts; /* an item is a part of these, at one outer index */
    int64_t items;
};

/* --- a row ------------------------------------------------------------------------------------------------------- */

INLINE void repeat(char *to, const char *from, int64_t n, const int64_t bytes)
{
    char element[16];
    memcpy(element, from, (size_t)bytes);
    for (int64_t i = 0; i < n; i++)
        memcpy(to + i * bytes, element, (size_t)bytes);
}

/* --- an item ----------------------------------------------------------------------------------------------------- */

INLINE void move_row(const struct moves *m, const char *from, char *to, int64_t n, const int64_t bytes)
{
    if (m->way == WAY_REPEATED)
        repeat(to, from, n, bytes);
    else
        move_strided(to, m->inner.to, from, m->inner.from, n, bytes);
}

static void move_elements(const struct moves *m, const char *from, char *to, int64_t n)
{
    MOVE_BY_SIZE(m->bytes, move_row, m, from, to, n)
}

/* Where an item is. */
struct cursor {
    int64_t index[MAX_RANK], inner, across; /* of the outer axes; the first elements of the others */
    const char *from;                       /* at the outer index */
    char *to;
};

static struct cursor cursor_at(const struct moves *m, int64_t item, const void *from, void *to)
{
    struct cursor at = {.from = (const char *)from + m->from, .to = (char *)to + m->to};
    at.inner = item % m->inner_parts * m->inner_each;
    at.across = item / m->inner_parts % m->across_parts * m->across_each;
    int64_t rest = item / m->inner_parts / m->across_parts;
    for (int i = m->rank - 1; i >= 0; i--) {
        at.index[i] = rest % m->outer[i].dim;
        rest /= m->outer[i].dim;
        at.from += at.index[i] * m->outer[i].from;
        at.to += at.index[i] * m->outer[i].to;
    }
    return at;
}

static void step_cursor(const struct moves *m, struct cursor *at)
{
    at->inner += m->inner_each;
    if (at->inner < m->inner.dim)
        return;
    at->inner = 0;
    at->across += m->across_each;
    if (at->across < m->across.dim)
        return;
    at->across = 0;
    for (int i = m->rank - 1; i >= 0; i--) {
        at->from += m->outer[i].from;
        at->to += m->outer[i].to;
        if (++at->index[i] < m->outer[i].dim)
            return;
        at->from -= m->outer[i].dim * m->outer[i].from;
        at->to -= m->outer[i].dim * m->outer[i].to;
        at->index[i] = 0;
    }
}

INLINE void move_item(const struct moves *m, const struct cursor *at)
{
    int64_t n = least(m->inner_each, m->inner.dim - at->inner);
    const char *from = at->from + at->inner * m->inner.from;
    char *to = at->to + at->inner * m->inner.to;
    if (m->way == WAY_ROWS)
        move_bytes(to, from, n * m->bytes);
    else if (m->way == WAY_TRANSPOSED)
        SET_NAME(transpose)
    (m->bytes, from + at->across * m->across.from, m->inner.from, to + at->across * m->across.to, m->across.to, n,
     least(m->across_each, m->across.dim - at->across));
    else move_elements(m, from, to, n);
}

/* --- plan -------------------------------------------------------------------------------------------------------- */

static int by_output(const void *a, const void *b)
{
    const struct axis *x = a, *y = b;
    int64_t p = llabs(x->to), q = llabs(y->to);
    return (p < q) - (p > q);
}

/* The axes, the output's outermost first, joined where both sides go on without a gap; at least one. */
static int find_axes(const struct copy_params *p, struct axis *axes)
{
    struct axis found[MAX_RANK];
    int64_t bytes = p->element_bytes;
    int count = 0, rank = 0;
    for (int i = 0; i < p->rank; i++)
        if (p->dims[i] != 1)
            found[count++] = (struct axis){p->dims[i], p->input_strides[i] * bytes, p->output_strides[i] * bytes};
    sort_items(found, (size_t)count, sizeof *found, by_output);
    for (int i = 0; i < count; i++) {
        struct axis *last = rank > 0 ? &axes[rank - 1] : NULL;
        if (last && last->from == found[i].from * found[i].dim && last->to == found[i].to * found[i].dim)
            *last = (struct axis){last->dim * found[i].dim, found[i].from, found[i].to};
        else
            axes[rank++] = found[i];
    }
    if (rank == 0)
        axes[rank++] = (struct axis){1, bytes, bytes};
    return rank;
}

/* The outer axis along which the input lies together; -1: there is none. */
static int find_across(const struct moves *m)
{
    for (int i = m->rank - 1; i >= 0; i--)
        if (m->outer[i].from == m->bytes)
            return i;
    return -1;
}

static void choose_way(struct moves *m)
{
    int across = find_across(m);
    m->way = WAY_STRIDED;
    if (m->inner.to != m->bytes)
        return;
    if (m->inner.from == m->bytes) {
        m->way = WAY_ROWS;
    } else if (across >= 0 && m->bytes <= 8) {
        m->way = WAY_TRANSPOSED;
        m->across = m->outer[across];
        m->rank--;
        memmove(m->outer + across, m->outer + across + 1, (size_t)(m->rank - across) * sizeof *m->outer);
    } else if (m->inner.from == 0) {
        m->way = WAY_REPEATED;
    }
}

COLD bool copy_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                    struct kernel_plan *plan)
{
    const struct copy_params *p = params;
    struct moves *m = region_allocate(region, sizeof *m);
    (void)facts;
    if (!m)
        return false;
    m->bytes = p->element_bytes;
    m->from = p->input_offset * m->bytes;
    m->to = p->output_offset * m->bytes;
    m->rank = find_axes(p, m->outer) - 1;
    m->inner = m->outer[m->rank];
    m->across = (struct axis){.dim = 1};
    choose_way(m);
    m->inner_each = m->way == WAY_TRANSPOSED ? BLOCK : ROW;
    m->across_each = ACROSS;
    m->inner_parts = divide_up(m->inner.dim, m->inner_each);
    m->across_parts = divide_up(m->across.dim, m->across_each);
    m->items = m->inner_parts * m->across_parts;
    int64_t total = m->inner.dim * m->across.dim;
    for (int i = 0; i < m->rank; i++) {
        m->items *= m->outer[i].dim;
        total *= m->outer[i].dim;
    }
    plan->state = m;
    plan->phases = 1;
    plan->tasks[0] = (int)least(task_count(total * m->bytes, GRAIN), task_count(m->items, 1));
    return true;
}

static void copy_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct moves *m = plan->state;
    int64_t first, last;
    task_range(m->items, plan->tasks[0], task, &first, &last);
    if (first == last)
        return;
    struct cursor at = cursor_at(m, first, call->inputs[0], call->outputs[0]);
    for (int64_t i = first; i < last; i++) {
        move_item(m, &at);
        step_cursor(m, &at);
    }
}

const struct kernel SET_NAME(copy) = {
    .name = SET_TEXT(copy),
    .family = FAMILY_copy,
    .requires = SET_REQUIRES,
    .plan = copy_plan,
    .run = copy_run,
};
