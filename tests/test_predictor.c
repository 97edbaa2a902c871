/* The predictor: single requests, batches, requests to be waited for, hooks, and what is refused. */
#include "tests/predictor_test.h"
#include "tests/suites.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rig rig_make(infer_predictor_options options)
{
    return rig_start(rows_model, options);
}

static struct rows_request requests[40];

START_TEST(one_request)
{
    struct rig rig = rig_make((infer_predictor_options){.contexts = 2});
    infer_error error = {.status = INFER_FAULT, .message = "before"};
    for (unsigned k = 0; k < 6; k++) {
        rows_fill(&requests[0], k, 1 + k % 3, 1 + k % 4);
        ck_assert_int_eq(rows_predict(rig.predictor, &requests[0], &error), INFER_OK);
        ck_assert_int_eq(error.status, INFER_OK);
        ck_assert_str_eq(error.message, "");
        ck_assert_ptr_eq(requests[0].results[0].data, requests[0].y);
        ck_assert_uint_eq(requests[0].results[0].capacity, sizeof requests[0].y);
        ck_assert(rows_are_right(rig.context, &requests[0], requests[0].results));
    }
    rig_free(&rig);
}
END_TEST

START_TEST(outputs_can_be_left_out)
{
    struct rig rig = rig_make((infer_predictor_options){.batch_size = _i ? 4 : 1});
    rows_fill(&requests[0], 3, 2, 3);
    ck_assert_int_eq(infer_predict(rig.predictor, requests[0].inputs, 2, requests[0].results, 1, NULL, NULL), INFER_OK);
    rows_fill(&requests[1], 3, 2, 3);
    requests[1].results[0] = infer_output(NULL, INFER_LEFT_OUT);
    ck_assert_int_eq(rows_predict(rig.predictor, &requests[1], NULL), INFER_OK);
    ck_assert_ptr_null(requests[1].results[0].data);
    requests[0].results[1] = requests[1].results[1];
    ck_assert(rows_are_right(rig.context, &requests[0], requests[0].results));
    rig_free(&rig);
}
END_TEST

/* Requests of mixed shapes, one of them bad: the others have their results, in their places. */
START_TEST(many_requests)
{
    static const int batch_sizes[] = {1, 3, 4, 16};
    struct rig rig = rig_make(
        (infer_predictor_options){.batch_size = batch_sizes[_i], .contexts = 1 + _i % 2, .max_delay = _i == 2 ? 1 : 0});
    enum { COUNT = 40, BAD = 7, WRONG = 20 };
    infer_item items[COUNT];
    infer_error error;
    for (unsigned k = 0; k < COUNT; k++) {
        rows_fill(&requests[k], k, k % 5 == 4 ? 2 : 1, 1 + k % 3);
        items[k] = (infer_item){.inputs = requests[k].inputs,
                                .input_count = 2,
                                .results = requests[k].results,
                                .result_count = 2,
                                .error = {.status = INFER_FAULT}};
    }
    ck_assert_int_eq(infer_predict_batch(rig.predictor, items, COUNT, NULL, &error), INFER_OK);
    for (unsigned k = 0; k < COUNT; k++) {
        ck_assert_int_eq(items[k].error.status, INFER_OK);
        ck_assert(rows_are_right(rig.context, &requests[k], requests[k].results));
        rows_fill(&requests[k], k, k % 5 == 4 ? 2 : 1, 1 + k % 3);
    }
    requests[BAD].i[0] = ENTRIES + 2;
    requests[WRONG].inputs[0].dtype = INFER_INT32;
    ck_assert_int_eq(infer_predict_batch(rig.predictor, items, COUNT, NULL, &error), INFER_FAULT);
    ck_assert_str_eq(error.message, "2 of 40 items failed; the first is item 7: prediction failed: node 'g' (Gather): "
                                    "index 7 is outside an axis of 5");
    ck_assert_str_eq(items[WRONG].error.message, "prediction failed: input 'x' is int32; the model takes float32");
    for (unsigned k = 0; k < COUNT; k++)
        ck_assert(k == BAD || k == WRONG || rows_are_right(rig.context, &requests[k], requests[k].results));
    rig_free(&rig);
}
END_TEST

