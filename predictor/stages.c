/* The stages, and the workers that take them on: the one nearest to the end first, so that what has begun comes out. */
#include "predictor/predictor.h"

#include "runtime/float_environment.h"

#include <string.h>

struct infer_hook {
    infer_prediction *prediction;
};

void *infer_hook_memory(infer_hook *hook, size_t bytes)
{
    if (!hook)
        return NULL;
    return scratch_take(&hook->prediction->scratch, &hook->prediction->predictor->budget.allocator, bytes);
}

/* --- hooks -------------------------------------------------------------------------------------------------------- */

static infer_status hook_done(infer_prediction *prediction, const char *name, infer_status status, int64_t began)
{
    atomic_store_explicit(&prediction->predictor->meters.hook_began[prediction->row], 0, memory_order_relaxed);
    double limit = prediction->predictor->hooks.seconds, took = (double)(clock_now() - began) * 1e-9;
    infer_error *error = &prediction->error;
    if (status != INFER_OK) {
        char text[sizeof error->message];
        error->message[sizeof error->message - 1] = '\0';
        memcpy(text, error->message, sizeof text);
        return fail(error, status, "%s: %.400s", name, text[0] ? text : infer_status_name(status));
    }
    if (limit > 0 && took > limit)
        return fail(error, INFER_DEADLINE, "%s took %.3g s, and may take %.3g s", name, took, limit);
    return INFER_OK;
}

/* A hook that does not come back is seen by others. */
static int64_t hook_begins(const infer_prediction *prediction)
{
    int64_t now = clock_now();
    atomic_store_explicit(&prediction->predictor->meters.hook_began[prediction->row], now, memory_order_relaxed);
    return now;
}

static infer_status call_validate(infer_prediction *prediction)
{
    const infer_hooks *hooks = &prediction->predictor->hooks;
    if (!hooks->validate)
        return INFER_OK;
    int64_t began = hook_begins(prediction);
    infer_status status = hooks->validate(hooks->user, prediction->given, prediction->given_count, &prediction->error);
    return hook_done(prediction, "validate", status, began);
}

static infer_status call_preprocess(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    const infer_hooks *hooks = &predictor->hooks;
    if (!hooks->preprocess)
        return INFER_OK;
    int64_t began = hook_begins(prediction);
    infer_hook hook = {prediction};
    memset(prediction->inputs, 0, predictor->input_count * sizeof *prediction->inputs);
    infer_status status = hooks->preprocess(hooks->user, &hook, prediction->given, prediction->given_count,
                                            prediction->inputs, predictor->input_count, &prediction->error);
    status = hook_done(prediction, "preprocess", status, began);
    if (status == INFER_OK)
        status = inputs_check(predictor, prediction->inputs, predictor->input_count, prediction->stream != NULL,
                              &prediction->error);
    if (status == INFER_OK) {
        stream_fill(prediction);
        batch_describe(prediction);
    }
    return status;
}

/* A result of a hook's is a tensor, or left out. */
static infer_status check_results(infer_prediction *prediction)
{
    for (size_t i = 0; i < prediction->predictor->result_count; i++) {
        infer_tensor *result = &prediction->results[i];
        if (result->dtype == INFER_NONE)
            continue;
        size_t bytes = result->rank < 0 || result->rank > INFER_MAX_RANK
                           ? SIZE_MAX
                           : infer_tensor_bytes(result->dtype, result->rank, result->dims);
        if (bytes == SIZE_MAX || (!result->data && bytes) || result->bytes < bytes)
            return fail(&prediction->error, INFER_INVALID_ARGUMENT, "postprocess: result %zu is no tensor", i);
        result->bytes = bytes;
    }
    return INFER_OK;
}

static infer_status call_postprocess(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    const infer_hooks *hooks = &predictor->hooks;
    if (!hooks->postprocess)
        return INFER_OK;
    int64_t began = hook_begins(prediction);
    infer_hook hook = {prediction};
    memset(prediction->results, 0, predictor->result_count * sizeof *prediction->results);
    infer_status status = hooks->postprocess(hooks->user, &hook, prediction->outputs, predictor->output_count,
                                             prediction->results, predictor->result_count, &prediction->error);
    status = hook_done(prediction, "postprocess", status, began);
    return status == INFER_OK ? check_results(prediction) : status;
}

/* --- the stages, without the mutex -------------------------------------------------------------------------------- */

static bool has_stage(const struct infer_predictor *predictor, enum stage stage)
{
    const infer_hooks *hooks = &predictor->hooks;
    return stage == STAGE_PREPARE  ? hooks->validate || hooks->preprocess
           : stage == STAGE_FINISH ? hooks->postprocess != NULL
                                   : true;
}

static void stage_begins(infer_prediction *prediction, enum stage stage, size_t row)
{
    prediction->began[stage] = clock_now();
    prediction->row = row;
    if (!prediction->started)
        prediction->started = prediction->began[stage];
    prediction->error = (infer_error){.status = INFER_OK};
}

