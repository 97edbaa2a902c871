/* Normalisations that exporters spell out. The core becomes an operator with scale 1 and bias 0; the Mul and the Add
 * that follow become its scale and its bias when they are visited, and so do those after an operator of the model. */
#include "graph/passes/match.h"

/* --- LayerNormalization, RMSNormalization ----------------------------------------------------------------- */

/* The square root of the mean of x^2 over the axes from `axis` on, plus epsilon; or one divided by it. */
struct deviation {
    struct value *x;
    int axis;
    double epsilon;
    bool inverse;
};

/* value = sqrt(*x), or one divided by it. */
static bool match_root(struct match *m, const struct value *value, struct value **x, bool *inverse)
{
    const struct value *root = value;
    double number;
    struct match plain = *m;
    *inverse = match_reciprocal(m, value, &root);
    if (!*inverse) {
        *m = plain;
        root = value;
    }
    const struct node *sqrt = match_maker(m, root, "Sqrt");
    if (sqrt) {
        *x = sqrt->inputs[0];
        return true;
    }
    if (!match_power(m, root, x, &number) || (number != 0.5 && number != -0.5))
        return false;
    *inverse = *inverse != (number < 0);
    return true;
}

static bool match_deviation(struct match *m, const struct value *value, struct deviation *d)
{
    struct value *sum, *mean;
    *d = (struct deviation){.epsilon = 0};
    if (!match_root(m, value, &sum, &d->inverse))
        return false;
    struct match exact = *m;
    if (!match_shifted(m, sum, &mean, &d->epsilon)) {
        *m = exact;
        mean = sum;
    }
    struct node *node = match_maker(m, mean, "ReduceMean");
    if (!node || !match_square(m, node->inputs[0], &d->x))
        return false;
    d->axis = match_first_trailing(match_reduced_axes(m, node), d->x->rank);
    return d->axis >= 0 && d->epsilon >= 0 && match_attribute(m, d->epsilon);
}

/* value = x - mean of x over the axes from `axis` on; x, or NULL. */
static struct value *match_centred(struct match *m, const struct value *value, int axis)
{
    const struct node *difference = match_maker(m, value, "Sub");
    struct node *mean = difference ? match_maker(m, difference->inputs[1], "ReduceMean") : NULL;
    if (!mean || mean->inputs[0] != difference->inputs[0] ||
        match_first_trailing(match_reduced_axes(m, mean), mean->inputs[0]->rank) != axis)
        return NULL;
    return difference->inputs[0];
}

static enum status become_core(struct match *m, const char *op, struct value *x, const struct deviation *d, bool *done)
{
    if (!match_keeps_shape(m, x) || !match_closed(m))
        return STATUS_OK;
    struct value *inputs[2] = {x, op_constant_scalar(&m->r->c, x->dtype, 1)};
    const struct attribute attributes[] = {ATTRIBUTE_I("axis", d->axis), ATTRIBUTE_F("epsilon", (float)d->epsilon)};
    if (!inputs[1])
        return op_no_memory(&m->r->c);
    *done = true;
    return match_become(m, op, 2, inputs, 2, attributes);
}

/* dividend / root, or dividend * (1 / root). The mean that is subtracted may be written once or twice. */
static enum status try_core(struct match m, struct value *dividend, const struct value *root, bool inverse, bool *done)
{
    struct deviation d;
    if (!match_deviation(&m, root, &d) || d.inverse != inverse)
        return STATUS_OK;
    struct match centred = m;
    struct value *x = match_centred(&centred, dividend, d.axis);
    if (x && match_centred(&centred, d.x, d.axis) == x)
        TRY(become_core(&centred, "LayerNormalization", x, &d, done));
    return *done || dividend != d.x ? STATUS_OK : become_core(&m, "RMSNormalization", d.x, &d, done);
}

/* --- GroupNormalization ----------------------------------------------------------------------------------- */

static bool is_filled(const struct value *value, double expected)
{
    double number;
    if (!value->data)
        return false;
    for (int64_t i = 0; i < value_elements(value); i++)
        if (!value_number_at(value, i, &number) || number != expected)
            return false;
    return true;
}

