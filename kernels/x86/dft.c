/* Fourier transforms in f32, each lane a line of its own, by Stockham's algorithm for mixed radices: a stage reads one
 * buffer and writes the other, and the last leaves the bins in order. See Van Loan, "Computational Frameworks for the
 * Fast Fourier Transform", 1992.
 *
 * A real line of even length is transformed as half as many complex numbers, and taken apart afterwards. */
#include "kernels/dft.h"

#include "kernels/walk.h"
#include "kernels/x86/transpose.h"

#include <string.h>

#define MOST_POINTS 16384 /* complex numbers of a transform: a buffer of all lanes is 2 MB */
/* Shorter transforms are left to the sums of their definition. In a signal without some frequency these leave a
 * rounding error, where few stages give 0 to the bit; models that divide by a spectrum (Kokoro's, of 20 points) expect
 * the one and make NaN of the other. */
#define LEAST_LENGTH 32
#define MOST_RADIX 31 /* sums in f32 are short enough to be exact to a few units */
#define MOST_STAGES 14
#define FORM_TWIDDLES 1   /* kernel_pack.form */
#define TASK_WORK 4096    /* elements of a line, at least, of all groups of a task */
#define POINT (2 * LANES) /* floats: real parts of all lanes, then imaginary ones */

/* state of the plan */
struct fft {
    const struct dft_params *p;
    bool halved;           /* two elements of the line are one complex number */
    int64_t points, rows;  /* complex numbers of a transform; of a buffer */
    int64_t lines, groups; /* of LANES lines */
    int64_t numbers;       /* packed, complex ones */
    int stages;
    int64_t radices[MOST_STAGES];
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

static bool is_halved(const struct dft_params *p)
{
    return p->parts == 1 && p->length % 2 == 0;
}

static int64_t points_of(const struct dft_params *p)
{
    return is_halved(p) ? p->length / 2 : p->length;
}

/* The next radix of what is left; more than MOST_RADIX where there is none. */
static int64_t next_radix(int64_t left)
{
    if (left % 4 == 0)
        return 4;
    int64_t radix = 2;
    while (left % radix != 0 && radix <= MOST_RADIX)
        radix++;
    return radix;
}

COLD bool dft_supports(const void *params)
{
    const struct dft_params *p = params;
    int64_t left = points_of(p);
    if (p->dtype != DTYPE_F32 || p->length < LEAST_LENGTH || left > MOST_POINTS)
        return false;
    while (left > 1) {
        int64_t radix = next_radix(left);
        if (radix > MOST_RADIX)
            return false;
        left /= radix;
    }
    return true;
}

/* Numbers of a pack, complex ones: those of all stages, the roots of radices that have no code of their own, and those
 * that take a halved line apart. */
static int64_t packed_count(const struct fft *fft)
{
    int64_t count = fft->halved ? fft->points / 2 + 1 : 0, left = fft->points;
    for (int i = 0; i < fft->stages; i++) {
        left /= fft->radices[i];
        count += left * (fft->radices[i] - 1) + (fft->radices[i] > 5 ? fft->radices[i] : 0);
    }
    return count;
}

COLD bool dft_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                   struct kernel_plan *plan)
{
    const struct dft_params *p = params;
    struct fft *fft = region_allocate(region, sizeof *fft);
    if (!fft)
        return false;
    *fft = (struct fft){.p = p, .halved = is_halved(p), .points = points_of(p), .lines = p->outer * p->inner};
    for (int64_t left = fft->points; left > 1; left /= fft->radices[fft->stages++])
        fft->radices[fft->stages] = next_radix(left);
    fft->groups = divide_up(fft->lines, LANES);
    fft->rows = fft->halved && p->bins <= fft->points + 1 ? fft->points + 1 : p->length;
    fft->numbers = packed_count(fft);
    size_t bytes = (size_t)(fft->numbers * 2 + 2) * sizeof(float);
    plan->state = fft;
    plan->task_bytes = (size_t)(2 * fft->rows * POINT) * sizeof(float);
    if (facts->constant_inputs & 2u) {
        plan->pack_count = 1;
        plan->packs[0] = (struct kernel_pack){
            .input = 1, .form = FORM_TWIDDLES, .tasks = 1, .geometry = {p->length, fft->points}, .bytes = bytes};
    } else {
        plan->shared_bytes = bytes;
        plan->tasks[plan->phases++] = 1;
    }
    plan->tasks[plan->phases++] = task_count(fft->groups, 1 + TASK_WORK / p->length);
    return true;
}

