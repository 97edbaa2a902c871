#include "kernels/matmul.h"

#include "kernels/reference/types.h"
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

/* The same, with a block of B, where its columns must be gathered. */
static size_t block_elements(const struct matmul_params *p)
{
    int64_t packed = p->b.column == 1 ? 0 : least(p->k, BLOCK_DEPTH) * least(p->n, BLOCK_COLUMNS);
    return tile_elements(p) + (size_t)packed;
}

static int matmul_tasks(const void *params)
{
    const struct matmul_params *p = params;
    int64_t each = least(p->m, BLOCK_ROWS) * least(p->n, BLOCK_COLUMNS) * least(p->k, BLOCK_DEPTH);
    return task_count(block_count(p), 1 + 1000000 / (1 + each));
}

#define TYPE_NAME f32
#define T float
#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME i32
#define T uint32_t /* wraps, and gives the bits that the signed product has */
#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME i64
#define T uint64_t
#include "kernels/reference/matmul.inc"
#undef TYPE_NAME
#undef T

#define MATMUL(type, condition)                                           \
    static bool matmul_supports_##type(const void *params)                \
    {                                                                     \
        enum dtype dtype = ((const struct matmul_params *)params)->dtype; \
        return condition;                                                 \
    }                                                                     \
    const struct kernel matmul_##type##_reference = {                     \
        .name = "matmul_" #type "_reference",                             \
        .family = FAMILY_matmul,                                          \
        .supports = matmul_supports_##type,                               \
        .workspace_bytes = matmul_workspace_##type,                       \
        .tasks = matmul_tasks,                                            \
        .run = matmul_run_##type,                                         \
    };
MATMUL(f32, dtype == DTYPE_F32)
MATMUL(f64, dtype == DTYPE_F64)
MATMUL(i32, dtype == DTYPE_I32 || dtype == DTYPE_U32)
MATMUL(i64, dtype == DTYPE_I64 || dtype == DTYPE_U64)
