/* Where images have their channels, and convolutions that scale what they read. */
#include "graph/steps/passes.h"
#include "kernels/conv.h"
#include "tests/step_test.h"
#include "tests/suites.h"

static struct value *begin(struct rig *rig, int rank, const int64_t *dims)
{
    rig_begin(rig);
    return rig_input(rig, rank, dims);
}

/* --- channels last --------------------------------------------------------------------------------------- */

/* Whether images lie channels last once groups of their channels have been shuffled: step 1 finds them side by side. */
START_TEST(a_channel_shuffle_is_one_of_channels_last)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 6, 3, 5)), *y = rig_op1(&rig, "Relu", rig_convolve(&rig, x, 6, 6));
    y = rig_transpose(&rig, rig_reshape(&rig, y, DIMS(2, 2, 3, 3, 5)), DIMS(0, 2, 1, 3, 4));
    rig_output(&rig, rig_convolve(&rig, rig_reshape(&rig, y, DIMS(2, 6, 3, 5)), 6, 4));
    struct segment before = rig_lower(&rig, FUSE_AND_ABSORB), after = rig_lower(&rig, FUSE_AND_ABSORB);
    struct error error = {0};
    const struct step_pass_options options = {.facts = &plain_facts, .channels_last = true};
    ck_assert_int_eq(choose_layouts(&after, &options, &error), STATUS_OK);
    const struct conv_params *p = after.steps.steps[1]->params;
    ck_assert_int_eq(p->x.channel, 1);
    ck_assert_int_eq(p->x.spatial[2], 6);
    compare_segments(&before, &after, &rig.maker.region);
    rig_end(&rig);
}
END_TEST

/* An image that the model itself has channels last stays as it is, whatever its second axis holds. */
START_TEST(a_model_of_channels_last_stays_so)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(1, 5, 4, 6)), *y = rig_op1(&rig, "Exp", x);
    y = rig_convolve(&rig, rig_transpose(&rig, y, DIMS(0, 3, 1, 2)), 6, 4);
    rig_output(&rig, rig_op1(&rig, "Softmax", rig_transpose(&rig, y, DIMS(0, 2, 3, 1))));
    struct segment after = rig_lower(&rig, FUSE_AND_ABSORB);
    struct error error = {0};
    const struct step_pass_options options = {.facts = &plain_facts, .channels_last = true};
    ck_assert_int_eq(choose_layouts(&after, &options, &error), STATUS_OK);
    const struct conv_params *p = after.steps.steps[1]->params;
    ck_assert_int_eq(p->x.channel, 1);
    ck_assert_int_eq(p->x.spatial[2], 6);
    rig_end(&rig);
}
END_TEST

/* Nothing between two convolutions asks for channels last, but all that is there can have them so. */
START_TEST(what_is_normalised_and_padded_keeps_channels_last)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(1, 6, 5, 5)), *y = rig_convolve(&rig, x, 6, 4);
    y = rig_node(&rig, "InstanceNormalization", 3,
                 (struct value *[]){y, rig_random(&rig, DIMS(4)), rig_random(&rig, DIMS(4))}, 0, NULL);
    y = rig_op1(&rig, "Relu", y); /* whose strides are its own; without, those of both sides are the same */
    y = rig_node(&rig, "Pad", 2, (struct value *[]){y, rig_ints(&rig, 8, (int64_t[]){0, 0, 1, 1, 0, 0, 1, 1})}, 1,
                 (struct attribute[]){ATTRIBUTE_TEXT("mode", "reflect")});
    rig_output(&rig, rig_convolve(&rig, y, 4, 6));
    struct segment after = rig_lower(&rig, FUSE_AND_ABSORB);
    struct error error = {0};
    const struct step_pass_options options = {.facts = &plain_facts, .channels_last = true};
    ck_assert_int_eq(choose_layouts(&after, &options, &error), STATUS_OK);
    for (int i = 0; i + 1 < after.steps.count; i++)
        ck_assert(value_root(after.steps.steps[i]->outputs[0], NULL)->strides);
    const struct conv_params *p = after.steps.steps[after.steps.count - 1]->params;
    ck_assert_int_eq(p->x.channel, 1);
    rig_end(&rig);
}
END_TEST

