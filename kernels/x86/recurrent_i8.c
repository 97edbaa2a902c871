/* An LSTM in f32 whose states are quantised before each step, and multiplied by weights of 8 bits (tile_i8.h has the
 * arithmetic: sums are exact whatever they are made of).
 *
 * A task has some neighbouring units of one direction, all four gates of them, so that it makes their new state by
 * itself; the states of all units are what it needs of the others. Where a direction has several tasks, each step is a
 * round of the phase, and states take turns in two buffers. */
#include "kernels/x86/recurrent.h"

#include "kernels/x86/tile_i8.h"

#include <string.h>

#define FORM_QUADS 1 /* kernel_pack.form */
#define GATES 4
#define COLUMNS (GATES * WIDE) /* of a group: WIDE units of each gate */
#define VECTORS (COLUMNS / LANES)
#define ROWS (LANES == 16 ? 4 : 1) /* sequences whose sums are in registers */
#define TASK_WORK 300000           /* multiplications of a task in a round, at least */
#define MOST_DEPTH 32768           /* so many products of -255 to 255 fit a sum of 32 bits */

enum input { X, WEIGHTS, BIAS, LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES, SCALES, ZEROS };

/* state of the plan */
struct layer {
    const struct recurrent_params *p;
    bool dot;
    int64_t room, groups, quads;       /* units rounded up to WIDE; that by WIDE; of a column */
    int tasks, pack_tasks;             /* of a direction; of the pack */
    size_t group_bytes, matrix_bytes;  /* of the pack: of a group, of a direction */
    size_t shared_floats;              /* of a direction, behind the pack where that is in shared workspace */
    size_t states_bytes, gates_floats; /* of a task's workspace */
};

/* What a task keeps from round to round, by gate: biases, peepholes, scales, zero points. */
#define KEPT (GATES + 3 + GATES + GATES)

/* --- plan ---------------------------------------------------------------------------------------------------- */

static int tasks_of_direction(const struct layer *layer, int threads)
{
    const struct recurrent_params *p = layer->p;
    int64_t most = least(threads / p->directions, layer->groups);
    double work = (double)p->hidden * (double)p->hidden * GATES * (double)p->batch / TASK_WORK;
    most = work < (double)most ? (int64_t)work : most;
    return most > 1 && p->steps > 0 ? (int)most : 1;
}

COLD bool make_plan(const struct recurrent_params *p, const struct kernel_facts *facts, bool dot, struct region *region,
                    struct kernel_plan *plan)
{
    struct layer *layer = region_allocate(region, sizeof *layer);
    if (!layer)
        return false;
    *layer = (struct layer){.p = p,
                            .dot = dot,
                            .room = (int64_t)align_up((size_t)p->hidden, WIDE),
                            .groups = divide_up(p->hidden, WIDE),
                            .quads = divide_up(p->hidden, QUAD)};
    layer->tasks = tasks_of_direction(layer, facts->threads);
    layer->group_bytes = (size_t)(COLUMNS * QUAD * (1 + layer->quads));
    layer->matrix_bytes = align_up((size_t)layer->groups * (layer->group_bytes + 1), ALIGNMENT);
    layer->shared_floats = (size_t)(layer->room * (KEPT + 3 * p->batch));
    layer->states_bytes = align_up((size_t)(p->batch * layer->room), ALIGNMENT);
    layer->gates_floats = (size_t)(p->batch * GATES * divide_up(layer->groups, layer->tasks) * WIDE);
    layer->pack_tasks = task_count(p->directions * layer->groups, 1 + 65536 / (1 + COLUMNS * p->hidden));
    plan->state = layer;
    size_t bytes = (size_t)p->directions * layer->matrix_bytes;
    if (facts->constant_inputs >> WEIGHTS & 1) {
        plan->pack_count = 1;
        plan->packs[0] = (struct kernel_pack){.input = WEIGHTS,
                                              .form = FORM_QUADS,
                                              .storable = true,
                                              .geometry = {WIDE, p->weights, p->directions, p->hidden},
                                              .tasks = layer->pack_tasks,
                                              .bytes = bytes};
    } else {
        plan->shared_bytes = bytes;
        plan->tasks[plan->phases++] = layer->pack_tasks;
    }
    plan->shared_bytes += (size_t)p->directions * layer->shared_floats * sizeof(float);
    plan->task_bytes = layer->states_bytes + align_up(layer->gates_floats * sizeof(float), ALIGNMENT) +
                       (size_t)p->batch * sizeof(int64_t);
    plan->rounds = layer->tasks > 1 ? p->steps : 1;
    plan->tasks[plan->phases++] = (int)p->directions * layer->tasks;
    return true;
}

