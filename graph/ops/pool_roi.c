/* MaxRoiPool, RoiAlign, MaxUnpool. */
#include "graph/ops/build.h"
#include "graph/ops/tools.h"
#include "graph/ops/window.h"
#include "kernels/roi.h"

#include <string.h>

/* --- regions of interest ---------------------------------------------------------------------------------- */

static enum status check_size(struct op_context *c, const char *name, int64_t size)
{
    if (size >= 1 && size <= INT32_MAX)
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "%s is %lld; it must be positive", name, (long long)size);
}

static enum status read_regions(struct op_context *c, int64_t columns, struct roi_params *p)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require(c, 1, TYPE(op_input(c, 0)->dtype)));
    TRY(op_require_rank(c, 0, 4, 4));
    TRY(op_require_rank(c, 1, 2, 2));
    const int64_t *x = op_input(c, 0)->dims, *regions = op_input(c, 1)->dims;
    *p = (struct roi_params){.dtype = op_input(c, 0)->dtype,
                             .batch = x[0],
                             .channels = x[1],
                             .height = x[2],
                             .width = x[3],
                             .regions = regions[0],
                             .columns = columns,
                             .scale = (double)op_float(c, "spatial_scale")};
    if (regions[1] != columns)
        return op_error(c, STATUS_INVALID_MODEL, "regions have %lld columns; they must have %lld",
                        (long long)regions[1], (long long)columns);
    if (x[2] == 0 || x[3] == 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "there is nothing to pool in an image of %lldx%lld",
                        (long long)x[2], (long long)x[3]);
    return STATUS_OK;
}

static enum status set_regions(struct op_context *c, const struct roi_params *p)
{
    return op_set_output(c, 0, p->dtype, 4, (int64_t[]){p->regions, p->channels, p->pooled_height, p->pooled_width});
}

static enum status emit_regions(struct op_context *c, const struct roi_params *p)
{
    if (value_elements(op_output(c, 0)) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_roi, p, sizeof *p, 3, (struct value *[]){op_input(c, 0), op_input(c, 1), op_input(c, 2)},
                   1, c->node->outputs, 0);
}

static enum status read_max_roi(struct op_context *c, struct roi_params *p)
{
    int count;
    const int64_t *pooled = op_int_list(c, "pooled_shape", &count);
    TRY(read_regions(c, 5, p));
    if (count != 2)
        return op_error(c, STATUS_INVALID_MODEL, "pooled_shape must hold a height and a width");
    p->kind = ROI_MAX;
    p->pooled_height = pooled[0];
    p->pooled_width = pooled[1];
    TRY(check_size(c, "the pooled height", pooled[0]));
    return check_size(c, "the pooled width", pooled[1]);
}

static enum status shapes_max_roi(struct op_context *c)
{
    struct roi_params p;
    TRY(read_max_roi(c, &p));
    return set_regions(c, &p);
}

static enum status lower_max_roi(struct op_context *c)
{
    struct roi_params p;
    TRY(read_max_roi(c, &p));
    return emit_regions(c, &p);
}

OPERATOR(MaxRoiPool, 2, 2, 1, 1, shapes_max_roi, .flags = OP_HALF_AS_F32, .lower = lower_max_roi)

static enum status read_align(struct op_context *c, struct roi_params *p)
{
    const char *transformation = op_string(c, "coordinate_transformation_mode");
    if (c->node->version < 16) /* there was no choice, and coordinates were not shifted */
        transformation = "output_half_pixel";
    const char *mode = op_string(c, "mode");
    TRY(read_regions(c, 4, p));
    TRY(op_require(c, 2, TYPE(DTYPE_I64)));
    TRY(op_require_rank(c, 2, 1, 1));
    if (op_input(c, 2)->dims[0] != p->regions)
        return op_error(c, STATUS_INVALID_ARGUMENT, "there are %lld regions and %lld batch numbers",
                        (long long)p->regions, (long long)op_input(c, 2)->dims[0]);
    p->half_pixel = strcmp(transformation, "half_pixel") == 0;
    if (!p->half_pixel && strcmp(transformation, "output_half_pixel") != 0)
        return op_error(c, STATUS_INVALID_MODEL, "coordinate_transformation_mode '%s' is not one of ONNX's",
                        transformation);
    p->kind = strcmp(mode, "max") == 0 ? ROI_ALIGN_MAX : ROI_ALIGN_AVERAGE;
    if (p->kind == ROI_ALIGN_AVERAGE && strcmp(mode, "avg") != 0)
        return op_error(c, STATUS_INVALID_MODEL, "mode is '%s'; it must be avg or max", mode);
    p->samples = op_int(c, "sampling_ratio");
    p->pooled_height = op_int(c, "output_height");
    p->pooled_width = op_int(c, "output_width");
    TRY(check_size(c, "output_height", p->pooled_height));
    return check_size(c, "output_width", p->pooled_width);
}

