#include "graph/passes/product.h"

#include "graph/passes/numbers.h"

#include <float.h>
#include <math.h>

/* Where a model is being opened, larger weights are left as it has them, in the mapped file: rewriting them would cost
 * most of the time that this takes and hold them twice, while hundreds of products go into each result already, so that
 * a factor and a shift more (which ride along as an epilogue) are lost in them. */
#define LARGEST_FOLDED_WEIGHTS ((size_t)640 << 10)

/* A constant that other nodes read as well stays for them, so folding adds to what is held: only so many bytes. */
#define LARGEST_SHARED_WEIGHTS ((size_t)64 << 10)

bool is_by_channel(const struct value *constant, int rank, int axis, int64_t channels)
{
    if (!constant || !constant->data || !(TYPES_FLOAT & TYPE(constant->dtype)) ||
        constant->rank > (rank < 0 ? 1 : rank))
        return false;
    for (int i = 0; i < constant->rank; i++) {
        int64_t dim = constant->dims[constant->rank - 1 - i];
        if (dim != 1 && (i != axis || dim != channels))
            return false;
    }
    return true;
}

/* --- what a node computes -------------------------------------------------------------------------------- */

static bool is_zero_list(const struct node *node, const char *name)
{
    const struct attribute *list = node_attribute(node, name);
    for (size_t i = 0; list && i < list->count; i++)
        if (list->kind != ATTRIBUTE_INTS || list->ints[i] != 0)
            return false;
    return true;
}

static bool is_unpadded(const struct node *conv)
{
    const struct attribute *mode = node_attribute(conv, "auto_pad");
    if (mode && mode->kind == ATTRIBUTE_STRING && strcmp(mode->string, "VALID") == 0)
        return true;
    bool explicit = !mode || (mode->kind == ATTRIBUTE_STRING && strcmp(mode->string, "NOTSET") == 0);
    return explicit && is_zero_list(conv, "pads");
}

static bool conv_geometry(struct product *p, bool transposed)
{
    const struct value *w = p->weights;
    p->groups = node_int(p->node, "group");
    if (w->rank < 3 || p->groups < 1 || w->dims[0] % p->groups != 0)
        return false;
    p->rank = w->rank;
    p->axis = p->x_axis = w->rank - 2;
    p->rows = w->dims[0];
    p->columns = w->dims[1];
    p->outputs_first = !transposed;
    p->even = !transposed && is_unpadded(p->node);
    return true;
}

static bool matrix_geometry(struct product *p, bool gemm)
{
    const struct value *w = p->weights;
    if (w->rank != 2)
        return false;
    p->groups = 1;
    p->rank = gemm ? 2 : -1;
    p->x_axis = gemm && node_int(p->node, "transA") != 0;
    p->rows = w->dims[0];
    p->columns = w->dims[1];
    p->outputs_first = gemm && node_int(p->node, "transB") != 0;
    p->even = true;
    return true;
}

static bool read_geometry(struct product *p)
{
    const struct value *w = p->weights;
    if (!w || !w->data || !(TYPES_FLOAT & TYPE(w->dtype)) || value_elements(w) == 0)
        return false;
    bool transposed = is_op(p->node, "ConvTranspose"), gemm = is_op(p->node, "Gemm");
    bool known = is_op(p->node, "Conv") || transposed ? conv_geometry(p, transposed) : matrix_geometry(p, gemm);
    if (!known)
        return false;
    p->inner = value_elements(w) / p->rows / p->columns;
    p->outputs = p->outputs_first ? p->rows : p->columns * p->groups;
    p->inputs = p->outputs_first ? p->columns * p->groups : p->rows;
    return true;
}

/* The first of the output channels (where rows are input channels), or of the input channels, that a row's columns are.
 */
static int64_t first_channel(const struct product *p, int64_t row)
{
    return row / (p->rows / p->groups) * p->columns;
}

/* One row of the weights as the model has them. */
static double *row_begin(const struct allocator *allocator, const struct product *p)
{
    return allocate(allocator, (size_t)(p->columns * p->inner) * sizeof(double), ALIGNMENT);
}

static void row_end(const struct allocator *allocator, const struct product *p, double *row)
{
    release(allocator, row, (size_t)(p->columns * p->inner) * sizeof *row);
}

static bool all_are(const double *numbers, int64_t count, double number)
{
    for (int64_t i = 0; i < count; i++)
        if (numbers[i] != number)
            return false;
    return true;
}

/* A row is one output channel, and all of it takes the same factor. */
static bool rows_are_even(const struct product *p, const double *before)
{
    return p->outputs_first && all_are(before, p->inputs, before[0]);
}

