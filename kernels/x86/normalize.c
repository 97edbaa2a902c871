#include "kernels/normalize.h"

#include "kernels/walk.h"
#include "kernels/x86/epilogue.h"
#include "kernels/x86/fold.h"

#include <math.h>

#define TILE 512 /* results that wait for an epilogue */

FOLD(add_deviation, vf_fma(vf_sub(x, shift), vf_sub(x, shift), s))
static const struct fold sum_of_squares = {add_deviation_along, add_deviation_across, NULL, 0};

struct normalize_state {
    struct normalize_params params; /* with as few folded axes as there can be */
    bool across;                    /* lanes lie along the groups */
    struct epilogue epilogue;
    bool has_form;
    struct epilogue_form form;
};

/* Where operands are, and their strides along the axis that vectors lie along. */
struct places {
    const float *x, *scale, *bias;
    float *y; /* NULL: results go through the epilogue */
    int64_t x_step, scale_step, bias_step;
};

static const float one = 1, nothing = 0;

/* Operands of a group; an absent scale or bias is a number. */
static struct places places_of(const struct normalize_state *state, const struct kernel_call *call, int64_t group)
{
    const struct normalize_params *p = &state->params;
    const float *x = call->inputs[0], *scale = call->inputs[1], *bias = call->inputs[2];
    int64_t at = offset_at(p->kept_rank, p->kept, p->x.kept, group);
    int axis = state->across ? p->kept_rank - 1 : p->folded_rank - 1;
    const int64_t *x_steps = state->across ? p->x.kept : p->x.folded;
    const int64_t *scale_steps = state->across ? p->scale.kept : p->scale.folded;
    const int64_t *bias_steps = state->across ? p->bias.kept : p->bias.folded;
    return (struct places){
        .x = x + at,
        .y = p->epilogue ? NULL : (float *)call->outputs[0] + at,
        .scale = scale ? scale + offset_at(p->kept_rank, p->kept, p->scale.kept, group) : &one,
        .bias = bias ? bias + offset_at(p->kept_rank, p->kept, p->bias.kept, group) : &nothing,
        .x_step = x_steps[axis],
        .scale_step = scale ? scale_steps[axis] : 0,
        .bias_step = bias ? bias_steps[axis] : 0,
    };
}

/* The places of a run: those of a group, or of its element, moved to index `index` of the first `rank` folded axes. */
static struct places moved(const struct normalize_params *p, const struct places *from, int rank, int64_t index)
{
    struct places to = *from;
    int64_t at = offset_at(rank, p->folded, p->x.folded, index);
    to.x += at;
    to.y = to.y ? to.y + at : NULL;
    if (to.scale != &one)
        to.scale += offset_at(rank, p->folded, p->scale.folded, index);
    if (to.bias != &nothing)
        to.bias += offset_at(rank, p->folded, p->bias.folded, index);
    return to;
}

static void store_tile(const struct normalize_state *state, const struct kernel_call *call,
                       const struct epilogue_tile *tile)
{
    SET_NAME(epilogue_store)(&state->epilogue, state->has_form ? &state->form : NULL, call, tile, call->workspace);
}

/* --- lanes along a group ---------------------------------------------------------------------------------------- */

/* Nearly always scale and bias lie as x does, or are one number each. */
enum lie { LIE_DENSE, LIE_CONSTANT, LIE_ANY };

static inline __attribute__((always_inline)) void write_lanes(const struct places *at, float *y, int64_t y_step,
                                                              int64_t n, vf mean, vf factor, enum lie lie)
{
    const vf first_scale = vf_set(*at->scale), first_bias = vf_set(*at->bias);
    int64_t i = 0;
    for (; lie != LIE_ANY && i + LANES <= n; i += LANES) {
        vf scale = lie == LIE_DENSE ? vf_load(at->scale + i) : first_scale;
        vf bias = lie == LIE_DENSE ? vf_load(at->bias + i) : first_bias;
        vf x = vf_mul(vf_sub(vf_load(at->x + i), mean), factor);
        vf_store(y + i, vf_fma(x, scale, bias));
    }
    for (; i < n; i += LANES) {
        int64_t count = least(n - i, LANES);
        vf scale = load_lanes(at->scale + i * at->scale_step, at->scale_step, count);
        vf bias = load_lanes(at->bias + i * at->bias_step, at->bias_step, count);
        vf x = load_lanes(at->x + i * at->x_step, at->x_step, count);
        store_lanes(y + i * y_step, vf_fma(vf_mul(vf_sub(x, mean), factor), scale, bias), y_step, count);
    }
}