COLD bool quantized_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    return make_plan(params, facts, false, region, plan);
}

COLD bool quantized_plan_dot(const void *params, const struct kernel_facts *facts, struct region *region,
                             struct kernel_plan *plan)
{
    return make_plan(params, facts, true, region, plan);
}

/* --- packing ------------------------------------------------------------------------------------------------- */

/* Of a direction: groups of sums of columns and quads, [quad][gate][unit][4], and a mark for each whether I8_PAIRS is
 * right for it. */
static void pack_group(const struct layer *layer, const uint8_t *from, int64_t group, uint8_t *matrix)
{
    int64_t n = layer->p->hidden, units = least(n - group * WIDE, WIDE);
    uint8_t *to = matrix + (size_t)group * layer->group_bytes, *quads = to + COLUMNS * QUAD;
    uint8_t *marks = matrix + (size_t)layer->groups * layer->group_bytes, turn = i8_turn_right(layer->p->weights);
    int32_t *sums = (int32_t *)(void *)to;
    bool fits = true;
    memset(to, 0, layer->group_bytes);
    for (int64_t k = 0; k < n; k++)
        for (int64_t j = 0; j < COLUMNS; j++)
            if (j % WIDE < units) {
                uint8_t byte = from[(k * GATES + j / WIDE) * n + group * WIDE + j % WIDE] ^ turn;
                quads[(k / QUAD * COLUMNS + j) * QUAD + k % QUAD] = byte;
                sums[j] += (int8_t)byte;
            }
    for (int64_t i = 0; i < layer->quads * COLUMNS * QUAD && fits; i += 2)
        fits = i8_pair_fits((int8_t)quads[i], (int8_t)quads[i + 1]);
    marks[group] = fits;
    if (group == 0) /* a pack has no byte that nobody wrote: files hold packs */
        memset(marks + layer->groups, 0, (size_t)(matrix + layer->matrix_bytes - marks) - (size_t)layer->groups);
}

static void quantized_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct layer *layer = plan->state;
    int64_t n = layer->p->hidden, first, last;
    (void)which;
    task_range(layer->p->directions * layer->groups, layer->pack_tasks, task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t direction = i / layer->groups;
        pack_group(layer, (const uint8_t *)from + direction * GATES * n * n, i % layer->groups,
                   (uint8_t *)to + (size_t)direction * layer->matrix_bytes);
    }
}

/* --- a task's units ------------------------------------------------------------------------------------------ */

struct part {
    const struct layer *layer;
    const struct recurrent_params *p;
    const struct kernel_call *call;
    int64_t direction;
    int64_t first_group, groups, first, units, room; /* of the task: groups; units, and floats for them */
    const uint8_t *matrix;                           /* packed, of the direction */
    float *h[2], *c;                                 /* of the direction: [batch][room of all] */
    float *bias, *peepholes, *scales;                /* of the task, by gate */
    int32_t *zeros;
    uint8_t *states; /* [sequences that have this step][room of all]: h as integers */
    float *gates;    /* [sequences that have this step][gates][room] */
    int64_t *active; /* which they are */
    int64_t active_count;
};