/* What one row of the weights adds to the largest of |weights * before|. */
static void survey_row(const struct product *p, int64_t a, const double *row, const double *before, double *largest)
{
    int64_t first = first_channel(p, a);
    for (int64_t b = 0; b < p->columns; b++) {
        int64_t o = p->outputs_first ? a : first + b, i = p->outputs_first ? first + b : a;
        double most = 0;
        for (int64_t k = 0; k < p->inner; k++, row++)
            most = fabs(*row) > most && fabs(*row) <= DBL_MAX ? fabs(*row) : most;
        most *= fabs(before[i]);
        largest[o] = most > largest[o] ? most : largest[o];
    }
}

/* What it adds to the sums of weights * t. */
static void sum_row(const struct product *p, int64_t a, const double *row, const double *t, double *sums)
{
    int64_t first = first_channel(p, a);
    double *output = sums + (p->outputs_first ? a : first);
    const double *input = t + (p->outputs_first ? first : a);
    for (int64_t b = 0; b < p->columns; b++) {
        double sum = *row++;
        for (int64_t k = 1; k < p->inner; k++)
            sum += *row++;
        if (p->outputs_first)
            *output += sum * input[b];
        else
            output[b] += sum * *input;
    }
}

/* By output channel, all zero at first: the largest of |weights * before|, and the sum of weights * t, unless t is
 * NULL. */
static enum status survey(struct rewriter *r, const struct product *p, const double *before, const double *t,
                          double *largest, double *sums)
{
    const struct allocator *allocator = r->c.graph->region->allocator;
    int64_t length = p->columns * p->inner;
    bool even = rows_are_even(p, before);
    for (int64_t a = 0; even && a < p->rows; a++)
        largest[a] = fmax(0, numbers_largest(p->weights, a * length, length) * fabs(before[0]));
    bool alone = p->outputs_first && p->inner == 1 && p->groups == 1; /* all rows take t as it is */
    if (even && (!t || (alone && numbers_dots(p->weights, p->rows, length, t, sums))))
        return STATUS_OK;
    double *row = row_begin(allocator, p);
    if (!row)
        return op_no_memory(&r->c);
    for (int64_t a = 0; a < p->rows; a++) {
        numbers_read(p->weights, a * length, length, row);
        if (!even)
            survey_row(p, a, row, before, largest);
        if (t)
            sum_row(p, a, row, t, sums);
    }
    row_end(allocator, p, row);
    return STATUS_OK;
}

/* The bias is a constant that is_by_channel, or absent. */
static bool read_bias(struct product *p, const struct value *bias)
{
    bool gemm = is_op(p->node, "Gemm");
    double alpha = gemm ? (double)node_float(p->node, "alpha") : 1;
    double beta = gemm ? (double)node_float(p->node, "beta") : 1;
    if (bias && !is_by_channel(bias, gemm ? 2 : p->result ? p->rank : 1, 0, p->outputs))
        return false;
    p->scaled = alpha != 1;
    p->shifted = bias != NULL;
    if (bias)
        numbers_read(bias, 0, value_elements(bias), p->shift);
    bool one = bias && value_elements(bias) == 1;
    double number = p->shift[0];
    for (int64_t o = 0; o < p->outputs; o++) {
        p->factor[o] = alpha;
        p->shift[o] = (one ? number : p->shift[o]) * beta;
    }
    return true;
}

static enum status read_numbers(struct rewriter *r, struct product *p, const struct value *bias, bool *known)
{
    struct region *region = &r->context->scratch;
    p->factor = region_items(region, (size_t)p->outputs, sizeof *p->factor);
    p->shift = region_array(region, (size_t)p->outputs, sizeof *p->shift);
    p->before = region_items(region, (size_t)p->inputs, sizeof *p->before);
    if (!p->factor || !p->shift || !p->before)
        return op_no_memory(&r->c);
    *known = read_bias(p, bias);
    for (int64_t i = 0; i < p->inputs; i++)
        p->before[i] = 1;
    p->fixed = !r->context->fold_all_weights && p->weights->bytes > LARGEST_FOLDED_WEIGHTS;
    return STATUS_OK;
}

