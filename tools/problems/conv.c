#include "kernels/conv.h"

#include "tools/problems/images.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WORK 1000000          /* multiplications that make a task */
#define WORK_DEPTHWISE 100000 /* where there is one a result, they are fewer, or the results would be many */

/* Changes sizes until the work, but for the taps, lies between these. */
static void settle(struct maker *maker, struct conv_params *p, double least, double most)
{
    struct window *w = &p->window;
    int64_t *const sizes[] = {&p->batch, &p->input_channels, &p->output_channels, &w->input[1], &w->input[2]};
    for (int tries = 0; tries < 200; tries++) {
        window_settle(w);
        double work =
            (double)(p->batch * p->groups * p->input_channels * p->output_channels) * (double)window_positions(w);
        int64_t *size = sizes[random_below(&maker->random, 5)];
        if (work > most)
            *size = *size > 1 ? *size / 2 : 1;
        else if (work < least)
            *size = *size * 2 + random_below(&maker->random, 2);
        else
            return;
    }
}

/* The reference counts work without the taps, so a problem that is to have several tasks gets few of those. */
static void settle_any(struct maker *maker, struct conv_params *p)
{
    bool depthwise = p->groups > 1 && p->input_channels == 1;
    double task = depthwise ? WORK_DEPTHWISE : WORK;
    for (int i = 0; i < SPATIAL_AXES && maker->large && !depthwise; i++)
        p->window.kernel[i] = i < 2 && p->window.kernel[i] > 1 ? 2 : 1;
    settle(maker, p, maker->large ? 2.2 * task : 0, maker->large ? 5.0 * task : 0.1 * WORK);
}

static void choose_channels(struct maker *maker, struct conv_params *p)
{
    p->groups = 1;
    p->input_channels = make_size(maker, 40);
    p->output_channels = make_size(maker, 70);
    if (random_once_in(&maker->random, 4)) { /* depthwise */
        p->groups = make_size(maker, 70);
        p->input_channels = 1;
        p->output_channels = random_once_in(&maker->random, 4) ? 2 : 1;
    } else if (random_once_in(&maker->random, 5)) {
        p->groups = random_between(&maker->random, 2, 4);
    }
}

/* 3x3 without a stride: what special algorithms are for. They pay from some channels and positions on. */
static void choose_filter(struct maker *maker, struct conv_params *p)
{
    struct random *random = &maker->random;
    p->dtype = p->x_dtype = p->w_dtype = DTYPE_F32;
    p->groups = 1;
    p->input_channels = random_between(random, 12, 40);
    p->output_channels = make_size(maker, 70);
    bool parts = random_once_in(random, 4); /* so many channels that they may be taken in parts */
    if (parts) {
        p->input_channels = random_between(random, 65, 140);
        p->output_channels = random_between(random, 33, 70);
    }
    p->window = (struct window){.kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .spread = {1, 1, 1}};
    for (int i = 0; i < SPATIAL_AXES; i++) {
        p->window.input[i] = i == 0 ? 1 : random_between(random, 8, 24);
        p->window.pad[i] = i == 0 ? 0 : random_between(random, -1, 2);
        p->window.pad_after[i] = i == 0 ? 0 : random_between(random, -1, 2);
        if (i > 0 && random_once_in(random, 3)) {
            p->input_channels += 16;
            p->window.dilation[i] = random_between(random, 2, 5);
            p->window.pad[i] += p->window.dilation[i];
            p->window.pad_after[i] += p->window.dilation[i];
        }
    }
    settle(maker, p, 0, parts ? 1.6 * WORK : 0.3 * WORK);
}

/* A transposed convolution to few channels, whose windows meet along the last axis without overlapping. */
static void choose_upsampling(struct maker *maker, struct conv_params *p)
{
    struct random *random = &maker->random;
    p->dtype = p->x_dtype = p->w_dtype = DTYPE_F32;
    p->groups = random_once_in(random, 4) ? 2 : 1;
    p->input_channels = make_size(maker, 30);
    p->output_channels = random_between(random, 1, 6);
    for (int i = 0; i < SPATIAL_AXES; i++) {
        struct window *w = &p->window;
        w->stride[i] = w->dilation[i] = 1;
        w->spread[i] = i == 0 ? 1 : random_between(random, 2, 4);
        w->kernel[i] = i == 1 && random_once_in(random, 2) ? random_between(random, 1, 4) : w->spread[i];
        w->pad[i] = w->pad_after[i] = w->kernel[i] - 1;
        w->input[i] = i == 0 ? 1 : make_size(maker, 40);
    }
    settle(maker, p, 0, 0.1 * WORK);
}

