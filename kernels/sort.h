/* A stable sort of numbers that stand for things elsewhere. */
#ifndef INFER_KERNELS_SORT_H
#define INFER_KERNELS_SORT_H

#include <stdint.h>

/* Less than, equal to or greater than 0, as thing a stands before, beside or after thing b. */
typedef int sort_compare(const void *context, int64_t a, int64_t b);

/* The numbers 0 ... count - 1 in order; equal ones keep theirs. Both arrays hold `count`; the result is one of them. */
int64_t *sort_numbers(int64_t count, int64_t *order, int64_t *room, sort_compare *compare, const void *context);

#endif
