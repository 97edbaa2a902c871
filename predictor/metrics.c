#include "predictor/metrics.h"

#include "predictor/predictor.h"

#include <string.h>

_Static_assert(INFER_STATUS_COUNT == INFER_DEVICE_ERROR + 1, "each status is counted");

/* --- counting, with the mutex held -------------------------------------------------------------------------------- */

static void count_status(struct meters *meters, infer_status status)
{
    if ((unsigned)status < INFER_STATUS_COUNT)
        meters->by_status[status]++;
    else
        meters->by_status[INFER_FAULT]++; /* a hook may end a request with any number */
}

void meter_refused(struct infer_predictor *predictor, infer_status status)
{
    predictor_lock(predictor);
    count_status(&predictor->meters, status);
    predictor_unlock(predictor);
}

void meter_end(const struct infer_prediction *prediction)
{
    struct meters *meters = &prediction->predictor->meters;
    count_status(meters, prediction->status);
    if (prediction->status != INFER_OK)
        return;
    int64_t total = clock_now() - prediction->submitted, stages = 0;
    histogram_add(&meters->histograms[METER_TOTAL], total);
    for (int stage = 0; stage < STAGES; stage++)
        if (prediction->spent[stage] >= 0)
            stages += prediction->spent[stage];
    if (prediction->spent[STAGE_MODEL] >= 0)
        histogram_add(&meters->histograms[METER_QUEUE], total - stages);
    if (prediction->spent[STAGE_PREPARE] >= 0)
        histogram_add(&meters->histograms[METER_PREPARE], prediction->spent[STAGE_PREPARE]);
    if (prediction->spent[STAGE_FINISH] >= 0)
        histogram_add(&meters->histograms[METER_FINISH], prediction->spent[STAGE_FINISH]);
}

void meter_run(struct infer_predictor *predictor, size_t requests, int64_t took)
{
    struct meters *meters = &predictor->meters;
    unsigned size = requests > 1 ? 64u - (unsigned)__builtin_clzll(requests - 1) : 0;
    meters->runs++;
    meters->run_requests += requests;
    meters->runs_by_size[size < INFER_BATCH_SIZES ? size : INFER_BATCH_SIZES - 1]++;
    histogram_add(&meters->histograms[METER_MODEL], took);
}

void meter_event(struct infer_predictor *predictor, const struct infer_prediction *prediction, int stage,
                 size_t requests)
{
    struct meters *meters = &predictor->meters;
    if (!meters->events)
        return;
    int64_t began = prediction->began[stage];
    meters->events[meters->event_count++ % meters->event_room] =
        (struct event){.began = began,
                       .ended = began + prediction->spent[stage],
                       .requests = requests,
                       .row = (uint32_t)prediction->row,
                       .stage = (uint32_t)stage};
}

/* --- the snapshot ------------------------------------------------------------------------------------------------- */

static size_t overdue_hooks(const struct infer_predictor *predictor, int64_t now)
{
    size_t count = 0;
    const struct meters *meters = &predictor->meters;
    for (size_t i = 0; i < meters->row_count && predictor->hooks.seconds > 0; i++) {
        int64_t began = atomic_load_explicit(&meters->hook_began[i], memory_order_relaxed);
        count += began && (double)(now - began) * 1e-9 > predictor->hooks.seconds;
    }
    return count;
}

static void count_requests(const struct infer_predictor *predictor, infer_metrics *metrics)
{
    const struct meters *meters = &predictor->meters;
    memcpy(metrics->by_status, meters->by_status, sizeof metrics->by_status);
    for (int i = 0; i < INFER_STATUS_COUNT; i++)
        metrics->requests += metrics->by_status[i];
    metrics->waiting = predictor->waiting;
    metrics->under_way = predictor->live;
    metrics->most_waiting = meters->most_waiting;
    metrics->runs = meters->runs;
    metrics->run_requests = meters->run_requests;
    memcpy(metrics->runs_by_size, meters->runs_by_size, sizeof metrics->runs_by_size);
}

static void count_cache(const struct cache *cache, infer_metrics *metrics)
{
    metrics->cache_lookups = cache->lookups;
    metrics->cache_hits = cache->hits - cache->shared;
    metrics->cache_shared = cache->shared;
    metrics->cache_evictions = cache->evictions;
    metrics->cache_bytes = cache->bytes;
    metrics->cache_entries = cache->uses.length;
    metrics->cache_backs_off = cache->backs_off;
}

infer_status infer_metrics_snapshot(infer_predictor *predictor, infer_metrics *metrics, infer_error *error)
{
    if (!predictor || !metrics)
        return fail_missing(error, predictor ? "place for the metrics" : "predictor");
    infer_metrics now = {.predictor_bytes = atomic_load(&predictor->budget.held)};
    infer_status status = infer_session_memory(predictor->session, &now.memory, error);
    if (status != INFER_OK)
        return status;
    infer_latency *const places[METERS] = {&now.total, &now.queue, &now.preprocess, &now.model, &now.postprocess};
    int64_t time = clock_now();
    predictor_lock(predictor);
    count_requests(predictor, &now);
    count_cache(&predictor->cache, &now);
    for (int i = 0; i < METERS; i++)
        *places[i] = histogram_latency(&predictor->meters.histograms[i]);
    predictor_unlock(predictor);
    now.gpu_count = nvml_read(&predictor->nvml, now.gpus);
    now.overdue_hooks = overdue_hooks(predictor, time);
    now.seconds = (double)(time - predictor->made) * 1e-9;
    now.throughput = now.seconds > 0 ? (double)now.by_status[INFER_OK] / now.seconds : 0;
    *metrics = now;
    return INFER_OK;
}
