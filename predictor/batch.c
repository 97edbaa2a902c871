/* Requests that share a run: their inputs, padded to one size, one after another along the first dimension, and their
 * results cut apart. */
#include "predictor/predictor.h"

#include "formats/hash.h"

#include <string.h>

static infer_status first_is_free(const infer_value *value, const char *what, bool may_be_unknown, infer_error *error)
{
    if (value->rank < 0 && may_be_unknown)
        return INFER_OK;
    if (value->rank < 1)
        return fail(error, INFER_INVALID_ARGUMENT, "a batch needs a first dimension, and %s '%s' has none", what,
                    legible(value->name).text);
    if (value->dims[0] >= 0)
        return fail(error, INFER_INVALID_ARGUMENT,
                    "a batch needs a first dimension that is free, and that of %s '%s' is %lld", what,
                    legible(value->name).text, (long long)value->dims[0]);
    return INFER_OK;
}

infer_status batch_check(const struct infer_predictor *predictor, infer_error *error)
{
    for (size_t i = 0; i < predictor->input_count; i++) {
        infer_status status = first_is_free(&predictor->input_values[i], "input", false, error);
        if (status != INFER_OK)
            return status;
    }
    for (size_t i = 0; i < predictor->output_count; i++) {
        infer_value value;
        infer_status status = infer_model_output(predictor->model, i, &value);
        if (status == INFER_OK)
            status = first_is_free(&value, "output", true, error);
        if (status != INFER_OK)
            return status;
    }
    return INFER_OK;
}

/* Bytes of a row; 0: it does not end at a whole byte, or there is no row. */
static size_t row_bytes(const infer_tensor *tensor)
{
    if (tensor->rank < 1 || tensor->dims[0] < 1)
        return 0;
    size_t bytes = infer_tensor_bytes(tensor->dtype, tensor->rank - 1, tensor->dims + 1);
    if (bytes == SIZE_MAX || bytes == 0)
        return 0;
    int64_t elements;
    if (!shape_elements(tensor->rank - 1, tensor->dims + 1, &elements))
        return 0;
    return (uint64_t)elements * infer_dtype_bits(tensor->dtype) % 8 ? 0 : bytes;
}

void batch_describe(infer_prediction *prediction)
{
    const struct infer_predictor *predictor = prediction->predictor;
    pad_describe(prediction);
    prediction->rows = 0;
    if (!predictor->batches)
        return;
    uint64_t shape = 0;
    for (size_t i = 0; i < predictor->input_count; i++) {
        const infer_tensor input = pad_input(prediction, i);
        if (row_bytes(&input) == 0 || input.dims[0] != prediction->inputs[0].dims[0])
            return;
        shape = xxh64(input.dims + 1, (size_t)(input.rank - 1) * sizeof *input.dims,
                      shape ^ ((uint64_t)input.dtype << 8 | (uint64_t)input.rank));
    }
    prediction->shape = shape;
    prediction->rows = prediction->inputs[0].dims[0];
}

static bool goes_with(const infer_prediction *a, const infer_prediction *b)
{
    if (a->rows == 0 || b->rows == 0 || a->shape != b->shape)
        return false;
    for (size_t i = 0; i < a->predictor->input_count; i++) {
        const infer_tensor x = pad_input(a, i), y = pad_input(b, i);
        if (x.dtype != y.dtype || x.rank != y.rank ||
            memcmp(x.dims + 1, y.dims + 1, (size_t)(x.rank - 1) * sizeof *x.dims) != 0)
            return false;
    }
    return true;
}

/* --- who goes together -------------------------------------------------------------------------------------------- */

static bool may_wait(const struct infer_predictor *predictor, const infer_prediction *first, int64_t rows, int64_t now)
{
    return rows > 0 && rows < predictor->batch_size && !first->prompt && !predictor->closed &&
           now - first->queued < predictor->delay;
}

/* Chooses without taking: a batch that is worth waiting for stays in the queue. */
static size_t choose(const struct infer_predictor *predictor, struct lane *lane, infer_prediction *first, int64_t *rows)
{
    size_t count = 1;
    lane->batch[0] = first;
    *rows = first->rows;
    for (struct queue_link *link = queue_next(&first->link); link && *rows > 0 && *rows < predictor->batch_size;
         link = queue_next(link)) {
        infer_prediction *other = prediction_of(link);
        if (!goes_with(first, other) || other->rows > predictor->batch_size - *rows)
            continue;
        lane->batch[count++] = other;
        *rows += other->rows;
    }
    return count;
}

