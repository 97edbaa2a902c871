#include "tools/problems/images.h"

void window_settle(struct window *w)
{
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int64_t window = (w->kernel[i] - 1) * w->dilation[i] + 1, seen;
        for (;; w->input[i]++) {
            seen = (w->input[i] - 1) * w->spread[i] + 1 + w->pad[i] + w->pad_after[i];
            if (seen >= window)
                break;
        }
        w->output[i] = (seen - window) / w->stride[i] + 1;
    }
}

struct window make_window(struct maker *maker, bool spreads)
{
    struct random *random = &maker->random;
    struct window w;
    int axes = random_once_in(random, 4) ? 1 : random_once_in(random, 5) ? 3 : 2;
    bool spread = spreads && random_once_in(random, 4), pointwise = random_once_in(random, 4);
    for (int i = 0; i < SPATIAL_AXES; i++) {
        bool missing = i < SPATIAL_AXES - axes;
        w.input[i] = missing ? 1 : make_size(maker, axes == 3 ? 12 : 40);
        w.kernel[i] = missing || pointwise ? 1 : random_between(random, 1, random_once_in(random, 5) ? 7 : 4);
        w.stride[i] = missing || spread ? 1 : random_once_in(random, 2) ? 1 : random_between(random, 1, 3);
        w.dilation[i] = missing || random_once_in(random, 2) ? 1 : random_between(random, 1, 3);
        w.spread[i] = missing || !spread ? 1 : random_between(random, 1, 3);
        int64_t reach = (w.kernel[i] - 1) * w.dilation[i];
        w.pad[i] = missing ? 0 : random_between(random, spread ? -1 : 0, reach);
        w.pad_after[i] = missing ? 0 : random_between(random, spread ? -1 : 0, reach);
    }
    window_settle(&w);
    return w;
}

int64_t window_positions(const struct window *w)
{
    return w->output[0] * w->output[1] * w->output[2];
}

int64_t window_taps(const struct window *w)
{
    return w->kernel[0] * w->kernel[1] * w->kernel[2];
}

void describe_window(struct maker *maker, const struct window *w)
{
    const struct {
        const char *name;
        const int64_t *numbers;
    } fields[] = {{"input", w->input},       {"output", w->output}, {"kernel", w->kernel}, {"stride", w->stride},
                  {"dilation", w->dilation}, {"spread", w->spread}, {"pad", w->pad},       {"pad_after", w->pad_after}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        describe_numbers(maker, fields[i].name, SPATIAL_AXES, fields[i].numbers);
}

static struct image_strides image_of(const int64_t *strides)
{
    return (struct image_strides){strides[0], strides[1], {strides[2], strides[3], strides[4]}};
}

struct image_strides make_image(struct maker *maker, enum layout_choice otherwise, int64_t batch, int64_t channels,
                                const int64_t *spatial)
{
    const int64_t dims[] = {batch, channels, spatial[0], spatial[1], spatial[2]};
    int64_t strides[5];
    int64_t choice = otherwise == LAYOUT_C ? 0 : random_below(&maker->random, 3);
    if (choice == 1) {
        const int64_t last[] = {batch, spatial[0], spatial[1], spatial[2], channels};
        make_strides(maker, LAYOUT_C, 5, last, strides);
        return (struct image_strides){strides[0], strides[4], {strides[1], strides[2], strides[3]}};
    }
    make_strides(maker, choice == 0 ? LAYOUT_C : otherwise, 5, dims, strides);
    return image_of(strides);
}

void strided_image(struct strided *at, int64_t batch, int64_t channels, const int64_t *spatial,
                   const struct image_strides *strides)
{
    strided_axis(at, batch, strides->batch);
    strided_axis(at, channels, strides->channel);
    for (int i = 0; i < SPATIAL_AXES; i++)
        strided_axis(at, spatial[i], strides->spatial[i]);
}

void describe_image(struct maker *maker, const char *name, const struct image_strides *strides)
{
    const int64_t all[] = {strides->batch, strides->channel, strides->spatial[0], strides->spatial[1],
                           strides->spatial[2]};
    describe_numbers(maker, name, 5, all);
}

struct window square_window(const struct image_case *from)
{
    int64_t pad = from->kernel == from->size ? 0 : from->kernel / 2;
    struct window w = {
        .input = {1, from->size, from->size},
        .kernel = {1, from->kernel, from->kernel},
        .stride = {1, from->stride, from->stride},
        .dilation = {1, 1, 1},
        .spread = {1, 1, 1},
        .pad = {0, pad, pad},
        .pad_after = {0, pad, pad},
    };
    window_settle(&w);
    return w;
}

struct image_strides square_image(int64_t channels, int64_t size, bool channels_last)
{
    int64_t area = size * size;
    return channels_last ? (struct image_strides){area * channels, 1, {area * channels, size * channels, channels}}
                         : (struct image_strides){area * channels, area, {area, size, 1}};
}
