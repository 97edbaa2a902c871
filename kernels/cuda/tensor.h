/* Products by tensor cores: rows of A and columns of B as kernels/cuda/staging.h lays them out, 16-byte chunks along
 * k. To shared memory, and to the fragments that a warp multiplies, bytes are all alike: one loop serves half
 * precision, bfloat16, TF32 and bytes. A source says where the chunks of A are: of a matrix, or of an image through a
 * window.
 *
 * A stage is 64 bytes of k. Its rows are 64 bytes apart in shared memory, their four chunks exchanged by the row's
 * number (place_of_chunk), so that the eight rows of an 8x8 matrix lie in eight different groups of banks. While a
 * warp multiplies one half of a stage, the fragments of the next half are on their way to registers, and stages to come
 * on theirs to shared memory. */
#ifndef INFER_KERNELS_CUDA_TENSOR_H
#define INFER_KERNELS_CUDA_TENSOR_H

#include "kernels/cuda/staging.h"

#define TENSOR_STAGES 3
#define STAGE_BYTES 64
#define STAGE_CHUNKS (STAGE_BYTES / CHUNK)

enum tensor_kind {
    TENSOR_F16,
    TENSOR_TF32,
    TENSOR_U8, /* of bytes: what A has; B's are signed */
    TENSOR_I8,
    TENSOR_BF16
};

template <enum tensor_kind KIND> struct tensor_sums {
    typedef float element;
    typedef float result;
    enum { IS_BYTES = false };
};
template <> struct tensor_sums<TENSOR_U8> {
    typedef int32_t element;
    typedef uint32_t result;
    enum { IS_BYTES = true };
};
template <> struct tensor_sums<TENSOR_I8> {
    typedef int32_t element;
    typedef uint32_t result;
    enum { IS_BYTES = true };
};

template <enum tensor_kind KIND>
static __device__ __forceinline__ void multiply_fragments(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    if (KIND == TENSOR_F16)
        multiply_f16(d, a, b);
    else if (KIND == TENSOR_BF16)
        multiply_bf16(d, a, b);
    else
        multiply_tf32(d, a, b);
}
template <enum tensor_kind KIND>
static __device__ __forceinline__ void multiply_fragments(int32_t (&d)[4], const uint32_t (&a)[4],
                                                          const uint32_t (&b)[2])
{
    multiply_i8<KIND == TENSOR_I8, true>(d, a, b);
}

/* How an operand of that type is staged. */
template <enum tensor_kind KIND> static enum staging_form tensor_form(bool is_b, enum dtype dtype)
{
    switch (KIND) {
    case TENSOR_F16:
        return STAGING_F16;
    case TENSOR_BF16:
        return STAGING_BF16;
    case TENSOR_TF32:
        return STAGING_TF32;
    default:
        return is_b && dtype == DTYPE_U8 ? STAGING_FLIPPED : STAGING_BYTES;
    }
}

/* --- sources of A ------------------------------------------------------------------------------------------------ */

struct tensor_matrix {
    enum { TABLE_ROWS = 0 };
    const unsigned char *data;
    batch_strides batch; /* in bytes, as all here */
    int64_t pitch;

    struct rows {
        const unsigned char *data;
        int last;
    };
    typedef int tap;
    template <int ROWS> __device__ __forceinline__ rows enter(int64_t matrix, int first, int count, void *) const
    {
        return {data + batch_offset(batch, matrix) + first * pitch, count - first - 1};
    }
    __device__ __forceinline__ int tap_at(int k) const
    {
        return k;
    }
    /* Past the last row it is the last once more, whose results go nowhere. */
    __device__ __forceinline__ const unsigned char *chunk(const rows &at, int r, int k) const
    {
        return at.data + (r < at.last ? r : at.last) * pitch + k;
    }
};

/* --- zero points of bytes ---------------------------------------------------------------------------------------- */

/* (a - a_zero)(b - b_zero), summed, from the sums of a b, of a and of b. Unsigned bytes of B are 128 less when they are
 * multiplied, and so are their zero points. */