/* So many positions that tiles of results may be large: those of GPUs where there are enough for all multiprocessors,
 * and under their emulation, which has few. */
static void choose_positions(struct maker *maker, struct conv_params *p, int64_t length)
{
    p->batch = 2;
    p->groups = 4;
    p->input_channels = random_between(&maker->random, 8, 10);
    p->output_channels = random_between(&maker->random, 65, 70);
    p->window = (struct window){.kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .spread = {1, 1, 1}};
    for (int i = 0; i < SPATIAL_AXES; i++)
        p->window.input[i] = i == 0 ? 1 : random_between(&maker->random, length, length + 2);
    window_settle(&p->window);
}

/* Bytes whose lines are a tile or less, so that at the first and the last one a tile has places in the padding alone.
 */
static void choose_lines(struct maker *maker, struct conv_params *p)
{
    struct random *random = &maker->random;
    p->x_dtype = DTYPE_U8;
    p->groups = 1;
    p->input_channels = 4 * random_between(random, 1, 6);
    p->output_channels = random_between(random, 20, 70);
    p->window = (struct window){.kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .spread = {1, 1, 1}};
    for (int i = 1; i < SPATIAL_AXES; i++) {
        p->window.pad[i] = random_between(random, 1, 2);
        p->window.pad_after[i] = random_between(random, 0, 2);
        p->window.input[i] = random_between(random, 3, i == 1 ? 8 : 16);
    }
    p->window.input[0] = 1;
    window_settle(&p->window);
}

/* One place that sees x scaled, which other windows may not. */
static void choose_scaled(struct maker *maker, struct conv_params *p)
{
    p->x_scaled = true;
    p->x_cut = random_below(&maker->random, 2);
    p->window = (struct window){.kernel = {1, 1, 1}, .dilation = {1, 1, 1}, .spread = {1, 1, 1}};
    for (int i = 0; i < SPATIAL_AXES; i++) {
        p->window.stride[i] = random_once_in(&maker->random, 4) ? 2 : 1;
        p->window.input[i] = i == 0 ? random_between(&maker->random, 1, 2) : make_size(maker, 20);
        p->window.pad[i] = p->window.pad_after[i] = random_once_in(&maker->random, 6);
    }
    choose_channels(maker, p);
    settle_any(maker, p);
}

/* The weights of a transposed convolution are turned round. */
static void choose_weights(struct maker *maker, struct conv_params *p, bool turned)
{
    const int64_t *kernel = p->window.kernel;
    const int64_t dims[] = {p->groups, p->output_channels, p->input_channels, kernel[0], kernel[1], kernel[2]};
    int64_t strides[6];
    make_strides(maker, random_once_in(&maker->random, 3) ? LAYOUT_DENSE : LAYOUT_C, 6, dims, strides);
    p->weight_group = strides[0];
    p->weight_output = strides[1];
    p->weight_input = strides[2];
    for (int i = 0; i < SPATIAL_AXES; i++) {
        p->weight_spatial[i] = turned ? -strides[3 + i] : strides[3 + i];
        p->weight_offset += turned ? strides[3 + i] * (kernel[i] - 1) : 0;
    }
}

/* Outputs of 4x4 tiles, at most, may be made together: where windows are dilated, outputs as far apart as their places.
 */
static bool is_filter(const struct conv_params *p)
{
    const struct window *w = &p->window;
    bool is = p->dtype == DTYPE_F32 && w->kernel[0] == 1;
    for (int i = 1; i < SPATIAL_AXES; i++)
        is = is && w->kernel[i] == 3 && w->stride[i] == 1 && w->spread[i] == 1;
    return is;
}

