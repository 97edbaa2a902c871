/* Sums of products of 8-bit integers for a few rows and two vectors of columns, in registers. The left operand is made
 * unsigned, the right one signed, by turning the highest bit where a type has it the other way round; then
 *
 *     sum of (a - a_zero) (b - b_zero)  =  sum of a b  -  a_zero (sum of b  -  depth b_zero)  -  b_zero (sum of a)
 *
 * for each row and column, and all of it wraps, so that sums are exact modulo 2^32 in any order.
 *
 * Four terms, a quad, are one step. Terms past the depth are zeros of the right operand. */
#ifndef INFER_KERNELS_X86_TILE_I8_H
#define INFER_KERNELS_X86_TILE_I8_H

#include "kernels/x86/requantise.h"
#include "kernels/x86/tile.h"

#define QUAD 4
#define I8_MOST_ROWS (LANES == 16 ? 12 : 6)

/* How terms are multiplied and added. All give the same sums. */
enum i8_way {
    I8_DOT,   /* four bytes by one instruction: CPUs with VNNI */
    I8_PAIRS, /* two bytes into 16 bits, which must be enough (struct i8_panel) */
    I8_WIDE   /* words: left rows are made so, i8_widen */
};
/* Rows of a tile: as many as leave registers for what else each way needs. With 16 lanes the ways without VNNI have
 * room for 12, but as they take three instructions where VNNI takes one, loads of the panel are nothing to them. */
static inline int64_t i8_tile_rows(bool dot)
{
    return dot ? I8_MOST_ROWS : LANES == 16 ? 6 : 4;
}

/* Rows of a block, whose sums lie in the first-level cache: what is done once a block costs as much as a short sum. */
#define I8_BLOCK_ROWS 96

/* --- left rows ----------------------------------------------------------------------------------------------- */

/* `taps` stretches of `quads` quads a row: bytes, or words in the order of i8_widen. */
struct i8_rows {
    const uint8_t *const *first; /* [taps][step]: the first quad of each row's stretch */
    int64_t step, taps, quads;
};

/* What turns elements of a type into unsigned ones (left) or signed ones (right): a bit for exclusive or. */
static inline uint8_t i8_turn_left(enum dtype dtype)
{
    return dtype == DTYPE_I8 ? 0x80 : 0;
}
static inline uint8_t i8_turn_right(enum dtype dtype)
{
    return dtype == DTYPE_U8 ? 0x80 : 0;
}
/* A zero point among such elements. NULL: 0. */
static inline int32_t i8_left_zero(enum dtype dtype, const uint8_t *zero)
{
    return (zero ? *zero : 0) ^ i8_turn_left(dtype);
}
static inline int32_t i8_right_zero(enum dtype dtype, const uint8_t *zero)
{
    return (int8_t)((zero ? *zero : 0) ^ i8_turn_right(dtype));
}

/* count bytes, each changed by `turn`. `to` may be `from`. */
void SET_NAME(i8_turn)(const uint8_t *from, uint8_t turn, int64_t count, uint8_t *to);
/* Quads of unsigned bytes as words, in the order 0, 2, 1, 3 of each: 8 bytes a quad. */
void SET_NAME(i8_widen)(const uint8_t *from, int64_t quads, uint8_t *to);
int32_t SET_NAME(i8_sum)(const uint8_t *from, int64_t count);

/* --- right panels -------------------------------------------------------------------------------------------- */

/* A packed panel: the sums of its columns, and its quads, [quad][column][4]. It has one vector of columns or two, as
 * many as it needs. */
