/* State of a Loop or Scan that every iteration hands on as it got it, as tf2onnx writes weights of recurrent layers: it
 * becomes a capture, which costs nothing an iteration, or a constant of the body, which kernels may pack once. Runs
 * before any constant is folded: what a body reads must be the model's own. */
#include "graph/passes/rewrite.h"

struct loop {
    struct node *node;
    const struct graph *body;
    int first, body_input, body_output; /* of the carried values: inputs of the node, inputs and outputs of the body */
    int carried, captures;
};

/* False: it is none, or not of a form that `shapes` would take. */
static bool find_loop(struct node *node, struct loop *loop)
{
    bool scan = is_op(node, "Scan");
    const struct attribute *body = node_attribute_of(node, "body", ATTRIBUTE_GRAPH);
    if (!body || !(scan || is_op(node, "Loop")))
        return false;
    int64_t captures = node_int(node, "captures"), sliced = scan ? node_int(node, "num_scan_inputs") : 2;
    if (captures < 0 || captures > node->input_count || sliced < 0 || sliced > node->input_count - captures)
        return false;
    *loop = (struct loop){.node = node,
                          .body = body->graph,
                          .first = scan ? 0 : 2,
                          .body_input = scan ? 0 : 2,
                          .body_output = scan ? 0 : 1,
                          .carried = node->input_count - (int)sliced - (int)captures,
                          .captures = (int)captures};
    return loop->carried <= node->output_count && body->graph->input_count == node->input_count &&
           body->graph->output_count == node->output_count + loop->body_output;
}

static const struct value *origin(const struct graph *body, const struct value *value)
{
    for (int i = body->node_count - 1; i >= 0; i--) {
        const struct node *node = body->nodes[i];
        if (is_op(node, "Identity") && node->input_count == 1 && node->output_count == 1 && node->outputs[0] == value)
            value = node->inputs[0];
    }
    return value;
}

static bool is_invariant(const struct rewriter *r, const struct loop *loop, int i)
{
    const struct value *from = loop->node->inputs[loop->first + i], *to = loop->node->outputs[i];
    const struct value *inside = loop->body->inputs[loop->body_input + i];
    return from && !(to && pass_pins(r->context, to)) &&
           (inside->dtype == DTYPE_NONE || from->dtype == DTYPE_NONE || inside->dtype == from->dtype) &&
           origin(loop->body, loop->body->outputs[loop->body_output + i]) == inside;
}

/* An output that hands a formal input on has to be made once that is a constant. */
static bool make_output(struct graph *body, struct value *constant, struct value **output)
{
    struct value *made = graph_add_value(body, "", constant->dtype, constant->rank, constant->dims);
    if (!made ||
        !graph_add_node(body, op_find("", "Identity"), NEWEST_OPSET, constant->name, 1, &constant, 1, &made, 0, NULL))
        return false;
    *output = made;
    return true;
}

static bool become_constant(struct graph *body, const struct value *formal, const struct value *from)
{
    struct value *constant = graph_add_constant(body, formal->name, from->dtype, from->rank, from->dims, from->data);
    bool done = constant;
    for (int i = 0; i < body->node_count; i++)
        for (int k = 0; k < body->nodes[i]->input_count; k++)
            if (body->nodes[i]->inputs[k] == formal)
                body->nodes[i]->inputs[k] = constant;
    for (int i = 0; done && i < body->output_count; i++)
        if (body->outputs[i] == formal)
            done = make_output(body, constant, &body->outputs[i]);
    return done;
}

/* The lists of the node and of the body in the making. */
struct lists {
    struct value **inputs, **formals;
    int input_count, captures;
    struct value **outputs, **made;
    int output_count;
};

static bool start_lists(const struct loop *loop, struct region *region, struct lists *lists)
{
    size_t inputs = (size_t)loop->node->input_count + 1, outputs = (size_t)loop->node->output_count + 2;
    *lists = (struct lists){.inputs = region_array(region, inputs, sizeof *lists->inputs),
                            .formals = region_array(region, inputs, sizeof *lists->formals),
                            .captures = loop->captures,
                            .outputs = region_array(region, outputs, sizeof *lists->outputs),
                            .made = region_array(region, outputs, sizeof *lists->made)};
    return lists->inputs && lists->formals && lists->outputs && lists->made;
}

