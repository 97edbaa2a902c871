/* Functions of vectors, by set of instructions. */
#ifndef INFER_TESTS_VECTORS_FUNCTIONS_H
#define INFER_TESTS_VECTORS_FUNCTIONS_H

#include <stddef.h>

enum vector_function {
#define FUNCTION(name, argument, definition, ulps, absolute) VECTOR_##name,
#include "tests/vectors/functions.def"
#undef FUNCTION
    VECTOR_FUNCTION_COUNT
};

struct vector_set {
    const char *name;
    unsigned requires; /* CPU_... bits */
    void (*functions[VECTOR_FUNCTION_COUNT])(const float *from, float *to, size_t n);
};

extern const struct vector_set vector_functions_avx2, vector_functions_avx512, vector_functions_plain;

#endif
