/* Products with few columns and long sums: each result is a sum along the depth, in 16 partial sums. Lanes along the
 * columns would be empty. */
#include "kernels/matmul.h"

#include "kernels/x86/dot.h"
#include "kernels/x86/matmul_pack.h"
#include "kernels/x86/results.h"

#include <math.h>
#include <string.h>

#define MOST_COLUMNS 4
#define LEAST_DEPTH 64 /* for each column: where the partial sums are worth joining */
#define BLOCK_ROWS 16
#define TASK_WORK 100000 /* multiplications of a task */

/* state of the plan */
struct dots {
    const struct matmul_params *params;
    bool packed, copies_left, copies_right; /* neither: columns of B are contiguous, or one a row */
    int64_t matrices, blocks, block_rows;   /* of rows */
    struct results results;
    size_t left_bytes, right_bytes, sums_bytes; /* of workspace, one after the other */
};

/* By sizes alone: strides change with what rides along. */
COLD bool dots_supports(const void *params)
{
    const struct matmul_params *p = params;
    return p->dtype == DTYPE_F32 && !matmul_is_scaled(p) && p->n <= MOST_COLUMNS && p->k >= p->n * LEAST_DEPTH;
}

COLD bool dots_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                    struct kernel_plan *plan)
{
    const struct matmul_params *p = params;
    struct dots *dots = region_allocate(region, sizeof *dots);
    if (!dots)
        return false;
    struct epilogue epilogue = matmul_epilogue(p);
    struct results_place place = {.run = p->m, .row_stride = p->c.row, .column_stride = p->c.column};
    dots->params = p;
    dots->copies_left = p->a.column != 1;
    dots->packed = p->b.row != 1 && (facts->constant_inputs & 2u) && packed_batch_of(p, &p->b).count == 0;
    dots->copies_right = p->b.row != 1 && !dots->packed;
    dots->matrices = elements(p->batch_rank, p->batch);
    dots->block_rows = least(p->m, BLOCK_ROWS);
    dots->blocks = divide_up(p->m, BLOCK_ROWS);
    SET_NAME(results_plan)(&epilogue, false, p->m, p->n, &place, &dots->results);
    dots->left_bytes = dots->copies_left ? (size_t)(dots->block_rows * p->k) * sizeof(float) : 0;
    dots->right_bytes = dots->copies_right ? (size_t)(p->n * p->k) * sizeof(float) : 0;
    dots->sums_bytes = align_up((size_t)(dots->block_rows * TILE_COLUMNS) * sizeof(float), ALIGNMENT);
    plan->state = dots;
    plan->phases = 1;
    plan->tasks[0] = task_count(dots->matrices * dots->blocks, 1 + TASK_WORK / (1 + BLOCK_ROWS * p->n * p->k));
    plan->task_bytes = align_up(dots->left_bytes + dots->right_bytes, ALIGNMENT) + dots->sums_bytes +
                       SET_NAME(results_workspace)(&dots->results);
    if (dots->packed) {
        plan->pack_count = 1;
        plan->packs[0] = (struct kernel_pack){.input = 1,
                                              .form = MATMUL_FORM_COLUMNS,
                                              .storable = true,
                                              .tasks = 1,
                                              .geometry = {p->n, p->k, p->b.row, p->b.column},
                                              .bytes = (size_t)(p->n * p->k) * sizeof(float)};
    }
    return true;
}

static void copy_columns(const struct matmul_params *p, const float *b, float *to)
{
    for (int64_t j = 0; j < p->n; j++)
        for (int64_t k = 0; k < p->k; k++)
            to[j * p->k + k] = b[k * p->b.row + j * p->b.column];
}

static void dots_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    (void)which;
    (void)task;
    copy_columns(plan->params, from, to);
}

/* --- sums ---------------------------------------------------------------------------------------------------- */

