/* What the operators of ai.onnx.ml share. */
#ifndef INFER_GRAPH_OPS_ML_H
#define INFER_GRAPH_OPS_ML_H

#include "graph/ops/build.h"
#include "graph/ops/tools.h"

#define ML_OPERATOR(op_name, inputs_least, inputs_most, outputs_least, outputs_most, shapes_function, ...) \
    const struct op op_ml_##op_name = {                                                                    \
        .domain = "ai.onnx.ml",                                                                            \
        .name = #op_name,                                                                                  \
        .min_inputs = (inputs_least),                                                                      \
        .max_inputs = (inputs_most),                                                                       \
        .min_outputs = (outputs_least),                                                                    \
        .max_outputs = (outputs_most),                                                                     \
        ATTRIBUTES_OF(ml_##op_name),                                                                       \
        .shapes = (shapes_function),                                                                       \
        __VA_ARGS__,                                                                                       \
    };

#define TYPES_ML (TYPES_F32_F64 | TYPES_INDEX)

/* Rows and columns of the input, a matrix, or one row of it. */
enum status ml_matrix(struct op_context *c, int64_t *rows, int64_t *columns);
/* A list of numbers that may come as any of three attributes (NULL: not as that one), as a constant of rank 1 that is
 * not among the graph's values: see OP_LISTS_AS_TENSORS for the first two. False, and an empty list, where there is
 * none. */
bool ml_numbers(const struct op_context *c, const char *ints, const char *floats, const char *tensor,
                struct value *list);
/* An entry of a list of integers. */
static inline int64_t ml_integer(const struct value *list, int64_t i)
{
    int64_t result = 0;
    value_integer_at(list, i, &result);
    return result;
}
/* A list of floats as a constant row of that type; NULL: failed. */
struct value *ml_floats(struct op_context *c, const char *attribute, enum dtype dtype);
/* Applies the attribute post_transform to scores [rows, classes]; NULL: failed. */
struct value *ml_post_transform(struct op_context *c, struct value *scores);
/* The scores of two classes from that of the second, [rows, 1], with post_transform, of which SOFTMAX and SOFTMAX_ZERO
 * do nothing to a pair: what ONNX Runtime makes of it (write_scores in ml_common.h, 1.32); ONNX leaves it open. The
 * first gets what a probability leaves of 1, or the negative. NULL: failed. */
struct value *ml_pair_scores(struct op_context *c, struct value *score, bool probability, enum dtype dtype);
/* How many labels there are, in an attribute of integers or in one of strings; -1: neither. */
int64_t ml_label_count(const struct op_context *c, const char *ints, const char *strings);
/* The class whose score is greatest: its label from the list of int64 or, where labels are strings and that is absent,
 * its place among them; NULL: failed. */
struct value *ml_label(struct op_context *c, struct value *scores, const char *ints);

#endif
