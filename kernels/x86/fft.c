/* Stockham's algorithm for mixed radices: a stage reads one buffer and writes the other, and the last leaves the bins
 * in order. See Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992.
 *
 * A real line of even length is transformed as half as many complex numbers, and taken apart afterwards. */
#include "kernels/x86/fft.h"

#define MOST_POINTS 16384 /* complex numbers of a transform: a buffer of all lanes is 2 MB */
#define MOST_RADIX 31     /* sums in f32 are short enough to be exact to a few units */

/* --- plan ---------------------------------------------------------------------------------------------------- */

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

bool SET_NAME(fft_init)(struct fft *fft, int64_t length, bool real)
{
    bool halved = real && length % 2 == 0;
    *fft = (struct fft){.length = length, .halved = halved, .points = halved ? length / 2 : length};
    if (length < FFT_LEAST_LENGTH || fft->points > MOST_POINTS)
        return false;
    for (int64_t left = fft->points; left > 1; left /= fft->radices[fft->stages++]) {
        fft->radices[fft->stages] = next_radix(left);
        if (fft->radices[fft->stages] > MOST_RADIX)
            return false;
    }
    fft->numbers = packed_count(fft);
    return true;
}

size_t SET_NAME(fft_bytes)(const struct fft *fft)
{
    return (size_t)(fft->numbers * 2 + 2) * sizeof(float);
}

/* --- packing ------------------------------------------------------------------------------------------------- */

static float *put_root(const struct fft *fft, const double *roots, int64_t index, float *to)
{
    index %= fft->length;
    to[0] = (float)roots[2 * index];
    to[1] = (float)roots[2 * index + 1];
    return to + 2;
}

void SET_NAME(fft_pack)(const struct fft *fft, const double *roots, float *to)
{
    float *at = to;
    at[2 * fft->numbers] = at[2 * fft->numbers + 1] = 0; /* there may be no others */
    for (int64_t i = 0, left = fft->points; i < fft->stages; i++) {
        int64_t radix = fft->radices[i], step = fft->length / left;
        left /= radix;
        for (int64_t j = 0; j < left; j++)
            for (int64_t u = 1; u < radix; u++)
                at = put_root(fft, roots, j * u * step, at);
        for (int64_t u = 0; u < radix && radix > 5; u++)
            at = put_root(fft, roots, u * (fft->length / radix), at);
    }
    for (int64_t k = 0; k <= fft->points / 2 && fft->halved; k++)
        at = put_root(fft, roots, k, at);
}

/* --- butterflies --------------------------------------------------------------------------------------------- */

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
    const float *window;   /* of the points, two factors each; NULL: none */
};

/* Point `index` of a windowed line. */
INLINE struct numbers weighted(struct numbers x, const float *window, int64_t index)
{
    return (struct numbers){vf_mul(x.re, vf_set(window[2 * index])), vf_mul(x.im, vf_set(window[2 * index + 1]))};
}

INLINE void run_part(const int radix, const bool twisted, const bool windowed,
                     void (*const transform)(struct numbers *), const struct stage *stage, int64_t part,
                     const float *from, float *to)
{
    const float *twiddles = stage->twiddles + part * (radix - 1) * 2;
    int64_t apart = stage->parts * stage->width * POINT, beside = stage->width * POINT;
    from += part * beside;
    to += part * radix * beside;
    for (int64_t i = 0; i < stage->width; i++, from += POINT, to += POINT) {
        struct numbers a[5];
        UNROLL
        for (int t = 0; t < radix; t++) {
            a[t] = load_point(from + t * apart);
            if (windowed)
                a[t] = weighted(a[t], stage->window, part + t * stage->parts);
        }
        transform(a);
        store_point(to, a[0]);
        UNROLL
        for (int u = 1; u < radix; u++)
            store_point(to + u * beside, twisted ? times(a[u], twiddles + (u - 1) * 2) : a[u]);
    }
}

#define STAGE(radix, name, windowed)                                                      \
    static void run_stage_##name(const struct stage *stage, const float *from, float *to) \
    {                                                                                     \
        run_part(radix, false, windowed, transform_##radix, stage, 0, from, to);          \
        for (int64_t i = 1; i < stage->parts; i++)                                        \
            run_part(radix, true, windowed, transform_##radix, stage, i, from, to);       \
    }
STAGE(2, 2, false)
STAGE(3, 3, false)
STAGE(4, 4, false)
STAGE(4, 4_windowed, true)
STAGE(5, 5, false)

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

/* Where no stage does it on its way. */
static void apply_window(const struct fft *fft, const float *window, float *points)
{
    for (int64_t i = 0; i < fft->points; i++)
        store_point(points + i * POINT, weighted(load_point(points + i * POINT), window, i));
}

float *SET_NAME(fft_run)(const struct fft *fft, const float *window, const float **packed, float *from, float *to)
{
    struct stage stage = {.parts = fft->points, .width = 1, .window = window};
    if (window && fft->radices[0] != 4)
        apply_window(fft, window, from);
    for (int i = 0; i < fft->stages; i++) {
        int64_t radix = fft->radices[i];
        stage.parts /= radix;
        stage.twiddles = *packed;
        stage.roots = stage.twiddles + stage.parts * (radix - 1) * 2;
        *packed = stage.roots + (radix > 5 ? radix * 2 : 0);
        if (radix == 2)
            run_stage_2(&stage, from, to);
        else if (radix == 3)
            run_stage_3(&stage, from, to);
        else if (radix == 4 && window && i == 0)
            run_stage_4_windowed(&stage, from, to);
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
