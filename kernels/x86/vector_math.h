/* Functions of a vector: NaN in, NaN out; infinities, zeros and denormals as mathematics has them. They are made of the
 * operations of vector.h alone, so that every set gives the same bits. How far they are off at most, over all floats,
 * is in tests/vectors/functions.def, and measured there: no more than 2 units in the last place, but products with x
 * (SiLU, GELU, ...) 3, and GELU less in relation to results that nearly vanish, far below 0. */
#ifndef INFER_KERNELS_X86_VECTOR_MATH_H
#define INFER_KERNELS_X86_VECTOR_MATH_H

#include "kernels/x86/vector.h"

#include <math.h>

/* Coefficients are of the polynomial that is nearest in the relative error of the result (Remez), rounded to floats one
 * after the other from the lowest, the rest fitted anew each time. */

/* --- exponential ----------------------------------------------------------------------------------------------- */

/* e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2. ln 2 is taken off in two parts, the first of few bits: Cody
 * and Waite, "Software Manual for the Elementary Functions", 1980. |x| < 2^20. */
static inline vf vf_exp_reduce(vf x, vf *n)
{
    vf shift = vf_set(0x1.8p23f); /* adding it rounds to a whole number */
    *n = vf_sub(vf_fma(x, vf_set(1.44269504088896341f), shift), shift);
    return vf_fnma(*n, vf_set(-2.12194440e-4f), vf_fnma(*n, vf_set(0.693359375f), x));
}
/* e^r - 1 */
static inline vf vf_exp_reduced(vf r)
{
    vf p = vf_fma(vf_set(1.382007962e-3f), r, vf_set(8.368683979e-3f));
    p = vf_fma(p, r, vf_set(4.166827351e-2f));
    p = vf_fma(p, r, vf_set(1.666652113e-1f));
    p = vf_fma(p, r, vf_set(4.999999404e-1f));
    return vf_fma(p, vf_mul(r, r), r);
}
static inline vf vf_exp(vf x)
{
    /* Beyond these the result is 0 or infinity. The order of operands keeps a NaN. */
    x = vf_min(vf_set(90.0f), vf_max(vf_set(-105.0f), x));
    vf n, r = vf_exp_reduce(x, &n);
    return vf_scale(vf_add(vf_exp_reduced(r), vf_set(1)), n);
}
/* e^x - 1 for x < 0; 0 beyond. */
static inline vf vf_expm1_negative(vf x)
{
    vf least = vf_max(vf_set(-20.0f), x), n, r = vf_exp_reduce(vf_min(vf_set(0), least), &n);
    vf power = vf_scale(vf_set(1), n);
    return vf_fma(vf_exp_reduced(r), power, vf_sub(power, vf_set(1)));
}

/* --- logarithm ------------------------------------------------------------------------------------------------- */

/* ln(2^k (1 + f)) for sqrt(1/2) <= 1 + f < sqrt(2). */
static inline vf vf_log_reduced(vf f, vf k)
{
    vf p = vf_fma(vf_set(-7.636439055e-2f), f, vf_set(1.276221722e-1f));
    p = vf_fma(p, f, vf_set(-1.315961033e-1f));
    p = vf_fma(p, f, vf_set(1.420157999e-1f));
    p = vf_fma(p, f, vf_set(-1.662340909e-1f));
    p = vf_fma(p, f, vf_set(2.000124156e-1f));
    p = vf_fma(p, f, vf_set(-2.500081956e-1f));
    p = vf_fma(p, f, vf_set(3.333333135e-1f));
    p = vf_fma(p, f, vf_set(-0.5f));
    p = vf_fma(k, vf_set(-2.12194440e-4f), vf_mul(p, vf_mul(f, f)));
    return vf_fma(k, vf_set(0.693359375f), vf_add(p, f));
}
static inline vf vf_log(vf x)
{
    vm tiny = vf_less(x, vf_set(0x1p-126f));
    vf normal = vf_select(tiny, vf_mul(x, vf_set(0x1p23f)), x);
    /* Counted from sqrt(1/2), the exponent is k and the rest 1 + f. */
    int32_t root = 0x3f3504f3;
    vi bits = vi_sub(vf_bits(normal), vi_set(root));
    vi rest = vi_add(vi_and(bits, vi_set(0x7fffff)), vi_set(root));
    vi whole = vi_sub(vi_shift_right(vi_add(bits, vi_set(128 << 23)), 23), vi_set(128));
    vf k = vf_add(vi_to_floats(whole), vf_select(tiny, vf_set(-23), vf_set(0)));
    vf y = vf_log_reduced(vf_sub(vi_as_floats(rest), vf_set(1)), k);
    y = vf_select(vf_less(x, vf_set(INFINITY)), y, x); /* infinity, NaN */
    y = vf_select(vf_less(x, vf_set(0)), vf_set(NAN), y);
    return vf_select(vf_equal(x, vf_set(0)), vf_set(-INFINITY), y);
}
/* ln(1 + x) for 0 <= x <= 1. What is taken off is exact. */
static inline vf vf_log1p_unit(vf x)
{
    vm large = vf_less(vf_set(0.41421356f), x);
    vf f = vf_select(large, vf_mul(vf_sub(x, vf_set(1)), vf_set(0.5f)), x);
    return vf_log_reduced(f, vf_select(large, vf_set(1), vf_set(0)));
}

