/* Models whose inputs and outputs are sequences or optionals, and Scan of opset 8: imported, and run. */
#include "tests/model_maker.h"
#include "tests/onnx_models.h"
#include "tests/suites.h"

#define ELEMENTS(list)                                                \
    &(struct onnx_import_options)                                     \
    {                                                                 \
        .elements = list, .element_count = sizeof list / sizeof *list \
    }

static struct running start_imported(int way)
{
    struct maker maker = {.region = region, .graph = model.graph};
    infer_model *made = maker_finish(&maker, model.graph->input_count, model.graph->inputs, model.graph->output_count,
                                     model.graph->outputs, NULL);
    region = maker.region;
    return begin_way(made, way);
}

static void end_imported(struct running *r)
{
    infer_context_release(r->context);
    infer_session_release(r->session);
}

static void assert_names(int count, struct value *const *values, const char *expected)
{
    char names[200] = "";
    for (int i = 0; i < count; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? " " : "", values[i]->name);
    ck_assert_str_eq(names, expected);
}

static void refuse_elements(const char *name, struct onnx_elements elements, enum status status, const char *sentence)
{
    error = (struct error){0};
    enum status got =
        onnx_import(model_path(name), &(struct onnx_import_options){.elements = &elements, .element_count = 1}, &region,
                    &model, &error);
    ck_assert_int_eq(got, status);
    ck_assert_str_eq(error.text + strlen(model_path(name)), sentence);
}

static const float ab[] = {1, 2}, c[] = {3}, def[] = {4, 5, 6};

START_TEST(sequences_come_and_go_as_their_tensors)
{
    const struct onnx_elements elements[] = {{"xs", 2}, {"bias", ONNX_ABSENT}, {"ys", 3}};
    const struct graph *graph = load_with("border", ELEMENTS(elements));
    assert_names(graph->input_count, graph->inputs, "xs[0] xs[1] t");
    assert_names(graph->output_count, graph->outputs, "ys[0] ys[1] ys[2] has");
    ck_assert_int_ne(graph->inputs[0]->dims[0], graph->inputs[1]->dims[0]);
    const infer_tensor inputs[] = {f32_tensor(ab, 1, 2, 0), f32_tensor(c, 1, 1, 0), f32_tensor(def, 1, 3, 0)};
    struct running r = start_imported(_i);
    struct results results;
    run_way(&r, _i, inputs, 3, &results, 4);
    expect_floats(&results.tensors[0], 2, ab);
    expect_floats(&results.tensors[1], 1, c);
    expect_floats(&results.tensors[2], 3, def);
    ck_assert_int_eq(*(const uint8_t *)results.tensors[3].data, 0);
    end_imported(&r);
}
END_TEST

START_TEST(a_sequence_may_be_empty_and_an_optional_there)
{
    const struct onnx_elements elements[] = {{"xs", 0}, {"ys", 1}};
    const struct graph *graph = load_with("border", ELEMENTS(elements));
    assert_names(graph->input_count, graph->inputs, "bias t");
    const infer_tensor inputs[] = {f32_tensor(ab, 1, 2, 0), f32_tensor(def, 1, 3, 0)};
    struct running r = start_imported(_i);
    struct results results;
    run_way(&r, _i, inputs, 2, &results, 2);
    expect_floats(&results.tensors[0], 3, def);
    ck_assert_int_eq(*(const uint8_t *)results.tensors[1].data, 1);
    end_imported(&r);
}
END_TEST

START_TEST(an_optional_sequence)
{
    const struct onnx_elements elements[] = {{"os", 2}, {"same", 2}};
    load_with("border_optional", ELEMENTS(elements));
    const infer_tensor inputs[] = {f32_tensor(ab, 1, 2, 0), f32_tensor(def, 1, 3, 0)};
    struct running r = start_imported(_i);
    struct results results;
    run_way(&r, _i, inputs, 2, &results, 2);
    expect_floats(&results.tensors[0], 2, ab);
    expect_floats(&results.tensors[1], 3, def);
    end_imported(&r);
}
END_TEST

