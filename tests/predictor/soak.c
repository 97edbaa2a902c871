/* soak [SECONDS]: clients that do all at once what clients do: shapes at random, bad inputs, streams, cancels,
 * deadlines, hooks that fail, a cache that churns. Every result is compared, bit for bit, with that of a run alone; at
 * the end memory is where it was, and the predictor has counted what the clients counted. */
#include "tests/predictor_test.h"

#include "runtime/clock.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS 8
#define KNOWN 300 /* requests whose results are known */
#define SEEN 32   /* the smaller ones that half of the requests are of, so that the cache finds some */
#define BATCH 10
#define STREAMS 3 /* of each client */
#define CHUNKS 40 /* of a stream, until it begins again */
#define BURST 3   /* chunks that are asked for at once */

static struct rows_request known[KNOWN];
static float heard[CHUNKS][STATE_WIDTH]; /* what the chunks of a stream make */

struct client {
    pthread_t thread;
    uint32_t random;
    infer_predictor *predictor, *streams;
    uint64_t number, by_status[INFER_STATUS_COUNT], stream_by_status[INFER_STATUS_COUNT], wrong;
    int next_chunk[STREAMS];
};

static double seconds;
static atomic_bool over;
static atomic_uint hook_calls;

static uint32_t draw(struct client *client, uint32_t below)
{
    client->random = client->random * 1664525u + 1013904223u;
    return (client->random >> 8) % below;
}

/* --- the predictors ----------------------------------------------------------------------------------------------- */

static infer_status copy_or_fail(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                                 infer_tensor *inputs, size_t input_count, infer_error *error)
{
    (void)user, (void)input_count;
    if (atomic_fetch_add(&hook_calls, 1) % 101 == 100) {
        strcpy(error->message, "this call fails");
        return INFER_IO;
    }
    for (size_t i = 0; i < given_count; i++) {
        inputs[i] = given[i];
        inputs[i].data = infer_hook_memory(hook, given[i].bytes);
        if (!inputs[i].data)
            return INFER_OUT_OF_MEMORY;
        memcpy(inputs[i].data, given[i].data, given[i].bytes);
    }
    return INFER_OK;
}

static infer_status same_results(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                                 infer_tensor *results, size_t result_count, infer_error *error)
{
    (void)user, (void)hook, (void)result_count, (void)error;
    memcpy(results, outputs, output_count * sizeof *results);
    return INFER_OK;
}

static infer_predictor *make_stream_predictor(infer_model *model, const infer_allocator *allocator)
{
    static const infer_state states[] = {{.output = 1, .input = 1}};
    return predictor_make(&(infer_predictor_options){.model = model,
                                                     .allocator = allocator,
                                                     .session_options = {.threads = 1},
                                                     .contexts = 2,
                                                     .batch_size = 4,
                                                     .queue_length = 16,
                                                     .hooks = {NULL, copy_or_fail, same_results, NULL, 1, 0, 0},
                                                     .states = states,
                                                     .state_count = 1,
                                                     .most_streams = CLIENTS * STREAMS});
}

static void make_predictors(infer_model *model, const infer_allocator *allocator, infer_predictor **predictors)
{
    static const infer_input_check checks[] = {{.input = 0, .finite = true}};
    predictors[0] =
        predictor_make(&(infer_predictor_options){.model = model,
                                                  .allocator = allocator,
                                                  .session_options = {.threads = 2, .cached_programs = 300},
                                                  .contexts = 2,
                                                  .batch_size = 4,
                                                  .max_delay = 200e-6,
                                                  .queue_length = 32,
                                                  .hooks = {NULL, copy_or_fail, same_results, NULL, 2, 0, 0},
                                                  .checks = checks,
                                                  .check_count = 1,
                                                  .cache_bytes = 1 << 16,
                                                  .trace_events = 1000});
    predictors[1] = predictor_make(&(infer_predictor_options){.model = model,
                                                              .session = infer_predictor_session(predictors[0]),
                                                              .allocator = allocator,
                                                              .when_full = INFER_FULL_DROP,
                                                              .queue_length = 4,
                                                              .checks = checks,
                                                              .check_count = 1});
}

