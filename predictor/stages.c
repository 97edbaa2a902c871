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

static infer_status call_validate(infer_prediction *prediction)
{
    const infer_hooks *hooks = &prediction->predictor->hooks;
    if (!hooks->validate)
        return INFER_OK;
    int64_t began = clock_now();
    infer_status status = hooks->validate(hooks->user, prediction->given, prediction->given_count, &prediction->error);
    return hook_done(prediction, "validate", status, began);
}

static infer_status call_preprocess(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    const infer_hooks *hooks = &predictor->hooks;
    if (!hooks->preprocess)
        return INFER_OK;
    int64_t began = clock_now();
    infer_hook hook = {prediction};
    memset(prediction->inputs, 0, predictor->input_count * sizeof *prediction->inputs);
    infer_status status = hooks->preprocess(hooks->user, &hook, prediction->given, prediction->given_count,
                                            prediction->inputs, predictor->input_count, &prediction->error);
    status = hook_done(prediction, "preprocess", status, began);
    if (status == INFER_OK)
        status = inputs_check(predictor, prediction->inputs, predictor->input_count, &prediction->error);
    if (status == INFER_OK)
        batch_describe(prediction);
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
    int64_t began = clock_now();
    infer_hook hook = {prediction};
    memset(prediction->results, 0, predictor->result_count * sizeof *prediction->results);
    infer_status status = hooks->postprocess(hooks->user, &hook, prediction->outputs, predictor->output_count,
                                             prediction->results, predictor->result_count, &prediction->error);
    status = hook_done(prediction, "postprocess", status, began);
    return status == INFER_OK ? check_results(prediction) : status;
}

/* --- the stages, without the mutex -------------------------------------------------------------------------------- */

static void stage_begin(infer_prediction *prediction, int64_t now)
{
    if (!prediction->started)
        prediction->started = now;
    prediction->error = (infer_error){.status = INFER_OK};
}

static void prepare(infer_prediction *prediction)
{
    int64_t began = clock_now();
    stage_begin(prediction, began);
    prediction->status = call_validate(prediction);
    if (prediction->status == INFER_OK)
        prediction->status = call_preprocess(prediction);
    prediction->spent[STAGE_PREPARE] = clock_now() - began;
}

static void run_model(struct infer_predictor *predictor, struct lane *lane)
{
    int64_t began = clock_now();
    for (size_t i = 0; i < lane->batch_count; i++)
        stage_begin(lane->batch[i], began);
    batch_run(predictor, lane);
    int64_t took = clock_now() - began;
    for (size_t i = 0; i < lane->batch_count; i++)
        lane->batch[i]->spent[STAGE_MODEL] = took;
}

static void finish(infer_prediction *prediction)
{
    int64_t began = clock_now();
    prediction->status = call_postprocess(prediction);
    prediction->spent[STAGE_FINISH] = clock_now() - began;
}

/* --- from one stage to the next, with the mutex held -------------------------------------------------------------- */

static bool has_stage(const struct infer_predictor *predictor, enum stage stage)
{
    const infer_hooks *hooks = &predictor->hooks;
    return stage == STAGE_PREPARE  ? hooks->validate || hooks->preprocess
           : stage == STAGE_FINISH ? hooks->postprocess != NULL
                                   : true;
}

static void enter_stage(infer_prediction *prediction, enum stage stage)
{
    struct infer_predictor *predictor = prediction->predictor;
    prediction->stage = stage;
    prediction->state = PREDICTION_WAITING;
    prediction->queued = clock_now();
    queue_push(&predictor->queues[stage], &prediction->link, prediction->priority);
    /* A deadline is for the worker that waits longest for something to do; it may not be the one that a signal wakes.
     */
    if (prediction->deadline != NEVER)
        pthread_cond_broadcast(&predictor->work);
    else
        pthread_cond_signal(&predictor->work);
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
    if (prediction->status != INFER_OK) {
        prediction_end(prediction, prediction->status);
        return;
    }
    while (next < STAGES && !has_stage(predictor, next))
        next++;
    if (next < STAGES) {
        if (!prediction_ends_early(prediction, clock_now()))
            enter_stage(prediction, next);
        return;
    }
    prediction->status = results_deliver(prediction);
    prediction_end(prediction, prediction->status);
}

