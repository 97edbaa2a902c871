/* What is multiplied and added by constants before or after a product by constant weights goes into the weights and the
 * bias: BatchNormalization, Mul, Div, Add and Sub around Conv, ConvTranspose, Gemm and MatMul.
 *
 * The weights change once a model: this pass runs while shapes may be unknown, so it takes only what fits whatever they
 * turn out to be. */
#include "graph/passes/numbers.h"
#include "graph/passes/product.h"

#include <math.h>

struct products {
    struct product **of; /* by id of the value that the product makes */
    int count;
};

/* An affine node: its input that is no constant, and what it does to it. */
struct affine_node {
    struct value *x;
    const struct value *constant; /* of an arithmetic node; NULL: BatchNormalization */
    struct affine affine;
};

static enum status reserve_numbers(struct rewriter *r, int64_t count, double **first, double **second)
{
    *first = region_array(&r->context->scratch, (size_t)count, sizeof **first);
    *second = region_array(&r->context->scratch, (size_t)count, sizeof **second);
    return *first && *second ? STATUS_OK : op_no_memory(&r->c);
}

/* --- affine nodes ---------------------------------------------------------------------------------------- */

static bool is_inference(const struct node *batch)
{
    for (int i = 1; i < batch->output_count; i++)
        if (batch->outputs[i])
            return false;
    return (batch->version < 14 || node_int(batch, "training_mode") == 0) &&
           (batch->version >= 9 || node_int(batch, "spatial") != 0);
}

static enum status read_batch(struct rewriter *r, const struct node *node, int64_t channels, struct affine_node *result)
{
    double *factor, *shift, *mean, *variance, epsilon = (double)node_float(node, "epsilon");
    for (int i = 1; i < 5; i++)
        if (!is_by_channel(node->inputs[i], 1, 0, channels) || node->inputs[i]->dims[0] != channels)
            return STATUS_OK;
    TRY(reserve_numbers(r, channels, &factor, &shift));
    TRY(reserve_numbers(r, channels, &mean, &variance));
    double *const numbers[] = {factor, shift, mean, variance};
    for (int i = 0; i < 4; i++)
        numbers_read(node->inputs[1 + i], 0, channels, numbers[i]);
    for (int64_t i = 0; i < channels; i++) {
        factor[i] = factor[i] / sqrt(variance[i] + epsilon);
        shift[i] = shift[i] - mean[i] * factor[i];
    }
    result->x = node->inputs[0];
    result->affine = (struct affine){channels, factor, shift};
    return STATUS_OK;
}

/* x op c, and for all but Div also c op x. */
static enum status read_arithmetic(struct rewriter *r, const struct node *node, struct affine_node *result)
{
    bool right = node->inputs[1]->data != NULL, add = is_op(node, "Add"), sub = is_op(node, "Sub");
    const struct value *c = node->inputs[right];
    int64_t count = value_elements(c);
    double *factor, *shift;
    if (is_op(node, "Div") && !right)
        return STATUS_OK;
    TRY(reserve_numbers(r, count, &factor, &shift));
    numbers_read(c, 0, count, factor);
    for (int64_t i = 0; i < count; i++) {
        double number = factor[i];
        factor[i] = add ? 1 : sub ? (right ? 1 : -1) : is_op(node, "Div") ? 1 / number : number;
        shift[i] = add ? number : sub ? (right ? -number : number) : 0;
    }
    result->x = node->inputs[!right];
    result->constant = c;
    result->affine = (struct affine){count, factor, shift};
    return STATUS_OK;
}

/* The input of a node that may be affine: the one that is no constant. */
static struct value *affine_input(const struct node *node)
{
    static const char *const names[] = {"Add", "Sub", "Mul", "Div"};
    if (is_op(node, "BatchNormalization"))
        return is_inference(node) ? node->inputs[0] : NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]) && !node->inputs[0]->data != !node->inputs[1]->data)
            return node->inputs[node->inputs[0]->data != NULL];
    return NULL;
}

/* What the node does to a tensor whose channels lie along the axis; result->x stays NULL where it is not affine in each
 * channel. */
static enum status read_affine(struct rewriter *r, const struct node *node, int rank, int axis, int64_t channels,
                               struct affine_node *result)
{
    *result = (struct affine_node){.x = NULL};
    if (!affine_input(node))
        return STATUS_OK;
    if (is_op(node, "BatchNormalization"))
        return rank >= 2 && axis == rank - 2 ? read_batch(r, node, channels, result) : STATUS_OK;
    bool right = node->inputs[1]->data != NULL;
    return is_by_channel(node->inputs[right], rank, axis, channels) ? read_arithmetic(r, node, result) : STATUS_OK;
}

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
    products.of = region_array(&context->scratch, (size_t)graph->value_count + 1, sizeof *products.of);
    if (!products.of)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    TRY(rewrite_graph_with(graph, context, visit, &products, error));
    for (int i = 0; i < products.count; i++)
        if (products.of[i] && !product_finish(products.of[i], graph->region->allocator))
            return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    return STATUS_OK;
}
