/* The passes of a pointwise program by vectors. */
#ifndef INFER_KERNELS_X86_PASSES_H
#define INFER_KERNELS_X86_PASSES_H

#include "kernels/passes.h"
#include "kernels/x86/vector.h"

/* Where a pass writes and reads. One number stands for all that it would read where `scalar` says so (bit 0: a, ...).
 * Nothing is read or written past n elements. */
struct pass_places {
    void *target;
    const void *a, *b, *c;
    unsigned scalar;
};
/* False: an integer divisor is zero. */
typedef bool pass_function(const struct pass *pass, const struct pass_places *at, int64_t n);

extern pass_function *const SET_NAME(pass_functions)[PASS_COUNT];

#endif