struct tensor_zeros {
    const uint8_t *a, *b; /* NULL: none */
    bool a_signed, b_signed;
    int64_t a_row, b_column;
    batch_strides a_batch, b_batch;
    const int32_t *b_sums; /* of columns */
    int64_t b_sums_matrix;
    int depth; /* elements along k */

    static __device__ __forceinline__ uint32_t widen(uint8_t byte, bool is_signed)
    {
        return is_signed ? (uint32_t)(int32_t)(int8_t)byte : byte;
    }
    __device__ __forceinline__ uint32_t of_row(int64_t matrix, int row) const
    {
        return a ? widen(a[batch_offset(a_batch, matrix) + row * a_row], a_signed) : 0;
    }
    __device__ __forceinline__ uint32_t of_column(int64_t matrix, int column) const
    {
        uint32_t zero = b ? widen(b[batch_offset(b_batch, matrix) + column * b_column], b_signed) : 0;
        return b_signed ? zero : zero - 128;
    }
    /* Whether sums of rows of A count. */
    __device__ __forceinline__ bool of_columns() const
    {
        return b != nullptr || !b_signed;
    }
};

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* ROWS x COLUMNS of C; a warp has HIGH x WIDE of it. */
template <int ROWS_, int COLUMNS_, int HIGH_, int WIDE_> struct tensor_shape {
    enum {
        ROWS = ROWS_,
        COLUMNS = COLUMNS_,
        HIGH = HIGH_,
        WIDE = WIDE_,
        WARPS_ACROSS = COLUMNS / WIDE,
        THREADS = WARP * (ROWS / HIGH) * WARPS_ACROSS,
        BLOCKS = 256 / THREADS, /* on a multiprocessor, at least: each thread may have 255 registers */
        STAGE = (ROWS + COLUMNS) * STAGE_BYTES
    };
};

template <typename SHAPE, typename A> static constexpr size_t tensor_shared()
{
    return TENSOR_STAGES * SHAPE::STAGE + A::TABLE_ROWS * (size_t)SHAPE::ROWS;
}

static __device__ __forceinline__ int place_of_chunk(int row, int chunk)
{
    return row * STAGE_BYTES + ((chunk ^ row >> 1) & (STAGE_CHUNKS - 1)) * CHUNK;
}

template <enum tensor_kind KIND, typename A, typename FINISH> struct tensor_arguments {
    product_sizes sizes; /* of k: bytes */
    A a;
    const unsigned char *b; /* [matrix][n], rows of chunks along k */
    int64_t b_matrix, b_pitch;
    tensor_zeros zeros;
    FINISH finish;
    typename tensor_sums<KIND>::result *partial;
};

/* What a warp multiplies at once: 32 bytes of k. */
template <typename SHAPE> struct tensor_fragments {
    uint32_t a[SHAPE::HIGH / 16][4], b[SHAPE::WIDE / 8][2];
};

/* a and b: what of the stage is the lane's, in the first half. In the second it is two chunks on, which the exchange of
 * chunks makes one bit of the address; rows a multiple of eight away have their chunks exchanged alike. */
template <typename SHAPE>
static __device__ __forceinline__ void load_fragments(tensor_fragments<SHAPE> &f, const unsigned char *stage, int a,
                                                      int b, int half)
{
    const unsigned char *a_row = stage + (a ^ half * 2 * CHUNK), *b_row = stage + (b ^ half * 2 * CHUNK);
    UNROLL
    for (int i = 0; i < SHAPE::HIGH / 16; i++)
        load_matrix_x4(f.a[i], a_row + i * 16 * STAGE_BYTES);
    UNROLL
    for (int j = 0; j < SHAPE::WIDE / 16; j++) {
        uint32_t four[4];
        load_matrix_x4(four, b_row + j * 16 * STAGE_BYTES);
        f.b[2 * j][0] = four[0];
        f.b[2 * j][1] = four[1];
        f.b[2 * j + 1][0] = four[2];
        f.b[2 * j + 1][1] = four[3];
    }
}