/* --- the clients -------------------------------------------------------------------------------------------------- */

/* What a request may end with. */
struct allowed {
    bool bad, cancelled, timed;
};

static bool same_bits(const struct rows_request *expected, const infer_tensor *results)
{
    for (int i = 0; i < 2; i++) {
        const infer_tensor *e = &expected->results[i], *r = &results[i];
        if (r->dtype != e->dtype || r->rank != e->rank || r->bytes != e->bytes ||
            memcmp(r->dims, e->dims, (size_t)e->rank * sizeof *e->dims) != 0 || memcmp(r->data, e->data, e->bytes) != 0)
            return false;
    }
    return true;
}

static void complain(struct client *client, const char *what, const infer_error *error)
{
    if (client->wrong++ == 0)
        fprintf(stderr, "soak: %s: %s (%s)\n", what, error->message, infer_status_name(error->status));
}

/* The queue was full, or a hook failed. */
static bool is_by_chance(const infer_error *error)
{
    return error->status == INFER_BUSY || (error->status == INFER_IO && strstr(error->message, "this call fails"));
}

static void judge(struct client *client, const struct rows_request *expected, struct allowed allowed,
                  const infer_error *error, const infer_tensor *results)
{
    infer_status status = error->status;
    client->by_status[status]++;
    bool hook_or_queue = is_by_chance(error);
    if (status == INFER_OK && (allowed.bad || !same_bits(expected, results)))
        complain(client, allowed.bad ? "a bad request ended well" : "results differ from those of a run alone", error);
    else if (status != INFER_OK && !hook_or_queue && !(allowed.cancelled && status == INFER_CANCELLED) &&
             !(allowed.timed && status == INFER_DEADLINE) &&
             !(allowed.bad && (status == INFER_FAULT || status == INFER_INVALID_ARGUMENT)))
        complain(client, "a request failed", error);
}

/* One of the known requests, one in twenty of them spoilt. */
static const struct rows_request *choose(struct client *client, struct rows_request *request, struct allowed *allowed)
{
    const struct rows_request *from = &known[draw(client, 2) ? draw(client, SEEN) : draw(client, KNOWN)];
    *request = *from;
    request->inputs[0].data = request->x;
    request->inputs[1].data = request->i;
    request->results[0] = infer_output(request->y, sizeof request->y);
    request->results[1] = infer_output(request->g, sizeof request->g);
    *allowed = (struct allowed){.bad = draw(client, 20) == 0};
    if (allowed->bad)
        switch (draw(client, 4)) {
        case 0:
            request->i[0] = ENTRIES;
            break;
        case 1:
            request->x[0] = NAN;
            break;
        case 2:
            request->inputs[0].dtype = INFER_INT32;
            break;
        default:
            request->inputs[0].dims[2]--;
        }
    return from;
}

static infer_request_options options_of(struct client *client, struct allowed *allowed)
{
    infer_request_options options = {.priority = (int)draw(client, 3) - 1, .uncached = draw(client, 8) == 0};
    if (draw(client, 10) == 0) {
        options.seconds = 1e-6 * (1 + draw(client, 1000));
        allowed->timed = true;
    }
    return options;
}

static void ask_one(struct client *client)
{
    struct rows_request request;
    struct allowed allowed;
    infer_error error;
    const struct rows_request *expected = choose(client, &request, &allowed);
    infer_request_options options = options_of(client, &allowed);
    infer_predict(client->predictor, request.inputs, 2, request.results, 2, &options, &error);
    judge(client, expected, allowed, &error, request.results);
}

