/* Conv and ConvTranspose. A transposed convolution is a convolution of the input spread out with zeros, with the
 * kernel turned round. */
#include "kernels/conv.h"
#include "graph/ops/tools.h"
#include "graph/ops/window.h"

static enum status check_operands(struct op_context *c, int64_t output_channels)
{
    TRY(op_require(c, 0, TYPES_FLOAT | TYPE(DTYPE_I32)));
    TRY(op_require(c, 1, TYPE(op_input(c, 0)->dtype)));
    TRY(op_allow(c, 2, TYPE(op_input(c, 0)->dtype)));
    const struct value *bias = op_input(c, 2);
    if (bias && (bias->rank != 1 || bias->dims[0] != output_channels))
        return op_error(c, STATUS_INVALID_MODEL, "the bias must have one element for each of %lld output channels",
                        (long long)output_channels);
    return STATUS_OK;
}

/* Ranks, groups, and kernel_shape against the weights. */
static enum status check_weights(struct op_context *c, int64_t *groups)
{
    TRY(op_require_rank(c, 0, 3, 2 + SPATIAL_AXES));
    TRY(op_require_rank(c, 1, op_input(c, 0)->rank, op_input(c, 0)->rank));
    const struct value *weights = op_input(c, 1);
    int count;
    const int64_t *kernel = op_int_list(c, "kernel_shape", &count);
    for (int i = 0; i < count; i++)
        if (count != weights->rank - 2 || kernel[i] != weights->dims[2 + i])
            return op_error(c, STATUS_INVALID_MODEL, "kernel_shape does not fit the weights");
    *groups = op_int(c, "group");
    if (*groups < 1)
        return op_error(c, STATUS_INVALID_MODEL, "group is %lld; it must be positive", (long long)*groups);
    return STATUS_OK;
}

/* --- Conv ------------------------------------------------------------------------------------------------- */

enum status op_conv_window(struct op_context *c, struct window *w, int64_t *groups)
{
    TRY(check_weights(c, groups));
    const struct value *x = op_input(c, 0), *weights = op_input(c, 1);
    if (x->dims[1] % *groups != 0 || weights->dims[1] != x->dims[1] / *groups || weights->dims[0] % *groups != 0)
        return op_error(
            c, STATUS_INVALID_MODEL, "%lld input channels in %lld groups do not fit weights of %lld x %lld channels",
            (long long)x->dims[1], (long long)*groups, (long long)weights->dims[0], (long long)weights->dims[1]);
    return op_window(c, x->rank - 2, x->dims + 2, weights->dims + 2, w);
}

static enum status shapes_conv(struct op_context *c)
{
    struct window w;
    int64_t groups;
    TRY(op_conv_window(c, &w, &groups));
    const struct value *x = op_input(c, 0), *weights = op_input(c, 1);
    TRY(check_operands(c, weights->dims[0]));
    return op_window_output(c, x->dtype, x->dims[0], weights->dims[0], x->rank - 2, &w);
}

/* others: bias, zero point of x, those of the weights. */
static enum status emit_conv(struct op_context *c, struct conv_params *params, struct value *const *others)
{
    const struct value *x = op_input(c, 0), *y = op_output(c, 0);
    if (value_elements(y) == 0)
        return STATUS_OK;
    params->dtype = y->dtype;
    params->x_dtype = x->dtype;
    params->w_dtype = op_input(c, 1)->dtype;
    params->w_zero = others[2] && value_elements(others[2]) > 1;
    params->batch = x->dims[0];
    params->input_channels = x->dims[1] / params->groups;
    params->output_channels = y->dims[1] / params->groups;
    params->x = op_image_strides(x);
    params->y = op_image_strides(y);
    return op_emit(c, FAMILY_conv, params, sizeof *params, CONV_INPUTS,
                   (struct value *[]){op_input(c, 0), op_input(c, 1), others[0], others[1], others[2]}, 1,
                   c->node->outputs, 0);
}

/* Places at the ends of the window that lie in the padding wherever it goes add nothing: it is the smaller one without
 * them. A few frames of a signal at a time leave one place of three. */
static void leave_out_padding(struct conv_params *p)
{
    struct window *w = &p->window;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int64_t first = 0, end = w->kernel[i], last_start = (w->output[i] - 1) * w->stride[i] - w->pad[i];
        while (first + 1 < end && last_start + first * w->dilation[i] < 0)
            first++;
        while (first + 1 < end && (end - 1) * w->dilation[i] - w->pad[i] >= w->input[i])
            end--;
        p->weight_offset += first * p->weight_spatial[i];
        w->pad[i] -= first * w->dilation[i];
        w->pad_after[i] -= (w->kernel[i] - end) * w->dilation[i];
        w->kernel[i] = end - first;
    }
}

enum status op_lower_conv(struct op_context *c, struct value *const *others)
{
    struct conv_params params = {0};
    TRY(op_conv_window(c, &params.window, &params.groups));
    struct image_strides weights = op_image_strides(op_input(c, 1));
    params.weight_output = weights.batch;
    params.weight_input = weights.channel;
    params.weight_group = op_input(c, 1)->dims[0] / params.groups * weights.batch;
    for (int i = 0; i < SPATIAL_AXES; i++)
        params.weight_spatial[i] = weights.spatial[i];
    leave_out_padding(&params);
    return emit_conv(c, &params, others);
}

