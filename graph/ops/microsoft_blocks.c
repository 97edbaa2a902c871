/* Weights in blocks of few bits, of com.microsoft: MatMulNBits and GatherBlockQuantized. */
#include "graph/ops/build.h"
#include "graph/ops/microsoft.h"
#include "graph/ops/tools.h"

#include <string.h>

/* --- unpacking -------------------------------------------------------------------------------------------- */

/* Bytes x of the given shape, which hold several integers each, the first in the lowest bits, as a byte each; of the
 * last axis then `wanted` are kept. */
static struct value *unpacked(struct op_context *c, struct value *x, int rank, const int64_t *bytes, int64_t bits,
                              int64_t wanted)
{
    int64_t dims[MAX_RANK], each = 8 / bits;
    uint8_t shifts[4];
    if (each == 1)
        return bytes[rank - 1] == wanted ? x : build_slice(c, x, rank - 1, 0, wanted);
    for (int i = 0; i < rank; i++)
        dims[i] = bytes[i];
    dims[rank - 1] *= each;
    for (int i = 0; i < each; i++)
        shifts[i] = (uint8_t)(i * bits);
    struct value *amounts = op_constant(c, DTYPE_U8, 1, &each, shifts);
    if (!amounts) {
        op_no_memory(c);
        return NULL;
    }
    const struct attribute right = ATTRIBUTE_TEXT("direction", "RIGHT");
    struct value *column = op_build2(c, "Unsqueeze", x, build_ints(c, 1, (int64_t[]){-1}));
    struct value *y = build_with(c, "BitShift", 2, (struct value *[]){column, amounts}, 1, &right);
    y = op_build2(c, "BitwiseAnd", y, build_number(c, DTYPE_U8, (double)((1 << bits) - 1)));
    y = build_reshape(c, y, rank, dims);
    return dims[rank - 1] == wanted ? y : build_slice(c, y, rank - 1, 0, wanted);
}

/* --- MatMulNBits: (a, b, scales, zero points, groups, bias) ----------------------------------------------- */

enum { A, WEIGHTS, SCALES, ZEROS, GROUPS, BIAS };

struct blocks {
    int64_t rows, depth, bits, size, count; /* N, K, bits of an integer, integers of a block, blocks of a row */
};

static enum status read_blocks(struct op_context *c, struct blocks *b)
{
    *b = (struct blocks){
        .rows = op_int(c, "N"), .depth = op_int(c, "K"), .bits = op_int(c, "bits"), .size = op_int(c, "block_size")};
    if (b->rows < 1 || b->depth < 1 || b->depth > INT64_MAX / 2)
        return op_error(c, STATUS_INVALID_MODEL, "N and K are %lld and %lld; they must be positive", (long long)b->rows,
                        (long long)b->depth);
    if (b->size < 16 || b->size > INT32_MAX || (b->size & (b->size - 1)) != 0)
        return op_error(c, STATUS_INVALID_MODEL, "block_size is %lld; it must be a power of 2 from 16 on",
                        (long long)b->size);
    if (b->bits != 2 && b->bits != 4 && b->bits != 8)
        return op_error(c, STATUS_UNSUPPORTED, "weights of %lld bits are not supported", (long long)b->bits);
    if (op_int(c, "weight_prepacked") != 0)
        return op_error(c, STATUS_UNSUPPORTED, "weights packed for another device are not supported");
    b->count = (b->depth - 1) / b->size + 1;
    return STATUS_OK;
}

static enum status check_elements(struct op_context *c, int i, int64_t rows, int64_t columns)
{
    const struct value *value = op_input(c, i);
    int64_t wanted;
    if (!__builtin_mul_overflow(rows, columns, &wanted) && value_elements(value) == wanted)
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' has %lld elements; it must have %lld x %lld", i,
                    value->name, (long long)value_elements(value), (long long)rows, (long long)columns);
}