static void write_run(const struct places *at, float *y, int64_t y_step, int64_t n, float mean, float factor)
{
    bool dense = at->x_step == 1 && y_step == 1;
    if (dense && at->scale_step == 1 && at->bias_step == 1)
        write_lanes(at, y, y_step, n, vf_set(mean), vf_set(factor), LIE_DENSE);
    else if (dense && at->scale_step == 0 && at->bias_step == 0)
        write_lanes(at, y, y_step, n, vf_set(mean), vf_set(factor), LIE_CONSTANT);
    else
        write_lanes(at, y, y_step, n, vf_set(mean), vf_set(factor), LIE_ANY);
}

/* A run in pieces, each through the epilogue. */
static void finish_run(const struct normalize_state *state, const struct kernel_call *call, const struct places *from,
                       int64_t group, int64_t first, float mean, float factor)
{
    float results[TILE] __attribute__((aligned(ALIGNMENT)));
    int64_t n = state->params.folded[state->params.folded_rank - 1];
    struct places at = *from;
    for (int64_t j = 0; j < n; j += TILE) {
        struct epilogue_tile tile = {.results = results,
                                     .row_stride = TILE,
                                     .column_stride = 1,
                                     .row = group,
                                     .rows = 1,
                                     .column = first + j,
                                     .columns = least(TILE, n - j)};
        at.x = from->x + j * from->x_step;
        at.scale = from->scale + j * from->scale_step;
        at.bias = from->bias + j * from->bias_step;
        write_run(&at, results, 1, tile.columns, mean, factor);
        store_tile(state, call, &tile);
    }
}

static void normalize_along(const struct normalize_state *state, const struct kernel_call *call, int64_t group)
{
    const struct normalize_params *p = &state->params;
    const struct places at = places_of(state, call, group);
    int outer_rank = p->folded_rank - 1;
    int64_t outer = elements(outer_rank, p->folded), n = p->folded[outer_rank];
    const struct folded folded = {p->folded_rank, p->folded, p->x.folded};
    float count = (float)(outer * n),
          mean = p->centred ? SET_NAME(fold_along)(&SET_NAME(fold_sum), &folded, at.x, 0) / count : 0;
    float square = SET_NAME(fold_along)(&sum_of_squares, &folded, at.x, mean);
    float factor = 1 / sqrtf(square / count + (float)p->epsilon);
    for (int64_t i = 0; i < outer; i++) {
        struct places run = moved(p, &at, outer_rank, i);
        if (p->epilogue)
            finish_run(state, call, &run, group, i * n, mean, factor);
        else
            write_run(&run, run.y, run.x_step, n, mean, factor);
    }
    if (call->outputs[1])
        ((float *)call->outputs[1])[group] = mean;
    if (call->outputs[2])
        ((float *)call->outputs[2])[group] = factor;
}

/* --- lanes along the groups -------------------------------------------------------------------------------------- */

/* What a lane multiplies by and adds, where it is the same for all elements of a group. */
struct numbers {
    vf mean[STRIPES], factor[STRIPES], scale[STRIPES], bias[STRIPES];
    bool fixed; /* scale and bias */
};

static void load_numbers(struct numbers *numbers, const struct places *at, int64_t n)
{
    for (int k = 0; k * LANES < n; k++) {
        int64_t i = k * LANES, count = least(n - i, LANES);
        numbers->scale[k] = load_lanes(at->scale + i * at->scale_step, at->scale_step, count);
        numbers->bias[k] = load_lanes(at->bias + i * at->bias_step, at->bias_step, count);
    }
}

/* A run of `count` elements, whose n groups lie next to each other and fill whole vectors. */
static void write_dense_run(const struct places *at, const struct numbers *numbers, int64_t n, int64_t count,
                            int64_t step)
{
    struct numbers kept = *numbers;
    for (int64_t i = 0; i < count; i++)
        _Pragma("GCC unroll 4") for (int k = 0; k < STRIPES; k++)
        {
            if (k * LANES >= n)
                break;
            vf x = vf_mul(vf_sub(vf_load(at->x + i * step + k * LANES), kept.mean[k]), kept.factor[k]);
            vf_store(at->y + i * step + k * LANES, vf_fma(x, kept.scale[k], kept.bias[k]));
        }
}