static void stage_ends(infer_prediction *prediction, enum stage stage)
{
    bool last = stage + 1 == STAGES || (stage == STAGE_MODEL && !has_stage(prediction->predictor, STAGE_FINISH));
    if (last || prediction->status != INFER_OK)
        flight_keep(prediction);
    if (last && prediction->status == INFER_OK)
        prediction->status = results_deliver(prediction);
    prediction->spent[stage] = clock_now() - prediction->began[stage];
}

static void prepare(infer_prediction *prediction, size_t row)
{
    stage_begins(prediction, STAGE_PREPARE, row);
    prediction->status = call_validate(prediction);
    if (prediction->status == INFER_OK)
        prediction->status = call_preprocess(prediction);
    stage_ends(prediction, STAGE_PREPARE);
}

static void run_model(struct infer_predictor *predictor, struct lane *lane, size_t row)
{
    for (size_t i = 0; i < lane->batch_count; i++)
        stage_begins(lane->batch[i], STAGE_MODEL, row);
    batch_run(predictor, lane);
    for (size_t i = 0; i < lane->batch_count; i++)
        stage_ends(lane->batch[i], STAGE_MODEL);
}

static void finish(infer_prediction *prediction, size_t row)
{
    stage_begins(prediction, STAGE_FINISH, row);
    prediction->status = call_postprocess(prediction);
    stage_ends(prediction, STAGE_FINISH);
}

/* --- from one stage to the next, with the mutex held -------------------------------------------------------------- */

static void note_run(struct infer_predictor *predictor, const struct lane *lane)
{
    const infer_prediction *first = lane->batch[0];
    meter_run(predictor, lane->batch_count, first->spent[STAGE_MODEL]);
    meter_event(predictor, first, STAGE_MODEL, lane->batch_count);
}

void queue_enter(infer_prediction *prediction, int queue)
{
    struct infer_predictor *predictor = prediction->predictor;
    prediction->state = PREDICTION_WAITING;
    prediction->queued = clock_now();
    queue_push(&predictor->queues[queue], &prediction->link, prediction->priority);
    if (prediction->deadline.time != NEVER)
        deadline_add(&predictor->deadlines, &prediction->deadline);
    /* A deadline is for the worker that waits longest for something to do; it may not be the one that a signal wakes.
     */
    if (prediction->deadline.time != NEVER)
        pthread_cond_broadcast(&predictor->work);
    else
        pthread_cond_signal(&predictor->work);
}

static void enter_stage(infer_prediction *prediction, enum stage stage)
{
    prediction->stage = stage;
    queue_enter(prediction, (int)stage);
}

void pipeline_enter(infer_prediction *prediction)
{
    enter_stage(prediction, has_stage(prediction->predictor, STAGE_PREPARE) ? STAGE_PREPARE : STAGE_MODEL);
}

static void leave_stage(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    enum stage next = prediction->stage + 1;
    prediction->lane = NULL;
    while (next < STAGES && !has_stage(predictor, next))
        next++;
    if (next == STAGES || prediction->status != INFER_OK)
        prediction_end(prediction, prediction->status);
    else if (!prediction_ends_early(prediction, clock_now()))
        enter_stage(prediction, next);
}

void queue_exit(infer_prediction *prediction)
{
    if (prediction->link.queue && prediction->deadline.time != NEVER)
        deadline_remove(&prediction->predictor->deadlines, &prediction->deadline);
    queue_remove(&prediction->link);
}

void leave_queue(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    queue_exit(prediction);
    prediction->leader = NULL;
    prediction->state = PREDICTION_RUNNING;
    if (!prediction->started) {
        predictor->waiting--;
        pthread_cond_signal(&predictor->room);
    }
    /* There may be something to do for another worker now, since this has made room. */
    for (int queue = 0; queue < QUEUES; queue++)
        if (queue != QUEUE_FOLLOWERS && queue != QUEUE_STREAMS && predictor->queues[queue].length > 0)
            pthread_cond_signal(&predictor->work);
}

struct lane *lane_take(struct infer_predictor *predictor)
{
    for (size_t i = 0; i < predictor->lane_count && predictor->idle_lanes > 0; i++)
        if (!predictor->lanes[i].busy) {
            predictor->lanes[i].busy = true;
            predictor->idle_lanes--;
            return &predictor->lanes[i];
        }
    return NULL;
}

void lane_give(struct infer_predictor *predictor, struct lane *lane)
{
    lane->busy = false;
    lane->batch_count = 0;
    predictor->idle_lanes++;
    if (predictor->queues[STAGE_MODEL].length > 0)
        pthread_cond_signal(&predictor->work);
}

/* --- what a worker does, with the mutex held but for the stage itself --------------------------------------------- */

static infer_prediction *take_first(struct infer_predictor *predictor, int queue)
{
    struct queue_link *link = queue_first(&predictor->queues[queue]);
    if (!link)
        return NULL;
    leave_queue(prediction_of(link));
    return prediction_of(link);
}

