/* What opsets before 7 spell otherwise: put in today's words while the graph is made, so that nothing after the
 * importer knows of it. What has no such words is refused. */
#include "formats/onnx/import.h"

#include <math.h>
#include <string.h>

/* A node in the making. */
struct draft {
    struct scope *scope;
    const Onnx__Node *node;
    int version;
    struct operands *inputs;
    struct attribute *attributes; /* there is room for one more */
    int *count;
};

static struct attribute *find(const struct draft *d, const char *name)
{
    for (int i = 0; i < *d->count; i++)
        if (strcmp(d->attributes[i].name, name) == 0)
            return &d->attributes[i];
    return NULL;
}

static bool is_set(const struct draft *d, const char *name)
{
    const struct attribute *attribute = find(d, name);
    return attribute && attribute->i != 0;
}

/* The second operand begins at `axis` of the first, instead of ending with it. */
static enum status align(const struct draft *d, int64_t axis)
{
    struct import *im = d->scope->import;
    struct graph *graph = d->scope->place->graph;
    if (d->inputs->count < 2 || !d->inputs->values[0] || !d->inputs->values[1])
        return STATUS_OK; /* refused with the sentence of every opset */
    struct value *operands[2] = {d->inputs->values[1], d->inputs->values[0]};
    struct value *aligned = graph_add_value(graph, "", DTYPE_NONE, -1, NULL);
    const char *name = onnx_node_name(d->scope, d->node);
    const struct attribute attribute = ATTRIBUTE_I("axis", axis);
    if (!name || !aligned ||
        !graph_add_node(graph, op_find(OWN_DOMAIN, "AlignAxis"), 1, name, 2, operands, 1, &aligned, 1, &attribute))
        return onnx_no_memory(im);
    d->inputs->values[1] = aligned;
    return STATUS_OK;
}

static enum status broadcast(const struct draft *d)
{
    const struct attribute *axis = find(d, "axis");
    return axis && is_set(d, "broadcast") ? align(d, axis->i) : STATUS_OK;
}

/* A slope is for a channel, whatever the rank of what it is for. */
static enum status prelu(const struct draft *d)
{
    return align(d, 1);
}

static enum status inference_only(const struct draft *d)
{
    if (is_set(d, "is_test"))
        return STATUS_OK;
    return onnx_node_error(d->scope->import, d->node, STATUS_UNSUPPORTED,
                           "is_test is 0, so it is there for training, which is not supported in opset %d", d->version);
}

static enum status cast(const struct draft *d)
{
    static const char *const names[] = {"",       "FLOAT",  "UINT8",     "INT8",      "UINT16",  "INT16",
                                        "INT32",  "INT64",  "STRING",    "BOOL",      "FLOAT16", "DOUBLE",
                                        "UINT32", "UINT64", "COMPLEX64", "COMPLEX128"};
    struct attribute *to = find(d, "to");
    for (size_t i = 1; to->kind == ATTRIBUTE_STRING && i < sizeof names / sizeof *names; i++)
        if (strcmp(to->string, names[i]) == 0)
            *to = ATTRIBUTE_I("to", (int64_t)i);
    if (to->kind == ATTRIBUTE_INT)
        return STATUS_OK;
    return onnx_node_error(d->scope->import, d->node, STATUS_INVALID_MODEL, "'%s' is no type", to->string);
}

static enum status concat(const struct draft *d)
{
    if (!find(d, "axis"))
        d->attributes[(*d->count)++] = ATTRIBUTE_I("axis", 1);
    return STATUS_OK;
}

static enum status pad(const struct draft *d)
{
    find(d, "paddings")->name = "pads";
    return STATUS_OK;
}

static enum status norm(const struct draft *d)
{
    struct attribute *p = find(d, "p");
    if (!p)
        return STATUS_OK;
    if (!(p->f >= 1 && p->f <= 0x1p24f && floorf(p->f) == p->f))
        return onnx_node_error(d->scope->import, d->node, STATUS_UNSUPPORTED, "p is %g; it must be a whole number",
                               (double)p->f);
    *p = ATTRIBUTE_I("p", (int64_t)p->f);
    return STATUS_OK;
}

static enum status reshape(const struct draft *d)
{
    struct import *im = d->scope->import;
    const struct attribute *shape = find(d, "shape");
    if (!shape)
        return onnx_node_error(im, d->node, STATUS_INVALID_MODEL, "its attribute 'shape' is missing");
    int64_t count = (int64_t)shape->count;
    struct value **inputs = region_array(&im->scratch, 2, sizeof *inputs);
    if (!inputs || d->inputs->count != 1)
        return inputs ? onnx_node_error(im, d->node, STATUS_INVALID_MODEL, "it has %d inputs instead of 1",
                                        d->inputs->count)
                      : onnx_no_memory(im);
    inputs[0] = d->inputs->values[0];
    inputs[1] = graph_add_constant(d->scope->place->graph, "", DTYPE_I64, 1, &count, shape->ints);
    *d->inputs = (struct operands){.values = inputs, .count = 2};
    return inputs[1] ? STATUS_OK : onnx_no_memory(im);
}