/* The sums that a warp has: of products, and of the rows of A where zero points of B ask for them. */
template <enum tensor_kind KIND, typename SHAPE> struct tensor_results {
    typename tensor_sums<KIND>::element products[SHAPE::HIGH / 16][SHAPE::WIDE / 8][4];
    int32_t rows[tensor_sums<KIND>::IS_BYTES ? SHAPE::HIGH / 16 : 1][4];
};

template <enum tensor_kind KIND, typename SHAPE>
static __device__ __forceinline__ void multiply_half(tensor_results<KIND, SHAPE> &sums,
                                                     const tensor_fragments<SHAPE> &f, bool sums_rows)
{
    UNROLL
    for (int i = 0; i < SHAPE::HIGH / 16; i++)
        UNROLL
    for (int j = 0; j < SHAPE::WIDE / 8; j++)
        multiply_fragments<KIND>(sums.products[i][j], f.a[i], f.b[j]);
    if (tensor_sums<KIND>::IS_BYTES && sums_rows) {
        const uint32_t ones[2] = {0x01010101, 0x01010101};
        UNROLL
        for (int i = 0; i < SHAPE::HIGH / 16; i++)
            multiply_i8<KIND == TENSOR_I8, true>(sums.rows[tensor_sums<KIND>::IS_BYTES ? i : 0], f.a[i], ones);
    }
}

/* Four neighbours of a row, less what zero points make of them. row_sum: of A. */
static __device__ __forceinline__ void correct_four(const tensor_zeros &, const product_tile &, int, int, int, int32_t,
                                                    float (&)[4])
{
}
static __device__ __forceinline__ void correct_four(const tensor_zeros &z, const product_tile &at, int row, int column,
                                                    int columns, int32_t row_sum, uint32_t (&four)[4])
{
    uint32_t a_zero = at.slice == 0 ? z.of_row(at.matrix, row) : 0;
    UNROLL
    for (int i = 0; i < 4; i++) {
        if (column + i >= columns)
            continue;
        uint32_t b_zero = z.of_columns() ? z.of_column(at.matrix, column + i) : 0;
        four[i] -= b_zero * (uint32_t)row_sum;
        if (a_zero)
            four[i] -=
                a_zero * ((uint32_t)z.b_sums[at.matrix * z.b_sums_matrix + column + i] - (uint32_t)z.depth * b_zero);
    }
}

/* Sixteen rows of a warp's results in shared memory. */
template <enum tensor_kind KIND, typename SHAPE> struct tensor_strip {
    /* Eight more, so that the rows of a fragment lie in different banks. */
    enum { PITCH = SHAPE::WIDE + 8 };
    typename tensor_sums<KIND>::result results[16 * PITCH];
    int32_t row_sums[16];
};

template <enum tensor_kind KIND, typename SHAPE>
static __device__ __forceinline__ void write_strip(tensor_strip<KIND, SHAPE> *strip,
                                                   const tensor_results<KIND, SHAPE> &sums, int i)
{
    typedef typename tensor_sums<KIND>::result result;
    int lane = threadIdx.x % WARP;
    UNROLL
    for (int half = 0; half < 2; half++) {
        int row = half * 8 + lane / 4;
        UNROLL
        for (int j = 0; j < SHAPE::WIDE / 8; j++) {
            const auto *two = &sums.products[i][j][2 * half];
            store_two(strip->results + row * strip->PITCH + j * 8 + lane % 4 * 2, (result)two[0], (result)two[1]);
        }
        if (lane % 4 == 0)
            strip->row_sums[row] = sums.rows[tensor_sums<KIND>::IS_BYTES ? i : 0][2 * half];
    }
}

/* Results go by way of shared memory, strip by strip, so that threads have four neighbours each, and that the code of
 * an epilogue is there once. */
