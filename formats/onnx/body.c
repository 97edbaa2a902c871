/* Subgraphs. In ONNX they may use any name of the graphs around them; ours are closed: what they use is passed in. */
#include "formats/onnx/import.h"

#include <string.h>

struct body {
    const char *name; /* of the attribute */
    const Onnx__Graph *message;
    const struct environment *environment;
    const struct name_list *uses; /* of the scope around it */
    struct graph *graph;
};

struct bodies {
    struct body *list;
    size_t count;
    struct capture *captures;
    size_t capture_count;
};

static enum status find_bodies(struct scope *s, const Onnx__Node *node, const struct environment *resolved,
                               struct bodies *bodies)
{
    struct import *im = s->import;
    *bodies = (struct bodies){.list = region_array(&im->scratch, resolved->count, sizeof(struct body))};
    if (!bodies->list)
        return onnx_no_memory(im);
    for (size_t i = 0; i < resolved->count; i++) {
        const struct binding *binding = &resolved->bindings[i];
        if (onnx_attribute_kind(binding->attribute) != ONNX__ATTRIBUTE__KIND__GRAPH)
            continue;
        if (!binding->attribute->graph)
            return onnx_node_error(im, node, STATUS_INVALID_MODEL, "attribute '%s' holds no graph", binding->name);
        struct body *body = &bodies->list[bodies->count++];
        body->name = binding->name;
        body->message = binding->attribute->graph;
        body->environment = binding->environment;
        TRY(onnx_free_names(im, body->message, &body->uses));
        /* A graph that a function gets as an attribute would use names of the caller's. */
        if (body->environment != s->environment && body->uses->count)
            return onnx_node_error(im, node, STATUS_UNSUPPORTED,
                                   "its subgraph '%s' comes from outside the function and uses '%s' there, which is not"
                                   " supported",
                                   body->name, body->uses->names[0]);
    }
    return STATUS_OK;
}

/* What the subgraphs use of this scope, in order of first use. All of them get the same list: only one may run, and the
 * node's inputs have to suit each. */
static enum status find_captures(struct scope *s, const Onnx__Node *node, struct bodies *bodies)
{
    struct import *im = s->import;
    struct name_map met = {.region = &im->scratch};
    size_t most = 0;
    for (size_t i = 0; i < bodies->count; i++)
        most += bodies->list[i].uses->count;
    bodies->captures = region_array(&im->scratch, most, sizeof *bodies->captures);
    if (!bodies->captures)
        return onnx_no_memory(im);
    for (size_t i = 0; i < bodies->count; i++)
        for (size_t k = 0; k < bodies->list[i].uses->count; k++) {
            struct capture *capture = &bodies->captures[bodies->capture_count];
            bool added;
            capture->name = bodies->list[i].uses->names[k];
            if (!name_map_add(&met, capture->name, &added))
                return onnx_no_memory(im);
            if (!added)
                continue;
            if (!onnx_lookup(s, capture->name, &capture->value))
                return onnx_node_error(im, node, STATUS_INVALID_MODEL,
                                       "its subgraph '%s' uses '%s', which nothing makes", bodies->list[i].name,
                                       capture->name);
            capture->passed = capture->value && !capture->value->data;
            bodies->capture_count++;
        }
    return STATUS_OK;
}

static enum status build_body(struct scope *s, const Onnx__Node *node, const struct bodies *bodies, struct body *body)
{
    struct import *im = s->import;
    struct region *scratch = &im->scratch;
    if (s->depth >= DEEPEST_NESTING)
        return onnx_node_error(im, node, STATUS_UNSUPPORTED, "subgraphs and functions are nested more than %d deep",
                               DEEPEST_NESTING);
    body->graph = graph_create(im->region, *text(body->message->name) ? body->message->name : body->name);
    struct capture *captures = region_array(scratch, bodies->capture_count, sizeof *captures);
    if (!body->graph || !captures)
        return onnx_no_memory(im);
    size_t count = 0;
    for (size_t i = 0; i < bodies->capture_count; i++)
        if (bodies->captures[i].passed || name_map_has(&body->uses->set, bodies->captures[i].name))
            captures[count++] = bodies->captures[i];
    TRY(onnx_charge(im, count * 384));
    struct place place = {.graph = body->graph,
                          .taken = {.region = scratch},
                          .types = {.region = scratch},
                          .positions = {.region = scratch}};
    struct scope inner = {
        .import = im,
        .place = &place,
        .values = {.region = scratch},
        .results = {.region = scratch},
        .prefix = "",
        .environment = body->environment,
        .opsets = s->opsets,
        .inlined = s->inlined,
        .depth = s->depth + 1,
    };
    return onnx_build_graph(&inner, body->message, count, captures);
}

