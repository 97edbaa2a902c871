/* The order of elements of any numeric type, as numbers: for kernels that compare and do not reckon. */
#ifndef INFER_KERNELS_REFERENCE_ORDER_H
#define INFER_KERNELS_REFERENCE_ORDER_H

#include "kernels/base.h"

#define ORDER_STRETCH 64 /* elements worth taking at a time */

/* keys[0 ... n - 1] of n elements, `step` apart from `offset` on, all in elements of x: of two, the greater element has
 * the greater key and equal ones, such as 0 and -0, have the same. NaNs are equal to each other and greater than any
 * number. dtype: one of NUMERIC_TYPES. */
void order_keys(enum dtype dtype, const void *x, int64_t offset, int64_t n, int64_t step, uint64_t *keys);

#endif
