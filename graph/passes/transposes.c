/* Transposes that meet, with only elementwise operators between them, are merged or cancel; those that move nothing in
 * memory are reshapes; of reshapes in a row the last counts. There are never more transposes than before. */
#include "graph/passes/rewrite.h"

/* --- orders ---------------------------------------------------------------------------------------------- */

/* Axis i of the result is axis at[i] of the input. */
struct order {
    int rank, at[MAX_RANK];
};

/* False: its rank is not known (rank < 0 says so too), or it is none. */
static bool read_order(const struct node *transpose, int rank, struct order *order)
{
    const struct attribute *perm = node_attribute_of(transpose, "perm", ATTRIBUTE_INTS);
    unsigned seen = 0;
    if (perm && perm->count > MAX_RANK)
        return false;
    order->rank = perm ? (int)perm->count : rank;
    for (int i = 0; i < order->rank; i++) {
        int64_t axis = perm ? perm->ints[i] : order->rank - 1 - i;
        axis = axis < 0 ? axis + order->rank : axis;
        if (axis < 0 || axis >= order->rank)
            return false;
        order->at[i] = (int)axis;
        seen |= 1u << axis;
    }
    return order->rank >= 0 && seen == (1u << order->rank) - 1;
}

static bool is_identity(const struct order *order)
{
    for (int i = 0; i < order->rank; i++)
        if (order->at[i] != i)
            return false;
    return true;
}

static bool same_order(const struct order *a, const struct order *b)
{
    return a->rank == b->rank && memcmp(a->at, b->at, (size_t)a->rank * sizeof a->at[0]) == 0;
}

/* `second` of what `first` makes. */
static struct order compose(const struct order *first, const struct order *second)
{
    struct order both = {.rank = first->rank};
    for (int i = 0; i < both.rank; i++)
        both.at[i] = first->at[second->at[i]];
    return both;
}

static struct order inverse(const struct order *order)
{
    struct order back = {.rank = order->rank};
    for (int i = 0; i < order->rank; i++)
        back.at[order->at[i]] = i;
    return back;
}

/* The attribute of a Transpose; NULL: no memory. */
static const struct attribute *order_attribute(struct rewriter *r, const struct order *order)
{
    struct attribute *attribute = region_allocate(r->c.graph->region, sizeof *attribute);
    int64_t *perm = region_array(r->c.graph->region, (size_t)order->rank, sizeof *perm);
    if (!attribute || !perm) {
        op_no_memory(&r->c);
        return NULL;
    }
    for (int i = 0; i < order->rank; i++)
        perm[i] = order->at[i];
    *attribute = ATTRIBUTE_LIST("perm", order->rank, perm);
    return attribute;
}

/* The node transposes `x`. */
static enum status become_transpose(struct rewriter *r, struct node *node, struct value *x, const struct order *order)
{
    const struct attribute *attribute = order_attribute(r, order);
    if (!attribute)
        return op_built(&r->c);
    return is_identity(order) ? rewrite_forward(r, node, x)
                              : rewrite_as(r, node, op_find("", "Transpose"), 1, &x, 1, attribute);
}

/* --- through elementwise operators ----------------------------------------------------------------------- */

/* A constant that broadcasts along all axes but one, for tensors whose axis at[i] is what axis i was. */
static struct value *turn_constant(struct rewriter *r, struct value *c, const struct order *order)
{
    int64_t dims[MAX_RANK], length = 1;
    int axis = -1;
    for (int i = 0; i < c->rank; i++)
        if (c->dims[i] != 1) {
            axis = order->at[order->rank - c->rank + i];
            length = c->dims[i];
        }
    if (axis < 0)
        return c;
    for (int i = axis; i < order->rank; i++)
        dims[i - axis] = i == axis ? length : 1;
    return rewrite_constant(r, c->dtype, order->rank - axis, dims, c->data);
}

static bool is_turnable(const struct rewriter *r, const struct value *c, int rank)
{
    int long_axes = 0;
    for (int i = 0; i < c->rank; i++)
        long_axes += c->dims[i] != 1;
    return c->data && c->rank <= rank && long_axes <= 1 && (long_axes == 0 || rewrite_fits(r, c->bytes));
}

static bool is_elementwise(const struct node *node)
{
    return node && node->op->flags & OP_ELEMENTWISE && node->output_count == 1;
}

/* What makes the values between transposes and the visited Transpose. */
#define MOST_BETWEEN 16

struct between {
    struct order order; /* of the visited Transpose */
    struct entry {
        struct value *value, *turned; /* turned: what takes its place; NULL: not made yet */
        struct node *maker;           /* elementwise, or a Transpose; NULL: a constant */
        struct order merged;          /* of a Transpose with the visited one */
        int reads;                    /* from within */
    } entries[MOST_BETWEEN];
    int count;
};

static struct entry *find_entry(struct between *b, const struct value *value)
{
    for (int i = 0; i < b->count; i++)
        if (b->entries[i].value == value)
            return &b->entries[i];
    return NULL;
}

