#include "predictor/predictor.h"

#include <string.h>
#include <unistd.h>

pthread_cond_t make_condition(void)
{
    pthread_condattr_t attributes;
    pthread_cond_t condition;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return condition;
}

/* --- the mutex, and what waits for it to be free ------------------------------------------------------------------ */

void predictor_lock(struct infer_predictor *predictor)
{
    pthread_mutex_lock(&predictor->mutex);
}

/* A request is under way until its callback has returned, so that who waits for quiet waits for callbacks too. */
static void leave_pipeline(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    if (--predictor->live == 0)
        pthread_cond_broadcast(&predictor->quiet);
    prediction_drop(prediction);
}

void predictor_unlock(struct infer_predictor *predictor)
{
    for (infer_prediction *due; (due = predictor->due) != NULL;) {
        predictor->due = due->next;
        pthread_mutex_unlock(&predictor->mutex);
        due->callback(due->user, due);
        pthread_mutex_lock(&predictor->mutex);
        leave_pipeline(due);
    }
    bool last = predictor->references == 0;
    pthread_mutex_unlock(&predictor->mutex);
    if (last)
        predictor_free(predictor);
}

bool predictor_wait(struct infer_predictor *predictor, pthread_cond_t *condition, int64_t until)
{
    if (until == NEVER)
        return pthread_cond_wait(condition, &predictor->mutex) == 0;
    struct timespec time = clock_timespec(until);
    return pthread_cond_timedwait(condition, &predictor->mutex, &time) == 0;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static size_t own_count(const struct infer_predictor *predictor)
{
    return predictor->output_count > predictor->result_count ? predictor->output_count : predictor->result_count;
}

static size_t prediction_bytes(const struct infer_predictor *predictor)
{
    size_t tensors =
        predictor->given_count + predictor->input_count + predictor->output_count + predictor->result_count;
    return sizeof(infer_prediction) + tensors * sizeof(infer_tensor) + own_count(predictor) * sizeof(struct buffer);
}

static infer_prediction *make_prediction(struct infer_predictor *predictor)
{
    size_t bytes = prediction_bytes(predictor);
    infer_prediction *prediction = allocate(&predictor->budget.allocator, bytes, ALIGNMENT);
    if (!prediction)
        return NULL;
    memset(prediction, 0, bytes);
    prediction->predictor = predictor;
    prediction->has_ended = make_condition();
    prediction->given = (infer_tensor *)(prediction + 1);
    prediction->inputs = prediction->given + predictor->given_count;
    prediction->outputs = prediction->inputs + predictor->input_count;
    prediction->results = prediction->outputs + predictor->output_count;
    prediction->own = (struct buffer *)(prediction->results + predictor->result_count);
    return prediction;
}

void prediction_free(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    for (size_t i = 0; i < own_count(predictor); i++)
        buffer_free(&prediction->own[i], &predictor->budget.allocator);
    scratch_free(&prediction->scratch, &predictor->budget.allocator);
    if (!predictor->foreign)
        pthread_cond_destroy(&prediction->has_ended);
    release(&predictor->budget.allocator, prediction, prediction_bytes(predictor));
}

infer_prediction *prediction_acquire(struct infer_predictor *predictor)
{
    predictor_lock(predictor);
    infer_prediction *prediction = predictor->pool;
    if (prediction)
        predictor->pool = prediction->next;
    bool keyed = cache_is_asked(&predictor->cache);
    predictor->references++;
    predictor->live++;
    predictor_unlock(predictor);
    if (!prediction)
        prediction = make_prediction(predictor);
    if (!prediction) {
        predictor_lock(predictor);
        predictor->references--;
        if (--predictor->live == 0)
            pthread_cond_broadcast(&predictor->quiet);
        predictor_unlock(predictor);
        return NULL;
    }
    prediction->references = 2;
    prediction->keyed = keyed;
    prediction->stream = NULL;
    prediction->has_turn = false;
    return prediction;
}

void prediction_drop(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    if (--prediction->references > 0)
        return;
    scratch_reset(&prediction->scratch, &predictor->budget.allocator);
    prediction->state = PREDICTION_IDLE;
    prediction->next = predictor->pool;
    predictor->pool = prediction;
    predictor->references--;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

void prediction_end(infer_prediction *prediction, infer_status status)
{
    struct infer_predictor *predictor = prediction->predictor;
    prediction->state = PREDICTION_ENDED;
    prediction->status = status;
    flight_ends(prediction);
    stream_leave(prediction);
    meter_end(prediction);
    if (status == INFER_OK)
        prediction->error = (infer_error){.status = INFER_OK};
    else
        fail_prediction(&prediction->error, status);
    pthread_cond_broadcast(&prediction->has_ended);
    if (prediction->callback) {
        prediction->next = predictor->due;
        predictor->due = prediction;
    } else {
        leave_pipeline(prediction);
    }
}

bool prediction_ends_early(infer_prediction *prediction, int64_t now)
{
    bool cancelled = prediction->cancelled || prediction->predictor->cancelling;
    if (!cancelled && now < prediction->deadline.time)
        return false;
    infer_status status = cancelled ? INFER_CANCELLED : INFER_DEADLINE;
    if (status == INFER_CANCELLED)
        fail(&prediction->error, status, "the request was cancelled");
    else
        fail(&prediction->error, status, "the request has taken %.3g s, and was to end after %.3g s",
             (double)(now - prediction->submitted) * 1e-9,
             (double)(prediction->deadline.time - prediction->submitted) * 1e-9);
    prediction_end(prediction, status);
    return true;
}

static void end_in_queue(infer_prediction *prediction, int64_t now)
{
    leave_queue(prediction);
    prediction_ends_early(prediction, now);
}

/* --- what its owner asks ------------------------------------------------------------------------------------------ */

/* A waiting request whose time is up ends here, though every worker may be busy. */
static bool wait_locked(infer_prediction *prediction, int64_t until)
{
    while (prediction->state != PREDICTION_ENDED) {
        int64_t now = clock_now();
        if (prediction->state == PREDICTION_WAITING && now >= prediction->deadline.time) {
            end_in_queue(prediction, now);
            break;
        }
        if (now >= until)
            return false;
        bool waits = prediction->state == PREDICTION_WAITING && prediction->deadline.time < until;
        predictor_wait(prediction->predictor, &prediction->has_ended, waits ? prediction->deadline.time : until);
    }
    return true;
}

bool infer_prediction_wait(infer_prediction *prediction, double seconds)
{
    if (!prediction)
        return false;
    int64_t until = seconds < 0 ? NEVER : seconds == 0 ? 0 : clock_after(clock_now(), seconds);
    predictor_lock(prediction->predictor);
    bool ended = wait_locked(prediction, until);
    predictor_unlock(prediction->predictor);
    return ended;
}

infer_status infer_prediction_status(infer_prediction *prediction, infer_error *error)
{
    if (!prediction)
        return fail_missing(error, "prediction");
    predictor_lock(prediction->predictor);
    bool ended = prediction->state == PREDICTION_ENDED;
    predictor_unlock(prediction->predictor);
    if (!ended)
        return fail(error, INFER_BUSY, "the request is under way");
    if (error)
        *error = prediction->error;
    return prediction->status;
}

const infer_tensor *infer_prediction_result(infer_prediction *prediction, size_t index)
{
    if (infer_prediction_status(prediction, NULL) != INFER_OK || index >= prediction->predictor->result_count)
        return NULL;
    return prediction->results[index].dtype == INFER_NONE ? NULL : &prediction->results[index];
}

/* The run ends once all that share it are to. */
static void cancel_run(struct lane *lane)
{
    for (size_t i = 0; i < lane->member_count; i++)
        if (!lane->members[i]->cancelled)
            return;
    if (lane->member_count == 0 || lane->cancel_sent)
        return;
    lane->cancel_sent = true;
    infer_context_cancel(lane->context);
}

void prediction_cancel(infer_prediction *prediction)
{
    prediction->cancelled = true;
    if (prediction->state == PREDICTION_WAITING)
        end_in_queue(prediction, 0);
    else if (prediction->state == PREDICTION_RUNNING && prediction->lane)
        cancel_run(prediction->lane);
}

void infer_prediction_cancel(infer_prediction *prediction)
{
    if (!prediction)
        return;
    predictor_lock(prediction->predictor);
    prediction_cancel(prediction);
    predictor_unlock(prediction->predictor);
}

void infer_prediction_release(infer_prediction *prediction)
{
    if (!prediction)
        return;
    struct infer_predictor *predictor = prediction->predictor;
    predictor_lock(predictor);
    if (prediction->state != PREDICTION_ENDED) {
        prediction_cancel(prediction);
        wait_locked(prediction, NEVER);
    }
    prediction_drop(prediction);
    predictor_unlock(predictor);
}
