/* Family stft: spectra of overlapping pieces of real signals (short-time Fourier transform). */
#ifndef INFER_KERNELS_STFT_H
#define INFER_KERNELS_STFT_H

#include "kernels/kernel.h"
#include "kernels/window.h"

enum stft_result {
    STFT_PARTS,    /* a channel for each part: real parts of all bins, then imaginary ones */
    STFT_PAIRS,    /* the same, the two parts of a bin one after the other */
    STFT_POWER,    /* re^2 + im^2, each operation rounded */
    STFT_MAGNITUDE /* its square root */
};

/* inputs: signals, f32; window, f32 [length]; exp(-2 pi i k / length), f64 [length, 2]; output f32 [batch, channels,
 * frames]. Frame f is made of samples start + f hop and on, `length` of them, each times its factor of the window: what
 * lies before or after the signal is 0, or, where it is mirrored, the signal turned round at its first or last sample,
 * which it reaches no further than the other end of. Bin k is the sum of them times exp(-2 pi i k n / length), n from 0
 * on. A sample that is not finite may make NaN of all bins of its frames. */
struct stft_params {
    int64_t batch, samples, x_batch; /* signals; of each; stride from one to the next */
    int64_t frames, hop, start;
    int64_t length, bins; /* bins: at most length / 2 + 1 */
    enum stft_result result;
    bool mirrored;
    bool conjugate; /* imaginary parts change their sign */
    struct image_strides y;
};

static inline ANYWHERE int64_t stft_channels(const struct stft_params *p)
{
    return p->result == STFT_PARTS || p->result == STFT_PAIRS ? 2 * p->bins : p->bins;
}

/* The sample at place i of a signal, which may lie outside; -1: there is none, it counts as 0. */
static inline ANYWHERE int64_t stft_source(const struct stft_params *p, int64_t i)
{
    if (i < 0)
        i = p->mirrored ? -i : -1;
    else if (i >= p->samples)
        i = p->mirrored ? 2 * (p->samples - 1) - i : -1;
    return i;
}

#endif
