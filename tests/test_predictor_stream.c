/* Streams: states that go from one request to the next. */
#include "tests/predictor_test.h"
#include "tests/suites.h"

#include <string.h>
#include <unistd.h>

#define STREAMS 6
#define CHUNKS 30
#define COUNT STATE_WIDTH

static struct rig rig_make(infer_predictor_options options)
{
    static const infer_state states[] = {{.output = 1, .input = 1}};
    options.states = states;
    options.state_count = 1;
    return rig_start(state_model, options);
}

static const float *chunk(int stream, int index)
{
    static float data[STREAMS + 1][CHUNKS][COUNT];
    float *x = data[stream][index];
    for (int k = 0; k < COUNT; k++)
        x[k] = (float)((stream * 31 + index * 17 + k * 7) % 23 - 11) / 8;
    return x;
}

/* What the stream's y are, one run after another. */
static void expected(struct rig *rig, int stream, int from, float (*y)[COUNT])
{
    float h[COUNT] = {0}, next[COUNT];
    for (int k = from; k < CHUNKS; k++) {
        infer_tensor in[2] = {f32_tensor(chunk(stream, k), 2, 1, COUNT), f32_tensor(h, 2, 1, COUNT)};
        infer_tensor out[2] = {infer_output(y[k], sizeof *y), infer_output(next, sizeof next)};
        run_well(rig->context, in, 2, out, 2);
        memcpy(h, next, sizeof h);
    }
}

static infer_status ask(struct rig *rig, int stream, int index, const float *h, float *y, infer_error *error)
{
    infer_tensor in[2] = {f32_tensor(chunk(stream, index), 2, 1, COUNT), {.dtype = INFER_NONE}};
    infer_tensor out = infer_output(y, COUNT * sizeof *y);
    if (h)
        in[1] = f32_tensor(h, 2, 1, COUNT);
    return infer_predict(rig->predictor, in, 2, &out, 1, &(infer_request_options){.stream = (uint64_t)stream}, error);
}

START_TEST(streams_remember)
{
    struct rig rig =
        rig_make((infer_predictor_options){.contexts = 2, .batch_size = _i ? 4 : 1, .cache_bytes = 1 << 20});
    float y[COUNT], want[CHUNKS][COUNT];
    for (int stream = 1; stream <= STREAMS; stream++)
        for (int k = 0; k < CHUNKS; k++)
            if (stream % 2 || k < 10)
                ck_assert_int_eq(ask(&rig, stream, k, NULL, y, NULL), INFER_OK);
    expected(&rig, 2, 0, want);
    for (int k = 10; k < CHUNKS; k++) { /* the others' requests in between were nothing to it */
        ck_assert_int_eq(ask(&rig, 2, k, NULL, y, NULL), INFER_OK);
        ck_assert_mem_eq(y, want[k], sizeof y);
    }
    expected(&rig, 4, 10, want);
    infer_predictor_end_stream(rig.predictor, 4);
    infer_predictor_end_stream(rig.predictor, 4000);
    for (int k = 10; k < CHUNKS; k++) {
        ck_assert_int_eq(ask(&rig, 4, k, NULL, y, NULL), INFER_OK);
        ck_assert_mem_eq(y, want[k], sizeof y);
    }
    rig_free(&rig);
}
END_TEST

/* All at once: those of a stream run in their order, those of different streams share runs. */
START_TEST(streams_keep_their_order)
{
    struct rig rig = rig_make((infer_predictor_options){.contexts = 2, .batch_size = 4});
    static infer_prediction *predictions[CHUNKS][STREAMS];
    static float want[STREAMS][CHUNKS][COUNT];
    for (int s = 0; s < STREAMS; s++)
        expected(&rig, s, 0, want[s]); /* which writes the chunks, so before anybody reads them */
    for (int k = 0; k < CHUNKS; k++)
        for (int s = 0; s < STREAMS; s++) {
            infer_tensor in[2] = {f32_tensor(chunk(s, k), 2, 1, COUNT), {.dtype = INFER_NONE}};
            infer_request_options options = {.stream = (uint64_t)s + 1};
            ck_assert_int_eq(infer_predict_async(rig.predictor, in, 2, NULL, 0, &options, &predictions[k][s], NULL),
                             INFER_OK);
        }
    for (int s = 0; s < STREAMS; s++)
        for (int k = 0; k < CHUNKS; k++) {
            ck_assert(infer_prediction_wait(predictions[k][s], -1));
            ck_assert_mem_eq(infer_prediction_result(predictions[k][s], 0)->data, want[s][k], sizeof want[s][k]);
            infer_prediction_release(predictions[k][s]);
        }
    rig_free(&rig);
}
END_TEST

