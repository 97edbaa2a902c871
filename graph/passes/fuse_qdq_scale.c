/* Requantisation by one multiplication: what is quantised is divided by a scale, and so are the numbers that it is made
 * of, as far as they are constants. Sums of products, scaled and shifted, then come out as multiples of the scale. */
#include "graph/passes/fuse_qdq.h"

#include <float.h>
#include <math.h>

#define DEEPEST 16         /* operators in a row */
#define MOST_NUMBERS 65536 /* of a constant that is made anew */

struct division {
    struct rewriter *r;
    double divisor;
    size_t bytes;  /* of the constants that it takes */
    bool products; /* there is something to gain: a multiplication that takes the division in */
};

static bool is_divisible(struct division *d, const struct value *constant)
{
    if (!constant->data || constant->dtype != DTYPE_F32 || value_elements(constant) > MOST_NUMBERS)
        return false;
    for (int64_t i = 0; i < value_elements(constant); i++) {
        double number = fabs((double)((const float *)constant->data)[i] / d->divisor);
        if (number != 0 && !(number >= (double)FLT_MIN && number <= (double)FLT_MAX))
            return false;
    }
    d->bytes += value_bytes(constant);
    return true;
}

static struct value *divided_constant(struct rewriter *r, const struct value *constant, double divisor)
{
    void *data;
    struct value *result = rewrite_buffer(r, DTYPE_F32, constant->rank, constant->dims, &data);
    for (int64_t i = 0; result && i < value_elements(constant); i++)
        ((float *)data)[i] = (float)((double)((const float *)constant->data)[i] / divisor);
    return result;
}

static struct node *maker_of(const struct rewriter *r, const struct value *value)
{
    return !value->data && value->id < r->capacity ? r->makers[value->id] : NULL;
}

/* The operand of a Mul that is a constant; -1: none is, or both are. */
static int constant_operand(const struct node *node)
{
    bool first = node->inputs[0]->data != NULL, second = node->inputs[1]->data != NULL;
    return first == second ? -1 : second;
}

static bool can_divide(struct division *d, struct value *value, int depth)
{
    struct node *maker = maker_of(d->r, value);
    struct quantised q;
    if (value->data)
        return is_divisible(d, value);
    if (!maker || depth == DEEPEST)
        return false;
    if (read_dequantize(d->r, maker, &q))
        return is_divisible(d, q.scale);
    if (!rewrite_sole(d->r, value))
        return false;
    if (is_op(maker, "Mul")) {
        int constant = constant_operand(maker);
        d->products = true;
        return constant >= 0 && is_divisible(d, maker->inputs[constant]);
    }
    bool linear = is_op(maker, "Add") || is_op(maker, "Relu") || (is_op(maker, "Clip") && maker->version >= 11);
    for (int i = 0; linear && i < maker->input_count; i++)
        linear = !maker->inputs[i] || can_divide(d, maker->inputs[i], depth + 1);
    return linear;
}

/* New nodes before the visited one. NULL: r->c.error says why. */
static struct value *divide(struct rewriter *r, struct value *value, double divisor)
{
    const struct node *maker = maker_of(r, value);
    struct value *inputs[3] = {NULL};
    if (!maker)
        return divided_constant(r, value, divisor);
    /* Of a sum and of bounds all operands, of a product one. */
    int alone = is_op(maker, "DequantizeLinear") ? 1 : is_op(maker, "Mul") ? constant_operand(maker) : -1;
    for (int i = 0; i < maker->input_count; i++) {
        bool takes = maker->inputs[i] && (alone < 0 || i == alone);
        inputs[i] = takes ? divide(r, maker->inputs[i], divisor) : maker->inputs[i];
        if (takes && !inputs[i])
            return NULL;
    }
    return rewrite_copy(r, maker, maker->input_count, inputs);
}

enum status quantise_by_one(struct rewriter *r, struct node *node, const struct quantised *to)
{
    const float one = 1;
    struct division division = {.r = r, .divisor = scale_at(to, 0), .bytes = sizeof one};
    if (!(division.divisor > 0) || division.divisor == 1 || !can_divide(&division, node->inputs[0], 0) ||
        !division.products || !rewrite_fits(r, division.bytes))
        return STATUS_OK;
    struct value *numbers = divide(r, node->inputs[0], division.divisor);
    struct value *unit = numbers ? rewrite_constant(r, DTYPE_F32, 0, NULL, &one) : NULL;
    if (!unit)
        return r->c.error->status;
    rewrite_input(r, node, 0, numbers);
    rewrite_input(r, node, 1, unit);
    return STATUS_OK;
}
