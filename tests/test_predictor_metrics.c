/* What the predictor counts, and says as text. */
#include "tests/predictor_test.h"
#include "tests/suites.h"

#include "predictor/histogram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Quantiles are the true ones to 1 / 32, at every magnitude. */
START_TEST(quantiles_are_right_to_three_percent)
{
    enum { COUNT = 20000 };
    static int64_t values[COUNT];
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    uint64_t state = 1;
    for (int magnitude = 1; magnitude <= 42; magnitude++) {
        static struct histogram histogram;
        memset(&histogram, 0, sizeof histogram);
        double sum = 0;
        for (int i = 0; i < COUNT; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            values[i] = (int64_t)((state >> 11) % ((uint64_t)1 << magnitude));
            values[i] = i % 10 == 0 ? values[i] : values[i] / 4;
            histogram_add(&histogram, values[i]);
            sum += (double)values[i];
        }
        qsort(values, COUNT, sizeof *values, by_size);
        infer_latency latency = histogram_latency(&histogram);
        const double found[] = {latency.p50, latency.p90, latency.p99, latency.p999};
        for (int q = 0; q < 4; q++) {
            double true_value = (double)values[(int)(quantiles[q] * COUNT) - 1] * 1e-9;
            ck_assert_double_ge(found[q], true_value * (1 - 1e-12));
            ck_assert_double_le(found[q], true_value * (1 + 1.0 / 32) + 1e-18);
        }
        ck_assert_double_eq(latency.max, (double)values[COUNT - 1] * 1e-9);
        ck_assert_double_eq_tol(latency.sum, sum * 1e-9, sum * 1e-20);
        ck_assert_uint_eq(latency.count, COUNT);
    }
}
END_TEST

START_TEST(what_is_too_long_or_too_short_counts_too)
{
    static struct histogram histogram;
    infer_latency latency = histogram_latency(&histogram);
    ck_assert_uint_eq(latency.count, 0);
    ck_assert_double_eq(latency.p999, 0);
    histogram_add(&histogram, -5);
    histogram_add(&histogram, INT64_MAX);
    latency = histogram_latency(&histogram);
    ck_assert_uint_eq(latency.count, 2);
    ck_assert_double_eq(latency.p50, 0);
    ck_assert_double_eq(latency.max, (double)INT64_MAX * 1e-9);
}
END_TEST

static infer_status slow_hook(void *user, const infer_tensor *given, size_t count, infer_error *error)
{
    (void)given, (void)count, (void)error;
    usleep(*(useconds_t *)user);
    return INFER_OK;
}

static struct rows_request requests[40];

static struct rig rig_make(infer_predictor_options options)
{
    return rig_start(rows_model, options);
}

static void run_forty(infer_predictor *predictor)
{
    infer_item items[40];
    for (unsigned k = 0; k < 40; k++) {
        rows_fill(&requests[k], k, 1, 2);
        items[k] = (infer_item){requests[k].inputs, 2, requests[k].results, 2, {0}};
    }
    requests[3].i[0] = -ENTRIES - 1;
    requests[4].inputs[0].rank = 1;
    ck_assert_int_eq(infer_predict_batch(predictor, items, 40, NULL, NULL), INFER_FAULT);
}

START_TEST(requests_are_counted)
{
    useconds_t microseconds = 1000;
    struct rig rig =
        rig_make((infer_predictor_options){.batch_size = 4, .hooks = {.validate = slow_hook, .user = &microseconds}});
    run_forty(rig.predictor);
    infer_metrics metrics;
    ck_assert_int_eq(infer_metrics_snapshot(rig.predictor, &metrics, NULL), INFER_OK);
    ck_assert_uint_eq(metrics.requests, 40);
    ck_assert_uint_eq(metrics.by_status[INFER_OK], 38);
    ck_assert_uint_eq(metrics.by_status[INFER_FAULT], 1);
    ck_assert_uint_eq(metrics.by_status[INFER_INVALID_ARGUMENT], 1);
    ck_assert_uint_eq(metrics.total.count, 38);
    ck_assert_uint_eq(metrics.preprocess.count, 38);
    ck_assert_uint_eq(metrics.postprocess.count, 0);
    ck_assert_double_ge(metrics.preprocess.p50, 0.001);
    ck_assert_double_ge(metrics.total.p50, metrics.preprocess.p50);
    ck_assert_double_le(metrics.total.max, metrics.seconds);
    ck_assert_uint_eq(metrics.model.count, metrics.runs);
    uint64_t runs = 0;
    for (int i = 0; i < INFER_BATCH_SIZES; i++)
        runs += metrics.runs_by_size[i];
    ck_assert_uint_eq(runs, metrics.runs);
    ck_assert_uint_eq(metrics.run_requests, 39); /* all but the one whose shape is refused */
    ck_assert_uint_eq(metrics.waiting, 0);
    ck_assert_uint_eq(metrics.under_way, 0);
    ck_assert_uint_gt(metrics.most_waiting, 0);
    ck_assert_uint_gt(metrics.memory.held_bytes, 0);
    ck_assert_uint_gt(metrics.predictor_bytes, 0);
    ck_assert_double_eq_tol(metrics.throughput, 38 / metrics.seconds, 1e-9 * metrics.throughput);
    rig_free(&rig);
}
END_TEST

