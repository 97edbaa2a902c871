/* Functions of a vector, within 2 units in the last place of the true value unless said otherwise; NaN in, NaN out.
 * They are made of the operations of vector.h alone, so that every set gives the same bits. */
#ifndef INFER_KERNELS_X86_VECTOR_MATH_H
#define INFER_KERNELS_X86_VECTOR_MATH_H

#include "kernels/x86/vector.h"

/* x 2^n for -300 <= n <= 300, in two steps so that neither power leaves the range. */
static inline vf vf_scale(vf x, vi n)
{
    vi half = vi_sub(vi_shift_right(vi_add(n, vi_set(512)), 1), vi_set(256)), bias = vi_set(127);
    vf a = vi_as_floats(vi_shift_left(vi_add(half, bias), 23));
    vf b = vi_as_floats(vi_shift_left(vi_add(vi_sub(n, half), bias), 23));
    return vf_mul(vf_mul(x, a), b);
}

/* e^x = 2^n e^r with n = round(x / ln 2): |r| <= ln 2 / 2, where a polynomial does (its coefficients are those of the
 * Cephes library's expf, S. Moshier 1992). ln 2 is taken off in two parts, the first of few bits: Cody and Waite,
 * "Software Manual for the Elementary Functions", 1980. */
static inline vf vf_exp(vf x)
{
    /* Beyond these the result is 0 or infinity. The order of operands keeps a NaN. */
    x = vf_min(vf_set(90.0f), vf_max(vf_set(-105.0f), x));
    vf n = vf_round(vf_mul(x, vf_set(1.44269504088896341f)));
    vf r = vf_fnma(n, vf_set(-2.12194440e-4f), vf_fnma(n, vf_set(0.693359375f), x));
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    p = vf_add(vf_fma(p, vf_mul(r, r), r), vf_set(1.0f));
    return vf_scale(p, vf_to_nearest(n));
}

#endif
