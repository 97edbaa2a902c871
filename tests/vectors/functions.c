/* The functions of kernels/x86/vector_math.h over arrays; compiled once for each set. */
#include "tests/vectors/functions.h"

#include "kernels/x86/vector_math.h"

#define FUNCTION(name, argument, definition, ulps, absolute)       \
    static void run_##name(const float *from, float *to, size_t n) \
    {                                                              \
        for (size_t i = 0; i < n; i += LANES) {                    \
            size_t left = n - i;                                   \
            int64_t count = left < LANES ? (int64_t)left : LANES;  \
            const vf x = vf_load_part(from + i, count);            \
            vf_store_part(to + i, argument, count);                \
        }                                                          \
    }
#include "tests/vectors/functions.def"
#undef FUNCTION

const struct vector_set SET_NAME(vector_functions) = {
    .name = SET_TEXT1(SET_SUFFIX),
    .requires = SET_REQUIRES,
    .functions =
        {
#define FUNCTION(name, argument, definition, ulps, absolute) run_##name,
#include "tests/vectors/functions.def"
#undef FUNCTION
        },
};
