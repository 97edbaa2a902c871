/* Operators that take elements from, or put them at, places named by an index tensor. */
#include "graph/ops/build.h"
#include "graph/ops/tools.h"
#include "kernels/scatter.h"

#include <string.h>

/* --- geometry ----------------------------------------------------------------------------------------------------- */

/* One index for each element of the block, replacing one coordinate: GatherElements, ScatterElements. `index` says
 * which axes of the block the index tensor has (a bit an axis). */
static struct gather_params along_axis(const struct value *data, const struct value *block, int axis, unsigned index)
{
    struct gather_params params = {.rank = block->rank, .components = 1, .axis_dims = {data->dims[axis]}};
    int64_t stride = 1;
    contiguous_strides(data->rank, data->dims, params.data_strides);
    contiguous_strides(block->rank, block->dims, params.block_strides);
    params.axis_strides[0] = params.data_strides[axis];
    params.data_strides[axis] = 0;
    for (int i = block->rank - 1; i >= 0; i--) {
        params.dims[i] = block->dims[i];
        params.index_strides[i] = index & 1u << i ? stride : 0;
        stride *= index & 1u << i ? block->dims[i] : 1;
    }
    return params;
}

/* Index tuples that name the coordinates after `batch` shared axes: GatherND, ScatterND. The block is the index
 * tensor's axes but the last, then the axes of the data that the tuples leave. */
static struct gather_params by_tuples(const struct value *data, const struct value *indices, const struct value *block,
                                      int batch)
{
    int tuple = (int)indices->dims[indices->rank - 1], leading = indices->rank - 1;
    struct gather_params params = {.rank = block->rank, .components = tuple};
    int64_t data_strides[MAX_RANK], index_strides[MAX_RANK];
    contiguous_strides(data->rank, data->dims, data_strides);
    contiguous_strides(indices->rank, indices->dims, index_strides);
    contiguous_strides(block->rank, block->dims, params.block_strides);
    for (int i = 0; i < block->rank; i++) {
        params.dims[i] = block->dims[i];
        if (i < leading)
            params.index_strides[i] = index_strides[i];
        if (i < batch)
            params.data_strides[i] = data_strides[i];
        if (i >= leading)
            params.data_strides[i] = data_strides[batch + tuple + i - leading];
    }
    for (int j = 0; j < tuple; j++) {
        params.axis_dims[j] = data->dims[batch + j];
        params.axis_strides[j] = data_strides[batch + j];
    }
    return params;
}

static enum status tuple_length(struct op_context *c, int64_t batch, int *tuple)
{
    const struct value *data = op_input(c, 0), *indices = op_input(c, 1);
    TRY(op_require(c, 1, TYPES_INDEX));
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    TRY(op_require_rank(c, 1, 1, MAX_RANK));
    if (batch < 0 || batch >= data->rank || batch >= indices->rank)
        return op_error(c, STATUS_INVALID_MODEL, "batch_dims is %lld, for ranks %d and %d", (long long)batch,
                        data->rank, indices->rank);
    int64_t length = indices->dims[indices->rank - 1];
    if (length > data->rank - batch)
        return op_error(c, STATUS_INVALID_MODEL, "index tuples have %lld entries, the data %d axes", (long long)length,
                        data->rank - (int)batch);
    *tuple = (int)length;
    return STATUS_OK;
}

static enum status require_axis(struct op_context *c, int *axis)
{
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    return op_axis(c, "axis", op_int(c, "axis"), op_input(c, 0)->rank, axis);
}

/* --- Gather, GatherElements, GatherND ----------------------------------------------------------------------------- */

static enum status shapes_gather(struct op_context *c)
{
    const struct value *data = op_input(c, 0), *indices = op_input(c, 1);
    int axis, rank = data->rank - 1 + indices->rank;
    int64_t dims[MAX_RANK];
    TRY(require_axis(c, &axis));
    TRY(op_require(c, 1, TYPES_INDEX));
    if (rank > MAX_RANK)
        return op_error(c, STATUS_UNSUPPORTED, "the result has rank %d; at most %d is supported", rank, MAX_RANK);
    for (int i = 0; i < rank; i++)
        dims[i] = i < axis                   ? data->dims[i]
                  : i < axis + indices->rank ? indices->dims[i - axis]
                                             : data->dims[i - indices->rank + 1];
    return op_set_output(c, 0, data->dtype, rank, dims);
}

