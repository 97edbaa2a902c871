/* Sums of products for a few rows and two vectors of columns, in registers: what products and convolutions are made of.
 *
 *     sum[i][j] = start[i][j] + terms in the order of the depth, each one fused multiply-add
 *
 * A sum is the same whatever tile it is computed in, so tiles may be cut as it suits. */
#ifndef INFER_KERNELS_X86_TILE_H
#define INFER_KERNELS_X86_TILE_H

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
    int64_t taps, depth;       /* the elements of a stretch are contiguous */
};

/* Columns of the right operand, TILE_COLUMNS of them whatever number counts. */
struct tile_panel {
    const float *first; /* [taps * depth][TILE_COLUMNS] */
    int64_t row;        /* from one depth to the next */
};

/* What sums begin with and become. Columns are contiguous everywhere; only the first `columns` are touched. */
struct tile_ends {
    const float *start;    /* NULL: zeros */
    int64_t start_row;     /* 0: the same for all rows */
    const float *residual; /* added to the sums; NULL: none */
    int64_t residual_row;
    float low, high; /* bounds; a NaN stays. -inf and inf: none */
    float *to;
    int64_t to_row;
    int64_t columns;
};

/* rows: 1 to TILE_ROWS. */
void SET_NAME(tile_multiply)(int64_t rows, const struct tile_rows *left, const struct tile_panel *panel,
                             const struct tile_ends *ends);

/* Copies a panel to where its rows are TILE_COLUMNS apart; columns past `columns` become 0. */
void SET_NAME(tile_pack)(const float *from, int64_t row, int64_t column, int64_t depth, int64_t columns, float *to);

#endif
