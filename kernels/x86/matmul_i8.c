/* Products of 8-bit integers: tiles of tile_i8.h. Lanes lie along the columns of C.
 *
 * Rows of A are read where they lie, or copied for a block of them: where they are signed, or not contiguous, or no
 * whole quads; and once more as words, where a panel wants those. */
#include "kernels/matmul.h"

#include "kernels/x86/matmul_pack.h"
#include "kernels/x86/results.h"
#include "kernels/x86/tile_i8.h"

#include <string.h>

#define TASK_WORK 1200000 /* multiplications of a task: some 10 microseconds */
#define LEAST_ROWS 8      /* a few rows take as long as these: what takes the time is the panel */
#define COPY_PANELS 4     /* that make up for copying rows */
#define BLOCK_BYTES 65536 /* of the rows of a block */
#define CACHE_SET 4096    /* rows so many bytes apart fall into one set of the first-level cache */

/* state of the plan */
struct product {
    const struct matmul_params *params;
    bool dot, packed, copies_left;
    int64_t quads, left_row;   /* of a row; bytes from one copied row to the next */
    struct packed_batch batch; /* of the pack */
    struct tile_cut cut;
    int64_t panels, matrices;
    struct results results;
    size_t left_bytes, wide_bytes, factor_bytes, right_bytes, sums_bytes; /* of workspace, one after the other */
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

COLD bool matmul_supports(const void *params)
{
    return matmul_is_narrow(params);
}

static void describe_pack(const struct product *product, struct kernel_pack *pack)
{
    const struct matmul_params *p = product->params;
    const struct packed_batch *batch = &product->batch;
    *pack = (struct kernel_pack){.input = 1,
                                 .form = MATMUL_FORM_PANELS_I8,
                                 .storable = true,
                                 .geometry = {TILE_COLUMNS, p->b_dtype, p->n, p->k, p->b.row, p->b.column,
                                              batch->dims[0], batch->strides[0], batch->dims[1], batch->strides[1]},
                                 .bytes = (size_t)(packed_matrices(batch) * i8_matrix_bytes(p->n, p->k))};
    pack->tasks = task_count(packed_matrices(batch) * product->panels, 1 + 65536 / (1 + TILE_COLUMNS * p->k));
}

static void size_workspace(struct product *product)
{
    const struct matmul_params *p = product->params;
    size_t rows = (size_t)tile_block_rows(&product->cut), row = (size_t)product->left_row;
    product->left_bytes = product->copies_left ? rows * row : 0;
    product->wide_bytes = product->dot ? 0 : 2 * rows * row;
    product->factor_bytes = align_up(2 * rows * sizeof(int32_t), ALIGNMENT);
    product->right_bytes =
        product->packed ? 0 : align_up((size_t)i8_panel_bytes(least(p->n, TILE_COLUMNS), p->k), ALIGNMENT);
    product->sums_bytes = rows * TILE_COLUMNS * sizeof(int32_t);
}

COLD bool plan_product(const struct matmul_params *p, const struct kernel_facts *facts, bool dot, struct region *region,
                       struct kernel_plan *plan)
{
    struct product *product = region_allocate(region, sizeof *product);
    if (!product)
        return false;
    *product =
        (struct product){.params = p, .dot = dot, .quads = divide_up(p->k, QUAD), .batch = packed_batch_of(p, &p->b)};
    struct epilogue epilogue = matmul_epilogue(p);
    struct results_place place = {.run = p->m, .row_stride = p->c.row, .column_stride = p->c.column};
    SET_NAME(results_plan)(&epilogue, false, p->m, p->n, &place, &product->results);
    product->packed = (facts->constant_inputs >> 1 & 1) && product->batch.count <= 2;
    product->copies_left =
        p->a_dtype == DTYPE_I8 || p->a.column != 1 || p->k % QUAD != 0 || (p->a.row % CACHE_SET == 0 && p->m > 8);
    product->left_row = (product->quads * QUAD + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    int64_t height = i8_tile_rows(dot), tiles = BLOCK_BYTES / (height * product->left_row);
    product->cut = tile_cut_by(p->m, height, tiles < 1 ? 1 : least(tiles, I8_BLOCK_ROWS / height));
    product->panels = divide_up(p->n, TILE_COLUMNS);
    product->matrices = elements(p->batch_rank, p->batch);
    size_workspace(product);
    plan->state = product;
    plan->phases = 1;
    int64_t rows = least(p->m, tile_block_rows(&product->cut)), each = TILE_COLUMNS * p->k;
    each *= rows < LEAST_ROWS ? LEAST_ROWS : rows;
    int64_t items = 1 + TASK_WORK / (1 + each);
    if (product->copies_left && items < COPY_PANELS)
        items = COPY_PANELS;
    plan->tasks[0] = task_count(product->matrices * product->cut.blocks * product->panels, items);
    plan->task_bytes = product->left_bytes + product->wide_bytes + product->factor_bytes + product->right_bytes +
                       product->sums_bytes + SET_NAME(results_workspace)(&product->results);
    if (product->packed) {
        plan->pack_count = 1;
        describe_pack(product, &plan->packs[0]);
    }
    return true;
}

COLD bool matmul_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                      struct kernel_plan *plan)
{
    return plan_product(params, facts, false, region, plan);
}

COLD bool matmul_plan_dot(const void *params, const struct kernel_facts *facts, struct region *region,
                          struct kernel_plan *plan)
{
    return plan_product(params, facts, true, region, plan);
}

/* --- packing ------------------------------------------------------------------------------------------------- */

static const int64_t no_tap[1];

static struct i8_source source_of(const struct matmul_params *p, const uint8_t *b)
{
    return (struct i8_source){.first = b,
                              .tap_count = 1,
                              .taps = no_tap,
                              .depth = p->k,
                              .row = p->b.row,
                              .column = p->b.column,
                              .turn = i8_turn_right(p->b_dtype)};
}

static void matmul_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct product *product = plan->state;
    const struct matmul_params *p = product->params;
    int64_t first, last;
    task_range(packed_matrices(&product->batch) * product->panels, plan->packs[which].tasks, task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t matrix = i / product->panels;
        const uint8_t *b = (const uint8_t *)from + packed_offset(&product->batch, matrix);
        struct i8_source source = source_of(p, b);
        SET_NAME(i8_pack_panel)
        (&source, p->n, i % product->panels, (uint8_t *)to + matrix * i8_matrix_bytes(p->n, p->k));
    }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

/* A task's way through its items. */
struct walk {
    const struct product *product;
    const struct kernel_call *call;
    uint8_t *left_copy, *wide_copy, *right_copy;
    int32_t *row_zeros, *row_sums, *sums; /* of the block: less the zero points of A; less the sums of its rows */
    void *epilogue_workspace;
    /* of the matrix */
    int64_t matrix;
    const uint8_t *a_zero, *b_zero;
    struct results_target target;
    /* of the block */
    int64_t first_tile, tiles, first_row, end_row;
    const uint8_t *rows; /* its first row */
    int64_t row_stride;
    bool has_wide, has_sums;
    /* of the panel */
    struct i8_columns columns;
};

static const uint8_t *operand_at(const struct walk *walk, int input, const struct matrix_strides *strides,
                                 unsigned bytes)
{
    const struct matmul_params *p = walk->product->params;
    const uint8_t *memory = walk->call->inputs[input];
    return memory ? memory + offset_at(p->batch_rank, p->batch, strides->batch, walk->matrix) * bytes : NULL;
}

static void begin_matrix(struct walk *walk, int64_t matrix)
{
    const struct product *product = walk->product;
    const struct matmul_params *p = product->params;
    walk->matrix = matrix;
    walk->a_zero = operand_at(walk, 3, &p->a_zero, 1);
    walk->b_zero = operand_at(walk, 4, &p->b_zero, 1);
    walk->target = (struct results_target){.results = &product->results,
                                           .call = walk->call,
                                           .batch = matrix,
                                           .to = (float *)walk->call->outputs[0] +
                                                 offset_at(p->batch_rank, p->batch, p->c.batch, matrix)};
    SET_NAME(results_begin)(&walk->target);
}

static void copy_row(const struct matmul_params *p, const uint8_t *from, uint8_t *to)
{
    const uint8_t turn = i8_turn_left(p->a_dtype);
    if (p->a.column == 1) {
        SET_NAME(i8_turn)(from, turn, p->k, to);
        return;
    }
    for (int64_t k = 0; k < p->k; k++)
        to[k] = from[k * p->a.column] ^ turn;
}

static void begin_block(struct walk *walk, int64_t block)
{
    const struct product *product = walk->product;
    const struct matmul_params *p = product->params;
    walk->first_tile = tile_first_of_block(&product->cut, block);
    walk->tiles = tile_first_of_block(&product->cut, block + 1) - walk->first_tile;
    walk->first_row = tile_first_row(&product->cut, walk->first_tile);
    walk->end_row = tile_first_row(&product->cut, walk->first_tile + walk->tiles);
    walk->rows = operand_at(walk, 0, &p->a, 1) + walk->first_row * p->a.row;
    walk->row_stride = p->a.row;
    walk->has_wide = walk->has_sums = false;
    for (int64_t i = walk->first_row; i < walk->end_row; i++) {
        const uint8_t *zero = walk->a_zero ? walk->a_zero + i * p->a_zero.row : NULL;
        walk->row_zeros[i - walk->first_row] = -i8_left_zero(p->a_dtype, zero);
    }
    if (!product->copies_left)
        return;
    for (int64_t i = 0; i < walk->end_row - walk->first_row; i++) {
        uint8_t *to = walk->left_copy + i * product->left_row;
        copy_row(p, walk->rows + i * p->a.row, to);
        memset(to + p->k, 0, (size_t)(product->quads * QUAD - p->k));
    }
    walk->rows = walk->left_copy;
    walk->row_stride = product->left_row;
}

static void widen_rows(struct walk *walk)
{
    const struct product *product = walk->product;
    for (int64_t i = 0; i < walk->end_row - walk->first_row && !walk->has_wide; i++)
        SET_NAME(i8_widen)
    (walk->rows + i * walk->row_stride, product->quads, walk->wide_copy + i * 2 * product->left_row);
    walk->has_wide = true;
}

static void sum_rows(struct walk *walk)
{
    for (int64_t i = 0; i < walk->end_row - walk->first_row && !walk->has_sums; i++)
        walk->row_sums[i] =
            (int32_t)(0 - (uint32_t)SET_NAME(i8_sum)(walk->rows + i * walk->row_stride, walk->product->params->k));
    walk->has_sums = true;
}

static struct i8_panel panel_at(struct walk *walk, int64_t panel)
{
    const struct product *product = walk->product;
    const struct matmul_params *p = product->params;
    if (product->packed) {
        int64_t matrix = packed_matrix(p, &product->batch, walk->matrix) * i8_matrix_bytes(p->n, p->k);
        return SET_NAME(i8_panel_at)((const uint8_t *)walk->call->packed[0] + matrix, p->n, p->k, panel);
    }
    struct i8_source source = source_of(p, operand_at(walk, 1, &p->b, 1) + panel * TILE_COLUMNS * p->b.column);
    return SET_NAME(i8_pack)(&source, least(p->n - panel * TILE_COLUMNS, TILE_COLUMNS), walk->right_copy);
}

/* D, where it is the same in all rows, goes into what sums begin with. */
static const int32_t *addend_of(const struct walk *walk)
{
    const struct matmul_params *p = walk->product->params;
    return (const int32_t *)(const void *)operand_at(walk, 2, &p->d, sizeof(int32_t));
}

static void begin_panel(struct walk *walk, int64_t first, int64_t columns, const struct i8_panel *panel)
{
    const struct matmul_params *p = walk->product->params;
    const int32_t *d = p->d.row == 0 ? addend_of(walk) : NULL;
    const struct i8_about about = {
        .right = p->b_dtype,
        .depth = p->k,
        .zeros = walk->b_zero ? walk->b_zero + first * p->b_zero.column : NULL,
        .zero_stride = p->b_zero.column,
        .own = d ? d + first * p->d.column : NULL,
        .own_stride = p->d.column,
        .less = p->a_zero.row == 0 ? walk->row_zeros[0] : 0,
    };
    SET_NAME(i8_begin_columns)(panel, &about, columns, &walk->columns);
}

static void multiply_tiles(struct walk *walk, enum i8_way way, const struct i8_panel *panel,
                           const struct results_block *block, bool direct)
{
    const struct product *product = walk->product;
    bool wide = way == I8_WIDE;
    for (int64_t t = 0; t < walk->tiles; t++) {
        int64_t row = tile_first_row(&product->cut, walk->first_tile + t);
        int64_t rows = tile_first_row(&product->cut, walk->first_tile + t + 1) - row, within = row - walk->first_row;
        const uint8_t *first[I8_MOST_ROWS];
        for (int64_t i = 0; i < rows; i++)
            first[i] = wide ? walk->wide_copy + (within + i) * 2 * product->left_row
                            : walk->rows + (within + i) * walk->row_stride;
        struct i8_rows left = {first, I8_MOST_ROWS, 1, product->quads};
        struct i8_ends ends = {.start = walk->columns.start,
                               .to = walk->sums + within * TILE_COLUMNS,
                               .to_row = TILE_COLUMNS,
                               .columns = panel->columns};
        if (direct) {
            ends.to = (int32_t *)(void *)walk->target.ends.to + row * walk->target.ends.to_row + block->column;
            ends.to_row = walk->target.ends.to_row;
            ends.columns = block->columns;
        }
        if (product->params->a_zero.row != 0) {
            ends.terms[ends.term_count].row = walk->row_zeros + within;
            ends.terms[ends.term_count++].column = walk->columns.centres;
        }
        if (walk->columns.has_zeros) {
            ends.terms[ends.term_count].row = walk->row_sums + within;
            ends.terms[ends.term_count++].column = walk->columns.zeros;
        }
        SET_NAME(i8_multiply)(way, rows, &left, panel, &ends);
    }
}

/* D, where it is not the same in all rows. */
static void add_rows(const struct walk *walk, const struct results_block *block, const int32_t *d)
{
    const struct matrix_strides *strides = &walk->product->params->d;
    for (int64_t i = 0; i < block->rows; i++)
        for (int64_t j = 0; j < block->columns; j++) {
            int32_t *sum = &walk->sums[i * TILE_COLUMNS + j];
            int64_t at = (block->row + i) * strides->row + (block->column + j) * strides->column;
            *sum = (int32_t)((uint32_t)*sum + (uint32_t)d[at]);
        }
}

static void multiply_panel(struct walk *walk, int64_t index)
{
    const struct product *product = walk->product;
    const struct matmul_params *p = product->params;
    struct results_block block = {walk->first_row, walk->end_row - walk->first_row, index * TILE_COLUMNS,
                                  least(p->n - index * TILE_COLUMNS, TILE_COLUMNS), 1};
    struct i8_panel panel = panel_at(walk, index);
    begin_panel(walk, block.column, block.columns, &panel);
    if (walk->columns.has_zeros)
        sum_rows(walk);
    enum i8_way way = product->dot ? I8_DOT : panel.fits ? I8_PAIRS : I8_WIDE;
    if (way == I8_WIDE)
        widen_rows(walk);
    const int32_t *d = p->d.row != 0 ? addend_of(walk) : NULL;
    bool direct = walk->target.direct && !d;
    multiply_tiles(walk, way, &panel, &block, direct);
    if (d)
        add_rows(walk, &block, d);
    if (!direct)
        SET_NAME(results_store)
    (&walk->target, &block, (float *)(void *)walk->sums, TILE_COLUMNS, walk->epilogue_workspace);
}

static void matmul_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct product *product = plan->state;
    uint8_t *left = call->workspace, *wide = left + product->left_bytes, *factors = wide + product->wide_bytes;
    uint8_t *right = factors + product->factor_bytes, *sums = right + product->right_bytes;
    struct walk walk = {.product = product,
                        .call = call,
                        .left_copy = left,
                        .wide_copy = wide,
                        .right_copy = right,
                        .row_zeros = (int32_t *)(void *)factors,
                        .row_sums = (int32_t *)(void *)factors + tile_block_rows(&product->cut),
                        .sums = (int32_t *)(void *)sums,
                        .epilogue_workspace = sums + product->sums_bytes};
    int64_t each = product->cut.blocks * product->panels, first, last, matrix = -1, block = -1;
    task_range(product->matrices * each, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (i / each != matrix) {
            matrix = i / each;
            block = -1;
            begin_matrix(&walk, matrix);
        }
        if (i % each / product->panels != block) {
            block = i % each / product->panels;
            begin_block(&walk, block);
        }
        multiply_panel(&walk, i % product->panels);
    }
}

const struct kernel SET_NAME(matmul_i8) = {
    .name = SET_TEXT(matmul_i8),
    .family = FAMILY_matmul,
    .requires = SET_REQUIRES,
    .supports = matmul_supports,
    .plan = matmul_plan,
    .pack = matmul_pack,
    .run = matmul_run,
};

const struct kernel SET_NAME(matmul_i8_dot) = {
    .name = SET_TEXT(matmul_i8_dot),
    .family = FAMILY_matmul,
    .requires = DOT_REQUIRES,
    .supports = matmul_supports,
    .plan = matmul_plan_dot,
    .pack = matmul_pack,
    .run = matmul_run,
};
