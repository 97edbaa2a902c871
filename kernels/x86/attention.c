/* Attention in f32: a band of queries walks over blocks of keys, with the largest score and the sum of exponentials so
 * far (Milakov and Gimelshein, arXiv 1805.02867). The weighted values are kept divided by that sum, as in
 * FlashAttention (arXiv 2205.14135, algorithm 1): a mean at all times, which overflows only where the result does.
 *
 * Both products are made of tiles. A query at the edge of its window takes no value beyond it, since 0 times a NaN is
 * one: what all queries of a tile see is a product, and what only some see is added row by row, in the order of keys.
 */
#include "kernels/attention.h"

#include "kernels/x86/dot.h"
#include "kernels/x86/fold.h"
#include "kernels/x86/tile.h"

#include <math.h>
#include <string.h>

#define BAND 64 /* queries, at most */
#define KEYS 256
#define FEW_QUERIES 4
#define TASK_WORK 400000 /* multiplications of a task */

/* --- plan ---------------------------------------------------------------------------------------------------- */

/* state of the plan */
struct attention {
    const struct attention_params *p;
    int64_t bands, band_rows;
    bool copies_values;
    int64_t score_row, mean_row;                            /* in elements */
    size_t score_bytes, mean_bytes, key_bytes, value_bytes; /* of workspace, one after the other */
};

COLD bool attention_supports(const void *params)
{
    const struct attention_params *p = params;
    return p->dtype == DTYPE_F32 && p->q.column == 1 && p->k.column == 1 && p->v.column == 1 && p->y.column == 1;
}

COLD bool attention_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    (void)facts;
    const struct attention_params *p = params;
    struct attention *attention = region_allocate(region, sizeof *attention);
    if (!attention)
        return false;
    int64_t bands = divide_up(p->queries, BAND), rows = bands > 0 ? divide_up(p->queries, bands) : 0;
    rows = least(divide_up(rows, 2) * 2, p->queries); /* tiles are of pairs */
    int64_t keys = least(p->keys, KEYS);
    *attention = (struct attention){.p = p,
                                    .bands = bands,
                                    .band_rows = rows,
                                    .copies_values = p->v_head % LANES != 0,
                                    .score_row = (int64_t)align_up((size_t)keys, TILE_COLUMNS),
                                    .mean_row = (int64_t)align_up((size_t)p->v_head, TILE_COLUMNS)};
    attention->score_bytes = (size_t)(rows * attention->score_row) * sizeof(float);
    attention->mean_bytes = (size_t)(rows * attention->mean_row) * sizeof(float);
    attention->key_bytes = (size_t)(p->head * TILE_COLUMNS) * sizeof(float);
    attention->value_bytes = attention->copies_values ? (size_t)(keys * TILE_COLUMNS) * sizeof(float) : 0;
    plan->state = attention;
    plan->phases = 1;
    int64_t each = rows * least(p->keys, 4096) * least(p->head + p->v_head, 4096);
    plan->tasks[0] = task_count(attention->bands * p->heads * p->batch, 1 + TASK_WORK / (1 + each));
    plan->task_bytes = attention->score_bytes + attention->mean_bytes + attention->key_bytes + attention->value_bytes;
    return true;
}

/* --- scores -------------------------------------------------------------------------------------------------- */

/* What a query has seen so far. */
struct query {
    float sum; /* of exp(score - most) */
    float most, most_before;
    bool seen;        /* a key that nothing excludes */
    int64_t from, to; /* its part of the present block of keys */
};

struct band {
    const struct attention *attention;
    int64_t row, rows;
    const float *q, *k, *v;
    const float *added;     /* the mask, of one kind or the other */
    const uint8_t *allowed; /* NULL: not of this kind */
    float *y, *scores, *means, *keys, *values;
    struct query queries[BAND];
};