/* --- packing ------------------------------------------------------------------------------------------------- */

static float *put_root(const struct fft *fft, const double *roots, int64_t index, float *to)
{
    index %= fft->p->length;
    to[0] = (float)roots[2 * index];
    to[1] = (float)roots[2 * index + 1];
    return to + 2;
}

static void dft_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    (void)which;
    (void)task;
    const struct fft *fft = plan->state;
    const double *roots = from;
    float *at = to;
    at[2 * fft->numbers] = at[2 * fft->numbers + 1] = 0; /* there may be no others */
    for (int64_t i = 0, left = fft->points; i < fft->stages; i++) {
        int64_t radix = fft->radices[i], step = fft->p->length / left;
        left /= radix;
        for (int64_t j = 0; j < left; j++)
            for (int64_t u = 1; u < radix; u++)
                at = put_root(fft, roots, j * u * step, at);
        for (int64_t u = 0; u < radix && radix > 5; u++)
            at = put_root(fft, roots, u * (fft->p->length / radix), at);
    }
    for (int64_t k = 0; k <= fft->points / 2 && fft->halved; k++)
        at = put_root(fft, roots, k, at);
}

/* --- butterflies --------------------------------------------------------------------------------------------- */

struct numbers {
    vf re, im;
};

INLINE struct numbers load_point(const float *from)
{
    return (struct numbers){vf_load(from), vf_load(from + LANES)};
}
INLINE void store_point(float *to, struct numbers x)
{
    vf_store(to, x.re);
    vf_store(to + LANES, x.im);
}
INLINE struct numbers sum(struct numbers a, struct numbers b)
{
    return (struct numbers){vf_add(a.re, b.re), vf_add(a.im, b.im)};
}
INLINE struct numbers difference(struct numbers a, struct numbers b)
{
    return (struct numbers){vf_sub(a.re, b.re), vf_sub(a.im, b.im)};
}
/* a + f b */
INLINE struct numbers plus_times(struct numbers a, float f, struct numbers b)
{
    return (struct numbers){vf_fma(vf_set(f), b.re, a.re), vf_fma(vf_set(f), b.im, a.im)};
}
INLINE struct numbers scaled(struct numbers a, float f)
{
    return (struct numbers){vf_mul(vf_set(f), a.re), vf_mul(vf_set(f), a.im)};
}
/* a - i b, and a + i b */
INLINE struct numbers turned_back(struct numbers a, struct numbers b)
{
    return (struct numbers){vf_add(a.re, b.im), vf_sub(a.im, b.re)};
}
INLINE struct numbers turned_on(struct numbers a, struct numbers b)
{
    return (struct numbers){vf_sub(a.re, b.im), vf_add(a.im, b.re)};
}
/* a times one number for all lanes. */
INLINE struct numbers times(struct numbers a, const float *w)
{
    vf re = vf_set(w[0]), im = vf_set(w[1]);
    return (struct numbers){vf_fnma(a.im, im, vf_mul(a.re, re)), vf_fma(a.im, re, vf_mul(a.re, im))};
}

