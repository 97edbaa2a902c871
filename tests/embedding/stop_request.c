/* stop_request DET: requests to a predictor of the detector, for a page of 736x1280, are cancelled and meet deadlines
 * while they run, each within the time that two of its steps take; then one runs again, to the same bits. */
#include "embed.h"

#include <infer_predictor.h>
#include <time.h>

enum { HEIGHT = 736, WIDTH = 1280, ROUNDS = 5, MOST_STEPS = 1000 };

/* Of this process, so that others on the machine do not count: one worker runs, and this thread sleeps. */
static double seconds_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static infer_predictor *predictor;
static infer_tensor page, text;

static infer_prediction *ask(double seconds)
{
    infer_error error = {INFER_OK, ""};
    infer_prediction *prediction;
    infer_request_options options = {.seconds = seconds};
    REQUIRE(infer_predict_async(predictor, &page, 1, &text, 1, &options, &prediction, &error) == INFER_OK, "%s",
            error.message);
    return prediction;
}

static void expect(infer_prediction *prediction, infer_status wanted, const char *what)
{
    infer_error error;
    infer_prediction_wait(prediction, -1);
    infer_status status = infer_prediction_status(prediction, &error);
    REQUIRE(status == wanted, "%s: %s", what, error.message);
    infer_prediction_release(prediction);
}

/* How long a request alone takes, and two of the longest of its steps. */
static double whole_run(double *two_steps)
{
    static infer_step_time times[MOST_STEPS];
    infer_context *context;
    infer_tensor output = text;
    double whole = 0;
    REQUIRE(infer_context_create(infer_predictor_session(predictor), &context, NULL) == INFER_OK, "no context");
    *two_steps = 1;
    for (int i = 0; i < ROUNDS; i++) { /* the least of them: others on the machine hold steps up */
        double start = seconds_now();
        uint64_t longest = 0;
        infer_context_time_steps(context, i > 0);
        REQUIRE(infer_run(context, &page, 1, &output, 1, NULL) == INFER_OK, "it does not run");
        double taken = seconds_now() - start;
        size_t count = i > 0 ? infer_context_step_times(context, times, MOST_STEPS) : 0;
        for (size_t s = 0; s < count; s++)
            longest = times[s].nanoseconds > longest ? times[s].nanoseconds : longest;
        whole = i == 1 || (i > 1 && taken < whole) ? taken : whole;
        *two_steps = count && 2e-9 * (double)longest < *two_steps ? 2e-9 * (double)longest : *two_steps;
    }
    infer_context_release(context);
    return whole;
}

static double cancel_at(double part)
{
    const struct timespec pause = {.tv_nsec = 100000};
    double start = seconds_now();
    infer_prediction *prediction = ask(0);
    while (seconds_now() < start + part)
        nanosleep(&pause, NULL);
    double at = seconds_now();
    infer_prediction_cancel(prediction);
    expect(prediction, INFER_CANCELLED, "a cancel");
    return seconds_now() - at;
}

static double end_at(double part)
{
    double start = seconds_now();
    expect(ask(part), INFER_DEADLINE, "a deadline");
    return seconds_now() - start - part;
}

int main(int argc, char **argv)
{
    infer_error error;
    infer_model *model;
    REQUIRE(infer_model_open(argv[argc - 1], NULL, &model, &error) == INFER_OK, "%s", error.message);
    infer_predictor_options options = {.model = model, .session_options = {.threads = 1}};
    REQUIRE(infer_predictor_create(&options, &predictor, &error) == INFER_OK, "%s", error.message);
    float *pixels = make_page(HEIGHT, WIDTH), *first = malloc(2 * sizeof *first * HEIGHT * WIDTH);
    REQUIRE(first, "no memory for results");
    page = infer_input(pixels, INFER_FLOAT32, 4, (int64_t[]){1, 3, HEIGHT, WIDTH});
    text = infer_output(first, sizeof *first * HEIGHT * WIDTH);
    expect(ask(0), INFER_OK, "the first request");
    float *again = first + HEIGHT * WIDTH;
    text = infer_output(again, sizeof *first * HEIGHT * WIDTH);
    double most, whole = whole_run(&most), cancel = 0, deadline = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double part = whole * (i + 1) / (ROUNDS + 2), late = cancel_at(part);
        cancel = late > cancel ? late : cancel;
        late = end_at(part);
        deadline = late > deadline ? late : deadline;
        expect(ask(0), INFER_OK, "a request after it was stopped");
        REQUIRE(memcmp(first, again, sizeof *first * HEIGHT * WIDTH) == 0, "other bits after it was stopped");
    }
    printf("stop_request: %.1f ms a run, %.2f ms two steps; late by %.2f ms (cancel), %.2f (deadline)\n", whole * 1e3,
           most * 1e3, cancel * 1e3, deadline * 1e3);
    REQUIRE(cancel <= most && deadline <= most, "a request goes on for more than two steps");
    infer_predictor_release(predictor);
    infer_model_release(model);
    free(pixels);
    free(first);
    return 0;
}
