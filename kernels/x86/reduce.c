#include "kernels/reduce.h"

#include "kernels/walk.h"
#include "kernels/x86/epilogue.h"
#include "kernels/x86/fold.h"
#include "kernels/x86/vector_math.h"

#define TILE 128 /* outputs at a time */
#define FEW 8    /* elements to fold: lanes lie along the outputs, wherever these are */

/* --- folding ------------------------------------------------------------------------------------------------------ */

FOLD(multiply, vf_mul(s, x))
FOLD(largest, vf_larger(s, x))
FOLD(smallest, vf_smaller(s, x))
FOLD(add_magnitude, vf_add(s, vf_abs(x)))
FOLD(add_square, vf_fma(x, x, s))
FOLD(add_exponential, vf_add(s, vf_exp(vf_sub(x, shift))))

WIDE_TREE(wide_product, vf_mul)
WIDE_TREE(wide_smallest, vf_smaller)

static const struct fold product = {multiply_along, multiply_across, wide_product, 1};
static const struct fold most = {largest_along, largest_across, wide_largest, -INFINITY};
static const struct fold smallest = {smallest_along, smallest_across, wide_smallest, INFINITY};
static const struct fold magnitudes = {add_magnitude_along, add_magnitude_across, NULL, 0};
static const struct fold squares = {add_square_along, add_square_across, NULL, 0};
static const struct fold exponentials = {add_exponential_along, add_exponential_across, NULL, 0};
static const struct fold *const folds[REDUCE_COUNT] = {
    [REDUCE_SUM] = &SET_NAME(fold_sum),
    [REDUCE_MEAN] = &SET_NAME(fold_sum),
    [REDUCE_PROD] = &product,
    [REDUCE_MAX] = &most,
    [REDUCE_MIN] = &smallest,
    [REDUCE_L1] = &magnitudes,
    [REDUCE_L2] = &squares,
    [REDUCE_SUM_SQUARE] = &squares,
    [REDUCE_LOG_SUM] = &SET_NAME(fold_sum),
    [REDUCE_LOG_SUM_EXP] = &exponentials,
};

/* Lanes lie along the outputs where these lie closer than what is folded, or that is little. */
static bool folds_across(const struct reduce_params *p)
{
    if (elements(p->folded_rank, p->folded) <= FEW)
        return true;
    return p->kept_rank > 0 && p->kept_strides[p->kept_rank - 1] < p->folded_strides[p->folded_rank - 1];
}

/* --- tiles of outputs that share all but their last index -------------------------------------------------------- */

/* Where the tile's first output folds from. */
struct tile {
    const struct reduce_params *params;
    const void *from;
    int64_t size;        /* bytes of an element of x */
    int64_t count, step; /* outputs, and how far they are apart in x */
    struct folded folded;
};

/* Where output j folds from. */
static const void *from_output(const struct tile *tile, int64_t j)
{
    return (const char *)tile->from + j * tile->step * tile->size;
}

static void fold_tile(const struct tile *tile, const struct fold *fold, float *sums, const float *shifts)
{
    if (!folds_across(tile->params)) {
        for (int64_t j = 0; j < tile->count; j++)
            sums[j] = SET_NAME(fold_along)(fold, &tile->folded, from_output(tile, j), shifts[j]);
        return;
    }
    for (int64_t j = 0; j < tile->count; j += STRIPES * LANES) {
        vf shift[STRIPES], results[STRIPES];
        for (int k = 0; k < STRIPES; k++)
            shift[k] = vf_load(shifts + j + k * LANES);
        SET_NAME(fold_across)
        (fold, &tile->folded, from_output(tile, j), least(tile->count - j, STRIPES * LANES), tile->step, shift,
         results);
        for (int k = 0; k < STRIPES; k++)
            vf_store(sums + j + k * LANES, results[k]);
    }
}

static vf finished(const struct reduce_params *p, vf sum, vf shift)
{
    switch (p->kind) {
    case REDUCE_MEAN:
        return vf_div(sum, vf_set((float)elements(p->folded_rank, p->folded)));
    case REDUCE_L2:
        return vf_sqrt(sum);
    case REDUCE_LOG_SUM:
        return vf_log(sum);
    case REDUCE_LOG_SUM_EXP:
        return vf_add(vf_log(sum), shift);
    default:
        return sum;
    }
}