static enum status lower_gather(struct op_context *c)
{
    struct value *data = op_input(c, 0), *indices = op_input(c, 1);
    int axis;
    TRY(require_axis(c, &axis));
    /* With the index tensor flattened, the block is outer x indices x inner. */
    struct axis_split split = op_split_at(data, axis);
    struct gather_params params = {
        .rank = 3,
        .dims = {split.outer, value_elements(indices), split.inner},
        .data_strides = {split.count * split.inner, 0, 1},
        .index_strides = {0, 1, 0},
        .components = 1,
        .axis_dims = {split.count},
        .axis_strides = {split.inner},
    };
    contiguous_strides(3, params.dims, params.block_strides);
    return op_gather(c, &params, data, indices, op_output(c, 0));
}

OPERATOR(Gather, 2, 2, 1, 1, shapes_gather, .lower = lower_gather)

/* Indices may be smaller than the data along every axis but the one they replace. */
static enum status check_element_indices(struct op_context *c, int axis)
{
    const struct value *data = op_input(c, 0), *indices = op_input(c, 1);
    TRY(op_require(c, 1, TYPES_INDEX));
    TRY(op_require_rank(c, 1, data->rank, data->rank));
    for (int i = 0; i < data->rank; i++)
        if (i != axis && indices->dims[i] > data->dims[i])
            return op_error(c, STATUS_INVALID_ARGUMENT, "there are %lld indices along axis %d of %lld elements",
                            (long long)indices->dims[i], i, (long long)data->dims[i]);
    return STATUS_OK;
}

static enum status shapes_gather_elements(struct op_context *c)
{
    int axis;
    TRY(require_axis(c, &axis));
    TRY(check_element_indices(c, axis));
    return op_set_output(c, 0, op_input(c, 0)->dtype, op_input(c, 1)->rank, op_input(c, 1)->dims);
}

static enum status lower_gather_elements(struct op_context *c)
{
    int axis;
    TRY(require_axis(c, &axis));
    struct gather_params params = along_axis(op_input(c, 0), op_output(c, 0), axis, ~0u);
    return op_gather(c, &params, op_input(c, 0), op_input(c, 1), op_output(c, 0));
}

OPERATOR(GatherElements, 2, 2, 1, 1, shapes_gather_elements, .lower = lower_gather_elements)

static enum status shapes_gather_nd(struct op_context *c)
{
    const struct value *data = op_input(c, 0), *indices = op_input(c, 1);
    int64_t dims[MAX_RANK], batch = op_int(c, "batch_dims");
    int tuple;
    TRY(tuple_length(c, batch, &tuple));
    for (int i = 0; i < batch; i++)
        if (data->dims[i] != indices->dims[i])
            return op_error(c, STATUS_INVALID_ARGUMENT,
                            "batch axis %d has %lld elements in the data, %lld in the indices", i,
                            (long long)data->dims[i], (long long)indices->dims[i]);
    int leading = indices->rank - 1, rest = data->rank - (int)batch - tuple;
    if (leading + rest > MAX_RANK)
        return op_error(c, STATUS_UNSUPPORTED, "the result has rank %d; at most %d is supported", leading + rest,
                        MAX_RANK);
    for (int i = 0; i < leading + rest; i++)
        dims[i] = i < leading ? indices->dims[i] : data->dims[batch + tuple + i - leading];
    return op_set_output(c, 0, data->dtype, leading + rest, dims);
}

static enum status lower_gather_nd(struct op_context *c)
{
    struct value *data = op_input(c, 0), *indices = op_input(c, 1), *output = op_output(c, 0);
    struct gather_params params = by_tuples(data, indices, output, (int)op_int(c, "batch_dims"));
    return op_gather(c, &params, data, indices, output);
}

OPERATOR(GatherND, 2, 2, 1, 1, shapes_gather_nd, .lower = lower_gather_nd)

