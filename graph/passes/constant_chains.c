/* Arithmetic with constants that comes in rows or does nothing: x*a*b and x+a+b, x*1, x/1, x^1, x^2, --x, casts of
 * casts.
 *
 * x + 0 stays: it makes +0 of -0. The identities are x - 0 and x + -0. x*x is the square rounded right, which pow
 * gives nearly always. Where numbers are floating, a merged constant
 * must have all its digits, and a sum must not have cancelled: x + 2^23 - 2^23 is a way to round. */
#include "graph/passes/numbers.h"
#include "graph/passes/rewrite.h"

#include <math.h>

/* --- shapes ---------------------------------------------------------------------------------------------- */

/* Broadcasting to the constant leaves the value's shape as it is. */
static bool keeps_shape(const struct rewriter *r, const struct value *x, const struct value *c)
{
    int rank;
    int64_t dims[MAX_RANK];
    if (c->rank == 0)
        return true;
    if (!rewrite_shape(r, x, &rank, dims) || c->rank > rank)
        return false;
    for (int i = 0; i < c->rank; i++)
        if (c->dims[i] != 1 && c->dims[i] != dims[rank - c->rank + i])
            return false;
    return true;
}

/* --- one operator ---------------------------------------------------------------------------------------- */

/* x + c, x - c, c - x, x * c or x / c. */
struct link {
    struct value *x;
    const struct value *c;
    bool sum;      /* else a product */
    bool inverse;  /* c is subtracted, or divides */
    bool negative; /* c - x */
};

static bool read_link(const struct node *node, struct link *link)
{
    bool add = is_op(node, "Add"), sub = is_op(node, "Sub"), mul = is_op(node, "Mul"), divide = is_op(node, "Div");
    if (!(add || sub || mul || divide) || !node->inputs[0]->data == !node->inputs[1]->data)
        return false;
    bool right = node->inputs[1]->data != NULL;
    *link = (struct link){
        .x = node->inputs[!right],
        .c = node->inputs[right],
        .sum = add || sub,
        .inverse = (sub || divide) && right,
        .negative = sub && !right,
    };
    return (right || !divide) && TYPES_NUMERIC & TYPE(link->c->dtype);
}

/* Every element is this integer, or this number with this sign. */
static bool is_all(const struct value *c, double number)
{
    double element = 0;
    int64_t count = value_elements(c);
    for (int64_t i = 0; i < count; i++)
        if (!value_number_at(c, i, &element) || element != number || !signbit(element) != !signbit(number))
            return false;
    return count > 0;
}

static bool does_nothing(const struct link *link)
{
    if (link->negative)
        return false;
    if (!link->sum)
        return is_all(link->c, 1);
    return is_all(link->c, link->inverse || dtype_is_integer(link->c->dtype) ? 0.0 : -0.0);
}

/* --- two in a row ---------------------------------------------------------------------------------------- */

/* The constant of both links together, from an element of each. False: they are better left apart. */
static bool combine_numbers(const struct link *inner, const struct link *outer, double a, double b, double *result)
{
    enum dtype dtype = inner->c->dtype;
    if (inner->sum) {
        a = inner->inverse != outer->negative ? -a : a;
        b = outer->inverse ? -b : b;
        *result = a + b;
        if (fabs(*result) < fmax(fabs(a), fabs(b)) / 2)
            return false;
    } else {
        *result = inner->inverse == outer->inverse ? a * b : inner->inverse ? b / a : a / b;
    }
    return fabs(*result) >= number_least_normal(dtype) && fabs(*result) <= number_greatest(dtype);
}

/* Integers wrap round, so that sums and products may be taken in any order. */
static uint64_t combine_integers(const struct link *inner, const struct link *outer, uint64_t a, uint64_t b)
{
    if (!inner->sum)
        return a * b;
    a = inner->inverse != outer->negative ? 0 - a : a;
    return a + (outer->inverse ? 0 - b : b);
}