static struct part part_of(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct layer *layer = plan->state;
    const struct recurrent_params *p = layer->p;
    int64_t last;
    struct part part = {.layer = layer, .p = p, .call = call, .direction = task / layer->tasks};
    task_range(layer->groups, layer->tasks, task % layer->tasks, &part.first_group, &last);
    part.groups = last - part.first_group;
    part.first = part.first_group * WIDE;
    part.room = part.groups * WIDE;
    part.units = least(p->hidden - part.first, part.room);
    uint8_t *shared = call->shared;
    part.matrix = (plan->pack_count ? call->packed[0] : shared);
    part.matrix += (size_t)part.direction * layer->matrix_bytes;
    if (!plan->pack_count)
        shared += (size_t)p->directions * layer->matrix_bytes;
    part.h[0] = (float *)(void *)shared + (size_t)part.direction * layer->shared_floats;
    part.h[1] = part.h[0] + p->batch * layer->room;
    part.c = part.h[1] + p->batch * layer->room;
    part.bias = part.c + p->batch * layer->room + part.first * KEPT;
    part.peepholes = part.bias + GATES * part.room;
    part.scales = part.peepholes + 3 * part.room;
    part.zeros = (int32_t *)(void *)(part.scales + GATES * part.room);
    part.states = call->workspace;
    part.gates = (float *)(void *)(part.states + layer->states_bytes);
    part.active = (int64_t *)(void *)((char *)part.gates + align_up(layer->gates_floats * sizeof(float), ALIGNMENT));
    return part;
}

/* What has `hidden` floats a gate becomes `room` floats a gate of the task's units; the rest of the room is 0. */
static void keep(const struct part *part, const float *from, int64_t gates, float *to)
{
    memset(to, 0, (size_t)(gates * part->room) * sizeof *to);
    for (int64_t gate = 0; gate < gates; gate++)
        memcpy(to + gate * part->room, from + gate * part->p->hidden + part->first, (size_t)part->units * sizeof *to);
}

static void keep_biases(const struct part *part, const float *bias)
{
    int64_t n = part->p->hidden;
    keep(part, bias, GATES, part->bias);
    for (int64_t gate = 0; gate < GATES; gate++)
        for (int64_t i = 0; i < part->units; i++)
            part->bias[gate * part->room + i] += bias[(GATES + gate) * n + part->first + i];
}

/* Whether zero points of the weights, made signed, are not all 0. */
static bool has_zeros(const struct part *part)
{
    return part->call->inputs[ZEROS] || part->p->weights == DTYPE_U8;
}

static void keep_zeros(const struct part *part, const uint8_t *zeros)
{
    memset(part->zeros, 0, (size_t)(GATES * part->room) * sizeof *part->zeros);
    for (int64_t gate = 0; gate < GATES; gate++)
        for (int64_t i = 0; i < part->units; i++)
            part->zeros[gate * part->room + i] =
                i8_right_zero(part->p->weights, zeros ? zeros + gate * part->p->hidden + part->first + i : NULL);
}

static int64_t state_offset(const struct part *part, int64_t i)
{
    return part->direction * part->p->state_direction + i * part->p->state_batch;
}

/* False: a length is out of range, a fault. */
static bool start(const struct part *part)
{
    const struct recurrent_params *p = part->p;
    const void *const *inputs = part->call->inputs;
    const float *c = inputs[INITIAL_C];
    for (int64_t i = 0; i < p->batch; i++) {
        float *to = part->c + i * part->layer->room + part->first;
        memset(to, 0, (size_t)part->room * sizeof *to);
        if (c)
            memcpy(to, c + state_offset(part, i) + part->first, (size_t)part->units * sizeof *to);
    }
    if (inputs[BIAS])
        keep_biases(part, (const float *)inputs[BIAS] + part->direction * 2 * GATES * p->hidden);
    if (inputs[PEEPHOLES])
        keep(part, (const float *)inputs[PEEPHOLES] + part->direction * 3 * p->hidden, 3, part->peepholes);
    keep(part, (const float *)inputs[SCALES] + part->direction * GATES * p->hidden, GATES, part->scales);
    const uint8_t *zeros = inputs[ZEROS];
    if (has_zeros(part))
        keep_zeros(part, zeros ? zeros + part->direction * GATES * p->hidden : NULL);
    return recurrent_check_lengths(p, part->call, 0, p->batch);
}

