/* The predictor's output cache, and equal requests that share a run. */
#include "predictor/predictor.h" /* before Check, which has a macro of the name of a function */

#include "tests/predictor_test.h"
#include "tests/suites.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static struct rig rig_make(infer_predictor_options options)
{
    return rig_start(rows_model, options);
}

static infer_metrics metrics_of(infer_predictor *predictor)
{
    infer_metrics metrics;
    ck_assert_int_eq(infer_metrics_snapshot(predictor, &metrics, NULL), INFER_OK);
    return metrics;
}

static struct rows_request requests[64];

static void predict_right(struct rig *rig, unsigned seed, int64_t rows, int64_t length)
{
    infer_error error = {0};
    rows_fill(&requests[0], seed, rows, length);
    ck_assert_msg(rows_predict(rig->predictor, &requests[0], &error) == INFER_OK, "%s", error.message);
    ck_assert(rows_are_right(rig->context, &requests[0], requests[0].results));
}

START_TEST(what_was_asked_before_runs_no_more)
{
    struct rig rig = rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .batch_size = _i ? 4 : 1});
    for (unsigned round = 0; round < 3; round++)
        for (unsigned seed = 0; seed < 5; seed++)
            predict_right(&rig, seed, 1 + seed % 2, 1 + seed);
    infer_metrics metrics = metrics_of(rig.predictor);
    ck_assert_uint_eq(metrics.runs, 5);
    ck_assert_uint_eq(metrics.cache_lookups, 15);
    ck_assert_uint_eq(metrics.cache_hits, 10);
    ck_assert_uint_eq(metrics.cache_entries, 5);
    ck_assert_uint_gt(metrics.cache_bytes, 5 * sizeof(infer_tensor));
    /* The last byte decides, and so do type and shape. */
    rows_fill(&requests[0], 4, 1, 5);
    requests[0].x[5 * WIDTH - 1] += 1;
    ck_assert_int_eq(rows_predict(rig.predictor, &requests[0], NULL), INFER_OK);
    ck_assert(rows_are_right(rig.context, &requests[0], requests[0].results));
    rows_fill(&requests[0], 1, 2, 2);
    requests[0].inputs[0].dims[0] = requests[0].inputs[1].dims[0] = 1; /* the first row alone */
    ck_assert_int_eq(rows_predict(rig.predictor, &requests[0], NULL), INFER_OK);
    ck_assert(rows_are_right(rig.context, &requests[0], requests[0].results));
    ck_assert_uint_eq(metrics_of(rig.predictor).runs, 7);
    infer_predictor_clear_cache(rig.predictor);
    ck_assert_uint_eq(metrics_of(rig.predictor).cache_bytes, 0);
    predict_right(&rig, 0, 1, 1);
    ck_assert_uint_eq(metrics_of(rig.predictor).runs, 8);
    rig_free(&rig);
}
END_TEST

/* What a caller leaves out is kept all the same, for those who come after it. */
START_TEST(left_out_outputs_are_kept)
{
    struct rig rig = rig_make((infer_predictor_options){.cache_bytes = 1 << 20});
    rows_fill(&requests[0], 1, 1, 2);
    ck_assert_int_eq(infer_predict(rig.predictor, requests[0].inputs, 2, requests[0].results, 1, NULL, NULL), INFER_OK);
    predict_right(&rig, 1, 1, 2);
    infer_tensor small = infer_output(requests[0].y, 3);
    infer_error error;
    ck_assert_int_eq(infer_predict(rig.predictor, requests[0].inputs, 2, &small, 1, NULL, &error),
                     INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "prediction failed: result 0 has 64 bytes, and its memory room for 3");
    infer_prediction *prediction;
    ck_assert_int_eq(infer_predict_async(rig.predictor, requests[0].inputs, 2, NULL, 0, NULL, &prediction, NULL),
                     INFER_OK);
    ck_assert(infer_prediction_wait(prediction, 0)); /* found: it has ended already */
    infer_tensor results[2] = {*infer_prediction_result(prediction, 0), *infer_prediction_result(prediction, 1)};
    ck_assert(rows_are_right(rig.context, &requests[0], results));
    infer_prediction_release(prediction);
    ck_assert_uint_eq(metrics_of(rig.predictor).runs, 1);
    rig_free(&rig);
}
END_TEST

