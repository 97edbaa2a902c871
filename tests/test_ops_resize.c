#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

static const float four[] = {1, 2, 3, 4};

START_TEST(nearest_doubles_and_keeps_type)
{
    const uint8_t x[] = {1, 2, 3, 4}, doubled[] = {1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4};
    const float scales[] = {1, 1, 2, 2};
    const struct attribute floors[] = {ATTRIBUTE_TEXT("nearest_mode", "floor"),
                                       ATTRIBUTE_TEXT("coordinate_transformation_mode", "asymmetric")};
    struct test_tensor in[] = {TENSOR(DTYPE_U8, x, 4, 1, 1, 2, 2), ABSENT, F32(scales, 1, 4)}, out[1];
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(floors));
    expect_bytes(&out[0], DTYPE_U8, doubled, 4, 1, 1, 4, 4);
    struct test_tensor old[] = {in[0], in[2]};
    RUN_OP(old, out, .op = "Upsample", .version = 9);
    expect_bytes(&out[0], DTYPE_U8, doubled, 4, 1, 1, 4, 4);
    RUN_OP(old, out, .op = "Resize", .version = 10);
    expect_bytes(&out[0], DTYPE_U8, doubled, 4, 1, 1, 4, 4);
}
END_TEST

START_TEST(linear_meets_corners)
{
    const float line[] = {1, 1.75f, 2.5f, 3.25f, 4};
    const int64_t sizes[] = {5}, axes[] = {1};
    const struct attribute corners[] = {ATTRIBUTE_TEXT("mode", "linear"),
                                        ATTRIBUTE_TEXT("coordinate_transformation_mode", "align_corners"),
                                        ATTRIBUTE_LIST("axes", 1, axes)};
    struct test_tensor in[] = {F32(four, 2, 1, 4), ABSENT, ABSENT, I64(sizes, 1, 1)}, out[1];
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(corners));
    expect_f32(&out[0], line, 1e-6, 2, 1, 5);
}
END_TEST

START_TEST(linear_of_integers_rounds)
{
    const uint8_t x[] = {0, 3}, result[] = {0, 1, 2, 3};
    const float scales[] = {2};
    const struct attribute linear[] = {ATTRIBUTE_TEXT("mode", "linear")};
    struct test_tensor in[] = {TENSOR(DTYPE_U8, x, 1, 2), ABSENT, F32(scales, 1, 1)}, out[1];
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(linear)); /* 0, 0.75, 2.25, 3 */
    expect_bytes(&out[0], DTYPE_U8, result, 1, 4);
}
END_TEST

START_TEST(antialiasing_averages)
{
    const float x[] = {0, 4, 8, 12}, result[] = {20 / 7.0f, 64 / 7.0f}; /* a triangle of radius 2 inside: (3 3 1)/7 */
    const float scales[] = {0.5f};
    const struct attribute smooth[] = {ATTRIBUTE_TEXT("mode", "linear"), ATTRIBUTE_I("antialias", 1),
                                       ATTRIBUTE_I("exclude_outside", 1)};
    struct test_tensor in[] = {F32(x, 1, 4), ABSENT, F32(scales, 1, 1)}, out[1];
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(smooth));
    expect_f32(&out[0], result, 1e-6, 1, 2);
}
END_TEST

START_TEST(a_region_past_the_image_has_the_extrapolation_value)
{
    const float roi[] = {-1, 2}, result[] = {9, 1, 4, 9};
    const int64_t sizes[] = {4};
    const struct attribute crop[] = {ATTRIBUTE_TEXT("mode", "linear"),
                                     ATTRIBUTE_TEXT("coordinate_transformation_mode", "tf_crop_and_resize"),
                                     ATTRIBUTE_F("extrapolation_value", 9)};
    struct test_tensor in[] = {F32(four, 1, 4), F32(roi, 1, 2), ABSENT, I64(sizes, 1, 1)}, out[1];
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(crop));
    expect_f32(&out[0], result, 1e-6, 1, 4);
}
END_TEST

START_TEST(aspect_ratio_decides_the_size)
{
    const float x[8] = {0};
    const int64_t sizes[] = {4, 4};
    const struct attribute fit[] = {ATTRIBUTE_TEXT("keep_aspect_ratio_policy", "not_larger")};
    const struct attribute cover[] = {ATTRIBUTE_TEXT("keep_aspect_ratio_policy", "not_smaller")};
    struct test_tensor in[] = {F32(x, 2, 2, 4), ABSENT, ABSENT, I64(sizes, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(fit));
    expect_f32(&out[0], x, 0, 2, 2, 4);
    const float large[32] = {0};
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(cover));
    expect_f32(&out[0], large, 0, 2, 4, 8);
}
END_TEST

