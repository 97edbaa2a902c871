/* Kinds of images: convolution, pooling, resizing. */
#include "kernels/conv.h"
#include "kernels/pool.h"
#include "kernels/resample.h"

#include "tools/problems/images.h"
#include "tools/problems/sweep.h"

#include <math.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Planes, or channels innermost. */
static struct image_strides image_strides(int64_t channels, const int64_t *spatial, bool channels_last)
{
    int64_t plane = spatial[0] * spatial[1] * spatial[2], row = spatial[2], each = channels_last ? channels : 1;
    return (struct image_strides){.batch = plane * channels,
                                  .channel = channels_last ? 1 : plane,
                                  .spatial = {spatial[1] * row * each, row * each, each}};
}

static void add_image(struct strided *at, int64_t batch, int64_t channels, const int64_t *spatial,
                      const struct image_strides *strides)
{
    strided_image(at, batch, channels, spatial, strides);
}

/* --- convolution --------------------------------------------------------------------------------------------- */

struct conv_shape {
    const char *kind;
    int64_t batch, groups, inputs, outputs, height, width, kernel_height, kernel_width, stride, dilation, spread;
};

static const struct conv_shape convs[] = {
    {"plain", 1, 1, 64, 64, 56, 56, 3, 3, 1, 1, 1},
    {"plain", 1, 1, 128, 128, 28, 28, 3, 3, 1, 1, 1},
    {"plain", 1, 1, 256, 256, 14, 14, 3, 3, 1, 1, 1},
    {"plain", 1, 1, 512, 512, 7, 7, 3, 3, 1, 1, 1},
    {"stride 2", 1, 1, 64, 128, 56, 56, 3, 3, 2, 1, 1},
    {"stride 2", 1, 1, 256, 256, 28, 28, 3, 3, 2, 1, 1},
    {"odd size", 1, 1, 64, 64, 53, 37, 3, 3, 1, 1, 1},
    {"odd size", 1, 1, 128, 128, 19, 19, 3, 3, 1, 1, 1},
    {"odd size", 1, 1, 96, 96, 11, 45, 3, 3, 1, 1, 1},
    {"odd channels", 1, 1, 61, 67, 40, 40, 3, 3, 1, 1, 1},
    {"odd channels", 1, 1, 23, 37, 64, 64, 3, 3, 1, 1, 1},
    {"odd channels", 1, 1, 131, 127, 20, 20, 3, 3, 1, 1, 1},
    {"first layer", 1, 1, 3, 16, 320, 320, 3, 3, 2, 1, 1},
    {"first layer", 1, 1, 3, 64, 224, 224, 7, 7, 2, 1, 1},
    {"first layer", 1, 1, 1, 32, 80, 400, 3, 3, 1, 1, 1},
    {"first layer", 1, 1, 3, 768, 224, 224, 16, 16, 16, 1, 1},
    {"few channels", 1, 1, 8, 8, 160, 160, 3, 3, 1, 1, 1},
    {"few channels", 1, 1, 16, 4, 128, 128, 3, 3, 1, 1, 1},
    {"few channels", 1, 1, 24, 1, 160, 160, 3, 3, 1, 1, 1},
    {"few channels", 1, 1, 12, 12, 128, 187, 7, 3, 1, 1, 1},
    {"few channels", 1, 1, 12, 12, 128, 187, 7, 1, 1, 17, 1},
    {"few channels", 1, 1, 24, 24, 74, 32, 1, 3, 1, 1, 1},
    {"few channels", 1, 1, 24, 24, 74, 32, 3, 1, 1, 1, 1},
    {"large kernel", 1, 1, 32, 32, 56, 56, 5, 5, 1, 1, 1},
    {"large kernel", 1, 1, 32, 64, 40, 40, 7, 7, 1, 1, 1},
    {"large kernel", 1, 1, 48, 24, 40, 40, 9, 9, 1, 1, 1},
    {"large kernel", 1, 1, 64, 64, 48, 48, 1, 7, 1, 1, 1},
    {"large kernel", 1, 1, 64, 64, 48, 48, 7, 1, 1, 1, 1},
    {"1-D", 1, 1, 80, 384, 1, 1500, 1, 3, 1, 1, 1},
    {"1-D", 1, 1, 384, 384, 1, 750, 1, 3, 2, 1, 1},
    {"1-D", 1, 1, 512, 512, 1, 200, 1, 5, 1, 1, 1},
    {"1-D", 1, 1, 1, 258, 1, 16000, 1, 256, 128, 1, 1},
    {"1-D", 1, 1, 64, 64, 1, 8000, 1, 7, 1, 1, 1},
    {"1-D", 1, 1, 1, 512, 1, 16000, 1, 10, 5, 1, 1},
    {"long and narrow", 1, 1, 64, 64, 3, 640, 3, 3, 1, 1, 1},
    {"long and narrow", 1, 1, 64, 64, 1000, 4, 3, 3, 1, 1, 1},
    {"long and narrow", 1, 1, 256, 256, 2, 160, 3, 3, 1, 1, 1},
    {"tiny image", 1, 1, 512, 512, 2, 2, 3, 3, 1, 1, 1},
    {"tiny image", 1, 1, 256, 256, 4, 5, 3, 3, 1, 1, 1},
    {"tiny image", 1, 1, 256, 512, 1, 1, 3, 3, 1, 1, 1},
    {"dilated", 1, 1, 128, 128, 28, 28, 3, 3, 1, 2, 1},
    {"dilated", 1, 1, 64, 64, 41, 41, 3, 3, 1, 12, 1},
    {"dilated", 1, 1, 128, 128, 1, 1000, 1, 3, 1, 9, 1},
    {"grouped", 1, 32, 128, 128, 56, 56, 3, 3, 1, 1, 1},
    {"grouped", 1, 4, 256, 256, 14, 14, 3, 3, 1, 1, 1},
    {"grouped", 1, 2, 96, 96, 28, 28, 3, 3, 1, 1, 1},
    {"grouped", 1, 16, 768, 768, 1, 200, 1, 16, 1, 1, 1},
    {"transposed", 1, 1, 64, 32, 40, 40, 2, 2, 1, 1, 2},
    {"transposed", 1, 1, 128, 64, 28, 28, 4, 4, 1, 1, 2},
    {"transposed", 1, 1, 64, 64, 28, 28, 3, 3, 1, 1, 2},
    {"transposed", 1, 1, 256, 128, 1, 100, 1, 16, 1, 1, 8},
    {"batch", 2, 1, 64, 64, 56, 56, 3, 3, 1, 1, 1},
    {"batch", 8, 1, 256, 256, 7, 7, 3, 3, 1, 1, 1},
    {"batch", 32, 1, 32, 64, 14, 14, 3, 3, 1, 1, 1},
    {"batch", 16, 1, 1, 32, 28, 28, 3, 3, 1, 1, 1},
};