static enum status shapes_n_bits(struct op_context *c)
{
    struct blocks b;
    TRY(read_blocks(c, &b));
    TRY(op_require(c, A, TYPES_FLOAT & ~TYPE(DTYPE_F64)));
    const struct value *a = op_input(c, A), *zeros = op_input(c, ZEROS);
    TRY(op_require_rank(c, A, 1, MAX_RANK));
    TRY(op_require(c, WEIGHTS, TYPE(DTYPE_U8)));
    TRY(op_require(c, SCALES, TYPE(a->dtype)));
    TRY(op_allow(c, ZEROS, TYPE(DTYPE_U8) | TYPE(a->dtype)));
    TRY(op_allow(c, GROUPS, TYPE(DTYPE_I32)));
    TRY(op_allow_list(c, BIAS, TYPE(a->dtype), b.rows));
    TRY(check_elements(c, WEIGHTS, b.rows, b.count * (b.size * b.bits / 8)));
    TRY(check_elements(c, SCALES, b.rows, b.count));
    if (zeros)
        TRY(check_elements(c, ZEROS, b.rows, zeros->dtype == DTYPE_U8 ? (b.count * b.bits + 7) / 8 : b.count));
    if (op_input(c, GROUPS) && (op_input(c, GROUPS)->rank != 1 || op_input(c, GROUPS)->dims[0] < b.depth))
        return op_error(c, STATUS_INVALID_MODEL, "there must be a group for each of %lld columns", (long long)b.depth);
    if (a->dims[a->rank - 1] != b.depth)
        return op_error(c, STATUS_INVALID_ARGUMENT, "rows of %lld elements do not fit K = %lld",
                        (long long)a->dims[a->rank - 1], (long long)b.depth);
    int64_t dims[MAX_RANK];
    memcpy(dims, a->dims, sizeof dims);
    dims[a->rank - 1] = b.rows;
    return op_set_output(c, 0, a->dtype, a->rank, dims);
}

/* Zero points [N, blocks] as f32. */
static struct value *zero_points(struct op_context *c, const struct blocks *b)
{
    struct value *zeros = op_input(c, ZEROS);
    if (!zeros)
        return build_number(c, DTYPE_F32, (double)(1 << (b->bits - 1)));
    if (zeros->dtype != DTYPE_U8)
        return build_reshape(c, build_as(c, zeros, DTYPE_F32), 2, (int64_t[]){b->rows, b->count});
    const int64_t bytes[2] = {b->rows, (b->count * b->bits + 7) / 8};
    return build_cast(c, unpacked(c, build_reshape(c, zeros, 2, bytes), 2, bytes, b->bits, b->count), DTYPE_F32);
}

/* A parameter of each block as one of each column [N, K]. */
static struct value *by_column(struct op_context *c, const struct blocks *b, struct value *parameter)
{
    struct value *columns;
    if (op_input(c, GROUPS)) {
        columns = build_slice(c, op_input(c, GROUPS), 0, 0, b->depth);
    } else {
        int64_t *list = region_array(c->graph->region, (size_t)b->depth, sizeof *list);
        for (int64_t i = 0; list && i < b->depth; i++)
            list[i] = i / b->size;
        columns = list ? graph_add_constant(c->graph, "", DTYPE_I64, 1, &b->depth, list) : NULL;
    }
    if (!columns) {
        op_no_memory(c);
        return NULL;
    }
    const struct attribute axis = ATTRIBUTE_I("axis", 1);
    return build_with(c, "Gather", 2, (struct value *[]){parameter, columns}, 1, &axis);
}

static enum status expand_n_bits(struct op_context *c)
{
    struct blocks b;
    TRY(read_blocks(c, &b));
    const enum dtype dtype = op_input(c, A)->dtype;
    const int64_t bytes[2] = {b.rows, b.count * (b.size * b.bits / 8)}, parameters[2] = {b.rows, b.count};
    struct value *weights = build_reshape(c, op_input(c, WEIGHTS), 2, bytes);
    weights = build_cast(c, unpacked(c, weights, 2, bytes, b.bits, b.depth), DTYPE_F32);
    struct value *zeros = zero_points(c, &b);
    struct value *scales = build_reshape(c, build_as(c, op_input(c, SCALES), DTYPE_F32), 2, parameters);
    weights = op_build2(c, "Sub", weights, op_input(c, ZEROS) ? by_column(c, &b, zeros) : zeros);
    weights = op_build2(c, "Mul", weights, by_column(c, &b, scales));
    weights = build_transpose(c, weights, 2, (int64_t[]){1, 0});
    struct value *y = op_build2(c, "MatMul", build_as(c, op_input(c, A), DTYPE_F32), weights);
    if (op_input(c, BIAS))
        y = op_build2(c, "Add", y, build_as(c, op_input(c, BIAS), DTYPE_F32));
    return build_output(c, 0, dtype == DTYPE_F32 ? y : build_cast(c, y, dtype));
}

MICROSOFT_OPERATOR(MatMulNBits, 3, 6, 1, 1, shapes_n_bits, .expand = expand_n_bits)

/* --- GatherBlockQuantized: (data, indices, scales, zero points) ------------------------------------------- */

#define TYPES_SMALL_FLOAT \
    (TYPE(DTYPE_F8E4M3FN) | TYPE(DTYPE_F8E4M3FNUZ) | TYPE(DTYPE_F8E5M2) | TYPE(DTYPE_F8E5M2FNUZ) | TYPE(DTYPE_F4E2M1))
