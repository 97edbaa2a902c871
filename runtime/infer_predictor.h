/* infer_predictor: a model as a service has it: queued, batched, cached and watched.
 *
 *     infer_predictor  *predictor;   a model, threads and a queue; any number of threads ask it at once
 *     infer_prediction *prediction;  a request on its way, and then its results
 *
 * A request goes
 *
 *     cache -> validate -> preprocess -> check -> model, in a batch with others -> postprocess -> results
 *
 * where everything but the model is left out unless it is asked for. The stages of different requests overlap.
 *
 * What infer.h says of errors, allocators, threads, callbacks and fork holds here too. The error of a request begins
 * with "prediction failed: ". Times are in seconds, of the monotonic clock.
 */
#ifndef INFER_PREDICTOR_H
#define INFER_PREDICTOR_H

#include "infer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct infer_predictor infer_predictor;
typedef struct infer_prediction infer_prediction;

/* --- hooks ----------------------------------------------------------------------------------------------- */

/* What a hook may ask for while it is called. */
typedef struct infer_hook infer_hook;

/* Memory for what a hook makes, at a multiple of 64 bytes, not zeroed; NULL: there is none. It is the request's, and
 * stays until the request is released: a request of the same size later takes none of the allocator. */
void *infer_hook_memory(infer_hook *hook, size_t bytes);

/* The caller's own stages. Each may be NULL. They are called on the predictor's workers, or on the thread of
 * infer_predict, several at once. A status other than OK ends this request alone, with the sentence that the hook has
 * written into `error`. What is given to a hook is only read, and stays until the request has ended.
 *
 * validate     says whether a request is taken on at all.
 * preprocess   makes the model's inputs of what was given. `inputs` begin zeroed; each is set as infer_input does, in
 *              memory of infer_hook_memory or of what was given.
 * postprocess  makes the results of the model's outputs, likewise. */
typedef struct infer_hooks {
    infer_status (*validate)(void *user, const infer_tensor *given, size_t given_count, infer_error *error);
    infer_status (*preprocess)(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                               infer_tensor *inputs, size_t input_count, infer_error *error);
    infer_status (*postprocess)(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                                infer_tensor *results, size_t result_count, infer_error *error);
    void *user;
    size_t given_count;  /* tensors that a request gives preprocess; 0: as many as the model has inputs */
    size_t result_count; /* that postprocess makes; 0: as many as the model has outputs */
    /* What one call may take. A hook cannot be stopped: one that comes back late ends its request with DEADLINE, and
     * one that has not come back is counted by infer_metrics.overdue_hooks. 0: any time. */
    double seconds;
} infer_hooks;

/* --- predictors ------------------------------------------------------------------------------------------ */

typedef enum infer_precision {
    INFER_PRECISION_MODEL = 0, /* as the file says */
    INFER_PRECISION_FP32 = 1,
    INFER_PRECISION_FP16 = 2,
    INFER_PRECISION_INT8 = 3
} infer_precision;

/* When the queue is full. */
typedef enum infer_when_full {
    INFER_FULL_REJECT = 0, /* the new request is BUSY */
    INFER_FULL_BLOCK = 1,  /* its caller waits, until its deadline */
    INFER_FULL_DROP = 2    /* the oldest one of the lowest priority that waits is BUSY, unless the new one's is lower */
} infer_when_full;

/* What an input of the model has to be, beyond type and shape; looked at before the model runs. */
typedef struct infer_input_check {
    size_t input;       /* index */
    bool finite;        /* no NaN and no infinity; of floating types of 16 bits and more */
    bool has_range;     /* least <= each element <= most; NaN is in no range. Types of 8 bits and more, not complex */
    double least, most; /* of int64 and uint64 as the nearest double */
} infer_input_check;

/* An output that is an input of the next request of the same stream: what a recurrent model remembers. */
typedef struct infer_state {
    size_t output, input; /* indices */
} infer_state;

/* Sizes that a dimension is padded to, so that requests of different lengths share runs, and as few programs as there
 * are sizes: each runs with the least size that is not less than its own, and as it is where all are. Behind what it
 * gives, the input `mask` has 0, and the others `pad`. With a model that does not look at what its mask leaves out,
 * results are those of a run alone but for rounding, where sums have other lengths; with any other model, what padding
 * does to them is the model's matter. Outputs with a dimension of the same name are cut back to the request's own size;
 * others are as the model made them. A run that fails with padding is tried without it. */