/* An element of n groups, each in a lane. */
static void write_element(const struct places *at, struct numbers *numbers, float *y, int64_t y_step, int64_t n)
{
    if (!numbers->fixed)
        load_numbers(numbers, at, n);
    for (int k = 0; k * LANES < n; k++) {
        int64_t i = k * LANES, count = least(n - i, LANES);
        vf x = load_lanes(at->x + i * at->x_step, at->x_step, count);
        x = vf_mul(vf_sub(x, numbers->mean[k]), numbers->factor[k]);
        store_lanes(y + i * y_step, vf_fma(x, numbers->scale[k], numbers->bias[k]), y_step, count);
    }
}

/* Elements of n groups on their way through the epilogue. */
struct waiting {
    float results[TILE] __attribute__((aligned(ALIGNMENT)));
    int64_t group, n, first, count;
};

static void flush(const struct normalize_state *state, const struct kernel_call *call, struct waiting *waiting)
{
    struct epilogue_tile tile = {.results = waiting->results,
                                 .row_stride = 1,
                                 .column_stride = STRIPES * LANES,
                                 .row = waiting->group,
                                 .rows = waiting->n,
                                 .column = waiting->first,
                                 .columns = waiting->count,
                                 .down = true};
    store_tile(state, call, &tile);
    waiting->first += waiting->count;
    waiting->count = 0;
}

/* The walk from one element of a run to the next. */
static void step_on(const struct normalize_params *p, struct places *at)
{
    int last = p->folded_rank - 1;
    at->x += p->x.folded[last];
    at->y = at->y ? at->y + p->x.folded[last] : NULL;
    at->scale += at->scale == &one ? 0 : p->scale.folded[last];
    at->bias += at->bias == &nothing ? 0 : p->bias.folded[last];
}

static bool is_fixed(const struct normalize_params *p, const struct places *at)
{
    bool fixed = true;
    for (int i = 0; i < p->folded_rank; i++)
        fixed =
            fixed && (at->scale == &one || p->scale.folded[i] == 0) && (at->bias == &nothing || p->bias.folded[i] == 0);
    return fixed;
}

static void write_elements(const struct normalize_state *state, const struct kernel_call *call, const struct places *at,
                           struct numbers *numbers, int64_t group, int64_t n)
{
    const struct normalize_params *p = &state->params;
    int last = p->folded_rank - 1;
    int64_t runs = elements(last, p->folded), most = TILE / (STRIPES * LANES);
    struct waiting waiting = {.group = group, .n = n};
    numbers->fixed = is_fixed(p, at);
    load_numbers(numbers, at, n);
    for (int64_t i = 0; i < runs; i++) {
        struct places element = moved(p, at, last, i);
        if (numbers->fixed && !p->epilogue && at->x_step == 1 && n % LANES == 0) {
            write_dense_run(&element, numbers, n, p->folded[last], p->x.folded[last]);
            continue;
        }
        for (int64_t j = 0; j < p->folded[last]; j++, step_on(p, &element)) {
            if (!p->epilogue) {
                write_element(&element, numbers, element.y, element.x_step, n);
                continue;
            }
            write_element(&element, numbers, waiting.results + waiting.count * STRIPES * LANES, 1, n);
            if (++waiting.count == most)
                flush(state, call, &waiting);
        }
    }
    if (waiting.count > 0)
        flush(state, call, &waiting);
}

static void store_statistic(float *to, const vf *values, int64_t group, int64_t n)
{
    for (int64_t i = 0; to && i < n; i += LANES)
        vf_store_part(to + group + i, values[i / LANES], least(n - i, LANES));
}

/* n groups, at most STRIPES * LANES, that share all but their last index. */
static void normalize_across(const struct normalize_state *state, const struct kernel_call *call, int64_t group,
                             int64_t n)
{
    const struct normalize_params *p = &state->params;
    const struct places at = places_of(state, call, group);
    struct numbers numbers;
    vf *mean = numbers.mean, *factor = numbers.factor, count = vf_set((float)elements(p->folded_rank, p->folded));
    const struct folded folded = {p->folded_rank, p->folded, p->x.folded};
    for (int k = 0; k < STRIPES; k++)
        mean[k] = vf_set(0);
    if (p->centred)
        SET_NAME(fold_across)(&SET_NAME(fold_sum), &folded, at.x, n, at.x_step, mean, mean);
    for (int k = 0; k < STRIPES; k++)
        mean[k] = vf_div(mean[k], count);
    SET_NAME(fold_across)(&sum_of_squares, &folded, at.x, n, at.x_step, mean, factor);
    for (int k = 0; k < STRIPES; k++)
        factor[k] = vf_div(vf_set(1), vf_sqrt(vf_add(vf_div(factor[k], count), vf_set((float)p->epsilon))));
    store_statistic(call->outputs[1], mean, group, n);
    store_statistic(call->outputs[2], factor, group, n);
    write_elements(state, call, &at, &numbers, group, n);
}