#define TYPES_4_BIT (TYPE(DTYPE_U4) | TYPE(DTYPE_I4))

struct gathering {
    int gather_axis, quantize_axis;
    int64_t size; /* elements of a block */
    int64_t each; /* elements of a byte of the data: 1 but for packed bytes */
};

static bool is_small_float(const struct op_context *c)
{
    return (TYPES_SMALL_FLOAT & TYPE(op_input(c, 0)->dtype)) != 0;
}

static enum status read_gathering(struct op_context *c, struct gathering *g)
{
    const struct value *data = op_input(c, 0);
    int64_t bits = op_int(c, "bits");
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    TRY(op_axis(c, "gather_axis", op_int(c, "gather_axis"), data->rank, &g->gather_axis));
    TRY(op_axis(c, "quantize_axis", op_int(c, "quantize_axis"), data->rank, &g->quantize_axis));
    g->size = op_int(c, "block_size");
    g->each = data->dtype == DTYPE_U8 && bits > 0 ? 8 / bits : 1;
    if (is_small_float(c) && g->size == 0)
        g->size = data->dims[g->quantize_axis] > 0 ? data->dims[g->quantize_axis] : 1;
    else if (g->size < 16 || (g->size & (g->size - 1)) != 0)
        return op_error(c, STATUS_INVALID_MODEL, "block_size is %lld; it must be a power of 2 from 16 on",
                        (long long)g->size);
    if (data->dtype == DTYPE_U8 ? bits != 2 && bits != 4 && bits != 8 : !is_small_float(c) && bits != 4)
        return op_error(c, STATUS_INVALID_MODEL, "%s do not hold weights of %lld bits", dtype_name(data->dtype),
                        (long long)bits);
    if (data->dtype == DTYPE_U8 && (g->gather_axis != 0 || g->quantize_axis != data->rank - 1 || data->rank < 2))
        return op_error(c, STATUS_UNSUPPORTED, "bytes must be gathered along the first axis, in blocks along the last");
    return STATUS_OK;
}

/* Blocks along the quantised axis. */
static int64_t block_count(const struct op_context *c, const struct gathering *g)
{
    int64_t elements = op_input(c, 0)->dims[g->quantize_axis] * g->each;
    return elements ? (elements - 1) / g->size + 1 : 0;
}

/* Scales, or zero points that are packed as the data are, have the shape of the blocks. */
static enum status check_blocks(struct op_context *c, int i, const struct gathering *g, int64_t each)
{
    const struct value *data = op_input(c, 0), *parameter = op_input(c, i);
    if (!parameter)
        return STATUS_OK;
    bool fits = parameter->rank == data->rank;
    for (int k = 0; fits && k < data->rank; k++) {
        int64_t wanted = k == g->quantize_axis ? (block_count(c, g) + each - 1) / each : data->dims[k];
        fits = parameter->dims[k] == wanted || (is_small_float(c) && k != g->quantize_axis && parameter->dims[k] == 1);
    }
    if (fits)
        return STATUS_OK;
    char a[120], b[120];
    return op_error(c, STATUS_INVALID_MODEL, "input %d of shape %s does not fit data of %s in blocks of %lld", i,
                    value_shape_text(NULL, parameter, a, sizeof a), value_shape_text(NULL, data, b, sizeof b),
                    (long long)g->size);
}

static enum status shapes_gather_blocks(struct op_context *c)
{
    struct gathering g;
    TRY(op_require(c, 0, TYPES_SMALL_FLOAT | TYPES_4_BIT | TYPE(DTYPE_U8)));
    TRY(op_require(c, 1, TYPES_INDEX));
    TRY(op_require(c, 2, TYPES_FLOAT & ~TYPE(DTYPE_F64)));
    TRY(op_allow(c, 3, TYPE(op_input(c, 0)->dtype)));
    if (is_small_float(c) && op_input(c, 3))
        return op_error(c, STATUS_INVALID_MODEL, "floats have no zero points");
    TRY(read_gathering(c, &g));
    TRY(check_blocks(c, 2, &g, 1));
    TRY(check_blocks(c, 3, &g, g.each));
    const struct value *data = op_input(c, 0), *indices = op_input(c, 1);
    int64_t dims[2 * MAX_RANK];
    int rank = 0;
    for (int i = 0; i < data->rank; i++) {
        for (int k = 0; i == g.gather_axis && k < indices->rank; k++)
            dims[rank++] = indices->dims[k];
        if (i != g.gather_axis)
            dims[rank++] = data->dims[i];
    }
    if (rank > MAX_RANK)
        return op_error(c, STATUS_UNSUPPORTED, "the result would pass rank %d", MAX_RANK);
    if (g.each > 1 && __builtin_mul_overflow(dims[rank - 1], g.each, &dims[rank - 1]))
        return op_error(c, STATUS_INVALID_MODEL, "its data are too large");
    return op_set_output(c, 0, op_input(c, 2)->dtype, rank, dims);
}

