/* Short-time Fourier transforms that are written as convolutions: which bases are taken for what they are, and what is
 * taken in before and behind them. Results with passes and without differ by less than the rounding of a convolution's
 * sums, N 2^-24 of the largest. */
#include "graph/passes/passes.h"
#include "tests/pass_test.h"
#include "tests/suites.h"

#include <math.h>

#define PI 3.14159265358979323846
#define FRAMES 12

struct front {
    int64_t length, bins, hop;
    int64_t taps;   /* of the window, in the middle of the frame; 0: all */
    bool pairs;     /* rows of the two parts of a bin follow each other */
    double sign;    /* of the sines */
    double mistake; /* of one weight, times the window's largest factor */
    bool biased, is_image;
    int64_t channels, dilation, pad;
};

static const struct front plain = {
    .length = 64, .bins = 33, .hop = 32, .sign = -1, .channels = 1, .dilation = 1, .pad = 0};

static double factor(const struct front *f, int64_t n)
{
    int64_t taps = f->taps ? f->taps : f->length, first = (f->length - taps) / 2;
    return n < first || n >= first + taps ? 0 : 0.75 - 0.5 * cos(2 * PI * (double)(n - first) / (double)taps);
}

static struct value *basis(struct rig *rig, const struct front *f)
{
    int64_t dims[4] = {2 * f->bins, f->channels, 1, 1}, count = 2 * f->bins * f->channels * f->length;
    int rank = f->is_image ? 4 : 3;
    dims[rank - 1] = f->length;
    float *data = region_array(&rig->maker.region, (size_t)count, sizeof *data);
    for (int64_t i = 0; i < count; i++) {
        int64_t row = i / f->length / f->channels, n = i % f->length;
        int64_t bin = f->pairs ? row / 2 : row % f->bins;
        bool imaginary = f->pairs ? row % 2 == 1 : row >= f->bins;
        double turn = 2 * PI * (double)(bin * n % f->length) / (double)f->length;
        data[i] = (float)(factor(f, n) * (imaginary ? f->sign * sin(turn) : cos(turn)));
    }
    data[5 * f->length * f->channels + 7] += (float)(f->mistake * 1.25);
    return graph_add_constant(rig->graph, "basis", DTYPE_F32, rank, dims, data);
}

/* By its weights alone, so that whoever would change them knows. */
START_TEST(weights_tell_what_they_are)
{
    for (int i = 0; i < 4; i++) {
        struct rig rig;
        struct front f = plain;
        rig_begin(&rig);
        f.pairs = i == 1;
        f.mistake = i == 2 ? 1e-3 : 0;
        f.channels = i == 3 ? 2 : 1;
        ck_assert_int_eq(is_fourier_basis(basis(&rig, &f), &rig.maker.region), i < 2);
        region_free(&rig.maker.region);
    }
}
END_TEST

static int64_t samples_of(const struct front *f)
{
    return (FRAMES - 1) * f->hop + f->length + 3;
}

static struct value *transformed(struct rig *rig, const struct front *f, struct value *x)
{
    int64_t strides[2] = {1, 1}, dilations[2] = {1, 1}, pads[4] = {0};
    int axes = f->is_image ? 2 : 1;
    strides[axes - 1] = f->hop;
    dilations[axes - 1] = f->dilation;
    pads[axes - 1] = pads[2 * axes - 1] = f->pad;
    const struct attribute attributes[] = {ATTRIBUTE_LIST("strides", axes, strides),
                                           ATTRIBUTE_LIST("dilations", axes, dilations),
                                           ATTRIBUTE_LIST("pads", 2 * axes, pads)};
    struct value *inputs[3] = {x, basis(rig, f)};
    if (f->biased)
        inputs[2] = rig_weights(rig, DIMS(2 * f->bins));
    return rig_node(rig, "Conv", 2 + f->biased, inputs, 3, attributes);
}

