/* Products of matrices by multiplications and additions one by one: C[m, n] = sum of A[m, k] B[k, n], of any type. One
 * loop for all of them; what differs is how elements are fetched (a source: of a matrix by strides, or of an image
 * through a window) and where results go (a finish). Tensor cores have a loop of their own: kernels/cuda/tensor.h.
 *
 * A block of threads makes a tile of C. Panels of A and B, DEPTH deep, come to shared memory asynchronously, STAGES of
 * them; every thread multiplies a column of A's by a row of B's, in registers. Where C has few tiles and k is long,
 * slices of k are other blocks' work, and a second kernel adds up what they leave, slice by slice.
 *
 * Every element is a chain of sums along k, in order, slice after slice: no other tile changes it. */
#ifndef INFER_KERNELS_CUDA_PRODUCT_H
#define INFER_KERNELS_CUDA_PRODUCT_H

#include "kernels/cuda/epilogue.h"
#include "kernels/walk.h"

#define DEPTH 8
#define STAGES 3
#define BAND 8 /* tiles that follow each other down C before the next column: their panels of B are still in L2 */

/* --- sizes ------------------------------------------------------------------------------------------------------- */

/* x / by for x < 2^31, without a division. */
struct divider {
    uint32_t by, magic, shift;
};

static inline struct divider divider_of(int64_t by)
{
    uint32_t shift = 0, divisor = (uint32_t)(by > 0 ? by : 1);
    while (((uint64_t)1 << shift) < divisor)
        shift++;
    uint64_t magic = ((((uint64_t)1 << shift) - divisor) << 32) / divisor + 1;
    return {divisor, (uint32_t)magic, shift};
}

static __device__ __forceinline__ uint32_t divide(uint32_t x, const divider &d)
{
    return ((uint32_t)((uint64_t)x * d.magic >> 32) + x) >> d.shift;
}

/* All of m, n and k are below 2^31 - 1024, so that indices past an edge are too. */
struct product_sizes {
    int64_t matrices;
    int m, n, k;
    int slices, slice; /* of k; a slice is a multiple of what a stage of the loop takes */
};

#define PRODUCT_LONGEST 0x7ffffc00

/* Blocks from which on large tiles are worth it: about as many as a GPU has multiprocessors. Tests whose problems must
 * be small set fewer. */
#ifndef FULL_GRID
#define FULL_GRID 128
#endif

/* How k is cut depends on one matrix alone, and is the same for all its tiles: results must not depend on the batch,
 * nor on which tile a row comes to; nor on the GPU, so what it has of multiprocessors is taken to be CUT_BLOCKS. With s
 * slices a block goes through 1/s of the stages of k, and every result is a sum of s numbers that the second kernel
 * reads, each of which costs about half a stage: the two are least together at s * s = 2 stages. Where k has fewer than
 * CUT_STAGES, a second launch takes longer than what is saved (docs/cuda.md); tests whose problems must be small set
 * fewer. */
#define CUT_BLOCKS 128
#ifndef CUT_STAGES
#define CUT_STAGES 16
#endif

/* multiple: of k, that a stage of the loop takes. */
static inline void product_cut(struct product_sizes *s, int64_t multiple)
{
    int64_t tiles = divide_up(s->m, 64) * divide_up(s->n, 64), stages = divide_up(s->k, multiple), slices = 1;
    while (stages >= CUT_STAGES && (slices + 1) * tiles <= CUT_BLOCKS && (slices + 1) * (slices + 1) <= 2 * stages)
        slices++;
    int64_t slice = divide_up(stages, slices) * multiple;
    s->slice = (int)(slice > 0 ? slice : multiple);
    s->slices = s->k > 0 ? (int)divide_up(s->k, s->slice) : 1;
}

static inline size_t product_element_bytes(enum dtype dtype)
{
    return dtype == DTYPE_F64 || dtype == DTYPE_I64 || dtype == DTYPE_U64 ? 8 : 4;
}

