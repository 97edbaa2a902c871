/* bench-predictor [JSON [MODEL.bin...]]: what the predictor costs on top of infer_run: a request on the caller's
 * thread, one through the queue, a cached hit; and how much of a model's rate is left where hooks overlap with it: of
 * one that only reads and writes memory, and of each file's. The first file gets the same as is printed. */
#include "tests/predictor_test.h"

#include "runtime/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 20000
#define LONG 4704 /* 8 float32 each: 150,528 bytes */

static int64_t times[ROUNDS];
static char json[4096];
static char **files; /* of models; NULL ends them */

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
#define WARM 10
#define FREE 32
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

struct load {
    const char *name;
    infer_model *model;
    infer_tensor inputs[8];
    size_t input_count, output_count;
    bool left_out[8]; /* outputs */
    size_t output_bytes[8];
};

static void leave_out(const struct load *load, infer_tensor *outputs)
{
    for (size_t i = 0; i < load->output_count; i++)
        outputs[i] = infer_output(NULL, load->left_out[i] ? INFER_LEFT_OUT : 0);
}

static void must(infer_status status, const infer_error *error)
{
    if (status == INFER_OK)
        return;
    fprintf(stderr, "bench-predictor: %s\n", error->message);
    exit(1);
}

static void *memory_of(size_t bytes)
{
    void *data = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!data)
        abort();
    return memset(data, 0, bytes);
}

/* Also what the outputs need. */
static double seconds_alone(struct load *load, infer_session *session)
{
    infer_context *context;
    infer_tensor outputs[8];
    infer_error error;
    must(infer_context_create(session, &context, &error), &error);
    leave_out(load, outputs);
    int64_t began = 0;
    for (int k = -WARM; k < ITEMS; k++) {
        if (k == 0)
            began = clock_now();
        must(infer_run(context, load->inputs, load->input_count, outputs, load->output_count, &error), &error);
    }
    double all = (double)(clock_now() - began);
    for (size_t i = 0; i < load->output_count; i++)
        load->output_bytes[i] = outputs[i].bytes;
    infer_context_release(context);
    return all / ITEMS;
}

/* Hooks that take half of the model's time, together: items a second against the model's time alone. */
static void overlap(struct load *load, bool compute)
{
    static infer_item items[ITEMS];
    static infer_tensor results[ITEMS][8];
    char what[80];
    snprintf(what, sizeof what, "%s, hooks that %s", load->name, compute ? "compute" : "wait");
    hooks_compute = compute;
    infer_predictor *predictor = predictor_make(&(infer_predictor_options){
        .model = load->model,
        .session_options = {.threads = 1},
        .workers = compute ? 2 : 0,
        .hooks = {NULL, slow_before, slow_after, NULL, load->input_count, load->output_count, 0}});
    double model_time = seconds_alone(load, infer_predictor_session(predictor));
    hook_time = (int64_t)(model_time / 4);
    for (int k = 0; k < ITEMS; k++) {
        leave_out(load, results[k]);
        for (size_t i = 0; i < load->output_count; i++)
            if (!load->left_out[i])
                results[k][i] = infer_output(memory_of(load->output_bytes[i]), load->output_bytes[i]);
        items[k] = (infer_item){load->inputs, load->input_count, results[k], load->output_count, {0}};
    }
    infer_predict_batch(predictor, items, 2 * WARM, NULL, NULL);
    int64_t began = clock_now();
    infer_error error;
    must(infer_predict_batch(predictor, items, ITEMS, NULL, &error), &error);
    double all = (double)(clock_now() - began) / ITEMS;
    printf("%-44s %.3f ms each, the model alone %.3f ms: %.3f of its rate\n", what, all * 1e-6, model_time * 1e-6,
           model_time / all);
    note(what, "of_the_models_rate", model_time / all);
    for (int k = 0; k < ITEMS; k++)
        for (size_t i = 0; i < load->output_count; i++)
            free(results[k][i].data);
    infer_predictor_release(predictor);
}

static void overlap_memory(infer_model *model)
{
    static float x[OVERLAP_LENGTH * WIDTH];
    int64_t index = 1;
    struct load load = {.name = "memory alone",
                        .model = model,
                        .inputs = {infer_input(x, INFER_FLOAT32, 3, (int64_t[]){1, OVERLAP_LENGTH, WIDTH}),
                                   infer_input(&index, INFER_INT64, 1, (int64_t[]){1})},
                        .input_count = 2,
                        .output_count = 2,
                        .left_out = {true}};
    overlap(&load, false);
    overlap(&load, true);
}

/* Inputs of zeros; of free dimensions the first is 1, the others FREE. */
static void overlap_file(const char *path)
{
    infer_error error;
    struct load load = {.name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path};
    must(infer_model_open(path, NULL, &load.model, &error), &error);
    load.input_count = infer_model_input_count(load.model);
    load.output_count = infer_model_output_count(load.model);
    if (load.input_count > 8 || load.output_count > 8)
        abort();
    for (size_t i = 0; i < load.input_count; i++) {
        infer_value value;
        infer_model_input(load.model, i, &value);
        for (int k = 0; k < value.rank; k++)
            value.dims[k] = value.dims[k] >= 0 ? value.dims[k] : k == 0 ? 1 : FREE;
        size_t bytes = infer_tensor_bytes(value.dtype, value.rank, value.dims);
        load.inputs[i] = infer_input(memory_of(bytes), value.dtype, value.rank, value.dims);
    }
    overlap(&load, false);
    overlap(&load, true);
    for (size_t i = 0; i < load.input_count; i++)
        free((void *)(uintptr_t)load.inputs[i].data);
    infer_model_release(load.model);
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
    overlap_memory(model);
    for (char **file = files; *file; file++)
        overlap_file(*file);
    infer_context_release(context);
    infer_predictor_release(plain);
    infer_predictor_release(cached);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

int main(int argc, char **argv)
{
    files = argv + (argc > 2 ? 2 : argc);
    int status = run_one_test("costs", costs);
    FILE *file = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (file) {
        fprintf(file, "{%s}\n", json);
        fclose(file);
    }
    return status;
}
