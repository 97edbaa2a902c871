/* Resize and Upsample: one axis at a time, since interpolation is separable. Nearest neighbours are a gather, weighted
 * sums a resample step, both with tables that are made here. */
#include "graph/ops/resize.h"
#include "graph/ops/tools.h"
#include "kernels/resample.h"

#include <math.h>
#include <string.h>

static const char *const modes[] = {"nearest", "linear", "cubic", NULL};

static const char *const coordinate_names[] = {
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
    "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL,
};

static const char *const nearest_names[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};

/* --- attributes and inputs ---------------------------------------------------------------------------------------- */

static enum status choice(struct op_context *c, const char *attribute, const char *const *names, int *chosen)
{
    const char *name = op_string(c, attribute);
    for (*chosen = 0; names[*chosen]; ++*chosen)
        if (strcmp(name, names[*chosen]) == 0)
            return STATUS_OK;
    return op_error(c, STATUS_UNSUPPORTED, "%s is '%s', which is not supported", attribute, name);
}

/* Upsample, and Resize as it first was. */
static bool is_old(const struct op_context *c)
{
    return c->node->version < 11 || strcmp(c->node->op->name, "Upsample") == 0;
}

static enum status read_attributes(struct op_context *c, struct resize *resize)
{
    int mode, coordinates = ASYMMETRIC, nearest = FLOOR;
    bool old = is_old(c);
    TRY(choice(c, "mode", modes, &mode));
    if (!old) {
        TRY(choice(c, "coordinate_transformation_mode", coordinate_names, &coordinates));
        TRY(choice(c, "nearest_mode", nearest_names, &nearest));
    }
    resize->mode = (enum resize_mode)mode;
    resize->coordinates = (enum coordinates)coordinates;
    resize->nearest = (enum nearest)nearest;
    resize->shrink_by_ceil = old;
    resize->antialias = op_int(c, "antialias") != 0;
    resize->exclude_outside = op_int(c, "exclude_outside") != 0;
    resize->cubic_a = (double)op_float(c, "cubic_coeff_a");
    if (resize->antialias && resize->mode == MODE_NEAREST)
        return op_error(c, STATUS_INVALID_MODEL, "antialias does not go with mode nearest");
    return STATUS_OK;
}

/* The factors; count is 0 or -1 where sizes are given instead. */
static enum status read_scales(struct op_context *c, double *scales, int *count)
{
    const float *list = op_float_list(c, "scales", count);
    if (!list)
        TRY(op_doubles(c, is_old(c) ? 1 : 2, MAX_RANK, scales, count));
    if (*count > MAX_RANK)
        return op_error(c, STATUS_INVALID_MODEL, "%d scales are given; at most %d make sense", *count, MAX_RANK);
    for (int i = 0; i < *count; i++) {
        scales[i] = list ? (double)list[i] : scales[i];
        if (!(scales[i] > 0 && scales[i] < 0x1p40))
            return op_error(c, STATUS_INVALID_ARGUMENT, "scale %d is %g", i, scales[i]);
    }
    return STATUS_OK;
}

static enum status apply_scales(struct op_context *c, struct resize *resize, const double *scales, int count,
                                const int *axes)
{
    for (int i = 0; i < count; i++) {
        struct axis_geometry *g = &resize->axes[axes[i]];
        /* In single precision, as exporters compute it: 0.7f * 10 is 7 there. */
        float width = (float)g->input * (float)scales[i];
        if (!(width < 0x1p57f))
            return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d of the result is too large", axes[i]);
        g->scale = scales[i];
        g->width = (double)width;
        g->output = (int64_t)floorf(width);
    }
    return STATUS_OK;
}

