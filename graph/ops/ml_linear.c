/* Scaling, encoding and linear models of ai.onnx.ml, made of simpler nodes. */
#include "graph/ops/ml.h"

#include <math.h>
#include <string.h>

/* Integers are computed with in f32. */
static enum dtype float_type(const struct op_context *c)
{
    return op_input(c, 0)->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

static struct value *float_input(struct op_context *c)
{
    struct value *x = op_input(c, 0);
    return x->dtype == float_type(c) ? x : build_cast(c, x, float_type(c));
}

/* An attribute list that applies to each feature, or one element for all. */
static enum status check_per_feature(struct op_context *c, const char *attribute, int count)
{
    const struct value *x = op_input(c, 0);
    if (count == 1 || (x->rank > 0 && count == x->dims[x->rank - 1]))
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "%s has %d entries; it must have one, or one for each feature", attribute,
                    count);
}

/* --- Scaler, Imputer, Normalizer ---------------------------------------------------------------------------------- */

static enum status shapes_scaler(struct op_context *c)
{
    int offsets, scales;
    TRY(op_require(c, 0, TYPES_ML));
    op_float_list(c, "offset", &offsets);
    op_float_list(c, "scale", &scales);
    TRY(check_per_feature(c, "offset", offsets));
    TRY(check_per_feature(c, "scale", scales));
    return op_set_output(c, 0, DTYPE_F32, op_input(c, 0)->rank, op_input(c, 0)->dims);
}

static enum status expand_scaler(struct op_context *c)
{
    struct value *shifted = op_build2(c, "Sub", float_input(c), ml_floats(c, "offset", float_type(c)));
    struct value *scaled = op_build2(c, "Mul", shifted, ml_floats(c, "scale", float_type(c)));
    return build_output(c, 0, float_type(c) == DTYPE_F32 ? scaled : build_cast(c, scaled, DTYPE_F32));
}

ML_OPERATOR(Scaler, 1, 1, 1, 1, shapes_scaler, .expand = expand_scaler)

static enum status shapes_imputer(struct op_context *c)
{
    int count;
    TRY(op_require(c, 0, TYPES_ML));
    bool whole = dtype_is_integer(op_input(c, 0)->dtype);
    const char *attribute = whole ? "imputed_value_int64s" : "imputed_value_floats";
    if (whole)
        op_int_list(c, attribute, &count);
    else
        op_float_list(c, attribute, &count);
    TRY(check_per_feature(c, attribute, count));
    return op_shapes_as_input(c);
}

static enum status expand_imputer(struct op_context *c)
{
    struct value *x = op_input(c, 0), *values, *replaced;
    double old = (double)op_float(c, "replaced_value_float");
    int count;
    if (dtype_is_integer(x->dtype)) {
        const int64_t *list = op_int_list(c, "imputed_value_int64s", &count);
        values = op_constant_ints(c, count, list);
        if (!values)
            return op_no_memory(c);
        values = build_cast(c, values, x->dtype);
        int64_t missing = op_int(c, "replaced_value_int64");
        struct value *old_value = op_constant(c, DTYPE_I64, 0, NULL, &missing);
        if (!old_value)
            return op_no_memory(c);
        replaced = op_build2(c, "Equal", x, build_cast(c, old_value, x->dtype));
    } else {
        values = ml_floats(c, "imputed_value_floats", x->dtype);
        replaced = isnan(old) ? op_build1(c, "IsNaN", x) : op_build2(c, "Equal", x, build_number(c, x->dtype, old));
    }
    return build_output(c, 0, build_select(c, replaced, values, x));
}

ML_OPERATOR(Imputer, 1, 1, 1, 1, shapes_imputer, .expand = expand_imputer)

static enum status shapes_normalizer(struct op_context *c)
{
    int64_t rows, columns;
    TRY(ml_matrix(c, &rows, &columns));
    return op_set_output(c, 0, DTYPE_F32, op_input(c, 0)->rank, op_input(c, 0)->dims);
}

