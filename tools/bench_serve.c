/* infer-bench serve: requests that arrive when they do, whether or not the ones before have ended. A client that waits
 * for its answer before it asks again would never see a queue. */
#include "predictor/histogram.h"
#include "runtime/clock.h"
#include "runtime/infer_predictor.h"
#include "tools/bench.h"
#include "tools/json.h"
#include "tools/random_inputs.h"
#include "tools/serve_svg.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SECONDS 5

struct serve {
    const struct tool *tool;
    const struct serve_request *request;
    infer_model *model;
    infer_predictor *predictor;
    infer_tensor *inputs;
    struct served_rate *rates;
    /* Of the rate under way; the mutex guards it. */
    pthread_mutex_t mutex;
    struct histogram latency;
    size_t ended, well;
};

/* A request on its way: `due` is when it was to be sent, which is what its latency counts from. */
struct sent {
    struct serve *serve;
    int64_t due;
};

static void note_end(void *user, infer_prediction *prediction)
{
    struct sent *sent = user;
    struct serve *serve = sent->serve;
    int64_t took = clock_now() - sent->due;
    bool well = infer_prediction_status(prediction, NULL) == INFER_OK;
    infer_prediction_release(prediction);
    pthread_mutex_lock(&serve->mutex);
    serve->ended++;
    serve->well += well;
    if (well)
        histogram_add(&serve->latency, took);
    pthread_mutex_unlock(&serve->mutex);
}

/* Between 0 and 1, neither of them. */
static double draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

static void wait_until(int64_t time)
{
    struct timespec until = clock_timespec(time);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        continue;
}

/* What cannot be sent before the end, because it comes faster than this thread sends, is not sent: else a rate far
 * beyond that would take many times as long as it was asked for. */
static int send_all(struct serve *serve, struct served_rate *rate, int64_t begin, int64_t end, struct sent *requests,
                    size_t room)
{
    uint64_t state = 1;
    size_t inputs = infer_model_input_count(serve->model);
    double due = (double)begin;
    while (rate->sent < room && (due += -log(draw(&state)) / rate->rate * 1e9) < (double)end && clock_now() < end) {
        struct sent *sent = &requests[rate->sent++];
        infer_request_options options = {.ended = note_end, .user = sent};
        infer_prediction *prediction;
        infer_error error;
        *sent = (struct sent){serve, (int64_t)due};
        wait_until(sent->due);
        infer_status status =
            infer_predict_async(serve->predictor, serve->inputs, inputs, NULL, 0, &options, &prediction, &error);
        rate->refused += status == INFER_BUSY;
        if (status != INFER_OK && status != INFER_BUSY)
            return tool_model_failed(serve->tool, serve->request->path, &error);
    }
    return EXIT_DONE;
}

/* Whatever has been sent ends, so the requests can be forgotten afterwards. */
static void wait_for_all(struct serve *serve, size_t accepted)
{
    for (bool all = false; !all;) {
        pthread_mutex_lock(&serve->mutex);
        all = serve->ended == accepted;
        pthread_mutex_unlock(&serve->mutex);
        if (!all)
            wait_until(clock_now() + 1000000);
    }
}

static int serve_at(struct serve *serve, struct served_rate *rate)
{
    double seconds = serve->request->seconds > 0 ? serve->request->seconds : DEFAULT_SECONDS;
    size_t room = (size_t)(rate->rate * seconds + 6 * sqrt(rate->rate * seconds) + 100);
    struct sent *requests = calloc(room, sizeof *requests);
    infer_metrics before, after;
    if (!requests)
        return tool_failed(serve->tool, "out of memory for %zu requests", room);
    memset(&serve->latency, 0, sizeof serve->latency);
    serve->ended = serve->well = 0;
    infer_metrics_snapshot(serve->predictor, &before, NULL);
    int64_t begin = clock_now();
    int status = send_all(serve, rate, begin, clock_after(begin, seconds), requests, room);
    wait_for_all(serve, rate->sent - rate->refused - (status != EXIT_DONE));
    double took = (double)(clock_now() - begin) * 1e-9;
    infer_metrics_snapshot(serve->predictor, &after, NULL);
    free(requests);
    infer_latency latency = histogram_latency(&serve->latency);
    rate->failed = serve->ended - serve->well;
    rate->achieved = (double)serve->well / took;
    rate->p50 = latency.p50;
    rate->p99 = latency.p99;
    rate->p999 = latency.p999;
    rate->max = latency.max;
    rate->batch = after.runs > before.runs ? (double)serve->ended / (double)(after.runs - before.runs) : 0;
    return status;
}