static enum status lower_conv(struct op_context *c)
{
    return op_lower_conv(c, (struct value *[]){op_input(c, 2), NULL, NULL});
}

OPERATOR(Conv, 2, 3, 1, 1, shapes_conv, .flags = OP_HALF_AS_F32, .lower = lower_conv)

/* --- ConvTranspose ---------------------------------------------------------------------------------------- */

/* Sizes along one axis as ONNX names them. */
struct transposed {
    int64_t input, kernel, stride, dilation, output_padding;
};

/* Output size without any padding taken off. */
static int64_t full_output(const struct transposed *t)
{
    return t->stride * (t->input - 1) + t->output_padding + (t->kernel - 1) * t->dilation + 1;
}

/* Padding at the start such that `output` elements remain. */
static int64_t pad_for(const struct transposed *t, int64_t output, char mode)
{
    int64_t total = full_output(t) - output;
    total = total > 0 ? total : 0;
    return mode == 'U' ? total / 2 : total - total / 2;
}

static enum status transposed_axis(struct op_context *c, const struct transposed *t, struct window *w, int i)
{
    if (t->kernel < 1 || t->kernel > INT32_MAX || t->input > INT32_MAX)
        return op_error(c, STATUS_INVALID_MODEL, "a kernel of %lld over %lld elements makes no sense",
                        (long long)t->kernel, (long long)t->input);
    w->input[i] = t->input;
    w->kernel[i] = t->kernel;
    w->dilation[i] = t->dilation;
    w->spread[i] = t->stride;
    return STATUS_OK;
}

enum status op_conv_transpose_window(struct op_context *c, struct window *w, int64_t *groups)
{
    int64_t strides[SPATIAL_AXES], dilations[SPATIAL_AXES], pads[2 * SPATIAL_AXES], extra[SPATIAL_AXES];
    int64_t outputs[SPATIAL_AXES];
    char mode;
    TRY(check_weights(c, groups));
    const struct value *x = op_input(c, 0), *weights = op_input(c, 1);
    int rank = x->rank - 2;
    if (x->dims[1] % *groups != 0 || weights->dims[0] != x->dims[1])
        return op_error(c, STATUS_INVALID_MODEL, "%lld input channels in %lld groups do not fit weights of %lld",
                        (long long)x->dims[1], (long long)*groups, (long long)weights->dims[0]);
    bool fixed = op_has(c, "output_shape");
    TRY(op_auto_pad(c, &mode));
    TRY(op_window_list(c, "strides", rank, 1, 1, strides));
    TRY(op_window_list(c, "dilations", rank, 1, 1, dilations));
    TRY(op_window_list(c, "pads", 2 * rank, 0, 0, pads));
    TRY(op_window_list(c, "output_padding", rank, 0, 0, extra));
    TRY(op_window_list(c, "output_shape", rank, 0, 0, outputs));
    *w = op_unit_window();
    for (int k = 0; k < rank; k++) {
        int i = SPATIAL_AXES - rank + k;
        struct transposed t = {x->dims[2 + k], weights->dims[2 + k], strides[k], dilations[k], extra[k]};
        TRY(transposed_axis(c, &t, w, i));
        bool same = mode == 'U' || mode == 'L';
        int64_t output = fixed ? outputs[k] : same ? t.input * t.stride : full_output(&t) - pads[k] - pads[rank + k];
        int64_t pad = fixed || same ? pad_for(&t, output, mode) : mode == 'V' ? 0 : pads[k];
        w->output[i] = mode == 'V' && !fixed ? full_output(&t) : output;
        w->pad[i] = (t.kernel - 1) * t.dilation - pad;
    }
    return STATUS_OK;
}

static enum status shapes_conv_transpose(struct op_context *c)
{
    struct window w;
    int64_t groups, channels;
    TRY(op_conv_transpose_window(c, &w, &groups));
    const struct value *x = op_input(c, 0), *weights = op_input(c, 1);
    if (__builtin_mul_overflow(weights->dims[1], groups, &channels))
        return op_error(c, STATUS_INVALID_MODEL, "%lld groups make no sense", (long long)groups);
    TRY(check_operands(c, channels));
    return op_window_output(c, x->dtype, x->dims[0], channels, x->rank - 2, &w);
}

static enum status lower_conv_transpose(struct op_context *c)
{
    struct conv_params params = {0};
    TRY(op_conv_transpose_window(c, &params.window, &params.groups));
    const struct value *weights = op_input(c, 1);
    struct image_strides strides = op_image_strides(weights);
    params.weight_output = strides.channel;
    params.weight_input = strides.batch;
    params.weight_group = weights->dims[0] / params.groups * strides.batch;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        params.weight_spatial[i] = -strides.spatial[i];
        params.weight_offset += (params.window.kernel[i] - 1) * strides.spatial[i];
    }
    return emit_conv(c, &params, (struct value *[]){op_input(c, 2), NULL, NULL});
}

OPERATOR(ConvTranspose, 2, 3, 1, 1, shapes_conv_transpose, .flags = OP_HALF_AS_F32, .lower = lower_conv_transpose)