static enum status apply_sizes(struct op_context *c, struct resize *resize, const int64_t *sizes, int count,
                               const int *axes)
{
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
    int policy;
    double common = 0;
    TRY(choice(c, "keep_aspect_ratio_policy", policies, &policy));
    for (int i = 0; i < count; i++) {
        struct axis_geometry *g = &resize->axes[axes[i]];
        if (sizes[i] < 0 || (g->input == 0 && sizes[i] > 0))
            return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d cannot be resized from %lld to %lld", axes[i],
                            (long long)g->input, (long long)sizes[i]);
        g->scale = g->input == 0 ? 1 : (double)sizes[i] / (double)g->input;
        g->output = sizes[i];
        g->width = (double)sizes[i];
        g->exact = policy == 0 && g->input <= LONGEST_EXACT && g->output <= LONGEST_EXACT;
        if (i == 0 || (policy == 1 ? g->scale < common : g->scale > common))
            common = g->scale;
    }
    for (int i = 0; i < count && policy != 0; i++) {
        struct axis_geometry *g = &resize->axes[axes[i]];
        g->scale = common;
        g->width = common * (double)g->input;
        g->output = (int64_t)floor(common * (double)g->input + 0.5);
    }
    return STATUS_OK;
}

static enum status read_region(struct op_context *c, struct resize *resize, int count, const int *axes)
{
    double roi[2 * MAX_RANK];
    int given;
    TRY(op_doubles(c, 1, 2 * MAX_RANK, roi, &given));
    if (given != 2 * count)
        return op_error(c, STATUS_INVALID_MODEL, "roi must have %d entries", 2 * count);
    for (int i = 0; i < count; i++) {
        resize->axes[axes[i]].start = roi[i];
        resize->axes[axes[i]].end = roi[count + i];
    }
    return STATUS_OK;
}

/* Nearest neighbours within a shape that stays are the elements themselves, says ONNX Runtime, even by scales that are
 * not quite 1. */
static void keep_elements(struct resize *resize, int rank)
{
    bool stays = resize->mode == MODE_NEAREST && resize->coordinates != TF_CROP_AND_RESIZE;
    for (int i = 0; i < rank; i++)
        stays = stays && resize->axes[i].input == resize->axes[i].output;
    for (int i = 0; i < rank && stays; i++)
        resize->axes[i].scale = 1;
}

static enum status read_resize(struct op_context *c, struct resize *resize)
{
    const struct value *input = op_input(c, 0);
    double scales[MAX_RANK];
    int64_t sizes[MAX_RANK];
    int axes[MAX_RANK], axis_count, scale_count, size_count;
    TRY(read_attributes(c, resize));
    TRY(op_axes(c, "axes", 4, input->rank, axes, &axis_count));
    for (int i = 0; i < input->rank && axis_count < 0; i++)
        axes[i] = i;
    axis_count = axis_count < 0 ? input->rank : axis_count;
    for (int i = 0; i < input->rank; i++)
        resize->axes[i] = (struct axis_geometry){
            .input = input->dims[i], .output = input->dims[i], .scale = 1, .width = (double)input->dims[i], .end = 1};
    TRY(read_scales(c, scales, &scale_count));
    TRY(op_ints(c, 3, MAX_RANK, sizes, &size_count));
    if ((scale_count > 0 ? scale_count : size_count) != axis_count)
        return op_error(c, STATUS_INVALID_MODEL, "there must be as many scales or sizes as axes, which are %d",
                        axis_count);
    TRY(scale_count > 0 ? apply_scales(c, resize, scales, axis_count, axes)
                        : apply_sizes(c, resize, sizes, axis_count, axes));
    keep_elements(resize, input->rank);
    return resize->coordinates == TF_CROP_AND_RESIZE ? read_region(c, resize, axis_count, axes) : STATUS_OK;
}

static enum status shapes_resize(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    struct resize resize;
    int64_t dims[MAX_RANK];
    TRY(read_resize(c, &resize));
    TRY(op_require(c, 0, resize.mode == MODE_NEAREST ? TYPES_FIXED : TYPES_NUMERIC));
    for (int i = 0; i < input->rank; i++)
        dims[i] = resize.axes[i].output;
    return op_set_output(c, 0, input->dtype, input->rank, dims);
}

/* --- coordinates and weights -------------------------------------------------------------------------------------- */

