/* Family dft: discrete Fourier transforms along an axis. */
#ifndef INFER_KERNELS_DFT_H
#define INFER_KERNELS_DFT_H

#include "kernels/kernel.h"

/* inputs: signal [outer, count, inner, parts], and f64 [length, 2] with exp(-2 pi i k / length).
 * output: [outer, bins, inner, parts_out]. Of a signal shorter than the transform the rest is zero; of a longer one
 * the first elements count. */
struct dft_params {
    int64_t outer, count, inner;
    int64_t length, bins;
    int parts, parts_out; /* 1: real, 2: complex */
    bool inverse;         /* scaled by 1 / length */
    bool half;            /* the input is the first half of a spectrum whose second half is its mirror image */
    uint8_t dtype;        /* DTYPE_F32 or DTYPE_F64 */
};

#endif
