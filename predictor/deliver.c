/* Where results go: into the caller's memory, or into the request's own. */
#include "predictor/predictor.h"

#include <string.h>

static bool is_left_out(const infer_prediction *prediction, size_t index)
{
    if (!prediction->wanted)
        return false;
    return index >= prediction->wanted_count ||
           (!prediction->wanted[index].data && prediction->wanted[index].capacity == INFER_LEFT_OUT);
}

/* Memory of the caller's for result `index`; what a prediction has lent counts as none. */
static bool has_room(const infer_prediction *prediction, size_t index)
{
    if (!prediction->wanted || index >= prediction->wanted_count)
        return false;
    const infer_tensor *wanted = &prediction->wanted[index];
    return wanted->data && wanted->data != wanted->lent;
}

/* Bytes that a caller's memory has; what it holds by now may be fewer. */
static size_t room_of(const infer_tensor *wanted)
{
    return wanted->capacity ? wanted->capacity : wanted->bytes;
}

bool output_is_wanted(const infer_prediction *prediction, size_t index)
{
    return prediction->predictor->hooks.postprocess || prediction->keyed || prediction->stream ||
           !is_left_out(prediction, index);
}

bool output_is_own(const infer_prediction *prediction, size_t index)
{
    return output_is_wanted(prediction, index) &&
           (prediction->predictor->hooks.postprocess || !has_room(prediction, index));
}

infer_tensor output_place(infer_prediction *prediction, size_t index, size_t own_bytes)
{
    if (!output_is_wanted(prediction, index))
        return infer_output(NULL, INFER_LEFT_OUT);
    struct buffer *own = &prediction->own[index];
    if (!output_is_own(prediction, index))
        return infer_output(prediction->wanted[index].data, room_of(&prediction->wanted[index]));
    if (own_bytes && buffer_reserve(own, &prediction->predictor->budget.allocator, own_bytes))
        return infer_output(own->data, own->bytes);
    return infer_output(NULL, 0);
}

/* `place` begins with no type, so what has been delivered has one. */
static infer_status deliver(infer_prediction *prediction, size_t index, bool to_caller, const infer_tensor *from,
                            infer_tensor *place)
{
    struct infer_predictor *predictor = prediction->predictor;
    void *data;
    if (to_caller) {
        const infer_tensor *wanted = &prediction->wanted[index];
        size_t room = room_of(wanted);
        if (from->bytes > room)
            return fail(&prediction->error, INFER_INVALID_ARGUMENT,
                        "result %zu has %s bytes, and its memory room for %s", index, grouped(from->bytes).text,
                        grouped(room).text);
        data = wanted->data;
    } else {
        if (!buffer_reserve(&prediction->own[index], &predictor->budget.allocator, from->bytes))
            return fail(&prediction->error, INFER_OUT_OF_MEMORY, "out of memory for result %zu of %s bytes", index,
                        grouped(from->bytes).text);
        data = prediction->own[index].data;
    }
    if (data != from->data && from->bytes)
        memcpy(data, from->data, from->bytes);
    *place = *from;
    place->data = data;
    place->capacity = 0;
    place->lent = NULL;
    return INFER_OK;
}

infer_status output_deliver(infer_prediction *prediction, size_t index, const infer_tensor *from)
{
    infer_status status = stream_keep(prediction, index, from);
    if (status != INFER_OK || !output_is_wanted(prediction, index))
        return status;
    infer_tensor *place =
        prediction->predictor->hooks.postprocess ? &prediction->outputs[index] : &prediction->results[index];
    return deliver(prediction, index, !output_is_own(prediction, index), from, place);
}

infer_status results_deliver(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    for (size_t i = 0; i < predictor->result_count; i++) {
        infer_tensor *result = &prediction->results[i];
        if (is_left_out(prediction, i)) {
            *result = (infer_tensor){.dtype = INFER_NONE};
            continue;
        }
        /* What a hook has made lies in the request's memory already. */
        if (predictor->hooks.postprocess && has_room(prediction, i)) {
            infer_status status = deliver(prediction, i, true, result, result);
            if (status != INFER_OK)
                return status;
        }
    }
    for (size_t i = 0; prediction->wanted && i < prediction->wanted_count; i++) {
        if (is_left_out(prediction, i))
            continue;
        infer_tensor *wanted = &prediction->wanted[i], before = *wanted;
        bool room = has_room(prediction, i);
        *wanted = prediction->results[i];
        wanted->capacity = room ? room_of(&before) : 0;
        wanted->lent = room ? before.lent : wanted->data;
    }
    return INFER_OK;
}

infer_status results_copy(infer_prediction *prediction, const infer_tensor *results)
{
    for (size_t i = 0; i < prediction->predictor->result_count; i++) {
        if (results[i].dtype == INFER_NONE || is_left_out(prediction, i))
            continue;
        infer_status status = deliver(prediction, i, has_room(prediction, i), &results[i], &prediction->results[i]);
        if (status != INFER_OK)
            return status;
    }
    return results_deliver(prediction);
}
