/* Which range of numbers 8 bits are to stand for: what was seen of a tensor, and four ways to choose. */
#ifndef INFER_GRAPH_QUANTIZE_RANGE_H
#define INFER_GRAPH_QUANTIZE_RANGE_H

#include "kernels/base.h"

/* Numbers seen, as a histogram that grows in reach and not in memory: bins of equal width from -reach to reach, a power
 * of two that doubles, two bins into one, when a larger number comes. What it holds depends on the numbers alone, not
 * on their order. Zero-initialise. */
#define RANGE_BINS 4096
struct observed {
    double least, most; /* of the finite ones */
    double reach;       /* 0: only zeros so far */
    uint64_t count;     /* of the finite ones */
    uint64_t unusable;  /* of the others: NaN and infinities */
    uint64_t bins[RANGE_BINS];
};

void observe_numbers(struct observed *observed, const float *numbers, int64_t count);

enum range_method {
    RANGE_MINMAX,     /* all that was seen */
    RANGE_PERCENTILE, /* but for the outermost 0.01 %, a half of it on each side */
    RANGE_ENTROPY,    /* what keeps most of the distribution (Kullback-Leibler divergence) */
    RANGE_MSE,        /* the least mean squared error */
};
#define RANGE_METHODS (RANGE_MSE + 1)
/* "minmax", "percentile", "entropy", "mse". False: another word. */
bool range_method_from_name(const char *name, enum range_method *method);
const char *range_method_name(enum range_method method);

/* A range with low <= 0 <= high, so that zero is exact. */
struct range {
    double low, high;
};
struct range choose_range(const struct observed *observed, enum range_method method);

/* number = (integer - zero) scale, for integers of 0 to 255. scale > 0, also of an empty range. */
struct quantum {
    float scale;
    int zero;
};
struct quantum quantum_of(struct range range);

/* The scale of integers of -most to most for numbers up to the magnitude; 1 for 0. */
float symmetric_scale(double magnitude, int most);

#endif
