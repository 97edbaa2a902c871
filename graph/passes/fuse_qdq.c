/* What is computed between DequantizeLinear and QuantizeLinear is computed on the integers themselves.
 *
 * A product of dequantised operands becomes one of integers, whose sums are exact, and one multiplication by both
 * scales: ConvInteger or MatMulInteger, Cast, Mul, and Add of the bias, which the steps' fusion takes in along with the
 * activation and the QuantizeLinear that follow. What only moves elements moves the integers (fuse_qdq_moves.c).
 * Weights are seen before constants are folded, so they are never made floating.
 *
 * What ONNX defines, float32 products of float32 numbers, rounds at every addition; this rounds twice. The difference
 * is of the order of float32's own error, so a QuantizeLinear behind it may come out one quantum apart at a tie. */
#include "graph/passes/fuse_qdq.h"

#include "kernels/reduce.h"

#include <float.h>
#include <math.h>

/* Elements from which on a quantised constant that no product of integers reads stays as the file has it, until a
 * program is made; smaller ones are folded, for what other passes make of them. */
#define LEAST_NARROW 16384
#define LEAST_COLUMNS 16 /* of a matrix that a product of float32 reads as bytes */

#define LARGEST_MEAN 16 /* positions along an axis that a mean of integers is taken of */

/* --- scales ---------------------------------------------------------------------------------------------- */

/* How far the integers reach from the zero point. */
static double reach(const struct quantised *q)
{
    double low = q->dtype == DTYPE_I8 ? -128 : 0, most = 0;
    int64_t count = q->zero ? value_elements(q->zero) : 1;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fmax(zero_at(q, i) - low, low + 255 - zero_at(q, i)));
    return most;
}

/* Sums of so many products are exact in int32. */
static bool sums_fit(const struct quantised *a, const struct quantised *b, int64_t depth)
{
    return depth >= 0 && (double)depth * reach(a) * reach(b) <= INT32_MAX;
}

/* A zero point of zeros is none. */
static struct value *zero_point(const struct quantised *q)
{
    int64_t count = q->zero ? value_elements(q->zero) : 0;
    for (int64_t i = 0; i < count; i++)
        if (zero_at(q, i) != 0)
            return q->zero;
    return NULL;
}

/* The product of both scales and the number, shaped `rank` and `dims` if one of them is a list. NULL: it has no room in
 * float32 with all digits (*status OK), or an error. */
static struct value *joint_scale(struct rewriter *r, const struct quantised *a, const struct quantised *b, double alpha,
                                 int rank, const int64_t *dims)
{
    int64_t first = value_elements(a->scale), second = value_elements(b->scale),
            count = first > second ? first : second;
    void *data;
    for (int64_t i = 0; i < count; i++) {
        double scale = fabs(scale_at(a, i) * scale_at(b, i) * alpha);
        if (scale != 0 && (scale < (double)FLT_MIN || scale > (double)FLT_MAX))
            return NULL;
    }
    struct value *scale = rewrite_buffer(r, DTYPE_F32, count == 1 ? 0 : rank, dims, &data);
    for (int64_t i = 0; scale && i < count; i++)
        ((float *)data)[i] = (float)(scale_at(a, i) * scale_at(b, i) * alpha);
    return scale;
}

/* --- products -------------------------------------------------------------------------------------------- */

struct integer_product {
    struct quantised x, w; /* the first and the second operand */
    const char *op;
    int attribute_count;
    const struct attribute *attributes;
    struct value *scale, *bias; /* bias: as it is added to the numbers; NULL: none */
};

static enum status absorb_operand(struct rewriter *r, struct node *node, const struct quantised *q)
{
    return q->node ? rewrite_absorb(r, node, q->node) : STATUS_OK;
}

