#include "kernels/conv.h"
#include "tests/kernel_run.h"
#include "tests/op_test.h"
#include "tests/suites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *numbers(size_t count, unsigned seed)
{
    float *list = calloc(count, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        list[i] = (float)(int)(seed >> 24) / 64 - 2;
    }
    return list;
}

/* --- one problem, by the definition ---------------------------------------------------------------------- */

struct problem {
    int64_t batch, groups, channels, outputs; /* of one group */
    int64_t height, width, kernel, stride, dilation, pad, spread;
};

static int64_t output_size(const struct problem *p, int64_t input)
{
    int64_t spread = p->spread * (input - 1) + 1;
    return (spread + 2 * p->pad - p->dilation * (p->kernel - 1) - 1) / p->stride + 1;
}

/* Where a tap reads, -1 for padding or between the elements that are spread out. */
static int64_t source(const struct problem *p, int64_t position, int64_t tap, int64_t size)
{
    int64_t at = position * p->stride + tap * p->dilation - p->pad;
    return at < 0 || at % p->spread != 0 || at / p->spread >= size ? -1 : at / p->spread;
}

static float expected_at(const struct problem *p, const float *x, const float *w, int64_t n, int64_t m, int64_t row,
                         int64_t column)
{
    double sum = 0;
    int64_t group = m / p->outputs, all = p->groups * p->channels;
    for (int64_t c = 0; c < p->channels; c++)
        for (int64_t ky = 0; ky < p->kernel; ky++)
            for (int64_t kx = 0; kx < p->kernel; kx++) {
                int64_t y = source(p, row, ky, p->height), z = source(p, column, kx, p->width);
                if (y < 0 || z < 0)
                    continue;
                double value = (double)x[((n * all + group * p->channels + c) * p->height + y) * p->width + z];
                sum += value * (double)w[((m * p->channels + c) * p->kernel + ky) * p->kernel + kx];
            }
    return (float)sum;
}

static float *convolve(const struct problem *p, const float *x, const float *w, const float *bias)
{
    int64_t rows = output_size(p, p->height), columns = output_size(p, p->width), all = p->groups * p->outputs;
    float *y = numbers((size_t)(p->batch * all * rows * columns), 0), *next = y;
    for (int64_t n = 0; n < p->batch; n++)
        for (int64_t m = 0; m < all; m++)
            for (int64_t i = 0; i < rows * columns; i++)
                *next++ = expected_at(p, x, w, n, m, i / columns, i % columns) + (bias ? bias[m] : 0);
    return y;
}

static const struct problem problems[] = {
    {1, 1, 3, 5, 7, 6, 3, 1, 1, 1, 1},     /* the usual */
    {2, 1, 130, 270, 5, 5, 1, 1, 1, 0, 1}, /* more channels than a block has */
    {1, 1, 2, 3, 40, 37, 3, 2, 1, 1, 1},   /* more positions than a block has */
    {1, 6, 1, 1, 9, 8, 3, 1, 1, 1, 1},     /* depthwise */
    {2, 3, 2, 4, 9, 11, 3, 2, 2, 2, 1},    /* groups, stride and dilation */
    {1, 1, 4, 4, 2, 2, 5, 1, 1, 2, 1},     /* a kernel larger than the input */
    {1, 1, 1, 2, 3, 3, 2, 3, 1, 4, 1},     /* windows in the padding alone */
    {3, 1, 4, 6, 1, 2, 3, 1, 1, 1, 1},     /* some places of the window in the padding alone */
    {1, 1, 3, 2, 2, 1, 3, 1, 3, 3, 1},     /* the same, further apart */
};