/* Requests that wait for each other share a run: with a long delay, a full batch is what lets them go. */
START_TEST(a_full_batch_waits_no_longer)
{
    struct rig rig = rig_make((infer_predictor_options){.batch_size = 4, .max_delay = 1000});
    infer_prediction *predictions[4];
    for (unsigned k = 0; k < 4; k++) {
        rows_fill(&requests[k], k, 1, 2);
        ck_assert_int_eq(
            infer_predict_async(rig.predictor, requests[k].inputs, 2, NULL, 0, NULL, &predictions[k], NULL), INFER_OK);
        if (k == 2) {
            ck_assert(!infer_prediction_wait(predictions[0], 0.05));
            ck_assert_int_eq(infer_prediction_status(predictions[0], NULL), INFER_BUSY);
            ck_assert_ptr_null(infer_prediction_result(predictions[0], 0));
        }
    }
    for (unsigned k = 0; k < 4; k++) {
        ck_assert(infer_prediction_wait(predictions[k], -1));
        infer_tensor results[2] = {*infer_prediction_result(predictions[k], 0),
                                   *infer_prediction_result(predictions[k], 1)};
        ck_assert(rows_are_right(rig.context, &requests[k], results));
        ck_assert_ptr_null(infer_prediction_result(predictions[k], 2));
        infer_prediction_release(predictions[k]);
    }
    rig_free(&rig);
}
END_TEST

START_TEST(a_delay_ends)
{
    struct rig rig = rig_make((infer_predictor_options){.batch_size = 4, .max_delay = 0.02});
    rows_fill(&requests[0], 1, 1, 2);
    ck_assert_int_eq(rows_predict(rig.predictor, &requests[0], NULL), INFER_OK);
    ck_assert(rows_are_right(rig.context, &requests[0], requests[0].results));
    rig_free(&rig);
}
END_TEST

/* --- hooks -------------------------------------------------------------------------------------------------------- */

/* Given are rows of bytes; the model's x is what they stand for, and a result the largest y of each row. */
static infer_status only_short(void *user, const infer_tensor *given, size_t count, infer_error *error)
{
    ck_assert_ptr_eq(user, requests);
    ck_assert_uint_eq(count, 1);
    if (given[0].dims[1] <= 4)
        return INFER_OK;
    strcpy(error->message, "too long a row");
    return INFER_UNSUPPORTED;
}

static infer_status from_bytes(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                               infer_tensor *inputs, size_t input_count, infer_error *error)
{
    (void)user, (void)error;
    int64_t rows = given[0].dims[0], length = given[0].dims[1];
    ck_assert_uint_eq(given_count, 1);
    ck_assert_uint_eq(input_count, 2);
    float *x = infer_hook_memory(hook, given[0].bytes * WIDTH * sizeof *x);
    int64_t *i = infer_hook_memory(hook, (size_t)rows * sizeof *i);
    if (!x || !i)
        return INFER_OUT_OF_MEMORY;
    for (int64_t k = 0; k < rows * length * WIDTH; k++)
        x[k] = (float)((const uint8_t *)given[0].data)[k / WIDTH] / 256;
    for (int64_t k = 0; k < rows; k++)
        i[k] = ((const uint8_t *)given[0].data)[k * length] % 8; /* from 5 on, a fault */
    inputs[0] = infer_input(x, INFER_FLOAT32, 3, (int64_t[]){rows, length, WIDTH});
    inputs[1] = infer_input(i, INFER_INT64, 1, (int64_t[]){rows});
    return INFER_OK;
}

static infer_status largest(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                            infer_tensor *results, size_t result_count, infer_error *error)
{
    (void)user, (void)error;
    ck_assert_uint_eq(output_count, 2);
    ck_assert_uint_eq(result_count, 1);
    int64_t rows = outputs[0].dims[0], each = outputs[0].dims[1] * WIDTH;
    float *most = infer_hook_memory(hook, (size_t)rows * sizeof *most);
    if (!most)
        return INFER_OUT_OF_MEMORY;
    for (int64_t r = 0; r < rows; r++) {
        const float *y = (const float *)outputs[0].data + r * each;
        most[r] = y[0];
        for (int64_t k = 1; k < each; k++)
            most[r] = y[k] > most[r] ? y[k] : most[r];
    }
    results[0] = infer_input(most, INFER_FLOAT32, 1, &rows);
    return INFER_OK;
}