/* Collects the value and what it is made of, up to transposes and constants. False: something else is met. */
static bool collect(struct rewriter *r, struct between *b, struct value *value)
{
    struct entry *known = find_entry(b, value);
    struct node *maker = !value->data && value->id < r->capacity ? r->makers[value->id] : NULL;
    struct order order;
    if (known)
        return ++known->reads > 0;
    if (b->count == MOST_BETWEEN)
        return false;
    struct entry *entry = &b->entries[b->count++];
    *entry = (struct entry){.value = value, .maker = maker, .reads = 1};
    if (value->data)
        return is_turnable(r, value, b->order.rank);
    if (is_op(maker, "Transpose")) {
        if (!read_order(maker, b->order.rank, &order) || order.rank != b->order.rank)
            return false;
        entry->merged = compose(&order, &b->order);
        return true;
    }
    if (!is_elementwise(maker) || maker->input_count > MOST_BETWEEN)
        return false;
    for (int i = 0; i < maker->input_count; i++)
        if (maker->inputs[i] && !collect(r, b, maker->inputs[i]))
            return false;
    return true;
}

/* The visited Transpose can move up, and there are fewer then: it goes, and each Transpose that it meets and nothing
 * else reads; those come instead that do not cancel. */
static bool saves_transposes(const struct rewriter *r, const struct between *b)
{
    int more = -1, met = 0;
    for (int i = 0; i < b->count; i++) {
        const struct entry *entry = &b->entries[i];
        bool all = entry->reads == r->readers[entry->value->id];
        if (is_elementwise(entry->maker) && !all)
            return false;
        if (!is_op(entry->maker, "Transpose"))
            continue;
        more += !is_identity(&entry->merged) - all;
        met++;
    }
    return met > 0 && more < 0;
}

/* The value as the visited Transpose would have it; NULL on failure. */
static struct value *turn(struct rewriter *r, struct between *b, struct value *value);

static bool turn_inputs(struct rewriter *r, struct between *b, const struct node *node, struct value **inputs)
{
    for (int i = 0; i < node->input_count; i++) {
        inputs[i] = node->inputs[i] ? turn(r, b, node->inputs[i]) : NULL;
        if (node->inputs[i] && !inputs[i])
            return false;
    }
    return true;
}

static struct value *turn_transpose(struct rewriter *r, const struct entry *entry)
{
    const struct attribute *attribute = order_attribute(r, &entry->merged);
    struct value *x = entry->maker->inputs[0];
    return is_identity(&entry->merged) ? x : attribute ? rewrite_build(r, entry->maker->op, 1, &x, 1, attribute) : NULL;
}

static struct value *turn(struct rewriter *r, struct between *b, struct value *value)
{
    struct entry *entry = find_entry(b, value);
    struct node *maker = entry->maker;
    struct value *inputs[MOST_BETWEEN];
    struct order back = inverse(&b->order);
    if (entry->turned)
        return entry->turned;
    if (!maker)
        return entry->turned = turn_constant(r, value, &back);
    if (is_op(maker, "Transpose"))
        entry->turned = turn_transpose(r, entry);
    else if (turn_inputs(r, b, maker, inputs))
        entry->turned =
            rewrite_build(r, maker->op, maker->input_count, inputs, maker->attribute_count, maker->attributes);
    struct node *made = entry->turned ? r->makers[entry->turned->id] : NULL;
    if (made && entry->turned != maker->inputs[0]) {
        made->version = maker->version;
        made->sources = maker->sources;
        made->source_count = maker->source_count;
    }
    return entry->turned;
}

/* Transpose of elementwise operators on transposes: the visited one moves up to those. */
static enum status move_up(struct rewriter *r, struct node *node, const struct order *order)
{
    struct between b = {.order = *order};
    struct value *inputs[MOST_BETWEEN];
    const struct node *last = node->inputs[0]->id < r->capacity ? r->makers[node->inputs[0]->id] : NULL;
    if (!is_elementwise(last) || !collect(r, &b, node->inputs[0]) || !saves_transposes(r, &b))
        return STATUS_OK;
    if (!turn_inputs(r, &b, last, inputs))
        return op_built(&r->c);
    for (int i = 0; i < b.count; i++)
        if (is_op(b.entries[i].maker, "Transpose"))
            TRY(rewrite_absorb(r, node, b.entries[i].maker));
    TRY(rewrite_absorb(r, node, last));
    int version = last->version;
    TRY(rewrite_as(r, node, last->op, last->input_count, inputs, last->attribute_count, last->attributes));
    node->version = version;
    return STATUS_OK;
}

