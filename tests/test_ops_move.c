#include "tests/op_short.h"
#include "tests/suites.h"

#include <string.h>

static const float six[] = {1, 2, 3, 4, 5, 6};

START_TEST(transpose_moves_axes)
{
    const float turned[] = {1, 4, 2, 5, 3, 6};
    const int64_t order[] = {2, 0, 1}, twice[] = {0, 0, 1};
    const struct attribute perm[] = {ATTRIBUTE_LIST("perm", 3, order)}, bad[] = {ATTRIBUTE_LIST("perm", 3, twice)};
    struct test_tensor in[] = {F32(six, 2, 2, 3)}, out[1];
    RUN_OP(in, out, .op = "Transpose");
    expect_f32(&out[0], turned, 0, 2, 3, 2);
    in[0] = F32(six, 3, 2, 1, 3);
    RUN_OP(in, out, .op = "Transpose", ATTRIBUTES(perm));
    expect_f32(&out[0], turned, 0, 3, 3, 2, 1);
    REFUSED(STATUS_INVALID_MODEL, "names axis 0 twice", in, .op = "Transpose", ATTRIBUTES(bad));
    in[0] = SCALAR(DTYPE_F32, six);
    RUN_OP(in, out, .op = "Transpose");
    expect_f32(&out[0], six, 0, 0);
}
END_TEST

START_TEST(concat_skips_empty_parts)
{
    const float joined[] = {1, 2, 9, 3, 4, 8}, nines[] = {9, 8};
    const struct attribute last[] = {ATTRIBUTE_I("axis", -1)};
    struct test_tensor in[] = {F32(six, 2, 2, 2), F32(six, 2, 2, 0), F32(nines, 2, 2, 1)}, out[1];
    RUN_OP(in, out, .op = "Concat", ATTRIBUTES(last));
    expect_f32(&out[0], joined, 0, 2, 2, 3);
    in[1] = F32(six, 2, 3, 1);
    REFUSED(STATUS_INVALID_ARGUMENT, "input 1 has 3 elements along axis 0, input 0 2", in, .op = "Concat",
            ATTRIBUTES(last));
}
END_TEST

START_TEST(split_gives_the_rest_to_the_last)
{
    const float first[] = {1, 2, 4, 5}, second[] = {3, 6};
    const int64_t sizes[] = {1, 5}, short_sizes[] = {1, 1};
    const struct attribute by_count[] = {ATTRIBUTE_I("axis", 1), ATTRIBUTE_I("num_outputs", 2)};
    struct test_tensor whole[] = {F32(six, 2, 2, 3)}, out[2];
    RUN_OP(whole, out, .op = "Split", ATTRIBUTES(by_count));
    expect_f32(&out[0], first, 0, 2, 2, 2);
    expect_f32(&out[1], second, 0, 2, 2, 1);
    struct test_tensor in[] = {F32(six, 1, 6), I64(sizes, 1, 2)};
    RUN_OP(in, out, .op = "Split");
    expect_f32(&out[0], six, 0, 1, 1);
    expect_f32(&out[1], six + 1, 0, 1, 5);
    in[1] = I64(short_sizes, 1, 2);
    refuse_call(&(struct op_call){.op = "Split", .inputs = in, .input_count = 2, .outputs = out, .output_count = 2},
                STATUS_INVALID_ARGUMENT, "leave 4 elements over");
}
END_TEST

struct slice_case {
    int64_t start, end, step;
    int count;
    float result[6];
};

START_TEST(slices_clamp)
{
    static const struct slice_case cases[] = {
        {1, 4, 1, 3, {2, 3, 4}},
        {-2, INT64_MAX, 1, 2, {5, 6}},
        {INT64_MIN, 3, 2, 2, {1, 3}},
        {INT64_MAX, INT64_MIN, -1, 6, {6, 5, 4, 3, 2, 1}},
        {4, 1, -2, 2, {5, 3}},
        {-100, -100, -1, 1, {1}}, /* a walk backwards starts at the first element at the earliest */
        {3, 3, 1, 0, {0}},
        {0, 6, INT64_MAX, 1, {1}},
        {5, 0, INT64_MIN, 1, {6}},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        const struct slice_case *c = &cases[i];
        const int64_t axis = 0;
        struct test_tensor in[] = {F32(six, 1, 6), I64(&c->start, 1, 1), I64(&c->end, 1, 1), I64(&axis, 1, 1),
                                   I64(&c->step, 1, 1)},
                           out[1];
        RUN_OP(in, out, .op = "Slice", .constants = 30);
        expect_f32(&out[0], c->result, 0, 1, c->count);
    }
}
END_TEST