/* --- Scatter, ScatterElements, ScatterND, TensorScatter ----------------------------------------------------------- */

static enum status read_reduction(struct op_context *c, uint8_t *reduction)
{
    static const char *const names[] = {[SCATTER_SET] = "none",
                                        [SCATTER_ADD] = "add",
                                        [SCATTER_MUL] = "mul",
                                        [SCATTER_MIN] = "min",
                                        [SCATTER_MAX] = "max"};
    const char *name = op_string_or(c, "reduction", "none");
    for (uint8_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *reduction = i;
            return i == SCATTER_SET ? op_require(c, 0, TYPES_BYTES) : op_require(c, 0, TYPES_NUMERIC);
        }
    }
    return op_error(c, STATUS_INVALID_MODEL, "reduction is '%s'; it must be none, add, mul, min or max", name);
}

static enum status emit_scatter(struct op_context *c, struct gather_params *at, struct value *indices,
                                struct value *updates, uint8_t reduction)
{
    struct value *data = op_input(c, 0), *output = op_output(c, 0);
    struct scatter_params params = {
        .data_elements = value_elements(data), .reduction = reduction, .dtype = (uint8_t)data->dtype};
    if (params.data_elements == 0)
        return STATUS_OK;
    if (value_elements(updates) == 0)
        return op_alias(c, output, data, 0);
    at->element_bytes = dtype_bits(data->dtype) / 8;
    at->index_dtype = (uint8_t)indices->dtype;
    gather_merge_axes(at);
    params.at = *at;
    return op_emit(c, FAMILY_scatter, &params, sizeof params, 3, (struct value *[]){data, indices, updates}, 1, &output,
                   1);
}

static enum status shapes_scatter_elements(struct op_context *c)
{
    int axis;
    uint8_t reduction;
    const struct value *data = op_input(c, 0), *indices = op_input(c, 1), *updates = op_input(c, 2);
    TRY(require_axis(c, &axis));
    TRY(read_reduction(c, &reduction));
    TRY(check_element_indices(c, axis));
    TRY(op_require(c, 2, TYPE(data->dtype)));
    if (updates->rank != indices->rank ||
        memcmp(updates->dims, indices->dims, (size_t)indices->rank * sizeof indices->dims[0]) != 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "indices and updates have different shapes");
    return op_shapes_as_input(c);
}

static enum status lower_scatter_elements(struct op_context *c)
{
    int axis;
    uint8_t reduction;
    TRY(require_axis(c, &axis));
    TRY(read_reduction(c, &reduction));
    struct gather_params at = along_axis(op_input(c, 0), op_input(c, 2), axis, ~0u);
    return emit_scatter(c, &at, op_input(c, 1), op_input(c, 2), reduction);
}

OPERATOR(Scatter, 3, 3, 1, 1, shapes_scatter_elements, .lower = lower_scatter_elements)
OPERATOR(ScatterElements, 3, 3, 1, 1, shapes_scatter_elements, .lower = lower_scatter_elements)

static enum status shapes_scatter_nd(struct op_context *c)
{
    const struct value *data = op_input(c, 0), *indices = op_input(c, 1), *updates = op_input(c, 2);
    int tuple;
    uint8_t reduction;
    TRY(tuple_length(c, 0, &tuple));
    TRY(read_reduction(c, &reduction));
    TRY(op_require(c, 2, TYPE(data->dtype)));
    int leading = indices->rank - 1, rank = leading + data->rank - tuple;
    TRY(op_require_rank(c, 2, rank, rank));
    for (int i = 0; i < rank; i++) {
        int64_t dim = i < leading ? indices->dims[i] : data->dims[tuple + i - leading];
        if (updates->dims[i] != dim)
            return op_error(c, STATUS_INVALID_ARGUMENT,
                            "updates have %lld elements along axis %d; data and indices want %lld",
                            (long long)updates->dims[i], i, (long long)dim);
    }
    return op_shapes_as_input(c);
}