static enum status visit_transpose(struct rewriter *r, struct node *node)
{
    struct node *maker = rewrite_maker(r, node->inputs[0], "Transpose");
    struct order own, first, both;
    int rank;
    int64_t dims[MAX_RANK];
    bool ranked = rewrite_shape(r, node->inputs[0], &rank, dims);
    if (!read_order(node, ranked ? rank : -1, &own)) {
        /* Both reverse all axes, however many there are. */
        bool reversed = maker && !node_attribute(node, "perm") && !node_attribute(maker, "perm");
        return reversed ? rewrite_forward(r, node, maker->inputs[0]) : STATUS_OK;
    }
    if (is_identity(&own))
        return rewrite_forward(r, node, node->inputs[0]);
    if (!maker)
        return move_up(r, node, &own);
    if (!read_order(maker, own.rank, &first) || first.rank != own.rank)
        return STATUS_OK;
    both = compose(&first, &own);
    TRY(rewrite_absorb(r, node, maker));
    return become_transpose(r, node, maker->inputs[0], &both);
}

/* Two operands transposed alike: one Transpose of the result does. */
static enum status visit_elementwise(struct rewriter *r, struct node *node)
{
    struct order order = {.rank = -1}, other;
    struct value *inputs[MOST_BETWEEN];
    int transposes = 0;
    if (node->input_count < 2 || node->input_count > MOST_BETWEEN)
        return STATUS_OK;
    for (int i = 0; i < node->input_count; i++) {
        const struct value *input = node->inputs[i];
        const struct node *maker = input ? rewrite_sole_maker(r, input, "Transpose") : NULL;
        if (!maker)
            continue;
        if (!read_order(maker, order.rank, &other) || (transposes > 0 && !same_order(&order, &other)))
            return STATUS_OK;
        order = other;
        transposes++;
    }
    if (transposes < 2)
        return STATUS_OK;
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] && !rewrite_sole_maker(r, node->inputs[i], "Transpose") &&
            !is_turnable(r, node->inputs[i], order.rank))
            return STATUS_OK;
    for (int i = 0; i < node->input_count; i++) {
        struct node *maker = node->inputs[i] ? rewrite_sole_maker(r, node->inputs[i], "Transpose") : NULL;
        inputs[i] = maker ? maker->inputs[0] : node->inputs[i] ? turn_constant(r, node->inputs[i], &order) : NULL;
        if (maker)
            TRY(rewrite_absorb(r, node, maker));
        if (node->inputs[i] && !inputs[i])
            return op_built(&r->c);
    }
    struct value *made = rewrite_build(r, node->op, node->input_count, inputs, node->attribute_count, node->attributes);
    if (!made)
        return op_built(&r->c);
    r->makers[made->id]->version = node->version;
    return become_transpose(r, node, made, &order);
}

/* --- reshapes -------------------------------------------------------------------------------------------- */

static bool is_reshape(const struct node *node)
{
    return is_op(node, "Reshape") || is_op(node, "Flatten") || is_op(node, "Squeeze") || is_op(node, "Unsqueeze");
}

/* Axes longer than 1 stay in their order. */
static bool moves_nothing(const struct node *transpose, const struct order *order)
{
    int last = -1;
    for (int i = 0; i < order->rank; i++) {
        if (transpose->inputs[0]->dims[order->at[i]] == 1)
            continue;
        if (order->at[i] < last)
            return false;
        last = order->at[i];
    }
    return true;
}

static enum status become_reshape(struct rewriter *r, struct node *node, struct value *x)
{
    const struct value *output = node->outputs[0];
    const struct attribute attributes[] = {ATTRIBUTE_I("allowzero", 1)};
    int64_t rank = output->rank;
    if (x->rank == rank && memcmp(x->dims, output->dims, (size_t)rank * sizeof x->dims[0]) == 0)
        return rewrite_forward(r, node, x);
    struct value *shape = rewrite_constant(r, DTYPE_I64, 1, &rank, output->dims);
    return shape ? rewrite_as(r, node, op_find("", "Reshape"), 2, (struct value *[]){x, shape}, 1, attributes)
                 : op_built(&r->c);
}

static bool is_fixed(const struct value *value)
{
    return value->rank >= 0 && !value->dims_at_run;
}

/* Once shapes are known. */
static enum status visit_move(struct rewriter *r, struct node *node)
{
    struct value *x = node->inputs[0];
    struct node *maker = !x->data && x->id < r->capacity ? r->makers[x->id] : NULL;
    struct order order;
    if (!is_fixed(x) || !is_fixed(node->outputs[0]) || !rewrite_fits(r, sizeof(int64_t) * MAX_RANK))
        return STATUS_OK;
    if (is_op(node, "Transpose") && (!read_order(node, x->rank, &order) || !moves_nothing(node, &order)))
        return STATUS_OK;
    bool merged = is_reshape(maker) && is_fixed(maker->inputs[0]);
    if (merged)
        TRY(rewrite_absorb(r, node, maker));
    return merged || is_op(node, "Transpose") ? become_reshape(r, node, merged ? maker->inputs[0] : x) : STATUS_OK;
}

static enum status visit(struct rewriter *r, struct node *node)
{
    if (is_op(node, "Transpose"))
        TRY(visit_transpose(r, node));
    else if (is_elementwise(node))
        TRY(visit_elementwise(r, node));
    bool move = is_op(node, "Transpose") || is_reshape(node);
    return r->context->shaped && !r->dropped && move ? visit_move(r, node) : STATUS_OK;
}

enum status merge_transposes(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
