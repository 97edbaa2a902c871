/* Spectra of frames in f32, a lane a frame: see kernels/x86/fft.h. */
#include "kernels/stft.h"

#include "kernels/walk.h"
#include "kernels/x86/fft.h"
#include "kernels/x86/transpose.h"

#include <string.h>

enum { WINDOW = 1, ROOTS = 2 }; /* inputs */
#define FORM_TWIDDLES 1         /* kernel_pack.form */
#define TASK_WORK 4096          /* samples, at least, of all frames of a task */

/* state of the plan */
struct stft {
    const struct stft_params *p;
    struct fft fft;
    int64_t rows;           /* floats of a buffer, a lane */
    int64_t frames, groups; /* of all signals; of LANES frames */
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

COLD bool stft_supports(const void *params)
{
    const struct stft_params *p = params;
    struct fft fft;
    return SET_NAME(fft_init)(&fft, p->length, true) && fft.halved;
}

COLD bool stft_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                    struct kernel_plan *plan)
{
    const struct stft_params *p = params;
    struct stft *stft = region_allocate(region, sizeof *stft);
    (void)facts;
    if (!stft)
        return false;
    *stft = (struct stft){.p = p, .rows = p->length + 2, .frames = p->batch * p->frames};
    SET_NAME(fft_init)(&stft->fft, p->length, true);
    stft->groups = divide_up(stft->frames, LANES);
    plan->state = stft;
    plan->task_bytes = (size_t)((2 * stft->rows + p->length) * LANES) * sizeof(float);
    plan->pack_count = 1;
    plan->packs[0] = (struct kernel_pack){.input = ROOTS,
                                          .form = FORM_TWIDDLES,
                                          .tasks = 1,
                                          .geometry = {p->length},
                                          .bytes = SET_NAME(fft_bytes)(&stft->fft)};
    plan->tasks[plan->phases++] = task_count(stft->groups, 1 + TASK_WORK / (LANES * p->length));
    return true;
}

static void stft_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    (void)which;
    (void)task;
    const struct stft *stft = plan->state;
    SET_NAME(fft_pack)(&stft->fft, from, to);
}

/* --- frames -------------------------------------------------------------------------------------------------- */

static void fill_outside(const struct stft_params *p, const float *signal, int64_t start, int64_t first, int64_t last,
                         float *to)
{
    for (int64_t n = first; n < last; n++) {
        int64_t source = stft_source(p, start + n);
        to[n] = source < 0 ? 0 : signal[source];
    }
}

/* The samples of a frame that lies partly outside its signal. */
static void fill_frame(const struct stft_params *p, const float *signal, int64_t start, float *to)
{
    int64_t first = least(p->length, start < 0 ? -start : 0), last = least(p->length, p->samples - start);
    last = last < first ? first : last;
    fill_outside(p, signal, start, 0, first, to);
    if (first < last)
        memcpy(to + first, signal + start + first, (size_t)(last - first) * sizeof *to);
    fill_outside(p, signal, start, last, p->length, to);
}

/* Lanes without a frame of their own repeat the first. */
static void load_frames(const struct stft *stft, const float *x, int64_t first, int64_t count, float *edges, float *to)
{
    const struct stft_params *p = stft->p;
    const float *rows[LANES];
    for (int64_t i = 0; i < LANES; i++) {
        int64_t frame = first + i, start = p->start + frame % p->frames * p->hop;
        const float *signal = x + frame / p->frames * p->x_batch;
        if (i >= count) {
            rows[i] = rows[0];
        } else if (start >= 0 && start + p->length <= p->samples) {
            rows[i] = signal + start;
        } else {
            rows[i] = edges + i * p->length;
            fill_frame(p, signal, start, edges + i * p->length);
        }
    }
    SET_NAME(transpose_lanes)(rows, to, p->length);
}

/* --- bins ---------------------------------------------------------------------------------------------------- */

/* Where the rows of channels are: of the real parts, and of the imaginary ones. */
struct places {
    int64_t step, apart; /* from bin to bin; from part to part */
};

