#include "kernels/x86/transpose.h"

#include "kernels/x86/vector.h"

#include <string.h>

/* Squares of elements, whose side is SQUARE_n for elements of n bytes. */
#define SQUARE_1 8
#define SQUARE_2 8
#define SQUARE_4 8
#define SQUARE_8 4
/* Of elements of 4 bytes also in squares of so many rows, where no more are left: of 4 groups of channels, say. */
#define QUAD 4
/* Of bytes in three rows, an image's, so many columns at once, of at least two more. */
#define TRIPLES 16

#if KERNEL_SET == SET_PLAIN

#define TRANSPOSE_SQUARE(bytes)                                                                          \
    static inline void transpose_##bytes(const char *from, int64_t from_step, char *to, int64_t to_step) \
    {                                                                                                    \
        for (int i = 0; i < SQUARE_##bytes; i++)                                                         \
            for (int j = 0; j < SQUARE_##bytes; j++)                                                     \
                memcpy(to + j * to_step + i * (bytes), from + i * from_step + j * (bytes), bytes);       \
    }
static inline void transpose_triples(const char *from, int64_t from_step, char *to)
{
    for (int j = 0; j < TRIPLES; j++)
        for (int i = 0; i < 3; i++)
            to[3 * j + i] = from[i * from_step + j];
}
TRANSPOSE_SQUARE(1)
TRANSPOSE_SQUARE(2)
TRANSPOSE_SQUARE(4)
TRANSPOSE_SQUARE(8)
#undef TRANSPOSE_SQUARE

static inline void transpose_quad_of(const char *const *rows, char *to, int64_t to_step)
{
    for (int i = 0; i < QUAD; i++)
        for (int j = 0; j < QUAD; j++)
            memcpy(to + j * to_step + i * 4, rows[i] + j * 4, 4);
}

static inline void interleave_quads(const char *from, int64_t from_step, char *to)
{
    for (int i = 0; i < QUAD; i++)
        for (int j = 0; j < 2 * QUAD; j++)
            memcpy(to + 4 * (j * QUAD + i), from + i * from_step + 4 * j, 4);
}

#else

static inline void transpose_1(const char *from, int64_t from_step, char *to, int64_t to_step)
{
    __m128i r[8], s[4];
    UNROLL
    for (int i = 0; i < 8; i++)
        r[i] = _mm_loadl_epi64((const __m128i *)(const void *)(from + i * from_step));
    UNROLL
    for (int i = 0; i < 4; i++)
        s[i] = _mm_unpacklo_epi8(r[2 * i], r[2 * i + 1]);
    __m128i a = _mm_unpacklo_epi16(s[0], s[1]), b = _mm_unpackhi_epi16(s[0], s[1]);
    __m128i c = _mm_unpacklo_epi16(s[2], s[3]), d = _mm_unpackhi_epi16(s[2], s[3]);
    r[0] = _mm_unpacklo_epi32(a, c);
    r[1] = _mm_unpackhi_epi32(a, c);
    r[2] = _mm_unpacklo_epi32(b, d);
    r[3] = _mm_unpackhi_epi32(b, d);
    UNROLL
    for (int i = 0; i < 4; i++) {
        _mm_storel_epi64((__m128i *)(void *)(to + 2 * i * to_step), r[i]);
        _mm_storel_epi64((__m128i *)(void *)(to + (2 * i + 1) * to_step), _mm_unpackhi_epi64(r[i], r[i]));
    }
}

/* Three rows, without a gap; 4 bytes past them are written over. */
static inline void transpose_triples(const char *from, int64_t from_step, char *to)
{
    const __m128i closed = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    __m128i r[3];
    UNROLL
    for (int i = 0; i < 3; i++)
        r[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + i * from_step));
    __m128i a = _mm_unpacklo_epi8(r[0], r[1]), b = _mm_unpackhi_epi8(r[0], r[1]);
    __m128i c = _mm_unpacklo_epi8(r[2], r[2]), d = _mm_unpackhi_epi8(r[2], r[2]);
    const __m128i quads[] = {_mm_unpacklo_epi16(a, c), _mm_unpackhi_epi16(a, c), _mm_unpacklo_epi16(b, d),
                             _mm_unpackhi_epi16(b, d)};
    UNROLL
    for (int i = 0; i < 4; i++)
        _mm_storeu_si128((__m128i *)(void *)(to + 12 * i), _mm_shuffle_epi8(quads[i], closed));
}

static inline void transpose_2(const char *from, int64_t from_step, char *to, int64_t to_step)
{
    __m128i r[8], s[8];
    UNROLL
    for (int i = 0; i < 8; i++)
        r[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + i * from_step));
    UNROLL
    for (int i = 0; i < 4; i++) { /* rows 2 i and 2 i + 1 interleaved: columns 0 to 3, and 4 to 7 */
        s[i] = _mm_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
        s[4 + i] = _mm_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    UNROLL
    for (int i = 0; i < 8; i += 4) {
        __m128i a = _mm_unpacklo_epi32(s[i], s[i + 1]), b = _mm_unpackhi_epi32(s[i], s[i + 1]);
        __m128i c = _mm_unpacklo_epi32(s[i + 2], s[i + 3]), d = _mm_unpackhi_epi32(s[i + 2], s[i + 3]);
        _mm_storeu_si128((__m128i *)(void *)(to + i * to_step), _mm_unpacklo_epi64(a, c));
        _mm_storeu_si128((__m128i *)(void *)(to + (i + 1) * to_step), _mm_unpackhi_epi64(a, c));
        _mm_storeu_si128((__m128i *)(void *)(to + (i + 2) * to_step), _mm_unpacklo_epi64(b, d));
        _mm_storeu_si128((__m128i *)(void *)(to + (i + 3) * to_step), _mm_unpackhi_epi64(b, d));
    }
}

/* Lanes of 16 bytes are joined by loads of halves of rows, four rows apart, so that no shuffle crosses them. */
static inline void transpose_4(const char *from, int64_t from_step, char *to, int64_t to_step)
{
    UNROLL
    for (int half = 0; half < 2; half++) {
        __m256 r[4];
        UNROLL
        for (int i = 0; i < 4; i++) {
            const char *row = from + i * from_step + 16 * half;
            r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps((const float *)(const void *)row)),
                                        _mm_loadu_ps((const float *)(const void *)(row + 4 * from_step)), 1);
        }
        __m256 a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
        __m256 c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
        char *at = to + 4 * half * to_step;
        _mm256_storeu_ps((float *)(void *)at, _mm256_shuffle_ps(a, c, 0x44));
        _mm256_storeu_ps((float *)(void *)(at + to_step), _mm256_shuffle_ps(a, c, 0xee));
        _mm256_storeu_ps((float *)(void *)(at + 2 * to_step), _mm256_shuffle_ps(b, d, 0x44));
        _mm256_storeu_ps((float *)(void *)(at + 3 * to_step), _mm256_shuffle_ps(b, d, 0xee));
    }
}

