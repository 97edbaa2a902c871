/* What becomes of the sums of a product or a convolution: the family's own addend, the epilogue, and where they are
 * stored. What tile_ends can do is done in registers; for the rest sums go through a buffer in the first-level cache.
 * Either way gives the bits that the epilogue's program would, run as a step of its own.
 *
 * Sums have rows and columns of their own here: columns are what lanes lie along. They are the columns of the
 * epilogue's space, or its rows where results are stored the other way round (`turned`). */
#ifndef INFER_KERNELS_X86_RESULTS_H
#define INFER_KERNELS_X86_RESULTS_H

#include "kernels/conv.h"
#include "kernels/x86/requantise.h"
#include "kernels/x86/tile.h"

/* Where sums are stored by the family's own parameters, which count where there is no epilogue: element (row, column)
 * at row / run * run_stride + row % run * row_stride + column * column_stride. */
struct results_place {
    int64_t run, run_stride, row_stride, column_stride;
};

/* Positions of a convolution's image are rows: they lie evenly along the last axis, and lines along the two before it.
 */
struct results_place SET_NAME(results_image_place)(const struct conv_params *params);
/* False: lines of a volume do not, and without an epilogue, which has strides of its own, there is no such place. */
bool SET_NAME(results_image_fits)(const struct conv_params *params);

struct results_addend {
    int input; /* of the epilogue's program */
    int64_t row_stride;
};

struct results {
    struct epilogue epilogue;
    bool has_form;
    struct epilogue_form form;
    bool turned;
    int64_t rows, columns; /* of one batch index */
    struct results_place place;
    bool in_registers; /* but where a bound is a NaN, which a call knows */
    /* Columns are of so many groups, whose first ones are stored side by side, then their second ones, and so on; 0:
     * they are stored in their order. Otherwise than by results_shuffle such results go through a buffer. */
    int64_t shuffle;
    int addend_count;
    struct results_addend addends[TILE_ADDENDS - 1];
    float low, high;
    int low_input, high_input; /* of the program: numbers that hold these bounds; 0: the bounds are those above */
    bool swish, leaks;
    float slope;
    int slope_input, slopes_input; /* a number instead of `slope`, or a slope for each column; 0: there is none */
    int scale_input, shift_input;  /* the same; 0: there is none */
};

/* rows, columns: of the sums of one batch index. */
void SET_NAME(results_plan)(const struct epilogue *epilogue, bool turned, int64_t rows, int64_t columns,
                            const struct results_place *place, struct results *results);
/* Whether every call will store from registers, whatever it finds there: then no buffer of sums is needed for that.
 * own_column: stride of the family's own addend along the columns. */
bool SET_NAME(results_need_no_buffer)(const struct results *results, int64_t own_column);
/* Bytes of results_store's workspace, a multiple of ALIGNMENT. */
size_t SET_NAME(results_workspace)(const struct results *results);

/* Whether the caller may make results with all their columns, each tile as results_stretch says but for where it is
 * stored, and have them shuffled when they are stored: from now on they count as stored from registers. */
bool SET_NAME(results_take_shuffle)(struct results *results);

/* Results of one batch index in one call. */
struct results_target {
    const struct results *results;
    const struct kernel_call *call;
    int64_t batch;
    const float *own; /* the family's own addend at (0, 0); NULL: none */
    int64_t own_row, own_column;
    float *to; /* where (0, 0) is stored, without an epilogue */
    /* Of results_begin: */
    bool requantises; /* sums in int32 become bytes, as `requantiser` says */
    struct requantiser requantiser;
    bool direct;           /* tiles are stored from registers, as `ends` says */
    struct tile_ends ends; /* of a tile at (0, 0) */
};
/* All fields before those are set. */
void SET_NAME(results_begin)(struct results_target *target);
/* The same for an image of a convolution, whose own addend is its bias: sets all fields. */
void SET_NAME(results_begin_image)(const struct results *results, const struct kernel_call *call,
                                   const struct conv_params *params, int64_t image, struct results_target *target);

/* A block of sums, or a tile of one. */
struct results_block {
    int64_t row, rows, column, columns; /* columns: at most TILE_COLUMNS */
    int64_t step;                       /* from one row of a tile to the next; 1 for a block */
};
/* Where sums are not stored directly they lie in a buffer, from one row to the next `width` floats, TILE_COLUMNS where
 * results_multiply has made them; this changes and stores them. */
void SET_NAME(results_store)(const struct results_target *target, const struct results_block *block, float *sums,
                             int64_t width, void *workspace);
/* Stores rows that are made up but for their order; from: of the first, `columns` floats each. */
void SET_NAME(results_shuffle)(const struct results_target *target, int64_t row, int64_t rows, const float *from);
/* Adds terms to the sums of a tile. Between the first terms and the last, sums are in the buffer in any case;
 * `sums` is the tile's place in it. */
void SET_NAME(results_multiply)(const struct results_target *target, const struct results_block *tile, float *sums,
                                const struct tile_rows *left, const struct tile_panel *panel, bool first, bool last);
/* What that begins and ends with, for tiles one below the other, from the first on. Not by value, here and below: a
 * copy reads by vectors what has just been written by parts, and waits until all stores before it have reached the
 * cache. */
void SET_NAME(results_stretch)(const struct results_target *target, const struct results_block *tile, float *sums,
                               bool first, bool last, struct tile_ends *ends);
/* Where results are stored directly: how the sums of a tile end, for those who make them by other means. */
void SET_NAME(results_ends)(const struct results_target *target, const struct results_block *tile,
                            struct tile_ends *ends);

#endif
