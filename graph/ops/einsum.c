/* Einsum: operands are brought together two at a time, each time as a product of matrices. */
#include "graph/ops/reduce.h"
#include "graph/ops/tools.h"
#include "kernels/matmul.h"

#include <ctype.h>
#include <string.h>

/* An axis is named by a letter, or by its place from the end of an ellipsis. */
#define LETTERS 52
#define LABELS (LETTERS + MAX_RANK)

struct term {
    int rank;
    int labels[MAX_RANK];
};

struct equation {
    int count;
    struct term *terms; /* of each input */
    struct term output;
    int64_t sizes[LABELS];
    int ellipsis; /* axes of the longest */
};

/* A tensor on the way, contiguous, with a name for each axis. */
struct operand {
    struct value *value;
    struct term term;
};

/* --- the equation ----------------------------------------------------------------------------------------- */

static int label_of(char letter)
{
    return letter >= 'a' ? 26 + letter - 'a' : letter - 'A';
}

static enum status bad_equation(struct op_context *c)
{
    return op_error(c, STATUS_INVALID_MODEL, "the equation '%s' does not fit its inputs", op_string(c, "equation"));
}

/* Letters up to the end of a term. */
static int count_letters(const char *text)
{
    int count = 0;
    for (; *text && *text != ',' && *text != '-'; text++)
        count += isalpha((unsigned char)*text) != 0;
    return count;
}

/* Reads one term, up to ',', '-' or the end; an ellipsis stands for `ellipsis` axes. */
static enum status read_term(struct op_context *c, const char **text, int ellipsis, struct term *term)
{
    bool met = false;
    term->rank = 0;
    for (; **text && **text != ',' && **text != '-'; (*text)++) {
        bool dots = strncmp(*text, "...", 3) == 0;
        if (**text == ' ')
            continue;
        if ((!dots && !isalpha((unsigned char)**text)) || (dots && met))
            return bad_equation(c);
        if (term->rank + (dots ? ellipsis : 1) > MAX_RANK)
            return op_error(c, STATUS_UNSUPPORTED, "a term of the equation has more than %d axes", MAX_RANK);
        for (int i = 0; dots && i < ellipsis; i++)
            term->labels[term->rank++] = LABELS - ellipsis + i;
        if (!dots)
            term->labels[term->rank++] = label_of(**text);
        met = met || dots;
        *text += dots ? 2 : 0;
    }
    return STATUS_OK;
}

/* The term of input i, whose shape says how long its ellipsis is. */
static enum status read_input(struct op_context *c, int i, const char **text, struct equation *e)
{
    const struct value *x = op_input(c, i);
    struct term *term = &e->terms[i];
    int ellipsis = x->rank - count_letters(*text);
    if (ellipsis < 0)
        return bad_equation(c);
    TRY(read_term(c, text, ellipsis, term));
    if (term->rank != x->rank)
        return bad_equation(c);
    e->ellipsis = ellipsis > e->ellipsis ? ellipsis : e->ellipsis;
    for (int k = 0; k < x->rank; k++) {
        int64_t *size = &e->sizes[term->labels[k]];
        if (*size >= 0 && *size != 1 && x->dims[k] != 1 && *size != x->dims[k])
            return op_error(c, STATUS_INVALID_ARGUMENT, "one axis of '%s' has size %lld and size %lld",
                            op_string(c, "equation"), (long long)*size, (long long)x->dims[k]);
        if (*size < 0 || *size == 1)
            *size = x->dims[k];
    }
    return STATUS_OK;
}

/* Without "->": the ellipsis, then the letters met once, in the order of the alphabet. */
static enum status imply_output(struct op_context *c, struct equation *e)
{
    int met[LABELS] = {0};
    for (int i = 0; i < e->count; i++)
        for (int k = 0; k < e->terms[i].rank; k++)
            met[e->terms[i].labels[k]]++;
    e->output.rank = 0;
    for (int i = 0; i < LABELS; i++) {
        int label = (i + LETTERS) % LABELS;
        if (label >= LETTERS ? label < LABELS - e->ellipsis : met[label] != 1)
            continue;
        if (e->output.rank == MAX_RANK)
            return op_error(c, STATUS_UNSUPPORTED, "the result has more than %d axes", MAX_RANK);
        e->output.labels[e->output.rank++] = label;
    }
    return STATUS_OK;
}

static uint64_t label_set(const struct term *term)
{
    uint64_t set = 0;
    for (int i = 0; i < term->rank; i++)
        set |= (uint64_t)1 << term->labels[i];
    return set;
}

static int set_size(uint64_t set)
{
    return __builtin_popcountll(set);
}