static inline void transpose_quad_of(const char *const *rows, char *to, int64_t to_step)
{
    __m128 r[4];
    UNROLL
    for (int i = 0; i < 4; i++)
        r[i] = _mm_loadu_ps((const float *)(const void *)rows[i]);
    __m128 a = _mm_unpacklo_ps(r[0], r[1]), b = _mm_unpackhi_ps(r[0], r[1]);
    __m128 c = _mm_unpacklo_ps(r[2], r[3]), d = _mm_unpackhi_ps(r[2], r[3]);
    _mm_storeu_ps((float *)(void *)to, _mm_movelh_ps(a, c));
    _mm_storeu_ps((float *)(void *)(to + to_step), _mm_movehl_ps(c, a));
    _mm_storeu_ps((float *)(void *)(to + 2 * to_step), _mm_movelh_ps(b, d));
    _mm_storeu_ps((float *)(void *)(to + 3 * to_step), _mm_movehl_ps(d, b));
}

/* Two of them side by side, which become rows without a gap. */
static inline void interleave_quads(const char *from, int64_t from_step, char *to)
{
    __m256 r[4];
    UNROLL
    for (int i = 0; i < 4; i++)
        r[i] = _mm256_loadu_ps((const float *)(const void *)(from + i * from_step));
    __m256 a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
    __m256 c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
    __m256 e = _mm256_shuffle_ps(a, c, 0x44), f = _mm256_shuffle_ps(a, c, 0xee); /* rows 0 and 4, 1 and 5 */
    __m256 g = _mm256_shuffle_ps(b, d, 0x44), h = _mm256_shuffle_ps(b, d, 0xee); /* 2 and 6, 3 and 7 */
    _mm256_storeu_ps((float *)(void *)to, _mm256_permute2f128_ps(e, f, 0x20));
    _mm256_storeu_ps((float *)(void *)(to + 32), _mm256_permute2f128_ps(g, h, 0x20));
    _mm256_storeu_ps((float *)(void *)(to + 64), _mm256_permute2f128_ps(e, f, 0x31));
    _mm256_storeu_ps((float *)(void *)(to + 96), _mm256_permute2f128_ps(g, h, 0x31));
}

static inline void transpose_8(const char *from, int64_t from_step, char *to, int64_t to_step)
{
    UNROLL
    for (int half = 0; half < 2; half++) {
        __m256d r[2];
        UNROLL
        for (int i = 0; i < 2; i++) {
            const char *row = from + i * from_step + 16 * half;
            r[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd((const double *)(const void *)row)),
                                        _mm_loadu_pd((const double *)(const void *)(row + 2 * from_step)), 1);
        }
        char *at = to + 2 * half * to_step;
        _mm256_storeu_pd((double *)(void *)at, _mm256_unpacklo_pd(r[0], r[1]));
        _mm256_storeu_pd((double *)(void *)(at + to_step), _mm256_unpackhi_pd(r[0], r[1]));
    }
}

