/* Sums of products for a few rows and two vectors of columns, in registers: what products and convolutions are made of.
 *
 *     sum[i][j] = start[i][j] + (terms in the order of the depth, each one fused multiply-add)
 *
 * Terms begin at zero, so that a long sum made in stretches of TILE_DEPTH terms is a sum of sums, whose error grows
 * with the length of a stretch and not with its own. A sum is the same whatever tile it is computed in, so tiles may be
 * cut as it suits. */
#ifndef INFER_KERNELS_X86_TILE_H
#define INFER_KERNELS_X86_TILE_H

#include "kernels/walk.h"
#include "kernels/x86/vector_math.h"

/* Sums fill three quarters of the registers, so that two vectors of the panel and a row's element fit beside them. */
#if LANES == 16
#define TILE_ROWS 12
#else
#define TILE_ROWS 6
#endif
#define TILE_VECTORS 2
#define TILE_COLUMNS (TILE_VECTORS * LANES)
#define TILE_DEPTH 512

/* Columns are computed in whole vectors, or with 16 lanes in halves of them: on a CPU that does 16 lanes in two steps a
 * half takes one. */
#define TILE_STEP (LANES == 16 ? LANES / 2 : LANES)
static inline int64_t tile_width(int64_t columns) /* at most TILE_COLUMNS */
{
    return divide_up(columns, TILE_STEP) * TILE_STEP;
}

/* The left operand: `taps` stretches of `depth` elements a row (one for a product, one for each place of the window
 * for a convolution). */
struct tile_rows {
    const float *const *first; /* [taps][TILE_ROWS]: the first element of a stretch */
    int64_t skip;              /* so many elements of each */
    int64_t taps, depth;       /* the elements of a stretch are contiguous */
};

/* The same where the elements of a row lie apart, as they do in all rows alike. */
struct tile_strewn {
    const float *const *first; /* [TILE_ROWS]: what offsets count from */
    const int64_t *offsets;    /* of each element */
    int64_t depth;
};

/* Columns of the right operand, TILE_COLUMNS of them whatever number counts. */
struct tile_panel {
    const float *first; /* [taps * depth][TILE_COLUMNS] */
    int64_t row;        /* from one depth to the next */
};

/* What is added to sums and what they become: start, then addends one after the other, each sum rounded, then come
 * hard-swish or a slope for what is negative, the bounds, a factor and a shift, rounded as operations of their own.
 * Columns are contiguous everywhere; only the first `columns` are touched. */
#define TILE_ADDENDS 3
#define TILE_TERMS (LANES == 16 ? 2 : 1) /* that are added at once */
struct tile_ends {
    const float *start; /* tile_width columns; NULL: zeros */
    int64_t start_row;
    int addend_count;
    struct {
        const float *from;
        int64_t row; /* 0: the same for all rows */
    } addends[TILE_ADDENDS];
    bool swish;
    bool leaks;          /* what is negative is multiplied */
    const float *slopes; /* by that of its column; NULL: by `slope` */
    float slope;
    bool resumes;    /* sums do not begin at zero but go on from what is there at `to`, tile_width columns */
    float low, high; /* bounds; a NaN stays. -inf and inf: none */
    bool scaled;
    float scale, shift; /* shift: -0: none */
    float *to;
    int64_t to_row;
    int64_t columns;
    /* Weights that are multiplied later, to be asked for meanwhile: from where on, and how many bytes for each
     * TILE_TERMS terms. NULL: the panel itself, a little ahead, with 8 lanes. */
    const char *ahead;
    int64_t ahead_step;
};