START_TEST(resize_refuses_nonsense)
{
    const float scales[] = {0};
    const int64_t sizes[] = {2};
    const struct attribute odd[] = {ATTRIBUTE_TEXT("mode", "sinc")};
    struct test_tensor in[] = {F32(four, 1, 4), ABSENT, F32(scales, 1, 1)};
    REFUSED(STATUS_INVALID_ARGUMENT, "scale 0 is 0", in, .op = "Resize");
    REFUSED(STATUS_UNSUPPORTED, "mode is 'sinc'", in, .op = "Resize", ATTRIBUTES(odd));
    struct test_tensor empty[] = {F32(four, 1, 0), ABSENT, ABSENT, I64(sizes, 1, 1)};
    REFUSED(STATUS_INVALID_ARGUMENT, "axis 0 cannot be resized from 0 to 2", empty, .op = "Resize");
}
END_TEST

START_TEST(grid_samples_inside_and_outside)
{
    /* The centre, the corner of the last element, and far outside. */
    const float grid[] = {0, 0, 1, 1, -5, 0}, zeros[] = {2.5f, 1, 0}, border[] = {2.5f, 4, 2};
    const struct attribute clamp[] = {ATTRIBUTE_TEXT("padding_mode", "border")};
    const struct attribute mirror[] = {ATTRIBUTE_TEXT("padding_mode", "reflection")};
    struct test_tensor in[] = {F32(four, 4, 1, 1, 2, 2), F32(grid, 4, 1, 1, 3, 2)}, out[1];
    RUN_OP(in, out, .op = "GridSample");
    expect_f32(&out[0], zeros, 1e-6, 4, 1, 1, 1, 3);
    RUN_OP(in, out, .op = "GridSample", ATTRIBUTES(clamp));
    expect_f32(&out[0], border, 1e-6, 4, 1, 1, 1, 3);
    RUN_OP(in, out, .op = "GridSample", ATTRIBUTES(mirror));
    expect_f32(&out[0], border, 1e-6, 4, 1, 1, 1, 3);
}
END_TEST

START_TEST(grid_samples_survive_any_coordinate)
{
    const float grid[] = {NAN, NAN, INFINITY, -INFINITY, 1e30f, -1e30f}, zeros[] = {0, 0, 0};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    static const char *const modes[] = {"linear", "nearest", "cubic"};
    struct test_tensor in[] = {F32(four, 4, 1, 1, 2, 2), F32(grid, 4, 1, 1, 3, 2)}, out[1];
    for (int i = 0; i < 9; i++) {
        const struct attribute both[] = {
            {.name = "mode", .kind = ATTRIBUTE_STRING, .count = strlen(modes[i % 3]), .string = modes[i % 3]},
            {.name = "padding_mode",
             .kind = ATTRIBUTE_STRING,
             .count = strlen(paddings[i / 3]),
             .string = paddings[i / 3]}};
        RUN_OP(in, out, .op = "GridSample", ATTRIBUTES(both));
        if (i < 3)
            expect_f32(&out[0], zeros, 0, 4, 1, 1, 1, 3);
    }
}
END_TEST

START_TEST(affine_grid_of_the_identity_is_the_grid)
{
    const float identity[] = {1, 0, 0, 0, 1, 0}, grid[] = {-0.5f, -0.5f, 0.5f, -0.5f, -0.5f, 0.5f, 0.5f, 0.5f};
    const float corners[] = {-1, -1, 1, -1, -1, 1, 1, 1};
    const int64_t size[] = {1, 3, 2, 2};
    const struct attribute align[] = {ATTRIBUTE_I("align_corners", 1)};
    struct test_tensor in[] = {F32(identity, 3, 1, 2, 3), I64(size, 1, 4)}, out[1];
    RUN_OP(in, out, .op = "AffineGrid");
    expect_f32(&out[0], grid, 1e-6, 4, 1, 2, 2, 2);
    RUN_OP(in, out, .op = "AffineGrid", ATTRIBUTES(align));
    expect_f32(&out[0], corners, 1e-6, 4, 1, 2, 2, 2);
}
END_TEST

Suite *ops_resize_suite(void)
{
    Suite *suite = suite_create("ops_resize");
    TCase *tests = tcase_create("ops_resize");
    tcase_add_test(tests, nearest_doubles_and_keeps_type);
    tcase_add_test(tests, linear_meets_corners);
    tcase_add_test(tests, linear_of_integers_rounds);
    tcase_add_test(tests, antialiasing_averages);
    tcase_add_test(tests, a_region_past_the_image_has_the_extrapolation_value);
    tcase_add_test(tests, aspect_ratio_decides_the_size);
    tcase_add_test(tests, resize_refuses_nonsense);
    tcase_add_test(tests, grid_samples_inside_and_outside);
    tcase_add_test(tests, grid_samples_survive_any_coordinate);
    tcase_add_test(tests, affine_grid_of_the_identity_is_the_grid);
    suite_add_tcase(suite, tests);
    return suite;
}