/* --- the kernel --------------------------------------------------------------------------------------------------- */

/* Folded axes i and i + 1 are one for all operands. */
static bool merges(const struct normalize_params *p, int i)
{
    const int64_t *const walks[] = {p->x.folded, p->scale.folded, p->bias.folded};
    for (int k = 0; k < 3; k++)
        if (walks[k][i] != walks[k][i + 1] * p->folded[i + 1])
            return false;
    return true;
}

static void merge_axes(struct normalize_params *p)
{
    for (int i = p->folded_rank - 2; i >= 0; i--) {
        if (!merges(p, i))
            continue;
        p->folded[i] *= p->folded[i + 1];
        int64_t *const walks[] = {p->x.folded, p->scale.folded, p->bias.folded};
        for (int k = 0; k < 3; k++)
            walks[k][i] = walks[k][i + 1];
        for (int j = i + 1; j + 1 < p->folded_rank; j++) {
            p->folded[j] = p->folded[j + 1];
            for (int k = 0; k < 3; k++)
                walks[k][j] = walks[k][j + 1];
        }
        p->folded_rank--;
    }
}

/* Groups, or cache lines of them. */
static int64_t item_count(const struct normalize_state *state)
{
    const struct normalize_params *p = &state->params;
    if (!state->across)
        return elements(p->kept_rank, p->kept);
    return elements(p->kept_rank - 1, p->kept) * divide_up(p->kept[p->kept_rank - 1], WIDE);
}

static void normalize_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct normalize_state *state = plan->state;
    const struct normalize_params *p = &state->params;
    int64_t first, last, row = p->kept_rank > 0 ? p->kept[p->kept_rank - 1] : 1;
    task_range(item_count(state), plan->tasks[0], task, &first, &last);
    if (!state->across) {
        for (int64_t i = first; i < last; i++)
            normalize_along(state, call, i);
        return;
    }
    int64_t blocks = divide_up(row, WIDE); /* of groups that share all but their last index */
    for (int64_t i = first, n; i < last; i += divide_up(n, WIDE)) {
        int64_t from = i % blocks * WIDE, end = least(row, (i % blocks + last - i) * WIDE);
        n = least(end - from, STRIPES * LANES);
        normalize_across(state, call, i / blocks * row + from, n);
    }
}

COLD bool normalize_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    const struct normalize_params *p = params;
    struct normalize_state *state = region_allocate(region, sizeof *state);
    if (!state)
        return false;
    state->params = *p;
    merge_axes(&state->params);
    state->across = p->kept_rank > 0 && p->x.kept[p->kept_rank - 1] == 1 && p->x.folded[p->folded_rank - 1] > 1;
    state->epilogue = normalize_epilogue(p);
    state->has_form = p->epilogue && epilogue_recognise(&state->epilogue, &state->form);
    plan->state = state;
    plan->phases = 1;
    int64_t each = elements(p->folded_rank, p->folded) * (state->across ? WIDE : 1);
    plan->tasks[0] = task_count(item_count(state), 1 + 16384 / (1 + each));
    if (state->across && plan->tasks[0] > 2 * facts->threads) /* wide ones read whole lines, one after the other */
        plan->tasks[0] = facts->threads > 1 ? 2 * facts->threads : 1;
    plan->task_bytes = SET_NAME(epilogue_store_bytes)(&state->epilogue, state->has_form ? &state->form : NULL);
    return true;
}

COLD bool normalize_supports(const void *params)
{
    return ((const struct normalize_params *)params)->dtype == DTYPE_F32;
}

const struct kernel SET_NAME(normalize_f32) = {
    .name = SET_TEXT(normalize_f32),
    .family = FAMILY_normalize,
    .requires = SET_REQUIRES,
    .supports = normalize_supports,
    .plan = normalize_plan,
    .run = normalize_run,
};
