#include "kernels/x86/tile.h"

#include <string.h>

/* With 32 registers two terms' columns fit beside the sums, and a row's pointer is used twice when it is at hand. */
#define TERMS_AT_ONCE (LANES == 16 ? 2 : 1)

typedef vf sums[TILE_ROWS][TILE_VECTORS];

INLINE vf load_columns(const float *from, int64_t columns, int vector)
{
    int64_t left = columns - vector * LANES;
    return left >= LANES ? vf_load(from + vector * LANES) : vf_load_part(from + vector * LANES, left > 0 ? left : 0);
}

INLINE void begin(const int rows, const struct tile_ends *ends, sums s)
{
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++)
            s[i][j] = ends->start ? load_columns(ends->start + i * ends->start_row, ends->columns, j) : vf_set(0);
    }
}

/* Terms k to k + count - 1. The rows' elements are read where the multiplication needs them: as an operand that is
 * spread over the lanes (AVX-512), or by a load that spreads it. */
INLINE void add_some(const int rows, const int count, const float *const *end, int64_t k, const float *panel,
                     int64_t panel_row, sums s)
{
    vf b[TERMS_AT_ONCE][TILE_VECTORS];
    UNROLL
    for (int t = 0; t < count; t++) {
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++)
            b[t][j] = vf_load(panel + t * panel_row + j * LANES);
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int t = 0; t < count; t++) {
            vf a = vf_set(end[i][k + t]);
            UNROLL
            for (int j = 0; j < TILE_VECTORS; j++)
                s[i][j] = vf_fma(a, b[t][j], s[i][j]);
        }
    }
}

/* k counts up to 0 from the end of the rows, so that the loop needs one register for both its index and its end. */
INLINE void add_terms(const int rows, const float *const *first, int64_t skip, int64_t depth, const float *panel,
                      int64_t panel_row, sums s)
{
    const float *end[TILE_ROWS];
    UNROLL
    for (int i = 0; i < rows; i++)
        end[i] = first[i] + skip + depth;
    int64_t k = -depth;
    for (; k <= -TERMS_AT_ONCE; k += TERMS_AT_ONCE, panel += TERMS_AT_ONCE * panel_row)
        add_some(rows, TERMS_AT_ONCE, end, k, panel, panel_row, s);
    for (; k < 0; k++, panel += panel_row)
        add_some(rows, 1, end, k, panel, panel_row, s);
}

INLINE void add_operands(const int rows, const struct tile_ends *ends, sums s)
{
    for (int a = 0; a < ends->addend_count; a++) {
        const float *from = ends->addends[a].from;
        int64_t row = ends->addends[a].row;
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < TILE_VECTORS; j++)
                s[i][j] = vf_add(s[i][j], load_columns(from + i * row, ends->columns, j));
        }
    }
}

INLINE void finish(const int rows, const struct tile_ends *ends, sums s)
{
    vf low = vf_set(ends->low), high = vf_set(ends->high);
    add_operands(rows, ends, s);
    UNROLL
    for (int i = 0; i < rows; i++) {
        float *to = ends->to + i * ends->to_row;
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++) {
            vf x = vf_min(high, vf_max(low, s[i][j]));
            int64_t left = ends->columns - j * LANES;
            if (left >= LANES)
                vf_store(to + j * LANES, x);
            else if (left > 0)
                vf_store_part(to + j * LANES, x, left);
        }
    }
}

INLINE void multiply(const int rows, const struct tile_rows *left, const struct tile_panel *panel,
                     const struct tile_ends *ends)
{
    sums s;
    begin(rows, ends, s);
    for (int64_t tap = 0; tap < left->taps; tap++)
        add_terms(rows, left->first + tap * TILE_ROWS, left->skip, left->depth,
                  panel->first + tap * left->depth * panel->row, panel->row, s);
    finish(rows, ends, s);
}

#define CASE(rows)                         \
    case rows:                             \
        multiply(rows, left, panel, ends); \
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
    if (column == 1 && columns == TILE_COLUMNS) {
        for (int64_t k = 0; k < depth; k++)
            memcpy(to + k * TILE_COLUMNS, from + k * row, TILE_COLUMNS * sizeof *to);
        return;
    }
    if (columns < TILE_COLUMNS)
        memset(to, 0, (size_t)depth * TILE_COLUMNS * sizeof *to);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t k = 0; k < depth; k++)
            to[k * TILE_COLUMNS + j] = from[k * row + j * column];
}
