#include "tests/op_short.h"
#include "tests/suites.h"

static const float numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};

START_TEST(reshape_copies_zeros_and_infers_one)
{
    const int64_t shape[] = {0, -1, 2}, flat[] = {-1};
    struct test_tensor in[] = {F32(numbers, 3, 2, 3, 4), I64(shape, 1, 3)}, out[1];
    RUN_OP(in, out, .op = "Reshape");
    expect_f32(&out[0], numbers, 0, 3, 2, 6, 2);
    in[1] = I64(flat, 1, 1);
    RUN_OP(in, out, .op = "Reshape");
    expect_f32(&out[0], numbers, 0, 1, 24);
    in[0] = SCALAR(DTYPE_F32, numbers);
    RUN_OP(in, out, .op = "Reshape");
    expect_f32(&out[0], numbers, 0, 1, 1);
}
END_TEST

START_TEST(alignment_is_by_an_axis_from_the_front)
{
    const int64_t dims[] = {2, 3, 4, 5};
    const struct attribute axis[] = {ATTRIBUTE_I("axis", 1)}, last[] = {ATTRIBUTE_I("axis", -1)};
    float many[120] = {0};
    struct test_tensor in[] = {F32(numbers, 2, dims[1], dims[2]), F32(many, 4, 2, 3, 4, 5)}, out[1];
    RUN_OP(in, out, .domain = OWN_DOMAIN, .op = "AlignAxis", .version = 1, ATTRIBUTES(axis));
    expect_f32(&out[0], numbers, 0, 3, 3, 4, 1);
    in[0] = F32(numbers, 1, 5);
    RUN_OP(in, out, .domain = OWN_DOMAIN, .op = "AlignAxis", .version = 1, ATTRIBUTES(last));
    expect_f32(&out[0], numbers, 0, 1, 5);
    in[0] = F32(numbers, 2, 4, 5);
    REFUSED(STATUS_INVALID_MODEL, "2 axes from axis 3 on are more than a tensor of rank 4 has", in,
            .domain = OWN_DOMAIN, .op = "AlignAxis", .version = 1, ATTRIBUTES(last));
}
END_TEST