typedef struct infer_bucket {
    const char *dimension; /* its name: infer_value.dim_names of one input or more, in which it is as long in all */
    const int64_t *sizes;  /* copied; the least first */
    size_t size_count;
    const char *mask; /* an input's name; NULL: there is none */
    double pad; /* rounded to the type of each input, which has 8 bits or more; 0 where it is of some other kind than
                 * integers and floating types of 16 bits and more. The same in all buckets that pad one input */
} infer_bucket;

/* All zero: the defaults. */
typedef struct infer_predictor_options {
    /* What runs: a file; or a model, retained; or a model and a session of it, both retained, so that several
     * predictors share programs, weights and threads. */
    const char *path;
    infer_model *model;
    infer_session *session;
    infer_model_options model_options;     /* with `path` */
    infer_session_options session_options; /* without `session`: threads, passes, limits, an executor to share */
    infer_run_limits run_limits;           /* of a run, beside the request's deadline; all zero: the session's */

    const infer_allocator *allocator; /* copied; NULL: the C library's. For all but model and session */
    infer_device device;              /* of the session, as its options have it; that of `session` is its own */
    infer_precision precision;        /* MODEL and FP32 run the file as it is; others are UNSUPPORTED: infer-quantize
                                       * writes such a file */

    int contexts; /* runs at once, each with activations of its own, 1 to 1024; 0: one */
    int workers;  /* threads that run stages, 1 to 1024; 0: one for each context and each of the two hooks,
                   * and one that keeps deadlines while those are busy */
    /* Requests may share a run, laid one after another along the first dimension of every input and output, which must
     * be free: up to so many rows. The caller says by it that the model treats rows independently; then the results
     * are those of a run alone, bit for bit. (A model that finds scales as it runs, by DynamicQuantizeLinear, does not:
     * they are of the whole batch.) 0 and 1: one request a run. */
    int batch_size;
    double max_delay; /* that a request waits for others to fill its batch; 0: it takes those that wait already */
    const infer_bucket *buckets; /* copied; of different dimensions, with batch_size of none that is an input's first */
    size_t bucket_count;         /* up to 8 */

    int queue_length; /* requests that wait, 1 to 2^20; 0: 256 */
    infer_when_full when_full;

    infer_hooks hooks;
    const infer_input_check *checks; /* copied */
    size_t check_count;

    /* What requests of a stream hand on to the next one. */
    const infer_state *states; /* copied */
    size_t state_count;
    size_t most_streams; /* whose states are kept; past that, the one that was used least recently is forgotten, unless
                          * a request of it is under way. 0: 1024 */

    /* Results are kept, and a request of the same types, shapes and bytes is given them without a run; equal requests
     * under way share one. Only for models and hooks whose results depend on nothing but what they are given. Compared
     * is every byte. Where hardly any request is found, most are not looked for until that changes. */
    size_t cache_bytes; /* at most, of what was given and of results; 0: no cache */
    size_t cache_count; /* entries at most; 0: 65,536 */
    /* Metrics have what NVML tells of the machine's GPUs, where there is a libnvidia-ml.so.1 that can be loaded. A
     * snapshot then takes as long as its answers. */
    bool gpu_metrics;
    size_t trace_events; /* the latest so many are kept for infer_predictor_trace, 40 bytes each; 0: none */
} infer_predictor_options;

/* Opens what is not open yet, and starts the workers; where the system starts fewer than asked for, those. Errors as
 * infer_model_open, infer_session_create and infer_context_create; INVALID_ARGUMENT for options out of range;
 * UNSUPPORTED; OUT_OF_MEMORY. */
infer_status infer_predictor_create(const infer_predictor_options *options, infer_predictor **predictor,
                                    infer_error *error);

/* Refuses requests from now on (BUSY), and waits until those under way have ended. Where that takes more than `seconds`
 * (below 0: any time), it cancels the rest and waits for them. Returns how many were cancelled. */
size_t infer_predictor_drain(infer_predictor *predictor, double seconds);

/* Cancels what is under way, and ends the workers. No other thread may be in a call on the predictor, nor begin one;
 * predictions that have not been released can still be looked at, and be released, afterwards. Not from a hook or a
 * callback. */
void infer_predictor_release(infer_predictor *predictor);

