/* Backwards through a region: which rows each stage must make for a strip, what that costs and what memory it takes. */
#include "graph/passes/strips_plan.h"

#include <string.h>

bool sweep_create(struct sweep *sweep, const struct stages *stages, const struct stage_order *order, int longest)
{
    size_t positions = (size_t)longest + 1, cells = positions * MOST_STRIPS;
    *sweep = (struct sweep){.stages = stages, .order = order, .longest = longest};
    sweep->rows = region_array(stages->region, cells, sizeof *sweep->rows);
    sweep->live = region_array(stages->region, cells, sizeof *sweep->live);
    sweep->until = region_array(stages->region, positions, sizeof *sweep->until);
    sweep->whole = region_array(stages->region, positions, sizeof *sweep->whole);
    return sweep->rows && sweep->live && sweep->until && sweep->whole;
}

void sweep_begin(struct sweep *sweep, int end, int strips)
{
    sweep->begin = sweep->end = end;
    sweep->strips = strips;
    sweep->base = end > sweep->longest ? end - sweep->longest : 0;
    sweep->extra = 0;
    sweep->results = sweep->strip_peak = 0;
    size_t positions = (size_t)(end - sweep->base), cells = positions * (size_t)strips;
    memset(sweep->rows, 0, cells * sizeof *sweep->rows);
    memset(sweep->live, 0, cells * sizeof *sweep->live);
    memset(sweep->whole, 0, positions * sizeof *sweep->whole);
    for (size_t i = 0; i < positions; i++)
        sweep->until[i] = -1;
}

static struct rows hull(struct rows a, struct rows b)
{
    if (a.first >= a.end)
        return b;
    return (struct rows){a.first < b.first ? a.first : b.first, a.end > b.end ? a.end : b.end};
}

/* What the stage at `position` makes for each strip, once all its readers are known. */
static void settle_rows(struct sweep *sweep, int position, const struct stage *stage)
{
    bool result = is_result(sweep, stage->output);
    int64_t made = 0;
    for (int s = 0; s < sweep->strips; s++) {
        struct rows *rows = sweep_rows(sweep, position, s);
        if (result)
            *rows = hull(*rows, strip_part(stage->rows, sweep->strips, s));
        if (stage->head)
            *rows = rows_made(&stage->map, *rows);
        made += rows->end - rows->first;
    }
    sweep->extra += stage->work * (double)(made - stage->rows) / (double)stage->rows;
    sweep->results += result ? sweep->stages->bytes[stage->output->id] : 0;
}

static void settle_memory(struct sweep *sweep, int position, const struct stage *stage)
{
    int until = sweep->until[position - sweep->base];
    for (int s = 0; s < sweep->strips; s++) {
        struct rows rows = *sweep_rows(sweep, position, s);
        struct rows part = strip_part(stage->rows, sweep->strips, s);
        /* It is written straight into the result where nothing else reads it. */
        bool direct = until < 0 && rows.first == part.first && rows.end == part.end;
        size_t bytes = direct ? 0 : align_up((size_t)(rows.end - rows.first) * stage->row_bytes, ALIGNMENT);
        for (int p = position; p <= (until < 0 ? position : until); p++) {
            size_t *live = &sweep->live[(size_t)(p - sweep->base) * (size_t)sweep->strips + (size_t)s];
            *live += bytes;
            sweep->strip_peak = *live > sweep->strip_peak ? *live : sweep->strip_peak;
        }
    }
}

/* Tells the maker of an input which rows of it are read. */
static bool want(struct sweep *sweep, int position, const struct stage *stage, const struct node *node, int i)
{
    const struct value *input = node->inputs[i];
    int maker = input ? sweep->stages->makers[input->id] : -1;
    int at = maker >= 0 ? sweep->order->positions[maker] : -1;
    if (at < sweep->base || at == position)
        return true;
    if (!rows_reads_part(node, i)) {
        sweep->whole[at - sweep->base] = true;
        return true;
    }
    if (sweep->until[at - sweep->base] < position)
        sweep->until[at - sweep->base] = position;
    for (int s = 0; s < sweep->strips; s++) {
        struct rows needed = *sweep_rows(sweep, position, s);
        if (node == stage->head && !rows_needed(&stage->map, needed, &needed))
            return false;
        *sweep_rows(sweep, at, s) = hull(*sweep_rows(sweep, at, s), needed);
    }
    return true;
}

/* The inputs from outside the region count too: a window must see some row. */
static bool can_read(const struct sweep *sweep, int position, const struct stage *stage)
{
    struct rows needed;
    for (int s = 0; stage->head && s < sweep->strips; s++)
        if (!rows_needed(&stage->map, *sweep_rows(sweep, position, s), &needed))
            return false;
    return true;
}

bool sweep_add(struct sweep *sweep)
{
    int position = sweep->begin - 1;
    if (position < sweep->base)
        return false;
    const struct stage *stage = &sweep->stages->list[sweep->order->stages[position]];
    if (!stage->local || sweep->whole[position - sweep->base] || stage->rows < sweep->strips)
        return false;
    settle_rows(sweep, position, stage);
    if (!can_read(sweep, position, stage))
        return false;
    settle_memory(sweep, position, stage);
    for (int n = 0; n < stage->node_count; n++)
        for (int i = 0; i < stage->nodes[n]->input_count; i++)
            if (!want(sweep, position, stage, stage->nodes[n], i))
                return false;
    sweep->begin = position;
    return true;
}
