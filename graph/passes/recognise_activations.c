/* Activations that exporters spell out. Numbers must be what the formula has, to the last digits that their type can
 * hold: then the operator differs from its spelling by the rounding of intermediates only. */
#include "graph/passes/match.h"

#include <math.h>

static const double half_pi_root = 0.79788456080286535588; /* sqrt(2 / pi) */
static const double half_root = 0.70710678118654752440;    /* sqrt(1 / 2) */

/* value = number * x; by a reader other than those that give x its further readers. */
static bool is_multiple(struct match *m, struct value *value, const struct value *x, double *number)
{
    struct match_product product;
    if (value == x) {
        *number = 1;
        return true;
    }
    if (!match_product(m, value, &product) || product.count != 1 || product.values[0] != x)
        return false;
    *number = product.number;
    return true;
}

static enum status become(struct match *m, const char *op, struct value *x, int attribute_count,
                          const struct attribute *attributes, bool *done)
{
    if (!match_keeps_shape(m, x) || !match_closed(m))
        return STATUS_OK;
    *done = true;
    return match_become(m, op, 1, &x, attribute_count, attributes);
}

/* --- Gelu ------------------------------------------------------------------------------------------------- */

/* value = number * x^power */
static bool is_power(struct match *m, struct value *value, const struct value *x, int power, double number)
{
    struct match_product product;
    if (!match_product(m, value, &product) || product.count != power || !match_near(m, product.number, number))
        return false;
    for (int i = 0; i < power; i++)
        if (product.values[i] != x)
            return false;
    return true;
}

/* value = x + 0.044715 x^3 */
static bool is_cubic(struct match *m, struct value *value, const struct value *x)
{
    struct node *sum = match_maker(m, value, "Add");
    struct value *cube = sum ? rewrite_other_input(sum, x) : NULL;
    return cube && is_power(m, cube, x, 3, 0.044715);
}

/* value = 1 + 0.044715 x^2 */
static bool is_quadratic(struct match *m, struct value *value, const struct value *x)
{
    struct value *square;
    double shift;
    return match_shifted(m, value, &square, &shift) && shift == 1 && is_power(m, square, x, 2, 0.044715);
}

/* value = sqrt(2 / pi) (x + 0.044715 x^3) */
static bool is_tanh_argument(struct match *m, struct value *value, const struct value *x)
{
    struct match_product product;
    if (!match_product(m, value, &product) || !match_near(m, product.number, half_pi_root))
        return false;
    if (product.count == 1)
        return is_cubic(m, product.values[0], x);
    int other = product.values[0] == x;
    return product.count == 2 && product.values[!other] == x && is_quadratic(m, product.values[other], x);
}

/* x * gate / 2, where the gate is 1 + erf(x / sqrt 2), or 1 + tanh(...). */
static enum status try_gelu(struct match m, struct value *x, struct value *gate, bool *done)
{
    const struct attribute approximate = ATTRIBUTE_TEXT("approximate", "tanh");
    struct value *curve;
    double shift, number;
    if (!match_shifted(&m, gate, &curve, &shift) || shift != 1)
        return STATUS_OK;
    const struct node *erf = match_maker(&m, curve, "Erf");
    if (erf && is_multiple(&m, erf->inputs[0], x, &number) && match_near(&m, number, half_root))
        return become(&m, "Gelu", x, 0, NULL, done);
    const struct node *tanh = erf ? NULL : match_maker(&m, curve, "Tanh");
    if (tanh && is_tanh_argument(&m, tanh->inputs[0], x))
        return become(&m, "Gelu", x, 1, &approximate, done);
    return STATUS_OK;
}

/* --- Swish, Mish, HardSwish ------------------------------------------------------------------------------- */

/* x sigmoid(alpha x) */
static enum status try_swish(struct match m, struct value *x, const struct value *gate, bool *done)
{
    const struct node *sigmoid = match_maker(&m, gate, "Sigmoid");
    double alpha;
    if (!sigmoid || !is_multiple(&m, sigmoid->inputs[0], x, &alpha) || !match_attribute(&m, alpha))
        return STATUS_OK;
    const struct attribute attribute = ATTRIBUTE_F("alpha", (float)alpha);
    return become(&m, "Swish", x, 1, &attribute, done);
}

