/* What a predictor counts, and the trace of its stages. */
#ifndef INFER_PREDICTOR_METRICS_H
#define INFER_PREDICTOR_METRICS_H

#include "predictor/histogram.h"

#include <stdatomic.h>

enum meter { METER_TOTAL, METER_QUEUE, METER_PREPARE, METER_MODEL, METER_FINISH, METERS };

/* A stage that has ended. */
struct event {
    int64_t began, ended; /* nanoseconds of the monotonic clock */
    uint64_t requests;
    uint32_t row, stage;
};

/* The predictor's mutex guards it, but for hook_began. */
struct meters {
    struct histogram histograms[METERS];
    uint64_t by_status[INFER_STATUS_COUNT];
    uint64_t runs, run_requests, runs_by_size[INFER_BATCH_SIZES];
    size_t most_waiting;
    struct event *events; /* a ring */
    size_t event_room;
    uint64_t event_count; /* that there have ever been */
    /* A row each: since when its thread is in a hook; 0: it is in none. */
    _Atomic int64_t *hook_began;
    size_t row_count;
};

struct infer_prediction;
struct infer_predictor;

void meter_refused(struct infer_predictor *predictor,
                   infer_status status); /* a request that was never in the pipeline */
void meter_end(const struct infer_prediction *prediction);
void meter_run(struct infer_predictor *predictor, size_t requests, int64_t took);
void meter_event(struct infer_predictor *predictor, const struct infer_prediction *prediction, int stage,
                 size_t requests);

#endif