static struct value *signal_of(struct rig *rig, const struct front *f)
{
    return f->is_image ? rig_input(rig, DIMS(3, f->channels, 1, samples_of(f)))
                       : rig_input(rig, DIMS(3, f->channels, samples_of(f)));
}

static void expect(struct rig *rig, struct value *y, const char *nodes)
{
    rig_output(rig, y);
    rig_expect_pass(rig, recognise_stft, PASS_SHAPED, nodes, 400 * 0x1p-24);
}

static void expect_front(const struct front *f, const char *nodes)
{
    struct rig rig;
    rig_begin(&rig);
    expect(&rig, transformed(&rig, f, signal_of(&rig, f)), nodes);
}

START_TEST(bases)
{
    struct front f = plain;
    static const int64_t lengths[] = {64, 90, 96, 400};
    f.length = lengths[_i / 8];
    f.bins = f.length / 2 + 1;
    f.pairs = _i & 1;
    f.sign = _i & 2 ? 1 : -1;
    f.is_image = _i & 4;
    expect_front(&f, "FrameSpectrum");
    f.bins -= 9;
    f.taps = f.length / 2;
    f.pad = f.length / 2 - 1;
    f.hop = 25;
    expect_front(&f, "FrameSpectrum");
}
END_TEST

START_TEST(rounding_is_no_difference)
{
    struct front f = plain;
    f.mistake = 0x1p-23;
    expect_front(&f, "FrameSpectrum");
    f.mistake = 0x1p-21;
    expect_front(&f, "Conv");
    f.mistake = -0x1p-21;
    expect_front(&f, "Conv");
    f.mistake = (double)NAN;
    struct rig rig;
    rig_begin(&rig);
    struct value *y = transformed(&rig, &f, signal_of(&rig, &f));
    rig_output(&rig, y);
    const struct graph *graph = rig_shaped(&rig);
    ck_assert_int_eq(graph->node_count, 1);
    ck_assert_str_eq(graph->nodes[0]->op->name, "Conv");
    region_free(&rig.maker.region);
}
END_TEST

/* A bias, a dilation, two channels, one sample too many, a prime factor too large, few bins, frames too short. */
START_TEST(other_convolutions)
{
    struct front all[7] = {plain, plain, plain, plain, plain, plain, plain};
    all[0].biased = true;
    all[1].dilation = 2;
    all[2].channels = 2;
    all[3].length = 65;
    all[4].length = 62;
    all[5].bins = 5;
    all[6].length = 30;
    all[6].bins = 16;
    expect_front(&all[_i], "Conv");
}
END_TEST

START_TEST(trained_weights)
{
    struct rig rig;
    rig_begin(&rig);
    const int64_t hop = 32;
    const struct attribute strides = ATTRIBUTE_LIST("strides", 1, &hop);
    struct value *x = signal_of(&rig, &plain), *weights = rig_weights(&rig, DIMS(66, 1, 64));
    expect(&rig, rig_node(&rig, "Conv", 2, (struct value *[]){x, weights}, 1, &strides), "Conv");
}
END_TEST

/* --- behind it ------------------------------------------------------------------------------------------- */

static struct value *part(struct rig *rig, struct value *x, int64_t channel, int64_t channels, int64_t frames,
                          int64_t frame)
{
    const int64_t starts[] = {channel, frame}, ends[] = {channel + channels, frame + frames}, axes[] = {1, -1};
    return rig_node(rig, "Slice", 4,
                    (struct value *[]){x, rig_ints(rig, 2, starts), rig_ints(rig, 2, ends), rig_ints(rig, 2, axes)}, 0,
                    NULL);
}

static struct value *power(struct rig *rig, struct value *re, struct value *im)
{
    struct value *square = rig_with(rig, "Pow", re, 2);
    return rig_op2(rig, "Add", square, rig_op2(rig, "Mul", im, im));
}

