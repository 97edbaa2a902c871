/* Loop and Scan: the body is a graph of its own with its own programs, run once an iteration. */
#include "runtime/runner.h"

#include "graph/op.h"
#include "kernels/copy.h"

#include <string.h>

struct loop_state {
    struct loop_state *next;
    const struct graph *body;
    struct runner runner;
    int count;             /* of the arrays below: inputs + outputs of the body */
    infer_tensor *tensors; /* the body's inputs, then its outputs */
    struct slot *carried;  /* state between iterations: results of the body change places with these */
    struct slot *slices;   /* of scanned inputs that are not cut along their first axis */
    struct slot *stacked;  /* scan outputs, one slice after another */
};

static int body_operands(const struct graph *body)
{
    return body->input_count + body->output_count + 1;
}

static void *zeroed(const struct allocator *allocator, size_t bytes)
{
    void *memory = allocate(allocator, bytes, ALIGNMENT);
    return memory ? memset(memory, 0, bytes) : NULL;
}

static void free_slots(const struct allocator *allocator, struct slot *slots, int count)
{
    for (int i = 0; slots && i < count; i++)
        slot_free(allocator, &slots[i]);
    release(allocator, slots, (size_t)count * sizeof *slots);
}

static void loop_free(const struct allocator *allocator, struct loop_state *loop)
{
    runner_free(&loop->runner);
    release(allocator, loop->tensors, (size_t)loop->count * sizeof *loop->tensors);
    free_slots(allocator, loop->carried, loop->count);
    free_slots(allocator, loop->slices, loop->count);
    free_slots(allocator, loop->stacked, loop->count);
    release(allocator, loop, sizeof *loop);
}

void loops_free(struct runner *runner)
{
    while (runner->loops) {
        struct loop_state *next = runner->loops->next;
        loop_free(runner->allocator, runner->loops);
        runner->loops = next;
    }
}

void loops_let_go(struct runner *runner)
{
    for (struct loop_state *loop = runner->loops; loop; loop = loop->next)
        runner_let_go(&loop->runner);
}

static enum status loop_create(struct runner *runner, const struct control *control, struct loop_state **result,
                               struct error *error)
{
    const struct allocator *allocator = runner->allocator;
    struct loop_state *loop = zeroed(allocator, sizeof *loop);
    if (!loop)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a loop");
    loop->count = body_operands(control->body);
    loop->body = control->body;
    loop->tensors = zeroed(allocator, (size_t)loop->count * sizeof *loop->tensors);
    loop->carried = zeroed(allocator, (size_t)loop->count * sizeof *loop->carried);
    loop->slices = zeroed(allocator, (size_t)loop->count * sizeof *loop->slices);
    loop->stacked = zeroed(allocator, (size_t)loop->count * sizeof *loop->stacked);
    enum status status = STATUS_OUT_OF_MEMORY;
    if (loop->tensors && loop->carried && loop->slices && loop->stacked)
        status = runner_init(&loop->runner, runner->session, control->body, allocator, error);
    if (status != STATUS_OK) {
        loop_free(allocator, loop);
        return error_set(error, status, "out of memory for a loop");
    }
    loop->runner.control = runner->control;
    loop->next = runner->loops;
    runner->loops = loop;
    *result = loop;
    return STATUS_OK;
}

static enum status loop_of(struct runner *runner, const struct control *control, struct loop_state **loop,
                           struct error *error)
{
    for (*loop = runner->loops; *loop; *loop = (*loop)->next)
        if ((*loop)->body == control->body)
            return STATUS_OK;
    return loop_create(runner, control, loop, error);
}

/* --- one iteration --------------------------------------------------------------------------------------- */

struct iteration {
    struct runner *outer;
    const struct program *program;
    const struct program_step *step;
    const struct control *control;
    struct loop_state *loop;
    struct error *error;
    int64_t number; /* iterations done */
};

static infer_tensor outer_input(const struct iteration *it, int index)
{
    return runner_tensor(it->outer, it->program, it->step->step->inputs[index], it->step->operands[index]);
}

/* Before the first iteration the state is the node's inputs; it is only read, so no copy is made. */
static void start_carried(const struct iteration *it, int node_first, int body_first)
{
    for (int i = 0; i < it->control->carried; i++)
        it->loop->tensors[body_first + i] = outer_input(it, node_first + i);
}

