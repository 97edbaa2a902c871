/* Products in f32. Lanes lie along whichever axis of C is contiguous, so C is computed as it is or turned, C' = B' A'.
 *
 * A panel is TILE_COLUMNS columns of the right operand. A task takes items one after the other: a block of rows times a
 * panel, so that the panel stays in the second-level cache while the rows go by, and the rows of a block stay there
 * from one panel to the next. Weights of 8 bits are packed as bytes, and a panel is made f32 there each time. Sums over
 * more than TILE_DEPTH terms are put away in a buffer between two stretches. */
#include "kernels/matmul.h"

#include "kernels/x86/matmul_pack.h"
#include "kernels/x86/results.h"

#include <string.h>

#define FEW_ROWS 24      /* that copying a panel is not worth */
#define TASK_WORK 400000 /* multiplications of a task: some 7 microseconds */
#define LEAST_ROWS 8     /* a few rows take as long as these: what takes the time is the panel */
#define COPY_PANELS 8    /* that make up for copying rows */
#define CACHE_SET 1024   /* rows so many floats apart fall into one set of the first-level cache */
#define MOST_TILES 32    /* of a block */
#define BLOCK_BYTES (256 << 10)

enum right_operand { RIGHT_PACKED, RIGHT_BYTES, RIGHT_IN_PLACE, RIGHT_COPIED };

struct operand {
    int input;
    struct matrix_strides strides;
};