static void ask_many(struct client *client)
{
    static _Thread_local struct rows_request requests[BATCH];
    const struct rows_request *expected[BATCH];
    struct allowed allowed[BATCH];
    infer_item items[BATCH];
    for (int k = 0; k < BATCH; k++) {
        expected[k] = choose(client, &requests[k], &allowed[k]);
        items[k] = (infer_item){requests[k].inputs, 2, requests[k].results, 2, {0}};
    }
    infer_predict_batch(client->predictor, items, BATCH, NULL, NULL);
    for (int k = 0; k < BATCH; k++)
        judge(client, expected[k], allowed[k], &items[k].error, requests[k].results);
}

static void count_end(void *user, infer_prediction *prediction)
{
    (void)prediction;
    atomic_fetch_add((atomic_int *)user, 1);
}

static void ask_and_wait(struct client *client)
{
    struct rows_request request;
    struct allowed allowed;
    infer_error error;
    infer_prediction *prediction;
    atomic_int ended = 0;
    const struct rows_request *expected = choose(client, &request, &allowed);
    infer_request_options options = options_of(client, &allowed);
    options.ended = draw(client, 2) ? count_end : NULL;
    options.user = &ended;
    if (infer_predict_async(client->predictor, request.inputs, 2, draw(client, 2) ? request.results : NULL, 2, &options,
                            &prediction, &error) != INFER_OK) {
        judge(client, expected, allowed, &error, NULL);
        return;
    }
    if (draw(client, 4) == 0) {
        allowed.cancelled = true;
        usleep(draw(client, 100));
        infer_prediction_cancel(prediction);
    }
    infer_prediction_wait(prediction, -1);
    infer_prediction_status(prediction, &error);
    infer_tensor results[2] = {{.dtype = INFER_NONE}};
    for (size_t i = 0; i < 2 && error.status == INFER_OK; i++)
        results[i] = *infer_prediction_result(prediction, i);
    judge(client, expected, allowed, &error, results);
    infer_prediction_release(prediction);
    while (options.ended && atomic_load(&ended) != 1) /* it may still be on its way */
        usleep(50);
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static const float *chunk(int index)
{
    static const float x[4][STATE_WIDTH] = {
        {0.5f, -1, 0.25f, 0}, {1, 1, -0.5f, 0.125f}, {0, 0.75f, -1, 1}, {-1, 0, 1, -1}};
    return x[index % 4];
}

/* How it ended; its result, where there is one, must be that of chunk `index`; -1: a request before it has failed, so
 * it is of some other state. */
static infer_status judge_chunk(struct client *client, infer_prediction *prediction, int index, bool timed)
{
    infer_error error;
    infer_prediction_wait(prediction, -1);
    infer_status status = infer_prediction_status(prediction, &error);
    client->stream_by_status[status]++;
    if (status == INFER_OK && index >= 0) {
        const infer_tensor *y = infer_prediction_result(prediction, 0);
        if (y->bytes != sizeof heard[0] || memcmp(y->data, heard[index], sizeof heard[0]) != 0)
            complain(client, "a stream's result differs from that of its chunks alone", &error);
    } else if (status != INFER_OK && !is_by_chance(&error) && status != INFER_CANCELLED &&
               !(timed && status == INFER_DEADLINE)) {
        complain(client, "a request of a stream failed", &error);
    }
    infer_prediction_release(prediction);
    return status;
}

/* Some chunks of a stream at once. Where one fails, its state may have moved on or not: the stream begins again. */
static void go_on_with_stream(struct client *client)
{
    infer_prediction *predictions[BURST] = {NULL};
    uint32_t stream = draw(client, STREAMS);
    int *next = &client->next_chunk[stream], count = 0;
    uint64_t key = client->number * STREAMS + stream + 1;
    infer_request_options options = {.stream = key, .priority = (int)draw(client, 3) - 1};
    infer_error error;
    bool taken = true, timed = draw(client, 10) == 0;
    options.seconds = timed ? 1e-6 * (1 + draw(client, 1000)) : 0;
    for (; count < BURST && *next + count < CHUNKS && taken; count++) {
        infer_tensor in[2] = {f32_tensor(chunk(*next + count), 2, 1, STATE_WIDTH), {.dtype = INFER_NONE}};
        taken = infer_predict_async(client->streams, in, 1, NULL, 0, &options, &predictions[count], &error) == INFER_OK;
        if (!taken) {
            client->stream_by_status[error.status]++;
            if (!is_by_chance(&error) && !(timed && error.status == INFER_DEADLINE))
                complain(client, "a request of a stream was refused", &error);
        }
    }
    if (draw(client, 8) == 0)
        infer_prediction_cancel(predictions[draw(client, BURST)]);
    bool whole = true;
    for (int k = 0; k < count && predictions[k]; k++) {
        whole = judge_chunk(client, predictions[k], whole ? *next : -1, timed) == INFER_OK && whole;
        *next += whole;
    }
    if (!taken || !whole || *next == CHUNKS) {
        infer_predictor_end_stream(client->streams, key);
        *next = 0;
    }
}

static void *run_client(void *user)
{
    struct client *client = user;
    while (!atomic_load(&over))
        switch (draw(client, 5)) {
        case 0:
            ask_many(client);
            break;
        case 1:
            ask_one(client);
            break;
        case 2:
            go_on_with_stream(client);
            break;
        default:
            ask_and_wait(client);
        }
    return NULL;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static size_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void know(infer_model *model)
{
    infer_session *session;
    infer_context *context;
    if (infer_session_create(model, &(infer_session_options){.threads = 1}, &session, NULL) != INFER_OK ||
        infer_context_create(session, &context, NULL) != INFER_OK)
        exit(1);
    for (unsigned k = 0; k < KNOWN; k++) {
        rows_fill(&known[k], k, 1 + k % 7 / 5 + k % 11 / 10, 1 + k % MOST_LENGTH);
        run_well(context, known[k].inputs, 2, known[k].results, 2);
    }
    infer_context_release(context);
    infer_session_release(session);
}

static void know_streams(infer_model *model)
{
    struct running running = running_begin(infer_model_retain(model), &(infer_session_options){.threads = 1});
    float h[2][STATE_WIDTH] = {{0}};
    for (int k = 0; k < CHUNKS; k++) {
        infer_tensor in[2] = {f32_tensor(chunk(k), 2, 1, STATE_WIDTH), f32_tensor(h[k % 2], 2, 1, STATE_WIDTH)};
        infer_tensor out[2] = {infer_output(heard[k], sizeof heard[k]), infer_output(h[(k + 1) % 2], sizeof h[0])};
        run_well(running.context, in, 2, out, 2);
    }
    infer_context_release(running.context);
    infer_session_release(running.session);
}

/* All the shapes that there can be, so that memory does not grow any more for new ones. */
static void prepare_shapes(infer_session *session)
{
    for (int64_t rows = 1; rows <= 4; rows++)
        for (int64_t length = 1; length <= MOST_LENGTH; length++) {
            struct rows_request request;
            rows_fill(&request, 1, rows, length);
            infer_session_prepare(session, request.inputs, 2, NULL, NULL);
        }
}

static int failures;

static void expect(bool right, const char *what)
{
    if (right)
        return;
    failures++;
    fprintf(stderr, "soak: %s\n", what);
}

static void compare_counts(infer_predictor *predictor, const struct client *clients)
{
    infer_metrics metrics;
    uint64_t counted[INFER_STATUS_COUNT] = {0};
    infer_metrics_snapshot(predictor, &metrics, NULL);
    for (int k = 0; k < CLIENTS; k++)
        for (int s = 0; s < INFER_STATUS_COUNT; s++) {
            counted[s] += clients[k].predictor == predictor ? clients[k].by_status[s] : 0;
            counted[s] += clients[k].streams == predictor ? clients[k].stream_by_status[s] : 0;
        }
    expect(memcmp(counted, metrics.by_status, sizeof counted) == 0, "predictor and clients count differently");
    expect(metrics.under_way == 0 && metrics.waiting == 0, "something is still under way");
    printf(
        "  %llu requests, %llu of them well; %llu runs; p50 %.3g ms, p99 %.3g ms, max %.3g ms; cache: %llu hits, %llu "
        "shared, %llu evicted\n",
        (unsigned long long)metrics.requests, (unsigned long long)metrics.by_status[INFER_OK],
        (unsigned long long)metrics.runs, metrics.total.p50 * 1e3, metrics.total.p99 * 1e3, metrics.total.max * 1e3,
        (unsigned long long)metrics.cache_hits, (unsigned long long)metrics.cache_shared,
        (unsigned long long)metrics.cache_evictions);
}

START_TEST(soak)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start(), stream_maker = maker_start();
    infer_model *model = rows_model(&maker, &(infer_model_options){.allocator = &allocator});
    infer_model *stream_model = state_model(&stream_maker, &(infer_model_options){.allocator = &allocator});
    infer_predictor *predictors[3];
    static struct client clients[CLIENTS];
    know(model);
    know_streams(stream_model);
    make_predictors(model, &allocator, predictors);
    predictors[2] = make_stream_predictor(stream_model, &allocator);
    prepare_shapes(infer_predictor_session(predictors[0]));
    for (int k = 0; k < CLIENTS; k++) {
        clients[k].random = (uint32_t)k + 1;
        clients[k].number = (uint64_t)k;
        clients[k].predictor = predictors[k % 2];
        clients[k].streams = predictors[2];
        pthread_create(&clients[k].thread, NULL, run_client, &clients[k]);
    }
    int64_t begin = clock_now();
    while (clock_now() < clock_after(begin, seconds / 3))
        usleep(20000);
    size_t early = resident_bytes();
    long held = atomic_load(&counting.bytes);
    while (clock_now() < clock_after(begin, seconds))
        usleep(20000);
    size_t late = resident_bytes();
    held = atomic_load(&counting.bytes) - held;
    atomic_store(&over, true);
    for (int k = 0; k < CLIENTS; k++)
        pthread_join(clients[k].thread, NULL);
    for (int k = 0; k < CLIENTS; k++)
        expect(clients[k].wrong == 0, "a client met what must not be");
    for (int k = 0; k < 3; k++) {
        expect(infer_predictor_drain(predictors[k], -1) == 0, "draining cancelled something");
        compare_counts(predictors[k], clients);
    }
    printf("  resident after a third of the time %zu KB, at the end %zu KB; of that, the allocator's grew by %ld KB\n",
           early / 1024, late / 1024, held / 1024);
    expect(held <= 131072, "more is allocated, by more than caches and pools come and go");
/* A heap's gaps settle slowly: by about 180 KB, in 10 s as in 45, so it is not a leak that grows with requests; one of
 * 32 bytes in every tenth of them passes the bound within 10 s. Sanitizers hold tables, and memory that was released,
 * of their own. */
#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
    expect((double)late <= (double)early * 1.01 + 262144, "memory has grown");
#endif
    for (int k = 2; k >= 0; k--)
        infer_predictor_release(predictors[k]);
    infer_model_release(model);
    infer_model_release(stream_model);
    expect(atomic_load(&counting.bytes) == 0, "memory was not released");
    region_free(&maker.region);
    region_free(&stream_maker.region);
    ck_assert_int_eq(failures, 0);
}
END_TEST

int main(int argc, char **argv)
{
    seconds = argc > 1 ? atof(argv[1]) : 10;
    mallopt(M_ARENA_MAX, 1); /* a heap for each thread would grow for as long as blocks are released by other threads */
    return run_one_test("soak", soak);
}