/* The visited node becomes (cast of the product of integers) scale + bias. */
static enum status emit(struct rewriter *r, struct node *node, const struct integer_product *p)
{
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
    TRY(absorb_operand(r, node, &p->w));
    TRY(absorb_operand(r, node, &p->x));
    struct value *inputs[4] = {p->x.integers, p->w.integers, zero_point(&p->x), zero_point(&p->w)};
    struct value *sums = rewrite_build(r, op_find("", p->op),
                                       inputs[3]   ? 4
                                       : inputs[2] ? 3
                                                   : 2,
                                       inputs, p->attribute_count, p->attributes);
    struct value *numbers = sums ? rewrite_build(r, op_find("", "Cast"), 1, &sums, 1, &to) : NULL;
    if (!numbers)
        return r->c.error->status;
    struct value *factors[2] = {numbers, p->scale};
    if (!p->bias)
        return rewrite_as(r, node, op_find("", "Mul"), 2, factors, 0, NULL);
    struct value *scaled = rewrite_build(r, op_find("", "Mul"), 2, factors, 0, NULL);
    if (!scaled)
        return r->c.error->status;
    return rewrite_as(r, node, op_find("", "Add"), 2, (struct value *[]){scaled, p->bias}, 0, NULL);
}

static enum status read_operands(struct rewriter *r, const struct node *node, struct integer_product *p, bool *found)
{
    *p = (struct integer_product){.op = "MatMulInteger"};
    *found = false;
    TRY(as_integers(r, node->inputs[0], &p->x));
    if (!p->x.integers)
        return STATUS_OK;
    TRY(as_integers(r, node->inputs[1], &p->w));
    *found = p->w.integers != NULL;
    return STATUS_OK;
}

/* Whether the node is a product that multiplies integers from now on. */
static bool scale_product(struct rewriter *r, struct integer_product *p, double alpha, int rank, const int64_t *dims)
{
    p->scale = joint_scale(r, &p->x, &p->w, alpha, rank, dims);
    return p->scale != NULL;
}

/* The shape of a value that is sure, all of it known. */
static bool has_shape(const struct rewriter *r, const struct value *value)
{
    bool known = rewrite_is_sure(r, value) && value->rank >= 0 && !value->dims_at_run;
    for (int i = 0; known && i < value->rank; i++)
        known = value->dims[i] >= 0;
    return known;
}

/* --- Conv ------------------------------------------------------------------------------------------------ */

/* A list with an element a channel, shaped such that it broadcasts against images. */
static struct value *by_channel(struct rewriter *r, struct value *list, int rank)
{
    int64_t dims[MAX_RANK] = {-1, 1, 1, 1, 1, 1, 1, 1}, length = rank - 1;
    if (list->data && list->rank == 1) {
        dims[0] = list->dims[0];
        return rewrite_constant(r, list->dtype, rank - 1, dims, list->data);
    }
    struct value *shape = rewrite_constant(r, DTYPE_I64, 1, &length, dims);
    return shape ? rewrite_build(r, op_find("", "Reshape"), 2, (struct value *[]){list, shape}, 0, NULL) : NULL;
}

static enum status visit_conv(struct rewriter *r, struct node *node)
{
    struct integer_product p;
    bool found;
    TRY(read_operands(r, node, &p, &found));
    const struct value *w = p.w.integers;
    if (!found || !has_shape(r, w) || w->rank < 3 || w->dims[0] == 0 || p.x.axis >= 0 || p.w.axis > 0)
        return STATUS_OK;
    int64_t dims[MAX_RANK] = {w->dims[0], 1, 1, 1, 1, 1, 1, 1};
    if (!sums_fit(&p.x, &p.w, value_elements(w) / w->dims[0]) || !scale_product(r, &p, 1, w->rank - 1, dims))
        return op_built(&r->c);
    struct value *bias = node->input_count > 2 ? node->inputs[2] : NULL;
    p.bias = bias ? by_channel(r, bias, w->rank) : NULL;
    if (bias && !p.bias)
        return r->c.error->status;
    p.op = "ConvInteger";
    p.attributes = node->attributes;
    p.attribute_count = node->attribute_count;
    return emit(r, node, &p);
}

/* --- AveragePool ----------------------------------------------------------------------------------------- */

/* Windows that lie within the image, and are no larger than kernels for depthwise convolutions take. */
static bool sums_whole_windows(const struct node *node, const struct value *x, const struct attribute *kernel)
{
    const struct attribute *pads = node_attribute_of(node, "pads", ATTRIBUTE_INTS);
    const struct attribute *automatic = node_attribute_of(node, "auto_pad", ATTRIBUTE_STRING);
    bool whole = kernel && x->rank == 4 && kernel->count == 2 && node_int(node, "ceil_mode") == 0 &&
                 (!automatic || strcmp(automatic->string, "NOTSET") == 0 || strcmp(automatic->string, "VALID") == 0);
    for (size_t i = 0; whole && pads && i < pads->count; i++)
        whole = pads->ints[i] == 0;
    for (size_t i = 0; whole && i < kernel->count; i++)
        whole = kernel->ints[i] > 0 && kernel->ints[i] <= LARGEST_MEAN;
    return whole;
}