struct i8_panel {
    const int32_t *sums;
    const uint8_t *quads;
    int64_t columns; /* LANES or TILE_COLUMNS */
    bool fits;       /* I8_PAIRS is right, whatever is on the left */
};
static inline int64_t i8_panel_columns(int64_t columns)
{
    return columns <= LANES ? LANES : TILE_COLUMNS;
}
static inline int64_t i8_panel_bytes(int64_t columns, int64_t depth)
{
    return i8_panel_columns(columns) * (QUAD + divide_up(depth, QUAD) * QUAD);
}
/* Whether 255 times both, or those of one sign, stays within 16 bits. */
static inline bool i8_pair_fits(int a, int b)
{
    int above = (a > 0 ? a : 0) + (b > 0 ? b : 0), below = (a < 0 ? a : 0) + (b < 0 ? b : 0);
    return 255 * above <= INT16_MAX && 255 * below >= INT16_MIN;
}
/* All panels of a matrix, one after the other, and a mark for each whether it fits. */
static inline int64_t i8_matrix_bytes(int64_t columns, int64_t depth)
{
    int64_t last = columns % TILE_COLUMNS, bytes = columns / TILE_COLUMNS * i8_panel_bytes(TILE_COLUMNS, depth);
    bytes += last ? i8_panel_bytes(last, depth) : 0;
    return (bytes + divide_up(columns, TILE_COLUMNS) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}
/* Panel `index` of a packed matrix of so many columns. */
struct i8_panel SET_NAME(i8_panel_at)(const void *matrix, int64_t columns, int64_t depth, int64_t index);

/* Columns of a right operand as they lie: term `tap * depth + k` of column j is at
 * first + taps[tap] + k * row + j * column. */
struct i8_source {
    const uint8_t *first;
    int64_t tap_count, depth, row, column;
    const int64_t *taps;
    int64_t run; /* taps after which a quad ends, divides tap_count; 0: only after the last one */
    uint8_t turn;
};
/* Packs the first `columns` of a source, to a panel alone (fits: false; it is not looked into). */
struct i8_panel SET_NAME(i8_pack)(const struct i8_source *source, int64_t columns, void *to);
/* The same for panel `index` of a matrix, whose `first` is column 0. */
void SET_NAME(i8_pack_panel)(const struct i8_source *source, int64_t columns, int64_t index, void *matrix);

/* What is known of a panel's columns beside their elements. */
struct i8_about {
    enum dtype right; /* type of the right operand */
    int64_t depth;
    const uint8_t *zeros; /* its zero points; NULL: 0 */
    int64_t zero_stride;
    const int32_t *own; /* an addend of each column; NULL: none */
    int64_t own_stride;
    int32_t less; /* less the zero point of all left rows; 0 where they have several */
};
/* What follows from it. */
struct i8_columns {
    int32_t start[TILE_COLUMNS];   /* what sums begin with */
    int32_t centres[TILE_COLUMNS]; /* what less a row's zero point is multiplied by */
    int32_t zeros[TILE_COLUMNS];   /* what less the sum of a row is multiplied by */
    bool has_zeros;
};
void SET_NAME(i8_begin_columns)(const struct i8_panel *panel, const struct i8_about *about, int64_t columns,
                                struct i8_columns *to);

/* --- tiles --------------------------------------------------------------------------------------------------- */

/* Tiles of two vectors of columns and so many rows at least can be made bytes in registers, as many as make the code
 * worth its size. With 16 registers that cost more than going through memory. */
#define I8_BYTES_ROWS (LANES == 16 ? 8 : I8_MOST_ROWS + 1)

/* What sums begin with and become: start, plus terms, each a number of the row times one of the column. */
struct i8_ends {
    const int32_t *start; /* as wide as the panel */
    int term_count;
    struct {
        const int32_t *row, *column;
    } terms[2];
    int32_t *to; /* columns are contiguous; only the first `columns` are touched */
    int64_t to_row, columns;
    /* NULL, or what makes bytes of them, stored instead: of I8_BYTES_ROWS rows or more, all TILE_COLUMNS columns, and
     * no terms. */
    const struct requantised_columns *bytes;
    uint8_t *bytes_to; /* of the first row */
};

/* rows: 1 to i8_tile_rows of the way. */
void SET_NAME(i8_multiply)(enum i8_way way, int64_t rows, const struct i8_rows *left, const struct i8_panel *panel,
                           const struct i8_ends *ends);

#endif