/* state of the plan */
struct product {
    const struct matmul_params *params;
    int64_t m, n, k;            /* of the sums: m rows, n columns */
    struct operand left, right; /* left: rows and depth; right: depth (row) and columns */
    enum right_operand mode;
    struct packed_batch batch; /* of the pack */
    bool copies_left;
    struct tile_cut cut; /* of the rows */
    int64_t panels, matrices;
    bool far;                /* weights are too many for a near cache */
    int64_t abreast, groups; /* panels that rows take at once where they are few; groups of so many */
    struct results results;
    size_t left_bytes, right_bytes, sums_bytes; /* of workspace, one after the other */
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

static struct matrix_strides transposed(const struct matrix_strides *from)
{
    struct matrix_strides to = *from;
    to.row = from->column;
    to.column = from->row;
    return to;
}

/* Strides of C along its rows and columns, which the epilogue's program knows where there is one. */
static void output_strides(const struct matmul_params *p, int64_t *row, int64_t *column)
{
    struct epilogue epilogue = matmul_epilogue(p);
    struct epilogue_form form;
    bool recognised = epilogue.program && epilogue_recognise(&epilogue, &form);
    *row = recognised ? form.row : p->c.row;
    *column = recognised ? form.column : p->c.column;
}

static bool is_turned(const struct matmul_params *p)
{
    int64_t row, column;
    output_strides(p, &row, &column);
    return column != 1 && row == 1 && p->n > 1;
}

static void orient(struct product *product, bool turned)
{
    const struct matmul_params *p = product->params;
    struct operand a = {0, p->a}, b = {1, p->b};
    product->m = turned ? p->n : p->m;
    product->n = turned ? p->m : p->n;
    product->k = p->k;
    product->left = turned ? (struct operand){1, transposed(&b.strides)} : a;
    product->right = turned ? (struct operand){0, transposed(&a.strides)} : b;
}

static enum right_operand right_mode(const struct product *product, uint32_t constant_inputs)
{
    if (matmul_is_scaled(product->params))
        return RIGHT_BYTES;
    if (constant_inputs >> product->right.input & 1 && product->batch.count <= 2)
        return RIGHT_PACKED;
    bool contiguous = product->right.strides.column == 1 && product->n % TILE_COLUMNS == 0;
    return contiguous && product->m <= FEW_ROWS ? RIGHT_IN_PLACE : RIGHT_COPIED;
}

/* Rows are copied where their elements are not contiguous; and where more of them than the first-level cache has ways
 * would fall into one set of it, if there are panels enough to make up for that. */
static bool copies_left(const struct product *product)
{
    const struct matrix_strides *strides = &product->left.strides;
    bool conflicts = TILE_ROWS > 8 && strides->row % CACHE_SET == 0 && product->m > 8 && product->panels >= COPY_PANELS;
    return product->k > 1 && (strides->column != 1 || conflicts);
}

/* Weights are read once for each block, so blocks are as long as the second-level cache has room for. */
static int64_t block_tiles(const struct product *product)
{
    int64_t most = BLOCK_BYTES / (TILE_ROWS * (int64_t)sizeof(float) * (1 + product->k));
    return least(most > BLOCK_TILES ? most : BLOCK_TILES, MOST_TILES);
}

/* From one copied row to the next: one cache line more than a row takes, rounded up, against the same conflict. */
static int64_t copied_row(int64_t depth)
{
    return (depth + 15) / 16 * 16 + 16;
}

static void describe_pack(const struct product *product, struct kernel_pack *pack)
{
    const struct packed_batch *batch = &product->batch;
    int64_t panels = packed_matrices(batch) * product->panels;
    bool bytes = product->mode == RIGHT_BYTES;
    *pack = (struct kernel_pack){.input = product->right.input,
                                 .form = bytes ? MATMUL_FORM_BYTES : MATMUL_FORM_PANELS,
                                 .storable = true,
                                 .geometry = {TILE_COLUMNS, product->n, product->k, product->right.strides.row,
                                              product->right.strides.column, batch->dims[0], batch->strides[0],
                                              batch->dims[1], batch->strides[1]},
                                 .bytes = (size_t)(panels * TILE_COLUMNS * product->k) * (bytes ? 1 : sizeof(float))};
    pack->tasks = task_count(panels, 1 + 65536 / (1 + TILE_COLUMNS * product->k));
}

static void size_workspace(struct product *product)
{
    size_t rows = (size_t)tile_block_rows(&product->cut), depth = (size_t)least(product->k, TILE_DEPTH);
    product->left_bytes = product->copies_left ? rows * (size_t)copied_row(product->k) * sizeof(float) : 0;
    bool copied = product->mode == RIGHT_COPIED || product->mode == RIGHT_BYTES;
    product->right_bytes = copied ? depth * TILE_COLUMNS * sizeof(float) : 0;
    const struct matrix_strides *d = &product->params->d;
    bool at_once = product->k <= TILE_DEPTH;
    if (!at_once || !SET_NAME(results_need_no_buffer)(&product->results, product->results.turned ? d->row : d->column))
        product->sums_bytes = rows * TILE_COLUMNS * sizeof(float);
}

COLD bool matmul_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                      struct kernel_plan *plan)
{
    const struct matmul_params *p = params;
    struct product *product = region_allocate(region, sizeof *product);
    if (!product)
        return false;
    product->params = p;
    bool turned = !matmul_is_scaled(p) && is_turned(p);
    orient(product, turned);
    struct epilogue epilogue = matmul_epilogue(p);
    struct results_place place = {.run = product->m,
                                  .row_stride = turned ? p->c.column : p->c.row,
                                  .column_stride = turned ? p->c.row : p->c.column};
    SET_NAME(results_plan)(&epilogue, turned, product->m, product->n, &place, &product->results);
    product->panels = divide_up(product->n, TILE_COLUMNS);
    product->matrices = elements(p->batch_rank, p->batch);
    product->batch = packed_batch_of(p, &product->right.strides);
    product->mode = right_mode(product, facts->constant_inputs);
    product->cut = tile_cut_by(product->m, TILE_ROWS, block_tiles(product));
    product->far = product->mode == RIGHT_PACKED &&
                   product->panels * TILE_COLUMNS * product->k * (int64_t)sizeof(float) >= TILE_FAR_BYTES;
    product->copies_left = copies_left(product);
    size_workspace(product);
    product->abreast = product->right_bytes == 0 && product->cut.tiles == 1 ? tile_abreast(product->m) : 1;
    product->groups = divide_up(product->panels, product->abreast);
    plan->state = product;
    plan->phases = 1;
    int64_t rows = least(product->m, tile_block_rows(&product->cut)),
            each = product->abreast * TILE_COLUMNS * product->k;
    each *= rows < LEAST_ROWS ? LEAST_ROWS : rows;
    int64_t items = 1 + TASK_WORK / (1 + each);
    if (product->copies_left && items * product->abreast < COPY_PANELS)
        items = COPY_PANELS / product->abreast;
    bool alone = each * product->groups * product->cut.blocks * product->matrices < TILE_ALONE;
    int64_t units = product->matrices * product->cut.blocks * product->groups;
    plan->tasks[0] = alone ? 1 : task_count_shared(units, items, facts->threads);
    plan->task_bytes = product->left_bytes + product->right_bytes + product->sums_bytes +
                       SET_NAME(results_workspace)(&product->results);
    if (product->mode == RIGHT_PACKED || product->mode == RIGHT_BYTES) {
        plan->pack_count = 1;
        describe_pack(product, &plan->packs[0]);
    }
    return true;
}

/* --- packing ------------------------------------------------------------------------------------------------- */