static enum status lower_scatter_nd(struct op_context *c)
{
    uint8_t reduction;
    TRY(read_reduction(c, &reduction));
    struct gather_params at = by_tuples(op_input(c, 0), op_input(c, 1), op_input(c, 2), 0);
    return emit_scatter(c, &at, op_input(c, 1), op_input(c, 2), reduction);
}

OPERATOR(ScatterND, 3, 3, 1, 1, shapes_scatter_nd, .lower = lower_scatter_nd)

static enum status shapes_tensor_scatter(struct op_context *c)
{
    const struct value *cache = op_input(c, 0), *update = op_input(c, 1), *begin = op_input(c, 2);
    int axis;
    TRY(require_axis(c, &axis));
    TRY(op_require(c, 0, TYPES_BYTES));
    TRY(op_require(c, 1, TYPE(cache->dtype)));
    TRY(op_allow(c, 2, TYPES_INDEX));
    TRY(op_require_rank(c, 1, cache->rank, cache->rank));
    if (axis == 0)
        return op_error(c, STATUS_INVALID_MODEL, "axis is 0, which is the batch");
    for (int i = 0; i < cache->rank; i++)
        if (i == axis ? update->dims[i] > cache->dims[i] : update->dims[i] != cache->dims[i])
            return op_error(c, STATUS_INVALID_ARGUMENT,
                            "an update of %lld elements along axis %d does not fit a cache of %lld",
                            (long long)update->dims[i], i, (long long)cache->dims[i]);
    if (begin && (begin->rank != 1 || begin->dims[0] != cache->dims[0]))
        return op_error(c, STATUS_INVALID_ARGUMENT, "there must be one write index for each of %lld sequences",
                        (long long)cache->dims[0]);
    return op_shapes_as_input(c);
}

/* Place of element t of sequence b: write_indices[b] + t, modulo the axis where the cache is circular. */
static enum status lower_tensor_scatter(struct op_context *c)
{
    struct value *cache = op_input(c, 0), *update = op_input(c, 1), *begin = op_input(c, 2);
    int axis;
    TRY(require_axis(c, &axis));
    const char *mode = op_string(c, "mode");
    bool circular = strcmp(mode, "circular") == 0;
    if (!circular && strcmp(mode, "linear") != 0)
        return op_error(c, STATUS_INVALID_MODEL, "mode is '%s'; it must be linear or circular", mode);
    int64_t batch = cache->dims[0], length = update->dims[axis];
    struct value *steps = op_iota(c, length, 2, 1), *size = op_constant_scalar(c, DTYPE_I64, (double)cache->dims[axis]);
    struct value *places = op_temporary(c, DTYPE_I64, 2, (int64_t[]){batch, length});
    struct value *first = begin ? op_view(c, begin, 2, (int64_t[]){batch, 1}) : op_zero(c, DTYPE_I64);
    if (!steps || !size || !places || !first)
        return op_no_memory(c);
    struct pointwise_builder params = {.input_count = 3, .output_count = 1};
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_ADD, .register_class = CLASS_I64, .target = 3, .a = 0, .b = 1));
    if (circular)
        op_instruction(&params,
                       INSTRUCTION(.opcode = POINTWISE_MOD, .register_class = CLASS_I64, .target = 3, .a = 3, .b = 2));
    params.operands[3].reg = 3;
    if (value_elements(update) > 0)
        TRY(op_pointwise(c, &params, (struct value *[]){steps, first, size}, &places));
    struct gather_params at = along_axis(cache, update, axis, 1u | 1u << axis);
    return emit_scatter(c, &at, places, update, SCATTER_SET);
}

OPERATOR(TensorScatter, 2, 3, 1, 1, shapes_tensor_scatter, .lower = lower_tensor_scatter)

/* --- ReverseSequence, Compress ------------------------------------------------------------------------------------ */

static enum status sequence_axes(struct op_context *c, int *batch, int *time)
{
    TRY(op_require_rank(c, 0, 2, MAX_RANK));
    int rank = op_input(c, 0)->rank;
    TRY(op_axis(c, "batch_axis", op_int(c, "batch_axis"), rank, batch));
    TRY(op_axis(c, "time_axis", op_int(c, "time_axis"), rank, time));
    if (*batch == *time)
        return op_error(c, STATUS_INVALID_MODEL, "batch_axis and time_axis are both %d", *batch);
    return STATUS_OK;
}