START_TEST(the_least_recently_used_goes)
{
    struct rig rig = rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .cache_count = 3});
    static const unsigned order[] = {0, 1, 2, 0, 3, 0, 2, 1}; /* 1 goes for 3, then 3 goes for 1 */
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        predict_right(&rig, order[i], 1, 2);
    infer_metrics metrics = metrics_of(rig.predictor);
    ck_assert_uint_eq(metrics.runs, 5);
    ck_assert_uint_eq(metrics.cache_hits, 3);
    ck_assert_uint_eq(metrics.cache_evictions, 2);
    ck_assert_uint_eq(metrics.cache_entries, 3);
    rig_free(&rig);
    rig = rig_make((infer_predictor_options){.cache_bytes = 4000});
    for (unsigned seed = 0; seed < 30; seed++) {
        predict_right(&rig, seed % 7, 1, 1 + seed % 3);
        ck_assert_uint_le(metrics_of(rig.predictor).cache_bytes, 4000);
    }
    ck_assert_uint_gt(metrics_of(rig.predictor).cache_evictions, 0);
    rig_free(&rig);
}
END_TEST

START_TEST(unique_requests_go_past_it)
{
    struct rig rig = rig_make((infer_predictor_options){.cache_bytes = 1 << 20});
    for (unsigned seed = 0; seed < 2000; seed++)
        predict_right(&rig, seed, 1, 1);
    infer_metrics metrics = metrics_of(rig.predictor);
    ck_assert(metrics.cache_backs_off);
    ck_assert_uint_lt(metrics.cache_lookups, 256 + 2000 / 16 + 2);
    for (unsigned round = 0; round < 8000 && metrics_of(rig.predictor).cache_backs_off; round++)
        predict_right(&rig, round % 3, 1, 1);
    ck_assert(!metrics_of(rig.predictor).cache_backs_off);
    infer_request_options past = {.uncached = true};
    uint64_t before = metrics_of(rig.predictor).runs;
    rows_fill(&requests[0], 1, 1, 1);
    ck_assert_int_eq(infer_predict(rig.predictor, requests[0].inputs, 2, requests[0].results, 2, &past, NULL),
                     INFER_OK);
    ck_assert_uint_eq(metrics_of(rig.predictor).runs, before + 1);
    rig_free(&rig);
}
END_TEST

/* --- one flight ----------------------------------------------------------------------------------------------------
 */

/* A hook that holds requests back until the gate is open, and may fail. */
struct gate {
    atomic_bool open;
    atomic_int calls, fail;
};

static infer_status wait_at_gate(void *user, const infer_tensor *given, size_t count, infer_error *error)
{
    struct gate *gate = user;
    (void)given, (void)count;
    atomic_fetch_add(&gate->calls, 1);
    while (!atomic_load(&gate->open))
        usleep(200);
    if (atomic_load(&gate->fail)) {
        strcpy(error->message, "refused");
        return (infer_status)atomic_load(&gate->fail);
    }
    return INFER_OK;
}

#define FLIGHT 8

static void begin_flight(struct rig *rig, struct gate *gate, infer_prediction **predictions)
{
    for (int k = 0; k < FLIGHT; k++) {
        rows_fill(&requests[k], 5, 1, 3);
        ck_assert_int_eq(
            infer_predict_async(rig->predictor, requests[k].inputs, 2, NULL, 0, NULL, &predictions[k], NULL), INFER_OK);
    }
    while (atomic_load(&gate->calls) == 0)
        usleep(200);
}