static enum status upsample(const struct draft *d)
{
    struct import *im = d->scope->import;
    float *scales = region_array(im->region, 4, sizeof *scales);
    if (!scales)
        return onnx_no_memory(im);
    scales[0] = scales[1] = 1;
    scales[2] = find(d, "height_scale")->f;
    scales[3] = find(d, "width_scale")->f;
    d->attributes[(*d->count)++] =
        (struct attribute){.name = "scales", .kind = ATTRIBUTE_FLOATS, .count = 4, .floats = scales};
    return STATUS_OK;
}

static const struct {
    const char *op;
    int before; /* the opset in which it got its words of today */
    enum status (*translate)(const struct draft *);
} translations[] = {
    {"Add", 7, broadcast},
    {"And", 7, broadcast},
    {"BatchNormalization", 7, inference_only},
    {"Cast", 6, cast},
    {"Concat", 4, concat},
    {"Div", 7, broadcast},
    {"Dropout", 7, inference_only},
    {"Equal", 7, broadcast},
    {"GlobalLpPool", 2, norm},
    {"Greater", 7, broadcast},
    {"Less", 7, broadcast},
    {"LpPool", 2, norm},
    {"Mul", 7, broadcast},
    {"Or", 7, broadcast},
    {"PRelu", 7, prelu},
    {"Pad", 2, pad},
    {"Pow", 7, broadcast},
    {"Reshape", 5, reshape},
    {"Sub", 7, broadcast},
    {"Upsample", 7, upsample},
    {"Xor", 7, broadcast},
};

enum status onnx_translate_old(struct scope *s, const Onnx__Node *node, int version, struct operands *inputs,
                               struct attribute *list, int *count)
{
    const struct draft draft = {s, node, version, inputs, list, count};
    for (size_t i = 0; i < sizeof translations / sizeof *translations && !*onnx_domain(node->domain); i++)
        if (version < translations[i].before && strcmp(text(node->op_type), translations[i].op) == 0)
            return translations[i].translate(&draft);
    return STATUS_OK;
}

/* --- Scan of opset 8 ---------------------------------------------------------------------------------------------- */

/* The body of the Scan over the batch: one item's Scan of opset 9, which hands on what it is given. */
static enum status make_item(const struct draft *d, const struct graph *body, struct graph **item)
{
    struct import *im = d->scope->import;
    struct value **inputs = region_array(&im->scratch, (size_t)body->input_count, sizeof *inputs);
    struct value **outputs = region_array(&im->scratch, (size_t)body->output_count, sizeof *outputs);
    const char *name = onnx_unique_name(im, &im->node_names, onnx_node_label(d->node));
    *item = graph_create(im->region, "item");
    if (!*item || !inputs || !outputs || !name)
        return onnx_no_memory(im);
    for (int i = 0; i < body->input_count; i++)
        if (!(inputs[i] = graph_add_value(*item, body->inputs[i]->name, body->inputs[i]->dtype, -1, NULL)))
            return onnx_no_memory(im);
    for (int i = 0; i < body->output_count; i++)
        if (!(outputs[i] = graph_add_value(*item, "", body->outputs[i]->dtype, -1, NULL)))
            return onnx_no_memory(im);
    bool made = graph_set_inputs(*item, body->input_count, inputs) &&
                graph_add_node(*item, op_find("", "Scan"), 9, name, body->input_count, inputs, body->output_count,
                               outputs, *d->count, d->attributes) &&
                graph_set_outputs(*item, body->output_count, outputs);
    return made ? STATUS_OK : onnx_no_memory(im);
}

enum status onnx_translate_batched_scan(struct scope *s, const Onnx__Node *node, int *version, struct operands *inputs,
                                        struct attribute *list, int *count)
{
    const struct draft d = {s, node, *version, inputs, list, count};
    struct attribute *body = find(&d, "body"), *directions = find(&d, "directions");
    struct graph *item;
    if (*version >= 9 || *onnx_domain(node->domain) || strcmp(text(node->op_type), "Scan") != 0 || !body ||
        inputs->count < 1)
        return STATUS_OK;
    if (inputs->values[0])
        return onnx_node_error(s->import, node, STATUS_UNSUPPORTED, "sequences of different lengths are not supported");
    if (directions)
        directions->name = "scan_input_directions";
    TRY(make_item(&d, body->graph, &item));
    inputs->values++;
    inputs->count--;
    *version = 9;
    body->graph = item;
    find(&d, "num_scan_inputs")->i = inputs->count - (int)find(&d, ONNX_CAPTURES)->i;
    if (directions)
        *directions = list[--*count];
    return STATUS_OK;
}