/* Nor is there a convolution on either side of what is put together and computed element by element. */
START_TEST(what_follows_channels_last_has_them_so)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(1, 6, 4, 4)), *a = rig_convolve(&rig, x, 6, 4), *b = rig_convolve(&rig, x, 6, 2);
    struct value *all =
        rig_node(&rig, "Concat", 2, (struct value *[]){a, b}, 1, (struct attribute[]){ATTRIBUTE_I("axis", 1)});
    rig_output(&rig, rig_convolve(&rig, a, 4, 1));
    rig_output(&rig, rig_convolve(&rig, b, 2, 1));
    struct value *axes = rig_ints(&rig, 2, (int64_t[]){2, 3});
    rig_output(&rig, rig_op2(&rig, "ReduceMean", rig_op1(&rig, "Exp", all), axes));
    struct segment after = rig_lower(&rig, FUSE);
    struct error error = {0};
    const struct step_pass_options options = {.facts = &plain_facts, .channels_last = true};
    ck_assert_int_eq(choose_layouts(&after, &options, &error), STATUS_OK);
    int copies = 0;
    for (int i = 0; i < after.steps.count; i++) {
        const struct step *step = after.steps.steps[i];
        if (!is_family(step, FAMILY_copy) && !is_family(step, FAMILY_pointwise))
            continue;
        ck_assert(value_root(step->outputs[0], NULL)->strides);
        copies += is_family(step, FAMILY_copy);
    }
    ck_assert_int_eq(copies, 2);
    rig_end(&rig);
}
END_TEST

/* What is quantised at run time is looked at as a whole, and stays between two convolutions as they want it. */
START_TEST(what_is_quantised_at_run_time_has_channels_last)
{
    struct rig rig;
    struct value *y = rig_convolve(&rig, begin(&rig, DIMS(1, 3, 6, 6)), 3, 8);
    const struct attribute scalar = ATTRIBUTE_I("keepdims", 0);
    struct value *most = rig_node(&rig, "ReduceMax", 1, &y, 1, &scalar);
    struct value *range = rig_op2(&rig, "Sub", most, rig_node(&rig, "ReduceMin", 1, &y, 1, &scalar));
    rig_output(&rig, rig_convolve(&rig, rig_op2(&rig, "Div", y, range), 8, 5));
    struct segment before = rig_lower(&rig, FUSE), after = rig_lower(&rig, FUSE);
    struct error error = {0};
    const struct step_pass_options options = {.facts = &plain_facts, .channels_last = true};
    ck_assert_int_eq(choose_layouts(&after, &options, &error), STATUS_OK);
    int extremes = 0;
    for (int i = 0; i < after.steps.count; i++)
        if (is_family(after.steps.steps[i], FAMILY_reduce)) {
            ck_assert(value_root(after.steps.steps[i]->inputs[0], NULL)->strides);
            extremes++;
        }
    ck_assert_int_eq(extremes, 2);
    compare_segments(&before, &after, &rig.maker.region);
    rig_end(&rig);
}
END_TEST

/* --- what a convolution scales ----------------------------------------------------------------------------- */

static struct value *scaled(struct rig *rig, struct value *x, int64_t channels, bool swapped, bool cut)
{
    struct value *factor = rig_random(rig, DIMS(channels, 1, 1)), *shift = rig_random(rig, DIMS(1, channels, 1, 1));
    x = swapped ? rig_op2(rig, "Mul", factor, x) : rig_op2(rig, "Mul", x, factor);
    x = swapped ? rig_op2(rig, "Add", shift, x) : rig_op2(rig, "Add", x, shift);
    return cut ? rig_op1(rig, "Relu", x) : x;
}

#define ALL_OF_CPUS (DEVICE_CUDA - 1u)

/* The steps of the graph with images channels last; before and after give the same bits. */
static void expect_scaled(struct rig *rig, int threads, unsigned cpu, const char *steps)
{
    struct region *region = &rig->maker.region;
    struct segment before = rig_lower(rig, FUSE_AND_ABSORB), after = rig_lower(rig, FUSE_AND_ABSORB);
    struct error error = {0};
    const struct kernel_facts all = {.threads = threads, .cpu = cpu};
    const struct step_pass_options options = {.facts = &all, .channels_last = true};
    ck_assert_int_eq(choose_layouts(&after, &options, &error), STATUS_OK);
    ck_assert_int_eq(scale_inputs(&after, &options, &error), STATUS_OK);
    ck_assert_str_eq(describe_steps(&after, region), steps);
    compare_segments(&before, &after, region);
}