static struct conv_params params_of(const struct problem *p)
{
    struct conv_params params = {
        .dtype = DTYPE_F32,
        .x_dtype = DTYPE_F32,
        .w_dtype = DTYPE_F32,
        .batch = p->batch,
        .groups = p->groups,
        .input_channels = p->channels,
        .output_channels = p->outputs,
        .window = {.input = {1, p->height, p->width},
                   .output = {1, output_size(p, p->height), output_size(p, p->width)},
                   .kernel = {1, p->kernel, p->kernel},
                   .stride = {1, p->stride, p->stride},
                   .dilation = {1, p->dilation, p->dilation},
                   .spread = {1, p->spread, p->spread},
                   .pad = {0, p->pad, p->pad}},
    };
    int64_t square = p->kernel * p->kernel;
    params.weight_group = p->outputs * p->channels * square;
    params.weight_output = p->channels * square;
    params.weight_input = square;
    params.weight_spatial[1] = p->kernel;
    params.weight_spatial[2] = 1;
    return params;
}

static struct image_strides layout(int64_t channels, int64_t height, int64_t width, bool channels_last)
{
    if (channels_last)
        return (struct image_strides){height * width * channels, 1, {0, width * channels, channels}};
    return (struct image_strides){channels * height * width, height * width, {0, width, 1}};
}

/* Moves between [batch, channels, pixels] and [batch, pixels, channels]. */
static float *turned(const float *x, int64_t batch, int64_t channels, int64_t pixels)
{
    float *y = calloc((size_t)(batch * channels * pixels), sizeof *y);
    for (int64_t n = 0; n < batch; n++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < pixels; i++)
                y[(n * pixels + i) * channels + c] = x[(n * channels + c) * pixels + i];
    return y;
}

START_TEST(the_kernel_follows_the_definition_in_both_layouts)
{
    const struct problem *p = &problems[_i];
    int64_t in = p->groups * p->channels, out = p->groups * p->outputs;
    int64_t rows = output_size(p, p->height), columns = output_size(p, p->width);
    float *x = numbers((size_t)(p->batch * in * p->height * p->width), 1), *bias = numbers((size_t)out, 3);
    float *w = numbers((size_t)(out * p->channels * p->kernel * p->kernel), 2), *want = convolve(p, x, w, bias);
    size_t results = (size_t)(p->batch * out * rows * columns);
    float *x_last = turned(x, p->batch, in, p->height * p->width),
          *want_last = turned(want, p->batch, out, rows * columns);
    float *y = calloc(results, sizeof *y);
    for (int last = 0; last <= 1; last++) {
        struct conv_params params = params_of(p);
        params.x = layout(in, p->height, p->width, last);
        params.y = layout(out, rows, columns, last);
        run_problem(FAMILY_conv, &params, &plain_facts, (const void *[]){last ? x_last : x, w, bias, NULL, NULL},
                    (void *[]){y});
        for (size_t i = 0; i < results; i++)
            ck_assert_double_eq_tol((double)y[i], (double)(last ? want_last : want)[i], 1e-3);
    }
    free(x), free(bias), free(w), free(want), free(x_last), free(want_last), free(y);
}
END_TEST

static bool sees(int64_t position, int64_t input, int64_t beyond)
{
    return input >= position - 1 - beyond && input <= position + 1 + beyond;
}