START_TEST(a_failed_request_moves_nothing)
{
    infer_input_check check = {.input = 0, .finite = true};
    struct rig rig = rig_make((infer_predictor_options){.checks = &check, .check_count = 1});
    float y[COUNT], want[CHUNKS][COUNT], zeros[COUNT] = {0};
    infer_error error;
    expected(&rig, 3, 0, want);
    ck_assert_int_eq(ask(&rig, 3, 0, NULL, y, NULL), INFER_OK);
    infer_tensor in[2] = {f32_tensor((float[]){1, 2, 0.0f / zeros[0], 4}, 2, 1, COUNT), {.dtype = INFER_NONE}};
    infer_tensor out = infer_output(y, sizeof y);
    infer_request_options options = {.stream = 3};
    ck_assert_int_eq(infer_predict(rig.predictor, in, 2, &out, 1, &options, NULL), INFER_INVALID_ARGUMENT);
    ck_assert_int_eq(ask(&rig, 3, 1, NULL, y, NULL), INFER_OK);
    ck_assert_mem_eq(y, want[1], sizeof y);
    ck_assert_int_eq(ask(&rig, 3, 0, zeros, y, NULL), INFER_OK); /* a state that is given counts */
    ck_assert_mem_eq(y, want[0], sizeof y);
    ck_assert_int_eq(ask(&rig, 3, 1, NULL, y, NULL), INFER_OK);
    ck_assert_mem_eq(y, want[1], sizeof y);
    ck_assert_int_eq(ask(&rig, 0, 0, NULL, y, &error), INFER_INVALID_ARGUMENT); /* of no stream */
    ck_assert_str_eq(error.message, "prediction failed: input 'h' is not given");
    rig_free(&rig);
}
END_TEST

START_TEST(streams_are_bounded)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct rig rig = rig_make((infer_predictor_options){.allocator = &allocator, .most_streams = 3});
    float y[COUNT], want[CHUNKS][COUNT];
    for (int round = 0; round < 3; round++)
        for (int s = 1; s <= 3; s++)
            ck_assert_int_eq(ask(&rig, s, round, NULL, y, NULL), INFER_OK);
    long before = atomic_load(&counting.bytes);
    for (int s = 4; s <= STREAMS; s++)
        ck_assert_int_eq(ask(&rig, s, 0, NULL, y, NULL), INFER_OK);
    ck_assert_int_eq(atomic_load(&counting.bytes), before);
    expected(&rig, 1, 3, want); /* it was forgotten */
    ck_assert_int_eq(ask(&rig, 1, 3, NULL, y, NULL), INFER_OK);
    ck_assert_mem_eq(y, want[3], sizeof y);
    rig_free(&rig);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
}
END_TEST

START_TEST(wrong_states_are_refused)
{
    struct maker maker = maker_start();
    infer_model *model = state_model(&maker, NULL);
    infer_predictor *predictor;
    infer_error error;
    infer_state state = {.output = 2, .input = 1};
    infer_predictor_options options = {.model = model, .states = &state, .state_count = 1};
    ck_assert_int_eq(infer_predictor_create(&options, &predictor, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "state 0 is output 2 as input 1; the model has 2 outputs and 2 inputs");
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

Suite *predictor_stream_suite(void)
{
    Suite *suite = suite_create("predictor_stream");
    TCase *tests = tcase_create("predictor_stream");
    tcase_add_loop_test(tests, streams_remember, 0, 2);
    tcase_add_test(tests, streams_keep_their_order);
    tcase_add_test(tests, a_failed_request_moves_nothing);
    tcase_add_test(tests, streams_are_bounded);
    tcase_add_test(tests, wrong_states_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
