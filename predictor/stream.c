/* Streams: requests that run one after another, and what each hands on to the next. */
#include "predictor/predictor.h"

#include <string.h>

/* The mutex guards it, but for its states, which are those of the request whose turn it is. */
struct stream {
    struct queue_link use; /* first: a link is its stream. In no queue: its end has been told */
    struct stream *chain;  /* of its bucket */
    uint64_t key;
    size_t holders; /* requests of it that have not ended */
    bool turn;      /* one of them has it */
    struct buffer *buffers;
    infer_tensor states[]; /* a state each, in its buffer */
};

static struct stream *stream_of(struct queue_link *link)
{
    return (struct stream *)link;
}

static size_t stream_bytes(const struct infer_predictor *predictor)
{
    return sizeof(struct stream) + predictor->state_count * (sizeof(infer_tensor) + sizeof(struct buffer));
}

infer_status streams_check(const struct infer_predictor *predictor, infer_error *error)
{
    for (size_t i = 0; i < predictor->state_count; i++) {
        const infer_state *state = &predictor->states[i];
        infer_value output;
        if (state->input >= predictor->input_count || state->output >= predictor->output_count)
            return fail(error, INFER_INVALID_ARGUMENT,
                        "state %zu is output %zu as input %zu; the model has %zu outputs and %zu inputs", i,
                        state->output, state->input, predictor->output_count, predictor->input_count);
        const infer_value *input = &predictor->input_values[state->input];
        infer_status status = infer_model_output(predictor->model, state->output, &output);
        if (status != INFER_OK)
            return status;
        if (output.dtype != INFER_NONE && output.dtype != input->dtype)
            return fail(error, INFER_INVALID_ARGUMENT, "state %zu is a %s output as a %s input", i,
                        infer_dtype_name(output.dtype), infer_dtype_name(input->dtype));
    }
    return INFER_OK;
}