/* Outputs whose window sees it become NaN; those a few positions further on may; all others keep their bits. */
START_TEST(a_nan_stays_near)
{
    enum { SIZE = 30, CHANNELS = 16, OUTPUTS = 5, BEYOND = 3, AT = 13 };
    const float odd[] = {NAN, INFINITY, -INFINITY};
    const struct problem p = {1, 1, CHANNELS, OUTPUTS, SIZE, SIZE, 3, 1, 1, 1, 1};
    struct conv_params params = params_of(&p);
    params.x = layout(CHANNELS, SIZE, SIZE, true);
    params.y = layout(OUTPUTS, SIZE, SIZE, true);
    const struct kernel_facts facts = {.cpu = cpu_detect(), .threads = 3, .constant_inputs = 1u << 1};
    float *x = numbers(SIZE * SIZE * CHANNELS, 1), *w = numbers(OUTPUTS * CHANNELS * 9, 2);
    float *before = numbers(SIZE * SIZE * OUTPUTS, 0), *after = numbers(SIZE * SIZE * OUTPUTS, 0);
    run_problem(FAMILY_conv, &params, &facts, (const void *[]){x, w, NULL, NULL, NULL}, (void *[]){before});
    x[(AT * SIZE + AT + _i) * CHANNELS + 7] = odd[_i];
    run_problem(FAMILY_conv, &params, &facts, (const void *[]){x, w, NULL, NULL, NULL}, (void *[]){after});
    for (int64_t i = 0; i < SIZE * SIZE * OUTPUTS; i++) {
        int64_t row = i / OUTPUTS / SIZE, column = i / OUTPUTS % SIZE;
        if (sees(row, AT, 0) && sees(column, AT + _i, 0))
            ck_assert(!isfinite(after[i]));
        else if (!sees(row, AT, BEYOND) || !sees(column, AT + _i, BEYOND))
            ck_assert_mem_eq(&after[i], &before[i], sizeof after[i]);
    }
    free(x), free(w), free(before), free(after);
}
END_TEST

/* --- slopes in registers ----------------------------------------------------------------------------------- */

enum { SLOPED_HEIGHT = 9, SLOPED_WIDTH = 11, SLOPED_CHANNELS = 14, SLOPED_POSITIONS = SLOPED_HEIGHT * SLOPED_WIDTH };

/* What rides: a slope for each channel, or one for all, and perhaps a lower bound. */
struct sloped {
    enum pointwise_opcode opcode;
    bool bounded;
    float bound;
};
static const struct sloped sloped[] = {
    {POINTWISE_PRELU, false, 0}, {POINTWISE_PRELU, true, -0.5F}, {POINTWISE_LEAKY_RELU, true, -0.5F},
    {POINTWISE_PRELU, true, 0},  {POINTWISE_PRELU, true, NAN},
};
#define SLOPE 0.25F

static const struct pointwise_params *sloped_program(const struct sloped *s, int64_t outputs,
                                                     struct pointwise_room *room)
{
    struct pointwise_builder b = {.rank = 2,
                                  .dims = {outputs, SLOPED_POSITIONS},
                                  .input_count = 3,
                                  .output_count = 1,
                                  .instruction_count = s->bounded ? 2 : 1};
    b.operands[0] = (struct pointwise_operand){.dtype = DTYPE_F32, .strides = {1, outputs}};
    b.operands[1] = (struct pointwise_operand){.dtype = DTYPE_F32, .reg = 1, .strides = {1}};
    b.operands[2] = (struct pointwise_operand){.dtype = DTYPE_F32, .reg = 2};
    b.operands[3] = (struct pointwise_operand){.dtype = DTYPE_F32, .strides = {1, outputs}};
    b.code[0] = (struct pointwise_instruction){
        .opcode = (uint8_t)s->opcode, .register_class = CLASS_F32, .b = 1, .immediate = {(double)SLOPE}};
    b.code[1] = (struct pointwise_instruction){.opcode = POINTWISE_MAX, .register_class = CLASS_F32, .b = 2};
    return pointwise_build(&b, room);
}

static float bend(const struct sloped *s, float x, float slope)
{
    x = x < 0 ? x * (s->opcode == POINTWISE_PRELU ? slope : SLOPE) : x;
    return !s->bounded ? x : isnan(s->bound) ? NAN : x > s->bound ? x : s->bound;
}

static void run_kernel(const struct kernel *kernel, const struct conv_params *params, const void *const *inputs,
                       float *y)
{
    const struct kernel_facts facts = {.cpu = cpu_detect(), .threads = 2, .constant_inputs = 1u << 1};
    struct region region;
    struct kernel_plan plan;
    region_init(&region, &default_allocator);
    ck_assert(kernel->supports(params));
    ck_assert(kernel_make_plan(kernel, params, &facts, &region, &plan));
    run_planned(kernel, &plan, inputs, (void *[]){y}, true);
    region_free(&region);
}