/* A product of rows of the band's own memory by a panel. */
static void multiply(int64_t rows, const float *left, int64_t left_row, int64_t depth, const struct tile_panel *panel,
                     const float *start, float *to, int64_t to_row, int64_t columns)
{
    struct tile_cut cut = tile_cut(rows);
    struct tile_ends ends = {
        .start_row = to_row, .low = -INFINITY, .high = INFINITY, .to_row = to_row, .columns = tile_width(columns)};
    for (int64_t i = 0; i < cut.tiles; i++) {
        int64_t row = tile_first_row(&cut, i), count = tile_first_row(&cut, i + 1) - row;
        const float *first[TILE_ROWS];
        for (int64_t r = 0; r < count; r++)
            first[r] = left + (row + r) * left_row;
        struct tile_rows stretch = {first, 0, 1, depth};
        ends.start = start ? start + row * to_row : NULL;
        ends.to = to + row * to_row;
        SET_NAME(tile_multiply)(count, &stretch, panel, &ends);
    }
}

/* Few queries do not make up for turning the keys over. */
static void score_by_dots(struct band *b, int64_t key, int64_t count)
{
    const struct attention_params *p = b->attention->p;
    for (int64_t i = 0; i < b->rows; i++) {
        const float *q = b->q + i * p->q.row, *k = b->k + key * p->k.row;
        float *scores = b->scores + i * b->attention->score_row;
        int64_t j = 0;
        for (; j + DOT_ROWS <= count; j += DOT_ROWS)
            dots(DOT_ROWS, k + j * p->k.row, p->k.row, q, p->head, scores + j, 1);
        for (; j < count; j++)
            dots(1, k + j * p->k.row, p->k.row, q, p->head, scores + j, 1);
    }
}

/* scores = Q K^T for `count` keys from `key` on. */
static void score(struct band *b, int64_t key, int64_t count)
{
    const struct attention_params *p = b->attention->p;
    if (p->queries <= FEW_QUERIES) {
        score_by_dots(b, key, count);
        return;
    }
    for (int64_t j = 0; j < count; j += TILE_COLUMNS) {
        int64_t columns = least(count - j, TILE_COLUMNS);
        SET_NAME(tile_pack)(b->k + (key + j) * p->k.row, 1, p->k.row, p->head, columns, b->keys);
        struct tile_panel panel = {b->keys, TILE_COLUMNS};
        multiply(b->rows, b->q, p->q.row, p->head, &panel, NULL, b->scores + j, b->attention->score_row, columns);
    }
}

static vm excluded_at(const struct band *b, int64_t at, int64_t count)
{
    int32_t values[LANES] = {0};
    for (int64_t i = 0; i < count; i++)
        values[i] = b->allowed[at + i * b->attention->p->mask.column];
    return vi_equal(vi_load(values), vi_set(0));
}

/* Lanes that stand for keys which the query sees. */
static vm within(const struct query *query, int64_t j)
{
    vm before = vm_first(query->from > j ? least(query->from - j, LANES) : 0);
    return vm_and(vm_not(before), vm_first(query->to > j ? least(query->to - j, LANES) : 0));
}

/* What goes through the scores of a row finds on its way. */
struct row_state {
    vf most;
    vi seen; /* lanes that are not 0: a key that nothing excludes */
};

static vi lanes_of(vm mask)
{
    return vi_select(mask, vi_set(1), vi_set(0));
}

/* Scores from `from` on of a query that sees all of these keys, two vectors at a time. Returns where they end. */
INLINE int64_t finish_whole(const bool masked, float *scores, const float *mask, int64_t count, vf scale,
                            struct row_state *state)
{
    vf none = vf_set(-INFINITY), most[2] = {none, none};
    vi seen[2] = {state->seen, state->seen};
    int64_t j = 0;
    for (; j + 2 * LANES <= count; j += 2 * LANES) {
        UNROLL
        for (int u = 0; u < 2; u++) {
            vf x = vf_mul(vf_load(scores + j + u * LANES), scale);
            if (masked) {
                vf added = vf_load(mask + j + u * LANES);
                seen[u] = vi_or(seen[u], vi_sub(vf_bits(added), vf_bits(none)));
                x = vf_add(x, added);
            }
            most[u] = vf_larger(most[u], x);
            vf_store(scores + j + u * LANES, x);
        }
    }
    if (!masked && j > 0)
        seen[0] = vi_set(1);
    state->seen = vi_or(seen[0], seen[1]);
    state->most = vf_larger(most[0], most[1]);
    return j;
}