/* A row of zeros stays one. */
static enum status expand_normalizer(struct op_context *c)
{
    const char *norm = op_string(c, "norm");
    bool most = strcmp(norm, "MAX") == 0, squares = strcmp(norm, "L2") == 0;
    struct value *x = float_input(c);
    if (!most && !squares && strcmp(norm, "L1") != 0)
        return op_error(c, STATUS_INVALID_MODEL, "norm is '%s'; it must be MAX, L1 or L2", norm);
    struct value *size = squares ? op_build2(c, "Mul", x, x) : op_build1(c, "Abs", x);
    size = build_reduce(c, most ? "ReduceMax" : "ReduceSum", size, op_input(c, 0)->rank - 1);
    size = squares ? op_build1(c, "Sqrt", size) : size;
    size = op_build2(c, "Max", size, build_number(c, float_type(c), 1e-30));
    struct value *result = op_build2(c, "Div", x, size);
    return build_output(c, 0, float_type(c) == DTYPE_F32 ? result : build_cast(c, result, DTYPE_F32));
}

ML_OPERATOR(Normalizer, 1, 1, 1, 1, shapes_normalizer, .expand = expand_normalizer)

/* --- OneHotEncoder, FeatureVectorizer ----------------------------------------------------------------------------- */

static enum status shapes_one_hot_encoder(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    int64_t dims[MAX_RANK];
    int count;
    TRY(op_require(c, 0, TYPES_ML));
    if (!op_int_list(c, "cats_int64s", &count))
        return op_error(c, STATUS_UNSUPPORTED, "its categories are strings, which are not supported");
    if (x->rank == MAX_RANK)
        return op_error(c, STATUS_UNSUPPORTED, "the result would pass rank %d", MAX_RANK);
    if (op_int(c, "zeros") == 0)
        return op_error(c, STATUS_UNSUPPORTED, "zeros = 0, which makes an unknown category an error, is not supported");
    for (int i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    dims[x->rank] = count;
    return op_set_output(c, 0, DTYPE_F32, x->rank + 1, dims);
}

static enum status expand_one_hot_encoder(struct op_context *c)
{
    struct value *x = op_input(c, 0);
    int64_t dims[MAX_RANK];
    int count;
    const int64_t *categories = op_int_list(c, "cats_int64s", &count);
    for (int i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    dims[x->rank] = 1;
    struct value *whole = x->dtype == DTYPE_I64 ? x : build_cast(c, x, DTYPE_I64);
    struct value *column = build_reshape(c, whole, x->rank + 1, dims), *list = op_constant_ints(c, count, categories);
    return list ? build_output(c, 0, build_cast(c, op_build2(c, "Equal", column, list), DTYPE_F32)) : op_no_memory(c);
}

ML_OPERATOR(OneHotEncoder, 1, 1, 1, 1, shapes_one_hot_encoder, .expand = expand_one_hot_encoder)

/* Rows of input i: a vector is a column. */
static void vectorizer_shape(const struct value *x, int64_t *rows, int64_t *columns)
{
    *rows = x->dims[0];
    *columns = x->rank == 2 ? x->dims[1] : 1;
}

static enum status shapes_feature_vectorizer(struct op_context *c)
{
    int count;
    const int64_t *wanted = op_int_list(c, "inputdimensions", &count);
    int64_t total = 0, first_rows = 0, rows, columns;
    if (count != c->node->input_count)
        return op_error(c, STATUS_INVALID_MODEL, "inputdimensions has %d entries for %d inputs", count,
                        c->node->input_count);
    for (int i = 0; i < count; i++) {
        TRY(op_require(c, i, TYPES_ML));
        TRY(op_require_rank(c, i, 1, 2));
        vectorizer_shape(op_input(c, i), &rows, &columns);
        first_rows = i == 0 ? rows : first_rows;
        if (wanted[i] < 0 || __builtin_add_overflow(total, wanted[i], &total))
            return op_error(c, STATUS_INVALID_MODEL, "inputdimensions has %lld for input %d", (long long)wanted[i], i);
        if (rows != first_rows)
            return op_error(c, STATUS_INVALID_ARGUMENT, "input %d has %lld rows, the first %lld", i, (long long)rows,
                            (long long)first_rows);
    }
    return op_set_output(c, 0, DTYPE_F32, 2, (int64_t[]){first_rows, total});
}

/* Each input is cut or padded with zeros to its number of columns; then they stand side by side. */
static enum status lower_feature_vectorizer(struct op_context *c)
{
    struct value *output = op_output(c, 0), *zero = op_zero(c, DTYPE_F32);
    int count;
    const int64_t *wanted = op_int_list(c, "inputdimensions", &count);
    int64_t done = 0, width = output->dims[1];
    for (int i = 0; i < count && value_elements(output) > 0; done += wanted[i++]) {
        struct value *x = op_input(c, i), *numbers = x;
        int64_t rows, columns;
        vectorizer_shape(x, &rows, &columns);
        int64_t taken = columns < wanted[i] ? columns : wanted[i];
        struct copy_params copy = {.rank = 2,
                                   .dims = {rows, taken},
                                   .input_strides = {columns, 1},
                                   .output_offset = done,
                                   .output_strides = {width, 1}};
        struct copy_params fill = {
            .rank = 2, .dims = {rows, wanted[i] - taken}, .output_offset = done + taken, .output_strides = {width, 1}};
        if (x->dtype != DTYPE_F32) {
            numbers = op_temporary(c, DTYPE_F32, x->rank, x->dims);
            if (!numbers)
                return op_no_memory(c);
            TRY(op_cast(c, x, numbers, true));
        }
        if (!zero)
            return op_no_memory(c);
        TRY(op_copy(c, numbers, output, &copy));
        TRY(op_copy(c, zero, output, &fill));
    }
    return STATUS_OK;
}

ML_OPERATOR(FeatureVectorizer, 1, ANY_COUNT, 1, 1, shapes_feature_vectorizer, .lower = lower_feature_vectorizer)

/* --- LinearRegressor, LinearClassifier ---------------------------------------------------------------------------- */

static enum status check_linear(struct op_context *c, int64_t outputs, int64_t *rows)
{
    int coefficients, intercepts;
    int64_t columns;
    TRY(ml_matrix(c, rows, &columns));
    op_float_list(c, "coefficients", &coefficients);
    op_float_list(c, "intercepts", &intercepts);
    if (outputs < 1 || coefficients < 0 || columns < 1 || coefficients % columns != 0 ||
        coefficients / columns != outputs)
        return op_error(c, STATUS_INVALID_MODEL, "%d coefficients do not make %lld outputs of %lld features",
                        coefficients, (long long)outputs, (long long)columns);
    if (intercepts > 0 && intercepts != outputs && intercepts != 1)
        return op_error(c, STATUS_INVALID_MODEL, "there are %d intercepts for %lld outputs", intercepts,
                        (long long)outputs);
    return STATUS_OK;
}

/* x [rows, columns] times the coefficients [outputs, columns], and the intercepts. */
static struct value *linear_scores(struct op_context *c, int64_t rows, int64_t outputs)
{
    int intercepts, coefficients;
    op_float_list(c, "coefficients", &coefficients);
    op_float_list(c, "intercepts", &intercepts);
    int64_t columns = coefficients / outputs;
    struct value *x = build_reshape(c, float_input(c), 2, (int64_t[]){rows, columns});
    struct value *weights =
        build_reshape(c, ml_floats(c, "coefficients", float_type(c)), 2, (int64_t[]){outputs, columns});
    struct value *scores = op_build2(c, "MatMul", x, build_transpose(c, weights, 2, (int64_t[]){1, 0}));
    return intercepts > 0 ? op_build2(c, "Add", scores, ml_floats(c, "intercepts", float_type(c))) : scores;
}

static struct value *as_f32(struct op_context *c, struct value *x)
{
    return float_type(c) == DTYPE_F32 ? x : build_cast(c, x, DTYPE_F32);
}

static enum status shapes_linear_regressor(struct op_context *c)
{
    int64_t rows, targets = op_int(c, "targets");
    TRY(check_linear(c, targets, &rows));
    return op_set_output(c, 0, DTYPE_F32, 2, (int64_t[]){rows, targets});
}

static enum status expand_linear_regressor(struct op_context *c)
{
    const struct value *output = op_output(c, 0);
    struct value *scores = linear_scores(c, output->dims[0], output->dims[1]);
    return build_output(c, 0, as_f32(c, ml_post_transform(c, scores)));
}

ML_OPERATOR(LinearRegressor, 1, 1, 1, 1, shapes_linear_regressor, .expand = expand_linear_regressor)

static enum status classifier_sizes(struct op_context *c, int64_t *rows, int64_t *outputs, int64_t *labels)
{
    int intercepts, coefficients;
    int64_t columns;
    TRY(ml_matrix(c, rows, &columns));
    op_float_list(c, "intercepts", &intercepts);
    op_float_list(c, "coefficients", &coefficients);
    *labels = ml_label_count(c, "classlabels_ints", "classlabels_strings");
    if (*labels < 1)
        return op_error(c, STATUS_INVALID_MODEL, "it has no class labels");
    *outputs = columns > 0 ? coefficients / columns : 0;
    TRY(check_linear(c, *outputs, rows));
    if (*labels != *outputs && !(*outputs == 1 && *labels == 2))
        return op_error(c, STATUS_INVALID_MODEL, "there are %lld labels for %lld scores", (long long)*labels,
                        (long long)*outputs);
    if (*labels == 1 && !op_has(c, "classlabels_ints"))
        return op_error(c, STATUS_UNSUPPORTED, "a single class label that is a string is not supported");
    return STATUS_OK;
}

static enum status shapes_linear_classifier(struct op_context *c)
{
    int64_t rows, outputs, labels;
    TRY(classifier_sizes(c, &rows, &outputs, &labels));
    TRY(op_set_output(c, 0, DTYPE_I64, 1, &rows));
    return op_set_output(c, 1, DTYPE_F32, 2, (int64_t[]){rows, labels});
}

/* A single class holds from a threshold on. */
static enum status expand_linear_classifier(struct op_context *c)
{
    int64_t rows, outputs, labels;
    TRY(classifier_sizes(c, &rows, &outputs, &labels));
    struct value *raw = linear_scores(c, rows, outputs), *scores, *choice;
    if (outputs == 1 && labels == 2) { /* it is the second class's, and 0 is between them */
        scores = ml_pair_scores(c, raw, true, float_type(c));
        choice = build_concat(c, op_build1(c, "Neg", raw), raw, 1);
    } else {
        choice = scores = ml_post_transform(c, raw);
    }
    TRY(build_output(c, 1, as_f32(c, scores)));
    if (labels > 1)
        return build_output(c, 0, ml_label(c, choice, "classlabels_ints"));
    double threshold = strcmp(op_string(c, "post_transform"), "NONE") == 0 ? 0 : 0.5;
    struct value *holds = op_build2(c, "GreaterOrEqual", scores, build_number(c, float_type(c), threshold));
    int count;
    struct value *label = op_constant(c, DTYPE_I64, 0, NULL, op_int_list(c, "classlabels_ints", &count));
    if (!label)
        return op_no_memory(c);
    struct value *chosen = build_select(c, holds, label, build_number(c, DTYPE_I64, 0));
    return build_output(c, 0, build_reshape(c, chosen, 1, &rows));
}

ML_OPERATOR(LinearClassifier, 1, 1, 2, 2, shapes_linear_classifier, .expand = expand_linear_classifier)

/* --- ZipMap ------------------------------------------------------------------------------------------------------- */

/* A map of labels to scores for each row becomes the scores; the importer keeps the labels. */
static enum status shapes_zip_map(struct op_context *c)
{
    int64_t labels = ml_label_count(c, "classlabels_int64s", "classlabels_strings");
    TRY(op_require(c, 0, TYPE(DTYPE_F32)));
    TRY(op_require_rank(c, 0, 1, 2));
    const struct value *x = op_input(c, 0);
    if (x->dims[x->rank - 1] != labels)
        return op_error(c, STATUS_INVALID_MODEL, "there are %lld labels for %lld scores", (long long)labels,
                        (long long)x->dims[x->rank - 1]);
    return op_shapes_as_input(c);
}

static enum status expand_zip_map(struct op_context *c)
{
    return build_output(c, 0, op_input(c, 0));
}

ML_OPERATOR(ZipMap, 1, 1, 1, 1, shapes_zip_map, .expand = expand_zip_map)
