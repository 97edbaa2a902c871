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

/* --- nearest: which pixel ----------------------------------------------------------------------------------------- */

/* The elements that a tensor of 0, 1, 2 ... of that length is resized to: by a scale, or where it is 0 to a size. */
static struct test_tensor resized(const char *coordinates, const char *rounding, int64_t length, float scale,
                                  int64_t size)
{
    static float ramp[256];
    for (int i = 0; i < COUNT(ramp); i++)
        ramp[i] = (float)i;
    const float scales[] = {1, scale};
    const int64_t sizes[] = {1, size};
    const struct attribute attributes[] = {
        {.name = "coordinate_transformation_mode",
         .kind = ATTRIBUTE_STRING,
         .count = strlen(coordinates),
         .string = coordinates},
        {.name = "nearest_mode", .kind = ATTRIBUTE_STRING, .count = strlen(rounding), .string = rounding}};
    struct test_tensor in[] = {F32(ramp, 2, 1, length), ABSENT, ABSENT, ABSENT}, out[1];
    if (scale > 0)
        in[2] = F32(scales, 1, 2);
    else
        in[3] = I64(sizes, 1, 2);
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(attributes));
    return out[0];
}

#define EXPECT_PIXELS(tensor, ...)                                      \
    do {                                                                \
        const struct test_tensor got = (tensor);                        \
        const float want[] = {__VA_ARGS__};                             \
        expect_f32(&got, want, 0, 2, (int64_t)1, (int64_t)COUNT(want)); \
    } while (0)

/* Values from ONNX Runtime: scales that single precision does not hold, where x / scale is near an integer. */
START_TEST(nearest_by_scales_goes_by_single_precision)
{
    EXPECT_PIXELS(resized("asymmetric", "floor", 40, 1.6f, 0), 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 6, 7, 8, 8, 9, 10, 10,
                  11, 11, 12, 13, 13, 14, 15, 15, 16, 16, 17, 18, 18, 19, 20, 20, 21, 21, 22, 23, 23, 24, 25, 25, 26,
                  26, 27, 28, 28, 29, 30, 30, 31, 31, 32, 33, 33, 34, 35, 35, 36, 36, 37, 38, 38, 39);
    EXPECT_PIXELS(resized("asymmetric", "floor", 40, 0.6f, 0), 0, 1, 3, 5, 6, 8, 10, 11, 13, 14, 16, 18, 20, 21, 23, 24,
                  26, 28, 29, 31, 33, 35, 36, 38);
    EXPECT_PIXELS(resized("asymmetric", "floor", 40, 1.2f, 0), 0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13,
                  14, 14, 15, 16, 17, 18, 19, 20, 20, 21, 22, 23, 24, 24, 25, 26, 27, 28, 29, 29, 30, 31, 32, 33, 34,
                  35, 35, 36, 37, 38, 39);
    EXPECT_PIXELS(resized("asymmetric", "floor", 40, 0.3f, 0), 0, 3, 6, 10, 13, 16, 20, 23, 26, 29, 33, 36);
    EXPECT_PIXELS(resized("asymmetric", "floor", 40, 2.4f, 0), 0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6, 7, 7,
                  7, 8, 8, 9, 9, 10, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 14, 15, 15, 16, 16, 17, 17, 17, 18, 18,
                  19, 19, 20, 20, 20, 21, 21, 22, 22, 22, 23, 23, 24, 24, 24, 25, 25, 26, 26, 27, 27, 27, 28, 28, 29,
                  29, 29, 30, 30, 31, 31, 32, 32, 32, 33, 33, 34, 34, 35, 35, 35, 36, 36, 37, 37, 37, 38, 38, 39, 39);
    EXPECT_PIXELS(resized("align_corners", "floor", 5, 2.3f, 0), 0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4);
    EXPECT_PIXELS(resized("tf_half_pixel_for_nn", "ceil", 4, 0.6f, 0), 1, 3);
}
END_TEST

/* 9 / 1.2f is a little less than 7.5 and counts as that. Values from ONNX Runtime. */
START_TEST(nearest_takes_what_is_near_a_half_for_it)
{
    EXPECT_PIXELS(resized("asymmetric", "round_prefer_ceil", 10, 1.2f, 0), 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9);
    EXPECT_PIXELS(resized("half_pixel", "round_prefer_floor", 16, 1.3f, 0), 0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10,
                  11, 11, 12, 13, 14, 14);
    EXPECT_PIXELS(resized("half_pixel_symmetric", "round_prefer_floor", 7, 0.6f, 0), 0, 2, 4, 5);
}
END_TEST

