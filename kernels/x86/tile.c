#include "kernels/x86/tile.h"

#include "kernels/x86/transpose.h"

#include <string.h>

/* With 32 registers two terms' columns fit beside the sums, and a row's pointer is used twice when it is at hand. */
#define TERMS_AT_ONCE (LANES == 16 ? 2 : 1)

/* Bytes of the panel asked for ahead of use. Terms of 8 lanes are so short that loads do not run far enough ahead of
 * the arithmetic to bring weights from the third-level cache in time; with a row or two they do. */
#define AHEAD (LANES == 8 ? 2048 : 0)

typedef vf sums[TILE_ROWS][TILE_VECTORS];

#define MOST_ABREAST 4

/* The functions below are expanded for each number of rows and of vectors, so that sums stay in registers. */

INLINE void begin(const int rows, const int vectors, const struct tile_ends *ends, sums s)
{
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++)
            s[i][j] = ends->start ? vf_load(ends->start + i * ends->start_row + j * LANES) : vf_set(0);
    }
}

/* Terms k to k + count - 1. The rows' elements are read where the multiplication needs them: as an operand that is
 * spread over the lanes (AVX-512), or by a load that spreads it. */
INLINE void add_some(const int rows, const int vectors, const int count, const float *const *end, int64_t k,
                     const float *panel, int64_t panel_row, sums s)
{
    vf b[TERMS_AT_ONCE][TILE_VECTORS];
    UNROLL
    for (int t = 0; t < count; t++) {
        UNROLL
        for (int j = 0; j < vectors; j++)
            b[t][j] = vf_load(panel + t * panel_row + j * LANES);
        if (AHEAD > 0 && rows > 2)
            __builtin_prefetch((const void *)((uintptr_t)(panel + t * panel_row) + AHEAD));
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int t = 0; t < count; t++) {
            vf a = vf_set(end[i][k + t]);
            UNROLL
            for (int j = 0; j < vectors; j++)
                s[i][j] = vf_fma(a, b[t][j], s[i][j]);
        }
    }
}

/* k counts up to 0 from the end of the rows, so that the loop needs one register for both its index and its end. */
INLINE void add_terms(const int rows, const int vectors, const float *const *first, int64_t skip, int64_t depth,
                      const float *panel, int64_t panel_row, sums s)
{
    const float *end[TILE_ROWS];
    UNROLL
    for (int i = 0; i < rows; i++)
        end[i] = first[i] + skip + depth;
    int64_t k = -depth;
    for (; k <= -TERMS_AT_ONCE; k += TERMS_AT_ONCE, panel += TERMS_AT_ONCE * panel_row)
        add_some(rows, vectors, TERMS_AT_ONCE, end, k, panel, panel_row, s);
    for (; k < 0; k++, panel += panel_row)
        add_some(rows, vectors, 1, end, k, panel, panel_row, s);
}

INLINE void add_operands(const int rows, const int vectors, const struct tile_ends *ends, sums s)
{
    for (int a = 0; a < ends->addend_count; a++) {
        const float *from = ends->addends[a].from;
        int64_t row = ends->addends[a].row;
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < vectors; j++)
                s[i][j] = vf_add(s[i][j], vf_load(from + i * row + j * LANES));
        }
    }
}

INLINE void finish(const int rows, const int vectors, const struct tile_ends *ends, sums s)
{
    vf low = vf_set(ends->low), high = vf_set(ends->high);
    add_operands(rows, vectors, ends, s);
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++)
            vf_store(ends->to + i * ends->to_row + j * LANES, vf_min(high, vf_max(low, s[i][j])));
    }
}

/* The same, a part of a vector at a time, for sums in memory. */
static __attribute__((noinline)) void finish_ragged(int64_t rows, const struct tile_ends *ends, const float *from)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < ends->columns; j += LANES)
            tile_finish_part(ends, i, j, vf_load(from + i * TILE_COLUMNS + j));
}

INLINE void multiply(const int rows, const int vectors, const struct tile_rows *left, const struct tile_panel *panel,
                     const struct tile_ends *ends)
{
    sums s;
    float spilled[TILE_ROWS * TILE_COLUMNS];
    begin(rows, vectors, ends, s);
    for (int64_t tap = 0; tap < left->taps; tap++)
        add_terms(rows, vectors, left->first + tap * TILE_ROWS, left->skip, left->depth,
                  panel->first + tap * left->depth * panel->row, panel->row, s);
    if (ends->columns == vectors * LANES) {
        finish(rows, vectors, ends, s);
        return;
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++)
            vf_store(spilled + i * TILE_COLUMNS + j * LANES, s[i][j]);
    }
    finish_ragged(rows, ends, spilled);
}

INLINE void multiply_abreast(const int rows, const int count, const struct tile_rows *left,
                             const struct tile_panel *panel, int64_t next, const struct tile_ends *ends)
{
    sums s[MOST_ABREAST];
    struct tile_ends each[MOST_ABREAST];
    UNROLL
    for (int i = 0; i < count; i++) {
        each[i] = *ends;
        tile_shift(&each[i], i * TILE_COLUMNS);
        begin(rows, TILE_VECTORS, &each[i], s[i]);
    }
    for (int64_t tap = 0; tap < left->taps; tap++) {
        const float *end[TILE_ROWS], *from = panel->first + tap * left->depth * panel->row;
        UNROLL
        for (int i = 0; i < rows; i++)
            end[i] = left->first[tap * TILE_ROWS + i] + left->skip + left->depth;
        for (int64_t k = -left->depth; k < 0; k++, from += panel->row) {
            UNROLL
            for (int i = 0; i < count; i++)
                add_some(rows, TILE_VECTORS, 1, end, k, from + i * next, panel->row, s[i]);
        }
    }
    UNROLL
    for (int i = 0; i < count; i++)
        finish(rows, TILE_VECTORS, &each[i], s[i]);
}

void SET_NAME(tile_multiply_abreast)(int64_t rows, const struct tile_rows *left, const struct tile_panel *panel,
                                     int64_t count, int64_t next, const struct tile_ends *ends)
{
    if (count == 1)
        SET_NAME(tile_multiply)(rows, left, panel, ends);
    else if (rows == 1 && count == 4)
        multiply_abreast(1, 4, left, panel, next, ends);
    else if (rows == 1)
        multiply_abreast(1, 2, left, panel, next, ends);
    else
        multiply_abreast(2, 2, left, panel, next, ends);
}

#define CASE(rows)                                \
    case rows:                                    \
        if (ends->columns <= LANES)               \
            multiply(rows, 1, left, panel, ends); \
        else                                      \
            multiply(rows, 2, left, panel, ends); \
        break;

void SET_NAME(tile_multiply)(int64_t rows, const struct tile_rows *left, const struct tile_panel *panel,
                             const struct tile_ends *ends)
{
    switch (rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if TILE_ROWS > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
#endif
    }
}

void SET_NAME(tile_pack)(const float *from, int64_t row, int64_t column, int64_t depth, int64_t columns, float *to)
{
    if (columns < TILE_COLUMNS)
        memset(to, 0, (size_t)depth * TILE_COLUMNS * sizeof *to);
    if (row == 1) {
        SET_NAME(transpose)
        (sizeof *from, from, column * (int64_t)sizeof *from, to, TILE_COLUMNS * (int64_t)sizeof *to, columns, depth);
        return;
    }
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < columns; j++)
            to[k * TILE_COLUMNS + j] = from[k * row + j * column];
}
