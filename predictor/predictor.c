/* Predictors: made, drained, released. */
#include "predictor/predictor.h"

#include <string.h>
#include <unistd.h>

#define DEFAULT_QUEUE 256
#define DEFAULT_STREAMS 1024
#define MOST_QUEUE (1 << 20)
#define MOST_THREADS 1024
#define MOST_BATCH 65536

static infer_status check_number(const char *what, int64_t number, int64_t least, int64_t most, infer_error *error)
{
    if (number == 0 || (number >= least && number <= most))
        return INFER_OK;
    return fail(error, INFER_INVALID_ARGUMENT, "%s is %lld; it can be %lld to %lld, or 0 for the default", what,
                (long long)number, (long long)least, (long long)most);
}

static infer_status check_numbers(const infer_predictor_options *options, infer_error *error)
{
    infer_status status = check_number("contexts", options->contexts, 1, MOST_THREADS, error);
    if (status == INFER_OK)
        status = check_number("workers", options->workers, 1, MOST_THREADS, error);
    if (status == INFER_OK)
        status = check_number("batch_size", options->batch_size, 1, MOST_BATCH, error);
    if (status == INFER_OK)
        status = check_number("queue_length", options->queue_length, 1, MOST_QUEUE, error);
    if (status == INFER_OK && !(options->max_delay >= 0))
        status = fail(error, INFER_INVALID_ARGUMENT, "max_delay cannot be %g s", options->max_delay);
    if (status == INFER_OK && !(options->hooks.seconds >= 0))
        status = fail(error, INFER_INVALID_ARGUMENT, "the time of a hook cannot be %g s", options->hooks.seconds);
    if (status == INFER_OK && (unsigned)options->when_full > INFER_FULL_DROP)
        status = fail(error, INFER_INVALID_ARGUMENT, "when_full is %d; it is none of infer_when_full",
                      (int)options->when_full);
    return status;
}

