/* Operators of ai.onnx.ml on features and labels that are numbers. */
#include "graph/ops/ml.h"
#include "kernels/lookup.h"
#include "kernels/sort.h"

#include <math.h>
#include <string.h>

/* --- ArrayFeatureExtractor, Binarizer ----------------------------------------------------------------------------- */

static enum status shapes_extract(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    int64_t dims[MAX_RANK] = {1};
    TRY(op_require(c, 0, TYPES_FIXED));
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    TRY(op_require(c, 1, TYPE(DTYPE_I64)));
    int rank = x->rank > 1 ? x->rank : 2; /* of a vector comes a matrix of one row */
    if (x->rank > 1)
        memcpy(dims, x->dims, sizeof dims);
    dims[rank - 1] = value_elements(op_input(c, 1));
    return op_set_output(c, 0, x->dtype, rank, dims);
}

static enum status lower_extract(struct op_context *c)
{
    struct value *x = op_input(c, 0), *output = op_output(c, 0);
    struct gather_params params = {
        .rank = 2,
        .dims = {op_split_at(x, x->rank - 1).outer, output->dims[output->rank - 1]},
        .data_strides = {x->dims[x->rank - 1], 0},
        .index_strides = {0, 1},
        .block_strides = {output->dims[output->rank - 1], 1},
        .components = 1,
        .axis_dims = {x->dims[x->rank - 1]},
        .axis_strides = {1},
    };
    return op_gather(c, &params, x, op_input(c, 1), output);
}

ML_OPERATOR(ArrayFeatureExtractor, 2, 2, 1, 1, shapes_extract, .lower = lower_extract)

static enum status shapes_ml_same(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_ML));
    return op_shapes_as_input(c);
}

static enum status expand_binarizer(struct op_context *c)
{
    struct value *x = op_input(c, 0);
    struct value *limit =
        build_number(c, x->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32, (double)op_float(c, "threshold"));
    struct value *numbers = dtype_is_float(x->dtype) ? x : build_cast(c, x, DTYPE_F32);
    return build_output(c, 0, build_cast(c, op_build2(c, "Greater", numbers, limit), x->dtype));
}

ML_OPERATOR(Binarizer, 1, 1, 1, 1, shapes_ml_same, .expand = expand_binarizer)

/* --- LabelEncoder ------------------------------------------------------------------------------------------------- */

static enum status read_encoder(struct op_context *c, struct value *keys, struct value *values)
{
    if (!ml_numbers(c, "keys_int64s", "keys_floats", "keys_tensor", keys) ||
        !ml_numbers(c, "values_int64s", "values_floats", "values_tensor", values))
        return op_error(c, STATUS_UNSUPPORTED, "its keys or its values are not numbers, which is not supported");
    if (keys->dims[0] != values->dims[0])
        return op_error(c, STATUS_INVALID_MODEL, "there are %lld keys and %lld values", (long long)keys->dims[0],
                        (long long)values->dims[0]);
    return op_require(c, 0, TYPE(keys->dtype));
}

static enum status shapes_label_encoder(struct op_context *c)
{
    struct value keys, values;
    TRY(read_encoder(c, &keys, &values));
    return op_set_output(c, 0, values.dtype, op_input(c, 0)->rank, op_input(c, 0)->dims);
}

static int compare_keys(const void *keys, int64_t a, int64_t b)
{
    int64_t i = 0, j = 0;
    double x = 0, y = 0;
    if (value_integer_at(keys, a, &i) && value_integer_at(keys, b, &j))
        return i < j ? -1 : i > j;
    value_number_at(keys, a, &x);
    value_number_at(keys, b, &y);
    if (isnan(x) || isnan(y))
        return (isnan(x) != 0) - (isnan(y) != 0);
    return x < y ? -1 : x > y;
}

/* What an element that is no key becomes. */
static struct value *encoder_default(struct op_context *c, enum dtype dtype)
{
    const struct attribute *a = node_attribute(c->node, "default_tensor");
    if (a && a->kind == ATTRIBUTE_TENSOR && a->tensor->dtype == dtype && value_elements(a->tensor) == 1)
        return op_constant(c, dtype, 0, NULL, a->tensor->data);
    const int64_t whole = op_int(c, "default_int64");
    if (dtype_is_integer(dtype)) /* little-endian: the low bytes are the narrower integer */
        return op_constant(c, dtype, 0, NULL, &whole);
    return op_constant_scalar(c, dtype, (double)op_float(c, "default_float"));
}

/* The list in the given order, and one more element, `last`, where there is one. */
static struct value *reorder(struct op_context *c, const struct value *list, const int64_t *order,
                             const struct value *last)
{
    int64_t count = list->dims[0], dims[1] = {count + (last != NULL)};
    size_t bytes = dtype_bytes(list->dtype, 1);
    char *data = region_array(c->graph->region, (size_t)dims[0], bytes);
    if (!data)
        return NULL;
    for (int64_t i = 0; i < count; i++)
        memcpy(data + (size_t)i * bytes, (const char *)list->data + (size_t)order[i] * bytes, bytes);
    if (last)
        memcpy(data + (size_t)count * bytes, last->data, bytes);
    return graph_add_constant(c->graph, "", list->dtype, 1, dims, data);
}

static enum status lower_label_encoder(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0), keys, values;
    TRY(read_encoder(c, &keys, &values));
    size_t count = (size_t)keys.dims[0];
    int64_t *room = region_array(c->graph->region, count, 2 * sizeof *room);
    struct value *otherwise = encoder_default(c, values.dtype);
    if (!room || !otherwise)
        return op_no_memory(c);
    const int64_t *order = sort_numbers(keys.dims[0], room, room + count, compare_keys, &keys);
    struct value *inputs[3] = {input, reorder(c, &keys, order, NULL), reorder(c, &values, order, otherwise)};
    if (!inputs[1] || !inputs[2])
        return op_no_memory(c);
    struct lookup_params params = {.count = value_elements(input),
                                   .keys = keys.dims[0],
                                   .value_bytes = dtype_bits(values.dtype) / 8,
                                   .dtype = (uint8_t)keys.dtype};
    if (params.count == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_lookup, &params, sizeof params, 3, inputs, 1, &output, 0);
}

ML_OPERATOR(LabelEncoder, 1, 1, 1, 1, shapes_label_encoder, .lower = lower_label_encoder)