enum status product_open(struct rewriter *r, struct node *node, struct product **product)
{
    struct product found = {.node = node, .rank = -1};
    struct value *bias = node->input_count > 2 ? node->inputs[2] : NULL;
    bool known = is_op(node, "Conv") || is_op(node, "ConvTranspose") || is_op(node, "Gemm") || is_op(node, "MatMul");
    *product = NULL;
    for (int i = 0; i < 2 && is_op(node, "Add"); i++) {
        struct node *maker = rewrite_sole_maker(r, node->inputs[i], "MatMul");
        if (maker && node->inputs[1 - i]->data) {
            found.node = maker;
            found.result = node->inputs[i];
            bias = node->inputs[1 - i];
            known = true;
        }
    }
    if (!known)
        return STATUS_OK;
    found.weights = found.node->inputs[1];
    if (!read_geometry(&found))
        return STATUS_OK;
    int64_t dims[MAX_RANK];
    if (is_op(found.node, "MatMul")) /* x times one matrix has the rank of x */
        found.rank = rewrite_shape(r, found.node->inputs[0], &found.rank, dims) ? found.rank : -1;
    TRY(read_numbers(r, &found, bias, &known));
    *product = known ? region_allocate(&r->context->scratch, sizeof **product) : NULL;
    if (known && !*product)
        return op_no_memory(&r->c);
    if (known)
        **product = found;
    return STATUS_OK;
}

/* --- folding --------------------------------------------------------------------------------------------- */

/* Weights and bias stay within the range of the type. Float16 has so little below 1 that a channel must also keep the
 * digits of its largest weight; what the others lose there is far below anything that is added to it. */
struct range {
    double least, greatest; /* least: of a channel's largest weight that is not 0 */
};

static struct range range_of(const struct product *p)
{
    enum dtype dtype = p->weights->dtype;
    return (struct range){dtype == DTYPE_F16 ? number_least_normal(dtype) : 0, number_greatest(dtype)};
}

static inline bool in_range(const struct range *range, double largest, double factor, double shift)
{
    double most = largest * fabs(factor);
    bool kept = most == 0 || most >= range->least;
    return isfinite(factor) && most <= range->greatest && fabs(shift) <= range->greatest && kept;
}

/* New constants fit the limit, and few bytes are doubled. */
static bool affordable(const struct rewriter *r, const struct product *p, bool scales)
{
    bool anew = (scales || p->scaled) && !p->folded;
    size_t bytes = anew ? p->weights->bytes : 0;
    if (anew && p->fixed)
        return false;
    bool shared = !rewrite_sole(r, p->weights) && bytes > LARGEST_SHARED_WEIGHTS;
    return !shared && add_size(bytes, dtype_bytes(p->weights->dtype, p->outputs), &bytes) && rewrite_fits(r, bytes);
}

/* Nothing is made of weights that are fixed, so nothing of theirs leaves the range. */
static enum status find_largest(struct rewriter *r, struct product *p)
{
    if (p->largest)
        return STATUS_OK;
    p->largest = region_array(&r->context->scratch, (size_t)p->outputs, sizeof *p->largest);
    if (!p->largest)
        return op_no_memory(&r->c);
    return p->fixed ? STATUS_OK : survey(r, p, p->before, NULL, p->largest, NULL);
}

bool product_fold_after(struct rewriter *r, struct product *p, const struct affine *affine)
{
    bool scales = !all_are(affine->factor, affine->count, 1);
    const struct range range = range_of(p);
    if (!affordable(r, p, scales) || find_largest(r, p) != STATUS_OK)
        return false;
    for (int64_t o = 0; o < p->outputs; o++) {
        int64_t i = affine->count == 1 ? 0 : o;
        double factor = p->factor[o] * affine->factor[i], shift = p->shift[o] * affine->factor[i] + affine->shift[i];
        if (!isfinite(affine->factor[i]) || !isfinite(shift) || !in_range(&range, p->largest[o], factor, shift))
            return false;
    }
    for (int64_t o = 0; o < p->outputs; o++) {
        int64_t i = affine->count == 1 ? 0 : o;
        p->factor[o] *= affine->factor[i];
        p->shift[o] = p->shift[o] * affine->factor[i] + affine->shift[i];
    }
    p->scaled = p->scaled || scales;
    p->shifted = p->shifted || !all_are(affine->shift, affine->count, 0);
    return true;
}

/* before *= affine->factor; t = what affine->shift adds to each input channel, seen by the weights. */
static bool compose_before(const struct product *p, const struct affine *affine, double *before, double *t)
{
    for (int64_t i = 0; i < p->inputs; i++) {
        double factor = affine->factor[affine->count == 1 ? 0 : i], shift = affine->shift[affine->count == 1 ? 0 : i];
        if (!isfinite(factor) || !isfinite(shift))
            return false;
        before[i] = p->before[i] * factor;
        t[i] = p->before[i] * shift;
    }
    return true;
}