/* A mean is the depthwise convolution by ones, divided by their number. */
static enum status visit_average(struct rewriter *r, struct node *node)
{
    static const char *const names[] = {"kernel_shape", "strides", "dilations"};
    struct integer_product p = {.op = "ConvInteger"};
    const struct attribute *kernel = node_attribute_of(node, "kernel_shape", ATTRIBUTE_INTS);
    TRY(as_integers(r, node->inputs[0], &p.x));
    const struct value *x = p.x.integers;
    if (!r->context->shaped || !x || p.x.axis >= 0 || !has_shape(r, x) || !sums_whole_windows(node, x, kernel))
        return STATUS_OK;
    const int64_t dims[4] = {x->dims[1], 1, kernel->ints[0], kernel->ints[1]}, taps = dims[2] * dims[3];
    const float one = 1;
    struct attribute attributes[4] = {ATTRIBUTE_I("group", dims[0])};
    void *ones;
    p.attributes = attributes;
    p.attribute_count = 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct attribute *own = node_attribute_of(node, names[i], ATTRIBUTE_INTS);
        if (own)
            attributes[p.attribute_count++] = *own;
    }
    p.w = (struct quantised){.dtype = DTYPE_I8, .axis = -1};
    p.w.integers = rewrite_buffer(r, DTYPE_I8, 4, dims, &ones);
    p.w.scale = rewrite_constant(r, DTYPE_F32, 0, NULL, &one);
    if (!p.w.integers || !p.w.scale)
        return op_built(&r->c);
    memset(ones, 1, (size_t)(dims[0] * taps));
    return scale_product(r, &p, 1 / (double)taps, 0, NULL) ? emit(r, node, &p) : op_built(&r->c);
}

/* The same of a whole image: the mean of the integers, less the zero point, times the scale. */
static enum status visit_global_average(struct rewriter *r, struct node *node)
{
    struct quantised x;
    TRY(as_integers(r, node->inputs[0], &x));
    if (!r->context->shaped || !r->context->on_host || !x.integers || x.axis >= 0 || !has_shape(r, x.integers) ||
        value_elements(x.integers) > REDUCE_MOST_BYTES)
        return STATUS_OK;
    const float zero = (float)zero_at(&x, 0);
    struct value *mean = rewrite_build(r, op_find(OWN_DOMAIN, "GlobalMeanInteger"), 1, &x.integers, 0, NULL);
    if (mean)
        mean = rewrite_build(r, op_find("", "Sub"), 2,
                             (struct value *[]){mean, rewrite_constant(r, DTYPE_F32, 0, NULL, &zero)}, 0, NULL);
    return mean ? rewrite_as(r, node, op_find("", "Mul"), 2, (struct value *[]){mean, x.scale}, 0, NULL)
                : op_built(&r->c);
}

/* --- MatMul ---------------------------------------------------------------------------------------------- */

/* Of the sums: the length of the columns of x, or of w. -1: not known. */
static int64_t matmul_depth(const struct rewriter *r, const struct value *x, const struct value *w)
{
    if (has_shape(r, w) && w->rank > 0)
        return w->dims[w->rank > 1 ? w->rank - 2 : 0];
    return has_shape(r, x) && x->rank > 0 ? x->dims[x->rank - 1] : -1;
}

/* A matrix of 8 bits that a product of float32 reads: dequantised, or Cast(integers) scale; scales of columns. */
struct scaled_matrix {
    struct quantised q; /* integers NULL: it is none */
    const struct node *makers[2];
};

