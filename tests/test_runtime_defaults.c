#include "tests/model_maker.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

static const float two[] = {10, 20};

/* y = x + w, in which w may be left out; both are [N]. */
static infer_model *optional_model(struct maker *maker)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "optional");
    const int64_t n = graph_symbol(graph, "N"), dims[] = {2};
    struct value *inputs[] = {graph_add_value(graph, "x", DTYPE_F32, 1, &n),
                              graph_add_value(graph, "w", DTYPE_F32, 1, &n)};
    struct value *defaults[] = {NULL, graph_add_constant(graph, "", DTYPE_F32, 1, dims, two)};
    struct value *output = make_node2(graph, "Add", "y", inputs[0], inputs[1]);
    graph_set_inputs(graph, 2, inputs);
    graph_set_defaults(graph, defaults);
    return maker_finish(maker, 2, inputs, 1, &output, NULL);
}

START_TEST(a_default_is_told)
{
    struct maker maker = maker_start();
    infer_model *model = optional_model(&maker);
    infer_value value;
    ck_assert_int_eq(infer_model_input(model, 0, &value), INFER_OK);
    ck_assert(!value.has_default);
    ck_assert_int_eq(infer_model_input(model, 1, &value), INFER_OK);
    ck_assert(value.has_default);
    ck_assert_uint_eq(infer_model_weight_bytes(model), sizeof two);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(an_input_left_out_is_its_default)
{
    const float x[] = {1, 2}, given[] = {100, 200}, with_default[] = {11, 22}, with_given[] = {101, 202};
    struct maker maker = maker_start();
    struct running r = begin_way(optional_model(&maker), _i);
    struct results results = {0};
    infer_tensor inputs[] = {f32_tensor(x, 1, 2, 0), {0}};
    for (int k = 0; k < 3; k++) { /* the caller's wins each time that it is there */
        inputs[1] = (infer_tensor){.dtype = INFER_NONE, .rank = -7};
        run_way(&r, _i, inputs, 2, &results, 1);
        expect_floats(&results.tensors[0], 2, with_default);
        inputs[1] = f32_tensor(given, 1, 2, 0);
        run_way(&r, _i, inputs, 2, &results, 1);
        expect_floats(&results.tensors[0], 2, with_given);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_default_counts_among_the_shapes)
{
    const float x[] = {1, 2, 3}, given[] = {4, 5, 6}, sum[] = {5, 7, 9};
    struct maker maker = maker_start();
    struct running r = running_begin(optional_model(&maker), NULL);
    infer_tensor inputs[] = {f32_tensor(x, 1, 3, 0), {0}}, output = {0};
    infer_error error = {0};
    infer_memory memory;
    ck_assert_int_eq(infer_run(r.context, inputs, 2, &output, 1, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "dimension N is 3 in input 'x' and 2 in input 'w'");
    inputs[1] = f32_tensor(given, 1, 3, 0);
    run_well(r.context, inputs, 2, &output, 1);
    expect_floats(&output, 3, sum);
    inputs[0].dims[0] = 2;
    inputs[1] = (infer_tensor){0};
    ck_assert_int_eq(infer_session_prepare(r.session, inputs, 2, &memory, &error), INFER_OK);
    running_end(&r, &maker);
}
END_TEST

START_TEST(only_an_input_with_a_default_may_be_left_out)
{
    struct maker maker = maker_start();
    struct running r = running_begin(optional_model(&maker), NULL);
    infer_tensor inputs[] = {{0}, f32_tensor(two, 1, 2, 0)}, output = {0};
    infer_error error = {0};
    ck_assert_int_eq(infer_run(r.context, inputs, 2, &output, 1, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "input 'x' is not given, and has no default");
    ck_assert_int_eq(infer_run(r.context, inputs, 1, &output, 1, &error), INFER_INVALID_ARGUMENT);
    running_end(&r, &maker);
}
END_TEST

Suite *runtime_defaults_suite(void)
{
    Suite *suite = suite_create("runtime_defaults");
    TCase *tests = tcase_create("runtime_defaults");
    tcase_add_test(tests, a_default_is_told);
    tcase_add_loop_test(tests, an_input_left_out_is_its_default, 0, WAYS);
    tcase_add_test(tests, a_default_counts_among_the_shapes);
    tcase_add_test(tests, only_an_input_with_a_default_may_be_left_out);
    suite_add_tcase(suite, tests);
    return suite;
}
