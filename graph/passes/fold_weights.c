/* What is multiplied and added by constants before or after a product by constant weights goes into the weights and the
 * bias: BatchNormalization, Mul, Div, Add and Sub around Conv, ConvTranspose, Gemm and MatMul.
 *
 * The weights change once a model: this pass runs while shapes may be unknown, so it takes only what fits whatever they
 * turn out to be. */
#include "graph/passes/affine.h"

struct products {
    struct product **of; /* by id of the value that the product makes */
    int count;
};

/* --- after a product ------------------------------------------------------------------------------------- */

static struct product *known_product(const struct rewriter *r, const struct value *value)
{
    const struct products *products = r->user;
    return value->id < products->count ? products->of[value->id] : NULL;
}

static void remember(const struct rewriter *r, const struct node *node, struct product *p)
{
    const struct products *products = r->user;
    products->of[node->outputs[0]->id] = p;
}

static enum status fold_after(struct rewriter *r, struct node *node)
{
    const struct value *x = affine_input(node);
    struct node *maker = x && !x->data && x->id < r->capacity ? r->makers[x->id] : NULL;
    struct affine_node affine;
    if (!maker || !rewrite_sole(r, x) || maker->outputs[0] != x)
        return STATUS_OK;
    struct product *p = known_product(r, x);
    if (!p && is_op(maker, "MatMul") && is_op(node, "Add"))
        return STATUS_OK; /* this is how a MatMul has a bias */
    if (!p)
        TRY(product_open(r, maker, &p));
    if (!p)
        return STATUS_OK;
    TRY(read_affine(r, node, p->rank, p->axis, p->outputs, &affine));
    if (!affine.x || !product_fold_after(r, p, &affine.affine))
        return op_built(&r->c);
    TRY(rewrite_absorb(r, node, p->node));
    TRY(rewrite_absorb(r, node, maker));
    remember(r, node, p);
    return product_emit(r, node, p, p->node->inputs[0]);
}

/* --- before a product ------------------------------------------------------------------------------------ */

/* Without the affine node the input still has the shape that the product takes: broadcasting to the constant has
 * neither added an axis nor repeated its one channel. */
static bool keeps_shape(const struct rewriter *r, const struct product *p, const struct affine_node *affine)
{
    const struct value *c = affine->constant;
    int rank;
    int64_t dims[MAX_RANK];
    if (!c) /* BatchNormalization takes no other shape than its result's */
        return true;
    bool one = affine->affine.count == 1;
    if (one && (c->rank == 0 || c->rank < p->rank))
        return true;
    if (!rewrite_shape(r, affine->x, &rank, dims) || c->rank > rank)
        return false;
    int axis = rank - 1 - p->x_axis;
    return one || (axis >= 0 && dims[axis] == p->inputs);
}

/* Takes in affine nodes before the visited product, the nearest first. */
static enum status fold_before(struct rewriter *r, struct node *node, struct product *p, bool *folded)
{
    struct value *x = node->inputs[0];
    for (;;) {
        struct node *maker = !x->data && x->id < r->capacity && rewrite_sole(r, x) ? r->makers[x->id] : NULL;
        struct affine_node affine = {.x = NULL};
        if (maker && maker->outputs[0] == x)
            TRY(read_affine(r, maker, p->rank, p->x_axis, p->inputs, &affine));
        if (!affine.x || !keeps_shape(r, p, &affine) || !product_fold_before(r, p, &affine.affine))
            break;
        TRY(rewrite_absorb(r, node, maker));
        x = affine.x;
        *folded = true;
    }
    TRY(op_built(&r->c));
    if (!*folded)
        return STATUS_OK;
    remember(r, node, p);
    return product_emit(r, node, p, x);
}

/* A Gemm's alpha and beta that are not 1 cost a step of their own. */
static bool has_factors(const struct node *node)
{
    bool scaled = node_float(node, "alpha") != 1, addend = node->input_count > 2 && node->inputs[2];
    return is_op(node, "Gemm") && (scaled || (addend && node_float(node, "beta") != 1));
}

static enum status visit_product(struct rewriter *r, struct node *node)
{
    const struct value *x = node->inputs[0];
    const struct node *maker = !x->data && x->id < r->capacity ? r->makers[x->id] : NULL;
    static const double one = 1, zero = 0;
    bool folded = false;
    struct product *p;
    if (!has_factors(node) && !(maker && affine_input(maker)))
        return STATUS_OK;
    TRY(product_open(r, node, &p));
    if (!p)
        return STATUS_OK;
    TRY(fold_before(r, node, p, &folded));
    if (folded || !has_factors(node) || !product_fold_after(r, p, &(struct affine){1, &one, &zero}))
        return op_built(&r->c);
    remember(r, node, p);
    return product_emit(r, node, p, node->inputs[0]);
}

static enum status visit(struct rewriter *r, struct node *node)
{
    if (affine_input(node))
        return fold_after(r, node);
    bool product = is_op(node, "Conv") || is_op(node, "ConvTranspose") || is_op(node, "Gemm") || is_op(node, "MatMul");
    return product ? visit_product(r, node) : STATUS_OK;
}

enum status fold_weights(struct graph *graph, struct pass_context *context, struct error *error)
{
    struct products products = {.count = graph->value_count};
    products.of = region_array(&context->scratch, (size_t)graph->value_count, sizeof *products.of);
    if (!products.of)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    TRY(rewrite_graph_with(graph, context, visit, &products, error));
    for (int i = 0; i < products.count; i++)
        if (products.of[i] && !product_finish(products.of[i], graph->region->allocator))
            return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    return STATUS_OK;
}