/* To the bit what would come of the results afterwards; in panels that are full, and in parts of one. */
static void expect_slopes(const struct kernel *kernel, const struct sloped *s, int64_t outputs)
{
    const struct problem p = {1, 1, SLOPED_CHANNELS, outputs, SLOPED_HEIGHT, SLOPED_WIDTH, 3, 1, 1, 1, 1};
    struct conv_params params = params_of(&p);
    struct pointwise_room room;
    params.x = layout(SLOPED_CHANNELS, SLOPED_HEIGHT, SLOPED_WIDTH, true);
    params.y = layout(outputs, SLOPED_HEIGHT, SLOPED_WIDTH, true);
    size_t results = (size_t)(SLOPED_POSITIONS * outputs);
    float *x = numbers(SLOPED_POSITIONS * SLOPED_CHANNELS, 1), *bias = numbers((size_t)outputs, 3);
    float *w = numbers((size_t)(outputs * SLOPED_CHANNELS * 9), 2), *slopes = numbers((size_t)outputs, 4);
    float *before = numbers(results, 0), *after = numbers(results, 0);
    const void *const inputs[] = {x, w, bias, NULL, NULL, slopes, &s->bound};
    run_kernel(kernel, &params, inputs, before);
    params.epilogue = sloped_program(s, outputs, &room);
    run_kernel(kernel, &params, inputs, after);
    for (size_t i = 0; i < results; i++) {
        float want = bend(s, before[i], slopes[i % (size_t)outputs]);
        ck_assert(isnan(want) ? isnan(after[i]) : memcmp(&after[i], &want, sizeof want) == 0);
    }
    free(x), free(bias), free(w), free(slopes), free(before), free(after);
}

START_TEST(slopes_ride_bit_for_bit)
{
    for (size_t i = 0; kernel_at(i); i++) {
        const struct kernel *kernel = kernel_at(i);
        if (strncmp(kernel->name, "conv_f32_avx", strlen("conv_f32_avx")) != 0 || kernel->requires & ~cpu_detect())
            continue;
        expect_slopes(kernel, &sloped[_i], 12);
        expect_slopes(kernel, &sloped[_i], 28);
        expect_slopes(kernel, &sloped[_i], 70);
    }
}
END_TEST

START_TEST(conv_is_the_kernel)
{
    const struct problem *p = &problems[_i];
    int64_t in = p->groups * p->channels, out = p->groups * p->outputs, k = p->kernel;
    float *x = numbers((size_t)(p->batch * in * p->height * p->width), 1), *bias = numbers((size_t)out, 3);
    float *w = numbers((size_t)(out * p->channels * k * k), 2), *want = convolve(p, x, w, bias);
    const int64_t pads[] = {p->pad, p->pad, p->pad, p->pad}, strides[] = {p->stride, p->stride};
    const int64_t dilations[] = {p->dilation, p->dilation};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("pads", 4, pads), ATTRIBUTE_LIST("strides", 2, strides),
                                           ATTRIBUTE_LIST("dilations", 2, dilations), ATTRIBUTE_I("group", p->groups)};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, p->batch, in, p->height, p->width),
                                         TENSOR(DTYPE_F32, w, 4, out, p->channels, k, k),
                                         TENSOR(DTYPE_F32, bias, 1, out)};
    struct test_tensor y = run_simple("Conv", 3, inputs, 4, attributes);
    expect_f32(&y, want, 1e-4, 4, p->batch, out, output_size(p, p->height), output_size(p, p->width));
    free(x), free(bias), free(w), free(want);
}
END_TEST

