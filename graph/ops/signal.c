/* Fourier transforms, window functions and the mel scale. */
#include "graph/ops/tools.h"
#include "kernels/dft.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

/* --- DFT ---------------------------------------------------------------------------------------------------------- */

struct dft {
    int axis;
    int64_t length, bins;
    int parts_out;
    bool inverse, half;
};

static enum status read_dft(struct op_context *c, struct dft *dft)
{
    const struct value *signal = op_input(c, 0);
    int64_t axis = op_int(c, "axis"), length;
    int count;
    bool one_sided = op_int(c, "onesided") != 0;
    TRY(op_require_rank(c, 0, 2, MAX_RANK));
    if (c->node->version >= 20) { /* an input since then, and another default */
        axis = -2;
        TRY(op_ints(c, 2, 1, &axis, &count));
    }
    TRY(op_axis(c, "axis", axis, signal->rank, &dft->axis));
    int64_t parts = signal->dims[signal->rank - 1];
    if (dft->axis == signal->rank - 1 || parts < 1 || parts > 2)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the last axis must hold one or two parts of each number");
    dft->inverse = op_int(c, "inverse") != 0;
    dft->half = dft->inverse && one_sided;
    TRY(op_ints(c, 1, 1, &length, &count));
    int64_t along = signal->dims[dft->axis];
    dft->length = count == 1 ? length : dft->half ? 2 * (along - 1) : along;
    if (dft->length < 1 || dft->length > INT32_MAX)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the length of the transform is %lld", (long long)dft->length);
    dft->bins = one_sided && !dft->inverse ? dft->length / 2 + 1 : dft->length;
    dft->parts_out = dft->half ? 1 : 2;
    return STATUS_OK;
}

static enum status shapes_dft(struct op_context *c)
{
    const struct value *signal = op_input(c, 0);
    struct dft dft;
    int64_t dims[MAX_RANK];
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(read_dft(c, &dft));
    memcpy(dims, signal->dims, sizeof dims);
    dims[dft.axis] = dft.bins;
    dims[signal->rank - 1] = dft.parts_out;
    return op_set_output(c, 0, signal->dtype, signal->rank, dims);
}

struct value *op_roots_of_unity(struct op_context *c, int64_t length)
{
    double *roots = region_array(c->graph->region, (size_t)length, 2 * sizeof *roots);
    for (int64_t k = 0; roots && k < length; k++) {
        double angle = -2 * PI * (double)k / (double)length;
        roots[2 * k] = cos(angle);
        roots[2 * k + 1] = sin(angle);
    }
    return roots ? graph_add_constant(c->graph, "", DTYPE_F64, 2, (int64_t[]){length, 2}, roots) : NULL;
}

static enum status emit_dft(struct op_context *c, const struct dft *dft, struct value *signal, struct value *output)
{
    struct value *inputs[2] = {signal, op_roots_of_unity(c, dft->length)};
    struct axis_split split = op_split_at(signal, dft->axis);
    int parts = (int)signal->dims[signal->rank - 1];
    struct dft_params params = {.outer = split.outer,
                                .count = split.count,
                                .inner = split.inner / parts,
                                .length = dft->length,
                                .bins = dft->bins,
                                .parts = parts,
                                .parts_out = dft->parts_out,
                                .inverse = dft->inverse,
                                .half = dft->half,
                                .dtype = (uint8_t)signal->dtype};
    if (value_elements(output) == 0)
        return STATUS_OK;
    if (!inputs[1])
        return op_no_memory(c);
    return op_emit(c, FAMILY_dft, &params, sizeof params, 2, inputs, 1, &output, 0);
}

static enum status lower_dft(struct op_context *c)
{
    struct dft dft;
    TRY(read_dft(c, &dft));
    return emit_dft(c, &dft, op_input(c, 0), op_output(c, 0));
}

OPERATOR(DFT, 1, 3, 1, 1, shapes_dft, .lower = lower_dft, .flags = OP_HALF_AS_F32)

/* --- STFT --------------------------------------------------------------------------------------------------------- */

struct frames {
    int64_t count, step, length;
};

/* Of each number of the signal: two where it is complex. An axis of one may be left out, as PyTorch's exporter does. */
static int64_t signal_parts(const struct value *signal)
{
    return signal->rank == 2 ? 1 : signal->dims[2];
}

