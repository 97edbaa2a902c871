/* How requests come in: one, many, or one to be waited for later. */
#include "predictor/predictor.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static const infer_request_options no_options;

/* What a request asks for, in one piece. */
struct asked {
    const infer_tensor *inputs;
    size_t input_count;
    infer_tensor *results;
    size_t result_count;
    const infer_request_options *options;
    bool has_place; /* every result has memory of the caller's: there will be no prediction to lend any */
};

static infer_status check_places(const struct infer_predictor *predictor, const struct asked *asked, infer_error *error)
{
    if (asked->result_count > predictor->result_count)
        return fail(error, INFER_INVALID_ARGUMENT, "%zu results were asked for; there are %zu", asked->result_count,
                    predictor->result_count);
    for (size_t i = 0; asked->results && i < asked->result_count; i++)
        if (asked->results[i].device != INFER_DEVICE_CPU)
            return fail(error, INFER_INVALID_ARGUMENT, "result %zu lies on a GPU; predictors give tensors of the host",
                        i);
    for (size_t i = 0; asked->has_place && i < asked->result_count; i++) {
        const infer_tensor *result = &asked->results[i];
        if ((!result->data || result->data == result->lent) && result->capacity != INFER_LEFT_OUT)
            return fail(error, INFER_INVALID_ARGUMENT,
                        "result %zu has no memory; infer_predict_async has results in the library's", i);
    }
    return INFER_OK;
}

static infer_status check_asked(const struct infer_predictor *predictor, const struct asked *asked, infer_error *error)
{
    const infer_request_options *options = asked->options;
    if (predictor->process != getpid())
        return fail(error, INFER_INVALID_ARGUMENT, "this process forked off from the one that made the predictor");
    if (!asked->inputs && asked->input_count)
        return fail_missing(error, "inputs");
    if (!asked->results && asked->has_place && asked->result_count)
        return fail_missing(error, "results");
    if (asked->input_count != predictor->given_count)
        return fail(error, INFER_INVALID_ARGUMENT, "%zu inputs were given; a request has %zu", asked->input_count,
                    predictor->given_count);
    if (!(options->seconds >= 0))
        return fail(error, INFER_INVALID_ARGUMENT, "a request's time cannot be %g s", options->seconds);
    if (options->priority < -1 || options->priority > 1)
        return fail(error, INFER_INVALID_ARGUMENT, "a request's priority is -1, 0 or 1, not %d", options->priority);
    return check_places(predictor, asked, error);
}

static void fill(infer_prediction *prediction, const struct asked *asked, int64_t now)
{
    struct infer_predictor *predictor = prediction->predictor;
    const infer_request_options *options = asked->options;
    prediction->status = INFER_OK;
    prediction->cancelled = prediction->prompt = false;
    prediction->lane = NULL;
    prediction->priority = 1 - options->priority;
    prediction->submitted = now;
    prediction->deadline.time = options->seconds > 0 ? clock_after(now, options->seconds) : NEVER;
    prediction->started = 0;
    prediction->keyed = prediction->keyed && !options->uncached && !options->stream;
    prediction->leads = false;
    prediction->leader = NULL;
    prediction->entry = NULL;
    for (int i = 0; i < STAGES; i++)
        prediction->spent[i] = -1;
    prediction->given_count = asked->input_count;
    if (asked->input_count)
        memcpy(prediction->given, asked->inputs, asked->input_count * sizeof *asked->inputs);
    if (!predictor->hooks.preprocess && asked->input_count)
        memcpy(prediction->inputs, asked->inputs, asked->input_count * sizeof *asked->inputs);
    memset(prediction->results, 0, predictor->result_count * sizeof *prediction->results);
    prediction->wanted = asked->results;
    prediction->wanted_count = asked->results ? asked->result_count : 0;
    prediction->callback = asked->has_place ? NULL : options->ended;
    prediction->user = options->user;
}