/* Element `at` of `data` (NULL: only whether there is one), from elements of the two constants. */
static bool combine_element(const struct link *inner, const struct link *outer, int64_t at_inner, int64_t at_outer,
                            void *data, int64_t at)
{
    enum dtype dtype = inner->c->dtype;
    double a, b, result;
    int64_t first, second;
    if (!dtype_is_integer(dtype)) {
        numbers_read(inner->c, at_inner, 1, &a);
        numbers_read(outer->c, at_outer, 1, &b);
        if (!combine_numbers(inner, outer, a, b, &result))
            return false;
        if (data)
            numbers_write(dtype, data, at, 1, &result);
        return true;
    }
    size_t bytes = dtype_bytes(dtype, 1);
    if (!value_integer_at(inner->c, at_inner, &first) || !value_integer_at(outer->c, at_outer, &second))
        return false;
    uint64_t both = combine_integers(inner, outer, (uint64_t)first, (uint64_t)second);
    if (data)
        memcpy((char *)data + (size_t)at * bytes, &both, bytes); /* little-endian: the low bytes */
    return true;
}

/* Element `index` of a broadcast shape lies here. */
static int64_t element_at(int64_t index, int rank, const int64_t *dims, const int64_t *strides)
{
    int64_t at = 0;
    for (int i = rank - 1; i >= 0; i--) {
        at += index % dims[i] * strides[i];
        index /= dims[i];
    }
    return at;
}

/* The constant of both links; NULL where they are better left apart, or on failure. */
static struct value *combine(struct rewriter *r, const struct link *inner, const struct link *outer)
{
    struct value values[2] = {*inner->c, *outer->c};
    struct error unused = {0};
    struct op_context c = {.node = r->c.node, .error = &unused};
    int rank;
    int64_t dims[MAX_RANK], elements, strides[2][MAX_RANK];
    void *data = NULL;
    if (op_broadcast(&c, 2, (struct value *[]){&values[0], &values[1]}, &rank, dims) != STATUS_OK ||
        !shape_elements(rank, dims, &elements) || elements == 0)
        return NULL;
    bool grows = elements > value_elements(&values[0]) && elements > value_elements(&values[1]);
    if (grows || !rewrite_fits(r, dtype_bytes(values[0].dtype, elements)))
        return NULL;
    for (int i = 0; i < 2; i++)
        broadcast_strides(&values[i], rank, strides[i]);
    struct value *both = NULL;
    for (int pass = 0; pass < 2; pass++) { /* looks first, then writes */
        for (int64_t i = 0; i < elements; i++)
            if (!combine_element(inner, outer, element_at(i, rank, dims, strides[0]),
                                 element_at(i, rank, dims, strides[1]), data, i))
                return NULL;
        if (pass == 0 && !(both = rewrite_buffer(r, values[0].dtype, rank, dims, &data)))
            return NULL;
    }
    return both;
}

static enum status merge_links(struct rewriter *r, struct node *node, const struct link *outer)
{
    struct node *maker = !outer->x->data && outer->x->id < r->capacity ? r->makers[outer->x->id] : NULL;
    struct link inner;
    if (!maker || !rewrite_sole(r, outer->x) || !read_link(maker, &inner) || inner.sum != outer->sum ||
        inner.c->dtype != outer->c->dtype)
        return STATUS_OK;
    if (dtype_is_integer(inner.c->dtype) && !inner.sum && (inner.inverse || outer->inverse))
        return STATUS_OK;
    struct value *both = combine(r, &inner, outer);
    if (!both)
        return op_built(&r->c);
    bool negative = inner.negative != outer->negative, divides = !inner.sum && inner.inverse && outer->inverse;
    const char *name = inner.sum ? (negative ? "Sub" : "Add") : divides ? "Div" : "Mul";
    struct value *inputs[2] = {negative ? both : inner.x, negative ? inner.x : both};
    TRY(rewrite_absorb(r, node, maker));
    return rewrite_as(r, node, op_find("", name), 2, inputs, 0, NULL);
}

