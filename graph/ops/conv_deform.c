/* DeformConv: taps sampled at moved places, then one product with the weights for each image and group. */
#include "graph/ops/tools.h"
#include "graph/ops/window.h"
#include "kernels/deform.h"
#include "kernels/matmul.h"

/* (x, weights, offsets, bias, mask) */
enum { WEIGHTS = 1, OFFSETS, BIAS, TAP_MASK };

struct deformed {
    struct deform_params taps;
    int64_t groups, outputs;   /* output channels */
    int64_t kernel, positions; /* elements of the window, and of the output */
};

static enum status check_groups(struct op_context *c, const struct deformed *d)
{
    const struct value *x = op_input(c, 0), *weights = op_input(c, WEIGHTS), *bias = op_input(c, BIAS);
    if (d->groups < 1 || d->taps.groups < 1 || d->outputs % d->groups != 0 || x->dims[1] % d->groups != 0 ||
        weights->dims[1] != x->dims[1] / d->groups || x->dims[1] % d->taps.groups != 0)
        return op_error(c, STATUS_INVALID_MODEL,
                        "%lld channels in %lld groups and %lld groups of offsets do not fit weights of %lld x %lld",
                        (long long)x->dims[1], (long long)d->groups, (long long)d->taps.groups, (long long)d->outputs,
                        (long long)weights->dims[1]);
    if (bias && (bias->rank != 1 || bias->dims[0] != d->outputs))
        return op_error(c, STATUS_INVALID_MODEL, "the bias must have one element for each of %lld output channels",
                        (long long)d->outputs);
    return STATUS_OK;
}

/* Input i is [batch, groups * kernel * each, output]. */
static enum status check_taps(struct op_context *c, int i, const struct deformed *d, int64_t each)
{
    const struct value *value = op_input(c, i);
    int axes = d->taps.axes;
    if (!value)
        return STATUS_OK;
    TRY(op_require_rank(c, i, axes + 2, axes + 2));
    bool fits = value->dims[0] == d->taps.batch && value->dims[1] % each == 0 &&
                value->dims[1] / each % d->taps.groups == 0 && value->dims[1] / each / d->taps.groups == d->kernel;
    for (int k = 0; k < axes; k++)
        fits = fits && value->dims[2 + k] == d->taps.window.output[SPATIAL_AXES - axes + k];
    char text[120];
    return fits ? STATUS_OK
                : op_error(c, STATUS_INVALID_ARGUMENT, "input %d of shape %s does not fit the window and the output", i,
                           value_shape_text(NULL, value, text, sizeof text));
}

static enum status read_deformed(struct op_context *c, struct deformed *d)
{
    TRY(op_require_rank(c, 0, 3, 2 + SPATIAL_AXES));
    TRY(op_require_rank(c, WEIGHTS, op_input(c, 0)->rank, op_input(c, 0)->rank));
    const struct value *x = op_input(c, 0), *weights = op_input(c, WEIGHTS);
    *d = (struct deformed){.groups = op_int(c, "group"), .outputs = weights->dims[0], .kernel = 1, .positions = 1};
    d->taps = (struct deform_params){.dtype = x->dtype,
                                     .batch = x->dims[0],
                                     .channels = x->dims[1],
                                     .groups = op_int(c, "offset_group"),
                                     .axes = x->rank - 2};
    TRY(op_window(c, x->rank - 2, x->dims + 2, weights->dims + 2, &d->taps.window));
    for (int i = 0; i < SPATIAL_AXES; i++)
        d->positions *= d->taps.window.output[i];
    for (int i = 2; i < weights->rank; i++)
        d->kernel *= weights->dims[i];
    TRY(check_groups(c, d));
    TRY(check_taps(c, OFFSETS, d, x->rank - 2));
    return check_taps(c, TAP_MASK, d, 1);
}

static enum status shapes_deform(struct op_context *c)
{
    struct deformed d;
    TRY(op_require(c, 0, TYPES_FLOAT));
    for (int i = 1; i < 5; i++)
        TRY(op_allow(c, i, TYPE(op_input(c, 0)->dtype)));
    TRY(op_require(c, OFFSETS, TYPES_FLOAT));
    TRY(read_deformed(c, &d));
    return op_window_output(c, d.taps.dtype, d.taps.batch, d.outputs, d.taps.axes, &d.taps.window);
}

/* y[image, group] = weights[group] * columns[image, group] */
static enum status multiply_columns(struct op_context *c, const struct deformed *d, struct value *columns)
{
    int64_t rows = d->outputs / d->groups, depth = d->taps.channels / d->groups * d->kernel;
    struct matmul_params p = {
        .dtype = d->taps.dtype,
        .a_dtype = d->taps.dtype,
        .b_dtype = d->taps.dtype,
        .batch_rank = 2,
        .batch = {d->taps.batch, d->groups},
        .m = rows,
        .n = d->positions,
        .k = depth,
        .a = {.batch = {0, rows * depth}, .row = depth, .column = 1},
        .b = {.batch = {d->groups * depth * d->positions, depth * d->positions}, .row = d->positions, .column = 1},
        .c = {.batch = {d->outputs * d->positions, rows * d->positions}, .row = d->positions, .column = 1},
        .d = {.batch = {0, rows}, .row = 1, .column = 0},
    };
    return op_emit(c, FAMILY_matmul, &p, sizeof p, 3,
                   (struct value *[]){op_input(c, WEIGHTS), columns, op_input(c, BIAS)}, 1, c->node->outputs, 0);
}

static enum status lower_deform(struct op_context *c)
{
    struct deformed d;
    TRY(read_deformed(c, &d));
    const int64_t dims[4] = {d.taps.batch, d.taps.channels, d.kernel, d.positions};
    int64_t size;
    if (!shape_elements(4, dims, &size))
        return op_error(c, STATUS_INVALID_ARGUMENT, "%lld positions of %lld taps are too many", (long long)d.positions,
                        (long long)d.kernel);
    if (value_elements(op_output(c, 0)) == 0)
        return STATUS_OK;
    struct value *columns = op_temporary(c, d.taps.dtype, 4, dims);
    if (!columns)
        return op_no_memory(c);
    if (size > 0)
        TRY(op_emit(c, FAMILY_deform, &d.taps, sizeof d.taps, 3,
                    (struct value *[]){op_input(c, 0), op_input(c, OFFSETS), op_input(c, TAP_MASK)}, 1, &columns, 0));
    return multiply_columns(c, &d, columns);
}

OPERATOR(DeformConv, 3, 5, 1, 1, shapes_deform, .flags = OP_HALF_AS_F32, .lower = lower_deform)