static void dot_block(const struct matmul_params *p, const float *a, int64_t row, int64_t rows, const float *b,
                      int64_t column, float *sums)
{
    for (int64_t j = 0; j < p->n; j++, b += column) {
        int64_t i = 0;
        for (; i + DOT_ROWS <= rows; i += DOT_ROWS)
            dots(DOT_ROWS, a + i * row, row, b, p->k, sums + i * TILE_COLUMNS + j, TILE_COLUMNS);
        for (; i < rows; i++)
            dots(1, a + i * row, row, b, p->k, sums + i * TILE_COLUMNS + j, TILE_COLUMNS);
    }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

/* A task's way through its blocks. */
struct walk {
    const struct dots *dots;
    const struct kernel_call *call;
    float *left_copy, *right_copy, *sums;
    void *epilogue_workspace;
    /* of the matrix */
    const float *a, *b;
    int64_t column; /* from one column of b to the next */
    struct results_target target;
};

static int64_t matrix_offset(const struct matmul_params *p, const struct matrix_strides *strides, int64_t matrix)
{
    return offset_at(p->batch_rank, p->batch, strides->batch, matrix);
}

static void begin_matrix(struct walk *walk, int64_t matrix)
{
    const struct dots *dots = walk->dots;
    const struct matmul_params *p = dots->params;
    const float *d = walk->call->inputs[2], *b = walk->call->inputs[1];
    walk->a = (const float *)walk->call->inputs[0] + matrix_offset(p, &p->a, matrix);
    walk->column = p->k;
    if (dots->packed) {
        walk->b = walk->call->packed[0];
    } else if (dots->copies_right) {
        copy_columns(p, b + matrix_offset(p, &p->b, matrix), walk->right_copy);
        walk->b = walk->right_copy;
    } else {
        walk->b = b + matrix_offset(p, &p->b, matrix);
        walk->column = p->b.column;
    }
    walk->target = (struct results_target){.results = &dots->results,
                                           .call = walk->call,
                                           .batch = matrix,
                                           .own = d ? d + matrix_offset(p, &p->d, matrix) : NULL,
                                           .own_row = p->d.row,
                                           .own_column = p->d.column,
                                           .to = (float *)walk->call->outputs[0] + matrix_offset(p, &p->c, matrix)};
    SET_NAME(results_begin)(&walk->target);
}

static void run_block(const struct walk *walk, int64_t row)
{
    const struct matmul_params *p = walk->dots->params;
    struct results_block block = {row, least(p->m - row, BLOCK_ROWS), 0, p->n, 1};
    const float *a = walk->a + row * p->a.row;
    int64_t step = p->a.row;
    if (walk->dots->copies_left) {
        for (int64_t k = 0; k < p->k; k++)
            for (int64_t i = 0; i < block.rows; i++)
                walk->left_copy[i * p->k + k] = a[i * p->a.row + k * p->a.column];
        a = walk->left_copy;
        step = p->k;
    }
    dot_block(p, a, step, block.rows, walk->b, walk->column, walk->sums);
    SET_NAME(results_store)(&walk->target, &block, walk->sums, TILE_COLUMNS, walk->epilogue_workspace);
}

static void dots_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct dots *dots = plan->state;
    char *workspace = call->workspace, *sums = workspace + align_up(dots->left_bytes + dots->right_bytes, ALIGNMENT);
    struct walk walk = {.dots = dots,
                        .call = call,
                        .left_copy = (float *)(void *)workspace,
                        .right_copy = (float *)(void *)(workspace + dots->left_bytes),
                        .sums = (float *)(void *)sums,
                        .epilogue_workspace = sums + dots->sums_bytes};
    int64_t first, last;
    task_range(dots->matrices * dots->blocks, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (i == first || i % dots->blocks == 0)
            begin_matrix(&walk, i / dots->blocks);
        run_block(&walk, i % dots->blocks * BLOCK_ROWS);
    }
}

const struct kernel SET_NAME(matmul_dots_f32) = {
    .name = SET_TEXT(matmul_dots_f32),
    .family = FAMILY_matmul,
    .requires = SET_REQUIRES,
    .supports = dots_supports,
    .plan = dots_plan,
    .pack = dots_pack,
    .run = dots_run,
};