/* a becomes its transform. */
INLINE void transform_2(struct numbers *a)
{
    struct numbers b = a[1];
    a[1] = difference(a[0], b);
    a[0] = sum(a[0], b);
}
INLINE void transform_3(struct numbers *a)
{
    struct numbers both = sum(a[1], a[2]), apart = scaled(difference(a[1], a[2]), 0.866025403784438647f);
    struct numbers rest = plus_times(a[0], -0.5f, both);
    a[0] = sum(a[0], both);
    a[1] = turned_back(rest, apart);
    a[2] = turned_on(rest, apart);
}
INLINE void transform_4(struct numbers *a)
{
    struct numbers even = sum(a[0], a[2]), odd = sum(a[1], a[3]);
    struct numbers other = difference(a[0], a[2]), apart = difference(a[1], a[3]);
    a[0] = sum(even, odd);
    a[2] = difference(even, odd);
    a[1] = turned_back(other, apart);
    a[3] = turned_on(other, apart);
}
INLINE void transform_5(struct numbers *a)
{
    const float cos1 = 0.309016994374947424f, cos2 = -0.809016994374947424f;
    const float sin1 = 0.951056516295153572f, sin2 = 0.587785252292473129f;
    struct numbers outer = sum(a[1], a[4]), inner = sum(a[2], a[3]);
    struct numbers far = difference(a[1], a[4]), near = difference(a[2], a[3]);
    struct numbers first = plus_times(plus_times(a[0], cos1, outer), cos2, inner);
    struct numbers second = plus_times(plus_times(a[0], cos2, outer), cos1, inner);
    struct numbers first_apart = plus_times(scaled(far, sin1), sin2, near);
    struct numbers second_apart = plus_times(scaled(far, sin2), -sin1, near);
    a[0] = sum(a[0], sum(outer, inner));
    a[1] = turned_back(first, first_apart);
    a[4] = turned_on(first, first_apart);
    a[2] = turned_back(second, second_apart);
    a[3] = turned_on(second, second_apart);
}

/* --- stages -------------------------------------------------------------------------------------------------- */

/* `parts` transforms of radix x parts points, `width` of them side by side: what is parts * width points apart becomes
 * neighbours `width` apart, multiplied by the twiddles of its part. */
struct stage {
    int64_t parts, width;
    const float *twiddles; /* [parts][radix - 1] complex numbers */
    const float *roots;    /* [radix], where transform_any makes the butterfly */
};

INLINE void run_part(const int radix, const bool twisted, void (*const transform)(struct numbers *),
                     const struct stage *stage, int64_t part, const float *from, float *to)
{
    const float *twiddles = stage->twiddles + part * (radix - 1) * 2;
    int64_t apart = stage->parts * stage->width * POINT, beside = stage->width * POINT;
    from += part * beside;
    to += part * radix * beside;
    for (int64_t i = 0; i < stage->width; i++, from += POINT, to += POINT) {
        struct numbers a[5];
        UNROLL
        for (int t = 0; t < radix; t++)
            a[t] = load_point(from + t * apart);
        transform(a);
        store_point(to, a[0]);
        UNROLL
        for (int u = 1; u < radix; u++)
            store_point(to + u * beside, twisted ? times(a[u], twiddles + (u - 1) * 2) : a[u]);
    }
}