static const struct conv_shape pointwise_convs[] = {
    {"plain", 1, 1, 64, 256, 56, 56, 1, 1, 1, 1, 1},
    {"plain", 1, 1, 256, 64, 56, 56, 1, 1, 1, 1, 1},
    {"plain", 1, 1, 512, 512, 14, 14, 1, 1, 1, 1, 1},
    {"plain", 1, 1, 960, 320, 7, 7, 1, 1, 1, 1, 1},
    {"stride 2", 1, 1, 256, 512, 56, 56, 1, 1, 2, 1, 1},
    {"odd size", 1, 1, 128, 128, 27, 35, 1, 1, 1, 1, 1},
    {"odd channels", 1, 1, 58, 58, 28, 28, 1, 1, 1, 1, 1},
    {"odd channels", 1, 1, 112, 333, 20, 20, 1, 1, 1, 1, 1},
    {"few channels", 1, 1, 16, 96, 112, 112, 1, 1, 1, 1, 1},
    {"few channels", 1, 1, 96, 24, 56, 56, 1, 1, 1, 1, 1},
    {"few channels", 1, 1, 64, 2, 160, 160, 1, 1, 1, 1, 1},
    {"few channels", 1, 1, 4, 8, 160, 160, 1, 1, 1, 1, 1},
    {"long and narrow", 1, 1, 480, 120, 1, 80, 1, 1, 1, 1, 1},
    {"long and narrow", 1, 1, 512, 512, 1, 1500, 1, 1, 1, 1, 1},
    {"tiny image", 1, 1, 960, 240, 1, 1, 1, 1, 1, 1, 1},
    {"tiny image", 1, 1, 2048, 512, 3, 3, 1, 1, 1, 1, 1},
    {"grouped", 1, 3, 240, 240, 28, 28, 1, 1, 1, 1, 1},
    {"batch", 8, 1, 320, 1280, 7, 7, 1, 1, 1, 1, 1},
    {"batch", 32, 1, 96, 24, 14, 14, 1, 1, 1, 1, 1},
};

