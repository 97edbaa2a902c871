/* What the files of the interval evaluator share. */
#ifndef INFER_TOOLS_PROBLEMS_INTERVAL_PARTS_H
#define INFER_TOOLS_PROBLEMS_INTERVAL_PARTS_H

#include "tools/problems/interval.h"

extern const struct interval interval_open; /* anything */

bool interval_is_point(const struct interval *interval);
/* All of both, and what is between. */
struct interval interval_hull(struct interval a, struct interval b);
/* Towards zero, within 64 bits; NaN is 0. */
number interval_truncated(number x, bool is_signed);

struct interval interval_run_integer(const struct pointwise_instruction *code, const struct interval *x,
                                     const struct interval *y, const struct interval *z);

#endif