/* The state of all units that step t begins with; NULL: zeros. */
static const float *state_at(const struct part *part, int64_t i, int64_t t)
{
    const float *initial = part->call->inputs[INITIAL_H];
    if (t > 0)
        return part->h[t % 2] + i * part->layer->room;
    return initial ? initial + state_offset(part, i) : NULL;
}

/* --- quantised states ---------------------------------------------------------------------------------------- */

/* Between 0 and 255; a NaN is 0. */
INLINE vf to_8_bits(vf x)
{
    return vf_min(vf_max(x, vf_set(0)), vf_set(255));
}

/* The range of the states and 0; a NaN is passed over. */
static void range_of(const struct part *part, int64_t t, float *low, float *high)
{
    vf least_yet = vf_set(0), most_yet = vf_set(0);
    float lanes[2][LANES];
    for (int64_t i = 0; i < part->active_count; i++) {
        const float *h = state_at(part, part->active[i], t);
        for (int64_t j = 0; h && j < part->p->hidden; j += LANES) {
            vf x = vf_load_part(h + j, least(part->p->hidden - j, LANES));
            least_yet = vf_min(x, least_yet);
            most_yet = vf_max(x, most_yet);
        }
    }
    vf_store(lanes[0], least_yet);
    vf_store(lanes[1], most_yet);
    *low = *high = 0;
    for (int i = 0; i < LANES; i++) {
        *low = lanes[0][i] < *low ? lanes[0][i] : *low;
        *high = lanes[1][i] > *high ? lanes[1][i] : *high;
    }
}

/* Returns the scale of the quantised states; 0 where all are 0. */
static float quantize(const struct part *part, int64_t t, int32_t *zero_point)
{
    int64_t n = part->p->hidden, room = part->layer->room;
    float low, high;
    range_of(part, t, &low, &high);
    float scale = (high - low) / 255;
    if (!(scale > 0))
        return 0;
    const vf zero = to_8_bits(vf_round(vf_set(-low / scale))), unit = vf_set(scale);
    *zero_point = (int32_t)vf_first(zero);
    for (int64_t i = 0; i < part->active_count; i++) {
        const float *h = state_at(part, part->active[i], t); /* there is one, or all are 0 */
        uint8_t *to = part->states + i * room;
        for (int64_t j = 0; j < n; j += LANES) {
            vf x = vf_load_part(h + j, least(n - j, LANES));
            vi_store_u8(to + j, vf_to_nearest(to_8_bits(vf_add(vf_round(vf_div(x, unit)), zero))));
        }
        memset(to + n, 0, (size_t)(room - n));
    }
    return scale;
}

/* --- products ------------------------------------------------------------------------------------------------ */

/* Sums of `rows` sequences: [rows][COLUMNS]. */
INLINE void multiply(const enum i8_way way, const int rows, const uint8_t *states, int64_t step, int64_t quads,
                     const uint8_t *weights, int32_t *to)
{
    vi s[ROWS][VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < VECTORS; j++)
            s[i][j] = vi_set(0);
    }
    for (int64_t q = 0; q < quads; q++, weights += COLUMNS * QUAD) {
        vi even[ROWS], odd[ROWS];
        UNROLL
        for (int i = 0; i < rows; i++) {
            uint32_t quad;
            memcpy(&quad, states + i * step + q * QUAD, sizeof quad);
            even[i] = vi_set((int32_t)(way == I8_WIDE ? quad & 0xff00ff : quad));
            odd[i] = vi_set((int32_t)(quad >> 8 & 0xff00ff));
        }
        UNROLL
        for (int j = 0; j < VECTORS; j++) {
            vi b = vi_load((const int32_t *)(const void *)(weights + j * LANES * QUAD));
            UNROLL
            for (int i = 0; i < rows; i++)
                if (way == I8_DOT)
                    s[i][j] = vi_add_dot(s[i][j], even[i], b);
                else if (way == I8_PAIRS)
                    s[i][j] = vi_add_pairs(s[i][j], even[i], b);
                else
                    s[i][j] = vi_add_words(vi_add_words(s[i][j], even[i], vi_even_bytes(b)), odd[i], vi_odd_bytes(b));
        }
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < VECTORS; j++)
            vi_store(to + i * COLUMNS + j * LANES, s[i][j]);
    }
}

