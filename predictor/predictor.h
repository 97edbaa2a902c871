/* What the files of the predictor share.
 *
 * One mutex guards all that moves: queues, states of requests, lanes, the pool. It is never held while a hook, a
 * callback or the model runs, nor while tensors are copied. */
#ifndef INFER_PREDICTOR_PREDICTOR_H
#define INFER_PREDICTOR_PREDICTOR_H

#include "kernels/budget.h"
#include "predictor/cache.h"
#include "predictor/deadline.h"
#include "predictor/fail.h"
#include "predictor/metrics.h"
#include "predictor/nvml.h"
#include "predictor/queue.h"
#include "predictor/scratch.h"
#include "runtime/clock.h"
#include "runtime/infer_predictor.h"

#include <pthread.h>
#include <sys/types.h>

/* What a request goes through: the hooks validate and preprocess; the model; the hook postprocess. */
enum stage { STAGE_PREPARE, STAGE_MODEL, STAGE_FINISH, STAGES };

/* Besides those of the stages: requests that wait for an equal one under way, those that are given its results, and
 * those that wait for the one before in their stream. */
enum { QUEUE_FOLLOWERS = STAGES, QUEUE_COPIES, QUEUE_STREAMS, QUEUES };

#define MOST_BUCKETS 8

enum prediction_state {
    PREDICTION_IDLE,    /* in the pool, or being filled in by who makes it */
    PREDICTION_WAITING, /* in a queue */
    PREDICTION_RUNNING, /* in a stage */
    PREDICTION_ENDED
};

struct infer_prediction {
    struct queue_link link;   /* first: a link is its prediction */
    struct deadline deadline; /* while it waits, among those of others */
    struct infer_predictor *predictor;
    struct infer_prediction *next; /* in the pool, or among those whose callbacks are due */
    int references;                /* of who asked, and of the pipeline */
    enum prediction_state state;
    enum stage stage;  /* that it waits for, or is in */
    struct lane *lane; /* whose run it is in; NULL: none */
    bool cancelled;    /* is to end before its time */
    bool prompt;       /* its batch waits for nobody */
    int priority;      /* of its queues: 0 is served first */
    pthread_cond_t has_ended;
    infer_status status;
    infer_error error;

    int64_t submitted, queued;
    int64_t started; /* the first stage; 0: none yet */
    size_t row;      /* of the trace, where it is */
    int64_t began[STAGES];
    int64_t spent[STAGES]; /* nanoseconds; -1: not passed through */

    /* Of the caller's. */
    infer_tensor *wanted;
    size_t wanted_count;
    void (*callback)(void *user, infer_prediction *prediction);
    void *user;

    struct stream *stream; /* NULL: none */
    bool has_turn;         /* of its stream */

    /* What the cache knows it by. */
    bool keyed; /* it is for the cache */
    bool leads; /* in the table of flights: equal ones follow it */
    struct hash_128 key;
    infer_prediction *leader;  /* that it waits for; NULL: none */
    infer_prediction *flight;  /* the next in its bucket of the table */
    struct cache_entry *entry; /* made of it, or to be copied to it; a reference */

    /* Descriptions, in the prediction's own block. */
    size_t given_count;
    infer_tensor *given, *inputs, *outputs, *results;
    struct buffer *own; /* memory for outputs or results, each as large as it has ever been */
    struct scratch scratch;
    int64_t rows;   /* of its inputs along the first dimension; 0: it shares no batch */
    uint64_t shape; /* a hash of what a batch's inputs must have in common */
    /* Of each bucket's dimension, where its inputs have it: what they have, and what the model is given. */
    bool pads; /* these differ */
    int64_t sizes[MOST_BUCKETS], padded[MOST_BUCKETS];
};

struct bucket {
    const int64_t *sizes;
    size_t size_count;
};

/* Of a value: the bucket of each dimension, from 1 on; 0: none. */
struct axes {
    unsigned char bucket[INFER_MAX_RANK];
};

struct padding {
    struct bucket buckets[MOST_BUCKETS];
    size_t count; /* 0: there is none, and nothing below */
    int64_t *sizes;
    size_t size_count;
    struct axes *inputs, *outputs;
    struct pad_value *values; /* an input each */
};

struct worker {
    struct infer_predictor *predictor;
    pthread_t thread;
    size_t row; /* of the trace */
};

/* A context, and what its batches are laid out in. */
struct lane {
    infer_context *context;
    size_t row; /* of the trace, for runs on callers' threads */
    bool busy;
    bool cancel_sent; /* to the run under way */
    infer_prediction **members;
    size_t member_count;      /* of the run under way; 0: none is */
    infer_prediction **batch; /* taken from the queue */
    size_t batch_count;
    infer_tensor *inputs, *outputs;
    size_t kept_bytes;               /* of the last run alone: outputs in the request's own memory */
    infer_tensor *shapes, *expected; /* inputs without contents, and what the outputs of such a run are */
    bool foreseen;                   /* the two hold that */
    struct buffer *gathered;         /* an input each */
    struct buffer cut;               /* an output, without what padding has added */
};