/* What x is taken less, and the weights; or what x is multiplied by, and what is added. */
static void add_sides(struct maker *maker, const struct conv_params *p)
{
    static const char *const names[2] = {"zero point of x", "zero points of the weights"};
    if (p->x_scaled) {
        struct operand *factor = add_input(maker, "factor", DTYPE_F32), *shift = add_input(maker, "shift", DTYPE_F32);
        factor->factor = true;
        strided_axis(&factor->at, p->groups * p->input_channels, 1);
        strided_axis(&shift->at, p->groups * p->input_channels, 1);
        return;
    }
    if (!conv_is_narrow(p)) {
        add_absent(maker, names[0], false);
        add_absent(maker, names[1], false);
        return;
    }
    struct operand *zero = add_zeros(maker, names[0], p->x_dtype);
    if (zero)
        strided_axis(&zero->at, 1, 1);
    zero = add_zeros(maker, names[1], p->w_dtype);
    if (zero)
        strided_axis(&zero->at, p->w_zero ? p->groups * p->output_channels : 1, 1);
}

static void add_operands(struct maker *maker, const struct conv_params *p, bool has_bias)
{
    const struct window *w = &p->window;
    struct operand *x = add_input(maker, "x", p->x_dtype);
    strided_image(&x->at, p->batch, p->groups * p->input_channels, w->input, &p->x);
    struct operand *weights = add_input(maker, "weights", p->w_dtype);
    weights->constant = true;
    x->factor = weights->factor = true;
    if (conv_is_narrow(p))
        make_bytes(maker, weights);
    weights->at.offset = p->weight_offset;
    strided_axis(&weights->at, p->groups, p->weight_group);
    strided_axis(&weights->at, p->output_channels, p->weight_output);
    strided_axis(&weights->at, p->input_channels, p->weight_input);
    for (int i = 0; i < SPATIAL_AXES; i++)
        strided_axis(&weights->at, w->kernel[i], p->weight_spatial[i]);
    if (has_bias) {
        struct operand *bias = add_input(maker, "bias", p->dtype);
        bias->constant = true;
        strided_axis(&bias->at, p->groups * p->output_channels, 1);
    } else {
        add_absent(maker, "bias", false);
    }
    add_sides(maker, p);
    struct operand *y = add_output(maker, "y", p->dtype);
    strided_image(&y->at, p->batch, p->groups * p->output_channels, w->output, &p->y);
    y->bound.sum = conv_is_narrow(p)
                       ? 0
                       : sum_of_products(p->input_channels * window_taps(w), p->x.channel == 0 && p->weight_input == 0);
    if (is_filter(p)) {
        y->bound.mixed = y->bound.sum;
        y->bound.near = 3 * (w->dilation[1] > w->dilation[2] ? w->dilation[1] : w->dilation[2]);
    }
}

static void describe_params(struct maker *maker, const struct conv_params *p, bool has_bias)
{
    describe(maker, " %s of %s and %s batch=%lld groups=%lld input_channels=%lld output_channels=%lld",
             dtype_name(p->dtype), dtype_name(p->x_dtype), dtype_name(p->w_dtype), (long long)p->batch,
             (long long)p->groups, (long long)p->input_channels, (long long)p->output_channels);
    describe_window(maker, &p->window);
    describe_image(maker, "x", &p->x);
    describe_image(maker, "y", &p->y);
    describe(maker, " weights=%lld+%lld,%lld,%lld", (long long)p->weight_offset, (long long)p->weight_group,
             (long long)p->weight_output, (long long)p->weight_input);
    describe_numbers(maker, "weight_spatial", SPATIAL_AXES, p->weight_spatial);
    describe(maker, has_bias ? " bias" : " no bias");
    describe(maker, !p->x_scaled ? "" : p->x_cut ? " x scaled and cut" : " x scaled");
    if (!conv_is_narrow(p))
        return;
    describe(maker, maker->problem->inputs[3].absent ? " no x_zero" : " x_zero");
    describe(maker, maker->problem->inputs[4].absent ? " no w_zero" : " w_zero*%lld", (long long)p->w_zero);
}