/* Bytes that the slices leave; 0: results are stored where they belong at once. */
static inline size_t product_partial_bytes(const struct product_sizes *s, size_t element)
{
    return s->slices > 1 ? (size_t)s->slices * (size_t)s->matrices * (size_t)s->m * (size_t)s->n * element : 0;
}

static inline int64_t product_blocks(const struct product_sizes *s, int rows, int columns)
{
    return s->matrices * s->slices * divide_up(s->m, rows) * divide_up(s->n, columns);
}

/* A tile of one slice of one matrix. */
struct product_tile {
    int64_t matrix;
    int slice, row, column;
};

template <int ROWS, int COLUMNS>
static __device__ __forceinline__ product_tile product_tile_at(const product_sizes &s, int64_t index)
{
    int64_t down = (s.m + ROWS - 1) / ROWS, across = (s.n + COLUMNS - 1) / COLUMNS;
    int64_t slice = index / (down * across), tile = index % (down * across);
    int64_t band = tile / (BAND * across), within = tile % (BAND * across);
    int64_t high = down - band * BAND < BAND ? down - band * BAND : BAND;
    product_tile at;
    at.matrix = slice / s.slices;
    at.slice = (int)(slice % s.slices);
    at.row = (int)((band * BAND + within % high) * ROWS);
    at.column = (int)(within / high * COLUMNS);
    return at;
}

/* --- elements ---------------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ float multiply_add(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static __device__ __forceinline__ double multiply_add(double a, double b, double c)
{
    return fma(a, b, c);
}
static __device__ __forceinline__ uint32_t multiply_add(uint32_t a, uint32_t b, uint32_t c)
{
    return a * b + c;
}
static __device__ __forceinline__ uint64_t multiply_add(uint64_t a, uint64_t b, uint64_t c)
{
    return a * b + c;
}

/* Strides of a batch, of which every operand has its own. */
struct batch_strides {
    int rank;
    int64_t dims[MAX_RANK], strides[MAX_RANK];
};

static __device__ __forceinline__ int64_t batch_offset(const batch_strides &b, int64_t index)
{
    if (b.rank == 1)
        return index * b.strides[0];
    int64_t offset = 0;
    for (int i = b.rank - 1; i >= 0; i--) {
        offset += index % b.dims[i] * b.strides[i];
        index /= b.dims[i];
    }
    return offset;
}

/* Elements that are multiplied as they lie in memory. */
template <typename T> struct plain_reader {
    typedef T memory;
    typedef T element;
    enum { COPIES_FOURS = false };
    static constexpr const uint8_t *zeros = nullptr;
    __device__ __forceinline__ const uint8_t *zeros_of(const batch_strides &, int64_t) const
    {
        return nullptr;
    }
    __device__ __forceinline__ void copy(T *to, const T *from, bool valid, const uint8_t *, int64_t) const
    {
        *to = valid ? *from : (T)0;
    }
};
template <> struct plain_reader<float> {
    typedef float memory;
    typedef float element;
    enum { COPIES_FOURS = true };
    static constexpr const uint8_t *zeros = nullptr;
    __device__ __forceinline__ const uint8_t *zeros_of(const batch_strides &, int64_t) const
    {
        return nullptr;
    }
    __device__ __forceinline__ void copy(float *to, const float *from, bool valid, const uint8_t *, int64_t) const
    {
        copy_async_4(to, from, valid);
    }
};
/* Bytes, signed or not, less a zero point of their row. Integers wrap, so they may all be unsigned. */
struct byte_reader {
    typedef uint8_t memory;
    typedef uint32_t element;
    enum { COPIES_FOURS = false };
    bool is_signed;
    const uint8_t *zeros; /* NULL: none */
    int64_t zero_row;
    __device__ __forceinline__ const uint8_t *zeros_of(const batch_strides &batch, int64_t matrix) const
    {
        return zeros ? zeros + batch_offset(batch, matrix) : nullptr;
    }
    __device__ __forceinline__ uint32_t widen(uint8_t byte) const
    {
        return is_signed ? (uint32_t)(int32_t)(int8_t)byte : byte;
    }
    __device__ __forceinline__ void copy(uint32_t *to, const uint8_t *from, bool valid, const uint8_t *its_zeros,
                                         int64_t row) const
    {
        *to = valid ? widen(*from) - (its_zeros ? widen(its_zeros[row * zero_row]) : 0) : 0;
    }
};