/* --- reports ------------------------------------------------------------------------------------------------------ */

static void tell(const struct serve *serve, const struct served_rate *rate)
{
    if (rate == serve->rates)
        printf("%10s %10s %10s %10s %10s %10s %8s %8s %8s\n", "rate", "achieved", "p50 ms", "p99 ms", "p99.9 ms",
               "max ms", "batch", "refused", "failed");
    printf("%10.6g %10.1f %10.3f %10.3f %10.3f %10.3f %8.2f %8zu %8zu\n", rate->rate, rate->achieved, rate->p50 * 1e3,
           rate->p99 * 1e3, rate->p999 * 1e3, rate->max * 1e3, rate->batch, rate->refused, rate->failed);
    fflush(stdout);
}

static enum status write_json(const struct serve *serve, struct error *error)
{
    const struct serve_request *request = serve->request;
    FILE *file = text_open(request->json, error);
    if (!file)
        return error->status;
    fputs("{\"model\":", file);
    json_text(file, request->path);
    fputs(",\"rates\":[", file);
    for (size_t i = 0; i < request->rate_count; i++) {
        const struct served_rate *r = &serve->rates[i];
        fprintf(file,
                "%s\n{\"rate\":%.9g,\"achieved\":%.3f,\"latency_ms\":{\"p50\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%"
                ".4f},"
                "\"batch\":%.3f,\"sent\":%zu,\"refused\":%zu,\"failed\":%zu}",
                i ? "," : "", r->rate, r->achieved, r->p50 * 1e3, r->p99 * 1e3, r->p999 * 1e3, r->max * 1e3, r->batch,
                r->sent, r->refused, r->failed);
    }
    fputs("\n]}\n", file);
    return text_close(file, request->json, error);
}

static int report(const struct serve *serve)
{
    struct error error = {0};
    const struct serve_request *request = serve->request;
    if ((request->json && write_json(serve, &error) != STATUS_OK) ||
        (request->svg &&
         serve_svg_write(request->svg, request->path, serve->rates, request->rate_count, &error) != STATUS_OK) ||
        text_close(stdout, "-", &error) != STATUS_OK)
        return tool_failed(serve->tool, "%s", error.text);
    return EXIT_DONE;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static bool quiet(const struct serve_request *request)
{
    return (request->json && strcmp(request->json, "-") == 0) || (request->svg && strcmp(request->svg, "-") == 0);
}

static int serve_all(struct serve *serve)
{
    const struct serve_request *request = serve->request;
    infer_error error = {0};
    infer_predictor_options options = {.model = serve->model,
                                       .session_options = request->session,
                                       .contexts = request->contexts,
                                       .batch_size = request->batch,
                                       .max_delay = request->delay};
    if (infer_predictor_create(&options, &serve->predictor, &error) != INFER_OK ||
        infer_session_prepare(infer_predictor_session(serve->predictor), serve->inputs,
                              infer_model_input_count(serve->model), NULL, &error) != INFER_OK)
        return tool_model_failed(serve->tool, request->path, &error);
    int status = EXIT_DONE;
    for (size_t i = 0; i < request->rate_count && status == EXIT_DONE; i++) {
        serve->rates[i].rate = request->rates[i];
        status = serve_at(serve, &serve->rates[i]);
        if (status == EXIT_DONE && !quiet(request))
            tell(serve, &serve->rates[i]);
    }
    return status == EXIT_DONE ? report(serve) : status;
}

int bench_serve(const struct tool *tool, const struct serve_request *request)
{
    static struct serve serve;
    struct model_storage storage;
    struct error error = {0};
    infer_error failure = {0};
    serve = (struct serve){.tool = tool, .request = request, .mutex = PTHREAD_MUTEX_INITIALIZER};
    if (open_model(request->path, NULL, &storage, &serve.model, &failure) != INFER_OK) {
        model_storage_free(&storage);
        return tool_model_failed(tool, request->path, &failure);
    }
    int64_t batch = request->shapes.count == 0 && has_free_batch(serve.model);
    serve.rates = calloc(request->rate_count, sizeof *serve.rates);
    int status = !serve.rates ? tool_failed(tool, "out of memory for %zu rates", request->rate_count)
                 : random_inputs(serve.model, &request->shapes, batch, &serve.inputs, &error) == STATUS_OK
                     ? serve_all(&serve)
                     : tool_failed(tool, "%s: %s", request->path, error.text);
    infer_predictor_release(serve.predictor);
    free_random_inputs(serve.model, serve.inputs);
    free(serve.rates);
    infer_model_release(serve.model);
    model_storage_free(&storage);
    return status;
}