static void start_captures(const struct iteration *it)
{
    int captures = it->control->captures, node_first = it->step->step->input_count - captures;
    for (int i = 0; i < captures; i++)
        it->loop->tensors[it->control->body->input_count - captures + i] = outer_input(it, node_first + i);
}

static enum status run_body(const struct iteration *it)
{
    struct loop_state *loop = it->loop;
    const struct graph *body = it->control->body;
    infer_tensor *outputs = loop->tensors + body->input_count;
    for (int i = 0; i < body->output_count; i++)
        outputs[i] = (infer_tensor){0};
    enum status status = runner_bind_inputs(&loop->runner, loop->tensors, (size_t)body->input_count, true, it->error);
    if (status == STATUS_OK)
        status = runner_run(&loop->runner, outputs, (size_t)body->output_count, it->error);
    if (status != STATUS_OK)
        error_prefix(it->error, "node '%s' (%s), iteration %lld", it->step->step->node->name,
                     it->step->step->node->op->name, (long long)it->number);
    return status;
}

static void exchange(struct slot *a, struct slot *b)
{
    struct slot spare = *a;
    a->data = b->data;
    a->capacity = b->capacity;
    b->data = spare.data;
    b->capacity = spare.capacity;
}

/* The body's results become the next iteration's state: the buffers change places, nothing is copied. */
static void hand_over(const struct iteration *it, int body_input, int body_output)
{
    struct loop_state *loop = it->loop;
    for (int i = 0; i < it->control->carried; i++) {
        infer_tensor *made = &loop->tensors[it->control->body->input_count + body_output + i];
        exchange(&loop->runner.results[body_output + i], &loop->carried[i]);
        loop->tensors[body_input + i] = *made;
    }
}

/* Appends slice number `position` of scan output k. All slices have one shape. */
static enum status stack(const struct iteration *it, int k, int body_output, int64_t position)
{
    const infer_tensor *slice = &it->loop->tensors[it->control->body->input_count + body_output + k];
    struct slot *slot = &it->loop->stacked[k];
    if (infer_dtype_bits(slice->dtype) < 8)
        return error_set(it->error, STATUS_UNSUPPORTED,
                         "node '%s' (%s): scan output %d is %s, which cannot be stacked byte by byte",
                         it->step->step->node->name, it->step->step->node->op->name, k, infer_dtype_name(slice->dtype));
    if (it->number == 0) {
        slot->shape = (struct known_input){.dtype = (enum dtype)slice->dtype, .rank = slice->rank};
        memcpy(slot->dims, slice->dims, sizeof slot->dims);
    }
    bool same = slot->shape.rank == slice->rank;
    for (int i = 0; same && i < slice->rank; i++)
        same = slot->dims[i] == slice->dims[i];
    if (!same)
        return error_set(it->error, STATUS_FAULT, "node '%s' (%s): scan output %d changes its shape in iteration %lld",
                         it->step->step->node->name, it->step->step->node->op->name, k, (long long)it->number);
    size_t start, end, room = slot->capacity;
    if (!multiply_size(slice->bytes, (size_t)position, &start) || !add_size(start, slice->bytes, &end) ||
        end > SIZE_MAX / 2)
        return error_set(it->error, STATUS_OUT_OF_MEMORY, "a scan output passes the address space");
    bool grows = it->control->kind == CONTROL_LOOP && end <= it->outer->session->budget.limit / 2;
    if (end > room)
        TRY(slot_reserve(it->outer, slot, grows ? 2 * end : end, it->error));
    if (slice->bytes)
        memcpy((char *)slot->data + start, slice->data, slice->bytes);
    return STATUS_OK;
}

/* --- results --------------------------------------------------------------------------------------------- */

static struct slot *result_slot(const struct iteration *it, int output)
{
    struct operand place = it->step->operands[it->step->step->input_count + output];
    return place.space == SPACE_SLOT ? &it->outer->slots[place.index] : NULL;
}

static enum status give(const struct iteration *it, int output, const infer_tensor *tensor)
{
    struct slot *slot = result_slot(it, output);
    if (!slot)
        return STATUS_OK;
    TRY(slot_reserve(it->outer, slot, tensor->bytes, it->error));
    if (tensor->bytes)
        memcpy(slot->data, tensor->data, tensor->bytes);
    slot->shape = (struct known_input){.dtype = (enum dtype)tensor->dtype, .rank = tensor->rank, .dims = slot->dims};
    memcpy(slot->dims, tensor->dims, sizeof slot->dims);
    return STATUS_OK;
}

