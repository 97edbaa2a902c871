/* The predictor's queue: order, what is full, cancels, deadlines, callbacks, the end. */
#include "tests/predictor_test.h"
#include "tests/suites.h"

#include "predictor/deadline.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long after the fact something may happen, in seconds; the machine may be busy. */
#define SOON 5.0

static double seconds_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* A predictor whose runs take as long as one likes. */
static struct rig rig_make(infer_predictor_options options)
{
    return rig_start(endless_model, options);
}

static const float x[4] = {1, 2, 3, 4};
static const int64_t once = 1, forever = INT64_MAX;

static infer_status begin(struct rig *rig, const int64_t *trips, const infer_request_options *options,
                          infer_prediction **prediction, infer_error *error)
{
    infer_tensor inputs[2] = {i64_tensor(trips, 0, 0), f32_tensor(x, 1, 4, 0)};
    return infer_predict_async(rig->predictor, inputs, 2, NULL, 0, options, prediction, error);
}

static infer_prediction *must_begin(struct rig *rig, const int64_t *trips, const infer_request_options *options)
{
    infer_error error = {0};
    infer_prediction *prediction;
    ck_assert_msg(begin(rig, trips, options, &prediction, &error) == INFER_OK, "%s", error.message);
    return prediction;
}

/* One that occupies the only context until it is cancelled. */
static infer_prediction *occupy(struct rig *rig)
{
    infer_prediction *prediction = must_begin(rig, &forever, NULL);
    ck_assert(!infer_prediction_wait(prediction, 0.05)); /* a worker has taken it */
    return prediction;
}

static void expect(infer_prediction *prediction, infer_status status, const char *sentence)
{
    infer_error error;
    ck_assert(infer_prediction_wait(prediction, SOON));
    ck_assert_msg(infer_prediction_status(prediction, &error) == status, "%s", error.message);
    ck_assert_msg(strstr(error.message, sentence) != NULL, "%s", error.message);
    if (status == INFER_OK)
        expect_floats(infer_prediction_result(prediction, 0), 4, (float[]){2, 4, 6, 8});
    else
        ck_assert_ptr_null(infer_prediction_result(prediction, 0));
    infer_prediction_release(prediction);
}

START_TEST(a_run_is_cancelled)
{
    struct rig rig = rig_make((infer_predictor_options){0});
    for (int round = 0; round < 5; round++) {
        infer_prediction *first = occupy(&rig), *second = must_begin(&rig, &forever, NULL),
                         *third = must_begin(&rig, &once, NULL);
        infer_prediction_cancel(second); /* in the queue: at once */
        ck_assert(infer_prediction_wait(second, 0));
        expect(second, INFER_CANCELLED, "prediction failed: the request was cancelled");
        infer_prediction_cancel(first);
        expect(first, INFER_CANCELLED, "the run was cancelled at node '");
        expect(third, INFER_OK, "");
    }
    rig_free(&rig);
}
END_TEST

/* Cancels that come just when a run ends do nothing to the next one. */
START_TEST(late_cancels_hit_nobody_else)
{
    struct rig rig = rig_make((infer_predictor_options){0});
    for (int round = 0; round < 2000; round++) {
        infer_prediction *first = must_begin(&rig, &once, NULL), *second = must_begin(&rig, &once, NULL);
        for (int turns = 0; turns < round * 7 % 3000; turns++)
            atomic_signal_fence(memory_order_seq_cst);
        infer_prediction_release(first);
        expect(second, INFER_OK, "");
    }
    rig_free(&rig);
}
END_TEST

START_TEST(release_ends_a_request)
{
    struct rig rig = rig_make((infer_predictor_options){0});
    infer_prediction *first = occupy(&rig);
    double start = seconds_now();
    infer_prediction_release(first);
    ck_assert_double_lt(seconds_now() - start, SOON);
    expect(must_begin(&rig, &once, NULL), INFER_OK, "");
    rig_free(&rig);
}
END_TEST

