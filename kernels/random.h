/* Family random: pseudo-random numbers by counter. Element i depends on the seed and i alone, so a run gives the same
 * numbers each time and for any number of tasks. */
#ifndef INFER_KERNELS_RANDOM_H
#define INFER_KERNELS_RANDOM_H

#include "kernels/kernel.h"

/* No input; output: `count` numbers. Uniform: in [a, b). Normal: mean a, standard deviation b. */
struct random_params {
    int64_t count;
    uint64_t seed;
    double a, b;
    bool normal;
    uint8_t dtype; /* DTYPE_F32 or DTYPE_F64 */
};

#endif