/* 21 to 3: 1 * 21 / 3 is 7, although 3 / 21 in any binary precision is not a seventh. */
START_TEST(nearest_by_sizes_is_exact)
{
    EXPECT_PIXELS(resized("asymmetric", "floor", 21, 0, 3), 0, 7, 14);
    EXPECT_PIXELS(resized("asymmetric", "ceil", 21, 0, 3), 0, 7, 14);
    EXPECT_PIXELS(resized("half_pixel", "floor", 9, 0, 39), 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4,
                  4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7, 8, 8);
    EXPECT_PIXELS(resized("half_pixel", "round_prefer_floor", 6, 0, 3), 0, 2, 4);
    EXPECT_PIXELS(resized("half_pixel", "round_prefer_ceil", 6, 0, 3), 1, 3, 5);
    EXPECT_PIXELS(resized("pytorch_half_pixel", "floor", 6, 0, 1), 0);
    EXPECT_PIXELS(resized("half_pixel", "floor", 6, 0, 1), 2);
    EXPECT_PIXELS(resized("align_corners", "floor", 7, 0, 4), 0, 2, 4, 6);
    EXPECT_PIXELS(resized("align_corners", "ceil", 7, 0, 1), 0);
    EXPECT_PIXELS(resized("tf_half_pixel_for_nn", "round_prefer_ceil", 2, 0, 6), 0, 1, 1, 1, 1, 1);
}
END_TEST

/* As in ONNX Runtime. */
START_TEST(nearest_leaves_a_shape_that_stays)
{
    EXPECT_PIXELS(resized("asymmetric", "ceil", 10, 1.05f, 0), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    EXPECT_PIXELS(resized("tf_half_pixel_for_nn", "ceil", 3, 1, 0), 0, 1, 2);
}
END_TEST

/* Opset 10: ONNX's own test of it takes 1 and 3 of 1, 2, 3, 4. */
START_TEST(nearest_of_old_rounds_up_where_it_shrinks)
{
    const float scales[] = {1, 0.6f}, grows[] = {1, 1.5f}, small[] = {1, 3}, large[] = {1, 1, 2, 3, 3, 4};
    struct test_tensor in[] = {F32(four, 2, 1, 4), F32(scales, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "Resize", .version = 10);
    expect_f32(&out[0], small, 0, 2, (int64_t)1, (int64_t)2);
    in[1] = F32(grows, 1, 2);
    RUN_OP(in, out, .op = "Resize", .version = 10);
    expect_f32(&out[0], large, 0, 2, (int64_t)1, (int64_t)6);
}
END_TEST

/* The last element of a region that is the whole axis lies in it, though 1.8f * 5 is not quite 9 in double. */
START_TEST(a_region_ends_inside)
{
    const float roi[] = {0, 0, 1, 1}, scales[] = {1, 1.8f}, x[] = {1, 2, 3, 4, 5};
    const float want[] = {1, 1.5f, 2, 2.5f, 3, 3.5f, 4, 4.5f, 5};
    const struct attribute attributes[] = {ATTRIBUTE_TEXT("mode", "linear"),
                                           ATTRIBUTE_TEXT("coordinate_transformation_mode", "tf_crop_and_resize"),
                                           ATTRIBUTE_F("extrapolation_value", -7)};
    struct test_tensor in[] = {F32(x, 2, 1, 5), F32(roi, 1, 4), F32(scales, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "Resize", ATTRIBUTES(attributes));
    expect_f32(&out[0], want, 1e-6, 2, (int64_t)1, (int64_t)9);
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
    tcase_add_test(tests, nearest_by_scales_goes_by_single_precision);
    tcase_add_test(tests, nearest_takes_what_is_near_a_half_for_it);
    tcase_add_test(tests, nearest_by_sizes_is_exact);
    tcase_add_test(tests, nearest_leaves_a_shape_that_stays);
    tcase_add_test(tests, nearest_of_old_rounds_up_where_it_shrinks);
    tcase_add_test(tests, a_region_ends_inside);
    suite_add_tcase(suite, tests);
    return suite;
}