static enum status read_frames(struct op_context *c, struct frames *frames)
{
    const struct value *signal = op_input(c, 0), *window = op_input(c, 2);
    int count;
    TRY(op_require_rank(c, 0, 2, 3));
    TRY(op_ints(c, 1, 1, &frames->step, &count));
    if (count != 1 || frames->step < 1)
        return op_error(c, STATUS_INVALID_ARGUMENT, "frame_step must be one positive number");
    TRY(op_ints(c, 3, 1, &frames->length, &count));
    if (count < 1)
        frames->length = window ? window->dims[0] : signal->dims[1];
    if (window && window->dims[0] != frames->length)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the window has %lld elements, a frame %lld",
                        (long long)window->dims[0], (long long)frames->length);
    if (frames->length < 1 || frames->length > signal->dims[1])
        return op_error(c, STATUS_INVALID_ARGUMENT, "frames of %lld do not fit a signal of %lld",
                        (long long)frames->length, (long long)signal->dims[1]);
    frames->count = (signal->dims[1] - frames->length) / frames->step + 1;
    if (frames->count == 1)
        frames->step = 1; /* never taken, and then not too large to multiply either */
    return STATUS_OK;
}

static enum status shapes_stft(struct op_context *c)
{
    const struct value *signal = op_input(c, 0);
    struct frames frames;
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_allow(c, 2, TYPE(signal->dtype)));
    if (op_input(c, 2))
        TRY(op_require_rank(c, 2, 1, 1));
    TRY(read_frames(c, &frames));
    if (signal_parts(signal) < 1 || signal_parts(signal) > 2)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the last axis must hold one or two parts of each number");
    int64_t bins = op_int(c, "onesided") ? frames.length / 2 + 1 : frames.length;
    return op_set_output(c, 0, signal->dtype, 4, (int64_t[]){signal->dims[0], frames.count, bins, 2});
}

static enum status multiply_window(struct op_context *c, struct value *framed, struct value *window,
                                   struct value *weighted)
{
    struct value *column = op_view(c, window, 2, (int64_t[]){window->dims[0], 1});
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    if (!column)
        return op_no_memory(c);
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_MUL, .register_class = (uint8_t)pointwise_class_of(framed->dtype),
                               .target = 2, .a = 0, .b = 1));
    params.operands[2].reg = 2;
    return op_pointwise(c, &params, (struct value *[]){framed, column}, &weighted);
}

/* Frames cut out one after the other, weighted, transformed. */
static enum status lower_stft(struct op_context *c)
{
    struct value *signal = op_input(c, 0), *window = op_input(c, 2), *output = op_output(c, 0);
    struct frames frames;
    TRY(read_frames(c, &frames));
    int64_t parts = signal_parts(signal), dims[4] = {signal->dims[0], frames.count, frames.length, parts};
    struct value *framed = op_temporary(c, signal->dtype, 4, dims);
    struct value *weighted = window ? op_temporary(c, signal->dtype, 4, dims) : framed;
    if (!framed || !weighted)
        return op_no_memory(c);
    struct copy_params params = {.rank = 3,
                                 .dims = {dims[0], frames.count, frames.length * parts},
                                 .input_strides = {signal->dims[1] * parts, frames.step * parts, 1}};
    contiguous_strides(3, params.dims, params.output_strides);
    TRY(op_copy(c, signal, framed, &params));
    if (window)
        TRY(multiply_window(c, framed, window, weighted));
    struct dft dft = {.axis = 2, .length = frames.length, .bins = output->dims[2], .parts_out = 2};
    return emit_dft(c, &dft, weighted, output);
}

OPERATOR(STFT, 2, 4, 1, 1, shapes_stft, .lower = lower_stft, .flags = OP_HALF_AS_F32)

/* --- window functions --------------------------------------------------------------------------------------------- */

static enum status numeric_result(struct op_context *c, enum dtype *dtype)
{
    *dtype = (enum dtype)op_int(c, "output_datatype");
    if (*dtype < DTYPE_COUNT && (TYPES_NUMERIC & TYPE(*dtype)))
        return STATUS_OK;
    return op_type_error(c, STATUS_UNSUPPORTED, "a result of type %s is not supported", dtype_name(*dtype));
}

static enum status shapes_window(struct op_context *c)
{
    enum dtype dtype;
    int64_t size;
    int count;
    TRY(numeric_result(c, &dtype));
    TRY(op_ints(c, 0, 1, &size, &count));
    if (count != 1)
        return op_error(c, STATUS_INVALID_MODEL, "the size must be one number");
    return op_set_output(c, 0, dtype, 1, &size);
}

/* `data` of f64 becomes the output, converted. */
static enum status deliver(struct op_context *c, const double *data)
{
    struct value *output = op_output(c, 0);
    struct value *numbers = graph_add_constant(c->graph, "", DTYPE_F64, output->rank, output->dims, data);
    return numbers ? op_cast(c, numbers, output, true) : op_no_memory(c);
}