static void refuse_lists(struct import *im, const Onnx__Node *node, size_t count, Onnx__Variable *const *variables)
{
    for (size_t i = 0; i < count; i++) {
        const char *what = onnx_not_a_tensor(variables[i]->type);
        if (what)
            onnx_refuse(im, "node '%s' (%s): '%s' of its body is %s, which is not supported", onnx_node_label(node),
                        text(node->op_type), text(variables[i]->name), what);
    }
}

/* What a loop hands from one iteration to the next, and what it collects, are tensors: how many of them a sequence
 * would hold only the run could tell. */
static void check_bodies(struct scope *s, const Onnx__Node *node, const struct bodies *bodies)
{
    bool loops = strcmp(text(node->op_type), "Loop") == 0 || strcmp(text(node->op_type), "Scan") == 0;
    for (size_t i = 0; i < bodies->count && loops && !*onnx_domain(node->domain); i++) {
        refuse_lists(s->import, node, bodies->list[i].message->n_inputs, bodies->list[i].message->inputs);
        refuse_lists(s->import, node, bodies->list[i].message->n_outputs, bodies->list[i].message->outputs);
    }
}

/* The node's own inputs must suit the subgraphs' own ones before others come behind both. Loop's first two may be left
 * out at the end as well. */
static enum status match_inputs(struct scope *s, const Onnx__Node *node, const struct bodies *bodies, int passed,
                                struct operands *inputs)
{
    const char *op = text(node->op_type);
    bool is_if = strcmp(op, "If") == 0, is_loop = strcmp(op, "Loop") == 0, is_scan = strcmp(op, "Scan") == 0;
    if (*onnx_domain(node->domain) || !(is_if || is_loop || is_scan))
        return STATUS_OK;
    int leading = is_scan && onnx_opset_version(s, "") < 9 ? 1 : 0; /* the lengths, which the body does not see */
    while (is_loop && inputs->count < 2)
        inputs->values[inputs->count++] = NULL;
    int expected = is_if ? 0 : inputs->count - leading;
    for (size_t i = 0; i < bodies->count; i++) {
        int own = bodies->list[i].graph->input_count - passed;
        if (own != expected)
            return onnx_node_error(s->import, node, STATUS_INVALID_MODEL, "its subgraph '%s' has %d inputs and gets %d",
                                   bodies->list[i].name, own, expected);
    }
    return STATUS_OK;
}

static enum status pass_captures(struct scope *s, const Onnx__Node *node, const struct bodies *bodies,
                                 struct operands *inputs, int *passed)
{
    struct value **all =
        region_array(&s->import->scratch, (size_t)inputs->count + 2 + bodies->capture_count, sizeof *all);
    if (!all)
        return onnx_no_memory(s->import);
    memcpy(all, inputs->values, (size_t)inputs->count * sizeof *all);
    inputs->values = all;
    for (size_t i = 0; i < bodies->capture_count; i++)
        *passed += bodies->captures[i].passed;
    TRY(match_inputs(s, node, bodies, *passed, inputs));
    for (size_t i = 0; i < bodies->capture_count; i++)
        if (bodies->captures[i].passed)
            inputs->values[inputs->count++] = bodies->captures[i].value;
    return STATUS_OK;
}

enum status onnx_build_bodies(struct scope *s, const Onnx__Node *node, const struct environment *resolved,
                              struct operands *inputs, struct attribute *list, int *count)
{
    struct bodies bodies;
    int passed = 0;
    TRY(find_bodies(s, node, resolved, &bodies));
    if (bodies.count == 0)
        return STATUS_OK;
    check_bodies(s, node, &bodies);
    TRY(find_captures(s, node, &bodies));
    for (size_t i = 0; i < bodies.count; i++) {
        TRY(build_body(s, node, &bodies, &bodies.list[i]));
        list[(*count)++] =
            (struct attribute){.name = bodies.list[i].name, .kind = ATTRIBUTE_GRAPH, .graph = bodies.list[i].graph};
    }
    TRY(pass_captures(s, node, &bodies, inputs, &passed));
    list[(*count)++] = ATTRIBUTE_I(ONNX_CAPTURES, passed);
    return STATUS_OK;
}
