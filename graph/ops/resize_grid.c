/* GridSample and AffineGrid. */
#include "graph/ops/build.h"
#include "graph/ops/tools.h"
#include "kernels/grid_sample.h"

#include <string.h>

/* --- GridSample --------------------------------------------------------------------------------------------------- */

static enum status shapes_grid_sample(struct op_context *c)
{
    const struct value *x = op_input(c, 0), *grid = op_input(c, 1);
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require(c, 1, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 3, 2 + GRID_MAX_RANK));
    TRY(op_require_rank(c, 1, x->rank, x->rank));
    int rank = x->rank - 2;
    int64_t dims[MAX_RANK] = {x->dims[0], x->dims[1]};
    if (grid->dims[0] != x->dims[0] || grid->dims[rank + 1] != rank)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the grid must hold %d coordinates for each point of %lld images",
                        rank, (long long)x->dims[0]);
    for (int i = 0; i < rank; i++) {
        dims[i + 2] = grid->dims[i + 1];
        if (x->dims[i + 2] == 0)
            return op_error(c, STATUS_INVALID_ARGUMENT, "the image is empty");
    }
    return op_set_output(c, 0, x->dtype, x->rank, dims);
}

static enum status one_of(struct op_context *c, const char *attribute, int count, const char *const *names,
                          uint8_t *chosen)
{
    const char *name = op_string(c, attribute);
    for (*chosen = 0; *chosen < count; ++*chosen)
        if (strcmp(name, names[*chosen]) == 0)
            return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "%s is '%s', which is not among its values", attribute, name);
}

static enum status lower_grid_sample(struct op_context *c)
{
    /* Opset 16 says bilinear and bicubic, opset 20 linear and cubic. */
    static const char *const modes[] = {"linear", "nearest", "cubic", "bilinear", "bicubic"};
    static const uint8_t mode_of[] = {GRID_LINEAR, GRID_NEAREST, GRID_CUBIC, GRID_LINEAR, GRID_CUBIC};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    struct value *x = op_input(c, 0), *grid = op_input(c, 1), *output = op_output(c, 0);
    uint8_t mode;
    struct grid_sample_params params = {.batch = x->dims[0],
                                        .channels = x->dims[1],
                                        .points = 1,
                                        .rank = x->rank - 2,
                                        .align_corners = op_int(c, "align_corners") != 0,
                                        .dtype = (uint8_t)x->dtype};
    TRY(one_of(c, "mode", 5, modes, &mode));
    TRY(one_of(c, "padding_mode", 3, paddings, &params.padding));
    params.mode = mode_of[mode];
    for (int i = 0; i < params.rank; i++) {
        params.dims[i] = x->dims[i + 2];
        params.points *= grid->dims[i + 1];
    }
    if (value_elements(output) == 0)
        return STATUS_OK;
    if (grid->dtype != x->dtype) {
        struct value *converted = op_temporary(c, x->dtype, grid->rank, grid->dims);
        if (!converted)
            return op_no_memory(c);
        TRY(op_cast(c, grid, converted, true));
        grid = converted;
    }
    return op_emit(c, FAMILY_grid_sample, &params, sizeof params, 2, (struct value *[]){x, grid}, 1, &output, 0);
}

OPERATOR(GridSample, 2, 2, 1, 1, shapes_grid_sample, .lower = lower_grid_sample, .flags = OP_HALF_AS_F32)

/* --- AffineGrid --------------------------------------------------------------------------------------------------- */

static enum status shapes_affine_grid(struct op_context *c)
{
    const struct value *theta = op_input(c, 0);
    int64_t size[MAX_RANK], dims[MAX_RANK];
    int count;
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 3, 3));
    TRY(op_ints(c, 1, MAX_RANK, size, &count));
    int rank = count - 2;
    if (rank < 2 || rank > 3 || theta->dims[0] != size[0] || theta->dims[1] != rank || theta->dims[2] != rank + 1)
        return op_error(c, STATUS_INVALID_ARGUMENT, "theta and a size of %d entries do not match", count);
    dims[0] = size[0];
    for (int i = 0; i < rank; i++)
        dims[i + 1] = size[i + 2];
    dims[rank + 1] = rank;
    return op_set_output(c, 0, theta->dtype, rank + 2, dims);
}

/* Position `index` of `count` that stand evenly between -1 and 1. */
static double position(int64_t index, int64_t count, bool align_corners)
{
    if (!align_corners)
        return (double)(2 * index + 1) / (double)count - 1;
    return count > 1 ? 2 * (double)index / (double)(count - 1) - 1 : -1;
}

/* Homogeneous coordinates of every point of the grid, those of the innermost axis first: [points, rank + 1]. */
static struct value *original_grid(struct op_context *c, int rank, const int64_t *dims, bool align_corners)
{
    int64_t points = 1;
    for (int i = 0; i < rank; i++)
        points *= dims[i];
    int64_t shape[2] = {points, rank + 1};
    double *grid = region_array(c->graph->region, (size_t)(points * shape[1]), sizeof *grid), *next = grid;
    for (int64_t point = 0; grid && point < points; point++) {
        int64_t rest = point;
        for (int axis = rank - 1; axis >= 0; axis--) {
            *next++ = position(rest % dims[axis], dims[axis], align_corners);
            rest /= dims[axis];
        }
        *next++ = 1;
    }
    struct value *value = grid ? graph_add_constant(c->graph, "", DTYPE_F64, 2, shape, grid) : NULL;
    if (!value)
        op_no_memory(c);
    return value;
}

/* Every point of the grid times the transposed matrix of its image. */
static enum status expand_affine_grid(struct op_context *c)
{
    struct value *theta = op_input(c, 0), *output = op_output(c, 0);
    struct value *grid = original_grid(c, output->rank - 2, output->dims + 1, op_int(c, "align_corners") != 0);
    struct value *columns = build_transpose(c, theta, 3, (int64_t[]){0, 2, 1});
    grid = grid ? build_cast(c, grid, theta->dtype) : NULL;
    struct value *points = op_build2(c, "MatMul", grid, columns);
    return build_output(c, 0, build_reshape(c, points, output->rank, output->dims));
}

OPERATOR(AffineGrid, 2, 2, 1, 1, shapes_affine_grid, .expand = expand_affine_grid)