#endif

static inline void transpose_quad(const char *from, int64_t from_step, char *to, int64_t to_step)
{
    transpose_quad_of((const char *const[]){from, from + from_step, from + 2 * from_step, from + 3 * from_step}, to,
                      to_step);
}

/* Four rows. Where columns become rows without a gap, the last ones are taken together with some before them. */
static void transpose_quads(const char *from, int64_t from_step, char *to, int64_t to_step, int64_t columns)
{
    int64_t j = 0;
    if (to_step == QUAD * 4 && columns >= 2 * QUAD) {
        for (; j < columns; j += 2 * QUAD) {
            int64_t at = j < columns - 2 * QUAD ? j : columns - 2 * QUAD;
            interleave_quads(from + at * 4, from_step, to + at * QUAD * 4);
        }
        return;
    }
    for (; j + QUAD <= columns; j += QUAD)
        transpose_quad(from + j * 4, from_step, to + j * to_step, to_step);
    for (; j < columns; j++)
        for (int i = 0; i < QUAD; i++)
            memcpy(to + j * to_step + i * 4, from + i * from_step + j * 4, 4);
}

/* Rows and columns that make no square: element by element (masked stores are slower on AMD's CPUs). */
#define TRANSPOSE(bytes)                                                                                             \
    static void transpose_part_##bytes(const char *from, int64_t from_step, char *to, int64_t to_step, int64_t rows, \
                                       int64_t columns)                                                              \
    {                                                                                                                \
        for (int64_t i = 0; i < rows; i++)                                                                           \
            for (int64_t j = 0; j < columns; j++)                                                                    \
                memcpy(to + j * to_step + i * (bytes), from + i * from_step + j * (bytes), bytes);                   \
    }                                                                                                                \
    static void transpose_rows_##bytes(const char *from, int64_t from_step, char *to, int64_t to_step, int64_t rows, \
                                       int64_t columns)                                                              \
    {                                                                                                                \
        const int64_t side = SQUARE_##bytes;                                                                         \
        int64_t whole_rows = rows / side * side, whole_columns = columns / side * side;                              \
        for (int64_t j = 0; j < whole_columns; j += side)                                                            \
            for (int64_t i = 0; i < whole_rows; i += side)                                                           \
                transpose_##bytes(from + i * from_step + j * (bytes), from_step, to + j * to_step + i * (bytes),     \
                                  to_step);                                                                          \
        transpose_part_##bytes(from + whole_columns * (bytes), from_step, to + whole_columns * to_step, to_step,     \
                               whole_rows, columns - whole_columns);                                                 \
        for (; (bytes) == 4 && whole_rows + QUAD <= rows; whole_rows += QUAD)                                        \
            transpose_quads(from + whole_rows * from_step, from_step, to + whole_rows * 4, to_step, columns);        \
        transpose_part_##bytes(from + whole_rows * from_step, from_step, to + whole_rows * (bytes), to_step,         \
                               rows - whole_rows, columns);                                                          \
    }
TRANSPOSE(1)
TRANSPOSE(2)
TRANSPOSE(4)
TRANSPOSE(8)

void SET_NAME(transpose)(int64_t bytes, const void *from, int64_t from_step, void *to, int64_t to_step, int64_t rows,
                         int64_t columns)
{
    switch (bytes) {
    case 1:
        for (; rows == 3 && to_step == 3 && columns >= TRIPLES + 2; columns -= TRIPLES) {
            transpose_triples(from, from_step, to);
            from = (const char *)from + TRIPLES;
            to = (char *)to + 3 * TRIPLES;
        }
        transpose_rows_1(from, from_step, to, to_step, rows, columns);
        break;
    case 2:
        transpose_rows_2(from, from_step, to, to_step, rows, columns);
        break;
    case 4:
        transpose_rows_4(from, from_step, to, to_step, rows, columns);
        break;
    default:
        transpose_rows_8(from, from_step, to, to_step, rows, columns);
    }
}

void SET_NAME(transpose_lanes)(const float *const *rows, float *to, int64_t columns)
{
    int64_t j = 0;
    for (; j + QUAD <= columns; j += QUAD)
        UNROLL
    for (int i = 0; i < LANES; i += QUAD) {
        const char *quad[QUAD];
        UNROLL
        for (int k = 0; k < QUAD; k++)
            quad[k] = (const char *)(rows[i + k] + j);
        transpose_quad_of(quad, (char *)(to + j * LANES + i), LANES * sizeof *to);
    }
    for (; j < columns; j++)
        for (int i = 0; i < LANES; i++)
            to[j * LANES + i] = rows[i][j];
}