static enum status read_equation(struct op_context *c, struct equation *e)
{
    const char *text = op_string(c, "equation");
    *e = (struct equation){.count = c->node->input_count};
    e->terms = region_array(c->graph->region, (size_t)e->count, sizeof *e->terms);
    if (!e->terms)
        return op_no_memory(c);
    for (int i = 0; i < LABELS; i++)
        e->sizes[i] = -1;
    for (int i = 0; i < e->count; i++) {
        if (i > 0 && *text++ != ',')
            return bad_equation(c);
        TRY(read_input(c, i, &text, e));
    }
    if (*text == '\0')
        return imply_output(c, e);
    if (strncmp(text, "->", 2) != 0)
        return bad_equation(c);
    text += 2;
    TRY(read_term(c, &text, e->ellipsis, &e->output));
    if (*text != '\0' || set_size(label_set(&e->output)) != e->output.rank)
        return bad_equation(c);
    for (int i = 0; i < e->output.rank; i++)
        if (e->sizes[e->output.labels[i]] < 0)
            return bad_equation(c);
    return STATUS_OK;
}

static enum status shapes_einsum(struct op_context *c)
{
    struct equation e;
    TRY(op_require(c, 0, TYPES_NUMERIC));
    for (int i = 1; i < c->node->input_count; i++)
        TRY(op_require(c, i, TYPE(op_input(c, 0)->dtype)));
    TRY(read_equation(c, &e));
    int64_t dims[MAX_RANK];
    for (int i = 0; i < e.output.rank; i++)
        dims[i] = e.sizes[e.output.labels[i]];
    return op_set_output(c, 0, op_input(c, 0)->dtype, e.output.rank, dims);
}

/* --- steps ------------------------------------------------------------------------------------------------ */

static enum status new_operand(struct op_context *c, const struct equation *e, const struct term *term,
                               enum dtype dtype, struct operand *result)
{
    int64_t dims[MAX_RANK], size;
    for (int i = 0; i < term->rank; i++)
        dims[i] = e->sizes[term->labels[i]];
    if (!shape_elements(term->rank, dims, &size))
        return op_error(c, STATUS_INVALID_ARGUMENT, "a product on the way of '%s' is too large",
                        op_string(c, "equation"));
    *result = (struct operand){.value = op_temporary(c, dtype, term->rank, dims), .term = *term};
    return result->value ? STATUS_OK : op_no_memory(c);
}

/* x with its axes in the order of `term`, which holds each of its labels once: a label that x has several times walks
 * the diagonal, an axis of size 1 repeats. Writes to `target`, or to a new value where that is NULL. */
static enum status arrange(struct op_context *c, const struct equation *e, const struct operand *x,
                           const struct term *term, struct value *target, struct operand *result)
{
    struct copy_params params = {.rank = term->rank};
    int64_t strides[MAX_RANK];
    bool same = !target && term->rank == x->term.rank;
    contiguous_strides(x->value->rank, x->value->dims, strides);
    for (int i = 0; i < term->rank; i++) {
        params.dims[i] = e->sizes[term->labels[i]];
        for (int k = 0; k < x->term.rank; k++)
            if (x->term.labels[k] == term->labels[i] && x->value->dims[k] != 1)
                params.input_strides[i] += strides[k];
        same = same && x->term.labels[i] == term->labels[i] && x->value->dims[i] == params.dims[i];
    }
    struct value *from = x->value; /* `result` may be x itself */
    *result = *x;
    if (same)
        return STATUS_OK;
    if (target)
        *result = (struct operand){.value = target, .term = *term};
    else
        TRY(new_operand(c, e, term, from->dtype, result));
    contiguous_strides(term->rank, params.dims, params.output_strides);
    return op_copy(c, from, result->value, &params);
}

/* x with each label once, and summed over the labels that are not in `needed`. */
static enum status simplify(struct op_context *c, const struct equation *e, struct operand *x, uint64_t needed)
{
    struct term once = {0}, kept = {0};
    unsigned folded = 0;
    uint64_t met = 0;
    for (int i = 0; i < x->term.rank; i++) {
        uint64_t label = (uint64_t)1 << x->term.labels[i];
        if (met & label)
            continue;
        met |= label;
        if (needed & label)
            kept.labels[kept.rank++] = x->term.labels[i];
        else
            folded |= 1u << once.rank;
        once.labels[once.rank++] = x->term.labels[i];
    }
    TRY(arrange(c, e, x, &once, NULL, x));
    if (!folded)
        return STATUS_OK;
    struct operand sum;
    TRY(new_operand(c, e, &kept, x->value->dtype, &sum));
    TRY(op_reduce(c, REDUCE_SUM, x->value, folded, sum.value));
    *x = sum;
    return STATUS_OK;
}