START_TEST(slices_take_columns_and_run_time_bounds)
{
    const float middle[] = {2, 5}, back[] = {6, 4, 3, 1};
    const int64_t starts[] = {1}, ends[] = {2}, axes[] = {-1}, from[] = {-1, -1}, to[] = {-9, -9}, both[] = {0, 1},
                  steps[] = {-1, -2};
    const struct attribute old[] = {ATTRIBUTE_LIST("starts", 1, starts), ATTRIBUTE_LIST("ends", 1, ends),
                                    ATTRIBUTE_LIST("axes", 1, axes)};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(starts, 1, 1), I64(ends, 1, 1), I64(axes, 1, 1)}, out[1];
    RUN_OP(in, out, .op = "Slice");
    expect_f32(&out[0], middle, 0, 2, 2, 1);
    struct test_tensor alone[] = {in[0]};
    RUN_OP(alone, out, .op = "Slice", .version = 9, ATTRIBUTES(old));
    expect_f32(&out[0], middle, 0, 2, 2, 1);
    struct test_tensor flip[] = {in[0], I64(from, 1, 2), I64(to, 1, 2), I64(both, 1, 2), I64(steps, 1, 2)};
    RUN_OP(flip, out, .op = "Slice");
    expect_f32(&out[0], back, 0, 2, 2, 2);
}
END_TEST

START_TEST(pads_fill_and_crop)
{
    const float padded[] = {7, 7, 7, 7, 7, 1, 2, 3, 7, 4, 5, 6};
    const int64_t pads[] = {1, 1, 0, 0}, crop[] = {-1, -1, 0, 0}, mixed[] = {0, -1, 0, 2};
    const float seven = 7, five[] = {5, 6}, rest[] = {2, 3, 0, 0, 5, 6, 0, 0};
    struct test_tensor in[] = {F32(six, 2, 2, 3), I64(pads, 1, 4), SCALAR(DTYPE_F32, &seven)}, out[1];
    RUN_OP(in, out, .op = "Pad");
    expect_f32(&out[0], padded, 0, 2, 3, 4);
    struct test_tensor two[] = {in[0], I64(crop, 1, 4)};
    RUN_OP(two, out, .op = "Pad");
    expect_f32(&out[0], five, 0, 2, 1, 2);
    two[1] = I64(mixed, 1, 4);
    RUN_OP(two, out, .op = "Pad");
    expect_f32(&out[0], rest, 0, 2, 2, 4);
}
END_TEST

START_TEST(pads_repeat)
{
    const float reflected[] = {3, 2, 1, 2, 3, 2}, edge[] = {1, 1, 1, 2, 3, 3}, wrapped[] = {2, 3, 1, 2, 3, 1};
    const float far[] = {1, 2, 3, 2, 1, 2, 3, 2};
    const int64_t pads[] = {2, 1}, beyond[] = {4, 1}, axes[] = {-1};
    static const char *const modes[] = {"reflect", "edge", "wrap"};
    const float *const results[] = {reflected, edge, wrapped};
    struct test_tensor in[] = {F32(six, 2, 1, 3), I64(pads, 1, 2), ABSENT, I64(axes, 1, 1)}, out[1];
    for (int i = 0; i < 3; i++) {
        const struct attribute mode[] = {
            {.name = "mode", .kind = ATTRIBUTE_STRING, .count = strlen(modes[i]), .string = modes[i]}};
        RUN_OP(in, out, .op = "Pad", ATTRIBUTES(mode));
        expect_f32(&out[0], results[i], 0, 2, 1, 6);
    }
    const struct attribute reflect[] = {ATTRIBUTE_TEXT("mode", "reflect")};
    in[1] = I64(beyond, 1, 2); /* further than the axis is long */
    RUN_OP(in, out, .op = "Pad", ATTRIBUTES(reflect));
    expect_f32(&out[0], far, 0, 2, 1, 8);
    in[0] = F32(six, 2, 1, 0);
    REFUSED(STATUS_INVALID_ARGUMENT, "nothing to repeat", in, .op = "Pad", ATTRIBUTES(reflect));
}
END_TEST