bool stream_makes_input(const struct infer_predictor *predictor, size_t input)
{
    for (size_t i = 0; i < predictor->state_count; i++)
        if (predictor->states[i].input == input)
            return true;
    return false;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static void free_stream(struct infer_predictor *predictor, struct stream *stream)
{
    for (size_t i = 0; i < predictor->state_count; i++)
        buffer_free(&stream->buffers[i], &predictor->budget.allocator);
    release(&predictor->budget.allocator, stream, stream_bytes(predictor));
}

/* Zeros, with 1 for every free dimension. */
static bool first_state(struct infer_predictor *predictor, struct stream *stream, size_t index)
{
    const infer_value *value = &predictor->input_values[predictor->states[index].input];
    infer_tensor *state = &stream->states[index];
    state->dtype = value->dtype;
    state->rank = value->rank < 0 ? 0 : value->rank;
    for (int i = 0; i < state->rank; i++)
        state->dims[i] = value->dims[i] < 0 ? 1 : value->dims[i];
    state->bytes = infer_tensor_bytes(state->dtype, state->rank, state->dims);
    if (!buffer_reserve(&stream->buffers[index], &predictor->budget.allocator, state->bytes))
        return false;
    state->data = stream->buffers[index].data;
    memset(state->data, 0, state->bytes);
    return true;
}

static struct stream *make_stream(struct infer_predictor *predictor, uint64_t key)
{
    struct stream *stream = allocate(&predictor->budget.allocator, stream_bytes(predictor), ALIGNMENT);
    if (!stream)
        return NULL;
    memset(stream, 0, stream_bytes(predictor));
    stream->key = key;
    stream->buffers = (struct buffer *)(stream->states + predictor->state_count);
    for (size_t i = 0; i < predictor->state_count; i++)
        if (!first_state(predictor, stream, i)) {
            free_stream(predictor, stream);
            return NULL;
        }
    return stream;
}

/* --- the table, with the mutex held ------------------------------------------------------------------------------- */

static struct stream **bucket_of(struct streams *streams, uint64_t key)
{
    return &streams->buckets[(key * 0x9E3779B97F4A7C15u) >> 56];
}

static void forget(struct infer_predictor *predictor, struct stream *stream)
{
    struct streams *streams = &predictor->streams;
    struct stream **place = bucket_of(streams, stream->key);
    while (*place != stream)
        place = &(*place)->chain;
    *place = stream->chain;
    queue_remove(&stream->use);
    if (stream->holders == 0)
        free_stream(predictor, stream);
}

static void forget_least_recent(struct infer_predictor *predictor)
{
    struct queue_link *link = queue_first(&predictor->streams.uses);
    while (link && stream_of(link)->holders > 0)
        link = queue_next(link);
    if (link)
        forget(predictor, stream_of(link));
}

static struct stream *find_stream(struct streams *streams, uint64_t key)
{
    struct stream *stream = *bucket_of(streams, key);
    while (stream && stream->key != key)
        stream = stream->chain;
    return stream;
}

static struct stream *find_or_make(struct infer_predictor *predictor, uint64_t key)
{
    struct streams *streams = &predictor->streams;
    struct stream *stream = find_stream(streams, key);
    if (stream) {
        queue_remove(&stream->use);
        queue_push(&streams->uses, &stream->use, 0);
        return stream;
    }
    stream = make_stream(predictor, key);
    if (!stream)
        return NULL;
    if (streams->uses.length >= streams->most)
        forget_least_recent(predictor);
    struct stream **bucket = bucket_of(streams, key);
    stream->chain = *bucket;
    *bucket = stream;
    queue_push(&streams->uses, &stream->use, 0);
    return stream;
}

void streams_free(struct infer_predictor *predictor)
{
    for (struct queue_link *link; (link = queue_first(&predictor->streams.uses)) != NULL;)
        forget(predictor, stream_of(link));
}

void infer_predictor_end_stream(infer_predictor *predictor, uint64_t key)
{
    if (!predictor)
        return;
    predictor_lock(predictor);
    struct stream *stream = find_stream(&predictor->streams, key);
    if (stream)
        forget(predictor, stream);
    predictor_unlock(predictor);
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

bool stream_join(infer_prediction *prediction, uint64_t key)
{
    struct infer_predictor *predictor = prediction->predictor;
    predictor_lock(predictor);
    prediction->stream = find_or_make(predictor, key);
    if (prediction->stream)
        prediction->stream->holders++;
    predictor_unlock(predictor);
    return prediction->stream != NULL;
}

static void take_turn(infer_prediction *prediction)
{
    prediction->stream->turn = prediction->has_turn = true;
    if (prediction->predictor->hooks.preprocess)
        return; /* its inputs are still to be made */
    stream_fill(prediction);
    batch_describe(prediction);
}

bool stream_takes_turn(infer_prediction *prediction)
{
    if (!prediction->stream || prediction->has_turn)
        return true;
    if (prediction->stream->turn)
        return false;
    take_turn(prediction);
    return true;
}

void stream_leave(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    struct stream *stream = prediction->stream;
    if (!stream)
        return;
    prediction->stream = NULL;
    stream->holders--;
    if (prediction->has_turn) {
        stream->turn = prediction->has_turn = false;
        struct queue_link *link = queue_first(&predictor->queues[QUEUE_STREAMS]);
        while (link && prediction_of(link)->stream != stream)
            link = queue_next(link);
        if (link) {
            queue_exit(prediction_of(link));
            take_turn(prediction_of(link));
            pipeline_enter(prediction_of(link));
        }
    }
    if (stream->holders == 0 && !stream->use.queue)
        free_stream(predictor, stream);
}

/* --- states ------------------------------------------------------------------------------------------------------- */

void stream_fill(infer_prediction *prediction)
{
    const struct infer_predictor *predictor = prediction->predictor;
    for (size_t i = 0; i < predictor->state_count && prediction->stream; i++) {
        infer_tensor *input = &prediction->inputs[predictor->states[i].input];
        if (input->dtype == INFER_NONE)
            *input = prediction->stream->states[i];
    }
}

/* Nothing reads the old state any more: the run is over. */
infer_status stream_keep(infer_prediction *prediction, size_t output, const infer_tensor *from)
{
    struct infer_predictor *predictor = prediction->predictor;
    struct stream *stream = prediction->stream;
    for (size_t i = 0; i < predictor->state_count && stream; i++) {
        if (predictor->states[i].output != output)
            continue;
        const infer_value *value = &predictor->input_values[predictor->states[i].input];
        if (from->dtype != value->dtype)
            return fail(&prediction->error, INFER_INVALID_MODEL, "state %zu of the stream became %s", i,
                        infer_dtype_name(from->dtype));
        if (!buffer_reserve(&stream->buffers[i], &predictor->budget.allocator, from->bytes))
            return fail(&prediction->error, INFER_OUT_OF_MEMORY, "out of memory for state %zu of the stream", i);
        stream->states[i] = *from;
        stream->states[i].data = stream->buffers[i].data;
        if (from->bytes)
            memcpy(stream->buffers[i].data, from->data, from->bytes);
    }
    return INFER_OK;
}