/* Where position x of the output lies on the input's axis. The formulas are those of the operator's specification. */
static double source_of(const struct resize *resize, const struct axis_geometry *g, int64_t position)
{
    double x = (double)position, n = (double)g->input;
    switch (resize->coordinates) {
    case ALIGN_CORNERS:
        return g->width == 1 ? 0 : x * (n - 1) / (g->width - 1);
    case ASYMMETRIC:
        return x / g->scale;
    case TF_HALF_PIXEL_FOR_NN:
        return (x + 0.5) / g->scale;
    case TF_CROP_AND_RESIZE:
        if (g->width == 1)
            return 0.5 * (g->start + g->end) * (n - 1);
        return g->start * (n - 1) + x * (g->end - g->start) * (n - 1) / (g->width - 1);
    case PYTORCH_HALF_PIXEL:
        return g->output > 1 ? (x + 0.5) / g->scale - 0.5 : 0;
    case HALF_PIXEL_SYMMETRIC:
        return n / 2 * (1 - (double)g->output / g->width) + (x + 0.5) / g->scale - 0.5;
    default:
        return (x + 0.5) / g->scale - 0.5;
    }
}

/* --- weighted sums ------------------------------------------------------------------------------------------------ */

/* The weight of a neighbour at a distance: a triangle, or Keys' cubic convolution with parameter a. */
static double weight_at(const struct resize *resize, double distance)
{
    double d = fabs(distance), a = resize->cubic_a;
    if (resize->mode == MODE_LINEAR)
        return d < 1 ? 1 - d : 0;
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* Antialiasing widens the kernel where the image shrinks. */
static double stretch_of(const struct resize *resize, const struct axis_geometry *g)
{
    return resize->antialias && g->scale < 1 ? g->scale : 1;
}

static int64_t taps_of(const struct resize *resize, const struct axis_geometry *g)
{
    double radius = (resize->mode == MODE_CUBIC ? 2 : 1) / stretch_of(resize, g);
    return 2 * (int64_t)ceil(radius);
}

/* Places and weights for one position of the output. Places past an edge repeat it. */
static void fill_taps(const struct resize *resize, const struct axis_geometry *g, double x, int64_t taps,
                      int32_t *places, double *weights)
{
    double stretch = stretch_of(resize, g), first = floor(x) - (double)(taps / 2 - 1), sum = 0;
    for (int64_t tap = 0; tap < taps; tap++) {
        double place = first + (double)tap;
        bool outside = place < 0 || place > (double)(g->input - 1);
        places[tap] = (int32_t)resize_clamp(place, g->input);
        weights[tap] = outside && resize->exclude_outside ? 0 : weight_at(resize, (place - x) * stretch);
        sum += weights[tap];
    }
    if (resize->antialias || resize->exclude_outside)
        for (int64_t tap = 0; tap < taps; tap++)
            weights[tap] /= sum;
}

/* --- lowering ----------------------------------------------------------------------------------------------------- */

static enum status resize_nearest(struct op_context *c, const struct resize *resize, int axis, struct value *input,
                                  struct value *output)
{
    const struct axis_geometry *g = &resize->axes[axis];
    int64_t *places = region_array(c->graph->region, (size_t)g->output, sizeof *places);
    if (!places)
        return op_no_memory(c);
    for (int64_t i = 0; i < g->output; i++)
        places[i] = resize_neighbour(resize, g, i);
    struct value *indices = graph_add_constant(c->graph, "", DTYPE_I64, 1, &g->output, places);
    return indices ? op_take(c, input, output, axis, indices) : op_no_memory(c);
}

static enum status resize_weighted(struct op_context *c, const struct resize *resize, int axis, struct value *input,
                                   struct value *output)
{
    const struct axis_geometry *g = &resize->axes[axis];
    int64_t taps = taps_of(resize, g);
    size_t entries, count = (size_t)g->output;
    struct region *region = c->graph->region;
    if (g->input > INT32_MAX)
        return op_error(c, STATUS_UNSUPPORTED, "an axis of %lld elements is too long", (long long)g->input);
    int32_t *places = multiply_size(count, (size_t)taps, &entries) ? region_array(region, entries, 4) : NULL;
    double *weights = places ? region_array(region, entries, sizeof *weights) : NULL;
    float *single = weights ? region_array(region, entries, sizeof *single) : NULL;
    if (!single)
        return op_no_memory(c);
    for (int64_t i = 0; i < g->output; i++)
        fill_taps(resize, g, source_of(resize, g, i), taps, places + i * taps, weights + i * taps);
    for (size_t i = 0; i < entries; i++)
        single[i] = (float)weights[i];
    bool wide = input->dtype == DTYPE_F64;
    int64_t dims[2] = {g->output, taps};
    struct value *inputs[3] = {
        input, graph_add_constant(c->graph, "", DTYPE_I32, 2, dims, places),
        graph_add_constant(c->graph, "", input->dtype, 2, dims, wide ? (const void *)weights : single)};
    if (!inputs[1] || !inputs[2])
        return op_no_memory(c);
    struct axis_split split = op_split_at(input, axis);
    struct resample_params params = {.outer = split.outer,
                                     .input = split.count,
                                     .output = g->output,
                                     .inner = split.inner,
                                     .taps = taps,
                                     .dtype = (uint8_t)input->dtype};
    return op_emit(c, FAMILY_resample, &params, sizeof params, 3, inputs, 1, &output, 0);
}

static bool changes(const struct resize *resize, const struct axis_geometry *g)
{
    bool whole = resize->coordinates != TF_CROP_AND_RESIZE || (g->start == 0 && g->end == 1);
    bool shifts = resize->coordinates == TF_HALF_PIXEL_FOR_NN && resize->mode != MODE_NEAREST;
    return g->scale != 1 || g->input != g->output || !whole || shifts;
}

/* The axis to resize next: the one that grows least, so that the others have less to do. -1: none is left. */
static int next_axis(const struct resize *resize, int rank, unsigned done)
{
    int best = -1;
    for (int i = 0; i < rank; i++)
        if (!(done & 1u << i) && changes(resize, &resize->axes[i]) &&
            (best < 0 || resize->axes[i].scale <= resize->axes[best].scale))
            best = i;
    return best;
}

/* How often each element of an axis comes in a row, where nearest neighbours are just that; 0 where they are not. */
static int64_t repetitions(const struct resize *resize, const struct axis_geometry *g)
{
    if (!changes(resize, g))
        return 1;
    int64_t times = g->input > 0 ? g->output / g->input : 0;
    if (times * g->input != g->output)
        return 0;
    for (int64_t i = 0; i < g->output; i++)
        if (resize_neighbour(resize, g, i) != i / times)
            return 0;
    return times;
}

/* Nearest neighbours by whole factors: one copy that walks each element several times. */
static bool repeat_params(const struct resize *resize, const struct value *input, const struct value *output,
                          struct copy_params *params)
{
    int64_t from[MAX_RANK], to[MAX_RANK];
    contiguous_strides(input->rank, input->dims, from);
    contiguous_strides(output->rank, output->dims, to);
    *params = (struct copy_params){.rank = 0};
    for (int i = 0; i < input->rank; i++) {
        int64_t times = repetitions(resize, &resize->axes[i]);
        const int64_t dims[] = {input->dims[i], times}, reads[] = {from[i], 0}, writes[] = {times * to[i], to[i]};
        for (int k = 0; k < (times == 1 ? 1 : 2); k++) {
            if (times == 0 || params->rank == MAX_RANK)
                return false;
            params->dims[params->rank] = dims[k];
            params->input_strides[params->rank] = reads[k];
            params->output_strides[params->rank++] = writes[k];
        }
    }
    return true;
}

static enum status resize_axes(struct op_context *c, const struct resize *resize, struct value *input,
                               struct value *output)
{
    struct value *current = input;
    int64_t dims[MAX_RANK];
    unsigned done = 0;
    memcpy(dims, input->dims, sizeof dims);
    int axis = next_axis(resize, input->rank, done);
    struct copy_params repeat;
    if (axis < 0)
        return op_alias(c, output, input, 0);
    if (resize->mode == MODE_NEAREST && dtype_bits(input->dtype) >= 8 && repeat_params(resize, input, output, &repeat))
        return op_copy(c, input, output, &repeat);
    while (axis >= 0) {
        done |= 1u << axis;
        dims[axis] = resize->axes[axis].output;
        int following = next_axis(resize, input->rank, done);
        struct value *next = following < 0 ? output : op_temporary(c, input->dtype, input->rank, dims);
        if (!next)
            return op_no_memory(c);
        TRY((resize->mode == MODE_NEAREST ? resize_nearest : resize_weighted)(c, resize, axis, current, next));
        current = next;
        axis = following;
    }
    return STATUS_OK;
}

/* Rows [first, last) of an axis get the value that stands for what lies outside the image. */
static enum status fill_rows(struct op_context *c, struct value *output, int axis, int64_t first, int64_t last)
{
    struct value *outside = op_constant_scalar(c, output->dtype, (double)op_float(c, "extrapolation_value"));
    struct axis_split split = op_split_at(output, axis);
    if (!outside)
        return op_no_memory(c);
    struct copy_params params = {.rank = 2,
                                 .dims = {split.outer, (last - first) * split.inner},
                                 .output_offset = first * split.inner,
                                 .output_strides = {split.count * split.inner, 1}};
    return op_copy(c, outside, output, &params);
}

static enum status fill_outside(struct op_context *c, const struct resize *resize, struct value *output)
{
    for (int axis = 0; axis < output->rank; axis++) {
        const struct axis_geometry *g = &resize->axes[axis];
        int64_t first = -1; /* of the run of outside rows that is being walked */
        for (int64_t i = 0; i <= g->output; i++) {
            bool outside = i < g->output && resize_is_outside(resize, g, i);
            if (outside && first < 0)
                first = i;
            if (outside || first < 0)
                continue;
            TRY(fill_rows(c, output, axis, first, i));
            first = -1;
        }
    }
    return STATUS_OK;
}

/* To the nearest integer that the type has. */
static enum status round_to_integers(struct op_context *c, struct value *input, struct value *output)
{
    uint8_t from = (uint8_t)pointwise_class_of(input->dtype), to = (uint8_t)pointwise_class_of(output->dtype);
    struct pointwise_builder params = {.input_count = 1, .output_count = 1};
    double low, high;
    op_integer_range(output->dtype, &low, &high);
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_ROUND, .register_class = from, .target = 1, .a = 0));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_CLAMP, .register_class = from, .target = 1, .a = 1,
                                        .immediate = {low, high}));
    op_instruction(&params, INSTRUCTION(.opcode = to == CLASS_U64 ? POINTWISE_TO_U64 : POINTWISE_TO_I64,
                                        .register_class = from, .target = 2, .a = 1));
    params.operands[1].reg = 2;
    return op_pointwise(c, &params, &input, &output);
}