template <enum tensor_kind KIND, typename SHAPE, typename A, typename FINISH>
static __device__ __forceinline__ void
store_results(const tensor_arguments<KIND, A, FINISH> &arguments, const product_tile &at, int high, int wide,
              const tensor_results<KIND, SHAPE> &sums, tensor_strip<KIND, SHAPE> *strip)
{
    const product_sizes &s = arguments.sizes;
    typename FINISH::matrix matrix = arguments.finish.enter(at.matrix);
    ROLLED
    for (int i = 0; i < SHAPE::HIGH / 16; i++) {
        __syncwarp();
        UNROLL
        for (int k = 0; k < SHAPE::HIGH / 16; k++)
            if (k == i)
                write_strip(strip, sums, k);
        __syncwarp();
        ROLLED
        for (int four = threadIdx.x % WARP; four < 16 * (SHAPE::WIDE / 4); four += WARP) {
            int r = four / (SHAPE::WIDE / 4), c = four % (SHAPE::WIDE / 4) * 4;
            int row = at.row + high + i * 16 + r, column = at.column + wide + c;
            if (row >= s.m || column >= s.n)
                continue;
            typename tensor_sums<KIND>::result values[4];
            read_four(values, strip->results + r * strip->PITCH + c);
            correct_four(arguments.zeros, at, row, column, s.n, strip->row_sums[r], values);
            product_store(s, arguments.finish, arguments.partial, at, arguments.finish.at(matrix, row), row, column,
                          values);
        }
    }
}

template <enum tensor_kind KIND, typename SHAPE, typename A, typename FINISH>
static __global__ void __launch_bounds__(SHAPE::THREADS, SHAPE::BLOCKS)
    tensor_kernel(const __grid_constant__ tensor_arguments<KIND, A, FINISH> arguments)
{
    const int rows_at_once = SHAPE::THREADS / STAGE_CHUNKS;
    const product_sizes &s = arguments.sizes;
    unsigned char *stages = shared_memory<unsigned char>();
    void *table = stages + TENSOR_STAGES * SHAPE::STAGE;
    int warp = threadIdx.x / WARP;
    int high = warp / SHAPE::WARPS_ACROSS * SHAPE::HIGH, wide = warp % SHAPE::WARPS_ACROSS * SHAPE::WIDE;
    int chunk = threadIdx.x % STAGE_CHUNKS, line = threadIdx.x / STAGE_CHUNKS, lane = threadIdx.x % WARP;
    int mine = place_of_chunk(line, chunk);
    int a_lane = place_of_chunk(high + lane % 16, lane / 16);
    int b_lane = place_of_chunk(SHAPE::ROWS + wide + lane / 16 * 8 + lane % 8, lane / 8 % 2);
    bool sums_rows = tensor_sums<KIND>::IS_BYTES && arguments.zeros.of_columns();
    int64_t blocks =
        s.matrices * s.slices * ((s.m + SHAPE::ROWS - 1) / SHAPE::ROWS) * ((s.n + SHAPE::COLUMNS - 1) / SHAPE::COLUMNS);
    for (int64_t index = blockIdx.x; index < blocks; index += gridDim.x) {
        product_tile at = product_tile_at<SHAPE::ROWS, SHAPE::COLUMNS>(s, index);
        int from = at.slice * s.slice, to = s.k - from < s.slice ? s.k : from + s.slice;
        int steps = (to - from + STAGE_BYTES - 1) / STAGE_BYTES;
        auto rows = arguments.a.template enter<SHAPE::ROWS>(at.matrix, at.row, s.m, table);
        const unsigned char *b =
            computed_here(arguments.b + at.matrix * arguments.b_matrix + at.column * arguments.b_pitch);
        int last = s.n - at.column - 1;
        __syncthreads();
        auto load = [&](int step) {
            unsigned char *stage = stages + step % TENSOR_STAGES * SHAPE::STAGE;
            int k = from + step * STAGE_BYTES + chunk * CHUNK;
            auto tap = arguments.a.tap_at(k < to ? k : from);
            if (step < steps) {
                UNROLL
                for (int r = 0; r < SHAPE::ROWS; r += rows_at_once)
                    copy_async_16(stage + mine + r * STAGE_BYTES, arguments.a.chunk(rows, r + line, tap), k < to);
                UNROLL
                for (int r = 0; r < SHAPE::COLUMNS; r += rows_at_once) {
                    int row = r + line < last ? r + line : last;
                    copy_async_16(stage + mine + (SHAPE::ROWS + r) * STAGE_BYTES, b + row * arguments.b_pitch + k,
                                  k < to);
                }
            }
            copy_async_commit();
        };
        tensor_results<KIND, SHAPE> sums = {};
        tensor_fragments<SHAPE> fragments[2];
        for (int step = 0; step < TENSOR_STAGES - 1; step++)
            load(step);
        copy_async_wait<TENSOR_STAGES - 2>();
        __syncthreads();
        if (steps > 0)
            load_fragments(fragments[0], stages, a_lane, b_lane, 0);
        for (int step = 0; step < steps; step++) {
            load_fragments(fragments[1], stages + step % TENSOR_STAGES * SHAPE::STAGE, a_lane, b_lane, 1);
            load(step + TENSOR_STAGES - 1);
            multiply_half(sums, fragments[0], sums_rows);
            copy_async_wait<TENSOR_STAGES - 2>();
            __syncthreads();
            if (step + 1 < steps)
                load_fragments(fragments[0], stages + (step + 1) % TENSOR_STAGES * SHAPE::STAGE, a_lane, b_lane, 0);
            multiply_half(sums, fragments[1], sums_rows);
        }
        copy_async_wait<0>();
        __syncthreads();
        store_results(arguments, at, high, wide, sums, (tensor_strip<KIND, SHAPE> *)stages + warp);
        __syncthreads();
    }
}