START_TEST(expand_and_tile_repeat)
{
    const float rows[] = {1, 2, 3, 1, 2, 3}, columns[] = {1, 1, 2, 2},
                tiles[] = {1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4};
    const int64_t shape[] = {2, 1}, wide[] = {1, 2}, repeats[] = {2, 2}, none[] = {1, 0};
    struct test_tensor in[] = {F32(six, 2, 1, 3), I64(shape, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "Expand");
    expect_f32(&out[0], rows, 0, 2, 2, 3);
    in[0] = F32(six, 2, 2, 1);
    in[1] = I64(wide, 1, 2);
    RUN_OP(in, out, .op = "Expand");
    expect_f32(&out[0], columns, 0, 2, 2, 2);
    in[0] = F32(six, 2, 2, 2);
    in[1] = I64(repeats, 1, 2);
    RUN_OP(in, out, .op = "Tile");
    expect_f32(&out[0], tiles, 0, 2, 4, 4);
    in[1] = I64(none, 1, 2);
    RUN_OP(in, out, .op = "Tile");
    expect_f32(&out[0], tiles, 0, 2, 2, 0);
}
END_TEST

START_TEST(depth_and_space_are_inverse)
{
    const float depth[] = {0, 1, 2, 3, 4, 5, 6, 7};
    const struct attribute block[] = {ATTRIBUTE_I("blocksize", 2)};
    struct test_tensor in[] = {F32(depth, 4, 1, 4, 1, 2)}, out[1];
    const float space[] = {0, 2, 1, 3, 4, 6, 5, 7};
    RUN_OP(in, out, .op = "DepthToSpace", ATTRIBUTES(block));
    expect_f32(&out[0], space, 0, 4, 1, 1, 2, 4);
    in[0] = out[0];
    RUN_OP(in, out, .op = "SpaceToDepth", ATTRIBUTES(block));
    expect_f32(&out[0], depth, 0, 4, 1, 4, 1, 2);
}
END_TEST

START_TEST(center_crop_pad_leaves_the_larger_half_at_the_end)
{
    const int64_t target[] = {2, 4};
    struct test_tensor in[] = {F32(six, 2, 3, 2), I64(target, 1, 2)}, out[1];
    const float tall[] = {0, 1, 2, 0, 0, 3, 4, 0};
    RUN_OP(in, out, .op = "CenterCropPad");
    expect_f32(&out[0], tall, 0, 2, 2, 4);
}
END_TEST

START_TEST(absurd_amounts_are_refused)
{
    const int64_t pads[] = {INT64_MIN, INT64_MAX}, repeats[] = {INT64_MAX};
    const struct attribute parts[] = {ATTRIBUTE_I("num_outputs", INT64_MAX)};
    const struct attribute block[] = {ATTRIBUTE_I("blocksize", INT64_MAX)};
    struct test_tensor in[] = {F32(six, 1, 6), I64(pads, 1, 2)}, whole[] = {F32(six, 4, 1, 1, 2, 3)}, out[1];
    REFUSED(STATUS_INVALID_ARGUMENT, "padding of axis 0 is out of range", in, .op = "Pad");
    in[1] = I64(repeats, 1, 1);
    REFUSED(STATUS_INVALID_ARGUMENT, "cannot be repeated", in, .op = "Tile");
    REFUSED(STATUS_INVALID_MODEL, "blocksize is 9223372036854775807", whole, .op = "SpaceToDepth", ATTRIBUTES(block));
    whole[0] = F32(six, 1, 6);
    RUN_OP(whole, out, .op = "Split", ATTRIBUTES(parts)); /* one of many parts, most of them empty */
    expect_f32(&out[0], six, 0, 1, 1);
}
END_TEST

Suite *ops_move_suite(void)
{
    Suite *suite = suite_create("ops_move");
    TCase *tests = tcase_create("ops_move");
    tcase_add_test(tests, transpose_moves_axes);
    tcase_add_test(tests, concat_skips_empty_parts);
    tcase_add_test(tests, split_gives_the_rest_to_the_last);
    tcase_add_test(tests, slices_clamp);
    tcase_add_test(tests, slices_take_columns_and_run_time_bounds);
    tcase_add_test(tests, pads_fill_and_crop);
    tcase_add_test(tests, pads_repeat);
    tcase_add_test(tests, expand_and_tile_repeat);
    tcase_add_test(tests, depth_and_space_are_inverse);
    tcase_add_test(tests, center_crop_pad_leaves_the_larger_half_at_the_end);
    tcase_add_test(tests, absurd_amounts_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