#define FLIGHT_BUCKETS 256
#define STREAM_BUCKETS 256

struct streams {
    struct stream *buckets[STREAM_BUCKETS];
    struct queue uses; /* the least recently used first */
    size_t most;
};

struct infer_predictor {
    struct allocator given_allocator;
    struct budget budget; /* counts what the predictor holds */
    pid_t process;
    int references; /* the caller's, and of each prediction that is not in the pool */
    infer_model *model;
    infer_session *session;
    size_t input_count, output_count, given_count, result_count;
    infer_value *input_values;
    infer_input_check *checks;
    size_t check_count;
    infer_state *states;
    size_t state_count;
    struct padding padding;
    struct nvml nvml;
    infer_hooks hooks;
    infer_run_limits run_limits;
    bool batches;       /* requests share runs */
    int64_t batch_size; /* rows */
    int64_t delay;      /* nanoseconds */
    size_t queue_length, model_bound;
    infer_when_full when_full;
    int64_t made; /* when */

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t work;   /* for workers */
    pthread_cond_t room;   /* for those who wait to get into the queue */
    pthread_cond_t quiet;  /* for who waits until nothing is under way */
    struct queue queues[QUEUES];
    struct cache cache;
    infer_prediction *flights[FLIGHT_BUCKETS]; /* leaders, by their keys */
    struct meters meters;
    struct streams streams;
    size_t waiting;             /* requests that have not begun */
    size_t preparing;           /* in STAGE_PREPARE */
    struct deadline *deadlines; /* of requests that wait */
    size_t live;                /* requests under way */
    struct lane *lanes;
    size_t lane_count, lane_room, idle_lanes;
    struct worker *workers;
    size_t worker_count, worker_room;
    infer_prediction *pool, *due;
    bool closed;     /* takes no more requests */
    bool cancelling; /* and ends those under way */
    bool stopping;   /* workers end */
    bool foreign;    /* in a process that forked off: threads, and who waits, are the other one's */
};

static inline infer_prediction *prediction_of(struct queue_link *link)
{
    return (infer_prediction *)link;
}

static inline infer_prediction *prediction_of_deadline(struct deadline *deadline)
{
    return (infer_prediction *)(void *)((char *)deadline - offsetof(struct infer_prediction, deadline));
}

/* --- predictor.c -------------------------------------------------------------------------------------------------- */

/* Zeroed memory of a predictor in the making; NULL: there is none, and the error says so. */
void *predictor_take(struct infer_predictor *predictor, size_t count, size_t bytes, infer_error *error);
void predictor_give(struct infer_predictor *predictor, void *memory, size_t count, size_t bytes); /* NULL is fine */

/* --- prediction.c: the life of a request ------------------------------------------------------------------------- */

void predictor_lock(struct infer_predictor *predictor);
/* Also calls the callbacks that are due. */
void predictor_unlock(struct infer_predictor *predictor);
/* Both with the mutex held, which they let go of meanwhile; false: the time came first. */
bool predictor_wait(struct infer_predictor *predictor, pthread_cond_t *condition, int64_t until);

/* One of the pool, or a new one, with a reference for the caller and one for the pipeline; NULL: no memory. Without the
 * mutex. */
infer_prediction *prediction_acquire(struct infer_predictor *predictor);
/* With the mutex held. The last reference puts it back into the pool. */
void prediction_drop(infer_prediction *prediction);
/* The end, with the mutex held. status is OK, or prediction->error says why not, or fail_ended told a general reason.
 */
void prediction_end(infer_prediction *prediction, infer_status status);
/* Ends it where it was cancelled, or its time is up; whether it did. With the mutex held. */
bool prediction_ends_early(infer_prediction *prediction, int64_t now);
void prediction_cancel(infer_prediction *prediction); /* with the mutex held */
void prediction_free(infer_prediction *prediction);
void predictor_free(struct infer_predictor *predictor); /* with nothing under way, and no reference left */
pthread_cond_t make_condition(void);

/* --- deliver.c: results ------------------------------------------------------------------------------------------- */

/* The output is the request's business: its caller, its hook or the cache sees it. */
bool output_is_wanted(const infer_prediction *prediction, size_t index);
/* The output goes to the request's own memory, not to its caller's. */
bool output_is_own(const infer_prediction *prediction, size_t index);
/* Where the model may write output `index` of a request that runs alone: own_bytes is what its own memory needs, 0
 * where that is not known. */
infer_tensor output_place(infer_prediction *prediction, size_t index, size_t own_bytes);
/* Copies a tensor to where result or output `index` belongs, unless it is there. Errors into prediction->error. */
infer_status output_deliver(infer_prediction *prediction, size_t index, const infer_tensor *from);
/* Puts the results into the caller's hands: all but a copy that output_deliver has made already. */
infer_status results_deliver(infer_prediction *prediction);
/* Results that were another request's. */
infer_status results_copy(infer_prediction *prediction, const infer_tensor *results);

