/* Fourier transforms in f32: see kernels/x86/fft.h. */
#include "kernels/dft.h"

#include "kernels/walk.h"
#include "kernels/x86/fft.h"
#include "kernels/x86/transpose.h"

#include <string.h>

#define FORM_TWIDDLES 1 /* kernel_pack.form */
#define TASK_WORK 4096  /* elements of a line, at least, of all groups of a task */

/* state of the plan */
struct dft {
    const struct dft_params *p;
    struct fft fft;
    int64_t rows;          /* complex numbers of a buffer */
    int64_t lines, groups; /* of LANES lines */
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

COLD bool dft_supports(const void *params)
{
    const struct dft_params *p = params;
    struct fft fft;
    return p->dtype == DTYPE_F32 && SET_NAME(fft_init)(&fft, p->length, p->parts == 1);
}

COLD bool dft_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                   struct kernel_plan *plan)
{
    const struct dft_params *p = params;
    struct dft *dft = region_allocate(region, sizeof *dft);
    if (!dft)
        return false;
    *dft = (struct dft){.p = p, .lines = p->outer * p->inner};
    SET_NAME(fft_init)(&dft->fft, p->length, p->parts == 1);
    const struct fft *fft = &dft->fft;
    dft->groups = divide_up(dft->lines, LANES);
    dft->rows = fft->halved && p->bins <= fft->points + 1 ? fft->points + 1 : p->length;
    size_t bytes = SET_NAME(fft_bytes)(fft);
    plan->state = dft;
    plan->task_bytes = (size_t)(2 * dft->rows * POINT) * sizeof(float);
    if (facts->constant_inputs & 2u) {
        plan->pack_count = 1;
        plan->packs[0] = (struct kernel_pack){
            .input = 1, .form = FORM_TWIDDLES, .tasks = 1, .geometry = {p->length, fft->points}, .bytes = bytes};
    } else {
        plan->shared_bytes = bytes;
        plan->tasks[plan->phases++] = 1;
    }
    plan->tasks[plan->phases++] = task_count(dft->groups, 1 + TASK_WORK / p->length);
    return true;
}

static void dft_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    (void)which;
    (void)task;
    const struct dft *dft = plan->state;
    SET_NAME(fft_pack)(&dft->fft, from, to);
}

/* --- lines --------------------------------------------------------------------------------------------------- */

static int64_t line_offset(const struct dft_params *p, int64_t line, int64_t elements, int parts)
{
    return (line / p->inner * elements * p->inner + line % p->inner) * parts;
}

static void load_lines(const struct dft *dft, const float *x, int64_t line, int64_t lines, float *to)
{
    const struct dft_params *p = dft->p;
    const struct fft *fft = &dft->fft;
    int64_t count = least(p->count, p->length), row = p->parts == 1 && !fft->halved ? POINT : LANES;
    if (lines < LANES || count < p->length || row == POINT)
        memset(to, 0, (size_t)(fft->points * POINT) * sizeof *to);
    if (p->inner == 1) {
        SET_NAME(transpose)
        (sizeof *x, x + line * p->count * p->parts, p->count * p->parts * (int64_t)sizeof *x, to,
         row * (int64_t)sizeof *to, lines, count * p->parts);
        return;
    }
    for (int64_t i = 0; i < lines; i++) {
        const float *from = x + line_offset(p, line + i, p->count, p->parts);
        for (int64_t k = 0; k < count * p->parts; k++)
            to[k * row + i] = from[k / p->parts * p->inner * p->parts + k % p->parts];
    }
}

INLINE void negate(float *at)
{
    vf_store(at, vf_neg(vf_load(at)));
}

/* Completes a half spectrum by X[n - k] = conj X[k]; bins that are their own mirror image are real. */
static void mirror(float *points, int64_t n)
{
    for (int64_t k = 0; k <= n / 2; k++) {
        if (k == 0 || 2 * k == n) {
            vf_store(points + k * POINT + LANES, vf_set(0));
        } else {
            memcpy(points + (n - k) * POINT, points + k * POINT, POINT * sizeof *points);
            negate(points + (n - k) * POINT + LANES);
        }
    }
}

static void negate_all(float *points, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        negate(points + k * POINT + LANES);
}

/* Bins of the line, whose second half mirrors the first, from those of its even and odd elements. */
static void take_all_apart(const struct dft *dft, const float *from, const float *roots, float *to)
{
    int64_t n = dft->fft.points;
    for (int64_t k = 0; k <= n - k; k++) {
        struct numbers x, y;
        take_apart(&dft->fft, from, k, roots + 2 * k, &x, &y);
        store_point(to + (n - k) * POINT, y);
        store_point(to + k * POINT, x);
    }
    for (int64_t k = n + 1; k < dft->rows; k++) {
        memcpy(to + k * POINT, to + (2 * n - k) * POINT, POINT * sizeof *to);
        negate(to + k * POINT + LANES);
    }
}

static void scale_all(const struct dft_params *p, float *points)
{
    const vf factor = vf_set((float)(1 / (double)p->length));
    for (int64_t k = 0; k < p->bins; k++) {
        struct numbers x = load_point(points + k * POINT);
        store_point(points + k * POINT, (struct numbers){vf_mul(x.re, factor), vf_mul(vf_neg(x.im), factor)});
    }
}

static void store_lines(const struct dft_params *p, const float *from, int64_t line, int64_t lines, float *y)
{
    int64_t row = p->parts_out == 1 ? POINT : LANES;
    if (p->inner == 1) {
        SET_NAME(transpose)
        (sizeof *y, from, row * (int64_t)sizeof *from, y + line * p->bins * p->parts_out,
         p->bins * p->parts_out * (int64_t)sizeof *y, p->bins * p->parts_out, lines);
        return;
    }
    for (int64_t i = 0; i < lines; i++) {
        float *to = y + line_offset(p, line + i, p->bins, p->parts_out);
        for (int64_t k = 0; k < p->bins * p->parts_out; k++)
            to[k / p->parts_out * p->inner * p->parts_out + k % p->parts_out] = from[k * row + i];
    }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

static void dft_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct dft *dft = plan->state;
    const struct dft_params *p = dft->p;
    const struct fft *fft = &dft->fft;
    if (call->phase + 1 < plan->phases) {
        dft_pack(plan, 0, call->inputs[1], call->shared, task);
        return;
    }
    float *one = call->workspace, *two = one + dft->rows * POINT;
    int64_t first, last;
    task_range(dft->groups, plan->tasks[call->phase], task, &first, &last);
    for (int64_t group = first; group < last; group++) {
        int64_t line = group * LANES, lines = least(dft->lines - line, LANES);
        const float *twiddles = plan->pack_count ? call->packed[0] : call->shared;
        load_lines(dft, call->inputs[0], line, lines, one);
        if (p->half)
            mirror(one, p->length);
        if (p->inverse && p->parts == 2) /* the forward one of the conjugate, conjugated */
            negate_all(one, fft->points);
        float *bins = SET_NAME(fft_run)(fft, NULL, &twiddles, one, two);
        if (fft->halved) {
            float *other = bins == one ? two : one;
            take_all_apart(dft, bins, twiddles, other);
            bins = other;
        }
        if (p->inverse)
            scale_all(p, bins);
        store_lines(p, bins, line, lines, call->outputs[0]);
    }
}

const struct kernel SET_NAME(dft_f32) = {
    .name = SET_TEXT(dft_f32),
    .family = FAMILY_dft,
    .requires = SET_REQUIRES,
    .supports = dft_supports,
    .plan = dft_plan,
    .pack = dft_pack,
    .run = dft_run,
};