INLINE void put_bin(const struct stft_params *p, const enum stft_result result, struct places at, float *to, int64_t k,
                    struct numbers x)
{
    if (k >= p->bins)
        return;
    to += k * at.step;
    if (result == STFT_PARTS) {
        vf_store(to, x.re);
        vf_store(to + at.apart, p->conjugate ? vf_neg(x.im) : x.im);
        return;
    }
    vf power = vf_add(vf_mul(x.re, x.re), vf_mul(x.im, x.im));
    vf_store(to, result == STFT_POWER ? power : vf_sqrt(power));
}

INLINE void put_bins(const struct stft *stft, const enum stft_result result, struct places at, const float *from,
                     const float *roots, float *to)
{
    int64_t n = stft->fft.points;
    for (int64_t k = 0; k <= n - k; k++) {
        struct numbers x, y;
        take_apart(&stft->fft, from, k, roots + 2 * k, &x, &y);
        put_bin(stft->p, result, at, to, n - k, y);
        put_bin(stft->p, result, at, to, k, x);
    }
}

/* A row of all lanes for each channel. */
static void make_channels(const struct stft *stft, const float *from, const float *roots, float *to)
{
    const struct places one = {.step = LANES}, pairs = {.step = POINT, .apart = LANES};
    const struct places parts = {.step = LANES, .apart = stft->p->bins * LANES};
    switch (stft->p->result) {
    case STFT_PARTS:
        put_bins(stft, STFT_PARTS, parts, from, roots, to);
        break;
    case STFT_PAIRS:
        put_bins(stft, STFT_PARTS, pairs, from, roots, to);
        break;
    case STFT_POWER:
        put_bins(stft, STFT_POWER, one, from, roots, to);
        break;
    default:
        put_bins(stft, STFT_MAGNITUDE, one, from, roots, to);
    }
}

/* Neighbouring frames of one signal. */
static void store_frames(const struct stft_params *p, const float *from, int64_t count, float *y)
{
    int64_t channels = stft_channels(p), step = p->y.spatial[SPATIAL_AXES - 1];
    if (p->y.channel == 1) {
        SET_NAME(transpose)
        (sizeof *y, from, LANES * sizeof *y, y, step * (int64_t)sizeof *y, channels, count);
        return;
    }
    if (step == 1 && count == LANES) {
        for (int64_t c = 0; c < channels; c++)
            vf_store(y + c * p->y.channel, vf_load(from + c * LANES));
        return;
    }
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < count; i++)
            y[c * p->y.channel + i * step] = from[c * LANES + i];
}

static void store_signals(const struct stft *stft, const float *from, int64_t first, int64_t count, float *y)
{
    const struct stft_params *p = stft->p;
    while (count > 0) {
        int64_t item = first / p->frames, frame = first % p->frames, some = least(count, p->frames - frame);
        store_frames(p, from, some, y + item * p->y.batch + frame * p->y.spatial[SPATIAL_AXES - 1]);
        from += some;
        first += some;
        count -= some;
    }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

static void stft_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct stft *stft = plan->state;
    float *one = call->workspace, *two = one + stft->rows * LANES, *edges = two + stft->rows * LANES;
    int64_t first, last;
    task_range(stft->groups, plan->tasks[0], task, &first, &last);
    for (int64_t group = first; group < last; group++) {
        int64_t frame = group * LANES, count = least(stft->frames - frame, LANES);
        const float *packed = call->packed[0];
        load_frames(stft, call->inputs[0], frame, count, edges, one);
        float *points = SET_NAME(fft_run)(&stft->fft, call->inputs[WINDOW], &packed, one, two);
        float *channels = points == one ? two : one;
        make_channels(stft, points, packed, channels);
        store_signals(stft, channels, frame, count, call->outputs[0]);
    }
}

const struct kernel SET_NAME(stft_f32) = {
    .name = SET_TEXT(stft_f32),
    .family = FAMILY_stft,
    .requires = SET_REQUIRES,
    .constant_inputs = 1u << ROOTS,
    .supports = stft_supports,
    .plan = stft_plan,
    .pack = stft_pack,
    .run = stft_run,
};