/* Without an iteration there is no slice to learn the shape from: the body's declaration counts, 0 where it is silent.
 */
static enum status declare_slice(const struct iteration *it, int k, int body_output)
{
    const struct value *declared = it->control->body->outputs[body_output + k];
    if (declared->dtype == DTYPE_NONE)
        return error_set(it->error, STATUS_UNSUPPORTED,
                         "node '%s' (%s): it runs no iteration, and its body does not declare the type of '%s'",
                         it->step->step->node->name, it->step->step->node->op->name, declared->name);
    struct slot *slot = &it->loop->stacked[k];
    slot->shape = (struct known_input){.dtype = declared->dtype, .rank = declared->rank < 0 ? 0 : declared->rank};
    for (int i = 0; i < slot->shape.rank; i++)
        slot->dims[i] = declared->dims[i] < 0 ? 0 : declared->dims[i];
    return STATUS_OK;
}

/* The stacked slices with the new axis moved to where the node wants it. */
static enum status give_stacked(const struct iteration *it, int k, int axis)
{
    const struct slot *slot = &it->loop->stacked[k];
    int rank = slot->shape.rank + 1, output = it->control->carried + k;
    if (rank > MAX_RANK || axis < -rank || axis >= rank)
        return error_set(it->error, STATUS_UNSUPPORTED,
                         "node '%s' (%s): scan output %d cannot be stacked along axis %d", it->step->step->node->name,
                         it->step->step->node->op->name, k, axis);
    axis = axis < 0 ? axis + rank : axis;
    infer_tensor tensor = {.data = slot->data, .dtype = (infer_dtype)slot->shape.dtype, .rank = rank};
    for (int i = 0, from = 0; i < rank; i++)
        tensor.dims[i] = i == axis ? it->number : slot->dims[from++];
    tensor.bytes = infer_tensor_bytes(tensor.dtype, rank, tensor.dims);
    if (axis == 0 || tensor.bytes == 0)
        return give(it, output, &tensor);
    struct slot *result = result_slot(it, output);
    if (!result)
        return STATUS_OK;
    struct copy_params params = {.rank = rank, .element_bytes = dtype_bits(slot->shape.dtype) / 8};
    int64_t stride = 1;
    contiguous_strides(rank, tensor.dims, params.output_strides);
    for (int i = rank - 1; i >= 0; i--) {
        params.dims[i] = tensor.dims[i];
        if (i == axis)
            continue;
        params.input_strides[i] = stride;
        stride *= tensor.dims[i];
    }
    params.input_strides[axis] = stride;
    TRY(slot_reserve(it->outer, result, tensor.bytes, it->error));
    copy_now(&params, slot->data, result->data);
    result->shape = (struct known_input){.dtype = slot->shape.dtype, .rank = rank, .dims = result->dims};
    memcpy(result->dims, tensor.dims, sizeof result->dims);
    return STATUS_OK;
}

static enum status give_all(const struct iteration *it, int body_input, int body_output, bool along_axes)
{
    const struct control *control = it->control;
    for (int i = 0; i < control->carried; i++)
        TRY(give(it, i, &it->loop->tensors[body_input + i]));
    for (int k = 0; k < control->scan_outputs; k++) {
        if (it->number == 0)
            TRY(declare_slice(it, k, body_output + control->carried));
        TRY(give_stacked(it, k, along_axes ? control->output_axes[k] : 0));
    }
    return STATUS_OK;
}

/* --- Loop ------------------------------------------------------------------------------------------------ */

static infer_tensor scalar(void *data, enum dtype dtype)
{
    return (infer_tensor){.data = data, .bytes = dtype_bytes(dtype, 1), .dtype = (infer_dtype)dtype};
}

/* A scalar input the body may declare as a list of one. */
static void match_rank(infer_tensor *tensor, const struct value *declared)
{
    if (declared->rank == 1) {
        tensor->rank = 1;
        tensor->dims[0] = 1;
    }
}

static enum status read_condition(const struct iteration *it, const infer_tensor *tensor, uint8_t *condition)
{
    if (tensor->dtype != INFER_BOOL || tensor->bytes != 1)
        return error_set(it->error, STATUS_INVALID_MODEL,
                         "node '%s' (%s): the condition that its body makes is %s of %zu bytes; it must be one bool",
                         it->step->step->node->name, it->step->step->node->op->name, infer_dtype_name(tensor->dtype),
                         tensor->bytes);
    *condition = *(const uint8_t *)tensor->data;
    return STATUS_OK;
}

