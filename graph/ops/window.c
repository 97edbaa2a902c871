#include "graph/ops/window.h"

#include <string.h>

enum status op_window_list(struct op_context *c, const char *name, int count, int64_t lowest, int64_t fallback,
                           int64_t *values)
{
    int given;
    const int64_t *list = op_int_list(c, name, &given);
    if (given >= 0 && given != count)
        return op_error(c, STATUS_INVALID_MODEL, "%s has %d entries; it must have %d", name, given, count);
    for (int i = 0; i < count; i++) {
        values[i] = list ? list[i] : fallback;
        if (values[i] < lowest || values[i] > INT32_MAX)
            return op_error(c, STATUS_INVALID_MODEL, "%s holds %lld; it must be %lld to %d", name, (long long)values[i],
                            (long long)lowest, INT32_MAX);
    }
    return STATUS_OK;
}

enum status op_auto_pad(struct op_context *c, char *mode)
{
    static const struct {
        const char *name;
        char mode;
    } modes[] = {{"NOTSET", 'N'}, {"", 'N'}, {"VALID", 'V'}, {"SAME_UPPER", 'U'}, {"SAME_LOWER", 'L'}};
    const char *name = op_string_or(c, "auto_pad", "NOTSET");
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        *mode = modes[i].mode;
        if (strcmp(name, modes[i].name) == 0)
            return STATUS_OK;
    }
    return op_error(c, STATUS_INVALID_MODEL, "auto_pad is '%s', which is not one of ONNX's modes", name);
}

struct window op_unit_window(void)
{
    struct window w = {0};
    for (int i = 0; i < SPATIAL_AXES; i++)
        w.input[i] = w.output[i] = w.kernel[i] = w.stride[i] = w.dilation[i] = w.spread[i] = 1;
    return w;
}

/* Output size and padding of one axis under auto_pad. */
static void pad_automatically(struct window *w, int i, int64_t extent, char mode)
{
    w->pad[i] = w->pad_after[i] = 0;
    if (mode == 'V') {
        int64_t room = w->input[i] - extent;
        w->output[i] = room < 0 ? 0 : room / w->stride[i] + 1;
        return;
    }
    w->output[i] = (w->input[i] + w->stride[i] - 1) / w->stride[i];
    int64_t total = (w->output[i] - 1) * w->stride[i] + extent - w->input[i];
    total = total > 0 ? total : 0;
    w->pad[i] = mode == 'U' ? total / 2 : total - total / 2;
    w->pad_after[i] = total - w->pad[i];
}

/* Output size of one axis with the padding given. */
static void count_positions(struct window *w, int i, int64_t extent, bool ceil_mode)
{
    int64_t room = w->input[i] + w->pad[i] + w->pad_after[i] - extent;
    w->output[i] = room < 0 ? 0 : room / w->stride[i] + 1;
    if (!ceil_mode || room < 0)
        return;
    if (room % w->stride[i] != 0)
        w->output[i]++; /* one more, which sticks out at the end */
    if ((w->output[i] - 1) * w->stride[i] >= w->input[i] + w->pad[i])
        w->output[i]--; /* but none that starts in the padding there */
}

enum status op_window(struct op_context *c, int rank, const int64_t *input, const int64_t *kernel, struct window *w)
{
    int64_t strides[SPATIAL_AXES], dilations[SPATIAL_AXES], pads[2 * SPATIAL_AXES];
    bool ceil_mode = op_int(c, "ceil_mode") != 0;
    char mode;
    if (rank < 1 || rank > SPATIAL_AXES)
        return op_error(c, STATUS_UNSUPPORTED, "the input has %d spatial axes; 1 to %d are supported", rank,
                        SPATIAL_AXES);
    TRY(op_auto_pad(c, &mode));
    TRY(op_window_list(c, "strides", rank, 1, 1, strides));
    TRY(op_window_list(c, "dilations", rank, 1, 1, dilations));
    TRY(op_window_list(c, "pads", 2 * rank, 0, 0, pads));
    *w = op_unit_window();
    for (int k = 0; k < rank; k++) {
        int i = SPATIAL_AXES - rank + k;
        if (kernel[k] < 1 || kernel[k] > INT32_MAX || input[k] > INT32_MAX)
            return op_error(c, STATUS_INVALID_MODEL, "a window of %lld over %lld elements makes no sense",
                            (long long)kernel[k], (long long)input[k]);
        w->input[i] = input[k];
        w->kernel[i] = kernel[k];
        w->stride[i] = strides[k];
        w->dilation[i] = dilations[k];
        w->pad[i] = pads[k];
        w->pad_after[i] = pads[rank + k];
        int64_t extent = (kernel[k] - 1) * dilations[k] + 1;
        int64_t room = input[k] + (mode == 'N' ? pads[k] + pads[rank + k] : 0);
        if ((mode == 'N' || mode == 'V') && input[k] > 0 && extent > room)
            return op_error(c, STATUS_INVALID_ARGUMENT,
                            "a window of %lld elements is larger than the %lld it slides over", (long long)extent,
                            (long long)room);
        if (mode == 'N')
            count_positions(w, i, extent, ceil_mode);
        else
            pad_automatically(w, i, extent, mode);
    }
    return STATUS_OK;
}

enum status op_window_output(struct op_context *c, enum dtype dtype, int64_t batch, int64_t channels, int rank,
                             const struct window *w)
{
    int64_t dims[2 + SPATIAL_AXES] = {batch, channels};
    for (int i = 0; i < rank; i++)
        dims[2 + i] = w->output[SPATIAL_AXES - rank + i];
    TRY(op_set_output(c, 0, dtype, 2 + rank, dims));
    return op_set_output(c, 1, DTYPE_I64, 2 + rank, dims);
}

struct image_strides op_image_strides(const struct value *value)
{
    int64_t strides[MAX_RANK];
    contiguous_strides(value->rank, value->dims, strides);
    struct image_strides image = {.batch = strides[0], .channel = strides[1]};
    for (int i = 2; i < value->rank; i++)
        image.spatial[SPATIAL_AXES - value->rank + i] = strides[i];
    return image;
}