#define STAGE(radix)                                                                       \
    static void run_stage_##radix(const struct stage *stage, const float *from, float *to) \
    {                                                                                      \
        run_part(radix, false, transform_##radix, stage, 0, from, to);                     \
        for (int64_t i = 1; i < stage->parts; i++)                                         \
            run_part(radix, true, transform_##radix, stage, i, from, to);                  \
    }
STAGE(2)
STAGE(3)
STAGE(4)
STAGE(5)

/* Any other radix, by its definition. */
static void run_stage_any(int64_t radix, const struct stage *stage, const float *from, float *to)
{
    int64_t apart = stage->parts * stage->width * POINT, beside = stage->width * POINT;
    for (int64_t i = 0; i < stage->parts * stage->width; i++) {
        int64_t part = i / stage->width;
        float *first = to + part * radix * beside + i % stage->width * POINT;
        for (int64_t u = 0; u < radix; u++) {
            struct numbers all = load_point(from + i * POINT);
            for (int64_t t = 1, root = u; t < radix; t++, root = (root + u) % radix) {
                struct numbers x = load_point(from + i * POINT + t * apart);
                vf re = vf_set(stage->roots[2 * root]), im = vf_set(stage->roots[2 * root + 1]);
                all.re = vf_fnma(x.im, im, vf_fma(x.re, re, all.re));
                all.im = vf_fma(x.im, re, vf_fma(x.re, im, all.im));
            }
            if (u > 0)
                all = times(all, stage->twiddles + (part * (radix - 1) + u - 1) * 2);
            store_point(first + u * beside, all);
        }
    }
}

/* Returns the buffer in which the bins are; *twiddles moves on to what follows. */
static float *run_stages(const struct fft *fft, float *from, float *to, const float **twiddles)
{
    struct stage stage = {.parts = fft->points, .width = 1};
    for (int i = 0; i < fft->stages; i++) {
        int64_t radix = fft->radices[i];
        stage.parts /= radix;
        stage.twiddles = *twiddles;
        stage.roots = stage.twiddles + stage.parts * (radix - 1) * 2;
        *twiddles = stage.roots + (radix > 5 ? radix * 2 : 0);
        if (radix == 2)
            run_stage_2(&stage, from, to);
        else if (radix == 3)
            run_stage_3(&stage, from, to);
        else if (radix == 4)
            run_stage_4(&stage, from, to);
        else if (radix == 5)
            run_stage_5(&stage, from, to);
        else
            run_stage_any(radix, &stage, from, to);
        stage.width *= radix;
        float *other = from;
        from = to;
        to = other;
    }
    return from;
}

/* --- lines --------------------------------------------------------------------------------------------------- */

static int64_t line_offset(const struct dft_params *p, int64_t line, int64_t elements, int parts)
{
    return (line / p->inner * elements * p->inner + line % p->inner) * parts;
}

static void load_lines(const struct fft *fft, const float *x, int64_t line, int64_t lines, float *to)
{
    const struct dft_params *p = fft->p;
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

/* Bins of the line from those of its even elements as real parts, and the odd ones as imaginary ones. */
static void take_apart(const struct fft *fft, const float *from, const float *roots, float *to)
{
    int64_t n = fft->points;
    const vf half = vf_set(0.5f);
    for (int64_t k = 0; k <= n - k; k++) {
        struct numbers a = load_point(from + k * POINT), b = load_point(from + (n - k) % n * POINT);
        vf even_re = vf_mul(half, vf_add(a.re, b.re)), even_im = vf_mul(half, vf_sub(a.im, b.im));
        struct numbers odd = {vf_mul(half, vf_sub(a.re, b.re)), vf_mul(half, vf_add(a.im, b.im))};
        odd = times(odd, roots + 2 * k);
        store_point(to + (n - k) * POINT, (struct numbers){vf_sub(even_re, odd.im), vf_neg(vf_add(even_im, odd.re))});
        store_point(to + k * POINT, (struct numbers){vf_add(even_re, odd.im), vf_sub(even_im, odd.re)});
    }
    for (int64_t k = n + 1; k < fft->rows; k++) {
        memcpy(to + k * POINT, to + (2 * n - k) * POINT, POINT * sizeof *to);
        negate(to + k * POINT + LANES);
    }
}

static void scale_all(const struct fft *fft, float *points)
{
    const vf factor = vf_set((float)(1 / (double)fft->p->length));
    for (int64_t k = 0; k < fft->p->bins; k++) {
        struct numbers x = load_point(points + k * POINT);
        store_point(points + k * POINT, (struct numbers){vf_mul(x.re, factor), vf_mul(vf_neg(x.im), factor)});
    }
}

static void store_lines(const struct fft *fft, const float *from, int64_t line, int64_t lines, float *y)
{
    const struct dft_params *p = fft->p;
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
    const struct fft *fft = plan->state;
    const struct dft_params *p = fft->p;
    if (call->phase + 1 < plan->phases) {
        dft_pack(plan, 0, call->inputs[1], call->shared, task);
        return;
    }
    float *one = call->workspace, *two = one + fft->rows * POINT;
    int64_t first, last;
    task_range(fft->groups, plan->tasks[call->phase], task, &first, &last);
    for (int64_t group = first; group < last; group++) {
        int64_t line = group * LANES, lines = least(fft->lines - line, LANES);
        const float *twiddles = plan->pack_count ? call->packed[0] : call->shared;
        load_lines(fft, call->inputs[0], line, lines, one);
        if (p->half)
            mirror(one, p->length);
        if (p->inverse && p->parts == 2) /* the forward one of the conjugate, conjugated */
            negate_all(one, fft->points);
        float *bins = run_stages(fft, one, two, &twiddles);
        if (fft->halved) {
            float *other = bins == one ? two : one;
            take_apart(fft, bins, twiddles, other);
            bins = other;
        }
        if (p->inverse)
            scale_all(fft, bins);
        store_lines(fft, bins, line, lines, call->outputs[0]);
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
