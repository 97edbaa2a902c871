#include "graph/ops/ml.h"

#include <string.h>

enum status ml_matrix(struct op_context *c, int64_t *rows, int64_t *columns)
{
    const struct value *x = op_input(c, 0);
    TRY(op_require(c, 0, TYPES_ML));
    TRY(op_require_rank(c, 0, 1, 2));
    *rows = x->rank == 2 ? x->dims[0] : 1;
    *columns = x->dims[x->rank - 1];
    return STATUS_OK;
}

/* Whether the attribute is a list of that kind, or a tensor of one of the types. */
static bool is_list(const struct attribute *a, enum attribute_kind kind, unsigned types)
{
    return a && (a->kind == kind || (a->kind == ATTRIBUTE_TENSOR && types & TYPE(a->tensor->dtype)));
}

static struct value list_of(const struct attribute *a)
{
    struct value list = {.name = "", .rank = 1, .dims = {(int64_t)a->count}};
    if (a->kind == ATTRIBUTE_TENSOR) {
        list.dtype = a->tensor->dtype;
        list.dims[0] = value_elements(a->tensor);
        list.data = a->tensor->data;
    } else {
        list.dtype = a->kind == ATTRIBUTE_INTS ? DTYPE_I64 : DTYPE_F32;
        list.data = a->kind == ATTRIBUTE_INTS ? (const void *)a->ints : a->floats;
    }
    return list;
}

bool ml_numbers(const struct op_context *c, const char *ints, const char *floats, const char *tensor,
                struct value *list)
{
    const struct {
        const char *name;
        enum attribute_kind kind;
        unsigned types;
    } forms[] = {{ints, ATTRIBUTE_INTS, TYPES_INTEGER},
                 {floats, ATTRIBUTE_FLOATS, TYPE(DTYPE_F32)},
                 {tensor, ATTRIBUTE_TENSOR, TYPES_NUMERIC}};
    *list = (struct value){.name = "", .rank = 1};
    for (int i = 0; i < 3; i++) {
        const struct attribute *a = forms[i].name ? node_attribute(c->node, forms[i].name) : NULL;
        if (!is_list(a, forms[i].kind, forms[i].types))
            continue;
        *list = list_of(a);
        return true;
    }
    return false;
}

struct value *ml_floats(struct op_context *c, const char *attribute, enum dtype dtype)
{
    int count;
    const float *list = op_float_list(c, attribute, &count);
    struct value *row = op_constant(c, DTYPE_F32, 1, (int64_t[]){list ? count : 0}, list);
    if (!row) {
        op_no_memory(c);
        return NULL;
    }
    return dtype == DTYPE_F32 ? row : build_cast(c, row, dtype);
}

/* As softmax, but scores of zero stay small: exp(score - max) for those away from 0, score exp(-max) for the others. */
static struct value *softmax_zero(struct op_context *c, struct value *scores, enum dtype dtype)
{
    struct value *most = build_reduce(c, "ReduceMax", scores, 1);
    struct value *away = op_build2(c, "Greater", op_build1(c, "Abs", scores), build_number(c, dtype, 1e-7));
    struct value *large = op_build1(c, "Exp", op_build2(c, "Sub", scores, most));
    struct value *small = op_build2(c, "Mul", scores, op_build1(c, "Exp", op_build1(c, "Neg", most)));
    struct value *parts = build_select(c, away, large, small), *sum = build_reduce(c, "ReduceSum", parts, 1);
    struct value *none = op_build2(c, "Equal", sum, build_number(c, dtype, 0));
    return build_select(c, none, build_number(c, dtype, 0.5), op_build2(c, "Div", parts, sum));
}

/* sqrt 2 erfinv(2 p - 1), with Winitzki's approximation of the inverse error function (a = 0.147). */
static struct value *probit(struct op_context *c, struct value *scores, enum dtype dtype)
{
    const double a = 0.147, pi = 3.14159265358979323846;
    struct value *one = build_number(c, dtype, 1), *two = build_number(c, dtype, 2);
    struct value *x = op_build2(c, "Sub", op_build2(c, "Mul", scores, two), one);
    struct value *log = op_build1(c, "Log", op_build2(c, "Sub", one, op_build2(c, "Mul", x, x)));
    struct value *half = op_build2(c, "Div", log, two);
    struct value *sum = op_build2(c, "Add", half, build_number(c, dtype, 2 / (pi * a)));
    struct value *rest = op_build2(c, "Div", log, build_number(c, dtype, a));
    struct value *root = op_build1(c, "Sqrt", op_build2(c, "Sub", op_build2(c, "Mul", sum, sum), rest));
    struct value *size = op_build1(c, "Sqrt", op_build2(c, "Sub", root, sum));
    struct value *inverse = op_build2(c, "Mul", op_build1(c, "Sign", x), size);
    return op_build2(c, "Mul", inverse, build_number(c, dtype, 1.41421356237309504880));
}

struct value *ml_post_transform(struct op_context *c, struct value *scores)
{
    static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    int64_t number = op_int(c, "post_transform"); /* TreeEnsemble's way of naming it */
    const char *name = op_string_or(c, "post_transform", number >= 0 && number < 5 ? names[number] : "unknown");
    enum dtype dtype = op_input(c, 0)->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    if (strcmp(name, "NONE") == 0)
        return scores;
    if (strcmp(name, "SOFTMAX") == 0)
        return op_build1(c, "Softmax", scores);
    if (strcmp(name, "LOGISTIC") == 0)
        return op_build1(c, "Sigmoid", scores);
    if (strcmp(name, "SOFTMAX_ZERO") == 0)
        return softmax_zero(c, scores, dtype);
    if (strcmp(name, "PROBIT") == 0)
        return probit(c, scores, dtype);
    op_error(c, STATUS_INVALID_MODEL, "post_transform is '%s'", name);
    return NULL;
}

struct value *ml_pair_scores(struct op_context *c, struct value *score, bool probability, enum dtype dtype)
{
    const char *post = op_string(c, "post_transform");
    bool logistic = strcmp(post, "LOGISTIC") == 0;
    struct value *other =
        probability && !logistic ? op_build2(c, "Sub", build_number(c, dtype, 1), score) : op_build1(c, "Neg", score);
    struct value *pair = build_concat(c, other, score, 1);
    return logistic || strcmp(post, "PROBIT") == 0 ? ml_post_transform(c, pair) : pair;
}

int64_t ml_label_count(const struct op_context *c, const char *ints, const char *strings)
{
    struct value list;
    const struct attribute *words = node_attribute_of(c->node, strings, ATTRIBUTE_STRINGS);
    if (ml_numbers(c, ints, NULL, NULL, &list) && list.dims[0] > 0)
        return list.dims[0];
    return words ? (int64_t)words->count : -1;
}

struct value *ml_label(struct op_context *c, struct value *scores, const char *ints)
{
    struct value labels;
    struct attribute along[2] = {ATTRIBUTE_I("axis", 1), ATTRIBUTE_I("keepdims", 0)};
    struct value *best = build_with(c, "ArgMax", 1, &scores, 2, along);
    if (!ml_numbers(c, ints, NULL, NULL, &labels) || labels.dims[0] == 0)
        return best;
    struct value *list = op_constant(c, labels.dtype, 1, labels.dims, labels.data);
    if (!list)
        op_no_memory(c);
    else if (labels.dtype != DTYPE_I64)
        list = build_cast(c, list, DTYPE_I64);
    return op_build2(c, "Gather", list, best);
}
