#include "kernels/matmul.h"

#include "kernels/reference/multiply.h"
#include "kernels/reference/types.h"
#include "kernels/reference/widen.h"
#include "kernels/walk.h"

#include <string.h>

#define BLOCK_ROWS 32
#define BLOCK_COLUMNS 64
#define BLOCK_DEPTH 64

/* A block of C of one matrix of the batch, and the offsets of the four matrices. */
struct block {
    int64_t matrix, row, column, rows, columns;
    int64_t a, b, c, d;
};

static int64_t block_count(const struct matmul_params *p)
{
    return divide_up(p->m, BLOCK_ROWS) * divide_up(p->n, BLOCK_COLUMNS) * elements(p->batch_rank, p->batch);
}

static void block_at(const struct matmul_params *p, int64_t index, struct block *at)
{
    int64_t across = divide_up(p->n, BLOCK_COLUMNS), down = divide_up(p->m, BLOCK_ROWS);
    int64_t column = index % across * BLOCK_COLUMNS, row = index / across % down * BLOCK_ROWS;
    *at = (struct block){
        .matrix = index / across / down,
        .row = row,
        .column = column,
        .rows = least(p->m - row, BLOCK_ROWS),
        .columns = least(p->n - column, BLOCK_COLUMNS),
    };
    int64_t matrix = at->matrix;
    at->a = offset_at(p->batch_rank, p->batch, p->a.batch, matrix);
    at->b = offset_at(p->batch_rank, p->batch, p->b.batch, matrix);
    at->c = offset_at(p->batch_rank, p->batch, p->c.batch, matrix);
    at->d = offset_at(p->batch_rank, p->batch, p->d.batch, matrix);
}

static bool stores_directly(const struct matmul_params *p)
{
    return p->c.column == 1 && !p->epilogue;
}

/* Elements of workspace: sums that cannot go where they belong at once. */
static size_t tile_elements(const struct matmul_params *p)
{
    return stores_directly(p) ? 0 : (size_t)(least(p->m, BLOCK_ROWS) * least(p->n, BLOCK_COLUMNS));
}

/* The same, with a block of B, where its columns must be gathered, and one of A, where it has another type. */
static size_t block_elements(const struct matmul_params *p)
{
    bool narrow = matmul_is_narrow(p);
    int64_t depth = least(p->k, BLOCK_DEPTH);
    int64_t packed = p->b.column == 1 && !narrow && !matmul_is_scaled(p) ? 0 : depth * least(p->n, BLOCK_COLUMNS);
    return tile_elements(p) + (size_t)packed + (narrow ? BLOCK_ROWS * BLOCK_DEPTH : 0);
}

static int matmul_tasks(const void *params)
{
    const struct matmul_params *p = params;
    int64_t each = least(p->m, BLOCK_ROWS) * least(p->n, BLOCK_COLUMNS) * least(p->k, BLOCK_DEPTH);
    return task_count(block_count(p), 1 + 1000000 / (1 + each));
}

#define TYPE_NAME f32
#define T float
#include "kernels/reference/matmul_sums.inc"

#include "kernels/reference/matmul.inc"
#undef TYPE_NAME

/* B is made wide, a block at a time. */
static void sum_block_scaled(const struct matmul_params *p, const struct kernel_call *call, const struct block *at,
                             float *packed, float *tile, int64_t tile_row)
{
    const float *a = (const float *)call->inputs[0] + at->a + at->row * p->a.row;
    const uint8_t *b = (const uint8_t *)call->inputs[1] + at->b + at->column * p->b.column;
    const float *scales = (const float *)call->inputs[4] + at->column * p->b_zero.column +
                          offset_at(p->batch_rank, p->batch, p->b_zero.batch, at->matrix);
    for (int64_t d = 0; d < p->k; d += BLOCK_DEPTH) {
        int64_t depth = least(p->k - d, BLOCK_DEPTH);
        for (int64_t k = 0; k < depth; k++)
            for (int64_t j = 0; j < at->columns; j++) {
                uint8_t byte = b[(d + k) * p->b.row + j * p->b.column];
                float number = (float)(p->b_dtype == DTYPE_I8 ? (int8_t)byte : byte);
                packed[k * at->columns + j] = number * scales[j * p->b_zero.column];
            }
        multiply_f32(at->rows, at->columns, depth, a + d * p->a.column, p->a.row, p->a.column, packed, at->columns,
                     tile, tile_row);
    }
}

