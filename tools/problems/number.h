/* Elements of every type as long double, which holds each of their values exactly. */
#ifndef INFER_TOOLS_PROBLEMS_NUMBER_H
#define INFER_TOOLS_PROBLEMS_NUMBER_H

#include "kernels/base.h"

typedef long double number;

number number_get(enum dtype dtype, const void *memory, int64_t index);
/* Rounds to nearest even; integers wrap. */
void number_put(enum dtype dtype, void *memory, int64_t index, number value);
/* What would be read again. `saturate`: of the types of 8 bits and less, as kernels/pointwise.h has it. */
number number_rounded(enum dtype dtype, number value, bool saturate);

/* The distance from 1 to the next number, and the smallest positive numbers; 0 for integers. */
number number_epsilon(enum dtype dtype);
number number_smallest_normal(enum dtype dtype);
number number_largest(enum dtype dtype); /* the largest finite one */

/* 64-bit integers, and back: what passes them wraps. */
uint64_t number_to_bits(number value);
number number_of_signed(uint64_t bits);

#endif
