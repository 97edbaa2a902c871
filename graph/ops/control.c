/* If, Loop, Scan. Their subgraphs are closed: what they use of the outer graph comes in as the last inputs. */
#include "graph/op.h"

/* --- If: known once its condition is, and then it is the chosen branch ----------------------------------- */

static const struct graph *chosen_branch(const struct op_context *c)
{
    const uint8_t *condition = op_input(c, 0)->data;
    return op_graph(c, *condition ? "then_branch" : "else_branch");
}

static enum status shapes_if(struct op_context *c)
{
    if (op_input(c, 0)->list)
        return op_error(c, STATUS_INVALID_MODEL, "its condition is no tensor");
    TRY(op_require(c, 0, TYPE(DTYPE_BOOL)));
    if (value_elements(op_input(c, 0)) != 1)
        return op_error(c, STATUS_INVALID_MODEL, "its condition has %lld elements; it must have one",
                        (long long)value_elements(op_input(c, 0)));
    TRY(op_need(c, 0));
    const struct graph *branch = chosen_branch(c);
    if (!branch)
        return op_error(c, STATUS_INVALID_MODEL, "a branch is missing");
    if (branch->input_count != c->node->input_count - 1 || branch->output_count < c->node->output_count)
        return op_error(c, STATUS_INVALID_MODEL, "branch '%s' has %d inputs and %d outputs; the node has %d and %d",
                        branch->name, branch->input_count, branch->output_count, c->node->input_count - 1,
                        c->node->output_count);
    return STATUS_OK;
}

static enum status expand_if(struct op_context *c)
{
    const struct graph *branch = chosen_branch(c);
    struct value **outputs = region_array(c->graph->region, (size_t)branch->output_count, sizeof *outputs);
    if (!outputs)
        return op_no_memory(c);
    for (int i = 0; i < c->node->output_count; i++)
        outputs[i] = c->node->outputs[i];
    return inline_graph(branch, c->graph, c->expansion, c->node->inputs + 1, outputs, c->error);
}

OPERATOR(If, 1, ANY_COUNT, 1, ANY_COUNT, shapes_if, .flags = OP_TAKES_SEQUENCES, .expand = expand_if)

/* --- Loop and Scan: run by the runtime, iteration by iteration ------------------------------------------- */

static enum status emit_control(struct op_context *c, const struct control *control)
{
    struct control *copy = region_allocate(c->graph->region, sizeof *copy);
    if (!copy)
        return op_no_memory(c);
    *copy = *control;
    struct emission emission = {
        .control = copy,
        .inputs = c->node->inputs,
        .input_count = c->node->input_count,
        .outputs = c->node->outputs,
        .output_count = c->node->output_count,
        .node = c->node,
    };
    return c->receiver->take(c->receiver, &emission, c->error);
}

static enum status require_body(struct op_context *c, int inputs, int outputs)
{
    const struct graph *body = op_graph(c, "body");
    if (!body)
        return op_error(c, STATUS_INVALID_MODEL, "it has no body");
    if (body->input_count != inputs || body->output_count != outputs)
        return op_error(c, STATUS_INVALID_MODEL, "its body has %d inputs and %d outputs; the node needs %d and %d",
                        body->input_count, body->output_count, inputs, outputs);
    return STATUS_OK;
}

/* Sizes of what the body makes, and types that it does not declare, are known only once it has run. */
static enum status set_body_outputs(struct op_context *c, int body_first, int carried, int carried_first)
{
    const struct graph *body = op_graph(c, "body");
    for (int i = 0; i < c->node->output_count; i++) {
        enum dtype dtype = body->outputs[body_first + i]->dtype;
        if (dtype == DTYPE_NONE && i < carried)
            dtype = op_input(c, carried_first + i)->dtype;
        TRY(op_set_output_at_run(c, i, dtype, -1, NULL));
    }
    return STATUS_OK;
}

/* Loop: (trip count, condition, carried..., captures...) → (carried..., scan outputs...). The number of carried values
 * is what the body's outputs leave once scan outputs are told apart: a body has iteration, condition and carried inputs
 * before its captures, and condition, carried and scan outputs. The importer keeps the count of captures. */
static int loop_captures(const struct op_context *c)
{
    int64_t captures = op_int(c, "captures");
    return captures >= 0 && captures <= c->node->input_count ? (int)captures : c->node->input_count;
}

static enum status shapes_loop(struct op_context *c)
{
    int carried = c->node->input_count - 2 - loop_captures(c);
    if (carried < 0 || carried > c->node->output_count)
        return op_error(c, STATUS_INVALID_MODEL, "it has %d carried inputs and only %d outputs", carried,
                        c->node->output_count);
    TRY(op_allow(c, 0, TYPE(DTYPE_I64)));
    TRY(op_allow(c, 1, TYPE(DTYPE_BOOL)));
    for (int i = 0; i < 2; i++)
        if (op_input(c, i) && value_elements(op_input(c, i)) != 1)
            return op_error(c, STATUS_INVALID_MODEL, "input %d must have one element", i);
    for (int i = 2; i < c->node->input_count; i++)
        if (!op_input(c, i))
            return op_error(c, STATUS_UNSUPPORTED, "carried input %d is absent", i - 2);
    TRY(require_body(c, c->node->input_count, c->node->output_count + 1));
    return set_body_outputs(c, 1, carried, 2);
}