static void expect_right(struct rig *rig, infer_prediction *prediction)
{
    infer_error error;
    ck_assert(infer_prediction_wait(prediction, -1));
    ck_assert_msg(infer_prediction_status(prediction, &error) == INFER_OK, "%s", error.message);
    infer_tensor results[2] = {*infer_prediction_result(prediction, 0), *infer_prediction_result(prediction, 1)};
    ck_assert(rows_are_right(rig->context, &requests[0], results));
    infer_prediction_release(prediction);
}

START_TEST(equal_requests_share_a_run)
{
    struct gate gate = {.open = false};
    struct rig rig =
        rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .hooks = {.validate = wait_at_gate, .user = &gate}});
    infer_prediction *predictions[FLIGHT];
    begin_flight(&rig, &gate, predictions);
    infer_prediction_cancel(predictions[3]); /* a follower: at once */
    ck_assert(infer_prediction_wait(predictions[3], 0));
    ck_assert_int_eq(infer_prediction_status(predictions[3], NULL), INFER_CANCELLED);
    infer_prediction_release(predictions[3]);
    atomic_store(&gate.open, true);
    for (int k = 0; k < FLIGHT; k++)
        if (k != 3)
            expect_right(&rig, predictions[k]);
    infer_metrics metrics = metrics_of(rig.predictor);
    ck_assert_int_eq(atomic_load(&gate.calls), 1);
    ck_assert_uint_eq(metrics.runs, 1);
    ck_assert_uint_eq(metrics.cache_shared, FLIGHT - 1);
    rig_free(&rig);
}
END_TEST

/* Where the one that leads is cancelled, another of them leads. */
START_TEST(a_follower_leads)
{
    struct gate gate = {.open = false};
    struct rig rig =
        rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .hooks = {.validate = wait_at_gate, .user = &gate}});
    infer_prediction *predictions[FLIGHT];
    begin_flight(&rig, &gate, predictions);
    infer_prediction_cancel(predictions[0]);
    atomic_store(&gate.open, true);
    for (int k = 1; k < FLIGHT; k++)
        expect_right(&rig, predictions[k]);
    infer_prediction_wait(predictions[0], -1);
    ck_assert_int_eq(infer_prediction_status(predictions[0], NULL), INFER_CANCELLED);
    infer_prediction_release(predictions[0]);
    ck_assert_int_eq(atomic_load(&gate.calls), 2);
    rig_free(&rig);
}
END_TEST

static void note_end(void *user, infer_prediction *prediction)
{
    (void)prediction;
    atomic_store((atomic_bool *)user, true);
}

/* A follower's deadline holds too once it leads, though the only worker waits for its batch to fill. */
START_TEST(who_leads_now_ends_on_time)
{
    struct rig rig =
        rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .batch_size = 4, .max_delay = 1000, .workers = 1});
    infer_prediction *predictions[2];
    atomic_bool ended = false;
    infer_request_options first = {.seconds = 0.05}, second = {.seconds = 0.1, .ended = note_end, .user = &ended};
    rows_fill(&requests[0], 1, 1, 1);
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(infer_predict_async(rig.predictor, requests[0].inputs, 2, NULL, 0, k ? &second : &first,
                                             &predictions[k], NULL),
                         INFER_OK);
    for (int k = 0; k < 500 && !atomic_load(&ended); k++)
        usleep(10000);
    ck_assert(atomic_load(&ended));
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(infer_prediction_status(predictions[k], NULL), INFER_DEADLINE);
        infer_prediction_release(predictions[k]);
    }
    rig_free(&rig);
}
END_TEST

START_TEST(a_failure_is_shared_and_forgotten)
{
    struct gate gate = {.open = false, .fail = INFER_FAULT};
    struct rig rig =
        rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .hooks = {.validate = wait_at_gate, .user = &gate}});
    infer_prediction *predictions[FLIGHT];
    infer_error error;
    begin_flight(&rig, &gate, predictions);
    atomic_store(&gate.open, true);
    for (int k = 0; k < FLIGHT; k++) {
        ck_assert(infer_prediction_wait(predictions[k], -1));
        ck_assert_int_eq(infer_prediction_status(predictions[k], &error), INFER_FAULT);
        ck_assert_str_eq(error.message, "prediction failed: validate: refused");
        infer_prediction_release(predictions[k]);
    }
    ck_assert_int_eq(atomic_load(&gate.calls), 1);
    atomic_store(&gate.fail, 0);
    predict_right(&rig, 5, 1, 3);
    ck_assert_int_eq(atomic_load(&gate.calls), 2);
    rig_free(&rig);
}
END_TEST