/* The predictor's; retain them to keep them. For their shapes, memory and metadata. NULL for NULL. */
infer_model *infer_predictor_model(const infer_predictor *predictor);
infer_session *infer_predictor_session(const infer_predictor *predictor);

/* --- requests -------------------------------------------------------------------------------------------- */

/* All zero: the defaults. May be NULL. */
typedef struct infer_request_options {
    double
        seconds;  /* from the call: the request ends with DEADLINE once they are over: while it waits, between two
                   * stages, or within the time of a step of its run. In a batch it ends with the batch. 0: any time */
    int priority; /* -1, 0 or 1: those of a higher one go first */
    /* The request belongs to the stream of that number: a conversation, a recording. Those of a stream run one after
     * another, as they came. An input of options.states that is left out (dtype INFER_NONE) is what the stream's last
     * run made; at first, and after infer_predictor_end_stream, zeros, with 1 for every free dimension. One that is
     * given counts instead. A state has moved on once the model has run, whatever comes of the request then. Such
     * requests are not cached. 0: none. */
    uint64_t stream;
    bool uncached; /* neither found in the cache nor kept there */
    /* Called once the request has ended, by whichever thread ended it: a worker, or one in a call of this header,
     * which may be the one that makes the request. It may release the prediction, and may make requests, but must not
     * wait for any. infer_predict_async only. */
    void (*ended)(void *user, infer_prediction *prediction);
    void *user;
} infer_request_options;

/* One request, from beginning to end.
 *
 * inputs   what `preprocess` takes; without it the model's inputs, as infer_run has them. Their data is read until the
 *          request ends.
 * results  what `postprocess` makes; without it the model's outputs, as infer_run has them, but that data must be the
 *          caller's, with room for the result, or be left out: infer_session_outputs tells sizes. result_count may be
 *          less than there are.
 *
 * Runs on the calling thread where a context is idle and nobody waits; otherwise as infer_predict_async. Allocates
 * nothing once requests of such shapes have gone through. Errors: those of infer_run; BUSY: the queue is full, the
 * request was dropped from it, or the predictor drains; those of hooks. */
infer_status infer_predict(infer_predictor *predictor, const infer_tensor *inputs, size_t input_count,
                           infer_tensor *results, size_t result_count, const infer_request_options *options,
                           infer_error *error);

/* One item of infer_predict_batch. */
typedef struct infer_item {
    const infer_tensor *inputs;
    size_t input_count;
    infer_tensor *results;
    size_t result_count;
    infer_error error; /* how it ended; its status is OK where the results are there */
} infer_item;

/* Any number of requests, each as infer_predict: the i-th result is in the i-th item, whatever order they run in.
 * Items of the same shapes, once padded to buckets, share runs; the last batch runs with as many as are left. Waits
 * where the queue is full. OK where all items ended so; otherwise the status of the first that did not, and a sentence
 * that counts them. */
infer_status infer_predict_batch(infer_predictor *predictor, infer_item *items, size_t item_count,
                                 const infer_request_options *options, infer_error *error);

/* Begins a request. `inputs` are copied; what their data points to, and `results`, stay as they are until it has
 * ended. A result whose data is NULL lies in memory of the prediction, until that is released; `results` NULL: all do.
 * The prediction is the caller's, to be released. Errors: those that can be told at once, and then there is no
 * prediction: INVALID_ARGUMENT, BUSY, OUT_OF_MEMORY. */
infer_status infer_predict_async(infer_predictor *predictor, const infer_tensor *inputs, size_t input_count,
                                 infer_tensor *results, size_t result_count, const infer_request_options *options,
                                 infer_prediction **prediction, infer_error *error);

/* Waits for its end, at most so many seconds; below 0: any time; 0: looks only. Returns whether it has ended. Not from
 * a hook or a callback, unless with 0. */
bool infer_prediction_wait(infer_prediction *prediction, double seconds);
/* How it ended, and with which sentence. BUSY while it has not. */
infer_status infer_prediction_status(infer_prediction *prediction, infer_error *error);
/* Result `index` of a prediction that ended well; NULL otherwise. The prediction's until its release. */
const infer_tensor *infer_prediction_result(infer_prediction *prediction, size_t index);
/* Ends it with CANCELLED: at once where it waits, within the time of a step where it runs alone; in a batch others go
 * on, and it ends with them. It does not wait. What ends before it is noticed has ended well. */
