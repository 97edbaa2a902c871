/* Pooling, over windows and over whole images. */
#include "kernels/pool.h"

#include "graph/ops/reduce.h"
#include "graph/ops/tools.h"
#include "graph/ops/window.h"

/* --- windows ---------------------------------------------------------------------------------------------- */

enum status op_pool_window(struct op_context *c, struct window *w)
{
    const struct value *x = op_input(c, 0);
    int64_t kernel[SPATIAL_AXES];
    TRY(op_require_rank(c, 0, 3, 2 + SPATIAL_AXES));
    if (!op_has(c, "kernel_shape"))
        return op_error(c, STATUS_INVALID_MODEL, "kernel_shape is missing");
    TRY(op_window_list(c, "kernel_shape", x->rank - 2, 1, 1, kernel));
    return op_window(c, x->rank - 2, x->dims + 2, kernel, w);
}

static enum status shapes_pool(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    bool maximum = c->node->op->detail == POOL_MAX;
    struct window w;
    TRY(op_require(c, 0, maximum ? TYPES_FLOAT | TYPE(DTYPE_I8) | TYPE(DTYPE_U8) : TYPES_FLOAT));
    TRY(op_pool_window(c, &w));
    if (op_int_or(c, "p", 2) < 1)
        return op_error(c, STATUS_INVALID_MODEL, "p is %lld; it must be positive", (long long)op_int_or(c, "p", 2));
    return op_window_output(c, x->dtype, x->dims[0], x->dims[1], x->rank - 2, &w);
}

/* What a maximum's position is multiplied with: the flat index in x, rows first or (storage_order 1) columns first
 * within each image. */
static struct image_strides index_strides(const struct value *x, bool columns_first)
{
    struct image_strides strides = op_image_strides(x);
    int64_t stride = 1;
    for (int i = 2; columns_first && i < x->rank; i++) {
        strides.spatial[SPATIAL_AXES - x->rank + i] = stride;
        stride *= x->dims[i];
    }
    return strides;
}

static enum status emit_pool(struct op_context *c, struct pool_params *p)
{
    const struct value *x = op_input(c, 0), *y = op_output(c, 0) ? op_output(c, 0) : op_output(c, 1);
    if (value_elements(y) == 0)
        return STATUS_OK;
    p->dtype = x->dtype;
    p->kind = (enum pool_kind)c->node->op->detail;
    p->indices = p->kind == POOL_MAX && op_output(c, 1);
    p->power = op_int_or(c, "p", 2);
    p->batch = x->dims[0];
    p->channels = x->dims[1];
    p->x = op_image_strides(x);
    p->y = op_image_strides(y);
    p->index = index_strides(x, op_int(c, "storage_order") != 0);
    return op_emit(c, FAMILY_pool, p, sizeof *p, 1, c->node->inputs, 2,
                   (struct value *[]){op_output(c, 0), op_output(c, 1)}, 0);
}

static enum status lower_pool(struct op_context *c)
{
    struct pool_params p = {.count_padding = op_int(c, "count_include_pad") != 0};
    TRY(op_pool_window(c, &p.window));
    return emit_pool(c, &p);
}

#define POOL_OP(op_name, kind, outputs, shapes_function, lower_function)                          \
    OPERATOR(op_name, 1, 1, 1, outputs, shapes_function, .flags = OP_HALF_AS_F32, .detail = kind, \
             .lower = lower_function)

POOL_OP(MaxPool, POOL_MAX, 2, shapes_pool, lower_pool)
POOL_OP(AveragePool, POOL_AVERAGE, 1, shapes_pool, lower_pool)
POOL_OP(LpPool, POOL_LP, 1, shapes_pool, lower_pool)

/* --- whole images ----------------------------------------------------------------------------------------- */

static enum status set_global(struct op_context *c, enum dtype dtype, int64_t *positions)
{
    TRY(op_require_rank(c, 0, 2, MAX_RANK));
    const struct value *x = op_input(c, 0);
    int64_t dims[MAX_RANK];
    *positions = 1;
    for (int i = 0; i < x->rank; i++) {
        dims[i] = i < 2 ? x->dims[i] : 1;
        *positions *= i < 2 ? 1 : x->dims[i];
    }
    return op_set_output(c, 0, dtype, x->rank, dims);
}

static enum status shapes_global(struct op_context *c)
{
    int64_t positions;
    TRY(op_require(c, 0, TYPES_FLOAT));
    return set_global(c, op_input(c, 0)->dtype, &positions);
}

static enum status lower_global(struct op_context *c)
{
    unsigned spatial = ((1u << op_input(c, 0)->rank) - 1) & ~3u;
    return op_reduce(c, (enum reduce_kind)c->node->op->detail, op_input(c, 0), spatial, op_output(c, 0));
}

POOL_OP(GlobalAveragePool, REDUCE_MEAN, 1, shapes_global, lower_global)
POOL_OP(GlobalMaxPool, REDUCE_MAX, 1, shapes_global, lower_global)

/* Of ours: what fuse-qdq makes of a GlobalAveragePool of dequantised bytes. float32: the exact sum of each channel's
 * bytes, rounded and divided by their number. */
static enum status shapes_global_integer(struct op_context *c)
{
    int64_t positions;
    TRY(op_require(c, 0, TYPE(DTYPE_U8) | TYPE(DTYPE_I8)));
    TRY(set_global(c, DTYPE_F32, &positions));
    return positions <= REDUCE_MOST_BYTES
               ? STATUS_OK
               : op_error(c, STATUS_UNSUPPORTED, "sums are exact of at most %d positions", REDUCE_MOST_BYTES);
}

const struct op op_infer_GlobalMeanInteger = {
    .domain = OWN_DOMAIN,
    .name = "GlobalMeanInteger",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    ATTRIBUTES_OF(infer_GlobalMeanInteger),
    .shapes = shapes_global_integer,
    .detail = REDUCE_MEAN,
    .lower = lower_global,
};

static enum status shapes_global_norm(struct op_context *c)
{
    TRY(op_require_rank(c, 0, 3, 2 + SPATIAL_AXES));
    if (op_int_or(c, "p", 2) < 1)
        return op_error(c, STATUS_INVALID_MODEL, "p is %lld; it must be positive", (long long)op_int_or(c, "p", 2));
    return shapes_global(c);
}

static enum status lower_global_norm(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    struct pool_params p = {.window = op_unit_window()};
    for (int i = 2; i < x->rank; i++)
        p.window.input[SPATIAL_AXES - x->rank + i] = p.window.kernel[SPATIAL_AXES - x->rank + i] = x->dims[i];
    return emit_pool(c, &p);
}

POOL_OP(GlobalLpPool, POOL_LP, 1, shapes_global_norm, lower_global_norm)
