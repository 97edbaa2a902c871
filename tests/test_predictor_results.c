/* Results in the memory of requests: their sizes are foreseen from the shapes, so that runs write them there. */
#include "predictor/predictor.h" /* before Check's macro `fail` */

#include "tests/predictor_test.h"
#include "tests/suites.h"

#include <string.h>

#define LONGEST 6000

static infer_status pass_outputs(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                                 infer_tensor *results, size_t result_count, infer_error *error)
{
    (void)user, (void)hook, (void)output_count, (void)error;
    memcpy(results, outputs, result_count * sizeof *results);
    return INFER_OK;
}

static float numbers[LONGEST * WIDTH + 16];
static const int64_t third = 3;

static void fill(void)
{
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        numbers[k] = (float)(k * 7919 % 1000) / 500 - 1;
}

/* The k-th request: others begin elsewhere in the numbers. */
static void make_inputs(infer_tensor inputs[2], size_t k, int64_t length)
{
    inputs[0] = infer_input(numbers + k, INFER_FLOAT32, 3, (int64_t[]){1, length, WIDTH});
    inputs[1] = infer_input(&third, INFER_INT64, 1, (int64_t[]){1});
}

static infer_prediction *ask(struct rig *rig, size_t k, int64_t length)
{
    infer_tensor inputs[2];
    infer_prediction *prediction;
    make_inputs(inputs, k, length);
    ck_assert_int_eq(infer_predict_async(rig->predictor, inputs, 2, NULL, 0, NULL, &prediction, NULL), INFER_OK);
    ck_assert(infer_prediction_wait(prediction, -1));
    ck_assert_int_eq(infer_prediction_status(prediction, NULL), INFER_OK);
    return prediction;
}

static void expect_right(struct rig *rig, infer_prediction *prediction, size_t k, int64_t length)
{
    infer_tensor inputs[2], expected[2] = {infer_output(NULL, 0), infer_output(NULL, 0)};
    make_inputs(inputs, k, length);
    run_well(rig->context, inputs, 2, expected, 2);
    for (size_t i = 0; i < 2; i++) {
        const infer_tensor *result = infer_prediction_result(prediction, i);
        ck_assert_uint_eq(result->bytes, expected[i].bytes);
        ck_assert_mem_eq(result->data, expected[i].data, expected[i].bytes);
    }
}

/* Shapes grow, shrink and come again while the results of the request before are still held. */
START_TEST(large_results_are_written_where_they_lie)
{
    struct rig rig = rig_start(rows_model, (infer_predictor_options){.session_options = {.threads = 1},
                                                                     .hooks = {.postprocess = _i ? pass_outputs : NULL,
                                                                               .result_count = _i ? 2 : 0}});
    const int64_t lengths[] = {4000, 4000, LONGEST, LONGEST, 7, 4000, LONGEST, 4000, 1, 4000, 4001};
    const bool placed[] = {false, true, true, true, true, false, true, true, true, false, true};
    fill();
    infer_prediction *before = NULL;
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        infer_prediction *prediction = ask(&rig, k, lengths[k]);
        ck_assert_msg((rig.predictor->lanes[0].outputs[0].lent == NULL) == placed[k], "request %zu", k);
        expect_right(&rig, prediction, k, lengths[k]);
        if (before) {
            expect_right(&rig, before, k - 1, lengths[k - 1]);
            infer_prediction_release(before);
        }
        before = prediction;
    }
    infer_prediction_release(before);
    rig_free(&rig);
}
END_TEST

Suite *predictor_results_suite(void)
{
    Suite *suite = suite_create("predictor_results");
    TCase *tests = tcase_create("predictor_results");
    tcase_add_loop_test(tests, large_results_are_written_where_they_lie, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