START_TEST(a_hook_that_does_not_come_back_is_reported)
{
    useconds_t microseconds = 400000;
    struct rig rig =
        rig_make((infer_predictor_options){.hooks = {.validate = slow_hook, .user = &microseconds, .seconds = 0.02}});
    infer_prediction *prediction;
    infer_metrics metrics;
    infer_error error;
    rows_fill(&requests[0], 0, 1, 1);
    ck_assert_int_eq(infer_predict_async(rig.predictor, requests[0].inputs, 2, NULL, 0, NULL, &prediction, NULL),
                     INFER_OK);
    size_t seen = 0;
    while (!infer_prediction_wait(prediction, 0.01)) {
        ck_assert_int_eq(infer_metrics_snapshot(rig.predictor, &metrics, NULL), INFER_OK);
        seen = metrics.overdue_hooks > seen ? metrics.overdue_hooks : seen;
    }
    ck_assert_uint_eq(seen, 1);
    ck_assert_int_eq(infer_prediction_status(prediction, &error), INFER_DEADLINE);
    ck_assert_int_eq(infer_metrics_snapshot(rig.predictor, &metrics, NULL), INFER_OK);
    ck_assert_uint_eq(metrics.overdue_hooks, 0);
    infer_prediction_release(prediction);
    rig_free(&rig);
}
END_TEST

/* --- text --------------------------------------------------------------------------------------------------------- */

static infer_metrics known_metrics(void)
{
    infer_metrics metrics = {.seconds = 2.5, .requests = 7, .cache_hits = 3, .runs = 6, .run_requests = 11};
    metrics.by_status[INFER_OK] = 6;
    metrics.by_status[INFER_BUSY] = 1;
    metrics.runs_by_size[0] = 4;
    metrics.runs_by_size[2] = 2;
    metrics.total = (infer_latency){.count = 6, .sum = 0.5, .p50 = 0.001, .p99 = 0.25, .max = 0.25};
    metrics.memory.weight_bytes = 12345;
    return metrics;
}

START_TEST(texts_hold_the_numbers)
{
    infer_metrics metrics = known_metrics();
    static char json[16384], prometheus[16384], cut[100];
    size_t length = infer_metrics_json(&metrics, json, sizeof json);
    ck_assert_uint_eq(length, strlen(json));
    ck_assert_ptr_nonnull(strstr(json, "{\"seconds\":2.5,\"requests\":7,"));
    ck_assert_ptr_nonnull(strstr(json, "\"by_status\":{\"ok\":6,"));
    ck_assert_ptr_nonnull(strstr(json, "\"busy\":1,\"device\":0},\"runs_by_size\":[4,0,2,0,"));
    ck_assert_ptr_nonnull(strstr(json, "\"total\":{\"count\":6,\"sum\":0.5,\"p50\":0.001,\"p90\":0,\"p99\":0.25,"));
    ck_assert_ptr_nonnull(strstr(json, "\"memory\":{\"weight_bytes\":12345,"));
    length = infer_metrics_prometheus(&metrics, "model=\"digits\"", prometheus, sizeof prometheus);
    ck_assert_uint_eq(length, strlen(prometheus));
    ck_assert_ptr_nonnull(strstr(prometheus, "# TYPE infer_requests_total counter\n"
                                             "infer_requests_total{model=\"digits\"} 7\n"));
    ck_assert_ptr_nonnull(strstr(prometheus, "infer_ended_total{model=\"digits\",status=\"busy\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(prometheus,
                                 "infer_latency_seconds{model=\"digits\",stage=\"total\",quantile=\"0.99\"} "
                                 "0.25\n"));
    ck_assert_ptr_nonnull(strstr(prometheus, "infer_batch_size_bucket{model=\"digits\",le=\"4\"} 6\n"));
    ck_assert_ptr_nonnull(strstr(prometheus, "infer_batch_size_sum{model=\"digits\"} 11\n"));
    ck_assert_uint_eq(infer_metrics_prometheus(&metrics, "model=\"digits\"", cut, sizeof cut), length);
    ck_assert_uint_eq(strlen(cut), sizeof cut - 1);
    ck_assert_uint_eq(infer_metrics_prometheus(&metrics, "model=\"digits\"", NULL, 0), length);
    infer_metrics_prometheus(&metrics, NULL, prometheus, sizeof prometheus);
    ck_assert_ptr_nonnull(strstr(prometheus, "\ninfer_requests_total 7\n"));
}
END_TEST