START_TEST(deadlines_end_runs_and_waits)
{
    struct rig rig = rig_make((infer_predictor_options){0});
    infer_request_options soon = {.seconds = 0.05};
    double start = seconds_now();
    expect(must_begin(&rig, &forever, &soon), INFER_DEADLINE, "prediction failed: ");
    ck_assert_double_ge(seconds_now() - start, 0.05);
    infer_prediction *first = occupy(&rig);
    infer_prediction *waiting = must_begin(&rig, &once, &soon);
    expect(waiting, INFER_DEADLINE, "s, and was to end after 0.05 s");
    int64_t trips = 1;
    infer_tensor inputs[2] = {i64_tensor(&trips, 0, 0), f32_tensor(x, 1, 4, 0)};
    float y[4];
    infer_tensor result = infer_output(y, sizeof y);
    infer_error error;
    ck_assert_int_eq(infer_predict(rig.predictor, inputs, 2, &result, 1, &soon, &error), INFER_DEADLINE);
    infer_prediction_release(first);
    ck_assert_int_eq(infer_predict(rig.predictor, inputs, 2, &result, 1, &soon, &error), INFER_OK);
    trips = INT64_MAX;
    ck_assert_int_eq(infer_predict(rig.predictor, inputs, 2, &result, 1, &soon, &error), INFER_DEADLINE);
    rig_free(&rig);
}
END_TEST

/* Options of runs hold beside those of requests. */
START_TEST(limits_of_runs)
{
    struct rig rig = rig_make((infer_predictor_options){.run_limits = {.loop_turns = 1000}});
    expect(must_begin(&rig, &forever, &(infer_request_options){.seconds = 100}), INFER_WORK_LIMIT, "1,000 loop turns");
    expect(must_begin(&rig, &once, NULL), INFER_OK, "");
    rig_free(&rig);
}
END_TEST

/* --- order -------------------------------------------------------------------------------------------------------- */

struct order {
    atomic_int next;
    int places[8];
};

struct noted {
    struct order *order;
    int index;
};

static void note_place(void *user, infer_prediction *prediction)
{
    struct noted *noted = user;
    ck_assert(infer_prediction_wait(prediction, 0));
    noted->order->places[noted->index] = atomic_fetch_add(&noted->order->next, 1);
    infer_prediction_release(prediction);
}

START_TEST(higher_priorities_go_first)
{
    static const int priorities[6] = {0, -1, 1, 0, 1, -1}, places[6] = {2, 4, 0, 3, 1, 5};
    struct rig rig = rig_make((infer_predictor_options){.workers = 1});
    infer_prediction *first = occupy(&rig);
    struct order order = {.next = 0};
    struct noted noted[6];
    for (int k = 0; k < 6; k++) {
        noted[k] = (struct noted){&order, k};
        must_begin(&rig, &once,
                   &(infer_request_options){.priority = priorities[k], .ended = note_place, .user = &noted[k]});
    }
    infer_prediction_release(first);
    infer_predictor_drain(rig.predictor, -1);
    for (int k = 0; k < 6; k++)
        ck_assert_int_eq(order.places[k], places[k]);
    rig_free(&rig);
}
END_TEST

/* --- a full queue ------------------------------------------------------------------------------------------------- */

START_TEST(a_full_queue_rejects)
{
    struct rig rig = rig_make((infer_predictor_options){.queue_length = 2});
    infer_prediction *first = occupy(&rig), *waiting[2], *none;
    infer_error error;
    for (int k = 0; k < 2; k++)
        waiting[k] = must_begin(&rig, &once, NULL);
    ck_assert_int_eq(begin(&rig, &once, NULL, &none, &error), INFER_BUSY);
    ck_assert_ptr_null(none);
    ck_assert_str_eq(error.message, "prediction failed: the queue is full: 2 requests wait");
    infer_prediction_cancel(waiting[0]);
    infer_prediction *in_its_place = must_begin(&rig, &once, NULL);
    infer_prediction_release(first);
    expect(waiting[0], INFER_CANCELLED, "");
    expect(waiting[1], INFER_OK, "");
    expect(in_its_place, INFER_OK, "");
    rig_free(&rig);
}
END_TEST