/* --- 1 and the exponential ---------------------------------------------------------------------------------------- */

/* c (1 + e^x) for a power of two c, as good as rounded once. -40 <= x, and c e^x within the range. */
static inline vf vf_one_and_exp(vf x, vf c)
{
    vf n, r = vf_exp_reduce(x, &n);
    vf power = vi_as_floats(vi_add(vf_bits(c), vi_shift_left(vf_to_nearest(n), 23))); /* c 2^n */
    return vf_add(vf_fma(vf_exp_reduced(r), power, vf_min(power, c)), vf_max(power, c));
}
/* What 1 + e^-x is made smaller by, so that it and what is divided by it stay within the range. */
static inline vf vf_sigmoid_scale(vf x)
{
    return vf_select(vf_less(x, vf_set(0)), vf_set(0x1p-32f), vf_set(1));
}
static inline vf vf_sigmoid(vf x)
{
    vf c = vf_sigmoid_scale(x), minus = vf_min(vf_set(105.0f), vf_max(vf_set(-20.0f), vf_neg(x)));
    return vf_mul(vf_div(vf_set(1), vf_one_and_exp(minus, c)), c);
}
/* x sigmoid(y), where x is not infinite unless y is: -inf sigmoid(-inf) = -inf 0 is NaN. */
static inline vf vf_mul_sigmoid(vf x, vf y)
{
    vf c = vf_sigmoid_scale(y), minus = vf_min(vf_set(110.0f), vf_max(vf_set(-20.0f), vf_neg(y)));
    vf quotient = vf_div(x, vf_one_and_exp(minus, c));
    return vf_mul(quotient, vf_select(vf_less(y, vf_set(-109.0f)), vf_set(0), c));
}
static inline vf vf_softplus(vf x)
{
    vf positive = vf_select(vf_less(x, vf_set(0)), vf_set(0), x);
    return vf_add(positive, vf_log1p_unit(vf_exp(vf_neg(vf_abs(x)))));
}
/* x tanh(softplus(x)); with e = e^x the tangent is e (e + 2) / (e (e + 2) + 2). */
static inline vf vf_mish(vf x)
{
    vf e = vf_exp(vf_neg(vf_abs(x))), two = vf_set(2);
    vm negative = vf_less(x, vf_set(0));
    vf above = vf_select(negative, vf_mul(e, vf_add(e, two)), vf_fma(two, e, vf_set(1)));
    vf more = vf_select(negative, two, vf_mul(two, vf_mul(e, e)));
    return vf_mul(x, vf_div(above, vf_add(above, more)));
}
/* Near 0 a polynomial; elsewhere 1 - 2 / (e^2|x| + 1). */
static inline vf vf_tanh(vf x)
{
    vf size = vf_abs(x), s = vf_mul(x, x);
    vf p = vf_fma(vf_set(-5.692296661e-3f), s, vf_set(2.062816732e-2f));
    p = vf_fma(p, s, vf_set(-5.373651534e-2f));
    p = vf_fma(p, s, vf_set(1.333140582e-1f));
    p = vf_fma(p, s, vf_set(-3.333328068e-1f));
    vf near = vf_fma(vf_mul(p, s), size, size);
    vf twice = vf_min(vf_set(20.0f), vf_add(size, size));
    vf far = vf_sub(vf_set(1), vf_div(vf_set(2), vf_one_and_exp(twice, vf_set(1))));
    return vf_copysign(vf_select(vf_less(size, vf_set(0.625f)), near, far), x);
}