static void pack_bytes(const uint8_t *from, const struct matrix_strides *strides, int64_t depth, int64_t columns,
                       uint8_t *to)
{
    memset(to, 0, (size_t)(depth * TILE_COLUMNS));
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < columns; j++)
            to[k * TILE_COLUMNS + j] = from[k * strides->row + j * strides->column];
}

static void matmul_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct product *product = plan->state;
    const struct matrix_strides *strides = &product->right.strides;
    int64_t first, last;
    task_range(packed_matrices(&product->batch) * product->panels, plan->packs[which].tasks, task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t matrix = i / product->panels, column = i % product->panels * TILE_COLUMNS;
        int64_t at = packed_offset(&product->batch, matrix) + column * strides->column,
                columns = least(product->n - column, TILE_COLUMNS), place = i * product->k * TILE_COLUMNS;
        if (product->mode == RIGHT_BYTES)
            pack_bytes((const uint8_t *)from + at, strides, product->k, columns, (uint8_t *)to + place);
        else
            SET_NAME(tile_pack)
        ((const float *)from + at, strides->row, strides->column, product->k, columns, (float *)to + place);
    }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

/* A task's way through its items. */
struct walk {
    const struct product *product;
    const struct kernel_call *call;
    float *left_copy, *right_copy, *sums;
    void *epilogue_workspace;
    /* of the matrix */
    const float *left, *right;
    const uint8_t *bytes; /* of the right, packed, in place of `right` */
    const float *scales;
    struct results_target target;
    /* of the block */
    int64_t first_tile, tiles, first_row, end_row;
    const float *rows; /* its first row */
    int64_t row_stride;
};

static const float *operand_at(const struct walk *walk, const struct operand *operand, int64_t matrix)
{
    const struct matmul_params *p = walk->product->params;
    const float *memory = walk->call->inputs[operand->input];
    return memory ? memory + offset_at(p->batch_rank, p->batch, operand->strides.batch, matrix) : NULL;
}

/* Numbers of the pack before a matrix. */
static int64_t packed_before(const struct product *product, int64_t matrix)
{
    return packed_matrix(product->params, &product->batch, matrix) * product->panels * product->k * TILE_COLUMNS;
}

static void begin_matrix(struct walk *walk, int64_t matrix)
{
    const struct product *product = walk->product;
    const struct matmul_params *p = product->params;
    walk->left = operand_at(walk, &product->left, matrix);
    if (product->mode == RIGHT_BYTES) {
        walk->bytes = (const uint8_t *)walk->call->packed[0] + packed_before(product, matrix);
        walk->scales = operand_at(walk, &(struct operand){4, p->b_zero}, matrix);
    } else if (product->mode == RIGHT_PACKED) {
        walk->right = (const float *)walk->call->packed[0] + packed_before(product, matrix);
    } else {
        walk->right = operand_at(walk, &product->right, matrix);
    }
    struct operand d = {2, product->results.turned ? transposed(&p->d) : p->d};
    float *c = walk->call->outputs[0];
    walk->target = (struct results_target){.results = &product->results,
                                           .call = walk->call,
                                           .batch = matrix,
                                           .own = operand_at(walk, &d, matrix),
                                           .own_row = d.strides.row,
                                           .own_column = d.strides.column,
                                           .to = c + offset_at(p->batch_rank, p->batch, p->c.batch, matrix)};
    SET_NAME(results_begin)(&walk->target);
}

/* Reads along the axis that is contiguous. */
static void copy_rows(const float *from, const struct matrix_strides *strides, int64_t rows, int64_t depth, float *to)
{
    if (strides->column == 1) {
        for (int64_t i = 0; i < rows; i++)
            memcpy(to + i * copied_row(depth), from + i * strides->row, (size_t)depth * sizeof *to);
        return;
    }
    for (int64_t k = 0; k < depth; k++)
        for (int64_t i = 0; i < rows; i++)
            to[i * copied_row(depth) + k] = from[i * strides->row + k * strides->column];
}

static void begin_block(struct walk *walk, int64_t block)
{
    const struct product *product = walk->product;
    const struct matrix_strides *strides = &product->left.strides;
    walk->first_tile = tile_first_of_block(&product->cut, block);
    walk->tiles = tile_first_of_block(&product->cut, block + 1) - walk->first_tile;
    walk->first_row = tile_first_row(&product->cut, walk->first_tile);
    walk->end_row = tile_first_row(&product->cut, walk->first_tile + walk->tiles);
    walk->rows = walk->left + walk->first_row * strides->row;
    walk->row_stride = strides->row;
    if (!product->copies_left)
        return;
    copy_rows(walk->rows, strides, walk->end_row - walk->first_row, product->k, walk->left_copy);
    walk->rows = walk->left_copy;
    walk->row_stride = copied_row(product->k);
}