START_TEST(a_convolution_scales_what_it_reads)
{
    for (int i = 0; i < 8; i++) {
        bool swapped = i & 1, cut = i & 2, part = i & 4;
        struct rig rig;
        struct value *x = begin(&rig, DIMS(2, 3, 7, 5)), *y = rig_convolve(&rig, x, 3, 8);
        rig_output(&rig, rig_convolve(&rig, y, 8, 1)); /* else the one before would scale it */
        if (part)                                      /* what it reads lies among other channels */
            y = rig_slice(&rig, y, 1, 2, 8, 1);
        rig_output(&rig, rig_convolve(&rig, scaled(&rig, y, part ? 6 : 8, swapped, cut), part ? 6 : 8, 4));
        expect_scaled(&rig, 1, ALL_OF_CPUS, "conv conv conv(scaled)");
        rig_end(&rig);
    }
}
END_TEST

/* What two convolutions read; the second of them as it is. */
static struct value *read_twice(struct rig *rig, int64_t width)
{
    struct value *x = rig_convolve(rig, begin(rig, DIMS(1, 3, 4, width)), 3, 8);
    rig_output(rig, rig_convolve(rig, x, 8, 1));
    return x;
}

/* Where others read the image in between, where there are few positions for so many threads, where a GPU reads it,
 * and where other things are done to it. */
START_TEST(what_is_not_scaled_by_a_convolution)
{
    struct rig rig;
    struct value *x = read_twice(&rig, 4), *y = scaled(&rig, x, 8, false, true);
    rig_output(&rig, rig_convolve(&rig, y, 8, 4));
    rig_output(&rig, rig_convolve(&rig, y, 8, 2));
    expect_scaled(&rig, 1, ALL_OF_CPUS, "conv conv MUL+ADD+RELU conv conv");
    rig_end(&rig);
    x = read_twice(&rig, 4);
    rig_output(&rig, rig_convolve(&rig, scaled(&rig, x, 8, false, true), 8, 4));
    expect_scaled(&rig, 2, ALL_OF_CPUS, "conv conv MUL+ADD+RELU conv");
    rig_end(&rig);
    x = read_twice(&rig, 4);
    rig_output(&rig, rig_convolve(&rig, scaled(&rig, x, 8, false, true), 8, 4));
    expect_scaled(&rig, 1, ALL_OF_CPUS | DEVICE_CUDA, "conv conv MUL+ADD+RELU conv");
    rig_end(&rig);
    x = read_twice(&rig, 4);
    y = rig_op1(&rig, "Relu", rig_op2(&rig, "Mul", rig_random(&rig, DIMS(8, 1, 1)), x));
    rig_output(&rig, rig_convolve(&rig, rig_op2(&rig, "Add", y, rig_random(&rig, DIMS(8, 1, 1))), 8, 4));
    expect_scaled(&rig, 1, ALL_OF_CPUS, "conv conv MUL+RELU+ADD conv");
    rig_end(&rig);
    x = read_twice(&rig, 8); /* numbers of the last axis */
    y = rig_op2(&rig, "Mul", x, rig_random(&rig, DIMS(8)));
    rig_output(&rig, rig_convolve(&rig, rig_op2(&rig, "Add", y, rig_random(&rig, DIMS(8, 1, 1))), 8, 4));
    expect_scaled(&rig, 1, ALL_OF_CPUS, "conv conv MUL+ADD conv");
    rig_end(&rig);
}
END_TEST

Suite *passes_layouts_suite(void)
{
    Suite *suite = suite_create("passes_layouts");
    TCase *last = tcase_create("channels last");
    tcase_add_test(last, a_channel_shuffle_is_one_of_channels_last);
    tcase_add_test(last, a_model_of_channels_last_stays_so);
    tcase_add_test(last, what_is_normalised_and_padded_keeps_channels_last);
    tcase_add_test(last, what_follows_channels_last_has_them_so);
    tcase_add_test(last, what_is_quantised_at_run_time_has_channels_last);
    suite_add_tcase(suite, last);
    TCase *scales = tcase_create("scaled inputs");
    tcase_add_test(scales, a_convolution_scales_what_it_reads);
    tcase_add_test(scales, what_is_not_scaled_by_a_convolution);
    suite_add_tcase(suite, scales);
    return suite;
}