/* Results under the key of a request that has other content: nobody is given them. */
START_TEST(a_key_alone_gives_nothing)
{
    struct rig rig = rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .batch_size = _i ? 4 : 1});
    struct infer_predictor *predictor = rig.predictor;
    predict_right(&rig, 1, 1, 3);
    rows_fill(&requests[1], 1, 1, 3);
    rows_fill(&requests[2], 2, 1, 3);
    predictor_lock(predictor);
    struct cache_entry *entry =
        cache_make(&predictor->cache, cache_key(requests[2].inputs, 2), requests[1].inputs, 2, requests[0].results, 2);
    cache_insert(&predictor->cache, entry);
    cache_drop(&predictor->cache, entry);
    predictor_unlock(predictor);
    for (int k = 0; k < 3; k++) {
        infer_request_options options = {.seconds = k == 2 ? 1000 : 0};
        rows_fill(&requests[2], 2, 1, 3);
        ck_assert_int_eq(infer_predict(predictor, requests[2].inputs, 2, requests[2].results, 2, &options, NULL),
                         INFER_OK);
        ck_assert(rows_are_right(rig.context, &requests[2], requests[2].results));
    }
    infer_metrics metrics = metrics_of(predictor);
    ck_assert_uint_eq(metrics.runs, 4);
    ck_assert_uint_eq(metrics.waiting, 0);
    ck_assert_uint_eq(metrics.under_way, 0);
    rig_free(&rig);
}
END_TEST

/* A request whose key is that of another one under way, well or not so well: it comes to its own end. */
START_TEST(who_follows_by_the_key_alone_runs)
{
    struct gate gate = {.open = false, .fail = _i ? INFER_FAULT : INFER_OK};
    struct rig rig =
        rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .hooks = {.validate = wait_at_gate, .user = &gate}});
    infer_prediction *first, *second;
    rows_fill(&requests[1], 1, 1, 3);
    rows_fill(&requests[0], 2, 1, 3);
    ck_assert_int_eq(infer_predict_async(rig.predictor, requests[1].inputs, 2, NULL, 0, NULL, &first, NULL), INFER_OK);
    while (atomic_load(&gate.calls) == 0)
        usleep(200);
    predictor_lock(rig.predictor);
    struct hash_128 key = cache_key(requests[0].inputs, 2);
    rig.predictor->flights[first->key.high % FLIGHT_BUCKETS] = NULL;
    rig.predictor->flights[key.high % FLIGHT_BUCKETS] = first;
    first->key = key;
    predictor_unlock(rig.predictor);
    ck_assert_int_eq(infer_predict_async(rig.predictor, requests[0].inputs, 2, NULL, 0, NULL, &second, NULL), INFER_OK);
    ck_assert_uint_eq(metrics_of(rig.predictor).cache_shared, 1);
    atomic_store(&gate.open, true);
    ck_assert(infer_prediction_wait(first, -1));
    ck_assert_int_eq(infer_prediction_status(first, NULL), _i ? INFER_FAULT : INFER_OK);
    if (_i) {
        ck_assert(infer_prediction_wait(second, -1));
        ck_assert_int_eq(infer_prediction_status(second, NULL), INFER_FAULT); /* by its own call of the hook */
        infer_prediction_release(second);
    } else {
        expect_right(&rig, second);
    }
    ck_assert_int_eq(atomic_load(&gate.calls), 2);
    infer_prediction_release(first);
    ck_assert_uint_eq(metrics_of(rig.predictor).waiting, 0);
    rig_free(&rig);
}
END_TEST