static infer_status check_options(const infer_predictor_options *options, infer_error *error)
{
    const infer_allocator *allocator = options->allocator;
    if (allocator && (!allocator->allocate || !allocator->release))
        return fail(error, INFER_INVALID_ARGUMENT, "the allocator has no function to %s memory",
                    allocator->allocate ? "release" : "allocate");
    if (!options->path == !options->model)
        return fail(error, INFER_INVALID_ARGUMENT, "a predictor is made of a path or of a model, one of them");
    if (options->session && !options->model)
        return fail(error, INFER_INVALID_ARGUMENT, "a session goes with its model");
    if (options->device != INFER_DEVICE_CPU && options->device != INFER_DEVICE_CUDA)
        return fail(error, INFER_INVALID_ARGUMENT, "device is %d; it is none of infer_device", (int)options->device);
    if (options->precision == INFER_PRECISION_FP16 || options->precision == INFER_PRECISION_INT8)
        return fail(error, INFER_UNSUPPORTED, "this build runs models in the precision they were written in");
    if ((unsigned)options->precision > INFER_PRECISION_INT8)
        return fail(error, INFER_INVALID_ARGUMENT, "precision is %d; it is none of infer_precision",
                    (int)options->precision);
    return check_numbers(options, error);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

void *predictor_take(struct infer_predictor *predictor, size_t count, size_t bytes, infer_error *error)
{
    size_t all;
    void *memory =
        multiply_size(count ? count : 1, bytes, &all) ? allocate(&predictor->budget.allocator, all, ALIGNMENT) : NULL;
    if (memory)
        memset(memory, 0, all);
    else
        fail(error, INFER_OUT_OF_MEMORY, "out of memory while making a predictor");
    return memory;
}

void predictor_give(struct infer_predictor *predictor, void *memory, size_t count, size_t bytes)
{
    if (memory)
        release(&predictor->budget.allocator, memory, (count ? count : 1) * bytes);
}

static infer_status open_session(struct infer_predictor *predictor, const infer_predictor_options *options,
                                 infer_error *error)
{
    infer_status status = INFER_OK;
    if (options->path)
        status = infer_model_open(options->path, &options->model_options, &predictor->model, error);
    else
        predictor->model = infer_model_retain(options->model);
    if (status != INFER_OK)
        return status;
    infer_session_options chosen = options->session_options;
    if (options->device != INFER_DEVICE_CPU)
        chosen.device = options->device;
    if (options->session)
        predictor->session = infer_session_retain(options->session);
    else
        status = infer_session_create(predictor->model, &chosen, &predictor->session, error);
    return status;
}

static infer_status describe_model(struct infer_predictor *predictor, infer_error *error)
{
    infer_model *model = predictor->model;
    predictor->input_count = infer_model_input_count(model);
    predictor->output_count = infer_model_output_count(model);
    infer_hooks *hooks = &predictor->hooks;
    bool given = hooks->preprocess && hooks->given_count, made = hooks->postprocess && hooks->result_count;
    predictor->given_count = given ? hooks->given_count : predictor->input_count;
    predictor->result_count = made ? hooks->result_count : predictor->output_count;
    if (predictor->given_count > 65536 || predictor->result_count > 65536)
        return fail(error, INFER_INVALID_ARGUMENT, "a request can have up to 65,536 tensors");
    predictor->input_values = predictor_take(predictor, predictor->input_count, sizeof *predictor->input_values, error);
    if (!predictor->input_values)
        return INFER_OUT_OF_MEMORY;
    for (size_t i = 0; i < predictor->input_count; i++)
        infer_model_input(model, i, &predictor->input_values[i]);
    return INFER_OK;
}

static infer_status take_checks(struct infer_predictor *predictor, const infer_predictor_options *options,
                                infer_error *error)
{
    if (options->check_count && !options->checks)
        return fail_missing(error, "checks");
    for (size_t i = 0; i < options->check_count; i++) {
        const infer_input_check *check = &options->checks[i];
        if (check->input >= predictor->input_count)
            return fail(error, INFER_INVALID_ARGUMENT, "check %zu is of input %zu; the model has %zu", i, check->input,
                        predictor->input_count);
        if (check->has_range && !(check->least <= check->most))
            return fail(error, INFER_INVALID_ARGUMENT, "check %zu has a range from %g to %g", i, check->least,
                        check->most);
    }
    predictor->checks = predictor_take(predictor, options->check_count, sizeof *predictor->checks, error);
    if (!predictor->checks)
        return INFER_OUT_OF_MEMORY;
    predictor->check_count = options->check_count;
    if (options->check_count)
        memcpy(predictor->checks, options->checks, options->check_count * sizeof *options->checks);
    return INFER_OK;
}

static infer_status take_states(struct infer_predictor *predictor, const infer_predictor_options *options,
                                infer_error *error)
{
    if (options->state_count && !options->states)
        return fail_missing(error, "states");
    predictor->states = predictor_take(predictor, options->state_count, sizeof *predictor->states, error);
    if (!predictor->states)
        return INFER_OUT_OF_MEMORY;
    predictor->state_count = options->state_count;
    if (options->state_count)
        memcpy(predictor->states, options->states, options->state_count * sizeof *options->states);
    predictor->streams.most = options->most_streams ? options->most_streams : DEFAULT_STREAMS;
    return streams_check(predictor, error);
}

static infer_status make_lane(struct infer_predictor *predictor, struct lane *lane, infer_error *error)
{
    lane->batch = predictor_take(predictor, (size_t)predictor->batch_size, sizeof(infer_prediction *), error);
    lane->inputs = predictor_take(predictor, predictor->input_count, sizeof *lane->inputs, error);
    lane->outputs = predictor_take(predictor, predictor->output_count, sizeof *lane->outputs, error);
    lane->gathered = predictor_take(predictor, predictor->input_count, sizeof *lane->gathered, error);
    lane->shapes = predictor_take(predictor, predictor->input_count, sizeof *lane->shapes, error);
    lane->expected = predictor_take(predictor, predictor->output_count, sizeof *lane->expected, error);
    if (!lane->batch || !lane->inputs || !lane->outputs || !lane->gathered || !lane->shapes || !lane->expected)
        return INFER_OUT_OF_MEMORY;
    lane->row = predictor->worker_room + (size_t)(lane - predictor->lanes);
    return infer_context_create(predictor->session, &lane->context, error);
}

static infer_status make_lanes(struct infer_predictor *predictor, size_t count, infer_error *error)
{
    predictor->lanes = predictor_take(predictor, count, sizeof *predictor->lanes, error);
    if (!predictor->lanes)
        return INFER_OUT_OF_MEMORY;
    predictor->lane_room = count;
    for (predictor->lane_count = 0; predictor->lane_count < count;) {
        infer_status status = make_lane(predictor, &predictor->lanes[predictor->lane_count++], error);
        if (status != INFER_OK)
            return status;
    }
    predictor->idle_lanes = count;
    return INFER_OK;
}

static infer_status start_workers(struct infer_predictor *predictor, infer_error *error)
{
    predictor->workers = predictor_take(predictor, predictor->worker_room, sizeof *predictor->workers, error);
    if (!predictor->workers)
        return INFER_OUT_OF_MEMORY;
    while (predictor->worker_count < predictor->worker_room) {
        struct worker *worker = &predictor->workers[predictor->worker_count];
        worker->predictor = predictor;
        worker->row = predictor->worker_count;
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            break;
        predictor->worker_count++;
    }
    if (predictor->worker_count == 0)
        return fail(error, INFER_OUT_OF_MEMORY, "the system starts no thread");
    return INFER_OK;
}

static infer_status make_cache(struct infer_predictor *predictor, const infer_predictor_options *options,
                               infer_error *error)
{
    if (cache_init(&predictor->cache, &predictor->budget.allocator, options->cache_bytes, options->cache_count) !=
        STATUS_OK)
        return fail(error, INFER_OUT_OF_MEMORY, "out of memory for the cache");
    return INFER_OK;
}

static infer_status make_meters(struct infer_predictor *predictor, const infer_predictor_options *options,
                                infer_error *error)
{
    struct meters *meters = &predictor->meters;
    if (options->gpu_metrics)
        predictor->nvml = nvml_open();
    meters->row_count = predictor->worker_room + predictor->lane_count;
    meters->hook_began = predictor_take(predictor, meters->row_count, sizeof *meters->hook_began, error);
    meters->event_room = options->trace_events;
    if (options->trace_events)
        meters->events = predictor_take(predictor, options->trace_events, sizeof *meters->events, error);
    return meters->hook_began && (meters->events || !options->trace_events) ? INFER_OK : INFER_OUT_OF_MEMORY;
}

static infer_status build(struct infer_predictor *predictor, const infer_predictor_options *options, infer_error *error)
{
    infer_status status = open_session(predictor, options, error);
    if (status == INFER_OK)
        status = describe_model(predictor, error);
    if (status == INFER_OK)
        status = take_checks(predictor, options, error);
    if (status == INFER_OK)
        status = take_states(predictor, options, error);
    if (status == INFER_OK && predictor->batches)
        status = batch_check(predictor, error);
    if (status == INFER_OK)
        status = padding_take(predictor, options, error);
    if (status == INFER_OK)
        status = make_lanes(predictor, options->contexts ? (size_t)options->contexts : 1, error);
    if (status == INFER_OK)
        status = make_cache(predictor, options, error);
    if (status == INFER_OK)
        status = make_meters(predictor, options, error);
    if (status == INFER_OK)
        status = start_workers(predictor, error);
    return status;
}

/* One for each context and each of the two hooks, and one that keeps deadlines meanwhile. */
static size_t workers_wanted(const infer_predictor_options *options)
{
    const infer_hooks *hooks = &options->hooks;
    if (options->workers)
        return (size_t)options->workers;
    return (options->contexts ? (size_t)options->contexts : 1) + 1 + (hooks->validate || hooks->preprocess) +
           (hooks->postprocess != NULL);
}

static void take_options(struct infer_predictor *predictor, const infer_predictor_options *options)
{
    infer_run_limits limits = options->run_limits;
    bool unlimited = limits.seconds <= 0 && !limits.multiply_adds && !limits.loop_turns;
    predictor->process = getpid();
    predictor->made = clock_now();
    predictor->worker_room = workers_wanted(options);
    predictor->hooks = options->hooks;
    predictor->run_limits = unlimited ? options->session_options.run_limits : limits;
    predictor->batch_size = options->batch_size ? options->batch_size : 1;
    predictor->batches = predictor->batch_size > 1;
    predictor->delay = clock_after(0, options->max_delay);
    predictor->queue_length = options->queue_length ? (size_t)options->queue_length : DEFAULT_QUEUE;
    predictor->when_full = options->when_full;
    predictor->model_bound = 2 * (size_t)predictor->batch_size * (options->contexts ? (size_t)options->contexts : 1);
    predictor->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    predictor->work = make_condition();
    predictor->room = make_condition();
    predictor->quiet = make_condition();
    predictor->references = 1;
}

infer_status infer_predictor_create(const infer_predictor_options *options, infer_predictor **result,
                                    infer_error *error)
{
    if (result)
        *result = NULL;
    if (!options || !result)
        return fail_missing(error, options ? "place for the predictor" : "options");
    infer_status status = check_options(options, error);
    if (status != INFER_OK)
        return status;
    struct allocator allocator = default_allocator;
    if (options->allocator)
        allocator =
            (struct allocator){options->allocator->allocate, options->allocator->release, options->allocator->user};
    struct infer_predictor *predictor = allocate(&allocator, sizeof *predictor, ALIGNMENT);
    if (!predictor)
        return fail(error, INFER_OUT_OF_MEMORY, "out of memory while making a predictor");
    memset(predictor, 0, sizeof *predictor);
    predictor->given_allocator = allocator;
    budget_init(&predictor->budget, NULL, &predictor->given_allocator, SIZE_MAX);
    budget_reserve(&predictor->budget, sizeof *predictor);
    take_options(predictor, options);
    status = build(predictor, options, error);
    if (status != INFER_OK) {
        infer_predictor_release(predictor);
        return status;
    }
    if (error)
        *error = (infer_error){.status = INFER_OK};
    *result = predictor;
    return INFER_OK;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void free_lane(struct infer_predictor *predictor, struct lane *lane)
{
    infer_context_release(lane->context);
    for (size_t i = 0; lane->gathered && i < predictor->input_count; i++)
        buffer_free(&lane->gathered[i], &predictor->budget.allocator);
    buffer_free(&lane->cut, &predictor->budget.allocator);
    predictor_give(predictor, lane->expected, predictor->output_count, sizeof *lane->expected);
    predictor_give(predictor, lane->shapes, predictor->input_count, sizeof *lane->shapes);
    predictor_give(predictor, lane->gathered, predictor->input_count, sizeof *lane->gathered);
    predictor_give(predictor, lane->outputs, predictor->output_count, sizeof *lane->outputs);
    predictor_give(predictor, lane->inputs, predictor->input_count, sizeof *lane->inputs);
    predictor_give(predictor, lane->batch, (size_t)predictor->batch_size, sizeof(infer_prediction *));
}

/* Not what predictions look at that are still the caller's. */
static void free_parts(struct infer_predictor *predictor)
{
    for (size_t i = 0; i < predictor->lane_count; i++)
        free_lane(predictor, &predictor->lanes[i]);
    predictor_give(predictor, predictor->lanes, predictor->lane_room, sizeof *predictor->lanes);
    if (!predictor->foreign) /* the other process closes its own */
        nvml_close(&predictor->nvml);
    streams_free(predictor);
    padding_free(predictor);
    predictor_give(predictor, predictor->states, predictor->state_count, sizeof *predictor->states);
    cache_free(&predictor->cache);
    predictor_give(predictor, predictor->meters.events, predictor->meters.event_room, sizeof *predictor->meters.events);
    predictor_give(predictor, predictor->meters.hook_began, predictor->meters.row_count,
                   sizeof *predictor->meters.hook_began);
    predictor_give(predictor, predictor->workers, predictor->worker_room, sizeof *predictor->workers);
    predictor_give(predictor, predictor->checks, predictor->check_count, sizeof *predictor->checks);
    predictor_give(predictor, predictor->input_values, predictor->input_count, sizeof *predictor->input_values);
    infer_session_release(predictor->session);
    infer_model_release(predictor->model);
}

void predictor_free(struct infer_predictor *predictor)
{
    for (infer_prediction *prediction; (prediction = predictor->pool) != NULL;) {
        predictor->pool = prediction->next;
        prediction_free(prediction);
    }
    if (!predictor->foreign) {
        pthread_cond_destroy(&predictor->work);
        pthread_cond_destroy(&predictor->room);
        pthread_cond_destroy(&predictor->quiet);
        pthread_mutex_destroy(&predictor->mutex);
    }
    struct allocator allocator = predictor->given_allocator;
    release(&allocator, predictor, sizeof *predictor);
}

/* With the mutex held. */
static size_t cancel_all(struct infer_predictor *predictor)
{
    size_t count = predictor->live;
    predictor->cancelling = true;
    for (int queue = 0; queue < QUEUES; queue++)
        for (struct queue_link *link; (link = queue_first(&predictor->queues[queue])) != NULL;)
            prediction_cancel(prediction_of(link));
    for (size_t i = 0; i < predictor->lane_count; i++)
        for (size_t k = 0; k < predictor->lanes[i].batch_count; k++)
            prediction_cancel(predictor->lanes[i].batch[k]);
    return count;
}

size_t infer_predictor_drain(infer_predictor *predictor, double seconds)
{
    if (!predictor)
        return 0;
    size_t cancelled = 0;
    int64_t until = seconds < 0 ? NEVER : clock_after(clock_now(), seconds);
    predictor_lock(predictor);
    predictor->closed = true;
    pthread_cond_broadcast(&predictor->room);
    pthread_cond_broadcast(&predictor->work);
    while (predictor->live > 0 && clock_now() < until)
        predictor_wait(predictor, &predictor->quiet, until);
    if (predictor->live > 0)
        cancelled = cancel_all(predictor);
    predictor_unlock(predictor); /* callbacks of those */
    predictor_lock(predictor);
    while (predictor->live > 0)
        predictor_wait(predictor, &predictor->quiet, NEVER);
    predictor_unlock(predictor);
    return cancelled;
}

void infer_predictor_release(infer_predictor *predictor)
{
    if (!predictor)
        return;
    if (predictor->process != getpid()) {
        predictor->foreign = true;
        free_parts(predictor);
        predictor_free(predictor);
        return;
    }
    infer_predictor_drain(predictor, 0);
    predictor_lock(predictor);
    predictor->stopping = true;
    pthread_cond_broadcast(&predictor->work);
    predictor_unlock(predictor);
    for (size_t i = 0; i < predictor->worker_count; i++)
        pthread_join(predictor->workers[i].thread, NULL);
    free_parts(predictor);
    predictor_lock(predictor);
    predictor->references--;
    predictor_unlock(predictor);
}

infer_model *infer_predictor_model(const infer_predictor *predictor)
{
    return predictor ? predictor->model : NULL;
}

infer_session *infer_predictor_session(const infer_predictor *predictor)
{
    return predictor ? predictor->session : NULL;
}
