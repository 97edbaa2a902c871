/* Division by a number that many are divided by, where of each quotient the nearest integer counts, if it is less than
 * 256 either way. */
#ifndef INFER_KERNELS_RECIPROCAL_H
#define INFER_KERNELS_RECIPROCAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* 1 / divisor is high + low, but for 2^-53 of it. x / divisor is then x low, rounded, plus x high, rounded once more.
 */
struct reciprocal {
    float high, low;
};

/* The divisor lies between 1e-20 and 1e20. False: quotients might be rounded to another integer than those of a
 * division; this happens once in some thousand divisors.
 *
 * Before it is rounded, what this gives differs from x / d by less than 2^-47 of it. Both are rounded to the same side
 * of h, an integer and a half below 256, unless x / d is as near as that to where floats begin that are rounded to h:
 * half a unit in the last place of h away from it. With d = D 2^e, D an integer of 24 bits, and 2^g <= h < 2^(g+1), g
 * at most 7, all in units of 2^(e-1): x is an integer, since it has 24 bits and is more than 2^23 of them; h d is an
 * integer, less than 2^(g+26); the half unit times d is D 2^(g-23). So x is no nearer than the last 23 - g bits of D
 * are to 0 or to a carry, over 2^(23-g), and 2^-47 of x is 4 over 2^(23-g). The last 16 bits tell for every g. */
static inline bool find_reciprocal(float divisor, struct reciprocal *to)
{
    uint32_t bits;
    memcpy(&bits, &divisor, sizeof bits);
    double whole = 1.0 / (double)divisor;
    to->high = (float)whole;
    to->low = (float)(whole - (double)to->high);
    return (bits & 0xffff) >= 8 && (bits & 0xffff) <= 0x10000 - 8;
}

#endif
