/* Recurrent cells in f32: at each step the states of all sequences of a task are multiplied by the weights, packed in
 * panels, and then each sequence's gates make its new state. A task is some sequences of one direction, so that the
 * weights are read once a step for all of them. */
#include "kernels/x86/recurrent.h"

#include "kernels/x86/tile.h"
#include "kernels/x86/transpose.h"

#include <math.h>
#include <string.h>

#define FORM_FLOATS 1    /* kernel_pack.form */
#define MOST_ROWS 96     /* sequences of a task */
#define TASK_WORK 400000 /* multiplications of a task */

enum input { X, WEIGHTS, BIAS, LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES };

/* state of the plan */
struct layer {
    const struct recurrent_params *p;
    int64_t room, columns, panels; /* floats a gate; columns of all gates; panels of them */
    int64_t groups, rows;          /* of sequences: tasks of a direction; at most so many in one */
    int pack_tasks;
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

static void choose_groups(struct layer *layer, int threads)
{
    const struct recurrent_params *p = layer->p;
    int64_t most = divide_up(threads, p->directions);
    double work = (double)p->steps * (double)p->batch * (double)layer->columns * (double)p->hidden;
    layer->groups = work < (double)TASK_WORK * (double)most ? 1 : least(p->batch, most);
    layer->groups = least(256 / p->directions, layer->groups * divide_up(p->batch, layer->groups * MOST_ROWS));
    layer->rows = divide_up(p->batch, layer->groups);
}

static size_t floats_of(const struct layer *layer)
{
    int64_t gates = recurrent_gates(layer->p);
    return (size_t)(layer->room * (gates + 1 + 3 + layer->rows * (3 + gates)));
}

COLD bool recurrent_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    const struct recurrent_params *p = params;
    struct layer *layer = region_allocate(region, sizeof *layer);
    if (!layer)
        return false;
    *layer = (struct layer){.p = p, .room = (int64_t)align_up((size_t)p->hidden, WIDE)};
    layer->columns = recurrent_gates(p) * layer->room;
    layer->panels = divide_up(layer->columns, TILE_COLUMNS);
    choose_groups(layer, facts->threads);
    plan->state = layer;
    plan->task_bytes = floats_of(layer) * sizeof(float) + (size_t)layer->rows * sizeof(int64_t);
    int64_t panels = p->directions * layer->panels;
    size_t bytes = (size_t)(panels * p->hidden * TILE_COLUMNS) * sizeof(float);
    layer->pack_tasks = task_count(panels, 1 + 65536 / (1 + TILE_COLUMNS * p->hidden));
    if (facts->constant_inputs >> WEIGHTS & 1) {
        plan->pack_count = 1;
        plan->packs[0] = (struct kernel_pack){.input = WEIGHTS,
                                              .form = FORM_FLOATS,
                                              .storable = true,
                                              .geometry = {TILE_COLUMNS, p->directions, recurrent_gates(p), p->hidden},
                                              .tasks = layer->pack_tasks,
                                              .bytes = bytes};
    } else {
        plan->shared_bytes = bytes;
        plan->tasks[plan->phases++] = layer->pack_tasks;
    }
    plan->tasks[plan->phases++] = (int)(p->directions * layer->groups);
    return true;
}

/* --- packing ------------------------------------------------------------------------------------------------- */

/* WIDE columns belong to one gate. */
static void recurrent_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct layer *layer = plan->state;
    const struct recurrent_params *p = layer->p;
    int64_t n = p->hidden, first, last;
    (void)which;
    task_range(p->directions * layer->panels, layer->pack_tasks, task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        float *panel = (float *)to + i * n * TILE_COLUMNS;
        memset(panel, 0, (size_t)(n * TILE_COLUMNS) * sizeof *panel);
        for (int64_t j = 0; j < TILE_COLUMNS; j += WIDE) {
            int64_t column = i % layer->panels * TILE_COLUMNS + j, unit = column % layer->room;
            int64_t row = (i / layer->panels * recurrent_gates(p) + column / layer->room) * n + unit;
            if (column >= layer->columns)
                break;
            SET_NAME(transpose)
            (sizeof(float), (const float *)from + row * n, n * (int64_t)sizeof(float), panel + j,
             TILE_COLUMNS * (int64_t)sizeof(float), least(n - unit, WIDE), n);
        }
    }
}

/* --- a task's sequences -------------------------------------------------------------------------------------- */