static const struct conv_shape depthwise_convs[] = {
    {"plain", 1, 144, 144, 144, 56, 56, 3, 3, 1, 1, 1},
    {"plain", 1, 384, 384, 384, 14, 14, 3, 3, 1, 1, 1},
    {"plain", 1, 960, 960, 960, 7, 7, 3, 3, 1, 1, 1},
    {"stride 2", 1, 96, 96, 96, 112, 112, 3, 3, 2, 1, 1},
    {"stride 2", 1, 240, 240, 240, 28, 28, 5, 5, 2, 1, 1},
    {"odd size", 1, 96, 96, 96, 41, 67, 3, 3, 1, 1, 1},
    {"odd channels", 1, 116, 116, 116, 14, 14, 3, 3, 1, 1, 1},
    {"odd channels", 1, 77, 77, 77, 28, 28, 3, 3, 1, 1, 1},
    {"few channels", 1, 8, 8, 8, 160, 160, 3, 3, 1, 1, 1},
    {"large kernel", 1, 120, 120, 120, 28, 28, 5, 5, 1, 1, 1},
    {"large kernel", 1, 96, 96, 96, 56, 56, 7, 7, 1, 1, 1},
    {"large kernel", 1, 64, 64, 64, 40, 40, 9, 9, 1, 1, 1},
    {"1-D", 1, 256, 256, 256, 1, 400, 1, 31, 1, 1, 1},
    {"1-D", 1, 512, 512, 512, 1, 300, 1, 3, 1, 1, 1},
    {"long and narrow", 1, 240, 240, 240, 3, 320, 5, 5, 1, 1, 1},
    {"tiny image", 1, 576, 576, 576, 3, 3, 5, 5, 1, 1, 1},
    {"dilated", 1, 128, 128, 128, 28, 28, 3, 3, 1, 2, 1},
    {"multiplier", 1, 64, 64, 128, 40, 40, 3, 3, 1, 1, 1},
    {"transposed", 1, 64, 64, 64, 40, 40, 4, 4, 1, 1, 2},
    {"batch", 8, 96, 96, 96, 28, 28, 3, 3, 1, 1, 1},
};

static struct window conv_window(const struct conv_shape *s)
{
    bool patches = s->stride == s->kernel_height && s->stride > 1;
    const int64_t kernel[] = {1, s->kernel_height, s->kernel_width}, input[] = {1, s->height, s->width};
    struct window w = {.input = {0}};
    for (int i = 0; i < SPATIAL_AXES; i++) {
        bool wide = kernel[i] > 1 || s->kernel_height == s->kernel_width;
        w.input[i] = input[i];
        w.kernel[i] = kernel[i];
        w.stride[i] = i > 0 && wide ? s->stride : 1;
        w.dilation[i] = i > 0 && kernel[i] > 1 ? s->dilation : 1;
        w.spread[i] = i > 0 && wide ? s->spread : 1;
        w.pad[i] = w.pad_after[i] = patches ? 0 : (kernel[i] - 1) * w.dilation[i] / 2;
        if (w.spread[i] > 1) /* as a transposed convolution pads: twice the size comes out */
            w.pad[i] = w.pad_after[i] = kernel[i] - 1 - (kernel[i] - w.spread[i]) / 2;
    }
    window_settle(&w);
    return w;
}

static void set_layout(struct conv_params *p, bool channels_last, bool planes_in)
{
    p->x = image_strides(p->groups * p->input_channels, p->window.input, channels_last && !planes_in);
    p->y = image_strides(p->groups * p->output_channels, p->window.output, channels_last);
}