/* The rest of them, or all where something excludes a few. */
static void finish_rest(const struct band *b, int64_t i, int64_t key, int64_t from, int64_t count,
                        struct row_state *state)
{
    const struct attention_params *p = b->attention->p;
    float *scores = b->scores + i * b->attention->score_row;
    vf scale = vf_set((float)p->scale), cap = vf_set((float)p->softcap), none = vf_set(-INFINITY);
    for (int64_t j = from; j < count; j += LANES) {
        int64_t part = least(count - j, LANES), at = i * p->mask.row + (key + j) * p->mask.column;
        vf x = vf_mul(vf_load(scores + j), scale);
        vm sees = within(&b->queries[i], j), excluded = vm_first(0);
        if (p->softcap > 0)
            x = vf_mul(vf_tanh(vf_div(x, cap)), cap);
        if (b->added) {
            vf mask = load_lanes(b->added + at, p->mask.column, part);
            excluded = vf_equal(mask, none);
            x = vf_add(x, mask);
        } else if (b->allowed) {
            excluded = excluded_at(b, at, part);
            x = vf_select(excluded, none, x);
        }
        x = vf_select(sees, x, none);
        state->seen = vi_or(state->seen, lanes_of(vm_and(sees, vm_not(excluded))));
        state->most = vf_larger(state->most, x);
        vf_store(scores + j, x);
    }
}

/* Scales, caps and masks the scores of row i, and finds the largest; NaN if there is one. Keys before those that the
 * query sees get -inf; nobody asks for what comes after them. */
static void finish_scores(struct band *b, int64_t i, int64_t key)
{
    const struct attention_params *p = b->attention->p;
    struct query *query = &b->queries[i];
    float *scores = b->scores + i * b->attention->score_row;
    struct row_state state = {vf_set(-INFINITY), vi_set(0)};
    int64_t j = 0, count = query->to;
    if (query->from == 0 && !(p->softcap > 0) && !b->allowed) {
        vf scale = vf_set((float)p->scale);
        if (!b->added)
            j = finish_whole(false, scores, NULL, count, scale, &state);
        else if (p->mask.column == 1)
            j = finish_whole(true, scores, b->added + i * p->mask.row + key, count, scale, &state);
    }
    finish_rest(b, i, key, j, count, &state);
    query->seen = query->seen || vm_any(vm_not(vi_equal(state.seen, vi_set(0))));
    query->most_before = query->most;
    struct wide all = wide_set(-INFINITY);
    all.part[0] = vf_larger(vf_set(query->most), state.most);
    query->most = wide_largest(all);
}

/* Scores of row i become exponentials, whose sum includes what was summed before; returns what that shrinks to. */
static float exponentiate(struct band *b, int64_t i)
{
    struct query *query = &b->queries[i];
    int64_t count = query->to, j = 0;
    float *scores = b->scores + i * b->attention->score_row;
    float kept = query->sum == 0 ? 0 : query->sum * vf_first(vf_exp(vf_set(query->most_before - query->most)));
    vf most = vf_set(query->most);
    struct wide sum = wide_set(0);
    for (; j + WIDE <= count && query->from == 0; j += WIDE)
        FOR_PARTS(k)
        {
            vf weight = vf_exp(vf_sub(vf_load(scores + j + k * LANES), most));
            sum.part[k] = vf_add(sum.part[k], weight);
            vf_store(scores + j + k * LANES, weight);
        }
    for (; j < count; j += WIDE)
        FOR_PARTS(k)
        {
            if (j + k * LANES >= count)
                break;
            vf weight = vf_exp(vf_sub(vf_load(scores + j + k * LANES), most));
            sum.part[k] = vf_add(sum.part[k], vf_select(within(query, j + k * LANES), weight, vf_set(0)));
            vf_store(scores + j + k * LANES, weight);
        }
    query->sum = kept + wide_sum(sum);
    return kept;
}