static struct value *taken(struct op_context *c, struct value *data, struct value *indices, int axis)
{
    const struct attribute along = ATTRIBUTE_I("axis", axis);
    return build_with(c, "Gather", 2, (struct value *[]){data, indices}, 1, &along);
}

static struct value *dequantised(struct op_context *c, struct value *const *inputs, int axis, int64_t size)
{
    const struct attribute attributes[2] = {ATTRIBUTE_I("axis", axis), ATTRIBUTE_I("block_size", size)};
    return build_with(c, "DequantizeLinear", inputs[2] ? 3 : 2, inputs, 2, attributes);
}

/* Bytes: the rows that are wanted, unpacked and dequantised. */
static struct value *rows_of_bytes(struct op_context *c, const struct gathering *g, struct value *indices)
{
    const struct value *data = op_input(c, 0);
    struct value *zeros = op_input(c, 3);
    int64_t bits = 8 / g->each, count = block_count(c, g), last = data->dims[data->rank - 1];
    int64_t rows = value_elements(op_input(c, 1));
    for (int i = 1; i + 1 < data->rank; i++)
        rows *= data->dims[i];
    const int64_t bytes[2] = {rows, last}, blocks[2] = {rows, count},
                  packed[2] = {rows, (count + g->each - 1) / g->each};
    struct value *x = build_reshape(c, taken(c, op_input(c, 0), indices, 0), 2, bytes);
    struct value *scales = build_reshape(c, taken(c, op_input(c, 2), indices, 0), 2, blocks);
    if (zeros)
        zeros = unpacked(c, build_reshape(c, taken(c, zeros, indices, 0), 2, packed), 2, packed, bits, count);
    else
        zeros = build_expand(c, build_number(c, DTYPE_U8, (double)(1 << (bits - 1))), 2, blocks);
    x = unpacked(c, x, 2, bytes, bits, last * g->each);
    return dequantised(c, (struct value *[]){x, scales, zeros}, 1, g->size);
}

/* Elements of other types: all of them, and then those that are wanted. */
static struct value *rows_of_elements(struct op_context *c, const struct gathering *g, struct value *indices)
{
    struct value *data = op_input(c, 0), *scales = op_input(c, 2);
    int64_t dims[MAX_RANK];
    for (int i = 0; i < data->rank; i++)
        dims[i] = i == g->quantize_axis ? block_count(c, g) : data->dims[i];
    if (is_small_float(c))
        scales = build_expand(c, scales, data->rank, dims);
    struct value *inputs[3] = {data, scales, op_input(c, 3)};
    return taken(c, dequantised(c, inputs, g->quantize_axis, g->size), indices, g->gather_axis);
}

/* What lies outside the axis becomes zeros. */
static enum status expand_gather_blocks(struct op_context *c)
{
    struct gathering g;
    TRY(read_gathering(c, &g));
    const struct value *data = op_input(c, 0), *y = op_output(c, 0);
    struct value *indices = op_input(c, 1);
    double size = (double)data->dims[g.gather_axis];
    int64_t dims[MAX_RANK];
    int rank = 0;
    for (; rank < indices->rank; rank++)
        dims[rank] = indices->dims[rank];
    for (int i = g.gather_axis + 1; i < data->rank; i++)
        dims[rank++] = 1;
    struct value *above = op_build2(c, "GreaterOrEqual", indices, build_number(c, indices->dtype, -size));
    struct value *below = op_build2(c, "Less", indices, build_number(c, indices->dtype, size));
    struct value *inside = op_build2(c, "And", above, below);
    struct value *safe = build_select(c, inside, indices, build_number(c, indices->dtype, 0));
    struct value *rows = data->dtype == DTYPE_U8 ? rows_of_bytes(c, &g, safe) : rows_of_elements(c, &g, safe);
    rows = build_reshape(c, rows, y->rank, y->dims);
    inside = build_reshape(c, inside, rank, dims);
    return build_output(c, 0, build_select(c, inside, rows, build_number(c, y->dtype, 0)));
}

MICROSOFT_OPERATOR(GatherBlockQuantized, 3, 4, 1, 1, shapes_gather_blocks, .expand = expand_gather_blocks)