/* Memory that the leader was given too little of is nothing to those that follow it. */
START_TEST(a_leader_without_room_serves_the_others)
{
    struct gate gate = {.open = false};
    struct rig rig =
        rig_make((infer_predictor_options){.cache_bytes = 1 << 20, .hooks = {.validate = wait_at_gate, .user = &gate}});
    infer_prediction *first, *second;
    rows_fill(&requests[0], 5, 1, 3);
    infer_tensor small = infer_output(requests[1].y, 3);
    ck_assert_int_eq(infer_predict_async(rig.predictor, requests[0].inputs, 2, &small, 1, NULL, &first, NULL),
                     INFER_OK);
    while (atomic_load(&gate.calls) == 0)
        usleep(200);
    ck_assert_int_eq(infer_predict_async(rig.predictor, requests[0].inputs, 2, NULL, 0, NULL, &second, NULL), INFER_OK);
    atomic_store(&gate.open, true);
    ck_assert(infer_prediction_wait(first, -1));
    ck_assert_int_eq(infer_prediction_status(first, NULL), INFER_INVALID_ARGUMENT);
    infer_prediction_release(first);
    expect_right(&rig, second);
    ck_assert_uint_eq(metrics_of(rig.predictor).cache_entries, 1);
    rig_free(&rig);
}
END_TEST

/* Two keys that are equal are not two requests that are equal: the content is compared. */
START_TEST(content_is_compared)
{
    struct cache cache;
    static const float a[4] = {1, 2, 3, 4}, b[4] = {1, 2, 3, 5};
    infer_tensor in = f32_tensor(a, 1, 4, 0), out = f32_tensor(b, 1, 4, 0), other = f32_tensor(b, 1, 4, 0);
    struct hash_128 key = cache_key(&in, 1), other_key = cache_key(&other, 1);
    ck_assert(key.low != other_key.low && key.high != other_key.high);
    ck_assert(cache_same(&in, &in, 1) && !cache_same(&in, &other, 1));
    infer_tensor folded = f32_tensor(a, 2, 2, 2), typed = i64_tensor((const int64_t *)(const void *)a, 1, 2);
    ck_assert(!cache_same(&in, &folded, 1) && !cache_same(&in, &typed, 1));
    ck_assert_int_eq(cache_init(&cache, &default_allocator, 1 << 16, 4), STATUS_OK);
    struct cache_entry *entry = cache_make(&cache, key, &in, 1, &out, 1);
    cache_insert(&cache, entry);
    struct cache_entry *found = cache_find(&cache, key);
    ck_assert_ptr_eq(found, entry);
    ck_assert_mem_eq(found->tensors[1].data, b, sizeof b);
    ck_assert_ptr_null(cache_find(&cache, other_key));
    cache_clear(&cache); /* who holds it has it still */
    ck_assert_uint_eq(cache.bytes, 0);
    ck_assert_mem_eq(found->tensors[1].data, b, sizeof b);
    cache_drop(&cache, found);
    cache_drop(&cache, entry);
    cache_free(&cache);
}
END_TEST

Suite *predictor_cache_suite(void)
{
    Suite *suite = suite_create("predictor_cache");
    TCase *tests = tcase_create("predictor_cache");
    tcase_add_loop_test(tests, what_was_asked_before_runs_no_more, 0, 2);
    tcase_add_test(tests, left_out_outputs_are_kept);
    tcase_add_test(tests, the_least_recently_used_goes);
    tcase_add_test(tests, unique_requests_go_past_it);
    tcase_add_test(tests, equal_requests_share_a_run);
    tcase_add_test(tests, a_follower_leads);
    tcase_add_loop_test(tests, a_key_alone_gives_nothing, 0, 2);
    tcase_add_loop_test(tests, who_follows_by_the_key_alone_runs, 0, 2);
    tcase_add_test(tests, a_leader_without_room_serves_the_others);
    tcase_add_test(tests, who_leads_now_ends_on_time);
    tcase_add_test(tests, a_failure_is_shared_and_forgotten);
    tcase_add_test(tests, content_is_compared);
    suite_add_tcase(suite, tests);
    return suite;
}