INLINE void widen(const bool is_signed, const uint8_t *from, int64_t depth, const float *scales, float *to)
{
    vf scale[TILE_VECTORS];
    UNROLL
    for (int j = 0; j < TILE_VECTORS; j++)
        scale[j] = vf_load(scales + j * LANES);
    for (int64_t k = 0; k < depth; k++, from += TILE_COLUMNS, to += TILE_COLUMNS) {
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++) {
            const uint8_t *bytes = from + j * LANES;
            vi whole = is_signed ? vi_load_i8((const int8_t *)bytes) : vi_load_u8(bytes);
            vf_store(to + j * LANES, vf_mul(vi_to_floats(whole), scale[j]));
        }
    }
}

/* A stretch of the depth of a panel of bytes, as the constant would be that they stand for. */
static void widen_panel(const struct walk *walk, int64_t panel, int64_t k, int64_t depth)
{
    const struct product *product = walk->product;
    const uint8_t *from = walk->bytes + (panel * product->k + k) * TILE_COLUMNS;
    int64_t first = panel * TILE_COLUMNS, step = product->params->b_zero.column;
    float scales[TILE_COLUMNS] = {0};
    for (int64_t j = 0; j < least(product->n - first, TILE_COLUMNS); j++)
        scales[j] = walk->scales[(first + j) * step];
    if (product->params->b_dtype == DTYPE_I8)
        widen(true, from, depth, scales, walk->right_copy);
    else
        widen(false, from, depth, scales, walk->right_copy);
}

/* A stretch of the depth of a panel, as it lies or copied. */
static struct tile_panel panel_at(const struct walk *walk, int64_t panel, int64_t k, int64_t depth)
{
    const struct product *product = walk->product;
    const struct matrix_strides *strides = &product->right.strides;
    int64_t column = panel * TILE_COLUMNS;
    if (product->mode == RIGHT_PACKED)
        return (struct tile_panel){walk->right + (panel * product->k + k) * TILE_COLUMNS, TILE_COLUMNS};
    if (product->mode == RIGHT_BYTES) {
        widen_panel(walk, panel, k, depth);
        return (struct tile_panel){walk->right_copy, TILE_COLUMNS};
    }
    const float *from = walk->right + k * strides->row + column * strides->column;
    if (product->mode == RIGHT_IN_PLACE)
        return (struct tile_panel){from, strides->row};
    SET_NAME(tile_pack)
    (from, strides->row, strides->column, depth, least(product->n - column, TILE_COLUMNS), walk->right_copy);
    return (struct tile_panel){walk->right_copy, TILE_COLUMNS};
}

/* Has tile `index` ask for its part of the bytes that follow: they are widened next. */
static void look_ahead(const struct walk *walk, struct tile_ends *ends, int64_t panel, int64_t end, int64_t depth,
                       int64_t index)
{
    int64_t place = (panel * walk->product->k + end) * TILE_COLUMNS, bytes = depth * TILE_COLUMNS;
    ends->ahead = (const char *)((uintptr_t)walk->bytes + (uintptr_t)(place + bytes * index / walk->tiles));
    ends->ahead_step = TILE_TERMS * TILE_COLUMNS / walk->tiles + 1;
}

static void multiply_stretch(const struct walk *walk, const struct results_block *block, int64_t panel, int64_t k,
                             int64_t depth)
{
    const struct product *product = walk->product;
    struct tile_panel right = panel_at(walk, panel, k, depth);
    struct tile_ends ends;
    const float *rows[TILE_ROWS], *next = walk->rows;
    struct tile_rows left = {rows, k, 1, depth};
    SET_NAME(results_stretch)(&walk->target, block, walk->sums, k == 0, k + depth == product->k, &ends);
    for (int64_t i = 0, count; i < walk->tiles; i++, tile_move(&ends, count)) {
        count = tile_first_row(&product->cut, walk->first_tile + i + 1) -
                tile_first_row(&product->cut, walk->first_tile + i);
        for (int64_t r = 0; r < count; r++, next += walk->row_stride)
            rows[r] = next;
        if (product->far)
            tile_look_ahead(&ends, &right, depth, i, walk->tiles);
        if (product->mode == RIGHT_BYTES)
            look_ahead(walk, &ends, panel, k + depth, depth, i);
        SET_NAME(tile_multiply)(count, &left, &right, &ends);
    }
}