/* Weighted sums are made in f32, or f64 where the type holds more than f32 does. */
static enum status lower_weighted(struct op_context *c, const struct resize *resize)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    if (TYPES_F32_F64 & TYPE(input->dtype))
        return resize_axes(c, resize, input, output);
    bool integer = dtype_is_integer(input->dtype);
    enum dtype inner = integer && dtype_bits(input->dtype) > 16 ? DTYPE_F64 : DTYPE_F32;
    struct value *before = op_temporary(c, inner, input->rank, input->dims);
    struct value *after = op_temporary(c, inner, output->rank, output->dims);
    if (!before || !after)
        return op_no_memory(c);
    TRY(op_cast(c, input, before, true));
    TRY(resize_axes(c, resize, before, after));
    return integer ? round_to_integers(c, after, output) : op_cast(c, after, output, true);
}

static enum status lower_resize(struct op_context *c)
{
    struct resize resize;
    struct value *output = op_output(c, 0);
    TRY(read_resize(c, &resize));
    if (value_elements(output) == 0)
        return STATUS_OK;
    if (resize.mode == MODE_NEAREST)
        TRY(resize_axes(c, &resize, op_input(c, 0), output));
    else
        TRY(lower_weighted(c, &resize));
    return resize.coordinates == TF_CROP_AND_RESIZE ? fill_outside(c, &resize, output) : STATUS_OK;
}

bool op_resize_repeats(struct op_context *c, int64_t *factors)
{
    struct resize resize;
    if (read_resize(c, &resize) != STATUS_OK || resize.mode != MODE_NEAREST || resize.coordinates == TF_CROP_AND_RESIZE)
        return false;
    for (int axis = 0; axis < op_input(c, 0)->rank; axis++) {
        const struct axis_geometry *g = &resize.axes[axis];
        if (g->input == 0 || g->output < g->input || g->output % g->input != 0)
            return false;
        factors[axis] = g->output / g->input;
        for (int64_t i = 0; i < g->output; i++)
            if (resize_neighbour(&resize, g, i) != i / factors[axis])
                return false;
    }
    return true;
}

OPERATOR(Resize, 1, 4, 1, 1, shapes_resize, .lower = lower_resize)
OPERATOR(Upsample, 1, 2, 1, 1, shapes_resize, .lower = lower_resize)