static infer_hooks byte_hooks(void)
{
    return (infer_hooks){only_short, from_bytes, largest, requests, 1, 1, 0};
}

static float expected_largest(infer_context *context, uint8_t byte, int64_t length)
{
    rows_fill(&requests[39], 0, 1, length);
    for (int64_t k = 0; k < length * WIDTH; k++)
        requests[39].x[k] = (float)byte / 256;
    run_well(context, requests[39].inputs, 2, requests[39].results, 2);
    float most = requests[39].y[0];
    for (int64_t k = 1; k < length * WIDTH; k++)
        most = fmaxf(most, requests[39].y[k]);
    return most;
}

START_TEST(hooks_make_and_take_tensors)
{
    struct rig rig = rig_make((infer_predictor_options){.batch_size = _i ? 4 : 1, .hooks = byte_hooks()});
    static uint8_t bytes[32][4];
    infer_tensor given[32], results[32];
    infer_item items[32];
    float most[32];
    for (int k = 0; k < 32; k++) {
        memset(bytes[k], k * 8 + k % 5, sizeof bytes[k]);
        given[k] = infer_input(bytes[k], INFER_UINT8, 2, (int64_t[]){1, 4});
        results[k] = infer_output(&most[k], sizeof most[k]);
        items[k] = (infer_item){&given[k], 1, &results[k], 1, {0}};
    }
    given[9].dims[1] = 5;
    ck_assert_int_eq(infer_predict_batch(rig.predictor, items, 32, NULL, NULL), INFER_UNSUPPORTED);
    ck_assert_str_eq(items[9].error.message, "prediction failed: validate: too long a row");
    for (int k = 0; k < 32; k++)
        ck_assert_msg(k == 9 || most[k] == expected_largest(rig.context, bytes[k][0], 4), "item %d: %s", k,
                      items[k].error.message);
    infer_error error;
    bytes[0][0] = 6;
    ck_assert_int_eq(infer_predict(rig.predictor, &given[0], 1, &results[0], 1, NULL, &error), INFER_FAULT);
    ck_assert_str_eq(error.message, "prediction failed: node 'g' (Gather): index 6 is outside an axis of 5");
    results[1] = infer_output(&most[1], 3);
    ck_assert_int_eq(infer_predict(rig.predictor, &given[1], 1, &results[1], 1, NULL, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "prediction failed: result 0 has 4 bytes, and its memory room for 3");
    /* The result lies in the prediction's memory. */
    infer_prediction *prediction;
    ck_assert_int_eq(infer_predict_async(rig.predictor, &given[5], 1, NULL, 0, NULL, &prediction, NULL), INFER_OK);
    ck_assert(infer_prediction_wait(prediction, -1));
    ck_assert(*(float *)infer_prediction_result(prediction, 0)->data == most[5]);
    infer_prediction_release(prediction);
    rig_free(&rig);
}
END_TEST

static infer_status bad_preprocess(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                                   infer_tensor *inputs, size_t input_count, infer_error *error)
{
    (void)hook, (void)given_count, (void)input_count, (void)error;
    switch (*(int *)user) {
    case 0:
        return INFER_IO; /* without a sentence */
    case 1:
        usleep(30000);
        memcpy(inputs, given, 2 * sizeof *inputs);
        return INFER_OK;
    case 2:
        inputs[0] = given[0];
        return INFER_OK; /* input 1 is missing */
    default:
        memset(error->message, 'x', sizeof error->message); /* not terminated */
        return INFER_FAULT;
    }
}

static infer_status bad_postprocess(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                                    infer_tensor *results, size_t result_count, infer_error *error)
{
    (void)user, (void)hook, (void)output_count, (void)result_count, (void)error;
    results[0] = outputs[0];
    results[0].bytes--;
    return INFER_OK;
}

START_TEST(hooks_that_fail)
{
    static const struct {
        infer_status status;
        const char *sentence;
    } expected[] = {{INFER_IO, "prediction failed: preprocess: input/output"},
                    {INFER_DEADLINE, "prediction failed: preprocess took 0.0"},
                    {INFER_INVALID_ARGUMENT, "prediction failed: input 'i' is not given"},
                    {INFER_FAULT, "prediction failed: preprocess: xxx"}};
    int kind;
    struct rig rig = rig_make((infer_predictor_options){
        .hooks = {.preprocess = bad_preprocess, .user = &kind, .given_count = 2, .seconds = 0.01}});
    infer_error error;
    for (kind = 0; kind < 4; kind++) {
        rows_fill(&requests[0], 1, 1, 1);
        ck_assert_int_eq(rows_predict(rig.predictor, &requests[0], &error), expected[kind].status);
        ck_assert_msg(strncmp(error.message, expected[kind].sentence, strlen(expected[kind].sentence)) == 0, "%s",
                      error.message);
        ck_assert_uint_lt(strlen(error.message), sizeof error.message);
    }
    rig_free(&rig);
    rig = rig_make((infer_predictor_options){.hooks = {.postprocess = bad_postprocess}});
    rows_fill(&requests[0], 1, 1, 1);
    ck_assert_int_eq(rows_predict(rig.predictor, &requests[0], &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "prediction failed: postprocess: result 0 is no tensor");
    rig_free(&rig);
}
END_TEST

/* --- validation --------------------------------------------------------------------------------------------------- */

static infer_status error_of(infer_predictor *predictor, const infer_tensor *inputs, size_t count, infer_error *error)
{
    return infer_predict(predictor, inputs, count, requests[0].results, 2, NULL, error);
}

#define REFUSED(sentence)                                                                                 \
    do {                                                                                                  \
        ck_assert_int_eq(error_of(rig.predictor, requests[0].inputs, 2, &error), INFER_INVALID_ARGUMENT); \
        ck_assert_str_eq(error.message, "prediction failed: " sentence);                                  \
        rows_fill(&requests[0], 1, 2, 3);                                                                 \
    } while (0)

START_TEST(inputs_are_checked)
{
    static const infer_input_check checks[] = {{.input = 0, .finite = true},
                                               {.input = 1, .has_range = true, .least = 0, .most = 4}};
    struct rig rig = rig_make((infer_predictor_options){.checks = checks, .check_count = 2});
    infer_error error;
    rows_fill(&requests[0], 1, 2, 3);
    ck_assert_int_eq(error_of(rig.predictor, requests[0].inputs, 1, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "prediction failed: 1 inputs were given; a request has 2");
    requests[0].inputs[0].dtype = INFER_FLOAT64;
    REFUSED("input 'x' is float64; the model takes float32");
    requests[0].inputs[0].rank = 2;
    REFUSED("input 'x' is 2x3; the model takes ?x?x8");
    requests[0].inputs[0].rank = 9;
    REFUSED("input 'x' has 9 dimensions; it can be 0 to 8");
    requests[0].inputs[0].dims[2] = 7;
    REFUSED("input 'x' is 2x3x7; the model takes ?x?x8");
    requests[0].inputs[0].dims[0] = INT64_MAX;
    REFUSED("input 'x' is 9223372036854775807x3x8: no tensor can be");
    requests[0].inputs[0].bytes--;
    REFUSED("input 'x' needs 192 bytes and has 191");
    requests[0].inputs[0].data = NULL;
    REFUSED("input 'x' needs 192 bytes and has none");
    requests[0].x[47] = NAN;
    REFUSED("element 47 of input 'x' is not finite");
    requests[0].x[3] = -INFINITY;
    REFUSED("element 3 of input 'x' is not finite");
    requests[0].i[1] = 5;
    REFUSED("element 1 of input 'i' is outside its range of 0 to 4");
    requests[0].i[0] = -1;
    REFUSED("element 0 of input 'i' is outside its range of 0 to 4");
    ck_assert_int_eq(error_of(rig.predictor, requests[0].inputs, 2, &error), INFER_OK);
    rig_free(&rig);
}
END_TEST

START_TEST(wrong_calls)
{
    struct rig rig = rig_make((infer_predictor_options){0});
    infer_error error;
    infer_prediction *prediction;
    rows_fill(&requests[0], 1, 1, 1);
    const struct rows_request *r = &requests[0];
    ck_assert_int_eq(infer_predict(NULL, r->inputs, 2, requests[0].results, 2, NULL, &error), INFER_INVALID_ARGUMENT);
    ck_assert_int_eq(infer_predict(rig.predictor, NULL, 2, requests[0].results, 2, NULL, &error),
                     INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "prediction failed: there is no inputs: the pointer is NULL");
    ck_assert_int_eq(infer_predict(rig.predictor, r->inputs, 2, NULL, 2, NULL, &error), INFER_INVALID_ARGUMENT);
    infer_tensor three[3] = {{.capacity = INFER_LEFT_OUT}, {.capacity = INFER_LEFT_OUT}, {.capacity = INFER_LEFT_OUT}};
    ck_assert_int_eq(infer_predict(rig.predictor, r->inputs, 2, three, 3, NULL, &error), INFER_INVALID_ARGUMENT);
    infer_tensor nowhere = infer_output(NULL, 0);
    ck_assert_int_eq(infer_predict(rig.predictor, r->inputs, 2, &nowhere, 1, NULL, &error), INFER_INVALID_ARGUMENT);
    ck_assert_int_eq(infer_predict_async(rig.predictor, r->inputs, 2, NULL, 0, NULL, NULL, &error),
                     INFER_INVALID_ARGUMENT);
    ck_assert_int_eq(infer_predict_async(rig.predictor, r->inputs, 2, NULL, 0, &(infer_request_options){.priority = 2},
                                         &prediction, &error),
                     INFER_INVALID_ARGUMENT);
    ck_assert_ptr_null(prediction);
    ck_assert_str_eq(error.message, "prediction failed: a request's priority is -1, 0 or 1, not 2");
    ck_assert_int_eq(infer_predict_async(rig.predictor, r->inputs, 2, NULL, 0, &(infer_request_options){.seconds = -1},
                                         &prediction, &error),
                     INFER_INVALID_ARGUMENT);
    infer_prediction_release(NULL);
    infer_prediction_cancel(NULL);
    infer_predictor_release(NULL);
    ck_assert(!infer_prediction_wait(NULL, 0));
    rig_free(&rig);
}
END_TEST

START_TEST(wrong_options)
{
    struct maker maker = maker_start(), other = maker_start();
    infer_model *model = rows_model(&maker, NULL), *fixed = endless_model(&other, NULL);
    const struct {
        infer_predictor_options options;
        infer_status status;
        const char *sentence;
    } cases[] = {
        {{.batch_size = 1}, INFER_INVALID_ARGUMENT, "a predictor is made of a path or of a model, one of them"},
        {{.path = "x", .model = model},
         INFER_INVALID_ARGUMENT,
         "a predictor is made of a path or of a model, one of them"},
        {{.path = "/nowhere/x.bin"}, INFER_IO, NULL},
#ifndef INFER_CUDA
        {{.model = model, .device = INFER_DEVICE_CUDA},
         INFER_UNSUPPORTED,
         "device cuda: this build has no CUDA backend: build it with `make CUDA=1`, where nvcc is installed"},
#endif
        {{.model = model, .device = (infer_device)2},
         INFER_INVALID_ARGUMENT,
         "device is 2; it is none of infer_device"},
        {{.model = model, .precision = INFER_PRECISION_INT8},
         INFER_UNSUPPORTED,
         "this build runs models in the precision they were written in"},
        {{.model = model, .contexts = 1025},
         INFER_INVALID_ARGUMENT,
         "contexts is 1025; it can be 1 to 1024, or 0 for the default"},
        {{.model = model, .queue_length = -1},
         INFER_INVALID_ARGUMENT,
         "queue_length is -1; it can be 1 to 1048576, or 0 for the default"},
        {{.model = model, .max_delay = -0.5}, INFER_INVALID_ARGUMENT, "max_delay cannot be -0.5 s"},
        {{.model = fixed, .batch_size = 2},
         INFER_INVALID_ARGUMENT,
         "a batch needs a first dimension, and input 'trip' has none"},
        {{.model = model, .check_count = 1, .checks = &(infer_input_check){.input = 2}},
         INFER_INVALID_ARGUMENT,
         "check 0 is of input 2; the model has 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        infer_predictor *predictor = (void *)&maker;
        infer_error error = {0};
        ck_assert_int_eq(infer_predictor_create(&cases[i].options, &predictor, &error), cases[i].status);
        ck_assert_ptr_null(predictor);
        ck_assert_int_eq(error.status, cases[i].status);
        if (cases[i].sentence)
            ck_assert_str_eq(error.message, cases[i].sentence);
    }
    infer_model_release(model);
    infer_model_release(fixed);
    region_free(&maker.region);
    region_free(&other.region);
}
END_TEST

/* --- memory and processes ----------------------------------------------------------------------------------------- */

static void one_of_each(infer_predictor *predictor, bool must_succeed)
{
    infer_item items[6];
    infer_prediction *prediction;
    for (unsigned k = 0; k < 6; k++) {
        rows_fill(&requests[k], k, 1, 2);
        items[k] = (infer_item){requests[k].inputs, 2, requests[k].results, 2, {0}};
    }
    infer_status status = rows_predict(predictor, &requests[0], NULL);
    ck_assert(status == INFER_OK || (!must_succeed && status == INFER_OUT_OF_MEMORY));
    status = infer_predict_batch(predictor, items, 6, NULL, NULL);
    ck_assert(status == INFER_OK || (!must_succeed && status == INFER_OUT_OF_MEMORY));
    status = infer_predict_async(predictor, requests[0].inputs, 2, NULL, 0, NULL, &prediction, NULL);
    ck_assert(status == INFER_OK || (!must_succeed && status == INFER_OUT_OF_MEMORY));
    if (prediction) {
        infer_prediction_wait(prediction, -1);
        status = infer_prediction_status(prediction, NULL);
        ck_assert(status == INFER_OK || (!must_succeed && status == INFER_OUT_OF_MEMORY));
    }
    infer_prediction_release(prediction);
}

static infer_status copy_in(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                            infer_tensor *inputs, size_t input_count, infer_error *error)
{
    (void)user, (void)error, (void)input_count;
    for (size_t i = 0; i < given_count; i++) {
        inputs[i] = given[i];
        inputs[i].data = infer_hook_memory(hook, given[i].bytes);
        if (!inputs[i].data)
            return INFER_OUT_OF_MEMORY;
        memcpy(inputs[i].data, given[i].data, given[i].bytes);
    }
    return INFER_OK;
}

static infer_predictor_options with_everything(infer_model *model, const infer_allocator *allocator)
{
    return (infer_predictor_options){.model = model,
                                     .allocator = allocator,
                                     .batch_size = 4,
                                     .contexts = 2,
                                     .session_options = {.threads = 1},
                                     .hooks = {.preprocess = copy_in, .given_count = 2}};
}

START_TEST(what_has_been_seen_allocates_nothing)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = rows_model(&maker, &(infer_model_options){.allocator = &allocator});
    infer_predictor_options options = with_everything(model, &allocator);
    infer_predictor *predictor = predictor_make(&options);
    /* How requests fall into batches is up to the scheduler, so there are several shapes and several sets of memory. */
    long before = -1;
    for (int round = 0, quiet = 0; quiet < 20; round++) {
        one_of_each(predictor, true);
        long calls = atomic_load(&counting.calls);
        quiet = calls == before ? quiet + 1 : 0;
        before = calls;
        ck_assert_int_lt(round, 2000);
    }
    infer_predictor_release(predictor);
    infer_model_release(model);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
    region_free(&maker.region);
}
END_TEST

START_TEST(every_allocation_fails_once)
{
    bool made = false;
    for (long fail_at = 0; !made || fail_at < 150; fail_at++) {
        struct counting counting = {.fail_at = -1};
        infer_allocator allocator = counting_allocator(&counting);
        struct maker maker = maker_start();
        infer_model *model = rows_model(&maker, &(infer_model_options){.allocator = &allocator});
        infer_predictor_options options = with_everything(model, &allocator);
        options.cache_bytes = _i ? 1 << 16 : 0;
        options.trace_events = _i ? 8 : 0;
        infer_predictor *predictor;
        infer_error error = {0};
        counting.fail_at = atomic_load(&counting.calls) + fail_at;
        infer_status status = infer_predictor_create(&options, &predictor, &error);
        made = status == INFER_OK;
        ck_assert_msg(made || status == INFER_OUT_OF_MEMORY, "%s", error.message);
        if (made)
            one_of_each(predictor, false);
        infer_predictor_release(predictor);
        infer_model_release(model);
        ck_assert_int_eq(atomic_load(&counting.bytes), 0);
        region_free(&maker.region);
    }
}
END_TEST

START_TEST(predictions_outlive_their_predictor)
{
    struct rig rig = rig_make((infer_predictor_options){0});
    infer_prediction *prediction;
    rows_fill(&requests[0], 1, 1, 2);
    ck_assert_int_eq(infer_predict_async(rig.predictor, requests[0].inputs, 2, NULL, 0, NULL, &prediction, NULL),
                     INFER_OK);
    infer_prediction_wait(prediction, -1);
    infer_predictor_release(rig.predictor);
    rig.predictor = NULL;
    infer_tensor results[2] = {*infer_prediction_result(prediction, 0), *infer_prediction_result(prediction, 1)};
    ck_assert(rows_are_right(rig.context, &requests[0], results));
    infer_prediction_release(prediction);
    rig_free(&rig);
}
END_TEST

START_TEST(a_child_can_release_it)
{
    struct rig rig = rig_make((infer_predictor_options){.contexts = 2});
    rows_fill(&requests[0], 1, 1, 2);
    pid_t child = fork();
    if (child == 0) {
        infer_error error;
        bool refused = rows_predict(rig.predictor, &requests[0], &error) == INFER_INVALID_ARGUMENT &&
                       strstr(error.message, "forked off") != NULL;
        infer_predictor_release(rig.predictor);
        _exit(refused ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_int_eq(rows_predict(rig.predictor, &requests[0], NULL), INFER_OK);
    rig_free(&rig);
}
END_TEST

START_TEST(predictors_share_a_session)
{
    struct rig rig = rig_make((infer_predictor_options){.batch_size = 4});
    infer_predictor *other = predictor_make(
        &(infer_predictor_options){.model = rig.model, .session = infer_predictor_session(rig.predictor)});
    ck_assert_ptr_eq(infer_predictor_session(other), infer_predictor_session(rig.predictor));
    rows_fill(&requests[0], 1, 2, 2);
    ck_assert_int_eq(rows_predict(other, &requests[0], NULL), INFER_OK);
    ck_assert(rows_are_right(rig.context, &requests[0], requests[0].results));
    infer_predictor_release(other);
    rig_free(&rig);
}
END_TEST

Suite *predictor_suite(void)
{
    Suite *suite = suite_create("predictor");
    TCase *tests = tcase_create("predictor");
    tcase_add_test(tests, one_request);
    tcase_add_loop_test(tests, outputs_can_be_left_out, 0, 2);
    tcase_add_loop_test(tests, many_requests, 0, 4);
    tcase_add_test(tests, a_full_batch_waits_no_longer);
    tcase_add_test(tests, a_delay_ends);
    tcase_add_loop_test(tests, hooks_make_and_take_tensors, 0, 2);
    tcase_add_test(tests, hooks_that_fail);
    tcase_add_test(tests, inputs_are_checked);
    tcase_add_test(tests, wrong_calls);
    tcase_add_test(tests, wrong_options);
    tcase_add_test(tests, what_has_been_seen_allocates_nothing);
    tcase_add_loop_test(tests, every_allocation_fails_once, 0, 2);
    tcase_add_test(tests, predictions_outlive_their_predictor);
    tcase_add_test(tests, a_child_can_release_it);
    tcase_add_test(tests, predictors_share_a_session);
    suite_add_tcase(suite, tests);
    return suite;
}