size_t batch_take(struct infer_predictor *predictor, struct lane *lane, int64_t now, int64_t *until)
{
    struct queue_link *link = queue_first(&predictor->queues[STAGE_MODEL]);
    if (!link)
        return 0;
    infer_prediction *first = prediction_of(link);
    int64_t rows;
    size_t count = choose(predictor, lane, first, &rows);
    if (may_wait(predictor, first, rows, now)) {
        int64_t end = first->queued + predictor->delay;
        *until = end < *until ? end : *until;
        return 0;
    }
    lane->batch_count = count;
    return count;
}

/* --- runs --------------------------------------------------------------------------------------------------------- */

static bool all_are_cancelled(infer_prediction *const *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!members[i]->cancelled)
            return false;
    return true;
}

/* The latest deadline of the members', and what the options allow. */
static infer_run_limits limits_of(const struct infer_predictor *predictor, infer_prediction *const *members,
                                  size_t count, int64_t now)
{
    infer_run_limits limits = predictor->run_limits;
    int64_t latest = 0;
    for (size_t i = 0; i < count; i++)
        latest = members[i]->deadline.time > latest ? members[i]->deadline.time : latest;
    if (latest != NEVER) {
        double left = (double)(latest - now) * 1e-9;
        left = left > 1e-9 ? left : 1e-9;
        limits.seconds = limits.seconds > 0 && limits.seconds < left ? limits.seconds : left;
    }
    return limits;
}

/* False: all of them were cancelled before. */
static bool run_begins(struct infer_predictor *predictor, struct lane *lane, infer_prediction **members, size_t count)
{
    predictor_lock(predictor);
    bool cancelled = all_are_cancelled(members, count);
    lane->members = members;
    lane->member_count = cancelled ? 0 : count;
    lane->cancel_sent = false;
    predictor_unlock(predictor);
    return !cancelled;
}

/* Whether the members asked for it where it was cancelled: a cancel can reach a context when its run has just ended,
 * and then it ends the next one. */
static bool run_ends(struct infer_predictor *predictor, struct lane *lane, infer_status status)
{
    predictor_lock(predictor);
    bool meant = status != INFER_CANCELLED || all_are_cancelled(lane->members, lane->member_count);
    lane->member_count = 0;
    predictor_unlock(predictor);
    return meant;
}

/* One run for all members. */
static infer_status run_members(struct infer_predictor *predictor, struct lane *lane, infer_prediction **members,
                                size_t count, const infer_tensor *inputs, infer_tensor *outputs, infer_error *error)
{
    infer_status status;
    infer_run_limits limits = limits_of(predictor, members, count, clock_now());
    infer_context_limit(lane->context, &limits, NULL);
    do {
        if (!run_begins(predictor, lane, members, count))
            return fail(error, INFER_CANCELLED, "the request was cancelled");
        status = infer_run(lane->context, inputs, predictor->input_count, outputs, predictor->output_count, error);
    } while (!run_ends(predictor, lane, status));
    return status;
}

/* Bytes from which a copy takes longer than finding out where it can be spared. */
#define WORTH_PLACING 65536

static bool same_shapes(const infer_tensor *a, const infer_tensor *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i].dtype != b[i].dtype || a[i].rank != b[i].rank ||
            (a[i].rank > 0 && memcmp(a[i].dims, b[i].dims, (size_t)a[i].rank * sizeof *a[i].dims) != 0))
            return false;
    return true;
}

/* What the outputs will be, by the shapes of the inputs alone: nothing of a run is computed before. The lane remembers
 * the shapes that it was last asked for. */
static bool foresee_outputs(struct infer_predictor *predictor, struct lane *lane, const infer_tensor *inputs)
{
    if (lane->foreseen && same_shapes(lane->shapes, inputs, predictor->input_count))
        return true;
    memcpy(lane->shapes, inputs, predictor->input_count * sizeof *inputs);
    for (size_t i = 0; i < predictor->input_count; i++)
        lane->shapes[i].data = NULL;
    lane->foreseen = infer_session_outputs(predictor->session, lane->shapes, predictor->input_count, lane->expected,
                                           predictor->output_count, NULL) == INFER_OK;
    return lane->foreseen;
}

/* Large outputs that the request keeps are written where they will lie: what a run lends is the context's, and would
 * have to be copied. */