#define SHUFFLED 8 /* one problem of so many stores groups of channels in turns */
#define SCALED 10
#define LARGE_TILES \
    12 /* two of so many, numbers 2 and 3, of floats and of bytes, have large tiles: each run meets them */

static void make_conv(struct maker *maker)
{
    struct conv_params *p = make_params(maker, sizeof *p);
    bool shuffles =
        maker->index % SHUFFLED == SHUFFLED - 1; /* rare otherwise, and kernels have code of its own for it */
    bool large = maker->index % LARGE_TILES == 2 || maker->index % LARGE_TILES == 3;
    bool has_bias = !random_once_in(&maker->random, 3), rides = wants_epilogue(maker) || shuffles;
    p->dtype = shuffles ? DTYPE_F32 : make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F32, DTYPE_F64, DTYPE_I32));
    if (large)
        p->dtype = DTYPE_F32;
    p->x_dtype = p->w_dtype = p->dtype;
    bool scales = !large && !shuffles && maker->index % SCALED == SCALED / 2; /* one of so many */
    if (scales)
        p->dtype = p->x_dtype = p->w_dtype = DTYPE_F32;
    if (large ? maker->index % LARGE_TILES == 3 : !shuffles && !scales && random_once_in(&maker->random, 3)) {
        p->dtype = DTYPE_I32;
        p->x_dtype = make_byte(maker);
        p->w_dtype = make_byte(maker);
        p->w_zero = random_below(&maker->random, 2);
    }
    p->batch = random_once_in(&maker->random, 3) ? random_between(&maker->random, 2, 3) : 1;
    if (scales) {
        choose_scaled(maker, p);
    } else if (large) {
        choose_positions(maker, p, 11);
    } else if (!conv_is_narrow(p) && random_once_in(&maker->random, 4)) {
        choose_filter(maker, p);
    } else if (!conv_is_narrow(p) && random_once_in(&maker->random, 10)) {
        choose_upsampling(maker, p);
    } else if (conv_is_narrow(p) && random_once_in(&maker->random, 2)) {
        choose_lines(maker, p);
    } else if (random_once_in(&maker->random, 60)) {
        choose_positions(maker, p, 50);
    } else {
        p->window = make_window(maker, true);
        choose_channels(maker, p);
        settle_any(maker, p);
    }
    const struct window *w = &p->window;
    int64_t outputs = p->groups * p->output_channels;
    p->x = make_image(maker, LAYOUT_READ, p->batch, p->groups * p->input_channels, w->input);
    p->y = make_image(maker, rides ? LAYOUT_C : LAYOUT_ANY, p->batch, outputs, w->output);
    choose_weights(maker, p, w->spread[1] > 1 || w->spread[2] > 1 || random_once_in(&maker->random, 10));
    add_operands(maker, p, has_bias);
    make_numbers(maker, &maker->problem->inputs[0]);
    describe_params(maker, p, has_bias);
    if (rides) {
        const int64_t dims[] = {p->batch, outputs, w->output[0], w->output[1], w->output[2]};
        int64_t groups = random_between(&maker->random, 2, 5);
        while (groups > 1 && outputs % groups != 0)
            groups--;
        maker->problem->plain_params = memcpy(make_room(maker, 1, sizeof *p), p, sizeof *p);
        if (shuffles && groups > 1 && outputs > groups) {
            const int64_t split[] = {p->batch, groups, outputs / groups, w->output[0], w->output[1], w->output[2]};
            p->epilogue = make_shuffled_epilogue(maker, 6, split, conv_epilogue(p).dims);
        } else {
            p->epilogue = make_epilogue(maker, 5, dims, 1, conv_epilogue(p).dims);
        }
    }
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