static void scale_row(float *row, int64_t count, float factor)
{
    for (int64_t j = 0; j < count && factor != 1; j += LANES)
        vf_store(row + j, vf_mul(vf_load(row + j), vf_set(factor)));
}

/* Rows that take each step together: one waits for the end of its sums while others have work. */
#define ROWS_ABREAST 4

/* Scores become weights, and the means of what was seen before shrink to what they are worth now. */
static void weigh(struct band *b, int64_t first, int64_t last, int64_t key)
{
    float kept[ROWS_ABREAST];
    bool counts[ROWS_ABREAST];
    for (int64_t i = first; i < last; i++) {
        const struct query *query = &b->queries[i];
        counts[i - first] = query->from < query->to;
        if (counts[i - first])
            finish_scores(b, i, key);
    }
    for (int64_t i = first; i < last; i++) {
        const struct query *query = &b->queries[i];
        if (counts[i - first] && query->most == -INFINITY) { /* e^(-inf - -inf) would be NaN; keys to come may count */
            counts[i - first] = false;
            memset(b->scores + i * b->attention->score_row, 0, (size_t)query->to * sizeof *b->scores);
        }
        if (counts[i - first])
            kept[i - first] = exponentiate(b, i);
    }
    for (int64_t i = first; i < last; i++) {
        const struct query *query = &b->queries[i];
        if (!counts[i - first])
            continue;
        scale_row(b->scores + i * b->attention->score_row, query->to, 1 / query->sum);
        scale_row(b->means + i * b->attention->mean_row, b->attention->mean_row, kept[i - first] / query->sum);
    }
}

/* --- values -------------------------------------------------------------------------------------------------- */

/* The parts of the present block that queries see. */
static void find_windows(struct band *b, int64_t key, int64_t count)
{
    for (int64_t i = 0; i < b->rows; i++) {
        struct query *query = &b->queries[i];
        attention_window(b->attention->p, b->row + i, &query->from, &query->to);
        query->from = least(query->from > key ? query->from - key : 0, count);
        query->to = query->to > key ? least(query->to - key, count) : 0;
        query->to = query->to < query->from ? query->from : query->to;
    }
}

/* A row's share of the keys [from, to) of a panel. */
static void add_row(const struct band *b, int64_t i, int64_t from, int64_t to, const struct tile_panel *panel,
                    int64_t column, int64_t columns)
{
    const struct attention *attention = b->attention;
    float *mean = b->means + i * attention->mean_row + column;
    struct tile_panel rest = {panel->first + from * panel->row, panel->row};
    if (from < to)
        multiply(1, b->scores + i * attention->score_row + from, 0, to - from, &rest, mean, mean, 0, columns);
}

/* means += weights V for one panel of columns. Windows move on from row to row, so that all see what the last begins
 * with and the first ends with. */
static void add_panel(const struct band *b, const struct tile_panel *panel, int64_t column, int64_t columns)
{
    const struct attention *attention = b->attention;
    int64_t from = b->queries[b->rows - 1].from, to = b->queries[0].to;
    to = to < from ? from : to;
    for (int64_t i = 0; i < b->rows; i++)
        add_row(b, i, b->queries[i].from, least(b->queries[i].to, from), panel, column, columns);
    struct tile_panel shared = {panel->first + from * panel->row, panel->row};
    float *means = b->means + column;
    if (from < to)
        multiply(b->rows, b->scores + from, attention->score_row, to - from, &shared, means, means, attention->mean_row,
                 columns);
    for (int64_t i = 0; i < b->rows; i++)
        add_row(b, i, b->queries[i].from > to ? b->queries[i].from : to, b->queries[i].to, panel, column, columns);
}

