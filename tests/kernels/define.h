/* What definitions of families are made of. */
#ifndef INFER_TESTS_KERNELS_DEFINE_H
#define INFER_TESTS_KERNELS_DEFINE_H

#include "tests/kernels/harness.h"

/* A sum of a type's elements: integers wrap. */
struct sum {
    number real;
    uint64_t bits;
};
void sum_add(struct sum *sum, enum dtype dtype, number a, number b); /* a b */
number sum_value(const struct sum *sum, enum dtype dtype);
/* An integer as an element of the type. */
number wrapped(enum dtype dtype, uint64_t bits);

/* Element of an input at an offset from its pointer. */
number input_at(const struct problem *problem, const struct operands *operands, int input, int64_t offset);
#define DEFINITION(family) extern const struct definition define_##family;
#include "tests/kernels/define.def"
#undef DEFINITION

#endif