/* ResNet-50, MobileNetV2, a detector's head; each in f32, in two layouts, and of 8 bits. */
static const struct image_case cases[] = {
    {"7x7/2 3>64 224", 3, 64, 224, 7, 2, 1},
    {"3x3 64>64 56", 64, 64, 56, 3, 1, 1},
    {"3x3 128>128 28", 128, 128, 28, 3, 1, 1},
    {"3x3 256>256 14", 256, 256, 14, 3, 1, 1},
    {"3x3 512>512 7", 512, 512, 7, 3, 1, 1},
    {"3x3 64>64 224", 64, 64, 224, 3, 1, 1},
    {"3x3 128>128 112", 128, 128, 112, 3, 1, 1},
    {"3x3 256>256 56", 256, 256, 56, 3, 1, 1},
    {"3x3 512>512 28", 512, 512, 28, 3, 1, 1},
    {"3x3 512>512 14", 512, 512, 14, 3, 1, 1},
    {"3x3 16>64 55", 16, 64, 55, 3, 1, 1},
    {"3x3 32>128 27", 32, 128, 27, 3, 1, 1},
    {"3x3 64>256 13", 64, 256, 13, 3, 1, 1},
    {"3x3 128>32 56", 128, 32, 56, 3, 1, 1},
    {"3x3 128>32 28", 128, 32, 28, 3, 1, 1},
    {"3x3 32>64 160", 32, 64, 160, 3, 1, 1},
    {"3x3 96>96 80", 96, 96, 80, 3, 1, 1},
    {"3x3 96>64 160", 96, 64, 160, 3, 1, 1},
    {"1x1 256>64 56", 256, 64, 56, 1, 1, 1},
    {"1x1 512>2048 7", 512, 2048, 7, 1, 1, 1},
    {"3x3/2 128>128 56", 128, 128, 56, 3, 2, 1},
    {"3x3 depthwise 144 56", 144, 144, 56, 3, 1, 144},
    {"5x5 depthwise 96 28", 96, 96, 28, 5, 1, 96},
    {"3x3 depthwise 32 112", 32, 32, 112, 3, 1, 32},
    {"3x3/2 depthwise 96 112", 96, 96, 112, 3, 2, 96},
    {"3x3 depthwise 384 14", 384, 384, 14, 3, 1, 384},
    {"3x3 depthwise 960 7", 960, 960, 7, 3, 1, 960},
    {"5x5 depthwise 192 40", 192, 192, 40, 5, 1, 192},
    {"3x3 depthwise 16 320", 16, 16, 320, 3, 1, 16},
};

static void make_listed(struct maker *maker, size_t index)
{
    const struct image_case *from = &cases[index / 3];
    bool channels_last = index % 3 != 0, narrow = index % 3 == 2;
    struct conv_params *p = make_params(maker, sizeof *p);
    int64_t taps = from->kernel * from->kernel, inputs = from->channels / from->groups;
    *p = (struct conv_params){
        .dtype = narrow ? DTYPE_I32 : DTYPE_F32,
        .x_dtype = narrow ? DTYPE_U8 : DTYPE_F32,
        .w_dtype = narrow ? DTYPE_I8 : DTYPE_F32,
        .batch = 1,
        .groups = from->groups,
        .input_channels = inputs,
        .output_channels = from->outputs / from->groups,
        .window = square_window(from),
        .x = square_image(from->channels, from->size, channels_last),
        .weight_group = from->outputs / from->groups * inputs * taps,
        .weight_output = inputs * taps,
        .weight_input = taps,
        .weight_spatial = {taps, from->kernel, 1},
    };
    p->y = square_image(from->outputs, p->window.output[1], channels_last);
    add_operands(maker, p, true);
    if (narrow) {
        const struct window *w = &p->window;
        const int64_t dims[] = {1, from->outputs, w->output[0], w->output[1], w->output[2]};
        struct conv_params *plain = memcpy(make_room(maker, 1, sizeof *p), p, sizeof *p);
        plain->y = square_image(from->outputs, w->output[1], false);
        maker->problem->plain_params = plain;
        p->epilogue = make_requantisation(maker, 5, dims, 1, conv_epilogue(p).dims);
    }
    snprintf(maker->problem->name, sizeof maker->problem->name, "conv %s %s", from->name,
             narrow          ? "i8 nhwc"
             : channels_last ? "nhwc"
                             : "nchw");
}

const struct family_problems conv_problems = {
    .family = FAMILY_conv,
    .make = make_conv,
    .table_count = 3 * sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