#define WAY(name, way)                                                                                     \
    static void name(bool all, const uint8_t *states, int64_t step, int64_t quads, const uint8_t *weights, \
                     int32_t *to)                                                                          \
    {                                                                                                      \
        if (all)                                                                                           \
            multiply(way, ROWS, states, step, quads, weights, to);                                         \
        else                                                                                               \
            multiply(way, 1, states, step, quads, weights, to);                                            \
    }
DOT_TARGET WAY(multiply_dot, I8_DOT) WAY(multiply_pairs, I8_PAIRS) WAY(multiply_wide, I8_WIDE)

    /* What sums of bytes are short of sums of numbers, by zero points, and their scale. */
    static void finish_sums(const struct part *part, const int32_t *sums, int64_t row, int64_t group, float scale,
                            int32_t zero, const int32_t *column_sums)
{
    int64_t n = part->p->hidden, local = (group - part->first_group) * WIDE;
    const bool zeros = has_zeros(part);
    const uint8_t *states = part->states + row * part->layer->room;
    uint32_t centred = zeros ? (uint32_t)SET_NAME(i8_sum)(states, n) - (uint32_t)n * (uint32_t)zero : 0;
    for (int64_t j = 0; j < COLUMNS; j += LANES) {
        int64_t at = j / WIDE * part->room + local + j % WIDE;
        vi sum = vi_sub(vi_load(sums + j), vi_mul(vi_set(zero), vi_load(column_sums + j)));
        if (zeros)
            sum = vi_sub(sum, vi_mul(vi_set((int32_t)centred), vi_load(part->zeros + at)));
        vf factor = vf_mul(vf_set(scale), vf_load(part->scales + at));
        vf_store(part->gates + row * GATES * part->room + at, vf_mul(vi_to_floats(sum), factor));
    }
}

static void multiply_group(const struct part *part, int64_t group, float scale, int32_t zero)
{
    const struct layer *layer = part->layer;
    const uint8_t *packed = part->matrix + (size_t)group * layer->group_bytes;
    const uint8_t *marks = part->matrix + (size_t)layer->groups * layer->group_bytes;
    for (int64_t row = 0, rows; row < part->active_count; row += rows) {
        int32_t sums[ROWS * COLUMNS];
        const uint8_t *states = part->states + row * layer->room;
        bool all = row + ROWS <= part->active_count;
        rows = all ? ROWS : 1;
        if (layer->dot)
            multiply_dot(all, states, layer->room, layer->quads, packed + COLUMNS * QUAD, sums);
        else if (marks[group])
            multiply_pairs(all, states, layer->room, layer->quads, packed + COLUMNS * QUAD, sums);
        else
            multiply_wide(all, states, layer->room, layer->quads, packed + COLUMNS * QUAD, sums);
        for (int64_t i = 0; i < rows; i++)
            finish_sums(part, sums + i * COLUMNS, row + i, group, scale, zero, (const int32_t *)(const void *)packed);
    }
}

static void multiply_states(const struct part *part, int64_t t)
{
    int32_t zero = 0;
    float scale = quantize(part, t, &zero);
    if (scale == 0) {
        memset(part->gates, 0, (size_t)(part->active_count * GATES * part->room) * sizeof *part->gates);
        return;
    }
    for (int64_t i = 0; i < part->groups; i++)
        multiply_group(part, part->first_group + i, scale, zero);
}

/* --- run ----------------------------------------------------------------------------------------------------- */

/* The task's units of row `at` of y become the state h, or 0 past the end of the sequence. */
static void store_step(const struct part *part, int64_t i, int64_t at, const float *h)
{
    const struct recurrent_params *p = part->p;
    if (!part->call->outputs[0])
        return;
    float *y = (float *)part->call->outputs[0] + part->direction * p->y_direction + i * p->y_batch + part->first;
    size_t bytes = (size_t)part->units * sizeof *y;
    if (h)
        memcpy(y + at * p->y_step, h, bytes);
    else
        memset(y + at * p->y_step, 0, bytes);
}