START_TEST(reshape_of_nothing_is_well_defined_where_zeros_cancel)
{
    const int64_t copied[] = {0, -1}, kept[] = {3, 0};
    const struct attribute allow[] = {ATTRIBUTE_I("allowzero", 1)};
    struct test_tensor in[] = {F32(numbers, 3, 0, 2, 3), I64(copied, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "Reshape");
    expect_f32(&out[0], numbers, 0, 2, 0, 6);
    in[1] = I64(kept, 1, 2);
    RUN_OP(in, out, .op = "Reshape", ATTRIBUTES(allow));
    expect_f32(&out[0], numbers, 0, 2, 3, 0);
}
END_TEST

START_TEST(reshape_refuses_what_does_not_fit)
{
    const int64_t wrong[] = {5, 5}, twice[] = {-1, -1}, uneven[] = {7, -1}, negative[] = {-3};
    struct test_tensor in[] = {F32(numbers, 2, 4, 6), I64(wrong, 1, 2)};
    REFUSED(STATUS_INVALID_ARGUMENT, "4x6 does not reshape to 5x5", in, .op = "Reshape");
    in[1] = I64(twice, 1, 2);
    REFUSED(STATUS_INVALID_MODEL, "-1 twice", in, .op = "Reshape");
    in[1] = I64(uneven, 1, 2);
    REFUSED(STATUS_INVALID_ARGUMENT, "24 elements do not divide into 7", in, .op = "Reshape");
    in[1] = I64(negative, 1, 1);
    REFUSED(STATUS_INVALID_MODEL, "negative dimension", in, .op = "Reshape");
}
END_TEST

START_TEST(shape_is_cut_by_start_and_end)
{
    const int64_t all[] = {2, 3, 4}, last[] = {3, 4};
    const struct attribute from[] = {ATTRIBUTE_I("start", -2)},
                           none[] = {ATTRIBUTE_I("start", 2), ATTRIBUTE_I("end", 1)};
    struct test_tensor in[] = {F32(numbers, 3, 2, 3, 4)}, out[1];
    RUN_OP(in, out, .op = "Shape");
    expect_i64(&out[0], all, 1, 3);
    RUN_OP(in, out, .op = "Shape", ATTRIBUTES(from));
    expect_i64(&out[0], last, 1, 2);
    RUN_OP(in, out, .op = "Shape", ATTRIBUTES(none));
    expect_i64(&out[0], last, 1, 0);
    RUN_OP(in, out, .op = "Size");
    expect_i64(&out[0], (int64_t[]){24}, 0);
}
END_TEST

START_TEST(axes_of_one_come_and_go)
{
    const int64_t axes[] = {-1, 0};
    const struct attribute old[] = {ATTRIBUTE_LIST("axes", 2, axes)};
    struct test_tensor in[] = {F32(numbers, 2, 2, 3), I64(axes, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "Unsqueeze");
    expect_f32(&out[0], numbers, 0, 4, 1, 2, 3, 1);
    in[0] = out[0];
    RUN_OP(in, out, .op = "Squeeze");
    expect_f32(&out[0], numbers, 0, 2, 2, 3);
    struct test_tensor alone[] = {in[0]};
    RUN_OP(alone, out, .op = "Squeeze", .version = 11, ATTRIBUTES(old));
    expect_f32(&out[0], numbers, 0, 2, 2, 3);
    RUN_OP(alone, out, .op = "Squeeze");
    expect_f32(&out[0], numbers, 0, 2, 2, 3);
    in[0] = F32(numbers, 2, 2, 3);
    REFUSED(STATUS_INVALID_ARGUMENT, "has 3 elements and cannot be removed", in, .op = "Squeeze");
}
END_TEST

START_TEST(flatten_takes_any_axis)
{
    const struct attribute end[] = {ATTRIBUTE_I("axis", 3)}, back[] = {ATTRIBUTE_I("axis", -1)};
    struct test_tensor in[] = {F32(numbers, 3, 2, 3, 4)}, out[1];
    RUN_OP(in, out, .op = "Flatten");
    expect_f32(&out[0], numbers, 0, 2, 2, 12);
    RUN_OP(in, out, .op = "Flatten", ATTRIBUTES(end));
    expect_f32(&out[0], numbers, 0, 2, 24, 1);
    RUN_OP(in, out, .op = "Flatten", ATTRIBUTES(back));
    expect_f32(&out[0], numbers, 0, 2, 6, 4);
}
END_TEST

START_TEST(ranges_are_exact_and_may_be_empty)
{
    const int64_t down[] = {7, 4, 1}, bounds[][3] = {{7, 0, -3}, {0, 5, -1}, {INT64_MAX - 1, INT64_MAX, 1}};
    const int64_t top[] = {INT64_MAX - 1};
    const float real[] = {1, 1.5f, 2}, limits[] = {1, 2.25f, 0.5f};
    struct test_tensor in[3], out[1];
    for (int i = 0; i < 3; i++)
        in[i] = SCALAR(DTYPE_I64, &bounds[0][i]);
    RUN_OP(in, out, .op = "Range");
    expect_i64(&out[0], down, 1, 3);
    for (int i = 0; i < 3; i++)
        in[i] = SCALAR(DTYPE_I64, &bounds[1][i]);
    RUN_OP(in, out, .op = "Range");
    expect_i64(&out[0], down, 1, 0);
    for (int i = 0; i < 3; i++)
        in[i] = SCALAR(DTYPE_I64, &bounds[2][i]);
    RUN_OP(in, out, .op = "Range");
    expect_i64(&out[0], top, 1, 1);
    for (int i = 0; i < 3; i++)
        in[i] = SCALAR(DTYPE_F32, &limits[i]);
    RUN_OP(in, out, .op = "Range");
    expect_f32(&out[0], real, 0, 1, 3);
    in[2] = SCALAR(DTYPE_F32, numbers);
    REFUSED(STATUS_INVALID_ARGUMENT, "step is zero", in, .op = "Range");
}
END_TEST

START_TEST(constants_of_a_shape)
{
    const int64_t dims[] = {2, 0, 3}, two[] = {2}, seven[] = {7}, sevens[] = {7, 7};
    struct value tensor = {.name = "", .dtype = DTYPE_I64, .rank = 1, .dims = {1}, .data = seven, .bytes = 8};
    const struct attribute value[] = {{.name = "value", .kind = ATTRIBUTE_TENSOR, .tensor = &tensor}};
    struct test_tensor in[] = {I64(dims, 1, 3)}, out[1];
    RUN_OP(in, out, .op = "ConstantOfShape");
    expect_f32(&out[0], numbers, 0, 3, 2, 0, 3);
    in[0] = I64(dims, 1, 0);
    RUN_OP(in, out, .op = "ConstantOfShape");
    expect_f32(&out[0], numbers, 0, 0);
    in[0] = I64(two, 1, 1);
    RUN_OP(in, out, .op = "ConstantOfShape", ATTRIBUTES(value));
    expect_i64(&out[0], sevens, 1, 2);
}
END_TEST

/* The importer leaves none, but a graph may hold one. */
START_TEST(constants_in_every_form)
{
    static const int64_t whole[] = {7, -2, 5};
    static const float parts[] = {1.5f, -2};
    struct value tensor = {.name = "", .dtype = DTYPE_I64, .rank = 2, .dims = {3, 1}, .data = whole, .bytes = 24};
    const struct attribute forms[] = {{.name = "value", .kind = ATTRIBUTE_TENSOR, .tensor = &tensor},
                                      ATTRIBUTE_I("value_int", 9),
                                      ATTRIBUTE_F("value_float", 0.25f),
                                      ATTRIBUTE_LIST("value_ints", 3, whole),
                                      {.name = "value_floats", .kind = ATTRIBUTE_FLOATS, .count = 2, .floats = parts}};
    struct test_tensor out = run_simple("Constant", 0, NULL, 1, &forms[0]);
    expect_i64(&out, whole, 2, 3, 1);
    out = run_simple("Constant", 0, NULL, 1, &forms[1]);
    expect_i64(&out, (int64_t[]){9}, 0);
    out = run_simple("Constant", 0, NULL, 1, &forms[2]);
    expect_f32(&out, (float[]){0.25f}, 0, 0);
    out = run_simple("Constant", 0, NULL, 1, &forms[3]);
    expect_i64(&out, whole, 1, 3);
    out = run_simple("Constant", 0, NULL, 1, &forms[4]);
    expect_f32(&out, parts, 0, 1, 2);
    expect_refusal(STATUS_INVALID_MODEL, "", "Constant", 0, NULL, 0, NULL);
    expect_refusal(STATUS_INVALID_MODEL, "", "Constant", 0, NULL, 2, forms);
}
END_TEST

START_TEST(eye_like_shifts_its_diagonal)
{
    const int64_t eye[] = {0, 1, 0, 0, 0, 1};
    const struct attribute shifted[] = {ATTRIBUTE_I("k", 1), ATTRIBUTE_I("dtype", DTYPE_I64)};
    struct test_tensor in[] = {F32(numbers, 2, 2, 3)}, out[1];
    RUN_OP(in, out, .op = "EyeLike", ATTRIBUTES(shifted));
    expect_i64(&out[0], eye, 2, 2, 3);
    const struct attribute far[] = {ATTRIBUTE_I("k", INT64_MIN)};
    const float none[6] = {0};
    RUN_OP(in, out, .op = "EyeLike", ATTRIBUTES(far));
    expect_f32(&out[0], none, 0, 2, 2, 3);
}
END_TEST

START_TEST(bit_cast_keeps_the_bits)
{
    const float one[] = {1, -0.0f};
    const uint32_t bits[] = {0x3f800000u, 0x80000000u};
    const struct attribute to[] = {ATTRIBUTE_I("to", DTYPE_U32)}, narrow[] = {ATTRIBUTE_I("to", DTYPE_U16)};
    struct test_tensor in[] = {F32(one, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "BitCast", ATTRIBUTES(to));
    expect_bytes(&out[0], DTYPE_U32, bits, 1, 2);
    REFUSED(STATUS_INVALID_MODEL, "float32 and uint16 differ in width", in, .op = "BitCast", ATTRIBUTES(narrow));
}
END_TEST

Suite *ops_shape_suite(void)
{
    Suite *suite = suite_create("ops_shape");
    TCase *tests = tcase_create("ops_shape");
    tcase_add_test(tests, reshape_copies_zeros_and_infers_one);
    tcase_add_test(tests, alignment_is_by_an_axis_from_the_front);
    tcase_add_test(tests, reshape_of_nothing_is_well_defined_where_zeros_cancel);
    tcase_add_test(tests, reshape_refuses_what_does_not_fit);
    tcase_add_test(tests, shape_is_cut_by_start_and_end);
    tcase_add_test(tests, axes_of_one_come_and_go);
    tcase_add_test(tests, flatten_takes_any_axis);
    tcase_add_test(tests, ranges_are_exact_and_may_be_empty);
    tcase_add_test(tests, constants_of_a_shape);
    tcase_add_test(tests, constants_in_every_form);
    tcase_add_test(tests, eye_like_shifts_its_diagonal);
    tcase_add_test(tests, bit_cast_keeps_the_bits);
    suite_add_tcase(suite, tests);
    return suite;
}