static enum status run_loop(struct iteration *it)
{
    const struct control *control = it->control;
    const struct step *step = it->step->step;
    infer_tensor *tensors = it->loop->tensors;
    int64_t trip = step->inputs[0] ? *(const int64_t *)outer_input(it, 0).data : INT64_MAX;
    uint8_t condition = step->inputs[1] ? *(const uint8_t *)outer_input(it, 1).data : 1;
    start_carried(it, 2, 2);
    start_captures(it);
    for (; it->number < trip && condition; it->number++) {
        TRY(run_control_turn(it->outer->control, step, it->error));
        tensors[0] = scalar(&it->number, DTYPE_I64);
        tensors[1] = scalar(&condition, DTYPE_BOOL);
        match_rank(&tensors[0], control->body->inputs[0]);
        match_rank(&tensors[1], control->body->inputs[1]);
        TRY(run_body(it));
        TRY(read_condition(it, &tensors[control->body->input_count], &condition));
        for (int k = 0; k < control->scan_outputs; k++)
            TRY(stack(it, k, 1 + control->carried, it->number));
        hand_over(it, 2, 1);
    }
    return give_all(it, 2, 1, false);
}

/* --- Scan ------------------------------------------------------------------------------------------------ */

/* Slice `position` of scanned input k, with the axis gone. */
static enum status cut(const struct iteration *it, int k, int64_t position)
{
    const struct control *control = it->control;
    infer_tensor whole = outer_input(it, control->carried + k);
    infer_tensor *slice = &it->loop->tensors[control->carried + k];
    int axis = control->input_axes[k];
    *slice = (infer_tensor){.dtype = whole.dtype, .rank = whole.rank - 1};
    struct copy_params params = {.rank = slice->rank, .element_bytes = infer_dtype_bits(whole.dtype) / 8};
    int64_t strides[MAX_RANK];
    contiguous_strides(whole.rank, whole.dims, strides);
    for (int i = 0, to = 0; i < whole.rank; i++) {
        if (i == axis)
            continue;
        slice->dims[to] = params.dims[to] = whole.dims[i];
        params.input_strides[to++] = strides[i];
    }
    contiguous_strides(slice->rank, slice->dims, params.output_strides);
    params.input_offset = position * strides[axis];
    slice->bytes = infer_tensor_bytes(slice->dtype, slice->rank, slice->dims);
    struct slot *slot = &it->loop->slices[k];
    TRY(slot_reserve(it->outer, slot, slice->bytes, it->error));
    slice->data = slot->data;
    if (slice->bytes)
        copy_now(&params, whole.data, slot->data);
    return STATUS_OK;
}

static enum status run_scan(struct iteration *it)
{
    const struct control *control = it->control;
    start_carried(it, 0, 0);
    start_captures(it);
    for (; it->number < control->trip; it->number++) {
        int64_t backwards = control->trip - 1 - it->number;
        TRY(run_control_turn(it->outer->control, it->step->step, it->error));
        for (int k = 0; k < control->scan_inputs; k++)
            TRY(cut(it, k, control->input_reverse[k] ? backwards : it->number));
        TRY(run_body(it));
        for (int k = 0; k < control->scan_outputs; k++)
            TRY(stack(it, k, control->carried, control->output_reverse[k] ? backwards : it->number));
        hand_over(it, 0, 0);
    }
    return give_all(it, 0, 0, true);
}

/* A run of an odd number of iterations leaves the larger buffers where the state was. Nothing is in them any more: the
 * first iteration finds room for its results. */
static void take_back(struct loop_state *loop, const struct control *control)
{
    int first = control->kind == CONTROL_LOOP ? 1 : 0;
    for (int i = 0; i < control->carried; i++) {
        struct slot *result = &loop->runner.results[first + i], *state = &loop->carried[i];
        if (state->capacity > result->capacity)
            exchange(state, result);
    }
}

enum status runner_loop(struct runner *runner, const struct program *program, const struct program_step *step,
                        struct error *error)
{
    struct iteration it = {
        .outer = runner, .program = program, .step = step, .control = step->step->control, .error = error};
    TRY(loop_of(runner, it.control, &it.loop, error));
    take_back(it.loop, it.control);
    return it.control->kind == CONTROL_LOOP ? run_loop(&it) : run_scan(&it);
}