#define TYPE_NAME scaled
#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/matmul_sums.inc"

#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME i32
#define T uint32_t /* wraps, and gives the bits that the signed product has */
#include "kernels/reference/matmul_sums.inc"

#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME i64
#define T uint64_t
#include "kernels/reference/matmul_sums.inc"

#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T

/* Operands of 8 bits are made wide less their zero points, a block at a time. */
static void sum_block_i8(const struct matmul_params *p, const struct kernel_call *call, const struct block *at,
                         uint32_t *packed, uint32_t *tile, int64_t tile_row)
{
    const uint8_t *a = (const uint8_t *)call->inputs[0] + at->a + at->row * p->a.row;
    const uint8_t *b = (const uint8_t *)call->inputs[1] + at->b + at->column * p->b.column;
    const uint8_t *a_zero = call->inputs[3], *b_zero = call->inputs[4];
    uint32_t *rows = packed, *columns = packed + BLOCK_ROWS * BLOCK_DEPTH, column[BLOCK_DEPTH];
    if (a_zero)
        a_zero += offset_at(p->batch_rank, p->batch, p->a_zero.batch, at->matrix) + at->row * p->a_zero.row;
    if (b_zero)
        b_zero += offset_at(p->batch_rank, p->batch, p->b_zero.batch, at->matrix) + at->column * p->b_zero.column;
    for (int64_t d = 0; d < p->k; d += BLOCK_DEPTH) {
        int64_t depth = least(p->k - d, BLOCK_DEPTH);
        for (int64_t i = 0; i < at->rows; i++)
            widen_bytes(p->a_dtype, depth, a + i * p->a.row + d * p->a.column, p->a.column,
                        a_zero ? a_zero[i * p->a_zero.row] : 0, rows + i * depth);
        for (int64_t j = 0; j < at->columns; j++) {
            widen_bytes(p->b_dtype, depth, b + j * p->b.column + d * p->b.row, p->b.row,
                        b_zero ? b_zero[j * p->b_zero.column] : 0, column);
            for (int64_t k = 0; k < depth; k++)
                columns[k * at->columns + j] = column[k];
        }
        multiply_i32(at->rows, at->columns, depth, rows, depth, 1, columns, at->columns, tile, tile_row);
    }
}

#define TYPE_NAME i8
#define T uint32_t
#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T

#define MATMUL(type, condition)                            \
    static bool matmul_supports_##type(const void *params) \
    {                                                      \
        const struct matmul_params *p = params;            \
        return condition;                                  \
    }                                                      \
    const struct kernel matmul_##type##_reference = {      \
        .name = "matmul_" #type "_reference",              \
        .family = FAMILY_matmul,                           \
        .supports = matmul_supports_##type,                \
        .workspace_bytes = matmul_workspace_##type,        \
        .tasks = matmul_tasks,                             \
        .run = matmul_run_##type,                          \
    };
MATMUL(f32, p->dtype == DTYPE_F32 && !matmul_is_scaled(p))
MATMUL(scaled, matmul_is_scaled(p))
MATMUL(f64, p->dtype == DTYPE_F64)
MATMUL(i32, (p->dtype == DTYPE_I32 || p->dtype == DTYPE_U32) && p->a_dtype == p->dtype)
MATMUL(i64, p->dtype == DTYPE_I64 || p->dtype == DTYPE_U64)
MATMUL(i8, matmul_is_narrow(p))