struct sink {
    char text[65536];
    size_t length, most;
};

static bool write_sink(void *user, const char *text, size_t bytes)
{
    struct sink *sink = user;
    if (sink->length + bytes >= sink->most)
        return false;
    memcpy(sink->text + sink->length, text, bytes);
    sink->length += bytes;
    sink->text[sink->length] = '\0';
    return true;
}

struct slice {
    unsigned row, requests;
    char name[16];
    double ts, dur;
};

static size_t read_slices(const char *text, struct slice *slices, size_t room)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, "\"ph\":\"X\"")) != NULL && count < room; at++, count++) {
        struct slice *s = &slices[count];
        ck_assert_int_eq(sscanf(at,
                                "\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"name\":\"%15[a-z]\",\"ts\":%lf,\"dur\":%lf,"
                                "\"args\":{\"requests\":%u}}",
                                &s->row, s->name, &s->ts, &s->dur, &s->requests),
                         5);
    }
    return count;
}

/* On a row, slices follow one another; times are microseconds; every request is in a slice of each stage. */
START_TEST(the_trace_has_a_row_a_worker)
{
    useconds_t microseconds = 2000;
    struct rig rig = rig_make((infer_predictor_options){
        .batch_size = 4, .trace_events = 200, .hooks = {.validate = slow_hook, .user = &microseconds}});
    run_forty(rig.predictor);
    rows_fill(&requests[0], 0, 1, 1);
    ck_assert_int_eq(rows_predict(rig.predictor, &requests[0], NULL), INFER_OK); /* on this thread */
    static struct sink sink = {.most = sizeof sink.text};
    static struct slice slices[200];
    infer_error error;
    ck_assert_int_eq(infer_predictor_trace(rig.predictor, -1, write_sink, &sink, &error), INFER_OK);
    size_t count = read_slices(sink.text, slices, 200), validated = 0, run = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_model = strcmp(slices[i].name, "model") == 0;
        validated += is_model ? 0 : slices[i].requests;
        run += is_model ? slices[i].requests : 0;
        ck_assert(is_model || strcmp(slices[i].name, "preprocess") == 0);
        ck_assert(is_model || (slices[i].dur > 2000 && slices[i].dur < 2000 * 500));
        for (size_t k = 0; k < count; k++)
            ck_assert(k == i || slices[k].row != slices[i].row ||
                      slices[k].ts >= slices[i].ts + slices[i].dur - 0.002 ||
                      slices[i].ts >= slices[k].ts + slices[k].dur - 0.002);
    }
    ck_assert_uint_eq(validated, 40); /* 39 of the batch, and the one */
    ck_assert_uint_eq(run, 40);
    ck_assert_ptr_nonnull(strstr(sink.text, "\"name\":\"caller in context 0\""));
    sink.length = 0;
    usleep(2000);
    ck_assert_int_eq(infer_predictor_trace(rig.predictor, 1e-6, write_sink, &sink, &error), INFER_OK);
    ck_assert_uint_eq(read_slices(sink.text, slices, 200), 0);
    sink.most = 50;
    ck_assert_int_eq(infer_predictor_trace(rig.predictor, -1, write_sink, &sink, &error), INFER_IO);
    rig_free(&rig);
    rig = rig_make((infer_predictor_options){0});
    ck_assert_int_eq(infer_predictor_trace(rig.predictor, -1, write_sink, &sink, &error), INFER_INVALID_ARGUMENT);
    rig_free(&rig);
}
END_TEST

Suite *predictor_metrics_suite(void)
{
    Suite *suite = suite_create("predictor_metrics");
    TCase *tests = tcase_create("predictor_metrics");
    tcase_add_test(tests, quantiles_are_right_to_three_percent);
    tcase_add_test(tests, what_is_too_long_or_too_short_counts_too);
    tcase_add_test(tests, requests_are_counted);
    tcase_add_test(tests, a_hook_that_does_not_come_back_is_reported);
    tcase_add_test(tests, texts_hold_the_numbers);
    tcase_add_test(tests, the_trace_has_a_row_a_worker);
    suite_add_tcase(suite, tests);
    return suite;
}
