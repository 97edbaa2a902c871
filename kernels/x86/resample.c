/* Resampling: weighted sums of a few elements along one axis. Lanes lie along the elements inside the axis, whole rows
 * of which have the same places and weights; or along the results, where there is nothing inside. Taps are added in
 * their order. */
#include "kernels/resample.h"

#include "kernels/walk.h"
#include "kernels/x86/vector.h"

#define GRAIN 32768 /* elements read that make a task */
#define FORM_PLACES 1
#define FORM_WEIGHTS 2

/* --- lanes along what is inside ---------------------------------------------------------------------------------- */

static void resample_row(const struct resample_params *p, const float *x, const int32_t *places, const float *weights,
                         float *y)
{
    int64_t i = 0;
    for (; i + 2 * LANES <= p->inner; i += 2 * LANES) {
        const float *from = x + places[0] * p->inner + i;
        vf weight = vf_set(weights[0]), a = vf_mul(weight, vf_load(from)), b = vf_mul(weight, vf_load(from + LANES));
        for (int64_t tap = 1; tap < p->taps; tap++) {
            from = x + places[tap] * p->inner + i;
            weight = vf_set(weights[tap]);
            a = vf_fma(weight, vf_load(from), a);
            b = vf_fma(weight, vf_load(from + LANES), b);
        }
        vf_store(y + i, a);
        vf_store(y + i + LANES, b);
    }
    for (; i < p->inner; i += LANES) {
        int64_t lanes = least(LANES, p->inner - i);
        vf sum = vf_mul(vf_set(weights[0]), vf_load_part(x + places[0] * p->inner + i, lanes));
        for (int64_t tap = 1; tap < p->taps; tap++)
            sum = vf_fma(vf_set(weights[tap]), vf_load_part(x + places[tap] * p->inner + i, lanes), sum);
        vf_store_part(y + i, sum, lanes);
    }
}

/* --- lanes along the results ------------------------------------------------------------------------------------- */

/* Places and weights tap by tap, in rows of whole vectors; place 0 and weight 0 where there is no result. */
static int64_t table_row(const struct resample_params *p)
{
    return divide_up(p->output, WIDE) * WIDE;
}

static void turn_tables(const struct resample_params *p, const int32_t *places, const float *weights,
                        int32_t *to_places, float *to_weights)
{
    int64_t row = table_row(p);
    for (int64_t tap = 0; tap < p->taps; tap++)
        for (int64_t i = 0; i < row; i++) {
            bool inside = i < p->output;
            if (to_places)
                to_places[tap * row + i] = inside ? places[i * p->taps + tap] : 0;
            if (to_weights)
                to_weights[tap * row + i] = inside ? weights[i * p->taps + tap] : 0;
        }
}

static void resample_line(const struct resample_params *p, const float *x, const int32_t *places, const float *weights,
                          float *y)
{
    int64_t row = table_row(p);
    for (int64_t i = 0; i < p->output; i += LANES) {
        vf sum = vf_mul(vf_load(weights + i), vf_gather(x, vi_load(places + i)));
        for (int64_t tap = 1; tap < p->taps; tap++)
            sum = vf_fma(vf_load(weights + tap * row + i), vf_gather(x, vi_load(places + tap * row + i)), sum);
        vf_store_part(y + i, sum, least(LANES, p->output - i));
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

COLD bool resample_supports(const void *params)
{
    const struct resample_params *p = params;
    return p->dtype == DTYPE_F32;
}

COLD bool resample_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                        struct kernel_plan *plan)
{
    const struct resample_params *p = params;
    size_t table = (size_t)(p->taps * table_row(p)) * sizeof(float);
    bool lines = p->inner == 1, packs = lines && (facts->constant_inputs & 6) == 6;
    int64_t items = p->outer * (lines ? 1 : p->output);
    (void)region;
    plan->phases = lines && !packs ? 2 : 1;
    plan->tasks[0] = 1;
    plan->tasks[plan->phases - 1] = task_count(items, 1 + GRAIN / (1 + p->taps * (lines ? p->output : p->inner)));
    plan->shared_bytes = plan->phases == 2 ? 2 * table : 0;
    plan->pack_count = packs ? 2 : 0;
    for (int i = 0; i < plan->pack_count; i++)
        plan->packs[i] = (struct kernel_pack){.input = 1 + i,
                                              .form = i == 0 ? FORM_PLACES : FORM_WEIGHTS,
                                              .tasks = 1,
                                              .geometry = {p->output, p->taps},
                                              .bytes = table};
    return true;
}

static void resample_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    (void)task;
    if (which == 0)
        turn_tables(plan->params, from, NULL, to, NULL);
    else
        turn_tables(plan->params, NULL, from, NULL, to);
}

static void resample_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct resample_params *p = plan->params;
    const float *x = call->inputs[0], *weights = call->inputs[2];
    const int32_t *places = call->inputs[1];
    float *y = call->outputs[0];
    if (plan->pack_count) {
        places = call->packed[0];
        weights = call->packed[1];
    } else if (p->inner == 1) {
        float *turned = (float *)call->shared + p->taps * table_row(p);
        if (call->phase == 0) {
            turn_tables(p, places, weights, call->shared, turned);
            return;
        }
        places = call->shared;
        weights = turned;
    }
    int64_t first, last, items = p->outer * (p->inner == 1 ? 1 : p->output);
    task_range(items, plan->tasks[call->phase], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t at = i % p->output;
        if (p->inner == 1)
            resample_line(p, x + i * p->input, places, weights, y + i * p->output);
        else
            resample_row(p, x + i / p->output * p->input * p->inner, places + at * p->taps, weights + at * p->taps,
                         y + i * p->inner);
    }
}

const struct kernel SET_NAME(resample_f32) = {
    .name = SET_TEXT(resample_f32),
    .family = FAMILY_resample,
    .requires = SET_REQUIRES,
    .supports = resample_supports,
    .plan = resample_plan,
    .pack = resample_pack,
    .run = resample_run,
};