static void read_cast(const struct rewriter *r, const struct value *value, struct scaled_matrix *m)
{
    const struct node *multiply = rewrite_maker(r, value, "Mul");
    if (!multiply)
        return;
    const bool right = multiply->inputs[1]->data != NULL;
    const struct node *cast = rewrite_maker(r, multiply->inputs[!right], "Cast");
    struct value *integers = cast ? cast->inputs[0] : NULL, *scale = multiply->inputs[right];
    if (!integers || node_int(cast, "to") != DTYPE_F32 || !scale->data || scale->dtype != DTYPE_F32 || scale->rank > 2)
        return;
    int64_t count = value_elements(scale);
    bool columns = integers->rank == 2 && scale->rank > 0 && scale->dims[scale->rank - 1] == count;
    if (count != 1 && !(columns && count == integers->dims[1]))
        return;
    m->q =
        (struct quantised){.integers = integers, .scale = scale, .dtype = integers->dtype, .axis = count > 1 ? 1 : -1};
    m->makers[0] = multiply;
    m->makers[1] = cast;
}

static void read_scaled(const struct rewriter *r, const struct value *value, struct scaled_matrix *m)
{
    struct node *dequantize = rewrite_maker(r, value, "DequantizeLinear");
    *m = (struct scaled_matrix){.makers = {dequantize}};
    if (dequantize && !read_dequantize(r, dequantize, &m->q))
        m->q.integers = NULL;
    if (!dequantize)
        read_cast(r, value, m);
    const struct value *integers = m->q.integers;
    bool fits = integers && integers->data && (m->q.dtype == DTYPE_I8 || m->q.dtype == DTYPE_U8) &&
                integers->rank == 2 && m->q.axis != 0 && !zero_point(&m->q) && integers->dims[1] >= LEAST_COLUMNS &&
                value_elements(integers) >= LEAST_NARROW;
    if (!fits)
        m->q.integers = NULL;
}

/* A product of float32 by a matrix of 8 bits, which stays so. */
static enum status visit_scaled(struct rewriter *r, struct node *node)
{
    struct integer_product p;
    struct scaled_matrix m;
    void *scales;
    bool found;
    if (!is_op(node, "MatMul"))
        return STATUS_OK;
    TRY(read_operands(r, node, &p, &found));
    if (p.x.integers)
        return STATUS_OK; /* one of integers, once its shapes are known */
    read_scaled(r, node->inputs[1], &m);
    if (!m.q.integers)
        return STATUS_OK;
    int64_t count = value_elements(m.q.scale);
    struct value *scale = rewrite_buffer(r, DTYPE_F32, 1, &count, &scales);
    if (!scale)
        return op_built(&r->c);
    for (int64_t i = 0; i < count; i++)
        ((float *)scales)[i] = (float)scale_at(&m.q, i);
    for (int i = 0; i < 2 && m.makers[i]; i++)
        TRY(rewrite_absorb(r, node, m.makers[i]));
    return rewrite_as(r, node, op_find(OWN_DOMAIN, "MatMulScaled"), 3,
                      (struct value *[]){node->inputs[0], m.q.integers, scale}, 0, NULL);
}

static enum status visit_matmul(struct rewriter *r, struct node *node)
{
    struct integer_product p;
    bool found;
    TRY(read_operands(r, node, &p, &found));
    if (!found)
        return STATUS_OK;
    const struct value *x = p.x.integers, *w = p.w.integers;
    int rows_axis = p.x.axis, columns_axis = p.w.axis;
    /* One scale a row of a matrix on the left, one a column on the right; a list on both sides would be a table. */
    bool rows = rows_axis >= 0, columns = columns_axis >= 0;
    if ((rows && (columns || x->rank != 2 || rows_axis != 0)) ||
        (columns && (w->rank < 2 || columns_axis != w->rank - 1)))
        return STATUS_OK;
    const int64_t count = value_elements(rows ? p.x.scale : p.w.scale), dims[2] = {count, 1};
    if (!sums_fit(&p.x, &p.w, matmul_depth(r, x, w)) || !scale_product(r, &p, 1, rows ? 2 : 1, dims))
        return op_built(&r->c);
    return emit(r, node, &p);
}

/* --- Gemm ------------------------------------------------------------------------------------------------ */

static struct value *transposed(struct rewriter *r, struct value *x)
{
    static const int64_t order[2] = {1, 0};
    const struct attribute perm = ATTRIBUTE_LIST("perm", 2, order);
    return rewrite_build(r, op_find("", "Transpose"), 1, &x, 1, &perm);
}