void infer_prediction_cancel(infer_prediction *prediction);
/* Where it has not ended, cancels it and waits for the end. NULL is fine. */
void infer_prediction_release(infer_prediction *prediction);

/* Forgets what the stream's runs have made; requests of it that are under way are its last. Unknown numbers are fine.
 */
void infer_predictor_end_stream(infer_predictor *predictor, uint64_t stream);

/* Forgets all results kept. */
void infer_predictor_clear_cache(infer_predictor *predictor);

/* --- metrics --------------------------------------------------------------------------------------------- */

/* Of durations, in seconds: quantiles to 3 %. All zero where there was none. */
typedef struct infer_latency {
    uint64_t count;
    double sum, p50, p90, p99, p999, max;
} infer_latency;

#define INFER_STATUS_COUNT 13
#define INFER_BATCH_SIZES 17

#define INFER_MOST_GPUS 16

/* Now, of a GPU as a whole, whoever uses it. */
typedef struct infer_gpu {
    unsigned index;     /* NVML's: those that do not answer are left out */
    double utilization; /* of the time of late in which it computed, 0 to 1 */
    size_t memory_used, memory_total;
} infer_gpu;

/* Since the predictor was made, but where it says "now". */
typedef struct infer_metrics {
    double seconds;
    uint64_t requests;                      /* that have ended, refused ones too */
    uint64_t by_status[INFER_STATUS_COUNT]; /* of those, by how they ended: [INFER_OK], ... */
    double throughput;                      /* that ended well, a second */
    infer_latency total;                    /* of requests that ended well, from the call to the end */
    infer_latency queue; /* what of it was no stage: waiting for a worker, a context, a batch to fill */
    infer_latency preprocess, model, postprocess; /* validate counts with preprocess; the model's is of whole runs */
    size_t waiting, under_way;                    /* now: requests that have not begun; all that have not ended */
    size_t most_waiting;
    uint64_t runs;                            /* of the model */
    uint64_t run_requests;                    /* in those runs */
    uint64_t runs_by_size[INFER_BATCH_SIZES]; /* with 1, 2, 3 to 4, 5 to 8, ... requests in a run */
    size_t overdue_hooks;                     /* now: calls that have taken longer than infer_hooks.seconds */
    /* Requests that were looked for in the cache; found there; given the results of an equal one under way. */
    uint64_t cache_lookups, cache_hits, cache_shared, cache_evictions;
    size_t cache_bytes, cache_entries; /* now */
    bool cache_backs_off;              /* now: hits are rare, so few requests are looked for */
    size_t predictor_bytes;            /* now: what the predictor holds beside model and session, its cache included */
    infer_memory memory;               /* of the session */
    size_t gpu_count;                  /* in NVML's order; 0: none is there, or options.gpu_metrics was not set */
    infer_gpu gpus[INFER_MOST_GPUS];
} infer_metrics;

/* At any time, from any thread; takes microseconds. Errors as infer_session_memory. */
infer_status infer_metrics_snapshot(infer_predictor *predictor, infer_metrics *metrics, infer_error *error);
/* Text into `text`, which has room for `capacity` bytes, terminated; cut where it does not fit. Returns the length of
 * the whole, as snprintf. JSON is one object with the names of infer_metrics. Prometheus' text format, version 0.0.4:
 * every name begins with "infer_"; `labels` is put among the labels of each, such as model="digits"; NULL: none. */
size_t infer_metrics_json(const infer_metrics *metrics, char *text, size_t capacity);
size_t infer_metrics_prometheus(const infer_metrics *metrics, const char *labels, char *text, size_t capacity);

/* A Chrome trace (for Perfetto) of the kept stages that began in the last `seconds` (below 0: of all): a row a worker,
 * and one a context that ran on a caller's thread; a slice a stage, in microseconds, with the number of requests in it.
 * `write` is called with the text, piece by piece; it returns false to stop. Errors: INVALID_ARGUMENT where
 * trace_events was 0; IO where `write` stopped; OUT_OF_MEMORY. */
infer_status infer_predictor_trace(infer_predictor *predictor, double seconds,
                                   bool (*write)(void *user, const char *text, size_t bytes), void *user,
                                   infer_error *error);

#ifdef __cplusplus
}
#endif

#endif