INLINE vf tile_leak(vf sum, vf slopes)
{
    return vf_select(vf_less(sum, vf_set(0)), vf_mul(sum, slopes), sum);
}
/* What becomes of a vector of sums, addends and all; slopes: of its columns. */
INLINE vf tile_bend(const struct tile_ends *ends, vf sum, vf slopes)
{
    if (ends->swish)
        sum = vf_hard_swish(sum);
    if (ends->leaks)
        sum = tile_leak(sum, slopes);
    sum = vf_min(vf_set(ends->high), vf_max(vf_set(ends->low), sum));
    return ends->scaled ? vf_add(vf_mul(sum, vf_set(ends->scale)), vf_set(ends->shift)) : sum;
}
/* Ends a vector of sums, of row `row` and the columns from `column` on; or the part of it that is there. */
INLINE void tile_finish(const struct tile_ends *ends, int64_t row, int64_t column, vf sum)
{
    for (int i = 0; i < ends->addend_count; i++)
        sum = vf_add(sum, vf_load(ends->addends[i].from + row * ends->addends[i].row + column));
    vf slopes = ends->slopes ? vf_load(ends->slopes + column) : vf_set(ends->slope);
    vf_store(ends->to + row * ends->to_row + column, tile_bend(ends, sum, slopes));
}
INLINE void tile_finish_part(const struct tile_ends *ends, int64_t row, int64_t column, vf sum)
{
    int64_t count = least(ends->columns - column, LANES);
    for (int i = 0; i < ends->addend_count; i++)
        sum = vf_add(sum, vf_load_part(ends->addends[i].from + row * ends->addends[i].row + column, count));
    vf slopes = ends->slopes ? vf_load_part(ends->slopes + column, count) : vf_set(ends->slope);
    vf_store_part(ends->to + row * ends->to_row + column, tile_bend(ends, sum, slopes), count);
}

/* Goes on to what lies `rows` further down. */
static inline void tile_move(struct tile_ends *ends, int64_t rows)
{
    for (int i = 0; i < ends->addend_count; i++)
        ends->addends[i].from += rows * ends->addends[i].row;
    if (ends->start)
        ends->start += rows * ends->start_row;
    ends->to += rows * ends->to_row;
}

/* Weights that are worth it: as many as do not stay in a near cache; with 16 lanes, whose terms take longer, loads run
 * far enough ahead by themselves from all but the farthest. */
#define TILE_FAR_BYTES (LANES == 16 ? 320 << 10 : 128 << 10)
#define TILE_AHEAD_STEP 96 /* bytes from one line asked for to the next, at most: fewer tiles leave it out */

/* Has tile `index` of `tiles`, which share stretches of `depth` terms of a panel, ask for its part of what follows them
 * in memory: the next stretch, or the next panel. */
static inline void tile_look_ahead(struct tile_ends *ends, const struct tile_panel *panel, int64_t depth, int64_t index,
                                   int64_t tiles)
{
    int64_t bytes = depth * panel->row * (int64_t)sizeof(float);
    int64_t step = TILE_TERMS * panel->row * (int64_t)sizeof(float) / tiles + 1;
    if (step > TILE_AHEAD_STEP)
        return;
    ends->ahead = (const char *)((uintptr_t)panel->first + (uintptr_t)(bytes + bytes * index / tiles));
    ends->ahead_step = step;
}

/* Goes on to columns further right. */
static inline void tile_shift(struct tile_ends *ends, int64_t columns)
{
    if (ends->start)
        ends->start += columns;
    for (int i = 0; i < ends->addend_count; i++)
        ends->addends[i].from += columns;
    if (ends->slopes)
        ends->slopes += columns;
    ends->to += columns;
}

/* Multiplications that are one thread's, though it takes it 12 us: others would have to fetch from it what they work
 * on, and the next step from them what they have made, which between distant cores takes as long. */
#define TILE_ALONE 700000

/* Rows cut into tiles as evenly as can be, in pairs, and tiles into blocks, whose rows stay in the second-level cache.
 */