/* beta C */
static struct value *addend(struct rewriter *r, const struct node *node)
{
    float beta = node_float(node, "beta");
    struct value *c = node->inputs[2], *factor = beta == 1 ? NULL : rewrite_constant(r, DTYPE_F32, 0, NULL, &beta);
    if (beta == 1 || !factor)
        return beta == 1 ? c : NULL;
    return rewrite_build(r, op_find("", "Mul"), 2, (struct value *[]){c, factor}, 0, NULL);
}

static enum status visit_gemm(struct rewriter *r, struct node *node)
{
    struct integer_product p;
    bool found, turns_x = node_int(node, "transA") != 0, turns_w = node_int(node, "transB") != 0;
    TRY(read_operands(r, node, &p, &found));
    const struct value *w = p.w.integers;
    if (!found || !has_shape(r, w) || w->rank != 2 || p.x.axis >= 0 || (p.w.axis >= 0 && p.w.axis != !turns_w))
        return STATUS_OK;
    const int64_t count = w->dims[!turns_w];
    double alpha = (double)node_float(node, "alpha");
    if (!sums_fit(&p.x, &p.w, w->dims[turns_w]) || !scale_product(r, &p, alpha, 1, &count))
        return op_built(&r->c);
    p.bias = node->input_count > 2 && node->inputs[2] ? addend(r, node) : NULL;
    if (turns_x)
        p.x.integers = transposed(r, p.x.integers);
    if (turns_w)
        p.w.integers = transposed(r, p.w.integers);
    TRY(op_built(&r->c));
    return emit(r, node, &p);
}

/* --- QuantizeLinear, Gather ------------------------------------------------------------------------------ */

/* Integers times the scale, and divided by it, are the integers again. */
static bool is_invertible(const struct quantised *q)
{
    double scale = scale_at(q, 0);
    return scale >= 0x1p-120 && scale <= 0x1p100;
}

static struct value *dequantised(struct rewriter *r, const struct quantised *q)
{
    return rewrite_build(r, op_find("", "DequantizeLinear"), q->zero ? 3 : 2,
                         (struct value *[]){q->integers, q->scale, q->zero}, 0, NULL);
}

/* What is quantised was quantised before, and only moved since. */
static enum status visit_quantize(struct rewriter *r, struct node *node)
{
    struct quantised to, from;
    if (!read_quantize(node, &to))
        return STATUS_OK;
    TRY(as_integers(r, node->inputs[0], &from));
    if (!from.integers)
        return quantise_by_one(r, node, &to);
    if (from.axis >= 0)
        return STATUS_OK;
    if (same_parameters(&from, &to) && is_invertible(&to))
        return rewrite_forward(r, node, from.integers);
    if (from.node) /* the two are neighbours, and one step anyway */
        return STATUS_OK;
    struct value *numbers = dequantised(r, &from);
    if (!numbers)
        return r->c.error->status;
    rewrite_input(r, node, 0, numbers);
    return STATUS_OK;
}

static enum status gather_dequantised(struct rewriter *r, struct node *node, const struct node *maker)
{
    struct quantised table;
    TRY(as_integers(r, node->outputs[0], &table));
    if (!table.integers || table.axis >= 0)
        return STATUS_OK;
    TRY(rewrite_absorb(r, node, maker));
    return rewrite_as(r, node, op_find("", "DequantizeLinear"), table.zero ? 3 : 2,
                      (struct value *[]){table.integers, table.scale, table.zero}, 0, NULL);
}

/* Rows of the numbers by which a table is multiplied: of one for each row of the table, those rows. */
static struct value *gather_factor(struct rewriter *r, const struct node *node, const struct value *table,
                                   struct value *factor)
{
    if (factor->rank < table->rank || factor->dims[0] == 1)
        return factor;
    return rewrite_copy(r, node, 2, (struct value *[]){factor, node->inputs[1]});
}