START_TEST(a_full_queue_drops)
{
    struct rig rig = rig_make((infer_predictor_options){.queue_length = 2, .when_full = INFER_FULL_DROP});
    infer_prediction *first = occupy(&rig), *none;
    infer_prediction *high = must_begin(&rig, &once, &(infer_request_options){.priority = 1});
    infer_prediction *oldest = must_begin(&rig, &once, NULL), *newest = must_begin(&rig, &once, NULL);
    expect(oldest, INFER_BUSY, "prediction failed: newer requests took its place in the queue");
    ck_assert_int_eq(begin(&rig, &once, &(infer_request_options){.priority = -1}, &none, NULL), INFER_BUSY);
    infer_prediction_release(first);
    expect(high, INFER_OK, "");
    expect(newest, INFER_OK, "");
    rig_free(&rig);
}
END_TEST

/* Requests that wait for an equal one under way are older than others as well. */
START_TEST(a_full_queue_drops_what_follows)
{
    struct rig rig =
        rig_make((infer_predictor_options){.queue_length = 2, .when_full = INFER_FULL_DROP, .cache_bytes = 1 << 20});
    infer_prediction *first = occupy(&rig), *oldest = must_begin(&rig, &forever, NULL);
    infer_prediction *other = must_begin(&rig, &once, NULL), *newest = must_begin(&rig, &once, NULL);
    expect(oldest, INFER_BUSY, "prediction failed: newer requests took its place in the queue");
    infer_prediction_release(first);
    expect(other, INFER_OK, "");
    expect(newest, INFER_OK, "");
    rig_free(&rig);
}
END_TEST

static void *release_later(void *prediction)
{
    usleep(50000);
    infer_prediction_release(prediction);
    return NULL;
}

START_TEST(a_full_queue_blocks)
{
    struct rig rig = rig_make((infer_predictor_options){.queue_length = 1, .when_full = INFER_FULL_BLOCK});
    infer_prediction *first = occupy(&rig), *second = must_begin(&rig, &once, NULL), *none;
    infer_error error;
    ck_assert_int_eq(begin(&rig, &once, &(infer_request_options){.seconds = 0.03}, &none, &error), INFER_DEADLINE);
    ck_assert_str_eq(error.message, "prediction failed: the queue was full all the time");
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, release_later, first), 0);
    expect(must_begin(&rig, &once, NULL), INFER_OK, "");
    pthread_join(thread, NULL);
    expect(second, INFER_OK, "");
    rig_free(&rig);
}
END_TEST

/* --- the end ------------------------------------------------------------------------------------------------------ */

START_TEST(drain_finishes_what_waits)
{
    struct rig rig = rig_make((infer_predictor_options){0});
    infer_prediction *predictions[20], *none;
    infer_error error;
    for (int k = 0; k < 20; k++)
        predictions[k] = must_begin(&rig, &once, NULL);
    ck_assert_uint_eq(infer_predictor_drain(rig.predictor, -1), 0);
    ck_assert_int_eq(begin(&rig, &once, NULL, &none, &error), INFER_BUSY);
    ck_assert_str_eq(error.message, "prediction failed: the predictor takes no more requests");
    for (int k = 0; k < 20; k++) {
        ck_assert(infer_prediction_wait(predictions[k], 0));
        expect(predictions[k], INFER_OK, "");
    }
    rig_free(&rig);
}
END_TEST

START_TEST(drain_cancels_what_takes_too_long)
{
    struct rig rig = rig_make((infer_predictor_options){0});
    infer_prediction *first = occupy(&rig), *second = must_begin(&rig, &once, NULL);
    ck_assert_uint_eq(infer_predictor_drain(rig.predictor, 0.02), 2);
    expect(first, INFER_CANCELLED, "");
    expect(second, INFER_CANCELLED, "");
    rig_free(&rig);
}
END_TEST

static atomic_int ended_requests;

static void count_end(void *user, infer_prediction *prediction)
{
    ck_assert_ptr_eq(user, &ended_requests);
    atomic_fetch_add(&ended_requests, 1);
    infer_prediction_release(prediction);
}

