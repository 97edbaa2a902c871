/* Stable sorts that allocate nothing, as the C library's may. */
#ifndef INFER_KERNELS_SORT_H
#define INFER_KERNELS_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Less than, equal to or greater than 0, as thing a stands before, beside or after thing b. */
typedef int sort_compare(const void *context, int64_t a, int64_t b);

/* The numbers 0 ... count - 1 in order; equal ones keep theirs. Both arrays hold `count`; the result is one of them. */
int64_t *sort_numbers(int64_t count, int64_t *order, int64_t *room, sort_compare *compare, const void *context);

/* Items of an array in order; equal ones keep theirs. O(n log2 n) comparisons, and as many moves up to 8 KB; above, O(n
 * log2 n log2 n) moves, and a stack that grows with log2 n: for tables of a program, not for tensors. */
void sort_items(void *items, size_t count, size_t bytes_each, int (*compare)(const void *a, const void *b));

#endif