/* Gather(Cast(table) factor) */
static enum status gather_scaled(struct rewriter *r, struct node *node, const struct node *multiply)
{
    const bool right = multiply->inputs[1]->data != NULL;
    struct value *factor = multiply->inputs[right];
    const struct node *cast = rewrite_maker(r, multiply->inputs[!right], "Cast");
    struct value *table = cast ? cast->inputs[0] : NULL;
    if (!table || !table->data || !factor->data || table->rank < 1 || factor->rank > table->rank ||
        node_int(node, "axis") != 0 ||
        (factor->rank == table->rank && factor->dims[0] != 1 && factor->dims[0] != table->dims[0]))
        return STATUS_OK;
    TRY(rewrite_absorb(r, node, multiply));
    TRY(rewrite_absorb(r, node, cast));
    struct value *rows = rewrite_copy(r, node, 2, (struct value *[]){table, node->inputs[1]});
    struct value *factors = gather_factor(r, node, table, factor);
    struct value *wide = rows ? rewrite_copy(r, cast, 1, &rows) : NULL;
    if (!wide || !factors)
        return r->c.error->status;
    return rewrite_as(r, node, op_find("", "Mul"), 2, (struct value *[]){wide, factors}, 0, NULL);
}

/* A few rows of a quantised table: they are made floating, the table is not. */
static enum status visit_gather(struct rewriter *r, struct node *node)
{
    const struct node *maker = rewrite_maker(r, node->inputs[0], "DequantizeLinear");
    const struct node *multiply = rewrite_maker(r, node->inputs[0], "Mul");
    if (maker && maker->inputs[0]->data)
        return gather_dequantised(r, node, maker);
    return multiply ? gather_scaled(r, node, multiply) : STATUS_OK;
}

/* A zero point of 0 need not be added to every element: after ReLU there is no other. Types are known by now. */
static enum status drop_zero(struct rewriter *r, struct node *node)
{
    double zero;
    if (!r->context->shaped || node->input_count < 3 || !rewrite_scalar(node->inputs[2], &zero) || zero != 0 ||
        (is_op(node, "QuantizeLinear") && node->inputs[2]->dtype != DTYPE_U8))
        return STATUS_OK;
    return rewrite_as(r, node, node->op, 2, node->inputs, node->attribute_count, node->attributes);
}

/* --- the pass -------------------------------------------------------------------------------------------- */

static enum status visit(struct rewriter *r, struct node *node)
{
    if (is_op(node, "Conv"))
        return visit_conv(r, node);
    if (is_op(node, "AveragePool"))
        return visit_average(r, node);
    if (is_op(node, "GlobalAveragePool"))
        return visit_global_average(r, node);
    if (is_op(node, "MatMul"))
        return visit_matmul(r, node);
    if (is_op(node, "Gemm"))
        return visit_gemm(r, node);
    if (is_op(node, "DequantizeLinear"))
        return drop_zero(r, node);
    if (is_op(node, "QuantizeLinear")) {
        TRY(visit_quantize(r, node));
        return r->dropped || !is_op(node, "QuantizeLinear") ? STATUS_OK : drop_zero(r, node);
    }
    return is_op(node, "Gather") ? visit_gather(r, node) : STATUS_OK;
}

/* Some node may be one that folding left. */
static bool may_widen(const struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        if (is_op(node, "DequantizeLinear") || (is_op(node, "Cast") && node->inputs[0]->data))
            return true;
    }
    return false;
}

static enum status rewrite_narrow(struct graph *graph, struct pass_context *context, rewrite_visit *visitor,
                                  struct error *error)
{
    struct narrowing narrowing = {.count = graph->value_count};
    narrowing.of = region_array(&context->scratch, (size_t)narrowing.count, sizeof *narrowing.of);
    narrowing.looked = region_allocate(&context->scratch, (size_t)narrowing.count);
    if (!narrowing.of || !narrowing.looked)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    return rewrite_graph_with(graph, context, visitor, &narrowing, error);
}

enum status fuse_qdq(struct graph *graph, struct pass_context *context, struct error *error)
{
    if (!may_widen(graph))
        return STATUS_OK;
    TRY(rewrite_narrow(graph, context, visit, error));
    return context->shaped ? STATUS_OK
                           : fold_constants(graph, &context->resolve, LEAST_NARROW, &context->constant_bytes, error);
}

enum status keep_matrices_narrow(struct graph *graph, struct pass_context *context, struct error *error)
{
    return may_widen(graph) ? rewrite_narrow(graph, context, visit_scaled, error) : STATUS_OK;
}