/* weights[0] + weights[1] cos x + weights[2] cos 2x, over one period of x. */
static enum status lower_window(struct op_context *c)
{
    static const double kinds[3][3] = {{0.5, -0.5, 0}, {25.0 / 46, -21.0 / 46, 0}, {0.42, -0.5, 0.08}};
    const double *weights = kinds[c->node->op->detail];
    int64_t size = op_output(c, 0)->dims[0], period = op_int(c, "periodic") ? size : size - 1;
    double *data = region_array(c->graph->region, (size_t)size, sizeof *data);
    if (!data)
        return op_no_memory(c);
    for (int64_t i = 0; i < size; i++) {
        double x = 2 * PI * (double)i / (double)(period > 0 ? period : 1);
        data[i] = weights[0] + weights[1] * cos(x) + weights[2] * cos(2 * x);
    }
    return deliver(c, data);
}

OPERATOR(HannWindow, 1, 1, 1, 1, shapes_window, .lower = lower_window, .detail = 0)
OPERATOR(HammingWindow, 1, 1, 1, 1, shapes_window, .lower = lower_window, .detail = 1)
OPERATOR(BlackmanWindow, 1, 1, 1, 1, shapes_window, .lower = lower_window, .detail = 2)

/* --- MelWeightMatrix ---------------------------------------------------------------------------------------------- */

struct mel {
    int64_t bands, length, rate; /* length: of the transform whose bins are weighted */
    double low, high;            /* hertz */
};

static enum status read_mel(struct op_context *c, struct mel *mel)
{
    int64_t whole[3];
    double edges[2];
    for (int i = 0, count; i < 5; i++) {
        TRY(i < 3 ? op_ints(c, i, 1, &whole[i], &count) : op_doubles(c, i, 1, &edges[i - 3], &count));
        if (count != 1)
            return op_error(c, STATUS_INVALID_MODEL, "input %d must be a scalar", i);
    }
    *mel = (struct mel){whole[0], whole[1], whole[2], edges[0], edges[1]};
    if (mel->bands < 0 || mel->bands > INT32_MAX || mel->length < 0 || mel->length > INT32_MAX || mel->rate < 1 ||
        !(mel->low >= 0 && mel->high >= mel->low && mel->high < 0x1p30))
        return op_error(c, STATUS_INVALID_ARGUMENT,
                        "the numbers of bands, of samples or the frequencies make no sense");
    return STATUS_OK;
}

static enum status shapes_mel(struct op_context *c)
{
    struct mel mel;
    enum dtype dtype;
    TRY(numeric_result(c, &dtype));
    TRY(read_mel(c, &mel));
    return op_set_output(c, 0, dtype, 2, (int64_t[]){mel.length / 2 + 1, mel.bands});
}

/* The bin of the spectrum in which edge `edge` of the bands' triangles lies; edges are evenly spaced in mel. */
static int64_t mel_bin(const struct mel *mel, int64_t edge)
{
    double low = 2595 * log10(1 + mel->low / 700), high = 2595 * log10(1 + mel->high / 700);
    double hertz = 700 * (pow(10, (low + (double)edge * (high - low) / (double)(mel->bands + 2)) / 2595) - 1);
    return (int64_t)floor((double)(mel->length + 1) * hertz / (double)mel->rate);
}

/* Band i is a triangle over the bins from edge i to edge i + 2 with its peak at edge i + 1. */
static enum status lower_mel(struct op_context *c)
{
    struct mel mel;
    TRY(read_mel(c, &mel));
    int64_t bins = mel.length / 2 + 1;
    double *data = region_array(c->graph->region, (size_t)bins * (size_t)mel.bands, sizeof *data);
    if (!data)
        return op_no_memory(c);
    for (int64_t i = 0; i < mel.bands; i++) {
        int64_t left = mel_bin(&mel, i), peak = mel_bin(&mel, i + 1), right = mel_bin(&mel, i + 2);
        if (peak >= bins || right > bins)
            return op_error(c, STATUS_INVALID_ARGUMENT, "band %lld passes half the sample rate", (long long)i);
        for (int64_t k = left; k <= peak; k++)
            data[k * mel.bands + i] = peak == left ? 1 : (double)(k - left) / (double)(peak - left);
        for (int64_t k = peak; k < right; k++)
            data[k * mel.bands + i] = (double)(right - k) / (double)(right - peak);
    }
    return deliver(c, data);
}

OPERATOR(MelWeightMatrix, 5, 5, 1, 1, shapes_mel, .lower = lower_mel)
