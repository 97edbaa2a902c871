/* Operands of tensor cores in the order in which kernels/cuda/tensor.h reads them: rows along k, each a whole number
 * of 16-byte chunks, zero past its end; rounded where the product rounds. A constant is brought there once, by pack();
 * the rest by a kernel before the product. */
#ifndef INFER_KERNELS_CUDA_STAGING_H
#define INFER_KERNELS_CUDA_STAGING_H

#include "kernels/convert.h"

#include "kernels/cuda/product.h"

#define CHUNK 16
#define STAGING_AXES (MAX_RANK + 1)

enum staging_form {
    STAGING_F16,     /* f32 rounded to half precision */
    STAGING_TF32,    /* f32 rounded to TF32 */
    STAGING_BYTES,   /* as they are */
    STAGING_FLIPPED, /* unsigned bytes less 128, as signed ones */
    STAGING_BF16     /* f32 rounded to bfloat16 */
};

struct staging {
    enum staging_form form;
    const void *from;
    void *to;
    int rank;
    int64_t dims[STAGING_AXES], strides[STAGING_AXES]; /* of rows, which lie in C order afterwards */
    int64_t depth, depth_stride;                       /* along a row */
    int64_t chunks;                                    /* of a row */
    bool rows_first; /* neighbouring threads take neighbouring rows, which are neighbours in memory */
};

/* Of a chunk. */
static inline ANYWHERE int64_t staging_elements(enum staging_form form)
{
    return form == STAGING_F16 || form == STAGING_BF16 ? 8 : form == STAGING_TF32 ? 4 : 16;
}

static inline void staging_axis(struct staging *s, int64_t dim, int64_t stride)
{
    s->dims[s->rank] = dim;
    s->strides[s->rank++] = stride;
}

static inline void staging_depth(struct staging *s, int64_t depth, int64_t stride)
{
    s->depth = depth;
    s->depth_stride = stride;
    s->chunks = divide_up(depth, staging_elements(s->form));
    s->rows_first = stride != 1;
}

static inline int64_t staging_rows(const struct staging *s)
{
    return elements(s->rank, s->dims);
}

static inline int64_t staging_pitch(const struct staging *s)
{
    return s->chunks * CHUNK;
}

static inline size_t staging_bytes(const struct staging *s)
{
    return (size_t)(staging_rows(s) * staging_pitch(s));
}

/* --- on the device ----------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ int64_t staging_offset(const staging &s, int64_t row)
{
    int64_t offset = 0;
    for (int i = s.rank - 1; i >= 0; i--) {
        offset += row % s.dims[i] * s.strides[i];
        row /= s.dims[i];
    }
    return offset;
}

static __device__ __forceinline__ uint32_t staged_word(const staging &s, int64_t offset, int64_t element)
{
    auto number = [&](int64_t d) { return d < s.depth ? ((const float *)s.from)[offset + d * s.depth_stride] : 0; };
    if (s.form == STAGING_F16)
        return pack_f16(number(element), number(element + 1));
    if (s.form == STAGING_BF16)
        return pack_bf16(number(element), number(element + 1));
    if (s.form == STAGING_TF32)
        return to_tf32(number(element));
    uint32_t word = 0, flip = s.form == STAGING_FLIPPED ? 0x80 : 0;
    for (int i = 0; i < 4; i++)
        if (element + i < s.depth)
            word |= (((const uint8_t *)s.from)[offset + (element + i) * s.depth_stride] ^ flip) << 8 * i;
    return word;
}

static __global__ void stage_rows(staging s)
{
    int64_t each = staging_elements(s.form), rows = 1;
    for (int i = 0; i < s.rank; i++)
        rows *= s.dims[i];
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < rows * s.chunks;
         i += (int64_t)gridDim.x * blockDim.x) {
        int64_t row = s.rows_first ? i % rows : i / s.chunks, chunk = s.rows_first ? i / rows : i % s.chunks;
        int64_t offset = staging_offset(s, row), first = chunk * each;
        uint4 words;
        words.x = staged_word(s, offset, first);
        words.y = staged_word(s, offset, first + each / 4);
        words.z = staged_word(s, offset, first + each / 2);
        words.w = staged_word(s, offset, first + each / 4 * 3);
        store_16((unsigned char *)s.to + (row * s.chunks + chunk) * CHUNK, words);
    }
}

/* sums[row] of rows of signed bytes: a warp each. */
struct row_sums_arguments {
    const void *rows;
    int32_t *sums;
    int64_t count, pitch;
};

static __global__ void sum_rows(row_sums_arguments a)
{
    int64_t warps = (int64_t)gridDim.x * (blockDim.x / WARP);
    for (int64_t row = (int64_t)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP; row < a.count; row += warps) {
        const int8_t *bytes = (const int8_t *)a.rows + row * a.pitch;
        uint32_t sum = 0;
        for (int64_t i = threadIdx.x % WARP; i < a.pitch; i += WARP)
            sum += (uint32_t)(int32_t)bytes[i];
        sum = warp_fold(sum, [](uint32_t x, uint32_t y) { return x + y; });
        if (threadIdx.x % WARP == 0)
            a.sums[row] = (int32_t)sum;
    }
}

/* --- on the host ------------------------------------------------------------------------------------------------- */

static inline void staging_enqueue(const struct kernel_call *call, const staging &s)
{
    cuda_launch(call, stage_rows, grid_for(staging_rows(&s) * s.chunks, 256), 256, 0, s);
}

static inline void row_sums_enqueue(const struct kernel_call *call, const void *rows, int32_t *sums, int64_t count,
                                    int64_t pitch)
{
    row_sums_arguments a = {rows, sums, count, pitch};
    cuda_launch(call, sum_rows, grid_for(count, 8), 256, 0, a);
}

static inline uint32_t nearest_tf32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000) == 0x7f800000 ? bits : (bits + 0x1000) & ~0x1fffu;
}

static inline void pack_element(const struct staging *s, int64_t at, unsigned char *to, int64_t d)
{
    if (s->form == STAGING_F16)
        ((uint16_t *)to)[d] = f32_to_f16(((const float *)s->from)[at]);
    else if (s->form == STAGING_BF16)
        ((uint16_t *)to)[d] = f32_to_bf16(((const float *)s->from)[at]);
    else if (s->form == STAGING_TF32)
        ((uint32_t *)to)[d] = nearest_tf32(((const float *)s->from)[at]);
    else
        to[d] = (uint8_t)(((const uint8_t *)s->from)[at] ^ (s->form == STAGING_FLIPPED ? 0x80 : 0));
}

/* What stage_rows does. */
static inline void staging_pack(const struct staging *s)
{
    int64_t rows = staging_rows(s);
    memset(s->to, 0, staging_bytes(s));
    for (int64_t row = 0; row < rows; row++) {
        unsigned char *to = (unsigned char *)s->to + row * staging_pitch(s);
        int64_t offset = offset_at(s->rank, s->dims, s->strides, row);
        for (int64_t d = 0; d < s->depth; d++)
            pack_element(s, offset + d * s->depth_stride, to, d);
    }
}

/* What sum_rows does. */
static inline void row_sums_pack(const void *rows, int32_t *sums, int64_t count, int64_t pitch)
{
    const int8_t *bytes = (const int8_t *)rows;
    for (int64_t row = 0; row < count; row++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < pitch; k++)
            sum += bytes[row * pitch + k];
        sums[row] = (int32_t)sum;
    }
}

#endif
