/* What the operators share that become a step of family recurrent. `detail` of such an operator is its cell. */
#ifndef INFER_GRAPH_OPS_RNN_H
#define INFER_GRAPH_OPS_RNN_H

#include "graph/op.h"
#include "kernels/recurrent.h"

/* The attribute direction: sets `directions` and `reverse`. */
enum status rnn_read_direction(struct op_context *c, struct recurrent_params *p);
/* activations, activation_alpha, activation_beta; the cell and the directions are set. */
enum status rnn_read_functions(struct op_context *c, struct recurrent_params *p);
/* Input i is absent or has this shape. */
enum status rnn_check_shape(struct op_context *c, int i, int rank, const int64_t *dims);
/* Y, Y_h and Y_c, for sizes that are set. */
enum status rnn_set_outputs(struct op_context *c, const struct recurrent_params *p, bool batch_first);
/* Emits the step, whose inputs are the family's; reads clip, input_forget and linear_before_reset, and sets strides. */
enum status rnn_emit(struct op_context *c, struct recurrent_params *p, bool batch_first, int input_count,
                     struct value *const *inputs);

#endif
