/* Family lookup: a table from numbers to numbers, applied to every element. */
#ifndef INFER_KERNELS_LOOKUP_H
#define INFER_KERNELS_LOOKUP_H

#include "kernels/kernel.h"

/* inputs: elements; keys of the same type, in order, NaN last; one value a key, and one more for all other elements.
 * output: values. Of equal keys the last one holds; NaN equals NaN. */
struct lookup_params {
    int64_t count, keys;
    unsigned value_bytes; /* 1, 2, 4 or 8 */
    uint8_t dtype;        /* of elements and keys */
};

#endif