static enum status lower_loop(struct op_context *c)
{
    int captures = loop_captures(c), carried = c->node->input_count - 2 - captures;
    return emit_control(c, &(struct control){
                               .kind = CONTROL_LOOP,
                               .body = op_graph(c, "body"),
                               .carried = carried,
                               .scan_outputs = c->node->output_count - carried,
                               .captures = captures,
                           });
}

const struct op op_Loop = {
    .domain = "",
    .name = "Loop",
    .min_inputs = 2, /* which may be absent */
    .max_inputs = ANY_COUNT,
    .min_outputs = 1,
    .max_outputs = ANY_COUNT,
    .flags = OP_LOOSE_INPUTS,
    ATTRIBUTES_OF(Loop),
    .shapes = shapes_loop,
    .lower = lower_loop,
};

struct scan_counts {
    int carried, scan_inputs, scan_outputs, captures;
};

static enum status scan_counts(struct op_context *c, struct scan_counts *counts)
{
    if (c->node->version < 9)
        return op_error(c, STATUS_UNSUPPORTED,
                        "a Scan of opset 8 is for the importer, which makes two of opset 9 of it");
    counts->captures = loop_captures(c);
    int64_t scan_inputs = op_int(c, "num_scan_inputs");
    counts->scan_inputs = scan_inputs >= 0 && scan_inputs <= c->node->input_count ? (int)scan_inputs : 0;
    counts->carried = c->node->input_count - counts->captures - counts->scan_inputs;
    counts->scan_outputs = c->node->output_count - counts->carried;
    if (counts->scan_inputs < 1 || counts->carried < 0 || counts->scan_outputs < 0)
        return op_error(c, STATUS_INVALID_MODEL, "num_scan_inputs is %d for %d inputs and %d outputs",
                        counts->scan_inputs, c->node->input_count, c->node->output_count);
    return STATUS_OK;
}

/* The axis each scanned input is cut along, and the number of slices, which all must share. */
static enum status scan_inputs(struct op_context *c, const struct scan_counts *counts, int *axes, int64_t *trip)
{
    int given;
    const int64_t *raw = op_int_list(c, "scan_input_axes", &given);
    *trip = -1;
    for (int i = 0; i < counts->scan_inputs; i++) {
        const struct value *input = op_input(c, counts->carried + i);
        if (!input || input->rank < 1)
            return op_error(c, STATUS_INVALID_MODEL, "scanned input %d has no axis to scan", i);
        if (dtype_bits(input->dtype) < 8)
            return op_error(c, STATUS_UNSUPPORTED, "scanned input %d is %s, which cannot be cut byte by byte", i,
                            dtype_name(input->dtype));
        TRY(op_axis(c, "scan_input_axes", i < given ? raw[i] : 0, input->rank, &axes[i]));
        if (*trip >= 0 && input->dims[axes[i]] != *trip)
            return op_error(c, STATUS_INVALID_ARGUMENT, "scanned inputs have %lld and %lld slices", (long long)*trip,
                            (long long)input->dims[axes[i]]);
        *trip = input->dims[axes[i]];
    }
    return STATUS_OK;
}

static enum status shapes_scan(struct op_context *c)
{
    struct scan_counts counts;
    TRY(scan_counts(c, &counts));
    TRY(require_body(c, c->node->input_count, c->node->output_count));
    int *axes = region_array(c->graph->region, (size_t)counts.scan_inputs, sizeof *axes);
    int64_t trip;
    if (!axes)
        return op_no_memory(c);
    TRY(scan_inputs(c, &counts, axes, &trip));
    return set_body_outputs(c, 0, counts.carried, 0);
}

static bool *directions(struct op_context *c, const char *name, int count)
{
    int given;
    const int64_t *raw = op_int_list(c, name, &given);
    bool *reverse = region_array(c->graph->region, (size_t)count, sizeof *reverse);
    for (int i = 0; reverse && i < count && i < given; i++)
        reverse[i] = raw[i] != 0;
    return reverse;
}

static enum status lower_scan(struct op_context *c)
{
    struct scan_counts counts;
    TRY(scan_counts(c, &counts));
    int *input_axes = region_array(c->graph->region, (size_t)counts.scan_inputs, sizeof *input_axes);
    int *output_axes = region_array(c->graph->region, (size_t)counts.scan_outputs, sizeof *output_axes);
    bool *input_reverse = directions(c, "scan_input_directions", counts.scan_inputs);
    bool *output_reverse = directions(c, "scan_output_directions", counts.scan_outputs);
    if (!input_axes || !output_axes || !input_reverse || !output_reverse)
        return op_no_memory(c);
    struct control control = {
        .kind = CONTROL_SCAN,
        .body = op_graph(c, "body"),
        .carried = counts.carried,
        .scan_inputs = counts.scan_inputs,
        .scan_outputs = counts.scan_outputs,
        .captures = counts.captures,
        .input_axes = input_axes,
        .output_axes = output_axes,
        .input_reverse = input_reverse,
        .output_reverse = output_reverse,
    };
    TRY(scan_inputs(c, &counts, input_axes, &control.trip));
    int given;
    const int64_t *raw = op_int_list(c, "scan_output_axes", &given);
    for (int i = 0; i < counts.scan_outputs; i++)
        output_axes[i] =
            i < given ? (int)raw[i] : 0; /* negative ones count from the end, known with the slice's rank */
    return emit_control(c, &control);
}

OPERATOR(Scan, 1, ANY_COUNT, 1, ANY_COUNT, shapes_scan, .lower = lower_scan)