static enum status shapes_align(struct op_context *c)
{
    struct roi_params p;
    TRY(read_align(c, &p));
    return set_regions(c, &p);
}

static enum status lower_align(struct op_context *c)
{
    struct roi_params p;
    TRY(read_align(c, &p));
    return emit_regions(c, &p);
}

OPERATOR(RoiAlign, 3, 3, 1, 1, shapes_align, .flags = OP_HALF_AS_F32, .lower = lower_align)

/* --- MaxUnpool: (x, indices, output shape) ------------------------------------------------------------------------ */

/* Indices count in the shape that the window makes, says ONNX's own test, and what is larger is zero beyond that. Those
 * of a MaxPool count in what was pooled, which is the output that is asked for: PyTorch and ONNX Runtime read them so.
 * The importer says which they are. */
static bool counts_in_output(const struct op_context *c)
{
    return op_input(c, 2) && op_int(c, MAX_UNPOOL_POSITIONS) != 0;
}

/* Shape of what was pooled, by the window alone. */
static enum status pooled_shape(struct op_context *c, int64_t *dims)
{
    int64_t kernel[SPATIAL_AXES], strides[SPATIAL_AXES], pads[2 * SPATIAL_AXES];
    TRY(op_require_rank(c, 0, 3, 2 + SPATIAL_AXES));
    const struct value *x = op_input(c, 0);
    int rank = x->rank - 2;
    TRY(op_window_list(c, "kernel_shape", rank, 1, 1, kernel));
    TRY(op_window_list(c, "strides", rank, 1, 1, strides));
    TRY(op_window_list(c, "pads", 2 * rank, 0, 0, pads));
    dims[0] = x->dims[0];
    dims[1] = x->dims[1];
    for (int i = 0; i < rank; i++) {
        if (x->dims[2 + i] > INT32_MAX)
            return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d has %lld elements, which is too many", 2 + i,
                            (long long)x->dims[2 + i]);
        dims[2 + i] = (x->dims[2 + i] - 1) * strides[i] - pads[i] - pads[rank + i] + kernel[i];
    }
    return STATUS_OK;
}

static enum status shapes_unpool(struct op_context *c)
{
    int64_t dims[MAX_RANK], given[MAX_RANK];
    int count;
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require(c, 1, TYPE(DTYPE_I64)));
    TRY(pooled_shape(c, dims));
    const struct value *x = op_input(c, 0), *indices = op_input(c, 1);
    for (int i = 0; i < x->rank; i++)
        if (indices->rank != x->rank || indices->dims[i] != x->dims[i])
            return op_error(c, STATUS_INVALID_ARGUMENT, "the indices must have the shape of the input");
    /* Checks the inferred shape as well, which the expansion makes a tensor of. */
    TRY(op_set_output(c, 0, x->dtype, x->rank, dims));
    TRY(op_ints(c, 2, MAX_RANK, given, &count));
    if (count < 0)
        return STATUS_OK;
    if (count != x->rank)
        return op_error(c, STATUS_INVALID_ARGUMENT, "output_shape has %d axes, the input %d", count, x->rank);
    for (int i = 0; i < x->rank && !counts_in_output(c); i++)
        if (given[i] < dims[i])
            return op_error(c, STATUS_INVALID_ARGUMENT, "output_shape is smaller than what the window makes");
    return op_set_output(c, 0, x->dtype, x->rank, given);
}

static enum status expand_unpool(struct op_context *c)
{
    int64_t dims[MAX_RANK], elements = 1, all = value_elements(op_input(c, 0)), pads[2 * MAX_RANK] = {0};
    const struct value *output = op_output(c, 0);
    enum dtype dtype = output->dtype;
    TRY(pooled_shape(c, dims));
    if (counts_in_output(c))
        memcpy(dims, output->dims, sizeof dims);
    for (int i = 0; i < output->rank; i++) {
        elements *= dims[i];
        pads[output->rank + i] = output->dims[i] - dims[i];
    }
    struct value *updates[3] = {
        build_expand(c, build_number(c, dtype, 0), 1, &elements),
        build_reshape(c, op_input(c, 1), 1, &all),
        build_reshape(c, op_input(c, 0), 1, &all),
    };
    struct value *flat = op_build(c, "ScatterElements", 3, updates, NULL);
    struct value *y = build_reshape(c, flat, output->rank, dims);
    return build_output(c, 0, op_build2(c, "Pad", y, build_ints(c, 2 * output->rank, pads)));
}

OPERATOR(MaxUnpool, 2, 3, 1, 1, shapes_unpool, .expand = expand_unpool)