static void multiply_panel(const struct walk *walk, int64_t panel)
{
    const struct product *product = walk->product;
    struct results_block block = {walk->first_row, walk->end_row - walk->first_row, panel * TILE_COLUMNS,
                                  least(product->n - panel * TILE_COLUMNS, TILE_COLUMNS), 1};
    int64_t k = 0;
    do {
        int64_t depth = least(product->k - k, TILE_DEPTH);
        multiply_stretch(walk, &block, panel, k, depth);
        k += depth;
    } while (k < product->k);
    if (!walk->target.direct)
        SET_NAME(results_store)(&walk->target, &block, walk->sums, TILE_COLUMNS, walk->epilogue_workspace);
}

/* All rows there are times `count` whole panels. */
static void multiply_abreast(const struct walk *walk, int64_t panel, int64_t count)
{
    const struct product *product = walk->product;
    struct results_block block = {0, product->m, panel * TILE_COLUMNS, TILE_COLUMNS, 1};
    const float *rows[TILE_ROWS];
    for (int64_t i = 0; i < product->m; i++)
        rows[i] = walk->rows + i * walk->row_stride;
    int64_t next = product->mode == RIGHT_PACKED ? product->k * TILE_COLUMNS : TILE_COLUMNS;
    int64_t width = count * TILE_COLUMNS, k = 0, depth;
    do {
        depth = least(product->k - k, TILE_DEPTH);
        bool last = k + depth == product->k;
        struct tile_ends ends;
        SET_NAME(results_stretch)(&walk->target, &block, walk->sums, k == 0, last, &ends);
        ends.start_row = width;
        if (!last || !walk->target.direct)
            ends.to_row = width;
        struct tile_rows left = {rows, k, 1, depth};
        struct tile_panel right = panel_at(walk, panel, k, depth);
        SET_NAME(tile_multiply_abreast)(product->m, &left, &right, count, next, &ends);
        k += depth;
    } while (k < product->k);
    for (int64_t i = 0; i < count && !walk->target.direct; i++, block.column += TILE_COLUMNS)
        SET_NAME(results_store)
    (&walk->target, &block, walk->sums + i * TILE_COLUMNS, width, walk->epilogue_workspace);
}

static void multiply_group(const struct walk *walk, int64_t group)
{
    const struct product *product = walk->product;
    int64_t panel = group * product->abreast, end = least(panel + product->abreast, product->panels);
    int64_t whole = product->n / TILE_COLUMNS;
    while (panel < end) {
        int64_t count = tile_abreast_of(product->m, least(end, whole) - panel);
        if (count > 1)
            multiply_abreast(walk, panel, count);
        else
            multiply_panel(walk, panel);
        panel += count;
    }
}

static void matmul_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct product *product = plan->state;
    char *workspace = call->workspace;
    struct walk walk = {.product = product,
                        .call = call,
                        .left_copy = (float *)(void *)workspace,
                        .right_copy = (float *)(void *)(workspace + product->left_bytes),
                        .sums = (float *)(void *)(workspace + product->left_bytes + product->right_bytes),
                        .epilogue_workspace =
                            workspace + product->left_bytes + product->right_bytes + product->sums_bytes};
    int64_t each = product->cut.blocks * product->groups, first, last, matrix = -1, block = -1;
    task_range(product->matrices * each, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (i / each != matrix) {
            matrix = i / each;
            block = -1;
            begin_matrix(&walk, matrix);
        }
        if (i % each / product->groups != block) {
            block = i % each / product->groups;
            begin_block(&walk, block);
        }
        multiply_group(&walk, i % product->groups);
    }
}

COLD bool matmul_supports(const void *params)
{
    const struct matmul_params *p = params;
    return p->dtype == DTYPE_F32 && !matmul_is_scaled(p);
}

static bool scaled_supports(const void *params)
{
    const struct matmul_params *p = params;
    return matmul_is_scaled(p) && packed_batch_of(p, &p->b).count <= 2;
}

const struct kernel SET_NAME(matmul_f32) = {
    .name = SET_TEXT(matmul_f32),
    .family = FAMILY_matmul,
    .requires = SET_REQUIRES,
    .supports = matmul_supports,
    .plan = matmul_plan,
    .pack = matmul_pack,
    .run = matmul_run,
};

const struct kernel SET_NAME(matmul_scaled_f32) = {
    .name = SET_TEXT(matmul_scaled_f32),
    .family = FAMILY_matmul,
    .requires = SET_REQUIRES,
    .constant_inputs = 1 << 1,
    .supports = scaled_supports,
    .plan = matmul_plan,
    .pack = matmul_pack,
    .run = matmul_run,
};
