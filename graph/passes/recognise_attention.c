/* Attention that is spelled out: MatMul(Softmax(scale MatMul(Q, K^T) + mask), V) becomes ScaledDotProductAttention,
 * which never has the scores whole in memory. They may be [batch, heads, queries, keys] or [heads, queries, keys]. */
#include "graph/passes/match.h"

#include <math.h>

struct attention {
    struct value *q, *k, *v;
    int64_t k_perm[MAX_RANK]; /* a Transpose that k needs yet */
    struct value *mask;       /* is added; or, with `fill`, the condition of a Where */
    struct value *fill;       /* what takes the place of a score; NULL: nothing does */
    bool fills_true;          /* where the condition holds; otherwise where it does not */
    bool blind_is_zero;       /* queries that see no key get 0 instead of NaN */
    double scale;
};

/* --- matching -------------------------------------------------------------------------------------------- */

/* Where *value = number * x: makes it x, and takes the number into the scale. */
static void take_factor(struct match *m, struct value **value, double *scale)
{
    struct match before = *m;
    struct match_product product;
    if (match_product(m, *value, &product) && product.count == 1) {
        *value = product.values[0];
        *scale *= product.number;
    } else {
        *m = before;
    }
}

/* The last axis of the softmax is that of the keys. */
static bool match_softmax(struct match *m, const struct value *weights, struct value **scores)
{
    const struct node *softmax = match_maker(m, weights, "Softmax");
    int rank = softmax ? softmax->inputs[0]->rank : 0;
    if (rank < 3)
        return false;
    int64_t axis = node_int(softmax, "axis");
    *scores = softmax->inputs[0];
    return axis == -1 || axis == rank - 1;
}

/* The weights, or Where(IsNaN(weights), 0, weights): exporters that write this mean queries without keys. */
static bool match_weights(struct match *m, struct value *value, struct attention *a, struct value **scores)
{
    const struct node *where = match_maker(m, value, "Where");
    double number;
    if (!where)
        return match_softmax(m, value, scores);
    const struct node *is_nan = match_maker(m, where->inputs[0], "IsNaN");
    a->blind_is_zero = true;
    return is_nan && is_nan->inputs[0] == where->inputs[2] && match_number(m, where->inputs[1], &number) &&
           number == 0 && match_softmax(m, where->inputs[2], scores);
}

/* The axis with the last two exchanged. */
static int swapped(int axis, int rank)
{
    return axis < rank - 2 ? axis : 2 * rank - 3 - axis;
}

/* scores = scale * q k^T */
static bool match_scores(struct match *m, struct value *scores, struct attention *a)
{
    a->scale = 1;
    take_factor(m, &scores, &a->scale);
    const struct node *product = match_maker(m, scores, "MatMul");
    if (!product)
        return false;
    int rank = product->outputs[0]->rank;
    a->q = product->inputs[0];
    a->k = product->inputs[1];
    if ((rank != 3 && rank != 4) || a->q->rank != rank || a->k->rank != rank)
        return false;
    take_factor(m, &a->q, &a->scale);
    take_factor(m, &a->k, &a->scale);
    for (int i = 0; i < rank; i++)
        a->k_perm[i] = swapped(i, rank);
    const struct node *transpose = rewrite_maker(m->r, a->k, "Transpose");
    const struct attribute *perm = transpose ? node_attribute_of(transpose, "perm", ATTRIBUTE_INTS) : NULL;
    if (!perm)
        return true;
    bool taken_in = rewrite_sole(m->r, a->k) && match_maker(m, a->k, "Transpose");
    for (int i = 0; i < rank; i++) {
        int64_t axis = perm->ints[swapped(i, rank)];
        a->k_perm[i] = axis < 0 ? axis + rank : axis;
    }
    a->k = transpose->inputs[0];
    if (taken_in)
        take_factor(m, &a->k, &a->scale);
    return true;
}

/* Scores as they are, with something added, or with something in the place of some. */
static bool match_masked_scores(struct match *m, struct value *scores, struct attention *a)
{
    const struct node *sum = match_maker(m, scores, "Add"), *where = sum ? NULL : match_maker(m, scores, "Where");
    double number;
    if (where) {
        a->fills_true = match_number(m, where->inputs[1], &number);
        if (!a->fills_true && !match_number(m, where->inputs[2], &number))
            return false;
        a->mask = where->inputs[0];
        a->fill = where->inputs[a->fills_true ? 1 : 2];
        return match_scores(m, where->inputs[a->fills_true ? 2 : 1], a);
    }
    for (int i = 0; sum && i < 2; i++) {
        struct match before = *m;
        a->mask = sum->inputs[!i];
        if (match_scores(m, sum->inputs[i], a))
            return true;
        *m = before;
    }
    return !sum && match_scores(m, scores, a);
}

/* --- what the operator takes ----------------------------------------------------------------------------- */

/* Adding the fill to a score leaves the fill, or a number whose exponential is as far from any other: from -1e9 on,
 * scores between -32 and 32 vanish in float32. */
static bool drowns(const struct value *fill)
{
    double number;
    return rewrite_scalar(fill, &number) && number <= (fill->dtype == DTYPE_F64 ? -1e30 : -1e9);
}