/* A list of as many equal numbers as x has channels; NULL: r->c.error says why. */
static struct value *per_channel(struct rewriter *r, const struct value *x, double number)
{
    size_t count = (size_t)x->dims[1], each = dtype_bytes(x->dtype, 1);
    const struct value *one = op_constant_scalar(&r->c, x->dtype, number);
    char *list = one ? region_array(r->c.graph->region, count, each) : NULL;
    if (!list) {
        op_no_memory(&r->c);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(list + i * each, one->data, each);
    return rewrite_constant(r, x->dtype, 1, &x->dims[1], list);
}

/* Reshape to [batch, groups, ...], InstanceNormalization with scale 1 and bias 0, and Reshape back. */
static enum status try_group(struct match m, struct node *node)
{
    const struct node *instance = match_maker(&m, node->inputs[0], "InstanceNormalization");
    const struct node *reshape = instance ? match_maker(&m, instance->inputs[0], "Reshape") : NULL;
    if (!reshape || !is_filled(instance->inputs[1], 1) || !is_filled(instance->inputs[2], 0))
        return STATUS_OK;
    struct value *x = reshape->inputs[0];
    const struct value *grouped = reshape->outputs[0], *y = node->outputs[0];
    if (x->rank < 2 || y->rank != x->rank || memcmp(y->dims, x->dims, (size_t)x->rank * sizeof x->dims[0]) != 0 ||
        grouped->rank < 3 || grouped->dims[0] != x->dims[0] || grouped->dims[1] < 1 ||
        x->dims[1] % grouped->dims[1] != 0 || !match_closed(&m))
        return STATUS_OK;
    struct value *scale = per_channel(m.r, x, 1), *bias = scale ? per_channel(m.r, x, 0) : NULL;
    if (!bias)
        return op_built(&m.r->c);
    const struct attribute attributes[] = {
        ATTRIBUTE_I("num_groups", grouped->dims[1]),
        ATTRIBUTE_F("epsilon", node_float(instance, "epsilon")),
    };
    return match_become(&m, "GroupNormalization", 3, (struct value *[]){x, scale, bias}, 2, attributes);
}

/* --- scale and bias --------------------------------------------------------------------------------------- */

/* A normalisation to which a scale or a bias may be added. */
struct affine {
    const struct node *node;
    struct value *x, *scale, *bias; /* bias may be NULL */
    int axis;                       /* the scale lies along the axes from here on */
    bool by_channel;                /* and is a list with an element for each entry of axis 1 */
};

/* The value broadcasts to x, and repeats along the axes before `axis`. */
static bool lies_within(const struct value *value, const struct value *x, int axis)
{
    bool within = value->rank >= 0 && value->rank <= x->rank && value->dtype == x->dtype;
    for (int i = 0; within && i < value->rank; i++) {
        int k = x->rank - value->rank + i;
        within = value->dims[i] == 1 || (k >= axis && value->dims[i] == x->dims[k]);
    }
    return within;
}

/* As lies_within, but only along axis 1. */
static bool is_by_channel(const struct value *value, const struct value *x)
{
    int axis = value->rank - x->rank + 1;
    for (int i = 0; i < value->rank; i++)
        if (i != axis && value->dims[i] != 1)
            return false;
    return axis >= 0 && value->rank <= x->rank && value->dims[axis] == x->dims[1] && value->dtype == x->dtype;
}

static bool match_affine(struct match *m, const struct value *value, struct affine *affine)
{
    static const char *const names[] = {"LayerNormalization", "RMSNormalization", "GroupNormalization"};
    const struct node *node = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !node; i++)
        node = match_maker(m, value, names[i]);
    if (!node || node->inputs[0]->rank < 1)
        return false;
    bool by_channel = is_op(node, "GroupNormalization");
    int64_t axis = by_channel ? -1 : node_int(node, "axis");
    *affine = (struct affine){
        .node = node,
        .x = node->inputs[0],
        .scale = node->inputs[1],
        .bias = node->input_count > 2 ? node->inputs[2] : NULL,
        .axis = (int)(axis < 0 ? axis + node->inputs[0]->rank : axis),
        .by_channel = by_channel,
    };
    return !affine->by_channel || node->version >= 21; /* before, an element was for a group */
}

/* Writes the visited node as the normalisation, with `value` for its input 1 (scale) or 2 (bias). */
static enum status replace_part(struct match *m, const struct affine *affine, int input, struct value *value)
{
    struct rewriter *r = m->r;
    TRY(match_absorb(m));
    if (affine->by_channel) {
        struct value *dims = op_constant_ints(&r->c, 1, &affine->x->dims[1]);
        if (!dims)
            return op_no_memory(&r->c);
        value = rewrite_build(r, op_find("", "Reshape"), 2, (struct value *[]){value, dims}, 0, NULL);
        if (!value)
            return op_built(&r->c);
    }
    struct value *inputs[3] = {affine->x, affine->scale, affine->bias};
    inputs[input] = value;
    return rewrite_as(r, r->c.node, affine->node->op, inputs[2] ? 3 : 2, inputs, affine->node->attribute_count,
                      affine->node->attributes);
}

/* value * other, or value + other, where the value is normalised and has no such part yet. */
static enum status try_part(struct match m, const struct value *value, struct value *other, bool *done)
{
    bool add = is_op(m.nodes[0], "Add");
    struct affine affine;
    if (!match_affine(&m, value, &affine) || (affine.bias && !is_filled(affine.bias, 0)) ||
        (add ? is_op(affine.node, "RMSNormalization") : !is_filled(affine.scale, 1)))
        return STATUS_OK;
    bool fits = affine.by_channel ? is_by_channel(other, affine.x) : lies_within(other, affine.x, affine.axis);
    if (!fits || !match_closed(&m))
        return STATUS_OK;
    *done = true;
    return replace_part(&m, &affine, add ? 2 : 1, other);
}

/* --- the visit -------------------------------------------------------------------------------------------- */

static enum status visit(struct rewriter *r, struct node *node)
{
    struct match m = match_begin(r);
    bool quotient = is_op(node, "Div"), product = is_op(node, "Mul"), done = false;
    if (is_op(node, "Reshape"))
        return try_group(m, node);
    if (quotient)
        return try_core(m, node->inputs[0], node->inputs[1], false, &done);
    for (int i = 0; i < 2 && product && !done; i++)
        TRY(try_core(m, node->inputs[i], node->inputs[!i], true, &done));
    for (int i = 0; i < 2 && (product || is_op(node, "Add")) && !done; i++)
        TRY(try_part(m, node->inputs[i], node->inputs[!i], &done));
    return STATUS_OK;
}

enum status recognise_normalization(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