#define BLOCK_TILES 8
struct tile_cut {
    int64_t rows, tiles, block_tiles, blocks; /* block_tiles: at most */
    int64_t span, parts;                      /* block b begins at tile b * span / parts */
    int64_t height;                           /* rows of a tile, at most: even, unless tiles are lines */
    int64_t each, longer;                     /* rows of a tile, as even; so many, the first ones, have two more */
};
static inline struct tile_cut tile_cut_by(int64_t rows, int64_t height, int64_t tiles_of_block)
{
    struct tile_cut cut = {.rows = rows, .height = height, .tiles = divide_up(rows, height), .parts = 1};
    int64_t pairs = divide_up(rows, 2);
    cut.blocks = divide_up(cut.tiles, tiles_of_block);
    cut.block_tiles = cut.blocks > 0 ? divide_up(cut.tiles, cut.blocks) : 0;
    cut.span = cut.block_tiles;
    cut.each = cut.tiles > 0 ? pairs / cut.tiles * 2 : 0;
    cut.longer = cut.tiles > 0 ? pairs % cut.tiles : 0;
    return cut;
}
/* A tile for each line of `width` rows. */
static inline struct tile_cut tile_cut_lines(int64_t lines, int64_t width, int64_t tiles_of_block)
{
    struct tile_cut cut = {.rows = lines * width, .height = width, .tiles = lines, .parts = 1, .each = width};
    cut.blocks = divide_up(lines, tiles_of_block);
    cut.span = cut.block_tiles = cut.blocks > 0 ? divide_up(lines, cut.blocks) : 0;
    return cut;
}
static inline struct tile_cut tile_cut(int64_t rows)
{
    return tile_cut_by(rows, TILE_ROWS, BLOCK_TILES);
}
/* Blocks of even length, of which each thread gets as many, unless there is but one: then it gets the same part of an
 * image in all steps, and finds what it made in the one before. */
static inline struct tile_cut tile_cut_shared(int64_t rows, int64_t height, int64_t tiles_of_block, int threads)
{
    struct tile_cut cut = tile_cut_by(rows, height, tiles_of_block);
    int64_t fewer = cut.blocks / threads * threads, more = divide_up(cut.blocks, threads) * threads;
    bool down = fewer > 0 && 2 * cut.tiles <= 3 * fewer * tiles_of_block;
    if (cut.blocks <= 1)
        return cut;
    cut.blocks = least(down ? fewer : more, cut.tiles);
    cut.block_tiles = divide_up(cut.tiles, cut.blocks);
    cut.span = cut.tiles;
    cut.parts = cut.blocks;
    return cut;
}
static inline int64_t tile_first_of_block(const struct tile_cut *cut, int64_t block)
{
    return least(block * cut->span / cut->parts, cut->tiles);
}
static inline int64_t tile_first_row(const struct tile_cut *cut, int64_t tile)
{
    return least(cut->each * tile + 2 * least(tile, cut->longer), cut->rows);
}
static inline int64_t tile_block_rows(const struct tile_cut *cut) /* at most */
{
    return cut->block_tiles * cut->height;
}

/* rows: 1 to TILE_ROWS. */
void SET_NAME(tile_multiply)(int64_t rows, const struct tile_rows *left, const struct tile_panel *panel,
                             const struct tile_ends *ends);
/* Sums that begin at zero and have no start. rows: from TILE_STREWN on, so that there is code for one height alone. */
#define TILE_STREWN (TILE_ROWS - 1)
void SET_NAME(tile_multiply_strewn)(int64_t rows, const struct tile_strewn *left, const struct tile_panel *panel,
                                    const struct tile_ends *ends);

/* One or two rows have too few sums in a panel for multiplications to hide how long each takes: so many whole panels
 * side by side have enough. 1: more of them gain nothing. */
static inline int64_t tile_abreast(int64_t rows)
{
    return rows == 1 ? 4 : rows == 2 ? 2 : 1;
}
/* The largest number of panels that tile_multiply_abreast takes of so many whole ones; 1 if there are none. */
static inline int64_t tile_abreast_of(int64_t rows, int64_t panels)
{
    int64_t count = tile_abreast(rows);
    while (count > 1 && count > panels)
        count /= 2;
    return count;
}
/* The same as tile_multiply for each of `count` panels, tile_abreast(rows) or half of that or 1, each with all its
 * columns; from one to the next it is `next` floats. `ends` is of the first. */
void SET_NAME(tile_multiply_abreast)(int64_t rows, const struct tile_rows *left, const struct tile_panel *panel,
                                     int64_t count, int64_t next, const struct tile_ends *ends);

/* Copies a panel to where its rows are TILE_COLUMNS apart; columns past `columns` become 0. */
void SET_NAME(tile_pack)(const float *from, int64_t row, int64_t column, int64_t depth, int64_t columns, float *to);

#endif
