/* bench-predictor [JSON]: what the predictor costs on top of infer_run: a request on the caller's thread, one through
 * the queue, a cached hit; and how much of the model's rate is left where hooks overlap with it. The file has the same.
 */
#include "tests/predictor_test.h"

#include "runtime/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 20000
#define LONG 4704 /* 8 float32 each: 150,528 bytes */

static int64_t times[ROUNDS];
static char json[4096];

static void note(const char *what, const char *unit, double number)
{
    size_t length = strlen(json);
    snprintf(json + length, sizeof json - length, "%s\"%s\":{\"%s\":%.6g}", length ? ",\n" : "", what, unit, number);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static double say(const char *what, double without)
{
    qsort(times, ROUNDS, sizeof *times, by_size);
    double p50 = (double)times[ROUNDS / 2] * 1e-3;
    printf("%-44s p50 %8.2f us   p99 %8.2f us", what, p50, (double)times[ROUNDS * 99 / 100] * 1e-3);
    if (without > 0)
        printf("   %+.2f us", p50 - without);
    printf("\n");
    note(what, "p50_us", p50);
    return p50;
}

#define MEASURE(call)                              \
    for (int round = 0; round < ROUNDS; round++) { \
        int64_t began = clock_now();               \
        if ((call) != INFER_OK)                    \
            abort();                               \
        times[round] = clock_now() - began;        \
    }

static infer_status ask_and_wait(infer_predictor *predictor, struct rows_request *request)
{
    infer_prediction *prediction;
    infer_status status =
        infer_predict_async(predictor, request->inputs, 2, request->results, 2, NULL, &prediction, NULL);
    if (status != INFER_OK)
        return status;
    infer_prediction_wait(prediction, -1);
    status = infer_prediction_status(prediction, NULL);
    infer_prediction_release(prediction);
    return status;
}

/* --- stages that overlap ------------------------------------------------------------------------------------------ */

#define ITEMS 100
#define OVERLAP_LENGTH 100000

/* Nanoseconds that each of the two hooks takes. Where they sleep, it does not depend on how many cores are free. */
static int64_t hook_time;
static bool hooks_compute;

static void pass_time(void)
{
    for (int64_t end = clock_now() + hook_time; hooks_compute;)
        if (clock_now() >= end)
            return;
    nanosleep(&(struct timespec){.tv_sec = hook_time / 1000000000, .tv_nsec = hook_time % 1000000000}, NULL);
}

static infer_status slow_before(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                                infer_tensor *inputs, size_t input_count, infer_error *error)
{
    (void)user, (void)hook, (void)input_count, (void)error;
    pass_time();
    memcpy(inputs, given, given_count * sizeof *inputs);
    return INFER_OK;
}

static infer_status slow_after(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                               infer_tensor *results, size_t result_count, infer_error *error)
{
    (void)user, (void)hook, (void)result_count, (void)error;
    pass_time();
    memcpy(results, outputs, output_count * sizeof *results);
    return INFER_OK;
}

/* Hooks that take half of the model's time, together: items a second against the model's time alone. */
static void overlap(infer_model *model, infer_context *context, bool compute)
{
    const char *what =
        compute ? "hooks of half the model's time, computing" : "hooks of half the model's time, waiting";
    hooks_compute = compute;
    static float x[OVERLAP_LENGTH * WIDTH];
    int64_t index = 1;
    const infer_tensor inputs[2] = {infer_input(x, INFER_FLOAT32, 3, (int64_t[]){1, OVERLAP_LENGTH, WIDTH}),
                                    infer_input(&index, INFER_INT64, 1, (int64_t[]){1})};
    static infer_item items[ITEMS];
    static infer_tensor results[ITEMS][2];
    static float g[ITEMS][WIDTH];
    infer_tensor out[2] = {infer_output(NULL, 0), infer_output(NULL, 0)};
    int64_t began = clock_now();
    for (int k = 0; k < ITEMS; k++)
        if (infer_run(context, inputs, 2, out, 2, NULL) != INFER_OK)
            abort();
    double model_time = (double)(clock_now() - began) / ITEMS;
    hook_time = (int64_t)(model_time / 4);
    infer_predictor *predictor = predictor_make(&(infer_predictor_options){
        .model = model, .session_options = {.threads = 1}, .hooks = {NULL, slow_before, slow_after, NULL, 2, 2, 0}});
    for (int k = 0; k < ITEMS; k++) {
        results[k][0] = infer_output(NULL, INFER_LEFT_OUT);
        results[k][1] = infer_output(g[k], sizeof g[k]);
        items[k] = (infer_item){inputs, 2, results[k], 2, {0}};
    }
    infer_predict_batch(predictor, items, 20, NULL, NULL);
    began = clock_now();
    if (infer_predict_batch(predictor, items, ITEMS, NULL, NULL) != INFER_OK)
        abort();
    double all = (double)(clock_now() - began) / ITEMS;
    printf("%-44s %.3f ms each, the model alone %.3f ms: %.3f of its rate\n", what, all * 1e-6, model_time * 1e-6,
           model_time / all);
    note(what, "of_the_models_rate", model_time / all);
    infer_predictor_release(predictor);
}

START_TEST(costs)
{
    static struct rows_request request;
    static float x[LONG * WIDTH], y[LONG * WIDTH], g[WIDTH];
    struct maker maker = maker_start();
    infer_model *model = rows_model(&maker, NULL);
    infer_session_options one = {.threads = 1};
    infer_predictor *plain = predictor_make(&(infer_predictor_options){.model = model, .session_options = one});
    infer_predictor *cached =
        predictor_make(&(infer_predictor_options){.model = model, .session_options = one, .cache_bytes = 64 << 20});
    infer_context *context;
    infer_context_create(infer_predictor_session(plain), &context, NULL);
    rows_fill(&request, 1, 1, 4);
    MEASURE(infer_run(context, request.inputs, 2, request.results, 2, NULL));
    double alone = say("infer_run, a row of 4", 0);
    MEASURE(rows_predict(plain, &request, NULL));
    say("infer_predict", alone);
    MEASURE(ask_and_wait(plain, &request));
    say("infer_predict_async and wait", alone);
    for (int k = 0; k < LONG * WIDTH; k++)
        x[k] = (float)(k % 1001) / 1001;
    int64_t index = 1;
    infer_tensor inputs[2] = {infer_input(x, INFER_FLOAT32, 3, (int64_t[]){1, LONG, WIDTH}),
                              infer_input(&index, INFER_INT64, 1, (int64_t[]){1})};
    infer_tensor results[2] = {infer_output(NULL, INFER_LEFT_OUT), infer_output(g, sizeof g)};
    MEASURE(infer_predict(cached, inputs, 2, results, 2, NULL, NULL));
    say("a hit in the cache, 150 KB given, 32 B back", 0);
    results[0] = infer_output(y, sizeof y);
    MEASURE(infer_predict(cached, inputs, 2, results, 2, NULL, NULL));
    say("a hit in the cache, 150 KB given and back", 0);
    overlap(model, context, false);
    overlap(model, context, true);
    infer_context_release(context);
    infer_predictor_release(plain);
    infer_predictor_release(cached);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

int main(int argc, char **argv)
{
    int status = run_one_test("costs", costs);
    FILE *file = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (file) {
        fprintf(file, "{%s}\n", json);
        fclose(file);
    }
    return status;
}