/* How many leave is known once the model runs. */
START_TEST(a_sequence_of_another_length_is_refused)
{
    const struct onnx_elements elements[] = {{"xs", 1}, {"ys", 3}};
    load_with("border", ELEMENTS(elements));
    const infer_tensor inputs[] = {f32_tensor(c, 1, 1, 0), f32_tensor(ab, 1, 2, 0), f32_tensor(def, 1, 3, 0)};
    infer_tensor outputs[4] = {{0}};
    infer_error failure = {0};
    struct running r = start_imported(0);
    ck_assert_int_eq(infer_run(r.context, inputs, 3, outputs, 4, &failure), INFER_INVALID_ARGUMENT);
    ck_assert_msg(strstr(failure.message, "'ys' has 2 tensors; it was said to have 3") != NULL, "%s", failure.message);
    end_imported(&r);
}
END_TEST

START_TEST(what_is_no_sequence_is_not_taken_for_one)
{
    refuse_elements("border", (struct onnx_elements){"zs", 1}, STATUS_UNSUPPORTED,
                    ": input 'xs' is a sequence, which is not supported; node 'insert' (SequenceInsert) reads it");
    refuse_elements("scan", (struct onnx_elements){"zs", 1}, STATUS_INVALID_ARGUMENT,
                    ": the model has no input or output 'zs'");
    refuse_elements("border", (struct onnx_elements){"t", 1}, STATUS_INVALID_ARGUMENT, ": 't' is no sequence");
    refuse_elements("border", (struct onnx_elements){"bias", 1}, STATUS_INVALID_ARGUMENT, ": 'bias' is no sequence");
    refuse_elements("border", (struct onnx_elements){"has", 1}, STATUS_INVALID_ARGUMENT, ": 'has' is no sequence");
    refuse_elements("border", (struct onnx_elements){"xs", ONNX_ABSENT}, STATUS_INVALID_ARGUMENT,
                    ": input 'xs' is no optional");
    refuse_elements("border", (struct onnx_elements){"ys", 0}, STATUS_INVALID_ARGUMENT,
                    ": output 'ys' must be at least one tensor");
    refuse_elements("border", (struct onnx_elements){"xs", -2}, STATUS_INVALID_ARGUMENT, ": 'xs' cannot be -2 tensors");
    refuse_elements("border", (struct onnx_elements){"xs", ANY_COUNT + 1}, STATUS_INVALID_ARGUMENT,
                    ": 'xs' cannot be 32768 tensors");
    refuse_elements("border_strings", (struct onnx_elements){"ss", 1}, STATUS_UNSUPPORTED,
                    ": 'ss' is a sequence of what is not a tensor of numbers");
}
END_TEST

START_TEST(a_scan_of_opset_8_has_a_batch)
{
    static const float x[] = {0, 100}, items[] = {1, 2, 3, 10, 20, 30}, w[] = {-2}, last[] = {6, 160},
                       outs[] = {6, 10, 12, 260, 300, 320};
    load("batched_scan");
    const infer_tensor inputs[] = {f32_tensor(x, 1, 2, 0), f32_tensor(items, 2, 2, 3), f32_tensor(w, 0, 0, 0)};
    struct running r = start_imported(_i);
    struct results results;
    run_way(&r, _i, inputs, 3, &results, 2);
    ck_assert_int_eq(results.tensors[1].rank, 2);
    expect_floats(&results.tensors[0], 2, last);
    expect_floats(&results.tensors[1], 6, outs);
    end_imported(&r);
    assert_refused("batched_scan_lengths", STATUS_UNSUPPORTED,
                   ": node 'scan' (Scan): sequences of different lengths are not supported");
}
END_TEST

Suite *onnx_border_suite(void)
{
    Suite *suite = suite_create("onnx_border");
    TCase *tests = tcase_create("onnx_border");
    tcase_add_checked_fixture(tests, open_region, close_region);
    tcase_add_loop_test(tests, sequences_come_and_go_as_their_tensors, 0, WAYS);
    tcase_add_loop_test(tests, a_sequence_may_be_empty_and_an_optional_there, 0, WAYS);
    tcase_add_loop_test(tests, an_optional_sequence, 0, WAYS);
    tcase_add_test(tests, a_sequence_of_another_length_is_refused);
    tcase_add_test(tests, what_is_no_sequence_is_not_taken_for_one);
    tcase_add_loop_test(tests, a_scan_of_opset_8_has_a_batch, 0, WAYS);
    suite_add_tcase(suite, tests);
    return suite;
}