/* A request that was never in the pipeline goes back to the pool. */
static void take_back(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    predictor_lock(predictor);
    stream_leave(prediction);
    prediction_drop(prediction);
    prediction_drop(prediction);
    if (--predictor->live == 0)
        pthread_cond_broadcast(&predictor->quiet);
    predictor_unlock(predictor);
}

/* Counts a request that does not enter the pipeline, and tells its caller why. */
static void refuse(struct infer_predictor *predictor, infer_status status, infer_error *why, infer_error *error)
{
    meter_refused(predictor, status);
    fail_prediction(why, status);
    if (error)
        *error = *why;
}

/* A request that is ready to enter the pipeline; NULL, and the error says why. */
static infer_prediction *make_request(struct infer_predictor *predictor, const struct asked *asked, infer_error *error)
{
    infer_error why = {.status = INFER_OK};
    infer_prediction *prediction = NULL;
    infer_status status = check_asked(predictor, asked, &why);
    if (status == INFER_OK && !predictor->hooks.preprocess)
        status = inputs_check(predictor, asked->inputs, asked->input_count, asked->options->stream != 0, &why);
    if (status == INFER_OK && !(prediction = prediction_acquire(predictor)))
        status = fail(&why, INFER_OUT_OF_MEMORY, "out of memory for the request");
    if (status == INFER_OK) {
        fill(prediction, asked, clock_now());
        if (asked->options->stream && !stream_join(prediction, asked->options->stream)) {
            take_back(prediction);
            status = fail(&why, INFER_OUT_OF_MEMORY, "out of memory for the state of the stream");
        }
    }
    if (status != INFER_OK) {
        refuse(predictor, status, &why, error);
        return NULL;
    }
    if (!predictor->hooks.preprocess && !prediction->stream)
        batch_describe(prediction);
    return prediction;
}

/* --- the queue, with the mutex held ------------------------------------------------------------------------------- */

static bool is_dropped_before(const infer_prediction *a, const infer_prediction *b)
{
    return a->priority == b->priority ? a->submitted < b->submitted : a->priority > b->priority;
}

static infer_prediction *oldest_below(const struct infer_predictor *predictor, int priority)
{
    infer_prediction *found = NULL;
    static const int queues[] = {STAGE_PREPARE, STAGE_MODEL, QUEUE_FOLLOWERS, QUEUE_STREAMS};
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        struct queue_link *link = queue_least(&predictor->queues[queues[i]]);
        infer_prediction *other = link ? prediction_of(link) : NULL;
        if (other && other->priority >= priority && !other->started && (!found || is_dropped_before(other, found)))
            found = other;
    }
    return found;
}

static bool drop_oldest(struct infer_predictor *predictor, int priority)
{
    infer_prediction *oldest = oldest_below(predictor, priority);
    if (!oldest)
        return false;
    leave_queue(oldest);
    fail(&oldest->error, INFER_BUSY, "newer requests took its place in the queue");
    prediction_end(oldest, INFER_BUSY);
    return true;
}

static infer_status make_room(infer_prediction *prediction, infer_when_full when_full, infer_error *error)
{
    struct infer_predictor *predictor = prediction->predictor;
    while (!predictor->closed && predictor->waiting >= predictor->queue_length) {
        if (when_full == INFER_FULL_DROP && drop_oldest(predictor, prediction->priority))
            continue;
        if (when_full != INFER_FULL_BLOCK)
            return fail(error, INFER_BUSY, "the queue is full: %zu requests wait", predictor->waiting);
        if (clock_now() >= prediction->deadline.time)
            return fail(error, INFER_DEADLINE, "the queue was full all the time");
        predictor_wait(predictor, &predictor->room, prediction->deadline.time);
    }
    if (predictor->closed)
        return fail(error, INFER_BUSY, "the predictor takes no more requests");
    return INFER_OK;
}