/* ConvTranspose scatters: y[i * stride + k * dilation - pad] += x[i] w[k]. */
START_TEST(conv_transpose_scatters)
{
    enum {
        C = 3,
        M = 2,
        SIZE = 4,
        K = 3,
        STRIDE = 2,
        PAD = 1,
        EXTRA = 1,
        OUT = STRIDE * (SIZE - 1) + K - 2 * PAD + EXTRA
    };
    float *x = numbers(C * SIZE, 1), *w = numbers(C * M * K, 2), want[M * OUT] = {0};
    for (int c = 0; c < C; c++)
        for (int i = 0; i < SIZE; i++)
            for (int m = 0; m < M; m++)
                for (int k = 0; k < K; k++) {
                    int at = i * STRIDE + k - PAD;
                    if (at >= 0 && at < OUT)
                        want[m * OUT + at] += x[c * SIZE + i] * w[(c * M + m) * K + k];
                }
    const int64_t pads[] = {PAD, PAD}, stride = STRIDE, extra = EXTRA;
    const struct attribute attributes[] = {ATTRIBUTE_LIST("pads", 2, pads), ATTRIBUTE_LIST("strides", 1, &stride),
                                           ATTRIBUTE_LIST("output_padding", 1, &extra)};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, C, SIZE), TENSOR(DTYPE_F32, w, 3, C, M, K)};
    struct test_tensor y = run_simple("ConvTranspose", 2, inputs, 3, attributes);
    expect_f32(&y, want, 1e-5, 3, 1, M, OUT);
    free(x), free(w);
}
END_TEST

START_TEST(transposed_groups_keep_apart)
{
    const float x[] = {1, 2}, w[] = {10, 100}, want[] = {10, 200};
    const struct attribute group = ATTRIBUTE_I("group", 2);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, 2, 1), TENSOR(DTYPE_F32, w, 3, 2, 1, 1)};
    struct test_tensor y = run_simple("ConvTranspose", 2, inputs, 1, &group);
    expect_f32(&y, want, 0, 3, 1, 2, 1);
}
END_TEST

START_TEST(same_padding_puts_the_odd_one_last_or_first)
{
    const float x[] = {1, 2, 3, 4}, w[] = {1, 10}, upper[] = {21, 32, 43, 4}, lower[] = {10, 21, 32, 43};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 3, 1, 1, 4), TENSOR(DTYPE_F32, w, 3, 1, 1, 2)};
    const struct attribute up = ATTRIBUTE_TEXT("auto_pad", "SAME_UPPER"),
                           low = ATTRIBUTE_TEXT("auto_pad", "SAME_LOWER");
    struct test_tensor y = run_simple("Conv", 2, inputs, 1, &up);
    expect_f32(&y, upper, 0, 3, 1, 1, 4);
    y = run_simple("Conv", 2, inputs, 1, &low);
    expect_f32(&y, lower, 0, 3, 1, 1, 4);
}
END_TEST

START_TEST(empty_batches_and_no_channels)
{
    const float w[] = {1, 2}, bias[] = {7, 8}, want[] = {7, 7, 7, 8, 8, 8};
    const struct test_tensor no_batch[] = {TENSOR(DTYPE_F32, w, 3, 0, 1, 3), TENSOR(DTYPE_F32, w, 3, 2, 1, 1)};
    struct test_tensor y = run_simple("Conv", 2, no_batch, 0, NULL);
    expect_f32(&y, NULL, 0, 3, 0, 2, 3);
    /* The sum over no channels is 0, and the bias stays. */
    const struct test_tensor no_channels[] = {TENSOR(DTYPE_F32, w, 3, 1, 0, 3), TENSOR(DTYPE_F32, w, 3, 2, 0, 1),
                                              TENSOR(DTYPE_F32, bias, 1, 2)};
    y = run_simple("Conv", 3, no_channels, 0, NULL);
    expect_f32(&y, want, 0, 3, 1, 2, 3);
}
END_TEST

