/* Fourier transforms in f32, each lane a line of its own. */
#ifndef INFER_KERNELS_X86_FFT_H
#define INFER_KERNELS_X86_FFT_H

#include "kernels/x86/vector.h"

/* Shorter transforms are left to the sums of their definition. In a signal without some frequency these leave a
 * rounding error, where few stages give 0 to the bit; models that divide by a spectrum (Kokoro's, of 20 points) expect
 * the one and make NaN of the other. */
#define FFT_LEAST_LENGTH 32
#define FFT_MOST_STAGES 14
#define POINT (2 * LANES) /* floats: real parts of all lanes, then imaginary ones */

/* A transform of lines of one length. */
struct fft {
    int64_t length;
    bool halved;     /* two elements of a real line are one complex number */
    int64_t points;  /* complex numbers of a transform */
    int64_t numbers; /* packed, complex ones */
    int stages;
    int64_t radices[FFT_MOST_STAGES];
};

/* False: the length is left to other algorithms. */
bool SET_NAME(fft_init)(struct fft *fft, int64_t length, bool real);
size_t SET_NAME(fft_bytes)(const struct fft *fft); /* of a pack */
/* roots: exp(-2 pi i k / length) for all k. What is packed: the twiddles of all stages, and those that take a halved
 * line apart. */
void SET_NAME(fft_pack)(const struct fft *fft, const double *roots, float *to);
/* Transforms `points` points, which are at `from`, by way of the buffer `to`; returns the one in which the bins are.
 * window: factors of the elements of a line, two for each point of a halved one; NULL: none. *packed moves on to what
 * takes a halved line apart. */
float *SET_NAME(fft_run)(const struct fft *fft, const float *window, const float **packed, float *from, float *to);

/* --- complex numbers ----------------------------------------------------------------------------------------- */

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
/* a times one number for all lanes. */
INLINE struct numbers times(struct numbers a, const float *w)
{
    vf re = vf_set(w[0]), im = vf_set(w[1]);
    return (struct numbers){vf_fnma(a.im, im, vf_mul(a.re, re)), vf_fma(a.im, re, vf_mul(a.re, im))};
}

/* Bins k and points - k of a halved line, *x and *y, from those of its even elements as real parts, and of the odd ones
 * as imaginary ones; root: exp(-2 pi i k / length). */
INLINE void take_apart(const struct fft *fft, const float *from, int64_t k, const float *root, struct numbers *x,
                       struct numbers *y)
{
    const vf half = vf_set(0.5f);
    struct numbers a = load_point(from + k * POINT), b = load_point(from + (fft->points - k) % fft->points * POINT);
    vf even_re = vf_mul(half, vf_add(a.re, b.re)), even_im = vf_mul(half, vf_sub(a.im, b.im));
    struct numbers odd = {vf_mul(half, vf_sub(a.re, b.re)), vf_mul(half, vf_add(a.im, b.im))};
    odd = times(odd, root);
    *y = (struct numbers){vf_sub(even_re, odd.im), vf_neg(vf_add(even_im, odd.re))};
    *x = (struct numbers){vf_add(even_re, odd.im), vf_sub(even_im, odd.re)};
}

#endif