static void take_from_queue(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    queue_remove(&prediction->link);
    prediction->state = PREDICTION_RUNNING;
    if (!prediction->started) {
        predictor->waiting--;
        pthread_cond_signal(&predictor->room);
    }
    /* There may be something to do for another worker now, since this has made room. */
    for (int stage = 0; stage < STAGES; stage++)
        if (predictor->queues[stage].length > 0)
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

static bool work_finish(struct infer_predictor *predictor)
{
    struct queue_link *link = queue_first(&predictor->queues[STAGE_FINISH]);
    if (!link)
        return false;
    infer_prediction *prediction = prediction_of(link);
    take_from_queue(prediction);
    predictor_unlock(predictor);
    finish(prediction);
    predictor_lock(predictor);
    leave_stage(prediction);
    return true;
}

static bool work_model(struct infer_predictor *predictor, int64_t now, int64_t *until)
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
        take_from_queue(lane->batch[i]);
        lane->batch[i]->lane = lane;
    }
    predictor_unlock(predictor);
    run_model(predictor, lane);
    predictor_lock(predictor);
    for (size_t i = 0; i < lane->batch_count; i++)
        leave_stage(lane->batch[i]);
    lane_give(predictor, lane);
    return true;
}

static bool work_prepare(struct infer_predictor *predictor)
{
    struct queue_link *link = queue_first(&predictor->queues[STAGE_PREPARE]);
    if (!link || predictor->queues[STAGE_MODEL].length + predictor->preparing >= predictor->model_bound)
        return false;
    infer_prediction *prediction = prediction_of(link);
    take_from_queue(prediction);
    predictor->preparing++;
    predictor_unlock(predictor);
    prepare(prediction);
    predictor_lock(predictor);
    predictor->preparing--;
    leave_stage(prediction);
    return true;
}

/* Ends what has waited past its deadline; *until becomes the next deadline, where that is sooner. */
static void end_late(struct infer_predictor *predictor, int64_t now, int64_t *until)
{
    if (predictor->timed == 0)
        return;
    for (int stage = 0; stage < STAGES; stage++)
        for (struct queue_link *link = queue_first(&predictor->queues[stage]), *next; link; link = next) {
            infer_prediction *prediction = prediction_of(link);
            next = queue_next(link);
            if (prediction->deadline <= now) {
                take_from_queue(prediction);
                prediction_ends_early(prediction, now);
            } else if (prediction->deadline < *until) {
                *until = prediction->deadline;
            }
        }
}

void *worker_main(void *user)
{
    struct infer_predictor *predictor = user;
    float_environment_enter(); /* a new thread has that of its maker */
    predictor_lock(predictor);
    while (!predictor->stopping) {
        int64_t now = clock_now(), until = NEVER;
        end_late(predictor, now, &until);
        if (work_finish(predictor) || work_model(predictor, now, &until) || work_prepare(predictor) || predictor->due) {
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
        prepare(prediction);
    if (prediction->status != INFER_OK)
        return;
    run_model(predictor, lane);
    if (prediction->status == INFER_OK && has_stage(predictor, STAGE_FINISH))
        finish(prediction);
    if (prediction->status == INFER_OK)
        prediction->status = results_deliver(prediction);
}

void run_here(infer_prediction *prediction, struct lane *lane)
{
    struct infer_predictor *predictor = prediction->predictor;
    struct float_environment outside = float_environment_enter();
    prediction->status = INFER_OK;
    run_stages(prediction, lane);
    float_environment_leave(outside);
    predictor_lock(predictor);
    lane_give(predictor, lane);
    prediction_end(prediction, prediction->status);
    predictor_unlock(predictor);
}