/* Equal requests that wait count as others do. */
static infer_status enter(infer_prediction *prediction, infer_when_full when_full, infer_error *error)
{
    struct infer_predictor *predictor = prediction->predictor;
    infer_status status = make_room(prediction, when_full, error);
    if (status != INFER_OK)
        return status;
    predictor->waiting++;
    if (predictor->waiting > predictor->meters.most_waiting)
        predictor->meters.most_waiting = predictor->waiting;
    if (!stream_takes_turn(prediction)) {
        queue_enter(prediction, QUEUE_STREAMS);
    } else if (flight_lands_now(prediction)) {
        queue_enter(prediction, QUEUE_COPIES);
    } else if (flight_follows(prediction)) {
        queue_enter(prediction, QUEUE_FOLLOWERS);
    } else {
        flight_leads(prediction);
        pipeline_enter(prediction);
    }
    return INFER_OK;
}

static infer_status submit(infer_prediction *prediction, infer_error *error)
{
    struct infer_predictor *predictor = prediction->predictor;
    infer_error why = {.status = INFER_OK};
    predictor_lock(predictor);
    infer_status status = enter(prediction, predictor->when_full, &why);
    predictor_unlock(predictor);
    if (status == INFER_OK)
        return status;
    refuse(predictor, status, &why, error);
    take_back(prediction);
    return status;
}

/* --- one request -------------------------------------------------------------------------------------------------- */

infer_status infer_predict_async(infer_predictor *predictor, const infer_tensor *inputs, size_t input_count,
                                 infer_tensor *results, size_t result_count, const infer_request_options *options,
                                 infer_prediction **result, infer_error *error)
{
    if (result)
        *result = NULL;
    if (!predictor || !result)
        return fail_missing(error, predictor ? "place for the prediction" : "predictor");
    infer_error why = {.status = INFER_OK};
    struct asked asked = {inputs, input_count, results, result_count, options ? options : &no_options, false};
    infer_prediction *prediction = make_request(predictor, &asked, &why);
    infer_status status = why.status;
    if (prediction) {
        *result = prediction; /* the callback may come before this returns, and look at it there */
        if (!flight_lands(prediction))
            status = submit(prediction, &why);
    }
    if (status != INFER_OK)
        *result = NULL;
    if (error)
        *error = why;
    return status;
}

/* An idle lane for a request that nobody is before, and that need not wait for others to share its run. */
static struct lane *idle_lane(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    if (predictor->closed || predictor->waiting > 0 || predictor->idle_lanes == 0 || flight_is_known(prediction) ||
        !stream_takes_turn(prediction) || (predictor->batches && predictor->delay > 0))
        return NULL;
    struct lane *lane = lane_take(predictor);
    flight_leads(prediction);
    prediction->state = PREDICTION_RUNNING;
    prediction->lane = lane;
    lane->batch[0] = prediction;
    lane->batch_count = 1;
    return lane;
}

static infer_status status_and_release(infer_prediction *prediction, infer_error *error)
{
    infer_status status = infer_prediction_status(prediction, error);
    infer_prediction_release(prediction);
    return status;
}

infer_status infer_predict(infer_predictor *predictor, const infer_tensor *inputs, size_t input_count,
                           infer_tensor *results, size_t result_count, const infer_request_options *options,
                           infer_error *error)
{
    if (!predictor)
        return fail_missing(error, "predictor");
    struct asked asked = {inputs, input_count, results, result_count, options ? options : &no_options, true};
    infer_error why = {.status = INFER_OK};
    infer_prediction *prediction = make_request(predictor, &asked, error ? error : &why);
    if (!prediction)
        return error ? error->status : why.status;
    if (flight_lands(prediction))
        return status_and_release(prediction, error);
    predictor_lock(predictor);
    struct lane *lane = idle_lane(prediction);
    predictor_unlock(predictor);
    if (lane) {
        run_here(prediction, lane);
    } else {
        infer_status status = submit(prediction, error);
        if (status != INFER_OK)
            return status;
        infer_prediction_wait(prediction, -1);
    }
    return status_and_release(prediction, error);
}