struct sequences {
    const struct layer *layer;
    const struct recurrent_params *p;
    const struct kernel_call *call;
    struct cell cell;
    const float *weights; /* packed, of the direction */
    int64_t direction, first, count;
    float *h, *c, *reset; /* [count][room] */
    float *gates;         /* [sequences that have this step][gates][room] */
    int64_t *active;      /* which they are */
    int64_t active_count;
};

/* Copies what has `hidden` floats a gate; the rest of the room is 0. */
static void widen(const struct layer *layer, const float *from, int64_t gates, float *to)
{
    int64_t n = layer->p->hidden;
    memset(to, 0, (size_t)(gates * layer->room) * sizeof *to);
    for (int64_t gate = 0; gate < gates; gate++)
        memcpy(to + gate * layer->room, from + gate * n, (size_t)n * sizeof *to);
}

static void add_biases(const struct layer *layer, const float *bias, float *to)
{
    int64_t gates = recurrent_gates(layer->p), n = layer->p->hidden, room = layer->room;
    bool apart = layer->p->cell == RECURRENT_GRU && layer->p->linear_before_reset;
    widen(layer, bias, gates, to);
    for (int64_t i = 0; i < (apart ? 2 : gates) * n; i++)
        to[i / n * room + i % n] += bias[gates * n + i];
    if (apart)
        widen(layer, bias + 5 * n, 1, to + 3 * room);
}

/* Cuts the task's workspace, and sets what is the same for all its sequences. */
static struct sequences sequences_of(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct layer *layer = plan->state;
    const struct recurrent_params *p = layer->p;
    int64_t gates = recurrent_gates(p), room = layer->room, direction = task / layer->groups, last;
    const float *weights = plan->pack_count ? call->packed[0] : call->shared;
    float *bias = call->workspace, *peepholes = bias + (gates + 1) * room;
    const float *biases = call->inputs[BIAS], *holes = call->inputs[PEEPHOLES];
    struct sequences s = {
        .layer = layer,
        .p = p,
        .call = call,
        .cell = {p, p->functions[direction], room, p->hidden, biases ? bias : NULL, holes ? peepholes : NULL},
        .weights = weights + direction * layer->panels * p->hidden * TILE_COLUMNS,
        .direction = direction,
        .h = peepholes + 3 * room};
    task_range(p->batch, (int)layer->groups, (int)(task % layer->groups), &s.first, &last);
    s.count = last - s.first;
    s.c = s.h + layer->rows * room;
    s.reset = s.c + layer->rows * room;
    s.gates = s.reset + layer->rows * room;
    s.active = (int64_t *)(void *)((char *)call->workspace + floats_of(layer) * sizeof(float));
    if (biases)
        add_biases(layer, biases + direction * 2 * gates * p->hidden, bias);
    if (holes)
        widen(layer, holes + direction * 3 * p->hidden, 3, peepholes);
    return s;
}

static int64_t length_of(const struct sequences *s, int64_t i)
{
    return recurrent_length(s->p, s->call, s->first + i);
}

static int64_t position_of(const struct sequences *s, int64_t i, int64_t t)
{
    return recurrent_position(s->p, s->direction, length_of(s, i), t);
}

static int64_t state_offset(const struct sequences *s, int64_t i)
{
    return s->direction * s->p->state_direction + (s->first + i) * s->p->state_batch;
}

/* States start at the initial ones or at 0. False: a length is out of range, a fault. */
static bool start(const struct sequences *s)
{
    const float *h = s->call->inputs[INITIAL_H], *c = s->call->inputs[INITIAL_C];
    size_t bytes = (size_t)s->p->hidden * sizeof(float), all = (size_t)(s->count * s->layer->room) * sizeof(float);
    memset(s->h, 0, all);
    memset(s->c, 0, all);
    for (int64_t i = 0; i < s->count; i++) {
        if (h)
            memcpy(s->h + i * s->layer->room, h + state_offset(s, i), bytes);
        if (c)
            memcpy(s->c + i * s->layer->room, c + state_offset(s, i), bytes);
    }
    return recurrent_check_lengths(s->p, s->call, s->first, s->first + s->count);
}

/* --- products ------------------------------------------------------------------------------------------------ */

static void multiply_tile(const struct sequences *s, const float *state, int64_t row, int64_t rows, int64_t panel,
                          int64_t count)
{
    const struct layer *layer = s->layer;
    int64_t size = s->p->hidden * TILE_COLUMNS, column = panel * TILE_COLUMNS;
    const float *first[TILE_ROWS];
    for (int64_t i = 0; i < rows; i++)
        first[i] = state + s->active[row + i] * layer->room;
    struct tile_rows left = {first, 0, 1, s->p->hidden};
    struct tile_panel right = {s->weights + panel * size, TILE_COLUMNS};
    struct tile_ends ends = {.low = -INFINITY,
                             .high = INFINITY,
                             .to = s->gates + row * layer->columns + column,
                             .to_row = layer->columns,
                             .columns = least(layer->columns - column, TILE_COLUMNS)};
    SET_NAME(tile_multiply_abreast)(rows, &left, &right, count, size, &ends);
}

