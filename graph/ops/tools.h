/* What several families of operators share beyond graph/op.h: views, fills, moves along an axis. */
#ifndef INFER_GRAPH_OPS_TOOLS_H
#define INFER_GRAPH_OPS_TOOLS_H

#include "graph/op.h"
#include "kernels/gather.h"

/* Elements before and after `axis`, and along it: any tensor seen as outer x count x inner. */
struct axis_split {
    int64_t outer, count, inner;
};
struct axis_split op_split_at(const struct value *value, int axis);

/* The same elements under another shape; NULL: no memory. */
struct value *op_view(struct op_context *c, struct value *value, int rank, const int64_t *dims);
/* Constants 0, 1, ... count - 1 as int64, laid along `axis` of a tensor of that rank; NULL: no memory. */
struct value *op_iota(struct op_context *c, int64_t count, int rank, int axis);
/* A scalar 0 of any type; NULL: no memory. */
struct value *op_zero(struct op_context *c, enum dtype dtype);
/* exp(-2 pi i k / length) for all k: a constant f64 [length, 2]; NULL: no memory. */
struct value *op_roots_of_unity(struct op_context *c, int64_t length);
/* Every element of `output` becomes the one element of `scalar`. */
enum status op_fill(struct op_context *c, struct value *scalar, struct value *output);
/* `output` becomes `input` with axis i of the result being axis order[i] of the input, both contiguous. `dims` are the
 * input's, which may be another view of it than its own. */
enum status op_transpose(struct op_context *c, struct value *input, struct value *output, int rank, const int64_t *dims,
                         const int *order);
/* A contiguous part of `input`, from element `first` on: shares its memory. */
enum status op_part(struct op_context *c, struct value *input, int64_t first, struct value *output);
/* output[.., i, ..] = input[.., indices[i], ..] along `axis`; indices are int64 within the axis. */
/* Emits a gather step: fill in the geometry; types and sizes of elements come from the values. */
enum status op_gather(struct op_context *c, struct gather_params *params, struct value *data, struct value *indices,
                      struct value *output);
enum status op_take(struct op_context *c, struct value *input, struct value *output, int axis, struct value *indices);
/* `output` is `input` shifted by begin[axis] along each axis (negative: cropped); `fill` elsewhere. */
enum status op_pad(struct op_context *c, struct value *input, struct value *output, const int64_t *begin,
                   struct value *fill);

/* What a Pad puts before and after each axis of input 0; negative amounts crop. */
struct padding {
    int64_t begin[MAX_RANK], end[MAX_RANK];
};
enum status op_padding(struct op_context *c, struct padding *padding);
/* Whether a Resize or Upsample repeats each element of axis i factors[i] times, and does no more. */
bool op_resize_repeats(struct op_context *c, int64_t *factors);
/* Which elements of input 0 a Slice takes along each axis: `count` from `start` on, `step` apart. */
struct slice {
    int64_t start[MAX_RANK], count[MAX_RANK], step[MAX_RANK];
};
enum status op_slice(struct op_context *c, struct slice *slice);
/* Sizes of the parts that a Split makes along *axis: from the attribute (before opset 13), input 1, or equal with a
 * smaller rest in the last. */
enum status op_split_sizes(struct op_context *c, int *axis, int64_t **sizes);

/* Least and greatest value of an integer type, 2 to 64 bits (64: rounded to double). */
void op_integer_range(enum dtype dtype, double *low, double *high);
/* Appends to a pointwise program. */
void op_instruction(struct pointwise_builder *params, struct pointwise_instruction instruction);
#define INSTRUCTION(...) ((struct pointwise_instruction){__VA_ARGS__})

#endif