START_TEST(weights_that_do_not_fit_are_refused)
{
    const float data[64] = {0};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, data, 3, 1, 3, 4), TENSOR(DTYPE_F32, data, 3, 2, 2, 1)};
    expect_refusal(STATUS_INVALID_MODEL, "do not fit weights", "Conv", 2, inputs, 0, NULL);
    const struct test_tensor good[] = {TENSOR(DTYPE_F32, data, 3, 1, 2, 4), TENSOR(DTYPE_F32, data, 3, 2, 2, 1)};
    const int64_t far = (int64_t)1 << 40, none = 0;
    const struct attribute attributes[] = {ATTRIBUTE_LIST("dilations", 1, &far), ATTRIBUTE_LIST("strides", 1, &none),
                                           ATTRIBUTE_I("group", 0)};
    expect_refusal(STATUS_INVALID_MODEL, "dilations holds", "Conv", 2, good, 1, &attributes[0]);
    expect_refusal(STATUS_INVALID_MODEL, "strides holds 0", "Conv", 2, good, 1, &attributes[1]);
    expect_refusal(STATUS_INVALID_MODEL, "group is 0", "Conv", 2, good, 1, &attributes[2]);
}
END_TEST

/* Offsets of whole elements move the taps; half an element lies between two. */
START_TEST(deformed_taps_move)
{
    const float x[] = {1, 2, 4, 8}, w[] = {1}, offsets[] = {0, 0, 0, 0, 1, 0.5f, -1, 7};
    const float want[] = {2, 3, 2, 0};
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F32, x, 4, 1, 1, 1, 4), TENSOR(DTYPE_F32, w, 4, 1, 1, 1, 1),
                                         TENSOR(DTYPE_F32, offsets, 4, 1, 2, 1, 4)};
    struct test_tensor y = run_simple("DeformConv", 3, inputs, 0, NULL);
    expect_f32(&y, want, 1e-6, 4, 1, 1, 1, 4);
}
END_TEST

START_TEST(integer_convolution_pads_with_the_zero_point)
{
    const uint8_t x[] = {5, 6, 7}, zero[] = {5};
    const int8_t w[] = {1, 2, -1};
    const int32_t want[] = {-1, 0, 5};
    const int64_t pads[] = {1, 1};
    const struct attribute attribute = ATTRIBUTE_LIST("pads", 2, pads);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_U8, x, 3, 1, 1, 3), TENSOR(DTYPE_I8, w, 3, 1, 1, 3),
                                         TENSOR(DTYPE_U8, zero, 0, 0)};
    struct test_tensor y = run_simple("ConvInteger", 3, inputs, 1, &attribute);
    expect_bytes(&y, DTYPE_I32, want, 3, 1, 1, 3);
}
END_TEST

Suite *ops_conv_suite(void)
{
    const int count = (int)(sizeof problems / sizeof problems[0]);
    Suite *suite = suite_create("ops_conv");
    TCase *tests = tcase_create("ops_conv");
    tcase_add_loop_test(tests, the_kernel_follows_the_definition_in_both_layouts, 0, count);
    tcase_add_loop_test(tests, a_nan_stays_near, 0, 3);
    tcase_add_loop_test(tests, slopes_ride_bit_for_bit, 0, (int)(sizeof sloped / sizeof sloped[0]));
    tcase_add_loop_test(tests, conv_is_the_kernel, 0, count);
    tcase_add_test(tests, conv_transpose_scatters);
    tcase_add_test(tests, transposed_groups_keep_apart);
    tcase_add_test(tests, same_padding_puts_the_odd_one_last_or_first);
    tcase_add_test(tests, empty_batches_and_no_channels);
    tcase_add_test(tests, weights_that_do_not_fit_are_refused);
    tcase_add_test(tests, deformed_taps_move);
    tcase_add_test(tests, integer_convolution_pads_with_the_zero_point);
    suite_add_tcase(suite, tests);
    return suite;
}