/* --- many --------------------------------------------------------------------------------------------------------- */

/* The items of a call that are under way, oldest first; a chain by their `next`, which nobody else uses meanwhile. */
struct flock {
    struct infer_predictor *predictor;
    const infer_request_options *options;
    infer_item *items;
    size_t item_count, next_item, under_way, most;
    infer_prediction *oldest, *newest;
    size_t failed;
    infer_item *first_failed;
};

static void item_ended(struct flock *flock, infer_item *item)
{
    if (item->error.status == INFER_OK)
        return;
    flock->failed++;
    if (!flock->first_failed || item < flock->first_failed)
        flock->first_failed = item;
}

/* The item of a prediction: `user` points to it, for no callback is called. */
static void chain(struct flock *flock, infer_prediction *prediction, infer_item *item)
{
    prediction->user = item;
    prediction->prompt = true;
    prediction->next = NULL;
    *(flock->newest ? &flock->newest->next : &flock->oldest) = prediction;
    flock->newest = prediction;
    flock->under_way++;
}

static void begin_items(struct flock *flock, size_t count)
{
    infer_prediction *first = NULL;
    for (; count > 0 && flock->next_item < flock->item_count; count--) {
        infer_item *item = &flock->items[flock->next_item++];
        struct asked asked = {item->inputs, item->input_count, item->results, item->result_count, flock->options, true};
        item->error = (infer_error){.status = INFER_OK};
        infer_prediction *prediction = make_request(flock->predictor, &asked, &item->error);
        if (!prediction) {
            item_ended(flock, item);
            continue;
        }
        chain(flock, prediction, item);
        if (!flight_lands(prediction))
            first = first ? first : prediction;
    }
    /* All at once, so that they find each other in the queue. */
    predictor_lock(flock->predictor);
    for (infer_prediction *prediction = first; prediction; prediction = prediction->next) {
        infer_status status = prediction->state == PREDICTION_ENDED
                                  ? INFER_OK /* the cache knew it */
                                  : enter(prediction, INFER_FULL_BLOCK, &prediction->error);
        if (status != INFER_OK)
            prediction_end(prediction, status);
    }
    predictor_unlock(flock->predictor);
}

static void end_oldest(struct flock *flock)
{
    infer_prediction *prediction = flock->oldest;
    infer_item *item = prediction->user;
    flock->oldest = prediction->next;
    if (!flock->oldest)
        flock->newest = NULL;
    flock->under_way--;
    infer_prediction_wait(prediction, -1);
    infer_prediction_status(prediction, &item->error);
    infer_prediction_release(prediction);
    item_ended(flock, item);
}

infer_status infer_predict_batch(infer_predictor *predictor, infer_item *items, size_t item_count,
                                 const infer_request_options *options, infer_error *error)
{
    if (!predictor || (!items && item_count))
        return fail_missing(error, predictor ? "items" : "predictor");
    size_t group = (size_t)predictor->batch_size;
    struct flock flock = {.predictor = predictor,
                          .options = options ? options : &no_options,
                          .items = items,
                          .item_count = item_count,
                          .most = 2 * group * predictor->lane_count + predictor->worker_count};
    while (flock.next_item < item_count || flock.oldest) {
        if (flock.next_item < item_count && flock.under_way + group <= flock.most)
            begin_items(&flock, group);
        else
            end_oldest(&flock);
    }
    if (!flock.failed) {
        if (error)
            *error = (infer_error){.status = INFER_OK};
        return INFER_OK;
    }
    const infer_error *first = &flock.first_failed->error;
    return fail(error, first->status, "%zu of %zu items failed; the first is item %zu: %.380s", flock.failed,
                item_count, (size_t)(flock.first_failed - items), first->message);
}