static const char *make_conv(struct maker *maker, const struct kernel_facts *facts, const struct conv_shape *s)
{
    struct conv_params *p = make_params(maker, sizeof *p);
    int64_t taps = s->kernel_height * s->kernel_width, inputs = s->inputs / s->groups, outputs = s->outputs / s->groups;
    bool turned = s->spread > 1;
    maker->problem->family = FAMILY_conv;
    *p = (struct conv_params){.dtype = DTYPE_F32,
                              .x_dtype = DTYPE_F32,
                              .w_dtype = DTYPE_F32,
                              .batch = s->batch,
                              .groups = s->groups,
                              .input_channels = inputs,
                              .output_channels = outputs,
                              .window = conv_window(s),
                              .weight_offset = turned ? taps - 1 : 0,
                              .weight_group = outputs * inputs * taps,
                              .weight_output = inputs * taps,
                              .weight_input = taps};
    p->weight_spatial[0] = turned ? -taps : taps;
    p->weight_spatial[1] = turned ? -s->kernel_width : s->kernel_width;
    p->weight_spatial[2] = turned ? -1 : 1;
    set_layout(p, false, false);
    struct kernel_facts known = *facts;
    known.constant_inputs = 6; /* weights and bias */
    /* The network's own input lies in planes. */
    set_layout(p, family_prefers_channels_last(FAMILY_conv, p, &known), s->inputs <= 4);
    struct operand *x = add_input(maker, "x", DTYPE_F32), *weights = add_input(maker, "weights", DTYPE_F32);
    add_image(&x->at, s->batch, s->inputs, p->window.input, &p->x);
    strided_contiguous(&weights->at, 1, (int64_t[]){s->outputs * inputs * taps});
    struct operand *bias = add_input(maker, "bias", DTYPE_F32), *y = add_output(maker, "y", DTYPE_F32);
    strided_contiguous(&bias->at, 1, &s->outputs);
    weights->constant = bias->constant = true;
    add_absent(maker, "zero point of x", false);
    add_absent(maker, "zero points of the weights", false);
    add_image(&y->at, s->batch, s->outputs, p->window.output, &p->y);
    sweep_name(maker, "%lldx %lldx%lld %lld>%lld %lldx%lld/%lld d%lld g%lld%s", (long long)s->batch,
               (long long)s->height, (long long)s->width, (long long)s->inputs, (long long)s->outputs,
               (long long)s->kernel_height, (long long)s->kernel_width, (long long)s->stride, (long long)s->dilation,
               (long long)s->groups, turned ? " transposed" : "");
    return s->kind;
}

static const char *make_full(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    return make_conv(maker, facts, &convs[index]);
}

static const char *make_pointwise(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    return make_conv(maker, facts, &pointwise_convs[index]);
}

static const char *make_depthwise(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    return make_conv(maker, facts, &depthwise_convs[index]);
}

const struct sweep_group sweep_conv = {"conv", COUNT(convs), make_full};
const struct sweep_group sweep_conv_pointwise = {"conv 1x1", COUNT(pointwise_convs), make_pointwise};
const struct sweep_group sweep_conv_depthwise = {"conv depthwise", COUNT(depthwise_convs), make_depthwise};

/* --- pooling ------------------------------------------------------------------------------------------------- */

static const struct pool_shape {
    const char *kind;
    enum pool_kind pool;
    int64_t batch, channels, height, width, kernel, stride;
} pools[] = {
    {"max", POOL_MAX, 1, 64, 112, 112, 3, 2},
    {"max", POOL_MAX, 1, 128, 56, 56, 2, 2},
    {"max", POOL_MAX, 1, 480, 14, 14, 3, 1},
    {"average", POOL_AVERAGE, 1, 192, 28, 28, 3, 1},
    {"average", POOL_AVERAGE, 1, 256, 28, 28, 2, 2},
    {"whole image", POOL_AVERAGE, 1, 1280, 7, 7, 7, 1},
    {"whole image", POOL_AVERAGE, 1, 96, 56, 56, 56, 1},
    {"odd channels", POOL_MAX, 1, 37, 57, 41, 3, 2},
    {"few channels", POOL_MAX, 1, 4, 160, 160, 2, 2},
    {"large kernel", POOL_MAX, 1, 256, 20, 20, 13, 1},
    {"large kernel", POOL_MAX, 1, 128, 20, 20, 5, 1},
    {"batch", POOL_MAX, 16, 64, 28, 28, 2, 2},
};

