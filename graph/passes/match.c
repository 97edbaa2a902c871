#include "graph/passes/match.h"

#include <float.h>
#include <math.h>

struct match match_begin(struct rewriter *r)
{
    struct node *node = r->c.node;
    return (struct match){.r = r, .nodes = {node}, .count = 1, .dtype = rewrite_dtype(r, node->outputs[0])};
}

static bool contains(const struct match *m, const struct node *node)
{
    for (int i = 0; i < m->count; i++)
        if (m->nodes[i] == node)
            return true;
    return false;
}

struct node *match_maker(struct match *m, const struct value *value, const char *name)
{
    struct node *maker = rewrite_maker(m->r, value, name);
    if (!maker || contains(m, maker))
        return maker;
    if (m->count == MATCH_NODES)
        return NULL;
    m->nodes[m->count++] = maker;
    return maker;
}

/* --- numbers --------------------------------------------------------------------------------------------- */

static bool read_number(struct match *m, const struct value *value, double *number)
{
    if (!rewrite_scalar(value, number))
        return false;
    m->number_rank = value->rank > m->number_rank ? value->rank : m->number_rank;
    return true;
}

static bool is_float(const struct value *value)
{
    return (TYPES_FLOAT & TYPE(value->dtype)) != 0;
}

bool match_number(struct match *m, const struct value *value, double *number)
{
    if (!is_float(value) || !read_number(m, value, number))
        return false;
    if (m->dtype == DTYPE_NONE)
        m->dtype = value->dtype;
    return true;
}

/* Relative distance of neighbouring numbers; for float32 a few of them, since numbers written with seven digits are
 * common in its models. */
static double precision(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F16:
        return 0x1p-11;
    case DTYPE_BF16:
        return 0x1p-8;
    case DTYPE_F32:
        return 1e-6;
    case DTYPE_F64:
        return 1e-14;
    default:
        return 0;
    }
}

bool match_near(const struct match *m, double number, double expected)
{
    return fabs(number - expected) <= precision(m->dtype) * fabs(expected);
}

bool match_attribute(const struct match *m, double number)
{
    return fabs(number) <= (double)FLT_MAX && match_near(m, (double)(float)number, number);
}

/* --- small expressions ----------------------------------------------------------------------------------- */

bool match_power(struct match *m, const struct value *value, struct value **x, double *exponent)
{
    const struct node *power = match_maker(m, value, "Pow");
    if (!power || !read_number(m, power->inputs[1], exponent))
        return false;
    *x = power->inputs[0];
    return true;
}

bool match_square(struct match *m, const struct value *value, struct value **x)
{
    const struct node *product = match_maker(m, value, "Mul");
    double exponent;
    if (!product)
        return match_power(m, value, x, &exponent) && exponent == 2;
    *x = product->inputs[0];
    return product->inputs[0] == product->inputs[1];
}

bool match_reciprocal(struct match *m, const struct value *value, const struct value **divisor)
{
    const struct node *reciprocal = match_maker(m, value, "Reciprocal"), *quotient = match_maker(m, value, "Div");
    double number;
    if (quotient && (!match_number(m, quotient->inputs[0], &number) || number != 1))
        return false;
    *divisor = reciprocal ? reciprocal->inputs[0] : quotient ? quotient->inputs[1] : NULL;
    return *divisor != NULL;
}

bool match_shifted(struct match *m, const struct value *value, struct value **x, double *shift)
{
    const struct node *sum = match_maker(m, value, "Add"), *difference = sum ? NULL : match_maker(m, value, "Sub");
    const struct node *node = sum ? sum : difference;
    if (!node)
        return false;
    bool left = sum && node->inputs[0]->data;
    if (!match_number(m, node->inputs[!left], shift))
        return false;
    *x = node->inputs[left];
    *shift = difference ? -*shift : *shift;
    return true;
}

/* A bound of a Clip: an input from opset 11 on, an attribute before. */
static bool clip_bound(struct match *m, const struct node *clip, int input, const char *name, double *bound)
{
    if (clip->version >= 11)
        return input < clip->input_count && clip->inputs[input] && match_number(m, clip->inputs[input], bound);
    const struct attribute *given = node_attribute_of(clip, name, ATTRIBUTE_FLOAT);
    *bound = given ? (double)given->f : NAN;
    return !isnan(*bound);
}

/* value = min(*x, *bound), or the same with max. */
static bool match_bounded(struct match *m, struct value *value, const char *name, struct value **x, double *bound)
{
    const struct node *node = match_maker(m, value, name);
    if (!node || node->input_count != 2)
        return false;
    bool left = node->inputs[0]->data != NULL;
    *x = node->inputs[left];
    return match_number(m, node->inputs[!left], bound);
}

bool match_clip(struct match *m, struct value *value, struct value **x, double *least, double *most)
{
    const struct node *clip = match_maker(m, value, "Clip");
    struct value *inner;
    if (clip) {
        *x = clip->inputs[0];
        return clip_bound(m, clip, 1, "min", least) && clip_bound(m, clip, 2, "max", most);
    }
    if (match_bounded(m, value, "Max", &inner, least))
        return match_bounded(m, inner, "Min", x, most);
    if (!match_bounded(m, value, "Min", &inner, most))
        return false;
    const struct node *relu = match_maker(m, inner, "Relu");
    if (!relu)
        return match_bounded(m, inner, "Max", x, least);
    *x = relu->inputs[0];
    *least = 0;
    return true;
}