/* value = log(1 + exp x) */
static bool is_softplus(struct match *m, const struct value *value, const struct value *x)
{
    const struct node *softplus = match_maker(m, value, "Softplus"), *log = match_maker(m, value, "Log");
    struct value *power;
    double shift;
    if (softplus)
        return softplus->inputs[0] == x;
    if (!log || !match_shifted(m, log->inputs[0], &power, &shift) || shift != 1)
        return false;
    const struct node *exp = match_maker(m, power, "Exp");
    return exp && exp->inputs[0] == x;
}

/* x tanh(softplus x) */
static enum status try_mish(struct match m, struct value *x, const struct value *gate, bool *done)
{
    const struct node *tanh = match_maker(&m, gate, "Tanh");
    return tanh && is_softplus(&m, tanh->inputs[0], x) ? become(&m, "Mish", x, 0, NULL, done) : STATUS_OK;
}

/* value = clip(x + 3, 0, 6) */
static bool is_relu6(struct match *m, struct value *value, const struct value *x)
{
    struct value *inner, *start;
    double least, most, shift;
    return match_clip(m, value, &inner, &least, &most) && least == 0 && most == 6 &&
           match_shifted(m, inner, &start, &shift) && shift == 3 && start == x;
}

/* value = clip(x / 6 + 1/2, 0, 1), as HardSigmoid. */
static bool is_hard_sigmoid(struct match *m, const struct value *value, const struct value *x)
{
    const struct node *node = match_maker(m, value, "HardSigmoid");
    return node && node->inputs[0] == x && node_float(node, "beta") == 0.5f &&
           match_near(m, (double)node_float(node, "alpha"), 1.0 / 6);
}

/* number * x * gate */
static enum status try_hard_swish(struct match m, struct value *x, struct value *gate, double number, bool *done)
{
    struct match spelled = m;
    if (is_relu6(&spelled, gate, x) && match_near(&spelled, number, 1.0 / 6))
        return become(&spelled, "HardSwish", x, 0, NULL, done);
    return number == 1 && is_hard_sigmoid(&m, gate, x) ? become(&m, "HardSwish", x, 0, NULL, done) : STATUS_OK;
}

/* --- HardSigmoid ------------------------------------------------------------------------------------------ */

/* number * clip(a x + b, 0, 1 / number) = clip(number a x + number b, 0, 1) */
static enum status try_hard_sigmoid(struct match m, struct value *value, double number, bool *done)
{
    struct match_product product;
    struct value *inner, *scaled, *x;
    double least, most, shift, factor = 1;
    if (!match_clip(&m, value, &inner, &least, &most) || least != 0 || !match_near(&m, number * most, 1) ||
        !match_shifted(&m, inner, &scaled, &shift))
        return STATUS_OK;
    x = scaled;
    struct match unscaled = m;
    if (match_product(&m, scaled, &product) && product.count == 1) {
        x = product.values[0];
        factor = product.number;
    } else {
        m = unscaled;
    }
    if (!match_attribute(&m, number * factor) || !match_attribute(&m, number * shift))
        return STATUS_OK;
    const struct attribute attributes[] = {ATTRIBUTE_F("alpha", (float)(number * factor)),
                                           ATTRIBUTE_F("beta", (float)(number * shift))};
    return become(&m, "HardSigmoid", x, 2, attributes, done);
}

/* --- the visit -------------------------------------------------------------------------------------------- */

static enum status visit_pair(const struct match *m, struct value *x, struct value *gate, double number, bool *done)
{
    if (number == 0.5)
        return try_gelu(*m, x, gate, done);
    if (number == 1)
        TRY(try_swish(*m, x, gate, done));
    if (number == 1 && !*done)
        TRY(try_mish(*m, x, gate, done));
    return *done ? STATUS_OK : try_hard_swish(*m, x, gate, number, done);
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct match m = match_begin(r);
    struct match_product product;
    bool done = false;
    if (is_op(node, "Clip") || is_op(node, "Min") || is_op(node, "Max"))
        return try_hard_sigmoid(m, node->outputs[0], 1, &done);
    if (!match_product_of_node(&m, node, &product))
        return STATUS_OK;
    if (product.count == 1)
        return try_hard_sigmoid(m, product.values[0], product.number, &done);
    for (int i = 0; i < 2 && product.count == 2 && !done; i++)
        TRY(visit_pair(&m, product.values[i], product.values[!i], product.number, &done));
    return STATUS_OK;
}

enum status recognise_activations(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