static const char *make_pool(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    const struct pool_shape *s = &pools[index];
    int64_t pad = s->kernel == s->height || s->kernel == s->stride ? 0 : s->kernel / 2;
    struct pool_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_pool;
    *p = (struct pool_params){.dtype = DTYPE_F32,
                              .kind = s->pool,
                              .batch = s->batch,
                              .channels = s->channels,
                              .window = {.input = {1, s->height, s->width},
                                         .kernel = {1, s->kernel, s->kernel},
                                         .stride = {1, s->stride, s->stride},
                                         .dilation = {1, 1, 1},
                                         .spread = {1, 1, 1},
                                         .pad = {0, pad, pad},
                                         .pad_after = {0, pad, pad}}};
    window_settle(&p->window);
    p->x = image_strides(s->channels, p->window.input, false);
    p->y = image_strides(s->channels, p->window.output, false);
    if (family_prefers_channels_last(FAMILY_pool, p, facts)) {
        p->x = image_strides(s->channels, p->window.input, true);
        p->y = image_strides(s->channels, p->window.output, true);
    }
    add_image(&add_input(maker, "x", DTYPE_F32)->at, s->batch, s->channels, p->window.input, &p->x);
    add_image(&add_output(maker, "y", DTYPE_F32)->at, s->batch, s->channels, p->window.output, &p->y);
    add_absent(maker, "indices", true);
    sweep_name(maker, "%lldx %lldx%lldx%lld %lld/%lld", (long long)s->batch, (long long)s->channels,
               (long long)s->height, (long long)s->width, (long long)s->kernel, (long long)s->stride);
    return s->kind;
}

const struct sweep_group sweep_pool = {"pool", COUNT(pools), make_pool};

/* --- resizing along an axis ---------------------------------------------------------------------------------- */

static const struct resample_shape {
    const char *kind;
    int64_t outer, input, output, inner, taps;
} resamples[] = {
    {"rows", 1, 80, 160, 160 * 24, 2},      {"rows", 64, 40, 80, 80, 2},
    {"columns", 64 * 80, 40, 80, 1, 2},     {"columns", 3 * 640, 480, 224, 1, 2},
    {"channels last", 160, 80, 160, 24, 2}, {"cubic", 64, 40, 80, 80, 4},
    {"cubic", 64 * 80, 40, 80, 1, 4},
};

static const char *make_resample(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    const struct resample_shape *s = &resamples[index];
    struct resample_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_resample;
    *p = (struct resample_params){s->outer, s->input, s->output, s->inner, s->taps, DTYPE_F32};
    int32_t *places = make_room(maker, (size_t)(s->output * s->taps), sizeof *places);
    for (int64_t o = 0; o < s->output; o++)
        for (int64_t t = 0; t < s->taps; t++) {
            int64_t place = o * s->input / s->output + t - s->taps / 2 + 1;
            places[o * s->taps + t] = (int32_t)(place < 0 ? 0 : place < s->input ? place : s->input - 1);
        }
    strided_contiguous(&add_input(maker, "x", DTYPE_F32)->at, 3, (int64_t[]){s->outer, s->input, s->inner});
    struct operand *at = add_input(maker, "places", DTYPE_I32);
    strided_contiguous(&at->at, 2, (int64_t[]){s->output, s->taps});
    at->fill = FILL_GIVEN;
    at->given = places;
    struct operand *weights = add_input(maker, "weights", DTYPE_F32);
    strided_contiguous(&weights->at, 2, (int64_t[]){s->output, s->taps});
    at->constant = weights->constant = true;
    strided_contiguous(&add_output(maker, "y", DTYPE_F32)->at, 3, (int64_t[]){s->outer, s->output, s->inner});
    sweep_name(maker, "%lldx(%lld>%lld)x%lld, %lld taps", (long long)s->outer, (long long)s->input,
               (long long)s->output, (long long)s->inner, (long long)s->taps);
    return s->kind;
}

const struct sweep_group sweep_resample = {"resample", COUNT(resamples), make_resample};