/* --- sources ----------------------------------------------------------------------------------------------------- */

/* How threads share the elements of a panel: neighbours along k, along rows, or four along rows each. */
enum panel_way { WAY_ALONG_DEPTH, WAY_ALONG_ROWS, WAY_FOURS };

/* A row of a panel and what lies along it are those of A, or the columns of B and what lies along them. */
template <typename READER> struct matrix_source {
    typedef READER reader_type;
    typedef typename READER::element element;
    typedef int64_t tap; /* of an element along k: its offset */
    enum { TABLE_ROWS = 0 };
    READER reader;
    const typename READER::memory *data;
    batch_strides batch, zero_batch;
    int64_t row, depth; /* strides */
    panel_way way;

    /* Where rows `first` and on of a matrix begin. */
    struct rows {
        const typename READER::memory *data;
        const uint8_t *zeros;
        int64_t first;
    };
    template <int ROWS> __device__ __forceinline__ rows enter(int64_t matrix, int first, int, void *) const
    {
        return {data + batch_offset(batch, matrix) + first * row, reader.zeros_of(zero_batch, matrix), first};
    }
    __device__ __forceinline__ tap tap_at(int k) const
    {
        return k * depth;
    }
    __device__ __forceinline__ void copy(element *to, const rows &at, int r, tap t, bool valid) const
    {
        reader.copy(to, at.data + r * row + t, valid, at.zeros, at.first + r);
    }
};

/* Four floats that lie next to each other at a multiple of 16 bytes, of which so many are the panel's. */
static __device__ __forceinline__ void copy_four(float *to, const float *from, bool valid, int count)
{
    if (!valid || count >= 4)
        copy_async_16(to, from, valid);
    else
        for (int i = 0; i < 4; i++)
            copy_async_4(to + i, from + i, i < count);
}
template <typename T, typename M> static __device__ __forceinline__ void copy_four(T *, const M *, bool, int)
{
}

/* --- epilogues --------------------------------------------------------------------------------------------------- */

/* What a program takes for results of a type: integers are signed then (product_rides). */
template <typename T> struct ridden {
    typedef T type;
};
template <> struct ridden<uint32_t> {
    typedef int32_t type;
};
template <> struct ridden<uint64_t> {
    typedef int64_t type;
};

/* Stores neighbours along the rows of an epilogue's space (DOWN) or its columns. */
template <bool DOWN, typename T, int N>
static __device__ __forceinline__ void product_ride(const cuda_epilogue &e, int64_t batch, int64_t row, int64_t column,
                                                    int count, const T (&values)[N])
{
    typename ridden<T>::type results[N];
    UNROLL
    for (int i = 0; i < N; i++)
        results[i] = (typename ridden<T>::type)values[i];
    cuda_epilogue_store_line<DOWN>(e, batch, row, column, count, results);
}

