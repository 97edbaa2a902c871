#include "kernels/attention.h"

#include "kernels/reference/multiply.h"
#include "kernels/reference/types.h"
#include "kernels/walk.h"

#include <math.h>
#include <string.h>

#define BLOCK_ROWS 32
#define BLOCK_KEYS 128
#define BLOCK_DEPTH 128 /* elements of a key, or of a value, that are made contiguous at once */

/* Some queries of one head, and where they, the head's keys and values and the results begin. */
struct block {
    int64_t row, rows;
    int64_t q, k, v, mask, y;
};

static int64_t block_count(const struct attention_params *p)
{
    return divide_up(p->queries, BLOCK_ROWS) * p->heads * p->batch;
}

static int64_t block_offset(const struct attention_strides *s, int64_t batch, int64_t head, int64_t row)
{
    return batch * s->batch + head * s->head + row * s->row;
}

static struct block block_at(const struct attention_params *p, int64_t index)
{
    int64_t down = divide_up(p->queries, BLOCK_ROWS), row = index % down * BLOCK_ROWS;
    int64_t head = index / down % p->heads, batch = index / down / p->heads;
    return (struct block){
        .row = row,
        .rows = least(p->queries - row, BLOCK_ROWS),
        .q = block_offset(&p->q, batch, head, row),
        .k = block_offset(&p->k, batch, head / p->group, 0),
        .v = block_offset(&p->v, batch, head / p->group, 0),
        .mask = block_offset(&p->mask, batch, head, row),
        .y = block_offset(&p->y, batch, head, row),
    };
}

static int attention_tasks(const void *params)
{
    const struct attention_params *p = params;
    int64_t each = least(p->queries, BLOCK_ROWS) * least(p->keys, 4096) * least(p->head + p->v_head, 4096);
    return task_count(block_count(p), 1 + 1000000 / (1 + each));
}

/* The parts of the workspace, in elements. */
static int64_t score_elements(const struct attention_params *p)
{
    return least(p->queries, BLOCK_ROWS) * least(p->keys, BLOCK_KEYS);
}

/* A block of K^T or of V, where its columns must be gathered. */
static int64_t packed_elements(const struct attention_params *p)
{
    int64_t keys = least(p->keys, BLOCK_KEYS);
    int64_t k = p->k.row == 1 ? 0 : keys * least(p->head, BLOCK_DEPTH);
    int64_t v = p->v.column == 1 ? 0 : keys * least(p->v_head, BLOCK_DEPTH);
    return k > v ? k : v;
}

/* Results that cannot be summed where they belong. */
static int64_t mean_elements(const struct attention_params *p)
{
    return p->y.column == 1 ? 0 : least(p->queries, BLOCK_ROWS) * p->v_head;
}

static size_t attention_elements(const struct attention_params *p)
{
    return (size_t)(score_elements(p) + packed_elements(p) + mean_elements(p));
}

#define TYPE_NAME f32
#define T float
#define EXP expf
#define TANH tanhf
#include "kernels/reference/attention.inc"
#undef TYPE_NAME
#undef T
#undef EXP
#undef TANH
#define TYPE_NAME f64
#define T double
#define EXP exp
#define TANH tanh
#include "kernels/reference/attention.inc"
#undef TYPE_NAME
#undef T
#undef EXP
#undef TANH

#define ATTENTION_KERNEL(type, type_dtype)                                                       \
    REFERENCE_KERNEL(attention, type, type_dtype, .workspace_bytes = attention_workspace_##type, \
                     .tasks = attention_tasks, .run = attention_run_##type)
ATTENTION_KERNEL(f32, DTYPE_F32)
ATTENTION_KERNEL(f64, DTYPE_F64)
