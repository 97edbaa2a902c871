/* Sums of products for a few rows and two vectors of columns, in registers: what products and convolutions are made of.
 *
 *     sum[i][j] = start[i][j] + terms in the order of the depth, each one fused multiply-add
 *
 * A sum is the same whatever tile it is computed in, so tiles may be cut as it suits. */
#ifndef INFER_KERNELS_X86_TILE_H
#define INFER_KERNELS_X86_TILE_H

#include "kernels/walk.h"
#include "kernels/x86/vector.h"

/* Sums fill three quarters of the registers, so that two vectors of the panel and a row's element fit beside them. */
#if LANES == 16
#define TILE_ROWS 12
#else
#define TILE_ROWS 6
#endif
#define TILE_VECTORS 2
#define TILE_COLUMNS (TILE_VECTORS * LANES)

/* The left operand: `taps` stretches of `depth` elements a row (one for a product, one for each place of the window
 * for a convolution). */
struct tile_rows {
    const float *const *first; /* [taps][TILE_ROWS]: the first element of a stretch */
    int64_t skip;              /* so many elements of each */
    int64_t taps, depth;       /* the elements of a stretch are contiguous */
};

/* Columns of the right operand, TILE_COLUMNS of them whatever number counts. */
struct tile_panel {
    const float *first; /* [taps * depth][TILE_COLUMNS] */
    int64_t row;        /* from one depth to the next */
};

/* What sums begin with and become: addends are added one after the other, each sum rounded, then come the bounds.
 * Columns are contiguous everywhere; only the first `columns` are touched. */
#define TILE_ADDENDS 3
struct tile_ends {
    const float *start; /* as wide as the columns take vectors; NULL: zeros */
    int64_t start_row;
    int addend_count;
    struct {
        const float *from;
        int64_t row; /* 0: the same for all rows */
    } addends[TILE_ADDENDS];
    float low, high; /* bounds; a NaN stays. -inf and inf: none */
    float *to;
    int64_t to_row;
    int64_t columns;
};

/* Ends a vector of sums, of row `row` and the columns from `column` on; or the part of it that is there. */
INLINE void tile_finish(const struct tile_ends *ends, int64_t row, int64_t column, vf sum)
{
    for (int i = 0; i < ends->addend_count; i++)
        sum = vf_add(sum, vf_load(ends->addends[i].from + row * ends->addends[i].row + column));
    vf_store(ends->to + row * ends->to_row + column, vf_min(vf_set(ends->high), vf_max(vf_set(ends->low), sum)));
}
INLINE void tile_finish_part(const struct tile_ends *ends, int64_t row, int64_t column, vf sum)
{
    int64_t count = least(ends->columns - column, LANES);
    for (int i = 0; i < ends->addend_count; i++)
        sum = vf_add(sum, vf_load_part(ends->addends[i].from + row * ends->addends[i].row + column, count));
    sum = vf_min(vf_set(ends->high), vf_max(vf_set(ends->low), sum));
    vf_store_part(ends->to + row * ends->to_row + column, sum, count);
}

/* Goes on to what lies `rows` further down. */
static inline void tile_move(struct tile_ends *ends, int64_t rows)
{
    for (int i = 0; i < ends->addend_count; i++)
        ends->addends[i].from += rows * ends->addends[i].row;
    ends->to += rows * ends->to_row;
}

/* Rows cut into tiles as evenly as can be, and tiles into blocks, whose rows stay in the second-level cache. */
#define BLOCK_TILES 8
struct tile_cut {
    int64_t rows, height, tiles, block_tiles, blocks; /* height: rows of a tile, at most */
};
static inline struct tile_cut tile_cut_by(int64_t rows, int64_t height, int64_t tiles_of_block)
{
    struct tile_cut cut = {.rows = rows, .height = height, .tiles = divide_up(rows, height)};
    cut.blocks = divide_up(cut.tiles, tiles_of_block);
    cut.block_tiles = cut.blocks > 0 ? divide_up(cut.tiles, cut.blocks) : 0;
    return cut;
}
static inline struct tile_cut tile_cut(int64_t rows)
{
    return tile_cut_by(rows, TILE_ROWS, BLOCK_TILES);
}
static inline int64_t tile_first_row(const struct tile_cut *cut, int64_t tile)
{
    return cut->rows / cut->tiles * tile + least(tile, cut->rows % cut->tiles);
}
static inline int64_t tile_block_rows(const struct tile_cut *cut) /* at most */
{
    return cut->block_tiles * cut->height;
}

/* rows: 1 to TILE_ROWS. */
void SET_NAME(tile_multiply)(int64_t rows, const struct tile_rows *left, const struct tile_panel *panel,
                             const struct tile_ends *ends);

/* Copies a panel to where its rows are TILE_COLUMNS apart; columns past `columns` become 0. */
void SET_NAME(tile_pack)(const float *from, int64_t row, int64_t column, int64_t depth, int64_t columns, float *to);

#endif