/* --- products -------------------------------------------------------------------------------------------- */

static bool add_factors(struct match_product *product, struct value *value, int count)
{
    if (count > MATCH_FACTORS - product->count)
        return false;
    for (int i = 0; i < count; i++)
        product->values[product->count++] = value;
    return true;
}

static bool is_product(const struct node *node)
{
    double number;
    if (is_op(node, "Div"))
        return is_float(node->inputs[1]) && rewrite_scalar(node->inputs[1], &number);
    if (is_op(node, "Pow"))
        return rewrite_scalar(node->inputs[1], &number) && (number == 2 || number == 3);
    return is_op(node, "Mul");
}

static bool add_value(struct match *m, struct value *value, struct match_product *product);

/* False: too many factors. */
static bool add_node(struct match *m, struct node *node, struct match_product *product)
{
    double number;
    if (is_op(node, "Mul"))
        return add_value(m, node->inputs[0], product) && add_value(m, node->inputs[1], product);
    if (!read_number(m, node->inputs[1], &number))
        return false;
    if (is_op(node, "Pow"))
        return add_factors(product, node->inputs[0], (int)number);
    product->number /= number;
    return add_value(m, node->inputs[0], product);
}

static bool add_value(struct match *m, struct value *value, struct match_product *product)
{
    static const char *const names[] = {"Mul", "Div", "Pow"};
    double number;
    if (match_number(m, value, &number)) {
        product->number *= number;
        return true;
    }
    for (size_t i = 0; rewrite_sole(m->r, value) && i < sizeof names / sizeof *names; i++)
        if (is_product(rewrite_maker(m->r, value, names[i]))) {
            struct node *maker = match_maker(m, value, names[i]);
            return maker && add_node(m, maker, product);
        }
    return add_factors(product, value, 1);
}

bool match_product_of_node(struct match *m, struct node *node, struct match_product *product)
{
    *product = (struct match_product){.number = 1};
    return is_product(node) && add_node(m, node, product);
}

bool match_product(struct match *m, struct value *value, struct match_product *product)
{
    *product = (struct match_product){.number = 1};
    return add_value(m, value, product);
}

/* --- the whole pattern ----------------------------------------------------------------------------------- */

/* At least so many axes, whatever the shapes turn out to be. Looks so many nodes back. */
static int least_rank(const struct rewriter *r, const struct value *value, int depth)
{
    static const char *const elementwise[] = {"Add", "Sub", "Mul", "Div"};
    if (value->rank >= 0 && rewrite_is_sure(r, value))
        return value->rank;
    if (rewrite_maker(r, value, "Conv"))
        return 3;
    if (rewrite_maker(r, value, "Gemm"))
        return 2;
    for (size_t i = 0; depth > 0 && i < sizeof elementwise / sizeof *elementwise; i++) {
        const struct node *maker = rewrite_maker(r, value, elementwise[i]);
        if (!maker)
            continue;
        int a = least_rank(r, maker->inputs[0], depth - 1), b = least_rank(r, maker->inputs[1], depth - 1);
        return a > b ? a : b;
    }
    return 0;
}

bool match_keeps_shape(const struct match *m, const struct value *x)
{
    return m->number_rank == 0 || m->number_rank <= least_rank(m->r, x, 3);
}

static int reads_inside(const struct match *m, const struct value *value)
{
    int reads = 0;
    for (int i = 0; i < m->count; i++)
        for (int k = 0; k < m->nodes[i]->input_count; k++)
            reads += m->nodes[i]->inputs[k] == value;
    return reads;
}

bool match_closed(const struct match *m)
{
    for (int i = 1; i < m->count; i++)
        for (int k = 0; k < m->nodes[i]->output_count; k++) {
            const struct value *output = m->nodes[i]->outputs[k];
            if (output && m->r->readers[output->id] != reads_inside(m, output))
                return false;
        }
    return true;
}

enum status match_absorb(struct match *m)
{
    for (int i = 1; i < m->count; i++)
        TRY(rewrite_absorb(m->r, m->nodes[0], m->nodes[i]));
    return STATUS_OK;
}

enum status match_become(struct match *m, const char *op, int input_count, struct value *const *inputs,
                         int attribute_count, const struct attribute *attributes)
{
    TRY(match_absorb(m));
    return rewrite_as(m->r, m->nodes[0], op_find("", op), input_count, inputs, attribute_count, attributes);
}

/* --- shapes ---------------------------------------------------------------------------------------------- */

unsigned match_reduced_axes(const struct match *m, struct node *node)
{
    int axes[MAX_RANK], count, rank = node->inputs[0]->rank;
    struct op_context c = m->r->c;
    struct error ignored = {0};
    c.node = node;
    c.error = &ignored;
    if (rank < 0 || node_int(node, "keepdims") == 0 || op_axes(&c, "axes", 1, rank, axes, &count) != STATUS_OK)
        return 0;
    if (count <= 0)
        return node_int(node, "noop_with_empty_axes") ? 0 : (1u << rank) - 1;
    unsigned mask = 0;
    for (int i = 0; i < count; i++)
        mask |= 1u << axes[i];
    return mask;
}

int match_first_trailing(unsigned axes, int rank)
{
    for (int axis = 0; axes && axis < rank; axis++)
        if (axes == (((1u << rank) - 1) & ~((1u << axis) - 1)))
            return axis;
    return -1;
}