/* --- enqueueing -------------------------------------------------------------------------------------------------- */

template <typename SHAPE, enum tensor_kind KIND, typename A, typename FINISH>
static void tensor_launch(const struct kernel_call *call, const tensor_arguments<KIND, A, FINISH> &a)
{
    /* Of a block's shared memory: what sm_75 has, and of those from sm_80 on sm_86, sm_89 and sm_120, who have least.
     */
    static_assert(tensor_shared<SHAPE, A>() <= (SHAPE::ROWS <= 128 ? 64u << 10 : 99u << 10), "a block's stages fit");
    int64_t blocks = product_blocks(&a.sizes, SHAPE::ROWS, SHAPE::COLUMNS);
    cuda_launch(call, tensor_kernel<KIND, SHAPE, A, FINISH>, grid_for(blocks, 1), SHAPE::THREADS,
                tensor_shared<SHAPE, A>(), a);
}

/* LARGER: with tiles whose stages take more shared memory than a multiprocessor before sm_80 has. A tile of 256 x 128
 * brings a quarter less to shared memory than two of 128 x 128, which is more than L2 delivers while they multiply. */
template <bool LARGER, enum tensor_kind KIND, typename A, typename FINISH>
static void tensor_enqueue(const struct kernel_call *call, const tensor_arguments<KIND, A, FINISH> &a)
{
    bool larger = false;
    if constexpr (LARGER) {
        larger = a.sizes.m > 128 && product_blocks(&a.sizes, 256, 128) >= FULL_GRID;
        if (larger)
            tensor_launch<tensor_shape<256, 128, 64, 64>>(call, a);
    }
    /* Fragments of 64 x 64 read shared memory least. Sums of bytes have sums of rows beside them, and no room. */
    if (!larger && product_blocks(&a.sizes, 128, 128) >= FULL_GRID)
        tensor_launch<tensor_shape<128, 128, 64, tensor_sums<KIND>::IS_BYTES ? 32 : 64>>(call, a);
    else if (!larger)
        tensor_launch<tensor_shape<64, 64, 32, 32>>(call, a);
    product_add_slices(call, a.sizes, a.finish, a.partial);
}

/* A kernel of the file that includes this, by its plan_kind and pack_kind. The last is its run, a template's. */
#define TENSOR_KERNEL(FAMILY, NAME, NEEDS, KIND, SUPPORTS, ...) \
    extern "C" const struct kernel FAMILY##_##NAME##_cuda = {   \
        .name = #FAMILY "_" #NAME "_cuda",                      \
        .family = FAMILY_##FAMILY,                              \
        .requires = DEVICE_CUDA | (NEEDS),                      \
        .supports = SUPPORTS,                                   \
        .plan = plan_kind<KIND>,                                \
        .pack = pack_kind<KIND>,                                \
        .run = __VA_ARGS__,                                     \
        .explain = cuda_program_explain,                        \
    }

#endif