static enum status shapes_reverse_sequence(struct op_context *c)
{
    int batch, time;
    TRY(sequence_axes(c, &batch, &time));
    TRY(op_require(c, 1, TYPES_INDEX));
    TRY(op_require_rank(c, 1, 1, 1));
    if (op_input(c, 1)->dims[0] != op_input(c, 0)->dims[batch])
        return op_error(c, STATUS_INVALID_ARGUMENT, "there are %lld lengths for %lld sequences",
                        (long long)op_input(c, 1)->dims[0], (long long)op_input(c, 0)->dims[batch]);
    return op_shapes_as_input(c);
}

/* Element t of a sequence comes from length - 1 - t where t < length, and stays elsewhere. */
static enum status lower_reverse_sequence(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    int batch, time;
    TRY(sequence_axes(c, &batch, &time));
    bool batch_first = batch < time;
    int64_t sequences = input->dims[batch], length = input->dims[time];
    struct value *steps = op_iota(c, length, 2, batch_first ? 1 : 0), *one = op_constant_scalar(c, DTYPE_I64, 1);
    struct value *lengths =
        op_view(c, op_input(c, 1), 2, batch_first ? (int64_t[]){sequences, 1} : (int64_t[]){1, sequences});
    struct value *places =
        op_temporary(c, DTYPE_I64, 2, batch_first ? (int64_t[]){sequences, length} : (int64_t[]){length, sequences});
    if (!steps || !one || !lengths || !places)
        return op_no_memory(c);
    struct pointwise_builder params = {.input_count = 3, .output_count = 1};
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_LESS, .register_class = CLASS_I64, .target = 3, .a = 0, .b = 1));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_SUB, .register_class = CLASS_I64, .target = 4, .a = 1, .b = 2));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_SUB, .register_class = CLASS_I64, .target = 4, .a = 4, .b = 0));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_SELECT, .register_class = CLASS_I64, .target = 5, .a = 3,
                                        .b = 4, .c = 0));
    params.operands[3].reg = 5;
    if (value_elements(output) > 0)
        TRY(op_pointwise(c, &params, (struct value *[]){steps, lengths, one}, &places));
    struct gather_params at = along_axis(input, output, time, 1u << batch | 1u << time);
    return op_gather(c, &at, input, places, output);
}

OPERATOR(ReverseSequence, 2, 2, 1, 1, shapes_reverse_sequence, .lower = lower_reverse_sequence)

/* Gather of the places where the condition holds. */
static enum status shapes_compress(struct op_context *c)
{
    const struct value *input = op_input(c, 0), *condition = op_input(c, 1);
    int axis = 0, rank = 1;
    int64_t dims[MAX_RANK] = {value_elements(input)};
    TRY(op_require(c, 1, TYPE(DTYPE_BOOL)));
    TRY(op_require_rank(c, 1, 1, 1));
    if (op_has(c, "axis")) {
        TRY(require_axis(c, &axis));
        rank = input->rank;
        memcpy(dims, input->dims, sizeof dims);
    }
    dims[axis] = condition->dims[0];
    return op_set_output_at_run(c, 0, input->dtype, rank, dims);
}

static enum status expand_compress(struct op_context *c)
{
    struct value *data = op_input(c, 0);
    int axis = 0;
    if (op_has(c, "axis"))
        TRY(require_axis(c, &axis));
    else
        data = build_reshape(c, data, 1, (int64_t[]){value_elements(data)});
    struct value *places = build_reshape(c, op_build1(c, "NonZero", op_input(c, 1)), 1, (int64_t[]){-1});
    const struct attribute along = ATTRIBUTE_I("axis", axis);
    return build_output(c, 0,
                        op_build(c, "Gather", 2, (struct value *[]){data, places},
                                 &(struct op_build_options){.attributes = &along, .attribute_count = 1}));
}

OPERATOR(Compress, 2, 2, 1, 1, shapes_compress, .expand = expand_compress)
