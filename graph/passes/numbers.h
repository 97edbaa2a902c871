/* Floating-point constants in the hands of passes: read as doubles, computed on, rounded once. */
#ifndef INFER_GRAPH_PASSES_NUMBERS_H
#define INFER_GRAPH_PASSES_NUMBERS_H

#include "graph/op.h"

/* `count` elements of a constant (f16 to f64), from `first` on. */
void numbers_read(const struct value *value, int64_t first, int64_t count, double *numbers);
void numbers_write(enum dtype dtype, void *data, int64_t first, int64_t count, const double *numbers);

/* The largest magnitude of the finite ones among `count` elements of a constant; 0: there is none. */
double numbers_largest(const struct value *value, int64_t first, int64_t count);
/* Writes these elements, times a number, to the same places of `data`, which is of the same type. */
void numbers_scale(const struct value *value, int64_t first, int64_t count, double factor, void *data);

/* Adds to each sum those of the products of a row with t, element after element, if the constant is of f32. False: it
 * is not, and nothing was done. */
bool numbers_dots(const struct value *value, int64_t rows, int64_t length, const double *t, double *sums);

/* The greatest finite number of the type, and the least with all of its digits. */
double number_greatest(enum dtype dtype);
double number_least_normal(enum dtype dtype);

#endif
