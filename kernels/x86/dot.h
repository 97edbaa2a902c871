/* Sums of products along a contiguous axis, in 16 partial sums. */
#ifndef INFER_KERNELS_X86_DOT_H
#define INFER_KERNELS_X86_DOT_H

#include "kernels/x86/vector.h"

#define DOT_ROWS 4

/* `count` terms for each row; a part of them where they are fewer than WIDE. */
INLINE void dots_add(const int rows, const float *a, int64_t row, const float *b, int64_t count, struct wide *sums)
{
    FOR_PARTS(j)
    {
        int64_t part = count < (j + 1) * LANES ? count < j * LANES ? 0 : count - j * LANES : LANES;
        vf y = count >= WIDE ? vf_load(b + j * LANES) : vf_load_part(b + j * LANES, part);
        UNROLL
        for (int i = 0; i < rows; i++) {
            const float *from = a + i * row + j * LANES;
            vf x = count >= WIDE ? vf_load(from) : vf_load_part(from, part);
            sums[i].part[j] = vf_fma(x, y, sums[i].part[j]);
        }
    }
}

/* to[i * to_row] = row i of a times b, for up to DOT_ROWS rows. */
INLINE void dots(const int rows, const float *a, int64_t row, const float *b, int64_t depth, float *to, int64_t to_row)
{
    struct wide sums[DOT_ROWS];
    UNROLL
    for (int i = 0; i < rows; i++)
        sums[i] = wide_set(0);
    int64_t k = 0;
    for (; k + WIDE <= depth; k += WIDE)
        dots_add(rows, a + k, row, b + k, WIDE, sums);
    if (k < depth)
        dots_add(rows, a + k, row, b + k, depth - k, sums);
    UNROLL
    for (int i = 0; i < rows; i++)
        to[i * to_row] = wide_sum(sums[i]);
}

#endif