/* Whether a kernel takes the epilogue of results of that type. */
static inline bool product_rides(const struct epilogue *epilogue, enum dtype dtype)
{
    bool is_unsigned = dtype == DTYPE_U32 || dtype == DTYPE_U64;
    return !epilogue->program || (!is_unsigned && cuda_epilogue_supports(epilogue));
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* ROWS x COLUMNS of C, of which a thread has TALL x WIDE: fours of rows and of columns, spread over the tile so that
 * the threads of a warp, 4 x 8, read shared memory without conflicts. */
template <int ROWS_, int COLUMNS_, int TALL_, int WIDE_> struct product_shape {
    enum {
        ROWS = ROWS_,
        COLUMNS = COLUMNS_,
        TALL = TALL_,
        WIDE = WIDE_,
        THREADS = ROWS / TALL * (COLUMNS / WIDE),
        /* On a multiprocessor: as many as leave a thread 128 registers; twice as many where its sums take half of
           these. */
        BLOCKS = TALL * WIDE < 64 ? 512 / THREADS : 256 / THREADS,
        WARPS = THREADS / WARP,
        WARPS_ACROSS = COLUMNS / WIDE / 8,
        /* Four more elements, so that elements along k that are written together lie in different banks. */
        A_PITCH = ROWS + 4,
        B_PITCH = COLUMNS + 4,
        STAGE = DEPTH * (A_PITCH + B_PITCH)
    };
};

template <typename T, typename SHAPE, typename A> static constexpr size_t product_shared()
{
    return STAGES * SHAPE::STAGE * sizeof(T) + A::TABLE_ROWS * (size_t)SHAPE::ROWS;
}

/* The panel [k][row] of k from `from` to `to`; `count` rows are left. */
template <int ROWS, int WARPS, typename S>
static __device__ __forceinline__ void load_panel(const S &s, typename S::element *panel, const typename S::rows &at,
                                                  int count, int from, int to)
{
    const int pitch = ROWS + 4;
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    if (s.way == WAY_ALONG_DEPTH) {
        int k = lane % DEPTH;
        typename S::tap tap = s.tap_at(from + k);
        UNROLL
        for (int i = 0; i < ROWS * DEPTH / WARP; i += WARPS) {
            int r = (warp + i) * (WARP / DEPTH) + lane / DEPTH;
            s.copy(panel + k * pitch + r, at, r, tap, from + k < to && r < count);
        }
    } else if (s.way == WAY_ALONG_ROWS) {
        for (int k = warp; k < DEPTH; k += WARPS) {
            typename S::tap tap = s.tap_at(from + k);
            UNROLL
            for (int i = 0; i < ROWS; i += WARP)
                if (ROWS % WARP == 0 || i + lane < ROWS)
                    s.copy(panel + k * pitch + i + lane, at, i + lane, tap, from + k < to && i + lane < count);
        }
    } else {
        UNROLL
        for (int i = 0; i < DEPTH * (ROWS / 4); i += WARPS * WARP) {
            int k = (i + threadIdx.x) / (ROWS / 4), r = (i + threadIdx.x) % (ROWS / 4) * 4;
            if (DEPTH * (ROWS / 4) % (WARPS * WARP) == 0 || k < DEPTH)
                copy_four(panel + k * pitch + r, at.data + r + (int64_t)(from + k) * s.depth,
                          from + k < to && r < count, count - r);
        }
    }
}

static __device__ __forceinline__ void read_four(float *to, const float *from)
{
    float4 four = load_float4(from);
    to[0] = four.x;
    to[1] = four.y;
    to[2] = four.z;
    to[3] = four.w;
}
template <typename T> static __device__ __forceinline__ void read_four(T *to, const T *from)
{
    UNROLL
    for (int i = 0; i < 4; i += 16 / (int)sizeof(T)) {
        uint4 some = load_16(from + i);
        memcpy(to + i, &some, sizeof some);
    }
}

template <typename T, typename SHAPE>
static __device__ __forceinline__ void multiply_panels(T (&sums)[SHAPE::TALL][SHAPE::WIDE], const T *stage, int down,
                                                       int across)
{
    UNROLL
    for (int k = 0; k < DEPTH; k++) {
        const T *a = stage + k * SHAPE::A_PITCH + down * 4;
        const T *b = stage + DEPTH * SHAPE::A_PITCH + k * SHAPE::B_PITCH + across * 4;
        T left[SHAPE::TALL], right[SHAPE::WIDE];
        UNROLL
        for (int i = 0; i < SHAPE::TALL; i += 4)
            read_four(left + i, a + i * (SHAPE::ROWS / SHAPE::TALL));
        UNROLL
        for (int j = 0; j < SHAPE::WIDE; j += 4)
            read_four(right + j, b + j * (SHAPE::COLUMNS / SHAPE::WIDE));
        UNROLL
        for (int i = 0; i < SHAPE::TALL; i++)
            UNROLL
        for (int j = 0; j < SHAPE::WIDE; j++)
            sums[i][j] = multiply_add(left[i], right[j], sums[i][j]);
    }
}

template <typename A, typename B, typename FINISH> struct product_arguments {
    product_sizes sizes;
    A a;
    B b;
    FINISH finish;
    typename A::element *partial; /* [slice][matrix][m][n]; NULL: results are not kept apart */
};

/* Results of a tile that are neighbours along a row go where they belong, or to what the slices leave. */
template <typename T, int N, typename FINISH>
static __device__ __forceinline__ void product_store(const product_sizes &s, const FINISH &finish, T *partial,
                                                     const product_tile &at, const typename FINISH::place &place,
                                                     int row, int column, const T (&values)[N])
{
    int count = s.n - column < N ? s.n - column : N;
    if (!partial) {
        if (count > 0)
            finish.store(place, column, count, values);
        return;
    }
    T *to = partial + (((int64_t)at.slice * s.matrices + at.matrix) * s.m + row) * s.n + column;
    UNROLL
    for (int i = 0; i < N; i++)
        if (i < count)
            to[i] = values[i];
}

template <typename SHAPE, typename A, typename B, typename FINISH>
static __global__ void __launch_bounds__(SHAPE::THREADS, SHAPE::BLOCKS)
    product_kernel(const __grid_constant__ product_arguments<A, B, FINISH> arguments)
{
    typedef typename A::element T;
    const product_sizes &s = arguments.sizes;
    T *stages = shared_memory<T>();
    void *table = stages + STAGES * SHAPE::STAGE;
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    int down = warp / SHAPE::WARPS_ACROSS * 4 + lane / 8, across = warp % SHAPE::WARPS_ACROSS * 8 + lane % 8;
    int64_t blocks =
        s.matrices * s.slices * ((s.m + SHAPE::ROWS - 1) / SHAPE::ROWS) * ((s.n + SHAPE::COLUMNS - 1) / SHAPE::COLUMNS);
    for (int64_t index = blockIdx.x; index < blocks; index += gridDim.x) {
        product_tile at = product_tile_at<SHAPE::ROWS, SHAPE::COLUMNS>(s, index);
        int from = at.slice * s.slice, to = s.k - from < s.slice ? s.k : from + s.slice;
        int steps = (to - from + DEPTH - 1) / DEPTH;
        auto rows = arguments.a.template enter<SHAPE::ROWS>(at.matrix, at.row, s.m, table);
        auto columns = arguments.b.template enter<SHAPE::COLUMNS>(at.matrix, at.column, s.n, nullptr);
        __syncthreads();
        auto load = [&](int step) {
            T *stage = stages + step % STAGES * SHAPE::STAGE;
            if (step < steps) {
                int k = from + step * DEPTH;
                load_panel<SHAPE::ROWS, SHAPE::WARPS>(arguments.a, stage, rows, s.m - at.row, k, to);
                load_panel<SHAPE::COLUMNS, SHAPE::WARPS>(arguments.b, stage + DEPTH * SHAPE::A_PITCH, columns,
                                                         s.n - at.column, k, to);
            }
            copy_async_commit();
        };
        T sums[SHAPE::TALL][SHAPE::WIDE];
        UNROLL
        for (int i = 0; i < SHAPE::TALL; i++)
            UNROLL
        for (int j = 0; j < SHAPE::WIDE; j++)
            sums[i][j] = 0;
        for (int step = 0; step < STAGES - 1; step++)
            load(step);
        for (int step = 0; step < steps; step++) {
            copy_async_wait<STAGES - 2>();
            __syncthreads();
            load(step + STAGES - 1);
            multiply_panels<T, SHAPE>(sums, stages + step % STAGES * SHAPE::STAGE, down, across);
        }
        copy_async_wait<0>();
        __syncthreads();
        typename FINISH::matrix matrix = arguments.finish.enter(at.matrix);
        ROLLED
        for (int i = 0; i < SHAPE::TALL; i++) {
            int row = at.row + i / 4 * (SHAPE::ROWS / SHAPE::TALL * 4) + down * 4 + i % 4;
            T line[SHAPE::WIDE];
            UNROLL
            for (int k = 0; k < SHAPE::TALL; k++)
                UNROLL
            for (int j = 0; j < SHAPE::WIDE && k == i; j++)
                line[j] = sums[k][j];
            if (row >= s.m)
                continue;
            typename FINISH::place place = arguments.finish.at(matrix, row);
            ROLLED
            for (int j = 0; j < SHAPE::WIDE; j += 4) { /* the code of an epilogue is there once */
                T four[4];
                UNROLL
                for (int k = 0; k < SHAPE::WIDE; k++)
                    if (k / 4 == j / 4)
                        four[k % 4] = line[k];
                product_store(s, arguments.finish, arguments.partial, at, place, row,
                              at.column + j * (SHAPE::COLUMNS / SHAPE::WIDE) + across * 4, four);
            }
        }
    }
}

/* --- slices ------------------------------------------------------------------------------------------------------ */

template <typename T, typename FINISH> struct slices_arguments {
    product_sizes sizes;
    FINISH finish;
    const T *partial;
};

template <typename T, typename FINISH>
static __global__ void add_slices(const __grid_constant__ slices_arguments<T, FINISH> a)
{
    const product_sizes &s = a.sizes;
    int64_t count = s.matrices * s.m * s.n, threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads) {
        T sum = a.partial[i];
        for (int slice = 1; slice < s.slices; slice++)
            sum += a.partial[slice * count + i];
        int64_t row = i / s.n;
        const T one[1] = {sum};
        a.finish.store(a.finish.at(a.finish.enter(row / s.m), (int)(row % s.m)), (int)(i % s.n), 1, one);
    }
}

