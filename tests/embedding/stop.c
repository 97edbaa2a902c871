/* stop DET: the detector on a page of 736x1280 is cancelled, meets a deadline, and a limit on its work, each within the
 * time that two of its steps take; then the context runs again, to the same bits. */
#include "embed.h"

#include <pthread.h>
#include <time.h>

enum { HEIGHT = 736, WIDTH = 1280, ROUNDS = 5, MOST_STEPS = 1000 };

static double seconds_of(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Time is that of the thread that runs, so that others on the machine do not count. */
struct canceller {
    infer_context *context;
    clockid_t clock;
    double delay, at;
};

static void *cancel_after(void *user)
{
    struct canceller *c = user;
    double start = seconds_of(c->clock);
    const struct timespec pause = {.tv_nsec = 100000};
    while (seconds_of(c->clock) < start + c->delay)
        nanosleep(&pause, NULL);
    c->at = seconds_of(c->clock);
    infer_context_cancel(c->context);
    return NULL;
}

static infer_status run(infer_context *context, const float *page, float *text, double *taken)
{
    const int64_t dims[4] = {1, 3, HEIGHT, WIDTH};
    infer_error error = {INFER_OK, ""};
    infer_tensor input = infer_input(page, INFER_FLOAT32, 4, dims);
    infer_tensor output = infer_output(text, sizeof(float) * HEIGHT * WIDTH);
    double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    infer_status status = infer_run(context, &input, 1, &output, 1, &error);
    *taken = seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
    REQUIRE(status == INFER_OK || *error.message, "no sentence");
    return status;
}

/* Of the step that takes longest; each counts with the least of some runs, since others on the machine hold it up. */
static double longest_step(infer_context *context, const float *page, float *text)
{
    static infer_step_time times[MOST_STEPS];
    static uint64_t least[MOST_STEPS];
    uint64_t longest = 0;
    size_t count = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double taken;
        infer_context_time_steps(context, true);
        REQUIRE(run(context, page, text, &taken) == INFER_OK, "it does not run");
        count = infer_context_step_times(context, times, MOST_STEPS);
        REQUIRE(count <= MOST_STEPS, "%zu steps", count);
        for (size_t s = 0; s < count; s++)
            least[s] = i == 0 || times[s].nanoseconds < least[s] ? times[s].nanoseconds : least[s];
    }
    infer_context_time_steps(context, false);
    for (size_t s = 0; s < count; s++)
        longest = least[s] > longest ? least[s] : longest;
    return (double)longest * 1e-9;
}

static double cancel_at(infer_context *context, const float *page, float *text, double delay)
{
    struct canceller canceller = {.context = context, .delay = delay};
    pthread_t thread;
    double taken;
    pthread_getcpuclockid(pthread_self(), &canceller.clock);
    REQUIRE(pthread_create(&thread, NULL, cancel_after, &canceller) == 0, "no thread");
    infer_status status = run(context, page, text, &taken);
    double end = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    pthread_join(thread, NULL);
    REQUIRE(status == INFER_CANCELLED, "the run was not cancelled after %g s", delay);
    return end - canceller.at;
}

int main(int argc, char **argv)
{
    infer_session_options options = {.threads = 1};
    struct embedded e = embed(argv[argc - 1], &options);
    float *page = make_page(HEIGHT, WIDTH), *text = malloc(2 * sizeof *text * HEIGHT * WIDTH);
    float *again = text + HEIGHT * WIDTH;
    double whole, taken, cancel = 0, deadline = 0, work = 0;
    REQUIRE(text && run(e.context, page, text, &whole) == INFER_OK, "it does not run");
    REQUIRE(run(e.context, page, text, &whole) == INFER_OK, "it does not run");
    double most = 2 * longest_step(e.context, page, again);
    for (int i = 0; i < ROUNDS; i++) {
        double part = whole * (i + 1) / (ROUNDS + 2), late = cancel_at(e.context, page, again, part);
        cancel = late > cancel ? late : cancel;
        REQUIRE(infer_context_limit(e.context, &(infer_run_limits){.seconds = part}, NULL) == INFER_OK, "no limit");
        REQUIRE(run(e.context, page, again, &taken) == INFER_DEADLINE, "no deadline after %g s", part);
        deadline = taken - part > deadline ? taken - part : deadline;
        REQUIRE(infer_context_limit(e.context, &(infer_run_limits){.multiply_adds = 1000000}, NULL) == INFER_OK,
                "no limit");
        REQUIRE(run(e.context, page, again, &taken) == INFER_WORK_LIMIT, "no limit on work");
        work = taken > work ? taken : work;
        infer_context_limit(e.context, NULL, NULL);
        REQUIRE(run(e.context, page, again, &taken) == INFER_OK, "it does not run again");
        REQUIRE(memcmp(text, again, sizeof *text * HEIGHT * WIDTH) == 0, "other bits after it was stopped");
    }
    printf(
        "stop: %.1f ms a run, %.2f ms the longest two steps; late by %.2f ms (cancel), %.2f (deadline), %.2f (work)\n",
        whole * 1e3, most * 1e3, cancel * 1e3, deadline * 1e3, work * 1e3);
    REQUIRE(cancel <= most && deadline <= most && work <= most, "a run goes on for more than two steps");
    free(page);
    free(text);
    embed_end(&e);
    return 0;
}