START_TEST(power_and_magnitude)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = transformed(&rig, &plain, signal_of(&rig, &plain));
    int64_t frame = _i / 2 * 5, first = _i & 1 ? plain.bins : 0;
    struct value *one = part(&rig, y, first, plain.bins, FRAMES - frame, frame);
    y = power(&rig, one, part(&rig, y, plain.bins - first, plain.bins, FRAMES - frame, frame));
    expect(&rig, _i == 2 ? y : rig_op1(&rig, "Sqrt", y), "FrameSpectrum");
}
END_TEST

/* Not all bins, different frames, one half twice, a part that is read elsewhere too. */
START_TEST(other_sums)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = transformed(&rig, &plain, signal_of(&rig, &plain));
    int64_t bins = _i == 0 ? plain.bins - 1 : plain.bins;
    struct value *re = part(&rig, y, 0, bins, FRAMES - 3, 0);
    struct value *im = part(&rig, y, _i == 2 ? 0 : plain.bins, bins, FRAMES - 3, _i == 1);
    if (_i == 3)
        rig_output(&rig, re);
    expect(&rig, power(&rig, re, im), "FrameSpectrum Slice Slice Pow Mul Add");
}
END_TEST

/* The parts on an axis of their own. */
START_TEST(sum_of_squares)
{
    struct rig rig;
    rig_begin(&rig);
    const int64_t dims[] = {3, 2, plain.bins, FRAMES}, axis = _i == 0 ? 1 : 2;
    const struct attribute keep = ATTRIBUTE_I("keepdims", 0);
    struct value *y = transformed(&rig, &plain, signal_of(&rig, &plain));
    struct value *view = rig_op2(&rig, "Reshape", y, rig_ints(&rig, 4, dims));
    struct value *sum =
        rig_node(&rig, "ReduceSumSquare", 2, (struct value *[]){view, rig_ints(&rig, 1, &axis)}, 1, &keep);
    expect(&rig, sum, _i == 0 ? "FrameSpectrum" : "FrameSpectrum Reshape ReduceSumSquare");
}
END_TEST

/* --- before it ------------------------------------------------------------------------------------------- */

/* Mirrored as far as the pass reads it so; or padded in another way, or along another axis. */
START_TEST(mirrored_signals)
{
    static const char *const modes[] = {"reflect", "reflect", "edge", "reflect"};
    static const int64_t pads[][4] = {{0, 32, 0, 32}, {0, 0, 0, 40}, {0, 32, 0, 32}, {1, 32, 1, 32}};
    struct rig rig;
    rig_begin(&rig);
    const struct attribute mode = {
        .name = "mode", .kind = ATTRIBUTE_STRING, .count = strlen(modes[_i]), .string = modes[_i]};
    struct value *x = rig_input(&rig, DIMS(3, 41)), *both[] = {x, rig_ints(&rig, 4, pads[_i])};
    const int64_t axis = 1;
    struct value *padded = rig_node(&rig, "Pad", 2, both, 1, &mode);
    struct value *view = rig_op2(&rig, "Unsqueeze", padded, rig_ints(&rig, 1, &axis));
    struct front f = plain;
    f.hop = 2;
    expect(&rig, transformed(&rig, &f, view), _i < 2 ? "Reshape FrameSpectrum" : "Pad Unsqueeze FrameSpectrum");
}
END_TEST

Suite *passes_stft_suite(void)
{
    Suite *suite = suite_create("passes_stft");
    TCase *tests = tcase_create("all");
    tcase_add_loop_test(tests, bases, 0, 32);
    tcase_add_test(tests, rounding_is_no_difference);
    tcase_add_loop_test(tests, other_convolutions, 0, 7);
    tcase_add_test(tests, trained_weights);
    tcase_add_test(tests, weights_tell_what_they_are);
    tcase_add_loop_test(tests, power_and_magnitude, 0, 4);
    tcase_add_loop_test(tests, other_sums, 0, 4);
    tcase_add_loop_test(tests, sum_of_squares, 0, 2);
    tcase_add_loop_test(tests, mirrored_signals, 0, 4);
    suite_add_tcase(suite, tests);
    return suite;
}