/* --- enqueueing -------------------------------------------------------------------------------------------------- */

template <typename SHAPE, typename A, typename B, typename FINISH>
static void product_launch(const struct kernel_call *call, const product_arguments<A, B, FINISH> &a)
{
    int64_t blocks = product_blocks(&a.sizes, SHAPE::ROWS, SHAPE::COLUMNS);
    cuda_launch(call, product_kernel<SHAPE, A, B, FINISH>, grid_for(blocks, 1), SHAPE::THREADS,
                product_shared<typename A::element, SHAPE, A>(), a);
}

template <typename T, typename FINISH>
static void product_add_slices(const struct kernel_call *call, const product_sizes &sizes, const FINISH &finish,
                               const T *partial)
{
    slices_arguments<T, FINISH> a = {sizes, finish, partial};
    if (sizes.slices > 1)
        cuda_launch(call, add_slices<T, FINISH>, grid_for(sizes.matrices * sizes.m * sizes.n, 256), 256, 0, a);
}

/* f32 has a tile for every form of C; the other types, which models seldom multiply, have one. */
template <typename A, typename B, typename FINISH>
static void product_enqueue_shape(const struct kernel_call *call, const product_arguments<A, B, FINISH> &a,
                                  const float *)
{
    const product_sizes *s = &a.sizes;
    if (s->m <= 16)
        product_launch<product_shape<16, 128, 4, 4>>(call, a);
    else if (s->n <= 32)
        product_launch<product_shape<128, 32, 8, 4>>(call, a);
    else if (product_blocks(s, 128, 128) >= FULL_GRID)
        product_launch<product_shape<128, 128, 8, 8>>(call, a);
    else
        product_launch<product_shape<64, 64, 8, 4>>(call, a);
}
template <typename A, typename B, typename FINISH, typename T>
static void product_enqueue_shape(const struct kernel_call *call, const product_arguments<A, B, FINISH> &a, const T *)
{
    product_launch<product_shape<64, 64, 4, 4>>(call, a);
}

template <typename A, typename B, typename FINISH>
static void product_enqueue(const struct kernel_call *call, const product_arguments<A, B, FINISH> &a)
{
    if (a.sizes.matrices * a.sizes.m * a.sizes.n == 0)
        return;
    product_enqueue_shape(call, a, (const typename A::element *)nullptr);
    product_add_slices(call, a.sizes, a.finish, (const typename A::element *)a.partial);
}

#endif