static bool work_copy(struct infer_predictor *predictor)
{
    infer_prediction *prediction = take_first(predictor, QUEUE_COPIES);
    if (!prediction)
        return false;
    predictor_unlock(predictor);
    bool same = flight_copy(prediction);
    predictor_lock(predictor);
    if (same) {
        prediction_end(prediction, prediction->status);
    } else {
        prediction->keyed = false; /* it goes its way as if there were no cache */
        prediction->started = clock_now();
        flight_forget(prediction);
        if (!prediction_ends_early(prediction, prediction->started))
            pipeline_enter(prediction);
    }
    return true;
}

static bool work_finish(struct infer_predictor *predictor, size_t row)
{
    infer_prediction *prediction = take_first(predictor, STAGE_FINISH);
    if (!prediction)
        return false;
    predictor_unlock(predictor);
    finish(prediction, row);
    predictor_lock(predictor);
    meter_event(predictor, prediction, STAGE_FINISH, 1);
    leave_stage(prediction);
    return true;
}

static bool work_model(struct infer_predictor *predictor, size_t row, int64_t now, int64_t *until)
{
    /* What postprocess has not caught up with holds the model back. */
    if (predictor->queues[STAGE_MODEL].length == 0 || predictor->queues[STAGE_FINISH].length >= predictor->model_bound)
        return false;
    struct lane *lane = lane_take(predictor);
    if (!lane)
        return false;
    if (batch_take(predictor, lane, now, until) == 0) {
        lane->busy = false;
        predictor->idle_lanes++;
        return false;
    }
    for (size_t i = 0; i < lane->batch_count; i++) {
        leave_queue(lane->batch[i]);
        lane->batch[i]->lane = lane;
    }
    predictor_unlock(predictor);
    run_model(predictor, lane, row);
    predictor_lock(predictor);
    note_run(predictor, lane);
    for (size_t i = 0; i < lane->batch_count; i++)
        leave_stage(lane->batch[i]);
    lane_give(predictor, lane);
    return true;
}

static bool work_prepare(struct infer_predictor *predictor, size_t row)
{
    if (predictor->queues[STAGE_MODEL].length + predictor->preparing >= predictor->model_bound)
        return false;
    infer_prediction *prediction = take_first(predictor, STAGE_PREPARE);
    if (!prediction)
        return false;
    predictor->preparing++;
    predictor_unlock(predictor);
    prepare(prediction, row);
    predictor_lock(predictor);
    predictor->preparing--;
    meter_event(predictor, prediction, STAGE_PREPARE, 1);
    leave_stage(prediction);
    return true;
}

static bool work(struct infer_predictor *predictor, size_t row, int64_t now, int64_t *until)
{
    return work_copy(predictor) || work_finish(predictor, row) || work_model(predictor, row, now, until) ||
           work_prepare(predictor, row);
}

/* Ends what has waited past its deadline; *until becomes the next deadline, where that is sooner. */
static void end_late(struct infer_predictor *predictor, int64_t now, int64_t *until)
{
    while (predictor->deadlines && predictor->deadlines->time <= now) {
        infer_prediction *prediction = prediction_of_deadline(predictor->deadlines);
        leave_queue(prediction);
        prediction_ends_early(prediction, now);
    }
    if (predictor->deadlines && predictor->deadlines->time < *until)
        *until = predictor->deadlines->time;
}

void *worker_main(void *user)
{
    const struct worker *worker = user;
    struct infer_predictor *predictor = worker->predictor;
    float_environment_enter(); /* a new thread has that of its maker */
    predictor_lock(predictor);
    while (!predictor->stopping) {
        int64_t now = clock_now(), until = NEVER;
        end_late(predictor, now, &until);
        if (work(predictor, worker->row, now, &until) || predictor->due) {
            predictor_unlock(predictor); /* callbacks */
            predictor_lock(predictor);
            continue;
        }
        predictor_wait(predictor, &predictor->work, until);
    }
    predictor_unlock(predictor);
    return NULL;
}

/* --- on the caller's thread --------------------------------------------------------------------------------------- */

static void run_stages(infer_prediction *prediction, struct lane *lane)
{
    struct infer_predictor *predictor = prediction->predictor;
    if (has_stage(predictor, STAGE_PREPARE))
        prepare(prediction, lane->row);
    if (prediction->status == INFER_OK)
        run_model(predictor, lane, lane->row);
    if (prediction->status == INFER_OK && has_stage(predictor, STAGE_FINISH))
        finish(prediction, lane->row);
}

static void note_stages(struct infer_predictor *predictor, const infer_prediction *prediction)
{
    for (int stage = 0; stage < STAGES; stage++) {
        if (prediction->spent[stage] < 0)
            continue;
        if (stage == STAGE_MODEL)
            meter_run(predictor, 1, prediction->spent[stage]);
        meter_event(predictor, prediction, stage, 1);
    }
}

void run_here(infer_prediction *prediction, struct lane *lane)
{
    struct infer_predictor *predictor = prediction->predictor;
    struct float_environment outside = float_environment_enter();
    prediction->status = INFER_OK;
    run_stages(prediction, lane);
    float_environment_leave(outside);
    predictor_lock(predictor);
    note_stages(predictor, prediction);
    lane_give(predictor, lane);
    prediction_end(prediction, prediction->status);
    predictor_unlock(predictor);
}