/* --- error function ---------------------------------------------------------------------------------------------- */

#define ERF_BORDER 0.9277f /* between the two ways */

/* erf(x) / x - 1, near 0 */
static inline vf vf_erf_near(vf x)
{
    vf s = vf_mul(x, x), p = vf_fma(vf_set(-5.959578557e-4f), s, vf_set(4.987352062e-3f));
    p = vf_fma(p, s, vf_set(-2.676296607e-2f));
    p = vf_fma(p, s, vf_set(1.128173098e-1f));
    p = vf_fma(p, s, vf_set(-3.761248887e-1f));
    return vf_fma(p, s, vf_set(1.283791512e-1f));
}
/* 1 - erf(t) = e^(t q(t) - t) for t beyond the border. Beyond 4 it is only known to fall, and to 0. */
static inline vf vf_erfc_far(vf t)
{
    vf q = vf_fma(vf_set(-1.076477201e-5f), t, vf_set(3.180722124e-4f));
    q = vf_fma(q, t, vf_set(-3.622956341e-3f));
    q = vf_fma(q, t, vf_set(2.372024022e-2f));
    q = vf_fma(q, t, vf_set(-1.061876491e-1f));
    q = vf_fma(q, t, vf_set(-6.351814866e-1f));
    q = vf_fma(q, t, vf_set(-1.286409646e-1f));
    return vf_exp(vf_fma(q, t, vf_neg(t)));
}
static inline vf vf_erf(vf x)
{
    vf size = vf_abs(x), far = vf_sub(vf_set(1), vf_erfc_far(size));
    return vf_select(vf_less(size, vf_set(ERF_BORDER)), vf_fma(vf_erf_near(x), x, x), vf_copysign(far, x));
}
/* x Phi(x) = x - |x| h for x > 0 and -|x| h below, with h = Phi(-|x|) = 2^(|x| q(|x|)) / 2: one way for all x, as the
 * result near 0 is x/2 whatever erf's relative error there. q is the best for the error in the result, up to 6; from
 * there on h is only known to fall, to the least floats that are normal. */
static inline vf vf_gelu(vf x)
{
    vf size = vf_min(vf_set(10.34375f), vf_abs(x)), shift = vf_set(0x1.8p23f);
    vf q = vf_fma(vf_set(-1.9041263e-6f), size, vf_set(2.8084727e-5f));
    q = vf_fma(q, size, vf_set(-1.3162407e-4f));
    q = vf_fma(q, size, vf_set(-2.716515e-4f));
    q = vf_fma(q, size, vf_set(7.2447597e-3f));
    q = vf_fma(q, size, vf_set(-5.2627046e-2f));
    q = vf_fma(q, size, vf_set(-4.5916238e-1f));
    q = vf_fma(q, size, vf_set(-1.151111f));
    /* n, a whole number, is in the low bits of `whole`; p = 2^(r - 1) */
    vf whole = vf_fma(q, size, shift), r = vf_fma(q, size, vf_sub(shift, whole));
    vf p = vf_fma(vf_set(7.663229e-5f), r, vf_set(6.695404e-4f));
    p = vf_fma(p, r, vf_set(4.809253e-3f));
    p = vf_fma(p, r, vf_set(2.77518e-2f));
    p = vf_fma(p, r, vf_set(1.2011324e-1f));
    p = vf_fma(p, r, vf_set(3.465736e-1f));
    p = vf_fma(p, r, vf_set(0.5f));
    vf h = vi_as_floats(vi_add(vf_bits(p), vi_shift_left(vf_bits(whole), 23)));
    /* 0 or x; a product, so that -inf gives NaN. */
    vf above = vf_mul(x, vf_select(vf_less(x, vf_set(0)), vf_set(0), vf_set(1)));
    return vf_fnma(size, h, above);
}
/* (1 + tanh u) / 2 is the sigmoid of 2 u. */
static inline vf vf_gelu_tanh(vf x)
{
    vf cubic = vf_fma(vf_mul(vf_set(0.044715f), vf_mul(x, x)), x, x);
    return vf_mul_sigmoid(x, vf_mul(vf_set(2 * 0.79788456080286535588f), cubic));
}