static void mean_tile(const struct tile *tile, float *y)
{
    for (int64_t j = 0; j < tile->count; j += STRIPES * LANES)
        SET_NAME(mean_bytes)
    (&tile->folded, from_output(tile, j), tile->params->bytes == DTYPE_I8, least(tile->count - j, STRIPES * LANES),
     tile->step, y + j);
}

/* y has room for TILE. */
static void reduce_tile(const struct tile *tile, float *y)
{
    const struct reduce_params *p = tile->params;
    float shifts[TILE] = {0};
    if (p->bytes) {
        mean_tile(tile, y);
        return;
    }
    if (p->kind == REDUCE_LOG_SUM_EXP) {
        fold_tile(tile, folds[REDUCE_MAX], shifts, shifts);
        for (int64_t i = 0; i < TILE; i++)
            if (!isfinite(shifts[i]))
                shifts[i] = 0; /* e^(inf - inf) would be a NaN */
    }
    fold_tile(tile, folds[p->kind], y, shifts);
    for (int64_t i = 0; i < tile->count; i += LANES)
        vf_store(y + i, finished(p, vf_load(y + i), vf_load(shifts + i)));
}

/* --- the kernel --------------------------------------------------------------------------------------------------- */

struct reduce_state {
    struct epilogue epilogue;
    bool has_form;
    struct epilogue_form form;
};

static void store_tile(const struct reduce_state *state, const struct kernel_call *call, const float *results,
                       int64_t first, int64_t n)
{
    struct epilogue_tile tile = {.results = results, .column_stride = 1, .rows = 1, .column = first, .columns = n};
    float *y = call->outputs[0];
    if (state->epilogue.program) {
        SET_NAME(epilogue_store)
        (&state->epilogue, state->has_form ? &state->form : NULL, call, &tile, call->workspace);
        return;
    }
    for (int64_t i = 0; i < n; i += LANES)
        vf_store_part(y + first + i, vf_load(results + i), least(n - i, LANES));
}

static void reduce_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct reduce_params *p = plan->params;
    static const int64_t one = 1, nowhere = 0;
    int last_kept = p->kept_rank - 1;
    struct tile tile = {.params = p,
                        .size = p->bytes ? 1 : (int64_t)sizeof(float),
                        .step = last_kept >= 0 ? p->kept_strides[last_kept] : 0,
                        .folded = {p->folded_rank, p->folded, p->folded_strides}};
    if (p->folded_rank == 0) /* each element alone */
        tile.folded = (struct folded){1, &one, &nowhere};
    int64_t first, last, row = last_kept >= 0 ? p->kept[last_kept] : 1;
    task_range(elements(p->kept_rank, p->kept), plan->tasks[0], task, &first, &last);
    while (first < last) {
        float results[TILE] __attribute__((aligned(ALIGNMENT)));
        int64_t left = row - first % row;
        tile.count = least(TILE, least(left, last - first));
        tile.from = call->inputs[0];
        if (tile.from) /* NULL: nothing to fold */
            tile.from = (const char *)tile.from + offset_at(p->kept_rank, p->kept, p->kept_strides, first) * tile.size;
        reduce_tile(&tile, results);
        store_tile(plan->state, call, results, first, tile.count);
        first += tile.count;
    }
}

COLD bool reduce_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                      struct kernel_plan *plan)
{
    const struct reduce_params *p = params;
    struct reduce_state *state = region_allocate(region, sizeof *state);
    (void)facts;
    if (!state)
        return false;
    state->epilogue = reduce_epilogue(p);
    state->has_form = p->epilogue && epilogue_recognise(&state->epilogue, &state->form);
    plan->state = state;
    plan->phases = 1;
    /* Fewer bytes of a row take as long. */
    int64_t least_outputs = p->bytes ? STRIPES * LANES : 1;
    plan->tasks[0] = task_count(elements(p->kept_rank, p->kept),
                                least_outputs + 65536 / (1 + elements(p->folded_rank, p->folded)));
    plan->task_bytes = SET_NAME(epilogue_store_bytes)(&state->epilogue, state->has_form ? &state->form : NULL);
    return true;
}

COLD bool reduce_supports(const void *params)
{
    return ((const struct reduce_params *)params)->dtype == DTYPE_F32;
}

const struct kernel SET_NAME(reduce_f32) = {
    .name = SET_TEXT(reduce_f32),
    .family = FAMILY_reduce,
    .requires = SET_REQUIRES,
    .supports = reduce_supports,
    .plan = reduce_plan,
    .run = reduce_run,
};