/* --- flight.c: the cache, and equal requests that share a run ------------------------------------------------------
 */

/* Without the mutex: whether the request has been given results that were kept, and has ended. */
bool flight_lands(infer_prediction *prediction);
/* With the mutex held: whether one of the same key is under way, or has ended since; whether its results are there by
 * now, to be compared and copied; whether it waits from now on for one under way; or equal ones may wait for it from
 * now on. */
bool flight_is_known(const infer_prediction *prediction);
bool flight_lands_now(infer_prediction *prediction);
bool flight_follows(infer_prediction *prediction);
void flight_leads(infer_prediction *prediction);
/* Without the mutex, once the results are there, or there will be none: keeps a copy of them, for those that follow. */
void flight_keep(infer_prediction *prediction);
/* With the mutex held, at its end: what becomes of the cache and of those that wait for it. */
void flight_ends(infer_prediction *prediction);
/* With the mutex held: it has no use for what was kept of another one. */
void flight_forget(infer_prediction *prediction);
/* Without the mutex: ends as the one did whose results were kept. False: that one only has the same key. */
bool flight_copy(infer_prediction *prediction);

/* --- stream.c: states from one request to the next ---------------------------------------------------------------- */

infer_status streams_check(const struct infer_predictor *predictor, infer_error *error);
void streams_free(struct infer_predictor *predictor);
bool stream_makes_input(const struct infer_predictor *predictor, size_t input);
/* Makes the request one of a stream. Without the mutex. false: no memory. */
bool stream_join(infer_prediction *prediction, uint64_t key);
/* With the mutex held: whether it is the request's turn, which it then has, with its inputs filled in. */
bool stream_takes_turn(infer_prediction *prediction);
void stream_leave(infer_prediction *prediction); /* with the mutex held: the next one's turn */
/* By the request whose turn it is, without the mutex: the inputs that were left out; and what the model made. */
void stream_fill(infer_prediction *prediction);
infer_status stream_keep(infer_prediction *prediction, size_t output, const infer_tensor *from);

/* --- check.c: validation ------------------------------------------------------------------------------------------ */

/* Types, ranks, dimensions, and what the options' checks ask for. Of a stream: states may be left out. */
infer_status inputs_check(const struct infer_predictor *predictor, const infer_tensor *inputs, size_t count,
                          bool streams, infer_error *error);

/* --- batch.c ------------------------------------------------------------------------------------------------------ */

/* Finds out whether the model's inputs and outputs can be laid one after another. */
infer_status batch_check(const struct infer_predictor *predictor, infer_error *error);
/* Sets rows and shape of a request whose inputs are known. */
void batch_describe(infer_prediction *prediction);
/* Takes from the model's queue what runs next in the lane, with the mutex held. 0: it is worth waiting for others,
 * until *until. */
size_t batch_take(struct infer_predictor *predictor, struct lane *lane, int64_t now, int64_t *until);
/* Runs lane->batch; statuses go into the requests. */
void batch_run(struct infer_predictor *predictor, struct lane *lane);

/* --- pad.c: sizes that a dimension is padded to ------------------------------------------------------------------- */

infer_status padding_take(struct infer_predictor *predictor, const infer_predictor_options *options,
                          infer_error *error);
void padding_free(struct infer_predictor *predictor);
/* Finds out what a request is padded to whose inputs are known. */
void pad_describe(infer_prediction *prediction);
/* Input `index` as the model is given it, but for its data. */
infer_tensor pad_input(const infer_prediction *prediction, size_t index);
/* Writes the padded input. Returns its bytes. */
size_t pad_copy(const infer_prediction *prediction, size_t index, void *to);
/* Makes of an output of the padded request's one of its own size; with data in `memory`, where that differs. */
infer_status pad_cut(infer_prediction *prediction, size_t index, struct buffer *memory, infer_tensor *output);

/* --- stages.c: workers -------------------------------------------------------------------------------------------- */

void *worker_main(void *worker);
/* With the mutex held: a lane that is idle, now busy. */
struct lane *lane_take(struct infer_predictor *predictor);
void lane_give(struct infer_predictor *predictor, struct lane *lane);
/* The whole way on this thread, in a lane that is the caller's and is given back. */
void run_here(infer_prediction *prediction, struct lane *lane);
/* With the mutex held: takes it out of the queue that it waits in, to be run or ended. */
void leave_queue(infer_prediction *prediction);
/* With the mutex held: into the queue of its first stage. */
void pipeline_enter(infer_prediction *prediction);
void queue_enter(infer_prediction *prediction, int queue);
void queue_exit(infer_prediction *prediction); /* the queue that it waits in, for another one */

#endif