/* --- Pow ------------------------------------------------------------------------------------------------- */

static enum status visit_power(struct rewriter *r, struct node *node)
{
    struct value *x = node->inputs[0], *exponent = node->inputs[1];
    if (!exponent->data || !(TYPES_NUMERIC & TYPE(exponent->dtype)) || !keeps_shape(r, x, exponent))
        return STATUS_OK;
    if (is_all(exponent, 1))
        return rewrite_forward(r, node, x);
    /* An integer to a floating power is computed in floating point. */
    enum dtype dtype = rewrite_dtype(r, x);
    bool alike = dtype_is_float(dtype) || (dtype_is_integer(dtype) && dtype_is_integer(exponent->dtype));
    if (!alike || !is_all(exponent, 2))
        return STATUS_OK;
    return rewrite_as(r, node, op_find("", "Mul"), 2, (struct value *[]){x, x}, 0, NULL);
}

/* --- Cast ------------------------------------------------------------------------------------------------ */

/* Digits and exponents that a type has. Integers: their bits without the sign. */
struct reach {
    int digits, lowest, highest; /* floating: of the exponents of the least number and the greatest */
    bool floating, negative;
};

static bool reach_of(enum dtype dtype, struct reach *reach)
{
    switch (dtype) {
    case DTYPE_F16:
        *reach = (struct reach){11, -24, 16, true, true};
        return true;
    case DTYPE_BF16:
        *reach = (struct reach){8, -133, 128, true, true};
        return true;
    case DTYPE_F32:
        *reach = (struct reach){24, -149, 128, true, true};
        return true;
    case DTYPE_F64:
        *reach = (struct reach){53, -1074, 1024, true, true};
        return true;
    case DTYPE_BOOL:
        *reach = (struct reach){.digits = 1};
        return true;
    default:
        if (!(TYPES_INTEGER & TYPE(dtype)))
            return false;
        reach->floating = false;
        reach->negative = dtype_is_signed_integer(dtype);
        reach->digits = (int)dtype_bits(dtype) - reach->negative;
        return true;
    }
}

/* Every value of one type is one of the other. */
static bool is_lossless(enum dtype from, enum dtype to)
{
    struct reach a, b;
    if (to == DTYPE_BOOL || !reach_of(from, &a) || !reach_of(to, &b) || a.digits > b.digits || a.negative > b.negative)
        return false;
    return !a.floating || (b.floating && a.lowest >= b.lowest && a.highest <= b.highest);
}

static enum status visit_cast(struct rewriter *r, struct node *node)
{
    const struct node *inner = rewrite_maker(r, node->inputs[0], "Cast");
    if (!inner)
        return STATUS_OK;
    struct value *x = inner->inputs[0];
    enum dtype between = (enum dtype)node_int(inner, "to");
    enum dtype first = rewrite_dtype(r, x);
    if (!is_lossless(first, between))
        return STATUS_OK;
    TRY(rewrite_absorb(r, node, inner));
    if (node_int(node, "to") == (int64_t)first)
        return rewrite_forward(r, node, x);
    return rewrite_as(r, node, node->op, 1, &x, node->attribute_count, node->attributes);
}

/* --- the pass -------------------------------------------------------------------------------------------- */

static enum status visit(struct rewriter *r, struct node *node)
{
    const struct node *negation = is_op(node, "Neg") ? rewrite_maker(r, node->inputs[0], "Neg") : NULL;
    struct link link;
    if (negation)
        return rewrite_forward(r, node, negation->inputs[0]);
    if (is_op(node, "Pow"))
        return visit_power(r, node);
    if (is_op(node, "Cast"))
        return visit_cast(r, node);
    if (!read_link(node, &link))
        return STATUS_OK;
    return does_nothing(&link) && keeps_shape(r, link.x, link.c) ? rewrite_forward(r, node, link.x)
                                                                 : merge_links(r, node, &link);
}

enum status merge_constants(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