/* Each callback is called once, whatever ends the request. */
START_TEST(release_calls_callbacks)
{
    struct rig rig = rig_make((infer_predictor_options){.queue_length = 50});
    infer_request_options counted = {.ended = count_end, .user = &ended_requests};
    for (int k = 0; k < 30; k++)
        must_begin(&rig, k % 10 == 5 ? &forever : &once, &counted);
    counted.seconds = 0.01;
    for (int k = 0; k < 10; k++)
        must_begin(&rig, &once, &counted);
    usleep(20000);
    rig_free(&rig);
    ck_assert_int_eq(atomic_load(&ended_requests), 40);
}
END_TEST

/* Deadlines that come and go at random: the next one is always the least of those that are in. */
START_TEST(the_next_deadline_is_the_least)
{
    enum { COUNT = 200, TURNS = 20000 };
    static struct deadline deadlines[COUNT];
    static bool in[COUNT];
    struct deadline *next = NULL;
    uint32_t state = (uint32_t)_i + 1;
    for (int turn = 0; turn < TURNS; turn++) {
        state = state * 1664525u + 1013904223u;
        int k = (int)(state >> 8) % COUNT;
        if (turn % 3 == 2 && next)
            k = (int)(next - deadlines); /* what end_late does */
        if (in[k]) {
            deadline_remove(&next, &deadlines[k]);
        } else {
            deadlines[k].time = state >> 20;
            deadline_add(&next, &deadlines[k]);
        }
        in[k] = !in[k];
        int64_t least = INT64_MAX;
        for (int i = 0; i < COUNT; i++)
            if (in[i] && deadlines[i].time < least)
                least = deadlines[i].time;
        ck_assert_int_eq(next ? next->time : INT64_MAX, least);
    }
}
END_TEST

/* A thousand deadlines, the latest first, and one worker that is busy: all of them end on time. */
START_TEST(many_deadlines_end_on_time)
{
    enum { COUNT = 1000 };
    static infer_prediction *waiting[COUNT];
    struct rig rig = rig_make((infer_predictor_options){.queue_length = COUNT + 1});
    infer_prediction *running = occupy(&rig);
    double began = seconds_now();
    for (int k = 0; k < COUNT; k++) {
        infer_request_options options = {.seconds = 0.3 - 0.0002 * k, .priority = k % 3 - 1};
        waiting[k] = must_begin(&rig, &once, &options);
    }
    for (int k = COUNT - 1; k >= 0; k--) {
        ck_assert(infer_prediction_wait(waiting[k], SOON));
        ck_assert_int_eq(infer_prediction_status(waiting[k], NULL), INFER_DEADLINE);
        infer_prediction_release(waiting[k]);
    }
    ck_assert_double_ge(seconds_now() - began, 0.3);
    infer_prediction_release(running);
    rig_free(&rig);
}
END_TEST

Suite *predictor_async_suite(void)
{
    Suite *suite = suite_create("predictor_async");
    TCase *tests = tcase_create("predictor_async");
    tcase_add_test(tests, a_run_is_cancelled);
    tcase_add_test(tests, late_cancels_hit_nobody_else);
    tcase_add_test(tests, release_ends_a_request);
    tcase_add_test(tests, deadlines_end_runs_and_waits);
    tcase_add_test(tests, limits_of_runs);
    tcase_add_test(tests, higher_priorities_go_first);
    tcase_add_test(tests, a_full_queue_rejects);
    tcase_add_test(tests, a_full_queue_drops);
    tcase_add_test(tests, a_full_queue_drops_what_follows);
    tcase_add_test(tests, a_full_queue_blocks);
    tcase_add_test(tests, drain_finishes_what_waits);
    tcase_add_test(tests, drain_cancels_what_takes_too_long);
    tcase_add_test(tests, release_calls_callbacks);
    tcase_add_loop_test(tests, the_next_deadline_is_the_least, 0, 4);
    tcase_add_test(tests, many_deadlines_end_on_time);
    suite_add_tcase(suite, tests);
    return suite;
}