/* Columns [column, end), which begin with a panel, of all sequences that have this step. */
static void multiply(const struct sequences *s, const float *state, int64_t column, int64_t end)
{
    struct tile_cut cut = tile_cut(s->active_count);
    int64_t rows = cut.tiles == 1 ? s->active_count : TILE_ROWS, whole = end / TILE_COLUMNS;
    for (int64_t panel = column / TILE_COLUMNS, count; panel * TILE_COLUMNS < end; panel += count) {
        count = tile_abreast_of(rows, whole - panel);
        for (int64_t i = 0; i < cut.tiles; i++) {
            int64_t row = tile_first_row(&cut, i);
            multiply_tile(s, state, row, tile_first_row(&cut, i + 1) - row, panel, count);
        }
    }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

static struct cell_state state_of(const struct sequences *s, int64_t active)
{
    int64_t room = s->layer->room, at = s->active[active] * room;
    return (struct cell_state){s->h + at, s->c + at, s->gates + active * s->layer->columns, s->reset + at};
}

static const float *input_at(const struct sequences *s, int64_t active, int64_t t)
{
    const struct recurrent_params *p = s->p;
    int64_t i = s->active[active], units = recurrent_gates(p) * p->hidden;
    return (const float *)s->call->inputs[X] + s->direction * p->steps * p->batch * units +
           (s->first + i) * p->x_batch + position_of(s, i, t) * p->x_step;
}

/* Row `at` of y becomes the state h, or 0 past the end of the sequence. */
static void store_step(const struct sequences *s, int64_t i, int64_t at, const float *h)
{
    const struct recurrent_params *p = s->p;
    if (!s->call->outputs[0])
        return;
    float *y = (float *)s->call->outputs[0] + s->direction * p->y_direction + (s->first + i) * p->y_batch;
    size_t bytes = (size_t)p->hidden * sizeof *y;
    if (h)
        memcpy(y + at * p->y_step, h, bytes);
    else
        memset(y + at * p->y_step, 0, bytes);
}

static void step(struct sequences *s, int64_t t)
{
    bool resets_first = recurrent_resets_first(s->p);
    s->active_count = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (t < length_of(s, i))
            s->active[s->active_count++] = i;
        else
            store_step(s, i, t, NULL);
    }
    multiply(s, s->h, 0, resets_first ? 2 * s->layer->room : s->layer->columns);
    if (resets_first) {
        for (int64_t i = 0; i < s->active_count; i++) {
            struct cell_state state = state_of(s, i);
            SET_NAME(recurrent_reset)(&s->cell, &state, input_at(s, i, t));
        }
        multiply(s, s->reset, 2 * s->layer->room, s->layer->columns);
    }
    for (int64_t i = 0; i < s->active_count; i++) {
        struct cell_state state = state_of(s, i);
        SET_NAME(recurrent_finish)(&s->cell, &state, input_at(s, i, t));
        store_step(s, s->active[i], position_of(s, s->active[i], t), state.h);
    }
}

static void recurrent_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    if (call->phase + 1 < plan->phases) {
        recurrent_pack(plan, 0, call->inputs[WEIGHTS], call->shared, task);
        return;
    }
    struct sequences s = sequences_of(plan, call, task);
    if (!start(&s))
        return;
    for (int64_t t = 0; t < s.p->steps && !kernel_ended(call); t++)
        step(&s, t);
    for (int k = 1; k <= 2; k++)
        for (int64_t i = 0; i < s.count && call->outputs[k]; i++)
            memcpy((float *)call->outputs[k] + state_offset(&s, i), (k == 1 ? s.h : s.c) + i * s.layer->room,
                   (size_t)s.p->hidden * sizeof(float));
}

COLD bool recurrent_supports(const void *params)
{
    const struct recurrent_params *p = params;
    return p->dtype == DTYPE_F32 && !p->quantized;
}

const struct kernel SET_NAME(recurrent_f32) = {
    .name = SET_TEXT(recurrent_f32),
    .family = FAMILY_recurrent,
    .requires = SET_REQUIRES,
    .supports = recurrent_supports,
    .plan = recurrent_plan,
    .pack = recurrent_pack,
    .run = recurrent_run,
};