static void keep_input(const struct loop *loop, const struct graph *body, int i, struct lists *lists)
{
    lists->inputs[lists->input_count] = loop->node->inputs[i];
    lists->formals[lists->input_count++] = body->inputs[i];
}

/* Everything but the invariants, which follow as captures where they are no constants. */
static void fill_lists(const struct loop *loop, const struct graph *body, const bool *invariant, struct lists *lists)
{
    const struct node *node = loop->node;
    int shift = loop->body_output;
    if (shift)
        lists->made[0] = body->outputs[0];
    for (int i = 0; i < node->output_count; i++) {
        if (i < loop->carried && invariant[i])
            continue;
        lists->made[shift + lists->output_count] = body->outputs[shift + i];
        lists->outputs[lists->output_count++] = node->outputs[i];
    }
    for (int i = 0; i < node->input_count; i++)
        if (i < loop->first || i >= loop->first + loop->carried || !invariant[i - loop->first])
            keep_input(loop, body, i, lists);
    for (int i = 0; i < loop->carried; i++) {
        if (invariant[i] && !node->inputs[loop->first + i]->data) {
            keep_input(loop, body, loop->first + i, lists);
            lists->captures++;
        }
    }
}

/* The node with another body and its number of captures. */
static enum status rewrite_loop(struct rewriter *r, struct node *node, struct graph *body, const struct lists *lists)
{
    struct region *region = r->c.graph->region;
    struct attribute *attributes = region_array(region, (size_t)node->attribute_count + 1, sizeof *attributes);
    int version = node->version, count = 0;
    if (!attributes)
        return op_no_memory(&r->c);
    for (int i = 0; i < node->attribute_count; i++) {
        if (strcmp(node->attributes[i].name, "captures") == 0)
            continue;
        attributes[count] = node->attributes[i];
        if (strcmp(node->attributes[i].name, "body") == 0)
            attributes[count].graph = body;
        count++;
    }
    attributes[count++] = ATTRIBUTE_I("captures", lists->captures);
    TRY(rewrite_as(r, node, node->op, lists->input_count, lists->inputs, count, attributes));
    node->version = version;
    node->outputs = lists->outputs;
    node->output_count = lists->output_count;
    return STATUS_OK;
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct loop loop;
    if (!find_loop(node, &loop) || loop.carried == 0)
        return STATUS_OK;
    struct region *region = r->c.graph->region;
    bool *invariant = region_array(&r->context->scratch, (size_t)loop.carried, sizeof *invariant), any = false;
    if (!invariant)
        return op_no_memory(&r->c);
    for (int i = 0; i < loop.carried; i++) {
        invariant[i] = is_invariant(r, &loop, i);
        any = any || invariant[i];
    }
    if (!any)
        return STATUS_OK;
    struct graph *body = graph_clone(loop.body, region);
    struct lists lists;
    if (!body || !start_lists(&loop, region, &lists))
        return op_no_memory(&r->c);
    for (int i = 0; i < loop.carried; i++) {
        const struct value *from = node->inputs[loop.first + i];
        if (invariant[i] && from->data && !become_constant(body, body->inputs[loop.body_input + i], from))
            return op_no_memory(&r->c);
    }
    fill_lists(&loop, body, invariant, &lists);
    if (!graph_set_inputs(body, lists.input_count, lists.formals) ||
        !graph_set_outputs(body, lists.output_count + loop.body_output, lists.made))
        return op_no_memory(&r->c);
    for (int i = 0; i < loop.carried; i++)
        if (invariant[i] && node->outputs[i])
            rewrite_replace(r, node->outputs[i], node->inputs[loop.first + i]);
    return rewrite_loop(r, node, body, &lists);
}

enum status free_loop_invariants(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