/* Appends the labels of `from` that are in `set`, in its order; returns the product of their sizes. */
static int64_t append_labels(const struct equation *e, struct term *term, const struct term *from, uint64_t set)
{
    int64_t size = 1;
    for (int i = 0; i < from->rank; i++) {
        if (!(set >> from->labels[i] & 1))
            continue;
        term->labels[term->rank++] = from->labels[i];
        size *= e->sizes[from->labels[i]];
    }
    return size;
}

/* a = a b, summed over the labels of both that are not needed. Labels of both that are needed number the matrices. */
static enum status contract(struct op_context *c, const struct equation *e, struct operand *a, const struct operand *b,
                            uint64_t needed)
{
    uint64_t in_a = label_set(&a->term), in_b = label_set(&b->term), shared = in_a & in_b;
    struct term left = {0}, right = {0}, product = {0};
    if (set_size((in_a | in_b) & needed) > MAX_RANK)
        return op_error(c, STATUS_UNSUPPORTED, "a product on the way of '%s' has more than %d axes",
                        op_string(c, "equation"), MAX_RANK);
    struct matmul_params p = {
        .dtype = a->value->dtype, .a_dtype = a->value->dtype, .b_dtype = a->value->dtype, .batch_rank = 1};
    p.batch[0] = append_labels(e, &left, &a->term, shared & needed);
    p.m = append_labels(e, &left, &a->term, in_a & ~shared);
    p.k = append_labels(e, &left, &a->term, shared & ~needed);
    append_labels(e, &right, &a->term, shared & needed);
    append_labels(e, &right, &a->term, shared & ~needed);
    p.n = append_labels(e, &right, &b->term, in_b & ~shared);
    append_labels(e, &product, &left, ~(shared & ~needed));
    append_labels(e, &product, &b->term, in_b & ~shared);
    p.a = (struct matrix_strides){.batch = {p.m * p.k}, .row = p.k, .column = 1};
    p.b = (struct matrix_strides){.batch = {p.k * p.n}, .row = p.n, .column = 1};
    p.c = (struct matrix_strides){.batch = {p.m * p.n}, .row = p.n, .column = 1};
    struct operand rows, columns, result;
    TRY(arrange(c, e, a, &left, NULL, &rows));
    TRY(arrange(c, e, b, &right, NULL, &columns));
    TRY(new_operand(c, e, &product, p.dtype, &result));
    *a = result;
    if (value_elements(result.value) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_matmul, &p, sizeof p, 3, (struct value *[]){rows.value, columns.value, NULL}, 1,
                   &result.value, 0);
}

/* The type products are taken in: the narrow integers wrap as well when they are wide. */
static enum dtype inner_type(enum dtype dtype)
{
    bool narrow = dtype_is_integer(dtype) && dtype_bits(dtype) < 32;
    return narrow ? DTYPE_I32 : dtype;
}

static enum status take_input(struct op_context *c, const struct equation *e, int i, struct operand *x)
{
    struct value *input = op_input(c, i);
    *x = (struct operand){.value = input, .term = e->terms[i]};
    if (inner_type(input->dtype) == input->dtype)
        return STATUS_OK;
    x->value = op_temporary(c, inner_type(input->dtype), input->rank, input->dims);
    return x->value ? op_cast(c, input, x->value, false) : op_no_memory(c);
}

static enum status lower_einsum(struct op_context *c)
{
    struct equation e;
    struct operand product, next;
    struct value *output = op_output(c, 0);
    TRY(read_equation(c, &e));
    if (value_elements(output) == 0)
        return STATUS_OK;
    for (int i = 0; i < e.count; i++) {
        uint64_t later = label_set(&e.output);
        for (int k = i + 1; k < e.count; k++)
            later |= label_set(&e.terms[k]);
        TRY(take_input(c, &e, i, i ? &next : &product));
        if (i == 0) {
            TRY(simplify(c, &e, &product, later));
            continue;
        }
        TRY(simplify(c, &e, &next, later | label_set(&product.term)));
        TRY(contract(c, &e, &product, &next, later));
    }
    if (inner_type(output->dtype) == output->dtype)
        return arrange(c, &e, &product, &e.output, output, &product);
    TRY(arrange(c, &e, &product, &e.output, NULL, &product));
    return op_cast(c, product.value, output, false);
}

OPERATOR(Einsum, 1, ANY_COUNT, 1, 1, shapes_einsum, .flags = OP_HALF_AS_F32, .lower = lower_einsum)