static void finish_sequence(const struct part *part, int64_t row, int64_t t)
{
    const struct recurrent_params *p = part->p;
    int64_t i = part->active[row], own = i * part->layer->room + part->first;
    int64_t at = recurrent_position(p, part->direction, recurrent_length(p, part->call, i), t);
    const float *x = (const float *)part->call->inputs[X] + part->direction * p->steps * p->batch * GATES * p->hidden +
                     i * p->x_batch + at * p->x_step + part->first;
    const struct cell cell = {.p = p,
                              .functions = p->functions[part->direction],
                              .room = part->room,
                              .units = part->units,
                              .bias = part->call->inputs[BIAS] ? part->bias : NULL,
                              .peepholes = part->call->inputs[PEEPHOLES] ? part->peepholes : NULL};
    const struct cell_state state = {
        .h = part->h[(t + 1) % 2] + own, .c = part->c + own, .gates = part->gates + row * GATES * part->room};
    SET_NAME(recurrent_finish)(&cell, &state, x);
    store_step(part, i, at, state.h);
}

static void keep_state(const struct part *part, int64_t i, int64_t t)
{
    const float *h = state_at(part, i, t);
    float *to = part->h[(t + 1) % 2] + i * part->layer->room + part->first;
    if (h)
        memcpy(to, h + part->first, (size_t)part->units * sizeof *to);
    else
        memset(to, 0, (size_t)part->units * sizeof *to);
}

static void step(struct part *part, int64_t t)
{
    part->active_count = 0;
    for (int64_t i = 0; i < part->p->batch; i++) {
        if (t < recurrent_length(part->p, part->call, i)) {
            part->active[part->active_count++] = i;
        } else {
            keep_state(part, i, t);
            store_step(part, i, t, NULL);
        }
    }
    multiply_states(part, t);
    for (int64_t i = 0; i < part->active_count; i++)
        finish_sequence(part, i, t);
}

static void store_states(const struct part *part)
{
    const struct recurrent_params *p = part->p;
    size_t bytes = (size_t)part->units * sizeof(float);
    float *last_h = part->call->outputs[1], *last_c = part->call->outputs[2];
    for (int64_t i = 0; i < p->batch; i++) {
        int64_t to = state_offset(part, i) + part->first;
        const float *h = state_at(part, i, p->steps);
        if (last_h && h)
            memcpy(last_h + to, h + part->first, bytes);
        else if (last_h)
            memset(last_h + to, 0, bytes);
        if (last_c)
            memcpy(last_c + to, part->c + i * part->layer->room + part->first, bytes);
    }
}

static void quantized_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    if (call->phase + 1 < plan->phases) {
        quantized_pack(plan, 0, call->inputs[WEIGHTS], call->shared, task);
        return;
    }
    struct part part = part_of(plan, call, task);
    int64_t steps = part.p->steps, t = call->round, end = part.layer->tasks > 1 ? least(t + 1, steps) : steps;
    if (t == 0 && !start(&part))
        return;
    for (; t < end && !kernel_ended(call); t++)
        step(&part, t);
    if (t == steps)
        store_states(&part);
}

COLD bool quantized_supports(const void *params)
{
    const struct recurrent_params *p = params;
    return p->dtype == DTYPE_F32 && p->quantized && p->cell == RECURRENT_LSTM && p->hidden <= MOST_DEPTH;
}

const struct kernel SET_NAME(recurrent_quantized_f32) = {
    .name = SET_TEXT(recurrent_quantized_f32),
    .family = FAMILY_recurrent,
    .requires = SET_REQUIRES,
    .supports = quantized_supports,
    .plan = quantized_plan,
    .pack = quantized_pack,
    .run = quantized_run,
};

const struct kernel SET_NAME(recurrent_quantized_f32_dot) = {
    .name = SET_TEXT(recurrent_quantized_f32_dot),
    .family = FAMILY_recurrent,
    .requires = DOT_REQUIRES,
    .supports = quantized_supports,
    .plan = quantized_plan_dot,
    .pack = quantized_pack,
    .run = quantized_run,
};