static void place_outputs(struct infer_predictor *predictor, struct lane *lane, infer_prediction *prediction)
{
    bool foreseen = lane->kept_bytes >= WORTH_PLACING && foresee_outputs(predictor, lane, prediction->inputs);
    for (size_t i = 0; i < predictor->output_count; i++)
        lane->outputs[i] = output_place(prediction, i, foreseen ? lane->expected[i].bytes : 0);
}

static infer_status run_alone(struct infer_predictor *predictor, struct lane *lane, infer_prediction **member)
{
    infer_prediction *prediction = *member;
    place_outputs(predictor, lane, prediction);
    infer_status status =
        run_members(predictor, lane, member, 1, prediction->inputs, lane->outputs, &prediction->error);
    lane->kept_bytes = 0;
    for (size_t i = 0; i < predictor->output_count && status == INFER_OK; i++) {
        lane->kept_bytes += output_is_own(prediction, i) ? lane->outputs[i].bytes : 0;
        status = output_deliver(prediction, i, &lane->outputs[i]);
    }
    return status;
}

/* The members' inputs one after another, each padded. */
static bool gather(struct infer_predictor *predictor, struct lane *lane)
{
    for (size_t i = 0; i < predictor->input_count; i++) {
        infer_tensor *all = &lane->inputs[i];
        *all = pad_input(lane->batch[0], i);
        if (all->dtype == INFER_NONE)
            continue;
        for (size_t k = 1; k < lane->batch_count; k++)
            all->dims[0] += lane->batch[k]->rows;
        all->bytes = infer_tensor_bytes(all->dtype, all->rank, all->dims);
        if (all->bytes == SIZE_MAX || !buffer_reserve(&lane->gathered[i], &predictor->budget.allocator, all->bytes))
            return false;
        all->data = lane->gathered[i].data;
        char *at = all->data;
        for (size_t k = 0; k < lane->batch_count; k++)
            at += pad_copy(lane->batch[k], i, at);
    }
    return true;
}

static infer_status scatter_one(struct lane *lane, infer_prediction *prediction, int64_t first_row, size_t output_count)
{
    for (size_t i = 0; i < output_count; i++) {
        if (!output_is_wanted(prediction, i))
            continue;
        infer_tensor part = lane->outputs[i];
        if (lane->batch_count > 1) {
            size_t row = row_bytes(&part);
            part.dims[0] = prediction->rows;
            part.bytes = row * (size_t)prediction->rows;
            part.data = (char *)part.data + row * (size_t)first_row;
        }
        infer_status status = pad_cut(prediction, i, &lane->cut, &part);
        if (status == INFER_OK)
            status = output_deliver(prediction, i, &part);
        if (status != INFER_OK)
            return status;
    }
    return INFER_OK;
}

/* Whether every output has the rows of the inputs, so that it can be cut. */
static bool can_be_cut(const struct infer_predictor *predictor, const struct lane *lane)
{
    for (size_t i = 0; i < predictor->output_count; i++) {
        const infer_tensor *output = &lane->outputs[i];
        bool left_out = !output->data && output->capacity == INFER_LEFT_OUT;
        if (!left_out && (row_bytes(output) == 0 || output->dims[0] != lane->inputs[0].dims[0]))
            return false;
    }
    return true;
}

static bool run_together(struct infer_predictor *predictor, struct lane *lane)
{
    if (!gather(predictor, lane))
        return false;
    for (size_t i = 0; i < predictor->output_count; i++) {
        bool wanted = false;
        for (size_t k = 0; k < lane->batch_count; k++)
            wanted = wanted || output_is_wanted(lane->batch[k], i);
        lane->outputs[i] = infer_output(NULL, wanted ? 0 : INFER_LEFT_OUT);
    }
    if (run_members(predictor, lane, lane->batch, lane->batch_count, lane->inputs, lane->outputs, NULL) != INFER_OK ||
        (lane->batch_count > 1 && !can_be_cut(predictor, lane)))
        return false;
    int64_t row = 0;
    for (size_t k = 0; k < lane->batch_count; k++) {
        infer_prediction *member = lane->batch[k];
        member->status = scatter_one(lane, member, row, predictor->output_count);
        row += member->rows;
    }
    return true;
}

/* What fails together may succeed alone, and as it is: one bad item is nothing to the others. */
void batch_run(struct infer_predictor *predictor, struct lane *lane)
{
    if ((lane->batch_count > 1 || lane->batch[0]->pads) && run_together(predictor, lane))
        return;
    for (size_t k = 0; k < lane->batch_count; k++)
        lane->batch[k]->status = run_alone(predictor, lane, &lane->batch[k]);
}