/* Heads of queries may share heads of keys and values. The scores that the softmax sees have the shape of the product:
 * the mask has not repeated any. */
static bool sizes_fit(const struct attention *a, const struct value *scores)
{
    const struct value *q = a->q, *k = a->k, *v = a->v;
    int rank = q->rank;
    bool fit = v->rank == rank && scores->rank == rank && k->rank == rank && !k->data && !v->data &&
               scores->dims[rank - 2] == q->dims[rank - 2] && scores->dims[rank - 1] == k->dims[a->k_perm[rank - 2]];
    for (int i = 0; fit && i < rank - 2; i++) {
        int64_t heads = k->dims[a->k_perm[i]];
        bool shared = i == rank - 3 && heads == 1;
        fit = v->dims[i] == heads && q->dims[i] == scores->dims[i] && (heads == q->dims[i] || shared);
    }
    return fit;
}

/* --- rewriting ------------------------------------------------------------------------------------------- */

/* NULL: r->c.error says why. */
static struct value *transposed_keys(struct rewriter *r, const struct attention *a)
{
    int rank = a->k->rank;
    bool moves = false;
    for (int i = 0; i < rank; i++)
        moves = moves || a->k_perm[i] != i;
    if (!moves)
        return a->k;
    int64_t *axes = region_array(r->c.graph->region, (size_t)rank, sizeof *axes);
    if (!axes) {
        op_no_memory(&r->c);
        return NULL;
    }
    memcpy(axes, a->k_perm, (size_t)rank * sizeof *axes);
    const struct attribute perm = ATTRIBUTE_LIST("perm", rank, axes);
    return rewrite_build(r, op_find("", "Transpose"), 1, &a->k, 1, &perm);
}

/* The mask as the operator takes it: a condition that lets keys be seen, or numbers to add. NULL: r->c.error says why.
 */
static struct value *built_mask(struct rewriter *r, const struct attention *a)
{
    double number = 0;
    struct value *mask = a->mask;
    if (!a->fill)
        return mask;
    rewrite_scalar(a->fill, &number);
    if (isinf(number))
        return a->fills_true ? rewrite_build(r, op_find("", "Not"), 1, &mask, 0, NULL) : mask;
    struct value *zero = op_constant_scalar(&r->c, a->fill->dtype, 0);
    if (!zero) {
        op_no_memory(&r->c);
        return NULL;
    }
    struct value *inputs[3] = {mask, a->fills_true ? a->fill : zero, a->fills_true ? zero : a->fill};
    return rewrite_build(r, op_find("", "Where"), 3, inputs, 0, NULL);
}

/* A batch of one in front, where there is none. */
static struct value *with_batch(struct rewriter *r, struct value *value)
{
    struct value *axes = value->rank == 3 ? op_constant_ints(&r->c, 1, (int64_t[]){0}) : NULL;
    if (value->rank != 3)
        return value;
    if (!axes) {
        op_no_memory(&r->c);
        return NULL;
    }
    return rewrite_build(r, op_find("", "Unsqueeze"), 2, (struct value *[]){value, axes}, 0, NULL);
}

static enum status become(struct match *m, const struct attention *a)
{
    struct rewriter *r = m->r;
    const struct op *op = op_find(OWN_DOMAIN, "ScaledDotProductAttention");
    const struct attribute attributes[] = {ATTRIBUTE_F("scale", (float)a->scale),
                                           ATTRIBUTE_I("blind_is_zero", a->blind_is_zero)};
    int count = a->mask ? 4 : 3;
    TRY(match_absorb(m));
    struct value *inputs[4] = {a->q, transposed_keys(r, a), a->v, NULL};
    if (!inputs[1])
        return op_built(&r->c);
    if (a->mask && !(inputs[3] = built_mask(r, a)))
        return op_built(&r->c);
    if (a->q->rank == 4)
        return rewrite_as(r, r->c.node, op, count, inputs, 2, attributes);
    for (int i = 0; i < 3; i++)
        if (!(inputs[i] = with_batch(r, inputs[i])))
            return op_built(&r->c);
    struct value *y = rewrite_build(r, op, count, inputs, 2, attributes);
    struct value *axes = op_constant_ints(&r->c, 1, (int64_t[]){0});
    if (!y)
        return op_built(&r->c);
    if (!axes)
        return op_no_memory(&r->c);
    return rewrite_as(r, r->c.node, op_find("", "Squeeze"), 2, (struct value *[]){y, axes}, 0, NULL);
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct match m = match_begin(r);
    struct attention a = {.v = is_op(node, "MatMul") ? node->inputs[1] : NULL};
    struct value *scores;
    if (!a.v || !match_weights(&m, node->inputs[0], &a, &scores) || !match_masked_scores(&m, scores, &a))
        return STATUS_OK;
    bool taken = m.number_rank <= scores->rank && match_attribute(&m, a.scale) && sizes_fit(&a, scores) &&
                 (!a.fill || drowns(a.fill)) && match_closed(&m);
    return taken ? become(&m, &a) : STATUS_OK;
}

enum status recognise_attention(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