static void add_values(struct band *b, int64_t key, int64_t count)
{
    const struct attention_params *p = b->attention->p;
    for (int64_t column = 0; column < p->v_head; column += TILE_COLUMNS) {
        int64_t columns = least(p->v_head - column, TILE_COLUMNS);
        const float *v = b->v + key * p->v.row + column;
        struct tile_panel panel = {v, p->v.row};
        if (b->attention->copies_values) {
            SET_NAME(tile_pack)(v, p->v.row, 1, count, columns, b->values);
            panel = (struct tile_panel){b->values, TILE_COLUMNS};
        }
        add_panel(b, &panel, column, columns);
    }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

static void finish_row(struct band *b, int64_t i)
{
    const struct attention_params *p = b->attention->p;
    const struct query *query = &b->queries[i];
    float *y = b->y + i * p->y.row, blind = p->blind_is_zero || p->keys == 0 ? 0 : NAN;
    if (query->most == -INFINITY || (p->blind_is_zero && !query->seen))
        for (int64_t j = 0; j < p->v_head; j++)
            y[j] = blind;
    else
        memcpy(y, b->means + i * b->attention->mean_row, (size_t)p->v_head * sizeof *y);
}

static void run_band(struct band *b)
{
    const struct attention *attention = b->attention;
    int64_t first, last, unused;
    attention_window(attention->p, b->row, &first, &unused);
    attention_window(attention->p, b->row + b->rows - 1, &unused, &last);
    for (int64_t i = 0; i < b->rows; i++)
        b->queries[i] = (struct query){.most = -INFINITY};
    memset(b->means, 0, (size_t)(b->rows * attention->mean_row) * sizeof *b->means);
    for (int64_t key = first / KEYS * KEYS; key < last; key += KEYS) {
        int64_t count = least(last - key, KEYS);
        find_windows(b, key, count);
        score(b, key, count);
        for (int64_t i = 0; i < b->rows; i += ROWS_ABREAST)
            weigh(b, i, least(i + ROWS_ABREAST, b->rows), key);
        add_values(b, key, count);
    }
    for (int64_t i = 0; i < b->rows; i++)
        finish_row(b, i);
}

static int64_t offset_of(const struct attention_strides *s, int64_t batch, int64_t head, int64_t row)
{
    return batch * s->batch + head * s->head + row * s->row;
}

static void attention_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct attention *attention = plan->state;
    const struct attention_params *p = attention->p;
    int64_t first, last;
    char *scores = call->workspace, *means = scores + attention->score_bytes, *keys = means + attention->mean_bytes;
    struct band b = {.attention = attention,
                     .scores = (float *)(void *)scores,
                     .means = (float *)(void *)means,
                     .keys = (float *)(void *)keys,
                     .values = (float *)(void *)(keys + attention->key_bytes)};
    task_range(attention->bands * p->heads * p->batch, plan->tasks[0], task, &first, &last);
    for (int64_t index = first; index < last; index++) {
        int64_t head = index / attention->bands % p->heads, batch = index / attention->bands / p->heads;
        b.row = index % attention->bands * attention->band_rows;
        b.rows = least(p->queries - b.row, attention->band_rows);
        b.q = (const float *)call->inputs[0] + offset_of(&p->q, batch, head, b.row);
        b.k = (const float *)call->inputs[1] + offset_of(&p->k, batch, head / p->group, 0);
        b.v = (const float *)call->inputs[2] + offset_of(&p->v, batch, head / p->group, 0);
        b.y = (float *)call->outputs[0] + offset_of(&p->y, batch, head, b.row);
        int64_t mask = offset_of(&p->mask, batch, head, b.row);
        if (p->mask_dtype == DTYPE_BOOL)
            b.allowed = (const uint8_t *)call->inputs[3] + mask;
        else if (p->mask_dtype != DTYPE_NONE)
            b.added = (const float *)call->inputs[3] + mask;
        run_band(&b);
    }
}

const struct kernel SET_NAME(attention_f32) = {
    .name = SET_TEXT(attention_f32),
    .family = FAMILY_attention,
    .requires = SET_REQUIRES,
    .supports = attention_supports,
    .plan = attention_plan,
    .run = attention_run,
};