bool product_fold_before(struct rewriter *r, struct product *p, const struct affine *affine)
{
    struct region *region = &r->context->scratch;
    bool scales = !all_are(affine->factor, affine->count, 1), shifts = !all_are(affine->shift, affine->count, 0);
    if ((shifts && (p->fixed || !p->even)) || !affordable(r, p, scales))
        return false;
    double *before = region_array(region, (size_t)p->inputs, sizeof *before);
    double *t = region_array(region, (size_t)p->inputs, sizeof *t);
    double *largest = region_array(region, (size_t)p->outputs, sizeof *largest);
    double *sums = region_array(region, (size_t)p->outputs, sizeof *sums);
    if (!before || !t || !largest || !sums) {
        op_no_memory(&r->c);
        return false;
    }
    if (!compose_before(p, affine, before, t) || survey(r, p, before, shifts ? t : NULL, largest, sums) != STATUS_OK)
        return false;
    const struct range range = range_of(p);
    for (int64_t o = 0; o < p->outputs; o++) {
        sums[o] = p->shift[o] + p->factor[o] * sums[o];
        if (!in_range(&range, largest[o], p->factor[o], sums[o]))
            return false;
    }
    p->before = before;
    p->largest = largest;
    p->shift = sums;
    p->scaled = p->scaled || scales;
    p->shifted = p->shifted || shifts;
    return true;
}

/* --- the node that comes of it --------------------------------------------------------------------------- */

/* Of one row of the weights, as the model has them, in `row`. */
static void finish_row(const struct product *p, int64_t a, double *row)
{
    int64_t first = first_channel(p, a);
    double of_row = p->outputs_first ? p->factor[a] : p->before[a];
    const double *of_columns = (p->outputs_first ? p->before : p->factor) + first;
    if (p->inner == 1) { /* for compilers: no loop in a loop */
        for (int64_t b = 0; b < p->columns; b++)
            row[b] *= of_row * of_columns[b];
        return;
    }
    for (int64_t b = 0; b < p->columns; b++)
        for (int64_t k = 0; k < p->inner; k++)
            *row++ *= of_row * of_columns[b];
}

bool product_finish(struct product *p, const struct allocator *allocator)
{
    int64_t length = p->columns * p->inner;
    const struct value *w = p->weights;
    if (!p->folded || p->finished)
        return true;
    p->finished = true;
    if (rows_are_even(p, p->before)) {
        for (int64_t a = 0; a < p->rows; a++)
            numbers_scale(w, a * length, length, p->factor[a] * p->before[0], p->data);
        return true;
    }
    double *row = row_begin(allocator, p);
    if (!row)
        return false;
    for (int64_t a = 0; a < p->rows; a++) {
        numbers_read(w, a * length, length, row);
        finish_row(p, a, row);
        numbers_write(w->dtype, p->data, a * length, length, row);
    }
    row_end(allocator, p, row);
    return true;
}

/* A MatMul and the Add of its bias. A result that has the model's name for it stays as it is: what is folded makes
 * another value. */
static enum status emit_sum(struct rewriter *r, struct node *node, struct product *p, struct value *const *inputs)
{
    const struct node *maker = p->result ? r->makers[p->result->id] : NULL;
    bool reused = maker && maker->inputs[0] == inputs[0] && maker->inputs[1] == inputs[1];
    if (reused && p->scaled)
        TRY(rewrite_absorb(r, r->makers[p->result->id], node));
    if (!reused)
        p->result = rewrite_build(r, p->node->op, 2, inputs, 0, NULL);
    if (!p->result)
        return op_built(&r->c);
    p->node = r->makers[p->result->id];
    return rewrite_as(r, node, op_find("", "Add"), 2, (struct value *[]){p->result, inputs[2]}, 0, NULL);
}

enum status product_emit(struct rewriter *r, struct node *node, struct product *p, struct value *x)
{
    bool gemm = is_op(p->node, "Gemm");
    const struct attribute transposed[] = {ATTRIBUTE_I("transA", node_int(p->node, "transA") != 0),
                                           ATTRIBUTE_I("transB", node_int(p->node, "transB") != 0)};
    struct value *inputs[3] = {x, p->weights};
    void *bias;
    if (p->scaled) {
        const struct value *w = p->weights;
        if (!p->folded)
            p->folded = rewrite_buffer(r, w->dtype, w->rank, w->dims, &p->data);
        if (!p->folded)
            return op_built(&r->c);
        inputs[1] = p->folded;
    }
    if (p->shifted) {
        inputs[2] = rewrite_buffer(r, p->weights->dtype, 1, &p->outputs, &bias);
        if (!inputs[2])
            return op_built(&r->c);
        numbers_write(p->weights->dtype, bias, 0, p->outputs, p->shift);
    }
    if (p->shifted && is_op(p->node, "MatMul"))
        return emit_sum(r, node, p, inputs);
    const struct node *from = p->node;
    p->node = node;
    return rewrite_as(r, node, from->op, p->shifted ? 3 : 2, inputs, gemm ? 2 : from->attribute_count,
                      gemm ? transposed : from->attributes);
}