/* --- sine, cosine --------------------------------------------------------------------------------------------------
 */

#define SINE_MOST 0x1p15f /* beyond it the C library is asked, element by element */

/* sin(size - n pi) with the sign bit of `sign` turned over where `count` is odd; n is count, or a half more. pi is
 * taken off in three parts, of which the first leaves no rounding. */
static inline vf vf_sine_reduced(vf size, vf n, vi count, vi sign)
{
    vf r = vf_fnma(n, vf_set(0x1.921fb6p+1f), size);
    r = vf_fnma(n, vf_set(-0x1.777a5cp-24f), r);
    r = vf_fnma(n, vf_set(-0x1.ee59dap-49f), r);
    vf s = vf_mul(r, r), p = vf_fma(vf_set(2.605784e-6f), s, vf_set(-1.9809666e-4f));
    p = vf_fma(p, s, vf_set(8.333068e-3f));
    p = vf_fma(p, s, vf_set(-1.666666e-1f));
    vi bits = vf_bits(vf_fma(vf_mul(p, s), r, r));
    return vi_as_floats(vi_add(bits, vi_add(vi_and(sign, vi_set(INT32_MIN)), vi_shift_left(count, 31))));
}
static inline vf vf_sine_far(vf x, vf y, double (*of)(double))
{
    float from[LANES], to[LANES];
    vf_store(from, x);
    vf_store(to, y);
    for (int i = 0; i < LANES; i++)
        to[i] = fabsf(from[i]) > SINE_MOST ? (float)of((double)from[i]) : to[i];
    return vf_load(to);
}
static inline vf vf_sin(vf x)
{
    vf size = vf_abs(x), shift = vf_set(0x1.8p23f); /* adding it rounds to a whole number */
    vf whole = vf_fma(size, vf_set(0.31830988618379067f), shift);
    vf y = vf_sine_reduced(size, vf_sub(whole, shift), vf_bits(whole), vf_bits(x));
    return vm_any(vf_less(vf_set(SINE_MOST), size)) ? vf_sine_far(x, y, sin) : y;
}
/* cos x = sin(x + pi/2) */
static inline vf vf_cos(vf x)
{
    vf size = vf_abs(x), shift = vf_set(0x1.8p23f), half = vf_set(0.5f);
    vf whole = vf_add(vf_fma(size, vf_set(0.31830988618379067f), vf_neg(half)), shift);
    vf n = vf_add(vf_sub(whole, shift), half);
    vf y = vf_sine_reduced(size, n, vf_bits(whole), vi_set(INT32_MIN));
    return vm_any(vf_less(vf_set(SINE_MOST), size)) ? vf_sine_far(x, y, cos) : y;
}

/* --- piecewise --------------------------------------------------------------------------------------------------- */

/* x max(0, min(1, x/6 + 1/2)) */
static inline vf vf_hard_swish(vf x)
{
    vf slope = vf_fma(x, vf_set(1.0f / 6), vf_set(0.5f)); /* at 3 and beyond 1 or more, at -3 and below less than 0 */
    return vf_mul(x, vf_min(vf_set(1), vf_max(vf_set(0), slope)));
}
/* x < 0 ? p (e^x - 1) : x */
static inline vf vf_elu(vf x, float p)
{
    return vf_select(vf_less(x, vf_set(0)), vf_mul(vf_set(p), vf_expm1_negative(x)), x);
}
/* x < 0 ? p (e^(x/p) - 1) : x, for p > 0 */
static inline vf vf_celu(vf x, float p)
{
    return vf_select(vf_less(x, vf_set(0)), vf_mul(vf_set(p), vf_expm1_negative(vf_div(x, vf_set(p)))), x);
}

#endif
