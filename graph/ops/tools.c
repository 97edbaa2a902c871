#include "graph/ops/tools.h"

struct axis_split op_split_at(const struct value *value, int axis)
{
    struct axis_split split = {1, value->dims[axis], 1};
    for (int i = 0; i < value->rank; i++) {
        split.outer *= i < axis ? value->dims[i] : 1;
        split.inner *= i > axis ? value->dims[i] : 1;
    }
    return split;
}

struct value *op_view(struct op_context *c, struct value *value, int rank, const int64_t *dims)
{
    struct value *view = op_temporary(c, value->dtype, rank, dims);
    if (view)
        op_alias(c, view, value, 0);
    return view;
}

struct value *op_iota(struct op_context *c, int64_t count, int rank, int axis)
{
    int64_t dims[MAX_RANK], *data = region_array(c->graph->region, (size_t)count, sizeof *data);
    if (!data)
        return NULL;
    for (int64_t i = 0; i < count; i++)
        data[i] = i;
    for (int i = 0; i < rank; i++)
        dims[i] = i == axis ? count : 1;
    return graph_add_constant(c->graph, "", DTYPE_I64, rank, dims, data);
}

struct value *op_zero(struct op_context *c, enum dtype dtype)
{
    static const uint8_t zeros[16];
    return op_constant(c, dtype, 0, NULL, zeros);
}

enum status op_fill(struct op_context *c, struct value *scalar, struct value *output)
{
    struct copy_params params = {.rank = 1, .dims = {value_elements(output)}, .output_strides = {1}};
    return op_copy(c, scalar, output, &params);
}

enum status op_transpose(struct op_context *c, struct value *input, struct value *output, int rank, const int64_t *dims,
                         const int *order)
{
    struct copy_params params = {.rank = rank};
    int64_t strides[MAX_RANK];
    contiguous_strides(rank, dims, strides);
    for (int i = 0; i < rank; i++) {
        params.dims[i] = dims[order[i]];
        params.input_strides[i] = strides[order[i]];
    }
    contiguous_strides(rank, params.dims, params.output_strides);
    return op_copy(c, input, output, &params);
}

enum status op_part(struct op_context *c, struct value *input, int64_t first, struct value *output)
{
    unsigned bits = dtype_bits(input->dtype);
    if (first * bits % 8 != 0)
        return op_error(c, STATUS_UNSUPPORTED, "elements of type %s cannot be taken from the middle of a byte",
                        dtype_name(input->dtype));
    return op_alias(c, output, input, (size_t)first * bits / 8);
}

enum status op_take(struct op_context *c, struct value *input, struct value *output, int axis, struct value *indices)
{
    struct gather_params params = {.rank = output->rank,
                                   .components = 1,
                                   .axis_dims = {input->dims[axis]},
                                   .index_dtype = (uint8_t)indices->dtype,
                                   .element_bytes = dtype_bits(input->dtype) / 8};
    contiguous_strides(input->rank, input->dims, params.data_strides);
    contiguous_strides(output->rank, output->dims, params.block_strides);
    for (int i = 0; i < output->rank; i++)
        params.dims[i] = output->dims[i];
    params.axis_strides[0] = params.data_strides[axis];
    params.data_strides[axis] = 0;
    params.index_strides[axis] = 1;
    return op_gather(c, &params, input, indices, output);
}

enum status op_gather(struct op_context *c, struct gather_params *params, struct value *data, struct value *indices,
                      struct value *output)
{
    unsigned bits = dtype_bits(data->dtype);
    if (bits < 8)
        return op_error(c, STATUS_UNSUPPORTED, "elements of type %s cannot be moved one by one",
                        dtype_name(data->dtype));
    params->element_bytes = bits / 8;
    params->index_dtype = (uint8_t)indices->dtype;
    if (value_elements(output) == 0)
        return STATUS_OK;
    gather_merge_axes(params);
    return op_emit(c, FAMILY_gather, params, sizeof *params, 2, (struct value *[]){data, indices}, 1, &output, 0);
}

/* Fills rows [first, last) of `axis`; axes before it keep to the interior, which the copy covers. */
static enum status fill_slab(struct op_context *c, struct value *fill, struct value *output, int axis, int64_t first,
                             int64_t last, const int64_t *low, const int64_t *high)
{
    struct copy_params params = {.rank = output->rank};
    if (last <= first)
        return STATUS_OK;
    contiguous_strides(output->rank, output->dims, params.output_strides);
    for (int i = 0; i < output->rank; i++) {
        int64_t from = i < axis ? low[i] : i == axis ? first : 0;
        params.dims[i] = (i < axis ? high[i] : i == axis ? last : output->dims[i]) - from;
        params.output_offset += from * params.output_strides[i];
    }
    return op_copy(c, fill, output, &params);
}

enum status op_pad(struct op_context *c, struct value *input, struct value *output, const int64_t *begin,
                   struct value *fill)
{
    struct copy_params params = {.rank = output->rank};
    int64_t low[MAX_RANK], high[MAX_RANK]; /* of the interior: where the input lands */
    contiguous_strides(input->rank, input->dims, params.input_strides);
    contiguous_strides(output->rank, output->dims, params.output_strides);
    for (int i = 0; i < output->rank; i++) {
        int64_t end = begin[i] + input->dims[i];
        low[i] = begin[i] < 0 ? 0 : begin[i] < output->dims[i] ? begin[i] : output->dims[i];
        high[i] = end < low[i] ? low[i] : end < output->dims[i] ? end : output->dims[i];
        params.dims[i] = high[i] - low[i];
        if (params.dims[i] == 0) /* nothing is copied, and the offsets might not fit */
            continue;
        params.output_offset += low[i] * params.output_strides[i];
        params.input_offset += (low[i] - begin[i]) * params.input_strides[i];
    }
    for (int i = 0; i < output->rank; i++) {
        TRY(fill_slab(c, fill, output, i, 0, low[i], low, high));
        TRY(fill_slab(c, fill, output, i, high[i], output->dims[i], low, high));
    }
    return op_copy(c, input, output, &params);
}

void op_integer_range(enum dtype dtype, double *low, double *high)
{
    bool is_signed = dtype_is_signed_integer(dtype);
    double half = (double)(UINT64_C(1) << (dtype_bits(dtype) - 1));
    *low = is_signed ? -half : 0;
    *high = is_signed ? half - 1 : 2 * half - 1;
}

void op_instruction(struct pointwise_builder *params, struct pointwise_instruction instruction)
{
    params->code[params->instruction_count++] = instruction;
}
